"""What is known of a conflict, whoever found it out. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from . import hunks
from .policy import Kind, Side


@dataclass(frozen=True)
class Stage:
    """One side's version of a file: git's mode and object name."""

    mode: str
    name: str


@dataclass(frozen=True)
class Conflict:
    """A path that a merge could not settle.

    base, ours, theirs: the versions of the common ancestor, the fork and upstream; None where a
        side has no such path.
    deleted_by: the side that deleted the file, in a modify/delete or a rename/delete.
    edited: the file in the work tree is not what the merge wrote there.
    text: the file in the work tree, with markers; None if it is not text or not there.
    now: where it was edited, the object name of what is there, "" if nothing is.
    merged: where it was edited, the text that the merge wrote; None if it is not text.
    """

    path: str
    kind: Kind
    base: Stage | None
    ours: Stage | None
    theirs: Stage | None
    deleted_by: Side | None = None
    edited: bool = False
    text: str | None = None
    now: str = ""
    merged: str | None = None


def has_markers(text: str) -> bool:
    """Whether a text holds a line that only a conflict leaves behind."""
    return any(hunks.LEFTOVER.fullmatch(line.rstrip("\n")) for line in hunks.lines_of(text))
