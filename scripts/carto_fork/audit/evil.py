"""What a merge has of its own: files that neither side has, and what both sides have and it lacks.

Git's glossary calls such a merge evil. The account is about what the sides changed, so it does not
see these.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Set
from pathlib import Path

from ..fork import records
from ..fork.policy import Policy
from ..merge import renames
from ..run import git
from ..run.git import Tree
from ..run.shell import Shell
from ..run.text import counted, listed, substantive
from .alike import Index
from .finding import Finding

ADDED, REMOVED = EVIL = "added while merging", "removed while merging"
"""The names of the checks `added` and `removed`."""
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


def removed(
    sh: Shell, repo: Path, ours: str, theirs: str, result: str, policy: Policy
) -> Iterator[Finding]:
    """Findings about what both sides have as their common ancestor has it, and the merge lacks:
    files, and lines. What is there in another file, or in another form, does not count.
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
        p for p in now.keys() & mine.keys() & other.keys() if now[p] not in (mine[p], other[p])
    }
    changed -= policy.generated(changed).keys() | records.NOTES
    lines = _gone(sh, repo, [git.tree(sh, repo, bases[0]), *trees], changed) if bases else {}
    if lines:
        path, first = next(iter(lines.items()))
        number = counted(sum(map(len, lines.values())), "line")
        what = (
            f"{listed([*lines], _MOST_NAMED)}: {number} that both sides have, such as: {first[0]}"
        )
        yield Finding(REMOVED, what, path, certain=False, paths=tuple(lines))


def _gone(sh: Shell, repo: Path, trees: list[Tree], changed: Set[str]) -> dict[str, list[str]]:
    """By path, the lines that three trees have as often, and the last one nowhere.

    changed: the paths to look at.
    """
    entries = {path: [tree.get(path) for tree in trees] for path in sorted(changed)}
    names = {entry[1] for found in entries.values() for entry in found if entry}
    texts = git.blobs(sh, repo, names)
    found: dict[str, list[str]] = {}
    new: list[str] = []
    for path, versions in entries.items():
        base, mine, other, now = (
            Counter(map(str.strip, (texts.get(entry[1], "") if entry else "").split("\n")))
            for entry in versions
        )
        new += (now - mine - other).keys()
        gone = [x for x in base if base[x] == mine[x] == other[x] and not now[x] and substantive(x)]
        found |= {path: gone} if gone else {}
    there = Index(new)
    found = {path: [x for x in lines if not there.like(x)] for path, lines in found.items()}
    return {path: lines for path, lines in found.items() if lines}
