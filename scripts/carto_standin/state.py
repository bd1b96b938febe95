"""The state of the fake GitHub, and its refusals."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import msgspec

Method = Literal["MERGE", "SQUASH", "REBASE"]


class Rejected(Exception):
    """GitHub refuses a request.

    status: the REST status. kind: the GraphQL error type.
    errors: the REST details.
    """

    def __init__(self, status: int, message: str, *errors: dict[str, str]) -> None:
        super().__init__(message)
        self.status, self.message, self.errors = status, message, errors
        self.kind = {404: "NOT_FOUND", 403: "FORBIDDEN"}.get(status, "UNPROCESSABLE")


class Label(msgspec.Struct):
    """A label; color without its hash."""

    name: str
    color: str = "ededed"
    description: str = ""


class Comment(msgspec.Struct):
    """A comment on a pull request."""

    id: int
    author: str
    body: str
    created: str


class Pull(msgspec.Struct, kw_only=True):
    """A pull request.

    head, base: branches. head_oid, base_oid: their last seen commits, which are fixed once it is
        closed or merged. strange: whether the head is a branch of another fork, which is not
        simulated. reviews: as REST answers them.
    """

    number: int
    title: str
    body: str
    head: str
    base: str
    head_oid: str
    base_oid: str
    author: str
    created: str
    updated: str
    draft: bool = False
    strange: bool = False
    state: Literal["OPEN", "CLOSED", "MERGED"] = "OPEN"
    closed: str | None = None
    merged: str | None = None
    merge_commit: str | None = None
    labels: list[str] = []
    comments: list[Comment] = []
    reviews: list[dict[str, Any]] = []


class Release(msgspec.Struct, kw_only=True):
    """A release; `published` is None as long as it is a draft."""

    id: int
    tag: str
    name: str
    body: str
    target: str
    author: str
    created: str
    draft: bool = False
    prerelease: bool = False
    published: str | None = None


class Run(msgspec.Struct, kw_only=True):
    """A run of a workflow, by the path of its file."""

    id: int
    number: int
    path: str
    name: str
    branch: str
    sha: str
    created: str
    updated: str
    actor: str
    event: str = "workflow_dispatch"
    status: str = "queued"
    conclusion: str | None = None
    inputs: dict[str, str] = {}


class Settings(msgspec.Struct):
    """The settings of a repository, in GitHub's names."""

    private: bool = False
    allow_merge_commit: bool = True
    allow_squash_merge: bool = True
    allow_rebase_merge: bool = True
    delete_branch_on_merge: bool = False
    permissions: dict[str, bool] = msgspec.field(
        default_factory=lambda: dict.fromkeys(("admin", "maintain", "push", "triage", "pull"), True)
    )


class RepositoryState(msgspec.Struct):
    """What GitHub knows about a repository and git does not.

    number: the last one given to a pull request. id: the last one given to anything else.
    latest: the tag of the release that is shown first.
    disabled: paths of disabled workflows. idle: those that GitHub itself disabled.
    protection: REST answers by branch. rulesets: as they were created.
    workflow_permissions: the default token of workflows, and what it may do.
    variables: by name. secrets: names. shared: names of the organization's secrets.
    """

    settings: Settings = msgspec.field(default_factory=Settings)
    number: int = 0
    id: int = 1000
    pulls: list[Pull] = []
    labels: list[Label] = []
    releases: list[Release] = []
    latest: str = ""
    runs: list[Run] = []
    disabled: list[str] = []
    idle: list[str] = []
    rulesets: list[dict[str, Any]] = []
    workflow_permissions: dict[str, Any] = msgspec.field(
        default_factory=lambda: {
            "default_workflow_permissions": "read",
            "can_approve_pull_request_reviews": False,
        }
    )
    shared: list[str] = []
    protection: dict[str, dict[str, Any]] = {}
    variables: dict[str, str] = {}
    secrets: list[str] = []


class Commit(NamedTuple):
    """A commit, with the fields in the order we ask git for them."""

    oid: str
    author: str
    email: str
    authored: str
    committed: str
    title: str
    body: str


class File(NamedTuple):
    """A changed file, with its numbers of lines and git's letter for the change."""

    path: str
    additions: int
    deletions: int
    status: str


class Workflow(NamedTuple):
    """A workflow of the default branch."""

    id: int
    path: str
    name: str
    state: str

    @property
    def active(self) -> bool:
        return self.state == "active"
