"""What checks of a merge find; and two of them: what it has of its own, and what it lacks of the
features that the policy names."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from ..fork import records
from ..fork.fork import Fork
from ..fork.policy import POLICY_FILE, Feature, Policy, load_policy
from ..merge import commits, hunks, renames
from ..merge.hunks import Commit
from ..run import git
from ..run.errors import Refused
from ..run.git import Tree
from ..run.shell import Shell
from ..run.text import counted, listed, printable, substantive
from .alike import Index, Squeezed


def described(commit: Commit) -> str:
    """A commit on one line: short name, date and subject."""
    return f"{commit.name[:10]} ({commit.date} {printable(commit.subject)})"


@dataclass(frozen=True)
class Finding:
    """Something about a merge that a person should know.

    check: the check that found it. what: the finding, for a person.
    certain: whether it is definitely wrong; otherwise it is only worth a look.
    paths: all files that it is about, if they are more than `path`.
    between: the commits whose difference in these files it is about; "" if it is about the result,
        the second also if the first is the release that it lacks something of.
    lines: all lines that it is about, as in a patch, if `what` names only some.
    line: its line in the result, or the first of them; 0 if it is about none.
    then: what to do about it, if that is not clear from `what`.
    """

    check: str
    what: str
    path: str = ""
    certain: bool = True
    paths: tuple[str, ...] = ()
    between: tuple[str, str] = ("", "")
    lines: tuple[str, ...] = ()
    line: int = 0
    then: str = ""

    def as_json(self) -> dict[str, Any]:
        """Plain data for ``--json``."""
        fields = ("check", "what", "path", "certain")
        return {field: getattr(self, field) for field in fields}


class Committed:
    """The files of a commit, each read on demand.

    texts: texts already read, by object name; the sides of a merge share most of them.
    """

    def __init__(self, sh: Shell, repo: Path, commit: str, texts: dict[str, str | None]) -> None:
        self._sh, self._repo, self._texts, self.commit = sh, repo, texts, commit
        self.tree = git.tree(sh, repo, commit)
        self.paths: Collection[str] = self.tree.keys()

    def text(self, path: str) -> str | None:
        """A file; None if it is missing or not text."""
        _, name = self.tree.get(path, ("", ""))
        if name and name not in self._texts:
            text = git.contents(self._sh, self._repo, [name])[0]
            self._texts[name] = None if text is None or "\0" in text else text
        return self._texts[name] if name else None

    def version(self, path: str) -> str:
        """The object name of a file; "" if it is missing."""
        return self.tree.get(path, ("", ""))[1]


# --- What a merge has of its own ------------------------------------------------------------------
#
# Git's glossary calls such a merge evil. The account is about what the sides changed, so it does
# not see these.

ADDED, REMOVED, EDITED = EVIL = (
    "added while merging",
    "removed while merging",
    "edited while merging",
)
"""The names of the checks of `added` and `beyond`."""
_MOST_NAMED = 5


def added(
    sh: Shell, repo: Path, ours: str, theirs: str, result: str, policy: Policy
) -> Iterator[Finding]:
    """A finding about the files of a merge that neither side has, in the merge itself or in a
    commit after it: nobody reviewed them anywhere else.

    These do not count: the program's own records, what the policy calls generated, what a later
    merge of the production branch brought, and files that only have another path than on a side:
    git moves what one side adds to a folder that the other side renamed, and people move files.
    """
    sides = [git.tree(sh, repo, commit) for commit in (ours, theirs)]
    now = git.tree(sh, repo, result)
    new = now.keys() - set[str]().union(*sides) - records.NOTES
    new -= policy.generated(new).keys()
    if not new:
        return
    question = "rev-list --first-parent --merges --parents {result} --not {ours}"
    merges = git.ask(sh, repo, question, "merges", result=result, ours=ours).out.splitlines()
    for parent in sorted({parent for line in merges for parent in line.split()[2:]}):
        sides.append(git.tree(sh, repo, parent))
        new -= sides[-1].keys()
    moved = {name for tree in sides for path, (_, name) in tree.items() if path not in now}
    if paths := tuple(path for path in sorted(new) if now[path][1] not in moved):
        one = len(paths) == 1
        what = f"{listed(paths, _MOST_NAMED)} {'is' if one else 'are'} in the merge, and neither "
        what += f"side has {'it' if one else 'them'}"
        yield Finding(ADDED, what, paths[0], certain=False, paths=paths)


def beyond(
    sh: Shell, repo: Path, ours: str, theirs: str, result: str, policy: Policy
) -> Iterator[Finding]:
    """Findings about what a merge did to files beyond both sides: it lacks files, or lines, that
    both have as their common ancestor has them; it has such lines in another form, unless a
    formatter makes that; it has lines that neither side has, in a file that only one side changed.
    What is in another file does not count, nor a version that was set.
    """
    trees = mine, other, now = [git.tree(sh, repo, commit) for commit in (ours, theirs, result)]
    both = {path for path, entry in mine.items() if entry == other.get(path)} - records.NOTES
    if gone := both - now.keys():
        gone -= policy.generated(gone).keys()
        moved = {name for path, (_, name) in now.items() if path not in mine}
        followed = set(renames.find(sh, repo, ours, result, policy).old.values())
        gone = {path for path in gone - followed if mine[path][1] not in moved}
    if paths := tuple(sorted(gone)):
        what = f"the merge lacks {listed(paths, _MOST_NAMED)}, which both sides have"
        yield Finding(REMOVED, what, paths[0], certain=False, paths=paths)
    bases = git.merge_bases(sh, repo, ours, theirs)
    changed = {
        path
        for path, entry in now.items()
        if entry not in (mine.get(path), other.get(path)) and (path in mine or path in other)
    }
    changed -= policy.generated(changed).keys() | records.NOTES
    if not bases or not changed:
        return
    base = git.tree(sh, repo, bases[0])
    everywhere = changed & mine.keys() & other.keys()
    lines, edited = _gone(sh, repo, [base, *trees], everywhere)
    if lines:
        one = sum(map(len, lines.values())) == 1
        yield of_lines(lines, f"that both sides have {'is' if one else 'are'} gone", certain=False)
    if edited:
        path, ((old, new), *_) = next(iter(edited.items()))
        count = sum(map(len, edited.values()))
        what = f"{listed([*edited], _MOST_NAMED)}: {counted(count, 'line')} that both sides have "
        what += "is different now" if count == 1 else "are different now, such as"
        what += f": {new}, which was: {old}"
        shown = [x for path, its in edited.items() for x in (path, *_turned(its))]
        yield Finding(EDITED, what, path, certain=False, paths=(*edited,), lines=(*shown,))
    alone = {
        path
        for path in changed
        if base.get(path) in (mine.get(path), other.get(path)) or mine.get(path) == other.get(path)
    }
    versions = {file.path for file in policy.version_files}
    written = _written(sh, repo, (mine, other, now), alone - versions)
    for path, its in edited.items():
        written[path] = [x for x in written.get(path, ()) if x not in {form for _, form in its}]
    if written := {path: its for path, its in written.items() if its}:
        yield of_lines(written, "that neither side has", certain=False, check=ADDED, sign="+")


def _written(
    sh: Shell, repo: Path, trees: tuple[Tree, Tree, Tree], paths: Set[str]
) -> dict[str, list[str]]:
    """By path, the lines of a merge's files that neither side has, there or in the other files, but
    for a formatter's line breaks. trees: both sides', and the merge's."""
    *sides, now = trees
    old = {path: [tree[path][1] for tree in sides if path in tree] for path in sorted(paths)}
    # What a side does not have under this name, it may have had under another one.
    kinds = {PurePosixPath(path).suffix for path, its in old.items() if len(its) < len(sides)}
    former = (
        tree[path][1]
        for tree in sides
        for path in tree.keys() - now.keys()
        if PurePosixPath(path).suffix in kinds
    )
    earlier = {*former, *(name for its in old.values() for name in its)}
    names = earlier | {now[path][1] for path in paths}
    texts = {x: text.split("\n") for x, text in git.blobs(sh, repo, names).items()}
    known = {line.strip() for name in earlier for line in texts.get(name, ())}
    found: dict[str, list[str]] = {}
    for path, its in old.items():
        lines = [line.strip() for line in texts.get(now[path][1], ())]
        if any("\0" in line or hunks.has_markers(line) for line in lines):
            continue  # a conflict that was committed is a finding of its own
        before = [Squeezed(texts.get(name, ())) for name in its]
        for is_new, run in groupby(lines, key=lambda line: bool(line) and line not in known):
            new = [*run]
            if is_new and not any(side.count(new) for side in before):
                found.setdefault(path, []).extend(x for x in new if re.search(r"\w", x))
    return found


def of_lines(
    lines: Mapping[str, Sequence[str]],
    whose: str,
    *,
    certain: bool,
    check: str = REMOVED,
    sign: str = "-",
    then: str = "",
) -> Finding:
    """The finding that lines are gone, or another one about lines.

    lines: by path. whose: who has them, in words. sign: the character before each in the list.
    then: what to do.
    """
    path, first = next(iter(lines.items()))
    count = sum(map(len, lines.values()))
    such = "" if count == 1 else ", such as"
    what = f"{listed([*lines], _MOST_NAMED)}: {counted(count, 'line')} {whose}{such}: {first[0]}"
    shown = [x for path, its in lines.items() for x in (path, *(f"{sign} {x}" for x in its))]
    paths = tuple(lines)
    return Finding(check, what, path, certain=certain, paths=paths, lines=(*shown,), then=then)


@dataclass(frozen=True)
class Before:
    """Lines that merges on top of a release lost.

    lines: by path. by: these merges. chosen: whether some of the lines are in a conflict of git's
        own merge, which a person resolved without them; otherwise it has them all.
    """

    lines: Mapping[str, Sequence[str]]
    by: Sequence[Commit]
    chosen: bool


def lost_before(
    sh: Shell, repo: Path, ours: str, theirs: str, result: str, release: str, paths: Set[str]
) -> Before:
    """The lines that the fork's side, the common ancestor and a release have, and neither theirs
    nor the result, because a merge on top of the release lost them: git's own merge of its parents
    has them, or one side of a conflict does, where the other has nothing.

    theirs: a commit on top of the release. paths: those in which it differs from it.
    """
    bases = git.merge_bases(sh, repo, ours, theirs)
    trees = [git.tree(sh, repo, name) for name in (*bases[:1], ours, release, result)]
    gone = _gone(sh, repo, trees, paths & trees[-1].keys())[0] if bases else {}
    log = commits.log_of(sh, repo, theirs, [release]) if gone else ()
    lost: dict[str, list[str]] = {}
    by: list[Commit] = []
    chosen = False
    for entry in (entry for entry in log if len(entry.parents) == 2):
        for path in sorted(gone.keys() & entry.changed.keys()):
            kept, disputed = _kept_by_git(sh, repo, entry.parents, path)
            now = {
                x.strip() for x in (git.show(sh, repo, entry.commit.name, path) or "").split("\n")
            }
            if its := [line for line in gone[path] if line in (kept | disputed) - now]:
                lost[path] = [*dict.fromkeys([*lost.get(path, ()), *its])]
                by += [entry.commit] * (entry.commit not in by)
                chosen = chosen or not kept.issuperset(its)
    return Before(lost, by, chosen)


def _kept_by_git(
    sh: Shell, repo: Path, parents: Sequence[str], path: str
) -> tuple[set[str], set[str]]:
    """The lines of a file that git's own merge of two commits has without a conflict, and those
    that one side of a conflict has, where the other side has nothing."""
    question = "git -C {repo} merge-tree --write-tree --no-messages {one} {other}"
    one, other = parents
    key = ("merged by git", repo, one, other)
    tree = sh.once(
        key, lambda: sh.ask(question, repo=repo, one=one, other=other).out.split("\n")[0]
    )
    segments = hunks.parse(git.show(sh, repo, tree, path) or "") if git.is_hash(tree) else ()
    kept, disputed = set[str](), set[str]()
    for part in segments or ():
        if isinstance(part, str):
            kept |= {*map(str.strip, part.split("\n"))}
        elif not ("".join(part.ours).strip() and "".join(part.theirs).strip()):
            disputed |= {*map(str.strip, (*part.ours, *part.theirs))}
    return kept, disputed


def _turned(lines: Iterable[tuple[str, str]]) -> Iterator[str]:
    for old, new in lines:
        yield from (f"- {old}", f"+ {new}")


def _gone(
    sh: Shell, repo: Path, trees: list[Tree], changed: Set[str]
) -> tuple[dict[str, list[str]], dict[str, list[tuple[str, str]]]]:
    """By path, the lines that three trees have as often, and the last one nowhere; and those which
    that one has in another form, each with it.

    changed: the paths to look at.
    """
    entries = {path: [tree.get(path) for tree in trees] for path in sorted(changed)}
    names = {entry[1] for found in entries.values() for entry in found if entry}
    texts = git.blobs(sh, repo, names)
    found: dict[str, list[str]] = {}
    edited: dict[str, list[tuple[str, str]]] = {}
    every: list[str] = []
    for path, versions in entries.items():
        four = [(texts.get(x[1], "") if x else "").split("\n") for x in versions]
        base, mine, other, now = (Counter(map(str.strip, lines)) for lines in four)
        new = (now - mine - other).keys()
        every += new
        gone = [x for x in base if base[x] == mine[x] == other[x] and not now[x]]
        if gone:
            here, whole = Index(new), Squeezed(four[-1])
            found[path] = [x for x in gone if substantive(x)]
            forms = [(x, here.like(x)) for x in gone]
            edited[path] = [(x, form) for x, form in forms if form and not whole.count([x])]
    there = Index(every)
    found = {path: [x for x in lines if not there.like(x)] for path, lines in found.items()}
    return (
        {path: lines for path, lines in found.items() if lines},
        {path: lines for path, lines in edited.items() if lines},
    )


# --- Features -------------------------------------------------------------------------------------

FEATURE = "feature"
"""The name of the check `features`."""


def own_policy(after: Committed, theirs: Committed) -> Policy | None:
    """A merge's own policy, for what the fork's people corrected on the sync branch; None if
    upstream has such a file, which could have got into it, or it is invalid."""
    text = after.text(POLICY_FILE)
    if text is None or POLICY_FILE in theirs.tree:
        return None
    try:
        return load_policy(text).policy
    except Refused:
        return None


def asks_the_same(manifest: Policy, before: str | None) -> bool:
    """Whether the fork's policy before a merge says the same as the merge's own, but for the
    features, of which `features` reports."""
    try:
        policy = load_policy(before).policy if before is not None else None
    except Refused:
        return False
    without = [
        policy and msgspec.structs.replace(policy, feature=()) for policy in (policy, manifest)
    ]
    return without[0] == without[1]


def features(
    policy: Policy,
    after: Committed,
    manifest: Sequence[Feature] | None = None,
    renamed: Callable[[], Mapping[str, str]] = dict,
) -> Iterator[Finding]:
    """Features of the manifest that are partly missing.

    manifest: the merge's own; what it does not ask for any more is only worth a look.
    renamed: finds the new path of each file that the merge renamed.
    """
    named = {feature.name: feature for feature in manifest or ()}
    for feature in policy.feature:
        gaps, corrected, more = _gaps(feature, after, renamed), None, ""
        if gaps and manifest is not None:
            now = named.get(feature.name)
            corrected = _gaps(now, after, renamed) if now else []
            more = f"; {POLICY_FILE} on this branch {'is corrected' if now else 'gives it up'}"
        for what, path in corrected or gaps:
            origin = f", from {feature.origin}" if feature.origin else ""
            what = f"{feature.name}{origin}: {what}{more if corrected == [] else ''}"
            yield Finding(FEATURE, what, path, certain=corrected != [])


def _gaps(
    feature: Feature, after: Committed, renamed: Callable[[], Mapping[str, str]]
) -> list[tuple[str, str]]:
    """What is missing of a feature, and the file that it is missing from."""
    absent = [path for path in feature.files if path not in after.tree]
    moved = renamed() if absent else {}
    gaps = [
        (printable(f"{path} was renamed to {moved[path]}"), moved[path])
        if path in moved
        else (f"{path} is gone", path)
        for path in absent
    ]
    texts = [after.text(moved.get(path, path)) or "" for path in feature.files]
    first = feature.files[0] if feature.files else ""
    first = moved.get(first, first)
    return gaps + [(printable(f"nothing matches '{p}'"), first) for p in feature.missing(texts)]


def missing_features(sh: Shell, fork: Fork) -> list[Finding]:
    """The features of the manifest that the production branch lacks."""
    return list(features(fork.policy, Committed(sh, fork.path, fork.production_commit, {})))
