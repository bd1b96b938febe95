"""What upstream's own history says about a hunk: whether it adopted the fork's change. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from difflib import SequenceMatcher

from ..run.text import substantive
from .hunks import Commit, Hunk

_KIN = 60
"""Similarity (100 is equal) from which a line may be derived from another."""


@dataclass(frozen=True)
class Past:
    """What upstream did to a file before and after the common ancestor.

    versions: each later commit that may have adopted something, with its version of the file.
    older: the lines that upstream removed earlier.
    """

    versions: Sequence[tuple[Commit, str]] = ()
    older: Set[str] = frozenset()


@dataclass(frozen=True)
class History:
    """What upstream did to files, by path."""

    files: Mapping[str, Past] = field(default_factory=dict)

    def taker(self, path: str, hunk: Hunk, base: str) -> Commit | None:
        """The upstream commit that had everything the fork did in a hunk, if upstream continued
        from there, neither reverting nor dropping it; and only if the fork itself did not revert
        anything.

        base: the file at the common ancestor.
        """
        past = self.files.get(path)
        if past is None or not hunk.theirs or hunk.theirs == hunk.base:
            return None
        old, ours, theirs = (_plain(lines) for lines in (hunk.base or (), hunk.ours, hunk.theirs))
        added, removed = Counter(ours) - Counter(old), Counter(old) - Counter(ours)
        telling = {line for line in added if substantive(line)}
        if not telling or telling <= past.older or removed & (Counter(theirs) - Counter(ours)):
            return None
        if not _went_further(ours, theirs, telling):
            return None
        before = Counter(_plain(base.split("\n")))
        for commit, text in past.versions:
            then = Counter(_plain(text.split("\n")))
            if not (added - (then - before) or removed - (before - then)):
                return commit
        return None


def _plain(lines: Sequence[str]) -> list[str]:
    return [line.strip() for line in lines if line.strip()]


def _went_further(ours: Sequence[str], theirs: Sequence[str], telling: Set[str]) -> bool:
    """Whether upstream's lines are the fork's, edited: each line is there or replaced, most of them
    by a similar one."""
    from rapidfuzz import fuzz, process  # slow to import

    kept = 0
    for kind, a, b, c, d in SequenceMatcher(None, ours, theirs, autojunk=False).get_opcodes():
        mine = [line for line in ours[a:b] if line in telling]
        if kind == "delete" and mine:
            return False
        for line in mine:
            others = [line] if kind == "equal" else theirs[c:d]
            kept += bool(process.extractOne(line, others, scorer=fuzz.ratio, score_cutoff=_KIN))
    return 2 * kept > len(telling)
