"""Console output: steps, tables, progress. Colour only on a terminal; honours NO_COLOR."""

from __future__ import annotations

import secrets
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from .errors import Paused
from .text import duration, harmless, in_actions, may_wrap, printable, quoted, wrapped

if TYPE_CHECKING:
    from rich.console import Console as Rich
    from rich.console import ConsoleOptions
    from rich.text import Text


_A_WHILE = 2
"""Seconds after which a terminal shows a spinner."""

_INDENT, _RUNS, _ASKS = "  ", "    $ ", "    ? "
_SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧"

_WORDS = 2
"""A head of more words is a sentence."""

_LONG = 5
"""Seconds from which the duration of a command is printed."""


@dataclass
class _Step:
    """A step shown while it runs. Its head turns into its result; what it prints appears below
    afterwards.

    rows: lines and their styles. done: whether it did all that it was for.
    """

    head: str
    what: str
    style: str = ""
    done: bool = True
    rows: list[tuple[str, str]] = field(default_factory=list)
    begun: float = field(default_factory=time.monotonic)

    def __rich_console__(self, _console: Rich, options: ConsoleOptions) -> Iterator[Text]:
        from rich.text import Text

        seconds = time.monotonic() - self.begun
        mark = _SPINNER[int(seconds * 8) % len(_SPINNER)]
        head, took = f"{mark} {self.head} ", f"  {seconds:.0f} s"
        room = options.max_width - len(head) - len(took)
        what = self.what if len(self.what) <= room else f"{self.what[: room - 1]}…"
        lines = [(f"{head}{what}{took}", "bold"), *self.rows[-1:]]
        for line, style in lines:
            text = Text(line, style)
            text.truncate(options.max_width, overflow="ellipsis")
            yield text


class Console:
    """Writes for people to one stream.

    pasteable: write explanations as shell comments, for output that is pasted (``--dry``).
    """

    def __init__(self, stream: TextIO, *, pasteable: bool = False) -> None:
        self._stream, self._pasteable = stream, pasteable
        self._terminal = stream.isatty() and not pasteable
        self._made: Rich | None = None
        self._step: _Step | None = None
        self._folded = False  # whether a group of GitHub Actions is open
        self._group = ""  # the head of the step that it is for

    @property
    def _rich(self) -> Rich:
        # Importing rich takes longer than most git calls.
        if self._made is None:
            from rich.console import Console as Rich

            self._made = Rich(
                file=self._stream, highlight=False, markup=False, emoji=False, force_terminal=True
            )
        return self._made

    def say(self, text: str = "", style: str = "", *, head: str = "") -> None:
        """Print a sentence or a paragraph, wrapped between words.

        head: its label, beside which it is wrapped.
        """
        for line in text.split("\n"):
            for part in wrapped(line, self._width, head):
                self.row("", part, style)

    @property
    def _width(self) -> int:
        """The columns of a line."""
        columns = self._rich.width if self._terminal else shutil.get_terminal_size().columns
        return columns - (2 if self._pasteable else len(_INDENT) if self._step else 0)

    def row(self, head: str, rest: str, style: str = "") -> None:
        """Print a line that is never wrapped, because it holds a path or a command.

        On a terminal too narrow for both, a head that is a sentence is on lines of its own.
        """
        sentence = head.endswith(": ") and len(head.split()) > _WORDS
        if self._terminal and sentence and len(head) + len(rest) > self._width:
            self.say(head.rstrip(), style)
            head = " " * (len(head) - len(head.lstrip()) + 4)
        prefix = "# " if self._pasteable else ""
        line = harmless(printable(f"{prefix}{head}{rest}").rstrip())
        if self._step:
            own = line if line.startswith((_RUNS, _ASKS)) else f"{_INDENT}{line}".rstrip()
            self._step.rows.append((own, style))
        else:
            self._print(line, style)

    def advice(self, head: str, text: str, style: str = "") -> None:
        """Print what to do next, in words and commands; a long command is on a line of its own."""
        said = quoted(text) if self._terminal else text
        if len(head) + len(text) > self._width and may_wrap(said):
            self.say(said, style, head=head)
        else:
            self.row(head, text, style)

    def _print(self, line: str, style: str) -> None:
        if self._terminal:
            self._rich.print(line, style=style or None, soft_wrap=True)
        else:
            print(line, file=self._stream, flush=True)

    def head(self, number: int, of: int, name: str, what: str) -> None:
        """Print the head line of a step that does not run. of: 0 if the steps are not numbered."""
        mark = "- " if self._live else ""
        self._headed(mark + _head(number, of, name), what, "dim" if mark else "bold")

    def _headed(self, head: str, what: str, style: str) -> None:
        """Print the head line of a step; on a terminal, wrapped beside its name."""
        if self._stream.isatty() and not self._step:
            self.say(what, style, head=f"{head} ")
        else:
            self.row("", f"{head} {what}", style)

    @property
    def _live(self) -> bool:
        return self._terminal and not self._rich.is_dumb_terminal

    @contextmanager
    def step(
        self, number: int, of: int, name: str, what: str, *, prints: bool = False
    ) -> Iterator[None]:
        """Show a step while it runs: on a terminal one line that turns into its result, with its
        output below; in GitHub Actions a folded group; otherwise a head line.

        prints: whether its commands write to the stream themselves.
        """
        head = _head(number, of, name)
        if self._step or self._folded or (self._pasteable or not (self._live or in_actions())):
            self._headed(head, what, "bold")
            yield
        elif not self._live:
            self._print(f"::group::{harmless(printable(f'{head} {what}'))}", "")
            self._folded, self._group = True, head
            try:
                yield
            finally:
                self._group = ""
                self._unfold()
        elif prints:
            self._headed(f"> {head}", what, "bold")
            begun = time.monotonic()
            yield
            self.row("✓ ", f"{head} passed{_seconds(begun)}", "green")
        else:
            yield from self._watched(_Step(head, what))

    def _watched(self, step: _Step) -> Iterator[None]:
        from rich.live import Live

        self._step, mark, style = step, "✓", "bold"
        live = Live(step, console=self._rich, refresh_per_second=8, transient=True)
        try:
            try:  # unlike `with`, this also stops what is interrupted while it starts
                live.start(refresh=True)
                yield
            finally:
                live.stop()
            style = step.style or style
            mark = mark if step.done else "!"
        except BaseException as error:
            mark, style = ("!", "yellow") if isinstance(error, Paused) else ("✗", "red")
            raise
        finally:
            self._step = None
            self._headed(f"{mark} {step.head}", f"{step.what}{_seconds(step.begun)}", style)
            for line, own in step.rows:
                self._print(line, own)

    def result(self, text: str, style: str = "bold", *, done: bool = True) -> None:
        """Print the result of a step, in a sentence; as a line of its own if no step is running.

        done: whether the step did all that it was for; otherwise it is not ticked.
        """
        if self._step:
            self._step.what, self._step.style = harmless(printable(text)), style
            self._step.done = done
            return
        self._unfold()  # the result is visible without unfolding
        self.say(text, style)

    def _unfold(self) -> None:
        if self._folded:
            self._folded = False
            self._print("::endgroup::", "")

    def annotate(
        self, title: str, text: str, *, path: str = "", line: int = 0, sure: bool = True
    ) -> None:
        """In GitHub Actions, mark a finding on the page of the run, and beside its line if it has
        one. The texts may come from upstream: escaped, they stay within one line.

        sure: whether it is an error; otherwise it is only worth a look.
        """
        if not in_actions() or self._pasteable:
            return
        where = {"file": path, "line": str(line or "") if path else "", "title": title}
        given = [f"{name}={_escaped(x, ':,')}" for name, x in where.items() if x]
        level = "error" if sure else "warning"
        self._print(f"::{level} {','.join(given)}::{_escaped(text)}", "")

    def command(self, line: str) -> None:
        """Print a command line that is about to run."""
        if self._group and not self._folded:  # one that follows the step's result
            self._print(f"::group::{harmless(printable(f'{self._group} continued'))}", "")
            self._folded = True
        self.row(_RUNS, line, "dim")

    def question(self, line: str) -> None:
        """Print a command line that changes nothing."""
        self.row(_ASKS, line, "dim")

    def next(self, line: str) -> None:
        """The command line to type next; on a line of its own if it is long."""
        if self._terminal and len(line) > self._width - len("Next: "):
            self.row("Next:", "", "cyan")
            self.row("    ", line, "cyan")
        else:
            self.row("Next: ", line, "cyan")

    def facts(self, pairs: Sequence[tuple[str, str | Path]]) -> None:
        """Print names and values, aligned; a path is never wrapped."""
        width = max(len(name) for name, _ in pairs)
        for name, value in pairs:
            head = f"  {name:<{width}}  "
            if isinstance(value, Path):
                self.row(head, str(value))
            else:
                self.say(value, head=head)

    @contextmanager
    def foreign(self) -> Iterator[None]:
        """Let other programs print to the stream. GitHub Actions ignores workflow commands until it
        reads a random word that nobody can guess."""
        end = secrets.token_hex(16)
        if in_actions():
            print(f"::stop-commands::{end}", file=self._stream, flush=True)
        try:
            yield
        finally:
            if in_actions():
                print(f"\n::{end}::", file=self._stream, flush=True)

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Print how long something took, if it took long."""
        start = time.monotonic()
        yield
        if not (self._pasteable or self._step) and (took := _seconds(start)):
            self.row("    ", took.lstrip(), "dim")

    @contextmanager
    def working(self, name: str, *, timed: bool = True) -> Iterator[None]:
        """Show a spinner on a terminal while something takes a while.

        timed: whether to print the duration afterwards.
        """
        with self.timed() if timed else nullcontext():
            if not self._live or self._step:
                yield
                return
            from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

            columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
            progress = Progress(*columns, console=self._rich, transient=True)
            progress.add_task(name, total=None)
            timer = threading.Timer(_A_WHILE, progress.start)
            timer.daemon = True
            timer.start()
            try:
                yield
            finally:
                timer.cancel()
                timer.join()
                progress.stop()


def _head(number: int, of: int, name: str) -> str:
    return f"{f'{number:>{len(str(of))}}/{of} ' if of else ''}{name:<9}"


def _escaped(text: str, more: str = "") -> str:
    """A text as one part of a workflow command.

    more: characters that end this part.
    """
    lines = (harmless(printable(line)).replace("%", "%25") for line in text.split("\n"))
    return "%0A".join("".join(f"%{ord(c):02X}" if c in more else c for c in x) for x in lines)


def _seconds(start: float) -> str:
    """The duration of something, after two spaces; "" if it was short."""
    seconds = time.monotonic() - start
    return f"  {duration(seconds)}" if seconds >= _LONG else ""
