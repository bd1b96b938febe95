"""The one command to type next, whatever state a fork is in. Changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from shlex import quote

from ..adopt.copies import BRANCH, Copy, State, compare, is_needed, missing, waiting
from ..audit import healing
from ..fork import branches, detection, records, setup, version_files
from ..fork.fork import Fork, open_fork, wrong_urls
from ..fork.policy import POLICY_FILE, load_policy
from ..fork.tags import classify
from ..merge.reverted import reverted_sync
from ..run import files, git, github
from ..run.errors import Refused
from ..run.git import Refs
from ..run.github import Pull
from ..run.shell import Shell
from ..run.text import counted, listed, printable
from ..upgrade import begun
from ..upgrade.begun import remembered
from . import status, under_way
from .known import Known, review
from .status import InProgress, Status
from .under_way import Advice


def read(sh: Shell, path: Path, command: Callable[..., str], *, changes: bool = True) -> Advice:
    """Find out what to do next in a directory.

    command: makes the command line of a task on this fork from its name and options.
    changes: whether a branch with a fork change that is checked out counts.
    Raises Refused if git is missing or too old.
    """
    git.require_version(sh)
    try:
        fork = open_fork(sh, path)
    except Refused as no:
        if "not a git repository (fatal: not a git" not in no.what:
            raise
        url = load_policy().policy.remotes.origin.url
        why = f"{printable(git.named(path))} is not a git repository."
        clone = git.nearest(path / Path(url).name.removesuffix(".git"))
        if (clone / ".git").exists():
            return Advice(command("next", repo=str(clone)), f"{why} A clone is in it.")
        return Advice(f"git clone {quote(url)}", why)
    facts = status.read(sh, fork)
    if not changes:
        facts = replace(facts, checked_out="")
    advice = of(sh, fork, facts, command)
    said = [advice.why, *(f"{note[0].upper()}{note[1:]}." for note in facts.notes)]
    return Advice(advice.command, " ".join(said))


def of(sh: Shell, fork: Fork, facts: Status, command: Callable[..., str]) -> Advice:
    """What to do next in a fork in the given state."""
    return next(_Adviser(sh, fork, facts, command).all())


class _Adviser(Known):
    """Finds what there is to do."""

    def all(self) -> Iterator[Advice]:
        """Everything that there is to do, most urgent first."""
        yield from self._checkout()
        yield from self._foundations()
        yield from self._fetch()
        fork = self._fork
        if fork.has_production:
            for failed in status.failed_landings(fork, self._command):
                yield from (*self._change(), Advice(*failed))  # a change may restore it
            for upgrade in self._facts.in_progress:
                yield from self._upgrade(upgrade)
            yield from self._adoption()
            if self._draft_in_the_way:
                yield from self._behind()
            if fork.draft and (self._source or not is_needed(fork.policy, self._read)):
                yield from self._draft()
            yield from self._heal(self._facts.states_only)
        yield from self._reverted()
        yield from self._unreachable()
        yield from self._change()
        if self._own_release is None:  # its first release is of what it upgrades to
            yield from self._newer()
        yield from self._release()
        yield from self._newer()
        if self._facts.problems or status.is_marked(self._sh, fork):
            why = "Something does not fit together; this prints how to fix it."
            yield Advice(self._command("doctor"), why)
        if fork.has_production:
            yield from self._renewed()
        yield from self._unreleased()
        yield from self._draft()
        yield from self._rest()

    # --- What every task needs

    def _checkout(self) -> Iterator[Advice]:
        return under_way.ways_out(self._sh, self._fork, self._facts.here, self._command)

    def _foundations(self) -> Iterator[Advice]:
        """A policy, the remotes, the whole history."""
        fork, remotes = self._fork, self._fork.policy.remotes
        if fork.is_of_the_tasks:
            why, place = "This is a checkout of carto-fork, not of a fork;", fork.home / ".sandbox"
            if (place / "litellm").is_dir():
                built = str(git.nearest(place / "litellm"))
                yield Advice(
                    self._command("next", repo=built), f"{why} {built} is one to try it on."
                )
            path = "" if fork.home.samefile(".") else str(git.nearest(place))
            why += " this builds a fork to try it on."
            yield Advice(self._command("sandbox", repo="", path=path), why)
        if fork.problem:
            why = "The fork's policy is not valid; this says why, and prints the one used "
            yield Advice(self._command("fork.config"), f"{why}meanwhile.")
        wrong = any(wrong_urls(fork))
        nowhere = not fork.has_production and (not fork.url(self._origin) or self._lacking)
        if (fork.is_unknown and wrong) or (fork.loaded.is_default and nowhere):
            for branch in filter(BRANCH.fullmatch, fork.published):
                ref = f"{fork.tracking(self._origin, branch)}:{POLICY_FILE}"
                why = f"{branch} on {self._origin.name} has a policy, which the production branch "
                why += "lacks; this brings the file back here until it is merged."
                file = quote(str(git.nearest(fork.home / POLICY_FILE)))
                yield Advice(f"{self._at} show {ref} > {file}", why)
            why = "This fork has no policy yet, and the default one is for another fork."
            line, does = setup.first_policy(fork, self._command)
            yield Advice(line, f"{why} {does}")
        if wrong:
            why = "A remote is not the one that the policy names; this prints how to fix it."
            yield Advice(self._command("doctor"), why)
        missing = [r.name for r in (remotes.origin, remotes.upstream) if not fork.url(r)]
        if missing:
            why = f"{counted(len(missing), 'remote')} missing: {', '.join(missing)}."
            yield Advice(self._command("setup"), why)
        if fork.repository.shallow:
            why = "This is a shallow clone: without the whole history git cannot merge."
            yield Advice(f"{self._at} fetch --unshallow {self._origin.name}", why)

    def _fetch(self) -> Iterator[Advice]:
        """A fetch, if the production branch is missing here or behind origin's."""
        if self._remote is None:
            return
        origin, production, refs = self._origin.name, self._production, self._fork.refs.objects
        now = self._remote.objects.get(f"refs/heads/{production}")
        if not now and not self._fork.has_production:
            why = f"{origin} has no {production}, which the policy calls the production branch; "
            why += "this lists the branches that it has."
            yield Advice(f"{self._at} ls-remote --heads {origin}", why)
        elif now and not self._fork.has_production:
            yield Advice(f"{self._at} fetch {origin}", f"{production} is not in this clone yet.")
        elif now and refs.get(self._fork.origin_production, now) != now:
            why = f"{origin}'s {production} has moved since this clone fetched."
            yield Advice(f"{self._at} fetch {origin}", why)
        yield from self._fetch_syncs(self._remote)

    def _fetch_syncs(self, remote: Refs) -> Iterator[Advice]:
        """A fetch of a sync branch that matters and that origin has with other commits."""
        fork, origin, contained = self._fork, self._origin, self._facts.contained
        for head, commit in remote.objects.items():
            branch = head.removeprefix("refs/heads/")
            tag = classify(fork.policy.branches.tag_of(branch) or "", fork.policy.tags)
            ref = fork.tracking(origin, branch)
            if (
                tag
                and not (contained and tag <= contained)
                and fork.refs.objects.get(ref) != commit
            ):
                fetch = f"{self._at} fetch {origin.name} {quote(f'+{head}:{ref}')}"
                why = f"{origin.name} has {branch} with commits that this clone has not fetched."
                yield Advice(fetch, why)

    def _unreachable(self) -> Iterator[Advice]:
        upstream = self._fork.policy.remotes.upstream.name
        answers = {self._origin.name: self._remote is not None, upstream: self._facts.online}
        for remote, answered in answers.items():
            if not answered:
                why = f"{remote} cannot be reached: check the network and your access."
                yield Advice(f"{self._at} ls-remote {remote}", why)

    # --- What was begun

    def _adoption(self) -> Iterator[Advice]:
        """The next step after `fork.init`, and after `fork.adopt`."""
        for branch in self._adoptions:
            if self._hub or not self._adopted():
                yield from self._requested(branch)

    @cached_property
    def _adoptions(self) -> list[str]:
        return waiting(self._sh, self._fork) if self._fork.has_production else []

    @cached_property
    def _source(self) -> str:
        return missing(self._sh, self._fork.policy, self._read)

    def _draft(self) -> Iterator[Advice]:
        """What brings a policy that is on no branch to the production branch."""
        if self._fork.draft and not self._adoptions:
            earlier = any(map(BRANCH.fullmatch, self._fork.published))
            state = "has changed since it was published" if earlier else "is on no branch yet"
            why = f"{POLICY_FILE} {state}; this publishes a branch with all that the fork needs."
            if not setup.is_prepared(self._fork):
                yield Advice(self._command("setup"), "This prepares the clone for upgrades.")
            yield Advice(self._command("fork.adopt", requirement=self._source), why)

    def _adopted(self) -> bool:
        """Whether the production branch has every file that `fork.adopt` writes."""
        with suppress(Refused):
            return not any(copy.due for copy in self._copies)
        return False

    @cached_property
    def _copies(self) -> list[Copy]:
        return compare(self._fork.policy, self._read, draft=self._fork.draft)

    def _renewed(self) -> Iterator[Advice]:
        """What brings files that `fork.adopt` wrote up to the policy as it is now."""
        with suppress(Refused):
            if old := [copy.path for copy in self._copies if copy.state is State.BEHIND]:
                verb = "is" if len(old) == 1 else "are"
                why = f"{listed(old)} {verb} not what the policy and this program say now; this "
                why += "renews what it wrote."
                yield Advice(self._command("fork.adopt", requirement=self._source), why)

    def _upgrade(self, upgrade: InProgress) -> Iterator[Advice]:
        """The next step of an upgrade in progress.

        A pull request that a person closed is not opened again.
        """
        sh, fork, tag = self._sh, self._fork, upgrade.tag
        asked = remembered(fork, tag).words()
        if self._facts.squashed and self._facts.squashed.name == tag:
            yield from self._heal(self._facts.states_only)
            asked["unhealed"] = True  # nothing proves that a commit brought it
        elif not (self._hosted and upgrade.published) and begun.is_squashed(sh, fork, tag):
            without = f"{self._production} has {tag} without its history."
            yield from self._heal("" if fork.upstream_tips else without)
        origin, there = self._origin, self._remote
        tracked = fork.tracking(origin, upgrade.branch) in fork.refs.objects
        if tracked and there and f"refs/heads/{upgrade.branch}" not in there.objects:
            forget = (
                f"{self._at} branch --delete --remotes {quote(f'{origin.name}/{upgrade.branch}')}"
            )
            yield Advice(forget, f"{origin.name} no longer has {upgrade.branch}.")
        again = self._command("upgrade-carto", tag=tag, **asked)
        place = git.nearest(fork.place_for(upgrade.branch))
        then = f"then run `{again}`."
        pushed = there.objects.get(f"refs/heads/{upgrade.branch}", "") if there else ""
        yield from under_way.left_by_a_run(sh, fork, tag, pushed, self._command, **asked)
        if merge := begun.for_a_person(sh, fork, place, then, but=tag):
            yield Advice(merge.line, merge.why)
        if ahead := begun.overtaken(sh, fork, tag, pushed, self._command):
            why = f"{origin.name} has commits on {upgrade.branch} that yours lacks; {ahead.does}."
            yield Advice(ahead.line, why)
        yield from self._resolving(upgrade)
        yield from under_way.uncommitted(sh, fork, upgrade.branch, then)
        local = fork.refs.commits.get(f"refs/heads/{upgrade.branch}")
        if self._hub and local and not (upgrade.published or upgrade.conflicts):
            closed = self._pull(self._hub, upgrade.branch)
            if closed and closed.state == "CLOSED" and closed.commit == local:
                abort = self._command("upgrade-carto", tag=tag, abort=True)
                why = f"Pull request {closed.number} for {tag} was closed. This publishes the same "
                yield Advice(again, f"{why}merge again; for another one, first `{abort}`.")
        if not upgrade.published:
            why = "; this continues it, or says what blocks it."
            does = "Resolve what is left; this lists it, and continues once nothing is."
            if upgrade.conflicts:
                why = f": {upgrade.state}. {does}"
            elif wrong := status.failed(fork, upgrade, self._command):
                why = f". {wrong}; then this continues it."
            elif status.has_passed(sh, fork, upgrade):
                why = f"The upgrade to {tag} is merged and verified; this does the rest, and "
                yield Advice(again, f"{why}publishes it.")
                return
            yield Advice(again, f"The upgrade to {tag} is not finished{why}")
            return
        if wrong := status.failed(fork, upgrade, self._command):
            yield Advice(again, f"{wrong}; then this checks it again, and pushes it.")
        yield from self._published(upgrade, again, asked)

    def _published(
        self, upgrade: InProgress, again: str, asked: Mapping[str, bool]
    ) -> Iterator[Advice]:
        """The next step of an upgrade whose branch is on origin.

        again: what was typed. asked: its options.
        """
        sh, fork, tag = self._sh, self._fork, upgrade.tag
        pull = self._syncs[tag]
        if not self._hosted:
            yield from self._landing(upgrade, asked)
        elif pull is None and self._silent:
            assert self._hub
            show = (
                f"{quote(self._hub.gh)} pr list -R {self._hub.slug} --head {quote(upgrade.branch)}"
            )
            yield Advice(show, "GitHub did not say whether this branch has a pull request.")
        elif pull is None:
            here = f"refs/heads/{upgrade.branch}" in fork.refs.objects
            if here and self._hub and not (asked["no_pr"] or remembered(fork, tag).automatic):
                yield Advice(again, f"{upgrade.branch} is published; this opens its pull request.")
            why = f"{upgrade.branch} is published; this opens its pull request. To give it up: "
            why += f"{self._at} push {self._origin.name} --delete {upgrade.branch}"
            yield Advice(self._command("step.sync-pr", tag=tag), why)
        elif pull.state == "OPEN" and self._hub:
            yield from self._taking_in(upgrade)
            yield from self._accepting(upgrade, pull)
            test = self._command("upgrade-carto", tag=tag)
            since = "Nothing has tested it since its conflicts were resolved"
            untested = status.is_untested(sh, fork, upgrade) and not status.is_ticked(fork, pull)
            if untested and not pull.approved:
                why = f"Pull request {pull.number} is waiting for a review. {since}; this does."
                yield Advice(test, why)
            more = f". {since}: `{test}` does" if untested else ""
            yield review(sh, self._hub, pull, f"{branches.NEVER_SQUASHED}{more}")
        elif pull.state == "MERGED":
            yield from self._heal(f"Pull request {pull.number} was not merged with a merge commit.")

    def _accepting(self, upgrade: InProgress, pull: Pull) -> Iterator[Advice]:
        """What accepts the first proposal of a pull request that nobody has accepted."""
        head = self._fork.tracking(self._origin, upgrade.branch)
        text = git.show(self._sh, self._fork.path, head, records.PROPOSALS_FILE)
        with suppress(Refused):
            for one in records.read_proposals(text):
                if one.release == upgrade.tag and not one.accepted:
                    accept = {"pr": str(pull.number), "accept_proposal": one.path}
                    why = f"The program {printable(one.by)} resolved {printable(one.path)} in pull "
                    why += f"request {pull.number}, and nobody has accepted that. Once you have "
                    line = self._command("resolve-conflicts", **accept)
                    yield Advice(line, f"{why}read it, this does.")

    def _landing(self, upgrade: InProgress, asked: Mapping[str, bool]) -> Iterator[Advice]:
        """What brings a published upgrade into production without a pull request.

        asked: the options of its last run.
        """
        yield from self._taking_in(upgrade)
        why = f"{self._merged(upgrade.branch).why} Elsewhere, {branches.NEVER_SQUASHED}."
        words = {**asked, "direct": True, "no_pr": False, "no_push": False}
        yield Advice(self._command("upgrade-carto", tag=upgrade.tag, **words), why)

    def _taking_in(self, upgrade: InProgress) -> Iterator[Advice]:
        """What brings production's newer commits into a published upgrade, or replaces it."""
        fork, name = self._fork, upgrade.branch
        published = fork.tracking(self._origin, name)
        if not git.is_ancestor(self._sh, fork.path, fork.production_commit, published):
            why = f"{self._production} has new commits since {name} was started"
            if self._hub:
                yield from self._newer(f"{why}; the newer release has them and replaces it.")
            take = branches.taking_production(fork, name, git.nearest(fork.place_for(name)))
            yield Advice(take, f"{why}; this takes them in.")

    def _resolving(self, upgrade: InProgress) -> Iterator[Advice]:
        """How to continue with the conflicts of a pull request."""
        fork, pull, branch = self._fork, self._syncs.get(upgrade.tag), upgrade.branch
        origin, here = fork.tracking(self._origin, branch), f"refs/heads/{branch}"
        if pull is not None and pull.state != "OPEN":
            return
        resolve = self._command("resolve-conflicts", pr=str(pull.number if pull else branch))
        named = f"pull request {pull.number}" if pull else f"the pull request of {branch}"
        place = git.named(git.nearest(fork.place_for(branch)))
        waits = pull and fork.policy.pull_requests.conflicts in pull.labels
        if upgrade.reopened and upgrade.conflicts:
            left = f"{counted(upgrade.conflicts, 'conflict')} of {named}"
            verb = "is" if upgrade.conflicts == 1 else "are"
            yield Advice(resolve, f"In {place}, {left} {verb} left for you to resolve.")
        elif upgrade.reopened:
            why = f"What was resolved in {place} is not committed; this checks it, and updates "
            yield Advice(resolve, f"{why}{named}.")
        elif pull and waits and upgrade.published:
            yield Advice(
                resolve, f"Pull request {pull.number} has conflicts left for you to resolve."
            )
        elif waits and git.is_ancestor(self._sh, fork.path, origin, here):
            yield Advice(*status.unpushed(self._sh, fork, upgrade, named, resolve, self._command))

    def _change(self) -> Iterator[Advice]:
        """The next step for a branch with a fork change that is checked out."""
        fork, branches = self._fork, self._fork.policy.branches
        branch = self._facts.checked_out
        local = fork.refs.commits.get(f"refs/heads/{branch}")
        passing = BRANCH.fullmatch(branch) or healing.BRANCH.fullmatch(branch)
        if not local or branch in (branches.production, branches.mirror) or passing:
            return
        if branches.tag_of(branch) or not fork.has_production:
            return
        if self._hosted and not self._hub:  # `branch.pr` needs gh
            return
        here = self._facts.here
        if here and here.dirty and not here.merging:
            verb = "is" if len(here.dirty) == 1 else "are"
            what = f"{listed(here.dirty, 3)} {verb} changed and not committed"
            why = f"On {printable(branch)}, {what}; then `{self._command('branch.pr')}`."
            yield Advice(f"{git.at(fork.repository.work)} commit --all", why)
        ahead = git.count(self._sh, fork.path, local, fork.production_commit)
        published = fork.refs.commits.get(fork.tracking(self._origin, branch)) == local
        pull = self._pull(self._hub, branch) if ahead and self._hub else None
        if ahead and published and not self._hosted:
            yield self._merged(branch)
        elif ahead and pull is None:
            among = (local, self._fork.production_commit)
            commits = counted(
                git.count(self._sh, fork.path, *among, merges=False) or ahead, "commit"
            )
            why = f"{printable(branch)} has {commits} that {self._production} lacks; this "
            why += "publishes it and asks for a review."
            yield Advice(self._command("branch.pr"), why)
        elif self._hub and pull and pull.state == "OPEN":
            if pull.commit != local:
                why = f"Pull request {pull.number} differs from {printable(branch)} here."
                yield Advice(self._command("branch.pr"), why)
            yield review(self._sh, self._hub, pull)

    # --- Releases

    @cached_property
    def _releases(self) -> bool:
        """Whether the fork makes releases, and `release` takes the version that production
        states. An upgrade sets another one right, and so does what `doctor` prints."""
        facts = self._facts
        if not self._fork.policy.releases or facts.problems or not facts.contained:
            return False
        release = facts.contained.release
        return all(version_files.same(stated, release) for stated in facts.version.values())

    def _release(self) -> Iterator[Advice]:
        """A release, if one was interrupted, or the newest upstream one merged is not released."""
        contained, own = self._facts.contained, self._own_release
        there = self._remote if self._releases else None
        if contained and self._releases:
            yield from under_way.unnamed(self._fork, contained, self._command)
        yield from under_way.unpublished(self._sh, self._fork, there, contained, self._command)
        if contained and self._releases and (own is None or own.version < contained.version):
            last = f"the newest release is {own.name}" if own else "nothing was released yet"
            why = f"{self._production} contains {contained.name}, and {last}."
            yield from self._renewed()  # the release has it then
            yield from under_way.dispatched(self._sh, self._fork, self._hub, self._command)
            check = self._command("verify", landed=contained.name)
            yield Advice(self._command("release"), f"{why} `{check}` says if all of it landed.")

    def _reverted(self) -> Iterator[Advice]:
        """How to restore a missing sync, unless what is checked out has it again already."""
        gone, here, fork = self._facts.reverted, self._facts.here, self._fork
        if gone is None:
            return
        head = here.head if here else fork.production_commit
        has_revert = git.is_ancestor(self._sh, fork.path, gone.commit.name, head)
        if not has_revert or reverted_sync(self._sh, fork, head):
            restore = branches.on_a_branch(self._command, "missing-sync", gone.undone(fork))
            yield Advice(restore, f"{gone.said}.")

    def _newer(self, why: str = "") -> Iterator[Advice]:
        """An upgrade, if upstream has a newer release; with a reason only one that is not begun."""
        release, contained = self._facts.upstream_release, self._facts.contained
        if not release or (contained and release <= contained):
            return
        release = detection.confirmed(self._sh, self._fork, release)
        if release and not (why and release.name in self._syncs):
            why = why or "Upstream has a newer stable release."
            closed = self._syncs.get(release.name)
            if closed and self._hub and self._fork.policy.pull_requests.conflicts in closed.labels:
                left = f"Pull request {closed.number} for {release.name} was closed with conflicts "
                left += "left to resolve; this opens it again."
                yield Advice(github.reopen(self._hub, closed.number), left)
            if closed:
                why += f" Pull request {closed.number} for it was closed; this opens another one"
                branch = self._fork.policy.branches.sync_for(release.name)
                anew = [f"`{self._at} push {self._origin.name} --delete {branch}`"]
                if f"refs/heads/{branch}" in self._fork.refs.objects:
                    abort = self._command("upgrade-carto", tag=release.name, abort=True)
                    anew.insert(0, f"`{abort}`")
                why += f". For another merge, first {' and '.join(anew)}."
            yield from under_way.not_newer(self._facts, release, self._command)
            yield Advice(self._command("upgrade-carto", tag=release.name), why)

    def _unreleased(self) -> Iterator[Advice]:
        """A release, if the production branch has commits that its newest release lacks."""
        fork, own = self._fork, self._own_release
        if not own or not self._releases:
            return
        commit = fork.refs.tag(own.name) or (self._remote.tag(own.name) if self._remote else "")
        if not git.has_object(self._sh, fork.path, commit):
            return
        others = [commit, *fork.upstream_tips]
        if count := git.count(self._sh, fork.path, fork.production_commit, *others, merges=False):
            why = f"{self._production} has {counted(count, 'commit')} of its own since {own.name}."
            yield from under_way.dispatched(self._sh, self._fork, self._hub, self._command)
            yield Advice(self._command("release"), why)

    @cached_property
    def _draft_in_the_way(self) -> Path | None:
        """A policy in the checkout that git does not know, although one has landed: git refuses to
        overwrite it."""
        here = self._fork.home / POLICY_FILE
        if not here.is_file() or self._read(POLICY_FILE) is None:
            return None
        return here if git.show(self._sh, self._fork.path, "", POLICY_FILE) is None else None

    def _behind(self) -> Iterator[Advice]:
        """How to bring the local production branch up to origin's."""
        if self._facts.checked_out != self._production or not self._facts.local:
            return
        ahead, behind = self._facts.local
        if behind and not ahead:
            forward = f"{self._at} merge --ff-only {self._origin.name}/{self._production}"
            where = f"{counted(behind, 'commit')} behind {self._origin.name}'s."
            why = f"Your {self._production} is {where}"
            if draft := self._draft_in_the_way:
                file = quote(str(git.nearest(draft)))
                landed = files.read_text(draft) == self._read(POLICY_FILE)
                away = f"rm -f {file}" if landed else f"mv {file} {file}.away"
                forward = f"{away} && {forward}"
                why += f" It has {'this' if landed else 'another'} {POLICY_FILE} already."
            yield Advice(forward, why)

    def _ahead(self) -> Iterator[Advice]:
        """What to do with commits on the local production branch that origin lacks."""
        fork, local = self._fork, self._fork.refs.commits.get(self._fork.local_production, "")
        if self._facts.checked_out != self._production or not (local and self._facts.local):
            return
        # A merge that landed in another way brings nothing.
        if ahead := git.count(self._sh, fork.path, local, fork.production_commit, merges=False):
            mine = f"feature/on-{self._production.replace('/', '-')}-{local[:7]}"
            move = f"{self._at} switch -c {mine} && {self._at} branch --force {self._production} "
            commits = f"{counted(ahead, 'commit')} that {self._origin.name} lacks"
            why = f"Your {self._production} has {commits}; this moves that to a branch; then "
            why += f"`{self._command('branch.pr')}`."
            yield Advice(f"{move}{self._origin.name}/{self._production}", why)

    def _rest(self) -> Iterator[Advice]:
        """What can wait."""
        fork = self._fork
        yield from self._behind()
        yield from self._ahead()
        for left in branches.left_behind(self._sh, fork.path)[:1]:
            why = f"HEAD was detached, and {left.described}."
            yield Advice(self._command("branch.recover", commit=left.commit[:10]), why)
        contained = self._facts.contained
        has = f"contains {contained.name}" if contained else "is up to date"
        here = self._facts.here
        head = here.head if here and here.head != git.NULL else ""
        over = status.landed(self._sh, fork, contained, head)
        yield Advice("", f"Nothing to do: {self._production} {has}.{over}")
