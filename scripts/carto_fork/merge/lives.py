"""Where lines come from: which commits of a history wrote them, and which removed them again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from ..fork import lineage
from ..fork.fork import Fork
from ..run import git
from ..run.shell import Shell
from ..run.text import substantive
from .commits import blame, changes, log_of, of_file, squeezed
from .hunks import Commit

Lines = tuple[str, ...]
_MOST_READ = 20
"""In so many commits some lines are looked for."""


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
        again. brought: the fork's commits behind some of the lines. kept: the fork's commits that
        have upstream's removal in their history, and the lines, first. whole: whether all that say
        something are upstream's.
    """

    wrote: Sequence[Commit] = ()
    removed: Sequence[Commit] = ()
    brought: Sequence[Commit] = ()
    kept: Sequence[Commit] = ()
    whole: bool = False


def origin(
    sh: Shell, fork: Fork, ours: str, theirs: str, path: str, numbers: Collection[int]
) -> Origin:
    """Where some lines are from that a file has on the fork's side, though no commit of the fork is
    known to have written them.

    numbers: the lines, from 1.
    """
    lines = _lines(sh, fork.path, ours, path)
    telling = {n for n in numbers if n <= len(lines) and substantive(lines[n - 1])}
    if not telling:
        return Origin()
    upstream = lineage.not_to_keep(sh, fork, ours, (theirs,))
    named = {e.commit.name: e.commit for e in log_of(sh, fork.path, ours, upstream)}
    own = {*named.values()}
    by = dict(blame(sh, fork.path, f"{theirs}..{ours}", path, telling))
    # What the fork's commits have may be from a sync without its ancestry.
    doubtful = [n for n in sorted(telling) if by.get(n) in own]
    runs = [tuple(lines[a - 1 : b]) for a, b in _runs(doubtful)]
    ends = lives(sh, fork.path, theirs, path, runs) if runs else {}
    known = [both for both in ends.values() if all(both)]
    found = (_kept(sh, fork.path, ours, gone, path, run) for run, (_, gone) in ends.items() if gone)
    kept = [named[name] for name in found if name in named]
    upstreams = [commit for commit in by.values() if commit not in own]
    wrote, removed = ([both[n] for both in known] for n in (0, 1))
    return Origin(
        _different([*upstreams, *wrote]),
        _different(removed),
        _different(by[n] for n in doubtful),
        _different(kept),
        len(by) == len(telling) and len(known) == len(ends),
    )


def _kept(sh: Shell, repo: Path, tip: str, removal: Commit, path: str, run: Lines) -> str:
    """The first commit of a branch that has a removal in its history, and the removed lines; ""
    if the branch does not have the removal."""
    line = sh.once(("since", repo, tip, removal), lambda: _since(sh, repo, tip, removal.name))
    word = squeezed(run)
    read = line[:_MOST_READ]
    return next((name for name in read if word in squeezed(_lines(sh, repo, name, path))), "")


def _since(sh: Shell, repo: Path, tip: str, commit: str) -> Sequence[str]:
    """The commits of a branch's first-parent history that have a commit in theirs, oldest first."""
    ends = {"tip": tip, "commit": commit}
    question = "rev-list --ancestry-path {tip} ^{commit} --"
    having = {*git.ask(sh, repo, question, "history", **ends).out.split()}
    question = "rev-list --first-parent --reverse {tip} ^{commit} --"
    line = git.ask(sh, repo, question, "history", **ends).out.split() if having else ()
    return [name for name in line if name in having]


def _lines(sh: Shell, repo: Path, commit: str, path: str) -> list[str]:
    return (git.show(sh, repo, commit, path) or "").split("\n")


def _different(commits: Iterable[Commit | None]) -> Sequence[Commit]:
    return [*dict.fromkeys(filter(None, commits))]


def _runs(numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
    """The first and the last of each numbers that follow each other."""
    breaks = [n for n, (a, b) in enumerate(pairwise(numbers), 1) if b > a + 1]
    for start, end in pairwise([0, *breaks, len(numbers)]):
        if start < end:
            yield numbers[start], numbers[end - 1]
