"""Which commits `ci.guard` checks, and with which policy."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..fork.fork import Fork
from ..fork.policy import Invalid
from ..fork.session import Session
from ..run import git
from ..run.errors import Refused, Usage
from ..run.shell import Shell
from ..run.text import in_actions, printable

_EVENTS = ("pull_request", "pull_request_target")


@dataclass(frozen=True)
class Range:
    """Commits that would enter the production branch: in the history of `head` but not in that of
    `base`. what: what to call them. pull: the number of their pull request, if any.
    sync: that pull request for `resolve-conflicts`, if they are a sync's.
    landing: whether they enter now; otherwise they only reach their pull request."""

    what: str
    base: str
    head: str
    pull: str = ""
    sync: str = ""
    landing: bool = True


def find(s: Session, fork: Fork, among: str, pushed: str | None) -> Iterator[Range]:
    """What is to be checked: a range that is named, a push, a job's pull request, or else what the
    checkout has and production lacks.

    pushed: what git gives its pre-push hook; None if this is not the hook.
    """
    if pushed is not None:
        yield from _pushed(s.sh, fork, pushed)
    elif among:
        yield Range(among, *_ends(s.sh, fork, among))
    elif _is_pull_request():
        yield from _pull_request(s.sh, fork)
    else:
        head = git.commit_of(s.sh, fork.repository.path, "HEAD")
        production = fork.origin_production.removeprefix("refs/remotes/")
        yield Range(f"{production}..HEAD", _production(fork), head)


def _ends(sh: Shell, fork: Fork, among: str) -> tuple[str, str]:
    """The two commits of a range. Raises Usage if it is not one."""
    ends = among.split("..")
    if len(ends) != 2 or not all(ends) or any(end[0] in "-." for end in ends):
        raise Usage(f"--range is {among!r}.", then="name two commits, as in --range A..B.")
    return git.commit_of(sh, fork.path, ends[0]), git.commit_of(sh, fork.path, ends[1])


def _is_pull_request() -> bool:
    return os.environ.get("GITHUB_EVENT_NAME") in _EVENTS and in_actions()


def _production(fork: Fork) -> str:
    """The production branch's commit. Raises Refused if this clone does not have it."""
    if not fork.has_production:
        raise Refused(
            f"this clone has no branch {fork.policy.branches.production}.",
            then=f"{git.at(fork.path)} fetch {fork.policy.remotes.origin.name}; "
            "in GitHub Actions check out with `fetch-depth: 0`.",
        )
    return fork.production_commit


def _pushed(sh: Shell, fork: Fork, lines: str) -> Iterator[Range]:
    """What a push would bring, from the lines git gives its hook: local ref, its commit, remote
    ref, its commit."""
    branches = fork.policy.branches
    for _, head, ref, before in _lines(lines):
        branch = ref.removeprefix("refs/heads/")
        if branch == branches.production:
            present = set(before) != {"0"} and git.has_object(sh, fork.path, before)
            yield Range(f"the push to {branch}", before if present else _production(fork), head)
        elif branches.tag_of(branch):
            is_there = fork.tracking(fork.policy.remotes.origin, branch) in fork.refs.commits
            sync = branch if is_there else ""
            yield Range(f"the push to {branch}", _production(fork), head, sync=sync, landing=False)


def _lines(pushed: str) -> Iterator[list[str]]:
    """The branches that a push would move or create, from git's lines. Raises Usage for another
    line."""
    for line in pushed.splitlines():
        fields = line.split(" ")
        if len(fields) != 4 or not all(map(git.is_hash, fields[1::2])):
            raise Usage(
                f"{printable(line)!r} is not a line that git gives a pre-push hook.",
                then="let git run this as its pre-push hook, and pass standard input on.",
            )
        if set(fields[1]) != {"0"} and fields[2].startswith("refs/heads/"):
            yield fields


def _pull_request(sh: Shell, fork: Fork) -> Iterator[Range]:
    """What the pull request of this GitHub Actions job would bring."""
    into, branch = (os.environ.get(name, "") for name in ("GITHUB_BASE_REF", "GITHUB_HEAD_REF"))
    if into != fork.policy.branches.production:
        return
    base, head, number = _event(sh, fork)
    sync = number if fork.policy.branches.tag_of(branch) else ""
    what = f"the pull request from {printable(branch)} to {into}"
    yield Range(what, base, head, number, sync)


def _event(sh: Shell, fork: Fork) -> tuple[str, str, str]:
    """The base, the head and the number of this job's pull request. Raises Refused if they are not
    known or not here."""
    then = "run it on `pull_request`, or name the commits with --range."
    if not (path := os.environ.get("GITHUB_EVENT_PATH")):
        raise Refused("GITHUB_EVENT_PATH names no file about the pull request.", then=then)
    try:
        event = json.loads(Path(path).read_bytes())
        pull = event["pull_request"]
        ends = [str(pull[side]["sha"]) for side in ("base", "head")]
        number = str(pull.get("number", "?"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Refused(
            f"{path}, which GITHUB_EVENT_PATH names, does not describe a pull request: {error!r}.",
            then=then,
        ) from None
    present = [git.is_hash(end) and git.has_object(sh, fork.path, end) for end in ends]
    if missing := [end for end, is_present in zip(ends, present, strict=True) if not is_present]:
        raise Refused(
            f"the commit {printable(missing[0])} of the pull request is not in this clone.",
            then="check out with `fetch-depth: 0` and `ref: "
            "${{ github.event.pull_request.head.sha }}`.",
        )
    return ends[0], ends[1], number


# --- The policy ----------------------------------------------------------------------------------


def corrected(
    s: Session, fork: Fork, among: str, pushed: str | None, problem: Refused
) -> Fork | None:
    """The fork with the policy of what is checked, which corrects production's invalid one; None
    if nothing of a push goes to production. Raises Refused if nothing corrects it.

    pushed: as in `find`. problem: why production's policy is not valid.
    """
    refs: list[str] = []
    if pushed is not None:
        lines = list(_lines(pushed))
        refs = [ref.removeprefix("refs/heads") for _, _, ref, _ in lines]
        heads = [head for _, head, _, _ in lines]
    elif among:
        heads = [_ends(s.sh, fork, among)[1]]
    elif _is_pull_request():
        heads = [_event(s.sh, fork)[1]]
    else:
        heads = [git.commit_of(s.sh, fork.repository.path, "HEAD")]
    why = problem
    for head in heads:
        try:
            return fork.fixed_by(s.sh, head, problem)
        except Refused as no:
            why = no
    ref = problem.ref if isinstance(problem, Invalid) else ""
    if pushed is not None and ref.startswith("refs/") and not ref.endswith(tuple(refs)):
        return None
    raise why
