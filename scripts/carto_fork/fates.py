"""Fates: what became of each hunk of one side in a merge's result. Pure."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from rapidfuzz import fuzz

_SUBSTANTIVE = re.compile(r"(?:\w\W*){8}")
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
class Change:
    """A hunk: what one side did to a file since the common ancestor.

    before, line: where it is in the ancestor's file and in that side's, from 1; git names the line
        above where nothing is.
    removed, added: lines without line ends.
    """

    before: int
    line: int
    removed: tuple[str, ...] = ()
    added: tuple[str, ...] = ()


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


def substantive(line: str) -> bool:
    """Whether a line says enough to be recognised: not a bracket, an `else:` or a blank."""
    return bool(_SUBSTANTIVE.search(line))


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
    squeezed = _squeezed(texts[1]), _squeezed(texts[3])
    found = [_account(change, missing, back, counts, index, squeezed) for change in changes]
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
    if not any(_touch(lost.change, other) for other in others):
        return False
    base, _, other, _ = counts
    telling = [line.strip() for line in lost.change.added if substantive(line)]
    shared = sum(other[line] > base[line] for line in telling)
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
    squeezed: tuple[str, str],
) -> Account:
    gone = _taken(change.added, missing)
    returned = _taken(change.removed, back)
    if gone:
        # A formatter may have cut the same text into other lines.
        text = _squeezed(change.added)
        if squeezed[1].count(text) >= squeezed[0].count(text):
            gone = ()
    if not gone and not returned:
        held = all(counts[2][line.strip()] for line in change.added) and not any(
            counts[2][line.strip()] for line in change.removed
        )
        return Account(change, Fate.ABSORBED if held else Fate.KEPT)
    telling = [line for line in gone if substantive(line)]
    traceless = sum(not index.has_like(line.strip()) for line in telling)
    traceless += sum(map(substantive, returned))
    fate = Fate.LOST if traceless else Fate.SUPERSEDED
    return Account(change, fate, gone, returned, traceless)


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
        words = sorted(set(_words(line)), key=lambda word: (len(self._lines.get(word, ())), word))
        known = [word for word in words if word in self._lines][:3]
        code = _COMMENT.sub("", line)
        return any(
            _COMMENT.sub("", candidate) == code or fuzz.ratio(line, candidate, score_cutoff=_NEAR)
            for word in known
            for candidate in self._lines[word][:20]
        )


def _squeezed(lines: Iterable[str]) -> str:
    """The lines as one text without any white space."""
    return "".join("".join(lines).split())


def _words(line: str) -> list[str]:
    return re.findall(r"\w{2,}", line)


def _stripped(text: str) -> list[str]:
    return [line.strip() for line in text.split("\n") if line.strip()]
