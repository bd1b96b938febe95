"""A merge that somebody has begun in a work tree: what is merged, and how a person ends it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..fork import tags
from ..fork.fork import Fork
from ..fork.tags import TagUse
from ..run import git
from ..run.errors import Refused
from ..run.shell import Shell
from ..run.text import counted, listed, pathspec_word
from . import conflicts

_MOST_NAMED = 20


def own_branch(sh: Shell, fork: Fork, commit: str) -> str:
    """The fork's branch that a commit is on, production if it is one of them; "" for upstream's
    commit, or one that only a person's own branch has, or none.

    The rules about upstream may decide nothing in a merge of such a commit: neither side is
    upstream's.
    """
    policy = fork.policy
    known = (tags.classify(name, policy.tags) for name in fork.refs.tags_in([commit]))
    if not commit or any(tag and tag.scheme.use is not TagUse.OWN for tag in known):
        return ""
    origin, upstream = (
        f"refs/remotes/{r.name}/" for r in (policy.remotes.origin, policy.remotes.upstream)
    )
    # A person's own branch may be a release with a change on top.
    branches = policy.branches
    local = [branches.production, branches.mirror, branches.sync_for("*")]
    question = "for-each-ref --contains={commit} --format=%(refname) {local} {origin} {upstream}"
    names = {
        "commit": commit,
        "local": [f"refs/heads/{branch}" for branch in local],
        "origin": origin,
        "upstream": upstream,
    }
    refs = git.ask(sh, fork.path, question, "branches", **names).out.splitlines()
    found = [ref.removeprefix("refs/heads/").removeprefix(origin) for ref in refs]
    if policy.branches.mirror in found or any(ref.startswith(upstream) for ref in refs):
        return ""
    return next((x for x in found if x == policy.branches.production), found[0] if found else "")


def in_conflict(
    sh: Shell, work: Path, begun: git.WorkState, merged: Sequence[str] = ()
) -> set[str]:
    """The files of a merge that are in conflict, or staged with their markers.

    merged: its sides, if it is committed.
    """
    sides = [begun.head, begun.merging] if begun.merging else list(filter(None, merged))
    marked = conflicts.markers_left(sh, work, sides, conflicts.INDEX) if sides else ()
    return {*begun.unmerged, *(path for path, _ in marked)}


@dataclass(frozen=True)
class ByHand:
    """A merge in progress that no rule decides.

    own: the fork's branch that is merged; "" for something else. left: the files in conflict.
    what: half a sentence about it. how: the commands by which a person ends it. line: the first of
    them.
    """

    own: str
    left: Collection[str]
    what: str
    how: str
    line: str

    @property
    def why(self) -> str:
        """All about it, in a sentence."""
        return f"{self.what[0].upper()}{self.what[1:]}: {self.how.removesuffix('.')}."


def by_hand(
    sh: Shell, fork: Fork, work: Path, begun: git.WorkState, then: str = "", *, but: str = ""
) -> ByHand:
    """What there is to say about the merge in progress in a work tree.

    then: what continues afterwards. but: what should be merged there instead.
    """
    own, left = own_branch(sh, fork, begun.merging), in_conflict(sh, work, begun)
    what = f"the fork's own {own} ({begun.merging[:10]})" if own else begun.merging[:10]
    what += f", which is not {but}," if but and not own else ""
    text = f"a merge of {what} is in progress in {git.named(work)}"
    if left:
        text += f", with {counted(len(left), 'conflict')}: {listed(sorted(left), _MOST_NAMED)}"
    line = f"{git.at(work)} {'status' if left else 'merge --continue'}"
    return ByHand(own, left, text, way_out(work, left, then), line)


def way_out(work: Path, left: Collection[str], then: str = "") -> str:
    """The commands by which a person ends a merge that no rule decides.

    left: the files in conflict. then: what continues afterwards.
    """
    at = git.at(work)
    if not left:
        return f"{at} merge --continue (or --abort){then and ', '}{then}"
    names = [pathspec_word(path) for path in sorted(left)]
    every = " ".join(names) if len(names) <= _MOST_NAMED else "FILE"
    one, it = (names[0], "it") if len(names) == 1 else ("FILE", "a file")
    return (
        f"edit {'it' if len(names) == 1 else 'them'}, `{at} add -- {every}` (`{at} rm -- {one}` "
        f"removes {it}), then `{at} merge --continue` (or --abort){then and ', '}{then}"
    )


def require_upstreams(
    sh: Shell, fork: Fork, work: Path, begun: git.WorkState, then: str = ""
) -> None:
    """Raises Refused if the merge in progress in a work tree merges the fork's own branch.

    then: what continues after it.
    """
    merge = by_hand(sh, fork, work, begun, then)
    if merge.own:
        what = f"{merge.what}. Neither side is upstream's, so no rule decides anything there."
        raise Refused(what, then=merge.how)


def for_a_person(
    sh: Shell, fork: Fork, work: Path, then: str = "", *, but: str = ""
) -> ByHand | None:
    """The merge in progress in a work tree, if it is one that no rule decides: one of a fork's own
    branch, or of another commit than a release's.

    then: what continues afterwards. but: the release that should be merged there, if any.
    """
    begun = git.work_state(sh, work) if (work / ".git").exists() else None
    if begun is None or begun.merging in ("", fork.refs.tag(but)):
        return None
    merge = by_hand(sh, fork, work, begun, then, but=but)
    return merge if merge.own or but else None
