"""One run at a time, and what a killed run leaves in the journal."""

from __future__ import annotations

import fcntl
import os
import signal
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from carto_fork.run import steps
from carto_fork.run.errors import ExitCode, Refused
from carto_fork.run.steps import Journal, locked
from world import shell

NAME = "carto-fork.lock"


def killed_run(place: Path, *unfinished: str) -> int:
    """A run that is killed while it makes directories; its process number."""
    script = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from carto_fork.run.steps import locked
with locked(Path(sys.argv[2]), "invoke killed") as held:
    for directory in sys.argv[3:]:
        held.begin(directory)
    print(os.getpid(), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""
    source = Path(steps.__file__).parents[2]
    words = [sys.executable, "-c", script, str(source), str(place), *unfinished]
    answer = shell().read(words)
    assert answer.code == -signal.SIGKILL, answer.err
    return int(answer.line)


def held_by(place: Path, task: str) -> Journal:
    """The lock file opened a second time, as by another process."""
    descriptor = os.open(place / NAME, os.O_RDWR | os.O_CREAT, 0o644)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return Journal(descriptor, task)


# --- The lock ------------------------------------------------------------------------------------


def test_a_second_run_is_refused_and_names_the_running_one(tmp_path: Path) -> None:
    with locked(tmp_path, "invoke upgrade-carto --tag v1.76.5"):
        with pytest.raises(Refused) as refused, locked(tmp_path, "invoke sync-main"):
            raise AssertionError("two runs at a time")
        assert refused.value.code == ExitCode.REFUSED
        assert str(refused.value) == (
            f"Refused: `invoke upgrade-carto --tag v1.76.5` (process {os.getpid()}) "
            "is running on this fork.\n"
            "Nothing was changed.\n"
            "Next: wait until it has finished, then run the same command again."
        )


def test_a_second_run_leaves_the_first_ones_notes_alone(tmp_path: Path) -> None:
    with locked(tmp_path, "one") as held:
        held.begin("/place")
        before = (tmp_path / NAME).read_bytes()
        with pytest.raises(Refused), locked(tmp_path, "two"):
            pass
        assert (tmp_path / NAME).read_bytes() == before


def test_the_lock_is_free_afterwards_also_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), locked(tmp_path, "one"):
        raise ZeroDivisionError
    with locked(tmp_path, "two"):
        pass
    assert (tmp_path / NAME).read_bytes() == b""


def test_the_lock_of_another_fork_is_another_lock(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    with locked(tmp_path / "a", "one"), locked(tmp_path / "b", "two"):
        pass


def test_a_command_that_outlives_its_run_holds_no_lock(tmp_path: Path) -> None:
    with locked(tmp_path, "one"):
        sleeper = int(shell().run(["sh", "-c", "sleep 60 >/dev/null 2>&1 & echo $!"]).line)
    with locked(tmp_path, "two"):
        os.kill(sleeper, signal.SIGKILL)  # It existed until now.


def test_a_directory_that_cannot_be_written_to_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="cannot be written to"), locked(tmp_path / "gone", "one"):
        raise AssertionError("no lock")


# --- What a killed run leaves --------------------------------------------------------------------


def test_a_run_that_was_killed_holds_no_lock_and_is_known_to_the_next(tmp_path: Path) -> None:
    killed_run(tmp_path)
    with locked(tmp_path, "two") as held:
        assert held.after_kill
    with locked(tmp_path, "three") as held:
        assert not held.after_kill


def test_work_of_a_killed_run_stays_in_the_journal_until_it_is_ended(
    tmp_path: Path,
) -> None:
    killed_run(tmp_path, "/one", "/two")
    with locked(tmp_path, "a task that knows nothing of it") as held:
        assert held.unfinished == ["/one", "/two"]
    with locked(tmp_path, "the task that does") as held:
        held.end("/one")
        assert held.unfinished == ["/two"]
        held.end("/two")
    assert (tmp_path / NAME).read_bytes() == b""


def test_interrupted_work_stays_in_the_journal(tmp_path: Path) -> None:
    """As when Ctrl-C comes again while the step is being undone."""
    with pytest.raises(KeyboardInterrupt), locked(tmp_path, "one") as held:
        held.begin("/place")
        raise KeyboardInterrupt
    with locked(tmp_path, "two") as held:
        assert held.unfinished == ["/place"]


def test_finished_work_is_removed_from_the_journal(tmp_path: Path) -> None:
    with locked(tmp_path, "one") as held:
        held.begin("/place")
        held.begin("/place")
        held.end("/place")
        held.end("/another")
        assert held.unfinished == []
    assert (tmp_path / NAME).read_bytes() == b""


def test_work_that_the_previous_run_finished_meanwhile_is_not_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other run finishes just before it releases its lock."""
    other = held_by(tmp_path, "one")
    other.begin("/place")
    real = fcntl.flock

    def flock(descriptor: int, operation: int) -> None:
        other.end("/place")
        other.close()
        monkeypatch.setattr(fcntl, "flock", real)
        real(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", flock)
    with locked(tmp_path, "two") as held:
        assert held.unfinished == []


# --- The file ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content", [b"", b"{", b"null", b"[]", b'{"pid": "x"}', b"\xff\0", b'{"pid": 1}{"pid": 2}']
)
def test_a_malformed_lock_file_counts_as_no_run(content: bytes, tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(content)
    with locked(tmp_path, "one") as held:
        assert not held.after_kill
    assert (tmp_path / NAME).read_bytes() == b""


def test_the_file_says_who_is_at_work(tmp_path: Path) -> None:
    with locked(tmp_path, "invoke x"):
        text = (tmp_path / NAME).read_text()
    assert f'"pid": {os.getpid()}' in text and '"task": "invoke x"' in text


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text(), unique=True, max_size=5))
def test_any_path_can_be_noted(tmp_path: Path, paths: list[str]) -> None:
    """Longer and shorter than the previous ones, and also not UTF-8."""
    held = held_by(tmp_path, "one")
    try:
        for path in paths:
            held.begin(path)
        entry = steps._read(held._descriptor)
        assert entry and entry.unfinished == paths
        for path in paths:
            held.end(path)
    finally:
        held.close()
    assert (tmp_path / NAME).read_bytes() == b""
