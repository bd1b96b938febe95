"""Processes: invoke's, with some habits changed; and programs that get a text and answer with one,
see nothing else, and leave nothing."""

from __future__ import annotations

import codecs
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from types import FrameType
from typing import IO, Any

from invoke.runners import Local

from .text import listed, printable


@contextmanager
def handling(
    numbers: Sequence[int], handler: Callable[[int, FrameType | None], None]
) -> Iterator[None]:
    """Handle signals differently for a while; those that this process ignores, as after `nohup`,
    stay ignored."""
    numbers = [number for number in numbers if signal.getsignal(number) != signal.SIG_IGN]
    before = [signal.signal(number, handler) for number in numbers]
    try:
        yield
    finally:
        for number, old in zip(numbers, before, strict=True):
            signal.signal(number, old)


class Process(Local):
    """Invoke's runner, with four habits changed.

    It does not search the whole output for prompts after every new piece, it checks more often
    whether the process has ended, it keeps bytes that are not UTF-8, and on Ctrl-C it sends the
    process a real SIGINT and remembers it: invoke would write a control character to its standard
    input and continue.
    """

    input_sleep = 0.0005
    read_chunk_size = 1 << 16
    interrupted = False

    def read_proc_output(self, reader: Any) -> Any:
        """The output, piece by piece."""
        decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        while data := reader(self.read_chunk_size):
            yield decoder.decode(data)
        yield decoder.decode(b"", final=True)

    @property
    def process_is_finished(self) -> bool:
        # The longer it takes, the less often we look.
        self.input_sleep = min(self.input_sleep * 1.1, 0.01)
        return bool(super().process_is_finished)

    def respond(self, buffer_: list[str]) -> None:
        """Look for no prompts."""

    def stop(self) -> None:
        """Close the pipes, too."""
        super().stop()
        if process := getattr(self, "process", None):  # None if it could not be started
            for pipe in (process.stdin, process.stdout, process.stderr):
                pipe.close()

    @contextmanager
    def forwarding_signals(self) -> Iterator[None]:
        """Pass Ctrl-C and termination on to the process and only note them here.

        An exception while a process is being started or awaited would leave it running.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def note(_number: int, _frame: FrameType | None) -> None:
            self.interrupted = True
            # A terminal sends Ctrl-C to the process itself; a second one would disturb its cleanup.
            timer = threading.Timer(0.3, self._pass_on)
            timer.daemon = True
            timer.start()

        with handling((signal.SIGINT, signal.SIGTERM, signal.SIGHUP), note):
            yield

    def start(self, command: str, shell: str, env: dict[str, Any]) -> None:
        """Start the process; pass on what arrived meanwhile."""
        super().start(command, shell, env)
        if self.interrupted:
            self._pass_on()

    def _pass_on(self) -> None:
        if process := getattr(self, "process", None):
            process.send_signal(signal.SIGINT)


_LONGEST = 4 << 20
"""Bytes an answer may have at most."""
_ALWAYS = re.compile(r"PATH|LANG|LANGUAGE|LC_\w+")
"""The environment variables every program sees."""


class Unanswered(Exception):
    """A program did not answer; the message says why."""


def answer(
    words: Sequence[str], question: str, *, seconds: float, variables: Iterable[str] = ()
) -> str:
    """What a program writes to standard output. It runs in an empty directory of its own.

    question: what it reads from standard input.
    seconds: how long it may take. variables: those of the environment that it sees besides PATH
        and the locale.
    Raises Unanswered if it fails, writes files, or answers too much.
    """
    allowed = {*variables}
    seen = {k: v for k, v in os.environ.items() if k in allowed or _ALWAYS.fullmatch(k)}
    words = [str(Path(word).expanduser()) if word[:2] == "~/" else word for word in words]
    if shutil.which(words[0]) is None:
        raise Unanswered(f"it cannot be run: {words[0]} is not a program")
    empty = tempfile.mkdtemp(prefix="carto-fork.")
    try:
        said = _answer([*alone(), *words], question, empty, seen, seconds)
    finally:
        # Nothing in it is followed or made writable: a program may have put links there.
        shutil.rmtree(empty, ignore_errors=True)
    try:
        return said.decode("utf-8")
    except UnicodeDecodeError:
        raise Unanswered("its answer is not UTF-8") from None


def _answer(
    words: Sequence[str], question: str, place: str, variables: Mapping[str, str], seconds: float
) -> bytes:
    """What a program answers that runs in an empty directory. Raises Unanswered."""
    try:
        process = subprocess.Popen(
            words,
            cwd=place,
            env=variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        raise Unanswered(f"it cannot be run: {error.strerror}") from None
    try:
        said, complaint, code = _listen(process, question, time.monotonic() + seconds)
    finally:
        _end(process)
    if len(said) > _LONGEST:
        raise Unanswered(f"its answer has more than {_LONGEST >> 20} MiB")
    if code is None:
        raise Unanswered(f"it did not finish within {seconds:.0f} seconds")
    if code:
        last = printable(complaint.decode(errors="replace").strip().rpartition("\n")[2][:200])
        raise Unanswered(f"it ended with {code}" + f", and said: {last}" * bool(last))
    try:
        written = sorted(os.listdir(place))
    except OSError:
        raise Unanswered("it removed its directory") from None
    if written or os.path.islink(place):
        raise Unanswered(f"it wrote files: {listed(written, 3)}")
    return said


@cache
def alone() -> tuple[str, ...]:
    """How a program is run so that it sees no other process and leaves none behind; empty where the
    system does not allow that."""
    options = ("user", "map-current-user", "pid", "fork", "mount-proc", "kill-child")
    words = ("unshare", *(f"--{option}" for option in options))
    try:
        done = subprocess.run([*words, "true"], capture_output=True, timeout=10, check=False)
    except (OSError, subprocess.SubprocessError):
        return ()
    return words if done.returncode == 0 else ()


def _listen(
    process: subprocess.Popen[bytes], question: str, end: float
) -> tuple[bytes, bytes, int | None]:
    """What a process writes to its two outputs until it ends, and its exit code; None if it did not
    finish in time or wrote too much.

    end: the deadline on the monotonic clock.
    """
    heard = {"answer": b"", "complaint": b""}
    too_much = threading.Event()

    def ask(to: IO[bytes]) -> None:
        with suppress(OSError), to:
            to.write(question.encode("utf-8", "surrogateescape"))

    def hear(what: str, source: IO[bytes], most: int) -> None:
        with source:
            heard[what] = source.read(most + 1)
            if what == "answer" and len(heard[what]) > most:
                too_much.set()
            while source.read(1 << 16):
                pass  # drain output that nobody reads, or the process would block

    assert process.stdin and process.stdout and process.stderr
    threads = [
        threading.Thread(target=ask, args=(process.stdin,), daemon=True),
        threading.Thread(target=hear, args=("answer", process.stdout, _LONGEST), daemon=True),
        threading.Thread(target=hear, args=("complaint", process.stderr, 1 << 16), daemon=True),
    ]
    for thread in threads:
        thread.start()
    while process.poll() is None and not too_much.is_set() and time.monotonic() < end:
        time.sleep(0.02)
    code = process.poll()
    _end(process)
    for thread in threads:
        thread.join(5)
    return heard["answer"], heard["complaint"], code


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and everything it started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
