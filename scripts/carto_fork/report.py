"""Results as people read them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from os.path import commonpath

from .console import Console
from .decisions import Decision
from .policy import Loaded
from .resolve import Resolution
from .status import Status

_MOST_ROWS = 5
"""Paths that one rule decided alike are summed up from here on."""

_TAKEN = {"fork": "fork's", "upstream": "upstream's", "both": "both", "version": "tag's version"}


def resolution(console: Console, found: Resolution) -> None:
    """The table of conflicts, the rules behind it, and what is left to do."""
    if found.decisions:
        console.table(("Path", "Kind", "Decision", "Rule"), _rows(found.decisions))
        reasons = {d.rule: d.why for d in found.decisions if d.rule and not d.left}
        console.say()
        for rule, why in reasons.items():
            console.say(f"{rule}: {why}", "dim")
    for path in found.returned:
        console.say(f"{path}: came back with the merge, is disabled in the policy, removed again.")
    for decision in found.left:
        path = decision.conflict.path
        console.say(f"{path}: {decision.why}", "yellow")
        console.say(f"    {decision.todo.replace('{path}', path)}")
    left, total = len(found.left), len(found.decisions)
    if total:
        dropped = sum(decision.dropped for decision in found.decisions)
        lines = f"; {dropped} lines of the fork's gave way to upstream's" if dropped else ""
        console.say(f"{total - left} of {total} conflicts decided, {left} left{lines}.", "bold")
    else:
        console.say("No conflicts.")


def _rows(found: Sequence[Decision]) -> list[tuple[str, ...]]:
    alike: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for decision in found:
        if decision.left:
            taken = "left for a person"
            if decision.settled:
                taken = f"{decision.left} of {decision.left + decision.settled} hunks left"
        else:
            taken = _TAKEN[decision.take.value] if decision.take else ""
            if decision.whole and _gone(decision):
                taken = "deleted"
            if decision.dropped:
                taken += f" (-{decision.dropped})"
        key = (decision.conflict.kind.value, taken, decision.rule)
        alike[key].append(decision.conflict.path)
    rows: list[tuple[str, ...]] = []
    for key, paths in alike.items():
        if len(paths) > _MOST_ROWS and not key[1].endswith("left for a person"):
            paths = [f"{commonpath(paths)}/… ({len(paths)} files)"]
        rows += [(path, *key) for path in paths]
    return rows


def _gone(decision: Decision) -> bool:
    conflict = decision.conflict
    return not (
        conflict.ours if decision.take and decision.take.value == "fork" else conflict.theirs
    )


def status(console: Console, found: Status, repo: str) -> None:
    """Where a fork stands, on one screen."""

    def named(tag: object, other: str = "none known here") -> str:
        return getattr(tag, "name", other)

    def distance(pair: tuple[int, int] | None) -> str:
        if pair is None:
            return "not here"
        return "up to date" if pair == (0, 0) else f"{pair[0]} ahead, {pair[1]} behind"

    version = ", ".join(sorted(set(found.version.values()))) or "not stated"
    where = "" if found.online else " (upstream not reached; as known here)"
    console.facts(
        [
            ("fork", repo),
            ("checked out", found.checked_out or "detached HEAD"),
            (f"version on {found.production}", version),
            ("upstream tag in it", named(found.contained)),
            ("newest release of the fork", named(found.own_release)),
            ("newest stable upstream tag", named(found.upstream_release) + where),
            (f"{found.production} against origin", distance(found.local)),
            ("mirror against upstream", distance(found.mirror)),
        ]
    )
    for upgrade in found.in_progress:
        console.say(f"upgrade to {upgrade.tag}: {upgrade.state}", "yellow")
    for problem in found.problems:
        console.say(f"problem: {problem}", "red")
    console.say(f"Next: {found.then}" if found.then else "Nothing to do.", "bold")


def config(console: Console, loaded: Loaded) -> None:
    """Every effective value with where it came from."""
    for setting in loaded.settings:
        if isinstance(setting.value, list) and setting.value and isinstance(setting.value[0], dict):
            console.say(f"{setting.key}  # {setting.source}", "bold")
            for item in setting.value:
                console.say(f"    {_inline(item)}")
        else:
            console.say(f"{setting.key} = {_inline(setting.value)}  # {setting.source}")


def _inline(value: object) -> str:
    """A value as TOML would write it on one line."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_inline(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_inline, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return f"'{value}'" if isinstance(value, str) and "\\" in value else f'"{value}"'
