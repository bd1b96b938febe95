"""`make replay`: real upgrades once more, to count what is decided right and what is noticed.

FORK is a clone of the fork with the whole history, CASES a JSON file: for each case the two sides
and what people made of their merge (`ours`, `theirs`, `resolved`). If somebody judged the
resolution, a case also says which is right (`conflicts`) and what the real one lost (`losses`).

The policy is the fork's own; for a fork without one, that which `fork.init` writes.

A decision is *same* if the file is what people made of it. What differs is wrong until it is argued
equal: `tests/judgements.toml` has the arguments. Hunks that are settled in files that are otherwise
left count by themselves: their lines are in people's file, one after the other, or they differ.
"""

from __future__ import annotations

import argparse
import difflib
import hashlib
import json
import multiprocessing
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))

import tomli
from invoke.config import Config
from invoke.context import Context

from carto_fork.adopt import adoption, survey
from carto_fork.audit import fates, verify
from carto_fork.audit.fates import Fate
from carto_fork.audit.verify import Verification
from carto_fork.fork import policy
from carto_fork.fork.fork import Fork, open_fork
from carto_fork.fork.policy import Side, Take
from carto_fork.merge import authorship, decisions, hunks, resolve, syncs
from carto_fork.merge.conflicts import foresee, markers_left
from carto_fork.merge.decisions import Decision, Knowledge
from carto_fork.merge.hunks import Change, Conflict, Hunk
from carto_fork.merge.words import Merge
from carto_fork.run import git
from carto_fork.run.shell import Shell
from carto_fork.run.text import lines_of

HERE = Path(__file__).parent
EVIDENCE = "evidence"
MOST_LINES = 60
"""Of a longer difference, only so much is shown."""

SAME, ARGUED, DIFFERS, LEFT, UNJUDGED = "same", "argued", "differs", "left", "unjudged"
OF_HUNKS = "hunks of left files"

Decide = Callable[[Sequence[Conflict]], list[Decision]]


@dataclass(frozen=True)
class Mark:
    """What was found about one decision, or about one hunk settled in a file that is left.

    verdict: SAME as people's, ARGUED equal, DIFFERS, LEFT, or UNJUDGED where nothing is known.
    key: what a judgement of it names besides the merge and the path.
    shown: how it differs.
    """

    path: str
    rule: str
    verdict: str
    key: str = ""
    shown: tuple[str, ...] = ()


@dataclass
class Outcome:
    """One case, replayed. Memory is the peak of this process or of a git that it started, in MB."""

    id: str
    merge: str
    conflicts: int = 0
    healed: int = 0
    marks: dict[str, list[Mark]] = field(default_factory=dict)
    hunks: list[Mark] = field(default_factory=list)
    lost: list[dict[str, Any]] = field(default_factory=list)
    look_at: int = 0
    findings: list[str] = field(default_factory=list)
    caught: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    alarms: list[str] = field(default_factory=list)
    unjudged: list[str] = field(default_factory=list)
    fork_paths: int = 0
    markers: str = "-"
    seconds: float = 0.0
    memory: int = 0


class People:
    """What people made of a merge, and what was judged about it since."""

    def __init__(self, sh: Shell, repo: Path, case: dict[str, Any]) -> None:
        recorded = case.get("conflicts")
        # Only how many there are is no judgement.
        judged = recorded if isinstance(recorded, dict) else {}
        files = judged.get("repaired") or judged.get("actual") or {}
        self._ideals = {path: file.get("ideal", "") for path, file in files.items()}
        self._merge = case.get("resolved") or ""
        self._tree = git.tree(sh, repo, self._merge) if self._merge else {}
        self._sh, self._repo = sh, repo
        texts = tomli.loads((HERE / "judgements.toml").read_text())
        self._argued = {(j["merge"], j["path"], j["text"]) for j in texts.get("equal", ())}

    def text(self, path: str) -> str | None:
        _, name = self._tree.get(path, ("", ""))
        return git.contents(self._sh, self._repo, [name])[0] if name else None

    def judge(self, path: str, rule: str, text: str | None, same: bool, shown: str) -> Mark:
        """The mark for a text that is decided, which is or is not the same as people's."""
        key = hashlib.sha256((text or "").encode(errors="surrogateescape")).hexdigest()[:10]
        argued = (self._merge[:10], path, key) in self._argued
        verdict = SAME if same else ARGUED if argued else DIFFERS
        return Mark(path, rule, verdict, key, () if same else tuple(shown.splitlines()))

    def of(self, decision: Decision) -> Mark:
        """What is to be said about the decision of a conflict."""
        path, rule = decision.conflict.path, decision.rule
        if decision.left:
            known = self._merge or self._ideals.get(path)
            return Mark(path, rule, LEFT if known else UNJUDGED)
        text, theirs = text_of(self._sh, self._repo, decision), self.text(path)
        if ideal := self._ideals.get(path):
            if is_right(ideal, text, decision):
                return Mark(path, rule, SAME if text == theirs else ARGUED)
            return self.judge(path, rule, text, False, f"{ideal} was right")
        if not self._merge:
            return Mark(path, rule, UNJUDGED)
        return self.judge(path, rule, text, text == theirs, difference(theirs, text))

    def of_hunks(self, decision: Decision) -> Iterator[Mark]:
        """The same for each hunk that is settled in a file that is otherwise left."""
        conflict, theirs = decision.conflict, self.text(decision.conflict.path)
        segments = hunks.parse(conflict.text or "") or []
        places = [i for i, segment in enumerate(segments) if isinstance(segment, Hunk)]
        for index, became in zip(places, decision.became, strict=True):
            hunk = segments[index]
            if became is None or not self._merge or not isinstance(hunk, Hunk):
                continue
            lines, rule = became
            there = theirs is not None and is_there(segments, index, lines, lines_of(theirs))
            shown = f"line {hunk.before}\n{''.join(hunk.shown)}--- became ---\n{''.join(lines)}"
            yield self.judge(conflict.path, rule, "".join(lines), there, shown)


def is_there(
    segments: Sequence[hunks.Segment], index: int, lines: Sequence[str], result: Sequence[str]
) -> bool:
    """Whether a hunk's lines are in a text, one after the other; where it became nothing, whether
    what was around it is side by side there."""
    wanted = list(lines)
    if not wanted:
        before = segments[index - 1] if index else ""
        after = segments[index + 1] if index + 1 < len(segments) else ""
        if not isinstance(before, str) or not isinstance(after, str):
            return False
        wanted = [*lines_of(before)[-1:], *lines_of(after)[:1]]
    size = len(wanted)
    return any(list(result[at : at + size]) == wanted for at in range(len(result) - size + 1))


def difference(theirs: str | None, text: str | None) -> str:
    """How a text differs from people's, briefly."""
    if theirs is None or text is None:
        return f"people {'deleted' if theirs is None else 'kept'} it"
    lines = difflib.unified_diff(
        theirs.splitlines(), text.splitlines(), "people's", "decided", n=2, lineterm=""
    )
    return "\n".join(islice(lines, MOST_LINES)) or "line ends only"


def text_of(sh: Shell, repo: Path, decision: Decision) -> str | None:
    """What a file becomes by a decision; None if it goes."""
    if not decision.whole:
        return decision.text
    conflict = decision.conflict
    stage = conflict.ours if decision.take is Take.FORK else conflict.theirs
    return git.contents(sh, repo, [stage.name])[0] if stage else None


def is_right(ideal: str, text: str | None, decision: Decision) -> bool:
    """Whether what a file becomes is what was judged right: upstream's hunks, both, or nothing."""
    conflict = decision.conflict
    if ideal == "keep-deleted":
        return text is None
    if text is None or conflict.texts is None:
        return False
    texts = conflict.texts
    if ideal == "theirs":
        segments = hunks.parse(conflict.text or "") or []
        taken = "".join(s if isinstance(s, str) else "".join(s.theirs) for s in segments)
        return text in (texts.theirs, taken)
    ours, theirs = changes(texts.base, texts.ours), changes(texts.base, texts.theirs)
    kept = [
        *fates.account(ours, theirs, texts.base, texts.ours, texts.theirs, text),
        *fates.account(theirs, ours, texts.base, texts.theirs, texts.ours, text),
    ]
    return not any(account.fate is Fate.LOST for account in kept)


def changes(before: str, after: str) -> list[Change]:
    """The hunks between two texts."""
    old, new = before.split("\n"), after.split("\n")
    matcher = difflib.SequenceMatcher(None, old, new, autojunk=False)
    return [
        Change(a, c, tuple(old[a:b]), tuple(new[c:d]))
        for kind, a, b, c, d in matcher.get_opcodes()
        if kind != "equal"
    ]


def by_side(take: Take) -> Decide:
    """`git merge -Xours` or `-Xtheirs`: that side's lines in every hunk, its file otherwise."""
    return lambda found: [_one_sided(conflict, take) for conflict in found]


def _one_sided(conflict: Conflict, take: Take) -> Decision:
    segments = hunks.parse(conflict.text or "") if conflict.text is not None else None
    name = f"-X{'ours' if take is Take.FORK else 'theirs'}"
    if not segments or not (conflict.ours and conflict.theirs):
        return Decision(conflict, take, name, "", whole=True)
    side = "ours" if take is Take.FORK else "theirs"
    text = "".join(s if isinstance(s, str) else "".join(getattr(s, side)) for s in segments)
    return Decision(conflict, take, name, "", text=text)


def policy_of(sh: Shell, path: Path) -> Fork:
    """The fork with its own policy; else with the one that `fork.init` would write."""
    fork = open_fork(sh, path)
    if fork.has_production:
        return fork
    text = adoption.toml(survey.guesses(sh, fork.repository, survey.Asked()))
    return replace(fork, loaded=policy.load_policy(text, "init"))


def replay(place: Path, case: dict[str, Any]) -> Outcome:
    """Merge a case's two sides as an upgrade would, and verify what people made of it."""
    start = time.perf_counter()
    sh = Shell(Context(Config(overrides={"run": {"dry": False}})))
    fork = policy_of(sh, place)
    repo, ours, theirs = fork.path, case["ours"], case["theirs"]
    own = authorship.of_fork(sh, fork, ours, theirs)
    lost = authorship.lost_of_fork(sh, fork, ours, theirs)
    merged = syncs.healed_commit(sh, repo, ours, lost) if lost else ours
    plain = foresee(sh, repo, ours, theirs).conflicts
    found = foresee(sh, repo, merged, theirs).conflicts if lost else plain
    paths = policy.load_policy((HERE / "path_rules.toml").read_text()).policy
    merge = Merge(sh, fork, repo, merged, theirs)
    strategies: dict[str, Decide] = {
        EVIDENCE: lambda cs: resolve.decide(merge, cs, own, merge.drops(ours)),
        "path rules": lambda cs: decisions.decide(cs, Knowledge(paths)),
        "-Xours": by_side(Take.FORK),
        "-Xtheirs": by_side(Take.UPSTREAM),
    }
    if not fork.loaded.is_default:
        del strategies["path rules"]  # CARTO's
    people = People(sh, repo, case)
    outcome = Outcome(case["id"], (case.get("resolved") or "")[:10], len(plain), len(found))
    for name, decide in strategies.items():
        made = decide(found)
        outcome.marks[name] = [people.of(decision) for decision in made]
        if name == EVIDENCE:
            outcome.hunks = [
                mark for d in made if d.left and d.settled for mark in people.of_hunks(d)
            ]
    if case.get("resolved"):
        _verify(case, verify.of_merge(sh, fork, repo, ours, theirs, case["resolved"]), outcome)
        expected = {file["path"] for file in case.get("leftover_markers", ())}
        marked = {path for path, _ in markers_left(sh, repo, [ours, theirs], case["resolved"])}
        outcome.markers = f"{len(marked & expected)}/{len(expected)}" + (
            f" +{len(marked - expected)}" if marked - expected else ""
        )
    outcome.seconds = time.perf_counter() - start
    peaks = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    outcome.memory = max(peak.ru_maxrss for peak in peaks) // 1024
    return outcome


def _verify(case: dict[str, Any], found: Verification, outcome: Outcome) -> None:
    """What the checks say about a case's real resolution."""
    account = found.account
    assert account is not None
    shown = [f for f in found.findings if f.check == "lock file" or f in found.wrong]
    outcome.findings = [f"{f.check}: {f.what}" for f in shown if f.check != "markers"]
    outcome.lost = [entry.as_json() | {"commits": len(entry.commits)} for entry in account.lost]
    outcome.look_at = len(account.to_look_at)
    lost, looked = ({e.path for e in of} for of in (account.lost, account.to_look_at))
    fork_lost = {entry.path for entry in account.lost if entry.side is Side.FORK}
    real = {loss["path"] for loss in case.get("losses", ()) if loss["real_loss"]}
    judged = {loss["path"] for loss in case.get("losses", ())}
    dropped = set((case.get("deviations_outside_conflicts") or {}).get("carto_paths", ()))
    outcome.caught = sorted(real & (lost | looked))
    outcome.missed = sorted(real - lost - looked)
    outcome.alarms = sorted(fork_lost & judged - real)
    outcome.unjudged = sorted(fork_lost - judged - dropped)
    outcome.fork_paths = account.fork_paths


# --- What is printed -----------------------------------------------------------------------------


def cells(marks: Sequence[Mark]) -> str:
    """Same as people's or argued equal, wrong, left."""
    count = Counter(mark.verdict for mark in marks)
    return f"{count[SAME] + count[ARGUED]} / {count[DIFFERS]} / {count[LEFT]}"


def table(outcomes: Sequence[Outcome]) -> str:
    """What came of all cases, as Markdown."""
    strategies = list(outcomes[0].marks)
    lines = [
        f"| case | conflicts | healed | {' | '.join(strategies)} | hunks | lost | look at"
        " | losses caught | false alarms | markers | seconds | MB |",
        f"| --- | --: | --: |{' --- |' * (len(strategies) + 1)} --: | --: | --- | --- | --- "
        "| --: | --: |",
    ]
    rows = [*outcomes, total(outcomes)]
    for o in rows:
        strategy = " | ".join(cells(marks) for marks in o.marks.values())
        lines.append(
            f"| {o.id} | {o.conflicts} | {o.healed} | {strategy} | {cells(o.hunks)} | "
            f"{len(o.lost)} | {o.look_at} | {len(o.caught)} of {len(o.caught) + len(o.missed)} | "
            f"{len(o.alarms)} of {o.fork_paths} | {o.markers} | {o.seconds:.1f} | {o.memory} |"
        )
    return "\n".join(lines)


def total(outcomes: Sequence[Outcome]) -> Outcome:
    """All cases as one: sums, and the most memory."""
    summed: dict[str, Any] = {"id": "all", "merge": "", "markers": ""}
    for name in (
        "conflicts", "healed", "hunks", "lost", "look_at", "caught", "missed", "alarms",
        "fork_paths", "seconds",
    ):  # fmt: skip
        first, *others = [getattr(outcome, name) for outcome in outcomes]
        summed[name] = sum(others, first)
    summed["marks"] = {
        name: [mark for o in outcomes for mark in o.marks[name]] for name in outcomes[0].marks
    }
    return Outcome(**summed, memory=max(outcome.memory for outcome in outcomes))


def by_rule(outcome: Outcome) -> str:
    """The verdicts on the decisions, rule by rule."""
    verdicts = (SAME, ARGUED, DIFFERS, LEFT, UNJUDGED)
    lines = [f"| rule | {' | '.join(verdicts)} |", f"| --- |{' --: |' * len(verdicts)}"]
    for title, marks in (("", outcome.marks[EVIDENCE]), (f"{OF_HUNKS}: ", outcome.hunks)):
        for rule in sorted({mark.rule for mark in marks}):
            count = Counter(mark.verdict for mark in marks if mark.rule == rule)
            numbers = " | ".join(str(count[verdict]) for verdict in verdicts)
            lines.append(f"| {title}{rule or 'none'} | {numbers} |")
    return "\n".join(lines)


def show_case(outcome: Outcome, whole: bool) -> None:
    """What is to be looked at in a case; whole: also what was argued, and all that is lost."""
    wanted = (DIFFERS, ARGUED) if whole else (DIFFERS,)
    for title, marks in (("", outcome.marks[EVIDENCE]), ("hunk: ", outcome.hunks)):
        for mark in marks:
            if mark.verdict in wanted:
                print(f"{outcome.id}: {title}{mark.verdict}: {mark.path}: {mark.rule}")
                print(f'    merge = "{outcome.merge}", text = "{mark.key}"')
                print(*(f"    {line}" for line in mark.shown[:MOST_LINES]), sep="\n")
    for entry in outcome.lost if whole else ():
        print(f"{outcome.id}: lost: {entry['side']}'s {entry['path']}:{entry['line']}")
        print(*(f"    - {line}" for line in entry["missing"]), sep="\n")
        print(*(f"    + {line}" for line in entry["back_again"]), sep="\n")
    for what in ("missed", "alarms", "unjudged", "findings"):
        if listed := getattr(outcome, what):
            print(f"{outcome.id}: {what}: {', '.join(listed)}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("fork", type=Path)
    parser.add_argument("cases", type=Path)
    parser.add_argument("--only", help="the id of one case; all of it is shown")
    parser.add_argument("--json", action="store_true", help="everything, as JSON")
    options = parser.parse_args()
    if not options.fork.is_dir() or not options.cases.is_file():
        parser.error("FORK is a clone of the fork, CASES a file of cases")
    cases = [
        case
        for case in json.loads(options.cases.read_text())["cases"]
        if {"ours", "theirs"} <= case.keys()
        and ("resolved" in case or "conflicts" in case)
        and options.only in (None, case["id"])
    ]
    if not cases:
        sys.exit(f"{options.cases} has no case to replay")
    # A process for each case, so that each has a peak of its own.
    with multiprocessing.Pool(1, maxtasksperchild=1) as pool:
        asked = [pool.apply_async(replay, (options.fork, case)) for case in cases]
        outcomes = []
        for answer in asked:
            outcomes.append(outcome := answer.get())
            if not options.json:
                show_case(outcome, bool(options.only))
    if options.json:
        print(json.dumps([asdict(outcome) for outcome in outcomes], indent=1, default=str))
        return
    print("Same as people's or judged right / wrong / left for a person:", end="\n\n")
    print(table(outcomes), by_rule(total(outcomes)), sep="\n\n")


if __name__ == "__main__":
    main()
