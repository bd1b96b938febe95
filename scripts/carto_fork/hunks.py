"""Text with conflict markers: take it apart, put it together. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

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


def lines_of(text: str) -> list[str]:
    """The lines with their line ends, cut at line feeds only, as git does."""
    return re.findall(r"[^\n]*\n|[^\n]+", text)


def parse(text: str) -> list[Segment] | None:
    """The text's segments in order; None if the markers in it do not add up."""
    segments: list[Segment] = []
    merged: list[str] = []
    parts: list[list[str]] | None = None  # of the open hunk: ours, base, theirs
    labels: list[str] = []
    shown: list[str] = []
    for number, line in enumerate(lines_of(text), 1):
        marker = _marker(line)
        if parts is None:
            if marker == _OPEN:
                if merged:
                    segments.append("".join(merged))
                merged, parts, labels, shown, opened = [], [[]], [_OPEN], [line], number
            elif marker and marker != _MIDDLE:
                return None
            else:
                merged.append(line)
            continue
        shown.append(line)
        if not marker:
            parts[-1].append(line)
        elif marker == _CLOSE and labels[-1] == _MIDDLE:
            ours, theirs = tuple(parts[0]), tuple(parts[-1])
            base = tuple(parts[1]) if _BASE in labels else None
            segments.append(Hunk(ours, base, theirs, opened, tuple(shown)))
            parts = None
        elif (labels[-1], marker) in {(_OPEN, _BASE), (_OPEN, _MIDDLE), (_BASE, _MIDDLE)}:
            labels.append(marker)
            parts.append([])
        else:
            return None
    if parts is not None:
        return None
    if merged:
        segments.append("".join(merged))
    return segments


def _marker(line: str) -> str:
    """The marker that a line begins with, or ""; `=======` must be the whole line."""
    found = line[:7]
    rest = line[7:].rstrip("\r\n")
    if found == _MIDDLE:
        return "" if rest else found
    return found if found in (_OPEN, _BASE, _CLOSE) and (not rest or rest[0] == " ") else ""


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
