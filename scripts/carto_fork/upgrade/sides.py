"""What the page shows of both sides: what the fork has of its own, and what upstream changed."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from ..audit import older
from ..audit.fates import Fate
from ..audit.ledger import Entry
from ..fork import generated, lineage
from ..fork.fork import Fork
from ..fork.policy import Side
from ..merge import authorship, commits, lives, syncs
from ..merge.hunks import Change, Commit, Customisations
from ..run import git
from ..run.shell import Shell
from ..run.text import counted, pathspec_word
from . import built, effects, marked
from .effects import Effect

WHOSE = {Side.FORK: "the fork", Side.UPSTREAM: "upstream"}
SAID = {fate: fate.value for fate in Fate} | {Fate.SUPERSEDED: "look at this"}
WORST = (Fate.LOST, Fate.SUPERSEDED, Fate.DROPPED, Fate.ABSORBED, Fate.MOVED, Fate.KEPT)
OTHER = {Side.FORK: Side.UPSTREAM, Side.UPSTREAM: Side.FORK}
GONE = "gone"
"""What becomes of a file that the fork had, and the result does not."""
LEFT = "left"
"""What becomes of a file whose conflict nobody has resolved: nothing yet."""
MADE = "left to a tool"
"""What becomes of a file that a tool writes, and that it writes again."""
STALE = "to be built again"
"""What becomes of what the fork built of sources that upstream changed."""
TONES = {"kept": "passed", "lost": "wrong", LEFT: "wrong", "look at this": "open", GONE: "open"}
TONES[STALE] = "open"

_MOST_BLAMED = 40
"""In so many files git is asked which commit a line is from."""
_PART = 10
"""So many characters are a part of a longer line not by chance."""
_MOST_NAMED = 12
_MOST_SAID, _MOST_PATHS = 10, 200
"""A command for more files has a name; and it is for no more files than these."""
_MOST_READ = 500
"""So many files are read to find where names are used that are gone."""
_ALIKE = 6
"""So many files of a kind in a directory are one line."""
Pair = tuple[str | None, str | None]


class Unfilled(NamedTuple):
    """A directory that a tool fills from a manifest that a merge changes.

    how: the command. touched: whether the merge changed the directory.
    """

    tree: str
    manifest: str
    how: str
    touched: bool


class Sides:
    """The trees of a merge: base, ours, theirs, result; each thing is found out once.

    result: of one that has not happened, the fork's side. lost: the sync whose lost ancestry is
        reckoned with.
    """

    # The names of the files in conflict; whoever knows them sets them.
    in_conflict: Set[str] = frozenset()

    def __init__(
        self, sh: Shell, fork: Fork, ours: str, theirs: str, result: str, lost: syncs.Lost | None
    ) -> None:
        self._sh, self._fork = sh, fork
        self._known: dict[Pair, Sequence[Change]] = {}
        self._expected: set[Pair] = set()
        healed = syncs.healed_commit(sh, fork.path, ours, lost) if lost else ours
        bases = git.merge_bases(sh, fork.path, healed, theirs)
        base = bases[0] if bases else git.empty_tree(sh, fork.path)
        self.commits = {"base": base, "ours": ours, "theirs": theirs, "result": result or ours}
        self.trees = {side: git.tree(sh, fork.path, name) for side, name in self.commits.items()}
        self.merged = bool(result)
        self._usual = ("ours", "result") if result else ("base", "theirs")

    @cached_property
    def own(self) -> Customisations:
        """What the fork's own commits did."""
        return authorship.of_fork(
            self._sh, self._fork, self.commits["ours"], self.commits["theirs"]
        )

    @cached_property
    def log(self) -> Mapping[str, commits.Entry]:
        """The fork's commits, by name."""
        ours, theirs = self.commits["ours"], self.commits["theirs"]
        upstream = lineage.not_to_keep(self._sh, self._fork, ours, (theirs,))
        log = commits.log_of(self._sh, self._fork.path, ours, upstream)
        return {entry.commit.name: entry for entry in log}

    @cached_property
    def _files(self) -> Mapping[str, Sequence[Commit]]:
        """The fork's commits by the file that they changed, under the name that it has now."""
        return self.own.files

    def pair(self, path: str, one: str, other: str) -> Pair:
        """A file's versions in two trees; None for one that git does not compare."""
        entries = (self.trees[side].get(path) for side in (one, other))
        old, new = (e[1] if e and e[0] != git.SUBMODULE else None for e in entries)
        return old, new

    def expect(self, pairs: Iterable[Pair]) -> None:
        """Note versions of files to compare together with the next ones that are asked for."""
        self._expected.update(pairs)

    def changes(self, pairs: Iterable[Pair]) -> Callable[[Pair], Sequence[Change]]:
        """The hunks between versions of files, each pair compared once."""
        if new := {*pairs} - self._known.keys():
            new |= self._expected - self._known.keys()
            found = commits.changes(self._sh, self._fork.path, sorted(new, key=str))
            self._known |= {pair: found.get(pair, ()) for pair in new}
        return lambda pair: self._known[pair]

    def diff(self, *paths: str, between: tuple[str, str] = ("", "")) -> str | tuple[str, str]:
        """The command that shows what became of files of the fork, or how two commits differ; of
        many files, with a short name."""
        one, other = between if all(between) else (self.commits[side] for side in self._usual)
        words = " ".join(map(pathspec_word, paths[:_MOST_PATHS]))
        line = f"git diff {one[:10]} {other[:10]} -- {words}"
        which = f"the first {_MOST_PATHS} of" if len(paths) > _MOST_PATHS else "all"
        name = f"git diff of {which} {len(paths)} files"
        return line if len(paths) <= _MOST_SAID else (name, line)

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
        return self.changed & self._between("base", "ours") & self._files.keys()

    @cached_property
    def near(self) -> list[tuple[float, str, str]]:
        """Of each path that both changed: how many lines are between, the path, and the fork's
        lines; the nearest first."""
        pairs = {p: [self.pair(p, "base", side) for side in ("ours", "theirs")] for p in self.both}
        self.expect(self._mine.values())
        changes = self.changes(pair for both in pairs.values() for pair in both)
        return sorted(
            (marked.apart(changes(mine), changes(theirs)), path, marked.ranges(changes(mine)))
            for path, (mine, theirs) in pairs.items()
        )

    def areas(self) -> Iterator[dict[str, Any]]:
        """By directory at the top, how many paths upstream changed; and how near to the fork's
        lines, the nearest first."""
        areas = Counter(map(_area, self.changed))
        for name, number in sorted(areas.items(), key=lambda area: (-area[1], area[0])):
            near = [one for one in self.near if _area(one[1]) == name]
            yield {"name": name, "paths": number, "near": near}

    @cached_property
    def _mine(self) -> Mapping[str, Pair]:
        made = self._fork.policy.generated(self._files).keys()
        paths = self._files.keys() & self.trees["result"].keys() - made
        read = sorted(path for path in paths if not generated.VENDORED.search(path))
        return {path: self.pair(path, "theirs", "result") for path in read}

    @cached_property
    def mine(self) -> Mapping[str, Sequence[Change]]:
        """The result's lines in files of the fork that upstream's side does not have, by path; of
        what a tool writes, or others, nobody reads them."""
        changes = self.changes(self._mine.values())
        return {path: changes(pair) for path, pair in self._mine.items()}

    def uses(self, gone: Mapping[str, Collection[str]]) -> dict[str, dict[str, list[str]]]:
        """Where the result still has names that files defined, by file and name, each with its path
        and line; not if another file defines them now, which this one sees.

        gone: the names by the file that defined them.
        """
        everything = sorted({name for names in gone.values() for name in names})
        if not everything:
            return {}
        words = ["git", "-C", str(self._fork.path), "grep", "-I", "-l", "-w", "-F", "-z"]
        words += ["--no-color", *(word for name in everything for word in ("-e", name))]
        suffixes = sorted({suffix for home in gone for suffix in effects.family(home)})
        globs = [f":(top,glob)**/*{suffix}" for suffix in suffixes]
        answer = self._sh.read([*words, self.commits["result"], "--", *globs])
        read = [path.partition(":")[2] for path in git.checked(answer, "names", 1).fields()]
        read = [path for path in read if not generated.VENDORED.search(path)]
        # Of a name that very many files have, those nearest to it.
        near = {home.rpartition("/")[0] for home in gone}
        read = sorted(read, key=lambda path: path.rpartition("/")[0] not in near)[:_MOST_READ]
        tree = self.trees["result"]
        texts = git.blobs(self._sh, self._fork.path, {tree[path][1] for path in read})
        lines = {path: texts.get(tree[path][1], "").split("\n") for path in read}
        found: dict[str, dict[str, list[str]]] = defaultdict(dict)
        for home, name in ((home, name) for home, names in gone.items() for name in sorted(names)):
            paths = [path for path in read if path.endswith(effects.family(home))]
            at = {path: effects.uses(name, home, path, lines[path]) for path in paths}
            at = {path: numbers for path, numbers in at.items() if numbers}
            if at and not any(name in effects.defined(lines[path]) for path in at):
                found[home][name] = [
                    f"{path}:{n + 1}: {lines[path][n].strip()}"
                    for path, ns in at.items()
                    for n in ns
                ]
        return found

    def blamed(self, entries: Sequence[Entry]) -> list[Entry]:
        """The entries; those whose lines several commits wrote, or no known one, with those whose
        lines they are, on the fork's side."""
        doubtful: dict[str, set[int]] = defaultdict(set)
        lines_of = {
            id(entry): {*entry.account.missing_at}
            for entry in entries
            if not entry.files and entry.account.fate is not Fate.KEPT
            if entry.commits or (entry.side is Side.FORK and not older.is_upstreams(entry))
        }
        for entry in entries:
            doubtful[entry.path] |= lines_of.get(id(entry), set())
        paths = [path for path, lines in doubtful.items() if lines][:_MOST_BLAMED]
        among = f"{self.commits['theirs']}..{self.commits['ours']}"

        def wrote_in(path: str) -> list[tuple[int, Commit]]:
            return [*commits.blame(self._sh, self._fork.path, among, path, doubtful[path])]

        with ThreadPoolExecutor() as pool:
            found = zip(paths, pool.map(wrote_in, paths), strict=True)
            wrote = {
                (path, line): commit
                for path, made in found
                for line, commit in made
                if commit.name in self.log
            }
        known = []
        for entry, before in zip(entries, self._before(entries), strict=True):
            by = (wrote.get((entry.path, line)) for line in lines_of.get(id(entry), ()))
            sure = tuple(dict.fromkeys([*filter(None, by), *before]))
            known.append(replace(entry, commits=sure or entry.commits))
        return known

    def _before(self, entries: Sequence[Entry]) -> Iterator[list[Commit]]:
        """For each entry, the fork's commits that wrote missing lines as parts of longer ones."""
        telling = [
            {"".join(line.split()) for line in entry.account.missing if len(line.strip()) >= _PART}
            if entry.side is Side.FORK and entry.account.fate in (Fate.LOST, Fate.SUPERSEDED)
            else set[str]()
            for entry in entries
        ]
        paths = {entry.path for entry, lines in zip(entries, telling, strict=True) if lines}
        asked = [(path, commit) for path in paths for commit in self._files.get(path, ())]
        asked = [(path, commit) for path, commit in asked if commit.name not in self.own.bringing]
        made = authorship.made(self._sh, self._fork.path, self.own, asked)
        new = {
            key: {"".join(line.split()) for change in its for line in change.added}
            for key, its in made.items()
        }
        for entry, parts in zip(entries, telling, strict=True):
            yield [
                commit
                for commit in (self._files.get(entry.path, ()) if parts else ())
                if any(x in y != x for x in parts for y in new.get((entry.path, commit), ()))
            ]

    def origin(self, path: str, numbers: Collection[int]) -> str:
        """Where lines are from that a file has on the fork's side, and that no commit of the fork
        wrote, as a sentence; "" if that is not known. numbers: the lines in its file."""
        ours, theirs = self.commits["ours"], self.commits["theirs"]
        return older.said(lives.origin(self._sh, self._fork, ours, theirs, path, numbers))

    def undone(self, path: str, side: Side) -> str:
        """What it undoes to take a side's whole file, as the end of a sentence; "" for nothing."""
        pair, whose = self._other(path, side), WHOSE[OTHER[side]]
        known = self.changes([pair])(pair) if all(pair) and pair[0] != pair[1] else ()
        number = sum(any(map(str.strip, (*x.removed, *x.added))) for x in known)
        return f", which undoes {counted(number, 'change')} of {whose} in it" * bool(number)

    def expect_undone(self, files: Iterable[tuple[str, Side]]) -> None:
        """Note files about which `undone` will be asked."""
        pairs = (self._other(path, side) for path, side in files)
        self.expect(pair for pair in pairs if all(pair))

    def _other(self, path: str, side: Side) -> Pair:
        """What the other side did to a file."""
        return self.pair(path, "base", "theirs" if side is Side.FORK else "ours")

    def unfilled(self) -> Iterator[Unfilled]:
        """The directories of the result that a tool fills from a manifest that this merge
        changes."""
        ours, result = self.trees["ours"], self.trees["result"]
        after = self.trees["theirs"] if result is ours else result
        changed = {
            path for path in result.keys() | ours.keys() if result.get(path) != ours.get(path)
        }
        for tree, manifest, how in generated.filled(result):
            if ours.get(manifest) != after.get(manifest):
                touched = any(path.startswith(f"{tree}/") for path in changed)
                yield Unfilled(tree, manifest, how, touched)

    @cached_property
    def wrote(self) -> Customisations:
        """The fork's own work in the files in conflict, under whatever name."""
        older = {name for path in self.in_conflict for name in self.own.older.get(path, ())}
        return authorship.within(self.own, self.in_conflict | older)

    @cached_property
    def stale(self) -> Sequence[built.Stale]:
        """What the fork built of sources that upstream changed."""
        return [one for one in self.builds if not one.deleted]

    @cached_property
    def builds(self) -> Sequence[built.Stale]:
        """The same, and what the fork has of what upstream deleted."""
        about = self.own, self.trees, self.changed, self.commits["theirs"], self.commits["result"]
        return built.stale(self._sh, self._fork, *about) if self.merged else ()


def worst(entries: Iterable[Entry]) -> dict[tuple[str, str], Fate]:
    """The worst that became of a change, by its file and the commit behind it, and by the file
    alone ("" for the commit)."""
    found: dict[tuple[str, str], Fate] = {}
    for entry in entries:
        lines = (*entry.account.missing, *entry.account.back)
        # Which commit stated a version, its line does not show.
        stated = effects.of_lines(entry.path, lines) is Effect.VERSION
        for commit in ("", *(commit.name for commit in entry.commits if not stated)):
            known = found.get((entry.path, commit), Fate.KEPT)
            found[entry.path, commit] = min(known, entry.account.fate, key=WORST.index)
    return found


def _area(path: str) -> str:
    return path.partition("/")[0] + "/" if "/" in path else "(top)"


def by_directory(paths: Iterable[str]) -> list[str]:
    """Paths in few words: of a directory with many, their number and the first."""
    names: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        directory, slash, name = path.rpartition("/")
        names[directory + slash].append(name)
    return [
        f"{directory}: {' '.join(inside)}"
        if len(inside) <= _MOST_NAMED
        else f"{directory}: {len(inside)} files, such as {inside[0]}"
        for directory, inside in names.items()
    ]


def near_lines(found: Sequence[tuple[float, str, str]]) -> Iterator[str]:
    """How near both sides' changes are, file by file; of many files of a kind in a directory, such
    as translations, together."""
    kinds = Counter((path.rpartition("/")[0], PurePosixPath(path).suffix) for _, path, _ in found)
    said = set[tuple[str, str]]()
    for lines, path, where in found:
        directory, suffix = kind = path.rpartition("/")[0], PurePosixPath(path).suffix
        what = f"the fork's lines {where}" if where else "lines that the fork removed"
        if kinds[kind] < _ALIKE or effects.of_file(path) is Effect.CODE:
            away = f"{counted(int(lines), 'line')} away from" if lines else "touches"
            yield f"{path}: {away} {what}"
        elif kind not in said:
            said.add(kind)
            yield f"{directory}/: {kinds[kind]} files *{suffix}, such as {path.rpartition('/')[2]}"
