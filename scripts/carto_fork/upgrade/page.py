"""What stands on the page to review an upgrade by."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from shlex import quote
from typing import Any

from ..audit.fates import Fate
from ..audit.ledger import Entry
from ..audit.verify import Verification
from ..fork import records
from ..fork.fork import Fork
from ..fork.policy import Side
from ..merge import authorship, commits, conflicts, hunks
from ..merge.decisions import Decision
from ..merge.hunks import Commit, Conflict
from ..run import files, git, github
from ..run.shell import Shell, batches
from ..run.text import counted
from . import marked, proposals
from .work import AT_RISK, SIDES, changed

_MOST_HUNKS = 20
"""So many hunks of a file are shown."""
_LAST_LINES = 60
"""So many lines of a log are shown."""
_MOST_COMMITS = 3

_COLOURS = {
    Fate.KEPT: "kept",
    Fate.MOVED: "moved",
    Fate.ABSORBED: "absorbed",
    Fate.DROPPED: "dropped",
    Fate.SUPERSEDED: "look",
    Fate.LOST: "lost",
}
_SAID = {fate: fate.value for fate in Fate} | {Fate.SUPERSEDED: "look at this"}
_TONES = {"kept": "passed", "lost": "wrong", "look at this": "open", "left": "wrong"}
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
    left: the paths whose conflict nobody has resolved, None if markers alone show that.
    request: the options that name it to `resolve-conflicts`.
    checks: what was checked, whether it passed (None: it did not run), and its log.
    commands: the command lines that give its numbers.
    """

    name: str
    ours: str
    theirs: str
    result: str
    decisions: Sequence[Decision]
    checked: Verification | None
    request: str = ""
    left: frozenset[str] | None = None
    checks: Sequence[tuple[str, bool | None, Path]] = ()
    commands: Sequence[str] = field(default_factory=list)


class Page:
    """What stands on the page, each thing found out once."""

    def __init__(self, sh: Shell, fork: Fork, merge: Merge) -> None:
        self._sh, self._fork, self._merge = sh, fork, merge
        self._repo = fork.path
        remotes = fork.policy.remotes
        self._fork_page, self._upstream_page = (
            f"https://github.com/{slug}" if (slug := github.slug_of(remote.url)) else ""
            for remote in (remotes.origin, remotes.upstream)
        )

    def data(self) -> dict[str, Any]:
        """What the template fills in."""
        shown = [*self._conflicts()]
        customisations = [*self._customisations()]
        eyes = [*self._eyes()]
        fates = sorted(
            {x["fate"] for x in (*eyes, *customisations)} | {x["outcome"] for x in shown}
        )
        merge = self._merge
        return {
            "title": f"{self._fork.policy.name}: {merge.name or merge.theirs[:10]}",
            "key": f"carto-fork {merge.ours} {merge.theirs} {merge.result}",
            "sections": _SECTIONS.items(),
            "fates": fates,
            "verdict": self._verdict(),
            "todo": [*self._todo()],
            "numbers": self._numbers(customisations),
            "charts": [*self._charts()],
            "eyes": eyes,
            "conflicts": shown,
            "customisations": customisations,
            "upstream_said": self._upstream_said(),
            "areas": [*self._areas()],
            "checks": [*self._checks()],
            "commands": merge.commands,
            "fork_page": self._fork_page,
            "upstream_page": self._upstream_page,
        }

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
        marked = conflicts.markers_left(self._sh, self._repo, sides, merge.result)
        return left & {path for path, _ in marked}

    @cached_property
    def _proposed(self) -> Mapping[str, records.Proposal]:
        merge = self._merge
        if not merge.result:
            return {}
        found = proposals.of_sync(self._sh, self._repo, merge.ours, merge.result)
        return {one.path: one for one in found if not one.accepted}

    def _verdict(self) -> dict[str, str]:
        checked = self._merge.checked
        if checked is None:
            left = len(self._left)
            text = f"A forecast: {counted(left, 'conflict')} would be left for a person."
            return {"kind": "open" if left else "passed", "text": text}
        lost = len(checked.account.lost) if checked.account else 0
        wrong = [f"{counted(lost, 'change')} lost"] * bool(lost)
        wrong += [counted(len(checked.wrong), "finding")] * bool(checked.wrong)
        wrong += [f"{counted(len(self._left), 'conflict')} left"] * bool(self._left)
        if wrong:
            return {"kind": "wrong", "text": f"It must not land yet: {', '.join(wrong)}."}
        looks = len(checked.account.to_look_at) if checked.account else 0
        open_ = [f"{counted(looks, 'change')} to look at"] * bool(looks)
        open_ += [f"{counted(len(self._proposed), 'proposal')} to accept"] * bool(self._proposed)
        ran = self._merge.checks
        open_ += [f"not run: {', '.join(n for n, passed, _ in ran if passed is None)}"] * any(
            passed is None for _, passed, _ in ran
        )
        if open_:
            return {"kind": "open", "text": f"Nothing is lost. Still open: {'; '.join(open_)}."}
        return {"kind": "passed", "text": "Nothing is lost, and no conflict is left."}

    def _todo(self) -> Iterator[str]:
        """What has to be done before it lands, and then."""
        if self._left:
            yield "Resolve each conflict that is left."
        if any(passed is not True for _, passed, _ in self._merge.checks):
            yield "Run the checks that have not passed, in CI or by the upgrade itself."
        yield "Read what needs eyes, below, and upstream's release notes."
        yield "Merge it with a merge commit, never squashed or rebased."
        if self._merge.name:
            yield f"Afterwards: carto-fork verify --landed {quote(self._merge.name)}"

    def _numbers(self, customisations: Sequence[object]) -> list[tuple[str, object]]:
        merge, checked = self._merge, self._merge.checked
        account = checked.account if checked else None
        rows: list[tuple[str, object]] = [
            ("release", merge.name or "-"),
            ("the fork's side", merge.ours[:10]),
            ("upstream's side", merge.theirs[:10]),
            ("result", merge.result[:10] or "not merged yet"),
            ("upstream's commits", git.count(self._sh, self._repo, merge.theirs, merge.ours)),
            ("files that upstream changed", len(self._changed[1])),
            ("conflicts", len(merge.decisions)),
            ("conflicts left", len(self._left)),
            ("features and commits of this fork", len(customisations)),
        ]
        if account:
            rows += [
                ("the fork's files accounted for", account.fork_paths),
                ("upstream's files accounted for", account.upstream_paths),
                ("changes lost", len(account.lost)),
                ("changes to look at", len(account.to_look_at)),
            ]
        return rows

    def _charts(self) -> Iterator[dict[str, Any]]:
        checked = self._merge.checked
        if checked and checked.account:
            account = checked.account
            for side, total in (
                (Side.FORK, account.fork_paths),
                (Side.UPSTREAM, account.upstream_paths),
            ):
                worst = self._worst(side)
                counts = Counter(worst.values())
                counts[Fate.KEPT] += max(0, total - len(worst))
                named = [(_SAID[fate], _COLOURS[fate], counts[fate]) for fate in Fate]
                yield _chart(f"Files of {'the fork' if side is Side.FORK else 'upstream'}", named)
        outcomes = Counter(map(self._outcome, self._merge.decisions))
        colours = {"decided": "kept", "by a person": "moved", "proposed": "look", "left": "lost"}
        if outcomes:
            yield _chart("Conflicts", [(x, colours[x], outcomes[x]) for x in colours])

    def _worst(self, side: Side) -> dict[str, Fate]:
        """By file of a side, the worst that became of a change in it."""
        checked = self._merge.checked
        order = [Fate.LOST, Fate.SUPERSEDED, Fate.DROPPED, Fate.ABSORBED, Fate.MOVED, Fate.KEPT]
        found: dict[str, Fate] = {}
        for entry in checked.account.entries if checked and checked.account else ():
            if entry.side is side:
                known = found.get(entry.path, Fate.KEPT)
                found[entry.path] = min(known, entry.account.fate, key=order.index)
        return found

    # --- 2: what needs eyes

    def _eyes(self) -> Iterator[dict[str, Any]]:
        checked = self._merge.checked
        for path in sorted(self._left):
            kind = {"kind": "wrong", "label": "left", "fate": "left"}
            yield _eye(path, "a conflict that a person decides", kind, self._words_about(path))
        for path, one in self._proposed.items():
            kind = {"kind": "open", "label": "proposed", "fate": "proposed"}
            yield _eye(path, f"proposed by {one.by}", kind, self._words_about(path))
        for decision in self._merge.decisions:
            if decision.dropped and not decision.left:
                what = f"{counted(decision.dropped, 'line')} that the fork had gave way: "
                kind = {"kind": "open", "label": "gave way", "fate": "gave way"}
                yield _eye(decision.conflict.path, f"{what}{decision.rule}", kind) | {
                    "reason": decision.why
                }
        for finding in checked.findings if checked else ():
            kind = {"kind": "wrong" if finding.certain else "open", "fate": "finding"}
            yield _eye(finding.path, finding.what, kind | {"label": finding.check})
        account = checked.account if checked else None
        for entry in (*account.lost, *account.to_look_at, *account.explained) if account else ():
            if entry.account.fate in (Fate.LOST, Fate.SUPERSEDED, Fate.DROPPED):
                yield self._eye_of(entry)
        for path in sorted(self._changed[1]):
            for what, pattern in AT_RISK.items():
                if pattern.fullmatch(path):
                    kind = {"kind": "open", "label": what, "fate": what}
                    yield _eye(path, "changed by upstream", kind)

    def _eye_of(self, entry: Entry) -> dict[str, Any]:
        account, fate = entry.account, _SAID[entry.account.fate]
        lines = [f"- {line}" for line in account.missing] + [f"+ {line}" for line in account.back]
        what = f"a change of {'the fork' if entry.side is Side.FORK else 'upstream'}: "
        what += entry.what or "lines"
        if account.change.line:
            what += f" at line {account.change.line} of its file"
        drop = f"carto-fork verify --drop {quote(entry.path)} --reason WHY"
        lost = entry.account.fate is Fate.LOST
        kind = {"kind": _TONES.get(fate, ""), "label": fate, "fate": fate}
        page = self._fork_page if entry.side is Side.FORK else self._upstream_page
        more: dict[str, Any] = {
            "reason": entry.reason,
            "lines": lines[: marked.MOST_LINES],
            "page": page,
        }
        more |= {"commits": entry.commits, "by": " ".join(c.name for c in entry.commits)}
        return _eye(entry.path, what, kind, [drop] * lost) | more

    def _words_about(self, path: str) -> list[str]:
        """The commands by which a person decides about a file."""
        line = f"carto-fork resolve-conflicts{self._merge.request}"
        if path in self._proposed:
            return [f"{line} --accept-proposal {quote(path)}"]
        sides = ("--keep-fork", "--accept-upstream")
        return [f"{line} {side} {quote(path)} --reason WHY" for side in sides]

    # --- 3: conflicts

    def _outcome(self, decision: Decision) -> str:
        path = decision.conflict.path
        if path in self._left:
            return "left"
        if path in self._proposed:
            return "proposed"
        return "by a person" if decision.left else "decided"

    def _conflicts(self) -> Iterator[dict[str, Any]]:
        decisions = sorted(self._merge.decisions, key=lambda d: self._outcome(d) == "decided")
        names = [d.conflict.path for d in decisions]
        result = self._merge.result
        texts = (
            git.contents(
                self._sh, self._repo, [f"{result}:{p}" if "\n" not in p else "x" for p in names]
            )
            if result
            else [None] * len(names)
        )
        newest = self._newest_upstream(names)
        unread = self._fork.policy.generated(names)
        for decision, text in zip(decisions, texts, strict=True):
            conflict, outcome = decision.conflict, self._outcome(decision)
            paths = (conflict.path, *conflict.names)
            fork = self._own.of(paths)[:_MOST_COMMITS]
            # What is generated has lines that nobody reads.
            found = [] if conflict.path in unread else [*marked.shown(decision, text)]
            taken = SIDES[decision.take] if decision.take else ""
            rule, why = decision.rule, decision.why
            if outcome == "by a person":
                rule, why, taken = "by a person", "", self._side_of(conflict, text)
            if outcome == "proposed":
                taken = f"by {self._proposed[conflict.path].by}"
            yield {
                "path": conflict.path,
                "kind": conflict.kind.value,
                "outcome": outcome,
                "tone": {"left": "wrong", "proposed": "open"}.get(outcome, "passed"),
                "taken": taken,
                "rule": rule,
                "why": why,
                "hunks": found[:_MOST_HUNKS],
                "more": max(0, len(found) - _MOST_HUNKS),
                "fork": fork,
                "upstream": newest.get(conflict.path, []),
                "by": " ".join(c.name for c in (*fork, *newest.get(conflict.path, []))),
                "commands": self._words_about(conflict.path)
                if outcome in ("left", "proposed")
                else [],
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

    # --- 4: what the fork has of its own

    @cached_property
    def _own(self) -> hunks.Customisations:
        return authorship.of_fork(self._sh, self._fork, self._merge.ours, self._merge.theirs)

    @cached_property
    def _changed(self) -> tuple[set[str], Mapping[str, tuple[int, int]]]:
        """The paths that the fork changed since both sides were one; and upstream's, each with the
        lines that it added and removed."""
        merge = self._merge
        bases = git.merge_bases(self._sh, self._repo, merge.ours, merge.theirs)
        base = bases[0] if bases else git.empty_tree(self._sh, self._repo)
        before, ours = (git.tree(self._sh, self._repo, commit) for commit in (base, merge.ours))
        mine = {p for p in before.keys() | ours.keys() if before.get(p) != ours.get(p)}
        listed = changed(self._sh, self._repo, base, merge.theirs, "--numstat")
        theirs: dict[str, tuple[int, int]] = {}
        for line in listed:
            added, removed, path = line.split("\t", 2)
            # Git counts no lines of what is not text.
            theirs[path] = (int(added), int(removed)) if added.isdigit() else (0, 0)
        return mine, theirs

    def _customisations(self) -> Iterator[dict[str, Any]]:
        """The features of the manifest, then the commits that are behind what is left."""
        own, worst = self._own, self._worst(Side.FORK)
        result = self._merge.result or self._merge.ours
        tree = git.tree(self._sh, self._repo, result)
        generated = self._fork.policy.generated(own.paths).keys()
        places = {path: found for path in own.paths if (found := own.paths[path])}
        lines = self._lines_of([p for p in places if p in tree and p not in generated], result)
        for feature in self._fork.policy.feature:
            listed = [_own_file(path, path in tree, worst, "") for path in feature.files]
            yield _custom(feature.name, listed, None)
        by_commit: dict[Commit, list[str]] = defaultdict(list)
        for path, found in places.items():
            for commit in found:
                by_commit[commit].append(path)
        removed = set(own.removed)
        found_ = []
        for commit, paths in by_commit.items():
            listed = [
                _own_file(path, path in tree, worst, lines.get(path, ""), path in removed)
                for path in sorted(paths)
            ]
            found_.append(_custom(commit.subject, listed, commit))
        yield from sorted(found_, key=lambda one: _FATES.index(one["fate"]))

    def _lines_of(self, paths: Sequence[str], result: str) -> dict[str, str]:
        """Which lines of files of the result upstream's do not have."""
        trees = [git.tree(self._sh, self._repo, c) for c in (self._merge.theirs, result)]
        pairs = {
            path: tuple(tree[path][1] if path in tree else None for tree in trees)
            for path in paths
            if trees[1][path][0] != git.SUBMODULE
        }
        changed_ = commits.changes(self._sh, self._repo, list(pairs.values()))
        return {
            path: _ranges([(c.line, len(c.added)) for c in changed_.get(pair, ()) if c.added])
            for path, pair in pairs.items()
        }

    # --- 5 and 6: upstream, and checks

    def _upstream_said(self) -> str:
        files_ = len(self._changed[1])
        both = len(self._changed[0] & self._changed[1].keys())
        return f"{counted(files_, 'file')}, {both} of which the fork has changed too."

    def _areas(self) -> Iterator[dict[str, Any]]:
        mine, theirs = self._changed
        areas: dict[str, list[str]] = defaultdict(list)
        for path in theirs:
            areas[path.partition("/")[0] + "/" if "/" in path else "(top)"].append(path)
        for name, paths in sorted(areas.items(), key=lambda x: (-len(x[1]), x[0])):
            yield {
                "name": name,
                "files": len(paths),
                "added": sum(theirs[path][0] for path in paths),
                "removed": sum(theirs[path][1] for path in paths),
                "near": sorted(mine.intersection(paths)),
            }

    def _checks(self) -> Iterator[dict[str, Any]]:
        for name, passed, log in self._merge.checks:
            state = {True: "passed", False: "failed", None: "not run"}[passed]
            lines = files.read_text(log).splitlines()[-_LAST_LINES:] if log.is_file() else []
            tone = {True: "passed", False: "wrong", None: "open"}[passed]
            yield {"name": name, "state": state, "tone": tone, "log": lines}


def _eye(
    path: str, what: str, kind: Mapping[str, str], commands: Sequence[str] = ()
) -> dict[str, Any]:
    empty: dict[str, Any] = {"reason": "", "lines": (), "commits": (), "page": "", "by": ""}
    return empty | {"path": path, "what": what, "commands": commands} | dict(kind)


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


_FATES = [_SAID[fate] for fate in (Fate.LOST, Fate.SUPERSEDED, Fate.DROPPED, Fate.ABSORBED)]
_FATES += [_SAID[Fate.MOVED], "not there", "kept", "removed by the fork"]
"""What may have become of a file, the worst first."""


def _own_file(
    path: str, there: bool, worst: Mapping[str, Fate], lines: str, removed: bool = False
) -> dict[str, str]:
    gone = "removed by the fork" if removed else "not there"
    fate = _SAID[worst[path]] if path in worst else "kept" if there else gone
    return {"path": path, "fate": fate, "lines": lines}


def _custom(name: str, listed: Sequence[dict[str, str]], commit: Commit | None) -> dict[str, Any]:
    fate = min((file["fate"] for file in listed), key=_FATES.index, default="kept")
    text = " ".join([commit.name if commit else "", *(file["path"] for file in listed)])
    return {
        "name": name,
        "fate": fate,
        "tone": _TONES.get(fate, ""),
        "files": listed,
        "commit": commit,
        "text": text,
    }


def _ranges(runs: Sequence[tuple[int, int]]) -> str:
    """Runs of lines in words, as 3-5, 9; each by its first one and how many there are."""
    words = [f"{first}-{first + many - 1}" if many > 1 else str(first) for first, many in runs]
    return ", ".join(words[:8]) + (f" and {len(words) - 8} more" if len(words) > 8 else "")
