"""Files with hunks, cut to what is near some of them: what is merged inside one part does not
depend on the others. Pure."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from typing import Any

from ..run.text import lines_of, substantive
from .hunks import Hunk, Segment
from .languages import Language
from .trees import Tree

_NEAR = 3
"""So many parts before and behind a hunk are near to it; of a list, also the first and the last."""

Place = tuple[int, int]
"""A line: the position of its segment in the file, and its number in it."""


@dataclass(frozen=True)
class Rest:
    """What a file has besides the text that is merged.

    names: those of parts that one side changed, by the list that they are in, as `scope` names it.
    """

    text: str = ""
    names: Mapping[str, Collection[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Near:
    """A file with its hunks at their positions, of which only what is near some hunks is there."""

    segments: Sequence[Segment]
    rest: Rest


@dataclass
class _List:
    """The parts of one list in the file, as far as both sides have it.

    places: the lines outside of hunks at which one of them begins.
    names: where the named ones begin that are not as in the base.
    """

    scope: str
    is_root: bool
    places: list[Place]
    names: list[tuple[Place, str]]


def scope(language: Language, text: bytes, node: Any) -> str:
    """What identifies a list in a file: its type, and the line on which it begins."""
    return f"{node.type} {_line(text, _holder(language, node)).decode(errors='replace')}"


def _holder(language: Language, node: Any) -> Any:
    """A list, or what it belongs to if it has no opening token."""
    if node.type not in language.bare:
        return node
    holder = node
    while holder.parent is not None and holder.parent.start_byte == holder.start_byte:
        holder = holder.parent
    return holder.parent or holder


class Cuts:
    """Where a file with hunks can be cut."""

    def __init__(self, language: Language, segments: Sequence[Segment], base: str) -> None:
        self.segments = segments
        self.hunks = [i for i, x in enumerate(segments) if isinstance(x, Hunk)]
        self.end = (len(segments), 0)
        known = {line.strip() for line in base.encode("utf-8", "surrogateescape").split(b"\n")}
        sides = [self._read(language, known, side) for side in ("ours", "theirs")]
        self.lists = []
        for key, one in sides[0].items():
            if other := sides[1].get(key):
                places = sorted({*one.places} & {*other.places})
                names = [*one.names, *other.names]
                self.lists.append(_List(one.scope, one.is_root, places, names))

    def _read(
        self, language: Language, known: Collection[bytes], side: str
    ) -> dict[tuple[Place, int, str], _List]:
        """The lists around hunks, as one side has them, by where they begin and their type."""
        segments = self.segments
        lines = [text_of([x], (), "", side).count("\n") for x in segments]
        starts = [0, *accumulate(lines)]
        text = text_of(segments, (), "", side).encode("utf-8", "surrogateescape")
        tree = Tree(language, text)
        rows = [starts[i] for i in self.hunks]
        ends = [max(starts[i + 1], starts[i] + 1) for i in self.hunks]
        found: dict[tuple[Place, int, str], _List] = {}

        def place(row: int) -> Place:
            at = min(bisect_right(starts, row), len(segments)) - 1
            return at, row - starts[at]

        waiting: list[Any] = [tree.root]
        while waiting:
            node = waiting.pop()
            is_root = node == tree.root
            listed = is_root or node.type in language.lists
            row, column = (0, 0) if is_root else _holder(language, node).start_point
            start = (-1, 0) if is_root else place(row)
            if listed and (is_root or not isinstance(segments[start[0]], Hunk)):
                key = start, column, node.type
                name = "" if is_root else scope(language, text, node)
                found[key] = _List(name, is_root, *self._parts(tree, node, known, place))
            for child in node.children:
                row, last = child.start_point[0], child.end_point[0]
                number = bisect_right(ends, row)
                if child.children and number < len(rows) and rows[number] <= last + 1:
                    waiting.append(child)
        return found

    def _parts(
        self, tree: Tree, node: Any, known: Collection[bytes], place: Any
    ) -> tuple[list[Place], list[tuple[Place, str]]]:
        places, names, last = [], [], -1
        for child in node.children:
            (row, column), (end, behind) = child.start_point, child.end_point
            at = place(row)
            begin = child.start_byte - column
            in_hunk = isinstance(self.segments[at[0]], Hunk)
            if child.is_named and (in_hunk or _line(tree.text, child) not in known):
                names += [(at, name) for name in tree.names_of(child)]
            if not in_hunk and row > last and not tree.text[begin : child.start_byte].strip():
                places.append(at)
            last = end if behind else end - 1
        return places, names

    def _range(self, places: Sequence[Place], chosen: Sequence[int]) -> tuple[Place, Place]:
        """From where to where the parts around hunks reach, with one more on each side."""
        above = bisect_left(places, (chosen[0], 0)) - 2
        below = bisect_left(places, (chosen[-1] + 1, 0)) + 1
        return (
            places[above] if above >= 0 else (0, 0),
            places[below] if below < len(places) else self.end,
        )

    def groups(self, wanted: Sequence[int]) -> list[list[int]]:
        """Hunks that are near to each other."""
        places = next((one.places for one in self.lists if one.is_root), [])
        groups: list[list[int]] = []
        for index in wanted:
            last = self._range(places, groups[-1])[1] if groups else None
            if last and self._range(places, [index])[0] < last:
                groups[-1].append(index)
            else:
                groups.append([index])
        return groups

    def around(self, work: Sequence[Segment], chosen: Sequence[int]) -> Near:
        """The file around hunks."""
        away: list[tuple[Place, Place]] = []
        names: dict[str, set[str]] = defaultdict(set)
        for one in self.lists:
            for start, end in self._far(one, chosen):
                away.append((start, end))
                names[one.scope] |= {name for at, name in one.names if start <= at < end and name}
        segments, outside = list(work), []
        for start, end in _merged(away):
            for index in range(start[0], min(end[0] + 1, len(work))):
                first = start[1] if index == start[0] else 0
                last = end[1] if index == end[0] else None
                outside.append((index, first, last))
        for index, first, last in reversed(outside):
            segment = segments[index]
            if isinstance(segment, Hunk):
                segments[index] = ""
                continue
            lines = lines_of(segment)
            segments[index] = "".join(lines[:first] + (lines[last:] if last is not None else []))
        return Near(segments, Rest(self._outside(work, outside), names))

    def _far(self, one: _List, chosen: Sequence[int]) -> Iterator[tuple[Place, Place]]:
        """The runs of a list's parts that are not near to hunks."""
        places = [(0, 0), *one.places, self.end] if one.is_root else one.places
        if not one.is_root and not any(places[:1] < [(i, 0)] < places[-1:] for i in chosen):
            return
        kept: set[int] = set() if one.is_root else {0, 1, len(places) - 3, len(places) - 2}
        for index in chosen:
            at = bisect_right(places, (index, 0)) - 1
            kept |= set(range(at - _NEAR, at + _NEAR + 1))
        run: list[int] = []
        for number in [*range(len(places) - 1), -1]:
            if number >= 0 and number not in kept:
                run.append(number)
            elif run:
                yield places[run[0]], places[run[-1] + 1]
                run = []

    def _outside(
        self, work: Sequence[Segment], outside: Sequence[tuple[int, int, int | None]]
    ) -> str:
        text = ""
        for side in ("ours", "theirs"):
            for index, first, last in outside:
                lines = lines_of(text_of([work[index]], (), "", side))
                whole = isinstance(work[index], Hunk)
                text += "".join(lines if whole else lines[first:last])
        return text


def _line(text: bytes, node: Any) -> bytes:
    """The line on which a node begins."""
    start = text.rfind(b"\n", 0, node.start_byte) + 1
    end = text.find(b"\n", node.start_byte)
    return text[start : end if end >= 0 else len(text)].strip()


def _merged(runs: Sequence[tuple[Place, Place]]) -> Iterator[tuple[Place, Place]]:
    """Runs without those that are inside of others."""
    last: tuple[Place, Place] | None = None
    for start, end in sorted(runs, key=lambda run: (run[0], [-x for x in run[1]])):
        if last and start < last[1]:
            continue
        yield start, end
        last = start, end


def text_of(segments: Sequence[Segment], chosen: Collection[int], side: str, other: str) -> str:
    """The text with one side for the chosen hunks and another side for the others."""
    return "".join(
        x if isinstance(x, str) else "".join(getattr(x, side if i in chosen else other) or ())
        for i, x in enumerate(segments)
    )


def lines_in(
    merged: str, segments: Sequence[Segment], chosen: Sequence[int], other: str
) -> list[tuple[str, ...]] | None:
    """The lines of a text in the place of hunks; None if it differs elsewhere."""
    places = [-1, *chosen, len(segments)]
    fixed = [text_of(segments[a + 1 : b], (), "", other) for a, b in pairwise(places)]
    end = len(merged) - len(fixed[-1])
    if not (merged.startswith(fixed[0]) and merged.endswith(fixed[-1])):
        return None
    lines, at = [], len(fixed[0])
    for text in fixed[1:-1]:
        place = merged.find(text, at, end)
        # A few lines such as brackets may also be in what a hunk becomes.
        telling = sum(map(substantive, lines_of(text))) > 1
        if place < 0 or not (telling or merged.find(text, place + 1, end) < 0):
            return None
        lines.append(tuple(lines_of(merged[at:place])))
        at = place + len(text)
    return [*lines, tuple(lines_of(merged[at:end]))] if at <= end else None
