"""The cures for error messages of GitHub and git, in the words of git and gh."""

from __future__ import annotations

import pytest

from carto_fork.run.errors import cure_of_git, cure_of_text


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
        ("HTTP 403: API rate limit exceeded for user ID 1.", "wait a few minutes"),
        (
            "GraphQL: Could not resolve to a Repository with the name 'CartoDB/x'. (repository)",
            "can see the repository",
        ),
        ("gh: Not Found (HTTP 404)", "can see the repository"),
        ("error connecting to api.github.com\ncheck your internet connection", "network"),
        ('Post "https://api.github.com/graphql": dial tcp: lookup api.github.com', "network"),
        ("HTTP 502: Bad Gateway (https://api.github.com/graphql)", "wait a few minutes"),
    ],
)
def test_each_refusal_has_its_cure(said: str, then: str) -> None:
    found = cure_of_text(said)
    assert found and then in found.then


def test_an_unknown_error_gets_no_cure() -> None:
    assert cure_of_text("fatal: the remote end hung up") is None


@pytest.mark.parametrize(
    ("said", "hook", "meaning", "then"),
    [
        ("no-such-tool: not found", "/c/.husky/pre-commit", "/c/.husky/pre-commit", "hooks false"),
        (
            "error: gpg failed to sign the data\nfatal: failed to write commit object",
            "",
            "setting commit.gpgsign",
            "`git config commit.gpgsign false`",
        ),
        (
            "error: gpg failed to sign the data\nerror: unable to sign the tag",
            "",
            "setting tag.gpgsign",
            "`git config tag.gpgsign false`",
        ),
        (
            "fatal: could not open '/c/.git/MERGE_HEAD' for reading: No such file or directory",
            "",
            "a hook ended the merge",
            "`git config carto-fork.hooks false`",
        ),
        (
            "fatal: Commit 2cdcdb4 does not have a GPG signature.",
            "",
            "setting merge.verifySignatures",
            "`git config merge.verifySignatures false`",
        ),
        (
            "fatal: the receiving end does not support --signed push",
            "",
            "setting push.gpgSign",
            "`git config push.gpgSign if-asked`",
        ),
        (
            "[404] Object does not exist on the server\nfatal: a b.bin: smudge filter lfs failed",
            "",
            "git's filter lfs failed on a b.bin",
            "`git config carto-fork.filters false`",
        ),
        (
            "error: cannot lock ref 'refs/heads/a/b': 'refs/heads/a' exists; cannot create",
            "",
            "cannot keep refs/heads/a/b next to refs/heads/a",
            "rename refs/heads/a",
        ),
    ],
)
def test_a_hook_a_filter_and_a_setting_are_named(
    said: str, hook: str, meaning: str, then: str
) -> None:
    """https://github.com/typicode/husky/issues/913, https://github.com/git-lfs/git-lfs/issues/4967,
    https://github.com/git-lfs/git-lfs/issues/2173,
    https://github.com/ember-cli/ember-cli-update/issues/1115,
    https://github.com/cyanheads/git-mcp-server/issues/58,
    https://github.com/lint-staged/lint-staged/issues/756,
    https://github.com/semantic-release/git/issues/525"""
    found = cure_of_git(said, hook)
    assert found and meaning in found.meaning and then in found.then
    assert cure_of_git("fatal: something else", "") is None
