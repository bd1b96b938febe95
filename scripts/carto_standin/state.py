"""What the stand-in for GitHub keeps, and how it says no."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import msgspec

Method = Literal["MERGE", "SQUASH", "REBASE"]


class Rejected(Exception):
    """GitHub says no.

    status: of REST; kind: the type of the error of GraphQL.
    errors: the details of REST.
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

    head, base: branches. head_oid, base_oid: where they were when last seen; they stay there once
        it is closed or merged. strange: the head is a branch of somebody's own copy of the
        repository, which is not played.
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
    """What GitHub knows of a repository and git does not.

    number: the last one given to a pull request. id: the last one given to anything else.
    latest: the tag of the release that is shown first.
    disabled: paths of workflows; idle: those of them that GitHub itself switched off.
    protection: by branch, what REST answers with. rulesets: as they were made.
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
    shared: list[str] = []
    protection: dict[str, dict[str, Any]] = {}
    variables: dict[str, str] = {}
    secrets: list[str] = []


class Commit(NamedTuple):
    """A commit, in the order of the fields that git is asked for."""

    oid: str
    author: str
    email: str
    authored: str
    committed: str
    title: str
    body: str


class File(NamedTuple):
    """A file that differs, with its numbers of lines and git's letter for how it changed."""

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
