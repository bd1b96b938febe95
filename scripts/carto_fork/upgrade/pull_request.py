"""The pull request of a sync branch: open it, update it, and let it supersede older ones."""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from shlex import quote
from typing import Any

from ..audit.ledger import Entry
from ..ci import notify
from ..fork import tags
from ..fork.fork import Fork
from ..fork.policy import Take
from ..fork.session import Session
from ..fork.tags import Tag
from ..merge.decisions import Decision
from ..run import git, github
from ..run.errors import Refused
from ..run.github import Hub, Pull
from ..run.steps import Condition, Plan, Step
from ..run.text import block, cell, code, counted, in_actions, plain, table
from .work import AT_RISK, SIDES, Sync, Work

MOST_CHARACTERS = 65_536
"""GitHub's limit for the body of a pull request."""

_ROWS = (1000, 300, 100, 30, 10, 3)
"""Limits for the rows of a table, tried in this order until the body is short enough."""

_COLOURS = {"clean": "0e8a16", "conflicts": "d93f0b", "proposed": "fbca04"}
_PLAIN_COLOUR = "c5def5"
_DESCRIBED = {"automated": "Opened by a workflow"}
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


def open_request(work: Work) -> Opened:
    """Open or update the pull request of a published sync branch, and supersede older ones."""
    s, tag, branches = work.s, work.tag, work.fork.policy.branches
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
    older, done = list(_older(s, fork, pulls, sync)), 0
    count = len(older)
    if pull is None or not _is_current(pull, values):
        plan, done = Plan(values | words, conditions, untouched), len(conditions) + 1
        s.run((_labels(len(lacking)), action), plan, after=count)
    if pull is None and not s.sh.dry:
        pulls = github.pulls(s.sh, hub, base=branches.production)
        pull = next((pull for pull in pulls if pull.head == name), None)
        # Somebody may have pushed to one meanwhile.
        older = [found for found in older if found[1] in pulls]
        values = _values(s, fork, sync, pull)
        if pull and _starts_no_ci(pull):
            # Only now its author is known; the text warns about that.
            s.run(UPDATE_REQUEST, Plan(values, frozenset(), untouched), before=done, after=count)
            done += 1
    if pull is not None:
        for number, (release, one) in enumerate(older):
            comment = f"Superseded by #{pull.number}, for the newer release {tag.name}. The branch "
            comment += "is kept; the newer one contains everything that people made here."
            closing = Plan(values | {"number": str(one.number), "comment": comment}, frozenset())
            s.run(SUPERSEDE, closing, before=done + number, after=count - number - 1)
            said = f"Pull request {one.number} ({release}) was closed: #{pull.number} replaces it."
            work.replaced.append(said)
        s.console.result(f"Pull request {pull.number}: {pull.url}", "green")
    return Opened(
        tag=tag.name,
        branch=name,
        conflicts=len(sync.unresolved),
        changed=existing is None or not _is_announced(existing, values),
        number=pull.number if pull else None,
        url=pull.url if pull else "",
    )


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


def text_path(fork: Fork, tag: str) -> Path:
    """The file for the text of a sync's pull request."""
    return fork.repository.common / "carto-fork" / tag / "pull-request.md"


def write_text(work: Work) -> None:
    """Write the text of the pull request, for a person who opens it by hand."""
    fork = replace(work.fork, refs=git.refs(work.s.sh, work.fork.path))
    name = f"refs/heads/{fork.policy.branches.sync_for(work.tag.name)}"
    if head := fork.refs.commits.get(name):
        sync = Sync(work, fork, head)
        _write(fork, sync, body(sync, fork))


def _write(fork: Fork, sync: Sync, text: str) -> None:
    path = text_path(fork, sync.tag.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _is_announced(existing: Pull, values: dict[str, str]) -> bool:
    """Whether a pull request had these labels and this commit's text before, so that the team has
    had a message about it."""
    return all(_have(existing, values["labels"])) and values["head"][:10] in existing.body


def _is_current(pull: Pull, values: dict[str, str]) -> bool:
    """Whether an update would change nothing but what reviewers have ticked since."""
    has_labels = all(_have(pull, values["labels"])) and not any(_have(pull, values["other"]))
    return has_labels and bool(values["mark"]) and values["mark"] in pull.body


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
    mark = ""
    if not s.sh.dry:
        text = body(sync, fork, unchecked)
        mark = text.splitlines()[-1]
        _write(fork, sync, text)
        if pull:
            notify.summarize(str(_Text(sync, fork, unchecked)))
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
        "title": f"chore: merge upstream {sync.tag.name} into {fork.policy.branches.production}",
        "body": str(text_path(fork, sync.tag.name)),
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


def _older(s: Session, fork: Fork, pulls: Sequence[Pull], sync: Sync) -> Iterator[tuple[str, Pull]]:
    """The open pull requests that a sync's replaces, each with its release.

    One stays open while it has people's work that the newest one lacks. Who does not want that work
    closes it by hand.
    """
    for pull in pulls:
        name = fork.policy.branches.tag_of(pull.head)
        older = name and tags.classify(name, fork.policy.tags)
        if older and older < sync.tag:
            fetched = fork.refs.commits.get(fork.tracking(fork.policy.remotes.origin, pull.head))
            left = [p for p in sync.people if p.branch == pull.head and not p.carried]
            if left or fetched != pull.commit:
                why = f"the new one lacks {counted(len(left), 'change')} that people made there"
                s.console.say(
                    f"Pull request {pull.number} stays open: "
                    f"{why if left else 'its branch has moved'}."
                )
                continue
            yield older.name, pull


# --- The text ------------------------------------------------------------------------------------


def body(sync: Sync, fork: Fork, starts_no_ci: bool = False) -> str:
    """The text of the pull request, within GitHub's limit; the full one is in the run's summary.

    Its last line has the digest of what it says, whichever run says it.
    """
    for rows in _ROWS:
        text = str(_Text(sync, fork, starts_no_ci, rows))
        facts = text.replace(notify.run_url() or "\0", "").encode("utf-8", "surrogateescape")
        text += f"\n<!-- carto-fork: {hashlib.sha256(facts).hexdigest()[:16]} -->\n"
        if len(text) <= MOST_CHARACTERS:
            return text
    raise AssertionError(f"{_ROWS[-1]} rows a table are too many for GitHub")


class _Text:
    """The text of a pull request.

    starts_no_ci: whether GitHub starts no workflow for it. rows: the limit for a table.
    """

    def __init__(
        self, sync: Sync, fork: Fork, starts_no_ci: bool = False, rows: int = 1_000_000
    ) -> None:
        self.sync, self.policy = sync, fork.policy
        self.starts_no_ci, self.rows = starts_no_ci, rows

    def __str__(self) -> str:
        parts = [
            ("", self._head()),
            ("Proposed by programs", self._proposed()),
            ("Merge status", self._status()),
            ("Conflicts", self._conflicts()),
            ("What happened to every change", self._account()),
            ("What to look at", self._to_look_at()),
            ("What upstream changed", self._upstream()),
            ("Work on older sync branches", self._people()),
            ("Testing checklist", self._checklist()),
            ("How to resolve it", self._resolving()),
            ("How to review it", self._reviewing()),
        ]
        text = ""
        for title, lines in parts:
            if inside := "\n".join(lines):
                text += f"\n## {title}\n\n{inside}\n" if title else f"{inside}\n"
        return text

    def _head(self) -> Iterator[str]:
        sync, remote = self.sync, self.policy.remotes.upstream
        slug = github.slug_of(remote.url)
        page = f"https://github.com/{slug}" if slug else remote.url
        tag, previous = sync.tag.name, sync.previous
        production = code(self.policy.branches.production)
        yield f"Merges the stable upstream release {code(tag)} into {production}."
        yield (
            "\n> [!IMPORTANT]\n> Merge this with a **merge commit**. Do not squash or rebase it: "
            "git would not know that the release is merged, and the next upgrade would report "
            "hundreds of spurious conflicts.\n"
        )
        links = [f"[release]({page}/releases/tag/{tag})"]
        if previous:
            links.insert(0, f"[changes]({page}/compare/{previous.name}...{tag})")
        since = f", from {code(previous.name)}" if previous else ""
        yield from table(
            ["", ""],
            [
                ["version", f"{code(sync.before or 'none')} to {code(sync.tag.release)}"],
                ["upstream", f"{code(tag)}{since}: {', '.join(links)}"],
                ["tag", code(sync.theirs)],
                ["branch", f"{code(sync.branch)} at {code(sync.head[:10])}"],
            ],
        )

    def _status(self) -> Iterator[str]:
        total, left = len(self.sync.decisions), len(self.sync.unresolved)
        if left:
            yield (
                f"**Conflicts**: {left} of {total} files need a person; the branch contains their "
                "markers."
            )
        elif total:
            files = counted(total, "file")
            yield f"**Conflicts, all decided**: {files}, each with its reason below."
        else:
            yield "**Clean merge**: no conflicts."

    def _proposed(self) -> Iterator[str]:
        """The programs' proposals, with the differences from both sides."""
        proposals = self.sync.proposals
        if not proposals:
            return
        yield (
            "A program wrote hunks of these files. Read each of them. None lands before a person "
            "has accepted it, by approving this very commit as a reviewer or code owner, or with\n"
        )
        again = f"carto-fork resolve-conflicts --pr {self.sync.branch}"
        waiting = [one for one in proposals if not one.accepted]
        yield from block(
            [f"{again} --accept-proposal {quote(one.path)}" for one in waiting or proposals]
        )
        yield ""
        rows = [[cell(x.path), plain(x.by), plain(x.accepted) or "**nobody**"] for x in proposals]
        yield from self._table(["file", "by", "accepted by"], rows, "proposals")
        for one in proposals:
            for whose, lines in self.sync.against_sides(one.path):
                yield f"\n<details><summary>{cell(one.path)} against {whose} side</summary>\n"
                yield from block(lines[: self.rows], "diff")
                yield "\n</details>"

    def _conflicts(self) -> Iterator[str]:
        left = self.sync.unresolved
        open_first = sorted(self.sync.decisions, key=lambda d: d.conflict.path not in left)
        yield from self._table(
            ["file", "kind", "taken", "why"], [*map(self._decision, open_first)], "conflicts"
        )

    def _decision(self, decision: Decision) -> list[str]:
        path, kind = decision.conflict.path, decision.conflict.kind.value
        why = plain(decision.why)
        if decision.rule:
            why = f"{plain(decision.rule)}: {why}"
        proposed = {one.path: one for one in self.sync.proposals}
        if path in self.sync.unresolved:
            taken = "**left for you to decide**"
        elif path in proposed:
            taken = f"proposed by {plain(proposed[path].by)}"
        elif decision.left:
            made = self.sync.resolutions[path]
            taken = f"{SIDES[made.take]}, by a person" if made.take else "resolved by a person"
            if made.word:
                side = SIDES[Take(made.word.side)]
                why = f"dropped {side} change: {plain(made.word.reason)}"
        else:
            taken = SIDES[decision.take] if decision.take else "as merged"
        return [cell(path), kind, taken, why]

    def _table(self, head: list[str], rows: Sequence[list[str]], what: str) -> Iterator[str]:
        """A table with at most as many rows as allowed, and how many more there are.

        what: the plural noun for its rows.
        """
        if rows:
            yield from table(head, rows[: self.rows])
        if (more := len(rows) - self.rows) > 0:
            page = notify.run_url()
            yield f"\n… and {more} more {what}{f': [the full report]({page})' if page else '.'}"

    def _account(self) -> Iterator[str]:
        account = self.sync.checked.account
        if account is None:
            return
        yield (
            f"Checked {counted(account.fork_paths, 'fork file')} and "
            f"{counted(account.upstream_paths, 'upstream file')}: "
            f"**{counted(len(account.lost), 'change')} lost**, {len(account.to_look_at)} to look "
            f"at, {len(account.explained)} moved, absorbed or dropped on purpose."
        )
        listed = [["lost", *_entry(entry)] for entry in account.lost]
        listed += [["look at", *_entry(entry)] for entry in account.to_look_at]
        if listed:
            yield ""
        yield from self._table(["", "file", "whose", "lines", "by"], listed, "changes")

    def _to_look_at(self) -> Iterator[str]:
        sync = self.sync
        doubtful = (finding for finding in sync.checked.findings if not finding.certain)
        rows = [
            ["**wrong**" if f.certain else "look at", plain(f.check), cell(f.what)]
            for f in (*sync.checked.wrong, *doubtful)
        ]
        rows += [
            ["new" if letter == "A" else "changed", kind, cell(path)]
            for kind, pattern in AT_RISK.items()
            for letter, path in sync.changes
            if pattern.fullmatch(path)
        ]
        yield from self._table(["", "what", "where"], rows, "findings")

    def _upstream(self) -> Iterator[str]:
        commits, areas = self.sync.commits, self.sync.areas
        by_type = ", ".join(f"{number} {name}" for name, number in commits.most_common())
        files = counted(sum(area.files for area in areas), "file")
        yield f"{counted(commits.total(), 'commit')} ({by_type or 'none'}), {files}.\n"
        rows = [
            [cell(area.name), str(area.files), f"+{area.added} −{area.removed}"]  # noqa: RUF001
            for area in areas
        ]
        yield from self._table(["area", "files", "lines"], rows, "areas")

    def _people(self) -> Iterator[str]:
        people = self.sync.people
        if not people:
            return
        rows = [[cell(p.branch), plain(p.what), "yes" if p.carried else "**no**"] for p in people]
        yield from self._table(["branch", "what", "in this one"], rows, "changes")
        if missing := [piece for piece in people if not piece.carried]:
            yield ""
            yield (
                "An older pull request stays open until its work is here, or until somebody closes "
                "it to discard what is missing. To bring a commit here, type on this branch:"
            )
            yield ""
            yield from block(
                [f"git cherry-pick {p.commit}" for p in missing if p.commit]
                or ["# resolve the file as it was resolved there"]
            )

    def _checklist(self) -> Iterator[str]:
        sync, commands = self.sync, self.policy.commands
        items = [("every conflict is resolved", not sync.unresolved)]
        sound = "no change is lost, no markers are left, files parse, imports resolve"
        items.append((sound, sync.checked.passed))
        # The record of the installation goes with the work tree; the later ones stay.
        if commands.install:
            installed = not {"install", "test", "lint"}.isdisjoint(sync.passed)
            items.append(("the merged tree installs", installed))
        items += [(code(line), "test" in sync.passed) for line in commands.test]
        items += [(code(line), "lint" in sync.passed) for line in commands.lint]
        items += [
            ("somebody read upstream's release notes for breaking changes and migrations", False),
            ("the container image builds and starts", False),
            ("the fork's own features work in a test deployment", False),
        ]
        yield from (f"- [{'x' if done else ' '}] {what}" for what, done in items)
        if self.starts_no_ci:
            yield (
                "\n> [!WARNING]\n> GitHub starts no workflow for a pull request that its own token "
                "opened. Close and reopen this one to start the checks, or give the workflow a "
                "token of its own."
            )

    def _resolving(self) -> Iterator[str]:
        again = f"carto-fork resolve-conflicts --pr {self.sync.branch}"
        if self.sync.unresolved:
            yield "In a clone of the fork; the first command prints where the work tree is:\n"
            yield from block(
                [
                    again,
                    "# edit each file that is left and git add it, or choose a side and say why:",
                    f"{again} --keep-fork FILE --reason WHY",
                    f"{again} --accept-upstream FILE --reason WHY",
                    "# then run it again: once nothing is left, it checks the result and pushes it",
                    again,
                ],
                "bash",
            )

    def _reviewing(self) -> Iterator[str]:
        tag, branch, ours = self.sync.tag.name, self.sync.branch, self.sync.ours[:10]
        origin, upstream = self.policy.remotes.origin.name, self.policy.remotes.upstream.name
        verify = "carto-fork verify"
        if page := notify.run_url():
            yield f"Review it with `report.html` from [this run]({page}).\n"
        yield from block(
            [
                f"git fetch {origin} {branch}",
                f"git fetch {upstream} refs/tags/{tag}:refs/tags/{tag}",
                f"{verify} --ours {ours} --theirs {tag} --result {origin}/{branch}",
                f"git log --oneline --first-parent {ours}..{origin}/{branch}",
                f"gh pr merge {branch} --merge",
                f"{verify} --landed {tag}   # afterwards: reports whether it was squashed",
            ],
            "bash",
        )


def _entry(entry: Entry) -> list[str]:
    account = entry.account
    lines = [f"{len(account.missing)} missing"] * bool(account.missing)
    lines += [f"{len(account.back)} back"] * bool(account.back)
    by = ", ".join(f"{code(c.name[:10])} {plain(c.subject[:80])}" for c in entry.commits[:1])
    where = f"{entry.path}:{account.change.line}" if account.change.line else entry.path
    return [cell(where), entry.side.value, ", ".join(lines) or entry.what, by]
