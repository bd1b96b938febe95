"""Files that neither side of a merge has: somebody added them while merging."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ..fork import records
from ..fork.policy import Policy
from ..run import git
from ..run.shell import Shell
from ..run.text import listed
from .finding import Finding

ADDED = "added while merging"
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
    question = "rev-list --first-parent --merges --parents {result} --not {ours}"
    merges = git.ask(sh, repo, question, "merges", result=result, ours=ours).out.splitlines()
    parents = {parent for line in merges for parent in line.split()[2:]}
    sides = [git.tree(sh, repo, commit) for commit in sorted({ours, theirs} | parents)]
    now = git.tree(sh, repo, result)
    new = now.keys() - set[str]().union(*sides) - records.NOTES
    new -= policy.generated(new).keys()
    moved = {name for tree in sides for path, (_, name) in tree.items() if path not in now}
    if paths := tuple(path for path in sorted(new) if now[path][1] not in moved):
        one = len(paths) == 1
        what = f"{listed(paths, _MOST_NAMED)} {'is' if one else 'are'} in the merge, and neither "
        what += f"side has {'it' if one else 'them'}"
        yield Finding(ADDED, what, paths[0], certain=False, paths=paths)
