"""What makes a task of a function, and a command of all tasks: `carto-fork`."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Sequence
from typing import Any

import invoke.tasks
from invoke.context import Context
from invoke.exceptions import ParseError
from invoke.program import Program

from .run.errors import ExitCode

_REPO = "The fork's clone; default: $CARTO_FORK_REPO, else the current directory."
_VERBOSE = "Print the questions that are asked of git and gh, too, not only what changes something."
_JSON = "Print the result as JSON on standard output; everything else goes to standard error."


def task(
    *, repo: bool = True, json: bool = True, iterable: Sequence[str] = (), **help_texts: str
) -> Callable[[Callable[..., None]], Any]:
    """A task of a function that is given a session and its options.

    All values are options: invoke would take `--tagg v1` for two positionals.

    repo: whether it works on a fork. json: whether its result can be had as JSON. iterable: options
    that may be given several times.
    """
    texts = {"repo": _REPO} if repo else {}
    texts |= help_texts | ({"json": _JSON} if json else {}) | {"verbose": _VERBOSE}

    def made(body: Callable[..., None]) -> Any:
        _, *own = inspect.signature(body).parameters.values()
        defaults = {option.name: option.default for option in own}
        name = body.__name__.replace("_", "-")

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
                c, name, as_json=given.get("json", False), repo=given.get("repo", ""), **words
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
        return invoke.tasks.task(
            positional=[], auto_shortflags=False, iterable=list(iterable), help=texts
        )(run)

    return made


def _option(name: str, default: object) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=default)


class TaskProgram(Program):
    """Invoke's program without its options for finding tasks; a wrong command line ends with this
    product's exit code for that."""

    def parse_tasks(self) -> None:
        """Read the command line, or end."""
        try:
            super().parse_tasks()
        except ParseError as error:
            print(error, file=sys.stderr)
            sys.exit(ExitCode.USAGE)
