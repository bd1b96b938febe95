"""Tasks never remove a person's work, and never publish anything unchecked."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from world import BOTH_SIDES, World, push_as_colleague, resolved_by_hand, snag

TAG = "v1.76.5"
UPGRADE = f"upgrade-carto --tag {TAG}"
PAUSES = "upgrade-carto --tag v1.77.2-stable"
PAUSED = "v1.77.2-stable"


def killed_in_merge(world: World) -> None:
    """An upgrade that was killed in the middle of its merge."""
    ended = world.spawn(f"{UPGRADE} --no-tests", PATH=snag(world, 4, "kill -KILL $PPID $$").path)
    assert ended.code == -9
    assert world.work(TAG).exists()


def test_a_persons_work_after_a_kill_is_moved_aside(world: World) -> None:
    killed_in_merge(world)
    note = world.work(TAG) / "tests" / "test_mine.py"
    note.write_text("mine\n")
    (world.work(TAG) / "README.md").write_text("mine too\n")
    assert world.run("setup").code == 0
    assert note.exists()
    done = world.run(f"{UPGRADE} --no-tests")
    assert done.code == 0, done.err
    aside = Path(f"{world.work(TAG)}.cut-1")
    assert (aside / "tests" / "test_mine.py").read_text() == "mine\n"
    assert (aside / "README.md").read_text() == "mine too\n"
    assert f"kept in ../{aside.name}; remove that directory" in " ".join(done.out.split())
    assert "refs/heads/upstream-sync/v1.76.5" in world.refs(world.origin)


def test_pasted_dry_output_publishes_nothing_if_conflicts_are_left(world: World) -> None:
    origin = world.refs(world.origin)
    dry = world.run(f"--dry {PAUSES}")
    assert dry.code == 0, dry.err
    pasted = world.paste(dry.out)
    assert pasted.code == 3
    assert world.refs(world.origin) == origin
    assert "refs/carto-fork" not in "".join(world.refs(world.fork))


def test_a_file_that_is_staged_with_its_markers_is_not_committed(world: World) -> None:
    world.run(PAUSES)
    work = world.work(PAUSED)
    before = world.git("rev-parse HEAD", repo=work)
    world.git("add Dockerfile ui", repo=work)
    again = world.run(PAUSES)
    assert (again.code, again.err) == (
        3,
        "Paused: 2 conflicts need a person. "
        "Dockerfile, ui/litellm-dashboard/src/app/layout.tsx are staged with their markers; "
        "`git add` each again once it has none.\n"
        "Your checkout, carto/main and origin are unchanged.\n"
        f"Next: resolve the rest in ../litellm.upstream-sync-{PAUSED}, `git add` each file, "
        f"then run `invoke {PAUSES}` again.\n",
    )
    assert "\n21 of 23 conflicts decided, 2 left.\n" in again.out
    assert (
        f"2 conflicts left in ../litellm.upstream-sync-{PAUSED}" in world.run("status --json").out
    )
    said = world.run("resolve-conflicts --keep-fork Dockerfile --reason ours").err
    assert " checkout --conflict=diff3 -- Dockerfile` puts its conflict back; then run " in said
    assert world.git("rev-parse HEAD", repo=work) == before


def restored(world: World) -> World:
    """An upgrade that was given up, and whose branch was restored by the line that --abort says."""
    done = world.run(f"{PAUSES} --abort")
    assert done.code == 0, done.err
    assert not world.work(PAUSED).exists()
    line = next(line for line in done.out.splitlines() if "To restore it: " in line)
    world.call(line.partition("To restore it: ")[2].split())
    return world


def test_an_aborted_upgrade_is_restored_as_it_was(world: World) -> None:
    world.run(PAUSES)
    work = world.work(PAUSED)
    (work / "Dockerfile").write_text("FROM mine\n")
    world.git("add Dockerfile", repo=work)
    (work / "notes.txt").write_text("mine\n")
    (work / "README.md").write_text("mine, too\n")
    states = [(world.git("status --porcelain", repo=work), world.git("ls-files -s", repo=work))]
    again = world.run(PAUSES)
    restored(world)
    done = world.run(PAUSES)
    assert (done.code, done.err) == (again.code, again.err)
    states.append((world.git("status --porcelain", repo=work), world.git("ls-files -s", repo=work)))
    assert states[0] == states[1]
    assert (work / "Dockerfile").read_text() == "FROM mine\n"
    (work / "notes.txt").unlink()
    world.git("checkout README.md", repo=work)
    world.git("checkout --theirs ui", repo=work)
    world.git("add ui", repo=work)
    assert world.run(f"{PAUSES} --no-tests").code == 4  # it lost what Dockerfile had
    assert "Dockerfile" in world.git(f"diff --name-only carto/main upstream-sync/{PAUSED}")
    assert "wip: " not in world.git(f"log --format=%s upstream-sync/{PAUSED}")


def test_changes_after_an_aborted_merge_are_restored_uncommitted(world: World) -> None:
    assert world.run(f"{UPGRADE} --no-tests --no-push").code == 0
    work = world.work(TAG)
    head = world.git("rev-parse HEAD", repo=work)
    (work / "README.md").write_text("mine\n")
    done = world.run(f"{UPGRADE} --abort")
    line = next(line for line in done.out.splitlines() if "To restore it: " in line)
    world.call(line.partition("To restore it: ")[2].split())
    done = world.run(f"{UPGRADE} --no-tests")
    assert (done.code, world.git("rev-parse HEAD", repo=work)) == (3, head)
    assert world.git("status --porcelain", repo=work) == " M README.md"
    assert world.run(f"{UPGRADE} --no-tests").code == 1
    world.git("checkout README.md", repo=work)
    assert world.run(f"{UPGRADE} --no-tests").code == 0
    given_up = json.loads(world.run(f"{UPGRADE} --abort --json").out)
    assert given_up == {"tag": TAG, "branch": f"upstream-sync/{TAG}", "abandoned": head}


@pytest.mark.parametrize(
    ("install", "said"),
    [
        ("sh -c 'echo >> README.md'", "README.md"),
        ("git -c user.name=x -c user.email=x@example.com commit -qam x", "nothing to commit"),
        ("sh -c 'echo >> README.md; git commit -qam x'", "README.md"),
    ],
)
def test_an_install_command_that_changes_or_commits_files_stops_the_upgrade(
    world: World, install: str, said: str
) -> None:
    text = f'extends = "carto-litellm"\n[commands]\ninstall = ["{install}"]\ntest = ["true"]\n'
    push_as_colleague(world, {"carto_fork.toml": text})
    origin = world.refs(world.origin)
    done = world.run(UPGRADE)
    assert done.code == 4
    assert said in done.err + done.out
    assert world.refs(world.origin) == origin


def test_checks_see_no_file_that_the_branch_lacks_except_what_they_made(world: World) -> None:
    text = 'extends = "carto-litellm"\n[commands]\ninstall = ["touch built"]\nlint = []\n'
    push_as_colleague(world, {"carto_fork.toml": f'{text}test = ["test -e mine"]\n'})
    assert world.run(UPGRADE).code == 4
    (world.work(TAG) / "mine").touch()
    done = world.run(UPGRADE)
    work = f"../litellm.upstream-sync-{TAG}"
    assert (done.code, done.err) == (
        3,
        f"Paused: {work} has files that are not committed: mine. The checks would see them, and "
        "the branch would not have them.\n"
        "This step did not run, and nothing was pushed.\n"
        f"Next: git -C {work} add mine && git -C {work} commit, or delete them; "
        f"then run `invoke {UPGRADE}` again.\n",
    )
    world.git("add mine", repo=world.work(TAG))
    world.git("commit -m mine", repo=world.work(TAG))
    done = world.run(UPGRADE)
    assert (done.code, done.err) == (0, "")
    kept = f"{work} is kept: it contains files that are not committed: built."
    assert kept in done.out.replace("\n  ", " ")
    removes = f"if nobody needs what is in it, type git worktree remove --force {work}"
    for line in ("status", "next"):
        said = world.run(line).out.replace("\n#", "").replace("`", "")
        assert removes in " ".join(said.split()), line


def test_what_a_check_made_before_it_was_killed_stops_nothing(world: World) -> None:
    text = 'extends = "carto-litellm"\n[commands]\ninstall = ["touch built"]\ntest = ["false"]\n'
    push_as_colleague(world, {"carto_fork.toml": text})
    assert world.run(UPGRADE).code == 4
    work = world.work(TAG)
    noted = Path(
        world.git("rev-parse --path-format=absolute --git-path carto-fork-made", repo=work)
    )
    noted.write_text("/")  # what a run that was killed leaves
    (work / "half-built").touch()
    assert world.run(UPGRADE).code == 4
    assert "half-built" in noted.read_text()


def test_a_program_that_is_not_installed_is_no_matter_of_the_merge(world: World) -> None:
    text = 'extends = "carto-litellm"\n[commands]\ninstall = ["no-such-tool --all"]\n'
    push_as_colleague(world, {"carto_fork.toml": text})
    done = world.run(UPGRADE)
    assert "Next: install `no-such-tool` here, if that is what is missing, then run" in done.err
    assert (done.code, "It saw none of these variables" in done.err) == (4, False)


SECRETS = [
    *("GH_TOKEN", "GITHUB_PAT", "OPENAI_API_KEY", "PGPASSWORD", "NPM_AUTH", "SSH_AUTH_SOCK"),
    *("npm_config__auth", "GIT_CONFIG_VALUE_0", "GITHUB_OUTPUT", "GITHUB_ENV"),
    *("SLACK_WEBHOOK_URL", "DATABASE_URL", "whatever"),
]


def test_checks_see_only_what_they_may(world: World) -> None:
    text = 'extends = "carto-litellm"\n[commands]\ninstall = ["env"]\ntest = ["false"]\nlint = []\n'
    push_as_colleague(world, {"carto_fork.toml": f'{text}environment = ["DATABASE_URL"]\n'})
    given = dict.fromkeys(SECRETS, "seen") | {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "a.b"}
    given |= {"JAVA_HOME": "/java", "https_proxy": "proxy"}
    done = world.run(UPGRADE, cwd=None, **given)
    assert done.code == 4
    shown = [line for line in done.out.splitlines() if line.endswith("=seen")]
    assert shown == ["DATABASE_URL=seen"]
    assert "JAVA_HOME=/java" in done.out and "https_proxy=proxy" in done.out
    [log] = [path.read_text() for path in world.fork.glob(".git/carto-fork/*/test.log")]
    (hidden,) = re.findall(
        r"^It saw none of these variables; .* what it may see: (.*)\.$", log, re.MULTILINE
    )
    assert {*SECRETS} - {"DATABASE_URL"} <= {*hidden.split(", ")}


def test_a_work_tree_in_use_is_kept(world: World) -> None:
    world.run(PAUSES)
    work = world.work(PAUSED)
    resolved_by_hand(world, work)
    done = world.run(f"{PAUSES} --no-tests", cwd=work)
    assert (done.code, done.err) == (0, "")
    assert work.exists()
    assert f"refs/heads/upstream-sync/{PAUSED}" in world.refs(world.origin)


def test_untracked_files_are_kept_even_if_git_does_not_show_them(world: World) -> None:
    world.git("config status.showUntrackedFiles no")
    world.run(f"{UPGRADE} --no-tests --no-push")
    (world.work(TAG) / "notes.txt").write_text("mine\n")
    done = world.run(f"{UPGRADE} --no-tests")
    assert done.code == 0, done.err
    assert (world.work(TAG) / "notes.txt").read_text() == "mine\n"
    kept = f"../litellm.upstream-sync-{TAG} is kept: it contains files that are not committed: "
    kept += "notes.txt."
    assert kept in done.out.replace("\n  ", " ")


def test_a_workflow_staged_by_hand_is_kept(world: World) -> None:
    world.run(PAUSES)
    work = world.work(PAUSED)
    mine = work / ".github" / "workflows" / "helm_unit_test.yml"
    mine.write_text("name: mine\n")
    world.git("add .github", repo=work)
    world.run(f"resolve-conflicts --repo {work}")
    assert mine.read_text() == "name: mine\n"


def test_json_reports_why_a_task_stopped(world: World) -> None:
    done = world.run(f"{PAUSES} --json")
    assert done.code == 3
    data = json.loads(done.out)
    assert (data["stopped"], data["exit_code"]) == ("paused", 3)
    assert data["what"] == "2 conflicts need a person."
    assert data["work_tree"] == f"../litellm.upstream-sync-{PAUSED}"
    assert data["files"] == [*BOTH_SIDES]
    assert f"run `invoke {PAUSES} --json` again." in data["then"]


def test_the_mirror_is_never_the_production_branch(world: World) -> None:
    text = 'extends = "carto-litellm"\n[branches]\nproduction = "main"\n'
    push_as_colleague(world, {"carto_fork.toml": text})
    world.git("fetch --quiet origin")
    before = world.refs(world.origin)
    done = world.run("sync-main")
    assert done.code == 1
    assert "must differ from each other" in done.err
    assert world.refs(world.origin) == before


def test_an_upgrade_leaves_a_sparse_checkout_sparse(world: World) -> None:
    world.git("update-index --refresh")
    world.git("sparse-checkout set litellm")
    done = world.run(UPGRADE)
    assert done.code == 0, done.err
    assert not (world.fork / "tests" / "smoke").exists()
