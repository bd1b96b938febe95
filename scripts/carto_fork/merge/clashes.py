"""Changes of both sides that are in different parts of a list, and still get in each other's way.
Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from . import items
from .languages import Language
from .trees import Part, Parts

_PLACED = re.compile(
    r"arguments?(_list)?$|param|tuple|array_pattern|initializer_list|literal_value|base_class_clause"
    r"|ordered_field_declaration_list"
)
"""Lists in which a part without a name of its own means something by its position."""
_KEYED = re.compile(r"keyword|keyed|pair|comment")
_HOLDER = re.compile(
    r"object|dictionary|function|lambda|closure|literal_|composite|jsx|array|list|block|class"
)
"""Parts in which a change does not change what they are to their neighbours."""
_SPREAD = re.compile(r"spread|splat")
_HEADED = re.compile(r"(enhanced_)?(for|while|if)_")
_NUMBERED = re.compile(r"enum|const_declaration")
_BODY = re.compile(r"block|body|compound_statement|else|elif|alternative")

_TIED = [
    (re.compile(what), re.compile(which))
    for what, which in (
        ("repo(sitory)?|image|registry|git|source|url", r"tag|digest|rev|ref|branch|sha\d*|hash"),
        ("repo(sitory)?|image|registry|git|source|url", "checksum|integrity"),
        ("version|tag|rev|ref|resolved", r"digest|sha\d*|hash|checksum|integrity"),
        ("host(name)?|address|server|domain", "port|path|scheme|protocol"),
        ("user(name)?|login|account|client_id", "pass(word)?|secret|token|client_secret|key"),
        ("cron|schedule|time", "time_?zone|tz"),
        ("image|command|entrypoint|cmd|executable|program", "arg(ument)?s|options|command"),
        ("price|amount|cost|value", "currency|units?"),
        (r"\w*([Hh]ash|[Rr]oot|[Dd]igest)", r"\w*([Hh]ash|[Rr]oot|[Dd]igest)"),
    )
]
"""Keys whose values belong together."""
_ENDS = ("min", "max"), ("lower", "upper"), ("low", "high"), ("start", "end"), ("first", "last")
_VALUE = re.compile(r"=\s*(.+?)[\s,;]*$|\((.+)\)[\s,;]*$", re.DOTALL)


def clash(language: Language, kind: str, taken: Sequence[Parts]) -> bool:
    """Whether what each side did to the parts of a node depends on what the other did to others.

    taken: the parts of base, ours and theirs.
    """
    base, ours, theirs = (side.parts for side in taken)
    one, other = _touched(base, ours), _touched(base, theirs)
    if not one or not other:
        return False
    new = _new(base, ours), _new(base, theirs)
    if _PLACED.search(kind) and _shift(kind, (base, ours, theirs), (one, other)):
        return True
    if _NUMBERED.search(kind) and _are_counted(*new):
        return True
    if any(_is_spread(kind, part) for side in new for part in side):
        return True
    if _HEADED.match(kind):
        heads = [[p for p in side if not _BODY.search(p.node.type)] for side in (one, other)]
        # What is done under a condition was not meant for its contrary.
        if all(heads) or any(len({*map(_is_denied, head)}) > 1 for head in heads):
            return True
    names = [{part.name for part in side if part.name} for side in (one, other)]
    if language.maps:
        numbers = all(re.fullmatch(rb"[-+\d._eE]+", part.body) for part in base)
        return _belong(*names) or bool(base and all(new) and numbers)
    styles = "css" in language.wheel and kind == "block"
    return styles and any(items.overrides(a, b) for a in names[0] for b in names[1])


def _is_denied(part: Part) -> bool:
    return bool(re.match(rb"[(\s]*(!|not\b)", part.body))


def _touched(base: Sequence[Part], side: Sequence[Part]) -> list[Part]:
    """The parts that a side changed or added, and those of the base that it removed."""
    old, new = {part.body for part in base}, {part.body for part in side}
    changed = [part for part in side if part.body not in old]
    return changed + [part for part in base if part.body not in new]


def _new(base: Sequence[Part], side: Sequence[Part]) -> list[Part]:
    """The parts that a side added, or put in the place of something else."""
    names, old = {part.name for part in base if part.name}, {part.body for part in base}
    return [part for part in side if part.body not in old and part.name not in names]


def _shift(kind: str, taken: Sequence[Sequence[Part]], touched: Sequence[Sequence[Part]]) -> bool:
    """Whether both sides changed what is at which position."""
    base, *sides = taken
    if "param" in kind:
        # A parameter keeps its place if only its type or default changes.
        names, *others = (sorted(_name(part) for part in parts) for parts in taken)
        return names not in others
    if len({*map(len, taken)}) == 1:
        ours, theirs = (
            {i for i, (old, new) in enumerate(zip(base, side, strict=True)) if _differ(old, new)}
            for side in sides
        )
        return bool(ours and theirs) and len(ours | theirs) > 1
    # Nothing goes to another position if only one side adds or removes something.
    return len(base) not in map(len, sides) and all(
        any(not _KEYED.search(part.node.type) for part in changed) for changed in touched
    )


def _differ(old: Part, new: Part) -> bool:
    kinds = old.node.type, new.node.type
    inside = kinds[0] == kinds[1] and _HOLDER.search(kinds[0])
    return old.body != new.body and not inside and not _KEYED.search(kinds[1])


def _name(part: Part) -> bytes:
    words = re.match(rb"\W*(\w+)", part.body)
    return (
        part.name.encode()
        if part.name and not part.name[-1:].isdigit()
        else words[1]
        if words
        else b""
    )


def _are_counted(one: Sequence[Part], other: Sequence[Part]) -> bool:
    """Whether new members get their values from their position, or the same ones on both sides."""
    texts = [[part.body.decode(errors="replace") for part in side] for side in (one, other)]
    if not all(_VALUE.search(text) for side in texts for text in side):
        return True
    given = [{_value(text) for text in side} for side in texts]
    return not given[0].isdisjoint(given[1])


def _value(text: str) -> int | str:
    number, match = items.number_of(text), _VALUE.search(text)
    return number if number is not None else (match[1] or match[2]).strip() if match else ""


def _is_spread(kind: str, part: Part) -> bool:
    """Whether a part brings many, which may override others."""
    in_tag = kind.startswith(("jsx_opening", "jsx_self"))
    type_ = part.node.type
    return (
        bool(_SPREAD.search(type_)) or part.name == "<<" or (in_tag and type_ == "jsx_expression")
    )


def _belong(one: Collection[str], other: Collection[str]) -> bool:
    """Whether values that the sides changed belong together, such as an image and its tag."""
    for mine, others in ((one, other), (other, one)):
        for what, which in _TIED:
            if any(map(what.fullmatch, mine)) and any(map(which.fullmatch, others)):
                return True
        for low, high in _ENDS:
            if any(low in name and name.replace(low, high) in others for name in mine):
                return True
    return False
