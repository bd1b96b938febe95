"""What has to be done before a merge lands, and the verdict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from ..audit import verify
from ..audit.fates import Fate
from ..audit.findings import Finding
from ..audit.ledger import Entry
from ..fork.session import command
from ..run.text import counted, listed
from .effects import Effect
from .judged import Judged
from .outcomes import OTHERWISE, PROPOSED, Merge, Outcomes
from .sides import LEFT, Sides
from .since import Since

_RESOLVE, RUN = "Resolve each conflict that is left", "Run these, here or in CI"


class Todo:
    """What is open in a merge.

    entries: its account.
    """

    def __init__(
        self,
        merge: Merge,
        sides: Sides,
        outcomes: Outcomes,
        judge: Judged,
        since: Since,
        entries: Sequence[Entry],
    ) -> None:
        self._merge, self._sides, self._outcomes = merge, sides, outcomes
        self._judge, self._since, self._entries_ = judge, since, entries

    def _entries(self, fate: Fate) -> list[Entry]:
        """The changes of a fate that later commits have not settled."""
        found = (entry for entry in self._entries_ if entry.account.fate is fate)
        return [entry for entry in found if not self._since.of_change([entry]).is_settled]

    @cached_property
    def judged(self) -> list[Finding]:
        """What the checks found; the markers of a conflict that is left are that conflict."""
        findings = self._merge.checked.findings if self._merge.checked else ()
        left = self._outcomes.left
        return [x for x in findings if not (x.check == verify.MARKERS and x.path in left)]

    @cached_property
    def open(self) -> list[tuple[bool, str, str, str]]:
        """What is not settled: whether it must not land so, what it is, and what to do about it,
        with the command, if there is one."""
        merge, outcomes = self._merge, Counter(self._outcomes.of.values())
        since, of = self._since, self._outcomes.of
        done = [p for p in of if of[p] == OTHERWISE and since.of_file(p).is_settled]
        outcomes[OTHERWISE] -= len(done)
        resolved = [p for p in of if of[p] == LEFT and since.of_markers(p).is_settled]
        outcomes[LEFT] -= len(resolved)
        judged = [x for x in self.judged if not since.of_finding(x).is_settled]
        trees = {x: "" if x.certain else self._judge.todo(x) for x in judged}
        findings = Counter(finding.certain for finding, todo in trees.items() if not todo)
        lost, looks = len(self._entries(Fate.LOST)), len(self._entries(Fate.SUPERSEDED))
        settled = {e.path: self._outcomes.settled_by(e.path) for e in self._entries(Fate.LOST)}
        asked = [entry for entry in self._entries(Fate.LOST) if settled[entry.path]]
        who = listed([*dict.fromkeys(filter(None, settled.values()))], 2)
        mixed = [*dict.fromkeys(filter(None, trees.values()))]
        make = "; ".join(mixed)
        unfilled = [x for x in self._sides.unfilled() if not since.of_filled(x).is_settled]
        not_run = [name for name, ok, _ in merge.checks if ok is None and not merge.landed]
        failed = [name for name, passed, _ in merge.checks if passed is False and name != "verify"]
        built = [x for x in self._sides.stale if not since.of_files(x.files).is_settled]
        drop = ", or drop it with a reason" * bool(merge.request)
        again = "; ".join(dict.fromkeys(how for _, _, how, _ in unfilled))
        rows = (
            (outcomes[LEFT], True, "conflict left", _RESOLVE),
            (
                len(asked),
                True,
                "change lost in conflicts that a person resolved",
                f"Ask {who} whether it was meant, and bring back what was not{drop}",
            ),
            (lost - len(asked), True, "change lost", f"Bring back what is lost{drop}"),
            (findings[True], True, "finding", "Fix what the checks of the merge found"),
            (len(failed), True, f"failed: {', '.join(failed)}", "Fix what fails"),
            (outcomes[PROPOSED], False, "proposal to accept", "Accept each proposal, or redo it"),
            (findings[False], False, "finding to judge", "Judge what the checks found"),
            (
                outcomes[OTHERWISE],
                False,
                "conflict not as decided",
                "See whether each result that is not as decided is right",
            ),
            (looks, False, "change to look at", "Look at what is gone or replaced"),
            # What is built comes after its sources.
            (len(mixed), False, "tree of built files to settle", f"{make[:1].upper()}{make[1:]}"),
            (len(unfilled), False, "tree of vendored code to fill", f"Run {again}, and commit"),
            (
                len(built),
                False,
                "build to make again",
                f"Build again: {listed([x.named for x in built])}",
            ),
            (len(not_run), False, f"not run: {', '.join(not_run)}", RUN),
        )
        return [self._step(*row) for row in rows if row[0]]

    def _step(self, number: int, certain: bool, what: str, todo: str) -> tuple[bool, str, str, str]:
        """A step in words, with its command. number: of things that are the matter."""
        noun, _, more = what.partition(" ")
        said = what if ":" in what else f"{counted(number, noun)} {more}".strip()
        start = self.starts.get(todo, "")
        how = " This makes its work tree, and when typed again publishes the result:"
        return certain, said, f"{todo} ({said}).{how * (todo == _RESOLVE and bool(start))}", start

    @property
    def starts(self) -> dict[str, str]:
        """The commands that begin what is to be done in an upgrade; "" in any other merge."""
        known = self._merge.request and not self._merge.landed
        again = command("carto-fork", "upgrade-carto", tag=self._merge.name) if known else ""
        return {_RESOLVE: self._outcomes.begin, RUN: again}

    def verdict(self, eyes: Sequence[Mapping[str, Any]]) -> dict[str, str]:
        """What is to be said first. eyes: the items of what needs eyes."""
        broken = [one["path"] for one in eyes if one["effect"] is Effect.BREAKS and one["path"]]
        broken = [path for path in broken if not self._since.differs(path)]
        used = f" It will not build, or fails: {listed(broken)} lacks what is used." * bool(broken)
        if self._merge.checked is None:
            left = len(self._outcomes.left)
            text = f"A forecast: {counted(left, 'conflict')} would be left for a person."
            return {"kind": "open" if left else "passed", "text": text}
        wrong = [what for certain, what, *_ in self.open if certain]
        open_ = [what for certain, what, *_ in self.open if not certain]
        more = f"{used} Also open: {', '.join(open_)}." if open_ else used
        number = sum(one["settled"] for one in eyes)
        since = f" Later commits settled {counted(number, 'row')} below." * bool(number)
        if wrong:
            is_out = self._merge.landed or self._since.is_released
            text = "Something is wrong" if is_out else "It must not land yet"
            where = f" It is in {self._since.holding}." if is_out else ""
            where *= not self._merge.landed
            return {"kind": "wrong", "text": f"{text}: {', '.join(wrong)}.{more}{since}{where}"}
        kept = "Nothing is lost by now" if since else "Nothing is lost"
        number = len(self._outcomes.not_upstreams)
        but = f" but upstream's version of {counted(number, 'generated file')}" * bool(number)
        if open_ or but:
            still = f" Still open: {', '.join(open_)}." * bool(open_)
            return {"kind": "open", "text": f"{kept}{but}.{still}{since}"}
        return {"kind": "passed", "text": f"{kept}, and no conflict is left.{since}"}

    def steps(self) -> Iterator[tuple[str, str]]:
        """What has to be done before it lands, and then; with the command, if it is one."""
        yield from ((todo, start) for *_, todo, start in self.open)
        merge = self._merge
        run = "test" in {name for name, *_ in merge.checks}
        build = "Build {} and run its tests: nothing here did that."
        if merge.landed:
            if not run or self._since.tip:
                yield build.format("the production branch"), ""
            since = "; what later commits changed names them below" * bool(self._since.number)
            yield f"It is merged already: what is not done needs a commit of its own{since}.", ""
            return
        yield "Read the rest of what needs eyes, below, and upstream's release notes.", ""
        if merge.result:
            if not run:
                yield build.format("the result"), ""
            how = "with a merge commit, never squashed or rebased."
            yield self._since.to_merge(how), ""
        if merge.name:
            yield "Afterwards check it: ", command("carto-fork", "verify", landed=merge.name)
