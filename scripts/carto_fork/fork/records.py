"""What people have decided: changes that may go, and what each merged tag stood for. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TypeVar

import msgspec
import tomli

from ..run.errors import Refused
from ..run.text import toml_value, too_long

DROPS_FILE = "carto_drops.toml"
PROPOSALS_FILE = "carto_proposals.toml"
T = TypeVar("T")


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

    def __post_init__(self) -> None:
        if self.side not in ("fork", "upstream"):
            raise ValueError(f"side is {self.side!r}, neither 'fork' nor 'upstream'")
        if not self.reason:
            raise ValueError("reason is empty")

    def covers(self, lines: Iterable[str]) -> bool:
        """Whether the person's word holds for a change of these lines; none stand for a change
        that is not one of lines."""
        changed = {line.strip() for line in lines} - {""}
        return not self.lines or (bool(changed) and changed <= set(self.lines))


class _Drops(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    drop: tuple[Drop, ...] = ()


def read_drops(text: str | None) -> tuple[Drop, ...]:
    """The drops in a file's text; None for a file that is not there. Raises Refused if invalid."""
    return _read(text, DROPS_FILE, _Drops).drop


def _read(text: str | None, file: str, kind: type[T]) -> T:
    try:
        if too_long(file, text or ""):  # it may be upstream's
            raise tomli.TOMLDecodeError("too long")
        return msgspec.convert(tomli.loads(text or ""), kind)
    except (tomli.TOMLDecodeError, msgspec.ValidationError) as error:
        raise Refused(f"{file} is not valid: {error}.", then=f"correct {file}.") from None


def peoples_drops(now: str | None, ours: str | None, theirs: str | None) -> tuple[Drop, ...]:
    """The drops that people of the fork have written: those of the fork's side of a merge, and
    those that were added since. Upstream's side may hold such a file; it speaks for nobody.

    now, ours, theirs: the texts of the file in the merge's result and on both sides.
    Raises Refused if the fork's is not valid.
    """
    known = read_drops(ours)
    try:
        foreign, added = read_drops(theirs), read_drops(now)
    except Refused:
        if theirs is None:
            raise
        return known
    return (*known, *(drop for drop in added if drop not in known and drop not in foreign))


def add_drops(text: str | None, more: Sequence[Drop]) -> str:
    """The file with more drops at its end; tables that are there stay byte for byte.

    Raises Refused if it is not valid.
    """
    import tomlkit

    text = _DROPS_HEADER if text is None else text
    known = list(read_drops(text))
    new = [drop for drop in dict.fromkeys(more) if drop not in known]
    if new and re.search(r"^drop\s*=", text, re.MULTILINE):
        # Tables cannot follow a list that was written in brackets.
        document = tomlkit.parse(text)
        document.remove("drop")
        text, new = tomlkit.dumps(document), [*known, *new]
    if text.strip() and not text.endswith("\n"):
        text += "\n"
    if text.strip() and not text.endswith("\n\n") and new:
        text += "\n"
    return text + "\n".join(map(_table, new))


def _table(drop: Drop) -> str:
    """A drop as a table of the file."""
    import tomlkit

    def quoted(word: str) -> str:
        return tomlkit.item(word).as_string()

    told = [f"path = {quoted(drop.path)}", f"reason = {quoted(drop.reason)}"]
    if drop.lines:
        told += ["lines = [", *(f"    {quoted(line)}," for line in drop.lines), "]"]
    if drop.tag:
        told.append(f"tag = {quoted(drop.tag)}")
    if drop.side != "fork":
        told.append(f"side = {quoted(drop.side)}")
    return "\n".join(["[[drop]]", *told, ""])


_DROPS_HEADER = """\
# Changes that a person let go on purpose, with the reason: an upgrade does not ask about them
# again, and does not call them lost.

"""

TAGS_FILE = "carto_tags.toml"
NOTES = frozenset({DROPS_FILE, PROPOSALS_FILE, TAGS_FILE})
"""The files in which this program writes down what people, releases and proposers said."""
PIN_MESSAGE = "chore: record what {tag} stands for"
"""Of the commit that adds to it."""


class Pin(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a tag stood for when it was merged.

    object: the tag's own object, or the commit's for a lightweight tag. commit: what it names.
    """

    object: str
    commit: str


class _Tags(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    tags: dict[str, Pin] = {}


def read_pins(text: str | None) -> dict[str, Pin]:
    """The pins by name in a file's text; None for a file that is not there. Raises Refused if
    invalid."""
    return _read(text, TAGS_FILE, _Tags).tags


def add_pin(text: str | None, name: str, pin: Pin) -> str:
    """The file with one more pin at its end. Raises Refused if it is not valid."""
    if read_pins(text).get(name) == pin:
        return text or ""
    text = _TAGS_HEADER if text is None else text.rstrip("\n") + "\n"
    return f"{text}{toml_value(name)} = {toml_value(msgspec.structs.asdict(pin))}\n"


_TAGS_HEADER = """\
# What each upstream tag stood for when it was merged: one that is moved later is refused.

[tags]
"""


class Proposal(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A file whose conflict a program resolved, until a person accepts it.

    path: the file. by: the program's name in the policy. release: the tag that was merged.
    accepted: who accepted it, "" if nobody has. object: the object name of the text that they saw.
    """

    path: str
    by: str
    release: str
    accepted: str = ""
    object: str = ""


class _Proposals(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    proposal: tuple[Proposal, ...] = ()


def read_proposals(text: str | None) -> tuple[Proposal, ...]:
    """The proposals in a file's text; None for a file that is not there. Raises Refused if
    invalid."""
    return _read(text, PROPOSALS_FILE, _Proposals).proposal


def write_proposals(known: Iterable[Proposal]) -> str:
    """The file that says this."""
    tables = []
    for one in known:
        lines = (f"{key} = {toml_value(value)}" for key, value in msgspec.to_builtins(one).items())
        tables.append("\n".join(["[[proposal]]", *lines, ""]))
    return "\n".join([_PROPOSALS_HEADER, *tables])


_PROPOSALS_HEADER = """\
# Files whose conflicts a program resolved: a sync does not land before a person has accepted each.
"""
