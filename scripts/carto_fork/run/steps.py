"""Steps are data; this runs, prints and resumes procedures, one run at a time per fork."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shlex
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TextIO

import msgspec

from .console import Console
from .errors import CheckFailed, Failed, Refused, Stop, cure_of_git, cure_of_text
from .shell import Answer, Shell, command_line, fill
from .text import in_actions, joined, listed, scrub, withheld


@dataclass(frozen=True)
class _Note:
    """The content of the lock file."""

    pid: int
    task: str
    unfinished: list[str] = field(default_factory=list)
    removing: dict[str, float] = field(default_factory=dict)


class Journal:
    """The open lock file of a run.

    after_kill: whether the run before this one was killed.
    """

    def __init__(self, descriptor: int, task: str, before: _Note | None = None) -> None:
        # A run that ends by itself leaves the file empty, or with its unfinished directories.
        self.after_kill = before is not None
        self._descriptor = descriptor
        left = (before.unfinished, before.removing) if before else ([], {})
        self._note(_Note(os.getpid(), task, *left))

    @property
    def unfinished(self) -> list[str]:
        """Directories that a run left half-changed; absolute paths."""
        return self._entry.unfinished

    @property
    def removing(self) -> dict[str, float]:
        """Directories that a run has begun to remove (absolute paths), and when (seconds since
        1970)."""
        return self._entry.removing

    def begin(self, directory: str, *, removing: bool = False) -> None:
        """Note that a step is about to make or change a directory, or to remove it."""
        self.end(directory)
        if removing:
            self._note(replace(self._entry, removing={**self.removing, directory: time.time()}))
        else:
            self._note(replace(self._entry, unfinished=[*self.unfinished, directory]))

    def end(self, directory: str) -> None:
        """Note that the directory is complete, or gone."""
        if directory in (*self.unfinished, *self.removing):
            unfinished = [path for path in self.unfinished if path != directory]
            removing = {path: when for path, when in self.removing.items() if path != directory}
            self._note(replace(self._entry, unfinished=unfinished, removing=removing))

    def close(self) -> None:
        """Release the lock; unfinished directories stay noted."""
        if not self.unfinished and not self.removing:
            self._write(b"")
        os.close(self._descriptor)

    def _note(self, entry: _Note) -> None:
        self._entry = entry
        # JSON escapes also preserve bytes that are not UTF-8.
        self._write(json.dumps(asdict(entry)).encode())

    def _write(self, content: bytes) -> None:
        # Write first, truncate afterwards: if the disk is full, the old entry survives.
        os.pwrite(self._descriptor, content, 0)
        os.ftruncate(self._descriptor, len(content))


@contextmanager
def locked(common: Path, task: str) -> Iterator[Journal]:
    """Hold the fork's lock.

    common: the fork's common git directory.
    task: the name a second run is given in its refusal.
    Raises Refused if another run holds the lock, or the directory cannot be written to.
    """
    file = common / "carto-fork.lock"
    try:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
    except OSError as error:
        if os.path.lexists(file) and not isinstance(error, PermissionError):
            raise  # some other error
        problem = f"{common} cannot be written to: {error.strerror}."
        raise Refused(problem, then="check who owns it, then run the same command again.") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        other = _read(descriptor)
        os.close(descriptor)
        holder = f"`{other.task}` (process {other.pid})" if other else "another task"
        raise Refused(
            f"{holder} is running on this fork.",
            then="wait until it has finished, then run the same command again.",
        ) from None
    journal = Journal(descriptor, task, _read(descriptor))
    try:
        yield journal
    finally:
        journal.close()


def left_by_killed(lock: Path) -> _Note | None:
    """What the last run left in the lock file if it was killed; None otherwise."""
    if lock.is_symlink() or not lock.is_file():
        return None
    with lock.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return None  # it is running
        return _read(file.fileno())


def _read(descriptor: int) -> _Note | None:
    try:
        return msgspec.json.decode(os.pread(descriptor, 1 << 20, 0), type=_Note)
    except (ValueError, msgspec.MsgspecError):
        return None


TASK = "invoke"
"""The first word of a template that runs a task; in this process the step's `call` does it."""


@dataclass(frozen=True, eq=False)
class Condition:
    """What an optional step depends on; a plan says whether it holds.

    words: the condition in words, for people.
    """

    words: str


@dataclass(frozen=True)
class Step:
    """One step of a procedure.

    name: one word.
    why: what it is for, in a sentence.
    run: templates of its command lines, as people paste them.
    call: what this process calls instead of starting `invoke`; it gets the object that the
        procedure works on.
    commands: instead of `run`, the name of a list of command lines in the fork's policy, which
        check the merge in its work tree with live output and a log.
    around: what encloses these commands; it gets the same object as `call`.
    when: the condition without which the step is left out.
    done: probes; if all of them succeed, the step is already done. Exit code 1 means no. One probe
        may name alternatives, as `a || b`.
    makes: a directory that is half-changed while the step runs; an absolute path.
    removes: a directory that the step removes after everything in it is safe elsewhere.
    lasting: whether no step before it can make its probes fail again.
    undo: command lines that undo a half-done step if it fails or is interrupted. If it is killed,
        the next run finds the directory in the journal.
    allow: exit codes that do not count as failures. otherwise: the step's result if a command ends
        with one that is not 0.
    stuck: what a person should do if the step fails.
    untouched: what a failure of this step leaves unchanged, if that differs from the plan's.
    """

    name: str
    why: str
    run: tuple[str, ...] = ()
    call: Callable[..., object] | None = None
    commands: str = ""
    around: Callable[..., AbstractContextManager[None]] = nullcontext
    when: Condition | None = None
    done: tuple[str, ...] = ()
    lasting: bool = False
    makes: str = ""
    removes: str = ""
    undo: tuple[str, ...] = ()
    allow: tuple[int, ...] = (0,)
    otherwise: str = ""
    stuck: str = "run the same command again."
    untouched: str = ""


@dataclass(frozen=True)
class Plan:
    """What a procedure needs to know, collected before its first write.

    values: what the templates' placeholders mean.
    conditions: which optional steps run.
    untouched: what a step that stops has left unchanged.
    commands: command lines of the policy, by name.
    work: where the policy's commands run. environment: variables they see besides the usual ones.
    logs: the directory for their logs.
    """

    values: dict[str, str]
    conditions: frozenset[Condition]
    untouched: str = ""
    commands: Mapping[str, Sequence[str]] = field(default_factory=dict)
    work: Path = Path()
    logs: Path = Path()
    environment: Sequence[str] = ()


def chosen(procedure: Sequence[Step], plan: Plan) -> list[Step]:
    """The steps of a procedure that the plan includes."""
    return [step for step in procedure if step.when is None or step.when in plan.conditions]


_FAILED = "failed.log"
"""What the last command that failed said, if that is too long for a screen."""


_HIDDEN = "It saw none of these variables; `environment` in `[commands]` names what it may see"

_NOT_FOUND = 127
"""The exit code of a shell that does not find a program."""

_NAMED = 4
"""Variables that a message names at most; the log has them all."""


class Runner:
    """Runs procedures.

    program: what people type for `invoke`.
    took: the seconds each step took, by name.
    logs: the directory for output that is too long for a screen; None until a fork is open.
    """

    def __init__(self, sh: Shell, console: Console, program: str) -> None:
        self.sh, self.console, self.program = sh, console, program
        self.took: dict[str, float] = {}
        self.logs: Path | None = None
        self._within = False  # whether a step is running

    def run(
        self,
        procedure: Sequence[Step],
        plan: Plan,
        journal: Journal | None = None,
        work: object = None,
        *,
        before: int = 0,
        after: int = 0,
        numbered: bool = True,
    ) -> None:
        """Run the steps that are not done yet, in order; with ``--dry`` print them.

        journal: the journal of the held lock; None if no step leaves anything half-done.
        work: what each step's call receives.
        before, after: how many steps of other calls are numbered together with these.
        numbered: whether the steps are numbered at all; those within another step never are.
        Raises Failed or CheckFailed if a command fails, Paused if a person is needed.
        """
        steps = chosen(procedure, plan)
        of = before + len(steps) + after if numbered and not self._within else 0
        if self.sh.dry:
            self._print(steps, plan, before, of)
            return
        if self.logs:
            (self.logs / _FAILED).unlink(missing_ok=True)
        for number, step in enumerate(steps, before + 1):
            place = (number, of, step.name)
            if self._done(step, plan):
                self._say_done(*place)
                continue
            with (
                self.console.step(*place, step.why, prints=bool(step.commands)),
                self._timed(step),
                self._noted(step, plan, journal),
            ):
                if step.commands:
                    with step.around(work):
                        self._run_commands(step, plan)
                for template in step.run:
                    words = fill(template, plan.values)
                    if words[0] != TASK:
                        self._run_line(step, plan, words)
                        continue
                    self.console.command(f"{self.program} {joined(words[1:])}")
                    assert step.call, f"{step.name} has a task's command line and no call"
                    with _in_words_of(step, plan), self._calling():
                        step.call(work)

    @contextmanager
    def _calling(self) -> Iterator[None]:
        self._within, outer = True, self._within
        try:
            yield
        finally:
            self._within = outer

    def _print(self, steps: Sequence[Step], plan: Plan, before: int, of: int) -> None:
        """Print lines to paste; each runs only if the one before it succeeded."""
        last, done = "", list[tuple[int, int, str]]()
        for number, step in enumerate(steps, before + 1):
            # Nothing is changed, so after the first open step few probes mean anything.
            if (step.lasting or not last) and self._done(step, plan, early=bool(last)):
                done.append((number, of, step.name))
                continue
            lines = self._lines(step, plan)
            if last:
                self.sh.show(f"{last} &&")
            for place in done:
                self._say_done(*place)
            done.clear()
            self.console.head(number, of, step.name, step.why)
            for line in lines[:-1]:
                self.sh.show(f"{line} &&")
            last = lines[-1]
        if last:
            self.sh.show(last)
        for place in done:
            self._say_done(*place)

    def _say_done(self, number: int, of: int, name: str) -> None:
        """Print that a step is done, if it is one of several."""
        if of:
            self.console.head(number, of, name, "already done")

    def _lines(self, step: Step, plan: Plan) -> list[str]:
        """A step's command lines, as shell commands."""
        checks = plan.commands[step.commands] if step.commands else ()
        lines = [command_line(shlex.split(line), plan.work) for line in checks]
        for template in step.run:
            words = fill(template, plan.values)
            if words[0] == TASK:
                lines.append(f"{self.program} {joined(words[1:])}")
                continue
            others = " ".join(f"|| [ $? -eq {code} ]" for code in step.allow if code)
            line = command_line(words)
            lines.append(f"{{ {line} {others}; }}" if others else line)
        return lines

    def _done(self, step: Step, plan: Plan, early: bool = False) -> bool:
        """Whether a step is done already.

        early: whether what it probes may not exist yet.
        """
        return bool(step.done) and all(self._probe(step, plan, probe, early) for probe in step.done)

    def _probe(self, step: Step, plan: Plan, probe: str, early: bool) -> bool:
        for alternative in probe.split(" || "):
            words = fill(alternative, plan.values)
            answer = self.sh.read(words)
            if answer.ok:
                return True
            if answer.code != 1 and not early:
                raise self._failed(step, plan, words, answer)
        return False

    @contextmanager
    def _timed(self, step: Step) -> Iterator[None]:
        begun = time.monotonic()
        yield
        self.took[step.name] = time.monotonic() - begun

    @contextmanager
    def _noted(self, step: Step, plan: Plan, journal: Journal | None) -> Iterator[None]:
        """Keep the step's directory in the journal while it is half-changed."""
        if not (step.makes or step.removes) or not journal:
            yield
            return
        [directory] = fill(step.makes or step.removes, plan.values)
        journal.begin(directory, removing=bool(step.removes))
        try:
            yield
        except BaseException:
            undone = [self.sh.run(fill(line, plan.values)).ok for line in step.undo]
            if undone and all(undone):
                journal.end(directory)
            raise
        journal.end(directory)

    def _run_line(self, step: Step, plan: Plan, words: list[str]) -> None:
        asks = "--exit-code" in words  # questions are shown with --verbose only
        if not asks:
            shown = [word.replace("\n", " ...\n").partition("\n")[0] for word in words]
            self.console.command(command_line(shown, join=joined))
        with self.console.working(step.name):
            answer = self.sh.read(words) if asks else self.sh.run(words)
        if answer.code not in step.allow:
            raise self._failed(step, plan, words, answer)
        if answer.code and step.otherwise:
            self.console.result(step.otherwise, "yellow", done=False)
        if answer.hook:
            said = answer.err.strip().splitlines()[-1:]
            self.console.say(f"The hook {answer.hook} failed after git was done.", "yellow")
            self.console.say(f"  {''.join(said)}", "dim")

    def _run_commands(self, step: Step, plan: Plan) -> None:
        """Run the policy's command lines; the first that fails is a failed check."""
        lines, hidden = plan.commands[step.commands], withheld(plan.environment)
        log_path = plan.logs / f"{step.name}.log"
        with self._log(log_path) as log, self.console.foreign():
            for line in lines:
                words = shlex.split(line)
                self.console.command(command_line(words, plan.work, joined))
                with self.console.timed():
                    answer = self.sh.run(words, within=plan.work, live=log, without=hidden)
                if not answer.ok:
                    missing = answer.code == _NOT_FOUND
                    hidden = [] if missing else hidden
                    # Of the variables that it did not see, only those that it complains of.
                    words_said = {*re.findall(r"\w+", answer.out + answer.err)}
                    named = [name for name in hidden if name in words_said]
                    more = f"\n{_HIDDEN}: {listed(named, _NAMED)}." if named else ""
                    log[-1].write(f"{_HIDDEN}: {', '.join(hidden)}.\n" if hidden else "")
                    then = f"install `{words[0]}` here, if that is what is missing, then run the "
                    then += (
                        "same command again; what to run is in `[commands]` of production's policy."
                    )
                    # The machine of a job is gone when people read this; its own log has it all.
                    at = "" if in_actions() else f" (log: {log_path})"
                    failure = CheckFailed(
                        f"`{line}` {answer.ending} on the merged tree{at}.{more}",
                        untouched=_untouched(step, plan),
                        then=then if missing else _sentence(step.stuck, plan),
                    )
                    failure.facts = {"command": line, "log": str(log_path)}
                    raise failure

    @contextmanager
    def _log(self, path: Path) -> Iterator[tuple[TextIO, ...]]:
        """The streams a live command writes to: the console and a log file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", encoding="utf-8", errors="backslashreplace") as log:
            yield self.sh.stream, log

    def _failed(self, step: Step, plan: Plan, words: list[str], answer: Answer) -> Stop:
        text = scrub(answer.err.strip() or answer.out.strip() or "it said nothing")
        said = text.expandtabs(4).splitlines()
        shown = _shortened(said)
        if self.logs and len(shown) < len(said):
            self.logs.mkdir(parents=True, exist_ok=True)
            log = self.logs / _FAILED
            log.write_text("\n".join(said), encoding="utf-8", errors="backslashreplace")
            shown.append(f"({len(said)} lines: {log})")
        kind = CheckFailed if step.commands else Failed
        cure = (
            None
            if step.commands
            else cure_of_git(answer.err, answer.hook) or cure_of_text("\n".join(said))
        )
        then = f"{cure.then}, then run the same command again ({cure.meaning})." if cure else ""
        return kind(
            f"`{command_line(words, join=joined)}` {answer.ending}:\n  " + "\n  ".join(shown),
            untouched=_untouched(step, plan),
            then=then or _sentence(step.stuck, plan),
        )


_MOST_SAID = 7


def _shortened(said: list[str]) -> list[str]:
    """The lines that say what went wrong: the last ones, or the first ones if a usage text follows.
    Lines about a lock are always included."""
    usage = next((n for n, line in enumerate(said) if n and line.startswith("Usage:")), len(said))
    locks = [line for line in said[:usage][:-_MOST_SAID] if line.endswith(".lock': File exists.")]
    return locks + said[:usage][-_MOST_SAID:]


@contextmanager
def _in_words_of(step: Step, plan: Plan) -> Iterator[None]:
    """A stop keeps its own sentence on what happened; the plan says what is untouched and what to
    do."""
    try:
        yield
    except Stop as stop:
        own = isinstance(stop, Refused | Failed) or (isinstance(stop, CheckFailed) and stop.then)
        then = stop.then if own else _sentence(step.stuck, plan)
        again = type(stop)(stop.what, untouched=_untouched(step, plan), then=then)
        again.facts = stop.facts
        raise again from None


def _untouched(step: Step, plan: Plan) -> str:
    return _sentence(step.untouched, plan) or plan.untouched


def _sentence(template: str, plan: Plan) -> str:
    """A sentence with the plan's values."""
    for name, value in plan.values.items():
        template = template.replace(f"{{{name}}}", value)
    return re.sub(r"\bin \.(?=[, ])", "here", template).replace("git -C . ", "git ")
