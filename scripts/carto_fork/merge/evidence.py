"""What is known of a conflict and of the fork, whoever found it out. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ..fork.policy import Kind, Side
from ..run.text import lines_of, substantive
from . import hunks


@dataclass(frozen=True)
class Commit:
    """A commit, as people recognise it. date: of its author, as YYYY-MM-DD."""

    name: str
    date: str
    subject: str


@dataclass(frozen=True)
class Customisations:
    """What the commits of the fork's own did.

    paths: path to the commits that changed it, newest first; old names of renamed files too.
    lines: a line of text, without the white space around it, to the commits that added or
        removed it.
    squashed: commits that brought upstream's work without its ancestry; they count as nobody's.
    """

    paths: Mapping[str, Sequence[Commit]] = field(default_factory=dict)
    lines: Mapping[str, Sequence[Commit]] = field(default_factory=dict)
    squashed: Sequence[Commit] = ()

    def of(self, paths: Iterable[str], lines: Iterable[str] = ()) -> list[Commit]:
        """The commits that changed one of the paths; if there are none, those that wrote or removed
        one of the lines, wherever that was: upstream may have renamed the file since."""
        found = [commit for path in paths for commit in self.paths.get(path, ())]
        return list(dict.fromkeys(found)) or self.behind(lines)

    def behind(self, lines: Iterable[str]) -> list[Commit]:
        """The commits that wrote or removed one of the lines, as far as these are telling."""
        told = filter(substantive, (line.strip() for line in lines))
        return list(dict.fromkeys(c for line in told for c in self.lines.get(line, ())))


@dataclass(frozen=True)
class Stage:
    """One side's version of a file: git's mode and object name."""

    mode: str
    name: str


@dataclass(frozen=True)
class Texts:
    """A file as the common ancestor, the fork and upstream have it; "" where there is none."""

    base: str
    ours: str
    theirs: str


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
    names: under which paths the fork has the file; another one where upstream renamed it.
    texts: the three versions; None if one of them is not text.
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
    names: tuple[str, ...] = ()
    texts: Texts | None = None


def has_markers(text: str) -> bool:
    """Whether a text holds a line that only a conflict leaves behind."""
    return any(hunks.LEFTOVER.fullmatch(line.rstrip("\n")) for line in lines_of(text))
