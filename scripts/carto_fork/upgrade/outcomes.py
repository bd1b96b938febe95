"""What became of each conflict, read from the result: a person may have done something else than
what was decided."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from ..audit import older
from ..audit.fates import Fate
from ..audit.findings import described
from ..audit.verify import Verification
from ..fork import generated, records
from ..fork.fork import Fork
from ..fork.policy import Side, Take
from ..fork.session import command
from ..merge import commits, conflicts, hunks, syncs
from ..merge.decisions import Decision
from ..merge.hunks import Commit, Conflict, Hunk
from ..merge.resolution import taken
from ..run import git
from ..run.shell import Shell
from ..run.text import counted, lines_of, listed, states_version, substantive
from . import marked, proposals
from .sides import LEFT, WHOSE, Pair, Sides

_MOST_HUNKS = 20
"""So many hunks of a file are shown."""
MOST_COMMITS = 3
_TOO_COMMON = 0.5
"""Below this, a hunk has only lines that several commits wrote; a line of one commit counts 1."""
_MOST_BEHIND = 2
"""So many commits of a side are named at a hunk."""

PROPOSED, OTHERWISE, PERSON, DECIDED = "proposed", "not as decided", "by a person", "decided"
OUTCOMES = (LEFT, PROPOSED, OTHERWISE, PERSON, DECIDED)
_TONES = {LEFT: "wrong", PROPOSED: "open", OTHERWISE: "open", PERSON: "", DECIDED: "passed"}


@dataclass(frozen=True)
class Merge:
    """A merge to show.

    name: of what is merged. ours, theirs: its sides. result: what became of them, "" for one that
        has not happened.
    started: the fork's side when it was merged, if a newer one was merged into the result since.
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
    started: str = ""


class Outcomes:
    """The conflicts of a merge, each with its outcome."""

    def __init__(self, sh: Shell, fork: Fork, merge: Merge, sides: Sides) -> None:
        self._sh, self._fork, self._merge, self._sides = sh, fork, merge, sides
        self._repo = fork.path
        found = [decision.conflict.path for decision in merge.decisions]
        self._generated = fork.policy.generated(found)
        locks = generated.locks(sides.trees["ours"].keys())
        self._locks = {path: how for path, manifests, how in locks if manifests}
        self._made = {*self._generated, *self._locks}
        tree = sides.trees["result"]
        self._texts = git.blobs(sh, self._repo, {tree[p][1] for p in found if p in tree})
        sides.expect(self._versions(decision.conflict) for decision in merge.decisions)
        sides.in_conflict = {
            p for d in merge.decisions for p in (d.conflict.path, *d.conflict.names)
        }
        self.decisions = {d.conflict.path: d for d in merge.decisions}
        self.of = {d.conflict.path: self._outcome(d) for d in merge.decisions}
        self.taken = {d.conflict.path: self._taken(d) for d in merge.decisions}

    @cached_property
    def left(self) -> set[str]:
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
    def proposed(self) -> Mapping[str, records.Proposal]:
        """The proposals that nobody has accepted, by path."""
        merge = self._merge
        if not merge.result:
            return {}
        found = proposals.of_sync(self._sh, self._repo, merge.ours, merge.result)
        return {one.path: one for one in found if not one.accepted}

    def _outcome(self, decision: Decision) -> str:
        path = decision.conflict.path
        if path in self.left:
            return LEFT
        if path in self.proposed:
            return PROPOSED
        if decision.left:
            return PERSON
        return DECIDED if self._is_followed(decision) else OTHERWISE

    def _now(self, conflict: Conflict) -> tuple[str, str | None]:
        """What the result has: the object's name, "" for no file, and its text."""
        name = self._sides.trees["result"].get(conflict.path, ("", ""))[1]
        return name, self._texts.get(name) if self._merge.result else None

    def text_of(self, path: str) -> str:
        """A file of the result as text, "" if it has none."""
        name = self._sides.trees["result"].get(path, ("", ""))[1]
        return git.blobs(self._sh, self._repo, [name]).get(name, "") if name else ""

    @cached_property
    def below(self) -> str:
        """The release directly below a commit without a tag, in words; "" if there is not one."""
        theirs = self._merge.theirs
        above = git.ask(self._sh, self._repo, "rev-list --parents -1 {it}", "parents", it=theirs)
        names = self._fork.refs.tags_in(above.out.split()[1:])
        return f"a commit on {min(names)}" if names else ""

    def _is_followed(self, decision: Decision) -> bool:
        """Whether the result has what was decided; versions are set after the merge."""
        conflict = decision.conflict
        name, text = self._now(conflict)
        if not self._merge.result:
            return True
        if decision.whole:
            stage = conflict.ours if decision.take is Take.FORK else conflict.theirs
            return name == (stage.name if stage else "")
        if text is None or decision.text is None:
            return text == decision.text
        found = marked.places(conflict, text)
        if found and len(found) == len(decision.became) and all(sure for *_, sure in found):
            pairs = zip(found, decision.became, strict=True)
            return all(known and _same(now or (), known[0]) for (_, now, _), known in pairs)
        return _same(text.split("\n"), decision.text.split("\n"))

    def _as_decided(self, decision: Decision) -> list[bool]:
        """Of each hunk of a conflict, whether the result has there what was decided; not if nothing
        shows it."""
        conflict = decision.conflict
        _, text = self._now(conflict)
        found = marked.places(conflict, text) if text is not None else []
        if len(found) != len(decision.became):
            return [False] * len(decision.became)
        # Of a place that is not certain, no lines say nothing.
        return [
            known is not None
            and (sure or any(map(substantive, known[0])))
            and _same(marked.unblank(now or ()), marked.unblank(known[0]))
            for (_, now, sure), known in zip(found, decision.became, strict=True)
        ]

    def _changed_since(self, path: str) -> str:
        """That a file is not as decided only because of lines outside its hunks, in sentences; ""
        if a hunk is not as decided either, or nothing shows it."""
        decision = self.decisions[path]
        hunks_ = self._as_decided(decision)
        if not hunks_ or not all(hunks_):
            return ""
        by = self.who(self._done_by(path))
        said = f"Its conflict is as “{decision.rule}” decided: {decision.why} Only other lines of"
        return f"{said} the file were changed since, last in {by}: see whether that was meant."

    def _taken(self, decision: Decision) -> str:
        """Whose version the result has, in words: those of the decision, if it was followed."""
        conflict = decision.conflict
        if self.of[conflict.path] == DECIDED and (said := taken(decision)):
            return said
        name, text = self._now(conflict)
        for whose, stage in (("the fork's", conflict.ours), ("upstream's", conflict.theirs)):
            if name == (stage.name if stage else ""):
                return whose if name else f"{whose}: deleted"
        if not name:
            return "no such file, although both sides have one"
        found = marked.places(conflict, text) if text is not None else []
        there = {line.strip() for line in (text or "").split("\n")}
        counts = Counter(marked.whose(*place, there) for place in found)
        if len(counts) == 1:
            return next(iter(counts))
        said = ", ".join(f"{whose} ({counted(n, 'hunk')})" for whose, n in counts.most_common())
        return said or "its own text, neither side's"

    @cached_property
    def not_upstreams(self) -> set[str]:
        """The generated files that upstream changed, of which the result has something else, though
        nothing gives them to the fork."""
        trees, rules = self._sides.trees, self._fork.policy.generated(self._sides.changed)
        theirs, now = trees["theirs"], trees["result"]
        return {
            path
            for path, rule in rules.items()
            if rule.take is Take.UPSTREAM and theirs.get(path) != now.get(path)
        }

    # --- Who did it

    @cached_property
    def _log(self) -> Sequence[commits.Entry]:
        """The commits that are on neither side, newest first: the merge, and those after it."""
        merge = self._merge
        return commits.log_of(self._sh, self._repo, merge.result, [merge.ours, merge.theirs])

    @cached_property
    def merge_commit(self) -> commits.Entry | None:
        """The commit that merged both sides; the oldest one if none has two parents."""
        merges = [entry for entry in self._log if len(entry.parents) > 1]
        both = (entry for entry in reversed(merges) if len(merges) == 1 or self._joins(entry))
        return next(both, None) or next(reversed(merges or self._log), None)

    def _joins(self, entry: commits.Entry) -> bool:
        """Whether a commit has both sides of the merge in its history."""
        sides, name = (self._merge.ours, self._merge.theirs), entry.commit.name
        return all(git.is_ancestor(self._sh, self._repo, side, name) for side in sides)

    def who(self, entry: commits.Entry | None) -> str:
        """A commit on one line, with its author."""
        return f"{described(entry.commit)} by {entry.author}" if entry else "?"

    def _done_by(self, path: str) -> commits.Entry | None:
        """The commit that settled a path: the last one after the merge that changed it, else the
        merge."""
        return next((x for x in self._log if path in x.changed), self.merge_commit)

    def is_made(self, path: str) -> bool:
        """Whether a tool writes a file."""
        return path in self._made

    def settled_by(self, path: str) -> str:
        """The person who resolved a conflict other than by a rule, with the commit; "" if nobody
        did."""
        outcome = self.of.get(path)
        if outcome != PERSON and (outcome != OTHERWISE or self._changed_since(path)):
            return ""
        return self.who(self._done_by(path))

    # --- What is shown of each

    @cached_property
    def rows(self) -> list[list[Decision]]:
        """The conflicts, those that matter most first; generated files of which the same became are
        together."""
        order = {outcome: n for n, outcome in enumerate(OUTCOMES)}
        rows: dict[tuple[str, str, str, str], list[Decision]] = defaultdict(list)
        for decision in self._merge.decisions:
            path = decision.conflict.path
            outcome, key = self.of[path], (path, "", "", "")
            # What is generated has lines that nobody reads.
            if path in self._generated and outcome in (DECIDED, OTHERWISE):
                unit = self._generated[path].unit(path)
                key = (unit, decision.rule, outcome, self.taken[path])
            rows[key].append(decision)
        # Of the same outcome, single files come first.
        found = sorted(rows.items(), key=lambda row: len(row[0]))
        return sorted(
            (row for _, row in found), key=lambda row: order[self.of[row[0].conflict.path]]
        )

    def items(self, room: marked.Room) -> Iterator[dict[str, Any]]:
        """What is shown of each row."""
        for row in self.rows:
            if len(row) > 1 or row[0].conflict.path in self._generated:
                yield self._group(row)
            else:
                yield self._item(row[0], room)

    def named(self, row: Sequence[Decision]) -> str:
        """The path of a row, or of the directory that its files are in."""
        path = row[0].conflict.path
        return self._generated[path].unit(path) if len(row) > 1 else path

    def _said(self, decision: Decision) -> tuple[str, list[str]]:
        """What was taken, and by whom and why, in sentences."""
        path, rule = decision.conflict.path, decision.rule or "no rule"
        outcome, would = self.of[path], taken(decision)
        if not self._merge.result or outcome == LEFT:
            return would, [f"{rule}: {decision.why}"]
        now = self.taken[path]
        done = f"{self.who(self._done_by(path))} took: {now}."
        if outcome == PROPOSED:
            return f"by {self.proposed[path].by}", [f"No rule decided it: {decision.why}"]
        if outcome == PERSON:
            tool = [f"A tool writes it; to regenerate it: {self._locks.get(path)}"]
            part = "all of it" if any(decision.became) else "it"
            why = f"No rule decided {part}: {decision.why or 'it needs a person.'}"
            more = [*self._dropped(path), *self._beside(decision.conflict), *self._written(path)]
            return now, [done, *more, why, *tool * (path in self._locks)]
        if outcome == OTHERWISE and (since := self._changed_since(path)):
            return now, [since]
        if outcome == OTHERWISE:
            would = "decide otherwise" if decision.take is Take.BOTH else f"take {would}"
            rule = f"“{rule}” would {would}: {decision.why}"
            return now, ["The result does not follow this decision.", rule, *self._old(path), done]
        return now, [f"{rule}: {decision.why}"]

    def _old(self, path: str) -> Iterator[str]:
        """Where the lines are from that the fork's side of a conflict has, though no commit of the
        fork is known to have written them, as sentences."""
        conflict = self.decisions[path].conflict
        own = self._sides.own
        only_brought = all(commit.name in own.bringing for commit in own.of((path,)))
        if conflict.texts and path not in self._made and only_brought:
            known = {line.strip() for line in lines_of(conflict.texts.base or "")}
            lines = enumerate(lines_of(conflict.texts.ours or ""), 1)
            numbers = [n for n, line in lines if line.strip() not in known]
            if said := self._sides.origin(path, numbers):
                yield f"What only the fork's side has here: {said[:1].lower()}{said[1:]}"

    def _dropped(self, path: str) -> Iterator[str]:
        """Why a person dropped a side's change of a file, in their words."""
        checked = self._merge.checked
        entries = checked.account.entries if checked and checked.account else ()
        words = {
            (e.side, e.reason)
            for e in entries
            if e.path == path and e.account.fate is Fate.DROPPED and e.reason
            if not older.is_upstreams(e)
        }
        for side, reason in sorted(words, key=lambda word: (word[0].value, word[1])):
            yield f"Dropped {side.whose} change: {reason}"

    def _beside(self, conflict: Conflict) -> Iterator[str]:
        """What else a person's choice of a whole file took with it."""
        name, _ = self._now(conflict)
        stages = ((Side.FORK, conflict.ours), (Side.UPSTREAM, conflict.theirs))
        for side, stage in stages:
            if stage and name == stage.name and conflict.path not in self._made:
                other = WHOSE[Side.UPSTREAM if side is Side.FORK else Side.FORK]
                number = marked.beside(conflict, side)
                went = f": {counted(number, 'change')} of {other} that git had merged without a"
                went += f" conflict {'is' if number == 1 else 'are'} gone with it"
                yield f"That is {side.whose} whole file{went * bool(number)}."

    def _written(self, path: str) -> Iterator[str]:
        """What the message of the commit that settled a file says of it."""
        if entry := self._done_by(path):
            question = "log -1 --format=%B {it} --"
            said = git.ask(self._sh, self._repo, question, "message", it=entry.commit.name).out
            name = path.rpartition("/")[2]
            lines = [line.strip() for line in said.splitlines() if name in line]
            if lines:
                yield f"Its message says: {listed(lines, 3)}"

    def _item(self, decision: Decision, room: marked.Room) -> dict[str, Any]:
        conflict, outcome = decision.conflict, self.of[decision.conflict.path]
        _, text = self._now(conflict)
        made = conflict.path in self._made
        text = (text or "") if self._merge.result else None
        shown: list[dict[str, Any]] = []
        for hunk in () if made else marked.shown(decision, text):
            size = sum(len(side["text"]) for side in hunk["sides"])
            if len(shown) == _MOST_HUNKS or not room.takes(size):
                break
            lines = next((x["line"] for x in hunk["sides"] if x["name"] == "the fork's"), None)
            shown.append(hunk | {"by": self._by(conflict, hunk.pop("hunk"), lines or 0)})
        now, said = self._said(decision)
        if now in ("the fork's", "upstream's"):
            shown = [hunk | {"took": hunk["took"] and now} for hunk in shown]
        elif decision.take is Take.VERSION and outcome == DECIDED:
            own = [hunk["because"] == decision.rule for hunk in shown]
            shown = [x | {"took": now} if y else x for x, y in zip(shown, own, strict=True)]
        why = "A tool writes this file, so its hunks are not shown."
        if not made:
            why = f"Git merges no lines of such a conflict ({conflict.kind.value})."
        more = 0 if made else marked.count(conflict) - len(shown)
        return _blank(conflict.path, outcome, now) | {
            "kind": conflict.kind.value,
            "rule": decision.rule if outcome == DECIDED else "",
            "said": said,
            "past": decision.past if outcome == LEFT else "",
            "todo": self.todo(decision) if outcome == LEFT else "",
            "hunks": shown,
            "more": more,
            "note": "" if shown or more > 0 else why,
            "lines": room.fits(self._remaining(conflict)),
            "fork": self._sides.own.of((conflict.path, *conflict.names))[:MOST_COMMITS],
            "upstream": self.upstreams(conflict.path)[:MOST_COMMITS],
            "commands": self.words_about(conflict) if outcome in (LEFT, PROPOSED) else (),
        }

    def _versions(self, conflict: Conflict) -> Pair:
        """Before and after, of a file that only one side deleted; else twice None."""
        there = conflict.theirs if conflict.deleted_by is Side.FORK else conflict.ours
        if not (conflict.deleted_by and conflict.base and there) or conflict.path in self._made:
            return None, None
        return conflict.base.name, there.name

    def _remaining(self, conflict: Conflict) -> list[str]:
        """What the side that still has a file changed in it, if the other one deleted it."""
        pair = self._versions(conflict)
        name = "upstream's side" if conflict.deleted_by is Side.FORK else "the fork's side"
        return marked.changes(self._sides.changes([pair])(pair), name)

    def _group(self, row: Sequence[Decision]) -> dict[str, Any]:
        """Generated files of which the same became, as one item."""
        first, outcome = row[0], self.of[row[0].conflict.path]
        paths = sorted(decision.conflict.path for decision in row)
        now, said = self._said(first)
        words = outcome in (LEFT, PROPOSED) and len(row) == 1
        return _blank(self.named(row), outcome, now) | {
            "kind": counted(len(paths), "generated file"),
            "rule": first.rule if outcome == DECIDED else "",
            "said": said,
            "files": paths,
            "fork": self._sides.own.of(paths)[:MOST_COMMITS],
            "commands": self.words_about(first.conflict) if words else (),
        }

    @property
    def begin(self) -> str:
        """The command that makes the work tree of a merge, to resolve its conflicts in, and that
        afterwards concludes it; "" if nothing knows the merge."""
        request = self._merge.request
        return command("carto-fork", "resolve-conflicts", **request) if request else ""

    def todo(self, decision: Decision) -> str:
        """What to do about a conflict that is left, and where."""
        path = decision.conflict.path
        text = self.text_of(path) if self._merge.result and not self.begin else ""
        at = [
            n
            for n, line in enumerate(text.split("\n"), 1)
            if line.startswith(("<<<<<<< ", ">>>>>>> "))
        ]
        if at:
            where = ", ".join(f"{a}-{b}" for a, b in zip(at[::2], at[1::2], strict=False))
            return f"edit {path}: what is right in its lines {where} stays, and the markers go."
        if not (decision.todo and self.begin):
            return decision.todo
        where = "in the work tree that the first command below makes, and names"
        return f"{where}: {decision.todo}. Type that command again when nothing is left."

    def words_about(self, conflict: Conflict) -> list[str]:
        """The commands by which a person decides about a file: by `resolve-conflicts`, in a merge
        that it knows, else by git."""
        task, path, request = "resolve-conflicts", conflict.path, self._merge.request
        if path in self.proposed:
            return [command("carto-fork", task, **request, accept_proposal=path)]
        if request or not self._merge.result:
            options = ("keep_fork", "accept_upstream")
            return [self.begin] * bool(self.begin) + [
                command("carto-fork", task, **request, **{x: path}, reason="WHY") for x in options
            ]
        sides = ((Side.FORK, self._merge.ours), (Side.UPSTREAM, self._merge.theirs))
        return [
            hunks.pasteable(hunks.taking(conflict, side, commit[:10]))
            for side, commit in sides
            if not self._sides.undone(path, side)
        ]

    def decided_by(self, path: str, side: Side, lines: Iterable[str]) -> list[str]:
        """The rules that decided the hunks of a conflict in which a side has some lines; not of a
        hunk that is not as decided."""
        decision = self.decisions.get(path)
        if decision is None or path in self.left:
            return []
        wanted, conflict = {line.strip() for line in lines if substantive(line)}, decision.conflict
        segments = hunks.parse(conflict.merged or conflict.text or "") or []
        found = [segment for segment in segments if isinstance(segment, Hunk)]
        rules, is_other = [], self.of[path] == OTHERWISE
        followed = self._as_decided(decision) if is_other else [True] * len(decision.became)
        for hunk, known, is_so in zip(found, decision.became, followed, strict=False):
            if not is_so:
                continue
            has = {line.strip() for line in (hunk.ours if side is Side.FORK else hunk.theirs)}
            if known and wanted & has - {line.strip() for line in known[0]}:
                rules.append(known[1])
        return [*dict.fromkeys(rules)]

    def otherwise(self, path: str) -> str:
        """What a rule decided of a file, if the result has something else; else ""."""
        if self.of.get(path) != OTHERWISE:
            return ""
        decision = self.decisions[path]
        if since := self._changed_since(path):
            return since
        said = [f"The rule “{decision.rule}” decides otherwise: {decision.why}", *self._old(path)]
        return " ".join(said)

    # --- Which commits are behind it

    @cached_property
    def _authors(self) -> Mapping[str, Sequence[tuple[Commit, Collection[str]]]]:
        """By path, upstream's commits that changed what is in conflict, or lost; see `authors`."""
        paths = [row[0].conflict.path for row in self.rows]
        account = self._merge.checked.account if self._merge.checked else None
        paths += [entry.path for entry in (account.entries if account else ())]
        paths = [path for path in dict.fromkeys(paths) if path not in self._generated]
        sides = (self._merge.theirs, self._merge.ours)
        return commits.authors(self._sh, self._repo, *sides, paths)

    def wrote(self, path: str, lines: Iterable[str]) -> list[Commit]:
        """Upstream's commits that added or removed some lines of a file, newest first."""
        telling = {*filter(substantive, map(str.strip, lines))}
        found = self._authors.get(path, ())
        return [commit for commit, theirs in found if not telling.isdisjoint(theirs)]

    def upstreams(self, path: str, lines: Iterable[str] = ()) -> list[Commit]:
        """The same; all that changed the file, if none is known to have."""
        return self.wrote(path, lines) or [commit for commit, _ in self._authors.get(path, ())]

    def _by(self, conflict: Conflict, hunk: Hunk, start: int) -> list[tuple[str, Sequence[Commit]]]:
        """The commits behind what each side changed in a hunk: those first that wrote most of it,
        and what others did not write, too.

        start: the hunk's line in the fork's file, 0 if that is not known.
        """
        base, ours, theirs = {*(hunk.base or ())}, {*hunk.ours}, {*hunk.theirs}
        touched = self._sides.own.of((conflict.path, *conflict.names))
        mine = Counter[Commit]()
        # In order, so that of commits with the same weight always the same is first.
        for line in filter(substantive, map(str.strip, sorted(base ^ ours))):
            wrote = self._sides.wrote.behind([line])
            mine.update({commit: 1 / len(wrote) for commit in wrote if commit in touched})
        if start and mine and max(mine.values()) < _TOO_COMMON:
            mine = self._blamed(conflict.path, start, hunk) or mine
        # What upstream removed since is only in the fork's lines.
        lines = {*filter(substantive, map(str.strip, (base ^ theirs) | (ours - base)))}
        found = self._authors.get(conflict.path, ())
        upstreams = Counter({commit: len(lines & {*its}) for commit, its in found})
        return [
            (WHOSE[side], [commit for commit, weight in known.most_common(_MOST_BEHIND) if weight])
            for side, known in ((Side.FORK, mine), (Side.UPSTREAM, upstreams))
            if any(known.values())
        ]

    def _blamed(self, path: str, start: int, hunk: Hunk) -> Counter[Commit]:
        """The commits that the fork's lines of a hunk are from."""
        base, among = {*(hunk.base or ())}, f"{self._merge.theirs}..{self._merge.ours}"
        numbers = [n for n, line in enumerate(hunk.ours, start) if line not in base]
        if not numbers:
            return Counter()
        found = commits.blame(self._sh, self._repo, among, path, numbers)
        return Counter(commit for _, commit in found)


def _blank(path: str, outcome: str, taken: str) -> dict[str, Any]:
    """An item without its details."""
    one = dict.fromkeys(("hunks", "lines", "files", "fork", "upstream", "commands"), ())
    texts = dict.fromkeys(("past", "todo", "note"), "")
    tone = _TONES[outcome]
    return {
        "path": path,
        "outcome": outcome,
        "fate": outcome,
        "tone": tone,
        "taken": taken,
        "more": 0,
        **one,
        **texts,
    }


def _same(now: Sequence[str], decided: Sequence[str]) -> bool:
    """Whether lines are as decided, whatever version they state."""
    return len(now) == len(decided) and all(
        a == b or (states_version(a) and states_version(b))
        for a, b in zip(now, decided, strict=True)
    )
