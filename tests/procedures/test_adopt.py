"""`fork.adopt`: the files that it writes, those that it leaves alone, and the fork with them."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

import pytest

from carto_fork.adopt import copies, documents
from carto_fork.fork import policy, session, setup
from carto_standin.github import GitHub
from workflow import ADOPT, PROGRAM, Actions
from world import ROOT, Done, World, commit_in, push_as_colleague, slow_but

SCRIPTS = ROOT / "scripts"
PRODUCTION = "refs/heads/carto/main"
FILES = policy.load_policy().policy.files
NEW = ["carto_fork.toml", FILES.guard, FILES.makefile, FILES.tasks]
NEW += [FILES.requirements, FILES.dependencies]
THEIRS = [FILES.sync, FILES.release, FILES.images, FILES.guide, FILES.process]
"""What the sandbox's fork has already, in words of its own."""
REPLACE = " ".join(f"--replace {path}" for path in THEIRS)


def branch(done: Done) -> str:
    """The branch that `fork.adopt` created."""
    found = re.search(r"adopt/[0-9a-f]{10}", done.out)
    assert found, done.out
    return found[0]


def land(world: World, name: str) -> None:
    """Merge a branch on origin into production, and fetch the result."""
    head = f"refs/heads/{name}"
    commit_in(world, world.origin, PRODUCTION, {}, PRODUCTION, head, tree=head, message="Merge it")
    world.git("fetch --quiet origin")


def adopted(world: World, options: str = REPLACE) -> World:
    """A world whose fork has all files of `fork.adopt` on its production branch."""
    done = world.run(f"{ADOPT} {options}")
    assert done.code == 0, done.err
    land(world, branch(done))
    return world


def at_production(world: World, path: str) -> str:
    return world.git("show", f"{PRODUCTION}:{path}", repo=world.origin) + "\n"


# --- The files -----------------------------------------------------------------------------------


def test_adopt_shows_commits_and_publishes_the_files(world: World) -> None:
    before, origin = world.checkout(), world.refs(world.origin)
    done = world.run(ADOPT)
    assert (done.code, done.err) == (0, "")
    name = branch(done)
    commit = world.git(f"rev-parse {PRODUCTION}", repo=world.origin)
    place = f"~/litellm.{name.replace('/', '-')}"
    work = place.replace("~", "..")
    source = world.neutral(str(setup.SOURCE))
    # Our line in place of uv's two, which name a command of this project.
    locked = len(documents.template("adopted/dependencies.txt").splitlines()) - 1
    assert done.out == (
        "  carto_fork.toml                            new, 2 lines\n"
        "  .github/workflows/carto-upstream-sync.yml  not from fork.adopt\n"
        "  .github/workflows/carto-guard.yml          new, 49 lines\n"
        "  .github/workflows/carto_release.yaml       not from fork.adopt\n"
        "  .github/workflows/carto_ghcr_deploy.yaml   not from fork.adopt\n"
        "  carto.mk                                   new, 40 lines\n"
        "  carto_tasks.py                             new, 19 lines\n"
        "  .github/carto-fork.txt                     new, 2 lines\n"
        f"  .github/carto-fork-dependencies.txt        new, {locked} lines\n"
        "  CARTO_CLAUDE.md                            not from fork.adopt\n"
        "  docs/CARTO_RELEASE_PROCESS.md              not from fork.adopt\n"
        "`fork.adopt` keeps the fork's own files; --replace PATH overwrites such a file.\n"
        "1/5 branch    Create the branch from production, or take the one on origin.\n"
        f"    $ git branch --no-track {name} {commit}\n"
        "2/5 worktree  Check it out in a separate work tree; yours is not touched.\n"
        "    $ git -c core.sparseCheckout=false worktree add --force --force "
        f"{place} {name}\n"
        "3/5 write     Write the fork's files and commit them.\n"
        f"    $ invoke step.write-adopted --repo {work} --requirement={PROGRAM}\n"
        f"Wrote {len(NEW)} files.\n"
        "4/5 push      Publish the branch.\n"
        f"    $ git -C {work} push --atomic --no-follow-tags "
        f"--force-with-lease=refs/heads/{name}: origin "
        f"refs/heads/{name}:refs/heads/{name}\n"
        "5/5 tidy      Remove the work tree, unless it holds untracked files.\n"
        f"    $ git -c status.showUntrackedFiles=normal worktree remove {place}\n"
        "hook      Let git run `ci.guard` before it pushes.\n"
        "    $ git config carto-fork.guard 'invoke ci.guard --pre-push'\n"
        "    $ mkdir -p .git/hooks\n"
        f"    $ install -m 755 {source} .git/hooks/pre-push\n"
        "3 workflows in the fork are not this program's, so it does not run in them:\n"
        "  .github/workflows/carto-upstream-sync.yml,\n"
        "  .github/workflows/carto_release.yaml,\n"
        "  .github/workflows/carto_ghcr_deploy.yaml.\n"
        f"To adopt all, and replace them, too: invoke {ADOPT} "
        f"{' '.join(f'--replace {path}' for path in THEIRS[:3])}\n"
        f"Done: origin has {name}.\n"
        f"Next: open a pull request from {name} to carto/main:\n"
        f"  https://github.com/CartoDB/litellm/compare/carto/main...{name}?expand=1\n"
    )
    assert world.checkout() == before
    after = world.refs(world.origin)
    assert after.keys() - origin.keys() == {f"refs/heads/{name}"}
    changed = world.git(
        f"diff --name-only {PRODUCTION}", after[f"refs/heads/{name}"], repo=world.origin
    )
    assert sorted(changed.splitlines()) == sorted(NEW)
    assert not (world.place / place[2:]).exists()


def test_a_second_run_does_nothing_more(world: World) -> None:
    first = world.run(ADOPT)
    refs = world.refs(world.origin), world.refs(world.fork)
    again = world.run(ADOPT)
    assert (again.code, again.err) == (0, "")
    assert f"{branch(first)} is published already.\n" in again.out
    said = f"An earlier run has named one, in origin's {branch(first)}: "
    assert said in world.run("fork.adopt").err
    assert (world.refs(world.origin), world.refs(world.fork)) == refs


def test_what_is_printed_can_be_pasted(world: World, tmp_path: Path) -> None:
    before = world.everything()
    dry = world.run(f"{ADOPT} --dry")
    assert (dry.code, dry.err) == (0, "")
    assert world.everything() == before
    pasted = world.paste(dry.out)
    assert pasted.code == 0, pasted.err
    assert branch(dry) in world.git("branch --list adopt/*", repo=world.origin)
    assert (world.fork / ".git" / "hooks" / "pre-push").stat().st_mode & 0o111


def test_adopt_opens_a_pull_request(world: World, github: GitHub) -> None:
    done = world.run(f"{ADOPT} --json")
    assert done.code == 0, done.err
    data = json.loads(done.out)
    assert data["pull_request"] == "https://github.com/CartoDB/litellm/pull/1"
    assert data["hook"] == "ours"
    assert {file["path"] for file in data["files"] if file["state"] == "new"} == set(NEW)
    with github.open() as opened:
        [pull] = opened.origin().state.pulls
    assert (pull.base, pull.head) == ("carto/main", data["branch"])
    assert "`carto.mk` (new)" in pull.body
    again = json.loads(world.run(f"{ADOPT} --json").out)
    assert again["pull_request"] == data["pull_request"]
    with github.open() as opened:
        assert len(opened.origin().state.pulls) == 1
    # One check waits for it; the other is about a file that it keeps.
    checked = json.loads(world.run("doctor --json --check program --check protection").out)
    then = {finding["check"]: finding["then"] for finding in checked["findings"]}
    assert then["protection"].endswith(data["pull_request"])
    assert f"--replace {FILES.sync}" in then["program"] and len(then) == 2


def test_a_later_run_closes_the_pull_request_that_it_replaces(world: World, github: GitHub) -> None:
    def states() -> dict[str, str]:
        with github.open() as opened:
            return {pull.head: pull.state for pull in opened.origin().state.pulls}

    first, second = branch(world.run(ADOPT)), world.run(f"{ADOPT} --replace {FILES.release}")
    assert "gh pr close 1 -R CartoDB/litellm --comment 'Superseded by" in second.out
    assert states() == {first: "CLOSED", branch(second): "OPEN"}
    # One without a file that the other brings leaves it open, and so does a branch with a
    # person's work.
    named = world.run("fork.adopt").err  # only the open one
    assert " named one, in https://github.com/CartoDB/litellm/pull/2: if that" in named
    third = world.run(f"{ADOPT} --replace {FILES.sync}")
    assert f"2, of an earlier `fork.adopt`, stays open: it has {FILES.release}, too" in third.out
    head = f"refs/heads/{branch(third)}"
    text = "# The team's\n"
    commit_in(world, world.origin, head, {FILES.makefile: text}, head)
    world.git("fetch --quiet origin")
    last = world.run(f"{ADOPT} --replace {FILES.sync} --replace {FILES.release}")
    assert "3, of an earlier `fork.adopt`, stays open: somebody changed" in last.out
    assert states()[branch(second)] == "CLOSED" and states()[branch(third)] == "OPEN"
    again = json.loads(world.run("doctor --json --check program").out)["findings"]
    assert again[0]["then"].endswith("/pull/4")
    # What a later version of the program changes is an update.
    old = documents.stamped("# Older\n", FILES.tasks)
    land(world, branch(last))
    push_as_colleague(world, {FILES.tasks: old})
    world.run(ADOPT)
    with github.open() as opened:
        pull = opened.origin().state.pulls[-1]
    assert pull.title == "chore: update the files that keep the fork on its upstream"
    assert f"- `{FILES.tasks}` (brought up to date)" in pull.body


def test_adopt_with_no_push_pushes_nothing(world: World) -> None:
    before = world.refs(world.origin)
    done = world.run(f"{ADOPT} --no-push")
    assert done.code == 0, done.err
    assert f"Next: git push origin {branch(done)}\n" in done.out
    assert world.refs(world.origin) == before
    assert branch(done) in world.git("branch --list adopt/*")


def test_an_interrupted_adopt_continues(world: World) -> None:
    """The state after a kill between creating the branch and the commit."""
    name = branch(world.run(f"{ADOPT} --dry"))
    world.git(f"branch {name} origin/carto/main")
    done = world.run(ADOPT)
    assert done.code == 0, done.err
    assert "1/5 branch    already done\n" in done.out
    assert f"refs/heads/{name}" in world.refs(world.origin)


# --- Updates -------------------------------------------------------------------------------------


def test_check_reports_what_is_missing(world: World) -> None:
    before = world.everything()
    done = world.run("fork.adopt --check")
    assert done.code == 4
    assert re.sub(r" --requirement git\+https://\S+@[0-9a-f]{40}\n", "\n", done.err) == (
        "Check failed: 6 files of the fork are missing or out of date: "
        f"{', '.join(NEW)}.\nNothing was changed.\n"
        "Next: invoke fork.adopt\n"
    )
    assert "Next: invoke fork.adopt --requirement " in done.err  # without it, it is refused
    assert world.everything() == before


def test_check_reports_what_the_team_changed_and_does_not_fail(world: World) -> None:
    adopted(world, "")
    done = world.run("fork.adopt --check --json")
    assert done.code == 0, done.err
    states = {file["path"]: file["state"] for file in json.loads(done.out)["files"]}
    assert {path for path, state in states.items() if state == "not from fork.adopt"} == set(THEIRS)
    assert {path for path, state in states.items() if state == "current"} == set(NEW)


def test_a_release_workflow_calls_no_images_workflow_that_cannot_be_called(world: World) -> None:
    """GitHub would not start it; the sandbox's own images workflow has no `workflow_call`."""
    call, said = f"uses: ./{FILES.images}", f"{FILES.images} has no `workflow_call`"
    done = world.run(f"{ADOPT} --replace {FILES.release} --replace {FILES.sync}")
    assert said in " ".join(done.out.split())
    land(world, branch(done))
    assert call not in at_production(world, FILES.release)
    done = world.run("doctor --check program --offline")
    assert done.code == 0 and "look" in done.out and said in " ".join(done.out.split())
    assert said in " ".join(world.run("fork.adopt --check").out.split())
    # An earlier version wrote the call all the same.
    texts = dict(copies.texts(policy.load_policy().policy, lambda path: None))
    files = {FILES.release: texts[FILES.release]}
    commit_in(world, world.origin, PRODUCTION, files)
    world.git("fetch --quiet origin")
    assert world.run("fork.adopt --check").code == 4
    done = world.run("doctor --check program --offline")
    assert done.code == 4 and f"calls {FILES.images}, which" in " ".join(done.out.split())
    land(world, branch(world.run(ADOPT)))
    assert call not in at_production(world, FILES.release)
    # With the trigger it is called.
    text = "on:\n  workflow_call:\n    inputs:\n      release:\n        type: string\njobs: {}\n"
    commit_in(world, world.origin, PRODUCTION, {FILES.images: text})
    land(world, branch(world.run(ADOPT)))
    assert call in at_production(world, FILES.release)
    assert world.run("doctor --check program --offline").out.startswith("1 check is fine")


def test_outdated_files_are_updated_and_edited_files_are_kept(world: World) -> None:
    adopted(world)
    assert world.run("fork.adopt --check").code == 0
    ours = at_production(world, FILES.makefile) + "mine: ; true\n"
    old = documents.stamped("# Older\n", FILES.tasks)
    push_as_colleague(world, {FILES.makefile: ours, FILES.tasks: old})
    world.git("fetch --quiet origin")
    check = world.run("fork.adopt --check")
    assert check.code == 4 and f"missing or out of date: {FILES.tasks}.\n" in check.err
    world.git("tag -d v1.77.2-stable", repo=world.upstream)
    project = world.git("show origin/carto/main:pyproject.toml").replace("1.75.2.1", "1.75.2")
    push_as_colleague(world, {"pyproject.toml": f"{project}\n"})
    world.git("fetch --quiet origin")
    following = json.loads(world.run("next --json").out)
    assert following["command"] == "invoke fork.adopt"
    assert following["why"].startswith(f"{FILES.tasks} is not what the policy and this program say")
    findings = json.loads(world.run("doctor --json --check program").out)["findings"]
    behind = f"{FILES.tasks} is not what the policy and this program say now."
    assert behind in [finding["what"] for finding in findings]
    done = world.run("fork.adopt")
    assert done.code == 0, done.err
    again = world.run("fork.adopt --check")
    merge = "merge origin's adopt/"
    assert again.code == 4 and f"Next: {merge}" in again.err and "invoke fork.adopt" in again.err
    assert re.search(rf"{FILES.tasks} +behind, \+\d+ -\d+\n", done.out)
    name = f"refs/heads/{branch(done)}"
    commit_in(world, world.origin, PRODUCTION, {}, PRODUCTION, name, tree=name, message="Merge it")
    assert at_production(world, FILES.makefile) == ours
    # What landed is not in the clone yet.
    moved = "origin's carto/main has moved since this clone fetched."
    finding, *_ = json.loads(world.run("doctor --json --check remotes").out)["findings"]
    assert (finding["what"], finding["then"]) == (moved, "git fetch origin")
    done = world.run("fork.adopt --check")
    assert done.code == 0 and " fetch " in done.out
    assert moved not in world.run("doctor --json --check remotes").out


# --- Where the program comes from ----------------------------------------------------------------

HASH = "0123456789abcdef" * 4


def test_adopt_is_refused_without_a_source_for_the_program(world: World) -> None:
    """A bare name, a branch or a tag may install another program tomorrow."""
    before = world.everything()
    done = world.run("fork.adopt")
    assert done.code == 1
    assert done.err.startswith("Refused: the workflows need to know where to install this program")
    for loose, why in (
        ("carto-fork", "."),
        ("carto-fork==0.1.0", "."),
        ("git+https://github.com/acme/carto-fork@main", ": 'main' is not a commit's 40 digits."),
        ("git+https://github.com/acme/carto-fork@0123456", ": '0123456' is not a commit's"),
        ("git+https://github.com/acme/carto-fork", ": its commit is missing."),
        (f"git+https://user:token@github.com/acme/carto-fork@{HASH[:40]}", ""),
        (f"git+https://github.com/acme/carto-fork@{HASH[:40]}\nevil", ""),
        ("https://example.com/carto_fork-1.0-py3-none-any.whl", ": its hash is missing."),
        ("https://example.com/carto_fork-1.0.whl#sha256=abc", ": a SHA-256 has 64 hexadecimal"),
        (f"https://example.com/carto_fork-1.0.tar.gz#sha256={HASH}", "."),
        ("--pre", "."),
    ):
        done = world.run("fork.adopt", f"--requirement={loose}")
        said = f"may install another program tomorrow{why}"
        assert done.code == 1 and said in done.err and "earlier run" not in done.err, loose
    for typed, said in (
        ("git+https://HOST/OWNER/carto-fork@COMMIT", "HOST, OWNER and COMMIT are placeholders"),
        (f"git+https://HOST/acme/carto-fork@{HASH[:40]}", "HOST is a placeholder"),
    ):
        done = world.run("fork.adopt", f"--requirement={typed}")
        assert f"Refused: {said}: put in where your copy of carto-fork is.\n" in done.err
    assert world.everything() == before


@pytest.mark.parametrize(
    ("remotes", "then"),
    [
        (
            ["git@gitlab.example.com:team/carto-fork.git"],
            "Next: {again}git+https://gitlab.example.com/team/carto-fork@{head}\n",
        ),
        (
            ["/srv/carto-fork.git", "ssh://git@git.example.com:22/team/carto-fork"],
            "Next: {again}git+https://git.example.com/team/carto-fork@{head}\n",
        ),
        (
            ["/srv/carto-fork.git"],
            "Next: publish it, such as: gh repo create CartoDB/carto-fork --public --source "
            "{place} --remote published --push\n"
            "then: {again}git+https://github.com/CartoDB/carto-fork@{head}\n",
        ),
    ],
)
def test_the_refusal_names_where_this_copy_is_or_how_to_publish_it(
    world: World, monkeypatch: pytest.MonkeyPatch, remotes: list[str], then: str
) -> None:
    place = world.place / "program"
    world.git("init --quiet", str(place))
    who = "-c user.name=Ann -c user.email=ann@example.com"
    world.git(f"{who} commit --quiet --allow-empty -m first", repo=place)
    for name, url in zip(("origin", "other"), remotes, strict=False):
        world.git(f"remote add {name} {url}", repo=place)
    (place / "pyproject.toml").write_text('[project]\nname = "carto-fork"\n')
    noted = {"url": place.as_uri(), "dir_info": {"editable": True}}
    monkeypatch.setattr(session, "installed_from", lambda: noted)
    simulated = "type this as it is. For a fork on GitHub, publish the program there first.\n"
    assert world.run("fork.adopt").err.endswith(simulated) == ("publish" in then)
    world.git("config carto-fork.gh gh")
    head = world.git("rev-parse HEAD", repo=place)
    done = world.run("fork.adopt")
    again = "invoke fork.adopt --requirement "
    where = {"again": again, "head": head, "place": "../program"}
    assert done.err.endswith(then.format_map(where)), done.err


def test_a_wheel_is_pinned_by_its_hash_and_replaces_an_older_requirement(world: World) -> None:
    """A fork whose requirement is a version from an index, as earlier versions allowed."""
    push_as_colleague(world, {FILES.requirements: "carto-fork==0.0.1\n"})
    world.git("fetch --quiet origin")
    loose = world.run("fork.adopt --check")
    assert loose.code == 4 and FILES.requirements in loose.err
    wheel = "./wheels/carto_fork-1.0-py3-none-any.whl"
    done = world.run("fork.adopt", "--requirement", f"{wheel}#sha256={HASH}")
    assert done.code == 0, done.err
    land(world, branch(done))
    lines = at_production(world, FILES.requirements).splitlines()
    assert lines[1:] == [f"{wheel} --hash=sha256:{HASH}"]
    assert world.run("fork.adopt --check").code == 0


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        (f"{ADOPT} --replace README.md", 2, "is not a file of `fork.adopt`"),
        ("fork.adopt --check --repo ..", 1, "is not a git repository"),
    ],
)
def test_invalid_options_are_refused(world: World, line: str, code: int, message: str) -> None:
    before = world.everything()
    done = world.run(line)
    assert done.code == code and message in done.err and "Traceback" not in done.err
    assert world.everything() == before


def test_a_policy_without_a_rule_for_the_files_is_refused(world: World) -> None:
    own = 'extends = "carto-litellm"\n[files]\nmakefile = "fork.mk"\n'
    push_as_colleague(world, {"carto_fork.toml": own})
    done = world.run(ADOPT)
    assert done.code == 1
    assert "no rule of the policy keeps fork.mk whole in a merge." in done.err


# --- The hook ------------------------------------------------------------------------------------


def hook(world: World) -> Path:
    return world.fork / ".git" / "hooks" / "pre-push"


def test_another_pre_push_hook_is_kept(world: World) -> None:
    hook(world).parent.mkdir(exist_ok=True)
    hook(world).write_text("#!/bin/sh\nexit 0\n")
    done = world.run(f"{ADOPT} --no-push")
    assert "pre-push is another hook; to check pushes, add this line to it:" in done.out
    assert hook(world).read_text() == "#!/bin/sh\nexit 0\n"


def test_a_team_hook_that_calls_the_guard_causes_no_warning(world: World) -> None:
    hook(world).parent.mkdir(exist_ok=True)
    hook(world).write_text("#!/bin/sh\nlint && carto-fork ci.guard --pre-push\n")
    assert "to check pushes" not in world.run(f"{ADOPT} --no-push").out


def test_a_shared_hooks_directory_is_left_unchanged(world: World, tmp_path: Path) -> None:
    world.git("config core.hooksPath", str(tmp_path))
    done = world.run(f"{ADOPT} --no-push")
    assert "is in a hooks directory that is shared with other clones" in " ".join(done.out.split())
    assert list(tmp_path.glob("pre-push")) == []


def test_the_hook_is_installed_in_the_hooks_path_of_the_clone(world: World) -> None:
    world.git("config core.hooksPath .git/own-hooks")
    assert world.run(f"{ADOPT} --no-push").code == 0
    assert (world.fork / ".git" / "own-hooks" / "pre-push").exists()


def programs(world: World) -> str:
    """A PATH with this checkout's `carto-fork` and `invoke`."""
    place = world.place / "bin"
    place.mkdir()
    starts = {"carto-fork": "carto_fork.tasks", "invoke": "invoke.main"}
    for name, module in starts.items():
        lines = [f"#!{sys.executable}", "import sys", f"sys.path.insert(0, {str(SCRIPTS)!r})"]
        lines += [f"from {module} import program", "program.run()", ""]
        (place / name).write_text("\n".join(lines))
        (place / name).chmod(0o755)
    return f"{place}{os.pathsep}{os.environ['PATH']}"


def test_the_hook_checks_what_is_pushed(world: World) -> None:
    assert world.run(f"{ADOPT} --no-push").code == 0
    world.git("switch --quiet -c work origin/carto/main")
    world.git("commit --quiet --allow-empty -m whatever")
    push = ["git", "push", "origin", "HEAD:carto/main"]
    before = world.refs(world.origin)
    stopped = world.call(push)
    assert stopped.code == 1 and "is not a conventional commit" in " ".join(stopped.err.split())
    world.git("config --unset carto-fork.guard")
    stopped = world.call(push)
    assert stopped.code == 1
    assert "pre-push: the git setting carto-fork.guard is missing" in stopped.err
    assert world.refs(world.origin) == before


@pytest.mark.slow
def test_a_merge_with_conflicts_left_is_published_past_the_hook(
    world: World, github: GitHub
) -> None:
    path = programs(world)
    assert world.run(f"{ADOPT} --no-push", PATH=path).code == 0
    done = world.run("ci.sync --tag v1.77.2-stable --no-tests", PATH=path)
    assert done.code == 0, done.err
    assert "refs/heads/upstream-sync/v1.77.2-stable" in world.refs(world.origin)


# --- The fork after it ---------------------------------------------------------------------------


@pytest.mark.slow
def test_an_upgrade_keeps_the_adopted_files_whatever_upstream_does(world: World) -> None:
    """Upstream has files of the same names; the fork's stay as they are."""
    adopted(world)
    paths = [*NEW, *THEIRS]
    theirs = {path: f"upstream's {path}\n" for path in paths}
    tag = "refs/tags/v1.76.5"
    commit = commit_in(
        world, world.upstream, tag, theirs, f"{tag}^0", message="feat: upstream files"
    )
    before = {path: at_production(world, path) for path in paths}
    done = world.run("upgrade-carto --tag v1.76.5 --no-tests")
    assert done.code == 0, done.err
    sync = "refs/heads/upstream-sync/v1.76.5"
    after = {p: world.git("show", f"{sync}:{p}", repo=world.origin) + "\n" for p in paths}
    assert after == before
    assert world.git(f"merge-base --is-ancestor {commit} {sync}", repo=world.origin) == ""


@pytest.mark.slow
def test_the_adopted_workflows_run(world: World, github: GitHub) -> None:
    adopted(world)
    make = {"make": "exit 0", "docker": "cat >/dev/null; exit 0"}
    sync = Actions(world, inputs={"tag": "v1.76.5"}, commands=make, adopted=True)
    run = sync.run("carto-upstream-sync.yml")
    assert run.results == dict.fromkeys(["detect", "sync", "test", "notify"], "success"), run.log
    text = at_production(world, "pyproject.toml").replace("1.75.2.1", "1.75.2")
    files = {"pyproject.toml": text}
    commit_in(world, world.origin, PRODUCTION, files, message="chore: the version of upstream's")
    release = Actions(world, inputs={"bump": "minor"}, commands=make, adopted=True)
    run = release.run("carto_release.yaml")
    assert run.results == {"release": "success", "images": "success"}, run.log


@pytest.mark.parametrize("how", ["invoke", "make"])
@pytest.mark.slow
def test_an_adopted_fork_can_run_its_tasks_by_invoke_and_make(
    world: World, github: GitHub, how: str
) -> None:
    adopted(world)
    world.git("switch --quiet --detach origin/carto/main")
    path = programs(world)

    def call(task: str, *options: str, **variables: str) -> Done:
        if how == "invoke":
            task = {"upgrade": "upgrade-carto"}.get(task, task)
            words = ["invoke", "-c", "carto_tasks", task]
            words += [f"--{name.lower()}={value}" for name, value in variables.items()]
            done = world.call([*words, *options], PATH=path)
        else:
            words = ["make", "-f", "carto.mk", f"{task}-carto"]
            words += [f"{name}={value}" for name, value in variables.items()]
            done = world.call([*words, f"ARGS={' '.join(options)}"], PATH=path)
        assert done.code == 0, done.out + done.err
        return done

    status = call("status")
    program = "invoke -c carto_tasks" if how == "invoke" else "carto-fork"
    assert f"Next: {program} upgrade-carto --tag v1.77.2-stable\n" in status.out
    call("upgrade", "--no-tests", TAG="v1.76.5")
    assert "refs/heads/upstream-sync/v1.76.5" in world.refs(world.origin)
    merged = world.call(["gh", "pr", "merge", "2", "-R", "CartoDB/litellm", "--merge"])
    assert merged.code == 0, merged.err
    call("release")
    assert "refs/tags/carto-v1.76.5-0.1.0" in world.refs(world.origin)


def test_without_the_package_the_tasks_say_what_to_install(world: World) -> None:
    adopted(world)
    world.git("switch --quiet --detach origin/carto/main")
    words = [sys.executable, "-S", "-c", "import carto_tasks"]
    done = world.call(words, PYTHONPATH=str(world.fork))
    assert done.code == 1
    assert done.err.endswith(
        "Next: pip install --require-hashes --only-binary :all: --requirement "
        ".github/carto-fork-dependencies.txt && pip install --no-deps --no-build-isolation "
        "--requirement .github/carto-fork.txt\n"
    )


@pytest.mark.parametrize("value", ["$(shell touch pwned)", "`touch pwned`", "';touch pwned;'"])
@pytest.mark.parametrize("where", slow_but(["argument", "environment"], "argument"))
def test_a_hostile_value_runs_nothing(world: World, value: str, where: str) -> None:
    adopted(world)
    world.git("switch --quiet --detach origin/carto/main")
    words = ["make", "-f", "carto.mk", "upgrade-carto"]
    path = programs(world)
    if where == "argument":
        done = world.call([*words, f"TAG={value}"], PATH=path)
    else:
        done = world.call(words, PATH=path, TAG=value)
    assert done.code == 2 and "is not the name of a release" in done.err
    assert list(world.place.rglob("pwned")) == []


def test_the_included_makefile_does_not_change_upstreams_targets(world: World) -> None:
    """Upstream's variables and targets of the same names keep their meaning."""
    adopted(world)
    world.git("switch --quiet --detach origin/carto/main")
    (world.fork / "GNUmakefile").write_text(
        "include carto.mk\nTAG ?= latest\nstatus: ; @echo 'upstream $(TAG)'\n"
    )
    done = world.call(["make", "status"])
    assert (done.code, done.out, done.err) == (0, "upstream latest\n", "")
