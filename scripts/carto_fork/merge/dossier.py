"""Evidence: what a person needs to know to decide a conflict that nothing else decides."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..fork.policy import Kind
from ..run.shell import Shell
from ..run.text import lines_of
from . import authorship, hunks
from .decisions import Decision
from .evidence import Commit, Customisations

_MOST_COMMITS = 3


@dataclass(frozen=True)
class Dossier:
    """Both sides' intents, and what each option would cost.

    fork, upstream: the newest commits of each side that are behind it.
    fork_lines: lines that the fork wrote and that go if upstream's side is taken.
    upstream_lines: lines that upstream wrote and that go if the fork's side is taken.
        Both are 0 where only the name of a file is in question.
    past: what was made of an earlier conflict in the same file, "" if there was none.
    """

    fork: tuple[Commit, ...]
    upstream: tuple[Commit, ...]
    fork_lines: int
    upstream_lines: int
    past: str


def write(
    sh: Shell, repo: Path, left: Sequence[Decision], own: Customisations, ours: str, theirs: str
) -> dict[str, Dossier]:
    """A dossier for each conflict that is left, by path."""
    own = authorship.about(own, (p for d in left for p in (d.conflict.path, *d.conflict.names)))
    return {d.conflict.path: _of(sh, repo, d, own, ours, theirs) for d in left}


def _of(
    sh: Shell, repo: Path, decision: Decision, own: Customisations, ours: str, theirs: str
) -> Dossier:
    conflict = decision.conflict
    segments = hunks.parse(decision.text) if decision.text is not None else None
    sides: list[Sequence[Sequence[str]]] = []
    if segments:
        sides = [(s.ours, s.base or (), s.theirs) for s in segments if isinstance(s, hunks.Hunk)]
    elif (texts := conflict.texts) and conflict.kind is not Kind.RENAME:
        sides = [[lines_of(text) for text in (texts.ours, texts.base, texts.theirs)]]
    mine, base, other = (Counter(line for side in sides for line in side[i]) for i in range(3))
    # What both started from is nobody's.
    mine, other = mine - base - other, other - base - mine
    paths = (conflict.path, *conflict.names)
    wrote = own.behind(mine.elements())
    touched = own.of(paths)
    return Dossier(
        fork=tuple([c for c in wrote if c in touched] or touched)[:_MOST_COMMITS],
        upstream=authorship.newest(sh, repo, theirs, ours, paths, _MOST_COMMITS),
        fork_lines=mine.total(),
        upstream_lines=other.total(),
        past=decision.past,
    )
