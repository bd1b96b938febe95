"""Hunks as HTML: coloured by their language, with what differs from the base marked."""

from __future__ import annotations

import difflib
import math
import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cache
from itertools import groupby, pairwise
from operator import itemgetter
from pathlib import Path
from typing import Any

from ..fork.policy import Side
from ..merge import hunks
from ..merge.decisions import Decision
from ..merge.hunks import Change, Conflict, Hunk
from ..run.text import counted, lines_of, printable, substantive

_LONGEST_LINE = 2000
"""So many characters of a line are shown."""
_LONGEST_COMPARED = 400
"""Longer lines are compared as a whole."""
MOST_LINES = 300
"""So many lines of one side of a hunk are shown, and highlighted."""
MOST_SHOWN = 60
"""So many lines of a log, a patch or a file are shown."""
CONTEXT = 3
NEAR = 12
"""Lines that replaced others are at most so many."""
LONGEST_FILE = 20_000
"""In a file of more lines nobody looks for what became of a hunk."""


def code(line: str) -> str:
    """A line of a file, whatever it is, as text."""
    line = line if len(line) <= _LONGEST_LINE else f"{line[:_LONGEST_LINE]}…"
    return "\t".join(map(printable, line.rstrip("\r\n").split("\t")))


def count(conflict: Conflict) -> int:
    """How many hunks a conflict has."""
    segments = hunks.parse(conflict.merged or conflict.text or "") or []
    return sum(isinstance(segment, Hunk) for segment in segments)


class Room:
    """How much code a page may still show.

    left: characters.
    """

    def __init__(self, left: int) -> None:
        self.left = left

    def takes(self, size: int) -> bool:
        """Whether something may be shown; what begins while there is room is shown whole."""
        fits = self.left > 0
        self.left -= size * fits
        return fits

    def fits(self, lines: Sequence[str], most: int = MOST_SHOWN) -> list[str]:
        """As many of some lines as there is room for."""
        shown = [*lines[: most if self.left > 0 else 0]]
        self.left -= sum(map(len, shown))
        more = len(lines) - len(shown)
        return shown + [f"… and {counted(more, 'more line')}"] * bool(more)


def places(conflict: Conflict, result: str | None) -> list[tuple[Hunk, Sequence[str] | None, bool]]:
    """Each hunk of a conflict with what the result has there, and whether its place is certain."""
    segments = hunks.parse(conflict.merged or conflict.text or "") or []
    found = [segment for segment in segments if isinstance(segment, Hunk)]
    became = {id(hunk): lines for hunk, lines in hunks.resolved(segments, result or "")}
    near = _near(segments, result) if result and len(became) < len(found) else {}
    return [(hunk, became.get(id(hunk), near.get(id(hunk))), id(hunk) in became) for hunk in found]


def whose(hunk: Hunk, lines: Sequence[str] | None, sure: bool, result: Collection[str]) -> str:
    """Whose lines a hunk became. sure: whether its place in the result is certain. result: all
    lines of the result, stripped."""
    sides = {hunk.base or (): "neither side's change"} if sure else {}
    known = {**sides, hunk.ours: "the fork's", hunk.theirs: "upstream's"}
    if lines is None or (not sure and not lines and () not in known):
        return _elsewhere(hunk, result)
    if hunks.has_markers("".join(lines)):
        return "a conflict still"
    both = ({*hunk.ours} | {*hunk.theirs}) - {*(hunk.base or ())} <= {*lines}
    return known.get(tuple(lines)) or ("both sides'" if both else "its own text")


def _elsewhere(hunk: Hunk, result: Collection[str]) -> str:
    """Whose new lines of a hunk a result has, of which nobody knows the place."""
    base = {line.strip() for line in hunk.base or ()}
    new = [{x.strip() for x in side if substantive(x)} - base for side in (hunk.ours, hunk.theirs)]
    has = [bool(lines) and lines <= {*result} for lines in new]
    if any(has):
        name = "both sides'" if all(has) else "the fork's" if has[0] else "upstream's"
        return f"{name}, at another place"
    some = any(not lines.isdisjoint(result) for lines in new)
    return "some lines of it, at another place" if some else "no lines of it"


def shown(decision: Decision, result: str | None) -> Iterator[dict[str, Any]]:
    """Each hunk of a conflict: base, both sides and what became of it, each with the lines around
    it in its own file, and changes marked."""
    conflict, texts = decision.conflict, decision.conflict.texts
    segments = hunks.parse(conflict.merged or conflict.text or "") or []
    ends = ["", *segments, ""]
    around = [(ends[n], ends[n + 2]) for n, x in enumerate(segments) if isinstance(x, Hunk)]
    read = (texts.base, texts.ours, texts.theirs) if texts else ("", "", "")
    names = ("base", "the fork's", "upstream's", "result")
    all_lines = [lines_of(text) for text in (*read, result or "")]
    there = {line.strip() for line in all_lines[-1]}
    starts = [0] * len(names)
    for number, (hunk, became, sure) in enumerate(places(conflict, result)):
        known = decision.became[number] if number < len(decision.became) else None
        now = became if result is not None else None
        above, below = (lines_of(x) if isinstance(x, str) else [] for x in around[number])
        above, below, panes = above[-CONTEXT:], below[:CONTEXT], []
        for n, lines in enumerate((hunk.base, hunk.ours, hunk.theirs, now)):
            if lines is None:
                continue
            file, over, under = all_lines[n], list[str](), list[str]()
            at = _at(file, lines, above, below, starts[n])
            if at is not None:
                starts[n] = end = at + len(lines)
                over, under = file[max(0, at - CONTEXT) : at], file[end : end + CONTEXT]
            text = _marked(conflict.path, over, hunk.base or (), lines, under)
            panes.append({"name": names[n], "line": at and at + 1, "text": text})
        because = known[1] if known else ""
        took = whose(hunk, now, sure, there) if result is not None else ""
        # Without a certain place, only a side that was taken shows that another text is there.
        certain = sure or took in ("the fork's", "upstream's")
        if known and (result is None or (certain and tuple(now or ()) != known[0])):
            name = "would become" if result is None else "as decided"
            because += " decides it, but the result has something else" * (result is not None)
            text = _marked(conflict.path, above, hunk.base or (), known[0], below)
            panes.append({"name": name, "line": None, "text": text})
        unsure = result is not None and not sure
        yield {"because": because, "took": took, "near": unsure, "sides": panes, "hunk": hunk}


def beside(conflict: Conflict, side: Side) -> int:
    """How many changes of the other side, which git merges without a conflict, a file lacks that is
    one side's whole."""
    segments = hunks.parse(conflict.merged or conflict.text or "") or []
    if not conflict.texts or not segments:
        return 0
    whole = lines_of(conflict.texts.ours if side is Side.FORK else conflict.texts.theirs)
    merged: list[str] = []
    for segment in segments:
        if isinstance(segment, Hunk):
            merged += segment.ours if side is Side.FORK else segment.theirs
        else:
            merged += lines_of(segment)
    from rapidfuzz.distance import LCSseq  # slow to import

    found = LCSseq.opcodes(whole, merged)
    return sum(
        any(
            line.strip()
            for x in its
            for line in (
                *whole[x.src_start : x.src_end],
                *merged[x.dest_start : x.dest_end],
            )
        )
        for is_same, its in groupby(found, key=lambda x: x.tag == "equal")
        if not is_same
    )


def _at(
    file: Sequence[str],
    lines: Sequence[str],
    above: Sequence[str],
    below: Sequence[str],
    start: int,
) -> int | None:
    """Where a file has some lines, with the most around them of what git merged there; None if
    nothing shows it."""
    size, starts = len(lines), range(start, len(file) - len(lines) + 1)
    if lines:
        fitting = [i for i in starts if file[i] == lines[0] and [*file[i : i + size]] == [*lines]]
    else:
        fitting = [
            i for i in starts if file[i - 1 : i] == above[-1:] or file[i : i + 1] == below[:1]
        ]

    def shared(i: int) -> int:
        before = sum(
            x == y
            for x, y in zip(reversed(above), reversed(file[max(0, i - CONTEXT) : i]), strict=False)
        )
        return before + sum(x == y for x, y in zip(below, file[i + size :], strict=False))

    return max(fitting, key=shared, default=None)


def _near(segments: Sequence[str | Hunk], result: str) -> dict[int, Sequence[str]]:
    """By hunk, what the result has between the merged lines around it, as far as it still has
    these; neighbours may share it."""
    merged: list[str] = []
    places: dict[int, int] = {}
    for segment in segments:
        if isinstance(segment, Hunk):
            places[id(segment)] = len(merged)
        else:
            merged += lines_of(segment)
    lines = lines_of(result)
    if len(lines) > LONGEST_FILE:
        return {}
    blocks = difflib.SequenceMatcher(None, merged, lines).get_matching_blocks()
    found: dict[int, Sequence[str]] = {}
    for hunk, place in places.items():
        # Which of the blank lines around it was there before, nothing shows.
        start, end = place, place
        while start and not merged[start - 1].strip():
            start -= 1
        while end < len(merged) and not merged[end].strip():
            end += 1
        before = [b.b + min(b.size, start - b.a) for b in blocks if b.a < start]
        behind = [b.b + max(0, end - b.a) for b in blocks if b.a + b.size > end]
        found[hunk] = unblank(lines[max(before, default=0) : min(behind, default=len(lines))])
    return found


def unblank(lines: Sequence[str]) -> Sequence[str]:
    """Lines without the blank ones at their ends."""
    telling = [n for n, line in enumerate(lines) if line.strip()]
    return lines[telling[0] : telling[-1] + 1] if telling else ()


def _marked(
    path: str, above: Sequence[str], base: Sequence[str], lines: Sequence[str], below: Sequence[str]
) -> object:
    """Lines as HTML: coloured by what they are, and what differs from the base marked."""
    from markupsafe import Markup, escape

    cut = len(lines) > MOST_LINES
    inside = [f"{code(line)}\n" for line in lines[:MOST_LINES]]
    before = "".join(f"{code(line)}\n" for line in above)
    text = before + "".join(inside) + "".join(f"{code(line)}\n" for line in below)
    old = [f"{code(line)}\n" for line in base[:MOST_LINES]]
    marks = [(a + len(before), b + len(before), "mark") for a, b in _differences(old, inside)]
    colours = list(_colours(path, text))
    edges = {0, len(text), *(edge for start, end, _ in (*marks, *colours) for edge in (start, end))}
    parts = []
    for start, end in pairwise(sorted(edges)):
        # Plain strings of what is escaped: `Markup.format` takes ten times as long.
        word = str(escape(text[start:end]))
        if kind := _kind_at(colours, start):
            word = f'<span class="{kind}">{word}</span>'
        parts.append(f"<mark>{word}</mark>" if _kind_at(marks, start) else word)
    return Markup("".join(parts) + "…\n" * cut)


def _kind_at(spans: Sequence[tuple[int, int, str]], place: int) -> str:
    """The kind of the span that has a place; "" if none has. The spans are in order and apart."""
    number = bisect_right(spans, place, key=itemgetter(0)) - 1
    return spans[number][2] if number >= 0 and place < spans[number][1] else ""


def _differences(old: Sequence[str], new: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Where lines differ from others, from character to character; inside a line where one became
    another."""
    starts = [0]
    for line in new:
        starts.append(starts[-1] + len(line))
    matcher = difflib.SequenceMatcher(None, old, new, autojunk=False)
    for kind, a, b, c, d in matcher.get_opcodes():
        if kind == "replace" and b - a == d - c:
            for one, other in zip(range(a, b), range(c, d), strict=True):
                if max(len(old[one]), len(new[other])) > _LONGEST_COMPARED:
                    yield starts[other], starts[other + 1] - 1
                    continue
                words = [re.findall(r"\w+|\s+|.", line) for line in (old[one], new[other])]
                inner = difflib.SequenceMatcher(None, words[0], words[1], autojunk=False)
                for how, _, _, first, last in inner.get_opcodes():
                    if how != "equal" and first < last:
                        begin = starts[other] + len("".join(words[1][:first]))
                        yield begin, begin + len("".join(words[1][first:last]))
        elif kind in ("replace", "insert"):
            yield starts[c], starts[d] - 1


def _colours(path: str, text: str) -> Iterator[tuple[int, int, str]]:
    """What the parts of a text are in its language: from, to, class."""
    name = Path(path)
    known = lexer(f"x{name.suffix}" if name.suffix else name.name)
    words = known.get_tokens_unprocessed(text) if known and len(text) < 40_000 else ()
    classified = ((start, start + len(word), _class_of(what)) for start, what, word in words)
    for kind, parts in groupby(classified, key=itemgetter(2)):
        (start, end, _), *others = parts
        if kind:
            yield start, others[-1][1] if others else end, kind


@cache
def _class_of(what: Any) -> str:
    """The class of a kind of token; "" for none."""
    from pygments import token

    classes: list[tuple[Any, str]] = [(token.Comment, "c"), (token.Keyword, "k")]
    classes += [(token.String, "s"), (token.Number, "m"), (token.Name.Tag, "k")]
    classes += [(token.Name.Function, "d"), (token.Name.Class, "d")]
    return next((kind for of, kind in classes if what in of), "")


@cache
def lexer(name: str) -> Any:
    """What knows the language of a file; None if nothing does."""
    from pygments import util
    from pygments.lexers import get_lexer_for_filename

    try:
        return get_lexer_for_filename(name, stripnl=False, ensurenl=False)
    except (util.ClassNotFound, ValueError):
        return None


def about(what: str, text: str) -> list[str]:
    """The lines of a file that a finding names by number or in full, with those around them."""
    lines = text.split("\n")
    number = re.search(r":(\d+): ", what)
    found = [int(number[1]) - 1] if number else []
    found += [n for n, line in enumerate(lines) if len(line) > 6 and what.endswith(f": {line}")]
    shown = []
    for n in found[:1]:
        shown = [f"@@ line {n + 1} of the result"]
        shown += [f"  {line}" for line in lines[max(0, n - CONTEXT) : n + NEAR]]
    return shown


def lines_at(text: str, numbers: Sequence[int]) -> list[str]:
    """Some lines of the result, each with those around it."""
    lines, shown, last = text.split("\n"), list[str](), 0
    for number in sorted({*numbers}):
        start, end = max(last, number - CONTEXT), number + CONTEXT - 1
        shown += [f"@@ line {number} of the result"] * (not last or start > last)
        shown += [f"  {line}" for line in lines[start:end]]
        last = end
    return shown


def left_out(decision: Decision) -> list[str]:
    """The fork's lines that a decision leaves out of its hunks."""
    shown = []
    for number, (hunk, _, _) in enumerate(places(decision.conflict, None)):
        known = decision.became[number] if number < len(decision.became) else None
        kept = {*(known[0] if known else hunk.ours), *(hunk.base or ())}
        gone = [line.rstrip("\n") for line in hunk.ours if line not in kept]
        shown += [f"@@ hunk {number + 1}"] * bool(gone) + [f"- {line}" for line in gone]
    return shown


def changes(found: Sequence[Change], name: str) -> list[str]:
    """Hunks of a file, as lines of a patch. name: whose file has these numbers of lines."""
    return [
        line
        for change in found
        for line in (
            f"@@ line {change.line} of {name}",
            *(f"- {text}" for text in change.removed),
            *(f"+ {text}" for text in change.added),
        )
    ]


def net(found: Sequence[Change]) -> tuple[list[str], list[str]]:
    """The lines that changes add, and those that they remove, without those that they do both."""
    added = Counter(line.strip() for change in found for line in change.added)
    removed = Counter(line.strip() for change in found for line in change.removed)
    new, gone = added - removed, removed - added
    return [*filter(None, new)], [*filter(None, gone)]


def runs(lines: Mapping[int, str]) -> list[Change]:
    """Lines of a file by number, in order, as hunks that add what is together."""
    found: list[tuple[int, list[str]]] = []
    for number, line in lines.items():
        if found and found[-1][0] + len(found[-1][1]) == number:
            found[-1][1].append(line)
        else:
            found.append((number, [line]))
    return [Change(0, number, added=(*text,)) for number, text in found]


def ranges(found: Sequence[Change]) -> str:
    """Where hunks of a file are, in words, as 3-5, 9."""
    runs = [(c.line, c.line + len(c.added) - 1) for c in found if c.added]
    words = [f"{first}-{last}" if first < last else str(first) for first, last in runs]
    return ", ".join(words[:8]) + (f" and {len(words) - 8} more" if len(words) > 8 else "")


def apart(mine: Sequence[Change], theirs: Sequence[Change]) -> float:
    """How many lines of their common ancestor are between the nearest hunks of two sides, without
    those that both have; infinite if one has none, as of what is not text."""
    every = [{(c.before, c.removed, c.added) for c in x} for x in (mine, theirs)]
    sides = [x - other for x, other in (every, every[::-1])]
    # Of what only adds, git names the line above.
    spans = [
        (at + (not gone), at + (len(gone) or 1), n)
        for n, x in enumerate(sides)
        for at, gone, _ in x
    ]
    ends: dict[int, int] = {}
    between = []
    for start, end, side in sorted(spans):
        if 1 - side in ends:
            between.append(max(0, start - ends[1 - side]))
        ends[side] = max(end, ends.get(side, end))
    return min(between, default=math.inf)
