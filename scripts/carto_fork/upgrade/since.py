"""What became of a merge since: who has it, and which later commits changed the same files."""

from __future__ import annotations

from collections.abc import Sequence

from ..audit.findings import described
from ..fork import releases
from ..fork.fork import Fork
from ..merge import commits
from ..run import git
from ..run.shell import Shell
from ..run.text import listed
from .outcomes import Merge


class Since:
    """The fork's commits after a merge."""

    def __init__(self, sh: Shell, fork: Fork, merge: Merge) -> None:
        self._sh, self._fork, self._merge = sh, fork, merge
        self._log = self._read() if merge.landed else ()

    def _read(self) -> Sequence[commits.Entry]:
        """The commits that the production branch has since, without those of upstream."""
        sh, fork, merge = self._sh, self._fork, self._merge
        tip = fork.production_commit
        if not (tip and git.is_ancestor(sh, fork.path, merge.result, tip)):
            return ()
        known = releases.not_to_keep(sh, fork, tip, (merge.theirs,))
        return commits.log_of(sh, fork.path, tip, [merge.result, *known])

    def said(self, path: str) -> str:
        """Which of them changed a file, or one in a directory, as a sentence; "" if none did."""
        found = [
            described(entry.commit)
            for entry in self._log
            if path in entry.changed
            or (path.endswith("/") and any(name.startswith(path) for name in entry.changed))
        ]
        return f"Changed since in {listed(found[::-1], 2)}." if found else ""

    @property
    def number(self) -> int:
        """How many they are."""
        return len(self._log)

    def to_merge(self, how: str) -> str:
        """What to do with a merge that has not landed, as a sentence."""
        fork, result = self._fork, self._merge.result
        if self._merge.request:
            return f"Merge it {how}"
        if not fork.has_production:
            return f"If production does not have it yet, merge it {how}"
        # `git tag` walks the history once, `git for-each-ref` once for each tag.
        question = "tag --sort=creatordate --contains={result} --format={format}"
        names = {"result": result, "format": "%(refname:lstrip=2)"}
        tag = git.ask(self._sh, fork.path, question, "tags", **names).line
        but = f", but the tag {tag} has it" * bool(tag)
        return f"{fork.policy.branches.production} does not have it{but}: merge it {how}"
