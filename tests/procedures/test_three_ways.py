"""Three ways to run the tasks: from this checkout, from within the fork, installed from a wheel."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from carto_fork.sandbox.history import Change, Revision
from world import (
    INVOKE,
    ROOT,
    Done,
    World,
    build_template,
    copied,
    history_with,
    outcome,
    slow_but,
    usual,
)

# Each runs a whole upgrade in processes of its own.
pytestmark = pytest.mark.slow

TAG = "v1.76.5"
UPGRADE = f"upgrade-carto --tag {TAG} --no-tests"
PAUSING = "upgrade-carto --tag v1.77.2-stable --no-tests"
SYNC = f"refs/heads/upstream-sync/{TAG}"

CHECKOUTS = {
    "carto/main": "carto/main",
    "main": "main",
    "detached": "--detach v1.75.2-carto.1.2.0",
    "a feature branch": "-b feature/redis",
}


# Files that tools leave in source directories.
LEFTOVERS = ("__pycache__", ".mypy_cache", ".ruff_cache", "*.egg-info")


def packaged() -> list[Path]:
    """The files of the package in this checkout."""
    files = (path for path in (ROOT / "scripts" / "carto_fork").rglob("*") if path.is_file())
    return [path for path in files if not set(LEFTOVERS) & set(path.parts)]


def next_command(done: Done) -> str:
    """The command line that `status` prints."""
    found = re.search(r"^Next: (.*)$", done.out, re.MULTILINE)
    assert found, done.out
    return found[1]


# --- From this checkout, on a fork elsewhere -------------------------------------------------


@pytest.mark.parametrize("how", slow_but(["option", "environment"], "environment"))
def test_an_upgrade_runs_from_the_checkout_of_the_tasks(
    world: World, template: Path, how: str
) -> None:
    before = world.checkout()
    words = [*INVOKE, "upgrade-carto", "--tag", TAG, "--no-tests"]
    if how == "option":
        done = world.call([*words, "--repo", str(world.fork)], cwd=ROOT)
    else:
        done = world.call(words, cwd=ROOT, CARTO_FORK_REPO=str(world.fork))
    assert done.err == ""
    assert done.code == 0
    assert outcome(world) == usual(template, UPGRADE)
    assert world.checkout() == before


@pytest.mark.parametrize("way", ["invoke -r", "python -m invoke", "carto-fork", "make"])
def test_each_way_in_is_a_process_that_names_itself(world: World, way: str) -> None:
    """The same task, and a next command that can be typed in the same place."""
    programs, root = Path(sys.executable).parent, str(ROOT)
    carto_fork = [sys.executable, "-c", "from carto_fork.start import main; main()"]
    words, named = {
        "invoke -r": ([str(programs / "invoke"), "-r", root], f"invoke -r {root} "),
        "python -m invoke": ([*INVOKE, "--search-root", root], "invoke "),
        "carto-fork": (carto_fork, "-c "),
        "make": (["make", "-C", root], "invoke upgrade-carto --repo ~/litellm "),
    }[way]
    more = [f"REPO={world.fork}"] if way == "make" else []
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    scripts = str(ROOT / "scripts")
    done = world.call([*words, "status", *more], PATH=path, PYTHONPATH=scripts)
    assert (done.code, done.err) == (0, "")
    assert named in next_command(done)
    wrong = world.call([*words, "no-such-task", *more], PATH=path, PYTHONPATH=scripts)
    assert wrong.code == (1 if "invoke" in way else 2)
    assert wrong.err.strip() and "Traceback" not in wrong.err


def test_the_option_outranks_the_environment(world: World, tmp_path: Path) -> None:
    words = [*INVOKE, "status", "--repo", str(world.fork)]
    assert world.call(words, cwd=ROOT, CARTO_FORK_REPO=str(tmp_path)).code == 0
    refused = world.call([*INVOKE, "status"], cwd=ROOT, CARTO_FORK_REPO=str(tmp_path))
    assert refused.code == 1
    assert " is not a git repository " in refused.err


def test_the_suggested_next_command_includes_the_fork_and_can_be_run(world: World) -> None:
    """Typed in the same directory, it works."""
    python = Path(sys.executable)
    path = f"{python.parent}{os.pathsep}{os.environ['PATH']}"
    words = [*INVOKE, "status", "--repo", str(world.fork)]
    line = next_command(world.call(words, cwd=ROOT, PATH=path))
    named = f"{python.name} -m invoke upgrade-carto --repo"
    assert line == f"{named} ~/litellm --tag v1.77.2-stable"
    words = shlex.split(line.replace("~", str(world.place)))
    paused = world.call([*words, "--no-tests"], cwd=ROOT, PATH=path)
    assert paused.code == 3
    assert f"then run `{line} --no-tests` again." in paused.err


def test_a_missing_repository_is_refused(world: World, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    refused = world.call([*INVOKE, "status", "--repo", str(gone)], cwd=ROOT)
    assert refused.err == (
        f"Refused: {gone} is not a directory.\n"
        "Nothing was changed.\n"
        "Next: name the fork's clone with --repo.\n"
    )
    assert refused.code == 1


@pytest.mark.parametrize(
    "line", slow_but(["setup", "fork.adopt", "upgrade-carto --tag v1.76.5"], "fork.adopt")
)
def test_the_checkout_of_the_tasks_is_refused_as_a_fork(
    world: World, tmp_path: Path, line: str
) -> None:
    own = tmp_path / "carto-fork"
    for path in [ROOT / "tasks.py", *packaged()]:
        place = own / path.relative_to(ROOT)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(path.read_bytes())
    world.git("init --quiet --initial-branch main .", repo=own)
    before = sorted(own.rglob("*"))
    done = world.call([*INVOKE, *line.split()], cwd=own, PYTHONDONTWRITEBYTECODE="1")
    assert done.code == 1
    assert "is the checkout of the tasks, not of a fork.\n" in done.err
    asked = world.call([*INVOKE, "next"], cwd=own, PYTHONDONTWRITEBYTECODE="1")
    assert asked.out.splitlines()[0].endswith("invoke sandbox")
    words = [*INVOKE, "next", "--repo", str(own)]
    named = world.call(words, cwd=own, PYTHONDONTWRITEBYTECODE="1")
    assert named.out.splitlines()[0].endswith("invoke sandbox")
    assert sorted(own.rglob("*")) == before


# --- From within the fork --------------------------------------------------------------------


@pytest.mark.parametrize("where", slow_but(CHECKOUTS, "a feature branch"))
def test_an_upgrade_runs_in_the_fork_whatever_is_checked_out(
    world: World, template: Path, where: str
) -> None:
    world.git(f"checkout --quiet {CHECKOUTS[where]}")
    before = world.checkout()
    status = world.run("status")
    assert (status.code, status.err) == (0, "")
    assert "1.75.2.1" in status.out
    assert next_command(status) == "invoke upgrade-carto --tag v1.77.2-stable"
    done = world.run(UPGRADE)
    assert done.err == ""
    assert done.code == 0
    assert world.checkout() == before
    assert world.refs(world.origin) == usual(template, UPGRADE).origin


def test_an_upgrade_runs_in_a_subdirectory_of_the_fork(world: World, template: Path) -> None:
    done = world.run(UPGRADE, cwd=world.fork / "litellm" / "proxy")
    assert done.err == ""
    assert done.code == 0
    assert outcome(world) == usual(template, UPGRADE)


@pytest.fixture(scope="session")
def carrying_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fork that contains this program."""
    files = [ROOT / "tasks.py", *packaged()]
    tools: dict[str, Change] = {str(path.relative_to(ROOT)): path.read_bytes() for path in files}
    history = history_with(
        Revision("tools", "build: the fork's tasks", tools, parents=("carto/main",)),
        origin_refs={"refs/heads/carto/main": "tools"},
    )
    return build_template(tmp_path_factory.mktemp("carrying") / "world", history)


@pytest.fixture
def carrying(carrying_template: Path, tmp_path: Path) -> World:
    return copied(carrying_template, tmp_path / "w")


@pytest.mark.parametrize(
    "where", slow_but(["carto/main", "detached", "a feature branch"], "detached")
)
def test_an_upgrade_runs_from_a_copy_of_the_tasks_in_the_fork(carrying: World, where: str) -> None:
    """Plain `invoke` in the fork's checkout, which has a tasks.py."""
    world = carrying
    how = {**CHECKOUTS, "detached": "--detach carto/main"}[where]
    world.git(f"checkout --quiet {how}")
    before = world.checkout()
    production = world.git("rev-parse carto/main")
    status = world.call([*INVOKE, "status"], PYTHONPATH="")
    assert (status.code, status.err) == (0, "")
    assert next_command(status).endswith(" -m invoke upgrade-carto --tag v1.77.2-stable")
    done = world.call([*INVOKE, *UPGRADE.split()], PYTHONPATH="")
    assert done.err == ""
    assert done.code == 0
    assert world.checkout() == before
    head = world.refs(world.origin)[SYNC]
    parents = world.git(
        f"log --merges --first-parent -1 --format=%P {head}", repo=world.origin
    ).split()
    assert parents == [production, world.git(f"rev-parse {TAG}^0", repo=world.upstream)]
    carried = world.git(f"rev-parse {head}:scripts/carto_fork", repo=world.origin)
    assert carried == world.git("rev-parse carto/main:scripts/carto_fork")


# --- Installed from a wheel ------------------------------------------------------------------


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of the checkout: a build leaves its own files behind."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    leftovers = shutil.ignore_patterns(*LEFTOVERS)
    shutil.copytree(ROOT / "scripts", source / "scripts", ignore=leftovers)
    # As in the fork, with other scripts beside it.
    (source / "scripts" / "lint.py").write_text("raise SystemExit('not to be packed')\n")
    _pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(out), str(source))
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin directory of an environment with the wheel and this environment's libraries."""
    place = tmp_path_factory.mktemp("environment") / "venv"
    command = [sys.executable, "-m", "venv", "--without-pip", str(place)]
    subprocess.run(command, check=True, capture_output=True)
    bin_ = place / "bin"
    _pip("--python", str(bin_ / "python"), "install", "--no-deps", "--no-index", str(wheel))
    (libraries,) = place.glob("lib/python*/site-packages")
    paths = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (libraries / "test-libraries.pth").write_text("\n".join(sorted(paths)))
    return bin_


def _pip(*words: str) -> None:
    """Run pip without a network."""
    quiet = os.environ | {"PIP_NO_INDEX": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    command = [sys.executable, "-m", "pip", *words]
    ended = subprocess.run(command, env=quiet, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def carto_fork(world: World, bin_: Path, line: str) -> Done:
    """Run the installed command in the fork's clone, without this checkout."""
    path = f"{bin_}{os.pathsep}{os.environ['PATH']}"
    return world.call(["carto-fork", *shlex.split(line)], PATH=path, PYTHONPATH="")


def test_the_wheel_contains_the_package_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names} == {"carto_fork", "carto_fork-0.1.0.dist-info"}
    package = {name for name in names if name.startswith("carto_fork/")}
    source = ROOT / "scripts"
    assert package == {str(path.relative_to(source)) for path in packaged()}


def test_the_installed_command_is_not_this_checkout(world: World, installed: Path) -> None:
    where = "import carto_fork; print(carto_fork.__file__)"
    done = world.call([str(installed / "python"), "-c", where], PYTHONPATH="")
    assert str(installed.parent) in done.out


def test_installed_status_names_the_installed_command(world: World, installed: Path) -> None:
    before = world.everything()
    status = carto_fork(world, installed, "status")
    assert (status.code, status.err) == (0, "")
    assert next_command(status) == "carto-fork upgrade-carto --tag v1.77.2-stable"
    assert world.everything() == before


def test_the_installed_command_upgrades_as_the_checkout_does(
    world: World, template: Path, installed: Path
) -> None:
    expected = usual(template, UPGRADE)
    done = carto_fork(world, installed, UPGRADE)
    assert done.err == ""
    assert done.code == 0
    assert "\n    $ carto-fork resolve-conflicts --repo " in done.out
    assert "invoke" not in done.out
    assert outcome(world) == expected


def test_the_installed_command_names_itself_when_an_upgrade_pauses(
    world: World, installed: Path
) -> None:
    paused = carto_fork(world, installed, PAUSING)
    assert paused.code == 3
    assert paused.err == (
        "Paused: 2 conflicts need a person.\n"
        "Your checkout, carto/main and origin are unchanged.\n"
        "Next: resolve the rest in ../litellm.upstream-sync-v1.77.2-stable, `git add` each file, "
        f"then run `carto-fork {PAUSING}` again.\n"
    )


def test_the_next_command_has_the_full_path_if_the_program_is_not_in_path(
    world: World, installed: Path
) -> None:
    """If the command is not in PATH, the next command contains its path."""
    path = installed / "carto-fork"
    status = world.call([str(path), "status"], PYTHONPATH="")
    assert status.code == 0
    assert next_command(status) == f"{path} upgrade-carto --tag v1.77.2-stable"


def test_the_installed_command_prints_its_version(world: World, installed: Path) -> None:
    done = carto_fork(world, installed, "--version")
    assert (done.code, done.out, done.err) == (0, "carto-fork 0.1.0\n", "")


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("status --nonsense", "--nonsense"),
        (f"upgrade-carto --tagg {TAG}", "--tagg"),
        (f"upgrade-carto {TAG}", TAG),
        ("no-such-task", "no-such-task"),
        ("--nonsense", "--nonsense"),
        ("upgrade-carto --tag", "tag"),
    ],
)
def test_the_installed_command_refuses_a_wrong_command_line(
    world: World, installed: Path, line: str, complaint: str
) -> None:
    before = world.everything()
    done = carto_fork(world, installed, line)
    assert done.code == 2
    assert complaint in done.err
    assert "Traceback" not in done.err
    assert done.out == ""
    assert world.everything() == before


def test_the_installed_command_lists_its_tasks(world: World, installed: Path) -> None:
    done = carto_fork(world, installed, "--list")
    assert (done.code, done.err) == (0, "")
    listed = re.findall(r"^  ([a-z-]+)\s", done.out, re.MULTILINE)
    assert {"setup", "status", "upgrade-carto", "verify"} <= set(listed)
    assert not any("_" in name for name in listed)
