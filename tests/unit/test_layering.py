"""The house rules: who may import what, who may start processes, who may print."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "scripts" / "carto_fork"

# The layers, lowest first. A module imports from layers below its own, and from its own only what
# WITHIN_A_LAYER says.
LAYERS = {
    "pure": {
        "actions",
        "conventional",
        "cures",
        "drops",
        "errors",
        "evidence",
        "fates",
        "files",
        "hunks",
        "images",
        "invocation",
        "markdown",
        "memory",
        "pins",
        "policy",
        "release_notes",
        "rulebook",
        "sandbox_history",
        "soundness",
        "standin_state",
        "structured",
        "tags",
        "templates",
        "text",
        "versions",
    },
    "door": {"console", "shell"},
    "questions": {
        "conflicts",
        "customisations",
        "git",
        "github",
        "journal",
        "migrations",
        "sandbox",
        "slack",
        "standin_repository",
        "stray",
    },
    "stand-in": {"standin", "standin_gh", "standin_graphql", "standin_rest", "standin_server"},
    "machine": {"ancestry", "decisions", "fork", "ledger", "markers", "steps"},
    "release": {
        "bump",
        "detect",
        "dossier",
        "hooks",
        "inventory",
        "knowledge",
        "survey",
        "target",
        "verify",
    },
    "capability": {
        "ailments",
        "forecast",
        "healing",
        "mirror",
        "procedures",
        "resolve",
        "status",
        "syncs",
    },
    "upgrade": {
        "ailments_github",
        "ailments_merges",
        "ailments_releases",
        "ailments_repository",
        "docs",
        "pull_request",
        "release",
        "upgrade",
    },
    "top": {"adoption", "advice", "report", "session"},
    "commands": {
        "adopting",
        "commands",
        "detecting",
        "doctor",
        "guarding",
        "guide",
        "initiating",
        "notifying",
        "publishing",
        "recovering",
        "reviewing",
        "syncing",
        "tour",
    },
    "tasks": {"tasks"},
    "program": {"program"},
}
WITHIN_A_LAYER = {
    ("actions", "errors"),
    ("policy", "errors"),
    ("tags", "errors"),
    ("tags", "policy"),
} | {
    ("markdown", "text"),
    ("standin_graphql", "standin"),
    ("standin_graphql", "standin_rest"),
    ("standin_rest", "standin"),
    ("standin_server", "standin"),
    ("standin_server", "standin_rest"),
    ("standin_server", "standin_graphql"),
    ("standin_gh", "standin"),
    ("standin_gh", "standin_server"),
    ("adopting", "publishing"),
    ("advice", "adoption"),
    ("report", "advice"),
    ("versions", "errors"),
    ("drops", "errors"),
    ("errors", "text"),
    ("syncing", "commands"),
    ("syncing", "notifying"),
    ("tour", "commands"),
    ("pins", "errors"),
    ("images", "errors"),
    ("images", "policy"),
    ("release_notes", "conventional"),
    ("release_notes", "markdown"),
    ("release_notes", "text"),
    ("rulebook", "markdown"),
    ("rulebook", "policy"),
    ("evidence", "fates"),
    ("evidence", "hunks"),
    ("evidence", "policy"),
    ("files", "hunks"),
    ("memory", "hunks"),
    ("conflicts", "git"),
    ("customisations", "git"),
    ("stray", "git"),
}

# Modules that promise more than their layer asks: they import these and nothing else of ours.
NARROW: dict[str, set[str]] = {
    "errors": {"text"},
    "templates": set(),
    "text": set(),
    "files": {"hunks"},
    "evidence": {"fates", "hunks", "policy"},
    "hunks": set(),
    "actions": {"errors"},
    "conventional": set(),
    "images": {"errors", "policy"},
    "release_notes": {"conventional", "markdown", "text"},
    "rulebook": {"markdown", "policy"},
    "cures": set(),
    "github": {"cures", "errors", "shell"},
    "markdown": {"text"},
    "pins": {"errors"},
    "standin_state": set(),
    "standin_repository": {"shell", "standin_state"},
    "standin": {"shell", "standin_repository", "standin_state"},
    "standin_rest": {"standin", "standin_repository", "standin_state"},
    "standin_graphql": {"standin", "standin_repository", "standin_rest", "standin_state"},
    "standin_server": {"standin", "standin_graphql", "standin_rest", "standin_state"},
    "standin_gh": {"errors", "shell", "standin", "standin_server"},
    "invocation": set(),
    "sandbox_history": set(),
    "console": {"text"},
    "policy": {"errors"},
    "versions": {"errors"},
    "tags": {"errors", "policy"},
    "shell": {"errors"},
    "git": {"errors", "shell"},
    "journal": {"errors", "shell"},
    "fates": set(),
    "soundness": set(),
    "structured": set(),
    "memory": {"hunks"},
    "drops": {"errors"},
    "customisations": {"drops", "evidence", "fates", "git", "pins", "shell"},
    "conflicts": {"evidence", "files", "git", "hunks", "memory", "policy", "shell"},
    "decisions": {
        "drops",
        "evidence",
        "fates",
        "hunks",
        "memory",
        "policy",
        "structured",
        "text",
    },
    "ledger": {"drops", "evidence", "fates", "git", "policy", "shell"},
    "ancestry": {"evidence", "git", "shell"},
    "steps": {"console", "cures", "errors", "journal", "shell"},
    "procedures": {"steps"},
    "guide": {"advice", "console", "docs", "errors", "policy", "session"},
    "slack": {"text"},
    "notifying": {"actions", "errors", "markdown", "session", "slack"},
    "migrations": {"shell"},
    "stray": {"git", "shell", "text"},
    "tasks": {
        "adopting",
        "commands",
        "detecting",
        "doctor",
        "guarding",
        "guide",
        "initiating",
        "notifying",
        "publishing",
        "recovering",
        "resolve",
        "reviewing",
        "session",
        "survey",
        "syncing",
        "tour",
        "upgrade",
    },
    "program": {"errors", "tasks"},
}

# What of invoke a module may use.
INVOKE = {
    "errors": {"invoke.exceptions"},
    "shell": {"invoke.context", "invoke.runners"},
    "session": {"invoke.context"},
    "standin_gh": {"invoke.context"},
    "tasks": {
        "invoke.collection",
        "invoke.context",
        "invoke.executor",
        "invoke.parser",
        "invoke.parser.context",
        "invoke.tasks",
    },
    "program": {"invoke.exceptions", "invoke.program"},
}

# Who prints: results for scripts, lines to paste under --dry, and two programs of their own.
# Everything else that people read goes through Console.
PRINTS = {
    "console": {"row"},
    "session": {"print_json"},
    "standin_gh": {"main"},
    "shell": {"show"},
    "program": {"parse_tasks"},
    "docs": {"main"},
}

PROCESS_NAMES = ("popen", "system", "startfile", "fork", "forkpty")
PROCESS_PREFIXES = ("exec", "spawn", "posix_spawn")
PROCESS_MODULES = {"subprocess", "_posixsubprocess", "multiprocessing", "pty", "commands"}


def _trees() -> dict[str, ast.Module]:
    return {path.stem: ast.parse(path.read_bytes()) for path in sorted(PACKAGE.glob("*.py"))}


TREES = _trees()
MODULES = sorted(TREES)


def _imports(tree: ast.AST) -> tuple[set[str], set[str]]:
    """The modules of the package, and the other modules, that any line of a module imports."""
    own: set[str] = set()
    others: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            others |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level:
            assert node.level == 1, "the package has no packages inside"
            names = {alias.name for alias in node.names} - {"__version__"}
            own |= {node.module} if node.module else names
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            others |= {node.module, *(name for name in names if name in _PACKAGES_INSIDE)}
    return own, others


_PACKAGES_INSIDE = {"os.path", "importlib.resources", "importlib.metadata"}


OWN = {name: _imports(tree)[0] for name, tree in TREES.items()}
OTHERS = {name: _imports(tree)[1] for name, tree in TREES.items()}


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


def test_every_module_has_one_layer() -> None:
    placed = [module for modules in LAYERS.values() for module in modules]
    assert sorted([*placed, "__init__"]) == MODULES


def test_a_module_imports_only_from_below() -> None:
    below: set[str] = set()
    offenders = {}
    for modules in LAYERS.values():
        for module in modules:
            beside = {other for one, other in WITHIN_A_LAYER if one == module}
            offenders[module] = OWN[module] - below - beside
        below |= modules
    assert _of(offenders) == {}


def test_a_narrow_module_imports_only_what_it_may() -> None:
    assert _of({module: OWN[module] - may for module, may in NARROW.items()}) == {}


def _of(offenders: dict[str, set[str]]) -> dict[str, set[str]]:
    """The modules that break a rule, with what breaks it."""
    return {module: what for module, what in offenders.items() if what}


def test_the_package_itself_imports_nothing() -> None:
    assert OWN["__init__"] == set()


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
    assert {"tags", "versions", "hunks", "decisions", "invocation"} <= set(pure)
    assert {name: "shell" in _reached(name) for name in pure} == dict.fromkeys(pure, False)


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


def test_only_the_slack_module_uses_the_network() -> None:
    """Everything else goes through git and gh."""
    modules = {"http.client", "requests", "urllib.request", "urllib3"}
    assert {name for name in MODULES if modules & OTHERS[name]} == {"slack"}


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


def test_only_the_shell_module_starts_processes() -> None:
    assert _of({module: _doors(module) for module in MODULES}) == {"shell": {"subprocess"}}


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
    assert quoting == {"shell", "steps", "invocation", "files"}


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
