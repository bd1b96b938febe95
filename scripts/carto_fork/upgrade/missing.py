"""What the result of a merge lacks of either side's changes, and what brings it back."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..audit.fates import Fate
from ..audit.ledger import Entry
from ..fork.fork import Fork
from ..fork.policy import Side
from ..fork.session import command
from ..merge import languages
from ..merge.hunks import Commit
from ..run import git
from ..run.shell import Shell
from ..run.text import counted, listed, pathspec_word, printable
from . import marked
from .outcomes import MOST_COMMITS, Merge, Outcomes
from .sides import SAID, TONES, WORST, Sides

WHOSE = {Side.FORK: "the fork", Side.UPSTREAM: "upstream"}
_TREES = {Side.FORK: "ours", Side.UPSTREAM: "theirs"}
_MARKS = {
    "-": "lacks the lines with -",
    "~": "has those with ~ in another form",
    "+": "has the lines with + again, which {} removed",
    "=": "has those with = in their place, as far as that is certain",
}
"""What the marks of `marked.gone` say of the result."""
_ENDS = {Fate.LOST: "; nothing explains why.", Fate.SUPERSEDED: ". Was that meant?"}
_SEVERAL = 3
"""The same change in so many files is one item."""
_MOST_USES = 10


class Missing:
    """Changes that are lost, replaced or dropped.

    room: how much code the page may still show. pages: each side's repository on GitHub, or "".
    """

    def __init__(
        self,
        sh: Shell,
        fork: Fork,
        merge: Merge,
        sides: Sides,
        outcomes: Outcomes,
        room: marked.Room,
        pages: Mapping[Side, str],
    ) -> None:
        self._sh, self._repo, self._merge = sh, fork.path, merge
        self._sides, self._outcomes, self._room, self._pages = sides, outcomes, room, pages

    def items(self, entries: Sequence[Entry]) -> Iterator[dict[str, Any]]:
        """An item for the changes of a file of which the same became, or for the same change in
        several files; code and what is longest first."""
        of_files: dict[tuple[int, bool, str, str], list[Entry]] = defaultdict(list)
        for entry in entries:
            fate, upstreams = WORST.index(entry.account.fate), entry.side is Side.UPSTREAM
            of_files[fate, upstreams, entry.reason, entry.path].append(entry)
        alike: dict[object, list[list[Entry]]] = defaultdict(list)
        for key, of_file in of_files.items():
            alike[key[:3], _lines(of_file)].append(of_file)
        rows = [
            row
            for files in alike.values()
            for row in ([files] if len(files) >= _SEVERAL and _lines(files[0]) else zip(files))
        ]
        foreign = [e.path for e in entries if e.side is Side.UPSTREAM and not e.reason]
        newest = self._outcomes.newest_upstream(list(dict.fromkeys(foreign)))
        texts = self._texts(entries)
        for files in sorted(rows, key=_order):
            first, upstreams = files[0], files[0][0].side is Side.UPSTREAM
            if len(files) > 1:
                yield self._same(files, self._shown(first[:1], texts))
            else:
                lines, by = self._shown(first, texts), newest[first[0].path] if upstreams else []
                yield self._item(first, lines, by)

    def _texts(self, entries: Sequence[Entry]) -> Mapping[str, str]:
        trees = self._sides.trees
        there = {trees[_TREES[e.side]].get(e.path, ("", ""))[1] for e in entries}
        there |= {trees["result"].get(e.where, ("", ""))[1] for e in entries}
        return git.blobs(self._sh, self._repo, there - {""})

    def _shown(self, of_file: Sequence[Entry], texts: Mapping[str, str]) -> list[str]:
        """The changes of a file, with the lines around them."""
        trees = self._sides.trees

        def lines(side: str, path: str) -> list[str]:
            return texts.get(trees[side].get(path, ("", ""))[1], "").split("\n")

        side, whose = _TREES[of_file[0].side], f"{WHOSE[of_file[0].side]}'s file"
        return [
            line
            for entry in of_file
            for line in marked.gone(
                entry.account,
                lines(side, entry.path),
                lines("result", entry.path) if entry.where == entry.path else (),
                whose,
            )
        ]

    def _item(
        self, of_file: Sequence[Entry], lines: Sequence[str], newest: Sequence[Commit]
    ) -> dict[str, Any]:
        """The changes of a file of which the same became.

        newest: who changed the file last, if no commit is known to be behind them.
        """
        first, fate = of_file[0], of_file[0].account.fate
        path, side = first.path, first.side
        whats = ", ".join(dict.fromkeys(entry.what for entry in of_file if entry.what))
        what = f"{counted(len(of_file), 'change')} of {WHOSE[side]}" + f": {whats}" * bool(whats)
        reason = _said(lines, side, fate)
        places = {entry.where for entry in of_file} - {path, ""}
        are = "Such lines are" if fate is Fate.SUPERSEDED else "They are"
        reason += f" {are} in {listed(sorted(places))}." * bool(places)
        if path in self._outcomes.of:
            reason += f" Its conflict ended with: {self._outcomes.taken[path]}."
        if words := dict.fromkeys(word for entry in of_file for word in entry.account.words):
            reason += (
                f" Words that only {WHOSE[side]} had, and that are gone: {listed([*words], 12)}."
            )
        if fate is not Fate.DROPPED and side is Side.FORK:
            lines = [*lines, *self._used(path, [x for e in of_file for x in e.account.missing])]
        commands: list[str] = []
        if fate is not Fate.DROPPED:
            commands, whole = self._back(path, _TREES[side])
            if whole:
                reason += f" The first command merges all of {WHOSE[side]}'s changes to this file"
                reason += " into it once more, with conflicts where both sides changed the same."
        names = self._sides.commits
        ends = names[_TREES[side]], names["result"]
        commands.append(self._sides.diff(path, between=ends))
        if fate is Fate.LOST and self._merge.request:
            commands.append(command("carto-fork", "verify", drop=path, reason="WHY"))
        by = [*dict.fromkeys(c for entry in of_file for c in entry.commits)] or [*newest]
        return self._eye(first, path, what, reason, lines, by, commands)

    def _same(self, files: Sequence[Sequence[Entry]], lines: Sequence[str]) -> dict[str, Any]:
        """The same change, of which the same became in several files."""
        first, paths = files[0][0], [of_file[0].path for of_file in files]
        number = sum(map(len, files))
        what = f"{counted(number, 'change')} of {WHOSE[first.side]} in {len(files)} files:"
        what += f" the same lines, such as {printable(next(iter(_lines(files[0]))))}"
        reason = _said(lines, first.side, first.account.fate) + f" Shown is {printable(paths[0])}."
        lines = [*lines, "", *(f"{len(of_file)} in {of_file[0].path}" for of_file in files)]
        names = self._sides.commits
        ends = names[_TREES[first.side]], names["result"]
        by = [*dict.fromkeys(c for of_file in files for e in of_file for c in e.commits)]
        commands = [self._sides.diff(*paths, between=ends)]
        return self._eye(first, "", what, reason, lines, by, commands)

    def _eye(
        self,
        first: Entry,
        path: str,
        what: str,
        reason: str,
        lines: Sequence[str],
        by: Sequence[Commit],
        commands: Sequence[str],
    ) -> dict[str, Any]:
        label = SAID[first.account.fate]
        return eye(
            path,
            what,
            label,
            TONES.get(label, ""),
            fate=f"{label}|{WHOSE[first.side]}'s changes",
            reason=" ".join([reason, first.reason]).strip(),
            lines=self._room.fits(lines),
            commits=by[:MOST_COMMITS],
            more=len(by) - MOST_COMMITS,
            page=self._pages[first.side],
            commands=commands,
        )

    def _used(self, path: str, missing: Sequence[str]) -> Iterator[str]:
        """The lines of the fork that still have names which missing lines defined."""
        text = self._outcomes.text_of(path)
        names = {x for x in marked.defined(missing) if not re.search(rf"\b{x}\b", text)}
        for name, at in self._sides.uses(names).items():
            yield f"@@ {name} is gone, and lines of the fork in the result still name it:"
            yield from (f"  {place}" for place in at[:_MOST_USES])
            if (more := len(at) - _MOST_USES) > 0:
                yield f"  and {more} more"

    def _back(self, path: str, side: str) -> tuple[list[str], bool]:
        """The command that brings a side's changes to a file back into the result, and whether it
        merges the whole file again."""
        trees, names = self._sides.trees, self._sides.commits
        if path not in trees[side]:
            return [f"git rm -- {pathspec_word(path)}"], False
        if path not in trees["result"]:
            return [f"git checkout {names[side][:10]} -- {pathspec_word(path)}"], False
        again = self._sides.diff(path, between=(names["base"], names[side]))
        return [f"{again} | git apply --3way"], True


def _said(lines: Sequence[str], side: Side, fate: Fate) -> str:
    """What marked lines say of the result."""
    signs = {line[:1] for line in lines}
    states = [said.format(WHOSE[side]) for sign, said in _MARKS.items() if sign in signs]
    if not states:
        return ""
    said = f"The result {', '.join(states)}{_ENDS.get(fate, '.')}"
    around = any(line.startswith("  ") for line in lines)
    return said + f" Lines without a mark are those around them in {WHOSE[side]}'s file." * around


def _lines(of_file: Sequence[Entry]) -> frozenset[str]:
    """The different lines that are missing from a file, or back in it."""
    lines = (line for e in of_file for line in (*e.account.missing, *e.account.back))
    return frozenset(filter(None, map(str.strip, lines)))


def _order(files: Sequence[Sequence[Entry]]) -> tuple[int, bool, int, int, str]:
    """The worst first, the fork's before upstream's, code first, and what is longest."""
    first, size = files[0][0], sum(len(e.account.missing) for of_file in files for e in of_file)
    fate, upstreams = WORST.index(first.account.fate), first.side is Side.UPSTREAM
    return fate, upstreams, _rank(first.path) + (len(files) > 1), -size, first.path


def _rank(path: str) -> int:
    """Code first, then what tests it, then the rest."""
    language = languages.language_of(path)
    code = bool(language and not language.maps)
    return (1 if re.search(r"(^|[/_.])tests?([/_.]|$)", path) else 0) if code else 2


def eye(path: str, what: str, label: str, kind: str, **more: Any) -> dict[str, Any]:
    """An item of what needs eyes. kind: its tone."""
    one: dict[str, Any] = {"reason": "", "lines": (), "commits": (), "page": "", "commands": ()}
    one |= {"more": 0}
    return one | {"path": path, "what": what, "label": label, "kind": kind, "fate": label} | more
