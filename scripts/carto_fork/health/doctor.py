"""Check a fork, report what is wrong, fix what is safe to fix; rescue lost commits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..fork import branches, setup
from ..fork.branches import Stray
from ..fork.fork import Fork
from ..fork.session import Session
from ..run import git
from ..run.console import Console
from ..run.errors import CheckFailed, Refused, Stop, Usage
from ..run.steps import Condition, Plan, Step
from ..run.text import counted, printable
from . import checks_clone, checks_github, checks_merges
from .checks import Check, Diagnosis, Inapplicable, Level, Patient, Unchecked

CHECKS: dict[str, Check] = {
    check.name: check
    for check in (*checks_clone.CHECKS, *checks_merges.CHECKS, *checks_github.CHECKS)
}
"""Every check by its name, in the order in which they run and are reported."""

_AT_ONCE = 4
"""How many questions to GitHub run at the same time."""
_STYLES = {Level.BROKEN: "red", Level.LOOK: "yellow", Level.NOTE: ""}


@dataclass(frozen=True)
class Examination:
    """What `doctor` was asked for.

    checks: by name; empty means all. fix: whether to apply the safe fixes.
    """

    checks: Sequence[str] = ()
    fix: bool = False
    offline: bool = False
    slack_test: bool = False
    migrate: str = ""

    def chosen(self) -> list[Check]:
        """The checks to run. Raises Usage for an unknown name."""
        if strange := [name for name in self.checks if name not in CHECKS]:
            names = ", ".join(CHECKS)
            raise Usage(f"unknown check {strange[0]!r}.", then=f"choose one of {names}.")
        if self.migrate not in ("", *checks_merges.PRODUCTS):
            products = " or ".join(checks_merges.PRODUCTS)
            raise Usage(f"--migrate is {self.migrate!r}.", then=f"choose {products}.")
        wanted = {*self.checks, *["slack"] * self.slack_test, *["prisma"] * bool(self.migrate)}
        if self.offline and self.slack_test:
            problem = "--offline and --slack-test exclude each other."
            raise Usage(problem, then="choose one of them.")
        return [c for name, c in CHECKS.items() if name in wanted or not (wanted or c.facts)]

    @property
    def named(self) -> bool:
        """Whether the checks were asked for by name; their notes are printed then."""
        return bool(self.checks or self.slack_test or self.migrate)


@dataclass(frozen=True)
class Report:
    """What the checks found.

    findings: each with its check. unchecked: by a check's name, why it did not run to its end, and
    on a second line what to do about it; it may have findings all the same. healthy: the names of
    the checks that found nothing.
    """

    findings: tuple[tuple[Check, Diagnosis], ...]
    unchecked: dict[str, str]
    healthy: tuple[str, ...]

    @property
    def nothing(self) -> bool:
        """Whether nothing could be checked."""
        return bool(self.unchecked) and not (self.findings or self.healthy)

    def of(self, level: Level) -> list[Diagnosis]:
        """The findings of one level."""
        return [finding for _, finding in self.findings if finding.level is level]

    def renewed(self, again: Report) -> Report:
        """This report with the results of checks that ran a second time."""
        names = {*again.unchecked, *again.healthy, *(check.name for check, _ in again.findings)}
        findings = [pair for pair in self.findings if pair[0].name not in names]
        order = list(CHECKS)
        findings.extend(again.findings)
        return Report(
            tuple(sorted(findings, key=lambda pair: order.index(pair[0].name))),
            {k: v for k, v in self.unchecked.items() if k not in names} | again.unchecked,
            tuple(name for name in order if name in {*self.healthy, *again.healthy}),
        )

    def as_json(self, fixed: Sequence[str]) -> dict[str, Any]:
        """Plain data for ``--json``."""
        found = [{"check": c.name, "symptom": c.symptom, **f.as_json()} for c, f in self.findings]
        unchecked = {name: why.replace("\n", ": ") for name, why in self.unchecked.items()}
        facts = {"findings": found, "healthy": self.healthy, "not_checked": unchecked}
        return facts | {"fixed": fixed, "passed": not self.of(Level.BROKEN)}


def doctor(s: Session, options: Examination) -> None:
    """Run the checks, apply the safe fixes if asked, report. Raises CheckFailed if something is
    broken."""
    checks = options.chosen()
    report, fixable = _look(s, options, checks), []
    if options.fix:
        fixable = [pair for pair in report.findings if pair[1].fix]
        for check, finding in fixable:
            _fix(s, check, finding)
        if fixable and not s.sh.dry:
            names = dict.fromkeys(check.name for check, _ in fixable)
            report = report.renewed(_look(s, options, [CHECKS[name] for name in names]))
    left = {finding.what for _, finding in report.findings}
    fixed = [(check.name, one.what) for check, one in fixable if one.what not in left]
    if s.json:
        s.print_json(report.as_json([what for _, what in fixed]))
    show(s.console, report, fixed)
    if broken := report.of(Level.BROKEN):
        able = any(finding.fix for finding in broken) and not options.fix
        again = s.command("doctor", check=list(options.checks), fix=True)
        more = " --fix applies only fixes that cannot lose work." if able else ""
        raise CheckFailed(
            f"{counted(len(broken), 'thing')} {'is' if len(broken) == 1 else 'are'} broken.{more}",
            untouched="What was fixed is listed above." if fixed else "Nothing was changed.",
            then=again if able else broken[0].then,
        )
    whys = [why.split("\n", 1) for why in report.unchecked.values() if "\n" in why]
    asked = options.checks or options.migrate
    if asked and report.nothing and whys and not options.offline:
        what, then = whys[0]
        raise Refused(f"nothing was checked: {what}.", then=then)


def _look(s: Session, options: Examination, checks: Sequence[Check]) -> Report:
    if ill := list(checks_clone.old_git(s.sh)):
        others = {check.name: "git is too old" for check in checks if check.name != "git"}
        return Report(tuple((CHECKS["git"], finding) for finding in ill), others, ())
    s.sh.offline = options.offline
    fork = s.open_fork(whatever_policy=True)
    asked = (options.offline, options.named, options.slack_test, options.migrate)
    patient = Patient(s.sh, fork, s.command, s.guard_line, *asked)
    if options.checks and "remotes" not in options.checks and patient.has_moved:
        moved = f"{fork.policy.remotes.origin.name}'s {patient.production} has moved since this "
        s.console.say(f"Note: {moved}clone fetched; this is about what it had then.", "yellow")
    with s.console.working("looking", timed=False), ThreadPoolExecutor(_AT_ONCE) as pool:
        # GitHub and some questions to git are slow: they run while the other checks do. What
        # several slow checks need is read before they start.
        hosted = [check for check in checks if check in checks_github.CHECKS]
        slow = [check for check in checks if check.slow]
        waiting = {}
        if len(checks) > 1:
            with suppress(Unchecked, Stop):
                _ = patient.hub if hosted else None
            with suppress(Unchecked, Stop):
                _ = patient.ground if slow else None
            waiting = {c.name: pool.submit(_made, s, c, patient) for c in (*hosted, *slow)}
        made = {
            check.name: _made(s, check, patient) for check in checks if check.name not in waiting
        }
        made |= {name: future.result() for name, future in waiting.items()}
    results = {check: made[check.name] for check in checks}
    return Report(
        tuple((check, finding) for check, (found_, _) in results.items() for finding in found_),
        {check.name: why for check, (_, why) in results.items() if why},
        tuple(check.name for check, result in results.items() if result == ([], "")),
    )


def _made(s: Session, check: Check, patient: Patient) -> tuple[list[Diagnosis], str | None]:
    """What a check finds, and why it did not run to its end; "" if it did, None if the fork has
    nothing for it and nobody asked for it by name."""
    findings: list[Diagnosis] = []
    try:
        for finding in check.look(patient):
            findings.append(replace(finding, then=s.spelled_out(finding.then)))
    except Unchecked as no:
        if isinstance(no, Inapplicable) and not patient.notes:
            return findings, None
        return findings, s.spelled_out(str(no)) or "unknown"
    except Stop as no:
        if not (then := s.remedy(no)):
            return findings, f"{no.what.rstrip('.')}\n{s.spelled_out(no.then)}"
        cause = "A crash leaves such files, and so does a full disk."
        findings.append(Diagnosis(Level.BROKEN, no.what, cause, then))
    return findings, ""


def _fix(s: Session, check: Check, finding: Diagnosis) -> None:
    """Run the steps that fix a finding."""
    fork = s.open_fork(whatever_policy=True)
    s.console.say(f"{check.name}: {finding.what}")
    asked = frozenset([setup.NO_ORIGIN, setup.NO_UPSTREAM])
    plan = Plan({**fork.values(), **finding.values}, asked)
    with s.locked(fork.repository) as held:
        s.run(finding.fix, plan, held)


def show(console: Console, report: Report, fixed: Sequence[tuple[str, str]]) -> None:
    """Print a report for people. fixed: the checks and findings that `--fix` removed."""
    for name, what in fixed:
        now = ", now fine" if name in report.healthy else ""
        console.say(f"fixed: {name}{now}; before: {what}", "green")
    for name in dict.fromkeys(check.name for check, _ in report.findings):
        findings = [finding for check, finding in report.findings if check.name == name]
        worst = next(level for level in Level if any(f.level is level for f in findings))
        symptom = "" if worst is Level.NOTE else f": {CHECKS[name].symptom}"
        console.say(f"{worst.value:<6}  {name}{symptom}", _STYLES[worst] or "bold")
        for finding in findings:
            console.say(f"    {finding.what}")
            if finding.level is not Level.NOTE:
                console.annotate(name, finding.what, sure=finding.level is Level.BROKEN)
            if finding.cause:
                console.say(finding.cause, head="    why:  ")
            if finding.then:
                console.advice("    then: ", finding.then, "cyan")
    if report.healthy:
        number = counted(len(report.healthy), "check")
        fine = f"{number} {'is' if len(report.healthy) == 1 else 'are'} fine"
        console.say(f"{fine}: {', '.join(report.healthy)}.", "green")
    reasons: dict[str, list[str]] = {}
    begun = {check.name for check, _ in report.findings}
    for name, why in report.unchecked.items():
        reasons.setdefault(why, []).append(f"the rest of {name}" if name in begun else name)
    for why, those in reasons.items():
        what, _, then = why.partition("\n")
        console.say(f"{', '.join(those)} ({what}).", "dim", head="not checked: ")
        if then:
            console.advice("    then: ", then, "cyan")
    count = Counter(finding.level for _, finding in report.findings)
    broken, look = count[Level.BROKEN], count[Level.LOOK]
    if broken or look:
        console.say(f"{broken} broken, {look} to look at.", "bold")
    elif report.nothing:
        console.say("Nothing was checked.", "bold")
    elif report.unchecked:
        console.say("Nothing of what was checked is broken.", "bold")
    else:
        console.say("Nothing is broken.", "bold")


STRAY = Condition("if no branch, tag or remote has them")
BACK = Condition("if HEAD is detached")
BACK_NEW = Condition("if HEAD is detached and only the remote has the branch")

_BACK = Step(
    "back",
    "Go back to a branch; uncommitted changes come along.",
    when=BACK,
    run=("git -C {work} switch --no-guess {back}",),
    stuck="commit your changes or put them away with `git stash`, then run the same command again.",
    untouched="The commits are safe; HEAD and your files are unchanged.",
)

RECOVER = (
    Step(
        "branch",
        "Keep the commits on a branch of their own.",
        when=STRAY,
        run=("git -C {work} branch --no-track {branch} {commit}",),
        done=("git -C {work} show-ref --verify --quiet refs/heads/{branch}",),
    ),
    _BACK,
    replace(
        _BACK,
        name="track",
        why="Go back to the production branch, which is not here yet.",
        when=BACK_NEW,
        run=("git -C {work} switch --no-guess -c {back} --track {origin}/{back}",),
    ),
)

_SHORT = 10


def recover(s: Session, name: str, commit: str) -> None:
    """Put commits that are on no branch on a new one. Raises Refused during a merge or rebase."""
    fork = s.open_fork(whatever_policy=True)
    work = fork.repository.work
    if under_way := branches.operation(git.directory(s.sh, work)):
        end = "reset" if under_way == "bisect" else "--abort"
        raise Refused(
            f"a {under_way} is in progress in {git.named(work)}.",
            then=f"finish it or give it up (`{git.at(work)} {under_way} {end}`), then run "
            "the same command again.",
        )
    left: list[Stray] = []
    back = ""
    if commit:
        stray = _stray_of(s, work, commit)
    else:
        left, head = branches.left_behind(s.sh, work), branches.detached(s.sh, work)
        stray = branches.stray_of(s.sh, work, head) if head else None
        back = _back(s, fork, work) if head else ""
    branch = _branch(s, work, name, stray.commit) if stray else ""
    conditions = {STRAY} if stray else set()
    if back:
        is_local = f"refs/heads/{back}" in fork.refs.objects
        conditions.add(BACK if is_local else BACK_NEW)
    values = fork.values() | {"work": str(work), "branch": branch, "back": back}
    values["commit"] = stray.commit if stray else ""
    untouched = "HEAD, your files and every commit are unchanged."
    with s.locked(fork.repository) as held:
        s.run(RECOVER, Plan(values, frozenset(conditions), untouched), held)
    if s.json:
        s.print_json({"stray": stray, "branch": branch, "back": back, "left_behind": left})
    _show(s, work, stray, branch, back, left)


def _stray_of(s: Session, work: Path, commit: str) -> Stray | None:
    """The commits up to a given one that are on no branch, wherever HEAD is; None if all are."""
    full = git.commit_of(s.sh, work, commit)
    stray = branches.stray_of(s.sh, work, full)
    if stray is None:
        words = ["git", "-C", str(work), "for-each-ref", "--count=1", f"--contains={full}"]
        words += ["--format=%(refname:short)", "refs/heads", "refs/tags", "refs/remotes"]
        has = printable(s.sh.read(words).line)
        s.console.say(f"{full[:_SHORT]} is safe: {has} contains it.")
    return stray


def _back(s: Session, fork: Fork, work: Path) -> str:
    """The branch checked out last, unless another work tree has it checked out; else production."""
    question = "git -C {work} log --walk-reflogs --no-show-signature --format=%gs HEAD --"
    log = s.sh.ask(question, work=work)
    shown = {tree.branch for tree in git.worktrees(s.sh, work) if not tree.missing}
    for line in log.out.splitlines() if log.ok else []:
        if line.startswith("checkout: moving from "):
            name = line.removeprefix("checkout: moving from ").partition(" to ")[0]
            ref = f"refs/heads/{name}"
            if ref in fork.refs.objects and ref not in shown:
                return name
    production = fork.policy.branches.production
    if not fork.has_production or fork.local_production in shown:
        problem = f"this clone has no branch {production}"
        if fork.has_production:
            problem = f"{production} is checked out in another work tree"
        problem = f"{problem}, and no other branch was checked out here before."
        raise Refused(problem, then=f"check out a branch yourself: {git.at(work)} switch BRANCH")
    return production


def _branch(s: Session, work: Path, name: str, commit: str) -> str:
    """The name of the branch for a commit. Raises Refused if it is invalid or taken."""
    name = name or f"recovery/{commit[:_SHORT]}"
    if not s.sh.ask("git check-ref-format {ref}", ref=f"refs/heads/{name}").ok or name[0] == "-":
        problem = f"{printable(name)!r} is not a valid branch name."
        raise Refused(problem, then="choose another --name.")
    question = "git -C {work} rev-parse --quiet --verify {ref}"
    existing = s.sh.ask(question, work=work, ref=f"refs/heads/{name}")
    if existing.ok and existing.line != commit:
        problem = f"the branch {name} exists already, at {existing.line[:_SHORT]}."
        raise Refused(problem, then="choose another --name.")
    return name


def _show(
    s: Session, work: Path, stray: Stray | None, branch: str, back: str, left_behind: list[Stray]
) -> None:
    done = not s.sh.dry
    if stray and done:
        s.console.say(f"{counted(stray.commits, 'commit')} kept on {branch}.", "green")
    if back and done:
        s.console.say(f"{back} is checked out.", "green")
    if stray and done:
        s.console.next(f"{git.at(work)} log HEAD..{branch}")
    for left in left_behind:
        s.console.say(
            f"left behind: {left.commit[:_SHORT]} {left.date} {printable(left.subject)} "
            f"({counted(left.commits, 'commit')})",
            "yellow",
        )
    if left_behind:
        s.console.next(s.command("branch.recover", commit=left_behind[0].commit[:_SHORT]))
    if not (stray or back or left_behind):
        s.console.say("Nothing to recover.")
