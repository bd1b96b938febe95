"""What the page shows of both sides: what the fork has of its own, and what upstream changed."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from ..audit.fates import Fate
from ..audit.ledger import Entry
from ..fork.fork import Fork
from ..merge import authorship, commits, syncs
from ..merge.hunks import Change, Commit, Customisations
from ..run import git
from ..run.shell import Shell
from . import marked

SAID = {fate: fate.value for fate in Fate} | {Fate.SUPERSEDED: "look at this"}
WORST = (Fate.LOST, Fate.SUPERSEDED, Fate.DROPPED, Fate.ABSORBED, Fate.MOVED, Fate.KEPT)
_GONE, _REMOVED, _BEFORE = "gone", "removed by the fork", "gone before this merge"
_FATES = [*(SAID[fate] for fate in WORST), _REMOVED, _BEFORE]
_FATES.insert(3, _GONE)
"""What may have become of a file, the worst first."""
TONES = {"kept": "passed", "lost": "wrong", "look at this": "open", _GONE: "open"}

_MOST_FILES = 40
"""Of so many files of a commit each fate is shown."""
Pair = tuple[str | None, str | None]


class Sides:
    """The trees of a merge: base, ours, theirs, result; each thing is found out once.

    result: of one that has not happened, the fork's side. lost: the sync whose lost ancestry is
        reckoned with.
    """

    def __init__(
        self, sh: Shell, fork: Fork, ours: str, theirs: str, result: str, lost: syncs.Lost | None
    ) -> None:
        self._sh, self._fork = sh, fork
        healed = syncs.healed_commit(sh, fork.path, ours, lost) if lost else ours
        bases = git.merge_bases(sh, fork.path, healed, theirs)
        base = bases[0] if bases else git.empty_tree(sh, fork.path)
        self.commits = {"base": base, "ours": ours, "theirs": theirs, "result": result or ours}
        self.trees = {side: git.tree(sh, fork.path, name) for side, name in self.commits.items()}

    @cached_property
    def own(self) -> Customisations:
        """What the fork's own commits did."""
        return authorship.of_fork(
            self._sh, self._fork, self.commits["ours"], self.commits["theirs"]
        )

    def pair(self, path: str, one: str, other: str) -> Pair:
        """A file's versions in two trees; None for one that git does not compare."""
        entries = (self.trees[side].get(path) for side in (one, other))
        old, new = (e[1] if e and e[0] != git.SUBMODULE else None for e in entries)
        return old, new

    def changes(self, pairs: Iterable[Pair]) -> Callable[[Pair], Sequence[Change]]:
        """The hunks between versions of files."""
        found = commits.changes(self._sh, self._fork.path, list(pairs))
        return lambda pair: found.get(pair, ())

    def _between(self, one: str, other: str) -> set[str]:
        """The paths in which two trees differ."""
        old, new = self.trees[one], self.trees[other]
        return {path for path in old.keys() | new.keys() if old.get(path) != new.get(path)}

    @cached_property
    def changed(self) -> set[str]:
        """The paths that upstream changed; of a renamed file, both."""
        return self._between("base", "theirs")

    @cached_property
    def both(self) -> set[str]:
        """The paths that upstream changed, and fork commits too."""
        return self.changed & self._between("base", "ours") & self.own.paths.keys()

    def areas(self) -> Iterator[dict[str, Any]]:
        """By directory at the top, how many paths upstream changed; and how near to the fork's
        lines, the nearest first."""
        pairs = {p: [self.pair(p, "base", side) for side in ("ours", "theirs")] for p in self.both}
        changes = self.changes(pair for both in pairs.values() for pair in both)
        near: dict[str, list[tuple[float, str, str]]] = defaultdict(list)
        for path, (mine, theirs) in pairs.items():
            lines = marked.apart(changes(mine), changes(theirs))
            near[_area(path)].append((lines, path, marked.ranges(changes(mine))))
        areas = Counter(map(_area, self.changed))
        for name, number in sorted(areas.items(), key=lambda area: (-area[1], area[0])):
            yield {"name": name, "paths": number, "near": sorted(near[name])}

    def customisations(
        self, entries: Sequence[Entry], fits: Callable[[Sequence[str]], Sequence[str]]
    ) -> Iterator[dict[str, Any]]:
        """The features of the manifest, then the commits of the fork, the worst first; a file's
        lines are with the first of them that has it.

        entries: the fork's changes, with what became of each. fits: cuts lines to what is shown.
        """
        tree = self.trees["result"]
        generated = self._fork.policy.generated(self.own.paths).keys()
        read = [path for path in self.own.paths if path in tree and path not in generated]
        pairs = {path: self.pair(path, "theirs", "result") for path in read}
        changes = self.changes(pairs.values())
        shown: dict[str, str] = {}
        for number, one in enumerate(self._owners(entries), 1):
            one["id"], rest = f"f{number}", one["files"][_MOST_FILES:]
            one["more"] = fits(_by_directory(file["path"] for file in rest)) if rest else ()
            one["files"] = one["files"][:_MOST_FILES]
            for file in one["files"]:
                path = file["path"]
                mine = changes(pairs[path]) if path in pairs else ()
                file["where"] = marked.ranges(mine)
                file["shown"] = shown.setdefault(path, one["id"])
                file["lines"] = fits(marked.added(mine)) if file["shown"] == one["id"] else ()
            yield one

    def _owners(self, entries: Sequence[Entry]) -> Iterator[dict[str, Any]]:
        fates = worst(entries)
        there, tree, removed = self.trees["ours"], self.trees["result"], set(self.own.removed)

        def fate_of(path: str, commit: str) -> str:
            fate = SAID[fates.get((path, commit), Fate.KEPT)]
            if path in tree or fate != "kept":
                return fate
            return _GONE if path in there else _REMOVED if path in removed else _BEFORE

        for feature in self._fork.policy.feature:
            yield _owner(feature.name, {path: fate_of(path, "") for path in feature.files}, None)
        by_commit: dict[Commit, list[str]] = defaultdict(list)
        for path, found in self.own.paths.items():
            for commit in found:
                by_commit[commit].append(path)
        rows = [
            _owner(commit.subject, {path: fate_of(path, commit.name) for path in paths}, commit)
            for commit, paths in by_commit.items()
        ]
        yield from sorted(rows, key=lambda one: _FATES.index(one["fate"]))


def worst(entries: Iterable[Entry]) -> dict[tuple[str, str], Fate]:
    """The worst that became of a change, by its file and the commit behind it, and by the file
    alone ("" for the commit)."""
    found: dict[tuple[str, str], Fate] = {}
    for entry in entries:
        for commit in ("", *(commit.name for commit in entry.commits)):
            known = found.get((entry.path, commit), Fate.KEPT)
            found[entry.path, commit] = min(known, entry.account.fate, key=WORST.index)
    return found


def _area(path: str) -> str:
    return path.partition("/")[0] + "/" if "/" in path else "(top)"


def _by_directory(paths: Iterable[str]) -> list[str]:
    """Paths in few words."""
    names: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        directory, slash, name = path.rpartition("/")
        names[directory + slash].append(name)
    return [f"{directory}: {' '.join(inside)}" for directory, inside in names.items()]


def _owner(name: str, fates: Mapping[str, str], commit: Commit | None) -> dict[str, Any]:
    """A feature or a commit, with the fate of each of its files."""
    listed = sorted(fates.items(), key=lambda file: (_FATES.index(file[1]), file[0]))
    fate = listed[0][1] if listed else "kept"
    return {
        "name": name,
        "fate": fate,
        "tone": TONES.get(fate, ""),
        "files": [{"path": path, "fate": fate} for path, fate in listed],
        "number": len(listed),
        "commit": commit,
    }
