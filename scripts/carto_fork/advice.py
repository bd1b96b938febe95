"""The one command to type next, from whatever state a fork is found in. Changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from . import adoption, fork, git, github, healing, inventory, policy, status, stray
from .errors import Failed, Refused
from .fork import Fork
from .git import Refs
from .github import Hub, Pull
from .policy import TagUse
from .shell import Shell
from .status import InProgress, Status
from .tags import newest
from .text import counted, printable


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
    return of(sh, found, status.read(sh, found), command)


def of(sh: Shell, found: Fork, facts: Status, command: Callable[..., str]) -> Advice:
    """What to do next in a fork that stands as these facts say."""
    return next(_all(sh, found, facts, command))


def _all(sh: Shell, found: Fork, facts: Status, command: Callable[..., str]) -> Iterator[Advice]:
    """Everything that there is to do, what comes first first."""
    production = found.policy.branches.production
    origin, upstream = found.policy.remotes.origin.name, found.policy.remotes.upstream.name
    yield from _in_the_checkout(sh, found, command)
    yield from _foundations(found, command)
    hub = _hub(sh, found)
    wanted = [f"refs/heads/{production}", "refs/tags/*"]
    there = git.remote_refs(sh, found.path, origin, wanted, status.PATIENCE)
    yield from _production(found, there)
    if found.has_production:
        yield from _adoption(sh, found, hub, there, command)
        for upgrade in facts.in_progress:
            yield from _upgrade(sh, found, hub, there, upgrade, command)
        why = ""
        if facts.squashed:
            why = f"{production} states the version of {facts.squashed.name} and lacks its commits."
        yield from _heal(sh, found, hub, there, why, command)
    reached = {origin: there is not None, upstream: facts.online}
    for remote in (name for name, answers in reached.items() if not answers):
        ask = f"{git.at(found.path)} ls-remote {remote}"
        yield Advice(ask, f"{remote} cannot be reached: check the network and your access.")
    yield from _release(found, facts, there, command)
    release = facts.upstream_release
    if release and (not facts.contained or release > facts.contained):
        yield Advice(command("upgrade-carto", tag=release.name), "There is a newer stable release.")
    if facts.problems:
        why = "Something does not fit together; this says what mends it."
        yield Advice(command("doctor"), why)
    has = facts.contained.name if facts.contained else "all there is"
    yield Advice("", f"Nothing to do: {production} has {has}.")


def _foundations(found: Fork, command: Callable[..., str]) -> Iterator[Advice]:
    """What has to be there before anything else: a policy, the remotes, the whole history."""
    branches, remotes = found.policy.branches, found.policy.remotes
    if found.problem:
        why = "The fork's policy is not valid; this says why, and prints what counts meanwhile."
        yield Advice(command("config"), why)
    wrong = any(fork.wrong_urls(found))
    no_policy = found.loaded.is_default and not found.has_production
    if no_policy and (wrong or not found.url(remotes.origin)):
        yield Advice(
            command("init"),
            f"There is neither a branch {branches.production} nor a {policy.FILE_NAME}: "
            "this fork has no policy yet.",
        )
    if wrong:
        why = "A remote is not the one that the policy names; this says what mends it."
        yield Advice(command("doctor"), why)
    missing = [r.name for r in (remotes.origin, remotes.upstream) if not found.url(r)]
    if missing:
        why = f"{counted(len(missing), 'remote')} missing: {', '.join(missing)}."
        yield Advice(command("setup"), why)
    if found.repository.shallow:
        whole = f"{git.at(found.path)} fetch --unshallow {remotes.origin.name}"
        yield Advice(whole, "This is a shallow clone: without the whole history git cannot merge.")


def _production(found: Fork, there: Refs | None) -> Iterator[Advice]:
    """Whether the production branch is there at all."""
    production, origin = found.policy.branches.production, found.policy.remotes.origin.name
    if found.has_production or there is None:
        return
    if f"refs/heads/{production}" in there.objects:
        fetch = f"{git.at(found.path)} fetch {origin}"
        yield Advice(fetch, f"{production} is not in this clone yet.")
    else:
        yield Advice(
            f"{git.at(found.path)} ls-remote --heads {origin}",
            f"{origin} has no {production}, which the policy calls the production branch; "
            "these are the branches that it has.",
        )


def _adoption(
    sh: Shell, found: Fork, hub: Hub | None, there: Refs | None, command: Callable[..., str]
) -> Iterator[Advice]:
    """How it goes on after `init`, and after `adopt`."""
    production, origin = found.policy.branches.production, found.policy.remotes.origin
    begun = False
    for branch in filter(adoption.BRANCH.fullmatch, found.published):
        ref = found.tracking(origin, branch)
        if git.is_ancestor(sh, found.path, ref, found.production_commit):
            continue
        begun = True
        if hub:
            yield from _requested(sh, found, hub, there, branch)
        elif not _adopted(sh, found):
            yield Advice(
                f"{git.at(found.path)} log -p {quote(f'{found.production_commit[:10]}..{ref}')}",
                f"{branch} on {origin.name} holds what the fork lacks: review this, then merge it "
                f"into {production}.",
            )
    if found.draft and not begun:
        yield Advice(
            command("adopt"),
            f"{policy.FILE_NAME} is on no branch yet; this publishes one with all that the fork "
            "needs.",
        )


def _adopted(sh: Shell, found: Fork) -> bool:
    """Whether the production branch has all that the fork is given."""

    def read(path: str) -> str | None:
        return git.show(sh, found.path, found.production_commit, path)

    try:
        copies = adoption.compare(found.policy, read, draft=found.draft)
    except Refused:
        return False
    return not any(copy.due for copy in copies)


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
        why = f"The upgrade to {tag} is paused; this lists its conflicts, with what to do."
        yield Advice(command("resolve-conflicts"), why)
    if not upgrade.published:
        yield Advice(command("upgrade-carto", tag=tag), f"The upgrade to {tag} is not finished.")
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
    elif pull.state == "MERGED" and not _behind(found, there):
        why = f"Pull request {pull.number} was not merged with a merge commit."
        yield from _heal(sh, found, hub, there, why, command)
    else:
        yield from _further(found, hub, there, pull)


def _heal(
    sh: Shell,
    found: Fork,
    hub: Hub | None,
    there: Refs | None,
    why: str,
    command: Callable[..., str],
) -> Iterator[Advice]:
    """How the ancestry of a sync comes back, where the history tells that it is lost.

    why: what else tells it; "" if nothing does.
    """
    if not found.upstream_refs:
        fetch = f"{git.at(found.path)} fetch {found.policy.remotes.upstream.name}"
        if why:
            yield Advice(fetch, f"{why} To heal that, upstream's branch has to be here.")
        return
    lost = inventory.lost(sh, found)
    if lost is None:
        return
    if hub:
        for branch in filter(healing.BRANCH.fullmatch, found.published):
            yield from _requested(sh, found, hub, there, branch)
    does = (
        "This says what is in the way of healing that."
        if lost.hidden
        else ("This records the ancestry that was lost.")
    )
    yield Advice(healing.way_out(lost, command), f"{why or healing.described(lost) + '.'} {does}")


def _requested(
    sh: Shell, found: Fork, hub: Hub, there: Refs | None, branch: str
) -> Iterator[Advice]:
    """How a branch goes on that is published, and that waits to be merged."""
    production = found.policy.branches.production
    pull = _pull(sh, hub, production, branch)
    if pull is None:
        line = f"pr create -R {hub.slug} --base {production} --head {branch} --fill"
        yield Advice(f"{quote(hub.gh)} {line}", f"{branch} is published: ask for a review.")
    else:
        yield from _further(found, hub, there, pull)


def _further(found: Fork, hub: Hub, there: Refs | None, pull: Pull) -> Iterator[Advice]:
    """How a pull request goes on. One that a person closed is not opened again."""
    if pull.state == "OPEN":
        yield Advice(
            f"{quote(hub.gh)} pr view {pull.number} -R {hub.slug}",
            f"Pull request {pull.number} waits for its review; merge it with a merge commit, "
            "never squashed.",
        )
    elif pull.state == "MERGED" and _behind(found, there):
        fetch = f"{git.at(found.path)} fetch {found.policy.remotes.origin.name}"
        yield Advice(fetch, f"Pull request {pull.number} is merged, and this clone is behind.")


def _behind(found: Fork, there: Refs | None) -> bool:
    """Whether origin's production branch has moved since this clone fetched."""
    production = f"refs/heads/{found.policy.branches.production}"
    return there is not None and there.objects.get(production) != found.production_commit


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


def _hub(sh: Shell, found: Fork) -> Hub | None:
    origin = found.policy.remotes.origin
    return found.hub(origin) if github.can_be_asked(found.gh, origin.url) else None


def _pull(sh: Shell, hub: Hub, base: str, head: str) -> Pull | None:
    """The newest pull request of a branch; None where there is none, or GitHub does not tell."""
    try:
        pulls = github.pulls(sh, hub, base=base, state="all", head=head, timeout=status.PATIENCE)
    except Failed:
        return None
    return next((pull for pull in pulls if pull.state == "OPEN"), pulls[0] if pulls else None)
