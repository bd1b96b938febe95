"""Branches: one in its own work tree, the mirror, and commits that are on no branch."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from shlex import quote

from ..run import git, github
from ..run.errors import Refused
from ..run.shell import Shell
from ..run.steps import Condition, Plan, Step
from ..run.text import counted, in_actions, listed, printable
from . import releases
from .fork import Fork, require_remotes
from .session import Session

PRODUCTION_MOVED = Condition("if the clone is behind")
PUSHES = Condition("without `--direct` and `--no-push`")
DIRECT = Condition("with `--direct`, without `--no-push`")
DIRECT_ELSEWHERE = Condition("with `--direct`, if it is not checked out")
DIRECT_CHECKED_OUT = Condition("with `--direct`, if it is checked out")
TIDIES = Condition("without `--no-push`")

NEVER_SQUASHED = "merge it with a merge commit, never squash it"


def fetch(
    name: str,
    why: str,
    remote: str,
    refs: str,
    when: Condition | None = None,
    done: tuple[str, ...] = (),
) -> Step:
    """A step that fetches refs from a remote, without other tags; both are templates."""
    line = f"git -C {{repo}} fetch --no-tags --no-recurse-submodules {remote} {refs}"
    stuck = "check the network and the remote, then run the same command again."
    return Step(name, why, when=when, run=(line,), done=done, stuck=stuck)


def fetch_tag(name: str, why: str, remote: str, when: Condition | None = None) -> Step:
    """A step that fetches a tag if the clone lacks it."""
    exists = "git -C {repo} show-ref --verify --quiet refs/tags/{tag}"
    return fetch(name, why, remote, "refs/tags/{tag}:refs/tags/{tag}", when, (exists,))


FETCH_PRODUCTION = (
    fetch(
        "production",
        "Fetch the production branch from origin.",
        "{origin}",
        "+refs/heads/{production}:refs/remotes/{origin}/{production}",
        PRODUCTION_MOVED,
    ),
)


def landing(sh: Shell, fork: Fork, branch: str) -> str:
    """The command line that brings a branch on origin into production without a pull request."""
    at, origin = git.at(fork.path), fork.policy.remotes.origin
    production, ref = fork.policy.branches.production, fork.tracking(origin, branch)
    if git.is_ancestor(sh, fork.path, fork.production_commit, ref):
        return f"{at} push {origin.name} {ref}:refs/heads/{production}"
    forward = f"{at} switch {production} && {at} pull --ff-only {origin.name} {production}"
    merge = f"{at} merge --no-ff --no-edit {ref}"
    return f"{forward} && {merge} && {at} push {origin.name} {production}"


def taking_production(fork: Fork, branch: str, work: Path) -> str:
    """The command line that merges origin's production branch into a branch, in its work tree."""
    origin, production = fork.policy.remotes.origin.name, fork.policy.branches.production
    take = f"{git.at(work)} merge --no-edit {origin}/{production}"
    if work.exists():
        return take
    place = quote(str(git.nearest(work, fork.path)))  # git reads it from there
    return f"{git.at(fork.path)} worktree add {place} {branch} && {take}"


def on_a_branch(command: Callable[..., str], name: str, *lines: str) -> str:
    """The command line that makes a change on a new branch and asks for its review.

    command: makes the command line of a task on this fork from its name and options.
    """
    return " && ".join([command("branch.start", name=name), *lines, command("branch.pr")])


def requesting(sh: Shell, fork: Fork, branch: str, ref: str, how: str = "") -> str:
    """The command line that opens the pull request of a published branch.

    ref: a ref of its commit. how: how it has to be merged; "" if that does not matter.
    """
    hub = fork.hub(fork.policy.remotes.origin)
    [subject] = git.subjects(sh, fork.path, "-1", ref)
    line = f"pr create -R {hub.slug} --base {fork.policy.branches.production} --head {branch}"
    words = f"--title {quote(printable(subject))} --body {quote(how.capitalize())}"
    return f"{quote(hub.gh)} {line} {words}"


def say_landing(s: Session, fork: Fork, branch: str, how: str = "") -> None:
    """Print how a published branch of this clone gets into production.

    how: how it has to be merged; "" if that does not matter.
    """
    origin, production = fork.policy.remotes.origin, fork.policy.branches.production
    if github.slug_of(origin.url):
        if how:
            s.console.say(f"Have it reviewed; {how}.")
        if github.can_be_asked(fork.gh, origin.url):
            s.console.next(requesting(s.sh, fork, branch, f"refs/heads/{branch}", how))
            return
        s.console.say(f"Next: open a pull request from {branch} to {production}:")
        s.console.row("  ", f"{fork.hub(origin).url}/compare/{production}...{branch}?expand=1")
        return
    log = f"{git.at(fork.path)} log -p --cc {origin.name}/{production}..{origin.name}/{branch}"
    s.console.say(f"Have it reviewed (`{log}`). This then brings it into {production}:")
    s.console.next(landing(s.sh, fork, branch))


def caught_up(s: Session, fork: Fork) -> Fork:
    """The fork with origin's current production branch, fetched if necessary.

    If origin cannot be reached, we print that and use the last fetched state.
    """
    origin, ref = fork.policy.remotes.origin.name, f"refs/heads/{fork.policy.branches.production}"
    refs = git.remote_refs(s.sh, fork.path, origin, [ref])
    if refs is None:
        s.console.say(f"{origin} cannot be reached: this is as of the last fetch.", "yellow")
        return fork
    now = refs.objects.get(ref, "")
    if now in ("", fork.refs.commits.get(fork.origin_production)):
        return fork
    untouched = "Your checkout, your branches and origin are unchanged."
    plan = Plan(fork.values(), frozenset([PRODUCTION_MOVED]), untouched)
    with s.locked(fork.repository) as held:
        s.run(FETCH_PRODUCTION, plan, held, numbered=False)
    return fork if s.sh.dry else replace(fork, refs=git.refs(s.sh, fork.path)).at(s.sh, now)


BRANCH = Step(
    "branch",
    "Create the branch from production, or take the one on origin.",
    run=("git -C {repo} branch --no-track {sync} {start}",),
    done=("git -C {repo} show-ref --verify --quiet refs/heads/{sync}",),
)

WORKTREE = Step(
    "worktree",
    "Check it out in a separate work tree; yours is not touched.",
    # --force twice: git may still list an earlier work tree whose directory is gone.
    # Tests need all files, even if your checkout is sparse.
    run=("git -C {repo} -c core.sparseCheckout=false worktree add --force --force {place} {sync}",),
    done=("test -e {work}/.git",),
    makes="{place}",
    undo=("git -C {repo} worktree remove --force --force {place}",),
    stuck="make room for {work}, then run the same command again.",
)

PUSH = Step(
    "push",
    "Publish the branch.",
    when=PUSHES,
    run=(
        # Only if origin's branch is still where it was when we planned this.
        "git -C {work} push --atomic --no-follow-tags --force-with-lease=refs/heads/{sync}:{pushed}"
        " {origin} refs/heads/{sync}:refs/heads/{sync}",
    ),
    stuck="see what {origin} says, then run the same command again.",
)

LANDING = (
    Step(
        "publish",
        "Move the production branch on origin, fast-forward only.",
        when=DIRECT,
        run=(
            "git -C {work} push --atomic --no-follow-tags"
            " --force-with-lease=refs/heads/{production}:{base}"
            " {origin} refs/heads/{sync}:refs/heads/{production}",
        ),
        stuck="see what {origin} says, then run the same command again.",
    ),
    Step(
        "local",
        "Move the local production branch to the same commit.",
        when=DIRECT_ELSEWHERE,
        run=("git -C {repo} fetch . refs/heads/{sync}:refs/heads/{production}",),
        untouched="{origin} has the upgrade; only the local branch is behind.",
    ),
    Step(
        "checkout",
        "Move the local branch to the same commit, in its clean checkout.",
        when=DIRECT_CHECKED_OUT,
        run=("git -C {checkout} merge --ff-only refs/heads/{sync}",),
        untouched="{origin} has the upgrade; only the local branch is behind.",
    ),
    Step(
        "tidy",
        "Remove the work tree, unless it holds untracked files.",
        when=TIDIES,
        run=("git -C {repo} -c status.showUntrackedFiles=normal worktree remove {place}",),
        removes="{place}",
        allow=(0, 128),
        otherwise="The work tree is kept.",
    ),
    Step(
        "forget",
        "Remove the local branch; the production branch contains it now.",
        when=DIRECT,
        run=(
            "git -C {repo} -c branch.{sync}.remote={origin}"
            " -c branch.{sync}.merge=refs/heads/{production} branch -d {sync}",
        ),
        # Exit code 1: the work tree was kept, and the branch is checked out there; or somebody
        # has committed more.
        allow=(0, 1),
        otherwise="The local branch is kept: its work tree is, or it has more commits.",
    ),
)

TIDY = (replace(next(step for step in LANDING if step.name == "tidy"), when=None),)

MIRROR_EXISTS = Condition("if the fork has a mirror branch already")
BEHIND = Condition("if the mirror on origin is behind")
ELSEWHERE = Condition("if it is not checked out")
CHECKED_OUT = Condition("if it is checked out")

FETCH_MIRROR = (
    fetch(
        "upstream",
        "Fetch upstream's development branch.",
        "{upstream}",
        "+refs/heads/{branch}:refs/remotes/{upstream}/{branch}",
    ),
    fetch(
        "origin",
        "Fetch the fork's mirror of it.",
        "{origin}",
        "+refs/heads/{mirror}:refs/remotes/{origin}/{mirror}",
        MIRROR_EXISTS,
    ),
)

SYNC_MAIN = (
    Step(
        "push",
        "Move the mirror on origin, fast-forward only.",
        when=BEHIND,
        run=(
            "git -C {repo} push --no-follow-tags {origin}"
            " refs/remotes/{upstream}/{branch}:refs/heads/{mirror}",
        ),
        stuck="see what {origin} says, then run the same command again.",
    ),
    Step(
        "local",
        "Move the local mirror to the same commit, without checking anything out.",
        when=ELSEWHERE,
        run=("git -C {repo} fetch . refs/remotes/{upstream}/{branch}:refs/heads/{mirror}",),
    ),
    Step(
        "checkout",
        "Move the local mirror to the same commit, in its clean checkout.",
        when=CHECKED_OUT,
        run=("git -C {checkout} merge --ff-only refs/remotes/{upstream}/{branch}",),
    ),
)


def mirror_fetch_plan(sh: Shell, fork: Fork) -> Plan:
    """The plan for fetching both main branches. Raises Refused if a remote is wrong."""
    require_remotes(fork)
    origin, mirror = fork.policy.remotes.origin.name, fork.policy.branches.mirror
    refs = releases.ask_remote(sh, fork, origin, [f"refs/heads/{mirror}"])
    upstream, branch = fork.policy.remotes.upstream.name, fork.policy.branches.upstream
    if not releases.ask_remote(sh, fork, upstream, [f"refs/heads/{branch}"]).objects:
        problem, then = releases.without_branch(sh, fork)
        raise Refused(problem, untouched=_untouched(fork), then=then)
    conditions = frozenset([MIRROR_EXISTS] if refs.objects else ())
    return Plan(fork.values(), conditions, untouched=_untouched(fork))


def mirror_plan(sh: Shell, fork: Fork) -> Plan:
    """The plan for moving the mirror branch, once both are fetched.

    Raises Refused if the mirror has commits of its own, or is checked out with changes.
    """
    repo, branches, remotes = fork.path, fork.policy.branches, fork.policy.remotes
    upstream = fork.tracking(remotes.upstream, branches.upstream)
    local = f"refs/heads/{branches.mirror}"
    published = fork.tracking(remotes.origin, branches.mirror)
    refs = git.refs(sh, repo)
    if upstream not in refs.objects:
        # Only with --dry: nothing was fetched, so there is nothing to compare with.
        unknown = frozenset([BEHIND, ELSEWHERE])
        return Plan(fork.values(), unknown, untouched=_untouched(fork))
    by_force = f"{git.at(repo)} branch --force {branches.mirror} {upstream}"
    for ref, back in ((local, by_force), (published, "on GitHub, by hand")):
        if ref in refs.objects and (own := _commits(sh, repo, f"{upstream}..{ref}")):
            name = ref.removeprefix("refs/heads/").removeprefix("refs/remotes/")
            commits = "\n  ".join(own)
            raise Refused(
                f"{name} has commits of its own, but it may only follow upstream:\n  {commits}",
                untouched=_untouched(fork),
                then=f"save them on another branch: {git.at(repo)} branch kept {name}; "
                f"then reset {name}: {back}",
            )
    conditions: set[Condition] = set()
    if refs.objects.get(published) != refs.objects[upstream]:
        conditions.add(BEHIND)
    checkout = None
    if refs.objects.get(local) != refs.objects[upstream]:
        trees = git.worktrees(sh, repo)
        checkout = next((t.path for t in trees if t.branch == local and not t.missing), None)
        conditions.add(CHECKED_OUT if checkout else ELSEWHERE)
    if checkout and (dirty := git.work_state(sh, checkout, submodules=False).dirty):
        raise Refused(
            f"{branches.mirror} is checked out in {checkout} with uncommitted changes: "
            f"{listed(dirty)}.",
            untouched=_untouched(fork),
            then="commit or stash them, or switch to another branch; "
            "then run the same command again.",
        )
    values = fork.values() | {"checkout": str(checkout or "")}
    return Plan(values, frozenset(conditions), untouched=_untouched(fork))


def _commits(sh: Shell, repo: Path, among: str) -> list[str]:
    """One line for each of the ten newest commits in a range: short hash and subject."""
    log = "log --no-show-signature --no-color --max-count=10 '--format=%h %s' {among} --"
    return git.ask(sh, repo, log, "commits", among=among).out.splitlines()


def _untouched(fork: Fork) -> str:
    branches = fork.policy.branches
    return f"Your checkout, {branches.mirror} and {branches.production} are unchanged."


def sync_mirror(s: Session) -> None:
    """Fast-forward the mirror branch to upstream's."""
    fork = s.open_fork()
    fetch = mirror_fetch_plan(s.sh, fork)
    with s.locked(fork.repository) as held:
        s.run(FETCH_MIRROR, fetch, held, numbered=False)
        moving = mirror_plan(s.sh, fork)
        s.run(SYNC_MAIN, moving, held)
    if not moving.conditions:
        s.console.say(f"{fork.policy.branches.mirror} is up to date.")
    if not (s.sh.dry or in_actions()):
        s.console.next(s.command("next"))


_LEFT = re.compile(r"checkout: moving from [0-9a-f]{40,64} to ")

_OPERATIONS = {
    "MERGE_HEAD": "merge",
    "rebase-merge": "rebase",
    "rebase-apply": "rebase",
    "CHERRY_PICK_HEAD": "cherry-pick",
    "REVERT_HEAD": "revert",
    "BISECT_LOG": "bisect",
}


@dataclass(frozen=True)
class Stray:
    """Commits that no ref reaches: the last of them, its day and subject, and how many there
    are."""

    commit: str
    date: str
    subject: str
    commits: int

    @property
    def described(self) -> str:
        """Half a sentence about them."""
        verb = "is" if self.commits == 1 else "are"
        return f"{counted(self.commits, 'commit')} {verb} on no branch"


def operation(directory: Path) -> str:
    """The operation in progress in a work tree, such as ``merge`` or ``rebase``; "" for none.

    directory: where git keeps its data about that work tree.
    """
    return next((what for name, what in _OPERATIONS.items() if (directory / name).exists()), "")


def reopened(sh: Shell, work: Path, state: git.WorkState) -> bool:
    """Whether a work tree has what somebody makes of the conflicts of a pull request: they are in
    the index again, or were, and nothing is committed."""
    return not state.merging and are_back(sh, work)


def are_back(sh: Shell, work: Path) -> bool:
    """Whether conflicts that were committed were put back into a work tree's index since its last
    commit. That sets AUTO_MERGE to what the commit has, which git drops with the next one; a merge
    sets it to something else, and a revert leaves no conflicts in the index."""
    merged, committed = git.objects(sh, work, ["AUTO_MERGE", "HEAD^{tree}"])
    if merged != committed:
        return False
    return bool(git.ask(sh, work, "ls-files --unmerged --resolve-undo", "conflicts").out)


def rebased_branch(sh: Shell, work: Path) -> str:
    """The full name of the branch that is being rebased in a work tree; "" if none."""
    for name in ("rebase-merge/head-name", "rebase-apply/head-name"):
        path = git.path_of(sh, work, name)
        if path.is_file():
            return path.read_text().strip()
    return ""


def detached(sh: Shell, work: Path) -> str:
    """The commit of a detached HEAD; "" if a branch is checked out."""
    if sh.ask("git -C {work} symbolic-ref --quiet HEAD", work=work).ok:
        return ""
    return git.ask(sh, work, "rev-parse --verify HEAD", "HEAD").line


def stray_of(sh: Shell, repo: Path, commit: str, *known: str) -> Stray | None:
    """The commits in a history that neither a ref nor one of the other given commits reaches; None
    if there aren't any."""
    words = ["git", "-C", str(repo), "rev-list", "--ignore-missing", "--count", commit]
    answer = sh.read([*words, "--not", "--branches", "--tags", "--remotes", *known, "--"])
    count = int(answer.line) if answer.ok else 0
    if not count:
        return None
    log = "log -1 --no-show-signature --date=short --format=%H%x00%cd%x00%s {commit} --"
    name, day, subject = git.ask(sh, repo, log, "commit", commit=commit).line.split("\0", 2)
    return Stray(name, day, subject, count)


def left_behind(sh: Shell, work: Path) -> list[Stray]:
    """Commits that were left on a detached HEAD and that no ref reaches, newest first."""
    question = "git -C {work} log --walk-reflogs --no-show-signature --format=%H%x00%gs HEAD --"
    log = sh.ask(question, work=work)
    # Without a reflog, nothing is known.
    entries = [line.split("\0", 1) for line in log.out.splitlines()] if log.ok else []
    left = [before[0] for (_, what), before in pairwise(entries) if _LEFT.match(what)]
    strays: list[Stray] = []
    for commit in dict.fromkeys(left):
        # Commits that a later one contains too are reported with that one.
        others = ["HEAD", *(stray.commit for stray in strays)]
        if stray := stray_of(sh, work, commit, *others):
            strays.append(stray)
    return strays


def where_merged(sh: Shell, fork: Fork, work: Path, tag: str) -> Path:
    """A work tree, or if it has no merge of a release, the one that is on its sync branch."""
    sync = f"refs/heads/{fork.policy.branches.sync_for(tag)}"
    state = git.work_state(sh, work)
    if state.branch == sync or git.is_ancestor(sh, work, fork.refs.tag(tag), state.head):
        return work
    trees = (git.nearest(x.path) for x in git.worktrees(sh, work) if x.branch == sync)
    return next(trees, work)
