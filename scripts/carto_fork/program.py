"""The command `carto-fork`: the same tasks without invoke's own options for finding tasks."""

from __future__ import annotations

import sys

from invoke.exceptions import ParseError
from invoke.program import Program

from . import __version__
from .run.errors import ExitCode
from .tasks import namespace


class _Program(Program):
    """Invoke's program; a wrong command line ends with this product's exit code for that."""

    def parse_tasks(self) -> None:
        try:
            super().parse_tasks()
        except ParseError as error:
            print(error, file=sys.stderr)
            sys.exit(ExitCode.USAGE)


program = _Program(name="carto-fork", binary="carto-fork", version=__version__, namespace=namespace)


def main() -> None:
    """The console script."""
    program.run()
