"""What `doctor` does: look for everything that can be wrong, tell it, and mend what is safe."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from ..fork import setup
from ..fork.session import Session
from ..run.console import Console
from ..run.errors import CheckFailed, Stop, Usage
from ..run.steps import Plan
from ..run.text import counted
from . import checks_clone, checks_github, checks_merges, checks_releases, migrations
from .checks import Check, Finding, Level, Patient, Unchecked

CHECKS: dict[str, Check] = {
    check.name: check
    for check in (
        *checks_clone.CHECKS,
        *checks_releases.CHECKS,
        *checks_merges.CHECKS,
        *checks_github.CHECKS,
    )
}
"""Every check by its name, in the order in which they are made and told."""

_AT_ONCE = 4
"""Questions to GitHub at the same time."""
_STYLES = {Level.BROKEN: "red", Level.LOOK: "yellow", Level.NOTE: ""}


@dataclass(frozen=True)
class Options:
    """What `doctor` was asked for.

    checks: by name; none stands for all of them. fix: mend what is safe.
    """

    checks: Sequence[str] = ()
    fix: bool = False
    offline: bool = False
    slack_test: bool = False
    migrate: str = ""

    def chosen(self) -> list[Check]:
        """The checks to make. Raises Usage for one that there is not."""
        if strange := [name for name in self.checks if name not in CHECKS]:
            raise Usage(
                f"there is no check {strange[0]!r}.", then=f"choose of {', '.join(CHECKS)}."
            )
        if self.migrate not in ("", *migrations.PRODUCTS):
            known = " or ".join(migrations.PRODUCTS)
            raise Usage(f"--migrate is {self.migrate!r}.", then=f"name {known}.")
        wanted = {*self.checks, *["slack"] * self.slack_test, *["prisma"] * bool(self.migrate)}
        if self.offline and self.slack_test:
            raise Usage(
                "--offline and --slack-test exclude each other.", then="choose one of them."
            )
        return [c for name, c in CHECKS.items() if name in wanted or not (wanted or c.facts)]

    @property
    def named(self) -> bool:
        """Whether the checks were asked for by name; notes are told then."""
        return bool(self.checks or self.slack_test or self.migrate)


@dataclass(frozen=True)
class Report:
    """What checks found.

    findings: each with its check. unchecked: why, by the check's name; there may be findings too.
    healthy: the names of the checks that found nothing.
    """

    findings: tuple[tuple[Check, Finding], ...]
    unchecked: dict[str, str]
    healthy: tuple[str, ...]

    def of(self, level: Level) -> list[Finding]:
        """The findings of one level."""
        return [finding for _, finding in self.findings if finding.level is level]

    def renewed(self, again: Report) -> Report:
        """The same with checks that were made once more."""
        names = {*again.unchecked, *again.healthy, *(check.name for check, _ in again.findings)}
        findings = [pair for pair in self.findings if pair[0].name not in names]
        order = list(CHECKS)
        findings.extend(again.findings)
        return Report(
            tuple(sorted(findings, key=lambda pair: order.index(pair[0].name))),
            {k: v for k, v in self.unchecked.items() if k not in names} | again.unchecked,
            tuple(name for name in order if name in {*self.healthy, *again.healthy}),
        )

    def as_json(self, mended: Sequence[str]) -> dict[str, Any]:
        """Plain data for ``--json``."""
        told = [{"check": c.name, "symptom": c.symptom, **f.as_json()} for c, f in self.findings]
        facts = {"findings": told, "healthy": self.healthy, "not_checked": self.unchecked}
        return facts | {"fixed": mended, "passed": not self.of(Level.BROKEN)}


def doctor(s: Session, options: Options) -> None:
    """Look, mend if asked, tell. Raises CheckFailed where something is broken."""
    checks = options.chosen()
    report, mended = _look(s, options, checks), []
    if options.fix:
        mended = [pair for pair in report.findings if pair[1].mend]
        for check, finding in mended:
            _mend(s, check, finding)
        if mended and not s.sh.dry:
            names = dict.fromkeys(check.name for check, _ in mended)
            report = report.renewed(_look(s, options, [CHECKS[name] for name in names]))
    fixed = [] if s.sh.dry else [finding.what for _, finding in mended]
    if s.json:
        s.print_json(report.as_json(fixed))
    tell(s.console, report, fixed)
    if broken := report.of(Level.BROKEN):
        able = any(finding.mend for finding in broken) and not options.fix
        again = s.command("doctor", check=list(options.checks), fix=True)
        raise CheckFailed(
            f"{counted(len(broken), 'thing')} {'is' if len(broken) == 1 else 'are'} broken.",
            untouched="What was fixed is told above." if fixed else "Nothing was changed.",
            then=f"{again} mends what is safe." if able else broken[0].then,
        )


def _look(s: Session, options: Options, checks: Sequence[Check]) -> Report:
    if ill := list(checks_clone.old_git(s.sh)):
        others = {check.name: "that git cannot" for check in checks if check.name != "git"}
        return Report(tuple((CHECKS["git"], finding) for finding in ill), others, ())
    found = s.open_fork(whatever_policy=True)
    patient = Patient(
        s.sh,
        found,
        s.command,
        s.guard_line,
        offline=options.offline,
        notes=options.named,
        slack_test=options.slack_test,
        database=options.migrate,
    )
    with s.console.working("looking", timed=False), ThreadPoolExecutor(_AT_ONCE) as pool:
        # What GitHub says takes its time, and so do some questions to git; meanwhile the rest is
        # looked at. What several of them ask for is asked for first.
        hosted = [check for check in checks if check in checks_github.CHECKS]
        slow = [check for check in checks if check.slow]
        waiting = {}
        if len(checks) > 1:
            with suppress(Unchecked, Stop):
                _ = patient.hub if hosted else None
            with suppress(Unchecked, Stop):
                _ = patient.ground if slow else None
            waiting = {c.name: pool.submit(_made, c, patient) for c in (*hosted, *slow)}
        made = {check.name: _made(check, patient) for check in checks if check.name not in waiting}
        made |= {name: future.result() for name, future in waiting.items()}
    results = {check: made[check.name] for check in checks}
    return Report(
        tuple((check, finding) for check, (found_, _) in results.items() for finding in found_),
        {check.name: why for check, (_, why) in results.items() if why},
        tuple(check.name for check, result in results.items() if result == ([], "")),
    )


def _made(check: Check, patient: Patient) -> tuple[list[Finding], str]:
    """What a check finds, and why not all of it could be made."""
    findings: list[Finding] = []
    try:
        for finding in check.look(patient):
            findings.append(finding)
    except Unchecked as no:
        return findings, str(no) or "it cannot be told"
    except Stop as no:
        return findings, no.what.rstrip(".")
    return findings, ""


def _mend(s: Session, check: Check, finding: Finding) -> None:
    """Carry out the steps of a finding."""
    found = s.open_fork(whatever_policy=True)
    s.console.say(f"{check.name}: {finding.what}")
    plan = Plan({**found.values(), **finding.values}, _ALWAYS)
    with s.locked(found.repository) as held:
        s.run(finding.mend, plan, held)


_ALWAYS = frozenset([setup.NO_ORIGIN, setup.NO_UPSTREAM])


def tell(console: Console, report: Report, mended: Sequence[str]) -> None:
    """Write a report for people.

    mended: the findings that were.
    """
    for what in mended:
        console.say(f"fixed: {what}", "green")
    for name in dict.fromkeys(check.name for check, _ in report.findings):
        mine = [finding for check, finding in report.findings if check.name == name]
        worst = next(level for level in Level if any(f.level is level for f in mine))
        console.say(f"{worst.value:<6}  {name}: {CHECKS[name].symptom}", _STYLES[worst] or "bold")
        for finding in mine:
            _tell_one(console, finding)
    if report.healthy:
        number = counted(len(report.healthy), "check")
        console.say(f"{number} found nothing: {', '.join(report.healthy)}.", "green")
    reasons: dict[str, list[str]] = {}
    for name, why in report.unchecked.items():
        reasons.setdefault(why, []).append(name)
    for why, those in reasons.items():
        console.say(f"not checked: {', '.join(those)} ({why}).", "dim")
    count = Counter(finding.level for _, finding in report.findings)
    broken, look = count[Level.BROKEN], count[Level.LOOK]
    if broken or look:
        console.say(f"{broken} broken, {look} to look at.", "bold")
    else:
        console.say("Nothing is broken.", "bold")


def _tell_one(console: Console, finding: Finding) -> None:
    """What was found, why, and what to type."""
    for label, text in (("", finding.what), ("why:  ", finding.cause)):
        console.say(f"    {label}{text}")
    if finding.then:
        console.row("    then: ", finding.then, "cyan")
