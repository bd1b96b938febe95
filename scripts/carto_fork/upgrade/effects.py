"""What a change is about, so that what breaks something comes before what only looks different.
Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from enum import Enum
from pathlib import PurePosixPath

from ..merge import languages
from ..merge.hunks import Commit
from ..run.text import states_version, substantive


class Effect(Enum):
    """What a change is about; the members' order is how much that matters."""

    BREAKS = "breaks what uses it"
    CODE = "code"
    SETTINGS = "settings or data"
    TESTS = "tests"
    LAYOUT = "how it looks"
    TEXT = "documentation"
    NOTES = "comments and imports only"
    VERSION = "the version only"


ORDER = [*Effect]

HOUSEKEEPING = re.compile(
    r"^(style|chore|docs|ci|test)(\(.*?\))?!?: |\b(lint(er|ers|ing)?|prettier|formatting|typos?)\b",
    re.IGNORECASE,
)
"""Subjects of commits that change how code is written, not what it does."""
_TEST = re.compile(
    r"(^|[/_.-])(tests?|specs?|testdata|__tests__|cypress|e2e)([/_.-]|$)", re.IGNORECASE
)
_STYLES = re.compile(r"\.(p?css|scss|sass|less|styl|svg|png|jpe?g|gif|ico|woff2?|ttf)$")
_TEXTS = re.compile(r"\.(md|mdx|rst|adoc|txt)$|(^|/)(LICENSE|AUTHORS|MAINTAINERS|CHANGELOG)[^/]*$")
_SOURCES = re.compile(
    r"\.(cs|fsx?|vb|scala|dart|groovy|mm?|zig|nim|cr|jl|r|pl|pm|lua|hs|elm|exs?|erl|clj[cs]?|lisp|el"
    r"|rkt|ml|mli|ps1|sql|sol|v|sv|vhdl?|asm|s|f90|pas|ad[bs]|cob|tcl|vim|cshtml|razor)$",
    re.IGNORECASE,
)
"""Code of languages that are not merged by name."""
_COMMENT = re.compile(r"\s*(//|#(?!include|define|if|else|end)|/?\*|--\s|<!--|;;)")
_IMPORT = re.compile(
    r"\s*(import\b|from\s+[\w.]+\s+import\b|use\s+[\w:]+|#include\b|@import\b|require\(|\s*\"[\w./-]+/[\w./-]+\"$"
    r"|package\s|const\s+\w+\s*=\s*require\()"
)
_MARKUP = re.compile(
    r"""\s*(</?[a-z][^{}]*>?|</[\w.]+>.*|/?>|(class|className|style|id|data-[\w-]+)=.*|\{["' ]*\}
    |(?!(return|break|continue|else|case|throw|await|const|let|var|new|typeof|yield)\b)
    ([\w\s.!?'-]|&\w+;)*(\{["' ]*\})?|<(div|span|p|h\d|a|li|ul)\b.*)\s*""",
    re.VERBOSE,
)
_LONGEST = 400
"""Of a longer line only its beginning is looked at, because expressions for lines take too long."""
_WITH_MARKUP = (".tsx", ".jsx", ".vue", ".svelte", ".html", ".htm")


def is_housekeeping(commit: Commit) -> bool:
    """Whether a commit says of itself that it is such a one."""
    return bool(HOUSEKEEPING.search(commit.subject))


def of_file(path: str) -> Effect:
    """What any change of a file is about."""
    language = languages.language_of(path)
    if _STYLES.search(path):
        return Effect.LAYOUT
    if path.startswith(".github/"):
        return Effect.SETTINGS
    if _TEST.search(path):
        return Effect.TESTS
    if language is None and _SOURCES.search(path):
        return Effect.CODE
    if language is None:
        return Effect.TEXT if _TEXTS.search(path) else Effect.SETTINGS
    return Effect.SETTINGS if language.maps else Effect.CODE


def _is_markup(line: str) -> bool:
    # Runs of blanks would be tried in every way.
    return _MARKUP.fullmatch(" ".join(line.split())) is not None


def of_lines(path: str, lines: Iterable[str]) -> Effect:
    """What a change of some lines is about, the most that one of them is."""
    telling = [line[:_LONGEST] for line in lines if line.strip()]
    if telling and all(map(states_version, telling)):
        return Effect.VERSION
    effect = of_file(path)
    if effect not in (Effect.CODE, Effect.TESTS) or not telling:
        return effect
    telling = [line for line in telling if substantive(line)] or telling
    if all(_COMMENT.match(line) or _IMPORT.match(line) for line in telling):
        return Effect.NOTES
    if path.endswith(_WITH_MARKUP) and all(map(_is_markup, telling)):
        return Effect.LAYOUT
    return effect


_DEFINED = re.compile(
    r"\s*(?:(?:export|public|pub|async|default)\s+)*(?:def|class|func|fn|type|function|interface"
    r"|struct|enum|trait)\s+(?:\([^)]*\)\s*)?(\w{4,})"
    r"|(?:export\s+)?(?:var|const|let)\s+(\w{4,})|(?:\t| {0,4})([A-Z]\w{3,})\s*(?:\w+\s*)?=(?!=)"
)


def defined(lines: Iterable[str]) -> set[str]:
    """The names that lines of code seem to define, but for those of variables inside functions."""
    found = (_DEFINED.match(line[:_LONGEST]) for line in lines)
    return {name for match in found if match for name in match.groups() if name}


_NOTE = re.compile(r"(^|\s)(#|//|--|/?\*|<!--).*")
"""A comment in most languages."""
_QUALIFIED = r"(?:\b(\w+)\s*(?:\.|::|->)\s*)?\b{}\b"
_OWN = {"self", "this", "cls", "super", "Self", "crate"}
_SHARED = (".go", ".java", ".kt", ".c", ".h", ".cc", ".cpp", ".hpp", ".rb", ".swift", ".cs")
"""Languages in which the files of a directory see each other's names."""
_FAMILIES = (
    (".py", ".pyi"),
    (".js", ".jsx", ".mjs", ".cjs", ".ts", ".mts", ".cts", ".tsx", ".vue", ".svelte"),
    (".c", ".h", ".cc", ".cpp", ".cxx", ".hpp", ".hh"),
)
_BRINGS = re.compile(
    r"\s*(import|from|export|use|require|include|const)\b|\s*\}\s*from\b|.*\brequire\("
)


def family(path: str) -> tuple[str, ...]:
    """The suffixes of the files whose code may name what a file defines."""
    suffix = PurePosixPath(path).suffix
    return next((known for known in _FAMILIES if suffix in known), (suffix,))


def uses(name: str, home: str, path: str, lines: Sequence[str]) -> list[int]:
    """The lines of a file, from 0, that name what another file defined, outside of comments; none
    that may be about another thing of the same name.

    home: the file that defined it.
    """
    place = PurePosixPath(home)
    module = place.parent.name if place.stem in ("__init__", "index", "mod") else place.stem
    together = place.suffix in _SHARED and place.parent == PurePosixPath(path).parent
    scopes = {place.parent.name, module} if place.suffix in _SHARED else {module}
    if path == home:
        bare, scopes = True, _OWN
    elif together:
        bare = True
    else:
        bare = any(
            module in line and _BRINGS.match(line) and re.search(rf"\b{re.escape(module)}\b", line)
            for line in lines
        )
        bare = bare and place.suffix not in (".go",)
    word = re.compile(_QUALIFIED.format(re.escape(name)))
    found = []
    for number, line in enumerate(lines):
        if name not in line:
            continue
        for match in word.finditer(_NOTE.sub("", line)):
            before = line[: match.start()].rstrip()[-1:]
            if (match[1] in scopes) if match[1] else (bare and before not in (".", '"', "'")):
                found.append(number)
                break
    return found
