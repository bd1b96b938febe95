"""The sealed world: real git on real repositories, and nothing of the machine's own settings."""

from __future__ import annotations

import os
import re
import shutil
import signal
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import _GeneratorContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from carto_standin.gh import real_gh
from carto_standin.github import GitHub, Opened, Request
from carto_standin.server import serve
from world import World, build_template, copied, shell

ROOT = Path(__file__).parent.parent
MEMORY = Path("/dev/shm")
_ENOUGH = 4 << 30
"""Bytes; a container often has 64 MiB there."""

# The same examples in every run: whether a change lands must not depend on luck. `search` looks
# for new ones.
settings.register_profile("quick", deadline=None, derandomize=True, max_examples=50)
settings.register_profile("long", deadline=None, derandomize=True, max_examples=1000)
settings.register_profile("search", deadline=None, max_examples=5000)
settings.load_profile("quick")

_made = pytest.StashKey[Path]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of `make campaign` (procedures/test_kills.py) and of `make picture`."""
    parser.addoption("--kills", type=int, default=30, help="how many runs to kill (30)")
    parser.addoption("--seed", type=int, default=13, help="what chooses them (13)")
    parser.addoption("--picture", action="store_true", help="draw docs/upgrade.svg anew")


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Count the kills of a campaign, by what was killed."""
    counts: dict[str, Counter[str]] = {"passed": Counter(), "failed": Counter()}
    for ended, count in counts.items():
        for report in terminalreporter.getreports(ended):
            if found := re.search(r"test_kills.py::.*\[\d+-(\w+-\w+)\]$", report.nodeid):
                count[found[1]] += 1
    if rows := sorted({*counts["passed"], *counts["failed"]}):
        terminalreporter.write_sep("=", f"kills with the seed {config.getoption('--seed')}")
        for row in rows:
            line = f"{row:<16} {counts['passed'][row]:>3} as usual, {counts['failed'][row]} not"
            terminalreporter.write_line(line)
        terminalreporter.write_line("To repeat one, name it: make campaign ARGS='-k 17-sync-group'")


def pytest_configure(config: pytest.Config) -> None:
    """Let worlds be copied in memory where there is room, unless `--basetemp` says where.

    xdist's workers are told by the process that starts them.
    """
    # What a shell starts in the background ignores Ctrl-C, what `nohup` starts a closed terminal,
    # and so would all that the tests start.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    option = config.option
    usable = MEMORY.is_dir() and os.access(MEMORY, os.W_OK | os.X_OK)
    if option.basetemp is None and usable and shutil.disk_usage(MEMORY).free >= _ENOUGH:
        config.stash[_made] = Path(
            tempfile.mkdtemp(prefix=f"carto-fork-tests-{os.getpid()}-", dir=MEMORY)
        )
        option.basetemp = config.stash[_made] / "t"


def pytest_unconfigure(config: pytest.Config) -> None:
    """Give the memory back, whatever failed."""
    if made := config.stash.get(_made, None):
        shutil.rmtree(made, ignore_errors=True)


def seal(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    """A private home, no system or user configuration of git or invoke, no network, fixed dates."""
    keep = {"PATH", "LANG", "LC_ALL", "TMPDIR", "SYSTEMROOT", "PYTHONPATH", "CARTO_FORK_GH"}
    keep |= {"COVERAGE_PROCESS_START", "CARTO_TEST"}  # see covering.py
    for name in list(os.environ):
        if name not in keep and not name.startswith(("PYTEST_", "COV_")):
            monkeypatch.delenv(name)
    for name, value in {
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home / ".config"),
        "GIT_CONFIG_GLOBAL": str(home / ".gitconfig"),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_ALLOW_PROTOCOL": "file",
        "GIT_AUTHOR_DATE": "2025-09-30T12:00:00Z",
        "GIT_COMMITTER_DATE": "2025-09-30T12:00:00Z",
        "COLUMNS": "80",
        "NO_COLOR": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }.items():
        monkeypatch.setenv(name, value)

    # Whatever gh the machine has, and whoever is logged in there: tests that need one say so.
    # Nothing here lives long enough for git to look whether it should be packed.
    (home / ".gitconfig").write_text(
        "[carto-fork]\n\tgh = no-gh-in-tests\n"
        "[maintenance]\n\tauto = false\n[gc]\n\tauto = 0\n[receive]\n\tautogc = false\n"
    )


@pytest.fixture(autouse=True)
def sealed(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test runs sealed off from the machine's own settings."""
    seal(monkeypatch, tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sandbox, built once; each test gets a copy."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        seal(monkeypatch, tmp_path_factory.mktemp("home"))
        return build_template(tmp_path_factory.mktemp("template") / "world")


class SharedGitHub(GitHub):
    """The server of all tests, which serves the running test's fake GitHub.

    variables: the environment that leads gh to the server.
    """

    variables: dict[str, str]

    def __init__(self) -> None:
        self._playing: list[GitHub] = []

    @contextmanager
    def playing(self, github: GitHub) -> Iterator[None]:
        """Answer for this GitHub meanwhile."""
        self._playing.append(github)
        try:
            yield
        finally:
            self._playing.pop()

    def open(self) -> _GeneratorContextManager[Opened]:
        """See `GitHub.open`."""
        return self._playing[-1].open()

    def note(self, request: Request) -> None:
        """See `GitHub.note`."""
        self._playing[-1].note(request)


@pytest.fixture(scope="session")
def shared_github() -> Iterator[SharedGitHub]:
    """The one server of this process."""
    shared_github = SharedGitHub()
    with serve(shared_github) as shared_github.variables:
        yield shared_github


@contextmanager
def played(
    shared_github: SharedGitHub, world: World, monkeypatch: pytest.MonkeyPatch, beside: Path
) -> Iterator[GitHub]:
    """A fake GitHub on a world's repositories, for the real gh.

    beside: a directory for a `gh` that lines to paste find.
    """
    found = real_gh(world.place)
    assert found, "the tests need gh: `make install-dev` installs it"
    world.git("config --global carto-fork.gh", found)
    (beside / "gh").symlink_to(found)
    monkeypatch.setenv("PATH", f"{beside}{os.pathsep}{os.environ['PATH']}")
    names = {world.slug: "origin.git", world.upstream_slug: "upstream.git"}
    hub = GitHub(shell(), world.place, names)
    with shared_github.playing(hub):
        # A gh lives too short for its garbage collector, which takes a third of its time.
        for name, value in (shared_github.variables | {"GOGC": "off"}).items():
            monkeypatch.setenv(name, value)
        yield hub


@pytest.fixture
def github(
    shared_github: SharedGitHub,
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[GitHub]:
    """A fake GitHub on the world's repositories."""
    with played(shared_github, world, monkeypatch, tmp_path_factory.mktemp("bin")) as hub:
        yield hub


@pytest.fixture(scope="session")
def waiting_template(
    shared_github: SharedGitHub, template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The sandbox after the automation has opened a pull request that a person has to finish; built
    once, each test gets a copy."""
    place = tmp_path_factory.mktemp("waiting") / "world"
    with pytest.MonkeyPatch.context() as monkeypatch:
        seal(monkeypatch, tmp_path_factory.mktemp("home"))
        world = copied(template, place)
        with played(shared_github, world, monkeypatch, tmp_path_factory.mktemp("bin")):
            done = world.run("ci.sync --no-tests --tag v1.77.2-stable")
            assert done.code == 0, done.err
    return place


@pytest.fixture
def world(template: Path, tmp_path: Path) -> World:
    """Upstream, the fork on `GitHub` and a clone of it, as the sandbox has them."""
    return copied(template, tmp_path / "w")
