"""What `--abort` saves of an upgrade, and how it is brought back as it was: uncommitted."""

from __future__ import annotations

import json
from collections.abc import Set
from pathlib import Path
from shlex import quote

from ..fork.fork import Fork
from ..run import git
from ..run.console import Console
from ..run.errors import Refused
from ..run.shell import Shell, batches

_SUBJECT = "wip: what there was of the upgrade to {tag} when it was given up"
_MOST_CHARACTERS = 100_000  # one argument of a program has at most 128 KB


def message(tag: str, state: git.WorkState) -> str:
    """The message of the commit that saves what is not committed.

    It names the paths in conflict and those that are not staged, which a commit cannot show.
    """
    paths = json.dumps([state.unmerged, [*state.unstaged, *state.untracked]])
    noted = f"\n\n{paths}" if len(paths) < _MOST_CHARACTERS else ""
    return _SUBJECT.format(tag=tag) + noted


def ref_of(tag: str) -> str:
    """The ref that has such a commit while it is brought back."""
    return f"refs/carto-fork/saved/{tag}"


def pending(sh: Shell, fork: Fork, tag: str, work: Path, pushed: str) -> str:
    """The commit at the end of a sync branch in which `--abort` saved an upgrade; "" if it ends
    with another one, or if somebody pushed it.

    Raises Refused if the branch is checked out.
    """
    sync = fork.policy.branches.sync_for(tag)
    head = fork.refs.commits.get(f"refs/heads/{sync}", "")
    question = "log -1 --no-show-signature --format=%s {head} --"
    if head in ("", pushed) or (
        git.ask(sh, fork.path, question, "commit", head=head).line != _SUBJECT.format(tag=tag)
    ):
        return ""
    if work.exists():
        raise Refused(
            f"{sync} ends with what --abort saved, and is checked out in {git.named(work)}.",
            then=f"{git.at(fork.path)} worktree remove {quote(str(work))}, "
            "then run the same command again.",
        )
    return head


def bring_back(sh: Shell, console: Console, fork: Fork, place: Path, tag: str) -> None:
    """Make the files and the index of a work tree what they were when the upgrade was given up, if
    that is still to be done. A file that somebody has changed since stays as it is.

    place: a work tree in which git has made the merge again, if it was in progress then.
    """
    saved = git.refs(sh, fork.path).commits.get(ref_of(tag), "")
    if not saved:
        return
    state = git.work_state(sh, place)
    if state.head == git.commit_of(sh, place, f"{saved}^"):
        _write(sh, place, saved, state)
    else:
        console.say(f"The branch has moved: {saved[:10]}, which --abort saved, is not used.")
    forget = "git -C {work} update-ref -d {ref} {saved}"
    git.checked(sh.do(forget, work=place, ref=ref_of(tag), saved=saved), "saved commit")


def _write(sh: Shell, place: Path, saved: str, state: git.WorkState) -> None:
    body = "log -1 --no-show-signature --format=%b {saved} --"
    noted = git.ask(sh, place, body, "commit", saved=saved).line
    unmerged, unstaged = json.loads(noted) if noted else (state.unmerged, ())
    # What git's merge wrote, or else what is committed.
    tree = "AUTO_MERGE^{tree}" if state.merging else "HEAD^{tree}"
    tree = git.ask(sh, place, "rev-parse --verify {rev}", "merge", rev=tree).line
    question = "diff --name-only --no-renames --no-ext-diff --ignore-submodules=all -z"
    edited = git.ask(sh, place, f"{question} {{tree}} --", "files", tree=tree).fields()
    written = {*git.differing(sh, place, tree, saved)} - {*edited}
    present = git.tree(sh, place, saved).keys()
    for file in (place / path for path in written - present):
        if file.is_symlink() or file.is_file():
            file.unlink()
    _take(sh, place, "restore --source={saved} --worktree", saved, written & present)
    staged = git.ask(sh, place, f"{question} --cached {{saved}} --", "files", saved=saved).fields()
    folders = tuple(path for path in unstaged if path.endswith("/"))
    loose = {path for path in staged if path in unstaged or path.startswith(folders)}
    _take(sh, place, "reset --quiet {saved}", saved, {*staged} - {*unmerged} - loose)


def _take(sh: Shell, place: Path, command: str, saved: str, paths: Set[str]) -> None:
    line = f"git -C {{work}} --literal-pathspecs {command} -- {{paths}}"
    for batch in batches(sorted(paths)):
        git.checked(sh.do(line, work=place, saved=saved, paths=batch), "files")
