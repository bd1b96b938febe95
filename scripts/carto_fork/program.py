"""The decorator that turns a function into a task, and the program with all tasks, `carto-fork`."""

from __future__ import annotations

import functools
import inspect
import json
import os
import re
import sys
import textwrap
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any, NamedTuple, cast

import invoke.tasks
from invoke.collection import Collection
from invoke.context import Context
from invoke.exceptions import Exit, ParseError
from invoke.parser.argument import Argument
from invoke.parser.context import to_flag
from invoke.program import Program
from invoke.util import helpline

from .run.errors import ExitCode, Stop, Usage

_ENDS = (ExitCode.DONE, ExitCode.REFUSED, ExitCode.USAGE, ExitCode.INTERRUPTED)
"""How every task may end."""
_WIDTH = 76
"""Characters in a line of a help text, which invoke indents, on a terminal of 80."""

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
"""The former names of tasks and their new ones; `carto-fork` still accepts both."""


class Option(NamedTuple):
    """An option of a task: its value unless it is given, and its help."""

    default: bool | str | list[str]
    about: str


def on(about: str) -> bool:
    """A switch that is on unless `--no-NAME` is given."""
    return cast(bool, Option(True, about))


def off(about: str) -> bool:
    """A switch that is off unless it is given."""
    return cast(bool, Option(False, about))


def text(about: str, default: str = "") -> str:
    """An option with a value."""
    return cast(str, Option(default, about))


def many(about: str) -> list[str]:
    """An option that may be given several times; its help says so."""
    return cast("list[str]", Option([], re.sub(r"(?=;|\.$)", " (repeatable)", about, count=1)))


_REPO = Option("", "The fork's clone; default: $CARTO_FORK_REPO, else the current directory.")
_JSON = Option(
    False, "Print the result as JSON on standard output; everything else goes to standard error."
)
_VERBOSE = Option(False, "Print all commands of git and gh, not only those that change something.")


def task(
    group: str = "",
    /,
    *,
    example: str = "",
    ends: Sequence[int] = (),
    repo: bool = True,
    json: bool = True,
) -> Callable[[Callable[..., None]], Any]:
    """Turn a function of a session and options into a task.

    All values are options: invoke would parse `--tagg v1` as two positionals.

    group: the part of its name before a dot. example: the options of an example in its help. ends:
    its exit codes besides those that every task has. repo: whether it works on a fork. json:
    whether it can print its result as JSON.
    """

    def made(body: Callable[..., None]) -> Any:
        _, *stated = inspect.signature(body).parameters.values()
        own: dict[str, Option] = {option.name: option.default for option in stated}
        task_name = ".".join(filter(None, (group, body.__name__.replace("_", "-"))))

        @functools.wraps(body)
        def run(c: Context, **given: Any) -> None:
            from .fork.session import session

            words = {"repo": given.get("repo", ""), **_said(own, given)}
            try:
                with session(c, task_name, as_json=given.get("json", False), **words) as s:
                    s.sh.asking = s.console.question if given["verbose"] else None
                    body(s, **{name: given[name] for name in own})
            except Stop as stop:
                from .ci import notify

                # For the job that reports how the run ended.
                notify.set_outputs(
                    {"why": f"{stop.title}: {stop.what}".partition("\n")[0].rstrip(":")}
                )
                raise

        common = {"repo": _REPO} if repo else {}
        options = own | common | ({"json": _JSON} if json else {}) | {"verbose": _VERBOSE}
        line = " ".join(filter(None, ("invoke", task_name, example)))
        run.__doc__ = _help(body.__doc__ or "", line, ends)
        run.__signature__ = _signature(options)  # type: ignore[attr-defined]
        wrapped = invoke.tasks.task(
            positional=[],
            auto_shortflags=False,
            iterable=[name for name, option in own.items() if isinstance(option.default, list)],
            help={name: option.about for name, option in options.items()},
        )(run)
        wrapped.group = group
        return wrapped

    return made


_DRY = "Every task takes --dry, too: it prints the commands, and changes nothing."


def _help(about: str, example: str, ends: Sequence[int]) -> str:
    """The help text of a task: what it does, an example, and how it may end."""
    shown = [code for code in ExitCode if code in (*_ENDS, *ends)]
    codes = [f"  {int(code):<3}  {code.meaning}" for code in shown]
    codes = [textwrap.fill(code, _WIDTH, subsequent_indent=" " * 7) for code in codes]
    parts = [textwrap.fill(part, _WIDTH) for part in inspect.cleandoc(about).split("\n\n")]
    parts += [f"Example:\n  {example}", _DRY, "\n".join(["Exit codes:", *codes])]
    return "\n\n".join(parts)


def _said(own: Mapping[str, Option], given: Mapping[str, Any]) -> dict[str, Any]:
    """The options that differ from what they are by themselves, as on the command line."""
    changed = {name: given[name] for name in own if given[name] != own[name].default}
    return {
        f"no_{name}" if value is False else name: value is False or value
        for name, value in changed.items()
    }


def _signature(options: Mapping[str, Option]) -> inspect.Signature:
    """A task's, as invoke reads it: its context, and a parameter with its value for each option."""
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    values = {name: option.default for name, option in options.items()}
    parameters = [inspect.Parameter(name, kind, default=value) for name, value in values.items()]
    return inspect.Signature([inspect.Parameter("c", kind), *parameters])


_GROUPS = {
    "fork": "The fork itself",
    "branch": "Your own changes",
    "ci": "For jobs and hooks",
    "step": "Steps of these, which --dry prints",
}
"""What the names of tasks begin with, and what each group is about."""


def gathered(*modules: ModuleType) -> Collection:
    """The tasks of some modules in their groups, in the order of the source."""
    everything = Collection(*(Collection(name) for name in _GROUPS))
    for name, about in _GROUPS.items():
        everything.collections[name].__doc__ = about
    for value in (value for module in modules for value in vars(module).values()):
        if isinstance(value, invoke.tasks.Task):
            group: str = value.group  # type: ignore[attr-defined]
            (everything.collections[group] if group else everything).add_task(value)
    return everything


def renamed(words: Sequence[str], tasks: Container[str]) -> tuple[list[str], str]:
    """A command line with the new names, and a note about them; "" if it has no former name.

    words: a task and its options. tasks: the names of all tasks.
    """
    for former, name in FORMER.items():
        (task, *option), (now, *more) = former.split(), name.split()
        given = {word.partition("=")[0] for word in words}
        if words[:1] != [task] or (task in tasks and not given.issuperset(option)):
            continue
        if not option:
            return [now, *more, *words[1:]], f"`{former}` is now `{name}`."
        new = (re.sub(rf"^{option[0]}(?==|$)", "".join(more), word) for word in words[1:])
        return [now, *filter(None, new)], f"`{former}` is now `{name}`."
    return [*words], ""


class TaskProgram(Program):
    """Invoke's program without its options for finding tasks, with tasks in the order of their use.

    It also takes their former names. A wrong command line ends with this product's exit code.
    """

    def run(self, argv: list[str] | None = None, exit: bool = True) -> None:
        """Do what the command line says."""
        try:
            try:
                super().run(argv, exit)
            finally:
                sys.stdout.flush()
        except BrokenPipeError:
            # Nobody reads the rest, as in `carto-fork --help-all | head`.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(ExitCode.CLOSED)

    def core_args(self) -> list[Argument]:
        """The options before a task."""
        every = Argument(name="help-all", kind=bool, default=False, help="Explain every task.")
        return [*super().core_args(), every]

    def parse_tasks(self) -> None:
        """Parse the command line. Raises Usage if it is wrong."""
        names = self.collection.task_names
        self.core.unparsed, note = renamed(self.core.unparsed, names)
        asked = self.args.help
        if isinstance(asked.value, str):
            [asked.value, *_], note = renamed([asked.value], names)
        if note:
            print(note, file=sys.stderr)
        with self._explained():
            super().parse_tasks()

    def parse_cleanup(self) -> None:
        """What is asked of the program itself; then it ends."""
        if self.args["help-all"].value:
            for name in self.collection.task_names:
                self.print_task_help(name)
            raise Exit
        with self._explained():
            super().parse_cleanup()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Say where the help is for a command line that is wrong."""
        try:
            yield
        except ParseError as error:
            task = error.context and error.context.name
            where = f"{self.binary} --help {task}" if task else f"{self.binary} --list"
            what = re.sub(r"Flag <Argument: ([\w-]+).*?>", r"--\1", str(error))
            unread = self.core.unparsed
            word = re.fullmatch(r"No idea what '([^-\s]\S*)' is!", what)
            known = self.parser.contexts.get(unread[0]) if word and unread else None
            if word and known and (option := _repeatable(known.flags, unread, word[1])):
                what = f"{what} Each value needs its own option: {option} {word[1]}"
            elif word and known and "tag" in known.args:
                where = f"{self.binary} {unread[0]} --tag {word[1]}"
            elif word and not known:
                like = [name for name in self.parser.contexts if (name or "").startswith(word[1])]
                where = f"{self.binary} {like[0]}" if len(like) == 1 else where
            usage = Usage(what, then=where)
            if "--json" in self.argv:
                print(json.dumps(usage.as_json(), indent=2, sort_keys=True))
            raise usage from None

    def no_tasks_given(self) -> None:
        """Say what this is, and what to type next here."""
        from .fork.session import session
        from .health import guide

        with session(Context(), "next") as s:
            guide.welcome(s)
        raise Exit

    def print_help(self) -> None:
        """Print the tasks, and the options before one."""
        self.list_tasks()
        print("\nOptions before TASK:\n")
        self.print_columns(self.initial_context.help_tuples())

    def list_tasks(self) -> None:
        """Print what each task does, on one screen."""
        whole = self.collection
        if self.scoped_collection is not whole or self.list_format != "flat" or self.list_depth:
            super().list_tasks()
            return
        print(f"{self.binary} TASK [--options]; `{self.binary} --help TASK` explains one.")
        self._print_group("An upgrade, from setup to release", whole, "")
        for name, group in whole.collections.items():
            self._print_group(group.__doc__, group, f"{name}.")

    def _print_group(self, about: str, group: Collection, prefix: str) -> None:
        print(f"{about}:")
        for name, task in group.tasks.items():
            print(f"  {prefix + name:<18}  {helpline(task)}")
            if name == _LAST_OF_AN_UPGRADE:
                print("Around it:")

    def print_task_help(self, name: str) -> None:
        """Print what a task does, its options in the order of their use, and how it ends."""
        about, example = (inspect.getdoc(self.collection[name]) or "").split("Example:", 1)
        context = self.parser.contexts[name]
        options = [context.help_for(to_flag(option)) for option in context.args]
        print(f"Usage: {self.binary} {name} [--options]\n")
        for paragraph in about.strip().split("\n\n"):
            print(textwrap.fill(paragraph, 78, break_on_hyphens=False), end="\n\n")
        print("Options:")
        self.print_columns(options)
        print("Example:" + example.replace("invoke ", f"{self.binary} ", 1), end="\n\n")


def _repeatable(flags: Mapping[str, Argument], words: Sequence[str], value: str) -> str:
    """The option before a value on a command line, if it may be repeated; "" if not."""
    before = words[: words.index(value)] if value in words else ()
    options = [word.partition("=")[0] for word in before if word.startswith("--")]
    return options[-1] if options and getattr(flags.get(options[-1]), "kind", 0) is list else ""


_LAST_OF_AN_UPGRADE = "release"
