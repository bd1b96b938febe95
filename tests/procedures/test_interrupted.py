"""Interrupt an upgrade anywhere, run the same command again: the same branches on both sides."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from world import INVOKE, ROOT, Done, World, copied, outcome, slow_but, snag, usual

TAG = "v1.76.5"
UPGRADE = f"upgrade-carto --tag {TAG} --no-tests"
DIRECT = f"{UPGRADE} --direct"

# Every git command of an upgrade that writes, in order. A test checks both lists.
PREPARED = (
    "fetch",
    "branch",
    "worktree add",
    "merge",
    "checkout",
    "checkout",
    "update-index",
    "add",
    "rm",
    "checkout",
    "commit",
    "add",
    "commit",
    "update-ref",
)
PUBLISHED = (*PREPARED, "push", "worktree remove")
MOVED = (*PREPARED, "push", "merge", "worktree remove", "branch")
NUMBER = {verb: number for number, verb in reversed(list(enumerate(PUBLISHED, 1)))}

# What happens to a command; see `world.snag`.
KILLED = "kill -KILL $PPID $$"
KILLED_AFTER = '"$GIT" "$@"; kill -KILL $PPID $$'
# Ctrl-C in a terminal reaches every process of the foreground; this one at any time of git's run.
CTRL_C = 'kill -INT 0 & exec "$GIT" "$@"'
# A signal for the task alone: git runs to its end.
INTERRUPTED = "trap '' INT; kill -INT $PPID"
TERMINATED = "trap '' TERM INT; kill -TERM $PPID"
HUNG_UP = "trap '' HUP INT; kill -HUP $PPID"

# Paths in the upgrade's work tree, for the scripts below.
PLACES = """
work={work} admin={fork}/.git/worktrees/litellm.upstream-sync-v1.76.5
"""
# The states that a killed git leaves behind.
HALF: dict[str, tuple[str, str]] = {
    "work tree: its directory": (
        "worktree add",
        'mkdir -p "$work" "$admin"; echo initializing > "$admin/locked"',
    ),
    "work tree: its link": (
        "worktree add",
        'mkdir -p "$work" "$admin"; echo initializing > "$admin/locked"; '
        'echo "$work/.git" > "$admin/gitdir"; echo "gitdir: $admin" > "$work/.git"',
    ),
    "work tree: some files": (
        "worktree add",
        '"$GIT" "$@"; rm -r "$work/litellm" "$admin/index"; touch "$admin/index.lock"; '
        'echo initializing > "$admin/locked"',
    ),
    "merge: some files": (
        "merge",
        'cp "$admin/index" "$admin/before"; "$GIT" "$@"; mv "$admin/before" "$admin/index"; '
        'touch "$admin/index.lock"; rm -r "$work/tests" "$admin"/MERGE_* "$admin/AUTO_MERGE"',
    ),
    "merge: the index": ("merge", '"$GIT" "$@"; rm "$admin"/MERGE_*'),
    "merge: no message": ("merge", '"$GIT" "$@"; rm "$admin/MERGE_MSG" "$admin/MERGE_MODE"'),
    "checkout: its lock": ("checkout", 'touch "$admin/index.lock"'),
    "checkout: some files": (
        "checkout",
        'rm "$work/poetry.lock"; : > "$work/docs/CARTO_INTEGRATION.md"',
    ),
    "add: its lock": ("add", 'touch "$admin/index.lock"'),
    "rm: some files": ("rm", '"$GIT" "$@"; touch "$admin/index.lock"'),
    "commit: its lock": ("commit", 'touch "$admin/index.lock"'),
}

Refs: TypeAlias = dict[str, str]
Untouched: TypeAlias = tuple[dict[str, str], Refs, Refs, Refs]


def untouched(world: World) -> Untouched:
    """Everything but the sync branch, its record and the release's tag in the clone."""
    checkout, here, origin, upstream = world.everything()
    passed = f"refs/carto-fork/passed/{TAG}/verify"
    own = {f"refs/heads/upstream-sync/{TAG}", f"refs/tags/{TAG}", passed}
    return checkout, {ref: here[ref] for ref in here.keys() - own}, origin, upstream


def start(world: World, line: str, at: int, cut: str) -> Done:
    """Run a task in a terminal of its own, with something in the way of a writing command."""
    path = snag(world, at, cut).path
    ended = subprocess.run(
        [*INVOKE, "--search-root", str(ROOT), *line.split()],
        cwd=world.fork,
        env=os.environ | {"PATH": path},
        capture_output=True,
        stdin=subprocess.DEVNULL,
        text=True,
        timeout=120,
        start_new_session=True,
    )
    return Done(ended.returncode, world.neutral(ended.stdout), world.neutral(ended.stderr))


def continue_(world: World, template: Path, line: str) -> None:
    """Run the same command again without a fault: it ends as usual."""
    done = world.run(line)
    assert done.err == ""
    assert done.code == 0
    assert outcome(world) == usual(template, line)


def places(world: World) -> str:
    return PLACES.format(work=world.work(TAG), fork=world.fork)


def verb_id(verbs: tuple[str, ...]) -> Callable[[int], str]:
    return lambda at: f"{at}-{verbs[at - 1].replace(' ', '-')}"


@pytest.mark.parametrize(("line", "verbs"), [(UPGRADE, PUBLISHED), (DIRECT, MOVED)])
def test_an_upgrade_runs_exactly_the_expected_writing_commands(
    world: World, line: str, verbs: tuple[str, ...]
) -> None:
    watched = snag(world)
    done = world.run(line, PATH=watched.path)
    assert done.err == ""
    assert done.code == 0
    assert tuple(watched.writes) == verbs


@pytest.mark.parametrize(
    "at", slow_but(range(1, len(PUBLISHED) + 1), NUMBER["merge"]), ids=verb_id(PUBLISHED)
)
def test_an_upgrade_killed_before_any_command_can_be_continued(
    world: World, template: Path, at: int
) -> None:
    before = untouched(world)
    assert start(world, UPGRADE, at, KILLED).code == -9
    if at <= NUMBER["push"]:
        assert untouched(world) == before
    else:
        assert untouched(world)[:2] == before[:2]
    continue_(world, template, UPGRADE)
    assert untouched(world)[:2] == before[:2]


# After the last command nothing is left to continue: production contains the release.
@pytest.mark.slow
@pytest.mark.parametrize("at", slow_but(range(1, len(MOVED)), NUMBER["push"]), ids=verb_id(MOVED))
def test_a_direct_upgrade_killed_after_any_command_can_be_continued(
    world: World, template: Path, at: int
) -> None:
    before = untouched(world)
    assert start(world, DIRECT, at, KILLED_AFTER).code == -9
    if at < NUMBER["push"]:
        assert untouched(world) == before
    elif at == NUMBER["push"]:
        assert untouched(world)[:2] == before[:2]
    continue_(world, template, DIRECT)
    assert world.git("status --porcelain") == ""


@pytest.mark.slow
@pytest.mark.parametrize("what", slow_but(HALF, "merge: the index", "add: its lock"))
def test_an_upgrade_killed_in_the_middle_of_a_command_can_be_continued(
    world: World, template: Path, what: str
) -> None:
    before = untouched(world)
    verb, half = HALF[what]
    cut = f"{places(world)}{half}; {KILLED}"
    assert start(world, UPGRADE, NUMBER[verb], cut).code == -9
    assert untouched(world) == before
    continue_(world, template, UPGRADE)
    assert untouched(world)[:2] == before[:2]


@pytest.mark.slow
def test_a_half_moved_production_checkout_is_reported_with_a_fix(
    world: World, template: Path
) -> None:
    """Git writes the files and the index first, and moves the branch last."""
    old = world.git("rev-parse carto/main")
    half = f'"$GIT" "$@"; "$GIT" -C {world.fork} update-ref refs/heads/carto/main {old}'
    number = len(PREPARED) + 2
    assert start(world, DIRECT, number, f"{half}; {KILLED}").code == -9
    # Somebody may have worked in the checkout since, so only they can fix it.
    stopped = world.run(DIRECT)
    assert stopped.code == 1
    assert "an earlier run moved origin's branch and was killed" in stopped.err
    advice = re.search(r"^Next: .*: git (.*)$", stopped.err, re.MULTILINE)
    assert advice
    world.paste(f"git {advice[1]}")
    continue_(world, template, DIRECT)
    assert world.git("status --porcelain") == ""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("verb", "how"),
    slow_but(
        [
            ("fetch", CTRL_C),
            ("branch", INTERRUPTED),
            ("worktree add", CTRL_C),
            ("worktree add", TERMINATED),
            ("merge", CTRL_C),
            ("merge", INTERRUPTED),
            ("merge", TERMINATED),
            ("add", CTRL_C),
            ("rm", INTERRUPTED),
            ("commit", CTRL_C),
            ("commit", TERMINATED),
            ("commit", HUNG_UP),
            ("push", CTRL_C),
            ("push", INTERRUPTED),
            ("worktree remove", TERMINATED),
        ],
        ("merge", CTRL_C),
        ("rm", INTERRUPTED),
        ("commit", TERMINATED),
        ("commit", HUNG_UP),
    ),
    ids=lambda value: {
        CTRL_C: "ctrl-c",
        INTERRUPTED: "int",
        TERMINATED: "term",
        HUNG_UP: "hup",
    }.get(value),
)
def test_a_signal_interrupts_an_upgrade_cleanly(
    world: World, template: Path, verb: str, how: str
) -> None:
    before = untouched(world)
    ended = start(world, UPGRADE, NUMBER[verb], how)
    assert ended.err == (
        "Interrupted: Ctrl-C or a signal stopped it.\n"
        "What was done so far is kept; nothing is half-done.\n"
        f"Next: run `invoke {UPGRADE}` again; it continues.\n"
    )
    assert ended.code == 130
    if verb in ("add", "rm"):  # some conflicts are not decided yet
        for task in ("next", "status", "doctor --check conflicts"):
            assert f"invoke {UPGRADE}\n" in world.run(task).out, task
    if NUMBER[verb] < NUMBER["push"]:
        assert untouched(world) == before
    continue_(world, template, UPGRADE)
    assert untouched(world)[:2] == before[:2]


@pytest.mark.parametrize("module", ["carto_fork.tasks", "carto_fork.fork.session"])
@pytest.mark.parametrize("way", ["invoke", "carto-fork"])
def test_ctrl_c_before_a_task_runs_ends_in_one_line(
    world: World, tmp_path: Path, way: str, module: str
) -> None:
    """As during the imports, when nothing has been done."""
    (tmp_path / "sitecustomize.py").write_text(
        "import os, signal, sys\n"
        "class Interrupting:\n"
        "    def find_spec(self, name, *_):\n"
        f"        if name == {module!r}:\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Interrupting())\n"
    )
    words = [*INVOKE, "--search-root", str(ROOT)]
    words = (
        words
        if way == "invoke"
        else [sys.executable, "-c", "from carto_fork.start import main; main()"]
    )
    path = f"{tmp_path}{os.pathsep}{ROOT / 'scripts'}"
    done = world.call([*words, "status"], PYTHONPATH=path)
    line = "Interrupted: nothing is half-done. The same command continues.\n"
    assert done == Done(130, "", line)


def test_what_nohup_starts_survives_its_terminal(world: World) -> None:
    path = snag(world, 1, "kill -HUP $PPID").path
    words = ["nohup", *INVOKE, "--search-root", str(ROOT), "sync-main"]
    assert world.call(words, PATH=path).code == 0


def test_an_interrupted_merge_leaves_no_work_tree(world: World) -> None:
    """Nothing is left half-done, as the message says."""
    ended = start(world, UPGRADE, NUMBER["merge"], INTERRUPTED)
    assert ended.err.startswith("Interrupted: ")
    assert not world.work(TAG).exists()
    assert outcome(world).work_trees == ["worktree ~/litellm"]


@pytest.mark.slow
def test_an_upgrade_killed_during_its_undo_can_be_continued(world: World, template: Path) -> None:
    """After the merge, the next command that writes removes the work tree."""
    before = untouched(world)
    here = world.place / "snag"
    again = f"echo {NUMBER['merge'] + 1} > {here}/at; echo '{KILLED}' > {here}/cut"
    assert start(world, UPGRADE, NUMBER["merge"], f"{again}; {INTERRUPTED}").code == -9
    assert world.work(TAG).exists()
    assert untouched(world) == before
    continue_(world, template, UPGRADE)


def test_who_gives_up_from_inside_the_work_tree_is_told_where_to_go(world: World) -> None:
    assert world.run("upgrade-carto --tag v1.77.2-stable").code == 3
    work = world.work("v1.77.2-stable")
    give_up = f"cd {work}\ninvoke upgrade-carto --tag v1.77.2-stable --abort\n"
    done = world.paste(f"{give_up}invoke next || true\n")
    assert (
        "\nYour current directory is gone with it. Go on in the clone:\n    cd ~/litellm\n"
        in done.out
    )
    assert done.code == 0 and not work.exists()
    assert "Traceback" not in done.err and "the current directory is gone" in done.err


@pytest.mark.slow
def test_a_killed_upgrade_can_be_aborted(template: Path, tmp_path: Path) -> None:
    """After a kill in the middle of the merge, --abort leaves nothing of the upgrade."""
    world = copied(template, tmp_path / "other")
    before = world.everything()
    _, half = HALF["merge: some files"]
    start(world, UPGRADE, NUMBER["merge"], f"{places(world)}{half}; {KILLED}")
    done = world.run(f"upgrade-carto --tag {TAG} --abort")
    assert done.err == ""
    assert done.code == 0
    assert not world.work(TAG).exists()
    checkout, here, origin, upstream = world.everything()
    del here[f"refs/tags/{TAG}"]
    assert (checkout, here, origin, upstream) == before


def test_what_a_killed_merge_left_is_not_for_a_person_to_commit(world: World) -> None:
    """Git writes the files of a merge first, and notes at the end that it is one."""
    stable = "v1.77.2-stable"
    assert world.run(f"upgrade-carto --tag {stable} --no-tests").code == 3
    work = world.work(stable)
    world.git("merge --quit", repo=work)
    world.git("reset --quiet", repo=work)
    note = {"pid": 1, "task": "invoke upgrade-carto", "unfinished": [str(work)], "removing": {}}
    (world.fork / ".git" / "carto-fork.lock").write_text(json.dumps(note))
    advice = json.loads(world.run("next --json").out)
    assert advice["command"] == f"invoke upgrade-carto --tag {stable} --no-tests"
    assert "A run was killed while it changed " in advice["why"]
    dry = world.run(f"--dry upgrade-carto --tag {stable} --no-tests")
    assert (dry.code, "A killed run left its work tree half-made" in dry.out) == (0, True)
    again = world.paste(advice["command"])
    assert again.code == 3 and "2 left" in again.out
