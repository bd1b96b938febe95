"""Where the imports of Python files lead, and which of them a merge broke. Pure."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from functools import cached_property, lru_cache
from pathlib import PurePosixPath
from typing import NamedTuple, Protocol

from ..run.text import too_long

_BLOCKS = frozenset({"body", "cases", "finalbody", "handlers", "orelse"})
_MISSING_MODULE = frozenset({"BaseException", "Exception", "ImportError", "ModuleNotFoundError"})

_IMPORT = re.compile(r"\bimport\b")
_STATEMENT = re.compile(
    r"""^[ \t]*((?:from[ \t]+[\w.]+[ \t]+)?import\b[ \t]*(?:\([^)'"]*\))?[^\n('"]*)$""",
    re.MULTILINE,
)


class Snapshot(Protocol):
    """The files of a commit."""

    @property
    def paths(self) -> Collection[str]: ...

    def text(self, path: str) -> str | None:
        """A file's text, maybe with lone surrogates; None if it is absent or not text."""

    def version(self, path: str) -> str:
        """An ID of a file's content: equal for equal contents; "" if it is absent."""


class _Import(NamedTuple):
    """One name of an import statement; of `import a.b`, the name is ""."""

    level: int
    module: str
    name: str

    def __str__(self) -> str:
        module = "." * self.level + self.module
        return f"from {module} import {self.name}" if self.name else f"import {module}"


class _Module(NamedTuple):
    """A module's imports and names. This is smaller than its syntax tree, of which few fit in
    memory.

    imports: each with the first line on which its failure is not caught; 0 if it always is.
    names: those bound at its top level; None if it may bind any name.
    """

    imports: dict[_Import, int]
    names: frozenset[str] | None


class Tree:
    """A snapshot as Python sees it: modules and the names they bind.

    read: modules by the ID of their content, which the sides of a merge mostly share; None for a
        file that is not Python.
    """

    def __init__(self, snapshot: Snapshot, read: dict[str, _Module | None]) -> None:
        self.paths = frozenset(snapshot.paths)
        self.text = snapshot.text
        self.version = snapshot.version
        self._read = read
        self._homes: dict[str, list[str]] = {}

    def module(self, path: str) -> _Module | None:
        """A module; None if it is absent or cannot be read."""
        version = self.version(path)
        if version not in self._read:
            self._read[version] = _module(self.text(path))
        return self._read[version]

    def binds(self, path: str, name: str) -> bool:
        """Whether the module exists and binds a name, or may bind it."""
        if path not in self.paths:
            return False
        # Most names are bound at the start of a line. Parsing every module instead makes the
        # search for unsound files 1.1 to 1.8 times as long on upgrades of LiteLLM.
        if self.version(path) not in self._read:
            text = "\n" + (self.text(path) or "")
            starts = ("def {}(", "async def {}(", "class {}(", "class {}:", "{} = ", "{}: ")
            if any(f"\n{start.format(name)}" in text for start in starts):
                return True
        module = self.module(path)
        return module is None or module.names is None or name in module.names

    def resolves(self, path: str, wanted: _Import) -> bool | None:
        """Whether an import in a file leads somewhere; None if it leads out of the repository."""
        bases = self._bases(path, wanted)
        if bases is None:
            return False
        return any(self._offers(base, wanted.name) for base in bases) if bases else None

    def ground(self, path: str, wanted: _Import) -> list[tuple[str, bool, bool]]:
        """Everything that decides whether an import leads somewhere, without reading any file."""
        return [
            (
                self.version(self._file(base)),
                base in self._folders,
                self._is_module(_join(base, wanted.name)),
            )
            for base in self._bases(path, wanted) or ()
        ]

    def _bases(self, path: str, wanted: _Import) -> list[str] | None:
        """Where an imported module may be; None if it would be above the top."""
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
        package = _join(base, "__init__.py")
        return package if package in self.paths else f"{base}.py"

    def _offers(self, base: str, name: str) -> bool:
        """Whether a module or package exists and contains a name."""
        if name in ("", "*"):
            return self._is_module(base)
        package = base in self._folders and self._is_module(_join(base, name))
        return package or self.binds(self._file(base), name)

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
        """The folders in which Python looks for top-level modules."""
        packages = {p.rpartition("/")[0] for p in self.paths if p.endswith("/__init__.py")}
        return {"", "src"} | {p.rpartition("/")[0] for p in packages} - packages


def _join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def trees(snapshots: Sequence[Snapshot]) -> list[Tree]:
    """The trees of one merge's snapshots; equal files are read once."""
    read: dict[str, _Module | None] = {}
    return [Tree(snapshot, read) for snapshot in snapshots]


def affected(
    changed: Sequence[str],
    deleted: Sequence[str],
    result: Tree,
    sides: Sequence[Tree],
    importers: Callable[[Sequence[str], Sequence[str]], set[str]],
) -> set[str]:
    """The files that may have used what the result lost.

    changed, deleted: the files to compare, and those that a side has and the result lacks.
    importers: returns which of some files of the result may import one of some names.
    """
    lost: dict[str, set[tuple[Tree, ...]]] = {}  # each name with the sides that never had it
    for path in changed:
        olds = [side for side in sides if side.version(path) not in ("", result.version(path))]
        module = result.module(path) if path.endswith(".py") and olds else None
        if module is None or module.names is None:
            continue
        for name in {
            name for side in olds if (old := side.module(path)) for name in old.names or ()
        } - module.names:
            without = tuple(side for side in sides if not side.binds(path, name))
            lost.setdefault(name, set()).add(without)
    for path in deleted:
        file = PurePosixPath(path)
        if file.suffix == ".py":
            name = file.parent.name if file.name == "__init__.py" else file.stem
            without = tuple(side for side in sides if path not in side.paths)
            lost.setdefault(name, set()).add(without)
    withouts = set[tuple[Tree, ...]]().union(*lost.values())
    # On a side that never had the name, the file never used it.
    suspects = [
        path
        for path in result.paths
        if path.endswith(".py")
        and any(
            all(side.version(path) != result.version(path) for side in without)
            for without in withouts
        )
    ]
    return importers(sorted(lost), suspects) if suspects else set()


def dangling(
    path: str,
    result: Tree,
    sides: Sequence[Tree],
    name_on: Callable[[int, str], str] = lambda side, path: path,
) -> list[tuple[int, str]]:
    """The imports of a file that lead nowhere but did lead somewhere on each side that has them:
    the line of each, and what is wrong with it.

    name_on: the path of a file of the result on a side, by its number.
    """
    same = [side for side in sides if side.version(path) == result.version(path)]

    def leads_nowhere(wanted: _Import) -> bool:
        # The same import on the same ground leads to the same place. Reading the modules instead
        # makes the search for unsound files 1.2 to 2.2 times as long on upgrades of LiteLLM.
        ground = result.ground(path, wanted)
        if any(side.ground(path, wanted) == ground for side in same):
            return False
        # An import out of the repository is fine, unless a side has the module inside.
        resolves = result.resolves(path, wanted)
        return not resolves and (
            resolves is False or any(side.resolves(path, wanted) for side in sides)
        )

    if not path.endswith(".py"):
        return []
    stated = _module(_statements(result.text(path) or ""))
    if stated and not any(map(leads_nowhere, stated.imports)):
        return []
    module = result.module(path)
    names = [(side, name_on(number, path)) for number, side in enumerate(sides)]
    befores = [(side, name, side.module(name)) for side, name in names if name in side.paths]
    if module is None or any(before is None for *_, before in befores):
        return []
    broken = []
    for wanted, line in module.imports.items():
        held = [(side, name) for side, name, m in befores if m and wanted in m.imports]
        if line and leads_nowhere(wanted) and all(side.resolves(n, wanted) for side, n in held):
            exists = result.resolves(path, wanted._replace(name=""))
            missing = "no such name in the module" if exists else "no such module"
            broken.append((line, f"{wanted}: {missing}"))
    return broken


def _statements(text: str) -> str:
    """Every import statement of a text, and maybe more; the whole text if we cannot be sure.

    Most files need no more. Parsing all of them instead makes the search for unsound files 1.1 to
    2.3 times as long on upgrades of LiteLLM.
    """
    statements = _STATEMENT.findall(text)
    return "\n".join(statements) if len(statements) == len(_IMPORT.findall(text)) else text


def _module(text: str | None) -> _Module | None:
    """A text as a Python module; None if it cannot be parsed."""
    with suppress(ValueError, RecursionError, MemoryError):
        tree = None if text is None or too_long("x.py", text) else parsed(clean(text))
        if isinstance(tree, ast.Module):
            return _Module(_imports(tree), _bound(tree))
    return None


def _imports(tree: ast.Module) -> dict[_Import, int]:
    """The imports of a module, each with the first line on which its failure is not caught; 0 if it
    always is."""
    lines_of: dict[_Import, int] = {}
    waiting: list[tuple[ast.AST, bool]] = [(tree, False)]
    while waiting:
        node, caught = waiting.pop()
        if isinstance(node, ast.Import | ast.ImportFrom):
            for alias in node.names:
                wanted = _Import(0, alias.name, "")
                if isinstance(node, ast.ImportFrom):
                    wanted = _Import(node.level, node.module or "", alias.name)
                lines = {lines_of.get(wanted, 0), 0 if caught else node.lineno} - {0}
                lines_of[wanted] = min(lines, default=0)
        # Statements and handlers only: expressions cannot contain imports.
        for field in _BLOCKS.intersection(node._fields):
            inner = caught or (field not in ("orelse", "finalbody") and _catches(node))
            waiting += [(child, inner) for child in getattr(node, field)]
    return lines_of


def _catches(node: ast.AST) -> bool:
    """Whether a statement survives a failing import in it: try, with suppress(ImportError)."""
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
    """The names at a module's top level; None if they cannot be known."""
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


def clean(text: str) -> str:
    """A text without encoding artefacts: a byte order mark, bytes that are not UTF-8.

    Raises ValueError for null bytes: that is not text, and parsers disagree about it.
    """
    if "\0" in text:
        raise ValueError("null bytes")
    return text.removeprefix("\ufeff").encode("utf-8", "replace").decode()


@lru_cache(maxsize=2)  # we read a file's names first, then its imports
def parsed(text: str) -> ast.Module | SyntaxError:
    """A cleaned text as Python.

    Raises what ast.parse raises if it cannot decide: ValueError, RecursionError, MemoryError.
    """
    try:
        return ast.parse(text)
    except SyntaxError as error:
        return error
