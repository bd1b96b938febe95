"""The files of a commit, as the checks of a merge read them."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from ..run import git
from ..run.shell import Shell


class Committed:
    """The files of a commit, each read on demand.

    texts: texts already read, by object name; the sides of a merge share most of them.
    """

    def __init__(self, sh: Shell, repo: Path, commit: str, texts: dict[str, str | None]) -> None:
        self._sh, self._repo, self._texts, self.commit = sh, repo, texts, commit
        self.tree = git.tree(sh, repo, commit)
        self.paths: Collection[str] = self.tree.keys()

    def text(self, path: str) -> str | None:
        """A file; None if it is missing or not text."""
        _, name = self.tree.get(path, ("", ""))
        if name and name not in self._texts:
            text = git.contents(self._sh, self._repo, [name])[0]
            self._texts[name] = None if text is None or "\0" in text else text
        return self._texts[name] if name else None

    def version(self, path: str) -> str:
        """The object name of a file; "" if it is missing."""
        return self.tree.get(path, ("", ""))[1]
