"""Templates of the files that a fork gets, and the stamp that tells whether somebody changed one.

A template holds ``<<name>>`` for a value, and lines ``<<if name>>``, ``<<else>>`` and ``<<end>>``
around what only some forks get. Pure.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from importlib import resources
from pathlib import PurePosixPath

_CHOICE = re.compile(
    r"^<<if (\w+)>>\n(.*?)(?:^<<else>>\n(.*?))?^<<end>>\n", re.DOTALL | re.MULTILINE
)
_VALUE = re.compile(r"<<(\w+)>>")
_STAMP = re.compile(r"^(?:#|<!--) carto-fork adopt: (\w+)\b.*\n", re.MULTILINE)
_TELLS = "brings this up to date until somebody changes it"


def read(name: str) -> str:
    """A template of this package, such as ``workflows/guard.yml``."""
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def fill(template: str, values: Mapping[str, str], given: Mapping[str, bool]) -> str:
    """A template with its choices made and its values put in. Raises KeyError for unknown ones."""
    chosen = _CHOICE.sub(lambda c: c[2] if given[c[1]] else c[3] or "", template)
    return _VALUE.sub(lambda found: values[found[1]], chosen)


def stamped(text: str, path: str) -> str:
    """A file's text with a first line that says which text it was given."""
    line = f"carto-fork adopt: {_digest(text)} ({_TELLS})"
    markdown = PurePosixPath(path).suffix == ".md"
    return (f"<!-- {line} -->\n" if markdown else f"# {line}\n") + text


def untouched(text: str) -> bool:
    """Whether a file is as it was once given."""
    found = _STAMP.match(text)
    return found is not None and found[1] == _digest(text[found.end() :])


def _digest(text: str) -> str:
    plain = text.replace("\r\n", "\n").encode("utf-8", "surrogateescape")
    return hashlib.sha256(plain).hexdigest()[:12]
