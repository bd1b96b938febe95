"""Which commits are upstream's, also if no branch of the upstream remote has them here."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence, Set

from ..run import git
from ..run.errors import Refused
from ..run.shell import Shell
from . import releases, tags, version_files
from .fork import Fork
from .policy import Policy
from .tags import TagUse


def upstream_heads(sh: Shell, fork: Fork, ours: str) -> tuple[str, ...]:
    """The commits whose histories are upstream's: its branches as this clone knows them, and the
    releases that a branch merged from elsewhere, such as from upstream's branch of patches, or that
    it has without their history, while upstream's branches in this clone are older.

    Such a release counts if the merge's subject names it, or the branch states its version or
    records it; if it grew from upstream's history alone, and if the record of merged tags or
    upstream itself says that it is this commit. Otherwise anybody could make the fork's commits
    upstream's with a tag. Computed once per task.

    ours: the fork's side.
    """
    tips = fork.upstream_tips
    key = ("upstream", fork.path, ours, tips)

    def heads() -> tuple[str, ...]:
        known = (*tips, *_merged_from_elsewhere(sh, fork, ours))
        return (*known, *_without_history(sh, fork, ours, known))

    return sh.once(key, heads)


def not_to_keep(sh: Shell, fork: Fork, ours: str, theirs: Sequence[str]) -> tuple[str, ...]:
    """The commits whose histories hold nothing that the fork has to keep in a merge.

    These are upstream's, as `upstream_heads` has them, unless the fork is ahead of what it merges:
    of the upstream commits that `theirs` lacks, such as newer ones of its development branch, only
    those of an older release are superseded.

    theirs: the upstream commits to merge, or to compare with, the release first.
    """
    heads = upstream_heads(sh, fork, ours)
    usual = tuple(dict.fromkeys([*theirs, *heads]))
    if not theirs or set(fork.upstream_tips) <= set(theirs):
        return usual
    if git.count(sh, fork.path, ours, *theirs) == git.count(sh, fork.path, ours, *usual):
        return usual
    classified = (tags.classify(name, fork.policy.tags) for name in fork.refs.tags())
    stable = {tag: fork.refs.tag(tag.name) for tag in classified if tag and tag.stable}
    release = max((tag for tag, commit in stable.items() if commit == theirs[0]), default=None)
    older = [commit for tag, commit in stable.items() if release and tag < release]
    in_ours = git.held(sh, fork.path, ours, older)
    return (*theirs, *sorted(git.held(sh, fork.path, heads[0], in_ours, *heads[1:])))


def _merged_from_elsewhere(sh: Shell, fork: Fork, ours: str) -> list[str]:
    """The releases that a history merged and that upstream's branches in this clone lack."""
    if not fork.upstream_tips:
        return []  # nothing shows where upstream's history begins
    named = defaultdict[str, list[str]](list)
    for name in fork.refs.tags():
        named[fork.refs.tag(name)].append(name)
    words = ["git", "-C", str(fork.path), "log", "-z", "--no-show-signature", "--no-color"]
    words += ["--topo-order", "--reverse", "--format=%H%x00%P%x00%s", ours, "--not"]
    answer = sh.read([*words, *fork.upstream_tips, "--"])
    fields = git.checked(answer, "commits").fields()
    parents = {name: of.split() for name, of in zip(fields[::3], fields[1::3], strict=True)}
    asked: dict[str, tuple[str, set[str]]] = {}
    for merge, subject in zip(fields[::3], fields[2::3], strict=True):
        before, *others = parents[merge] or [""]
        for head in others:
            tagged = named[head] if head in parents else ()
            names = {name for name in tagged if _names(subject, name, head, fork.policy)}
            if names:
                asked[head] = before, {*names, *asked.get(head, (before, ()))[1]}
    if not asked:
        return []
    known = _said_to_be(sh, fork, ours, {name for _, names in asked.values() for name in names})
    heads, theirs = list[str](), set[str]()
    for head, (before, names) in asked.items():
        if head in theirs or head not in {known.get(name) for name in names}:
            continue
        brought = reached(head, parents)
        grew = all(parents[commit] for commit in brought)  # no beginning of its own
        if grew and not (brought & reached(before, parents)) - theirs:
            heads.append(head)
            theirs |= brought
    return heads


def _without_history(sh: Shell, fork: Fork, ours: str, known: Sequence[str]) -> list[str]:
    """The releases that a branch records or states, and that neither its history nor upstream's
    known one has: a squash lost it, and an upgrade fetches only the release's tag.

    known: the other commits whose histories are upstream's.
    """
    if not known:
        return []
    commits = {*releases.recorded(sh, fork, ours).values(), *_stated(sh, fork, ours, known)}
    commits -= git.held(sh, fork.path, ours, commits, *known)
    heads = []
    for commit in sorted(name for name in commits if git.has_object(sh, fork.path, name)):
        roots = "rev-list --max-parents=0 {commit} --not {known} --"
        begins = git.ask(sh, fork.path, roots, "history", commit=commit, known=known).out
        bases = git.merge_bases(sh, fork.path, ours, commit)
        if bases and not begins and git.held(sh, fork.path, known[0], bases, *known) == {*bases}:
            heads.append(commit)
    return heads


def _stated(sh: Shell, fork: Fork, ours: str, known: Sequence[str]) -> list[str]:
    """The stable releases whose version a branch states and whose history it lacks, as `known`
    does, if upstream says that they are these commits."""
    try:
        stated = {v for _, places in version_files.at(sh, fork, ours) for v in places.values()}
    except Refused:  # `doctor` reports it
        return []
    named = {
        tag.name: fork.refs.tag(tag.name)
        for tag in filter(None, (tags.classify(x, fork.policy.tags) for x in fork.refs.tags()))
        if tag.stable and any(version_files.same(tag.release, version) for version in stated)
    }
    has = git.held(sh, fork.path, ours, named.values(), *known)
    left = {name for name, commit in named.items() if commit not in has}
    there = _said_to_be(sh, fork, ours, left) if left else {}
    return [named[name] for name in left if there.get(name) == named[name]]


def _names(subject: str, name: str, commit: str, policy: Policy) -> bool:
    """Whether the subject of a merge names a tag that can be an upstream release, or its commit, as
    that of a healing does."""
    named = rf"(?<![\w.+-]){re.escape(name)}(?![\w+-]|\.\w)|\bupstream {commit[:10]}\b"
    if not re.search(named, subject):
        return False
    tag = tags.classify(name, policy.tags)
    return tag is not None and tag.scheme.use is not TagUse.OWN


def _said_to_be(sh: Shell, fork: Fork, ours: str, names: Set[str]) -> dict[str, str]:
    """The commits of upstream tags by name: those that the fork recorded when it merged them, and
    the others as upstream says now, if it answers."""
    recorded = releases.recorded(sh, fork, ours)
    if names <= recorded.keys():
        return recorded
    refs = releases.upstream_refs(sh, fork)
    return {name: refs.tag(name) for name in names if refs} | recorded


def reached(head: str, parents: Mapping[str, Sequence[str]]) -> set[str]:
    """A commit and its ancestors, as far as their parents are known."""
    found, left = set[str](), [head]
    while left:
        if (commit := left.pop()) in parents and commit not in found:
            found.add(commit)
            left += parents[commit]
    return found
