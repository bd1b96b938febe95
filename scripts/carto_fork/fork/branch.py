"""A branch in a work tree of its own: the steps that begin one, publish it, and put it away."""

from __future__ import annotations

from dataclasses import replace

from ..run.steps import Condition, Step

PRODUCTION_MOVED = Condition("where the clone is behind")
PUSHES = Condition("without `--direct` and `--no-push`")
DIRECT = Condition("with `--direct`, without `--no-push`")
DIRECT_ELSEWHERE = Condition("with `--direct`, where it is not checked out")
DIRECT_CHECKED_OUT = Condition("with `--direct`, where it is checked out")
TIDIES = Condition("without `--no-push`")

FETCH_PRODUCTION = (
    Step(
        "production",
        "Get the production branch as it is on GitHub now.",
        when=PRODUCTION_MOVED,
        run=(
            "git -C {repo} fetch --no-tags --no-recurse-submodules {origin}"
            " +refs/heads/{production}:refs/remotes/{origin}/{production}",
        ),
        stuck="check the network and the remote, then run the same command again.",
    ),
)

BRANCH = Step(
    "branch",
    "Start the branch from production, or from where origin has it.",
    run=("git -C {repo} branch --no-track {sync} {start}",),
    done=("git -C {repo} show-ref --verify --quiet refs/heads/{sync}",),
)

WORKTREE = Step(
    "worktree",
    "Check it out in a work tree of its own; yours is not touched.",
    # --force twice: an earlier work tree's directory may be gone although git has it on record.
    # Tests need all files, whatever part of them your checkout shows.
    run=("git -C {repo} -c core.sparseCheckout=false worktree add --force --force {place} {sync}",),
    done=("test -e {work}/.git",),
    makes="{place}",
    undo=("git -C {repo} worktree remove --force --force {place}",),
    stuck="make room for {work}, then run the same command again.",
)

PUSH = Step(
    "push",
    "Publish the branch.",
    when=PUSHES,
    run=(
        "git -C {work} push --atomic --no-follow-tags {origin} refs/heads/{sync}:refs/heads/{sync}",
    ),
    stuck="see what {origin} says, then run the same command again.",
)

LANDING = (
    Step(
        "publish",
        "Move the production branch on GitHub, fast-forward only.",
        when=DIRECT,
        run=(
            "git -C {work} push --atomic --no-follow-tags {origin}"
            " refs/heads/{sync}:refs/heads/{production}",
        ),
        stuck="see what {origin} says, then run the same command again.",
    ),
    Step(
        "local",
        "Move the local production branch after it.",
        when=DIRECT_ELSEWHERE,
        run=("git -C {repo} fetch . refs/heads/{sync}:refs/heads/{production}",),
        untouched="{origin} has the upgrade; only the local branch is behind.",
    ),
    Step(
        "checkout",
        "Move the local branch after it, in its clean checkout.",
        when=DIRECT_CHECKED_OUT,
        run=("git -C {checkout} merge --ff-only refs/heads/{sync}",),
        untouched="{origin} has the upgrade; only the local branch is behind.",
    ),
    Step(
        "tidy",
        "Put the work tree away, unless it holds files unknown to git.",
        when=TIDIES,
        run=("git -C {repo} -c status.showUntrackedFiles=normal worktree remove {place}",),
        allow=(0, 128),
    ),
    Step(
        "forget",
        "Remove the local branch; the production branch contains it now.",
        when=DIRECT,
        run=("git -C {repo} branch -D {sync}",),
        # Exit code 1: the work tree was kept, and the branch is checked out there.
        allow=(0, 1),
    ),
)

TIDY = (replace(next(step for step in LANDING if step.name == "tidy"), when=None),)
