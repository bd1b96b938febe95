"""Conventional commits: what the message of a commit says of its change. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from packaging.version import Version

FIRST = "0.1.0"
"""The fork's own version of its first release on a new version of upstream's."""

_SUBJECT = re.compile(
    r"(?P<type>[A-Za-z][A-Za-z0-9-]*)(?:\((?P<scope>[^()\r\n]+)\))?(?P<breaking>!)?: +"
    r"(?P<description>\S.*)"
)
# As git itself, and the button on GitHub, name what takes a commit back.
_REVERT = re.compile(r'Revert "(?P<description>.*)"(?: \(#\d+\))?')
_BREAKING = re.compile(r"^BREAKING[ -]CHANGE(?:: | #)", re.MULTILINE)
_PULL = re.compile(r" *\(#(\d{1,9})\)$")


@dataclass(frozen=True)
class Conventional:
    """What a commit says that it changes.

    type: in lower case, such as ``feat``. scope: "" if it names none. breaking: whether it says
    that something no longer works as before. description: without the type and the number of the
    pull request. pull: that number, 0 if it names none.
    """

    type: str
    scope: str
    breaking: bool
    description: str
    pull: int = 0


def parse(subject: str, body: str = "") -> Conventional | None:
    """What a commit's message says; None if its subject is no conventional one."""
    if found := _SUBJECT.fullmatch(subject):
        breaking = bool(found["breaking"] or _BREAKING.search(body))
        kind, scope, text = found["type"].lower(), found["scope"] or "", found["description"]
    elif found := _REVERT.fullmatch(subject):
        kind, scope, breaking, text = "revert", "", bool(_BREAKING.search(body)), subject
    else:
        return None
    text, pull = without_pull(text)
    return Conventional(kind, scope, breaking, text, pull)


def without_pull(subject: str) -> tuple[str, int]:
    """A subject without the number of its pull request, and that number, 0 if there is none."""
    found = _PULL.search(subject)
    return (subject[: found.start()], int(found[1])) if found else (subject, 0)


def bump_for(changes: Iterable[Conventional | None]) -> str:
    """Which part of the version some changes raise: major, minor or patch."""
    known = [change for change in changes if change]
    if any(change.breaking for change in known):
        return "major"
    return "minor" if any(change.type == "feat" for change in known) else "patch"


def raised(version: Version, part: str) -> str:
    """A version with one part raised, and what is behind that set to zero."""
    major, minor, patch = version.major, version.minor, version.micro
    return {
        "major": f"{major + 1}.0.0",
        "minor": f"{major}.{minor + 1}.0",
        "patch": f"{major}.{minor}.{patch + 1}",
    }[part]
