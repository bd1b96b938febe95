"""Hunks as HTML: coloured by their language, with what differs from the base marked."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from ..merge import hunks
from ..merge.decisions import Decision
from ..merge.hunks import Change, Conflict, Hunk
from ..run.text import lines_of, printable

_LONGEST_LINE = 2000
"""So many characters of a line are shown."""
_LONGEST_COMPARED = 400
"""Longer lines are compared as a whole."""
MOST_LINES = 300
"""So many lines of one side of a hunk are shown, and highlighted."""
_CONTEXT = 3
_LONGEST_FILE = 20_000
"""In a file of more lines nobody looks for what became of a hunk."""


def code(line: str) -> str:
    """A line of a file, whatever it is, as text."""
    line = line if len(line) <= _LONGEST_LINE else f"{line[:_LONGEST_LINE]}…"
    return "\t".join(map(printable, line.rstrip("\r\n").split("\t")))


def count(conflict: Conflict) -> int:
    """How many hunks a conflict has."""
    segments = hunks.parse(conflict.merged or conflict.text or "") or []
    return sum(isinstance(segment, Hunk) for segment in segments)


def shown(decision: Decision, result: str | None) -> Iterator[dict[str, Any]]:
    """Each hunk of a conflict: base, both sides and what became of it, changes marked."""
    conflict = decision.conflict
    segments = hunks.parse(conflict.merged or conflict.text or "") or []
    became = {id(hunk): lines for hunk, lines in hunks.resolved(segments, result or "")}
    places = [n for n, segment in enumerate(segments) if isinstance(segment, Hunk)]
    near = _near(segments, result) if result and len(became) < len(places) else {}
    for number, place in enumerate(places):
        hunk = segments[place]
        assert isinstance(hunk, Hunk)
        around = [
            lines_of(x) if isinstance(x, str) else []
            for x in (segments[place - 1] if place else "", *segments[place + 1 : place + 2])
        ]
        known = decision.became[number] if number < len(decision.became) else None
        now = became.get(id(hunk), near.get(id(hunk)))
        if result is None and known:
            now = known[0]
        above, below = around[0][-_CONTEXT:], (around[1] if around[1:] else [])[:_CONTEXT]
        sides = [
            ("base", hunk.base),
            ("the fork's", hunk.ours),
            ("upstream's", hunk.theirs),
            ("result" if result is not None else "what it would become", now),
        ]
        base = hunk.base or ()
        yield {
            "because": known[1] if known else "",
            "near": result is not None and id(hunk) not in became,
            "sides": [
                {"name": name, "text": _marked(conflict.path, above, base, lines, below)}
                for name, lines in sides
                if lines is not None
            ],
        }


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
    if len(lines) > _LONGEST_FILE:
        return {}
    blocks = difflib.SequenceMatcher(None, merged, lines).get_matching_blocks()
    found: dict[int, Sequence[str]] = {}
    for hunk, place in places.items():
        before = [b.b + min(b.size, place - b.a) for b in blocks if b.a < place]
        behind = [b.b + max(0, place - b.a) for b in blocks if b.a + b.size > place]
        found[hunk] = lines[max(before, default=0) : min(behind, default=len(lines))]
    return found


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
    marks = [(a + len(before), b + len(before)) for a, b in _differences(old, inside)]
    kinds = [""] * len(text)
    for start, end, kind in _colours(path, text):
        kinds[start:end] = [kind] * (end - start)
    edges = {0, len(text), *(edge for mark in marks for edge in mark)}
    edges |= {n for n, (one, other) in enumerate(pairwise(kinds), 1) if one != other}
    marked = {n for start, end in marks for n in edges if start <= n < end} if marks else set()
    parts = []
    for start, end in pairwise(sorted(edges)):
        word = escape(text[start:end])
        if kinds[start]:
            word = Markup('<span class="{}">{}</span>').format(kinds[start], word)
        parts.append(Markup("<mark>{}</mark>").format(word) if start in marked else word)
    end_ = Markup("…\n") if cut else Markup("")
    return Markup("").join(parts) + end_


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


def _colours(path: str, text: str) -> list[tuple[int, int, str]]:
    """What the parts of a text are in its language: from, to, class."""
    from pygments import token

    classes: list[tuple[Any, str]] = [(token.Comment, "c"), (token.Keyword, "k")]
    classes += [(token.String, "s"), (token.Number, "m"), (token.Name.Tag, "k")]
    classes += [(token.Name.Function, "d"), (token.Name.Class, "d")]
    name = Path(path)
    known = lexer(f"x{name.suffix}" if name.suffix else name.name)
    parts = known.get_tokens_unprocessed(text) if known and len(text) < 40_000 else ()
    return [
        (start, start + len(word), kind)
        for start, what, word in parts
        for kind in [next((kind for of, kind in classes if what in of), "")]
        if kind
    ]


@cache
def lexer(name: str) -> Any:
    """What knows the language of a file; None if nothing does."""
    from pygments import util
    from pygments.lexers import get_lexer_for_filename

    try:
        return get_lexer_for_filename(name, stripnl=False, ensurenl=False)
    except (util.ClassNotFound, ValueError):
        return None


def changes(found: Sequence[Change]) -> list[str]:
    """Hunks of a file, as lines of a patch."""
    return [
        line
        for change in found
        for line in (
            f"@@ line {change.line}",
            *(f"- {text}" for text in change.removed),
            *(f"+ {text}" for text in change.added),
        )
    ]


def added(found: Sequence[Change]) -> list[str]:
    """The lines that hunks added, each with its number."""
    return [f"{n:5} {text}" for change in found for n, text in enumerate(change.added, change.line)]


def ranges(found: Sequence[Change]) -> str:
    """Where hunks of a file are, in words, as 3-5, 9."""
    runs = [(c.line, c.line + len(c.added) - 1) for c in found if c.added]
    words = [f"{first}-{last}" if first < last else str(first) for first, last in runs]
    return ", ".join(words[:8]) + (f" and {len(words) - 8} more" if len(words) > 8 else "")


def apart(mine: Sequence[Change], theirs: Sequence[Change]) -> float:
    """How many lines of their common ancestor are between the nearest hunks of two sides; infinite
    if one has none, as of what is not text."""
    spans = [
        (c.before, c.before + len(c.removed), n) for n, x in enumerate((mine, theirs)) for c in x
    ]
    ends: dict[int, int] = {}
    between = []
    for start, end, side in sorted(spans):
        if 1 - side in ends:
            between.append(max(0, start - ends[1 - side]))
        ends[side] = max(end, ends.get(side, end))
    return min(between, default=math.inf)
