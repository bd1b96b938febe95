"""What the page for reviewing an upgrade shows."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from functools import cached_property
from typing import Any
from urllib import parse

from ..audit.fates import Fate
from ..audit.findings import Finding
from ..audit.ledger import Entry
from ..fork.fork import Fork
from ..fork.policy import POLICY_FILE, Remote, Side
from ..fork.session import command
from ..run import files, git, github
from ..run.shell import Shell
from ..run.text import counted, listed
from . import charts, effects, lacks, marked, risks, todo
from .built import Stale
from .carried import Carried
from .effects import Effect
from .judged import Judged
from .missing import Missing, eye
from .outcomes import (
    MOST_COMMITS,
    OTHERWISE,
    PROPOSED,
    Merge,
    Outcomes,
)
from .sides import LEFT, MADE, SAID, STALE, WHOSE, WORST, Sides, Unfilled, by_directory, near_lines
from .since import Since
from .todo import Todo

_MOST_TEXT = 1_000_000
"""So many characters of code are on a page."""
_MOST_NEAR = 10
"""So many lines apart, changes of both sides may still be about the same thing."""

_UPSTREAM_DID = {
    risks.NEW: "upstream added it",
    risks.CHANGED: "upstream changed it",
    risks.REMOVED: "upstream removed it",
    risks.NOT_TAKEN: "upstream changed it, as shown",
}
_UPSTREAMS = ("base", "theirs")
_NAMES = {
    "base": "the common ancestor",
    "ours": "the fork's side",
    "theirs": "upstream's side",
    "result": "the result",
}
_EXPLAINED = {Fate.ABSORBED: "the other side made the same", Fate.MOVED: "the lines are elsewhere"}
_STATES = {True: ("passed", "passed"), False: ("failed", "wrong"), None: ("not run", "open")}
_FEATURES = re.compile(r"^([\w.-]+/)?[\w.-]*features?\.(ya?ml|toml|json)$")
"""Where forks list what they have of their own."""
_LEFT_OVER = "left over"
_SECTIONS = {
    "numbers": "Numbers",
    "eyes": "Needs eyes",
    "conflicts": "Conflicts",
    "fork": "The fork's own",
    "upstream": "Upstream",
    "checks": "Checks",
    "again": "By command",
}


class Page:
    """What the page shows, each thing read once."""

    def __init__(self, sh: Shell, fork: Fork, merge: Merge) -> None:
        self._sh, self._fork, self._merge = sh, fork, merge
        self._repo, self._room = fork.path, marked.Room(_MOST_TEXT)
        self._sides = Sides(sh, fork, merge.ours, merge.theirs, merge.result, merge.lost)
        self._outcomes = Outcomes(sh, fork, merge, self._sides)
        self._account = merge.checked.account if merge.checked else None
        self._blamed = self._sides.blamed(self._account.entries if self._account else ())
        # The default policy is about another fork if its production branch is not here.
        self._strange = fork.loaded.is_default and not fork.has_production
        origin, upstream = fork.policy.remotes.origin, fork.policy.remotes.upstream
        self._since = Since(sh, fork, merge)
        self._pages = {Side.FORK: self._hub(origin), Side.UPSTREAM: self._hub(upstream)}
        self._missing = Missing(
            sh, fork, merge, self._sides, self._outcomes, self._room, self._pages, self._since
        )

    def _hub(self, remote: Remote) -> str:
        """The page of a remote's repository, "" if it has none."""
        url = self._fork.url(remote) or "" if self._strange else remote.url
        slug = github.slug_of(url)
        return f"https://github.com/{slug}" if slug else ""

    def data(self) -> dict[str, Any]:
        """What the template fills in; what matters most comes first, as long as there is room."""
        eyes = [*self._eyes()]
        self._say_since(eyes)
        eyes.sort(key=lambda one: bool(one.get("settled")))
        conflicts_ = [*self._outcomes.items(self._room)]
        mine = [entry for entry in self._entries(*Fate) if entry.side is Side.FORK]
        left = self._outcomes.left
        carried = Carried(self._sh, self._fork, self._sides)
        customisations = [*carried.items(mine, self._room.fits, left)]
        self._link(eyes, conflicts_)
        numbers, everything = [*self._numbers()], (*eyes, *conflicts_, *customisations)
        fates = Counter(one["fate"].partition("|")[0] for one in everything)
        counts = {"eyes": len(eyes), "conflicts": len(conflicts_), "fork": len(customisations)}
        merge, slug = self._merge, self._pages[Side.FORK].partition(".com/")[2]
        name = slug or ("" if self._fork.loaded.is_default else self._fork.policy.name)
        name = name or _place(self._fork.url(self._fork.policy.remotes.origin) or "")
        name = name or self._fork.home.absolute().name
        return {
            "title": f"{name}: {merge.name or self._outcomes.below or merge.theirs[:10]}",
            "key": f"carto-fork {merge.ours} {merge.theirs} {merge.result}",
            "sections": _SECTIONS,
            "counts": counts,
            "fates": sorted(fates.items()),
            "verdict": self._todo.verdict(eyes),
            "todo": [*self._todo.steps()],
            "notes": self._notes(),
            "numbers": numbers,
            "charts": [*charts.of_merge(self._account, self._sides, self._outcomes)],
            "eyes": eyes,
            "legend": lacks.LEGEND,
            "conflicts": conflicts_,
            "in_conflict": len(merge.decisions),
            "customisations": customisations,
            "manifest": self._manifest(),
            "upstream_said": self._upstream_said(),
            "areas": [*self._sides.areas()],
            "checks": [*self._checks()],
            "commands": _by_command(numbers),
            "branch": self._merge.request.get("pr", ""),
            "fork_page": self._pages[Side.FORK],
            "upstream_page": self._pages[Side.UPSTREAM],
        }

    def _say_since(self, eyes: Sequence[dict[str, Any]]) -> None:
        """Let rows say what later commits made of what they are about."""
        rows = [one for one in eyes if one["path"] and one["kind"] in ("wrong", "open")]
        rows = [one for one in rows if one["label"] not in risks.KINDS]
        self._since.read(one["path"] for one in rows)
        for one in rows:
            missing, back = list[str](), list[str]()
            if isinstance(one["about"], Finding):
                state = self._since.of_finding(one["about"])
            elif isinstance(one["about"], Unfilled):
                state = self._since.of_filled(one["about"])
            elif isinstance(one["about"], Stale):
                state = self._since.of_files(one["about"].files)
            elif one["about"]:
                state = self._since.of_change(one["about"])
                missing = [line for entry in one["about"] for line in entry.account.missing]
                back = [line for entry in one["about"] for line in entry.account.back]
            elif one["label"] == LEFT:
                state = self._since.of_markers(one["path"])
            else:
                state = self._since.of_file(one["path"])
            said = self._since.said(one["path"], state, missing, back, one["about"])
            one["reason"] = f"{one['reason']} {said}".strip()
            if isinstance(one["about"], Finding) and self._since.differs(one["path"]):
                # A whole file of then undoes what came later.
                old = [x for x in one["commands"] if str(x).startswith("git checkout ")]
                one["commands"] = [x for x in one["commands"] if x not in old]
            if state.is_settled:
                one |= {
                    "kind": "passed",
                    "settled": True,
                    "reason": f"{said} {one['reason'][: -len(said)]}".strip(),
                }
                one["commands"] = [x for x in one["commands"] if str(x).startswith("git diff")]
                one["effect"] = None if one["effect"] is Effect.BREAKS else one["effect"]

    @staticmethod
    def _link(eyes: Sequence[dict[str, Any]], conflicts_: Sequence[dict[str, Any]]) -> None:
        """Let what is about the same file lead to each other."""
        ids = {
            p: f"c{n}" for n, one in enumerate(conflicts_, 1) for p in (one["path"], *one["files"])
        }
        about: dict[str, list[tuple[str, str]]] = defaultdict(list)
        for number, one in enumerate(eyes, 1):
            one["conflict"] = ids.get(one["path"], "")
            about[one["path"]].append((f"e{number}", one["label"]))
        for one in conflicts_:
            one["eyes"] = about[one["path"]]

    # --- 1: verdict and numbers

    def _entries(self, *which: Fate) -> list[Entry]:
        return [entry for entry in self._blamed if entry.account.fate in which]

    @cached_property
    def _todo(self) -> Todo:
        about = (self._merge, self._sides, self._outcomes, self._judge, self._since)
        return Todo(*about, self._blamed)

    @cached_property
    def _judge(self) -> Judged:
        about = (self._sh, self._fork, self._sides, self._outcomes, self._room)
        return Judged(*about, self._pages[Side.UPSTREAM])

    def _notes(self) -> str:
        """Where upstream says what is in the release."""
        page, name = self._pages[Side.UPSTREAM], self._merge.name
        return f"{page}/releases/tag/{parse.quote(name, safe='')}" if page and name else ""

    def _numbers(self) -> Iterator[tuple[str, object, str, str]]:
        """What is counted, the number, the command that gives it, and what of its answer."""
        merge, account = self._merge, self._account
        ours, theirs, result = (name[:10] for name in (merge.ours, merge.theirs, merge.result))
        release = merge.name or f"none: {self._outcomes.below or 'a commit without a tag'}"
        slugs = [page.partition(".com/")[2] for page in self._pages.values()]
        if all(slugs):
            yield "repositories", "{} and its upstream {}".format(*slugs), "", ""
        yield "release", release, "", ""
        yield "the fork's side", merge.ours, "", ""
        if merge.started:
            yield "the fork's side when it was merged", merge.started, "", ""
        yield "upstream's side", merge.theirs, "", ""
        yield "result", merge.result or "not merged yet", "", ""
        if result:
            yield "merged in", self._outcomes.who(self._outcomes.merge_commit), "", ""
        number = git.count(self._sh, self._repo, merge.theirs, merge.ours)
        how = f"git rev-list --count {theirs} --not {ours}"
        yield "commits that upstream brings", number, how, "the number"
        start = merge.started[:10] or ours
        how = f"git merge-tree --write-tree --name-only --no-messages {start} {theirs}"
        part = "its lines, without the first"
        if not result and merge.name:
            how, part = f"{command('carto-fork', 'forecast', tag=merge.name)} --json", "paths"
        yield "files in conflict", len(merge.decisions), how, part
        for outcome, number in Counter(self._outcomes.of.values()).items():
            yield f"of these: {outcome}", number, "", ""
        if not account:
            how = f"git diff --no-renames --name-only {self._sides.commits['base'][:10]} {theirs}"
            yield "files that upstream changed", len(self._sides.changed), how, "its lines"
            return
        sides = {"ours": ours, "theirs": theirs, "result": result}
        how = f"{command('carto-fork', 'verify', **sides)} --json"
        yield "files that upstream changed", account.upstream_paths, how, "upstream_files"
        yield "files that the fork's commits changed", account.fork_paths, how, "fork_files"
        lists = {Fate.LOST: "lost", Fate.SUPERSEDED: "look_at"}
        for fate in WORST[:-1]:
            if found := self._entries(fate):
                made = {path for entry in found for path in entry.files}
                number = len(found)
                where = len({entry.path for entry in found if not entry.files} | made)
                part = lists.get(fate, f"explained, with the fate {fate.value}")
                yield f"changes: {SAID[fate]}", f"{number}, in {counted(where, 'file')}", how, part
                if made:
                    yield f"of these: {MADE}", counted(len(made), "file"), "", ""
        findings = merge.checked.findings if merge.checked else ()
        markers = {finding.path for finding in findings} - {x.path for x in self._todo.judged}
        more = (
            f", and {counted(len(markers), 'file')} with markers of conflicts that are left"
            * bool(markers)
        )
        yield "findings of the checks", f"{len(self._todo.judged)}{more}", how, "findings"

    # --- 2: what needs eyes

    def _eyes(self) -> Iterator[dict[str, Any]]:
        """What keeps it from landing or breaks it first, then what may be wrong, then the rest."""
        self._sides.expect(self._sides.pair(one.path, *both) for one, both in self._risks.items())
        found = {decision.conflict.path: decision for decision in self._merge.decisions}
        for path in sorted(self._outcomes.left):
            commands = self._outcomes.words_about(found[path].conflict)
            what, how = "a conflict that a person decides", self._outcomes.todo(found[path])
            how = f"{how[:1].upper()}{how[1:]}"
            yield eye(path, what, LEFT, "wrong", reason=how, commands=commands)
        yield from self._findings(certain=True)
        entries = self._entries(Fate.LOST, Fate.SUPERSEDED, Fate.DROPPED)
        missing = self._missing.items(entries)
        following: list[dict[str, Any]] = []
        for row in missing:
            if row["effect"] is not Effect.BREAKS:
                following = [row]
                break
            yield row
        yield from self._unfilled()
        yield from self._built()
        for path, one in self._outcomes.proposed.items():
            commands = self._outcomes.words_about(found[path].conflict) if path in found else []
            yield eye(path, f"proposed by {one.by}", PROPOSED, "open", commands=commands)
        yield from self._findings(certain=False)
        yield from self._doubled()
        yield from self._otherwise({e.path for e in entries if e.account.fate is not Fate.DROPPED})
        yield from following
        yield from missing
        known = {entry.path for entry in entries}
        for path, decision in found.items():
            if decision.dropped and not decision.left and path not in known:
                what = f"{counted(decision.dropped, 'line')} of the fork left out: {decision.rule}"
                lines, more = self._room.fits(marked.left_out(decision)), [self._sides.diff(path)]
                yield eye(
                    path, what, "left out", "open", reason=decision.why, lines=lines, commands=more
                )
        yield from self._near()
        yield from self._at_risk()
        yield from self._explained()

    def _otherwise(self, known: Collection[str]) -> Iterator[dict[str, Any]]:
        """The conflicts whose result is not what was decided, code first.

        known: the files about which what is missing says so.
        """
        rows = [(row, row[0].conflict.path) for row in self._outcomes.rows]
        rows = [(row, p) for row, p in rows if self._outcomes.of[p] == OTHERWISE and p not in known]
        for row, first in sorted(
            rows, key=lambda one: effects.ORDER.index(effects.of_file(one[1]))
        ):
            what = f"the result has {self._outcomes.taken[first]}"
            what = f"{counted(len(row), 'generated file')}: {what}" if len(row) > 1 else what
            reason = self._outcomes.otherwise(first)
            if self._outcomes.named(row) in self._judge.trees(self._todo.judged):
                reason += " The finding about this directory says what to do."
            paths = [decision.conflict.path for decision in row]
            trees = self._sides.trees
            same = all(trees["result"].get(p) == trees["ours"].get(p) for p in paths)
            names = self._sides.commits
            ends = (names["theirs"], names["result"]) if same else ("", "")
            path, more = self._outcomes.named(row), [self._sides.diff(*paths, between=ends)]
            yield eye(path, what, OTHERWISE, "open", reason=reason, commands=more)

    def _findings(self, *, certain: bool) -> Iterator[dict[str, Any]]:
        found = [finding for finding in self._todo.judged if finding.certain is certain]
        return self._judge.items(found)

    def _built(self) -> Iterator[dict[str, Any]]:
        """What the fork built from what upstream changed since."""
        for one in self._sides.builds:
            by = self._sides.own.of(one.files)
            lines = ["@@ built", *by_directory(one.files), "@@ what upstream changed"]
            lines += by_directory(one.sources)
            between = self._sides.commits["base"], self._sides.commits["theirs"]
            diff = self._sides.diff(*one.sources, between=between)
            more = [*(way.command for way in one.how[:1]), diff]
            lines, more = (
                (lines[: 1 + len(by_directory(one.files))], []) if one.deleted else (lines, more)
            )
            yield eye(
                one.place,
                one.what,
                _LEFT_OVER if one.deleted else STALE,
                "open",
                reason=one.said,
                lines=self._room.fits(lines),
                commits=by[:MOST_COMMITS],
                more=len(by) - MOST_COMMITS,
                page=self._pages[Side.FORK],
                commands=more,
                about=one,
            )

    def _doubled(self) -> Iterator[dict[str, Any]]:
        """What each side has once, and the result more often."""
        for path, decision in self._outcomes.decisions.items():
            texts, now = decision.conflict.texts, self._outcomes.text_of(path)
            made = self._outcomes.is_made(path) or path in self._outcomes.left
            found = lacks.doubled(texts, now) if texts and now and not made else {}
            if found:
                what = f"{counted(len(found), 'line')} that each side has once, and the result has"
                reason = "Both sides' versions of one place may be there, one after the other."
                shown = marked.lines_at(now, [number for at in found.values() for number in at])
                commands, lines = [self._sides.diff(path)], self._room.fits(shown)
                yield eye(
                    path,
                    f"{what} twice",
                    "doubled",
                    "open",
                    reason=reason,
                    lines=lines,
                    commands=commands,
                )

    def _unfilled(self) -> Iterator[dict[str, Any]]:
        for one in self._sides.unfilled():
            tree, manifest, how, touched = one
            state = "changed too" if touched else "is as the fork had it"
            what = f"{manifest} changed, and {tree}/ {state}"
            reason = f"A tool fills {tree}/ from {manifest}. Run it in the result: if it changes"
            reason += " something, the build would have used the wrong versions, or failed."
            more: dict[str, Any] = {"reason": reason, "commands": [how], "about": one}
            yield eye(f"{tree}/", what, "vendored", "open", **more)

    def _near(self) -> Iterator[dict[str, Any]]:
        """What git merged without a conflict, and is close together."""
        conflicts_ = self._outcomes.of.keys()
        found = [x for x in self._sides.near if x[0] <= _MOST_NEAR and x[1] not in conflicts_]
        if found:
            what = f"{counted(len(found), 'file')} in which upstream changed lines near the fork's"
            reason = f"Git merged these without a conflict, at most {_MOST_NEAR} lines apart: read"
            reason += " whether both changes still fit together."
            found.sort(key=lambda x: (effects.ORDER.index(effects.of_file(x[1])), *x))
            diff, lines = self._sides.diff(*(path for _, path, _ in found)), [*near_lines(found)]
            yield eye("", what, "near", "open", reason=reason, lines=lines, commands=[diff])

    def _explained(self) -> Iterator[dict[str, Any]]:
        """Where the changes are that upstream has too, or that are elsewhere."""
        for fate in (Fate.ABSORBED, Fate.MOVED):
            lines = [
                f"{e.path}: line {e.account.line} of {WHOSE[e.side]}'s file"
                + f", now in {e.where}" * (e.where not in (e.path, ""))
                for e in self._entries(fate)
            ]
            if lines:
                what = f"{counted(len(lines), 'change')}: {_EXPLAINED[fate]}"
                yield eye("", what, SAID[fate], "", lines=self._room.fits(lines))

    @cached_property
    def _risks(self) -> dict[risks.Risk, tuple[str, str]]:
        """What `_at_risk` shows, each with the two sides of which it shows the difference."""
        trees, merged = self._sides.trees, bool(self._merge.result)
        base, ours, theirs = (trees[side] for side in ("base", "ours", "theirs"))
        result = trees["result"] if merged else None
        entries = self._account.entries if self._account else ()
        found = risks.of_merge(self._sides.changed, base, ours, theirs, result, entries)
        return {
            one: ("ours", "result") if merged and one.state != risks.NOT_TAKEN else _UPSTREAMS
            for one in found
        }

    def _at_risk(self) -> Iterator[dict[str, Any]]:
        """What upstream changed of what runs, what is installed and what decides, each with what
        that changes for the fork; without what was left out, and shown as that."""
        trees = self._sides.trees
        pairs = {one: self._sides.pair(one.path, *both) for one, both in self._risks.items()}
        changes = self._sides.changes(pairs.values())
        for one, (old, new) in self._risks.items():
            stays = "the fork's stays as it was"
            stays = stays if one.path in trees["ours"] else "the fork does not have it"
            what = f"{_UPSTREAM_DID[one.state]}{f'; {stays}' * (one.state == risks.NOT_TAKEN)}"
            lines = self._room.fits(marked.changes(changes(pairs[one]), _NAMES[new]))
            reason = f"From {_NAMES[old]} (-) to {_NAMES[new]} (+)."
            ends = self._sides.commits[old], self._sides.commits[new]
            more = [self._sides.diff(one.path, between=ends)]
            yield eye(one.path, what, one.kind, "open", reason=reason, lines=lines, commands=more)

    def _manifest(self) -> str:
        """Where the features are from, as the beginning of a sentence."""
        if self._fork.policy.feature:
            return "Each feature of the manifest, and the commits"
        default = self._fork.loaded.is_default
        said = "The default policy" if default else f"The fork's {POLICY_FILE}"
        said += " names no features"
        there = self._sides.trees["result"].keys() - self._sides.trees["theirs"].keys()
        own = sorted(path for path in there if _FEATURES.search(path))
        read = f", and carto-fork does not read {listed(own)}" * bool(own)
        return f"{said}{read}. The commits"

    # --- 5 and 6: upstream, and checks

    def _upstream_said(self) -> str:
        paths, both = len(self._sides.changed), len(self._sides.both)
        number = self._account.upstream_paths if self._account else paths
        renamed = f" ({paths} paths: a renamed file has two)" * (paths != number)
        return f"{counted(number, 'file')}{renamed}. Fork commits changed {both} of the paths too."

    def _checks(self) -> Iterator[dict[str, Any]]:
        checks = self._merge.checks
        for name, passed, log in checks:
            state, tone = _STATES[passed]
            known = log and log.is_file()
            lines = files.read_text(log).splitlines()[-marked.MOST_SHOWN :] if log and known else []
            why = "" if known else "its log is not here"
            if passed is None and (again := self._todo.starts[todo.RUN]):
                why = f"this runs it: {again}"
            if name == "verify":
                found = [what for certain, what, *_ in self._todo.open if certain is not passed]
                why = ", ".join(found) or "no finding, and nothing lost"
            yield {"name": name, "state": state, "tone": tone, "log": lines, "why": why}
        if len(checks) == 1:
            row = {"name": "build, tests", "state": "not run", "tone": "open", "log": []}
            yield row | {"why": "this command runs neither the build nor tests of the result"}


def _place(url: str) -> str:
    """The repository that a URL or a path names, with what it is in; "" if it names none."""
    words = re.split(r"[/:\\]+", url.rstrip("/").removesuffix(".git"))
    return "/".join(words[-2:]).strip("/")


def _by_command(
    numbers: Sequence[tuple[str, object, str, str]],
) -> dict[str, list[tuple[str, object, str]]]:
    """The numbers that each command gives."""
    found: dict[str, list[tuple[str, object, str]]] = defaultdict(list)
    for name, value, how, part in numbers:
        if how:
            found[how].append((name, value, part))
    return found
