"""Hunks of a file that is merged by name: what each becomes, if that is known. Pure."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

from ..run.text import lines_of, substantive, too_long
from . import languages, named
from .hunks import Hunk, Segment, Texts
from .languages import Language
from .named import Rest
from .trees import Tree, are_alike, is_sound, words_of

FORM, PARTS = "form", "parts"

_WORD = re.compile(r"[^\W\d]\w+")
_RENAMED = 10
"""A side has renamed something if the base refers to it more often than this per reference that is
left."""


def settle(
    path: str,
    texts: Texts,
    segments: Sequence[Segment],
    wanted: Collection[int],
    is_wish: Callable[[str], bool] = lambda text: True,
    upstream_keys: Collection[str] = (),
) -> dict[int, tuple[tuple[str, ...], str]]:
    """The resulting lines of hunks in an otherwise unchanged file, by position, and why: `FORM` or
    `PARTS`. Hunks whose result is unknown or depends on another hunk are left out.

    texts: the file's text on each side.
    segments, wanted: the file, and the positions of the hunks that may be settled.
    is_wish: whether a part that the fork's side lacks was removed on purpose, by its text.
    """
    language = languages.language_of(path)
    if not wanted or language is None or too_long(path, texts.base, texts.ours, texts.theirs):
        return {}
    gone = Gone(language, texts)
    wanted = [
        index
        for index in sorted(wanted)
        if isinstance(hunk := segments[index], Hunk)
        and not _is_back(hunk)
        and not gone.is_needed(hunk)
    ]
    kept = words_of([texts.ours]) & words_of([texts.theirs])
    cuts = _Cuts(language, segments)
    file = _File(path, segments, cuts, kept, is_wish, upstream_keys)
    work = list(segments)
    results: dict[int, tuple[tuple[str, ...], str]] = {}

    def settled(lines: Mapping[int, tuple[str, ...]], why: str) -> None:
        for i, became in lines.items():
            results[i], work[i] = (became, why), "".join(became)

    for index in wanted:
        near = cuts.around(work, [index])
        if lines := _but_for_form(language, near.segments, index - near.first):
            settled({index: lines}, FORM)
    for chosen in cuts.groups([i for i in wanted if i not in results]):
        settled(file.by_parts(work, chosen), PARTS)
    before = -1
    while before < len(results) < len(wanted) and len(wanted) > 1:
        before = len(results)
        for index in (i for i in wanted if i not in results):
            settled(file.by_parts(work, [index]), PARTS)
    return results


@dataclass(frozen=True)
class _File:
    """A file whose hunks are merged by its parts.

    kept: the words that both sides have in the whole file.
    """

    path: str
    segments: Sequence[Segment]
    cuts: _Cuts
    kept: set[str]
    is_wish: Callable[[str], bool]
    upstream_keys: Collection[str]

    def by_parts(
        self, work: Sequence[Segment], chosen: Sequence[int]
    ) -> dict[int, tuple[str, ...]]:
        """The lines of some hunks, by position; empty if that is unknown.

        work: the file with what is settled already.
        """
        near = self.cuts.around(work, chosen)
        here = [i - near.first for i in chosen]
        left = any(isinstance(x, Hunk) and i not in here for i, x in enumerate(near.segments))
        if left and any(_is_nested_anew(self.segments[i]) for i in chosen):
            return {}
        answers = []
        for side in ("ours", "theirs") if left else ("ours",):
            sides = [_text(near.segments, here, x, side) for x in ("base", "ours", "theirs")]
            done = named.merged(self.path, sides, self.upstream_keys, near.rest)
            lines = _lines_in(done[0], near.segments, here, side) if done else None
            if not done or lines is None:
                return {}
            text, made = done
            # The other side must not need anything that one side no longer has in the whole file.
            if (made.gone - self.kept) & words_of([text, near.rest.text]):
                return {}
            if not all(map(self.is_wish, made.dropped)):
                return {}
            answers.append(lines)
        if answers[0] != answers[-1]:
            return {}
        return dict(zip(chosen, answers[0], strict=True))


@dataclass(frozen=True)
class _Near:
    """A file cut to the parts of its top level around some hunks.

    first: the position of its first segment in the file. rest: what is outside of it.
    """

    segments: Sequence[Segment]
    first: int
    rest: Rest


class _Cuts:
    """Where a file with hunks can be cut: between the parts of its top level. What is merged inside
    one part does not depend on the others."""

    def __init__(self, language: Language, segments: Sequence[Segment]) -> None:
        self.end = (len(segments), 0)
        self.names: list[tuple[tuple[int, int], str]] = []  # of the parts that begin in hunks
        self.places: list[tuple[int, int]] = []
        if not language.maps:
            both = (self._read(language, segments, side) for side in ("ours", "theirs"))
            self.places = sorted(next(both) & next(both))

    def _read(
        self, language: Language, segments: Sequence[Segment], side: str
    ) -> set[tuple[int, int]]:
        """The places at which a part begins a line outside of hunks: segment, and line in it."""
        lines = [_text([x], (), "", side).count("\n") for x in segments]
        starts = [0, *accumulate(lines)]
        tree = Tree(language, _text(segments, (), "", side).encode("utf-8", "surrogateescape"))
        root: Any = tree.root
        places, last = set(), -1
        for child in root.children:
            (row, _), (end, column) = child.start_point, child.end_point
            at = min(bisect_right(starts, row), len(segments)) - 1
            place = at, row - starts[at]
            if isinstance(segments[at], Hunk):
                self.names.append((place, tree.name(child)))
            elif row > last:
                places.add(place)
            last = end if column else end - 1
        return places

    def _range(self, chosen: Sequence[int]) -> tuple[tuple[int, int], tuple[int, int]]:
        """From where to where the parts around hunks reach, with one more on each side."""
        above = bisect_left(self.places, (chosen[0], 0)) - 2
        below = bisect_left(self.places, (chosen[-1] + 1, 0)) + 1
        return (
            self.places[above] if above >= 0 else (0, 0),
            self.places[below] if below < len(self.places) else self.end,
        )

    def groups(self, wanted: Sequence[int]) -> list[list[int]]:
        """Hunks that are near to each other."""
        groups: list[list[int]] = []
        for index in wanted:
            if groups and self._range([index])[0] < self._range(groups[-1])[1]:
                groups[-1].append(index)
            else:
                groups.append([index])
        return groups

    def around(self, work: Sequence[Segment], chosen: Sequence[int]) -> _Near:
        """The file around hunks."""
        start, end = self._range(chosen)
        pieces = [*work[start[0] : end[0] + 1]]
        outside = [*work[: start[0]], *work[end[0] + 1 :]]
        if end[1] and isinstance(last := pieces[-1], str):
            lines = lines_of(last)
            pieces[-1] = "".join(lines[: end[1]])
            outside.append("".join(lines[end[1] :]))
        elif end != self.end:
            outside.append(pieces.pop())
        if start[1] and isinstance(top := pieces[0], str):
            lines = lines_of(top)
            pieces[0] = "".join(lines[start[1] :])
            outside.append("".join(lines[: start[1]]))
        names = {name for place, name in self.names if not start <= place < end}
        text = "".join(_text(outside, (), "", side) for side in ("ours", "theirs"))
        return _Near(pieces, start[0], Rest(text, names))


def stems(words: Iterable[str]) -> set[str]:
    """The parts of compound words, such as `Theme` and `Dark` of `Theme_Dark`."""
    return {part for word in words if "_" in word for part in word.split("_") if len(part) > 2}


class Gone:
    """What the sides have renamed everywhere: of the base's many references to it, hardly any are
    left there; or no name is left that begins or ends as several in the base do, such as `old_`."""

    def __init__(self, language: Language, texts: Texts) -> None:
        self.language, self.texts = language, texts
        self.trees: dict[str, Tree] = {}
        self.answers: dict[tuple[str, str], bool] = {}

    def is_needed(self, hunk: Hunk) -> bool:
        """Whether one side of a hunk adds a reference to something that the other side renamed."""
        if self.language.maps or not self.language.wheel:
            return False
        before = Counter(_WORD.findall("".join(hunk.base or ())))
        return any(
            self._is_gone(word, side) or not self._stems_in(word, side).isdisjoint(stems(before))
            for lines, side in ((hunk.theirs, self.texts.ours), (hunk.ours, self.texts.theirs))
            for word in Counter(_WORD.findall("".join(lines))) - before
        )

    def _stems_in(self, word: str, side: str) -> set[str]:
        """The stems of a word that a side no longer has, although the base has them in several
        words."""
        return {
            stem
            for stem in stems([word])
            if stem not in side and len(re.findall(rf"\b\w*{stem}\w*\b", self.texts.base)) > 1
        }

    def _is_gone(self, word: str, side: str) -> bool:
        if (word, side) not in self.answers:
            self.answers[word, side] = self._ask(word, side)
        return self.answers[word, side]

    def _ask(self, word: str, side: str) -> bool:
        most = self.texts.base.count(word)
        if most <= _RENAMED:
            return False
        now = self._tree(side).references(word.encode(), most // _RENAMED + 1)
        least = max(now, 1) * _RENAMED
        return most > least and self._tree(self.texts.base).references(word.encode()) > least

    def _tree(self, text: str) -> Tree:
        if text not in self.trees:
            self.trees[text] = Tree(self.language, text.encode("utf-8", "surrogateescape"))
        return self.trees[text]


def needs_what_is_gone(path: str, texts: Texts, hunk: Hunk) -> bool:
    """Whether one side of a hunk adds a reference to something that the other side has renamed
    everywhere."""
    language = languages.language_of(path)
    if language is None or too_long(path, texts.base, texts.ours, texts.theirs):
        return False
    return Gone(language, texts).is_needed(hunk)


def is_in_text(path: str, before: str, added: str, after: str) -> bool:
    """Whether an addition is inside a string of several lines."""
    language = languages.language_of(path)
    if language is None or not language.wheel or too_long(path, before, after):
        return False
    place = len((before + added[: -len(added.lstrip())]).encode("utf-8", "surrogateescape"))
    tree = Tree(language, (before + added + after).encode("utf-8", "surrogateescape"))
    return tree.is_in_text(place)


def _but_for_form(
    language: Language, segments: Sequence[Segment], index: int
) -> tuple[str, ...] | None:
    """The other side's lines if one side of a hunk changed only the form, or both made the same
    change in different forms; independent of other hunks."""
    hunk = segments[index]
    assert isinstance(hunk, Hunk)
    others: set[tuple[str, ...] | None] = set()
    if language.bare and language.maps:
        return None  # in YAML indentation and quotes have meaning
    sides = (hunk.base or (), hunk.ours, hunk.theirs)
    words = [Counter(re.findall(r"\w+", "".join(lines))) for lines in sides]
    if words[0] not in words[1:] and words[1] != words[2]:
        return None  # before comparing trees, which takes longer
    if _is_nested_anew(hunk) and sum(isinstance(x, Hunk) for x in segments) > 1:
        return None
    for other in ("ours", "theirs"):
        texts = (_text(segments, [index], side, other) for side in ("base", "ours", "theirs"))
        trees = [Tree(language, text.encode("utf-8", "surrogateescape")) for text in texts]
        base, ours, theirs = (tree.root for tree in trees)
        if not is_sound(trees[:2], trees[2], is_python=False):
            return None
        if are_alike(ours, theirs, language) or are_alike(base, ours, language):
            others.add(hunk.theirs)
        else:
            others.add(hunk.ours if are_alike(base, theirs, language) else None)
    return others.pop() if len(others) == 1 else None


def _is_back(hunk: Hunk) -> bool:
    """Whether one side added a line that the other removed, so that nobody can say which is
    right."""
    base, ours, theirs = (
        Counter(line.strip() for line in lines if re.search(r"\w", line))
        for lines in (hunk.base or (), hunk.ours, hunk.theirs)
    )
    return bool((base - ours) & (theirs - base) or (base - theirs) & (ours - base))


def _is_nested_anew(hunk: Segment) -> bool:
    """Whether a side indents lines of the base differently: what opens or closes around them may be
    in another hunk."""
    assert isinstance(hunk, Hunk)
    base = hunk.base or ()
    said = {line.strip() for line in base if substantive(line)}
    return any(x.strip() in said for side in (hunk.ours, hunk.theirs) for x in {*side} - {*base})


def _text(segments: Sequence[Segment], chosen: Collection[int], side: str, other: str) -> str:
    """The text with one side for the chosen hunks and another side for the others."""
    return "".join(
        x if isinstance(x, str) else "".join(getattr(x, side if i in chosen else other) or ())
        for i, x in enumerate(segments)
    )


def _lines_in(
    merged: str, segments: Sequence[Segment], chosen: Sequence[int], other: str
) -> list[tuple[str, ...]] | None:
    """The lines of a text in the place of hunks; None if it differs elsewhere."""
    places = [-1, *chosen, len(segments)]
    fixed = [_text(segments[a + 1 : b], (), "", other) for a, b in pairwise(places)]
    end = len(merged) - len(fixed[-1])
    if not (merged.startswith(fixed[0]) and merged.endswith(fixed[-1])):
        return None
    lines, at = [], len(fixed[0])
    for text in fixed[1:-1]:
        place = merged.find(text, at, end)
        if place < 0:
            return None
        lines.append(tuple(lines_of(merged[at:place])))
        at = place + len(text)
    return [*lines, tuple(lines_of(merged[at:end]))] if at <= end else None
