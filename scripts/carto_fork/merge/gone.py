"""What one side of a hunk needs, and the other side no longer has, or has otherwise. Pure."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Set
from functools import lru_cache
from typing import Any

from ..run.text import substantive, too_long
from . import items, languages
from .hunks import Hunk, Segment, Texts
from .languages import Language
from .trees import Tree, words_of

_WORD = re.compile(r"[^\W\d]\w+")
_MEMBER = re.compile(r"(?<![\w.])[^\W\d]\w*(?:\.|->|::)[^\W\d]\w*")
_CALLS = re.compile(r"[^\W\d]\w+(?=\()")
_STRING = re.compile(r"\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'")
_RENAMED, _MANY = 5, 10
"""A side has renamed something if the base refers to it more often than this per reference that is
left, and this often at least; if none is left, twice at least, or in comments this often."""


def stems(words: Iterable[str]) -> set[str]:
    """The parts of compound words, such as `Theme` and `Dark` of `Theme_Dark`."""
    return {part for word in words if "_" in word for part in word.split("_") if len(part) > 2}


_TYPED = re.compile("_(c|cpp|go|java|kotlin|rust|typescript)$")
"""Languages in which a type that changed can break what uses the name."""
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
_KEYWORDS = {"if", "else", "for", "while", "do", "switch", "case", "return", "break", "goto"}
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
        self.answers: dict[tuple[str, str, bool, int], bool] = {}
        self.declared: dict[tuple[str, str], set[bytes]] = {}
        self.counts: list[Counter[str]] = []
        self.members: list[Counter[str]] = []
        self.parts: Counter[str] = Counter()

    def is_used(self, hunk: Hunk) -> bool:
        """Whether one side of a hunk removed the file's last mention of something that the other
        side mentions more often than before, although the hunk is where it comes from; or that the
        other side's lines name as a part of something, such as `api.backend`."""
        if self.language.maps:
            return False
        if is_used(bound(hunk, self.language), self._counts()):
            return True
        if not self.members:
            texts = (self.texts.base, self.texts.ours, self.texts.theirs)
            self.members = [Counter(_MEMBER.findall(_STRING.sub("", text))) for text in texts]
        named = _MEMBER.findall(_STRING.sub("", "".join((*hunk.ours, *hunk.theirs))))
        return is_used([name for name in named if self.members[0][name]], self.members)

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
            self.counts = [*map(mentions, texts)]
        return self.counts

    def is_needed(self, hunk: Hunk) -> bool:
        """Whether one side of a hunk adds a reference to something that the other side renamed or
        no longer imports."""
        if self.language.maps or not self.language.wheel:
            return False
        texts = self.texts
        for lines, mine, other in (
            (hunk.ours, texts.ours, texts.theirs),
            (hunk.theirs, texts.theirs, texts.ours),
        ):
            if _everything(texts.base) - _everything(other):
                names = set(_BARE.findall("".join(lines))) - _ALWAYS
                if _are_from_elsewhere(names, mine, texts.base, other):
                    return True
        sides = (hunk.theirs, texts.ours), (hunk.ours, texts.theirs)
        if _is_reached(hunk) or _for_c(hunk, texts, self):
            return True
        if _TYPED.search(self.language.wheel) and any(
            self._is_of_other_type(*side, hunk) for side in sides
        ):
            return True
        return any(self._has_gone(lines, side, hunk) for lines, side in sides)

    def is_needed_by_upstream(self, hunk: Hunk) -> bool:
        """Whether upstream's side of a hunk adds a reference to something that the fork renamed."""
        known = not self.language.maps and self.language.wheel and hunk.ours != hunk.theirs
        return bool(known) and (
            self._has_gone(hunk.theirs, self.texts.ours, hunk) or _for_c(hunk, self.texts, self)
        )

    def _has_gone(self, lines: Sequence[str], side: str, hunk: Hunk) -> bool:
        """Whether new code of one side has a word that is gone on the other side."""
        before = "".join(hunk.base or ())
        code, base = "".join(_but_notes(lines)), Counter(_WORD.findall(before))
        calls, parts = Counter(_CALLS.findall(code)) - Counter(_CALLS.findall(before)), stems(base)
        return any(
            self._is_gone(word, side, word in calls, 1 if word in code else _MANY)
            or self._is_like_gone(stems([word]) & parts, side)
            for word in Counter(_WORD.findall("".join(lines))) - base
            if word not in _KEYWORDS  # which a parser may take for names in an odd text
        )

    def _is_of_other_type(self, lines: Sequence[str], side: str, hunk: Hunk) -> bool:
        """Whether one side uses a name more often than before, in the hunk or because of it, that
        the other side declares with another type than both had.

        lines: of the one side. side: the text of the other.
        """
        mine = self.texts.theirs if side is self.texts.ours else self.texts.ours
        before, here = Counter(_WORD.findall("".join(hunk.base or ()))), "".join(_but_notes(lines))
        counts = self._counts()
        now = counts[2 if side is self.texts.ours else 1]
        more = {word for word in before if now[word] > counts[0][word]}
        for word in more.union(Counter(_WORD.findall(here)) - before):
            known, other = self._types(self.texts.base, word), self._types(side, word)
            if other and known & self._types(mine, word) and known.isdisjoint(other):
                return True
        return False

    def _types(self, text: str, word: str) -> set[bytes]:
        if (text, word) not in self.declared:
            self.declared[text, word] = self._tree(text).types(word.encode())
        return self.declared[text, word]

    def _is_like_gone(self, parts: Set[str], side: str) -> bool:
        """Whether a side no longer has a part of words that the base has in several words."""
        if parts and not self.parts:
            words = _WORD.findall(self.texts.base)
            self.parts = Counter(part for word in words for part in stems([word]))
        return any(self.parts[part] > 1 and part not in side for part in parts)

    def _is_gone(self, word: str, side: str, called: bool, least: int) -> bool:
        key = word, side, called, least
        if key not in self.answers:
            self.answers[key] = self._ask(*key)
        return self.answers[key]

    def _ask(self, word: str, side: str, called: bool, least: int) -> bool:
        base = self.texts.base
        most = len(re.findall(rf"(?<!\w){re.escape(word)}(?!\w)", base))
        now = self.uses(side, word) if most else Counter[str]()
        if not most or (most <= now[""] * _RENAMED and not called):
            return False
        before = self.uses(base, word)
        if before[""] > (max(_MANY, now[""] * _RENAMED) if now[""] else least):
            return True
        # Or the side no longer calls it as the base does everywhere.
        ways, others = ({*uses} - {""} for uses in (before, now))
        return called and len(ways) == 1 and bool(others) and ways.isdisjoint(others)

    def uses(self, text: str, word: str) -> Counter[str]:
        """How often a text has a word as an identifier, as `Tree.uses` counts."""
        return self._tree(text).uses(word.encode())

    def _tree(self, text: str) -> Tree:
        if text not in self.trees:
            self.trees[text] = Tree(self.language, text.encode("utf-8", "surrogateescape"))
        return self.trees[text]


_NOTE = re.compile(r"\s*(//|/\*|\*([ /]|$)|#(?![a-z])|<!--)")


def _but_notes(lines: Iterable[str]) -> Iterator[str]:
    """Lines without those that are comments."""
    return (line for line in lines if not _NOTE.match(line))


def mentions(text: str) -> Counter[str]:
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


def bound(hunk: Segment, language: Language) -> set[str]:
    """The names that the base's lines of a hunk bind: by imports, definitions and assignments."""
    lines = () if isinstance(hunk, str) else hunk.base or ()
    plain = [_STRING.sub("", line).strip() for line in lines]
    imports = [line for line in plain if _IMPORT.match(line)]
    named = [text for line in plain for pair in _NAMED.findall(line) for text in pair]
    bound = (name for line in lines for name in _imported(line, language))
    return words_of([*imports, *named]).union(bound)


def is_used(words: Collection[str], counts: Sequence[Counter[str]]) -> bool:
    """Whether one side removed the last mention of one of some words, and the other side mentions
    it more often than the base."""
    before, one, other = counts
    return any(
        (not one[word] and other[word] > before[word])
        or (not other[word] and one[word] > before[word])
        for word in words
    )


def needs_what_is_gone(path: str, texts: Texts | None, hunk: Hunk, upstream: bool = False) -> bool:
    """Whether one side of a hunk adds a reference to something that the other side has renamed
    everywhere. upstream: whether only upstream's side matters."""
    language = languages.language_of(path, texts.base) if texts else None
    if not language or not texts or too_long(path, texts.base, texts.ours, texts.theirs):
        return False
    gone = of(language, texts)
    return gone.is_needed_by_upstream(hunk) if upstream else gone.is_needed(hunk)


def no_longer_imported(path: str, text: str, sides: Iterable[str]) -> Iterator[tuple[str, int]]:
    """The names that a side of a merge imports, and that its result uses without importing or
    defining them; each with the number of a line that uses it. Python's are not looked at: its own
    compiler knows better."""
    language = languages.language_of(path, text)
    if not language or not _IMPORTING.search(language.wheel) or too_long(path, text, *sides):
        return
    result, *others = (Tree(language, x.encode("utf-8", "surrogateescape")) for x in (text, *sides))
    lost = set[str]().union(*(tree.imports() | _by_line(tree, language) for tree in others))
    for name in sorted(lost - result.imports() - _by_line(result, language)):
        if line := result.undefined(name.encode()):
            yield name, line


_IMPORTING = re.compile("_(go|java|javascript|kotlin|typescript)$")


def _by_line(tree: Tree, language: Language) -> set[str]:
    text = tree.text.decode("utf-8", "surrogateescape")
    return {name for line in text.splitlines() for name in _imported(line, language)}


@lru_cache(maxsize=1)
def of(language: Language, texts: Texts) -> Gone:
    """One for all hunks of a file."""
    return Gone(language, texts)


# --- What is right in one language, or on one side ------------------------------------------------

_CALLED = re.compile(r"(?<![=!<>+|&*/%^-])=(?!=)\s*(\w+)\(")
_FOR_C = re.compile(
    r"^(?:[\w:]+\s+)*[\w:]+[ \t]*\*+\s*\w+\s*=\s*(?!NULL\b|nullptr\b|\d)\w+\b(?!\()"
    r"|=\s*\{[^}\"]*[a-z]"
)
"""A pointer that becomes another one, or values in braces: C converts more than C++."""


def _for_c(hunk: Hunk, texts: Texts, gone: Gone) -> bool:
    """Whether a file is C on one side and C++ on the other, and lines that are new in C give
    something a value of another type, as only C allows."""
    ends = [line.rstrip().rpartition(".")[2] for line in (*hunk.shown[:1], *hunk.shown[-1:])]
    sides = (hunk.theirs, hunk.ours, texts.ours), (hunk.ours, hunk.theirs, texts.theirs)
    if sorted(ends) not in (["c", "cpp"], ["c", "cc"], ["c", "cxx"]):
        return False
    lines, others, text = sides[ends[0] == "c"]
    new = {*lines} - {*(hunk.base or ()), *others}
    for code in map(items.code_of, _but_notes(new)):
        called = (gone.uses(text, word) for word in _CALLED.findall(code))
        if _FOR_C.search(code) or any(2 * _cast(uses) > uses[""] for uses in called):
            return True
    return False


def _cast(uses: Counter[str]) -> int:
    """How often what is called is cast."""
    return sum(number for how, number in uses.items() if " " in how)


_REACHED = re.compile(r"\b(\w+)(?:->|\.)(?=[A-Za-z_])")


def _is_reached(hunk: Hunk) -> bool:
    """Whether one side of a hunk no longer uses the fields of something itself, and the other side
    uses more of them than before."""
    codes = ["".join(_but_notes(x)) for x in (hunk.base or (), hunk.ours, hunk.theirs)]
    before, *now = (Counter(_REACHED.findall(code)) for code in codes)
    return any(
        mine[name] > before[name] and not other[name] and name in words_of([code])
        for mine, other, code in ((now[0], now[1], codes[2]), (now[1], now[0], codes[1]))
        for name in before
    )


_NUMBERED = re.compile(r"\s*#\s*define\s+(\w+)|[^=:(]*?(\w+)\s*(?:[:=(]|$)")


def share_a_number(texts: Texts, hunk: Hunk) -> bool:
    """Whether a hunk gives a name the number that the other side gives to another name: in the
    hunk, or elsewhere in the file to a name that begins with the same word."""
    base = {*texts.base.splitlines(True)}
    mine, other = (_numbered({*lines} - base) for lines in (hunk.ours, hunk.theirs))
    if _clash(mine, other):
        return True
    sides = (mine, texts.theirs), (other, texts.ours)
    return any(
        _clash(here, _numbered({*side.splitlines(True)} - base), alike=True)
        for here, side in sides
        if here
    )


def _numbered(lines: Iterable[str]) -> dict[int, set[str]]:
    """The names to which lines give a number."""
    names: dict[int, set[str]] = defaultdict(set)
    for line in lines:
        number = items.number_of(line) if re.search(r"\d", line) else None
        name = _NUMBERED.match(line) if number is not None else None
        if name and number is not None:
            names[number].add(name[1] or name[2])
    return {number: {x for x in given if not x.islower()} for number, given in names.items()}


def _clash(one: Mapping[int, Set[str]], other: Mapping[int, Set[str]], alike: bool = False) -> bool:
    return any(
        mine != yours and (not alike or ("_" in mine and mine.split("_")[0] == yours.split("_")[0]))
        for number in one.keys() & other.keys()
        for mine in one[number]
        for yours in other[number]
        if yours not in one[number] and mine not in other[number]
    )
