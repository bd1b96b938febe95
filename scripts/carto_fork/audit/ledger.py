"""The ledger: what happened to every hunk of both sides in a merge."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ..fork import generated, records
from ..fork.patterns import globs
from ..fork.policy import Kind, Policy, Rule, Side, Take
from ..fork.records import Drop
from ..merge import authorship, commits, hunks, renames
from ..merge.hunks import Change, Commit, Customisations
from ..run import git
from ..run.git import Tree
from ..run.shell import Shell, batches
from ..run.text import counted, states_version, substantive
from . import fates
from .alike import Index
from .fates import Account, Fate


@dataclass(frozen=True)
class Entry:
    """What happened to one hunk that the result does not have unchanged.

    path: the file's path on the side. where: its path in the result, or that of its lines.
    what: what changed, if not lines: "binary", "mode", "link", "submodule", or a description of
        generated files, which share one entry.
    commits: the fork commits behind it, newest first; none if upstream's work is, also by a merge.
    reason: why it was dropped on purpose.
    files: the generated files that share this entry; none if it is about lines.
    """

    side: Side
    path: str
    where: str
    account: Account
    what: str = ""
    commits: Sequence[Commit] = ()
    reason: str = ""
    files: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Plain data for ``--json``."""
        return {
            "side": self.side.value,
            "path": self.path,
            "line": self.account.line,
            "fate": self.account.fate.value,
            "now_in": self.where,
            "what": self.what or "lines",
            "missing": self.account.missing,
            "back_again": self.account.back,
            "words_gone": self.account.words,
            "commits": self.commits,
            "reason": self.reason,
        }


@dataclass(frozen=True)
class Ledger:
    """The account of a merge.

    entries: the hunks that the result has changed, not at all, or elsewhere.
    fork_paths, upstream_paths: how many files changed since the common ancestor.
    """

    entries: tuple[Entry, ...]
    fork_paths: int
    upstream_paths: int

    @property
    def checked(self) -> str:
        """How many files were checked, as the beginning of a sentence."""
        upstream = counted(self.upstream_paths, "upstream file")
        return f"Checked {counted(self.fork_paths, 'fork file')} and {upstream}"

    @property
    def lost(self) -> list[Entry]:
        """The losses that nothing explains."""
        return [entry for entry in self.entries if entry.account.fate is Fate.LOST]

    @property
    def to_look_at(self) -> list[Entry]:
        """Hunks that were replaced by something else, for a reason that git cannot know."""
        return [entry for entry in self.entries if entry.account.fate is Fate.SUPERSEDED]

    @property
    def explained(self) -> list[Entry]:
        """Hunks that were moved, absorbed or dropped on purpose."""
        known = (Fate.MOVED, Fate.ABSORBED, Fate.DROPPED)
        return [entry for entry in self.entries if entry.account.fate in known]


@dataclass(frozen=True)
class _File:
    """One file with its names in the four trees; "" for a tree without it."""

    base: str
    mine: str
    other: str
    result: str

    @property
    def path(self) -> str:
        """Its path on the side, or that of the file which the side deleted."""
        return self.mine or self.base


def read(
    sh: Shell,
    repo: Path,
    ours: str,
    theirs: str,
    result: str,
    own: Customisations,
    policy: Policy,
    drops: Sequence[Drop] = (),
) -> Ledger:
    """The account of the merge of two commits, whoever made its result.

    ours may be a healed history (see `syncs`), so that the ancestor is the true one.
    """
    bases = git.merge_bases(sh, repo, ours, theirs)
    # Without a common ancestor each side added everything it has.
    base = bases[0] if bases else git.empty_tree(sh, repo)
    merge = _Merge(sh, repo, (base, ours, theirs, result), own, policy, drops)
    entries = [entry for side in Side for entry in merge.entries(side)]
    entries = [*merge.with_moved(entries), *merge.unsure()]
    return Ledger(tuple(entries), len(merge.forks), len(merge.files[Side.UPSTREAM]))


class _Merge:
    """A merge while its hunks are accounted for.

    commits: the common ancestor, both sides and the result.
    """

    def __init__(
        self,
        sh: Shell,
        repo: Path,
        commits: tuple[str, str, str, str],
        own: Customisations,
        policy: Policy,
        drops: Sequence[Drop],
    ) -> None:
        base, ours, theirs, self._result = commits
        self._sh, self._repo, self._own, self._policy = sh, repo, own, policy
        self._base, *sides, self._after = (git.tree(sh, repo, commit) for commit in commits)
        self._sides = {Side.FORK: sides[0], Side.UPSTREAM: sides[1]}
        self._commits = {Side.FORK: ours, Side.UPSTREAM: theirs}
        self._moves = {
            side: renames.find(sh, repo, base, commit, policy)
            for side, commit in self._commits.items()
        }
        self._explanations = _Explanations(policy, drops)
        # The files that a side's file may have become on the other one.
        self._twins: dict[tuple[Side, str], Set[str]] = {}
        self.files = {side: self._files(side) for side in Side}
        names = {name for f in self.files[Side.FORK] for name in (f.mine, f.base)}
        touched = authorship.touched(own, names)
        # What the fork's own commits changed.
        self.forks = [f for f in self.files[Side.FORK] if touched & {f.mine, f.base}]

    def _trees(self, side: Side) -> tuple[Tree, Tree, Tree, Tree]:
        """The ancestor's tree, the side's, the other one's and the result's."""
        return self._base, self._sides[side], self._sides[_OTHER[side]], self._after

    def _files(self, side: Side) -> list[_File]:
        """The files that a side changed, including those that this merge put under a name that
        neither side has."""
        trees = _, mine, other, result = self._trees(side)
        old, others = self._moves[side].old, self._moves[_OTHER[side]].old
        files = list(_files(*trees, old, others))
        made = result.keys() - mine.keys() - other.keys() - records.NOTES
        if made and any(f.mine and not f.result for f in files):
            came = renames.find(
                self._sh, self._repo, self._commits[side], self._result, self._policy
            ).old
            places = {old: new for new, old in came.items() if new in made}
            files = [f if f.result else replace(f, result=places.get(f.mine, "")) for f in files]
        return files

    def entries(self, side: Side) -> Iterator[Entry]:
        """What happened to the hunks of a side that the result does not have unchanged."""
        trees = _, mine, _, result = self._trees(side)
        files = [
            f
            for f in self.files[side]
            if result.get(f.result) != mine.get(f.mine) or (f.mine != f.base and f.base in result)
        ]
        alike = self._moves[_OTHER[side]].alike
        self._twins |= {(side, f.path): alike.get(f.base, set()) for f in files}
        units = self._policy.generated(f.path for f in files)
        locks = _lock_files(files, self._sides[Side.FORK].keys(), self._policy)
        if side is Side.FORK:
            yield from _generated(units, self._own)
        files = [f for f in files if f.path not in units]
        contents = _Contents(self._sh, self._repo, files, trees)
        in_them = authorship.within(self._own, {name for f in files for name in (f.mine, f.base)})
        for file in files:
            accounts = list(contents.accounts(file))
            lost = any(account.fate is Fate.LOST for account, _ in accounts)
            if rule := locks.get(file.path):
                if lost and side is Side.FORK:
                    yield from _generated({file.path: rule}, self._own)
                continue
            if lost:
                homes = {path: i for path, i in self._homes.items() if path != file.result}
                accounts = list(contents.accounts(file, homes))
            for account, what in accounts:
                by = self._commits_behind(account, file, in_them) if side is Side.FORK else ()
                if by is not None:
                    yield self._entry(side, file, account, what, by)

    def _entry(
        self, side: Side, file: _File, account: Account, what: str, by: Sequence[Commit]
    ) -> Entry:
        """The entry of an account; one that a person or a rule explains says so."""
        base, _, other, _ = self._trees(side)
        if account.home in self._twins[side, file.path]:
            account = replace(account, fate=Fate.SUPERSEDED)
        entry = Entry(side, file.path, file.result, account, what, by)
        contested = other.get(file.other) != base.get(file.base)
        entry = self._explanations.explained(entry, file, contested)
        return replace(entry, where=account.home or entry.where)

    def _commits_behind(
        self, account: Account, file: _File, in_them: Customisations
    ) -> tuple[Commit, ...] | None:
        """The fork commits behind a change, the newest in its file if its lines are too short to
        know; None if no fork commit changed the file. in_them: the fork's own work in the files."""
        lines = (*account.change.added, *account.change.removed)
        touched = self._own.of(filter(None, (file.mine, file.base)), lines)
        wrote = in_them.behind((*account.missing, *account.back) or lines) if touched else ()
        known = tuple(commit for commit in wrote if commit in touched)
        short = () if any(map(substantive, lines)) else tuple(touched[: 1 if lines else None])
        return known or short if touched else None

    def unsure(self) -> Iterator[Entry]:
        """The fork's files that upstream has under several names, of which git picked one."""
        for file in self.forks:
            if file.base in self._moves[Side.UPSTREAM].unsure:
                account = Account(Change(0, 0), Fate.SUPERSEDED)
                by = tuple(self._own.of([file.mine, file.base]))
                entry = Entry(Side.FORK, file.path, file.result, account, "name", by)
                yield self._explanations.explained(entry, file, contested=True)

    @cached_property
    def _homes(self) -> Mapping[str, Index]:
        """The files of the result that equal no side's, with the lines that neither side has: those
        written while merging."""
        olds = {new: old for moves in self._moves.values() for new, old in moves.old.items()}
        news = [{old: new for new, old in moves.old.items()} for moves in self._moves.values()]
        sides = list(zip(self._sides.values(), news, strict=True))
        versions = {}
        for path, entry in self._after.items():
            if path in records.NOTES or any(entry == tree.get(path) for tree, _ in sides):
                continue  # a note quotes lines
            old = olds.get(path, path)
            on_sides = [tree.get(path) or tree.get(new.get(old, old)) for tree, new in sides]
            if entry not in on_sides:
                versions[path] = (self._base.get(old), *on_sides, entry)
        for path in self._policy.generated(versions):
            del versions[path]
        names = {entry[1] for entries in versions.values() for entry in entries if entry}
        texts = git.blobs(self._sh, self._repo, names)
        return {path: fates.written(*_texts(texts, v)) for path, v in versions.items()}

    def with_moved(self, entries: Sequence[Entry]) -> Iterator[Entry]:
        """The entries; those whose missing lines are together in another changed file count as
        moved, and need a look if some of the lines changed, or if the file is a wrong one."""
        missing = {
            number: [line.strip() for line in entry.account.missing if substantive(line)]
            for number, entry in enumerate(entries)
            if entry.account.fate is Fate.LOST
            if self._twins.get((entry.side, entry.path))
            or not any(map(substantive, entry.account.back))
        }
        missing = {number: lines for number, lines in missing.items() if lines}
        places = self._places(missing.values(), {entries[number].side for number in missing})
        for number, entry in enumerate(entries):
            lines, side, own = missing.get(number, []), entry.side, (entry.path, entry.where)
            candidates = [p for s, p in places if s is side and p not in own] if lines else []
            whole = [p for p in candidates if places[side, p].has_all(lines)]
            most = (p for p in candidates if places[side, p].has_most(lines))
            home = next(iter(whole), "") or next(most, "")
            alike = self._twins.get((side, entry.path), set())
            if home in alike or (home and not any(map(substantive, entry.account.back))):
                sure = whole and home not in alike and self._is_moved(lines, home, side)
                fate = Fate.MOVED if sure else Fate.SUPERSEDED
                entry = replace(entry, account=replace(entry.account, fate=fate), where=home)
            yield entry

    def _is_moved(self, lines: Sequence[str], home: str, side: Side) -> bool:
        """Whether a file of the result has missing lines from a side: not if the other has them."""
        there = git.show(self._sh, self._repo, self._commits[_OTHER[side]], home) or ""
        return len(lines) >= _FEW or {*map(str.strip, there.split("\n"))}.isdisjoint(lines)

    def _places(
        self, missing: Iterable[Sequence[str]], asked: Set[Side]
    ) -> dict[tuple[Side, str], Index]:
        """The changed files in which some of the missing lines are, with the lines that were not
        there on their own side.

        asked: the sides that miss lines.
        """
        # The longest lines lead to the files that may have the others, too. Each costs a search of
        # the whole tree. If very many hunks are lost at once, they were not moved.
        longest = (line for lines in missing for line in sorted(lines, key=len)[-2:])
        wanted = {line[:_LONGEST_SEARCH].split("\0")[0] for line in longest}
        wanted.discard("")
        if not wanted or len(wanted) > _MOST_SEARCHES:
            return {}
        after, sides = self._after, {side: self._sides[side] for side in asked}
        changed = {p for tree in sides.values() for p, e in after.items() if tree.get(p) != e}
        changed -= records.NOTES
        words = ["git", "-C", str(self._repo), "--literal-pathspecs", "grep", "-I", "-F", "-l"]
        words += ["-z", "--full-name", "--no-color"]
        words += [word for line in sorted(wanted) for word in ("-e", line)]
        listed: list[str] = []
        for batch in batches(sorted(changed)):
            answer = self._sh.read([*words, self._result, "--", *batch])
            names = git.checked(answer, "places of lines", 1).fields()
            listed += (name.partition(":")[2] for name in names)
        blobs = {t[p][1] for p in listed for t in (after, *sides.values()) if p in t}
        texts = git.blobs(self._sh, self._repo, blobs)

        def lines_in(tree: Tree, path: str) -> Counter[str]:
            text = texts.get(tree[path][1], "") if path in tree else ""
            return Counter(line.strip() for line in text.split("\n"))

        return {
            (side, path): Index(lines_in(after, path) - lines_in(tree, path))
            for side, tree in sides.items()
            for path in listed
        }


_OTHER = {Side.FORK: Side.UPSTREAM, Side.UPSTREAM: Side.FORK}
_MOST_SEARCHES, _LONGEST_SEARCH = 80, 2000
_FEW = 3
"""Fewer lines, such as imports, may be in two files by chance."""


def _lock_files(files: Sequence[_File], ours: Set[str], policy: Policy) -> dict[str, Rule]:
    """The lock files among some files that are next to their manifests. Tools write them, whatever
    a rule says, unless a rule gives them to the fork. Everything that a lock file lost is one
    entry; `verify` looks for missing dependencies."""
    rules = {}
    paths = (file.path for file in files)
    names = {path for path in paths if path.rpartition("/")[2] in generated.RECORDS}
    for path, manifests, command in generated.locks(ours) if names else ():
        rule = next((rule for rule in policy.rules if rule.matcher.match_file(path)), None)
        if path in names and manifests and not (rule and rule.whole and rule.take is Take.FORK):
            why = f"A tool writes it; to regenerate it: {command}"
            rules[path] = Rule(name="lock file", paths=(path,), take=Take.UPSTREAM, why=why)
    return rules


_MOST_COMMITS = 10


def _generated(units: Mapping[str, Rule], own: Customisations) -> Iterator[Entry]:
    """An entry for each generated file or tree in which the result lacks what the fork generated.

    units: such files, and the rules for them.
    """
    trees: dict[tuple[str, Rule], list[str]] = defaultdict(list)
    for path in sorted(units):
        if own.of([path]):
            trees[units[path].unit(path), units[path]].append(path)
    for (tree, rule), paths in trees.items():
        commits = own.of(sorted(paths))[:_MOST_COMMITS]
        where = tree if tree.endswith("/") or len(paths) > 1 else paths[0]
        gone = Account(Change(0, 0), Fate.DROPPED)
        what = counted(len(paths), "generated file")
        yield Entry(Side.FORK, where, where, gone, what, commits, rule.why, (*paths,))


def _files(
    b: Tree, m: Tree, o: Tree, r: Tree, mine: Mapping[str, str], other: Mapping[str, str]
) -> Iterator[_File]:
    """The files that one side changed, each with its names in all trees."""
    others = {old: new for new, old in other.items()}
    moved = set(mine.values())
    deleted = [path for path in b if path not in m and path not in moved]
    for path in sorted([*m, *deleted]):
        base = mine.get(path, path)
        if m.get(path) == b.get(base) and path == base:
            continue
        there = others.get(base, base)
        names = [path, there, base] if path in m else [there, base]
        result = next((name for name in names if name in r), "")
        yield _File(
            base if base in b else "",
            path if path in m else "",
            there if there in o else "",
            result,
        )


class _Contents:
    """The contents of some files on all sides, read in one go."""

    def __init__(
        self, sh: Shell, repo: Path, files: Sequence[_File], trees: Sequence[Tree]
    ) -> None:
        self._trees = trees
        self._all = versions = [self._versions(file) for file in files]
        names = {entry[1] for entries in versions for entry in entries if entry}
        self._texts = git.blobs(sh, repo, names)
        pairs = [(v[0], v[side]) for v in versions for side in (1, 2)]
        self._changes = commits.changes(
            sh,
            repo,
            [(a and a[1], b and b[1]) for a, b in pairs if git.SUBMODULE not in _modes(a, b)],
        )

    @cached_property
    def _renamed(self) -> Mapping[str, str]:
        """The words that the other side renamed, in any file."""
        pairs = [(v[0] and v[0][1], v[2] and v[2][1]) for v in self._all]
        return fates.renamed_words(x for pair in pairs for x in self._changes.get(pair, ()))

    def _versions(self, file: _File) -> list[tuple[str, str] | None]:
        names = (file.base, file.mine, file.other, file.result)
        return [tree.get(name) for tree, name in zip(self._trees, names, strict=True)]

    def accounts(
        self, file: _File, homes: Mapping[str, Index] = MappingProxyType({})
    ) -> Iterator[tuple[Account, str]]:
        """What happened to each of the side's changes to a file, with the kind of change if it is
        not lines.

        homes: lines written into other files while merging.
        """
        base, mine, other, result = self._versions(file)
        if (base and base[1]) != (mine and mine[1]):
            changes = self._changes.get((base and base[1], mine and mine[1]), [])
            others = self._changes.get((base and base[1], other and other[1]), [])
            texts = _texts(self._texts, (base, mine, other, result))
            if changes and not any(map(hunks.is_pointer, texts)):
                what = "link" if git.SYMLINK in _modes(base, mine) else ""
                for account in fates.account(changes, others, *texts, homes, self._renamed):
                    yield account, what
            elif (mine and mine[1]) != (result and result[1]):
                yield Account(Change(0, 0), Fate.LOST), _kind(mine, base)
        # If both sides added the file, its mode may be either side's.
        if mine and result and result[0] != mine[0] and (base[0] != mine[0] if base else not other):
            yield Account(Change(0, 0), Fate.LOST), "mode"
        renamed = file.mine and file.base and file.mine != file.base
        gone = not result and (base and base[1]) == (mine and mine[1])
        if renamed and (gone or file.base in self._trees[3]):
            # A file that one side renamed is gone, or has its old name again.
            yield Account(Change(0, 0), Fate.LOST), "name"


def _texts(
    texts: Mapping[str, str], versions: Sequence[tuple[str, str] | None]
) -> tuple[str, str, str, str]:
    base, mine, other, result = (texts.get(v[1], "") if v else "" for v in versions)
    return base, mine, other, result


def _modes(*entries: tuple[str, str] | None) -> set[str]:
    return {entry[0] for entry in entries if entry}


def _kind(*entries: tuple[str, str] | None) -> str:
    modes = _modes(*entries)
    return "submodule" if git.SUBMODULE in modes else "link" if git.SYMLINK in modes else "binary"


class _Explanations:
    """What people allowed to be lost: the rules of the policy, and single drops."""

    def __init__(self, policy: Policy, drops: Sequence[Drop]) -> None:
        self._drops = drops
        self._rules = [(rule, globs(rule.paths)) for rule in policy.rules]
        self._off = globs(policy.workflows.disabled)

    def explained(self, entry: Entry, file: _File, contested: bool) -> Entry:
        """The entry, marked as dropped on purpose if somebody decided so.

        contested: whether the other side changed the file too.
        """
        account = entry.account
        if account.fate not in (Fate.LOST, Fate.SUPERSEDED):
            return entry
        if reason := self._by_drop(entry) or self._by_rule(entry, file, contested):
            dropped = replace(account, fate=Fate.DROPPED)
            return replace(entry, account=dropped, reason=reason)
        return entry

    def _by_drop(self, entry: Entry) -> str:
        lines = [*entry.account.missing, *entry.account.back]
        telling = [line for line in lines if substantive(line)]
        about = entry.path, entry.side.value
        mine = (drop for drop in self._drops if (drop.path, drop.side) == about)
        return next((drop.reason for drop in mine if drop.covers(telling or lines)), "")

    def _by_rule(self, entry: Entry, file: _File, contested: bool) -> str:
        """The reason of the first matching rule, if it explains the loss."""
        account = entry.account
        names = [name for name in (entry.path, file.other, entry.where) if name]
        is_gone = entry.side is Side.UPSTREAM and not file.other and not entry.where
        if is_gone and self._off.match_file(entry.path):
            return "The policy switches this workflow off."
        for rule, paths in self._rules:
            if not any(map(paths.match_file, names)) or not _is_about(rule, entry, file):
                continue
            if rule.take is Take.VERSION:
                lines = [line for line in (*account.missing, *account.back) if line.strip()]
                stated = bool(lines) and all(map(states_version, lines))
                return rule.why if stated else ""
            if entry.side is Side.UPSTREAM:
                return rule.why if rule.take is Take.FORK else ""
            # A rule can only drop changes of the fork that were in conflict.
            return rule.why if rule.take is Take.UPSTREAM and contested else ""
        return ""


_KINDS = {
    "": (Kind.CONTENT, Kind.ADD_ADD, Kind.RENAME),
    "binary": (Kind.BINARY,),
    "link": (Kind.SYMLINK,),
    "submodule": (Kind.SUBMODULE,),
    "mode": (Kind.MODE,),
    "name": (Kind.RENAME,),
}


def _is_about(rule: Rule, entry: Entry, file: _File) -> bool:
    """Whether a rule covers what happened to a file, judged by the kinds it names."""
    theirs = file.other if entry.side is Side.UPSTREAM else file.mine
    if rule.deleted_by:
        # The fork once had the file; now neither the fork nor the result has it.
        return rule.deleted_by is Side.FORK and bool(file.base) and not (theirs or entry.where)
    return not rule.kinds or any(kind in rule.kinds for kind in _KINDS[entry.what])
