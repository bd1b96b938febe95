"""Patterns that people write: regular expressions, and paths as in a .gitignore file.

What they are tried on comes from upstream, and with its length grows what some patterns have to
try: no search takes longer than `LONGEST`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from pathspec import GitIgnoreSpec
from pathspec.pattern import RegexMatchResult
from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

from ..run.errors import Refused

if TYPE_CHECKING:
    from regex import Match, Pattern

LONGEST = 5.0
"""Seconds: far more than a pattern needs that does not try the same again and again."""


@cache
def compiled(pattern: str, lines: bool = True) -> Pattern[str]:
    """A regular expression. Raises ValueError if it cannot be one.

    lines: whether `^` begins each line and `$` ends it.
    """
    import regex  # not at the top, where `--list` would wait for it

    try:
        return regex.compile(pattern, regex.MULTILINE if lines else 0)
    except regex.error as error:
        raise ValueError(f"pattern {pattern!r} is no regular expression: {error}") from None


def search(pattern: str, text: str, whole: bool = False) -> Match[str] | None:
    """Where a regular expression of a policy, in which `^` begins a line, matches in a text.

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
    """What patterns as in a .gitignore file fit. Raises ValueError if one cannot be read.

    Looking up a path in it raises Refused as `search` does.
    """
    lines = list(patterns)
    try:
        return GitIgnoreSpec.from_lines(lines, _Glob)
    except re.error as error:
        raise ValueError(f"{', '.join(lines)}: {error.msg}") from None


def matching(patterns: Sequence[str], paths: Iterable[str]) -> set[str]:
    """Those of some paths that fit patterns as in a .gitignore file. Raises Refused as `search`
    does."""
    fits = _fitting(tuple(patterns))
    return {path for path in paths if fits(path)}


@cache
def _fitting(patterns: tuple[str, ...]) -> Callable[[str], object]:
    spec = globs(patterns)
    if any(pattern.include is False for pattern in spec.patterns):
        return spec.match_file
    # Where nothing is taken back, their order does not matter: one look at each path is enough.
    texts = filter(None, (_Glob.pattern_to_regex(pattern)[0] for pattern in patterns))
    return partial(_fit, "|".join(texts) or "(?!)", "|".join(patterns))


class _Glob(GitIgnoreSpecPattern):
    """A line of a .gitignore file."""

    def match_file(self, file: Any) -> RegexMatchResult | None:
        """Where it fits a path; None if it does not."""
        text = self.regex.pattern if self.regex else "(?!)"
        found: Any = _fit(text, str(self.pattern), file)
        return found and RegexMatchResult(found)


def _fit(regex: str, pattern: str, path: str) -> Match[str] | None:
    with _in_time(pattern, path):
        return compiled(regex, lines=False).match(path, timeout=LONGEST)


@contextmanager
def _in_time(pattern: str, text: str) -> Iterator[None]:
    try:
        yield
    except TimeoutError:
        raise Refused(
            f"The pattern {pattern[:99]!r} was still at {text[:60]!r} after {LONGEST:.0f} seconds.",
            untouched="It has decided nothing.",
            then="write it so that nothing matches in many ways, as in (a|aa)+ or *a*a*a*.",
        ) from None
