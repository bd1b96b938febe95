"""Which file was renamed to which. Git matches files by content; for twins, their paths say
more."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ..fork.policy import Policy
from ..run import files, git
from ..run.shell import Shell, batches

Facts = tuple[str, str]
"""Mode and object name."""

_NEAR = 0.9
"""The fraction of common lines from which two files are twins."""
_MOST_TWINS = 500
"""Pairs of files that are compared at most."""


@dataclass(frozen=True)
class Renames:
    """The files renamed between two commits.

    old: the old path of each new path.
    alike: the new paths that are equally similar to an old path, if there are several.
    unsure: the old paths for which no new path is nearer than another.
    """

    old: Mapping[str, str]
    alike: Mapping[str, Set[str]]
    unsure: Set[str]


_NONE = Renames({}, {}, frozenset())


def find(sh: Shell, repo: Path, one: str, other: str, policy: Policy) -> Renames:
    """The files renamed between two commits or trees, without generated ones.

    If several files are equally similar to the old one, the one sharing most of its path wins.
    one, other: hashes of commits or trees.
    """
    return sh.once(("renames", one, other), lambda: _find(sh, repo, one, other, policy))


def _find(sh: Shell, repo: Path, one: str, other: str, policy: Policy) -> Renames:
    before, after = git.tree(sh, repo, one), git.tree(sh, repo, other)
    # Comparing built files costs more than all others, and their names mean nothing.
    unread = policy.generated(before.keys() ^ after.keys()).keys()
    gone = {path: before[path][1] for path in before.keys() - after.keys() - unread}
    came = {path: after[path][1] for path in after.keys() - before.keys() - unread}
    if not gone or not came:
        return _NONE
    paths = [*gone, *came]
    question = "--literal-pathspecs diff-tree -r -M -l0 --diff-filter=R --name-status -z"
    question += " {one} {other} -- {paths}"
    # If the paths do not fit on a command line, we search all of them.
    paths = paths if len(list(batches(paths))) == 1 else []
    answer = git.ask(sh, repo, question, "renamed files", one=one, other=other, paths=paths)
    by_git = {
        old: new
        for _, old, new in zip(*[iter(answer.fields())] * 3, strict=True)
        if old in gone and new in came
    }
    if not by_git:
        return _NONE
    alike = _alike(sh, repo, gone, came, by_git)
    pairs = [(old, new) for old, news in alike.items() for new in news]
    shared = {(old, new): _shared(old, new) for old, new in pairs}
    places: dict[str, str] = {}
    taken: set[str] = set()
    for old, new in sorted(pairs, key=lambda p: (-shared[p], by_git.get(p[0]) != p[1], p)):
        if old not in places and new not in taken:
            places[old] = new
            taken.add(new)
    unsure = {
        old
        for old, new in places.items()
        if any(shared[old, x] >= shared[old, new] for x in alike[old] if x != new)
    }
    rest = {old: new for old, new in by_git.items() if old not in alike and new not in taken}

    was = {new: old for old, new in (rest | places).items()}
    return Renames(was, {old: frozenset(news) for old, news in alike.items()}, unsure)


def _alike(
    sh: Shell,
    repo: Path,
    gone: Mapping[str, str],
    came: Mapping[str, str],
    by_git: Mapping[str, str],
) -> dict[str, set[str]]:
    """The new paths that are as similar to an old one as git's choice; only for old paths with
    several, and for those that share them."""
    sources, places = _by_blob(gone), _by_blob(came)
    names = _by_blob({path: path.rpartition("/")[2] for path in came})
    alike: dict[str, set[str]] = defaultdict(set)
    near: list[tuple[str, str, str]] = []
    for before, after in {(gone[old], came[new]) for old, new in by_git.items()}:
        if len(sources[before]) > 1 or len(places[after]) > 1:
            for old in sources[before]:
                alike[old].update(places[after])
    for old, new in by_git.items():
        better = _shared(old, new)
        rivals = (x for x in names[new.rpartition("/")[2]] if came[x] != came[new])
        near += [(old, new, x) for x in rivals if _shared(old, x) > better]
    near = near[:_MOST_TWINS]
    texts = git.blobs(sh, repo, {n for a, b, c in near for n in (gone[a], came[b], came[c])})
    lines = {name: Counter(text.split("\n")) for name, text in texts.items()}
    takers = {new: old for old, new in by_git.items()}
    for old, new, rival in near:
        if _alikeness(lines.get(came[new]), lines.get(came[rival])) >= _NEAR:
            alike[old] |= {new, rival}
            if other := takers.get(rival):
                alike[other] |= {new, rival}
    return {old: news for old, news in alike.items() if news}


def _by_blob(paths: Mapping[str, str]) -> Mapping[str, list[str]]:
    by_blob: dict[str, list[str]] = defaultdict(list)
    for path, name in paths.items():
        by_blob[name].append(path)
    return by_blob


def _alikeness(one: Counter[str] | None, other: Counter[str] | None) -> float:
    """The fraction of lines that two files have in common."""
    if not one or not other:
        return 0
    return 2 * (one & other).total() / (one.total() + other.total())


def _shared(one: str, other: str) -> int:
    """How many words two paths have in common."""
    return (_words(one) & _words(other)).total()


def _words(path: str) -> Counter[str]:
    return Counter(word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+|\d+", path))


def put_right(sh: Shell, work: Path, ours: str, theirs: str, policy: Policy) -> list[str]:
    """If git merged the fork's change to a file into its twin, put it into the right file, which
    upstream only renamed; returns and stages the changed paths.

    work: the work tree of the merge in progress. ours, theirs: the merged commits.
    """
    bases = git.merge_bases(sh, work, ours, theirs)
    renamed = find(sh, work, bases[0], theirs, policy) if bases else _NONE
    if not renamed.alike:
        return []
    before, mine, other = (git.tree(sh, work, commit) for commit in (bases[0], ours, theirs))
    moved = {
        new: old
        for new, old in renamed.old.items()
        if old in renamed.alike and old in mine and new not in mine
        if before[old][1] == other[new][1]
    }
    twins: dict[str, set[Facts]] = defaultdict(set)
    for old in moved.values():
        twins[before[old][1]] |= {mine[old], before[old]}
    wrong = [
        (new, mine[old])
        for new, facts in _staged(sh, work, sorted(moved))
        if (old := moved[new]) not in renamed.unsure
        if facts != mine[old] and facts in twins[before[old][1]]
    ]
    entries = [f"{mode},{name},{path}" for path, (mode, name) in wrong]
    words = [word for entry in entries for word in ("--cacheinfo", entry)]
    if words:
        git.checked(sh.run(["git", "-C", str(work), "update-index", *words]), "renamed files")
        paths = [path for path, _ in wrong]
        files.on_paths(sh, work, "restore --worktree", paths)
    return [path for path, _ in wrong]


def _staged(sh: Shell, work: Path, paths: Sequence[str]) -> Iterator[tuple[str, Facts]]:
    """The staged versions of some paths."""
    if paths:
        question = "git -C {work} --literal-pathspecs ls-files --stage --full-name -z -- {paths}"
        answer = sh.ask(question, work=work, paths=paths)
        for field in git.checked(answer, "staged files").fields():
            facts, path = field.split("\t", 1)
            mode, name, stage = facts.split(" ")
            if stage == "0":
                yield path, (mode, name)


def of_commits(
    sh: Shell, repo: Path, commits: Sequence[str], like: Iterable[str] = ()
) -> dict[str, list[tuple[str, str, str]]]:
    """The renames of commits, by commit: the old version, the old path and the new one.

    commits: hashes, each possibly with that of a parent. like: only files with the stem of one of
        these, and no third-party code, because comparing everything takes long.
    """
    words = ["git", "-C", str(repo), "diff-tree", "--stdin", "--root", "-r", "-M", "--no-abbrev"]
    words += ["--raw", "--diff-filter=CR", "-z"]
    if stems := {*map(stem, like)}:
        pairs = _alike_in(sh, repo, commits, stems)
        commits = [commit for commit in commits if commit.partition(" ")[0] in pairs]
        if not commits:
            return {}
        some = [f":(top,literal){path}" for path in sorted(set().union(*pairs.values()))]
        most = [":(top)", *(f":(top,glob,exclude)**/{name}/**" for name in sorted(_VENDORED))]
        words += ["--", *(some if len(list(batches(some))) == 1 else most)]
    fields = iter(git.checked(sh.read(words, feed=commits), "renamed files").fields())
    found: dict[str, list[tuple[str, str, str]]] = defaultdict(list)
    commit = ""
    for field in fields:
        if field.startswith(":"):
            found[commit].append((field.split(" ")[2], next(fields), next(fields)))
        else:
            commit = field
    return found


def _alike_in(
    sh: Shell, repo: Path, commits: Sequence[str], stems: Set[str]
) -> dict[str, set[str]]:
    """By commit, the files that it removed or added, if it did both to files of the same stem."""
    words = ["git", "-C", str(repo), "diff-tree", "--stdin", "--root", "-r", "--no-renames"]
    words += ["--name-status", "--diff-filter=AD", "-z"]
    fields = iter(git.checked(sh.read(words, feed=commits), "removed files").fields())
    made: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    commit = ""
    for field in fields:
        if field not in ("A", "D"):
            commit = field
        elif (name := stem(path := next(fields))) in stems and not _VENDORED & {*path.split("/")}:
            made[commit, name][path] = field
    found: dict[str, set[str]] = defaultdict(set)
    for (commit, _), paths in made.items():
        if len({*paths.values()}) > 1:
            found[commit] |= paths.keys()
    return found


class Older(Mapping[str, Sequence[str]]):
    """The names that a fork's files had before, by the name that they have now; read on demand.
    Found are those that kept their stem: in another directory, or with another suffix.

    commits: the fork's, and upstream's. tree: the fork's files. gone: the names to follow.
    """

    def __init__(
        self, sh: Shell, repo: Path, commits: Sequence[str], tree: Set[str], gone: Set[str]
    ) -> None:
        self._sh, self._repo, self._commits = sh, repo, commits
        stems = {stem(path) for path in tree}
        self._tree, self._gone = tree, {path for path in gone if stem(path) in stems}
        self._stems = {stem(path) for path in self._gone}

    @cached_property
    def _found(self) -> Mapping[str, Sequence[str]]:
        became: dict[str, str] = {}
        left, seen = {*self._gone}, set[str]()
        while left:
            seen |= left
            for old, new in self._renamed(sorted(left)):
                became.setdefault(old, new)
            left = {*became.values()} - self._tree - seen
        older: dict[str, list[str]] = defaultdict(list)
        for old in sorted(self._gone & became.keys()):
            now, steps = old, 0
            while now not in self._tree and now in became and steps <= len(became):
                now, steps = became[now], steps + 1
            if now in self._tree and stem(now) == stem(old):
                older[now].append(old)
        return older

    def _renamed(self, paths: Sequence[str]) -> Iterator[tuple[str, str]]:
        """The renames in the fork's commits that removed some paths, newest first."""
        ours, *upstream = self._commits
        options = "-m --first-parent --no-renames --diff-filter=D --name-only --no-show-signature"
        words = ["git", "-C", str(self._repo), "--literal-pathspecs", "log", *options.split()]
        words += ["--no-color", "--format=%x00%H %P", ours, "--not", *upstream, "--"]
        for batch in batches(paths):
            answer = git.checked(self._sh.read([*words, *batch]), "commits that removed files").out
            # What has no parent removed nothing.
            removing = re.findall(r"\0(\w+ \w+)", answer)[:_MOST_REMOVING]
            found = of_commits(self._sh, self._repo, removing, batch) if removing else {}
            yield from ((old, new) for made in found.values() for _, old, new in made)

    def __getitem__(self, path: str) -> Sequence[str]:
        if stem(path) not in self._stems:
            raise KeyError(path)  # before the history is read
        return self._found[path]

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)


def stem(path: str) -> str:
    """A file's name without what shows its kind."""
    name = path.rpartition("/")[2]
    bare = name.lstrip(".")
    return (name[: len(name) - len(bare)] + bare.partition(".")[0]).lower()


_VENDORED = frozenset({"vendor", "_vendor", "node_modules", "third_party", "third-party"})
_MOST_REMOVING = 200
"""So many commits are searched for renames; each is a comparison of two trees."""
