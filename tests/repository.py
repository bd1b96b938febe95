"""Small repositories to merge in: the fork is `ours`, upstream is `theirs`."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Link:
    """A symbolic link."""

    target: str


@dataclass(frozen=True)
class Submodule:
    """A submodule at a commit, of whose name this is every digit."""

    digit: str


@dataclass(frozen=True)
class Program:
    """A file that can be executed."""

    text: str


Content = str | bytes | Link | Submodule | Program | None
"""What lies at a path; None for nothing."""

Files = Mapping[str, Content]


@dataclass(frozen=True)
class Repo:
    """A repository with a work tree."""

    path: Path

    @classmethod
    def new(cls, path: Path, branch: str = "base") -> Repo:
        repo = cls(path)
        path.mkdir(parents=True)
        repo.git("init", "--quiet", "--initial-branch", branch)
        for key, value in (
            ("user.name", "x"),
            ("user.email", "x@example.com"),
            ("core.autocrlf", "false"),
        ):
            repo.git("config", key, value)
        return repo

    def git(self, *words: str, ok: bool = True, date: str = "", feed: bytes = b"") -> str:
        """What git prints. date: of the commits that it makes."""
        noon = f"{date}T12:00:00Z"
        dates = {"GIT_AUTHOR_DATE": noon, "GIT_COMMITTER_DATE": noon} if date else {}
        ended = subprocess.run(
            ["git", *words], cwd=self.path, capture_output=True, input=feed, env=os.environ | dates
        )
        assert not ok or ended.returncode == 0, (words, ended.stdout, ended.stderr)
        return os.fsdecode(ended.stdout).rstrip("\n")

    def put(self, files: Files) -> None:
        """Change files in the index; the work tree follows."""
        for path, content in files.items():
            place = self.path / path
            if place.is_symlink() or place.is_file():
                place.unlink()
            if place.is_dir() and not any(place.iterdir()):
                place.rmdir()
            if content is None:
                words = ("rm", "-r", "--quiet", "--cached", "--ignore-unmatch", "--", path)
                self.git("--literal-pathspecs", *words)
                continue
            if isinstance(content, Submodule):
                name = content.digit * 40
                self.git("update-index", "--add", "--cacheinfo", f"160000,{name},{path}")
                place.mkdir(exist_ok=True)
                continue
            place.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, Link):
                place.symlink_to(content.target)
            else:
                data = content.text if isinstance(content, Program) else content
                place.write_bytes(data if isinstance(data, bytes) else os.fsencode(data))
            if isinstance(content, Program):
                place.chmod(0o755)
            self.git("--literal-pathspecs", "add", "--", path)

    def commit(
        self, files: Files | None = None, subject: str | None = None, *, date: str = ""
    ) -> str:
        """Commit what is staged after some files have changed, and name the commit."""
        self.put(files or {})
        # Equal commits would be one and the same: the sealed world's clock stands still.
        said = f"on {self.git('symbolic-ref', 'HEAD')}" if subject is None else subject
        words = ("commit", "--quiet", "--allow-empty", "--allow-empty-message")
        self.git(*words, "-m", said, date=date)
        return self.git("rev-parse", "HEAD")

    def on(self, branch: str, start: str = "") -> Repo:
        """Check a branch out, a new one if it starts somewhere."""
        self.git("switch", "--quiet", *(["--create", branch, start] if start else [branch]))
        return self

    def merge(self, other: str, files: Files | None = None, *options: str) -> str:
        """Merge into the current branch, change some files, and name the merge."""
        self.git("merge", "--no-commit", "--no-ff", "--quiet", *options, other, ok=False)
        for path in self.git("ls-files", "--unmerged", "-z").split("\0")[:-1]:
            assert path.split("\t", 1)[1] in (files or {}), f"a conflict to decide: {path}"
        return self.commit(files, f"merge {other}")

    def squash(self, other: str, files: Files, subject: str, *, date: str = "") -> str:
        """The files of another commit with some changed, committed as if they were one's own."""
        self.git("read-tree", "--reset", "-u", other)
        return self.commit(files, subject, date=date)

    def text(self, path: str, commit: str = "HEAD") -> str:
        """A file's text at a commit."""
        return self.git("cat-file", "blob", f"{commit}:{path}") + "\n"

    def state(self) -> list[object]:
        """All that a person sees of a repository: refs, index and work tree."""
        files = sorted(p for p in self.path.rglob("*") if p.is_file() and ".git" not in p.parts)
        return [
            self.git("for-each-ref"),
            self.git("ls-files", "--stage"),
            self.git("status", "--porcelain"),
            (self.path / ".git" / "HEAD").read_text(),
            (self.path / ".git" / "index").read_bytes(),
            [(path, path.read_bytes()) for path in files],
        ]
