"""Evidence: syncs that a squash merge cut off from upstream's history, and what would mend it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..fork.fork import Fork
from ..merge import authorship
from ..merge.evidence import Commit, Customisations
from ..run import git
from ..run.shell import Shell


@dataclass(frozen=True)
class Lost:
    """A sync whose ancestry is lost: git does not know that upstream's work is merged.

    sync: the commit that brought upstream's work, with one parent only.
    parent: the commit of upstream's whose files it brought; the other parent that it ought to have.
    differs: in how many paths the two differ.
    hidden: those of them that upstream knows and no commit of the fork's own changed; recording the
        ancestry would say of them that the fork wants them so.
    """

    sync: Commit
    parent: str
    differs: int
    hidden: tuple[str, ...]


def of_fork(sh: Shell, fork: Fork, production: str, theirs: str) -> Lost | None:
    """The newest sync of a fork whose ancestry is lost; it is looked for once in a task.

    production: the fork's side; theirs: upstream's, the commit to merge.
    """
    own = authorship.of_fork(sh, fork, production, theirs)
    upstream = tuple(dict.fromkeys([theirs, *fork.upstream_tips]))
    key = ("lost", fork.path, production, upstream)
    return sh.once(key, lambda: find(sh, fork.path, production, upstream, own))


def find(
    sh: Shell, repo: Path, production: str, upstream: Sequence[str], own: Customisations
) -> Lost | None:
    """The newest sync in a branch's history whose ancestry is lost; None if all is well.

    production: the fork's side. upstream: upstream's side, the first one the release to merge.
    """
    if not own.squashed:
        return None
    bases = git.merge_bases(sh, repo, production, upstream[0])
    dates = {base: git.commit_date(sh, repo, base) for base in bases}
    for sync in own.squashed:
        # After a sync of something newer that was merged as it should be, nothing is lost any more.
        if any(dates[base] > sync.date for base in bases):
            continue
        parent = nearest(sh, repo, sync, upstream)
        if not parent or git.is_ancestor(sh, repo, parent, production):
            continue
        differs = git.differing(sh, repo, parent, sync.name)
        hidden = tuple(hides(sh, repo, sync, parent, differs, own))
        return Lost(sync, parent, len(differs), hidden)
    return None


def hides(
    sh: Shell,
    repo: Path,
    sync: Commit,
    parent: str,
    differs: Sequence[str],
    own: Customisations,
) -> list[str]:
    """The paths of which recording a sync's ancestry would say, wrongly, that the fork wants them
    so: upstream has them, or had them when the fork last merged, and no commit of the fork's own
    changed them. A file that only the sync ever had hides nothing.

    differs: the paths in which the sync and upstream's commit differ.
    """
    bases = git.merge_bases(sh, repo, f"{sync.name}^", parent)
    known = {path for commit in (parent, *bases[:1]) for path in git.tree(sh, repo, commit)}
    return [path for path in differs if path in known and not own.of([path])]


def nearest(sh: Shell, repo: Path, sync: Commit, upstream: Sequence[str]) -> str | None:
    """The commit of upstream's whose files are the nearest to a sync's, among those before it.

    Along upstream's history the distance falls towards the one commit and rises behind it, so that
    looking here and there first is enough.
    """
    best: tuple[int, str] | None = None
    for tip in upstream:
        listed = sh.ask(
            "git -C {repo} rev-list --first-parent --before={date} {tip} --not {sync} --",
            repo=repo,
            date=f"{sync.date}T23:59:59",
            tip=tip,
            sync=sync.name,
        )
        history = git.checked(listed, "upstream's history").out.split()
        first, last, step = 0, len(history), max(1, len(history) // 24)
        while first < last:
            found = [
                (len(git.differing(sh, repo, history[i], sync.name)), i)
                for i in range(first, last, step)
            ]
            distance, place = min(found)
            if step == 1:
                best = min(best, (distance, history[place])) if best else (distance, history[place])
                break
            first, last = max(0, place - step), min(len(history), place + step + 1)
            step = max(1, (last - first) // 8)
    return best[1] if best else None


def healed(sh: Shell, repo: Path, production: str, lost: Lost) -> str:
    """A commit with a branch's files and both its history and the lost one.

    It lies in the object store alone, for forecasts: no ref leads to it.
    """
    words = ["git", "-C", str(repo), "-c", "user.name=carto-fork", "-c", "user.email=carto-fork"]
    words += ["commit-tree", f"{production}^{{tree}}", "-p", production, "-p", lost.parent]
    made = sh.read([*words, "-m", f"forecast: heal {lost.sync.name}"])
    return git.checked(made, "healed history").line
