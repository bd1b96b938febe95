"""What a person should know before an upgrade starts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..fork import branches, tags
from ..fork.fork import Fork
from ..fork.releases import Target
from ..run import git
from ..run.errors import Refused
from ..run.shell import Shell
from ..run.text import counted


def of_fork(
    sh: Shell, fork: Fork, target: Target, trees: Sequence[git.Worktree], *, direct: bool
) -> list[str]:
    """What a person should know. Raises Refused if the local production branch has diverged."""
    notes = []
    repo, branches, origin = fork.path, fork.policy.branches, fork.policy.remotes.origin.name
    if target.asked != target.tag.name:
        notes.append(f"upstream has no tag {target.asked}; using {target.tag.name}.")
    own = fork.place_for(branches.sync_for(target.tag.name))
    notes += [
        f"another upgrade is paused in {tree}; the newer one's pull request will replace the other."
        for tree in fork.merging(sh, trees)
        if not own.exists() or not tree.samefile(own)
    ]
    for name in sorted(target.syncs):
        tag = tags.classify(branches.tag_of(name) or "", fork.policy.tags)
        if direct or not tag or not tag < target.tag:
            continue
        head = target.syncs[name]  # --dry fetches nothing
        if not (git.has_object(sh, repo, head) and git.is_ancestor(sh, repo, head, target.base)):
            replaces = "the pull request of this newer release will replace its"
            notes.append(f"{name} is on {origin}, too; {replaces}.")
    if fork.local_production in fork.refs.objects:
        local = fork.refs.commits[fork.local_production]
        ahead, behind = git.ahead_behind(sh, repo, local, target.base)
        if ahead and behind:
            raise Refused(
                f"your {branches.production} and {origin}'s have diverged "
                f"({ahead} and {behind} commits of their own).",
                then=f"{git.at(repo)} log --oneline --left-right "
                f"{branches.production}...{origin}/{branches.production}",
            )
        if ahead and direct:
            raise Refused(
                f"your {branches.production} has {counted(ahead, 'commit')} that {origin} lacks.",
                then=f"{git.at(repo)} push {origin} {branches.production}",
            )
        if ahead:
            notes.append(
                f"your {branches.production} has {counted(ahead, 'commit')} that {origin} lacks; "
                f"{'it is' if ahead == 1 else 'they are'} not part of this upgrade."
            )
    return notes


def of_branch(
    sh: Shell, fork: Fork, target: Target, local: str, work: Path, *, direct: bool
) -> list[str]:
    """What a person should know about an earlier run's sync branch.

    local: the commit of the local sync branch, "" for none. work: its work tree's path.
    Raises Refused if origin's has commits that the local one lacks, or, with --direct, if the
    production branch has new commits.
    """
    repo, origin = fork.path, fork.policy.remotes.origin.name
    production, sync = (
        fork.policy.branches.production,
        fork.policy.branches.sync_for(target.tag.name),
    )
    if local and target.pushed and local != target.pushed:
        ahead, behind = git.ahead_behind(sh, repo, local, target.pushed)
        if behind:
            take = f"{git.at(repo)} fetch {origin} {sync}:{sync}, then run the same command again."
            if work.exists():
                take = f"{git.at(work)} pull --no-rebase {origin} {sync}, "
                take += "then run the same command again."
            elif ahead:
                take = f"{git.at(repo)} log --oneline --left-right {sync}...{origin}/{sync}; "
                take += "to discard yours, run the same command with --abort, then without it."
            raise Refused(
                f"{sync} on {origin} has {counted(behind, 'commit')} that yours lacks.",
                then=take,
            )
    start = local or target.pushed
    notes = []
    if start and not local:
        notes.append(f"{origin} has {sync} from an earlier run; this continues it.")
    if not start or git.is_ancestor(sh, repo, target.base, start):
        return notes
    merging = git.work_state(sh, work).merging if (work / ".git").exists() else ""
    if direct and merging in ("", target.commit):  # another merge is refused later
        problem = f"{production} has new commits since {sync} was started."
        take = branches.taking_production(fork, sync, work)
        if merging:
            take = "finish the merge: run the same command without --direct and with --no-push"
        raise Refused(problem, then=f"{take}; then run the same command again.")
    notes.append(
        f"{production} has new commits since {sync} was started; the pull request shows both."
    )
    return notes
