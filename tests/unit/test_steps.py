"""Running a procedure: what runs, what is skipped, what is printed, how it stops."""

from __future__ import annotations

import io
import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from invoke.context import Context

from carto_fork.audit import healing
from carto_fork.fork.fork import open_fork
from carto_fork.merge.hunks import Commit
from carto_fork.merge.syncs import Lost
from carto_fork.run import steps
from carto_fork.run.console import Console
from carto_fork.run.errors import CheckFailed, ExitCode, Failed, Paused, Refused, Stop
from carto_fork.run.shell import Shell
from carto_fork.run.steps import Condition, Journal, Plan, Runner, Step, locked
from carto_fork.run.text import withheld
from carto_fork.tasks import program
from carto_fork.upgrade import pull_request
from carto_standin.github import GitHub
from house import procedures
from workflow import ADOPT
from world import World, shell

UNTOUCHED = "Nothing of yours was touched."
YES, NO = Condition("with it"), Condition("without it")


@dataclass
class Stage:
    """A place to run made-up procedures in, with their output."""

    place: Path
    values: dict[str, str] = field(default_factory=dict)
    conditions: frozenset[Condition] = frozenset()
    commands: Mapping[str, Sequence[str]] = field(default_factory=dict)
    work: object = None
    said: str = ""

    def plan(self) -> Plan:
        return Plan(
            values={"place": str(self.place), **self.values},
            conditions=self.conditions,
            untouched=UNTOUCHED,
            commands=self.commands,
            work=self.place,
            logs=self.place / "logs",
        )

    def run(self, *procedure: Step, dry: bool = False, journal: Journal | None = None) -> str:
        """Run a procedure; returns its output without times."""
        stream = io.StringIO()
        context = Context()
        context.config.run.dry = dry
        sh = Shell(context, stream)
        runner = Runner(sh, Console(stream, pasteable=dry), "carto-fork")
        runner.logs = self.place / "kept"
        try:
            runner.run(procedure, self.plan(), journal, self.work)
        finally:
            self.said = stream.getvalue()
        return self.said

    def stop(self, *procedure: Step, journal: Journal | None = None) -> Stop:
        """How a procedure stops."""
        with pytest.raises(Stop) as stopped:
            self.run(*procedure, journal=journal)
        return stopped.value

    def files(self) -> list[str]:
        return sorted(path.name for path in self.place.iterdir())

    def log(self) -> list[str]:
        """The words that `note` commands wrote."""
        file = self.place / "log"
        return file.read_text().split() if file.exists() else []


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    place = tmp_path / "a place"
    place.mkdir()
    return Stage(place)


def note(word: str, code: int = 0) -> str:
    """A command line that writes a word and exits with a code."""
    return f'sh -c \'echo "$1" >> "$0/log"; exit {code}\' {{place}} {word}'


def exits(code: int) -> str:
    """A probe that exits with a code."""
    return f"sh -c 'exit {code}'"


# --- Order ---------------------------------------------------------------------------------------


def test_steps_and_their_lines_run_in_order_and_are_counted(stage: Stage) -> None:
    said = stage.run(
        Step("one", "First.", run=(note("a"), note("b"))),
        Step("two", "Second.", run=(note("c"),)),
    )
    assert stage.log() == ["a", "b", "c"]
    line = f"    $ sh -c 'echo \"$1\" >> \"$0/log\"; exit 0' '{stage.place}'"
    assert said == (f"1/2 one       First.\n{line} a\n{line} b\n2/2 two       Second.\n{line} c\n")


def test_a_procedure_without_steps_says_nothing(stage: Stage) -> None:
    assert stage.run() == ""


def test_a_step_without_its_condition_is_left_out_and_not_counted(stage: Stage) -> None:
    stage.conditions = frozenset([YES])
    said = stage.run(
        Step("a", "A.", run=(note("a"),), when=YES),
        Step("b", "B.", run=(note("{missing}"),), done=("{missing}",), when=NO),
        Step("c", "C.", run=(note("c"),)),
    )
    assert stage.log() == ["a", "c"]
    assert [line for line in said.splitlines() if line[0] != " "] == [
        "1/2 a         A.",
        "2/2 c         C.",
    ]


def test_values_are_filled_in_word_by_word(stage: Stage) -> None:
    stage.values = {"name": "two words; $(touch pwned)"}
    stage.run(Step("a", "A.", run=("touch {place}/{name}",)))
    assert stage.files() == ["two words; $(touch pwned)"]


def test_a_value_that_would_be_an_option_stops_before_anything_runs(stage: Stage) -> None:
    stage.values = {"name": "--help"}
    stopped = stage.stop(Step("a", "A.", run=("touch {name}",)))
    assert isinstance(stopped, Refused)
    assert stage.files() == []


# --- Probes --------------------------------------------------------------------------------------


def test_a_step_that_is_done_is_skipped(stage: Stage) -> None:
    procedure = (
        Step("make", "Make it.", run=("touch {place}/x",), done=("test -e {place}/x",)),
        Step("note", "Note it.", run=(note("n"),)),
    )
    stage.run(*procedure)
    said = stage.run(*procedure)
    assert "1/2 make      already done\n2/2 note      Note it.\n" in said
    assert "touch" not in said
    assert stage.log() == ["n", "n"]


@pytest.mark.parametrize(
    ("probes", "done"),
    [
        ((), False),
        ((0,), True),
        ((1,), False),
        ((0, 0), True),
        ((0, 1), False),
        ((1, 0), False),
    ],
)
def test_a_step_is_done_when_all_probes_say_so(
    probes: tuple[int, ...], done: bool, stage: Stage
) -> None:
    stage.run(Step("a", "A.", run=(note("ran"),), done=tuple(exits(code) for code in probes)))
    assert stage.log() == ([] if done else ["ran"])


@pytest.mark.parametrize(
    ("codes", "done"), [((0, 5), True), ((1, 0), True), ((1, 1), False), ((1, 1, 0), True)]
)
def test_one_alternative_of_a_probe_is_enough(
    codes: tuple[int, ...], done: bool, stage: Stage
) -> None:
    probe = " || ".join(exits(code) for code in codes)
    stage.run(Step("a", "A.", run=(note("ran"),), done=(probe,)))
    assert stage.log() == ([] if done else ["ran"])


@pytest.mark.parametrize("code", [2, 127, 128, 255])
@pytest.mark.parametrize("before", ["", f"{exits(1)} || "])
def test_a_broken_probe_stops_the_step(code: int, before: str, stage: Stage) -> None:
    probe = f"{before}sh -c 'echo oops >&2; exit {code}'"
    stopped = stage.stop(Step("a", "A.", run=(note("ran"),), done=(probe,), stuck="fix {place}."))
    assert isinstance(stopped, Failed)
    assert stage.log() == []
    assert str(stopped) == (
        f"Failed: `sh -c 'echo oops >&2; exit {code}'` ended with exit code {code}:\n  oops\n"
        f"{UNTOUCHED}\n"
        f"Next: fix {stage.place}."
    )


def test_a_probe_changes_nothing_even_if_a_step_is_not_done(stage: Stage) -> None:
    """After a step has run, its probe is not run again: git said that it worked."""
    probe = "sh -c 'echo p >> \"$0/log\"; exit 1' {place}"
    stage.run(Step("a", "A.", run=(note("r"),), done=(probe,)))
    assert stage.log() == ["p", "r"]


# --- Failing -------------------------------------------------------------------------------------


def test_a_line_that_fails_stops_everything_after_it(stage: Stage) -> None:
    stopped = stage.stop(
        Step("a", "A.", run=(note("a"), note("b", 3), note("c")), stuck="look at {place}."),
        Step("d", "D.", run=(note("d"),)),
    )
    assert stage.log() == ["a", "b"]
    assert isinstance(stopped, Failed) and stopped.code == ExitCode.REFUSED
    assert str(stopped) == (
        f"Failed: `sh -c 'echo \"$1\" >> \"$0/log\"; exit 3' '{stage.place}' b` "
        "ended with exit code 3:\n  it said nothing\n"
        f"{UNTOUCHED}\n"
        f"Next: look at {stage.place}."
    )


@pytest.mark.parametrize(
    ("script", "shown"),
    [
        ("echo out; echo err >&2; exit 5", "err"),
        ("echo out; exit 5", "out"),
        ("exit 5", "it said nothing"),
        ("echo; echo >&2; exit 5", "it said nothing"),
        ("for i in 1 2 3 4 5 6 7; do echo $i; done; exit 5", "1|2|3|4|5|6|7"),
        ("echo https://me:secret@example.com >&2; exit 5", "https://***@example.com"),
        ("echo https://me:secret@example.com; exit 5", "https://***@example.com"),
    ],
)
def test_the_output_of_a_failed_command_is_shown(script: str, shown: str, stage: Stage) -> None:
    stage.values = {"script": script}
    stopped = stage.stop(Step("a", "A.", run=("sh -c {script}",)))
    told = stopped.what.split("ended with exit code 5:\n")[1]
    assert told == "".join(f"\n  {line}" for line in shown.split("|"))[1:]


def test_a_long_error_is_on_the_screen_in_part_and_in_a_log_as_a_whole(stage: Stage) -> None:
    stage.values = {"script": "seq 500; exit 5"}
    stopped = stage.stop(Step("a", "A.", run=("sh -c {script}",)))
    assert str(stopped).count("\n") < 12
    log = re.search(r"500 lines: (.*)\)", stopped.what)
    assert log and Path(log[1]).read_text().split() == [str(number) for number in range(1, 501)]


def test_a_failed_step_suggests_the_same_command_by_default(stage: Stage) -> None:
    assert stage.stop(Step("a", "A.", run=("false",))).then == "run the same command again."


def test_a_step_may_say_what_is_untouched_when_it_stops(stage: Stage) -> None:
    step = Step("a", "A.", run=("false",), untouched="{place} is as it was.")
    assert stage.stop(step).untouched == f"{stage.place} is as it was."
    assert stage.stop(replace(step, untouched="")).untouched == UNTOUCHED


@pytest.mark.parametrize(("allow", "code"), [((0, 1), 1), ((0, 128), 128), ((3,), 3)])
def test_an_allowed_exit_code_is_not_a_failure(
    allow: tuple[int, ...], code: int, stage: Stage
) -> None:
    stage.run(
        Step("a", "A.", run=(note("a", code),), allow=allow), Step("b", "B.", run=(note("b"),))
    )
    assert stage.log() == ["a", "b"]


@pytest.mark.parametrize(("allow", "code"), [((0, 1), 2), ((3,), 0), ((0,), 1)])
def test_an_exit_code_that_is_not_allowed_is_a_failure(
    allow: tuple[int, ...], code: int, stage: Stage
) -> None:
    assert isinstance(stage.stop(Step("a", "A.", run=(note("a", code),), allow=allow)), Failed)


def test_ctrl_c_in_a_command_interrupts_the_run(stage: Stage) -> None:
    with pytest.raises(KeyboardInterrupt):
        stage.run(Step("a", "A.", run=("sh -c 'kill -INT $$'",)), Step("b", "B.", run=(note("b"),)))
    assert stage.log() == []


# --- Undoing -------------------------------------------------------------------------------------


@pytest.fixture
def held(tmp_path: Path) -> Iterator[Journal]:
    with locked(tmp_path, "x") as journal:
        yield journal


def test_half_a_step_is_undone_when_it_fails(stage: Stage, held: Journal) -> None:
    stopped = stage.stop(
        Step(
            "a",
            "A.",
            run=(note("a"), note("b", 1)),
            makes="{place}",
            undo=(note("undo1"), note("undo2")),
        ),
        journal=held,
    )
    assert stage.log() == ["a", "b", "undo1", "undo2"]
    assert "exit code 1" in stopped.what


def test_half_a_step_is_undone_on_ctrl_c(stage: Stage, held: Journal) -> None:
    step = Step("a", "A.", run=("sh -c 'kill -INT $$'",), makes="{place}", undo=(note("undo"),))
    with pytest.raises(KeyboardInterrupt):
        stage.run(step, journal=held)
    assert stage.log() == ["undo"]


def test_a_failing_undo_does_not_hide_the_failure(stage: Stage, held: Journal) -> None:
    step = Step("a", "A.", run=(note("a", 9),), makes="{place}", undo=(note("u", 1), note("v")))
    assert "exit code 9" in stage.stop(step, journal=held).what
    assert stage.log() == ["a", "u", "v"]


def test_a_step_that_works_is_not_undone(stage: Stage, held: Journal) -> None:
    stage.run(
        Step("a", "A.", run=(note("a"),), makes="{place}", undo=(note("undo"),)), journal=held
    )
    assert stage.log() == ["a"]


def test_a_step_that_is_done_is_not_undone_by_a_later_one(stage: Stage, held: Journal) -> None:
    stage.stop(
        Step("a", "A.", run=(note("a"),), makes="{place}", undo=(note("undo"),)),
        Step("b", "B.", run=(note("b", 1),)),
        journal=held,
    )
    assert stage.log() == ["a", "b"]


def test_while_a_step_runs_the_journal_holds_what_it_makes(
    stage: Stage, held: Journal, tmp_path: Path
) -> None:
    stage.values = {"journal": str(tmp_path / "carto-fork.lock")}
    look = "cp {journal} {place}/seen"
    stage.run(Step("a", "A.", run=(look,), makes="{place}"), journal=held)
    assert f'"unfinished": ["{stage.place}"]' in (stage.place / "seen").read_text()
    assert held.unfinished == []
    stage.run(Step("b", "B.", run=(look,)), journal=held)
    assert '"unfinished": []' in (stage.place / "seen").read_text()


def test_work_that_could_not_be_undone_stays_in_the_journal(stage: Stage, held: Journal) -> None:
    stage.stop(Step("a", "A.", run=("false",), makes="{place}", undo=("false",)), journal=held)
    assert held.unfinished == [str(stage.place)]


def test_a_removal_that_was_cut_stays_in_the_journal(stage: Stage, held: Journal) -> None:
    stage.stop(Step("a", "A.", run=("sh -c 'kill -KILL $$'",), removes="{place}"), journal=held)
    assert [*held.removing] == [str(stage.place)]


def test_an_interrupted_undo_is_left_to_the_next_run(stage: Stage, held: Journal) -> None:
    stage.values = {"script": "kill -INT $$"}
    step = Step("a", "A.", run=("false",), makes="{place}", undo=("sh -c {script}",))
    with pytest.raises(KeyboardInterrupt):
        stage.run(step, journal=held)
    assert held.unfinished == [str(stage.place)]


# --- Under --dry ---------------------------------------------------------------------------------


PROCEDURE = (
    Step("done", "Is done.", run=("touch {place}/done",), done=("test -e {place}",)),
    Step(
        "make",
        "Make a file with a long name, for a reason that takes longer to say than a line has.",
        run=("touch {place}/{name}", "cp {place}/{name} {place}/copy"),
        done=("test -e {place}/copy",),
        makes="{place}",
        undo=("rm {place}/{name}",),
    ),
    Step(
        "task",
        "Run a task.",
        run=("invoke resolve-conflicts --repo {place}",),
        call=lambda work: None,
    ),
    Step("checks", "Check it.", commands="checks", run=("touch {place}/passed",), when=YES),
    Step("never", "Left out.", run=("false",), when=NO),
    Step("last", "Is done too.", run=("touch {place}/last",), done=("test -e {place}",)),
)


@pytest.fixture
def full(stage: Stage) -> Stage:
    stage.values = {"name": "it's; here"}
    stage.conditions = frozenset([YES])
    stage.commands = {"checks": ("touch checked", "test -e 'it'\\''s; here'"), "other": ("false",)}
    return stage


def test_dry_prints_what_would_run_and_runs_nothing(full: Stage) -> None:
    assert full.run(*PROCEDURE, dry=True) == (
        "# 1/5 done      already done\n"
        "# 2/5 make      Make a file with a long name, for a reason that takes longer to say "
        "than a line has.\n"
        f"touch '{full.place}/it'\"'\"'s; here' &&\n"
        f"cp '{full.place}/it'\"'\"'s; here' '{full.place}/copy' &&\n"
        "# 3/5 task      Run a task.\n"
        f"carto-fork resolve-conflicts --repo '{full.place}' &&\n"
        "# 4/5 checks    Check it.\n"
        f"(cd '{full.place}' && touch checked) &&\n"
        f"(cd '{full.place}' && test -e 'it'\"'\"'s; here') &&\n"
        f"touch '{full.place}/passed' &&\n"
        "# 5/5 last      Is done too.\n"
        f"touch '{full.place}/last'\n"
    )
    assert full.files() == []


def test_what_dry_prints_does_the_same_when_it_is_pasted(full: Stage) -> None:
    script = full.run(*PROCEDURE, dry=True).replace("carto-fork ", "true ")
    answer = shell().read(["sh", "-e", "-c", script])
    assert (answer.code, answer.err) == (0, "")
    pasted = full.files()
    assert pasted == sorted(["checked", "copy", "it's; here", "last", "passed"])
    for name in pasted:
        (full.place / name).unlink()
    full.run(*PROCEDURE[:-1], replace(PROCEDURE[-1], done=()))
    assert full.files() == sorted([*pasted, "logs"])


def test_dry_skips_done_steps_only_up_to_the_first_open_one(stage: Stage) -> None:
    """Nobody knows what a later probe would find after the open steps."""
    stage.values = {}
    done = Step("d", "D.", run=("false",), done=(exits(0),))
    broken = Step("e", "E.", run=("false",), done=(exits(128),))
    said = stage.run(done, Step("o", "O.", run=("true",)), done, broken, dry=True)
    assert said == (
        "# 1/4 d         already done\n"
        "# 2/4 o         O.\ntrue &&\n"
        "# 3/4 d         D.\nfalse &&\n"
        "# 4/4 e         E.\nfalse\n"
    )
    # A line is below the head of its own step.
    lasting = Step("l", "L.", run=("false",), done=(exits(0),), lasting=True)
    said = stage.run(Step("o", "O.", run=("true",)), lasting, broken, lasting, dry=True)
    assert said == (
        "# 1/4 o         O.\ntrue &&\n"
        "# 2/4 l         already done\n"
        "# 3/4 e         E.\nfalse\n"
        "# 4/4 l         already done\n"
    )


# --- Tasks ---------------------------------------------------------------------------------------


def test_a_call_gets_the_work_and_is_shown_as_a_typed_task(stage: Stage) -> None:
    ran: list[object] = []
    stage.work = "the work"
    stage.values = {"tag": "v1 $x"}
    lines = (note("before"), "invoke verify --tag {tag}", note("after"))
    said = stage.run(Step("a", "A.", run=lines, call=ran.append))
    assert ran == ["the work"]
    assert stage.log() == ["before", "after"]
    assert "    $ carto-fork verify --tag 'v1 $x'\n" in said


@pytest.mark.parametrize(("kind", "then"), [(Paused, "y"), (CheckFailed, "")])
def test_a_task_that_stops_says_what_happened_and_the_plan_says_the_rest(
    kind: type[Stop], then: str, stage: Stage
) -> None:
    def task(work: object) -> None:
        raise kind("two conflicts need a person.", untouched="x", then=then)

    stopped = stage.stop(
        Step("a", "A.", run=("invoke x",), call=task, stuck="resolve in {place}."),
        Step("b", "B.", run=(note("b"),)),
    )
    assert type(stopped) is kind and stopped.code == kind.exit_code
    assert str(stopped) == (
        f"{kind.title}: two conflicts need a person.\n{UNTOUCHED}\nNext: resolve in {stage.place}."
    )
    assert stage.log() == []


@pytest.mark.parametrize("kind", [Refused, Failed])
def test_a_refused_task_keeps_its_own_message(kind: type[Stop], stage: Stage) -> None:
    refusal = kind("no.", untouched="x", then="y")

    def task(work: object) -> None:
        raise refusal

    stopped = stage.stop(Step("a", "A.", run=("invoke x",), call=task))
    assert (type(stopped), stopped.what, stopped.then) == (kind, "no.", "y")
    assert stopped.untouched == UNTOUCHED


def test_a_stopped_task_reports_what_its_step_calls_untouched(stage: Stage) -> None:
    def task(work: object) -> None:
        raise Paused("what.", then="y")

    step = Step("a", "A.", run=("invoke x",), call=task, untouched="{place} is.")
    assert stage.stop(step).untouched == f"{stage.place} is."


# --- Commands of the policy ----------------------------------------------------------------------


def test_commands_run_in_the_work_tree_and_are_logged(stage: Stage) -> None:
    stage.commands = {"test": ("sh -c 'echo out; echo err >&2; pwd'", "echo second")}
    said = stage.run(Step("test", "Test it.", commands="test", run=(note("passed"),)))
    log = (stage.place / "logs" / "test.log").read_text().splitlines()
    assert sorted(log) == sorted(["out", "err", str(stage.place.resolve()), "second"])
    assert log[-1] == "second"
    lines = said.splitlines()
    assert lines[0] == "1/1 test      Test it."
    assert lines[1] == f"    $ (cd '{stage.place}' && sh -c 'echo out; echo err >&2; pwd')"
    assert sorted(lines[2:5]) == sorted(log[:3])
    assert lines[5:7] == [f"    $ (cd '{stage.place}' && echo second)", "second"]
    assert stage.log() == ["passed"]


def test_the_first_command_that_fails_is_a_failed_check(stage: Stage) -> None:
    stage.commands = {"test": ("touch a", "sh -c 'exit 7'", "touch b")}
    stopped = stage.stop(
        Step("test", "T.", commands="test", run=(note("passed"),), stuck="fix {place}."),
        Step("b", "B.", run=(note("b"),)),
    )
    assert isinstance(stopped, CheckFailed) and stopped.code == ExitCode.CHECK_FAILED
    assert str(stopped) == (
        "Check failed: `sh -c 'exit 7'` ended with exit code 7 on the merged tree "
        f"(log: {stage.place}/logs/test.log).\n"
        f"{UNTOUCHED}\n"
        f"Next: fix {stage.place}."
    )
    assert stage.files() == ["a", "logs"]
    log = (stage.place / "logs" / "test.log").read_text()
    assert log.endswith(f"names what it may see: {', '.join(withheld())}.\n")


def test_a_failed_check_names_the_variables_that_it_misses(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OUR_LICENCE", "OUR_OTHER"):
        monkeypatch.setenv(name, "x")
    stage.commands = {"test": ("sh -c 'echo OUR_LICENCE is not set >&2; exit 7'",)}
    stopped = stage.stop(Step("test", "T.", commands="test"))
    assert stopped.what.endswith(
        "\nIt saw none of these variables; `environment` in `[commands]` names what it may see: "
        "OUR_LICENCE."
    )


def test_a_failed_check_reports_what_its_step_calls_untouched(stage: Stage) -> None:
    stage.commands = {"test": ("false",)}
    step = Step("test", "T.", commands="test", untouched="{place} is.")
    assert stage.stop(step).untouched == f"{stage.place} is."


def test_a_log_contains_only_the_last_run(stage: Stage) -> None:
    for word in ("first run", "second"):
        stage.commands = {"test": (f"echo {word}",)}
        stage.run(Step("test", "T.", commands="test"))
    assert (stage.place / "logs" / "test.log").read_text() == "second\n"


def test_a_log_takes_any_bytes(stage: Stage) -> None:
    stage.commands = {"test": (r"printf 'a\377b\n'",)}
    stage.run(Step("test", "T.", commands="test"))
    assert (stage.place / "logs" / "test.log").read_text() == "a\\udcffb\n"


def test_commands_that_the_plan_lacks_are_a_bug(stage: Stage) -> None:
    with pytest.raises(KeyError, match="test"):
        stage.run(Step("test", "T.", commands="test"))


# --- The real procedures -------------------------------------------------------------------------

PROCEDURES = procedures()
PARTS = ("MERGE", "CONCLUDE", "LANDING")
"""Of others."""
LABELS = pull_request.OPEN_REQUEST[0]
STEPS = {
    f"{name}, step {number}, {step.name}": step
    for name, found in PROCEDURES.items()
    for number, step in enumerate(found, 1)
}


def offenders(is_right: Callable[[Step], object]) -> list[str]:
    """The steps of all procedures that violate a rule."""
    return [name for name, step in STEPS.items() if not is_right(step)]


def test_the_main_procedures_exist() -> None:
    assert {"SETUP", "SYNC_MAIN", "UPGRADE", "ABORT"} <= PROCEDURES.keys()


def test_every_step_has_a_name_of_one_word_and_says_why_in_a_sentence() -> None:
    assert not offenders(lambda step: re.fullmatch(r"[A-Z][^\n]*[^.\s]\.", step.why))
    assert not offenders(lambda step: re.fullmatch(r"[a-z][a-z0-9]*", step.name))


def test_the_head_line_of_a_step_fits_into_80_columns() -> None:
    def columns(step: Step) -> int:
        shown = io.StringIO()
        Console(shown).step(10, 10, step.name, step.why)
        return len(shown.getvalue().rstrip("\n"))

    assert not offenders(lambda step: columns(step) <= 80)


def test_stuck_and_untouched_texts_of_steps_are_sentences() -> None:
    assert not offenders(lambda step: step.stuck.endswith((".", ").")))
    assert not offenders(
        lambda step: not step.untouched or re.fullmatch(r"[A-Z{].*\.", step.untouched)
    )


def test_every_step_does_something() -> None:
    assert not offenders(lambda step: (step.run or step.commands) and 0 in step.allow)


def test_every_line_is_a_command_of_git_or_a_task_or_of_every_system() -> None:
    programs = {"git", "{gh}", "docker", "invoke", "cp", "install", "mkdir", "rm"}
    assert not offenders(
        lambda step: {line.split()[0] for line in (*step.run, *step.undo)} <= programs
    )
    assert not offenders(
        lambda step: (
            {part.split()[0] for probe in step.done for part in probe.split(" || ")}
            <= {"git", "{gh}", "test"}
        )
    )
    assert not offenders(
        lambda step: not re.search(r"[|&;<>$`]", " ".join((*step.run, *step.undo)))
    )


def test_a_tag_is_always_named_as_a_ref() -> None:
    """`git merge v1` would take a branch of that name; commands that create tags take the plain
    name."""

    def names_refs(step: Step) -> bool:
        lines = [line for line in (*step.run, *step.undo, *step.done) if line.startswith("git")]
        words = [word for line in lines if " tag -a " not in line for word in line.split()]
        return all(word.startswith(("refs/", "+refs/")) for word in words if "{tag}" in word)

    assert not offenders(names_refs)


def _placeholders(step: Step) -> set[str]:
    texts = (*step.run, *step.done, *step.undo, step.stuck, step.untouched)
    return set(re.findall(r"\{(\w+)\}", " ".join(texts)))


@pytest.mark.slow
def test_every_placeholder_is_in_the_plan_that_the_procedure_is_run_with(
    world: World, github: GitHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All procedures are run by their tasks; the plans are those that the tasks made."""
    seen: list[tuple[tuple[Step, ...], Plan]] = []
    real = steps.Runner.run

    def run(self: Runner, procedure: Sequence[Step], plan: Plan, *more: Any, **about: Any) -> None:
        seen.append((tuple(procedure), plan))
        real(self, procedure, plan, *more, **about)

    monkeypatch.setattr(steps.Runner, "run", run)
    monkeypatch.chdir(world.fork)
    for line in (
        "setup",
        "sync-main",
        "--dry upgrade-carto --tag v1.76.5",
        "--dry upgrade-carto --tag v1.76.5 --direct",
        "upgrade-carto --tag v1.76.5 --no-push --no-tests",
        "upgrade-carto --tag v1.76.5 --abort",
        "ci.sync --tag v1.76.5 --no-tests",
        "upgrade-carto --tag v1.76.5 --no-tests",
        "ci.sync --tag v1.76.5 --no-tests",
        "ci.sync --tag v1.77.2-stable --no-tests",
        "resolve-conflicts --pr 2 --keep-fork Dockerfile --keep-fork "
        "ui/litellm-dashboard/src/app/layout.tsx --reason ours",
        "--dry release --dispatch",
        "--dry branch.start --name my-fix",
        "branch.start --name my-fix",
        "--dry branch.pr --title 'fix: mine'",
        f"--dry {ADOPT}",
        "branch.recover",
    ):
        if line == "branch.recover":
            world.git("switch --quiet --detach")
            world.git("commit --quiet --allow-empty -m 'fix: on no branch'")
        if "branch.pr" in line:
            world.git("commit --quiet --allow-empty -m 'fix: mine'")
        words = ["carto-fork", *shlex.split(line)]
        monkeypatch.setattr("sys.argv", words)
        program.run(words, exit=False)
    # What `fork.heal` does takes a fork that has lost something.
    found = open_fork(shell(), world.fork)
    ill = healing.Healing(
        Lost(Commit("1" * 40, "2025-01-01", "sync"), "2" * 40, 0, ()), "b", 0, 0, ()
    )
    seen.append((healing.HEAL, healing.plan(shell(), found, ill, direct=True, push=True)))
    missing = [
        (step.name, name)
        for procedure, plan in seen
        for step in procedure
        # Its line is written once for each label that is missing.
        if step.name != LABELS.name or step.when in plan.conditions
        for name in sorted(_placeholders(step) - plan.values.keys())
    ]
    assert missing == []
    # Some lines are written for what is asked for: one for each label, the options of a task.
    ran = {tuple(step.name for step in procedure) for procedure, _ in seen}
    # They need docker, a branch that moves, a run that was cut, or the tour of a sandbox, and have
    # tests of their own.
    elsewhere = ["FETCH_PRODUCTION", "IMAGES", "RELEASE", "TIDY"]
    whole = {name: found for name, found in PROCEDURES.items() if name not in PARTS}
    unseen = {name for name, found in whole.items() if tuple(s.name for s in found) not in ran}
    assert sorted(unseen) == elsewhere
    for procedure, plan in seen:
        assert {step.commands for step in procedure if step.commands} <= plan.commands.keys()
