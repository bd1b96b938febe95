"""What `sync-main` needs to know, and the plan made from it."""

from __future__ import annotations

from ..run import git
from ..run.errors import Refused
from ..run.shell import Shell
from ..run.steps import Condition, Plan, Step
from .fork import Fork, require_remotes
from .session import Session

MIRROR_EXISTS = Condition("where the fork has a mirror branch already")
BEHIND = Condition("where the mirror on GitHub is behind")
ELSEWHERE = Condition("where it is not checked out")
CHECKED_OUT = Condition("where it is checked out")

FETCH_MIRROR = (
    Step(
        "upstream",
        "Get upstream's development branch.",
        run=(
            "git -C {repo} fetch --no-tags --no-recurse-submodules {upstream}"
            " +refs/heads/{branch}:refs/remotes/{upstream}/{branch}",
        ),
        stuck="check the network and the remote, then run the same command again.",
    ),
    Step(
        "origin",
        "Get the fork's mirror of it.",
        when=MIRROR_EXISTS,
        run=(
            "git -C {repo} fetch --no-tags --no-recurse-submodules {origin}"
            " +refs/heads/{mirror}:refs/remotes/{origin}/{mirror}",
        ),
        stuck="check the network and the remote, then run the same command again.",
    ),
)

SYNC_MAIN = (
    Step(
        "push",
        "Move the mirror on GitHub, fast-forward only.",
        when=BEHIND,
        run=(
            "git -C {repo} push --no-follow-tags {origin}"
            " refs/remotes/{upstream}/{branch}:refs/heads/{mirror}",
        ),
        stuck="see what {origin} says, then run the same command again.",
    ),
    Step(
        "local",
        "Move the local mirror after it, without checking anything out.",
        when=ELSEWHERE,
        run=("git -C {repo} fetch . refs/remotes/{upstream}/{branch}:refs/heads/{mirror}",),
    ),
    Step(
        "checkout",
        "Move the local mirror after it, in its clean checkout.",
        when=CHECKED_OUT,
        run=("git -C {checkout} merge --ff-only refs/remotes/{upstream}/{branch}",),
    ),
)


def fetch_plan(sh: Shell, fork: Fork) -> Plan:
    """The plan for getting both main branches. Raises Refused where a remote is not right."""
    require_remotes(fork)
    origin, mirror = fork.policy.remotes.origin.name, fork.policy.branches.mirror
    there = git.remote_refs(sh, fork.path, origin, [f"refs/heads/{mirror}"])
    if there is None:
        raise Refused(
            f"the remote `{origin}` cannot be reached.",
            then=f"check the network and your access: {git.at(fork.path)} ls-remote {origin}",
        )
    conditions = frozenset([MIRROR_EXISTS] if there.objects else ())
    return Plan(fork.values(), conditions, untouched=_untouched(fork))


def plan(sh: Shell, fork: Fork) -> Plan:
    """The plan for moving the mirror branch, once both are fetched.

    Raises Refused where the mirror has commits of its own, or is checked out with changes.
    """
    repo, branches, remotes = fork.path, fork.policy.branches, fork.policy.remotes
    upstream = fork.tracking(remotes.upstream, branches.upstream)
    local = f"refs/heads/{branches.mirror}"
    published = fork.tracking(remotes.origin, branches.mirror)
    refs = git.refs(sh, repo)
    if upstream not in refs.objects:
        # Only under --dry: nothing was fetched, so the branch is not here to be compared with.
        unknown = frozenset([BEHIND, ELSEWHERE])
        return Plan(fork.values(), unknown, untouched=_untouched(fork))
    for ref in (local, published):
        if ref in refs.objects and (own := git.commits(sh, repo, f"{upstream}..{ref}")):
            name = ref.removeprefix("refs/heads/").removeprefix("refs/remotes/")
            back = f"{git.at(repo)} branch --force {branches.mirror} {upstream}"
            if ref == published:
                back = "on GitHub, by hand"
            listed = "\n  ".join(own)
            raise Refused(
                f"{name} has commits of its own, but it may only follow upstream:\n  {listed}",
                untouched=_untouched(fork),
                then=f"keep them on another branch: {git.at(repo)} branch kept {name}; "
                f"then put {name} back: {back}",
            )
    conditions: set[Condition] = set()
    if refs.objects.get(published) != refs.objects[upstream]:
        conditions.add(BEHIND)
    checkout = None
    if refs.objects.get(local) != refs.objects[upstream]:
        trees = git.worktrees(sh, repo)
        checkout = next((t.path for t in trees if t.branch == local and not t.missing), None)
        conditions.add(CHECKED_OUT if checkout else ELSEWHERE)
    if checkout and (dirty := git.work_state(sh, checkout).dirty):
        raise Refused(
            f"{branches.mirror} is checked out in {checkout} with changes that are not committed: "
            f"{', '.join(dirty[:3])}.",
            untouched=_untouched(fork),
            then="commit or stash them, or switch to another branch; "
            "then run the same command again.",
        )
    values = fork.values() | {"checkout": str(checkout or "")}
    return Plan(values, frozenset(conditions), untouched=_untouched(fork))


def _untouched(fork: Fork) -> str:
    branches = fork.policy.branches
    return f"Your checkout, {branches.mirror} and {branches.production} are as they were."


def sync(s: Session) -> None:
    """Let the mirror branch follow upstream's."""
    fork = s.open_fork()
    fetch = fetch_plan(s.sh, fork)
    with s.locked(fork.repository) as held:
        s.run(FETCH_MIRROR, fetch, held)
        moving = plan(s.sh, fork)
        s.run(SYNC_MAIN, moving, held)
    if not moving.conditions:
        s.console.say(f"{fork.policy.branches.mirror} is up to date.")
