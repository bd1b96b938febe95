"""Conflicts that are left: decided in a work tree, or in the pull request of a sync."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ..fork import target
from ..fork.fork import Fork
from ..fork.session import Session
from ..merge import resolve
from ..merge.decisions import Decision
from ..merge.resolve import Words
from ..run import git, github, invocation
from ..run.errors import Paused, Refused, Usage
from ..run.steps import Condition, Plan
from ..run.text import counted, printable
from . import plan, steps, sync
from .work import Work, require_nothing_left, settle


def require_sense(words: Words) -> None:
    """Raises Usage where a person says two things of one file, or does not say why."""
    if both := sorted(set(words.upstream) & set(words.fork)):
        problem = f"{printable(both[0])} is named by both --accept-upstream and --keep-fork."
        raise Usage(problem, then="name it once.")
    if words.takes and not words.reason.strip():
        raise Usage(
            "say why: --reason is missing.",
            then="add --reason, in words that a colleague understands a year from now.",
        )


def resolve_conflicts(s: Session, words: Words) -> None:
    """Decide the conflicts of a merge in progress. Raises Paused where some are a person's."""
    require_sense(words)
    fork, place = s.open_work_tree()
    state = git.work_state(s.sh, place)
    if not state.merging:
        place = _work_tree_of_upgrade(s, fork, place)
        state = git.work_state(s.sh, place)
    resolution = settle(s, fork, place, state.head, state.merging, words)
    conclude = _conclude(s, fork, place, state.branch)
    if s.json:
        s.print_json(resolution.as_json())
    require_nothing_left(s, resolution, place, conclude)
    if not s.sh.dry:
        s.console.row("Next: ", conclude)


def _conclude(s: Session, fork: Fork, place: Path, branch: str) -> str:
    """The command that goes on with the merge in a work tree, once nothing is left."""
    if tag := fork.policy.branches.tag_of(branch.removeprefix("refs/heads/")):
        return invocation.command(s.program, "upgrade-carto", repo=str(fork.home), tag=tag)
    return f"{git.at(place)} commit"


def _work_tree_of_upgrade(s: Session, fork: Fork, work: Path) -> Path:
    """The one upgrade's work tree in which a merge is in progress. Raises Refused otherwise."""
    upgrades = fork.merging_work_trees(s.sh)
    if not upgrades:
        raise Refused(f"no merge is in progress in `{work}`.", then="see `status`.")
    if len(upgrades) > 1:
        trees = " and ".join(map(str, upgrades))
        problem = f"a merge is in progress in {trees}."
        raise Refused(problem, then="name one of them with --repo.")
    return upgrades[0]


def resolve_request(s: Session, request: str, words: Words) -> None:
    """Resolve what is left of a sync in its pull request, check the result and push it.

    request: the pull request's number, address or branch.
    """
    if not re.fullmatch(r"#?\w[\w./:+-]*", request, re.ASCII):
        raise Usage(f"{request!r} names no pull request.", then="name its number, as in --pr 123.")
    require_sense(words)
    fork = s.open_fork()
    hub = fork.hub(fork.policy.remotes.origin)
    github.require(s.sh, hub)
    pull = github.pull(s.sh, hub, request)
    branches = fork.policy.branches
    name = branches.tag_of(pull.head)
    if pull.state != "OPEN" or pull.base != branches.production or not name:
        what = (
            f"pull request {pull.number} is {pull.state.lower()}, from {pull.head} into {pull.base}"
        )
        raise Refused(
            f"{what}: it is no open sync into {branches.production}.", then="see `status`."
        )
    release = target.find(s.sh, fork, name)
    with s.locked(fork.repository) as held:
        fetch = catch_up_plan(s, fork, release)
        s.run(steps.FETCH_REQUEST, fetch, held)
        fork = replace(fork, refs=git.refs(s.sh, fork.path))
        if git.has_object(s.sh, fork.path, release.base):  # under --dry nothing was fetched
            fork = fork.at(s.sh, release.base)
        place = Path(fetch.values["place"])
        work = Work(s, fork, release.tag, release.commit, place)
        merge, ours = git.merge_of(s.sh, fork.path, release.commit, release.pushed)
        if not merge:
            raise Refused(
                f"{pull.head} holds no merge of {name}.", then=s.command("upgrade-carto", tag=name)
            )
        decided = work.decisions(ours)
        # Where the work tree differs from its commit, somebody has begun to resolve.
        if not git.work_state(s.sh, place).dirty:
            _bring_back(s, fork, place, decided, (ours, release.commit, merge))
        settled = [decision.conflict.path for decision in decided]
        done = settle(s, fork, place, ours, release.commit, words, settled)
        stopped = [*(d.conflict.path for d in done.left), *done.marked]
        if stopped and not s.sh.dry:
            count = len(set(stopped))
            raise Paused(
                f"{counted(count, 'file')} of pull request {pull.number} "
                f"{'needs' if count == 1 else 'need'} a person.",
                untouched="Nothing was committed or pushed; what could be decided is staged.",
                then=f"resolve in {git.nearest(place)}, `git add` each file, then run the same "
                "command again.",
            )
        s.run(steps.FINISH, fetch, held, work)


def catch_up_plan(s: Session, fork: Fork, release: target.Target) -> Plan:
    """The plan for having a pull request's branch in a work tree of its own."""
    fetch = plan.fetch_plan(fork, release)
    work = plan.place_of(fork, release.tag.name)
    branch = f"refs/heads/{fetch.values['sync']}"
    here = fork.refs.commits.get(branch, "")
    conditions: set[Condition] = set(fetch.conditions)
    if here and here != release.pushed:
        behind = True
        if git.has_object(s.sh, fork.path, release.pushed):
            behind = not git.is_ancestor(s.sh, fork.path, release.pushed, here)
        if behind:
            conditions.add(steps.WORK_BEHIND if work.exists() else steps.BRANCH_BEHIND)
    values = fetch.values | {
        "commit": release.commit,
        "version": release.tag.release,
        "work": str(git.nearest(work)),
        "place": str(work),
        "drop": invocation.command(
            s.program, "drop", repo=str(git.nearest(work)), path="PATH", reason="WHY"
        ),
        "resolved": f"resolve: conflicts from the upstream sync to {release.tag.name}",
    }
    untouched = "Your checkout and origin are as they were."
    return replace(fetch, values=values, conditions=frozenset(conditions), untouched=untouched)


def _bring_back(
    s: Session,
    fork: Fork,
    work: Path,
    decided: Sequence[Decision],
    merged: tuple[str, str, str],
) -> None:
    """Put the conflicts that are left on a sync branch back into the index of its work tree, so
    that git and everybody sees them as such.

    merged: both sides and the merge itself.
    """
    head = git.commit_of(s.sh, work, "HEAD")
    left = set(sync.unresolved(s.sh, fork, decided, *merged, head))
    found_left = [d.conflict for d in decided if d.conflict.path in left]
    if found_left:
        resolve.bring_back(s.sh, work, found_left)
