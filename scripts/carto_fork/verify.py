"""Checks of a finished merge, before it goes any further."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from . import git, markers, versions
from .policy import Policy
from .shell import Shell
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
    """Commits that another merge brought: neither the release nor the fork holds them.

    The fork's production branch may have been merged in again meanwhile.
    """
    production = f"refs/remotes/{policy.remotes.origin.name}/{policy.branches.production}"
    known = [merge.theirs, merge.ours, production]
    # --ignore-missing: not every clone follows origin's production branch.
    question = "git -C {work} rev-list --ignore-missing HEAD --not {known}"
    brought = git.checked(sh.ask(question, work=work, known=known), "commits")
    chain = question.replace("rev-list", "rev-list --first-parent")
    made = git.checked(sh.ask(chain, work=work, known=known), "commits")
    foreign = len(set(brought.out.split()) - set(made.out.split()))
    if not foreign:
        return []
    return [Finding("only the tag", f"{foreign} commits are here that the release does not hold")]


def _leftover_markers(sh: Shell, work: Path, merge: _Merge) -> list[Finding]:
    left = markers.left(sh, work, [merge.ours, merge.theirs], "HEAD")
    return [Finding("markers", printable(f"{path}: {line}")) for path, line in left]


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
