"""Hunks of a file that is merged by name: what each becomes, if that is known. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import pairwise

from ..run.text import lines_of, substantive, too_long
from . import languages, named
from .hunks import Hunk, Segment, Texts
from .languages import Language
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
    wanted = [
        index
        for index in wanted
        if isinstance(hunk := segments[index], Hunk)
        and not _is_back(hunk)
        and not needs_what_is_gone(path, texts, hunk)
    ]
    work = list(segments)
    kept = words_of([texts.ours]) & words_of([texts.theirs])
    results: dict[int, tuple[tuple[str, ...], str]] = {}

    def attempt(chosen: Sequence[int]) -> None:
        answers = []
        left = any(isinstance(x, Hunk) and i not in chosen for i, x in enumerate(work))
        if left and any(_is_nested_anew(segments[i]) for i in chosen):
            return
        for side in ("ours", "theirs") if left else ("ours",):
            sides = (_text(work, chosen, x, side) for x in ("base", "ours", "theirs"))
            merged, done = named.merged(path, list(sides), upstream_keys) or ("", None)
            lines = _lines_in(merged, work, chosen, side) if done else None
            # The other side must not need anything that one side no longer has in the whole file.
            if not done or lines is None or (done.gone - kept) & words_of([merged]):
                return
            if not all(map(is_wish, done.dropped)):
                return
            answers.append(lines)
        if answers[0] == answers[-1]:
            settled(dict(zip(chosen, answers[0], strict=True)), PARTS)

    def settled(lines: Mapping[int, tuple[str, ...]], why: str) -> None:
        for i, became in lines.items():
            results[i], work[i] = (became, why), "".join(became)

    language = languages.language_of(path)
    if not wanted or language is None or too_long(path, texts.base, texts.ours, texts.theirs):
        return {}
    for index in sorted(wanted):
        if lines := _but_for_form(language, work, index):
            settled({index: lines}, FORM)
    if set(wanted) - set(results):
        attempt(sorted(set(wanted) - set(results)))
    before = -1
    while before < len(results) < len(wanted) and len(wanted) > 1:
        before = len(results)
        for index in sorted(set(wanted) - set(results)):
            attempt([index])
    return results


def needs_what_is_gone(path: str, texts: Texts, hunk: Hunk) -> bool:
    """Whether one side of a hunk adds a reference to something that the other side has renamed
    everywhere: of the base's many references to it, hardly any are left there."""
    language = languages.language_of(path)
    if language is None or language.maps or too_long(path, texts.base, texts.ours, texts.theirs):
        return False
    before = Counter(_WORD.findall("".join(hunk.base or ())))
    for lines, side in ((hunk.theirs, texts.ours), (hunk.ours, texts.theirs)):
        added = Counter(_WORD.findall("".join(lines))) - before
        words = [word for word in added if word in texts.base]
        if not words:
            continue
        trees = [Tree(language, x.encode("utf-8", "surrogateescape")) for x in (texts.base, side)]
        for word in words:
            once, now = (tree.references(word.encode()) for tree in trees)
            if once > max(now, 1) * _RENAMED:
                return True
    return False


def is_in_text(path: str, before: str, added: str, after: str) -> bool:
    """Whether an addition is inside a string of several lines."""
    language = languages.language_of(path)
    if language is None or too_long(path, before, after):
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
