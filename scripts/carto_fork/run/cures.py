"""What git and gh say when GitHub does not let them, and what helps. Pure."""

from __future__ import annotations

import re
from typing import NamedTuple


class Cure(NamedTuple):
    """What a message means, and what to do about it."""

    meaning: str
    then: str


_LOG_IN = "type `gh auth login`; in GitHub Actions set GH_TOKEN for the step"
_KNOWN = (
    (
        r"exec: \S+: not found|gh: command not found",
        Cure(
            "gh, GitHub's command line program, is not installed",
            "install it: https://cli.github.com",
        ),
    ),
    (
        r"gh auth login|HTTP 401|Bad credentials|GH_TOKEN environment variable",
        Cure("gh is not logged in, or its token is no longer valid", _LOG_IN),
    ),
    (
        r"refusing to allow .* to (create or )?update workflow"
        r"|without `workflows?` (scope|permission)",
        Cure(
            "the token may not change workflow files, and upstream's release changes some",
            "type `gh auth refresh --scopes workflow`; for automation use a token with the scope "
            "`workflow`, or a GitHub App with write access to workflows",
        ),
    ),
    (
        r"not permitted to create or approve pull requests",
        Cure(
            "the repository does not let GitHub Actions open pull requests",
            "allow it in Settings, Actions, General, Workflow permissions; or use another token",
        ),
    ),
    (
        r"rate limit|HTTP 429|abuse detection",
        Cure("GitHub takes no more requests for a while", "wait some minutes"),
    ),
    (
        r"HTTP 403|Resource not accessible by|Must have admin rights|Permission to \S+ denied",
        Cure(
            "the token is not allowed to do this",
            "give the workflow's job the permissions `contents: write` and `pull-requests: write`, "
            "or use a token with the scope `repo`",
        ),
    ),
    (
        r"Could not resolve to a Repository|HTTP 404|Repository not found",
        Cure(
            "GitHub shows this token no such thing: it is private, or its name is wrong",
            "use a token that can see the repository (`gh auth status` tells whose it is)",
        ),
    ),
    (
        r"error connecting to|dial tcp|no such host|Could not resolve host|connection refused"
        r"|Connection timed out|i/o timeout|network is unreachable|unexpected EOF|\bEOF$",
        Cure("GitHub cannot be reached", "check the network"),
    ),
    (
        r"HTTP 5\d\d|502 Bad Gateway|503 Service",
        Cure("GitHub has trouble of its own", "wait a little"),
    ),
)


def cure(said: str) -> Cure | None:
    """What helps against what a command said; None where it is not known."""
    return next(
        (
            found
            for pattern, found in _KNOWN
            if re.search(pattern, said, re.IGNORECASE | re.MULTILINE)
        ),
        None,
    )
