"""What a fork is given: which files, what they say, and which of them the team has changed."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from packaging.requirements import InvalidRequirement, Requirement
from pathspec import GitIgnoreSpec

from .. import __version__
from ..fork import drops, pins, policy
from ..fork.policy import Policy, Take
from ..run.errors import Refused, Usage
from . import documents, templates

_PACKAGE = "carto-fork"
_PINNED = re.compile(rf"{_PACKAGE}\s*==\s*[\w.]+")
_ORIGIN = f"""\
# No public index has this package. Give pip one of your own, or name a commit instead:
# adopt --requirement '{_PACKAGE} @ git+https://HOST/OWNER/{_PACKAGE}@COMMIT'
"""

BRANCH = re.compile(r"adopt/[0-9a-f]{10}")
"""Branches that `branch` names."""

Read = Callable[[str], str | None]
"""The text of a file of the fork's; None where it has none."""


class State(Enum):
    """How a file of the fork's stands to what it would be given now."""

    NEW = "new"
    BEHIND = "behind"
    REPLACED = "replaced"
    CURRENT = "current"
    THEIRS = "changed by the team"


_GIVEN = (State.REPLACED, State.CURRENT)


@dataclass(frozen=True)
class Copy:
    """A file of the fork's: what it says now (None where it is missing), and what it would be
    given."""

    path: str
    state: State
    before: str | None
    after: str

    @property
    def due(self) -> bool:
        """Whether it is to be written."""
        return self.state in (State.NEW, State.BEHIND, State.REPLACED)


def compare(
    found: Policy, read: Read, requirement: str = "", replace: Sequence[str] = (), draft: str = ""
) -> list[Copy]:
    """What the fork would be given, against what it has.

    draft: the text of its policy, where that is on no branch yet.
    requirement: what its workflows install; "" keeps what they do, but for an older version.
    replace: files that the team changed and that are to be given anew.
    Raises Usage where one of those is no such file, Refused where no rule would keep one.
    """
    copies = [
        _copy(path, text, read(path), replace)
        for path, text in texts(found, read, requirement, draft)
    ]
    if unknown := sorted(set(replace) - {c.path for c in copies if c.state in _GIVEN}):
        theirs = ", ".join(c.path for c in copies if c.state is State.THEIRS) or "none"
        raise Usage(
            f"--replace: {unknown[0]!r} is no file that was put there and that the team changed.",
            then=f"name one of them: {theirs}.",
        )
    _require_kept(found, [copy.path for copy in copies])
    return copies


def _copy(path: str, after: str, before: str | None, replace: Sequence[str]) -> Copy:
    if before is None:
        state = State.NEW
    elif _plain(before) == _plain(after):
        state = State.CURRENT
    elif templates.untouched(before):
        state = State.BEHIND
    else:
        state = State.REPLACED if path in replace else State.THEIRS
    return Copy(path, state, before, after)


def _plain(text: str) -> str:
    return text.replace("\r\n", "\n")


def texts(
    found: Policy, read: Read, requirement: str = "", draft: str = ""
) -> Iterator[tuple[str, str]]:
    """The files that this fork is given, with their texts."""
    own = read(policy.FILE_NAME)
    if own is None:
        extends = f"# The policy of this fork, where it differs from {policy.DEFAULT_NAME}."
        yield policy.FILE_NAME, draft or f'{extends}\nextends = "{policy.DEFAULT_NAME}"\n'
    else:
        # It is the team's to write; that it is there is all that counts.
        yield policy.FILE_NAME, own
    files, values, given = found.files, documents.values(found), documents.given(found)
    wanted = {
        files.sync: "workflows/upstream-sync.yml",
        files.guard: "workflows/guard.yml",
        files.release: "workflows/release.yml" if found.releases else "",
        files.images: "workflows/images.yml" if documents.has_images(found) else "",
        files.makefile: "adopted/tasks.mk",
        files.tasks: "adopted/tasks.txt",
    }
    for path, template in wanted.items():
        if path and template:
            text = templates.fill(templates.read(template), values, given)
            yield path, templates.stamped(text, path)
    if files.requirements:
        line = _requirement(read(files.requirements), requirement)
        yield files.requirements, templates.stamped(f"{line}\n", files.requirements)
    if files.guide:
        yield files.guide, documents.guide(found)
    if files.process and found.releases:
        yield files.process, documents.process(found)


def _requirement(there: str | None, asked: str) -> str:
    """What the workflows install: what was asked for, else what they install already, else this
    version, with a comment that says where it is to come from."""
    if asked:
        if not _is_requirement(asked):
            raise Usage(
                f"--requirement is {asked!r}.",
                then=f"name it as pip does, as in --requirement '{_PACKAGE} @ git+https://…'.",
            )
        return asked
    lines = [line for line in (there or "").splitlines() if line and not line.startswith("#")]
    if len(lines) == 1 and not _PINNED.fullmatch(lines[0]):
        return lines[0]
    return f"{_ORIGIN}{_PACKAGE}=={__version__}"


def _is_requirement(text: str) -> bool:
    """Whether pip takes a line for something to install: a requirement, an address or a file."""
    if not text.isprintable() or text.startswith("-") or text != text.strip():
        return False
    # A line of a file may go on with hashes, and with a comment.
    wanted = re.split(r"\s+(?=#|--hash=)", text)[0]
    try:
        Requirement(wanted)
    except InvalidRequirement:
        return bool(re.fullmatch(r"[\w+.-]+://\S+|\.{0,2}/\S+|\S+\.(whl|tar\.gz)", wanted))
    return True


def _require_kept(found: Policy, paths: Sequence[str]) -> None:
    """Raises Refused where the fork's rules would not keep one of its own files in a merge."""
    rules = [(rule, GitIgnoreSpec.from_lines(rule.paths)) for rule in found.rules]
    lost = [
        path
        for path in [*paths, drops.FILE_NAME, pins.FILE_NAME]
        if not any(
            rule.take is Take.FORK and rule.whole and not (rule.kinds or rule.deleted_by)
            for rule in [next((r for r, spec in rules if spec.match_file(path)), None)]
            if rule
        )
    ]
    if lost:
        listed = ", ".join(f'"/{path}"' for path in lost)
        raise Refused(
            f"no rule of the policy keeps {lost[0]} whole in a merge.",
            then=f"add a table `[[rules]]` before the others in {policy.FILE_NAME}: "
            f'name = "files of the fork", take = "{Take.FORK.value}", whole = true, '
            f'why = "Only the fork has them.", paths = [{listed}].',
        )


def branch(copies: Sequence[Copy]) -> str:
    """The branch on which the files are put into the fork; another one for other files."""
    told = "\0".join(f"{copy.path}\0{copy.after}" for copy in copies if copy.due)
    return f"adopt/{hashlib.sha256(told.encode('utf-8', 'surrogateescape')).hexdigest()[:10]}"
