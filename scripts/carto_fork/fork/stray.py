"""Commits that no branch, tag or remote leads to: made on a detached HEAD, and left behind."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from ..run import git
from ..run.shell import Shell
from ..run.text import counted

_LEFT = re.compile(r"checkout: moving from [0-9a-f]{40,64} to ")
_OPERATIONS = {
    "MERGE_HEAD": "merge",
    "rebase-merge": "rebase",
    "rebase-apply": "rebase",
    "CHERRY_PICK_HEAD": "cherry-pick",
    "REVERT_HEAD": "revert",
    "BISECT_LOG": "bisect",
}


@dataclass(frozen=True)
class Stray:
    """Commits that nothing leads to: the last one of them, its day and subject, and how many."""

    commit: str
    date: str
    subject: str
    commits: int

    @property
    def told(self) -> str:
        """Half a sentence about them."""
        verb = "is" if self.commits == 1 else "are"
        return f"{counted(self.commits, 'commit')} {verb} on no branch"


def operation(sh: Shell, work: Path) -> str:
    """What is under way in a work tree, such as ``merge`` or ``rebase``; "" for nothing."""
    answer = sh.ask("git -C {work} rev-parse --path-format=absolute --git-dir", work=work)
    place = Path(git.checked(answer, "git directory").line)
    return next((told for name, told in _OPERATIONS.items() if (place / name).exists()), "")


def detached(sh: Shell, work: Path) -> str:
    """The commit of a detached HEAD; "" where a branch is checked out."""
    if sh.ask("git -C {work} symbolic-ref --quiet HEAD", work=work).ok:
        return ""
    answer = sh.ask("git -C {work} rev-parse --verify HEAD", work=work)
    return git.checked(answer, "HEAD").line


def of(sh: Shell, repo: Path, commit: str, *known: str) -> Stray | None:
    """The commits in a history that no ref leads to, and no other commit that is known; None if
    there are none."""
    words = ["git", "-C", str(repo), "rev-list", "--ignore-missing", "--count", commit]
    answer = sh.read([*words, "--not", "--branches", "--tags", "--remotes", *known, "--"])
    count = int(answer.line) if answer.ok else 0
    if not count:
        return None
    told = sh.ask(
        "git -C {repo} log -1 --no-show-signature --date=short --format=%H%x00%cd%x00%s"
        " {commit} --",
        repo=repo,
        commit=commit,
    )
    name, day, subject = git.checked(told, "commit").line.split("\0", 2)
    return Stray(name, day, subject, count)


def left_behind(sh: Shell, work: Path) -> list[Stray]:
    """Where a detached HEAD was left with commits that no ref leads to, newest first."""
    log = sh.ask(
        "git -C {work} log --walk-reflogs --no-show-signature --format=%H%x00%gs HEAD --", work=work
    )
    # Without a reflog there is nothing to tell.
    entries = [line.split("\0", 1) for line in log.out.splitlines()] if log.ok else []
    left = [before[0] for (_, what), before in pairwise(entries) if _LEFT.match(what)]
    found: list[Stray] = []
    for commit in dict.fromkeys(left):
        # What a later one holds too is told with that.
        known = ["HEAD", *(stray.commit for stray in found)]
        if stray := of(sh, work, commit, *known):
            found.append(stray)
    return found
