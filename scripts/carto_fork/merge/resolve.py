"""Decide the conflicts of a merge in a work tree, and carry out the decisions."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..fork import records, releases
from ..fork.fork import Fork
from ..fork.patterns import globs
from ..fork.policy import Kind, Policy, Rule, Side, Take
from ..fork.records import Drop
from ..run import files, git
from ..run.errors import Failed
from ..run.shell import Shell, batches
from . import (
    authorship,
    commits,
    conflicts,
    decisions,
    earlier,
    hunks,
    renames,
    reopening,
    retracted,
)
from .decisions import BY_WORD, Decision, Knowledge
from .dossier import Dossier, dossiers
from .hunks import Conflict, Customisations, has_markers


def decide(
    sh: Shell,
    fork: Fork,
    work: Path,
    found: Sequence[Conflict],
    own: Customisations,
    ours: str,
    theirs: str,
    *,
    recorded: str = "",
    words: Mapping[str, Take] | None = None,
    taken_back: Collection[Drop] = (),
    drops: str | None = None,
) -> list[Decision]:
    """A decision for each conflict of a merge of two commits.

    work: where to read the drops file.
    recorded: the commit that has the drops file; "" for the staged one.
    words: whose side wins at some paths, as a person says now.
    taken_back: records that no longer count.
    drops: the drops file, if it has been read.
    """
    commits_ = (ours, theirs) if drops else (recorded, ours, theirs)
    texts = [git.show(sh, work, commit, records.DROPS_FILE) for commit in commits_]
    texts = [drops, *texts] if drops else texts
    others = earlier.syncs(sh, fork, ours, theirs)
    # Today's word about a path replaces the one that a person gave in this merge before.
    let_go = [drop for drop in records.peoples_drops(*texts) if drop not in taken_back]
    let_go += earlier.drops(sh, fork, others)
    if words:
        before = records.read_drops(git.show(sh, work, ours, records.DROPS_FILE))
        let_go = [drop for drop in let_go if drop.path not in words or drop in before]
    textual = (path for one in found if one.texts for path in (one.path, *one.names))
    known = Knowledge(fork.policy, authorship.about(own, textual), let_go, words=words or {})
    # What people did and what histories show comes before a merge by name and before today's word.
    decided = decisions.decide(found, replace(known, by_name=False, words={}))
    left = [decision.conflict for decision in decided if decision.left]
    undecided = [d.conflict for d in decided if d.left and d.text is not None]
    if undecided:
        # Repeating earlier merges to learn from them is slow, so only if nothing else helps.
        upstream = [theirs, *releases.upstream_heads(sh, fork, ours)]
        paths = [one.path for one in undecided]
        memory = conflicts.remember(sh, fork.path, ours, upstream, paths)
        earlier.learn(sh, fork, others, paths, memory)
        history = commits.history(sh, fork.path, ours, theirs, undecided)
        known = replace(known, memory=memory, upstream=history)
    again = {d.conflict.path: d for d in decisions.decide(left, known)}
    decided = [again.get(decision.conflict.path, decision) for decision in decided]
    names = {" {ours} ": f" {ours[:10]} ", " {theirs} ": f" {theirs[:10]} "}
    return [replace(d, todo=_replaced(d.todo, names)) for d in decided]


def _replaced(text: str, names: Mapping[str, str]) -> str:
    for placeholder, name in names.items():
        text = text.replace(placeholder, name)
    return text


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
    work: the work tree of the merge. theirs: upstream's side.
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
    theirs: str = ""
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


@dataclass(frozen=True)
class Words:
    """A person's decisions about conflicts that nothing else decides.

    upstream, fork: the paths that take upstream's side, and those that keep the fork's.
    reason: why, in words; it is recorded.
    """

    upstream: tuple[str, ...] = ()
    fork: tuple[str, ...] = ()
    reason: str = ""

    def about(self, found: Sequence[Conflict]) -> Words:
        """The same, with the conflicts' paths in place of names that git invented, and with
        everything in a directory that conflicts with a file."""
        real = {name: conflict.path for conflict in found for name in conflict.invented}
        sides = [[real.get(path, path) for path in side] for side in (self.upstream, self.fork)]
        for conflict in found:
            for side in sides:
                if conflict.kind is Kind.DIRECTORY and conflict.path in side:
                    below = f"{conflict.path}/"
                    side += [c.path for c in found if c.path.startswith(below)]
        upstream, fork = (tuple(dict.fromkeys(side)) for side in sides)
        return replace(self, upstream=upstream, fork=fork)

    @property
    def takes(self) -> dict[str, Take]:
        """Who wins, by path."""
        return dict.fromkeys(self.upstream, Take.UPSTREAM) | dict.fromkeys(self.fork, Take.FORK)


def resolve(
    sh: Shell,
    fork: Fork,
    work: Path,
    ours: str,
    theirs: str,
    words: Words | None = None,
) -> Resolution:
    """Decide the conflicts of the merge in progress in a work tree, and carry the decisions out.

    Decided conflicts are staged; others keep their diff3 markers. Nothing that a person edited is
    overwritten. Running it again continues.

    ours, theirs: the merged commits.
    Raises Refused if a person's decision names a path without a conflict, unless it is recorded
        already: then it changes nothing.
    """
    words = words or Words()
    found = conflicts.read(sh, work, ours, theirs)
    writing = git.path_of(sh, work, "carto-fork.writing")
    killed = writing.exists()
    if killed and not sh.dry:
        _write_again(sh, work, found)
        found = conflicts.read(sh, work, ours, theirs)
    words = words.about(found)
    paths = {conflict.path for conflict in found}
    before = {*git.resolved(sh, work)} - paths
    if strange := sorted(words.takes.keys() - paths - _said_before(sh, work, words)):
        closed = reopening.again(sh, work, strange, ours, theirs)
        found = [*found, *closed] if sh.dry else conflicts.read(sh, work, ours, theirs)
        before, paths = before.difference(strange), paths.union(strange)
    if rewritten := _show_bases(sh, work, found):
        again = conflicts.read(sh, work, ours, theirs)
        found = [replace(c, edited=False) if c.path in rewritten else c for c in again]
    _git(sh, work, "checkout --ours", _marked_pointers(work, found))
    policy = fork.policy
    own = authorship.of_fork(sh, fork, ours, theirs)
    carried = earlier.drops(sh, fork, earlier.syncs(sh, fork, ours, theirs))
    # A conflict whose record a killed run wrote is not back: it is not settled yet.
    drops = git.show(sh, work, "", records.DROPS_FILE)
    made = [] if killed else retracted.of_merge(sh, work, drops, ours, theirs, carried)
    losers = {path: _loser(take) for path, take in words.takes.items()}
    back = retracted.find(sh, work, made, found, losers)
    decided = [
        replace(d, why=words.reason) if d.rule == BY_WORD else d
        for d in decide(
            sh,
            fork,
            work,
            found,
            own,
            ours,
            theirs,
            words=words.takes,
            taken_back=back,
            drops=drops,
        )
    ]
    units = _foreign_in_units(sh, work, policy, own, theirs)
    left = [decision for decision in decided if decision.left]
    resolution = Resolution(
        tuple(decided),
        tuple(_returned(sh, work, policy, ours, theirs)),
        units,
        dossiers(sh, work, left, own, ours, theirs),
        work=work,
        theirs=theirs,
        before=len(before),
    )
    retracted.withdraw(sh, work, back)
    if not sh.dry:
        writing.touch()
    # First the reason: once a file is staged, its conflict is over.
    _write_down(sh, work, decided, words, ours, theirs, carried)
    _apply(sh, work, resolution, ours, theirs)
    writing.unlink(missing_ok=True)
    righted = tuple(renames.put_right(sh, work, ours, theirs, fork.policy))
    # Only who has decided something can have changed their mind.
    conflicting = {decision.conflict.path for decision in left}
    decided_before = before or words.takes
    withdrawn = (
        retracted.withdraw_false(sh, work, conflicting, ours, theirs) if decided_before else ()
    )
    if words.takes and not sh.dry:
        drops = git.show(sh, work, "", records.DROPS_FILE)
        made = retracted.of_merge(sh, work, drops, ours, theirs, carried)
        retracted.note(sh, work, made, words.takes.keys() & paths)
    marked = conflicts.markers_left(sh, work, [ours, theirs], conflicts.INDEX)
    with_markers = tuple(dict.fromkeys(path for path, _ in marked))
    return replace(resolution, marked=with_markers, righted=righted, withdrawn=(*back, *withdrawn))


def _said_before(sh: Shell, work: Path, words: Words) -> set[str]:
    """The paths about which the drops file has a person's decision already, by an earlier run of
    the same command."""
    drops = records.read_drops(git.show(sh, work, "", records.DROPS_FILE)) if words.takes else ()
    known = [(f"{d.path}/", d.side) for d in drops if d.reason == words.reason]
    return {
        path
        for path, take in words.takes.items()
        if any(side == _loser(take).value and p.startswith(f"{path}/") for p, side in known)
    }


def _loser(take: Take) -> Side:
    """The side that loses by a person's decision."""
    return Side.FORK if take is Take.UPSTREAM else Side.UPSTREAM


def reset_submodules(sh: Shell, work: Path) -> None:
    """Reset submodules in conflict in the index to HEAD: git cannot add one that is not set up, and
    commits nothing as long as there is a conflict."""
    listed = sh.ask("git -C {work} ls-files --unmerged --full-name -z :/", work=work)
    entries = [entry.split("\t", 1) for entry in git.checked(listed, "conflicts").fields()]
    _git(
        sh, work, "reset --quiet", sorted({p for facts, p in entries if facts[:6] == git.SUBMODULE})
    )


def set_aside(sh: Shell, work: Path, left: Sequence[Decision]) -> None:
    """Put conflicts that markers cannot show on one side, so that the rest can be committed: the
    fork's side, or the content of a directory."""
    for conflict in (decision.conflict for decision in left):
        away = conflict.kind is Kind.DIRECTORY and conflict.ours
        side, commit = (Side.UPSTREAM, "MERGE_HEAD") if away else (Side.FORK, "HEAD")
        if conflict.invented or conflict.kind is Kind.SUBMODULE:
            take(sh, work, conflict, side, commit)


def _write_down(
    sh: Shell,
    work: Path,
    decided: Sequence[Decision],
    words: Words,
    ours: str,
    theirs: str,
    carried: Sequence[Drop],
) -> None:
    """Record what lost by a person's decision, now or on another sync branch."""
    losers = {path: _loser(take) for path, take in words.takes.items()}
    more: list[Drop] = []
    for conflict, given_up in ((d.conflict, d.given_up) for d in decided if d.rule == BY_WORD):
        side = losers[conflict.path]
        lost = [conflict.path]
        if conflict.kind is Kind.DIRECTORY:
            tree = git.tree(sh, work, ours if side is Side.FORK else theirs)
            # The losing side may have a directory there, or nothing any more.
            lost = [conflict.path] if conflict.base else []
            lost += [path for path in tree if f"{path}/".startswith(f"{conflict.path}/")]
            lost = list(dict.fromkeys(lost))
        more += [Drop(path, words.reason, given_up, side=side.value) for path in lost]
    # A word settles all that is left of a file, so it replaces those that somebody took back.
    said = {(drop.path, drop.side) for drop in more}
    if not said:
        write_drops(sh, work, carried)
        return
    now, before = (
        records.read_drops(git.show(sh, work, commit, records.DROPS_FILE)) for commit in ("", ours)
    )
    gone = [d for d in now if (d.path, d.side) in said and d not in (*before, *carried, *more)]
    write_drops(sh, work, [*carried, *more], gone)


def write_drops(sh: Shell, work: Path, more: Sequence[Drop], gone: Sequence[Drop] = ()) -> None:
    """Add drops to the drops file, and stage it. gone: those that they replace."""
    if not more:
        return
    before = git.show(sh, work, "", records.DROPS_FILE)
    left = records.without_drops(before, gone) if before and gone else before
    files.write_staged(sh, work, records.DROPS_FILE, before, records.add_drops(left, more))


def _foreign_in_units(
    sh: Shell, work: Path, policy: Policy, own: Customisations, merged: str
) -> tuple[str, ...]:
    """Generated files that merged without conflict and differ from upstream's: parts of another
    build. A file that a fork commit added and upstream lacks is the fork's.
    """
    theirs = git.tree(sh, work, merged)
    question = "diff --cached --name-only --no-renames --diff-filter=u -z {merged}"
    staged = git.ask(sh, work, question, "staged files", merged=merged).fields()
    foreign = (foreign_in_unit(rule, own, staged, theirs.keys()) for rule in policy.units)
    return tuple(sorted(set[str]().union(*foreign)))


def foreign_in_unit(
    rule: Rule, own: Customisations, differing: Collection[str], theirs: Collection[str]
) -> set[str]:
    """Of the files that differ from upstream's, those in generated trees that are parts of another
    build.

    A file that upstream lacks is the fork's if a fork commit added it, or if upstream has nothing
    of that tree.
    """
    foreign: set[str] = set()
    for pattern in filter(lambda pattern: pattern.endswith("/"), rule.paths):
        spec = globs([pattern])
        inside = set(spec.match_files(differing))
        if inside and any(map(spec.match_file, theirs)):
            foreign.update(p for p in inside if p in theirs or not own.of([p]))
    return foreign


def _write_again(sh: Shell, work: Path, found: Sequence[Conflict]) -> None:
    """Restore what the merge wrote in files that a killed git had begun to overwrite with one
    side."""
    cut = []
    for conflict in (conflict for conflict in found if conflict.edited):
        names = [side.name for side in (conflict.ours, conflict.theirs) if side]
        sides = [text for text in git.contents(sh, work, names) if text is not None]
        path = work / conflict.path
        present = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        begun = any(os.fsencode(side).startswith(present) for side in sides)
        if begun and not path.is_symlink() and not path.is_dir():
            cut.append(conflict.path)
    _git(sh, work, "restore --source=AUTO_MERGE --worktree", cut)


def _show_bases(sh: Shell, work: Path, found: Sequence[Conflict]) -> set[str]:
    """Rewrite markers that do not show the common ancestor; returns the paths that had such
    markers."""
    bare = [
        conflict.path
        for conflict in found
        if conflict.kind is Kind.CONTENT
        and conflict.text is not None
        and not conflict.edited
        and has_markers(conflict.text)
        and "\n||||||| " not in conflict.text
    ]
    if bare:
        _git(sh, work, "checkout --conflict=diff3", bare)
    return set() if sh.dry else set(bare)


def _marked_pointers(work: Path, found: Sequence[Conflict]) -> list[str]:
    """Git LFS pointers that git merged line by line, which neither git nor LFS can read."""
    paths = (conflict.path for conflict in found if conflict.kind is Kind.BINARY)
    texts = ((path, conflicts.text_of(work, path) or "") for path in paths)
    return [path for path, text in texts if hunks.is_pointer(text) and has_markers(text)]


def _returned(sh: Shell, work: Path, policy: Policy, ours: str, theirs: str) -> list[str]:
    """Disabled workflows that the merge adds although the fork does not have them."""
    off = globs(policy.workflows.disabled)
    question = "git -C {work} --literal-pathspecs diff --cached --name-only --no-renames -z"
    added = sh.ask(f"{question} --diff-filter=A {{ours}} --", work=work, ours=ours).fields()
    paths = [path for path in added if off.match_file(path)]
    if not paths:
        return []
    # If it differs from upstream's, a person put it there.
    differing = f"{question} {{theirs}} -- {{paths}}"
    own = sh.ask(differing, work=work, theirs=theirs, paths=paths).fields()
    return [path for path in paths if path not in own]


def carry_out(sh: Shell, work: Path, decided: Sequence[Decision]) -> None:
    """Write and stage the decided texts of files in conflict."""
    _apply(sh, work, Resolution(tuple(decided)), "", "")


def _apply(sh: Shell, work: Path, resolution: Resolution, ours: str, theirs: str) -> None:
    whole = [decision for decision in resolution.decisions if decision.whole]
    moved: list[tuple[Conflict, Side]] = []
    kept: dict[Side, list[str]] = {Side.FORK: [], Side.UPSTREAM: []}
    entries: list[str] = []
    deleted: list[str] = []
    for decision in whole:
        conflict = decision.conflict
        side = Side.FORK if decision.take is Take.FORK else Side.UPSTREAM
        stage = conflict.ours if side is Side.FORK else conflict.theirs
        if conflict.invented or conflict.kind in (Kind.DIRECTORY, Kind.SUBMODULE):
            moved.append((conflict, side))
        elif stage is None:
            deleted.append(conflict.path)
        else:
            kept[side].append(conflict.path)
            entries.append(f"{stage.mode},{stage.name},{conflict.path}")
    for side, option in ((Side.FORK, "--ours"), (Side.UPSTREAM, "--theirs")):
        _git(sh, work, f"checkout {option}", kept[side])
    # Exactly that side's version, whatever git's settings would do when adding a file.
    for batch in batches(entries):
        words = [word for entry in batch for word in ("--cacheinfo", entry)]
        update = ["git", "-C", str(work), "update-index", "-q", "--unmerged", "--add"]
        # Without refreshing the index, git would think the files changed and refuse to abort the
        # merge.
        staged = sh.run([*update, *words, "--refresh"])
        git.checked(staged, "conflict's side")
    settled = []
    for decision in resolution.decisions:
        if decision.text is not None:
            _write(sh, work, decision)
        if decision.text is not None and not decision.left:
            settled.append(decision.conflict.path)
    _git(sh, work, "add --force", settled)
    _git(sh, work, "rm --quiet --force", [*deleted, *resolution.returned])
    _git(sh, work, f"restore --source={theirs} --staged --worktree", resolution.units)
    for conflict, side in moved:
        take(sh, work, conflict, side, ours if side is Side.FORK else theirs)


def take(sh: Shell, work: Path, conflict: Conflict, side: Side, commit: str) -> None:
    """Take a whole side of a conflict, at its own path."""
    for command in hunks.taking(conflict, side, commit):
        quiet = ["--quiet"] if command[0] in ("rm", "checkout") else []
        words = ["git", "-C", str(work), "--literal-pathspecs", command[0], *quiet, *command[1:]]
        git.checked(sh.run(words), "conflict's side")


def _write(sh: Shell, work: Path, decision: Decision) -> None:
    path, before, after = decision.conflict.path, decision.conflict.text, decision.text
    if before is None or after is None or before == after:
        return
    if sh.dry:
        sh.show(files.patch_command(work, path, before, after))
        return
    place = files.below(work, path)
    if "\r\n" not in before and "\r\n" in files.read_text(place):  # git's line ends here
        after = after.replace("\n", "\r\n")
    files.replace_text(place, after)


def _git(sh: Shell, work: Path, command: str, paths: Sequence[str]) -> None:
    """Run a git command on literal paths."""
    for batch in batches(paths):
        line = f"git -C {{work}} --literal-pathspecs {command} -- {{paths}}"
        answer = sh.do(line, work=work, paths=batch)
        if not answer.ok:
            raise Failed(
                f"`git {command}` ended with exit code {answer.code}: {answer.err.strip()}",
                untouched="The decisions so far are staged; nothing was committed.",
                then="run the same command again.",
            )
