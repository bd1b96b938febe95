"""Set the version in every place that states it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from packaging.version import InvalidVersion, Version

from . import files, git, versions
from .errors import Failed, Refused
from .policy import Policy
from .shell import Shell


@dataclass(frozen=True)
class Change:
    """A place that states the version: file, dotted key, what it says and what it should say."""

    path: str
    key: str
    before: str
    after: str


def checked_version(text: str) -> str:
    """The version itself, if it is one. Raises Refused otherwise."""
    try:
        return str(Version(text))
    except InvalidVersion:
        problem = f"{text!r} is not a version."
        raise Refused(problem, then="write it as in --to 1.76.5") from None


def changes(work: Path, policy: Policy, version: str) -> list[Change]:
    """The places in a work tree that state another version.

    Raises Refused if a version file is missing or states none.
    """
    found = []
    for file in policy.version_files:
        path = work / file.path
        stated = (
            versions.read(files.read_text(path), file.keys, file.path) if path.is_file() else {}
        )
        if not stated:
            raise Refused(
                f"{path} states no version at {', '.join(file.keys)}.",
                then="correct the file, or `version_files` in the policy.",
            )
        found += [
            Change(file.path, key, before, version)
            for key, before in stated.items()
            if before != version
        ]
    return found


def apply(sh: Shell, work: Path, policy: Policy, found: list[Change], message: str) -> None:
    """Make the changes in a work tree and commit them, and nothing else.

    Raises Refused while a merge is in progress, or where a version file has other changes.
    """
    state = git.work_state(sh, work)
    paths = sorted({change.path for change in found})
    if state.merging:
        raise Refused(
            f"a merge is in progress in {work}.",
            then=f"conclude it first: git -C {work} commit",
        )
    if changed := [path for path in paths if path in state.dirty]:
        raise Refused(
            f"{changed[0]} has changes that are not committed.",
            then="commit or stash them, then run the same command again.",
        )
    for file in policy.version_files:
        path, before = work / file.path, [c for c in found if c.path == file.path]
        if not before:
            continue
        old = files.read_text(path)
        new = versions.write(old, file.keys, before[0].after)
        if sh.dry:
            sh.show(files.patch_command(work, file.path, old, new))
        else:
            files.replace_text(path, new)
    line = "git -C {work} commit -m {message} -- {paths}"
    answer = sh.do(line, work=work, message=message, paths=paths)
    if not answer.ok:
        raise Failed(
            f"git commit ended with exit code {answer.code}: {answer.err.strip()}",
            untouched=f"The version is changed in {', '.join(paths)}, and not committed.",
            then="mend what git or a hook complains of, commit, then run the same command again.",
        )
