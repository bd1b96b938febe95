"""One run at a time, and what a run that was cut off leaves to be undone."""

from __future__ import annotations

import fcntl
import os
import signal
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from carto_fork import journal
from carto_fork.errors import ExitCode, Refused
from carto_fork.journal import Journal, locked
from carto_fork.shell import Shell
from world import shell

NAME = "carto-fork.lock"


@pytest.fixture
def sh() -> Shell:
    return shell()


def killed_run(place: Path, undo: list[list[str]], cwd: Path) -> int:
    """A run that is killed inside a step; its process number."""
    script = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from invoke.context import Context
from carto_fork.journal import locked
from carto_fork.shell import Shell
os.chdir(sys.argv[3])
with locked(Shell(Context()), Path(sys.argv[2]), "invoke killed") as held:
    held.begin(eval(sys.argv[4]))
    print(os.getpid(), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""
    source = Path(journal.__file__).parents[1]
    words = [sys.executable, "-c", script, str(source), str(place), str(cwd), repr(undo)]
    answer = shell().read(words)
    assert answer.code == -9, answer.err
    return int(answer.line)


def held_by(place: Path, task: str) -> Journal:
    """A second open lock file, as another process has it."""
    descriptor = os.open(place / NAME, os.O_RDWR | os.O_CREAT, 0o644)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return Journal(descriptor, task)


# --- The lock ------------------------------------------------------------------------------------


def test_a_second_run_is_refused_and_told_who_is_at_work(sh: Shell, tmp_path: Path) -> None:
    with locked(sh, tmp_path, "invoke upgrade-carto --tag v1.76.5"):
        with pytest.raises(Refused) as refused, locked(sh, tmp_path, "invoke sync-main"):
            raise AssertionError("two runs at a time")
        assert refused.value.code == ExitCode.REFUSED
        assert str(refused.value) == (
            f"Refused: `invoke upgrade-carto --tag v1.76.5` (process {os.getpid()}) "
            "is at work on this fork.\n"
            "Nothing was changed.\n"
            "Next: wait until it has ended, then run the same command again."
        )


def test_a_second_run_leaves_the_first_ones_notes_alone(sh: Shell, tmp_path: Path) -> None:
    with locked(sh, tmp_path, "one") as held:
        held.begin([["true"]])
        before = (tmp_path / NAME).read_bytes()
        with pytest.raises(Refused), locked(sh, tmp_path, "two"):
            pass
        assert (tmp_path / NAME).read_bytes() == before


def test_whoever_has_not_said_who_he_is_is_another_task(sh: Shell, tmp_path: Path) -> None:
    held = held_by(tmp_path, "")
    with pytest.raises(Refused) as refused, locked(sh, tmp_path, "two"):
        pass
    assert str(refused.value).startswith("Refused: another task is at work on this fork.\n")
    held.close()


def test_the_lock_is_free_afterwards_also_after_an_error(sh: Shell, tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), locked(sh, tmp_path, "one"):
        raise ZeroDivisionError
    with locked(sh, tmp_path, "two"):
        pass
    assert (tmp_path / NAME).read_bytes() == b""


def test_the_lock_of_another_fork_is_another_lock(sh: Shell, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    with locked(sh, tmp_path / "a", "one"), locked(sh, tmp_path / "b", "two"):
        pass


def test_a_run_that_was_killed_holds_no_lock(sh: Shell, tmp_path: Path) -> None:
    killed_run(tmp_path, [], tmp_path)
    with locked(sh, tmp_path, "two"):
        pass


def test_a_command_that_outlives_its_run_holds_no_lock(sh: Shell, tmp_path: Path) -> None:
    with locked(sh, tmp_path, "one"):
        sleeper = int(sh.run(["sh", "-c", "sleep 60 >/dev/null 2>&1 & echo $!"]).line)
    with locked(sh, tmp_path, "two"):
        os.kill(sleeper, signal.SIGKILL)  # It was there until now.


# --- Undoing -------------------------------------------------------------------------------------


def test_a_run_that_was_killed_in_a_step_is_undone_by_the_next(sh: Shell, tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    undo = [["sh", "-c", "echo one >> log"], ["sh", "-c", "echo 'it''s two' >> log"]]
    killed_run(tmp_path, undo, place)
    with locked(sh, tmp_path, "two"):
        assert (place / "log").read_text() == "one\nits two\n"
    with locked(sh, tmp_path, "three"):
        assert (place / "log").read_text() == "one\nits two\n", "undone once only"


def test_undoing_goes_on_after_a_command_that_fails(sh: Shell, tmp_path: Path) -> None:
    killed_run(tmp_path, [["false"], ["no-such-program"], ["touch", "done"]], tmp_path)
    with locked(sh, tmp_path, "two"):
        assert (tmp_path / "done").exists()


def test_a_step_that_has_ended_is_not_undone(sh: Shell, tmp_path: Path) -> None:
    with locked(sh, tmp_path, "one") as held:
        held.begin([["touch", str(tmp_path / "x")]])
        held.end()
    with locked(sh, tmp_path, "two"):
        pass
    assert not (tmp_path / "x").exists()


def test_a_step_that_was_left_in_the_middle_is_undone_by_the_next_run(
    sh: Shell, tmp_path: Path
) -> None:
    """As when Ctrl-C comes a second time, while the step is being undone."""
    with pytest.raises(KeyboardInterrupt), locked(sh, tmp_path, "one") as held:
        held.begin([["touch", str(tmp_path / "undone")]])
        raise KeyboardInterrupt
    with locked(sh, tmp_path, "two"):
        assert (tmp_path / "undone").exists()


def test_undoing_that_was_cut_off_is_done_by_the_run_after_that(sh: Shell, tmp_path: Path) -> None:
    once = f"test -e {tmp_path}/cut || {{ touch {tmp_path}/cut; kill -INT $$; }}"
    killed_run(tmp_path, [["sh", "-c", once], ["touch", "undone"]], tmp_path)
    with pytest.raises(KeyboardInterrupt), locked(sh, tmp_path, "two"):
        raise AssertionError("cut off before")
    with locked(sh, tmp_path, "three"):
        assert (tmp_path / "undone").exists()


def test_what_the_run_before_has_done_meanwhile_is_not_undone(
    sh: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other run ends between a look at its notes and the moment its lock is free."""
    other = held_by(tmp_path, "one")
    other.begin([["touch", str(tmp_path / "undone")]])
    real = fcntl.flock

    def flock(descriptor: int, operation: int) -> None:
        other.end()
        other.close()
        monkeypatch.setattr(fcntl, "flock", real)
        real(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", flock)
    with locked(sh, tmp_path, "two"):
        pass
    assert not (tmp_path / "undone").exists()


# --- The file ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content", [b"", b"{", b"null", b"[]", b'{"pid": "x"}', b"\xff\0", b'{"pid": 1}{"pid": 2}']
)
def test_a_file_that_says_nothing_sensible_is_no_run(
    content: bytes, sh: Shell, tmp_path: Path
) -> None:
    (tmp_path / NAME).write_bytes(content)
    with locked(sh, tmp_path, "one"):
        pass
    assert (tmp_path / NAME).read_bytes() == b""


def test_the_file_says_who_is_at_work(sh: Shell, tmp_path: Path) -> None:
    with locked(sh, tmp_path, "invoke x"):
        text = (tmp_path / NAME).read_text()
    assert f'"pid": {os.getpid()}' in text and '"task": "invoke x"' in text


@settings(
    deadline=None,
    max_examples=40,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    st.lists(
        st.lists(
            st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=3), max_size=3
        ),
        max_size=5,
    )
)
def test_the_last_note_is_the_one_that_counts(tmp_path: Path, notes: list[list[list[str]]]) -> None:
    """Shorter or longer than the one before it."""
    held = held_by(tmp_path, "one")
    try:
        for undo in notes:
            held.begin(undo)
            entry = journal._read(held._descriptor)
            assert entry and entry.undo == undo
    finally:
        held.close()


def test_a_path_that_is_not_utf8_can_be_noted(sh: Shell, tmp_path: Path) -> None:
    with locked(sh, tmp_path, "one") as held:
        held.begin([["touch", "caf\udce9"]])
