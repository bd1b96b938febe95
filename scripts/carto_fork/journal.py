"""One run at a time on a fork, and what to undo if a run is cut off.

The lock is the kernel's (flock), so it ends with the process however that ends. The file holds
who has the lock and, while a step is under way, the commands that would undo half of it; a run
that finds such commands there was preceded by one that was killed.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from .errors import Refused
from .shell import Shell


class _Entry(msgspec.Struct):
    pid: int
    task: str
    directory: str
    undo: list[list[str]] = []


class Journal:
    """The open lock file of a run."""

    def __init__(self, descriptor: int, task: str) -> None:
        self._descriptor = descriptor
        self._entry = _Entry(os.getpid(), task, os.getcwd())

    def begin(self, undo: Sequence[Sequence[str]]) -> None:
        """Note, before a step starts, what undoes half of it."""
        self._entry.undo = [list(words) for words in undo]
        self._write(msgspec.json.encode(self._entry))

    def end(self) -> None:
        """Note that no step is under way."""
        self.begin(())

    def close(self) -> None:
        """Give the lock back."""
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
    before = _read(descriptor)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        holder = f"`{before.task}` (process {before.pid})" if before else "another task"
        raise Refused(
            f"{holder} is at work on this fork.",
            then="wait until it has ended, then run the same command again.",
        ) from None
    journal = Journal(descriptor, task)
    try:
        if before:
            for words in before.undo:
                sh.run(words, within=Path(before.directory))
        journal.end()
        yield journal
    finally:
        journal.close()


def _read(descriptor: int) -> _Entry | None:
    try:
        return msgspec.json.decode(os.pread(descriptor, 1 << 16, 0), type=_Entry)
    except msgspec.DecodeError:
        return None
