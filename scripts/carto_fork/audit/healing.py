"""Healing: what a sync's lost ancestry costs, and the plan that records it."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..fork import branches, records, recovery, releases, tags, version_files
from ..fork.fork import Fork, require_right_urls, require_whole_history
from ..fork.policy import Side
from ..fork.session import Session
from ..fork.tags import Tag, TagScheme
from ..merge import authorship, conflicts
from ..merge.authorship import lost_of_fork
from ..merge.syncs import Lost, healed_commit
from ..run import git
from ..run.console import Console
from ..run.errors import CheckFailed, Refused
from ..run.shell import Shell
from ..run.steps import Condition, Plan, Step
from ..run.text import counted, file_word, listed, printable
from . import inventory, landing, ledger, review
from .ledger import Entry

HEALS = Condition("with `--heal`, if the ancestry of an earlier sync is lost")

HEAL_STEP = Step(
    "heal",
    "Record the lost ancestry of an earlier sync; no file changes.",
    when=HEALS,
    run=("git -C {work} merge -s ours --no-ff -m {heal_message} {lost}",),
    done=("git -C {work} merge-base --is-ancestor {lost} HEAD",),
    makes="{place}",
    undo=("git -C {repo} worktree remove --force --force {place}",),
)

HEAL = (
    branches.BRANCH,
    branches.WORKTREE,
    replace(HEAL_STEP, when=None),
    branches.PUSH,
    *branches.LANDING,
)

_MOST_PATHS = 10


@dataclass(frozen=True)
class Healing:
    """A lost ancestry that can be recorded.

    branch: where the healing is prepared. before, after: how many conflicts upstream's newest
        commit makes without and with it.
    left_out: the fork's changes that the sync lost, and upstream's in files that the fork also
        changes. Recording the ancestry does not bring them back, and no later merge would.
    """

    lost: Lost
    branch: str
    before: int
    after: int
    left_out: tuple[Entry, ...]

    def as_json(self) -> dict[str, Any]:
        """Plain data for ``--json``."""
        return {
            "sync": self.lost.sync,
            "parent": self.lost.parent,
            "differing_paths": self.lost.differs,
            "hidden": self.lost.hidden,
            "conflicts": self.before,
            "conflicts_healed": self.after,
            "branch": self.branch,
            "left_out": [entry.as_json() for entry in self.left_out],
        }


def find(sh: Shell, fork: Fork, upstream: str) -> Healing | None:
    """The newest sync whose ancestry is lost; None if all is well.

    upstream: the commit to merge next.
    """
    production = fork.production_commit
    lost = lost_of_fork(sh, fork, production, upstream)
    if lost is None:
        return None
    if git.is_ancestor(sh, fork.path, upstream, lost.parent):
        upstream = lost.parent  # upstream's branches are older here
    before, after = cost(sh, fork, production, upstream, lost)
    gone = tuple(left_out(sh, fork, production, upstream, lost))
    return Healing(lost, _branch(sh, fork, lost), before, after, gone)


def left_out(sh: Shell, fork: Fork, production: str, upstream: str, lost: Lost) -> list[Entry]:
    """The fork's changes that a sync lost, and upstream's that it lost in the fork's files, which
    nobody has brought back or dropped on purpose since.

    upstream: the commit to merge next.
    """
    own = authorship.of_fork(sh, fork, production, upstream)
    drops = records.read_drops(git.show(sh, fork.path, production, records.DROPS_FILE))
    before = next((x.before for commit, x in own.squashed.items() if commit == lost.sync), "")
    ours = before or f"{lost.sync.name}^"
    then, now = (
        ledger.read(sh, fork.path, ours, lost.parent, result, own, fork.policy, drops)
        for result in (lost.sync.name, production)
    )
    return [
        entry
        for entry in landing.still_lost(then, now)
        if entry.side is Side.FORK
        or (
            entry.path not in lost.hidden
            and not own.behind((*entry.account.missing, *entry.account.back))
        )
    ]


BRANCH = re.compile(r"heal/[0-9a-f]{10}(-[0-9a-f]{10})?")
"""Branches that `fork.heal` publishes."""


def _branch(sh: Shell, fork: Fork, lost: Lost) -> str:
    """The branch on which the ancestry is recorded; a different one after production has moved."""
    name = f"heal/{lost.parent[:10]}"
    begun = fork.refs.commits.get(f"refs/heads/{name}")
    if begun and not git.is_ancestor(sh, fork.path, fork.production_commit, begun):
        name += f"-{fork.production_commit[:10]}"
    return name


def cost(sh: Shell, fork: Fork, production: str, upstream: str, lost: Lost) -> tuple[int, int]:
    """How many conflicts a merge makes now, and how many after healing."""
    healed = healed_commit(sh, fork.path, production, lost)
    before, after = (
        conflicts.count(sh, fork.path, ours, upstream) for ours in (production, healed)
    )
    return before, after


def way_out(lost: Lost, command: Callable[..., str]) -> str:
    """The command line that heals a lost ancestry, or that says why healing is impossible.

    command: makes the command line of a task from its name and options.
    """
    return command("fork.heal", check=bool(lost.hidden))


def described(lost: Lost) -> str:
    """A lost ancestry in words."""
    sync = lost.sync
    how = "in copies of its commits" if lost.copies else "and has one parent only"
    return (
        f"{sync.name[:10]} ({sync.date}, {printable(sync.subject)}) brought upstream's work up to "
        f"{lost.parent[:10]} {how}"
    )


UNHEALED = "`upgrade-carto --tag TAG --unhealed`"


def require_provable(fork: Fork, lost: Lost, unhealed: str = UNHEALED) -> None:
    """Raises Refused if recording the ancestry would hide changes that nobody made.

    unhealed: the command that merges all the same.
    """
    if not lost.hidden:
        return
    paths = "\n  ".join(map(printable, lost.hidden[:_MOST_PATHS]))
    more = len(lost.hidden) - _MOST_PATHS
    rest = f"\n  and {more} more" if more > 0 else ""
    count = len(lost.hidden)
    wrote = listed([*map(file_word, lost.wrote)])
    again = f"keep what the sync itself wrote into {wrote}, with one more commit; " if wrote else ""
    raise Refused(
        f"{described(lost)}. Its ancestry cannot be recorded: "
        f"{'a path differs' if count == 1 else f'{count} paths differ'} from upstream's although "
        f"no fork commit changed {'it' if count == 1 else 'them'}, and the next merge "
        f"would treat that as the fork's decision:\n  {paths}{rest}",
        then=f"restore them in a separate commit, for example: {git.at(fork.path)} restore "
        f"--source={lost.parent[:10]} -- PATH; {again}merge that, then run the same command again. "
        f"If it was not a sync, {unhealed} merges without healing.",
    )


def only_stated(
    schemes: Sequence[TagScheme], refs: git.Refs, versions: Iterable[str], contained: Tag | None
) -> Tag | None:
    """The newest stable release whose version is stated, if the newest one contained is older."""
    stated = {*versions}
    known = (tags.classify(name, schemes) for name in refs.tags())
    named = [
        tag.name for tag in known if tag and any(version_files.same(tag.release, x) for x in stated)
    ]
    tag = tags.newest(named, schemes, *tags.STABLE)
    return tag if tag and contained and tag.version > contained.version else None


ONLY_RAISED = "if somebody only raised the version, lower it"


def lowering(command: Callable[..., str], contained: Tag | None) -> str:
    """The command line that states the version of the newest release in production again; "" if
    production has no release.

    command: makes the command line of a task from its name and options.
    """
    if contained is None:
        return ""
    return branches.on_a_branch(command, "version", command("bump-version", tag=contained.name))


def unproven(command: Callable[..., str], stated: Tag, contained: Tag | None) -> str:
    """What helps if production states a release, and nothing proves that a commit brought it."""
    anew = command("upgrade-carto", tag=stated.name, unhealed=True)
    lower = lowering(command, contained)
    return f"`{anew}` merges {stated.name}; or, {ONLY_RAISED}: `{lower}`"


def values(lost: Lost | None) -> dict[str, str]:
    """The values of the healing step's placeholders, if there is something to heal."""
    if lost is None:
        return {"lost": "", "heal_message": ""}
    message = (
        f"chore: record that {lost.sync.name[:10]} merged upstream {lost.parent[:10]}, "
        "which landed without its history"
    )
    return {"lost": lost.parent, "heal_message": message}


def plan(sh: Shell, fork: Fork, healing: Healing, *, direct: bool, push: bool) -> Plan:
    """The plan for recording a lost ancestry on a separate branch, or on production itself."""
    name, repo = healing.branch, fork.path
    trees = git.worktrees(sh, repo)
    held = {tree.branch: tree for tree in trees if not tree.missing}
    tree = held.get(f"refs/heads/{name}")
    place = tree.path if tree else fork.place_for(name)
    checkout = held.get(fork.local_production)
    conditions: set[Condition] = set()
    if push:
        conditions = {branches.DIRECT if direct else branches.PUSHES, branches.TIDIES}
    if push and direct and fork.local_production in fork.refs.objects:
        conditions.add(branches.DIRECT_CHECKED_OUT if checkout else branches.DIRECT_ELSEWHERE)
    substitutes = fork.values() | {
        "sync": name,
        "start": fork.production_commit,
        "base": fork.production_commit,
        "pushed": fork.refs.commits.get(fork.tracking(fork.policy.remotes.origin, name), ""),
        "place": os.path.abspath(place),
        "work": str(git.nearest(place)),
        "checkout": str(git.nearest(checkout.path)) if checkout else "",
    }
    untouched = "Your checkout and origin are unchanged."
    return Plan(substitutes | values(healing.lost), frozenset(conditions), untouched)


def heal(s: Session, check: bool, direct: bool, push: bool) -> None:
    """Record the lost ancestry of a sync; with `check` only report it."""
    fork = s.open_fork()
    if not fork.has_production or not fork.upstream_tips:
        inventory.ground(s.sh, fork)
    require_right_urls(fork)
    require_whole_history(fork)
    with s.console.working("heal"):
        ill = find(s.sh, fork, inventory.tip(fork))
    production = fork.policy.branches.production
    if s.json:
        s.print_json(ill and ill.as_json())
    if ill is None:
        _say_well(s, fork)
        return
    _show(s.console, ill, production)
    try:
        require_provable(fork, ill.lost)
    except Refused as refusal:
        if check:
            raise CheckFailed(refusal.what, then=refusal.then) from None
        raise
    if check:
        problem = f"{production} has lost the ancestry of a sync."
        raise CheckFailed(problem, then=s.command("fork.heal", direct=direct))
    git.require_identity(s.sh, fork.path)
    with s.locked(fork.repository) as held:
        fork = recovery.put_in_order(s, fork, held, ill.branch)
        s.run(HEAL, plan(s.sh, fork, ill, direct=direct, push=push), held)
    if not s.sh.dry:
        _show_healed(s, ill, fork, direct=direct, push=push)


# --- What is printed -----------------------------------------------------------------------------


def _say_well(s: Session, fork: Fork) -> None:
    """Print that nothing can be healed; and what helps if a release is stated and is not there."""
    production, commit = fork.policy.branches.production, fork.production_commit
    there = releases.upstream_refs(s.sh, fork) or fork.refs
    contained = releases.contained(s.sh, fork, commit, there)
    versions = [v for _, places in version_files.at(s.sh, fork, commit) for v in places.values()]
    only = only_stated(fork.policy.tags, there, versions, contained)
    if only is None:
        s.console.say(f"{production} has the ancestry of every sync; nothing to heal.")
        here = tags.newest(fork.refs.tags(), fork.policy.tags, *tags.STABLE)
        newer = [here.name] if here and contained and here > contained else []
        first, *others = fork.upstream_tips
        if newer and not git.held(s.sh, fork.path, first, map(fork.refs.tag, newer), *others):
            fetch = f"{git.at(fork.path)} fetch {fork.policy.remotes.upstream.name}"
            then = f"if it has a squash of {newer[0]}: `{fetch}`, then the same command."
            s.console.advice("Next: ", then, "cyan")
        return
    s.console.say(
        f"{production} states {only.name}'s version but lacks its commits, and nothing proves that "
        "a commit brought them: there is nothing to heal."
    )
    s.console.advice("Next: ", unproven(s.command, only, contained), "cyan")


def _show(console: Console, healing: Healing, production: str) -> None:
    """Print what a lost ancestry costs, and what fixes it."""
    lost = healing.lost
    by = f"{len(lost.hidden)} of them by no" if lost.hidden else "only by"
    console.say(f"{production} has lost the ancestry of a sync:", "yellow")
    console.facts(
        [
            ("sync", f"{lost.sync.name[:10]} {lost.sync.date} {lost.sync.subject}"),
            ("brought", f"upstream {lost.parent[:10]}, which is not in the branch's history"),
            (
                "differs from that",
                f"in {counted(lost.differs, 'file')}, {by} fork commit{'' if lost.hidden else 's'}",
            ),
            ("next merge", f"{counted(healing.before, 'conflict')}, once healed {healing.after}"),
        ]
    )
    title = f"left out by the sync; healing does not bring these back to {production}"
    review.show_entries(console, title, healing.left_out, "yellow")


def _show_healed(s: Session, healing: Healing, fork: Fork, *, direct: bool, push: bool) -> None:
    """Print the result of healing, and what is next."""
    console, production = s.console, fork.policy.branches.production
    if not push:
        console.say(f"Done: {healing.branch} records it; not pushed.", "green")
    elif direct:
        console.say(f"Done: {production} has the ancestry again.", "green")
    else:
        console.say(f"Done: {healing.branch} is on {fork.policy.remotes.origin.name}.", "green")
        branches.say_landing(s, fork, healing.branch, branches.NEVER_SQUASHED)
