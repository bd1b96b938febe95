"""What became of a merge since: who has it, and what later commits made of the same files."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import Enum
from functools import cached_property

from ..audit import imports, verify
from ..audit.findings import REMOVED, Committed, Finding, described
from ..audit.ledger import Entry
from ..fork import lineage
from ..fork.fork import Fork
from ..fork.policy import Side
from ..merge import commits, gone
from ..merge.hunks import Commit
from ..run import git
from ..run.shell import Shell
from ..run.text import counted, listed, printable, substantive
from .outcomes import Merge
from .sides import Unfilled

_MARKERS = re.compile(r"^(<{7}|>{7})( |$)", re.MULTILINE)
_MOST_SHOWN = 100
_MOST_READ = 20
"""So many versions of a file are read to find the first that has something."""


class State(Enum):
    """What later commits made of something that is to be done."""

    SAME = "same"
    OPEN = "open"
    GONE = "gone"
    """Its file is, by a commit of upstream: the fork's change may be needed elsewhere."""
    DELETED = "deleted"
    DONE = "done"

    @property
    def is_settled(self) -> bool:
        """Whether nothing is left to do."""
        return self in (State.DELETED, State.DONE)


class Since:
    """The commits of the production branch after a merge.

    tip: that branch's newest commit; "" if the merge has not landed there.
    """

    def __init__(self, sh: Shell, fork: Fork, merge: Merge) -> None:
        self._sh, self._fork, self._merge = sh, fork, merge
        tip = fork.production_commit
        is_there = merge.landed and tip and git.is_ancestor(sh, fork.path, merge.result, tip)
        self.tip = tip if is_there and tip != merge.result else ""
        self._states: dict[tuple[object, ...], State] = {}

    @cached_property
    def _trees(self) -> tuple[git.Tree, git.Tree]:
        result = self._merge.result
        then, now = (git.tree(self._sh, self._fork.path, x) for x in (result, self.tip or result))
        return then, now

    def differs(self, path: str) -> bool:
        """Whether a file is another one now, or a directory has other files."""
        if not self.tip:
            return False
        then, now = self._trees
        return path in self._below if path.endswith("/") else then.get(path) != now.get(path)

    @cached_property
    def _below(self) -> set[str]:
        """The directories in which something is otherwise."""
        then, now = self._trees
        changed = [x for x in then.keys() | now.keys() if then.get(x) != now.get(x)]
        return {f"{x[:n]}/" for x in changed for n, letter in enumerate(x) if letter == "/"}

    def text(self, path: str) -> str:
        """A file as it is now; "" if it is gone."""
        name = self._trees[1].get(path, ("", ""))[1]
        return git.blobs(self._sh, self._fork.path, [name]).get(name, "") if name else ""

    def _then(self, path: str) -> str:
        """A file of the merge's result."""
        name = self._trees[0].get(path, ("", ""))[1]
        return git.blobs(self._sh, self._fork.path, [name]).get(name, "") if name else ""

    # --- What is still to be done

    def of_change(self, entries: Iterable[Entry]) -> State:
        """The state of some changes of a file."""
        found = [*entries]
        missing = [line for entry in found for line in entry.account.missing]
        back = [line for entry in found for line in entry.account.back]
        state, path = self.of_lines(found[0].path, missing, back), found[0].path
        if state is State.DELETED and found[0].side is Side.FORK and path in self._ours:
            return state if path in self._deleted else State.GONE
        return state

    @cached_property
    def _ours(self) -> git.Tree:
        return git.tree(self._sh, self._fork.path, self._merge.ours)

    @cached_property
    def _deleted(self) -> set[str]:
        """The files that the fork's own commits deleted since."""
        return {path for e in self._own for path, its in e.changed.items() if its[-1] is None}

    def of_lines(self, path: str, missing: Sequence[str], back: Sequence[str] = ()) -> State:
        """The state of lines that are missing from a file, or back in it."""
        key = (path, *missing, None, *back)
        if key not in self._states:
            self._states[key] = self._of_lines(path, missing, back)
        return self._states[key]

    def _of_lines(self, path: str, missing: Sequence[str], back: Sequence[str]) -> State:
        if not self.differs(path):
            return State.SAME
        if self._is_gone(path):
            return State.DELETED
        done = _is_done(self._then(path), self.text(path), missing, back)
        return State.DONE if done else State.OPEN

    def _is_gone(self, path: str) -> bool:
        then, now = self._trees
        if path.endswith("/"):
            return not any(name.startswith(path) for name in now)
        return path in then and path not in now

    def of_finding(self, one: Finding) -> State:
        """The state of what a check found."""
        if one.check == verify.MARKERS:
            return self.of_markers(one.path)
        lines = [line[2:] for line in one.lines if line.startswith("- ")]
        if one.check == REMOVED and len(one.paths) == 1 and lines:
            return self.of_lines(one.path, lines)
        if self.tip and one.path.endswith(".py") and _DANGLING.search(one.what):
            return State.SAME if self._dangles(one) else State.DONE
        state = self.of_file(one.path) if len(one.paths) < 2 and one.path else State.SAME
        is_done = state is State.OPEN and self._imports(one, self.text(one.path))
        return State.DONE if is_done else state

    def _imports(self, one: Finding, text: str) -> bool:
        """Whether a version of a file has no use without an import, if a finding is about that."""
        if not (name := _NOT_IMPORTED.search(one.what)):
            return False
        ends = (self._merge.ours, self._merge.theirs)
        sides = [git.show(self._sh, self._fork.path, commit, one.path) or "" for commit in ends]
        return name[1] not in dict(gone.no_longer_imported(one.path, text, sides))

    def _dangles(self, one: Finding) -> bool:
        """Whether an import that a finding is about leads nowhere by now, either."""
        ends, texts = (self.tip, self._merge.ours, self._merge.theirs), dict[str, str | None]()
        found = (Committed(self._sh, self._fork.path, commit, texts) for commit in ends)
        now, *sides = imports.trees([*found])
        return any(one.what.endswith(what) for _, what in imports.dangling(one.path, now, sides))

    def of_filled(self, one: Unfilled) -> State:
        """The state of a directory that is to be filled: done if its record names what the manifest
        names, as far as one can read both."""
        state = self.of_file(f"{one.tree}/")
        is_done = state is State.OPEN and self._is_filled(one, self.tip)
        return State.DONE if is_done and not self._is_filled(one, self._merge.result) else state

    def _is_filled(self, one: Unfilled, commit: str) -> bool:
        if not one.manifest.endswith("go.mod"):
            return False
        names = [f"{commit}:{path}" for path in (one.manifest, f"{one.tree}/modules.txt")]
        manifest, record = git.contents(self._sh, self._fork.path, names)
        there = {(*line.split()[1:3],) for line in (record or "").split("\n") if line[:2] == "# "}
        return {*_required(manifest or "")} <= there

    def of_markers(self, path: str) -> State:
        """The state of a conflict that was committed with its markers."""
        state = self.of_file(path)
        if state is State.OPEN and not _MARKERS.search(self.text(path)):
            return State.DONE
        return state

    def of_file(self, path: str) -> State:
        """The state of a file, or of a directory, as a whole."""
        if not self.differs(path):
            return State.SAME
        return State.DELETED if self._is_gone(path) else State.OPEN

    def of_files(self, paths: Sequence[str]) -> State:
        """The state of files that a tool wrote together: done if most of them are others now."""
        changed = [path for path in paths if self.differs(path)]
        if not changed:
            return State.SAME
        if all(map(self._is_gone, paths)):
            return State.DELETED
        return State.DONE if 2 * len(changed) > len(paths) else State.OPEN

    # --- In words

    def read(self, paths: Iterable[str]) -> None:
        """Ask git once which commits changed some files."""
        self._asked = [path for path in dict.fromkeys(paths) if path and self.differs(path)]

    _asked: Sequence[str] = ()

    @cached_property
    def _log(self) -> Mapping[str, Sequence[Commit]]:
        """By path, the commits that changed it, oldest first."""
        if not self._asked:
            return {}
        words = ["git", "-C", str(self._fork.path), "-c", "core.quotePath=false", "log"]
        words += [
            "--no-show-signature",
            "--no-color",
            "--no-renames",
            "-c",
            "--reverse",
            "--date=short",
        ]
        words += [
            "--name-only",
            "--format=%x01%H%x02%ad%x02%s",
            f"{self._merge.result}..{self.tip}",
        ]
        words += ["--", *(f":(top,literal){path}" for path in self._asked)]
        found: dict[str, list[Commit]] = defaultdict(list)
        for part in git.checked(self._sh.read(words), "commits").out.split("\x01")[1:]:
            first, *paths = part.split("\n")
            commit = Commit(*first.split("\x02", 2))
            for path in filter(None, paths):
                above = [f"{path[:n]}/" for n, letter in enumerate(path) if letter == "/"]
                for place in (path, *above):
                    found[place].append(commit)
        return {path: [*dict.fromkeys(its)] for path, its in found.items()}

    @cached_property
    def _own(self) -> Sequence[commits.Entry]:
        """The commits that the production branch has since, without upstream's."""
        sh, fork, merge = self._sh, self._fork, self._merge
        known = lineage.upstream_heads(sh, fork, self.tip)
        return commits.log_of(sh, fork.path, self.tip, [merge.result, merge.theirs, *known])

    def said(
        self,
        path: str,
        state: State,
        missing: Sequence[str] = (),
        back: Sequence[str] = (),
        about: object = None,
    ) -> str:
        """The state of something about a file, as a sentence; "" if it is as it was.

        about: what it is, if it is not about lines.
        """
        known = self._log.get(path, ())
        # The fork's own commits first: those of upstream that came later are many.
        names = {entry.commit.name for entry in self._own} if known else ()
        own = [commit for commit in known if commit.name in names]
        others = [commit for commit in known[::-1] if commit.name not in names]
        newest = f" in {listed([*map(described, (*own, *others))], 2)}" * bool(known)
        last = f" in {described(known[-1])}" if known else ""
        if state is State.DELETED:
            return f"Deleted since{last}: nothing of this is left to do."
        if state is State.GONE:
            whose = ", a commit of upstream" * (last != "" and known[-1].name not in names)
            said = f"The file is deleted since{last}{whose}: look whether the fork's change is"
            return f"{said} still needed, in what replaced it."
        if state is State.DONE:
            first = self._first(path, [*own, *others[::-1]], missing, back, about)
            if path not in self._trees[1] and not first:
                return f"Changed since{newest}: most of these files are others now."
            return f"Done since in {described(first)}." if first else f"Done since{newest}."
        if state is not State.OPEN or not newest:
            return ""
        if _MARKERS.search(self.text(path)):
            return f"Changed since{newest}; the markers are still there."
        if not (missing or back):
            return f"Changed since{newest}."
        then, now = map(_counted, (self._then(path), self.text(path)))
        # Of a line that the result has elsewhere, one more says nothing.
        came = {x: then[x] == 0 < now[x] for x in map(str.strip, missing) if substantive(x)}
        went = {x: now[x] < then[x] for x in map(str.strip, back) if substantive(x)}
        parts = [*_part("missing", "back", came), *_part("back", "gone again", went)]
        return f"Changed since{newest}; {' and '.join(parts) or 'this is still so'}."

    def _first(
        self,
        path: str,
        known: Sequence[Commit],
        missing: Sequence[str],
        back: Sequence[str],
        about: object,
    ) -> Commit | None:
        """The first commit whose version of a file has what was missing."""
        is_known = missing or back or isinstance(about, Finding | Unfilled)
        for commit in known[:_MOST_READ] if is_known else ():
            if isinstance(about, Unfilled):
                is_done = self._is_filled(about, commit.name)
            else:
                text = git.show(self._sh, self._fork.path, commit.name, path) or ""
                is_done = _is_done(self._then(path), text, missing, back)
                is_done |= isinstance(about, Finding) and self._imports(about, text)
            if is_done:
                return commit
        return None

    @property
    def number(self) -> int:
        """How many of the files that were asked about they changed."""
        return len(self._log)

    @cached_property
    def holders(self) -> list[str]:
        """The tag and the remote branches that have a merge which production does not have
        here."""
        fork, merge = self._fork, self._merge
        if merge.landed or merge.request or not merge.result:
            return []
        # `git tag` walks the history once, `git for-each-ref` once for each ref.
        question = "tag --sort=creatordate --contains={result} --format={format}"
        names = {"result": merge.result, "format": "%(refname:lstrip=2)"}
        tag = git.ask(self._sh, fork.path, question, "tags", **names).line
        question = "for-each-ref --contains={result} --format={format} {where}"
        names["where"] = f"refs/remotes/{fork.policy.remotes.origin.name}"
        branches = git.ask(self._sh, fork.path, question, "branches", **names).out.split()
        found = [f"the branch {name}" for name in branches if not name.endswith("/HEAD")]
        return [f"the tag {tag}"] * bool(tag) + found

    @property
    def holding(self) -> str:
        """The first of them, in words."""
        return " and ".join(self.holders[:2])

    @property
    def is_released(self) -> bool:
        """Whether a tag has what production does not have here."""
        return any(name.startswith("the tag ") for name in self.holders)

    def to_merge(self, how: str) -> str:
        """What to do with a merge that has not landed, as a sentence."""
        fork = self._fork
        if self._merge.request:
            return f"Merge it {how}"
        if not fork.has_production:
            return f"If production does not have it yet, merge it {how}"
        name, remote = fork.policy.branches.production, fork.policy.remotes.origin.name
        if not self.holders:
            return f"{name} does not have it: merge it {how}"
        said = f"{name} does not have it here, but it is in {self.holding}: type git fetch"
        return f"{said} {remote}, and if {name} still does not have it then, merge it {how}"


_DANGLING = re.compile(r"\bimport .*: no such (module|name in the module)$")
_NOT_IMPORTED = re.compile(r":\d+ uses (\S+), which a side imports")


def _required(text: str) -> Iterator[tuple[str, ...]]:
    """What a go.mod requires: the modules with their versions."""
    inside = False
    for line in text.split("\n"):
        words = line.partition("//")[0].split()
        if words in (["require", "("], [")"]):
            inside = words != [")"]
        elif len(words) == 2 + (words[:1] == ["require"]) and (inside or words[0] == "require"):
            yield (*words[-2:],)


def _part(was: str, became: str, lines: Mapping[str, bool]) -> Iterator[str]:
    """How many of some lines are otherwise by now, and which, in words; nothing if none is."""
    if changed := [line for line, is_so in lines.items() if is_so]:
        of = f"of what is {was}, {len(changed)} of {counted(len(lines), 'line')}"
        verb = "came" if became == "back" else "is" if len(changed) == 1 else "are"
        named = listed([f"“{printable(line[:_MOST_SHOWN])}”" for line in changed], 2)
        yield f"{of} {verb} {became}: {named}"


def _counted(text: str) -> Counter[str]:
    return Counter(map(str.strip, text.split("\n")))


def _is_done(before: str, after: str, missing: Sequence[str], back: Sequence[str]) -> bool:
    """Whether a text has the lines that an older one lacked, and not those that were back in it."""
    then, now = _counted(before), _counted(after)
    asked = Counter(line.strip() for line in missing if substantive(line) or len(missing) < 2)
    gone = {line.strip() for line in back if substantive(line)}
    is_there = all(now[line] >= then[line] + number for line, number in asked.items())
    return is_there and bool(asked or gone) and all(now[line] < then[line] for line in gone)
