"""Each check of `doctor`: a broken sandbox, the finding, and the fix after which it is gone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from carto_fork.adopt import documents
from carto_fork.fork import records
from carto_fork.fork.branches import operation
from carto_fork.fork.policy import load_policy
from carto_fork.fork.records import Drop
from carto_fork.health.doctor import CHECKS
from carto_fork.run.git import directory
from carto_standin.github import Fault, GitHub
from carto_standin.repository import Repository
from carto_standin.state import Run
from webhook import SECRET, Says, webhook
from world import Done, World, commit_in, copied, land, push_as_colleague, shell, shim, slow_but

TAG, STABLE = "v1.76.5", "v1.77.2-stable"
PRODUCTION = "refs/heads/carto/main"
SYNC = ".github/workflows/carto-upstream-sync.yml"
WEBHOOK = f"https://hooks.slack.com/services/{SECRET}"


@cache
def _healthy(template: Path) -> Path:
    """A world with everything set up, as a template for the tests."""
    world = copied(template, Path(tempfile.mkdtemp(dir=template.parent)) / "w")
    world.git("fetch --quiet --tags upstream")
    done = world.run("doctor --check hook --fix")
    assert done.code == 0, done.err
    return world.place


@pytest.fixture
def world(template: Path, tmp_path: Path) -> World:
    """A fork whose clone has no findings."""
    return copied(_healthy(template), tmp_path / "w")


@pytest.fixture
def origin(github: GitHub) -> GitHub:
    """A GitHub without findings, too."""

    def settle(repository: Repository) -> None:
        state = repository.state
        state.settings.allow_squash_merge = False
        state.secrets = ["SLACK_WEBHOOK_URL"]
        state.protection = {"carto/main": {"allow_deletions": {"enabled": False}}}
        state.runs = [_run("success")]

    _change(github, settle)
    return github


def _change(github: GitHub, change: Callable[[Repository], None]) -> None:
    with github.open() as opened:
        change(opened.origin())


def _run(conclusion: str) -> Run:
    at = "2025-09-30T12:00:00Z"
    return Run(
        id=7,
        number=1,
        path=SYNC,
        name="CARTO - Upstream Sync",
        branch="carto/main",
        sha="HEAD",
        created=at,
        updated=at,
        actor="fork-maintainer",
        event="schedule",
        status="completed",
        conclusion=conclusion,
    )


def look(world: World, line: str) -> tuple[int, dict[str, Any]]:
    """The exit code and the JSON report of `doctor`; asserts that it changed nothing."""
    before = world.everything()
    done = world.run(f"doctor --json {line}")
    assert done.out, done.err
    assert world.everything() == before
    return done.code, json.loads(done.out)


def found(world: World, check: str, more: str = "") -> list[dict[str, Any]]:
    """The findings of one check; asserts that the exit code fits them."""
    code, report = look(world, f"--check {check} {more}")
    assert report["not_checked"] == {}, report
    levels = {finding["level"] for finding in report["findings"]}
    assert code == (4 if "broken" in levels else 0)
    assert {finding["check"] for finding in report["findings"]} <= {check}
    # Notes do not make it fail.
    return [finding for finding in report["findings"] if finding["level"] != "note"]


def one(world: World, check: str, level: str, more: str = "") -> dict[str, Any]:
    """The only finding of a check."""
    [finding] = found(world, check, more)
    assert finding["level"] == level, finding
    assert finding["cause"]
    return finding


def type_it(world: World, line: str, **variables: str) -> Done:
    """Run the command of a finding."""
    done = world.paste(line, cwd=None, **variables)
    assert done.code == 0, (line, done)
    return done


def land_it(world: World, line: str) -> None:
    """Run the command of a finding that opens a pull request, and merge it."""
    assert line.startswith("invoke branch.start --name ") and line.endswith(" && invoke branch.pr")
    type_it(world, line.removesuffix(" && invoke branch.pr"))
    world.git("push --quiet --no-verify origin HEAD:carto/main")


def fixed(world: World, check: str) -> None:
    """Run `doctor --fix`, first with --dry, which only prints the commands."""
    before = world.everything(), world.git_dir()
    dry = world.run(f"doctor --check {check} --fix --dry")
    assert (world.everything(), world.git_dir()) == before
    assert any(not line.startswith("#") for line in dry.out.splitlines()), dry
    assert "fixed: " not in dry.out
    done = world.run(f"doctor --check {check} --fix")
    assert done.code == 0, done
    assert f"fixed: {check}" in done.out
    assert found(world, check) == []


# --- No findings ------------------------------------------------------------------------------


def stated(world: World, version: str) -> None:
    """Let the production branch state this version."""
    project = world.git("show origin/carto/main:pyproject.toml") + "\n"
    runs = world.git(f"show origin/carto/main:{SYNC}") + "\n# runs carto-fork\n"
    push_as_colleague(world, {"pyproject.toml": project.replace("1.75.2.1", version), SYNC: runs})
    world.git("fetch --quiet origin")


def test_a_healthy_fork_has_no_findings(world: World, origin: GitHub) -> None:
    stated(world, "1.75.2")
    before = world.everything()
    done = world.run("doctor")
    assert (done.code, done.err) == (0, "")
    assert done.out == (
        "21 checks are fine: conflicts, head, remotes, clone, git, leftovers, hook,\n"
        "  policy, detection, tags, version, ancestry, losses, drift, workflows, docker,\n"
        "  prisma, workflow, program, sync-pr, slack, squash-merge, protection, gh.\n"
        "Nothing is broken.\n"
    ).replace("21 checks", f"{len(CHECKS) - 2} checks")
    assert world.everything() == before


def test_the_report_shows_each_finding_with_cause_and_fix(world: World) -> None:
    stated(world, "1.75.2")
    push_as_colleague(world, {".github/workflows/ghcr_deploy.yml": "on: push\n"})
    world.git("fetch --quiet origin")
    world.git("remote remove upstream")
    done = world.run("doctor --offline")
    assert done.out == (
        "broken  remotes: A remote is wrong, or nothing was fetched from it.\n"
        "    the remote `upstream` is missing.\n"
        "    why:  A new clone has only one remote.\n"
        "    then: git remote add upstream https://github.com/BerriAI/litellm.git\n"
        "broken  workflows: An upstream workflow runs in the fork.\n"
        "    .github/workflows/ghcr_deploy.yml is on carto/main again.\n"
        "    why:  The fork had switched it off; a merge brought it back, and GitHub runs\n"
        "          it.\n"
        "    then: invoke branch.start --name remove-ghcr-deploy && git rm -- "
        ".github/workflows/ghcr_deploy.yml && git commit -m 'ci: switch ghcr_deploy.yml off "
        "again' && invoke branch.pr\n"
        "look    gh: No pull request is opened.\n"
        "    gh, GitHub's command line program, is not installed.\n"
        "    why:  Upgrades are published without a pull request, and releases need gh.\n"
        "    then: install it: https://cli.github.com\n"
        "11 checks are fine: head, clone, git, leftovers, hook, policy, tags, version,\n"
        "  losses, docker, program.\n"
        "not checked: conflicts, ancestry, drift, prisma (the remote `upstream` is\n"
        "             missing).\n"
        "    then: `invoke setup`, or: git remote add upstream "
        "https://github.com/BerriAI/litellm.git\n"
        "not checked: detection, workflow, sync-pr, slack, squash-merge, protection\n"
        "             (--offline).\n"
        "2 broken, 1 to look at.\n"
    )
    assert done.err == (
        "Check failed: 2 things are broken. --fix applies only fixes that cannot lose work.\n"
        "Nothing was changed.\nNext: invoke doctor --fix\n"
    )
    assert done.code == 4


@pytest.mark.slow
def test_every_check_can_be_asked_for(world: World) -> None:
    for name in CHECKS:
        code, report = look(world, f"--offline --check {name}")
        assert code == 0
        names = {f["check"] for f in report["findings"]} | {*report["healthy"]}
        assert names | {*report["not_checked"]} == {name}


def test_a_check_that_was_asked_for_and_cannot_run_is_not_a_success(world: World) -> None:
    for ref in world.git("for-each-ref --format='%(refname)' refs/remotes/upstream").splitlines():
        world.git("update-ref --no-deref -d", ref)
    done = world.run("doctor --check ancestry")
    fetch = "git fetch upstream"
    assert (done.code, done.err.splitlines()[-1]) == (1, f"Next: {fetch}")
    assert done.err.startswith("Refused: nothing was checked: this clone has fetched no branch of ")
    assert done.out.endswith(f"    then: {fetch}\nNothing was checked.\n")
    some = world.run("doctor --check ancestry --check head")
    assert some.code == 0 and some.out.endswith("\nNothing of what was checked is broken.\n")
    assert world.paste(fetch).code == 0
    assert world.run("doctor --check ancestry").code == 0


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("--check nonsense", "unknown check 'nonsense'"),
        ("--migrate mysql", "--migrate is 'mysql'"),
        ("--offline --slack-test", "--offline and --slack-test exclude each other"),
    ],
)
def test_a_wrong_command_line_is_refused(world: World, line: str, what: str) -> None:
    done = world.run(f"doctor {line}")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"Usage: {what}")


# --- The clone --------------------------------------------------------------------------------


def test_conflicts_of_a_merge_are_reported(world: World) -> None:
    world.call(["git", "merge", "--quiet", TAG])
    finding = one(world, "conflicts", "broken")
    assert finding["what"].startswith(
        "a merge is in progress in ../litellm with 21 unmerged files: "
    )
    assert finding["then"] == "invoke resolve-conflicts"
    type_it(world, finding["then"])
    finding = one(world, "conflicts", "look")
    assert finding["then"] == "git commit"
    type_it(world, finding["then"], GIT_EDITOR="true")
    assert found(world, "conflicts") == []


def test_conflicts_in_another_work_tree_are_reported(world: World) -> None:
    done = world.run(f"upgrade-carto --tag {STABLE} --no-tests")
    assert done.code == 3
    finding = one(world, "conflicts", "broken")
    assert "2 unmerged files" in finding["what"]
    assert finding["then"] == f"invoke upgrade-carto --tag {STABLE} --no-tests"
    aborted = type_it(world, f"invoke upgrade-carto --tag {STABLE} --abort")
    assert found(world, "conflicts") == []
    type_it(world, aborted.out.partition("To restore it: ")[2].splitlines()[0])
    finding = one(world, "conflicts", "look")
    assert "has what --abort saved, with conflicts: " in finding["what"]
    assert json.loads(world.run("next --json").out)["command"] == finding["then"] + " --no-tests"
    assert finding["then"] == f"invoke upgrade-carto --tag {STABLE}"
    assert world.paste(finding["then"]).code == 3
    assert len(world.git("diff --name-only --diff-filter=U", repo=world.work(STABLE)).split()) == 2


@pytest.mark.parametrize("what", ["rebase", "cherry-pick", "revert"])
def test_conflicts_of_a_rebase_cherry_pick_or_revert_are_reported(world: World, what: str) -> None:
    for text in ("a", "b"):
        (world.fork / "x.txt").write_text(f"{text}\n")
        world.git("add x.txt")
        world.git("commit --quiet -m x")
    world.git("switch --quiet -c other HEAD~2")
    (world.fork / "x.txt").write_text("c\n")
    world.git("add x.txt")
    world.git("commit --quiet -m c")
    where = "carto/main~1" if what == "revert" else "carto/main"
    world.call(["git", what, where])
    assert operation(directory(shell(), world.fork)) == what
    finding = one(world, "conflicts", "broken")
    assert finding["then"].endswith(f"`git {what} --continue`")
    (world.fork / "x.txt").write_text("d\n")
    world.git("add x.txt")
    finding = one(world, "conflicts", "look")
    type_it(world, finding["then"], GIT_EDITOR="true")
    assert found(world, "conflicts") == []


def test_committed_conflict_markers_are_reported(world: World) -> None:
    text = "<<<<<<< HEAD\na\n=======\nb\n>>>>>>> v1.76.5\n"
    push_as_colleague(world, {"docs/CARTO_INTEGRATION.md": text})
    world.git("fetch --quiet origin")
    finding = one(world, "conflicts", "broken")
    assert finding["what"] == (
        "conflict markers are committed on carto/main: docs/CARTO_INTEGRATION.md."
    )
    push_as_colleague(world, {"docs/CARTO_INTEGRATION.md": "a\nb\n"})
    world.git("fetch --quiet origin")
    assert found(world, "conflicts") == []


def test_markers_on_a_branch_here_need_nothing_of_upstream(world: World) -> None:
    """An upgrade fetches only the release's tag."""
    for ref in world.git("for-each-ref --format=%(refname) refs/remotes/upstream").split():
        world.git(f"update-ref -d {ref}")
    marked = {"README.md": "<<<<<<< HEAD\na\n=======\nb\n>>>>>>> v1.76.5\n"}
    sync = f"upstream-sync/{TAG}"
    world.git(f"branch --quiet {sync} carto/main")
    commit_in(world, world.fork, f"refs/heads/{sync}", marked, "carto/main", TAG)
    code, report = look(world, "--check conflicts")
    [finding] = report["findings"]
    assert (code, finding["what"]) == (4, f"conflict markers are committed on {sync}: README.md.")
    place = f"../litellm.upstream-sync-{TAG}"
    continues = f"`invoke upgrade-carto --tag {TAG}` continues."
    assert finding["then"] == f"resolve them in {place} and commit; then {continues}"


@pytest.mark.slow
def test_markers_on_a_sync_branch_are_reported_with_its_pull_request(
    world: World, origin: GitHub
) -> None:
    # The sync leaves the markers on purpose, and the fixture's hook accepts them.
    done = world.run(f"ci.sync --tag {STABLE} --no-tests")
    assert done.code == 0, done.err
    finding = one(world, "conflicts", "look")
    assert finding["what"].startswith(f"conflict markers are committed on upstream-sync/{STABLE}: ")
    [pull] = found(world, "sync-pr")
    assert (pull["level"], pull["then"]) == ("look", "invoke resolve-conflicts --pr 1")
    assert "https://github.com/CartoDB/litellm/pull/1" in pull["what"]
    # Also while what was resolved of it is given up and restored.
    chosen = "--accept-upstream Dockerfile --reason x"
    world.run(f"resolve-conflicts --pr 1 {chosen}")
    aborted = type_it(world, f"invoke upgrade-carto --tag {STABLE} --abort")
    type_it(world, aborted.out.partition("To restore it: ")[2].splitlines()[0])
    assert one(world, "conflicts", "look") == finding
    advice = json.loads(world.run("next --json").out)["command"]
    assert advice == f"invoke resolve-conflicts --pr upstream-sync/{STABLE}"
    assert "ui/litellm-dashboard/src/app/layout.tsx" in world.paste(advice).out


def test_a_detached_head_is_reported(world: World) -> None:
    world.git(f"checkout --quiet {TAG}")
    finding = one(world, "head", "look")
    assert finding["then"] == "invoke branch.recover"
    world.git("commit --quiet --allow-empty -m 'feat: x'")
    finding = one(world, "head", "broken")
    assert finding["what"] == "HEAD is detached, with 1 commit on no branch."
    type_it(world, finding["then"])
    assert found(world, "head") == []


def test_commits_on_no_branch_are_reported(world: World) -> None:
    world.git(f"checkout --quiet {TAG}")
    world.git("commit --quiet --allow-empty -m 'feat: x'")
    name = world.git("rev-parse HEAD")[:10]
    world.git("checkout --quiet carto/main")
    finding = one(world, "head", "look")
    assert finding["what"] == f"1 commit up to {name} (2025-09-30, feat: x) is on no branch."
    type_it(world, finding["then"])
    assert world.git("branch --list 'recovery/*' '--format=%(refname:short)'") == f"recovery/{name}"
    assert found(world, "head") == []


@pytest.mark.parametrize("name", ["origin", "upstream"])
def test_a_missing_remote_is_reported_and_fixed(world: World, name: str) -> None:
    world.git(f"remote remove {name}")
    finding = next(f for f in found(world, "remotes") if "missing" in f["what"])
    assert (finding["level"], finding["can_be_fixed"]) == ("broken", True)
    assert finding["then"].startswith(f"git remote add {name} https://github.com/")
    done = world.run("doctor --check remotes --fix")
    now = ", now fine" if name == "origin" else ""
    assert f"fixed: remotes{now}; before: the remote `{name}` is missing." in done.out
    assert not any(f["level"] == "broken" for f in found(world, "remotes"))
    if name == "upstream":
        type_it(world, one(world, "remotes", "look")["then"])
        assert found(world, "remotes") == []


def test_a_wrong_remote_is_reported(world: World) -> None:
    world.git("remote set-url upstream https://github.com/somebody/else.git")
    finding = one(world, "remotes", "broken")
    assert "somebody/else" in finding["what"]
    type_it(world, finding["then"])
    assert found(world, "remotes") == []


def test_a_shallow_clone_is_reported_and_fixed(world: World) -> None:
    place = world.place / "shallow"
    world.git("clone --quiet --depth 3 --no-single-branch", f"file://{world.origin}", str(place))
    done = world.run(f"doctor --check clone --repo {place}")
    assert done.code == 4
    assert "this is a shallow clone." in done.out
    done = world.run(f"doctor --check clone --repo {place} --fix")
    assert (done.code, done.err) == (0, "")
    assert world.git("rev-parse --is-shallow-repository", repo=place) == "false"


def test_a_partial_clone_is_reported(world: World) -> None:
    world.git("config remote.origin.promisor true")
    world.git("config remote.origin.partialclonefilter blob:none")
    finding = one(world, "clone", "look")
    world.git("config uploadpack.allowFilter true", repo=world.origin)
    type_it(world, finding["then"])
    assert found(world, "clone") == []


def test_an_old_git_is_reported(world: World) -> None:
    old = 'case "$1" in version) echo "git version 2.30.2";; *) exec "$GIT" "$@";; esac'
    path = shim(world, old)
    done = world.run("doctor", PATH=path)
    assert done.code == 4
    assert done.out.startswith(
        "broken  git: Git does not know an option.\n    git 2.30.2 is too old"
    )
    assert done.err.endswith("Next: install a newer git.\n")
    report = json.loads(world.run("doctor --json", PATH=path).out)
    assert [finding["check"] for finding in report["findings"]] == ["git"]
    assert set(report["not_checked"].values()) == {"git is too old"}
    assert found(world, "git") == []


def test_a_production_branch_missing_on_origin_is_reported(world: World) -> None:
    world.git("switch --quiet --create work")
    world.git("branch --quiet --delete --force carto/main")
    world.git("branch --quiet --move carto/main production", repo=world.origin)
    world.git("fetch --quiet --prune origin")
    finding = one(world, "policy", "broken")
    assert finding["what"] == "origin has no carto/main, which the policy calls production."
    world.git("branch --quiet --move production carto/main", repo=world.origin)
    assert found(world, "policy") == []


def test_work_trees_without_a_directory_are_reported(world: World) -> None:
    world.git("worktree add --quiet ../gone -b gone")
    shutil.rmtree(world.place / "gone")
    finding = one(world, "leftovers", "look")
    assert "1 work tree without a directory" in finding["what"]
    assert not finding["can_be_fixed"]
    type_it(world, finding["then"].partition("; if it is gone: ")[2].strip("`"))
    assert found(world, "leftovers") == []
    assert "gone" in world.git("branch")


def test_a_directory_left_by_a_killed_upgrade_is_reported(world: World) -> None:
    (world.place / "litellm.upstream-sync-v1.76.5.cut-1").mkdir()
    finding = one(world, "leftovers", "look")
    assert not finding["can_be_fixed"]
    type_it(world, finding["then"].partition(": ")[2])
    assert found(world, "leftovers") == []


def test_a_git_lock_is_reported_as_broken_only_if_it_is_old(world: World) -> None:
    lock = world.fork / ".git" / "index.lock"
    lock.write_bytes(b"")
    finding = one(world, "leftovers", "look")
    assert not finding["can_be_fixed"]
    os.utime(lock, (0, 0))
    finding = one(world, "leftovers", "broken")
    assert not finding["can_be_fixed"]
    type_it(world, finding["then"].removeprefix("if no git is running: "))
    assert found(world, "leftovers") == []


def test_a_killed_run_is_reported_with_what_it_left(world: World) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    entry = {
        "pid": ended.pid,
        "task": f"invoke upgrade-carto --tag {TAG}",
        "unfinished": [str(world.work(TAG))],
    }
    (world.fork / ".git" / "carto-fork.lock").write_text(json.dumps(entry))
    finding = one(world, "leftovers", "look")
    assert (
        f"(process {ended.pid}) was killed and left ~/litellm.upstream-sync-v1.76.5."
        in finding["what"]
    )
    type_it(world, f"{finding['then']} --no-tests")
    assert found(world, "leftovers") == []


def test_a_missing_pre_push_hook_is_reported_and_installed(world: World) -> None:
    hook = world.fork / ".git" / "hooks" / "pre-push"
    assert os.access(hook, os.X_OK)
    hook.unlink()
    world.git("config --unset carto-fork.guard")
    finding = one(world, "hook", "look")
    assert finding["then"] == "invoke doctor --check hook --fix"
    fixed(world, "hook")
    # The hook works: it stops a push that must not happen.
    world.git("switch --quiet -C carto/main origin/carto/main")
    world.git("commit --quiet --allow-empty -m 'what is this'")
    pushed = world.call(["git", "push", "origin", "carto/main"])
    assert pushed.code == 1
    assert "is not a conventional commit" in pushed.err
    world.git("commit --quiet --amend --allow-empty -m 'feat: this'")
    world.git("push --quiet origin carto/main")


@pytest.mark.parametrize(
    "called",
    [
        *("", "true", "/gone/invoke ci.guard --pre-push", "'", "sh --search-root=/gone guard"),
        *("$HOME/gone guard", "bin/gone guard", "python3 -m invoke -r / guard --pre-push"),
    ],
)
def test_a_hook_without_a_working_command_is_reported(world: World, called: str) -> None:
    world.git("config carto-fork.guard", called)
    assert "is missing or out of date" in one(world, "hook", "broken")["what"]
    fixed(world, "hook")
    assert world.git("config carto-fork.guard").endswith("ci.guard --pre-push")


@pytest.mark.parametrize(
    "called", ["$HERE/mine guard", "./mine -r /usr/ guard", "sh -r=/usr guard"]
)
def test_a_hook_with_another_working_command_is_accepted(
    world: World, called: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may use the shell's variables, and runs at the top of the work tree, like our hook."""
    monkeypatch.setenv("HERE", str(world.fork))
    (world.fork / "mine").write_text("")
    world.git("config carto-fork.guard", called)
    assert found(world, "hook") == []


def test_another_hook_is_left_alone(world: World) -> None:
    world.git("config core.hooksPath .githooks")
    hook = world.fork / ".githooks" / "pre-push"
    hook.parent.mkdir()
    hook.write_text("#!/bin/sh\nexit 0\n")
    finding = one(world, "hook", "look")
    assert "shared with other clones and does not call `ci.guard`" in finding["what"]
    assert not finding["can_be_fixed"]
    command = finding["then"].partition(": ")[2]
    hook.write_text(f"#!/bin/sh\n{command}\n")
    finding = one(world, "hook", "look")
    assert "is not executable" in finding["what"]
    type_it(world, finding["then"])
    assert found(world, "hook") == []


def test_an_invalid_policy_is_reported(world: World) -> None:
    push_as_colleague(world, {"carto_fork.toml": 'extends = "carto-litellm"\nnonsense = 1\n'})
    world.git("fetch --quiet origin")
    assert "nonsense" in one(world, "policy", "broken")["what"]
    push_as_colleague(world, {"carto_fork.toml": 'extends = "carto-litellm"\n'})
    world.git("fetch --quiet origin")
    assert found(world, "policy") == []


# --- Tags and versions ------------------------------------------------------------------------


def test_a_local_tag_that_differs_from_upstreams_is_reported(world: World) -> None:
    world.git(f"tag --force {STABLE} {TAG}")
    finding = one(world, "detection", "broken")
    assert finding["what"].startswith(f"the tag {STABLE} is ")
    type_it(world, finding["then"].partition(": ")[2])
    assert found(world, "detection") == []


def test_a_stable_tag_that_exists_only_here_is_reported(world: World) -> None:
    world.git("tag v1.99.0-stable carto/main")
    finding = one(world, "detection", "look")
    type_it(world, finding["then"])
    assert found(world, "detection") == []


def test_a_version_that_hides_a_release_is_reported(world: World) -> None:
    stated(world, "1.77.2")
    finding = one(world, "detection", "broken")
    assert finding["what"] == (
        f"{STABLE} is not detected: carto/main states 1.77.2 and contains v1.75.2-stable."
    )
    then = one(world, "version", "look")["then"]
    assert then.startswith("invoke fork.heal --check; if it finds nothing ")
    lower = then.partition(", lower it: ")[2].strip("`")
    assert then == finding["then"]
    land_it(world, lower)
    assert found(world, "detection") == []
    assert found(world, "version") == []


def test_tags_that_fit_no_scheme_are_reported(world: World) -> None:
    for name in ("v1.79.0-final", "v1.80.0-final", "v1.79.0.rc.1", "v1.80.0.rc.1"):
        world.git(f"tag {name} main", repo=world.upstream)
    findings = found(world, "detection")
    assert {finding["level"] for finding in findings} == {"look"}
    assert any("in no class of" in finding["what"] for finding in findings)


def pin(world: World, tag: str) -> None:
    """Record a tag's commit on production."""
    name = world.git(f"rev-parse refs/tags/{tag}")
    commit = world.git(f"rev-parse refs/tags/{tag}^0")
    text = f'[tags]\n"{tag}" = {{ object = "{name}", commit = "{commit}" }}\n'
    push_as_colleague(world, {"carto_tags.toml": text})
    world.git("fetch --quiet origin")


def test_a_pinned_tag_that_was_moved_locally_is_reported(world: World) -> None:
    pin(world, TAG)
    right = world.git(f"rev-parse {TAG}")
    world.git(f"tag --force {TAG} carto/main")
    wrong = world.git(f"rev-parse {TAG}")
    assert one(world, "tags", "broken")["can_be_fixed"]
    fixed(world, "tags")
    assert world.git(f"rev-parse {TAG}") == right
    assert world.git(f"rev-parse refs/carto-fork/kept/{TAG}-{wrong[:10]}") == wrong


def test_a_pinned_tag_that_upstream_moved_is_reported(world: World) -> None:
    pin(world, TAG)
    before = world.git(f"rev-parse {TAG}", repo=world.upstream)
    world.git(f"tag --force {TAG} main", repo=world.upstream)
    finding = one(world, "tags", "look")
    assert not finding["can_be_fixed"]
    type_it(world, finding["then"])
    assert "upstream's tag v1.76.5 was " in finding["what"]
    world.git(f"update-ref refs/tags/{TAG} {before}", repo=world.upstream)
    assert found(world, "tags") == []


def test_production_contains_what_was_merged(world: World, tmp_path: Path) -> None:
    """Upstream moves or withdraws the tag afterwards.

    https://github.com/scala-steward-org/scala-steward/issues/1853 and
    https://github.com/openclaw/openclaw/pull/126816: one moved tag stopped all updates.
    https://github.com/containers/crun/issues/623, https://github.com/aws/efs-utils/issues/92: a
    release was rebuilt under its old name.
    """
    release = "v1.75.2-stable"
    pin(world, release)
    identity = "-c user.name=Up -c user.email=up@example.com"
    tagging = f"{identity} tag --force --annotate -m signed {release} {release}^0"
    world.git(tagging, repo=world.upstream)
    assert found(world, "tags") == []
    assert json.loads(world.run("status --json").out)["moved"] == []
    for change in (f"tag --force {release} main", f"tag --delete {release}"):
        world.git(change, repo=world.upstream)
        facts = json.loads(world.run("status --json").out)
        assert (facts["contained"], facts["moved"]) == (release, [release])
        outputs = tmp_path / "outputs"
        detection = json.loads(world.run("ci.detect --json", GITHUB_OUTPUT=str(outputs)).out)
        assert detection["contained"] == release
        # The workflow passes it to Slack.
        for said in (outputs.read_text(), world.run("next").out.replace("\n#", "")):
            assert release in said and "since it was merged." in " ".join(said.split())
    world.git(f"tag --force {release} main", repo=world.upstream)
    done = world.run(f"upgrade-carto --tag {release}")
    assert (done.code, "as it was when it was merged" in done.err) == (1, True)
    world.git(f"tag --delete {TAG}", repo=world.upstream)
    done = world.run(f"forecast --tag {TAG}")
    assert (done.code, "has withdrawn" in done.err) == (1, True)


def test_disagreeing_version_files_are_reported(world: World) -> None:
    project = world.git("show origin/carto/main:pyproject.toml") + "\n"
    text = project + '\n[project]\nname = "litellm"\nversion = "1.0"\n'
    push_as_colleague(world, {"pyproject.toml": text})
    world.git("fetch --quiet origin")
    finding = one(world, "version", "broken")
    assert finding["what"].startswith("the version files disagree: ")
    land_it(world, finding["then"])
    assert found(world, "version") == []


def test_a_version_that_was_not_raised_after_a_merge_is_reported(world: World) -> None:
    world.git("switch --quiet -c x origin/carto/main")
    world.git(f"merge --quiet -s ours --no-commit {TAG}")
    world.git(f"checkout --quiet {TAG} -- litellm")
    world.git("commit --quiet -m 'chore: merge upstream'")
    world.git("push --quiet --no-verify origin HEAD:carto/main")
    finding = one(world, "version", "broken")
    assert f" && invoke bump-version --tag {TAG} && " in finding["then"]
    land_it(world, finding["then"])
    assert found(world, "version") == []


def test_a_release_that_is_only_stated_is_merged_or_the_version_lowered(world: World) -> None:
    """A squash of a small release proves nothing, and neither does a version."""
    stated(world, "1.76.5")
    finding = one(world, "version", "look")
    assert finding["what"].startswith("the version is 1.76.5")
    heal, _, rest = finding["then"].partition("; if it finds nothing to heal: ")
    anew, _, lower = rest.partition("; or, if somebody only raised the version, lower it: ")
    assert anew == "`invoke upgrade-carto --tag v1.76.5 --unhealed` merges v1.76.5"
    assert "bump-version --tag v1.75.2-stable" in lower
    world.git("fetch --quiet upstream")
    said = world.run(heal.removeprefix("invoke "))
    assert said.code == 0
    assert " ".join(said.out.replace("`", "").split()).endswith(f"Next: {rest}".replace("`", ""))


def test_a_version_of_no_release_here_is_not_lowered(world: World) -> None:
    """This clone may lack the tag that was merged."""
    world.git(f"remote set-url upstream {world.place}/nowhere")
    world.git("tag --delete v1.76.5")
    stated(world, "1.76.5")
    finding = one(world, "version", "look")
    assert finding["what"].startswith("the version is 1.76.5")
    assert finding["then"].endswith("if it finds nothing to heal: git fetch --tags upstream")


def test_a_version_that_the_fork_bumped_itself_is_reported(world: World) -> None:
    """`release` accepts only upstream's version."""
    finding = one(world, "version", "look")
    assert finding["what"].startswith("the version is 1.75.2.1, and the newest release in carto/")
    assert finding["cause"].startswith("The fork bumped the version itself")
    land_it(world, finding["then"])
    assert found(world, "version") == []


def test_a_fork_release_of_a_newer_version_is_reported(world: World) -> None:
    stated(world, "1.75.2")
    world.git("tag carto-v1.76.5-0.1.0 origin/carto/main")
    assert "carto-v1.76.5-0.1.0 is a release of 1.76.5" in one(world, "version", "look")["what"]
    world.git("tag -d carto-v1.76.5-0.1.0")
    assert found(world, "version") == []


# --- What merges left behind ------------------------------------------------------------------


@pytest.mark.slow
def test_lost_ancestry_is_reported(world: World) -> None:
    done = world.run(f"upgrade-carto --tag {TAG} --no-tests")
    assert done.code == 0, done.err
    land(world, TAG, squash=True)
    finding = one(world, "ancestry", "broken")
    assert "chore: upgrade to v1.76.5 (#50)) brought upstream's work up to" in finding["what"]
    assert finding["then"] == "invoke fork.heal"
    world.git("tag -d", *(set(world.git("tag").split()) - {TAG, STABLE}))
    type_it(world, f"{finding['then']} --direct")
    assert found(world, "ancestry") == []


def test_a_feature_of_the_manifest_that_is_missing_is_reported(world: World) -> None:
    assert world.run("doctor --check features").out.startswith("not checked: features")
    feature = '[[feature]]\nname = "regions"\nfiles = ["litellm/router.py"]\npatterns = ["{}"]\n'
    for pattern, level in (("class Router", ""), ("def region_of", "broken")):
        text = f'extends = "carto-litellm"\n{feature.format(pattern)}'
        push_as_colleague(world, {"carto_fork.toml": text})
        world.git("fetch --quiet origin")
        if level:
            finding = one(world, "features", level)
            assert "regions" in finding["what"] and "def region_of" in finding["what"]
        else:
            assert found(world, "features") == []


@pytest.mark.slow
def test_a_reverted_sync_is_reported(world: World) -> None:
    """https://github.com/git/git/blob/master/Documentation/howto/revert-a-faulty-merge.txt"""
    done = world.run(f"upgrade-carto --tag {TAG} --no-tests")
    assert done.code == 0, done.err
    land(world, TAG)
    assert world.run(f"verify --landed {TAG}").code == 0
    world.git("switch --quiet --detach origin/carto/main")
    world.git("revert --no-edit -m 1 HEAD")
    world.git("push --quiet --no-verify origin HEAD:carto/main")
    undo = f"git revert --no-edit {world.git('rev-parse HEAD')[:10]}"
    world.git("switch --quiet -C carto/main origin/carto/main")
    assert undo in one(world, "ancestry", "broken")["then"]
    assert found(world, "version") == []
    assert f"reverted the sync to {TAG}:" in " ".join(world.run("status").out.split())
    for line in (f"verify --landed {TAG}", f"upgrade-carto --tag {STABLE} --no-tests"):
        refused = world.run(line)
        assert refused.code
        assert f"Next: {undo}, publish that" in refused.err
    assert undo in world.run(f"forecast --tag {STABLE}").out
    type_it(world, undo)
    world.git("push --quiet --no-verify origin HEAD:carto/main")
    assert found(world, "ancestry") == []
    assert world.run(f"verify --landed {TAG}").code == 0


@pytest.mark.slow
def test_a_sync_that_brought_nothing_is_reported(world: World) -> None:
    """All tasks name the same way on, after which everything is there."""
    world.git("switch --quiet -C carto/main origin/carto/main")
    world.git(f"merge --quiet --no-edit -s ours {TAG}")
    blocked = world.run("ci.guard")
    assert blocked.code == 4
    assert f"the merge of {TAG} lost upstream's change to Makefile" in blocked.err
    assert "but kept the fork" not in " ".join(blocked.out.split())
    world.git("push --quiet --no-verify origin carto/main")
    finding = one(world, "ancestry", "broken")
    assert f"merged {TAG} but kept the fork's files: 15 of the 37 files" in finding["what"]
    assert found(world, "version") == []
    bring = finding["then"].split(" && ")[1]
    assert world.run("next").out.startswith(f"{finding['then']}\n")
    for line in (f"verify --landed {TAG}", f"upgrade-carto --tag {STABLE} --no-tests"):
        refused = world.run(line)
        assert refused.code
        assert f"Next: {bring}, publish that" in refused.err
    assert f"; or run `invoke {line} --unhealed` to merge" in refused.err
    for line in (f"forecast --tag {STABLE}", "ci.guard"):
        assert f"\n    {bring}\n" in world.run(line).out
    world.paste(bring)
    wheel = "enterprise/dist/litellm_enterprise-0.1.15-py3-none-any.whl"
    decided = world.run(f"resolve-conflicts --keep-fork {wheel} --reason We-ship-none.")
    assert "21 of 21 conflicts decided" in decided.out
    world.git("commit --quiet --no-edit")
    assert world.run("ci.guard").code == 0
    world.git("push --quiet --no-verify origin carto/main")
    assert found(world, "ancestry") == []
    assert "\nNothing is lost; " in world.run(f"verify --landed {TAG}").out


def test_drifted_files_are_reported(world: World) -> None:
    base = world.git("merge-base origin/carto/main upstream/main")
    tree = {"LICENSE": "\n"}  # drift: a merge that loses what neither side changed
    commit_in(world, world.origin, PRODUCTION, tree, PRODUCTION, base)
    world.git("fetch --quiet origin")
    finding = one(world, "drift", "look")
    assert finding["what"].startswith("1 file differs from upstream although no fork commit")
    listed = type_it(world, finding["then"])
    assert "LICENSE" in listed.out
    world.git("switch --quiet -c chore/drift origin/carto/main")
    type_it(world, f"{finding['then']} --reset")
    world.git("push --quiet --no-verify origin HEAD:carto/main")
    assert found(world, "drift") == []


def test_a_disabled_workflow_that_came_back_is_reported(world: World) -> None:
    push_as_colleague(world, {".github/workflows/ghcr_deploy.yml": "on: push\n"})
    world.git("fetch --quiet origin")
    finding = one(world, "workflows", "broken")
    land_it(world, finding["then"])
    assert found(world, "workflows") == []


@pytest.mark.slow
def test_a_fork_block_lost_in_a_merge_is_reported(world: World) -> None:
    done = world.run(f"upgrade-carto --tag {TAG} --no-tests")
    assert done.code == 0, done.err
    theirs = world.git(f"show {TAG}:Dockerfile") + "\n"
    land(world, TAG, {"Dockerfile": theirs})
    findings = found(world, "docker")
    assert {finding["level"] for finding in findings} == {"broken"}
    lost = "the Snowflake driver is built against libffi"
    assert f"Dockerfile has lost the fork's block '# CARTO: {lost}'." in [
        finding["what"] for finding in findings
    ]
    shown = type_it(world, findings[0]["then"])
    assert lost in shown.out
    mine = world.git(f"show upstream-sync/{TAG}:Dockerfile") + "\n"
    commit_in(world, world.origin, PRODUCTION, {"Dockerfile": mine})
    world.git("fetch --quiet origin")
    assert found(world, "docker") == []


def test_a_fork_block_that_lost_a_line_in_a_merge_is_reported(world: World) -> None:
    done = world.run(f"upgrade-carto --tag {TAG} --no-tests")
    assert done.code == 0, done.err
    mine = world.git(f"show upstream-sync/{TAG}:Dockerfile") + "\n"
    heading = "# CARTO: the Snowflake driver is built against libffi"
    assert mine.count(heading) == 1
    above, below = mine.split(f"{heading}\n")
    first, rest = below.split("\n", 1)
    land(world, TAG, {"Dockerfile": f"{above}{heading}\n{rest}"})
    finding = one(world, "docker", "look")
    assert finding["what"] == (
        f"1 line of the fork's block {heading!r} is no longer in Dockerfile."
    )
    assert f"-{first}" in type_it(world, finding["then"]).out
    commit_in(world, world.origin, PRODUCTION, {"Dockerfile": mine})
    world.git("fetch --quiet origin")
    assert found(world, "docker") == []


def test_a_marked_line_lost_in_a_merge_is_reported(world: World) -> None:
    mark = "RUN echo odbc  # CARTO: odbc stays"
    text = world.git("show origin/carto/main:Dockerfile") + "\n"
    push_as_colleague(world, {"Dockerfile": f"{text}{mark}\n"})
    world.git("fetch --quiet origin")
    done = world.run(f"upgrade-carto --tag {TAG} --no-tests")
    assert done.code == 0, done.err
    merged = world.git(f"show upstream-sync/{TAG}:Dockerfile") + "\n"
    land(world, TAG, {"Dockerfile": merged.replace(f"{mark}\n", "")})
    finding = one(world, "docker", "broken")
    assert finding["what"] == f"Dockerfile has lost the fork's block {mark!r}."
    dropped = {records.DROPS_FILE: records.add_drops(None, [Drop("Dockerfile", "why", (mark,))])}
    commit_in(world, world.origin, PRODUCTION, dropped)
    world.git("fetch --quiet origin")
    assert found(world, "docker") == []


def test_a_fork_block_in_a_renamed_file_is_not_reported_as_lost(world: World) -> None:
    done = world.run(f"upgrade-carto --tag {TAG} --no-tests")
    assert done.code == 0, done.err
    mine = world.git(f"show upstream-sync/{TAG}:Dockerfile") + "\n"
    land(world, TAG, {"Dockerfile": None, "docker/Dockerfile.main": mine})
    assert found(world, "docker") == []


def notes(world: World, check: str, more: str = "") -> list[str]:
    """The notes of a check."""
    code, report = look(world, f"--check {check} {more}")
    assert code == 0, report
    return [f["what"] for f in report["findings"] if f["level"] == "note"]


def test_the_pull_request_of_a_release_that_production_has_is_to_be_closed(
    world: World, github: GitHub
) -> None:
    older = "v1.76.3"
    assert world.run(f"upgrade-carto --tag {older} --no-tests").code == 0
    assert world.run(f"upgrade-carto --tag {TAG} --no-tests --direct").code == 0
    finding = one(world, "sync-pr", "look")
    what = f"pull request 1 (upstream-sync/{older}) is open, and carto/main contains {TAG}."
    assert finding["what"] == what
    close = finding["then"].partition("if nobody needs what is on it: ")[2]
    type_it(world, close)
    assert found(world, "sync-pr") == []


def test_notes_on_images_and_tests_are_given_only_on_request(world: World) -> None:
    done = world.run(f"upgrade-carto --tag {STABLE} --no-tests")
    assert done.code == 3
    images = notes(world, "docker")
    assert images[0].startswith(f"upstream changed 2 files from v1.75.2-stable to {STABLE}: ")
    tests = notes(world, "tests")
    then = [f["then"] for f in look(world, "--check tests")[1]["findings"]]
    assert then[2].startswith(f"(cd ../{world.work(STABLE).name} && python -m pytest ")
    assert "8 test files from v1.75.2-stable to v1.77.2-stable." in tests[0]
    assert "11 test files touch what the fork changed: tests/fixtures/" in tests[2]
    # They are printed only on request.
    assert not any(f["level"] == "note" for f in look(world, "--offline")[1]["findings"])


def test_a_release_of_an_older_line_is_never_offered(world: World) -> None:
    """Its tag is on a branch that upstream never merges.

    https://github.com/thanos-io/thanos/issues/8311, https://github.com/ponylang/ponyc/issues/2932.
    """
    for tag in world.git("tag --list *-stable", repo=world.upstream).splitlines():
        if tag > "v1.75.2-stable":
            world.git(f"tag --delete {tag}", repo=world.upstream)
    older = "v1.74.9-stable"
    commit_in(world, world.upstream, f"refs/tags/{older}", {"fix": "x\n"}, "v1.75.2-stable~1")
    world.git("fetch --quiet --tags upstream")
    for line in ("forecast", "ci.detect", "status", "next", "doctor --check detection"):
        assert older not in world.run(line).out, line


def test_a_release_tag_moved_to_a_squash_is_accepted(world: World) -> None:
    """Upstream tags the branch of a release, squashes that, and moves the tag there.

    https://github.com/me2resh/apexyard/issues/550, https://github.com/python/cherry-picker/issues/96.
    """
    release, following = "v1.75.2-stable", "v1.76.9"
    pin(world, release)
    tree = world.git(f"rev-parse {release}^{{tree}}", repo=world.upstream)
    squashed = commit_in(
        world, world.upstream, f"refs/tags/{release}", {}, f"{release}~1", tree=tree
    )
    text = world.git(f"show {TAG}:pyproject.toml", repo=world.upstream)
    new = {"pyproject.toml": text.replace("1.76.5", "1.76.9") + "\n"}
    commit_in(world, world.upstream, f"refs/tags/{following}", new, squashed, tree=TAG)
    done = world.run(f"upgrade-carto --tag {following} --no-tests --no-push")
    assert (done.code, done.err) == (0, "")
    assert "Nothing is lost" in done.out


def test_a_changed_base_image_is_noted(world: World) -> None:
    text = world.git(f"show {TAG}:Dockerfile") + "\n"
    first = next(line for line in text.splitlines() if line.startswith(("FROM", "ARG")))
    moved = text.replace(first, f"FROM elsewhere/base:1\n{first}", 1)
    upstream = {"Dockerfile": moved}
    commit = commit_in(world, world.upstream, "refs/heads/main", upstream, f"{TAG}^0")
    world.git(f"tag v1.76.9 {commit}", repo=world.upstream)
    world.git("fetch --quiet --tags upstream")
    world.git("switch --quiet -c upstream-sync/v1.76.9 origin/carto/main")
    changed = "the base image of Dockerfile changed: none -> elsewhere/base:1."
    assert changed in notes(world, "docker")


# --- The database -----------------------------------------------------------------------------

SCHEMAS = (
    "schema.prisma",
    "litellm/proxy/schema.prisma",
    "litellm-proxy-extras/litellm_proxy_extras/schema.prisma",
)
MIGRATIONS = "db/migrations"
POLICY = f"""extends = "carto-litellm"
[migrations]
directory = "{MIGRATIONS}"
"""
PORTABLE = {
    "20250801_first": 'CREATE TABLE "team" ("id" TEXT PRIMARY KEY, "spend" DOUBLE PRECISION);\n',
    "20250901_second": '-- More.\nALTER TABLE "team" ADD COLUMN "note" TEXT DEFAULT \';\';\n'
    'CREATE INDEX "team_spend" ON "team" ("spend");\n',
}


def migrate(world: World, scripts: dict[str, str], repo: str = "origin") -> str:
    """Commit migrations on the fork's production branch, or on upstream's."""
    files = {f"{MIGRATIONS}/{name}/migration.sql": text for name, text in scripts.items()}
    if repo == "origin":
        push_as_colleague(world, {"carto_fork.toml": POLICY, **files})
    else:
        commit_in(world, world.upstream, "refs/heads/main", files)
    world.git(f"fetch --quiet {repo}")
    return world.git(f"rev-parse {repo}/{'carto/main' if repo == 'origin' else 'main'}")


def test_a_schema_that_differs_from_its_copies_is_reported(world: World) -> None:
    text = world.git(f"show origin/carto/main:{SCHEMAS[0]}") + "\n"
    push_as_colleague(world, {SCHEMAS[1]: f"{text}\nmodel Mine {{ id String @id }}\n"})
    world.git("fetch --quiet origin")
    finding = one(world, "prisma", "broken")
    assert finding["what"] == f"{SCHEMAS[1]} differs from {SCHEMAS[0]}."
    mine = f"{text}\nmodel Mine {{ id String @id }}\n"
    push_as_colleague(world, dict.fromkeys(SCHEMAS, mine))
    world.git("fetch --quiet origin")
    assert found(world, "prisma") == []


def test_migrations_out_of_order_are_reported(world: World) -> None:
    before = migrate(world, {"20250905_mine": "SELECT 1;\n"})
    upstream = migrate(world, PORTABLE | {"20251001_third": "SELECT 1;\n"}, "upstream")
    world.git(f"tag v1.79.0-stable {upstream}", repo=world.upstream)
    world.git("fetch --quiet --tags upstream")
    world.git("push --quiet --no-verify", str(world.origin), f"{upstream}:refs/heads/theirs")
    files = {f"{MIGRATIONS}/{name}/migration.sql": text for name, text in PORTABLE.items()}
    sync = "refs/heads/upstream-sync/v1.79.0-stable"
    commit_in(world, world.origin, sync, files, before, upstream)
    world.git(f"fetch --quiet origin {sync}:{sync}")
    finding = one(world, "prisma", "look")
    assert finding["what"] == (
        "20250801_first came after the fork's 20250905_mine, but its name sorts before it."
    )
    assert finding["then"].endswith("invoke doctor --check prisma --migrate postgresql")
    # The finding stays after the landing; a later migration with an older date gets one, too.
    world.git(f"update-ref {PRODUCTION} {sync}", repo=world.origin)
    migrate(world, {"20250802_early": "SELECT 1;\n"})
    early, late = found(world, "prisma")
    assert early["what"] == (
        "the fork's 20250802_early is dated before upstream's older 20250901_second."
    )
    assert late["what"] == finding["what"]


def test_migrations_are_applied_to_sqlite_on_request(world: World) -> None:
    migrate(world, PORTABLE)
    assert notes(world, "prisma", "--migrate sqlite") == [
        "2 migrations applied to SQLite, in order."
    ]
    assert notes(world, "prisma", "--migrate sqlite --dry") == ["2 migrations would be applied."]


def test_a_migration_that_sqlite_rejects_is_noted(world: World) -> None:
    other = {"20250902_postgres": 'ALTER TABLE "team" ALTER COLUMN "note" SET NOT NULL;\n'}
    migrate(world, PORTABLE | other)
    [noted] = notes(world, "prisma", "--migrate sqlite")
    assert noted == (
        '20250902_postgres fails on SQLite at `ALTER TABLE "team" ALTER COLUMN "note" SET NOT '
        'NULL;`: near "ALTER": syntax error.'
    )


def test_broken_migrations_are_reported(world: World) -> None:
    migrate(world, PORTABLE | {"20250801_a_copy": PORTABLE["20250801_first"]})
    finding = one(world, "prisma", "broken", "--migrate sqlite")
    assert finding["what"].startswith("20250801_first fails on SQLite at `CREATE TABLE")
    assert 'table "team" already exists' in finding["what"]


@pytest.fixture(scope="module")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A PostgreSQL server on a socket, if it is installed; the environment to reach it."""
    if not shutil.which("initdb") or not shutil.which("pg_ctl") or not shutil.which("psql"):
        pytest.skip("PostgreSQL is not installed")
    with tempfile.TemporaryDirectory(prefix="pg-", dir="/tmp") as name:
        place = Path(name)
        as_root = os.geteuid() == 0
        if as_root:
            # It refuses to run as root.
            shutil.chown(place, "nobody")
        who = ["setpriv", "--reuid=nobody", "--clear-groups"] if as_root else []
        options = f"-c listen_addresses= -c fsync=off -k {place}"
        for words in (
            ["initdb", "--no-sync", "-A", "trust", "-U", "tester", "-D", f"{place}/data"],
            ["pg_ctl", "-w", "-D", f"{place}/data", "-l", f"{place}/log", "-o", options, "start"],
        ):
            subprocess.run([*who, *words], check=True, capture_output=True, cwd="/")
        yield {"PGHOST": str(place), "PGUSER": "tester"}
        stop = ["pg_ctl", "-D", f"{place}/data", "-m", "immediate", "stop"]
        subprocess.run([*who, *stop], check=True, capture_output=True, cwd="/")


def test_migrations_of_the_sandbox_apply_to_postgresql(
    world: World, postgresql: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in postgresql.items():
        monkeypatch.setenv(name, value)
    assert "2 migrations applied to PostgreSQL, in order." in notes(
        world, "prisma", "--migrate postgresql"
    )


def test_migrations_are_applied_to_postgresql_and_failures_reported(
    world: World, postgresql: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in postgresql.items():
        monkeypatch.setenv(name, value)
    other = {"20250902_postgres": 'ALTER TABLE "team" ALTER COLUMN "note" SET NOT NULL;\n'}
    migrate(world, PORTABLE | other)
    noted = notes(world, "prisma", "--migrate postgresql")
    assert noted == ["3 migrations applied to PostgreSQL, in order."]
    migrate(world, {"20250903_wrong": "SELECT 1;\n\nALTER TABLE missing\n  ADD x TEXT;\n"})
    finding = one(world, "prisma", "broken", "--migrate postgresql")
    assert finding["what"] == (
        "20250903_wrong fails on PostgreSQL at `ALTER TABLE missing ADD x TEXT;`: relation "
        '"missing" does not exist.'
    )
    listed = "SELECT datname FROM pg_database"
    left = world.call(["psql", "-X", "-At", "-d", "postgres", "-c", listed])
    assert "carto_fork" not in left.out


def test_migrations_are_not_checked_without_postgresql(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrate(world, PORTABLE)
    monkeypatch.setenv("PGHOST", "/nowhere")
    code, report = look(world, "--migrate postgresql")
    assert code == 1  # what was asked for did not happen
    assert report["not_checked"]["prisma"].startswith("psql ")


# --- GitHub -----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("idle", slow_but([False, True], True))
def test_a_workflow_that_is_switched_off_is_reported(
    world: World, origin: GitHub, idle: bool
) -> None:
    def switch_off(repository: Repository) -> None:
        repository.state.disabled = [SYNC]
        repository.state.idle = [SYNC] * idle

    _change(origin, switch_off)
    finding = one(world, "workflow", "broken")
    state = "disabled_inactivity" if idle else "disabled_manually"
    assert finding["what"] == f"carto-upstream-sync.yml is switched off ({state})."
    assert ("60 days" in finding["cause"]) == idle
    assert finding["then"] == "gh workflow enable carto-upstream-sync.yml -R CartoDB/litellm"
    fixed(world, "workflow")


def test_a_workflow_that_never_ran_is_reported(world: World, origin: GitHub) -> None:
    _change(origin, lambda repository: repository.state.runs.clear())
    assert found(world, "workflow") == []  # the team's own is not this program's
    text = (
        world.git(f"show origin/carto/main:{load_policy().policy.files.sync}")
        + "\n# carto-fork ci.sync\n"
    )
    commit_in(world, world.origin, "refs/heads/carto/main", {load_policy().policy.files.sync: text})
    world.git("fetch --quiet origin")
    finding = one(world, "workflow", "look")
    type_it(world, finding["then"])
    # The simulated GitHub runs none.
    finding = one(world, "workflow", "look")
    assert "no run of it has begun" in finding["what"] and finding["then"] == "invoke ci.sync"
    type_it(world, finding["then"])
    assert found(world, "workflow") == []


def test_a_failing_workflow_is_reported(world: World, origin: GitHub) -> None:
    def fail(repository: Repository) -> None:
        repository.state.runs = [_run("failure")]

    _change(origin, fail)
    finding = one(world, "workflow", "broken")
    assert finding["what"] == (
        "the last run of carto-upstream-sync.yml (2025-09-30) ended with failure: "
        "https://github.com/CartoDB/litellm/actions/runs/7"
    )
    assert finding["then"] == "gh run view 7 -R CartoDB/litellm --log-failed"

    _change(origin, lambda repository: repository.state.runs.append(_run("success")))
    assert found(world, "workflow") == []


def test_who_may_open_and_approve_pull_requests_is_looked_at(world: World, origin: GitHub) -> None:
    token = "CARTO_SYNC_TOKEN"
    text = world.git(f"show {PRODUCTION}:{SYNC}", repo=world.origin)
    commit_in(world, world.origin, PRODUCTION, {SYNC: f"{text}\n# {token}\n"})
    world.git("fetch --quiet origin")
    finding = one(world, "workflow", "broken")
    assert finding["what"].endswith(f"and the secret {token} is missing.")
    type_it(world, finding["then"])
    assert found(world, "workflow") == []
    _change(origin, lambda repository: repository.state.secrets.append(token))
    type_it(world, one(world, "workflow", "look")["then"])
    assert found(world, "workflow") == []
    type_it(world, f"gh secret delete {token} -R CartoDB/litellm")
    assert one(world, "workflow", "broken") == finding


def test_a_missing_sync_workflow_is_reported(world: World, origin: GitHub) -> None:
    commit_in(world, world.origin, PRODUCTION, {SYNC: None})
    world.git("fetch --quiet origin")
    finding = one(world, "workflow", "look")
    assert finding["what"] == f"carto/main has no {SYNC}."
    assert finding["then"].startswith("invoke fork.adopt")


def test_a_workflow_outside_the_default_branch_is_reported(world: World, origin: GitHub) -> None:
    world.git("symbolic-ref HEAD refs/heads/main", repo=world.origin)
    finding = one(world, "workflow", "broken")
    assert finding["then"] == "gh repo edit CartoDB/litellm --default-branch carto/main"
    world.git("symbolic-ref HEAD refs/heads/carto/main", repo=world.origin)
    assert found(world, "workflow") == []


@pytest.mark.slow
def test_a_sync_pull_request_behind_production_is_reported(world: World, origin: GitHub) -> None:
    done = world.run(f"upgrade-carto --tag {TAG} --no-tests")
    assert done.code == 0, done.err
    assert found(world, "sync-pr") == []
    push_as_colleague(world, {"new.py": "x = 1\n"})
    finding = one(world, "sync-pr", "look")
    assert finding["what"] == (
        f"pull request 1 (upstream-sync/{TAG}) lacks 1 commit of carto/main."
    )
    beside = json.loads(
        world.run("doctor --json --check sync-pr --repo litellm", cwd=world.place).out
    )
    world.git("fetch --quiet origin")
    # `next` would name a newer release, which replaces this one.
    world.git(f"tag -d {STABLE}", repo=world.upstream)
    world.git(f"update-ref -d refs/tags/{STABLE}")
    take = world.run("next").out.splitlines()[0]
    assert take in finding["then"]  # both say the same
    done = world.paste(beside["findings"][0]["then"], cwd=world.place)
    assert done.code == 0, done
    assert found(world, "sync-pr") == []
    assert "gh pr view 1 " in world.run("next").out


@pytest.mark.slow
def test_a_missing_webhook_is_reported(world: World, origin: GitHub) -> None:
    _change(origin, lambda repository: repository.state.secrets.clear())
    finding = one(world, "slack", "look")
    type_it(world, f"{finding['then']} --body {WEBHOOK}")
    assert found(world, "slack") == []

    def share(repository: Repository) -> None:
        repository.state.secrets.clear()
        repository.state.variables.clear()
        repository.state.shared = ["SLACK_WEBHOOK_URL"]

    reads = world.git(f"show origin/carto/main:{SYNC}")
    _change(origin, share)
    levels = [finding["level"] for finding in found(world, "slack")]
    assert levels == (["broken"] if "secrets.SLACK" not in reads and "vars.SLACK" in reads else [])


def test_a_workflow_that_reads_only_the_webhook_variable_is_reported(
    world: World, origin: GitHub
) -> None:
    text = "env:\n  SLACK_WEBHOOK_URL: ${{ vars.SLACK_WEBHOOK_URL }}\n"
    push_as_colleague(world, {SYNC: f"on: workflow_dispatch\n{text}"})
    world.git("fetch --quiet origin")
    finding = one(world, "slack", "broken")
    assert "reads only the variable" in finding["what"]
    type_it(world, f"{finding['then']} --body {WEBHOOK}")
    assert found(world, "slack") == []


def test_an_invalid_webhook_is_reported_without_its_url(
    world: World, origin: GitHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = "https://example.com/not-to-be-shown"
    _change(origin, lambda repository: repository.state.variables.update(SLACK_WEBHOOK_URL=wrong))
    monkeypatch.setenv("SLACK_WEBHOOK_URL", wrong)
    done = world.run("doctor --check slack --json")
    assert done.code == 4
    assert [f["level"] for f in json.loads(done.out)["findings"]] == ["broken", "broken"]
    assert "not-to-be-shown" not in done.out + done.err


@pytest.mark.slow
def test_a_test_message_is_sent_on_request(
    world: World, origin: GitHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SLACK_WEBHOOK_URL", raising=False)
    done = world.run("doctor --slack-test")
    assert done.code == 4 and "no test message was sent: SLACK_WEBHOOK_URL is not set" in done.out
    assert "then: SLACK_WEBHOOK_URL=URL invoke doctor --slack-test\n" in done.out
    with webhook() as slack:
        monkeypatch.setenv("SLACK_WEBHOOK_URL", slack.url)
        assert notes(world, "slack", "--slack-test --dry") == ["a test message would be sent."]
        assert slack.received == []
        assert notes(world, "slack", "--slack-test") == ["the test message was delivered."]
        assert slack.received[0]["text"].startswith("Test message")
    with webhook(Says(404, "no_service")) as slack:
        monkeypatch.setenv("SLACK_WEBHOOK_URL", slack.url)
        done = world.run("doctor --slack-test")
    assert done.code == 4
    assert "the test message was not delivered: Slack answered 404 (no_service)." in done.out
    assert SECRET not in done.out + done.err


def test_allowed_squash_merges_are_reported(world: World, origin: GitHub) -> None:
    def allow(repository: Repository) -> None:
        repository.state.settings.allow_squash_merge = True
        repository.state.settings.allow_merge_commit = False

    _change(origin, allow)
    findings = found(world, "squash-merge")
    assert [finding["level"] for finding in findings] == ["broken", "look"]
    for finding in findings:
        type_it(world, finding["then"])
    assert found(world, "squash-merge") == []


@pytest.mark.slow
def test_an_unprotected_branch_is_reported(world: World, origin: GitHub) -> None:
    _change(origin, lambda repository: repository.state.protection.clear())
    assert "invoke fork.adopt" in one(world, "protection", "look")["then"]
    guard, owners = ".github/workflows/carto-guard.yml", ".github/CODEOWNERS"
    push_as_colleague(world, {guard: "name: Guard\n", owners: "/.github/ @acme/team\n"})
    world.git("fetch --quiet origin")
    people, rules = found(world, "protection")
    assert people["what"] == "no code owner has to approve changes to carto_fork.toml."
    assert "write `/.github/ @CartoDB/TEAM` and `/carto_* @CartoDB/TEAM` as" in people["then"]
    assert len(rules["then"]) < 160, rules["then"]
    shown = world.run("doctor --check protection").out.splitlines()
    wide = [line.strip() for line in shown if len(line) > 80 and "rulesets" not in line]
    assert wide == []  # each of the two commands in that sentence is on one line
    type_it(world, rules["then"])
    with origin.open() as opened:
        assert [documents.ruleset(load_policy().policy)] == opened.origin().state.rulesets
        checks, reviews = opened.origin().state.rulesets[0]["rules"][2:]
        del checks["parameters"]["required_status_checks"][0]["integration_id"]
        reviews["parameters"]["require_code_owner_review"] = False
        opened.origin().state.workflow_permissions["default_workflow_permissions"] = "write"
    push_as_colleague(world, {owners: "* @acme/team\n"})
    world.git("fetch --quiet origin")
    rules, usual = found(world, "protection")
    lacks = "lack the required check Guard from GitHub Actions, the approval of code owners."
    assert lacks in rules["what"]
    type_it(world, rules["then"])
    type_it(world, usual["then"])
    assert found(world, "protection") == []
    assert [each["level"] for each in found(world, "squash-merge")] == []


def test_a_required_linear_history_is_reported(world: World, origin: GitHub) -> None:
    linear = {"required_linear_history": {"enabled": True}}
    _change(origin, lambda repository: repository.state.protection.update({"carto/main": linear}))
    assert "linear history" in one(world, "protection", "broken")["what"]


def test_checks_without_permission_are_skipped(world: World, origin: GitHub) -> None:
    origin.faults = [Fault(match=".*(protection|rules/branches/.*|actions/.*)", what=403, times=99)]
    code, report = look(world, "--check protection --check slack --check workflow")
    assert (code, report["findings"]) == (0, [])
    assert set(report["not_checked"]) == {"protection", "slack", "workflow"}
    assert "not allowed" in report["not_checked"]["protection"]


def test_a_gh_that_is_too_old_or_lacks_access_is_reported(
    world: World, origin: GitHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert found(world, "gh") == []
    origin.faults = [Fault(match="/", what=401, message="Bad credentials")]
    finding = one(world, "gh", "broken")
    assert finding["then"] == "gh auth login --scopes repo,workflow"
    for scopes, level in (("gist, repo", "look"), ("gist", "broken")):
        headers = {"X-OAuth-Scopes": scopes}
        origin.faults = [Fault(match="/", what=200, headers=headers)]
        finding = one(world, "gh", level)
        assert finding["then"].startswith("gh auth refresh --scopes ")
    fake = world.place / "old-gh"
    fake.write_text("#!/bin/sh\necho gh version 2.4.0\n")
    fake.chmod(0o755)
    world.git("config carto-fork.gh", str(fake))
    assert "gh 2.4.0 is too old" in one(world, "gh", "broken")["what"]


def test_checks_that_need_the_network_are_skipped_without_it(world: World, origin: GitHub) -> None:
    shutil.rmtree(world.upstream)
    origin.faults = [Fault(match=".*", what="cut", times=999)]
    done = world.run("doctor --json")
    assert done.code == 0
    report = json.loads(done.out)
    assert {"detection", "workflow", "sync-pr", "slack"} <= report["not_checked"].keys()
    assert "the remote `upstream` cannot be reached" in report["not_checked"]["detection"]
