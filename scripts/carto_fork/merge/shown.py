"""What people see of a merge's conflicts: who decided them, and what is left."""

from __future__ import annotations

import posixpath
from collections import defaultdict
from collections.abc import Iterable, Iterator

from ..fork.policy import Kind, Side, Take
from ..run import git
from ..run.console import Console
from ..run.text import counted, file_word, pathspec_word
from .decisions import BY_WORD, Decision
from .dossier import Dossier
from .resolve import Resolution

_MOST_PATHS = 5
"""If one rule decided more paths than this in the same way, only their number is printed."""

_TAKEN = {
    Take.FORK: "fork's",
    Take.UPSTREAM: "upstream's",
    Take.BOTH: "both sides",
    Take.VERSION: "tag's version",
}


def show(console: Console, resolution: Resolution, *, todo: bool = True) -> None:
    """Print what happened to each conflict, by rule with its reason, and what is left to do.

    todo: whether to print how somebody resolves that in the work tree.
    """
    decided = [decision for decision in resolution.decisions if not decision.left]
    for rule, why in dict.fromkeys((decision.rule, decision.why) for decision in decided):
        console.say(f"{rule}: {why}")
        alike = (d for d in decided if (d.rule, d.why) == (rule, why))
        for kind, taken, path in _rows(alike):
            console.row(f"  {kind:<14} {taken:<20} ", path)
    if resolution.units:
        where = posixpath.commonpath(resolution.units)
        console.row(
            f"generated as a whole: {counted(len(resolution.units), 'more upstream file')}, in ",
            where,
        )
    for path in resolution.returned:
        console.row("disabled workflow that the merge brought back, removed again: ", path)
    for path in resolution.righted:
        console.row("git had merged its change into a twin, moved to the right file: ", path)
    for decision in decided:
        texts, path = decision.conflict.texts, decision.conflict.path
        by_word = decision.rule == BY_WORD and decision.take is Take.UPSTREAM
        if by_word and texts and decision.text not in (None, texts.theirs):
            differences = f"{git.at(resolution.work)} diff {resolution.theirs[:10]}"
            differences += f" -- {pathspec_word(path)}"
            console.row(f"the fork's other lines in {path} stay; to see them: ", differences)
    for drop in resolution.withdrawn:
        console.row(f"no longer dropped, so the record is gone ({drop.reason}): ", drop.path)
    left = len(resolution.left) + len(resolution.marked)
    total = len(resolution.decisions) + max(resolution.before, len(resolution.marked))
    if not total:
        console.result("No conflicts.")
        return
    dropped = sum(decision.dropped for decision in resolution.decisions)
    lines = f" {counted(dropped, 'fork line')} gave way to upstream's." if dropped else ""
    console.result(
        f"{total - left} of {counted(total, 'conflict')} decided, {left} left.{lines}",
        "bold",
    )
    if left:
        console.say("left for you to decide:", "yellow")
    for path in resolution.marked:
        console.row("  staged with conflict markers        ", path)
        word = pathspec_word(path)
        console.row(
            "    then:     ",
            f"resolve them in {file_word(path)}, then {git.at(resolution.work)} add -- {word}",
        )
    for decision in resolution.left:
        path = decision.conflict.path
        console.row(f"  {decision.conflict.kind.value:<14} {_hunks(decision):<20} ", path)
        console.row("    why:      ", decision.why)
        whole = f"{git.at(resolution.work)} diff -- {pathspec_word(path)}"
        _show_dossier(console, decision, resolution.dossiers[path], whole)
        for line in resolution.todo(decision).split("\n") if todo else ():
            console.row("    then:     ", line)


_MOST_LINES = 6
"""Changed lines of each side of a conflict that are shown."""


def _show_dossier(console: Console, decision: Decision, dossier: Dossier, whole: str) -> None:
    """Print both intents, and what each option would lose.

    whole: the command that shows all of the conflict.
    """
    for side, newest, changes in (
        ("fork:", dossier.fork, dossier.fork_changes),
        ("upstream:", dossier.upstream, dossier.upstream_changes),
    ):
        for commit in newest:
            console.row(
                f"    {side:<10}", f"{commit.name[:10]} {commit.date} {commit.subject}", "dim"
            )
        for line in changes[:_MOST_LINES]:
            console.row("              ", line)
        if len(changes) > _MOST_LINES:
            more = counted(len(changes) - _MOST_LINES, "more line")
            console.row(f"              and {more}: ", whole)
    deleted_by = decision.conflict.deleted_by
    if dossier.fork_lines or dossier.upstream_lines or deleted_by:
        mine = counted(dossier.fork_lines, "fork line")
        theirs = counted(dossier.upstream_lines, "upstream line")
        mine = "the fork's deletion" if deleted_by is Side.FORK else mine
        theirs = "upstream's deletion" if deleted_by is Side.UPSTREAM else theirs
        costs = f"{mine} if you take upstream's side, {theirs} if you keep the fork's"
        console.say(f"    loses:    {costs}", "dim")
    if dossier.past:
        console.row("    before:   ", dossier.past, "dim")


def _rows(decisions: Iterable[Decision]) -> Iterator[tuple[str, str, str]]:
    """Kind, decision and path of each; many paths with the same kind and decision share a row."""
    alike: dict[tuple[str, str], list[str]] = defaultdict(list)
    for decision in decisions:
        conflict, taken = decision.conflict, _TAKEN[decision.take] if decision.take else ""
        side = conflict.ours if decision.take is Take.FORK else conflict.theirs
        if decision.whole and side is None:
            taken += ": directory" if conflict.kind is Kind.DIRECTORY else ": deleted"
        if decision.dropped:
            taken += f" (-{decision.dropped})"
        alike[conflict.kind.value, taken].append(conflict.path)
    for (kind, taken), paths in alike.items():
        if len(paths) > _MOST_PATHS:
            paths = [f"{len(paths)} files in {posixpath.commonpath(paths) or 'many places'}"]
        for path in paths:
            yield kind, taken, path


def _hunks(decision: Decision) -> str:
    total = decision.left + decision.settled
    if decision.text is None:
        return "all of it"
    return f"{decision.left} of {counted(total, 'hunk')}"
