"""Hunks of a file that is merged by name: what each becomes, if that is known. Pure."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher

from ..run.text import lines_of, substantive, too_long
from . import gone, languages, named
from .cuts import Cuts, Near, lines_in, text_of
from .hunks import Hunk, Segment, Texts
from .languages import Language
from .trees import Tree, are_alike, is_sound, words_of

FORM, PARTS = "form", "parts"
LONG = "The file is too long to try each hunk by the parts of the file."

_STRING = re.compile(r"\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'")

_MOST = 6_000_000
"""Characters that are merged for one file at most, in all attempts: some two seconds. Hunks after
that are left."""


def settle(
    path: str,
    texts: Texts,
    segments: Sequence[Segment],
    wanted: Collection[int],
    is_wish: Callable[[str], bool] = lambda text: True,
    upstream_keys: Collection[str] = (),
) -> tuple[dict[int, tuple[tuple[str, ...], str]], str]:
    """The resulting lines of hunks in an otherwise unchanged file, by position, and why: `FORM` or
    `PARTS`. Hunks whose result is unknown or depends on another hunk are left out. Also returns why
    not all of them were tried; "" if they were.

    texts: the file's text on each side.
    segments, wanted: the file, and the positions of the hunks that may be settled.
    is_wish: whether a part that the fork's side lacks was removed on purpose, by its text.
    """
    language = languages.language_of(path, texts.base)
    if not wanted or language is None:
        return {}, ""
    if too_long(path, texts.base, texts.ours, texts.theirs):
        return {}, LONG
    lost = gone.of(language, texts)
    wanted = [
        index
        for index in sorted(wanted)
        if isinstance(hunk := segments[index], Hunk)
        and not _is_back(hunk)
        and not (language.wheel and not language.maps and _is_replaced(hunk))
        and not lost.is_elsewhere(hunk)
        and not lost.is_needed(hunk)
        and not lost.is_used(hunk)
        and not lost.is_from_elsewhere(hunk)
        and not (not language.maps and gone.share_a_number(texts, hunk))
    ]
    try:
        cuts = Cuts(language, segments, texts.base)
        settling = _Settling(path, language, texts, segments, cuts, is_wish, upstream_keys)
    except (SyntaxError, ValueError, RecursionError):
        return {}, ""  # a parser may do anything with an odd text
    results = settling.results(wanted)
    return results, LONG if settling.read > _MOST else ""


@dataclass
class _Settling:
    """The settling of one file's hunks, in progress."""

    path: str
    language: Language
    texts: Texts
    segments: Sequence[Segment]
    cuts: Cuts
    is_wish: Callable[[str], bool]
    upstream_keys: Collection[str]
    done: dict[int, tuple[tuple[str, ...], str]] = field(default_factory=dict)
    tried: dict[int, Sequence[Segment]] = field(default_factory=dict)
    read: int = 0

    def __post_init__(self) -> None:
        self.work = list(self.segments)
        self.kept = words_of([self.texts.ours]) & words_of([self.texts.theirs])

    def results(self, wanted: Sequence[int]) -> dict[int, tuple[tuple[str, ...], str]]:
        """What becomes of the wanted hunks."""
        for index in wanted:
            near = self.cuts.around(self.work, [index])
            if lines := _but_for_form(self.language, near.segments, index):
                self._settle({index: lines}, FORM)
        for chosen in self.cuts.groups([i for i in wanted if i not in self.done]):
            self._attempt(chosen)
        before = -1
        while before < len(self.done) < len(wanted) and len(wanted) > 1:
            before = len(self.done)
            for index in (i for i in wanted if i not in self.done):
                self._attempt([index])
        return self.done

    def _settle(self, lines: Mapping[int, tuple[str, ...]], why: str) -> None:
        for i, became in lines.items():
            self.done[i], self.work[i] = (became, why), "".join(became)

    def _attempt(self, chosen: Sequence[int]) -> None:
        """Settle hunks together, if they become the same whatever becomes of the others."""
        answers = []
        near = self.cuts.around(self.work, chosen)
        if self.tried.get(chosen[0]) == near.segments:
            return  # nothing near it has been settled since
        self.tried[chosen[0]] = near.segments if len(chosen) == 1 else ()
        left = any(isinstance(x, Hunk) and i not in chosen for i, x in enumerate(near.segments))
        if left and any(_is_nested_anew(self.segments[i]) for i in chosen):
            return
        for side in ("ours", "theirs") if left else ("ours",):
            lines = self._merged(near, chosen, side)
            if lines is None:
                return
            answers.append(lines)
        if answers[0] == answers[-1] and not any(
            _is_doubled(self.texts, self.segments, i, lines)
            for i, lines in zip(chosen, answers[0], strict=True)
        ):
            self._settle(dict(zip(chosen, answers[0], strict=True)), PARTS)

    def _merged(self, near: Near, chosen: Sequence[int], side: str) -> list[tuple[str, ...]] | None:
        """What hunks become if all others become one side; None if that is unknown."""
        sides = [text_of(near.segments, chosen, x, side) for x in ("base", "ours", "theirs")]
        self.read += sum(map(len, sides))
        if self.read > _MOST:
            return None
        words = {word for i in chosen for word in gone.bound(self.segments[i], self.language)}
        if not self.language.maps and gone.is_used(words, [*map(gone.mentions, sides)]):
            return None
        merged, work = named.merged(self.path, sides, self.upstream_keys, near.rest) or ("", None)
        # The other side must not need anything that one side no longer has in the whole file.
        if not work or (work.gone - self.kept) & words_of([merged, near.rest.text]):
            return None
        if not all(map(self.is_wish, work.dropped)) or work.needs_twice(self.texts):
            return None
        return lines_in(merged, near.segments, chosen, side)


def is_in_text(path: str, before: str, added: str, after: str) -> bool:
    """Whether an addition is inside a string of several lines."""
    language = languages.language_of(path, before)
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
        texts = (text_of(segments, [index], side, other) for side in ("base", "ours", "theirs"))
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


def _is_replaced(hunk: Hunk) -> bool:
    """Whether one side put another word in the place of one, wherever the base's hunk has it, and
    the other side has that one more often than before; or one changed how many values are
    returned, and the other returns at one more place."""
    texts = ["".join(lines) for lines in (hunk.base or (), hunk.ours, hunk.theirs)]
    said = [_TOKEN.findall(_NOTE.sub("", text)) for text in texts]
    returned = [{*map(_values, _RETURN.findall(text))} for text in texts]
    base, *sides = map(Counter, said)
    for mine, other in ((1, 2), (2, 1)):
        if base["return"] < sides[other - 1]["return"] and not returned[0] <= returned[mine]:
            return True
        more = {x for x, n in (sides[other - 1] - base).items() if n and x in base}
        gone = {x for x in more if x.isidentifier() and not sides[mine - 1][x]}
        if gone and (len(said[0]) > _MOST_WORDS or gone & _replaced(said[0], said[mine])):
            return True
    return False


def _replaced(old: Sequence[str], new: Sequence[str]) -> set[str]:
    """The words that another word replaces, always the same one."""
    became: defaultdict[str, set[str]] = defaultdict(set)
    for op, i, j, k, m in SequenceMatcher(None, old, new).get_opcodes():
        words = [[x for x in part if x.isidentifier()] for part in (old[i:j], new[k:m])]
        if op != "equal":
            same = len(words[0]) == len(words[1])
            for number, word in enumerate(words[0]):
                became[word].add(words[1][number] if same else "")
    return {word for word, others in became.items() if len(others) == 1 and "" not in others}


def _values(returned: str) -> int:
    """How many values a return has."""
    while returned != (flat := re.sub(r"\([^()]*\)|\[[^][]*\]|\{[^{}]*\}", "", returned)):
        returned = flat
    return flat.count(",")


_MOST_WORDS = 10_000
"""In a longer hunk, nothing looks for what replaced a word, which takes long: it is left."""
_RETURN = re.compile(r"\breturn\b(.*)")
_TOKEN = re.compile(r"\w+|[^\w\s]")
_NOTE = re.compile(rf"{_STRING.pattern}|//.*|/\*.*?(?:\*/|$)|^\s*[*#].*", re.MULTILINE)


def _is_doubled(
    texts: Texts, segments: Sequence[Segment], index: int, lines: Sequence[str]
) -> bool:
    """Whether a hunk gets lines twice of which both sides have one: more than a side has of its
    own, because they wrote the same under two names; or one that they moved to the same place."""
    hunk = segments[index]
    assert isinstance(hunk, Hunk)
    there = Counter(x for part in segments if isinstance(part, str) for x in lines_of(part))
    base, ours, theirs, now = map(Counter, (hunk.base or (), hunk.ours, hunk.theirs, lines))
    both = (ours & theirs) + there
    new = (sum(map(substantive, side - base - both)) for side in (ours, theirs))
    twice = {x: n for x, n in (now - (ours | theirs)).items() if both[x] and substantive(x)}
    if not twice:
        return False
    before, *after = (Counter(lines_of(text)) for text in (texts.base, texts.ours, texts.theirs))
    moved = any(0 < before[x] == after[0][x] == after[1][x] for x in twice)
    return moved or sum(twice.values()) > min(new)


def _is_nested_anew(hunk: Segment) -> bool:
    """Whether a side indents lines of the base differently: what opens or closes around them may be
    in another hunk."""
    assert isinstance(hunk, Hunk)
    base = hunk.base or ()
    said = {line.strip() for line in base if substantive(line)}
    return any(x.strip() in said for side in (hunk.ours, hunk.theirs) for x in {*side} - {*base})
