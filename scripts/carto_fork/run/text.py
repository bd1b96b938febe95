"""Text of unknown origin, fit to be shown, pasted, or put into Markdown. Pure."""

from __future__ import annotations

import os
import re
import textwrap
from collections.abc import Iterable, Sequence
from shlex import quote

VERSION_LINE = re.compile(
    r"""\s*(version\s*=\s*["'][^"']*["']\s*(#.*)?|"version"\s*:\s*"[^"]*"\s*,?\s*)"""
)
"""A line of a TOML or JSON file that states a version, and nothing else."""

_SUBSTANTIVE = re.compile(r"(?:\w\W*){8}")


def lines_of(text: str) -> list[str]:
    """The lines with their line ends, cut at line feeds only, as git does."""
    return re.findall(r"[^\n]*\n|[^\n]+", text)


def substantive(line: str) -> bool:
    """Whether a line says enough to be recognised: not a bracket, an `else:` or a blank."""
    return bool(_SUBSTANTIVE.search(line))


def counted(number: int, noun: str) -> str:
    """A number of things, as in `1 file` and `2 files`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def printable(text: str) -> str:
    """Text of unknown origin (paths, subjects, output) without control characters."""
    safe = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
    return safe.encode("utf-8", "backslashreplace").decode()


def in_actions() -> bool:
    """Whether this is a job of GitHub Actions, which reads commands in what it prints."""
    return os.environ.get("GITHUB_ACTIONS") == "true"


def harmless(text: str) -> str:
    """Text in which GitHub Actions finds no command: neither at the beginning of a line (`::`) nor,
    as it used to, anywhere in one (`##[`). Elsewhere it is as it was."""
    if not in_actions():
        return text
    # An invisible word joiner; readers see the same text.
    return re.sub(r"##(?=\[)|^\s*:(?=:)", "\\g<0>\u2060", text, flags=re.MULTILINE)


def wrapped(line: str, width: int) -> list[str]:
    """A line as lines of so many columns, broken between words."""
    indent = " " * (len(line) - len(line.lstrip()) + 2)
    # A command in backticks is to be pasted; it stays on one line.
    held = re.sub("`[^`]*`", lambda found: found[0].replace(" ", "\0"), line)
    lines = textwrap.wrap(
        held, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
    return [part.replace("\0", " ") for part in lines or [""]]


def pathspec_word(path: str) -> str:
    """A path as a word to paste behind the `--` of a git command, meaning that path alone."""
    if re.search(r"[*?\[\]\\]|^:", path):
        path = f":(top,literal){path}"
    return file_word(path)


def file_word(path: str) -> str:
    """A path, or any other text, as a word to paste into a shell."""
    if path.isprintable():
        return quote(path)
    # bash, zsh and ksh know this form.
    raw = path.encode("utf-8", "surrogateescape")
    escaped = re.sub(rb"[^ -~]|['\\]", lambda found: b"\\%03o" % ord(found[0]), raw)
    return f"$'{escaped.decode()}'"


def joined(words: Iterable[str]) -> str:
    """One line to paste into bash, zsh or ksh, whatever is in the words."""
    return " ".join(map(file_word, words))


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
