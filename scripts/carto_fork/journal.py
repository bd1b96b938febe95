"""One run at a time on a fork, and what to undo if a run is cut off.

The lock is the kernel's (flock), so it ends with the process however that ends. The file holds
who has the lock and, while a step is under way, the commands that would undo half of it; a run
that finds such commands there was preceded by one that was killed.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from .errors import Failed, Refused
from .shell import Shell, command_line


@dataclass(frozen=True)
class _Entry:
    """What the lock file holds: whose it is, and what undoes the step that is under way.

    directory: what relative paths in `undo` start from.
    """

    pid: int
    task: str
    directory: str
    undo: list[list[str]] = field(default_factory=list)


class Journal:
    """The open lock file of a run.

    after_kill: whether the run before this one was killed.
    """

    def __init__(self, descriptor: int, task: str, *, after_kill: bool = False) -> None:
        self.after_kill = after_kill
        self._descriptor = descriptor
        self._entry = _Entry(os.getpid(), task, os.getcwd())

    def begin(self, undo: Sequence[Sequence[str]], directory: str = "") -> None:
        """Note, before a step starts, what undoes half of it.

        directory: where that is to run; default: the current one.
        """
        noted = [list(words) for words in undo]
        self._entry = replace(self._entry, undo=noted, directory=directory or os.getcwd())
        # JSON's escapes also carry what is not UTF-8.
        self._write(json.dumps(asdict(self._entry)).encode())

    def end(self) -> None:
        """Note that no step is under way."""
        self.begin(())

    def close(self) -> None:
        """Give the lock back; what is still to be undone stays noted for the next run."""
        if not self._entry.undo:
            self._write(b"")
        os.close(self._descriptor)

    def _write(self, content: bytes) -> None:
        # Written before it is cut to length: a full disk then fails with the old entry in place.
        os.pwrite(self._descriptor, content, 0)
        os.ftruncate(self._descriptor, len(content))


@contextmanager
def locked(sh: Shell, common: Path, task: str) -> Iterator[Journal]:
    """Hold the fork's lock, after undoing what a killed run left half-done.

    common: the fork's common git directory.
    task: what to tell a second run.
    Raises Refused when another run has the lock.
    """
    descriptor = os.open(common / "carto-fork.lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        other = _read(descriptor)
        os.close(descriptor)
        holder = f"`{other.task}` (process {other.pid})" if other else "another task"
        raise Refused(
            f"{holder} is at work on this fork.",
            then="wait until it has ended, then run the same command again.",
        ) from None
    before = _read(descriptor)
    # A run that ends by itself leaves the file empty.
    journal = Journal(descriptor, task, after_kill=before is not None)
    try:
        if before and before.undo:
            journal.begin(before.undo, before.directory)
            undo(sh, before.undo, Path(before.directory))
        journal.end()
        yield journal
    finally:
        journal.close()


def undo(sh: Shell, commands: Sequence[Sequence[str]], directory: Path | None = None) -> None:
    """Undo half of a step. The last command decides: those before it may find nothing to do.

    directory: where to run them; default: the current one.
    Raises Failed where it does not succeed; it stays noted for the next run.
    """
    for words in commands:
        answer = sh.run(words, within=directory)
    if not answer.ok:
        raise Failed(
            f"what a step left half-done could not be undone: `{command_line(words)}` ended with "
            f"exit code {answer.code}: {answer.err.strip()}",
            untouched="It stays noted; every run tries it again first.",
            then="mend what it complains of, then run the same command again.",
        )


def _read(descriptor: int) -> _Entry | None:
    try:
        return _Entry(**json.loads(os.pread(descriptor, 1 << 20, 0)))
    except (ValueError, TypeError):
        return None
