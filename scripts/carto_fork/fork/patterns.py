"""What people write in a policy: regular expressions, path patterns as in a .gitignore file; and in
words what is wrong with it.

The texts that patterns are matched against come from upstream, and some patterns need exponential
time: no search takes longer than `LONGEST`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec
from pathspec import GitIgnoreSpec
from pathspec.pattern import RegexMatchResult
from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

from ..run.errors import Refused

if TYPE_CHECKING:
    from regex import Match, Pattern

LONGEST = 5.0
"""Seconds: far more than a pattern without catastrophic backtracking needs."""


@cache
def compiled(pattern: str, lines: bool = True) -> Pattern[str]:
    """A compiled regular expression. Raises ValueError if it is invalid.

    lines: whether `^` and `$` match at the start and end of every line.
    """
    import regex  # not at the top, where it would slow `--list` down

    try:
        return regex.compile(pattern, regex.MULTILINE if lines else 0)
    except regex.error as error:
        raise ValueError(f"pattern {pattern!r} is not a regular expression: {error}") from None


def search(pattern: str, text: str, whole: bool = False) -> Match[str] | None:
    """The match of a policy's regular expression in a text; `^` matches at every line start.

    whole: only if it matches all of the text.
    Raises Refused if that takes too long.
    """
    matching = compiled(pattern).fullmatch if whole else compiled(pattern).search
    with _in_time(pattern, text):
        return matching(text, timeout=LONGEST)


def find_all(pattern: str, text: str) -> list[Match[str]]:
    """All places where a pattern matches. Raises Refused as `search` does."""
    with _in_time(pattern, text):
        return list(compiled(pattern).finditer(text, timeout=LONGEST))


def globs(patterns: Iterable[str]) -> GitIgnoreSpec:
    """A matcher for patterns as in a .gitignore file. Raises ValueError if one is invalid.

    Matching a path raises Refused as `search` does.
    """
    lines = list(patterns)
    try:
        return GitIgnoreSpec.from_lines(lines, _Glob)
    except re.error as error:
        raise ValueError(f"{', '.join(lines)}: {error.msg}") from None


def matching(patterns: Sequence[str], paths: Iterable[str]) -> set[str]:
    """The paths that match patterns as in a .gitignore file. Raises Refused as `search` does."""
    fits = _fitting(tuple(patterns))
    return {path for path in paths if fits(path)}


@cache
def _fitting(patterns: tuple[str, ...]) -> Callable[[str], object]:
    spec = globs(patterns)
    if any(pattern.include is False for pattern in spec.patterns):
        return spec.match_file
    # Without negated patterns the order does not matter, so one regular expression is enough.
    texts = filter(None, (_Glob.pattern_to_regex(pattern)[0] for pattern in patterns))
    return _fitting_one("|".join(texts) or "(?!)", "|".join(patterns))


class _Glob(GitIgnoreSpecPattern):
    """A line of a .gitignore file."""

    def match_file(self, file: Any) -> RegexMatchResult | None:
        """The match of a path; None if it does not match."""
        text = self.regex.pattern if self.regex else "(?!)"
        found: Any = _fitting_one(text, str(self.pattern))(file)
        return found and RegexMatchResult(found)


@cache
def _fitting_one(regex: str, pattern: str) -> Callable[[str], Match[str] | None]:
    """Whether a path matches a regular expression, which is that of a pattern."""
    matches = compiled(regex, lines=False).match

    def fits(path: str) -> Match[str] | None:
        try:  # called for every path of a tree, so without a context manager
            return matches(path, timeout=LONGEST)
        except TimeoutError:
            raise _too_long(pattern, path) from None

    return fits


@contextmanager
def _in_time(pattern: str, text: str) -> Iterator[None]:
    try:
        yield
    except TimeoutError:
        raise _too_long(pattern, text) from None


def _too_long(pattern: str, text: str) -> Refused:
    return Refused(
        f"The pattern {pattern[:99]!r} took over {LONGEST:.0f} seconds on {text[:60]!r}.",
        untouched="It decided nothing.",
        then="rewrite it: no part may match in many ways, as (a|aa)+ and *a*a*a* do.",
    )


# --- What is wrong -------------------------------------------------------------------------------


def explained(error: str, kind: type) -> str:
    """msgspec's message about a struct, with the key first and the valid choices last."""
    problem, _, path = error.partition(" - at `$")
    path = path.rstrip("`")
    key = f"key `{path.lstrip('.')}`" if path else "top level"
    text = f"{key}: {problem[0].lower()}{problem[1:]}"
    if "unknown field" in problem or "enum" in problem:
        text += f"; expected one of {', '.join(_valid_at(path, kind))}"
    return text


def _valid_at(path: str, kind: type) -> list[str]:
    """The keys of the table, or the values of the choice, at a path such as ``.rules[0].take``."""
    valid: Any = msgspec.inspect.type_info(kind)
    for step in re.findall(r"\w+|\[[^]]*]", path):
        if step.startswith("["):
            valid = valid.item_type
        else:
            valid = next(field.type for field in valid.fields if field.name == step)
        if isinstance(valid, msgspec.inspect.UnionType):
            valid = next(t for t in valid.types if not isinstance(t, msgspec.inspect.NoneType))
    if isinstance(valid, msgspec.inspect.EnumType):
        return [choice.value for choice in valid.cls]
    return [field.name for field in valid.fields]
