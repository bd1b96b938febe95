"""Files as trees of parts, each with its exact text. Pure."""

from __future__ import annotations

import ast
import re
import warnings
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, ClassVar

from . import languages
from .languages import Language, Node

_MOST_NAMES = 50_000
"""Names that are cached at most."""


class Odd(Exception):
    """The parts do not decide what a text becomes."""


@dataclass(frozen=True)
class Part:
    """A child of a node, with the text around it.

    lead: what precedes it, above and on its line. tail: what follows it on its line, without the
        comma. comma: where in the tail its comma was; None if it had none.
    name: "" if it has no name, or shares it with another part.
    """

    node: Node
    name: str
    lead: bytes
    body: bytes
    tail: bytes = b""
    comma: int | None = None

    @property
    def whole(self) -> bytes:
        """Its whole text without the comma."""
        return self.lead + self.body + self.tail


@dataclass(frozen=True)
class Parts:
    """A node as text: its opening, its parts, its closing."""

    open: bytes
    parts: tuple[Part, ...]
    close: bytes


class Tree:
    """A text and its tree."""

    names: ClassVar[dict[tuple[str, str, bytes | None], str]] = {}

    def __init__(self, language: Language, text: bytes) -> None:
        self.language, self.text = language, text
        self.root = languages.parse(language, text)

    def start(self, node: Node) -> int:
        """Where a node begins; without an opening token it begins at its line, with the comments
        above."""
        if node == self.root:
            return 0
        first = node
        while first.type not in self.language.bare and first.children:
            first = first.children[0]
        line = self._line(node.start_byte)
        if first.type not in self.language.bare or self.text[line : node.start_byte].strip():
            return node.start_byte
        while line:
            above = self._line(line - 1)
            if self.text[above:line].strip()[:1] not in (b"", b"#"):
                break
            line = above
        return line

    def end(self, node: Node) -> int:
        """Where a node ends; without a closing token it ends with its line."""
        if node == self.root:
            return len(self.text)
        last, end, lined = node, node.end_byte, False
        while True:
            is_open = last.type in self.language.bare or last.type in self.language.runs
            inside = [child for child in last.children if not child.is_extra]
            if not inside:
                break
            if is_open or inside[-1] != last.children[-1]:
                end = inside[-1].end_byte  # without the comments after it
            lined, last = lined or is_open, inside[-1]
        if not lined or self.text[end - 1 : end] == b"\n":
            return end
        return self._over(end, len(self.text))

    def _line(self, at: int) -> int:
        return self.text.rfind(b"\n", 0, at) + 1

    def parts(self, node: Node) -> Parts:
        """A node split into parts; unless it is a list, every child is a part."""
        header = self.language.lists.get(node.type)
        start, end = self.start(node), self.end(node)
        if header is None:
            return self._pieces(node, start, end)
        return self._listed(node, header, start, end)

    def _pieces(self, node: Node, start: int, end: int) -> Parts:
        parts, at = [], start
        seen: Counter[str] = Counter()
        for number, child in enumerate(node.children):
            if child.is_extra:
                continue
            name = _field(node, number) or child.type
            seen[name] += 1
            begin, stop = max(self.start(child), at), self.end(child)
            lead, body = self.text[at:begin], self.text[begin:stop]
            parts.append(Part(child, f"{name} {seen[name]}", lead, body))
            at = stop
        return Parts(b"", tuple(parts), self.text[at:end])

    def _listed(self, node: Node, header: Sequence[str], start: int, end: int) -> Parts:
        children = list(node.children)
        inside = [
            child.is_named
            and not child.is_extra
            and child.type not in header
            and (_field(node, number) or "") not in header
            for number, child in enumerate(children)
        ]
        first = inside.index(True) if True in inside else min(1, len(children))
        at = self._opened(children[: first + 1], first, start, end)
        opening = self.text[start:at]
        parts = []
        names = Counter(
            self.name(child) for child, is_part in zip(children, inside, strict=True) if is_part
        )
        for number, child in enumerate(children):
            if not inside[number]:
                continue
            begin, stop = max(self.start(child), at), self.end(child)
            after, comma = self._tail(children, number, stop, end)
            tail = self.text[stop:after]
            if comma is not None:
                tail = tail[:comma] + tail[comma + 1 :]
            name = self.name(child)
            parts.append(
                Part(
                    child,
                    name if names[name] == 1 else "",
                    self.text[at:begin],
                    self.text[begin:stop],
                    tail,
                    comma,
                )
            )
            at = after
        commas = sum(part.comma is not None for part in parts)
        if sum(child.type == "," for child in children) != commas:
            raise Odd  # a part begins a line, or has a comment before it
        return Parts(opening, tuple(parts), self.text[at:end])

    def name(self, node: Node) -> str:
        """The name of a node; "" if it has none."""
        # The language decides how a part is named; most parts are on all sides.
        key = self.language.grammar + self.language.wheel, node.type, node.text
        if (name_known := self.names.get(key)) is None:
            if len(self.names) > _MOST_NAMES:
                self.names.clear()
            name_known = self.names[key] = languages.name_of(self.language, node)
        return name_known

    def names_of(self, node: Node) -> list[str]:
        """The names of all that a node declares."""
        several = node.type.endswith("declaration") and b"," in (node.text or b"")
        return languages.names_of(self.language, node) if several else [self.name(node)]

    def _opened(self, upto: Sequence[Node], first: int, start: int, end: int) -> int:
        """Where the first part's own text begins, after the opening of the list, or after comments
        about the file.

        upto: the children up to the first part, which has this position.
        """
        children = upto[:first]
        tokens = [child for child in children if not child.is_extra]
        if not tokens:
            for above, below in reversed([*pairwise(upto)]):
                if re.search(rb"\n[ \t]*\n", self.text[above.end_byte : below.start_byte]):
                    at = self._over(above.end_byte, end)
                    blank = re.compile(rb"(?:[ \t]*\n)*").match(self.text, at, end)
                    return blank.end() if blank else at
            return start
        at = tokens[-1].end_byte
        if tokens[-1] != children[-1] and b"\n" not in self.text[at : children[-1].start_byte]:
            at = children[-1].end_byte
        return self._over(at, end)

    def _tail(
        self, children: Sequence[Node], number: int, start: int, end: int
    ) -> tuple[int, int | None]:
        """Where a part with its trailing text ends, and where in that text its comma is."""
        comma, at = None, start
        if self.text[at - 1 : at] == b"\n":
            return at, comma
        for child in children[number + 1 :]:
            gap = self.text[at : child.start_byte]
            parted = child.type in (",", ";") and comma is None
            if b"\n" in gap or gap.strip() or not (parted or child.is_extra):
                break
            if child.type == ",":
                comma = child.start_byte - start
            at = child.end_byte
        return self._over(at, end), comma

    def uses(self, word: bytes) -> Counter[str]:
        """How often the code has a word as an identifier, not in comments and strings: by what is
        made of it if it is called, and altogether as ""."""
        found: Counter[str] = Counter()
        root: Any = self.root
        for place in self._places(word):
            node = root.descendant_for_byte_range(*place)
            if node.type.endswith("identifier"):
                found.update(["", *_call_of(node)])
        return found

    def imports(self) -> set[str]:
        """The names that JavaScript's import statements bind."""
        found: set[str] = set()
        root: Any = self.root
        waiting = [node for node in root.children if node.type == "import_statement"]
        while waiting:
            node = waiting.pop()
            waiting += node.children
            if node.type == "identifier":
                found.add(node.text.decode(errors="replace"))
        return found

    def undefined(self, word: bytes) -> int:
        """The number of the first line that uses a name which nothing here defines; 0 if there is
        none."""
        root: Any = self.root
        first = 0
        for place in self._places(word):
            node = root.descendant_for_byte_range(*place)
            if node.type not in _USED:
                continue
            of = node.parent
            of = of.parent if of and of.type == "expression_list" else of  # of Go's assignments
            if not of or _DEFINES.search(of.type) or (node in _named(of) and "jsx" not in of.type):
                return 0
            first = first or node.start_point[0] + 1
        return first

    def types(self, word: bytes) -> set[bytes]:
        """The types with which the code declares a name, without white space."""
        root: Any = self.root
        nodes = (root.descendant_for_byte_range(*place) for place in self._places(word))
        return {*filter(None, map(_type_of, nodes))}

    def _places(self, word: bytes) -> Sequence[tuple[int, int]]:
        """Where the text has a word, from and to."""
        if re.fullmatch(rb"\w+", word):
            return self._words.get(word, ())
        found = re.finditer(rb"(?<!\w)%b(?!\w)" % re.escape(word), self.text)
        return [place.span() for place in found]

    @cached_property
    def _words(self) -> Mapping[bytes, Sequence[tuple[int, int]]]:
        """Where the text has each word: of a long one, hundreds are asked for."""
        found: dict[bytes, list[tuple[int, int]]] = {}
        for place in re.finditer(rb"\w+", self.text):
            found.setdefault(place[0], []).append(place.span())
        return found

    def is_in_text(self, at: int) -> bool:
        """Whether a position is inside a string that begins above its line."""
        root: Any = self.root
        node, line = root.descendant_for_byte_range(at, at + 1), self._line(at)
        while node and node.start_byte >= line:
            node = node.parent
        while node and "string" not in node.type:
            node = node.parent
        return node is not None

    def _over(self, at: int, end: int) -> int:
        """The position after the next line end, if only blanks and a comment precede it."""
        note = b"#" if self.language.bare or "toml" in self.language.wheel else b"//"
        match = re.compile(rb"[ \t]*(%b[^\n]*)?\n" % note).match(self.text, at, end)
        return match.end() if match else at


def _type_of(node: Any) -> bytes:
    """The type with which an identifier is declared; empty if this declares nothing."""
    while (of := node.parent) and "declarator" in of.type and not of.child_by_field_name("type"):
        node = of  # of C's pointers and of Java's variables
    if not of:
        return b""
    declared = of.child_by_field_name("type")
    named = [x for field in _DECLARED for x in of.children_by_field_name(field)]
    if not declared:  # Kotlin has no field for them
        declared = next((x for x in of.children if x.type.endswith("_type")), None)
        named = [x for x in of.children if x.type.endswith("identifier")][:1]
    if not declared or node not in named or b"{" in declared.text:  # that defines the type
        return b""
    # What is around the name, such as a star, belongs to the type.
    around = re.sub(rb"\w+", b"", node.text.partition(b"=")[0])
    return b"".join((declared.text + around).split())


_DECLARED = ("name", "pattern", "declarator")
_USED = ("identifier", "type_identifier", "package_identifier")
_DEFINES = re.compile("parameter|pattern|import|export|declaration|clause|label|shorthand")


def _named(node: Any) -> list[Any]:
    """What a node gives a name or a value to."""
    return [x for field in (*_DECLARED, "left", "key") for x in node.children_by_field_name(field)]


def _call_of(node: Any) -> Iterator[str]:
    """How an identifier is called, if it is: with how many arguments, and whether what it returns
    is cast or awaited."""
    while node.parent and _MEMBER.search(node.parent.type) and node == node.parent.children[-1]:
        node = node.parent
    call = node.parent
    after = (child for child in call.children if child.start_byte >= node.end_byte) if call else ()
    given = next((child for child in after if "argument" in child.type), None)
    if given is None or not _CALL.search(call.type):
        return
    around = call.parent
    if around and around.type == "argument_list" and around.parent:
        around = around.parent.children[0]  # static_cast and the like look like calls
    turned = around is not None and _TURNED.search(around.type)
    many = sum(child.is_named and not child.is_extra for child in given.children)
    yield f"{many}{' ' + around.type if turned else ''}"


_CALL = re.compile("call|method_invocation")
_MEMBER = re.compile("member|field_exp|selector|attribute$|scoped|qualified|navigation")
_TURNED = re.compile("cast|await|try_expression|as_expression|template_function")


def _field(node: Any, number: int) -> str | None:
    return None if isinstance(node, languages.Pin) else node.field_name_for_child(number)


def pieces_changed(base: Node, side: Node) -> Iterator[bytes]:
    """The smallest differing pieces, in the base's version."""
    if base.text == side.text:
        return
    inside = [[child for child in node.children if child.is_named] for node in (base, side)]
    if base.type == side.type and len(inside[0]) == len(inside[1]) > 0:
        for one, other in zip(*inside, strict=True):
            yield from pieces_changed(one, other)
        return
    if base.text and re.search(rb"\w{3}", base.text) and len(base.text) < 200:
        yield base.text


def _errors(root: Node) -> Iterator[bytes]:
    """The texts that the grammar does not understand."""
    waiting: list[Any] = [root]
    while waiting:
        node = waiting.pop()
        if node.type == "ERROR" or getattr(node, "is_missing", False):
            yield node.type.encode() + (node.text or b"")
        elif node.has_error:
            waiting += node.children


def words_of(lines: Iterable[str]) -> set[str]:
    """The words in some lines, without numbers."""
    return {word for line in lines for word in re.findall(r"[^\W\d]\w+", line)}


# --- Whether two texts differ only in form -------------------------------------------------------

_QUOTED = re.compile(rb"(['\"])([^'\"\\\n]*)\1")


def are_alike(one: Any, other: Any, language: Language) -> bool:
    """Whether two nodes differ only in line breaks, the comma after a last part, equivalent quotes,
    brackets around an expression and the order of imports."""
    one, other = _unwrapped(one), _unwrapped(other)
    if one.type != other.type or one.type == "ERROR":
        return False
    # If indentation matters, it must be the same.
    lined = language.bare and (one.type in language.bare or one.parent is None)
    if lined and one.start_point.column != other.start_point.column:
        return False
    texts = one.text or b"", other.text or b""
    if texts[0] == texts[1]:
        return True
    if one.type == "comment":
        return texts[0].split() == texts[1].split()
    if one.type == "string" and all(map(_QUOTED.fullmatch, texts)):
        return texts[0][1:-1] == texts[1][1:-1]
    mine, others = (_said(node, language.lists) for node in (one, other))
    pairs = zip(mine, others, strict=False)
    return len(mine) == len(others) > 0 and all(
        not (lined and a.start_point.column != b.start_point.column) and are_alike(a, b, language)
        for a, b in pairs
    )


def _unwrapped(node: Any) -> Any:
    while node.type == "parenthesized_expression" and len(node.children) == 3:
        node = node.children[1]
    return node


def _said(node: Any, lists: Collection[str]) -> list[Any]:
    """The children of a node, without a comma after the last part; imports are sorted, unless their
    order may matter."""
    children = list(node.children)
    ends = [child.type for child in children[-2:]]
    if node.type in lists and ends in ([",", ")"], [",", "]"], [",", "}"]):
        del children[-2 : -1 if children[-3].is_named else -2]
    if node.type in _NAMES_OF:
        children = [child for child in children if child.type not in (",", "(", ")")]
    ordered: list[Any] = []
    waiting: list[Any] = []
    for child in children:
        if _is_import(node, child):
            waiting.append(child)
            continue
        ordered += [*_by_text(waiting), child]
        waiting = []
    return [*ordered, *_by_text(waiting)]


def _by_text(nodes: Sequence[Any]) -> list[Any]:
    return sorted(nodes, key=lambda node: re.sub(rb"[\s(),]+", b" ", node.text).replace(b"'", b'"'))


_NAMES_OF = ("import_from_statement", "named_imports", "import_spec_list", "use_list")


def _is_import(holder: Any, node: Any) -> bool:
    """Whether a node is an import that only binds names, or one such name."""
    text = node.text or b""
    if holder.type in _NAMES_OF:
        return bool(node.is_named and node != holder.child_by_field_name("module_name"))
    gives = b" from " in text or not re.search(rb"['\"]", text)
    return bool("import_" in node.type and b"*" not in text and gives)


# --- Whether a merge can be accepted -------------------------------------------------------------


def is_sound(sides: Sequence[Tree], result: Tree, is_python: bool) -> bool:
    """Whether a merge parses as well as its sides, and needs no names that they do not need."""
    if len({sum(1 for _ in _errors(tree.root)) for tree in (*sides, result)}) > 1:
        return False
    if is_python:
        needed = _undefined(result.text)
        return not needed or needed <= _undefined(sides[1].text) | _undefined(sides[2].text)
    return True


def has_all(sides: Sequence[bytes], merged: bytes) -> bool:
    """Whether each word and sign occurs as often as base, ours and theirs imply."""
    texts = [*sides, merged]
    start = min(languages.alike(texts[0], text) for text in texts)
    start -= _in_word(texts[0][:start][::-1])
    end = min(languages.alike(texts[0][start:][::-1], text[start:][::-1]) for text in texts)
    end -= _in_word(texts[0][len(texts[0]) - end :])
    words = (re.findall(rb"\w+|[^\w\s]", text[start : len(text) - end]) for text in texts)
    counts = [Counter(now) for now in words]
    for word in {word for count in counts for word in count} - {b",", b";"}:
        before, one, other, now = (count[word] for count in counts)
        least, *_, most = sorted((one, other, one + other - before))
        if before in (one, other):
            least = most = one if other == before else other
        if not least <= now <= most:
            return False
    return True


def _in_word(text: bytes) -> int:
    """How many bytes of a word a text begins with."""
    match = re.match(rb"\w*", text)
    return match.end() if match else 0


def _undefined(text: bytes) -> set[str]:
    """The names that a Python text uses without defining them. Raises SyntaxError, ValueError."""
    from pyflakes.checker import Checker  # slow to import

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        messages = Checker(ast.parse(text)).messages
    return {str(m.message_args[0]) for m in messages if type(m).__name__ == "UndefinedName"}
