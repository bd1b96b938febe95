"""`release`: one tag and one release of the production branch, whatever gets in the way."""

from __future__ import annotations

import json
import os
import re
import shlex
import tempfile
from functools import cache
from pathlib import Path

import pytest

from carto_standin.github import Fault, GitHub
from world import (
    World,
    commit_in,
    copied,
    elsewhere,
    land,
    message,
    push_as_colleague,
    shim,
    slow_but,
)

TAG = "v1.76.5"
FIRST, SECOND = "carto-v1.76.5-0.1.0", "carto-v1.76.5-0.1.1"
PAGE = "https://github.com/CartoDB/litellm"
RELEASES = "/repos/CartoDB/litellm/releases"
PRODUCTION = "refs/heads/carto/main"
AS_BEFORE = "Your checkout and carto/main are unchanged."


@cache
def _upgraded(template: Path) -> Path:
    """A world on v1.76.5, as a template for the tests; they must not change it."""
    world = copied(template, Path(tempfile.mkdtemp(dir=template.parent)) / "w")
    done = world.run(f"upgrade-carto --tag {TAG} --no-tests")
    assert done.code == 0, done.err
    land(world, TAG)
    return world.place


@pytest.fixture
def world(template: Path, tmp_path: Path) -> World:
    """A fork whose production branch is on v1.76.5, not released yet."""
    return copied(_upgraded(template), tmp_path / "w")


def merged(world: World, subject: str, body: str = "") -> str:
    """Put a commit on origin's production branch, as if it was merged there."""
    text = f"{subject}\n\n{body}" if body else subject
    files = {"docs/CARTO_RELEASE_PROCESS.md": f"{subject}\n"}
    return commit_in(world, world.origin, PRODUCTION, files, message=text)


def own_tags(world: World) -> list[str]:
    """The tags of releases on v1.76.5 that origin has."""
    return world.git("tag --list 'carto-v1.76.5-*'", repo=world.origin).split()


def released(github: GitHub) -> list[str]:
    """The releases on GitHub, with drafts."""
    with github.open() as opened:
        return [release.tag for release in opened.origin().state.releases]


def notes_of(github: GitHub, tag: str) -> str:
    with github.open() as opened:
        return opened.origin().release(tag).body


def once(world: World, github: GitHub, tag: str, commit: str) -> None:
    """Assert that this is the only release, and that its tag is at the commit."""
    assert own_tags(world) == released(github) == [tag]
    assert world.git(f"rev-parse {tag}^0", repo=world.origin) == commit
    assert world.git(f"cat-file -t {tag}", repo=world.origin) == "tag"


# --- A release ------------------------------------------------------------------------------


def test_away_from_github_the_tag_is_the_release(world: World) -> None:
    policy = {"carto_fork.toml": elsewhere(world)}
    commit = commit_in(world, world.origin, PRODUCTION, policy, message="feat: our host (#5)")
    world.git("fetch --quiet origin")
    world.git("merge --quiet --ff-only origin/carto/main")
    assert world.run("next").out.startswith("invoke release\n")
    done = world.run("release")
    assert done.code == 0, done.err
    assert own_tags(world) == [FIRST]
    assert world.git(f"rev-parse {FIRST}^0", repo=world.origin) == commit
    notes = f".git/carto-fork/{FIRST}/notes.md"
    assert done.out.endswith(
        f"{FIRST} is on origin, which is not on GitHub.\nIts notes, for your host: {notes}\n"
        "Next: invoke next\n"
    )
    assert f"- our host (#5, {commit[:7]})\n" in (world.fork / notes).read_text()
    again = world.run("release --json")
    assert (again.code, json.loads(again.out)["url"]) == (0, "")
    assert f"{FIRST} is released already; nothing to do." in again.err
    assert world.run("next").out.startswith("# Nothing to do") or "upgrade-carto" in (
        world.run("next").out
    )


def test_the_first_release_on_a_new_upstream_version_is_published(
    world: World, github: GitHub, tmp_path: Path
) -> None:
    checkout, here, origin, upstream = world.everything()
    outputs, page = tmp_path / "outputs", tmp_path / "summary"
    done = world.run(
        "release --bump major", GITHUB_OUTPUT=str(outputs), GITHUB_STEP_SUMMARY=str(page)
    )
    assert (done.code, done.err) == (0, "")
    where = f"{FIRST} is on GitHub: {PAGE}/releases/tag/{FIRST}"
    assert done.out.endswith(f"\n{where}\nNext: invoke next\n")
    steps = re.findall(r"^(\d/\d \w+)", done.out, re.MULTILINE)
    assert steps == ["1/4 tag", "2/4 notes", "3/4 push", "4/4 release"]
    once(world, github, FIRST, origin[PRODUCTION])
    after = world.everything()
    ref = f"refs/tags/{FIRST}"
    assert after[0] == checkout
    assert {**here, ref: after[1][ref]} == after[1]
    assert {**origin, ref: after[1][ref]} == after[2]
    assert after[3] == upstream
    text = notes_of(github, FIRST)
    assert "since [`v1.75.2-carto.1.2.0`]" in text
    assert "compare/v1.75.2-stable...v1.76.5" in text
    assert "- `ghcr.io/cartodb/litellm-non_root:carto-v1.76.5-0.1.0`" in text
    assert text.strip() in page.read_text()
    given = dict(re.findall(r"^(\w+)<<end-\w+\n(.*)\n", outputs.read_text(), re.MULTILINE))
    url = f"{PAGE}/releases/tag/{FIRST}"
    assert given == {"tag": FIRST, "upstream": "1.76.5", "version": "0.1.0", "url": url}


def test_dry_shows_everything_and_changes_nothing(world: World, github: GitHub) -> None:
    before = world.everything(), world.git_dir()
    done = world.run("--dry release")
    assert (done.code, done.err) == (0, "")
    assert f"# tag: {FIRST}\n" in done.out
    assert "#   ## Upstream upgrade\n" in done.out
    assert (world.everything(), world.git_dir()) == before
    assert released(github) == []
    assert all(request.method == "GET" for request in github.log if request.name[0] == "/")
    # The printed commands do the same.
    pasted = world.paste(done.out)
    assert pasted.code == 0, pasted.err
    once(world, github, FIRST, world.refs(world.origin)[PRODUCTION])


def test_release_prints_its_result_as_json(world: World, github: GitHub) -> None:
    done = world.run("release --json")
    data = json.loads(done.out)
    assert done.code == 0
    assert data.pop("notes") == notes_of(github, FIRST)
    assert data.pop("images")[0].endswith(f":{FIRST}")
    assert data == {
        "tag": FIRST,
        "upstream": "1.76.5",
        "version": "0.1.0",
        "commit": world.refs(world.origin)[PRODUCTION],
        "upstream_tag": TAG,
        "before": "v1.75.2-carto.1.2.0",
        "url": f"{PAGE}/releases/tag/{FIRST}",
    }
    # The same command again reports that it is done.
    again = world.run("release")
    assert again.code == 0
    assert again.out.startswith(f"{FIRST} is released already; nothing to do.\n")


@pytest.mark.parametrize(
    ("commits", "bump", "version"),
    slow_but(
        [
            ([("fix: x", "")], "auto", "0.1.1"),
            ([("fix: x", ""), ("feat(ui): y", ""), ("docs: z", "")], "auto", "0.2.0"),
            ([("feat!: x", "")], "auto", "0.2.0"),
            ([("fix: x", "BREAKING CHANGE: other keys")], "auto", "0.2.0"),
            ([("what is this", "")], "auto", "0.1.1"),
            ([("feat: x", "")], "patch", "0.1.1"),
            ([("fix: x", "")], "minor", "0.2.0"),
            ([("fix: x", "")], "major", "1.0.0"),
        ],
        ([("fix: x", ""), ("feat(ui): y", ""), ("docs: z", "")], "auto", "0.2.0"),
        ([("fix: x", "BREAKING CHANGE: other keys")], "auto", "0.2.0"),
        ([("feat: x", "")], "patch", "0.1.1"),
        ([("fix: x", "")], "major", "1.0.0"),
    ),
)
def test_the_next_version_follows_from_the_commits_or_the_bump_option(
    world: World, github: GitHub, commits: list[tuple[str, str]], bump: str, version: str
) -> None:
    assert world.run("release").code == 0
    for subject, body in commits:
        merged(world, subject, body)
    done = world.run(f"release --bump {bump}")
    assert (done.code, done.err) == (0, "")
    assert released(github) == [FIRST, f"carto-v1.76.5-{version}"]
    # The clone is up to date; the notes contain only what is new.
    text = notes_of(github, f"carto-v1.76.5-{version}")
    assert text.startswith(f"{len(commits)} fork change")
    assert f"since [`{FIRST}`]" in text and "Upstream upgrade" not in text
    assert f"{PAGE}/compare/{FIRST}...carto-v1.76.5-{version}" in text


@pytest.mark.slow
def test_a_breaking_change_raises_the_major_version_from_1_0_on(
    world: World, github: GitHub
) -> None:
    assert world.run("release").code == 0
    merged(world, "fix: x")
    assert world.run("release --bump major").code == 0
    merged(world, "feat!: y")
    assert world.run("release").code == 0
    assert released(github) == [FIRST, "carto-v1.76.5-1.0.0", "carto-v1.76.5-2.0.0"]


HOSTILE = (
    "feat: `x` @CartoDB/team <b>bold</b> ${{ secrets.GH_TOKEN }} $(touch pwned)\n"
    "::set-output name=tag::evil \x1b[31mred"
)


@pytest.mark.slow
def test_hostile_subjects_are_escaped_in_the_release_notes(
    world: World, github: GitHub, tmp_path: Path
) -> None:
    assert world.run("release").code == 0
    merged(world, HOSTILE)
    merged(world, "::error file=x::boo")
    done = world.run("release", GITHUB_OUTPUT=str(tmp_path / "o"), GITHUB_ACTIONS="true")
    assert done.code == 0, done.err
    text = notes_of(github, "carto-v1.76.5-0.2.0")
    assert text.count("\n- ") == 5
    assert not re.search(r"@\w|::|\$\{\{|<b>|\x1b", text)
    ours = (
        r"(end)?group::|stop-commands::|[0-9a-f]{32}::"  # what the console itself writes in a job
    )
    for out in (done.out, world.run("--dry release").out):
        assert not re.search(rf"^\s*::(?!{ours})", out, re.MULTILINE)
    assert not list(world.place.rglob("pwned"))
    assert "evil" not in (tmp_path / "o").read_text()
    assert "evil" not in world.git("cat-file tag carto-v1.76.5-0.2.0", repo=world.origin)


def test_a_release_does_not_depend_on_what_is_checked_out(world: World, github: GitHub) -> None:
    world.git("switch --quiet --detach origin/main")
    (world.fork / "README.md").write_text("mine\n")
    before = world.checkout()
    done = world.run("release")
    assert done.code == 0, done.err
    once(world, github, FIRST, world.refs(world.origin)[PRODUCTION])
    assert world.checkout() == before


def test_unpushed_commits_are_not_released(world: World, github: GitHub) -> None:
    world.git("merge --quiet --ff-only origin/carto/main")
    world.git("commit --quiet --allow-empty -m 'feat: mine'")
    done = world.run("release")
    assert done.code == 0
    assert "Note: carto/main has 1 commit here that origin lacks" in done.out
    once(world, github, FIRST, world.refs(world.origin)[PRODUCTION])


def test_dispatch_starts_the_release_workflow(world: World, github: GitHub) -> None:
    done = world.run("release --dispatch --bump minor")
    assert (done.code, done.err) == (0, "")
    assert done.out.endswith(f"Its runs: {PAGE}/actions/workflows/carto_release.yaml\n")
    with github.open() as opened:
        [run] = opened.origin().state.runs
    assert (run.path, run.branch) == (".github/workflows/carto_release.yaml", "carto/main")
    assert run.inputs == {"bump": "minor"}
    assert released(github) == own_tags(world) == []
    advice = json.loads(world.run("next --json").out)
    assert (advice["command"], "`invoke release` does its work" in advice["why"]) == (
        f"gh run view {run.id} -R CartoDB/litellm",
        True,
    )
    assert world.paste(advice["command"]).code == 0
    with github.open() as opened:
        opened.origin().state.runs[0].status = "completed"
    assert json.loads(world.run("next --json").out)["command"] == "invoke release"


# --- What gets in the way -------------------------------------------------------------------


@pytest.mark.parametrize("what", slow_but([500, 502, 422, "cut"], 500, "cut"))
def test_a_release_continues_after_github_failed_once(
    world: World, github: GitHub, what: int | str
) -> None:
    commit = world.refs(world.origin)[PRODUCTION]
    github.faults = [Fault(match=RELEASES, method="POST", what=what)]  # type: ignore[arg-type]
    stopped = world.run("release")
    assert stopped.code == 1
    assert re.match(r"Failed: `gh release create .*` ended with exit code 1:\n", stopped.err)
    assert f"origin has the tag {FIRST}" in stopped.err
    assert "run `invoke release` again" in stopped.err
    assert own_tags(world) == [FIRST]
    done = world.run("release")
    assert (done.code, done.err) == (0, "")
    once(world, github, FIRST, commit)


def test_release_changes_nothing_if_github_rejects_the_credentials(
    world: World, github: GitHub
) -> None:
    before = world.everything()
    github.faults = [Fault(match=".*", what=401, message="Bad credentials", times=9)]
    stopped = world.run("release")
    assert stopped.code == 1
    assert "gh auth login" in stopped.err
    assert world.everything() == before


def test_a_release_continues_after_a_rejected_push(world: World, github: GitHub) -> None:
    hook = world.origin / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho 'not today' >&2\nexit 1\n")
    hook.chmod(0o755)
    stopped = world.run("release")
    assert stopped.code == 1
    assert "not today" in stopped.err and AS_BEFORE in stopped.err
    assert own_tags(world) == released(github) == []
    hook.unlink()
    only_here = f"nly this clone has the tag {FIRST}"
    for line in ("next", "status", "doctor --check tags"):
        said = world.run(line)
        assert said.code == 0 and only_here in said.out and "invoke release" in said.out, said
    done = world.run("release")
    assert done.code == 0, done.err
    once(world, github, FIRST, world.refs(world.origin)[PRODUCTION])


def test_a_release_that_was_interrupted_before_production_moved_is_not_forgotten(
    world: World, github: GitHub
) -> None:
    world.git("fetch --quiet origin")
    world.git(f"tag -a -m mine {FIRST} origin/carto/main")
    commit_in(world, world.origin, PRODUCTION, {"later.md": "x\n"}, message="fix: later")
    world.git("fetch --quiet origin")
    said = " ".join(world.run("next").out.replace("\n# ", " ").split())
    assert said.startswith(f"git tag -d {FIRST} ") and "has moved on since" in said
    world.git(f"tag -d {FIRST}")
    assert world.run("next").out.startswith("invoke release\n")


# Every command of a release that changes something; the test kills the task before and after each.
_COMMANDS = {"tag": "git", "push": "git", "release create": "gh"}
_TRAP = """case " $* " in
  *" {verb} "*) [ ! -e {here}/armed ] || { rm {here}/armed; {kill}; } ;;
esac
"""


@pytest.mark.parametrize("command", _COMMANDS)
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("elsewhere", [False, True], ids=["here", "elsewhere"])
@pytest.mark.slow
def test_a_release_killed_at_any_command_can_be_continued(
    world: World, github: GitHub, command: str, when: str, elsewhere: bool
) -> None:
    """The same command leads to one tag and one release, in this clone and in another one."""
    if elsewhere:
        second = world.place / "second"
        world.git("clone --quiet", str(world.fork), str(second))
        for name in ("origin", "upstream"):
            url = world.git(f"config remote.{name}.url")
            world.git(f"remote remove {name}", repo=second) if name == "origin" else None
            world.git(f"remote add {name} {url}", repo=second)
        for key in world.git("config --name-only --get-regexp '^(url|user)[.]'").split():
            world.git("config", key, world.git(f"config {key}"), repo=second)
    commit = world.refs(world.origin)[PRODUCTION]
    program = world.git("config carto-fork.gh") if _COMMANDS[command] == "gh" else "$GIT"
    kill = "kill -KILL $PPID $$"
    if when == "after":
        kill = f'{program} "$@"; {kill}'
    trap = _TRAP.replace("{verb}", command).replace("{here}", str(world.place))
    trap = trap.replace("{kill}", kill)
    (world.place / "armed").touch()
    if _COMMANDS[command] == "gh":
        script = world.place / "gh-trap"
        script.write_text(f'#!/bin/sh\n{trap}exec {shlex.quote(program)} "$@"\n')
        script.chmod(0o755)
        world.git("config --global carto-fork.gh", str(script))
        killed = world.spawn("release")
    else:
        path = shim(world, f'{trap}exec "$GIT" "$@"')
        killed = world.spawn("release", PATH=path)
    assert killed.code == -9
    assert not (world.place / "armed").exists()
    done = world.run("release", cwd=second if elsewhere else world.fork)
    assert (done.code, done.err) == (0, "")
    once(world, github, FIRST, commit)


def test_a_release_begun_in_two_clones_is_made_only_once(world: World, github: GitHub) -> None:
    """Another clone has pushed the tag, and this one has created its own."""
    commit = world.refs(world.origin)[PRODUCTION]
    world.git(f"tag {FIRST} {commit}", repo=world.origin)
    world.git(f"tag -a -m mine {FIRST} {commit}")
    stopped = world.run("release")
    assert stopped.code == 1
    assert f"this clone has a tag {FIRST} already" in stopped.err
    advice = re.search(r"^Next: if nobody needs it: (git [^;]*);", stopped.err, re.MULTILINE)
    assert advice
    world.call(["bash", "-c", advice[1]])
    assert world.run("release").code == 0
    assert own_tags(world) == released(github) == [FIRST]
    assert world.refs(world.origin)[f"refs/tags/{FIRST}"] == commit


# --- Refusals -------------------------------------------------------------------------------


def refused(world: World, github: GitHub, line: str = "release") -> str:
    """The message of a refusal; asserts that nothing was changed."""
    checkout, here, origin, upstream = world.everything()
    before = released(github)
    done = world.run(line)
    assert (done.code, done.out) == (1, "") or (done.code == 1 and "fetch" in done.out)
    assert world.everything() == (checkout, here, origin, upstream)
    assert released(github) == before
    return done.err.strip("\n") + "\n"


def test_release_is_refused_if_nothing_is_new(world: World, github: GitHub) -> None:
    assert world.run("release").code == 0
    production, sync = PRODUCTION, "refs/heads/upstream-sync/v1.76.5"
    commit_in(world, world.origin, production, {}, production, sync, message="Merge it again")
    assert refused(world, github) == message(
        f"carto/main has nothing new since {FIRST}: no fork commit, and no newer upstream release.",
        "merge what you want to release, then run `invoke release` again.",
    )


BUMP = "invoke branch.start --name version && invoke bump-version --tag v1.76.5 && invoke branch.pr"


def test_release_is_refused_if_the_version_file_is_behind(world: World, github: GitHub) -> None:
    text = world.git(f"show {PRODUCTION}:pyproject.toml", repo=world.origin)
    older = text.replace('version = "1.76.5"', 'version = "1.75.0"')
    commit_in(world, world.origin, PRODUCTION, {"pyproject.toml": older})
    said = refused(world, github)
    assert said == message(
        "pyproject.toml: tool.poetry.version is 1.75.0 on carto/main, but the newest upstream "
        "release in it is v1.76.5.",
        f"`{BUMP}`; merge that, then run `invoke release` again.",
    )


def test_release_is_refused_if_the_version_file_is_ahead(world: World, github: GitHub) -> None:
    text = world.git(f"show {PRODUCTION}:pyproject.toml", repo=world.origin)
    newer = text.replace('version = "1.76.5"', 'version = "1.77.2"')
    commit_in(world, world.origin, PRODUCTION, {"pyproject.toml": newer})
    sync = "upstream-sync/v1.77.2-stable"
    commit_in(world, world.origin, f"refs/heads/{sync}", {"x": "y\n"}, PRODUCTION)
    world.git(f"branch --quiet {sync} carto/main")
    finish = (
        "Next: finish the upgrade to v1.77.2-stable: "
        "`invoke upgrade-carto --tag v1.77.2-stable --unhealed`; merge it, then run"
    )
    assert finish in refused(world, github)
    head = f"--base carto/main --head {sync}"
    opened = world.call(["bash", "-c", f"gh pr create -R CartoDB/litellm {head} -t x -b x"])
    said = refused(world, github)
    assert opened.code == 0 and f"Next: merge pull request {opened.out[-2]} (http" in said
    assert "tool.poetry.version is 1.77.2 on carto/main" in said
    assert "which is older: the version is wrong, or a sync was merged without its history." in said
    assert "`invoke fork.heal --check`" in said


def test_a_version_that_the_fork_bumped_itself_is_corrected_as_doctor_says(
    world: World, github: GitHub
) -> None:
    """`next` does not lead to a release that is refused, but to what ends that."""
    text = world.git(f"show {PRODUCTION}:pyproject.toml", repo=world.origin)
    bumped = text.replace('version = "1.76.5"', 'version = "1.76.5+acme.1"')
    commit_in(world, world.origin, PRODUCTION, {"pyproject.toml": f"{bumped}\n"})
    world.git("fetch --quiet --prune origin")
    said = refused(world, github)
    assert said.endswith(f"Next: `{BUMP}`; merge that, then run `invoke release` again.\n")
    assert world.run("next").out.splitlines()[0] == "invoke upgrade-carto --tag v1.77.2-stable"
    world.git("tag -d v1.77.2-stable", repo=world.upstream)
    assert world.run("next").out.splitlines()[0] == "invoke doctor"
    findings = json.loads(world.run("doctor --check version --json").out)["findings"]
    assert [finding["then"] for finding in findings] == [BUMP]
    assert world.paste(BUMP).code == 0
    assert world.call(["gh", "pr", "merge", "1", "-R", "CartoDB/litellm", "--merge"]).code == 0
    world.git("fetch --quiet origin")
    world.git("switch --quiet carto/main")
    assert world.run("next").out.splitlines()[0] == "invoke release"
    assert world.run("release").code == 0


def test_release_is_refused_if_the_tag_exists_here_already(world: World, github: GitHub) -> None:
    world.git(f"tag {FIRST} origin/main")
    assert f"this clone has a tag {FIRST} already, at" in refused(world, github)


def test_release_is_refused_if_origin_has_the_tag_outside_of_production(
    world: World, github: GitHub
) -> None:
    world.git(f"tag {FIRST} main", repo=world.origin)
    said = refused(world, github)
    assert f"origin has a tag {FIRST} already, at" in said
    assert "which is not in carto/main" in said


def test_release_is_refused_if_github_has_a_draft_of_it(world: World, github: GitHub) -> None:
    with github.open() as opened:
        opened.origin().create_release(FIRST, draft=True)
    assert f"GitHub has a draft of a release {FIRST}" in refused(world, github)


def test_release_is_refused_without_a_production_branch_on_origin(
    world: World, github: GitHub
) -> None:
    world.git("update-ref -d refs/heads/carto/main", repo=world.origin)
    assert "origin has no branch carto/main" in refused(world, github)


def test_release_is_refused_with_an_invalid_policy(world: World, github: GitHub) -> None:
    push_as_colleague(world, {"carto_fork.toml": "extends = 'carto-litellm'\nreleases = 1\n"})
    assert "carto_fork.toml at" in refused(world, github)


def test_release_is_refused_if_no_task_would_know_its_name(world: World, github: GitHub) -> None:
    text = (Path(__file__).parents[2] / "scripts/carto_fork/fork/fork.toml").read_text()
    odd = text.replace('tag = "carto-v{upstream}', 'tag = "carto-{upstream}')
    assert odd != text
    push_as_colleague(world, {"carto_fork.toml": odd})
    what = "`releases.tag` makes the name carto-1.76.5-0.1.0, which is not what a class of"
    said = refused(world, github)
    assert what in said and "write `tag = 'v{upstream}-carto.{version}'` in carto_fork.toml" in said
    (world.fork / "carto_fork.toml").write_text(odd)
    assert what in " ".join(world.run("doctor --offline --check policy").out.split())
    (world.fork / "carto_fork.toml").unlink()
    world.git("fetch --quiet origin")
    world.git("merge --quiet --ff-only origin/carto/main")
    assert world.run("next").out.startswith("invoke doctor --check policy\n")
    done = world.run("doctor --offline --check policy")
    assert done.code == 4 and "`releases.tag` makes the name carto-" in " ".join(done.out.split())


def test_release_is_refused_if_the_policy_names_no_releases(world: World, github: GitHub) -> None:
    text = (Path(__file__).parents[2] / "scripts/carto_fork/fork/fork.toml").read_text()
    push_as_colleague(world, {"carto_fork.toml": text.split("[releases]")[0]})
    world.git("fetch --quiet origin")
    said = refused(world, github)
    assert "does not define names for the fork's releases" in said
    assert "add `[releases]` with `tag = 'v{upstream}-carto.{version}'` in carto_fork.toml" in said


@pytest.mark.parametrize("option", ["--bump huge", "--bump ''", "--bump 1.2.3"])
def test_an_unknown_bump_is_refused(world: World, option: str) -> None:
    done = world.run(f"release {option}")
    assert (done.code, done.out) == (2, "")
    assert "choose one of auto, patch, minor, major." in done.err


def test_release_is_refused_without_gh(world: World) -> None:
    done = world.run("release")
    assert done.code == 1
    assert "gh, GitHub's command line program, is not installed." in done.err


# --- Notes ----------------------------------------------------------------------------------


def test_notes_of_an_older_release_are_printed(
    world: World, github: GitHub, tmp_path: Path
) -> None:
    done = world.run("step.release-notes --tag v1.75.2-carto.1.2.0")
    assert (done.code, done.err) == (0, "")
    assert "since [`carto-v1.75.2-0.1.0`]" in done.out
    assert "- **responses**: keep sessions in Redis" in done.out
    world.run(f"step.release-notes --tag v1.75.2-carto.1.2.0 --output {tmp_path}/new/notes.md")
    assert (tmp_path / "new" / "notes.md").read_text() == done.out
    assert "is not the name of a release of the fork" in refused(
        world, github, "step.release-notes --tag v1.76.5"
    )
    assert "this clone has no tag carto-v9.9.9-0.1.0" in refused(
        world, github, "step.release-notes --tag carto-v9.9.9-0.1.0"
    )
    assert world.run("step.release-notes").code == 2


def test_notes_of_a_first_release_name_everything_dropped(world: World) -> None:
    for name in world.git("tag --list '*carto*'").split():
        world.git(f"push --quiet origin --delete {name}")
        world.git(f"tag --delete {name}")
    drop = '[[drop]]\npath = "{}"\nreason = "{}"\nlines = ["RUN true"]\ntag = "{}"\n'
    drops = drop.format("Dockerfile", "Ours.", "v1.76.5") + drop.format("a", "Old.", "v1.0.0")
    push_as_colleague(world, {"carto_drops.toml": drops})
    world.git("fetch --quiet origin")
    world.git("push --quiet origin origin/carto/main:refs/tags/carto-v1.76.5-0.1.0")
    world.git("fetch --quiet --tags origin")
    done = world.run("step.release-notes --tag carto-v1.76.5-0.1.0")
    assert (done.code, done.err) == (0, "")
    assert "## Dropped on purpose\n\n- the fork's change to `Dockerfile`: Ours.\n" in done.out
    assert "- the fork's change to `a`: Old.\n" in done.out


def test_notes_do_not_name_a_fix_that_was_dropped(world: World) -> None:
    """Also not if it is in a file of which something else was dropped; another fix stays."""
    entry = '[[drop]]\npath = "docs/{}.md"\nreason = "Upstream has it."\nlines = {}\n'
    for name, line in {"gone": "fixed here", "kept": "also fixed"}.items():
        files = {f"docs/{name}.md": f"{line}\n"}
        commit_in(world, world.origin, PRODUCTION, files, message=f"fix: what is {name}")
    drops = entry.format("gone", '["fixed here"]') + entry.format("kept", '["something"]')
    push_as_colleague(world, {"docs/gone.md": "upstream's\n", "carto_drops.toml": drops})
    world.git("fetch --quiet origin")
    world.git("push --quiet origin origin/carto/main:refs/tags/carto-v1.76.5-0.1.0")
    world.git("fetch --quiet --tags origin")
    notes = world.run("step.release-notes --tag carto-v1.76.5-0.1.0").out
    assert ("what is kept" in notes, "what is gone" in notes) == (True, False)
    assert "- the fork's change to `docs/gone.md`: Upstream has it." in notes


# --- Images ---------------------------------------------------------------------------------

IMAGE = "ghcr.io/cartodb/litellm-non_root"


def docker(world: World, script: str) -> str:
    """A PATH with a shell script as docker."""
    path = world.place / "docker" / "docker"
    path.parent.mkdir()
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return f"{path.parent}{os.pathsep}{os.environ['PATH']}"


def test_image_names_are_printed_and_written_to_the_outputs(world: World, tmp_path: Path) -> None:
    commit = world.git("rev-parse origin/carto/main")
    names = [f"{IMAGE}:carto-main-latest", f"{IMAGE}:carto-main-{commit[:7]}"]
    done = world.run("ci.images", GITHUB_OUTPUT=str(tmp_path / "o"))
    assert (done.code, done.out.split(), done.err) == (0, names, "")
    text = (tmp_path / "o").read_text()
    assert "\n".join(names) in text and ",".join(names) in text
    assert "docker/Dockerfile.non_root\n" in text and "linux/amd64,linux/arm64\n" in text
    data = json.loads(world.run(f"ci.images --json --release {FIRST}").out)
    ends = (FIRST, "carto-stable", "carto-v1.76.5-latest")
    assert data["images"] == [f"{IMAGE}:{end}" for end in ends]
    assert world.run("ci.images --push").code == 2
    assert world.run("ci.images --release v1.76.5").code == 1


@pytest.mark.parametrize("push", [False, True])
def test_an_image_is_built_from_a_clean_checkout(world: World, push: bool) -> None:
    (world.fork / "secret.txt").write_text("not to be built\n")
    new = merged(world, "feat: x")
    before = world.everything()
    script = 'for last; do :; done; [ "$2" = version ] || { echo "$@"; ls -a $last; } > ../built'
    done = world.run(f"ci.images --build{' --push' if push else ''}", PATH=docker(world, script))
    assert (done.code, done.err) == (0, "")
    built = (world.place / "built").read_text()
    line = built.splitlines()[0]
    tags = f"--tag={IMAGE}:carto-main-latest --tag={IMAGE}:carto-main-{new[:7]}"
    file = "--file ../litellm.images/docker/Dockerfile.non_root"
    assert line == (
        f"buildx build --platform linux/amd64,linux/arm64 {file} {tags}"
        f"{' --push' if push else ''} ../litellm.images"
    )
    assert "\nDockerfile\n" in built and "secret.txt" not in built
    assert not (world.place / "litellm.images").exists()
    assert world.everything() == before
    assert "litellm.images" not in world.git("worktree list")


def test_a_failed_build_leaves_nothing_behind(world: World) -> None:
    path = docker(world, '[ "$2" = version ] || { echo no space left >&2; exit 7; }')
    done = world.run("ci.images --build", PATH=path)
    assert done.code == 1
    assert "ended with exit code 7:\n  no space left" in done.err
    assert not (world.place / "litellm.images").exists()
    assert "litellm.images" not in world.git("worktree list")


def test_a_killed_build_starts_over(world: World) -> None:
    script = """[ "$2" = version ] || [ -e ../killed ] || { touch ../killed; kill -KILL $PPID; }"""
    path = docker(world, script)
    assert world.spawn("ci.images --build", PATH=path).code == -9
    assert (world.place / "litellm.images").exists()
    done = world.run("ci.images --build", PATH=path)
    assert (done.code, done.err) == (0, "")
    assert "clear" in done.out
    assert not (world.place / "litellm.images").exists()
    assert "litellm.images" not in (world.fork / ".git/carto-fork.lock").read_text()


def test_a_release_is_built_from_its_tag(world: World) -> None:
    tag = "v1.75.2-carto.1.2.0"
    world.git(f"tag -d {tag}")
    path = docker(world, 'for last; do :; done; [ "$2" = version ] || cat $last/.git > ../built')
    done = world.run(f"ci.images --build --release {tag}", PATH=path)
    assert (done.code, done.err) == (0, "")
    assert f"--tag={IMAGE}:carto-v1.75.2-latest" in done.out
    assert f"refs/tags/{tag}" in done.out


def test_an_older_release_takes_no_name_from_a_newer_one(world: World) -> None:
    """Only origin has the newer one."""
    tag = "carto-v1.75.2-0.1.0"
    world.git(f"tag carto-v1.75.2-2.0.0 {PRODUCTION}", repo=world.origin)
    path = docker(world, "exit 0")
    done = world.run(f"ci.images --build --release {tag}", PATH=path)
    assert (done.code, done.err) == (0, "")
    assert "carto-v1.75.2-2.0.0 is newer and keeps the names that move." in done.out
    assert f"--tag={IMAGE}:{tag}" in done.out
    assert "carto-stable" not in done.out and "-latest" not in done.out


def test_an_image_build_stops_without_docker(world: World) -> None:
    before, path = world.everything(), docker(world, "exit 127")
    done = world.run("ci.images --build", PATH=path)
    assert done.code == 1
    assert "docker is not installed" in done.err
    assert world.everything() == before
    dry = world.run("ci.images --build --dry", PATH=path)
    assert (dry.code, dry.err, world.everything()) == (0, "", before)
    assert "docker buildx build" in dry.out
