"""Whether upstream has the fork's change in a hunk, in its lines or in its history; or elsewhere in
the file. Pure."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from functools import lru_cache

from ..run.text import substantive
from .hunks import Commit, Hunk, Texts

_KIN = 60
"""Similarity (100 is equal) from which a line may be derived from another."""


def is_absorbed(path: str, hunk: Hunk, texts: Texts | None = None) -> bool:
    """Whether upstream made all fork changes to the hunk, whatever else it did.

    texts: the file; what upstream only moved to another place in it, it did not remove.
    """
    if hunk.ours == hunk.theirs:
        return True
    if texts and _moved(hunk, texts):
        return False
    # If indentation matters, the same line with more indentation is a different one; but a line
    # that only moved there was not removed.
    plains = [str.strip, str.rstrip] if is_indented(path) else [str.strip]
    return all(_makes_every_change(hunk, plain) for plain in plains)


def _makes_every_change(hunk: Hunk, plain: Callable[[str], str]) -> bool:
    base, ours, theirs = (
        Counter(plain(line) for line in lines if line.strip())
        for lines in (hunk.base or (), hunk.ours, hunk.theirs)
    )
    added, removed, new = ours - base, base - ours, theirs - base
    if added - new or removed - (base - theirs):
        return False
    if not added:
        # What the fork only removed may still be there if upstream rewrote it.
        return bool(removed) and not new
    if new != added and not any(map(substantive, added)):
        return False
    mine, others = _holders(hunk.ours), _holders(hunk.theirs)
    if any(mine[line.strip()].isdisjoint(others[line.strip()]) for line in added):
        return False
    return not _is_back(removed, added, new - added)


def doubled(texts: Texts | None, merged: str) -> Set[str]:
    """The lines that each side added to a file once, and that the merged text has more than once:
    they are in different places, so git keeps both. Such a line may be an import."""
    if texts is None:
        return frozenset()
    base, *sides = (_counted(text) for text in (texts.base, texts.ours, texts.theirs))
    return {
        line
        for line, number in _counted(merged).items()
        if number > 1 and not base[line] and sides[0][line] == sides[1][line] == 1
        if substantive(line)
    }


def _moved(hunk: Hunk, texts: Texts) -> bool:
    """Whether upstream's file still has, as often as before, a line that the fork removed here, and
    has less often."""
    base, ours, theirs = (
        Counter(_plain(lines)) for lines in (hunk.base or (), hunk.ours, hunk.theirs)
    )
    gone = [line for line in base - ours if line not in theirs and substantive(line)]
    if not gone:
        return False
    was, mine, now = (
        Counter(_plain(text.split("\n"))) for text in (texts.base, texts.ours, texts.theirs)
    )
    return any(mine[line] < was[line] <= now[line] for line in gone)


def _holders(lines: Iterable[str]) -> dict[str, set[str]]:
    """For each line, those that open a block around it; "" if that is above these lines."""
    holders: dict[str, set[str]] = defaultdict(set)
    around: list[tuple[int, str]] = []
    for line in lines:
        text = line.strip()
        width = len(line) - len(line.lstrip())
        if text and not text.startswith(("#", "//")):
            while around and around[-1][0] >= width:
                around.pop()
        holders[text].add(around[-1][1] if around else "")
        if text and not text.startswith(("#", "//")):
            around.append((width, text))
    return holders


def _is_back(removed: Counter[str], added: Counter[str], others: Counter[str]) -> bool:
    """Whether a line that the fork removed may be among upstream's other lines, edited.

    added: the fork's new lines; a removed line similar to one of them was edited by the fork, too.
    """
    if not removed or not others:
        return False
    from rapidfuzz import fuzz, process  # slow to import

    def like(line: str, among: Counter[str]) -> float:
        nearest = process.extractOne(line, list(among), scorer=fuzz.ratio, score_cutoff=_KIN)
        return nearest[1] if nearest else 0

    return any(like(line, others) > like(line, added) for line in removed if substantive(line))


_INDENTED = re.compile(
    r"makefile|\.(pyi?|ya?ml|md|rst|mk|j2|jinja|sass|styl|pug|haml|slim|coffee|hs|fs|nim)$"
)


def is_indented(path: str) -> bool:
    """Whether indentation matters in a file."""
    return bool(_INDENTED.search(path.rpartition("/")[2].lower()))


def same_but_space(path: str) -> Callable[[Sequence[str], Sequence[str]], bool]:
    """A function that says whether two runs of lines differ only in white space around lines."""
    plain = str.rstrip if is_indented(path) else str.strip
    return lambda one, other: [*map(plain, one)] == [*map(plain, other)] != []


# --- In its history -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Past:
    """What upstream did to a file before and after the common ancestor.

    versions: each later commit that may have adopted something, with its version of the file.
    older: the lines that upstream removed earlier.
    """

    versions: Sequence[tuple[Commit, str]] = ()
    older: Set[str] = frozenset()


@dataclass(frozen=True)
class History:
    """What upstream did to files, by path."""

    files: Mapping[str, Past] = field(default_factory=dict)

    def taker(self, path: str, hunk: Hunk, base: str) -> Commit | None:
        """The upstream commit that had everything the fork did in a hunk, if upstream continued
        from there, neither reverting nor dropping it; and only if the fork itself did not revert
        anything.

        base: the file at the common ancestor.
        """
        past = self.files.get(path)
        if past is None or not hunk.theirs or hunk.theirs == hunk.base:
            return None
        old, ours, theirs = (_plain(lines) for lines in (hunk.base or (), hunk.ours, hunk.theirs))
        added, removed = Counter(ours) - Counter(old), Counter(old) - Counter(ours)
        telling = {line for line in added if substantive(line)}
        if not telling or telling <= past.older or removed & (Counter(theirs) - Counter(ours)):
            return None
        if not _went_further(ours, theirs, telling) or _takes_a_number(telling, base):
            return None
        before = _counted(base)
        for commit, text in past.versions:
            then = _counted(text)
            if not (added - (then - before) or removed - (before - then)):
                return commit
        return None


@lru_cache(maxsize=64)  # the hunks of a file ask about the same versions, one after the other
def _counted(text: str) -> Counter[str]:
    return Counter(_plain(text.split("\n")))


def _plain(lines: Sequence[str]) -> list[str]:
    return [line.strip() for line in lines if line.strip()]


_COUNTED = re.compile(r"(?<![\w@])[A-Za-z]\w*_\d+(?!\w|\.\d)|(?<![\w.@-])\d+(?![\w.-])")
"""A number that people count on with, as in MIGRATION_6_7 or `version = 7`; not a release such as
1.7 or v7."""


def _takes_a_number(added: Iterable[str], base: str) -> bool:
    """Whether lines take the next number of a count, such as that of a database's versions: both
    sides take it, each for something of its own.

    base: the file in which the number before is.
    """
    texts = _counted(base)
    names = {match[0] for line in texts for match in _COUNTED.finditer(line)}

    def one_less(match: re.Match[str]) -> str:
        return re.sub(r"\d+", lambda x: str(int(x[0]) - 1).zfill(len(x[0])), match[0])

    for line in added:
        for match in _COUNTED.finditer(line):
            before = one_less(match)
            named = not match[0].isdigit() and match[0] not in names and before in names
            if named or line[: match.start()] + before + line[match.end() :] in texts:
                return True
    return False


def _went_further(ours: Sequence[str], theirs: Sequence[str], telling: Set[str]) -> bool:
    """Whether upstream's lines are the fork's, edited: each line is there or replaced, most of them
    by a similar one."""
    from rapidfuzz import fuzz, process  # slow to import

    kept = 0
    for kind, a, b, c, d in SequenceMatcher(None, ours, theirs, autojunk=False).get_opcodes():
        mine = [line for line in ours[a:b] if line in telling]
        if kind == "delete" and mine:
            return False
        for line in mine:
            others = [line] if kind == "equal" else theirs[c:d]
            kept += bool(process.extractOne(line, others, scorer=fuzz.ratio, score_cutoff=_KIN))
    return 2 * kept > len(telling)
