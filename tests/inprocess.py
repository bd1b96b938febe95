"""A task run in the test's own process, by the way that a person's command line takes.

The command line goes through invoke's own program: it finds this checkout's tasks.py, parses the
words, runs the task, and ends with an exit code and two streams. What belongs to a process and not
to a test is put back afterwards: directory, environment, streams, arguments, signal handlers and
modules.
"""

from __future__ import annotations

import io
import os
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import invoke.main

from carto_fork import program as installed
from carto_fork.tasks import namespace

_INVOKE = Path(invoke.main.__file__).with_name("__main__.py")  # as `python -m invoke` starts it
_HELP = {name: dict(task.help) for name, task in namespace.tasks.items()}
"""Invoke takes the texts away from a task when it first reads its options."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class Ended:
    """How a command line ended: its exit code, and what it wrote to standard output and error."""

    code: int
    out: str
    err: str


def run(words: Sequence[str], cwd: Path, variables: Mapping[str, str], feed: str = "") -> Ended:
    """Run a command line of `invoke` or, if it has no option that finds tasks, of `carto-fork`.

    words: what follows the program's name; with `--search-root` first it is invoke's.
    feed: what standard input holds.

    An exception that would end a process with a traceback is raised.
    """
    by_invoke = words[0] == "--search-root"
    program = invoke.main.program if by_invoke else installed.program
    started = _INVOKE if by_invoke else Path(sys.executable).with_name("carto-fork")
    out, err = _stream("strict"), _stream("backslashreplace")
    with _a_process_of_its_own(cwd, variables):
        sys.argv = [str(started), *words]
        sys.stdin, sys.stdout, sys.stderr = io.TextIOWrapper(io.BytesIO(feed.encode())), out, err
        code = 0
        try:
            program.run(sys.argv)
        except SystemExit as exit_:
            code = _exit_code(exit_, err)
    return Ended(code, _text(out), _text(err))


def _stream(errors: str) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors=errors, write_through=True)


def _text(stream: io.TextIOWrapper) -> str:
    stream.flush()
    buffer = stream.buffer
    assert isinstance(buffer, io.BytesIO)
    return buffer.getvalue().decode("utf-8", "surrogateescape")


def _exit_code(ended: SystemExit, err: io.TextIOWrapper) -> int:
    if isinstance(ended.code, int):
        return int(ended.code)
    if ended.code is None:
        return 0
    print(ended.code, file=err)
    return 1


@contextmanager
def _a_process_of_its_own(cwd: Path, variables: Mapping[str, str]) -> Iterator[None]:
    for name, texts in _HELP.items():
        namespace.tasks[name].help = dict(texts)
    directory, environment = _here(), dict(os.environ)
    streams = sys.stdin, sys.stdout, sys.stderr
    arguments, path, modules = sys.argv, list(sys.path), set(sys.modules)
    handlers = [signal.getsignal(number) for number in _SIGNALS]
    byte_code, temporary, mask = sys.dont_write_bytecode, tempfile.tempdir, os.umask(0o022)
    os.umask(mask)
    os.chdir(cwd)
    os.environ.update(variables)
    tempfile.tempdir = None
    try:
        yield
    finally:
        sys.stdin, sys.stdout, sys.stderr = streams
        sys.argv, sys.path[:] = arguments, path
        sys.dont_write_bytecode, tempfile.tempdir = byte_code, temporary
        # The tasks.py that was found; the product's modules stay, they keep nothing of a run.
        for name in {"tasks"} & (set(sys.modules) - modules):
            del sys.modules[name]
        for number, handler in zip(_SIGNALS, handlers, strict=True):
            signal.signal(number, handler)
        os.umask(mask)
        os.environ.clear()
        os.environ.update(environment)
        os.chdir(directory)


def _here() -> str:
    """The current directory, or the root if somebody removed it."""
    try:
        return os.getcwd()
    except OSError:
        return os.sep
