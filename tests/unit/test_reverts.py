"""Syncs that were reverted, as a whole or in part, and syncs that brought nothing."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from carto_fork.fork import policy
from carto_fork.fork.fork import Fork
from carto_fork.merge.reverted import reverted_sync
from carto_fork.run import git
from carto_fork.run.git import Refs
from repository import Files, Repo
from world import shell

OLD = {f"src/{number}": f"{number} before\n" for number in range(9)}
NEW = {path: text.replace("before", "after") for path, text in OLD.items()}
MINE = {"own": "tenant = 1\n"}
REVERTED = "Revert 'Merge'\n\nThis reverts commit {}, reversing\nchanges made to {}.\n"


def some(files: Files, *numbers: int) -> Files:
    return {f"src/{number}": files[f"src/{number}"] for number in numbers}


@pytest.mark.parametrize(
    ("files", "message", "expected"),
    [
        (OLD, "back to what it was", 9),
        # In part: git's message names the sync, or several files are as before and nothing else is.
        (some(OLD, 1, 2), REVERTED, 2),
        ({**some(OLD, 1), "more": "x\n"}, REVERTED, 1),
        (some(OLD, 1, 2, 3), "not yet", 3),
        # The fork's decision: about a file or two, an upstream commit, a new file, its own work.
        (some(OLD, 1, 2), "as we had it", 0),
        (some(OLD, 1, 2, 3), "This reverts commit {1}.", 0),
        ({"new/1": None, "new/2": None, "new/3": None}, "not for us", 0),
        ({**some(OLD, 1, 2), **MINE}, "bring the tenant back", 0),
        ({**some(OLD, 1, 2, 3), "more": "x\n"}, "another way", 0),
        ({**OLD, **MINE, "more": "x\n"}, "back to what it was, and more", 10),
    ],
)
def test_a_reverted_sync_is_found(
    tmp_path: Path, files: Files, message: str, expected: int
) -> None:
    repo, sh = Repo.new(tmp_path / "repo"), shell()
    repo.commit({**OLD, "own": "tenant = 0\n"})
    repo.on("theirs", "base")
    theirs = repo.commit({**NEW, "own": "tenant = 2\n", "new/1": "", "new/2": "", "new/3": ""})
    before = repo.on("ours", "base").commit(MINE)
    sync = repo.merge("theirs", {"own": "tenant = 2\n"})
    fork = Fork(git.open_repository(sh, repo.path), {}, Refs({}, {}), policy.load_policy())
    tag = "v1.76.5-stable"
    assert reverted_sync(sh, fork, sync, {tag: theirs}) is None
    taken = repo.commit(files, message.format(sync, theirs if "{1}" in message else before))
    found = reverted_sync(sh, fork, repo.commit({"later": "x\n"}), {tag: theirs})
    assert (len(found.gone) if found else 0) == expected
    assert not found or (found.commit.name, found.brought) == (taken, 13)
    assert not found or found.others == (("more",) if "more" in files else ())


def test_a_sync_that_several_commits_reverted_is_found(tmp_path: Path) -> None:
    repo, sh = Repo.new(tmp_path / "repo"), shell()
    repo.commit(OLD)
    theirs = repo.on("theirs", "base").commit(NEW)
    repo.on("ours", "base").commit(MINE)
    repo.merge("theirs")
    fork = Fork(git.open_repository(sh, repo.path), {}, Refs({}, {}), policy.load_policy())
    first = repo.commit(some(OLD, 1, 2))
    repo.commit({"later": "x\n"})
    second = repo.commit(some(OLD, 3, 4))
    tag = "v1.76.5-stable"
    assert reverted_sync(sh, fork, second, {tag: theirs}) is None  # the fork's decision: a few
    third = repo.commit(some(OLD, 5))
    found = reverted_sync(sh, fork, third, {tag: theirs})
    assert found and [c.name for c in (found.commit, *found.older)] == [third, second, first]
    assert len(found.gone) == 5 and "and 2 older commits reverted the sync" in found.said
    repo.git(*found.undone(fork).split()[3:])
    assert reverted_sync(sh, fork, repo.git("rev-parse", "HEAD"), {tag: theirs}) is None


@pytest.mark.parametrize(("said", "found"), [("3 after", False), ("4 after", True)])
def test_what_people_dropped_line_by_line_is_not_reverted(
    tmp_path: Path, said: str, found: bool
) -> None:
    """A small release brings little, so that one file is most of it."""
    repo, sh = Repo.new(tmp_path / "repo"), shell()
    repo.commit({**OLD, "own": "tenant = 0\n"})
    theirs = repo.on("theirs", "base").commit({"src/3": "3 after\n{\n", "more": "x\n"})
    repo.on("ours", "base").commit(MINE)
    repo.merge("theirs")
    repo.commit(some(OLD, 3), "fix: not for us")
    lines = f'lines = ["3 before", "{said}"]\n'
    drop = f'[[drop]]\npath = "src/3"\nreason = "x"\nside = "upstream"\n{lines}'
    tip = repo.commit({"carto_drops.toml": drop})
    fork = Fork(git.open_repository(sh, repo.path), {}, Refs({}, {}), policy.load_policy())
    assert (reverted_sync(sh, fork, tip, {"v1.76.5-stable": theirs}) is not None) == found


def test_an_earlier_reverted_sync_is_still_missing(tmp_path: Path) -> None:
    repo, sh = Repo.new(tmp_path / "repo"), shell()
    repo.commit(OLD)
    first = repo.on("theirs", "base").commit(NEW)
    second = repo.commit({"more": "x\n"})
    repo.on("ours", "base").commit(MINE)
    repo.merge(first)
    taken = repo.commit(OLD)
    fork = Fork(git.open_repository(sh, repo.path), {}, Refs({}, {}), policy.load_policy())
    merged = {"v1.76.5-stable": first, "v1.76.6-stable": second}
    found = reverted_sync(sh, fork, repo.merge("theirs"), merged)
    assert found and (found.commit.name, found.release.name) == (taken, "v1.76.5-stable")


# --- Syncs that brought nothing -------------------------------------------------------------------

TAG = "v1.76.5-stable"
THEIRS = {**NEW, "own": "tenant = 0\n\n\n\nmore = 1\n"}
THEIRS |= dict.fromkeys(["new/1", "new/2", "new/3"], "x\n")


def prepared(path: Path) -> tuple[Repo, Fork, dict[str, str]]:
    """A fork with a change of its own that lacks a release, and that release's tag."""
    repo = Repo.new(path / "repo")
    repo.commit({**OLD, "own": "tenant = 0\n\n\n\n"})
    theirs = repo.on("theirs", "base").commit(THEIRS)
    repo.on("ours", "base").commit({"own": "tenant = 1\n\n\n\n"})
    fork = Fork(git.open_repository(shell(), repo.path), {}, Refs({}, {}), policy.load_policy())
    return repo, fork, {TAG: theirs}


def on_a_branch(repo: Repo) -> str:
    repo.on("sync", "ours").merge("theirs", {}, "-s", "ours")
    repo.commit({"pyproject.toml": 'version = "1.76.5"\n', "mine": "x\n"})
    return repo.on("ours").merge("sync")


def all_taken_from_the_fork(repo: Repo) -> str:
    repo.git("merge", "--no-commit", "theirs", ok=False)
    repo.git("restore", "--source=HEAD", "--staged", "--worktree", ".")
    return repo.commit(some(NEW, 1))


def directly(repo: Repo) -> str:
    return repo.merge("theirs", {}, "-s", "ours")


@pytest.mark.parametrize(
    ("merge", "gone"), [(on_a_branch, 12), (all_taken_from_the_fork, 11), (directly, 12)]
)
def test_a_sync_that_brought_nothing_is_found(
    tmp_path: Path, merge: Callable[[Repo], str], gone: int
) -> None:
    """And the command that it names brings what is missing, besides the fork's own work."""
    repo, fork, merged = prepared(tmp_path)
    sync = merge(repo)
    found = reverted_sync(shell(), fork, sync, merged)
    assert found and found == reverted_sync(shell(), fork, repo.commit({"later": "x\n"}), merged)
    assert (found.commit.name, len(found.gone), found.brought) == (sync, gone, 13)
    assert f"merged {TAG} but kept the fork's files: {gone} of the 13 files" in found.said
    subprocess.run(["sh", "-c", found.undone(fork)], check=True, capture_output=True)
    tip = repo.git("rev-parse", "HEAD")
    assert reverted_sync(shell(), fork, tip, merged) is None
    assert {path: repo.text(path) for path in THEIRS} == {
        **THEIRS,
        "own": "tenant = 1\n\n\n\nmore = 1\n",
    }
    assert repo.git("log", "-1", "--format=%s", "HEAD^2") == f"chore: bring what {TAG} changed"


DROPS = "".join(f'[[drop]]\npath = "{path}"\nreason = "x"\nside = "upstream"\n' for path in OLD)


@pytest.mark.parametrize(
    "files",
    [
        # Recorded after a squash, or after upstream's commits were picked.
        {**THEIRS, "own": "tenant = 1\n"},
        some(NEW, 0, 1, 2, 3, 4),
        # The fork's own versions, or its choice: deleted, dropped, another place.
        {path: "mine\n" for path in OLD},
        dict.fromkeys(OLD),
        {"carto_drops.toml": DROPS},
        {path.replace("src", "lib"): text for path, text in OLD.items()} | dict.fromkeys(OLD),
        # Hardly any file is left.
        {path: "mine\n" for path in some(OLD, 0, 1, 2, 3, 4, 5, 6)},
    ],
)
def test_a_merge_that_had_nothing_to_bring_is_no_finding(tmp_path: Path, files: Files) -> None:
    repo, fork, merged = prepared(tmp_path)
    repo.commit(files)
    assert reverted_sync(shell(), fork, directly(repo), merged) is None


def test_what_upstream_itself_took_back_is_not_missing(tmp_path: Path) -> None:
    """In a later release, which landed with the first one or after it."""
    repo, fork, merged = prepared(tmp_path)
    newer = repo.on("theirs").commit({**OLD, "other": "x\n"})
    merged |= {"v1.76.6-stable": newer}
    both = repo.on("both", "ours").merge("theirs", {})
    assert reverted_sync(shell(), fork, both, merged) is None
    repo.on("ours").merge(merged[TAG], {}, "-s", "ours")
    assert reverted_sync(shell(), fork, repo.merge("theirs", {}), merged) is None


def test_an_earlier_sync_that_brought_nothing_is_still_missing(tmp_path: Path) -> None:
    repo, fork, merged = prepared(tmp_path)
    newer = repo.on("theirs").commit({"more": "x\n"})
    sync = repo.on("ours").merge(merged[TAG], {}, "-s", "ours")
    tip = repo.merge("theirs")
    found = reverted_sync(shell(), fork, tip, {**merged, "v1.76.6-stable": newer})
    assert found and (found.commit.name, found.release.name) == (sync, TAG)
