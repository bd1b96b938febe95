"""What a side did to a list of parts. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher

from .languages import project
from .trees import Odd, Part

_KIN = 60
"""Similarity (100 is equal) from which one unnamed part counts as derived from another."""
_MOST = 40_000
"""Pairs of parts that are compared at most."""


class Edits:
    """A side's changes to the parts of a list.

    match: for each part of the base, its position on the side; None if it is gone.
    added: for each position, the new parts before it.
    """

    def __init__(self, base: Sequence[Part], side: Sequence[Part]) -> None:
        self.base = base
        pairs = dict(_matched(base, side))
        self.match = [side[pairs[i]] if i in pairs else None for i in range(len(base))]
        self.added: dict[int, list[Part]] = defaultdict(list)
        back, place = {j: i for i, j in pairs.items()}, 0
        for j, part in enumerate(side):
            if j in back:
                place = back[j] + 1
            else:
                self.added[place].append(part)

    def packages(self) -> set[str]:
        """What it added, as the names of packages."""
        parts = (part for few in self.added.values() for part in few)
        return {project(part.body.decode(errors="replace").strip(" ,\n")) for part in parts}

    def leaves(self, other: Edits) -> bool:
        """Whether everything this side replaced was left alone by the other."""
        for place, parts in self.added.items():
            end = place
            while parts and end < len(self.base) and self.match[end] is None:
                end += 1
            gone = range(place, end)
            same = [p.body for p in other.added[place]] == [p.body for p in parts] and all(
                other.match[i] is None for i in gone
            )
            if same:
                continue
            if (
                parts
                and 0 < place < len(self.base)
                and other.match[place - 1] is None
                and other.match[place] is None
            ):
                return False
            for i in gone:
                kept = other.match[i]
                if kept is None or kept.body != self.base[i].body:
                    return False
                if i > place and other.added[i]:
                    return False
        return True


def _matched(base: Sequence[Part], side: Sequence[Part]) -> Iterator[tuple[int, int]]:
    """The equal parts of two lists, in order."""
    low = 0
    while low < min(len(base), len(side)) and base[low].body == side[low].body:
        yield low, low
        low += 1
    high = 0
    while high < min(len(base), len(side)) - low and base[-1 - high].body == side[-1 - high].body:
        high += 1
        yield len(base) - high, len(side) - high
    old, new = base[low : len(base) - high], side[low : len(side) - high]
    if len(old) * len(new) > _MOST:
        raise Odd
    keys: list[list[bytes]] = [
        [part.name.encode() or b" " + part.body for part in parts] for parts in (old, new)
    ]
    for kind, a, b, c, d in SequenceMatcher(None, keys[0], keys[1], autojunk=False).get_opcodes():
        if kind == "equal":
            yield from ((low + a + i, low + c + i) for i in range(b - a))
        elif kind == "replace":
            yield from ((low + a + i, low + c + j) for i, j in _akin(old[a:b], new[c:d]))


def _akin(old: Sequence[Part], new: Sequence[Part]) -> Iterator[tuple[int, int]]:
    """The remaining parts that are derived from each other, in order."""
    from rapidfuzz import fuzz  # slow to import

    start = 0
    for i, part in enumerate(old):
        best, place = float(_KIN), -1
        for j in range(start, len(new)):
            if part.name and new[j].name:
                continue  # something else
            texts = (p.body[:2_000].decode(errors="replace") for p in (part, new[j]))
            if (likeness := fuzz.ratio(*texts)) >= best:
                best, place = likeness + 0.01, j
        if place >= 0:
            yield i, place
            start = place + 1
