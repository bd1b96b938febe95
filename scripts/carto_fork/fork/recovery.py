"""Clean up after killed runs: repair a private work tree, recreate it, or set it aside."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections import defaultdict
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import count
from pathlib import Path

from ..run import git
from ..run.shell import Shell
from ..run.steps import Journal, left_by_killed
from . import branches
from .fork import Fork
from .session import Session


def put_in_order(
    s: Session, fork: Fork, held: Journal | None, branch: str, commit: str = ""
) -> Fork:
    """Make a private work tree that earlier runs left behind usable again.

    This run holds the fork's lock (`held`; None with --dry, where nothing changes), so no other run
    uses the branch and its work tree. We remove the locks of a git that died there. A work tree
    that is half-made or that git can no longer read is removed if it contains only what git put
    there; otherwise it is moved away, because somebody may have worked in it. From here on no hook
    runs that would start programs from the merged tree. Returns the fork with its refs afterwards.

    branch: the work tree's branch. commit: the commit merged there; "" if none is, or if it is
        unknown.
    """
    if commit:
        s.run_no_launching_hooks(fork)
    if held is None:
        return fork
    sh, common, place = s.sh, fork.repository.common, fork.place_for(branch)
    ref, tag = f"refs/heads/{branch}", fork.policy.branches.tag_of(branch)
    admin = _admin(common, place)
    records = common / "refs" / "carto-fork" / "passed" / tag if tag else None
    for _ in range(50 * held.after_kill):  # a git that survived the kill may be about to finish
        if not _git_is_at_work(place, common, branch):
            break
        time.sleep(0.1)
    if held.after_kill and not _git_is_at_work(place, common, ""):
        (common / "config.lock").unlink(missing_ok=True)  # git holds it only briefly
    if not _git_is_at_work(place, common, branch):
        locks = [common / f"{ref}.lock", *(records.glob("*.lock") if records else ())]
        for lock in [*locks, *admin.rglob("*.lock")]:
            lock.unlink(missing_ok=True)
    _repair_ref(sh, fork, ref, wanted=admin.is_dir())
    for file in records.glob("*") if records else ():
        _repair_ref(sh, fork, str(file.relative_to(common)))
    noted = str(place) in (*held.unfinished, *held.removing)
    ours = noted or os.path.lexists(admin) or _link(place) == admin
    if ours and os.path.lexists(place):
        if _is_usable(sh, fork, held, place, admin, commit):
            _continue(sh, place, ref)
        elif _is_removable(sh, fork, held, place, ref, commit):
            shutil.rmtree(place, ignore_errors=True)
        else:
            aside = _set_aside(place)
            s.console.say(
                "An earlier run was cut off, and its work tree cannot be used. Its content is "
                f"kept in {git.nearest(aside)}; remove that directory when nobody needs it."
            )
    if os.path.lexists(admin) and not os.path.lexists(place):
        words = ["worktree", "remove", "--force", "--force", str(place)]
        if not sh.run(["git", "-C", str(fork.path), *words]).ok:
            shutil.rmtree(admin) if admin.is_dir() else admin.unlink()
    held.end(str(place))
    return replace(fork, refs=git.refs(sh, fork.path))


def is_half_made(fork: Fork, place: Path) -> bool:
    """Whether a killed run was changing a work tree, or removing it."""
    left = left_by_killed(fork.repository.common / "carto-fork.lock")
    return left is not None and str(place) in (*left.unfinished, *left.removing)


def damaged(sh: Shell, fork: Fork) -> Iterator[tuple[str, Path]]:
    """The upgrades whose work tree is damaged: tag and place."""
    common = fork.repository.common
    heads = [path.read_bytes() for path in common.glob("worktrees/*/HEAD") if path.is_file()]
    named = [os.fsdecode(head.strip()).removeprefix("ref: refs/heads/") for head in heads]
    for branch in dict.fromkeys([*fork.refs.branches(), *named]):
        place = fork.place_for(branch)
        admin = _admin(common, place)
        tag = fork.policy.branches.tag_of(branch)
        if not tag or not (os.path.lexists(place) or os.path.lexists(admin)):
            continue
        if is_readable(sh, place) and _names(admin) == place / ".git":
            state = git.work_state(sh, place)
            begun = state.merging or not state.dirty or branches.reopened(sh, place, state)
            if state.branch == f"refs/heads/{branch}" and begun:
                continue
        yield tag, place


def _admin(common: Path, place: Path) -> Path:
    """Where git keeps its data about a work tree, or would keep it."""
    candidates = sorted(common.glob("worktrees/*"))
    if own := next((admin for admin in candidates if _names(admin) == place / ".git"), None):
        return own
    admin = common / "worktrees" / place.name
    if (back := _link(place)) and back.parent == common / "worktrees":
        admin = back
    # It may belong to a work tree in another place.
    other = (link := _names(admin)) and link.is_file()
    return admin.with_name(f"{admin.name}.none") if other else admin


def _names(admin: Path) -> Path | None:
    """The `.git` file that this directory of git's belongs to; None if it names none."""
    try:
        return Path(os.fsdecode((admin / "gitdir").read_bytes().strip()))
    except OSError:
        return None


def _link(place: Path) -> Path | None:
    """The directory of git's data that a work tree names; None if it names none."""
    try:
        text = (place / ".git").read_bytes()
    except OSError:
        return None
    return Path(os.fsdecode(text.removeprefix(b"gitdir: ").strip()))


def _continue(sh: Shell, place: Path, ref: str) -> None:
    """Put an intact work tree back on its branch, and end a merge that is already committed."""
    state = git.work_state(sh, place)
    if state.merging and git.is_ancestor(sh, place, state.merging, state.head):
        git.checked(sh.do("git -C {work} merge --quit", work=place), "merge")
    question = "git -C {work} ls-files --others -z -- :(glob)**/.carto-fork.*"
    for left in git.checked(sh.ask(question, work=place), "temporary files").fields():
        (place / left).unlink()
    resting = not state.branch and branches.operation(git.directory(sh, place)) in ("", "merge")
    if resting and git.is_ancestor(sh, place, ref, state.head):
        # HEAD was detached; the commits made there come after the branch.
        for line in ("update-ref {ref} HEAD", "symbolic-ref HEAD {ref}"):
            git.checked(sh.do(f"git -C {{work}} {line}", work=place, ref=ref), "branch")


def _repair_ref(sh: Shell, fork: Fork, ref: str, *, wanted: bool = False) -> None:
    """Remove the file of a ref that names no commit; a crash of the machine leaves such files.

    wanted: whether the ref is needed; it is restored if its reflog knows the commit.
    """
    common = fork.repository.common
    file, log = common / ref, common / "logs" / ref
    if not (wanted or file.is_file()) or _commit(sh, fork, ref):
        return
    if file.is_file():
        file.unlink()
    lines = log.read_bytes().splitlines() if wanted and log.is_file() else []
    last = lines[-1].split(b" ")[1:2] if lines else []
    if last and (commit := _commit(sh, fork, os.fsdecode(last[0]))):
        line = "git -C {repo} update-ref {ref} {commit}"
        git.checked(sh.do(line, repo=fork.path, ref=ref, commit=commit), "branch")


def _commit(sh: Shell, fork: Fork, rev: str) -> str:
    """The commit that a ref or a name means, or ""."""
    question = "git -C {repo} rev-parse --quiet --verify --end-of-options {rev}^0"
    return sh.ask(question, repo=fork.path, rev=rev).line


def _is_usable(sh: Shell, fork: Fork, held: Journal, place: Path, admin: Path, commit: str) -> bool:
    """Whether a work tree is intact, as far as git and the journal know."""
    if not (is_readable(sh, place) and _names(admin) == place / ".git"):
        # The work tree and git's data about it may have lost each other. Next we see whether this
        # helped.
        sh.do("git -C {repo} worktree repair {place}", repo=fork.path, place=place)
        if not is_readable(sh, place):
            return False
    if str(place) in held.removing:
        return all(os.path.lexists(place / path) for path in git.work_state(sh, place).dirty)
    return str(place) not in held.unfinished or (
        # Git locks a work tree while it creates it.
        not (admin / "locked").exists() and _holds_merge(sh, place, commit)
    )


def is_readable(sh: Shell, place: Path) -> bool:
    """Whether git can read the state of a work tree and recognises it as its own."""
    if place.is_symlink() or not (place / ".git").is_file():
        return False
    question = "git -C {work} rev-parse --path-format=absolute --show-toplevel --git-path index"
    answer = sh.ask(question, work=place)
    if not answer.ok:
        return False
    top, index = map(Path, answer.line.split("\n"))
    head = sh.ask("git -C {work} rev-parse --quiet --verify HEAD^0", work=place)
    return top.resolve() == place.resolve() and head.ok and is_whole(index)


def is_whole(index: Path) -> bool:
    """Whether an index ends with its own checksum. Git does not check, and treats a truncated index
    as a wish to delete the missing files."""
    data = index.read_bytes() if index.is_file() else b""
    if not data.startswith(b"DIRC"):
        return False
    sums = {len(made(b"").digest()): made for made in (hashlib.sha1, hashlib.sha256)}
    return any(
        len(data) > size and data[-size:] in (made(data[:-size]).digest(), bytes(size))
        for size, made in sums.items()
    )


def _is_removable(sh: Shell, fork: Fork, held: Journal, place: Path, ref: str, commit: str) -> bool:
    """Whether an unusable work tree contains nothing that a person made."""
    if place.is_symlink() or not place.is_dir():
        return False
    began = held.removing.get(str(place))
    if began and not _changed_since(place, began):
        # Git only starts to remove a work tree if everything in it is committed or ignored.
        state = git.work_state(sh, place) if is_readable(sh, place) else None
        if state is None or not (
            state.untracked or any(os.path.lexists(place / path) for path in state.dirty)
        ):
            return True
    trees = [name for name in (_commit(sh, fork, ref), commit) if name]
    merging = "git -C {place} -c merge.conflictStyle=diff3 merge-tree --write-tree HEAD {commit}"
    if commit and (merged := sh.ask(merging, place=place, commit=commit).out):
        trees.append(merged.split("\n", 1)[0])
    expected: dict[str, set[str]] = defaultdict(set)
    for tree in trees:
        for path, (_, name) in git.tree(sh, fork.path, tree).items():
            expected[path].add(name)
    return bool(trees) and all(
        _is_written(sh, fork, file, expected.get(str(file.relative_to(place)), ()))
        for folder, names, files in os.walk(place)
        for file in (Path(folder) / name for name in (*names, *files))
        if file != place / ".git" and (file.is_symlink() or not file.is_dir())
    )


def _is_written(sh: Shell, fork: Fork, file: Path, names: Collection[str]) -> bool:
    """Whether a file contains one of some objects, or the part of one that a killed git wrote:
    whole pages, because the system copies no less. A file that a person cut does not count."""
    data = os.fsencode(file.readlink()) if file.is_symlink() else file.read_bytes()
    texts = (text or "" for text in git.contents(sh, fork.path, list(names)))
    whole = (text.encode("utf-8", "surrogateescape") for text in texts)
    pages = data and len(data) % _PAGE == 0
    return any(text == data or (pages and text.startswith(data)) for text in whole)


_PAGE = 4096


def _set_aside(place: Path) -> Path:
    """Move a work tree away so that git no longer treats it as one; returns its new place."""
    numbers = (place.with_name(f"{place.name}.cut-{number}") for number in count(1))
    aside = next(path for path in numbers if not os.path.lexists(path))
    place.rename(aside)
    link = aside / ".git"
    if not aside.is_symlink() and (link.is_file() or link.is_symlink()):
        link.unlink()
    return aside


def cut_off(fork: Fork) -> list[Path]:
    """The directories of work trees that were set aside."""
    home = fork.home.absolute()
    return sorted(home.parent.glob(f"{home.name}.*.cut-*"))


def _changed_since(place: Path, when: float) -> bool:
    """Whether anything in a directory was written after a time (seconds since 1970)."""
    return any(
        (Path(folder) / name).lstat().st_mtime > when
        for folder, _, names in os.walk(place)
        for name in names
    )


def _git_is_at_work(place: Path, common: Path, branch: str) -> bool:
    """Whether a git process works in a place, or on its branch in this clone, as far as the system
    shows.

    branch: "" for anything in this clone.
    """
    clone = common.parent if common.name == ".git" else common
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if not (process / "comm").read_text().startswith("git"):
                continue
            parent = (process / "stat").read_text().rpartition(")")[2].split()[1]
            if parent == str(os.getpid()):  # started by this run
                continue
            words = (process / "cmdline").read_bytes().decode("utf-8", "replace")
            cwd = (process / "cwd").resolve()
            on_branch = branch in words and (cwd.is_relative_to(clone) or str(clone) in words)
            if on_branch or str(place) in words or cwd.is_relative_to(place):
                return True
    return False


def _holds_merge(sh: Shell, place: Path, commit: str) -> bool:
    """Whether a merge of a commit is in progress or concluded in a work tree."""
    question = "git -C {work} merge-base --is-ancestor {commit} HEAD"
    return bool(commit) and (
        git.work_state(sh, place).merging == commit
        or sh.ask(question, work=place, commit=commit).ok
    )
