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

from carto_fork.tasks import namespace
from carto_fork.tasks import program as installed

INVOKE = str(Path(invoke.main.__file__).with_name("__main__.py"))
"""The program's file where `python -m invoke` was typed."""

_HELP = {name: dict(namespace[name].help) for name in namespace.task_names}
"""Invoke takes the texts away from a task when it first reads its options."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class Ended:
    """How a command line ended: its exit code, and what it wrote to standard output and error."""

    code: int
    out: str
    err: str


def run(argv: Sequence[str], cwd: Path, environment: Mapping[str, str]) -> Ended:
    """Run a command line of invoke's or of `carto-fork`.

    argv: as a process has it in `sys.argv`: the program's file, such as `INVOKE`, and words.
    environment: all of it.

    An exception that would end a process with a traceback is raised.
    """
    program = invoke.main.program if argv[0] == INVOKE else installed
    out, err = _stream("strict"), _stream("backslashreplace")
    with _a_process_of_its_own(cwd, environment):
        sys.argv = [*argv]
        sys.stdin, sys.stdout, sys.stderr = io.TextIOWrapper(io.BytesIO()), out, err
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
def _a_process_of_its_own(cwd: Path, environment: Mapping[str, str]) -> Iterator[None]:
    for name, texts in _HELP.items():
        namespace[name].help = dict(texts)
    directory, before = _here(), dict(os.environ)
    streams = sys.stdin, sys.stdout, sys.stderr
    arguments, path, modules = sys.argv, list(sys.path), set(sys.modules)
    handlers = [signal.getsignal(number) for number in _SIGNALS]
    byte_code, temporary, mask = sys.dont_write_bytecode, tempfile.tempdir, os.umask(0o022)
    os.umask(mask)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
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
        os.environ.update(before)
        os.chdir(directory)


def _here() -> str:
    """The current directory, or the root if somebody removed it."""
    try:
        return os.getcwd()
    except OSError:
        return os.sep
