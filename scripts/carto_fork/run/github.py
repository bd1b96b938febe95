"""Questions to GitHub, asked through gh. Nothing here changes anything there."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Any

from packaging.version import Version

from .errors import Failed, Refused, cure_of_text
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
    slug: owner and name, as gh's option -R takes them; without it gh would pick one of the remotes.
    """

    gh: str
    slug: str

    @property
    def url(self) -> str:
        """The repository's page."""
        return f"https://github.com/{self.slug}"


def view(hub: Hub, number: int | str) -> str:
    """The command line that shows a pull request."""
    return f"{quote(hub.gh)} pr view {number} -R {hub.slug}"


def merge(hub: Hub, number: int | str) -> str:
    """The command line that merges a pull request with a merge commit."""
    return f"{quote(hub.gh)} pr merge {number} -R {hub.slug} --merge"


def close(hub: Hub, number: int | str) -> str:
    """The command line that closes a pull request without merging it."""
    return f"{quote(hub.gh)} pr close {number} -R {hub.slug}"


def reopen(hub: Hub, number: int | str) -> str:
    """The command line that opens a closed pull request again."""
    return f"{quote(hub.gh)} pr reopen {number} -R {hub.slug}"


def slug_of(url: str) -> str | None:
    """The repository that a remote's URL names; None if it is not on github.com."""
    slug = _SLUG.fullmatch(url.strip())
    return slug["slug"] if slug else None


def checked(answer: Answer, question: str) -> Answer:
    """The answer, if gh could give one. Raises Failed, with a cure, otherwise."""
    if answer.ok:
        return answer
    said = answer.err.strip() or answer.out.strip() or "it said nothing"
    if answer.code == 127:
        said = "exec: gh: not found"
    cure = cure_of_text(said)
    meaning = cure.meaning if cure else answer.ending
    then = cure.then if cure else "fix what it complains about"
    problem = f"gh could not read the {question}: {meaning} ({said.splitlines()[0]})."
    raise Failed(problem, then=f"{then}, then run the same command again.")


MISSING = "gh, GitHub's command line program, is not installed."


def what_is_wrong(sh: Shell, gh: str) -> str:
    """Why gh cannot be used: `MISSING`, or that it is too old; "" if it can be used."""
    answer = sh.ask("{gh} --version", gh=gh)
    version = re.search(r"\d+(\.\d+)+", answer.out)
    if not answer.ok or not version:
        return MISSING
    old = Version(version[0]) < OLDEST
    return f"gh {version[0]} is too old: {OLDEST} or newer is needed." if old else ""


def require(sh: Shell, hub: Hub) -> None:
    """Raises Refused if gh is missing or too old, Failed if it cannot see the repository."""
    if problem := what_is_wrong(sh, hub.gh):
        install = "install it (https://cli.github.com), then run the same command again."
        raise Refused(problem, then=install if problem == MISSING else "install a newer gh.")
    checked(sh.ask("{gh} api repos/{slug} --jq .full_name", gh=hub.gh, slug=hub.slug), "repository")


def can_be_asked(gh: str, url: str) -> bool:
    """Whether gh exists and a remote's URL is on GitHub."""
    return slug_of(url) is not None and shutil.which(gh) is not None


@dataclass(frozen=True)
class Pull:
    """A pull request.

    head: the branch to be merged. commit: that branch's commit on GitHub.
    state: OPEN, CLOSED or MERGED. author: who opened it. body: its text.
    approved: whether its reviews are enough for GitHub.
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
    approved: bool = False


_PULL_FIELDS = (
    "number,url,title,state,headRefName,headRefOid,baseRefName,labels,author,body,"
    "isCrossRepository,reviewDecision"
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

    state: open, closed, merged or all. head: only those from this branch. Pull requests from
        somebody's GitHub fork are left out: their branch may have the same name by chance.
    timeout: seconds to wait for the answer.
    """
    words = [hub.gh, "pr", "list", "-R", hub.slug, "--base", base, "--state", state]
    words += ["--limit", "200", "--json", _PULL_FIELDS, *(["--head", head] if head else [])]
    listed = _json(sh.read(words, timeout=timeout), "pull requests")
    return [_pull(data) for data in listed if not data["isCrossRepository"]]


def pull(sh: Shell, hub: Hub, name: str) -> Pull:
    """One pull request. Raises Failed if it does not exist, Refused if its branch is not in the
    repository.

    name: its number, URL or branch, as gh takes it.
    """
    words = [hub.gh, "pr", "view", "-R", hub.slug, "--json", _PULL_FIELDS, "--", name]
    data = _json(sh.read(words), f"pull request {name}")
    number = data["number"]
    if not data["url"].lower().startswith(f"{hub.url.lower()}/"):
        problem = f"{data['url']} is a pull request in another repository, not in {hub.slug}."
        raise Refused(problem, then="name one of this fork's by its number.")
    if data["isCrossRepository"]:
        raise Refused(
            f"pull request {number} is from another repository, not from a branch of {hub.slug}.",
            then=f"look at it: {hub.gh} pr view {number} -R {hub.slug}",
        )
    return _pull(data)


def _pull(data: dict[str, Any]) -> Pull:
    return Pull(
        number=data["number"],
        url=data["url"],
        title=data["title"],
        state=data["state"],
        head=data["headRefName"],
        commit=data["headRefOid"],
        base=data["baseRefName"],
        labels=tuple(label["name"] for label in data["labels"]),
        author=(data.get("author") or {}).get("login", ""),
        body=data["body"],
        approved=data.get("reviewDecision") == "APPROVED",
    )


def last_comment(sh: Shell, hub: Hub, number: int, who: str) -> str:
    """The newest comment that somebody wrote in a pull request; "" without one."""
    words = [hub.gh, "pr", "view", "-R", hub.slug, "--json", "comments", str(number)]
    comments = _json(sh.read(words), f"pull request {number}")["comments"]
    texts = [x["body"] for x in comments if (x.get("author") or {}).get("login") == who]
    return texts[-1] if texts else ""


def reviews(sh: Shell, hub: Hub, number: str, commit: str) -> Iterator[tuple[str, str]]:
    """Who reviewed a pull request's commit and with what result, such as APPROVED, newest last.

    Raises Failed if GitHub cannot be asked.
    """
    words = [hub.gh, "api", "--paginate", f"repos/{hub.slug}/pulls/{number}/reviews?per_page=100"]
    words += ["--jq", ".[] | [.user.login, .state, .commit_id] | @tsv"]
    for line in checked(sh.read(words), "reviews").out.splitlines():
        who, state, about = line.split("\t")
        if about == commit and state in ("APPROVED", "CHANGES_REQUESTED", "DISMISSED"):
            yield who, state


def may_push(sh: Shell, hub: Hub, who: str) -> bool:
    """Whether GitHub says that somebody may push to the repository. Raises Failed if it cannot be
    asked."""
    words = [hub.gh, "api", f"repos/{hub.slug}/collaborators/{who}/permission"]
    answer = sh.read([*words, "--jq", ".permission"])
    if "HTTP 404" in answer.err:  # nobody of that name
        return False
    return checked(answer, f"permission of {who}").line in ("admin", "write")


def unfinished_run(sh: Shell, hub: Hub, workflow: str, commit: str, timeout: int) -> int | None:
    """The newest run of a workflow for a commit that has not ended, by its id; None without one, or
    if GitHub does not say.

    timeout: seconds to wait for the answer.
    """
    words = [hub.gh, "run", "list", "-R", hub.slug, "--workflow", workflow, "--limit", "20"]
    answer = sh.read([*words, "--json", "databaseId,headSha,status"], timeout=timeout)
    runs = json.loads(answer.out or "[]") if answer.ok else []
    begun = (run for run in runs if run["headSha"] == commit and run["status"] != "completed")
    return next((run["databaseId"] for run in begun), None)


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
    """The release of a tag; None if it does not exist. Raises Failed if GitHub cannot be asked."""
    words = [hub.gh, "release", "view", "-R", hub.slug, "--json", _RELEASE_FIELDS, "--", tag]
    answer = sh.read(words)
    if not answer.ok and "release not found" in answer.err:
        return None
    data = _json(answer, f"release {tag}")
    return Published(
        tag=data["tagName"],
        url=data["url"],
        draft=data["isDraft"],
        prerelease=data["isPrerelease"],
        published=data["publishedAt"] or "",
        notes=data["body"],
    )


def _json(answer: Answer, question: str) -> Any:
    # Some commands print nothing at all for an empty list.
    return json.loads(checked(answer, question).out or "[]")


def same_repository(one: str, other: str) -> bool:
    """Whether two URLs name the same repository, whatever the protocol, user or suffix."""
    return _plain_url(one) == _plain_url(other)


def https_url(url: str) -> str:
    """Where anybody can read the repository of a remote without a key; "" for a path."""
    if is_local(url):
        return ""
    plain = re.sub(r"^([a-z+]+://)?([^@/]*@)?", "", url.strip(), flags=re.IGNORECASE)
    if not url.lower().startswith("http"):
        plain = re.sub(r":(\d+/)?/?", "/", plain, count=1)
    return f"https://{plain.rstrip('/').removesuffix('.git')}"


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
