"""Hunks of a file that is merged by name: what each becomes, if that is known. Pure."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from functools import lru_cache
from typing import Any

from ..run.text import lines_of, substantive, too_long
from . import languages, named
from .cuts import Cuts, Near, lines_in, text_of
from .hunks import Hunk, Segment, Texts
from .languages import Language
from .trees import Tree, are_alike, is_sound, words_of

FORM, PARTS = "form", "parts"
LONG = "The file is too long to try each hunk by the parts of the file."

_WORD = re.compile(r"[^\W\d]\w+")
_MEMBER = re.compile(r"(?<![\w.])[^\W\d]\w*(?:\.|->|::)[^\W\d]\w*")
_STRING = re.compile(r"\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'")
_RENAMED = 10
"""A side has renamed something if the base refers to it more often than this per reference that is
left."""

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
    gone = _gone(language, texts)
    wanted = [
        index
        for index in sorted(wanted)
        if isinstance(hunk := segments[index], Hunk)
        and not _is_back(hunk)
        and not (language.wheel and not language.maps and _is_replaced(hunk))
        and not gone.is_elsewhere(hunk)
        and not gone.is_needed(hunk)
        and not gone.is_used(hunk)
        and not gone.is_from_elsewhere(hunk)
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
        words = {word for i in chosen for word in _bound(self.segments[i], self.language)}
        if not self.language.maps and _is_used(words, [*map(_mentions, sides)]):
            return None
        merged, work = named.merged(self.path, sides, self.upstream_keys, near.rest) or ("", None)
        # The other side must not need anything that one side no longer has in the whole file.
        if not work or (work.gone - self.kept) & words_of([merged, near.rest.text]):
            return None
        if not all(map(self.is_wish, work.dropped)) or work.needs_twice(self.texts):
            return None
        return lines_in(merged, near.segments, chosen, side)


def stems(words: Iterable[str]) -> set[str]:
    """The parts of compound words, such as `Theme` and `Dark` of `Theme_Dark`."""
    return {part for word in words if "_" in word for part in word.split("_") if len(part) > 2}


_EVERYTHING = re.compile(
    r"^[ \t]*(?:import[ \t]+(?:static[ \t]+)?[\w.]+\.\*|from[ \t]+\S+[ \t]+import[ \t]+\*"
    r"|(?:pub[ \t]+)?use[ \t]+[\w:]+::\*|using[ \t]+namespace[ \t]+[\w:]+)",
    re.MULTILINE,
)
"""Imports of every name that something has."""


@lru_cache(maxsize=4)
def _everything(text: str) -> frozenset[str]:
    return frozenset(_EVERYTHING.findall(text))


_DEFINITION = re.compile("(function|method)_(definition|declaration|item)|^method$")
_BARE = re.compile(r"(?<![\w.])[a-z_]\w+(?=[ \t]*[.,)\]])")
_ALWAYS = {"this", "super", "self", "it", "null", "nil", "true", "false"}


_DEFINES = re.compile(
    r"\b(?:va[lr]|let|const|fun|def|func|fn)[ \t]+(\w+)|\b(\w+)[ \t]*[:=](?!=)|^import\b(.*)",
    re.MULTILINE,
)


def _are_from_elsewhere(names: Set[str], text: str, *others: str) -> bool:
    """Whether a text does not seem to define one of some names, and other texts do not have it."""
    unknown = names - words_of(others)
    defined = (part for found in _DEFINES.findall(text) for part in found) if unknown else ()
    return not unknown <= words_of(defined)


class Gone:
    """What the sides have renamed everywhere: of the base's many references to it, hardly any are
    left there; or no name is left that begins or ends as several in the base do, such as `old_`."""

    def __init__(self, language: Language, texts: Texts) -> None:
        self.language, self.texts = language, texts
        self.trees: dict[str, Tree] = {}
        self.answers: dict[tuple[str, str], bool] = {}
        self.counts: list[Counter[str]] = []
        self.members: list[Counter[str]] = []
        self.parts: Counter[str] = Counter()

    def is_used(self, hunk: Hunk) -> bool:
        """Whether one side of a hunk removed the file's last mention of something that the other
        side mentions more often than before, although the hunk is where it comes from; or that the
        other side's lines name as a part of something, such as `api.backend`."""
        if self.language.maps:
            return False
        if _is_used(_bound(hunk, self.language), self._counts()):
            return True
        if not self.members:
            texts = (self.texts.base, self.texts.ours, self.texts.theirs)
            self.members = [Counter(_MEMBER.findall(_STRING.sub("", text))) for text in texts]
        named = _MEMBER.findall(_STRING.sub("", "".join((*hunk.ours, *hunk.theirs))))
        return _is_used([name for name in named if self.members[0][name]], self.members)

    def is_from_elsewhere(self, hunk: Hunk) -> bool:
        """Whether one side imports a name from somewhere else than the base, which does so outside
        of the hunk, and the other side uses that name more often than before."""
        texts, (before, *now) = self.texts, self._counts()
        for lines, side, count in (
            (hunk.ours, texts.ours, now[1]),
            (hunk.theirs, texts.theirs, now[0]),
        ):
            base = set(hunk.base or ())
            new = self._imported(set(lines) - base)
            used = {name for name in new if count[name] > before[name]}
            gone = set(texts.base.splitlines(True)) - base if used else set()
            if used & self._imported(gone - set(side.splitlines(True))):
                return True
        return False

    def is_elsewhere(self, hunk: Hunk) -> bool:
        """Whether one side has the hunk in another definition than the other side, which has both
        definitions."""
        if self.language.maps or not self.language.wheel:
            return False
        texts = (self.texts.ours, self.texts.theirs)
        places = [self._definition(*x) for x in zip(texts, (hunk.ours, hunk.theirs), strict=True)]
        if None in places or places[0] == places[1]:
            return False
        words = [words_of([text]) for text in texts]
        return any(places[i] in words[1 - i] for i in (0, 1))

    def _definition(self, text: str, lines: Sequence[str]) -> str | None:
        """The name of the definition around lines of a side, "" if none is; None if they are not
        there exactly once."""
        part = "".join(lines)
        if not any(map(substantive, lines)) or text.count(part) != 1:
            return None
        tree = self._tree(text)
        root: Any = tree.root
        at = len(text[: text.index(part)].encode("utf-8", "surrogateescape"))
        end = at + len(part.rstrip().encode("utf-8", "surrogateescape"))
        node = root.descendant_for_byte_range(at, end)
        while node is not None:
            if _DEFINITION.search(node.type) and (name := node.child_by_field_name("name")):
                return str(name.text.decode(errors="replace"))
            node = node.parent
        return ""

    def _imported(self, lines: Iterable[str]) -> set[str]:
        return {name for line in lines for name in _imported(line, self.language)}

    def _counts(self) -> list[Counter[str]]:
        if not self.counts:
            texts = (self.texts.base, self.texts.ours, self.texts.theirs)
            self.counts = [*map(_mentions, texts)]
        return self.counts

    def is_needed(self, hunk: Hunk) -> bool:
        """Whether one side of a hunk adds a reference to something that the other side renamed or
        no longer imports."""
        if self.language.maps or not self.language.wheel:
            return False
        before = Counter(_WORD.findall("".join(hunk.base or ())))
        texts = self.texts
        for lines, mine, other in (
            (hunk.ours, texts.ours, texts.theirs),
            (hunk.theirs, texts.theirs, texts.ours),
        ):
            if _everything(texts.base) - _everything(other):
                names = set(_BARE.findall("".join(lines))) - _ALWAYS
                if _are_from_elsewhere(names, mine, texts.base, other):
                    return True
        parts = stems(before)
        return any(
            self._is_gone(word, side) or self._is_like_gone(stems([word]) & parts, side)
            for lines, side in ((hunk.theirs, self.texts.ours), (hunk.ours, self.texts.theirs))
            for word in Counter(_WORD.findall("".join(lines))) - before
        )

    def _is_like_gone(self, parts: Set[str], side: str) -> bool:
        """Whether a side no longer has a part of words that the base has in several words."""
        if parts and not self.parts:
            words = _WORD.findall(self.texts.base)
            self.parts = Counter(part for word in words for part in stems([word]))
        return any(self.parts[part] > 1 and part not in side for part in parts)

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


def _mentions(text: str) -> Counter[str]:
    """How often a text has each word outside of strings."""
    return Counter(_WORD.findall(_STRING.sub("", text)))


_IMPORT = re.compile(r"(import|from|use|using|export|#include)\b|.*\brequire\(")
_NAMED = re.compile(
    r"\b(?:def|class|function|func|fn|interface|type|enum|struct|const|let|var|val)\s+"
    r"(\w+|\{[^}]*\}|\[[^]]*\])|^[\w*&<>:,. ]*?\b(\w+)\s*(?::[^=]+)?:?=(?![=>])"
)


_GO_IMPORT = re.compile(
    r"\s*(?:import\s+)?(?:(\w+)\s+)?\"(?:[^\"\n]*?/)?([^\"\n/]+)(?:/v\d+)?\"\s*(?://.*\s*)?"
)
_SOURCE = re.compile(r"^.*?\b(?:import|use|using)\b(\s+(static|type)\b)?|\bfrom\b.*$|[;\n]")


def _imported(line: str, language: Language) -> set[str]:
    """The names that an import in one line binds."""
    if language.wheel.endswith("_go"):
        go = _GO_IMPORT.fullmatch(line)
        return words_of([go[1] or go[2]]) if go else set()
    plain = _STRING.sub("", line).strip()
    if not re.match(r"(import|from|use|using)\b", plain):
        return set()
    pieces = (_WORD.findall(piece) for piece in re.split(r"[,{}()]", _SOURCE.sub("", plain)))
    return {words[-1] for words in pieces if words}


def _bound(hunk: Segment, language: Language) -> set[str]:
    """The names that the base's lines of a hunk bind: by imports, definitions and assignments."""
    lines = () if isinstance(hunk, str) else hunk.base or ()
    plain = [_STRING.sub("", line).strip() for line in lines]
    imports = [line for line in plain if _IMPORT.match(line)]
    named = [text for line in plain for pair in _NAMED.findall(line) for text in pair]
    bound = (name for line in lines for name in _imported(line, language))
    return words_of([*imports, *named]).union(bound)


def _is_used(words: Collection[str], counts: Sequence[Counter[str]]) -> bool:
    before, one, other = counts
    return any(
        (not one[word] and other[word] > before[word])
        or (not other[word] and one[word] > before[word])
        for word in words
    )


def needs_what_is_gone(path: str, texts: Texts, hunk: Hunk) -> bool:
    """Whether one side of a hunk adds a reference to something that the other side has renamed
    everywhere."""
    language = languages.language_of(path, texts.base)
    if language is None or too_long(path, texts.base, texts.ours, texts.theirs):
        return False
    return _gone(language, texts).is_needed(hunk)


@lru_cache(maxsize=1)
def _gone(language: Language, texts: Texts) -> Gone:
    """One for all hunks of a file."""
    return Gone(language, texts)


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
        if gone and gone & _replaced(said[0], said[mine]):
            return True
    return False


def _replaced(old: Sequence[str], new: Sequence[str]) -> set[str]:
    """The words that another word replaces, always the same one."""
    became: defaultdict[str, set[str]] = defaultdict(set)
    for op, i, j, k, m in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
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
