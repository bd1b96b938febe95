"""Forecasts: what a merge would do, computed in the object store alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pathspec import GitIgnoreSpec

from ..fork.fork import Fork
from ..fork.tags import Tag
from ..merge import authorship, conflicts
from ..run import git
from ..run.shell import Shell
from ..run.text import printable
from . import ancestry

if TYPE_CHECKING:
    from ..merge.decisions import Decision


@dataclass(frozen=True)
class Forecast:
    """What merging a release into the production branch would do.

    release: the release. commit: what it stands for.
    commits, files: how many commits of upstream's it brings, and how many files differ then.
    decisions: one for each conflict.
    lost: the sync whose lost ancestry makes it worse than it need be, None if there is none.
    unhealed: how many conflicts there are as long as that is not healed.
    """

    release: Tag
    commit: str
    commits: int
    files: int
    decisions: tuple[Decision, ...]
    lost: ancestry.Lost | None
    unhealed: int

    @property
    def tag(self) -> str:
        """The release's name."""
        return self.release.name

    @property
    def left(self) -> int:
        """How many conflicts a person must take."""
        return sum(bool(decision.left) for decision in self.decisions)

    @property
    def at_risk(self) -> int:
        """How many hunks of the fork's are in conflict and not decided."""
        return sum(decision.left for decision in self.decisions)

    @property
    def kinds(self) -> dict[str, int]:
        """How many conflicts there are of each kind."""
        return dict(Counter(decision.conflict.kind.value for decision in self.decisions))

    @property
    def rules(self) -> dict[str, int]:
        """How many conflicts are decided by what."""
        return dict(Counter(d.rule for d in self.decisions if not d.left))

    def as_json(self) -> dict[str, Any]:
        """Plain data for ``--json``."""
        return {
            "tag": self.tag,
            "commit": self.commit,
            "commits": self.commits,
            "files": self.files,
            "conflicts": len(self.decisions),
            "conflicts_unhealed": self.unhealed,
            "ancestry_lost_in": self.lost and self.lost.sync.name,
            "kinds": self.kinds,
            "decided_by": self.rules,
            "left": self.left,
            "hunks_at_risk": self.at_risk,
            "paths": [
                {
                    "path": d.conflict.path,
                    "kind": d.conflict.kind.value,
                    "decision": "person" if d.left or not d.take else d.take.value,
                    "rule": d.rule,
                    "why": d.why,
                }
                for d in self.decisions
            ],
        }


def forecasts(sh: Shell, fork: Fork, tags: Sequence[Tag]) -> list[Forecast]:
    """The forecast for each of some releases that are here, in the same order."""
    with ThreadPoolExecutor(max_workers=4) as pool:
        return list(pool.map(lambda tag: of_tag(sh, fork, tag), tags))


def of_tag(sh: Shell, fork: Fork, tag: Tag) -> Forecast:
    """The forecast for one release."""
    repo, production = fork.path, fork.production_commit
    theirs = fork.refs.commits[f"refs/tags/{tag.name}"]
    upstream = [theirs, *fork.upstream_refs]
    # The merge and the fork's history are read at the same time: each needs a core for a while.
    with ThreadPoolExecutor(max_workers=3) as pool:
        generated = GitIgnoreSpec.from_lines(p for rule in fork.policy.units for p in rule.paths)
        unread = generated.match_file
        merging = pool.submit(conflicts.foresee, sh, repo, production, theirs, unread)
        stated_in = fork.policy.version_paths
        reading = pool.submit(authorship.read, sh, repo, production, upstream, stated_in)
        counting = pool.submit(git.count, sh, repo, theirs, production)
        # Imported while git is at work.
        from ..merge import knowledge

        own = reading.result()
        lost = ancestry.find(sh, repo, production, upstream, own)
        merged, base = merging.result(), production
        unhealed = len(merged.conflicts)
        if lost:
            base = ancestry.healed(sh, repo, production, lost)
            merged = conflicts.foresee(sh, repo, base, theirs, unread)
        comparing = pool.submit(git.differing, sh, repo, production, merged.tree)
        decided = knowledge.decide(
            sh, repo, fork.policy, merged.conflicts, own, base, upstream, told=production
        )
        files = comparing.result()
    return Forecast(tag, theirs, counting.result(), len(files), tuple(decided), lost, unhealed)


def recommended(found: Sequence[Forecast]) -> Forecast | None:
    """The newest release among those that leave a person the least to do."""
    newest_first = sorted(found, key=lambda forecast: forecast.release, reverse=True)
    return min(newest_first, key=lambda forecast: forecast.left, default=None)


def markdown(found: Sequence[Forecast]) -> str:
    """The forecasts as a table for a pull request or a chat."""
    lines = [
        "| release | commits | files | conflicts | decided | for a person | fork hunks at risk |",
        "| --- | --: | --: | --: | --: | --: | --: |",
    ]
    for one in found:
        total = len(one.decisions)
        cells = [one.commits, one.files, total, total - one.left, one.left, one.at_risk]
        lines.append(f"| `{printable(one.tag)}` | {' | '.join(map(str, cells))} |")
    return "\n".join(lines)
