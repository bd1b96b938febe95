"""Releases that the fork's record says were brought, although git knows no merge of them: whether
the content proves it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from functools import partial
from pathlib import Path

from ..fork import records
from ..run import git
from ..run.errors import Refused
from ..run.shell import Shell
from . import conflicts, syncs
from .commits import Entry
from .hunks import Sync
from .syncs import Copy, Suspect

_MOST_ROWS, _MOST_TRIES = 100, 5
"""So far back from the record we look for what it is about, and so often we make a merge."""


def syncs_in(
    sh: Shell,
    repo: Path,
    log: Sequence[Entry],
    suspects: Sequence[Suspect],
    copied: Mapping[str, Copy],
    upstream: Sequence[str],
    version_files: Set[str],
) -> list[tuple[Suspect, Sync]]:
    """The suspects that are syncs, newest first: those that `syncs.among` knows by their files, and
    those that `carto_tags.toml` leads to.

    A small release changes too few files to be known by them. The record only says where to look:
    anybody can write it, so only what the commit has of the release proves it.
    """
    found = {
        suspect.commit: (suspect, sync)
        for suspect, sync in syncs.among(sh, repo, suspects, upstream, version_files)
    }
    rows = {name: suspect for suspect in suspects for name in suspect.names}
    claims = _claims(sh, repo, [entry for entry in log if entry.commit.name in rows], log, upstream)
    for commit, release in reversed(claims):
        known = [found[x.commit] for x in suspects if x.commit in found]
        walked = [*_back(commit, rows, {name for name, _ in claims})]
        prove = partial(_proven, sh, repo, walked, release, known, copied, version_files)
        suspect = sh.once(("claim", repo, commit, release, tuple(upstream), version_files), prove)
        if suspect and suspect.commit not in found:
            sync = Sync(release, suspect.landed, suspect.before, suspect.names)
            found[suspect.commit] = suspect, sync
    return [found[suspect.commit] for suspect in suspects if suspect.commit in found]


def _claims(
    sh: Shell, repo: Path, entries: Sequence[Entry], log: Sequence[Entry], upstream: Sequence[str]
) -> list[tuple[str, str]]:
    """The commits that record a release which their own history lacks, newest first; each with the
    upstream commit that the record names.

    entries: the commits with one parent of the log.
    """
    noted = [(e, e.changed[records.TAGS_FILE]) for e in entries if records.TAGS_FILE in e.changed]
    texts = git.blobs(sh, repo, {name for _, pair in noted for name in pair if name})
    parents = {entry.commit.name: entry.parents for entry in log}
    claims = []
    for entry, versions in noted:
        try:
            before, after = (records.read_pins(texts.get(name or "")) for name in versions)
        except Refused:  # `doctor` reports it
            continue
        new = {pin.commit for pin in after.values()} - {pin.commit for pin in before.values()}
        claims += [(entry.commit.name, x) for x in new if not _has(entry.commit.name, x, parents)]
    theirs = {release for _, release in claims}
    theirs = git.held(sh, repo, upstream[0], theirs, *upstream[1:]) if theirs else theirs
    return [
        (commit, release)
        for commit, release in claims
        if release in theirs and not git.is_ancestor(sh, repo, release, commit)
    ]


def _has(commit: str, release: str, parents: Mapping[str, Sequence[str]]) -> bool:
    """Whether a merge in a commit's history names a release as its parent. It is mostly near."""
    seen = {commit: None}
    for at in (walked := [commit]):
        before = parents.get(at, ())
        if release in before:
            return True
        new = dict.fromkeys(name for name in before if name not in seen)
        seen |= new
        walked += new
    return False


def _back(commit: str, rows: Mapping[str, Suspect], claiming: Set[str]) -> Iterator[Suspect]:
    """What may have landed with a record, newest first: back to a merge, or to another record."""
    at = commit
    for _ in range(_MOST_ROWS):
        if at not in rows or (at in claiming and at != commit):
            return
        yield rows[at]
        at = rows[at].before


def _proven(
    sh: Shell,
    repo: Path,
    walked: Sequence[Suspect],
    release: str,
    known: Sequence[tuple[Suspect, Sync]],
    copied: Mapping[str, Copy],
    version_files: Set[str],
) -> Suspect | None:
    """The commit, or the row of copies, that brought a release; None if nothing proves it.

    walked: what may be it, newest first. known: the syncs that are known already, newest first.
    """
    if not walked:
        return None
    bases = git.merge_bases(sh, repo, walked[0].commit.name, release)
    brings = {*git.differing(sh, repo, bases[0], release)} if bases else set[str]()
    may = [suspect for suspect in walked if not brings.isdisjoint(suspect.changed)]
    began = next((x.before for x in reversed(may) if not copied.keys().isdisjoint(x.names)), "")
    for end in may[:_MOST_TRIES]:
        for start in dict.fromkeys([end.before, began or end.before]):
            healed = _healed(sh, repo, start, known)
            if _has_brought(sh, repo, healed, end.commit.name, release, version_files):
                return end
    return None


def _healed(sh: Shell, repo: Path, start: str, known: Sequence[tuple[Suspect, Sync]]) -> str:
    """A commit with the history that the newest sync before it lost: a fork that always squashes
    has lost them all."""
    for suspect, sync in known:
        if git.is_ancestor(sh, repo, suspect.commit.name, start):
            if git.is_ancestor(sh, repo, sync.parent, start):
                return start
            message = f"forecast: heal {suspect.commit.name}"
            return syncs.with_history(sh, repo, start, sync.parent, message)
    return start


def _has_brought(
    sh: Shell, repo: Path, before: str, after: str, release: str, version_files: Set[str]
) -> bool:
    """Whether most files that a merge of a release would change without a conflict became what that
    merge makes of them. The version and our own records prove nothing: anybody can write them."""
    merged = conflicts.merged(sh, repo, before, release)
    telling = {*git.differing(sh, repo, before, merged.tree)} - merged.stages.keys()
    telling -= records.NOTES | version_files
    now, then = (git.tree(sh, repo, name) for name in (after, merged.tree))
    return 2 * sum(now.get(path) == then.get(path) for path in telling) > len(telling)
