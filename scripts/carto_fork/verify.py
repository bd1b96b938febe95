"""Checks of a finished merge, before it goes any further."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from . import git, hunks, versions
from .policy import Policy
from .shell import Shell, batches
from .tags import Tag
from .text import printable


@dataclass(frozen=True)
class Finding:
    """Something that is wrong with a merge.

    check: the check that found it.
    what: what it found, for a person.
    """

    check: str
    what: str


def verify(sh: Shell, work: Path, tag: Tag, policy: Policy) -> list[Finding]:
    """What is wrong with the merge of a tag in a work tree; empty if all is well."""
    state = git.work_state(sh, work)
    if state.merging:
        return [Finding("committed", "the merge is still in progress")]
    if state.dirty:
        dirty = map(printable, state.dirty)
        return [Finding("committed", f"{path} has changes not committed") for path in dirty]
    found = _merge_of(sh, work, tag)
    if isinstance(found, Finding):
        return [found]
    return [
        *_foreign_commits(sh, work, found, policy),
        *_leftover_markers(sh, work, found),
        *_other_versions(sh, work, tag, policy),
    ]


@dataclass(frozen=True)
class _Merge:
    """The two sides of the merge of a tag."""

    ours: str
    theirs: str


def _merge_of(sh: Shell, work: Path, tag: Tag) -> _Merge | Finding:
    """The merge of exactly this tag on the first-parent history."""
    theirs = sh.ask(
        "git -C {work} rev-parse --quiet --verify {ref}", work=work, ref=f"refs/tags/{tag.name}^0"
    ).line
    if not theirs:
        return Finding("tag", f"there is no tag {tag.name} here")
    merges = sh.ask("git -C {work} rev-list --first-parent --merges --parents HEAD -50", work=work)
    for line in merges.out.splitlines():
        _, ours, *merged = line.split()
        if theirs in merged:
            return _Merge(ours, theirs)
    return Finding("tag", f"no merge of {tag.name} ({theirs[:10]}) is on this branch")


def _foreign_commits(sh: Shell, work: Path, merge: _Merge, policy: Policy) -> list[Finding]:
    """Commits of upstream's development branch that are not in the release.

    They may have come from upstream itself or by way of the fork's mirror.
    """
    remotes, branches = policy.remotes, policy.branches
    development = [
        f"refs/remotes/{remotes.upstream.name}/{branches.upstream}",
        f"refs/remotes/{remotes.origin.name}/{branches.mirror}",
        f"refs/heads/{branches.mirror}",
    ]
    # --ignore-missing: not every clone has all of these branches.
    question = "git -C {work} rev-list --count --ignore-missing HEAD --not {known}"
    sides = [merge.theirs, merge.ours]
    added = sh.ask(question, work=work, known=sides).line
    own = sh.ask(question, work=work, known=[*sides, *development]).line
    if added == own:
        return []
    what = f"{int(added) - int(own)} commits of upstream's are here that the release does not hold"
    return [Finding("only the tag", what)]


def _leftover_markers(sh: Shell, work: Path, merge: _Merge) -> list[Finding]:
    """Conflict markers that neither side had."""
    # A file that is one side's has that side's lines; only where both differ can one be new.
    paths = sorted(_changed(sh, work, merge.ours) & _changed(sh, work, merge.theirs))
    before = _markers(sh, work, merge.theirs, paths) | _markers(sh, work, merge.ours, paths)
    left = sorted(_markers(sh, work, "HEAD", paths) - before)
    return [Finding("markers", printable(f"{path}: {line}")) for path, line in left]


def _changed(sh: Shell, work: Path, since: str) -> set[str]:
    """The paths that differ between a commit and HEAD."""
    question = "git -C {work} diff --name-only --no-renames --no-ext-diff -z {since} HEAD --"
    return set(sh.ask(question, work=work, since=since).fields())


def _markers(sh: Shell, work: Path, commit: str, paths: Sequence[str]) -> set[tuple[str, str]]:
    """Paths and lines that look like a conflict marker, at a commit."""
    question = (
        "git -C {work} --literal-pathspecs grep -I --full-name --no-color -z"
        " -E '^(<{7}|>{7}|[|]{7})' {commit} -- {paths}"
    )
    found = set()
    for batch in batches(paths):
        listed = sh.ask(question, work=work, commit=commit, paths=batch)
        for line in filter(None, listed.out.split("\n")):
            name, _, text = line.partition("\0")
            if hunks.LEFTOVER.fullmatch(text):
                found.add((name.partition(":")[2], text))
    return found


def _other_versions(sh: Shell, work: Path, tag: Tag, policy: Policy) -> list[Finding]:
    """Version files that state another version than the tag's."""
    findings = []
    for file in policy.version_files:
        text = git.show(sh, work, "HEAD", file.path)
        stated = versions.read(text, file.keys, file.path) if text is not None else {}
        if not stated:
            findings.append(Finding("version", f"{file.path} states no version"))
        findings += [
            Finding("version", f"{file.path}: {key} is {version}, the tag is {tag.release}")
            for key, version in stated.items()
            if version != tag.release
        ]
    return findings
