"""`upgrade-carto` on the sandbox, from the first step to the last."""

from __future__ import annotations

import html
import json
import re
from itertools import groupby

import pytest

from world import World, commit_in, land, message, resolved_by_hand

MERGED = "Merge the tag"
UNTOUCHED = "Your checkout, carto/main and origin are unchanged."
PAUSES = "upgrade-carto --tag v1.77.2-stable"
PAUSED = "upstream-sync/v1.77.2-stable"
LAYOUT = "ui/litellm-dashboard/src/app/layout.tsx"


def test_an_upgrade_whose_conflicts_the_rules_decide_is_published(world: World) -> None:
    before = world.checkout()
    production = world.git("rev-parse carto/main", repo=world.origin)
    done = world.run("upgrade-carto --tag v1.76.5")
    assert done.code == 0, done.err
    assert done.err == ""
    assert "21 of 21 conflicts decided, 0 left." in done.out
    named = "Nothing is lost; 1 finding (lock file) in the merge of v1.76.5 to look at"
    assert named in " ".join(done.out.split())
    assert done.out.count("poetry.lock lacks") == 1
    rules = [
        rule for rule, _ in groupby(re.findall("^ {0,2}([a-z][a-zA-Z ]+): [A-Z]", done.out, re.M))
    ]
    assert rules.count("dropped on purpose") == 1  # one below the other, each with its reason
    assert world.checkout() == before
    sync = "refs/heads/upstream-sync/v1.76.5"
    head = world.refs(world.origin)[sync]
    assert world.refs(world.fork)[sync] == head
    assert world.git("rev-parse carto/main", repo=world.origin) == production
    merge = world.git(
        f"log --merges --first-parent -1 --format=%P {head}", repo=world.origin
    ).split()
    assert merge == [production, world.git("rev-parse v1.76.5^0", repo=world.upstream)]
    assert not world.work("v1.76.5").exists()
    page = (world.fork / ".git/carto-fork/v1.76.5/report.html").read_text()
    assert "passed</span> install" in html.unescape(page) and "must not land yet" not in page
    # What is to look at can be changed there.
    [add] = re.findall("^    (git .*worktree add .*)$", done.out, re.MULTILINE)
    assert world.paste(add).code == 0
    (world.work("v1.76.5") / "NOTE.md").write_text("ours\n")
    world.git("add NOTE.md", repo=world.work("v1.76.5"))
    world.git("commit --quiet -m 'docs: ours'", repo=world.work("v1.76.5"))
    [again] = re.findall(r"then\s+`?(invoke upgrade-carto.*?)`?\s+checks and pushes", done.out)
    assert world.paste(again).code == 0
    assert world.git("show upstream-sync/v1.76.5:NOTE.md", repo=world.origin) == "ours"


def test_a_conflict_for_a_person_pauses_and_the_same_command_continues(world: World) -> None:
    before = world.checkout()
    paused = world.run("upgrade-carto --tag v1.77.2-stable")
    assert paused.code == 3
    assert "  takes  " not in paused.out
    assert "  kind of tag  stable, which the automation takes, too\n" in paused.out
    assert " with your\n  words for WHY:\n" in paused.out.replace("\n    ", "\n  ")
    page = ".git/carto-fork/v1.77.2-stable/report.html"
    assert f"The page to review it by will be {page}\n" in paused.out
    assert paused.err == (
        "Paused: 2 conflicts need a person.\n"
        "Your checkout, carto/main and origin are unchanged.\n"
        "Next: resolve the rest in ../litellm.upstream-sync-v1.77.2-stable, `git add` each file, "
        "then run `invoke upgrade-carto --tag v1.77.2-stable` again.\n"
    )
    work = world.work("v1.77.2-stable")
    assert world.git("diff --name-only --diff-filter=U", repo=work).split() == [
        "Dockerfile",
        "ui/litellm-dashboard/src/app/layout.tsx",
    ]
    again = world.run("upgrade-carto --tag v1.77.2-stable")
    assert again.code == 3
    assert "21 of 23 conflicts decided, 2 left." in again.out
    # In the other file, one of two hunks is decided.
    world.git("checkout --ours -- Dockerfile", repo=work)
    world.git("add Dockerfile", repo=work)
    other = world.run("upgrade-carto --tag v1.77.2-stable").out
    assert f" --keep-fork {LAYOUT} --reason WHY\n" in other
    world.git("checkout -m -- Dockerfile", repo=work)
    resolved_by_hand(world, work)
    done = world.run("upgrade-carto --tag v1.77.2-stable")
    assert done.code == 0, done.err
    assert "refs/heads/upstream-sync/v1.77.2-stable" in world.refs(world.origin)
    assert world.checkout() == before
    dry = " ".join(world.run("upgrade-carto --tag v1.76.5 --dry").out.replace("\n#", "").split())
    assert re.search(r"takes about \d+ s, as last time", dry), dry


@pytest.mark.slow
def test_taking_one_side_by_hand_stops_the_upgrade_until_the_loss_is_dropped(world: World) -> None:
    world.run(PAUSES)
    work, origin = world.work("v1.77.2-stable"), world.refs(world.origin)
    world.git("checkout --ours Dockerfile ui", repo=work)
    world.git("add Dockerfile ui", repo=work)
    where = "../litellm.upstream-sync-v1.77.2-stable"
    drop = f"invoke verify --repo {where} --drop {{}} --reason 'Our image is built elsewhere.'"

    def stopped(changes: str) -> None:
        done = world.run(PAUSES)
        said = message(
            f"the merge of v1.77.2-stable is not right:\n  lost: {changes}",
            f"fix the merge in {where} and commit, or drop what is lost (your words for PATH and "
            f"WHY): `invoke verify --repo {where} "
            f"--drop PATH --reason WHY`; then run `invoke {PAUSES}` again.",
            UNTOUCHED,
            "Check failed",
        )
        assert (done.err, done.code) == (said, 4)
        assert world.refs(world.origin) == origin

    stopped(f"2 upstream changes in Dockerfile, {LAYOUT}")
    why = json.loads(world.run("next --json").out)["why"]
    assert "is not finished. The last check failed (lost: 2 upstream changes in Dockerfile" in why
    assert f"First fix the merge in {where} and commit, or drop what is lost (" in why
    stopped(f"2 upstream changes in Dockerfile, {LAYOUT}")
    for path, left in (("Dockerfile", f"1 upstream change in {LAYOUT}"), (LAYOUT, "")):
        let_go = world.run(drop.format(path).removeprefix("invoke "))
        assert (let_go.code, let_go.err) == (0, "")
        if left:
            stopped(left)
    done = world.run(PAUSES)
    assert (done.code, done.err) == (0, "")
    head = world.refs(world.origin)[f"refs/heads/{PAUSED}"]
    for path in ("Dockerfile", LAYOUT):
        there = world.git(f"rev-parse {head}:{path} carto/main:{path}", repo=world.origin)
        assert len(set(there.split())) == 1


def test_the_lines_of_a_loss_that_are_not_shown_are_counted(world: World) -> None:
    world.run(PAUSES)
    world.git("checkout --theirs Dockerfile", repo=world.work("v1.77.2-stable"))
    world.git("add Dockerfile", repo=world.work("v1.77.2-stable"))
    keep = f"--keep-fork {LAYOUT} --reason 'Our image is built elsewhere.'"
    assert world.run(f"resolve-conflicts {keep}").code == 0
    done = world.run(PAUSES)
    assert done.code == 4 and "and 2 more lines (--json has them all)\n" in done.out


def test_a_side_kept_with_a_reason_passes_the_check(world: World) -> None:
    world.run(PAUSES)
    words = f"--keep-fork Dockerfile --keep-fork {LAYOUT} --reason 'Our image is built elsewhere.'"
    decided = world.run(f"resolve-conflicts {words}")
    assert (decided.code, decided.err) == (0, "")
    done = world.run(PAUSES)
    assert (done.code, done.err) == (0, "")
    assert f"refs/heads/{PAUSED}" in world.refs(world.origin)


def test_a_plain_version_finds_the_stable_tag_and_says_so(world: World) -> None:
    done = world.run("upgrade-carto --tag v1.77.2 --no-push --no-tests")
    assert "Note: upstream has no tag v1.77.2; using v1.77.2-stable." in done.out


def test_standard_output_contains_only_json(world: World) -> None:
    done = world.run("upgrade-carto --tag v1.76.5 --json")
    assert json.loads(done.out) == {
        "tag": "v1.76.5",
        "tag_commit": world.git("rev-parse v1.76.5^0", repo=world.upstream),
        "version_before": "1.75.2.1",
        "version": "1.76.5",
        "branch": "upstream-sync/v1.76.5",
        "head": world.git("rev-parse upstream-sync/v1.76.5", repo=world.origin),
        "work_tree": None,
        "checks": ["install", "lint", "test"],
        "published_to": "origin/upstream-sync/v1.76.5",
    }
    assert MERGED in done.err


@pytest.mark.slow
def test_dry_prints_lines_that_do_the_upgrade_when_pasted(world: World) -> None:
    before = world.everything()
    dry = world.run("--dry upgrade-carto --tag v1.76.5")
    assert dry.code == 0, dry.err
    assert world.everything() == before
    assert MERGED in dry.out
    pasted = world.paste(dry.out)
    real = world.refs(world.origin)["refs/heads/upstream-sync/v1.76.5"]
    assert world.git(f"rev-parse {real}^^2", repo=world.origin) == world.git(
        "rev-parse v1.76.5^0", repo=world.upstream
    )
    assert pasted.code == 0, pasted.err


def test_dry_says_if_the_rest_depends_on_a_release_that_the_clone_lacks(world: World) -> None:
    world.run("upgrade-carto --tag v1.76.5 --no-tests")
    land(world, "v1.76.5")
    commit_in(world, world.upstream, "refs/tags/v9.9.9-stable", {"new": "new\n"}, "main")
    dry = world.run("--dry upgrade-carto --tag v9.9.9-stable")
    assert (dry.code, dry.err) == (0, "")
    assert "# The rest depends on the release, which is not in this clone yet: " in dry.out
    assert world.paste(dry.out).code == 0
    assert MERGED in world.run("--dry upgrade-carto --tag v9.9.9-stable").out


def test_abort_removes_the_work_tree_and_the_branch_and_nothing_else(world: World) -> None:
    world.git("fetch --quiet upstream refs/tags/v1.76.5:refs/tags/v1.76.5")
    before = world.everything()
    world.run("upgrade-carto --tag v1.76.5 --no-push")
    assert world.work("v1.76.5").exists()
    done = world.run("upgrade-carto --tag v1.76.5 --abort")
    assert done.code == 0, done.err
    assert world.everything() == before
    assert not world.work("v1.76.5").exists()


def test_an_upgrade_can_be_aborted_from_its_own_work_tree(world: World) -> None:
    """It removes the current directory, and prints the same messages."""
    world.git("fetch --quiet upstream refs/tags/v1.76.5:refs/tags/v1.76.5")
    before = world.everything()
    assert world.run("upgrade-carto --tag v1.76.5 --no-push --no-tests").code == 0
    head = world.git("rev-parse upstream-sync/v1.76.5")
    done = world.run("upgrade-carto --tag v1.76.5 --abort", cwd=world.work("v1.76.5"))
    assert (done.code, done.err) == (0, "")
    assert f"branch upstream-sync/v1.76.5 {head}\n" in done.out
    assert not world.work("v1.76.5").exists()
    assert world.everything() == before


def test_a_work_tree_is_kept_if_the_upgrade_is_finished_from_it(world: World) -> None:
    assert world.run("upgrade-carto --tag v1.76.5 --no-push --no-tests").code == 0
    work = world.work("v1.76.5")
    done = world.run("upgrade-carto --tag v1.76.5 --no-tests --no-pr", cwd=work)
    assert done.code == 0, done.err
    assert f"{work.name} is kept: it is your current directory.\n" in done.out
    assert work.exists()


def test_files_without_a_conflict_are_merged_as_plain_git_does(world: World) -> None:
    world.run("upgrade-carto --tag v1.76.5 --no-tests")
    plain = world.call(
        [
            "git",
            "merge-tree",
            "--write-tree",
            "--name-only",
            "--no-messages",
            "carto/main",
            "v1.76.5",
        ]
    )
    tree, *conflicted = plain.out.split()
    assert plain.code == 1
    result = "upstream-sync/v1.76.5"
    differing = set(world.git(f"diff --name-only --no-renames {tree} {result}").split())
    assert differing <= {*conflicted, "carto_tags.toml"}
    assert len(conflicted) == 21


def test_direct_moves_the_production_branch_here_and_on_origin(world: World) -> None:
    world.git("switch --quiet carto/main")
    before = world.git("rev-parse carto/main")
    done = world.run("upgrade-carto --tag v1.76.5 --direct --no-tests")
    assert done.code == 0, done.err
    head = world.git("rev-parse carto/main", repo=world.origin)
    assert world.git("rev-parse carto/main HEAD").split() == [head, head]
    assert world.git(f"rev-list --first-parent --count {before}..{head}") == "2"
    assert world.git("status --porcelain") == ""
    assert (world.fork / ".git/carto-fork/v1.76.5/report.html").is_file()
    assert "refs/heads/upstream-sync/v1.76.5" not in world.refs(world.origin)
    again = world.run("upgrade-carto --tag v1.76.5 --direct --no-tests")
    assert again.code == 0
    assert again.err.startswith("Nothing to do: carto/main already contains v1.76.5.\n")
