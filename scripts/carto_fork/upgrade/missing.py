"""What the result of a merge lacks of either side's changes, and what brings it back."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import PurePosixPath
from typing import Any

from ..audit import older
from ..audit.alike import Index
from ..audit.fates import Fate
from ..audit.findings import described
from ..audit.ledger import Entry
from ..fork import generated
from ..fork.fork import Fork
from ..fork.policy import Side
from ..fork.session import command
from ..merge import commits
from ..merge.hunks import Commit
from ..run import git
from ..run.shell import Shell
from ..run.text import counted, listed, pathspec_word, printable, substantive
from . import effects, lacks, marked
from .effects import Effect
from .outcomes import DECIDED, MOST_COMMITS, Merge, Outcomes
from .sides import MADE, OTHER, SAID, TONES, WHOSE, WORST, Sides
from .since import Since, State

_TREES = {Side.FORK: "ours", Side.UPSTREAM: "theirs"}
_MARKS = {
    "-": "lacks the lines with -",
    "/": "lacks the lines with / beside its change",
    "~": "has the lines with ~ in another form",
    "+": "has the lines with + again, which {} removed",
    "*": "has the lines with *, which {other} made of what {} removed",
    "=": "has the lines with = where they were",
}
"""What the marks of `lacks.lines` say of the result."""
_ENDS = {
    Fate.LOST: "; no rule and nobody's word explains why.",
    Fate.SUPERSEDED: ". Was that meant?",
}
_OWN = "upstream's own"
"""What became of lines on the fork's side that upstream wrote, and has redone since."""
_SEVERAL = 3
"""The same change in so many files is one item; so many lines are not elsewhere by chance."""
_MOST_USES = 10
_MOST_NAMES = 40
_LONGEST_PATCH = 20_000
_MOVED = (Effect.BREAKS, Effect.CODE, Effect.SETTINGS)
"""What is about these is looked for in other files."""
_VARIABLE = re.compile(r"\s*([$@][\w-]{4,}|--[\w-]{4,})\s*:.*;?\s*$")
"""A line of a style sheet that only defines a variable."""
_STYLES = re.compile(r"^\.(p|post|s)?css$|^\.(sass|less|styl)$")
_PLAIN = re.compile(r"[\w./@+-]+")
"""Paths that a patch names as they are."""


class Missing:
    """Changes that are lost, replaced or dropped.

    room: how much code the page may still show. pages: each side's repository on GitHub, or "".
    since: what later commits made of them.
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
        since: Since,
    ) -> None:
        self._since = since
        self._sh, self._repo, self._merge = sh, fork.path, merge
        self._sides, self._outcomes, self._room, self._pages = sides, outcomes, room, pages
        self._patched: set[tuple[Side, str]] = set()
        self._named: set[str] = set()

    def items(self, entries: Sequence[Entry]) -> Iterator[dict[str, Any]]:
        """An item for the changes of a file of which the same became, or for the same change in
        several files; what matters most comes first."""
        of_files: dict[tuple[int, bool, str, str], list[Entry]] = defaultdict(list)
        for entry in entries:
            fate, upstreams = WORST.index(entry.account.fate), entry.side is Side.UPSTREAM
            of_files[fate, upstreams, entry.reason, entry.path].append(entry)
        alike: dict[object, list[list[Entry]]] = defaultdict(list)
        for key, of_file in of_files.items():
            # What is settled says by which commit, each for itself.
            by_itself = of_file[0].path * self._since.of_change(of_file).is_settled
            alike[key[:3], _lines(of_file), by_itself].append(of_file)
        rows = [
            row
            for files in alike.values()
            for row in ([files] if len(files) >= _SEVERAL and _lines(files[0]) else zip(files))
        ]
        texts, used = self._texts(entries), self._used(rows)
        self._named = self._names(of_files.values())
        together: dict[tuple[Side, str], list[Entry]] = defaultdict(list)
        for entry in entries:
            is_done = self._since.of_change([entry]).is_settled
            if entry.account.fate is not Fate.DROPPED and not is_done:
                together[entry.side, entry.path].append(entry)
        self._sides.expect_undone((entry.path, entry.side) for entry in entries)
        ranked = [(self._effect(files, used), files) for files in rows]
        for effect, files in sorted(ranked, key=lambda row: order(*row)):
            lines = self._shown(files[0][:1] if len(files) > 1 else files[0], texts)
            if len(files) > 1:
                yield self._same(files, lines, effect)
            else:
                known = _said_of_used(used.get(files[0][0].path, {}), files[0])
                # What is missing from a file belongs together, such as an import and its use.
                every = together.pop((files[0][0].side, files[0][0].path), [])
                about = (files[0][0].side, files[0][0].path)
                patch = self._patch(every, texts) if every else ()
                self._patched |= {about} if patch else set()
                yield self._item(files[0], lines, effect, known, patch)

    def _used(self, rows: Iterable[Sequence[Sequence[Entry]]]) -> dict[str, dict[str, list[str]]]:
        """By file and name, the lines that still have the names which missing lines defined."""
        gone: dict[str, set[str]] = {}
        for of_file in (of_file for files in rows for of_file in files):
            if of_file[0].account.fate is not Fate.DROPPED:
                path = of_file[0].path
                lines = (line for entry in of_file for line in entry.account.missing)
                if names := effects.defined(lines):
                    text = self._outcomes.text_of(path)
                    gone.setdefault(path, set()).update(
                        name for name in names if not re.search(rf"\b{name}\b", text)
                    )
        few = dict(islice(((path, names) for path, names in gone.items() if names), _MOST_NAMES))
        return self._sides.uses(few)

    def _breaks(self, used: Mapping[str, Sequence[str]], of_file: Sequence[Entry]) -> bool:
        """Whether names that missing lines of a row defined are still gone, and used, by now."""
        since, path = self._since, of_file[0].path
        names = effects.defined(x for entry in of_file for x in entry.account.missing)
        for name in names & used.keys():
            word = re.compile(rf"\b{re.escape(name)}\b")
            there = since.differs(path) and word.search(since.text(path))
            places = dict.fromkeys(place.partition(":")[0] for place in used[name])
            if not there and any(
                not since.differs(p) or word.search(since.text(p)) for p in places
            ):
                return True
        return False

    def _effect(
        self, files: Sequence[Sequence[Entry]], used: Mapping[str, Mapping[str, Sequence[str]]]
    ) -> Effect:
        """What the changes of a row are about."""
        if any(self._breaks(used.get(of_file[0].path, {}), of_file) for of_file in files):
            return Effect.BREAKS
        found = [
            effects.of_lines(entry.path, (*entry.account.missing, *entry.account.back))
            for of_file in files
            for entry in of_file
        ]
        return min(found, key=effects.ORDER.index)

    def _texts(self, entries: Sequence[Entry]) -> Mapping[str, str]:
        trees = self._sides.trees
        there = {trees[_TREES[e.side]].get(e.path, ("", ""))[1] for e in entries}
        there |= {trees["result"].get(p, ("", ""))[1] for e in entries for p in (e.where, e.path)}
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
            for line in lacks.lines(
                entry.account,
                lines(side, entry.path),
                lines("result", entry.path),
                whose,
                lines("result", entry.where) if entry.where != entry.path else (),
            )
        ]

    def _item(
        self,
        of_file: Sequence[Entry],
        lines: Sequence[str],
        effect: Effect,
        used: Sequence[str],
        patch: Sequence[tuple[str, str]],
    ) -> dict[str, Any]:
        """The changes of a file of which the same became.

        used: the lines that still have names which are gone. patch: the command that brings changes
        back, if there is one.
        """
        first, fate = of_file[0], of_file[0].account.fate
        path, side = first.path, first.side
        whats = ", ".join(dict.fromkeys(entry.what for entry in of_file if entry.what))
        what = f"{counted(len(of_file), 'change')} {_whose(first)}" + f": {whats}" * bool(whats)
        missing = [x for e in of_file for x in (*e.account.missing, *e.account.back)]
        rules = self._outcomes.decided_by(path, side, missing)
        settled = self._outcomes.settled_by(path)
        reason = _said(lines, side, fate, effect, rules, settled)
        what += _share(of_file) * (fate is Fate.LOST)
        if used:
            will = "It will not build, or fails when it runs: what is gone is named."
            was = "The result does not build, or fails when it runs: what is gone is named. By now"
            was += " it is there again, or no longer named."
            reason = f"{will if effect is Effect.BREAKS else was} {reason}"
        there = [line[2:] for line in lines if line[:2] in ("/ ", "+ ", "* ", "= ")]
        if side is Side.FORK and (who := self._outcomes.wrote(path, there)[:1]):
            reason += f" Upstream changed this place in {described(who[0])}"
            went = self._went(who[0], path, there) if effect in _MOVED else ""
            reason += (
                f", and moved it to {went}: see whether this is missing there." if went else "."
            )
        places = {entry.where for entry in of_file} - {path, ""}
        are = "Such lines are" if fate is Fate.SUPERSEDED else "They are"
        are = f"{are} in" if fate is not Fate.DROPPED else "In the result, this file is"
        reason += f" {are} {listed(sorted(places))}." * bool(places)
        if path in self._outcomes.of:
            ended = f"Its conflict ended with: {self._outcomes.taken[path]}."
            reason = " ".join(filter(None, (reason, ended, self._outcomes.otherwise(path))))
        words = dict.fromkeys(word for entry in of_file for word in entry.account.words)
        if words and effect is not Effect.VERSION:
            reason += (
                f" Words that only {WHOSE[side]} had, and that are gone: {listed([*words], 12)}."
            )
        names = self._sides.commits
        commands: list[str | tuple[str, str]] = []
        if path in self._outcomes.left and self._merge.request:
            commands = [*self._outcomes.words_about(self._outcomes.decisions[path].conflict)]
        elif fate is not Fate.DROPPED and effect is not Effect.VERSION:
            said, commands = self._way_back(of_file, patch)
            reason += said
        commands.append(self._sides.diff(path, between=(names[_TREES[side]], names["result"])))
        if fate is Fate.LOST and self._merge.request:
            commands.append(command("carto-fork", "verify", drop=path, reason="WHY"))
        by, said = self._wrote(of_file, missing, effect)
        reason += said
        return self._eye(first, path, what, reason, [*used, *lines], by, commands, effect, of_file)

    def _wrote(
        self, of_file: Sequence[Entry], missing: Sequence[str], effect: Effect
    ) -> tuple[Sequence[Commit], str]:
        """The commits that wrote the changes of a file; if no commit of the fork did, with a
        sentence that says who."""
        first = of_file[0]
        if first.side is Side.UPSTREAM:
            return self._outcomes.upstreams(first.path, missing), ""
        if effect is Effect.VERSION:
            return [], ""
        by = [*dict.fromkeys(c for entry in of_file for c in entry.commits)]
        by.sort(key=lambda x: (x.name in self._sides.own.bringing, effects.is_housekeeping(x)))
        if by or not first.account.change.line or older.is_upstreams(first):
            return by, ""
        numbers = [n for entry in of_file for n in entry.account.missing_at]
        said = self._sides.origin(first.path, numbers)
        return by, f" {said or 'No commit of the fork wrote this: a merge brought it.'}"

    def _way_back(
        self, of_file: Sequence[Entry], patch: Sequence[tuple[str, str]]
    ) -> tuple[str, list[str | tuple[str, str]]]:
        """How the changes of a file are brought back, as a sentence, and by which commands."""
        path, side = of_file[0].path, of_file[0].side
        state = self._since.of_change(of_file)
        if state.is_settled or state is State.GONE:
            return "", []
        if unused := self._unused(of_file):
            return f" Nothing in the result uses {unused}: to bring it back changes nothing.", []
        if orphan := self._orphan(path):
            return f" Nothing in the result names {orphan}: to bring it back changes nothing.", []
        if line := generated.heading(self._outcomes.text_of(path)):
            said = f" A tool writes this file, and says in it “{line}”: bring back what it is made"
            return f"{said} from, and run the tool again, instead of editing the file.", []
        whole = [] if self._since.differs(path) else self._back(path, side)
        if commands := [*(patch or whole)]:
            return "", commands
        if (side, path) in self._patched:
            return " The patch in this file's other row has what of this can be patched.", []
        return " No patch fits: to bring it back, edit the file.", []

    def _unused(self, of_file: Sequence[Entry]) -> str:
        """The variables of style sheets that missing lines define, if that is all they do, and if
        the result does not name them; else ""."""
        found = _variables(of_file)
        return listed(found) if found and self._named.isdisjoint(found) else ""

    def _orphan(self, path: str) -> str:
        """The name of a style sheet that the result lacks, and that nothing in it names; else
        ""."""
        return stem if (stem := self._stem(path)) not in self._named else ""

    def _stem(self, path: str) -> str:
        """By what others name a style sheet that the result lacks; "" if it is not one."""
        name = PurePosixPath(path)
        lacks_it = path not in self._sides.trees["result"] and _STYLES.search(name.suffix)
        return name.stem.lstrip("_") if lacks_it else ""

    def _names(self, files: Iterable[Sequence[Entry]]) -> set[str]:
        """The variables and the names of style sheets among what is missing that the result
        names."""
        read = [*files]
        variables = {name for of_file in read for name in _variables(of_file)}
        stems = {self._stem(of_file[0].path) for of_file in read} - {""}

        def named(names: Set[str], *how: str) -> set[str]:
            if not names:
                return set()
            words = ["git", "-C", str(self._repo), "grep", "-I", "-h", "-o", "-F", "--no-color"]
            words += [*how, *(word for name in sorted(names) for word in ("-e", name))]
            answer = self._sh.read([*words, self._sides.commits["result"], "--"])
            return {*git.checked(answer, "names", 1).out.splitlines()}

        with ThreadPoolExecutor(max_workers=1) as pool:
            found = pool.submit(named, variables, "-w")
            return named(stems) | found.result()

    def _went(self, commit: Commit, path: str, lines: Iterable[str]) -> str:
        """The file to which a commit of upstream moved the place in a file where some lines were,
        perhaps rewritten; "" if it did not."""
        versions = commits.between(self._sh, self._repo, f"{commit.name}^", commit.name)
        suffix = PurePosixPath(path).suffix
        names = [name for name in versions if PurePosixPath(name).suffix == suffix]
        if path not in versions or not 1 < len(names) <= _MOST_NAMES:
            return ""
        made = commits.changes(self._sh, self._repo, [versions[name] for name in names])
        telling = {line.strip() for line in lines if substantive(line)}
        changed = made.get(versions[path], ())
        # What is there in another form did not go anywhere.
        here = Index(line.strip() for change in changed for line in change.added)
        gone = [
            line.strip()
            for change in changed
            if telling & {*map(str.strip, change.removed)}
            for line in change.removed
            if substantive(line) and not here.like(line.strip())
        ]
        texts = git.blobs(self._sh, self._repo, {versions[name][0] or "" for name in names} - {""})
        found: dict[str, int] = {}
        for name in names if gone else ():
            added = (line for change in made.get(versions[name], ()) for line in change.added)
            before = texts.get(versions[name][0] or "", "").split("\n")
            there, had = Index(map(str.strip, added)), Index(map(str.strip, before))
            new = (line for line in gone if there.like(line) and not had.like(line))
            found[name] = sum(1 for _ in new) * (name != path)
        best = max(found, key=lambda name: found[name], default="")
        return best if best and found[best] >= max(_SEVERAL, len(gone) / 3) else ""

    def _same(
        self, files: Sequence[Sequence[Entry]], lines: Sequence[str], effect: Effect
    ) -> dict[str, Any]:
        """The same change, of which the same became in several files."""
        first, paths = files[0][0], [of_file[0].path for of_file in files]
        number = sum(map(len, files))
        what = f"{counted(number, 'change')} {_whose(first)} in {len(files)} files:"
        what += f" the same lines, such as {printable(min(_lines(files[0])))}"
        reason = _said(lines, first.side, first.account.fate, effect)
        reason += f" Shown is {printable(paths[0])}."
        lines = [*lines, "", *(f"{len(of_file)} in {of_file[0].path}" for of_file in files)]
        names = self._sides.commits
        ends = names[_TREES[first.side]], names["result"]
        by = [*dict.fromkeys(c for of_file in files for e in of_file for c in e.commits)]
        commands = [self._sides.diff(*paths, between=ends)]
        return self._eye(first, "", what, reason, lines, by, commands, effect)

    def _eye(
        self,
        first: Entry,
        path: str,
        what: str,
        reason: str,
        lines: Sequence[str],
        by: Sequence[Commit],
        commands: Sequence[str | tuple[str, str]],
        effect: Effect,
        of_file: Sequence[Entry] = (),
    ) -> dict[str, Any]:
        label = MADE if first.files else SAID[first.account.fate]
        label = _OWN if older.is_upstreams(first) else label
        return eye(
            path,
            what,
            label,
            TONES.get(label, ""),
            fate=f"{label}|{WHOSE[first.side]}'s changes",
            reason=f"{reason} {self._why(first)}".strip(),
            lines=self._room.fits(lines),
            commits=by[:MOST_COMMITS],
            more=len(by) - MOST_COMMITS,
            page=self._pages[first.side],
            commands=commands,
            effect=effect,
            about=of_file,
        )

    def _why(self, entry: Entry) -> str:
        """Why a change was dropped, as a sentence; in a conflict, what decided that."""
        decision = self._outcomes.decisions.get(entry.path)
        if not entry.reason or not decision or self._outcomes.of[entry.path] != DECIDED:
            return f"Why: {entry.reason}" * bool(entry.reason)
        decided = f"“{decision.rule}”: {decision.why}"
        return f"Why: {decided if decision.whole and decision.rule else entry.reason}"

    def _patch(
        self, of_file: Sequence[Entry], texts: Mapping[str, str]
    ) -> Sequence[tuple[str, str]]:
        """The command that brings those changes back into the result whose place is certain, with
        its name; nothing if no place is certain."""
        first, trees = of_file[0], self._sides.trees
        path, side = first.path, _TREES[first.side]
        now, was = (texts.get(trees[x].get(path, ("", ""))[1], "") for x in ("result", side))
        now = self._since.text(path) if self._since.differs(path) else now
        if not (_PLAIN.fullmatch(path) and now.endswith("\n")):
            return ()
        sides = (was.split("\n")[:-1], now.split("\n")[:-1])
        made = lacks.patch(path, [entry.account for entry in of_file], *sides)
        plain = made.text.replace("\t", "").replace("\n", "").isprintable()
        if not made.text or not plain or len(made.text) > _LONGEST_PATCH or "EOF" in made.text:
            return ()
        # Without what is lost, the rest, such as an import, helps nobody.
        if any(account.fate is Fate.LOST for account in made.without):
            return ()
        number, every = len(of_file) - len(made.without), len(of_file)
        what = "it" if every == 1 else f"{number} of {every} changes to this file"
        tip = self._since.tip[:10]
        onto = f", made for production as it is now ({tip})" * self._since.differs(path)
        return [(f"the patch that brings {what} back{onto}", f"git apply <<'EOF'\n{made.text}EOF")]

    def _back(self, path: str, side: Side) -> list[str]:
        """The command that takes a side's whole file into the result, if that undoes nothing of the
        other side."""
        trees, name = self._sides.trees, _TREES[side]
        if path not in trees[name]:
            return [f"git rm -- {pathspec_word(path)}"]
        if path in trees["result"] and self._sides.undone(path, side):
            return []
        return [f"git checkout {self._sides.commits[name][:10]} -- {pathspec_word(path)}"]


def _whose(entry: Entry) -> str:
    return f"of {'upstream' if older.is_upstreams(entry) else WHOSE[entry.side]}"


def _share(of_file: Sequence[Entry]) -> str:
    """How much of some changes is missing, if not all, as the end of a sentence."""
    added = [line for e in of_file for line in e.account.change.added if substantive(line)]
    nowhere = [x for e in of_file for x in e.account.traceless if x in e.account.change.added]
    part = 0 < len(nowhere) < len(added)
    return f", of which {len(nowhere)} of {len(added)} lines are missing" * part


def _said_of_used(used: Mapping[str, Sequence[str]], of_file: Sequence[Entry]) -> list[str]:
    """The lines that still have names which the missing lines of a row defined."""
    gone = effects.defined(line for entry in of_file for line in entry.account.missing)
    said: list[str] = []
    for name in sorted(gone & used.keys()):
        said += [f"@@ {name} is gone, and the result still names it:"]
        said += [f"  {place}" for place in used[name][:_MOST_USES]]
        more = len(used[name]) - _MOST_USES
        said += [f"  and {more} more"] * (more > 0)
    return said


def _said(
    lines: Sequence[str],
    side: Side,
    fate: Fate,
    effect: Effect,
    rules: Sequence[str] = (),
    settled: str = "",
) -> str:
    """What marked lines say of the result.

    rules: those that decided hunks of the conflict with these lines. settled: who resolved the
        conflict, if a person did.
    """
    signs = {line[:1] for line in lines}
    other = WHOSE[OTHER[side]]
    states = [
        said.format(WHOSE[side], other=other) for sign, said in _MARKS.items() if sign in signs
    ]
    if not states:
        return ""
    end = _ENDS.get(fate, ".")
    if settled and fate in _ENDS:
        end = f". A person resolved this conflict: {settled}. Ask them whether that was meant."
    if rules:
        named = " and ".join(f"“{rule}”" for rule in rules)
        end = f". In the conflict, the {'rules' if len(rules) > 1 else 'rule'} {named} decided it."
    if effect is Effect.VERSION and fate is Fate.SUPERSEDED:
        end = ". They only state a version, and each release states its own."
    *first, last = states
    return f"The result {', '.join(first)}{' and ' * bool(first)}{last}{end}"


def _lines(of_file: Sequence[Entry]) -> frozenset[str]:
    """The different lines that are missing from a file, or back in it."""
    lines = (line for e in of_file for line in (*e.account.missing, *e.account.back))
    return frozenset(filter(None, map(str.strip, lines)))


def order(
    effect: Effect, files: Sequence[Sequence[Entry]]
) -> tuple[bool, bool, bool, int, int, bool, int, str]:
    """What is explained last; what breaks something first, then what is lost before what was
    replaced, unless it is only about looks or words; then by what it is about, the fork's before
    upstream's, and what is longest."""
    first, size = files[0][0], sum(len(e.account.missing) for of_file in files for e in of_file)
    fate, upstreams = first.account.fate, first.side is Side.UPSTREAM
    rank = effects.ORDER.index(effect)
    minor = rank >= effects.ORDER.index(Effect.LAYOUT)
    worse = WORST.index(fate)
    weight = (rank, worse) if minor else (worse, rank)
    breaks = effect is not Effect.BREAKS
    return fate is Fate.DROPPED, breaks, minor, *weight, upstreams, -size, first.path


def eye(path: str, what: str, label: str, kind: str, **more: Any) -> dict[str, Any]:
    """An item of what needs eyes. kind: its tone."""
    one: dict[str, Any] = {"reason": "", "lines": (), "commits": (), "page": "", "commands": ()}
    one |= {"more": 0, "effect": None, "about": (), "settled": False}
    return one | {"path": path, "what": what, "label": label, "kind": kind, "fate": label} | more


def _variables(of_file: Sequence[Entry]) -> list[str]:
    """The variables of style sheets that missing lines define, if that is all they do."""
    lines = [x for entry in of_file for x in entry.account.missing if substantive(x)]
    found = [match[1] for line in lines if (match := _VARIABLE.match(line))]
    is_all = len(found) == len(lines) and not any(entry.account.back for entry in of_file)
    return found if is_all else []
