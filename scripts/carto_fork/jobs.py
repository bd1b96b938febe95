"""The tasks of jobs and hooks, and the steps of other tasks; the others are in `tasks`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .program import many, off, on, task, text

if TYPE_CHECKING:
    from .fork.session import Session


@task("ci", example="--json")
def detect(s: Session) -> None:
    """Print the newest stable release that production lacks.

    It reads upstream's tags by the policy's schemes and, if gh is installed, GitHub's release of
    the newest one. In GitHub Actions it sets the outputs found, tag, version, notes, warnings and
    moved.
    """
    from .health import guide
    from .upgrade import automatic

    if tag := automatic.show_detection(s):
        guide.say_next(s, tag)


@task("ci", example="--tag v1.76.5 --no-tests", ends=(4,))
def sync(
    s: Session,
    tag: str = text(
        "The stable release to prepare; default: the newest one that production lacks."
    ),
    tests: bool = on("Install and test the result (--no-tests skips that)."),
    heal: bool = off("Record the lost ancestry of an earlier sync first."),
) -> None:
    """Prepare a new release and open its pull request.

    It commits and explains what evidence and rules decide. Conflicts that are left stay visible in
    the branch; `resolve-conflicts --pr NUMBER` finishes it. It supersedes the pull request of an
    older release, and never overwrites a branch that somebody pushed to. In GitHub Actions it sets
    the outputs result, tag and pull_request, and `ci.notify` posts to Slack; elsewhere it posts
    itself if SLACK_WEBHOOK_URL is set.
    """
    from .upgrade import automatic, begun

    automatic.sync_upstream(s, begun.Options(tag, tests=tests, heal=heal))


@task("ci", example="--range origin/carto/main..HEAD", ends=(4,))
def guard(
    s: Session,
    range: str = text(
        "The commits to check, as A..B; default: those that origin's production branch lacks."
    ),
    pre_push: bool = off(
        "Check what is being pushed, as git passes it to a pre-push hook on standard input."
    ),
) -> None:
    """Check what would get into the production branch.

    It looks for merges of upstream development, tags that are not stable releases, squashed syncs,
    conflict markers, unconventional commit subjects, what the merge of a release lost, wrong
    versions, a policy that is not valid, and changes to what it relies on. In a job for a pull
    request it checks that. Exit code 4 if it finds something.
    """
    from .audit import guard as guarding

    guarding.guard(s, range, pre_push)


@task("ci", example="--event success --tag v1.76.5")
def notify(
    s: Session,
    event: str = text(
        "How the run ended: success, conflicts, nothing, waiting, declined, moved or failure."
    ),
    tag: str = text("The release, such as v1.76.5."),
    url: str = text("The page of the pull request."),
    text: str = text("More text for the message."),
    always: bool = off("Send a message even if the team has nothing to do."),
) -> None:
    """Post to Slack how a run ended.

    It reads the webhook's URL from the environment variable SLACK_WEBHOOK_URL and never shows it;
    without it, it sends nothing. It does not fail if a message does not arrive. --dry prints it.
    """
    from .ci.notify import notify

    notify(s, event, tag=tag, url=url, text=text, always=always)


@task("ci", example="--build")
def images(
    s: Session,
    release: str = text("The release of the fork, by its tag; default: the production branch."),
    build: bool = off("Build the image with docker buildx, from a clean checkout of the commit."),
    push: bool = off("With --build: publish it under all its names."),
) -> None:
    """Print the image names; build the image if asked.

    In GitHub Actions it also sets the names as outputs.
    """
    from .release import building

    building.show_images(s, release, build, push)


@task("step", example="--tag v1.76.5")
def sync_pr(
    s: Session,
    tag: str = text("The release whose sync branch is published, such as v1.76.5."),
) -> None:
    """Open or update the pull request of a sync branch.

    With labels, all decisions and their reasons, the account of every change, and what is left.
    """
    from .upgrade import automatic

    automatic.sync_pr(s, tag)


@task("step", example="--tag v1.76.5", json=False)
def record_tag(
    s: Session,
    tag: str = text("The release that was merged, such as v1.76.5."),
) -> None:
    """Record a release tag's commit, and commit the record.

    It writes carto_tags.toml. Later upgrades refuse the tag if upstream has moved it.
    """
    from .upgrade import work

    work.record_tag(s, tag)


@task("step", json=False)
def write_adopted(
    s: Session,
    replace: list[str] = many("A file that the team changed, to be overwritten."),
    requirement: str = text("What the workflows install."),
) -> None:
    """Commit the files that `fork.adopt` adds to a fork."""
    from .adopt import adoption

    adoption.write(s, requirement, replace)


@task("step", example="--tag carto-v1.76.5-0.1.0")
def release_notes(
    s: Session,
    tag: str = text("The release of the fork, by its tag, which the clone must have."),
    output: str = text("The file to write the notes to; default: standard output."),
) -> None:
    """Print the notes of a release of the fork."""
    from .release.release import write_notes

    write_notes(s, tag, output)
