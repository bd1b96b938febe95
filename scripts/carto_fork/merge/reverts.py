"""Syncs that the fork has taken back. Their ancestry stays, so git never merges that work again."""

from __future__ import annotations

from dataclasses import dataclass

from ..fork import records, releases, tags
from ..fork.fork import Fork
from ..fork.policy import Side
from ..fork.tags import Tag
from ..run import git
from ..run.shell import Shell
from ..run.text import counted, printable
from .commits import SUBMODULE, log_of
from .hunks import Commit


@dataclass(frozen=True)
class Reverted:
    """A sync that a fork commit has taken back.

    release: what the sync brought. commit: the one that took it back.
    gone: the paths that are as before the sync. brought: how many the sync changed.
    """

    release: Tag
    commit: Commit
    gone: tuple[str, ...]
    brought: int

    @property
    def said(self) -> str:
        """What happened, in a sentence without its full stop."""
        by = f"{self.commit.name[:10]} ({self.commit.date}, {printable(self.commit.subject)})"
        return (
            f"{by} has taken the sync to {self.release.name} back: {len(self.gone)} of its "
            f"{counted(self.brought, 'file')} are as before, and no later merge brings that again"
        )

    def undone(self, fork: Fork) -> str:
        """The command that undoes it."""
        return f"{git.at(fork.path)} revert --no-edit {self.commit.name[:10]}"


def find(sh: Shell, fork: Fork, production: str) -> Reverted | None:
    """Whether the newest release in a history has been taken back since it landed; None if not.

    A commit takes a sync back if it changes nothing but paths that the sync changed, half of them
    or more, to what they were before; whatever its message says. What people have dropped with a
    reason does not count.
    """
    merged = releases.merged(sh, fork, production, fork.refs)
    release = tags.newest(merged, fork.policy.tags, *tags.STABLE)
    if release is None:
        return None
    theirs = merged[release.name]
    key = ("reverted", production, theirs)
    return sh.once(key, lambda: _find(sh, fork, production, release, theirs))


def _find(sh: Shell, fork: Fork, production: str, release: Tag, theirs: str) -> Reverted | None:
    sync = git.first_with(sh, fork.path, theirs, production)
    if sync == production:
        return None
    known = [sync, *fork.upstream_tips]
    own = [e for e in log_of(sh, fork.path, production, known) if len(e.parents) == 1]
    if not own:
        return None
    trees = [git.tree(sh, fork.path, commit) for commit in (f"{sync}^1", sync, production)]
    before, after, now = ({path: name for path, (_, name) in tree.items()} for tree in trees)
    # The log says nothing of what a submodule was, and records and versions are set anew.
    notes = {records.TAGS_FILE, records.DROPS_FILE, *fork.policy.version_paths}
    notes |= {path for tree in trees for path, (mode, _) in tree.items() if mode == SUBMODULE}
    brought = {p for p in {*before, *after} if before.get(p) != after.get(p)} - notes
    dropped = records.read_drops(git.show(sh, fork.path, production, records.DROPS_FILE))
    kept = {drop.path for drop in dropped if drop.side == Side.UPSTREAM.value and not drop.lines}
    gone = {path for path in brought if now.get(path) == before.get(path)} - kept
    for entry in own:
        back = {path: versions[-1] for path, versions in entry.changed.items() if path not in notes}
        taken = brought.intersection(back)
        pure = len(taken) == len(back) and all(back[p] == before.get(p) for p in back)
        if pure and 2 * len(taken) >= len(brought) and gone.intersection(taken):
            return Reverted(release, entry.commit, tuple(sorted(gone & taken)), len(brought))
    return None
