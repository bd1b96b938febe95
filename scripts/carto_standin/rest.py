"""The part of GitHub's REST interface that the fake GitHub has."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

from .github import Opened
from .repository import Repository
from .state import Label, Pull, Rejected, Release, Run, Settings, Workflow

API = "https://api.github.com"
Json = dict[str, Any]


class Page(NamedTuple):
    """A list of which one page is returned; `name` is its key unless the answer is a bare list."""

    items: list[Json]
    name: str = ""


class Reply(NamedTuple):
    """An answer: its status, its JSON (None: no body; a string is text) and the headers that gh
    reads."""

    status: int
    body: Any
    headers: Mapping[str, str] = MappingProxyType({})


class Call(NamedTuple):
    """A request about a repository.

    words: the variable parts of the path. query: the query string.
    """

    opened: Opened
    repository: Repository
    words: dict[str, str]
    query: dict[str, str]
    body: Json


Route = Callable[[Call], Json | Page | Reply]
_ROUTES: list[tuple[str, re.Pattern[str], Route]] = []


def _route(method: str, path: str) -> Callable[[Route], Route]:
    def add(route: Route) -> Route:
        _ROUTES.append((method, re.compile(path), route))
        return route

    return add


def answer(opened: Opened, method: str, path: str, query: dict[str, str], body: Json) -> Reply:
    """The answer to a request. Raises Rejected if GitHub would refuse it or it is unsupported."""
    if (method, path) == ("GET", "/"):
        # gh reads the scopes of its token here.
        return Reply(200, {}, {"X-OAuth-Scopes": "read:org, repo, workflow"})
    if (method, path) == ("GET", "/user"):
        return Reply(200, _user(opened.state.viewer))
    found = re.match("/repos/([^/]+/[^/]+)(.*)", path)
    if not found:
        raise Rejected(501, f"the fake GitHub does not support {method} {path}")
    for known, pattern, route in _ROUTES:
        if known == method and (fits := pattern.fullmatch(found[2])):
            if not (repository := opened.repository(found[1])):
                raise Rejected(404, "Not Found")
            words = fits.groupdict("")
            result = route(Call(opened, repository, words, query, body))
            if isinstance(result, Page):
                return _paged(result, path, query)
            return result if isinstance(result, Reply) else Reply(200, result)
    raise Rejected(501, f"the fake GitHub does not support {method} {path}")


def _paged(page: Page, path: str, query: dict[str, str]) -> Reply:
    size, number = int(query.get("per_page", 30)), int(query.get("page", 1))
    items = page.items[size * (number - 1) : size * number]
    headers = {}
    if len(page.items) > size * number:
        following = urlencode(query | {"page": str(number + 1)})
        headers["Link"] = f'<{API}{quote(path)}?{following}>; rel="next"'
    body = {"total_count": len(page.items), page.name: items} if page.name else items
    return Reply(200, body, headers)


# --- The repository


@_route("GET", "")
def _repository(call: Call) -> Json:
    found = _repository_json(call.repository)
    parent = call.opened.parent(call.repository)
    return found | {"parent": _repository_json(parent)} if parent else found


@_route("PATCH", "")
def _edit_repository(call: Call) -> Json:
    settings = call.repository.state.settings
    known = {"allow_merge_commit", "allow_squash_merge", "allow_rebase_merge"}
    if strange := call.body.keys() - known:
        raise Rejected(501, f"the fake GitHub cannot change {sorted(strange)} of a repository")
    for name, value in call.body.items():
        setattr(settings, name, value)
    return _repository_json(call.repository)


@_route("GET", r"/compare/(?P<base>.+)\.\.\.(?P<head>.+)")
def _compare(call: Call) -> Json:
    base, head = (call.repository.resolve(call.words[end]) for end in ("base", "head"))
    if not base or not head:
        raise Rejected(404, "Not Found")
    ahead, behind = call.repository.distance(head, base)
    both = "diverged" if behind else "ahead"
    status = both if ahead else "behind" if behind else "identical"
    return {"status": status, "ahead_by": ahead, "behind_by": behind, "total_commits": ahead}


@_route("GET", "/rulesets")
def _rulesets(call: Call) -> Page:
    return Page([{"id": n, **x} for n, x in enumerate(call.repository.state.rulesets, 1)])


@_route("POST", "/rulesets")
def _create_ruleset(call: Call) -> Reply:
    if call.body["name"] in (ruleset["name"] for ruleset in call.repository.state.rulesets):
        raise Rejected(422, "Validation Failed", {"message": "Name must be unique"})
    call.repository.state.rulesets.append(call.body)
    return Reply(201, {"id": len(call.repository.state.rulesets), **call.body})


@_route("PUT", r"/rulesets/(?P<number>[1-9]\d*)")
def _edit_ruleset(call: Call) -> Json:
    number, rulesets = int(call.words["number"]), call.repository.state.rulesets
    if number > len(rulesets):
        raise Rejected(404, "Not Found")
    rulesets[number - 1] = call.body
    return {"id": number, **call.body}


@_route("GET", "/actions/permissions/workflow")
def _workflow_permissions(call: Call) -> Json:
    return call.repository.state.workflow_permissions


@_route("PUT", "/actions/permissions/workflow")
def _set_workflow_permissions(call: Call) -> Reply:
    call.repository.state.workflow_permissions |= call.body
    return Reply(204, None)


@_route("GET", "/rules/branches/(?P<branch>.+)")
def _rules(call: Call) -> Page:
    ref = f"refs/heads/{call.words['branch']}"
    slug = {"ruleset_source_type": "Repository", "ruleset_source": call.repository.name}
    return Page(
        [
            {**rule, **slug, "ruleset_id": number}
            for number, ruleset in enumerate(call.repository.state.rulesets, 1)
            if ruleset["enforcement"] == "active"
            and ref in ruleset["conditions"]["ref_name"]["include"]
            for rule in ruleset["rules"]
        ]
    )


@_route("GET", "/branches/(?P<branch>.+)/protection")
def _protection(call: Call) -> Json:
    branch = call.words["branch"]
    if not call.repository.ref(f"refs/heads/{branch}"):
        raise Rejected(404, "Branch not found")
    if branch not in call.repository.state.protection:
        raise Rejected(404, "Branch not protected")
    return call.repository.state.protection[branch]


@_route("GET", "/branches/(?P<branch>.+)")
def _branch(call: Call) -> Json:
    name = call.words["branch"]
    if not (oid := call.repository.ref(f"refs/heads/{name}")):
        raise Rejected(404, "Branch not found")
    protected = name in call.repository.state.protection
    return {"name": name, "commit": {"sha": oid}, "protected": protected}


@_route("GET", "/git/ref/(?P<ref>(heads|tags|pull)/.+)")
def _ref(call: Call) -> Json:
    ref = f"refs/{call.words['ref']}"
    if not (oid := call.repository.ref(ref)):
        raise Rejected(404, "Not Found")
    return {"ref": ref, "object": {"type": call.repository.kind(oid), "sha": oid}}


@_route("DELETE", "/git/refs/(?P<ref>(heads|tags)/.+)")
def _delete_ref(call: Call) -> Reply:
    call.repository.delete_ref(f"refs/{call.words['ref']}")
    return Reply(204, None)


@_route("GET", "/actions/variables")
def _variables(call: Call) -> Page:
    variables = call.repository.state.variables.items()
    dates = {"created_at": call.repository.at, "updated_at": call.repository.at}
    return Page([{"name": name, "value": x, **dates} for name, x in variables], "variables")


@_route("GET", "/actions/secrets")
def _secrets(call: Call) -> Page:
    dates = {"created_at": call.repository.at, "updated_at": call.repository.at}
    return Page([{"name": name, **dates} for name in call.repository.state.secrets], "secrets")


@_route("POST", "/actions/variables")
def _create_variable(call: Call) -> Reply:
    if not call.body.get("value"):
        raise Rejected(422, 'Invalid request. No subschema in "anyOf" matched.')
    if call.body["name"] in call.repository.state.variables:
        raise Rejected(409, "Already exists - Variable already exists")
    call.repository.state.variables[call.body["name"]] = call.body["value"]
    return Reply(201, {})


@_route("PATCH", "/actions/variables/(?P<name>[^/]+)")
def _edit_variable(call: Call) -> Reply:
    call.repository.state.variables[call.words["name"]] = call.body["value"]
    return Reply(204, None)


@_route("DELETE", "/actions/variables/(?P<name>[^/]+)")
def _delete_variable(call: Call) -> Reply:
    if call.repository.state.variables.pop(call.words["name"], None) is None:
        raise Rejected(404, "Not Found")
    return Reply(204, None)


@_route("GET", "/actions/secrets/public-key")
def _public_key(call: Call) -> Json:
    # Any 32 bytes are a valid public key; nobody has the private one.
    return {"key_id": "1", "key": base64.b64encode(bytes(range(1, 33))).decode()}


@_route("PUT", "/actions/secrets/(?P<name>[^/]+)")
def _set_secret(call: Call) -> Reply:
    names = call.repository.state.secrets
    call.repository.state.secrets = [*dict.fromkeys([*names, call.words["name"]])]
    return Reply(201, {})


@_route("DELETE", "/actions/secrets/(?P<name>[^/]+)")
def _delete_secret(call: Call) -> Reply:
    if call.words["name"] not in call.repository.state.secrets:
        raise Rejected(404, "Not Found")
    call.repository.state.secrets.remove(call.words["name"])
    return Reply(204, None)


@_route("GET", "/actions/organization-variables")
def _shared_variables(call: Call) -> Page:
    return Page([], "variables")


@_route("GET", "/actions/organization-secrets")
def _shared_secrets(call: Call) -> Page:
    dates = {"created_at": call.repository.at, "updated_at": call.repository.at}
    return Page([{"name": name, **dates} for name in call.repository.state.shared], "secrets")


# --- Labels


@_route("GET", "/labels")
def _labels(call: Call) -> Page:
    return Page([_label_json(label) for label in call.repository.state.labels])


@_route("POST", "/labels")
def _create_label(call: Call) -> Reply:
    about = {key: call.body.get(key) or "" for key in ("name", "color", "description")}
    return Reply(201, _label_json(call.repository.create_label(**about)))


@_route("PATCH", "/labels/(?P<name>[^/]+)")
def _edit_label(call: Call) -> Json:
    label = call.repository.edit_label(
        call.words["name"],
        new=call.body.get("new_name", ""),
        color=call.body.get("color", ""),
        description=call.body.get("description"),
    )
    return _label_json(label)


# --- Pull requests


@_route("GET", "/pulls")
def _pulls(call: Call) -> Page:
    query = {"state": "open"} | call.query
    strange = query.keys() - {"state", "head", "base", "sort", "direction", "per_page", "page"}
    if strange or query.get("sort", "created") != "created":
        raise Rejected(501, f"the fake GitHub cannot list pull requests by {query}")
    owner, found = call.repository.owner, []
    for pull in call.repository.state.pulls:
        state = "open" if pull.state == "OPEN" else "closed"
        fits = query["state"] in ("all", state) and query.get("base", pull.base) == pull.base
        if fits and query.get("head", f"{owner}:{pull.head}") == f"{owner}:{pull.head}":
            found.append(_pull_json(call.repository, pull))
    return Page(found if query.get("direction") == "asc" else found[::-1])


@_route("GET", r"/pulls/(?P<number>\d+)")
def _pull(call: Call) -> Json:
    repository, pull = call.repository, call.repository.pull(int(call.words["number"]))
    files = repository.files(pull)
    mergeable = bool(repository.merged_tree(pull)) if pull.state == "OPEN" else None
    return _pull_json(repository, pull) | {
        "merged": pull.state == "MERGED",
        "mergeable": mergeable,
        "mergeable_state": {True: "clean", False: "dirty", None: "unknown"}[mergeable],
        "comments": len(pull.comments),
        "commits": len(repository.commits(pull)),
        "additions": sum(file.additions for file in files),
        "deletions": sum(file.deletions for file in files),
        "changed_files": len(files),
    }


def diff(opened: Opened, path: str) -> Reply | None:
    """The answer to a request for a diff; None if the path is not a pull request's."""
    found = re.fullmatch(r"/repos/([^/]+/[^/]+)/pulls/(\d+)", path)
    repository = opened.repository(found[1]) if found else None
    if not found or not repository:
        return None
    return Reply(200, repository.diff(repository.pull(int(found[2]))))


@_route("GET", r"/pulls/(?P<number>\d+)/reviews")
def _reviews(call: Call) -> Page:
    return Page(call.repository.pull(int(call.words["number"])).reviews)


@_route("GET", "/collaborators/(?P<who>[^/]+)/permission")
def _permission(call: Call) -> Json:
    return {"permission": "write", "user": {"login": call.words["who"]}}


@_route("GET", r"/pulls/(?P<number>\d+)/commits")
def _pull_commits(call: Call) -> Page:
    commits = call.repository.commits(call.repository.pull(int(call.words["number"])))
    found = []
    for commit in commits:
        message = "\n\n".join(filter(None, [commit.title, commit.body.strip("\n")]))
        author = {"name": commit.author, "email": commit.email, "date": commit.authored}
        found.append({"sha": commit.oid, "commit": {"message": message, "author": author}})
    return Page(found)


@_route("GET", "/commits/(?P<sha>[0-9a-f]{40})/pulls")
def _pulls_of_commit(call: Call) -> Page:
    repository, sha = call.repository, call.words["sha"]
    if not repository.resolve(sha):
        raise Rejected(422, f"No commit found for SHA: {sha}")
    found = []
    for pull in repository.state.pulls:
        inside = {commit.oid for commit in repository.commits(pull)} | {pull.merge_commit}
        if sha in inside:
            found.append(_pull_json(repository, pull))
    return Page(found)


# --- Releases


@_route("GET", "/releases")
def _releases(call: Call) -> Page:
    releases = call.repository.state.releases[::-1]
    return Page([_release_json(call.repository, release) for release in releases])


@_route("POST", "/releases")
def _create_release(call: Call) -> Reply:
    body = call.body
    release = call.repository.create_release(
        body["tag_name"],
        name=body.get("name") or "",
        body=body.get("body") or "",
        target=body.get("target_commitish") or "",
        draft=body.get("draft", False),
        prerelease=body.get("prerelease", False),
        latest=body.get("make_latest") != "false",
    )
    return Reply(201, _release_json(call.repository, release))


@_route("GET", "/releases/latest")
def _latest(call: Call) -> Json:
    return _release_json(call.repository, call.repository.release(call.repository.state.latest))


@_route("GET", "/releases/tags/(?P<tag>.+)")
def _release_of_tag(call: Call) -> Json:
    return _release_json(call.repository, call.repository.release(call.words["tag"]))


@_route("GET", r"/releases/(?P<id>\d+)")
def _release(call: Call) -> Json:
    release = call.repository.release_by_id(int(call.words["id"]))
    return _release_json(call.repository, release)


@_route("PATCH", r"/releases/(?P<id>\d+)")
def _edit_release(call: Call) -> Json:
    body, release = call.body, call.repository.release_by_id(int(call.words["id"]))
    if body.get("tag_name", release.tag) != release.tag:
        raise Rejected(501, "the fake GitHub cannot change a release's tag")
    call.repository.edit_release(
        release,
        name=body.get("name"),
        body=body.get("body"),
        draft=body.get("draft"),
        prerelease=body.get("prerelease"),
        latest=body.get("make_latest") == "true",
    )
    return _release_json(call.repository, release)


# --- Workflows


@_route("GET", "/actions/workflows")
def _workflows(call: Call) -> Page:
    found = [_workflow_json(call.repository, each) for each in call.repository.workflows()]
    return Page(found, "workflows")


@_route("GET", "/actions/workflows/(?P<name>[^/]+)")
def _workflow(call: Call) -> Json:
    return _workflow_json(call.repository, call.repository.workflow(call.words["name"]))


@_route("PUT", "/actions/workflows/(?P<name>[^/]+)/(?P<what>enable|disable)")
def _enable(call: Call) -> Reply:
    workflow = call.repository.workflow(call.words["name"])
    call.repository.enable(workflow, call.words["what"] == "enable")
    return Reply(204, None)


@_route("POST", "/actions/workflows/(?P<name>[^/]+)/dispatches")
def _dispatch(call: Call) -> Reply:
    workflow = call.repository.workflow(call.words["name"])
    inputs = {name: str(value) for name, value in (call.body.get("inputs") or {}).items()}
    run = call.repository.dispatch(workflow, call.body["ref"], inputs)
    if not call.body.get("return_run_details"):
        return Reply(204, None)
    found = _run_json(call.repository, run)
    details = {"run_url": found["url"], "html_url": found["html_url"]}
    return Reply(200, {"workflow_run_id": run.id, **details})


@_route("GET", "/actions/(workflows/(?P<name>[^/]+)/)?runs")
def _runs(call: Call) -> Page:
    query, runs = call.query, call.repository.state.runs[::-1]
    known = {"branch", "event", "status", "per_page", "page", "exclude_pull_requests", "head_sha"}
    if strange := query.keys() - known:
        raise Rejected(501, f"the fake GitHub cannot list runs by {sorted(strange)}")
    name = call.words["name"]
    path = call.repository.workflow(name).path if name else ""
    found = [
        _run_json(call.repository, run)
        for run in runs
        if path in ("", run.path)
        and query.get("branch", run.branch) == run.branch
        and query.get("event", run.event) == run.event
        and query.get("head_sha", run.sha) == run.sha
        and query.get("status", run.status) in (run.status, run.conclusion)
    ]
    return Page(found, "workflow_runs")


@_route("GET", r"/actions/runs/(?P<id>\d+)")
def _run(call: Call) -> Json:
    return _run_json(call.repository, call.repository.run(int(call.words["id"])))


@_route("GET", r"/actions/runs/(?P<id>\d+)/(attempts/1/)?(?P<what>artifacts|jobs)")
def _of_run(call: Call) -> Page:
    call.repository.run(int(call.words["id"]))
    return Page([], call.words["what"])  # no run begins here


# --- As JSON


def _user(login: str) -> Json:
    return {"login": login, "id": 1, "type": "User", "name": login}


def _repository_json(repository: Repository) -> Json:
    settings: Settings = repository.state.settings
    return {
        "id": 1,
        "node_id": f"R_{repository.name}",
        "name": repository.name.partition("/")[2],
        "full_name": repository.name,
        "owner": {"login": repository.owner, "type": "Organization"},
        "private": settings.private,
        "html_url": repository.url,
        "url": f"{API}/repos/{repository.name}",
        "default_branch": repository.default_branch,
        "allow_merge_commit": settings.allow_merge_commit,
        "allow_squash_merge": settings.allow_squash_merge,
        "allow_rebase_merge": settings.allow_rebase_merge,
        "delete_branch_on_merge": settings.delete_branch_on_merge,
        "permissions": settings.permissions,
    }


def _label_json(label: Label) -> Json:
    return {"name": label.name, "color": label.color, "description": label.description}


def _pull_json(repository: Repository, pull: Pull) -> Json:
    def side(branch: str, oid: str) -> Json:
        repo = {"full_name": repository.name, "name": repository.name.partition("/")[2]}
        return {"label": f"{repository.owner}:{branch}", "ref": branch, "sha": oid, "repo": repo}

    return {
        "id": pull.number,
        "node_id": f"PR_{repository.name}#{pull.number}",
        "number": pull.number,
        "title": pull.title,
        "body": pull.body or None,
        "state": "open" if pull.state == "OPEN" else "closed",
        "draft": pull.draft,
        "html_url": f"{repository.url}/pull/{pull.number}",
        "url": f"{API}/repos/{repository.name}/pulls/{pull.number}",
        "user": _user(pull.author),
        "labels": [_label_json(repository.label(name)) for name in pull.labels],
        "head": side(pull.head, pull.head_oid),
        "base": side(pull.base, pull.base_oid),
        "created_at": pull.created,
        "updated_at": pull.updated,
        "closed_at": pull.closed,
        "merged_at": pull.merged,
        "merge_commit_sha": pull.merge_commit,
    }


def _release_json(repository: Repository, release: Release) -> Json:
    place = f"{API}/repos/{repository.name}/releases/{release.id}"
    return {
        "id": release.id,
        "node_id": f"RE_{repository.name}#{release.id}",
        "tag_name": release.tag,
        "name": release.name,
        "body": release.body,
        "target_commitish": release.target,
        "draft": release.draft,
        "prerelease": release.prerelease,
        "author": _user(release.author),
        "created_at": release.created,
        "published_at": release.published,
        "html_url": release_url(repository, release),
        "url": place,
        "upload_url": f"{place}/assets{{?name,label}}",
        "assets": [],
    }


def release_url(repository: Repository, release: Release) -> str:
    """The page of a release; a draft has no page under its tag."""
    last = f"untagged-{release.id:020x}" if release.draft else release.tag
    return f"{repository.url}/releases/tag/{last}"


def _workflow_json(repository: Repository, workflow: Workflow) -> Json:
    branch = repository.default_branch
    return {
        "id": workflow.id,
        "name": workflow.name,
        "path": workflow.path,
        "state": workflow.state,
        "html_url": f"{repository.url}/blob/{branch}/{workflow.path}",
        "url": f"{API}/repos/{repository.name}/actions/workflows/{workflow.id}",
    }


def _run_json(repository: Repository, run: Run) -> Json:
    return {
        "id": run.id,
        "name": run.name,
        "display_title": run.name,
        "run_number": run.number,
        "run_attempt": 1,
        "path": run.path,
        "workflow_id": repository.workflow(run.path).id,
        "event": run.event,
        "status": run.status,
        "conclusion": run.conclusion,
        "head_branch": run.branch,
        "head_sha": run.sha,
        "head_commit": {"id": run.sha, "message": repository.commit(run.sha).title},
        "head_repository": {"name": repository.name.partition("/")[2]},
        "actor": _user(run.actor),
        "created_at": run.created,
        "updated_at": run.updated,
        "run_started_at": run.created,
        "html_url": f"{repository.url}/actions/runs/{run.id}",
        "url": f"{API}/repos/{repository.name}/actions/runs/{run.id}",
    }
