"""The automation: detect a release, prepare it, open its pull request, let a person finish it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Literal

import pytest

from carto_fork.fork import records
from carto_standin.github import Fault, GitHub
from carto_standin.state import Pull
from world import (
    BOTH_SIDES,
    Done,
    World,
    commit_in,
    ghs,
    land,
    push_as_colleague,
    resolved_by_hand,
    slow_but,
)

TAG = "v1.76.5"
SYNC = f"upstream-sync/{TAG}"
NEXT = "v1.77.2-stable"
SYNC_NEXT = f"upstream-sync/{NEXT}"
LEFT = ["Dockerfile", "ui/litellm-dashboard/src/app/layout.tsx"]


def pulls(github: GitHub) -> list[Pull]:
    """The pull requests on GitHub, oldest first."""
    with github.open() as opened:
        return sorted(opened.origin().state.pulls, key=lambda pull: pull.number)


def sync(world: World, line: str = "") -> Done:
    """The automation, as a workflow calls it."""
    return world.run(f"ci.sync --no-tests --json {line}")


def push(world: World, branch: str, files: dict[str, str], message: str) -> str:
    """Push a colleague's commit to a branch on origin."""
    place = world.place / "colleague"
    if not place.exists():
        world.git(f"clone --quiet {world.origin} {place}", repo=world.origin)
    world.git("fetch --quiet origin", repo=place)
    world.git(f"switch --quiet --detach origin/{branch}", repo=place)
    for path, text in files.items():
        (place / path).write_text(text)
    world.git("add --all", repo=place)
    world.git(
        "-c user.name=Ana -c user.email=ana@example.com commit --quiet -m", message, repo=place
    )
    world.git(f"push --quiet origin HEAD:{branch}", repo=place)
    return world.git("rev-parse HEAD", repo=place)


def test_a_release_becomes_a_pull_request(world: World, github: GitHub) -> None:
    done = sync(world, f"--tag {TAG}")
    assert done.code == 0, done.err
    url = "https://github.com/CartoDB/litellm/pull/1"
    assert json.loads(done.out) == {
        "result": "clean",
        "tag": TAG,
        "pull_request": url,
        "about": "Pull request 1 is waiting for a review.",
    }
    [pull] = pulls(github)
    assert (pull.head, pull.base, pull.state) == (SYNC, "carto/main", "OPEN")
    assert pull.title == f"chore: merge upstream {TAG} into carto/main"
    assert sorted(pull.labels) == ["automated", "clean-merge", "upstream-sync"]
    body = pull.body
    for part in (
        "Do not squash",
        "18 fork lines gave way to upstream's.",
        "| `litellm/router.py` | content | upstream's | dropped on purpose: ",
        "**0 changes lost**",
        "| new | upstream workflow | `.github/workflows/publish-migrations.yml` |",
        "- [x] every conflict is resolved",
        "- [ ] `make test-unit`",
        f"https://github.com/BerriAI/litellm/releases/tag/{TAG}",
        f"gh pr merge {SYNC} -R CartoDB/litellm --merge",
    ):
        assert part in body
    assert body.count("| upstream workflow |") == 1  # the fork has switched the others off
    assert re.search(r"compare/v1\.75\.2[\w.-]*\.\.\.v1\.76\.5\)", body)


def test_a_release_that_landed_since_the_last_fetch_is_nothing_new(
    world: World, github: GitHub
) -> None:
    production = "refs/heads/carto/main"
    world.git("fetch --quiet", str(world.upstream), f"refs/tags/{TAG}", repo=world.origin)
    commit_in(world, world.origin, production, {}, production, "FETCH_HEAD", tree="FETCH_HEAD")
    done = sync(world, f"--tag {TAG}")
    assert (done.code, json.loads(done.out).get("result")) == (0, "nothing"), done.err
    assert pulls(github) == []


@pytest.mark.slow
def test_labels_are_what_the_policy_says(world: World, github: GitHub) -> None:
    """https://github.com/renovatebot/renovate/issues/31091,
    https://github.com/semantic-release/github/issues/518, https://github.com/github/docs/issues/32156"""
    labels = ["area: sync,upstream", 'say "no"', "\U0001f469\u200d\U0001f4bb it's", "x" * 50]
    listed = json.dumps(labels, ensure_ascii=False)
    text = f'extends = "carto-litellm"\n[pull_requests]\nlabels = {listed}\n'
    commit_in(world, world.origin, "refs/heads/carto/main", {"carto_fork.toml": text})
    for _ in range(2):  # it is opened, then updated
        assert sync(world, f"--tag {TAG}").code == 0
    [pull] = pulls(github)
    assert sorted(pull.labels) == sorted([*labels, "clean-merge"])
    long = text.replace("x" * 50, "x" * 51)
    commit_in(world, world.origin, "refs/heads/carto/main", {"carto_fork.toml": long})
    world.git("fetch --quiet origin")
    assert f"'{'x' * 51}' is not a label that GitHub accepts" in sync(world, f"--tag {TAG}").err


@pytest.mark.slow
def test_a_tag_that_is_not_on_a_commit_hides_no_release(world: World, github: GitHub) -> None:
    """Neither before the clone has fetched it, nor afterwards."""
    file = world.git("rev-parse main:pyproject.toml", repo=world.upstream)
    world.git(f"tag v1.99.0 {file}", repo=world.upstream)
    # Jobs pass on the name that this task prints.
    assert json.loads(world.run("ci.detect --json").out)["tag"] == "v1.77.2-stable"
    for _ in range(2):
        done = sync(world)
        assert done.code == 0, done.err
        assert "v1.99.0 is on a blob, not on a commit" in done.err
        assert json.loads(done.out)["tag"] == "v1.77.2-stable"
    assert "v1.99.0" not in world.run("forecast").out
    for task in ("upgrade-carto", "forecast"):
        done = world.run(f"{task} --tag v1.99.0")
        assert (done.code, "there is nothing to merge" in done.err) == (1, True)


def test_a_pull_request_is_opened_at_once(world: World, github: GitHub) -> None:
    """One step creates all labels, and nothing is written twice."""
    done = world.run(f"upgrade-carto --no-tests --tag {TAG}")
    assert done.code == 0, done.err
    lines = re.findall(r"^    \$ gh (\w+ \w+)", done.out, re.MULTILINE)
    assert lines == [*4 * ["label create"], "pr create"]
    steps = re.findall(r"^ *(\w+) +[A-Z]", done.out, re.MULTILINE)
    assert [name for name in steps if name in ("labels", "open")] == ["labels", "open"]


@pytest.mark.slow
def test_a_pull_request_opened_with_the_workflow_token_carries_a_warning(
    world: World, github: GitHub
) -> None:
    with github.open() as opened:
        opened.state.viewer = "github-actions"
    for _ in range(2):
        assert world.run(f"upgrade-carto --no-tests --tag {TAG}", GITHUB_ACTIONS="true").code == 0
        [pull] = pulls(github)
        assert "GitHub starts no workflow for a pull request that its own token opened" in pull.body


@pytest.mark.slow
def test_the_install_check_stays_ticked_on_a_second_run(world: World, github: GitHub) -> None:
    """By then the work tree with the installation is gone."""
    for _ in range(2):
        assert world.run(f"upgrade-carto --tag {TAG}").code == 0
        assert "- [x] the merged tree installs" in pulls(github)[0].body
    assert not world.work(TAG).exists()


@pytest.mark.slow
def test_the_same_release_again_updates_the_one_pull_request(world: World, github: GitHub) -> None:
    assert sync(world, f"--tag {TAG}").code == 0
    head = world.git(f"rev-parse {SYNC}", repo=world.origin)
    with github.open() as opened:  # as a reviewer ticks it
        [pull] = opened.origin().state.pulls
        pull.body = pull.body.replace("- [ ] the container", "- [x] the container")
    done = sync(world, f"--tag {TAG}")
    assert done.code == 0, done.err
    assert json.loads(done.out)["result"] == "waiting"
    [pull] = pulls(github)
    assert pull.number == 1 and "- [x] the container" in pull.body
    assert world.git(f"rev-parse {SYNC}", repo=world.origin) == head


def test_undecided_conflicts_are_published_for_a_person(world: World, github: GitHub) -> None:
    before = world.refs(world.origin)
    done = sync(world, f"--tag {NEXT}")
    assert done.code == 0, done.err
    assert json.loads(done.out)["result"] == "conflicts"
    # Its work tree is gone: nobody can resolve anything there.
    assert "    to do:    " not in done.err
    assert done.err.endswith("\nNext: invoke resolve-conflicts --pr 1\n")
    assert len(re.findall(r"^ *worktree ", done.err, re.M)) == 1, done.err
    [pull] = pulls(github)
    assert sorted(pull.labels) == ["automated", "conflicts", "upstream-sync"]
    assert f"carto-fork resolve-conflicts --pr {SYNC_NEXT}" in pull.body
    assert (
        "| **left for you to decide** |" in pull.body
        and "- [ ] every conflict is resolved" in pull.body
    )
    # One account, one number; the page has the same.
    assert "**1 change lost** (1 in files that are left for you to decide), " in pull.body
    page = (world.fork / ".git" / "carto-fork" / NEXT / "report.html").read_text()
    assert ">It must not land yet: 2 conflicts left, 1 change lost. Also open: " in page
    now = world.refs(world.origin)
    assert {ref: now[ref] for ref in before} == before
    head = now[f"refs/heads/{SYNC_NEXT}"]
    parents = world.git(f"log --merges --first-parent -1 --format=%P {head}", repo=world.origin)
    assert parents.split()[1] == world.git(f"rev-parse {NEXT}^0", repo=world.upstream)
    message = world.git(f"log --merges --first-parent -1 --format=%b {head}", repo=world.origin)
    listed = "".join(f"\n- {path}" for path in LEFT)
    assert message.endswith(f"Left for a person to resolve:\n{listed}")
    assert world.git(f"grep -l '^<<<<<<<' {head} --", repo=world.origin)
    assert not world.work(NEXT).exists()
    # A file that both sides changed is one file.
    [line] = {*re.findall(r"verify --ours \w+ --theirs \w+ --result \w+ --json", page)}
    looks = [one["path"] for one in json.loads(world.run(line).out)["look_at"]]
    [said] = re.findall(r">changes: look at this</th><td>(.*?)</td>", page)
    assert said == f"{len(looks)}, in {len({*looks})} files"
    assert len({*looks}) < len(looks)
    # What the page says to type leads to the end: the work tree, the result, and its tests.
    line = "resolve-conflicts --pr upstream-sync/v1.77.2-stable"
    begin, again, *_ = re.findall(r'data-copy="carto-fork (.*?)"', page)
    assert (begin, again) == (line, f"upgrade-carto --tag {NEXT}")
    todo = "To do: in the work tree that the first command below makes, and names: resolve 1 hunk"
    for path in LEFT:
        item = page[page.index(f"{todo} in {path}, then ") :].partition("</template>")[0]
        assert re.findall(r'data-copy="carto-fork (.*?)"', item)[0] == line
    assert not re.search(r'data-copy="git (checkout|rm|apply)[^"]*(Dockerfile|layout)', page)
    paused = world.run(begin)
    assert (paused.code, str(world.work(NEXT).name) in paused.err) == (3, True)
    resolved_by_hand(world, world.work(NEXT))
    assert world.run(begin).code == 0
    assert world.run(f"{again} --no-tests").code == 0


@pytest.mark.slow
def test_a_newer_release_supersedes_an_older_one(world: World, github: GitHub) -> None:
    assert sync(world, f"--tag {TAG}").code == 0
    kept = world.git(f"rev-parse {SYNC}", repo=world.origin)
    done = sync(world, f"--tag {NEXT}")
    assert done.code == 0
    # How many steps there are depends on what the merge leaves, so none has a number.
    assert "\nleave " in done.err and "\nsupersede " in done.err
    assert not re.search(r"^ *\d+/\d+ ", done.err, re.MULTILINE)
    old, new = pulls(github)
    assert (old.state, new.state) == ("CLOSED", "OPEN")
    assert "`carto-fork` is however you start it: in its checkout, that is `invoke`" in new.body
    assert any(f"#{new.number}" in comment.body for comment in old.comments)
    assert world.git(f"rev-parse {SYNC}", repo=world.origin) == kept


@pytest.mark.slow
def test_an_older_release_that_a_person_asks_for_stays_beside_the_newer_one(
    world: World, github: GitHub
) -> None:
    assert sync(world, f"--tag {TAG}").code == 0
    for line in (f"--tag {NEXT}", f"--tag {TAG}", f"--tag {NEXT}"):
        assert sync(world, line).code == 0
    states = [(pull.head, pull.state) for pull in pulls(github)]
    assert states == [(SYNC, "CLOSED"), (SYNC_NEXT, "OPEN"), (SYNC, "OPEN")]
    # What a person closed stays closed, whatever they say about it.
    with github.open() as opened:
        opened.origin().comment(opened.origin().pull(3), "Superseded by #2, and nobody needs it.")
        opened.origin().close(opened.origin().pull(3))
    assert json.loads(sync(world, f"--tag {TAG}").out)["result"] == "declined"


@pytest.mark.slow
def test_a_pull_request_whose_branch_nobody_can_read_stays_open(
    world: World, github: GitHub
) -> None:
    """Somebody replaced its commits; what people made in the merge cannot be known."""
    assert sync(world, f"--tag {TAG}").code == 0
    head, production = f"refs/heads/{SYNC}", "refs/heads/carto/main"
    commit_in(world, world.origin, head, {"carto_tags.toml": None}, production, message="fix: x")
    world.git(f"fetch --quiet origin +{head}:refs/remotes/origin/{SYNC}")
    world.git(f"update-ref -d {head}")
    done = sync(world, f"--tag {NEXT}")
    assert done.code == 0, done.err
    said = f"its branch has no merge of {TAG}, so nobody knows what people made there."
    assert f"Pull request 1 stays open: {said}" in " ".join(done.err.split())
    assert [pull.state for pull in pulls(github)] == ["OPEN", "OPEN"]


@pytest.mark.slow
def test_an_upgrade_says_which_pull_request_it_replaced(world: World, github: GitHub) -> None:
    world.run("upgrade-carto --tag v1.76.3 --no-tests")
    done = world.run(f"upgrade-carto --tag {TAG} --no-tests")
    assert "\nopen " in done.out and "\nsupersede " in done.out
    assert "\nPull request 1 (v1.76.3) was closed: #2 replaces it.\n" in done.out
    said = "Note: upstream-sync/v1.76.3 is on origin, too; if its pull request is open, that of"
    beginning = " ".join(done.out[: done.out.index("1/")].split())
    assert f"{said} {TAG} replaces it." in beginning
    again = world.run(f"upgrade-carto --tag {TAG} --no-tests").out
    assert "sync branch" in again and "is on origin, too" not in " ".join(again.split())
    shown = " ".join(world.run("status").out.split())
    assert f"upgrade to v1.76.3: published to origin, beside the newer {TAG}" in shown


@pytest.mark.slow
def test_peoples_work_for_an_older_release_is_in_the_newer_one(
    world: World, github: GitHub
) -> None:
    """A resolution is remembered, a commit is listed, and nothing is closed while one is missing.
    https://github.com/scala-steward-org/scala-steward/issues/1871,
    https://github.com/scala-steward-org/scala-steward/pull/2254,
    https://github.com/marcusquinn/aidevops/issues/31815,
    https://github.com/renovatebot/renovate/issues/3724"""
    newest = "v1.78.0-stable"
    assert sync(world, f"--tag {NEXT}").code == 0
    shown = {p: world.git(f"show {SYNC_NEXT}:{p}", repo=world.origin) for p in BOTH_SIDES}
    marked = re.compile(r"^<{7} .*?^>{7} .*?\n", flags=re.M | re.S)
    both = {p: marked.sub(BOTH_SIDES[p], f"{text}\n") for p, text in shown.items()}
    push(world, SYNC_NEXT, both, "fix: both stay")
    note = push(world, SYNC_NEXT, {"NOTES.md": "what was checked\n"}, "docs: what I checked")
    commit_in(world, world.upstream, f"refs/tags/{newest}", {"docs/new.md": "new\n"}, NEXT)
    world.git(f"tag --delete {NEXT}")  # a job has another clone, which has only the tag it merges
    done = sync(world, f"--tag {newest}")
    assert done.code == 0, done.err
    old, new = pulls(github)
    assert (old.state, new.state) == ("OPEN", "OPEN")
    assert (
        "Pull request 1 stays open: the new one lacks 1 change that people made there" in done.err
    )
    assert new.body.count(f"remembered: As in {SYNC_NEXT}") == len(BOTH_SIDES)
    assert new.body.count("| yes |") == 3 and new.body.count("| **no** |") == 1
    assert f"\ngit cherry-pick {note}\n" in new.body
    push(world, f"upstream-sync/{newest}", {"NOTES.md": "what was checked\n"}, "docs: the same")
    assert sync(world, f"--tag {newest}").code == 0
    old, new = pulls(github)
    assert (old.state, new.state) == ("CLOSED", "OPEN")
    assert new.body.count("| yes |") == 4 and "| **no** |" not in new.body


@pytest.mark.slow
def test_commits_pushed_by_a_person_are_kept(world: World, github: GitHub) -> None:
    assert sync(world, f"--tag {TAG}").code == 0
    theirs = push(world, SYNC, {"NOTES.md": "checked\n"}, "docs: what I checked")
    done = sync(world, f"--tag {TAG}")
    assert done.code == 0, done.err
    head = world.git(f"rev-parse {SYNC}", repo=world.origin)
    world.git(f"merge-base --is-ancestor {theirs} {head}", repo=world.origin)


@pytest.mark.slow
def test_a_strangers_pull_request_is_left_alone(world: World, github: GitHub) -> None:
    """It comes from a branch of the same name in a stranger's fork."""
    head = world.git("rev-parse carto/main", repo=world.origin)
    with github.open() as opened:
        strange = Pull(
            number=90,
            title="feat: mine",
            body="mine",
            head=SYNC,
            base="carto/main",
            head_oid=head,
            base_oid=head,
            author="eve",
            created="2025-09-30T12:00:00Z",
            updated="2025-09-30T12:00:00Z",
            strange=True,
        )
        opened.origin().state.pulls.append(strange)
    done = sync(world, f"--tag {TAG}")
    assert done.code == 0, done.err
    mine, theirs = pulls(github)
    assert (theirs.title, theirs.body, theirs.labels, theirs.state) == (
        "feat: mine",
        "mine",
        [],
        "OPEN",
    )
    assert (mine.head, mine.strange) == (SYNC, False)
    for name in ("90", "'#90'", "https://github.com/CartoDB/litellm/pull/90"):
        refused = world.run(f"resolve-conflicts --pr {name}")
        assert refused.code == 1
        assert "pull request 90 is from another repository" in refused.err


def somebodys(head: str, base: str, commit: str, state: Literal["OPEN", "CLOSED"] = "OPEN") -> Pull:
    """Pull request 7, which this program did not open."""
    return Pull(
        number=7,
        title="feat: theirs",
        body="",
        head=head,
        base=base,
        head_oid=commit,
        base_oid=commit,
        author="eve",
        created="2025-09-30T12:00:00Z",
        updated="2025-09-30T12:00:00Z",
        state=state,
    )


@pytest.mark.parametrize(
    ("state", "head", "base"),
    [("CLOSED", SYNC, "carto/main"), ("OPEN", "main", "carto/main"), ("OPEN", SYNC, "main")],
)
def test_only_an_open_sync_into_production_can_be_finished(
    world: World, github: GitHub, state: Literal["OPEN", "CLOSED"], head: str, base: str
) -> None:
    commit = world.git("rev-parse main", repo=world.origin)
    world.git(f"branch {SYNC} main", repo=world.origin)
    with github.open() as opened:
        opened.origin().state.pulls.append(somebodys(head, base, commit, state))
    before = world.everything()
    refused = world.run("resolve-conflicts --pr 7")
    assert refused.code == 1
    what = f"pull request 7 is {state.lower()}, from {head} into {base}"
    assert refused.err.startswith(f"Refused: {what}: it is not an open sync into carto/main.\n")
    assert world.everything() == before


def test_a_pull_request_of_another_repository_is_refused(world: World, github: GitHub) -> None:
    head = world.git("rev-parse main", repo=world.upstream)
    with github.open() as opened:
        opened.upstream().state.pulls.append(somebodys(SYNC, "main", head))
    url = "https://github.com/BerriAI/litellm/pull/7"
    refused = world.run(f"resolve-conflicts --pr {url}")
    assert refused.code == 1
    what = f"{url} is a pull request in another repository, not in CartoDB/litellm."
    assert refused.err.startswith(f"Refused: {what}\n")


@pytest.mark.parametrize("name", ["--all", "a b", "x;y", "-"])
def test_an_invalid_pull_request_name_is_refused(world: World, github: GitHub, name: str) -> None:
    done = world.run(f"resolve-conflicts '--pr={name}'")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"Usage: {name!r} is not a pull request.\n")


@pytest.mark.slow
def test_a_pull_request_that_a_person_closed_is_not_opened_again(
    world: World, github: GitHub
) -> None:
    assert sync(world, f"--tag {TAG}").code == 0
    with github.open() as opened:
        opened.origin().close(opened.origin().pull(1))
    done = sync(world, f"--tag {TAG}")
    assert (done.code, json.loads(done.out)["result"]) == (0, "declined"), done.err
    assert [pull.state for pull in pulls(github)] == ["CLOSED"]


@pytest.mark.parametrize(
    ("operation", "what"),
    slow_but(
        [
            ("PullRequestCreate", 500),
            ("PullRequestCreate", "cut"),
            ("PullRequestUpdate", 502),
            ("PullRequestList", 429),
        ],
        ("PullRequestCreate", "cut"),
    ),
)
def test_a_github_failure_does_not_open_a_second_pull_request(
    world: World, github: GitHub, operation: str, what: int | str
) -> None:
    if operation == "PullRequestUpdate":  # there has to be one, of which something has changed
        assert sync(world, f"--tag {TAG}").code == 0
        with github.open() as opened:
            opened.origin().pull(1).body = "Of an earlier version."
    github.faults = [Fault(match=operation, what=what)]  # type: ignore[arg-type]
    first = sync(world, f"--tag {TAG}")
    assert github.faults == []
    second = sync(world, f"--tag {TAG}")
    assert first.code in (0, 1)
    assert second.code == 0, second.err
    assert [pull.state for pull in pulls(github)] == ["OPEN"]
    assert "Traceback" not in first.err


@pytest.mark.parametrize(
    ("what", "said", "cure"),
    [
        (401, "Bad credentials", "gh auth login"),
        (403, "Resource not accessible by integration", "pull-requests: write"),
        (403, "API rate limit exceeded for user", "wait a few minutes"),
        (404, "Not Found", "use a token that can see the repository"),
    ],
)
def test_a_github_refusal_is_reported_before_anything_changes(
    world: World, github: GitHub, what: int, said: str, cure: str
) -> None:
    github.faults = [Fault(match="/repos/CartoDB/litellm", what=what, message=said, times=9)]
    before = world.refs(world.origin)
    done = sync(world, f"--tag {TAG}")
    assert done.code == 1
    assert cure in done.err
    assert world.refs(world.origin) == before
    assert "gho_offline" not in done.err + done.out


@pytest.mark.slow
def test_an_upgrade_opens_its_pull_request_too(world: World, github: GitHub) -> None:
    done = world.run(f"upgrade-carto --tag {TAG} --no-tests")
    assert done.code == 0, done.err
    [pull] = pulls(github)
    assert (pull.number, pull.head) == (1, SYNC)
    again = world.run(f"upgrade-carto --tag {TAG} --no-tests")
    assert again.code == 0, again.err
    assert len(pulls(github)) == 1


@pytest.mark.slow
def test_an_upgrade_whose_pull_request_failed_says_what_finishes_it(
    world: World, github: GitHub
) -> None:
    github.faults = [Fault(match="PullRequestCreate", what=500)]
    done = world.run(f"upgrade-carto --tag {TAG} --no-tests")
    assert done.code == 1
    assert f"origin has {SYNC}; only the pull request is missing or out of date." in done.err
    assert world.git(f"rev-parse {SYNC}", repo=world.origin)
    assert world.run(f"upgrade-carto --tag {TAG} --no-tests").code == 0
    assert len(pulls(github)) == 1


def test_a_reverted_sync_is_noticed_in_a_clone_that_has_no_tag_of_its_release(
    world: World, github: GitHub
) -> None:
    """As a job's has none; the revert took the record of the tag away, too."""
    assert world.run(f"upgrade-carto --tag {TAG} --no-tests").code == 0
    landed = land(world, TAG)
    world.git("switch --quiet --detach origin/carto/main")
    world.git("revert --no-edit -m 1 HEAD")
    world.git("push --quiet --no-verify origin HEAD:carto/main")
    job = world.place / "job"
    settings = ["clone", "--quiet", "--no-tags", "--config"]
    settings += [f"include.path={world.place / 'clone.config'}", str(world.origin), str(job)]
    world.git("", *settings)
    world.git("remote set-url origin https://github.com/CartoDB/litellm.git", repo=job)
    assert TAG not in world.git("tag", repo=job)
    assert world.run("setup", cwd=job).code == 0
    before = len(pulls(github))
    done = world.run(f"ci.sync --no-tests --tag {NEXT}", cwd=job)
    assert (done.code, len(pulls(github))) == (1, before), done.out
    said = f"reverted the sync to {TAG}:"
    assert said in " ".join(done.err.split())
    guarded = world.run(f"ci.guard --range {landed}..origin/carto/main", cwd=job)
    assert said in " ".join(guarded.out.split())
    # Brought back, it is whole, also if the next release removes some of it.
    world.git("revert --no-edit HEAD")
    world.git("push --quiet --no-verify origin HEAD:carto/main")
    done = world.run(f"ci.sync --no-tests --tag {NEXT}", cwd=job)
    assert done.code == 0, done.err
    settings[-1] = str(world.place / "new")
    world.git("", *settings)
    world.git(
        "remote set-url origin https://github.com/CartoDB/litellm.git", repo=world.place / "new"
    )
    line = f"ci.guard --range origin/carto/main..origin/{SYNC_NEXT}"
    guarded = world.run(line, cwd=world.place / "new")
    assert "conflict markers" in guarded.err and "reverted" not in guarded.out


def test_detect_reports_the_newest_release(world: World, github: GitHub, tmp_path: Path) -> None:
    outputs = tmp_path / "outputs"
    done = world.run("ci.detect --json", GITHUB_OUTPUT=str(outputs), GITHUB_ACTIONS="true")
    assert done.code == 0, done.err
    data = json.loads(done.out)
    assert (data["found"], data["tag"]) == (True, NEXT)
    assert f"\n{NEXT}\n" in outputs.read_text()


def test_detect_skips_a_prerelease_and_counts_the_older_releases(
    world: World, github: GitHub
) -> None:
    for tag in ("v1.77.0-stable", "v1.77.1-stable", "v1.78.0-stable"):
        world.git(f"tag {tag} main", repo=world.upstream)
    with github.open() as opened:
        opened.upstream().create_release("v1.78.0-stable", prerelease=True)
    done = world.run("ci.detect")
    assert done.out == (
        "Warning: GitHub calls v1.78.0-stable a prerelease: it is skipped.\n"
        f"New: {NEXT}; carto/main has v1.75.2-stable, and lacks 2 older releases,\n  too.\n"
        f"Next: invoke upgrade-carto --tag {NEXT}\n"
    )
    # A branch of one's own that waits for a review has nothing to do with it.
    world.git("switch --quiet --no-track -c feature/mine origin/carto/main")
    world.git("commit --quiet --allow-empty -m 'fix: mine'")
    assert world.run("next").out.startswith("invoke branch.pr\n")
    assert world.run("ci.detect") == done


def test_detect_names_the_sync_that_comes_before_a_new_release(
    world: World, github: GitHub
) -> None:
    assert sync(world, f"--tag {TAG}").code == 0
    lines = world.run("ci.detect").out.splitlines()
    assert lines[1].startswith("Pull request 1 is waiting for a review; ")
    assert lines[-1].startswith("Next: ") and lines[-1].endswith("gh pr view 1 -R CartoDB/litellm")
    # One that would have to be merged with production first is replaced.
    push(world, "carto/main", {"docs/new.md": "new\n"}, "docs: new")
    world.git("fetch --quiet origin")
    newer = f"invoke upgrade-carto --tag {NEXT}"
    assert world.run("ci.detect").out.endswith(f"\nNext: {newer}\n")
    assert world.run("next").out.startswith(f"{newer}\n# carto/main has new commits since")
    assert sync(world, f"--tag {NEXT}").code == 0
    world.git("fetch --quiet origin")
    assert world.run("next").out.startswith("invoke resolve-conflicts --pr 2\n")


@pytest.mark.slow
def test_the_merged_tag_is_recorded_with_its_commit(world: World, github: GitHub) -> None:
    assert sync(world, f"--tag {TAG}").code == 0
    said = world.git(f"show {SYNC}:carto_tags.toml", repo=world.origin)
    commit = world.git(f"rev-parse {TAG}^0", repo=world.upstream)
    assert f'"{TAG}" = {{ object = ' in said and commit in said


def test_a_tag_that_was_moved_is_refused_with_both_commits(world: World, github: GitHub) -> None:
    pinned = f'[tags]\n"{TAG}" = {{ object = "{"1" * 40}", commit = "{"1" * 40}" }}\n'
    push(world, "carto/main", {"carto_tags.toml": pinned}, "chore: record what a tag stands for")
    before = world.refs(world.origin)
    done = sync(world, f"--tag {TAG}")
    assert done.code == 1
    commit = world.git(f"rev-parse {TAG}^0", repo=world.upstream)
    assert "1" * 40 in done.err and commit in done.err and "moved the tag" in done.err
    assert world.refs(world.origin) == before


@pytest.mark.slow
@pytest.mark.parametrize(
    "text",
    slow_but(
        ["`x` @CartoDB/all <b>", "${{ secrets.X }}", "::set-output name=a::b", "| a | # b"],
        "`x` @CartoDB/all <b>",
    ),
)
def test_hostile_names_stay_text_in_the_pull_request(
    world: World, github: GitHub, text: str
) -> None:
    name = f"{text.replace('/', '-')}.py"
    push(world, "carto/main", {name: "x = 1\n", "odd.py": f"# {text}\n"}, f"feat: {text}")
    place = world.place / "colleague"
    world.git(f"fetch --quiet {world.upstream} main", repo=place)
    world.git("switch --quiet --detach FETCH_HEAD", repo=place)
    (place / name).write_text("y = 2\n")
    world.git("add --all", repo=place)
    who = "-c user.name=Eve -c user.email=eve@example.com"
    world.git(f"{who} commit --quiet -m", f"feat: {text}", repo=place)
    world.git(f"{who} tag -a -m", text, "v1.78.0-stable", repo=place)
    world.git(f"push --quiet {world.upstream} v1.78.0-stable", repo=place)
    done = sync(world, "--tag v1.78.0-stable")
    assert done.code == 0, done.err
    body = pulls(github)[-1].body
    line = next(line for line in body.splitlines() if ".py`" in line and "add/add" in line)
    assert len(re.findall(r"(?<!\\)\|", line)) == 5
    assert "@CartoDB/all" not in re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", "", body)
    assert "<b>" not in re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", "", body)
    assert not re.search(r"^::", done.out + done.err, re.MULTILINE)


@pytest.mark.slow
def test_a_very_long_pull_request_is_cut(world: World, github: GitHub) -> None:
    files = {f"{'x' * 150}{number:04}.py": "a = 1\n" for number in range(600)}
    push(world, "carto/main", files, "feat: many files")
    place = world.place / "colleague"
    world.git(f"fetch --quiet {world.upstream} main", repo=place)
    world.git("switch --quiet --detach FETCH_HEAD", repo=place)
    for name in files:
        (place / name).write_text("b = 2\n")
    world.git("add --all", repo=place)
    who = "-c user.name=Eve -c user.email=eve@example.com"
    world.git(f"{who} commit --quiet -m", "feat: many", repo=place)
    world.git(f"push --quiet {world.upstream} HEAD:refs/tags/v1.78.0-stable", repo=place)
    where = {"GITHUB_ACTIONS": "true", "GITHUB_SERVER_URL": "https://github.com"}
    where |= {"GITHUB_REPOSITORY": "CartoDB/litellm", "GITHUB_RUN_ID": "7"}
    summary = world.place / "summary"
    line = "ci.sync --no-tests --tag v1.78.0-stable"
    done = world.run(line, **where, GITHUB_STEP_SUMMARY=str(summary))  # type: ignore[arg-type]
    assert (done.code, "Slack" in done.out) == (0, False), done.err  # a job of its own sends it
    body = pulls(github)[-1].body
    assert len(body) <= 65_536
    link = "[the full report](https://github.com/CartoDB/litellm/actions/runs/7)"
    assert f"more conflicts: {link}" in body
    assert all(name in summary.read_text() for name in files)


@pytest.mark.slow
def test_what_was_dropped_of_an_older_release_is_not_recorded_of_another_change(
    world: World, github: GitHub
) -> None:
    """Upstream has changed the line again, so nobody has dropped it."""
    assert sync(world, f"--tag {NEXT}").code == 0
    keep = "--keep-fork Dockerfile --keep-fork ui/litellm-dashboard/src/app/layout.tsx"
    assert world.run(f"resolve-conflicts --pr 1 {keep} --reason 'Our base image.'").code == 0
    world.git("fetch --quiet origin")
    said = records.read_drops(world.git(f"show origin/{SYNC_NEXT}:carto_drops.toml"))
    [lines] = [drop.lines for drop in said if drop.path == "Dockerfile"]
    newest, text = "v1.78.0-stable", world.git(f"show {NEXT}:Dockerfile") + "\n"
    [line] = [line for line in lines if line in text.split("\n")]
    more = text.replace(line, f"{line} libffi-dev")
    commit_in(world, world.upstream, f"refs/tags/{newest}", {"Dockerfile": more}, NEXT)
    assert sync(world, f"--tag {newest}").code == 0
    world.git("fetch --quiet origin")
    now = world.git(f"show origin/upstream-sync/{newest}:carto_drops.toml")
    paths = [drop.path for drop in records.read_drops(now)]
    assert "Dockerfile" not in paths and "ui/litellm-dashboard/src/app/layout.tsx" in paths


def test_a_later_job_leaves_what_a_person_tested_ticked(world: World, github: GitHub) -> None:
    job = {"GITHUB_ACTIONS": "true", "GITHUB_SERVER_URL": "https://github.com"}
    job |= {"GITHUB_REPOSITORY": "CartoDB/litellm"}
    line, link = f"ci.sync --no-tests --tag {TAG}", "The job Test of [this run]("
    pages = [world.place / name for name in ("first", "second")]
    first, later = (
        job | {"GITHUB_RUN_ID": run, "GITHUB_STEP_SUMMARY": str(page)}
        for run, page in zip("78", pages, strict=True)
    )
    assert world.run(line, **first).code == 0  # type: ignore[arg-type]
    assert link in pulls(github)[0].body and link in pages[0].read_text()
    assert world.run(f"upgrade-carto --tag {TAG}").code == 0
    tested = pulls(github)[0].body
    assert "- [x] `make test-unit`" in tested and link not in tested
    done = world.run(line, **later)  # type: ignore[arg-type]
    assert (done.code, "It is still waiting for a review." in done.out) == (0, True)
    assert pulls(github)[0].body == tested
    assert not pages[1].exists() or link not in pages[1].read_text()


def test_a_sync_that_is_refused_advises_only_options_that_there_are(
    world: World, github: GitHub
) -> None:
    project = (world.fork / "pyproject.toml").read_text()
    push_as_colleague(world, {"pyproject.toml": project.replace("1.75.2.1", "1.76.5")})
    done = world.run(f"ci.sync --no-tests --tag {TAG}")
    [way] = re.findall(r"run `invoke (.*?)` to merge v1\.76\.5 all the same", done.err)
    assert way == f"upgrade-carto --tag {TAG} --no-tests --unhealed"
    assert world.run(f"{way} --dry").code == 0


def test_dry_prints_the_whole_upgrade_of_a_sync(world: World, github: GitHub) -> None:
    world.git("fetch --quiet --no-tags upstream tag", TAG)
    before = world.everything()
    done = world.run(f"ci.sync --dry --no-tests --tag {TAG}")
    assert (done.code, done.err) == (0, "")
    assert done.out == world.run(f"upgrade-carto --dry --no-tests --tag {TAG}").out
    assert world.everything() == before


@pytest.mark.slow
@pytest.mark.parametrize("version", ghs())
def test_the_tour_goes_through_everything_and_then_finds_nothing_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    monkeypatch.setenv("CARTO_FORK_GH", ghs()[version])
    world = World(tmp_path / "sandbox")
    line = f"sandbox --tour --path {world.place}"
    done = world.run(line, cwd=tmp_path)
    assert done.code == 0, done.err
    assert "Slack: The upgrade to v1.76.5 is ready for review" in done.out
    head = world.git("rev-parse carto/main", repo=world.origin)
    parents = world.git(f"log -1 --format=%P {head}", repo=world.origin).split()
    assert parents[1] == world.git(f"rev-parse {SYNC}", repo=world.origin)
    assert world.git("rev-parse carto-v1.76.5-0.1.0^0", repo=world.origin) == head
    again = world.run(line, cwd=tmp_path)
    assert again.code == 0, again.err
    assert "Nothing new: carto/main contains v1.76.5." in again.out
