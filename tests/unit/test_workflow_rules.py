"""The workflows for the fork: what they may do, and to whom they give it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest

from carto_fork.fork import policy
from carto_fork.tasks import namespace
from workflow import INSTALL, WORKFLOWS, evaluated, filled, read
from world import ROOT

NAMES = sorted(WORKFLOWS)
SYNC, RELEASE, IMAGES, GUARD = (
    "carto-upstream-sync.yml",
    "carto_release.yaml",
    "carto_ghcr_deploy.yaml",
    "carto-guard.yml",
)
TEXTS = WORKFLOWS
PINNED = re.compile(r"uses: [\w-]+/[\w-]+@[0-9a-f]{40} # v\d+(\.\d+)*")
SECRET = re.compile(r"secrets\.|github\.token")


def jobs(name: str) -> dict[str, dict[str, Any]]:
    """The jobs of a workflow, by their ids."""
    found: dict[str, dict[str, Any]] = read(name)["jobs"]
    return found


def steps() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Every step, with its workflow and its job."""
    for name in NAMES:
        for job, spec in jobs(name).items():
            yield from ((name, job, step) for step in spec.get("steps", []))


def test_there_are_exactly_the_four_expected_workflows() -> None:
    assert sorted([SYNC, RELEASE, IMAGES, GUARD]) == NAMES
    assert (policy.load_policy().policy.releases or pytest.fail()).workflow == RELEASE


@pytest.mark.parametrize("name", NAMES)
def test_actions_are_pinned(name: str) -> None:
    lines = [line.strip().removeprefix("- ") for line in TEXTS[name].splitlines()]
    used = [line for line in lines if line.startswith("uses: ")]
    local = [line for line in used if line.startswith("uses: ./.github/workflows/")]
    assert [line for line in used if line not in local and not PINNED.fullmatch(line)] == []
    assert {line.split()[1].rpartition("/")[2] for line in local} <= WORKFLOWS.keys()


def test_the_document_lists_the_actions_that_an_organisation_has_to_allow() -> None:
    page = (ROOT / "docs" / "automation.md").read_text(encoding="utf-8")
    used = re.findall(r"uses: ([\w-]+/[\w-]+)@", "".join(TEXTS.values()))
    assert set(re.findall(r"`((?:actions|docker)/[\w-]+)`", page)) == set(used)


def test_an_action_has_one_version() -> None:
    own = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    used = {
        line.split("@")[0]: set(
            re.findall(f"{line.split('@')[0]}@.*", "\n".join([own, *TEXTS.values()]))
        )
        for line in re.findall(r"[\w-]+/[\w-]+@.*", "\n".join(TEXTS.values()))
    }
    assert {action: versions for action, versions in used.items() if len(versions) > 1} == {}


@pytest.mark.parametrize("name", NAMES)
def test_permissions_are_given_to_each_job(name: str) -> None:
    assert read(name)["permissions"] == {}
    assert all(isinstance(job["permissions"], dict) for job in jobs(name).values())


def test_only_the_listed_jobs_have_write_permissions() -> None:
    allowed = {
        (name, job): sorted(key for key, value in spec["permissions"].items() if value == "write")
        for name in NAMES
        for job, spec in jobs(name).items()
    }
    assert {where: what for where, what in allowed.items() if what} == {
        (SYNC, "sync"): ["contents", "issues", "pull-requests"],
        (RELEASE, "release"): ["contents"],
        (RELEASE, "images"): ["packages"],
        (IMAGES, "images"): ["packages"],
    }
    every = (spec["permissions"] for name in NAMES for spec in jobs(name).values())
    assert {value for permissions in every for value in permissions.values()} == {"read", "write"}


def test_no_value_is_pasted_into_a_command_line() -> None:
    assert [step["run"] for _, _, step in steps() if "${{" in step.get("run", "")] == []


def test_checkouts_leave_no_credentials() -> None:
    checkouts = [s for _, _, s in steps() if s.get("uses", "").startswith("actions/checkout@")]
    assert checkouts
    assert {step["with"]["persist-credentials"] for step in checkouts} == {False}


def test_workflows_check_out_the_production_branch() -> None:
    refs = {
        (name, job): step["with"].get("ref")
        for name, job, step in steps()
        if step.get("uses", "").startswith("actions/checkout@")
    }
    assert refs.pop((GUARD, "guard")) is None
    assert set(refs.values()) == {policy.load_policy().policy.branches.production}


@pytest.mark.parametrize("name", NAMES)
def test_secrets_are_given_only_to_single_steps(name: str) -> None:
    """Not for a whole workflow or job, and not as an option of an action."""
    workflow = read(name)
    assert not SECRET.search(str(workflow.get("env")))
    for job in jobs(name).values():
        outside = {key: value for key, value in job.items() if key != "steps"}
        assert not SECRET.search(str(outside)) and "secrets" not in job
    assert not [s for _, _, s in steps() if SECRET.search(str({**s, "env": None}))]


def test_only_the_listed_steps_get_secrets() -> None:
    given = {
        (name, job, key): SECRET.findall(str(value))
        for name, job, step in steps()
        for key, value in step.get("env", {}).items()
        if SECRET.search(str(value))
    }
    assert sorted(given) == sorted(
        [
            (GUARD, "guard", "GH_TOKEN"),
            (SYNC, "detect", "GH_TOKEN"),
            (SYNC, "sync", "GH_TOKEN"),
            (SYNC, "notify", "SLACK_WEBHOOK_URL"),
            (RELEASE, "release", "GH_TOKEN"),
            (IMAGES, "images", "GHCR_TOKEN"),
        ]
    )


def test_upstreams_tests_run_in_a_job_without_secrets() -> None:
    assert not SECRET.search(str(jobs(SYNC)["test"]))
    assert not re.search(r"GIT_CONFIG|TOKEN", str(jobs(SYNC)["test"]))
    assert jobs(SYNC)["test"]["permissions"] == {"contents": "read"}
    [sync] = [step for _, job, step in steps() if job == "sync" and step.get("id") == "sync"]
    assert "--no-tests" in shlex.split(sync["run"])


def test_the_guard_workflow_has_no_secrets_and_no_write_permission() -> None:
    assert set(SECRET.findall(TEXTS[GUARD])) == {"github.token"}
    assert set(jobs(GUARD)["guard"]["permissions"].values()) == {"read"}


def test_each_workflow_has_the_expected_triggers() -> None:
    triggers = {name: read(name)["on"] for name in NAMES}
    assert {name: sorted(found) for name, found in triggers.items()} == {
        SYNC: ["schedule", "workflow_dispatch"],
        RELEASE: ["workflow_dispatch"],
        IMAGES: ["push", "workflow_call"],
        GUARD: ["merge_group", "pull_request"],
    }
    assert triggers[GUARD]["pull_request"] == {"branches": ["carto/main"]}
    assert triggers[RELEASE]["workflow_dispatch"]["inputs"]["bump"]["options"] == [
        "auto",
        "patch",
        "minor",
        "major",
    ]
    assert triggers[IMAGES]["push"] == {"branches": ["carto/main"], "tags": ["carto-v*-*"]}
    [schedule] = triggers[SYNC]["schedule"]
    assert re.fullmatch(r"\d+ \*/8 \* \* \*", schedule["cron"])


@pytest.mark.parametrize("name", NAMES)
def test_every_job_has_a_timeout(name: str) -> None:
    assert all("timeout-minutes" in job or "uses" in job for job in jobs(name).values())
    assert read(name)["concurrency"]["group"]


def test_only_the_guard_cancels_a_run_in_progress() -> None:
    cut = {name: read(name)["concurrency"]["cancel-in-progress"] for name in NAMES}
    assert cut == {SYNC: False, RELEASE: False, IMAGES: False, GUARD: True}


def test_workflow_steps_run_only_tasks() -> None:
    lines = {step["run"] for _, _, step in steps() if "run" in step}
    assert INSTALL in lines
    others = {line for line in lines if line != INSTALL and not line.startswith("carto-fork ")}
    guard, login = sorted(others)
    assert "docker login ghcr.io" in login
    # The one that does not install from the checkout, which is a pull request's.
    first, *_, last = guard.splitlines()
    assert (first.split()[:2], last) == (["git", "config"], "carto-fork ci.guard")


@pytest.mark.parametrize(
    "line",
    sorted({s["run"] for _, _, s in steps() if s.get("run", "").startswith("carto-fork ")}),
)
def test_every_task_and_option_that_a_workflow_calls_exists(line: str) -> None:
    _, task, *options = shlex.split(line)
    assert task in namespace.task_names
    known = {flag for argument in namespace[task].get_arguments() for flag in _flags(argument)}
    assert {option.partition("=")[0] for option in options} <= known


def _flags(argument: Any) -> list[str]:
    name = argument.name.replace("_", "-")
    return [f"--{name}", f"--no-{name}"]


@pytest.mark.parametrize(
    ("event", "variable", "runs"),
    [
        ("schedule", None, True),
        ("schedule", "on", True),
        ("schedule", "off", False),
        ("workflow_dispatch", "off", True),
    ],
)
def test_the_schedule_can_be_switched_off(event: str, variable: str | None, runs: bool) -> None:
    names = {"github": {"event_name": event}, "vars": {"CARTO_SYNC_SCHEDULE": variable}}
    assert evaluated(jobs(SYNC)["detect"]["if"], names) is runs


@pytest.mark.parametrize(
    ("detect", "sync", "result", "test", "event"),
    [
        ("success", "skipped", None, "skipped", "nothing"),
        ("success", "success", "nothing", "skipped", "nothing"),
        ("success", "success", "clean", "success", "success"),
        ("success", "success", "conflicts", "skipped", "conflicts"),
        ("success", "success", "waiting", "skipped", "waiting"),
        ("success", "success", "declined", "skipped", "declined"),
        ("success", "success", "clean", "failure", "failure"),
        ("success", "failure", None, "skipped", "failure"),
        ("failure", "skipped", None, "skipped", "failure"),
    ],
)
def test_the_notify_job_reports_the_expected_event(
    detect: str, sync: str, result: str | None, test: str, event: str
) -> None:
    needs = {
        "detect": {"result": detect, "outputs": {}},
        "sync": {"result": sync, "outputs": {"result": result}},
        "test": {"result": test, "outputs": {}},
    }
    step = jobs(SYNC)["notify"]["steps"][-1]
    assert filled(step["env"]["EVENT"], {"needs": needs, "steps": {}}) == event


@pytest.mark.parametrize(
    ("inputs", "ref_type", "release"),
    [
        ({}, "branch", ""),
        ({}, "tag", "carto-v1.76.5-0.1.0"),
        ({"release": "carto-v1.77.2-0.2.0"}, "branch", "carto-v1.77.2-0.2.0"),
    ],
)
def test_the_images_job_builds_the_expected_release(
    inputs: dict[str, str], ref_type: str, release: str
) -> None:
    github = {"ref_type": ref_type, "ref_name": "carto-v1.76.5-0.1.0"}
    text = jobs(IMAGES)["images"]["env"]["RELEASE"]
    assert filled(text, {"github": github, "inputs": inputs}) == release
