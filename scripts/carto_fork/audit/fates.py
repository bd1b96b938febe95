"""Fates: what became of each hunk of one side in a merge's result. Pure."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from itertools import accumulate

from ..merge.hunks import Change
from ..run.text import substantive

_COMMENT = re.compile(r"\s+(#|//|--)\s.*")
_NEAR = 75
"""From this similarity on (100 is equal) a line counts as the same line, changed."""
_MANY = 2
"""So many telling lines that a file lost without a trace are no coincidence any more."""


class Fate(Enum):
    """What became of a hunk."""

    KEPT = "kept"
    MOVED = "moved"
    ABSORBED = "absorbed"
    SUPERSEDED = "superseded"
    DROPPED = "dropped on purpose"
    LOST = "lost"


@dataclass(frozen=True)
class Account:
    """A hunk and what became of it.

    missing: lines that the side added and the result lacks.
    back: lines that the side removed and the result has again.
    traceless: how many telling ones of them the result has in no other form either.
    """

    change: Change
    fate: Fate
    missing: tuple[str, ...] = ()
    back: tuple[str, ...] = ()
    traceless: int = 0


def account(
    changes: Sequence[Change],
    others: Sequence[Change],
    base: str,
    mine: str,
    other: str,
    result: str,
) -> list[Account]:
    """What became of each hunk of a side.

    changes, others: the hunks of this side and of the other one.
    base, mine, other, result: the file at the common ancestor, on the side, on the other side, and
    after the merge; "" where there is none. White space around a line does not count.
    """
    texts = [_stripped(text) for text in (base, mine, other, result)]
    counts = [Counter(lines) for lines in texts]
    missing, back = _balance(*counts)
    index = _Index((counts[3] - counts[1]).elements())
    squeezed = _Squeezed(texts[1]), _Squeezed(texts[3])
    others = [
        other for other in others if _stripped_lines(other.removed) != _stripped_lines(other.added)
    ]
    found = [_account(change, missing, back, counts, index, squeezed, others) for change in changes]
    told = sum(a.traceless for a in found if a.fate is Fate.LOST)
    return [
        replace(a, fate=Fate.SUPERSEDED)
        if a.fate is Fate.LOST and _may_be_superseded(a, others, counts, told)
        else a
        for a in found
    ]


def _may_be_superseded(
    lost: Account, others: Sequence[Change], counts: Sequence[Counter[str]], told: int
) -> bool:
    """Whether the other side may have had a reason: it changed the same place, and either so little
    is gone that it may stand there in other words, or most of the hunk is the other side's too."""
    near = [other for other in others if _touch(lost.change, other)]
    same = _stripped_lines(lost.change.added), _stripped_lines(lost.change.removed)
    if not near or any(
        (_stripped_lines(x.added), _stripped_lines(x.removed)) == same for x in near
    ):
        return False
    base, _, other, result = counts
    telling = [line.strip() for line in lost.change.added if substantive(line)]
    shared = sum(min(other[line], result[line]) > base[line] for line in telling)
    return told < _MANY or (2 * shared >= len(telling) > 0 and shared > 0)


def _touch(one: Change, other: Change) -> bool:
    """Whether two hunks change the same or neighbouring lines of the ancestor's file."""
    first, second = sorted((one, other), key=lambda change: change.before)
    return second.before <= first.before + max(1, len(first.removed))


def _balance(
    base: Counter[str], mine: Counter[str], other: Counter[str], result: Counter[str]
) -> tuple[Counter[str], Counter[str]]:
    """How often each line is missing from the result, and how often it is back in it."""
    missing: Counter[str] = Counter()
    back: Counter[str] = Counter()
    for line in mine.keys() | base.keys():
        was, now, theirs, have = base[line], mine[line], other[line], result[line]
        # What the other side did to its own copies of the same line is none of this side's.
        if now > was:
            due = max(now, theirs) if theirs > was else max(0, now - max(0, was - theirs))
            missing[line] = max(0, min(now - was, due - have))
        elif now < was:
            due = now + max(0, theirs - was)
            back[line] = max(0, min(was - now, have - due))
    return +missing, +back


def _account(
    change: Change,
    missing: Counter[str],
    back: Counter[str],
    counts: Sequence[Counter[str]],
    index: _Index,
    squeezed: tuple[_Squeezed, _Squeezed],
    others: Sequence[Change],
) -> Account:
    gone = _taken(change.added, missing)
    returned = _taken(change.removed, back)
    # A formatter may have cut the same text into other lines.
    mine, result = squeezed
    if gone and result.count(change.added) >= mine.count(change.added):
        gone = ()
    gone = gone or _one_for_two(change, others, counts)
    if not gone and not returned:
        return Account(change, _fate_of_whole(change, others, counts))
    told = _telling(gone, change.added)
    traceless = sum(not index.has_like(line.strip()) for line in told)
    traceless += len(_telling(returned, change.removed))
    fate = Fate.LOST if traceless else Fate.SUPERSEDED
    return Account(change, fate, gone, returned, traceless)


def _fate_of_whole(
    change: Change, others: Sequence[Change], counts: Sequence[Counter[str]]
) -> Fate:
    """What became of a hunk of which nothing is missing and nothing back."""
    base, _, other, result = counts
    added, removed = _stripped_lines(change.added), _stripped_lines(change.removed)
    if not any(map(substantive, added)):
        # What this side only took away may be there as the other side changed it.
        rivals = [
            rival
            for rival in others
            if _touch(change, rival) and not set(removed).isdisjoint(_stripped_lines(rival.removed))
        ]
        changed = [line for x in rivals for line in _stripped_lines(x.added) if substantive(line)]
        if changed and all(result[line] > base[line] for line in changed):
            return Fate.SUPERSEDED
    if all(other[line] > base[line] for line in added) and all(
        other[line] < base[line] for line in removed
    ):
        return Fate.ABSORBED
    return Fate.KEPT


def _one_for_two(
    change: Change, others: Sequence[Change], counts: Sequence[Counter[str]]
) -> tuple[str, ...]:
    """The one line of a hunk, where the other side added the same line at another place and the
    result has it less often than both together."""
    base, mine, other, result = counts
    telling = [line for line in change.added if substantive(line)]
    if len(telling) != 1 or change.removed:
        return ()
    line = telling[0].strip()
    elsewhere = [x for x in others if line in _stripped_lines(x.added)]
    if not elsewhere or any(_touch(change, x) for x in elsewhere):
        return ()
    return () if result[line] >= mine[line] + other[line] - base[line] else (telling[0],)


def _telling(lines: Sequence[str], change: Sequence[str]) -> list[str]:
    """The lines that count; in a change that has no telling one, all that hold a word."""
    if any(map(substantive, change)):
        return [line for line in lines if substantive(line)]
    return [line for line in lines if re.search(r"\w", line)]


def _taken(lines: Iterable[str], pool: Counter[str]) -> tuple[str, ...]:
    """The lines that are in a pool; each takes one out of it."""
    taken = []
    for line in lines:
        if pool[key := line.strip()] > 0:
            pool[key] -= 1
            taken.append(line)
    return tuple(taken)


class _Index:
    """Finds lines that are like another one, by the words that they share."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines: dict[str, list[str]] = defaultdict(list)
        for line in lines:
            for word in set(_words(line)):
                self._lines[word].append(line)

    def has_like(self, line: str) -> bool:
        # The rarest words lead to the few lines that are worth comparing.
        from rapidfuzz import fuzz  # costs more to import than most tasks need

        words = sorted(set(_words(line)), key=lambda word: (len(self._lines.get(word, ())), word))
        known = [word for word in words if word in self._lines][:3]
        code = _COMMENT.sub("", line)
        return any(
            _COMMENT.sub("", candidate) == code or fuzz.ratio(line, candidate, score_cutoff=_NEAR)
            for word in known
            for candidate in self._lines[word][:20]
        )


class _Squeezed:
    """A text without any white space, which knows where its lines begin and end."""

    def __init__(self, lines: Sequence[str]) -> None:
        pieces = ["".join(line.split()) for line in lines]
        self._text = "".join(pieces)
        self._ends = {0, *accumulate(map(len, pieces))}

    def count(self, lines: Sequence[str]) -> int:
        """How often some lines stand there, whatever line breaks are inside of them."""
        wanted = "".join("".join(lines).split())
        found, start = 0, self._text.find(wanted) if wanted else -1
        while start >= 0:
            found += {start, start + len(wanted)} <= self._ends
            start = self._text.find(wanted, start + 1)
        return found


def _words(line: str) -> list[str]:
    return re.findall(r"\w{2,}", line)


def _stripped(text: str) -> list[str]:
    return _stripped_lines(text.split("\n"))


def _stripped_lines(lines: Iterable[str]) -> list[str]:
    return [line.strip() for line in lines if line.strip()]
