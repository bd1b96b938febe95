"""Three-way merge by name: combines what each side did to the parts of a file. Pure.

Base, ours and theirs are read as trees of parts: keys, definitions, imports, statements, arguments.
A part that one side changed is taken from that side, with its exact text. Parts that both sides
added stay if their order cannot matter. A part that both changed is merged inside. Everything else
is left undecided.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import Any

import tomli

from ..run.text import lines_of, substantive, too_long
from . import additions, items, languages
from .clashes import clash
from .cuts import Rest, scope
from .edits import Edits
from .hunks import ALIKE, Texts
from .languages import Language, Node
from .trees import Odd, Part, Parts, Tree, has_all, is_sound, pieces_changed, words_of

_ANCHOR = re.compile(rb"(?<=[\s\[{,])&[\w.-]+")

_LOGIC = re.compile(
    r"binary|boolean|comparison|ternary|conditional_exp|unary|not_operator|string"
    r"|regex|comprehension|generator_exp|slice|expression_list|range_clause|for_clause"
    r"|assert|augmented|compound_assignment|operator_assignment|subscript|index_exp|lookup_type"
    r"|conditional_type|let_condition"
)
"""Expressions computed from several things, and strings: changes in two of these may affect each
other."""
_CALL = re.compile(
    "call|method_invocation|macro_invocation|new_expression|object_creation|jsx_(opening|self)"
)
_MEMBERS = re.compile(
    "(class|interface)_body|object|(field_)?declaration_list|field_init|jsx_|named_imports|literal"
)
"""Lists of things that are found by name and do not run in order."""
_ARM = re.compile("match_arm|when_entry|case_clause|switch_(block|case|rule|label)|when$|.*_case$")
_ONE_VALUE = re.compile(r"-?[\d_]+|([\"']).*\1|:\w+|[A-Z]\w*|\w+([.]|::)[\w.:]+")
"""What an arm of a match is for, if no other arm can be for it, too."""


def merge(
    path: str, base: str, ours: str, theirs: str, upstream_keys: Collection[str] = ()
) -> str | None:
    """The text with both sides' changes; None if the parts do not decide it.

    path: the file name, which decides the language.
    upstream_keys: dotted keys at which upstream wins even if both changed them.
    """
    result = merged(path, (base, ours, theirs), upstream_keys)
    return result[0] if result else None


def merged(
    path: str, texts: Sequence[str], upstream_keys: Collection[str], rest: Rest | None = None
) -> tuple[str, Work] | None:
    """The merged text, and how it was made; None if the parts do not decide it."""
    language = languages.language_of(path, texts[0])
    if language is None or too_long(path, *texts):
        return None
    try:
        wins = {tuple(key.split(".")) for key in upstream_keys}
        return _merge(path, language, texts, wins, rest or Rest())
    except (Odd, SyntaxError, ValueError, RecursionError):
        # A parser may do anything with an odd text: then the conflict is left for a person.
        return None


def _merge(
    path: str, language: Language, texts: Sequence[str], wins: set[tuple[str, ...]], rest: Rest
) -> tuple[str, Work]:
    turned = ["\r\n" in text for text in texts]
    if any(text.count("\r\n") not in (0, text.count("\n")) for text in texts):
        raise Odd
    plain = [text.replace("\r\n", "\n") for text in texts]
    if any("\r" in text for text in plain):
        raise Odd
    last = plain[2][-1:] in ("", "\n")
    raw = [
        text.encode("utf-8", "surrogateescape") + (b"\n" if text[-1:] not in ("", "\n") else b"")
        for text in plain
    ]
    work = Work(path, language, [Tree(language, text) for text in raw], wins, rest)
    merged = work.node([side.root for side in work.sides], ())
    work.check(merged)
    text = merged.decode("utf-8", "surrogateescape")
    if not last:
        text = text.removesuffix("\n")
    return text.replace("\n", "\r\n") if turned[2] else text, work


def _pick(base: Any, ours: Any, theirs: Any) -> Any:
    """The side that changed something, if only one did or both did the same."""
    if ours in (base, theirs):
        return theirs
    if theirs == base:
        return ours
    raise Odd


class Work:
    """A merge, in progress or done: what it took from where."""

    def __init__(
        self,
        path: str,
        language: Language,
        sides: Sequence[Tree],
        wins: set[tuple[str, ...]],
        rest: Rest,
    ) -> None:
        self.rest = rest
        self.path, self.language, self.sides, self.wins = path, language, sides, wins
        # By side: the old pieces that it changed, and the parts that it added.
        self.changed: dict[int, set[bytes]] = {1: set(), 2: set()}
        self.added: dict[int, list[Part]] = {1: [], 2: []}
        # The names that no longer exist, and what the fork removed and upstream has.
        self.won = False  # whether upstream won at one of the given keys
        self.gone: set[str] = set()
        self.needed: dict[int, set[str]] = {1: set(), 2: set()}  # packages that a side added
        self.dropped: list[str] = []

    def node(self, nodes: Sequence[Node], at: tuple[str, ...]) -> bytes:
        """The merged text of a node."""
        bodies = [
            side.text[side.start(node) : side.end(node)]
            for side, node in zip(self.sides, nodes, strict=True)
        ]
        base, ours, theirs = bodies
        if base in (ours, theirs) and ours != theirs:
            side = 1 if theirs == base else 2
            self.changed[side] |= set(pieces_changed(nodes[0], nodes[side]))
        if ours in (base, theirs):
            return theirs
        if theirs == base:
            return ours
        if at in self.wins:
            self.won = True
            return theirs
        kind = nodes[0].type
        listed = kind in self.language.lists
        if any(node.type != kind or not (node.children or listed) for node in nodes):
            raise Odd
        if kind == "ERROR":
            raise Odd
        taken = [side.parts(node) for side, node in zip(self.sides, nodes, strict=True)]
        value = kind == "declaration" and "css" in self.language.wheel
        if (value or _LOGIC.search(kind)) and not _is_in_one(taken):
            raise Odd
        if _CALL.match(kind) and _calls_another(taken, listed):
            raise Odd  # the arguments are meant for what was called before
        if clash(self.language, kind, taken):
            raise Odd
        if any(_changes_all(taken[0], taken[x]) and _adds(taken[0], taken[3 - x]) for x in (1, 2)):
            raise Odd  # what was added has not been changed in that way
        opening: bytes = _pick(*(parts.open for parts in taken))
        close: bytes = _pick(*(parts.close for parts in taken))
        keyed = [self._keyed(side.parts) for side in taken] if kind in self.language.maps else []
        if keyed and None not in keyed:
            parts = self._mapped([side or {} for side in keyed], at)
        else:
            parts = self._woven(taken, at, kind if listed else "")
        is_root = nodes[0] == self.sides[0].root
        place = "" if is_root else scope(self.language, self.sides[0].text, nodes[0])
        others = self.rest.names.get(place, ())
        self._no_name_twice(taken, parts, others)
        if listed and len(_margins(parts)) > max(len(_margins(side.parts)) for side in taken):
            raise Odd
        return opening + self._joined(parts, taken) + close

    def _joined(self, parts: Sequence[Part], taken: Sequence[Parts]) -> bytes:
        commas = any(part.comma is not None for side in taken for part in side.parts)
        ends = [side.parts[-1].comma is not None if side.parts else None for side in taken]
        last = _pick(*(ends[1] if x is None else x for x in ends)) if commas else False
        text = b""
        for number, part in enumerate(parts, 1):
            comma = b"," if commas and (number < len(parts) or last) else b""
            cut = part.comma or 0
            text += part.lead + part.body + part.tail[:cut] + comma + part.tail[cut:]
        return text

    def _no_name_twice(
        self, taken: Sequence[Parts], merged: Sequence[Part], others: Collection[str]
    ) -> None:
        lists = [*(side.parts for side in taken), merged]
        names = self.sides[0].names_of
        counts = [Counter(name for part in parts for name in names(part.node)) for parts in lists]
        if any(counts[3][name] > counts[0][name] for name in others if name):
            raise Odd
        for name, number in counts[3].items():
            before, one, other = (count[name] for count in counts[:3])
            if not name or number <= max(before, 1) or (not before and number <= max(one, other)):
                continue
            # A part that a text merge left twice says the same thing twice.
            copies = {part.body for part in merged if name in names(part.node)}
            if len(copies) > 1 or number > max(one, other):
                raise Odd

    def _part(
        self, base: Part, ours: Part, theirs: Part, at: tuple[str, ...], kind: str = ""
    ) -> Part:
        """The merged version of a part that all three sides have."""
        body = self.node([base.node, ours.node, theirs.node], at)
        lead = _spaced(base.lead, ours.lead, theirs.lead)
        margins = {part.lead.rpartition(b"\n")[2] for part in (base, ours, theirs)}
        nests = bool(self.language.bare) and kind not in self.language.lists.keys() - {
            *self.language.bare,
            "module",
        }
        if nests and len(margins) > 1 and not base.body == ours.body == theirs.body:
            raise Odd
        for one, other in ((ours, theirs), (theirs, ours)):
            noted = _notes(one.lead) - _notes(base.lead)
            if self.language.maps:
                edited = bool(_notes(base.lead) - _notes(one.lead))
                noted = {
                    x for x in noted if x[:1] == b"#" and x not in self.sides[0].text and not edited
                }
            if noted and one.body == base.body != other.body:
                raise Odd  # a new comment may be about what the other side changed
        tail = _pick(base.tail, ours.tail, theirs.tail)
        commas = (part.comma for part in (theirs, ours, base) if part.tail == tail)
        comma = next((at for at in commas if at is not None), None)
        return replace(theirs, lead=lead, body=body, tail=tail, comma=comma)

    # --- Lists in which a part is found by its name

    def _keyed(self, parts: Sequence[Part]) -> dict[str, Part] | None:
        """Parts by name; None if a part is unnamed, or two of the same name differ."""
        by_name: dict[str, Part] = {}
        for part in parts:
            name = key = self.sides[0].name(part.node)
            while key in by_name:
                if by_name[key].body != part.body:
                    return None
                key += "\0"  # a repetition
            if not name:
                return None
            by_name[key] = part
        return by_name

    def _mapped(self, taken: Sequence[dict[str, Part]], at: tuple[str, ...]) -> list[Part]:
        base, ours, theirs = taken
        wanted: dict[str, Part] = {}
        for name in {**theirs, **ours}:
            old, one, other = base.get(name), ours.get(name), theirs.get(name)
            if old and one and other:
                wanted[name] = self._part(old, one, other, self._key(at, name))
            elif self._key(at, name) in self.wins and (old and old.body) != (other and other.body):
                wanted |= {name: other} if other else {}
                self.won = True
            elif old is None and one and other:
                if one.body != other.body:
                    raise Odd
                wanted[name] = other
            elif old is None:
                either = one or other
                assert either
                wanted[name] = either
            elif old and (kept := one or other) and kept.whole != old.whole:
                raise Odd  # one changed it, the other removed it
        known = [{**base, **other} for other in (theirs, ours)]
        new = [
            {languages.project(name.split(" ")[0]) for name in side if name not in other}
            for side, other in zip((ours, theirs), known, strict=True)
        ]
        self._needs(at, *new)
        if new[0] & new[1]:
            raise Odd  # one project with two markers
        if (
            all(new)
            and self.path.endswith("package.json")
            and at[:1] in (("exports",), ("imports",))
        ):
            raise Odd  # the first that fits counts
        followers: dict[str, list[str]] = defaultdict(list)
        before = ""
        for name in ours:
            if name in theirs:
                before = name
            elif name in wanted:
                followers[before].append(name)
        order = followers[""]
        for name in theirs:
            order += [*([name] if name in wanted else []), *followers[name]]
        return [wanted[name] for name in order]

    def _needs(self, at: tuple[str, ...], one: Iterable[str], other: Iterable[str]) -> None:
        """Remember which packages the sides added to a list of dependencies."""
        if any("dependenc" in step.lower() for step in at):
            self.needed[1].update(one)
            self.needed[2].update(other)

    def needs_twice(self, texts: Texts) -> bool:
        """Whether both sides added one package to a file, maybe to different lists."""
        for side, other in ((1, texts.theirs), (2, texts.ours)):
            for name in self.needed[side]:
                word = re.compile(rf"(?<![\w-]){re.escape(name)}(?![\w-])", re.IGNORECASE)
                if len(word.findall(other)) > len(word.findall(texts.base)):
                    return True
        return False

    def _key(self, at: tuple[str, ...], name: str) -> tuple[str, ...]:
        """The path of a key, which a TOML table may write with dots."""
        dotted = "toml" in self.language.wheel and not name.startswith(("'", '"'))
        return (*at, *(name.split(".") if dotted else [name.strip(" \"'")]))

    # --- Lists that have an order

    def _woven(self, taken: Sequence[Parts], at: tuple[str, ...], kind: str) -> list[Part]:
        base, ours, theirs = (side.parts for side in taken)
        one, other = Edits(base, ours), Edits(base, theirs)
        values = self.language.maps and kind and kind not in self.language.maps
        if values and None in (*one.match, *other.match):
            raise Odd  # more than additions to a list of values
        if not one.leaves(other) or not other.leaves(one):
            raise Odd
        self._needs(at, one.packages(), other.packages())
        merged: list[Part] = []
        mine: list[Part] = []
        upstreams: list[Part] = []
        gone: list[Part] = []
        whose: list[tuple[bool, bool]] = []

        def flush() -> None:
            if len({*whose}) > 1:
                raise Odd  # the sides removed different things at one place
            for parts, side in ((mine, 1), (upstreams, 2)):
                beside = parts and whose and kind and not whose[0][side - 1]
                if beside and not self._is_free(kind, parts, side):
                    raise Odd
            if mine and upstreams:
                if [p.body for p in mine] == [p.body for p in upstreams]:
                    merged.extend(upstreams)
                else:
                    if not kind or len({b"\n" in side.open for side in taken}) > 1:
                        raise Odd
                    merged.extend(self._both(mine, upstreams))
            else:
                merged.extend(mine or upstreams)
            dropped = {p.name for p in gone if p.name and kind}
            texts = map(_text_of, (*mine, *upstreams))
            if any(dropped & set(re.findall(r"[\w$]+", text)) for text in texts):
                raise Odd
            for waiting in (mine, upstreams, gone, whose):
                waiting.clear()

        for place in range(len(base) + 1):
            for parts, edits, side in ((mine, one, 1), (upstreams, other, 2)):
                parts += edits.added[place]
                self.added[side] += edits.added[place]
            if place == len(base):
                break
            left, right = one.match[place], other.match[place]
            if left is None or right is None:
                kept = left or right
                same = bytes.split if self.language.maps else bytes
                if kept and same(kept.whole) != same(base[place].whole):
                    raise Odd  # one changed it, the other removed it
                gone.append(base[place])
                whose.append((left is None, right is None))
                self.gone |= self._introduced(base[place]) if kind else set()
                if right is not None and kind:
                    self.dropped.append(_text_of(base[place]))
                continue
            flush()
            merged.append(self._part(base[place], left, right, at, kind))
        flush()
        return merged

    def _introduced(self, part: Part) -> set[str]:
        """The names that a part introduces."""
        one = items.item(self.path, "", [" ".join(_text_of(part).split())])
        return words_of([*one.binds, one.name if one.kind is items.Kind.DEFINITION else ""])

    def _both(self, mine: Sequence[Part], upstreams: Sequence[Part]) -> list[Part]:
        """Parts that both sides added at one place, if their order cannot matter."""
        if self._is_there(mine, upstreams, 2) or self._is_there(upstreams, mine, 1):
            raise Odd
        arms = [part for part in (*mine, *upstreams) if _ARM.match(part.node.type)]
        if not all(_ONE_VALUE.fullmatch(part.name) for part in arms):
            raise Odd  # the first that fits is taken
        above = self._above(mine[0], 1)
        one, other = self._items(mine, above), self._items(upstreams, above)
        behind = additions.is_behind_jump(above, one[0].lines)
        if behind or items.rival(one, other) or not items.free(one, other, False):
            raise Odd
        return [*mine, *upstreams]

    def _is_free(self, kind: str, parts: Sequence[Part], side: int) -> bool:
        """Whether parts of a side may be next to what only the other side replaced or removed."""
        members = _MEMBERS.match(kind) and all(part.name for part in parts)
        return bool(members) or self._is_apart(parts, side)

    def _is_apart(self, parts: Sequence[Part], side: int) -> bool:
        """Whether parts of a side do not depend on their neighbours."""
        found = self._items(parts, self._above(parts[0], side))
        return all(item.kind in items.APART for item in found)

    def _adds_twice(self, merged: bytes) -> bool:
        """Whether both sides added a line, at different places, other than in new definitions and
        the like."""
        texts = [*(tree.text for tree in self.sides), merged]
        base, ours, theirs, now = (
            Counter(filter(None, (line.strip() for line in text.split(b"\n")))) for text in texts
        )
        new = (ours - base).keys() & (theirs - base).keys()
        twice = {x for x in new if now[x] > max(ours[x], theirs[x]) and _is_telling(x)}
        return any(
            not any(
                self._is_apart([part], side)
                for part in self.added[side]
                if line in map(bytes.strip, part.body.split(b"\n"))
            )
            for line in twice
            for side in (1, 2)
        )

    def _moves_twice(self, merged: bytes) -> bool:
        """Whether a line is there more often than on each side, which all have it as often."""
        texts = [*(tree.text for tree in self.sides), merged]
        base, ours, theirs, now = (Counter(map(bytes.strip, x.split(b"\n"))) for x in texts)
        return any(now[x] > n == ours[x] == theirs[x] and _is_telling(x) for x, n in base.items())

    def _above(self, part: Part, side: int) -> str:
        """A side's text before a part."""
        before = self.sides[side].text[: part.node.start_byte].removesuffix(part.lead)
        return before.decode(errors="surrogateescape")

    def _items(self, parts: Sequence[Part], above: str) -> list[items.Item]:
        """What parts are, given the text above them."""
        texts = [lines_of(_text_of(part)) for part in parts]
        return [items.item(self.path, items.inside_of(above, lines), lines) for lines in texts]

    def _is_there(self, parts: Sequence[Part], others: Sequence[Part], side: int) -> bool:
        """Whether the other side has one of the parts somewhere, or added something similar to an
        unnamed part, which may be the same thing."""
        from rapidfuzz import fuzz  # slow to import

        rest = self.rest.text.encode("utf-8", "surrogateescape")
        lines = {
            part.strip() for text in (self.sides[side].text, rest) for part in text.split(b"\n")
        }
        unnamed = [[p.body for p in few if not p.name] for few in (parts, others)]
        return any(part.body.strip() in lines for part in parts) or any(
            fuzz.ratio(one, other) >= ALIKE for one in unnamed[0] for other in unnamed[1]
        )

    # --- Whether the result can be taken

    def check(self, merged: bytes) -> None:
        """Raises Odd unless the merge parses like both sides and contains all changes of both."""
        for side, other in ((1, 2), (2, 1)):
            for piece in self.changed[side]:
                whole = re.compile(rb"(?<![\w.])" + re.escape(piece) + rb"(?!\w)")
                if any(whole.search(part.body) for part in self.added[other]):
                    raise Odd  # one side still has what the other side rephrased
        if self.path.endswith(".toml"):
            tomli.loads(merged.decode())
        anchors = [
            Counter(_ANCHOR.findall(text)) for text in (*(x.text for x in self.sides), merged)
        ]
        if "yaml" in self.language.wheel and any(
            number > max(anchors[0][name], 1) for name, number in anchors[3].items()
        ):
            raise Odd
        if self.needs_twice(Texts(*(x.text.decode(errors="replace") for x in self.sides))):
            raise Odd
        if self._moves_twice(merged) if self.language.maps else self._adds_twice(merged):
            raise Odd
        result = Tree(self.language, merged)
        is_python = self.path.endswith((".py", ".pyi"))
        if not is_sound(self.sides, result, is_python) or not (
            self.won or has_all([side.text for side in self.sides], merged)
        ):
            raise Odd


def _changes_all(base: Parts, side: Parts) -> bool:
    """Whether a side made the same edit in all parts of a list, such as a new prefix."""
    old, new = ({part.name: part.body for part in x.parts if part.name} for x in (base, side))
    edits = {_edit(old[name], new.get(name, old[name])) for name in old}
    return len(old) > 2 and len(edits) == 1 and edits != {(b"", b"")}


def _adds(base: Parts, side: Parts) -> bool:
    return not {part.name for part in side.parts} <= {part.name for part in base.parts}


def _edit(one: bytes, other: bytes) -> tuple[bytes, bytes]:
    """What an edit took out of a text, and what it put there."""
    start = languages.alike(one, other)
    end = languages.alike(one[start:][::-1], other[start:][::-1])
    return one[start : len(one) - end], other[start : len(other) - end]


def _is_in_one(taken: Sequence[Parts]) -> bool:
    """Whether the sides differ in one part only."""
    bodies = [[part.body for part in side.parts] for side in taken]
    differing = (len({*versions}) > 1 for versions in zip(*bodies, strict=False))
    return len({*map(len, bodies)}) == 1 and sum(differing) == 1


def _calls_another(taken: Sequence[Parts], listed: bool) -> bool:
    """Whether the sides call different things, or changed two links of one chain of calls."""
    called = [x.open if listed else b"".join(p.body for p in x.parts[:-1]) for x in taken]
    given = {parts.parts[-1].body for parts in taken if parts.parts and not listed}
    chained = len({*called}) > 1 and len(given) > 1
    return chained or len({text.rpartition(b")")[2] for text in called}) > 1


def _is_telling(line: bytes) -> bool:
    return substantive(line.decode(errors="replace"))


def _notes(lead: bytes) -> set[bytes]:
    """The lines above a part, such as comments."""
    return {*map(bytes.strip, lead.split(b"\n"))} - {b""}


def _text_of(part: Part) -> str:
    return part.whole.decode(errors="surrogateescape")


def _margins(parts: Iterable[Part]) -> set[bytes]:
    """The indentation of parts that begin a line."""
    leads = (part.lead.rpartition(b"\n")[2] for part in parts if b"\n" in part.tail)
    return {lead for lead in leads if not lead.strip()}


def _spaced(base: bytes, ours: bytes, theirs: bytes) -> bytes:
    if not (ours + theirs + base).strip() and len({base, ours, theirs}) == 3:
        return max(ours, theirs, key=len)
    picked: bytes = _pick(base, ours, theirs)
    return picked
