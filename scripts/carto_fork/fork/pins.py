"""What each merged tag stood for: a file in the fork, by which a tag that moved is noticed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import tomli

from ..run import files, git
from ..run.errors import Refused
from .session import Session

FILE_NAME = "carto_tags.toml"
MESSAGE = "chore: record what {tag} stands for"
"""Of the commit that adds to it."""


class Pin(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a tag stood for when it was merged.

    object: the tag's own object, or the commit's for a lightweight tag. commit: what it names.
    """

    object: str
    commit: str


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    tags: dict[str, Pin] = {}


def read(text: str | None, where: str = FILE_NAME) -> dict[str, Pin]:
    """The pins by name in a file's text; None for a file that is not there.

    Raises Refused if it is not valid.
    """
    if text is None:
        return {}
    try:
        data: Any = tomli.loads(text)
        return msgspec.convert(data, _File).tags
    except (tomli.TOMLDecodeError, msgspec.ValidationError) as error:
        raise Refused(f"{where} is not valid: {error}.", then=f"correct {where}.") from None


def add(text: str | None, name: str, pin: Pin) -> str:
    """The file with one more pin at its end. Raises Refused if it is not valid."""
    if read(text).get(name) == pin:
        return text or ""
    text = _HEADER if text is None else text.rstrip("\n") + "\n"
    # JSON's strings are TOML's basic strings.
    return f"{text}{json.dumps(name)} = {{ object = {json.dumps(pin.object)}, " + (
        f"commit = {json.dumps(pin.commit)} }}\n"
    )


_HEADER = """\
# What each upstream tag stood for when it was merged: one that is moved later is refused.

[tags]
"""


def record(s: Session, work: Path, name: str, commit: str) -> None:
    """Write down in a work tree what a tag stands for, and commit that."""
    listed = git.objects(s.sh, work, [f"refs/tags/{name}"])
    pin = Pin(listed[0].split(" ")[0], commit)
    before = git.show(s.sh, work, "HEAD", FILE_NAME)
    after = add(before, name, pin)
    if after == before:
        s.console.say(f"{FILE_NAME} has {name} already.")
        return
    files.write_staged(s.sh, work, FILE_NAME, before, after)
    message = MESSAGE.replace("{tag}", name)
    words = ["git", "-C", str(work), "commit", "--quiet", "-m", message, "--", FILE_NAME]
    git.checked(s.sh.run(words), "commit")
    s.console.say(f"{FILE_NAME}: {name} is {commit[:10]}.")
