"""The parts of files, language by language: tables for the merge by name. Pure.

The parsers come from the grammars' wheels. Each is loaded when a file of its language is merged.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import PurePosixPath
from typing import Any, Protocol

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name


class Node(Protocol):
    """What the merge needs from a tree node: tree-sitter's, or one from `_pins`."""

    @property
    def type(self) -> str: ...
    @property
    def start_byte(self) -> int: ...
    @property
    def end_byte(self) -> int: ...
    @property
    def is_named(self) -> bool: ...
    @property
    def is_extra(self) -> bool: ...
    @property
    def has_error(self) -> bool: ...
    @property
    def children(self) -> Sequence[Any]: ...
    @property
    def text(self) -> bytes | None: ...


class Language:
    """Which nodes have parts, and how the parts are named.

    lists: types whose named children are parts; after a colon, the fields and types of children
        that are not.
    bare: lists without opening and closing tokens: they consist of whole lines.
    runs: lists with an opening but no closing token.
    maps: lists in which parts are found by name, wherever they are.
    names: for a type, the children that name it, by field, type or position: all of those joined by
        a plus, one of those joined by a bar; a dot is the node itself. Default: `name` or `key`.
    """

    def __init__(
        self,
        wheel: str,
        lists: str,
        names: str = "",
        *,
        grammar: str = "language",
        bare: str = "",
        runs: str = "",
        maps: str = "",
    ) -> None:
        self.wheel, self.grammar = wheel, grammar
        pairs = (entry.partition(":") for entry in lists.split())
        self.lists = {kind: header.split(",") if header else [] for kind, _, header in pairs}
        ways = (entry.partition("=") for entry in names.split())
        self.names = {kind: way.split("+") for kind, _, way in ways}
        self.bare, self.runs, self.maps = (set(text.split()) for text in (bare, runs, maps))


_C_LISTS = """translation_unit field_declaration_list compound_statement enumerator_list
    argument_list parameter_list initializer_list declaration_list case_statement:value
    preproc_ifdef:name preproc_if:condition"""
_C_NAMES = """declaration=declarator field_declaration=declarator function_definition=declarator
    type_definition=declarator init_declarator=declarator pointer_declarator=declarator
    array_declarator=declarator function_declarator=declarator reference_declarator=1
    preproc_include=path template_declaration=-1 case_statement=value qualified_identifier=.
    using_declaration=-2"""
_JS_LISTS = """program class_body statement_block object array arguments formal_parameters
    named_imports export_clause object_pattern array_pattern switch_body interface_body object_type
    enum_body type_arguments switch_case:value switch_default
    jsx_opening_element:name,type_arguments jsx_self_closing_element:name,type_arguments"""
_JS_NAMES = """import_statement=source export_statement=default|declaration enum_assignment=name
    lexical_declaration=variable_declarator variable_declaration=variable_declarator
    field_definition=property jsx_attribute=0 jsx_element=open_tag switch_case=value identifier=.
    shorthand_property_identifier=. shorthand_property_identifier_pattern=."""
_JS_RUNS = "switch_case switch_default"
_TS = "tree_sitter_typescript"
_CSS = Language(
    "tree_sitter_css",
    "stylesheet block",
    "rule_set=selectors declaration=property_name media_statement=1",
)

LANGUAGES: dict[str, Language] = {
    ".py .pyi": Language(
        "tree_sitter_python",
        """module block argument_list parameters list dictionary set tuple import_statement
        import_from_statement:module_name""",
        """decorated_definition=definition expression_statement=assignment assignment=left
        import_from_statement=module_name aliased_import=alias typed_parameter=0 dotted_name=.
        identifier=.""",
        bare="block",
    ),
    ".js .jsx .mjs .cjs": Language("tree_sitter_javascript", _JS_LISTS, _JS_NAMES, runs=_JS_RUNS),
    ".ts .mts .cts": Language(
        _TS, _JS_LISTS, _JS_NAMES, grammar="language_typescript", runs=_JS_RUNS
    ),
    ".tsx": Language(_TS, _JS_LISTS, _JS_NAMES, grammar="language_tsx", runs=_JS_RUNS),
    ".go": Language(
        "tree_sitter_go",
        """source_file import_spec_list const_declaration var_declaration statement_list
        field_declaration_list parameter_list argument_list literal_value interface_type
        type_declaration var_spec_list""",
        """import_declaration=import_spec import_spec=path var_declaration=var_spec
        const_declaration=const_spec type_declaration=type_spec keyed_element=key
        expression_case=value short_var_declaration=left method_declaration=receiver+name""",
        bare="statement_list",
    ),
    ".java": Language(
        "tree_sitter_java",
        """program class_body interface_body enum_body block argument_list formal_parameters
        array_initializer annotation_argument_list enum_body_declarations constructor_body
        switch_block""",
        """import_declaration=1 field_declaration=declarator element_value_pair=key
        local_variable_declaration=declarator""",
    ),
    ".kt .kts": Language(
        "tree_sitter_kotlin",
        """source_file class_body enum_class_body block value_arguments function_value_parameters
        class_parameters when_expression:when_subject""",
        """import=identifier|qualified_identifier property_declaration=variable_declaration
        variable_declaration=identifier parameter=identifier class_parameter=identifier
        enum_entry=identifier companion_object=companion when_entry=condition""",
    ),
    ".rb .rake": Language(
        "tree_sitter_ruby",
        """program body_statement argument_list method_parameters hash array""",
        """assignment=left pair=key keyword_parameter=name optional_parameter=name
        singleton_method=object+name""",
        bare="body_statement",
    ),
    ".rs": Language(
        "tree_sitter_rust",
        """source_file declaration_list field_declaration_list block arguments parameters use_list
        enum_variant_list match_block array_expression field_initializer_list""",
        """use_declaration=argument use_as_clause=alias match_arm=pattern field_initializer=field
        let_declaration=pattern identifier=. impl_item=trait|type+type""",
    ),
    ".c": Language("tree_sitter_c", _C_LISTS, _C_NAMES, runs="case_statement"),
    ".h .cc .cpp .cxx .hpp .hh": Language(
        "tree_sitter_cpp", _C_LISTS, _C_NAMES, runs="case_statement"
    ),
    ".css .pcss .scss .less": _CSS,
    ".json": Language("tree_sitter_json", "object array", maps="object"),
    ".yaml .yml": Language(
        "tree_sitter_yaml",
        "block_mapping block_sequence flow_mapping flow_sequence",
        "block_sequence_item=1",
        bare="block_mapping block_sequence",
        maps="block_mapping flow_mapping",
    ),
    ".toml": Language(
        "tree_sitter_toml",
        """document table:bare_key,dotted_key,quoted_key array inline_table
        table_array_element:bare_key,dotted_key,quoted_key""",
        "pair=0 table=1",
        runs="table table_array_element",
        maps="document table inline_table",
    ),
}
SUFFIXES = {suffix: found for names, found in LANGUAGES.items() for suffix in names.split()}
_PINS = Language("", "file", maps="file")


def language_of(path: str, text: str = "") -> Language | None:
    """The language of a file, by its name; None if unknown, or if its text is XML, as translations
    with Qt are, whose names end with .ts."""
    file = PurePosixPath(path)
    if text.startswith(("<?xml", "<!DOCTYPE")):
        return None
    if file.suffix == ".txt" and (
        file.name.startswith("requirements") or file.parent.name == "requirements"
    ):
        return _PINS
    return SUFFIXES.get(file.suffix)


@cache
def _parser(wheel: str, grammar: str) -> Any:
    import tree_sitter
    import tree_sitter_c
    import tree_sitter_cpp
    import tree_sitter_css
    import tree_sitter_go
    import tree_sitter_java
    import tree_sitter_javascript
    import tree_sitter_json
    import tree_sitter_kotlin
    import tree_sitter_python
    import tree_sitter_ruby
    import tree_sitter_rust
    import tree_sitter_toml
    import tree_sitter_typescript
    import tree_sitter_yaml

    grammars = (
        tree_sitter_c,
        tree_sitter_cpp,
        tree_sitter_css,
        tree_sitter_go,
        tree_sitter_java,
        tree_sitter_javascript,
        tree_sitter_json,
        tree_sitter_kotlin,
        tree_sitter_python,
        tree_sitter_ruby,
        tree_sitter_rust,
        tree_sitter_toml,
        tree_sitter_typescript,
        tree_sitter_yaml,
    )
    grammar_language = getattr(next(x for x in grammars if x.__name__ == wheel), grammar)()
    # And the last text with its tree, because the next one differs only in a few places.
    return tree_sitter.Parser(tree_sitter.Language(grammar_language)), []


def parse(language: Language, text: bytes) -> Node:
    """The tree of a text."""
    if not language.wheel:
        return _pins(text)
    if language is _CSS:  # of any dialect: same length, in words that the grammar knows
        text = _LINE_COMMENT.sub(rb"/*\1*/", text.replace(b"$", b"_"))
    parser, last = _parser(language.wheel, language.grammar)
    before, tree = last[-1] if last else (b"", None)
    if tree:
        tree = tree.copy()
        start = alike(before, text)
        end = min(alike(before[::-1], text[::-1]), min(len(before), len(text)) - start)
        stops = len(before) - end, len(text) - end
        points = (_point(before, start), _point(before, stops[0]), _point(text, stops[1]))
        tree.edit(start, *stops, *points)
    made = parser.parse(text, tree) if tree else parser.parse(text)
    last[:] = [(text, made)]
    root: Node = made.root_node
    return root


_LINE_COMMENT = re.compile(rb"(?<![:\w\"'(])//([^\n]*)[^\n]{2}")


def alike(one: bytes, other: bytes) -> int:
    """How many first bytes both have in common."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _point(text: bytes, at: int) -> tuple[int, int]:
    return text.count(b"\n", 0, at), at - text.rfind(b"\n", 0, at) - 1


def name_of(language: Language, node: Any) -> str:
    """The name of a part; "" if it has none."""
    if isinstance(node, Pin):
        return node.name
    words = []
    for way in language.names.get(node.type, ["name|key"]):
        steps = (_child(node, step) for step in way.split("|"))
        named = next((child for child in steps if child is not None), None)
        if named is None:
            return ""
        inner = "" if named is node else name_of(language, named)
        words.append(inner or " ".join(named.text.decode(errors="replace").split()))
    name = " ".join(words)
    return _plain(language, name) if language.maps or node.type == "pair" else name


def names_of(language: Language, node: Any) -> list[str]:
    """The names of a part that may declare several things, such as `int one, other;`."""
    ways = language.names.get(node.type, ())
    if len(ways) != 1:
        return [name_of(language, node)]
    found = node.children_by_field_name(ways[0])
    found = found or [child for child in node.children if child.type == ways[0]]
    return [name_of(language, child) or child.text.decode(errors="replace") for child in found]


def _plain(language: Language, key: str) -> str:
    """A key as programs read it: quotes may be left out, and YAML has several words for `true`."""
    quoted = re.fullmatch(r"([\"'])([\w-]+)\1", key)
    if "yaml" in language.wheel and not quoted:
        return {"yes": "true", "on": "true", "no": "false", "off": "false"}.get(key.lower(), key)
    return quoted[2] if quoted else key


def _child(node: Any, step: str) -> Any:
    """A child of a node by its field, type or position; the node itself for a dot."""
    if step == ".":
        return node
    if re.fullmatch(r"-?\d", step):
        at = int(step)
        return node.children[at] if -len(node.children) <= at < len(node.children) else None
    typed = (child for child in node.children if child.type == step)
    return node.child_by_field_name(step) or next(typed, None)


# --- Requirements --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pin:
    """A requirements file or one of its lines; names and types as in tree-sitter.

    name: the project and marker of a requirement; the whole text of an option.
    """

    type: str
    name: str
    start_byte: int
    end_byte: int
    text: bytes
    children: Sequence[Pin] = ()
    is_named: bool = True
    is_extra: bool = False
    has_error: bool = False
    start_point: tuple[int, int] = (0, 0)
    end_point: tuple[int, int] = (0, 0)


def _pins(text: bytes) -> Pin:
    end = text.count(b"\n"), len(text) - text.rfind(b"\n") - 1
    return Pin("file", "", 0, len(text), text, tuple(_lines(text)), end_point=end)


def _lines(text: bytes) -> Iterator[Pin]:
    at = 0
    for row, line in enumerate(text.decode().split("\n")):
        said = re.split(r"(?:^|[ \t])#", line, maxsplit=1)[0]
        note = line[len(said) :].strip()
        said = said.strip()
        if said.endswith("\\"):
            raise ValueError("a line that continues on the next one")
        for kind, part in (("requirement", said), ("comment", note)):
            if part:
                start = at + len(line[: line.index(part)].encode())
                egg = re.search(r"#egg=([\w.-]+)", part)
                name = part if part[0] in "-#" and not egg else _project(egg[1] if egg else part)
                raw = part.encode()
                end = start + len(raw)
                points = (row, start - at), (row, end - at)
                yield Pin(kind, name, start, end, raw, (), True, kind == "comment", False, *points)
        at += len(line.encode()) + 1


def _project(line: str) -> str:
    one = Requirement(line)
    return f"{canonicalize_name(one.name)} {one.marker or ''}"


def project(text: str) -> str:
    """The project that a text requires; the text itself if it requires nothing."""
    try:
        return canonicalize_name(Requirement(text.strip("\"'")).name)
    except InvalidRequirement:
        return text
