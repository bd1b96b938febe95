"""The version inside a file: read it, and change it without touching anything else. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, MutableMapping, Sequence
from pathlib import PurePosixPath
from typing import Any

import tomli

from ..run.errors import Refused

WHOLE = "version"
"""What the one version is called in a file that states nothing else."""

_SEMANTIC = ("package.json", "Cargo.toml")
"""Files whose tools take a version of three numbers only."""


def read(text: str, keys: Sequence[str], path: str, where: str = "") -> dict[str, str]:
    """The versions that a file states: dotted key to value, for the keys that it has.

    where: names the file in messages; default: its path.
    Raises Refused if the file is not what its name says, or a version is not a string.
    """
    where = where or path
    if not keys:
        return {WHOLE: text.strip()} if text.strip() else {}
    is_json = path.endswith(".json")
    try:
        data: Any = (json.loads(text) if text.strip() else {}) if is_json else tomli.loads(text)
    except ValueError as error:
        form = "JSON" if is_json else "TOML"
        problem = f"{where} is no valid {form}: {error}."
        raise Refused(problem, then=f"correct {where}.") from None
    found = {}
    for key in keys:
        value = _at(data, key)
        if value is not None and not isinstance(value, str):
            problem = f"{where}: {key} is {value!r}, not a string."
            raise Refused(problem, then=f"correct {where}.")
        if value is not None:
            found[key] = value
    return found


def spelled(version: str, path: str) -> str:
    """A version as a file states it: where tools want three numbers, 4.2 is 4.2.0."""
    if PurePosixPath(path).name in _SEMANTIC and re.fullmatch(r"\d+(\.\d+)?", version):
        return version + ".0" * (2 - version.count("."))
    return version


def write(text: str, keys: Sequence[str], version: str, path: str) -> str:
    """The file with each of the keys that it has set to a version; all else stays byte for byte."""
    version = spelled(version, path)
    if not keys:
        return text.replace(text.strip(), version)
    if path.endswith(".json"):
        return _write_json(text, keys, version)
    import tomlkit

    document = tomlkit.parse(text)
    for key in keys:
        *parents, last = key.split(".")
        table = _at(document, ".".join(parents)) if parents else document
        if isinstance(table, MutableMapping) and last in table and table[last] != version:
            quotes = table[last].as_string()
            table[last] = tomlkit.string(
                version, literal=quotes[0] == "'", multiline=quotes[:3] in ('"""', "'''")
            )
    return tomlkit.dumps(document)


def _write_json(text: str, keys: Sequence[str], version: str) -> str:
    """JSON with some strings replaced where they stand."""
    spans = dict(_strings(text))
    for key in sorted(keys, key=lambda key: spans.get(key, (0, 0)), reverse=True):
        if key in spans:
            start, end = spans[key]
            text = text[:start] + json.dumps(version) + text[end:]
    return text


_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]')


def _strings(text: str) -> list[tuple[str, tuple[int, int]]]:
    """Where the strings of a JSON text stand that are values of objects, by dotted key."""
    found: list[tuple[str, tuple[int, int]]] = []
    path: list[str] = []
    is_key = False
    objects: list[bool] = []
    for token in _TOKEN.finditer(text):
        match token[0]:
            case "{" | "[" as opened:
                objects.append(opened == "{")
                path.append("")
                is_key = objects[-1]
            case "}" | "]":
                objects.pop()
                path.pop()
            case ",":
                is_key = objects[-1]
            case ":":
                is_key = False
            case string if is_key:
                path[-1] = json.loads(string)
            case _ if all(objects):
                found.append((".".join(path), token.span()))
    return found


def _at(data: Any, key: str) -> Any:
    for part in key.split("."):
        if not isinstance(data, Mapping):
            return None
        data = data.get(part)
    return data
