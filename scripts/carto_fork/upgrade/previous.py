"""What an earlier run of an upgrade has left: its options, what nobody has resolved, and what
`--abort` saved."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

import msgspec

from ..fork import records
from ..fork.fork import Fork
from ..fork.policy import Kind
from ..merge import conflicts
from ..merge.decisions import Decision
from ..run import files, git
from ..run.console import Console
from ..run.errors import Refused
from ..run.shell import Shell


@dataclass(frozen=True)
class Options:
    """The options of an upgrade.

    tag: the release, as typed.
    heal: record the lost ancestry of an earlier sync first. unhealed: merge without doing so.
    request: open or update the pull request if gh is installed.
    proposals: ask the policy's programs about the conflicts that are left.
    automatic: the automation runs it, which opens the pull request in a step of its own.
    """

    tag: str
    direct: bool = False
    push: bool = True
    tests: bool = True
    heal: bool = False
    unhealed: bool = False
    request: bool = True
    proposals: bool = True
    automatic: bool = False

    def words(self) -> dict[str, bool]:
        """The same as options of `upgrade-carto`, without the tag."""
        return {
            "direct": self.direct,
            "no_push": not self.push,
            "no_tests": not self.tests,
            "heal": self.heal,
            "unhealed": self.unhealed,
            "no_pr": not self.request,
            "no_proposals": not self.proposals,
        }


_ASKED = "asked.json"


def remember(fork: Fork, tag: str, options: Options) -> None:
    """Keep the options of an upgrade, so that other tasks can print how to continue it."""
    files.keep(fork.notes(tag) / _ASKED, msgspec.json.encode(options).decode())


def remembered(fork: Fork, tag: str) -> Options:
    """The options of the last run of an upgrade in this clone."""
    try:
        return msgspec.json.decode((fork.notes(tag) / _ASKED).read_bytes(), type=Options)
    except (OSError, msgspec.MsgspecError):
        return Options(tag)


# --- What nobody has resolved --------------------------------------------------------------------

LEFT = "Left for a person to resolve:"
"""Stands in the message of a merge that was published with conflicts, above their paths."""


def unresolved(
    sh: Shell,
    fork: Fork,
    decisions: Sequence[Decision],
    ours: str,
    theirs: str,
    merge: str,
    head: str,
) -> list[str]:
    """The paths on a sync branch whose conflict nobody has resolved yet.

    A text is unresolved while it has markers; anything else, if the merge was published with
    conflicts, until a person commits after it.
    """
    left = {d.conflict.path: d.conflict.kind for d in decisions if d.left}
    marked = {path for path, _ in conflicts.markers_left(sh, fork.path, [ours, theirs], head)}
    # Whoever commits any other merge has decided what markers cannot show.
    message = git.ask(sh, fork.path, "log -1 --format=%B {merge} --", "merge", merge=merge).out
    if f"\n{LEFT}\n" not in message:
        return sorted(marked)
    messages = fork.policy.messages
    own_subjects = "|".join(
        re.sub(r"\\{(version|tag)\\}", r"\\S+", re.escape(message))
        for message in (messages.version, records.PIN_MESSAGE)
    )
    subjects = git.subjects(sh, fork.path, f"{merge}..{head}")
    touched = any(not re.fullmatch(own_subjects, subject) for subject in subjects)
    kinds = (Kind.CONTENT, Kind.ADD_ADD)
    others = [path for path, kind in left.items() if kind not in kinds and not touched]
    return sorted(marked | set(others))


# --- What `--abort` saved ------------------------------------------------------------------------

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
    saved = [_SUBJECT.format(tag=tag)]
    if head in ("", pushed) or git.subjects(sh, fork.path, "-1", head) != saved:
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
    changed = sorted(written & present)
    files.on_paths(sh, place, "restore --source={saved} --worktree", changed, saved=saved)
    staged = git.ask(sh, place, f"{question} --cached {{saved}} --", "files", saved=saved).fields()
    folders = tuple(path for path in unstaged if path.endswith("/"))
    loose = {path for path in staged if path in unstaged or path.startswith(folders)}
    again = sorted({*staged} - {*unmerged} - loose)
    files.on_paths(sh, place, "reset --quiet {saved}", again, saved=saved)
