"""The steps of an upgrade: by hand, by the automation, and the end of either."""

from __future__ import annotations

from dataclasses import replace

from ..audit.healing import HEAL_STEP
from ..fork import branches
from ..run.steps import Condition, Step
from . import pull_request
from .work import Work

PUSHED_BEFORE = Condition("if an earlier run, on another machine perhaps, has pushed one")
OTHERS_PUSHED = Condition("if the clone does not have them")
GENERATE = Condition("if the policy names commands for it, without `--no-tests`")
INSTALL = Condition("without `--no-tests`")
TEST = Condition("without `--no-tests`")
LINT = Condition("without `--no-tests`")
REQUESTED = Condition("without `--direct`, `--no-push` and `--no-pr`, if gh is installed")
SLACK = Condition("if `SLACK_WEBHOOK_URL` is set, and a pull request was opened or updated")
VERSION = Condition("if no version file is in conflict")
BRANCH_BEHIND = Condition("if it is behind")
WORK_BEHIND = Condition("if it is behind")
UNSAVED = Condition("if something is not committed")
WORKTREE_HERE = Condition("if there is one")
BRANCH_HERE = Condition("if there is one")

CHECKS = {"generate": GENERATE, "install": INSTALL, "test": TEST, "lint": LINT}
"""The policy's commands that an upgrade runs on the merged tree, and when."""

FETCH_UPGRADE = (
    *branches.FETCH_PRODUCTION,
    branches.fetch(
        "sync",
        "Get the sync branch that an earlier run pushed.",
        "{origin}",
        "+refs/heads/{sync}:refs/remotes/{origin}/{sync}",
        PUSHED_BEFORE,
    ),
    branches.fetch(
        "others",
        "Get what people did in syncs of other releases.",
        "{origin}",
        "+refs/heads/{syncs}:refs/remotes/{origin}/{syncs}",
        OTHERS_PUSHED,
    ),
    branches.fetch_tag("tag", "Get the release, and no other tag.", "{upstream}"),
)

_MERGED = "git -C {work} merge-base --is-ancestor {commit} HEAD"
_VERIFIED = "refs/carto-fork/passed/{tag}/verify"


def _verified(step: Step) -> Step:
    """A push that publishes what was verified, whatever the branch is by then."""
    source = " refs/heads/{sync}"
    return replace(step, run=tuple(x.replace(source, f" {_VERIFIED}") for x in step.run))


def _check(
    name: str, why: str, where: str = "{repo}", records: str = "refs/carto-fork/passed/{tag}"
) -> Step:
    """A step that runs a list of the policy's commands, and records which commit passed it.

    where: the work tree that the record belongs to; records: where the ref lies that holds it.
    """
    passed = f"{records}/{name}"
    return Step(
        name,
        why,
        commands=name,
        when=CHECKS[name],
        run=(
            # What was checked has to be what is pushed: nothing changed, nothing committed.
            "git -C {work} --no-pager diff --stat --exit-code HEAD --",
            f"git -C {{work}} --no-pager diff --stat --exit-code {_VERIFIED} HEAD --",
            f"git -C {where} update-ref {passed} refs/heads/{{sync}}",
        ),
        done=(
            f"git -C {where} show-ref --verify --quiet {passed}",
            f"git -C {where} diff --quiet {passed} refs/heads/{{sync}} --",
        ),
        stuck="mend it in {work}, commit, then run the same command again"
        " (--no-tests leaves this out).",
    )


_VERSION = Step(
    "version",
    "Set the version to the tag's.",
    run=("invoke bump-version --repo {work} --to {version}",),
    call=Work.set_version,
)

_RECORD = Step(
    "record",
    "Record what the tag stands for; it is noticed if it ever moves.",
    run=("invoke step.record-tag --repo {work} --tag {tag}",),
    call=Work.record,
)

_VERIFY = Step(
    "verify",
    "Account for each change of both sides; check that it is the tag.",
    run=(
        "invoke verify --repo {work} --tag {tag}",
        f"git -C {{repo}} update-ref {_VERIFIED} refs/heads/{{sync}}",
    ),
    call=Work.verify,
    stuck="mend it in {work} and commit, or let it go: {drop}; then run the same command again.",
)

_REQUEST = Step(
    "request",
    "Open or update the pull request, with labels and guidance.",
    when=REQUESTED,
    run=("invoke step.sync-pr --repo {repo} --tag {tag}",),
    call=pull_request.open_request,
    untouched="{origin} has {sync}; only the pull request is missing or out of date.",
)

MERGE = (
    branches.BRANCH,
    branches.WORKTREE,
    HEAL_STEP,
    Step(
        "merge",
        "Merge exactly the tag; conflicts are for the next step.",
        run=(
            "git -C {work} -c rerere.enabled=false -c merge.conflictStyle=diff3"
            " merge -s ort --no-ff --no-commit -m {message} {commit}",
        ),
        # Exit code 1: merged as far as git can, with conflicts.
        allow=(0, 1),
        done=(f"test -s {{merging}} || {_MERGED}",),
        # The run after one that was killed continues in a tree that holds the whole merge, removes
        # one that holds what git wrote alone, and sets aside what a person may have worked in.
        makes="{place}",
        undo=("git -C {repo} worktree remove --force --force {place}",),
    ),
    Step(
        "resolve",
        "Decide the conflicts by evidence and the fork's written rules.",
        run=("invoke resolve-conflicts --repo {work}",),
        call=Work.resolve,
        done=(_MERGED,),
        stuck="resolve them in {work}, `git add` each file, then run the same command again.",
    ),
)

CONCLUDE = (
    Step(
        "commit",
        "Conclude the merge, with both parents.",
        run=("git -C {work} commit -m {message}",),
        done=(_MERGED,),
        stuck="mend in {work} what git or a hook complains of, then run the same command again.",
    ),
    _VERSION,
    _RECORD,
    Step(
        "generate",
        "Make generated files anew from the merged tree.",
        commands="generate",
        when=GENERATE,
        run=(
            "git -C {work} add --all",
            "git -C {work} commit --quiet -m {generated}",
            "git -C {work} update-ref refs/worktree/passed/generate HEAD",
        ),
        # Exit code 1: there was nothing to commit.
        allow=(0, 1),
        done=(
            "git -C {work} show-ref --verify --quiet refs/worktree/passed/generate",
            "git -C {work} merge-base --is-ancestor refs/worktree/passed/generate HEAD",
        ),
    ),
    _VERIFY,
    # What is installed lies in the work tree; its record goes with it.
    _check("install", "Install what the merged tree needs.", "{work}", "refs/worktree/passed"),
    _check("test", "Run the tests on the merged tree."),
    _check("lint", "Check the style of the merged tree."),
    _verified(branches.PUSH),
    _REQUEST,
    Step(
        "notify",
        "Tell the team in Slack.",
        when=SLACK,
        run=(
            "invoke ci.notify --event success --tag {tag}"
            " --url https://github.com/{slug}/pulls?q=is:open+head:{sync}",
        ),
        call=pull_request.tell_team,
    ),
    *map(_verified, branches.LANDING),
)

UPGRADE = (*MERGE, *CONCLUDE)

REQUEST = (_REQUEST,)

LEAVE = (
    branches.WORKTREE,
    Step(
        "leave",
        "Commit the merge, what is left of its conflicts in plain view.",
        # One command: what is staged and not committed would pass for what a person decided.
        run=("git -C {work} commit --all --quiet --no-verify -m {unfinished}",),
        done=(_MERGED,),
    ),
    replace(_VERSION, when=VERSION),
    _RECORD,
    # A hook that checks what is pushed would find what is left; the pull request shows it.
    replace(
        branches.PUSH,
        run=tuple(line.replace(" push ", " push --no-verify ") for line in branches.PUSH.run),
    ),
    *branches.TIDY,
)

CATCH_UP = (
    *FETCH_UPGRADE,
    Step(
        "branch",
        "Have the sync branch here as it is on GitHub.",
        when=BRANCH_BEHIND,
        run=("git -C {repo} fetch . refs/remotes/{origin}/{sync}:refs/heads/{sync}",),
    ),
    Step(
        "pull",
        "Have the sync branch here as it is on GitHub, in its work tree.",
        when=WORK_BEHIND,
        run=("git -C {work} merge --ff-only refs/remotes/{origin}/{sync}",),
        stuck="commit or give up what is in {work}, then run the same command again.",
    ),
)

FETCH_REQUEST = (*CATCH_UP, branches.BRANCH, branches.WORKTREE)

FINISH = (
    Step(
        "commit",
        "Commit what was resolved.",
        run=("git -C {work} commit --quiet -m {resolved}",),
        # Nothing is staged: it is committed already.
        done=("git -C {work} diff --cached --quiet",),
        stuck="mend in {work} what git or a hook complains of, then run the same command again.",
    ),
    _VERSION,
    _RECORD,
    _VERIFY,
    _verified(replace(branches.PUSH, when=None)),
    replace(_REQUEST, when=None),
    *branches.TIDY,
)

SAVE = (
    Step(
        "save",
        "Commit what is there, so that it can be brought back.",
        when=UNSAVED,
        run=(
            # What cannot be added, as a repository without a commit, keeps nobody here.
            "git -C {work} add --all --ignore-errors",
            "git -C {work} -c core.hooksPath=/dev/null -c commit.gpgSign=false commit --quiet"
            " --no-verify -m {given_up}",
        ),
        allow=(0, 1),
    ),
)

ABORT = (
    Step(
        "worktree",
        "Remove the work tree of the upgrade.",
        when=WORKTREE_HERE,
        run=("git -C {repo} worktree remove --force --force {place}",),
        removes="{place}",
    ),
    Step(
        "branch",
        "Remove the local sync branch.",
        when=BRANCH_HERE,
        run=("git -C {repo} branch -D {sync}",),
    ),
    Step(
        "records",
        "Forget which checks have passed.",
        run=tuple(
            f"git -C {{repo}} update-ref -d refs/carto-fork/passed/{{tag}}/{check}"
            for check in ("verify", "test", "lint")
        ),
    ),
)
