"""Change files: completely or not at all, or as a command to paste."""

from __future__ import annotations

import difflib
import os
import re
import shlex
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath

from . import git
from .errors import Refused
from .shell import Shell, batches, fill
from .text import c_escaped, lines_of, printable


def below(top: Path, path: str) -> Path:
    """The place of a file in a work tree, whether or not it exists. Raises Refused if a symbolic
    link is on the way or it is not a regular file: somebody may have put it there to lead out of
    the tree."""
    parts = PurePosixPath(path).parts
    if not parts or parts[0] == "/" or ".." in parts:
        raise Refused(f"{printable(path)} is not a path below {top}.", then="correct the path.")
    place = top
    for part in parts:
        place /= part
        if place.is_symlink():
            raise _strange(place, "a symbolic link")
    if place.exists() and not place.is_file():
        raise _strange(place, "not a regular file")
    return place


def _strange(place: Path, what: str) -> Refused:
    return Refused(
        f"{printable(str(place))} is {what}; a regular file belongs there.",
        then="find out how it got there, fix and commit it, then run the same command again.",
    )


def text_below(top: Path, path: str) -> str | None:
    """The text of a file in a work tree, as `read_text` returns it; None if it does not exist.
    Raises Refused as `below` does."""
    place = below(top, path)
    return read_text(place) if place.exists() else None


def read_text(path: Path) -> str:
    """The text of a file with its line ends unchanged; bytes that are not UTF-8 become lone
    surrogates."""
    return path.read_bytes().decode("utf-8", "surrogateescape")


def keep(path: Path, text: str) -> None:
    """Write a text for later; its directory may be missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def replace_text(path: Path, text: str) -> None:
    """Replace the content of a file and keep its mode; a full disk leaves the file unchanged."""
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
    """A shell command to paste that changes a file in a work tree, or creates it (`before` is
    None)."""
    old, new = _quoted(f"a/{path}") if before is not None else "/dev/null", _quoted(f"b/{path}")
    lines = difflib.unified_diff(lines_of(before or ""), lines_of(after), old, new)
    ended = (x if x.endswith("\n") else f"{x}\n\\ No newline at end of file\n" for x in lines)
    # No line of a patch can end it: each begins with one of ` +-@\`, and names are quoted.
    command = f"{git.at(work)} apply --whitespace=nowarn <<'END_OF_PATCH'"
    return f"{command}\n{''.join(ended)}END_OF_PATCH"


def new_file_command(path: Path, text: str) -> str:
    """A shell command to paste that writes a file; the text must end with a line end."""
    return f"cat > {shlex.quote(str(path))} <<'END_OF_FILE'\n{text}END_OF_FILE"


def _quoted(path: str) -> str:
    """A path as git writes it in a patch: in C's notation unless it is plain."""
    return path if re.fullmatch(r"[!#-\[\]-~]+", path) else f'"{c_escaped(path)}"'


def write_staged(sh: Shell, work: Path, path: str, before: str | None, after: str) -> None:
    """Write a new text into a file of a work tree and stage it; `before` is None if the file is
    new."""
    if sh.dry:
        sh.show(patch_command(work, path, before, after))
    elif after != before:
        replace_text(below(work, path), after)
    # Forced: it belongs there, whatever a .gitignore file says.
    on_paths(sh, work, "add --force", [path])


def on_paths(sh: Shell, work: Path, command: str, paths: Sequence[str], **values: str) -> None:
    """Run a git command on files of a work tree, however many they are; not at all if there is
    none.

    command: such as ``restore --source={commit}``. values: what its placeholders mean.
    Raises Failed if it fails.
    """
    line = f"git -C {{work}} --literal-pathspecs {command} -- {{paths}}"
    for batch in batches(paths):
        words = fill(line, {"work": work, "paths": batch, **values})
        git.checked(sh.run(words), "files")


def commit(sh: Shell, work: Path, message: str, *paths: str) -> None:
    """Commit what is staged, or what some files have become. Raises Failed if git or a hook
    fails."""
    words = ["git", "-C", str(work), "commit", "--quiet", "-m", message]
    git.checked(sh.run([*words, *(("--", *paths) if paths else ())]), "commit")
