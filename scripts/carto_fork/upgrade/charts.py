"""The bars of the page: what became of files, in proportion."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from ..audit.fates import Fate
from ..audit.ledger import Ledger
from ..fork.policy import Side
from ..run.text import counted
from .outcomes import OUTCOMES, Outcomes
from .sides import MADE, SAID, STALE, WHOSE, Sides, worst

_COLOURS = {
    Fate.KEPT: "kept",
    Fate.MOVED: "moved",
    Fate.ABSORBED: "absorbed",
    Fate.DROPPED: "dropped",
    Fate.SUPERSEDED: "look",
    Fate.LOST: "lost",
}
_OTHER_BUILD = "generated, and not from upstream's build"


def of_merge(account: Ledger | None, sides: Sides, outcomes: Outcomes) -> Iterator[dict[str, Any]]:
    """A bar for the files of each side, and one for the conflicts."""
    if account:
        totals = {Side.FORK: account.fork_paths, Side.UPSTREAM: account.upstream_paths}
        for side, total in totals.items():
            entries = [entry for entry in account.entries if entry.side is side]
            made = {path for entry in entries for path in entry.files}
            fates = worst(entry for entry in entries if not entry.files)
            counts = Counter(fate for (_, commit), fate in fates.items() if not commit)
            kept = max(0, total - counts.total())
            tool = len(made) if side is Side.FORK else len(outcomes.not_upstreams)
            tool = min(tool, kept)
            counts[Fate.KEPT] += kept - tool
            named = [(SAID[fate], _COLOURS[fate], counts[fate]) for fate in Fate]
            said = (MADE, "dropped") if side is Side.FORK else (_OTHER_BUILD, "look")
            named.append((*said, tool))
            if side is Side.FORK:
                old = sum(len(one.files) for one in sides.stale)
                named[0] = (*named[0][:2], named[0][2] - old)
                named.append((STALE, "look", old))
            title = f"{counted(counts.total() + tool, 'file')} that {WHOSE[side]} changed"
            yield _chart(f"{title}, each by the worst that became of a change in it", named)
    ended = Counter(outcomes.of.values())
    colours = zip(OUTCOMES[::-1], ("kept", "moved", "look", "absorbed", "lost"), strict=True)
    if ended:
        title = f"{counted(ended.total(), 'file')} in conflict"
        yield _chart(title, [(x, colour, ended[x]) for x, colour in colours])


def _chart(title: str, named: Sequence[tuple[str, str, int]]) -> dict[str, Any]:
    """A bar whose parts are as long as their shares, but for what would be too short to be seen."""
    shares = {
        name: max(number, sum(n for *_, n in named) / 100) for name, _, number in named if number
    }
    parts, start = [], 0.0
    for name, colour, number in named:
        if number:
            width = 1000 * shares[name] / sum(shares.values())
            said = f"{name}: {number}"
            parts.append(
                {"colour": colour, "start": round(start, 1), "width": round(width, 1), "said": said}
            )
            start += width
    key = [(colour, f"{number} {name}") for name, colour, number in named if number]
    said = ", ".join(text for _, text in key) or "none"
    return {"title": title, "parts": parts, "said": f"{said}.", "key": key}
