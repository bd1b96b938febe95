"""What the messages of git and gh mean, and what helps."""

from __future__ import annotations

import re
from typing import NamedTuple

from .shell import Answer


class Cure(NamedTuple):
    """What a message of git's or gh's means, and what to do about it."""

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
        "gh is not logged in, or its token is no longer valid",
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
        "GitHub takes no more requests for a while",
        "wait some minutes",
    ),
    (
        r"HTTP 403|Resource not accessible by|Must have admin rights|Permission to \S+ denied",
        "the token is not allowed to do this",
        "give the workflow's job the permissions `contents: write` and `pull-requests: write`, "
        "or use a token with the scope `repo`",
    ),
    (
        r"Could not resolve to a Repository|HTTP 404|Repository not found",
        "GitHub shows this token no such thing: it is private, or its name is wrong",
        "use a token that can see the repository (`gh auth status` tells whose it is)",
    ),
    (
        r"error connecting to|dial tcp|no such host|Could not resolve host|connection refused"
        r"|Connection timed out|i/o timeout|network is unreachable|unexpected EOF|\bEOF$",
        "GitHub cannot be reached",
        "check the network",
    ),
    (r"HTTP 5\d\d|502 Bad Gateway|503 Service", "GitHub has trouble of its own", "wait a little"),
)


def of_text(said: str) -> Cure | None:
    """What helps against what a command said; None where it is not known."""
    for pattern, meaning, then in _OF_GITHUB:
        if re.search(pattern, said, re.IGNORECASE | re.MULTILINE):
            return Cure(meaning, then)
    return None


_OF_GIT = (
    (
        r"gpg failed to sign|ssh signing|[Ll]oad (public )?key|unable to sign the tag",
        Cure(
            "git's setting {what}.gpgsign asks for a signature, and none was made",
            "see that the key is here (git's setting user.signingKey), or do without: "
            "`git config {what}.gpgsign false`",
        ),
    ),
    (
        r"could not open '.*MERGE_HEAD'",
        Cure(
            "a hook has ended the merge that was to be committed",
            "do without hooks in these tasks: `git config carto-fork.hooks false`",
        ),
    ),
    (
        r"does not have a GPG signature|has an? (bad|untrusted) GPG signature",
        Cure(
            "git's setting merge.verifySignatures asks for one that upstream's commit lacks",
            "see whether upstream signs its releases, or merge without: "
            "`git config merge.verifySignatures false`",
        ),
    ),
    (
        r"does not support --signed push",
        Cure(
            "git's setting push.gpgSign asks for what the remote does not know",
            "sign where it can be: `git config push.gpgSign if-asked`",
        ),
    ),
    (
        r"cannot lock ref '(?P<what>[^']+)': '(?P<path>[^']+)' exists",
        Cure(
            "git cannot have {what} beside {path}",
            "rename {path} in its repository (git branch -m)",
        ),
    ),
    (
        r"(?P<path>.+): (smudge|clean) filter (?P<what>\S+) failed",
        Cure(
            "git's filter {what} failed on {path}",
            "see that it has what it needs, or do without filters in these tasks, with files as "
            "git stores them: `git config carto-fork.filters false`",
        ),
    ),
)


def of_git(answer: Answer) -> Cure | None:
    """What helps against what a git command said; None if it is not known."""
    if answer.hook:
        return Cure(
            f"the hook {answer.hook} says no",
            "put right what it complains of, or do without hooks in these tasks: "
            "`git config carto-fork.hooks false`",
        )
    for pattern, known in _OF_GIT:
        if found := re.search(pattern, answer.err):
            what = {"what": "tag" if "the tag" in answer.err else "commit"} | found.groupdict()
            path = what.get("path", "").removeprefix("fatal: ").removeprefix("error: ")
            return Cure(*(text.format_map(what | {"path": path}) for text in known))
    return None
