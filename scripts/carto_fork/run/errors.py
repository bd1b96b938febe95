"""How a task stops: every stop says what happened, what was not touched and what to type next."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from enum import IntEnum

from invoke.exceptions import Exit

from .text import harmless, printable, wrapped


class ExitCode(IntEnum):
    """The exit codes of every task. They are part of the interface: scripts rely on them."""

    meaning: str

    def __new__(cls, code: int, meaning: str) -> ExitCode:
        member = int.__new__(cls, code)
        member._value_ = code
        member.meaning = meaning
        return member

    DONE = 0, "Done, or nothing to do."
    REFUSED = 1, "Refused: a precondition is not met, a rule forbids it, or a command failed."
    USAGE = 2, "The command line is wrong."
    PAUSED = 3, "Paused: you need to do something. The same command continues afterwards."
    CHECK_FAILED = 4, "A check of the result failed; the task stopped there."
    INTERRUPTED = 130, "Interrupted. The same command continues."
    CLOSED = 141, "The reader of the output has gone, as with `head`; the task stopped there."


class Stop(Exit):
    """A task ends early, in three sentences for a person.

    what: what happened.
    untouched: what was left as it was.
    then: the next command to type, or the next thing to do.
    """

    exit_code = ExitCode.REFUSED
    title = "Refused"

    def __init__(self, what: str, *, untouched: str = "Nothing was changed.", then: str) -> None:
        super().__init__(None, self.exit_code)
        self.what, self.untouched = what, untouched
        self.advise(then)

    def advise(self, then: str) -> None:
        """Replace the sentence that says what to do next."""
        self.then = then
        lines = [*_fitted(f"{self.title}: {self.what}"), *_fitted(self.untouched)]
        # The next command is never wrapped: people paste it.
        shown = map(printable, [*lines, *f"Next: {then}".split("\n")])
        self.message = harmless("\n".join(shown))

    def __str__(self) -> str:
        return str(self.message)


def _fitted(text: str) -> Iterator[str]:
    """The lines of a text, wrapped to the terminal; indented output of other programs stays as it
    is."""
    width = shutil.get_terminal_size().columns if sys.stderr.isatty() else 0
    for line in text.split("\n"):
        yield from wrapped(line, width) if width and not line.startswith(" ") else [line]


class Refused(Stop):
    """A precondition is not met, or a rule forbids it."""


class Failed(Stop):
    """A command that should have worked did not."""

    title = "Failed"


class Usage(Stop):
    """The command line is wrong."""

    exit_code = ExitCode.USAGE
    title = "Usage"


class Paused(Stop):
    """A person has to do something before the task can continue."""

    exit_code = ExitCode.PAUSED
    title = "Paused"


class CheckFailed(Stop):
    """The result fails a check, so the task stops there."""

    exit_code = ExitCode.CHECK_FAILED
    title = "Check failed"


class Interrupted(Stop):
    """Ctrl-C or a termination signal."""

    exit_code = ExitCode.INTERRUPTED
    title = "Interrupted"
