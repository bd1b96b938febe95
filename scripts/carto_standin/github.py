"""A fake GitHub next to bare repositories in one directory.

Everything git knows (branches, tags, commits, merges) is always read from the bare repositories.
Everything only GitHub knows is in ``github.json``, under a lock, so that one process after another
can serve the same GitHub.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal

import msgspec

from carto_fork.run.shell import Shell

from .repository import Repository
from .state import RepositoryState

ORIGIN, UPSTREAM = "CartoDB/litellm", "BerriAI/litellm"
REPOSITORIES: Mapping[str, str] = {ORIGIN: "origin.git", UPSTREAM: "upstream.git"}


class Fault(msgspec.Struct, kw_only=True):
    """A fault to inject into the next requests of one kind.

    match: a regular expression for a whole REST path (without its query string) or the whole name
        of a GraphQL operation.
    method: the method of REST; "" is any.
    what: the status code to answer with instead of doing anything, or "cut": carry out the request
        and hang up without a reply.
    message, headers: of the answer.
    times: how often; every request that is hit decreases it.
    """

    match: str
    what: int | Literal["cut"]
    method: str = ""
    message: str = "This failure was injected by a test."
    headers: dict[str, str] = {}
    times: int = 1

    def hits(self, method: str, name: str) -> bool:
        """Whether the fault applies now."""
        fits = self.method in ("", method) and re.fullmatch(self.match, name)
        return self.times > 0 and bool(fits)


class Request(msgspec.Struct, frozen=True):
    """A served request.

    name: the path of REST with its query string, or the name of a GraphQL operation.
    values: the body of REST, or the variables of GraphQL.
    query: the text of GraphQL.
    status: of the answer; 0 if the connection was cut.
    agent: the program's user agent.
    """

    method: str
    name: str
    values: Any
    query: str
    status: int
    agent: str


class State(msgspec.Struct):
    """The content of ``github.json``.

    viewer: the login of the only account.
    """

    repositories: dict[str, RepositoryState] = {}
    faults: list[Fault] = []
    viewer: str = "fork-maintainer"


def _now() -> datetime:
    return datetime.now(timezone.utc)


class GitHub:
    """The repositories of one directory, as GitHub shows them.

    place: the directory of the bare repositories, the state and the log of requests.
    repositories: the names of the fork and its upstream on GitHub, and their directories in
        `place`.
    now: the clock.
    """

    def __init__(
        self,
        sh: Shell,
        place: Path,
        repositories: Mapping[str, str] = REPOSITORIES,
        now: Callable[[], datetime] = _now,
    ) -> None:
        self._sh, self.place = sh, place
        self._directories, self._now = repositories, now

    @contextmanager
    def open(self) -> Iterator[Opened]:
        """GitHub at one moment, updated from git; changes are saved at the end."""
        with self._locked():
            file = self.place / "github.json"
            before = file.read_bytes() if file.exists() else b"{}"
            state = msgspec.json.decode(before, type=State)
            at = self._now().strftime("%Y-%m-%dT%H:%M:%SZ")
            opened = Opened(state, self._repositories(state, at))
            yield opened
            after = msgspec.json.format(msgspec.json.encode(state), indent=1)
            if after != before:
                draft = self.place / "github.json.new"
                draft.write_bytes(after)
                os.replace(draft, file)

    def _repositories(self, state: State, at: str) -> dict[str, Repository]:
        found = {}
        for name, directory in self._directories.items():
            known = state.repositories.setdefault(name, RepositoryState())
            repository = Repository(
                self._sh, name, self.place / directory, known, at=at, viewer=state.viewer
            )
            repository.settle()
            found[name] = repository
        return found

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with (self.place / "github.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    @property
    def faults(self) -> list[Fault]:
        """The faults that are still to come."""
        with self.open() as opened:
            return [fault for fault in opened.state.faults if fault.times > 0]

    @faults.setter
    def faults(self, faults: Sequence[Fault]) -> None:
        """Inject exactly these faults from now on, in every process."""
        with self.open() as opened:
            opened.state.faults = list(faults)

    @property
    def log(self) -> list[Request]:
        """The requests served so far, by any process."""
        file = self.place / "github.log"
        lines = file.read_bytes().splitlines() if file.exists() else []
        return [msgspec.json.decode(line, type=Request) for line in lines]

    def note(self, request: Request) -> None:
        """Add a request to the log."""
        with (self.place / "github.log").open("ab") as file:
            file.write(msgspec.json.encode(request) + b"\n")


class Opened:
    """GitHub at one moment.

    repositories: by full name, the fork first, then its parent.
    """

    def __init__(self, state: State, repositories: Mapping[str, Repository]) -> None:
        self.state, self._repositories = state, repositories
        self._origin, self._upstream = repositories  # in this order

    def repository(self, name: str) -> Repository | None:
        """The repository of a full name; case does not matter."""
        names = {known.lower(): known for known in self._repositories}
        return self._repositories.get(names.get(name.lower(), ""))

    def origin(self) -> Repository:
        """The fork."""
        return self._repositories[self._origin]

    def upstream(self) -> Repository:
        """The repository it was forked from."""
        return self._repositories[self._upstream]

    def parent(self, repository: Repository) -> Repository | None:
        """The repository that another was forked from."""
        return self.upstream() if repository.name == self._origin else None

    def fault(self, method: str, name: str) -> Fault | None:
        """The fault to inject into a request; it is counted."""
        for fault in self.state.faults:
            if fault.hits(method, name):
                fault.times -= 1
                return fault
        return None
