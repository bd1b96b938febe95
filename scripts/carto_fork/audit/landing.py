"""What landed: how a sync came into the production branch, and its account."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from ..fork import releases, tags
from ..fork.fork import Fork
from ..fork.tags import Tag
from ..merge import authorship, syncs
from ..merge.reverted import reverted_sync
from ..merge.syncs import Lost
from ..run import git
from ..run.shell import Shell
from . import verify
from .findings import Finding, described
from .ledger import Entry, Ledger
from .verify import Verification

LANDED = "landed"
"""The name of the check whether a release landed, and with its history."""


@dataclass(frozen=True)
class Landing:
    """A sync as it landed: a merge of two commits, whether or not git knows that.

    lost: the sync, if git does not know it.
    """

    ours: str
    theirs: str
    result: str
    lost: Lost | None = None


def of(sh: Shell, fork: Fork, tag: Tag) -> Verification:
    """The checks of a sync that has landed on the production branch: is it a merge of the tag?

    What it lost counts until a later commit restored it or a person dropped it.
    """
    production = fork.production_commit
    merged = releases.merged(sh, fork, production, fork.refs).get(tag.name)
    theirs = merged or git.commit_of(sh, fork.path, f"refs/tags/{tag.name}")
    landing = find(sh, fork, tag.name, theirs, production)
    if landing is None:
        what = f"{tag.name} is not in {fork.policy.branches.production}"
        lost = authorship.lost_of_fork(sh, fork, production, theirs)
        return Verification((Finding(LANDED, what),), healed=lost)
    wrong = ""
    gone = reverted_sync(sh, fork, production)
    if lost := landing.lost:
        how = "ends upstream commits in copies" if lost.copies else "has one parent only"
        wrong = f"{tag.name} landed without its history: {described(lost.sync)} {how}"
    elif gone and gone.release.name == tag.name:
        wrong = gone.said
    checked = _judged(sh, fork, landing, [Finding(LANDED, wrong)] if wrong else [])
    return replace(checked, healed=lost or checked.healed)


def elsewhere(sh: Shell, fork: Fork, tag: str) -> tuple[str, dict[str, str], str] | None:
    """The branch that has a release, and what checks it, in the words of `verify`: three commits
    by option, or the name of the release that landed."""
    theirs, production = fork.refs.tag(tag), fork.production_commit
    if theirs and production and find(sh, fork, tag, theirs, production):
        return fork.policy.branches.production, {}, tag
    branch = fork.policy.branches.sync_for(tag)
    tip = fork.refs.objects.get(f"refs/heads/{branch}")
    if tip and git.merge_of(sh, fork.path, theirs, tip)[1]:
        return branch, {"ours": production, "theirs": tag, "result": branch}, ""
    return None


def find(sh: Shell, fork: Fork, tag: str, theirs: str, head: str) -> Landing | None:
    """How a release came into a branch; None if the branch lacks it.

    theirs: its commit. head: the branch's.
    """
    repo = fork.path
    if not git.is_ancestor(sh, repo, theirs, head):
        lost = authorship.lost_of_fork(sh, fork, head, theirs)
        if lost is None or not git.is_ancestor(sh, repo, theirs, lost.parent):
            return None
        found = _squashed(sh, fork, theirs, head)
        return replace(found or Landing(f"{lost.sync.name}^", theirs, lost.sync.name), lost=lost)
    landing = git.first_with(sh, repo, theirs, head)
    before, *merged = _parents(sh, fork, landing)
    # Healing records a history and changes nothing: what merged the release is the squash.
    inner = (git.first_with(sh, repo, theirs, p) for p in merged[:1] if p != theirs)
    for merge in (landing, *inner):
        into = next(iter(_parents(sh, fork, merge)), "")
        heals = into and not git.differing(sh, repo, into, merge)
        if heals and (found := _squashed(sh, fork, theirs, into)):
            return found
    if theirs not in merged:
        return Landing(before, theirs, landing)
    result = _end(sh, fork, tag, landing, head)
    return Landing(_newer_side(sh, fork, before, theirs, landing, result), theirs, result)


def _parents(sh: Shell, fork: Fork, commit: str) -> list[str]:
    line = git.ask(
        sh, fork.path, "rev-list --parents -1 {commit} --", "parents", commit=commit
    ).line
    return line.split()[1:]


def _squashed(sh: Shell, fork: Fork, theirs: str, head: str) -> Landing | None:
    """The first commit in a history that brought a release squashed."""
    found = None
    for commit, sync in authorship.of_fork(sh, fork, head, theirs).squashed.items():
        if git.is_ancestor(sh, fork.path, theirs, sync.parent):
            found = Landing(sync.before, theirs, commit.name)
    return found


def _end(sh: Shell, fork: Fork, tag: str, merge: str, head: str) -> str:
    """The last commit of a sync branch that a branch was forwarded to, as far as this clone knows
    it; else the merge itself."""
    sync, refs, end = fork.policy.branches.sync_for(tag), fork.refs.commits, merge
    verified = f"refs/carto-fork/passed/{tag}/verify"
    tracked = fork.tracking(fork.policy.remotes.origin, sync)
    for ref in (f"refs/heads/{sync}", tracked, verified):
        tip = refs.get(ref, "")
        if tip and git.is_ancestor(sh, fork.path, end, tip):
            end = tip if git.is_ancestor(sh, fork.path, tip, head) else end
    return end


def _newer_side(sh: Shell, fork: Fork, ours: str, theirs: str, merge: str, end: str) -> str:
    """The fork's side of a sync branch: the newest production commit that it took in."""
    question = "rev-list --first-parent --merges --parents {end} --not {merge} --"
    listed = git.ask(sh, fork.path, question, "merges", end=end, merge=merge).out
    for line in listed.splitlines():
        for production in line.split()[2:]:
            side = syncs.newer_side(sh, fork.path, ours, theirs, end, production)
            if side != ours:
                return side
    return ours


def _judged(sh: Shell, fork: Fork, landing: Landing, more: Sequence[Finding]) -> Verification:
    """The checks of what landed. What is wrong there and is right later on the branch, counts as
    right; what a later commit changed, is not about this sync.

    more: findings of other checks.
    """
    sides = (sh, fork, fork.path, landing.ours, landing.theirs)
    checked = verify.of_merge(*sides, landing.result, more)
    for commit in _later(sh, fork, landing):
        if checked.wrong == [*more] and not (checked.account and checked.account.lost):
            break
        checked = _still_wrong(checked, verify.of_merge(*sides, commit, more))
    return checked


def _later(sh: Shell, fork: Fork, landing: Landing) -> Iterator[str]:
    """The production branch before its next release, which replaces lines of this one, and as it
    is now."""
    production, last = fork.production_commit, landing.result
    merged = releases.merged(sh, fork, production, fork.refs)
    before = git.held(sh, fork.path, last, merged.values(), landing.theirs)
    newer = {name: commit for name, commit in merged.items() if commit not in before}
    stable = (tags.classify(name, fork.policy.tags) for name in newer)
    if following := min((tag for tag in stable if tag and tag.stable), default=None):
        next_one = git.first_with(sh, fork.path, newer[following.name], production)
        last = git.commit_of(sh, fork.path, f"{next_one}^1")
        if last != landing.result and git.is_ancestor(sh, fork.path, landing.result, last):
            yield last
    if production != last:
        yield production


def _still_wrong(before: Verification, now: Verification) -> Verification:
    """The checks of a later commit, without what was right before."""
    assert before.account and now.account  # there is one of every merge
    known = {*map(_known, before.wrong)}
    findings = [x for x in now.findings if not x.certain or _known(x) in known]
    later = {*map(id, now.account.lost)} - {*map(id, still_lost(before.account, now.account))}
    entries = tuple(entry for entry in now.account.entries if id(entry) not in later)
    account = replace(now.account, entries=entries)
    return replace(now, findings=tuple(findings), account=account)


def still_lost(before: Ledger, now: Ledger) -> list[Entry]:
    """What an account of a later commit lacks, of what an earlier one lacked."""
    was = {_change(entry): {*_lines(entry)} for entry in before.lost}
    return [x for x in now.lost if not was.get(_change(x), {""}).isdisjoint(_lines(x))]


def _known(finding: Finding) -> tuple[str, str, str]:
    """What a finding is about, whatever line it is on by now."""
    return finding.check, finding.path, re.sub(r":\d+:", ":", finding.what)


def _change(entry: Entry) -> object:
    return entry.side, entry.path, entry.what, entry.account.change


def _lines(entry: Entry) -> list[str]:
    """What is lost of a change; only itself if it is not about lines."""
    missing, back = entry.account.missing, entry.account.back
    return [*(f"-{line}" for line in missing), *(f"+{line}" for line in back)] or ["all"]
