"""The foundations of the tests: tasks run in this process, and leave nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from conftest import MEMORY
from world import ROOT, World, copied, slow_but

UPGRADE = "upgrade-carto --tag v1.76.5 --no-tests"
LINES = [
    "--list",
    "upgrade-carto --help",
    "status",
    "status --json",
    "no-such-task",
    "upgrade-carto --tag",
    "upgrade-carto --tag v9.9.9",
    "upgrade-carto --tag v9.9.9 --json",
    f"--dry {UPGRADE}",
    "forecast --tag v1.76.5 --json",
    UPGRADE,
]


@pytest.mark.slow
@pytest.mark.parametrize("line", slow_but(LINES, "status", "upgrade-carto --tag", UPGRADE))
def test_a_task_run_in_process_behaves_as_in_its_own_process(
    template: Path, world: World, tmp_path: Path, line: str
) -> None:
    """The same exit code, output, errors, files and refs."""
    before = world.everything()
    here = world.run(line)
    changed = world.everything()
    other = copied(template, tmp_path / "other")
    assert other.everything() == before
    assert other.spawn(line) == here
    assert other.everything() == changed


def test_a_task_run_in_process_leaves_no_state_behind(world: World, tmp_path: Path) -> None:
    def state() -> tuple[object, ...]:
        handlers = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)]
        streams = (sys.stdin, sys.stdout, sys.stderr)
        own = (sys.argv, list(sys.path), sys.dont_write_bytecode, tempfile.gettempdir())
        return os.getcwd(), dict(os.environ), handlers, streams, own, "tasks" in sys.modules

    before = state()
    for line in ("status --json", "no-such-task", "upgrade-carto --tag v9.9.9", "--help"):
        world.run(line, cwd=world.fork / "docs", TMPDIR=str(tmp_path), SOMETHING="else")
    assert state() == before


FAILING = """
import threading

def test_a_failure(world, github, monkeypatch):
    monkeypatch.setenv("GONE", "1")
    assert world.run("upgrade-carto --tag v1.76.5 --no-tests --no-push").code == 0
    world.spawn("status")
    world.call(["gh", "api", "user"])
    assert world.run("status").code == 7, f"at {world.place}"
"""


@pytest.mark.slow
@pytest.mark.parametrize("options", ["", "-n 2"])
def test_a_test_that_fails_leaves_nothing_behind(tmp_path: Path, options: str) -> None:
    """No directory in memory or among the temporary files, and no process."""
    checkout = tmp_path / "checkout"
    (checkout / "tests").mkdir(parents=True)
    for name in ("scripts", "tasks.py", "pyproject.toml"):
        (checkout / name).symlink_to(ROOT / name)
    for path in ROOT.glob("tests/*.py"):
        (checkout / "tests" / path.name).symlink_to(path)
    (checkout / "tests" / "test_failing.py").write_text(FAILING)
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options.split()]
    with subprocess.Popen(
        [*words, "tests/test_failing.py"],
        cwd=checkout,
        env=os.environ | {"TMPDIR": str(temporary)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as running:
        said, _ = running.communicate()
    assert running.returncode == 1 and "1 failed" in said, said
    assert "== 7" in said
    own = f"carto-fork-tests-{running.pid}-"  # others may run tests meanwhile
    assert own in said or str(temporary) in said, said
    assert list(temporary.iterdir()) == []
    assert [*MEMORY.glob(f"{own}*")] == []
    assert _processes(f"TMPDIR={temporary}") == []


def _processes(variable: str) -> list[str]:
    """The processes whose environment has a variable of this value, or of a longer one."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if b"\0" + variable.encode() in b"\0" + path.read_bytes():
                found.append(path.with_name("cmdline").read_text())
        except OSError:
            continue
    return found
