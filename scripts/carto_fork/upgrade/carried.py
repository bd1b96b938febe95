"""What the fork has of its own, feature by feature and commit by commit, and what became of it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ..audit.fates import Fate
from ..audit.ledger import Entry
from ..fork.fork import Fork
from ..merge import authorship, commits, hunks, renames
from ..merge.hunks import Change, Commit
from ..run import git
from ..run.shell import Shell
from ..run.text import counted, joined, substantive
from . import effects, marked
from .sides import GONE, LEFT, MADE, SAID, STALE, TONES, WORST, Sides, by_directory, worst

_REMOVED, _BEFORE = "removed by the fork", "gone before this merge"
_NO_NAME = "the file was gone, or renamed, before this merge"
"""The name that it has now may have nothing in common with the one that it had."""
_SAME, _TAKEN = "as upstream's before this merge", "as upstream's by now"
_FATES = [*(SAID[fate] for fate in WORST), _REMOVED, _BEFORE, _NO_NAME, _SAME, _TAKEN]
_FATES[3:3] = [STALE, GONE, MADE]
_FATES[1:1] = [LEFT]
"""What may have become of a file, the worst first."""
_NOTHING = (_REMOVED, _BEFORE, _NO_NAME, _SAME, _TAKEN)
"""Of these the result has nothing that upstream does not have."""
_SETTLED = ("moved", "kept", MADE, *_NOTHING)
"""Of these nobody has to look at."""

_MOST_FILES = 40
"""Of so many files of a commit each fate is shown."""
_WRAPPED = 10
"""So many characters of a line are not found in another one by chance."""
_LONGEST = 100_000
"""In a text of more characters nobody looks for lines that are wrapped in another way."""


class Carried:
    """The features of the manifest and the fork's commits."""

    def __init__(self, sh: Shell, fork: Fork, sides: Sides) -> None:
        self._sh, self._fork, self._sides = sh, fork, sides
        # The fork's commits by the file that they changed, under the name that it has now.
        self._files = sides.own.files

    @cached_property
    def _followed(self) -> Mapping[str, str]:
        """Where the fork's files are that the merge has under another name only."""
        trees, commits_ = self._sides.trees, self._sides.commits
        if not self._files.keys() & trees["ours"].keys() - trees["result"].keys():
            return {}
        both = commits_["ours"], commits_["result"]
        renamed = renames.find(self._sh, self._fork.path, *both, self._fork.policy)
        return {old: new for new, old in renamed.old.items()}

    def items(
        self,
        entries: Sequence[Entry],
        fits: Callable[[Sequence[str]], Sequence[str]],
        left: Collection[str],
    ) -> Iterator[dict[str, Any]]:
        """The features of the manifest, then the commits of the fork, the worst first; each with
        its own lines, and a line is with the first of them that has it.

        entries: the fork's changes, with what became of each. fits: cuts lines to what is shown.
        left: the files whose conflict is left: what they have is neither side's yet.
        """
        shown: dict[tuple[str, int], str] = {}
        of_files: dict[str, Mapping[int, tuple[str, frozenset[str]]]] = {path: {} for path in left}
        for number, one in enumerate(self._owners(entries, left), 1):
            one["id"], rest = f"f{number}", one["files"][_MOST_FILES:]
            one["more"] = fits(by_directory(file["path"] for file in rest)) if rest else ()
            one["files"], cut = one["files"][:_MOST_FILES], list[str]()
            for file in one["files"]:
                path = file["path"]
                if path not in of_files:
                    of_files[path] = self._lines(path)
                mine, how = self._mine(file, one["commits"], of_files[path])
                at = {number: shown.setdefault((path, number), one["id"]) for number in mine}
                file["where"], more = how if how else (marked.ranges(marked.runs(mine)), ())
                if path in self._followed and not file["where"]:
                    file["where"] = f"in {self._followed[path]}"
                lines = [f"{n:5} {line}" for n, line in mine.items() if at[n] == one["id"]]
                lines += more
                file["left"] = path in left
                file["shown"] = next((x for x in at.values() if x != one["id"]), one["id"])
                file["lines"] = fits(lines)
                cut += [path] * (file["lines"] != lines)
            ends = [self._sides.commits[side][:10] for side in ("theirs", "result")]
            one["commands"] = [joined(["git", "diff", *ends, "--", *cut])] if cut else ()
            yield one

    def _mine(
        self,
        file: Mapping[str, Any],
        by: Sequence[Commit],
        lines: Mapping[int, tuple[str, frozenset[str]]],
    ) -> tuple[dict[int, str], tuple[str, list[str]] | None]:
        """The lines of a file that are from some commits; and if a file that is kept has no such
        line, what is kept instead."""
        if file["fate"] in _NOTHING:
            return {}, None
        names, path = {commit.name for commit in by}, file["path"]
        mine = {n: line for n, (line, who) in lines.items() if not (names and who) or names & who}
        if mine or file["fate"] != "kept":
            return mine, None
        there = {x for commit in by for x in self._kept.get((path, commit), ((), ()))[0]}
        mine = {n: line for n, (line, _) in lines.items() if _is_one_of(line, there)}
        return mine, None if mine else self._without_lines(path, by)

    def _lines(self, path: str) -> Mapping[int, tuple[str, frozenset[str]]]:
        """The result's lines in a file that upstream's side does not have, by number, each with the
        commits that wrote it; a line that says little is from those of the line before."""
        wrote = defaultdict[str, set[str]](set)
        for commit in self._files.get(path, ()):
            for change in self._made.get((path, commit), ()):
                for line in change.added:
                    wrote[line.strip()].add(commit.name)
        # What no commit wrote and the common ancestor has, is not the fork's: a merge has it again.
        name = self._sides.trees["base"].get(path, ("", ""))[1]
        text = git.blobs(self._sh, self._fork.path, {name} - {""}).get(name, "")
        old = {line.strip() for line in text.split("\n")} - wrote.keys() if wrote else set[str]()
        found: dict[int, tuple[str, frozenset[str]]] = {}
        for change in self._sides.mine.get(path, ()):
            by = [
                frozenset(wrote.get(line.strip(), ()) if substantive(line) else ())
                for line in change.added
            ]
            known, is_old = next(filter(None, by), frozenset[str]()), False
            for number, (line, commits_) in enumerate(zip(change.added, by, strict=True)):
                known = commits_ or known
                is_old = line.strip() in old if substantive(line) else is_old
                if not (is_old or hunks.has_markers(line)):
                    found[change.line + number] = line, known
        return found

    def _without_lines(self, path: str, by: Sequence[Commit]) -> tuple[str, list[str]]:
        """How a file of the result differs from upstream's, if none of its lines is a commit's own,
        and the lines of upstream that it lacks for that; nothing if that is not known."""
        now, theirs = (self._sides.trees[side].get(path) for side in ("result", "theirs"))
        known = self._sides.mine.get(path, ())
        if not now or now == theirs or not known:
            ours = self._sides.trees["ours"].get(path)
            said = "as the fork had it" if now == ours else "not compared by lines"
            return "" if not now else _TAKEN if now == theirs else said, []
        gone = {line for commit in by for line in self._kept.get((path, commit), ((), ()))[1]}
        lacks = [line for x in known for line in x.removed if line.strip() in gone]
        if lacks:
            said = f"without {counted(len(lacks), 'line')} that upstream has"
            return said, [f"    - {line}" for line in lacks]
        return "in another form" if theirs else "under a name that upstream does not have", []

    # --- What is there of a commit

    @cached_property
    def _same(self) -> Mapping[str, str]:
        """What became of the files of which, as a whole, nothing is the fork's."""
        four = {p: tuple(self._sides.trees[side].get(p) for side in _SIDES) for p in self._files}
        return {
            path: _SAME if ours == base else _TAKEN
            for path, (base, ours, theirs, now) in four.items()
            if ours and (ours == base or now == theirs)
        }

    @cached_property
    def _read(self) -> Set[str]:
        """The files of which the lines are read."""
        return self._sides.mine.keys() - self._same.keys()

    @cached_property
    def _made(self) -> Mapping[tuple[str, Commit], Sequence[Change]]:
        """What each commit did to each file of the result."""
        asked = [(path, commit) for path in self._read for commit in self._files.get(path, ())]
        made = authorship.made(self._sh, self._fork.path, self._sides.own, asked)
        # What a copied commit did, only the log knows.
        log = self._sides.log.values()
        changed = {entry.commit: entry.changed for entry in log if len(entry.parents) == 1}
        pairs = {
            (path, commit): changed[commit][path]
            for path, commit in asked
            if (path, commit) not in made and path in changed.get(commit, ())
        }
        found = commits.changes(self._sh, self._fork.path, [*pairs.values()])
        return {**made, **{key: found.get(pair, []) for key, pair in pairs.items()}}

    @cached_property
    def _there(self) -> Mapping[tuple[str, Commit], _There]:
        """What is there of each commit's change of a file, as far as that is known."""
        trees = self._sides.trees
        versions = {
            path: [trees[side].get(path, ("", ""))[1] for side in _SIDES]
            for path in self._read & trees["ours"].keys()
        }
        names = {name for of_file in versions.values() for name in of_file}
        texts = git.blobs(self._sh, self._fork.path, names - {""})
        found: dict[tuple[str, Commit], _There] = {}
        for path, of_file in versions.items():
            if any(name and name not in texts for name in of_file):
                continue
            known = {name: _Text(texts.get(name, "")) for name in of_file}
            four = [known[name] for name in of_file]  # mostly, two versions are the same
            for commit in self._files.get(path, ()):
                if made := self._made.get((path, commit)):
                    found[path, commit] = there(made, *four)
        return found

    @cached_property
    def _kept(self) -> Mapping[tuple[str, Commit], tuple[Collection[str], Collection[str]]]:
        return {key: (x.added, x.removed) for key, x in self._there.items()}

    def _ended(self, entries: Sequence[Entry]) -> dict[tuple[str, str], str]:
        """What became of changes of fork commits of which the result has nothing that upstream does
        not have, though the account names other commits for what is missing, if something is; by
        file and commit."""
        gone: dict[tuple[str, bool, str], Fate] = {}
        for entry in entries:
            for is_back, lines in enumerate((entry.account.missing, entry.account.again)):
                for line in lines:
                    key = entry.path, bool(is_back), line.strip()
                    gone[key] = min(gone.get(key, Fate.KEPT), entry.account.fate, key=WORST.index)
        ended = {(path, x.name): one.state for (path, x), one in self._there.items() if one.state}
        for (path, commit), one in self._there.items():
            its = [(path, not one.mine, line) for line in one.mine or one.less]
            if its and gone.keys() >= {*its}:
                ended[path, commit.name] = SAID[min((gone[x] for x in its), key=WORST.index)]
        for path, state in self._same.items():
            ended |= {(path, commit.name): state for commit in self._files[path]}
        return ended

    def _owners(self, entries: Sequence[Entry], left: Collection[str]) -> Iterator[dict[str, Any]]:
        made = {path for entry in entries for path in entry.files}
        fates = worst(entry for entry in entries if not entry.files)
        own, trees = self._sides.own, self._sides.trees
        ours, tree, removed = trees["ours"], trees["result"], set(own.removed)
        old = {path for one in self._sides.stale for path in one.files}
        ended = self._ended(entries)

        def fate_of(path: str, commit: str) -> str:
            fate = SAID[fates.get((path, commit), Fate.KEPT)]
            if path in old:
                return STALE
            if path in made or path in left:
                return MADE if path in made else LEFT
            if path in tree or fate != "kept":
                return ended.get((path, commit), fate) if fate == "kept" else fate
            if path in self._followed:  # the account looked there, and missed nothing
                return SAID[Fate.MOVED]
            return GONE if path in ours else _REMOVED if path in removed else _NO_NAME

        for feature in self._fork.policy.feature:
            yield _owner(feature.name, {path: fate_of(path, "") for path in feature.files}, ())
        # Commits of one subject, such as those of a bot, are one item.
        alike: dict[str, dict[str, dict[Commit, str]]] = defaultdict(lambda: defaultdict(dict))
        for path, found in self._files.items():
            for commit in found:
                alike[commit.subject][path][commit] = fate_of(path, commit.name)
        for entry in entries:  # also of commits that knew the file by another name
            for commit in entry.commits:
                if (entry.path, commit.name) in fates:
                    alike[commit.subject][entry.path][commit] = fate_of(entry.path, commit.name)
        rows = [
            _owner(
                subject,
                {path: min(fates.values(), key=_FATES.index) for path, fates in paths.items()},
                sorted(
                    {c for fates in paths.values() for c in fates}, key=lambda c: (c.date, c.name)
                )[::-1],
            )
            for subject, paths in alike.items()
        ]
        most: dict[str, int] = {}
        for entry in entries:
            effect = effects.of_lines(entry.path, (*entry.account.missing, *entry.account.back))
            rank = effects.ORDER.index(effect)
            most |= {c.name: min(rank, most.get(c.name, rank)) for c in entry.commits}

        def order(one: Mapping[str, Any]) -> tuple[int, int, int]:
            """The worst first, housekeeping later, what only brought upstream's work last; and what
            matters most."""
            names = [commit.name for commit in one["commits"]]
            merges = 2 * all(name in own.bringing for name in names)
            kind = merges or bool(effects.HOUSEKEEPING.search(one["name"]))
            matters = min((most[name] for name in names if name in most), default=len(most))
            return _FATES.index(one["fate"]), kind, matters

        yield from sorted(rows, key=order)


def _owner(name: str, fates: Mapping[str, str], by: Sequence[Commit]) -> dict[str, Any]:
    """A feature, or commits of one subject, with the fate of each of its files."""
    listed = sorted(fates.items(), key=lambda file: (_FATES.index(file[1]), file[0]))
    fate = listed[0][1] if listed else "kept"
    number = sum(one == fate for one in fates.values())
    # Who replaced a tool's files together with others did not only run that tool.
    settled = fate in _SETTLED and (fate != MADE or number == len(listed))
    return {
        "name": name,
        "fate": fate,
        "tone": TONES.get(fate, ""),
        "files": [{"path": path, "fate": fate} for path, fate in listed],
        "number": len(listed),
        "worst": number,
        "settled": bool(by) and settled,
        "commits": by,
    }


_SIDES = ("base", "ours", "theirs", "result")


class _Text:
    """A version of a file."""

    def __init__(self, text: str) -> None:
        self.counts = Counter(map(str.strip, text.split("\n"))) if text else Counter[str]()
        self._text, self._known = text, dict[str, int]()

    @cached_property
    def _whole(self) -> str:
        return "".join(self._text.split()) if len(self._text) < _LONGEST else ""

    def has(self, line: str) -> bool:
        """Whether it has a line, also wrapped in another way."""
        return line in self.counts or self._number(line) > 0

    def _number(self, line: str) -> int:
        """How often it has a line without white space."""
        if line not in self._known:
            word = "".join(line.split())
            self._known[line] = self._whole.count(word) if len(word) >= _WRAPPED else 0
        return self._known[line]

    def has_more(self, line: str, other: _Text) -> bool:
        """Whether it has a line more often than another version."""
        # A Counter takes long for what it does not have.
        mine, theirs = self.counts.get(line, 0), other.counts.get(line, 0)
        return mine > theirs or (mine == theirs == 0 and self._number(line) > other._number(line))


def _is_one_of(line: str, others: Collection[str]) -> bool:
    """Whether a line is one of others, also wrapped in another way."""
    word, words = "".join(line.split()), ("".join(x.split()) for x in others)
    return any(
        word == x or (min(len(word), len(x)) >= _WRAPPED and (x in word or word in x))
        for x in words
    )


@dataclass(frozen=True)
class _There:
    """What is there of a commit's change of a file.

    added, removed: its lines that the result has and upstream does not have, and those the other
        way round. state: what became of it, if both are empty; "" if that is not known.
    mine, less: if that is not known, the lines that the fork's side had of it before the merge, and
        those that it lacked for it.
    """

    added: frozenset[str]
    removed: frozenset[str]
    state: str
    mine: frozenset[str] = frozenset()
    less: frozenset[str] = frozenset()


def there(made: Sequence[Change], base: _Text, ours: _Text, theirs: _Text, now: _Text) -> _There:
    """What is there of a commit's change.

    made: the change. base, ours, theirs, now: the file at the common ancestor, on both sides and in
        the result.
    """
    both = marked.net(made)
    if not any(both):
        return _There(frozenset(), frozenset(), "")
    telling = [[*filter(substantive, lines)] for lines in both]
    new, gone = telling if any(telling) else both
    # What upstream has elsewhere, too, says less.
    sure = [x for x in new if not base.has(x)], [x for x in gone if not ours.has(x)]
    if any(sure):
        strong = [*sure[0]], [x for x in sure[1] if base.has(x)]
        if any(strong):
            new, gone = strong
    added = [line for line in new if now.has_more(line, theirs)]
    removed = [line for line in gone if theirs.has_more(line, now)]
    state, mine, less = "", list[str](), list[str]()
    if not added and not removed:
        mine = [x for x in new if ours.has_more(x, base)]
        less = [x for x in gone if base.has_more(x, ours)]
        if not mine and not less:
            its = [x for x in both[0] if substantive(x)]
            # Of a file that only the fork has, nothing is upstream's.
            upstreams = (
                2 * sum(map(base.has, its)) > len(its) if its else not any(map(base.has, gone))
            )
            state = _SAME if upstreams and base.counts else _BEFORE
        elif all(map(theirs.has, mine)) and not any(map(theirs.has, less)):
            state = _TAKEN
    rest = (frozenset(() if state else x) for x in (mine, less))
    return _There(frozenset(added), frozenset(removed), state, *rest)
