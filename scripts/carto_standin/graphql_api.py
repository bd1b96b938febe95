"""The part of GitHub's GraphQL interface that the fake GitHub has.

graphql-core executes the queries against `github_schema.graphql`, so an answer contains exactly
what was selected, and anything that is not in the schema is rejected by name.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any

from graphql import (
    DocumentNode,
    GraphQLError,
    GraphQLSchema,
    OperationDefinitionNode,
    OverlappingFieldsCanBeMergedRule,
    build_schema,
    execute_sync,
    parse,
    specified_rules,
    validate,
)

from .github import Opened
from .repository import Repository
from .rest import Reply, release_url
from .state import Comment, Commit, Label, Method, Pull, Rejected, Release

# On GitHub one name may mean a `String` in one type of a union and a `String!` in another; gh
# relies on it.
RULES = [rule for rule in specified_rules if rule is not OverlappingFieldsCanBeMergedRule]

Json = dict[str, Any]
Arguments = dict[str, Any]


@cache
def schema() -> GraphQLSchema:
    """The part of GitHub's schema that the fake GitHub has."""
    return build_schema((files(__package__) / "github_schema.graphql").read_text("utf-8"))


def operation(body: Mapping[str, Any]) -> str:
    """The name of the operation in a request, or of its first field."""
    for node in _parsed(body["query"]).definitions:
        if isinstance(node, OperationDefinitionNode):
            first = node.selection_set.selections[0]
            named = node.name or getattr(first, "name", None)
            return named.value if named else "anonymous"
    return "none"


def answer(opened: Opened, body: Mapping[str, Any]) -> Reply:
    """The answer to a request. Raises Rejected for an unsupported one."""
    document, variables = _parsed(body["query"]), body.get("variables") or {}
    if what := _unknown(body["query"]):
        raise Rejected(501, f"the fake GitHub does not support all of {operation(body)}: {what}")
    result = execute_sync(schema(), document, _Root(opened), variable_values=variables)
    reply: Json = {"data": result.data}
    if result.errors:
        reply["errors"] = [_error(error) for error in result.errors]
    return Reply(200, reply)


@lru_cache(maxsize=256)  # gh asks the same few questions again and again
def _parsed(query: str) -> DocumentNode:
    return parse(query)


@lru_cache(maxsize=256)
def _unknown(query: str) -> str:
    """What a query asks for that the schema lacks, in words."""
    return "; ".join(error.message for error in validate(schema(), _parsed(query), RULES))


def _error(error: GraphQLError) -> Json:
    cause = error.original_error
    if cause is not None and not isinstance(cause, Rejected):
        raise cause
    about: Json = {"message": error.message, "path": error.path or []}
    if isinstance(cause, Rejected):
        about |= {"message": cause.message, "type": cause.kind}
    return about


class _Root:
    """The root of queries and mutations, with GitHub's names."""

    def __init__(self, opened: Opened) -> None:
        self._opened = opened

    # --- Queries

    @property
    def viewer(self) -> Json:
        return _user(self._opened.state.viewer)

    def repository(self, info: Any, owner: str, name: str, **_: Any) -> Json:
        if not (found := self._opened.repository(f"{owner}/{name}")):
            what = f"Could not resolve to a Repository with the name '{owner}/{name}'."
            raise Rejected(404, what)
        parent = self._opened.parent(found)
        return _repository(found) | {
            "isFork": parent is not None,
            "parent": parent and _repository(parent),
        }

    def node(self, info: Any, id: str) -> Json:
        return _pull(*self._pull(id))

    def search(self, info: Any, query: str, type: str, **page: Any) -> Json:
        repository, found = _searched(self._opened, query)
        nodes = [_pull(repository, pull) for pull in found]
        return _connection(nodes, **page) | {"issueCount": len(found)}

    # --- Mutations

    def createPullRequest(self, info: Any, input: Arguments) -> Json:
        repository = self._at(input["repositoryId"])
        if input.get("headRepositoryId", input["repositoryId"]) != input["repositoryId"]:
            raise Rejected(422, "the fake GitHub takes no pull request from another repository")
        pull = repository.create_pull(
            head=input["headRefName"],
            base=input["baseRefName"],
            title=input["title"],
            body=input.get("body") or "",
            draft=input.get("draft") or False,
        )
        return {"pullRequest": _pull(repository, pull)}

    def updatePullRequest(self, info: Any, input: Arguments) -> Json:
        repository, pull = self._pull(input["pullRequestId"])
        labels = input.get("labelIds")
        repository.edit_pull(
            pull,
            title=input.get("title"),
            body=input.get("body"),
            base=input.get("baseRefName"),
            labels=None if labels is None else [_name(label) for label in labels],
        )
        return {"pullRequest": _pull(repository, pull)}

    def addLabelsToLabelable(self, info: Any, input: Arguments) -> Json:
        repository, pull = self._pull(input["labelableId"])
        repository.edit_pull(pull, labels=pull.labels + [_name(x) for x in input["labelIds"]])
        return {}

    def removeLabelsFromLabelable(self, info: Any, input: Arguments) -> Json:
        repository, pull = self._pull(input["labelableId"])
        gone = [_name(label) for label in input["labelIds"]]
        repository.edit_pull(pull, labels=[name for name in pull.labels if name not in gone])
        return {}

    def addComment(self, info: Any, input: Arguments) -> Json:
        repository, pull = self._pull(input["subjectId"])
        comment = repository.comment(pull, input["body"])
        return {"commentEdge": {"node": _comment(repository, pull, comment)}}

    def addPullRequestReview(self, info: Any, input: Arguments) -> Json:
        repository, pull = self._pull(input["pullRequestId"])
        repository.review(pull, str(input.get("event")))
        return {}

    def closePullRequest(self, info: Any, input: Arguments) -> Json:
        return self._after(input, Repository.close)

    def reopenPullRequest(self, info: Any, input: Arguments) -> Json:
        return self._after(input, Repository.reopen)

    def markPullRequestReadyForReview(self, info: Any, input: Arguments) -> Json:
        return self._after(input, lambda repository, pull: repository.set_draft(pull, False))

    def convertPullRequestToDraft(self, info: Any, input: Arguments) -> Json:
        return self._after(input, lambda repository, pull: repository.set_draft(pull, True))

    def mergePullRequest(self, info: Any, input: Arguments) -> Json:
        method: Method = input["mergeMethod"]
        return self._after(
            input,
            lambda repository, pull: repository.merge(
                pull,
                method,
                title=input.get("commitHeadline"),
                body=input.get("commitBody"),
                expected=input.get("expectedHeadOid"),
            ),
        )

    def _after(self, input: Arguments, change: Callable[[Repository, Pull], object]) -> Json:
        repository, pull = self._pull(input["pullRequestId"])
        change(repository, pull)
        return {"pullRequest": _pull(repository, pull)}

    # --- Objects by id

    def _at(self, node: str) -> Repository:
        name = re.sub("^[A-Z]+_|#.*", "", node)
        if not (found := self._opened.repository(name)):
            raise Rejected(404, f"Could not resolve to a node with the global id of '{node}'")
        return found

    def _pull(self, node: str) -> tuple[Repository, Pull]:
        repository = self._at(node)
        return repository, repository.pull(int(_name(node)))


def _name(node: str) -> str:
    return node.partition("#")[2]


def _searched(opened: Opened, query: str) -> tuple[Repository, list[Pull]]:
    """The result of the search that gh runs when it lists pull requests by more than a branch and a
    state."""
    wanted: dict[str, list[str]] = {}
    # gh puts a person's search terms in parentheses.
    for word in shlex.split(re.sub(r"(^|\s)[()](?=\s|$)", " ", query)):
        key, _, value = word.partition(":")
        wanted.setdefault(key, []).append(value)
    names = wanted.pop("repo", [])
    repository = opened.repository(names[0]) if len(names) == 1 else None
    if repository is None or "pr" not in wanted.pop("type", []) + wanted.get("is", []):
        raise Rejected(501, f"the fake GitHub cannot search for {query!r}")
    found = repository.state.pulls[::-1]
    for key, values in wanted.items():
        for value in values:
            fits = _filter(key, value, query)
            found = [pull for pull in found if fits(pull)]
    return repository, found


def _filter(key: str, value: str, query: str) -> Callable[[Pull], bool]:
    viewer = value.removeprefix("@")
    filters: dict[str, Callable[[Pull], bool]] = {
        "label": lambda pull: value.lower() in map(str.lower, pull.labels),
        "head": lambda pull: pull.head == value,
        "base": lambda pull: pull.base == value,
        "author": lambda pull: viewer in ("me", pull.author),
        "draft": lambda pull: pull.draft == (value == "true"),
    }
    states: dict[str, Callable[[Pull], bool]] = {
        "pr": lambda pull: True,
        "open": lambda pull: pull.state == "OPEN",
        "closed": lambda pull: pull.state != "OPEN",
        "merged": lambda pull: pull.state == "MERGED",
        "unmerged": lambda pull: pull.state != "MERGED",
    }
    fits = states.get(value) if key in ("is", "state") else filters.get(key)
    if fits is None:
        raise Rejected(501, f"the fake GitHub cannot search for {query!r}")
    return fits


# --- Objects of the schema, with its names. Values that need a git call are functions.


def _connection(
    nodes: Sequence[Json],
    first: int | None = None,
    after: str | None = None,
    last: int | None = None,
    **_: Any,
) -> Json:
    begin = int(after) if after else 0
    end = len(nodes) if first is None else begin + first
    if last is not None:
        begin = max(begin, len(nodes) - last)
    page = {"hasNextPage": end < len(nodes), "endCursor": str(min(end, len(nodes)))}
    return {"nodes": nodes[begin:end], "totalCount": len(nodes), "pageInfo": page}


def _all(nodes: Callable[[], Sequence[Json]]) -> Callable[..., Json]:
    return lambda info, **page: _connection(nodes(), **page)


_none = _all(list)


def _user(login: str) -> Json:
    return {"__typename": "User", "id": f"U_{login}", "login": login, "name": login}


def _repository(repository: Repository) -> Json:
    return _about(repository) | _held(repository)


def _about(repository: Repository) -> Json:
    """A repository's own data."""
    settings = repository.state.settings
    levels = ("admin", "maintain", "push", "triage", "pull")
    permission = next(level for level in levels if settings.permissions.get(level))
    return {
        "id": f"R_{repository.name}",
        "name": repository.name.partition("/")[2],
        "nameWithOwner": repository.name,
        "owner": {
            "__typename": "Organization",
            "id": f"O_{repository.owner}",
            "login": repository.owner,
        },
        "url": repository.url,
        "sshUrl": f"git@github.com:{repository.name}.git",
        "description": "",
        "isPrivate": settings.private,
        "hasIssuesEnabled": True,
        "hasWikiEnabled": False,
        "viewerPermission": {"push": "WRITE", "pull": "READ"}.get(permission, permission.upper()),
        "mergeCommitAllowed": settings.allow_merge_commit,
        "squashMergeAllowed": settings.allow_squash_merge,
        "rebaseMergeAllowed": settings.allow_rebase_merge,
        "deleteBranchOnMerge": settings.delete_branch_on_merge,
        "defaultBranchRef": lambda info: {
            "id": f"REF_{repository.default_branch}",
            "name": repository.default_branch,
        },
    }


def _held(repository: Repository) -> Json:
    """A repository's pull requests, labels, releases and refs."""

    def pulls(info: Any, **args: Any) -> Json:
        found = [pull for pull in repository.state.pulls if _listed(pull, args)]
        order = args.get("orderBy") or {}
        if order.get("field", "CREATED_AT") != "CREATED_AT":
            raise Rejected(501, f"the fake GitHub cannot order by {order['field']}")
        found = found[::-1] if order.get("direction") == "DESC" else found
        return _connection([_pull(repository, pull) for pull in found], **args)

    def labels(info: Any, query: str = "", **args: Any) -> Json:
        words = (query or "").lower()
        found = [
            label
            for label in repository.state.labels
            if words in label.name.lower() or words in label.description.lower()
        ]
        order = args.get("orderBy") or {}
        if order.get("field") == "NAME":
            found.sort(key=lambda label: label.name.lower())
        found = found[::-1] if order.get("direction") == "DESC" else found
        return _connection([_label(repository, label) for label in found], **args)

    def label(info: Any, name: str) -> Json | None:
        found = [each for each in repository.state.labels if each.name.lower() == name.lower()]
        return _label(repository, found[0]) if found else None

    def releases(info: Any, **args: Any) -> Json:
        found = repository.state.releases
        found = found if (args.get("orderBy") or {}).get("direction") == "ASC" else found[::-1]
        return _connection([_release(repository, release) for release in found], **args)

    def release(info: Any, tagName: str) -> Json | None:
        for found in repository.state.releases:
            if found.tag == tagName:
                return _release(repository, found)
        return None

    def ref(info: Any, qualifiedName: str) -> Json | None:
        name = qualifiedName
        name = name if name.startswith("refs/") else f"refs/heads/{name}"
        oid = repository.ref(name)
        return {"id": f"REF_{name}", "name": name.split("/", 2)[-1]} if oid else None

    def pull(info: Any, number: int) -> Json:
        return _pull(repository, repository.pull(number))

    return {
        "pullRequest": pull,
        "pullRequests": pulls,
        "label": label,
        "labels": labels,
        "releases": releases,
        "release": release,
        "ref": ref,
    }


def _listed(pull: Pull, args: Arguments) -> bool:
    for name, value in (
        ("states", pull.state),
        ("headRefName", pull.head),
        ("baseRefName", pull.base),
    ):
        wanted = args.get(name)
        if wanted is not None and value not in (wanted if isinstance(wanted, list) else [wanted]):
            return False
    labels = args.get("labels")
    return labels is None or not set(labels).isdisjoint(pull.labels)


def _label(repository: Repository, label: Label) -> Json:
    return {
        "id": f"LA_{repository.name}#{label.name}",
        "name": label.name,
        "color": label.color,
        "description": label.description or None,
        "createdAt": repository.at,
        "updatedAt": repository.at,
        "isDefault": False,
        "url": f"{repository.url}/labels/{label.name}",
    }


def _release(repository: Repository, release: Release) -> Json:
    return {
        "id": f"RE_{repository.name}#{release.id}",
        "databaseId": release.id,
        "name": release.name,
        "tagName": release.tag,
        "description": release.body,
        "isDraft": release.draft,
        "isPrerelease": release.prerelease,
        "isLatest": not release.draft and release.tag == repository.state.latest,
        "createdAt": release.created,
        "publishedAt": release.published,
        "url": release_url(repository, release),
    }


def _comment(repository: Repository, pull: Pull, comment: Comment) -> Json:
    return {
        "id": f"IC_{repository.name}#{comment.id}",
        "author": _user(comment.author),
        "authorAssociation": "MEMBER",
        "body": comment.body,
        "createdAt": comment.created,
        "includesCreatedEdit": False,
        "isMinimized": False,
        "minimizedReason": None,
        "reactionGroups": [],
        "url": f"{repository.url}/pull/{pull.number}#issuecomment-{comment.id}",
        "viewerDidAuthor": comment.author == repository.viewer,
    }


def _reviews(pull: Pull) -> Json:
    """What colleagues said about a pull request; the last word counts."""
    said = [
        {
            "id": f"PRR_{number}",
            "author": _user(review["user"]["login"]),
            "authorAssociation": "MEMBER",
            "body": "",
            "state": review["state"],
            "submittedAt": pull.updated,
            "reactionGroups": [],
            "commit": {"oid": review["commit_id"]},
        }
        for number, review in enumerate(pull.reviews)
    ]
    return {
        "reviewDecision": said[-1]["state"] if said else None,
        "reviews": _all(lambda: said),
        "latestReviews": _all(lambda: said[-1:]),
    }


def _commit(repository: Repository, commit: Commit) -> Json:
    author = {"name": commit.author, "email": commit.email, "user": None}
    body = commit.body.strip("\n")
    return {
        "id": f"C_{repository.name}#{commit.oid}",
        "oid": commit.oid,
        "messageHeadline": commit.title,
        "messageBody": body,
        "authoredDate": commit.authored,
        "committedDate": commit.committed,
        "authors": _all(lambda: [author]),
        "statusCheckRollup": None,
    }


_CHANGES = {"A": "ADDED", "D": "DELETED", "M": "MODIFIED", "T": "CHANGED"}


def _pull(repository: Repository, pull: Pull) -> Json:
    return _described(repository, pull) | _asked(repository, pull) | _reviews(pull) | _UNUSED


def _asked(repository: Repository, pull: Pull) -> Json:
    """A pull request's fields that need a git call."""

    def changed() -> list[Json]:
        return [
            {
                "path": file.path,
                "additions": file.additions,
                "deletions": file.deletions,
                "changeType": _CHANGES[file.status],
            }
            for file in repository.files(pull)
        ]

    def commits() -> list[Json]:
        return [{"commit": _commit(repository, each)} for each in repository.commits(pull)]

    def mergeable(info: Any) -> str:
        if pull.state != "OPEN":
            return "UNKNOWN"
        return "MERGEABLE" if repository.merged_tree(pull) else "CONFLICTING"

    def status(info: Any) -> str:
        if pull.draft and pull.state == "OPEN":
            return "DRAFT"
        return {"MERGEABLE": "CLEAN", "CONFLICTING": "DIRTY"}.get(mergeable(info), "UNKNOWN")

    def total(key: str) -> Callable[[Any], int]:
        return lambda info: sum(file[key] for file in changed())

    return {
        "mergeable": mergeable,
        "mergeStateStatus": status,
        "labels": _all(lambda: [_label(repository, repository.label(x)) for x in pull.labels]),
        "comments": _all(lambda: [_comment(repository, pull, each) for each in pull.comments]),
        "commits": _all(commits),
        "files": _all(changed),
        "additions": total("additions"),
        "deletions": total("deletions"),
        "changedFiles": lambda info: len(changed()),
    }


def _described(repository: Repository, pull: Pull) -> Json:
    """A pull request's stored fields."""
    here = _repository(repository)
    return {
        "__typename": "PullRequest",
        "id": f"PR_{repository.name}#{pull.number}",
        "number": pull.number,
        "title": pull.title,
        "body": pull.body,
        "state": pull.state,
        "closed": pull.state != "OPEN",
        "isDraft": pull.draft,
        "url": f"{repository.url}/pull/{pull.number}",
        "author": _user(pull.author),
        "headRefName": pull.head,
        "headRefOid": pull.head_oid,
        "headRepository": here,
        "headRepositoryOwner": here["owner"],
        "baseRefName": pull.base,
        "baseRefOid": pull.base_oid,
        "baseRef": {"name": pull.base, "branchProtectionRule": None},
        "isCrossRepository": pull.strange,
        "maintainerCanModify": False,
        "createdAt": pull.created,
        "updatedAt": pull.updated,
        "closedAt": pull.closed,
        "mergedAt": pull.merged,
        "mergedBy": _user(repository.viewer) if pull.merged else None,
        "mergeCommit": pull.merge_commit
        and {"id": f"C_{repository.name}#{pull.merge_commit}", "oid": pull.merge_commit},
    }


_UNUSED: Json = {
    "isMergeQueueEnabled": False,
    "isInMergeQueue": False,
    "autoMergeRequest": None,
    "milestone": None,
    "reactionGroups": [],
    "assignees": _none,
    "assignedActors": _none,
    "reviewRequests": _none,
    "projectCards": _none,
    "projectItems": _none,
}
"""Fields that gh requests for each pull request and that are always empty here."""
