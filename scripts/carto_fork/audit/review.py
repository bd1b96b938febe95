"""Whether a merge lost something: the task `verify`, and what it prints."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from .. import __version__
from ..fork import branches, releases
from ..fork.fork import Fork
from ..fork.policy import POLICY_FILE
from ..fork.session import Session
from ..merge.reverted import reverted_sync
from ..run import files, git
from ..run.console import Console
from ..run.errors import CheckFailed, Refused, Usage
from ..run.text import counted, in_actions, listed, printable, substantive
from . import landing, places, verify
from .fates import Fate
from .findings import FEATURE
from .ledger import Entry
from .verify import Verification

_MOST_FINDINGS = 8
"""Findings that are printed; further ones are only counted."""

_LONGEST = 160
"""Characters after which a line is cut: what differs is often at its end."""

_MOST_ENTRIES = 12
"""Files that are listed; of further ones we print the number. --json has them all."""


def verify_merge(
    s: Session,
    tag: str,
    revs: Mapping[str, str],
    landed: str,
    page: Callable[[Session, Fork, str, Verification], None],
) -> None:
    """Check a merge: of a tag in a work tree, of three commits, or one that has landed.

    revs: the commits by option; "" for a missing one.
    page: writes the review page; it gets the release's name, if one was given.
    Raises CheckFailed if something is wrong or lost.
    """
    if _is_given(tag, revs, landed):
        fork = s.open_fork()
        with s.console.working("verify"):
            ours, theirs, result = (
                git.commit_of(s.sh, fork.path, revs[side]) for side in ("ours", "theirs", "result")
            )
            _require_to_merge(s, fork, revs, ours, theirs)
            checked = verify.of_merge(s.sh, fork, fork.path, ours, theirs, result)
        name, what = "", "the merge"
        fix = "fix the result, then run the same command again."
    elif landed:
        fork = branches.caught_up(s, s.open_fork())
        release = releases.here(fork, landed)
        with s.console.working("verify"):
            checked = landing.of(s.sh, fork, release)
        if not s.sh.dry:
            _keep_landed(fork, release.name, checked)
        name, what = release.name, f"the sync to {release.name}"
        fix = _how_to_fix_landed(s, fork, checked, name)
    else:
        fork, work = s.open_work_tree()
        branch = git.work_state(s.sh, work).branch.removeprefix("refs/heads/")
        asked = releases.asked_name(tag or fork.policy.branches.tag_of(branch) or "")
        release = releases.here(fork, asked)
        with s.console.working("verify"):
            checked = verify.of_work_tree(s.sh, fork, work, release)
        if _is_not_merged(checked) and (there := landing.elsewhere(s.sh, fork, release.name)):
            has_it, revs, landed = there
            s.console.say(f"{release.name} is in {has_it}: checking that.")

            def of_release(s: Session, fork: Fork, name: str, checked: Verification) -> None:
                page(s, fork, name or release.name, checked)

            verify_merge(s, "", revs, landed, of_release)
            return
        # The name of a sync branch says which release it is about.
        about = {} if fork.policy.branches.tag_of(branch) else {"tag": release.name}
        drop = s.command("verify", **about, drop="PATH", reason="WHY")
        fix = _on_its_branch(s, fork, checked, release.name) or ways_out(fork, checked, work, drop)
        name, what = release.name, f"the merge of {release.name}"
    try:
        require_passed(s, checked, what, fix, landed=bool(landed))
    finally:
        page(s, fork, name, checked)
    if landed:
        s.console.next(s.command("next"))


def _is_given(tag: str, revs: Mapping[str, str], landed: str) -> bool:
    """Whether three commits name a merge. Raises Usage if more or less than one is named."""
    given = [option for option, rev in revs.items() if rev]
    if given and len(given) < len(revs):
        missing = [f"--{option}" for option in revs if option not in given]
        problem = f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing."
        raise Usage(problem, then="name all three commits of the merge.")
    if sum(map(bool, (tag, given, landed))) > 1:
        raise Usage(
            "--tag, --landed and three commits exclude each other.", then="choose one of them."
        )
    require_names(revs)
    return bool(given)


def _require_to_merge(
    s: Session, fork: Fork, revs: Mapping[str, str], ours: str, theirs: str
) -> None:
    """Raises Refused if a merge could bring nothing, so that everything would pass."""
    if git.is_ancestor(s.sh, fork.path, theirs, ours):
        landed = s.command("verify", landed="RELEASE")
        raise Refused(
            f"{printable(revs['ours'])} already contains {printable(revs['theirs'])}: this would "
            "compare nothing new.",
            then=f"name the fork's side before the merge, or check what landed: `{landed}`",
        )


def _is_not_merged(checked: Verification) -> bool:
    return any(finding.check == verify.MERGED for finding in checked.findings)


def _on_its_branch(s: Session, fork: Fork, checked: Verification, tag: str) -> str:
    """What to type if no branch has a merge of a release."""
    if not _is_not_merged(checked):
        return ""
    branches, landed = fork.policy.branches, s.command("verify", landed=tag)
    branch = branches.sync_for(tag)
    if (place := fork.place_for(branch)).exists() and git.work_state(s.sh, place).merging:
        merge = s.command("upgrade-carto", tag=tag)
        return f"finish the merge in {git.nearest(place)}; `{merge}` continues, and verifies it."
    return f"`{landed}` if it has landed, or merge it: `{s.command('upgrade-carto', tag=tag)}`"


def ways_out(fork: Fork, checked: Verification, work: Path, drop: str) -> str:
    """What a person may do about the findings in a work tree.

    drop: the command that drops what is lost; only what it can settle names it.
    """
    wrong = {finding.check for finding in checked.wrong}
    ways = [f"fix the merge {git.inside(work)} and commit"]
    if odd := [finding.then for finding in checked.wrong if finding.check == verify.SUBJECT]:
        ways = [odd[-1], *(f"then {way}" for way in ways if wrong != {verify.SUBJECT})]
    if FEATURE in wrong:
        policy = git.nearest(fork.repository.home if fork.draft else work) / POLICY_FILE
        commit = "" if fork.draft else " and commit"
        correct = f"correct {policy}{commit} (to give the feature up, remove it there)"
        ways.append(f"or, if a feature only has another name or form now, {correct}")
    marked = {finding.path for finding in checked.wrong if finding.check == verify.MARKERS}
    lost = {entry.path for entry in checked.account.lost} if checked.account else set()
    if verify.TAKEN_OVER in wrong or lost - marked:
        ways.append(f"or drop what is lost (your words for PATH and WHY): `{drop}`")
    return f"{', '.join(ways)}; then run the same command again."


def require_names(revs: Mapping[str, str]) -> None:
    """Raises Usage if an option's commit would be read as an option of git."""
    for option, rev in revs.items():
        if rev.startswith("-"):
            problem = f"--{option} is {printable(rev)}, which cannot name a commit."
            raise Usage(problem, then="name a commit, a branch or a tag.")


def require_passed(
    s: Session,
    checked: Verification,
    what: str,
    then: str,
    *,
    as_step: bool = False,
    landed: bool = False,
    later: bool = False,
) -> None:
    """Print the findings about a merge. Raises CheckFailed if something is wrong or lost.

    as_step: whether this runs inside another task, whose result scripts get.
    landed: whether its review is over. later: whether that task ends with what is to be looked at.
    """
    if s.json and not as_step:
        s.print_json(checked.as_json())
    show(s.console, checked, what, landed=landed, later=later and checked.passed)
    places.annotate(s, checked, _MOST_ENTRIES)
    if not checked.passed:
        raise CheckFailed(what_is_wrong(checked, what), then=then)


def _how_to_fix_landed(s: Session, fork: Fork, checked: Verification, tag: str) -> str:
    sync = fork.policy.branches.sync_for(tag)
    heal = s.command("fork.heal")
    if checked.healed and not checked.result:
        return heal
    if reverted := reverted_sync(s.sh, fork, fork.production_commit):
        return f"{reverted.undone(fork)}, publish that, then run the same command again."
    if not checked.result and sync in fork.published:
        return f"merge {sync}, which is already pushed, with a merge commit; never squash it."
    if not checked.result:
        return f"merge it first: {s.command('upgrade-carto', tag=tag)}"
    lost = bool(checked.account and checked.account.lost)
    unhealed = any(finding.check == landing.LANDED for finding in checked.wrong)
    if unhealed and not lost and len(checked.wrong) == 1:
        return heal
    first = f"{heal}; then " if unhealed else ""
    ways = ways_to_restore(s.command, tag, lost=lost)
    return f"{first}{ways}; merge that, then run the same command again."


def ways_to_restore(command: Callable[..., str], tag: str, *, lost: bool) -> str:
    """What a person may do about what is wrong with a sync that landed.

    lost: whether something is lost, which can also be dropped.
    """
    branch = command("branch.start", name="missing-changes")
    drop = f"; or drop it there: {command('verify', tag=tag, drop='PATH', reason='WHY')}"
    return f"restore what is missing, on a branch for it: {branch}{drop if lost else ''}"


# --- Kept for later -------------------------------------------------------------------------------


_KEPT = "account.json"


def keep(fork: Fork, tag: str, checked: Verification) -> None:
    """Keep the account of a merge, for a later pull request and for `next`."""
    text = json.dumps([_about(fork), msgspec.to_builtins(checked)])
    files.keep(fork.notes(tag) / _KEPT, text)


def kept(fork: Fork, tag: str) -> Verification | None:
    """The kept account, if this version of the program made it under this policy; it names its
    commits."""
    try:
        about, data = json.loads((fork.notes(tag) / _KEPT).read_text(encoding="utf-8"))
        return msgspec.convert(data, Verification) if about == _about(fork) else None
    except (OSError, ValueError, msgspec.ValidationError):
        return None


_LANDED = "landed.json"


@dataclass(frozen=True)
class Wrong:
    """What the last check of a sync that landed found wrong.

    tag: the release. what: in one line. lost: whether something is lost.
    """

    tag: str
    what: str
    lost: bool


def _keep_landed(fork: Fork, tag: str, checked: Verification) -> None:
    """Note what is wrong with a sync that landed, or that nothing is. Whether its history is there
    is not noted: git knows that at any time."""
    noted = fork.notes(tag) / _LANDED
    wrong = tuple(x for x in checked.findings if x.check != landing.LANDED)
    checked = replace(checked, findings=wrong)
    if checked.passed:
        noted.unlink(missing_ok=True)
    else:
        lost = bool(checked.account and checked.account.lost)
        files.keep(noted, msgspec.json.encode(Wrong(tag, in_one_line(checked), lost)).decode())


def landed_wrong(fork: Fork) -> list[Wrong]:
    """What the last check of each sync that landed found wrong, as far as this clone checked it."""
    found = []
    for noted in sorted(fork.notes("").rglob(_LANDED)):
        with suppress(OSError, msgspec.MsgspecError):
            found.append(msgspec.json.decode(noted.read_bytes(), type=Wrong))
    return found


def _about(fork: Fork) -> str:
    """Everything an account depends on besides its commits."""
    settings = json.dumps(msgspec.to_builtins(fork.loaded.policy), sort_keys=True)
    return f"{__version__} {hashlib.sha256(settings.encode()).hexdigest()}"


# --- What is printed -----------------------------------------------------------------------------


def show(
    console: Console,
    verification: Verification,
    what: str,
    *,
    landed: bool = False,
    later: bool = False,
) -> None:
    """Print what happened to both sides of a merge, on one screen.

    landed: whether its review is over. later: whether the findings to look at are printed later.
    """
    for finding in verification.findings:
        if not (finding.certain or later or in_actions()):  # there it is annotated
            console.say(f"{finding.check}: {finding.what}", "yellow")
    if not (account := verification.account):
        return
    if verification.healed:
        console.say(
            f"Checked with healed ancestry: {verification.healed.sync.name[:10]} was squashed."
        )
    for title, entries, style in (
        ("lost", account.lost, "red"),
        ("look at this (the result has other lines there, or none)", account.to_look_at, "yellow"),
    ):
        show_entries(console, title, entries, style)
    explained = Counter(entry.account.fate.value for entry in account.explained)
    fates = [f"{number} {fate}" for fate, number in sorted(explained.items())]
    doubts = [finding for finding in verification.findings if not finding.certain]
    looks = {"change": len(account.to_look_at), "finding": len(doubts)}
    looked = [f"{looks['change']} to look at"] * bool(looks["change"])  # or else findings may be
    counts = ", ".join([f"{len(account.lost)} lost", *looked, *fates])
    console.say(f"{account.checked}, change by change: {counts}.", "bold")
    if verification.passed and any(looks.values()):
        them = " and ".join(counted(number, kind) for kind, number in looks.items() if number)
        named = dict.fromkeys(finding.check for finding in doubts)
        them += f" ({listed([*named])})" if later and named else ""
        when = "" if landed else ", now or in the review"
        console.result(f"Nothing is lost; {them} in {what} to look at{when}.", "yellow")
    elif verification.passed:
        console.result(f"Nothing is lost or left over in {what}.", "green")


def what_is_wrong(verification: Verification, what: str) -> str:
    """Why a merge fails its checks, for the message that stops the task."""
    lines = [f"{finding.check}: {finding.what}" for finding in verification.wrong]
    lost = verification.account.lost if verification.account else []
    for side in dict.fromkeys(entry.side for entry in lost):
        of_side = [entry for entry in lost if entry.side is side]
        paths = list(dict.fromkeys(entry.path for entry in of_side))
        more = f" and {counted(len(paths) - 3, 'more file')}" if len(paths) > 3 else ""
        changes = counted(len(of_side), f"{side.value} change")
        lines.append(f"lost: {changes} in {', '.join(paths[:3])}{more}")
    if len(lines) > _MOST_FINDINGS:
        lines[_MOST_FINDINGS:] = [f"and {len(lines) - _MOST_FINDINGS} more"]
    return f"{what} is not right:\n  " + "\n  ".join(lines)


def in_one_line(verification: Verification) -> str:
    """The same in one line, without its subject."""
    return ", ".join(line.strip() for line in what_is_wrong(verification, "").split("\n")[1:])


def in_short(entries: Sequence[Entry]) -> list[str]:
    """What the result lacks of changes of one side, and what it has again."""
    lines = [
        entry.account.fate is Fate.SUPERSEDED and entry.account.is_traced(line)
        for entry in entries
        for line in entry.account.missing
    ]
    missing, other = lines.count(False), lines.count(True)
    back = sum(len(entry.account.again) for entry in entries)
    instead = sum(len(entry.account.back) for entry in entries) - back
    said = [f"{counted(missing, 'line')} missing"] * bool(missing)
    said += [f"{counted(other, 'line')} in another form"] * bool(other)
    whose = entries[0].side.whose
    said += [f"{counted(back, 'line')} back that {whose} side removed"] * bool(back)
    made = f"{counted(instead, 'line')} made by the other side of what {whose} side removed"
    return said + [made] * bool(instead)


def show_entries(console: Console, title: str, entries: Sequence[Entry], style: str) -> None:
    """Print entries of the ledger by file, with their lines and who wrote them."""
    files: dict[tuple[str, str], list[Entry]] = defaultdict(list)
    for entry in entries:
        files[entry.side.value, entry.path].append(entry)
    if files:
        grouped = f", {len(entries)} in {counted(len(files), 'file')}"
        console.say(f"{title}{grouped * (len(entries) > len(files))}:", style)
    most_lines, traced = (4 if len(files) <= 4 else 1), False
    for (side, path), of_file in list(files.items())[:_MOST_ENTRIES]:
        counts = in_short(of_file)
        words = dict.fromkeys(word for entry in of_file for word in entry.account.words)
        counts += [f"gone: {listed([f'`{word}`' for word in words])}"] * bool(words)
        counts += [entry.what for entry in of_file if entry.what]
        counts += sorted(
            {f"now {entry.where}" for entry in of_file if entry.where not in ("", path)}
        )
        line_number = of_file[0].account.line
        where = f"{path}:{line_number}" if line_number else path
        console.say(f"{where}  {', '.join(counts)}", head=f"  {side:<9}")
        lines = [
            f"{'~' if e.account.is_traced(line) else '-'} {line.strip()}"
            for e in of_file
            for line in e.account.missing
            if line.strip()
        ]
        lines.sort(key=lambda line: line[0] == "~")  # what is nowhere, first
        lines += [f"+ {line.strip()}" for e in of_file for line in e.account.back if line.strip()]
        # Brackets only if there is nothing else.
        telling = [line for line in lines if substantive(line)] or lines
        for line in telling[:most_lines]:
            shown = line if len(line) <= _LONGEST else f"{line[: _LONGEST - 3]}..."
            console.row("             ", shown.expandtabs(4), "dim")
            traced |= line.startswith("~")
        if hidden := len(telling[most_lines:]):
            more = f"and {counted(hidden, 'more line')} (--json has them all)"
            console.row("             ", more, "dim")
        for commit in list(dict.fromkeys(c for entry in of_file for c in entry.commits))[:2]:
            console.say(f"{commit.name[:10]} {commit.subject}", head="           by ")
    if len(files) > _MOST_ENTRIES:
        more = counted(len(files) - _MOST_ENTRIES, "more file")
        console.say(f"  and {more} (--json has them all)")
    if traced:
        console.say("  (~: the result has this line in another form)", "dim")
