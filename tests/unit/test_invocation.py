"""How the program was called, and the next command to type."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carto_fork.fork import session


@pytest.fixture
def on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory on the PATH, with an `invoke` in it."""
    place = tmp_path / "bin"
    place.mkdir()
    _program(place / "invoke")
    monkeypatch.setenv("PATH", str(place))
    return place


def _program(path: Path) -> Path:
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


# --- The program ---------------------------------------------------------------------------------


def test_a_program_on_the_path_is_called_by_its_name(on_path: Path) -> None:
    assert session.program([str(on_path / "invoke"), "status"]) == "invoke"


def test_a_link_on_the_path_to_the_program_is_enough(on_path: Path, tmp_path: Path) -> None:
    real = _program(tmp_path / "carto-fork")
    (on_path / "carto-fork").symlink_to(real)
    assert session.program([str(real)]) == "carto-fork"


def test_the_python_of_a_venv_is_not_the_one_it_links_to(
    on_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _program(on_path / "python3")
    (tmp_path / "venv").mkdir()
    (tmp_path / "venv" / "python3").symlink_to(on_path / "python3")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "venv" / "python3"))
    module = str(tmp_path / "lib" / "invoke" / "__main__.py")
    assert session.program([module]) == "venv/python3 -m invoke"
    monkeypatch.setattr(sys, "executable", str(on_path / "python3"))
    assert session.program([module]) == "python3 -m invoke"


def test_a_program_of_the_same_name_outside_of_path_is_named_by_its_path(
    on_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "venv").mkdir()
    other = _program(tmp_path / "venv" / "invoke")
    monkeypatch.chdir(tmp_path)
    assert session.program([str(other)]) == "venv/invoke"
    monkeypatch.chdir("/")
    assert session.program([str(other)]) == str(other).lstrip("/")


def test_a_program_outside_of_path_is_named_by_its_full_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    program = _program(tmp_path / "a" / "run it")
    monkeypatch.chdir(tmp_path / "b")
    assert session.program([str(program)]) == shlex.quote(str(program))


def test_a_program_in_the_current_directory_can_be_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shell looks for a bare name on the PATH only."""
    _program(tmp_path / "carto-fork-here")
    monkeypatch.chdir(tmp_path)
    assert session.program([str(tmp_path / "carto-fork-here")]) == "./carto-fork-here"


@pytest.mark.parametrize(
    ("place", "noted", "typed"),
    [
        ("archive-v0/x", {"url": "file:///a%20b", "dir_info": {}}, "uvx --from '/a b' carto-fork"),
        (
            "archive-v0/x",
            {"url": "https://h/c", "vcs_info": {"vcs": "git", "requested_revision": "v1"}},
            "uvx --from git+https://h/c@v1 carto-fork",
        ),
        ("cache/x", {"url": "file:///c", "dir_info": {}}, "pipx run --spec /c carto-fork"),
        ("venvs/x", {}, "carto-fork"),
    ],
)
def test_a_program_in_a_cache_is_called_as_it_was(
    place: str, noted: dict[str, Any], typed: str, on_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefix = on_path / place
    prefix.mkdir(parents=True)
    (prefix / "pipx_metadata.json").touch()
    monkeypatch.setattr(sys, "prefix", str(prefix))
    monkeypatch.setattr(session, "installed_from", lambda: noted)
    assert session.program([str(_program(on_path / "carto-fork")), "--dry", "status"]) == typed


def test_a_module_run_with_dash_m_is_named_with_dash_m(monkeypatch: pytest.MonkeyPatch) -> None:
    path = Path(sys.executable).parent
    monkeypatch.setenv("PATH", str(path))
    found = shlex.split(session.program(["/somewhere/invoke/__main__.py", "status"]))
    assert found[1:] == ["-m", "invoke"]


def test_a_module_is_run_by_an_interpreter_that_has_it(
    on_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Outside of the virtual environment, `python3` is another interpreter."""
    _program(on_path / "python3")
    python, *rest = shlex.split(session.program(["/somewhere/invoke/__main__.py", "status"]))
    assert rest == ["-m", "invoke"]
    assert str(Path(python).absolute()) == sys.executable


# --- invoke's own options ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "kept"),
    [
        ("invoke", "invoke"),
        ("invoke status", "invoke"),
        ("invoke --search-root /x status", "invoke --search-root /x"),
        ("invoke -r /x status", "invoke -r /x"),
        ("invoke --search-root=/x status", "invoke --search-root=/x"),
        ("invoke -r=/x status", "invoke -r=/x"),
        ("invoke -c mine -r '/a b' -f conf.yml status", "invoke -c mine -r '/a b' -f conf.yml"),
        ("invoke --collection mine --config=a status", "invoke --collection mine --config=a"),
        ("invoke --dry --echo -r /x --debug status", "invoke -r /x"),
        ("invoke -R -r /x status", "invoke -r /x"),
        ("invoke status --repo -r", "invoke"),
        ("invoke status -r /x", "invoke"),
        ("invoke --list", "invoke"),
        ("invoke -T 30 -r /x status", "invoke -r /x"),
        ("invoke --command-timeout 30 -r /x status", "invoke -r /x"),
        ("invoke --list-depth 2 -r /x --list", "invoke -r /x"),
    ],
)
def test_only_the_options_that_locate_the_tasks_are_repeated(
    on_path: Path, argv: str, kept: str
) -> None:
    words = shlex.split(argv)
    assert session.program([str(on_path / words[0]), *words[1:]]) == kept


# --- Commands ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({}, "invoke upgrade-carto"),
        ({"tag": "v1.76.5"}, "invoke upgrade-carto --tag v1.76.5"),
        ({"tag": "", "direct": False}, "invoke upgrade-carto"),
        ({"no_push": True, "tag": "v1"}, "invoke upgrade-carto --no-push --tag v1"),
        ({"repo": "/a b/c"}, "invoke upgrade-carto --repo '/a b/c'"),
        ({"repo": "it's"}, "invoke upgrade-carto --repo 'it'\"'\"'s'"),
        ({"repo": "$(x);y"}, "invoke upgrade-carto --repo '$(x);y'"),
    ],
)
def test_options_are_rendered_as_a_task_command_line(
    options: dict[str, str | bool], line: str
) -> None:
    assert session.command("invoke", "upgrade-carto", **options) == line


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1))
def test_any_option_value_is_quoted_as_one_word(value: str) -> None:
    """A shell reads the exact value; control characters do not reach the terminal raw."""
    line = session.command("python3 -m invoke", "status", repo=value, json=True)
    assert line.isprintable()
    words = subprocess.run(["bash", "-c", f"printf '%s\\0' {line}"], capture_output=True).stdout
    expected = ["python3", "-m", "invoke", "status", "--repo", value, "--json"]
    assert words.decode().split("\0")[:-1] == expected


# --- From any directory --------------------------------------------------------------------------


def test_a_hook_calls_the_program_by_absolute_paths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    here = str(tmp_path)
    assert session.anywhere(["bin/carto-fork", "doctor"]) == f"{here}/bin/carto-fork"
    assert session.anywhere(["bin/invoke", "doctor"]) == (f"{here}/bin/invoke --search-root {here}")
    assert session.anywhere(["bin/invoke", "-r", "../x", "-c", "tasks", "doctor"]) == (
        f"{here}/bin/invoke -r {tmp_path.parent}/x -c tasks"
    )
    # A checkout of this program may have its name.
    assert session.anywhere([f"{here}/carto-fork/invoke", "--search-root=x"]) == (
        f"{here}/carto-fork/invoke --search-root {here}/x"
    )
    module = f"{here}/invoke/__main__.py"
    assert session.anywhere([module, "doctor"]) == (
        f"{sys.executable} -m invoke --search-root {here}"
    )
