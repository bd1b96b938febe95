"""What the fork's own commits did, and which syncs lost their ancestry."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from functools import cached_property
from pathlib import Path

from pathspec import GitIgnoreSpec

from ..fork import generated, records, releases
from ..fork.fork import Fork
from ..run import git
from ..run.shell import Answer, Shell
from ..run.text import substantive
from . import hunks
from .hunks import Commit, Customisations

MOST_PATHS = 20
"""A commit with one parent that changes more paths than these may be a squashed sync."""
_NOTES = (records.DROPS_FILE, records.TAGS_FILE)
_FEWEST_PATHS = 3
"""A commit with one parent that states a version may be one if it changes so many paths."""


def read(
    sh: Shell, repo: Path, ours: str, upstream: Sequence[str], version_files: Set[str] = frozenset()
) -> Customisations:
    """The fork's own commits: in the history of `ours`, and in none of upstream's.

    Merges are nobody's work: what a sync brings is upstream's, what it leaves behind is drift.
    version_files: the paths that state the version.
    """
    log = list(_log(sh, repo, ours, upstream))
    suspects = [
        (commit, changed)
        for commit, parents, changed in log
        if len(parents) == 1
        and (
            len(changed) > MOST_PATHS
            or (len(changed) >= _FEWEST_PATHS and not version_files.isdisjoint(changed))
        )
    ]
    squashed = _bringing_upstreams_work(sh, repo, suspects, upstream)
    own = {commit: changed for commit, _, changed in log if commit not in squashed}
    paths: dict[str, list[Commit]] = defaultdict(list)
    for commit, changed in own.items():
        for path in changed:
            paths[path].append(commit)
    return Customisations(paths, _Lines(sh, repo, own), squashed)


def of_fork(sh: Shell, fork: Fork, ours: str, *theirs: str) -> Customisations:
    """What the fork's own commits did up to a commit; it is found out once in a task.

    theirs: commits of upstream's that its branches here may lack.
    """
    upstream = tuple(dict.fromkeys([*theirs, *fork.upstream_tips]))
    files = fork.policy.version_paths
    key = ("own", fork.path, ours, frozenset(upstream), files)
    return sh.once(key, lambda: _read_of_fork(sh, fork, ours, upstream))


def _read_of_fork(sh: Shell, fork: Fork, ours: str, upstream: Sequence[str]) -> Customisations:
    own = read(sh, fork.path, ours, upstream, fork.policy.version_paths)
    if not own.paths:
        return own
    bases = git.merge_bases(sh, fork.path, ours, upstream[0])
    known = {p for commit in (upstream[0], *bases) for p in git.tree(sh, fork.path, commit)}
    return telling(
        own, git.tree(sh, fork.path, ours).keys(), known, fork.policy.generated(own.paths).keys()
    )


def telling(own: Customisations, ours: Set[str], known: Set[str], made: Set[str]) -> Customisations:
    """The same without the lines of what is generated and of files that only the fork ever had:
    they cannot be confused with upstream's lines, and a vendored tree has millions.

    ours, known: the fork's files and upstream's. made: what is generated.
    """
    if not isinstance(own.lines, _Lines):
        return own
    unread = own.lines.only(ours, known) | made
    return replace(own, lines=own.lines.of_files(lambda path: path not in unread))


def newest(
    sh: Shell, repo: Path, tip: str, known: str, paths: Sequence[str], most: int
) -> tuple[Commit, ...]:
    """The newest commits of a history that changed some files, and that another has not."""
    words = ["git", "-C", str(repo), "--literal-pathspecs", *_LOG, f"--max-count={most}"]
    answer = sh.read([*words, tip, "--not", known, "--", *paths])
    return tuple(commit for commit, _, _ in _commits(answer))


def edited_by_hand(own: Customisations, trees: GitIgnoreSpec) -> dict[str, Commit]:
    """The generated files that the newest commit to change them changed by itself: nothing that
    they are made of, no manifest and no record of a tool."""
    found: dict[str, Commit] = {}
    seen: set[str] = set()
    for commit, changed in own.lines.all.items() if isinstance(own.lines, _Lines) else ():
        inside = set(trees.match_files(changed))
        names = {path.rpartition("/")[2] for path in changed}
        vendored = any(generated.VENDORED.search(path) for path in inside)
        made = bool(names & generated.RECORDS) or (len(inside) < len(changed) and not vendored)
        for path in inside - seen:
            if not made and all(changed[path]):
                found[path] = commit
        seen |= inside
    return found


_Versions = tuple[str | None, str | None]
"""The object names of a file before and after a commit; None if it has no such file, or no
text: a submodule."""

_Changed = Mapping[str, _Versions]
"""The paths that a commit changed."""

_LOG = ["log", "--no-merges", "--no-show-signature", "--no-color", "--no-renames", "-z", "--root"]
_LOG += ["--raw", "--no-abbrev", "--date=short", "--format=%x00%H%x00%P%x00%ad%x00%s"]


def _log(
    sh: Shell, repo: Path, ours: str, upstream: Sequence[str]
) -> Iterator[tuple[Commit, list[str], _Changed]]:
    """The commits with their parents and what they changed, newest first."""
    words = ["git", "-C", str(repo), *_LOG, ours, "--not", *upstream, "--"]
    return _commits(sh.read(words))


def _commits(answer: Answer) -> Iterator[tuple[Commit, list[str], _Changed]]:
    fields = git.checked(answer, "commits").out.split("\0")[:-1]
    start = 0
    while start < len(fields):
        name, parents, day, subject = fields[start + 1 : start + 5]
        # No path is empty: an empty field stands before each commit.
        end = start + 5
        changed = {}
        while end < len(fields) and fields[end]:
            changed[fields[end + 1]] = _versions(fields[end])
            end += 2
        yield Commit(name, day, subject), parents.split(), changed
        start = end


def _versions(raw: str) -> _Versions:
    """Both versions that a line of ``--raw`` names."""
    modes, names = raw.lstrip("\n:").split()[:2], raw.split()[2:4]
    before, after = (
        name if mode.strip("0") and mode != _SUBMODULE else None
        for mode, name in zip(modes, names, strict=True)
    )
    return before, after


_SUBMODULE = "160000"


_Suspect = tuple[Commit, _Changed]


def _bringing_upstreams_work(
    sh: Shell, repo: Path, suspects: Sequence[_Suspect], upstream: Sequence[str]
) -> tuple[Commit, ...]:
    """Those commits half of whose files or more are as upstream had them around that time."""
    found: list[Commit] = []
    left = suspects
    # Most syncs land soon after what they brought; to look far back costs more.
    for days in (60, 400):
        if left:
            squashed, left = _like_upstream(sh, repo, left, upstream, days)
            found += squashed
    return tuple(commit for commit, _ in suspects if commit in found)


def _like_upstream(
    sh: Shell, repo: Path, suspects: Sequence[_Suspect], upstream: Sequence[str], days: int
) -> tuple[list[Commit], list[_Suspect]]:
    """Those commits half of whose files or more are as upstream had them in so many days before,
    and those of which it may be true further back: they did not delete most of their files."""
    dates = sorted(commit.date for commit, _ in suspects)
    # A plain list of times and names comes from the commit graph, where there is one.
    listed = sh.ask(
        "git -C {repo} rev-list --first-parent --timestamp --since={since} --before={before}"
        " {upstream} --",
        repo=repo,
        since=str(date.fromisoformat(dates[0]) - timedelta(days=days)),
        before=f"{dates[-1]}T23:59:59",
        upstream=upstream,
    )
    lines = git.checked(listed, "upstream's history").out.splitlines()
    history = [(int(time), name) for time, name in map(str.split, lines)]
    wanted = []
    for commit, changed in suspects:
        last = datetime.fromisoformat(f"{commit.date}T23:59:59").timestamp()
        candidates = _sample([name for time, name in history if time <= last], 16)
        # What this program writes down in the fork is no sign of either.
        telling = [path for path in changed if path not in _NOTES and "\n" not in path]
        wanted.append((commit, changed, _sample(telling, 24), candidates))
    pairs = [(c, path) for _, _, paths, candidates in wanted for c in candidates for path in paths]
    # In a directory that upstream did not have, as that of vendored files, nothing is asked for.
    tops = list(dict.fromkeys(f"{c}:{_top(path)}" for c, path in pairs))
    known = dict(zip(tops, git.objects(sh, repo, tops), strict=True))
    names = [f"{c}:{p}" for c, p in pairs if not known[f"{c}:{_top(p)}"].endswith(" missing")]
    theirs = dict(zip(names, git.objects(sh, repo, names), strict=True))
    squashed, left = [], []
    for commit, changed, paths, candidates in wanted:
        alike = [
            sum(theirs.get(f"{c}:{p}", "").startswith(f"{changed[p][1]} blob ") for p in paths)
            for c in candidates
        ]
        if 2 * max(alike, default=0) >= len(paths):
            squashed.append(commit)
        elif 2 * sum(bool(changed[path][1]) for path in paths) >= len(paths):
            left.append((commit, changed))
    return squashed, left


def _top(path: str) -> str:
    return path.partition("/")[0]


def _sample(items: Sequence[str], most: int) -> Sequence[str]:
    """At most so many of the items, spread evenly."""
    return items[:: -(-len(items) // most) or 1]


def about(own: Customisations, paths: Iterable[str]) -> Customisations:
    """The same, for questions about some paths alone: it holds the lines of files of their kinds
    only, which is much less to read. A file may have been renamed, but hardly to another kind."""
    suffixes = {Path(path).suffix for path in paths}
    if not isinstance(own.lines, _Lines) or not all(map(_KIND.fullmatch, suffixes)):
        return own
    return replace(own, lines=own.lines.of_files(lambda path: Path(path).suffix in suffixes))


def within(own: Customisations, paths: Set[str]) -> Customisations:
    """The same, with all lines that were written in some files, and no others."""
    if not isinstance(own.lines, _Lines):
        return own
    return replace(own, lines=own.lines.of_files(paths.__contains__, everywhere=True))


_KIND = re.compile(r"\.[a-z]{1,4}")
"""A suffix that says what is in a file; others tell variants of one file apart."""


class _Lines(Mapping[str, Sequence[Commit]]):
    """Every line that some commits added or removed; read when somebody asks for one.

    own: the commits, newest first, and what they changed. wanted: the files in question.
    """

    def __init__(
        self,
        sh: Shell,
        repo: Path,
        own: Mapping[Commit, _Changed],
        wanted: Callable[[str], bool] = lambda path: True,
    ) -> None:
        self._sh, self._repo, self.all, self._wanted = sh, repo, own, wanted

    def of_files(self, wanted: Callable[[str], bool], everywhere: bool = False) -> _Lines:
        """The lines of those of the files that are wanted; everywhere: of all files."""
        before = self._wanted
        both = wanted if everywhere else lambda path: before(path) and wanted(path)
        return _Lines(self._sh, self._repo, self.all, both)

    def only(self, ours: Set[str], known: Set[str]) -> set[str]:
        """The files that nobody but the fork ever had: its commits added them, or they are among
        `ours` where upstream has no directory.

        known: upstream's files. One that went in the same commit may have been renamed.
        """
        own = ours - known
        directories = {path.rpartition("/")[0] for path in known}
        for path in [*directories]:
            while path := path.rpartition("/")[0]:
                directories.add(path)
        found: set[str] = set()
        doubtful: set[str] = set()
        for changed in self.all.values():
            renames = any(path in known and not after for path, (_, after) in changed.items())
            for path, (before, _) in changed.items():
                if path not in known and not before:
                    (doubtful if renames else found).add(path)
                elif path in own and path.rpartition("/")[0] not in directories:
                    found.add(path)
        return found - doubtful

    @cached_property
    def _own(self) -> Mapping[Commit, _Changed]:
        return {
            commit: {path: v for path, v in changed.items() if self._wanted(path)}
            for commit, changed in self.all.items()
        }

    @cached_property
    def _found(self) -> Mapping[str, Sequence[Commit]]:
        wrote: dict[_Versions, list[Commit]] = defaultdict(list)
        for commit, versions in self._compared():
            wrote[versions].append(commit)
        lines: dict[str, list[Commit]] = {}
        pairs = list(wrote)
        for start in range(0, len(pairs), _AT_ONCE):
            found = changes(self._sh, self._repo, pairs[start : start + _AT_ONCE])
            for versions, made in found.items():
                for text in {line.strip() for x in made for line in (*x.removed, *x.added)}:
                    if text in lines:
                        lines[text] = [*lines[text], *wrote[versions]]
                    elif substantive(text):
                        lines[text] = wrote[versions]
        age = {commit: number for number, commit in enumerate(self._own)}
        return {
            line: sorted(set(commits), key=age.__getitem__) if len(commits) > 1 else commits
            for line, commits in lines.items()
        }

    def _compared(self) -> Iterator[tuple[Commit, _Versions]]:
        """What each commit changed; what it renamed is compared with what that was before."""
        renamed = self._renamed()
        for commit, changed in self._own.items():
            origins = {
                new: old
                for old, new in renamed.get(commit.name, ())
                if {old, new} <= changed.keys()
            }
            for path, (before, after) in changed.items():
                if path in origins:
                    yield commit, (changed[origins[path]][0], after)
                elif path not in origins.values():
                    yield commit, (before, after)

    def _renamed(self) -> Mapping[str, Sequence[tuple[str, str]]]:
        """Old and new path of what commits renamed, by their names."""
        asked = [
            commit.name
            for commit, changed in self._own.items()
            if any(not before for before, _ in changed.values())
            and any(not after for _, after in changed.values())
        ]
        if not asked:
            return {}
        words = ["git", "-C", str(self._repo), "diff-tree", "--stdin", "--root", "-r", "-M"]
        words += ["--raw", "--diff-filter=CR", "-z"]
        fields = iter(git.checked(self._sh.read(words, feed=asked), "renamed files").fields())
        renamed: dict[str, list[tuple[str, str]]] = {}
        found: list[tuple[str, str]] = []
        for field in fields:
            if field.startswith(":"):
                found.append((next(fields), next(fields)))
            else:
                found = renamed.setdefault(field, [])
        return renamed

    def __getitem__(self, line: str) -> Sequence[Commit]:
        return self._found[line]

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)


_AT_ONCE = 2000
"""So many files are compared at once: what they have may be much."""


def changes(
    sh: Shell, repo: Path, pairs: Sequence[_Versions]
) -> dict[_Versions, list[hunks.Change]]:
    """The hunks between pairs of versions of a file; none if one is too large to be read."""
    empty = git.empty_blob(sh, repo)
    asked = dict.fromkeys((old or empty, new or empty) for old, new in pairs if old != new)
    large = git.large(sh, repo, (name for pair in asked for name in pair))
    wanted = [pair for pair in asked if large.keys().isdisjoint(pair)]
    if not wanted:
        return {}
    one, other = git.make_trees(sh, repo, *zip(*wanted, strict=True))
    words = ["git", "-C", str(repo), "diff-tree", "-r", "-p", "-U0", "--no-renames"]
    words += ["--full-index", "--no-color", "--no-ext-diff", "--no-textconv"]
    words += ["--inter-hunk-context=0", "--diff-algorithm=histogram", one, other]
    found = hunks.parse_patch(git.checked(sh.read(words), "changes").out)
    return {
        (old, new): found.get((old or empty, new or empty), []) for old, new in pairs if old != new
    }


@dataclass(frozen=True)
class Lost:
    """A sync whose ancestry is lost: git does not know that upstream's work is merged.

    sync: the commit that brought upstream's work, with one parent only.
    parent: the commit of upstream's whose files it brought; the other parent that it ought to have.
    differs: in how many paths the two differ.
    hidden: those of them that upstream knows and no commit of the fork's own changed; recording the
        ancestry would say of them that the fork wants them so.
    """

    sync: Commit
    parent: str
    differs: int
    hidden: tuple[str, ...]


def lost_of_fork(sh: Shell, fork: Fork, production: str, theirs: str) -> Lost | None:
    """The newest sync of a fork whose ancestry is lost; it is looked for once in a task.

    production: the fork's side; theirs: upstream's, the commit to merge.
    Raises Refused if they have no common history.
    """
    releases.require_common_history(sh, fork, production, theirs)
    own = of_fork(sh, fork, production, theirs)
    upstream = tuple(dict.fromkeys([theirs, *fork.upstream_tips]))
    key = ("lost", fork.path, production, upstream)
    return sh.once(key, lambda: find_lost(sh, fork.path, production, upstream, own))


def find_lost(
    sh: Shell, repo: Path, production: str, upstream: Sequence[str], own: Customisations
) -> Lost | None:
    """The newest sync in a branch's history whose ancestry is lost; None if all is well.

    production: the fork's side. upstream: upstream's side, the first one the release to merge.
    """
    if not own.squashed:
        return None
    bases = git.merge_bases(sh, repo, production, upstream[0])
    dates = {base: git.commit_date(sh, repo, base) for base in bases}
    for sync in own.squashed:
        # After a sync of something newer that was merged as it should be, nothing is lost any more.
        if any(dates[base] > sync.date for base in bases):
            continue
        parent = nearest(sh, repo, sync, upstream)
        if not parent or git.is_ancestor(sh, repo, parent, production):
            continue
        differs = git.differing(sh, repo, parent, sync.name)
        hidden = tuple(hides(sh, repo, sync, parent, differs, own))
        return Lost(sync, parent, len(differs), hidden)
    return None


def hides(
    sh: Shell, repo: Path, sync: Commit, parent: str, differs: Sequence[str], own: Customisations
) -> list[str]:
    """The paths of which recording a sync's ancestry would say, wrongly, that the fork wants them
    so: upstream has them, or had them when the fork last merged, and no commit of the fork's own
    changed them. A file that only the sync ever had hides nothing.

    differs: the paths in which the sync and upstream's commit differ.
    """
    bases = git.merge_bases(sh, repo, f"{sync.name}^", parent)
    known = {path for commit in (parent, *bases[:1]) for path in git.tree(sh, repo, commit)}
    return [path for path in differs if path in known and not own.of([path])]


def nearest(sh: Shell, repo: Path, sync: Commit, upstream: Sequence[str]) -> str | None:
    """The commit of upstream's whose files are the nearest to a sync's, among those before it.

    Along upstream's history the distance falls towards the one commit and rises behind it, so that
    looking here and there first is enough.
    """
    best: tuple[int, str] | None = None
    for tip in upstream:
        question = "rev-list --first-parent --before={date} {tip} --not {sync} --"
        words = {"date": f"{sync.date}T23:59:59", "tip": tip, "sync": sync.name}
        history = git.ask(sh, repo, question, "upstream's history", **words).out.split()
        first, last, step = 0, len(history), max(1, len(history) // 24)
        while first < last:
            looked_at = range(first, last, step)
            distances = git.distances(sh, repo, sync.name, [history[i] for i in looked_at])
            distance, place = min(zip(distances, looked_at, strict=True))
            if step == 1:
                best = min(best, (distance, history[place])) if best else (distance, history[place])
                break
            first, last = max(0, place - step), min(len(history), place + step + 1)
            step = max(1, (last - first) // 8)
    return best[1] if best else None


def healed_commit(sh: Shell, repo: Path, production: str, lost: Lost) -> str:
    """A commit with a branch's files and both its history and the lost one.

    It lies in the object store alone, for forecasts: no ref leads to it.
    """
    words = ["git", "-C", str(repo), "-c", "user.name=carto-fork", "-c", "user.email=carto-fork"]
    words += ["commit-tree", f"{production}^{{tree}}", "-p", production, "-p", lost.parent]
    made = sh.read([*words, "-m", f"forecast: heal {lost.sync.name}"])
    return git.checked(made, "healed history").line
