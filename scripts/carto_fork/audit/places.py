"""What to say about a change that a merge lost: its text, who wrote it, and where it was; and the
line of the merge beside which an annotation shows it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..fork.policy import Side
from ..fork.session import Session
from ..merge import commits
from ..merge.hunks import Change
from ..run import git
from ..run.shell import Shell
from ..run.text import counted, in_actions, printable
from .ledger import Entry, Ledger
from .verify import Verification

_LONGEST = 100


def annotate(s: Session, checked: Verification, most: int) -> None:
    """In GitHub Actions, mark every finding, and the first loss in each file, beside its line.

    most: so many files at most.
    """
    if not in_actions():
        return
    mark = s.console.annotate
    for x in checked.findings:
        mark(x.check, x.what, path=x.path, line=x.line, sure=x.certain)
    account = checked.account or Ledger((), 0, 0)
    for title, entries in (("lost", account.lost), ("look at this", account.to_look_at)):
        of_files: dict[tuple[Side, str], Entry] = {}
        for entry in entries:
            of_files.setdefault((entry.side, entry.path), entry)
        first = [*of_files.values()][:most]
        for entry, at in zip(first, lines(s.sh, s.path, checked, first), strict=True):
            text = said(entry, checked)
            text += "; the result has other lines there, or none" if title != "lost" else ""
            mark(title, text, path=entry.path, line=at, sure=title == "lost")


def said(entry: Entry, checked: Verification) -> str:
    """Whose change it was, to which file, at which line of the commit of its side, the first line
    that is gone or else back, and the newest commit behind it."""
    side = checked.ours if entry.side is Side.FORK else checked.theirs
    where = entry.what or f"line {entry.account.line} in {side[:10]}"
    gone = [line.strip() for line in entry.account.missing if line.strip()]
    back = [line.strip() for line in entry.account.back if line.strip()]
    lines = gone or back
    text = f"{entry.side.whose} change to {entry.path} ({where})"
    if lines:
        first = lines[0] if len(lines[0]) <= _LONGEST else f"{lines[0][:_LONGEST]}…"
        more = f" and {counted(len(lines) - 1, 'more line')}" if len(lines) > 1 else ""
        text += f": {'' if gone else 'there again: '}{first}{more}"
    if by := next(iter(entry.commits), None):
        text += f" (by {by.name[:10]} {by.subject})"
    return printable(text)


def lines(sh: Shell, repo: Path, checked: Verification, entries: Sequence[Entry]) -> list[int]:
    """For each change, its place in the result: what is there instead, or the line above; 0 if the
    result lacks the file."""
    if not entries:
        return []
    sides = {Side.FORK: checked.ours, Side.UPSTREAM: checked.theirs}
    trees = {side: git.tree(sh, repo, commit) for side, commit in sides.items()}
    after = git.tree(sh, repo, checked.result)
    pairs = []
    for entry in entries:
        now = after.get(entry.path) or after.get(entry.where)
        old = trees[entry.side].get(entry.path)
        if old and now and git.SUBMODULE not in (old[0], now[0]):
            pairs.append((old[1], now[1]))
        else:
            pairs.append(("", ""))
    changes = commits.changes(sh, repo, [pair for pair in pairs if pair[0]])
    return [
        _moved(entry.account.line, changes.get(pair, [])) if pair[0] else 0
        for entry, pair in zip(entries, pairs, strict=True)
    ]


def _moved(number: int, changes: Sequence[Change]) -> int:
    """The number of a line after some changes; for a line that they replace or remove, where its
    place is."""
    shift = 0
    for change in changes:
        # For an empty range, git names the line above.
        start = change.before + (not change.removed)
        if number < start:
            break
        end, new = start + len(change.removed), change.line + (not change.added)
        if number < end:
            return max(change.line, 1)
        shift = new + len(change.added) - end
    return max(number + shift, 1)
