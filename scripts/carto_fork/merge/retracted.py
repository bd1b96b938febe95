"""Decisions of a merge that a person has taken back before it is committed."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import msgspec

from ..fork import records
from ..fork.policy import Kind, Side
from ..fork.records import Drop
from ..run import files, git
from ..run.shell import Shell
from . import earlier
from .hunks import Conflict

_NOTED = "carto-fork.decided"
"""What a person's words made of files: the commit that was checked out, and for each record the
file's mode and object."""


def of_merge(
    sh: Shell, work: Path, now: str | None, ours: str, theirs: str, carried: Collection[Drop] = ()
) -> list[Drop]:
    """The records that people made in a merge: neither side has them, nor another sync branch.

    A merge that is committed already may have brought them from a sync branch that is gone.
    now: the staged drops file.
    """
    own, foreign = (git.show(sh, work, c, records.DROPS_FILE) for c in (ours, theirs))
    before = {*records.read_drops(own), *carried}
    made = [drop for drop in records.peoples_drops(now, own, foreign) if drop not in before]
    merge, _ = git.merge_of(sh, work, theirs, "HEAD") if made else ("", "")
    merged = records.read_drops(git.show(sh, work, merge, records.DROPS_FILE)) if merge else ()
    return [drop for drop in made if drop not in merged]


def find(
    sh: Shell,
    work: Path,
    made: Sequence[Drop],
    found: Sequence[Conflict],
    losers: Mapping[str, Side],
) -> list[Drop]:
    """The records that no longer hold: their conflict is back, or somebody has edited the file that
    the decision had made, after they put its conflict back or not.

    made: the records of this merge. losers: the side that loses by today's word, by path; a record
        that says the same stays.
    """
    back = {conflict.path for conflict in found}
    folders = tuple(f"{one.path}/" for one in found if one.kind is Kind.DIRECTORY)
    noted = _noted(sh, work) if made else {}
    gone = []
    for drop in made:
        if drop.path in losers and losers[drop.path].value == drop.side:
            continue
        is_back = drop.path in back or drop.path.startswith(folders)
        is_edited = drop in noted and noted[drop] != earlier.entry(sh, work, "", drop.path)
        if is_back or is_edited:
            gone.append(drop)
    return gone


def withdraw(sh: Shell, work: Path, gone: Sequence[Drop]) -> None:
    """Take records out of the drops file, and stage it."""
    if gone and not sh.dry:
        text = git.show(sh, work, "", records.DROPS_FILE) or ""
        after = records.without_drops(text, gone)
        files.write_staged(sh, work, records.DROPS_FILE, text, after)


def withdraw_false(
    sh: Shell, work: Path, left: Collection[str], ours: str, theirs: str
) -> tuple[Drop, ...]:
    """Remove the records of decisions that the staged files do not bear out: a person has changed
    their mind.

    left: paths that are still in conflict.
    """
    _, false = earlier.said(sh, work, "", ours, theirs)
    gone = tuple(drop for drop in false if drop.path not in left)
    withdraw(sh, work, gone)
    return gone


def note(sh: Shell, work: Path, made: Sequence[Drop], paths: Collection[str]) -> None:
    """Note what decisions made of their files, to see later whether somebody has edited them.

    made: the records of this merge. paths: those that a person has just decided.
    """
    noted = _noted(sh, work)
    folders = tuple(f"{path}/" for path in paths)
    for drop in made:
        if drop.path in paths or drop.path.startswith(folders):
            noted[drop] = earlier.entry(sh, work, "", drop.path)
    entries = [[msgspec.to_builtins(drop), noted[drop]] for drop in made if drop in noted]
    data = json.dumps([git.commit_of(sh, work, "HEAD"), entries])
    files.replace_text(git.path_of(sh, work, _NOTED), data)


def _noted(sh: Shell, work: Path) -> dict[Drop, str | None]:
    """What was noted before the next commit: hooks and steps may change files with that."""
    try:
        head, entries = json.loads(git.path_of(sh, work, _NOTED).read_text(encoding="utf-8"))
        if head != git.commit_of(sh, work, "HEAD"):
            return {}
        return {msgspec.convert(drop, Drop): entry for drop, entry in entries}
    except (OSError, ValueError, msgspec.ValidationError):
        return {}
