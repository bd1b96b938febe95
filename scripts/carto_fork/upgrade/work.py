"""A release on its way into the fork: what all steps know of it, each thing found out once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..audit import review, verify
from ..audit.verify import Verification
from ..fork import bump, pins, target
from ..fork.fork import Fork
from ..fork.session import Session
from ..fork.tags import Tag
from ..merge import authorship, conflicts, knowledge, resolve
from ..merge.decisions import Decision
from ..merge.resolve import Resolution, Words
from ..run import git
from ..run.errors import Paused
from ..run.text import printable


class Work:
    """One merge of a release; its methods are what the steps of an upgrade call.

    theirs: the release's commit. place: the work tree of the merge.
    pausing: whether conflicts that are left stop the run; otherwise they are published as they are.
    fresh: whether the merge is made in this run, so that nobody has resolved anything of it yet.
    """

    def __init__(
        self,
        s: Session,
        fork: Fork,
        tag: Tag,
        theirs: str,
        place: Path = Path(),
        *,
        pausing: bool = True,
        fresh: bool = False,
    ) -> None:
        self.s, self.fork, self.tag, self.theirs, self.place = s, fork, tag, theirs, place
        self.pausing, self.fresh = pausing, fresh
        self.resolution: Resolution | None = None
        self._decisions: dict[str, tuple[Decision, ...]] = {}
        self._account: Verification | None = None

    def resolve(self) -> None:
        """Decide the conflicts of the merge in progress. Raises Paused if some need a person."""
        ours = git.commit_of(self.s.sh, self.place, "HEAD")
        self.resolution = settle(self.s, self.fork, self.place, ours, self.theirs)
        if self.fresh:
            self._decisions[ours] = self.resolution.decisions
        if self.pausing:
            require_nothing_left(self.s, self.resolution, self.place, "")

    def set_version(self) -> None:
        """Set the version to the tag's, and commit that."""
        bump.set_version(self.s, self.fork, self.place, self.tag.release)

    def record(self) -> None:
        """Write down what the tag stands for, and commit that."""
        pins.record(self.s, self.place, self.tag.name, self.theirs)

    def verify(self) -> None:
        """Account for every change of both sides. Raises CheckFailed if something is wrong."""
        checked = review.verify_release(self.s, self.fork, self.place, self.tag, as_step=True)
        self._account = checked
        review.keep(self.fork, self.tag.name, checked)

    def decisions(self, ours: str) -> tuple[Decision, ...]:
        """One for each conflict of the merge; made in the object store if no step has made them.

        ours: the fork's side.
        """
        if ours not in self._decisions:
            sh, fork, theirs = self.s.sh, self.fork, self.theirs
            own = authorship.of_fork(sh, fork, ours, theirs)
            found = conflicts.foresee(sh, fork.path, ours, theirs).conflicts
            decided = knowledge.decide(sh, fork, fork.path, found, own, ours, theirs, told=ours)
            self._decisions[ours] = tuple(decided)
        return self._decisions[ours]

    def account(self, ours: str, head: str) -> Verification:
        """The account of the merge at a commit of the sync branch: this run's, that of an earlier
        one about the very same commits, or else a new one."""
        made = self._account or review.kept(self.fork, self.tag.name)
        if made is None or (made.ours, made.theirs, made.result) != (ours, self.theirs, head):
            made = verify.of_merge(self.s.sh, self.fork, self.fork.path, ours, self.theirs, head)
        return made


def settle(
    s: Session,
    fork: Fork,
    place: Path,
    ours: str,
    theirs: str,
    words: Words | None = None,
    settled: Sequence[str] = (),
) -> Resolution:
    """Decide the conflicts in a work tree, and print what became of them; see `resolve.resolve`."""
    with s.console.working("resolve"):
        resolution = resolve.resolve(s.sh, fork, place, ours, theirs, words, settled)
    resolve.show(s.console, resolution)
    return resolution


def require_nothing_left(s: Session, resolution: Resolution, place: Path, conclude: str) -> None:
    """Raises Paused if conflicts or markers are left in a work tree.

    conclude: the command that goes on with the merge.
    """
    if resolution.marked:
        raise Paused(
            f"{printable(resolution.marked[0])} is staged with conflict markers in it.",
            untouched="Nothing was committed.",
            then=f"edit it in {git.named(place)}, `git add` it, then {conclude}",
        )
    if resolution.left and not s.sh.dry:
        count = len(resolution.left)
        raise Paused(
            f"{count} {'conflict needs' if count == 1 else 'conflicts need'} a person.",
            untouched="Nothing was committed; what could be decided is staged.",
            then=f"resolve in {git.named(place)}, `git add` each file, then {conclude}",
        )


def record_tag(s: Session, tag: str) -> None:
    """Write down in a work tree what a tag stands for, and commit that."""
    fork, place = s.open_work_tree()
    name = target.here(fork, target.asked_name(tag)).name
    pins.record(s, place, name, fork.refs.commits[f"refs/tags/{name}"])
