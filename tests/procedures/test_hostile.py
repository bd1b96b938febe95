"""What can go wrong around an upgrade: other runs, remotes, disks, hooks, settings, names."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import tomli

from carto_fork.sandbox import build
from carto_fork.sandbox.history import Change, History, Revision
from world import (
    INVOKE,
    ROOT,
    Done,
    World,
    build_template,
    copied,
    history_with,
    outcome,
    push_as_colleague,
    shim,
    slow_but,
    snag,
    usual,
)

TAG = "v1.76.5"
UPGRADE = f"upgrade-carto --tag {TAG} --no-tests"
DIRECT = f"{UPGRADE} --direct"
SYNC = f"refs/heads/upstream-sync/{TAG}"
WORK = f"../litellm.upstream-sync-{TAG}"
MERGE = (
    f"git -C {WORK} -c rerere.enabled=false -c merge.conflictStyle=diff3 merge -s ort --no-ff "
    f"--no-commit -m 'chore: merge upstream {TAG} into carto/main' refs/tags/{TAG}"
)
AS_BEFORE = "Your checkout, carto/main and origin are unchanged.\n"
AGAIN = f"then run `invoke {UPGRADE}` again.\n"
SECRET = "ghs_S3cretS3cretS3cret"

# A release after v1.76.5 with the contents that a test needs.
NEXT = "v1.76.6"
UPGRADE_NEXT = f"upgrade-carto --tag {NEXT}"


def with_next(release: Mapping[str, Change], fork: Mapping[str, Change] | None = None) -> History:
    """The sandbox with one more upstream release and one more fork commit."""
    return history_with(
        Revision("next", "feat: the next release", release, parents=(TAG,)),
        Revision("more", "feat: more of the fork's", fork or {}, parents=("carto/main",)),
        upstream_refs={f"refs/tags/{NEXT}": "next"},
        origin_refs={"refs/heads/carto/main": "more"},
    )


def hook(repository: Path, name: str, script: str) -> Path:
    path = repository / "hooks" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.01)


def usual_end(world: World, template: Path, line: str = UPGRADE, **variables: str) -> Done:
    """Assert that the task ends as it does without a fault."""
    done = world.run(line, cwd=None, **variables)
    assert done.err == ""
    assert done.code == 0
    assert outcome(world) == usual(template, line)
    return done


def git_dir(world: World, but: str = "") -> dict[str, bytes]:
    """Every file of the clone's git directory that is not an object or a log."""
    top = world.fork / ".git"
    files = (path for path in top.rglob("*") if path.is_file())
    names = {str(path.relative_to(top)): path for path in files}
    left_out = ("objects/", "logs/", *filter(None, [but]))
    return {n: p.read_bytes() for n, p in names.items() if not n.startswith(left_out)}


# --- Two runs at once ------------------------------------------------------------------------


@pytest.mark.slow
def test_a_second_run_is_refused_while_the_first_is_running(world: World, template: Path) -> None:
    gate, reached = world.place / "gate", world.place / "reached"
    os.mkfifo(gate)
    path = snag(world, 4, f"touch {reached}; cat {gate}").path
    words = [*INVOKE, "--search-root", str(ROOT), *UPGRADE.split()]
    first = subprocess.Popen(
        words,
        cwd=world.fork,
        env=os.environ | {"PATH": path},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        wait_for(lambda: reached.exists() or first.poll() is not None, "the merge")
        before = world.everything()
        for line in (UPGRADE, "sync-main", f"upgrade-carto --tag {TAG} --abort"):
            second = world.run(line)
            assert second.err == (
                f"Refused: `invoke {UPGRADE}` (process {first.pid}) is running on this fork.\n"
                "Nothing was changed.\n"
                f"Next: wait until it has finished, then run `invoke {line}` again.\n"
            )
            assert second.code == 1
        assert world.everything() == before
        assert world.run("status").code == 0
        assert world.run(f"--dry {UPGRADE}").code == 0
        gate.write_text("")
        _, errors = first.communicate(timeout=60)
    finally:
        first.kill()
        first.wait()
    assert errors == b""
    assert first.returncode == 0
    assert outcome(world) == usual(template, UPGRADE)


# --- Remotes, disks, hooks, tests ------------------------------------------------------------


@pytest.mark.parametrize("line", [UPGRADE, DIRECT])
def test_an_upgrade_continues_after_a_rejected_push(
    world: World, template: Path, line: str
) -> None:
    before, refs = world.checkout(), world.refs(world.fork)
    origin = world.refs(world.origin)
    there = "carto/main" if line == DIRECT else f"upstream-sync/{TAG}"
    lease = origin["refs/heads/carto/main"] if line == DIRECT else ""
    reject = hook(world.origin, "pre-receive", "echo 'frozen until Monday' >&2; exit 1")
    failed = world.run(line)
    message = re.sub(r" +$", "", failed.err, flags=re.MULTILINE)
    verified = f"refs/carto-fork/passed/{TAG}/verify"
    assert message == (
        f"Failed: `git -C {WORK} push --atomic --no-follow-tags "
        f"--force-with-lease=refs/heads/{there}:{lease} origin {verified}:refs/heads/{there}` "
        "ended with exit code 1:\n"
        "  remote: frozen until Monday\n"
        "  To ~/origin.git\n"
        f"   ! [remote rejected] {verified} -> {there} (pre-receive hook declined)\n"
        "  error: failed to push some refs to '~/origin.git'\n"
        f"{AS_BEFORE}"
        f"Next: see what origin says, then run `invoke {line}` again.\n".replace(
            DIRECT, f"upgrade-carto --tag {TAG} --direct --no-tests"
        )
    )
    assert failed.code == 1
    assert world.checkout() == before
    assert world.refs(world.origin) == origin
    assert {ref: world.refs(world.fork)[ref] for ref in refs} == refs
    assert world.work(TAG).exists()
    reject.unlink()
    continued = usual_end(world, template, line)
    assert re.search(r"^ 5/1\d commit    already done$", continued.out, re.MULTILINE)


LIMITED = """
import os, resource, sys
limit = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
os.execvp(sys.argv[2], sys.argv[2:])
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "reported", slow_but([False, True], True), ids=["git is killed", "git gets an error"]
)
def test_an_upgrade_continues_after_the_disk_was_full(tmp_path: Path, reported: bool) -> None:
    """Git writes a file of 3 MiB with 1 MiB left. It is killed, or gets a full disk's error."""
    world = World(build_template(tmp_path / "w", with_next({"litellm/big.txt": "x\n" * 3 * 2**19})))
    before, origin = world.checkout(), world.refs(world.origin)
    line = f"{UPGRADE_NEXT} --no-tests"
    ignore = "trap '' XFSZ" if reported else ":"
    path = shim(world, f'{ignore}\nexec "$GIT" "$@"')
    words = [*INVOKE, "--search-root", str(ROOT), *line.split()]
    failed = world.call([sys.executable, "-c", LIMITED, str(2**20), *words], PATH=path)
    assert "Traceback" not in failed.err
    first, *_, untouched, then = failed.err.splitlines()
    work = f"../litellm.upstream-sync-{NEXT}"
    commit = world.git(f"rev-parse {NEXT}^0", repo=world.upstream)
    merge = MERGE.replace(WORK, work).replace(f"refs/tags/{TAG}", commit).replace(TAG, NEXT)
    assert first.startswith(f"Failed: `{merge}` ")
    # Git quotes the name if there are several processors.
    said = re.search("^  error: unable to write file '?litellm/big.txt'?$", failed.err, re.M)
    assert bool(said) == reported
    assert untouched == AS_BEFORE.strip()
    assert then == f"Next: run `invoke {line}` again."
    assert failed.code == 1
    assert not world.work(NEXT).exists()
    assert outcome(world).work_trees == ["worktree ~/litellm"]
    assert world.checkout() == before
    assert world.refs(world.origin) == origin
    done = world.run(line)
    assert done.err == ""
    assert done.code == 0
    head = world.refs(world.origin)[f"refs/heads/upstream-sync/{NEXT}"]
    assert world.git(f"cat-file -s {head}:litellm/big.txt", repo=world.origin) == str(3 * 2**20)


def test_an_upgrade_continues_after_a_failed_commit_hook(world: World, template: Path) -> None:
    """https://github.com/typicode/husky/issues/913, https://github.com/discord/access/pull/596,
    https://github.com/superset-sh/superset/issues/4350"""
    hook(world.fork / ".git", "post-checkout", "echo 'stay on main' >&2; exit 141")
    before = world.everything()[0], world.refs(world.origin)
    refuse = hook(world.fork / ".git", "pre-commit", "echo 'no ticket' >&2; exit 1")
    failed = world.run(UPGRADE)
    assert failed.err == (
        f"Failed: `git -C {WORK} commit -m 'chore: merge upstream {TAG} into carto/main'` "
        "ended with exit code 1:\n"
        "  no ticket\n"
        f"{AS_BEFORE}"
        "Next: fix what it complains about, or turn hooks off in these tasks: "
        f"`git config carto-fork.hooks false`, {AGAIN[:-2]} "
        "(the hook ~/litellm/.git/hooks/pre-commit refused).\n"
    )
    assert failed.code == 1
    said = " ".join(failed.out.split())
    assert "The hook ~/litellm/.git/hooks/post-checkout failed after git was done." in said
    assert refuse.exists()
    assert (world.everything()[0], world.refs(world.origin)) == before
    world.git("config carto-fork.hooks false")
    usual_end(world, template)


def test_a_hook_may_refuse_the_tasks_own_commits(world: World) -> None:
    """The commits of the record and of the version: its output is shown, and the run continues."""
    refuse = "! grep -qE 'update version|record' \"$1\" || { echo 'no such scope' >&2; exit 1; }"
    hook(world.fork / ".git", "commit-msg", refuse)
    for line in (UPGRADE, "bump-version --to 9.9.9"):
        failed = world.run(line)
        assert failed.code == 1
        assert "no such scope" in failed.err
        assert "hooks/commit-msg refused)" in failed.err
        world.git("config carto-fork.hooks false")
        done = world.run(line)
        assert (done.code, done.err) == (0, "")
        world.git("config --unset carto-fork.hooks")
    assert "9.9.9" in world.git("show HEAD:pyproject.toml")


@pytest.mark.slow
def test_a_hook_that_changes_what_is_committed_is_named(world: World) -> None:
    """https://github.com/lint-staged/lint-staged/issues/321"""
    hook(world.fork / ".git", "pre-commit", "echo more >> README.md; git add README.md")
    done = world.run(f"{UPGRADE} --no-push --no-tests")
    said = "The hook ~/litellm/.git/hooks/pre-commit changed the merge commit: README.md."
    assert said in " ".join(done.out.split())


@pytest.mark.slow
def test_failing_tests_on_the_merged_tree_stop_the_upgrade(tmp_path: Path) -> None:
    test = "tests/test_litellm/test_next.py"
    text = (
        "import unittest\n\n\n"
        "class Next(unittest.TestCase):\n"
        "    def test_next(self):\n"
        "        self.assertEqual('old', 'new')\n"
    )
    world = World(build_template(tmp_path / "w", with_next({test: text})))
    before = world.everything()[0], world.refs(world.origin)
    failed = world.run(UPGRADE_NEXT)
    work, log = world.work(NEXT), world.fork / ".git" / "carto-fork" / NEXT / "test.log"
    message = (
        "Check failed: `make test-unit` ended with exit code 2 on the merged tree "
        f"(log: .git/carto-fork/{NEXT}/test.log).\n"
        f"{AS_BEFORE}"
        f"Next: fix it in ../{work.name}, commit, then run `invoke {UPGRADE_NEXT}` again "
        "(--no-tests skips this step).\n"
    )
    assert failed.err == message
    assert failed.code == 4
    assert "AssertionError: 'old' != 'new'" in log.read_text()
    assert "AssertionError: 'old' != 'new'" in failed.out
    assert (world.everything()[0], world.refs(world.origin)) == before
    assert "is ready\n" in failed.out
    told = world.run("next --json")
    assert json.loads(told.out) == {
        "command": f"invoke {UPGRADE_NEXT}",
        "why": f"The upgrade to {NEXT} is not finished. `test` failed on upstream-sync/{NEXT} "
        f"(log: .git/carto-fork/{NEXT}/test.log). First install what it lacks, or fix it in "
        f"../{work.name}, and commit; then this continues it.",
    }

    again = world.run(UPGRADE_NEXT)
    assert (again.code, again.err) == (4, message)
    assert " install   already done\n" in again.out
    assert "is ready\n" not in again.out
    assert "AssertionError: 'old' != 'new'" in again.out

    (work / test).write_text(text.replace("'old'", "'new'"))
    world.git("commit --quiet --all -m 'test: what is new'", repo=work)
    done = world.run(UPGRADE_NEXT)
    assert done.err == ""
    assert done.code == 0
    head = world.refs(world.origin)[f"refs/heads/upstream-sync/{NEXT}"]
    assert world.git(f"log -1 --format=%s {head}", repo=world.origin) == "test: what is new"
    finished = world.run(UPGRADE_NEXT)
    assert finished.code == 0
    assert "published already; nothing to do." in finished.out
    assert "is ready\n" not in finished.out


# --- Settings of the person's ----------------------------------------------------------------


def test_an_inherited_git_environment_is_ignored(
    world: World, template: Path, tmp_path: Path
) -> None:
    """As in a git hook or an alias of another repository."""
    other = copied(template, tmp_path / "other")
    before = other.everything(), git_dir(other)
    usual_end(
        world,
        template,
        GIT_DIR=str(other.fork / ".git"),
        GIT_WORK_TREE=str(other.fork),
        GIT_INDEX_FILE=str(other.fork / ".git" / "index"),
        GIT_OBJECT_DIRECTORY=str(other.fork / ".git" / "objects"),
        GIT_COMMON_DIR=str(other.fork / ".git"),
        GIT_NAMESPACE="elsewhere",
        GIT_PREFIX="litellm/",
        GIT_LITERAL_PATHSPECS="1",
        GIT_EXTERNAL_DIFF="false",
    )
    assert (other.everything(), git_dir(other)) == before


SETTINGS = {
    "merging": """
        [merge]
            ff = only
            conflictStyle = merge
            renames = false
            verbosity = 5
            log = true
            stat = true
        [rerere]
            enabled = true
            autoUpdate = true
        [commit]
            verbose = true
            status = true
            template = /nowhere/at/all
            cleanup = verbatim
    """,
    "showing": """
        [color]
            ui = always
            branch = always
            grep = always
            diff = always
        [core]
            quotePath = false
            pager = false
        [pager]
            log = false
            diff = false
            grep = false
        [log]
            showSignature = true
            decorate = full
            date = relative
        [status]
            short = true
            branch = true
            relativePaths = true
            showUntrackedFiles = all
        [diff]
            noprefix = true
            external = false
            renames = copies
            mnemonicPrefix = true
            relative = true
        [grep]
            lineNumber = true
            column = true
            fullName = false
            patternType = fixed
        [format]
            pretty = raw
    """,
    "moving": """
        [fetch]
            prune = true
            pruneTags = true
            recurseSubmodules = true
        [push]
            followTags = true
            default = nothing
            autoSetupRemote = true
        [tag]
            gpgSign = true
            sort = -version:refname
        [worktree]
            guessRemote = true
        [branch]
            autoSetupMerge = always
            autoSetupRebase = always
            sort = -committerdate
        [checkout]
            defaultRemote = upstream
            guess = false
        [advice]
            detachedHead = false
            resolveConflict = false
        [alias]
            merge = !false
            commit = !false
            worktree = !false
            status = !false
    """,
    "writing": """
        [submodule]
            recurse = true
        [core]
            autocrlf = input
            safecrlf = true
            attributesFile = /nowhere/at/all
            commentChar = ";"
        [apply]
            whitespace = error
        [extensions]
            worktreeConfig = true
    """,
}


@pytest.mark.parametrize("about", SETTINGS)
def test_git_settings_of_the_person_change_nothing(
    world: World, template: Path, about: str
) -> None:
    expected = copied(template, world.place / "plain").run(UPGRADE)
    Path(os.environ["GIT_CONFIG_GLOBAL"]).write_text(
        f"{SETTINGS[about]}\n[carto-fork]\n    gh = no-gh-in-tests\n"
    )
    (world.fork / ".git" / "info").mkdir(exist_ok=True)
    (world.fork / ".git" / "info" / "exclude").write_text("*\n")
    before = world.checkout()
    done = usual_end(world, template)
    assert done.out == expected.out
    assert world.checkout() == before
    assert world.run("status").code == 0


def test_invoke_settings_of_the_person_change_nothing(world: World, template: Path) -> None:
    expected = copied(template, world.place / "plain").run(UPGRADE)
    settings = "run: {warn: true, pty: true, echo: true, hide: both}\n"
    (Path(os.environ["HOME"]) / ".invoke.yaml").write_text(settings)
    assert usual_end(world, template).out == expected.out


def test_invoke_settings_do_not_make_a_failure_pass(world: World) -> None:
    settings = "run: {warn: true, pty: true, echo: true, hide: both}\n"
    (Path(os.environ["HOME"]) / ".invoke.yaml").write_text(settings)
    hook(world.fork / ".git", "pre-commit", "exit 1")
    assert world.run(UPGRADE).code == 1


# --- Credentials -----------------------------------------------------------------------------


def with_secret(world: World, url: str = "https://github.com/CartoDB/litellm.git") -> str:
    """Give origin a URL with credentials, as CI does."""
    secret = url.replace("://", f"://x-access-token:{SECRET}@")
    world.git("remote set-url origin", secret)
    return secret


@pytest.mark.parametrize(
    "line",
    [
        "setup",
        "status",
        "status --json",
        "fork.config",
        "sync-main",
        f"--dry {UPGRADE}",
        UPGRADE,
        f"{UPGRADE} --json",
        DIRECT,
    ],
)
def test_credentials_of_a_remote_do_not_appear(world: World, line: str) -> None:
    world.git(f"config --add url.{world.origin}.insteadOf", with_secret(world))
    done = world.run(line)
    assert done.code == 0, done.err
    assert SECRET not in done.out + done.err


def test_credentials_do_not_appear_if_git_fails(world: World) -> None:
    world.git(f"config --add url.{world.origin}.insteadOf", with_secret(world))
    echo = f'echo "no: https://me:{SECRET}@github.com/CartoDB/litellm.git" >&2; exit 1'
    hook(world.origin, "pre-receive", echo)
    failed = world.run(UPGRADE)
    assert failed.code == 1
    assert "no: https://***@github.com/CartoDB/litellm.git" in failed.err
    assert SECRET not in failed.out + failed.err
    noted = world.fork / ".git" / "carto-fork.lock"
    assert SECRET not in noted.read_text()


@pytest.mark.parametrize("line", ["status", "sync-main", UPGRADE])
def test_credentials_of_an_unreachable_remote_do_not_appear(world: World, line: str) -> None:
    """Nothing listens on port 1."""
    secret = with_secret(world)
    nowhere = f"https://x-access-token:{SECRET}@127.0.0.1:1/"
    world.git(f"config --add url.{nowhere}.insteadOf", secret.removesuffix("litellm.git"))
    done = world.run(line, GIT_ALLOW_PROTOCOL="file:https")
    assert SECRET not in done.out + done.err
    if line != "status":
        assert done.err.splitlines()[0] == "Refused: the remote `origin` cannot be reached."
        assert done.code == 1


@pytest.mark.parametrize("line", ["setup", "status", "sync-main", UPGRADE])
def test_credentials_of_a_wrong_remote_do_not_appear(world: World, line: str) -> None:
    with_secret(world, "https://github.com/Somebody/else.git")
    done = world.run(line)
    assert SECRET not in done.out + done.err
    if line != "status":
        assert done.code == 1
        assert "https://***@github.com/Somebody/else.git" in done.err


def test_credentials_in_the_output_of_a_check_do_not_appear(world: World) -> None:
    """Not even if the command writes them in two pieces."""
    log = world.fork / ".git" / "carto-fork" / TAG / "test.log"
    script = (
        f"printf 'fetching https://me:{SECRET[:9]}'; for i in 1 2 3 4 5 6 7 8 9 10; do "
        f"grep -q {SECRET[:9]} {log} && break; sleep 0.02; done; "
        f"printf '{SECRET[9:]}@example.com/x\\n'"
    )
    policy = (
        'extends = "carto-litellm"\n\n[commands]\ninstall = []\nlint = []\n'
        f"test = ['''sh -c {shlex.quote(script)}''']\n"
    )
    push_as_colleague(world, {"carto_fork.toml": policy})
    done = world.run(f"upgrade-carto --tag {TAG} --no-push")
    assert done.code == 0, done.err
    shown = done.out.partition(SECRET[9:] + "@example.com/x\\n'")[2]
    assert "fetching https://***@example.com/x" in shown
    assert "fetching https://***@example.com/x" in log.read_text()
    assert SECRET[:9] not in shown + log.read_text()


# --- Names of files --------------------------------------------------------------------------

NAMES = (
    "with space.txt",
    "quo\"te's.txt",
    "new\nline.txt",
    "-dash.txt",
    "*.txt",
    ":(glob)**",
    ":!not.txt",
    "ñandú.txt",
    "bytes-\udcff\udcfe.txt",
    "\x1b[31mred\x1b[0m.txt",
    "tab\tbell\x07.txt",
    "$(touch pwned).txt",
    "{work}.txt",
    "[bold]not bold[/bold].txt",
)


def both_add(paths: list[str]) -> History:
    """Both sides add files of the same names, and a rule by path decides those in tests/.

    Their lines are too short to be evidence.
    """
    release: dict[str, Change] = {path: f"up {number}\n" for number, path in enumerate(paths)}
    fork: dict[str, Change] = {path: f"we {number}\n" for number, path in enumerate(paths)}
    rules = (ROOT / "tests" / "path_rules.toml").read_text()
    return with_next(release, {**fork, "carto_fork.toml": rules})


def without_controls(done: Done) -> bool:
    text = done.out + done.err
    return all(c == "\n" or c.isprintable() for c in text)


def shown(path: str) -> str:
    """A path as the output contains it."""
    safe = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in path)
    return safe.encode("utf-8", "backslashreplace").decode()


def unmerged(world: World) -> set[str]:
    """The paths in conflict in the next release's work tree."""
    words = ["git", "diff", "--name-only", "--diff-filter=U", "-z"]
    listed = world.call(words, cwd=world.work(NEXT)).out
    return set(listed.split("\0")) - {""}


@pytest.fixture
def oddly_named(tmp_path: Path) -> World:
    paths = [f"{top}{name}" for top in ("", "tests/odd/") for name in NAMES]
    return World(build_template(tmp_path / "w", both_add(paths)))


def test_odd_names_of_files_are_resolved_and_reported(oddly_named: World) -> None:
    world = oddly_named
    line = f"{UPGRADE_NEXT} --no-tests"
    paused = world.run(line)
    assert paused.err.splitlines()[0] == f"Paused: {len(NAMES)} conflicts need a person."
    assert paused.code == 3
    assert without_controls(paused)
    assert f"{len(NAMES)} files in tests/odd" in paused.out
    listed = re.findall(r"^  add/add +1 of 1 hunks? +(.*)$", paused.out, re.MULTILINE)
    assert sorted(listed) == sorted(map(shown, NAMES))
    work = world.work(NEXT)
    assert unmerged(world) == set(NAMES)
    assert without_controls(world.run("status"))

    top = [f":(top,literal){name}" for name in NAMES]
    world.git("checkout --ours --", *top, repo=work)
    world.git("add --", *top, repo=work)
    done = world.run(line)
    assert done.err == ""
    assert done.code == 0
    assert without_controls(done)
    head = world.refs(world.origin)[f"refs/heads/upstream-sync/{NEXT}"]
    for number, name in enumerate(NAMES):
        for path, text in (
            (name, f"we {number}"),
            (f"tests/odd/{name}", f"up {len(NAMES) + number}"),
        ):
            assert world.git("cat-file blob", f"{head}:{path}", repo=world.origin) == text


def test_advice_for_conflicts_in_oddly_named_files_works_when_pasted(oddly_named: World) -> None:
    """Pasted in the given directory, each adds its own file."""
    world = oddly_named
    paused = world.run(f"{UPGRADE_NEXT} --no-tests")
    advice = re.findall(r"^    to do: +.*, then:\n +(git .* add -- .*)$", paused.out, re.MULTILINE)
    assert len(advice) == len(NAMES)
    for number, line in enumerate(advice, 1):
        assert world.paste(line).code == 0, line
        assert len(unmerged(world)) == len(NAMES) - number, line
    assert not list(world.place.rglob("pwned"))


def test_control_characters_in_paths_do_not_appear_in_messages(oddly_named: World) -> None:
    """Control characters in lists of uncommitted files and of files with markers."""
    world = oddly_named
    line = f"{UPGRADE_NEXT} --no-tests"
    world.run(line)
    work = world.work(NEXT)
    world.git("add --all", repo=work)
    staged = world.run(line)
    assert staged.code == 3
    assert without_controls(staged)
    world.git("commit --quiet -m 'with its markers'", repo=work)
    left = world.run(line)
    assert left.code == 4
    assert left.err.startswith(f"Check failed: the merge of {NEXT} is not right:\n")
    assert without_controls(left)
    for name in NAMES:
        (work / name).write_text("mended\n")
    dirty = world.run(line)
    assert dirty.code == 1
    assert dirty.err.startswith(f"Refused: ../{work.name} has uncommitted changes: ")
    assert without_controls(dirty)


def test_choices_for_oddly_named_files_are_recorded_and_applied(oddly_named: World) -> None:
    world = oddly_named
    world.run(f"{UPGRADE_NEXT} --no-tests")
    words = [word for name in NAMES for word in ("--keep-fork", name)]
    done = world.run("resolve-conflicts --reason why", *words)
    assert (done.code, done.err) == (0, "")
    assert without_controls(done)
    text = (world.work(NEXT) / "carto_drops.toml").read_bytes().decode(errors="surrogateescape")
    entries = tomli.loads(text)["drop"][-len(NAMES) :]
    assert {entry["path"]: entry["lines"] for entry in entries} == {
        name: [f"up {number}"] for number, name in enumerate(NAMES)
    }
    upgraded = world.run(f"{UPGRADE_NEXT} --no-tests")
    assert (upgraded.code, upgraded.err) == (0, "")
    assert without_controls(upgraded)
    assert not list(world.place.rglob("pwned"))


@pytest.mark.slow
def test_an_upgrade_decides_1500_conflicts(tmp_path: Path) -> None:
    paths = [f"tests/many/a_rather_long_name_for_a_file_of_tests_{n:04}.py" for n in range(1500)]
    world = World(build_template(tmp_path / "w", both_add(paths)))
    done = world.run(f"{UPGRADE_NEXT} --no-tests")
    assert done.err == ""
    assert done.code == 0
    assert "1500 files in tests/many\n" in done.out
    assert "1521 of 1521 conflicts decided, 0 left." in done.out
    head = world.refs(world.origin)[f"refs/heads/upstream-sync/{NEXT}"]
    many = world.git(f"ls-tree -r {head} tests/many/", repo=world.origin).splitlines()
    theirs = world.git(f"ls-tree -r {NEXT} tests/many/", repo=world.upstream).splitlines()
    assert len(many) == 1500
    assert many == theirs


# --- Other repositories and checkouts --------------------------------------------------------


def test_an_upgrade_works_in_a_path_with_shell_syntax(template: Path, tmp_path: Path) -> None:
    place = tmp_path / 'it\'s a "fork" $(touch pwned); touch pwned #'
    world = World(build_template(place))
    usual_end(world, template)
    assert not list(tmp_path.rglob("pwned"))


@pytest.mark.slow
@pytest.mark.parametrize("where", slow_but(["here", "there"], "there"))
def test_pasted_dry_output_works_in_a_path_with_shell_syntax(tmp_path: Path, where: str) -> None:
    place = tmp_path / 'it\'s a "fork" $(touch pwned); touch pwned #'
    world = World(build_template(place))
    words = [*INVOKE, "--search-root", str(ROOT), "--dry", *UPGRADE.split()]
    cwd = world.fork
    if where == "there":
        words, cwd = [*words, "--repo", str(world.fork)], tmp_path
    # Unchanged paths: these lines are for a terminal on this machine.
    dry = subprocess.run(words, cwd=cwd, capture_output=True, text=True, check=True).stdout
    pasted = world.call(["bash", "-c", dry], cwd=cwd)
    assert pasted.code == 0, pasted.err
    assert SYNC in world.refs(world.origin)
    assert not list(tmp_path.rglob("pwned"))


def test_an_upgrade_works_in_a_bare_clone(world: World, template: Path) -> None:
    bare = world.place / "bare.git"
    world.git("clone --quiet --bare", str(world.fork), str(bare))
    for line in world.git("config --local --list").splitlines():
        key, _, value = line.partition("=")
        if key.startswith("remote.upstream."):
            world.git(f"config --add {key}", value, repo=bare)
    world.git("config include.path", str(world.place / build.SETTINGS), repo=bare)
    world.git("remote set-url origin https://github.com/CartoDB/litellm.git", repo=bare)
    before = world.checkout(), world.refs(world.fork)
    for line in ("status", UPGRADE):
        done = world.run(line, cwd=bare)
        assert done.err == ""
        assert done.code == 0
    expected = usual(template, UPGRADE)
    assert world.refs(world.origin) == expected.origin
    assert world.refs(bare)[SYNC] == expected.fork[SYNC]
    assert world.git("worktree list", repo=bare).count("\n") == 0
    assert (world.checkout(), world.refs(world.fork)) == before


@pytest.mark.parametrize("line", [UPGRADE, DIRECT])
def test_an_upgrade_works_in_a_linked_work_tree(world: World, template: Path, line: str) -> None:
    linked = world.place / "linked"
    world.git(f"worktree add --quiet -b topic {linked}")
    (linked / "Makefile").write_text("mine\n")
    before = world.checkout(), world.git("status --porcelain", repo=linked)
    done = world.run(line, cwd=linked)
    assert done.err == ""
    assert done.code == 0
    assert world.refs(world.origin) == usual(template, line).origin
    assert world.git("status --porcelain", repo=linked) == before[1] == " M Makefile"
    assert world.git("symbolic-ref HEAD", repo=linked) == "refs/heads/topic"
    if line == UPGRADE:
        assert world.checkout() == before[0]
    else:
        assert world.git("status --porcelain") == ""
        assert world.git("rev-parse HEAD") == usual(template, line).fork["refs/heads/carto/main"]


def test_an_upgrade_works_during_a_rebase_of_another_branch(world: World, template: Path) -> None:
    world.git("checkout --quiet -b topic")
    (world.fork / "Makefile").write_text("mine\n")
    world.git("commit --quiet --all -m mine")
    world.git("checkout --quiet -b other HEAD~1")
    (world.fork / "Makefile").write_text("other\n")
    world.git("commit --quiet --all -m other")
    assert world.call(["git", "rebase", "topic"]).code == 1
    left_out = f"refs/heads/upstream-sync/{TAG}"
    before = world.everything()[0], git_dir(world, "refs/")
    done = world.run(UPGRADE)
    assert done.err == ""
    assert done.code == 0
    after = git_dir(world, "refs/")
    kept = [name for name in after if name.startswith("carto-fork/")]
    for name in ("carto-fork.lock", "FETCH_HEAD", "packed-refs", *kept):
        before[1].pop(name, None)
        after.pop(name, None)
    assert (world.checkout(), after) == before
    assert world.refs(world.origin) == usual(template, UPGRADE).origin
    assert left_out in world.refs(world.fork)
    world.git("rebase --abort")
    assert world.git("status --porcelain") == ""


def test_direct_is_refused_while_production_is_rebased(world: World) -> None:
    """Git will write the branch when the rebase ends: nothing may move it earlier."""
    editor = "sed -i -e s/^pick/edit/"
    rebase = ["git", "-c", f"sequence.editor={editor}", "rebase", "--interactive", "HEAD~1"]
    assert world.call(rebase).code == 0
    before = world.everything()
    refused = world.run(DIRECT)
    assert refused.code == 1
    assert refused.err.startswith("Refused: ")
    assert world.everything() == before


@pytest.mark.parametrize("where", slow_but(["another branch", "detached", "main"], "detached"))
@pytest.mark.parametrize("line", [UPGRADE, DIRECT])
def test_an_upgrade_leaves_uncommitted_work_unchanged(
    world: World, template: Path, where: str, line: str
) -> None:
    """It does not touch staged, changed, removed, untracked or ignored files."""
    how = {"another branch": "-b topic", "detached": "--detach", "main": "main"}[where]
    world.git(f"checkout --quiet {how}")
    (world.fork / "Makefile").write_text("staged\n")
    world.git("add Makefile")
    (world.fork / "Makefile").write_text("changed\n")
    (world.fork / "README.md").unlink()
    (world.fork / "untracked").write_text("mine\n")
    (world.fork / "litellm" / "new.py").write_text("mine\n")
    world.git("add --intent-to-add litellm/new.py")
    before = world.checkout()
    done = world.run(line)
    assert done.err == ""
    assert done.code == 0
    assert world.checkout() == before
    assert world.refs(world.origin) == usual(template, line).origin
    assert outcome(world).work_trees == ["worktree ~/litellm"]
