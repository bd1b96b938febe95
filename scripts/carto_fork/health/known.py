"""What origin and GitHub say about a fork now, and what its published branches wait for. Changes
nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cached_property

from ..audit import healing, inventory
from ..fork import branches
from ..fork.fork import Fork
from ..fork.tags import Tag, TagUse, newest
from ..run import git, github
from ..run.errors import Failed, Refused
from ..run.git import Refs
from ..run.github import Hub, Pull
from ..run.shell import Shell
from .status import Status
from .under_way import Advice


class Known:
    """A fork, its state, and what its remotes say; each is asked once, and only if needed.

    command: makes the command line of a task on this fork from its name and options.
    """

    def __init__(self, sh: Shell, fork: Fork, facts: Status, command: Callable[..., str]) -> None:
        self._sh, self._fork, self._facts, self._command = sh, fork, facts, command
        self._production = fork.policy.branches.production
        self._origin = fork.policy.remotes.origin
        self._at = git.at(fork.path)
        self._silent = False  # whether GitHub did not answer

    @cached_property
    def _remote(self) -> Refs | None:
        """Origin's production branch, sync branches and tags as they are now; None if origin does
        not answer."""
        syncs = self._fork.policy.branches.sync_for("*")
        wanted = [f"refs/heads/{self._production}", f"refs/heads/{syncs}", "refs/tags/*"]
        return git.remote_refs(self._sh, self._fork.path, self._origin.name, wanted, git.PATIENCE)

    @property
    def _lacking(self) -> bool:
        """Whether origin answers, and has no production branch."""
        head = f"refs/heads/{self._production}"
        return self._remote is not None and not self._remote.objects.get(head)

    @property
    def _hosted(self) -> bool:
        """Whether origin is on GitHub; only there can tasks open pull requests."""
        return github.slug_of(self._origin.url) is not None

    @cached_property
    def _hub(self) -> Hub | None:
        fork = self._fork
        return fork.hub(self._origin) if github.can_be_asked(fork.gh, self._origin.url) else None

    def _pull(self, hub: Hub, branch: str) -> Pull | None:
        """A branch's newest pull request; None if it has none, or GitHub does not answer, which is
        noted."""
        asked = {"base": self._production, "state": "all", "head": branch}
        try:
            pulls = github.pulls(self._sh, hub, **asked, timeout=git.PATIENCE)
        except Failed:
            self._silent = True
            return None
        return next((pull for pull in pulls if pull.state == "OPEN"), pulls[0] if pulls else None)

    @cached_property
    def _syncs(self) -> dict[str, Pull | None]:
        """The pull requests of the published upgrades, by tag."""
        there, hub = {*self._fork.published}, self._hub
        published = [one for one in self._facts.in_progress if one.branch in there]
        return {one.tag: self._pull(hub, one.branch) if hub else None for one in published}

    @cached_property
    def _own_release(self) -> Tag | None:
        names = [*self._fork.refs.tags(), *(self._remote.tags() if self._remote else ())]
        return newest(names, self._fork.policy.tags, TagUse.OWN)

    def _read(self, path: str) -> str | None:
        """A file of the production branch."""
        return git.show(self._sh, self._fork.path, self._fork.production_commit, path)

    # --- What published branches wait for

    def _merged(self, branch: str) -> Advice:
        """What brings a published branch into production if nobody can open a pull request."""
        at, origin, production = self._at, self._origin.name, self._production
        log = f"log -p --cc {origin}/{production}..{origin}/{branch}"
        if self._hosted:
            return Advice(f"{at} {log}", f"{branch} is published: review this, then merge it.")
        why = f"{branch} is published. Once you have reviewed it (`{at} {log}`), this "
        line = branches.landing(self._sh, self._fork, branch)
        return Advice(line, f"{why}brings it into {production}.")

    def _heal(self, why: str) -> Iterator[Advice]:
        """How to restore the ancestry of a sync, if the history shows that it is lost.

        why: another sign that it is lost; "" for none.
        """
        fork = self._fork
        if not fork.upstream_tips:
            fetch = f"{self._at} fetch {fork.policy.remotes.upstream.name}"
            if why:
                yield Advice(fetch, f"{why} To heal that, this clone needs upstream's branch.")
            return
        try:
            lost = inventory.lost(self._sh, fork)
        except Refused as no:
            yield Advice(
                self._command("fork.heal", check=True), f"{no.what} This prints what helps."
            )
            return
        if lost is None:
            return
        for branch in filter(healing.BRANCH.fullmatch, fork.published):
            yield from self._requested(branch, branches.NEVER_SQUASHED)
        does = (
            "says what prevents healing it" if lost.hidden else "records the ancestry that was lost"
        )
        why = f"{why or f'{healing.described(lost)}.'} This {does}."
        yield Advice(healing.way_out(lost, self._command), why)

    def _requested(self, branch: str, how: str = "") -> Iterator[Advice]:
        """The next step of a published branch that is not merged yet.

        how: how it has to be merged; "" if that does not matter.
        """
        hub = self._hub
        if hub is None:
            yield self._merged(branch)
            return
        pull = self._pull(hub, branch)
        if pull is None:
            ref = self._fork.tracking(self._origin, branch)
            create = branches.requesting(self._sh, self._fork, branch, ref, how)
            yield Advice(create, f"{branch} is published: ask for a review.")
        elif pull.state == "OPEN":
            yield review(self._sh, hub, pull, how)


def _is_approved_as_it_is(sh: Shell, hub: Hub, pull: Pull) -> bool:
    """Whether an approval is of the newest commit, as far as GitHub says: it may keep one although
    somebody has pushed since."""
    with suppress(Failed):
        said = github.reviews(sh, hub, str(pull.number), pull.commit)
        return any(state == "APPROVED" for _, state in said)
    return True


def review(sh: Shell, hub: Hub, pull: Pull, how: str = "") -> Advice:
    """What to do about an open pull request. how: how to merge it, if that matters."""
    if pull.approved and not _is_approved_as_it_is(sh, hub, pull):
        why = f"Pull request {pull.number} is approved, but not its newest commit, which is "
        return Advice(github.view(hub, pull.number), f"{why}waiting for a review.")
    if pull.approved:
        more = how.removeprefix(branches.NEVER_SQUASHED)
        why = f"Pull request {pull.number} is approved; once its checks pass, this merges it with "
        return Advice(github.merge(hub, pull.number), f"{why}a merge commit{more}.")
    merge = f"{branches.NEVER_SQUASHED}: `{github.merge(hub, pull.number)}`"
    how = f"; {how.replace(branches.NEVER_SQUASHED, merge)}" if how else ""
    why = f"Pull request {pull.number} is waiting for a review{how}."
    return Advice(github.view(hub, pull.number), why)
