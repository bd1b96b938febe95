"""What people made of conflicts in earlier merges, found by the hunk itself. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

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
) -> Iterable[tuple[hunks.Hunk, tuple[str, ...]]]:
    """Each hunk with what stands between the merged text before and after it."""
    position = 0
    for index, segment in enumerate(segments):
        if isinstance(segment, str):
            if (found := result.find(segment, position)) < 0:
                return
            position = found + len(segment)
            continue
        following = segments[index + 1] if index + 1 < len(segments) else ""
        if not isinstance(following, str):
            return
        end = result.find(following, position) if following else len(result)
        if end < 0:
            return
        yield segment, tuple(hunks.lines_of(result[position:end]))
