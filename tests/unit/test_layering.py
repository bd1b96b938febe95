"""The house rules: who may start processes, who may print. The rooms' order is import-linter's."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "scripts" / "carto_fork"

# What of invoke a module may use.
INVOKE = {
    "run.errors": {"invoke.exceptions"},
    "run.programs": {"invoke.runners"},
    "run.shell": {"invoke.context"},
    "fork.session": {"invoke.context"},
    "program": {
        "invoke.collection",
        "invoke.context",
        "invoke.exceptions",
        "invoke.parser.argument",
        "invoke.parser.context",
        "invoke.program",
        "invoke.tasks",
        "invoke.util",
    },
}

# Who prints: results for scripts, lines to paste under --dry, and two programs of their own.
# Everything else that people read goes through Console.
PRINTS = {
    "run.console": {"foreign", "_print"},
    "fork.session": {"print_json"},
    "run.shell": {"show"},
    "program": {
        *("_explained", "parse_tasks", "print_help", "list_tasks", "_print_group"),
        "print_task_help",
    },
    "adopt.documents": {"main"},
    "start": {"_end"},
}

PROCESS_NAMES = ("popen", "system", "startfile", "fork", "forkpty")
PROCESS_PREFIXES = ("exec", "spawn", "posix_spawn")
PROCESS_MODULES = {"subprocess", "_posixsubprocess", "multiprocessing", "pty", "commands"}


def _name(path: Path) -> str:
    """A module's name inside the package; "" for the package itself."""
    return (
        ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        .removesuffix("__init__")
        .strip(".")
    )


TREES = {_name(path): ast.parse(path.read_bytes()) for path in sorted(PACKAGE.rglob("*.py"))}
MODULES = sorted(TREES)
PACKAGES = {_name(path) for path in PACKAGE.rglob("__init__.py")}


def _imports(module: str) -> tuple[set[str], set[str]]:
    """The modules of the package, and the other modules, that any line of a module imports."""
    own: set[str] = set()
    others: set[str] = set()
    here = module if module in PACKAGES else module.rpartition(".")[0]
    for node in ast.walk(TREES[module]):
        if isinstance(node, ast.Import):
            others |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level:
            above = here.split(".")[: len(here.split(".")) - node.level + 1] if here else []
            base = ".".join(filter(None, [*above, node.module or ""]))
            names = {".".join(filter(None, [base, alias.name])) for alias in node.names}
            own |= names & TREES.keys() if base in PACKAGES else {base}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            others |= {node.module, *(name for name in names if name in _PACKAGES_INSIDE)}
    return own, others


_PACKAGES_INSIDE = {"os.path", "importlib.resources", "importlib.metadata"}


OWN = {name: _imports(name)[0] for name in TREES}
OTHERS = {name: _imports(name)[1] for name in TREES}


def _scopes(tree: ast.AST, name: str = "") -> Iterator[tuple[str, ast.AST]]:
    """Every node with the name of the function that it stands in."""
    for child in ast.iter_child_nodes(tree):
        inner = child.name if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) else name
        yield inner, child
        yield from _scopes(child, inner)


def _dotted(node: ast.expr) -> str:
    """``os.path.join`` for the expression of that name; "" for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (left := _dotted(node.value)):
        return f"{left}.{node.attr}"
    return ""


# --- Who imports what ----------------------------------------------------------------------------


def test_every_room_says_what_belongs_there() -> None:
    rooms = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert rooms == {path.name for path in PACKAGE.iterdir() if list(path.glob("*.py"))}
    said = {room: (ast.get_docstring(TREES[room]) or "").count("\n") for room in rooms}
    assert {room for room, lines in said.items() if not lines} == set()


def _of(offenders: dict[str, set[str]]) -> dict[str, set[str]]:
    """The modules that break a rule, with what breaks it."""
    return {module: what for module, what in offenders.items() if what}


def test_a_package_itself_imports_nothing() -> None:
    assert _of({name: OWN[name] for name in PACKAGES}) == {}


def test_imports_inside_the_package_are_relative() -> None:
    """An import inside the package is relative, so that a copy of it never mixes with another."""
    absolute = {name: {o for o in OTHERS[name] if o.startswith("carto_fork")} for name in MODULES}
    assert {name for name, found in absolute.items() if found} == set()


def test_pure_modules_do_not_reach_the_shell() -> None:
    """A module whose docstring ends with `Pure.` reaches no module that starts processes."""
    pure = [
        name
        for name, tree in TREES.items()
        if (ast.get_docstring(tree) or "").split("\n")[0].endswith("Pure.")
    ]
    assert {"fork.tags", "merge.hunks", "merge.decisions", "run.text"} <= set(pure)
    assert {name: "run.shell" in _reached(name) for name in pure} == dict.fromkeys(pure, False)


def _reached(module: str) -> set[str]:
    reached: set[str] = set()
    waiting = [module]
    while waiting:
        for other in OWN[waiting.pop()] - reached:
            reached.add(other)
            waiting.append(other)
    return reached


def test_there_is_no_cycle() -> None:
    assert [name for name in MODULES if name in _reached(name)] == []


def test_only_the_module_of_slack_uses_the_network() -> None:
    """Everything else goes through git and gh."""
    modules = {"http.client", "requests", "urllib.request", "urllib3"}
    assert {name for name in MODULES if modules & OTHERS[name]} == {"ci.notify"}


# --- invoke --------------------------------------------------------------------------------------


def test_invoke_is_used_where_it_belongs() -> None:
    used = {
        module: {name for name in names if name.split(".")[0] == "invoke"}
        for module, names in OTHERS.items()
    }
    assert _of({module: what - INVOKE.get(module, set()) for module, what in used.items()}) == {}


def test_the_table_of_invoke_names_only_what_is_used() -> None:
    assert {module: names & OTHERS[module] for module, names in INVOKE.items()} == INVOKE


# --- Processes -----------------------------------------------------------------------------------


def test_only_two_modules_start_processes() -> None:
    doors = {"run.shell": {"subprocess"}, "run.programs": {"subprocess"}}
    assert _of({module: _doors(module) for module in MODULES}) == doors


def _doors(module: str) -> set[str]:
    """By what names a module reaches processes, or modules that nobody sees it import."""
    used = {name for name in OTHERS[module] if name.split(".")[0] in PROCESS_MODULES}
    for node in ast.walk(TREES[module]):
        if isinstance(node, ast.Attribute):
            base, _, name = _dotted(node).rpartition(".")
            if base in ("os", "asyncio") and _starts_processes(name):
                used.add(_dotted(node))
        elif isinstance(node, ast.ImportFrom) and node.module in ("os", "asyncio"):
            used |= {alias.name for alias in node.names if _starts_processes(alias.name)}
        elif isinstance(node, ast.Call) and _dotted(node.func) in ("__import__", "import_module"):
            used.add(_dotted(node.func))
    return used


def _starts_processes(name: str) -> bool:
    return name in PROCESS_NAMES or name.startswith((*PROCESS_PREFIXES, "create_subprocess"))


def test_os_and_subprocess_are_not_imported_under_an_alias() -> None:
    aliases = {
        (module, alias.name)
        for module, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
        if alias.asname and alias.name in ("os", "subprocess", "shlex", "sys")
    }
    assert aliases == set()


def test_only_the_listed_modules_quote_for_a_shell() -> None:
    """Elsewhere it is for lines that people paste; what runs is quoted in shell.py."""
    quoting = {
        module
        for module, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and _dotted(node) in ("shlex.join", "shlex.quote")
    }
    assert quoting == {"run.shell", "run.files", "fork.session"}


# --- Printing ------------------------------------------------------------------------------------


def test_only_the_listed_functions_print() -> None:
    printing = {
        module: {
            scope
            for scope, node in _scopes(tree)
            if isinstance(node, ast.Call)
            and _dotted(node.func) in ("print", "sys.stdout.write", "sys.stderr.write")
        }
        for module, tree in TREES.items()
    }
    assert _of(printing) == PRINTS


# --- Words ---------------------------------------------------------------------------------------


def test_every_public_object_has_a_docstring() -> None:
    assert [name for module in MODULES for name in _silent(module)] == []


def _silent(module: str) -> Iterator[str]:
    """What is public in a module and has no docstring."""
    if not ast.get_docstring(TREES[module]):
        yield module
    for node in TREES[module].body:
        if not isinstance(node, ast.ClassDef | ast.FunctionDef) or node.name.startswith("_"):
            continue
        if not ast.get_docstring(node):
            yield f"{module}.{node.name}"
        if isinstance(node, ast.ClassDef):
            yield from (f"{module}.{node.name}.{name}" for name in _silent_methods(node))


def _silent_methods(found: ast.ClassDef) -> list[str]:
    """Public methods without a docstring; a property's name may say all there is to say."""
    return [
        node.name
        for node in found.body
        if isinstance(node, ast.FunctionDef)
        and not node.name.startswith("_")
        and "property" not in {_dotted(decorator) for decorator in node.decorator_list}
        and not ast.get_docstring(node)
    ]
