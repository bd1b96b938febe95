"""What people have let go on purpose: a file in the fork, with reasons. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import tomli

from .errors import Refused

FILE_NAME = "carto_drops.toml"


class Drop(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A change that a person let go.

    path: the file; side: whose change it was, "fork" or "upstream".
    lines: the lines of the change, without the white space around them; empty for any change to
        that file.
    reason: why, in words. tag: with which release.
    """

    path: str
    reason: str
    lines: tuple[str, ...] = ()
    tag: str = ""
    side: str = "fork"

    def covers(self, lines: Iterable[str]) -> bool:
        """Whether the person's word holds for a change of these lines; none stand for a change
        that is not one of lines."""
        changed = {line.strip() for line in lines} - {""}
        return not self.lines or (bool(changed) and changed <= set(self.lines))


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    drop: tuple[Drop, ...] = ()


def read(text: str | None, where: str = FILE_NAME) -> tuple[Drop, ...]:
    """The drops in a file's text; None for a file that is not there. Raises Refused if invalid."""
    if text is None:
        return ()
    try:
        data: Any = tomli.loads(text)
        return msgspec.convert(data, _File).drop
    except (tomli.TOMLDecodeError, msgspec.ValidationError) as error:
        raise Refused(f"{where} is not valid: {error}.", then=f"correct {where}.") from None


def add(text: str | None, more: Sequence[Drop]) -> str:
    """The file with more drops at its end; what is there stays byte for byte."""
    import tomlkit

    known = read(text)
    document = tomlkit.parse(text or _HEADER)
    tables = document.setdefault("drop", tomlkit.aot())
    for drop in more:
        if drop in known:
            continue
        table = tomlkit.table()
        for key, value in msgspec.to_builtins(drop).items():
            item = tomlkit.item(value)
            if key == "lines":
                item.multiline(True)
            table.add(key, item)
        tables.append(table)
    return tomlkit.dumps(document)


_HEADER = """\
# Changes that a person let go on purpose, with the reason: an upgrade does not ask about them
# again, and does not call them lost.

"""
