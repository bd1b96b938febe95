"""Fates: what happened to each hunk of one side in a merge's result. Pure."""

from __future__ import annotations

import re
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from enum import Enum
from functools import cached_property
from types import MappingProxyType

from ..merge.hunks import Change
from ..run.text import substantive
from .alike import (
    Index,
    Squeezed,
    is_inside,
    squeezed,
    stripped_lines,
    tokens_of,
    word_set,
    words_of,
)

_MANY = 2
"""If a file lost this many different significant lines without a trace, it is not a coincidence."""
_MANY_WORDS = 5
"""This many words in a row do not occur by chance."""
_CONTEXT = 3
"""This many lines around a hunk identify its place."""
_COMMENT = re.compile(r"\s*(//|/\*.*\*/\s*$|#\s|# ?(noqa|nosec|type:|pylint|pragma)|<!--)")
"""A line that is only a comment in most languages."""
_QUOTED = re.compile(r"\"([^\"]{12,})\"|'([^']{12,})'")
"""A text in a line that is not there twice by chance."""
_LONGEST_EDITED = 2000
_LONGEST_PART = 12
"""A formatter may reflow up to this many lines."""


Lines = tuple[str, ...]


class Fate(Enum):
    """What happened to a hunk."""

    KEPT = "kept"
    MOVED = "moved"
    ABSORBED = "absorbed"
    SUPERSEDED = "superseded"
    DROPPED = "dropped on purpose"
    LOST = "lost"


@dataclass(frozen=True)
class Account:
    """A hunk and what happened to it.

    missing: lines that the side added and the result lacks.
    back: lines that the side removed and that the result has again, possibly as changed by the
        other side.
    traceless: the significant missing lines that the result does not have in another form either.
    words: if something else is there now, the words of the missing lines that only this side has
        and that the result lacks.
    home: another file that contains the missing lines rewritten.
    """

    change: Change
    fate: Fate
    missing: tuple[str, ...] = ()
    back: tuple[str, ...] = ()
    traceless: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    home: str = ""

    @property
    def again(self) -> list[str]:
        """What is back that the side itself removed, and not what the other side made of it."""
        removed = {line.strip() for line in self.change.removed}
        return [line for line in self.back if line.strip() in removed]

    @property
    def missing_at(self) -> Iterator[int]:
        """The numbers of the missing lines in the side's file."""
        left = Counter(self.missing)
        for number, line in enumerate(self.change.added, self.change.line):
            if left[line] > 0:
                left[line] -= 1
                yield number

    @property
    def line(self) -> int:
        """The number of the first line that is gone in the side's file, or of its change; 0 for
        none."""
        return next(self.missing_at, self.change.line)

    def is_traced(self, line: str) -> bool:
        """Whether the result has a missing line in another form."""
        return substantive(line) and line not in self.traceless


class _Versions:
    """A file at the common ancestor, on this side, on the other side, and after the merge."""

    def __init__(self, *texts: str) -> None:
        self._texts = texts
        self._lines = [stripped_lines(text.split("\n")) for text in texts]
        self.counts = [Counter(lines) for lines in self._lines]

    @cached_property
    def new(self) -> Index:
        """The lines of the result that this side lacks."""
        return Index((self.counts[3] - self.counts[1]).elements())

    def has_in_place(self, change: Change) -> bool:
        """Whether the result has this side's addition in its old place: after the same lines, or
        before them."""
        lines = self._texts[1].split("\n")
        end = change.line - 1 + len(change.added)
        added = stripped_lines(change.added)
        before = stripped_lines(reversed(lines[max(0, change.line - 9) : change.line - 1]))
        after = stripped_lines(lines[end : end + 8])
        first, last = [*reversed(before[:_CONTEXT]), *added[:1]], [*added[-1:], *after[:_CONTEXT]]
        return bool(added) and any("\n".join(["", *x, ""]) in self._whole for x in (first, last))

    @cached_property
    def _whole(self) -> str:
        return "\n".join(["", *self._lines[3], ""])

    @cached_property
    def _running(self) -> list[str]:
        """The words of this side's version and of the result, as running text."""
        return [f" {' '.join(words_of(self._texts[side]))} " for side in (1, 3)]

    def has_moved(self, change: Change, rival: Change) -> bool:
        """Whether this side only moved a line that the other side changed, and the result has that
        change where the line is now."""
        if len(rival.removed) != len(rival.added):
            return False
        removed, mine = {*stripped_lines(change.removed)}, self._lines[1]
        pairs = [(x.strip(), y.strip()) for x, y in zip(rival.removed, rival.added, strict=True)]
        pairs = [(old, new) for old, new in pairs if old in removed]
        places = [[n for n, line in enumerate(mine) if line == old] for old, _ in pairs]
        return bool(pairs) and all(
            len(at) == 1
            and "\n".join(["", *mine[max(0, at[0] - 1) : at[0]], new, *mine[at[0] + 1 :][:1], ""])
            in self._whole
            for at, (_, new) in zip(places, pairs, strict=True)
        )

    def has_lost_what_it_is_about(self, change: Change, others: Sequence[Change]) -> bool:
        """Whether this side only added a comment to the next line, and the other side removed that
        line for good."""
        below = self._texts[1].split("\n")[change.line - 1 + len(change.added) :]
        about = stripped_lines(below[:1])
        return (
            bool(about and change.added and not change.removed)
            and all(_COMMENT.match(line) for line in change.added)
            and not self.counts[3][about[0]]
            and any(_touch(change, x) and about[0] in stripped_lines(x.removed) for x in others)
        )

    def has_rerun(self, line: str) -> bool:
        """Whether the words of a line occur in sequence across other lines of the result, as
        often."""
        words = words_of(line)
        mine, result = (text.count(f" {' '.join(words)} ") for text in self._running)
        return len(words) >= _MANY_WORDS and result >= mine

    def has_quoted(self, line: str) -> bool:
        """Whether a line quotes a text with words that only this side has, and a new line of the
        result quotes it, too."""
        found = ["".join(both) for both in _QUOTED.findall(line)]
        own = [text for text in found if word_set(text) & self.vocabulary]
        return bool(own) and all(any(text in x for x in self._made) for text in own)

    @cached_property
    def _made(self) -> Sequence[str]:
        """The lines of the result that no other version has."""
        base, mine, other, result = self.counts
        return [x for x in result if not (base[x] or mine[x] or other[x])]

    def has_renamed(self, line: str, renamed: Mapping[str, str]) -> bool:
        """Whether the result has a line with the other side's new names in it, which neither side
        wrote."""
        words = {word for word in words_of(line) if word in renamed} - self._words_of_other
        new = re.sub(r"\w{2,}", lambda w: renamed[w[0]] if w[0] in words else w[0], line.strip())
        base, mine, other, result = (count[new] for count in self.counts)
        return bool(words) and result > max(base, mine, other)

    def has_woven(self, line: str, others: Sequence[str]) -> bool:
        """Whether the result has a line that neither side has, and that consists of this one and
        one of the other side's, each with all its words in order."""
        found = self.new.like(line.strip()) if others else ""
        mine, made = tokens_of(line), tokens_of(found)
        if not found or self.counts[2][found] or not is_inside(mine, made):
            return False
        more = {*made} - {*mine}
        return any(
            more <= {*theirs} and is_inside(theirs, made) for theirs in map(tokens_of, others)
        )

    def has_amended(self, line: str, change: Change, others: Sequence[Change]) -> bool:
        """Whether the result has a line that neither side has, and that is this one with what the
        other side did to a line next to it; nothing that only this side has is gone."""
        found = self.new.like(line.strip()) if others else ""
        if not found or self.counts[2][found] or len(line) > _LONGEST_EDITED:
            return False
        gone, new = edit = _edit(line, found)
        same = (x for x in others if len(x.removed) == len(x.added))
        pairs = (pair for x in same for pair in zip(x.removed, x.added, strict=True))
        theirs = (_edit(*pair) for pair in pairs if max(map(len, pair)) <= _LONGEST_EDITED)
        old = {token for text in change.removed for token in tokens_of(text)}
        return bool(gone or new) and gone.keys() <= old and edit in theirs

    @cached_property
    def _words_of_other(self) -> set[str]:
        return set(words_of(self._texts[2]))

    @cached_property
    def squeezed(self) -> tuple[Squeezed, Squeezed]:
        """This side's version and the result, without white space."""
        return Squeezed(self._lines[1]), Squeezed(self._lines[3])

    @cached_property
    def vocabulary(self) -> set[str]:
        """The words that only this side has, in lower case."""
        base, mine, other, _ = self._word_sets
        return mine - base - other

    @cached_property
    def _word_sets(self) -> list[set[str]]:
        return [word_set(text) for text in self._texts]

    @cached_property
    def _often(self) -> list[Counter[str]]:
        """How often each word occurs on this side and in the result."""
        return [Counter(words_of(self._texts[side].lower())) for side in (1, 3)]

    def has_reworded(self, lines: Sequence[str]) -> bool:
        """Whether the result has all words of some lines that only this side has, as often; most
        of the lines need such words."""
        own = [word_set(line) & self.vocabulary for line in lines]
        mine, result = self._often
        there = all(result[word] >= mine[word] for words in own for word in words)
        return there and 0 < len(lines) <= 2 * sum(map(bool, own))

    def forgotten(self, lines: Iterable[str]) -> tuple[str, ...]:
        """The words in some lines that only this side has, and that the result lacks, longest
        first; numbers do not count, since other ones replace them. A name such as ``libffi-dev``
        is one if each of its parts is somewhere else, too."""
        own, lines = self.vocabulary - self._word_sets[3], list(lines)
        words = (word for line in lines for word in words_of(line))
        gone = [word for word in words if word.lower() in own and not word[0].isdigit()]
        names = (name for line in lines for name in _NAME.findall(line))
        base, _, other, result = self._texts
        gone += [x for x in names if x not in base + other + result and own.isdisjoint(_parts(x))]
        return tuple(sorted(dict.fromkeys(gone), key=len, reverse=True))


_NAME = re.compile(r"[^\W\d]\w*(?:[.-][^\W\d]\w*)+")


def _parts(name: str) -> list[str]:
    return [word.lower() for word in words_of(name)]


def _edit(line: str, other: str) -> tuple[Counter[str], Counter[str]]:
    """The words and signs that are gone and new when a line becomes another one."""
    old, new = tokens_of(line), tokens_of(other)
    edits = SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    edits = [edit for edit in edits if edit[0] != "equal"]
    gone = Counter(token for _, a, b, _, _ in edits for token in old[a:b])
    return gone, Counter(token for _, _, _, c, d in edits for token in new[c:d])


def written(base: str, mine: str, other: str, result: str) -> Index:
    """The lines of a merged file that neither side has: those written while merging."""
    counts = [Counter(stripped_lines(text.split("\n"))) for text in (base, mine, other, result)]
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
    """What happened to each hunk of a side.

    changes, others: the hunks of this side and of the other one.
    base, mine, other, result: the file at the common ancestor, on this side, on the other side, and
        after the merge; "" if it does not exist. White space around a line does not count.
    elsewhere: lines written into other files while merging, by path.
    renamed: the words that the other side renamed, as `renamed_words` finds them.
    """
    versions = _Versions(base, mine, other, result)
    others = [
        other for other in others if stripped_lines(other.removed) != stripped_lines(other.added)
    ]
    missing, back = _balance(*versions.counts)
    # If several hunks have the same lines, the missing ones are those not in their old place.
    order = sorted(range(len(changes)), key=lambda number: versions.has_in_place(changes[number]))
    made = {n: _account(changes[n], missing, back, versions, others, renamed) for n in order}
    accounts = [made[number] for number in range(len(changes))]
    if any(a.fate is Fate.LOST for a in accounts):
        homes = {"": written(base, mine, other, result), **elsewhere}
        accounts = [_rewritten(a, versions, homes) for a in accounts]
    traceless = {line.strip() for a in accounts if a.fate is Fate.LOST for line in a.traceless}
    accounts = [
        replace(a, fate=Fate.SUPERSEDED)
        if a.fate is Fate.LOST
        and (
            versions.has_lost_what_it_is_about(a.change, others)
            or _may_be_superseded(a, others, versions.counts, len(traceless))
        )
        else a
        for a in accounts
    ]
    return [
        replace(a, words=versions.forgotten(a.missing)) if a.fate is Fate.SUPERSEDED else a
        for a in accounts
    ]


def _rewritten(lost: Account, versions: _Versions, homes: Mapping[str, Index]) -> Account:
    """The account, possibly with the place where its lines were rewritten while merging; rewritten
    lines need a look."""
    if lost.fate is not Fate.LOST or not set(lost.traceless).isdisjoint(lost.back):
        return lost
    significant = [line.strip() for line in _telling(lost.missing, lost.change.added)]
    # Lines that the ancestor has, too, prove nothing.
    lines = [line for line in map(str.strip, lost.traceless) if not versions.counts[0][line]]
    for path, home in homes.items():
        if home.has_all(significant):
            return replace(lost, fate=Fate.MOVED, traceless=(), home=path)
    traced = len(_telling(lost.change.added, lost.change.added)) > len(lost.traceless)
    for path, home in homes.items():
        # In another file similar words alone prove little.
        sure = traced if not path else any(map(home.like, significant))
        if (sure or not path) and home.has_rewritten(lines, versions.vocabulary, sure):
            return replace(lost, fate=Fate.SUPERSEDED, traceless=(), home=path)
    if not lost.back and versions.has_reworded(lost.traceless):
        return replace(lost, fate=Fate.SUPERSEDED, traceless=())
    return lost


def _may_be_superseded(
    lost: Account, others: Sequence[Change], counts: Sequence[Counter[str]], traceless: int
) -> bool:
    """Whether the other side may have replaced the hunk: it changed the same place, and either so
    little is gone that it may be there in other words, or the other side has most of the hunk,
    too."""
    near = [other for other in others if _touch(lost.change, other)]
    same = stripped_lines(lost.change.added), stripped_lines(lost.change.removed)
    if not near or any((stripped_lines(x.added), stripped_lines(x.removed)) == same for x in near):
        return False
    base, _, other, result = counts
    telling = [line.strip() for line in lost.change.added if substantive(line)]
    shared = sum(min(other[line], result[line]) > base[line] for line in telling)
    return traceless < _MANY or (2 * shared >= len(telling) > 0 and shared > 0)


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
        # What the other side did to its own copies of the same line does not count.
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
    beside = [other for other in others if _touch(change, other)]
    near = [line for other in beside for line in other.added]
    gone = tuple(
        line
        for line in gone
        if not versions.has_renamed(line, renamed)
        if not (versions.has_woven(line, near) or versions.has_amended(line, change, beside))
    )
    returned = _taken(change.removed, back)
    if gone or returned:
        gone, returned = _but_formatted(change, gone, returned, *versions.squeezed)
    gone = gone or _one_for_two(change, others, versions.counts)
    if not gone and not returned:
        return _whole(change, others, versions)
    significant = _telling(gone, change.added)
    # What was there before the change is not another form of it.
    old = {"", *map(str.strip, returned)}
    traceless = [
        line
        for line in significant
        if versions.new.like(line.strip()) in old
        if not versions.has_rerun(line) and not versions.has_quoted(line)
    ]
    traceless += _telling(returned, change.removed)
    fate = Fate.LOST if traceless else Fate.SUPERSEDED
    return Account(change, fate, gone, returned, tuple(traceless))


def _but_formatted(
    change: Change, gone: Lines, returned: Lines, mine: Squeezed, result: Squeezed
) -> tuple[Lines, Lines]:
    """The lines that are gone and back, except those that a formatter reflowed or aligned."""

    def is_there(lines: Sequence[str]) -> bool:
        return 0 < result.count(lines) >= mine.count(lines)

    if is_there(change.added):
        gone = ()
    missing = [line for run in _runs(change.added, gone) for line in _but_parts(run, is_there)]
    if squeezed(change.added) == squeezed(change.removed):
        return tuple(missing), ()
    same = {squeezed([line]) for line in change.added}
    return tuple(missing), tuple(line for line in returned if squeezed([line]) not in same)


def _but_parts(run: Sequence[str], is_there: Callable[[Sequence[str]], bool]) -> Iterator[str]:
    """The lines of a run without its parts that the result has, longest first."""
    start = 0
    while start < len(run):
        ends = range(min(len(run), start + _LONGEST_PART), start, -1)
        end = next((end for end in ends if is_there(run[start:end])), 0)
        if not end:
            yield run[start]
        start = end or start + 1


def _runs(lines: Sequence[str], some: Sequence[str]) -> list[list[str]]:
    """Some of the lines in order, grouped into runs of adjacent lines."""
    runs: list[list[str]] = [[]]
    left = deque(some)
    for line in lines:
        if left and line == left[0]:
            runs[-1].append(left.popleft())
        elif runs[-1]:
            runs.append([])
    return runs


def _whole(change: Change, others: Sequence[Change], versions: _Versions) -> Account:
    """What happened to a hunk of which nothing is missing or back."""
    base, _, other, result = versions.counts
    added, removed = stripped_lines(change.added), stripped_lines(change.removed)
    if not any(map(substantive, added)):
        # Lines that this side removed may be there as changed by the other side.
        rivals = [
            rival
            for rival in others
            if _touch(change, rival) and not set(removed).isdisjoint(stripped_lines(rival.removed))
            if not versions.has_moved(change, rival)
        ]
        changed = tuple(line for x in rivals for line in x.added if substantive(line))
        keys = [line.strip() for line in changed]
        if keys and all(result[key] >= other[key] > base[key] for key in keys):
            return Account(change, Fate.SUPERSEDED, back=changed)
    if (added or removed) and _is_in_both(change, others, versions.counts):
        return Account(change, Fate.ABSORBED)
    return Account(change, Fate.KEPT)


def _is_in_both(change: Change, others: Sequence[Change], counts: Sequence[Counter[str]]) -> bool:
    """Whether the other side made the same change, and the result has it once. Lines that say
    little prove that only at the same place; blank ones prove nothing."""
    base, mine, other, result = counts
    added, removed = stripped_lines(change.added), stripped_lines(change.removed)
    if not any(map(substantive, (*added, *removed))):
        same = added, removed
        near = (x for x in others if _touch(change, x))
        if all((stripped_lines(x.added), stripped_lines(x.removed)) != same for x in near):
            return False
    once = not added or any(result[x] < mine[x] + other[x] - base[x] for x in added)
    return (
        once
        and all(other[line] > base[line] for line in added)
        and all(other[line] < base[line] for line in removed)
    )


def _one_for_two(
    change: Change, others: Sequence[Change], counts: Sequence[Counter[str]]
) -> tuple[str, ...]:
    """The only line of a hunk if the other side added the same line elsewhere and the result has it
    less often than both together."""
    base, mine, other, result = counts
    telling = [line for line in change.added if substantive(line)]
    if len(telling) != 1 or change.removed:
        return ()
    line = telling[0].strip()
    elsewhere = [x for x in others if line in stripped_lines(x.added)]
    if not elsewhere or any(_touch(change, x) for x in elsewhere):
        return ()
    return () if result[line] >= mine[line] + other[line] - base[line] else (telling[0],)


def renamed_words(changes: Iterable[Change]) -> dict[str, str]:
    """The words that changes consistently replace by others in otherwise unchanged lines; words
    with several replacements are left out."""
    replacements: dict[str, list[str]] = defaultdict(list)
    for change in changes:
        if len(change.removed) == len(change.added):
            for lines in zip(change.removed, change.added, strict=True):
                before, after = (re.findall(r"\w+|\S", line) for line in lines)
                pairs = {(old, new) for old, new in zip(before, after) if old != new}  # noqa: B905
                if len(before) == len(after) and len(pairs) == 1:
                    [(old, new)] = pairs
                    replacements[old].append(new)
    return {
        old: news[0]
        for old, news in replacements.items()
        if len(news) > 1 == len(set(news)) and old.isidentifier() and news[0].isidentifier()
    }


def _telling(lines: Sequence[str], change: Sequence[str]) -> list[str]:
    """The significant lines; if the change has none, all lines with a word."""
    if any(map(substantive, change)):
        return [line for line in lines if substantive(line)]
    return [line for line in lines if re.search(r"\w", line)]


def _taken(lines: Iterable[str], pool: Counter[str]) -> tuple[str, ...]:
    """The lines that are in a pool; each removes one occurrence from it."""
    taken = []
    for line in lines:
        if pool[key := line.strip()] > 0:
            pool[key] -= 1
            taken.append(line)
    return tuple(taken)
