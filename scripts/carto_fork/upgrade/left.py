"""Conflicts that nothing decided: the proposals of programs, and what a person has to do."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..fork.fork import Fork
from ..fork.session import Session
from ..merge import hunks
from ..merge.resolution import Resolution, show
from ..run import git
from ..run.errors import Paused
from ..run.text import in_actions, listed
from . import proposals


def propose(
    s: Session,
    fork: Fork,
    place: Path,
    done: Resolution,
    merged: tuple[str, str, str],
    asking: bool,
    *,
    todo: bool = True,
    ends: bool = False,
) -> Resolution:
    """Ask the policy's programs about the conflicts left in a merge, and print the outcome.

    merged: the fork's side, upstream's, and the release. asking: whether to ask at all.
    todo, ends: as `show` takes them.
    """
    answers: Sequence[proposals.Answer] = ()
    if asking:
        done, answers = proposals.settle(s, fork, place, done, *merged)
    show(s.console, done, todo=todo, ends=ends)
    for answer in answers:
        s.console.say(answer.line, "" if answer.text is not None else "yellow")
    return done


def say_sides(s: Session, resolution: Resolution, **where: str) -> None:
    """Print how to choose a side for what is left in a file.

    where: the option that names the merge.
    """
    # What somebody has edited to its end, they decide by staging it.
    every = [decision.conflict for decision in resolution.left]
    left = [x.path for x in every if not x.edited or hunks.has_markers(x.text or "")]
    if left and not (in_actions() and where.get("repo")):  # nobody can go there
        path = left[0]
        s.console.say(
            "To keep the fork's side of a file (--accept-upstream for upstream's), with your words "
            "for WHY:"
        )
        choose = s.command("resolve-conflicts", **where, keep_fork=path, reason="WHY")
        s.console.row("  ", choose)


def require_nothing_left(s: Session, resolution: Resolution, place: Path, conclude: str) -> None:
    """Raises Paused if conflicts or markers are left in a work tree.

    conclude: the command that continues the merge.
    """
    files_ = listed(resolution.marked)
    one = len(resolution.marked) == 1
    staged = "is staged with its markers" if one else "are staged with their markers"
    marked = [f"{files_} {staged}; `git add` each again once it has none."] if files_ else []
    if marked or (resolution.left and not s.sh.dry):
        count = len(resolution.left) + len(resolution.marked)
        needs = f"{count} {'conflict needs' if count == 1 else 'conflicts need'} a person."
        paused = Paused(
            " ".join([needs, *marked]),
            untouched="Nothing was committed; what could be decided is staged.",
            then=f"resolve {git.inside(place)}, `git add` each file, then run `{conclude}`.",
        )
        left = [decision.conflict.path for decision in resolution.left]
        paused.facts = {"work_tree": str(place), "files": [*resolution.marked, *left]}
        raise paused
