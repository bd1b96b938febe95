"""Which commits in the fork's history are upstream's, although no branch of upstream's has them."""

from __future__ import annotations

from pathlib import Path

import pytest

from carto_fork.audit import healing
from carto_fork.fork import lineage, policy
from carto_fork.fork.fork import Fork
from carto_fork.fork.records import TAGS_FILE, Pin, add_pin
from carto_fork.merge import authorship, hunks
from carto_fork.merge.syncs import Lost
from carto_fork.run import git
from carto_fork.run.shell import Shell
from repository import Repo
from world import shell

TAG, NEXT = "v1.76.5-stable", "v1.76.6-stable"


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    """Upstream's `main`, a tag on a branch of patches that it lacks, and the fork's `ours`."""
    repo = Repo.new(tmp_path / "repo", "main")
    repo.commit({"f": "1\n"})
    repo.on("patches", "main").commit({"f": "patched\n"})
    repo.git("tag", TAG)
    repo.on("main").commit({"new": "x\n"})
    repo.git("update-ref", "refs/remotes/upstream/main", "main")
    repo.git("remote", "add", "upstream", str(tmp_path / "upstream"))
    repo.on("ours", "main~").commit({"own": "tenant\n"})
    return repo


def upstream_has(repo: Repo, *tags: str) -> None:
    there = repo.path.with_name("upstream")
    repo.git("init", "--quiet", "--bare", str(there))
    repo.git("push", "--quiet", str(there), *(f"refs/tags/{tag}" for tag in tags))


def merge(repo: Repo, other: str, subject: str) -> str:
    repo.merge(other)
    repo.git("commit", "--quiet", "--amend", "-m", subject)
    return repo.git("rev-parse", "HEAD")


def fork_in(repo: Repo, sh: Shell) -> Fork:
    repository, settings = git.open_repository(sh, repo.path), git.config(sh, repo.path)
    return Fork(repository, settings, git.refs(sh, repo.path), policy.load_policy())


def heads(repo: Repo, *, offline: bool = False) -> set[str]:
    """The tags that count as upstream's."""
    sh = shell()
    sh.offline = offline
    fork = fork_in(repo, sh)
    found = set(lineage.upstream_heads(sh, fork, repo.git("rev-parse", "ours")))
    assert repo.git("rev-parse", "refs/remotes/upstream/main") in found
    return {tag for tag in fork.refs.tags() if fork.refs.tag(tag) in found}


@pytest.mark.parametrize(
    "subject", [f"Merge tag '{TAG}'", f"Merge tag 'refs/tags/{TAG}' into ours", f"chore: {TAG}"]
)
def test_a_release_from_a_branch_of_patches_is_upstreams(repo: Repo, subject: str) -> None:
    merge(repo, TAG, subject)
    upstream_has(repo, TAG)
    assert heads(repo) == {TAG}


def test_the_next_release_of_the_same_branch_is_upstreams(repo: Repo) -> None:
    """Both grew from the same patches."""
    merge(repo, TAG, f"Merge tag '{TAG}'")
    repo.on("patches").commit({"f": "patched again\n"})
    repo.git("tag", "-a", NEXT, "-m", "annotated")
    merge(repo.on("ours"), NEXT, f"Merge tag '{NEXT}'")
    upstream_has(repo, TAG, NEXT)
    assert heads(repo) == {TAG, NEXT}


def test_its_lines_are_nobodys_work_in_the_fork(repo: Repo) -> None:
    merge(repo, TAG, f"Merge tag '{TAG}'")
    upstream_has(repo, TAG)
    sh, ours, theirs = shell(), repo.git("rev-parse", "ours"), repo.git("rev-parse", "main")
    own = authorship.of_fork(sh, fork_in(repo, sh), ours, theirs)
    assert set(own.paths) == {"own"}
    assert "patched" not in own.lines


@pytest.mark.parametrize(
    "subject", ["Merge branch 'feature'", f"Merge tag '{TAG}-1'", f"Merge {TAG}.1", f"x{TAG}"]
)
def test_a_tag_that_the_merge_does_not_name_is_the_forks(repo: Repo, subject: str) -> None:
    """Upstream can tag any commit of the fork's."""
    merge(repo, TAG, subject)
    upstream_has(repo, TAG)
    assert heads(repo) == set()


def test_a_tag_that_upstream_does_not_have_is_the_forks(repo: Repo) -> None:
    """As the first patch that a fork releases by itself, on top of what upstream released."""
    merge(repo, TAG, f"Merge tag '{TAG}'")
    assert heads(repo) == set()  # nobody answers
    repo.git("tag", NEXT, "main")
    upstream_has(repo, NEXT)
    assert heads(repo) == {NEXT}


def test_a_tag_that_upstream_moved_is_the_forks(repo: Repo) -> None:
    merge(repo, TAG, f"Merge tag '{TAG}'")
    was = repo.git("rev-parse", TAG)
    repo.git("tag", "--force", TAG, "main")
    upstream_has(repo, TAG)
    repo.git("tag", "--force", TAG, was)
    assert heads(repo) == set()


@pytest.mark.parametrize("is_own_beginning", [False, True])
def test_a_tag_that_did_not_grow_from_upstreams_history_is_the_forks(
    repo: Repo, is_own_beginning: bool
) -> None:
    """It grew from the fork's commits, or from nothing that we know."""
    start = ("--orphan", "fix") if is_own_beginning else ("--create", "fix", "ours")
    repo.git("switch", "--quiet", *start)
    repo.commit({"fix": "x\n"})
    repo.git("tag", NEXT)
    repo.on("ours").commit({"more": "x\n"})
    repo.merge(NEXT, None, "--allow-unrelated-histories")
    repo.git("commit", "--quiet", "--amend", "-m", f"Merge tag '{NEXT}'")
    upstream_has(repo, NEXT)
    assert heads(repo) == set()


def test_what_the_fork_recorded_is_not_asked(repo: Repo) -> None:
    pin = Pin(repo.git("rev-parse", TAG), repo.git("rev-parse", TAG))
    repo.commit({TAGS_FILE: add_pin(None, TAG, pin)})
    merge(repo, TAG, f"Merge tag '{TAG}'")
    assert heads(repo, offline=True) == {TAG}


def test_a_record_of_another_commit_outranks_upstream(repo: Repo) -> None:
    other = repo.git("rev-parse", "main")
    repo.commit({TAGS_FILE: add_pin(None, TAG, Pin(other, other))})
    merge(repo, TAG, f"Merge tag '{TAG}'")
    upstream_has(repo, TAG)
    assert heads(repo) == set()


# --- A release that landed without its history ---------------------------------------------------

STATED = {"pyproject.toml": '[project]\nversion = "1.76.5"\n'}


def squash(repo: Repo, *, record: bool) -> None:
    """The release's files on `ours`, in a commit with one parent."""
    commit = repo.git("rev-parse", TAG)
    pin = {TAGS_FILE: add_pin(None, TAG, Pin(commit, commit))} if record else STATED
    repo.on("ours").commit({"f": "patched\n", **pin})


@pytest.mark.parametrize("is_recorded", [True, False])
def test_a_release_whose_history_is_lost_is_upstreams(repo: Repo, is_recorded: bool) -> None:
    """An upgrade fetches only its tag, so no branch of the upstream remote has it here."""
    squash(repo, record=is_recorded)
    assert heads(repo, offline=True) == ({TAG} if is_recorded else set())
    upstream_has(repo, TAG)
    assert heads(repo) == {TAG}


def test_a_release_whose_history_was_restored_is_upstreams(repo: Repo) -> None:
    squash(repo, record=True)
    sync, commit = repo.git("rev-parse", "ours"), repo.git("rev-parse", TAG)
    lost = Lost(hunks.Commit(sync, "2026-01-01", "sync"), commit, 0, ())
    repo.git("merge", "-s", "ours", "-m", healing.values(lost)["heal_message"], TAG)
    assert heads(repo, offline=True) == {TAG}


def test_a_commit_of_the_forks_that_it_records_as_a_release_is_the_forks(repo: Repo) -> None:
    repo.on("fix", "ours").commit({"fix": "x\n"})
    repo.git("tag", "--force", TAG)
    squash(repo, record=True)
    upstream_has(repo, TAG)
    assert heads(repo) == set()


# --- A fork that is ahead of what it merges ------------------------------------------------------


def is_to_keep(repo: Repo, theirs: str) -> set[str]:
    """The paths that the fork has to keep when it merges a tag."""
    repo.git("update-ref", "refs/remotes/upstream/main", "main")
    sh, ours = shell(), repo.git("rev-parse", "ours")
    own = authorship.of_fork(sh, fork_in(repo, sh), ours, repo.git("rev-parse", theirs))
    return set(own.paths)


def test_what_a_release_lacks_of_upstreams_newer_work_is_kept(repo: Repo) -> None:
    """Taking the release's side would take it back."""
    repo.merge("main")
    assert is_to_keep(repo, TAG) == {"own", "new"}
    assert is_to_keep(repo, "main") == {"own"}


def test_a_newer_release_supersedes_the_patches_of_an_older_one(repo: Repo) -> None:
    merge(repo, TAG, f"Merge tag '{TAG}'")
    repo.on("main").commit({"f": "rewritten\n"})
    repo.git("tag", NEXT)
    upstream_has(repo, TAG)
    assert is_to_keep(repo, NEXT) == {"own"}
    repo.on("ours")
    repo.merge("main", {"f": "rewritten\n"})
    assert is_to_keep(repo, TAG) == {"own", "new", "f"}  # back to an older release


def test_what_came_between_two_releases_is_kept_if_the_newer_one_lacks_it(repo: Repo) -> None:
    repo.on("main").commit({"later": "x\n"})
    repo.on("ours")
    merge(repo, TAG, f"Merge tag '{TAG}'")
    repo.merge("main", {"f": "patched\n"})
    repo.on("patches").commit({"f": "patched again\n"})
    repo.git("tag", NEXT)
    upstream_has(repo, TAG, NEXT)
    assert is_to_keep(repo, NEXT) == {"own", "new", "later"}
