"""What each task does: find out, plan, run the procedure, report. `tasks` declares them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from . import report
from .fork import bump, fork, mirror, pins, tags, target
from .fork.fork import Fork
from .fork.session import Session
from .health import advice, status
from .merge import resolve
from .run import git, invocation
from .run.errors import Paused, Refused, Usage
from .run.journal import Journal
from .run.steps import Plan, RunTask
from .run.text import printable
from .upgrade import plan as upgrade
from .upgrade import procedures

# What only some tasks need is imported by them: it costs more than most questions to git.
if TYPE_CHECKING:
    pass


def set_up(s: Session) -> None:
    """Add the remotes that are missing, and set git up in the clone."""
    found = s.open_fork()
    fork.require_right_urls(found)
    origin, upstream = found.policy.remotes.origin, found.policy.remotes.upstream
    remotes = {"no-origin": origin, "no-upstream": upstream}
    missing = {condition for condition, remote in remotes.items() if found.url(remote) is None}
    with s.locked(found.repository) as held:
        s.run(procedures.SETUP, Plan(found.values(), frozenset(missing)), held)
    if not s.sh.dry:
        s.console.row("Next: ", s.command("next"))


def show_status(s: Session) -> None:
    """Tell where the fork stands."""
    found = s.open_fork(whatever_policy=True)
    facts = status.read(s.sh, found)
    following = advice.of(s.sh, found, facts, s.command)
    if s.json:
        s.print_json(facts.as_json() | {"next": following})
    else:
        report.status(s.console, facts, following, str(found.path))


def show_config(s: Session) -> None:
    """Print the policy in force; refuse afterwards where the fork's own one is not valid."""
    found = s.open_fork(whatever_policy=True)
    if s.json:
        s.print_json(found.loaded.settings)
    else:
        report.config(s.console, found.loaded)
    if found.problem:
        raise found.problem


def sync_mirror(s: Session) -> None:
    """Let the mirror branch follow upstream's."""
    found = s.open_fork()
    fetch = mirror.fetch_plan(s.sh, found)
    with s.locked(found.repository) as held:
        s.run(procedures.FETCH_MIRROR, fetch, held)
        plan = mirror.plan(s.sh, found)
        s.run(procedures.SYNC_MAIN, plan, held)
    if not plan.conditions:
        s.console.say(f"{found.policy.branches.mirror} is up to date.")


def run_upgrade(
    s: Session, options: upgrade.Options, run_task: RunTask, *, quiet: bool = False
) -> None:
    """Upgrade the production branch to a release, up to where the options say.

    quiet: whoever asks for it tells the result.
    """
    if options.heal and options.unhealed:
        raise Usage("--heal and --unhealed exclude each other.", then="choose one of them.")
    # A policy that is not valid may have been corrected on origin: the one at the base counts.
    found = s.open_fork(whatever_policy=True)
    release = target.find(s.sh, found, options.tag)
    upgrade.require_able(s.sh, found, options)
    with s.locked(found.repository) as held:
        fetch = upgrade.fetch_plan(found, release)
        s.run(procedures.FETCH_UPGRADE, fetch, held)
        if s.sh.dry:
            release = _as_known_here(s, found, release)
        try:
            found = found.at(s.sh, release.base)
            _set_aside(s, found, held, release.tag.name, release.commit)
            ready = upgrade.prepare(s.sh, found, release, options)
        except Refused as refusal:
            refusal.untouched = fetch.untouched
            raise
        if held and held.after_kill:
            upgrade.remove_stale_lock(s.sh, ready.work)
        report.upgrade_begins(s.console, ready, found)
        if ready.finished:
            todo = "" if "request" in ready.plan.conditions else "; nothing to do"
            s.console.say(f"{ready.sync} is published already{todo}.")
            s.run(procedures.REQUEST, ready.plan, held, run_task)
        else:
            work = str(ready.work)
            drop = invocation.command(s.program, "drop", repo=work, path="PATH", reason="WHY")
            plan = replace(ready.plan, values=ready.plan.values | {"drop": drop})
            s.run(procedures.UPGRADE, plan, held, run_task)
    if quiet:
        return
    result = upgrade.result(s.sh, found, ready, options)
    if s.json:
        s.print_json(result)
    elif not s.sh.dry:
        report.upgrade_ended(s.console, result, ready, found, options, s.command)


def _as_known_here(s: Session, found: Fork, release: target.Target) -> target.Target:
    """The release as a plan can be made for it where nothing was fetched."""
    if not git.has_object(s.sh, found.path, release.base):
        if not found.production_commit:
            origin = found.policy.remotes.origin.name
            raise Refused(
                f"{found.policy.branches.production} is not here yet, and --dry fetches nothing.",
                then=f"{git.at(found.path)} fetch {origin}",
            )
        release = replace(release, base=found.production_commit)
    if release.pushed and not git.has_object(s.sh, found.path, release.pushed):
        release = replace(release, pushed="")
    return release


def _set_aside(s: Session, found: Fork, held: Journal | None, tag: str, commit: str) -> None:
    """Keep what a killed run left where the work tree belongs, out of the way."""
    if held and (
        aside := upgrade.set_aside(s.sh, found, held, upgrade.place_of(found, tag), commit)
    ):
        s.console.say(
            f"An earlier run was killed while it made the work tree. What it left is in "
            f"{git.nearest(aside)}; remove it when nobody needs it."
        )


def give_up(s: Session, options: upgrade.Options) -> None:
    """Remove what an upgrade has made here."""
    found = s.open_fork(whatever_policy=True)
    with s.locked(found.repository) as held:
        name = upgrade.under_way(found, options)
        commit = found.refs.commits.get(f"refs/tags/{name}", "")
        _set_aside(s, found, held, name, commit)
        plan = upgrade.abort_plan(s.sh, found, name)
        s.run(procedures.SAVE, plan, held)
        branch = f"refs/heads/{plan.values['sync']}"
        head = git.refs(s.sh, found.path).commits[branch]
        s.run(procedures.ABORT, plan, held)
    if not s.sh.dry:
        report.given_up(s.console, s.sh, found, plan.values["sync"], head)


def require_sense(words: resolve.Words) -> None:
    """Raises Usage where a person says two things of one file, or does not say why."""
    if both := sorted(set(words.upstream) & set(words.fork)):
        problem = f"{printable(both[0])} is named by both --accept-upstream and --keep-fork."
        raise Usage(problem, then="name it once.")
    if words.takes and not words.reason.strip():
        raise Usage(
            "say why: --reason is missing.",
            then="add --reason, in words that a colleague understands a year from now.",
        )


def resolve_conflicts(s: Session, words: resolve.Words) -> None:
    """Decide the conflicts of a merge in progress. Raises Paused where some are a person's."""
    require_sense(words)
    found, work = s.open_work_tree()
    if not git.work_state(s.sh, work).merging:
        work = _work_tree_of_upgrade(s, found, work)
    with s.console.working("resolve"):
        resolution = resolve.resolve(s.sh, work, found.policy, found.upstream_refs, words)
    if s.json:
        s.print_json(resolution.as_json())
    report.resolution(s.console, resolution)
    if resolution.marked:
        raise Paused(
            f"{printable(resolution.marked[0])} is staged with conflict markers in it.",
            untouched="Nothing was committed.",
            then=f"edit it in {git.named(work)}, `git add` it, then {_conclude(s, found, work)}",
        )
    if resolution.left and not s.sh.dry:
        count = len(resolution.left)
        raise Paused(
            f"{count} {'conflict needs' if count == 1 else 'conflicts need'} a person.",
            untouched="Nothing was committed; what could be decided is staged.",
            then=f"resolve in {git.named(work)}, `git add` each file, then "
            f"{_conclude(s, found, work)}",
        )
    if not s.is_step and not s.sh.dry:
        s.console.row("Next: ", _conclude(s, found, work))


def _conclude(s: Session, found: Fork, work: Path) -> str:
    """The command that goes on with the merge in a work tree, once nothing is left."""
    branch = git.work_state(s.sh, work).branch.removeprefix("refs/heads/")
    if tag := found.policy.branches.tag_of(branch):
        return invocation.command(s.program, "upgrade-carto", repo=str(found.home), tag=tag)
    return f"{git.at(work)} commit"


def _work_tree_of_upgrade(s: Session, found: Fork, work: Path) -> Path:
    """The one upgrade's work tree in which a merge is in progress. Raises Refused otherwise."""
    upgrades = found.merging_work_trees(s.sh)
    if not upgrades:
        raise Refused(f"no merge is in progress in `{work}`.", then="see `status`.")
    if len(upgrades) > 1:
        trees = " and ".join(map(str, upgrades))
        problem = f"a merge is in progress in {trees}."
        raise Refused(problem, then="name one of them with --repo.")
    return upgrades[0]


def bump_version(s: Session, tag: str, to: str) -> None:
    """Set the version in a work tree, to a tag's or to the one given, and commit that."""
    if bool(tag) == bool(to):
        raise Usage(
            "name the version by either --tag or --to.",
            then=s.command("bump-version", to="1.76.5"),
        )
    found, work = s.open_work_tree()
    if tag:
        to = tags.require_stable(tags.checked_name(tag), found.policy.tags).release
    version = bump.checked_version(to)
    cut = bump.half_done(s.sh, work, found.policy, version)
    changes = bump.changes(work, found.policy, version)
    if not found.policy.version_files:
        s.console.say("The policy names no file that states the version; there is none to set.")
        return
    if not changes and not cut:
        s.console.say(f"The version is {version} already.")
        return
    message = found.policy.messages.version.replace("{version}", version)
    for change in changes:
        s.console.say(f"{change.path}: {change.key} {change.before} -> {change.after}")
    bump.apply(s.sh, s.console, work, found.policy, changes, cut, message)


def record_tag(s: Session, tag: str) -> None:
    """Write down in a work tree what a tag stands for, and commit that."""
    found, work = s.open_work_tree()
    name = target.here(found, target.asked_name(tag)).name
    ref = f"refs/tags/{name}"
    pin = pins.Pin(found.refs.objects[ref], found.refs.commits[ref])
    before = git.show(s.sh, work, "HEAD", pins.FILE_NAME)
    after = pins.add(before, name, pin)
    if after == before:
        s.console.say(f"{pins.FILE_NAME} has {name} already.")
        return
    resolve.write_file(s.sh, work, pins.FILE_NAME, before, after)
    message = pins.MESSAGE.replace("{tag}", name)
    words = ["git", "-C", str(work), "commit", "--quiet", "-m", message, "--", pins.FILE_NAME]
    git.checked(s.sh.run(words), "commit")
    s.console.say(f"{pins.FILE_NAME}: {name} is {pin.commit[:10]}.")


def build_sandbox(s: Session, path: Path) -> None:
    """Build the sandbox, unless it is there."""
    from .sandbox import build

    built = build.offer(s, path)
    clone = git.nearest(built.clone)
    ask = invocation.command(s.program, "next", repo=str(clone))
    which = "a new" if built.new else "the"
    s.console.say(f"{clone} is {which} fork to try things on; `{ask}` says what to do there.")
