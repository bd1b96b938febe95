"""Conflicts that are over in a work tree's index, put back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..fork.policy import Kind, Side
from ..run import git
from ..run.errors import Refused
from ..run.shell import Shell
from ..run.text import joined, pathspec_word, printable
from . import conflicts, hunks
from .hunks import Conflict

_ELSEWHERE = (Kind.DIRECTORY, Kind.SUBMODULE)
"""Kinds of which a side is more than one entry, or another repository."""


def again(sh: Shell, work: Path, paths: Sequence[str], ours: str, theirs: str) -> list[Conflict]:
    """Put the conflicts of some files back that a person has settled by choosing a side: they have
    changed their mind. Only those without hunks, which `git checkout -m` cannot bring back.

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
    if there := sorted({*paths} & {*wrote.fields()}):
        line = "git -C {work} --literal-pathspecs restore --source=AUTO_MERGE --worktree -- {there}"
        git.checked(sh.do(line, work=work, there=there), "files")
    return found


def _require_a_side(
    sh: Shell, work: Path, path: str, conflict: Conflict | None, sides: tuple[str, str]
) -> None:
    """Raises Refused if the conflict of a file cannot be put back without losing anything."""
    at, ours = git.at(work), sides[0]
    problem, name = f"{printable(path)} is not in conflict.", pathspec_word(path)
    if conflict is None:
        then = f"name files that {at} diff --name-only --diff-filter=U shows, "
        raise Refused(problem, then=f"{then}from the top of the work tree.")
    if conflict.ours and conflict.theirs and conflict.texts is not None:
        then = (
            f"{at} checkout -m -- {name} puts its conflict back; then run the same command again."
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
