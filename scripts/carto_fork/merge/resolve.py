"""Decide the conflicts of a merge in a work tree, and carry out the decisions."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ..fork import lineage, records
from ..fork.fork import Fork
from ..fork.patterns import globs, matching
from ..fork.policy import Kind, Policy, Rule, Side, Take
from ..fork.records import Drop
from ..run import files, git
from ..run.errors import Failed, Refused
from ..run.shell import Shell, batches
from ..run.text import listed, pathspec_word, printable
from . import authorship, commits, conflicts, decisions, earlier, hunks, renames
from .decisions import BY_WORD, Decision, Knowledge
from .hunks import Conflict, Customisations, has_markers
from .resolution import Resolution, dossiers
from .words import (
    Merge,
    Words,
    note,
    reopen,
    said_before,
    taken_back,
    withdraw,
    withdraw_false,
    write_down,
)


def decide(
    merge: Merge,
    found: Sequence[Conflict],
    own: Customisations,
    drops: str | None,
    takes: Mapping[str, Take] | None = None,
    taken_back: Collection[Drop] = (),
) -> list[Decision]:
    """A decision for each conflict of a merge.

    drops: the drops file, as it is now.
    takes: whose side wins at some paths, as a person says now.
    taken_back: records that no longer count.
    """
    sh, fork, ours, theirs = merge.sh, merge.fork, merge.ours, merge.theirs
    sides = [merge.drops(commit) for commit in (ours, theirs)]
    # Today's word about a path replaces the one that a person gave in this merge before.
    let_go = [drop for drop in records.peoples_drops(drops, *sides) if drop not in taken_back]
    let_go += merge.carried
    if takes:
        before = records.read_drops(sides[0])
        let_go = [drop for drop in let_go if drop.path not in takes or drop in before]
    textual = (path for one in found if one.texts for path in (one.path, *one.names))
    known = Knowledge(fork.policy, authorship.about(own, textual), let_go, words=takes or {})
    # What people did and what histories show comes before a merge by name and before today's word.
    decided = decisions.decide(found, replace(known, by_name=False, words={}))
    left = [decision.conflict for decision in decided if decision.left]
    undecided = [d.conflict for d in decided if d.left and d.text is not None]
    if undecided:
        # Repeating earlier merges to learn from them is slow, so only if nothing else helps.
        upstream = [theirs, *lineage.upstream_heads(sh, fork, ours)]
        paths = [one.path for one in undecided]
        memory = conflicts.remember(sh, fork.path, ours, upstream, paths)
        earlier.learn(sh, fork, merge.others, paths, memory)
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
    Raises Refused if a person's decision names a file that somebody has edited, or a path without a
        conflict, unless it is recorded already: then it changes nothing.
    """
    merge = Merge(sh, fork, work, ours, theirs)
    writing = git.path_of(sh, work, "carto-fork.writing")
    killed = writing.exists()
    found: Sequence[Conflict] = conflicts.read(sh, work, ours, theirs)
    if killed and not sh.dry:
        _write_again(sh, work, found)
        found = conflicts.read(sh, work, ours, theirs)
    words = (words or Words()).about(found)
    _require_not_edited(merge, found, words)
    found, settled = _reopened(merge, found, words)
    found = _with_bases(merge, found)
    drops = merge.drops()
    # A conflict whose record a killed run wrote is not back: it is not settled yet.
    back = taken_back(merge, [] if killed else merge.made(drops), found, words.losers)
    resolution = _decided(merge, found, words, drops, back)
    withdraw(merge, back)
    if not sh.dry:
        writing.touch()
    # First the reason: once a file is staged, its conflict is over.
    write_down(merge, resolution.decisions, words)
    returned, units = resolution.returned, resolution.units
    stage(sh, work, resolution.decisions, ours, theirs, returned, units)
    writing.unlink(missing_ok=True)
    righted = tuple(renames.put_right(sh, work, ours, theirs, fork.policy))
    withdrawn: tuple[Drop, ...] = ()
    # Only who has decided something can have changed their mind.
    if settled or words.takes:
        withdrawn = withdraw_false(merge, {d.conflict.path for d in resolution.left})
    if words.takes and not sh.dry:
        note(merge, words.takes.keys() & {conflict.path for conflict in found})
    marked = conflicts.markers_left(sh, work, [ours, theirs], conflicts.INDEX)
    return replace(
        resolution,
        marked=tuple(dict.fromkeys(path for path, _ in marked)),
        righted=righted,
        withdrawn=(*back, *withdrawn),
        before=len(settled),
    )


def _require_not_edited(merge: Merge, found: Sequence[Conflict], words: Words) -> None:
    """Raises Refused if a person's words about a file would overwrite what they did to it."""
    sh, work, ours, theirs = merge.sh, merge.work, merge.ours, merge.theirs
    edited = [conflict for conflict in found if conflict.edited and conflict.path in words.takes]
    if not edited:
        return
    own = authorship.of_fork(sh, merge.fork, ours, theirs)
    decided = decide(merge, edited, own, merge.drops(), words.takes)
    if left := [decision.conflict for decision in decided if decision.left]:
        at, names = git.at(work), " ".join(pathspec_word(conflict.path) for conflict in left)
        ways = f"to keep what you did: `{at} add -- {names}`, and name it in no option"
        if all(conflict.texts and conflict.ours and conflict.theirs for conflict in left):
            back = f"{at} checkout --conflict=diff3 -- {names}"
            ways += f"; to discard it: `{back}`, then run the same command again."
        paths = listed([printable(conflict.path) for conflict in left])
        raise Refused(f"{paths} {'is' if len(left) == 1 else 'are'} edited by hand.", then=ways)


def _reopened(
    merge: Merge, found: Sequence[Conflict], words: Words
) -> tuple[Sequence[Conflict], set[str]]:
    """The conflicts, with those that a person decides anew; and the paths of those that stay
    settled."""
    sh, work, ours, theirs = merge.sh, merge.work, merge.ours, merge.theirs
    paths = {conflict.path for conflict in found}
    settled = conflicts.in_index(sh, work, "--resolve-undo").keys() - paths
    if anew := sorted(words.takes.keys() - paths - said_before(merge, words)):
        closed = reopen(sh, work, anew, ours, theirs)
        found = [*found, *closed] if sh.dry else conflicts.read(sh, work, ours, theirs)
    return found, settled.difference(anew)


def _with_bases(merge: Merge, found: Sequence[Conflict]) -> Sequence[Conflict]:
    """The conflicts, after their files show the common ancestor; no Git LFS pointer has markers
    any more."""
    sh, work = merge.sh, merge.work
    if rewritten := _show_bases(sh, work, found):
        again = conflicts.read(sh, work, merge.ours, merge.theirs)
        found = [replace(c, edited=False) if c.path in rewritten else c for c in again]
    _git(sh, work, "checkout --ours", _marked_pointers(work, found))
    return found


def _decided(
    merge: Merge,
    found: Sequence[Conflict],
    words: Words,
    drops: str | None,
    back: Collection[Drop],
) -> Resolution:
    """What is to become of the conflicts; nothing is changed yet.

    drops, back: the drops file, and its records that no longer count.
    """
    sh, work, ours, theirs = merge.sh, merge.work, merge.ours, merge.theirs
    own, policy = authorship.of_fork(sh, merge.fork, ours, theirs), merge.fork.policy
    decided = decide(merge, found, own, drops, words.takes, back)
    decided = [replace(d, why=words.reason) if d.rule == BY_WORD else d for d in decided]
    units = _foreign_in_units(sh, work, policy, own, theirs)
    left = [decision for decision in decided if decision.left]
    return Resolution(
        tuple(decided),
        tuple(_returned(sh, work, policy, ours, theirs)),
        units,
        dossiers(sh, work, left, own, ours, theirs),
        work=work,
        sides=(ours, theirs),
    )


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
        inside = matching([pattern], differing)
        if inside and matching([pattern], theirs):
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


def reset_submodules(sh: Shell, work: Path) -> None:
    """Reset submodules in conflict in the index to HEAD: git cannot add one that is not set up, and
    commits nothing as long as there is a conflict."""
    stages = conflicts.in_index(sh, work, "--unmerged")
    modes = {path: {stage.mode for stage in found.values()} for path, found in stages.items()}
    _git(sh, work, "reset --quiet", [path for path in modes if git.SUBMODULE in modes[path]])


def set_aside(sh: Shell, work: Path, left: Sequence[Decision]) -> None:
    """Put conflicts that markers cannot show on one side, so that the rest can be committed: the
    fork's side, or the content of a directory."""
    for conflict in (decision.conflict for decision in left):
        away = conflict.kind is Kind.DIRECTORY and conflict.ours
        side, commit = (Side.UPSTREAM, "MERGE_HEAD") if away else (Side.FORK, "HEAD")
        if conflict.invented or conflict.kind is Kind.SUBMODULE:
            take(sh, work, conflict, side, commit)


def stage(
    sh: Shell,
    work: Path,
    decided: Sequence[Decision],
    ours: str = "",
    theirs: str = "",
    gone: Sequence[str] = (),
    upstreams: Sequence[str] = (),
) -> None:
    """Write and stage what was decided about files in conflict.

    ours, theirs: the merged commits, if sides were taken.
    gone, upstreams: other files to remove, and to take from upstream's side.
    """
    moved: list[tuple[Conflict, Side]] = []
    kept: dict[Side, list[str]] = {Side.FORK: [], Side.UPSTREAM: []}
    entries: list[str] = []
    deleted: list[str] = []
    for decision in (decision for decision in decided if decision.whole):
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
    for decision in decided:
        if decision.text is not None:
            _write(sh, work, decision)
        if decision.text is not None and not decision.left:
            settled.append(decision.conflict.path)
    _git(sh, work, "add --force", settled)
    _git(sh, work, "rm --quiet --force", [*deleted, *gone])
    _git(sh, work, f"restore --source={theirs} --staged --worktree", upstreams)
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
