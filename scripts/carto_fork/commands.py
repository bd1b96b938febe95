"""What each task does: find out, plan, run the procedure, report. `tasks` declares them."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from . import (
    bump,
    forecast,
    fork,
    git,
    healing,
    inventory,
    invocation,
    mirror,
    pins,
    procedures,
    report,
    resolve,
    status,
    tags,
    target,
    upgrade,
)
from .errors import CheckFailed, Paused, Refused, Usage
from .fork import Fork
from .journal import Journal
from .session import Session
from .steps import Plan, RunTask
from .text import counted, printable

# What only some tasks need is imported by them: it costs more than most questions to git.
if TYPE_CHECKING:
    from .sandbox import Sandbox
    from .verify import Verification


def set_up(s: Session) -> None:
    """Add the remotes that are missing, and set git up in the clone."""
    found = s.open_fork()
    fork.require_right_urls(found)
    origin, upstream = found.policy.remotes.origin, found.policy.remotes.upstream
    remotes = {"no-origin": origin, "no-upstream": upstream}
    missing = {condition for condition, remote in remotes.items() if found.url(remote) is None}
    with s.locked(found.repository) as held:
        s.run(procedures.SETUP, Plan(found.values(), frozenset(missing)), held)


def show_status(s: Session) -> None:
    """Tell where the fork stands."""
    found = s.open_fork(whatever_policy=True)
    facts = status.read(s.sh, found, s.command)
    if s.json:
        s.print_json(facts.as_json())
    else:
        report.status(s.console, facts, str(found.path))


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
            then=f"edit it in {work}, `git add` it, then {_conclude(s, found, work)}",
        )
    if resolution.left and not s.sh.dry:
        count = len(resolution.left)
        raise Paused(
            f"{count} {'conflict needs' if count == 1 else 'conflicts need'} a person.",
            untouched="Nothing was committed; what could be decided is staged.",
            then=f"resolve in {work}, `git add` each file, then {_conclude(s, found, work)}",
        )


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
    name = tag_here(found, target.asked_name(tag)).name
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


def verify_merge(s: Session, tag: str, revs: Mapping[str, str], landed: str) -> None:
    """Check a merge: of a tag in a work tree, of three commits, or one that has landed.

    revs: the commits by option, "" where one is not given.
    Raises CheckFailed where something is wrong or lost.
    """
    from . import verify

    given = [option for option, rev in revs.items() if rev]
    if given and len(given) < len(revs):
        missing = [f"--{option}" for option in revs if option not in given]
        problem = f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing."
        raise Usage(problem, then="name all three commits of the merge.")
    if sum(map(bool, (tag, given, landed))) > 1:
        raise Usage(
            "--tag, --landed and three commits exclude each other.", then="choose one of them."
        )
    if strange := [option for option in given if revs[option].startswith("-")]:
        problem = f"--{strange[0]} is {printable(revs[strange[0]])}, which no commit is called."
        raise Usage(problem, then="name a commit, a branch or a tag.")
    if given:
        found = s.open_fork()
        with s.console.working("verify"):
            checked = verify.of_merge(
                s.sh, found, found.path, revs["ours"], revs["theirs"], revs["result"]
            )
        what, then = "the merge", "mend the result, then run the same command again."
    elif landed:
        found = s.open_fork()
        release = tag_here(found, landed)
        with s.console.working("verify"):
            checked = verify.of_landed(s.sh, found, release)
        what, then = f"the sync to {release.name}", _how_to_mend_landed(s, checked, release.name)
    else:
        name = target.asked_name(tag)
        found, work = s.open_work_tree()
        release = tag_here(found, name)
        with s.console.working("verify"):
            checked = verify.of_work_tree(s.sh, found, work, release)
        drop = s.command("drop", path="PATH", reason="WHY")
        what = f"the merge of {release.name}"
        then = (
            f"mend it in {work} and commit, or let it go: {drop}; then run the same command again."
        )
    if s.json:
        s.print_json(checked.as_json())
    report.verification(s.console, checked, what)
    if not checked.passed:
        raise CheckFailed(report.what_is_wrong(checked, what), then=then)


def _how_to_mend_landed(s: Session, checked: Verification, tag: str) -> str:
    if checked.healed:
        return s.command("heal")
    return f"bring back what is missing, or merge it first: {s.command('upgrade-carto', tag=tag)}"


def tag_here(found: Fork, name: str) -> tags.Tag:
    """A stable release whose tag is here. Raises Refused otherwise."""
    release = tags.require_stable(tags.checked_name(name), found.policy.tags)
    ref = f"refs/tags/{name}"
    if ref not in found.refs.objects:
        raise Refused(
            f"there is no tag {name} here.",
            then=f"{git.at(found.path)} fetch {found.policy.remotes.upstream.name} {ref}:{ref}",
        )
    return release


def let_go(s: Session, path: str, reason: str, tag: str) -> None:
    """Write down that what a merge lost in a file was meant, and commit that."""
    from . import verify

    if not path or not reason.strip():
        option = "--path" if not path else "--reason"
        raise Usage(f"{option} is missing.", then=s.command("drop", path="PATH", reason="WHY"))
    found, work = s.open_work_tree()
    if tag:
        tag_here(found, tag)
    state = git.work_state(s.sh, work)
    if state.merging or state.dirty:
        raise Refused(
            f"{git.named(work)} has changes that are not committed.",
            then="commit them, then run the same command again.",
        )
    theirs, ours = verify.last_merge(s.sh, found, work, tag)
    checked = verify.of_merge(s.sh, found, work, ours, theirs, state.head)
    account = checked.account
    gone = [*account.lost, *account.to_look_at] if account else []
    if not gone:
        raise Refused("this merge has lost nothing.", then="see `status`.")
    entries = [entry for entry in gone if entry.path == path]
    if not entries:
        listed = ", ".join(map(printable, sorted({entry.path for entry in gone})[:5]))
        problem = f"nothing is lost in {printable(path)}, but in {listed}."
        raise Refused(problem, then="name one of them.")
    drops_ = [drop for entry in entries if (drop := verify.drop_of(entry, reason))]
    resolve.write_drops(s.sh, work, drops_)
    message = f"chore: let changes to {path} go\n\n{reason}"
    done = s.sh.do("git -C {work} commit --quiet -m {message}", work=work, message=message)
    git.checked(done, "commit")
    s.console.say(f"{counted(len(entries), 'change')} in {printable(path)} may go: {reason}")


def heal(s: Session, check: bool, direct: bool, push: bool) -> None:
    """Record the lost ancestry of a sync; only say how things are where `check` is given."""
    found = s.open_fork()
    if not found.has_production or not found.upstream_refs:
        inventory.ground(s.sh, found)
    fork.require_right_urls(found)
    fork.require_whole_history(found)
    with s.console.working("heal"):
        ill = healing.find(s.sh, found, inventory.tip(found))
    production = found.policy.branches.production
    if s.json:
        s.print_json(ill and ill.as_json())
    if ill is None:
        s.console.say(f"{production} has the ancestry of every sync; nothing to heal.")
        return
    report.healing(s.console, ill, production)
    try:
        healing.require_provable(found, ill.lost)
    except Refused as refusal:
        if check:
            raise CheckFailed(refusal.what, then=refusal.then) from None
        raise
    if check:
        problem = f"{production} has lost the ancestry of a sync."
        raise CheckFailed(problem, then=s.command("heal", direct=direct))
    if not git.has_identity(s.sh, found.path):
        raise git.nobody(found.path)
    plan = healing.plan(s.sh, found, ill, direct=direct, push=push)
    with s.locked(found.repository) as held:
        s.run(procedures.HEAL, plan, held)
    if not s.sh.dry:
        report.healed(s.console, ill, found, direct=direct, push=push)


def show_forecast(s: Session, names: Sequence[str], markdown: bool) -> None:
    """Tell what merging some releases would do."""
    found = s.open_fork()
    if not found.has_production:
        inventory.ground(s.sh, found)
    if names:
        releases = [tag_here(found, name) for name in names]
    else:
        releases = target.newest_here(s.sh, found)
        if not releases:
            raise Refused(
                "no stable release is here that the production branch does not contain.",
                then=f"{git.at(found.path)} fetch {found.policy.remotes.upstream.name} --tags, "
                "then run the same command again.",
            )
    with s.console.working("forecast"):
        told = forecast.forecasts(s.sh, found, releases)
    if merged := next((one for one in told if not one.commits), None):
        raise Refused(
            f"{found.policy.branches.production} already contains {merged.tag}.",
            then="choose a newer release; `status` names the newest one.",
        )
    if s.json:
        best = forecast.recommended(told)
        s.print_json(
            {"recommended": best and best.tag, "forecasts": [one.as_json() for one in told]}
        )
    elif markdown:
        s.sh.show(forecast.markdown(told))
    else:
        report.forecasts(s.console, told, s.command)


def show_drift(s: Session, reset: bool) -> None:
    """List what differs from upstream although nobody in the fork changed it, or reset it."""
    found = s.open_fork()
    known = inventory.ground(s.sh, found)
    paths = inventory.drift(s.sh, found, known)
    if s.json:
        s.print_json({"base": known.base, "paths": paths})
    if not reset:
        report.drift(s.console, paths, known, s.command)
        return
    work = git.top_of_work_tree(s.sh, found.repository.path)
    state = git.work_state(s.sh, work)
    protected = (found.local_production, f"refs/heads/{found.policy.branches.mirror}")
    if state.dirty or state.merging or state.branch in protected or not state.branch:
        raise Refused(
            f"{git.named(work)} is not a clean checkout of a branch for this.",
            then=f"{git.at(work)} switch -c chore/reset-drift {found.origin_production}, "
            "then run the same command again.",
        )
    there = inventory.drifted_here(s.sh, work, known, paths)
    if there:
        message = f"chore: reset {counted(len(there), 'drifted file')} to upstream"
        with s.locked(found.repository):
            inventory.reset(s.sh, work, known, there, message)
    s.console.say(f"{counted(len(there), 'file')} reset to upstream {known.base[:10]}.")


def show_absorbed(s: Session) -> None:
    """List the fork's changes that upstream has too."""
    found = s.open_fork()
    known = inventory.ground(s.sh, found)
    changes = inventory.absorbed(s.sh, found, known)
    if s.json:
        s.print_json({path: [e.as_json() for e in entries] for path, entries in changes.items()})
    else:
        report.absorbed(s.console, changes)


def show_features(s: Session, scan: bool) -> None:
    """Tell which features of the manifest the production branch has, or propose more of them."""
    from . import verify

    found = s.open_fork()
    if scan:
        proposed = inventory.features(s.sh, found, inventory.ground(s.sh, found))
        if s.json:
            s.print_json(proposed)
        else:
            s.sh.show(report.manifest(proposed))
        return
    missing = verify.missing_features(s.sh, found)
    if s.json:
        s.print_json({"features": found.policy.feature, "missing": missing})
    report.features(s.console, found.policy, missing, s.command)
    if missing:
        branch = found.policy.branches.production
        problem = f"{branch} lacks {counted(len(missing), 'part')} of its features."
        raise CheckFailed(problem, then="bring them back, or correct the manifest.")


def give_gh(s: Session, built: Sandbox) -> None:
    """Let a sandbox have pull requests and releases, where what that needs is installed."""
    from . import sandbox

    try:
        from . import standin_gh
    except ImportError:
        found = None
    else:
        found = standin_gh.real_gh(built.clone.parent)
    if found:
        sandbox.install_gh(s.sh, built, sys.executable, standin_gh.__name__)
    else:
        s.console.say(
            "Without pull requests and releases: `pip install 'carto-fork[sandbox]'` adds them.",
            "yellow",
        )


def build_sandbox(s: Session, path: Path) -> None:
    """Build the sandbox, unless it is there."""
    from . import sandbox

    built = sandbox.build(s.sh, path)
    if built.new:
        give_gh(s, built)
    clone = git.nearest(built.clone)
    s.console.say(f"{clone} is {'a new' if built.new else 'the'} fork to try things on.")
