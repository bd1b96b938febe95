"""One task at work: its shell, its console, how it was called, and how it ends."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import msgspec
from invoke.context import Context

from ..run import git, invocation, journal
from ..run.console import Console
from ..run.errors import ExitCode, Failed, Interrupted, Refused, Stop
from ..run.journal import Journal
from ..run.shell import Shell
from ..run.steps import Plan, Runner, Step
from . import fork
from .fork import Fork

_DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Session:
    """What every task has at hand.

    context: invoke's.
    task: the task's name.
    argv: the command line of the program, as in `sys.argv`.
    as_json: whether standard output is kept for JSON; people then read standard error.
    options: the options the task was given; empty ones are left out of the command to repeat.
    """

    def __init__(
        self,
        context: Context,
        task: str,
        argv: Sequence[str],
        as_json: bool,
        **options: str | bool | Sequence[str],
    ) -> None:
        self.sh = Shell(context, sys.stderr if as_json else sys.stdout)
        self.console = Console(self.sh.stream, pasteable=self.sh.dry)
        self.json = as_json
        self.program = invocation.program(argv)
        self.repo_option = str(options.get("repo", ""))
        self.again = invocation.command(self.program, task, **options, json=as_json)
        self._argv, self._printed = argv, False

    @property
    def path(self) -> Path:
        """The directory of the fork: ``--repo``, else ``CARTO_FORK_REPO``, else this one."""
        try:
            os.getcwd()
            return Path(self.repo_option or os.environ.get("CARTO_FORK_REPO") or ".").expanduser()
        except (OSError, RuntimeError) as error:
            raise Refused(
                f"there is no such directory: {error}.", then="go to another one."
            ) from None

    def open_fork(self, *, whatever_policy: bool = False) -> Fork:
        """The fork to work on.

        whatever_policy: the task can do without the fork's own policy, if that is not valid.
        Raises Refused where there is no fork.
        """
        found = fork.open_fork(self.sh, self.path)
        if found.problem and not whatever_policy:
            raise found.problem
        return found

    def open_work_tree(self) -> tuple[Fork, Path]:
        """The fork to work on, and the top of the work tree that was named."""
        found = self.open_fork()
        return found, git.top_of_work_tree(self.sh, found.repository.path)

    @property
    def guard_line(self) -> str:
        """The command line that checks what is pushed, from any directory."""
        return invocation.guard(self._argv)

    def command(self, task: str, **options: str | bool | Sequence[str]) -> str:
        """The command line of another task on the same fork."""
        return invocation.command(self.program, task, **{"repo": self.repo_option, **options})

    def spelled_out(self, advice: str) -> str:
        """Advice with whole command lines for `the same command` and for names of tasks."""
        advice = advice.replace("the same command", f"`{self.again}`")
        advice = re.sub(
            r"`(setup|status|config|init)`", lambda f: f"`{self.command(f[1])}`", advice
        )
        return advice.replace("`heal --check`", f"`{self.command('heal', check=True)}`")

    def print_json(self, data: Any) -> None:
        """Print the task's result for scripts."""
        # The standard library's JSON also carries paths that are not UTF-8.
        print(json.dumps(msgspec.to_builtins(data), indent=2, sort_keys=True))
        self._printed = True

    def print_stop(self, stop: Stop) -> None:
        """Print for scripts why the task ends early, unless it has printed its result."""
        if self.json and not self._printed:
            facts = {"stopped": stop.title.lower(), "exit_code": int(stop.code)}
            facts |= {"what": stop.what, "untouched": stop.untouched, "then": stop.then}
            self.print_json(facts)

    @contextmanager
    def locked(self, repository: git.Repository) -> Iterator[Journal | None]:
        """Hold the fork's lock while changing it; under ``--dry`` nothing changes."""
        if self.sh.dry:
            yield None
            return
        with journal.locked(repository.common, self.again) as held:
            yield held

    def run(
        self,
        procedure: Sequence[Step],
        plan: Plan,
        held: Journal | None,
        work: object = None,
    ) -> None:
        """Carry a procedure out. work: what the calls of its steps are given."""
        Runner(self.sh, self.console, held, self.program, work).run(procedure, plan)


@contextmanager
def session(
    context: Context, task: str, *, as_json: bool = False, **options: str | bool | Sequence[str]
) -> Iterator[Session]:
    """Run a task's body; make of every stop a message that names the command to type next."""
    made = Session(context, task, sys.argv, as_json, **options)
    with _terminated_like_interrupted():
        try:
            yield made
        except Stop as stop:
            stop.tell(made.spelled_out(stop.then))
            made.print_stop(stop)
            raise
        except KeyboardInterrupt:
            raise Interrupted(
                f"`{made.again}` was interrupted.",
                untouched="What was done so far is kept; nothing is half-done.",
                then=f"run `{made.again}` again; it continues.",
            ) from None
        except BrokenPipeError:
            # Nobody reads on, as in `... | head`: what is left to say goes nowhere.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(ExitCode.CLOSED)
        except OSError as error:
            if error.errno not in _DISK_FULL:
                raise
            raise Failed(
                f"the disk is full: {error}.",
                untouched="What was done so far is kept.",
                then=f"make room, then run `{made.again}` again.",
            ) from None


@contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    """A cancelled CI job or a closed terminal ends a task in the same orderly way as Ctrl-C."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    numbers = (signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, interrupt) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
