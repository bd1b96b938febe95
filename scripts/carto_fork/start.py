"""Where `carto-fork` starts, and how Ctrl-C ends it while no task runs, as during the imports."""

import os
import signal
import sys
from contextlib import suppress
from types import FrameType

# The rest is imported afterwards: it takes half a second.


def main() -> None:
    """Run `carto-fork`."""
    end_in_one_line()
    from .tasks import program

    program.run()


def end_in_one_line() -> None:
    """Let Ctrl-C end this process in one line, not in a traceback, whenever no task runs."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)


def _end(_number: int, _frame: FrameType | None) -> None:
    # An exception would be caught by invoke, which ends with another code, or by an import.
    with suppress(Exception):
        sys.stdout.flush()
        print("Interrupted: nothing is half-done. The same command continues.", file=sys.stderr)
        sys.stderr.flush()
    os._exit(130)
