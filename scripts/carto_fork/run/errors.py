"""How a task stops: every stop says what happened, what was not touched and what to type next. And
what error messages of git and gh mean, and how to fix the cause."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator
from enum import IntEnum
from typing import Any, NamedTuple

from invoke.exceptions import Exit

from .text import harmless, printable, quoted, wrapped


class ExitCode(IntEnum):
    """The exit codes of every task. They are part of the interface: scripts rely on them."""

    meaning: str

    def __new__(cls, code: int, meaning: str) -> ExitCode:
        member = int.__new__(cls, code)
        member._value_ = code
        member.meaning = meaning
        return member

    DONE = 0, "Done, or nothing to do."
    REFUSED = 1, "Refused: a precondition is not met, a rule forbids it, or a command failed."
    USAGE = 2, "The command line is wrong."
    PAUSED = 3, "Paused: you need to do something. The same command continues afterwards."
    CHECK_FAILED = 4, "A check of the result failed; the task stopped there."
    INTERRUPTED = 130, "Interrupted. The same command continues."
    CLOSED = 141, "The reader of the output has gone, as with `head`; the task stopped there."


class Stop(Exit):
    """A task ends early, in three sentences for a person.

    what: what happened.
    untouched: what was left as it was.
    then: the next command to type, or the next thing to do.
    facts: what a script needs besides, for ``--json``.
    """

    exit_code = ExitCode.REFUSED
    title = "Refused"

    def __init__(self, what: str, *, untouched: str = "Nothing was changed.", then: str) -> None:
        super().__init__(None, self.exit_code)
        self.what, self.untouched = what, untouched
        self.facts: dict[str, Any] = {}
        self.advise(then)

    def advise(self, then: str) -> None:
        """Replace the sentence that says what to do next."""
        self.then = then
        as_it_is = isinstance(self, Failed)
        lines = [*_fitted(f"{self.title}: {self.what}", as_it_is), *_fitted(self.untouched)]
        first, *more = then.split("\n")
        for head, line in [("Next: ", first), *(("", line) for line in more)]:
            fits = not _width() or len(f"{head}{line}") <= _width()
            lines += [f"{head}{line}"] if fits else wrapped(f"{head}{quoted(line)}", _width())
        shown = map(printable, lines)
        self.message = harmless("\n".join(shown))

    def __str__(self) -> str:
        return str(self.message)

    def as_json(self) -> dict[str, Any]:
        """Plain data for ``--json``."""
        facts = {"stopped": self.title.lower(), "exit_code": int(self.code)}
        said = {"what": self.what, "untouched": self.untouched, "then": self.then}
        return facts | said | self.facts


def _width() -> int:
    """The columns of the terminal; 0 without one."""
    return shutil.get_terminal_size().columns if sys.stderr.isatty() else 0


def _fitted(text: str, as_it_is: bool = False) -> Iterator[str]:
    """The lines of a text, wrapped to the terminal.

    as_it_is: whether indented lines, another program's output, stay as they are.
    """
    width = _width()
    for line in text.split("\n"):
        fits = not width or (as_it_is and line.startswith(" "))
        yield from [line] if fits else wrapped(line, width)


class Refused(Stop):
    """A precondition is not met, or a rule forbids it."""


class Nothing(Stop):
    """There is nothing to do."""

    exit_code = ExitCode.DONE
    title = "Nothing to do"


class Failed(Stop):
    """A command that should have worked did not."""

    title = "Failed"


class Usage(Stop):
    """The command line is wrong."""

    exit_code = ExitCode.USAGE
    title = "Usage"


class Paused(Stop):
    """A person has to do something before the task can continue."""

    exit_code = ExitCode.PAUSED
    title = "Paused"


class CheckFailed(Stop):
    """The result fails a check, so the task stops there."""

    exit_code = ExitCode.CHECK_FAILED
    title = "Check failed"


class Interrupted(Stop):
    """Ctrl-C or a termination signal."""

    exit_code = ExitCode.INTERRUPTED
    title = "Interrupted"


# --- What error messages mean --------------------------------------------------------------------


class Cure(NamedTuple):
    """What an error message of git or gh means, and what to do about it."""

    meaning: str
    then: str


_OF_GITHUB = (
    (
        r"exec: \S+: not found|gh: command not found",
        "gh, GitHub's command line program, is not installed",
        "install it: https://cli.github.com",
    ),
    (
        r"gh auth login|HTTP 401|Bad credentials|GH_TOKEN environment variable",
        "gh is not logged in, or its token has become invalid",
        "type `gh auth login`; in GitHub Actions set GH_TOKEN for the step",
    ),
    (
        r"refusing to allow .* to (create or )?update workflow"
        r"|without `workflows?` (scope|permission)",
        "the token may not change workflow files, and upstream's release changes some",
        "type `gh auth refresh --scopes workflow`; for automation use a token with the scope "
        "`workflow`, or a GitHub App with write access to workflows",
    ),
    (
        r"not permitted to create or approve pull requests",
        "the repository does not let GitHub Actions open pull requests",
        "allow it in Settings, Actions, General, Workflow permissions; or use another token",
    ),
    (
        r"rate limit|HTTP 429|abuse detection",
        "GitHub accepts no more requests for a while",
        "wait a few minutes",
    ),
    (
        r"HTTP 403|Resource not accessible by|Must have admin rights|Permission to \S+ denied",
        "the token is not allowed to do this",
        "give the workflow's job the permissions `contents: write` and `pull-requests: write`, "
        "or use a token with the scope `repo`",
    ),
    (
        r"Could not resolve to a Repository|HTTP 404|Repository not found",
        "this token cannot see it on GitHub: it is private, or its name is wrong",
        "use a token that can see the repository (`gh auth status` shows whose it is)",
    ),
    (
        r"error connecting to|dial tcp|no such host|Could not resolve host|connection refused"
        r"|Connection timed out|i/o timeout|network is unreachable|unexpected EOF|\bEOF$",
        "GitHub cannot be reached",
        "check the network",
    ),
    (
        r"HTTP 5\d\d|502 Bad Gateway|503 Service",
        "GitHub itself is having problems",
        "wait a few minutes",
    ),
)


def cure_of_text(said: str) -> Cure | None:
    """The cure for a command's error message; None if it is unknown."""
    for pattern, meaning, then in _OF_GITHUB:
        if re.search(pattern, said, re.IGNORECASE | re.MULTILINE):
            return Cure(meaning, then)
    return None


_OF_GIT = (
    (
        r"gpg failed to sign|ssh signing|[Ll]oad (public )?key|unable to sign the tag",
        "git's setting {what}.gpgsign asks for a signature, and signing failed",
        "make sure the key is on this machine (git's setting user.signingKey), or turn "
        "signing off: `git config {what}.gpgsign false`",
    ),
    (
        r"could not open '.*MERGE_HEAD'",
        "a hook ended the merge before it was committed",
        "turn hooks off in these tasks: `git config carto-fork.hooks false`",
    ),
    (
        r"does not have a GPG signature|has an? (bad|untrusted) GPG signature",
        "git's setting merge.verifySignatures needs a signature that upstream's commit lacks",
        "check whether upstream signs its releases, or turn the check off: "
        "`git config merge.verifySignatures false`",
    ),
    (
        r"does not support --signed push",
        "git's setting push.gpgSign asks for signed pushes, which the remote does not support",
        "sign only if the remote supports it:  `git config push.gpgSign if-asked`",
    ),
    (
        r"cannot lock ref '(?P<what>[^']+)': '(?P<path>[^']+)' exists",
        "git cannot keep {what} next to {path}",
        "rename {path} in its repository (git branch -m)",
    ),
    (
        r"(?P<path>.+): (smudge|clean) filter (?P<what>\S+) failed",
        "git's filter {what} failed on {path}",
        "install what the filter needs, or turn filters off in these tasks and get files as "
        "git stores them:  `git config carto-fork.filters false`",
    ),
)


def cure_of_git(said: str, hook: str) -> Cure | None:
    """The cure for a git command's error message; None if it is unknown.

    hook: the path of the hook that failed; "" if none did.
    """
    if hook:
        return Cure(
            f"the hook {hook} refused",
            "fix what it complains about, or turn hooks off in these tasks: "
            "`git config carto-fork.hooks false`",
        )
    for pattern, *cure in _OF_GIT:
        if match := re.search(pattern, said):
            what = {"what": "tag" if "the tag" in said else "commit"} | match.groupdict()
            path = what.get("path", "").removeprefix("fatal: ").removeprefix("error: ")
            return Cure(*(text.format_map(what | {"path": path}) for text in cure))
    return None
