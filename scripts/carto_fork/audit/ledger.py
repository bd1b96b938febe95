"""The ledger: what happened to every hunk of both sides in a merge."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence, Set
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
from ..run.text import VERSION_LINE, counted, substantive
from . import fates
from .fates import Account, Fate


@dataclass(frozen=True)
class Entry:
    """What happened to one hunk that the result does not have unchanged.

    path: the file's path on the side. where: its path in the result, or that of its lines.
    what: what changed, if not lines: "binary", "mode", "link", "submodule", or a description of
        generated files, which share one entry.
    commits: the fork commits behind it, newest first; none for an upstream hunk.
    reason: why it was dropped on purpose.
    """

    side: Side
    path: str
    where: str
    account: Account
    what: str = ""
    commits: Sequence[Commit] = ()
    reason: str = ""

    def as_json(self) -> dict[str, Any]:
        """Plain data for ``--json``."""
        return {
            "side": self.side.value,
            "path": self.path,
            "line": self.account.change.line,
            "fate": self.account.fate.value,
            "now_in": self.where,
            "what": self.what or "lines",
            "missing": self.account.missing,
            "back_again": self.account.back,
            "commits": self.commits,
            "reason": self.reason,
        }


@dataclass(frozen=True)
class Ledger:
    """The account of a merge.

    entries: the hunks that the result has changed, not at all, or elsewhere.
    fork_paths: how many files the fork's own commits changed since the common ancestor.
    upstream_paths: how many files upstream changed since then.
    """

    entries: tuple[Entry, ...]
    fork_paths: int
    upstream_paths: int

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
    commits = {"base": base, "ours": ours, "theirs": theirs, "result": result}
    trees = {name: git.tree(sh, repo, commit) for name, commit in commits.items()}
    moves = {
        side: renames.find(sh, repo, base, commits[side], policy) for side in ("ours", "theirs")
    }
    renamed = {side: found.old for side, found in moves.items()}
    made = trees["result"].keys() - trees["ours"].keys() - trees["theirs"].keys() - records.NOTES
    explanations = _Explanations(policy, drops)
    written = _Written(sh, repo, trees, renamed, policy)
    entries: list[Entry] = []
    paths = {}
    twins: dict[tuple[Side, str], Set[str]] = {}
    touched: Set[str] = set()
    for side, mine, other in ((Side.FORK, "ours", "theirs"), (Side.UPSTREAM, "theirs", "ours")):
        b, m, o, r = (trees[name] for name in ("base", mine, other, "result"))
        files = list(_files(b, m, o, r, renamed[mine], renamed[other]))
        if made and any(f.mine and not f.result for f in files):
            came = renames.find(sh, repo, commits[mine], result, policy).old
            files = _with_arrivals(files, came, made)
        if side is Side.FORK:
            touched = authorship.touched(own, {name for f in files for name in (f.mine, f.base)})
        paths[side] = [f for f in files if side is Side.UPSTREAM or touched & {f.mine, f.base}]
        open_ = [
            f
            for f in files
            if r.get(f.result) != m.get(f.mine) or (f.mine != f.base and f.base in r)
        ]
        twins |= {(side, f.mine or f.base): moves[other].alike.get(f.base, set()) for f in open_}
        units = policy.generated(f.mine or f.base for f in open_)
        locks = _lock_files(open_, trees["ours"].keys(), policy)
        if side is Side.FORK:
            entries += _generated(units, own)
        open_ = [f for f in open_ if (f.mine or f.base) not in units]
        contents = _Contents(sh, repo, open_, (b, m, o, r))
        in_them = authorship.within(own, {name for f in open_ for name in (f.mine, f.base)})
        for file in open_:
            found = list(contents.accounts(file))
            lost = any(account.fate is Fate.LOST for account, _ in found)
            if rule := locks.get(file.mine or file.base):
                if lost and side is Side.FORK:
                    entries += _generated({file.mine or file.base: rule}, own)
                continue
            if lost:
                homes = {path: i for path, i in written.homes.items() if path != file.result}
                found = list(contents.accounts(file, homes))
            for account, what in found:
                entry = Entry(side, file.mine or file.base, file.result, account, what)
                if side is Side.FORK:
                    if not (by := _commits_behind(account, file, own, in_them)):
                        continue
                    entry = replace(entry, commits=by)
                contested = o.get(file.other) != b.get(file.base)
                if account.home in twins[side, entry.path]:
                    entry = replace(entry, account=replace(account, fate=Fate.SUPERSEDED))
                entry = explanations.explained(entry, file, contested)
                entries.append(replace(entry, where=account.home or entry.where))
    entries = _with_moved(sh, repo, entries, result, trees, twins)
    for file in paths[Side.FORK]:
        if file.base in moves["theirs"].unsure:
            # Upstream has it under several names, and git picked one.
            by = tuple(own.of([file.mine, file.base]))
            account = Account(Change(0, 0), Fate.SUPERSEDED)
            entry = Entry(Side.FORK, file.mine or file.base, file.result, account, "name", by)
            entries.append(explanations.explained(entry, file, contested=True))
    return Ledger(tuple(entries), len(paths[Side.FORK]), len(paths[Side.UPSTREAM]))


def _with_arrivals(files: Sequence[_File], came: Mapping[str, str], made: Set[str]) -> list[_File]:
    """The files, including those that this merge put under a name that neither side has.

    came: new path to old, from the side to the result. made: the paths that neither side has.
    """
    places = {old: new for new, old in came.items() if new in made}
    return [f if f.result else replace(f, result=places.get(f.mine, "")) for f in files]


def _commits_behind(
    account: Account, file: _File, own: Customisations, in_them: Customisations
) -> tuple[Commit, ...]:
    """The fork commits behind a change; none if it is not the fork's.

    in_them: the fork's own work in the files of the account.
    """
    names = [name for name in (file.mine, file.base) if name]
    touched = own.of(names, (*account.change.added, *account.change.removed))
    wrote = in_them.behind((*account.missing, *account.back)) if touched else ()
    return tuple([commit for commit in wrote if commit in touched] or touched)


def _lock_files(files: Sequence[_File], ours: Set[str], policy: Policy) -> dict[str, Rule]:
    """The lock files among some files that are next to their manifests. Tools write them, whatever
    a rule says, unless a rule gives them to the fork. Everything that a lock file lost is one
    entry; `verify` looks for missing dependencies."""
    rules = {}
    paths = (file.mine or file.base for file in files)
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
        yield Entry(Side.FORK, where, where, gone, what, commits, rule.why)


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
        self, file: _File, homes: Mapping[str, fates.Index] = MappingProxyType({})
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


class _Written:
    """The lines written while merging; computed when something is missing."""

    def __init__(
        self,
        sh: Shell,
        repo: Path,
        trees: Mapping[str, Tree],
        renamed: Mapping[str, Mapping[str, str]],
        policy: Policy,
    ) -> None:
        self._sh, self._repo, self._trees, self._renamed = sh, repo, trees, renamed
        self._policy = policy

    @cached_property
    def homes(self) -> Mapping[str, fates.Index]:
        """The files of the result that equal no side's, with the lines that neither side has."""
        olds = {new: old for names in self._renamed.values() for new, old in names.items()}
        news = {side: {old: new for new, old in n.items()} for side, n in self._renamed.items()}
        sides = [(self._trees[side], news[side]) for side in ("ours", "theirs")]
        versions = {}
        for path, entry in self._trees["result"].items():
            if entry in (self._trees["ours"].get(path), self._trees["theirs"].get(path)):
                continue
            old = olds.get(path, path)
            on_sides = [tree.get(path) or tree.get(new.get(old, old)) for tree, new in sides]
            if entry not in on_sides:
                versions[path] = (self._trees["base"].get(old), *on_sides, entry)
        for path in self._policy.generated(versions):
            del versions[path]
        names = {entry[1] for entries in versions.values() for entry in entries if entry}
        texts = git.blobs(self._sh, self._repo, names)
        return {path: fates.written(*_texts(texts, v)) for path, v in versions.items()}


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
        return next(
            (
                drop.reason
                for drop in self._drops
                if (drop.path, drop.side) == (entry.path, entry.side.value)
                and drop.covers(telling or lines)
            ),
            "",
        )

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
                stated = bool(lines) and all(map(VERSION_LINE.fullmatch, lines))
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
        deleted = bool(file.base) and not theirs and not entry.where
        return rule.deleted_by is Side.FORK and deleted
    return not rule.kinds or any(kind in rule.kinds for kind in _KINDS[entry.what])


_MOST_SEARCHES = 80
_LONGEST_SEARCH = 2000


def _with_moved(
    sh: Shell,
    repo: Path,
    entries: Sequence[Entry],
    result: str,
    trees: Mapping[str, Tree],
    twins: Mapping[tuple[Side, str], Set[str]],
) -> list[Entry]:
    """The entries; those whose missing lines are together in another changed file count as moved,
    and need a look if some of the lines changed.

    twins: the files that a side's file may have become. Lines in the wrong one need a look.
    """
    missing = {
        number: [line.strip() for line in entry.account.missing if substantive(line)]
        for number, entry in enumerate(entries)
        if entry.account.fate is Fate.LOST
        if twins.get((entry.side, entry.path)) or not any(map(substantive, entry.account.back))
    }
    missing = {number: lines for number, lines in missing.items() if lines}
    # The longest lines lead to the files that may have the others, too. Each costs a search of the
    # whole tree. If very many hunks are lost at once, they were not moved.
    longest = (line for lines in missing.values() for line in sorted(lines, key=len)[-2:])
    wanted = {line[:_LONGEST_SEARCH].split("\0")[0] for line in longest}
    wanted.discard("")
    if not wanted or len(wanted) > _MOST_SEARCHES:
        return list(entries)
    after = trees["result"]
    sides = {Side.FORK: trees["ours"], Side.UPSTREAM: trees["theirs"]}
    asked = {entries[number].side for number in missing}
    changed_paths = {
        p for side in asked for p, entry in after.items() if sides[side].get(p) != entry
    }
    words = ["git", "-C", str(repo), "--literal-pathspecs", "grep", "-I", "-F", "-l", "-z"]
    words += ["--full-name", "--no-color"]
    words += [word for line in sorted(wanted) for word in ("-e", line)]
    listed: list[str] = []
    for batch in batches(sorted(changed_paths)):
        answer = git.checked(sh.read([*words, result, "--", *batch]), "places of lines", 1)
        listed += (name.partition(":")[2] for name in answer.fields())
    texts = git.blobs(
        sh, repo, {t[p][1] for p in listed for t in (after, *sides.values()) if p in t}
    )

    def lines_in(tree: Tree, path: str) -> Counter[str]:
        text = texts.get(tree[path][1], "") if path in tree else ""
        return Counter(line.strip() for line in text.split("\n"))

    # Lines count as moved if they are there now and were not there on their own side.
    places = {
        (side, path): lines_in(after, path) - lines_in(tree, path)
        for side, tree in sides.items()
        if side in asked
        for path in listed
    }
    indexes = {place: fates.Index(lines) for place, lines in places.items()}
    result_entries = []
    for number, entry in enumerate(entries):
        lines = missing.get(number, [])
        candidates = [p for p in listed if p not in (entry.path, entry.where)] if lines else []
        whole = [p for p in candidates if indexes[entry.side, p].has_all(lines)]
        home = next(iter(whole), "")
        home = home or next((p for p in candidates if indexes[entry.side, p].has_most(lines)), "")
        alike = twins.get((entry.side, entry.path), set())
        if home in alike or (home and not any(map(substantive, entry.account.back))):
            fate = Fate.MOVED if whole and home not in alike else Fate.SUPERSEDED
            account = replace(entry.account, fate=fate)
            entry = replace(entry, account=account, where=home)
        result_entries.append(entry)
    return result_entries
