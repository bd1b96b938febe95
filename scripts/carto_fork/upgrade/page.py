"""What the page for reviewing an upgrade shows."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib import parse

from ..audit.fates import Fate
from ..audit.ledger import Entry
from ..audit.verify import Verification
from ..fork import records
from ..fork.fork import Fork
from ..fork.policy import POLICY_FILE, Remote, Rule, Side
from ..fork.session import command
from ..merge import commits, conflicts, syncs
from ..merge.decisions import Decision
from ..merge.hunks import Commit, Conflict
from ..run import files, git, github
from ..run.shell import Shell, batches
from ..run.text import counted, joined
from . import marked, proposals
from .sides import SAID, TONES, WORST, Sides, worst
from .work import AT_RISK, SIDES

_MOST_HUNKS = 20
"""So many hunks of a file are shown."""
_MOST_LINES = 60
"""So many lines of a log, a patch or a file are shown."""
_MOST_COMMITS = 3
_MOST_TEXT = 1_000_000
"""So many characters of code are on a page."""

_COLOURS = {
    Fate.KEPT: "kept",
    Fate.MOVED: "moved",
    Fate.ABSORBED: "absorbed",
    Fate.DROPPED: "dropped",
    Fate.SUPERSEDED: "look",
    Fate.LOST: "lost",
}
_REASONS = {
    Fate.LOST: "Nothing explains why the result lacks the lines with -, or has those with + again.",
    Fate.SUPERSEDED: "The result has something else in place of the lines with -, or those with +."
    " Was that meant?",
}
_KINDS = {"policy": re.compile("|".join(map(re.escape, (POLICY_FILE, *records.NOTES))))} | AT_RISK
"""What a reviewer looks at wherever upstream changed it."""
_WHOSE = {Side.FORK: "the fork", Side.UPSTREAM: "upstream"}
_SECTIONS = {
    "numbers": "Numbers",
    "eyes": "Needs eyes",
    "conflicts": "Conflicts",
    "fork": "The fork's own",
    "upstream": "Upstream",
    "checks": "Checks",
    "again": "By command",
}


@dataclass(frozen=True)
class Merge:
    """A merge to show.

    name: of what is merged. ours, theirs: its sides. result: what became of them, "" for one that
        has not happened.
    decisions: one for each conflict. checked: its account, None for one that has not happened.
    lost: the sync whose lost ancestry is reckoned with.
    left: the paths whose conflict nobody has resolved, None if markers alone show that.
    request: the options that name it to `resolve-conflicts`.
    checks: what was checked, whether it passed (None: it did not run), and its log.
    landed: whether the production branch has the result.
    """

    name: str
    ours: str
    theirs: str
    result: str
    decisions: Sequence[Decision]
    checked: Verification | None
    lost: syncs.Lost | None = None
    left: frozenset[str] | None = None
    request: Mapping[str, str] = field(default_factory=dict)
    checks: Sequence[tuple[str, bool | None, Path | None]] = ()
    landed: bool = False


class Page:
    """What the page shows, each thing read once."""

    def __init__(self, sh: Shell, fork: Fork, merge: Merge) -> None:
        self._sh, self._fork, self._merge = sh, fork, merge
        self._repo, self._room = fork.path, _MOST_TEXT
        self._sides = Sides(sh, fork, merge.ours, merge.theirs, merge.result, merge.lost)
        self._account = merge.checked.account if merge.checked else None
        # The default policy is about another fork if its production branch is not here.
        self._strange = fork.loaded.is_default and not fork.has_production
        origin, upstream = fork.policy.remotes.origin, fork.policy.remotes.upstream
        self._pages = {Side.FORK: self._hub(origin), Side.UPSTREAM: self._hub(upstream)}

    def _hub(self, remote: Remote) -> str:
        """The page of a remote's repository, "" if it has none."""
        url = self._fork.url(remote) or "" if self._strange else remote.url
        slug = github.slug_of(url)
        return f"https://github.com/{slug}" if slug else ""

    def data(self) -> dict[str, Any]:
        """What the template fills in; what matters most comes first, as long as there is room."""
        eyes = [*self._eyes()]
        conflicts_ = [*self._conflicts()]
        entries = self._account.entries if self._account else ()
        mine = [entry for entry in entries if entry.side is Side.FORK]
        customisations = [*self._sides.customisations(mine, self._fits)]
        merge, numbers = self._merge, [*self._numbers()]
        name = self._fork.home.absolute().name if self._strange else self._fork.policy.name
        return {
            "title": f"{name}: {merge.name or merge.theirs[:10]}",
            "key": f"carto-fork {merge.ours} {merge.theirs} {merge.result}",
            "sections": _SECTIONS,
            "counts": {"eyes": len(eyes), "conflicts": len(merge.decisions)},
            "fates": sorted({x["fate"] for x in (*eyes, *conflicts_, *customisations)}),
            "verdict": self._verdict(),
            "todo": [*self._todo()],
            "notes": self._notes(),
            "numbers": numbers,
            "charts": [*self._charts()],
            "eyes": eyes,
            "conflicts": conflicts_,
            "customisations": customisations,
            "upstream_said": self._upstream_said(),
            "areas": [*self._sides.areas()],
            "checks": [*self._checks()],
            "commands": _by_command(numbers),
            "fork_page": self._pages[Side.FORK],
            "upstream_page": self._pages[Side.UPSTREAM],
        }

    def _fits(self, lines: Sequence[str], most: int = _MOST_LINES) -> list[str]:
        """As many of some lines as there is room for."""
        shown = [*lines[: most if self._room > 0 else 0]]
        self._room -= sum(map(len, shown))
        more = len(lines) - len(shown)
        return shown + [f"… and {counted(more, 'more line')}"] * bool(more)

    # --- 1: verdict and numbers

    @cached_property
    def _left(self) -> set[str]:
        """The paths whose conflict nobody has resolved."""
        merge = self._merge
        left = {d.conflict.path for d in merge.decisions if d.left}
        if merge.left is not None:
            return left & merge.left
        if not (left and merge.result):
            return left
        sides = [merge.ours, merge.theirs]
        marked_ = conflicts.markers_left(self._sh, self._repo, sides, merge.result)
        return left & {path for path, _ in marked_}

    @cached_property
    def _proposed(self) -> Mapping[str, records.Proposal]:
        merge = self._merge
        if not merge.result:
            return {}
        found = proposals.of_sync(self._sh, self._repo, merge.ours, merge.result)
        return {one.path: one for one in found if not one.accepted}

    def _entries(self, *which: Fate) -> list[Entry]:
        return (
            [e for e in self._account.entries if e.account.fate in which] if self._account else []
        )

    @cached_property
    def _open(self) -> list[tuple[bool, str, str]]:
        """What is not settled: whether it must not land so, what it is, and what to do about it."""
        merge = self._merge
        wrong = len(merge.checked.wrong) if merge.checked else 0
        lost, looks = len(self._entries(Fate.LOST)), len(self._entries(Fate.SUPERSEDED))
        not_run = [name for name, passed, _ in merge.checks if passed is None]
        failed = [name for name, passed, _ in merge.checks if passed is False and name != "verify"]
        rows = (
            (len(self._left), True, "conflict left", "Resolve each conflict that is left"),
            (lost, True, "change lost", "Bring back what is lost, or drop it with a reason"),
            (wrong, True, "finding", "Fix what the checks of the merge found"),
            (len(failed), True, f"failed: {', '.join(failed)}", "Fix what fails"),
            (len(self._proposed), False, "proposal to accept", "Accept each proposal, or redo it"),
            (looks, False, "change to look at", "Look at what something else replaced"),
            (len(not_run), False, f"not run: {', '.join(not_run)}", "Run these, here or in CI"),
        )
        found = []
        for number, certain, what, todo in rows:
            noun, _, more = what.partition(" ")
            said = what if ":" in what else f"{counted(number, noun)} {more}".strip()
            found += [(certain, said, f"{todo} ({said}).")] * bool(number)
        return found

    def _verdict(self) -> dict[str, str]:
        if self._merge.checked is None:
            left = len(self._left)
            text = f"A forecast: {counted(left, 'conflict')} would be left for a person."
            return {"kind": "open" if left else "passed", "text": text}
        wrong = [what for certain, what, _ in self._open if certain]
        if wrong:
            text = "Something is wrong" if self._merge.landed else "It must not land yet"
            return {"kind": "wrong", "text": f"{text}: {', '.join(wrong)}."}
        if open_ := [what for _, what, _ in self._open]:
            return {"kind": "open", "text": f"Nothing is lost. Still open: {'; '.join(open_)}."}
        return {"kind": "passed", "text": "Nothing is lost, and no conflict is left."}

    def _todo(self) -> Iterator[str]:
        """What has to be done before it lands, and then."""
        yield from (todo for _, _, todo in self._open)
        if self._merge.landed:
            return
        yield "Go through what needs eyes, below, and read upstream's release notes."
        if self._merge.result:
            yield "Merge it with a merge commit, never squashed or rebased."
        if self._merge.name:
            yield f"Afterwards: {command('carto-fork', 'verify', landed=self._merge.name)}"

    def _notes(self) -> str:
        """Where upstream says what is in the release."""
        page, name = self._pages[Side.UPSTREAM], self._merge.name
        return f"{page}/releases/tag/{parse.quote(name, safe='')}" if page and name else ""

    def _numbers(self) -> Iterator[tuple[str, object, str, str]]:
        """What is counted, the number, the command that gives it, and what of its answer."""
        merge, account = self._merge, self._account
        ours, theirs, result = (name[:10] for name in (merge.ours, merge.theirs, merge.result))
        yield "release", merge.name or "-", "", ""
        yield "the fork's side", ours, "", ""
        yield "upstream's side", theirs, "", ""
        yield "result", result or "not merged yet", "", ""
        number = git.count(self._sh, self._repo, merge.theirs, merge.ours)
        how = f"git rev-list --count {theirs} --not {ours}"
        yield "commits that upstream brings", number, how, "the number"
        if result:
            sides = {"ours": ours, "theirs": theirs, "result": result}
            how, part = command("carto-fork", "report", **sides), "the conflicts on its page"
        else:
            how, part = f"{command('carto-fork', 'forecast', tag=merge.name)} --json", "paths"
        yield "files in conflict", len(merge.decisions), how, part
        for outcome, number in Counter(map(self._outcome, merge.decisions)).items():
            yield f"of these: {outcome}", number, how, part
        if not account:
            how = f"git diff --no-renames --name-only {self._sides.commits['base'][:10]} {theirs}"
            yield "files that upstream changed", len(self._sides.changed), how, "its lines"
            return
        how = f"{command('carto-fork', 'verify', **sides)} --json"
        yield "files that upstream changed", account.upstream_paths, how, "upstream_files"
        yield "files that the fork's commits changed", account.fork_paths, how, "fork_files"
        lists = {Fate.LOST: "lost", Fate.SUPERSEDED: "look_at"}
        for fate in WORST[:-1]:
            if number := len(self._entries(fate)):
                yield f"changes: {SAID[fate]}", number, how, lists.get(fate, "explained")
        findings = merge.checked.findings if merge.checked else ()
        yield "findings of the checks", len(findings), how, "findings"

    def _charts(self) -> Iterator[dict[str, Any]]:
        if account := self._account:
            totals = {Side.FORK: account.fork_paths, Side.UPSTREAM: account.upstream_paths}
            for side, total in totals.items():
                fates = worst(e for e in account.entries if e.side is side)
                counts = Counter(fate for (_, commit), fate in fates.items() if not commit)
                counts[Fate.KEPT] += max(0, total - counts.total())
                named = [(SAID[fate], _COLOURS[fate], counts[fate]) for fate in Fate]
                title = f"{counted(counts.total(), 'file')} that {_WHOSE[side]} changed"
                yield _chart(f"{title}, each by the worst that became of a change in it", named)
        outcomes = Counter(map(self._outcome, self._merge.decisions))
        colours = {"decided": "kept", "by a person": "moved", "proposed": "look", "left": "lost"}
        if outcomes:
            title = f"{counted(outcomes.total(), 'file')} in conflict"
            yield _chart(title, [(x, colours[x], outcomes[x]) for x in colours])

    # --- 2: what needs eyes

    def _eyes(self) -> Iterator[dict[str, Any]]:
        checked = self._merge.checked
        for path in sorted(self._left):
            what = "a conflict that a person decides"
            yield _eye(path, what, "left", "wrong", commands=self._words_about(path))
        for path, one in self._proposed.items():
            what = f"proposed by {one.by}"
            yield _eye(path, what, "proposed", "open", commands=self._words_about(path))
        findings = sorted(checked.findings if checked else (), key=lambda f: not f.certain)
        for finding in findings:
            tone = "wrong" if finding.certain else "open"
            yield _eye(finding.path, finding.what, finding.check, tone, fate="finding")
        entries = self._entries(Fate.LOST, Fate.SUPERSEDED, Fate.DROPPED)
        groups: dict[tuple[int, str, Side, str], list[Entry]] = defaultdict(list)
        for entry in entries:
            worst_first = WORST.index(entry.account.fate)
            groups[worst_first, entry.path, entry.side, entry.reason].append(entry)
        foreign = [e.path for e in entries if e.side is Side.UPSTREAM and not e.reason]
        newest = self._newest_upstream(list(dict.fromkeys(foreign)))
        for (_, path, side, _), alike in sorted(groups.items(), key=lambda group: group[0][:2]):
            yield self._eye_of(alike, newest[path] if side is Side.UPSTREAM else [])
        known = {entry.path for entry in entries}
        for decision in self._merge.decisions:
            path = decision.conflict.path
            if decision.dropped and not decision.left and path not in known:
                what = f"{counted(decision.dropped, 'line')} of the fork gave way: {decision.rule}"
                yield _eye(path, what, "gave way", "open", reason=decision.why)
        yield from self._at_risk()

    def _eye_of(self, alike: Sequence[Entry], newest: Sequence[Commit]) -> dict[str, Any]:
        """The changes of a file of which the same became.

        newest: who changed the file last, if no commit is known to be behind them.
        """
        first, lines = alike[0], []
        for entry in alike:
            account = entry.account
            lines += [f"@@ line {account.change.line}"] * bool(account.change.line)
            lines += [f"- {line}" for line in account.missing]
            lines += [f"+ {line}" for line in account.back]
        fate, lost = SAID[first.account.fate], first.account.fate is Fate.LOST
        whats = dict.fromkeys(entry.what or "lines" for entry in alike)
        what = f"{counted(len(alike), 'change')} of {_WHOSE[first.side]}: {', '.join(whats)}"
        drop = command("carto-fork", "verify", drop=first.path, reason="WHY")
        return _eye(
            first.path,
            what,
            fate,
            TONES.get(fate, ""),
            reason=first.reason or _REASONS.get(first.account.fate, ""),
            lines=self._fits(lines),
            commits=[*dict.fromkeys(c for entry in alike for c in entry.commits)] or newest,
            page=self._pages[first.side],
            commands=[drop] * lost,
        )

    def _at_risk(self) -> Iterator[dict[str, Any]]:
        """What upstream changed of what runs, what is installed and what decides, each with what
        that changes for the fork."""
        kinds = {
            path: next((kind for kind, pattern in _KINDS.items() if pattern.fullmatch(path)), "")
            for path in sorted(self._sides.changed)
        }
        paths = sorted(filter(kinds.get, kinds), key=lambda path: [*_KINDS].index(kinds[path]))
        known = ("ours", "result") if self._merge.result else ("base", "theirs")
        said = {path: ("upstream changed it", *known) for path in paths}
        for path in paths if self._merge.result else ():
            ours, result = self._sides.pair(path, "ours", "result")
            if ours == result:
                stays = "the fork's stays as it was" if ours else "the fork does not have it"
                said[path] = (f"upstream changed it, as shown; {stays}", "base", "theirs")
            elif not result:
                said[path] = ("upstream removed it", "ours", "result")
        pairs = {path: self._sides.pair(path, *sides) for path, (_, *sides) in said.items()}
        changes = self._sides.changes(pairs.values())
        for path, (what, *sides) in said.items():
            lines = self._fits(marked.changes(changes(pairs[path])))
            words = ["git", "diff", *(self._sides.commits[side][:10] for side in sides), "--", path]
            yield _eye(path, what, kinds[path], "open", lines=lines, commands=[joined(words)])

    def _words_about(self, path: str) -> list[str]:
        """The commands by which a person decides about a file."""
        task, request = "resolve-conflicts", self._merge.request
        if path in self._proposed:
            return [command("carto-fork", task, **request, accept_proposal=path)]
        sides = ("keep_fork", "accept_upstream")
        return [command("carto-fork", task, **request, **{x: path}, reason="WHY") for x in sides]

    # --- 3: conflicts

    def _outcome(self, decision: Decision) -> str:
        path = decision.conflict.path
        if path in self._left:
            return "left"
        if path in self._proposed:
            return "proposed"
        return "by a person" if decision.left else "decided"

    def _conflicts(self) -> Iterator[dict[str, Any]]:
        order = ("left", "proposed", "by a person", "decided")
        decisions = sorted(self._merge.decisions, key=lambda d: order.index(self._outcome(d)))
        paths = [d.conflict.path for d in decisions]
        made = self._fork.policy.generated(paths)
        units: dict[tuple[str, str], list[Decision]] = defaultdict(list)
        single = []
        for decision in decisions:
            path = decision.conflict.path
            # What is generated has lines that nobody reads.
            if path in made and self._outcome(decision) == "decided":
                units[made[path].unit(path), decision.rule].append(decision)
            else:
                single.append(decision)
        names = [d.conflict.path for d in single]
        tree = self._sides.trees["result"] if self._merge.result else {}
        texts = git.blobs(self._sh, self._repo, {tree[p][1] for p in names if p in tree})
        newest = self._newest_upstream(names)
        for decision in single:
            path = decision.conflict.path
            text = texts.get(tree[path][1], "") if path in tree else ""
            yield self._conflict(decision, text if self._merge.result else None, newest[path], made)
        for (unit, _), grouped in units.items():
            yield self._group(unit, grouped)

    def _conflict(
        self, decision: Decision, text: str | None, newest: list[Commit], made: Mapping[str, Rule]
    ) -> dict[str, Any]:
        conflict, outcome = decision.conflict, self._outcome(decision)
        taken = SIDES[decision.take] if decision.take else ""
        rule, why = decision.rule, decision.why
        if outcome == "by a person":
            rule, why = "by a person", "No rule decided all of it."
            taken = self._side_of(conflict, text)
        if outcome == "proposed":
            taken = f"by {self._proposed[conflict.path].by}"
        shown: list[dict[str, Any]] = []
        for hunk in () if conflict.path in made else marked.shown(decision, text):
            if len(shown) == _MOST_HUNKS or self._room <= 0:
                break
            self._room -= sum(len(side["text"]) for side in hunk["sides"])
            shown.append(hunk)
        fork = self._sides.own.of((conflict.path, *conflict.names))[:_MOST_COMMITS]
        return {
            "path": conflict.path,
            "kind": conflict.kind.value,
            "outcome": outcome,
            "fate": outcome,
            "tone": {"left": "wrong", "proposed": "open"}.get(outcome, "passed"),
            "taken": taken,
            "rule": rule,
            "why": why,
            "past": decision.past if outcome == "left" else "",
            "todo": decision.todo if outcome == "left" else "",
            "hunks": shown,
            "more": 0 if conflict.path in made else marked.count(conflict) - len(shown),
            "files": [],
            "fork": fork,
            "upstream": newest,
            "commands": self._words_about(conflict.path) * (outcome in ("left", "proposed")),
        }

    def _group(self, unit: str, decisions: Sequence[Decision]) -> dict[str, Any]:
        """Generated files that one rule decides, as one item."""
        first = decisions[0]
        paths = sorted(decision.conflict.path for decision in decisions)
        by = self._sides.own.of(paths)[:_MOST_COMMITS]
        return {
            "path": unit if len(paths) > 1 else paths[0],
            "kind": counted(len(paths), "generated file"),
            "outcome": "decided",
            "fate": "decided",
            "tone": "passed",
            "taken": SIDES[first.take] if first.take else "",
            "rule": first.rule,
            "why": first.why,
            "past": "",
            "todo": "",
            "hunks": [],
            "more": 0,
            "files": paths,
            "fork": by,
            "upstream": [],
            "commands": [],
        }

    @staticmethod
    def _side_of(conflict: Conflict, text: str | None) -> str:
        """Whose file a person took."""
        if conflict.texts is None or text is None:
            return ""
        sides = {conflict.texts.ours: "the fork's", conflict.texts.theirs: "upstream's"}
        return sides.get(text, "a text of its own")

    def _newest_upstream(self, paths: Sequence[str]) -> dict[str, list[Commit]]:
        """By path, upstream's newest commits that changed it."""
        found: dict[str, list[Commit]] = defaultdict(list)
        for batch in batches(paths):
            for commit, touched in commits.touching(
                self._sh, self._repo, self._merge.theirs, self._merge.ours, batch
            ):
                for path in touched:
                    if len(found[path]) < _MOST_COMMITS:
                        found[path].append(commit)
        return found

    # --- 5 and 6: upstream, and checks

    def _upstream_said(self) -> str:
        paths, both = len(self._sides.changed), len(self._sides.both)
        number = self._account.upstream_paths if self._account else paths
        renamed = f" ({paths} paths: a renamed file has two)" * (paths != number)
        return f"{counted(number, 'file')}{renamed}. Fork commits changed {both} of the paths too."

    def _checks(self) -> Iterator[dict[str, Any]]:
        for name, passed, log in self._merge.checks:
            state = {True: "passed", False: "failed", None: "not run"}[passed]
            tone = {True: "passed", False: "wrong", None: "open"}[passed]
            known = log and log.is_file()
            lines = files.read_text(log).splitlines()[-_MOST_LINES:] if log and known else []
            note = "" if known else "The log of this check is not here."
            if not log:
                note = "What it found is under “Needs eyes”."
            yield {"name": name, "state": state, "tone": tone, "log": lines, "note": note}


def _by_command(
    numbers: Sequence[tuple[str, object, str, str]],
) -> dict[str, list[tuple[str, object, str]]]:
    """The numbers that each command gives."""
    found: dict[str, list[tuple[str, object, str]]] = defaultdict(list)
    for name, value, how, part in numbers:
        if how:
            found[how].append((name, value, part))
    return found


def _eye(path: str, what: str, label: str, kind: str, **more: Any) -> dict[str, Any]:
    """An item of what needs eyes. kind: its tone."""
    one: dict[str, Any] = {"reason": "", "lines": (), "commits": (), "page": "", "commands": ()}
    return one | {"path": path, "what": what, "label": label, "kind": kind, "fate": label} | more


def _chart(title: str, named: Sequence[tuple[str, str, int]]) -> dict[str, Any]:
    """A bar whose parts are as long as their shares."""
    total = sum(number for _, _, number in named) or 1
    parts, start = [], 0.0
    for name, colour, number in named:
        if number:
            width = 1000 * number / total
            said = f"{name}: {number}"
            parts.append(
                {"colour": colour, "start": round(start, 1), "width": round(width, 1), "said": said}
            )
            start += width
    said = ", ".join(f"{number} {name}" for name, _, number in named if number)
    return {"title": title, "parts": parts, "said": f"{said or 'none'}."}
