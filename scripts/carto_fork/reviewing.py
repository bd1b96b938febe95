"""What the tasks do that tell what became of things: accounts, forecasts, inventories."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from . import report
from .audit import inventory
from .fork import fork, target
from .fork.session import Session
from .run import git
from .run.errors import CheckFailed, Refused, Usage
from .run.text import counted, printable

# What only some tasks need is imported by them: it costs more than most questions to git.
if TYPE_CHECKING:
    from .audit.verify import Verification


def verify_merge(s: Session, tag: str, revs: Mapping[str, str], landed: str) -> None:
    """Check a merge: of a tag in a work tree, of three commits, or one that has landed.

    revs: the commits by option, "" where one is not given.
    Raises CheckFailed where something is wrong or lost.
    """
    from .audit import verify

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
        release = target.here(found, landed)
        with s.console.working("verify"):
            checked = verify.of_landed(s.sh, found, release)
        what, then = f"the sync to {release.name}", _how_to_mend_landed(s, checked, release.name)
    else:
        name = target.asked_name(tag)
        found, work = s.open_work_tree()
        release = target.here(found, name)
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


def let_go(s: Session, path: str, reason: str, tag: str) -> None:
    """Write down that what a merge lost in a file was meant, and commit that."""
    from .audit import verify
    from .merge import resolve

    if not path or not reason.strip():
        option = "--path" if not path else "--reason"
        raise Usage(f"{option} is missing.", then=s.command("drop", path="PATH", reason="WHY"))
    found, work = s.open_work_tree()
    if tag:
        target.here(found, tag)
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
    from .audit import healing
    from .upgrade import procedures

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
    from .audit import forecast

    found = s.open_fork()
    if not found.has_production:
        inventory.ground(s.sh, found)
    if names:
        releases = [target.here(found, name) for name in names]
    else:
        releases = target.newest_here(s.sh, found)
    if not releases:
        production = found.policy.branches.production
        s.console.say(f"Nothing to forecast: {production} has every stable release that is here.")
        upstream = found.policy.remotes.upstream
        fetch = f"{git.at(found.path)} fetch --tags {upstream.name}"
        get = fetch if found.url(upstream) else f"{s.command('setup')} && {fetch}"
        s.console.row("This fetches what is not here: ", get)
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
    elif markdown and told:
        s.sh.show(forecast.markdown(told))
    elif told:
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
    from .audit import verify

    found = s.open_fork()
    if scan:
        proposed = inventory.features(s.sh, found, inventory.ground(s.sh, found))
        if s.json:
            s.print_json(proposed)
        else:
            s.sh.show(report.manifest(proposed))
        return
    fork.require_production(found)
    missing = verify.missing_features(s.sh, found)
    if s.json:
        s.print_json({"features": found.policy.feature, "missing": missing})
    report.features(s.console, found.policy, missing, s.command)
    if missing:
        branch = found.policy.branches.production
        problem = f"{branch} lacks {counted(len(missing), 'part')} of its features."
        raise CheckFailed(problem, then="bring them back, or correct the manifest.")
