"""An upgrade from beginning to end: check, plan, run, and report the outcome."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from shlex import quote
from typing import Any

import msgspec

from ..fork import recovery, releases, tags
from ..fork.branches import DIRECT_CHECKED_OUT, DIRECT_ELSEWHERE, PUSHES, TIDIES, WORKTREE
from ..fork.fork import Fork
from ..fork.releases import Target
from ..fork.session import Session
from ..fork.tags import TagUse
from ..merge import authorship, resolve
from ..run import files, git, github
from ..run.console import Console
from ..run.errors import CheckFailed, Failed, Nothing, Paused, Refused, Usage
from ..run.shell import Shell
from ..run.steps import Journal, Plan, Step, chosen
from ..run.text import about, counted, in_actions, listed
from . import begun, plan, pull_request, report, steps
from .begun import LEFT, Options
from .plan import Upgrade
from .work import Work, waits


def say(s: Session, options: Options, ended: tuple[Upgrade, Work] | None) -> None:
    """Print the outcome of an upgrade."""
    result = _result(s.sh, *ended, options) if ended else None
    if s.json:
        s.print_json(result)
    elif ended and result and not s.sh.dry:
        _say_end(s, *ended, options, result)


def run(s: Session, options: Options, *, leave: bool = False) -> tuple[Upgrade, Work] | None:
    """Upgrade the production branch to a release, as far as the options say.

    leave: publish undecided conflicts as they are, instead of pausing for a person.
    Returns what was planned, and what its steps found out; None if --dry cannot know more than the
    fetch: this clone lacks the release.
    """
    if options.heal and options.unhealed:
        raise Usage("--heal and --unhealed exclude each other.", then="choose one of them.")
    # An invalid policy may have been corrected on origin: the one at the base counts.
    fork = s.open_fork(whatever_policy=True)
    release = releases.find(s.sh, fork, options.tag)
    plan.require_able(s.sh, fork, options)
    with s.locked(fork.repository) as held:
        fetch = plan.fetch_plan(fork, release)
        s.run(steps.FETCH_UPGRADE, fetch, held, numbered=False)
        if s.sh.dry:
            if not git.has_object(s.sh, fork.path, release.commit):
                s.console.say(
                    "The rest depends on the release, which is not in this clone yet: "
                    "type the fetch above, then this again."
                )
                return None
            release = _as_known_here(s, fork, release)
            sync = fork.policy.branches.sync_for(release.tag.name)
            if recovery.is_half_made(fork, fork.place_for(sync)):
                s.console.say(
                    "A killed run left its work tree half-made; without --dry, this puts it in "
                    "order first, and the rest depends on that."
                )
                return None
        git.read_history(s.sh, fork.repository)
        try:
            ready, work = _prepared(s, fork, release, options, held, leave)
        except (Refused, Nothing) as refusal:
            refusal.untouched = fetch.untouched
            raise
        fork = work.fork
        here = fork.refs.commits.get(f"refs/heads/{ready.sync}", "")
        if leave and steps.SAVED not in ready.plan.conditions and waits(work, here):
            # An earlier run was killed after it committed what is left and before it published it.
            _leave(s, ready, work, held)
            return ready, work
        pushed = release.pushed if here in ("", release.pushed) else ""
        is_here = held or git.has_object(s.sh, fork.path, pushed)  # --dry fetches nothing
        if is_here and not leave and waits(work, pushed):
            raise Paused(
                f"{ready.sync} has conflicts on {fork.policy.remotes.origin.name} that nobody has "
                "resolved yet.",
                untouched=fetch.untouched,
                then=_how_to_finish(s, ready, work),
            )
        ends_early = leave and not s.sh.dry  # --dry prints what runs if nothing is left
        procedure = (
            steps.REQUEST if ready.finished else steps.MERGE if ends_early else steps.UPGRADE
        )
        with _described(s, ready, work, procedure, held, leave):
            # How many steps follow depends on what the merge leaves.
            s.run(procedure, ready.plan, held, work, numbered=not ends_early)
            if ends_early and not ready.finished:
                if work.resolution and work.resolution.unfinished:
                    _leave(s, ready, work, held)
                else:
                    s.run(steps.CONCLUDE, ready.plan, held, work, numbered=False)
    if held and not options.push:  # all but the push is done, so what comes next publishes it
        begun.remember(fork, release.tag.name, replace(options, push=True))
    return ready, work


def _prepared(
    s: Session, fork: Fork, release: Target, options: Options, held: Journal | None, leave: bool
) -> tuple[Upgrade, Work]:
    """Put in order what earlier runs left, make the plan by the policy at the base, and the object
    that the steps work on."""
    fork = fork.at(s.sh, release.base)
    sync = fork.policy.branches.sync_for(release.tag.name)
    fork = recovery.put_in_order(s, fork, held, sync, release.commit)
    if held:
        _require_what_was_seen(s, fork, release)
    asked = replace(options, request=options.request or leave)
    landing = options.direct and release.pushed
    if held and landing and not github.slug_of(fork.policy.remotes.origin.url):
        # A person wants it landed, even if production's new commits have to be taken in first.
        begun.remember(fork, release.tag.name, asked)
    ready = plan.prepare(s.sh, fork, release, options)
    if held:
        begun.remember(fork, release.tag.name, asked)
    work = Work(
        s,
        fork,
        release.tag,
        release.commit,
        ready.work,
        pausing=not leave,
        proposing=options.proposals,
        fresh=not (ready.work.exists() or steps.RESTORES in ready.plan.conditions),
        ahead=report.prepare,  # a run that pauses writes no page
    )
    return ready, work


@contextmanager
def _described(
    s: Session,
    ready: Upgrade,
    work: Work,
    procedure: Sequence[Step],
    held: Journal | None,
    leave: bool,
) -> Iterator[None]:
    """Print what is about to happen; afterwards write what a person needs to review it."""
    fork, conditions = work.fork, ready.plan.conditions
    if held and work.fresh:  # read while git fills the work tree
        s.sh.ahead(partial(authorship.of_fork, s.sh, fork, ready.target.base, work.theirs))
    _say_beginning(s.console, ready, fork, chosen(procedure, ready.plan))
    asked = steps.REQUESTED in conditions
    if ready.finished:
        s.console.say(f"{ready.sync} is published already{'' if asked else '; nothing to do'}.")
    try:
        yield
    except (Paused, CheckFailed) as stop:
        if isinstance(stop, Paused):
            page = report.path_of(fork, work.tag.name)
            page.unlink(missing_ok=True)  # of an earlier state
            s.console.row("The page to review it by will be ", str(git.nearest(page)))
        elif work.lost_something:  # both list everything that was found
            pull_request.write_text(work)
            report.write_for(s, fork, work)
        if in_actions():  # nobody can go to this job's work tree
            stop.then = f"in a clone of the fork: {s.command('upgrade-carto', tag=work.tag.name)}"
            if ready.target.pushed:
                stop.then += " (it continues with what is published)"
        raise
    finally:
        if held:
            _keep_times(s, fork)
    if PUSHES in conditions and not (asked or leave or s.sh.dry):
        pull_request.write_text(work)
    if held:
        report.write_for(s, fork, work)


def _how_to_finish(s: Session, ready: Upgrade, work: Work) -> str:
    """What resolves the conflicts on a published sync branch."""
    origin = work.fork.policy.remotes.origin
    if github.slug_of(origin.url):
        with suppress(Failed):
            hub, pushed = work.fork.hub(origin), ready.target.pushed
            if closed := pull_request.declined(s, work.fork, hub, ready.sync, pushed):
                reopen = github.reopen(hub, closed.number)
                return f"somebody closed its pull request: `{reopen}`, then the same command again."
        return s.command("resolve-conflicts", pr=ready.sync)
    place, at = quote(str(ready.work)), git.at(work.fork.path)
    to = "" if ready.work.exists() else f"{at} worktree add {place} {ready.sync} && "
    return (
        f"`{to}{git.at(ready.work)} grep -lE '^(<{{7}}|>{{7}}) '` lists the files; resolve and "
        "commit them there, then run the same command again."
    )


_MOST_LEFT = 20
_MOST_DOUBTS = 3


def _leave(s: Session, ready: Upgrade, work: Work, held: Journal | None) -> None:
    """Publish a merge with the conflicts that are left, for a person to finish."""
    left: list[str] = []
    if done := work.resolution:
        left = sorted({*(decision.conflict.path for decision in done.left), *done.marked})
        resolve.set_aside(s.sh, ready.work, done.left)
    shown = "".join(f"\n- {path}" for path in left[:_MOST_LEFT])
    more = f"\n- and {len(left) - _MOST_LEFT} more" if len(left) > _MOST_LEFT else ""
    message = f"{ready.plan.values['message']}\n\n{LEFT}\n{shown}{more}"
    conditions = ready.plan.conditions
    if work.fork.policy.version_paths.isdisjoint(left):
        conditions |= {steps.VERSION}
    values = ready.plan.values | {"unfinished": message}
    left_plan = replace(ready.plan, values=values, conditions=conditions)
    # What this run has merged is in the work tree already.
    procedure = steps.LEAVE if work.resolution else (WORKTREE, *steps.LEAVE)
    s.run(procedure, left_plan, held, work, numbered=False)


def _require_what_was_seen(s: Session, fork: Fork, release: Target) -> None:
    """Raises Refused if the fetched tag is not the one that was seen before the fetch."""
    name = release.tag.name
    if (now := fork.refs.tag(name)) != release.commit:
        came = now[:10] or "nothing"
        raise Refused(
            f"upstream's tag {name} was {release.commit[:10]} a moment ago, and {came} arrived: "
            "somebody is moving it.",
            untouched="Your checkout, your branches and origin are unchanged.",
            then="ask upstream why, then run the same command again; it uses the new one.",
        )
    releases.require_commit(s.sh, fork, name, release.commit)


def _as_known_here(s: Session, fork: Fork, release: Target) -> Target:
    """The release with the commits that the clone has, for a plan without fetching."""
    if not git.has_object(s.sh, fork.path, release.base):
        if not fork.production_commit:
            origin = fork.policy.remotes.origin.name
            raise Refused(
                f"this clone lacks {fork.policy.branches.production}, and --dry fetches nothing.",
                then=f"{git.at(fork.path)} fetch {origin}",
            )
        release = replace(release, base=fork.production_commit)
    if release.pushed and not git.has_object(s.sh, fork.path, release.pushed):
        release = replace(release, pushed="")
    return release


def give_up(s: Session, options: Options) -> None:
    """Remove what an upgrade has created in this clone."""
    fork = s.open_fork(whatever_policy=True)
    with s.locked(fork.repository) as held:
        name = _under_way(fork, options)
        sync = fork.policy.branches.sync_for(name)
        fork = recovery.put_in_order(s, fork, held, sync, fork.refs.tag(name))
        abort = _abort_plan(s.sh, fork, name)
        if steps.UNSAVED in abort.conditions:
            resolve.reset_submodules(s.sh, Path(abort.values["work"]))
        saving, removing = (len(chosen(x, abort)) for x in (steps.SAVE, steps.ABORT))
        s.run(steps.SAVE, abort, held, after=removing)
        branch = f"refs/heads/{abort.values['sync']}"
        head = git.refs(s.sh, fork.path).commits.get(branch, "")
        is_here = Path.cwd().is_relative_to(abort.values["place"])
        home = fork.home.resolve()  # before the current directory is gone
        s.run(steps.ABORT, abort, held, before=saving)
    if s.json:
        s.print_json({"tag": name, "branch": sync, "abandoned": head or None})
    elif not s.sh.dry:
        _say_given_up(s.console, s.sh, fork, sync, head)
        if is_here and steps.WORKTREE_HERE in abort.conditions:
            s.console.say("Your current directory is gone with it. Go on in the clone:")
            s.console.row("    ", f"cd {quote(str(home))}")


def _under_way(fork: Fork, options: Options) -> str:
    """The tag of the upgrade in progress that the options mean. Asks no remote.

    Raises Refused if this clone has nothing of that upgrade.
    """
    name = releases.asked_name(options.tag)
    asked = tags.classify(name, fork.policy.tags)
    known = (tags.classify(tag, fork.policy.tags) for tag in fork.refs.tags() if asked)
    # `releases.find` may have taken one of them for that name.
    others = [tag.name for tag in known if tag and asked and tag.stable and tag.same_build(asked)]
    for tag in [name, *others]:
        branch = f"refs/heads/{fork.policy.branches.sync_for(tag)}"
        # A crash of the machine may have left the work tree without its branch.
        if branch in fork.refs.objects or (plan.place_of(fork, tag) / ".git").exists():
            return tag
    raise Refused(f"no upgrade to {name} is in progress here.", then="see `status`.")


def _abort_plan(sh: Shell, fork: Fork, tag: str) -> Plan:
    """The plan for removing what an upgrade to a tag has created in this clone."""
    sync = fork.policy.branches.sync_for(tag)
    work, _ = plan.work_trees(fork, git.worktrees(sh, fork.path), sync, tag)
    values = fork.values() | {
        "tag": tag,
        "sync": sync,
        "work": str(work),
        "place": os.path.abspath(work),
    }
    has_branch = f"refs/heads/{sync}" in fork.refs.objects
    conditions = {steps.BRANCH_HERE} if has_branch else set()
    if work.exists():
        state = git.work_state(sh, work)
        values["given_up"] = begun.message(tag, state)
        conditions.add(steps.WORKTREE_HERE)
        if has_branch and (state.merging or state.dirty or state.untracked):
            conditions.add(steps.UNSAVED)
    return Plan(values, frozenset(conditions), "Your checkout and origin are unchanged.")


# --- What is printed -----------------------------------------------------------------------------


def _result(sh: Shell, upgrade: Upgrade, work: Work, options: Options) -> dict[str, Any]:
    """The outcome of an upgrade, as plain data for ``--json``."""
    fork = work.fork
    conditions, ref = upgrade.plan.conditions, f"refs/heads/{upgrade.sync}"
    # After --direct the sync branch is gone, and the clone may not fetch origin's branches.
    moved = fork.origin_production
    if not conditions.isdisjoint([DIRECT_ELSEWHERE, DIRECT_CHECKED_OUT]):
        moved = fork.local_production
    commits = git.refs(sh, fork.path).commits
    head = commits.get(ref) or commits.get(moved, "")
    origin, branches = fork.policy.remotes.origin.name, fork.policy.branches
    branch = branches.production if options.direct else upgrade.sync
    return {
        "tag": upgrade.target.tag.name,
        "tag_commit": upgrade.target.commit,
        "version_before": upgrade.before,
        "version": upgrade.target.tag.release,
        "branch": upgrade.sync,
        "head": head,
        "work_tree": str(upgrade.work) if upgrade.work.exists() else None,
        "checks": sorted(x for x in upgrade.plan.commands if steps.CHECKS[x] in conditions),
        "published_to": f"{origin}/{branch}" if options.push and not sh.dry else None,
    }


_TIMES = "took.json"


def _known_times(fork: Fork) -> dict[str, float]:
    """The seconds that each step took in this clone when it last ran."""
    try:
        noted = (fork.notes("clone") / _TIMES).read_bytes()
        return msgspec.json.decode(noted, type=dict[str, float])
    except (OSError, msgspec.MsgspecError):
        return {}


def _keep_times(s: Session, fork: Fork) -> None:
    times = msgspec.json.encode(_known_times(fork) | s.took)
    files.keep(fork.notes("clone") / _TIMES, times.decode())


def _expected(fork: Fork, names: Sequence[str]) -> str:
    """How long some steps will take, by the last time they ran in this clone; "" if they never
    did."""
    took = _known_times(fork)
    timed = {name: took[name] for name in names if name in took}
    if not timed or "verify" not in took:  # one that paused before says too little
        return ""
    longest = max(timed, key=timed.__getitem__)
    most = f", most of it for {longest}" if timed[longest] > sum(timed.values()) / 2 else ""
    text = f"{about(sum(timed.values()))}, as last time{most}"
    never = [name for name in names if name not in took and name in steps.CHECKS]
    return f"{text}; without {listed(never)}, of which this clone knows no time" if never else text


def _say_beginning(
    console: Console, upgrade: Upgrade, fork: Fork, procedure: Sequence[Step]
) -> None:
    """Print what is about to happen."""
    names = [step.name for step in procedure]
    tag = upgrade.target.tag
    automatic = "takes, too" if tag.scheme.use is TagUse.AUTOMATIC else "leaves to you"
    takes = _expected(fork, names)
    console.say(f"{tag.name} into {fork.policy.branches.production}", "bold")
    console.facts(
        [
            ("fork", fork.path),
            ("version", f"{upgrade.before or 'none'} -> {tag.release}"),
            ("tag", f"{upgrade.target.commit[:10]}, brings {counted(upgrade.commits, 'commit')}"),
            ("kind of tag", f"{tag.scheme.name}, which the automation {automatic}"),
            ("sync branch", upgrade.sync),
            *([] if upgrade.finished else [("prepared in", upgrade.work)]),
            *([("signature", upgrade.signature)] if upgrade.signature else []),
            *([("takes", takes)] if takes else []),
        ]
    )
    for note in upgrade.notes:
        console.say(f"Note: {note}", "yellow")


def _say_end(
    s: Session, upgrade: Upgrade, work: Work, options: Options, result: dict[str, Any]
) -> None:
    """Print the outcome of an upgrade and the next command."""
    console, command, fork = s.console, s.command, work.fork
    again = partial(command, "upgrade-carto", tag=result["tag"])
    console.say()
    sync, head = result["branch"], result["head"][:10]
    if not result["checks"]:
        why = "the policy has no commands" if options.tests else "--no-tests"
        console.say(f"Not tested: {why}.", "yellow")
    more = len(work.doubts) - _MOST_DOUBTS
    for what in [*work.doubts[:_MOST_DOUBTS], *[f"{more} more, on the page"] * (more > 0)]:
        console.say(f"To look at: {what}", "yellow")
    if work.doubts and not options.direct:
        console.say("That can wait for the review.")
    if work.doubts and not upgrade.work.exists() and not options.direct:
        place = quote(str(git.nearest(upgrade.work, fork.path)))  # git reads it from there
        console.say("To change something there, commit it in a work tree again:")
        console.row("    ", f"{git.at(fork.path)} worktree add {place} {quote(result['branch'])}")
        console.say(f"then `{again(**options.words())}` checks and pushes it.", head="  ")
    production = fork.policy.branches.production
    if result["published_to"] and result["work_tree"]:
        tidied = TIDIES in upgrade.plan.conditions
        state = git.work_state(s.sh, upgrade.work)
        kept = f"it contains files that are not committed: {listed(state.untracked + state.dirty)}"
        why = kept if tidied else "it is your current directory"
        console.say(f"{git.named(upgrade.work)} is kept: {why}.")
    if result["published_to"] is None:
        console.say(f"Done: {sync} is at {head}, in {result['work_tree']}; not pushed.", "green")
        asked = replace(options, push=True).words()
        if not in_actions():
            console.next(again(**asked))
    elif options.direct:
        origin = fork.policy.remotes.origin.name
        console.say(f"Done: {production} is at {head} on {origin}.", "green")
        if upgrade.target.pushed:
            console.say(f"{origin} still has {sync}; this removes it there:")
            console.row("    ", f"{git.at(fork.path)} push {origin} --delete {sync}")
        console.next(command("next"))
    else:
        console.say(f"Done: {result['published_to']} is at {head}.", "green")
        _say_published(s, upgrade, work, options, result)


def _say_published(
    s: Session, upgrade: Upgrade, work: Work, options: Options, result: dict[str, Any]
) -> None:
    """Print how an upgrade whose sync branch is on origin gets into production."""
    console, command, fork, sync = s.console, s.command, work.fork, result["branch"]
    production, origin = fork.policy.branches.production, fork.policy.remotes.origin
    for sentence in work.replaced:
        console.say(sentence)
    opened = steps.REQUESTED in upgrade.plan.conditions
    never = "merge it with a merge commit, never squash it."
    if not opened:
        text = pull_request.text_path(fork, result["tag"])
        console.row("Text for its pull request: ", str(git.nearest(text)))
    # What production has since has to be taken in first.
    if not git.is_ancestor(s.sh, fork.path, fork.production_commit, result["head"]):
        console.say(f"{production} has new commits, which have to be taken in first.", "yellow")
        console.next(command("next"))
    elif opened:
        hub, number = fork.hub(origin), work.request or quote(sync)
        waiting = [one for one in work.sync.proposals if not one.accepted] if work.sync else []
        if waiting:
            count = counted(len(waiting), "resolution")
            console.say(f"{count} by a program: nobody has accepted them yet. To accept one:")
            accept = partial(command, "resolve-conflicts", pr=str(number))
            for one in waiting:
                console.row("    ", accept(accept_proposal=one.path))
        console.say(f"Have it reviewed; {never.rstrip('.')}:")
        console.row("    ", github.merge(hub, number))
        console.next(github.view(hub, number))
    elif github.slug_of(origin.url):
        console.say(f"Next: open a pull request from {sync} to {production}; {never}")
    else:
        console.say(f"Have it reviewed. On your host, {never} Or from here:")
        landing = replace(options, direct=True).words()
        console.next(command("upgrade-carto", tag=result["tag"], **landing))


def _say_given_up(console: Console, sh: Shell, fork: Fork, sync: str, head: str) -> None:
    """Print that an upgrade was abandoned, and how to restore it.

    head: the commit of its sync branch; "" if it had none.
    """
    production, origin = fork.production_commit, fork.policy.remotes.origin
    landed = bool(head and production) and git.is_ancestor(sh, fork.path, head, production)
    if landed:
        console.say(f"Tidied up: {fork.policy.branches.production} has all of {sync}.")
    else:
        console.say(f"Abandoned. {sync} was at {head[:10]}." if head else "Abandoned.")
    if head and not landed:
        console.row("To restore it: ", f"{git.at(fork.path)} branch {sync} {head}")
        console.say("After that, `next` names what continues with it.")
    if fork.tracking(origin, sync) in fork.refs.objects:
        hosted = github.slug_of(origin.url) and not landed
        closes = ", and closes its pull request if that is open" if hosted else ""
        console.say(f"{origin.name} still has it; this removes it there{closes}:")
        console.row("    ", f"{git.at(fork.path)} push {origin.name} --delete {sync}")
