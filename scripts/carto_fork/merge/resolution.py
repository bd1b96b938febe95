"""What became of the conflicts of a merge, what a person needs to know about those that are left,
and how that is printed."""

from __future__ import annotations

import posixpath
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..fork.policy import Kind, Side, Take
from ..fork.records import Drop
from ..run import git
from ..run.console import Console
from ..run.shell import Shell
from ..run.text import counted, file_word, lines_of, pathspec_word
from . import authorship, commits, hunks
from .decisions import BY_WORD, Decision
from .hunks import Commit, Conflict, Customisations, has_markers

_MOST_COMMITS, _MOST_BLAMED = 3, 200


@dataclass(frozen=True)
class Dossier:
    """The intents of both sides, and what each option would lose.

    fork, upstream: the newest commits behind each side.
    fork_lines: how many fork lines are lost if upstream's side wins.
    upstream_lines: how many upstream lines are lost if the fork's side wins.
        Both are 0 if the conflict is only about a file's name.
    fork_changes, upstream_changes: the lines that each side removed ("- ") and added ("+ ").
    past: how an earlier conflict about the same lines was resolved; "" without one.
    """

    fork: tuple[Commit, ...]
    upstream: tuple[Commit, ...]
    fork_lines: int
    upstream_lines: int
    fork_changes: tuple[str, ...]
    upstream_changes: tuple[str, ...]
    past: str


def dossiers(
    sh: Shell, repo: Path, left: Sequence[Decision], own: Customisations, ours: str, theirs: str
) -> dict[str, Dossier]:
    """A dossier for each undecided conflict, by path."""
    own = authorship.about(own, (p for d in left for p in (d.conflict.path, *d.conflict.names)))
    return {d.conflict.path: _dossier_of(sh, repo, d, own, ours, theirs) for d in left}


def _dossier_of(
    sh: Shell, repo: Path, decision: Decision, own: Customisations, ours: str, theirs: str
) -> Dossier:
    conflict = decision.conflict
    segments = hunks.parse(decision.text) if decision.text is not None else None
    sides: list[Sequence[Sequence[str]]] = []
    if segments:
        sides = [(s.ours, s.base or (), s.theirs) for s in segments if isinstance(s, hunks.Hunk)]
    elif (texts := conflict.texts) and conflict.kind is not Kind.RENAME:
        sides = [[lines_of(text) for text in (texts.ours, texts.base, texts.theirs)]]
    mine, base, other = (Counter(line for side in sides for line in side[i]) for i in range(3))
    changes = [
        tuple(
            f"{sign} {line.rstrip()}"
            for hunk in sides
            for sign, lines, without in (("-", hunk[1], hunk[i]), ("+", hunk[i], hunk[1]))
            for line in lines
            if line not in without and line.strip()
        )
        for i in (0, 2)
    ]
    # Lines of the common ancestor belong to neither side.
    mine, other = mine - base - other, other - base - mine
    paths = (conflict.path, *conflict.names)
    wrote = own.behind(mine.elements())
    touched = own.of(paths)
    upstreams = _names_upstream(sh, repo, conflict, theirs) or paths
    newest = commits.behind(
        sh, repo, theirs, ours, upstreams, {change[2:].strip() for change in changes[1]}
    )
    by = [c for c in wrote if c in touched] or [*_wrote(sh, repo, conflict, mine, ours)] or touched
    return Dossier(
        fork=tuple(by)[:_MOST_COMMITS],
        upstream=tuple(newest[:_MOST_COMMITS]),
        fork_lines=mine.total(),
        upstream_lines=other.total(),
        fork_changes=changes[0],
        upstream_changes=changes[1],
        past=decision.past,
    )


def _wrote(
    sh: Shell, repo: Path, conflict: Conflict, lines: Counter[str], ours: str
) -> Iterable[Commit]:
    """The commits that lines on the fork's side are from, the newest first, if no fork commit wrote
    them: they may be upstream's, of a release that the merged one does not contain."""
    text = conflict.texts.ours if conflict.texts else ""
    numbers = [n for n, line in enumerate(lines_of(text), 1) if line in lines and line.strip()]
    path = conflict.names[0] if conflict.names else conflict.path
    made = commits.blame(sh, repo, ours, path, numbers[:_MOST_BLAMED]) if numbers else ()
    return sorted({commit for _, commit in made}, key=lambda c: c.date, reverse=True)


def _names_upstream(
    sh: Shell, repo: Path, conflict: hunks.Conflict, theirs: str
) -> tuple[str, ...]:
    """Where upstream has its version, if the fork has the file under another name."""
    version = conflict.theirs
    tree = git.tree(sh, repo, theirs) if version else {}
    if not version or conflict.path in tree:
        return ()
    return tuple(path for path, (_, name) in tree.items() if name == version.name)


@dataclass(frozen=True)
class Resolution:
    """What happened to a merge's conflicts.

    decisions: one for each conflict.
    returned: workflows that the fork had disabled, that the merge brought back without a conflict,
        and that were removed again.
    units: generated files that merged without conflict into a mixture of two builds; upstream's
        version was taken, or the file removed.
    dossiers: what a person needs to know about each undecided conflict, by path.
    marked: files that are staged although they still contain conflict markers.
    righted: renamed files whose change git had merged into a twin.
    work: the work tree of the merge. sides: the commits merged, the fork's and upstream's.
    before: how many conflicts were resolved before this run.
    withdrawn: decisions of this merge that its result no longer bears out; their records are gone.
    """

    decisions: tuple[Decision, ...]
    returned: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    dossiers: Mapping[str, Dossier] = field(default_factory=dict)
    marked: tuple[str, ...] = ()
    righted: tuple[str, ...] = ()
    work: Path = Path()
    sides: tuple[str, str] = ("", "")
    withdrawn: tuple[Drop, ...] = ()
    before: int = 0

    @property
    def left(self) -> list[Decision]:
        """The decisions that are left for a person."""
        return [decision for decision in self.decisions if decision.left]

    @property
    def unfinished(self) -> bool:
        """Whether a person is needed before the merge can be committed."""
        return bool(self.left or self.marked)

    def todo(self, decision: Decision) -> str:
        """What a person should do about a conflict, with git commands that work from the current
        directory."""
        commands = r"\bgit (?=(add|rm|checkout|update-index) -)|\bgit (?=checkout [0-9a-f]{10} -- )"
        return re.sub(commands, lambda _: f"{git.at(self.work)} ", decision.todo)

    def as_json(self) -> dict[str, Any]:
        """Plain data for ``--json``."""
        return {
            "conflicts": [
                _as_json(decision, self.dossiers.get(decision.conflict.path))
                | {"todo": self.todo(decision)}
                for decision in self.decisions
            ],
            "removed_again": list(self.returned),
            "generated_taken_whole": list(self.units),
            "left": len(self.left),
            "staged_with_markers": list(self.marked),
            "renamed_files_put_right": list(self.righted),
            "decisions_withdrawn": self.withdrawn,
        }


def _as_json(decision: Decision, about: Dossier | None) -> dict[str, Any]:
    conflict = decision.conflict
    return {
        "path": conflict.path,
        "kind": conflict.kind.value,
        "deleted_by": conflict.deleted_by and conflict.deleted_by.value,
        "decision": decision.take.value
        if decision.take
        else "person"
        if decision.left
        else "proposed",
        "rule": decision.rule,
        "why": decision.why,
        "hunks_settled": decision.settled,
        "hunks_left": decision.left,
        "fork_lines_dropped": decision.dropped,
        "dossier": about,
    }


_MOST_PATHS = 5
"""If one rule decided more paths than this in the same way, only their number is printed."""

SIDES = {
    Take.FORK: "the fork's",
    Take.UPSTREAM: "upstream's",
    Take.BOTH: "both sides'",
    Take.VERSION: "the tag's version",
}
"""Who wins a conflict, in words."""


def taken(decision: Decision) -> str:
    """Who won a conflict, in the words of the terminal, the pull request and the page; "" if it is
    not decided."""
    if decision.take is None:
        return ""
    conflict, side = decision.conflict, SIDES[decision.take]
    stage = conflict.ours if decision.take is Take.FORK else conflict.theirs
    if decision.whole and stage is None:
        side += ": directory" if conflict.kind is Kind.DIRECTORY else ": deleted"
    return side


def show(
    console: Console, resolution: Resolution, *, todo: bool = True, ends: bool = False
) -> None:
    """Print what happened to each conflict, by rule with its reason, and what is left to do.

    todo: whether to print how somebody resolves that in the work tree. ends: whether it is
    committed at once if nothing is left.
    """
    decided = [decision for decision in resolution.decisions if not decision.left]
    rules = list(dict.fromkeys(decision.rule for decision in decided))
    reasons = dict.fromkeys((decision.rule, decision.why) for decision in decided)
    for rule, why in sorted(reasons, key=lambda reason: rules.index(reason[0])):
        console.say(f"{rule}: {why}")
        alike = (d for d in decided if (d.rule, d.why) == (rule, why))
        for kind, won, path in _rows(alike):
            console.row(f"  {kind:<14} {won:<20} ", path)
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
    if resolution.unfinished or not ends:
        _show_words(console, resolution, decided)
    for drop in resolution.withdrawn:
        console.row(f"no longer dropped, so the record is gone ({drop.reason}): ", drop.path)
    left = len(resolution.left) + len(resolution.marked)
    total = len(resolution.decisions) + max(resolution.before, len(resolution.marked))
    if not total:
        console.result("No conflicts.")
        return
    dropped = sum(decision.dropped for decision in resolution.decisions)
    now = " just now" if resolution.before else ""
    lines = f" {counted(dropped, 'fork line')} gave way to upstream's{now}." if dropped else ""
    console.result(
        f"{total - left} of {counted(total, 'conflict')} decided, {left} left.{lines}",
        "yellow" if left else "bold",
        done=not left,
    )
    if left:
        console.say("left for you to decide:", "yellow")
    for path in resolution.marked:
        console.row("  staged with conflict markers        ", path)
        word = pathspec_word(path)
        add = f"{git.at(resolution.work)} add -- {word}"
        _show_todo(console, f"resolve them in {file_word(path)}, then {add}")
    for decision in resolution.left:
        path = decision.conflict.path
        console.row(f"  {decision.conflict.kind.value:<14} {_hunks(decision):<20} ", path)
        for rule, number in Counter(made[1] for made in decision.became if made).items():
            console.say(f"{counted(number, 'hunk')}: {rule}", head="    decided:  ")
        console.say(decision.why, head="    why:      ")
        whole = f"{git.at(resolution.work)} diff -- {pathspec_word(path)}"
        if _is_edited(decision):  # whoever edited it knows both sides
            console.row("    to see:   ", whole)
        else:
            _show_dossier(console, decision, resolution.dossiers[path], whole)
        for line in resolution.todo(decision).split("\n") if todo else ():
            _show_todo(console, line)


def _show_words(console: Console, resolution: Resolution, decided: Sequence[Decision]) -> None:
    """Print which lines of the other side a person's words left, and how to take them back."""
    at, (ours, theirs) = git.at(resolution.work), resolution.sides
    for decision in decided:
        texts, path = decision.conflict.texts, decision.conflict.path
        if decision.rule != BY_WORD or not texts:
            continue
        taken, commit, whose = texts.ours, ours, "upstream's"
        if decision.take is Take.UPSTREAM:
            taken, commit, whose = texts.theirs, theirs, "the fork's"
        if decision.text not in (None, taken):
            differences = f"{at} diff {commit[:10]} -- {pathspec_word(path)}"
            console.row(f"{whose} other lines in {path} stay; to see them: ", differences)
    said = [d for d in decided if d.rule == BY_WORD and d.text is not None]
    if said:
        paths = " ".join(pathspec_word(decision.conflict.path) for decision in said)
        back = f"{at} checkout --conflict=diff3 -- {paths}"
        console.row("to take that back, before the merge is committed: ", back)
        console.say(
            "All conflicts of the file are back then; the next run decides again those that it "
            "had decided."
        )


def _show_todo(console: Console, line: str) -> None:
    """Print what to do about a conflict; a command after something to do is on its own line."""
    first, then, command = line.partition(", then git ")
    console.row("    to do:    ", f"{first}, then:" if then else first)
    if then:
        console.row("              ", f"git {command}")


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
            said = f"{commit.name[:10]} {commit.date} {commit.subject}"
            console.say(said, "dim", head=f"    {side:<10}")
        for line in changes[:_MOST_LINES]:
            console.row("              ", line.expandtabs(4))
        if len(changes) > _MOST_LINES:
            more = counted(len(changes) - _MOST_LINES, "more line")
            console.row(f"              and {more}: ", whole)
    deleted_by = decision.conflict.deleted_by
    if dossier.fork_lines or dossier.upstream_lines or deleted_by:
        mine = f"{counted(dossier.fork_lines, 'line')} that only the fork has"
        theirs = f"{counted(dossier.upstream_lines, 'line')} that only upstream has"
        mine = "the fork's deletion" if deleted_by is Side.FORK else mine
        theirs = "upstream's deletion" if deleted_by is Side.UPSTREAM else theirs
        costs = f"{mine} if you take upstream's side, {theirs} if you keep the fork's"
        console.say(costs, "dim", head="    loses:    ")
    if dossier.past:
        console.say(dossier.past, "dim", head="    before:   ")


def _rows(decisions: Iterable[Decision]) -> Iterator[tuple[str, str, str]]:
    """Kind, decision and path of each; many paths with the same kind and decision share a row."""
    alike: dict[tuple[str, str], list[str]] = defaultdict(list)
    for decision in decisions:
        conflict, said = decision.conflict, taken(decision)
        if decision.dropped:
            said += f" (-{decision.dropped})"
        alike[conflict.kind.value, said].append(conflict.path)
    for (kind, said), paths in alike.items():
        if len(paths) > _MOST_PATHS:
            paths = [f"{len(paths)} files in {posixpath.commonpath(paths) or 'many places'}"]
        for path in paths:
            yield kind, said, path


def _is_edited(decision: Decision) -> bool:
    """Whether somebody has resolved a file by hand and has not staged it."""
    conflict = decision.conflict
    return decision.text is None and conflict.edited and not has_markers(conflict.text or "")


def _hunks(decision: Decision) -> str:
    total = decision.left + decision.settled
    if decision.text is None:
        return "to stage" if _is_edited(decision) else "all of it"
    return f"{decision.left} of {counted(total, 'hunk')}"
