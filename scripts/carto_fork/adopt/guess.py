"""A guess of a value of the policy, and guesses as its text."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from ..run.text import printable


class Surety(Enum):
    """How sure a guess is."""

    CERTAIN = "certain"
    LIKELY = "likely"
    GUESS = "guess"


@dataclass(frozen=True)
class Guess:
    """A value of the policy: its dotted key, or that of a list of tables; how sure it is, and what
    it is taken from. None is no value: why it is left out is all there is to say.

    off: whether it is only proposed: a comment that a person can make a value.
    """

    key: str
    value: Any
    surety: Surety
    why: str
    off: bool = False


def toml(policy: Iterable[Guess]) -> str:
    """The guesses as the text of a policy, each with a comment that says how sure it is."""
    lines = [
        "# The policy of this fork: everything that is true of it and of no other. Each value says",
        "# how sure `init` was of it; look at what is not certain, and remove the comments.",
        "",
    ]
    table = ""
    for guess in policy:
        comment = f"# {guess.surety.value}: {printable(guess.why)}"
        if guess.value is None:
            lines += ["", comment]
            continue
        if guess.key in ("tags", "rules", "version_files"):
            lines += ["", f"[[{guess.key}]]", comment]
            lines += [f"{key} = {_value(value)}" for key, value in guess.value.items()]
            continue
        above, _, key = guess.key.rpartition(".")
        if above != table:
            lines += ["", f"[{above}]"]
            table = above
        lines += [comment, f"{'# ' if guess.off else ''}{key} = {_value(guess.value)}"]
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    """A value in TOML."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_value(each)}" for key, each in value.items()) + " }"
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    if "\\" in value and "'" not in value:
        return f"'{value}'"
    return json.dumps(value, ensure_ascii=False)
