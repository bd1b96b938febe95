"""Forecasts: what a merge would do, computed in the object store alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from ..fork.fork import Fork
from ..fork.releases import here, newest_here, offered, require_commit
from ..fork.session import Session
from ..fork.tags import Tag
from ..merge import authorship, conflicts, resolve, reverts, syncs
from ..run import git
from ..run.console import Console
from ..run.errors import Refused
from ..run.shell import Shell
from ..run.text import counted, printable
from . import inventory

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
    asks: by path, the programs that would be asked about what is left.
    """

    release: Tag
    commit: str
    commits: int
    files: int
    decisions: tuple[Decision, ...]
    lost: syncs.Lost | None
    unhealed: int
    asks: Mapping[str, Sequence[str]]

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
                    "asks": self.asks.get(d.conflict.path, ()),
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
    theirs = fork.refs.tag(tag.name)
    with ThreadPoolExecutor(max_workers=3) as pool:
        # Git is at the merge as things are while it is found out whether ancestry is lost.
        foresee = partial(
            conflicts.foresee,
            sh,
            repo,
            theirs=theirs,
            unread=lambda path: bool(fork.policy.generated([path])),
        )
        as_it_is = pool.submit(foresee, ours=production)
        counting = pool.submit(git.count, sh, repo, theirs, production)
        own = authorship.of_fork(sh, fork, production, theirs)
        lost = authorship.lost_of_fork(sh, fork, production, theirs)
        base = syncs.healed_commit(sh, repo, production, lost) if lost else production
        merged = foresee(ours=base) if lost else as_it_is.result()
        comparing = pool.submit(git.differing, sh, repo, production, merged.tree)
        decided = resolve.decide(
            sh, fork, repo, merged.conflicts, own, base, theirs, told=production
        )
        files = len(comparing.result())
        unhealed = len(as_it_is.result().conflicts)
    asks = {
        path: [proposer.name for proposer in fork.policy.proposers_for(path)]
        for path in (d.conflict.path for d in decided if d.left and d.text is not None)
    }
    return Forecast(tag, theirs, counting.result(), files, tuple(decided), lost, unhealed, asks)


def recommended(found: Sequence[Forecast]) -> Forecast | None:
    """The newest release among those that leave a person the least to do."""
    newest_first = sorted(found, key=lambda forecast: forecast.release, reverse=True)
    return min(newest_first, key=lambda forecast: forecast.left, default=None)


def markdown_table(found: Sequence[Forecast]) -> str:
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


def show_forecast(
    s: Session, names: Sequence[str], markdown: bool
) -> tuple[Fork, Sequence[Forecast]]:
    """Tell what merging some releases would do; the fork, and the forecasts."""
    fork = s.open_fork()
    if not fork.has_production:
        inventory.ground(s.sh, fork)
    known = [here(fork, name) for name in names] if names else newest_here(s.sh, fork)
    releases = offered(s.sh, fork, known) if known else []
    withdrawn = [tag.name for tag in known if tag not in releases]
    if names and withdrawn:
        problem = f"upstream has withdrawn {withdrawn[0]}; it is here alone."
        raise Refused(problem, then=f"{git.at(fork.path)} tag -d {withdrawn[0]}")
    for name in names:
        require_commit(s.sh, fork, name, fork.refs.tag(name))
    for name in withdrawn:
        s.console.say(f"Warning: upstream has withdrawn {name}.", "yellow")
    if not releases:
        production = fork.policy.branches.production
        has = f"{production} has every new stable release that is here"
        s.console.say(f"Nothing to forecast: {has}.")
        upstream = fork.policy.remotes.upstream
        fetch = f"{git.at(fork.path)} fetch --tags {upstream.name}"
        get = fetch if fork.url(upstream) else f"{s.command('setup')} && {fetch}"
        s.console.row("This fetches what is not here: ", get)
    with s.console.working("forecast"):
        found = forecasts(s.sh, fork, releases)
    if merged := next((one for one in found if not one.commits), None):
        problem = f"{fork.policy.branches.production} already contains {merged.tag}."
        raise Refused(problem, then="choose a newer release; `status` names the newest one.")
    commits = [fork.refs.tag(release.name) for release in releases[:1]]
    if commits and (gone := reverts.find(s.sh, fork, fork.production_commit, None, commits)):
        s.console.say(f"{gone.said}. This brings it back first:", "yellow")
        s.console.row("    ", gone.undone(fork))
    if s.json:
        best = recommended(found)
        s.print_json(
            {"recommended": best and best.tag, "forecasts": [one.as_json() for one in found]}
        )
    elif markdown and found:
        s.sh.show(markdown_table(found))
    elif found:
        _show(s.console, found, s.command)
    return fork, found


def _show(console: Console, told: Sequence[Forecast], command: Callable[..., str]) -> None:
    """Forecasts side by side, and the release to choose."""
    head = ("release", "commits", "files", "conflicts", "decided", "yours", "at risk")
    rows = [
        (f.tag, f.commits, f.files, len(f.decisions), len(f.decisions) - f.left, f.left, f.at_risk)
        for f in told
    ]
    table = [head, *(tuple(map(str, row)) for row in rows)]
    width = max(len(row[0]) for row in table)
    for number, row in enumerate(table):
        cells = "".join(f"{cell:>10}" for cell in row[1:])
        console.row("", f"{row[0]:<{width}}{cells}", "" if number else "bold")
    for one in told:
        if one.lost:
            console.say(
                f"{one.tag}: {counted(one.unhealed, 'conflict')} as things are; the numbers are "
                "for healed ancestry. This heals it:",
                "yellow",
            )
            console.row("    ", command("fork.heal"))
        if one.decisions:
            kinds = ", ".join(f"{number} {kind}" for kind, number in one.kinds.items())
            console.say(f"{one.tag}: {kinds}")
        for rule, number in one.rules.items():
            console.row(f"  {number:>4} ", rule)
        for decision in one.decisions:
            if decision.left:
                path = decision.conflict.path
                names = ", ".join(one.asks.get(path, ()))
                console.row("  yours: ", f"{path} (asks {names})" if names else path)
    if best := recommended(told):
        console.next(command("upgrade-carto", tag=best.tag))
