"""`branch.start` and `branch.pr`: branches for changes, and their pull requests."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from carto_standin.github import Fault, GitHub
from carto_standin.state import Pull
from world import World, commit_in, elsewhere, message, push_as_colleague, shim

PULLS = "https://github.com/CartoDB/litellm/pull"
FEATURE = "invoke branch.start --name my-fix"


def feature(world: World, *subjects: str, name: str = "x") -> None:
    """Create a branch from production with these commits, and check it out."""
    world.git(f"switch --quiet --no-track -c feature/{name} origin/carto/main")
    for subject in subjects or ("feat: x",):
        world.git("commit --quiet --allow-empty -m", subject)


def pulls(github: GitHub) -> list[Pull]:
    with github.open() as opened:
        return opened.origin().state.pulls


def on_origin(world: World, name: str = "feature/x") -> str:
    return world.refs(world.origin).get(f"refs/heads/{name}", "")


def test_a_pull_request_corrects_a_policy_that_is_not_valid(world: World, github: GitHub) -> None:
    push_as_colleague(world, {"carto_fork.toml": "name = [\n"})
    world.git("fetch --quiet origin")
    feature(world, name="policy")
    stopped = world.run("branch.pr")
    assert (stopped.code, "not valid TOML" in stopped.err) == (1, True)
    (world.fork / "carto_fork.toml").write_text('extends = "carto-litellm"\n')
    world.git("commit --quiet --all -m 'fix: a valid policy'")
    done = world.run("branch.pr --title 'fix: a valid policy'")
    assert (done.code, done.err) == (0, "")
    assert [pull.head for pull in pulls(github)] == ["feature/policy"]


def test_a_release_that_somebody_merged_by_hand_is_checked_before_it_is_published(
    world: World, github: GitHub
) -> None:
    assert world.run("upgrade-carto --tag v1.76.5 --no-tests --no-push").code == 0
    world.git("switch --quiet --no-track -c feature/hand upstream-sync/v1.76.5^{commit}")
    good = world.git("rev-parse HEAD")
    world.git("rm --quiet litellm/router.py")
    world.git("commit --quiet -m 'fix: tidy up'")
    done = world.run("branch.pr --title 'feat: v1.76.5'")
    assert (done.code, on_origin(world, "feature/hand"), pulls(github)) == (4, "", [])
    assert "lost: " in done.err and "verify --tag v1.76.5 --drop PATH --reason WHY`" in done.err
    world.git(f"reset --quiet --hard {good}")
    done = world.run("branch.pr --title 'feat: v1.76.5'")
    assert done.code == 0, done.err
    assert "feature/hand brings v1.76.5: merge it with a merge commit, never squash" in done.out


def test_away_from_github_the_branch_is_published_and_its_way_named(world: World) -> None:
    commit_in(world, world.origin, "refs/heads/carto/main", {"carto_fork.toml": elsewhere(world)})
    world.git("fetch --quiet origin")
    feature(world, "feat: x", "fix: y")
    assert world.run("next").out.startswith("invoke branch.pr\n")
    done = world.run("branch.pr")
    assert done.code == 0, done.err
    assert on_origin(world) == world.git("rev-parse HEAD")
    command = done.out.rpartition("Next: ")[2]
    assert world.run("next").out.startswith(command)
    assert world.paste(command).code == 0
    assert on_origin(world, "carto/main") == world.git("rev-parse HEAD")


# --- feature --------------------------------------------------------------------------------


def test_a_feature_starts_from_origins_production(world: World) -> None:
    new = push_as_colleague(world, {"new.py": "x = 1\n"})
    (world.fork / "0.txt").write_text("mine\n")
    _, here, origin, upstream = world.everything()
    done = world.run("branch.start --name my-fix")
    assert (done.code, done.err) == (0, "")
    assert done.out.endswith(
        "feature/my-fix is checked out, at origin's carto/main.\n"
        "Next: commit the change, then invoke branch.pr\n"
    )
    assert world.git("rev-parse HEAD") == new
    assert world.git("branch --show-current") == "feature/my-fix"
    assert world.git("status --porcelain") == "?? 0.txt"
    after = world.everything()
    assert after[1] == {**here, "refs/heads/feature/my-fix": new}
    assert after[2:] == (origin, upstream)
    assert "branch.feature/my-fix" not in world.git("config --list")


def test_a_feature_can_start_in_another_work_tree(world: World) -> None:
    world.git("worktree add --quiet --detach ../other")
    done = world.run("branch.start --repo ../other --name feature/my-fix")
    assert (done.code, done.err) == (0, "")
    other = world.place / "other"
    assert world.git("branch --show-current", repo=other) == "feature/my-fix"
    assert world.git("branch --show-current") == "carto/main"


def test_dry_starts_nothing(world: World) -> None:
    before = world.everything()
    done = world.run("--dry branch.start --name my-fix")
    assert (done.code, done.err) == (0, "")
    switch = "git switch --no-track -c feature/my-fix refs/remotes/origin/carto/main\n"
    assert done.out.endswith(switch)
    assert world.everything() == before


@pytest.mark.parametrize(
    "name",
    ["a b", "..", "x.lock", "a..b", "~x", "x@{1}", "é", "a;b", "$(id)", "/x", "x/", "\n"],
)
def test_an_invalid_branch_name_is_refused(world: World, name: str) -> None:
    before = world.everything()
    done = world.run("branch.start", f"--name={name}")
    assert (done.code, done.out) == (1, "")
    assert "is not a valid branch name here." in done.err
    assert world.everything() == before


def test_feature_is_refused_without_a_name(world: World) -> None:
    assert world.run("branch.start").err == message("--name is missing.", FEATURE, title="Usage")


@pytest.mark.parametrize("line", ["branch.pr", "branch.start --name other"])
def test_a_branch_is_not_started_while_commits_are_on_no_branch(world: World, line: str) -> None:
    world.git("checkout --quiet --detach")
    world.git("commit --quiet --allow-empty -m 'fix: mine'")
    before = world.everything()
    done = world.run(line)
    what = "HEAD is detached, and 1 commit is on no branch."
    assert (done.code, done.err) == (1, message(what, "invoke branch.recover"))
    assert world.everything() == before
    assert world.run("branch.recover").code == 0


def test_feature_is_refused_if_the_branch_exists(world: World) -> None:
    world.git("branch feature/mine")
    world.git("branch feature/theirs main", repo=world.origin)
    before = world.everything()
    assert world.run("branch.start --name mine").err == message(
        "the branch feature/mine exists already, here.",
        "git switch feature/mine, or choose another --name.",
    )
    assert world.run("branch.start --name theirs").err == message(
        "the branch feature/theirs exists already, on origin.",
        "git fetch origin && git switch feature/theirs, or choose another --name.",
    )
    assert world.everything() == before


@pytest.mark.parametrize("path", ["README.md", "new/a.py"])
def test_feature_is_refused_if_the_switch_would_lose_changes(world: World, path: str) -> None:
    push_as_colleague(world, {"README.md": "theirs\n", "new/a.py": "x = 1\n"})
    (world.fork / path).parent.mkdir(exist_ok=True)
    (world.fork / path).write_text("mine\n")
    before = world.everything()
    done = world.run("branch.start --name my-fix")
    assert done.code == 1
    assert f"switching branches would lose uncommitted changes in {path}." in done.err
    assert world.everything() == before


def test_feature_keeps_other_uncommitted_changes(world: World) -> None:
    push_as_colleague(world, {"README.md": "theirs\n"})
    (world.fork / "LICENSE").write_text("mine\n")
    assert world.run("branch.start --name my-fix").code == 0
    assert (world.fork / "LICENSE").read_text() == "mine\n"
    assert (world.fork / "README.md").read_text() == "theirs\n"


def test_feature_is_refused_during_a_merge(world: World) -> None:
    world.git("merge --quiet --no-ff --no-commit --strategy ours origin/main")
    done = world.run("branch.start --name my-fix")
    assert done.code == 1
    assert "a merge is in progress in" in done.err


# --- pr -------------------------------------------------------------------------------------


def test_pr_takes_title_and_body_from_the_only_commit(world: World, github: GitHub) -> None:
    feature(world)
    world.git("commit --quiet --amend --allow-empty -m 'feat(ui): x' -m 'Because of `y`.'")
    _, here, origin, upstream = world.everything()
    done = world.run("branch.pr")
    assert (done.code, done.err) == (0, "")
    view = "Next: gh pr view 1 -R CartoDB/litellm\n"
    assert done.out.endswith(f"\nPull request: {PULLS}/1\n{view}")
    [pull] = pulls(github)
    assert (pull.title, pull.body) == ("feat(ui): x", "Because of `y`.")
    assert (pull.head, pull.base, pull.draft) == ("feature/x", "carto/main", False)
    after = world.everything()
    assert after[1] == here and after[3] == upstream
    assert {ref for ref in after[2].keys() - origin.keys() if "/pull/" not in ref} == {
        "refs/heads/feature/x"
    }
    assert on_origin(world) == here["refs/heads/feature/x"]


def test_pr_updates_a_pull_request_that_is_open(world: World, github: GitHub) -> None:
    feature(world)
    assert world.run("branch.pr --draft --title 'fix: other (#3)'").code == 0
    world.git("commit --quiet --allow-empty -m 'fix: more'")
    done = world.run("branch.pr")
    assert (done.code, done.err) == (0, "")
    view = "Next: gh pr view 1 -R CartoDB/litellm\n"
    assert done.out.endswith(f"\nPull request, open already: {PULLS}/1\n{view}")
    [pull] = pulls(github)
    assert (pull.title, pull.draft) == ("fix: other (#3)", True)
    assert on_origin(world) == world.git("rev-parse HEAD") == pull.head_oid


def test_pr_prints_its_result_as_json(world: World, github: GitHub) -> None:
    feature(world)
    expected = {
        "head": "feature/x",
        "base": "carto/main",
        "title": "feat: x",
        "number": 1,
        "url": f"{PULLS}/1",
    }
    assert json.loads(world.run("branch.pr --json").out) == expected | {"opened": True}
    assert json.loads(world.run("branch.pr --json").out) == expected | {"opened": False}


HOSTILE = "fix: `x` @CartoDB/team <img src=x> ${{ secrets.A }} $(touch pwned) '; touch pwned"


def test_several_commits_need_a_title(world: World, github: GitHub, tmp_path: Path) -> None:
    feature(world, "feat: a", HOSTILE)
    assert "the branch has 2 commits" in world.run("branch.pr").err
    world.git("commit --quiet --allow-empty -m 'docs: c'")
    before = world.everything()
    stopped = world.run("branch.pr")
    assert (stopped.code, stopped.out) == (2, "")
    assert "the branch has 3 commits" in stopped.err and "add --title" in stopped.err
    assert world.everything() == before
    assert world.run("branch.pr --title 'feat: all of it'").code == 0
    [pull] = pulls(github)
    assert pull.body.splitlines()[0] == "- feat: a"
    assert len(pull.body.splitlines()) == 3
    assert not re.search(r"@\w|(?<!\\)<|\$\{\{", pull.body)
    assert not list(world.place.rglob("pwned"))


def test_a_hostile_title_is_used_unchanged(world: World, github: GitHub) -> None:
    feature(world, HOSTILE)
    assert world.run("branch.pr").code == 0
    [pull] = pulls(github)
    assert pull.title == HOSTILE
    assert not list(world.place.rglob("pwned"))


def test_pr_reads_the_body_from_a_file(world: World, github: GitHub, tmp_path: Path) -> None:
    feature(world)
    missing = world.run(f"branch.pr --body-file {tmp_path}/none.md")
    assert missing.code == 1
    assert "cannot be read" in missing.err
    (tmp_path / "body.md").write_text("--draft\n\n*Why* 'not'\n")
    assert world.run(f"branch.pr --body-file {tmp_path}/body.md").code == 0
    [pull] = pulls(github)
    assert (pull.body, pull.draft) == ("--draft\n\n*Why* 'not'\n", False)


def test_dry_opens_nothing(world: World, github: GitHub) -> None:
    feature(world)
    before = world.everything()
    done = world.run("--dry branch.pr")
    assert (done.code, done.err) == (0, "")
    assert world.everything() == before and pulls(github) == []
    assert world.paste(done.out).code == 0
    assert [pull.title for pull in pulls(github)] == ["feat: x"]


def test_pr_notes_uncommitted_changes(world: World, github: GitHub) -> None:
    feature(world)
    (world.fork / "LICENSE").write_text("mine\n")
    done = world.run("branch.pr")
    assert done.code == 0
    assert "Note: 1 file with uncommitted changes" in done.out


def test_pr_accepts_only_a_base_that_origin_has(world: World, github: GitHub) -> None:
    world.git("branch next carto/main", repo=world.origin)
    feature(world)
    assert world.run("branch.pr --base next").code == 0
    assert [pull.base for pull in pulls(github)] == ["next"]
    done = world.run("branch.pr --base nope")
    assert done.code == 1
    assert "origin has no branch nope" in done.err
    assert world.run("branch.pr", "--base=--upload-pack=x").code == 1


# --- Refusals -------------------------------------------------------------------------------


def refused(world: World, github: GitHub, line: str = "branch.pr") -> str:
    before = world.everything()
    done = world.run(line)
    assert (done.code, done.out) == (1, "")
    assert world.everything() == before
    assert pulls(github) == []
    return done.err


def test_pr_refuses_the_mirror_as_base(world: World, github: GitHub) -> None:
    feature(world)
    assert refused(world, github, "branch.pr --base main") == message(
        "main only mirrors upstream: a change merged there blocks `sync-main` and never reaches "
        "carto/main.",
        "leave out --base: the pull request then goes to carto/main.",
    )


def test_pr_is_refused_on_a_branch_that_is_not_a_feature(world: World, github: GitHub) -> None:
    start = f"start one: {FEATURE}"
    what = "the branch checked out is carto/main, the production branch."
    assert refused(world, github) == message(what, start)
    world.git("switch --quiet -c main origin/main")
    what = "the branch checked out is main, the mirror of upstream."
    assert refused(world, github) == message(what, start)
    world.git("switch --quiet --detach")
    assert "no branch is checked out in" in refused(world, github)
    world.git("switch --quiet -c upstream-sync/v1.76.5 origin/carto/main")
    again = "invoke upgrade-carto --tag v1.76.5"
    what = f"upstream-sync/v1.76.5 is a sync branch, which `{again}` publishes."
    assert refused(world, github) == message(what, again)


@pytest.mark.parametrize("title", ["what is this", "feat:x", "feat: a\nb"])
def test_pr_refuses_an_unconventional_title(world: World, github: GitHub, title: str) -> None:
    feature(world)
    done = world.run("branch.pr", f"--title={title}")
    assert (done.code, done.out) == (1, "")
    assert "is not a conventional commit subject" in done.err
    assert on_origin(world) == "" and pulls(github) == []


def test_pr_says_how_to_word_commits_that_the_guard_stops(world: World, github: GitHub) -> None:
    """A title alone would open a pull request whose check fails."""
    feature(world, "fix: a")
    (world.fork / "NOTE.md").write_text("Our note.\n")
    world.git("add NOTE.md")
    world.git("commit --quiet -m 'Some change'")
    name = world.git("rev-parse --short=10 HEAD")
    stops = "Guard lets only those into carto/main."
    amend = "git commit --amend --only -m 'fix: Some change'"
    for line in ("branch.pr", "branch.pr --title 'chore: something'"):
        assert world.run(line).err == message(
            f"{name} (Some change) is not a conventional commit; {stops}",
            f"`{amend}`, with the type that fits; then run `invoke {line}` again.",
        )
    assert world.run("branch.pr --draft --title 'chore: not finished'").code == 0  # says so itself
    assert world.call(["gh", "pr", "close", "1", "-R", "CartoDB/litellm"]).code == 0
    stopped = world.run("branch.pr").err
    assert world.paste(amend).code == 0
    assert "; `git push --force-with-lease origin feature/x`; then run `" in stopped
    world.paste("git push --force-with-lease origin feature/x")
    assert world.run("branch.pr --title 'feat: notes'").code == 0
    assert world.run("ci.guard").code == 0


def test_pr_says_how_to_leave_out_upstreams_development(world: World, github: GitHub) -> None:
    feature(world)
    world.git("fetch --quiet upstream")
    world.git("merge --quiet --strategy ours --no-edit upstream/main")
    world.git("commit --quiet --allow-empty -m 'fix: more'")
    commits = world.git("rev-list --count --no-merges origin/carto/main..HEAD")
    why = json.loads(world.run("next --json").out)["why"]
    done = world.run("branch.pr --title 'feat: x'")
    assert (done.code, on_origin(world), pulls(github)) == (1, "", [])
    assert "from upstream's main; only stable releases are merged; Guard does not let" in done.err
    line = re.search(r"`git (rebase .*)` leaves it out; then", done.err)
    assert line
    bad = world.git("rev-parse HEAD")
    world.git(line[1])
    assert world.run("branch.pr --title 'feat: x'").code == 0
    assert [pull.head for pull in pulls(github)] == ["feature/x"]
    # Also once its pull request is open, and if another branch brings it.
    world.git(f"switch --quiet --detach {bad}")
    world.git("switch --quiet feature/x")
    world.git(f"merge --quiet --no-edit {bad}")
    again = world.run("branch.pr")
    assert (again.code, "brings" in again.err) == (1, True)
    ways = re.search(r"`git (rebase .*)` leaves it out; `git (push .*)`; then", again.err)
    assert ways
    world.git(ways[1])
    world.git(ways[2])
    assert world.run("branch.pr").code == 0
    assert why.startswith(f"feature/x has {commits} commits that carto/main lacks")


def test_pr_refuses_conflict_markers(world: World, github: GitHub) -> None:
    """Guard would stop them only after a review was asked for."""
    feature(world)
    world.git("fetch --quiet upstream")
    (world.fork / "NOTE.md").write_text("<<<<<<< HEAD\nours\n=======\ntheirs\n>>>>>>> v1\n")
    world.git("add NOTE.md")
    world.git("commit --quiet -m 'docs: notes'")
    done = world.run("branch.pr --title 'docs: notes'")
    assert (done.code, on_origin(world), pulls(github)) == (1, "", [])
    assert done.err == message(
        "NOTE.md has conflict markers in lines 1, 5; Guard does not let that into carto/main.",
        "resolve that here, and commit it; then run "
        "`invoke branch.pr --title 'docs: notes'` again.",
    )
    assert world.run("branch.pr --draft --title 'docs: notes'").code == 0  # it is not finished


def test_away_from_github_what_the_hook_stops_is_not_published(world: World) -> None:
    push_as_colleague(world, {"carto_fork.toml": elsewhere(world)})
    world.git("fetch --quiet --no-tags origin")
    feature(world, "fix: a")
    (world.fork / "NOTE.md").write_text("Our note.\n")
    world.git("add NOTE.md")
    world.git("commit --quiet -m 'Some change'")
    stopped = world.run("branch.pr").err
    assert "(Some change) is not a conventional commit; Guard lets only those into" in stopped
    assert on_origin(world) == ""
    amend = "git commit --amend --only -m 'fix: Some change'"
    assert f"Next: `{amend}`, with the type that fits" in " ".join(stopped.split())
    assert world.paste(amend).code == 0
    assert world.run("branch.pr").code == 0


def test_pr_names_the_first_of_several_commits_that_the_guard_stops(
    world: World, github: GitHub
) -> None:
    feature(world, "fix: a", "Older", "fix: newer", "Newest")
    older, newest = (world.git(f"rev-parse --short=10 HEAD~{n}") for n in (2, 0))
    stopped = world.run("branch.pr --title 'fix: all'").err
    start = world.git("rev-parse --short=10 HEAD~3")
    assert stopped == message(
        f"{newest} (Newest), {older} (Older) are not conventional commits; Guard lets only those "
        "into carto/main.",
        f"`git rebase --interactive {start}`, with `reword` in place of `pick`; then run "
        "`invoke branch.pr --title 'fix: all'` again.",
    )
    world.git("reset --quiet --hard HEAD~3")
    world.git("commit --quiet --allow-empty -m Newest -m Text.")
    stopped = world.run("branch.pr").err
    assert "`git commit --amend --only`, with a subject such as 'fix: Newest'; then" in stopped


def test_pr_is_refused_without_commits(world: World, github: GitHub) -> None:
    world.git("switch --quiet -c feature/x")
    assert "the branch has no commit that carto/main lacks." in refused(world, github)


def test_pr_is_refused_without_gh(world: World) -> None:
    feature(world)
    done = world.run("branch.pr")
    assert done.code == 1
    assert "is not installed." in done.err
    assert on_origin(world) == ""


# --- What gets in the way -------------------------------------------------------------------


def test_pr_does_not_force_push_over_other_commits(world: World, github: GitHub) -> None:
    """It never pushes by force."""
    theirs = push_as_colleague(world, {"a.py": "a = 1\n"}, "feature/x", "origin/carto/main")
    feature(world)
    done = world.run("branch.pr")
    assert done.code == 1
    assert "[rejected]" in done.err
    fetch = "fetch and merge origin's branch of that name, then run `invoke branch.pr` again"
    assert fetch in " ".join(done.err.split())
    assert on_origin(world) == theirs and pulls(github) == []


@pytest.mark.parametrize("what", [500, 422, "cut"])
def test_pr_continues_after_github_failed_once(
    world: World, github: GitHub, what: int | str
) -> None:
    feature(world)
    fault = Fault(match="PullRequestCreate", what=what)  # type: ignore[arg-type]
    github.faults = [fault]
    stopped = world.run("branch.pr")
    assert stopped.code == 1
    assert "`gh pr create " in stopped.err and "carto/main is as it was." in stopped.err
    assert "run `invoke branch.pr` again" in stopped.err
    assert github.faults == []
    done = world.run("branch.pr")
    assert (done.code, done.err) == (0, "")
    assert f"{PULLS}/1\n" in done.out
    assert [pull.title for pull in pulls(github)] == ["feat: x"]


@pytest.mark.parametrize("cut", ["kill -KILL $PPID $$", '"$GIT" "$@"; kill -KILL $PPID $$'])
def test_pr_continues_after_a_kill_at_the_push(world: World, github: GitHub, cut: str) -> None:
    feature(world)
    path = shim(world, f'case " $* " in *" push "*) {cut} ;; esac; exec "$GIT" "$@"')
    assert world.spawn("branch.pr", PATH=path).code == -9
    assert pulls(github) == []
    assert world.run("branch.pr").code == 0
    assert [pull.title for pull in pulls(github)] == ["feat: x"]


def test_pr_says_what_to_allow_if_the_token_may_not_open_one(world: World, github: GitHub) -> None:
    feature(world)
    no = "GitHub Actions is not permitted to create or approve pull requests"
    github.faults = [Fault(match="PullRequestCreate", what=403, message=no)]
    done = world.run("branch.pr")
    assert done.code == 1
    assert "Next: allow it in Settings, Actions, General, Workflow permissions" in done.err
