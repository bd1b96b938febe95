"""The tasks: their options and their help. What they do is in the rooms beside it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from . import __version__ as version
from .program import TaskProgram, gathered, task

if TYPE_CHECKING:
    from .fork.session import Session

# The rest is imported when a task runs: `--list` and `--help` stay as quick as invoke.


@task(json=False)
def setup(s: Session) -> None:
    """Prepare a clone: remotes, rerere and zdiff3.

    Adds what is missing. A remote that is something else than the policy says is refused, with
    the command that mends it. Running it again changes nothing.
    """
    from .fork import setup as preparing

    preparing.set_up(s)


@task()
def status(s: Session) -> None:
    """Show the state of the fork, and what to type next.

    The branch that is checked out; the version on the production branch; the newest releases of
    fork and upstream; commits ahead and behind; upgrades in progress; without a network as known.
    """
    from .health import advice

    advice.show_status(s)


@task()
def next(s: Session) -> None:
    """Print the one command to type next, and why.

    What it prints can be pasted; it changes nothing itself.
    """
    from .health import guide as guiding

    guiding.show_next(s)


@task(
    example="--tag v1.76.5",
    iterable=["tag"],
    tag="A stable release that is here (repeatable); default: the newest ones.",
    markdown="Print a table in Markdown.",
    html="Write a page about the release to choose to this file.",
)
def forecast(s: Session, tag: list[str], markdown: bool = False, html: str = "") -> None:
    """Say what an upgrade would do, without touching anything.

    Conflicts by kind and by decision, how many a person must take, the fork's hunks at risk, files
    and commits, and the release to choose. Index, HEAD, refs and work tree stay as they are.
    """
    from .audit import forecast as foreseeing

    fork, found = foreseeing.show_forecast(s, tag, markdown)
    if html:
        from .upgrade import report as page

        page.write_forecast(s, fork, found, Path(html))


@task(
    example="--tag v1.76.5",
    ends=(3, 4),
    tag="The stable upstream release, such as v1.76.5.",
    direct="Move the production branch itself instead of publishing a sync branch.",
    push="Publish the result (--no-push stops before).",
    tests="Run the policy's install, test and lint commands (--no-tests leaves them out).",
    abort="Remove the work tree and the local sync branch of this upgrade, and nothing else.",
    heal="Record the lost ancestry of an earlier, squashed sync first.",
    unhealed="Merge although the ancestry of an earlier sync is lost.",
    pr="Open or update the pull request, where gh is installed (--no-pr leaves it out).",
    proposals="Ask the policy's programs about what is left (--no-proposals leaves that out).",
)
def upgrade_carto(
    s: Session,
    tag: str = "",
    direct: bool = False,
    push: bool = True,
    tests: bool = True,
    abort: bool = False,
    heal: bool = False,
    unhealed: bool = False,
    pr: bool = True,
    proposals: bool = True,
) -> None:
    """Upgrade the production branch to a stable release.

    Merges exactly that tag on a sync branch, in a work tree of its own; your checkout may be in
    any state. Conflicts are decided by evidence and the fork's written rules; what they leave is
    yours: resolve it, `git add` it, and run the same command again. The version is set, every
    change of both sides accounted for, the result installed and tested, and the sync branch
    published. Interrupted or failed at any step, the same command continues.
    """
    from .upgrade import upgrade
    from .upgrade.plan import Options

    options = Options(tag, direct, push, tests, heal, unhealed, pr, proposals)
    if abort:
        upgrade.give_up(s, options)
    else:
        upgrade.say(s, upgrade.run(s, options), options)


@task(
    example='--keep-fork Dockerfile --reason "Our base image."',
    ends=(3, 4),
    iterable=["accept_upstream", "keep_fork", "accept_proposal"],
    accept_upstream="A file in conflict that follows upstream in all that is left (repeatable).",
    keep_fork="A file in conflict that keeps the fork's side in all that is left (repeatable).",
    reason="Why; written to carto_drops.toml with what gives way.",
    pr="A sync's pull request to finish: number or branch; default: the merge in progress.",
    accept_proposal="A file that a program resolved and that you have read (repeatable).",
    proposals="Ask the policy's programs about what is left (--no-proposals leaves that out).",
)
def resolve_conflicts(
    s: Session,
    accept_upstream: list[str],
    keep_fork: list[str],
    accept_proposal: list[str],
    reason: str = "",
    pr: str = "",
    proposals: bool = True,
) -> None:
    """Decide the conflicts of a merge in progress.

    Works on any work tree with a merge in progress, and from the clone on the work tree of the
    upgrade. Upstream's side is never taken over lines that a commit of the fork's own wrote,
    unless upstream has them too or a person said so. What is decided is staged; what is left keeps
    its diff3 markers and is listed with what to do about it. Nothing that you have edited is
    overwritten; running it again continues. With --pr it works on a sync's pull request, in a work
    tree of its own, checks the result, and pushes it once nothing is left.
    """
    from .merge.resolve import Words
    from .upgrade import automatic

    words = Words(tuple(accept_upstream), tuple(keep_fork), reason)
    automatic.resolve(s, words, pr, accept=accept_proposal, proposing=proposals)


@task(
    example="--tag v1.76.5",
    ends=(4,),
    tag="The stable upstream release whose merge to check, in the work tree.",
    ours="The fork's side of any merge: a commit, a branch or a tag.",
    theirs="Upstream's side of it.",
    result="What the merge made of them.",
    landed="The release whose sync has landed on the production branch.",
    drop="A file whose loss is meant, from the top of the work tree; with --reason.",
    reason="Why it may go, in words; written to carto_drops.toml and committed.",
)
def verify(
    s: Session,
    tag: str = "",
    ours: str = "",
    theirs: str = "",
    result: str = "",
    landed: str = "",
    drop: str = "",
    reason: str = "",
) -> None:
    """Account for every change of both sides after a merge.

    Each hunk of either side since their common ancestor is kept, moved, absorbed, superseded,
    dropped on purpose, or lost. Also: conflict markers, files that no longer parse, names and
    imports that lead nowhere, disabled workflows, features, the version, commits that the release
    does not hold. Ends with exit code 4 if something is wrong or lost. With --drop it writes down
    why what a file lost may go: nobody is asked about it twice. It writes the page to review the
    merge by, too.
    """
    from .audit import review
    from .upgrade import report

    revs = {"ours": ours, "theirs": theirs, "result": result}
    if drop or reason:
        review.drop_lost(s, drop, reason, tag, given=any(revs.values()) or bool(landed))
    else:
        review.verify_merge(s, tag, revs, landed, report.write_checked)


@task(
    example="--bump minor",
    bump="Which part of the fork's own version to raise: auto, patch, minor or major.",
    dispatch="Start the workflow on GitHub that makes the release, instead of making it here.",
)
def release(s: Session, bump: str = "auto", dispatch: bool = False) -> None:
    """Release the production branch as it is on origin.

    The tag names the stable upstream release in it and the fork's own version, which conventional
    commits raise. Tags, pushes exactly that tag, and publishes a release with notes on GitHub. Your
    checkout is not touched; interrupted or failed at any step, the same command continues.
    """
    from .release.release import make_release

    make_release(s, bump, dispatch)


@task(
    example="--offline",
    ends=(4,),
    iterable=["check"],
    check="The name of a check to make (repeatable); default: all of them.",
    fix="Mend what can be mended without losing anything.",
    offline="Ask nothing over the network.",
    slack_test="Send a test message to Slack.",
    migrate="Apply the migrations in order to a new database: sqlite, or postgresql by psql.",
)
def doctor(
    s: Session,
    check: list[str],
    fix: bool = False,
    offline: bool = False,
    slack_test: bool = False,
    migrate: str = "",
) -> None:
    """Find what is wrong with the fork, and what fixes it.

    The clone, its tags and versions, what merges left, the workflow, the settings on GitHub, Slack.
    What cannot be asked is named. With --check also facts are told that are no illness. Ends with
    exit code 4 if something is broken; what is only worth a look is none.
    """
    from .health import doctor as looking

    looking.doctor(s, looking.Examination(check, fix, offline, slack_test, migrate))


@task(json=False)
def sync_main(s: Session) -> None:
    """Move the mirror branch `main` to upstream's.

    Fast-forward only, and without checking anything out. This does not touch the production
    branch. If the mirror has commits of its own, it refuses and names them.
    """
    from .fork import branches

    branches.sync_mirror(s)


@task(
    example="--tag v1.76.5",
    json=False,
    tag="The stable upstream release whose version to set, such as v1.76.5.",
    to="The version to set, such as 1.76.5.",
)
def bump_version(s: Session, tag: str = "", to: str = "") -> None:
    """Set the version in every place that states it.

    The places are in the policy; comments and layout stay. The commit holds nothing else.
    """
    from .fork import version_files

    version_files.bump_version(s, tag, to)


@task(
    example="--tag v1.76.5",
    tag="The release whose upgrade to show.",
    ours="The fork's side of any merge: a commit, a branch or a tag.",
    theirs="Upstream's side of it.",
    result="What the merge made of them.",
    output="The file to write; default: beside the upgrade's account, or report.html.",
)
def report(
    s: Session, tag: str = "", ours: str = "", theirs: str = "", result: str = "", output: str = ""
) -> None:
    """Write the page to review a merge by: one HTML file.

    Every conflict with what became of it, every change of the fork with its fate, what needs eyes.
    Upgrades write it themselves; this makes it for any merge, old ones too.
    """
    from .upgrade import report as page

    page.show(s, tag, {"ours": ours, "theirs": theirs, "result": result}, output)


@task(
    example="--topic upgrade-carto",
    topic="What to read about; without it the topics are listed.",
)
def guide(s: Session, topic: str = "") -> None:
    """Print the fork's procedures and rules as Markdown.

    What each procedure does, and an upgrade step by step, with the values of this fork's policy;
    outside of a fork with those of the policy that ships. --dry prints the steps of any task.
    """
    from .health import guide as guiding

    guiding.show_guide(s, topic)


@task(
    example="--path .sandbox",
    repo=False,
    json=False,
    path="Where to build it; default: .sandbox in the current directory.",
    tour="Go through an upgrade there: pull request, merge, release, Slack.",
)
def sandbox(s: Session, path: str = ".sandbox", tour: bool = False) -> None:
    """Build a small fork to try the other tasks on.

    All is on this machine: the remotes and its gh lead to the directory. What is there stays.
    """
    from .sandbox import build

    build.build_sandbox(s, Path(path), tour)


@task(
    "fork",
    example="--yes",
    upstream="The URL of the original repository.",
    production="The branch that production is built from.",
    mirror="The branch that only follows upstream's development.",
    name="What to call the fork, in messages and names.",
    output="The file to write; default: carto_fork.toml at the top of the clone.",
    yes="Ask nothing; take what can be seen.",
)
def init(
    s: Session,
    upstream: str = "",
    production: str = "",
    mirror: str = "",
    name: str = "",
    output: str = "",
    yes: bool = False,
) -> None:
    """Write the policy of a fork, from what its clone shows.

    Tags, version files, what is generated, how it is tested; and of each value how sure it is. On a
    terminal it asks what matters most and is not certain. No file that is there is overwritten.
    """
    from .adopt.init import init
    from .adopt.survey import Asked

    init(s, Asked(name, upstream, production, mirror), output, yes)


@task(
    "fork",
    example="--check",
    ends=(4,),
    iterable=["replace"],
    check="Only say whether something is missing or behind, with exit code 4 if so.",
    requirement="What the workflows install: git+https://HOST/OWNER/carto-fork@COMMIT, or a wheel "
    "with #sha256=HASH; default: what they do.",
    replace="A file that the team changed, to be given anew (repeatable).",
    push="Publish the branch (--no-push stops before).",
)
def adopt(
    s: Session, replace: list[str], check: bool = False, requirement: str = "", push: bool = True
) -> None:
    """Put into the fork what these tasks need there.

    Workflows, documents, ways to call the tasks in a checkout, by the names in the policy. On a
    branch of its own, with a pull request where gh is installed. What the team changed since is
    kept and told. The clone gets a hook that checks what is pushed, unless it has another one.
    """
    from .adopt import copies

    copies.adopt(s, check, requirement, replace, push)


@task(
    "fork",
)
def config(s: Session) -> None:
    """Print the policy, and where each value comes from.

    What ships is for CARTO's fork; another has its own carto_fork.toml on its production branch.
    """
    from .fork import setup as policy

    policy.show_config(s)


@task(
    "fork",
    example="--check",
    ends=(4,),
    check="Only say whether something is to heal, with exit code 4 if so.",
    direct="Move the production branch itself instead of publishing a branch.",
    push="Publish the result (--no-push stops before).",
)
def heal(s: Session, check: bool = False, direct: bool = False, push: bool = True) -> None:
    """Record the ancestry of a sync that a squash lost.

    Git then knows again what is merged. A merge commit is added that changes no file, only after
    proof that every file in which the two differ was changed by the fork itself.
    """
    from .audit import healing

    healing.heal(s, check, direct, push)


@task(
    "fork",
    example="--section features",
    ends=(4,),
    section="One section alone: drift, absorbed or features.",
    reset="Set what drifted to upstream's in one commit on the branch checked out.",
    scan="Propose entries for the manifest from the fork's own commits, as TOML.",
)
def inventory(s: Session, section: str = "", reset: bool = False, scan: bool = False) -> None:
    """List what drifted, what upstream absorbed, the features.

    drift: files that differ from upstream although no commit of the fork changed them. absorbed:
    the fork's changes that upstream has too. features: whether all that the manifest names, the
    `[[feature]]` tables of carto_fork.toml, is on the production branch; exit code 4 if not.
    """
    from .audit import inventory as stock

    stock.show(s, section, reset, scan)


@task(
    "branch",
    example="--name my-fix",
    json=False,
    name="What to call it: `my-fix` for the branch feature/my-fix.",
)
def start(s: Session, name: str = "") -> None:
    """Start a branch for a change, from production."""
    from .release import contribute

    contribute.start_feature(s, name)


@task(
    "branch",
    example='--title "fix: mine"',
    title="A conventional commit, as in 'fix(router): ...'; default: the only commit's subject.",
    body_file="The file with the text; default: what the commits say.",
    base="The branch to merge it into; default: the production branch.",
    draft="Open it as a draft, not yet to be merged.",
)
def pr(
    s: Session, title: str = "", body_file: str = "", base: str = "", draft: bool = False
) -> None:
    """Open a pull request for the branch checked out.

    Where one is open already, the new commits are published and its address is told.
    """
    from .release import contribute

    contribute.open_pull_request(s, title, body_file, base, draft)


@task(
    "branch",
    example="--name kept",
    name="What to call the branch; default: recovery/ and the short name of the commit.",
    commit="A commit that no branch has, to put a branch on; HEAD stays where it is.",
)
def recover(s: Session, name: str = "", commit: str = "") -> None:
    """Keep the commits of a detached HEAD on a branch.

    Changes that are not committed come along; where git would lose one, nothing is switched. Also
    lists commits that an earlier checkout left behind on no branch.
    """
    from .health import doctor as recovering

    recovering.recover(s, name, commit)


@task(
    "ci",
    example="--json",
)
def detect(s: Session) -> None:
    """Print the newest stable release that production lacks.

    By the policy's schemes, from upstream's tags and what GitHub says of the newest if there is a
    gh. In GitHub Actions it sets the outputs found, tag, version and notes.
    """
    from .upgrade import automatic

    automatic.show_detection(s)


@task(
    "ci",
    example="--tag v1.76.5 --no-tests",
    ends=(4,),
    tag="The stable release to prepare; default: the newest one that is new.",
    tests="Install and test the result (--no-tests leaves that out).",
    heal="Record the lost ancestry of an earlier sync first.",
)
def sync(s: Session, tag: str = "", tests: bool = True, heal: bool = False) -> None:
    """Prepare a new release and open its pull request.

    What is decided by evidence and rules is committed and explained. What is left to a person stays
    visible in the branch; `resolve-conflicts --pr NUMBER` finishes it. A pull request for an older
    release is superseded; a branch that somebody pushed to is never overwritten. In GitHub Actions
    it sets the outputs result, tag and pull_request.
    """
    from .upgrade import automatic
    from .upgrade.plan import Options

    automatic.sync_upstream(s, Options(tag, tests=tests, heal=heal))


@task(
    "ci",
    example="--range origin/carto/main..HEAD",
    ends=(4,),
    range="The commits to check, as A..B; default: those that origin's production branch has not.",
    pre_push="Check what is being pushed, as git tells its pre-push hook on standard input.",
)
def guard(s: Session, range: str = "", pre_push: bool = False) -> None:
    """Check what would come into the production branch.

    Merges of upstream's development, tags that are no stable release, squashed syncs, conflict
    markers, subjects that are no conventional commits, and what the merge of a release lost.
    Ends with exit code 4 if something is found. In a job for a pull request it checks that.
    """
    from .audit import guard as guarding

    guarding.guard(s, range, pre_push)


@task(
    "ci",
    example="--event success --tag v1.76.5",
    repo=False,
    event="How the run ended: success, conflicts, nothing or failure.",
    tag="The release that it was about, such as v1.76.5.",
    url="The page of the pull request.",
    text="What else there is to say.",
    always="Tell also that there is nothing new.",
)
def notify(
    s: Session, event: str = "", tag: str = "", url: str = "", text: str = "", always: bool = False
) -> None:
    """Tell the team in Slack how a run ended.

    The webhook's URL is read from the environment variable SLACK_WEBHOOK_URL and never shown;
    without it nothing is sent. A message that is not delivered is no failure. --dry prints it.
    """
    from .ci.notify import notify

    notify(s, event, tag=tag, url=url, text=text, always=always)


@task(
    "ci",
    example="--build",
    release="The release of the fork, by its tag; default: the production branch.",
    build="Build the image with docker buildx, from a clean checkout of the commit.",
    push="With --build: publish it under all of its names.",
)
def images(s: Session, release: str = "", build: bool = False, push: bool = False) -> None:
    """Name the container images; build them if asked.

    Under GitHub Actions the names are step outputs too.
    """
    from .release import building

    building.show_images(s, release, build, push)


@task(
    "step",
    example="--tag v1.76.5",
    tag="The release whose sync branch is published, such as v1.76.5.",
)
def sync_pr(s: Session, tag: str = "") -> None:
    """Open or update the pull request of a sync branch.

    With labels, what was decided and why, the account of every change, and what is left to do.
    """
    from .upgrade import automatic

    automatic.sync_pr(s, tag)


@task(
    "step", example="--tag v1.76.5", json=False, tag="The release that was merged, such as v1.76.5."
)
def record_tag(s: Session, tag: str = "") -> None:
    """Commit which commit a release's tag names.

    In carto_tags.toml: an upgrade refuses a tag that stands for something else by then.
    """
    from .upgrade import work

    work.record_tag(s, tag)


@task(
    "step",
    json=False,
    iterable=["replace"],
    requirement="What the workflows install.",
    replace="A file that the team changed, to be given anew (repeatable).",
)
def write_adopted(s: Session, replace: list[str], requirement: str = "") -> None:
    """Commit the files that `fork.adopt` gives a fork."""
    from .adopt import copies

    copies.write(s, requirement, replace)


@task(
    "step",
    example="--tag carto-v1.76.5-0.1.0",
    tag="The release of the fork, by its tag, which must be here.",
    output="The file to write them to; default: standard output.",
)
def release_notes(s: Session, tag: str = "", output: str = "") -> None:
    """Print what is new in a release of the fork."""
    from .release.release import write_notes

    write_notes(s, tag, output)


GROUPS = {
    "fork": "The fork itself",
    "branch": "Your own changes",
    "ci": "For jobs and hooks",
    "step": "Steps of these, which --dry prints",
}
"""What the names of tasks begin with, and what each group is about."""

namespace = gathered(sys.modules[__name__], GROUPS)
program = TaskProgram(name="carto-fork", binary="carto-fork", version=version, namespace=namespace)
