"""The automation: notice a release, prepare it, ask for its review."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ..ci import actions, notifying
from ..fork import branch, detect, target
from ..fork.fork import Fork
from ..fork.session import Session
from ..fork.target import Target
from ..run import git, github
from ..run.github import Hub, Pull
from . import request, resolving, steps, sync, upgrade
from .plan import Options
from .work import Work


def sync_upstream(s: Session, options: Options) -> None:
    """Prepare the newest release, or the one that was named, up to its pull request."""
    fork = s.open_fork()
    name = options.tag
    if not name:
        detection = detect.read(s.sh, fork)
        detect.show(s.console, detection, fork, s.command)
        if detection.newest is None:
            _end(s, "nothing", {"result": "nothing", "tag": "", "pull_request": ""})
            return
        name = detection.newest.name
    hub = fork.hub(fork.policy.remotes.origin)
    github.require(s.sh, hub)
    release = target.find(s.sh, fork, name)
    tag, name = release.tag, fork.policy.branches.sync_for(release.tag.name)
    here = all(git.has_object(s.sh, fork.path, x) for x in (release.commit, release.base))
    if here and git.is_ancestor(s.sh, fork.path, release.commit, release.base):
        s.console.say(f"Nothing new: {fork.policy.branches.production} contains {tag.name}.")
        _end(s, "nothing", {"result": "nothing", "tag": tag.name, "pull_request": ""})
        return
    if declined := _declined(s, fork, hub, name, release.pushed):
        s.console.say(f"A person closed {declined.url} for {tag.name}; nothing to do.")
        result = {"result": "declined", "tag": tag.name, "pull_request": declined.url}
        _end(s, "nothing", result)
        return
    options = replace(options, tag=tag.name, request=False)
    work = Work(s, fork, tag, release.commit)
    if not (release.pushed and _waits_for_person(work, release)):
        work = upgrade.run(s, options, leave=True).work
    if s.sh.dry:
        return
    asked = request.open_request(work)
    event = "conflicts" if asked.unresolved else "success"
    result = {"result": asked.result, "tag": tag.name, "pull_request": asked.url}
    if not asked.changed:
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


def _declined(s: Session, fork: Fork, hub: Hub, head: str, pushed: str) -> Pull | None:
    """The pull request of this very branch that a person closed without merging it."""
    if not pushed:
        return None
    production = fork.policy.branches.production
    known = github.pulls(s.sh, hub, base=production, state="all", head=head)
    if any(pull.state == "OPEN" for pull in known):
        return None
    closed = (pull for pull in known if pull.state == "CLOSED" and pull.commit == pushed)
    return next(closed, None)


def _waits_for_person(work: Work, release: Target) -> bool:
    """Whether origin's sync branch holds conflicts that a person has yet to resolve.

    The local branch follows it as far as that is a fast-forward, and a work tree that nobody has
    begun to resolve in is put away.
    """
    s, fork = work.s, work.fork
    with s.locked(fork.repository) as held:
        plan = resolving.catch_up_plan(s, fork, release)
        s.run(steps.CATCH_UP, plan, held)
        # Under --dry nothing was fetched.
        here = git.has_object(s.sh, fork.path, release.pushed)
        waits = here and sync.waits(work, release.pushed)
        place = Path(plan.values["place"])
        if waits and place.exists() and not s.sh.dry:
            state = git.work_state(s.sh, place)
            if state.head == release.pushed and not state.dirty:
                s.run(branch.TIDY, plan, held)
    return waits


def sync_pr(s: Session, name: str) -> None:
    """Open or update the pull request of a sync branch that is published."""
    fork = s.open_fork()
    tag = target.here(fork, target.asked_name(name))
    work = Work(s, fork, tag, fork.refs.commits[f"refs/tags/{tag.name}"])
    asked = request.open_request(work)
    actions.set_outputs({"result": asked.result, "pull_request": asked.url})
    if s.json:
        s.print_json(asked.as_json())
