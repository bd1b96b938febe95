"""What a merge broke: sound on its sides, unsound in its result. Pure."""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import tomli
from packaging.utils import canonicalize_name

from ..run.text import too_long
from . import imports
from .imports import Snapshot

# Events that a stranger can trigger and whose runs have the repository's token and secrets.
DANGEROUS = frozenset(
    {
        "discussion",
        "discussion_comment",
        "fork",
        "issue_comment",
        "issues",
        "pull_request_target",
        "watch",
        "workflow_run",
    }
)

# pyflakes' messages about code that raises a NameError or does not compile: our check and our words
# for each. The rest is style.
_REPORTED = {
    "UndefinedName": ("name", "undefined name"),
    "UndefinedExport": ("name", "undefined name in __all__:"),
    "UndefinedLocal": ("name", "local variable used before it is assigned:"),
    "BreakOutsideLoop": ("syntax", "break outside a loop"),
    "ContinueOutsideLoop": ("syntax", "continue outside a loop"),
    "DuplicateArgument": ("syntax", "duplicate argument"),
    "FutureFeatureNotDefined": ("syntax", "from __future__ import of the unknown"),
    "ImportStarNotPermitted": ("syntax", "import of * inside a function or class, from"),
    "LateFutureImport": ("syntax", "from __future__ import below other code"),
    "ReturnOutsideFunction": ("syntax", "return outside a function"),
    "TwoStarredExpressions": ("syntax", "two starred expressions in an assignment"),
    "YieldOutsideFunction": ("syntax", "yield outside a function"),
}


@dataclass(frozen=True)
class Problem:
    """Something that works on the sides of a merge and not in its result.

    check: "syntax", "duplicate", "name", "import" or "trigger"; "size" if too long for them.
    line: the first line concerned; 0 if unknown.
    what: what is wrong there, for a person; quotes the file.
    """

    check: str
    path: str
    line: int
    what: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.what}"


def problems(
    changed: Sequence[str],
    result: Snapshot,
    sides: Sequence[Snapshot],
    *,
    deleted: Sequence[str] = (),
    importers: Callable[[Sequence[str], Sequence[str]], set[str]] | None = None,
    name_on: Callable[[int, str], str] = lambda side, path: path,
) -> list[Problem]:
    """Files that no longer parse, undefined names, imports that lead nowhere.

    Anything that cannot be decided, in the result or on a side, does not count as a problem.

    changed: the files to check: all of a file that equals no side's; otherwise only its imports,
        because what they import may come from the other side.
    deleted: paths that a side has and the result lacks.
    importers: returns which of some files of the result may import one of some names; asked about
        all names that changed or deleted modules lost. Without it, no other files are checked.
    name_on: under which path a side, by its number, has a file of the result.
    """
    tree, *others = imports.trees([result, *sides])
    unsound: list[Problem] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for path in dict.fromkeys(changed):
            unsound += _flaws(path, result, sides, name_on)
            unsound += _dangling(path, tree, others, name_on)
        affected = imports.affected(changed, deleted, tree, others, importers) if importers else ()
        for path in sorted({*affected} - {*changed}):
            unsound += _dangling(path, tree, others, name_on)
    return sorted(unsound, key=lambda problem: (problem.path, problem.line, problem.check))


def invented(result: Collection[str], ours: Collection[str], theirs: Collection[str]) -> list[str]:
    """The paths in a result that no side has, in the form PATH~SIDE. Git invents them for a side's
    version if its place is taken by another type of file or a directory."""
    new = (path for path in result if "~" in path and path not in ours and path not in theirs)
    split = ((path, *path.rpartition("~")[::2]) for path in new)
    return sorted(path for path, real, side in split if side and (real in ours or real in theirs))


def unmapped(tree: Mapping[str, tuple[str, str]], modules: str) -> set[str]:
    """The submodules in a tree that git cannot fetch because .gitmodules does not name them.

    tree: mode and object of each path. modules: the text of .gitmodules.
    """
    named = set(re.findall(r'^\s*path\s*=\s*"?(.*?)"?\s*$', modules, re.MULTILINE))
    return {path for path, (mode, _) in tree.items() if mode == "160000"} - named


_NOT_ON_WINDOWS = re.compile(
    r'[<>:"|?*\\\x00-\x1f]|[. ](/|$)|(^|/)(con|prn|aux|nul|com[1-9]|lpt[1-9])(\.[^/]*)?(/|$)', re.I
)


def awkward(result: Collection[str], before: Collection[str]) -> Iterator[tuple[str, str]]:
    """The paths that a merge brings and that some systems cannot have, each with the reason.

    before: the paths that the fork has.
    """
    new = sorted(path for path in result if path not in before)
    folded: dict[str, str] = {}
    if new:
        folded = {path.casefold(): path for path in (*new, *(p for p in before if p in result))}
    for path in new:
        if (other := folded[path.casefold()]) != path:
            yield path, f"macOS and Windows cannot have it next to {other}: only the case differs"
        if _NOT_ON_WINDOWS.search(path):
            yield path, "Windows cannot have such a name"


def dangerous_triggers(paths: Sequence[str], result: Snapshot, ours: Snapshot) -> list[Problem]:
    """The events by which strangers can start these workflows in the result but not in the fork.

    A workflow whose triggers cannot be read is a problem, too.
    """
    triggers = []
    for path in paths:
        if path not in result.paths:
            continue
        new = triggers_of(result.text(path))
        if new is None:
            triggers.append(Problem("trigger", path, 0, "its triggers cannot be read"))
            continue
        old = triggers_of(ours.text(path)) or {}
        triggers += [
            Problem("trigger", path, line, f"strangers can start it: on {event}")
            for event, line in new.items()
            if event in DANGEROUS and event not in old
        ]
    return triggers


def _dangling(
    path: str,
    result: imports.Tree,
    sides: Sequence[imports.Tree],
    name_on: Callable[[int, str], str],
) -> list[Problem]:
    broken = imports.dangling(path, result, sides, name_on)
    return [Problem("import", path, line, what) for line, what in broken]


# --- One file alone ------------------------------------------------------------------------------


class _Flaw(NamedTuple):
    """Something wrong with a text, regardless of its line."""

    check: str
    what: str


_Flaws = dict[_Flaw, int]  # each with its first line
_Names = Iterable[tuple[str, int]]  # each with its line


def _flaws(
    path: str, result: Snapshot, sides: Sequence[Snapshot], name_on: Callable[[int, str], str]
) -> list[Problem]:
    """What is wrong with a file, but with no side's version of it."""
    text = result.text(path)
    befores = [side.text(path) for side in sides if path in side.paths]
    if text is None or None in befores or text in befores:
        return []
    if too_long(path, text):
        return [
            Problem("size", path, 0, "too long to be parsed: check yourself whether it is sound")
        ]
    flaws = _flaws_of(path, text)
    for number, side in enumerate(sides):
        name = name_on(number, path) if flaws else path
        if not flaws or name not in side.paths:
            continue
        before = _flaws_of(name, side.text(name) or "")
        # A text that does not parse hides its other flaws.
        if before is None or any(flaw.check == "syntax" for flaw in before):
            return []
        flaws = {flaw: line for flaw, line in flaws.items() if flaw not in before}
    return [Problem(flaw.check, path, line, flaw.what) for flaw, line in (flaws or {}).items()]


_INI = (".ini", ".cfg", ".properties")
_READ = (".py", ".toml", ".json", ".yaml", ".yml", ".mk", ".env", ".requirements", *_INI)


def is_read(path: str) -> bool:
    """Whether we check the content of such a file."""
    return _kind(path) in _READ


def _kind(path: str) -> str:
    name = path.rpartition("/")[2]
    if name in ("Makefile", "makefile", "GNUmakefile"):
        return ".mk"
    if name.startswith(".env"):
        return ".env"
    stem, dot, suffix = name.rpartition(".")
    kind = dot + suffix if stem and suffix else ""
    return ".requirements" if kind == ".txt" and "requirements" in path else kind


def _flaws_of(path: str, text: str) -> _Flaws | None:
    """The flaws of a text; None if they cannot be known."""
    if too_long(path, text):
        return None
    try:
        text = imports.clean(text)
        match _kind(path):
            case ".py":
                return _python_flaws(path, text)
            case ".toml":
                return _toml_flaws(text)
            case ".json":
                return _json_flaws(text)
            case ".yaml" | ".yml":
                return _yaml_flaws(text)
            case ".mk":
                return _twice(_make_names(text))
            case ".env":
                return _twice((f"name {m[1]!r}", line) for m, line in _matches(_SETTING, text))
            case ".requirements":
                return _twice(_requirements(text))
            case kind if kind in _INI:
                return _twice(_ini_names(text))
    # Too deep, too long, a number of 5,000 digits: a library's limits and bugs mean nothing for the
    # file.
    except Exception:
        return None
    return {}


def _python_flaws(path: str, text: str) -> _Flaws:
    from pyflakes.checker import Checker

    tree = imports.parsed(text)
    if isinstance(tree, SyntaxError):
        return {_Flaw("syntax", tree.msg): tree.lineno or 0}
    flaws: _Flaws = {}
    messages = Checker(tree, filename=path, withDoctest=False).messages
    for message in sorted(messages, key=lambda message: message.lineno):
        if kind := _REPORTED.get(type(message).__name__):
            # Only the name: the other arguments are line numbers.
            what = " ".join([kind[1], *map(repr, message.message_args[:1])])
            flaws.setdefault(_Flaw(kind[0], what), message.lineno)
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict):
            keys = [k for k in node.keys if isinstance(k, ast.Constant | ast.Name | ast.Attribute)]
            flaws |= _twice((f"key {ast.unparse(key)}", key.lineno) for key in keys)
        elif isinstance(node, ast.Call):
            flaws |= _twice((f"argument {k.arg!r}", k.value.lineno) for k in node.keywords if k.arg)
        elif isinstance(node, _Scope):
            flaws |= _twice(_definitions(node)) | _twice(_imported(node))
    return flaws


_Scope = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def _imported(scope: _Scope) -> _Names:
    """The imported names, once for each different thing of that name."""
    different: dict[tuple[str, str], int] = {}
    for node in scope.body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            module = f"{'.' * node.level}{node.module}" if isinstance(node, ast.ImportFrom) else ""
            for alias in node.names:
                name = alias.asname or alias.name
                different.setdefault((name, f"{module}:{alias.name}"), node.lineno)
    return ((f"import of {name!r}", line) for (name, _), line in different.items() if name != "*")


def _definitions(scope: _Scope) -> _Names:
    """The names that a scope's statements define, each with its line; without redefinitions that
    use the old value, and without the variables of a function."""
    for node in scope.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            words = {ast.unparse(part).rpartition(".")[2] for part in node.decorator_list}
            if node.name != "_" and not words & {"overload", "getter", "setter", "deleter"}:
                yield f"definition of {node.name!r}", node.lineno
        elif isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(
            scope, ast.Module | ast.ClassDef
        ):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            used = {part.id for part in ast.walk(node.value or node) if isinstance(part, ast.Name)}
            for target in targets:
                if isinstance(target, ast.Name) and node.value and target.id not in {"_", *used}:
                    yield f"value of {target.id!r}", node.lineno


def _twice(names: _Names) -> _Flaws:
    """Names defined a second time in one scope, where the last one wins."""
    flaws: _Flaws = {}
    seen = set()
    for name, line in names:
        if name in seen:
            flaws.setdefault(_Flaw("duplicate", f"{name} twice"), line)
        seen.add(name)
    return flaws


_SETTING = re.compile(r"[ \t]*(?:export[ \t]+)?([A-Za-z_]\w*)=")
_PACKAGE = re.compile(r"([A-Za-z0-9][\w.-]*)\s*([\[<>=!~@,]|$|#)")
_INI_LINE = re.compile(r"(\[[^\]]+\])|([^\s#;!=:\[](?:\\.|[^=:\\])*)[=:]")
_MAKE_BLOCK = re.compile(r" *(?:(ifn?eq|ifn?def|define)|(endif|endef))\b")
_MAKE_VALUE = re.compile(r" *(?:export +|override +)*([\w.-]+) *(?::{0,3}=)")
_MAKE_RULE = re.compile(r"([\w./$(){} -]+?) *:(?![:=])([^=]*)$")


def _matches(pattern: re.Pattern[str], text: str) -> Iterator[tuple[re.Match[str], int]]:
    for number, line in enumerate(text.split("\n"), 1):
        if match := pattern.match(line):
            yield match, number


def _make_names(text: str) -> _Names:
    """The variables and the targets with a recipe in a Makefile, except those under a condition."""
    lines = [*text.split("\n"), ""]
    depth = 0
    for number, line in enumerate(lines[:-1]):
        if block := _MAKE_BLOCK.match(line):
            depth += 1 if block[1] else -1
        elif depth or (number and lines[number - 1].endswith("\\")):
            continue
        elif value := _MAKE_VALUE.match(line):
            yield f"value of {value[1]!r}", number + 1
        elif (rule := _MAKE_RULE.match(line)) and (
            ";" in rule[2] or lines[number + 1].startswith("\t")
        ):
            yield from ((f"target {name!r}", number + 1) for name in rule[1].split())


def _requirements(text: str) -> _Names:
    """The packages required on every system; pip refuses a package that is listed twice."""
    for match, line in _matches(_PACKAGE, text):
        if ";" not in match.string:
            yield f"requirement {canonicalize_name(match[1])!r}", line


def _ini_names(text: str) -> _Names:
    """The keys of each section."""
    section = ""
    for match, line in _matches(_INI_LINE, text):
        section = match[1] or section
        if match[2]:
            yield f"key {match[2].rstrip()!r}{f' in {section}' if section else ''}", line


def _toml_flaws(text: str) -> _Flaws:
    try:
        tomli.loads(text)
    except tomli.TOMLDecodeError as error:
        line = re.search(r"\(at line (\d+)", str(error))
        return {_Flaw("syntax", str(error)): int(line[1]) if line else text.count("\n") + 1}
    return {}


def _json_flaws(text: str) -> _Flaws:
    flaws: _Flaws = {}

    def look(pairs: list[tuple[str, Any]]) -> None:
        for key, times in Counter(key for key, _ in pairs).items():
            if times > 1:
                # Parsed objects have no position: the last line with such a key is our best guess.
                pattern = re.compile(rf".*{re.escape(json.dumps(key, ensure_ascii=False))}\s*:")
                lines = [line for _, line in _matches(pattern, text)]
                flaws[_Flaw("duplicate", f"key {key!r} twice")] = max(lines, default=0)

    try:
        json.loads(text, object_pairs_hook=look)
    except json.JSONDecodeError as error:
        return {_Flaw("syntax", error.msg): error.lineno}
    return flaws


# --- YAML ----------------------------------------------------------------------------------------


def _documents(text: str) -> list[Any]:
    """The top node of each document. Aliases and tags are not resolved.

    Raises MarkedYAMLError for a text that is not YAML, and other errors if it cannot be decided.
    """
    from ruamel.yaml import YAML

    if too_long("x.yaml", text):
        raise ValueError("long")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a repeated anchor
        return [node for node in YAML(typ="safe", pure=True).compose_all(text) if node]


def _yaml_flaws(text: str) -> _Flaws:
    from ruamel.yaml.error import MarkedYAMLError

    try:
        documents = _documents(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = error.problem or error.context or "no YAML"
        return {_Flaw("syntax", what): mark.line + 1 if mark else 0}
    flaws: _Flaws = {}
    for mapping in _mappings(documents):
        keys = set()
        for key, _ in mapping.value:
            word = (str(key.tag), _word(key))
            if word in keys and word[1] not in ("", "<<"):
                flaw = _Flaw("duplicate", f"key {word[1]!r} twice")
                flaws.setdefault(flaw, key.start_mark.line + 1)
            keys.add(word)
    return flaws


def _mappings(documents: list[Any]) -> Iterator[Any]:
    """Every mapping once, however many aliases refer to it."""
    seen = set()
    waiting = [*documents]
    while waiting:
        node = waiting.pop()
        if id(node) not in seen and node.id != "scalar":
            seen.add(id(node))
            if node.id == "mapping":
                yield node
            for part in node.value:
                waiting += part if isinstance(part, tuple) else [part]


def _word(node: Any) -> str:
    """A scalar as it is written, without quotes; "" for anything else."""
    return str(node.value) if node.id == "scalar" else ""


def triggers_of(text: str | None) -> dict[str, int] | None:
    """The events at `on:`, each with its line; None if they cannot be read."""
    if text is None:
        return None
    try:
        documents = _documents(imports.clean(text))
    except Exception:
        return None
    events: dict[str, int] = {}
    for document in documents:
        for key, value in document.value if document.id == "mapping" else ():
            # We compare the text, because YAML 1.1 reads the key `on` as true.
            if _word(key).lower() == "on":
                for entry in [value] if value.id == "scalar" else value.value:
                    event = entry[0] if isinstance(entry, tuple) else entry
                    events.setdefault(_word(event).lower(), event.start_mark.line + 1)
    return events


def can_report(text: str, check: str) -> bool:
    """Whether a workflow, as far as its text says, can report a check of this name: by a job that
    has the name or may get it, or by permission to report any. True if it cannot be read."""
    try:
        documents = _documents(imports.clean(text))
    except Exception:
        return True
    parts = [(_word(key), value) for one in _mappings(documents) for key, value in one.value]
    for key, value in parts:
        if key == "permissions":
            given = value.value if value.id == "mapping" else [(None, value)]
            for what, access in given:
                to_any = what is None or _word(what) in ("checks", "statuses")
                if to_any and _word(access).startswith("write"):
                    return True
        if key == "jobs" and value.id == "mapping":
            for name, job in value.value:
                entries = [(name, name)] + (job.value if job.id == "mapping" else [])
                named = [_word(v) for k, v in entries if k is name or _word(k) in ("name", "<<")]
                if any("${{" in n or n.strip().casefold() in ("", check.casefold()) for n in named):
                    return True
    return False
