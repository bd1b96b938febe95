"""Nobody but the fork's people decides for the fork; whatever dies, the next run continues."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Mapping
from typing import Any

import pytest
from invoke.context import Context

from carto_fork.audit import verify
from carto_fork.fork import recovery
from carto_fork.fork.fork import open_fork
from carto_fork.fork.settings import LAUNCHERS, safe_settings
from carto_fork.run.shell import Shell
from carto_fork.run.text import plain
from workflow import ADOPT
from world import World, commit_in, push_as_colleague, shim, slow_but

TAG = "v1.76.5"
UPGRADE = f"upgrade-carto --tag {TAG} --no-tests"
SYNC = f"refs/heads/upstream-sync/{TAG}"
NEXT = "v1.76.6"


def release(
    world: World, files: Mapping[str, str | None], *, modes: Mapping[str, str] | None = None
) -> str:
    """Upstream releases NEXT, which is TAG with some files; an upgrade to it as a command line.

    modes: of git's, by path; by default a file is a plain one.
    """
    pyproject = world.git(f"show {TAG}:pyproject.toml", repo=world.upstream)
    files = {"pyproject.toml": pyproject.replace("1.76.5", "1.76.6") + "\n", **files}
    commit_in(world, world.upstream, f"refs/tags/{NEXT}", files, TAG, modes=modes)
    return f"upgrade-carto --tag {NEXT} --no-tests"


# --- The tree is upstream's ----------------------------------------------------------------------

POLICY = 'extends = "carto-litellm"\n[commands]\ninstall = ["touch RAN"]\n'
FINDING = "upstream changes {path}, which is only the fork's; to undo: git rm -- {path}"


PIN = f'[tags]\n"v9" = {{ object = "{"1" * 40}", commit = "{"1" * 40}" }}\n'


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("carto_fork.toml", POLICY),
        ("carto_tags.toml", PIN),
        ("carto_tags.toml", "not TOML"),
        ("carto_proposals.toml", "not TOML"),
        ("carto.mk", "x:\n"),
    ],
)
def test_upstreams_change_to_a_file_that_the_fork_decides_by_stops(
    world: World, path: str, text: str
) -> None:
    done = world.run(line := release(world, {path: text}))
    assert done.code == 4
    assert f"the fork's own file: {FINDING.format(path=path)}" in done.err
    body = (world.fork / ".git" / "carto-fork" / NEXT / "pull-request.md").read_text()
    assert f"| {plain(FINDING.format(path=path))} |" in body
    assert f"refs/heads/upstream-sync/{NEXT}" not in world.refs(world.origin)
    # The advised command works, and then the upgrade continues.
    world.git(f"rm --quiet -- {path}", repo=world.work(NEXT))
    world.git("commit --quiet -m 'fix: not ours'", repo=world.work(NEXT))
    done = world.run(line)
    assert (done.code, done.err) == (0, "")
    if path != "carto_tags.toml":
        assert path not in world.git(f"ls-tree --name-only upstream-sync/{NEXT}").splitlines()


def test_upstreams_change_to_who_approves_or_where_secrets_go_stops(world: World) -> None:
    """The fork has owners of its own; upstream's, one directory lower, would be for nobody."""
    commit_in(world, world.origin, "refs/heads/carto/main", {"CODEOWNERS": "* @CartoDB/forks\n"})
    lfs = "[lfs]\n\turl = https://evil.example/\n"
    files = {".github/CODEOWNERS": "* @evil\n", ".lfsconfig": lfs, ".npmrc": "registry=x\n"}
    done = world.run(release(world, files))
    assert done.code == 4, done.out
    for path in (".github/CODEOWNERS", ".lfsconfig"):
        assert FINDING.format(path=path) in done.err
    body = (world.fork / ".git" / "carto-fork" / NEXT / "pull-request.md").read_text()
    assert "| new | tool settings | `.npmrc` |" in body


def test_codeowners_that_the_fork_has_from_upstream_stay_upstreams(world: World) -> None:
    done = world.run(release(world, {"CODEOWNERS": "* @BerriAI/maintainers\n"}))
    assert (done.code, done.err) == (0, "")


def test_a_person_may_accept_such_a_change_with_a_drop(world: World) -> None:
    line = release(world, {"carto.mk": "x:\n"})
    assert world.run(line).code == 4
    why = "We take theirs."
    done = world.run(f"verify --drop carto.mk --reason '{why}'", cwd=world.work(NEXT))
    assert (done.code, done.err) == (0, "")
    assert world.run(line).code == 0
    assert why in world.git(f"show upstream-sync/{NEXT}:carto_drops.toml")


def test_upstreams_own_drops_do_not_count(world: World) -> None:
    """The fork's line in the router is in conflict, and upstream's file says that it may go."""
    commit_in(world, world.origin, "refs/heads/carto/main", {"carto_drops.toml": None})
    world.git("fetch --quiet origin")
    ours = world.git("show origin/carto/main:litellm/router.py")
    line = next(x for x in ours.splitlines() if "DEFAULT_COOLDOWN_TIME_SECONDS" in x)
    base = world.git(f"show {TAG}:litellm/router.py", repo=world.upstream)
    named = next(x for x in base.splitlines() if "DEFAULT_COOLDOWN_TIME_SECONDS" in x)
    theirs = base.replace(named, f"{named}  # of upstream's")
    drop = f'[[drop]]\npath = "litellm/router.py"\nlines = [{json.dumps(line.strip())}]\n'
    drop += 'reason = "agreed with the maintainers"\nside = "fork"\n'
    files = {"litellm/router.py": theirs + "\n", "carto_drops.toml": drop}
    done = world.run(release(world, files))
    assert done.code == 3
    assert "agreed with the maintainers" not in done.out
    assert line in (world.work(NEXT) / "litellm" / "router.py").read_text()


@pytest.mark.parametrize("path", ["carto_tags.toml", "carto_drops.toml", "pyproject.toml"])
@pytest.mark.parametrize("target", ["../victim", "../litellm/.git/config"])
def test_nothing_is_written_through_an_upstream_symlink(
    world: World, path: str, target: str
) -> None:
    victim = (world.place / "litellm" / target).resolve()
    victim.touch()
    before = victim.read_bytes()
    done = world.run(release(world, {path: target}, modes={path: "120000"}))
    assert victim.read_bytes() == before
    if path == "carto_drops.toml":  # both sides have it, and what is the fork's stays as it is
        assert done.code == 0
        ours, result = (
            world.git(f"ls-tree {branch} {path}", repo=world.origin)
            for branch in ("carto/main", f"upstream-sync/{NEXT}")
        )
        assert result == ours != ""
        return
    assert done.code in (1, 3, 4)
    assert f"refs/heads/upstream-sync/{NEXT}" not in world.refs(world.origin)


def leaking(world: World, name: str) -> str:
    """A script that says that it ran."""
    return f"#!/bin/sh\necho {name} >>{world.place}/ran\ncat\n"


HOOKS = "post-checkout pre-commit commit-msg post-commit pre-push reference-transaction"


@pytest.mark.parametrize(
    "settings",
    [
        {"core.hooksPath": ".githooks"},
        {"filter.x.clean": "tools/run", "filter.x.smudge": "tools/run"},
        {"filter.x.process": "./tools/run", "filter.x.required": "true"},
        {"merge.x.driver": "tools/run %O %A %B"},
        {"merge.x.driver": "sh tools/run %O %A %B"},
        {"diff.x.textconv": "tools/run"},
        {"diff.external": "tools/run"},
        {"core.fsmonitor": "tools/run"},
        {"core.attributesFile": "tools/attributes", "filter.y.clean": "tools/run"},
        {"filter.x.clean": "python3 -m tools.cat"},
    ],
    ids=lambda settings: ",".join(settings),
)
def test_nothing_of_upstreams_runs_before_the_tests(world: World, settings: dict[str, str]) -> None:
    for key, value in settings.items():
        world.git(f"config {key} '{value}'")
    script = leaking(world, "upstream")
    files: dict[str, str | None] = {f".githooks/{name}": script for name in HOOKS.split()}
    files |= {
        "tools/cat.py": f"open('{world.place}/ran', 'w')",
        "tools/run": script,
        "tools/attributes": "* filter=y\n",
    }
    files |= {".gitattributes": "*.py filter=x merge=x diff=x\n", "Makefile": "all:\n"}
    modes = dict.fromkeys([*(f".githooks/{name}" for name in HOOKS.split()), "tools/run"], "100755")
    done = world.run(release(world, files, modes=modes))
    assert done.code in (0, 3), done.err
    assert not (world.place / "ran").exists()


def test_files_named_by_git_settings_are_found_as_git_finds_them(world: World) -> None:
    """Directories and files that are called as programs are change nothing; nor does upstream."""
    push_as_colleague(world, {"ssh/x": "", "store": "", "sh": "", "run": "echo ours\n"})
    world.git("pull --quiet --ff-only")
    for key, value in {
        "core.sshCommand": "ssh -i ~/.ssh/id",
        "credential.helper": "store",
        "filter.x.clean": "sh run",
        "filter.y.clean": "sh -c ./tools/run",
        "--add credential.https://a.example.helper": "!tools/evil",
        "--add credential.https://a.example.HELPER": "cache",
        "gpg.ssh.allowedSignersFile": "run",
    }.items():
        world.git(f"config {key} '{value}'")
    fork = open_fork(sh := Shell(Context()), world.fork)
    safe = safe_settings(sh, fork)
    assert "core.sshcommand" not in safe
    assert {key: safe[key] for key in safe if key.split(".")[0] in SECTIONS} == {
        "filter.x.clean": f"sh {world.fork}/run",
        "filter.y.clean": "",
        "filter.y.required": "false",
        "credential.https://a.example.helper": "",
        "gpg.ssh.allowedsignersfile": f"{world.fork}/run",
    }


SECTIONS = {"filter", "credential", "gpg"}


def check_out_upstreams(
    world: World, files: Mapping[str, str | None], modes: Mapping[str, str] | None = None
) -> None:
    """A person looks at upstream's release in the checkout."""
    release(world, files, modes=modes)
    world.git(f"fetch --quiet upstream refs/tags/{NEXT}:refs/tags/{NEXT}")
    world.git(f"checkout --quiet {NEXT}")


def test_hooks_and_programs_that_a_checkout_has_from_upstream_do_not_run(world: World) -> None:
    """Git's settings name them; the hooks by a link that production has, too."""
    link = {"hooks": "120000"}
    commit_in(world, world.origin, "refs/heads/carto/main", {"hooks": "tools"}, modes=link)
    world.git("fetch --quiet origin")
    programs = dict.fromkeys(["tools/pre-commit", "tools/run"], leaking(world, "upstream"))
    files = {"hooks": "tools", ".gitattributes": "* filter=x\n", **programs}
    check_out_upstreams(world, files, link | dict.fromkeys(programs, "100755"))
    for key in ("core.hooksPath hooks", "core.fsmonitor tools/run", "filter.x.clean tools/run"):
        world.git(f"config {key}")
    os.utime(world.fork / "tools" / "run", (1, 1))  # git looks at it
    assert world.run(UPGRADE).code == 0
    assert not (world.place / "ran").exists()


@pytest.mark.parametrize("key", ["include.path", "includeIf.onbranch:upstream-sync/**.path"])
def test_settings_that_a_checkout_has_from_upstream_are_refused(world: World, key: str) -> None:
    ssh = f"[core]\n\tfsmonitor = \"sh -c 'echo ran >>{world.place}/ran; cat'\"\n"
    check_out_upstreams(world, {".gitconfig": ssh})
    world.git(f"config --add '{key}' ../.gitconfig")
    refused = world.run(UPGRADE)
    assert (refused.code, refused.err.splitlines()) == (
        1,
        [
            "Refused: git's settings here include .gitconfig, which differs from carto/main's: "
            "it could make git start any program.",
            "Nothing was changed.",
            "Next: read it, and move it away if it is not yours: mv .gitconfig "
            f".gitconfig.away; then run `invoke {UPGRADE}` again.",
        ],
    )
    assert not (world.place / "ran").exists()
    world.paste("mv .gitconfig .gitconfig.away")
    assert world.run(UPGRADE).code == 0


def test_a_hook_that_starts_what_the_merged_files_name_does_not_run(world: World) -> None:
    hook = world.fork / ".git" / "hooks" / "pre-commit"
    hook.write_text(leaking(world, "hook") + "exec pre-commit run\n")
    hook.chmod(0o755)
    done = world.run(UPGRADE)
    assert done.code == 0
    said = "no hooks here, since pre-commit in .git/hooks/pre-commit starts programs"
    assert said in " ".join(done.out.split())
    assert not (world.place / "ran").exists()


@pytest.mark.parametrize(
    ("line", "launcher"),
    [
        *(("npx prettier --stdin-filepath %f", "npx"), ("sh -c 'uvx nbstripout'", "uvx")),
        *(("A=1 /usr/bin/npm exec x", "npm"), ("true && make -s clean", "make")),
        *(("exec pre-commit run", "pre-commit"), ("go run ./tools/x", "go")),
        *(("git-lfs smudge -- %f", ""), ("nbstripout", ""), ("echo go on with npm", "")),
        *(('exec "$GIT_DIR/hooks/pre-commit"', ""), ("echo 'make sure of it'", "")),
        *(("make-clean", ""), ("/opt/yarn/clean", ""), ("git lfs filter-process", "")),
    ],
)
def test_programs_that_look_in_the_work_tree_are_known(line: str, launcher: str) -> None:
    found = LAUNCHERS.search(line)
    assert (found[1] if found else "") == launcher


def test_a_persons_own_hook_runs_from_the_checkout(world: World) -> None:
    world.git("config core.hooksPath .githooks")
    hook = world.fork / ".githooks" / "pre-commit"
    hook.parent.mkdir()
    hook.write_text(leaking(world, "mine"))
    hook.chmod(0o755)
    assert world.run(UPGRADE).code == 0
    assert set((world.place / "ran").read_text().split()) == {"mine"}


def test_a_tag_named_like_something_in_git_is_not_taken_for_it(world: World) -> None:
    """Upstream makes tags, and a person fetches them all."""
    names = ("MERGE_HEAD", "FETCH_HEAD", "HEAD", "carto/main", f"upstream-sync/{TAG}")
    for name in names:
        world.git(f"update-ref refs/tags/{name} {TAG}^0", repo=world.upstream)
    world.git("fetch --quiet --tags upstream")
    done = world.run(UPGRADE)
    assert (done.code, done.err) == (0, "")
    merge = world.git(f"rev-list --merges --max-count=1 refs/heads/upstream-sync/{TAG}")
    parents = world.git(f"rev-list --parents --max-count=1 {merge}").split()[1:]
    assert parents == world.git(f"rev-parse refs/remotes/origin/carto/main {TAG}^0").split()


# --- What was looked at is what is used ----------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("-C {upstream} update-ref refs/tags/{tag} v1.76.3^0", "a moment ago, and"),
        ("-C {fork} config remote.upstream.url {evil}", "a moment ago, and"),
        ("-C {upstream} tag -d {tag}", "couldn't find remote ref"),
    ],
)
def test_a_tag_that_moves_while_it_is_fetched_is_refused(
    world: World, change: str, said: str
) -> None:
    evil = world.place / "evil.git"
    world.git(f"clone --quiet --bare {world.upstream} {evil}")
    world.git(f"update-ref refs/tags/{TAG} v1.76.3^0", repo=evil)
    names = {"upstream": world.upstream, "fork": world.fork, "evil": evil, "tag": TAG}
    move = f"$GIT {change.format(**names)} >&2"
    path = shim(world, f'case " $* " in *" fetch "*{TAG}*) {move} ;; esac\nexec $GIT "$@"')
    origin = world.refs(world.origin)
    done = world.run(UPGRADE, PATH=path)
    assert done.code == 1
    assert said in done.err
    assert world.refs(world.origin) == origin
    assert not world.work(TAG).exists()


@pytest.mark.parametrize("line", [UPGRADE, f"{UPGRADE} --direct"])
def test_what_is_pushed_is_what_was_verified(world: World, line: str) -> None:
    """A tag that moves here while it is merged, a commit that is made while it is pushed."""
    theirs = world.git(f"rev-parse {TAG}^0", repo=world.upstream)
    work = world.work(TAG)
    once = f"[ -e {world.place}/moved ] || {{ : >{world.place}/moved; "
    unseen = f"{once}$GIT -C {work} commit --quiet --allow-empty -m 'feat: unseen'; }}"
    moved = f"$GIT -C {world.fork} update-ref refs/tags/{TAG} v1.76.3^0"
    cases = f'*" push "*) {unseen} ;; *" merge -s ort "*) {moved} ;;'
    path = shim(world, f'case " $* " in {cases} esac\nexec $GIT "$@"')
    done = world.run(line, PATH=path)
    assert (done.code, done.err) == (0, "")
    pushed = world.refs(world.origin)["refs/heads/carto/main" if "--direct" in line else SYNC]
    local = world.git(f"rev-parse {SYNC} {SYNC}~1").split()
    assert pushed == local[1]
    if "--direct" in line:
        assert world.git("rev-parse carto/main") == pushed
    assert f'commit = "{theirs}"' in world.git(f"show {pushed}:carto_tags.toml")
    assert world.git(f"merge-base {pushed} {theirs}") == theirs


def test_what_is_committed_while_the_merge_is_verified_is_verified_too(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    verified = verify.of_work_tree
    deleted = ["git checkout v1.76.5 -- Makefile", "git commit --quiet -m 'feat: unseen'"]

    def slowly(*merge: Any) -> verify.Verification:
        checked = verified(*merge)
        while deleted:
            world.call(shlex.split(deleted.pop(0)), cwd=world.work(TAG))
        return checked

    monkeypatch.setattr(verify, "of_work_tree", slowly)
    done = world.run(UPGRADE)
    assert done.code == 4
    assert "Makefile" in done.err
    assert SYNC not in world.refs(world.origin)


@pytest.mark.parametrize("line", [UPGRADE, f"{UPGRADE} --direct"])
def test_a_branch_that_somebody_moved_meanwhile_is_not_overwritten(world: World, line: str) -> None:
    """https://github.com/microsoft/go/issues/1345: within a minute of a bot's push,
    https://github.com/javascript-tutorial/en.javascript.info/issues/3744: any time."""
    ref = "refs/heads/carto/main" if "--direct" in line else SYNC
    move = f"$GIT -C {world.origin} update-ref {ref} refs/heads/carto/main~1"
    once = f"[ -e {world.place}/moved ] || {{ : >{world.place}/moved; {move}; }}"
    path = shim(world, f'case " $* " in *" push "*) {once} ;; esac\nexec $GIT "$@"')
    done = world.run(line, PATH=path)
    assert done.code == 1
    assert "stale info" in done.err
    assert world.refs(world.origin)[ref] == world.git("rev-parse origin/carto/main~1")


# --- A run that died -----------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("killed", slow_but(["$PPID; sleep 5", "$$"], "$$"))
def test_a_half_removed_work_tree_is_removed(world: World, killed: str) -> None:
    work = world.work(TAG)
    removing = f"rm -r {work}/.git {work}/litellm; kill -KILL {killed}"
    once = f"[ -e {world.place}/cut ] || {{ : >{world.place}/cut; {removing}; }}"
    path = shim(world, f'case " $* " in *" worktree remove "*) {once} ;; esac\nexec $GIT "$@"')
    assert world.spawn(UPGRADE, PATH=path).code != 0
    done = world.run(UPGRADE)
    assert (done.code, done.err) == (0, "")
    assert not [*world.place.glob("litellm.upstream-sync-*")]


def test_a_lock_of_gits_settings_left_by_a_killed_run_is_removed(world: World) -> None:
    git_dir = world.fork / ".git"
    (git_dir / "config.lock").touch()
    done = world.run(f"{ADOPT} --no-push")
    assert (done.code, "rm .git/config.lock" in done.err) == (1, True)
    (git_dir / "carto-fork.lock").write_text('{"pid": 1, "task": "adopt"}')
    assert world.run(f"{ADOPT} --no-push").code == 0
    assert world.git("config carto-fork.guard")


def test_a_file_that_a_person_shortened_is_not_taken_for_a_half_written_one(
    world: World,
) -> None:
    fork = open_fork(sh := Shell(Context()), world.fork)
    (file := world.place / "file").write_text(text := "line\n" * 2000)
    blob = world.git(f"hash-object -w {file}")
    sizes = {0: False, 100: False, 4096: True, 8192: True, 9999: False, 10000: True}
    for size, git_wrote in sizes.items():
        file.write_text(text[:size])
        assert recovery._is_written(sh, fork, file, [blob]) is git_wrote, size


# --- Upstream's texts ----------------------------------------------------------------------------


def test_github_actions_finds_no_command_in_upstream_texts(world: World) -> None:
    subject = "##[set-output name=pull_request;]https:%2F%2Fevil.example"
    dockerfile = world.git("show v1.77.2-stable:Dockerfile", repo=world.upstream)
    files = {"Dockerfile": dockerfile.replace("RUN apk add", "RUN  apk  add") + "\n"}
    tag = "refs/tags/v1.77.3"
    commit_in(world, world.upstream, tag, files, "v1.77.2-stable", message=subject)
    line = "resolve-conflicts --json"
    actions = {"GITHUB_ACTIONS": "true"}
    paused = world.run("upgrade-carto --tag v1.77.3 --no-tests", cwd=None, **actions)
    assert paused.code == 3
    shown = world.run(line, cwd=world.work("v1.77.3"), **actions)
    for text in (paused.out, paused.err, shown.out, shown.err):
        assert "##[" not in text
        commands = re.findall(r"^\s*::\w*", text, re.MULTILINE)
        # Ours, which fold steps and mark what needs a person.
        assert {*commands} <= {"::group", "::endgroup", "::warning"}
    assert subject in json.dumps(json.loads(shown.out))


def test_github_actions_finds_no_command_in_the_output_of_checks(world: World) -> None:
    from world import push_as_colleague

    text = 'extends = "carto-litellm"\n[commands]\ntest = []\nlint = []\n'
    text += "install = [\"echo '::set-output name=x::y'\"]\n"
    push_as_colleague(world, {"carto_fork.toml": text})
    line = UPGRADE.removesuffix(" --no-tests")
    done = world.run(line, cwd=None, GITHUB_ACTIONS="true")
    assert done.code == 0, done.err
    before, printed, _ = done.out.partition("\n::set-output name=x::y\n")
    assert printed
    (word,) = re.findall(r"^::stop-commands::(\w{32})$", before, re.MULTILINE)
    assert f"\n::{word}::\n" in done.out
    assert os.environ.get("GITHUB_ACTIONS") is None
