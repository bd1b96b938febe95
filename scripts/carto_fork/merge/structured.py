"""Three-way merge by key of TOML, JSON, YAML and requirements files. Pure.

Each text is read twice: as plain data, which says what the merge must mean, and as a tree of pieces
of text, an entry for each key. No document is written anew: the fork's pieces are put into
upstream's text, whose other bytes stay as they are. What comes out is read again, and dropped
unless it means what it must.
"""

from __future__ import annotations

import json
import re
import warnings
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import lru_cache
from pathlib import PurePosixPath
from typing import Any

import tomli
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from ..run.text import too_long

_GONE = object()

_Key = tuple[Any, ...]
"""The way from a table to an entry: several names where the text dots them, one otherwise."""


@dataclass(frozen=True)
class Merged:
    """The merged text, and the dotted keys at which the fork's change was carried over."""

    text: str
    keys: tuple[str, ...]


def merge(
    path: str, base: str, ours: str, theirs: str, *, upstream_keys: Collection[str] = ()
) -> Merged | None:
    """Upstream's text with what the fork changed since the base, key by key.

    path: its name tells the format.
    upstream_keys: dotted keys at which upstream wins although both changed them.
    None where the format is unknown, a text is not valid or too long, both changed a key
    differently, or a comment or the style of a side would be lost.
    """
    form = _form_of(path)
    if form is None or too_long(path, base, ours, theirs):
        return None
    try:
        return _merge(form, base, ours, theirs, {tuple(key.split(".")) for key in upstream_keys})
    except Exception:
        # Beside the ValueErrors of this module, whatever a parser makes of an odd text:
        # RecursionError, KeyError, ... The conflict is a person's then, as it is without a merge.
        return None


# --- What the merge means ------------------------------------------------------------------------


def _merged(sides: Iterable[Any], at: _Key, upstream: set[_Key], keys: list[str]) -> Any:
    """The data that the merge means; the keys at which it is the fork's are added to the list.

    sides: what base, ours and theirs have at a key.
    """
    base, ours, theirs = sides
    if ours in (base, theirs) or (at in upstream and theirs != base):
        return theirs
    if isinstance(base, dict) and isinstance(ours, dict) and isinstance(theirs, dict):
        found = {}
        for key in {**theirs, **ours}:
            values = (side.get(key, _GONE) for side in (base, ours, theirs))
            value = _merged(values, (*at, key), upstream, keys)
            if value is not _GONE:
                found[key] = value
        return found
    keys.append(".".join(filter(None, at)))
    if theirs == base:
        return ours
    if _is_set(base) and _is_set(ours) and _is_set(theirs):
        return _both(base, ours, theirs)
    raise ValueError("both changed it")


def _is_set(data: Any) -> bool:
    """Whether it is a list of scalars, none of them twice."""
    scalars = isinstance(data, list) and not any(isinstance(item, dict | list) for item in data)
    return scalars and len(set(data)) == len(data)


def _both(base: list[Any], ours: list[Any], theirs: list[Any]) -> list[Any]:
    """The items of both sides, which only added some."""
    known = set(base)
    if any([item for item in side if item in known] != base for side in (ours, theirs)):
        raise ValueError("more than additions to a list")
    new, others = set(ours) - set(theirs), set(theirs) - set(ours)
    if set(map(_project, new - known)) & set(map(_project, others - known)):
        raise ValueError("both added a project, in two versions")
    return _placed(ours, theirs, new)


def _project(item: Any) -> Any:
    """The project that an item of a list requires; the item itself if it is no requirement."""
    try:
        return canonicalize_name(Requirement(item).name) if isinstance(item, str) else item
    except InvalidRequirement:
        return item


def _placed(ours: Iterable[Any], theirs: Iterable[Any], new: Collection[Any]) -> list[Any]:
    """Theirs, and behind what they follow in ours, those of ours that are new."""
    theirs = dict.fromkeys(theirs)
    followers: dict[Any, list[Any]] = {_GONE: []}
    before = _GONE
    for key in ours:
        if key in theirs:
            before = key
        elif key in new:
            followers.setdefault(before, []).append(key)
    placed = followers[_GONE]
    for key in theirs:
        placed += [key, *followers.get(key, ())]
    return placed


# --- What the merge looks like -------------------------------------------------------------------


@dataclass(frozen=True)
class _Entry:
    """A key with its value, as text.

    lead: what stands before it: comments, blank lines, indentation.
    after: what follows it on its line, a comma aside.
    split: takes the body apart.
    """

    lead: str
    body: str
    after: str
    split: _Split


@dataclass(frozen=True)
class _Parts:
    """A table or list, as text.

    entries: by key; in a list by number.
    comma: what separates the entries; "" where line ends do.
    last: what follows the last of them.
    """

    open: str
    entries: dict[_Key, _Entry]
    close: str
    comma: str = ""
    last: str = ""


_Split = Callable[[str], _Parts | None]
"""Takes a text apart; None where it has no parts."""

_Read = Callable[[str], tuple[Any, Iterable[str]]]
"""The data and the comments of a text, which may have no last line end."""


def _merge(
    form: tuple[_Read, _Split], base: str, ours: str, theirs: str, upstream: set[_Key]
) -> Merged:
    read, split = form
    texts = [_with_line_feeds(text) for text in (base, ours, theirs)]
    data, notes = zip(*map(read, texts), strict=True)
    if not all(isinstance(side, dict) for side in data):
        raise ValueError("a list or a scalar has no keys")
    keys: list[str] = []
    expected = _merged(data, (), upstream, keys)
    ended = [text if text.endswith("\n") or not text else f"{text}\n" for text in texts]
    text = _woven([_Entry("", text, "", split) for text in ended], [*data, expected])
    if ended[2] != texts[2]:
        text = text.removesuffix("\n")
    result, comments = read(text)
    if result != expected or not _all_told(*notes, comments):
        raise ValueError("the text does not mean what it must")
    ends = "\r\n" if "\r\n" in theirs else "\n"
    if texts[2].replace("\n", ends) != theirs:
        raise ValueError("two kinds of line ends")
    return Merged(text.replace("\n", ends), tuple(keys))


def _with_line_feeds(text: str) -> str:
    text.encode()  # raises a ValueError for bytes that are not UTF-8
    text = text.replace("\r\n", "\n")
    if "\r" in text:
        raise ValueError("a carriage return inside a line")
    return text


def _all_told(*texts: Iterable[str]) -> bool:
    """Whether each comment is there as often as the side says that added or removed it.

    texts: the comments of base, ours, theirs and the merge.
    """
    counters = [Counter(map(str.rstrip, notes)) for notes in texts]
    for note in {note for counter in counters for note in counter}:
        before, one, other, found = (counter[note] for counter in counters)
        least, most = max(one, other), one + other - before
        if before in (one, other) or one == other:
            least = most = one if other == before else other
        if not least <= found <= most:
            return False
    return True


def _woven(entries: Sequence[_Entry], data: Sequence[Any]) -> str:
    """The body that an entry's bodies in base, ours and theirs become.

    data: what the three mean, and what the merge means.
    """
    base, ours, theirs = (entry.body for entry in entries)
    if ours in (base, theirs):
        return theirs
    if theirs == base:
        # The fork's is not what is meant inside a table at which upstream wins.
        return theirs if data[3] == data[2] != data[1] else ours
    parts = [_divided(entry, meant) for entry, meant in zip(entries, data, strict=False)]
    if parts[0] and parts[1] and parts[2]:
        return _rejoined(parts[0], parts[1], parts[2], data)
    if data[3] in (data[1], data[2]):
        return theirs if data[3] == data[2] else ours
    raise ValueError("the text cannot be taken apart as the data can")


def _divided(entry: _Entry, data: Any) -> _Parts | None:
    """The parts of an entry; those of a list by their value, where each has its own."""
    if isinstance(data, list) and not _is_set(data):
        return None
    parts = entry.split(entry.body)
    if not parts or not isinstance(data, list):
        return parts
    pairs = zip(data, parts.entries.values(), strict=True)
    return replace(parts, entries={(item,): found for item, found in pairs})


def _rejoined(base: _Parts, ours: _Parts, theirs: _Parts, data: Sequence[Any]) -> str:
    tables = [{i: i for i in side} if isinstance(side, list) else side for side in data]
    wanted = {
        key
        for key in {**ours.entries, **theirs.entries}
        if _at(tables[3], key) is not _GONE and (key in theirs.entries or key not in base.entries)
    }
    kept = [key for key in theirs.entries if key in wanted]
    moved = _margin(ours) != _margin(theirs)
    found = []
    for key in _placed(ours.entries, kept, wanted):
        old, one, other = (side.entries.get(key) for side in (base, ours, theirs))
        entry = other or one
        if old and one and other:
            lead = _pick(old.lead, one.lead, other.lead)
            body = _woven([old, one, other], [_at(table, key) for table in tables])
            after = _pick(old.after, one.after, other.after)
            entry = _Entry(lead, body, after, other.split)
        assert entry
        changed = not other or entry.body != other.body
        if moved and changed and "\n" in entry.lead + entry.body:
            raise ValueError("upstream indents it in another way")
        found.append(entry)
    text = _pick(base.open, ours.open, theirs.open)
    last = _pick(base.last, ours.last, theirs.last)
    for number, entry in enumerate(found, 1):
        comma = theirs.comma if number < len(found) else last
        text += entry.lead + entry.body + comma + entry.after
    return text + _pick(base.close, ours.close, theirs.close)


def _margin(parts: _Parts) -> str:
    """What most entries have in front of them on their line."""
    margins = Counter(entry.lead.rpartition("\n")[2] for entry in parts.entries.values())
    return max(margins, key=lambda margin: margins[margin], default="")


def _at(data: Any, key: _Key) -> Any:
    for name in key:
        if type(name) is int:
            continue  # a copy of the same
        data = data.get(name, _GONE) if isinstance(data, dict) else _GONE
    return data


def _pick(base: str, ours: str, theirs: str) -> str:
    """Theirs, where only the fork changed it ours. What that loses of comments shows in the end."""
    return ours if theirs == base else theirs


# --- Texts apart ---------------------------------------------------------------------------------

_Item = tuple[_Key | None, int, int, _Split]
"""A key, None in a list; where it begins; where its value ends; and how to take both apart."""

_BLANK = re.compile(r"\s*(?:#[^\n]*\s*)*")
_COMMA = re.compile(r"[ \t]*,")
_NOTE = re.compile(r"[ \t]*#[^\n]*")


def _lined(text: str, start: int, items: Iterable[_Item]) -> _Parts:
    """The parts of a text in which every entry from an index on has lines of its own."""
    entries: dict[_Key, _Entry] = {}
    at = start
    for key, begin, end, split in items:
        line_end = end if text[end - 1 : end] in ("", "\n") else text.index("\n", end) + 1
        entry = _Entry(text[at:begin], text[begin:end], text[end:line_end], split)
        _add(entries, key, entry)
        at = line_end
    return _Parts(text[:start], entries, text[at:])


def _bracketed(text: str, start: int, read: Callable[[str, int], _Item]) -> _Parts | None:
    """The parts of the table or list whose bracket is at an index, if one is."""
    if text[start] not in "[{":
        return None
    entries: dict[_Key, _Entry] = {}
    at, comma = start + 1, ""
    while text[begin := at + len(_match(_BLANK, text, at))] not in "]}":
        key, _, end, split = read(text, begin)
        gap = _match(_COMMA, text, end)
        end, comma = end + len(gap[:-1]), gap[-1:]
        note = _match(_NOTE, text, end + len(comma))
        _add(entries, key, _Entry(text[at:begin], text[begin:end], note, split))
        at = end + len(comma) + len(note)
    return _Parts(text[: start + 1], entries, text[at:], ",", comma)


def _add(entries: dict[_Key, _Entry], key: _Key | None, entry: _Entry) -> None:
    """Add an entry; a second one of the same key by its number, and so the items of a list."""
    number, own = 1 if key else len(entries), key
    while own is None or own in entries:
        number += 1
        own = (*(key or ()), number)
    entries[own] = entry


def _match(pattern: re.Pattern[str], text: str, at: int) -> str:
    found = pattern.match(text, at)
    return found[0] if found else ""


def _whole(text: str) -> None:
    """Takes nothing apart."""


# --- JSON ----------------------------------------------------------------------------------------


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A table. A key may be there twice, as a text merge may leave it, if its values are equal."""
    data = dict(pairs)
    if len(data) < len(pairs) and any(data[key] != value for key, value in pairs):
        raise ValueError("a key with two values")
    return data


def _constant(text: str) -> None:
    raise ValueError(f"{text} is no JSON")


# Numbers are told from true and false, and compared as they are written: 1e-06 is 0.000001, but
# nothing is rounded, and none is too big.
_JSON = json.JSONDecoder(
    object_pairs_hook=_object,
    parse_float=lambda text: ("float", Decimal(text)),
    parse_int=lambda text: ("int", text),
    parse_constant=_constant,
)
_COLON = re.compile(r"\s*:\s*")


def _read_json(text: str) -> tuple[Any, Iterable[str]]:
    return _JSON.decode(text), ()


def _split_json(text: str) -> _Parts | None:
    """The parts of a value, or of a key's value."""
    start = len(_match(_BLANK, text, 0))
    if text[start] == '"':
        _, start = _json_key(text, start)
    return _bracketed(text, start, _json_pair if text[start] == "{" else _json_item)


def _json_key(text: str, at: int) -> tuple[str, int]:
    """The key at an index, and where its value begins."""
    key, end = _JSON.raw_decode(text, at)
    return key, end + len(_match(_COLON, text, end))


def _json_pair(text: str, at: int) -> _Item:
    key, start = _json_key(text, at)
    return (key,), at, _JSON.raw_decode(text, start)[1], _split_json


def _json_item(text: str, at: int) -> _Item:
    return None, at, _JSON.raw_decode(text, at)[1], _whole


# --- TOML ----------------------------------------------------------------------------------------

_TOML = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}|' + r"'''.*?'{3,5}|"  # several lines
    r'"(?:\\.|[^"\\])*"|' + r"'[^']*'|"
    r"""#[^\n]*|[\[\]{},=\n]|[^"'#\[\]{},=\n]+""",
    re.DOTALL,
)
_TOML_KEY = re.compile(r"""((?:"(?:\\.|[^"\\])*"|'[^']*'|[^"'=])+)=[ \t]*""")


def _read_toml(text: str) -> tuple[Any, Iterable[str]]:
    data = _toml_data(tomli.loads(text, parse_float=lambda number: ("float", number)))
    return data, [word for word in _TOML.findall(text) if word[0] == "#"]


def _toml_data(value: Any) -> Any:
    """The same with every scalar but a string by its type, as 1 == True and nan != nan."""
    if isinstance(value, dict):
        return {key: _toml_data(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_toml_data(inner) for inner in value]
    return value if isinstance(value, str | tuple) else (type(value).__name__, str(value))


def _split_toml(text: str) -> _Parts:
    """The sections: what stands above the first header, tables, arrays of tables as a whole."""
    items: list[_Item] = [((), 0, 0, _split_section)]
    array: _Key = ()
    for begin, end in _statements(text):
        line_end = text.index("\n", end) + 1
        header = text[begin:end] if text[begin] == "[" else ""
        path = _toml_path(header.strip("[]")) if header else array
        if not header or (array and path[: len(array)] == array):
            items[-1] = (*items[-1][:2], line_end, items[-1][3])
        else:
            array = path if header.startswith("[[") else ()
            items.append((path, begin, line_end, _split_section))
    return _lined(text, 0, items)


def _split_section(text: str) -> _Parts:
    start, items = 0, []
    for begin, end in _statements(text):
        if text[begin] == "[":
            start = text.index("\n", end) + 1
        else:
            items.append((*_toml_pair(text, begin)[:2], end, _split_statement))
    return _lined(text, start, items)


def _split_statement(text: str) -> _Parts | None:
    start = len(_match(_TOML_KEY, text, 0))
    return _bracketed(text, start, _toml_pair if text[start] == "{" else _toml_item)


def _toml_pair(text: str, at: int) -> _Item:
    key = _match(_TOML_KEY, text, at)
    path = _toml_path(key.rstrip("= \t"))
    return path, at, _toml_end(text, at + len(key)), _split_statement


def _toml_item(text: str, at: int) -> _Item:
    return None, at, _toml_end(text, at), _whole


def _toml_path(name: str) -> _Key:
    data: Any = tomli.loads(f"{name} = 0")
    path = []
    while isinstance(data, dict):
        ((key, data),) = data.items()
        path.append(key)
    return tuple(path)


def _statements(text: str) -> Iterator[tuple[int, int]]:
    """Where each header and each key with its value begins and ends."""
    at = len(_match(_BLANK, text, 0))
    while at < len(text):
        end = _toml_end(text, at)
        yield at, end
        at = end + len(_match(_BLANK, text, end))


def _toml_end(text: str, at: int) -> int:
    """Where a value or a header ends that begins at an index; keys and `=` may stand before it."""
    depth, end = 0, at
    for word in _TOML.finditer(text, at):
        if not depth and word[0][0] in ",]}\n#":
            break
        depth += (word[0] in ("[", "{")) - (word[0] in ("]", "}"))
        end = word.end()
    return at + len(text[at:end].rstrip())


# --- YAML ----------------------------------------------------------------------------------------

_MAP, _SEQ, _STR = (f"tag:yaml.org,2002:{name}" for name in ("map", "seq", "str"))


@lru_cache(maxsize=8)
def _yaml_node(text: str) -> Any:
    """The nodes of a document, from which nothing is constructed."""
    from ruamel.yaml import YAML

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return YAML(typ="safe", pure=True).compose(text)


def _read_yaml(text: str) -> tuple[Any, Iterable[str]]:
    scalars: set[tuple[int, int]] = set()
    data = _yaml_data(_yaml_node(text), text, scalars, set())
    rest, at = [], 0
    for begin, end in sorted(scalars):
        rest.append(text[at:begin])
        at = end
    return data, re.findall(r"(?m)(?:^|(?<=\s))#.*", ".".join([*rest, text[at:]]))


def _yaml_data(node: Any, text: str, scalars: set[tuple[int, int]], seen: set[int]) -> Any:
    """What a node means: a scalar but a string as its tag and what is written."""
    if isinstance(node.value, str):
        begin, end = node.start_mark.index, node.end_mark.index
        if node.style in ("|", ">"):  # which a comment may follow
            begin, end = text.index("\n", begin), end - 1
        scalars.add((begin, end))
        return node.value if node.tag == _STR else (node.tag, node.value)
    # Aliases: a change would be in several places, and all of them may be too many.
    if id(node) in seen or node.tag not in (_MAP, _SEQ):
        raise ValueError("a table or list that stands elsewhere too, or has a tag")
    seen.add(id(node))
    if node.tag == _SEQ:
        return [_yaml_data(item, text, scalars, seen) for item in node.value]
    data: dict[str, Any] = {}
    for key, value in node.value:
        _yaml_data(key, text, scalars, seen)
        if data.setdefault(_yaml_key(key), value) is not value:
            raise ValueError("a key twice")
    return {key: _yaml_data(value, text, scalars, seen) for key, value in data.items()}


def _yaml_key(node: Any) -> str:
    if not isinstance(node.value, str):
        raise ValueError("a table or list for a key")
    return node.value if node.tag == _STR else f"{node.tag} {node.value}"


def _split_yaml(text: str) -> _Parts | None:
    return _yaml_parts(text, _yaml_node(text))


def _split_pair(text: str) -> _Parts | None:
    ((_, value),) = _yaml_node(text).value
    return _yaml_parts(text, value)


def _yaml_parts(text: str, node: Any) -> _Parts | None:
    if isinstance(node.value, str):
        return None
    items: dict[int, _Item] = {}
    for one in node.value:
        first, last = one if node.tag == _MAP else (one, one)
        begin = first.start_mark.index
        end = last.end_mark.index if node.flow_style else _yaml_end(text, first, last)
        key, split = ((_yaml_key(first),), _split_pair) if node.tag == _MAP else (None, _whole)
        items[begin] = key, begin, end, split
    if node.flow_style:
        return _bracketed(text, node.start_mark.index, lambda _, at: items[at])
    # The comments above the first entry are its own.
    start = text.rfind("\n", 0, min(items)) + 1
    while start:
        above = text.rfind("\n", 0, start - 1) + 1
        if text[above:start].strip()[:1] not in ("", "#"):
            break
        start = above
    return _lined(text, start, items.values())


def _yaml_end(text: str, key: Any, node: Any) -> int:
    """Where the value of a key ends. The end mark may lie behind blank lines and comments."""
    begin, end = node.start_mark.index, node.end_mark.index
    if not isinstance(node.value, str) and not node.flow_style:
        last = node.value[-1]
        end = _yaml_end(text, *(last if node.tag == _MAP else (last, last)))
        return end if text[end - 1] == "\n" else text.index("\n", end) + 1
    if begin == end and key is not node:
        return text.index(":", key.end_mark.index) + 1
    if text[begin] in "|>":
        return text.index("\n", begin + len(text[begin:end].rstrip())) + 1
    return int(end)


# --- Requirements --------------------------------------------------------------------------------


def _pins(text: str) -> Iterator[tuple[_Key, str, int, int]]:
    """The project and marker of each line, what it asks of it, and where it begins and ends."""
    at = 0
    for line in text.split("\n"):
        said = re.split(r"(?:^|[ \t])#", line, maxsplit=1)[0].strip()
        if said.endswith("\\"):
            raise ValueError("a line that goes on in the next")
        begin = at + line.find(said)
        at += len(line) + 1
        if said.startswith("-"):
            yield (said, ""), "", begin, begin + len(said)
        elif said:
            one = Requirement(said)
            asked = f"{sorted(one.extras)} {one.specifier} {one.url}"
            key = (canonicalize_name(one.name), str(one.marker or ""))
            yield key, asked, begin, begin + len(said)


def _read_pins(text: str) -> tuple[Any, Iterable[str]]:
    data: dict[str, dict[str, str]] = {}
    for (name, marker), asked, _, _ in _pins(text):
        if data.setdefault(name, {}).setdefault(marker, asked) != asked:
            raise ValueError("a project in two versions")
    return data, re.findall(r"(?m)(?:^|[ \t])(#.*)", text)


def _split_pins(text: str) -> _Parts:
    return _lined(text, 0, [(key, begin, end, _whole) for key, _, begin, end in _pins(text)])


_FORMS: dict[str, tuple[_Read, _Split]] = {
    ".json": (_read_json, _split_json),
    ".toml": (_read_toml, _split_toml),
    ".yaml": (_read_yaml, _split_yaml),
    ".yml": (_read_yaml, _split_yaml),
}


def _form_of(path: str) -> tuple[_Read, _Split] | None:
    file = PurePosixPath(path)
    pins = file.name.startswith("requirements") or file.parent.name == "requirements"
    return (_read_pins, _split_pins) if file.suffix == ".txt" and pins else _FORMS.get(file.suffix)
