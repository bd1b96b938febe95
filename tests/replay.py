"""`make replay`: real upgrades once more, to count what is decided right and what is noticed.

FORK is a clone of the fork with the whole history, CASES a JSON file: for each case the two sides,
the conflicts with the resolution that was judged right, and what the real resolution lost.
"""

from __future__ import annotations

import argparse
import difflib
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))

from invoke.config import Config
from invoke.context import Context

from carto_fork.audit import fates, ledger
from carto_fork.audit.fates import Change, Fate
from carto_fork.fork import policy
from carto_fork.fork.policy import Policy, Side, Take
from carto_fork.merge import authorship, decisions, hunks
from carto_fork.merge.conflicts import foresee, markers_left, remember
from carto_fork.merge.decisions import Decision, Knowledge
from carto_fork.merge.hunks import Conflict, Customisations
from carto_fork.run import git
from carto_fork.run.shell import Shell

UPSTREAM = "refs/remotes/upstream/main"


@dataclass
class Score:
    """How the decisions of one strategy compare with what was judged right."""

    right: int = 0
    wrong: int = 0
    left: int = 0
    unjudged: int = 0
    wrongs: list[str] = field(default_factory=list)

    def add(self, path: str, ideal: str, verdict: bool | None) -> None:
        """verdict: None where it is left for a person."""
        if not ideal:
            self.unjudged += 1
        elif verdict is None:
            self.left += 1
        elif verdict:
            self.right += 1
        else:
            self.wrong += 1
            self.wrongs.append(f"{path} ({ideal})")


def text_of(sh: Shell, repo: Path, decision: Decision) -> str | None:
    """What a file becomes by a decision; None if it goes."""
    if not decision.whole:
        return decision.text
    conflict = decision.conflict
    stage = conflict.ours if decision.take is Take.FORK else conflict.theirs
    return git.blobs(sh, repo, [stage.name]).get(stage.name) if stage else None


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


def by_rules(policy_: Policy) -> Callable[[Sequence[Conflict]], list[Decision]]:
    """The rules by path that the process document states, and nothing else."""
    return lambda found: decisions.decide(found, Knowledge(policy_))


def by_side(take: Take) -> Callable[[Sequence[Conflict]], list[Decision]]:
    """`git merge -Xours` or `-Xtheirs`: that side's lines in every hunk, its file otherwise."""

    def decide(found: Sequence[Conflict]) -> list[Decision]:
        return [_one_sided(conflict, take) for conflict in found]

    return decide


def _one_sided(conflict: Conflict, take: Take) -> Decision:
    segments = hunks.parse(conflict.text or "") if conflict.text is not None else None
    name = f"-X{'ours' if take is Take.FORK else 'theirs'}"
    if not segments or not (conflict.ours and conflict.theirs):
        return Decision(conflict, take, name, "", whole=True)
    side = "ours" if take is Take.FORK else "theirs"
    text = "".join(s if isinstance(s, str) else "".join(getattr(s, side)) for s in segments)
    return Decision(conflict, take, name, "", text=text)


@dataclass
class Outcome:
    """One case, replayed."""

    id: str
    conflicts: int
    healed: int
    scores: dict[str, Score]
    caught: list[str]
    missed: list[str]
    alarms: list[str]
    unjudged: list[str]
    fork_paths: int
    markers: str
    seconds: float


def replay(sh: Shell, repo: Path, case: dict[str, Any], rules: Policy, paths: Policy) -> Outcome:
    """Merge a case's two sides as an upgrade would, and audit its real resolution."""
    start = time.perf_counter()
    ours, theirs = case["ours"], case["theirs"]
    upstream = [theirs, *(r for r in git.refs(sh, repo).objects if r.startswith(UPSTREAM))]
    own = authorship.read(sh, repo, ours, upstream, rules.version_paths)
    lost = authorship.find_lost(sh, repo, ours, upstream, own)
    merged = authorship.healed_commit(sh, repo, ours, lost) if lost else ours
    plain = foresee(sh, repo, ours, theirs).conflicts
    found = foresee(sh, repo, merged, theirs).conflicts if lost else plain
    recorded = case["conflicts"]
    ideals = {
        p: f.get("ideal", "") for p, f in (recorded.get("repaired") or recorded["actual"]).items()
    }
    memory = remember(sh, repo, ours, upstream, [c.path for c in found])
    strategies = {
        "evidence": lambda cs: decisions.decide(cs, Knowledge(rules, own, memory=memory)),
        "path rules": by_rules(paths),
        "-Xours": by_side(Take.FORK),
        "-Xtheirs": by_side(Take.UPSTREAM),
    }
    scores = {}
    for name, decide in strategies.items():
        score = scores[name] = Score()
        for decision in decide(found):
            path = decision.conflict.path
            ideal = ideals.get(path, "")
            text = text_of(sh, repo, decision)
            judged = ideal and not decision.left
            verdict = is_right(ideal, text, decision) if judged else None
            score.add(path, ideal, verdict)
    outcome = Outcome(case["id"], len(plain), len(found), scores, [], [], [], [], 0, "-", 0.0)
    if case.get("resolved"):
        _audit(sh, repo, case, merged, own, rules, outcome)
    outcome.seconds = time.perf_counter() - start
    return outcome


def _audit(
    sh: Shell,
    repo: Path,
    case: dict[str, Any],
    merged: str,
    own: Customisations,
    rules: Policy,
    outcome: Outcome,
) -> None:
    """What the ledger says about a case's real resolution."""
    result, theirs = case["resolved"], case["theirs"]
    found = ledger.read(sh, repo, merged, theirs, result, own, rules)
    lost = {entry.path for entry in found.entries if entry.account.fate is Fate.LOST}
    looked = {entry.path for entry in found.entries if entry.account.fate is Fate.SUPERSEDED}
    real = {loss["path"] for loss in case.get("losses", ()) if loss["real_loss"]}
    outcome.caught = sorted(real & (lost | looked))
    outcome.missed = sorted(real - lost - looked)
    outcome.fork_paths = found.fork_paths
    fork_lost = {
        e.path for e in found.entries if e.account.fate is Fate.LOST and e.side is Side.FORK
    }
    judged = {loss["path"] for loss in case.get("losses", ())}
    dropped = set((case.get("deviations_outside_conflicts") or {}).get("carto_paths", ()))
    outcome.alarms = sorted(fork_lost & judged - real)
    outcome.unjudged = sorted(fork_lost - judged - dropped)
    expected = {file["path"] for file in case.get("leftover_markers", ())}
    marked = {path for path, _ in markers_left(sh, repo, [case["ours"], theirs], result)}
    outcome.markers = f"{len(marked & expected)}/{len(expected)}" + (
        f" +{len(marked - expected)}" if marked - expected else ""
    )


def table(outcomes: Sequence[Outcome]) -> str:
    """What came of all cases, as Markdown."""
    strategies = list(outcomes[0].scores)
    lines = [
        "| case | conflicts | healed | " + " | ".join(strategies) + " | losses caught"
        " | false alarms | markers | seconds |",
        "| --- | --: | --: |" + " --- |" * len(strategies) + " --- | --- | --- | --: |",
    ]
    for o in outcomes:
        cells = [f"{s.right} / {s.wrong} / {s.left}" for s in o.scores.values()]
        losses = f"{len(o.caught)} of {len(o.caught) + len(o.missed)}"
        lines.append(
            f"| {o.id} | {o.conflicts} | {o.healed} | {' | '.join(cells)} | {losses} | "
            f"{len(o.alarms)} of {o.fork_paths} | {o.markers} | {o.seconds:.1f} |"
        )
    sums = []
    for name in strategies:
        scores = [o.scores[name] for o in outcomes]
        sums.append(
            " / ".join(str(sum(getattr(s, k) for s in scores)) for k in ("right", "wrong", "left"))
        )
    caught, missed = (sum(len(getattr(o, k)) for o in outcomes) for k in ("caught", "missed"))
    alarms, paths = sum(len(o.alarms) for o in outcomes), sum(o.fork_paths for o in outcomes)
    lines.append(
        f"| all | {sum(o.conflicts for o in outcomes)} | {sum(o.healed for o in outcomes)} | "
        + " | ".join(sums)
        + f" | {caught} of {caught + missed} | {alarms} of {paths} | | "
        f"{sum(o.seconds for o in outcomes):.1f} |"
    )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("fork", type=Path)
    parser.add_argument("cases", type=Path)
    parser.add_argument("--only", help="the id of one case")
    options = parser.parse_args()
    sh = Shell(Context(Config(overrides={"run": {"dry": False}})))
    rules = policy.load_policy().policy
    paths = policy.load_policy((Path(__file__).parent / "path_rules.toml").read_text()).policy
    if not options.fork.is_dir() or not options.cases.is_file():
        parser.error("FORK is a clone of the fork, CASES a file of cases")
    cases = json.loads(options.cases.read_text())["cases"]
    outcomes = []
    for case in cases:
        if "conflicts" not in case or options.only not in (None, case["id"]):
            continue
        outcomes.append(outcome := replay(sh, options.fork, case, rules, paths))
        for name, score in outcome.scores.items():
            if name == "evidence" or options.only:
                print(f"{case['id']}: {name}: wrong: {score.wrongs}", file=sys.stderr)
        for word in ("missed", "alarms", "unjudged"):
            if listed := getattr(outcome, word):
                print(f"{case['id']}: {word}: {', '.join(listed)}", file=sys.stderr)
    if not outcomes:
        sys.exit(f"{options.cases} has no case to replay")
    print(table(outcomes))


if __name__ == "__main__":
    main()
