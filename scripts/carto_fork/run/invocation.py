"""How this program was called, so that a message can name the next command to type. Pure."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

# Of invoke's own options that take the next word as their value: those that decide which tasks are
# found, and the others.
_LOCATION = ("-c", "--collection", "-r", "--search-root", "-f", "--config")
_OTHER = ("-T", "--command-timeout", "-D", "--list-depth", "-F", "--list-format", "--hide")


def program(argv: Sequence[str]) -> str:
    """What a person types before the name of a task, such as ``invoke`` or ``carto-fork``.

    argv: as in `sys.argv`. Of invoke's options only those stay that say where the tasks are.
    """
    words = _executable(argv[0])
    options = iter(argv[1:])
    for option in options:
        if not option.startswith("-"):
            break
        if option in _LOCATION:
            words += [option, next(options, "")]
        elif option.startswith(tuple(f"{name}=" for name in _LOCATION)):
            words.append(option)
        elif option in _OTHER:
            next(options, "")
    return shlex.join(words)


def guard(argv: Sequence[str]) -> str:
    """The command line that checks what is pushed, for a hook."""
    return f"{anywhere(argv)} guard --pre-push"


def anywhere(argv: Sequence[str]) -> str:
    """What starts this program from any directory, for files that others run, such as hooks."""
    path = Path(argv[0]).absolute()
    words = [sys.executable, "-m", path.parent.name] if path.name == "__main__.py" else [str(path)]
    if Path(words[-1]).name.startswith("carto-fork"):
        return shlex.join(words)
    given = [part for word in argv[1:] for part in _parted(word)]
    paths = {"-r", "--search-root", "-f", "--config"}
    kept = [
        word
        for option, value in pairwise(given)
        if option in _LOCATION
        for word in (option, os.path.abspath(value) if option in paths else value)
    ]
    if not {"-r", "--search-root"} & set(kept):
        kept += ["--search-root", os.getcwd()]
    return shlex.join([*words, *kept])


def _parted(word: str) -> list[str]:
    """An option that says where the tasks are, and its value, as two words."""
    return word.split("=", 1) if word.startswith(tuple(f"{x}=" for x in _LOCATION)) else [word]


def _executable(path: str) -> list[str]:
    """The shortest words that start the same program from the current directory."""
    if Path(path).name == "__main__.py":
        return [_on_path(sys.executable), "-m", Path(path).parent.name]
    return [_on_path(path)]


def _on_path(program: str) -> str:
    """The name alone where a shell finds this very program by it, else the shorter path."""
    name = Path(program).name
    found = shutil.which(name)
    if found and os.path.realpath(found) == os.path.realpath(program):
        return name
    here = os.path.relpath(program)
    if here.startswith(".."):
        return program
    return here if os.sep in here else f".{os.sep}{here}"


def command(program: str, task: str, **options: str | bool | Sequence[str]) -> str:
    """A task's command line; options that are empty or False are left out, and one with several
    values is repeated."""
    words = [task]
    for name, value in options.items():
        flag = f"--{name.replace('_', '-')}"
        if value is True:
            words.append(flag)
        elif value:
            values = [value] if isinstance(value, str) else value
            words += [word for one in values for word in (flag, one)]
    return f"{program} {shlex.join(words)}"
