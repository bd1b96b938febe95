"""What people made of conflicts in earlier merges, found by the hunk itself. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from ..run.text import lines_of
from . import hunks

Key = tuple[str, tuple[str, ...], tuple[str, ...], tuple[str, ...]]


@dataclass(frozen=True)
class Seen:
    """How a hunk was resolved: the lines that it became, and the merge that did it."""

    lines: tuple[str, ...]
    commit: str


@dataclass(frozen=True)
class Memory:
    """What became of hunks before.

    seen: by path and all three versions; one that was resolved in two ways is None.
    past: by path alone, in words: what the newest merge made of a conflict there.
    """

    seen: dict[Key, Seen | None] = field(default_factory=dict)
    past: dict[str, str] = field(default_factory=dict)

    def find(self, path: str, hunk: hunks.Hunk) -> Seen | None:
        """What became of exactly this hunk before; None if that is not known, or not clear."""
        return self.seen.get(_key(path, hunk))

    def learn(self, path: str, merged: str, result: str, commit: str) -> None:
        """Remember how the hunks of a merged text with markers stand in what was committed."""
        segments = hunks.parse(merged)
        if segments is None:
            return
        for hunk, lines in _resolved(segments, result):
            key, seen = _key(path, hunk), Seen(lines, commit)
            known = self.seen.get(key, seen)
            self.seen[key] = seen if known and known.lines == lines else None
            side = {hunk.ours: "the fork's side", hunk.theirs: "upstream's side"}.get(lines)
            self.past.setdefault(path, f"{commit} took {side or 'neither side as it was'}")


def _key(path: str, hunk: hunks.Hunk) -> Key:
    return path, hunk.ours, hunk.base or (), hunk.theirs


def _resolved(
    segments: list[hunks.Segment], result: str
) -> Iterator[tuple[hunks.Hunk, tuple[str, ...]]]:
    """Each hunk with what stands in the result between the merged text before and after it, up to
    the first place where that cannot be told."""
    lines, start = lines_of(result), 0
    waiting: hunks.Hunk | None = None
    for number, segment in enumerate(segments):
        if isinstance(segment, hunks.Hunk):
            if waiting:
                return  # nothing tells the two apart
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
    """Where the wanted lines stand from `start` on; None unless there is one such place."""
    end = len(lines) - len(wanted)
    among = [0] if first else [end] if last else range(start, end + 1)
    found = [i for i in among if i >= start and lines[i : i + len(wanted)] == wanted]
    return found[0] if len(found) == 1 else None
