"""The hook that checks what a clone pushes: where it belongs, what is there, how it gets there."""

from __future__ import annotations

import os
import shlex
import shutil
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from ..fork.fork import Fork
from ..run import files, git
from ..run.shell import Shell
from ..run.steps import Step

HOOK = Step(
    "hook",
    "Let git ask `guard` before it pushes.",
    run=(
        "git -C {repo} config carto-fork.guard {guard}",
        "mkdir -p {hooks}",
        "install -m 755 {shipped} {hook}",
    ),
)


SOURCE = Path(__file__).with_name("hooks") / "pre-push"
"""The hook's text; git's setting carto-fork.guard tells it what to call."""


class There(Enum):
    """What lies where the hook belongs."""

    NOTHING = "nothing"
    OURS = "ours"
    STALE = "ours, and the git setting that tells it what to call is missing or out of date"
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
    text = files.read_text(path) if path.is_file() else ""
    if _SETTING in text and not _calls_guard(fork.home, fork.settings.get(_SETTING, [""])[-1]):
        return Hook(path, There.STALE)
    if _SETTING in text or "guard --pre-push" in text:
        return Hook(path, There.OURS)
    if not path.resolve().is_relative_to(fork.repository.common.resolve()):
        return Hook(path, There.SHARED)
    return Hook(path, There.OTHER if os.path.lexists(path) else There.NOTHING)


_SETTING = "carto-fork.guard"


def _calls_guard(top: Path, line: str) -> bool:
    """Whether a command line calls `guard`, and what it names by a path is there.

    top: where git runs hooks, the top of the work tree.
    """
    try:
        words = [os.path.expandvars(os.path.expanduser(word)) for word in shlex.split(line)]
    except ValueError:
        return False
    if "guard" not in words:
        return False
    named = [word.rpartition("=")[2] for word in words[1:]]
    paths = [top / name for name in named if name.startswith("/")]
    program = words[0]
    there = (top / program).exists() if "/" in program else shutil.which(program) is not None
    return there and all(path.exists() for path in paths)


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
