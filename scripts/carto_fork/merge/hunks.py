"""What we know about a conflict: its text with markers, both sides, earlier resolutions. Pure."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise

from ..fork.policy import Kind, Side
from ..run.text import file_word, lines_of, pathspec_word, substantive

_OPEN, _BASE, _MIDDLE, _CLOSE = "<<<<<<<", "|||||||", "=======", ">>>>>>>"

# A line that only a conflict leaves behind; a conflict inside a rename has longer markers. The
# middle line does not count: in reStructuredText and Markdown it is an underline.
LEFTOVER = re.compile(r"(<{7,}|>{7,}|\|{7,})( .*)?\r?")


@dataclass(frozen=True)
class Hunk:
    """A conflict inside a file, as lines with their line ends.

    base: the lines of the common ancestor; None if the markers do not show them.
    before: the line number of its opening marker, from 1.
    shown: all of its lines, including the markers.
    """

    ours: tuple[str, ...]
    base: tuple[str, ...] | None
    theirs: tuple[str, ...]
    before: int
    shown: tuple[str, ...]


Segment = str | Hunk
"""A run of merged text, or a hunk."""

# A marker line; `=======` must be the whole line, the others may have a label.
_MARKERS = re.compile(r"^(?:(<{7}|[|]{7}|>{7})(?: [^\n]*)?|(={7}))\r*(?:\n|\Z)", re.MULTILINE)


def parse(text: str) -> list[Segment] | None:
    """The text's segments in order; None if the markers in it do not add up."""
    segments, merged = list[Segment](), 0  # where the merged text after the last hunk begins
    marks = list[re.Match[str]]()  # of the open hunk
    for mark in _MARKERS.finditer(text):
        kind = mark[1] or mark[2]
        if not marks:
            if kind == _OPEN:
                marks = [mark]
            elif kind != _MIDDLE:
                return None
            continue
        last = marks[-1][1] or marks[-1][2]
        marks.append(mark)
        if kind == _CLOSE and last == _MIDDLE:
            if merged < marks[0].start():
                segments.append(text[merged : marks[0].start()])
            segments.append(_hunk(text, marks))
            merged, marks = mark.end(), []
        elif (last, kind) not in {(_OPEN, _BASE), (_OPEN, _MIDDLE), (_BASE, _MIDDLE)}:
            return None
    if marks:
        return None
    if merged < len(text):
        segments.append(text[merged:])
    return segments


def _hunk(text: str, marks: Sequence[re.Match[str]]) -> Hunk:
    """The hunk between its marker lines."""
    parts = [tuple(lines_of(text[one.end() : other.start()])) for one, other in pairwise(marks)]
    start, end = marks[0].start(), marks[-1].end()
    return Hunk(
        ours=parts[0],
        base=parts[1] if len(parts) == 3 else None,
        theirs=parts[-1],
        before=text.count("\n", 0, start) + 1,
        shown=tuple(lines_of(text[start:end])),
    )


def base_of(hunk: Hunk, merged: str | None) -> tuple[str, ...]:
    """The lines of the common ancestor in a hunk: its own, or those that the merge wrote between
    the same lines. Markers without them are of less lines, if the sides agree about some.

    merged: the text that the merge wrote, if that is known.
    """
    if hunk.base is not None:
        return hunk.base
    for other in parse(merged or "") or ():
        if isinstance(other, Hunk) and other.base is not None:
            sides = ((hunk.ours, other.ours), (hunk.theirs, other.theirs))
            if all("".join(part) in "".join(whole) for part, whole in sides):
                return other.base
    return ()


def join(segments: Sequence[Segment]) -> str:
    """The segments as text; undecided hunks keep their markers."""
    return "".join("".join(s.shown) if isinstance(s, Hunk) else s for s in segments)


def line_end(texts: Texts) -> str | None:
    """The line end to which a side converted a whole file; None if neither did."""
    base, *sides = (_usual_end(text) for text in (texts.base, texts.ours, texts.theirs))
    return next((end for end in sides if base and end and end != base), None)


def _usual_end(text: str) -> str:
    """The line end of most lines of a text; "" for an empty text."""
    feeds = text.count("\n")
    return ("\r\n" if 2 * text.count("\r\n") > feeds else "\n") if feeds else ""


def with_line_end(segments: Sequence[Segment], end: str) -> list[Segment]:
    """The segments with one line end everywhere, without hunks that differ only in line ends."""
    merged: list[Segment] = []
    for segment in segments:
        if isinstance(segment, str):
            merged.append(_with_end(segment, end))
        elif segment.base is None:
            merged.append(segment)
        else:
            merged += _merged(segment, end)
    return merged


def _with_end(text: str, end: str) -> str:
    return text.replace("\r\n", "\n").replace("\n", end)


def _merged(hunk: Hunk, end: str) -> Iterator[Segment]:
    """A hunk merged again, line by line, with the same line end on all sides."""
    base, ours, theirs = (
        lines_of(_with_end("".join(lines), end))
        for lines in (hunk.base or (), hunk.ours, hunk.theirs)
    )
    start = [0, 0, 0]
    for stop, after in _common(base, ours, theirs):
        old, mine, other = (
            tuple(lines[a:b]) for lines, a, b in zip((base, ours, theirs), start, stop, strict=True)
        )
        if mine == other or other == old:
            yield "".join(mine)
        elif mine == old:
            yield "".join(other)
        else:
            opening, *_, closing = hunk.shown
            marks = (
                next((x for x in hunk.shown if x.startswith(_BASE)), f"{_BASE}\n"),
                f"{_MIDDLE}\n",
            )
            shown = (opening, *mine, marks[0], *old, marks[1], *other, closing)
            yield Hunk(mine, old, other, hunk.before, shown)
        yield "".join(base[stop[0] : after[0]])
        start = after


def _common(
    base: Sequence[str], ours: Sequence[str], theirs: Sequence[str]
) -> Iterator[tuple[list[int], list[int]]]:
    """The starts and ends of runs of lines that all three have, as positions in each; finally the
    end."""
    places = []
    for side in (ours, theirs):
        matcher = difflib.SequenceMatcher(None, base, side, autojunk=False)
        blocks = matcher.get_matching_blocks()
        places.append({b.a + i: b.b + i for b in blocks for i in range(b.size)})
    same = [i for i in range(len(base)) if i in places[0] and i in places[1]]
    runs: list[tuple[list[int], list[int]]] = []
    for i in same:
        places_now = [i, places[0][i], places[1][i]]
        if runs and runs[-1][1] == places_now:
            runs[-1] = runs[-1][0], [x + 1 for x in places_now]
        else:
            runs.append((places_now, [x + 1 for x in places_now]))
    ends = [len(base), len(ours), len(theirs)]
    return iter([*runs, (ends, ends)])


def respaced(base: Sequence[str], changed: Sequence[str], spaced: Sequence[str]) -> tuple[str, ...]:
    """One side's lines with the indentation of the other side, which changed only white space;
    unchanged if it is unclear which lines correspond.

    base, changed, spaced: the common ancestor and the two sides.
    """
    if not len(base) == len(changed) == len(spaced):
        return tuple(changed)
    return tuple(
        other
        if new.strip() == old.strip()
        else other[: len(other) - len(other.lstrip())] + new.lstrip()
        for old, new, other in zip(base, changed, spaced, strict=True)
    )


def paragraph(segments: Sequence[Segment], index: int) -> str:
    """A hunk with the lines around it, up to the next blank line on either side."""
    hunk = segments[index]
    assert isinstance(hunk, Hunk)
    before = segments[index - 1] if index else ""
    after = segments[index + 1] if index + 1 < len(segments) else ""
    above = _until_blank(list(reversed(_lines(before))))
    below = _until_blank(_lines(after))
    return "".join([*reversed(above), *hunk.shown, *below])


def _lines(segment: Segment) -> list[str]:
    if isinstance(segment, Hunk):
        return list(segment.shown)
    return lines_of(segment)


def _until_blank(lines: list[str]) -> list[str]:
    for index, line in enumerate(lines):
        if not line.strip():
            return lines[:index]
    return lines


@dataclass(frozen=True)
class Commit:
    """A commit, as people recognise it. date: the author's date, as YYYY-MM-DD."""

    name: str
    date: str
    subject: str


@dataclass(frozen=True)
class Sync:
    """A sync that brought upstream's work without its ancestry: in one commit, or in copies.

    parent: the upstream commit that it brought, which should be its other parent.
    landed: the day, as YYYY-MM-DD. before: the commit it builds on. names: its commits.
    """

    parent: str
    landed: str
    before: str
    names: frozenset[str]


@dataclass(frozen=True)
class Customisations:
    """The fork's own work.

    paths: the commits that changed each path, newest first; also under old names of renamed files.
    lines: the commits that added or removed each line of text, by stripped line.
    squashed: the commits that brought upstream's work without its ancestry, newest first.
    removed: the paths that a fork commit deleted and none restored.
    copies: the hashes of commits that contain only what an upstream commit contains.
    copied: the paths that copied upstream commits changed.
    bringing: the hashes of commits that bring upstream's work and something else.
    older: the names under which commits changed a file, by the name that the fork has it by now.
    """

    paths: Mapping[str, Sequence[Commit]] = field(default_factory=dict)
    lines: Mapping[str, Sequence[Commit]] = field(default_factory=dict)
    squashed: Mapping[Commit, Sync] = field(default_factory=dict)
    removed: Collection[str] = frozenset()
    copies: Collection[str] = frozenset()
    copied: Collection[str] = frozenset()
    bringing: Collection[str] = frozenset()
    older: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @cached_property
    def files(self) -> Mapping[str, Sequence[Commit]]:
        """The commits that changed each file, by the name that it has now."""
        now = {old: path for path, names in self.older.items() for old in names}
        found: dict[str, list[Commit]] = {}
        for path, commits in self.paths.items():
            found.setdefault(now.get(path, path), []).extend(commits)
        return {path: list(dict.fromkeys(commits)) for path, commits in found.items()}

    def of(self, paths: Iterable[str], lines: Iterable[str] = ()) -> list[Commit]:
        """The commits that changed one of the paths; if none did, those that wrote or removed one
        of the lines anywhere, because upstream may have renamed the file since."""
        names = [name for path in paths for name in (path, *self.older.get(path, ()))]
        found = [commit for path in names for commit in self.paths.get(path, ())]
        return list(dict.fromkeys(found)) or self.behind(lines)

    def behind(self, lines: Iterable[str]) -> list[Commit]:
        """The commits that wrote or removed one of the significant lines."""
        telling = filter(substantive, (line.strip() for line in lines))
        return list(dict.fromkeys(c for line in telling for c in self.lines.get(line, ())))


@dataclass(frozen=True)
class Change:
    """A hunk: what one side did to a file since the common ancestor.

    before, line: its line in the ancestor's file and in the side's, from 1; for an empty range, git
        names the line above.
    removed, added: lines without line ends.
    """

    before: int
    line: int
    removed: tuple[str, ...] = ()
    added: tuple[str, ...] = ()


_HEAD = re.compile(r"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")
_INDEX = re.compile(r"index ([0-9a-f]{40})\.\.([0-9a-f]{40})")


def parse_patch(patch: str) -> dict[tuple[str, str], list[Change]]:
    """The hunks of a patch without context, by the object names of the old and new version."""
    hunks: dict[tuple[str, str], list[Change]] = {}
    changes: list[Change] = []
    lines = iter(patch.split("\n"))
    for line in lines:
        if head := _HEAD.match(line):
            removed = _body(lines, 1 if head[2] is None else int(head[2]))
            added = _body(lines, 1 if head[4] is None else int(head[4]))
            changes.append(Change(int(head[1]), int(head[3]), removed, added))
        elif index := _INDEX.match(line):
            changes = hunks.setdefault((index[1], index[2]), [])
    return hunks


def _body(lines: Iterator[str], count: int) -> tuple[str, ...]:
    body: list[str] = []
    while len(body) < count:
        line = next(lines)
        # "\ No newline at end of file" belongs to the line before it.
        if not line.startswith("\\"):
            body.append(line[1:])
    return tuple(body)


@dataclass(frozen=True)
class Stage:
    """One side's version of a file: git's mode and object name."""

    mode: str
    name: str


@dataclass(frozen=True)
class Texts:
    """A file in the common ancestor, the fork and upstream; "" if it is missing."""

    base: str
    ours: str
    theirs: str


@dataclass(frozen=True)
class Conflict:
    """A path that a merge could not resolve.

    base, ours, theirs: the versions of the common ancestor, the fork and upstream; None if a side
        lacks the path.
    deleted_by: the side that deleted the file, in a modify/delete or a rename/delete.
    edited: whether the file in the work tree differs from what the merge wrote.
    text: the file in the work tree, with markers; None if it is missing or not text.
    now: if it was edited, the object name of its present content; "" if it is gone.
    merged: if it was edited, the text that the merge wrote; None if it is not text.
    names: the paths under which the fork has or had the file; they differ if upstream renamed it.
    texts: the three versions; None if one of them is not text.
    invented: the names under which git keeps a version that cannot be at the path together with the
        other one, such as a file and a directory.
    """

    path: str
    kind: Kind
    base: Stage | None
    ours: Stage | None
    theirs: Stage | None
    deleted_by: Side | None = None
    edited: bool = False
    text: str | None = None
    now: str = ""
    merged: str | None = None
    names: tuple[str, ...] = ()
    texts: Texts | None = None
    invented: tuple[str, ...] = ()


def is_pointer(text: str) -> bool:
    """Whether a text is a Git LFS pointer to a file that is stored elsewhere."""
    return text.startswith("version https://git-lfs.github.com/spec/v1\n") and len(text) < 1024


def taking(conflict: Conflict, side: Side, commit: str) -> list[list[str]]:
    """The git commands, without `git` itself, that take a whole side, at its own path; they also
    work if submodules are not set up.

    commit: the side's commit.
    """
    stage = conflict.ours if side is Side.FORK else conflict.theirs
    commands = []
    if stage and conflict.kind is Kind.DIRECTORY:
        commands.append(["rm", "-rf", "--cached", "--ignore-unmatch", "--", conflict.path])
    if conflict.invented:
        commands.append(["rm", "-rf", "--", *conflict.invented])
    if stage:
        commands.append(["checkout", commit, "--", conflict.path])
    elif not conflict.invented:
        commands.append(["update-index", "--force-remove", "--", conflict.path])
    return commands


def pasteable(commands: Sequence[Sequence[str]]) -> str:
    """The commands of `taking` on one line, ready to paste."""
    lines = []
    for verb, *words in commands:
        cut = words.index("--") + 1
        word = file_word if verb == "update-index" else pathspec_word
        lines.append(" ".join(["git", verb, *words[:cut], *map(word, words[cut:])]))
    return " && ".join(lines)


def has_markers(text: str) -> bool:
    """Whether a text contains a line that only a conflict leaves behind."""
    return any(LEFTOVER.fullmatch(line.rstrip("\n")) for line in lines_of(text))


def resolved(segments: list[Segment], result: str) -> Iterator[tuple[Hunk, tuple[str, ...]]]:
    """Each hunk with the lines that the result has between the merged text before and after it, up
    to the first place where that is ambiguous."""
    lines, start = lines_of(result), 0
    waiting: Hunk | None = None
    for number, segment in enumerate(segments):
        if isinstance(segment, Hunk):
            if waiting:
                return  # the two hunks cannot be separated
            waiting = segment
            continue
        wanted = lines_of(segment)
        place = _place(lines, wanted, start, number == 0, number == len(segments) - 1)
        if place is None:
            return
        if waiting:
            yield waiting, tuple(lines[start:place])
        waiting, start = None, place + len(wanted)
    if waiting:
        yield waiting, tuple(lines[start:])


def _place(
    lines: Sequence[str], wanted: Sequence[str], start: int, first: bool, last: bool
) -> int | None:
    """The position of the wanted lines from `start` on; None unless it is unique."""
    end = len(lines) - len(wanted)
    among = [0] if first else [end] if last else range(start, end + 1)
    starts = [i for i in among if i >= start and lines[i : i + len(wanted)] == wanted]
    return starts[0] if len(starts) == 1 else None


def with_blocks(hunk: Hunk, marker: str) -> tuple[str, ...] | None:
    """Upstream's lines with the fork's marked blocks inserted; None if their place is unclear."""
    if hunk.base is None:
        return None
    matcher = difflib.SequenceMatcher(None, hunk.base, hunk.ours, autojunk=False)
    lines = list(hunk.theirs)
    for kind, start, end, first, last in reversed(matcher.get_opcodes()):
        block = hunk.ours[first:last]
        if kind == "equal":
            continue
        if kind != "insert" or not block[0].strip().startswith(marker):
            return None
        before, after = hunk.base[start - 1 : start], hunk.base[end : end + 1]
        if before and lines.count(before[0]) == 1 == hunk.base.count(before[0]):
            place = lines.index(before[0]) + 1
        elif after and lines.count(after[0]) == 1 == hunk.base.count(after[0]):
            place = lines.index(after[0])
        else:
            return None
        lines[place:place] = block
    return tuple(lines)


ALIKE = 80  # of 100, which is equal
"""Similarity from which lines of both sides may mean the same thing."""

# Two valid additions may need a comma or a table heading between them.
_KEYED = (".json", ".toml", ".yaml", ".yml")


def only_added(conflict: Conflict, hunk: Hunk) -> bool:
    """Whether both sides only added lines, none of which the other side's file already has."""
    if hunk.base != () or conflict.base is None or conflict.texts is None:
        return False
    if conflict.path.endswith(_KEYED):
        return False
    from rapidfuzz import fuzz, process  # slow to import

    ours = [line.strip() for line in hunk.ours if substantive(line)]
    theirs = [line.strip() for line in hunk.theirs if substantive(line)]
    everything = [
        {line.strip() for line in text.split("\n")}
        for text in (conflict.texts.theirs, conflict.texts.ours)
    ]
    return (
        bool(ours and theirs)
        and everything[0].isdisjoint(ours)
        and everything[1].isdisjoint(theirs)
        and not any(
            process.extractOne(line, theirs, scorer=fuzz.ratio, score_cutoff=ALIKE) for line in ours
        )
    )
