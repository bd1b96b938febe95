"""The version inside a TOML file: read it, and change it without touching anything else. Pure."""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from typing import Any

import tomli

from .errors import Refused


def read(text: str, keys: Sequence[str], where: str) -> dict[str, str]:
    """The versions that a file states: dotted key to value, for the keys that it has.

    where: names the file in messages.
    Raises Refused if the file is no TOML, or a version is not a string.
    """
    try:
        data: Any = tomli.loads(text)
    except tomli.TOMLDecodeError as error:
        raise Refused(f"{where} is no valid TOML: {error}.", then=f"correct {where}.") from None
    found = {}
    for key in keys:
        value = _at(data, key)
        if value is not None and not isinstance(value, str):
            problem = f"{where}: {key} is {value!r}, not a string."
            raise Refused(problem, then=f"correct {where}.")
        if value is not None:
            found[key] = value
    return found


def write(text: str, keys: Sequence[str], version: str) -> str:
    """The file with each of the keys that it has set to a version; all else stays byte for byte."""
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


def _at(data: Any, key: str) -> Any:
    for part in key.split("."):
        if not hasattr(data, "get"):
            return None
        data = data.get(part)
    return data
