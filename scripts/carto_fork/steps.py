"""A step is data; this runs, prints and resumes a procedure made of steps."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from .console import Console
from .errors import CheckFailed, Failed, Interrupted, Paused
from .journal import Journal, undo
from .shell import Answer, Shell, command_line, fill, scrub

TASK = "invoke"
"""The first word of a template that is Python work: a task, run in this process."""


@dataclass(frozen=True)
class Step:
    """One step of a procedure.

    name: one word.
    why: what it is for, in a sentence.
    run: templates of its command lines; one that begins with `invoke` is a task.
    commands: instead of `run`, the name of a list of command lines in the fork's policy, which
        check the merge in its work tree with live output and a log.
    when: the name of a condition of the plan without which the step is left out.
    done: probes; when all of them succeed the step is done already. Exit code 1 is a no. One probe
        may name alternatives, as `a || b`.
    undo: command lines that undo half of the step, for when it fails, is interrupted or killed.
    mend: command lines that end it instead when it was interrupted or killed.
    allow: exit codes that are no failure.
    stuck: what a person does when the step does not succeed.
    untouched: what is as it was then, where that differs from the plan's.
    """

    name: str
    why: str
    run: tuple[str, ...] = ()
    commands: str = ""
    when: str = ""
    done: tuple[str, ...] = ()
    undo: tuple[str, ...] = ()
    mend: tuple[str, ...] = ()
    allow: tuple[int, ...] = (0,)
    stuck: str = "run the same command again."
    untouched: str = ""


@dataclass(frozen=True)
class Plan:
    """What a procedure needs to know, read before its first write.

    values: what the templates' placeholders stand for.
    conditions: which optional steps take part.
    untouched: what a step that stops has left alone.
    commands: command lines of the policy, by name.
    work: where the policy's commands run.
    logs: the directory for their logs.
    """

    values: dict[str, str]
    conditions: frozenset[str]
    untouched: str = ""
    commands: Mapping[str, Sequence[str]] = field(default_factory=dict)
    work: Path = Path()
    logs: Path = Path()


RunTask = Callable[[Sequence[str]], None]
"""Runs a task of this product in this process, given its command line without `invoke`."""


@dataclass(frozen=True)
class Runner:
    """Carries a procedure out.

    journal: of the lock that is held; None under ``--dry``, where nothing changes.
    run_task: for procedures that have steps which are tasks.
    program: what people type for `invoke`.
    """

    sh: Shell
    console: Console
    journal: Journal | None
    run_task: RunTask | None
    program: str

    def run(self, procedure: Sequence[Step], plan: Plan) -> None:
        """Run, or under ``--dry`` print, the steps that are not done yet, in order.

        Raises Failed or CheckFailed when a command fails, and Paused when a person is needed.
        """
        steps = [step for step in procedure if not step.when or step.when in plan.conditions]
        reached = False
        for number, step in enumerate(steps, 1):
            # Under --dry nothing changes, so behind the first open step no probe can tell a thing.
            if not (self.sh.dry and reached) and self._done(step, plan):
                self.console.step(number, len(steps), step.name, "already done")
                continue
            reached = True
            self.console.step(number, len(steps), step.name, step.why)
            self._run(step, plan)

    def _done(self, step: Step, plan: Plan) -> bool:
        return bool(step.done) and all(self._probe(step, plan, probe) for probe in step.done)

    def _probe(self, step: Step, plan: Plan, probe: str) -> bool:
        for alternative in probe.split(" || "):
            words = fill(alternative, plan.values)
            answer = self.sh.read(words)
            if answer.ok:
                return True
            if answer.code != 1:
                raise self._failed(step, plan, words, answer)
        return False

    def _run(self, step: Step, plan: Plan) -> None:
        with self._undone_if_cut(step, plan):
            if step.commands:
                self._run_commands(step, plan)
            for line in step.run:
                self._run_line(step, plan, line)

    @contextmanager
    def _undone_if_cut(self, step: Step, plan: Plan) -> Iterator[None]:
        """Undo half of a step when it fails or is interrupted; the next run does after a kill."""
        failed, cut = (
            [fill(line, plan.values) for line in lines]
            for lines in (step.undo, step.mend or step.undo)
        )
        if not cut or not self.journal:
            yield
            return
        self.journal.begin(cut)
        try:
            yield
        except BaseException as error:
            # If this is cut as well, the journal still holds what the next run has to undo.
            if commands := cut if isinstance(error, KeyboardInterrupt) else failed:
                undo(self.sh, commands)
            self.journal.end()
            raise
        self.journal.end()

    def _run_line(self, step: Step, plan: Plan, template: str) -> None:
        words = fill(template, plan.values)
        if words[0] == TASK:
            self._run_task(step, plan, words[1:])
            return
        if not self.sh.dry:
            self.console.command(command_line(words))
        with self.console.working(step.name):
            answer = self.sh.run(words)
        if answer.code not in step.allow:
            raise self._failed(step, plan, words, answer)

    def _run_task(self, step: Step, plan: Plan, words: list[str]) -> None:
        line = f"{self.program} {shlex.join(words)}"
        if self.sh.dry:
            self.sh.show(line)
            return
        self.console.command(line)
        assert self.run_task, f"{step.name}: a procedure with tasks needs something to run them"
        try:
            self.run_task(words)
        except Interrupted:
            # It names itself as the command to repeat; that is the whole procedure's.
            raise KeyboardInterrupt from None
        except (Paused, CheckFailed, Failed) as stop:
            # The task says what happened; what is untouched and how to go on is this plan's.
            then = _sentence(step.stuck, plan)
            raise type(stop)(stop.what, untouched=_untouched(step, plan), then=then) from None

    def _run_commands(self, step: Step, plan: Plan) -> None:
        """Run the policy's command lines; the first that fails is a failed check."""
        lines = plan.commands[step.commands]
        log_path = plan.logs / f"{step.name}.log"
        with self._log(log_path) as log:
            for line in lines:
                words = shlex.split(line)
                if not self.sh.dry:
                    self.console.command(line)
                with self.console.timed():
                    answer = self.sh.run(words, within=plan.work, live=log)
                if not answer.ok:
                    raise CheckFailed(
                        f"`{line}` {answer.ending} on the merged tree (log: {log_path}).",
                        untouched=_untouched(step, plan),
                        then=_sentence(step.stuck, plan),
                    )

    @contextmanager
    def _log(self, path: Path) -> Iterator[tuple[TextIO, ...]]:
        """The streams that a live command writes to: the person's, and a log file."""
        if self.sh.dry:
            yield ()
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", encoding="utf-8", errors="backslashreplace") as log:
            yield self.sh.stream, log

    def _failed(self, step: Step, plan: Plan, words: list[str], answer: Answer) -> Failed:
        said = scrub(answer.err.strip() or answer.out.strip() or "it said nothing").splitlines()
        return Failed(
            f"`{command_line(words)}` ended with exit code {answer.code}:\n  "
            + "\n  ".join(said[-8:]),
            untouched=_untouched(step, plan),
            then=_sentence(step.stuck, plan),
        )


def _untouched(step: Step, plan: Plan) -> str:
    return _sentence(step.untouched, plan) or plan.untouched


def _sentence(template: str, plan: Plan) -> str:
    """A sentence with the plan's values."""
    for name, value in plan.values.items():
        template = template.replace(f"{{{name}}}", value)
    return template
