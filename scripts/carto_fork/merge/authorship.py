"""Which work is the fork's own, and whether the ancestry of a sync is lost."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from posixpath import splitext

from ..fork import generated, lineage, releases
from ..fork.fork import Fork
from ..fork.patterns import matching
from ..run import git
from ..run.shell import Shell
from ..run.text import substantive
from . import claims, renames, syncs
from .commits import Changed, Versions, changes, log_of
from .hunks import Change, Commit, Customisations, Sync
from .syncs import Lost

_WORD = re.compile(r"\w")


def read(
    sh: Shell, repo: Path, ours: str, upstream: Sequence[str], version_files: Set[str] = frozenset()
) -> Customisations:
    """The fork's own work in the history of `ours`: what its commits changed, and every line that
    its file never had upstream, whichever commit brought it.

    Of a commit that brings upstream's work, only what neither its parent nor upstream has counts.
    This holds for merges, for syncs that were squashed or rebased (merges that lost their other
    parent) and for copies of upstream commits. What such a commit leaves out, nobody decided.
    version_files: the paths that state the version.
    """
    log = log_of(sh, repo, ours, upstream)
    copies = syncs.copies(sh, repo, log, upstream)
    landed: dict[Commit, Changed] = {}
    brought: set[str] = set()
    suspects = syncs.suspects(log, copies)
    known = claims.syncs_in(sh, repo, log, suspects, copies, upstream, version_files)
    squashed = {suspect.commit: sync for suspect, sync in known}
    for suspect, sync in known:
        landed[suspect.commit] = _between(sh, repo, sync, suspect.commit.name)
        brought |= suspect.names
    paths: dict[str, list[tuple[Commit, Versions | None]]] = defaultdict(list)
    own: dict[Commit, Changed] = {}
    merges: dict[Commit, Changed] = {}
    lines: dict[str, list[Commit]] = defaultdict(list)
    removed: dict[str, bool] = {}
    for entry in log:
        commit, name, changed = entry.commit, entry.commit.name, entry.changed
        if commit in landed or len(entry.parents) > 1:
            merges[commit] = landed.get(commit, changed)
            for path, versions in merges[commit].items():
                paths[path].append((commit, versions))
        elif copy := copies.get(name):
            if name in brought:
                continue
            for path in copy.paths:
                paths[path].append((commit, None))
            for line in copy.lines:
                lines[line].append(commit)
        elif name not in brought:
            own[commit] = changed
            for path, versions in changed.items():
                paths[path].append((commit, None))
                removed.setdefault(path, versions[-1] is None)
    # Not of squashed syncs: to compare their many files takes long.
    parents = {e.commit: e.parents for e in log if e.commit in merges and e.commit not in squashed}
    for commit, found in _renamed_in(sh, repo, merges, parents).items():
        merges[commit] = {**merges[commit], **found}
        for path, versions in found.items():
            paths[path] = [(c, versions if c == commit else v) for c, v in paths[path]]
    copied = (entry for entry in log if entry.commit.name in copies)
    return Customisations(
        _Paths(sh, repo, paths),
        _Lines(sh, repo, own, merges, lines),
        squashed,
        frozenset(path for path, gone in removed.items() if gone),
        frozenset(name for name, copy in copies.items() if not copy.paths),
        frozenset(path for entry in copied for path in entry.changed),
        frozenset(commit.name for commit in merges),
    )


def of_fork(sh: Shell, fork: Fork, ours: str, *theirs: str) -> Customisations:
    """The fork's own work up to a commit, and what it has of newer upstream work than theirs;
    computed once per task.

    theirs: the upstream commits to merge, or to compare with, the release first.
    """
    upstream = lineage.not_to_keep(sh, fork, ours, theirs)
    key = ("own", fork.path, ours, frozenset(upstream), fork.policy.version_paths)
    return sh.once(key, lambda: _read_of_fork(sh, fork, ours, upstream))


def _read_once(
    sh: Shell, repo: Path, ours: str, upstream: Sequence[str], version_files: Set[str]
) -> Customisations:
    """The result of `read`, computed once."""
    key = ("all own", repo, ours, frozenset(upstream), version_files)
    return sh.once(key, lambda: read(sh, repo, ours, upstream, version_files))


def _read_of_fork(sh: Shell, fork: Fork, ours: str, upstream: Sequence[str]) -> Customisations:
    own = _read_once(sh, fork.path, ours, upstream, fork.policy.version_paths)
    if not (isinstance(own.lines, _Lines) and (changed := own.lines.paths)):
        return own
    bases = git.merge_bases(sh, fork.path, ours, upstream[0])
    upstreams = {p for commit in (upstream[0], *bases) for p in git.tree(sh, fork.path, commit)}
    made = fork.policy.generated(changed).keys()
    tree = git.tree(sh, fork.path, ours).keys()
    return telling(_with_names(sh, fork.path, own, (ours, *upstream), made), tree, upstreams, made)


def _with_names(
    sh: Shell, repo: Path, own: Customisations, commits: Sequence[str], made: Set[str] = frozenset()
) -> Customisations:
    """The same, with the older names of fork files.

    commits: the fork's, and upstream's. made: the generated files.
    """
    if not isinstance(own.lines, _Lines):
        return own
    tree = git.tree(sh, repo, commits[0]).keys()
    gone = {path for path in own.lines.paths - tree - made if not generated.VENDORED.search(path)}
    return replace(own, older=renames.Older(sh, repo, commits, tree, gone))


def telling(own: Customisations, ours: Set[str], known: Set[str], made: Set[str]) -> Customisations:
    """The same without the lines of generated files and of files that only the fork ever had: they
    cannot be confused with upstream's lines, and a vendored tree has millions.

    ours, known: the fork's files and upstream's. made: the generated files.
    """
    if not isinstance(own.lines, _Lines):
        return own
    unread = own.lines.only(ours, known) | made
    return replace(own, lines=own.lines.of_files(lambda path: path not in unread))


def touched(own: Customisations, paths: Set[str]) -> Set[str]:
    """The paths that fork commits changed; asking for many at once is cheaper."""
    if isinstance(own.paths, _Paths):
        own.paths.find(paths)
    return {p for p in paths if any(name in own.paths for name in (p, *own.older.get(p, ())))}


def edited_by_hand(own: Customisations, trees: Sequence[str]) -> dict[str, Commit]:
    """The generated files whose newest commit changed only them: no source, no manifest and no
    record of a tool.

    trees: patterns for generated files.
    """
    edited: dict[str, Commit] = {}
    seen: set[str] = set()
    every = own.lines.all if isinstance(own.lines, _Lines) else {}
    generated_ = matching(trees, {path for changed in every.values() for path in changed})
    for commit, changed in every.items():
        inside = generated_ & changed.keys()
        names = {path.rpartition("/")[2] for path in changed}
        vendored = any(generated.VENDORED.search(path) for path in inside)
        made = bool(names & generated.RECORDS) or (len(inside) < len(changed) and not vendored)
        for path in inside - seen:
            if not made and all(changed[path]):
                edited[path] = commit
        seen |= inside
    return edited


def _between(sh: Shell, repo: Path, sync: Sync, commit: str) -> Changed:
    """What a sync would have changed as a merge, if it had not lost its other parent."""
    *before, after = (git.tree(sh, repo, name) for name in (sync.before, sync.parent, commit))
    trees = (*before, after)
    return {
        path: tuple(tree[path][1] if path in tree else None for tree in trees)
        for path, entry in after.items()
        if entry[0] != git.SUBMODULE and all(tree.get(path) != entry for tree in before)
    }


def _renamed_in(
    sh: Shell,
    repo: Path,
    merges: Mapping[Commit, Changed],
    parents: Mapping[Commit, Sequence[str]],
) -> dict[Commit, Changed]:
    """The files of merges that a parent has under another name, each with its version there: what
    only followed a rename, the merge did not write."""
    new = {
        (commit.name, parent): [
            p for p, versions in changed.items() if versions[-1] and not versions[i]
        ]
        for commit, changed in merges.items()
        for i, parent in enumerate(parents.get(commit, ()))
    }
    asked = [" ".join(pair) for pair, paths in new.items() if paths]
    like = {path for paths in new.values() for path in paths}
    origins = renames.of_commits(sh, repo, asked, like) if asked else {}
    return {
        commit: {
            path: tuple(version or was for version in versions[:-1]) + versions[-1:]
            for was, _, path in origins[commit.name]
            if (versions := changed.get(path, (None,)))[-1]
        }
        for commit, changed in merges.items()
        if commit.name in origins
    }


# --- Questions about it: paths and lines ---------------------------------------------------------


class _Paths(Mapping[str, Sequence[Commit]]):
    """The commits that changed each path; whether a merge wrote anything there is computed on
    demand."""

    def __init__(
        self,
        sh: Shell,
        repo: Path,
        changed: Mapping[str, Sequence[tuple[Commit, Versions | None]]],
    ) -> None:
        self._sh, self._repo, self._changed = sh, repo, changed
        self._found: dict[str, list[Commit]] = {}

    def __getitem__(self, path: str) -> Sequence[Commit]:
        self.find([path])
        if not self._found[path]:
            raise KeyError(path)
        return self._found[path]

    def __contains__(self, path: object) -> bool:
        if path not in self._found and isinstance(path, str):
            self.find([path])
        return bool(self._found.get(str(path)))

    def __iter__(self) -> Iterator[str]:
        paths = list(self._changed)
        for start in range(0, len(paths), _AT_ONCE):
            self.find(paths[start : start + _AT_ONCE])
        return (path for path in paths if self._found[path])

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def find(self, paths: Iterable[str]) -> None:
        """Find out which commits changed some paths, unless that is known."""
        left = {path: self._changed.get(path, ()) for path in paths if path not in self._found}
        merged = [versions for entries in left.values() for _, versions in entries if versions]
        wrote = _written(self._sh, self._repo, merged) if merged else {}
        for path, entries in left.items():
            self._found[path] = [
                commit
                for commit, versions in entries
                # A file that no parent has is the fork's even if it has no words, or is empty.
                if not versions or wrote[versions] or not any(versions[:-1])
            ]


def _written(sh: Shell, repo: Path, merged: Sequence[Versions]) -> dict[Versions, set[str]]:
    """The lines with words that merges wrote into files and that no parent's version has."""
    texts = git.blobs(sh, repo, (name for versions in merged for name in versions if name))
    wrote = {}
    for versions in merged:
        *before, after = (texts.get(v or "", "").split("\n") for v in versions)
        new = {line.strip() for line in set(after).difference(*before) if _WORD.search(line)}
        if new:  # mostly, a merge writes nothing: only then is it worth to look at white space
            new.difference_update(*(map(str.strip, lines) for lines in before))
        wrote[versions] = new
    return wrote


def made(
    sh: Shell, repo: Path, own: Customisations, asked: Iterable[tuple[str, Commit]]
) -> dict[tuple[str, Commit], list[Change]]:
    """What fork commits did to files, under whatever name, by file and commit; of a merge, what it
    wrote. Without those of which that is not known."""
    if not isinstance(own.lines, _Lines):
        return {}
    pairs: dict[tuple[str, Commit], list[Versions]] = {}
    found: dict[tuple[str, Commit], list[Change]] = {}
    of_files: dict[str, list[Commit]] = defaultdict(list)
    for path, commit in asked:
        of_files[path].append(commit)
    for path, commits in of_files.items():
        names, merges, every = (path, *own.older.get(path, ())), own.lines.merges, own.lines.all
        merged = {x: [merges[x][n] for n in names if n in merges.get(x, ())] for x in commits}
        # The merges of a file at once: one question for each takes long.
        wrote = _written(sh, repo, [versions for its in merged.values() for versions in its])
        for commit in commits:
            lines = (wrote[versions] for versions in merged[commit])
            found[path, commit] = [Change(0, 0, added=(*new,)) for new in lines if new]
            changed = every.get(commit, {})
            pairs[path, commit] = [changed[name] for name in names if name in changed]
    compared = changes(sh, repo, [pair for known in pairs.values() for pair in known])
    for key, known in pairs.items():
        found[key] += [change for pair in known for change in compared.get(pair, ())]
    return {key: known for key, known in found.items() if known}


def about(own: Customisations, paths: Iterable[str]) -> Customisations:
    """The same, limited to questions about some paths: it has only the lines of files of the same
    kinds, which is much less to read. A file that changed its kind kept its name."""
    names = [Path(path) for path in paths]
    suffixes, stems = {name.suffix for name in names}, {name.stem.lower() for name in names}
    if not isinstance(own.lines, _Lines) or not all(map(_KIND.fullmatch, suffixes)):
        return own

    def wanted(path: str) -> bool:
        name = Path(path)
        return name.suffix in suffixes or name.stem.lower() in stems

    return replace(own, lines=own.lines.of_files(wanted))


def within(own: Customisations, paths: Set[str]) -> Customisations:
    """The same, limited to the lines that were written in some files."""
    if not isinstance(own.lines, _Lines):
        return own
    return replace(own, lines=own.lines.of_files(paths.__contains__, everywhere=True))


_KIND = re.compile(r"\.[a-z]{1,4}")
"""A suffix that shows the content of a file; other suffixes distinguish variants of one file."""


class _Lines(Mapping[str, Sequence[Commit]]):
    """Every line that some commits added or removed, or that merges wrote; read on demand.

    own, merges: the commits, newest first, and what they changed. more: further known lines.
    wanted: the files in question.
    """

    def __init__(
        self,
        sh: Shell,
        repo: Path,
        own: Mapping[Commit, Changed],
        merges: Mapping[Commit, Changed],
        more: Mapping[str, Sequence[Commit]],
        wanted: Callable[[str], bool] = lambda path: True,
    ) -> None:
        self._sh, self._repo, self.all, self._wanted = sh, repo, own, wanted
        self.merges, self._more = merges, more

    def of_files(self, wanted: Callable[[str], bool], everywhere: bool = False) -> _Lines:
        """The lines of the wanted files; everywhere: of all files."""
        before = self._wanted
        both = wanted if everywhere else lambda path: before(path) and wanted(path)
        return _Lines(self._sh, self._repo, self.all, self.merges, self._more, both)

    @property
    def paths(self) -> set[str]:
        """The files that may have such lines."""
        changed = [*self.all.values(), *self.merges.values()]
        return {path for paths in changed for path in paths}

    def only(self, ours: Set[str], known: Set[str]) -> set[str]:
        """The files that only the fork ever had: its commits added them, or they are among `ours`
        in a directory that upstream lacks.

        known: upstream's files. If a commit removed one of them, its new files may be renames; so
            may a file with the name of one of them and another suffix.
        """
        own = ours - known
        directories = {path.rpartition("/")[0] for path in known}
        for path in [*directories]:
            while path := path.rpartition("/")[0]:
                directories.add(path)
        stems = {splitext(path)[0] for path in known}
        exclusive: set[str] = set()
        doubtful: set[str] = set()
        for changed in self.all.values():
            renames = any(path in known and not after for path, (_, after) in changed.items())
            for path, (before, _) in changed.items():
                if path not in known and not before:
                    alike = renames or splitext(path)[0] in stems
                    (doubtful if alike else exclusive).add(path)
                elif path in own and path.rpartition("/")[0] not in directories:
                    exclusive.add(path)
        return exclusive - doubtful

    @cached_property
    def _own(self) -> Mapping[Commit, Changed]:
        every = {path for changed in self.all.values() for path in changed}
        wanted = set(filter(self._wanted, every))
        return {
            commit: {path: v for path, v in changed.items() if path in wanted}
            for commit, changed in self.all.items()
        }

    @cached_property
    def _found(self) -> Mapping[str, Sequence[Commit]]:
        wrote: dict[Versions, list[Commit]] = defaultdict(list)
        for commit, versions in self._compared():
            wrote[versions].append(commit)
        lines: dict[str, list[Commit]] = {}
        pairs = list(wrote)
        for start in range(0, len(pairs), _AT_ONCE):
            compared = changes(self._sh, self._repo, pairs[start : start + _AT_ONCE])
            for versions, made in compared.items():
                for text in {line.strip() for x in made for line in (*x.removed, *x.added)}:
                    if text in lines:
                        lines[text] = [*lines[text], *wrote[versions]]
                    elif substantive(text):
                        lines[text] = wrote[versions]
        for commit, changed in self.merges.items():
            merged = [versions for path, versions in changed.items() if self._wanted(path)]
            for text in set[str]().union(*_written(self._sh, self._repo, merged).values()):
                if text in lines or substantive(text):
                    lines[text] = [*lines.get(text, ()), commit]
        for text, commits in self._more.items():
            lines[text] = [*lines.get(text, ()), *commits]
        age = {commit: number for number, commit in enumerate([*self._own, *self.merges])}
        return {
            line: sorted(set(commits), key=lambda c: age.get(c, 0)) if len(commits) > 1 else commits
            for line, commits in lines.items()
        }

    def _compared(self) -> Iterator[tuple[Commit, Versions]]:
        """What each commit changed; a renamed file is compared with its old version."""
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
        """The renames of each commit, as old and new path, by commit."""
        asked = [
            commit.name
            for commit, changed in self._own.items()
            if any(not before for before, _ in changed.values())
            and any(not after for _, after in changed.values())
        ]
        if not asked:
            return {}
        found = renames.of_commits(self._sh, self._repo, asked)
        return {name: [(old, new) for _, old, new in made] for name, made in found.items()}

    def __getitem__(self, line: str) -> Sequence[Commit]:
        return self._found[line]

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)


_AT_ONCE = 2000
"""Files that are compared at once, because their content may be large."""


def lost_of_fork(sh: Shell, fork: Fork, production: str, theirs: str) -> Lost | None:
    """The newest sync of a fork whose ancestry is lost; computed once per task.

    production: the fork's side. theirs: the upstream commit to merge.
    Raises Refused if they have no common history.
    """
    releases.require_common_history(sh, fork, production, theirs)
    upstream = tuple(dict.fromkeys([theirs, *lineage.upstream_heads(sh, fork, production)]))
    key = ("lost", fork.path, production, upstream)
    files = fork.policy.version_paths
    return sh.once(key, lambda: find_lost(sh, fork.path, production, upstream, files))


def find_lost(
    sh: Shell,
    repo: Path,
    production: str,
    upstream: Sequence[str],
    version_files: Set[str] = frozenset(),
) -> Lost | None:
    """The newest sync in a branch's history whose ancestry is lost; None if all is well.

    upstream: upstream's commits; the first is the release to merge.
    version_files: the paths that state the version.
    """
    # If a newer sync was merged properly, nothing is lost any more.
    bases = git.merge_bases(sh, repo, production, upstream[0])
    merged = max(git.commit_dates(sh, repo, bases).values())
    log = log_of(sh, repo, production, upstream)
    copies = syncs.copies(sh, repo, [entry for entry in log if entry.landed >= merged], upstream)
    recent = [suspect for suspect in syncs.suspects(log, copies) if suspect.landed >= merged]
    if not claims.syncs_in(sh, repo, log, recent, copies, upstream, version_files):
        return None
    own = _read_once(sh, repo, production, upstream, version_files)
    named = _with_names(sh, repo, own, (production, *upstream))
    return syncs.newest_lost(sh, repo, production, merged, named)
