"""The tasks around an upgrade, each on the sandbox: what they print, what they change."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from world import World, commit_in, message, push_as_colleague, shim

TAG, STABLE = "v1.76.5", "v1.77.2-stable"
SYNC = f"upstream-sync/{TAG}"
WORK = f"../litellm.upstream-sync-{TAG}"
UPSTREAM_URL = "https://github.com/BerriAI/litellm.git"
ORIGIN_URL = "https://github.com/CartoDB/litellm.git"


def settings(world: World) -> str:
    """The clone's own configuration."""
    return (world.fork / ".git" / "config").read_text()


def upgraded(world: World, options: str = "", tag: str = TAG, code: int = 0) -> None:
    """Run an upgrade, which ends with an exit code."""
    done = world.run(f"upgrade-carto --tag {tag} --no-tests {options}")
    assert done.code == code, done.err


@pytest.fixture
def prepared(world: World) -> World:
    """A world with a prepared upgrade that is not published."""
    upgraded(world, "--no-push")
    return world


# --- setup -----------------------------------------------------------------------------------


def test_setup_adds_what_is_missing_and_the_second_time_nothing(world: World) -> None:
    world.git("remote remove upstream")
    first = world.run("setup")
    assert (first.code, first.err) == (0, "")
    assert first.out == (
        "1/4 upstream  Add the original repository as a remote.\n"
        f"    $ git remote add upstream {UPSTREAM_URL}\n"
        "2/4 rerere    Let git remember how people resolve conflicts.\n"
        "    $ git config rerere.enabled true\n"
        "3/4 zdiff3    Let git show the common ancestor in every conflict.\n"
        "    $ git config merge.conflictStyle zdiff3\n"
        "4/4 graph     Let git keep an index of the history: an upgrade asks much of it.\n"
        "    $ git commit-graph write --reachable --changed-paths --no-progress\n"
        "    $ git config fetch.writeCommitGraph true\n"
        "Next: invoke next\n"
    )
    assert world.git("config --local remote.upstream.url") == UPSTREAM_URL
    assert world.git("config --local rerere.enabled") == "true"
    assert world.git("config --local merge.conflictStyle") == "zdiff3"
    after = settings(world)
    second = world.run("setup")
    assert (second.code, second.err) == (0, "")
    assert second.out == (
        "1/3 rerere    already done\n2/3 zdiff3    already done\n"
        "3/3 graph     already done\nNext: invoke next\n"
    )
    assert settings(world) == after


def test_setup_adds_a_missing_origin(world: World) -> None:
    world.git("remote remove origin")
    assert world.run("setup").code == 0
    assert world.git("config --local remote.origin.url") == ORIGIN_URL


@pytest.mark.parametrize(
    ("setting", "what", "then"),
    [
        (
            "remote.upstream.url https://github.com/somebody/litellm.git",
            f"the remote `upstream` is https://github.com/somebody/litellm.git, "
            f"not {UPSTREAM_URL}.",
            f"git remote set-url upstream {UPSTREAM_URL}",
        ),
        (
            "remote.origin.pushurl https://github.com/somebody/litellm.git",
            f"the remote `origin` is https://github.com/somebody/litellm.git, not {ORIGIN_URL}.",
            "name the fork's clone with --repo, or if this is it: "
            f"git remote set-url --push origin {ORIGIN_URL}",
        ),
    ],
)
def test_setup_does_not_fix_a_wrong_remote_but_says_how(
    world: World, setting: str, what: str, then: str
) -> None:
    world.git(f"config {setting}")
    before = settings(world)
    done = world.run("setup")
    assert (done.err, done.code, done.out) == (message(what, then), 1, "")
    assert settings(world) == before
    line = re.search(r"git remote [^;]*", then)
    assert line
    world.call(line[0].split())
    assert world.run("setup").code == 0


def test_setup_under_dry_prints_and_changes_nothing(world: World) -> None:
    world.git("remote remove upstream")
    before = settings(world)
    done = world.run("--dry setup")
    assert (done.code, done.err) == (0, "")
    assert f"\ngit remote add upstream {UPSTREAM_URL} &&\n" in done.out
    assert settings(world) == before


# --- status ----------------------------------------------------------------------------------


def status(
    checked_out: str = "carto/main",
    version: str = "1.75.2.1 (bumped by the fork; an upgrade sets it)",
    contained: str = "v1.75.2-stable",
    newest: str = STABLE,
    mirror: str = "unknown in this clone; `sync-main` updates it",
    more: str = "Upstream has a newer stable release.\n"
    f"Next: invoke upgrade-carto --tag {STABLE}\n",
) -> str:
    """The expected output of `status`."""
    return (
        "  fork                        .\n"
        f"  checked out                 {checked_out}\n"
        f"  version on carto/main       {version}\n"
        f"  upstream tag in it          {contained}\n"
        "  newest release of the fork  v1.75.2-carto.1.2.0, as of the last fetch\n"
        f"  newest stable upstream tag  {newest}\n"
        "  carto/main against origin   the same, as of the last fetch\n"
        f"  mirror against upstream     {mirror}\n"
        f"{more}"
    )


@pytest.mark.parametrize(
    ("commands", "expected"),
    [
        pytest.param((), status(), id="as cloned"),
        pytest.param(
            ("checkout --quiet --detach origin/main",),
            status(checked_out="detached HEAD"),
            id="detached",
        ),
        pytest.param(
            ("switch --quiet --create main origin/main", "fetch --quiet --no-tags upstream"),
            status(checked_out="main", mirror="0 ahead, 5 behind, as of the last fetch"),
            id="main checked out",
        ),
    ],
)
def test_status_is_correct_whatever_is_checked_out(
    world: World, commands: tuple[str, ...], expected: str
) -> None:
    for command in commands:
        world.git(command)
    before = world.everything()
    done = world.run("status")
    assert (done.code, done.err, done.out) == (0, "", expected)
    assert world.everything() == before


def test_status_reads_the_version_on_origins_production_branch(world: World) -> None:
    project = (world.fork / "pyproject.toml").read_text()
    (world.fork / "pyproject.toml").write_text(project.replace("1.75.2.1", "9.9.9"))
    world.git("commit --quiet --all --message 'my own version'")
    done = world.run("status")
    assert "  version on carto/main       1.75.2.1 (origin's; bumped by the fork; an" in done.out
    assert "  carto/main against origin   1 ahead, 0 behind, as of the last fetch\n" in done.out


def test_status_never_says_that_all_is_done_if_upstream_is_not_reached(
    world: World,
) -> None:
    world.git("remote set-url upstream ../gone.git")
    done = world.run("status")
    assert (done.code, done.err) == (0, "")
    assert done.out == status(
        version="1.75.2.1",
        contained="none in this clone",
        newest="none in this clone (as of the last fetch: upstream\n"
        + " " * 30
        + "cannot be reached)",
        more="upstream cannot be reached: check the network and your access.\n"
        "Next: git ls-remote upstream\n",
    )


def test_status_shows_the_newest_known_tag_if_upstream_is_not_reached(world: World) -> None:
    world.git("fetch --quiet --tags upstream")
    world.git("remote set-url upstream ../gone.git")
    done = world.run("status")
    offline = "(as of the last fetch: upstream\n                              cannot be reached)"
    assert f"  newest stable upstream tag  {STABLE} {offline}\n" in done.out
    assert json.loads(world.run("status --json").out)["online"] is False


def test_status_suggests_setup_if_a_remote_is_missing(world: World) -> None:
    world.git("remote remove upstream")
    done = world.run("status")
    assert "problem: the remote `upstream` is missing" in done.out
    assert done.out.endswith("\nNext: invoke setup\n")


def test_status_reports_a_wrong_remote(world: World) -> None:
    world.git("remote set-url upstream https://github.com/somebody/litellm.git")
    data = json.loads(world.run("status --json").out)
    assert any("somebody/litellm" in problem for problem in data["problems"])


def test_status_reports_version_files_that_disagree(world: World) -> None:
    project = (world.fork / "pyproject.toml").read_text()
    project = project.replace('version = "1.75.2.1"', 'version = "1.75.2"', 1)
    push_as_colleague(world, {"pyproject.toml": project})
    world.git("fetch --quiet origin")
    assert json.loads(world.run("status --json").out)["problems"] == [
        "the version files disagree: pyproject.toml: tool.poetry.version is 1.75.2, "
        "pyproject.toml: tool.commitizen.version is 1.75.2.1"
    ]


def test_status_as_json(world: World) -> None:
    done = world.run("status --json")
    assert (done.code, done.err) == (0, "")
    assert json.loads(done.out) == {
        "checked_out": "carto/main",
        "contained": "v1.75.2-stable",
        "moved": [],
        "notes": [],
        "reverted": None,
        "in_progress": [],
        "local": {"ahead": 0, "behind": 0},
        "mirror": None,
        "online": True,
        "own_release": "v1.75.2-carto.1.2.0",
        "problems": [],
        "production": "carto/main",
        "squashed": None,
        "next": {
            "command": f"invoke upgrade-carto --tag {STABLE}",
            "why": "Upstream has a newer stable release.",
        },
        "upstream_release": STABLE,
        "version": {
            "pyproject.toml: tool.commitizen.version": "1.75.2.1",
            "pyproject.toml: tool.poetry.version": "1.75.2.1",
        },
    }


def test_questions_are_shown_if_asked_for(world: World) -> None:
    asked = "    ? git version\n"
    assert asked in world.run("status --verbose").out
    assert asked not in world.run("status").out
    quiet = world.run("status --verbose --json")
    assert asked in quiet.err and json.loads(quiet.out)


def test_status_asks_git_fewer_than_twenty_times(world: World) -> None:
    calls = world.place / "calls"
    path = shim(world, f'echo "$*" >> {calls}\nexec "$GIT" "$@"')
    assert world.run("status", PATH=path).out == status()
    assert 0 < len(calls.read_text().splitlines()) < 20


@pytest.mark.parametrize(
    ("options", "tag", "code", "state", "then"),
    [
        pytest.param(
            "",
            STABLE,
            3,
            f"2 conflicts left in ../litellm.upstream-sync-{STABLE}",
            f"invoke upgrade-carto --tag {STABLE} --no-tests",
            id="paused",
        ),
        pytest.param(
            "--no-push",
            STABLE,
            3,
            f"2 conflicts left in ../litellm.upstream-sync-{STABLE}",
            f"invoke upgrade-carto --tag {STABLE} --no-push --no-tests",
            id="paused without a push",
        ),
        pytest.param(
            "--no-push",
            TAG,
            0,
            f"prepared in {WORK}",
            f"invoke upgrade-carto --tag {TAG} --no-tests",
            id="prepared",
        ),
        pytest.param(
            "",
            TAG,
            0,
            "published to origin",
            f"invoke step.sync-pr --tag {TAG}",
            id="published",
        ),
    ],
)
def test_status_reports_an_upgrade_in_progress(
    world: World, options: str, tag: str, code: int, state: str, then: str
) -> None:
    upgraded(world, options, tag, code)
    data = json.loads(world.run("status --json").out)
    version = "1.76.5" if tag == TAG else "1.77.2"
    assert data["in_progress"] == [
        {
            "branch": f"upstream-sync/{tag}",
            "tag": tag,
            "version": version,
            "state": state,
            "published": state.startswith("published"),
            "conflicts": 2 if code == 3 else 0,
            "reopened": False,
        }
    ]
    assert data["next"]["command"] == then
    text = world.run("status").out
    # In a line of its own, or in the sentence about the next command.
    assert " ".join(text.split()).count(state) == 1
    assert text.endswith(f"\nNext: {then}\n")


def test_an_upgrade_that_is_merged_on_origin_is_not_in_progress(world: World) -> None:
    upgraded(world)
    who = "-c user.name=Colleague -c user.email=colleague@example.com"
    merge = world.git(
        f"{who} commit-tree -p carto/main -p {SYNC} -m merged {SYNC}^{{tree}}", repo=world.origin
    )
    world.git(f"update-ref refs/heads/carto/main {merge}", repo=world.origin)
    assert "upgrade to" in world.run("status").out
    world.git("fetch --quiet origin")
    data = json.loads(world.run("status --json").out)
    assert (data["in_progress"], data["problems"]) == ([], [])
    assert (data["contained"], set(data["version"].values())) == (TAG, {"1.76.5"})
    assert data["next"]["command"] == "invoke release"


# --- sync-main -------------------------------------------------------------------------------

FETCH = (
    "git fetch --no-tags --no-recurse-submodules upstream "
    "+refs/heads/main:refs/remotes/upstream/main",
    "git fetch --no-tags --no-recurse-submodules origin +refs/heads/main:refs/remotes/origin/main",
)
PUSH = "git push --no-follow-tags origin refs/remotes/upstream/main:refs/heads/main"
LOCAL = "git fetch . refs/remotes/upstream/main:refs/heads/main"
FETCHED = (
    "upstream  Fetch upstream's development branch.\n"
    f"    $ {FETCH[0]}\n"
    "origin    Fetch the fork's mirror of it.\n"
    f"    $ {FETCH[1]}\n"
)


def mirrored(world: World) -> bool:
    """Whether main is at upstream's commit, here and on origin."""
    main = world.git("rev-parse main", repo=world.upstream)
    return [world.refs(r).get("refs/heads/main") for r in (world.fork, world.origin)] == [main] * 2


@pytest.mark.parametrize("behind", [True, False], ids=["main is behind", "main is missing"])
def test_sync_main_moves_both_mains_and_checks_nothing_out(world: World, behind: bool) -> None:
    if behind:
        world.git("branch --quiet --no-track main origin/main~3")
    (world.fork / "README.md").write_text("changed\n")
    checkout, before = world.checkout(), world.refs(world.origin)
    done = world.run("sync-main")
    assert (done.code, done.err) == (0, "")
    assert done.out == (
        f"{FETCHED}1/2 push      Move the mirror on origin, fast-forward only.\n"
        f"    $ {PUSH}\n"
        "2/2 local     Move the local mirror to the same commit, without checking anything out.\n"
        f"    $ {LOCAL}\nNext: invoke next\n"
    )
    assert mirrored(world)
    assert world.checkout() == checkout
    after = world.refs(world.origin)
    assert {ref for ref in after if after[ref] != before.get(ref)} == {"refs/heads/main"}
    again = world.run("sync-main")
    assert (again.code, again.out) == (0, f"{FETCHED}main is up to date.\nNext: invoke next\n")


def test_sync_main_moves_a_clean_checkout_of_main(world: World) -> None:
    world.git("switch --quiet --create main origin/main")
    done = world.run("sync-main")
    assert (done.code, done.err) == (0, "")
    assert done.out.endswith(
        "\n    $ git -C ~/litellm merge --ff-only refs/remotes/upstream/main\nNext: invoke next\n"
    )
    assert mirrored(world)
    assert world.git("status --porcelain") == ""


def test_sync_main_creates_the_mirror_on_origin(world: World) -> None:
    world.git("update-ref -d refs/heads/main", repo=world.origin)
    assert world.run("sync-main").code == 0
    assert mirrored(world)


UNTOUCHED = "Your checkout, main and carto/main are unchanged."


def sync_main_refused(world: World, said: str) -> None:
    """Run `sync-main`; assert that it refuses with this message and changes nothing."""
    before = world.everything()
    done = world.run("sync-main")
    assert (done.err, done.code) == (said, 1)
    assert world.everything() == before


def test_sync_main_refuses_a_checkout_of_main_with_changes(world: World) -> None:
    world.git("switch --quiet --create main origin/main")
    (world.fork / "README.md").write_text("changed\n")
    said = message(
        "main is checked out in ~/litellm with uncommitted changes: README.md.",
        "commit or stash them, or switch to another branch; then run `invoke sync-main` again.",
        UNTOUCHED,
    )
    sync_main_refused(world, said)


def test_sync_main_lists_the_local_mirrors_own_commits(world: World) -> None:
    own = world.git("commit-tree -p origin/main -m 'feat: mine' origin/main^{tree}")
    world.git(f"branch main {own}")
    said = message(
        "main has commits of its own, but it may only follow upstream:\n"
        f"  {world.git('rev-parse --short main')} feat: mine",
        "save them on another branch: git branch kept main; then reset main: "
        "git branch --force main refs/remotes/upstream/main",
        UNTOUCHED,
    )
    sync_main_refused(world, said)


def test_sync_main_lists_the_own_commits_of_origins_mirror(world: World) -> None:
    own = push_as_colleague(world, {"README.md": "theirs\n"}, "main")
    said = message(
        "origin/main has commits of its own, but it may only follow upstream:\n"
        f"  {own[:7]} feat: a change of a colleague",
        "save them on another branch: git branch kept origin/main; "
        "then reset origin/main: on GitHub, by hand",
        UNTOUCHED,
    )
    sync_main_refused(world, said)


@pytest.mark.parametrize("fetched", [True, False])
def test_sync_main_under_dry_prints_every_line_and_changes_nothing(
    world: World, fetched: bool
) -> None:
    if fetched:
        world.git("fetch --quiet --no-tags upstream")
    before, remotes = world.everything(), world.git("for-each-ref refs/remotes")
    done = world.run("--dry sync-main")
    assert (done.code, done.err) == (0, "")
    lines = [line for line in done.out.splitlines() if not line.startswith("#")]
    assert lines == [f"{FETCH[0]} &&", FETCH[1], f"{PUSH} &&", LOCAL]
    assert world.everything() == before
    assert world.git("for-each-ref refs/remotes") == remotes
    assert world.paste(done.out).code == 0
    assert mirrored(world)


# --- bump-version ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("option", "version"), [("--to 1.76.5", "1.76.5"), (f"--tag {STABLE}", "1.77.2")]
)
@pytest.mark.parametrize("ends", [b"\n", b"\r\n"], ids=["LF", "CRLF"])
def test_bump_version_commits_the_version_and_nothing_else(
    world: World, option: str, version: str, ends: bytes
) -> None:
    project = world.fork / "pyproject.toml"
    text = b'# A comment.  \n\n[project]\nname="litellm"\n\n' + project.read_bytes()
    project.write_bytes(text.replace(b"\n", ends))
    world.git("commit --quiet --all --message 'another layout'")
    (world.fork / "README.md").write_text("staged\n")
    world.git("add README.md")
    (world.fork / "LICENSE").write_text("changed\n")
    done = world.run(f"bump-version {option}")
    assert (done.code, done.err) == (0, "")
    assert done.out == (
        f"pyproject.toml: tool.poetry.version 1.75.2.1 -> {version}\n"
        f"pyproject.toml: tool.commitizen.version 1.75.2.1 -> {version}\n"
        f"    $ git commit -m 'chore: update version to {version}' -- pyproject.toml\n"
    )
    changed = text.replace(b'version = "1.75.2.1"', f'version = "{version}"'.encode())
    assert project.read_bytes() == changed.replace(b"\n", ends)
    assert world.git("log -1 --format=%B --name-only").split("\n") == [
        f"chore: update version to {version}",
        "",
        "",
        "pyproject.toml",
    ]
    assert world.git("status --porcelain").split("\n") == [" M LICENSE", "M  README.md"]
    head = world.git("rev-parse HEAD")
    again = world.run(f"bump-version {option}")
    assert (again.code, again.out) == (0, f"The version is already {version}.\n")
    assert world.git("rev-parse HEAD") == head


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        pytest.param(
            "",
            2,
            message(
                "give the version with either --tag or --to.",
                "invoke bump-version --to 1.76.5",
                title="Usage",
            ),
            id="neither",
        ),
        pytest.param(
            f"--tag {TAG} --to 1.76.5",
            2,
            message(
                "give the version with either --tag or --to.",
                "invoke bump-version --to 1.76.5",
                title="Usage",
            ),
            id="both",
        ),
        pytest.param(
            "--to '1.2; touch pwned'",
            1,
            message("'1.2; touch pwned' is not a version.", "write it as in --to 1.76.5"),
            id="no version",
        ),
        pytest.param(
            "--to=--help",
            1,
            message("'--help' is not a version.", "write it as in --to 1.76.5"),
            id="an option",
        ),
        pytest.param(
            "--tag v1.77.0-nightly",
            1,
            message(
                "v1.77.0-nightly is a nightly; only stable upstream releases are merged.",
                "choose a stable release; `invoke status` names the newest one.",
            ),
            id="nightly",
        ),
    ],
)
def test_bump_version_refuses_a_wrong_or_missing_version(
    world: World, line: str, code: int, said: str
) -> None:
    before = world.everything()
    done = world.run(f"bump-version {line}")
    assert (done.err, done.code, done.out) == (said, code, "")
    assert world.everything() == before
    assert not list(world.place.rglob("pwned"))


def test_bump_version_sets_nothing_if_the_policy_names_no_file(world: World) -> None:
    own = 'extends = "carto-litellm"\nversion_files = []\n'
    push_as_colleague(world, {"carto_fork.toml": own})
    world.git("fetch --quiet origin")
    before = world.everything()
    done = world.run("bump-version --to 9.9.9")
    what = "The policy names no version files, so no version was set.\n"
    assert (done.code, done.err, done.out) == (0, "", what)
    assert world.everything() == before


def test_bump_version_refuses_a_version_file_with_other_changes(world: World) -> None:
    with (world.fork / "pyproject.toml").open("a") as project:
        project.write("# mine\n")
    before = world.everything()
    done = world.run("bump-version --to 1.76.5")
    then = "commit or stash them, then run `invoke bump-version --to 1.76.5` again."
    said = message("pyproject.toml has uncommitted changes.", then)
    assert (done.err, done.code) == (said, 1)
    assert world.everything() == before


def test_bump_version_refuses_while_a_merge_is_in_progress(world: World) -> None:
    world.git("merge --quiet --no-ff --no-commit --strategy ours origin/main")
    before = world.everything()
    done = world.run("bump-version --to 1.76.5 --repo litellm", cwd=world.place)
    then = "finish it first: git -C litellm commit"
    assert (done.err, done.code) == (message("a merge is in progress in litellm.", then), 1)
    assert world.everything() == before


def test_bump_version_under_dry_prints_what_does_it_when_pasted(world: World) -> None:
    before = world.everything()
    done = world.run("--dry bump-version --to 1.76.5")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(
        "# pyproject.toml: tool.poetry.version 1.75.2.1 -> 1.76.5\n"
        "# pyproject.toml: tool.commitizen.version 1.75.2.1 -> 1.76.5\n"
        "git apply"
    )
    commit = "git commit -m 'chore: update version to 1.76.5' -- pyproject.toml\n"
    assert done.out.endswith(commit)
    assert world.everything() == before
    assert world.paste(done.out).code == 0
    assert world.run("bump-version --to 1.76.5").out == "The version is already 1.76.5.\n"


# --- config ----------------------------------------------------------------------------------

DEFAULT = "default (carto-litellm)"
OWN = "carto_fork.toml at refs/remotes/origin/carto/main"


def test_config_names_the_source_of_each_value(world: World) -> None:
    text = 'extends = "carto-litellm"\nname = "Fork"\n\n[branches]\nmirror = "mirror"\n'
    default = {s["key"]: s["source"] for s in json.loads(world.run("fork.config --json").out)}
    assert set(default.values()) == {DEFAULT}
    push_as_colleague(world, {"carto_fork.toml": text})
    world.git("fetch --quiet origin")
    own = {s["key"]: s for s in json.loads(world.run("fork.config --json").out)}
    assert own["name"] == {"key": "name", "value": "Fork", "source": OWN}
    assert own["branches.mirror"] == {"key": "branches.mirror", "value": "mirror", "source": OWN}
    assert {key for key, setting in own.items() if setting["source"] != DEFAULT} == {
        "name",
        "branches.mirror",
    }
    assert own.keys() == default.keys()


def test_config_prints_a_valid_policy(world: World) -> None:
    push_as_colleague(world, {"carto_fork.toml": 'extends = "carto-litellm"\nname = "Fork"\n'})
    world.git("fetch --quiet origin")
    done = world.run("fork.config")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(f"# {DEFAULT}.\n# A line that is from elsewhere names its source.\n")
    assert re.findall("^(.*?) +# (.*)$", done.out, re.M) == [('name = "Fork"', OWN)]
    assert '\nbranches.mirror = "main"\n' in done.out
    values = [(s["key"], s["value"]) for s in json.loads(world.run("fork.config --json").out)]
    push_as_colleague(world, {"carto_fork.toml": done.out})
    world.git("fetch --quiet origin")
    alone = json.loads(world.run("fork.config --json").out)
    assert sorted((s["key"], s["value"]) for s in alone) == sorted(values)
    assert {s["source"] for s in alone} == {OWN}


# --- resolve-conflicts -----------------------------------------------------------------------

PAUSED = message(
    "2 conflicts need a person.",
    "resolve here, `git add` each file, then run `git commit`.",
    "Nothing was committed; what could be decided is staged.",
    "Paused",
)
LEFT = ["Dockerfile", "ui/litellm-dashboard/src/app/layout.tsx"]


def merging(world: World, what: str = STABLE, style: str = "merge") -> None:
    """A plain merge in the user's own checkout, with conflicts."""
    world.git(f"fetch --quiet upstream tag {TAG} tag {STABLE} --no-tags")
    merge = ["git", "-c", f"merge.conflictStyle={style}", "merge", "--no-commit", "--no-ff", what]
    assert world.call(merge).code == 1


def commit_of(world: World, branch: str, subject: str) -> dict[str, str]:
    """The commit with a subject, as a dossier has it."""
    line = world.git(
        "log --fixed-strings --date=short '--format=%H %ad %s'", "--grep", subject, branch
    )
    name, date, text = line.split(" ", 2)
    assert text == subject
    return {"name": name, "date": date, "subject": subject}


def unmerged(world: World) -> list[str]:
    return world.git("diff --name-only --diff-filter=U").splitlines()


@pytest.mark.parametrize("style", ["merge", "diff3", "zdiff3"])
def test_resolve_conflicts_decides_what_it_can_in_a_plain_merge(world: World, style: str) -> None:
    merging(world, style=style)
    done = world.run("resolve-conflicts")
    assert (done.err, done.code) == (PAUSED, 3)
    assert unmerged(world) == LEFT
    for path in LEFT:
        assert "\n||||||| " in (world.fork / path).read_text()
    generated = "poetry.lock litellm/proxy/_experimental/out"
    assert world.git(f"diff --cached --name-only {STABLE} -- {generated}") == (
        "litellm/proxy/_experimental/out/carto-feature-flags.js"
    )
    before = world.everything()
    again = world.run("resolve-conflicts")
    assert (again.err, again.code) == (PAUSED, 3)
    assert "21 of 23 conflicts decided, 2 left." in again.out
    assert world.everything() == before


def test_resolve_conflicts_decides_as_an_upgrade_does(world: World) -> None:
    merging(world, TAG)
    done = world.run("resolve-conflicts")
    assert done.code == 0
    assert " 0 left. 18 fork lines gave way to upstream's." in " ".join(done.out.split())
    assert done.out.endswith("\nNext: git commit\n")
    tree = world.git("write-tree")
    world.git("merge --abort")
    upgraded(world, "--no-push")
    assert world.git(f"rev-parse {SYNC}^^{{tree}}") == tree


def test_resolve_conflicts_as_json(world: World) -> None:
    merging(world)
    done = world.run("resolve-conflicts --json")
    assert done.code == 3
    assert done.err.endswith(PAUSED)
    data = json.loads(done.out)
    assert data.keys() == {
        "conflicts",
        "removed_again",
        "generated_taken_whole",
        "renamed_files_put_right",
        "left",
        "staged_with_markers",
        "decisions_withdrawn",
    }
    assert (len(data["conflicts"]), data["left"]) == (23, 2)
    assert data["removed_again"] == data["generated_taken_whole"] == []
    run = "RUN apk add --no-cache gcc python3-dev openssl openssl-dev"
    conflicts = {conflict["path"]: conflict for conflict in data["conflicts"]}
    assert conflicts["Dockerfile"] == {
        "path": "Dockerfile",
        "kind": "content",
        "deleted_by": None,
        "decision": "person",
        "rule": "Dockerfile and Makefile",
        "why": "The conflict touches a block marked `# CARTO:`.",
        "hunks_settled": 0,
        "hunks_left": 1,
        "fork_lines_dropped": 0,
        "todo": "resolve 1 hunk in Dockerfile, then git add -- Dockerfile",
        "dossier": {
            "fork": [commit_of(world, "carto/main", "build(docker): what our clusters need")],
            "upstream": [
                commit_of(world, STABLE, "build(docker): bash and a C++ compiler (#13902)"),
            ],
            "fork_lines": 2,
            # The third line of its side existed before.
            "upstream_lines": 1,
            "fork_changes": [
                "- # Install build dependencies",
                f"- {run}",
                "+ # CARTO: the Snowflake driver is built against libffi",
                f"+ {run} libffi-dev",
            ],
            "upstream_changes": [f"- {run}", f"+ {run}".replace("gcc", "bash build-base gcc")],
            "past": "",
        },
    }
    deleted = conflicts[".github/workflows/ghcr_deploy.yml"]
    assert (deleted["kind"], deleted["deleted_by"]) == ("modify/delete", "fork")
    assert (deleted["decision"], deleted["rule"]) == ("fork", "removed stays removed")
    assert [path for path, c in conflicts.items() if c["dossier"]] == LEFT
    assert [path for path, c in conflicts.items() if c["decision"] == "person"] == LEFT


@pytest.mark.parametrize("style", ["diff3", "merge"])
def test_resolve_conflicts_overwrites_nothing_that_a_person_edited(
    world: World, style: str
) -> None:
    """Beside an edit, a hunk is decided if its markers show the common base."""
    merging(world, style=style)
    left = sorted([*LEFT, "litellm/router.py", "poetry.lock"])
    if style == "merge":
        left.append("tests/test_litellm/test_router.py")
    resolved = {"poetry.lock": "mine\n", "litellm/router.py": "mine\n", "README.md": "mine\n"}
    for path, text in resolved.items():
        (world.fork / path).write_text(text)
    beside = world.fork / "tests" / "test_litellm" / "test_router.py"
    beside.write_text(f"# mine\n{beside.read_text()}")
    done = world.run("resolve-conflicts")
    said = PAUSED.replace("2 conflicts", f"{len(left)} conflicts")
    assert (done.err, done.code) == (said, 3)
    assert done.out.count("    why:      Edited by hand, not staged.\n") == 2
    assert len(re.findall(r"  content +to stage ", done.out)) == 2
    assert "    to do:    git add -- poetry.lock\n" in done.out
    assert {path: (world.fork / path).read_text() for path in resolved} == resolved
    assert unmerged(world) == sorted(left)
    assert beside.read_text().startswith("# mine\n")
    assert ("<<<<<<<" in beside.read_text()) == (style == "merge")
    # A word about such a file would overwrite it, so it is refused, and nothing else is done.
    again = world.run("resolve-conflicts --keep-fork litellm/router.py --reason why")
    keep, discard = (
        f"`git {what} -- litellm/router.py`" for what in ("add", "checkout --conflict=diff3")
    )
    assert again.err == message(
        "litellm/router.py is edited by hand.",
        f"to keep what you did: {keep}, and name it in no option; to discard it: {discard}, "
        "then run `invoke "
        "resolve-conflicts --keep-fork litellm/router.py --reason why` again.",
    )
    assert {path: (world.fork / path).read_text() for path in resolved} == resolved


def test_resolve_conflicts_leaves_alone_what_a_person_staged(world: World) -> None:
    merging(world)
    (world.fork / "poetry.lock").write_text("mine\n")
    world.git("add poetry.lock")
    assert world.run("resolve-conflicts").code == 3
    assert world.git("show :poetry.lock") == "mine"


def test_resolve_conflicts_is_refused_without_a_merge(world: World) -> None:
    before = world.everything()
    done = world.run("resolve-conflicts --repo litellm", cwd=world.place)
    said = message("no merge is in progress in `litellm`.", "see `invoke status --repo litellm`.")
    assert (done.err, done.code) == (said, 1)
    assert world.everything() == before


def test_a_message_about_the_current_directory_is_not_about_its_parent(world: World) -> None:
    assert " in ..\n" not in world.run("resolve-conflicts").err


def test_resolve_conflicts_removes_a_disabled_workflow_that_comes_back(world: World) -> None:
    world.git(f"fetch --quiet upstream tag {TAG} --no-tags")
    world.git(f"switch --quiet --create theirs {TAG}")
    path = ".github/workflows/read_pyproject_version.yml"
    (world.fork / path).write_text("name: back\n")
    world.git(f"add {path}")
    world.git("commit --quiet --message 'ci: a workflow'")
    world.git("switch --quiet carto/main")
    merging(world, "theirs")
    assert (world.fork / path).exists()
    done = world.run("resolve-conflicts --json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["removed_again"] == [path]
    assert f"that the merge brought back, removed again: {path}\n" in done.err
    assert not (world.fork / path).exists()
    assert world.git(f"ls-files {path}") == ""


def test_every_workflow_that_upstream_adds_can_be_kept_out(world: World) -> None:
    policy = 'extends = "carto-litellm"\n[workflows]\ndisabled = [".github/workflows/*"]\n'
    push_as_colleague(world, {"carto_fork.toml": policy})
    new, text = ".github/workflows/new.yml", "on: push\njobs: {a: {runs-on: x}}\n"
    commit_in(world, world.upstream, f"refs/tags/{TAG}", {new: text}, TAG)
    done = world.run(f"upgrade-carto --no-tests --no-push --tag {TAG}")
    assert done.code == 0, done.err
    kept = world.git(f"ls-tree -r --name-only upstream-sync/{TAG} .github/workflows").splitlines()
    assert new not in kept and ".github/workflows/carto-upstream-sync.yml" in kept


@pytest.mark.parametrize("within", ["docs", "litellm/llms"])
def test_resolve_conflicts_works_in_a_subdirectory(world: World, within: str) -> None:
    merging(world, TAG)
    done = world.run("resolve-conflicts", cwd=world.fork / within)
    assert (done.code, done.err) == (0, "")
    assert unmerged(world) == []
    assert world.git("diff --name-only") == ""


# --- verify ----------------------------------------------------------------------------------


def commit(world: World, path: str, text: str) -> None:
    """Commit a file in the upgrade's work tree."""
    (world.work(TAG) / path).write_text(text)
    world.git(f"add {path}", repo=world.work(TAG))
    world.git("commit --quiet --message 'a change'", repo=world.work(TAG))


LOCK_FILE = (
    "lock file: poetry.lock lacks hiredis, which pyproject.toml names; "
    "to regenerate it: poetry lock"
)
"""What is to look at in each upgrade here: upstream's lock file lacks what the fork needs."""


def verify_says(
    world: World, *findings: str, tag: str = TAG, added: str = "", then: str = ""
) -> None:
    """Assert that `verify` finds exactly this, as text and as JSON, and changes nothing.

    added: a file that only the merge has. then: what to type next; default: the same again.
    """
    more = f"added while merging: {added} is in the merge, and neither side has it"
    before = world.everything()
    line = f"verify --repo {WORK} --tag {tag}"
    done = world.run(line)
    if not findings:
        assert (done.code, done.err) == (0, "")
        looks = "2 findings" if added else "1 finding"
        count = "0 lost, 2\n  absorbed, 15 dropped on purpose."
        assert done.out == (
            f"{LOCK_FILE.replace(' it:', f'{chr(10)}  it:')}\n{f'{more}{chr(10)}' if added else ''}"
            f"Checked 45 fork files and 38 upstream files, change by change: {count}\n"
            f"Nothing is lost; {looks} in the merge of {tag} to look at, now or in the\n"
            "  review.\n"
            f"The page to review it by: .git/carto-fork/{tag}/report.html\n"
        )
        return
    listed = "".join(f"\n  {finding}" for finding in findings)
    then = then or f"fix the merge in {WORK} and commit; then run `invoke {line}` again."
    said = message(f"the merge of {tag} is not right:{listed}", then, title="Check failed")
    assert (done.err, done.code) == (said, 4)
    data = json.loads(world.run(f"{line} --json").out)
    found = [f"{found['check']}: {found['what']}" for found in data["findings"]]
    assert [finding for finding in found if finding not in (LOCK_FILE, more)] == list(findings)
    assert (data["passed"], data["lost"]) == (False, [])
    assert world.everything() == before


@pytest.mark.parametrize(
    ("path", "text", "findings"),
    [
        ("README.md", "a\n>>>>>>> x\n", ["markers: README.md has conflict markers in line 2"]),
        ("README.md", "<<<<<<< HEAD\n", ["markers: README.md has conflict markers in line 1"]),
        ("new.txt", "||||||| 0a1b2c3\n", ["markers: new.txt has conflict markers in line 1"]),
        (
            "new.txt",
            "<<<<<<<<< HEAD\n||||||| a\n=======\n>>>>>>> b\n",
            ["markers: new.txt has conflict markers in lines 1, 2, 4"],
        ),
        ("README.rst", "Title\n=======\n\n>>>>>>>x\n", []),
    ],
)
def test_verify_finds_markers_that_neither_side_had(
    prepared: World, path: str, text: str, findings: list[str]
) -> None:
    file = prepared.work(TAG) / path
    before = file.read_text() if file.exists() else ""
    count = before.count("\n")
    findings = [re.sub(r"\d+", lambda n: str(int(n[0]) + count), each) for each in findings]
    commit(prepared, path, before + text)
    verify_says(prepared, *findings, added="" if before else path)


def test_verify_finds_another_version(prepared: World) -> None:
    text = (prepared.work(TAG) / "pyproject.toml").read_text()
    commit(prepared, "pyproject.toml", text.replace('version = "1.76.5"', 'version = "1.76.4"', 1))
    what = "version: pyproject.toml: tool.poetry.version is 1.76.4, the tag is 1.76.5"
    verify_says(prepared, what)


def test_verify_finds_uncommitted_changes(prepared: World) -> None:
    (prepared.work(TAG) / "README.md").write_text("changed\n")
    verify_says(prepared, "committed: README.md has uncommitted changes")


def test_verify_finds_an_uncommitted_merge(prepared: World) -> None:
    work = prepared.work(TAG)
    prepared.git("merge --quiet --no-ff --no-commit --strategy ours origin/main", repo=work)
    verify_says(prepared, "committed: the merge is still in progress")


@pytest.mark.parametrize(
    ("branch", "number", "fetched"),
    [("upstream/main", 17, True), ("origin/main", 12, True), ("origin/main", 12, False)],
)
def test_verify_finds_commits_that_the_release_does_not_contain(
    prepared: World, branch: str, number: int, fetched: bool
) -> None:
    if fetched:
        prepared.git("fetch --quiet --no-tags upstream")
    work = prepared.work(TAG)
    prepared.git(f"merge --quiet --no-edit --strategy ours {branch}", repo=work)
    what = f"{number} commits that the release does not contain"
    verify_says(prepared, f"only the tag: {what}")


def test_verify_takes_what_a_colleague_committed_on_the_same_branch(prepared: World) -> None:
    work = prepared.work(TAG)
    start = prepared.git("rev-parse HEAD", repo=work)
    prepared.git("commit --quiet --allow-empty -m 'docs: theirs'", repo=work)
    theirs = prepared.git("rev-parse HEAD", repo=work)
    prepared.git(f"reset --quiet --hard {start}", repo=work)
    prepared.git("commit --quiet --allow-empty -m 'docs: mine'", repo=work)
    prepared.git(f"merge --quiet --no-edit {theirs}", repo=work)
    assert prepared.run(f"verify --repo {WORK} --tag {TAG}").code == 0


def test_what_guard_would_stop_on_a_sync_branch_is_not_published(world: World) -> None:
    """A subject, where Guard is adopted; nobody else's commits on origin's branch are foreign."""
    push_as_colleague(world, {".github/workflows/carto-guard.yml": "on: push\n"})
    upgraded(world, "--no-push")
    work = world.work(TAG)
    (work / "README.md").write_text("ours\n")
    world.git("commit --quiet --all -m wip", repo=work)
    odd = world.git("rev-parse HEAD", repo=work)
    before = world.refs(world.origin)
    done = world.run(f"upgrade-carto --tag {TAG} --no-tests")
    assert (done.code, world.refs(world.origin)) == (4, before)
    assert f"subject: {odd[:10]} (wip) is not a conventional commit, and Guard stops" in done.err
    line = f"git -C {WORK} rebase --interactive --rebase-merges {odd[:10]}^"
    assert f"Next: `{line}`, with `reword` in place of `pick`; then run" in done.err
    editors = "GIT_SEQUENCE_EDITOR='sed -i s/^pick/reword/' GIT_EDITOR='sed -i 1s/^/chore:\\ /'"
    assert world.paste(f"{editors} {line}").code == 0
    assert world.run(f"verify --repo {WORK}").code == 0


def test_a_mirror_that_a_person_merged_as_well_is_never_published(prepared: World) -> None:
    work = prepared.work(TAG)
    prepared.git("merge --quiet --no-edit --strategy ours origin/main", repo=work)
    before = prepared.refs(prepared.origin)
    done = prepared.run(f"upgrade-carto --tag {TAG} --no-tests")
    assert (done.code, prepared.refs(prepared.origin)) == (4, before)


def test_verify_finds_that_a_tag_is_not_merged(prepared: World) -> None:
    prepared.git("fetch --quiet upstream tag v1.76.3 --no-tags")
    short = prepared.git("rev-parse v1.76.3")[:10]
    landed, merge = (
        f"invoke {task} --repo {WORK} --{option} v1.76.3"
        for task, option in (("verify", "landed"), ("upgrade-carto", "tag"))
    )
    ways = f"`{landed}` if it has landed, or merge it: `{merge}`"
    what = f"tag: {SYNC} has no merge of v1.76.3 ({short})"
    verify_says(prepared, what, tag="v1.76.3", then=ways)


def test_verify_takes_the_release_of_the_branch(prepared: World) -> None:
    named = prepared.run(f"verify --repo {WORK} --tag {TAG}")
    assert prepared.run(f"verify --repo {WORK}") == named
    assert prepared.run("verify").code == 2  # this branch is named after none


def test_verify_checks_the_branch_of_an_upgrade_whose_work_tree_is_gone(prepared: World) -> None:
    prepared.git(f"worktree remove --force {prepared.work(TAG)}")
    done = prepared.run(f"verify --tag {TAG}")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(f"{TAG} is in upstream-sync/{TAG}: checking that.\n")
    assert "change by change: 0 lost" in " ".join(done.out.split())


def test_verify_finds_nothing_in_a_finished_upgrade(prepared: World) -> None:
    verify_says(prepared)


def test_verify_without_a_tag_is_a_wrong_command_line(world: World) -> None:
    done = world.run("verify")
    then = "add --tag with a release; `invoke status` names the newest one."
    assert done.err == message("which release? --tag is missing.", then, title="Usage")
    assert done.code == 2


# --- All of them -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "task",
    ["setup", "status", "fork.config", "sync-main", "resolve-conflicts", "bump-version --to 1.2.3"],
)
def test_every_task_takes_the_fork_from_the_environment(
    world: World, tmp_path: Path, task: str
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    named = world.run(task, cwd=elsewhere, CARTO_FORK_REPO=str(world.fork))
    assert "not a git repository" not in named.err
    assert named.code == (1 if task == "resolve-conflicts" else 0)


def test_the_directory_one_is_in_is_not_named(world: World) -> None:
    for named in (".", "../litellm", str(world.fork)):
        done = world.run("next", "--repo", named)
        assert done.out.startswith(f"invoke upgrade-carto --tag {STABLE}\n"), named
    assert "`invoke next`" in world.run("guide --repo . --topic best-practices").out
    # Without it another one would be meant.
    done = world.run("next --repo .", CARTO_FORK_REPO="/nowhere")
    assert done.out.startswith(f"invoke upgrade-carto --repo . --tag {STABLE}\n")
