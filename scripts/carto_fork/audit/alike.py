"""Lines that are like others: in their words, or but for their form. Pure."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from itertools import accumulate
from typing import TypeVar

_COMMENT = re.compile(r"\s+((#|//|--)\s.*|/\*.*\*/$)")
_NEAR = 75
"""Similarity (100 is equal) from which a line counts as a changed version of another line."""
_SURE = 3
"""This many lines whose words reappear together count as rewritten."""

_T = TypeVar("_T")


class Index:
    """Finds similar lines by the words they share."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._all = dict.fromkeys(lines)

    @cached_property
    def _lines(self) -> Mapping[str, list[str]]:
        return _by_word((line, set(words_of(line))) for line in self._all)

    @cached_property
    def _sets(self) -> Mapping[str, list[tuple[str, set[str]]]]:
        """Each line with its lower-case words, by word."""
        sets = ((line, word_set(line)) for line in self._all)
        return _by_word(((line, words), words) for line, words in sets)

    def has_all(self, lines: Sequence[str]) -> bool:
        """Whether the index has all of these stripped lines."""
        return set(lines) <= self._all.keys()

    def has_most(self, lines: Sequence[str]) -> bool:
        """Whether the index has half of these stripped lines, and the others in another form."""
        other = [line for line in lines if line not in self._all]
        return 2 * len(other) <= len(lines) and all(map(self.like, other))

    def like(self, line: str) -> str:
        """A similar line; "" if there isn't one."""
        # The rarest words lead to the few lines worth comparing.
        from rapidfuzz import fuzz  # slow to import

        words = sorted(set(words_of(line)), key=lambda word: (len(self._lines.get(word, ())), word))
        indexed = [word for word in words if word in self._lines][:3]
        code = _COMMENT.sub("", line)
        return next(
            (
                candidate
                for word in indexed
                for candidate in self._lines[word][:20]
                if _COMMENT.sub("", candidate) == code
                or fuzz.ratio(line, candidate, score_cutoff=_NEAR)
            ),
            "",
        )

    def has_rewritten(self, lines: Sequence[str], vocabulary: set[str], sure: bool) -> bool:
        """Whether the index has at least half of these lines in other words.

        vocabulary: every line with one of these words needs a trace.
        sure: whether a good trace is already known; otherwise one is needed, or several weak ones.
        """
        good = weak = 0
        used = set()  # each line matches only one other
        for line in lines:
            words = word_set(line)
            own = words & vocabulary
            near = {
                x: words_there
                for word in sorted(own or words)
                for x, words_there in self._sets.get(word, ())
            }
            halves = [
                x
                for x, words_there in near.items()
                if x not in used and 2 * len(words & words_there) >= len(words)
                if 2 * len(own & words_there) >= len(own) > 0
            ]
            if like := self.like(line):
                used.add(like)
                good += 1
            elif len(words) > 1 and any(words_there > words for words_there in near.values()):
                good += 1
            elif own and any(
                own <= words_there and 3 * len(words & words_there) >= 2 * len(words)
                for words_there in near.values()
            ):
                good += 1  # this side's own words, in a very similar line
            elif any(words_there >= (own or words) for words_there in near.values()):
                weak += 1
            elif halves:
                used.add(halves[0])
                weak += 1
            elif own:
                return False
        traces = good + weak
        return 0 < len(lines) <= 2 * traces and (sure or good > 0 or traces >= _SURE)


def _by_word(lines: Iterable[tuple[_T, Iterable[str]]]) -> Mapping[str, list[_T]]:
    by_word: dict[str, list[_T]] = defaultdict(list)
    for line, words in lines:
        for word in words:
            by_word[word].append(line)
    return by_word


class Squeezed:
    """A text without white space that knows where its lines begin and end."""

    def __init__(self, lines: Sequence[str]) -> None:
        pieces = _pieces(lines)
        self._text = "".join(pieces)
        self._ends = {0, *accumulate(map(len, pieces))}

    def count(self, lines: Sequence[str]) -> int:
        """How often some lines occur, whatever the line breaks inside them; a trailing comma may be
        added or missing."""
        wanted = squeezed(lines).removesuffix(",")
        occurrences, start = 0, self._text.find(wanted) if wanted else -1
        while start >= 0:
            end = start + len(wanted)
            ends = {end, end + self._text.startswith(",", end)}
            occurrences += start in self._ends and not ends.isdisjoint(self._ends)
            start = self._text.find(wanted, start + 1)
        return occurrences


def squeezed(lines: Sequence[str]) -> str:
    """Lines as one word, without what a formatter changes."""
    return "".join(_pieces(lines))


def _pieces(lines: Sequence[str]) -> list[str]:
    """Lines without what a formatter changes: white space, the kind of quotes, a comma before the
    closing bracket of a list over several lines."""
    pieces = ["".join(line.split()).replace("'", '"') for line in lines]
    return [
        piece[:-1] if piece.endswith(",") and after.startswith((")", "]", "}")) else piece
        for piece, after in zip(pieces, [*pieces, ""][1:], strict=True)
    ]


def word_set(line: str) -> set[str]:
    """The words of a text, in lower case."""
    return set(words_of(line.lower()))


def tokens_of(line: str) -> list[str]:
    """The words and signs of a line."""
    return re.findall(r"\w+|[^\w\s]", line)


def is_inside(tokens: Sequence[str], others: Sequence[str]) -> bool:
    """Whether tokens are among others in the same order."""
    left = iter(others)
    return all(token in left for token in tokens)


def words_of(line: str) -> list[str]:
    """The words of two characters or more."""
    return re.findall(r"\w{2,}", line)


def stripped_lines(lines: Iterable[str]) -> list[str]:
    """Lines without the white space around them, those that have something else."""
    return [line.strip() for line in lines if line.strip()]
