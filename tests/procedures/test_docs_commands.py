"""Run every command line of the documents, in the order in which a reader types them.

Lines in ```bash and ```sh blocks are run; other blocks are there to be read. A line that does not
end with 0 says so in a comment, `exit code 3`. What is generated from the steps is left out: these
lines run wherever the tasks do.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

import picture
from carto_standin.github import GitHub
from world import INVOKE, ROOT, World, copied

# Of this project's own targets these are what runs the tests, or needs a network.
_OWN_TARGETS = "install-dev|test*|campaign|coverage|mutants|check|format|lock|bench|replay|clean"

_BLOCK = re.compile(r"^( *)```(?:bash|sh)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
DOCUMENTS = sorted(
    path
    for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]
    if _BLOCK.search(path.read_text(encoding="utf-8"))
)
_GENERATED = re.compile(r"<!-- generated: .*?<!-- end of generated -->", re.DOTALL)
_CODE = re.compile(r"#.*\bexit code (\d+)")

# Where a document begins, under the reader's home; most begin where their clones are.
BEGINS = {"README.md": "src/carto-fork", "CONTRIBUTING.md": "src/carto-fork"}

# Documents that begin with cloning the fork.
CLONING = {"CARTO_CLAUDE.md"}

# The upgrade is paused: the fork changed a line that upstream changes too.
_PAUSED = """
    git -C litellm show-ref --quiet refs/start || git -C litellm update-ref refs/start carto/main
    invoke upgrade-carto --repo litellm --tag v1.76.5 --abort || true
    git -C litellm push --quiet origin --delete upstream-sync/v1.76.5 || true
    git -C litellm switch --quiet carto/main
    git -C litellm reset --quiet --hard refs/start
    sed -i '{edit}' litellm/{path}
    git -C litellm commit --quiet -am 'feat: ours'
    git -C litellm push --quiet --force origin carto/main
    invoke upgrade-carto --repo litellm --tag v1.76.5 # exit code 3
    """
_DOCKERFILE = _PAUSED.format(path="Dockerfile", edit="s/openssl tzdata$/openssl tzdata bash/")
_ROUTER = _PAUSED.format(path="litellm/router.py", edit="s/error = None$/error = None  # ours/")

# What has happened before a reader reaches a line.
BEFORE = {
    "git -C litellm.upstream-sync-v1.76.5 diff": _DOCKERFILE,
    "git -C litellm.upstream-sync-v1.76.5 add": """
    git -C litellm.upstream-sync-v1.76.5 checkout --quiet --ours Dockerfile
    sed -i 's/tzdata bash/tzdata supervisor bash/' litellm.upstream-sync-v1.76.5/Dockerfile
    """,
    "invoke resolve-conflicts --repo litellm --accept-upstream": _ROUTER,
    "invoke resolve-conflicts --repo litellm --keep-fork": _DOCKERFILE,
    "invoke release --repo litellm": """
    git -C litellm show-ref --quiet refs/start || git -C litellm update-ref refs/start carto/main
    invoke upgrade-carto --repo litellm --tag v1.76.5 --abort || true
    git -C litellm push --quiet --force origin refs/start:refs/heads/carto/main
    git -C litellm reset --quiet --hard refs/start
    git -C litellm switch --quiet --detach
    git -C litellm branch --quiet --force carto/main refs/start
    invoke upgrade-carto --repo litellm --tag v1.76.5 --direct --no-tests
    """,
}

# Replacements for FILE in a line.
FILES = {
    "git -C litellm.upstream-sync-v1.76.5 add": "Dockerfile",
    "invoke resolve-conflicts --repo litellm --accept-upstream": "litellm/router.py",
    "invoke resolve-conflicts --repo litellm --keep-fork": "Dockerfile",
}


def lines(path: Path) -> Iterator[str]:
    """The command lines of a document, one after the other."""
    text = _GENERATED.sub("", path.read_text(encoding="utf-8"))
    for block in _BLOCK.finditer(text):
        yield from _commands(textwrap.dedent(block[2]))


def _commands(block: str) -> Iterator[str]:
    """The commands of a block: lines that only make sense together stay so."""
    if block.startswith("#!"):
        yield block
        return
    held = ""
    for line in block.splitlines(keepends=True):
        held += line
        whole = subprocess.run(["bash", "-n", "-c", held], capture_output=True).returncode == 0
        if whole and not held.endswith("\\\n"):
            if held.strip() and not held.lstrip().startswith("#"):
                yield held.rstrip("\n")
            held = ""
    assert not held, f"this is not a whole command: {held}"


@pytest.fixture
def world(template: Path) -> World:
    """A reader's directory ~/src, with the fork's clone."""
    return copied(template, Path(os.environ["HOME"]) / "src")


@pytest.fixture
def reader(world: World, github: GitHub, monkeypatch: pytest.MonkeyPatch) -> World:
    """A reader's machine: a checkout of this project, its programs on PATH."""
    checkout = world.place / "carto-fork"
    checkout.mkdir()
    for path in ROOT.iterdir():
        if not path.name.startswith("."):
            (checkout / path.name).symlink_to(path)
    programs, environment = world.place / "bin", checkout / ".venv"
    programs.mkdir()
    (environment / "bin").mkdir(parents=True)
    for stamp in ("made", "run", "dev"):
        (environment / stamp).touch()
    ours = shlex.join([*INVOKE, "--search-root", str(ROOT)])
    make_runs = environment / "bin" / "invoke"
    make = shutil.which("make", path="/usr/local/bin:/usr/bin:/bin")
    scripts = {
        make_runs: f'exec {_started(str(make_runs), "invoke.main")} "$@"',
        programs / "invoke": f'exec {ours} "$@"',
        programs / "carto-fork": (
            f'PYTHONPATH={ROOT / "scripts"} exec {_started("carto-fork", "carto_fork.tasks")} "$@"'
        ),
        programs / "make": (
            f'if [ "$PWD" = {checkout} ]; then case "$1" in {_OWN_TARGETS})'
            ' set -- --dry-run "$@" ;; esac; fi\n'
            f'exec {make} "$@"'
        ),
    }
    for path, body in scripts.items():
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    world.git("config --global user.name Reader")
    world.git("config --global user.email reader@example.com")
    return world


def _started(name: str, module: str) -> str:
    """The command line that runs a module's program as if it had been typed under a name."""
    body = f"import sys; sys.argv[0] = {name!r}; from {module} import program; program.run()"
    return shlex.join([sys.executable, "-c", body])


@pytest.mark.slow
@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_commands_of_a_document_run(
    reader: World, path: Path, pytestconfig: pytest.Config
) -> None:
    if path.name in CLONING:
        shutil.rmtree(reader.fork)
        for remote, owner in (("origin", "CartoDB"), ("upstream", "BerriAI")):
            where = f"url.{reader.place / remote}.git.insteadOf"
            reader.git(f"config --global {where} https://github.com/{owner}/litellm.git", repo=ROOT)
    here = Path(os.environ["HOME"]) / BEGINS.get(path.name, "src")
    found = list(lines(path))
    assert found
    if path.name == "README.md":
        _pictured(found.pop(0), here, anew=pytestconfig.getoption("--picture"))
    for line in found:
        for key, before in BEFORE.items():
            if line.startswith(key):
                for prepared in _commands(textwrap.dedent(before).lstrip("\n")):
                    here, _ = _typed(reader, prepared, here)
        names = [file for key, file in FILES.items() if line.startswith(key)]
        here, _ = _typed(reader, re.sub(r"\bFILE\b", "".join(names), line), here)


def _typed(reader: World, line: str, here: Path) -> tuple[Path, str]:
    """Run a line as typed in a directory; where the next one is typed, and what it printed."""
    left = reader.place / "left"
    noted = _CODE.search(line)
    if line.startswith("#!"):
        here = reader.fork  # a hook
    script = f"{line}\ncode=$?\npwd > {shlex.quote(str(left))}\nexit $code"
    done = reader.call(["bash", "-c", script], cwd=here)
    expected = int(noted[1]) if noted else 0
    assert done.code == expected, f"{here}$ {line}\n{done.out}\n{done.err}"
    assert "Traceback" not in done.err
    return Path(left.read_text().rstrip("\n")), done.out


def _pictured(line: str, here: Path, *, anew: bool) -> None:
    """Run a line in a terminal, which shows what the picture in the README does."""
    line = line.partition(" #")[0].rstrip()
    code, written = picture.typed(line, here)
    assert code == 0, written
    written = written.replace(os.environ["HOME"], "~")
    shown = picture.screen(written)
    if anew:
        picture.UPGRADE.write_text(picture.drawn(line, shown), encoding="utf-8")
    drawn = picture.neutral(picture.read(picture.UPGRADE.read_text(encoding="utf-8")))
    assert drawn == [one for one in picture.neutral(shown) if one], "`make picture` makes it anew"


def test_a_block_is_split_into_its_commands() -> None:
    block = "a 1\n# only a comment\nb \\\n  2\n\nfor x in 1 2; do\n  c $x\ndone\n"
    assert list(_commands(block)) == ["a 1", "b \\\n  2", "for x in 1 2; do\n  c $x\ndone"]
    assert list(_commands("#!/bin/sh\na\nb\n")) == ["#!/bin/sh\na\nb\n"]


def test_a_line_that_fails_is_noticed(reader: World) -> None:
    with pytest.raises(AssertionError, match="no-such-task"):
        _typed(reader, "invoke no-such-task", reader.place)
    assert _typed(reader, "cd litellm", reader.place) == (reader.fork, "")
    assert _typed(reader, "echo x; false # exit code 1", reader.fork) == (reader.fork, "x\n")


def test_a_terminal_shows_what_is_left_of_a_line_that_was_drawn_twice() -> None:
    written = "a\r\nwait\r\x1b[2K\x1b[1mdone\x1b[0m 3f2a9bc\r\n1.2 s\r\n"
    written += "old\r\n\x1b[1A\x1b[2Knew 2 s, all  7.1 s\r\n"
    assert picture.neutral(picture.screen(written)) == ["a", "done …", "new …, all"]
    shown = picture.screen("\n".join(f"{number} \x1b[36m<&>\x1b[0m" for number in range(99)))
    assert picture.read(picture.drawn("make", shown)) == picture.neutral(shown)
    assert shown[0].startswith("0 ") and "⋮ 51 more lines" in shown[24] and len(shown) == 49
