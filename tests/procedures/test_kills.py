"""Kill tasks at random places and type them again: the result is as if nothing had happened.

`make test-slow` makes some of these kills, `make campaign` as many as asked for; the same seed
makes the same kills.
"""

from __future__ import annotations

import hashlib
import os
import random
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import msgspec
import pytest

from carto_standin.github import GitHub
from conftest import SharedGitHub, played
from workflow import ADOPT
from world import INVOKE, ROOT, Done, World, copied, land

TAG, NEXT = "v1.76.5", "v1.77.2-stable"
UPGRADE = "upgrade-carto --no-tests --tag"
LEFT = ("Dockerfile", "ui/litellm-dashboard/src/app/layout.tsx")

TASKS = {
    "upgrade": ("new", f"{UPGRADE} {TAG}"),
    "pausing": ("new", f"{UPGRADE} {NEXT}"),
    "direct": ("new", f"{UPGRADE} {TAG} --direct"),
    "healing": ("squashed", f"{UPGRADE} {NEXT} --heal"),
    "finish": (
        "waiting",
        f"resolve-conflicts --pr 1 --keep-fork {LEFT[0]} --keep-fork {LEFT[1]} --reason ours",
    ),
    "sync": ("new", f"ci.sync --no-tests --tag {NEXT}"),
    "release": ("landed", "release"),
    "mirror": ("new", "sync-main"),
    "heal": ("squashed", "fork.heal"),
    "adopt": ("new", ADOPT),
}
"""The world that a task is run in, and its command line."""

WRITES = re.compile(
    r"git( \S+)? (worktree (add|remove)|merge|commit|push|fetch|branch|checkout|add|rm|restore"
    r"|update-index|update-ref|tag|config|remote) |gh (pr (create|edit|close)|label|release) create"
)
"""Commands that change something."""

# It replaces git and gh. Words before the command's name do not matter here.
_SHIM = r"""#!/bin/sh
words= skip=
for word do
  if [ "$skip" ]; then skip=; continue; fi
  case $word in -C | -c | -R) skip=yes ;; -*) ;; *) words="$words $word" ;; esac
done
echo "{name}$words" >>{here}/calls
[ ! -e {here}/at ] || [ "$(wc -l <{here}/calls)" -ne "$(cat {here}/at)" ] || . {here}/kill
exec {program} "$@"
"""

KINDS = {
    # All that was started: a machine that goes down, a closed terminal.
    "group": '(sleep {delay}; kill -KILL 0) >&- 2>&- & {program} "$@"; code=$?; wait; exit $code',
    # Python alone; the command runs to its end.
    "python": '(sleep {delay}; kill -KILL $PPID) >&- 2>&- & exec {program} "$@"',
    # The command alone, as by a machine that is out of memory.
    "child": '{program} "$@" & sleep {delay}; kill -KILL $! 2>&-; wait $!; kill -KILL $$',
}
"""What is killed, and how a shell does that: some seconds after a command was started."""


@dataclass(frozen=True)
class Kill:
    """A run to kill.

    task, kind: of `TASKS` and `KINDS`. writing: whether at a command that changes something.
    place: at which of them; a part of all. delay: seconds after its start.
    """

    task: str
    kind: str
    writing: bool
    place: float
    delay: float


def drawn(seed: int, number: int) -> Kill:
    """The kill of a number in the campaign of a seed."""
    luck = random.Random(f"{seed}.{number}")
    kind, task = [(kind, task) for kind in KINDS for task in TASKS][
        number % (len(KINDS) * len(TASKS))
    ]
    delay = round(luck.uniform(0, luck.choice([0, 0.01, 0.03, 0.2])), 4)
    return Kill(task, kind, luck.random() < 0.6, luck.random(), delay)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "kill" in metafunc.fixturenames:
        seed, kills = metafunc.config.getoption("--seed"), metafunc.config.getoption("--kills")
        made = [drawn(seed, number) for number in range(kills)]
        ids = [f"{number}-{kill.task}-{kill.kind}" for number, kill in enumerate(made)]
        metafunc.parametrize("kill", made, ids=ids)


# --- What there is -------------------------------------------------------------------------------

_OF_GIT = re.compile(
    r"(.*/)?(objects|logs|refs)/(?!.*\.lock$).*|(.*/)?(FETCH_HEAD|ORIG_HEAD|COMMIT_EDITMSG|index"
    r"|packed-refs|AUTO_MERGE|config)|shim/.*|gh|github\..*|.*/carto-fork/clone/took\.json"
)
"""Files that git keeps for itself, of which what matters is asked of git; how long steps took."""
_TIMES = {"created", "updated", "closed", "merged", "published", "id"}


def state(world: World, github: GitHub) -> dict[str, object]:
    """Everything in a world, by name."""
    found: dict[str, object] = {}
    for repo in (world.fork, world.origin, world.upstream):
        listed = world.git("for-each-ref '--format=%(refname) %(objectname)'", repo=repo)
        found |= {f"{repo.name} {line}": "" for line in listed.splitlines()}
        found[f"settings of {repo.name}"] = world.neutral(world.git("config --list", repo=repo))
    found["work trees"] = world.neutral(world.git("worktree list --porcelain"))
    for tree in (world.fork, *world.place.glob("litellm.*")):
        for question in ("status --porcelain", "ls-files --stage"):
            answer = world.call(["git", "-C", str(tree), *question.split()])
            found[f"{question} in {tree.name}"] = answer.out + answer.err
    found |= _files(world.place)
    with github.open() as opened:
        known = msgspec.to_builtins(opened.origin().state)
    for name in ("pulls", "labels", "releases"):
        rows = [{k: v for k, v in row.items() if k not in _TIMES} for row in known[name]]
        for row in rows:
            row["comments"] = [comment["body"] for comment in row.get("comments", [])]
        found[name] = sorted(rows, key=str)
    return found


def _files(top: Path) -> dict[str, str]:
    """A hash of each file and link below a directory; of an empty directory, nothing."""
    found = {}
    for folder, names, files in os.walk(top):
        here = Path(folder)
        if not names and not files and ".git" not in folder:
            found[str(here.relative_to(top))] = ""
        for path in (here / name for name in files):
            name = str(path.relative_to(top))
            if not _OF_GIT.fullmatch(name):
                data = os.fsencode(path.readlink()) if path.is_symlink() else path.read_bytes()
                found[name] = hashlib.sha1(data.replace(os.fsencode(top), b"~")).hexdigest()
    return found


# --- Worlds --------------------------------------------------------------------------------------

Make = Callable[[str], tuple[World, GitHub]]


@cache
def _landed(template: Path, squash: bool) -> Path:
    """A world with an upgraded production branch, as a template for the tests."""
    world = copied(template, Path(tempfile.mkdtemp(dir=template.parent)) / "w")
    done = world.run(f"{UPGRADE} {TAG} --no-pr")
    assert done.code == 0, done.err
    land(world, TAG, squash=squash)
    world.git("fetch --quiet --no-tags upstream")
    return world.place


@pytest.fixture
def make(
    template: Path,
    waiting_template: Path,
    shared_github: SharedGitHub,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Make]:
    """Makes the world that a task is run in, with its GitHub."""

    def made(task: str) -> tuple[World, GitHub]:
        kind, _ = TASKS[task]
        place = tmp_path / str(len([*tmp_path.iterdir()]))
        source = waiting_template if kind == "waiting" else template
        if kind in ("squashed", "landed"):
            source = _landed(template, kind == "squashed")
        world = copied(source, place / "w")
        for name in ("bin", "temporary"):
            (place / name).mkdir()
        (world.place / "temporary").mkdir()
        monkeypatch.setenv("TMPDIR", str(world.place / "temporary"))
        return world, playing.enter_context(
            played(shared_github, world, monkeypatch, place / "bin")
        )

    with ExitStack() as playing:
        yield made


def start(world: World, task: str, cut: Callable[[Path, str], None] | None = None) -> list[str]:
    """Run a task with shims for git and gh, in a group of processes of its own, and wait for Python
    alone; the commands that it ran.

    cut: writes into the shims' directory at which call they are to kill, and how.
    """
    here, gh = world.place / "shim", world.git("config carto-fork.gh")
    here.mkdir()
    for name, program in (("git", str(shutil.which("git"))), ("gh", gh)):
        text = _SHIM.replace("{here}", str(here)).replace("{program}", program)
        (here / name).write_text(text.replace("{name}", name))
        (here / name).chmod(0o755)
    if cut:
        cut(here, gh)
    world.git("config --global carto-fork.gh", str(here / "gh"))
    with (here / "said").open("wb") as said:
        process = subprocess.Popen(
            [*INVOKE, "--search-root", str(ROOT), *shlex.split(TASKS[task][1])],
            cwd=world.fork,
            env=os.environ | {"PATH": f"{here}{os.pathsep}{os.environ['PATH']}"},
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            start_new_session=True,
        )
        process.wait(timeout=300)
    world.git("config --global carto-fork.gh", gh)
    return (here / "calls").read_text().splitlines()


@dataclass(frozen=True)
class Usual:
    """How a task ends without a fault.

    codes: the exit codes of the first and of a second run. calls: the commands that it runs.
    """

    codes: set[int]
    calls: list[str]
    state: dict[str, object]


_usual: dict[str, Usual] = {}


def usual(task: str, make: Make) -> Usual:
    """How a task ends without a fault; measured once."""
    if task not in _usual:
        world, github = make(task)
        calls = start(world, task)
        once, said = state(world, github), (world.place / "shim" / "said").read_text()
        again = world.run(TASKS[task][1])
        assert again.code in (0, 3) or "already contains" in again.err, said + again.err
        assert changes(once, state(world, github)) == {}, "typed twice, more came of it"
        _usual[task] = Usual({again.code, 3 if task in ("pausing", "healing") else 0}, calls, once)
    return _usual[task]


def changes(one: dict[str, object], other: dict[str, object]) -> dict[str, tuple[object, object]]:
    """The differences between two states."""
    names = {*one, *other}
    return {n: (one.get(n), other.get(n)) for n in sorted(names) if one.get(n) != other.get(n)}


@pytest.mark.slow
def test_a_killed_task_ends_as_usual_when_it_is_typed_again(make: Make, kill: Kill) -> None:
    as_usual = usual(kill.task, make)
    calls = as_usual.calls
    places = [n for n, call in enumerate(calls) if not kill.writing or WRITES.match(f"{call} ")]
    at = places[int(kill.place * len(places))]

    def cut(here: Path, gh: str) -> None:
        program = gh if calls[at].startswith("gh") else str(shutil.which("git"))
        script = KINDS[kill.kind].replace("{delay}", str(kill.delay))
        (here / "kill").write_text(script.replace("{program}", program))
        (here / "at").write_text(str(at + 1))

    world, github = make(kill.task)
    start(world, kill.task, cut)
    again: Done = world.run(TASKS[kill.task][1])
    off = changes(as_usual.state, state(world, github))
    about = f"{kill} at {world.neutral(calls[at])!r}"
    first = world.neutral((world.place / "shim" / "said").read_text(errors="replace"))
    assert not off, f"{about}\n--- first\n{first}\n--- again\n{again.out}{again.err}"
    assert again.code in as_usual.codes, f"{about}\n{again.err}"
