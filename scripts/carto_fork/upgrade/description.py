"""The text of a sync's pull request: what was merged, every decision, and what is left to do."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from shlex import quote

from ..audit.ledger import Entry
from ..audit.review import in_short
from ..ci import notify
from ..fork.fork import Fork
from ..fork.policy import Take
from ..merge.decisions import Decision
from ..merge.resolution import SIDES, taken
from ..run import github
from ..run.text import advice, block, cell, code, counted, joined, plain, table
from . import begun
from .work import Sync

MOST_CHARACTERS = 65_536
"""GitHub's limit for the body of a pull request."""

_ROWS = (1000, 300, 100, 30, 10, 3)
"""Limits for the rows of a table, tried in this order until the body is short enough."""

_MOST_BREAKING, _LONGEST = 8, 120
"""Subjects of breaking commits that are listed, and their characters."""


def body(sync: Sync, fork: Fork, starts_no_ci: bool = False) -> str:
    """The text of the pull request, within GitHub's limit; the full one is in the run's summary.

    Its last line has the digest of what it says, whichever run says it and whatever is ticked.
    """
    for rows in _ROWS:
        text = str(_Text(sync, fork, starts_no_ci, rows))
        plain_text = text.replace(notify.run_url() or "\0", "").replace(begun.TICKED, "- [ ] ")
        facts = plain_text.encode("utf-8", "surrogateescape")
        text += f"\n<!-- carto-fork: {hashlib.sha256(facts).hexdigest()[:16]} -->\n"
        if len(text) <= MOST_CHARACTERS:
            return text
    raise AssertionError(f"{_ROWS[-1]} rows a table are too many for GitHub")


def whole(sync: Sync, fork: Fork, starts_no_ci: bool) -> str:
    """The same without a limit."""
    return str(_Text(sync, fork, starts_no_ci, 1_000_000))


class _Text:
    """The text of a pull request.

    starts_no_ci: whether GitHub starts no workflow for it. rows: the limit for a table.
    """

    def __init__(self, sync: Sync, fork: Fork, starts_no_ci: bool, rows: int) -> None:
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
            (begun.CHECKLIST, self._checklist()),
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
        links = [f"[release]({page}/releases/tag/{tag})"] if slug else [plain(page)]
        if previous and slug:
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
        lines = self.sync.gave_way
        gave_way = f" {counted(lines, 'fork line')} gave way to upstream's." if lines else ""
        if left:
            yield (
                f"**Conflicts**: {left} of {total} files need a person; the branch contains their "
                f"markers.{gave_way}"
            )
        elif total:
            files = counted(total, "file")
            yield f"**Conflicts, all decided**: {files}, each with its reason below.{gave_way}"
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
        why = re.sub(r"(?<!\\)\|", r"\\|", advice(decision.why))  # a bar would end the cell
        if decision.rule and not decision.left:  # otherwise it did not apply
            why = f"{plain(decision.rule)}: {why}"
        proposed = {one.path: one for one in self.sync.proposals}
        if path in self.sync.unresolved:
            said = "**left for you to decide**"
        elif path in proposed:
            said = f"proposed by {plain(proposed[path].by)}"
        elif decision.left:
            made = self.sync.resolutions[path]
            said = f"{SIDES[made.take]}, by a person" if made.take else "resolved by a person"
            if made.word:
                side = SIDES[Take(made.word.side)]
                why = f"Dropped {side} change: {plain(made.word.reason)}"
        else:
            said = taken(decision) or "as merged"
        return [cell(path), kind, said, why]

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
        undecided = [entry for entry in account.lost if entry.path in self.sync.unresolved]
        rest = {
            "to look at": account.to_look_at,
            "moved, absorbed or dropped on purpose": account.explained,
        }
        more = "".join(f", {len(entries)} {what}" for what, entries in rest.items() if entries)
        left = f" ({len(undecided)} in files that are left for you to decide)" * bool(undecided)
        yield f"{account.checked}: **{counted(len(account.lost), 'change')} lost**{left}{more}."
        lost = sorted(account.lost, key=lambda entry: entry in undecided)
        listed = [["lost" if e not in undecided else "to decide", *_entry(e)] for e in lost]
        listed += [["look at", *_entry(entry)] for entry in account.to_look_at]
        if listed:
            yield ""
        yield from self._table(["", "file", "whose", "lines", "fork commit"], listed, "changes")

    def _to_look_at(self) -> Iterator[str]:
        sync = self.sync
        doubtful = (finding for finding in sync.checked.findings if not finding.certain)
        found = [*sync.checked.wrong, *doubtful]
        rows = [
            ["**wrong**" if f.certain else "look at", plain(f.check), plain(f.what)] for f in found
        ]
        rows += [[risk.state, risk.kind, cell(risk.path)] for risk in sync.risks]
        yield from self._table(["", "what", "about"], rows, "findings")

    def _upstream(self) -> Iterator[str]:
        commits, areas = self.sync.commits, self.sync.areas
        by_type = ", ".join(f"{number} {name}" for name, number in commits.most_common())
        files = counted(sum(area.files for area in areas), "file")
        number = counted(commits.total(), "commit")
        yield f"{number} without merges ({by_type or 'none'}), {files}.\n"
        if breaking := self.sync.breaking:
            yield "By their subjects, these break something:\n"
            yield from (f"- {plain(subject[:_LONGEST])}" for subject in breaking[:_MOST_BREAKING])
            if (more := len(breaking) - _MOST_BREAKING) > 0:
                yield f"- and {more} more"
            yield ""
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
            origin = self.policy.remotes.origin.name
            resolved = [p for p in missing if not p.commit]
            yield from block(
                [
                    *(f"git cherry-pick {p.commit}" for p in missing if p.commit),
                    *["# resolve a file as it was resolved there, which this shows"]
                    * bool(resolved),
                    *(joined(["git", "show", f"{origin}/{p.branch}:{p.path}"]) for p in resolved),
                ]
            )

    def _checklist(self) -> Iterator[str]:
        sync, commands = self.sync, self.policy.commands
        items = [("every conflict is resolved", not sync.unresolved)]
        # Of other languages, only the fork's own build knows.
        sound = "no change is lost, no markers are left; Python, TOML, JSON and YAML files parse, "
        sound += "imports in Python resolve"
        items.append((sound, sync.checked.passed))
        by_people = []  # or by a clone that has tested it
        if commands.install:
            by_people.append(("the merged tree installs", "install" in sync.passed))
        by_people += [(code(line), "test" in sync.passed) for line in commands.test]
        by_people += [(code(line), "lint" in sync.passed) for line in commands.lint]
        by_people += [
            ("somebody read upstream's release notes for breaking changes and migrations", False),
            *[("the container image builds and starts", False)] * bool(self.policy.images),
            ("the fork's own features work in a test deployment", False),
        ]
        items += [(what, done or what in sync.ticked) for what, done in by_people]
        if (page := notify.run_url()) and not sync.unresolved:
            yield f"The job Test of [this run]({page}) installs and tests the merge.\n"
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
                    "# this then tests the merged tree: the workflow tests none with conflicts",
                    f"carto-fork upgrade-carto --tag {self.sync.tag.name}",
                ],
                "bash",
            )

    def _reviewing(self) -> Iterator[str]:
        tag, branch, ours = self.sync.tag.name, self.sync.branch, self.sync.checked.ours[:10]
        origin, upstream = self.policy.remotes.origin.name, self.policy.remotes.upstream.name
        verify = "carto-fork verify"
        if page := notify.run_url():
            yield f"Review it with `report.html` from [this run]({page}).\n"
        guide = self.policy.files.guide
        if guide and "## What to type" in self.sync.text(guide):
            yield f"{code(guide)} says under *What to type* how to run `carto-fork`.\n"
        else:
            yield (
                "`carto-fork` is however you start it: in its checkout, that is `invoke`, with "
                "`--repo` and the clone's directory.\n"
            )
        yield from block(
            [
                f"git fetch {origin} {branch}",
                f"git fetch {upstream} refs/tags/{tag}:refs/tags/{tag}",
                f"{verify} --ours {ours} --theirs {tag} --result {origin}/{branch}",
                f"git log --oneline --first-parent {ours}..{origin}/{branch}",
            ],
            "bash",
        )
        # Apart from the review, which people paste as a whole.
        landing = [self._landing()] * (not self.sync.unresolved)
        when = "Once it is approved, this lands it, and" if landing else "Once it has landed, this"
        yield f"\n{when} reports whether it was squashed:\n"
        yield from block([*landing, f"{verify} --landed {tag}"], "bash")

    def _landing(self) -> str:
        """The command that lands it."""
        if slug := github.slug_of(self.policy.remotes.origin.url):
            return f"gh pr merge {self.sync.branch} -R {slug} --merge"
        return f"carto-fork upgrade-carto --tag {self.sync.tag.name} --direct"


def _entry(entry: Entry) -> list[str]:
    account = entry.account
    lines = in_short([entry])
    if account.words:
        lines.insert(1, f"without {', '.join(map(code, account.words[:3]))}")
    by = ", ".join(f"{code(c.name[:10])} {plain(c.subject[:80])}" for c in entry.commits[:1])
    where = f"{entry.path}:{account.line}" if account.line else entry.path
    return [cell(where), entry.side.value, ", ".join(lines) or entry.what, by]
