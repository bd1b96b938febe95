"""Forecasts: what a merge would do, computed in the object store alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from ..fork.fork import Fork
from ..fork.releases import meant, newest, newest_here, offered, require_commit, upstream_refs
from ..fork.session import Session
from ..fork.tags import Tag
from ..merge import authorship, conflicts, hunks, resolve, syncs
from ..merge.reverted import reverted_sync
from ..merge.words import Merge
from ..run import git
from ..run.console import Console
from ..run.errors import Nothing, Refused
from ..run.shell import Shell
from ..run.text import counted, printable
from . import inventory

if TYPE_CHECKING:
    from ..merge.decisions import Decision


@dataclass(frozen=True)
class Forecast:
    """What merging a release into the production branch would do.

    release: the release. commit: what its tag points to.
    commits, files: how many upstream commits it brings, and how many files differ afterwards.
    decisions: one for each conflict.
    lost: the sync whose lost ancestry makes the merge harder than necessary; None if all is well.
    unhealed: the number of conflicts as long as that is not healed.
    asks: the programs that would be asked about undecided conflicts, by path.
    reads: how many characters of the conflict each of them would read at least, by path.
    """

    release: Tag
    commit: str
    commits: int
    files: int
    decisions: tuple[Decision, ...]
    lost: syncs.Lost | None
    unhealed: int
    asks: Mapping[str, Sequence[str]]
    reads: Mapping[str, int]

    @property
    def tag(self) -> str:
        """The release's name."""
        return self.release.name

    @property
    def left(self) -> int:
        """How many conflicts are left for a person."""
        return sum(bool(decision.left) for decision in self.decisions)

    @property
    def at_risk(self) -> int:
        """How many fork hunks are in undecided conflicts."""
        return sum(decision.left for decision in self.decisions)

    @property
    def kinds(self) -> dict[str, int]:
        """How many conflicts there are of each kind."""
        return dict(Counter(decision.conflict.kind.value for decision in self.decisions))

    @property
    def rules(self) -> dict[str, int]:
        """How many conflicts each kind of evidence decides."""
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
                    "asks": self.asks.get(d.conflict.path, ()),
                    "reads": self.reads.get(d.conflict.path, 0),
                }
                for d in self.decisions
            ],
        }


def forecasts(sh: Shell, fork: Fork, tags: Sequence[Tag]) -> list[Forecast]:
    """The forecasts for some local releases, in the same order."""
    with ThreadPoolExecutor(max_workers=4) as pool:
        return list(pool.map(lambda tag: of_tag(sh, fork, tag), tags))


def of_tag(sh: Shell, fork: Fork, tag: Tag) -> Forecast:
    """The forecast for one release."""
    repo, production = fork.path, fork.production_commit
    theirs = fork.refs.tag(tag.name)
    with ThreadPoolExecutor(max_workers=3) as pool:
        # Git computes the unhealed merge while we find out whether ancestry is lost.
        foresee = partial(
            conflicts.foresee,
            sh,
            repo,
            theirs=theirs,
            unread=lambda path: bool(fork.policy.generated([path])),
        )
        merging = pool.submit(conflicts.merged, sh, repo, production, theirs)
        counting = pool.submit(git.count, sh, repo, theirs, production)
        own = authorship.of_fork(sh, fork, production, theirs)
        lost = authorship.lost_of_fork(sh, fork, production, theirs)
        base = syncs.healed_commit(sh, repo, production, lost) if lost else production
        merged = foresee(ours=base, made=None if lost else merging.result())
        comparing = pool.submit(git.differing, sh, repo, production, merged.tree)
        merge = Merge(sh, fork, repo, base, theirs)
        decided = resolve.decide(merge, merged.conflicts, own, merge.drops(production))
        unhealed = len(merging.result().stages if lost else merged.conflicts)
    asks = {
        path: [proposer.name for proposer in fork.policy.proposers_for(path)]
        for path in (d.conflict.path for d in decided if d.left and d.text is not None)
    }
    reads = {d.conflict.path: _shown(d) for d in decided if asks.get(d.conflict.path)}
    files = len(comparing.result())
    return Forecast(
        tag, theirs, counting.result(), files, tuple(decided), lost, unhealed, asks, reads
    )


def _shown(decision: Decision) -> int:
    """The characters of the hunks that are left."""
    segments = hunks.parse(decision.text or "") or ()
    return sum(len("".join(x.shown)) for x in segments if isinstance(x, hunks.Hunk))


def recommended(forecasts_made: Sequence[Forecast]) -> Forecast | None:
    """The newest of the releases that leave a person the least to do."""
    newest_first = sorted(forecasts_made, key=lambda forecast: forecast.release, reverse=True)
    return min(newest_first, key=lambda forecast: forecast.left, default=None)


def markdown_table(forecasts_made: Sequence[Forecast]) -> str:
    """The forecasts as a table for a pull request or a chat."""
    lines = [
        "| release | commits | files | conflicts | decided | for a person | fork hunks at risk |",
        "| --- | --: | --: | --: | --: | --: | --: |",
    ]
    for forecast in forecasts_made:
        total = len(forecast.decisions)
        cells = [
            forecast.commits,
            forecast.files,
            total,
            total - forecast.left,
            forecast.left,
            forecast.at_risk,
        ]
        lines.append(f"| `{printable(forecast.tag)}` | {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def show_forecast(
    s: Session, names: Sequence[str], markdown: bool
) -> tuple[Fork, Sequence[Forecast]]:
    """Print what merging some releases would do. Returns the fork and the forecasts."""
    fork = s.open_fork()
    if not fork.has_production:
        inventory.ground(s.sh, fork)
    wanted = [meant(s.sh, fork, name) for name in names] if names else newest_here(s.sh, fork)
    releases = offered(s.sh, fork, wanted) if wanted else []
    withdrawn = [tag.name for tag in wanted if tag not in releases]
    if names and withdrawn:
        problem = f"upstream has withdrawn {withdrawn[0]}; only this clone has it."
        raise Refused(problem, then=f"{git.at(fork.path)} tag -d {withdrawn[0]}")
    for name, tag in zip(names, wanted, strict=False):
        require_commit(s.sh, fork, tag.name, fork.refs.tag(tag.name))
        if tag.name != name:
            s.console.say(f"Note: this clone has no tag {name}; using {tag.name}.", "yellow")
    for name in withdrawn:
        s.console.say(f"Warning: upstream has withdrawn {name}.", "yellow")
    upstream = fork.policy.remotes.upstream
    fetch = f"{git.at(fork.path)} fetch --tags {upstream.name}"
    if not releases:
        production = fork.policy.branches.production
        has = f"{production} has every stable release that this clone knows"
        s.console.say(f"Nothing to forecast: {has}.")
        get = fetch if fork.url(upstream) else f"{s.command('setup')} && {fetch}"
        known = upstream_refs(s.sh, fork) if fork.url(upstream) else None
        newer = newest(s.sh, fork, known) if known else None
        lacks = newer and newer.name not in fork.refs.tags()
        ones = f"{newer.name}, which upstream has" if newer and lacks else "newer ones"
        s.console.row(f"To fetch {ones}: ", get)
    with s.console.working("forecast"):
        results = forecasts(s.sh, fork, releases)
    if merged := next((result for result in results if not result.commits), None):
        problem = f"{fork.policy.branches.production} already contains {merged.tag}."
        raise Nothing(problem, then="`next` says what to do now.")
    commits = [fork.refs.tag(release.name) for release in releases[:1]]
    if commits and (gone := reverted_sync(s.sh, fork, fork.production_commit, None, commits)):
        s.console.say(f"{gone.said}. To bring it back first:", "yellow")
        s.console.row("    ", gone.undone(fork))
    if s.json:
        best = recommended(results)
        s.print_json(
            {
                "recommended": best and best.tag,
                "forecasts": [result.as_json() for result in results],
            }
        )
    elif markdown and results:
        s.sh.show(markdown_table(results))
    elif results:
        _show(s.console, results, s.command, "" if names else fetch)
    return fork, results


def _show(
    console: Console, results: Sequence[Forecast], command: Callable[..., str], fetch: str
) -> None:
    """Print forecasts side by side, and the recommended release.

    fetch: the command that fetches more releases; "" if they are those that somebody named.
    """
    head = ("release", "commits", "files", "conflicts", "decided", "left", "at risk")
    rows = [
        (f.tag, f.commits, f.files, len(f.decisions), len(f.decisions) - f.left, f.left, f.at_risk)
        for f in results
    ]
    table = [head, *(tuple(map(str, row)) for row in rows)]
    first, *others = (max(map(len, column)) for column in zip(*table, strict=True))
    for number, row in enumerate(table):
        cells = "".join(f"{cell:>{width + 2}}" for cell, width in zip(row[1:], others, strict=True))
        console.row("", f"{row[0]:<{first}}{cells}", "" if number else "bold")
    if any(result.at_risk for result in results):
        console.say("left: files with conflicts for you; at risk: the fork's hunks in them", "dim")
    for result in results:
        if result.lost:
            console.say(
                f"{result.tag}: {counted(result.unhealed, 'conflict')} unhealed; the numbers are "
                "for healed ancestry. To heal it:",
                "yellow",
            )
            console.row("    ", command("fork.heal"))
        if result.decisions:
            kinds = ", ".join(f"{number} {kind}" for kind, number in result.kinds.items())
            console.say(f"{result.tag}: {kinds}{'; decided by' if result.rules else ''}")
        for rule, number in result.rules.items():
            console.say(rule, head=f"  {number:>4} ")
        for decision in result.decisions:
            if decision.left:
                path = decision.conflict.path
                names = ", ".join(result.asks.get(path, ()))
                about = f"(asks {names}, about {result.reads.get(path, 0):,} characters of hunks)"
                console.row("  left: ", f"{path} {about}" if names else path)
    if fetch:
        console.row("Only tags that this clone has are listed; to fetch newer ones: ", fetch)
    if best := recommended(results):
        newest = max(results, key=lambda result: result.release)
        if best.left < newest.left:
            console.say(
                f"{best.tag} leaves you less to decide than {newest.tag}, which can follow. "
                "(`next` always names the newest.)"
            )
        console.next(command("upgrade-carto", tag=best.tag))
