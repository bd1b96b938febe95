"""How often tasks ask git: never twice if the answer cannot have changed."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from carto_fork.run.shell import Answer, Shell
from carto_standin.github import GitHub
from world import World


@dataclass
class Calls:
    """The processes of git that a task starts.

    asked: those that change nothing, since the last one that may have changed something.
    """

    number: int = 0
    asked: set[tuple[str, ...]] = field(default_factory=set)
    repeated: list[str] = field(default_factory=list)

    def read(self, words: Sequence[str], lines: Sequence[str]) -> None:
        if not _is_ours(words):
            return
        self.number += 1
        key = (*words, "", *lines)
        if key in self.asked:
            self.repeated.append(" ".join(words))
        self.asked.add(key)

    def run(self, words: Sequence[str]) -> None:
        self.number += _is_ours(words)
        self.asked.clear()


def _is_ours(words: Sequence[str]) -> bool:
    """Whether a call is about the clone; the simulated GitHub calls git on the remotes."""
    return words[0] == "git" and not any(word.endswith(".git") for word in words[2:3])


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    counted = Calls()
    read, start, talk = Shell._read, Shell.run, Shell.talk
    talks: set[int] = set()

    def reading(
        sh: Shell, words: Sequence[str], timeout: int | None, lines: Sequence[str]
    ) -> Answer:
        counted.read(words, lines)
        return read(sh, words, timeout, lines)

    def starting(sh: Shell, words: Sequence[str], **how: Any) -> Answer:
        counted.run(words)
        return start(sh, words, **how)

    def talking(sh: Shell, words: Sequence[str]) -> Any:
        found = talk(sh, words)
        if found.process.pid not in talks and _is_ours(words):
            talks.add(found.process.pid)
            counted.number += 1
        return found

    monkeypatch.setattr(Shell, "_read", reading)
    monkeypatch.setattr(Shell, "run", starting)
    monkeypatch.setattr(Shell, "talk", talking)
    return counted


def test_an_upgrade_with_a_pull_request_asks_git_nothing_twice(
    world: World, github: GitHub, calls: Calls
) -> None:
    done = world.run("upgrade-carto --tag v1.76.5 --no-tests")
    assert (done.code, done.err) == (0, "")
    assert "\nPull request 1: https://github.com/" in done.out
    assert calls.repeated == []
    assert calls.number <= 114


def test_a_status_asks_git_nothing_twice(world: World, calls: Calls) -> None:
    done = world.run("status")
    assert done.code == 0
    assert calls.repeated == []
    assert calls.number <= 17


def _frames() -> int:
    """The depth of the program's functions on the stack, from the task's own on."""
    names = []
    frame = sys._getframe()
    while frame := frame.f_back:  # type: ignore[assignment]
        if "/carto_fork/" in frame.f_code.co_filename:
            names.append(frame.f_code.co_name)
    return names.index("upgrade_carto") + 1


def test_the_way_from_the_task_to_a_command_is_short(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the task to `git push`, and to git's answers for `resolve`."""
    start, ask = Shell.run, Shell._read
    pushing: list[int] = []
    resolving: list[int] = []

    def starting(sh: Shell, words: Sequence[str], **how: Any) -> Answer:
        if "push" in words:
            pushing.append(_frames() + 1)  # and Shell.run itself
        return start(sh, words, **how)

    def reading(
        sh: Shell, words: Sequence[str], timeout: int | None, lines: Sequence[str]
    ) -> Answer:
        if "--unmerged" in words:
            resolving.append(_frames())
        return ask(sh, words, timeout, lines)

    monkeypatch.setattr(Shell, "run", starting)
    monkeypatch.setattr(Shell, "_read", reading)
    done = world.run("upgrade-carto --tag v1.76.5 --no-tests")
    assert (done.code, done.err) == (0, "")
    assert pushing and max(pushing) <= 5
    assert resolving and max(resolving) <= 8
