"""Syncs that the fork reverted. Their ancestry stays, so git never merges that work again."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from ..fork import records, releases, tags
from ..fork.fork import Fork
from ..fork.policy import Side
from ..fork.tags import Tag
from ..run import git
from ..run.shell import Shell
from ..run.text import counted, printable
from .commits import Changed, Entry, Versions, between, landing, log_of
from .hunks import Commit


@dataclass(frozen=True)
class Reverted:
    """A sync that a fork commit reverted.

    release: the sync's release. commit: the commit that reverted it.
    gone: the paths that are as before the sync. brought: how many paths the sync changed.
    """

    release: Tag
    commit: Commit
    gone: tuple[str, ...]
    brought: int

    @property
    def said(self) -> str:
        """What happened, as a sentence without its full stop."""
        by = f"{self.commit.name[:10]} ({self.commit.date}, {printable(self.commit.subject)})"
        return (
            f"{by} reverted the sync to {self.release.name}: {len(self.gone)} of its "
            f"{counted(self.brought, 'file')} are as before, and no later merge brings that back"
        )

    def undone(self, fork: Fork) -> str:
        """The command that undoes it."""
        return f"{git.at(fork.path)} revert --no-edit {self.commit.name[:10]}"


def find(
    sh: Shell,
    fork: Fork,
    production: str,
    merged: Mapping[str, str] | None = None,
    theirs: Sequence[str] = (),
) -> Reverted | None:
    """The newest sync in a history that was reverted after it landed, as a whole or in part; None
    if none was. What people dropped with a reason does not count.

    merged: the tags that the history contains, as `releases.merged` returns them, if known.
    theirs: the commits to be merged, if known.
    """
    if merged is None:
        merged = releases.merged(sh, fork, production, fork.refs)
    classified = (tags.classify(name, fork.policy.tags) for name in merged)
    newest = sorted((tag for tag in classified if tag and tag.stable), reverse=True)[
        :_MOST_RELEASES
    ]
    heads = releases.upstream_heads(sh, fork, production)
    for release in newest:
        commit, last = merged[release.name], release is newest[0]
        upstream = tuple(dict.fromkeys([*theirs, *heads])) or (commit,)
        key = ("reverted", production, commit)
        look = partial(_find, sh, fork, production, release, commit, upstream, last)
        if taken := sh.once(key, look):
            return taken
    return None


_MOST_RELEASES = 3
"""Older reverts count as the fork's normal state."""


def _find(
    sh: Shell,
    fork: Fork,
    production: str,
    release: Tag,
    theirs: str,
    upstream: Sequence[str],
    last: bool,
) -> Reverted | None:
    log = log_of(sh, fork.path, production, upstream)
    sync = landing(log, production, theirs)
    if not sync and last:
        sync = git.first_with(sh, fork.path, theirs, production)
    if sync == production or not any(e.commit.name == sync and e.parents[1:] for e in log):
        return None
    notes = {*records.NOTES, *fork.policy.version_paths}

    def telling(changed: Changed) -> dict[str, Versions]:
        """The changes without recomputed files, and without submodules, whose old versions the log
        lacks."""
        return {path: made for path, made in changed.items() if path not in notes and any(made)}

    brought = telling(between(sh, fork.path, f"{sync}^1", sync))
    for entry in log:
        changed = telling(entry.changed) if len(entry.parents) == 1 else {}
        # Back from the sync's version to the one before: no earlier commit did that.
        back = {p: made for p, made in changed.items() if brought.get(p, ())[::-1] == made}
        alone = len(back) == len(changed)
        if not back or not (
            (alone and 2 * len(back) >= len(brought))
            or _is_part(sh, fork, log, sync, theirs, entry.commit.name, back if alone else {})
        ):
            continue
        now = git.tree(sh, fork.path, production)
        text = git.show(sh, fork.path, production, records.DROPS_FILE)
        upstreams = [d for d in records.read_drops(text) if d.side == Side.UPSTREAM.value]
        dropped = {drop.path for drop in upstreams if not drop.lines}
        gone = (p for p, made in back.items() if now.get(p, ("", None))[1] == made[-1])
        if left := tuple(path for path in gone if path not in dropped):
            return Reverted(release, entry.commit, left, len(brought))
    return None


_FEWEST = 3
"""If one commit restores this many files, the fork hardly decided about each of them."""


def _is_part(
    sh: Shell, fork: Fork, log: Sequence[Entry], sync: str, theirs: str, by: str, alone: Changed
) -> bool:
    """Whether a commit partly reverts a sync: its message names the sync, as git's does, or it only
    restores several files that the fork had exactly as upstream.

    Reverting another commit, such as an upstream commit, is the fork's decision; so is deleting new
    files, or restoring the fork's own lines in a file.

    by: the commit. alone: what it restored to the state before the sync, if it did nothing else.
    """
    text = git.ask(sh, fork.path, "log -1 --format=%B {by}", "message", by=by).out
    if named := re.findall(r"\b[0-9a-f]{40}\b", text):
        return any(
            landing(log, name, theirs) and (name == sync or landing(log, sync, name) == sync)
            for name in named
        )
    if len(alone) < _FEWEST or not any(map(all, alone.values())):
        return False
    base = git.tree(sh, fork.path, git.merge_bases(sh, fork.path, f"{sync}^1", theirs)[0])
    return all(base.get(path, ("", None))[1] == made[-1] for path, made in alone.items())
