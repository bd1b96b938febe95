"""The tasks: their options, their help, and which procedure each one runs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

import invoke.tasks
from invoke.collection import Collection
from invoke.context import Context
from invoke.executor import Executor
from invoke.parser import Parser

from .errors import Refused, Usage

_REPO = "The fork's clone; default: $CARTO_FORK_REPO, else the current directory."
_JSON = "Print the result as JSON on standard output; everything else goes to standard error."

# Modules are imported by the task that needs them: `--list` and `--help` stay as quick as invoke.


def _task(**help_texts: str) -> Callable[[Callable[..., None]], Any]:
    """A task whose values are all options: invoke would take `--tagg v1` for two positionals."""
    texts = {"repo": _REPO, **help_texts}
    return invoke.tasks.task(positional=[], auto_shortflags=False, help=texts)


@_task()
def setup(c: Context, repo: str = "") -> None:
    """Prepare a clone: remotes origin and upstream, rerere and zdiff3.

    Adds what is missing. A remote that is something else than the policy says is refused, with
    the command that mends it. Running it again changes nothing.
    """
    from . import fork, procedures
    from .session import session
    from .steps import Plan

    with session(c, "setup", repo=repo) as s:
        found = s.open_fork()
        remotes = found.policy.remotes
        fork.require_right_urls(found)
        missing = {
            condition
            for condition, remote in (
                ("no-origin", remotes.origin),
                ("no-upstream", remotes.upstream),
            )
            if found.url(remote) is None
        }
        with s.locked(found.repository) as held:
            s.run(procedures.SETUP, Plan(found.values(), frozenset(missing)), held)


@_task(json=_JSON)
def status(c: Context, repo: str = "", json: bool = False) -> None:
    """Show where the fork stands and what to type next.

    The branch that is checked out; the version on the production branch (read there, whatever is
    checked out); the newest release of the fork and of upstream; commits ahead and behind; an
    upgrade in progress. Without a network it tells what is known here, and says so.
    """
    from . import report
    from . import status as state
    from .session import session

    with session(c, "status", as_json=json, repo=repo) as s:
        found = s.open_fork(whatever_policy=True)
        facts = state.read(s.sh, found, s.program, s.repo_option)
        if json:
            s.print_json(facts.as_json())
        else:
            report.status(s.console, facts, str(found.path))


@_task(json=_JSON)
def config(c: Context, repo: str = "", json: bool = False) -> None:
    """Print the fork's effective policy, and where each value comes from.

    The policy that ships with this program is for CARTO's fork of LiteLLM. A fork may carry its
    own carto_fork.toml on its production branch.
    """
    from . import report
    from .session import session

    with session(c, "config", as_json=json, repo=repo) as s:
        found = s.open_fork(whatever_policy=True)
        if json:
            s.print_json(found.loaded.settings)
        else:
            report.config(s.console, found.loaded)
        if found.problem:
            raise found.problem


@_task()
def sync_main(c: Context, repo: str = "") -> None:
    """Move the mirror branch `main` to upstream's, for awareness only.

    Fast-forward only, and without checking anything out. This does not touch the production
    branch. If the mirror has commits of its own, it refuses and names them.
    """
    from . import mirror, procedures
    from .session import session

    with session(c, "sync-main", repo=repo) as s:
        found = s.open_fork()
        fetch = mirror.fetch_plan(s.sh, found)
        with s.locked(found.repository) as held:
            s.run(procedures.FETCH_MIRROR, fetch, held)
            plan = mirror.plan(s.sh, found)
            s.run(procedures.SYNC_MAIN, plan, held)
            if not plan.conditions - {"mirror-exists"}:
                s.console.say(f"{found.policy.branches.mirror} is up to date.")


@_task(
    tag="The stable upstream release, such as v1.76.5.",
    direct="Move the production branch itself instead of publishing a sync branch.",
    push="Publish the result (--no-push stops before).",
    tests="Run the policy's install, test and lint commands (--no-tests leaves them out).",
    abort="Remove the work tree and the local sync branch of this upgrade, and nothing else.",
    json=_JSON,
)
def upgrade_carto(
    c: Context,
    repo: str = "",
    tag: str = "",
    direct: bool = False,
    push: bool = True,
    tests: bool = True,
    abort: bool = False,
    json: bool = False,
) -> None:
    """Upgrade the production branch to a stable upstream release.

    Merges exactly that tag on a sync branch, in a work tree of its own; your checkout may be in
    any state. Conflicts are decided by the fork's written rules; what they leave is yours: resolve
    it, `git add` it, and run the same command again. Then the version is set, the result is
    checked, installed and tested, and the sync branch is published. Interrupted or failed at any
    step, the same command continues.
    """
    from . import upgrade
    from .session import session

    words: dict[str, str | bool] = {"repo": repo, "tag": tag, "direct": direct}
    words |= {"no_push": not push, "no_tests": not tests, "abort": abort}
    with session(c, "upgrade-carto", as_json=json, **words) as s:
        options = upgrade.Options(tag, direct, push, tests)
        found = s.open_fork(whatever_policy=True)
        if abort:
            _abort(s, found, options)
        else:
            _upgrade(c, s, found, options)


def _upgrade(c: Context, s: Any, found: Any, options: Any) -> None:
    from . import git, procedures, report, upgrade
    from . import target as release

    # A policy that is not valid may have been corrected on origin: the one at the base counts.
    target = release.find(s.sh, found, options.tag)
    upgrade.require_able(s.sh, found)
    with s.locked(found.repository) as held:
        fetch = upgrade.fetch_plan(found, target)
        s.run(procedures.FETCH_UPGRADE, fetch, held)
        if s.sh.dry and not git.has_object(s.sh, found.path, target.base):
            # Nothing was fetched, so the plan is made from what is known here.
            target = replace(target, base=found.refs.commits[found.origin_production])
        try:
            found = found.at(s.sh, target.base)
            ready = upgrade.prepare(s.sh, found, target, options)
        except Refused as refusal:
            refusal.untouched = fetch.untouched
            raise
        report.upgrade_begins(s.console, ready, found)
        if ready.finished:
            s.console.say(f"{ready.sync} is published already; nothing to do.")
        else:
            s.run(
                procedures.UPGRADE, ready.plan, held, lambda words: run_task(c, words, s.sh.stream)
            )
    result = upgrade.result(s.sh, found, ready, options)
    if s.json:
        s.print_json(result)
    elif not s.sh.dry:
        report.upgrade_ended(s.console, result, ready, found, options, s.command)


def _abort(s: Any, found: Any, options: Any) -> None:
    from . import procedures, upgrade

    with s.locked(found.repository) as held:
        plan = upgrade.abort_plan(s.sh, found, options)
        s.run(procedures.ABORT, plan, held)
        sync = plan.values["sync"]
        head = found.refs.commits[f"refs/heads/{sync}"]
        s.console.say(f"Given up. {sync} was at {head[:10]}; this brings it back:")
        s.console.row("    ", f"git -C {found.path} branch {sync} {head}")


@_task(json=_JSON)
def resolve_conflicts(c: Context, repo: str = "", json: bool = False) -> None:
    """Decide the conflicts of a merge in progress by the fork's written rules.

    Works on any work tree with a merge in progress, and from the clone on the work tree of the
    upgrade. What a rule decides is staged; what is left keeps its diff3 markers and is listed with
    what to do about it. Nothing that you have edited is overwritten; running it again continues.
    """
    from . import git, report, resolve
    from .errors import Paused
    from .session import session

    with session(c, "resolve-conflicts", as_json=json, repo=repo) as s:
        found, work = s.open_work_tree()
        if not git.work_state(s.sh, work).merging:
            upgrades = found.merging_work_trees(s.sh)
            if len(upgrades) != 1:
                trees = " and ".join(map(str, upgrades)) or f"`{work}`"
                raise Refused(
                    f"{'a' if upgrades else 'no'} merge is in progress in {trees}.",
                    then="name one of them with --repo." if upgrades else "see `status`.",
                )
            work = upgrades[0]
        resolution = resolve.resolve(s.sh, work, found.policy)
        if json:
            s.print_json(resolution.as_json())
        report.resolution(s.console, resolution)
        if resolution.left and not s.sh.dry:
            count = len(resolution.left)
            raise Paused(
                f"{count} {'conflict needs' if count == 1 else 'conflicts need'} a person.",
                untouched="Nothing was committed; what the rules decided is staged.",
                then=f"resolve in {work}, `git add` each file, then git -C {work} commit",
            )


@_task(
    tag="The stable upstream release whose version to set, such as v1.76.5.",
    to="The version to set, such as 1.76.5.",
)
def bump_version(c: Context, repo: str = "", tag: str = "", to: str = "") -> None:
    """Set the version in every place that states it, and commit that.

    The places are in the policy; comments and layout stay as they are. The commit holds nothing
    else.
    """
    from . import bump, tags
    from .session import session

    with session(c, "bump-version", repo=repo, tag=tag, to=to) as s:
        if bool(tag) == bool(to):
            raise Usage(
                "name the version by either --tag or --to.",
                then=s.command("bump-version", to="1.76.5"),
            )
        found, work = s.open_work_tree()
        if tag:
            name = tags.checked_name(tag)
            to = tags.require_stable(name, found.policy.tags).release
        version = bump.checked_version(to)
        changes = bump.changes(work, found.policy, version)
        if not changes:
            s.console.say(f"The version is {version} already.")
            return
        message = found.policy.messages.version.replace("{version}", version)
        bump.apply(s.sh, work, found.policy, changes, message)
        for change in changes:
            s.console.say(f"{change.path}: {change.key} {change.before} -> {change.after}")


@_task(tag="The stable upstream release that was merged.", json=_JSON)
def verify(c: Context, repo: str = "", tag: str = "", json: bool = False) -> None:
    """Check a finished merge of a tag: nothing left over, and exactly that tag.

    No conflict markers that neither side had, nothing uncommitted, the version of the tag, and no
    commit of upstream's that the release does not hold. Ends with exit code 4 if something is
    wrong.
    """
    from . import tags
    from . import verify as checks
    from .errors import CheckFailed
    from .session import session

    with session(c, "verify", as_json=json, repo=repo, tag=tag) as s:
        if not tag:
            raise Usage("which release? --tag is missing.", then=s.command("verify", tag="v1.76.5"))
        found, work = s.open_work_tree()
        release = tags.require_stable(tags.checked_name(tag), found.policy.tags)
        findings = checks.verify(s.sh, work, release, found.policy)
        if json:
            s.print_json(findings)
        if findings:
            listed = "\n  ".join(f"{finding.check}: {finding.what}" for finding in findings[:20])
            more = f"\n  and {len(findings) - 20} more" if len(findings) > 20 else ""
            raise CheckFailed(
                f"the merge of {release.name} is not right:\n  {listed}{more}",
                untouched="Nothing was changed.",
                then=f"mend it in {work}, commit, then run the same command again.",
            )
        s.console.say(f"{release.name} is merged, and nothing is left over.")


@invoke.tasks.task(
    positional=[],
    auto_shortflags=False,
    help={"path": "Where to build it; default: .sandbox in the current directory."},
)
def sandbox(c: Context, path: str = ".sandbox") -> None:
    """Build a small upstream, its fork and a clone, to try the other tasks on.

    Everything is on this machine: the remotes look like GitHub's, and lead to the directory. What
    is there already is kept.
    """
    from . import git
    from . import sandbox as world
    from .session import session

    with session(c, "sandbox", path=path) as s:
        built = world.build(s.sh, Path(path))
        clone = git.nearest(built.clone)
        s.console.say(f"{clone} is {'a new' if built.new else 'the'} fork to try things on.")


def run_task(c: Context, words: Sequence[str], stream: TextIO) -> None:
    """Run a task of this module in this process, as if typed.

    words: its command line, without the program.
    stream: where it prints; standard output may be kept for JSON.
    """
    parsed = Parser(contexts=namespace.to_contexts()).parse_argv(list(words))
    with redirect_stdout(stream):
        Executor(namespace, c.config.clone()).execute(*parsed)


namespace = Collection.from_module(sys.modules[__name__], auto_dash_names=True)
