"""What a person says about the conflicts of a merge: their words, how they are recorded, and what
happens if the person changes their mind."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import msgspec

from ..fork import records
from ..fork.fork import Fork
from ..fork.policy import Kind, Side, Take
from ..fork.records import Drop
from ..run import files, git
from ..run.errors import Refused
from ..run.shell import Shell
from ..run.text import joined, pathspec_word, printable
from . import conflicts, earlier, hunks
from .decisions import BY_WORD, Decision
from .earlier import Earlier
from .hunks import Conflict


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

    @property
    def losers(self) -> dict[str, Side]:
        """The side that loses, by path."""
        sides = {Take.UPSTREAM: Side.FORK, Take.FORK: Side.UPSTREAM}
        return {path: sides[take] for path, take in self.takes.items()}


@dataclass(frozen=True)
class Merge:
    """A merge of two commits. work: the work tree in which it is in progress, or the clone."""

    sh: Shell
    fork: Fork
    work: Path
    ours: str
    theirs: str

    def drops(self, commit: str = "") -> str | None:
        """The drops file of a commit; the staged one for ""."""
        return git.show(self.sh, self.work, commit, records.DROPS_FILE)

    @cached_property
    def others(self) -> list[Earlier]:
        """The sync branches of other releases."""
        return earlier.syncs(self.sh, self.fork, self.ours, self.theirs)

    @cached_property
    def carried(self) -> list[Drop]:
        """What people dropped on other sync branches."""
        return earlier.drops(self.sh, self.fork, self.others)

    @cached_property
    def recorded(self) -> list[Drop]:
        """Of that, what is about this merge: its sides differ in a line of it."""

        def is_about(drop: Drop) -> bool:
            commits = (self.ours, self.theirs)
            read = git.show if drop.lines else earlier.entry
            return drop.is_about(*(read(self.sh, self.work, x, drop.path) for x in commits))

        return [drop for drop in self.carried if is_about(drop)]

    def made(self, now: str | None) -> list[Drop]:
        """The records that people made in this merge: neither side has them, nor another sync
        branch. A merge that is committed already may have brought them from a sync branch that is
        gone.

        now: the drops file.
        """
        own, foreign = map(self.drops, (self.ours, self.theirs))
        before = {*records.read_drops(own), *self.carried}
        made = [drop for drop in records.peoples_drops(now, own, foreign) if drop not in before]
        merge, _ = git.merge_of(self.sh, self.work, self.theirs, "HEAD") if made else ("", "")
        merged = records.read_drops(self.drops(merge)) if merge else ()
        return [drop for drop in made if drop not in merged]


# --- Recorded -------------------------------------------------------------------------------------


def write_down(merge: Merge, decided: Sequence[Decision], words: Words) -> None:
    """Record what lost by a person's decision, now or on another sync branch."""
    more = [drop for d in decided if d.rule == BY_WORD for drop in _lost(merge, d, words)]
    # A word settles all that is left of a file, so it replaces those that somebody took back.
    said = {(drop.path, drop.side) for drop in more}
    gone: list[Drop] = []
    if said:
        now, before = (records.read_drops(merge.drops(commit)) for commit in ("", merge.ours))
        kept = (*before, *merge.recorded, *more)
        gone = [drop for drop in now if (drop.path, drop.side) in said and drop not in kept]
    write_drops(merge.sh, merge.work, [*merge.recorded, *more], gone)


def _lost(merge: Merge, decision: Decision, words: Words) -> list[Drop]:
    """What lost by a person's word about a conflict: each file of a directory is a record."""
    conflict, side = decision.conflict, words.losers[decision.conflict.path]
    lost = [conflict.path]
    if conflict.kind is Kind.DIRECTORY:
        loser = merge.ours if side is Side.FORK else merge.theirs
        tree = git.tree(merge.sh, merge.work, loser)
        # The losing side may have a directory there, or nothing any more.
        lost = [conflict.path] if conflict.base else []
        lost += [path for path in tree if f"{path}/".startswith(f"{conflict.path}/")]
    given_up = decision.given_up
    return [Drop(path, words.reason, given_up, side=side.value) for path in dict.fromkeys(lost)]


def write_drops(sh: Shell, work: Path, more: Sequence[Drop], gone: Sequence[Drop] = ()) -> None:
    """Add drops to the drops file, and stage it. gone: those that they replace."""
    if not more:
        return
    before = git.show(sh, work, "", records.DROPS_FILE)
    left = records.without_drops(before, gone) if before and gone else before
    files.write_staged(sh, work, records.DROPS_FILE, before, records.add_drops(left or None, more))


def said_before(merge: Merge, words: Words) -> set[str]:
    """The paths about which the drops file has a person's decision already, by an earlier run of
    the same command."""
    drops = records.read_drops(merge.drops()) if words.takes else ()
    known = [(f"{d.path}/", d.side) for d in drops if d.reason == words.reason]
    return {
        path
        for path, loser in words.losers.items()
        if any(side == loser.value and p.startswith(f"{path}/") for p, side in known)
    }


# --- Taken back -----------------------------------------------------------------------------------

_NOTED = "carto-fork.decided"
"""What a person's words made of files: the commit that was checked out, and for each record the
file's mode and object."""


def taken_back(
    merge: Merge, made: Sequence[Drop], found: Sequence[Conflict], losers: Mapping[str, Side]
) -> list[Drop]:
    """The records that no longer hold: their conflict is back, or somebody has edited the file that
    the decision had made, after they put its conflict back or not.

    made: the records of this merge. losers: the side that loses by today's word, by path; a record
        that says the same stays.
    """
    back = {conflict.path for conflict in found}
    folders = tuple(f"{one.path}/" for one in found if one.kind is Kind.DIRECTORY)
    noted = _noted(merge) if made else {}
    gone = []
    for drop in made:
        if drop.path in losers and losers[drop.path].value == drop.side:
            continue
        is_back = drop.path in back or drop.path.startswith(folders)
        is_edited = drop in noted and noted[drop] != _staged(merge, drop)
        if is_back or is_edited:
            gone.append(drop)
    return gone


def withdraw(merge: Merge, gone: Sequence[Drop]) -> None:
    """Take records out of the drops file, and stage it."""
    if gone and not merge.sh.dry:
        text = merge.drops() or ""
        after = records.without_drops(text, gone)
        if not after and merge.drops(merge.ours) is None:
            files.on_paths(merge.sh, merge.work, "rm --quiet --force", [records.DROPS_FILE])
            return
        after = after or records.DROPS_HEADER
        files.write_staged(merge.sh, merge.work, records.DROPS_FILE, text, after)


def withdraw_false(merge: Merge, left: Collection[str]) -> tuple[Drop, ...]:
    """Remove the records of decisions that the staged files do not bear out: a person has changed
    their mind.

    left: paths that are still in conflict.
    """
    _, false = earlier.said(merge.sh, merge.work, "", merge.ours, merge.theirs)
    gone = tuple(drop for drop in false if drop.path not in left)
    withdraw(merge, gone)
    return gone


def note(merge: Merge, paths: Collection[str]) -> None:
    """Note what decisions made of their files, to see later whether somebody has edited them.

    paths: those that a person has just decided.
    """
    made, noted = merge.made(merge.drops()), _noted(merge)
    folders = tuple(f"{path}/" for path in paths)
    for drop in made:
        if drop.path in paths or drop.path.startswith(folders):
            noted[drop] = _staged(merge, drop)
    entries = [[msgspec.to_builtins(drop), noted[drop]] for drop in made if drop in noted]
    data = json.dumps([git.commit_of(merge.sh, merge.work, "HEAD"), entries])
    files.replace_text(git.path_of(merge.sh, merge.work, _NOTED), data)


def _noted(merge: Merge) -> dict[Drop, str | None]:
    """What was noted before the next commit: hooks and steps may change files with that."""
    try:
        noted = git.path_of(merge.sh, merge.work, _NOTED).read_text(encoding="utf-8")
        head, entries = json.loads(noted)
        if head != git.commit_of(merge.sh, merge.work, "HEAD"):
            return {}
        return {msgspec.convert(drop, Drop): entry for drop, entry in entries}
    except (OSError, ValueError, msgspec.ValidationError):
        return {}


def _staged(merge: Merge, drop: Drop) -> str | None:
    return earlier.entry(merge.sh, merge.work, "", drop.path)


# --- Reopened -------------------------------------------------------------------------------------

_ELSEWHERE = (Kind.DIRECTORY, Kind.SUBMODULE)
"""Kinds of which a side is more than one entry, or another repository."""


def reopen(sh: Shell, work: Path, paths: Sequence[str], ours: str, theirs: str) -> list[Conflict]:
    """Put the conflicts of some files back that a person has settled by choosing a side: they have
    changed their mind. Only those without hunks, which `git checkout --conflict` cannot bring back.

    Raises Refused if one of the files has no such conflict, or its staged text is neither side's.
    """
    over = {c.path: c for c in conflicts.resolved(sh, work, ours, theirs)}
    for path in paths:
        _require_a_side(sh, work, path, over.get(path), (ours, theirs))
    found = [over[path] for path in paths]
    _put_back(sh, work, found)
    wrote = git.ask(
        sh, work, "ls-tree -r -z --name-only --full-tree {it}", "files", it="AUTO_MERGE"
    )
    there = sorted({*paths} & {*wrote.fields()})
    files.on_paths(sh, work, "restore --source=AUTO_MERGE --worktree", there)
    return found


def _require_a_side(
    sh: Shell, work: Path, path: str, conflict: Conflict | None, sides: tuple[str, str]
) -> None:
    """Raises Refused if the conflict of a file cannot be put back without losing anything."""
    at, ours = git.at(work), sides[0]
    problem, name = f"{printable(path)} is not in conflict.", pathspec_word(path)
    if conflict is None:
        listed = "git -C {work} diff --name-only --diff-filter=U -z"
        inside = [x for x in sh.ask(listed, work=work).fields() if x.endswith(f"/{path}")]
        then = f"name files that {at} diff --name-only --diff-filter=U shows, "
        then += "from the top of the work tree"
        raise Refused(problem, then=f"{then}{': ' if inside else ''}{', '.join(inside)}.")
    if conflict.ours and conflict.theirs and conflict.texts is not None:
        then = (
            f"`{at} checkout --conflict=diff3 -- {name}` puts its conflict back; then run the same "
            "command again."
        )
        raise Refused(problem, then=then)
    if conflict.kind in _ELSEWHERE or conflict.invented:
        fork, upstream = (
            hunks.pasteable(hunks.taking(conflict, side, commit[:10])).replace("git ", f"{at} ")
            for side, commit in zip(Side, sides, strict=True)
        )
        then = f"`{fork}` takes the fork's side, `{upstream}` upstream's."
        raise Refused(f"{problem} What was chosen is staged.", then=then)
    listed = "git -C {work} --literal-pathspecs ls-files --stage --full-name -z -- {path}"
    staged = [x.partition("\t")[0] for x in sh.ask(listed, work=work, path=path).fields()]
    versions = [f"{s.mode} {s.name} 0" if s else "" for s in (conflict.ours, conflict.theirs)]
    changed = "git -C {work} --literal-pathspecs diff --name-only -z -- {path}"
    place = work / path
    edited = sh.ask(changed, work=work, path=path).out if staged else place.exists()
    if edited or "".join(staged) not in versions:
        known = [(s, c) for s, c in zip((conflict.ours, conflict.theirs), sides, strict=True) if s]
        whose = {ours: "the fork's", sides[1]: "upstream's"}
        takes = [f"`{at} checkout {c[:10]} -- {name}` takes {whose[c]} file" for _, c in known]
        takes += [f"`{at} rm -f -- {name}` removes it"] * (len(known) < 2 and bool(staged))
        raise Refused(
            f"{problem} Somebody has written a text of their own there, which no side has.",
            untouched="It is as it was.",
            then=f"keep it, or give it up by hand: {'; '.join(takes)}.",
        )


def bring_back(sh: Shell, work: Path, left: Sequence[Conflict]) -> None:
    """Restore conflicts that were committed with their markers in a work tree's index, so that git
    sees them as conflicts again."""
    _put_back(sh, work, left)
    # Any difference from now on is somebody's edit.
    tree = git.ask(sh, work, "rev-parse {tree}", "files", tree="HEAD^{tree}").line
    noted = sh.do("git -C {work} update-ref AUTO_MERGE {tree}", work=work, tree=tree)
    git.checked(noted, "merge")


def _put_back(sh: Shell, work: Path, over: Sequence[Conflict]) -> None:
    """Put the versions of conflicts back into a work tree's index."""
    lines = []
    for conflict in over:
        lines.append(f"0 {git.NULL}\t{conflict.path}")
        for number, stage in enumerate((conflict.base, conflict.ours, conflict.theirs), 1):
            if stage:
                lines.append(f"{stage.mode} {stage.name} {number}\t{conflict.path}")
    if sh.dry:
        sh.show(f"printf '%s\\0' {joined(lines)} | {git.at(work)} update-index -z --index-info")
        return
    # Next to the index: it disappears with the work tree if this run cannot remove it.
    file = git.path_of(sh, work, "carto-fork.conflicts")
    file.write_bytes("".join(f"{line}\0" for line in lines).encode("utf-8", "surrogateescape"))
    indexed = sh.do("git -C {work} update-index -z --index-info", work=work, stdin=file)
    file.unlink()
    git.checked(indexed, "conflicts")
