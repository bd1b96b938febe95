"""The program itself, as tests look at it: its modules, and the steps in them."""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType

import carto_fork
from carto_fork.run.steps import Step


def modules() -> list[ModuleType]:
    """All modules of the package, by name."""
    found = pkgutil.walk_packages(carto_fork.__path__, "carto_fork.")
    return [importlib.import_module(module.name) for module in found]


def procedures() -> dict[str, tuple[Step, ...]]:
    """The procedures of all modules, by the names that they have where they are written."""
    found: dict[str, tuple[Step, ...]] = {}
    for module in modules():
        for name, value in vars(module).items():
            steps = isinstance(value, tuple) and bool(value) and isinstance(value[0], Step)
            if steps and not name.startswith("_"):
                found.setdefault(name, value)
    return found
