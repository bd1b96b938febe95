"""`branch.recover` puts commits of a detached HEAD on a branch, and loses nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from world import World, message, shim

TAG = "v1.75.2"


@pytest.fixture
def detached(world: World) -> str:
    """Check out a tag instead of a branch, and make two commits; returns the newer one."""
    world.git("fetch --quiet upstream --tags")
    world.git("switch --quiet -c feature/x")
    world.git(f"checkout --quiet {TAG}")
    for name in ("one", "two"):
        (world.fork / f"{name}.txt").write_text(f"{name}\n")
        world.git(f"add {name}.txt")
        world.git(f"commit --quiet -m 'feat: {name}'")
    return world.git("rev-parse HEAD")


def head(world: World) -> str:
    return world.git("rev-parse --abbrev-ref HEAD")


def test_commits_on_a_detached_head_are_kept_on_a_branch(world: World, detached: str) -> None:
    branch = f"recovery/{detached[:10]}"
    before = world.everything()
    dry = world.run("branch.recover --dry")
    assert (dry.code, dry.err) == (0, "")
    lines = [line for line in dry.out.splitlines() if not line.startswith("#")]
    assert lines == [
        f"git branch --no-track {branch} {detached} &&",
        "git switch --no-guess feature/x",
    ]
    assert world.everything() == before

    done = world.run("branch.recover")
    assert (done.code, done.err) == (0, "")
    assert done.out == (
        "1/2 branch    Keep the commits on a branch of their own.\n"
        f"    $ git branch --no-track {branch} {detached}\n"
        "2/2 back      Go back to a branch; uncommitted changes come along.\n"
        "    $ git switch --no-guess feature/x\n"
        f"2 commits kept on {branch}.\n"
        "feature/x is checked out.\n"
        f"Next: git log HEAD..{branch}\n"
    )
    assert world.git(f"rev-parse {branch}") == detached
    assert head(world) == "feature/x"
    again = world.run("branch.recover")
    assert (again.code, again.out) == (0, "Nothing to recover.\n")


def test_pasted_dry_output_recovers_the_commits(world: World, detached: str) -> None:
    dry = world.run("branch.recover --dry --name kept")
    done = world.paste(dry.out)
    assert done.code == 0, done.err
    assert world.git("rev-parse kept") == detached
    assert head(world) == "feature/x"


def test_recover_prints_its_result_as_json(world: World, detached: str) -> None:
    done = world.run("branch.recover --name kept --json")
    assert json.loads(done.out) == {
        "stray": {"commit": detached, "date": "2025-09-30", "subject": "feat: two", "commits": 2},
        "branch": "kept",
        "back": "feature/x",
        "left_behind": [],
    }
    nothing = json.loads(world.run("branch.recover --json").out)
    assert nothing == {"stray": None, "branch": "", "back": "", "left_behind": []}


def test_recover_without_commits_only_returns_to_a_branch(world: World) -> None:
    world.git("checkout --quiet --detach")
    refs = world.refs(world.fork)
    done = world.run("branch.recover")
    assert done.out.splitlines()[-1] == "carto/main is checked out."
    assert world.refs(world.fork) == refs
    assert head(world) == "carto/main"


def test_recover_creates_production_if_it_is_only_on_origin(world: World) -> None:
    world.git("checkout --quiet --detach")
    world.git("branch --quiet -D carto/main")
    done = world.run("branch.recover")
    assert done.code == 0, done.err
    assert "    $ git switch --no-guess -c carto/main --track origin/carto/main\n" in done.out
    assert head(world) == "carto/main"


def test_recover_avoids_a_branch_checked_out_in_another_work_tree(world: World) -> None:
    world.git("switch --quiet -c feature/x")
    world.git("checkout --quiet --detach")
    world.git("worktree add --quiet ../other feature/x")
    assert world.run("branch.recover").code == 0
    assert head(world) == "carto/main"
    world.git("checkout --quiet --detach")
    world.git("worktree add --quiet ../more carto/main")
    done = world.run("branch.recover")
    assert done.code == 1
    assert done.err == message(
        "carto/main is checked out in another work tree, and no other branch was checked out here "
        "before.",
        "check out a branch yourself: git switch BRANCH",
    )


def test_uncommitted_changes_come_along(world: World, detached: str) -> None:
    (world.fork / "LICENSE").write_text("changed\n")
    (world.fork / "new.txt").write_text("new\n")
    assert world.run("branch.recover").code == 0
    assert (world.fork / "LICENSE").read_text() == "changed\n"
    assert (world.fork / "new.txt").read_text() == "new\n"
    assert head(world) == "feature/x"


@pytest.mark.parametrize("untracked", [False, True])
def test_recover_stops_if_uncommitted_changes_would_be_lost(
    world: World, detached: str, untracked: bool
) -> None:
    path = world.fork / ("carto_drops.toml" if untracked else "one.txt")
    path.write_text("mine\n")
    done = world.run("branch.recover")
    assert done.code == 1
    assert "would be overwritten by checkout" in done.err
    assert "The commits are safe; HEAD and your files are unchanged." in done.err
    assert path.read_text() == "mine\n"
    assert world.git("rev-parse HEAD") == detached
    assert world.git(f"rev-parse recovery/{detached[:10]}") == detached
    # Once the changes are put away, the same command continues.
    world.git("stash --quiet --include-untracked")
    again = world.run("branch.recover")
    assert (again.code, again.err) == (0, "")
    assert head(world) == "feature/x"


@pytest.mark.parametrize("what", ["merge", "rebase", "bisect"])
def test_recover_is_refused_during_a_merge_rebase_or_bisect(
    world: World, detached: str, what: str
) -> None:
    (world.fork / "one.txt").write_text("other\n")
    world.git("commit --quiet --all -m x")
    if what == "bisect":
        world.git("bisect start")
    else:
        world.git(f"checkout --quiet -B other {detached}~1")
        (world.fork / "one.txt").write_text("third\n")
        world.git("commit --quiet --all -m y")
        world.call(["git", what, "HEAD@{2}"])
    before = world.everything()
    done = world.run("branch.recover")
    assert done.code == 1
    end = "reset" if what == "bisect" else "--abort"
    assert done.err == message(
        f"a {what} is in progress in ../litellm.",
        f"finish it or give it up (`git {what} {end}`), then run `invoke branch.recover` again.",
    )
    assert world.everything() == before


def test_recover_refuses_an_invalid_or_taken_branch_name(world: World, detached: str) -> None:
    before = world.everything()
    for name in ("a..b", "-x", "x y", "HEAD~1"):
        done = world.run("branch.recover", f"--name={name}")
        assert done.code == 1
        assert done.err == message(
            f"{name!r} is not a valid branch name.", "choose another --name."
        )
    done = world.run("branch.recover --name carto/main")
    assert done.err.startswith("Refused: the branch carto/main exists already, at ")
    assert world.everything() == before
    # An existing branch at the same commit is used.
    world.git("branch kept")
    assert world.run("branch.recover --name kept").code == 0
    assert head(world) == "feature/x"


# --- Left behind ------------------------------------------------------------------------------


def test_commits_left_behind_are_listed_and_recovered(world: World, detached: str) -> None:
    world.git("checkout --quiet carto/main")
    before = world.everything()
    done = world.run("branch.recover")
    assert (done.code, done.err) == (0, "")
    assert done.out == (
        f"left behind: {detached[:10]} 2025-09-30 feat: two (2 commits)\n"
        f"Next: invoke branch.recover --commit {detached[:10]}\n"
    )
    assert world.run("branch.recover --dry").out.replace("# ", "") == done.out
    assert world.everything() == before

    done = world.run(f"branch.recover --commit {detached[:10]} --name kept")
    assert done.code == 0, done.err
    assert world.git("rev-parse kept") == detached
    assert head(world) == "carto/main"
    assert world.run("branch.recover").out == "Nothing to recover.\n"
    again = world.run(f"branch.recover --commit {detached[:10]}")
    assert (again.code, again.out.splitlines()[0]) == (
        0,
        f"{detached[:10]} is safe: kept contains it.",
    )


def test_a_commit_contained_in_another_is_not_listed_separately(
    world: World, detached: str
) -> None:
    world.git("checkout --quiet carto/main")
    world.git(f"checkout --quiet {detached}")
    world.git("commit --quiet --allow-empty -m 'feat: three'")
    last = world.git("rev-parse HEAD")
    world.git("checkout --quiet carto/main")
    left = json.loads(world.run("branch.recover --json").out)["left_behind"]
    assert [(each["commit"], each["commits"]) for each in left] == [(last, 3)]


def test_an_unknown_commit_is_refused(world: World) -> None:
    done = world.run("branch.recover --commit 0123456789")
    assert done.err == message(
        "this clone has no commit '0123456789'.", "name one that `git log` shows."
    )


def test_an_option_is_refused_as_a_commit(world: World) -> None:
    done = world.run("branch.recover --commit=--all")
    assert done.err == message(
        "this clone has no commit '--all'.", "name one that `git log` shows."
    )


def test_hostile_subjects_are_escaped(world: World) -> None:
    world.git("checkout --quiet --detach")
    world.git("commit --quiet --allow-empty -m", "feat: \x1b[31mred\x1b[0m $(touch pwned)")
    world.git("checkout --quiet carto/main")
    done = world.run("branch.recover")
    assert "\\x1b[31mred" in done.out
    assert "\x1b" not in done.out
    assert not (world.fork / "pwned").exists()


def test_recover_continues_after_a_kill_between_its_steps(world: World, detached: str) -> None:
    cut = 'case " $* " in *" switch "*) kill -9 $PPID $$;; esac; exec "$GIT" "$@"'
    path = shim(world, cut)
    done = world.spawn("branch.recover", PATH=path)
    assert done.code == -9
    assert world.git("rev-parse HEAD") == detached
    assert world.run("branch.recover").code == 0
    assert world.git(f"rev-parse recovery/{detached[:10]}") == detached
    assert head(world) == "feature/x"


def test_recover_works_in_a_linked_work_tree(world: World) -> None:
    world.git("worktree add --quiet --detach ../linked")
    linked = Path(world.place / "linked")
    world.git("commit --quiet --allow-empty -m 'feat: x'", repo=linked)
    commit = world.git("rev-parse HEAD", repo=linked)
    world.git("branch other")
    world.git("checkout --quiet other", repo=linked)
    world.git("checkout --quiet", commit, repo=linked)
    done = world.run("branch.recover", cwd=linked)
    assert done.code == 0, done.err
    assert world.git("rev-parse --abbrev-ref HEAD", repo=linked) == "other"
    assert world.git(f"rev-parse recovery/{commit[:10]}") == commit
    assert head(world) == "carto/main"
