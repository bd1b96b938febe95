"""What error messages of git and gh mean, and how to fix the cause."""

from __future__ import annotations

import re
from typing import NamedTuple

from .shell import Answer


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


def of_text(said: str) -> Cure | None:
    """The cure for a command's error message; None if it is unknown."""
    for pattern, meaning, then in _OF_GITHUB:
        if re.search(pattern, said, re.IGNORECASE | re.MULTILINE):
            return Cure(meaning, then)
    return None


_OF_GIT = (
    (
        r"gpg failed to sign|ssh signing|[Ll]oad (public )?key|unable to sign the tag",
        Cure(
            "git's setting {what}.gpgsign asks for a signature, and signing failed",
            "make sure the key is on this machine (git's setting user.signingKey), or turn "
            "signing off: `git config {what}.gpgsign false`",
        ),
    ),
    (
        r"could not open '.*MERGE_HEAD'",
        Cure(
            "a hook ended the merge before it was committed",
            "turn hooks off in these tasks: `git config carto-fork.hooks false`",
        ),
    ),
    (
        r"does not have a GPG signature|has an? (bad|untrusted) GPG signature",
        Cure(
            "git's setting merge.verifySignatures needs a signature that upstream's commit lacks",
            "check whether upstream signs its releases, or turn the check off: "
            "`git config merge.verifySignatures false`",
        ),
    ),
    (
        r"does not support --signed push",
        Cure(
            "git's setting push.gpgSign asks for signed pushes, which the remote does not support",
            "sign only if the remote supports it:  `git config push.gpgSign if-asked`",
        ),
    ),
    (
        r"cannot lock ref '(?P<what>[^']+)': '(?P<path>[^']+)' exists",
        Cure(
            "git cannot keep {what} next to {path}",
            "rename {path} in its repository (git branch -m)",
        ),
    ),
    (
        r"(?P<path>.+): (smudge|clean) filter (?P<what>\S+) failed",
        Cure(
            "git's filter {what} failed on {path}",
            "install what the filter needs, or turn filters off in these tasks and get files as "
            "git stores them:  `git config carto-fork.filters false`",
        ),
    ),
)


def of_git(answer: Answer) -> Cure | None:
    """The cure for a git command's error message; None if it is unknown."""
    if answer.hook:
        return Cure(
            f"the hook {answer.hook} refused",
            "fix what it complains about, or turn hooks off in these tasks: "
            "`git config carto-fork.hooks false`",
        )
    for pattern, cure in _OF_GIT:
        if match := re.search(pattern, answer.err):
            what = {"what": "tag" if "the tag" in answer.err else "commit"} | match.groupdict()
            path = what.get("path", "").removeprefix("fatal: ").removeprefix("error: ")
            return Cure(*(text.format_map(what | {"path": path}) for text in cure))
    return None
