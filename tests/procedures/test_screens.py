"""What a person sees in a terminal of 80 columns: no sentence is wider."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator

import pytest

from carto_standin.github import GitHub
from workflow import ADOPT
from world import INVOKE, ROOT, World

TAG, PAUSING = "v1.76.5", "v1.77.2-stable"
COLUMNS = 80


def screen(world: World, line: str) -> list[str]:
    """The lines of a task in a terminal, without those that are replaced while it runs."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, COLUMNS, 0, 0))
    variables = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    with subprocess.Popen(
        [*INVOKE, "--search-root", str(ROOT), *line.split()],
        cwd=world.fork,
        env=variables | {"TERM": "xterm", "NO_COLOR": "1"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    ):
        os.close(theirs)
        text = b"".join(_pieces(ours)).decode()
    text = re.sub(r"[^\n]*\r(?!\n)|\x1b\[[0-9;?]*[A-Za-z]", "", text)
    shown = text.replace("\r\n", "\n").replace(
        f"{sys.executable} -m invoke --search-root {ROOT}", "invoke"
    )
    return shown.split("\n")


def _pieces(terminal: int) -> Iterator[bytes]:
    try:
        while piece := os.read(terminal, 1 << 16):
            yield piece
    except OSError:  # nobody writes to it any more
        return
    finally:
        os.close(terminal)


_COMMAND = re.compile(r"(?<![\w-])(invoke|git|gh|\(cd|echo|install|mkdir|cp) ")
_CODE = re.compile(r" {13,}[-+~=] ")


def too_wide(lines: list[str]) -> list[str]:
    """The lines of which more than a command, a path or a line of code is outside of the screen."""
    return [line for line in lines if not _fits(line)]


def _fits(line: str) -> bool:
    words = re.sub("`[^`]*`", "``", line)  # a command stays on one line
    command = _COMMAND.search(words)
    longest = command.start() if command else len(words.rpartition(" ")[0])
    return len(words) <= COLUMNS or longest <= COLUMNS or bool(_CODE.match(line))


def test_no_sentence_of_a_pause_is_wider_than_the_terminal(world: World) -> None:
    screens = {
        line: screen(world, line)
        for line in (
            "doctor --offline",
            f"upgrade-carto --tag {PAUSING} --no-tests",
            "status",
            "next",
            "doctor --check conflicts",
            f"verify --tag {PAUSING}",
            f"upgrade-carto --tag {PAUSING} --abort",
        )
    }
    assert {line: wide for line, lines in screens.items() if (wide := too_wide(lines))} == {}
    paused = screens[f"upgrade-carto --tag {PAUSING} --no-tests"]
    assert "Paused: 2 conflicts need a person." in paused
    assert all(any(line.strip() for line in lines) for lines in screens.values())


@pytest.mark.slow
def test_no_sentence_of_the_other_screens_is_wider_than_the_terminal(
    world: World, github: GitHub
) -> None:
    world.git("fetch --quiet upstream")
    screens = {
        line: screen(world, line)
        for line in (
            "ci.detect",
            "doctor",
            "forecast",
            "setup",
            f"upgrade-carto --tag {TAG} --no-tests",
            "ci.detect",
            "release --dry",
            f"ci.sync --dry --tag {TAG}",
            "fork.adopt",
            ADOPT,
            "fork.adopt --check",
            "fork.init --yes --output drafted.toml",
            "fork.inventory",
            "fork.heal --check",
            "branch.start --name my-fix",
            "branch.pr",
            "branch.recover",
            "ci.guard",
            "resolve-conflicts",
            f"report --tag {TAG}",
            f"verify --landed {TAG}",
            f"forecast --tag {PAUSING} --tag v9.9.9",
        )
    }
    assert {line: wide for line, lines in screens.items() if (wide := too_wide(lines))} == {}


def test_a_line_is_too_wide_if_its_words_are() -> None:
    prose = "word " * 20
    assert too_wide([prose, f"Next: `invoke next`, {prose}"]) == [
        prose,
        f"Next: `invoke next`, {prose}",
    ]
    fine = [f"Next: git {prose}", f"  where: {'x' * 90}", f"run `{prose}` again", "short"]
    assert too_wide(fine) == []


def test_a_step_that_could_not_do_its_work_is_not_ticked(world: World) -> None:
    line = f"upgrade-carto --tag {TAG} --no-tests"
    assert world.run(f"{line} --no-push").code == 0
    (world.work(TAG) / "notes.txt").write_text("mine\n")
    lines = screen(world, line)
    assert [x for x in lines if "tidy" in x and "The work tree is kept." in x and x[0] == "!"]
    assert [x for x in lines if x.startswith("✓") and "push" in x]
