"""The pull request of a sync branch: opened, brought up to date, and taken for an older one's."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..ci import notify
from ..ci.notify import run_url, summarize
from ..fork import tags
from ..fork.fork import Fork
from ..fork.policy import PullRequests
from ..fork.session import Session
from ..fork.tags import Tag
from ..run import git, github
from ..run.errors import Refused
from ..run.github import Hub, Pull
from ..run.steps import Condition, Plan, Step
from ..run.text import in_actions
from . import pull_request
from .pull_request import Context
from .work import Sync, Work, read_sync

_COLOURS = {"clean": "0e8a16", "conflicts": "d93f0b"}
_PLAIN_COLOUR = "c5def5"
_OWN_AUTHOR = re.compile(r"(app/)?github-actions(\[bot\])?")

LABELS = Condition("if the repository lacks one")


def _labels(count: int) -> Step:
    """The step that makes so many labels; their placeholders are numbered."""
    lines = (
        f"{{gh}} label create -R {{slug}} --color {{colour{n}}}"
        f" --description {{description{n}}} --force -- {{label{n}}}"
        for n in range(1, count + 1)
    )
    why = "Make the labels that pull requests of syncs carry."
    stuck = "see what GitHub says of it, or correct `pull_requests` in the policy (`config`); "
    stuck += "then run the same command again."
    return Step("labels", why, when=LABELS, run=tuple(lines), stuck=stuck)


OPEN_REQUEST = (
    _labels(1),
    Step(
        "open",
        "Open the pull request against the fork's production branch.",
        run=(
            "{gh} pr create -R {slug} --base {production} --head {sync} --title {title}"
            " --body-file {body} --label {labels}",
        ),
    ),
)

UPDATE_REQUEST = (
    _labels(1),
    Step(
        "update",
        "Bring the pull request up to date.",
        run=(
            "{gh} pr edit {number} -R {slug} --title {title} --body-file {body}"
            " --add-label {labels} --remove-label {other}",
        ),
    ),
)

SUPERSEDE = (
    Step(
        "supersede",
        "Close the pull request of an older release; its branch stays.",
        run=("{gh} pr close {number} -R {slug} --comment {comment}",),
    ),
)


@dataclass(frozen=True)
class Opened:
    """What came of a pull request.

    unresolved: how many conflicts are left in its branch. changed: whether its team has not been
    told of it in this state. number, url: None and "" if nothing was opened.
    """

    tag: str
    branch: str
    unresolved: int
    changed: bool
    number: int | None
    url: str

    @property
    def result(self) -> str:
        return "conflicts" if self.unresolved else "clean"

    def as_json(self) -> dict[str, Any]:
        """Plain data for ``--json``."""
        return {
            "result": self.result,
            "conflicts": self.unresolved,
            "changed": self.changed,
            "number": self.number,
            "url": self.url,
            "tag": self.tag,
            "branch": self.branch,
        }


def open_request(work: Work) -> Opened:
    """Open or update the pull request of a sync branch that is published; supersede those of older
    releases."""
    s, tag, branches = work.s, work.tag, work.fork.policy.branches
    # What a step has pushed or recorded since the fork was opened counts, too.
    fork = replace(work.fork, refs=git.refs(s.sh, work.fork.path))
    name = branches.sync_for(tag.name)
    head = _published(s, fork, tag, name)
    hub = fork.hub(fork.policy.remotes.origin)
    github.require(s.sh, hub)
    found = read_sync(work, fork, head)
    pulls = github.pulls(s.sh, hub, base=branches.production)
    mine = known = next((pull for pull in pulls if pull.head == name), None)
    # Nothing of this touches the clone, so that its lock is not needed; the upgrade may hold it.
    values = _values(s, fork, found, mine)
    lacking = _missing_labels(s, fork, hub)
    _, action = UPDATE_REQUEST if mine else OPEN_REQUEST
    words = _of_labels(lacking)
    conditions = frozenset([LABELS] if lacking else ())
    untouched = f"Your checkout and {branches.production} are as they were; so is {name}."
    s.run((_labels(len(lacking)), action), Plan(values | words, conditions, untouched), None)
    if mine is None and not s.sh.dry:
        pulls = github.pulls(s.sh, hub, base=branches.production)
        mine = next((pull for pull in pulls if pull.head == name), None)
        values = _values(s, fork, found, mine)
        if mine and _starts_no_ci(mine):
            # Its author is only known now, and the text warns of that.
            s.run(UPDATE_REQUEST, Plan(values, frozenset(), untouched), None)
    if mine is not None:
        _supersede(s, fork, pulls, mine, tag, values)
        s.console.row(f"Pull request {mine.number}: ", mine.url, "green")
    return Opened(
        tag=tag.name,
        branch=name,
        unresolved=len(found.unresolved),
        changed=known is None or not _is_told(known, values),
        number=mine.number if mine else None,
        url=mine.url if mine else "",
    )


def _published(s: Session, fork: Fork, tag: Tag, name: str) -> str:
    """The commit of a sync branch on origin. Raises Refused if it is not there, or not here."""
    origin, ref = fork.policy.remotes.origin.name, f"refs/heads/{name}"
    there = git.remote_refs(s.sh, fork.path, origin, [ref])
    head = there.objects.get(ref, "") if there else ""
    if not head:
        again = s.command("upgrade-carto", tag=tag.name)
        raise Refused(f"{origin} has no {name}.", then=again)
    if not git.has_object(s.sh, fork.path, head):
        raise Refused(f"{name} is not here.", then=f"{git.at(fork.path)} fetch {origin} {name}")
    return head


def page(fork: Fork, tag: str) -> str:
    """The page that lists the open pull request of a sync branch."""
    hub = fork.hub(fork.policy.remotes.origin)
    return f"{hub.url}/pulls?q=is:open+head:{fork.policy.branches.sync_for(tag)}"


def tell_team(work: Work) -> None:
    """Tell the team of a pull request."""
    url = page(work.fork, work.tag.name)
    notify.notify(work.s, "success", tag=work.tag.name, url=url)


def text_path(fork: Fork, tag: str) -> Path:
    """Where the text of a sync's pull request is written."""
    return fork.repository.common / "carto-fork" / tag / "pull-request.md"


def write_text(work: Work) -> None:
    """Write the text of the pull request for whoever opens it by hand."""
    fork = replace(work.fork, refs=git.refs(work.s.sh, work.fork.path))
    name = f"refs/heads/{fork.policy.branches.sync_for(work.tag.name)}"
    if head := fork.refs.commits.get(name):
        found = read_sync(work, fork, head)
        _write(fork, found, pull_request.body(found, _context(fork, None)))


def _write(fork: Fork, found: Sync, text: str) -> None:
    path = text_path(fork, found.tag.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _is_told(known: Pull, values: dict[str, str]) -> bool:
    """Whether a pull request was there before, with the labels that it has now and at the commit
    for which its text was written."""
    [labels] = csv.reader([values["labels"]])
    has = {label.lower() for label in known.labels}
    return {label.lower() for label in labels} <= has and values["head"][:10] in known.body


def _starts_no_ci(pull: Pull) -> bool:
    """Whether GitHub starts no workflow for a pull request, since its own token opened it."""
    return in_actions() and bool(_OWN_AUTHOR.fullmatch(pull.author))


def _context(fork: Fork, mine: Pull | None) -> Context:
    policy = fork.policy
    upstream = github.slug_of(policy.remotes.upstream.url)
    return Context(
        upstream=f"https://github.com/{upstream}" if upstream else policy.remotes.upstream.url,
        production=policy.branches.production,
        remotes=(policy.remotes.origin.name, policy.remotes.upstream.name),
        install=policy.commands.install,
        test=policy.commands.test,
        lint=policy.commands.lint,
        report=run_url(),
        starts_no_ci=bool(mine and _starts_no_ci(mine)),
    )


def _values(s: Session, fork: Fork, found: Sync, mine: Pull | None) -> dict[str, str]:
    """What the placeholders of the steps for a pull request stand for; writes its text."""
    settings, production = fork.policy.pull_requests, fork.policy.branches.production
    context = _context(fork, mine)
    if not s.sh.dry:
        _write(fork, found, pull_request.body(found, context))
        if mine:
            summarize(pull_request.full(found, context))
    state, other = settings.clean, settings.conflicts
    if found.unresolved:
        state, other = other, state
    return fork.values() | {
        "sync": found.branch,
        "head": found.head,
        "title": pull_request.title(found, production),
        "body": str(text_path(fork, found.tag.name)),
        "labels": _csv([*settings.labels, state]),
        "other": _csv([other]),
        "number": str(mine.number if mine else ""),
    }


def _csv(labels: Sequence[str]) -> str:
    """A list of labels as gh takes it in one word."""
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(labels)
    return text.getvalue()


def _missing_labels(s: Session, fork: Fork, hub: Hub) -> list[tuple[str, str, str]]:
    """The labels that the repository lacks, with colour and description."""
    settings: PullRequests = fork.policy.pull_requests
    wanted = [
        *((name, _PLAIN_COLOUR, "Upgrade to an upstream release") for name in settings.labels),
        (settings.clean, _COLOURS["clean"], "Merged without anything left for a person"),
        (settings.conflicts, _COLOURS["conflicts"], "Conflicts are left for a person"),
    ]
    known = {label.lower() for label in github.labels(s.sh, hub)}
    return [label for label in wanted if label[0].lower() not in known]


def _of_labels(missing: Sequence[tuple[str, str, str]]) -> dict[str, str]:
    """What the placeholders of `_labels` stand for."""
    return {
        f"{name}{number}": value
        for number, label in enumerate(missing, 1)
        for name, value in zip(("label", "colour", "description"), label, strict=True)
    }


def _supersede(
    s: Session,
    fork: Fork,
    pulls: Sequence[Pull],
    mine: Pull,
    tag: Tag,
    values: dict[str, str],
) -> None:
    """Close the open pull requests of older releases."""
    for pull in pulls:
        name = fork.policy.branches.tag_of(pull.head)
        older = name and tags.classify(name, fork.policy.tags)
        if older and older < tag:
            comment = f"Superseded by #{mine.number}, for the newer release {tag.name}. "
            comment += "The branch is kept, with everything that was pushed to it."
            told = values | {"number": str(pull.number), "comment": comment}
            s.run(SUPERSEDE, Plan(told, frozenset()), None)
