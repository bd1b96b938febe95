"""Which syncs were reverted after they landed, or brought nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from ..fork import lineage, records, releases, tags
from ..fork.fork import Fork
from ..fork.policy import Side
from ..fork.tags import Tag
from ..run import git
from ..run.errors import Failed
from ..run.shell import Shell
from ..run.text import counted, difference, file_word, joined, listed, printable
from .commits import Changed, Entry, Versions, between, landing, log_of
from .hunks import Commit


@dataclass(frozen=True)
class Reverted:
    """A sync that fork commits reverted.

    release: the sync's release. commit: the commit that reverted it, or the newest of several.
    gone: the paths that are as before the sync. brought: how many paths the sync changed.
    others: the other paths that the commit changed. older: further commits that reverted it.
    """

    release: Tag
    commit: Commit
    gone: tuple[str, ...]
    brought: int
    others: tuple[str, ...] = ()
    older: tuple[Commit, ...] = ()

    @property
    def said(self) -> str:
        """What happened, as a sentence without its full stop."""
        by = f"{self.commit.name[:10]} ({self.commit.date}, {printable(self.commit.subject)})"
        by += f" and {counted(len(self.older), 'older commit')}" if self.older else ""
        other = listed([*map(file_word, self.others)])
        more = f" (to undo this also takes back what the commit did to {other})" if other else ""
        return (
            f"{by} reverted the sync to {self.release.name}: {len(self.gone)} of its "
            f"{counted(self.brought, 'file')} are as before, and no later merge brings that back"
            f"{more}"
        )

    def undone(self, fork: Fork) -> str:
        """The command that undoes it."""
        names = (commit.name[:10] for commit in (self.commit, *self.older))
        return f"{git.at(fork.path)} revert --no-edit {' '.join(names)}"


@dataclass(frozen=True)
class Empty(Reverted):
    """A sync whose merge brought nothing, as `git merge -s ours` makes it.

    commit: the merge. brought: how many paths it should have changed. base, theirs: what it should
    have brought is the difference between these upstream commits.
    """

    base: str = ""
    theirs: str = ""

    @property
    def said(self) -> str:
        """What happened, as a sentence without its full stop."""
        return (
            f"{self.commit.name[:10]} ({self.commit.date}, {printable(self.commit.subject)}) "
            f"merged {self.release.name} but kept the fork's files: {len(self.gone)} of the "
            f"{counted(self.brought, 'file')} that the release changes are as before, and no later "
            "merge brings that"
        )

    def undone(self, fork: Fork) -> str:
        """The command that merges the difference: git takes the release itself for merged."""
        at, message = git.at(fork.path), joined([f"chore: bring what {self.release.name} changed"])
        made = f"{at} commit-tree {self.theirs[:10]}: -p {self.base[:10]} -m {message}"
        return f"{at} merge --no-ff --no-edit $({made})"


def reverted_sync(
    sh: Shell,
    fork: Fork,
    production: str,
    merged: Mapping[str, str] | None = None,
    theirs: Sequence[str] = (),
) -> Reverted | None:
    """The newest sync in a history that was reverted after it landed, as a whole or in part, or
    whose merge brought nothing; None if all are whole. What people dropped with a reason does not
    count.

    merged: the tags that the history contains, as `releases.merged` returns them, if known.
    theirs: the commits to be merged, if known.
    """
    if merged is None:
        # A job's clone has no tag from upstream, and a revert takes the record of it away.
        known = filter(None, (releases.upstream_refs(sh, fork), fork.refs))
        found = [releases.merged(sh, fork, production, refs) for refs in known]
        merged = {name: commit for names in found for name, commit in names.items()}
    classified = (tags.classify(name, fork.policy.tags) for name in merged)
    newest = sorted((tag for tag in classified if tag and tag.stable), reverse=True)[
        :_MOST_RELEASES
    ]
    heads = lineage.upstream_heads(sh, fork, production)
    for release in newest:
        commit, latest = merged[release.name], merged[newest[0].name]
        upstream = tuple(dict.fromkeys([*theirs, *heads])) or (commit,)
        key = ("reverted", production, commit)
        look = partial(_find, sh, fork, production, release, commit, upstream, latest)
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
    latest: str,
) -> Reverted | None:
    log = log_of(sh, fork.path, production, upstream)
    sync = landing(log, production, theirs)
    if not sync and theirs == latest:
        sync = git.first_with(sh, fork.path, theirs, production)
    merge = next((e.commit for e in log if e.commit.name == sync and e.parents[1:]), None)
    if not merge:
        return None
    brought = _telling(fork, between(sh, fork.path, f"{sync}^1", sync))
    if empty := _empty(sh, fork, production, release, theirs, merge, brought, latest):
        return empty
    if sync == production:
        return None
    restored: dict[str, Commit] = {}  # by commits that did nothing else
    again = set[str]()  # what newer commits brought back; upstream may have removed it since
    for entry in log:
        if entry.changed.keys().isdisjoint(brought):
            continue
        changed = _telling(fork, entry.changed) if len(entry.parents) == 1 else {}
        # Back from the sync's version to the one before: no earlier commit did that.
        back = {p: made for p, made in changed.items() if brought.get(p, ())[::-1] == made}
        back = {p: made for p, made in back.items() if p not in again}
        again |= {p for p, made in changed.items() if brought.get(p) == made}
        left = _missing(sh, fork, production, back) if back else ()
        others = tuple(changed.keys() - back.keys())
        most = 2 * len(back) >= len(brought) and (not others or len(back) >= _FEWEST)
        if left and (
            most or _is_part(sh, fork, log, sync, theirs, entry.commit.name, {} if others else back)
        ):
            return Reverted(release, entry.commit, left, len(brought), tuple(sorted(others)))
        if not others:
            restored = dict.fromkeys(left, entry.commit) | restored
    if len(restored) < max(_FEWEST, len(brought) / 2):
        return None
    by = set(restored.values())
    newest, *older = (entry.commit for entry in log if entry.commit in by)
    return Reverted(release, newest, tuple(restored), len(brought), older=tuple(older))


def _telling(fork: Fork, changed: Changed) -> dict[str, Versions]:
    """The changes without recomputed files, and without submodules, whose old versions the log
    lacks."""
    notes = {*records.NOTES, *fork.policy.version_paths}
    return {path: made for path, made in changed.items() if path not in notes and any(made)}


_MOST_BESIDES = 20
"""A merge that changed more files brought something."""


def _empty(
    sh: Shell,
    fork: Fork,
    production: str,
    release: Tag,
    theirs: str,
    merge: Commit,
    brought: Changed,
    latest: str,
) -> Empty | None:
    """The merge of a release if it left nearly everything out and the branch still lacks that.

    Only files of which the fork had the old version prove it: no merge leaves those as they were,
    unless somebody chose the fork's files. New files that are missing prove nothing, because the
    fork may have deleted or renamed their directory.

    brought: what the merge changed. latest: the newest release in the branch, which may itself have
    the old version again.
    """
    if len(brought) > _MOST_BESIDES:
        return None
    sides = (f"{merge.name}^1", theirs)
    try:
        changed = _telling(fork, between(sh, fork.path, *sides, since="--merge-base"))
    except Failed:  # they have several common ancestors, or none
        if not (bases := git.merge_bases(sh, fork.path, *sides)):
            return None
        changed = _telling(fork, between(sh, fork.path, bases[0], theirs))
    if 10 * len(brought.keys() & changed.keys()) >= len(changed):
        return None
    now, newest = (git.tree(sh, fork.path, commit) for commit in (production, latest))
    before = {path: made[::-1] for path, made in changed.items() if made[0] != made[1]}
    left = _missing(sh, fork, production, before)
    gone = tuple(path for path in left if now.get(path) != newest.get(path))
    has = sum(now.get(path, ("", None))[1] == made[0] for path, made in before.items())
    if len(now.keys() & gone) < max(_FEWEST, has):
        return None
    base = git.merge_bases(sh, fork.path, *sides)[0]
    return Empty(release, merge, gone, len(before), base=base, theirs=theirs)


def _missing(sh: Shell, fork: Fork, production: str, back: Changed) -> tuple[str, ...]:
    """The paths that are still as a commit restored them, and that nobody dropped on purpose."""
    now = git.tree(sh, fork.path, production)
    text = git.show(sh, fork.path, production, records.DROPS_FILE)
    drops = [d for d in records.read_drops(text) if d.side == Side.UPSTREAM.value]
    gone = [p for p, made in back.items() if now.get(p, ("", None))[1] == made[-1]]
    noted = {drop.path for drop in drops}.intersection(gone)
    texts = git.blobs(sh, fork.path, {name for path in noted for name in back[path] if name})

    def is_dropped(path: str) -> bool:
        about = [drop for drop in drops if drop.path == path]
        new, old = (texts.get(name or "", "") for name in back[path])
        changed = {line.strip() for lines in difference(new, old) for line in lines}
        said = {line for drop in about for line in drop.lines}
        words = {line for line in changed if re.search(r"\w", line)}  # a bracket may be elsewhere
        return any(not drop.lines for drop in about) or words <= said

    return tuple(path for path in gone if path not in noted or not is_dropped(path))


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
