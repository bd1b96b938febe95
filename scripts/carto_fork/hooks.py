"""The hook that checks what a clone pushes: where it belongs, what is there, how it gets there."""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from . import files, git
from .fork import Fork
from .shell import Shell

SOURCE = Path(__file__).with_name("hooks") / "pre-push"
"""The hook's text; git's setting carto-fork.guard tells it what to call."""


class There(Enum):
    """What lies where the hook belongs."""

    NOTHING = "nothing"
    OURS = "ours"
    OTHER = "another hook"
    SHARED = "in a directory of hooks that is not this clone's alone"


@dataclass(frozen=True)
class Hook:
    """The hook of a clone: its absolute path, and what is there."""

    path: Path
    there: There


def find(sh: Shell, fork: Fork) -> Hook:
    """The hook of a clone, wherever git looks for it (core.hooksPath)."""
    path = git.path_of(sh, fork.path, "hooks/pre-push")
    if path.is_file() and _is_ours(path):
        return Hook(path, There.OURS)
    if not path.resolve().is_relative_to(fork.repository.common.resolve()):
        return Hook(path, There.SHARED)
    return Hook(path, There.OTHER if os.path.lexists(path) else There.NOTHING)


def _is_ours(path: Path) -> bool:
    """Whether a hook calls the guard, in whatever words."""
    text = files.read_text(path)
    return "guard --pre-push" in text or "carto-fork.guard" in text


def values(fork: Fork, hook: Hook, guard: str) -> dict[str, str]:
    """What the placeholders of `procedures.HOOK` stand for.

    guard: the command line that the hook is to run, from anywhere.
    """
    return fork.values() | {
        "guard": guard,
        "hooks": str(git.nearest(hook.path.parent)),
        "hook": str(git.nearest(hook.path)),
        "shipped": str(SOURCE),
    }
