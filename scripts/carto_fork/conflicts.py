"""Evidence: what exactly a merge stopped with. Reads a work tree, decides and changes nothing."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from . import files
from .evidence import Conflict, Stage
from .policy import Kind, Side
from .shell import Shell, batches

_SUBMODULE, _SYMLINK = "160000", "120000"


def read(sh: Shell, work: Path) -> list[Conflict]:
    """Every conflict of the merge in progress in a work tree, by path."""
    stages = _unmerged(sh, work)
    if not stages:
        return []
    suspects = [path for path, found in stages.items() if not {2, 3} <= found.keys()]
    renamed = _absent_from_base(sh, work, suspects)
    edited = _edited(sh, work, stages)
    binary = _binary(sh, work, stages)
    found = [
        _conflict(work, path, versions, path in renamed, path in binary)
        for path, versions in sorted(stages.items())
    ]
    return [_with_edits(sh, work, c) if c.path in edited else c for c in found]


def _unmerged(sh: Shell, work: Path) -> dict[str, dict[int, Stage]]:
    stages: dict[str, dict[int, Stage]] = {}
    answer = sh.ask("git -C {work} ls-files --unmerged --full-name -z :/", work=work)
    for entry in answer.fields():
        fields, path = entry.split("\t", 1)
        mode, name, number = fields.split(" ")
        stages.setdefault(path, {})[int(number)] = Stage(mode, name)
    return stages


def _absent_from_base(sh: Shell, work: Path, paths: Sequence[str]) -> set[str]:
    """The paths that came to their place by a rename: the common ancestor has no such path."""
    if not paths:
        return set()
    base = sh.ask("git -C {work} merge-base HEAD MERGE_HEAD", work=work).line
    if not base:
        return set()
    question = "git -C {work} --literal-pathspecs ls-tree -r --full-tree --name-only -z {base} --"
    present: set[str] = set()
    for batch in batches(paths):
        present.update(sh.ask(f"{question} {{paths}}", work=work, base=base, paths=batch).fields())
    return set(paths) - present


def _edited(sh: Shell, work: Path, paths: Iterable[str]) -> set[str]:
    """The paths that differ from what the merge wrote, which git keeps as the tree AUTO_MERGE."""
    # A submodule that is not checked out always differs.
    changed = sh.ask(
        "git -C {work} diff --name-only --no-renames --no-ext-diff --ignore-submodules=all -z"
        " AUTO_MERGE --",
        work=work,
    )
    # Where git cannot tell, anything may be somebody's work.
    return set(changed.fields()) if changed.ok else set(paths)


def _with_edits(sh: Shell, work: Path, conflict: Conflict) -> Conflict:
    """The conflict with what is in its file now, and what the merge wrote there."""
    path, now = work / conflict.path, ""
    if path.is_symlink():
        target = os.fsdecode(os.readlink(path))
        sides = [side for side in (conflict.ours, conflict.theirs) if side]
        same = (s for s in sides if _blob(sh, work, s.name) == target)
        now = next((side.name for side in same), "another link")
    elif path.exists():
        hashed = sh.ask("git -C {work} hash-object -- {path}", work=work, path=conflict.path)
        now = hashed.line
    merged = _blob(sh, work, f"AUTO_MERGE:{conflict.path}") if conflict.text is not None else None
    return replace(conflict, edited=True, now=now, merged=merged)


def _blob(sh: Shell, work: Path, name: str) -> str | None:
    answer = sh.ask("git -C {work} cat-file blob {name}", work=work, name=name)
    return answer.out if answer.ok else None


def _binary(sh: Shell, work: Path, stages: Mapping[str, dict[int, Stage]]) -> set[str]:
    """The paths that git, minding .gitattributes, compares as binary files."""
    paths = [path for path, found in stages.items() if {2, 3} <= found.keys()]
    question = (
        "git -C {work} --literal-pathspecs diff --numstat --no-renames --no-ext-diff -z"
        " HEAD MERGE_HEAD -- {paths}"
    )
    binary: set[str] = set()
    for batch in batches(paths):
        listed = sh.ask(question, work=work, paths=batch)
        entries = (entry.split("\t", 2) for entry in listed.fields())
        binary.update(path for added, _, path in entries if added == "-")
    return binary


def _conflict(
    work: Path, path: str, stages: Mapping[int, Stage], renamed: bool, binary: bool
) -> Conflict:
    base, ours, theirs = (stages.get(number) for number in (1, 2, 3))
    deleted_by = None
    if base and not (ours and theirs):
        deleted_by = Side.UPSTREAM if ours else Side.FORK if theirs else None
    kind = _kind(base, ours, theirs, renamed, binary)
    readable = kind in (Kind.CONTENT, Kind.ADD_ADD, Kind.RENAME, Kind.MODE)
    text = _read_text(work / path) if readable else None
    return Conflict(path, kind, base, ours, theirs, deleted_by, text=text)


def _kind(
    base: Stage | None, ours: Stage | None, theirs: Stage | None, renamed: bool, binary: bool
) -> Kind:
    modes = {stage.mode for stage in (base, ours, theirs) if stage}
    if _SUBMODULE in modes:
        return Kind.SUBMODULE
    if _SYMLINK in modes:
        return Kind.SYMLINK
    if ours and theirs:
        if ours.name == theirs.name:
            return Kind.MODE
        if binary:
            return Kind.BINARY
        return Kind.CONTENT if base else Kind.ADD_ADD
    # One side only: the other deleted the file, or one of them has it under another name.
    return Kind.MODIFY_DELETE if base and (ours or theirs) and not renamed else Kind.RENAME


def _read_text(path: Path) -> str | None:
    try:
        if path.is_symlink():
            return None
        return files.read_text(path)
    except OSError:
        return None
