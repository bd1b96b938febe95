"""Records of what people decided: changes to drop, and the commit of each merged tag. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

import msgspec
import tomli

from ..run.errors import Refused, Usage
from ..run.text import toml_value, too_long

DROPS_FILE = "carto_drops.toml"
PROPOSALS_FILE = "carto_proposals.toml"
T = TypeVar("T")


class Drop(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A change that a person dropped.

    path: the file; side: whose change it was, "fork" or "upstream".
    lines: the changed lines, without surrounding white space; empty for any change to that file.
    reason: why, in words. tag: in the upgrade to which release.
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
        """Whether the person's decision covers a change of these lines; no lines mean a change of
        something else, such as a mode."""
        changed = {line.strip() for line in lines} - {""}
        return not self.lines or (bool(changed) and changed <= set(self.lines))

    def is_about(self, side: str | None, other: str | None) -> bool:
        """Whether two sides of a merge differ in a line of the change, or in anything if it has no
        lines. side, other: as in `fits`."""
        if not self.lines or side is None or other is None:
            return side != other
        theirs, kept = (Counter(map(str.strip, x.split("\n"))) for x in (side, other))
        return any(theirs[line] != kept[line] for line in self.lines)

    def fits(self, side: str | None, other: str | None, result: str | None) -> bool:
        """Whether a merged file bears the decision out: it lacks something of the change.

        side, other: the file on the side whose change was dropped, and on the other side.
        result: the merged file. Each is None if it is missing.
        """
        if not self.lines:
            return result != side or side == other
        if side is None or other is None or result is None:
            return True
        theirs, kept, now = (Counter(map(str.strip, x.split("\n"))) for x in (side, other, result))
        written = [set(line.split()) for line in now if line not in theirs and line not in kept]

        def is_back(line: str) -> bool:
            if theirs[line] < kept[line]:
                return now[line] <= theirs[line]
            # A line that somebody made of both sides' has its words.
            return now[line] >= theirs[line] or any(set(line.split()) <= w for w in written)

        changed = [line for line in self.lines if theirs[line] != kept[line]]
        return not changed or not all(map(is_back, changed))


class _Drops(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    drop: tuple[Drop, ...] = ()


def require_reason(reason: str) -> None:
    """Raises Usage if a reason for a drop is missing, or is the word that our messages put there
    for it."""
    if reason.strip() in ("", "WHY"):
        problem = "--reason still says WHY." if reason.strip() else "--reason is missing."
        raise Usage(problem, then="give --reason in words that a colleague understands in a year.")


def read_drops(text: str | None) -> tuple[Drop, ...]:
    """The drops in a file's text; None for a missing file. Raises Refused if it is invalid."""
    return _read(text, DROPS_FILE, _Drops).drop


def _read(text: str | None, file: str, kind: type[T]) -> T:
    try:
        if too_long(file, text or ""):  # the file may come from upstream
            raise tomli.TOMLDecodeError("too long")
        return msgspec.convert(tomli.loads(text or ""), kind)
    except (tomli.TOMLDecodeError, msgspec.ValidationError) as error:
        raise Refused(f"{file} is not valid: {error}.", then=f"correct {file}.") from None


def peoples_drops(now: str | None, ours: str | None, theirs: str | None) -> tuple[Drop, ...]:
    """The drops that the fork's people wrote: those on the fork's side of a merge, and those added
    since. Upstream's side may contain such a file, too; it decides nothing.

    now, ours, theirs: the file's text in the result of the merge and on both sides.
    Raises Refused if the fork's file is invalid.
    """
    own = read_drops(ours)
    try:
        foreign, added = read_drops(theirs), read_drops(now)
    except Refused:
        if theirs is None:
            raise
        return own
    return (*own, *(drop for drop in added if drop not in own and drop not in foreign))


def add_drops(text: str | None, more: Sequence[Drop]) -> str:
    """The file with more drops appended; existing tables stay byte for byte.

    Raises Refused if it is not valid.
    """
    import tomlkit

    text = DROPS_HEADER if text is None else text
    existing = list(read_drops(text))
    new = [drop for drop in dict.fromkeys(more) if drop not in existing]
    if new and re.search(r"^drop\s*=", text, re.MULTILINE):
        # TOML does not allow tables after a list written in brackets.
        document = tomlkit.parse(text)
        document.remove("drop")
        text, new = tomlkit.dumps(document), [*existing, *new]
    if text.strip() and not text.endswith("\n"):
        text += "\n"
    if text.strip() and not text.endswith("\n\n") and new:
        text += "\n"
    return text + "\n".join(map(_table, new))


def same_changes(new: Drop, among: Iterable[Drop]) -> list[Drop]:
    """The decisions about some of the same lines, of the same side of the same file."""
    here = (old for old in among if (old.path, old.side) == (new.path, new.side))
    return [old for old in here if not {*old.lines}.isdisjoint(new.lines)]


def without_drops(text: str, gone: Sequence[Drop]) -> str:
    """The file without some drops; the other tables stay byte for byte. "" if it only had what
    this program writes around them."""
    import tomlkit

    document, all_ = tomlkit.parse(text), read_drops(text)
    places = [n for n, drop in enumerate(all_) if drop in gone]
    for place in reversed(places):
        del document["drop"][place]
    if len(places) == len(all_) and "drop" in document:
        document.remove("drop")  # an empty list would let nobody append a table
    left = tomlkit.dumps(document).strip()
    return f"{left}\n" if left != DROPS_HEADER.strip() else ""


def _table(drop: Drop) -> str:
    """A drop as a table of the file."""
    import tomlkit

    def quoted(word: str) -> str:
        return tomlkit.item(word).as_string()

    lines = [f"path = {quoted(drop.path)}", f"reason = {quoted(drop.reason)}"]
    if drop.lines:
        lines += ["lines = [", *(f"    {quoted(line)}," for line in drop.lines), "]"]
    if drop.tag:
        lines.append(f"tag = {quoted(drop.tag)}")
    if drop.side != "fork":
        lines.append(f"side = {quoted(drop.side)}")
    return "\n".join(["[[drop]]", *lines, ""])


DROPS_HEADER = """\
# Changes that a person dropped on purpose, with the reason. Upgrades do not ask about them
# again and do not report them as lost. `lines` are what such a change added, and what it removed.

"""

TAGS_FILE = "carto_tags.toml"
NOTES = frozenset({DROPS_FILE, PROPOSALS_FILE, TAGS_FILE})
"""The files in which this program records decisions, merged tags and proposals."""
DROP_MESSAGE = "chore: drop changes to {path}"
"""The subject of the commit that records a drop after the merge."""
PIN_MESSAGE = "chore: record what {tag} stands for"
"""The message of the commit that adds a tag."""
RESOLVED_MESSAGE = "resolve: conflicts from the upstream sync to {tag}"
"""The message of the commit in which a person finishes a sync's pull request."""


class Pin(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The commit of a tag when it was merged.

    object: the tag object, or the commit for a lightweight tag. commit: what the tag points to.
    """

    object: str
    commit: str


class _Tags(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    tags: dict[str, Pin] = {}


def read_pins(text: str | None) -> dict[str, Pin]:
    """The pins by name in a file's text; None for a missing file. Raises Refused if it is
    invalid."""
    return _read(text, TAGS_FILE, _Tags).tags


def add_pin(text: str | None, name: str, pin: Pin) -> str:
    """The file with one more pin appended. Raises Refused if it is invalid."""
    if read_pins(text).get(name) == pin:
        return text or ""
    text = _TAGS_HEADER if text is None else text.rstrip("\n") + "\n"
    return f"{text}{toml_value(name)} = {toml_value(msgspec.structs.asdict(pin))}\n"


_TAGS_HEADER = """\
# The commit of each upstream tag when it was merged. If upstream moves a tag later, it is refused.

[tags]
"""


class Proposal(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A file whose conflict a program resolved and that a person has to accept.

    path: the file. by: the program's name in the policy. release: the tag that was merged.
    accepted: who accepted it; "" if nobody has. object: the object name of the text they saw.
    """

    path: str
    by: str
    release: str
    accepted: str = ""
    object: str = ""


class _Proposals(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    proposal: tuple[Proposal, ...] = ()


def read_proposals(text: str | None) -> tuple[Proposal, ...]:
    """The proposals in a file's text; None for a missing file. Raises Refused if it is invalid."""
    return _read(text, PROPOSALS_FILE, _Proposals).proposal


READERS: Mapping[str, Callable[[str | None], Mapping[str, Pin] | tuple[object, ...]]] = {
    DROPS_FILE: read_drops,
    PROPOSALS_FILE: read_proposals,
    TAGS_FILE: read_pins,
}
"""How each file of records is read."""


def write_proposals(proposals: Iterable[Proposal]) -> str:
    """The text of a file with these proposals."""
    tables = []
    for proposal in proposals:
        lines = (
            f"{key} = {toml_value(value)}" for key, value in msgspec.to_builtins(proposal).items()
        )
        tables.append("\n".join(["[[proposal]]", *lines, ""]))
    return "\n".join([_PROPOSALS_HEADER, *tables])


_PROPOSALS_HEADER = """\
# Files whose conflicts a program resolved. A sync is only merged after a person has accepted each.
"""
