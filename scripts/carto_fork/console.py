"""What people see: steps, tables, progress. Colour only on a terminal; NO_COLOR is honoured."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.console import Console as Rich


def printable(text: str) -> str:
    """Text of unknown origin (paths, subjects, output) without control characters."""
    safe = "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)
    return safe.encode("utf-8", "backslashreplace").decode()


class Console:
    """Writes for people to one stream.

    pasteable: write explanations as shell comments, for output that is pasted (``--dry``).
    """

    def __init__(self, stream: TextIO, *, pasteable: bool = False) -> None:
        self._stream, self._pasteable = stream, pasteable
        self._made: Rich | None = None

    @property
    def _rich(self) -> Rich:
        # Rich costs more to import than most questions cost to answer.
        if self._made is None:
            from rich.console import Console as Rich

            self._made = Rich(
                file=self._stream, highlight=False, markup=False, emoji=False, soft_wrap=True
            )
        return self._made

    def say(self, text: str = "", style: str = "") -> None:
        """A line or a paragraph."""
        if self._pasteable:
            text = "\n".join(f"# {line}".rstrip() for line in text.split("\n"))
        self._rich.print(printable(text), style=style or None)

    def step(self, number: int, of: int, name: str, what: str) -> None:
        """The head line of a step."""
        if self._pasteable:
            self.say(f"{number}/{of} {name}: {what}")
            return
        from rich.text import Text

        line = Text.assemble((f"{number}/{of} ", "dim"), (f"{name:<9} ", "bold"), what)
        self._rich.print(line)

    def command(self, line: str) -> None:
        """A command line that is about to run."""
        self.say(f"    $ {line}", "cyan")

    def facts(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Aligned names and values."""
        width = max(len(name) for name, _ in pairs)
        for name, value in pairs:
            self.say(f"  {name:<{width}}  {value}")

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """A table that fits the terminal; long cells are folded."""
        from rich import box
        from rich.table import Table
        from rich.text import Text

        table = Table(*columns, box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
        for column in table.columns:
            column.overflow = "fold"
        for row in rows:
            table.add_row(*(Text(printable(cell)) for cell in row))
        if not self._pasteable:
            self._rich.print(table, soft_wrap=False)
            return
        with self._rich.capture() as captured:
            self._rich.print(table, soft_wrap=False)
        self.say(captured.get().rstrip("\n"))

    @contextmanager
    def working(self, name: str) -> Iterator[None]:
        """Show that something is under way and, once it took a second, how long it took."""
        start = time.monotonic()
        if self._rich.is_terminal and not self._pasteable and os.environ.get("TERM") != "dumb":
            from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

            columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
            with Progress(*columns, console=self._rich, transient=True) as progress:
                progress.add_task(name, total=None)
                yield
        else:
            yield
        if not self._pasteable and (seconds := time.monotonic() - start) >= 1:
            self.say(f"    {seconds:.1f} s", "dim")
