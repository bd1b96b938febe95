"""What GitHub knows, asked through gh. Nothing here changes it."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.version import Version

from . import cures
from .errors import Failed, Refused
from .shell import Answer, Shell

OLDEST = Version("2.23")

_SLUG = re.compile(
    r"(?:https?://|ssh://)?(?:[^@/]+@)?github\.com(?::\d+/|[:/])/?"
    r"(?P<slug>[\w.-]+/[\w.-]+?)(?:\.git)?/?",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Hub:
    """A repository on GitHub.

    gh: the program to ask.
    slug: owner and name, as gh's option -R takes them; gh would choose among several remotes.
    """

    gh: str
    slug: str

    @property
    def url(self) -> str:
        """The repository's page."""
        return f"https://github.com/{self.slug}"


def slug_of(url: str) -> str | None:
    """The repository that a remote's URL names; None if that is not on github.com."""
    found = _SLUG.fullmatch(url.strip())
    return found["slug"] if found else None


def checked(answer: Answer, question: str) -> Answer:
    """The answer, if gh could give one. Raises Failed, with what helps, otherwise."""
    if answer.ok:
        return answer
    said = answer.err.strip() or answer.out.strip() or "it said nothing"
    if answer.code == 127:
        said = "exec: gh: not found"
    found = cures.of_text(said)
    meaning = found.meaning if found else answer.ending
    then = found.then if found else "mend what it complains of"
    problem = f"gh could not tell the {question}: {meaning} ({said.splitlines()[0]})."
    raise Failed(problem, then=f"{then}, then run the same command again.")


MISSING = "gh, GitHub's command line program, is not installed."


def what_is_wrong(sh: Shell, gh: str) -> str:
    """Why a gh cannot be used, `MISSING` or that it is too old; "" if it can."""
    answer = sh.ask("{gh} --version", gh=gh)
    found = re.search(r"\d+(\.\d+)+", answer.out)
    if not answer.ok or not found:
        return MISSING
    old = Version(found[0]) < OLDEST
    return f"gh {found[0]} is too old: {OLDEST} or newer is needed." if old else ""


def require(sh: Shell, hub: Hub) -> None:
    """Raises Refused where gh is missing or too old, Failed if it cannot see the repository."""
    if problem := what_is_wrong(sh, hub.gh):
        install = "install it (https://cli.github.com), then run the same command again."
        raise Refused(problem, then=install if problem == MISSING else "install a newer gh.")
    checked(sh.ask("{gh} api repos/{slug} --jq .full_name", gh=hub.gh, slug=hub.slug), "repository")


def can_be_asked(gh: str, url: str) -> bool:
    """Whether there is a gh, and a remote's URL is one of GitHub's."""
    return slug_of(url) is not None and shutil.which(gh) is not None


@dataclass(frozen=True)
class Pull:
    """A pull request.

    head: the branch that it asks to merge. commit: that branch's commit, as GitHub has it.
    state: OPEN, CLOSED or MERGED. author: who opened it. body: its text.
    """

    number: int
    url: str
    title: str
    state: str
    head: str
    commit: str
    base: str
    labels: tuple[str, ...]
    author: str
    body: str


_PULL_FIELDS = (
    "number,url,title,state,headRefName,headRefOid,baseRefName,labels,author,body,isCrossRepository"
)


def pulls(
    sh: Shell,
    hub: Hub,
    *,
    base: str,
    state: str = "open",
    head: str = "",
    timeout: int | None = None,
) -> list[Pull]:
    """The pull requests into a branch from branches of the same repository, the newest first.

    state: open, closed, merged or all. head: only those from this branch. One from somebody's own
    copy of the repository may have a branch of the same name, and has nothing to do with ours.
    timeout: seconds to wait for the answer.
    """
    words = [hub.gh, "pr", "list", "-R", hub.slug, "--base", base, "--state", state]
    words += ["--limit", "200", "--json", _PULL_FIELDS, *(["--head", head] if head else [])]
    listed = _json(sh.read(words, timeout=timeout), "pull requests")
    return [_pull(found) for found in listed if not found["isCrossRepository"]]


def pull(sh: Shell, hub: Hub, name: str) -> Pull:
    """One pull request. Raises Failed where there is no such, Refused if its branch is not in
    the repository.

    name: its number, its address or its branch, as gh takes it.
    """
    words = [hub.gh, "pr", "view", "-R", hub.slug, "--json", _PULL_FIELDS, "--", name]
    found = _json(sh.read(words), f"pull request {name}")
    number = found["number"]
    if not found["url"].lower().startswith(f"{hub.url.lower()}/"):
        problem = f"{found['url']} is a pull request of another repository than {hub.slug}."
        raise Refused(problem, then="name one of this fork's by its number.")
    if found["isCrossRepository"]:
        raise Refused(
            f"pull request {number} is from another repository, not from a branch of {hub.slug}.",
            then=f"look at it: {hub.gh} pr view {number} -R {hub.slug}",
        )
    return _pull(found)


def _pull(found: dict[str, Any]) -> Pull:
    return Pull(
        number=found["number"],
        url=found["url"],
        title=found["title"],
        state=found["state"],
        head=found["headRefName"],
        commit=found["headRefOid"],
        base=found["baseRefName"],
        labels=tuple(label["name"] for label in found["labels"]),
        author=(found.get("author") or {}).get("login", ""),
        body=found["body"],
    )


def reviews(sh: Shell, hub: Hub, number: str, commit: str) -> Iterator[tuple[str, str]]:
    """Who has said what of a pull request's commit, such as APPROVED, the newest last; nothing if
    GitHub cannot be asked."""
    words = [hub.gh, "api", "--paginate", f"repos/{hub.slug}/pulls/{number}/reviews?per_page=100"]
    words += ["--jq", ".[] | [.user.login, .state, .commit_id] | @tsv"]
    answer = sh.read(words)
    for line in answer.out.splitlines() if answer.ok else ():
        who, state, about = line.split("\t")
        if about == commit and state in ("APPROVED", "CHANGES_REQUESTED", "DISMISSED"):
            yield who, state


def may_push(sh: Shell, hub: Hub, who: str) -> bool:
    """Whether GitHub says that somebody may push to the repository."""
    words = [hub.gh, "api", f"repos/{hub.slug}/collaborators/{who}/permission"]
    answer = sh.read([*words, "--jq", ".permission"])
    return answer.ok and answer.line in ("admin", "write")


def labels(sh: Shell, hub: Hub) -> set[str]:
    """The names of the repository's labels."""
    words = [hub.gh, "label", "list", "-R", hub.slug, "--limit", "500", "--json", "name"]
    return {label["name"] for label in _json(sh.read(words), "labels")}


@dataclass(frozen=True)
class Published:
    """A release on GitHub; `notes` is what somebody wrote there, `published` a time, ISO 8601."""

    tag: str
    url: str
    draft: bool
    prerelease: bool
    published: str
    notes: str


_RELEASE_FIELDS = "tagName,url,isDraft,isPrerelease,publishedAt,body"


def release(sh: Shell, hub: Hub, tag: str) -> Published | None:
    """The release of a tag; None if there is none. Raises Failed if GitHub cannot be asked."""
    words = [hub.gh, "release", "view", "-R", hub.slug, "--json", _RELEASE_FIELDS, "--", tag]
    answer = sh.read(words)
    if not answer.ok and "release not found" in answer.err:
        return None
    found = _json(answer, f"release {tag}")
    return Published(
        tag=found["tagName"],
        url=found["url"],
        draft=found["isDraft"],
        prerelease=found["isPrerelease"],
        published=found["publishedAt"] or "",
        notes=found["body"],
    )


def _json(answer: Answer, question: str) -> Any:
    # Where a list is empty, some commands print nothing at all.
    return json.loads(checked(answer, question).out or "[]")


def same_repository(one: str, other: str) -> bool:
    """Whether two URLs name the same repository, whatever the protocol, user or suffix."""
    return _plain_url(one) == _plain_url(other)


def is_local(url: str) -> bool:
    """Whether a URL is a path on this machine."""
    return ("://" not in url and not re.match(r"[^/]+@?[^/]*:", url)) or url.startswith("file://")


def _plain_url(url: str) -> str:
    if is_local(url):
        return str(Path(url.removeprefix("file://")).resolve()).removesuffix(".git")
    url = re.sub(r"^[a-z+]+://", "", url.strip(), flags=re.IGNORECASE)
    url = re.sub(r"^[^@/]*@", "", url)
    host, _, path = re.sub(r":(\d+/)?", "/", url, count=1).partition("/")
    return f"{host}/{path.strip('/').removesuffix('.git')}".lower()
