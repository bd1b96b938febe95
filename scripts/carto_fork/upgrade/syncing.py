"""The automation of an upgrade: notice a release, prepare it, ask for its review."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from .. import commands, report
from ..ci import actions, notifying
from ..fork import detect, tags, target
from ..fork.fork import Fork
from ..fork.policy import PullRequests
from ..fork.session import Session
from ..fork.tags import Tag
from ..merge import resolve
from ..merge.decisions import Decision
from ..run import git, github, invocation
from ..run.errors import Paused, Refused, Usage
from ..run.github import Hub, Pull
from ..run.steps import Plan, RunTask, Step
from ..run.text import counted
from . import plan as upgrade
from . import procedures, pull_request, syncs
from .pull_request import Context
from .syncs import Sync

_COLOURS = {"clean": "0e8a16", "conflicts": "d93f0b"}
_PLAIN_COLOUR = "c5def5"
_OWN_AUTHOR = re.compile(r"(app/)?github-actions(\[bot\])?")
_MOST_LEFT = 20


def sync_upstream(s: Session, options: upgrade.Options, run_task: RunTask) -> None:
    """Prepare the newest release, or the one that was named, up to its pull request."""
    found = s.open_fork()
    name = options.tag
    if not name:
        detection = detect.read(s.sh, found)
        report.detection(s.console, detection, found, s.command)
        if detection.newest is None:
            _end(s, "nothing", {"result": "nothing", "tag": "", "pull_request": ""})
            return
        name = detection.newest.name
    hub = found.hub(found.policy.remotes.origin)
    github.require(s.sh, hub)
    release = target.find(s.sh, found, name)
    tag, branch = release.tag, found.policy.branches.sync_for(release.tag.name)
    here = all(git.has_object(s.sh, found.path, name) for name in (release.commit, release.base))
    if here and git.is_ancestor(s.sh, found.path, release.commit, release.base):
        s.console.say(f"Nothing new: {found.policy.branches.production} contains {tag.name}.")
        _end(s, "nothing", {"result": "nothing", "tag": tag.name, "pull_request": ""})
        return
    if declined := _declined(s, found, hub, branch, release.pushed):
        s.console.say(f"A person closed {declined.url} for {tag.name}; nothing to do.")
        result = {"result": "declined", "tag": tag.name, "pull_request": declined.url}
        _end(s, "nothing", result)
        return
    options = replace(options, tag=tag.name, request=False)
    if not (release.pushed and _waits_for_person(s, found, release)):
        # A run that was cut may have committed what is left, and not published it.
        mine = found.refs.commits.get(f"refs/heads/{branch}")
        if mine and _holds_conflicts(s, found, release, mine):
            _leave(s, options, run_task)
        else:
            try:
                commands.run_upgrade(s, options, run_task, quiet=True)
            except Paused:
                _leave(s, options, run_task)
    if s.sh.dry:
        return
    asked = request(s, tag.name)
    event = "conflicts" if asked["conflicts"] else "success"
    result = {"result": asked["result"], "tag": tag.name, "pull_request": asked["url"]}
    if not asked["changed"]:
        # The team was told when it was opened; a schedule comes by here every few hours.
        s.console.say("It waits for its review, as before.")
        event, result["result"] = "", "waiting"
    _end(s, event, result)


def _end(s: Session, event: str, result: dict[str, str]) -> None:
    """Say what came of it: to the steps of a workflow, to scripts, and to the team if there is an
    event."""
    actions.set_outputs(result)
    if s.json:
        s.print_json(result)
    if event:
        notifying.tell(s, event, tag=result["tag"], url=result["pull_request"])


def _declined(s: Session, found: Fork, hub: Hub, branch: str, pushed: str) -> Pull | None:
    """The pull request of this very branch that a person closed without merging it."""
    if not pushed:
        return None
    production = found.policy.branches.production
    known = github.pulls(s.sh, hub, base=production, state="all", head=branch)
    if any(pull.state == "OPEN" for pull in known):
        return None
    closed = (pull for pull in known if pull.state == "CLOSED" and pull.commit == pushed)
    return next(closed, None)


def _waits_for_person(s: Session, found: Fork, release: target.Target) -> bool:
    """Whether origin's sync branch holds conflicts that a person has yet to resolve.

    The local branch follows it as far as that is a fast-forward, and a work tree that nobody has
    begun to resolve in is put away.
    """
    with s.locked(found.repository) as held:
        plan = _fetch_plan(s, found, release)
        s.run(procedures.CATCH_UP, plan, held)
        # Under --dry nothing was fetched.
        waits = git.has_object(s.sh, found.path, release.pushed) and _holds_conflicts(
            s, found, release, release.pushed
        )
        work = Path(plan.values["place"])
        if waits and work.exists() and not s.sh.dry:
            state = git.work_state(s.sh, work)
            if state.head == release.pushed and not state.dirty:
                s.run(procedures.TIDY, plan, held)
    return waits


def _holds_conflicts(s: Session, found: Fork, release: target.Target, head: str) -> bool:
    """Whether a commit of a sync branch holds conflicts that a person has yet to resolve."""
    merge, ours = git.merge_of(s.sh, found.path, release.commit, head)
    if not merge:
        return False
    decided = syncs.decided(s.sh, found, ours, release.commit)
    return bool(syncs.unresolved(s.sh, found, decided, ours, release.commit, merge, head))


def _leave(s: Session, options: upgrade.Options, run_task: RunTask) -> None:
    """Publish a merge of which something is left, for a person to finish."""
    found = s.open_fork(whatever_policy=True)
    release = target.find(s.sh, found, options.tag)
    found = found.at(s.sh, release.base)
    with s.locked(found.repository) as held:
        ready = upgrade.prepare(s.sh, found, release, options)
        listed = s.sh.ask("git -C {work} diff --name-only --diff-filter=U -z", work=ready.work)
        left = sorted(set(git.checked(listed, "conflicts").fields()))
        shown = "".join(f"\n- {path}" for path in left[:_MOST_LEFT])
        more = f"\n- and {len(left) - _MOST_LEFT} more" if len(left) > _MOST_LEFT else ""
        message = f"{ready.plan.values['message']}\n\nLeft for a person to resolve:\n{shown}{more}"
        conditions = set(ready.plan.conditions)
        if found.policy.version_paths.isdisjoint(left):
            conditions.add("version")
        values = ready.plan.values | {"unfinished": message}
        plan = replace(ready.plan, values=values, conditions=frozenset(conditions))
        s.run(procedures.LEAVE, plan, held, run_task)


def open_request(s: Session, name: str) -> None:
    """Open or update the pull request of a sync branch that is published."""
    asked = request(s, target.asked_name(name))
    actions.set_outputs({"result": asked["result"], "pull_request": asked["url"]})
    if s.json:
        s.print_json(asked)


def request(s: Session, name: str) -> dict[str, Any]:
    """Open or update a pull request, supersede those of older releases; what came of it."""
    found = s.open_fork()
    tag = target.here(found, name)
    branches, origin = found.policy.branches, found.policy.remotes.origin
    branch = branches.sync_for(tag.name)
    ref = f"refs/heads/{branch}"
    there = git.remote_refs(s.sh, found.path, origin.name, [ref])
    head = there.objects.get(ref, "") if there else ""
    if not head or not git.has_object(s.sh, found.path, head):
        missing = f"{origin.name} has no {branch}" if not head else f"{branch} is not here"
        raise Refused(
            f"{missing}.",
            then=s.command("upgrade-carto", tag=tag.name)
            if not head
            else f"{git.at(found.path)} fetch {origin.name} {branch}",
        )
    hub = found.hub(origin)
    github.require(s.sh, hub)
    sync = syncs.read(s.sh, found, tag, head)
    pulls = github.pulls(s.sh, hub, base=branches.production)
    mine = known = next((pull for pull in pulls if pull.head == branch), None)
    # Nothing of this touches the clone, so that its lock is not needed; the upgrade may hold it.
    values = _values(s, found, sync, mine)
    lacking = _missing_labels(s, found, hub)
    steps, words = _with_labels(
        procedures.UPDATE_REQUEST if mine else procedures.OPEN_REQUEST, lacking
    )
    s.run(steps, Plan(values | words, frozenset({"labels"} if lacking else ())), None)
    if mine is None and not s.sh.dry:
        pulls = github.pulls(s.sh, hub, base=branches.production)
        mine = next((pull for pull in pulls if pull.head == branch), None)
        values = _values(s, found, sync, mine)
        if mine and _starts_no_ci(mine):
            # Its author is only known now, and the text warns of that.
            s.run(procedures.UPDATE_REQUEST, Plan(values, _NONE), None)
    if mine is not None:
        _supersede(s, found, pulls, mine, tag, values)
    result = "conflicts" if sync.unresolved else "clean"
    url = mine.url if mine else ""
    if url:
        s.console.row(f"Pull request {mine.number if mine else 0}: ", url, "green")
    return {
        "result": result,
        "conflicts": len(sync.unresolved),
        "changed": known is None or not _is_told(known, values),
        "number": mine and mine.number,
        "url": url,
        "tag": tag.name,
        "branch": branch,
    }


def _is_told(known: Pull, values: dict[str, str]) -> bool:
    """Whether a pull request was there before, with the labels that it has now and at the commit
    for which its text was written."""
    labels = set(values["labels"].split(","))
    return labels <= set(known.labels) and values["head"][:10] in known.body


_NONE: frozenset[str] = frozenset()


def _starts_no_ci(pull: Pull) -> bool:
    """Whether GitHub starts no workflow for a pull request, since its own token opened it."""
    return actions.running() and bool(_OWN_AUTHOR.fullmatch(pull.author))


def _values(s: Session, found: Fork, sync: Sync, mine: Pull | None) -> dict[str, str]:
    """What the placeholders of the steps for a pull request stand for; writes its text."""
    settings, production = found.policy.pull_requests, found.policy.branches.production
    context = Context(
        upstream=found.hub(found.policy.remotes.upstream).url,
        production=production,
        remotes=(found.policy.remotes.origin.name, found.policy.remotes.upstream.name),
        install=found.policy.commands.install,
        test=found.policy.commands.test,
        lint=found.policy.commands.lint,
        report=actions.run_url(),
        starts_no_ci=bool(mine and _starts_no_ci(mine)),
    )
    full = pull_request.full(sync, context)
    path = found.repository.common / "carto-fork" / sync.tag.name / "pull-request.md"
    if not s.sh.dry:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(pull_request.body(sync, context), encoding="utf-8")
        if mine:
            actions.summarize(full)
    state, other = settings.clean, settings.conflicts
    if sync.unresolved:
        state, other = other, state
    return found.values() | {
        "sync": sync.branch,
        "head": sync.head,
        "title": pull_request.title(sync, production),
        "body": str(path),
        "labels": ",".join([*settings.labels, state]),
        "other": other,
        "number": str(mine.number if mine else ""),
    }


def _missing_labels(s: Session, found: Fork, hub: Hub) -> list[tuple[str, str, str]]:
    """The labels that the repository lacks, with colour and description."""
    settings: PullRequests = found.policy.pull_requests
    wanted = [
        *((name, _PLAIN_COLOUR, "Upgrade to an upstream release") for name in settings.labels),
        (settings.clean, _COLOURS["clean"], "Merged without anything left for a person"),
        (settings.conflicts, _COLOURS["conflicts"], "Conflicts are left for a person"),
    ]
    known = {label.lower() for label in github.labels(s.sh, hub)}
    return [label for label in wanted if label[0].lower() not in known]


def _with_labels(
    steps: Sequence[Step], missing: Sequence[tuple[str, str, str]]
) -> tuple[list[Step], dict[str, str]]:
    """The steps, the first with a line for each of the labels; what its placeholders stand for."""
    first, *others = steps
    lines, values = [], {}
    for number, label in enumerate(missing, 1):
        line = first.run[0]
        for name, value in zip(("label", "colour", "description"), label, strict=True):
            line = line.replace(f"{{{name}}}", f"{{{name}{number}}}")
            values[f"{name}{number}"] = value
        lines.append(line)
    return [replace(first, run=tuple(lines)), *others], values


def _supersede(
    s: Session,
    found: Fork,
    pulls: Sequence[Pull],
    mine: Pull,
    tag: Tag,
    values: dict[str, str],
) -> None:
    """Close the open pull requests of older releases."""
    for pull in pulls:
        name = found.policy.branches.tag_of(pull.head)
        older = name and tags.classify(name, found.policy.tags)
        if older and older < tag:
            comment = f"Superseded by #{mine.number}, for the newer release {tag.name}. "
            comment += "The branch is kept, with everything that was pushed to it."
            told = values | {"number": str(pull.number), "comment": comment}
            s.run(procedures.SUPERSEDE, Plan(told, _NONE), None)


def resolve_request(s: Session, request: str, words: resolve.Words, run_task: RunTask) -> None:
    """Resolve what is left of a sync in its pull request, check the result and push it.

    request: the pull request's number, address or branch.
    """
    if not re.fullmatch(r"#?\w[\w./:+-]*", request, re.ASCII):
        raise Usage(f"{request!r} names no pull request.", then="name its number, as in --pr 123.")
    commands.require_sense(words)
    found = s.open_fork()
    hub = found.hub(found.policy.remotes.origin)
    github.require(s.sh, hub)
    pull = github.pull(s.sh, hub, request)
    branches = found.policy.branches
    name = branches.tag_of(pull.head)
    if pull.state != "OPEN" or pull.base != branches.production or not name:
        what = (
            f"pull request {pull.number} is {pull.state.lower()}, from {pull.head} into {pull.base}"
        )
        raise Refused(
            f"{what}: it is no open sync into {branches.production}.", then="see `status`."
        )
    release = target.find(s.sh, found, name)
    with s.locked(found.repository) as held:
        plan = _fetch_plan(s, found, release)
        s.run(procedures.FETCH_REQUEST, plan, held)
        found = s.open_fork()
        work = Path(plan.values["place"])
        merge, ours = git.merge_of(s.sh, found.path, release.commit, release.pushed)
        if not merge:
            raise Refused(
                f"{pull.head} holds no merge of {name}.", then=s.command("upgrade-carto", tag=name)
            )
        decided = syncs.decided(s.sh, found, ours, release.commit)
        # Where the work tree differs from its commit, somebody has begun to resolve.
        if not git.work_state(s.sh, work).dirty:
            _bring_back(s, found, work, decided, (ours, release.commit, merge))
        with s.console.working("resolve"):
            done = resolve.resolve(
                s.sh,
                work,
                found.policy,
                found.upstream_refs,
                words,
                ours,
                release.commit,
                settled=[decision.conflict.path for decision in decided],
            )
        report.resolution(s.console, done)
        stopped = [*(d.conflict.path for d in done.left), *done.marked]
        if stopped and not s.sh.dry:
            count = len(set(stopped))
            raise Paused(
                f"{counted(count, 'file')} of pull request {pull.number} "
                f"{'needs' if count == 1 else 'need'} a person.",
                untouched="Nothing was committed or pushed; what could be decided is staged.",
                then=f"resolve in {git.nearest(work)}, `git add` each file, then run the same "
                "command again.",
            )
        s.run(procedures.FINISH, plan, held, run_task)


def _fetch_plan(s: Session, found: Fork, release: target.Target) -> Plan:
    """The plan for having a pull request's branch in a work tree of its own."""
    plan = upgrade.fetch_plan(found, release)
    work = upgrade.place_of(found, release.tag.name)
    branch = f"refs/heads/{plan.values['sync']}"
    here = found.refs.commits.get(branch, "")
    conditions = set(plan.conditions)
    if here and here != release.pushed:
        behind = True
        if git.has_object(s.sh, found.path, release.pushed):
            behind = not git.is_ancestor(s.sh, found.path, release.pushed, here)
        if behind:
            conditions.add("work-behind" if work.exists() else "branch-behind")
    values = plan.values | {
        "commit": release.commit,
        "version": release.tag.release,
        "work": str(git.nearest(work)),
        "place": str(work),
        "drop": invocation.command(
            s.program, "drop", repo=str(git.nearest(work)), path="PATH", reason="WHY"
        ),
        "resolved": f"resolve: conflicts from the upstream sync to {release.tag.name}",
    }
    untouched = "Your checkout and origin are as they were."
    return replace(plan, values=values, conditions=frozenset(conditions), untouched=untouched)


def _bring_back(
    s: Session,
    found: Fork,
    work: Path,
    decided: Sequence[Decision],
    merged: tuple[str, str, str],
) -> None:
    """Put the conflicts that are left on a sync branch back into the index of its work tree, so
    that git and everybody sees them as such.

    merged: both sides and the merge itself.
    """
    head = git.commit_of(s.sh, work, "HEAD")
    left = set(syncs.unresolved(s.sh, found, decided, *merged, head))
    found_left = [d.conflict for d in decided if d.conflict.path in left]
    if found_left:
        resolve.bring_back(s.sh, work, found_left)
