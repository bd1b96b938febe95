"""Where lines come from: which commits of a history wrote them, and which removed them again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from ..fork import releases
from ..fork.fork import Fork
from ..run import git
from ..run.shell import Shell
from ..run.text import substantive
from .commits import blame, changes, log_of, of_file, squeezed
from .hunks import Commit

Lines = tuple[str, ...]


def removed_by(
    sh: Shell, repo: Path, tip: str, path: str, runs: Iterable[Sequence[str]]
) -> dict[Commit, list[Sequence[str]]]:
    """The newest commit of a history that removed each of some runs of lines from a file, however
    they were wrapped, with these runs."""
    found: dict[Commit, list[Sequence[str]]] = defaultdict(list)
    for lines, (_, gone) in lives(sh, repo, tip, path, runs).items():
        if gone:
            found[gone].append(lines)
    return dict(found)


def lives(
    sh: Shell, repo: Path, tip: str, path: str, runs: Iterable[Sequence[str]]
) -> Mapping[Lines, tuple[Commit | None, Commit | None]]:
    """Runs of lines that say something, each with the newest commit of a history that removed it
    from a file, and before it the newest one that wrote it, however they were wrapped: writer,
    remover."""
    words = {(*run,): squeezed(run) for run in runs if any(map(substantive, run))}
    versions = of_file(sh, repo, path, [tip]) if words else []
    made = changes(sh, repo, [pair for _, pair in versions])
    wrote: dict[Lines, Commit] = {}
    removed: dict[Lines, Commit] = {}
    for commit, pair in versions:
        gone = [squeezed(change.removed) for change in made.get(pair, ())]
        new = [squeezed(change.added) for change in made.get(pair, ())]
        for run, word in words.items():
            if run not in removed:
                if any(word in text for text in gone):
                    removed[run] = commit
            elif run not in wrote and any(word in text for text in new):
                wrote[run] = commit
    return {run: (wrote.get(run), removed.get(run)) for run in words}


@dataclass(frozen=True)
class Origin:
    """Where lines are from that only the fork's side has.

    wrote: upstream's commits that wrote some of them. removed: upstream's commits that removed some
        again. brought: the fork's commits that have them since. whole: whether all that say
        something are upstream's.
    """

    wrote: Sequence[Commit] = ()
    removed: Sequence[Commit] = ()
    brought: Sequence[Commit] = ()
    whole: bool = False


def origin(
    sh: Shell, fork: Fork, ours: str, theirs: str, path: str, numbers: Collection[int]
) -> Origin:
    """Where some lines are from that a file has on the fork's side, though no commit of the fork is
    known to have written them.

    numbers: the lines, from 1.
    """
    lines = (git.show(sh, fork.path, ours, path) or "").split("\n")
    telling = {n for n in numbers if n <= len(lines) and substantive(lines[n - 1])}
    if not telling:
        return Origin()
    upstream = releases.not_to_keep(sh, fork, ours, (theirs,))
    own = {entry.commit for entry in log_of(sh, fork.path, ours, upstream)}
    by = dict(blame(sh, fork.path, f"{theirs}..{ours}", path, telling))
    # What the fork's commits have may be from a sync without its ancestry.
    doubtful = [n for n in sorted(telling) if by.get(n) in own]
    runs = [tuple(lines[a - 1 : b]) for a, b in _runs(doubtful)]
    ends = lives(sh, fork.path, theirs, path, runs) if runs else {}
    known = [both for both in ends.values() if all(both)]
    upstreams = [commit for commit in by.values() if commit not in own]
    wrote, removed = ([both[n] for both in known] for n in (0, 1))
    return Origin(
        _different([*upstreams, *wrote]),
        _different(removed),
        _different(by[n] for n in doubtful),
        len(by) == len(telling) and len(known) == len(ends),
    )


def _different(commits: Iterable[Commit | None]) -> Sequence[Commit]:
    return [*dict.fromkeys(filter(None, commits))]


def _runs(numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
    """The first and the last of each numbers that follow each other."""
    breaks = [n for n, (a, b) in enumerate(pairwise(numbers), 1) if b > a + 1]
    for start, end in pairwise([0, *breaks, len(numbers)]):
        if start < end:
            yield numbers[start], numbers[end - 1]
