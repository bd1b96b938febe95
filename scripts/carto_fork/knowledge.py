"""Everything that decisions rest on, gathered for one merge; and the decisions made from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from . import conflicts, customisations, decisions, drops, git
from .decisions import Decision, Knowledge
from .evidence import Conflict, Customisations
from .policy import Policy, Take
from .shell import Shell


def decide(
    sh: Shell,
    repo: Path,
    policy: Policy,
    found: Sequence[Conflict],
    own: Customisations,
    ours: str,
    upstream: Sequence[str],
    *,
    told: str = "",
    words: Mapping[str, Take] | None = None,
) -> list[Decision]:
    """A decision for each conflict of a merge into a commit.

    told: the commit that holds the file of what people let go; "" for what is staged.
    words: what a person says now about some paths.
    """
    let_go = drops.read(git.show(sh, repo, told, drops.FILE_NAME))
    textual = (path for one in found if one.texts for path in (one.path, *one.names))
    known = Knowledge(policy, customisations.about(own, textual), let_go, words=words or {})
    decided = decisions.decide(found, known)
    undecided = [d.conflict.path for d in decided if d.left and d.text is not None]
    if undecided:
        # Earlier merges are made once more to learn from them: only where nothing else helps.
        memory = conflicts.remember(sh, repo, ours, upstream, undecided)
        if memory.past:
            decided = decisions.decide(found, replace(known, memory=memory))
    return decided
