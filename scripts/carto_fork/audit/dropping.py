"""Let lost changes go in the fork's name: `verify --drop`."""

from __future__ import annotations

import os
from collections.abc import Sequence, Set
from pathlib import Path

import msgspec

from ..fork import branches, records, releases
from ..fork.fork import Fork
from ..fork.policy import Side
from ..fork.records import Drop
from ..fork.session import Session
from ..merge import earlier
from ..merge.syncs import newer_side
from ..merge.words import write_drops
from ..run import files, git
from ..run.errors import Refused, Usage
from ..run.shell import Shell
from ..run.text import counted, listed, printable
from . import landing, verify
from .review import ways_out

_MOST_DROPPED = 4
"""Lines that are listed of a change that a person drops."""


def drop_lost(s: Session, paths: Sequence[str], reason: str, tag: str, *, given: bool) -> None:
    """Record that what a merge lost in some files is dropped on purpose; a commit for each.

    given: whether another merge was named than the work tree's.
    """
    if given:
        problem = "--drop is about the last merge of a work tree, not about another one."
        raise Usage(problem, then="name the work tree with --repo.")
    if not all(paths or [""]):
        raise Usage("--drop is missing.", then=s.command("verify", drop="PATH", reason="WHY"))
    if s.json and len(paths) > 1:
        raise Usage("--json prints one result.", then="name one file with --drop.")
    records.require_reason(reason)
    fork, work = s.open_work_tree()
    tag = releases.here(fork, tag).name if tag else ""
    work = branches.where_merged(s.sh, fork, work, tag) if tag else work
    for path in dict.fromkeys(paths):
        _drop_lost(s, fork, work, path, reason, tag)
    branch = git.work_state(s.sh, work).branch.removeprefix("refs/heads/")
    own = branch and not fork.policy.branches.tag_of(branch)
    own = own and branch != fork.policy.branches.production
    s.console.next(s.command("branch.pr" if own else "next"))  # `branch.pr` publishes it, too


def _drop_lost(s: Session, fork: Fork, work: Path, path: str, reason: str, tag: str) -> None:
    """Record that what a merge lost in one file is dropped on purpose, and commit that."""
    state = git.work_state(s.sh, work)
    if state.merging or state.dirty:
        problem = f"{git.named(work)} has uncommitted changes."
        raise Refused(problem, then="commit them, then run the same command again.")
    theirs, ours = _last_merge(s.sh, fork, work, tag)
    checked = verify.of_merge(s.sh, fork, work, ours, theirs, state.head)
    account = checked.account
    gone = [*account.lost, *account.to_look_at] if account else []
    entries = [entry for entry in gone if entry.path == path]
    taken_over = any(f.check == verify.TAKEN_OVER and f.path == path for f in checked.findings)
    lost = taken_over or any(entry in account.lost for entry in entries if account)
    other = [f for f in checked.wrong if f.path == path]
    marked = any(finding.check == verify.MARKERS for finding in other)
    if marked or (other and not lost):
        problem = f"{printable(path)} still has conflict markers."
        if not marked:
            what = f"{other[0].check}: {other[0].what}"
            problem = f"nothing is lost in {printable(path)}, but {what}."
        raise Refused(problem, then=ways_out(fork, checked, work, s.again))
    if not gone and not taken_over:
        raise Refused("this merge lost nothing.", then="see `status`.")
    if not entries and not taken_over:
        found_in = sorted({entry.path for entry in (account and account.lost) or gone})
        what = "in" if account and account.lost else "to look at is"
        problem = f"nothing is lost in {printable(path)}, but {what} {listed(found_in, 5)}."
        raise Refused(problem, then="name one of them.")
    more = [Drop(path, reason, tag=tag)] if taken_over else []
    # What is only to be looked at is another matter, while something is lost.
    entries = [e for e in entries if account and e in account.lost] or entries
    for entry in entries:
        stripped = [line.strip() for line in (*entry.account.missing, *entry.account.back)]
        lines = tuple(dict.fromkeys(filter(None, stripped)))
        drop = Drop(path, reason, lines, side=entry.side.value)
        if earlier.fits(s.sh, work, drop, (state.head, ours, theirs)):
            more.append(drop)
    if not more:
        problem = f"{printable(path)} has all of what it would drop, in other lines."
        raise Refused(problem, then="see `status`.")
    _commit(s, work, more, ours, {x.strip() for entry in entries for x in entry.account.back})


def _commit(s: Session, work: Path, more: Sequence[Drop], ours: str, removed: Set[str]) -> None:
    """Record decisions about one file, and commit that.

    ours: the fork's side, with the decisions of before. removed: lines that a side had removed.
    """
    path, reason = more[0].path, more[0].reason
    write_drops(s.sh, work, *_with_older(s.sh, work, more, ours))
    message = f"{records.DROP_MESSAGE.replace('{path}', path)}\n\n{reason}"
    files.commit(s.sh, work, message)
    if s.json:
        s.print_json({"path": path, "reason": reason, "changes": len(more)})
    changes = f"{counted(len(more), 'change')} in {printable(path)}"
    s.console.say(f"{changes} dropped, and committed: {reason}")
    for drop in more:
        for line in drop.lines[:_MOST_DROPPED]:
            sign = "-" if line in removed else "+"
            s.console.row(f"  {Side(drop.side).whose}: {sign} ", line, "dim")
        if (left := len(drop.lines) - _MOST_DROPPED) > 0:
            s.console.say(f"  and {counted(left, 'more line')}, in {records.DROPS_FILE}", "dim")
    commit = git.commit_of(s.sh, work, "HEAD")[:10]
    s.console.row("to take that back: ", f"{git.at(work)} revert --no-edit {commit}")


def is_dropped(sh: Shell, repo: Path, commit: str, result: str, drops: Sequence[Drop]) -> bool:
    """Whether people dropped all that a fork commit added, and the result has none of it."""
    before, about = f"{commit}^", {drop.path for drop in drops}
    if not about or not (paths := git.differing(sh, repo, before, commit)):
        return False

    def lines(where: str, path: str) -> set[str]:
        return {x.strip() for x in (git.show(sh, repo, where, path) or "").split("\n")}

    def is_gone(path: str) -> bool:
        added = lines(commit, path) - lines(before, path)
        covers = any(drop.path == path and drop.covers(added) for drop in drops)
        return bool(added) and covers and added.isdisjoint(lines(result, path))

    return about.issuperset(paths) and all(map(is_gone, paths))


def _with_older(
    sh: Shell, work: Path, more: Sequence[Drop], ours: str
) -> tuple[list[Drop], list[Drop]]:
    """Decisions with the lines of those that they replace, and the latter: decisions of the same
    merge about some of the same lines.

    ours: the fork's side, with the decisions of before.
    """
    texts = (git.show(sh, work, commit, records.DROPS_FILE) for commit in (ours, "HEAD"))
    before, now = map(records.read_drops, texts)
    left, replaced, whole = [drop for drop in now if drop not in before], [], []
    for drop in more:
        same = records.same_changes(drop, left)
        lines = (line for one in (*same, drop) for line in one.lines)
        whole.append(msgspec.structs.replace(drop, lines=tuple(dict.fromkeys(lines))))
        replaced += same
        left = [one for one in left if one not in same]
    return whole, replaced


def _last_merge(sh: Shell, fork: Fork, work: Path, tag: str) -> tuple[str, str]:
    """Upstream's side and the fork's side of a release's merge in a work tree.

    tag: its name; "" for the tag in the sync branch's name.
    Raises Refused if the merge does not exist.
    """
    branch = git.work_state(sh, work).branch.removeprefix("refs/heads/")
    name = tag or fork.policy.branches.tag_of(branch) or ""
    if not name:
        raise Refused(
            f"{os.path.abspath(work)} is not on a sync branch.",
            then="name the work tree of the upgrade with --repo, or the release with --tag.",
        )
    theirs = git.commit_of(sh, work, f"refs/tags/{name}")
    head, production = git.commit_of(sh, work, "HEAD"), fork.production_commit
    _, ours = git.merge_of(sh, work, theirs, head)
    if ours and not (production and git.is_ancestor(sh, work, theirs, production)):
        return theirs, newer_side(sh, work, ours, theirs, head, production)
    if landed := landing.find(sh, fork, name, theirs, head):
        return theirs, landed.ours
    raise Refused(f"this branch has no merge of {name}.", then="see `status`.")
