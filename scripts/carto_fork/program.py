"""What makes a task of a function, and a command of all tasks: `carto-fork`."""

from __future__ import annotations

import functools
import inspect
import re
import sys
from collections.abc import Callable, Container, Sequence
from types import ModuleType
from typing import Any

import invoke.tasks
from invoke.collection import Collection
from invoke.context import Context
from invoke.exceptions import ParseError
from invoke.program import Program

from .run.errors import ExitCode

_REPO = "The fork's clone; default: $CARTO_FORK_REPO, else the current directory."
_VERBOSE = "Print the questions that are asked of git and gh, too, not only what changes something."
_JSON = "Print the result as JSON on standard output; everything else goes to standard error."

FORMER = {
    "init": "fork.init",
    "adopt": "fork.adopt",
    "config": "fork.config",
    "heal": "fork.heal",
    "drift": "fork.inventory --section drift",
    "dropped": "fork.inventory --section absorbed",
    "features": "fork.inventory --section features",
    "feature": "branch.start",
    "pr": "branch.pr",
    "recover": "branch.recover",
    "detect": "ci.detect",
    "upstream-sync": "ci.sync",
    "guard": "ci.guard",
    "notify": "ci.notify",
    "images": "ci.images",
    "sync-pr": "step.sync-pr",
    "record-tag": "step.record-tag",
    "write-adopted": "step.write-adopted",
    "release-notes": "step.release-notes",
    "drop --path": "verify --drop",
    "guide --next": "next",
}
"""What earlier versions called a task, and what it is called now; `carto-fork` still takes both."""


def task(
    group: str = "",
    /,
    *,
    repo: bool = True,
    json: bool = True,
    iterable: Sequence[str] = (),
    **help_texts: str,
) -> Callable[[Callable[..., None]], Any]:
    """A task of a function that is given a session and its options.

    All values are options: invoke would take `--tagg v1` for two positionals.

    group: what its name begins with, before a dot. repo: whether it works on a fork. json: whether
    its result can be had as JSON. iterable: options that may be given several times.
    """
    texts = {"repo": _REPO} if repo else {}
    texts |= help_texts | ({"json": _JSON} if json else {}) | {"verbose": _VERBOSE}

    def made(body: Callable[..., None]) -> Any:
        _, *own = inspect.signature(body).parameters.values()
        defaults = {option.name: option.default for option in own}
        task_name = ".".join(filter(None, (group, body.__name__.replace("_", "-"))))

        @functools.wraps(body)
        def run(c: Context, **given: Any) -> None:
            from .fork.session import session

            options = {name: given[name] for name in defaults}
            changed = {name: value for name, value in options.items() if value != defaults[name]}
            words = {
                f"no_{name}" if value is False else name: value is False or value
                for name, value in changed.items()
            }
            with session(
                c, task_name, as_json=given.get("json", False), repo=given.get("repo", ""), **words
            ) as s:
                s.sh.asking = s.console.question if given["verbose"] else None
                body(s, **options)

        common = [_option("c", inspect.Parameter.empty)]
        common += [option for option in own if option.default is option.empty]
        common += [_option("repo", "")] if repo else []
        common += [option for option in own if option.default is not option.empty]
        common += [_option("json", False)] if json else []
        common += [_option("verbose", False)]
        run.__signature__ = inspect.Signature(common)  # type: ignore[attr-defined]
        found = invoke.tasks.task(
            positional=[], auto_shortflags=False, iterable=list(iterable), help=texts
        )(run)
        found.group = group
        return found

    return made


def _option(name: str, default: object) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=default)


def gathered(module: ModuleType) -> Collection:
    """The tasks of a module in their groups, in the order in which they are written."""
    everything = Collection()
    for found in vars(module).values():
        if isinstance(found, invoke.tasks.Task):
            group: str = found.group  # type: ignore[attr-defined]
            if group and group not in everything.collections:
                everything.add_collection(Collection(group))
            (everything.collections[group] if group else everything).add_task(found)
    return everything


def renamed(words: Sequence[str], tasks: Container[str]) -> tuple[list[str], str]:
    """A command line by the names of today, and what it is to be called; "" if it is already.

    words: a task and its options. tasks: the names of all tasks.
    """
    for former, name in FORMER.items():
        (task, *option), (now, *more) = former.split(), name.split()
        given = {word.partition("=")[0] for word in words}
        if words[:1] != [task] or (task in tasks and not given.issuperset(option)):
            continue
        if not option:
            return [now, *more, *words[1:]], f"`{former}` is `{name}` now."
        new = (re.sub(rf"^{option[0]}(?==|$)", "".join(more), word) for word in words[1:])
        return [now, *filter(None, new)], f"`{former}` is `{name}` now."
    return [*words], ""


class TaskProgram(Program):
    """Invoke's program without its options for finding tasks, which also takes tasks' former
    names; a wrong command line ends with this product's exit code for that."""

    def parse_tasks(self) -> None:
        """Read the command line, or end."""
        names = self.collection.task_names
        self.core.unparsed, note = renamed(self.core.unparsed, names)
        asked = self.args.help
        if isinstance(asked.value, str):
            [asked.value, *_], note = renamed([asked.value], names)
        if note:
            print(note, file=sys.stderr)
        try:
            super().parse_tasks()
        except ParseError as error:
            print(error, file=sys.stderr)
            sys.exit(ExitCode.USAGE)
