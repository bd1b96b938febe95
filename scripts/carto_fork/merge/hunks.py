"""Text with conflict markers: take it apart, put it together. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from ..run.text import lines_of

_OPEN, _BASE, _MIDDLE, _CLOSE = "<<<<<<<", "|||||||", "=======", ">>>>>>>"

# A line that only a conflict leaves behind; a conflict inside a rename has longer markers. The
# middle line is not among them: in reStructuredText and Markdown it is an underline.
LEFTOVER = re.compile(r"(<{7,}|>{7,}|\|{7,})( .*)?\r?")


@dataclass(frozen=True)
class Hunk:
    """A conflict inside a file, as lines with their line ends.

    base: what both sides started from; None where the markers do not show it.
    before: the line number of its opening marker, from 1.
    shown: the whole of it, markers included.
    """

    ours: tuple[str, ...]
    base: tuple[str, ...] | None
    theirs: tuple[str, ...]
    before: int
    shown: tuple[str, ...]


Segment = str | Hunk
"""A run of merged text, or a hunk."""


# A marker line; `=======` must be the whole line, behind the others there may be a label.
_MARKERS = re.compile(r"^(?:(<{7}|[|]{7}|>{7})(?: [^\n]*)?|(={7}))\r*(?:\n|\Z)", re.MULTILINE)


def parse(text: str) -> list[Segment] | None:
    """The text's segments in order; None if the markers in it do not add up."""
    segments: list[Segment] = []
    merged = 0  # where the merged text behind the last hunk begins
    marks: list[re.Match[str]] = []  # of the open hunk
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


def join(segments: Sequence[Segment]) -> str:
    """The text again; hunks that are left keep their markers."""
    return "".join("".join(s.shown) if isinstance(s, Hunk) else s for s in segments)


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
