"""The pull request of a sync branch: open it, update it, and let it supersede older ones."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from ..ci import notify
from ..fork import tags
from ..fork.fork import Fork
from ..fork.session import Session
from ..fork.tags import Tag
from ..run import files, git, github
from ..run.errors import Refused
from ..run.github import Hub, Pull
from ..run.steps import Condition, Plan, Step
from ..run.text import counted, in_actions
from . import begun, description
from .work import Sync, Work

_COLOURS = {"clean": "0e8a16", "conflicts": "d93f0b", "proposed": "fbca04"}
_PLAIN_COLOUR = "c5def5"
_DESCRIBED = {"automated": "Made by carto-fork"}
_OWN_AUTHOR = re.compile(r"(app/)?github-actions(\[bot\])?")

LABELS = Condition("if the repository lacks one")


def _labels(count: int) -> Step:
    """The step that creates this number of labels; their placeholders are numbered."""
    lines = (
        f"{{gh}} label create -R {{slug}} --color {{colour{n}}}"
        f" --description {{description{n}}} --force -- {{label{n}}}"
        for n in range(1, count + 1)
    )
    why = "Create the labels for pull requests of syncs."
    stuck = "fix what GitHub reports, or correct `pull_requests` in the policy (`fork.config`); "
    stuck += "then run the same command again."
    return Step("labels", why, when=LABELS, run=tuple(lines), stuck=stuck)


OPEN_REQUEST = (
    _labels(1),
    Step(
        "open",
        "Open the pull request to the fork's production branch.",
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
        "Update the pull request.",
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
    """A sync's pull request after `open_request`.

    conflicts: how many are left in its branch. changed: whether the team has not yet had a message
    about this state. number, url: None and "" if nothing was opened.
    """

    tag: str
    branch: str
    conflicts: int
    changed: bool
    number: int | None
    url: str

    @property
    def result(self) -> str:
        return "conflicts" if self.conflicts else "clean"

    def as_json(self) -> dict[str, Any]:
        """Plain data for ``--json``."""
        return {"result": self.result, **asdict(self)}


def open_request(work: Work, *, numbered: bool = True) -> Opened:
    """Open or update the pull request of a published sync branch, and supersede older ones.

    numbered: whether its steps are numbered, if they are not within another step.
    """
    s, tag, branches = work.s, work.tag, work.fork.policy.branches
    run = partial(s.run, numbered=numbered)
    # Steps may have pushed or recorded something since the fork was opened.
    fork = replace(work.fork, refs=git.refs(s.sh, work.fork.path))
    name = branches.sync_for(tag.name)
    head = _published(s, fork, tag, name)
    hub = fork.hub(fork.policy.remotes.origin)
    github.require(s.sh, hub)
    sync = Sync(work, fork, head)
    pulls = github.pulls(s.sh, hub, base=branches.production)
    pull = existing = next((pull for pull in pulls if pull.head == name), None)
    _forget_refused(s, fork, hub, pulls, sync)
    # This does not touch the clone, so it needs no lock; the upgrade may hold it.
    values = _values(s, fork, sync, pull)
    lacking = _missing_labels(s, fork, hub)
    _, action = UPDATE_REQUEST if pull else OPEN_REQUEST
    words = _of_labels(lacking)
    conditions = frozenset([LABELS] if lacking else ())
    untouched = f"Your checkout, {branches.production} and {name} are unchanged."
    older, done = list(_older(s, fork, pulls, sync, existing)), 0
    count = len(older)
    # What a person has tested since is ticked in the text; another job has not tested it.
    known = bool(pull and in_actions() and _is_announced(pull, values))
    if pull is None and (closed := declined(s, fork, hub, name, head)):
        s.console.say(f"{closed.url} was closed; another one follows for the same merge.", "yellow")
    if pull is None or not (known or _is_current(pull, values)):
        plan, done = Plan(values | words, conditions, untouched), len(conditions) + 1
        run((_labels(len(lacking)), action), plan, after=count)
    if pull is None and not s.sh.dry:
        pulls = github.pulls(s.sh, hub, base=branches.production)
        pull = next((pull for pull in pulls if pull.head == name), None)
        # Somebody may have pushed to one meanwhile.
        older = [found for found in older if found[1] in pulls]
        values = _values(s, fork, sync, pull)
        if pull and _starts_no_ci(pull):
            # Only now its author is known; the text warns about that.
            run(UPDATE_REQUEST, Plan(values, frozenset(), untouched), before=done, after=count)
            done += 1
    _say_newer(s, fork, pulls, tag)
    if pull is not None:
        if not (known or s.sh.dry):
            notify.summarize(description.whole(sync, fork, _starts_no_ci(pull)))
        for number, (release, one) in enumerate(older):
            comment = _superseded(pull, tag, one, sync)
            closing = Plan(values | {"number": str(one.number), "comment": comment}, frozenset())
            run(SUPERSEDE, closing, before=done + number, after=count - number - 1)
            said = f"Pull request {one.number} ({release}) was closed: #{pull.number} replaces it."
            work.replaced.append(said)
        work.request = pull.number
        s.console.result(f"Pull request {pull.number}: {pull.url}", "green")
    return Opened(
        tag=tag.name,
        branch=name,
        conflicts=len(sync.unresolved),
        changed=existing is None or not _is_announced(existing, values),
        number=pull.number if pull else None,
        url=pull.url if pull else "",
    )


def _say_newer(s: Session, fork: Fork, pulls: Sequence[Pull], tag: Tag) -> None:
    """Print which pull requests for newer releases are open."""
    for one in pulls:
        newer = tags.classify(fork.policy.branches.tag_of(one.head) or "", fork.policy.tags)
        if newer and newer > tag:
            what = f"Pull request {one.number} for the newer release {newer.name} is open, too."
            s.console.say(what, "yellow")


def _superseded(pull: Pull, tag: Tag, older: Pull, sync: Sync) -> str:
    """The comment with which a pull request for an older release is closed."""
    comment = f"{_SUPERSEDED.format(pull.number)}{tag.name}. The branch is kept"
    if any(piece.branch == older.head for piece in sync.people):
        comment += "; the newer one contains everything that people made here"
    return f"{comment}."


def _forget_refused(s: Session, fork: Fork, hub: Hub, pulls: Sequence[Pull], sync: Sync) -> None:
    """Leave out people's work for a pull request that somebody has closed since."""
    missing = {piece.branch for piece in sync.people if not piece.carried}
    if missing := missing - {pull.head for pull in pulls}:
        base = fork.policy.branches.production
        closed = {pull.head for pull in github.pulls(s.sh, hub, base=base, state="closed")}
        sync.people = [p for p in sync.people if p.carried or p.branch not in missing & closed]


def _published(s: Session, fork: Fork, tag: Tag, name: str) -> str:
    """The commit of a sync branch on origin. Raises Refused if origin or this clone lacks it."""
    origin, ref = fork.policy.remotes.origin.name, f"refs/heads/{name}"
    heads = git.remote_refs(s.sh, fork.path, origin, [ref])
    head = heads.objects.get(ref, "") if heads else ""
    if not head:
        again = s.command("upgrade-carto", tag=tag.name)
        raise Refused(f"{origin} has no {name}.", then=again)
    if not git.has_object(s.sh, fork.path, head):
        fetch = f"{git.at(fork.path)} fetch {origin} {name}"
        raise Refused(f"this clone lacks {origin}'s {name}.", then=fetch)
    return head


def tell_team(work: Work) -> None:
    """Post a message about a pull request to the team."""
    hub, name = work.fork.hub(work.fork.policy.remotes.origin), work.tag.name
    url = f"{hub.url}/pulls?q=is:open+head:{work.fork.policy.branches.sync_for(name)}"
    notify.notify(work.s, "success", tag=name, url=url)


_SUPERSEDED = "Superseded by #{}, for the newer release "


def declined(s: Session, fork: Fork, hub: Hub, head: str, pushed: str) -> Pull | None:
    """The pull request of this very commit that a person closed without merging it; one that this
    program closed for a newer release's counts as none."""
    if not pushed:
        return None
    production = fork.policy.branches.production
    pulls = github.pulls(s.sh, hub, base=production, state="all", head=head)
    if any(pull.state == "OPEN" for pull in pulls):
        return None
    closed = (pull for pull in pulls if pull.state == "CLOSED" and pull.commit == pushed)
    last = next(closed, None)
    said = github.last_comment(s.sh, hub, last.number, last.author) if last else ""
    ours = re.match(re.escape(_SUPERSEDED).replace(r"\{\}", r"\d+"), said)
    return None if ours else last


def text_path(fork: Fork, tag: str) -> Path:
    """The file for the text of a sync's pull request."""
    return fork.notes(tag) / "pull-request.md"


def write_text(work: Work) -> None:
    """Write the text of the pull request, for a person who opens it by hand."""
    fork = replace(work.fork, refs=git.refs(work.s.sh, work.fork.path))
    name = f"refs/heads/{fork.policy.branches.sync_for(work.tag.name)}"
    if head := fork.refs.commits.get(name):
        sync = Sync(work, fork, head)
        files.keep(text_path(fork, sync.tag.name), description.body(sync, fork))


def _is_announced(existing: Pull, values: dict[str, str]) -> bool:
    """Whether a pull request had these labels and this commit's text before, so that the team has
    had a message about it."""
    return all(_have(existing, values["labels"])) and values["head"][:10] in existing.body


def _is_current(pull: Pull, values: dict[str, str]) -> bool:
    """Whether an update would change nothing but what reviewers have ticked since."""
    has_labels = all(_have(pull, values["labels"])) and not any(_have(pull, values["other"]))
    same = bool(values["mark"]) and values["mark"] in pull.body
    return has_labels and same and begun.ticked(values["text"]) <= begun.ticked(pull.body)


def _have(pull: Pull, labels: str) -> list[bool]:
    """Which labels of a list for gh a pull request has."""
    has = {label.lower() for label in pull.labels}
    return [name.lower() in has for name in next(csv.reader([labels]))]


def _starts_no_ci(pull: Pull) -> bool:
    """Whether GitHub starts no workflow for a pull request, because its own token opened it."""
    return in_actions() and bool(_OWN_AUTHOR.fullmatch(pull.author))


def _values(s: Session, fork: Fork, sync: Sync, pull: Pull | None) -> dict[str, str]:
    """Write the text of a pull request, and return the placeholders of its steps."""
    settings, unchecked = fork.policy.pull_requests, bool(pull and _starts_no_ci(pull))
    text = mark = ""
    # What somebody has ticked of this commit, perhaps tested in another clone, stays ticked.
    sync.ticked = begun.ticked(pull.body) if pull and sync.head[:10] in pull.body else set()
    if not s.sh.dry:
        text = description.body(sync, fork, unchecked)
        mark = text.splitlines()[-1]
        files.keep(text_path(fork, sync.tag.name), text)
    state, other = settings.clean, settings.conflicts
    if sync.unresolved:
        state, other = other, state
    labels, others = [*settings.labels, state], [other]
    if fork.policy.proposers:
        waiting = any(not one.accepted for one in sync.proposals)
        (labels if waiting else others).append(settings.proposed)
    return fork.values() | {
        "sync": sync.branch,
        "head": sync.head,
        "mark": mark,
        "text": text,
        "title": f"chore: merge upstream {sync.tag.name} into {fork.policy.branches.production}",
        "body": str(git.nearest(text_path(fork, sync.tag.name))),
        "labels": _csv(labels),
        "other": _csv(others),
        "number": str(pull.number if pull else ""),
    }


def _csv(labels: Sequence[str]) -> str:
    """A list of labels as one argument of gh."""
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(labels)
    return text.getvalue()


def _missing_labels(s: Session, fork: Fork, hub: Hub) -> list[tuple[str, str, str]]:
    """The labels that the repository lacks, with colour and description."""
    settings = fork.policy.pull_requests
    wanted = [
        *(
            (name, _PLAIN_COLOUR, _DESCRIBED.get(name, "Upgrade to an upstream release"))
            for name in settings.labels
        ),
        (settings.clean, _COLOURS["clean"], "No conflicts are left"),
        (settings.conflicts, _COLOURS["conflicts"], "A person has to resolve conflicts"),
    ]
    if fork.policy.proposers:
        words = "A person has to accept a program's proposals"
        wanted.append((settings.proposed, _COLOURS["proposed"], words))
    existing = {label.lower() for label in github.labels(s.sh, hub)}
    return [label for label in wanted if label[0].lower() not in existing]


def _of_labels(missing: Sequence[tuple[str, str, str]]) -> dict[str, str]:
    """The values of the placeholders of `_labels`."""
    return {
        f"{name}{number}": value
        for number, label in enumerate(missing, 1)
        for name, value in zip(("label", "colour", "description"), label, strict=True)
    }


def _older(
    s: Session, fork: Fork, pulls: Sequence[Pull], sync: Sync, existing: Pull | None
) -> Iterator[tuple[str, Pull]]:
    """The open pull requests that a sync's replaces, each with its release.

    existing: its own, if it is open: what was opened after it, a person asked for.
    One stays open while it has people's work that the newest one lacks. Who does not want that work
    closes it by hand.
    """
    for pull in pulls:
        name = fork.policy.branches.tag_of(pull.head)
        older = name and tags.classify(name, fork.policy.tags)
        asked = existing is not None and pull.number > existing.number
        if older and older < sync.tag and not asked:
            fetched = fork.refs.commits.get(fork.tracking(fork.policy.remotes.origin, pull.head))
            left = [p for p in sync.people if p.branch == pull.head and not p.carried]
            if left or fetched != pull.commit or pull.head in sync.unread:
                why = "its branch has moved"
                if left:
                    why = f"the new one lacks {counted(len(left), 'change')} that people made there"
                elif pull.head in sync.unread:
                    why = f"its branch has no merge of {older.name}, so nobody knows what people "
                    why += "made there"
                s.console.say(f"Pull request {pull.number} stays open: {why}.")
                continue
            yield older.name, pull
