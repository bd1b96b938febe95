"""The findings of `doctor`, and the facts that its checks read. Changes nothing.

A check is a function from a `Patient` to findings. The patient reads each fact once, when a check
first asks for it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from pathlib import Path
from typing import Any

from ..audit import inventory
from ..audit.inventory import Ground
from ..fork import branches, releases, setup, tags
from ..fork.fork import Fork
from ..fork.tags import Tag
from ..run import git, github
from ..run.errors import Refused, Stop, cure_of_text
from ..run.git import Refs, Worktree
from ..run.github import Hub
from ..run.shell import Shell, Value, command_line, fill
from ..run.steps import Step


class Level(Enum):
    """How bad a finding is. Only a broken one makes `doctor` fail; a note is printed only if its
    check was asked for by name."""

    BROKEN = "broken"
    LOOK = "look"
    NOTE = "note"


@dataclass(frozen=True)
class Diagnosis:
    """Something that a check found.

    what: the finding. cause: how it came about, or what it leads to. then: the command that fixes
    it. fix: steps that do so without losing anything; values: placeholders of these steps alone.
    """

    level: Level
    what: str
    cause: str
    then: str
    fix: tuple[Step, ...] = ()
    values: Mapping[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Plain data for ``--json``."""
        data = {"level": self.level.value, "what": self.what, "cause": self.cause}
        return data | {"then": self.then, "can_be_fixed": bool(self.fix)}


class Unchecked(Exception):
    """A check cannot run, or not to its end; its text says why, and on a second line what to do."""


class Inapplicable(Unchecked):
    """The fork has nothing for a check to look at."""


@dataclass(frozen=True)
class Check:
    """One entry of the troubleshooting guide.

    symptom: what a person sees. look: yields the findings; raises Unchecked if it cannot look.
    facts: whether it yields only notes, and therefore runs only if it was asked for by name.
    slow: whether it runs in parallel with the others.
    """

    name: str
    symptom: str
    look: Callable[[Patient], Iterator[Diagnosis]]
    facts: bool = False
    slow: bool = False


@dataclass(frozen=True)
class LastMerge:
    """The newest merge from upstream, in progress or landed.

    old, new: the upstream commits merged before it and by it. named: their names.
    before, after: the fork's commits on both sides of it.
    """

    old: str
    new: str
    named: tuple[str, str]
    before: str
    after: str


@dataclass
class Patient:
    """The fork that is examined, and what the checks know about it.

    command: makes the command line of a task on it from its name and options.
    guard: the command line that runs `ci.guard` from any directory, for a hook.
    offline: whether the network is off limits. notes: whether notes are printed, too.
    slack_test: whether to send a message to Slack. database: where to try migrations, or "".
    """

    sh: Shell
    fork: Fork
    command: Callable[..., str]
    guard: str
    offline: bool
    notes: bool
    slack_test: bool
    database: str

    def fixable(
        self, level: Level, what: str, cause: str, *fix: Step, then: str = "", **values: str
    ) -> Diagnosis:
        """A finding with steps that fix it. A person types their command lines, or `then`."""
        filled: Mapping[str, Value] = {**self.fork.values(), **values}
        lines = [command_line(fill(line, filled)) for step in fix for line in step.run]
        return Diagnosis(level, what, cause, then or " && ".join(lines), fix, values)

    def on_a_branch(self, name: str, *lines: str) -> str:
        """Command lines that make a change on a new branch and open its pull request."""
        return branches.on_a_branch(self.command, name, *lines)

    # --- This machine

    @property
    def repo(self) -> Path:
        return self.fork.path

    @property
    def production(self) -> str:
        """The production branch's name."""
        return self.fork.policy.branches.production

    @property
    def work(self) -> Path | None:
        """The top of the work tree given by `--repo`; None in a bare repository."""
        return self.fork.repository.top

    @cached_property
    def trees(self) -> list[Worktree]:
        """All work trees, the main one first."""
        return git.worktrees(self.sh, self.repo)

    @cached_property
    def commit(self) -> str:
        """The production branch's commit. Raises Unchecked if the clone lacks it."""
        if not self.fork.has_production:
            if self.fork.is_unknown:
                line, _ = setup.first_policy(self.fork, self.command)
                raise Unchecked(f"this fork has no policy yet\n{line}")
            origin = self.fork.policy.remotes.origin.name
            fetch = f"{git.at(self.repo)} fetch {origin}"
            raise Unchecked(f"this clone lacks {self.production}\n{fetch}")
        return self.fork.production_commit

    @cached_property
    def files(self) -> git.Tree:
        """The files of the production branch."""
        return git.tree(self.sh, self.repo, self.commit)

    def text(self, path: str) -> str:
        """A file of the production branch; "" if the branch lacks it."""
        if path not in self.files:
            return ""
        return git.show(self.sh, self.repo, self.commit, path) or ""

    def is_checked_out(self, branch: str) -> bool:
        """Whether a branch is checked out in a work tree."""
        return any(tree.branch == f"refs/heads/{branch}" for tree in self.trees if not tree.missing)

    def place_of(self, branch: str) -> Path:
        """Where a branch's work tree is, or would be created."""
        for tree in self.trees:
            if tree.branch == f"refs/heads/{branch}" and not tree.missing:
                return git.nearest(tree.path)
        return git.nearest(self.fork.place_for(branch))

    @cached_property
    def ground(self) -> Ground:
        """The fork compared with upstream. Raises Unchecked if that is not possible."""
        try:
            return inventory.ground(self.sh, self.fork)
        except Refused as no:
            raise Unchecked(f"{no.what.rstrip('.')}\n{no.then}") from None

    @cached_property
    def release(self) -> Tag | None:
        """The newest known stable release that the production branch contains."""
        refs = self.fork.refs
        if not self.offline:
            with suppress(Unchecked):
                refs = self.upstream_tags
        return releases.contained(self.sh, self.fork, self.commit, refs)

    @cached_property
    def sync(self) -> LastMerge | None:
        """The newest sync; None if the fork has only the release that it started from.

        Raises Unchecked if the clone knows no upstream commit.
        """
        refs = self.fork.refs
        old, old_name = self._brought(self.commit)
        if not old:
            upstream = self.fork.policy.remotes.upstream.name
            fetch = f"{git.at(self.repo)} fetch --tags {upstream}"
            what = f"this clone has neither a branch of `{upstream}` nor the release in production"
            raise Unchecked(f"{what}\n{fetch}")
        syncs = ((ref, tags.classify(name, self.fork.policy.tags)) for ref, name in self.syncs)
        if started := [(tag, ref) for ref, tag in syncs if tag and refs.tag(tag.name)]:
            tag, ref = max(started)
            named = (old_name, tag.name)
            return LastMerge(old, refs.tag(tag.name), named, self.commit, refs.commits[ref])
        landing = git.first_with(self.sh, self.repo, old, self.commit)
        if landing == old:
            return None
        before = git.commit_of(self.sh, self.repo, f"{landing}^1")
        earlier, earlier_name = self._brought(before)
        if earlier in ("", old):
            return None
        return LastMerge(earlier, old, (earlier_name, old_name), before, landing)

    def _brought(self, commit: str) -> tuple[str, str]:
        """The newest upstream commit in a history, and its name: a release, or a commit of
        upstream's branch if that is newer; both "" if none is known."""
        named: list[tuple[str, str]] = []
        tag = releases.contained(self.sh, self.fork, commit, self.fork.refs)
        # A tag that was deleted since is in the records only.
        if tag and (tagged := self.fork.refs.tag(tag.name)):
            named.append((tagged, tag.name))
        if self.fork.upstream_tips:
            tip = inventory.tip(self.fork)
            named += [(b, b[:10]) for b in git.merge_bases(self.sh, self.repo, commit, tip)[:1]]
        dates = git.commit_dates(self.sh, self.repo, [commit for commit, _ in named])
        return max(named, key=lambda x: dates[x[0]], default=("", ""))

    @cached_property
    def syncs(self) -> list[tuple[str, str]]:
        """The sync branches whose release production lacks: full ref and tag."""
        refs, origin = self.fork.refs, self.fork.policy.remotes.origin
        named = {
            ref: tag
            for ref in refs.objects
            for prefix in ("refs/heads/", self.fork.tracking(origin, ""))
            if ref.startswith(prefix)
            and (tag := self.fork.policy.branches.tag_of(ref.removeprefix(prefix)))
        }
        brings = {ref: refs.tag(tag) or refs.commits[ref] for ref, tag in named.items()}
        has = git.held(self.sh, self.repo, self.commit, brings.values()) if named else ()
        return [(ref, tag) for ref, tag in named.items() if brings[ref] not in has]

    # --- Elsewhere

    @cached_property
    def upstream_tags(self) -> Refs:
        """Upstream's tags and development branch, as upstream has them now.

        Raises Unchecked if upstream cannot be asked.
        """
        self.require_network()
        remote = self.fork.policy.remotes.upstream
        if self.fork.url(remote) is None:
            raise Unchecked(f"the remote `{remote.name}` is missing")
        wanted = ["refs/tags/*", f"refs/heads/{self.fork.policy.branches.upstream}"]
        refs = git.remote_refs(self.sh, self.repo, remote.name, wanted, git.PATIENCE)
        if refs is None:
            raise Unchecked(f"the remote `{remote.name}` cannot be reached")
        return refs

    @property
    def has_moved(self) -> bool:
        """Whether origin has another production branch than this clone, as far as it answers."""
        origin, ref = self.fork.policy.remotes.origin, f"refs/heads/{self.production}"
        refs = git.remote_refs(self.sh, self.repo, origin.name, [ref], git.PATIENCE)
        now = refs.objects.get(ref) if refs else None
        known = self.fork.refs.commits.get(self.fork.origin_production)
        return bool(now and known) and now != known

    def require_network(self) -> None:
        """Raises Unchecked if the network is off limits."""
        if self.offline:
            raise Unchecked("--offline")

    @cached_property
    def hub(self) -> Hub:
        """The fork on GitHub. Raises Unchecked if it cannot be asked."""
        self.require_network()
        try:
            hub = self.fork.hub(self.fork.policy.remotes.origin)
            github.require(self.sh, hub)
        except Stop as no:
            raise Unchecked(no.what.rstrip(".")) from None
        return hub

    def ask(self, path: str) -> Any:
        """What GitHub's API answers for a path below the fork; None if it answers 404.

        Raises Unchecked if it gives no answer.
        """
        words = [self.hub.gh, "api", f"repos/{self.hub.slug}{path}"]
        answer = self.sh.read(words, timeout=git.PATIENCE)
        if answer.ok or "HTTP 404" in answer.err:
            return json.loads(answer.out or "null") if answer.ok else None
        cure, said = cure_of_text(answer.err), answer.err.strip().partition("\n")[0]
        raise Unchecked(cure.meaning if cure else f"GitHub gave no answer: {said}")
