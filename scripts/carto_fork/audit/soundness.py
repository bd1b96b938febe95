"""What a merge has broken: sound on its sides, unsound in its result. Pure."""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import PurePosixPath
from typing import Any, NamedTuple, Protocol, TypeVar, cast

import tomli

# Events that a stranger can set off, and whose runs hold the repository's token and secrets.
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

# What pyflakes reports that ends with a NameError, or that Python refuses to compile: the check
# and the words for it. The rest is style.
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

_LONGEST_YAML = 200_000  # characters; ruamel.yaml takes 10 s and more for 1 MB
_MISSING_MODULE = frozenset({"BaseException", "Exception", "ImportError", "ModuleNotFoundError"})
_AT_MARGIN = re.compile(r"^(?:(?:async )?def|class) (\w+)|^(\w+)(?: =|: )", re.MULTILINE)


_IMPORTS_AT_MARGIN = re.compile(r"^(?:from|import)\b(?:[^\n(]*\([^)]*|[^\n]*)", re.MULTILINE)


class Snapshot(Protocol):
    """The files of a commit."""

    @property
    def paths(self) -> Collection[str]: ...

    def text(self, path: str) -> str | None:
        """A file's text, maybe with lone surrogates; None if it is absent or not text."""

    def version(self, path: str) -> str:
        """What names a file's content: the same where the content is; "" if it is absent."""


@dataclass(frozen=True)
class Problem:
    """Something that works on the sides of a merge and not in its result.

    check: "syntax", "name", "import" or "trigger".
    line: the first line concerned, 0 if it is not known.
    what: what is wrong there, for a person; quotes the file.
    """

    check: str
    path: str
    line: int
    what: str


def problems(
    changed: Sequence[str],
    result: Snapshot,
    sides: Sequence[Snapshot],
    *,
    deleted: Sequence[str] = (),
    importers: Callable[[Sequence[str]], Sequence[str]] | None = None,
) -> list[Problem]:
    """What no longer parses, which names are undefined, which imports lead nowhere.

    What cannot be told, of the result or of a side, is no problem.

    changed: the files to look at: those that are as on no side, whose content is looked at, and
        others, whose imports are, as what they import may be from the other side.
    deleted: paths that a side has and the result has not.
    importers: files of the result that may import something of one of these names; asked about all
        that changed modules, or deleted ones, have lost. Without it, nobody else is looked at.
    """
    known: dict[tuple[str, str], Any] = {}
    tree, *others = (_Tree(snapshot, known) for snapshot in (result, *sides))
    found: list[Problem] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for path in dict.fromkeys(changed):
            found += _flaws(path, tree, others)
            found += _dangling(path, tree, others)
        lost = _lost(changed, deleted, tree, others) if importers else {}
        without = set[tuple[_Tree, ...]]().union(*lost.values())
        suspects = {
            path
            for path in (importers(sorted(lost)) if importers and lost else ())
            if any(_may_miss(path, sides, tree) for sides in without)
        }
        for path in sorted(suspects - set(changed)):
            found += _dangling(path, tree, others)
    return sorted(found, key=lambda problem: (problem.path, problem.line, problem.check))


def dangerous_triggers(paths: Sequence[str], result: Snapshot, ours: Snapshot) -> list[Problem]:
    """The events by which strangers start these workflows in the result, and not in the fork.

    A workflow whose triggers cannot be read is a problem too.
    """
    found = []
    for path in paths:
        if path not in result.paths:
            continue
        new = _triggers(result.text(path))
        if new is None:
            found.append(Problem("trigger", path, 0, "its triggers cannot be read"))
            continue
        old = _triggers(ours.text(path)) or {}
        found += [
            Problem("trigger", path, line, f"strangers can start it: on {event}")
            for event, line in new.items()
            if event in DANGEROUS and event not in old
        ]
    return found


# --- One file alone ------------------------------------------------------------------------------


class _Flaw(NamedTuple):
    """What is wrong with a text, wherever it stands."""

    check: str
    what: str


_Flaws = dict[_Flaw, int]  # each with its first line


def _flaws(path: str, result: _Tree, sides: Sequence[_Tree]) -> list[Problem]:
    """What is wrong with a file, and with no side's version of it."""
    text = result.text(path)
    befores = [side.text(path) for side in sides if path in side.paths]
    if text is None or None in befores or text in befores:
        return []
    flaws = _flaws_of(path, text)
    for before in befores:
        if not flaws:
            break
        known = _flaws_of(path, before or "")
        # A text that does not parse hides what else is wrong with it.
        if known is None or any(flaw.check == "syntax" for flaw in known):
            return []
        flaws = {flaw: line for flaw, line in flaws.items() if flaw not in known}
    return [Problem(flaw.check, path, line, flaw.what) for flaw, line in (flaws or {}).items()]


def _flaws_of(path: str, text: str) -> _Flaws | None:
    """None if it cannot be told."""
    try:
        text = _clean(text)
        match PurePosixPath(path).suffix:
            case ".py":
                return _python_flaws(path, text)
            case ".toml":
                return _toml_flaws(text)
            case ".json":
                return _json_flaws(text)
            case ".yaml" | ".yml":
                return _yaml_flaws(text)
    # Too deep, too long, a number of 5,000 digits: a library's limits and bugs say nothing about
    # the file.
    except Exception:
        return None
    return {}


def _clean(text: str) -> str:
    """A text without what is a matter of its encoding: a byte order mark, bytes not in UTF-8.

    Raises ValueError for null bytes: it is no text. Parsers disagree about them.
    """
    if "\0" in text:
        raise ValueError("null bytes")
    return text.removeprefix("\ufeff").encode("utf-8", "replace").decode()


def _python_flaws(path: str, text: str) -> _Flaws:
    from pyflakes.checker import Checker

    tree = _parsed(text)
    if isinstance(tree, SyntaxError):
        return {_Flaw("syntax", tree.msg): tree.lineno or 0}
    flaws: _Flaws = {}
    messages = Checker(tree, filename=path, withDoctest=False).messages
    for message in sorted(messages, key=lambda message: message.lineno):
        if kind := _REPORTED.get(type(message).__name__):
            # The name alone: what else there is among the arguments are line numbers.
            what = " ".join([kind[1], *map(repr, message.message_args[:1])])
            flaws.setdefault(_Flaw(kind[0], what), message.lineno)
    return flaws


@lru_cache(maxsize=2)
def _parsed(text: str) -> ast.Module | SyntaxError:
    """A cleaned text as Python.

    Raises what ast.parse does where it cannot tell: ValueError, RecursionError, MemoryError.
    """
    try:
        return ast.parse(text)
    except SyntaxError as error:
        return error


def _toml_flaws(text: str) -> _Flaws:
    try:
        tomli.loads(text)
    except tomli.TOMLDecodeError as error:
        line = re.search(r"\(at line (\d+)", str(error))
        return {_Flaw("syntax", str(error)): int(line[1]) if line else text.count("\n") + 1}
    return {}


def _json_flaws(text: str) -> _Flaws:
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        return {_Flaw("syntax", error.msg): error.lineno}
    return {}


# --- YAML ----------------------------------------------------------------------------------------


def _documents(text: str) -> list[Any]:
    """The node at the top of each document. Aliases and tags stay what they are.

    Raises MarkedYAMLError for a text that is no YAML, and others where it cannot be told.
    """
    from ruamel.yaml import YAML

    if len(text) > _LONGEST_YAML:
        raise ValueError("long")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an anchor twice
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
                flaw = _Flaw("syntax", f"duplicate key {word[1]!r}")
                flaws.setdefault(flaw, key.start_mark.line + 1)
            keys.add(word)
    return flaws


def _mappings(documents: list[Any]) -> Iterator[Any]:
    """Every mapping once, however many aliases lead to it."""
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


def _triggers(text: str | None) -> dict[str, int] | None:
    """The events at `on:`, each with its line; None if they cannot be read."""
    if text is None:
        return None
    try:
        documents = _documents(_clean(text))
    except Exception:
        return None
    events: dict[str, int] = {}
    for document in documents:
        for key, value in document.value if document.id == "mapping" else ():
            # As it is written: read as YAML 1.1, this key is the truth value true.
            if _word(key).lower() == "on":
                for entry in [value] if value.id == "scalar" else value.value:
                    event = entry[0] if isinstance(entry, tuple) else entry
                    events.setdefault(_word(event).lower(), event.start_mark.line + 1)
    return events


# --- Imports -------------------------------------------------------------------------------------


class _Import(NamedTuple):
    """One name of an import statement; of `import a.b`, the name is ""."""

    level: int
    module: str
    name: str

    def __str__(self) -> str:
        module = "." * self.level + self.module
        return f"from {module} import {self.name}" if self.name else f"import {module}"


_T = TypeVar("_T")


class _Tree:
    """A snapshot as Python sees it: modules, and the names that they bind.

    told: what matters of modules to others, by what names their content: the sides of a merge share
        most of it, and it is less than their syntax trees, of which few fit in memory.
    """

    def __init__(self, snapshot: Snapshot, told: dict[tuple[str, str], Any]) -> None:
        self.paths = frozenset(snapshot.paths)
        self._snapshot = snapshot
        self._texts: dict[str, str | None] = {}
        self._told = told
        self._margins: dict[str, set[str]] = {}
        self._names: dict[str, set[str]] = {}
        self._homes: dict[str, list[str]] = {}

    def text(self, path: str) -> str | None:
        if path not in self._texts:
            self._texts[path] = self._snapshot.text(path) if path in self.paths else None
        return self._texts[path]

    def imports(self, path: str) -> dict[_Import, int] | None:
        """The imports of a module; None if it cannot be told."""
        return self._ask(_imports, path)

    def bound(self, path: str) -> frozenset[str] | None:
        """The names that a module binds; None if it cannot be told."""
        return self._ask(_bound, path)

    def _ask(self, question: Callable[[ast.Module], _T | None], path: str) -> _T | None:
        known = (question.__name__, self.version(path))
        if known not in self._told:
            text, answer = self.text(path), None
            with suppress(ValueError, RecursionError, MemoryError):
                tree = None if text is None else _parsed(_clean(text))
                if isinstance(tree, ast.Module):
                    answer = question(tree)
            self._told[known] = answer
        return cast("_T | None", self._told[known])

    def names(self, path: str) -> set[str]:
        """The names that a glance at a module shows; what begins a line binds most of them."""
        version = self.version(path)
        if version not in self._names:
            text = self.text(path) or ""
            found = {one or other for one, other in _AT_MARGIN.findall(text)}
            for line in _IMPORTS_AT_MARGIN.findall(text):
                found |= set(re.findall(r"\w+", line))
            self._names[version] = found
        return self._names[version]

    def resolves(self, path: str, wanted: _Import) -> bool | None:
        """Whether an import in a file leads somewhere; None if it leads out of the repository."""
        bases = self._bases(path, wanted)
        if bases is None:
            return False
        return any(self._offers(base, wanted.name) for base in bases) if bases else None

    def grounds(self, path: str, wanted: _Import) -> list[tuple[str, str, bool, bool]] | None:
        """All that decides whether an import leads somewhere, without a look into any file."""
        bases = self._bases(path, wanted)
        if bases is None:
            return None
        return [
            (
                file := self._file(base),
                self._snapshot.version(file),
                base in self._folders,
                self._is_module(_join(base, wanted.name)),
            )
            for base in bases
        ]

    def version(self, path: str) -> str:
        return self._snapshot.version(path)

    def _bases(self, path: str, wanted: _Import) -> list[str] | None:
        """Where a module that is imported may be; None if it is above the top."""
        folders = path.split("/")
        if wanted.level > len(folders):
            return None
        if wanted.level:
            return ["/".join([*folders[: -wanted.level], *filter(None, wanted.module.split("."))])]
        first = wanted.module.split(".")[0]
        if first not in self._homes:
            self._homes[first] = [r for r in self._roots if self._is_module(_join(r, first))]
        return [_join(root, wanted.module.replace(".", "/")) for root in self._homes[first]]

    def _file(self, base: str) -> str:
        file = _join(base, "__init__.py")
        return file if file in self.paths else f"{base}.py"

    def _offers(self, base: str, name: str) -> bool:
        package = base in self._folders
        file = self._file(base)
        if name in ("", "*"):
            return package or file in self.paths
        if package and self._is_module(_join(base, name)):
            return True
        return self.binds(file, name)

    def binds(self, path: str, name: str) -> bool:
        """Whether there is such a module, and it binds a name or may do so."""
        if path not in self.paths:
            return False
        # What begins a line is enough to find most names, and takes a tenth of the time.
        if path not in self._margins:
            text = self.text(path) or ""
            self._margins[path] = {one or other for one, other in _AT_MARGIN.findall(text)}
        if name in self._margins[path]:
            return True
        bound = self.bound(path)
        return bound is None or name in bound

    def _is_module(self, base: str) -> bool:
        return f"{base}.py" in self.paths or base in self._folders

    @cached_property
    def _folders(self) -> set[str]:
        """Every folder with Python files in it or below: a package, with __init__.py or not."""
        folders: set[str] = set()
        for path in self.paths:
            folder = path.rpartition("/")[0]
            while path.endswith(".py") and folder not in folders:
                folders.add(folder)
                folder = folder.rpartition("/")[0]
        return folders

    @cached_property
    def _roots(self) -> set[str]:
        """The folders that top-level modules are looked for in."""
        packages = {p.rpartition("/")[0] for p in self.paths if p.endswith("/__init__.py")}
        return {"", "src"} | {p.rpartition("/")[0] for p in packages} - packages


def _join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _lost(
    changed: Sequence[str], deleted: Sequence[str], result: _Tree, sides: Sequence[_Tree]
) -> dict[str, set[tuple[_Tree, ...]]]:
    """What the result has no longer: each name with the sides that have not had it either."""
    lost: dict[str, set[tuple[_Tree, ...]]] = {}
    for path in changed:
        if not path.endswith(".py") or not any(
            side.names(path) - result.names(path) for side in sides
        ):
            continue
        now = result.bound(path)
        if now is not None:
            for name in {name for side in sides for name in side.bound(path) or ()} - now:
                without = tuple(side for side in sides if not side.binds(path, name))
                lost.setdefault(name, set()).add(without)
    for path in deleted:
        file = PurePosixPath(path)
        if file.suffix == ".py":
            name = file.parent.name if file.name == "__init__.py" else file.stem
            without = tuple(side for side in sides if path not in side.paths)
            lost.setdefault(name, set()).add(without)
    return lost


def _may_miss(path: str, without: Sequence[_Tree], result: _Tree) -> bool:
    """Whether a file may have worked with what these sides have not had, and the result has not."""
    return all(side.version(path) != result.version(path) for side in without)


_GLANCE = re.compile(
    r"^[ \t]*(?:from[ \t]+(\.*)([\w.]*)[ \t]+import[ \t]*(\([^)]*|[^\n]*)|import[ \t]+([^\n]*))",
    re.MULTILINE,
)


def _glanced(text: str) -> set[_Import] | None:
    """Every import that a text may hold, found a hundred times faster than by parsing it; None
    where a statement goes on in another way than in brackets, or is not the only one on its line.
    """
    found = set()
    for dots, module, names, plain in _GLANCE.findall(text):
        if ";" in names + plain or "\\" in names + plain:
            return None
        for part in re.sub(r"#.*", "", names or plain).replace("(", "").split(","):
            if words := part.split():
                name = words[0]
                found.add(_Import(len(dots), module, name) if names else _Import(0, name, ""))
    return found


def _stands_as_before(path: str, result: _Tree, sides: Sequence[_Tree]) -> bool:
    """Whether a file is as on a side, and none of what it may import has gone since."""
    before = [side for side in sides if side.version(path) == result.version(path)]
    wanted = _glanced(result.text(path) or "") if before else None
    return wanted is not None and all(
        result.grounds(path, one) == before[0].grounds(path, one) or result.resolves(path, one)
        for one in wanted
    )


def _dangling(path: str, result: _Tree, sides: Sequence[_Tree]) -> list[Problem]:
    """The imports of a file that lead nowhere, and did lead somewhere on each side with them."""
    if not path.endswith(".py") or _stands_as_before(path, result, sides):
        return []
    lines = result.imports(path) or {}
    held = [(side, side.imports(path)) for side in sides if path in side.paths]
    # What stands on the same ground as on a side leads where it led there.
    open_ = [
        wanted
        for wanted in lines
        if not any(
            imports
            and wanted in imports
            and side.grounds(path, wanted) == result.grounds(path, wanted)
            for side, imports in held
        )
    ]
    nowhere = {wanted: now for wanted in open_ if not (now := result.resolves(path, wanted))}
    # What leads out of the repository does so rightly, unless a side has it inside.
    suspects = [
        wanted
        for wanted, now in nowhere.items()
        if lines[wanted] and (now is False or any(side.resolves(path, wanted) for side in sides))
    ]
    if not suspects:
        return []
    if any(imports is None for _, imports in held):
        return []
    found = []
    for wanted in suspects:
        before = [
            side.resolves(path, wanted) for side, imports in held if imports and wanted in imports
        ]
        if all(before):
            module = result.resolves(path, wanted._replace(name=""))
            missing = "no such name in the module" if module else "no such module"
            found.append(Problem("import", path, lines[wanted], f"{wanted}: {missing}"))
    return found


def _imports(tree: ast.Module) -> dict[_Import, int]:
    """The imports of a module, each with the first line where nothing catches its failure; 0 if
    something does."""
    found: dict[_Import, int] = {}
    waiting: list[tuple[ast.AST, bool]] = [(tree, False)]
    while waiting:
        node, caught = waiting.pop()
        if isinstance(node, ast.Import | ast.ImportFrom):
            for alias in node.names:
                wanted = _Import(0, alias.name, "")
                if isinstance(node, ast.ImportFrom):
                    wanted = _Import(node.level, node.module or "", alias.name)
                lines = {found.get(wanted, 0), 0 if caught else node.lineno} - {0}
                found[wanted] = min(lines, default=0)
        # Statements and handlers only: no expression holds an import.
        inner = caught or _catches(node)
        for field in ("body", "handlers", "cases"):
            waiting += [(child, inner) for child in getattr(node, field, ())]
        for field in ("orelse", "finalbody"):
            waiting += [(child, caught) for child in getattr(node, field, ())]
    return found


def _catches(node: ast.AST) -> bool:
    """Whether a statement goes on where an import in it fails: try, with suppress(ImportError)."""
    types: list[ast.expr | None] = [handler.type for handler in getattr(node, "handlers", ())]
    if isinstance(node, ast.With | ast.AsyncWith):
        calls = [item.context_expr for item in node.items]
        types += [arg for call in calls if isinstance(call, ast.Call) for arg in call.args]
    return None in types or any(
        getattr(part, "id", getattr(part, "attr", "")) in _MISSING_MODULE
        for of_type in types
        if of_type is not None
        for part in ast.walk(of_type)
    )


def _bound(tree: ast.Module) -> frozenset[str] | None:
    """The names at a module's top level; None if it cannot be told."""
    names: set[str] = set()
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.alias):
            names.add(node.asname or node.name.split(".")[0])
        elif isinstance(node, ast.Name):
            names |= {node.id} if isinstance(node.ctx, ast.Store) else set()
        elif not isinstance(node, ast.Lambda):
            names |= {getattr(node, "name", None) or "", getattr(node, "rest", None) or ""}
            waiting += ast.iter_child_nodes(node)
    return None if names & {"*", "__getattr__"} else frozenset(names)
