"""What tests do with a world: run tasks as a person does, ask git, compare before and after."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from invoke.context import Context

from carto_fork import sandbox
from carto_fork.sandbox_history import History
from carto_fork.shell import Shell

ROOT = Path(__file__).parent.parent
INVOKE = [sys.executable, "-m", "invoke"]


def shell(*, dry: bool = False) -> Shell:
    """A shell as a task has it."""
    context = Context()
    context.config.run.dry = dry
    return Shell(context)


def build_template(place: Path, history: History | None = None) -> Path:
    """A sandbox in a directory, without the settings of whoever runs the tests."""
    sandbox.build(shell(), place, history)
    return place


@dataclass(frozen=True)
class Done:
    """How a command ended. `out` and `err` have the world's directory as `~`."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class World:
    """A sandbox: `upstream.git`, `origin.git` and the clone `litellm` in one directory."""

    place: Path

    @property
    def upstream(self) -> Path:
        return self.place / "upstream.git"

    @property
    def origin(self) -> Path:
        return self.place / "origin.git"

    @property
    def fork(self) -> Path:
        return self.place / "litellm"

    def work(self, tag: str) -> Path:
        """The work tree of the upgrade to a tag."""
        return self.place / f"litellm.upstream-sync-{tag}"

    def run(self, line: str, *more: str, cwd: Path | None = None, **variables: str) -> Done:
        """Run a task with this checkout's tasks.py, in the fork's clone, as `invoke LINE`.

        line: split as a shell does; `more` are further words, as they are.
        """
        words = [*INVOKE, "--search-root", str(ROOT), *shlex.split(line), *more]
        return self.call(words, cwd=cwd, **variables)

    def call(self, words: list[str], *, cwd: Path | None = None, **variables: str) -> Done:
        """Run any command in the fork's clone."""
        ended = subprocess.run(
            words,
            cwd=cwd or self.fork,
            env=os.environ | variables,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            text=True,
            errors="surrogateescape",
            timeout=120,
        )
        return Done(ended.returncode, self.neutral(ended.stdout), self.neutral(ended.stderr))

    def neutral(self, text: str) -> str:
        """Text without this machine's paths and without times that differ from run to run."""
        text = text.replace(f"python3 -m invoke --search-root {ROOT}", "invoke")
        text = text.replace(str(self.place.resolve()), "~").replace(str(self.place), "~")
        return re.sub(r"\n    (\d+ min )?\d+\.\d s(?=\n)", "", text)

    def pasteable(self, text: str) -> str:
        """Neutral text made to work on this machine again."""
        text = text.replace("~", str(self.place))
        return re.sub(
            r"^invoke ", f"{shlex.join([*INVOKE, '--search-root', str(ROOT)])} ", text, flags=re.M
        )

    def git(self, line: str, *more: str, repo: Path | None = None) -> str:
        """What git prints; `line` is split as a shell does. It must succeed."""
        words = ["git", "-C", str(repo or self.fork), *shlex.split(line), *more]
        ended = subprocess.run(words, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        assert ended.returncode == 0, f"{words}: {ended.stderr}"
        return ended.stdout.rstrip("\n")

    def refs(self, repo: Path) -> dict[str, str]:
        """All refs of a repository, but for those that follow a remote."""
        lines = self.git("for-each-ref '--format=%(refname) %(objectname)'", repo=repo).splitlines()
        pairs = (line.split() for line in lines)
        return {ref: name for ref, name in pairs if not ref.startswith("refs/remotes/")}

    def checkout(self) -> dict[str, str]:
        """The user's own checkout, byte for byte: HEAD, the index and every file."""
        git_dir = self.fork / ".git"
        files = [path for path in self.fork.rglob("*") if git_dir not in path.parents]
        files = [path for path in files if path != git_dir and not path.is_dir()]
        return {
            str(path.relative_to(self.fork)): _content(path)
            for path in [git_dir / "HEAD", git_dir / "index", *files]
            if path.is_symlink() or path.exists()
        }

    def everything(self) -> tuple[dict[str, str], dict[str, str], dict[str, str], dict[str, str]]:
        """The checkout, and the refs of the clone, of origin and of upstream."""
        repositories = (self.fork, self.origin, self.upstream)
        here, origin, upstream = (self.refs(repository) for repository in repositories)
        return self.checkout(), here, origin, upstream


def _content(path: Path) -> str:
    if path.is_symlink():
        return f"-> {os.readlink(path)}"
    return f"{path.stat().st_mode:o} {hashlib.sha1(path.read_bytes()).hexdigest()}"
