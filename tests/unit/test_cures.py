"""What GitHub's refusals mean, in the words that git and gh use."""

from __future__ import annotations

import pytest

from carto_fork.run.github import cure


@pytest.mark.parametrize(
    ("said", "then"),
    [
        ("/bin/sh: 1: exec: gh: not found", "install it"),
        ("To get started with GitHub CLI, please run:  gh auth login", "gh auth login"),
        ("gh: Bad credentials (HTTP 401)", "gh auth login"),
        (
            "! [remote rejected] x -> x (refusing to allow a Personal Access Token to create or "
            "update workflow `.github/workflows/a.yml` without `workflow` scope)",
            "--scopes workflow",
        ),
        (
            "refusing to allow a GitHub App to create or update workflow `.github/workflows/a.yml` "
            "without `workflows` permission",
            "write access to workflows",
        ),
        (
            "pull request create failed: GraphQL: GitHub Actions is not permitted to create or "
            "approve pull requests (createPullRequest)",
            "Workflow permissions",
        ),
        ("gh: Resource not accessible by integration (HTTP 403)", "contents: write"),
        ("HTTP 403: API rate limit exceeded for user ID 1.", "wait some minutes"),
        (
            "GraphQL: Could not resolve to a Repository with the name 'CartoDB/x'. (repository)",
            "can see the repository",
        ),
        ("gh: Not Found (HTTP 404)", "can see the repository"),
        ("error connecting to api.github.com\ncheck your internet connection", "network"),
        ('Post "https://api.github.com/graphql": dial tcp: lookup api.github.com', "network"),
        ("HTTP 502: Bad Gateway (https://api.github.com/graphql)", "wait a little"),
    ],
)
def test_each_refusal_has_its_cure(said: str, then: str) -> None:
    found = cure(said)
    assert found and then in found.then


def test_an_unknown_error_gets_no_cure() -> None:
    assert cure("fatal: the remote end hung up") is None
