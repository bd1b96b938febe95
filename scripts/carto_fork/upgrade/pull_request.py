"""The text of a sync's pull request. Pure: everything in it was found out before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..audit.ledger import Entry
from ..fork.policy import Take
from ..merge.decisions import Decision
from ..run.text import block, cell, code, counted, plain, table
from .work import Sync

MOST_CHARACTERS = 65_536
"""GitHub takes no more in the text of a pull request."""

_ROWS = (1000, 300, 100, 30, 10, 3)
"""How many rows a table may have, tried in this order until the text is short enough."""

_SIDES = {
    Take.FORK: "the fork's",
    Take.UPSTREAM: "upstream's",
    Take.BOTH: "both",
    Take.VERSION: "the tag's version",
}
_LETTERS = {"A": "new", "M": "changed", "T": "changed"}


@dataclass(frozen=True)
class Context:
    """What the text names besides the sync.

    upstream: the page of its repository. production: the branch that the pull request goes into.
    remotes: what clones call the fork and upstream.
    install, test, lint: the policy's command lines.
    report: the page with the text in full, "" if there is none.
    starts_no_ci: whether a pull request of this author's starts no workflow.
    """

    upstream: str
    production: str
    remotes: tuple[str, str] = ("origin", "upstream")
    install: Sequence[str] = ()
    test: Sequence[str] = ()
    lint: Sequence[str] = ()
    report: str = ""
    starts_no_ci: bool = False


def title(sync: Sync, production: str) -> str:
    """The title of the pull request: a conventional commit's subject."""
    return f"chore: merge upstream {sync.tag.name} into {production}"


def body(sync: Sync, context: Context) -> str:
    """The text, at most as long as GitHub takes; what is cut is in the full one."""
    for rows in _ROWS:
        text = full(sync, context, rows)
        if len(text) <= MOST_CHARACTERS:
            return text
    raise AssertionError(f"{_ROWS[-1]} rows a table are too many for GitHub")


def full(sync: Sync, context: Context, rows: int = 1_000_000) -> str:
    """The text with at most so many rows in each table."""
    parts = [
        _head(sync, context),
        _status(sync),
        _conflicts(sync, context, rows),
        _account(sync, context, rows),
        _eyes(sync, context, rows),
        _upstream(sync, context, rows),
        _checklist(sync, context),
        _instructions(sync, context),
    ]
    return "\n".join(line for part in parts for line in [*part, ""]).rstrip() + "\n"


def _head(sync: Sync, context: Context) -> Iterator[str]:
    tag, previous = sync.tag.name, sync.previous
    production = code(context.production)
    yield f"Merges upstream's stable release {code(tag)} into {production}."
    yield ""
    yield (
        "> [!IMPORTANT]\n> Merge this with a **merge commit**. Do not squash and do not rebase: "
        "git would forget that the release is merged, and the next upgrade would stop with "
        "hundreds of conflicts."
    )
    yield ""
    start = previous.name if previous else sync.before
    links = [f"[release]({context.upstream}/releases/tag/{tag})"]
    if previous:
        links.insert(0, f"[changes]({context.upstream}/compare/{start}...{tag})")
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


def _status(sync: Sync) -> Iterator[str]:
    yield "## Merge status"
    yield ""
    total = len(sync.decisions)
    if sync.unresolved:
        yield (
            f"**Conflicts**: {len(sync.unresolved)} of {total} files need a person; their markers "
            "are in the branch."
        )
    elif total:
        yield f"**Conflicts, all decided**: {counted(total, 'file')}, each with its reason below."
    else:
        yield "**Clean merge**: no conflicts."


def _conflicts(sync: Sync, context: Context, rows: int) -> Iterator[str]:
    if not sync.decisions:
        return
    yield "## Conflicts"
    yield ""
    open_first = sorted(sync.decisions, key=lambda d: (d.conflict.path not in sync.unresolved,))
    yield from table(
        ["file", "kind", "taken", "why"],
        [_decision(sync, decision) for decision in open_first[:rows]],
    )
    yield from _more(len(sync.decisions), rows, "conflicts", context)


def _decision(sync: Sync, decision: Decision) -> list[str]:
    conflict = decision.conflict
    why = f"{plain(decision.rule)}: {plain(decision.why)}" if decision.rule else plain(decision.why)
    if conflict.path in sync.unresolved:
        taken = "**a person's**"
    elif decision.left:
        made = sync.resolutions[conflict.path]
        taken = f"{_SIDES[made.take]}, by a person" if made.take else "resolved by a person"
        if made.word:
            why = f"a change of {made.word.side}'s let go: {plain(made.word.reason)}"
    else:
        taken = _SIDES[decision.take] if decision.take else "as merged"
    return [cell(conflict.path), conflict.kind.value, taken, why]


def _more(number: int, rows: int, what: str, context: Context) -> Iterator[str]:
    if number > rows:
        where = f": [the full report]({context.report})" if context.report else "."
        yield ""
        yield f"… and {number - rows} more {what}{where}"


def _account(sync: Sync, context: Context, rows: int) -> Iterator[str]:
    account = sync.checked.account
    if account is None:
        return
    yield "## What became of every change"
    yield ""
    yield (
        f"{counted(account.fork_paths, 'file')} of the fork's and "
        f"{counted(account.upstream_paths, 'file')} of upstream's accounted for: "
        f"**{counted(len(account.lost), 'change')} lost**, {len(account.to_look_at)} to look at, "
        f"{len(account.explained)} moved, absorbed or dropped on purpose."
    )
    listed = [("lost", entry) for entry in account.lost]
    listed += [("look at", entry) for entry in account.to_look_at]
    if listed:
        yield ""
        yield from table(
            ["", "file", "whose", "lines", "by"],
            [[kind, *_entry(entry)] for kind, entry in listed[:rows]],
        )
        yield from _more(len(listed), rows, "changes", context)


def _entry(entry: Entry) -> list[str]:
    account = entry.account
    lines = [f"{len(account.missing)} missing"] * bool(account.missing)
    lines += [f"{len(account.back)} back"] * bool(account.back)
    by = ", ".join(f"{code(c.name[:10])} {plain(c.subject[:80])}" for c in entry.commits[:1])
    where = f"{entry.path}:{account.change.line}" if account.change.line else entry.path
    return [cell(where), entry.side.value, ", ".join(lines) or entry.what, by]


def _eyes(sync: Sync, context: Context, rows: int) -> Iterator[str]:
    findings = [
        [("**wrong**" if f.certain else "look at"), plain(f.check), cell(f.what)]
        for f in (*sync.checked.wrong, *(f for f in sync.checked.findings if not f.certain))
    ]
    files = [
        [_LETTERS.get(letter, "changed"), kind, cell(path)]
        for kind, changed in (
            ("upstream workflow", sync.workflows),
            ("dependencies", sync.dependencies),
        )
        for letter, path in changed
    ]
    if not findings and not files:
        return
    yield "## What needs eyes"
    yield ""
    yield from table(["", "what", "where"], [*findings, *files][:rows])
    yield from _more(len(findings) + len(files), rows, "findings", context)


def _upstream(sync: Sync, context: Context, rows: int) -> Iterator[str]:
    total = sync.commits.total()
    files = sum(area.files for area in sync.areas)
    yield "## What upstream changed"
    yield ""
    by_type = ", ".join(f"{number} {name}" for name, number in sync.commits.most_common())
    yield f"{counted(total, 'commit')} ({by_type or 'none'}), {counted(files, 'file')}."
    yield ""
    yield from table(
        ["area", "files", "lines"],
        [
            [cell(area.name), str(area.files), f"+{area.added} −{area.removed}"]  # noqa: RUF001
            for area in sync.areas[:rows]
        ],
    )
    yield from _more(len(sync.areas), rows, "areas", context)


def _checklist(sync: Sync, context: Context) -> Iterator[str]:
    def item(done: bool, what: str) -> str:
        return f"- [{'x' if done else ' '}] {what}"

    yield "## Testing checklist"
    yield ""
    yield item(not sync.unresolved, "every conflict is resolved")
    yield item(sync.checked.passed, "nothing is lost, no markers, files parse, imports resolve")
    # The record of what was installed goes with the work tree; what comes after it stays.
    if context.install:
        installed = not {"install", "test", "lint"}.isdisjoint(sync.passed)
        yield item(installed, "the merged tree installs")
    for check, lines in (("test", context.test), ("lint", context.lint)):
        for line in lines:
            yield item(check in sync.passed, code(line))
    yield item(False, "upstream's release notes are read for breaking changes and migrations")
    yield item(False, "the container image builds, and starts")
    yield item(False, "the features that this fork is for work in a test deployment")
    if context.starts_no_ci:
        yield ""
        yield (
            "> [!WARNING]\n> GitHub starts no workflow for what its own token did: close and "
            "reopen this pull request to start the checks, or give the workflow a token of its own."
        )


def _instructions(sync: Sync, context: Context) -> Iterator[str]:
    program, tag, branch = "carto-fork", sync.tag.name, sync.branch
    origin, upstream = context.remotes
    if sync.unresolved:
        yield "## How to resolve it"
        yield ""
        yield "In a clone of the fork; the first command says where its work tree is:"
        yield ""
        yield from block(
            [
                f"{program} resolve-conflicts --pr {branch}",
                "# edit each file that is left, and git add it; or say who wins, and why:",
                f"{program} resolve-conflicts --pr {branch} --keep-fork FILE --reason WHY",
                f"{program} resolve-conflicts --pr {branch} --accept-upstream FILE --reason WHY",
                "# then once more: it checks the result, and pushes when nothing is left",
                f"{program} resolve-conflicts --pr {branch}",
            ],
            "bash",
        )
        yield ""
    yield "## How to review it"
    yield ""
    yield from block(
        [
            f"git fetch {origin} {branch}",
            f"git fetch {upstream} refs/tags/{tag}:refs/tags/{tag}",
            f"{program} verify --ours {sync.ours[:10]} --theirs {tag} --result {origin}/{branch}",
            f"git log --oneline --first-parent {sync.ours[:10]}..{origin}/{branch}",
            f"gh pr merge {branch} --merge",
            f"{program} verify --landed {tag}   # afterwards: it tells if it was squashed",
        ],
        "bash",
    )
