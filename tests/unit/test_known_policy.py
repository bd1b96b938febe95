"""Where a fork's policy is found, whatever its branches and remotes are called."""

from __future__ import annotations

from pathlib import Path

import pytest

from carto_fork.fork import fork, policy
from carto_fork.fork.fork import Fork
from repository import Repo
from world import shell

TEXT = """
name = "{name}"
remotes.origin = {{ name = "{origin}", url = "https://github.com/acme/thing.git" }}
remotes.upstream = {{ name = "theirs", url = "https://github.com/things/thing.git" }}
branches = {{ mirror = "main", upstream = "main", production = "{production}", sync = "s/{{tag}}" }}
messages = {{ merge = "merge", version = "version" }}
tags = []
"""


def text(name: str, production: str = "prod", origin: str = "ours") -> str:
    said = TEXT.format(name=name, production=production, origin=origin)
    said = said.replace('mirror = "main"', 'mirror = "old"') if production == "main" else said
    return said.replace('"theirs"', '"them"') if origin == "theirs" else said


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    """A clone whose checkout shows the mirror."""
    repo = Repo.new(tmp_path / "thing", "main")
    repo.commit({"README.md": "thing\n"})
    for name in ("ours", "theirs"):
        repo.git("remote", "add", name, f"https://github.com/{name}/thing.git")
    return repo


def follow(repo: Repo, ref: str, said: str) -> None:
    """Put a policy on a remote-tracking branch, as if it had been fetched."""
    commit = repo.on("scratch", "main").commit({policy.POLICY_FILE: said}, ref)
    repo.on("main").git("update-ref", f"refs/remotes/{ref}", commit)
    repo.git("branch", "-D", "scratch")


def opened(repo: Repo) -> Fork:
    return fork.open_fork(shell(), repo.path)


def test_the_default_policy_applies_without_a_policy_file(repo: Repo) -> None:
    found = opened(repo)
    assert (found.policy.name, found.draft, found.loaded.is_default) == ("CARTO", "", True)


def test_the_policy_on_the_branch_that_it_names_as_production_applies(repo: Repo) -> None:
    follow(repo, "ours/feature/x", text("Of a feature"))
    follow(repo, "ours/prod", text("Acme"))
    follow(repo, "ours/old", "no policy at all")
    assert opened(repo).policy.name == "Acme"


def test_upstream_may_be_a_fork_with_a_policy_of_its_own(repo: Repo) -> None:
    follow(repo, "theirs/prod", text("Things", origin="origin"))
    assert opened(repo).policy.name == "CARTO"
    follow(repo, "ours/prod", text("Acme"))
    assert opened(repo).policy.name == "Acme"


def test_a_git_setting_chooses_the_branch_of_the_policy(repo: Repo) -> None:
    follow(repo, "ours/prod", text("Acme"))
    follow(repo, "ours/next", text("Next", production="next"))
    repo.git("config", "carto-fork.production", "next")
    assert opened(repo).policy.name == "Next"


def test_a_policy_that_upstream_adds_does_not_become_the_forks(repo: Repo) -> None:
    """Neither next to a production branch without a policy, checked out or not, nor next to another
    policy."""
    evil = text("Evil", production="carto/main", origin="theirs")
    repo.git("remote", "add", "origin", "https://github.com/CartoDB/litellm.git")
    repo.git("update-ref", "refs/remotes/origin/carto/main", "main")
    follow(repo, "theirs/carto/main", evil)
    repo.on("main").commit({policy.POLICY_FILE: evil})
    for setting in ("", "carto/main", "origin/carto/main"):
        if setting:
            repo.git("config", "carto-fork.production", setting)
        found = opened(repo)
        assert (found.policy.name, found.draft, found.problem) == ("CARTO", "", None), setting


def test_a_person_chooses_between_two_policies_that_name_their_own_branch(repo: Repo) -> None:
    """Upstream's branch is mirrored on the fork, and has a policy that names the mirror."""
    follow(repo, "ours/main", text("Evil", production="main"))
    follow(repo, "ours/prod", text("Acme"))
    problem = opened(repo).problem
    assert problem and problem.what.startswith("ours/main and ours/prod each hold a policy")
    for setting in ("prod", "ours/prod"):
        repo.git("config", "carto-fork.production", setting)
        assert opened(repo).policy.name == "Acme"
    follow(repo, "theirs/prod", text("Evil", origin="theirs"))
    assert opened(repo).policy.name == "Acme"
    repo.git("config", "carto-fork.production", "prod")
    assert opened(repo).problem


def test_the_checked_out_policy_applies_without_a_production_branch(repo: Repo) -> None:
    repo.on("prod", "main").commit({policy.POLICY_FILE: text("Acme")})
    repo.git("switch", "--quiet", "--detach")
    repo.git("branch", "-D", "prod")
    assert opened(repo).policy.name == "Acme"


def test_an_uncommitted_policy_applies_until_a_branch_has_one(repo: Repo) -> None:
    (repo.path / policy.POLICY_FILE).write_text(text("Draft"))
    found = opened(repo)
    assert (found.policy.name, found.draft) == ("Draft", text("Draft"))
    assert found.at(shell(), repo.git("rev-parse", "main")).policy.name == "Draft"
    follow(repo, "ours/prod", text("Acme"))
    (repo.path / policy.POLICY_FILE).write_text(text("Draft"))
    found = opened(repo)
    assert (found.policy.name, found.draft) == ("Acme", "")


def test_an_invalid_draft_policy_is_reported(repo: Repo) -> None:
    (repo.path / policy.POLICY_FILE).write_text("name = 1\n")
    found = opened(repo)
    assert found.problem and "carto_fork.toml, which is on no branch yet: " in found.problem.what


def test_a_committed_but_unpublished_policy_applies(repo: Repo) -> None:
    """Its production branch on origin has none: the default policy is another fork's."""
    repo.git("update-ref", "refs/remotes/ours/prod", "main")
    repo.on("prod", "main").commit({policy.POLICY_FILE: text("Acme")})
    found = opened(repo)
    assert found.policy.name == "Acme"
    assert found.at(shell(), repo.git("rev-parse", "ours/prod")).policy.name == "Acme"
