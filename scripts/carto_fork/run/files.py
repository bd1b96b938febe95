"""Changing files: whole or not at all, or as a command to paste."""

from __future__ import annotations

import difflib
import os
import re
import shlex
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path, PurePosixPath

from . import git
from .errors import Refused
from .shell import Shell
from .text import c_escaped, lines_of, printable


def below(top: Path, path: str) -> Path:
    """A file of a work tree, or where it would be. Raises Refused if a link leads there, or it is
    something else: what a tree holds may have been put there to lead out of it."""
    parts = PurePosixPath(path).parts
    if not parts or parts[0] == "/" or ".." in parts:
        raise Refused(f"{printable(path)} is not a path below {top}.", then="correct it.")
    place = top
    for part in parts:
        place /= part
        if place.is_symlink():
            raise _strange(place, "a link")
    if place.exists() and not place.is_file():
        raise _strange(place, "no file")
    return place


def _strange(place: Path, what: str) -> Refused:
    return Refused(
        f"{printable(str(place))} is {what}, and what belongs there is a file.",
        then="see how it got there, put it right, commit that, then run the same command again.",
    )


def text_below(top: Path, path: str) -> str | None:
    """The text of a file of a work tree, as `read_text` gives it; None if it is not there. Raises
    Refused as `below` does."""
    place = below(top, path)
    return read_text(place) if place.exists() else None


def read_text(path: Path) -> str:
    """A text file with its line ends as they are; bytes that are not UTF-8 as lone surrogates."""
    return path.read_bytes().decode("utf-8", "surrogateescape")


def replace_text(path: Path, text: str) -> None:
    """Give a file a new content, keeping its mode; a full disk leaves it as it was."""
    path = path.resolve()
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".carto-fork.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(text.encode("utf-8", "surrogateescape"))
        if path.exists():
            shutil.copymode(path, name)
        else:
            os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(name)
        raise


def patch_command(work: Path, path: str, before: str | None, after: str) -> str:
    """A shell command that changes a file of a work tree, or makes it (`before` is None), ready to
    be pasted."""
    old, new = _quoted(f"a/{path}") if before is not None else "/dev/null", _quoted(f"b/{path}")
    lines = difflib.unified_diff(lines_of(before or ""), lines_of(after), old, new)
    ended = (x if x.endswith("\n") else f"{x}\n\\ No newline at end of file\n" for x in lines)
    # No line of a patch can end it: each begins with one of ` +-@\`, and names are quoted.
    command = f"git -C {shlex.quote(str(work))} apply --whitespace=nowarn <<'END_OF_PATCH'"
    return f"{command}\n{''.join(ended)}END_OF_PATCH"


def new_file_command(path: Path, text: str) -> str:
    """A shell command that writes a file, ready to be pasted; the text ends with a line end."""
    return f"cat > {shlex.quote(str(path))} <<'END_OF_FILE'\n{text}END_OF_FILE"


def _quoted(path: str) -> str:
    """A path as git writes it in a patch: in C's notation where it is not plain."""
    return path if re.fullmatch(r"[!#-\[\]-~]+", path) else f'"{c_escaped(path)}"'


def write_staged(sh: Shell, work: Path, path: str, before: str | None, after: str) -> None:
    """Give a file of a work tree a new text, and stage it; `before` is None if it is new."""
    if sh.dry:
        sh.show(patch_command(work, path, before, after))
    elif after != before:
        replace_text(below(work, path), after)
    # Forced: it belongs there, whatever a .gitignore file says.
    words = ["git", "-C", str(work), "--literal-pathspecs", "add", "--force", "--", path]
    git.checked(sh.run(words), "file")
