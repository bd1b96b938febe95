"""The steps of an upgrade: by hand, by the automation, and of finishing or abandoning one."""

from __future__ import annotations

from dataclasses import replace

from ..audit.healing import HEAL_STEP
from ..fork import branches
from ..run.steps import Condition, Step
from . import begun, pull_request
from .work import Work

PUSHED_BEFORE = Condition("if an earlier run, perhaps on another machine, has pushed one")
OTHERS_PUSHED = Condition("if the clone does not have them")
GENERATE = Condition("if the policy has commands for it, without `--no-tests`")
INSTALL = Condition("without `--no-tests`")
TEST = Condition("without `--no-tests`")
LINT = Condition("without `--no-tests`")
REQUESTED = Condition("without `--direct`, `--no-push` and `--no-pr`, if gh is installed")
SAVED = Condition("if the branch ends with what `--abort` saved")
RESTORES = Condition("if the branch ended with what `--abort` saved")
SLACK = Condition("if `SLACK_WEBHOOK_URL` is set, and a pull request was opened or updated")
VERSION = Condition("if no version file is in conflict")
BRANCH_BEHIND = Condition("if it is behind")
WORK_BEHIND = Condition("if it is behind")
UNSAVED = Condition("if there are uncommitted changes")
WORKTREE_HERE = Condition("if there is one")
BRANCH_HERE = Condition("if there is one")

CHECKS = {"generate": GENERATE, "install": INSTALL, "test": TEST, "lint": LINT}
"""The policy's commands that an upgrade runs on the merged tree, and when."""

FETCH_UPGRADE = (
    *branches.FETCH_PRODUCTION,
    branches.fetch(
        "sync",
        "Fetch the sync branch that an earlier run pushed.",
        "{origin}",
        "+refs/heads/{sync}:refs/remotes/{origin}/{sync}",
        PUSHED_BEFORE,
    ),
    branches.fetch(
        "others",
        "Fetch what people did in syncs of other releases.",
        "{origin}",
        "+refs/heads/{syncs}:refs/remotes/{origin}/{syncs}",
        OTHERS_PUSHED,
    ),
    branches.fetch_tag("tag", "Fetch the release, and no other tag.", "{upstream}"),
)

_MERGED = " || ".join(
    f"git -C {{repo}} merge-base --is-ancestor {{commit}} {branch}"
    for branch in ("refs/heads/{sync}", "{start}")  # the branch may have to be created still
)
_VERIFIED = "refs/carto-fork/passed/{tag}/verify"


def _verified(step: Step) -> Step:
    """A push that publishes what was verified, whatever the branch is by then."""
    source = " refs/heads/{sync}"
    return replace(step, run=tuple(x.replace(source, f" {_VERIFIED}") for x in step.run))


def _check(name: str, why: str, *, in_tree: bool = False) -> Step:
    """A step that runs commands of the policy, and records the commit that passed them.

    in_tree: whether what it does is in the work tree; a new one needs it again, so a second record
        goes with the tree.
    """
    passed = f"refs/carto-fork/passed/{{tag}}/{name}"
    records = {passed: "{repo}"} | ({f"refs/worktree/passed/{name}": "{work}"} if in_tree else {})
    last, where = [*records.items()][-1]
    return Step(
        name,
        why,
        commands=name,
        around=Work.checking,
        when=CHECKS[name],
        run=(
            # The commit that passed is the one to push: nothing may have changed it meanwhile.
            "git -C {work} --no-pager diff --stat --exit-code HEAD --",
            f"git -C {{work}} --no-pager diff --stat --exit-code {_VERIFIED} HEAD --",
            *(f"git -C {at} update-ref {ref} refs/heads/{{sync}}" for ref, at in records.items()),
        ),
        done=(
            f"git -C {where} show-ref --verify --quiet {last}",
            f"git -C {where} diff --quiet {last} refs/heads/{{sync}} --",
        ),
        stuck="fix it in {work}, commit, then run the same command again"
        " (--no-tests skips this step).",
    )


_VERSION = Step(
    "version",
    "Set the version to the tag's.",
    run=("invoke bump-version --repo {work} --to {version}",),
    call=Work.set_version,
)

_RECORD = Step(
    "record",
    "Record the tag's commit, so that a moved tag is noticed.",
    run=("invoke step.record-tag --repo {work} --tag {tag}",),
    call=Work.record,
)

_VERIFY = Step(
    "verify",
    "Account for every change of both sides; check that the tag was merged.",
    run=(
        "invoke verify --repo {work} --tag {tag}",
        f"git -C {{repo}} update-ref {_VERIFIED} refs/heads/{{sync}}",
    ),
    call=Work.verify,
    stuck="fix it in {work} and commit, then run the same command again.",
)

_REQUEST = Step(
    "request",
    "Open or update the pull request, with labels and guidance.",
    when=REQUESTED,
    run=("invoke step.sync-pr --repo {repo} --tag {tag}",),
    call=pull_request.open_request,
    untouched="{origin} has {sync}; only the pull request is missing or out of date.",
)

_SAVED = Step(
    "aside",
    "Take the changes that --abort saved off the branch.",
    when=SAVED,
    run=(
        f"git -C {{repo}} update-ref {begun.ref_of('{tag}')} {{saved}}",
        "git -C {repo} update-ref refs/heads/{sync} {saved}^ {saved}",
    ),
)

MERGE = (
    branches.BRANCH,
    _SAVED,
    branches.WORKTREE,
    HEAL_STEP,
    Step(
        "merge",
        "Merge the tag; its conflicts come next.",
        run=(
            "git -C {work} -c rerere.enabled=false -c merge.conflictStyle=diff3"
            " merge -s ort --no-ff --no-commit -m {message} {commit}",
        ),
        # Exit code 1: git merged what it could and left conflicts.
        allow=(0, 1),
        done=(f"test -s {{merging}} || {_MERGED}",),
        lasting=True,
        # After a kill the next run continues in a tree with the whole merge, removes one that only
        # git has written to, and sets aside one that a person may have worked in.
        makes="{place}",
        undo=("git -C {repo} worktree remove --force --force {place}",),
    ),
    Step(
        "reapply",
        "Put the changes that --abort saved back, uncommitted.",
        when=RESTORES,
        run=("invoke resolve-conflicts --repo {work}",),
        call=Work.restore,
        stuck="commit them in {work}, or discard them with `git -C {work} restore --staged "
        "--worktree :/`, then run the same command again.",
    ),
    Step(
        "resolve",
        "Decide the conflicts by evidence and by the fork's rules.",
        run=("invoke resolve-conflicts --repo {work}",),
        call=Work.resolve,
        done=(_MERGED,),
        lasting=True,
        stuck="resolve the rest in {work}, `git add` each file, then run the same command again.",
    ),
)

CONCLUDE = (
    Step(
        "commit",
        "Commit the merge with both parents.",
        run=("git -C {work} commit -m {message}",),
        done=(_MERGED,),
        lasting=True,
        stuck="fix in {work} what git or a hook complains about, then run the same command again.",
    ),
    _VERSION,
    _RECORD,
    Step(
        "generate",
        "Regenerate the generated files from the merged tree.",
        commands="generate",
        around=Work.checking,
        when=GENERATE,
        run=(
            "git -C {work} add --all",
            "git -C {work} commit --quiet -m {generated}",
            "git -C {work} update-ref refs/worktree/passed/generate HEAD",
        ),
        # Exit code 1: nothing to commit.
        allow=(0, 1),
        done=(
            "git -C {work} show-ref --verify --quiet refs/worktree/passed/generate",
            "git -C {work} merge-base --is-ancestor refs/worktree/passed/generate HEAD",
        ),
    ),
    _VERIFY,
    _check("install", "Install what the merged tree needs.", in_tree=True),
    _check("test", "Run the tests on the merged tree."),
    _check("lint", "Check the style of the merged tree."),
    _verified(branches.PUSH),
    _REQUEST,
    Step(
        "notify",
        "Post a message to the team in Slack.",
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
    Step(
        "leave",
        "Commit the merge with the markers of the conflicts that are left.",
        # One command: staged but uncommitted files would look like a person's decisions.
        run=("git -C {work} commit --all --quiet --no-verify -m {unfinished}",),
        done=(_MERGED,),
    ),
    replace(_VERSION, when=VERSION),
    _RECORD,
    # No hook: it would refuse the markers that are left, which the pull request shows.
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
        "Update the local sync branch from origin.",
        when=BRANCH_BEHIND,
        run=("git -C {repo} fetch . refs/remotes/{origin}/{sync}:refs/heads/{sync}",),
    ),
    Step(
        "pull",
        "Update the local sync branch from origin, in its work tree.",
        when=WORK_BEHIND,
        run=("git -C {work} merge --ff-only refs/remotes/{origin}/{sync}",),
        stuck="commit or discard the changes in {work}, then run the same command again.",
    ),
)

FETCH_REQUEST = (*CATCH_UP, branches.BRANCH, _SAVED, branches.WORKTREE)

FINISH = (
    Step(
        "commit",
        "Commit what was resolved.",
        # A side may be what the branch has already: the commit says that a person chose it.
        run=("git -C {work} commit --quiet --allow-empty -m {resolved}",),
        # Nothing is staged and nothing was open: everything is committed already.
        done=("git -C {work} diff --cached --quiet", "test -z {open}"),
        stuck="fix in {work} what git or a hook complains about, then run the same command again.",
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
        "Commit the uncommitted changes, so that you can restore them.",
        when=UNSAVED,
        run=(
            # What cannot be added, such as a repository without a commit, must not stop this.
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
            for check in ("verify", "install", "test", "lint")
        ),
    ),
)
