"""What nobody has resolved yet on a sync branch."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from ..fork import records
from ..fork.fork import Fork
from ..fork.policy import Kind
from ..merge import conflicts
from ..merge.decisions import Decision
from ..run import git
from ..run.shell import Shell

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
    found = subjects(sh, fork.path, f"{merge}..{head}")
    touched = any(not re.fullmatch(own_subjects, subject) for subject in found)
    kinds = (Kind.CONTENT, Kind.ADD_ADD)
    others = [path for path, kind in left.items() if kind not in kinds and not touched]
    return sorted(marked | set(others))


def subjects(sh: Shell, repo: Path, among: str, which: str = "") -> list[str]:
    """The subjects of some commits."""
    question = f"log {which} --no-show-signature --format=%s {{among}} --"
    return git.ask(sh, repo, question, "commits", among=among).out.splitlines()
