"""The one command to type next, from whatever state a fork is found in. Changes nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from . import fork, git, github, policy, status, stray
from .errors import Failed, Refused
from .fork import Fork
from .git import Refs
from .github import Hub, Pull
from .policy import TagUse
from .shell import Shell
from .status import InProgress, Status
from .tags import newest
from .text import counted, printable

_HEALING = re.compile(r"heal/[0-9a-f]{10}(-[0-9a-f]{10})?")
"""Branches that `heal` publishes."""


@dataclass(frozen=True)
class Advice:
    """What to do next.

    command: one line to paste; "" where there is nothing to do.
    why: what it is for, in a sentence.
    """

    command: str
    why: str


def read(sh: Shell, path: Path, command: Callable[..., str]) -> Advice:
    """Find out what to do next in a directory.

    command: makes the command line of a task on this fork from its name and options.
    Raises Refused where git is missing or too old.
    """
    git.require_version(sh)
    try:
        found = fork.open_fork(sh, path)
    except Refused as no:
        if "not a git repository (fatal: not a git" not in no.what:
            raise
        url = policy.load().policy.remotes.origin.url
        return Advice(
            f"git clone {quote(url)}", f"{printable(git.named(path))} is no git repository."
        )
    return next(_open(sh, found, command))


def _open(sh: Shell, found: Fork, command: Callable[..., str]) -> Iterator[Advice]:
    """Everything that there is to do, what comes first first."""
    remotes, branches = found.policy.remotes, found.policy.branches
    yield from _in_the_checkout(sh, found, command)
    if found.problem:
        yield Advice(command("config"), found.problem.what)
    own = not found.loaded.is_default
    wrong = [problem for problem, _ in fork.wrong_urls(found)]
    if not own and not found.has_production and (wrong or not found.url(remotes.origin)):
        yield Advice(
            command("init"),
            f"There is neither a branch {branches.production} nor a {policy.FILE_NAME}: "
            "this fork has no policy yet.",
        )
    if wrong:
        yield Advice(command("doctor"), wrong[0][:1].upper() + wrong[0][1:])
    for remote in (remotes.origin, remotes.upstream):
        if found.url(remote) is None:
            yield Advice(command("setup"), f"The remote {remote.name} is missing.")
    if found.repository.shallow:
        whole = f"{git.at(found.path)} fetch --unshallow {remotes.origin.name}"
        yield Advice(whole, "This is a shallow clone: without the whole history git cannot merge.")
    facts = status.read(sh, found, command)
    hub = _hub(sh, found)
    wanted = [f"refs/heads/{branches.production}", "refs/tags/*"]
    there = git.remote_refs(sh, found.path, remotes.origin.name, wanted)
    for upgrade in facts.in_progress:
        yield from _upgrade(sh, found, hub, there, upgrade, command)
    if facts.squashed:
        why = f"{branches.production} states the version of {facts.squashed.name} and lacks its"
        yield from _heal(sh, found, hub, f"{why} commits.", command)
    yield from _release(found, facts, there, command)
    release = facts.upstream_release
    if release and (not facts.contained or release > facts.contained):
        yield Advice(command("upgrade-carto", tag=release.name), "There is a newer stable release.")
    if not facts.online:
        ask = f"{git.at(found.path)} ls-remote {remotes.upstream.name}"
        yield Advice(ask, f"{remotes.upstream.name} cannot be reached.")
    if facts.problems:
        yield Advice(command("doctor"), facts.problems[0][:1].upper() + facts.problems[0][1:] + ".")
    has = facts.contained.name if facts.contained else "all there is"
    yield Advice("", f"Nothing to do: {branches.production} has {has}.")


def _in_the_checkout(sh: Shell, found: Fork, command: Callable[..., str]) -> Iterator[Advice]:
    """What the person at the work tree has begun there."""
    try:
        work = git.top_of_work_tree(sh, found.repository.path)
    except Refused:
        return  # a bare repository
    state, at = git.work_state(sh, work), git.at(work)
    branch = state.branch.removeprefix("refs/heads/")
    left = sh.ask("git -C {work} ls-files --unmerged -z", work=work).fields()
    count = len({entry.partition("\t")[2] for entry in left})
    under_way = stray.operation(sh, work)
    if under_way in ("rebase", "cherry-pick", "revert"):
        told = f"A {under_way} is in progress here"
        if rebased := git.rebased_branch(sh, work):
            told = (
                f"A rebase of {printable(rebased.removeprefix('refs/heads/'))} is in progress here"
            )
        if count:
            why = f"{told}, with {counted(count, 'conflict')}: resolve, `git add`, then --continue."
            yield Advice(f"{at} status", why)
        yield Advice(f"{at} {under_way} --continue", f"{told}.")
    if under_way == "bisect":
        yield Advice(f"{at} bisect reset", "A bisect is in progress here.")
    if state.merging and not found.policy.branches.tag_of(branch):
        if count:
            yield Advice(
                command("resolve-conflicts"),
                f"A merge is in progress here, with {counted(count, 'conflict')}; this decides "
                "what can be decided and lists the rest.",
            )
        yield Advice(f"{at} commit", "A merge is in progress here, and no conflict is left.")
    if not branch and state.head != git.NULL and (lost := stray.of(sh, work, state.head)):
        yield Advice(
            command("recover"),
            f"HEAD is detached, and {counted(lost.commits, 'commit')} here "
            f"{'is' if lost.commits == 1 else 'are'} on no branch.",
        )


def _upgrade(
    sh: Shell,
    found: Fork,
    hub: Hub | None,
    there: Refs | None,
    upgrade: InProgress,
    command: Callable[..., str],
) -> Iterator[Advice]:
    """How an upgrade that was started goes on."""
    tag, production = upgrade.tag, found.policy.branches.production
    if upgrade.conflicts:
        yield Advice(
            command("resolve-conflicts"),
            f"The upgrade to {tag} is paused: {upgrade.state}. This lists them with what to do.",
        )
    if not upgrade.published:
        yield Advice(upgrade.then, f"The upgrade to {tag} is not finished: {upgrade.state}.")
        return
    pull = _pull(sh, hub, production, upgrade.branch) if hub else None
    if hub is None or pull is None:
        yield Advice(
            command("sync-pr", tag=tag), f"{upgrade.branch} is published; its pull request is next."
        )
    elif pull.state == "OPEN" and found.policy.pull_requests.conflicts in pull.labels:
        yield Advice(
            command("resolve-conflicts", pr=str(pull.number)),
            f"Pull request {pull.number} has conflicts that are left for a person.",
        )
    elif pull.state == "OPEN":
        yield _review(hub, pull)
    elif pull.state == "MERGED":
        known = found.production_commit
        if there and there.objects.get(f"refs/heads/{production}") != known:
            fetch = f"{git.at(found.path)} fetch {found.policy.remotes.origin.name}"
            yield Advice(fetch, f"Pull request {pull.number} is merged, and this clone is behind.")
        else:
            why = f"Pull request {pull.number} was not merged with a merge commit."
            yield from _heal(sh, found, hub, why, command)
    # One that a person closed is not opened again.


def _heal(
    sh: Shell, found: Fork, hub: Hub | None, why: str, command: Callable[..., str]
) -> Iterator[Advice]:
    """How the ancestry of a squashed sync comes back.

    why: how it is known to be lost.
    """
    remotes, production = found.policy.remotes, found.policy.branches.production
    if not found.upstream_refs:
        fetch = f"{git.at(found.path)} fetch {remotes.upstream.name}"
        yield Advice(fetch, f"{why} To heal that, upstream's branch has to be here.")
    prefix = found.tracking(remotes.origin, "")
    for ref in found.refs.objects:
        branch = ref.removeprefix(prefix)
        if hub is None or not _HEALING.fullmatch(branch):
            continue
        pull = _pull(sh, hub, production, branch)
        if pull is None:
            line = f"pr create -R {hub.slug} --base {production} --head {branch} --fill"
            yield Advice(f"{quote(hub.gh)} {line}", f"{why} {branch} mends that: ask for a review.")
        elif pull.state == "OPEN":
            yield _review(hub, pull)
    yield Advice(command("heal"), f"{why} This records the ancestry that was lost.")


def _release(
    found: Fork, facts: Status, there: Refs | None, command: Callable[..., str]
) -> Iterator[Advice]:
    """Whether what was merged last is released."""
    if not found.policy.releases or not facts.contained:
        return
    names = {*found.refs.tags(), *(there.tags() if there else ())}
    own = newest(names, found.policy.tags, TagUse.OWN)
    if own is None or own.version < facts.contained.version:
        last = f"the newest release is {own.name}" if own else "nothing was ever released"
        yield Advice(
            command("release"), f"{facts.production} has {facts.contained.name}, and {last}."
        )


def _review(hub: Hub, pull: Pull) -> Advice:
    return Advice(
        f"{quote(hub.gh)} pr view {pull.number} -R {hub.slug}",
        f"Pull request {pull.number} waits for its review; merge it with a merge commit, "
        "never squashed.",
    )


def _hub(sh: Shell, found: Fork) -> Hub | None:
    origin = found.policy.remotes.origin
    return found.hub(origin) if github.can_be_asked(found.gh, origin.url) else None


def _pull(sh: Shell, hub: Hub, base: str, head: str) -> Pull | None:
    """The newest pull request of a branch; None where there is none, or GitHub does not tell."""
    try:
        pulls = github.pulls(sh, hub, base=base, state="all", head=head)
    except Failed:
        return None
    return next((pull for pull in pulls if pull.state == "OPEN"), pulls[0] if pulls else None)
