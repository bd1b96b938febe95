"""What `recover` does: bring commits of a detached HEAD to a branch, and go back to one."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ..fork import stray
from ..fork.fork import Fork
from ..fork.session import Session
from ..fork.stray import Stray
from ..run import git
from ..run.errors import Refused
from ..run.steps import Condition, Plan, Step
from ..run.text import counted, printable

STRAY = Condition("where no branch, tag or remote has them")
BACK = Condition("where HEAD is detached")
BACK_NEW = Condition("where HEAD is detached and only the remote has the branch")

RECOVER = (
    Step(
        "branch",
        "Keep the commits on a branch of their own.",
        when=STRAY,
        run=("git -C {work} branch --no-track {branch} {commit}",),
        done=("git -C {work} show-ref --verify --quiet refs/heads/{branch}",),
    ),
    Step(
        "back",
        "Go back to a branch; changes that are not committed come along.",
        when=BACK,
        run=("git -C {work} switch --no-guess {back}",),
        stuck="commit them, or put them away with `git stash`, then run the same command again.",
        untouched="The commits are safe; HEAD and your files are as they were.",
    ),
    Step(
        "track",
        "Go back to the production branch, which is not here yet.",
        when=BACK_NEW,
        run=("git -C {work} switch --no-guess -c {back} --track {origin}/{back}",),
        stuck="commit them, or put them away with `git stash`, then run the same command again.",
        untouched="The commits are safe; HEAD and your files are as they were.",
    ),
)


_SHORT = 10


@dataclass(frozen=True)
class Recovery:
    """What is to be done, and what there is to tell.

    stray: the commits that get a branch. branch: its name; "" where there are none.
    back: the branch to go back to; "" where HEAD stays.
    left_behind: commits that an earlier checkout left.
    """

    stray: Stray | None
    branch: str
    back: str
    left_behind: tuple[Stray, ...]

    def as_json(self) -> dict[str, Any]:
        """Plain data for ``--json``."""
        return asdict(self)


def recover(s: Session, name: str, commit: str) -> None:
    """Keep what no branch leads to. Raises Refused in the middle of a merge or a rebase."""
    found = s.open_fork(whatever_policy=True)
    work = git.top_of_work_tree(s.sh, found.repository.path)
    if under_way := stray.operation(s.sh, work):
        end = "reset" if under_way == "bisect" else "--abort"
        raise Refused(
            f"a {under_way} is in progress in {git.named(work)}.",
            then=f"conclude it, or give it up (`{git.at(work)} {under_way} {end}`), then run "
            "the same command again.",
        )
    plan = _chosen(s, work, commit) if commit else _of_head(s, found, work)
    if plan.stray:
        plan = replace(plan, branch=_branch(s, work, name, plan.stray.commit))
    conditions = {STRAY} if plan.stray else set()
    if plan.back:
        known = f"refs/heads/{plan.back}" in found.refs.objects
        conditions.add(BACK if known else BACK_NEW)
    values = found.values() | {
        "work": str(work),
        "branch": plan.branch,
        "commit": plan.stray.commit if plan.stray else "",
        "back": plan.back,
    }
    untouched = "HEAD, your files and every commit are as they were."
    with s.locked(found.repository) as held:
        s.run(RECOVER, Plan(values, frozenset(conditions), untouched), held)
    if s.json:
        s.print_json(plan.as_json())
    _tell(s, work, plan)


def _of_head(s: Session, found: Fork, work: Path) -> Recovery:
    """What to do about HEAD, and what it left behind earlier."""
    left = tuple(stray.left_behind(s.sh, work))
    head = stray.detached(s.sh, work)
    if not head:
        return Recovery(None, "", "", left)
    mine = stray.of(s.sh, work, head)
    return Recovery(mine, "", _back(s, found, work), left)


def _chosen(s: Session, work: Path, commit: str) -> Recovery:
    """What to do about one commit, wherever HEAD is."""
    full = git.commit_of(s.sh, work, commit)
    mine = stray.of(s.sh, work, full)
    if mine is None:
        listed = s.sh.ask(
            "git -C {work} for-each-ref --count=1 --contains={commit} --format={format}"
            " refs/heads refs/tags refs/remotes",
            work=work,
            commit=full,
            format="%(refname:short)",
        )
        s.console.say(f"{full[:_SHORT]} is safe already: {printable(listed.line)} has it.")
    return Recovery(mine, "", "", ())


def _back(s: Session, found: Fork, work: Path) -> str:
    """The branch that was checked out last, unless another work tree shows it; else production."""
    log = s.sh.ask(
        "git -C {work} log --walk-reflogs --no-show-signature --format=%gs HEAD --", work=work
    )
    shown = {tree.branch for tree in git.worktrees(s.sh, work) if not tree.missing}
    for line in log.out.splitlines() if log.ok else []:
        if line.startswith("checkout: moving from "):
            name = line.removeprefix("checkout: moving from ").partition(" to ")[0]
            ref = f"refs/heads/{name}"
            if ref in found.refs.objects and ref not in shown:
                return name
    production = found.policy.branches.production
    if not found.has_production or found.local_production in shown:
        problem = (
            f"{production} is checked out in another work tree"
            if found.has_production
            else f"there is no branch {production}"
        )
        raise Refused(
            f"{problem}, and no other branch was checked out here before.",
            then=f"go to a branch yourself: {git.at(work)} switch BRANCH",
        )
    return production


def _branch(s: Session, work: Path, name: str, commit: str) -> str:
    """The name of the branch for a commit. Raises Refused where it cannot be had."""
    name = name or f"recovery/{commit[:_SHORT]}"
    if not s.sh.ask("git check-ref-format {ref}", ref=f"refs/heads/{name}").ok or name[0] == "-":
        raise Refused(
            f"{printable(name)!r} is no name for a branch.", then="choose another --name."
        )
    there = s.sh.ask(
        "git -C {work} rev-parse --quiet --verify {ref}", work=work, ref=f"refs/heads/{name}"
    )
    if there.ok and there.line != commit:
        raise Refused(
            f"there is a branch {name}, at {there.line[:_SHORT]}.", then="choose another --name."
        )
    return name


def _tell(s: Session, work: Path, plan: Recovery) -> None:
    done = not s.sh.dry
    if plan.stray and done:
        s.console.say(f"{counted(plan.stray.commits, 'commit')} kept on {plan.branch}.", "green")
    if plan.back and done:
        s.console.say(f"{plan.back} is checked out.", "green")
    if plan.stray and done:
        s.console.row("Next: ", f"{git.at(work)} log HEAD..{plan.branch}")
    for left in plan.left_behind:
        s.console.say(
            f"left behind: {left.commit[:_SHORT]} {left.date} {printable(left.subject)} "
            f"({counted(left.commits, 'commit')})",
            "yellow",
        )
    if plan.left_behind:
        s.console.row("Next: ", s.command("recover", commit=plan.left_behind[0].commit[:_SHORT]))
    if not (plan.stray or plan.back or plan.left_behind):
        s.console.say("Nothing to recover.")
