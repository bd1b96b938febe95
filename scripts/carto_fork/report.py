"""Results as people read them."""

from __future__ import annotations

import json
import posixpath
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from . import git
from .console import Console
from .decisions import Decision
from .fork import Fork
from .policy import Loaded, Take
from .resolve import Resolution
from .shell import Shell
from .status import Status
from .upgrade import Options, Upgrade

_MOST_PATHS = 5
"""Of more paths than these that one rule decided alike, only the number is shown."""

_TAKEN = {
    Take.FORK: "fork's",
    Take.UPSTREAM: "upstream's",
    Take.BOTH: "both sides",
    Take.VERSION: "tag's version",
}


def resolution(console: Console, found: Resolution) -> None:
    """What became of each conflict, by rule with its reason, and what is left to do."""
    decided = [decision for decision in found.decisions if not decision.left]
    for rule, why in {decision.rule: decision.why for decision in decided}.items():
        console.say(f"{rule}: {why}")
        for kind, taken, path in _rows(d for d in decided if d.rule == rule):
            console.row(f"  {kind:<14} {taken:<20} ", path)
    for path in found.returned:
        console.row("came back with the merge although it is disabled, removed again: ", path)
    if found.left:
        console.say("left for a person:", "yellow")
    for decision in found.left:
        path = decision.conflict.path
        console.row(f"  {decision.conflict.kind.value:<14} {_hunks(decision):<20} ", path)
        console.row("    why:  ", decision.why)
        console.row("    then: ", decision.todo)
    total, left = len(found.decisions), len(found.left)
    if not total:
        console.say("No conflicts.")
        return
    dropped = sum(decision.dropped for decision in found.decisions)
    gave_way = f" {dropped} lines of the fork's gave way to upstream's." if dropped else ""
    console.say(f"{total - left} of {total} conflicts decided, {left} left.{gave_way}", "bold")


def _rows(decisions: Iterable[Decision]) -> Iterator[tuple[str, str, str]]:
    """Kind, decision and path of each; many paths with the same two are summed up."""
    alike: dict[tuple[str, str], list[str]] = defaultdict(list)
    for decision in decisions:
        conflict, taken = decision.conflict, _TAKEN[decision.take] if decision.take else ""
        side = conflict.ours if decision.take is Take.FORK else conflict.theirs
        if decision.whole and side is None:
            taken += ": deleted"
        if decision.dropped:
            taken += f" (-{decision.dropped})"
        alike[conflict.kind.value, taken].append(conflict.path)
    for (kind, taken), paths in alike.items():
        if len(paths) > _MOST_PATHS:
            paths = [f"{len(paths)} files in {posixpath.commonpath(paths) or 'many places'}"]
        for path in paths:
            yield kind, taken, path


def _hunks(decision: Decision) -> str:
    total = decision.left + decision.settled
    return f"{decision.left} of {total} hunks" if decision.text is not None else "all of it"


def status(console: Console, found: Status, repo: str) -> None:
    """Where a fork stands, on one screen."""

    def named(tag: object, other: str = "none known here") -> str:
        return getattr(tag, "name", other)

    def distance(pair: tuple[int, int] | None) -> str:
        if pair is None:
            return "not known here"
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
        console.row(f"upgrade to {upgrade.tag}: ", upgrade.state, "yellow")
    for problem in found.problems:
        console.row("problem: ", problem, "red")
    if found.then:
        console.row("Next: ", found.then)
    else:
        console.say("Nothing to do.")


def config(console: Console, loaded: Loaded) -> None:
    """The effective policy as TOML, each value with where it came from."""
    # In TOML a plain key cannot follow the tables of a list.
    listed = [setting for setting in loaded.settings if _tables(setting.value)]
    for setting in loaded.settings:
        if setting not in listed:
            line = f"{setting.key} = {_inline(setting.value)}"
            console.row(f"{line:<60}  ", f"# {setting.source}")
    for setting in listed:
        for table in setting.value:
            console.say()
            console.row(f"[[{setting.key}]]  ", f"# {setting.source}")
            for key, value in table.items():
                console.row("", f"{key} = {_inline(value)}")


def _tables(value: object) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], Mapping)


def _inline(value: object) -> str:
    """A value as TOML writes it on one line."""
    if isinstance(value, list):
        return "[" + ", ".join(map(_inline, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    # JSON's strings are TOML's basic strings.
    return f"'{value}'" if "\\" in str(value) and "'" not in str(value) else json.dumps(value)


def upgrade_begins(console: Console, upgrade: Upgrade, fork: Fork) -> None:
    """Say what is about to happen."""
    tag = upgrade.target.tag
    console.say(f"{tag.name} ({tag.scheme.name}) into {fork.policy.branches.production}", "bold")
    console.facts(
        [
            ("fork", str(fork.path)),
            ("version", f"{upgrade.before or 'none'} -> {tag.release}"),
            ("tag", f"{upgrade.target.commit[:10]}, brings {upgrade.commits} commits"),
            ("sync branch", upgrade.sync),
            ("prepared in", str(upgrade.work)),
        ]
    )
    for note in upgrade.notes:
        console.say(f"Note: {note}", "yellow")


def upgrade_ended(
    console: Console,
    result: dict[str, Any],
    upgrade: Upgrade,
    fork: Fork,
    options: Options,
    command: Callable[..., str],
) -> None:
    """Say what came of an upgrade and what is next."""
    console.say()
    branch, head = result["branch"], result["head"][:10]
    if not result["checks"]:
        why = "--no-tests" if not options.tests else "the policy names no commands"
        console.say(f"Not tested: {why}.", "yellow")
    production = fork.policy.branches.production
    if result["published_to"] is None:
        console.say(f"Done: {branch} is at {head}, in {result['work_tree']}; not pushed.", "green")
        again = command("upgrade-carto", tag=result["tag"], direct=options.direct)
        console.row("Next: ", f"{again} --no-tests" if not options.tests else again)
    elif options.direct:
        origin = fork.policy.remotes.origin.name
        console.say(f"Done: {production} is at {head} on {origin}.", "green")
        if upgrade.target.pushed:
            console.say(f"{origin} still has {branch}; this removes it there:")
            console.row("    ", f"{git.at(fork.path)} push {origin} --delete {branch}")
    else:
        console.say(f"Done: {result['published_to']} is at {head}.", "green")
        console.say(
            f"Next: open a pull request from {branch} to {production}; "
            "merge it with a merge commit, never squashed."
        )
    if result["published_to"] and result["work_tree"]:
        console.say(f"{result['work_tree']} is kept: it holds files that git does not know.")


def given_up(console: Console, sh: Shell, fork: Fork, sync: str, head: str) -> None:
    """Say that an upgrade was given up, and what is left of it.

    head: where its sync branch was.
    """
    console.say(f"Given up. {sync} was at {head[:10]}.")
    if not git.is_ancestor(sh, fork.path, head, fork.production_commit):
        console.row("This brings it back: ", f"{git.at(fork.path)} branch {sync} {head}")
    origin = fork.policy.remotes.origin
    if fork.tracking(origin, sync) in fork.refs.objects:
        console.say(f"{origin.name} still has it; this removes it there:")
        console.row("    ", f"{git.at(fork.path)} push {origin.name} --delete {sync}")
