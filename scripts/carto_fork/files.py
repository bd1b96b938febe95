"""Changing files: whole or not at all, or as a command to paste."""

from __future__ import annotations

import difflib
import os
import shlex
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path


def read_text(path: Path) -> str:
    """A UTF-8 file with its line ends as they are."""
    return path.read_bytes().decode("utf-8")


def replace_text(path: Path, text: str) -> None:
    """Give an existing file a new content, keeping its mode; a full disk leaves it as it was."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(text.encode("utf-8"))
        shutil.copymode(path, name)
        os.replace(name, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(name)
        raise


def patch_command(work: Path, path: str, before: str, after: str) -> str:
    """A shell command that makes a change to a file of a work tree, ready to be pasted."""
    lines = difflib.unified_diff(
        before.splitlines(keepends=True), after.splitlines(keepends=True), f"a/{path}", f"b/{path}"
    )
    ended = (x if x.endswith("\n") else f"{x}\n\\ No newline at end of file\n" for x in lines)
    target = shlex.quote(str(work))
    return f"git -C {target} apply <<'END_OF_PATCH'\n{''.join(ended)}END_OF_PATCH"
