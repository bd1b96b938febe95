"""What people see: steps, tables, progress. Colour only on a terminal; NO_COLOR is honoured."""

from __future__ import annotations

import secrets
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, TextIO

from .text import harmless, in_actions, printable, wrapped

if TYPE_CHECKING:
    from rich.console import Console as Rich


_A_WHILE = 2
"""Seconds after which a terminal shows that something is under way."""

_LONG = 5
"""Seconds from which on it is told how long something took."""


class Console:
    """Writes for people to one stream.

    pasteable: write explanations as shell comments, for output that is pasted (``--dry``).
    """

    def __init__(self, stream: TextIO, *, pasteable: bool = False) -> None:
        self._stream, self._pasteable = stream, pasteable
        self._terminal = stream.isatty() and not pasteable
        self._made: Rich | None = None

    @property
    def _rich(self) -> Rich:
        # Rich costs more to import than most questions cost to answer.
        if self._made is None:
            from rich.console import Console as Rich

            self._made = Rich(
                file=self._stream, highlight=False, markup=False, emoji=False, force_terminal=True
            )
        return self._made

    def say(self, text: str = "", style: str = "") -> None:
        """A sentence or a paragraph, wrapped between words."""
        columns = self._rich.width if self._terminal else shutil.get_terminal_size().columns
        width = columns - (2 if self._pasteable else 0)
        for line in text.split("\n"):
            for part in wrapped(line, width):
                self.row("", part, style)

    def row(self, head: str, rest: str, style: str = "") -> None:
        """A line that is never wrapped, because it holds a path or a command."""
        prefix = "# " if self._pasteable else ""
        line = harmless(printable(f"{prefix}{head}{rest}").rstrip())
        if self._terminal:
            self._rich.print(line, style=style or None, soft_wrap=True)
        else:
            print(line, file=self._stream, flush=True)

    def step(self, number: int, of: int, name: str, what: str) -> None:
        """The head line of a step."""
        self.row("", f"{number}/{of} {name:<9} {what}", "bold")

    def command(self, line: str) -> None:
        """A command line that is about to run."""
        self.row("    $ ", line, "cyan")

    def facts(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Aligned names and values."""
        width = max(len(name) for name, _ in pairs)
        for name, value in pairs:
            self.row(f"  {name:<{width}}  ", value)

    @contextmanager
    def foreign(self) -> Iterator[None]:
        """Let others print to the stream: GitHub Actions takes nothing of it for a command until it
        reads a word that nobody can know beforehand."""
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
        """Say, where it took long, how long something took."""
        start = time.monotonic()
        yield
        seconds = time.monotonic() - start
        if not self._pasteable and seconds >= _LONG:
            minutes = f"{seconds // 60:.0f} min " if seconds >= 60 else ""
            self.row("    ", f"{minutes}{seconds % 60:.1f} s", "dim")

    @contextmanager
    def working(self, name: str, *, timed: bool = True) -> Iterator[None]:
        """Show on a terminal, if it goes on for a while, that something is under way.

        timed: whether to say so afterwards, too.
        """
        with self.timed() if timed else nullcontext():
            if not self._terminal or self._rich.is_dumb_terminal:
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
