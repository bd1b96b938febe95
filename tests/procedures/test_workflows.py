"""The fork's workflows, run on the sandbox."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator

import pytest

from carto_standin.github import GitHub
from webhook import SECRET, Webhook, webhook
from workflow import WORKFLOWS, Actions, Run
from world import World, commit_in, push_as_colleague

PRODUCTION = "refs/heads/carto/main"
SYNC, GUARD = "carto-upstream-sync.yml", "carto-guard.yml"
TAG, STABLE, MERGED = "v1.76.5", "v1.77.2-stable", "v1.75.2-stable"
SCHEDULED = {"event_name": "schedule"}
DOCKER = 'echo "$@" >> "$0.calls"; [ "$1" != login ] || cat > "$0.password"'


@pytest.fixture
def hub(world: World, github: GitHub) -> GitHub:
    """GitHub, without an identity for commits except the one that a workflow sets."""
    for key in ("user.name", "user.email"):
        world.call(["git", "config", "--unset", key])
    return github


def docker(actions: Actions) -> list[str]:
    """The arguments that docker was called with."""
    return (actions.place / "bin" / "docker.calls").read_text().splitlines()


# --- Release and images --------------------------------------------------------------------------


@pytest.mark.slow
def test_the_release_workflow_makes_a_release_and_its_images(world: World, hub: GitHub) -> None:
    text = world.git(f"show {PRODUCTION}:pyproject.toml", repo=world.origin)
    files = {"pyproject.toml": text.replace("1.75.2.1", "1.75.2") + "\n"}
    commit_in(world, world.origin, PRODUCTION, files, message="chore: the version of upstream's")
    before = world.refs(world.origin)
    actions = Actions(world, inputs={"bump": "minor"}, commands={"docker": DOCKER}, processes=True)
    run = actions.run("carto_release.yaml")
    assert run.results == {"release": "success", "images": "success"}, run.log
    new = world.refs(world.origin).keys() - before.keys()
    tag = run.outputs["release"]["tag"]
    assert new == {f"refs/tags/{tag}"}
    assert tag.startswith("carto-v1.75.2-")
    tagger = world.git("for-each-ref --format=%(taggername)", f"refs/tags/{tag}", repo=world.origin)
    assert tagger == "github-actions[bot]"
    assert run.step("release --bump").env["GH_TOKEN"] == "ghs_default"
    assert tag in run.summary

    built = [line for line in docker(actions) if line.startswith("buildx build")]
    [words] = [line.split() for line in built]
    image = "ghcr.io/cartodb/litellm-non_root"
    assert f"--tag={image}:{tag}" in words and f"--tag={image}:carto-stable" in words
    assert "linux/amd64,linux/arm64" in words and "--push" in words


def test_a_failed_release_builds_no_images(world: World, hub: GitHub) -> None:
    actions = Actions(world, inputs={"bump": "$(touch pwned)"}, commands={"docker": DOCKER})
    before = world.refs(world.origin)
    run = actions.run("carto_release.yaml")
    assert run.results == {"release": "failure", "images": "skipped"}
    assert world.refs(world.origin) == before
    assert list(world.place.rglob("pwned")) == []


def test_only_the_production_branch_is_released(world: World, hub: GitHub) -> None:
    actions = Actions(world, github={"ref": "refs/heads/feature/x"}, inputs={"bump": "auto"})
    run = actions.run("carto_release.yaml")
    assert run.results == {"release": "skipped", "images": "skipped"}


def test_a_push_to_production_builds_its_images(world: World, hub: GitHub) -> None:
    actions = Actions(world, github={"event_name": "push"}, commands={"docker": DOCKER})
    run = actions.run("carto_ghcr_deploy.yaml")
    assert run.results == {"images": "success"}, run.log
    short = world.git(f"rev-parse --short=7 {PRODUCTION}", repo=world.origin)
    login, *_, build = (line for line in docker(actions) if not line.startswith("buildx version"))
    assert login == "login ghcr.io --username octocat --password-stdin"
    assert (actions.place / "bin" / "docker.password").read_text() == "ghs_default\n"
    assert f"carto-main-{short}" in build and "carto-main-latest" in build
    assert "ghs_default" not in run.log
    assert [step.line for step in run.steps if "GHCR_TOKEN" in step.env] == [
        run.step("docker login").line
    ]


def test_a_tag_builds_the_images_of_the_release(world: World, hub: GitHub) -> None:
    tag = "carto-v1.75.2-9.9.9"
    world.git(f"tag {tag} {PRODUCTION}", repo=world.origin)
    actions = Actions(
        world,
        github={"event_name": "push", "ref_type": "tag", "ref_name": tag},
        commands={"docker": DOCKER},
    )
    run = actions.run("carto_ghcr_deploy.yaml")
    assert run.results == {"images": "success"}, run.log
    [build] = [line for line in docker(actions) if line.startswith("buildx build")]
    assert tag in build and "carto-main-latest" not in build


# --- The guard -----------------------------------------------------------------------------------


REQUIREMENTS, DEPENDENCIES = ".github/carto-fork.txt", ".github/carto-fork-dependencies.txt"


def guarded(world: World, message: str, changes: dict[str, str] | None = None) -> Actions:
    """A pull request with one commit, as the guard's job sees it."""
    tasks = {REQUIREMENTS: "carto-fork==1\n", DEPENDENCIES: "invoke==1\n"}
    base = commit_in(world, world.origin, PRODUCTION, tasks, message="chore: what is installed")
    files = {"litellm/new.py": "NEW = 1\n"} | (changes or {})
    head = commit_in(world, world.origin, "refs/heads/feature/x", files, base, message=message)
    merge = commit_in(
        world, world.origin, "refs/pull/7/merge", {}, base, head, tree=head, message="Merge"
    )
    event = world.place / "event.json"
    pull = {"number": 7, "base": {"sha": base}, "head": {"sha": head}}
    event.write_text(json.dumps({"pull_request": pull}))
    variables = {
        "GITHUB_BASE_REF": "carto/main",
        "GITHUB_HEAD_REF": "feature/x",
        "GITHUB_EVENT_PATH": str(event),
    }
    about = {"event_name": "pull_request", "ref_name": "7/merge"}
    return Actions(world, github=about, environment=variables, commit=merge)


def test_a_pull_request_passes_the_guard(world: World, hub: GitHub) -> None:
    run = guarded(world, "feat: something new").run("carto-guard.yml")
    assert run.results == {"guard": "success"}, run.log


def test_a_pull_request_does_not_replace_the_guard(world: World, hub: GitHub) -> None:
    """What it says of the workflow, of what that installs and of the policy: none of it counts, and
    all of it waits for somebody else who may push to approve this very commit."""
    guard = f".github/workflows/{GUARD}"
    evil = {
        guard: WORKFLOWS[GUARD].replace("carto-fork ci.guard\n", "true\n"),
        REQUIREMENTS: "evil==1\n",
        DEPENDENCIES: "evil==2\n",
        "carto_fork.toml": 'extends = "carto-litellm"\n[files]\nguard = ""\nrequirements = ""\n'
        'sync = ""\nrelease = ""\nimages = ""\nmakefile = ""\ntasks = ""\n',
    }
    twin = ".github/workflows/twin.yml"
    evil[twin] = "on: pull_request\njobs: {x: {name: Guard, steps: [{run: true}]}}\n"
    actions = guarded(world, "feat: another judge", evil)
    run = actions.run(GUARD)
    assert run.results == {"guard": "failure"}
    deciding = f"carto_fork.toml, {guard}, {DEPENDENCIES} and {REQUIREMENTS}, which decide what"
    reporting = f"{twin}, which can report a check of the name Guard, too"
    changes = f"this pull request changes {deciding} Guard checks; and {reporting}. Somebody else"
    assert f"  approval: {changes}" in run.log
    installed = (actions.place / "installed").read_text()
    assert "invoke==1\n" in installed and "carto-fork==1\n" in installed
    assert "evil" not in installed


def test_the_guard_says_that_production_names_nothing_yet(world: World, hub: GitHub) -> None:
    actions = guarded(world, "whatever")
    commit_in(world, world.origin, PRODUCTION, {".github/carto-fork.txt": None})
    run = actions.run("carto-guard.yml")
    assert run.results == {"guard": "success"}
    assert f"carto/main has no {REQUIREMENTS} yet: nothing is checked here." in run.log


def test_the_guard_stops_a_pull_request(world: World, hub: GitHub) -> None:
    run = guarded(world, "whatever").run("carto-guard.yml")
    assert run.results == {"guard": "failure"}
    assert "not a conventional commit" in " ".join(run.log.split())


def test_the_guard_checks_a_merge_queue(world: World, hub: GitHub) -> None:
    actions = guarded(world, "whatever")
    actions.github = {"event_name": "merge_group"}
    assert actions.run("carto-guard.yml").results == {"guard": "failure"}


# --- The sync ------------------------------------------------------------------------------------


@pytest.fixture
def slack() -> Iterator[Webhook]:
    """A simulated Slack."""
    with webhook() as hook:
        yield hook


def message(slack: Webhook) -> str:
    """The headline and the links of the only message that Slack got."""
    [message] = slack.received
    return f"{message['blocks'][0]['text']['text']} {message['blocks'][-2]['text']['text']}"


def with_token(run: Run) -> list[str]:
    """The jobs whose steps got a GitHub token."""
    return [step.job for step in run.steps if "GH_TOKEN" in step.env]


@pytest.mark.slow
def test_a_manual_run_without_conflicts_opens_a_pull_request(
    world: World, hub: GitHub, slack: Webhook
) -> None:
    actions = Actions(world, inputs={"tag": TAG}, vars={"SLACK_WEBHOOK_URL": slack.url})
    run = actions.run(SYNC)
    assert run.results == dict.fromkeys(["detect", "sync", "test", "notify"], "success"), run.log
    pull = "https://github.com/CartoDB/litellm/pull/"
    assert run.outputs["sync"]["result"] == "clean"
    assert run.outputs["sync"]["pull_request"].startswith(pull)
    assert f"refs/heads/upstream-sync/{TAG}" in world.refs(world.origin)
    assert f"The upgrade to {TAG} is ready for review" in message(slack)
    assert run.outputs["sync"]["pull_request"] in message(slack)
    assert "/actions/runs/99" in message(slack)
    assert f"# The upgrade to {TAG} is ready for review\n" in run.summary
    assert with_token(run) == ["detect", "sync"]
    assert [step.job for step in run.steps if "SLACK_WEBHOOK_URL" in step.env] == ["notify"]
    assert "SECRET" not in run.log and "ghs_default" not in run.log
    authors = world.git(
        f"log --format=%an {PRODUCTION}..upstream-sync/{TAG} --first-parent", repo=world.origin
    )
    assert set(authors.splitlines()) == {"github-actions[bot]"}


@pytest.mark.slow
def test_a_scheduled_run_reports_conflicts(world: World, hub: GitHub, slack: Webhook) -> None:
    tokens = {"CARTO_SYNC_TOKEN": "ghp_own", "SLACK_WEBHOOK_URL": slack.url}
    elsewhere = {"SLACK_WEBHOOK_URL": f"https://hooks.slack.com/services/{SECRET}"}
    run = Actions(world, github=SCHEDULED, secrets=tokens, vars=elsewhere).run(SYNC)
    assert run.results == {
        "detect": "success",
        "sync": "success",
        "test": "skipped",
        "notify": "success",
    }, run.log
    assert run.outputs["detect"]["tag"] == STABLE
    assert run.outputs["sync"]["result"] == "conflicts"
    assert f"The upgrade to {STABLE} needs attention" in message(slack)
    assert run.step("detect").env["GH_TOKEN"] == "ghs_default"
    assert run.step("ci.sync").env["GH_TOKEN"] == "ghp_own"


def test_scheduled_runs_leave_a_closed_pull_request_alone(world: World, hub: GitHub) -> None:
    """Without a page to review it by: a job's clone does not have the release then."""
    opened = Actions(world, github=SCHEDULED).run(SYNC)
    assert opened.results["sync"] == "success", opened.log
    assert opened.step("carto-fork report").done.code == 0
    assert world.call(["gh", "pr", "close", "1", "-R", "CartoDB/litellm"]).code == 0
    run = Actions(world, github=SCHEDULED).run(SYNC)
    assert (run.results["sync"], run.results["notify"]) == ("success", "success"), run.log
    assert run.outputs["sync"]["result"] == "declined"
    assert f"# Somebody closed the pull request for {STABLE}\n" in run.summary


def test_a_scheduled_run_changes_nothing_if_nothing_is_new(
    world: World, hub: GitHub, slack: Webhook
) -> None:
    for tag in world.git("tag --list *-stable", repo=world.upstream).splitlines():
        if tag > MERGED:
            world.git(f"tag --delete {tag}", repo=world.upstream)
    before = world.refs(world.origin)
    run = Actions(world, github=SCHEDULED, vars={"SLACK_WEBHOOK_URL": slack.url}).run(SYNC)
    assert run.results == {
        "detect": "success",
        "sync": "skipped",
        "test": "skipped",
        "notify": "success",
    }, run.log
    assert world.refs(world.origin) == before
    assert slack.received == []


@pytest.mark.slow
def test_the_team_gets_one_message_if_upstream_moves_a_merged_release(
    world: World, hub: GitHub, slack: Webhook
) -> None:
    """By the workflow, and by anybody who runs the task on a schedule of their own."""
    for tag in world.git("tag --list *-stable", repo=world.upstream).splitlines():
        if tag > MERGED:
            world.git(f"tag --delete {tag}", repo=world.upstream)
    commit = world.git(f"rev-parse {MERGED}^0", repo=world.upstream)
    pins = f'[tags]\n"{MERGED}" = {{ object = "{commit}", commit = "{commit}" }}\n'
    push_as_colleague(world, {"carto_tags.toml": pins})
    world.git(f"tag --force {MERGED} main", repo=world.upstream)
    now = world.git(f"rev-parse {MERGED}^0", repo=world.upstream)
    said = f"Upstream has moved {MERGED} from {commit[:10]} to {now[:10]} since it was merged."
    world.git("fetch --quiet origin")
    cached: set[str] = set()
    url = {"SLACK_WEBHOOK_URL": slack.url}
    for _ in range(2):
        Actions(world, github=SCHEDULED, vars=url, cached=cached).run(SYNC)
        world.run("ci.sync", cwd=None, SLACK_WEBHOOK_URL=slack.url)
    workflow, task = slack.received
    for message in (workflow, task):
        headline, _, text, *_ = (block.get("text", {}).get("text") for block in message["blocks"])
        assert headline == "Upstream changed a release that the fork already merged"
        assert text.startswith(said)


def test_a_dry_run_publishes_nothing(world: World, hub: GitHub, slack: Webhook) -> None:
    before = world.refs(world.origin)
    inputs = {"tag": TAG, "dry_run": True}
    run = Actions(world, inputs=inputs, vars={"SLACK_WEBHOOK_URL": slack.url}).run(SYNC)
    assert run.results == {
        "detect": "success",
        "sync": "skipped",
        "test": "success",
        "notify": "skipped",
    }, run.log
    assert world.refs(world.origin) == before
    assert slack.received == []
    assert with_token(run) == ["detect"]


def test_a_scheduled_run_is_skipped_if_the_schedule_is_off(world: World, hub: GitHub) -> None:
    run = Actions(world, github=SCHEDULED, vars={"CARTO_SYNC_SCHEDULE": "off"}).run(SYNC)
    assert set(run.results.values()) == {"skipped"}
    assert run.steps == []


def test_an_unreachable_upstream_is_reported_as_a_failure(
    world: World, hub: GitHub, slack: Webhook
) -> None:
    shutil.rmtree(world.upstream)
    run = Actions(world, github=SCHEDULED, vars={"SLACK_WEBHOOK_URL": slack.url}).run(SYNC)
    assert run.results == {
        "detect": "failure",
        "sync": "skipped",
        "test": "skipped",
        "notify": "success",
    }
    assert "failed" in message(slack) and "/actions/runs/99" in message(slack)
    why = "cannot be reached."
    assert why in slack.received[0]["text"] and why in run.summary


@pytest.mark.slow
def test_failing_upstream_tests_are_reported_with_the_pull_request(
    world: World, hub: GitHub, slack: Webhook
) -> None:
    actions = Actions(
        world,
        inputs={"tag": TAG},
        vars={"SLACK_WEBHOOK_URL": slack.url},
        commands={"make": "env > $0.env; exit 1"},
    )
    run = actions.run(SYNC)
    assert run.results["sync"] == "success" and run.results["test"] == "failure", run.log
    assert f"The upgrade to {TAG} failed" in message(slack)
    assert run.outputs["sync"]["pull_request"] in message(slack)
    assert "make install-dev" in run.summary
    assert f"Next: in a clone of the fork: carto-fork upgrade-carto --tag {TAG} (it" in run.log
    seen = (actions.place / "bin" / "make.env").read_text()
    assert "TOKEN" not in seen and "SECRET" not in seen and "SLACK" not in seen


@pytest.mark.slow
def test_a_hostile_tag_runs_nothing(world: World, hub: GitHub, slack: Webhook) -> None:
    actions = Actions(
        world,
        inputs={"tag": '"; touch pwned; "$(touch pwned)'},
        vars={"SLACK_WEBHOOK_URL": slack.url},
        processes=True,
    )
    before = world.refs(world.origin)
    run = actions.run(SYNC)
    assert run.results["sync"] == "failure"
    assert world.refs(world.origin) == before
    assert list(world.place.rglob("pwned")) == []
    assert "failed" in message(slack)
