"""The hook that checks what a clone pushes: where it belongs, what is there, how it gets there."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from . import files, git
from .fork import Fork
from .shell import Shell
from .steps import Plan, Step

SOURCE = Path(__file__).with_name("adopted") / "pre-push"
"""The hook's text."""


class There(Enum):
    """What lies where the hook belongs."""

    NOTHING = "nothing"
    OURS = "ours"
    OTHER = "another hook"
    SHARED = "a directory of hooks that is not this clone's alone"


@dataclass(frozen=True)
class Hook:
    """The hook of a clone: its absolute path, and what is there."""

    path: Path
    there: There


INSTALL = (
    Step(
        "hook",
        "Let git check what this clone pushes to the production branch.",
        run=("mkdir -p {hooks}", "install -m 755 {hook_source} {hook}"),
        untouched="Nothing but the hook is missing.",
    ),
)


def find(sh: Shell, fork: Fork) -> Hook:
    """The hook of a clone, wherever git looks for it (core.hooksPath)."""
    path = git.path_of(sh, fork.path, "hooks/pre-push")
    if not path.resolve().is_relative_to(fork.repository.common.resolve()):
        ours = path.is_file() and _is_ours(path)
        return Hook(path, There.OURS if ours else There.SHARED)
    if not path.exists() and not path.is_symlink():
        return Hook(path, There.NOTHING)
    return Hook(path, There.OURS if path.is_file() and _is_ours(path) else There.OTHER)


def _is_ours(path: Path) -> bool:
    """Whether a hook calls the guard, in whatever words."""
    return "guard --pre-push" in files.read_text(path)


def plan(fork: Fork, hook: Hook) -> Plan:
    """The plan for putting the hook where there is none."""
    values = fork.values() | {
        "hooks": str(git.nearest(hook.path.parent)),
        "hook": str(git.nearest(hook.path)),
        "hook_source": str(SOURCE),
    }
    return Plan(values, frozenset())
