"""The tasks: their options and their help. The packages beside this module do the work.

Those of jobs, hooks and steps are in `jobs`.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from . import __version__ as version
from . import jobs
from .program import TaskProgram, gathered, many, off, on, task, text

if TYPE_CHECKING:
    from .fork.session import Session

# The rest is imported when a task runs: `--list` and `--help` stay as quick as invoke.


@task(json=False)
def setup(s: Session) -> None:
    """Prepare a clone: remotes and git's settings.

    Adds what is missing. If a remote is not the one that the policy names, it refuses and prints
    the command that fixes it. Running it again changes nothing.
    """
    from .fork import setup as preparing

    preparing.set_up(s)


@task()
def status(s: Session) -> None:
    """Print the state of the fork and the next command.

    The branch that is checked out, the version on the production branch, the newest releases of
    the fork and of upstream, commits ahead and behind, and upgrades in progress. Without a network
    it prints what the clone knows.
    """
    from .health import guide

    guide.show_status(s)


@task()
def next(s: Session) -> None:
    """Print the one command to type next, and why.

    You can paste what it prints. It changes nothing.
    """
    from .health import guide as guiding

    guiding.show_next(s)


@task(example="--tag v1.76.5")
def forecast(
    s: Session,
    tag: list[str] = many("A stable release that the clone has; default: the newest ones."),
    markdown: bool = off("Print a table in Markdown."),
    html: str = text("Write a page about the release to choose to this file."),
) -> None:
    """Print what an upgrade would do, and touch nothing.

    Commits that it brings, files that it would change on the production branch, conflicts by kind
    and by decision, how many are left for you, the fork's hunks at risk in those, and which release
    to choose. Index, HEAD, refs and work tree stay as they are.
    """
    from .audit import forecast as foreseeing

    fork, forecasts = foreseeing.show_forecast(s, tag, markdown)
    if html:
        from .upgrade import report as page

        page.write_forecast(s, fork, forecasts, html)


@task(example="--tag v1.76.5", ends=(3, 4))
def upgrade_carto(
    s: Session,
    tag: str = text("The stable upstream release, such as v1.76.5."),
    direct: bool = off("Move the production branch itself instead of publishing a sync branch."),
    push: bool = on("Publish the result (--no-push stops before that)."),
    tests: bool = on("Run the policy's install, test and lint commands (--no-tests skips them)."),
    abort: bool = off(
        "Abandon this upgrade: save what is not committed, say how to restore it, and remove its "
        "work tree and local sync branch."
    ),
    heal: bool = off("Record the lost ancestry of an earlier, squashed sync first."),
    unhealed: bool = off("Merge although the ancestry of an earlier sync is lost."),
    pr: bool = on("Open or update the pull request if gh is installed (--no-pr skips that)."),
    proposals: bool = on(
        "Ask the policy's programs about the conflicts left (--no-proposals skips that)."
    ),
) -> None:
    """Upgrade the production branch to a stable release.

    Merges that tag on a sync branch, in a separate work tree; your checkout may be in any state.
    Evidence and the fork's rules decide conflicts; the others are left for you to decide: resolve
    them, `git add` each file, and run the same command again. It then sets the version, accounts
    for every change of both sides, installs and tests the result, and publishes the sync branch.
    Whatever step is interrupted or fails, the same command continues.
    """
    from .upgrade import begun, upgrade

    options = begun.Options(tag, direct, push, tests, heal, unhealed, pr, proposals)
    if abort:
        upgrade.give_up(s, options)
    else:
        upgrade.say(s, options, upgrade.run(s, options))


@task(example='--keep-fork Dockerfile --reason "Our base image."', ends=(3, 4))
def resolve_conflicts(
    s: Session,
    accept_upstream: list[str] = many("A file: take upstream's side in every conflict left in it."),
    keep_fork: list[str] = many("A file: take the fork's side in every conflict left in it."),
    accept_proposal: list[str] = many("A file: accept a program's proposal that you have read."),
    reason: str = text("Why; recorded in carto_drops.toml with what is dropped."),
    pr: str = text(
        "A sync's pull request to finish: number or branch; default: the merge in progress."
    ),
    proposals: bool = on(
        "Ask the policy's programs about the conflicts left (--no-proposals skips that)."
    ),
) -> None:
    """Decide the conflicts of a merge in progress.

    Works on any work tree with a merge in progress; in the clone, on the work tree of the upgrade.
    It never takes upstream's side over lines that a fork commit wrote, unless upstream has them
    too or a person said so. It stages what is decided; the conflicts left keep their diff3 markers,
    and it lists them with what to do. It never overwrites your edits; running it again continues.
    With --pr it works on a sync's pull request in a separate work tree, checks the result, and
    pushes it once no conflict is left.
    """
    from .merge.words import Words
    from .upgrade import automatic

    words = Words(tuple(accept_upstream), tuple(keep_fork), reason)
    automatic.resolve(s, words, pr, accept=accept_proposal, proposing=proposals)


@task(example="--tag v1.76.5", ends=(4,))
def verify(
    s: Session,
    tag: str = text("The stable upstream release whose merge to check, in the work tree."),
    ours: str = text("The fork's side of any merge: a commit, a branch or a tag."),
    theirs: str = text("Upstream's side of it."),
    result: str = text("The result of that merge."),
    landed: str = text("The release whose sync has landed on the production branch."),
    drop: list[str] = many(
        "A file, from the top of the work tree: drop what the merge lost in it; with --reason."
    ),
    reason: str = text("Why you drop it; recorded in carto_drops.toml and committed."),
) -> None:
    """Account for every change of both sides after a merge.

    Each hunk of either side since their common ancestor is kept, moved, absorbed, superseded,
    dropped on purpose, or lost. It also looks for conflict markers, files that no longer parse,
    names and imports that cannot be resolved, disabled workflows, features, the version, and
    upstream commits that the release does not contain. Exit code 4 if something is wrong or lost.
    With --drop it records why a loss is intended, so that nobody is asked about it twice. It also
    writes the page for reviewing the merge.
    """
    from .audit import dropping, review
    from .upgrade import report

    revs = {"ours": ours, "theirs": theirs, "result": result}
    if drop or reason:
        dropping.drop_lost(s, drop, reason, tag, given=any((*revs.values(), landed)))
    else:
        review.verify_merge(s, tag, revs, landed, report.write_checked)


@task(example="--bump minor")
def release(
    s: Session,
    bump: str = text("Which part of the version to raise: auto, patch, minor or major.", "auto"),
    dispatch: bool = off("Start the release workflow on GitHub instead of releasing from here."),
) -> None:
    """Release origin's production branch.

    The tag names the stable upstream release in it and the fork's own version, which conventional
    commits raise. It creates the tag, pushes only that tag, and publishes a release with notes on
    GitHub. It does not touch your checkout; if interrupted, the same command continues.
    """
    from .release.release import make_release

    make_release(s, bump, dispatch)


@task(example="--offline", ends=(4,))
def doctor(
    s: Session,
    check: list[str] = many("The name of a check to run; default: all of them."),
    fix: bool = off("Apply only fixes that cannot lose work."),
    offline: bool = off("Do not use the network."),
    slack_test: bool = off("Send a test message to Slack."),
    migrate: str = text(
        "Apply the migrations in order to a new database: sqlite, or postgresql with psql."
    ),
) -> None:
    """Check the fork, and print how to fix what is wrong.

    The clone, its tags and versions, what merges left behind, the workflow, the settings on GitHub,
    Slack. It names what it could not check. With --check it also prints notes about things that are
    not wrong. Exit code 4 if something is broken, but not for findings that are only worth a look.
    """
    from .health import doctor as looking

    looking.doctor(s, looking.Examination(check, fix, offline, slack_test, migrate))


@task(json=False)
def sync_main(s: Session) -> None:
    """Update the mirror branch from upstream.

    By fast-forward only, and without checking anything out. It does not touch the production
    branch. If the mirror has commits of its own, it refuses and lists them.
    """
    from .fork import branches

    branches.sync_mirror(s)


@task(example="--tag v1.76.5", json=False)
def bump_version(
    s: Session,
    tag: str = text("The stable upstream release whose version to set, such as v1.76.5."),
    to: str = text("The version to set, such as 1.76.5."),
) -> None:
    """Set the version in every place that states it.

    The policy names the places; comments and layout stay. The commit contains nothing else.
    """
    from .fork import version_files

    version_files.bump_version(s, tag, to)


@task(example="--tag v1.76.5")
def report(
    s: Session,
    tag: str = text("The release whose upgrade to show."),
    ours: str = text("The fork's side of any merge: a commit, a branch or a tag."),
    theirs: str = text("Upstream's side of it."),
    result: str = text("The result of that merge."),
    output: str = text("The file to write; default: beside the upgrade's account, or report.html."),
) -> None:
    """Write a page for reviewing a merge, as HTML.

    Every conflict and its resolution, every fork change and what happened to it, what to look at.
    Upgrades write it themselves; this task writes it for any merge, even an old one.
    """
    from .upgrade import report as page

    page.show(s, tag, {"ours": ours, "theirs": theirs, "result": result}, output)


@task(example="--topic upgrade-carto")
def guide(
    s: Session,
    topic: str = text("What to read about; without it, the topics are listed."),
) -> None:
    """Print the fork's procedures and rules as Markdown.

    What each procedure does, and an upgrade step by step, with the values of this fork's policy;
    outside a fork, of the default policy. --dry prints the steps of any task.
    """
    from .health import guide as guiding

    guiding.show_guide(s, topic)


@task(example="--path .sandbox", repo=False, json=False)
def sandbox(
    s: Session,
    path: str = text("Where to build it; default: .sandbox in the current directory.", ".sandbox"),
    tour: bool = off("Run a whole upgrade there: pull request, merge, release, Slack."),
    quiet: bool = off("Print nothing if there is one already."),
) -> None:
    """Build a small fork to try the other tasks on.

    Everything is on this machine: the remotes and gh work on the directory. An existing sandbox is
    kept.
    """
    from .sandbox import build

    build.build_sandbox(s, path, tour, quiet)


@task("fork", example="--yes")
def init(
    s: Session,
    upstream: str = text("The URL of the original repository."),
    production: str = text("The branch that you release from."),
    mirror: str = text("The branch that only follows upstream's development."),
    name: str = text("The fork's name, for messages and for names of files and variables."),
    output: str = text("The file to write; default: carto_fork.toml at the top of the clone."),
    yes: bool = off("Ask nothing; use the guesses."),
) -> None:
    """Write the policy of a fork, from what its clone shows.

    Tags, version files, generated files, how it is tested, and how sure each value is. On a
    terminal it asks about the most important values that are not certain. It overwrites no file.
    """
    from .adopt import adoption, survey

    adoption.init(s, survey.Asked(name, upstream, production, mirror), output, yes)


@task("fork", example="--check", ends=(4,))
def adopt(
    s: Session,
    replace: list[str] = many("A file that the team changed, to be overwritten."),
    check: bool = off(
        "Only report files that are missing or out of date, with exit code 4 if there are any."
    ),
    requirement: str = text(
        "What the workflows install: git+https://HOST/OWNER/carto-fork@COMMIT, or a wheel "
        "with #sha256=HASH; default: what they install now."
    ),
    push: bool = on("Publish the branch (--no-push stops before that)."),
) -> None:
    """Add the files that these tasks need to the fork.

    Workflows, documents, and ways to call the tasks in a checkout, by the names in the policy; on
    a separate branch, with a pull request if gh is installed. It keeps files that the team changed,
    and lists them. In the clone it installs a hook that checks pushes, unless there is another one.
    """
    from .adopt import adoption

    adoption.adopt(s, check, requirement, replace, push)


@task("fork")
def config(s: Session) -> None:
    """Print the policy, and where each value comes from.

    The default policy is CARTO's; another fork has a carto_fork.toml on its production branch.
    """
    from .fork import setup as policy

    policy.show_config(s)


@task("fork", example="--check", ends=(4,))
def heal(
    s: Session,
    check: bool = off("Only report whether there is something to heal, with exit code 4 if so."),
    direct: bool = off("Move the production branch itself instead of publishing a branch."),
    push: bool = on("Publish the result (--no-push stops before that)."),
) -> None:
    """Record the ancestry of a sync that a squash lost.

    Git then knows again what is merged. It adds a merge commit that changes no file, but only after
    proof that the fork itself changed every file in which both sides differ.
    """
    from .audit import healing

    healing.heal(s, check, direct, push)


@task("fork", example="--section features", ends=(4,))
def inventory(
    s: Session,
    section: str = text("Only one section: drift, absorbed or features."),
    reset: bool = off(
        "Reset drifted files to upstream's in one commit on the branch that is checked out."
    ),
    scan: bool = off("Propose entries for the manifest from the fork's own commits, as TOML."),
) -> None:
    """List drift, what upstream absorbed, and the features.

    drift: files that differ from upstream although no fork commit changed them. absorbed: fork
    changes that upstream has too. features: whether the production branch has everything in the
    manifest, the `[[feature]]` tables of carto_fork.toml; exit code 4 if not.
    """
    from .audit import inventory as stock

    stock.show(s, section, reset, scan)


@task("branch", example="--name my-fix", json=False)
def start(
    s: Session,
    name: str = text("Its name: `my-fix` for the branch feature/my-fix."),
) -> None:
    """Create a branch for a change, from production."""
    from .release import contribute

    contribute.start_feature(s, name)


@task("branch", example='--title "fix: mine"')
def pr(
    s: Session,
    title: str = text(
        "A conventional title, as in 'fix(router): ...'; default: the only commit's subject."
    ),
    body_file: str = text("The file with the description; default: the commits' messages."),
    base: str = text("The branch to merge into; default: the production branch."),
    draft: bool = off("Open it as a draft."),
) -> None:
    """Open a pull request for the branch checked out.

    If one is open already, it pushes the new commits and prints the address.
    """
    from .release import contribute

    contribute.open_pull_request(s, title, body_file, base, draft)


@task("branch", example="--name kept")
def recover(
    s: Session,
    name: str = text("The branch's name; default: recovery/ and the commit's abbreviated SHA."),
    commit: str = text("A commit that is on no branch, to put a branch on; HEAD does not move."),
) -> None:
    """Put the commits of a detached HEAD on a branch.

    Uncommitted changes come along; if git would lose one, it switches nothing. It also lists
    commits that an earlier checkout left on no branch.
    """
    from .health import doctor as recovering

    recovering.recover(s, name, commit)


namespace = gathered(sys.modules[__name__], jobs)
program = TaskProgram(name="carto-fork", binary="carto-fork", version=version, namespace=namespace)
