"""What a reviewer looks at wherever upstream changed it: what runs, what is installed, and what
decides. One account for the pull request and the page."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from ..audit.fates import Fate
from ..audit.ledger import Entry
from ..fork import records
from ..fork.policy import POLICY_FILE, Side
from ..run import git

KINDS = {
    "policy": re.compile("|".join(map(re.escape, (POLICY_FILE, *records.NOTES)))),
    "upstream workflow": re.compile(r"\.github/workflows/.*", re.DOTALL),
    "dependencies": re.compile(
        r"(.*/)?(pyproject\.toml|requirements[\w.-]*\.(txt|in)|setup\.(py|cfg)|package\.json|go\.mod"
        r"|Cargo\.toml|Gemfile|([^/]+\.)?Dockerfile([.-][^/]+)?|[^/]*lock(file|\.json|\.yaml)?)",
        re.DOTALL,
    ),
    "tool settings": re.compile(
        r"(.*/)?(\.gitattributes|\.gitmodules|\.lfsconfig|CODEOWNERS|\.npmrc|\.yarnrc(\.yml)?|uv\.toml"
        r"|pip\.conf|\.cargo/config(\.toml)?|\.pre-commit-config\.yaml|renovate\.json5?)"
        r"|\.github/(dependabot\.ya?ml|settings\.yml|actions/.*)",
        re.DOTALL,
    ),
}
"""Such files, by kind."""

NEW, CHANGED, REMOVED, NOT_TAKEN = "new", "changed", "removed", "not taken"
_UNTAKEN = (Fate.LOST, Fate.SUPERSEDED, Fate.DROPPED)


@dataclass(frozen=True)
class Risk:
    """Such a file that upstream changed.

    state: what that changes for the fork: NEW, CHANGED, REMOVED or NOT_TAKEN.
    """

    path: str
    kind: str
    state: str


def of_merge(
    changed: Iterable[str],
    base: git.Tree,
    ours: git.Tree,
    theirs: git.Tree,
    result: git.Tree | None,
    entries: Iterable[Entry],
) -> Iterator[Risk]:
    """Such files among those that upstream changed, by kind; without those of which the account
    says that the result has nothing.

    base, ours, theirs, result: the trees of the common ancestor, of both sides, and of the merge;
        None for one that has not happened. entries: the account.
    """
    untaken: Collection[str] = {
        entry.path
        for entry in entries
        if entry.side is Side.UPSTREAM and entry.account.fate in _UNTAKEN
    }
    paths = sorted(changed)
    for kind, pattern in KINDS.items():
        for path in filter(pattern.fullmatch, paths):
            now = result.get(path) if result is not None else None
            if result is None:
                lacks = (
                    NOT_TAKEN if path not in ours else REMOVED if path not in theirs else CHANGED
                )
                yield Risk(path, kind, lacks if path in base else NEW)
            elif now != ours.get(path):
                added = NEW if path not in base and path not in ours else CHANGED
                yield Risk(path, kind, added if now else REMOVED)
            elif path not in untaken:
                yield Risk(path, kind, NOT_TAKEN)
