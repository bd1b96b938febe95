"""`guide`: the procedures with this fork's values; `next`: the next command from any state."""

from __future__ import annotations

import json
import re
import shlex
import sys
from pathlib import Path

import pytest
from invoke.parser import Parser

from carto_fork.fork import policy
from carto_fork.health import guide
from carto_fork.tasks import namespace
from carto_standin.github import Fault, GitHub
from workflow import ADOPT
from world import INVOKE, ROOT, Done, World, commit_in, push_as_colleague, resolved_by_hand

TAG, STABLE = "v1.76.5", "v1.77.2-stable"
SYNC = f"upstream-sync/{TAG}"
FORK = "-R CartoDB/litellm"


def following(world: World, cwd: Path | None = None) -> tuple[str, str]:
    """The next command, and why; asserts that `status` prints the same."""
    before = world.everything()
    done = world.run("next", cwd=cwd)
    assert (done.code, done.err) == (0, "")
    command = [line for line in done.out.splitlines() if not line.startswith("# ")]
    why = [line.removeprefix("# ").strip() for line in done.out.splitlines() if line[:2] == "# "]
    assert len(command) <= 1
    # Only a command to paste, which is on a line of its own, may be longer.
    assert all(len(line) <= 78 or re.match(r"[`(]*(git|gh|invoke) ", line) for line in why)
    advice = "".join(command), " ".join(why)
    status = world.run("status --json", cwd=cwd)
    if status.code == 0:
        same = json.loads(status.out)["next"]
        # Long commands are on lines of their own there, without backticks and what follows them.
        said, whole = (re.sub("[`.,;:]", "", why) for why in (advice[1], same["why"]))
        assert (same["command"], whole) == (advice[0], said)
        advice = same["command"], same["why"]
    else:
        assert advice[0].startswith(("git clone ", "invoke next --repo litellm"))
    assert world.everything() == before
    return advice


def follow(world: World) -> Done:
    """Paste the next command."""
    return world.paste(following(world)[0])


# --- The next command ------------------------------------------------------------------------


@pytest.mark.slow
def test_next_merges_no_commit_that_was_pushed_after_the_approval(
    world: World, github: GitHub
) -> None:
    """GitHub keeps an approval, unless the branch's rules dismiss it."""
    world.git("tag --delete v1.75.2-carto.1.2.0", repo=world.origin)
    world.git("switch --quiet --no-track -c feature/x origin/carto/main")
    for subject in ("feat: x", "fix: x"):
        world.git("commit --quiet --allow-empty -m", subject)
        assert world.run("branch.pr --title 'feat: x'").code == 0
        if subject == "feat: x":
            assert world.call(f"gh pr review 1 --approve {FORK}".split()).code == 0
            assert following(world)[0] == f"gh pr merge 1 {FORK} --merge"
    command, why = following(world)
    assert command == f"gh pr view 1 {FORK}"
    assert why == (
        "Pull request 1 is approved, but not its newest commit, which is waiting for a review."
    )


@pytest.mark.slow
def test_next_moves_commits_on_the_local_production_branch_to_a_branch(
    world: World, github: GitHub
) -> None:
    world.git(f"tag -d {TAG} {STABLE}", repo=world.upstream)
    project = world.git("show origin/carto/main:pyproject.toml").replace("1.75.2.1", "1.75.2")
    push_as_colleague(world, {"pyproject.toml": f"{project}\n"})
    world.git("tag v1.75.2-carto.1.2.1 carto/main", repo=world.origin)
    world.git("pull --quiet --ff-only --tags origin carto/main")
    assert following(world)[0] == ""
    world.git("commit --quiet --allow-empty -m mine")
    mine = world.git("rev-parse HEAD")
    command, why = following(world)
    assert why.startswith("Your carto/main has 1 commit that origin lacks; this moves that to a")
    assert world.paste(command).code == 0
    assert world.git(f"rev-parse feature/on-carto-main-{mine[:7]}") == mine
    assert world.git("rev-parse carto/main") == world.git("rev-parse origin/carto/main")
    assert following(world)[0] == "invoke branch.pr"


@pytest.mark.slow
def test_next_says_if_github_does_not_answer(world: World, github: GitHub) -> None:
    """It neither opens a second pull request nor says that there is none."""
    assert world.run(f"upgrade-carto --tag {TAG} --no-tests").code == 0
    github.faults = [Fault(match="PullRequestList", what=502, times=99)]
    command, why = following(world)
    assert command.startswith("gh pr list -R CartoDB/litellm --head upstream-sync/")
    assert why.startswith("GitHub did not say whether this branch has a pull request.")
    github.faults = []
    assert following(world)[0].startswith("gh pr view 1 ")


@pytest.mark.slow
def test_next_leads_from_an_upstream_release_to_a_fork_release(
    world: World, github: GitHub
) -> None:
    """Type each command that `next` prints, as a person would, until nothing is left to do."""
    merge = f"gh pr merge 1 {FORK} --merge"
    assert following(world) == (
        f"invoke upgrade-carto --tag {STABLE}",
        "Upstream has a newer stable release.",
    )
    paused = follow(world)
    assert paused.code == 3
    command, why = following(world)
    assert command == f"invoke upgrade-carto --tag {STABLE}"
    left = f"2 conflicts left in ../litellm.upstream-sync-{STABLE}"
    does = "Resolve what is left; this lists it, and continues once nothing is."
    assert why == f"The upgrade to {STABLE} is not finished: {left}. {does}"
    # The upgrade sets the version that the fork bumped.
    assert json.loads(world.run("status --json").out)["problems"] == []
    for side, path in (("keep-fork", "Dockerfile"), ("accept-upstream", _LAYOUT)):
        world.run(f"resolve-conflicts --{side} {path} --reason 'It is right.'")
    again = f"invoke upgrade-carto --tag {STABLE}"
    command, why = following(world)
    assert command == again
    assert why == (
        f"The upgrade to {STABLE} is not finished; this continues it, or says what blocks it."
    )
    done = world.run(f"upgrade-carto --tag {STABLE} --no-tests --no-pr")
    assert done.code == 0, done.err
    command, why = following(world)
    assert command == f"invoke step.sync-pr --tag {STABLE}"
    assert why.startswith(f"upstream-sync/{STABLE} is published; this opens its pull request.")
    assert follow(world).code == 0
    command, why = following(world)
    assert command == f"gh pr view 1 {FORK}"
    assert why.startswith("Pull request 1 is waiting for a review; merge it with a merge commit")
    assert follow(world).code == 0
    assert world.call(f"gh pr review 1 --approve {FORK}".split()).code == 0
    command, why = following(world)
    assert command == merge
    assert why.startswith("Pull request 1 is approved; once its checks pass, this merges it with a")
    assert follow(world).code == 0
    assert following(world) == (
        "git fetch origin",
        "origin's carto/main has moved since this clone fetched.",
    )
    assert follow(world).code == 0
    assert following(world) == (
        "invoke release",
        f"carto/main contains {STABLE}, and the newest release is v1.75.2-carto.1.2.0. `invoke "
        f"verify --landed {STABLE}` says if all of it landed.",
    )
    assert follow(world).code == 0
    assert following(world)[0] == "git merge --ff-only origin/carto/main"
    assert follow(world).code == 0
    remove = f"git push origin --delete upstream-sync/{STABLE}"
    here = f"git branch -d upstream-sync/{STABLE}"
    nothing, local = (
        f"Nothing to do: carto/main contains {STABLE}.",
        "Landed, and still in this clone",
    )
    local += f": upstream-sync/{STABLE}; to remove it: `{here}`"
    assert following(world) == (
        "",
        f"{nothing} What has landed is still on origin as upstream-sync/{STABLE}; to remove it: "
        f"`{remove}`. {local}",
    )
    assert world.paste(remove).code == 0
    assert following(world) == ("", f"{nothing} {local}")
    assert world.paste(here).code == 0
    assert following(world) == ("", f"Nothing to do: carto/main contains {STABLE}.")


_LAYOUT = "ui/litellm-dashboard/src/app/layout.tsx"


@pytest.mark.slow
def test_conflicts_in_a_pull_request_are_finished_there(world: World, github: GitHub) -> None:
    assert world.run(f"ci.sync --no-tests --tag {STABLE}").code == 0
    left = (
        "invoke resolve-conflicts --pr 1",
        "Pull request 1 has conflicts left for you to resolve.",
    )
    assert following(world) == left
    assert follow(world).code == 3
    work = world.work(STABLE)
    place = f"../{work.name}"
    again = world.run("resolve-conflicts --pr 1").out
    assert f"git -C {place} add -- Dockerfile" in again and "git -C ~" not in again
    said = f"In {place}, 2 conflicts of pull request 1 are left for you to resolve."
    assert following(world) == (left[0], said)
    # What is resolved there and not committed is somebody's work: nothing suggests to remove it.
    resolved_by_hand(world, work)
    world.git(f"checkout --quiet {STABLE} -- Makefile", repo=work)
    said = f"What was resolved in {place} is not committed; this checks it, and updates "
    assert following(world) == (left[0], f"{said}pull request 1.")
    shown = world.run("status").out
    assert f"published to origin; resolved, not committed, in {place} " in " ".join(shown.split())
    assert "worktree remove" not in shown
    by_branch = f"invoke resolve-conflicts --pr upstream-sync/{STABLE}"
    found = json.loads(world.run("doctor --json --check leftovers --check conflicts").out)
    assert [one["then"] for one in found["findings"] if place in one["what"]] == [by_branch]
    refused = world.run(f"upgrade-carto --tag {STABLE}")
    assert (refused.code, refused.err.splitlines()[-1]) == (1, f"Next: {by_branch}")
    # What failed its checks is committed, and still belongs to the pull request.
    failed = follow(world)
    assert failed.code == 4 and "lost: " in failed.err
    said = json.loads(world.run("next --json").out)
    assert said["command"] == left[0]
    assert said["why"].startswith("The last check failed (lost: 2 fork changes in Makefile). ")
    [lost] = json.loads(world.run("doctor --json --check losses").out)["findings"]
    assert (lost["level"], lost["then"]) == ("look", "invoke next")
    assert said["why"].endswith("; then this checks it, and pushes it.")
    world.git(f"checkout --quiet origin/upstream-sync/{STABLE} -- Makefile", repo=work)
    world.git("commit --quiet -m 'chore: the Makefile, as it was merged'", repo=work)
    assert follow(world).code == 0
    why = following(world)[1]
    assert why.startswith("Pull request 1 is waiting for a review. ")
    untested = "Nothing has tested it since its conflicts were resolved"
    assert untested in why
    with github.open() as opened:  # as another clone ticks it that has run the tests
        pull = opened.origin().state.pulls[0]
        pull.body = pull.body.replace("- [ ] `make test-unit`", "- [x] `make test-unit`")
    assert untested not in following(world)[1]


def test_what_others_did_to_a_sync_branch_is_fetched_first(world: World) -> None:
    assert world.run(f"upgrade-carto --no-tests --no-pr --tag {TAG}").code == 0
    sync = f"upstream-sync/{TAG}"
    moved = commit_in(world, world.origin, f"refs/heads/{sync}", {"NOTES.md": "a\n"})
    tracking = f"refs/remotes/origin/{sync}"
    assert following(world) == (
        f"git fetch origin +refs/heads/{sync}:{tracking}",
        f"origin has {sync} with commits that this clone has not fetched.",
    )
    assert follow(world).code == 0
    assert world.git(f"rev-parse {tracking}") == moved
    world.git(f"update-ref -d refs/heads/{sync}", repo=world.origin)
    said = (f"git branch --delete --remotes origin/{sync}", f"origin no longer has {sync}.")
    assert following(world) == said
    assert follow(world).code == 0
    assert world.git(f"for-each-ref {tracking}") == ""


@pytest.mark.slow
def test_a_pull_request_that_a_person_closed_is_left_alone(world: World, github: GitHub) -> None:
    assert world.run(f"upgrade-carto --no-tests --tag {TAG}").code == 0
    assert world.call(f"gh pr close 1 {FORK}".split()).code == 0
    newer = f"invoke upgrade-carto --tag {STABLE}"
    assert following(world) == (newer, "Upstream has a newer stable release.")
    assert world.run(f"ci.sync --no-tests --tag {STABLE}").code == 0
    assert world.call(f"gh pr close 2 {FORK}".split()).code == 0
    # Nothing but a person can end a branch whose conflicts are left.
    again = (
        f"gh pr reopen 2 {FORK}",
        f"Pull request 2 for {STABLE} was closed with conflicts left to resolve; this opens it "
        "again.",
    )
    assert following(world) == again
    stopped = " ".join(world.run("resolve-conflicts --pr 2").err.split())
    assert f"Next: `{again[0]}`, then run `invoke resolve-conflicts --pr 2` again" in stopped
    anew = f"git push origin --delete upstream-sync/{STABLE}"
    ways = f"`invoke upgrade-carto --tag {STABLE} --abort`, then `{anew}`, then `{newer}`."
    assert stopped.endswith(f"make the upgrade anew: {ways}")
    assert follow(world).code == 0
    assert following(world)[0] == "invoke resolve-conflicts --pr 2"
    assert world.call(f"gh pr close 2 {FORK}".split()).code == 0
    with github.open() as opened:
        opened.origin().state.pulls[1].labels.clear()
    command, why = following(world)
    assert command == newer
    assert "Pull request 2 for it was closed; this opens another one. " in why
    abort = f"invoke upgrade-carto --tag {STABLE} --abort"
    assert why.endswith(f"For another merge, first `{abort}` and `{anew}`.")
    # With the branch gone on origin, too, the same merge would be published again.
    assert world.paste(anew).code == 0
    same = f"Pull request 2 for {STABLE} was closed. This publishes the same merge again; for "
    assert following(world) == (f"{newer} --no-tests", f"{same}another one, first `{abort}`.")
    assert world.paste(abort).code == 0
    assert world.run(f"upgrade-carto --no-tests --tag {STABLE}").code == 3  # its conflicts again


@pytest.mark.slow
def test_next_leads_a_feature_branch_to_its_merge(world: World, github: GitHub) -> None:
    assert world.run("branch.start --name mine").code == 0
    assert following(world)[1] == "Upstream has a newer stable release."
    world.git("commit --quiet --allow-empty -m 'fix: mine'")
    command, why = following(world)
    assert command == "invoke branch.pr"
    assert why.startswith("feature/mine has 1 commit that carto/main lacks; this publishes it")
    assert follow(world).code == 0
    view = (f"gh pr view 1 {FORK}", "Pull request 1 is waiting for a review.")
    assert following(world) == view
    (world.fork / "README.md").write_text("Ours.\n")
    assert following(world) == (
        "git commit --all",
        "On feature/mine, README.md is changed and not committed; then `invoke branch.pr`.",
    )
    world.git("commit --quiet --all -m 'fix: more'")
    assert following(world) == (
        "invoke branch.pr",
        "Pull request 1 differs from feature/mine here.",
    )
    assert follow(world).code == 0
    assert following(world) == view
    assert world.call(f"gh pr merge 1 {FORK} --merge".split()).code == 0
    assert following(world)[0] == "git fetch origin"
    assert follow(world).code == 0
    assert following(world)[1] == "Upstream has a newer stable release."


def quiet(world: World) -> None:
    """Remove upstream's newer releases, and set the version to that of the merged release."""
    world.git(f"--git-dir . tag -d {STABLE}", repo=world.upstream)
    project = world.git("show origin/carto/main:pyproject.toml") + "\n"
    mine = {"pyproject.toml": project.replace("1.75.2.1", "1.75.2")}
    commit_in(world, world.origin, "refs/heads/carto/main", mine)
    world.git("fetch --quiet origin")


@pytest.mark.slow
def test_next_suggests_releasing_updating_and_recovering_commits(
    world: World, github: GitHub
) -> None:
    """Unreleased fixes, a local branch that is behind, commits left on no branch."""
    world.git("fetch --quiet upstream main")
    quiet(world)
    assert world.git("rev-list --count v1.75.2-carto.1.2.0..origin/carto/main") == "1"
    assert following(world) == (
        "invoke release",
        "carto/main has 1 commit of its own since v1.75.2-carto.1.2.0.",
    )
    assert follow(world).code == 0
    assert following(world) == (
        "git merge --ff-only origin/carto/main",
        "Your carto/main is 1 commit behind origin's.",
    )
    assert follow(world).code == 0
    world.git("checkout --quiet --detach")
    world.git("commit --quiet --allow-empty -m 'fix: mine'")
    left = world.git("rev-parse HEAD")
    world.git("checkout --quiet carto/main")
    assert following(world) == (
        f"invoke branch.recover --commit {left[:10]}",
        "HEAD was detached, and 1 commit is on no branch.",
    )
    assert follow(world).code == 0
    assert following(world) == ("", "Nothing to do: carto/main contains v1.75.2-stable.")


def test_next_suggests_doctor_for_markers_on_production(world: World) -> None:
    quiet(world)
    bad = {"notes.md": "<<<<<<< ours\na\n=======\nb\n>>>>>>> theirs\n"}
    commit_in(world, world.origin, "refs/heads/carto/main", bad)
    world.git("fetch --quiet origin")
    world.git("fetch --quiet upstream")
    assert following(world)[0] == "invoke doctor"
    assert "conflict markers are committed" in " ".join(follow(world).out.split())


def test_a_revert_on_a_sync_branch_is_not_a_pull_request_being_resolved(world: World) -> None:
    """Both leave the same trace in the work tree."""
    assert world.run(f"upgrade-carto --tag {TAG} --no-tests --no-push").code == 0
    work = world.work(TAG)
    (work / "README.md").write_text("mine\n")
    world.git("commit --quiet --all -m 'docs: mine'", repo=work)
    world.git("revert --no-edit HEAD", repo=work)
    line, _ = following(world)
    assert line.startswith(f"invoke upgrade-carto --tag {TAG}")


@pytest.mark.slow
def test_a_squashed_sync_is_healed(world: World, github: GitHub) -> None:
    assert world.run(f"upgrade-carto --no-tests --tag {TAG}").code == 0
    tip = world.git(f"rev-parse {SYNC}")
    assert world.call(f"gh pr merge 1 {FORK} --squash --delete-branch".split()).code == 0
    world.git("update-ref refs/heads/heal/x;touch${IFS}pwned carto/main~1", repo=world.origin)
    world.git("fetch --quiet --prune origin")
    world.git(f"branch --quiet -D {SYNC}")
    why = f"carto/main states {TAG}'s version but lacks its commits."
    assert following(world) == (
        "git fetch upstream",
        f"{why} To heal that, this clone needs upstream's branch.",
    )
    assert follow(world).code == 0
    assert following(world) == (
        "invoke fork.heal",
        f"{why} This records the ancestry that was lost.",
    )
    assert "\nNext: `invoke fork.heal`, then run `invoke release`" in world.run("release").err
    healed = follow(world)
    assert healed.code == 0
    command, _ = following(world)
    assert command.startswith(f"gh pr create {FORK} --base carto/main --head heal/")
    assert healed.out.endswith(f"\nNext: {command}\n")
    assert follow(world).code == 0
    assert following(world)[0] == f"gh pr view 2 {FORK}"
    assert world.call(f"gh pr merge 2 {FORK} --merge".split()).code == 0
    assert following(world)[0] == "git fetch origin"
    assert follow(world).code == 0
    assert following(world)[0] == "invoke release"
    # A newer upgrade does not say that it replaces what has landed; nor is its branch forgotten.
    world.git(f"update-ref refs/heads/{SYNC} {tip}", repo=world.origin)
    world.git("fetch --quiet origin")
    newer = world.run(f"upgrade-carto --no-tests --tag {STABLE} --dry").out
    assert "is on origin, too" not in newer
    assert follow(world).code == 0
    world.git(f"update-ref -d refs/tags/{STABLE}", repo=world.upstream)
    assert follow(world).code == 0
    why = following(world)[1]
    assert f" Also on origin: {SYNC}, with commits that carto/main lacks, although it" in why
    world.paste(" && ".join(line for line in why.split("`") if " push origin --delete " in line))
    assert SYNC not in world.git("branch --list 'upstream-sync/*'", repo=world.origin)


@pytest.mark.parametrize(
    ("more", "code", "command", "end"),
    [
        ({}, 0, "invoke fork.heal", "This records the ancestry that was lost."),
        (
            {"LICENSE": "Mine.\n"},
            4,
            "invoke fork.heal --check",
            "This says what prevents healing it.",
        ),
    ],
)
def test_next_suggests_heal_for_a_squashed_sync_with_an_old_version(
    world: World, more: dict[str, str], code: int, command: str, end: str
) -> None:
    assert world.run(f"upgrade-carto --no-tests --no-pr --tag {TAG}").code == 0
    before = world.git("show origin/carto/main:pyproject.toml") + "\n"
    production = "refs/heads/carto/main"
    squash = f"chore: merge upstream {TAG}"
    files = {"pyproject.toml": before} | more
    commit_in(world, world.origin, production, files, tree=SYNC, message=squash)
    world.git(f"update-ref -d refs/heads/{SYNC}", repo=world.origin)
    world.git("fetch --quiet --prune origin")
    world.git(f"branch --quiet -D {SYNC}")
    world.git("fetch --quiet upstream")
    found, why = following(world)
    assert found == command
    assert squash in why and "has one parent only. " in why and why.endswith(end)
    assert follow(world).code == code


def test_next_finishes_an_upgrade_before_an_adoption_and_names_only_what_works_off_github(
    world: World,
) -> None:
    """A fork on another host, with a draft of its policy."""
    assert world.run(f"upgrade-carto --no-tests --no-pr --tag {TAG}").code == 0
    url = "https://gitlab.example.com/acme/gateway.git"
    own = f'extends = "carto-litellm"\n[remotes.origin]\nurl = "{url}"\n'
    own += '[files]\nrequirements = ""\n'
    (world.fork / policy.POLICY_FILE).write_text(own, encoding="utf-8")
    world.git("remote set-url origin", str(world.origin))
    command, why = following(world)
    assert why.startswith(f"{SYNC} is published. Once you have reviewed it (`git ")
    assert "never squash" in why
    assert command == f"invoke upgrade-carto --tag {TAG} --direct --no-tests"
    assert follow(world).code == 0
    assert following(world) == ("invoke setup", "This prepares the clone for upgrades.")
    assert follow(world).code == 0
    assert following(world)[0] == "invoke fork.adopt"
    (world.fork / policy.POLICY_FILE).unlink()
    commit_in(world, world.origin, "refs/heads/carto/main", {policy.POLICY_FILE: own})
    world.git("fetch --quiet origin")
    assert following(world)[0] == "invoke release"


def test_next_suggests_sync_pr_even_without_gh(world: World) -> None:
    assert world.run(f"upgrade-carto --no-tests --tag {TAG}").code == 0
    assert following(world)[0] == f"invoke step.sync-pr --tag {TAG}"


STATES = {
    "remote": (
        "git remote remove upstream",
        "invoke setup",
        "1 remote missing: upstream.",
    ),
    "other remote": (
        "git remote set-url upstream https://github.com/x/y.git",
        "invoke doctor",
        "A remote is not the one that the policy names; this prints how to fix it.",
    ),
    "detached": (
        "git checkout --quiet --detach && git commit --quiet --allow-empty -m work",
        "invoke branch.recover",
        "HEAD is detached, and 1 commit is on no branch.",
    ),
    "detached without work": (
        "git checkout --quiet --detach",
        f"invoke upgrade-carto --tag {STABLE}",
        "Upstream has a newer stable release.",
    ),
    "merging": (
        f"git fetch --quiet upstream --tags && ! git merge --quiet {STABLE}",
        "invoke resolve-conflicts",
        "A merge is in progress here, with 23 conflicts; this resolves what can be decided and "
        "lists the rest.",
    ),
    "merged, not committed": (
        "git switch --quiet -c fix HEAD~1 && git commit --quiet --allow-empty -m work &&"
        " git merge --quiet --no-commit carto/main",
        "git commit",
        "A merge is in progress here, and no conflict is left.",
    ),
    "rebasing": (
        "git switch --quiet -c fix HEAD~1 && echo a > README.md && git commit --quiet -am fix &&"
        " git switch --quiet -c other HEAD~1 && echo b > README.md && git commit --quiet -am b &&"
        " ! git rebase --quiet fix",
        "git status",
        "A rebase of other is in progress here, with 1 conflict: resolve, `git add`, "
        "then --continue.",
    ),
    "offline": (
        "git config remote.upstream.uploadpack false",
        "git ls-remote upstream",
        "upstream cannot be reached: check the network and your access.",
    ),
}


@pytest.mark.parametrize("state", STATES)
def test_next_suggests_a_command_that_works_in_each_state(world: World, state: str) -> None:
    line, command, why = STATES[state]
    made = world.call(["bash", "-c", line])
    assert made.code == 0, made.err
    assert following(world) == (command, why)
    # The command works: it is not refused, whatever it finds.
    refused = re.match(r"(Refused|Failed|Usage): ", follow(world).err)
    assert refused is None


def test_next_suggests_config_for_an_invalid_policy(world: World) -> None:
    bad = {policy.POLICY_FILE: "nonsense = 1\n"}
    commit_in(world, world.origin, "refs/heads/carto/main", bad)
    world.git("fetch --quiet origin")
    command, why = following(world)
    assert command == "invoke fork.config"
    assert why.startswith("The fork's policy is not valid; this says why")
    assert "nonsense" in follow(world).err


def test_next_suggests_doctor_for_a_wrong_version(world: World, github: GitHub) -> None:
    """It comes last, after everything else."""
    world.git("--git-dir . tag -d v1.77.2-stable", repo=world.upstream)
    assert following(world) == (
        "invoke doctor",
        "Something does not fit together; this prints how to fix it.",
    )
    assert "version is 1.75.2.1" in " ".join(follow(world).out.split())


@pytest.mark.slow
def test_next_leads_through_an_adoption(world: World, github: GitHub) -> None:
    """From a policy in the checkout to a fork with everything that it needs."""
    own = world.fork / policy.POLICY_FILE
    draft = 'extends = "carto-litellm"\n[files]\nrequirements = ""\n'
    own.write_text(draft, encoding="utf-8")
    assert world.paste("invoke setup").code == 0
    command, why = following(world)
    assert command == "invoke fork.adopt"
    assert why.startswith(f"{policy.POLICY_FILE} is on no branch yet; this publishes a branch")
    assert world.run(f"{ADOPT} --no-push").code == 0
    [branch] = world.git("branch --list adopt/* --format %(refname:short)").split()
    world.git(f"update-ref refs/remotes/origin/{branch} {branch}")  # as if it were published
    assert following(world)[0].startswith("gh pr create ")
    own.write_text(draft + "# edited\n", encoding="utf-8")
    command, why = following(world)
    assert command == "invoke fork.adopt"
    assert why.startswith(f"{policy.POLICY_FILE} has changed since it was published; this")
    own.unlink()
    [branch] = world.git("branch --list adopt/* --format %(refname:short)").split()
    world.git(f"push --quiet origin {branch}")
    command, why = following(world)
    assert command.startswith(
        f"gh pr create {FORK} --base carto/main --head {branch} --title 'chore"
    )
    assert why == f"{branch} is published: ask for a review."
    assert follow(world).code == 0
    assert following(world) == (
        f"gh pr view 1 {FORK}",
        "Pull request 1 is waiting for a review.",
    )
    assert world.call(f"gh pr merge 1 {FORK} --squash --delete-branch".split()).code == 0
    assert following(world) == (
        "git fetch origin",
        "origin's carto/main has moved since this clone fetched.",
    )
    assert follow(world).code == 0
    assert following(world)[0] == f"invoke upgrade-carto --tag {STABLE}"


def test_next_suggests_reviewing_an_adoption_branch_without_gh(world: World) -> None:
    assert world.run(ADOPT).code == 0
    [branch] = world.git("branch --list adopt/* --format %(refname:short)").split()
    command, why = following(world)
    assert command.startswith("git log -p ")
    assert why == f"{branch} is published: review this, then merge it."
    assert f"+++ b/{policy.POLICY_FILE}" in follow(world).out
    # After a squash the branch is not merged, but nothing is left to adopt.
    theirs = world.git(f"rev-parse {branch}^{{tree}}")
    who = "-c user.name=Colleague -c user.email=colleague@example.com"
    squashed = world.git(f"{who} commit-tree -p carto/main -m adopted {theirs}", repo=world.origin)
    world.git(f"update-ref refs/heads/carto/main {squashed}", repo=world.origin)
    world.git("fetch --quiet origin")
    assert following(world)[0] == f"invoke upgrade-carto --tag {STABLE}"


def test_next_leaves_an_outdated_adoption_branch_alone(world: World) -> None:
    assert world.run(ADOPT).code == 0
    [branch] = world.git("branch --list adopt/* --format %(refname:short)").split()
    paths = world.git(f"diff --name-only carto/main {branch}").splitlines()
    theirs = {path: world.git(f"show {branch}:{path}") + "\n# newer\n" for path in paths}
    push_as_colleague(world, theirs)
    world.git("fetch --quiet origin")
    assert following(world)[0] != f"git log -p --cc origin/carto/main..origin/{branch}"
    world.git("merge --quiet --ff-only origin/carto/main")
    assert following(world)[0] == f"invoke upgrade-carto --tag {STABLE}"


def test_next_suggests_how_to_find_a_missing_production_branch(world: World) -> None:
    world.git("switch --quiet --create work")
    world.git("branch --quiet --delete --force carto/main")
    world.git("update-ref -d refs/remotes/origin/carto/main")
    world.git("symbolic-ref --delete refs/remotes/origin/HEAD")
    assert following(world) == ("git fetch origin", "carto/main is not in this clone yet.")
    world.git("branch --quiet --move carto/main production", repo=world.origin)
    own = 'extends = "carto-litellm"\nname = "ACME"\n'
    (world.fork / policy.POLICY_FILE).write_text(own, encoding="utf-8")
    command, why = following(world)
    assert command == "git ls-remote --heads origin"
    assert why.startswith("origin has no carto/main, which the policy calls the production branch")
    assert "refs/heads/production" in follow(world).out


@pytest.mark.parametrize("remotes", ["local", "default", "another"])
def test_next_suggests_init_for_a_fork_that_the_default_policy_does_not_fit(
    world: World, remotes: str
) -> None:
    """It has another production branch, and remotes that are directories or CARTO's; or carto/main,
    but another origin."""
    if remotes == "another":
        url = "https://git.example.com/x/y.git"
        world.git(f"config url.{world.origin}.insteadOf {url}")
        world.git(f"remote set-url origin {url}")
    else:
        world.git("switch --quiet --create main-fork")
        world.git("branch --quiet --delete --force carto/main")
        world.git("branch --quiet --move carto/main main-fork", repo=world.origin)
    if remotes == "local":
        world.git("remote set-url origin", str(world.origin))
        world.git("remote set-url upstream", str(world.upstream))
    if remotes != "default":  # the default policy's branch is nothing to this fork
        world.git("branch --move main trunk", repo=world.upstream)
    world.git("fetch --quiet --prune origin")
    world.git("symbolic-ref --delete refs/remotes/origin/HEAD")
    command, why = following(world)
    assert why == f"{_NO_POLICY} This fetches upstream, which the fork is compared with."
    assert follow(world).code == 0
    command, why = following(world)
    assert command == "invoke fork.init" and why.startswith(f"{_NO_POLICY} This writes a draft")
    assert "branch main" not in why
    examined = world.run("doctor").out
    assert "invoke fork.init" in examined
    assert "set-url" not in examined and "push that branch" not in examined
    refused = world.run(f"upgrade-carto --tag {TAG}")
    assert refused.code == 1
    assert ("Next: `invoke fork.init`, if " in refused.err) == (remotes != "default")
    said = "what follows is another fork's.\n# Next: invoke fork.init"
    assert (said in world.run("fork.config").out) == (remotes != "default")
    assert ("problem: this fork has no policy yet" in world.run("status").out) == (
        remotes != "default"
    )
    assert follow(world).code == 0


_NO_POLICY = "This fork has no policy yet, and the default one is for another fork."


def test_next_reports_an_unreachable_origin(world: World) -> None:
    assert world.run(ADOPT).code == 0
    world.git("config remote.origin.uploadpack false")
    away = (
        "git ls-remote origin",
        "origin cannot be reached: check the network and your access.",
    )
    assert following(world)[0].startswith("git log -p ")
    world.git("switch --quiet --create work")
    world.git("branch --quiet --delete --force carto/main")
    world.git("update-ref -d refs/remotes/origin/carto/main")
    world.git("symbolic-ref --delete refs/remotes/origin/HEAD")
    assert following(world) == away


def test_next_suggests_clone_or_init_outside_a_fork(world: World, tmp_path: Path) -> None:
    assert following(world, cwd=tmp_path) == (
        "git clone https://github.com/CartoDB/litellm.git",
        f"../{tmp_path.name} is not a git repository.",
    )
    assert following(world, cwd=world.place)[0] == "invoke next --repo litellm"
    world.call(["git", "init", "--quiet", "other"], cwd=tmp_path)
    other = tmp_path / "other"
    assert following(world, cwd=other)[0] == "invoke fork.init"
    world.git("remote add origin", str(world.upstream), repo=other)  # without carto/main
    command, why = following(world, cwd=other)
    assert command == ("git remote add upstream URL && git fetch --tags upstream")
    assert why.endswith(
        "Put the address of the repository that it was forked from in place of URL."
    )
    line = command.replace("URL", str(world.origin))
    assert world.paste(line, cwd=other).code == 0
    assert following(world, cwd=other)[0] == "invoke fork.init"


def test_the_next_command_is_the_same_in_guide_dry_and_json(world: World) -> None:
    command, why = following(world)
    assert world.run("next").out == f"{command}\n# {why}\n"
    assert world.run("--dry next").out == f"{command}\n# {why}\n"
    assert command
    for line in ("next --json", "next --json --dry"):
        assert json.loads(world.run(line).out) == {"command": command, "why": why}


# --- Topics ----------------------------------------------------------------------------------


def test_the_topics_are_listed(world: World) -> None:
    done = world.run("guide")
    assert (done.code, done.err) == (0, "")
    listed = [line.split()[0] for line in done.out.splitlines() if line.startswith("  ")]
    assert listed == [topic.name for topic in guide.TOPICS]
    assert [line for line in done.out.splitlines() if len(line) > 80] == []
    assert [t["topic"] for t in json.loads(world.run("guide --json").out)] == listed


@pytest.mark.parametrize("topic", guide.TOPICS, ids=lambda topic: topic.name)
def test_every_task_that_a_topic_names_exists(topic: guide.Topic) -> None:
    text = guide.render(topic, policy.load_policy().policy, "invoke")
    tasks = re.findall(r"^ *invoke (.*)$", text, re.MULTILINE)
    assert not topic.task or topic.task in tasks
    for line in tasks:
        Parser(contexts=namespace.to_contexts()).parse_argv(shlex.split(line))
    dry = re.findall(r"^`invoke --dry (.*)` prints its steps with the real values\.$", text, re.M)
    assert dry == [topic.task] * bool(topic.task)


def test_another_topic_says_what_its_procedure_does(world: World) -> None:
    done = world.run("guide --topic abort")
    assert (done.code, done.err) == (0, "")
    assert done.out == (
        "# abort\n\nAbandon an upgrade; origin is not touched.\n\n"
        "```bash\ninvoke upgrade-carto --tag v1.76.5 --abort\n```\n\n"
        "It commits uncommitted work, prints how to restore it, and removes the work tree and the\n"
        "local sync branch.\n\n"
        "`invoke --dry upgrade-carto --tag v1.76.5 --abort` prints its steps with the real "
        "values.\n"
    )
    assert json.loads(world.run("guide --topic abort --json").out) == {
        "topic": "abort",
        "line": "Abandon an upgrade; origin is not touched.",
        "text": done.out.rstrip("\n"),
    }


def test_a_checkout_of_the_program_is_no_fork(tmp_path: Path, world: World) -> None:
    """Also if it is not the one that runs, but has it installed."""
    world.git("init --quiet", str(tmp_path))
    (tmp_path / "scripts" / "carto_fork").mkdir(parents=True)
    (tmp_path / "scripts" / "carto_fork" / "tasks.py").touch()
    assert following(world, tmp_path) == (
        "invoke sandbox",
        "This is a checkout of carto-fork, not of a fork; this builds a fork to try it on.",
    )
    # Wherever in it: one sandbox is enough.
    docs = tmp_path / "docs"
    docs.mkdir()
    assert following(world, docs)[0] == "invoke sandbox --path ../.sandbox"
    (tmp_path / ".sandbox" / "litellm").mkdir(parents=True)
    why = "This is a checkout of carto-fork, not of a fork; {} is one to try it on."
    for place, built in ((docs, "../.sandbox/litellm"), (tmp_path / ".sandbox", "litellm")):
        assert following(world, place) == (f"invoke next --repo {built}", why.format(built))


def test_a_topic_names_the_clone_that_was_named(world: World) -> None:
    done = world.run("guide --repo litellm --topic resolve", cwd=world.place)
    lines = re.findall(r"invoke .*", done.out)
    assert len(lines) == 5 and all("--repo " in line for line in lines), lines
    named = [line for line in lines if "--repo litellm" in line]
    assert len(named) == 4 and "invoke --dry resolve-conflicts --repo litellm" in done.out
    rules = world.run("guide --repo litellm --topic best-practices", cwd=world.place).out
    assert "`invoke next --repo litellm`" in rules


def test_a_topic_names_the_release_in_question(world: World) -> None:
    """The newest one that the clone has, until an upgrade to another one is begun."""
    world.git("fetch --quiet upstream --tags")
    for tag in (STABLE, TAG):
        text = world.run("guide --topic upgrade-carto").out
        assert text.count(f"upgrade-carto --tag {tag}\n") == 1, text
        assert f"`invoke --dry upgrade-carto --tag {tag}` prints" in text
        world.git(f"branch --force {SYNC}")


def test_another_fork_has_its_own_values(world: World) -> None:
    own = (
        'extends = "carto-litellm"\nname = "ACME"\n'
        '[branches]\nmirror = "upstream-main"\n'
        '[remotes.origin]\nurl = "https://github.com/acme/gateway.git"\n'
    )
    commit_in(world, world.origin, "refs/heads/carto/main", {policy.POLICY_FILE: own})
    world.git("fetch --quiet origin")
    rules = world.run("guide --topic best-practices").out
    assert "Never merge `upstream-main` or `upstream/main` into `carto/main`" in rules
    assert "ACME's customisations" in world.run("guide --topic branches").out


def test_outside_a_fork_the_default_policy_is_used(world: World, tmp_path: Path) -> None:
    done = world.run("guide --topic tags", cwd=tmp_path)
    assert done.code == 0
    assert done.out == guide.render(_topic("tags"), policy.load_policy().policy, "invoke") + "\n"


def _topic(name: str) -> guide.Topic:
    return next(topic for topic in guide.TOPICS if topic.name == name)


def test_an_unknown_topic_is_refused(world: World) -> None:
    done = world.run("guide --topic nonsense")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("Usage: unknown topic 'nonsense'.\n")


def test_a_fork_without_releases_has_no_topics_about_them(world: World) -> None:
    text = policy.default_text()
    bare = policy.load_policy(text[: text.index("[releases]")]).policy
    assert bare.releases is None and bare.images is None
    named = {topic.name for topic in guide.topics(bare)}
    assert {topic.name for topic in guide.TOPICS} - named == {"release", "images"}
    for topic in guide.topics(bare):
        assert guide.render(topic, bare, "invoke")


# --- Completion ------------------------------------------------------------------------------

_COMPLETE = """
{source}
COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
$(complete -p {program} | sed 's/.*-F \\([^ ]*\\) .*/\\1/') {program} "${{COMP_WORDS[-1]}}" x
echo "${{COMPREPLY[*]}}"
"""


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("invoke upgr", "upgrade-carto"),
        ("invoke -r {root} sync", "sync-main"),
        ("invoke upgrade-carto --ta", "--tag"),
        ("invoke -r {root} upgrade-carto --no-p", "--no-push --no-pr --no-proposals"),
        ("carto-fork fork.i", "fork.init fork.inventory"),
        ("carto-fork upgrade-carto --ab", "--abort"),
    ],
)
def test_bash_completes_tasks_and_options(
    world: World, tmp_path: Path, words: str, completed: str
) -> None:
    """With the lines from the documents."""
    program = words.split()[0]
    text = (ROOT / "docs" / "faq.md").read_text(encoding="utf-8")
    [source] = re.findall(rf"^(source <\({program} .*bash.*)$", text, re.MULTILINE)
    beside = tmp_path / "bin"
    beside.mkdir()
    body = "from carto_fork.tasks import program, sys; sys.argv[0] = 'carto-fork'; program.run()"
    scripts = {
        "invoke": shlex.join(INVOKE),
        "carto-fork": f"env PYTHONPATH={ROOT}/scripts {shlex.join([sys.executable, '-c', body])}",
    }
    for name, command in scripts.items():
        (beside / name).write_text(f'#!/bin/sh\nexec {command} "$@"\n')
        (beside / name).chmod(0o755)
    script = _COMPLETE.format(
        source=source.replace("~/src/carto-fork", str(ROOT)),
        program=program,
        words=words.format(root=ROOT),
    )
    path = f"{beside}:/usr/local/bin:/usr/bin:/bin"
    done = world.call(["bash", "-c", script], PATH=path)
    assert (done.code, done.out) == (0, f"{completed}\n"), done.err
