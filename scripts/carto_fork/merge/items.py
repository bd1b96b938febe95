"""Items: the parts of lines that somebody added, and whether those of two sides get in each other's
way. Pure.

We do not parse the languages: indentation, brackets and the first word of a line show what an
addition consists of. Anything unrecognised counts as a statement, and the order of statements
matters.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import takewhile


class Kind(Enum):
    """The kind of an item, as far as the order of items is concerned."""

    IMPORT = "import"
    DEFINITION = "definition"
    MEMBER = "member"
    VALUE = "value"  # gives a name a literal value
    ELEMENT = "element"  # of a list
    STATEMENT = "statement"


APART = {Kind.IMPORT, Kind.DEFINITION, Kind.MEMBER}
"""Kinds whose meaning does not depend on their neighbours."""


@dataclass(frozen=True)
class Item:
    """A part of an addition that can exist without the others.

    head: its first line that is not a comment, stripped.
    name: what it introduces.
    binds: the names that an import binds, or that a field has outside; `_ALL` if its place may
        matter.
    """

    kind: Kind
    head: str
    name: str
    lines: tuple[str, ...]
    binds: frozenset[str] = frozenset()


LONGEST = 500  # characters; nobody writes a longer line by hand

_TEXTS = re.compile(r"\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'|`[^`]*`")
_COMMENT = re.compile(r"//.*|/\*.*?(\*/|$)|(?:^|\s)#(?![a-z]).*|(?:^|\s)(--|;;)\s.*")
# A comment, or something else that belongs to the lines below it.
ABOVE = re.compile(
    r"#(?![a-z])|<!--|//|/\*|\*([ /]|$)|--\s|;;|"
    r"@(?!(import|use|forward|charset|namespace)\b)[\w.]|\[[A-Z]\w+[](]|#\["
)


def is_above(path: str, text: str) -> bool:
    """Whether a line belongs to the one below it, as a comment or a decorator does."""
    return bool(ABOVE.match(text)) and not (path.endswith(_STYLES) and text[0] == "@")


def code_of(line: str) -> str:
    """A line without its strings and comments."""
    return _COMMENT.sub("", _TEXTS.sub('""', line.strip()[:LONGEST])).strip()


def margin_of(lines: Sequence[str]) -> str:
    """The indentation of the first line with words."""
    first = next((line for line in lines if line.strip()), "")
    return first[: len(first) - len(first.lstrip())]


_MARK = re.compile(r"\s*(@|\)\s*$)|\s+[\w.]+\s*=")


def inside_of(before: str, lines: Sequence[str]) -> str:
    """The line that opened the block around an addition, with its decorators; "" at the top
    level."""
    width, above = len(margin_of(lines)), before.splitlines()
    for index in range(len(above) - 1, -1, -1):
        line, text = above[index], above[index].strip()
        if text and len(line) - len(line.lstrip()) < width and not text.startswith(("#", "//")):
            marks = [*takewhile(_MARK.match, reversed(above[:index]))]
            return " ".join([*(mark.strip() for mark in reversed(marks)), text])
    return ""


# --- What an item is -----------------------------------------------------------------------------

_IMPORT = re.compile(
    r"import\s|from\s.*\bimport\b|(pub(\(\w+\))? )?(use|using)\s[^=(]*;|#\s*include\b"
    r"|(require(_relative|_once)?|include_once)\b|@import\b|@use\b|extern crate\b|export \*"
    r"|export \{[^}]*\} from\b|(const|let|var) [\w{}, ]+ = require\("
)
_DEFINITION = re.compile(
    r"((export|default|public|private|protected|internal|static|async|abstract|final|override"
    r"|virtual|inline|extern|unsafe|suspend|open|data|sealed|readonly|declare|pub(\(\w+\))?) )*"
    r"(def|class|function\*?|func|fn|fun|interface|struct|enum|union|trait|impl|module|namespace"
    r"|protocol|record|typedef|type|object|macro_rules!|mod)\s+(\([^)]*\)\s*)?"
    r"(?P<name>[\w$.:~\"]+)(?!\s*=[^=>])"
)
_TEST = re.compile(
    r"(describe|context|it|test|specify|scenario|feature)(\.\w+)?[( ]\s*(?P<name>[\"'`{].*)"
)
_METHOD = re.compile(
    r"(?!(if|for|while|switch|with|catch|foreach|return|do|else|match|lock|synchronized|using|unless"
    r"|go|defer|guard|when|try)\b)[\w<>\[\],.:*&?$ ]*?(?P<name>[~\w$]+)"
    r"\([^()]*(\([^()]*\)[^()]*)*\)[^()=]*\{"
)
_PROTOTYPE = re.compile(r"[\w<>:*&, ]+[ *&](?P<name>\w+)\(.*\)\s*;")
_DECLARED = re.compile(
    r"(?!(return|throw|raise|goto|delete|yield|await|echo|print|new|case|use|using|import)\b)"
    r"[\w<>\[\],.:*&? ]+[ *&](?P<name>[\w\[\]]+);"
)
_DEFINED = re.compile(r"#\s*define\s+(?P<name>\w+)(?P<value>\s.*|)")
_CONSTANT = re.compile(
    r"([\w.$]+|\[\]|\{\}|\"\"|[\w.()*+|<>~ -]*\d[\w.()*+|<>~ -]*)?", re.IGNORECASE
)
_FIELD = re.compile(
    r"((public|private|protected|internal|static|final|readonly|const|var|let|val|abstract) )*"
    r"[\"']?(?P<name>[\w$-]+)[\"']?\??(:(?!:)|=>|\s=(?!=))"
)
_COLUMN = re.compile(r"(?P<name>\w+)\s+[\w.*\[\]{}]+(\s+\"\")?")
_ATTRIBUTE = re.compile(r"(?P<name>[\w:.-]+)=(\{.*\}|\"\")")
_TARGET = re.compile(r"(?P<name>[\w./%$(){}-]+)\s*:(?!=)")
_REQUIREMENT = re.compile(r"(gem )?[\"']?(?P<name>[\w.@/-]+)")
# Things that are found by name, wherever they are in a file.
_RESOURCE = re.compile(
    r"<(string|string-array|plurals|dimen|color|bool|integer|attr|style|item|data|PackageReference"
    r"|uses-permission)\s[^>]*?\b(name|Include)=\"(?P<name>[^\"]+)\".*>$"
)
_TABLE = re.compile(r"(.*[\s*&])?(?P<name>[\w$]+)(\[\w*\])*\s*=\s*[\[{(]")
_JUMP = re.compile(r"\b(return|break|continue|throw|raise|goto|exit|panic|die|fail|abort|next)\b")
LEAVES = re.compile(r"(return|break|continue|throw|raise|goto)\b")
_SETTINGS = (".conf", ".cfg", ".ini", ".properties", ".env", ".editorconfig")
_COUNTED = re.compile(r"\benum\b|Enum\b|Flag\b|Choices\b|^const \(")
_POSITIONED = re.compile(
    r"\benum\b|Enum\b|Flag\b|Choices\b|NamedTuple|dataclass|@(attrs?\.|define\b|frozen\b)|Struct\b"
)
_SCRIPT = re.compile(r"makefile|dockerfile|\.(mk|sh|bash|zsh)$")
_STYLES = (".css", ".scss", ".pcss", ".less")


def item(path: str, holder: str, lines: Sequence[str]) -> Item:
    """The item that some lines form, judged by these and by the line that opened the block around
    them."""
    stripped = (line.strip() for line in lines)
    code = [text for text in stripped if text and not is_above(path, text)]
    head = code[0] if code else ""
    kind, name = _kind(path.rpartition("/")[2].lower(), holder, code)
    tags = re.findall(r"\w:\"([^\",]+)", head) if path.endswith(".go") else ()
    value = head.rstrip(" ;,").partition("=")[2].strip() if _COUNTED.search(holder) else ""
    outside = frozenset({*tags, *([f"= {value}"] if re.match(r"[\"'`\d]", value) else ())})
    binds = _bound(path, " ".join(code)) if kind is Kind.IMPORT else outside
    return Item(kind, head, " ".join(name.split()), tuple(lines), binds)


def _kind(file: str, holder: str, code: Sequence[str]) -> tuple[Kind, str]:
    """The kind of an item with these lines, and the name that it introduces."""
    if not code:
        return Kind.MEMBER, ""  # only comments
    head, single = code[0], len(code) == 1
    plain = code_of(head)
    if _IMPORT.match(head):
        return Kind.IMPORT, _module(head)
    if (file == "gemfile" or "requirements" in file) and single:
        name = _name(_REQUIREMENT.match(head), head).lower()
        return Kind.MEMBER, re.sub(r"[-_.]+", "-", name)  # as Python package indexes compare names
    if ("makefile" in file or file.endswith(".mk")) and (match := _TARGET.match(head)):
        return Kind.DEFINITION, head if head.startswith(".PHONY") else match["name"]
    if file.endswith(_SETTINGS):
        match = re.match(r"[\w.-]+(?=\s*=|\s|$)", head) if single else None
        return (Kind.MEMBER, match[0]) if match else (Kind.STATEMENT, "")
    if match := _RESOURCE.match(head):
        return Kind.MEMBER, match["name"]
    if holder.endswith("(") or code_of(holder).count("(") > code_of(holder).count(")"):
        return _in_parentheses(holder, head)
    if match := _DEFINITION.match(plain) or _TEST.match(head):
        return Kind.DEFINITION, match["name"]
    if file.endswith(_STYLES):
        if head[0] == "@":
            return Kind.STATEMENT, ""
        selectors = len(list(takewhile(lambda line: line.endswith(","), code))) + 1
        opening = code_of(" ".join(code[:selectors]))
        if not single and opening.endswith("{"):
            return Kind.DEFINITION, opening
        if single and (match := _FIELD.match(plain)):
            return Kind.MEMBER, match["name"]
    if not single and (match := _METHOD.fullmatch(_opening(code))):
        return Kind.DEFINITION, match["name"]
    if not single and not holder and (match := _TABLE.fullmatch(plain)):
        return Kind.DEFINITION, match["name"]
    if not single:
        return Kind.STATEMENT, _assigned(plain)
    if not holder and (match := _PROTOTYPE.fullmatch(plain)):
        return Kind.DEFINITION, match["name"]
    if (match := _ATTRIBUTE.fullmatch(plain)) and holder.startswith("<"):
        return Kind.MEMBER, match["name"]
    if match := _DECLARED.fullmatch(plain):
        return Kind.VALUE, match["name"]
    if name := _given(plain):
        # Where a name without a value takes one from its place, or the lines of a script run.
        apart = not _POSITIONED.search(code_of(holder)) and not _SCRIPT.search(file)
        return (Kind.VALUE if apart else Kind.MEMBER), name
    if _holds_parts(holder) and (match := _FIELD.match(head)):
        return Kind.MEMBER, match["name"]
    if re.search(r"\bstruct\b", holder) and (match := _COLUMN.fullmatch(plain)):
        return Kind.MEMBER, match["name"]
    if holder.endswith("["):
        return Kind.ELEMENT, head.rstrip(",")
    return Kind.STATEMENT, _assigned(plain)


def _name(match: re.Match[str] | None, otherwise: str) -> str:
    return match["name"] if match else otherwise


def _opening(code: Sequence[str]) -> str:
    """The head of a function, up to the bracket that opens its body."""
    opening = ""
    for line in code[:12]:
        opening += f"{code_of(line)} "
        if opening.count("(") == opening.count(")") and opening.rstrip().endswith("{"):
            break
    return opening.rstrip()


def _assigned(plain: str) -> str:
    """The target of an assignment; "" for other statements."""
    match = re.match(r"(?:\w+ )?([\w$.\[\]>-]+)\s*:?=(?!=)", plain)
    return match[1] if match else ""


def _given(plain: str) -> str:
    """The name to which a line assigns a literal; "" for anything else."""
    if defined := _DEFINED.fullmatch(plain):
        return defined["name"]
    target, equals, value = plain.partition("=")
    target, value = target.rstrip(" :"), value.strip(" ;,")
    written = _CONSTANT.fullmatch(value) and not re.search(r"[^\W\d]\w*\s*\(", value)
    if not equals or not value or not written or not re.fullmatch(r"[\w$.<>\[\]:*&?, -]+", target):
        return ""
    return re.split(r"[ *&:]+", target.partition(": ")[0])[-1]


def _in_parentheses(holder: str, head: str) -> tuple[Kind, str]:
    """An argument is identified by its name or its position; a declaration by its position."""
    first = holder.split()[0].rstrip("(")
    if first in ("import", "from", "use", "export"):
        return Kind.IMPORT, _module(head)
    if first in ("const", "var", "type"):
        # A constant without a value continues counting from the one above.
        counts = first == "const" and ("=" not in head or "iota" in head)
        return Kind.STATEMENT if counts else Kind.MEMBER, head.split()[0]
    declared = re.search(r"\b(def|function|func|fn|fun|constructor)\b", code_of(holder))
    match = re.match(r"\"?(?P<name>\w+)\"?\s*(=(?![=>])|:(?!:))", head)
    if match and not declared:
        return Kind.MEMBER, match["name"]
    return Kind.ELEMENT, head.rstrip(",")


def is_type(holder: str) -> bool:
    """Whether a line opens a type, or a list of declarations."""
    return bool(
        re.search(
            r"\b(class|struct|interface|type|trait|record|object)\b|^(import|const|var) \($", holder
        )
    )


def _holds_parts(holder: str) -> bool:
    """Whether a line opens something whose parts have names but no order."""
    plain = code_of(holder)
    if _POSITIONED.search(plain):
        return False
    block = re.search(
        r"\)[^(]*\{$|(=>|->)\s*\{$|\b(if|for|while|switch|else|do|try|loop|match|go|defer)\b", plain
    )
    return is_type(plain) or (plain.endswith(("{", "[")) and not block)


def _module(head: str) -> str:
    """What an import names: the module in quotes, or everything after its keyword."""
    quoted = re.findall(r"[\"'<]([^\"'<>]+)[\"'>]", head)
    return quoted[-1] if quoted else head.rstrip(" ;,")


_ALL = "*"
_FROM = re.compile(r"from\s+\S+\s+import\s+(.*)")
_OUT_OF = re.compile(r"(?:import|export|const|let|var)\s+(.*?)\s*(?:\bfrom\b|= require)")
_USED = re.compile(r"(?:import|use)\s+(?:static\s+)?([^\"']*)$")


def _bound(path: str, text: str) -> frozenset[str]:
    """The names that an import binds; with `_ALL` if it imports everything, or is there for its
    side effects."""
    text = text.rstrip(" ;,")
    quoted = re.search(r"[\"'][^\"']+[\"']\)?$", text)
    if path.endswith(".go"):
        alias, _, module = text.removeprefix("import").strip().rpartition(" ")
        parts = [part for part in module.strip('"').split("/") if not re.fullmatch(r"v\d+", part)]
        return frozenset({alias or parts[-1]} - {"_", "."}) if parts else frozenset()
    if re.fullmatch(r"@?import( url\()? ?[\"'][^\"']*[\"']\)?.*", text) and " from " not in text:
        return frozenset({_ALL})
    clauses = [_FROM, _OUT_OF] if quoted else [_FROM, _USED]
    match = next(filter(None, (clause.match(text) for clause in clauses)), None)
    clause = match[1] if match and not text.startswith("export *") else ""
    names = set()
    for part in re.split(r"[,{}()]|::(?=\{)", clause):
        source, _, alias = part.strip().removeprefix("type ").partition(" as ")
        name = alias or re.split(r"::|[\\.:/]", source)[-1]
        # Python's `import a.b` binds only `a`, as `import a.c` does.
        if alias or not ("." in source and path.endswith((".py", ".pyi"))):
            names.add(name.strip())
    return frozenset(names - {"", "self", "_"})


# --- Whether both can stay -----------------------------------------------------------------------


def rival(one: Sequence[Item], other: Sequence[Item]) -> bool:
    """Whether both introduce the same name, or give two names the same number."""
    names = [{item.name for item in items if item.name} for items in (one, other)]
    numbers = [{number_of(item.head) for item in items} - {None} for items in (one, other)]
    bound = [{x for item in items for x in item.binds - {_ALL}} for items in (one, other)]
    return any(not mine.isdisjoint(yours) for mine, yours in (names, numbers, bound))


def number_of(head: str) -> int | None:
    """The number that a line assigns to a name; None if it assigns none."""
    given = re.fullmatch(
        rf"(#\s*define\s+\w+\s|.*\w\s*[=:]\s*|.*?(?P<call>\w*)\()\s*"
        rf"\(?(?P<value>{_INTEGER}(\s*(<<|\|)\s*{_INTEGER})*)\)*\s*[;,]?",
        code_of(head),
        re.IGNORECASE,
    )
    # Off and on, which many names share.
    if not given or re.fullmatch("[01][ul]*", given["value"].lower()):
        return None
    number = 0
    for bits in given["value"].split("|"):
        value, *shifts = (_integer(text.strip()) for text in bits.split("<<"))
        if max(shifts, default=0) > 512:
            return None
        number |= value << sum(shifts)
    return 1 << number if given["call"] in ("BIT", "BIT_ULL") and number < 512 else number


_INTEGER = r"(?:0x[\da-f_]+|0b[01_]+|\d[\d_]*)(?:ull?|ll?u?|[iu]\d+)?\b"


def _integer(text: str) -> int:
    plain = re.match(r"0x[\da-f_]+|0b[01_]+|\d[\d_]*", text.lower())
    digits = plain[0].replace("_", "") if plain else "0"
    base = {"0x": 16, "0b": 2}.get(digits[:2], 8 if re.fullmatch("0[0-7]+", digits) else 10)
    return int(digits, base)


def free(one: Sequence[Item], other: Sequence[Item], placed: bool) -> bool:
    """Whether the order of two additions cannot matter, or is given by a sorted list."""
    kinds = [{item.kind for item in items} for items in (one, other)]
    if all(any(_ALL in item.binds for item in items) for items in (one, other)):
        return False
    if _comes_first(one, other) or _comes_first(other, one) or _are_routes(one, other):
        return False
    if any(overrides(a.name, b.name) for a in one for b in other):
        return False
    done = Kind.STATEMENT in kinds[0] | kinds[1]
    if _mentions(one, other, done) or _mentions(other, one, done):
        return False
    if Kind.ELEMENT in kinds[0] | kinds[1]:
        return placed
    # Assignments of literals do not depend on what is done next to them.
    lines = [line for items in (one, other) for item in items for line in item.lines]
    jumps = any(_JUMP.search(code_of(line)) for line in lines)
    return not done or (not jumps and {Kind.VALUE} in kinds)


def _comes_first(one: Sequence[Item], other: Sequence[Item]) -> bool:
    """Whether one addition has an import that must precede everything that the other adds."""
    imports = [item.head for item in one if item.kind is Kind.IMPORT]
    others = any(item.kind is not Kind.IMPORT for item in other)
    bind = len(other) > sum(item.kind is not Kind.IMPORT for item in other)
    return any(
        "__future__" in head
        or (others and head[0] == "@")
        or (bind and re.match(r"from\s.*\bimport\s*\*", head))
        for head in imports
    )


_ROUTE = re.compile(r"@([\w.]+)\(\s*[rf]?([\"'`])(.*?)\2")
_TESTING = re.compile(r"\b(mark|patch|parametrize|skip\w*|given|settings)\b")


def _are_routes(one: Sequence[Item], other: Sequence[Item]) -> bool:
    """Whether both are found by a text that decorates them, where the same text, or the first
    pattern that fits, counts."""
    routes = [
        {(m[1], m[3]) for item in items for line in item.lines if (m := _ROUTE.match(line.strip()))}
        for items in (one, other)
    ]
    routes = [
        {(by, at) for by, at in x if at[:1] == "/" or not _TESTING.search(by)} for x in routes
    ]
    patterns = any(re.search(r"[{<*(]|:\w", at) for side in routes for _, at in side)
    return bool(routes[0] & routes[1]) or (all(routes) and patterns)


_COVERED = {
    "all": ".*",
    "inset": "top|right|bottom|left",
    "border-(color|style|width)": "border-(top|right|bottom|left)",
    "border-radius": "border-(top|bottom|start|end)-.*-radius",
    "(margin|padding|border)-(inline|block).*": "(margin|padding|border)-(top|right|bottom|left)",
    "inset-(inline|block).*": "top|right|bottom|left",
    "(min-|max-|)(inline|block)-size": "(min-|max-|)(width|height)",
    "flex-flow": "flex-(wrap|direction)",
    "place-.*": "(align|justify)-",
    "grid-area": "grid-(row|column)",
    "gap": "(row|column)-gap",
    "columns": "column-",
    "font": "line-height",
}


_OTHER = re.compile(
    "border-(radius|collapse|spacing)|overflow-(wrap|anchor)|flex-(wrap|direction|flow)"
    "|outline-offset|(transform|content|contain|color)-.*"
)
"""Properties that another one, with whose name they begin, does not set."""


def overrides(one: str, other: str) -> bool:
    """Whether one of two CSS properties sets a part of the other one."""
    if not all(re.fullmatch("[a-z][a-z-]*", name) for name in (one, other)) or one == other:
        return False
    longer = max(one, other, key=len)
    begins = longer.startswith(f"{min(one, other, key=len)}-") and not _OTHER.fullmatch(longer)
    return begins or _covers(one, other) or _covers(other, one)


def _covers(one: str, other: str) -> bool:
    """Whether one CSS property sets another one that does not have its name."""
    found = (others for name, others in _COVERED.items() if re.fullmatch(name, one))
    return any(re.match(others, other) for others in found)


def _mentions(one: Sequence[Item], other: Sequence[Item], done: bool) -> bool:
    """Whether one addition mentions what the other introduces. done: or an object that it
    changes."""
    names = {
        word
        for item in other
        if item.kind is not Kind.IMPORT
        for word in re.findall(r"\w+", item.name)[0 if done else -1 :]
    }
    words = {
        word
        for item in one
        if item.kind is not Kind.IMPORT
        for line in item.lines
        for word in re.findall(r"\w+", _COMMENT.sub("", line))
    }
    return not names.isdisjoint(words)
