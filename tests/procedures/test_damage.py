"""Whatever a crash has left: the same command, or --abort, ends as from a clean start; or it names
one file and a command, which then works."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from conftest import seal
from world import Done, World, copied, slow_but

TAG = "v1.76.5"
UPGRADE = f"upgrade-carto --tag {TAG} --no-tests"
SYNC = f"refs/heads/upstream-sync/{TAG}"

JOURNALS = (
    *("", "{}", "null", "[1]", "{", r"\377\0", '{"pid": 1, "task": "x", "unfinished": null}'),
    '{"pid": 999999, "task": "x", "unfinished": [], "removing": {}, "later": 1}',
)
DAMAGE = {
    # Locks of a killed git: ours, and others.
    "index.lock": "touch $admin/index.lock",
    "HEAD.lock": "touch $admin/HEAD.lock",
    "MERGE_RR.lock": "touch $admin/MERGE_RR.lock",
    "lock of the sync branch": "touch .git/$sync.lock",
    "lock of a record": "mkdir -p $passed; touch $passed/verify.lock",
    "index.lock of the checkout": "touch .git/index.lock",
    "HEAD.lock of the checkout": "touch .git/HEAD.lock",
    "lock of the tag": "drop refs/tags/$tag; mkdir -p .git/refs/tags; "
    "touch .git/refs/tags/$tag.lock",
    "lock of a remote branch": "git update-ref refs/remotes/origin/carto/main HEAD~1; "
    "touch .git/refs/remotes/origin/carto/main.lock",
    "packed-refs.lock": "git pack-refs --all; touch .git/packed-refs.lock",
    "config.lock": "touch .git/config.lock",
    "shallow.lock": "touch .git/shallow.lock",
    # Git's files of the work tree.
    "index cut": "cut $admin/index 40",
    "index empty": ": >$admin/index",
    "index of zeros": "head -c 5000 /dev/zero >$admin/index",
    "index gone": "rm $admin/index",
    "index a directory": "rm $admin/index; mkdir $admin/index",
    "HEAD empty": ": >$admin/HEAD",
    "HEAD odd": "echo odd >$admin/HEAD",
    "HEAD detached": "git -C $work checkout -q --detach",
    "commondir empty": ": >$admin/commondir",
    "gitdir empty": ": >$admin/gitdir",
    "gitdir gone": "rm $admin/gitdir",
    "gitdir of nothing": "echo /nowhere/.git >$admin/gitdir",
    "directory of git's gone": "rm -r $admin",
    "directory of git's half gone": "rm -r $admin/index $admin/HEAD $admin/logs",
    "directory of git's a file": "rm -r $admin; touch $admin",
    "ORIG_HEAD odd": "echo odd >$admin/ORIG_HEAD",
    "AUTO_MERGE odd": "echo odd >$admin/AUTO_MERGE",
    "MERGE_HEAD left": "git rev-parse $tag^0 >$admin/MERGE_HEAD",
    "MERGE_HEAD empty": ": >$admin/MERGE_HEAD",
    "MERGE_HEAD of another": "git rev-parse $tag~1 >$admin/MERGE_HEAD",
    "MERGE_MSG left": "echo odd >$admin/MERGE_MSG",
    "CHERRY_PICK_HEAD left": "git rev-parse HEAD >$admin/CHERRY_PICK_HEAD",
    "rebase left": "mkdir $admin/rebase-merge; echo $sync >$admin/rebase-merge/head-name",
    "bisect left": "git -C $work bisect start -q",
    "work tree locked": "echo initializing >$admin/locked",
    # The work tree.
    ".git empty": ": >$work/.git",
    ".git gone": "rm $work/.git",
    ".git of nothing": "echo 'gitdir: /nowhere' >$work/.git",
    ".git odd": "echo odd >$work/.git",
    ".git a directory": "rm $work/.git; mkdir $work/.git",
    "work tree gone": "mv $work $work.cut-1",
    "work tree a file": "mv $work $work.cut-1; touch $work",
    "work tree a link": "mv $work $work.cut-1; ln -s $work.cut-1 $work",
    "removal cut": "rm -r $work/.git $work/litellm",
    "removal cut, .git left": "rm -r $work/litellm $work/tests",
    "removal cut, nothing of git's left": "rm -r $work/.git $work/litellm $admin",
    # Refs and objects.
    "sync branch empty": ": >.git/$sync",
    "sync branch of zeros": "head -c 41 /dev/zero >.git/$sync",
    "sync branch odd": "echo odd >.git/$sync",
    "sync branch of nothing": "echo $none >.git/$sync",
    "sync branch gone": "rm .git/$sync",
    "sync branch a directory": "rm .git/$sync; mkdir .git/$sync",
    "sync branch moved": "git update-ref $sync origin/carto/main",
    "record empty": "mkdir -p $passed; : >$passed/verify",
    "record odd": "mkdir -p $passed; echo odd >$passed/verify",
    "tag empty": "mkdir -p .git/refs/tags; : >.git/refs/tags/$tag",
    "tag of nothing": "mkdir -p .git/refs/tags; echo $none >.git/refs/tags/$tag",
    "remote branch empty": "git update-ref refs/remotes/origin/carto/main HEAD~1; "
    ": >.git/refs/remotes/origin/carto/main",
    "another branch empty": ": >.git/refs/heads/other",
    "packed-refs cut": "git pack-refs --all; cut .git/packed-refs 150",
    "packed-refs empty": "git pack-refs --all; : >.git/packed-refs",
    "FETCH_HEAD a directory": "rm -f .git/FETCH_HEAD; mkdir .git/FETCH_HEAD",
    "log a directory": "rm .git/logs/$sync; mkdir -p .git/logs/$sync/x",
    "log empty": ": >.git/logs/$sync",
    "replaced": "git replace $(git rev-parse HEAD) $(git rev-parse HEAD~1)",
    "shallow": "git rev-parse origin/carto/main~1 >.git/shallow",
    "shallow odd": "echo odd >.git/shallow",
    "commit gone": "rm -f $(object HEAD)",
    "commit empty": "empty $(object HEAD)",
    # Our own notes.
    **{f"journal {text!r}": f"printf '{text}' >.git/carto-fork.lock" for text in JOURNALS},
    "journal of a work tree": "noted '\"unfinished\": [\"'$work'\"]'",
    "journal of a removal": 'noted \'"unfinished": [], "removing": {"\'$work\'": 1}\'',
    "journal a directory": "rm .git/carto-fork.lock; mkdir .git/carto-fork.lock",
    "journal a link": "rm .git/carto-fork.lock; ln -s /nowhere .git/carto-fork.lock",
    "carto-fork a file": "rm -r .git/carto-fork; touch .git/carto-fork",
    "carto-fork/TAG a file": "rm -r $own; touch $own",
    "account empty": ": >$own/account.json",
    "account odd": 'echo \'["x", {"ours": 1}]\' >$own/account.json',
    "account binary": "head -c 99 $admin/index >$own/account.json",
    "account a directory": "rm $own/account.json; mkdir $own/account.json",
    "text a directory": "mkdir $own/pull-request.md",
    "temporary file": "touch $work/litellm/.carto-fork.abc123",
    # The clone.
    "checkout detached": "git checkout -q --detach",
    "merge left in the checkout": "git rev-parse HEAD~1 >.git/MERGE_HEAD",
    "rebase left in the checkout": "mkdir .git/rebase-merge",
    "index of the checkout cut": "cut .git/index 40",
}
"""What crashes, full disks and killed processes leave, as a shell makes it in the clone."""

_NAMES = f"""
tag={TAG} sync={SYNC} passed=.git/refs/carto-fork/passed/{TAG} own=.git/carto-fork/{TAG}
work=$(cd ../litellm.upstream-sync-{TAG}; pwd) admin=.git/worktrees/litellm.upstream-sync-{TAG}
none={"1" * 40}
cut() {{ head -c $2 $1 >x; mv x $1; }}
empty() {{ chmod u+w $1; : >$1; }}
drop() {{ git pack-refs --all; grep -v $1'$' .git/packed-refs >x; mv x .git/packed-refs; }}
object() {{ git -C $work rev-parse $1 | sed 's,^..,.git/objects/&/,'; }}
noted() {{ printf '{{"pid": 1, "task": "x", %s}}' "$1" >.git/carto-fork.lock; }}
"""
UNSEEN = {
    *("ORIG_HEAD odd", "AUTO_MERGE odd", "MERGE_MSG left", "work tree locked", "log a directory"),
    *("log empty", "FETCH_HEAD a directory", "replaced", "account empty", "account odd"),
    *("account binary", "temporary file", *(f"journal {text!r}" for text in JOURNALS[:-1])),
}
"""What neither git nor a task minds."""


@pytest.fixture(scope="session")
def under_way(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An upgrade that is not published yet, as a template for the tests."""
    world = copied(template, tmp_path_factory.mktemp("under-way") / "w")
    with pytest.MonkeyPatch.context() as monkeypatch:
        seal(monkeypatch, tmp_path_factory.mktemp("home"))
        done = world.run(f"{UPGRADE} --no-push")
        assert done.code == 0, done.err
    return world.place


@pytest.fixture
def world(under_way: Path, tmp_path: Path, request: pytest.FixtureRequest) -> World:
    """The same with a person's work in its work tree, and damaged."""
    world = copied(under_way, tmp_path / "w")
    (world.work(TAG) / "mine.txt").write_text("a person's\n")
    state = request.getfixturevalue("state")
    done = world.call(["bash", "-e", "-c", _NAMES + DAMAGE[state]])
    assert done.code == 0, done.err
    return world


def typed(world: World, line: str) -> Done:
    """Run a task; if it prints a command to type first, type that and run the task again."""
    done = world.run(line)
    advice = r"^Next: (?:.*[:,;] |.* with )?`?((?:git|rm|mv) .*?)`?(?:[,;] then run .*)?$"
    for _ in range(2):
        if done.code and (said := re.search(advice, done.err, re.MULTILINE)):
            world.paste(said[1])
            done = world.run(line)
    return done


@pytest.mark.parametrize("state", slow_but(DAMAGE, "index.lock", "index cut", ".git empty"))
def test_an_upgrade_continues_or_starts_over_after_damage(
    world: World, under_way: Path, state: str
) -> None:
    done = typed(world, UPGRADE)
    assert done.code == 0, done.out + done.err
    kept = {path.resolve() for path in world.place.glob(f"litellm.upstream-sync-{TAG}*/mine.txt")}
    texts = [path.read_text() for path in kept]
    texts += [
        f"{text}\n" for text in world.call(["git", "show", "stash^3:mine.txt"]).out.splitlines()
    ]
    assert texts == ["a person's\n"]
    assert world.git(f"rev-parse {SYNC}:", repo=world.origin) == World(under_way).git(
        f"rev-parse {SYNC}:"
    )


@pytest.mark.parametrize("state", slow_but(DAMAGE, "HEAD.lock"))
def test_an_upgrade_can_be_aborted_after_damage(world: World, state: str) -> None:
    done = typed(world, f"{UPGRADE} --abort")
    assert done.code == 0, done.err
    assert not world.work(TAG).exists()
    assert SYNC not in world.refs(world.fork)


@pytest.fixture(scope="session")
def healthy(under_way: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The report of `doctor` before any damage."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        seal(monkeypatch, tmp_path_factory.mktemp("home"))
        return World(under_way).run("doctor --offline").out


@pytest.mark.parametrize("state", slow_but(sorted(DAMAGE.keys() - UNSEEN), "journal a directory"))
def test_doctor_finds_damage(world: World, healthy: str, state: str) -> None:
    done = world.run("doctor --offline")
    new = [line for line in done.out.splitlines() if line not in healthy.splitlines()]
    found = [line for line in new if line.startswith(("broken ", "look ", "    "))]
    assert found or re.search(r"^Next: (?:.*: )?(?:rm|mv) ", done.err, re.MULTILINE), done
