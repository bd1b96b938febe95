"""Conflict markers that a merge has left behind."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..run import git
from ..run.shell import Shell, batches
from . import hunks

INDEX = "--cached"
"""Stands for what is staged, where a commit is asked for."""


def left(sh: Shell, work: Path, sides: Sequence[str], result: str) -> list[tuple[str, str]]:
    """Path and line of each conflict marker in a merge's result that no side of it had.

    sides: the commits that were merged; result: a commit, or `INDEX`.
    """
    # A file that is one side's has that side's lines; only where all differ can one be new.
    changed = [_changed(sh, work, side, result) for side in sides]
    paths = sorted(set.intersection(*changed))
    before = set[tuple[str, str]]().union(*(_lines(sh, work, side, paths) for side in sides))
    return sorted(_lines(sh, work, result, paths) - before)


def _changed(sh: Shell, work: Path, side: str, result: str) -> set[str]:
    """The paths that differ between a side and the result."""
    words = ["git", "-C", str(work), "diff", "--name-only", "--no-renames", "--no-ext-diff", "-z"]
    words += [INDEX, side] if result == INDEX else [side, result]
    return set(git.checked(sh.read([*words, "--"]), "changed paths").fields())


def _lines(sh: Shell, work: Path, where: str, paths: Sequence[str]) -> set[tuple[str, str]]:
    """Path and line of everything that looks like a marker."""
    found = set()
    pattern = ["-E", "^(<{7}|>{7}|[|]{7})"]
    for batch in batches(paths):
        words = ["git", "-C", str(work), "--literal-pathspecs", "grep", "-I", "--full-name"]
        words += ["--no-color", "-z"]
        words += [INDEX, *pattern] if where == INDEX else [*pattern, where]
        words += ["--", *batch]
        listed = git.checked(sh.read(words), "lines", 1)
        for line in filter(None, listed.out.split("\n")):
            name, _, text = line.partition("\0")
            if hunks.LEFTOVER.fullmatch(text):
                found.add((name if where == INDEX else name.partition(":")[2], text))
    return found
