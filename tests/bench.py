"""What the tasks cost beside plain git doing the same work, in the same run.

    python tests/bench.py [FORK [TAG]]

FORK: a clone of a fork with both remotes; without it, a new sandbox. TAG: a stable release that it
does not have yet; default: the newest one. Both sides of each pair run in turn, so that a machine
whose speed drifts slows both. Nothing is pushed, and what a run makes is removed again.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from world import build_template

ROOT = Path(__file__).parent.parent
INVOKE = [sys.executable, "-m", "invoke"]
TASKS = [*INVOKE, "--search-root", str(ROOT)]
PAIRS = 5


def run(words: list[str], *, allow: tuple[int, ...] = (0,), **variables: str) -> str:
    """Standard output of a command that must end well."""
    ended = subprocess.run(
        words, capture_output=True, text=True, env=os.environ | variables, stdin=subprocess.DEVNULL
    )
    if ended.returncode not in allow:
        sys.exit(f"{words} ended with {ended.returncode}:\n{ended.stdout}{ended.stderr}")
    return ended.stdout


def seconds(action: Callable[[], object]) -> float:
    """How long something takes, by the wall clock."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def compare(
    name: str,
    ours: Callable[[], object],
    plain: Callable[[], object],
    clean: Callable[[], object] = lambda: None,
) -> None:
    """Print the median of both and of their ratio, pair by pair, after one pair to warm up.

    clean: prepares each of them, and is not counted.
    """

    def once(action: Callable[[], object]) -> float:
        clean()
        return seconds(action)

    pairs = [(once(ours), once(plain)) for _ in range(PAIRS + 1)][1:]
    clean()
    ratios = [one / other for one, other in pairs]
    medians = [statistics.median(column) for column in zip(*pairs, strict=True)]
    print(
        f"| {name} | {medians[0]:.2f} s | {medians[1]:.2f} s | {statistics.median(ratios):.2f} "
        f"({min(ratios):.2f} to {max(ratios):.2f}) |"
    )


def upgrade(fork: Path, tag: str) -> None:
    """The upgrade against `git worktree add` and `git merge`; removing both is not counted."""
    options = ["--repo", str(fork), "--tag", tag]
    work = fork.with_name(f"{fork.name}.by-hand")
    git = ["git", "-C", str(fork)]

    def ours() -> None:
        run([*TASKS, "upgrade-carto", *options, "--no-push", "--no-tests"], allow=(0, 3))

    def plain() -> None:
        add = ["worktree", "add", "--no-track", "-b", "by-hand", str(work), "origin/carto/main"]
        run([*git, *add])
        run(["git", "-C", str(work), "merge", "--no-ff", f"refs/tags/{tag}"], allow=(0, 1))

    def clean() -> None:
        run([*TASKS, "upgrade-carto", *options, "--abort"], allow=(0, 1))
        run([*git, "worktree", "remove", "--force", str(work)], allow=(0, 128))
        run([*git, "branch", "-D", "by-hand"], allow=(0, 1))

    compare("`upgrade-carto`, `git worktree add` + `git merge`", ours, plain, clean)


def foresight(fork: Path, tag: str) -> None:
    """The forecast against `git merge-tree` and the start of a task that does nothing."""
    git = ["git", "-C", str(fork)]

    def plain(start: list[str]) -> None:
        run([*TASKS, *start])
        for _ in range(2):
            run([*git, "merge-tree", "--write-tree", "origin/carto/main", tag], allow=(0, 1))

    forecast = [*TASKS, "forecast", "--repo", str(fork), "--tag", tag]
    starts = {"`--list`": ["--list"], "`fork.config`": ["fork.config", "--repo", str(fork)]}
    for name, start in starts.items():
        compare(
            f"`forecast`, start-up ({name}) + twice `git merge-tree`",
            lambda: run(forecast),
            partial(plain, start),
        )


def growth(scratch: Path) -> None:
    """`verify` of a merge, and of one with ten times as many changed lines."""
    spent = []
    for files in (100, 1000):
        repo = scratch / f"growth-{files}"
        git = ["git", "-C", str(repo), "-c", "user.name=b", "-c", "user.email=b"]
        run(["git", "init", "-q", str(repo)])

        def write(*changes: tuple[int, str], repo: Path = repo, files: int = files) -> None:
            for number in range(files):
                text = [f"value_{line} = compute_{line}()\n" for line in range(60)]
                for place, what in changes:
                    text.insert(place, f"{what}_{number} = {what}_of({number})\n")
                (repo / f"file_{number}.py").write_text("".join(text))

        def commit(what: str, git: list[str] = git) -> None:
            run([*git, "add", "."])
            run([*git, "commit", "-qm", what])

        write()
        commit("base")
        run([*git, "switch", "-qc", "theirs"])
        write((50, "upstream"))
        commit("upstream")
        run([*git, "switch", "-qc", "ours", "HEAD~1"])
        # A commit of many files would be asked whether it is a squashed sync.
        write((10, "fork"))
        commit("fork")
        write((10, "fork"), (20, "second"))
        commit("second")
        run([*git, "merge", "-q", "theirs"], allow=(0, 1))
        revs = ["--ours", "ours~1", "--theirs", "theirs", "--result", "ours"]
        words = [*TASKS, "verify", "--repo", str(repo), *revs]
        check = partial(run, words, allow=(0, 4))
        spent.append(statistics.median(seconds(check) for _ in range(3)))
    small, large = spent
    print(f"\n`verify` takes {small:.2f} s for 300 changed lines and {large:.2f} s for 3,000.")


def many_tags(scratch: Path) -> None:
    """`ci.detect` where upstream has 10,000 tags of all kinds."""
    world = build_template(scratch / "tags")
    upstream, fork = world / "upstream.git", world / "litellm"
    endings = ("", "-nightly", "-stable", "-stable.1", ".rc.1", ".dev2", "-nightly.patch", "rc3")
    names = [f"v1.{n // 100}.{n % 100}{end}" for n in range(1250) for end in endings]
    feed = scratch / "refs"
    head = run(["git", "-C", str(upstream), "rev-parse", "refs/heads/main"]).strip()
    feed.write_text("".join(f"update refs/tags/{name} {head}\n" for name in names))
    with feed.open() as stdin:
        subprocess.run(
            ["git", "-C", str(upstream), "update-ref", "--stdin"], stdin=stdin, check=True
        )
    run(["git", "-C", str(upstream), "pack-refs", "--all"])

    def plain() -> None:
        run([*TASKS, "--list"])
        run(["git", "-C", str(fork), "ls-remote", "upstream", "refs/tags/*"])

    detect = [*TASKS, "ci.detect", "--repo", str(fork)]
    compare("`ci.detect` among 10,000 tags, start-up + `git ls-remote`", lambda: run(detect), plain)


def main(arguments: list[str]) -> None:
    """Print the table that the README shows."""
    with tempfile.TemporaryDirectory() as temporary:
        scratch = Path(temporary)
        empty = scratch / "empty"
        empty.mkdir()
        (empty / "tasks.py").write_text(
            'from invoke.tasks import task\n\n\n@task\ndef nothing(c):\n    """Do nothing."""\n'
        )
        fork = Path(arguments[0]) if arguments else build_template(scratch / "world") / "litellm"
        status = [*TASKS, "status", "--repo", str(fork)]
        facts = json.loads(run([*status, "--json"]))
        tag = arguments[1] if len(arguments) > 1 else facts["upstream_release"]
        print("| What | carto-fork | plain | ratio |\n| --- | --- | --- | --- |")
        upgrade(fork, tag)
        run(
            [
                "git",
                "-C",
                str(fork),
                "fetch",
                "-q",
                "--no-tags",
                "upstream",
                f"refs/tags/{tag}:refs/tags/{tag}",
            ]
        )
        foresight(fork, tag)
        many_tags(scratch)
        compare(
            "`invoke --list`, of an empty tasks file",
            lambda: run([*TASKS, "--list"]),
            lambda: run([*INVOKE, "--search-root", str(empty), "--list"]),
        )
        trace = scratch / "trace"
        run(status, GIT_TRACE2_EVENT=str(trace))
        events = map(json.loads, trace.read_text().splitlines())
        # Git starts helpers of its own, whose session ids have the parent's in front.
        calls = [e for e in events if e["event"] == "start" and "/" not in e["sid"]]
        spent = seconds(lambda: run(status))
        print(f"\n`status` makes {len(calls)} git calls and takes {spent:.2f} s.")
        growth(scratch)


if __name__ == "__main__":
    main(sys.argv[1:])
