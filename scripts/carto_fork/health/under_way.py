"""What to do next: first, how to end an operation of git that somebody has begun in a checkout.
Changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from shlex import quote

from ..audit import healing
from ..fork import branches, recovery, releases, version_files
from ..fork.fork import Fork
from ..fork.tags import FIRST, Tag
from ..run import git, github
from ..run.errors import Refused
from ..run.github import Hub
from ..run.shell import Shell
from ..run.text import counted, listed, printable
from ..upgrade import begun
from .status import Status


@dataclass(frozen=True)
class Advice:
    """What to do next.

    command: one line to paste; "" if there is nothing to do.
    why: why to type it, in a sentence.
    """

    command: str
    why: str


def ways_out(
    sh: Shell, fork: Fork, state: git.WorkState | None, command: Callable[..., str]
) -> Iterator[Advice]:
    """What ends the operation in progress.

    state: of the work tree given by `--repo`; None in a bare repository.
    command: makes the command line of a task on this fork from its name and options.
    """
    if state is None:
        return
    work = fork.repository.work
    at = git.at(work)
    branch = state.branch.removeprefix("refs/heads/")
    count = len(state.unmerged)
    operation = branches.operation(fork.repository.directory)
    if operation in ("rebase", "cherry-pick", "revert"):
        rebased = branches.rebased_branch(sh, work).removeprefix("refs/heads/")
        of = f"of {printable(rebased)} " if rebased else ""
        what = f"A {operation} {of}is in progress here"
        if count:
            why = f"{what}, with {counted(count, 'conflict')}: resolve, `git add`, then "
            yield Advice(f"{at} status", f"{why}--continue.")
        yield Advice(f"{at} {operation} --continue", f"{what}.")
    if operation == "bisect":
        yield Advice(f"{at} bisect reset", "A bisect is in progress here.")
    if state.merging and not fork.policy.branches.tag_of(branch):
        if count and (merge := begun.for_a_person(sh, fork, work)):
            yield Advice(merge.line, merge.why)
        if count:
            why = f"A merge is in progress here, with {counted(count, 'conflict')}; this "
            why += "resolves what can be decided and lists the rest."
            yield Advice(command("resolve-conflicts"), why)
        yield Advice(f"{at} commit", "A merge is in progress here, and no conflict is left.")
    detached = not branch and state.head != git.NULL
    if detached and (lost := branches.stray_of(sh, work, state.head)):
        yield Advice(command("branch.recover"), f"HEAD is detached, and {lost.described}.")


def not_newer(facts: Status, newest: Tag, command: Callable[..., str]) -> Iterator[Advice]:
    """What to do about a release that is not newer than the stated version, and that nothing proves
    to be in production: its upgrade would be refused."""
    stated = next(iter(facts.version.values()), "")
    if version_files.number(stated) < newest.version:
        return
    lower = healing.lowering(command, facts.contained)
    why = f"{facts.production} states {printable(stated)} but lacks {newest.name}, and nothing "
    why += "proves that a commit brought it."
    if version_files.number(stated) == newest.version:
        anew = command("upgrade-carto", tag=newest.name, unhealed=True)
        other = f"; or, {healing.ONLY_RAISED}: `{lower}`" if lower else ""
        yield Advice(anew, f"{why} This merges it all the same{other}.")
    elif lower:
        yield Advice(lower, f"{why} This lowers the version to what it contains.")


def left_by_a_run(
    sh: Shell, fork: Fork, tag: str, pushed: str, command: Callable[..., str], **asked: bool
) -> Iterator[Advice]:
    """What puts in order what a killed run left of an upgrade, or brings back what `--abort` saved.

    pushed: its branch's commit on origin. asked: the options of its last run.
    """
    branch, again = fork.policy.branches.sync_for(tag), command("upgrade-carto", tag=tag, **asked)
    if recovery.is_half_made(fork, place := fork.place_for(branch)):
        why = f"A run was killed while it changed {git.named(git.nearest(place))}; this puts that "
        yield Advice(again, f"{why}in order first, and continues.")
    with suppress(Refused):  # it is checked out
        if begun.pending(sh, fork, tag, place, pushed):
            line = command("resolve-conflicts", pr=branch) if pushed else again
            yield Advice(line, f"{branch} has what --abort saved; this continues with it.")


def uncommitted(sh: Shell, fork: Fork, branch: str, then: str) -> Iterator[Advice]:
    """What to do about changes in the work tree of an upgrade that no commit has.

    then: what continues afterwards.
    """
    work = git.nearest(fork.place_for(branch))
    state = git.work_state(sh, work) if (work / ".git").exists() else None
    if not state or not state.dirty or state.merging or branches.reopened(sh, work, state):
        return
    verb = "is" if len(state.dirty) == 1 else "are"
    if state.unmerged:
        paths = listed(sorted(state.unmerged), 3)
        verb = "is" if len(state.unmerged) == 1 else "are"
        why = f"In {git.named(work)}, {paths} {verb} in conflict again: resolve that, `git add` "
        why += f"it, and commit; {then} Or discard it: `{git.at(work)} restore --staged "
        yield Advice(f"{git.at(work)} status", f"{why}--worktree :/`.")
    why = f"In {git.named(work)}, {listed(state.dirty, 3)} {verb} changed and not committed. This "
    why += f"adds that to the upgrade; {then} Or discard it: `{git.at(work)} restore --staged "
    yield Advice(f"{git.at(work)} commit --all", f"{why}--worktree :/`.")


def unnamed(fork: Fork, contained: Tag, command: Callable[..., str]) -> Iterator[Advice]:
    """What to do if no task would know the fork's next release by its name."""
    try:
        releases.own_name(fork.policy, contained, FIRST)
    except Refused as no:
        yield Advice(command("doctor", check="policy"), f"{no.what} This prints how to fix it.")


def dispatched(
    sh: Shell, fork: Fork, hub: Hub | None, command: Callable[..., str]
) -> Iterator[Advice]:
    """How to follow a run on GitHub that releases what production is now."""
    rules = fork.policy.releases
    if not (hub and rules and rules.workflow):
        return
    asked = (rules.workflow, fork.production_commit, git.PATIENCE)
    run = github.unfinished_run(sh, hub, *asked)
    if run is not None:
        why = f"A run of {rules.workflow} that releases this was started and has not ended; if it "
        why += f"never begins, `{command('release')}` does its work here."
        yield Advice(f"{quote(hub.gh)} run view {run} -R {hub.slug}", why)


def unpublished(
    sh: Shell,
    fork: Fork,
    there: git.Refs | None,
    contained: Tag | None,
    command: Callable[..., str],
) -> Iterator[Advice]:
    """What to do about a release of the fork whose tag was never pushed.

    there: origin's tags as they are now; None if it does not answer.
    contained: the newest upstream release in production.
    """
    tag = releases.unpublished(sh, fork, there) if there else None
    if tag is None:
        return
    commit, origin = fork.refs.tag(tag.name), fork.policy.remotes.origin.name
    why = f"Only this clone has the tag {tag.name}: a release was interrupted before it was pushed"
    if commit == fork.production_commit and contained and tag.version == contained.version:
        yield Advice(command("release"), f"{why} to {origin}. This continues it.")
    else:
        why += f", and {fork.policy.branches.production} has moved on since. If nobody needs it, "
        remove = f"{git.at(fork.path)} tag -d {tag.name}"
        yield Advice(remove, f"{why}this removes it; then `{command('release')}`.")
