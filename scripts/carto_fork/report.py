"""Results as people read them."""

from __future__ import annotations

import json
import posixpath
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .fork.policy import Side, Take
from .run import git
from .run.text import counted

# Only what is reported is read by the task.
if TYPE_CHECKING:
    from tomlkit.items import String

    from .audit.forecast import Forecast
    from .audit.healing import Healing
    from .audit.inventory import Ground
    from .audit.ledger import Entry
    from .audit.verify import Finding, Verification
    from .fork.detect import Detection
    from .fork.fork import Fork
    from .fork.policy import Feature, Loaded, Policy
    from .health.advice import Advice
    from .health.status import Status
    from .merge.decisions import Decision
    from .merge.dossier import Dossier
    from .merge.resolve import Resolution
    from .run.console import Console
    from .run.shell import Shell
    from .upgrade.plan import Options, Upgrade

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
    for rule, why in dict.fromkeys((decision.rule, decision.why) for decision in decided):
        console.say(f"{rule}: {why}")
        alike = (d for d in decided if (d.rule, d.why) == (rule, why))
        for kind, taken, path in _rows(alike):
            console.row(f"  {kind:<14} {taken:<20} ", path)
    if found.units:
        where = posixpath.commonpath(found.units)
        console.row(
            f"generated as a whole: {counted(len(found.units), 'more file')} of upstream's, in ",
            where,
        )
    for path in found.returned:
        console.row("came back with the merge although it is disabled, removed again: ", path)
    if found.left:
        console.say("left for a person:", "yellow")
    for decision in found.left:
        path = decision.conflict.path
        console.row(f"  {decision.conflict.kind.value:<14} {_hunks(decision):<20} ", path)
        console.row("    why:     ", decision.why)
        _dossier(console, found.dossiers[path])
        console.row("    then:    ", decision.todo)
    total, left = len(found.decisions), len(found.left)
    if not total:
        console.say("No conflicts.")
        return
    dropped = sum(decision.dropped for decision in found.decisions)
    lines = f" {counted(dropped, 'line')} of the fork's gave way to upstream's." if dropped else ""
    conflicts = counted(total, "conflict")
    console.say(f"{total - left} of {conflicts} decided, {left} left.{lines}", "bold")


def _dossier(console: Console, known: Dossier) -> None:
    """Both intents, and what each option would lose."""
    for side, commits in (("fork:", known.fork), ("theirs:", known.upstream)):
        for commit in commits:
            console.row(
                f"    {side:<9}", f"{commit.name[:10]} {commit.date} {commit.subject}", "dim"
            )
    if known.fork_lines or known.upstream_lines:
        mine, theirs = counted(known.fork_lines, "line"), counted(known.upstream_lines, "line")
        costs = f"{mine} of the fork's with upstream's side, {theirs} of upstream's with the fork's"
        console.say(f"    loses:   {costs}", "dim")
    if known.past:
        console.row("    before:  ", known.past, "dim")


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
    if decision.text is None:
        return "all of it"
    return f"{decision.left} of {counted(total, 'hunk')}"


def verification(console: Console, found: Verification, what: str) -> None:
    """What became of both sides of a merge, on one screen."""
    for finding in found.findings:
        if not finding.certain:
            console.row(f"{finding.check}: ", finding.what, "yellow")
    if not (account := found.account):
        return
    if found.healed:
        console.say(f"Reckoned with healed ancestry: {found.healed.sync.name[:10]} was squashed.")
    for title, entries, style in (
        ("lost", account.lost, "red"),
        ("look at this (replaced by something else)", account.to_look_at, "yellow"),
    ):
        _entries(console, title, entries, style)
    explained = Counter(entry.account.fate.value for entry in account.explained)
    told = ", ".join(f"{number} {fate}" for fate, number in sorted(explained.items()))
    console.say(
        f"{counted(account.fork_paths, 'file')} of the fork's and {account.upstream_paths} of "
        f"upstream's accounted for: {counted(len(account.lost), 'change')} lost, "
        f"{len(account.to_look_at)} to look at{f', {told}' if told else ''}.",
        "bold",
    )
    if found.passed:
        console.say(f"Nothing is lost and nothing left over in {what}.", "green")


def what_is_wrong(found: Verification, what: str) -> str:
    """Why a merge does not pass, for the message that stops the task."""
    lines = [f"{finding.check}: {finding.what}" for finding in found.wrong]
    lost = found.account.lost if found.account else []
    for side in dict.fromkeys(entry.side for entry in lost):
        here = [entry for entry in lost if entry.side is side]
        paths = list(dict.fromkeys(entry.path for entry in here))
        more = f" and {counted(len(paths) - 3, 'more file')}" if len(paths) > 3 else ""
        changes = f"{counted(len(here), 'change')} of {_OWNERS[side]}"
        lines.append(f"lost: {changes} in {', '.join(paths[:3])}{more}")
    if len(lines) > _MOST_FINDINGS:
        lines[_MOST_FINDINGS:] = [f"and {len(lines) - _MOST_FINDINGS} more"]
    return f"{what} is not right:\n  " + "\n  ".join(lines)


_OWNERS = {Side.FORK: "the fork's", Side.UPSTREAM: "upstream's"}

_MOST_FINDINGS = 20
"""More findings than these are only counted."""

_MOST_ENTRIES = 12
"""Of more files than these in a list, only the number is told; --json has them all."""


def _entries(console: Console, title: str, entries: Sequence[Entry], style: str) -> None:
    """Entries of the ledger by file, with the lines concerned and who wrote them."""
    files: dict[tuple[str, str], list[Entry]] = defaultdict(list)
    for entry in entries:
        files[entry.side.value, entry.path].append(entry)
    if files:
        console.say(f"{title}:", style)
    most_lines = 4 if len(files) <= 4 else 1
    for (side, path), here in list(files.items())[:_MOST_ENTRIES]:
        missing = sum(len(entry.account.missing) for entry in here)
        back = sum(len(entry.account.back) for entry in here)
        counts = [f"{counted(missing, 'line')} missing"] * bool(missing)
        counts += [f"{counted(back, 'removed line')} back"] * bool(back)
        counts += [entry.what for entry in here if entry.what]
        console.row(f"  {side:<9}", f"{path}:{here[0].account.change.line}  {', '.join(counts)}")
        lines = [f"- {line.strip()}" for e in here for line in e.account.missing if line.strip()]
        lines += [f"+ {line.strip()}" for e in here for line in e.account.back if line.strip()]
        for line in lines[:most_lines]:
            console.row("             ", line if len(line) <= 64 else f"{line[:61]}...", "dim")
        for commit in list(dict.fromkeys(c for entry in here for c in entry.commits))[:2]:
            console.row("           by ", f"{commit.name[:10]} {commit.subject}")
    if len(files) > _MOST_ENTRIES:
        more = counted(len(files) - _MOST_ENTRIES, "more file")
        console.say(f"  and {more} (--json has them all)")


def healing(console: Console, found: Healing, production: str) -> None:
    """What a lost ancestry costs, and what mends it."""
    lost = found.lost
    by = f"{len(lost.hidden)} of them by no commit" if lost.hidden else "only by commits"
    console.say(f"{production} has lost the ancestry of a sync:", "yellow")
    console.facts(
        [
            ("sync", f"{lost.sync.name[:10]} {lost.sync.date} {lost.sync.subject}"),
            ("brought", f"upstream {lost.parent[:10]}, which is not in the branch's history"),
            ("differs from that", f"in {counted(lost.differs, 'file')}, {by} of the fork's own"),
            ("next merge", f"{counted(found.before, 'conflict')}, once healed {found.after}"),
        ]
    )
    title = f"upstream's, left out by the sync; healing does not bring it back to {production}"
    _entries(console, title, found.left_out, "yellow")


def healed(console: Console, found: Healing, fork: Fork, *, direct: bool, push: bool) -> None:
    """What came of healing, and what is next."""
    production = fork.policy.branches.production
    if not push:
        console.say(f"Done: {found.branch} records it; not pushed.", "green")
    elif direct:
        console.say(f"Done: {production} has the ancestry again.", "green")
    else:
        console.say(f"Done: {found.branch} is on {fork.policy.remotes.origin.name}.", "green")
        console.say(
            f"Next: open a pull request from {found.branch} to {production}; "
            "merge it with a merge commit, never squashed."
        )


def forecasts(console: Console, told: Sequence[Forecast], command: Callable[..., str]) -> None:
    """Forecasts side by side, and the release to choose."""
    from .audit import forecast

    head = ("release", "commits", "files", "conflicts", "decided", "yours", "at risk")
    rows = [
        (f.tag, f.commits, f.files, len(f.decisions), len(f.decisions) - f.left, f.left, f.at_risk)
        for f in told
    ]
    table = [head, *(tuple(map(str, row)) for row in rows)]
    width = max(len(row[0]) for row in table)
    for number, row in enumerate(table):
        cells = "".join(f"{cell:>10}" for cell in row[1:])
        console.row("", f"{row[0]:<{width}}{cells}", "" if number else "bold")
    for one in told:
        if one.lost:
            console.say(
                f"{one.tag}: {counted(one.unhealed, 'conflict')} as things are; the numbers are "
                "for healed ancestry. This heals it:",
                "yellow",
            )
            console.row("    ", command("heal"))
        if one.decisions:
            kinds = ", ".join(f"{number} {kind}" for kind, number in one.kinds.items())
            console.say(f"{one.tag}: {kinds}")
        for rule, number in one.rules.items():
            console.row(f"  {number:>4} ", rule)
        for decision in one.decisions:
            if decision.left:
                console.row("  yours: ", decision.conflict.path)
    if best := forecast.recommended(told):
        console.row("Next: ", command("upgrade-carto", tag=best.tag))


def drift(
    console: Console, paths: Sequence[str], known: Ground, command: Callable[..., str]
) -> None:
    """Files that drifted, and how to reset them."""
    for path in paths:
        console.row("  ", path)
    if not paths:
        console.say("Nothing has drifted.")
        return
    differ, them = ("differs", "it") if len(paths) == 1 else ("differ", "them")
    console.say(
        f"{counted(len(paths), 'file')} {differ} from upstream {known.base[:10]} although no "
        f"commit of the fork's own changed {them}.",
        "bold",
    )
    console.row("Next: ", f"on a branch for it, {command('drift', reset=True)}")


def absorbed(console: Console, changes: Mapping[str, Sequence[Entry]]) -> None:
    """Changes that upstream has too."""
    for path, entries in changes.items():
        console.row("", path)
        for commit in list(dict.fromkeys(c for entry in entries for c in entry.commits))[:3]:
            console.row("    ", f"{commit.name[:10]} {commit.date} {commit.subject}")
    hunks = sum(map(len, changes.values()))
    where = f", in {counted(len(changes), 'file')}" if changes else ""
    console.say(f"Upstream has {hunks or 'none'} of the fork's changes{where}.", "bold")


def manifest(features: Sequence[Feature]) -> str:
    """Entries of the feature manifest as TOML."""
    import tomlkit

    def quoted(text: str) -> String:
        # In single quotes a regex is as it was written.
        return tomlkit.string(text, literal="\\" in text and "'" not in text)

    tables = tomlkit.aot()
    for feature in features:
        table = tomlkit.table()
        table.add("name", quoted(feature.name))
        for key, words in (("files", feature.files), ("patterns", feature.patterns)):
            listed = tomlkit.array()
            listed.extend(map(quoted, words))
            table.add(key, listed.multiline(len(words) > 1))
        table.add("origin", quoted(feature.origin))
        tables.append(table)
    return tomlkit.dumps({"feature": tables} if features else {}).rstrip("\n")


def features(
    console: Console, policy: Policy, missing: Sequence[Finding], command: Callable[..., str]
) -> None:
    """The features of the manifest, and what is missing of them."""
    for feature in policy.feature:
        console.row("  ", feature.name)
    for finding in missing:
        console.row("missing: ", finding.what, "red")
    if not policy.feature:
        console.say("There is no manifest. This proposes one:")
        console.row("    ", command("features", scan=True))


def status(console: Console, found: Status, following: Advice, repo: str) -> None:
    """Where a fork stands and what to do next, on one screen."""

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
        console.say(f"problem: {problem}", "red")
    console.say(following.why)
    if following.command:
        console.row("Next: ", following.command)


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


def detection(console: Console, found: Detection, fork: Fork, command: Callable[..., str]) -> None:
    """Whether upstream has released something new, and what to do about it."""
    for warning in found.warnings:
        console.say(f"Warning: {warning}.", "yellow")
    production = fork.policy.branches.production
    has = f"has {found.contained.name}" if found.contained else "has no release of upstream's"
    if found.newest is None:
        console.say(f"Nothing new: {production} {has}, and upstream no newer stable release.")
        return
    more = f" ({len(found.newer) - 1} others are newer too)" if len(found.newer) > 1 else ""
    console.say(f"New: {found.newest.name}; {production} {has}{more}.", "green")
    if found.release:
        console.row("  notes: ", found.release.url)
    console.row("Next: ", command("upgrade-carto", tag=found.newest.name))


def upgrade_begins(console: Console, upgrade: Upgrade, fork: Fork) -> None:
    """Say what is about to happen."""
    tag = upgrade.target.tag
    console.say(f"{tag.name} ({tag.scheme.name}) into {fork.policy.branches.production}", "bold")
    console.facts(
        [
            ("fork", str(fork.path)),
            ("version", f"{upgrade.before or 'none'} -> {tag.release}"),
            ("tag", f"{upgrade.target.commit[:10]}, brings {counted(upgrade.commits, 'commit')}"),
            ("sync branch", upgrade.sync),
            *([] if upgrade.finished else [("prepared in", str(upgrade.work))]),
            *([("signature", upgrade.signature)] if upgrade.signature else []),
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
    if result["published_to"] and result["work_tree"]:
        tidied = "tidy" in upgrade.plan.conditions
        why = "it holds files that git does not know" if tidied else "you are in it"
        console.say(f"{git.named(upgrade.work)} is kept: {why}.")
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
        opened = "request" in upgrade.plan.conditions
        wanted = (
            "have it reviewed" if opened else f"open a pull request from {branch} to {production}"
        )
        console.say(f"Next: {wanted}; merge it with a merge commit, never squashed.")


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
