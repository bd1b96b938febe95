"""Changes on the fork's side that upstream made itself, in an older release, and has redone since:
nobody has to decide about them for the fork."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from ..fork.fork import Fork
from ..fork.policy import Side
from ..merge import lives
from ..merge.hunks import Commit
from ..run.shell import Shell
from ..run.text import listed
from .fates import Fate
from .findings import described
from .ledger import Entry, Ledger

_MOST = 40
"""Of so many changes git is asked which commits their lines are from."""


def explained(sh: Shell, fork: Fork, account: Ledger, ours: str, theirs: str) -> Ledger:
    """An account in which such changes are explained."""
    return replace(account, entries=(*_entries(sh, fork, account, ours, theirs),))


def _entries(sh: Shell, fork: Fork, account: Ledger, ours: str, theirs: str) -> Iterator[Entry]:
    left = _MOST
    for entry in account.entries:
        if left and _may_be(entry):
            left -= 1
            numbers = {*entry.account.missing_at}
            origin = lives.origin(sh, fork, ours, theirs, entry.path, numbers)
            if origin.wrote and origin.whole and not origin.brought:
                dropped = replace(entry.account, fate=Fate.DROPPED)
                entry = replace(entry, account=dropped, reason=said(origin))
        yield entry


def _may_be(entry: Entry) -> bool:
    """Whether upstream may have made a change: no commit of the fork is behind it."""
    is_open = entry.side is Side.FORK and entry.account.fate is Fate.SUPERSEDED
    return is_open and not entry.commits and bool(entry.account.missing) and not entry.account.back


def said(origin: lives.Origin) -> str:
    """Where lines are from that no commit of the fork is known to have written, as a sentence; ""
    if nothing shows it."""
    if not origin.wrote:
        return ""
    kept = _named(origin.kept)
    text = f"{_OWN} it wrote {'this' if origin.whole else 'some of this'} in {_named(origin.wrote)}"
    if brought := [commit for commit in origin.brought if commit not in origin.kept]:
        text += f", which {_named(brought)} brought into the fork's history"
    if origin.removed:
        text += f", and removed it again in {_named(origin.removed)}"
    return f"{text}; {kept} kept it, or brought it back." if kept else f"{text}."


_OWN = "Upstream's own, and not the fork's:"


def is_upstreams(entry: Entry) -> bool:
    """Whether a change on the fork's side is explained as upstream's own."""
    return entry.reason.startswith(_OWN)


def _named(commits: Sequence[Commit]) -> str:
    return listed([*map(described, commits)], 2)
