"""Markdown for GitHub, of text that nobody here wrote. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from .text import printable

_SPECIAL = re.compile(r"([\\`*_{}\[\]()#+!|<>~&$:@])")


def code(text: str) -> str:
    """A text of unknown origin as a code span: nothing in it is Markdown, HTML or a mention."""
    safe = printable(" ".join(text.split())) or " "
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", safe)), default=0))
    pad = " " if safe.startswith("`") or safe.endswith("`") else ""
    return f"{fence}{pad}{safe}{pad}{fence}"


def cell(text: str) -> str:
    """A text of unknown origin as a code span inside a table, where a bar would end the cell."""
    return code(text.replace("|", "¦"))


def plain(text: str) -> str:
    """A text of unknown origin as running text: every character that means something is escaped,
    and no name in it reaches anybody."""
    safe = printable(" ".join(text.split()))
    # An invisible word joiner keeps `@name` and `#1` from being links; a backslash does not.
    safe = re.sub(r"([@#])(?=\w)", "\\1\u2060", safe)
    # What begins a list does so at the beginning only; `v1.76.5-stable` stays as it is.
    return re.sub(r"^(\d*)([-.])", r"\1\\\2", _SPECIAL.sub(r"\\\1", safe))


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a table; its cells are Markdown already."""
    lines = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    return [*lines, *(f"| {' | '.join(row)} |" for row in rows)]


def block(lines: Iterable[str], language: str = "") -> list[str]:
    """The lines of a code block, fenced longer than anything in it."""
    inside = [printable(line) for line in lines]
    longest = max((len(run) for line in inside for run in re.findall("`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    return [f"{fence}{language}", *inside, fence]
