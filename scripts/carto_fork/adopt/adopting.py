"""What `adopt` does: put into a fork what it needs, and bring that up to date."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..fork import branch, fork, policy
from ..fork.fork import Fork
from ..fork.policy import Policy
from ..fork.session import Session
from ..release import contribute
from ..run import files, git, github
from ..run.errors import CheckFailed
from ..run.journal import Journal
from ..run.steps import Condition, Plan, Step
from ..run.text import counted
from . import adoption, hooks
from .adoption import Copy, State
from .hooks import There

DRAFT = Condition("where it is not on the production branch yet")


@dataclass(frozen=True)
class Writing:
    """The fork's files on their way into a work tree.

    requirement, replaced: as `adopt` was told.
    """

    s: Session
    fork: Fork
    place: Path
    requirement: str
    replaced: Sequence[str]

    def write(self) -> None:
        """Write the files by the policy that lies there, and commit them."""
        _write(self.s, self.fork, self.place, self.requirement, self.replaced)


ADOPT = (
    branch.BRANCH,
    branch.WORKTREE,
    Step(
        "policy",
        "Bring the policy that is not committed yet.",
        when=DRAFT,
        run=("cp {policy} {work}/carto_fork.toml",),
    ),
    Step(
        "write",
        "Write the fork's files, and commit them.",
        run=("invoke write-adopted --repo {work}",),
        call=Writing.write,
        stuck="mend in {work} what git or a hook complains of, then run the same command again.",
    ),
    branch.PUSH,
    replace(
        contribute.PULL_REQUEST[1],
        untouched="{origin} has {sync}; only the pull request is missing.",
    ),
    *branch.TIDY,
)


MESSAGE = "chore: adopt the tasks that keep the fork on its upstream"


def adopt(
    s: Session,
    check: bool,
    requirement: str,
    replaced: Sequence[str],
    push: bool,
) -> None:
    """Publish a branch with the files that the fork lacks or that are behind.

    check: only tell. Raises CheckFailed then, where there is such a file.
    """
    found = s.open_fork()
    if check:
        _check(s, found, requirement)
        return
    fork.require_right_urls(found)
    if not git.has_identity(s.sh, found.path):
        raise git.nobody(found.path)
    with s.locked(found.repository) as held:
        there = contribute.branch_on_origin(s, found, found.policy.branches.production, "adopt/*")
        found, base = contribute.current(s, found, there, held)
        copies = _compare(s, found, base, requirement, replaced)
        _tell(s, copies)
        name = adoption.branch(copies)
        due = [copy for copy in copies if copy.due]
        url = ""
        if due:
            _show_changes(s, due)
            if found.draft:
                # Said first: whatever happens to the pull request, the draft is on the branch then.
                s.console.say(
                    f"{policy.FILE_NAME} comes with that branch; remove the one here before you "
                    "check out a commit that holds it.",
                    "yellow",
                )
            published = f"refs/heads/{name}" in there.objects
            url = _publish(s, found, base, copies, requirement, replaced, push, published, held)
        hook = _hook(s, found, held)
    if s.json:
        told: dict[str, Any] = {"files": _facts(copies), "branch": name if due else None}
        s.print_json(told | {"pull_request": url or None, "hook": hook.value})
    if due and not s.sh.dry:
        _say_next(s, found, name, push, url)


def _check(s: Session, found: Fork, requirement: str) -> None:
    """Raises CheckFailed where the fork's copies are behind or missing."""
    fork.require_production(found)
    copies = _compare(s, found, found.production_commit, requirement)
    _tell(s, copies)
    if s.json:
        s.print_json({"files": _facts(copies)})
    if due := [copy for copy in copies if copy.due]:
        listed = ", ".join(copy.path for copy in due)
        raise CheckFailed(
            f"{counted(len(due), 'file')} of the fork's {'is' if len(due) == 1 else 'are'} missing "
            f"or behind: {listed}.",
            then=s.command("adopt", requirement=requirement),
        )


def _compare(
    s: Session, found: Fork, commit: str, requirement: str, replaced: Sequence[str] = ()
) -> list[Copy]:
    """What the fork would be given, against what it has at a commit."""

    def read(path: str) -> str | None:
        return git.show(s.sh, found.path, commit, path)

    return adoption.compare(found.policy, read, requirement, replaced, found.draft)


def _facts(copies: Sequence[Copy]) -> list[dict[str, str]]:
    return [{"path": copy.path, "state": copy.state.value} for copy in copies]


def _tell(s: Session, copies: Sequence[Copy]) -> None:
    width = max(len(copy.path) for copy in copies)
    for copy in copies:
        style = "yellow" if copy.state is State.THEIRS else ""
        lines = f", {counted(len(copy.after.splitlines()), 'line')}" if copy.before is None else ""
        s.console.row(f"  {copy.path:<{width}}  ", f"{copy.state.value}{lines}", style)
    if not any(copy.due for copy in copies):
        s.console.say("The fork has all that it needs.", "green")
    if any(copy.state is State.THEIRS for copy in copies):
        s.console.say(
            "What the team changed is kept; --replace PATH gives such a file anew.", "yellow"
        )


def _show_changes(s: Session, due: Sequence[Copy]) -> None:
    """Show how files change that are there already."""
    for copy in due:
        if copy.before is None:
            continue
        names = (f"a/{copy.path}", f"b/{copy.path}")
        before, after = copy.before.splitlines(), copy.after.splitlines()
        for line in difflib.unified_diff(before, after, *names, lineterm=""):
            style = {"+": "green", "-": "red"}.get(line[:1], "")
            s.console.row("", line, style)


def _publish(
    s: Session,
    found: Fork,
    base: str,
    copies: Sequence[Copy],
    requirement: str,
    replaced: Sequence[str],
    push: bool,
    published: bool,
    held: Journal | None,
) -> str:
    """Commit the files on a branch of their own, and open its pull request; its address, "" if
    there is none."""
    name, production = adoption.branch(copies), found.policy.branches.production
    place = found.place_for(name)
    requests = push and github.can_be_asked(found.gh, found.policy.remotes.origin.url)
    known = _pull(s, found, name) if requests and published else ""
    conditions = {DRAFT} if found.draft else set()
    conditions |= {branch.PUSHES} if push else set()
    conditions |= {contribute.OPEN} if requests and not known else set()
    listed = ", ".join(f"`{copy.path}` ({copy.state.value})" for copy in copies if copy.due)
    body = f"What `adopt` puts into the fork; nothing of upstream's is changed: {listed}."
    values = found.values() | {
        "sync": name,
        "start": base,
        "place": str(place),
        "work": str(git.nearest(place)),
        "policy": str(git.nearest(found.repository.home / policy.FILE_NAME)),
        "requirement": requirement,
        "head": name,
        "base": production,
        "title": MESSAGE,
        "body": body,
    }
    untouched = f"Your checkout and {production} are as they were."
    steps = [
        replace(step, run=tuple(line + _options(requirement, replaced) for line in step.run))
        if step.name == "write"
        else step
        for step in ADOPT
    ]
    if published and not s.sh.dry:
        s.console.say(f"{name} is published already.")
        steps = [step for step in steps if step.name == "open"]
    work = Writing(s, found, place, requirement, replaced)
    s.run(steps, Plan(values, frozenset(conditions), untouched), held, work)
    return known or (_pull(s, found, name) if requests and not s.sh.dry else "")


def _options(requirement: str, replaced: Sequence[str]) -> str:
    """Options of a template: paths of files are plain (see `policy.Files`)."""
    words = [" --requirement={requirement}"] if requirement else []
    return "".join([*words, *(f" --replace {path}" for path in replaced)])


def _pull(s: Session, found: Fork, name: str) -> str:
    """The address of the open pull request of a branch; "" if there is none."""
    hub = found.hub(found.policy.remotes.origin)
    pulls = github.pulls(s.sh, hub, base=found.policy.branches.production, head=name)
    return next((pull.url for pull in pulls), "")


def _hook(s: Session, found: Fork, held: Journal | None) -> There:
    """Put the hook into the clone where there is none; what is there then."""
    hook = hooks.find(s.sh, found)
    if hook.there in (There.NOTHING, There.STALE):
        values = hooks.values(found, hook, s.guard_line)
        s.run((hooks.HOOK,), Plan(values, frozenset()), held)
        return There.NOTHING if s.sh.dry else There.OURS
    if hook.there is not There.OURS:
        s.console.say(
            f"{git.nearest(hook.path)} is {hook.there.value}; to have pushes checked, let it call "
            f"`{s.command('guard', pre_push=True)}`.",
            "yellow",
        )
    return hook.there


def _say_next(s: Session, found: Fork, name: str, push: bool, url: str) -> None:
    production, origin = found.policy.branches.production, found.policy.remotes.origin.name
    if not push:
        s.console.say(f"Done: {name} is here; not pushed.", "green")
        s.console.row("Next: ", f"{git.at(found.path)} push {origin} {name}")
    elif url:
        s.console.row("Pull request: ", url, "green")
        s.console.say(f"Next: have it reviewed and merged into {production}.")
    else:
        s.console.say(f"Done: {origin} has {name}.", "green")
        s.console.say(f"Next: open a pull request from {name} to {production}.")


def write(s: Session, requirement: str, replaced: Sequence[str]) -> None:
    """Write the files in a work tree, by the policy that lies there, and commit them."""
    fork, work = s.open_work_tree()
    _write(s, fork, work, requirement, replaced)


def _write(s: Session, found: Fork, work: Path, requirement: str, replaced: Sequence[str]) -> None:

    def read(path: str) -> str | None:
        return files.read_text(work / path) if (work / path).is_file() else None

    copies = adoption.compare(_policy_in(found, read), read, requirement, replaced)
    due = [copy for copy in copies if copy.due]
    paths = [copy.path for copy in due]
    if found.draft:
        paths.append(policy.FILE_NAME)  # a step before this one brought it
    for copy in due:
        if not s.sh.dry:
            (work / copy.path).parent.mkdir(parents=True, exist_ok=True)
        files.write_staged(s.sh, work, copy.path, copy.before, copy.after)
    if not paths:
        s.console.say("The fork has all that it needs.")
        return
    git.checked(s.sh.run(["git", "-C", str(work), "add", "--", *paths]), "files")
    words = ["git", "-C", str(work), "commit", "--quiet", "-m", MESSAGE, "--", *paths]
    git.checked(s.sh.run(words), "commit")
    if not s.sh.dry:
        s.console.say(f"{counted(len(paths), 'file')} written.")


def _policy_in(found: Fork, read: adoption.Read) -> Policy:
    text = read(policy.FILE_NAME)
    return policy.load(text).policy if text is not None else found.policy
