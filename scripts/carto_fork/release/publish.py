"""A release of the fork, from beginning to end: made, or left to the workflow; its notes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..ci import actions
from ..fork import fork
from ..fork.fork import Fork
from ..fork.session import Session
from ..run import git, github, markdown
from ..run.errors import Refused, Usage
from ..run.steps import Plan, Step
from ..run.text import counted
from . import release
from .contribute import current
from .release import FETCH_OWN_TAG, UNPUSHED, Release

BUMPS = ("auto", "patch", "minor", "major")


@dataclass(frozen=True)
class Publication:
    """A release that is being published: its notes, and where they are written."""

    notes: str
    path: Path

    def write_notes(self) -> None:
        """Write the notes, for the step that publishes them."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(self.notes, encoding="utf-8")


RELEASE = (
    FETCH_OWN_TAG,
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
        call=Publication.write_notes,
    ),
    Step(
        "push",
        "Publish exactly that tag.",
        when=UNPUSHED,
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


def make_release(s: Session, bump: str, dispatch: bool) -> None:
    """Release the production branch as it is on origin, or let the workflow do that."""
    if bump not in BUMPS:
        raise Usage(f"--bump is {bump!r}.", then=f"choose one of {', '.join(BUMPS)}.")
    found = s.open_fork()
    release.rules(found)
    if dispatch:
        _dispatch(s, found, bump)
        return
    fork.require_remotes(found)
    fork.require_whole_history(found)
    hub = found.hub(found.policy.remotes.origin)
    github.require(s.sh, hub)
    if not git.has_identity(s.sh, found.path):
        raise git.nobody(found.path)
    with s.locked(found.repository) as held:
        there = release.ask(s.sh, found)
        found, commit = current(s, found, there.origin, held)
        made = release.next_one(s.sh, found, there, commit, bump, s.command)
        _say_what_is_not_in(s, found, commit)
        notes = release.notes(found, made).markdown()
        known = github.release(s.sh, hub, made.tag)
        if known and known.draft:
            raise Refused(
                f"there is a draft of a release {made.tag} on GitHub.",
                then=f"publish it there or delete it ({known.url}), then run the same command "
                "again.",
            )
        if known and f"refs/tags/{made.tag}" in there.origin.objects:
            s.console.say(f"{made.tag} is released already; nothing to do.")
        else:
            known = None
            if s.sh.dry:
                _show_notes(s, made, notes)
            plan = release.plan(found, there, made)
            work = Publication(notes, Path(plan.values["notes"]))
            s.run(RELEASE, plan, held, work)
            known = None if s.sh.dry else github.release(s.sh, hub, made.tag)
    url = known.url if known else ""
    if s.json:
        s.print_json(_facts(found, made, notes) | {"url": url})
    if s.sh.dry:
        return
    s.console.row(f"{made.tag} is on GitHub: ", url)
    upstream = made.upstream.release
    actions.set_outputs(
        {"tag": made.tag, "upstream": upstream, "version": made.version, "url": url}
    )
    actions.summarize(f"# [{markdown.plain(made.tag)}]({url})\n\n{notes}")


def _dispatch(s: Session, found: Fork, bump: str) -> None:
    """Start the workflow that makes releases."""
    hub, workflow = found.hub(found.policy.remotes.origin), release.rules(found).workflow
    if not workflow:
        raise Refused(
            "the policy names no workflow that makes releases.",
            then="add `workflow` to `[releases]` in carto_fork.toml, or leave --dispatch out.",
        )
    github.require(s.sh, hub)
    values = found.values() | {"workflow": workflow, "bump": bump}
    untouched = "Nothing was released by this."
    s.run(DISPATCH, Plan(values, frozenset(), untouched), None)
    page = f"{hub.url}/actions/workflows/{workflow}"
    if s.json:
        s.print_json({"workflow": workflow, "bump": bump, "url": page})
    s.console.row("its runs: ", page)


def _say_what_is_not_in(s: Session, found: Fork, commit: str) -> None:
    """Tell where the local production branch has what origin's has not."""
    local = found.refs.commits.get(found.local_production)
    ahead = git.count(s.sh, found.path, local, commit) if local else 0
    if ahead:
        branch, origin = found.policy.branches.production, found.policy.remotes.origin.name
        s.console.say(
            f"Note: {branch} has {counted(ahead, 'commit')} here that {origin} has not; "
            "what is not pushed is not released."
        )


def _show_notes(s: Session, made: Release, notes: str) -> None:
    s.console.row("tag: ", made.tag)
    s.console.row("commit: ", made.commit)
    s.console.row("notes:", "")
    for line in notes.splitlines():
        s.console.row("  ", line)


def _facts(found: Fork, made: Release, notes: str) -> dict[str, Any]:
    """A release as plain data for ``--json``."""
    return {
        "tag": made.tag,
        "upstream": made.upstream.release,
        "version": made.version,
        "commit": made.commit,
        "upstream_tag": made.upstream.name,
        "before": made.before.name if made.before else None,
        "images": release.image_names(found, made),
        "notes": notes,
    }


def write_notes(s: Session, tag: str, output: str) -> None:
    """Print the notes of a release whose tag is here, or write them to a file."""
    if not tag:
        raise Usage("--tag is missing.", then="add --tag, the name of a release of the fork.")
    found = s.open_fork()
    release.rules(found)
    fork.require_remotes(found)
    made = release.made(s.sh, found, release.ask(s.sh, found), tag)
    notes = release.notes(found, made).markdown()
    if output and not s.sh.dry:
        path = Path(output)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(notes, encoding="utf-8")
    if s.json:
        s.print_json(_facts(found, made, notes))
    elif not output or s.sh.dry:
        s.sh.show(notes.rstrip("\n"))
