"""What runs that died left behind: the private work tree is put in order, or moved aside."""

from __future__ import annotations

import hashlib
import os
import shutil
from contextlib import suppress
from itertools import count
from pathlib import Path

from ..fork.fork import Fork
from ..run.shell import Shell
from ..run.steps import Journal
from .plan import place_of


def put_in_order(sh: Shell, fork: Fork, journal: Journal, tag: str, commit: str) -> Path | None:
    """Make what an upgrade finds of earlier runs something to go on from.

    This run holds the fork's lock, so that the work tree of the upgrade and its branch are nobody
    else's. Locks that a git which died has left there are removed. A work tree that was cut while
    a step made it, or that git cannot read any more, is moved away: nothing in it is removed, since
    somebody may have worked there. Returns where it is now; None if there was nothing to move.

    commit: what the tag stands for; "" if that is not known here.
    """
    place, branch = place_of(fork, tag), f"refs/heads/{fork.policy.branches.sync_for(tag)}"
    common = fork.repository.common
    admin = _admin(common, place)
    ours = [common / branch, *(common / "refs/carto-fork/passed" / tag / c for c in _CHECKS)]
    ours += [admin / name for name in ("index", "HEAD", "ORIG_HEAD", "MERGE_HEAD", "AUTO_MERGE")]
    if not _git_is_at_work(place, branch):
        for path in ours:
            path.with_name(f"{path.name}.lock").unlink(missing_ok=True)
    for path in (common / branch, *ours[1 : 1 + len(_CHECKS)]):
        # A machine that went down may have left the file of a ref, and nothing in it.
        if path.is_file() and not path.is_symlink() and not path.read_bytes().strip(b"\0\n "):
            path.unlink()
    aside = None
    began = journal.removing.get(str(place))
    if began and not _is_readable(sh, place) and not _changed_since(place, began):
        shutil.rmtree(
            place, ignore_errors=True
        )  # git had found nothing in it that is not committed
    cut = str(place) in journal.unfinished and not _holds_merge(sh, place, commit)
    if os.path.lexists(place) and (cut or (admin.is_dir() and not _is_readable(sh, place))):
        numbers = (place.with_name(f"{place.name}.cut-{number}") for number in count(1))
        aside = next(path for path in numbers if not os.path.lexists(path))
        place.rename(aside)
        # Git takes it for the work tree no longer, and forgets that there was one.
        link = aside / ".git"
        if link.is_file() or link.is_symlink():
            link.unlink()
    if admin.is_dir() and not os.path.lexists(place):
        words = ["worktree", "remove", "--force", "--force", str(place)]
        if not sh.run(["git", "-C", str(fork.path), *words]).ok:
            shutil.rmtree(admin)
    journal.end(str(place))
    return aside


_CHECKS = ("verify", "test", "lint")


def _admin(common: Path, place: Path) -> Path:
    """Where git keeps what it knows of a work tree; a path that is not there if it knows none."""
    for file in sorted(common.glob("worktrees/*/gitdir")):
        named = file.read_text(encoding="utf-8", errors="surrogateescape").strip()
        if named == str(place / ".git"):
            return file.parent
    return common / "worktrees" / f"{place.name}.none"


def _is_readable(sh: Shell, place: Path) -> bool:
    """Whether git can say what is going on in a work tree, and takes it for one of its own."""
    if not (place / ".git").is_file():
        return False
    question = "git -C {work} rev-parse --path-format=absolute --show-toplevel --git-path index"
    answer = sh.ask(question, work=place)
    if not answer.ok:
        return False
    top, index = map(Path, answer.line.split("\n"))
    head = sh.ask("git -C {work} rev-parse --quiet --verify HEAD^0", work=place)
    return top.resolve() == place.resolve() and head.ok and _is_whole(index)


def _is_whole(index: Path) -> bool:
    """Whether an index ends with its own checksum. Git does not look, and takes what is left of one
    that was cut for a wish to delete the rest."""
    data = index.read_bytes() if index.is_file() else b""
    sums = {len(made(b"").digest()): made for made in (hashlib.sha1, hashlib.sha256)}
    return any(
        len(data) > size and data[-size:] in (made(data[:-size]).digest(), bytes(size))
        for size, made in sums.items()
    )


def _changed_since(place: Path, when: float) -> bool:
    """Whether anything in a directory was written after a time, in seconds since the epoch."""
    return any(
        (Path(folder) / name).lstat().st_mtime > when
        for folder, _, names in os.walk(place)
        for name in names
    )


def _git_is_at_work(place: Path, branch: str) -> bool:
    """Whether a git of somebody's works in a place, as far as the system shows."""
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if not (process / "comm").read_text().startswith("git"):
                continue
            parent = (process / "stat").read_text().rpartition(")")[2].split()[1]
            if parent == str(os.getpid()):  # asked by this run
                continue
            words = (process / "cmdline").read_bytes().decode("utf-8", "replace")
            if str(place) in words or branch in words or (process / "cwd").resolve() == place:
                return True
    return False


def _holds_merge(sh: Shell, place: Path, commit: str) -> bool:
    """Whether a merge of a commit is in progress or concluded in a work tree."""
    merging = sh.ask("git -C {work} rev-parse --quiet --verify MERGE_HEAD^0", work=place)
    question = "git -C {work} merge-base --is-ancestor {commit} HEAD"
    return bool(commit) and (
        merging.line == commit or sh.ask(question, work=place, commit=commit).ok
    )
