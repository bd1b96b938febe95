"""One run at a time on a fork, and what a run that was killed has left unfinished.

The lock is the kernel's (flock), so it ends with the process however that ends. The file says who
has the lock and, while a step makes a directory, which one: a run that finds it there was preceded
by one that was killed, and the directory is neither the old state nor the new one.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from .errors import Refused


@dataclass(frozen=True)
class _Entry:
    """What the lock file holds."""

    pid: int
    task: str
    unfinished: list[str] = field(default_factory=list)


class Journal:
    """The open lock file of a run.

    after_kill: whether the run before this one was killed.
    """

    def __init__(self, descriptor: int, task: str, before: _Entry | None = None) -> None:
        # A run that ends by itself leaves the file empty, or what is unfinished.
        self.after_kill = before is not None
        self._descriptor = descriptor
        self._note(_Entry(os.getpid(), task, before.unfinished if before else []))

    @property
    def unfinished(self) -> list[str]:
        """Directories that are in no state that anybody chose; absolute paths."""
        return self._entry.unfinished

    def begin(self, directory: str) -> None:
        """Note that a step is about to make or change a directory."""
        others = [path for path in self.unfinished if path != directory]
        self._note(replace(self._entry, unfinished=[*others, directory]))

    def end(self, directory: str) -> None:
        """Note that the directory is in order, or gone."""
        left = [path for path in self.unfinished if path != directory]
        self._note(replace(self._entry, unfinished=left))

    def close(self) -> None:
        """Give the lock back; what is unfinished stays noted."""
        if not self.unfinished:
            self._write(b"")
        os.close(self._descriptor)

    def _note(self, entry: _Entry) -> None:
        self._entry = entry
        # JSON's escapes also carry what is not UTF-8.
        self._write(json.dumps(asdict(entry)).encode())

    def _write(self, content: bytes) -> None:
        # Written before it is cut to length: a full disk then fails with the old entry in place.
        os.pwrite(self._descriptor, content, 0)
        os.ftruncate(self._descriptor, len(content))


@contextmanager
def locked(common: Path, task: str) -> Iterator[Journal]:
    """Hold the fork's lock.

    common: the fork's common git directory.
    task: what to tell a second run.
    Raises Refused when another run has the lock, or the directory cannot be written to.
    """
    try:
        descriptor = os.open(common / "carto-fork.lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        problem = f"{common} cannot be written to: {error.strerror}."
        raise Refused(problem, then="see who owns it, then run the same command again.") from None
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
    journal = Journal(descriptor, task, _read(descriptor))
    try:
        yield journal
    finally:
        journal.close()


def _read(descriptor: int) -> _Entry | None:
    try:
        return _Entry(**json.loads(os.pread(descriptor, 1 << 20, 0)))
    except (ValueError, TypeError):
        return None
