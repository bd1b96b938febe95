"""The runbooks: what each task does, step by step. Nothing but data.

The placeholders are filled from a plan (see `upgrade` and `mirror`). Those that are documented in
CARTO_CLAUDE.md are so in blocks that are generated from here.
"""

from dataclasses import replace

from ..run.steps import Step

_MERGED = "git -C {work} merge-base --is-ancestor {commit} HEAD"

SETUP = (
    Step(
        "origin",
        "Name the fork on GitHub.",
        when="no-origin",
        run=("git -C {repo} remote add {origin} {origin_url}",),
    ),
    Step(
        "upstream",
        "Name the original repository.",
        when="no-upstream",
        run=("git -C {repo} remote add {upstream} {upstream_url}",),
    ),
    Step(
        "rerere",
        "Let git remember how a person resolves a conflict.",
        run=("git -C {repo} config rerere.enabled true",),
        done=("git -C {repo} config --local --get rerere.enabled ^true$",),
    ),
    Step(
        "zdiff3",
        "Show in every conflict what both sides started from.",
        run=("git -C {repo} config merge.conflictStyle zdiff3",),
        done=("git -C {repo} config --local --get merge.conflictStyle ^zdiff3$",),
    ),
)

FETCH_MIRROR = (
    Step(
        "upstream",
        "Get upstream's development branch.",
        run=(
            "git -C {repo} fetch --no-tags --no-recurse-submodules {upstream}"
            " +refs/heads/{branch}:refs/remotes/{upstream}/{branch}",
        ),
        stuck="check the network and the remote, then run the same command again.",
    ),
    Step(
        "origin",
        "Get the fork's mirror of it.",
        when="mirror-exists",
        run=(
            "git -C {repo} fetch --no-tags --no-recurse-submodules {origin}"
            " +refs/heads/{mirror}:refs/remotes/{origin}/{mirror}",
        ),
        stuck="check the network and the remote, then run the same command again.",
    ),
)

SYNC_MAIN = (
    Step(
        "push",
        "Move the mirror on GitHub, fast-forward only.",
        when="behind",
        run=(
            "git -C {repo} push --no-follow-tags {origin}"
            " refs/remotes/{upstream}/{branch}:refs/heads/{mirror}",
        ),
        stuck="see what {origin} says, then run the same command again.",
    ),
    Step(
        "local",
        "Move the local mirror after it, without checking anything out.",
        when="elsewhere",
        run=("git -C {repo} fetch . refs/remotes/{upstream}/{branch}:refs/heads/{mirror}",),
    ),
    Step(
        "checkout",
        "Move the local mirror after it, in its clean checkout.",
        when="checked-out",
        run=("git -C {checkout} merge --ff-only refs/remotes/{upstream}/{branch}",),
    ),
)

FETCH_UPGRADE = (
    Step(
        "production",
        "Get the production branch as it is on GitHub now.",
        when="production-moved",
        run=(
            "git -C {repo} fetch --no-tags --no-recurse-submodules {origin}"
            " +refs/heads/{production}:refs/remotes/{origin}/{production}",
        ),
        stuck="check the network and the remote, then run the same command again.",
    ),
    Step(
        "sync",
        "Get the sync branch that an earlier run pushed.",
        when="pushed-before",
        run=(
            "git -C {repo} fetch --no-tags --no-recurse-submodules {origin}"
            " +refs/heads/{sync}:refs/remotes/{origin}/{sync}",
        ),
        stuck="check the network and the remote, then run the same command again.",
    ),
    Step(
        "tag",
        "Get the release, and no other tag.",
        run=(
            "git -C {repo} fetch --no-tags --no-recurse-submodules {upstream}"
            " refs/tags/{tag}:refs/tags/{tag}",
        ),
        done=("git -C {repo} show-ref --verify --quiet refs/tags/{tag}",),
        stuck="check the network and the remote, then run the same command again.",
    ),
)


_VERIFIED = "refs/carto-fork/passed/{tag}/verify"


def _check(name: str, why: str, where: str, passed: str) -> Step:
    """A step that runs a list of the policy's commands, and records which commit passed it.

    where: the work tree that the record belongs to; passed: the ref that holds the record.
    """
    return Step(
        name,
        why,
        commands=name,
        when=name,
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


_BRANCH = Step(
    "branch",
    "Start the branch from production, or from where origin has it.",
    run=("git -C {repo} branch --no-track {sync} {start}",),
    done=("git -C {repo} show-ref --verify --quiet refs/heads/{sync}",),
)

_WORKTREE = Step(
    "worktree",
    "Check it out in a work tree of its own; yours is not touched.",
    # --force twice: an earlier work tree's directory may be gone although git has it on record.
    # Tests need all files, whatever part of them your checkout shows.
    run=("git -C {repo} -c core.sparseCheckout=false worktree add --force --force {place} {sync}",),
    done=("test -e {work}/.git",),
    makes="{place}",
    undo=("git -C {repo} worktree remove --force --force {place}",),
    stuck="make room for {work}, then run the same command again.",
)

_HEAL = Step(
    "heal",
    "Record the lost ancestry of an earlier sync; no file changes.",
    when="heal",
    run=("git -C {work} merge -s ours --no-ff -m {heal_message} {lost}",),
    done=("git -C {work} merge-base --is-ancestor {lost} HEAD",),
    makes="{place}",
    undo=("git -C {repo} worktree remove --force --force {place}",),
)

_VERSION = Step(
    "version",
    "Set the version to the tag's.",
    run=("invoke bump-version --repo {work} --to {version}",),
)

_RECORD = Step(
    "record",
    "Record what the tag stands for; it is noticed if it ever moves.",
    run=("invoke record-tag --repo {work} --tag {tag}",),
)

_VERIFY = Step(
    "verify",
    "Account for each change of both sides; check that it is the tag.",
    run=(
        "invoke verify --repo {work} --tag {tag}",
        f"git -C {{repo}} update-ref {_VERIFIED} refs/heads/{{sync}}",
    ),
    stuck="mend it in {work} and commit, or let it go: {drop}; then run the same command again.",
)

_PUSH = Step(
    "push",
    "Publish the branch.",
    when="push",
    run=(
        "git -C {work} push --atomic --no-follow-tags {origin} refs/heads/{sync}:refs/heads/{sync}",
    ),
    stuck="see what {origin} says, then run the same command again.",
)

_REQUEST = Step(
    "request",
    "Open or update the pull request, with labels and guidance.",
    when="request",
    run=("invoke sync-pr --repo {repo} --tag {tag}",),
    untouched="{origin} has {sync}; only the pull request is missing or out of date.",
)

_LANDING = (
    Step(
        "publish",
        "Move the production branch on GitHub, fast-forward only.",
        when="direct",
        run=(
            "git -C {work} push --atomic --no-follow-tags {origin}"
            " refs/heads/{sync}:refs/heads/{production}",
        ),
        stuck="see what {origin} says, then run the same command again.",
    ),
    Step(
        "local",
        "Move the local production branch after it.",
        when="direct-elsewhere",
        run=("git -C {repo} fetch . refs/heads/{sync}:refs/heads/{production}",),
        untouched="{origin} has the upgrade; only the local branch is behind.",
    ),
    Step(
        "checkout",
        "Move the local branch after it, in its clean checkout.",
        when="direct-checked-out",
        run=("git -C {checkout} merge --ff-only refs/heads/{sync}",),
        untouched="{origin} has the upgrade; only the local branch is behind.",
    ),
    Step(
        "tidy",
        "Put the work tree away, unless it holds files unknown to git.",
        when="tidy",
        run=("git -C {repo} -c status.showUntrackedFiles=normal worktree remove {place}",),
        allow=(0, 128),
    ),
    Step(
        "forget",
        "Remove the local branch; the production branch contains it now.",
        when="direct",
        run=("git -C {repo} branch -D {sync}",),
        # Exit code 1: the work tree was kept, and the branch is checked out there.
        allow=(0, 1),
    ),
)

UPGRADE = (
    _BRANCH,
    _WORKTREE,
    _HEAL,
    Step(
        "merge",
        "Merge exactly the tag; conflicts are for the next step.",
        run=(
            "git -C {work} -c rerere.enabled=false -c merge.conflictStyle=diff3"
            " merge -s ort --no-ff --no-commit -m {message} refs/tags/{tag}",
        ),
        # Exit code 1: merged as far as git can, with conflicts.
        allow=(0, 1),
        done=(f"git -C {{work}} rev-parse --quiet --verify MERGE_HEAD || {_MERGED}",),
        # A merge that was cut half-way leaves a tree that nobody made; the next run starts afresh.
        # Before the merge nothing of a person's is there: the preconditions see to that.
        makes="{place}",
        undo=("git -C {repo} worktree remove --force --force {place}",),
    ),
    Step(
        "resolve",
        "Decide the conflicts by evidence and the fork's written rules.",
        run=("invoke resolve-conflicts --repo {work}",),
        done=(_MERGED,),
        stuck="resolve them in {work}, `git add` each file, then run the same command again.",
    ),
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
        when="generate",
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
    _check(
        "install", "Install what the merged tree needs.", "{work}", "refs/worktree/passed/install"
    ),
    _check(
        "test", "Run the tests on the merged tree.", "{repo}", "refs/carto-fork/passed/{tag}/test"
    ),
    _check(
        "lint", "Check the style of the merged tree.", "{repo}", "refs/carto-fork/passed/{tag}/lint"
    ),
    _PUSH,
    _REQUEST,
    Step(
        "notify",
        "Tell the team in Slack.",
        when="slack",
        run=(
            "invoke notify --event success --tag {tag}"
            " --url https://github.com/{slug}/pulls?q=is:open+head:{sync}",
        ),
    ),
    *_LANDING,
)

REQUEST = (_REQUEST,)

TIDY = (replace(next(step for step in _LANDING if step.name == "tidy"), when=""),)

LEAVE = (
    _WORKTREE,
    Step(
        "leave",
        "Commit the merge, what is left of its conflicts in plain view.",
        # One command: what is staged and not committed would pass for what a person decided.
        run=("git -C {work} commit --all --quiet --no-verify -m {unfinished}",),
        done=(_MERGED,),
    ),
    replace(_VERSION, when="version"),
    _RECORD,
    # A hook that checks what is pushed would find what is left; the pull request shows it.
    replace(_PUSH, run=tuple(line.replace(" push ", " push --no-verify ") for line in _PUSH.run)),
    *TIDY,
)

CATCH_UP = (
    *FETCH_UPGRADE,
    Step(
        "branch",
        "Have the sync branch here as it is on GitHub.",
        when="branch-behind",
        run=("git -C {repo} fetch . refs/remotes/{origin}/{sync}:refs/heads/{sync}",),
    ),
    Step(
        "pull",
        "Have the sync branch here as it is on GitHub, in its work tree.",
        when="work-behind",
        run=("git -C {work} merge --ff-only refs/remotes/{origin}/{sync}",),
        stuck="commit or give up what is in {work}, then run the same command again.",
    ),
)

FETCH_REQUEST = (*CATCH_UP, _BRANCH, _WORKTREE)

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
    replace(_PUSH, when=""),
    replace(_REQUEST, when=""),
    *TIDY,
)

_LABELS = Step(
    "labels",
    "Make the labels that pull requests of syncs carry.",
    when="labels",
    run=(
        "{gh} label create {label} -R {slug} --color {colour} --description {description} --force",
    ),
)

OPEN_REQUEST = (
    _LABELS,
    Step(
        "open",
        "Open the pull request against the fork's production branch.",
        run=(
            "{gh} pr create -R {slug} --base {production} --head {sync} --title {title}"
            " --body-file {body} --label {labels}",
        ),
    ),
)

UPDATE_REQUEST = (
    _LABELS,
    Step(
        "update",
        "Bring the pull request up to date.",
        run=(
            "{gh} pr edit {number} -R {slug} --title {title} --body-file {body}"
            " --add-label {labels} --remove-label {other}",
        ),
    ),
)

LAND = (
    Step(
        "merge",
        "Merge the pull request with a merge commit, as a reviewer does.",
        run=("{gh} pr merge {number} -R {slug} --merge",),
    ),
    replace(FETCH_UPGRADE[0], when=""),
)

SUPERSEDE = (
    Step(
        "supersede",
        "Close the pull request of an older release; its branch stays.",
        run=("{gh} pr close {number} -R {slug} --comment {comment}",),
    ),
)

HEAL = (_BRANCH, _WORKTREE, replace(_HEAL, when=""), _PUSH, *_LANDING)

SAVE = (
    Step(
        "save",
        "Commit what is there, so that it can be brought back.",
        when="unsaved",
        run=(
            "git -C {work} add --all",
            "git -C {work} -c core.hooksPath=/dev/null commit --quiet --no-verify -m {given_up}",
        ),
    ),
)

ABORT = (
    Step(
        "worktree",
        "Remove the work tree of the upgrade.",
        when="worktree",
        run=("git -C {repo} worktree remove --force --force {place}",),
    ),
    Step(
        "branch",
        "Remove the local sync branch.",
        when="branch",
        run=("git -C {repo} branch -D {sync}",),
    ),
    Step(
        "records",
        "Forget which checks have passed.",
        run=(
            "git -C {repo} update-ref -d refs/carto-fork/passed/{tag}/verify",
            "git -C {repo} update-ref -d refs/carto-fork/passed/{tag}/test",
            "git -C {repo} update-ref -d refs/carto-fork/passed/{tag}/lint",
        ),
    ),
)

FETCH_PRODUCTION = FETCH_UPGRADE[:1]

_FETCH_OWN_TAG = Step(
    "fetch",
    "Get the tag that an earlier run pushed.",
    when="pushed-tag",
    run=(
        "git -C {repo} fetch --no-tags --no-recurse-submodules {origin}"
        " refs/tags/{tag}:refs/tags/{tag}",
    ),
    done=("git -C {repo} show-ref --verify --quiet refs/tags/{tag}",),
    stuck="check the network and the remote, then run the same command again.",
)

RELEASE = (
    _FETCH_OWN_TAG,
    Step(
        "tag",
        "Name the commit, whatever is checked out.",
        run=("git -C {repo} tag -a -m {message} {tag} {commit}",),
        done=("git -C {repo} show-ref --verify --quiet refs/tags/{tag}",),
    ),
    Step(
        "notes",
        "Write what is new in it, for people.",
        run=("invoke release-notes --repo {repo} --tag {tag} --output {notes}",),
    ),
    Step(
        "push",
        "Publish exactly that tag.",
        when="unpushed",
        run=(
            "git -C {repo} push --atomic --no-follow-tags {origin} refs/tags/{tag}:refs/tags/{tag}",
        ),
        stuck="see what {origin} says, then run the same command again.",
    ),
    Step(
        "release",
        "Publish the release on GitHub.",
        run=(
            "{gh} release create {tag} -R {slug} --verify-tag --title {title} --notes-file {notes}",
        ),
        # gh ends alike where there is none and where GitHub cannot be asked; GitHub makes no
        # second release of a tag.
        done=("{gh} release view {tag} -R {slug} --json url",),
        untouched="{origin} has the tag {tag}; perhaps only its release on GitHub is missing.",
    ),
)

DISPATCH = (
    Step(
        "dispatch",
        "Let the workflow on GitHub make the release.",
        run=("{gh} workflow run {workflow} -R {slug} --ref {production} -f bump={bump}",),
    ),
)

_BUILDX = "docker buildx build --platform {platforms} --file {work}/{dockerfile}"

_BUILD = Step(
    "build",
    "Build the image, without publishing it.",
    when="build-only",
    run=(f"{_BUILDX} --tag={{image}} {{work}}",),
    makes="{place}",
    undo=("git -C {repo} worktree remove --force --force {place}",),
    stuck="see what docker says, then run the same command again.",
)

IMAGES = (
    replace(_FETCH_OWN_TAG, why="Get the tag of the release.", when="release"),
    Step(
        "clear",
        "Remove what a run that was killed left.",
        when="leftover",
        run=("git -C {repo} worktree remove --force --force {place}",),
        stuck="remove {work}, then run the same command again.",
    ),
    Step(
        "worktree",
        "Check the commit out in a work tree; nothing else is built.",
        run=(
            "git -C {repo} -c core.sparseCheckout=false worktree add --force --force --detach"
            " {place} {commit}",
        ),
        makes="{place}",
        undo=("git -C {repo} worktree remove --force --force {place}",),
        stuck="make room for {work}, then run the same command again.",
    ),
    _BUILD,
    replace(
        _BUILD,
        name="publish",
        why="Build the image and publish it under all of its names.",
        when="build-push",
        run=(f"{_BUILDX} --tag={{image}} --push {{work}}",),
    ),
    Step(
        "tidy",
        "Put the work tree away.",
        run=("git -C {repo} worktree remove --force --force {place}",),
    ),
)

_PULL = "{gh} pr create -R {slug} --base {base} --head {head} --title={title} --body={body}"

PULL_REQUEST = (
    Step(
        "push",
        "Publish the branch as it is here; never by force.",
        run=("git -C {repo} push --no-follow-tags {origin} refs/heads/{head}:refs/heads/{head}",),
        stuck="get what {origin} has of it, then run the same command again.",
    ),
    Step("open", "Open the pull request.", when="open", run=(_PULL,)),
    Step(
        "draft", "Open the pull request as a draft.", when="open-draft", run=(f"{_PULL} --draft",)
    ),
)

ADOPT = (
    _BRANCH,
    _WORKTREE,
    Step(
        "policy",
        "Bring the policy that is not committed yet.",
        when="draft",
        run=("cp {policy} {work}/carto_fork.toml",),
    ),
    Step(
        "write",
        "Write the fork's files, and commit them.",
        run=("invoke write-adopted --repo {work}",),
        stuck="mend in {work} what git or a hook complains of, then run the same command again.",
    ),
    _PUSH,
    replace(
        PULL_REQUEST[1],
        untouched="{origin} has {sync}; only the pull request is missing.",
    ),
    *TIDY,
)

FEATURE = (
    Step(
        "branch",
        "Start the branch from the production branch, and check it out.",
        run=("git -C {work} switch --no-track -c {feature} refs/remotes/{origin}/{production}",),
        stuck="see what git says, then run the same command again.",
    ),
)

UNSHALLOW = Step(
    "unshallow",
    "Get the history that the clone lacks.",
    run=("git -C {repo} fetch --unshallow {origin}",),
    stuck="check the network and the remote, then run the same command again.",
)

RETAG = Step(
    "tag",
    "Take upstream's tag, which was merged; the other is kept beside.",
    run=(
        "git -C {repo} update-ref refs/carto-fork/kept/{kept} refs/tags/{tag}",
        "git -C {repo} fetch --no-tags --no-recurse-submodules {upstream}"
        " +refs/tags/{tag}:refs/tags/{tag}",
    ),
    stuck="check the network and the remote, then run the same command again.",
)

ENABLE = Step(
    "enable",
    "Switch the workflow on again.",
    run=("{gh} workflow enable {workflow} -R {slug}",),
)

HOOK = Step(
    "hook",
    "Let git ask `guard` before it pushes.",
    run=(
        "git -C {repo} config carto-fork.guard {guard}",
        "mkdir -p {hooks}",
        "install -m 755 {shipped} {hook}",
    ),
)

MEND = (*SETUP[:2], UNSHALLOW, RETAG, ENABLE, HOOK)
"""What `doctor --fix` does, each where its check finds something: nothing is lost by it."""

RECOVER = (
    Step(
        "branch",
        "Keep the commits on a branch of their own.",
        when="stray",
        run=("git -C {work} branch --no-track {branch} {commit}",),
        done=("git -C {work} show-ref --verify --quiet refs/heads/{branch}",),
    ),
    Step(
        "back",
        "Go back to a branch; changes that are not committed come along.",
        when="back",
        run=("git -C {work} switch --no-guess {back}",),
        stuck="commit them, or put them away with `git stash`, then run the same command again.",
        untouched="The commits are safe; HEAD and your files are as they were.",
    ),
    Step(
        "track",
        "Go back to the production branch, which is not here yet.",
        when="back-new",
        run=("git -C {work} switch --no-guess -c {back} --track {origin}/{back}",),
        stuck="commit them, or put them away with `git stash`, then run the same command again.",
        untouched="The commits are safe; HEAD and your files are as they were.",
    ),
)

CONDITIONS = {
    "no-origin": "where there is no remote of that name",
    "no-upstream": "where there is no remote of that name",
    "mirror-exists": "where the fork has a mirror branch already",
    "behind": "where the mirror on GitHub is behind",
    "elsewhere": "where it is not checked out",
    "checked-out": "where it is checked out",
    "direct-elsewhere": "with `--direct`, where it is not checked out",
    "direct-checked-out": "with `--direct`, where it is checked out",
    "production-moved": "where the clone is behind",
    "pushed-before": "where an earlier run, on another machine perhaps, has pushed one",
    "heal": "with `--heal`, where the ancestry of an earlier sync is lost",
    "generate": "where the policy names commands for it, without `--no-tests`",
    "install": "without `--no-tests`",
    "test": "without `--no-tests`",
    "lint": "without `--no-tests`",
    "push": "without `--direct` and `--no-push`",
    "request": "without `--direct`, `--no-push` and `--no-pr`, where gh is installed",
    "slack": "where `SLACK_WEBHOOK_URL` is set, and a pull request was opened or updated",
    "version": "where no version file is in conflict",
    "branch-behind": "where it is behind",
    "work-behind": "where it is behind",
    "direct": "with `--direct`, without `--no-push`",
    "tidy": "without `--no-push`",
    "unsaved": "where something is not committed",
    "worktree": "where there is one",
    "branch": "where there is one",
    "pushed-tag": "where an earlier run, on another machine perhaps, has pushed it",
    "unpushed": "where it is not there yet",
    "release": "with `--release`",
    "leftover": "where there is one",
    "labels": "where the repository lacks one",
    "build-only": "without `--push`",
    "build-push": "with `--push`",
    "draft": "where it is not on the production branch yet",
    "open": "where none is open, without `--draft`",
    "stray": "where no branch, tag or remote has them",
    "back": "where HEAD is detached",
    "back-new": "where HEAD is detached and only the remote has the branch",
    "open-draft": "where none is open, with `--draft`",
}
"""When an optional step takes part, in words."""
