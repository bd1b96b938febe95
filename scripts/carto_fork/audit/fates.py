"""Fates: what became of each hunk of one side in a merge's result. Pure."""

from __future__ import annotations

import re
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from functools import cached_property
from itertools import accumulate
from types import MappingProxyType
from typing import TypeVar

from ..merge.hunks import Change
from ..run.text import substantive

_COMMENT = re.compile(r"\s+(#|//|--)\s.*")
_NEAR = 75
"""From this similarity on (100 is equal) a line counts as the same line, changed."""
_MANY = 2
"""So many different telling lines that a file lost without a trace are no coincidence any more."""
_SURE = 3
"""So many lines with words that were written anew together were rewritten."""
_MANY_WORDS = 5
"""So many words in a row are not there by chance."""
_CONTEXT = 3
"""So many lines around a hunk show its place."""
_LONGEST_PART = 12
"""So many lines or fewer a formatter makes others of."""


Lines = tuple[str, ...]
T = TypeVar("T")


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
    back: lines that the side removed and the result has again, or as the other side changed them.
    traceless: the telling ones of them that the result has in no other form either.
    home: another file in which the missing lines were written anew, in other words.
    """

    change: Change
    fate: Fate
    missing: tuple[str, ...] = ()
    back: tuple[str, ...] = ()
    traceless: tuple[str, ...] = ()
    home: str = ""


class _Versions:
    """A file at the common ancestor, on this side, on the other one, and after the merge."""

    def __init__(self, *texts: str) -> None:
        self._texts = texts
        self._lines = [_stripped_lines(text.split("\n")) for text in texts]
        self.counts = [Counter(lines) for lines in self._lines]

    @cached_property
    def new(self) -> Index:
        """The lines of the result that this side has not."""
        return Index((self.counts[3] - self.counts[1]).elements())

    def has_in_place(self, change: Change) -> bool:
        """Whether the result has what this side added where it was: behind the same lines, or
        before them."""
        lines = self._texts[1].split("\n")
        end = change.line - 1 + len(change.added)
        added = _stripped_lines(change.added)
        before = _stripped_lines(reversed(lines[max(0, change.line - 9) : change.line - 1]))
        after = _stripped_lines(lines[end : end + 8])
        first, last = [*reversed(before[:_CONTEXT]), *added[:1]], [*added[-1:], *after[:_CONTEXT]]
        return bool(added) and any("\n".join(["", *x, ""]) in self._whole for x in (first, last))

    @cached_property
    def _whole(self) -> str:
        return "\n".join(["", *self._lines[3], ""])

    @cached_property
    def _running(self) -> list[str]:
        """The words of this side's version and of the result, one after the other."""
        return [f" {' '.join(_words(self._texts[side]))} " for side in (1, 3)]

    def has_rerun(self, line: str) -> bool:
        """Whether the words of a line follow one another in other lines of the result, as often."""
        words = _words(line)
        mine, result = (text.count(f" {' '.join(words)} ") for text in self._running)
        return len(words) >= _MANY_WORDS and result >= mine

    def has_renamed(self, line: str, renamed: Mapping[str, str]) -> bool:
        """Whether the result has a line as it is with the other side's words, and no side wrote
        that."""
        words = {word for word in _words(line) if word in renamed} - self._words_of_other
        new = re.sub(r"\w{2,}", lambda w: renamed[w[0]] if w[0] in words else w[0], line.strip())
        base, mine, other, result = (count[new] for count in self.counts)
        return bool(words) and result > max(base, mine, other)

    @cached_property
    def _words_of_other(self) -> set[str]:
        return set(_words(self._texts[2]))

    @cached_property
    def squeezed(self) -> tuple[_Squeezed, _Squeezed]:
        """This side's version, and the result."""
        return _Squeezed(self._lines[1]), _Squeezed(self._lines[3])

    @cached_property
    def vocabulary(self) -> set[str]:
        """The words that only this side has, in small letters."""
        base, mine, other = (set(_words(text.lower())) for text in self._texts[:3])
        return mine - base - other


def written(base: str, mine: str, other: str, result: str) -> Index:
    """The lines of a merged file that neither side has: whoever merged wrote them."""
    counts = [Counter(_stripped_lines(text.split("\n"))) for text in (base, mine, other, result)]
    clean = counts[1] + counts[2] - counts[0]
    return Index((counts[3] - (clean | counts[0] | counts[1] | counts[2])).elements())


def account(
    changes: Sequence[Change],
    others: Sequence[Change],
    base: str,
    mine: str,
    other: str,
    result: str,
    elsewhere: Mapping[str, Index] = MappingProxyType({}),
    renamed: Mapping[str, str] = MappingProxyType({}),
) -> list[Account]:
    """What became of each hunk of a side.

    changes, others: the hunks of this side and of the other one.
    base, mine, other, result: the file at the common ancestor, on the side, on the other side, and
    after the merge; "" where there is none. White space around a line does not count.
    elsewhere: what whoever merged wrote in other files, by path.
    renamed: what the other side calls otherwise, as `renamed_words` finds it.
    """
    versions = _Versions(base, mine, other, result)
    others = [
        other for other in others if _stripped_lines(other.removed) != _stripped_lines(other.added)
    ]
    missing, back = _balance(*versions.counts)
    # Of like lines in several hunks, those are gone that are not where they were.
    order = sorted(range(len(changes)), key=lambda number: versions.has_in_place(changes[number]))
    made = {n: _account(changes[n], missing, back, versions, others, renamed) for n in order}
    found = [made[number] for number in range(len(changes))]
    if any(a.fate is Fate.LOST for a in found):
        homes = {"": written(base, mine, other, result), **elsewhere}
        found = [_rewritten(a, versions, homes) for a in found]
    told = {line.strip() for a in found if a.fate is Fate.LOST for line in a.traceless}
    return [
        replace(a, fate=Fate.SUPERSEDED)
        if a.fate is Fate.LOST and _may_be_superseded(a, others, versions.counts, len(told))
        else a
        for a in found
    ]


def _rewritten(lost: Account, versions: _Versions, homes: Mapping[str, Index]) -> Account:
    """The account, or where whoever merged wrote its lines anew: to look at, if in other words."""
    if lost.fate is not Fate.LOST or not set(lost.traceless).isdisjoint(lost.back):
        return lost
    told = [line.strip() for line in _telling(lost.missing, lost.change.added)]
    # What the ancestor has as well says nothing.
    lines = [line for line in map(str.strip, lost.traceless) if not versions.counts[0][line]]
    for path, home in homes.items():
        if home.has_all(told):
            return replace(lost, fate=Fate.MOVED, home=path)
    traced = len(_telling(lost.change.added, lost.change.added)) > len(lost.traceless)
    for path, home in homes.items():
        # In another file similar words alone say little.
        sure = traced if not path else any(map(home.like, told))
        if (sure or not path) and home.has_rewritten(lines, versions.vocabulary, sure):
            return replace(lost, fate=Fate.SUPERSEDED, home=path)
    return lost


def _may_be_superseded(
    lost: Account, others: Sequence[Change], counts: Sequence[Counter[str]], told: int
) -> bool:
    """Whether the other side may have had a reason: it changed the same place, and either so little
    is gone that it may be there in other words, or most of the hunk is the other side's too."""
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
    versions: _Versions,
    others: Sequence[Change],
    renamed: Mapping[str, str],
) -> Account:
    gone = _taken(change.added, missing)
    gone = tuple(line for line in gone if not versions.has_renamed(line, renamed))
    returned = _taken(change.removed, back)
    if gone or returned:
        gone, returned = _but_formatted(change, gone, returned, *versions.squeezed)
    gone = gone or _one_for_two(change, others, versions.counts)
    if not gone and not returned:
        return _whole(change, others, versions.counts)
    told = _telling(gone, change.added)
    traceless = [
        line
        for line in told
        if not versions.new.like(line.strip()) and not versions.has_rerun(line)
    ]
    traceless += _telling(returned, change.removed)
    fate = Fate.LOST if traceless else Fate.SUPERSEDED
    return Account(change, fate, gone, returned, tuple(traceless))


def _but_formatted(
    change: Change, gone: Lines, returned: Lines, mine: _Squeezed, result: _Squeezed
) -> tuple[Lines, Lines]:
    """What is gone and what is back, but for what a formatter cut into other lines or aligned."""

    def is_there(lines: Sequence[str]) -> bool:
        return 0 < result.count(lines) >= mine.count(lines)

    if is_there(change.added):
        gone = ()
    missing = [line for run in _runs(change.added, gone) for line in _but_parts(run, is_there)]
    if _squeezed(change.added) == _squeezed(change.removed):
        return tuple(missing), ()
    same = {_squeezed([line]) for line in change.added}
    return tuple(missing), tuple(line for line in returned if _squeezed([line]) not in same)


def _but_parts(run: Sequence[str], is_there: Callable[[Sequence[str]], bool]) -> Iterator[str]:
    """The lines of a run but for its parts that are there, the longest first."""
    start = 0
    while start < len(run):
        ends = range(min(len(run), start + _LONGEST_PART), start, -1)
        end = next((end for end in ends if is_there(run[start:end])), 0)
        if not end:
            yield run[start]
        start = end or start + 1


def _runs(lines: Sequence[str], some: Sequence[str]) -> list[list[str]]:
    """Some of the lines, in their order: those that follow one another together."""
    runs: list[list[str]] = [[]]
    left = deque(some)
    for line in lines:
        if left and line == left[0]:
            runs[-1].append(left.popleft())
        elif runs[-1]:
            runs.append([])
    return runs


def _whole(change: Change, others: Sequence[Change], counts: Sequence[Counter[str]]) -> Account:
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
        changed = tuple(line for x in rivals for line in x.added if substantive(line))
        if changed and all(result[line.strip()] > base[line.strip()] for line in changed):
            return Account(change, Fate.SUPERSEDED, back=changed)
    if all(other[line] > base[line] for line in added) and all(
        other[line] < base[line] for line in removed
    ):
        return Account(change, Fate.ABSORBED)
    return Account(change, Fate.KEPT)


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


def renamed_words(changes: Iterable[Change]) -> dict[str, str]:
    """The words that some changes put for others, again and again, in lines that are as they were
    otherwise; a word that became several is not among them."""
    found: dict[str, list[str]] = defaultdict(list)
    for change in changes:
        if len(change.removed) == len(change.added):
            for lines in zip(change.removed, change.added, strict=True):
                before, after = (re.findall(r"\w+|\S", line) for line in lines)
                pairs = {(old, new) for old, new in zip(before, after) if old != new}  # noqa: B905
                if len(before) == len(after) and len(pairs) == 1:
                    [(old, new)] = pairs
                    found[old].append(new)
    return {
        old: news[0]
        for old, news in found.items()
        if len(news) > 1 == len(set(news)) and old.isidentifier() and news[0].isidentifier()
    }


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


class Index:
    """Finds lines that are like another one, by the words that they share."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._all = dict.fromkeys(lines)

    @cached_property
    def _lines(self) -> Mapping[str, list[str]]:
        return _by_word((line, set(_words(line))) for line in self._all)

    @cached_property
    def _sets(self) -> Mapping[str, list[tuple[str, set[str]]]]:
        """Each line with its words in small letters, by each of them."""
        sets = ((line, _word_set(line)) for line in self._all)
        return _by_word(((line, words), words) for line, words in sets)

    def has_all(self, lines: Sequence[str]) -> bool:
        """Whether all of some stripped lines are here."""
        return set(lines) <= self._all.keys()

    def has_most(self, lines: Sequence[str]) -> bool:
        """Whether half of some stripped lines are here, and the others in another form."""
        other = [line for line in lines if line not in self._all]
        return 2 * len(other) <= len(lines) and all(map(self.like, other))

    def like(self, line: str) -> str:
        """A line like another one; "" without one."""
        # The rarest words lead to the few lines that are worth comparing.
        from rapidfuzz import fuzz  # costs more to import than most tasks need

        words = sorted(set(_words(line)), key=lambda word: (len(self._lines.get(word, ())), word))
        known = [word for word in words if word in self._lines][:3]
        code = _COMMENT.sub("", line)
        return next(
            (
                candidate
                for word in known
                for candidate in self._lines[word][:20]
                if _COMMENT.sub("", candidate) == code
                or fuzz.ratio(line, candidate, score_cutoff=_NEAR)
            ),
            "",
        )

    def has_rewritten(self, lines: Sequence[str], vocabulary: set[str], sure: bool) -> bool:
        """Whether half of some lines or more are here in other words.

        vocabulary: no line that has words of it may be without a trace.
        sure: whether one good trace is known already; otherwise it takes one, or several weak ones.
        """
        good = weak = 0
        used = set()  # a line is half of one other, not of several
        for line in lines:
            words = _word_set(line)
            own = words & vocabulary
            near = {
                x: found for word in sorted(own or words) for x, found in self._sets.get(word, ())
            }
            halves = [
                x
                for x, found in near.items()
                if x not in used and 2 * len(words & found) >= len(words)
                if 2 * len(own & found) >= len(own) > 0
            ]
            if like := self.like(line):
                used.add(like)
                good += 1
            elif len(words) > 1 and any(found > words for found in near.values()):
                good += 1
            elif own and any(
                own <= found and 3 * len(words & found) >= 2 * len(words) for found in near.values()
            ):
                good += 1  # the words that only this side had, in much the same line
            elif any(found >= (own or words) for found in near.values()):
                weak += 1
            elif halves:
                used.add(halves[0])
                weak += 1
            elif own:
                return False
        found = good + weak
        return 0 < len(lines) <= 2 * found and (sure or good > 0 or found >= _SURE)


def _by_word(lines: Iterable[tuple[T, Iterable[str]]]) -> Mapping[str, list[T]]:
    found: dict[str, list[T]] = defaultdict(list)
    for line, words in lines:
        for word in words:
            found[word].append(line)
    return found


class _Squeezed:
    """A text without any white space, which knows where its lines begin and end."""

    def __init__(self, lines: Sequence[str]) -> None:
        pieces = _pieces(lines)
        self._text = "".join(pieces)
        self._ends = {0, *accumulate(map(len, pieces))}

    def count(self, lines: Sequence[str]) -> int:
        """How often some lines are there, whatever line breaks are inside of them; a comma behind
        them may have come or gone."""
        wanted = _squeezed(lines).removesuffix(",")
        found, start = 0, self._text.find(wanted) if wanted else -1
        while start >= 0:
            end = start + len(wanted)
            ends = {end, end + self._text.startswith(",", end)}
            found += start in self._ends and not ends.isdisjoint(self._ends)
            start = self._text.find(wanted, start + 1)
        return found


def _squeezed(lines: Sequence[str]) -> str:
    return "".join(_pieces(lines))


def _pieces(lines: Sequence[str]) -> list[str]:
    """Lines without what is the formatter's: white space, the kind of quotes, a comma before the
    bracket that closes a list over several lines."""
    pieces = ["".join(line.split()).replace("'", '"') for line in lines]
    return [
        piece[:-1] if piece.endswith(",") and after.startswith((")", "]", "}")) else piece
        for piece, after in zip(pieces, [*pieces, ""][1:], strict=True)
    ]


def _word_set(line: str) -> set[str]:
    return set(_words(line.lower()))


def _words(line: str) -> list[str]:
    return re.findall(r"\w{2,}", line)


def _stripped_lines(lines: Iterable[str]) -> list[str]:
    return [line.strip() for line in lines if line.strip()]
