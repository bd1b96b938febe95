"""What a clone needs before anything else: remotes, and settings of git."""

from __future__ import annotations

from ..run.steps import Condition, Plan, Step
from .fork import require_right_urls
from .session import Session

NO_ORIGIN = Condition("where there is no remote of that name")
NO_UPSTREAM = Condition("where there is no remote of that name")

SETUP = (
    Step(
        "origin",
        "Name the fork on GitHub.",
        when=NO_ORIGIN,
        run=("git -C {repo} remote add {origin} {origin_url}",),
    ),
    Step(
        "upstream",
        "Name the original repository.",
        when=NO_UPSTREAM,
        run=("git -C {repo} remote add {upstream} {upstream_url}",),
    ),
    Step(
        "rerere",
        "Let git remember how a person resolves a conflict.",
        run=("git -C {repo} config rerere.enabled true",),
        done=("git -C {repo} config --local --get rerere.enabled ^true$",),
    ),
    Step(
        "zdiff3",
        "Show in every conflict what both sides started from.",
        run=("git -C {repo} config merge.conflictStyle zdiff3",),
        done=("git -C {repo} config --local --get merge.conflictStyle ^zdiff3$",),
    ),
)


def set_up(s: Session) -> None:
    """Add the remotes that are missing, and set git up in the clone."""
    fork = s.open_fork()
    require_right_urls(fork)
    origin, upstream = fork.policy.remotes.origin, fork.policy.remotes.upstream
    remotes = {NO_ORIGIN: origin, NO_UPSTREAM: upstream}
    missing = {condition for condition, remote in remotes.items() if fork.url(remote) is None}
    with s.locked(fork.repository) as held:
        s.run(SETUP, Plan(fork.values(), frozenset(missing)), held)
    if not s.sh.dry:
        s.console.row("Next: ", s.command("next"))
