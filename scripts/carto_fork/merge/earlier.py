"""What people did on sync branches of other releases that have not landed."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ..fork import records, releases
from ..fork.fork import Fork
from ..fork.policy import Side
from ..fork.records import Drop
from ..run import git
from ..run.errors import Refused
from ..run.shell import Shell
from ..run.text import lines_of, substantive
from . import authorship, conflicts, decisions, hunks
from .decisions import Knowledge
from .hunks import Conflict
from .memory import Memory


@dataclass(frozen=True)
class Earlier:
    """A sync branch on origin.

    head: its commit. merge: the commit that merged its release. ours, theirs: the two sides.
    """

    branch: str
    head: str
    merge: str
    ours: str
    theirs: str


@dataclass(frozen=True)
class Piece:
    """Something people did on a sync branch: a commit, or the resolution of a conflict.

    what: a description for people. commit: its hash; "" for a resolution. carried: whether another
        branch has it. path: the file of a resolution.
    """

    branch: str
    what: str
    commit: str
    carried: bool
    path: str = ""


def syncs(sh: Shell, fork: Fork, ours: str, theirs: str) -> list[Earlier]:
    """Origin's sync branches of other releases that neither side of a merge contains, as this clone
    knows them."""
    branches = []
    for branch in fork.published:
        head = fork.refs.commits[fork.tracking(fork.policy.remotes.origin, branch)]
        commit = release_of(sh, fork, branch)
        if commit in ("", theirs) or git.is_ancestor(sh, fork.path, commit, ours):
            continue
        merge, base = git.merge_of(sh, fork.path, commit, head)
        if merge:
            branches.append(Earlier(branch, head, merge, base, commit))
    return branches


def release_of(sh: Shell, fork: Fork, branch: str) -> str:
    """The commit of the release that a sync branch of origin is for; "" if it is unknown here."""
    tag = fork.policy.branches.tag_of(branch)
    if not tag:
        return ""
    head = fork.refs.commits[fork.tracking(fork.policy.remotes.origin, branch)]
    # An upgrade fetches no tag but its own, so a job's clone may have only the record.
    return fork.refs.tag(tag) or releases.recorded(sh, fork, head).get(tag, "")


def learn(
    sh: Shell, fork: Fork, found: Sequence[Earlier], paths: Collection[str], memory: Memory
) -> None:
    """Remember how people resolved the conflicts in some files on sync branches."""
    for sync in found:
        for conflict in _conflicts(sh, fork, sync):
            if conflict.path in paths and conflict.text is not None:
                result = git.show(sh, fork.path, sync.head, conflict.path)
                if result is not None and not hunks.has_markers(result):
                    memory.learn(conflict.path, conflict.text, result, sync.branch)


def _conflicts(sh: Shell, fork: Fork, sync: Earlier) -> Sequence[Conflict]:
    """The conflicts with which the merge of a sync branch stopped."""
    key = ("conflicts", fork.path, sync.ours, sync.theirs)
    return sh.once(key, lambda: conflicts.foresee(sh, fork.path, *key[2:]).conflicts)


def drops(sh: Shell, fork: Fork, found: Sequence[Earlier]) -> list[Drop]:
    """What people dropped on sync branches, whatever the release."""
    said: dict[Drop, None] = {}
    for sync in found:
        commits = (sync.head, sync.ours, sync.theirs)
        texts = (git.show(sh, fork.path, commit, records.DROPS_FILE) for commit in commits)
        with suppress(Refused):  # whoever finishes that branch has to correct its file
            said |= dict.fromkeys(drop for drop in records.peoples_drops(*texts) if not drop.tag)
    return list(said)


def said(
    sh: Shell, repo: Path, result: str, ours: str, theirs: str
) -> tuple[list[Drop], list[Drop]]:
    """What people dropped, up to a merge and in it; and the records made in it that its result does
    not bear out, because somebody changed their mind.

    result: the merge's commit; "" for the staged files.
    """
    texts = [git.show(sh, repo, commit, records.DROPS_FILE) for commit in (result, ours, theirs)]
    every, before = records.peoples_drops(*texts), records.read_drops(texts[1])
    sides = (result, ours, theirs)
    false = [drop for drop in every if drop not in before and not fits(sh, repo, drop, sides)]
    return [drop for drop in every if drop not in false], false


def fits(sh: Shell, repo: Path, drop: Drop, merged: tuple[str, str, str]) -> bool:
    """Whether a merge bears a decision out.

    merged: its commit, or "" for the staged files; the fork's side, and upstream's.
    """
    result, ours, theirs = merged
    commits = (ours, theirs, result) if drop.side == Side.FORK.value else (theirs, ours, result)
    read = git.show if drop.lines else entry
    return drop.fits(*(read(sh, repo, commit, drop.path) for commit in commits))


def entry(sh: Shell, repo: Path, commit: str, path: str) -> str | None:
    """A file's mode and object at a commit; as staged for ""."""
    if commit:
        return " ".join(git.tree(sh, repo, commit).get(path, ())) or None
    listed = "git -C {repo} --literal-pathspecs ls-files --stage --full-name -- {path}"
    return sh.ask(listed, repo=repo, path=path).line.partition(" 0\t")[0] or None


def pieces(sh: Shell, fork: Fork, sync: Earlier, new: str) -> Iterator[Piece]:
    """What people did on a sync branch, and whether another branch's commit has it, too."""
    for conflict in _left(sh, fork, sync):
        path, after = conflict.path, git.show(sh, fork.path, sync.head, conflict.path)
        segments = hunks.parse(conflict.text or "") or []
        if after is None or hunks.has_markers(after) or not segments:
            continue
        plain = "".join(segment for segment in segments if isinstance(segment, str))
        shown = [segment for segment in segments if isinstance(segment, hunks.Hunk)]
        contested = {line for s in shown for line in (*s.ours, *(s.base or ()), *s.theirs)}
        made = {*lines_of(after)} - {*lines_of(plain)}
        carried = _has(sh, fork, sync, new, path, made, contested)
        yield Piece(sync.branch, f"the resolution of {path}", "", carried, path)
    question = "log --no-merges --no-show-signature --format=%H%x00%an%x00%s"
    question += " {among} --not {known} --"
    among = f"{sync.merge}..{sync.head}"
    others = [commit for commit in (fork.production_commit, sync.theirs, new) if commit]
    listed = git.ask(sh, fork.path, question, "commits", among=among, known=others)
    for line in listed.out.splitlines():
        name, author, subject = line.split("\0", 2)
        if not is_a_steps(fork, subject):
            carried = _is_carried(sh, fork, sync, name, new)
            yield Piece(sync.branch, f"{name[:10]} {subject} ({author})", name, carried)


def _left(sh: Shell, fork: Fork, sync: Earlier) -> list[Conflict]:
    """The conflicts of a sync branch that only a person can decide."""
    every = _conflicts(sh, fork, sync)
    own = authorship.of_fork(sh, fork, sync.ours, sync.theirs)
    textual = (path for one in every if one.texts for path in (one.path, *one.names))
    let_go = records.read_drops(git.show(sh, fork.path, sync.ours, records.DROPS_FILE))
    known = Knowledge(fork.policy, authorship.about(own, textual), let_go)
    return [d.conflict for d in decisions.decide(every, known) if d.left]


def is_a_steps(fork: Fork, subject: str) -> bool:
    """Whether a commit is a step of every sync, or commits a person's resolutions."""
    messages = [
        fork.policy.messages.version,
        records.PIN_MESSAGE,
        "chore: generate files anew for {tag}",
        records.RESOLVED_MESSAGE,
    ]
    patterns = (re.sub(r"\\{(version|tag)\\}", r"\\S+", re.escape(m)) for m in messages)
    return any(re.fullmatch(pattern, subject) for pattern in patterns)


def _is_carried(sh: Shell, fork: Fork, sync: Earlier, commit: str, new: str) -> bool:
    """Whether another branch has what remains of a commit's changes."""
    for path in git.differing(sh, fork.path, f"{commit}^", commit):
        texts = (git.show(sh, fork.path, c, path) for c in (f"{commit}^", commit))
        before, after = (set(lines_of(text or "")) for text in texts)
        if not _has(sh, fork, sync, new, path, after - before, before - after):
            return False
    return True


def _has(
    sh: Shell, fork: Fork, sync: Earlier, new: str, path: str, added: set[str], contested: set[str]
) -> bool:
    """Whether a file of another branch has the added lines that still exist and none of the removed
    ones, or equals this branch's file, or both are gone."""
    trees = [git.tree(sh, fork.path, commit) for commit in (sync.head, new)]
    if trees[0].get(path) == trees[1].get(path):
        return True
    texts = (git.show(sh, fork.path, commit, path) for commit in (sync.head, new))
    left, now = ({line.strip() for line in lines_of(text or "")} for text in texts)
    wanted = {line.strip() for line in added} & left
    gone = {line.strip() for line in contested if substantive(line)} - left
    telling = any(map(substantive, wanted)) or gone
    return bool(telling) and wanted <= now and gone.isdisjoint(now)
