"""How hunks were resolved before. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from ..fork.records import Drop
from ..run.text import substantive
from .hunks import Hunk, Segment, parse, resolved

Key = tuple[str, tuple[str, ...], tuple[str, ...], tuple[str, ...]]


@dataclass(frozen=True)
class Seen:
    """How a hunk was resolved: the resulting lines, and the merge that did it."""

    lines: tuple[str, ...]
    commit: str


@dataclass(frozen=True)
class Memory:
    """How hunks were resolved before.

    seen: resolutions by path and all three versions; None for a hunk that was resolved in two ways.
    past: by path, the hunks that were resolved, newest merge first: the lines they were about, and
        how, in words.
    """

    seen: dict[Key, Seen | None] = field(default_factory=dict)
    past: dict[str, list[tuple[frozenset[str], str]]] = field(default_factory=dict)

    def find(self, path: str, hunk: Hunk) -> Seen | None:
        """How exactly this hunk was resolved before; None if that is unknown or ambiguous."""
        return self.seen.get(_key(path, hunk))

    def about(self, path: str, hunks: Iterable[Segment], drops: Sequence[Drop] = ()) -> str:
        """How the newest merge resolved a hunk about some of the same lines, in words, and the
        reason that somebody recorded; "" if none did.

        hunks: those in question. drops: what people dropped on purpose.
        """
        lines = _contested(hunk for hunk in hunks if isinstance(hunk, Hunk))
        said = next(
            (how for known, how in self.past.get(path, ()) if not known.isdisjoint(lines)), ""
        )
        here = (drop for drop in reversed(drops) if drop.path == path)
        why = next((drop.reason for drop in here if not lines.isdisjoint(drop.lines)), "")
        return f"{said}: {why}" if said and why else said

    def learn(self, path: str, merged: str, result: str, commit: str) -> None:
        """Remember how a commit's text resolved the hunks of a merged text with markers."""
        segments = parse(merged)
        if segments is None:
            return
        for hunk, lines in resolved(segments, result):
            key, seen = _key(path, hunk), Seen(lines, commit)
            earlier = self.seen.get(key, seen)
            self.seen[key] = seen if earlier and earlier.lines == lines else None
            side = {hunk.ours: "the fork's side", hunk.theirs: "upstream's side"}.get(lines)
            said = f"{commit} took {side}" if side else f"{commit} took neither side"
            self.past.setdefault(path, []).append((_contested([hunk]), said))


def _key(path: str, hunk: Hunk) -> Key:
    return path, hunk.ours, hunk.base or (), hunk.theirs


def _contested(hunks: Iterable[Hunk]) -> frozenset[str]:
    """The lines that some hunks are about; only distinctive ones, if there are any."""
    lines = set[str]()
    for hunk in hunks:
        written = (side for side in (hunk.ours, hunk.base, hunk.theirs) if side is not None)
        ours, *others = [{line.strip() for line in side} for side in written]
        lines |= ours.union(*others) - ours.intersection(*others)
    telling = frozenset(filter(substantive, lines))
    return telling or frozenset(line for line in lines if re.search(r"\w", line))
