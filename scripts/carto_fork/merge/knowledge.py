"""Everything that decisions rest on, gathered for one merge; and the decisions made from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ..fork import drops
from ..fork.fork import Fork
from ..fork.policy import Take
from ..run import git
from ..run.shell import Shell
from . import authorship, conflicts, decisions
from .decisions import Decision, Knowledge
from .evidence import Conflict, Customisations


def decide(
    sh: Shell,
    fork: Fork,
    work: Path,
    found: Sequence[Conflict],
    own: Customisations,
    ours: str,
    theirs: str,
    *,
    told: str = "",
    words: Mapping[str, Take] | None = None,
) -> list[Decision]:
    """A decision for each conflict of a merge of two commits.

    work: where the file of what people let go is read.
    told: the commit that holds the file of what people let go; "" for what is staged.
    words: what a person says now about some paths.
    """
    let_go = drops.read(git.show(sh, work, told, drops.FILE_NAME))
    textual = (path for one in found if one.texts for path in (one.path, *one.names))
    known = Knowledge(fork.policy, authorship.about(own, textual), let_go, words=words or {})
    decided = decisions.decide(found, known)
    undecided = [d.conflict.path for d in decided if d.left and d.text is not None]
    if undecided:
        # Earlier merges are made once more to learn from them: only where nothing else helps.
        upstream = [theirs, *fork.upstream_tips]
        memory = conflicts.remember(sh, fork.path, ours, upstream, undecided)
        if memory.past:
            decided = decisions.decide(found, replace(known, memory=memory))
    return decided
