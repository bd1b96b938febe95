"""A sync's pull request with conflicts left: the automation leaves it alone, a person finishes it,
and a killed run changes nothing about the result."""

from __future__ import annotations

import html
import json
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from carto_standin.github import GitHub
from carto_standin.state import Pull
from conftest import SharedGitHub, played, seal
from world import Outcome, Snag, World, copied, outcome, shell, slow_but, snag

# Killed runs, and what people do meanwhile: each takes seconds.
pytestmark = pytest.mark.slow

NEXT = "v1.77.2-stable"
SYNC_NEXT = f"upstream-sync/{NEXT}"
LEFT = ["Dockerfile", "ui/litellm-dashboard/src/app/layout.tsx"]
SYNC = f"ci.sync --no-tests --json --tag {NEXT}"
WORDS = f"--keep-fork {LEFT[0]} --keep-fork {LEFT[1]} --reason 'ours is right'"
FINISH = f"resolve-conflicts --pr 1 {WORDS}"

# Every command of git and gh that writes, in order. A test checks both lists.
SYNC_WRITES = (
    *("fetch", "branch", "worktree add", "merge", "checkout", "checkout", "update-index", "add"),
    *("rm", "checkout", "commit", "add", "commit", "push", "worktree remove"),
    *("gh label create",) * 4,
    "gh pr create",
)
FINISH_WRITES = (
    *("worktree add", "update-index", "update-ref", "add", "add", "commit", "update-ref", "push"),
    *("gh pr edit", "worktree remove"),
)
# The earlier ones are those of any upgrade; tests/procedures/test_interrupted.py kills those.
LEAVING = SYNC_WRITES.index("commit") + 1

# What happens to a command; see `world.snag`.
BEFORE = "kill -KILL $PPID $$"
AFTER = '"$GIT" "$@"; kill -KILL $PPID $$'
_GH = """#!/bin/sh
GIT={real} here={here}
case "$1 $2" in
  'label create' | 'pr create' | 'pr edit' | 'pr close')
    echo "gh $1 $2" >> "$here/writes"
    [ "$(wc -l < "$here/writes")" -ne "$(cat "$here/at")" ] || . "$here/cut" ;;
esac
exec "$GIT" "$@"
"""


@pytest.fixture
def world(waiting_template: Path, tmp_path: Path) -> World:
    """The sandbox with a pull request that has to be finished."""
    return copied(waiting_template, tmp_path / "w")


def pulls(github: GitHub) -> list[Pull]:
    """The pull requests on GitHub, oldest first."""
    with github.open() as opened:
        return sorted(opened.origin().state.pulls, key=lambda pull: pull.number)


def watched(world: World, at: int = 0, cut: str = "") -> Snag:
    """Arm a fault for a command of git or gh that writes."""
    found, real = snag(world, at, cut), world.git("config carto-fork.gh")
    script = found.notes.with_name("gh")
    here = shlex.quote(str(found.notes.parent))
    script.write_text(_GH.replace("{real}", shlex.quote(real)).replace("{here}", here))
    script.chmod(0o755)
    world.git("config --global carto-fork.gh", str(script))
    return found


def killed(world: World, line: str, at: int, cut: str) -> None:
    """Run a task and kill it at a command that writes."""
    real = world.git("config carto-fork.gh")
    done = world.spawn(line, PATH=watched(world, at, cut).path)
    assert done.code == -9, done.out
    world.git("config --global carto-fork.gh", real)


def state(world: World, github: GitHub) -> tuple[Outcome, list[tuple[str, ...]]]:
    """The refs and work trees, and the pull requests with their labels."""
    shown = [(pull.state, pull.body, *sorted(pull.labels)) for pull in pulls(github)]
    return outcome(world), shown


def test_a_pull_request_that_waits_for_a_person_is_left_alone(world: World, github: GitHub) -> None:
    head = world.git(f"rev-parse {SYNC_NEXT}", repo=world.origin)
    dry = world.run(SYNC.replace(" --json", " --dry"))
    assert (dry.code, dry.out.splitlines()[-1]) == (0, f"invoke step.sync-pr --tag {NEXT}")
    done = world.run(SYNC)
    assert (done.code, json.loads(done.out)["result"]) == (0, "waiting"), done.err
    assert "Slack" not in done.err
    assert "It is still waiting for somebody to resolve the conflicts in" in done.err
    assert world.git(f"rev-parse {SYNC_NEXT}", repo=world.origin) == head
    assert len(pulls(github)) == 1


def test_a_closed_pull_request_is_said_and_opened_again(world: World, github: GitHub) -> None:
    with github.open() as opened:
        opened.origin().close(opened.origin().pull(1))
    stopped = world.run(f"upgrade-carto --tag {NEXT} --no-tests")
    assert stopped.code == 3
    way = re.search(
        r"Next: somebody closed its pull request: `(gh pr reopen 1 .*)`, then", stopped.err
    )
    assert way
    assert world.call(way[1].split()).code == 0
    again = world.run(f"upgrade-carto --tag {NEXT} --no-tests")
    assert again.code == 3 and f"resolve-conflicts --pr {SYNC_NEXT}" in again.err


def test_what_another_clone_has_tested_stays_ticked(world: World, github: GitHub) -> None:
    """Resolving it there again finds nothing to do, and takes no evidence away."""
    assert world.run(FINISH).code == 0
    with github.open() as opened:
        pull = opened.origin().pull(1)
        pull.body = pull.body.replace("- [ ] ", "- [x] ")
    before = pulls(github)[0].body
    assert "- [x] `make test-unit`" in before
    world.git("update-ref -d refs/heads/" + SYNC_NEXT)
    done = world.run("resolve-conflicts --pr 1")
    assert done.code == 0 and "Nothing has tested it" not in done.out
    assert pulls(github)[0].body == before


def test_who_names_no_pull_request_gets_the_command_that_does(world: World, github: GitHub) -> None:
    assert world.run("resolve-conflicts --pr 1").code == 3
    refused = world.run(f"resolve-conflicts --keep-fork {LEFT[0]} --reason Ours.")
    assert refused.code == 1 and "no merge is in progress" in refused.err
    line = f"resolve-conflicts --pr {SYNC_NEXT}"
    assert f"Next: `invoke {line}`, with the options that you gave" in refused.err
    assert world.run(f"{line} {WORDS}").code == 0


@pytest.mark.parametrize("commits", [False, True])
def test_who_was_overtaken_is_led_out(world: World, github: GitHub, commits: bool) -> None:
    """Somebody finishes a pull request in one clone while another one is at it in theirs."""
    other = world.place / "colleague"
    settings = f"include.path={world.place / 'clone.config'}"
    url = "https://github.com/CartoDB/litellm.git"
    line = f"-c protocol.https.allow=always clone --quiet --config {settings} {url} {other}"
    world.git(line, repo=world.place)
    assert world.run("setup", cwd=other).code == 0
    begun = f"resolve-conflicts --pr 1 --keep-fork {LEFT[0]} --reason Mine."
    assert world.run(begun, cwd=other).code == 3
    if commits:
        work = world.place / f"colleague.upstream-sync-{NEXT}"
        world.git(f"checkout --ours -- {LEFT[1]}", repo=work)
        world.git("commit --quiet --all -m 'fix: mine'", repo=work)
    assert world.run(FINISH).code == 0
    stopped = world.run("resolve-conflicts --pr 1", cwd=other)
    assert stopped.code == 1
    assert f"somebody has pushed to {SYNC_NEXT}, and ../colleague." in stopped.err
    world.git("fetch --quiet origin", repo=other)
    advice = json.loads(world.run("next --json", cwd=other).out)
    assert f"origin has commits on {SYNC_NEXT} that yours lacks" in advice["why"]
    assert f"`{advice['command']}`" in stopped.err
    abort = f"upgrade-carto --tag {NEXT} --abort"
    assert f"invoke {abort}" in stopped.err
    assert world.run(abort, cwd=other).code == 0
    done = json.loads(world.run("next --json", cwd=other).out)
    assert done["command"] == f"invoke upgrade-carto --tag {NEXT}"  # which tests what they made
    assert done["why"].startswith("Pull request 1 is waiting for a review. Nothing has tested it")


def test_a_waiting_pull_request_can_be_finished_by_choosing_sides(
    world: World, github: GitHub
) -> None:
    first = world.git(f"rev-parse {SYNC_NEXT}", repo=world.origin)
    before = world.everything()
    dry = world.run("resolve-conflicts --pr 1 --dry")
    assert (dry.code, dry.err, world.everything()) == (0, "", before)
    paused = world.paste(dry.out)
    assert paused.code == 3, paused.err
    assert "pull request 1" in paused.err
    left = re.findall(r"^  (?:content|add/add|modify/delete|rename) .*? (\S+)$", paused.out, re.M)
    assert left
    words = " ".join(f"--keep-fork {path}" for path in left)
    done = world.run(f"resolve-conflicts --pr 1 {words} --reason 'ours is right'")
    assert done.code == 0, done.err
    assert "to take that back" not in done.out  # it is committed and pushed
    head = world.git(f"rev-parse {SYNC_NEXT}", repo=world.origin)
    assert world.git(f"rev-list --count {first}..{head}", repo=world.origin) != "0"
    world.git(f"merge-base --is-ancestor {first} {head}", repo=world.origin)
    [pull] = pulls(github)
    assert sorted(pull.labels) == ["automated", "clean-merge", "upstream-sync"]
    said = "Dropped upstream's change: ours is right"
    assert pull.body.count(f"| the fork's, by a person | {said} |") == len(left)
    page = (world.fork / f".git/carto-fork/{NEXT}/report.html").read_text()
    assert html.unescape(page).count(f"<p>{said}</p>") == len(left)
    assert "- [x] every conflict is resolved" in pull.body
    assert "says under" not in pull.body  # the team's own guide does not say that
    assert not world.work(NEXT).exists()
    # No job tests it.
    test = f"invoke upgrade-carto --tag {NEXT}"
    assert done.out.endswith(f"this does, on this machine:\nNext: {test}\n")
    world.git("fetch --quiet origin")
    following = json.loads(world.run("next --json").out)
    assert following["command"] == test
    assert "Nothing has tested it since its conflicts were resolved" in following["why"]


def test_a_choice_in_a_pull_request_is_not_changed_without_a_word(
    world: World, github: GitHub
) -> None:
    work, line = world.work(NEXT), "resolve-conflicts --pr 1"
    chosen = world.run(f"{line} --accept-upstream {LEFT[0]} --reason theirs")
    assert chosen.code == 3
    shown = world.paste(chosen.out.partition("to see them: ")[2].partition("\n")[0])
    assert shown.code == 0 and "diff --git" in shown.out
    before = world.git("ls-files --stage", repo=work), (work / "carto_drops.toml").read_text()
    changed = f"{line} --keep-fork {LEFT[0]} --reason 'No: our base image.'"
    refused = world.run(changed)
    assert refused.code == 1
    assert refused.err.startswith(f"Refused: {LEFT[0]} is not in conflict.\n")
    assert (
        world.git("ls-files --stage", repo=work),
        (work / "carto_drops.toml").read_text(),
    ) == before
    cure = refused.err.partition("Next: ")[2].partition(" puts its conflict back")[0].strip("`")
    assert world.paste(cure).code == 0
    # Whatever runs first does not decide it again.
    again = world.run(line)
    assert again.code == 3 and "the record is gone (theirs): Dockerfile\n" in again.out
    assert world.git(f"diff --name-only --diff-filter=U -- {LEFT[0]}", repo=work)
    assert world.run(changed).code == 3
    text = (work / "carto_drops.toml").read_text()
    assert text.count("our base image") == 1 and '"theirs"' not in text
    ours = world.git(f"show carto/main:{LEFT[0]}")
    assert [x for x in ours.splitlines() if "libffi" in x][-1] in (work / LEFT[0]).read_text()


def test_a_waiting_pull_request_can_be_finished_by_hand(world: World, github: GitHub) -> None:
    paused = world.run(f"resolve-conflicts --pr {SYNC_NEXT}")
    assert paused.code == 3
    work = world.work(NEXT)
    unmerged = world.git("diff --name-only --diff-filter=U", repo=work).split()
    assert unmerged
    for path in unmerged:
        world.git(f"checkout --ours -- {path}", repo=work)
    world.git(f"add -- {' '.join(unmerged)}", repo=work)
    done = world.run("resolve-conflicts --pr 1")
    # Upstream's change is lost and nobody gave a reason: the loss is found before the push.
    assert done.code in (0, 4), done.err
    if done.code == 4:
        for path in unmerged:
            assert world.run(f"verify --drop {path} --reason 'ours is right'", cwd=work).code in (
                0,
                1,
            )
        done = world.run("resolve-conflicts --pr 1")
        assert done.code == 0, done.err
    [pull] = pulls(github)
    assert "clean-merge" in pull.labels


def test_a_failed_check_and_a_late_change_of_mind_are_led_on(world: World, github: GitHub) -> None:
    """`next` says what the check said, and a decided file is edited, not chosen anew."""
    work, line = world.work(NEXT), "resolve-conflicts --pr 1"
    words = f"--keep-fork {LEFT[1]} --reason ours"
    assert world.run(f"{line} {words}").code == 3
    world.git(f"checkout --theirs -- {LEFT[0]}", repo=work)
    world.git(f"add -- {LEFT[0]}", repo=work)
    assert world.run(line).code == 4
    following = json.loads(world.run("next --json").out)
    assert following["command"] == f"invoke {line}"
    following = following["why"]
    assert f"The last check failed (lost: 2 fork changes in {LEFT[0]}). First fix " in following
    where = f"../litellm.upstream-sync-{NEXT}"
    assert f"{where} and commit, or drop what is lost (" in following
    assert f" verify --repo {where} --drop PATH --reason WHY`; then this" in following
    ours = world.git(f"show carto/main:{LEFT[0]}")
    (work / LEFT[0]).write_text(f"{ours}\n")
    following = world.run("next").out
    assert f"git -C {where} commit --all\n" in following
    assert "not committed" in " ".join(following.replace("\n#", "").split())
    world.git("commit --quiet --all -m 'fix: ours'", repo=work)
    assert "committed here and not pushed" in " ".join(
        world.run("next").out.replace("\n#", "").split()
    )
    done = world.run(line)
    if done.code == 4:
        assert world.run(f"verify --drop {LEFT[0]} --reason ours", cwd=work).code == 0
        done = world.run(line)
    assert done.code == 0, done.err
    assert not work.exists()
    late = world.run(f"{line} --accept-upstream {LEFT[0]} --reason theirs")
    assert late.code == 1 and not work.exists()
    assert f"{LEFT[0]} is not in conflict. No conflict is left in {SYNC_NEXT}.\n" in late.err
    add, _, then = late.err.partition("Next: ")[2].partition("; ")
    assert world.paste(add).code == 0
    assert then == f"edit and commit in {where}, then `invoke {line}` checks and pushes it.\n"
    (work / LEFT[0]).write_text(f"{ours}\n# late\n")
    world.git("commit --quiet --all -m 'fix: late'", repo=work)
    assert world.run(line).code == 0
    assert "# late" in world.git(f"show {SYNC_NEXT}:{LEFT[0]}", repo=world.origin)


def test_a_push_that_is_rejected_keeps_what_was_resolved(world: World, github: GitHub) -> None:
    before = world.refs(world.origin)
    hook = world.origin / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\necho no today >&2\nexit 1\n")
    hook.chmod(0o755)
    words = f"--keep-fork {LEFT[0]} --keep-fork {LEFT[1]} --reason 'ours is right'"
    done = world.run(f"resolve-conflicts --pr 1 {words}")
    assert done.code == 1 and "no today" in done.err
    assert world.refs(world.origin) == before
    hook.unlink()
    again = world.run("resolve-conflicts --pr https://github.com/CartoDB/litellm/pull/1")
    assert again.code == 0, again.err
    assert "clean-merge" in pulls(github)[0].labels


@pytest.fixture
def fresh(
    shared_github: SharedGitHub, template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[World, GitHub]]:
    """The sandbox before the automation has run, and its GitHub."""
    made = copied(template, tmp_path / "f")
    (tmp_path / "bin").mkdir()
    with played(shared_github, made, monkeypatch, tmp_path / "bin") as hub:
        yield made, hub


def test_a_sync_runs_exactly_the_expected_writing_commands(
    fresh: tuple[World, GitHub],
) -> None:
    made, _ = fresh
    found = watched(made)
    done = made.run(SYNC, PATH=found.path)
    assert done.code == 0, done.err
    assert tuple(found.writes) == SYNC_WRITES


def write_id(writes: tuple[str, ...]) -> Callable[[int], str]:
    return lambda at: f"{at}-{writes[at - 1].replace(' ', '-')}"


@pytest.mark.parametrize(
    "at",
    slow_but(range(LEAVING, len(SYNC_WRITES) + 1), len(SYNC_WRITES)),
    ids=write_id(SYNC_WRITES),
)
def test_a_killed_sync_ends_the_same_when_it_is_repeated(
    fresh: tuple[World, GitHub], waiting_template: Path, at: int
) -> None:
    """It ends with the same branches and the same one pull request."""
    made, hub = fresh
    killed(made, SYNC, at, BEFORE if at % 2 else AFTER)
    done = made.run(SYNC)
    assert done.code == 0, done.err
    usual = World(waiting_template)
    assert state(made, hub) == state(usual, GitHub(shell(), usual.place))


def test_finishing_runs_exactly_the_expected_writing_commands(world: World, github: GitHub) -> None:
    found = watched(world)
    done = world.run(FINISH, PATH=found.path)
    assert done.code == 0, done.err
    assert tuple(found.writes) == FINISH_WRITES


@pytest.fixture(scope="module")
def finished(
    shared_github: SharedGitHub, waiting_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Outcome, list[tuple[str, ...]]]:
    """How it ends without a fault."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        seal(monkeypatch, tmp_path_factory.mktemp("home"))
        world = copied(waiting_template, tmp_path_factory.mktemp("finished") / "w")
        with played(shared_github, world, monkeypatch, tmp_path_factory.mktemp("bin")) as hub:
            done = world.run(FINISH)
            assert done.code == 0, done.err
            return state(world, hub)


@pytest.mark.parametrize(
    "at",
    slow_but(range(1, len(FINISH_WRITES) + 1), len(FINISH_WRITES)),
    ids=write_id(FINISH_WRITES),
)
def test_a_killed_finish_ends_the_same_when_it_is_repeated(
    world: World, github: GitHub, finished: tuple[Outcome, list[tuple[str, ...]]], at: int
) -> None:
    killed(world, FINISH, at, BEFORE if at % 2 else AFTER)
    done = world.run(FINISH)
    assert done.code == 0, done.err
    assert state(world, github) == finished


def test_an_upgrade_by_hand_names_the_command_for_the_conflicts_that_wait(world: World) -> None:
    done = world.run(f"upgrade-carto --no-tests --tag {NEXT}")
    assert done.code == 3, done.err
    assert f"Next: invoke resolve-conflicts --pr {SYNC_NEXT}\n" in done.err
