"""What a result lacks of a change: its lines, each with what became of it, and the patch that
brings it back. Pure."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ..audit.alike import Index, squeezed, words_of
from ..audit.fates import Account
from ..merge.hunks import Texts
from ..run.text import substantive
from .marked import CONTEXT, LONGEST_FILE, NEAR

LEGEND = {
    "-": "its change, which the result lacks",
    "~": "its change, which the result has in another form",
    ">": "the line of the result that is the most like the one above it",
    "/": "beside it, and the result lacks it, too",
    "+": "was removed by that side, and the result has it again",
    "*": "the other side's line in place of what that side removed",
    "=": "the result has it in place of what is gone, as far as that is certain",
    " ": "the result has such a line, perhaps elsewhere",
}
"""The marks of `lines`, and what they say of the result."""


def lines(
    account: Account,
    side: Sequence[str],
    result: Sequence[str] | None,
    name: str,
    elsewhere: Sequence[str] = (),
) -> list[str]:
    """What became of a change as lines of a patch, with the lines around it; see `LEGEND`. A line
    without a mark is in the result.

    side, result: the lines of its file there; None if the result's are not known. name: whose file
        it is, for the line number. elsewhere: the lines of another file that has some of it.
    """
    change = account.change
    if not (change.added or change.removed or account.back):
        return []  # it is not about lines
    start = change.line - 1 if change.added else change.line
    above = [*side[max(0, start - CONTEXT) : start]]
    below = [*side[start + len(change.added) :][:CONTEXT]]
    now = None if result is None else _Now(side, [*result, *elsewhere])
    marks = _marks(account, now)
    shown = [f"@@ line {max(1, change.line)} of {name}"] if side or change.line else []
    shown += _around(above, now)
    for n, (mark, line) in enumerate(zip(marks, change.added, strict=True)):
        if {*marks[max(0, n - CONTEXT) : n + CONTEXT + 1]} - {" "}:
            shown.append(f"{mark} {line}")
            form = now.form(line) if now and mark == "~" else ""
            shown += [f"> {form}"] * bool(form)
        elif shown[-1] != "  …":
            shown.append("  …")
    again = account.again
    shown += [f"{'+' if line in again else '*'} {line}" for line in account.back]
    instead = _instead(result or (), above, below) if account.missing else ()
    if {*instead}.isdisjoint(account.missing):
        forms = {line[2:] for line in shown if line.startswith("> ")}
        shown += [f"= {line}" for line in instead if line not in account.back and line not in forms]
    return shown + _around(below, now)


class _Now:
    """The lines of a result."""

    def __init__(self, side: Sequence[str], result: Sequence[str]) -> None:
        self.there = {line.strip() for line in (*result, "")}
        known = {line.strip() for line in side}
        new = [line for line in result if line.strip() and line.strip() not in known]
        self._whole = {line.strip(): line for line in new}
        self._new, self._squeezed = Index(self._whole), squeezed(result)

    def form(self, line: str) -> str:
        """The line that a line became, of which it is known that it is there; "" if nothing shows
        it for certain."""
        from rapidfuzz import fuzz, process  # slow to import

        asked, lines_ = line.strip(), [*self._whole]
        near = process.extractOne(asked, lines_, scorer=fuzz.ratio, score_cutoff=_LIKE)
        return self._whole[near[0]] if near and _is_one(asked, *near[:2]) else ""

    def has_form_of(self, line: str) -> bool:
        """Whether there is a line in another form."""
        return bool(self._new.like(line.strip())) or squeezed([line]) in self._squeezed


def _is_one(line: str, other: str, similar: float) -> bool:
    """Whether a line is another one's new form, and not only like it."""
    keys = [match[0].strip() if match else "" for match in map(_KEY.match, (line, other))]
    if all(keys) and keys[0] != keys[1]:
        return False
    words, there = ({*words_of(x)} for x in (line, other))
    shared, fewest = len(words & there), min(len(words), len(there))
    if shared >= _FEWEST and 3 * shared > 2 * fewest:
        return True
    is_assigned = bool(keys[0]) and line[len(keys[0]) :].startswith(" = ")
    return (is_assigned and similar >= _SURE) or squeezed([line]) == squeezed([other])


def _around(lines_: Sequence[str], now: _Now | None) -> list[str]:
    return [f"{' ' if now is None or x.strip() in now.there else '/'} {x}" for x in lines_]


def _marks(account: Account, now: _Now | None) -> list[str]:
    """The mark of each line that a change added; a line that says little has that of the one before
    it, else of the one behind it."""
    left, found = Counter(account.missing), list[str]()
    for line in account.change.added:
        if left[line] > 0:
            left[line] -= 1
            telling = substantive(line) or line in account.traceless
            mark = "~" if account.is_traced(line) else "-" if telling else "?"
        elif now is None or line.strip() in now.there:
            mark = " "
        else:
            mark = "~" if now.has_form_of(line) else "/"
        found.append(mark)
    for order in (range(len(found)), range(len(found) - 1, -1, -1)):
        near = ""
        for n in order:
            near = found[n] if found[n] in "-~" else near
            found[n] = near or "?" if found[n] == "?" else found[n]
    return ["-" if mark == "?" else mark for mark in found]


_TELLING = 20
"""A line of so many characters is not there twice by chance."""
_FEWEST = 3
"""So many words are not in two lines by chance."""
_LIKE = 60
"""Similarity (100 is equal) from which a line may be another one's new form, if one is known to be
there."""
_KEY = re.compile(r"[\w$.-]+\s*(?=[:=])")
"""What a line gives a value."""
_SURE = 75
"""Similarity from which a value is another value of the same thing."""
_STATEMENT = re.compile(r"[;)]$")
"""How a line ends that does something by itself in most languages."""


def doubled(texts: Texts, result: str) -> dict[str, list[int]]:
    """The lines that each side has, and the result more often than any side and both together
    explain, with their numbers."""
    versions = (texts.base or "", texts.ours or "", texts.theirs or "", result)
    split = [[line.strip() for line in text.split("\n")] for text in versions]
    base, ours, theirs, now = map(Counter, split)
    found = [
        line
        for line, number in now.items()
        if number > max(ours[line], theirs[line], ours[line] + theirs[line] - base[line])
        if ours[line] == 1 == theirs[line] and len(line) >= _TELLING and substantive(line)
    ]
    if len(found) == 1 and not _STATEMENT.search(found[0]):
        return {}
    return {line: [n for n, x in enumerate(split[3], 1) if x == line] for line in found}


@dataclass(frozen=True)
class Patch:
    """A patch, "" if nothing can be brought back, and the changes that it does not bring back."""

    text: str
    without: Sequence[Account]


def patch(path: str, accounts: Sequence[Account], side: Sequence[str], now: Sequence[str]) -> Patch:
    """What brings changes back into a file of the result, of those whose place in it is certain:
    the lines next to them are there, one after the other, but for blank ones.

    side, now: the lines of the file on the side of the changes, and in the result.
    """
    if max(len(side), len(now)) > LONGEST_FILE // 4:
        return Patch("", accounts)
    before, edits = _undone(accounts, side)
    at = [number for number, line in enumerate(now) if line.strip()]
    telling = [now[number] for number in at]
    blocks = difflib.SequenceMatcher(None, before, telling, autojunk=False).get_matching_blocks()
    places: list[tuple[int, int, Sequence[str]]] = []
    without: list[Account] = []
    for account, of_change in edits:
        found = [_placed(edit, before, telling, blocks) for edit in of_change]
        if not found or not all(found):
            without.append(account)
            continue
        for place, edit in zip(found, of_change, strict=True):
            start, end = at[place - 1] + 1, at[place - 1] + 1
            if edit.back:
                start, end = at[place], at[place + edit.back - 1] + 1
            while not edit.back and edit.gap and start < at[place] and not now[start].strip():
                start = end = start + 1
            places.append((start, end, edit.lines))
    made = [*now]
    for start, end, new in sorted(places, reverse=True):
        made[start:end] = new
    ends = (f"a/{path}", f"b/{path}")
    text = difflib.unified_diff([*now], made, *ends, lineterm="") if places else ()
    return Patch("".join(f"{line}\n" for line in text), without)


@dataclass(frozen=True)
class _Edit:
    """Lines to bring back.

    place: how many lines, but for blank ones, are before them. back: how many lines go. gap:
        whether a blank line is before them on their side.
    """

    place: int
    back: int
    lines: Sequence[str]
    gap: bool


def _undone(
    accounts: Sequence[Account], side: Sequence[str]
) -> tuple[list[str], list[tuple[Account, Sequence[_Edit]]]]:
    """A side's file without what the result lacks of it, and without blank lines; and by change the
    edits that bring it back."""
    before: list[str] = []
    edits: list[tuple[Account, Sequence[_Edit]]] = []
    at = 0
    for account in sorted(accounts, key=lambda account: account.change.line):
        change, left = account.change, Counter(account.missing)
        start = change.line - 1 if change.added else change.line
        before += filter(str.strip, side[at:start])
        of_change: list[_Edit] = []
        back, run = [line for line in account.back if line.strip()], list[str]()
        gap = not "".join(side[max(0, start - 1) : start]).strip()
        for line in (*change.added, None):
            if line is not None and (left[line] > 0 or not line.strip()):
                left[line] -= 1
                run.append(line)
                continue
            # Blank lines go with the lines of the change that they are next to.
            while line is not None and run and not run[-1].strip():
                run.pop()
            if any(map(str.strip, run)) or back:
                of_change.append(_Edit(len(before), len(back), run, gap))
                before += back
                back, gap = [], False
            run = []
            before += [line] if line is not None else []
        edits.append((account, of_change))
        at = start + len(change.added)
    return [*before, *filter(str.strip, side[at:])], edits


def _placed(
    edit: _Edit, before: Sequence[str], now: Sequence[str], blocks: Sequence[difflib.Match]
) -> int:
    """Before which line of the result an edit is to be made; 0 if that is not certain."""
    start, end = edit.place, edit.place + edit.back
    for block in blocks:
        first, last = block.a, block.a + block.size
        if first < start and end < last:
            above = [*before[max(first, start - CONTEXT) : start]]
            below = [*before[end : min(last, end + CONTEXT)]]
            old = [*above, *before[start:end], *below]
            places = [n for n in range(len(now) - len(old) + 1) if now[n : n + len(old)] == old]
            sure = len(places) == 1 and any(map(substantive, (*above, *below)))
            return places[0] + len(above) if sure else 0
    return 0


def _instead(result: Sequence[str], above: Sequence[str], below: Sequence[str]) -> Sequence[str]:
    """What a file has between lines that it shares with another one; nothing if that is not near,
    or not certain."""
    starts = [n + 1 for n, line in enumerate(result) if above[-1:] == [line] and substantive(line)]
    if len(starts) != 1 or not below:
        return ()
    between = [*result[starts[0] : starts[0] + NEAR + 1]]
    return between[: between.index(below[0])] if below[0] in between else ()
