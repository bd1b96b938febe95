"""The automation, and conflicts that are left: everything but the plain run of an upgrade."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from shlex import quote

from ..audit import healing
from ..ci import notify
from ..fork import branches, records, recovery, releases, session
from ..fork import detection as detecting
from ..fork.detection import Detection
from ..fork.fork import Fork
from ..fork.releases import Target
from ..fork.session import Session
from ..merge import resolve as deciding
from ..merge.hunks import Conflict
from ..merge.resolution import Resolution
from ..merge.reverted import reverted_sync
from ..merge.words import Words, bring_back
from ..run import files, git, github
from ..run.errors import Nothing, Paused, Refused, Usage
from ..run.github import Hub, Pull
from ..run.steps import Condition, Journal, Plan
from ..run.text import counted, in_actions, listed, printable
from . import begun, plan, proposals, pull_request, report, steps, upgrade
from .begun import Options, unresolved
from .left import propose, require_nothing_left, say_sides
from .work import Work, waits


def resolve(
    s: Session, words: Words, request: str, *, accept: Sequence[str], proposing: bool
) -> None:
    """Decide the conflicts of the merge in progress, or those left in a sync's pull request.

    request: the pull request's number, address or branch; "" for the merge in progress.
    accept: the files in which a program's proposal is accepted.
    proposing: whether the policy's programs are asked about what is left.
    Raises Usage if a file gets two answers or no reason; Paused if some conflicts need a person.
    """
    if both := sorted(set(words.upstream) & set(words.fork)):
        problem = f"{printable(both[0])} is named by both --accept-upstream and --keep-fork."
        raise Usage(problem, then="use one of them.")
    if words.takes:
        records.require_reason(words.reason)
    if request:
        _resolve_request(s, request, words, accept, proposing)
    else:
        _resolve_here(s, words, accept, proposing)


def _resolve_here(s: Session, words: Words, accept: Sequence[str], proposing: bool) -> None:
    fork, place = s.open_work_tree()
    state = git.work_state(s.sh, place)
    if accept:
        proposals.accept(s, place, accept)
        if not state.merging:
            message = f"chore: accept what was proposed for {listed(accept, 3)}"
            files.commit(s.sh, place, message, records.PROPOSALS_FILE)
            return
    if not state.merging:
        place = _work_tree_of_upgrade(s, fork, place)
        state = git.work_state(s.sh, place)
    release = fork.policy.branches.tag_of(state.branch.removeprefix("refs/heads/"))
    conclude = _conclude(s, fork, place, state.branch)
    begun.require_upstreams(s.sh, fork, place, state, f"then run `{conclude}`." if release else "")
    if release and not s.sh.dry:
        begun.bring_back(s.sh, s.console, fork, place, release)
    with s.console.working("resolve"):
        resolution = deciding.resolve(s.sh, fork, place, state.head, state.merging, words)
    merged = (state.head, state.merging, release or state.merging[:10])
    resolution = propose(s, fork, place, resolution, merged, proposing)
    if s.json:
        s.print_json(resolution.as_json())
    say_sides(s, resolution)
    require_nothing_left(s, resolution, place, conclude)
    if not s.sh.dry:
        s.console.next(conclude)


def _conclude(s: Session, fork: Fork, place: Path, branch: str) -> str:
    """The command that continues a merge in a work tree once no conflict is left."""
    if tag := fork.policy.branches.tag_of(branch.removeprefix("refs/heads/")):
        asked = begun.remembered(fork, tag).words()
        return session.command(s.program, "upgrade-carto", repo=str(fork.home), tag=tag, **asked)
    return f"{git.at(place)} commit"


def _work_tree_of_upgrade(s: Session, fork: Fork, work: Path) -> Path:
    """The work tree of the one upgrade with a merge in progress. Raises Refused otherwise."""
    upgrades = fork.merging(s.sh, git.worktrees(s.sh, fork.path))
    if not upgrades:
        then = "see `status`."
        for tree in git.worktrees(s.sh, fork.path):
            sync = tree.branch.removeprefix("refs/heads/")
            if fork.policy.branches.tag_of(sync) and branches.are_back(s.sh, tree.path):
                line = s.command("resolve-conflicts", pr=sync)
                then = f"`{line}`, with the options that you gave, resolves its pull request."
        raise Refused(f"no merge is in progress in `{git.named(work)}`.", then=then)
    if len(upgrades) > 1:
        trees = " and ".join(map(str, upgrades))
        problem = f"a merge is in progress in {trees}."
        raise Refused(problem, then="name one of them with --repo.")
    return upgrades[0]


def _resolve_request(
    s: Session, request: str, words: Words, accept: Sequence[str], proposing: bool
) -> None:
    """Resolve the conflicts left in a sync's pull request, check the result and push it."""
    fork, hub, pull, release = _open_sync(s, request)
    name, again = release.tag.name, s.command("resolve-conflicts", pr=request)
    with s.locked(fork.repository) as held:
        fork = recovery.put_in_order(s, fork, held, pull.head, release.commit)
        fetch = catch_up_plan(s, fork, release)
        place = git.nearest(Path(fetch.values["place"]))
        if (place / ".git").exists():
            state = git.work_state(s.sh, place)
            begun.require_upstreams(s.sh, fork, place, state, f"then run `{s.again}` again")
            ahead = begun.overtaken(s.sh, fork, name, release.pushed, begun.plain)
            if ahead and ahead.own:
                problem = f"somebody has pushed to {pull.head}, and {git.named(place)} has changes "
                problem += f"that {fork.policy.remotes.origin.name} lacks."
                then = f"`{ahead.line}` ({ahead.does}), then run the same command again."
                raise Refused(problem, then=then)
        fresh = not place.exists()
        s.run(steps.FETCH_REQUEST, fetch, held, numbered=False)
        needed = (release.base, release.commit, release.pushed)
        if s.sh.dry and not (
            place.exists() and all(git.has_object(s.sh, fork.path, x) for x in needed)
        ):
            s.console.say("The rest depends on what is checked out there. This continues then:")
            s.sh.show(s.again)
            return
        fork = replace(fork, refs=git.refs(s.sh, fork.path)).at(s.sh, release.base)
        work = Work(s, fork, release.tag, release.commit, place)
        merge, ours = git.merge_of(s.sh, fork.path, release.commit, release.pushed)
        if not merge:
            problem = f"{pull.head} does not contain a merge of {name}."
            raise Refused(problem, then=s.command("upgrade-carto", tag=name))
        left = _left(work, ours, merge)
        # If the work tree differs from its commit, or had them back before, somebody has begun to
        # resolve: a side that is staged may be what the commit has.
        if left and not (git.work_state(s.sh, place).dirty or branches.are_back(s.sh, place)):
            bring_back(s.sh, place, left)
        begun.bring_back(s.sh, s.console, fork, place, name)
        if accept:
            proposals.accept(s, place, accept)
        try:
            with s.console.working("resolve"):
                done = deciding.resolve(s.sh, fork, place, ours, release.commit, words)
        except Refused as refusal:
            if fresh and not left:
                _refuse_decided(s, fetch, held, refusal, again)
            raise
        merged = (ours, release.commit, name)
        done = propose(s, fork, place, done, merged, proposing, ends=True)
        say_sides(s, done, pr=request)
        _require_resolved(s, done, pull, place, again)
        values = fetch.values | {"open": "yes" if left else ""}
        s.run(steps.FINISH, replace(fetch, values=values), held, work)
        if held:
            report.write_for(s, fork, work)
            commands, tested = fork.policy.commands, bool(work.sync and work.sync.is_tested)
            if not tested and (commands.install or commands.test or commands.lint):
                test = s.command("upgrade-carto", tag=name)
                s.console.say("Nothing has tested it since; this does, on this machine:")
                s.console.next(test)
            else:
                s.console.next(github.view(hub, pull.number))


def _require_resolved(s: Session, done: Resolution, pull: Pull, place: Path, again: str) -> None:
    """Raises Paused if something is left in the work tree of a pull request."""
    stopped = {*(d.conflict.path for d in done.left), *done.marked}
    if stopped and not s.sh.dry:
        raise Paused(
            f"{counted(len(stopped), 'file')} of pull request {pull.number} "
            f"{'needs' if len(stopped) == 1 else 'need'} a person.",
            untouched="Nothing was committed or pushed; what could be decided is staged.",
            then=f"resolve {git.inside(place)}, `git add` each file, then run `{again}` again.",
        )


def _open_sync(s: Session, request: str) -> tuple[Fork, Hub, Pull, Target]:
    """The fork, and the pull request of a sync with its release. Raises Usage for another word than
    that of a pull request, Refused if that one is not an open sync into production."""
    if not re.fullmatch(r"#?\w[\w./:+-]*", request, re.ASCII):
        problem = f"{request!r} is not a pull request."
        raise Usage(problem, then="give its number, as in --pr 123.")
    fork = s.open_fork()
    hub = fork.hub(fork.policy.remotes.origin)
    github.require(s.sh, hub)
    pull = github.pull(s.sh, hub, request)
    production, name = fork.policy.branches.production, fork.policy.branches.tag_of(pull.head)
    if pull.state != "OPEN" or pull.base != production or not name:
        what = f"is {pull.state.lower()}, from {pull.head} into {pull.base}"
        problem = f"pull request {pull.number} {what}: it is not an open sync"
        then = "see `status`."
        if pull.state == "CLOSED" and pull.base == production and name:
            drop = f"push {fork.policy.remotes.origin.name} --delete {pull.head}"
            ways = [f"`{git.at(fork.path)} {drop}`", f"`{s.command('upgrade-carto', tag=name)}`"]
            if f"refs/heads/{pull.head}" in fork.refs.objects:
                ways.insert(0, f"`{s.command('upgrade-carto', tag=name, abort=True)}`")
            then = f"`{github.reopen(hub, pull.number)}`, then run the same command again; or, to "
            then += f"make the upgrade anew: {', then '.join(ways)}."
        raise Refused(f"{problem} into {production}.", then=then)
    return fork, hub, pull, releases.find(s.sh, fork, name)


def _left(work: Work, ours: str, merge: str) -> list[Conflict]:
    """The conflicts left on the sync branch that is checked out.

    ours, merge: the fork's side, and the merge itself.
    """
    sh, decided = work.s.sh, work.decisions(ours)
    head = git.commit_of(sh, work.place, "HEAD")
    left = set(unresolved(sh, work.fork, decided, ours, work.theirs, merge, head))
    return [d.conflict for d in decided if d.conflict.path in left]


def _refuse_decided(
    s: Session, fetch: Plan, held: Journal | None, refusal: Refused, again: str
) -> None:
    """Say how to change what is decided in a pull request without conflicts, and remove the work
    tree that this run has made if nobody's work is in it."""
    place = Path(fetch.values["place"])
    state = git.work_state(s.sh, place)
    add = ""
    if not (state.dirty or state.untracked):
        s.run(branches.TIDY, fetch, held, numbered=False)
        add = f"{git.at(Path(fetch.values['repo']))} worktree add {quote(str(git.nearest(place)))} "
        add += f"{quote(fetch.values['sync'])}; "
    refusal.untouched = fetch.untouched
    refusal.what += f" No conflict is left in {fetch.values['sync']}."
    refusal.then = (
        f"{add}edit and commit in {git.nearest(place)}, then `{again}` checks and pushes it."
    )


def catch_up_plan(s: Session, fork: Fork, release: releases.Target) -> Plan:
    """The plan for checking a pull request's branch out in a separate work tree."""
    fetch = plan.fetch_plan(fork, release)
    work = plan.place_of(fork, release.tag.name)
    branch = f"refs/heads/{fetch.values['sync']}"
    local = fork.refs.commits.get(branch, "")
    conditions: set[Condition] = set(fetch.conditions)
    if local and local != release.pushed:
        behind = True
        if git.has_object(s.sh, fork.path, release.pushed):
            behind = not git.is_ancestor(s.sh, fork.path, release.pushed, local)
        if behind:
            conditions.add(steps.WORK_BEHIND if work.exists() else steps.BRANCH_BEHIND)
    saved = begun.pending(s.sh, fork, release.tag.name, work, release.pushed)
    if saved:
        conditions.add(steps.SAVED)
    values = fetch.values | {
        "saved": saved,
        "commit": release.commit,
        "version": release.tag.release,
        "work": str(git.nearest(work)),
        "place": str(work),
        "resolved": records.RESOLVED_MESSAGE.replace("{tag}", release.tag.name),
    }
    untouched = "Your checkout and origin are unchanged."
    return replace(fetch, values=values, conditions=frozenset(conditions), untouched=untouched)


def sync_upstream(s: Session, options: Options) -> None:
    """Prepare a release up to its pull request: the newest one, or the one given."""
    fork = s.open_fork()
    name, detection = options.tag, None
    if not name:
        detection = _detect(s, fork)
        detecting.show(s.console, detection, fork)
        if detection.newest is None:
            result = {"result": "nothing", "tag": "", "pull_request": ""}
            _end(s, fork, "nothing", result, detection)
            return
        name = detection.newest.name
    hub = fork.hub(fork.policy.remotes.origin)
    github.require(s.sh, hub)
    release = releases.find(s.sh, fork, name)
    tag, name = release.tag, fork.policy.branches.sync_for(release.tag.name)
    fetched = all(git.has_object(s.sh, fork.path, x) for x in (release.commit, release.base))
    if fetched and git.is_ancestor(s.sh, fork.path, release.commit, release.base):
        s.console.say(f"Nothing new: {fork.policy.branches.production} contains {tag.name}.")
        if gone := reverted_sync(s.sh, fork, release.base):
            said = f"{gone.said}; to restore it: {gone.undone(fork)}"
            s.console.say(f"But {said}.", "yellow")
            s.console.annotate("Reverted", said, sure=False)
        _end(s, fork, "nothing", {"result": "nothing", "tag": tag.name, "pull_request": ""})
        return
    if declined := pull_request.declined(s, fork, hub, name, release.pushed):
        s.console.say(f"Somebody closed {declined.url} for {tag.name}; nothing to do.")
        result = {"result": "declined", "tag": tag.name, "pull_request": declined.url}
        _end(s, fork, "declined", result, detection)
        return
    # It asks for the pull request itself, to say whether that changed; --dry prints the step.
    options = replace(options, tag=tag.name, request=s.sh.dry, automatic=True)
    work = Work(s, fork, tag, release.commit)
    waiting = bool(release.pushed) and _waits_for_person(work, release)
    if not waiting:
        try:
            ended = upgrade.run(s, options, leave=True)
        except Nothing as nothing:  # production as it was just fetched has it
            s.console.say(nothing.what)
            _end(s, fork, "nothing", {"result": "nothing", "tag": tag.name, "pull_request": ""})
            return
        work = ended[1] if ended else work
    if s.sh.dry:
        if waiting:
            s.console.say(f"{name} waits for somebody to resolve it. This updates its request:")
            s.sh.show(s.command("step.sync-pr", tag=tag.name))
        return
    asked = pull_request.open_request(work, numbered=False)
    if not report.path_of(fork, tag.name).exists():  # an earlier run was killed before it wrote it
        report.write_for(s, fork, work)
    event, what = "success", "a review"
    if asked.conflicts:
        files_ = counted(asked.conflicts, "file")
        event, what = "conflicts", f"somebody to resolve the conflicts in {files_}"
    about = f"Pull request {asked.number} is waiting for {what}."
    result = {"result": asked.result, "tag": tag.name, "pull_request": asked.url, "about": about}
    if not asked.changed:
        # The team got a message when it was opened; the schedule runs every few hours.
        s.console.say(f"It is still waiting for {what}.")
        event, result["result"] = "", "waiting"
    _end(s, fork, event, result, detection)
    if asked.conflicts and not in_actions():
        s.console.next(s.command("resolve-conflicts", pr=str(asked.number)))


def _detect(s: Session, fork: Fork) -> Detection:
    """Upstream's new releases; without tags on something that is not a commit, as far as known."""
    detection = detecting.detect(s.sh, fork)
    while _fetch_strange(s, fork, detection):
        detection = detecting.detect(s.sh, fork)
    warnings = list(detection.warnings)
    if gone := reverted_sync(s.sh, fork, fork.production_commit):
        warnings.append(gone.said)
    there, stated = releases.upstream_refs(s.sh, fork) or fork.refs, [detection.version]
    if only := healing.only_stated(fork.policy.tags, there, stated, detection.contained):
        production = fork.policy.branches.production
        warnings.append(f"{production} states {only.name}'s version but lacks its commits")
    return replace(detection, warnings=tuple(warnings))


def _fetch_strange(s: Session, fork: Fork, detection: Detection) -> bool:
    """Fetch the newest tag's object if the clone lacks it and GitHub has no release of the tag.

    Returns whether that object is something other than a commit.
    """
    is_known = detection.release or git.has_object(s.sh, fork.path, detection.commit)
    if not detection.newest or s.sh.dry or is_known:
        return False
    remote, ref = fork.policy.remotes.upstream.name, f"refs/tags/{detection.newest.name}"
    s.sh.run(["git", "-C", str(fork.path), "fetch", "--quiet", "--no-tags", remote, ref])
    return bool(releases.not_commits(s.sh, fork, [detection.commit]))


def _end(
    s: Session,
    fork: Fork,
    event: str,
    result: dict[str, str],
    detection: Detection | None = None,
) -> None:
    """Report the outcome: to the steps of a workflow, to scripts, and to the team if there is an
    event.

    detection: upstream's releases, for the message. Without another event, a release that upstream
        moved is one, once in a clone.
    """
    result = {"about": "", **result}
    notify.set_outputs(result)
    if s.json:
        s.print_json(result)
    reported = fork.notes("clone") / "moved"
    moved = detection.moved_id if detection else ""
    said = reported.is_file() and reported.read_bytes() == moved.encode()
    if event in ("", *notify.QUIET) and moved and not (said or s.sh.dry):
        event = "moved"
    if event and (notify.has_webhook() or not in_actions()):  # there, a job of its own sends it
        text = "\n".join(filter(None, [result["about"], detection.said if detection else ""]))
        why = notify.send(s, event, tag=result["tag"], url=result["pull_request"], text=text)
        if moved and not why:
            files.keep(reported, moved)


def _waits_for_person(work: Work, release: Target) -> bool:
    """Whether origin's sync branch has conflicts that a person has yet to resolve.

    It fast-forwards the local branch if possible, and removes a work tree in which nobody has begun
    to resolve.
    """
    s, fork = work.s, work.fork
    with s.locked(fork.repository) as held:
        sync = fork.policy.branches.sync_for(release.tag.name)
        fork = recovery.put_in_order(s, fork, held, sync, release.commit)
        plan = catch_up_plan(s, fork, release)
        s.run(steps.CATCH_UP, plan, held, numbered=False)
        fetched = git.has_object(s.sh, fork.path, release.pushed)  # --dry fetches nothing
        left = fetched and waits(work, release.pushed)
        place = Path(plan.values["place"])
        if left and place.exists() and not s.sh.dry:
            state = git.work_state(s.sh, place)
            if state.head == release.pushed and not state.dirty:
                s.run(branches.TIDY, plan, held, numbered=False)
    return left


def sync_pr(s: Session, name: str) -> None:
    """Open or update the pull request of a published sync branch."""
    fork = s.open_fork()
    tag = releases.here(fork, releases.asked_name(name))
    work = Work(s, fork, tag, fork.refs.tag(tag.name))
    asked = pull_request.open_request(work)
    notify.set_outputs({"result": asked.result, "pull_request": asked.url})
    if s.json:
        s.print_json(asked.as_json())


def show_detection(s: Session) -> str:
    """Print the newest stable upstream release that the production branch does not contain.

    Returns its tag; "" if it contains all.
    """
    fork = s.open_fork()
    detection = _detect(s, fork)
    if not s.sh.dry:
        notify.set_outputs(detection.outputs())
    if s.json:
        s.print_json(detection.as_json())
    else:
        detecting.show(s.console, detection, fork)
    return detection.newest.name if detection.newest else ""
