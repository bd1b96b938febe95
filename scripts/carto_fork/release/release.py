"""A release of the fork: what it is called, what is new in it, and making it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from packaging.version import Version

from ..ci import notify
from ..fork import releases, tags, version_files
from ..fork.branches import fetch_tag
from ..fork.fork import Fork, require_remotes, require_whole_history
from ..fork.policy import Releases, TagUse
from ..fork.session import Session
from ..fork.tags import Tag
from ..merge import authorship
from ..run import git, github, text
from ..run.errors import Refused, Usage
from ..run.git import Refs
from ..run.shell import Shell
from ..run.steps import Condition, Plan, Step
from ..run.text import counted
from . import notes
from .contribute import current
from .notes import Notes, Own

PUSHED_TAG = Condition("if an earlier run, on another machine perhaps, has pushed it")
UNPUSHED = Condition("if it is not there yet")

FETCH_OWN_TAG = fetch_tag(
    "fetch", "Get the tag that an earlier run pushed.", "{origin}", PUSHED_TAG
)


@dataclass(frozen=True)
class RemoteRefs:
    """What the remotes have now: origin its production branch and its tags, upstream its tags."""

    origin: Refs
    upstream: Refs


@dataclass(frozen=True)
class Release:
    """A release of the fork, made or to be made.

    tag: its name. version: the fork's own version. commit: what it releases.
    upstream: the newest stable release of upstream's in it.
    before, upstream_before: the fork's release before this one and the release of upstream's in
        that; None if there is none.
    own: the fork's own commits since then, newest first.
    """

    tag: str
    version: str
    commit: str
    upstream: Tag
    before: Tag | None
    upstream_before: Tag | None
    own: tuple[Own, ...]


def ask(sh: Shell, fork: Fork) -> RemoteRefs:
    """Ask both remotes. Raises Refused if one cannot be reached."""
    remotes = fork.policy.remotes
    production = f"refs/heads/{fork.policy.branches.production}"
    return RemoteRefs(
        releases.ask_remote(sh, fork, remotes.origin.name, [production, "refs/tags/*"]),
        releases.ask_remote(sh, fork, remotes.upstream.name, ["refs/tags/*"]),
    )


def rules(fork: Fork) -> Releases:
    """How the fork names its releases. Raises Refused if its policy does not say."""
    if fork.policy.releases is None:
        raise Refused(
            "the policy does not say what the fork's releases are called.",
            then="add `[releases]` to carto_fork.toml on the production branch (`fork.config`).",
        )
    return fork.policy.releases


def next_one(
    sh: Shell, fork: Fork, there: RemoteRefs, commit: str, bump: str, command: Callable[..., str]
) -> Release:
    """The release to make of a commit of the production branch.

    bump: auto, major, minor or patch. A release whose tag is at the commit already is that one.
    command: makes the command line of a task on this fork from its name and options.
    Raises Refused if there is nothing to release, or the branch is not fit for it.
    """
    named = rules(fork)
    contained = _Contained(sh, fork, there, commit)
    upstream = contained.upstream()
    _require_version(sh, fork, commit, upstream, command)
    if begun := _begun(fork, there, commit, upstream):
        return contained.release(begun.name, str(begun.build))
    before, own = contained.own, contained.changes
    if before is None or before.version != upstream.version:
        version = tags.FIRST
    elif not own:
        production = fork.policy.branches.production
        raise Refused(
            f"{production} has nothing new since {before.name}: no commit of the fork's own, and "
            "no newer release of upstream's.",
            then="merge what is to be released, then run the same command again.",
        )
    else:
        part = bump
        if bump == "auto":
            part = tags.bump_for(commit.change for commit in own)
            if part == "major" and before.build.major == 0:
                part = "minor"  # as SemVer has it: before 1.0.0 anything may change
        version = tags.raised(before.build, part)
    tag = named.name(upstream.release, version)
    _require_free(fork, there, tag)
    return contained.release(tag, version)


def made_before(sh: Shell, fork: Fork, there: RemoteRefs, name: str) -> Release:
    """A release of the fork whose tag is here. Raises Refused if there is no such."""
    tag = own_tag(fork, name)
    ref = f"refs/tags/{name}"
    if ref not in fork.refs.commits:
        origin = fork.policy.remotes.origin.name
        raise Refused(
            f"there is no tag {name} here.", then=f"{git.at(fork.path)} fetch {origin} {ref}:{ref}"
        )
    contained = _Contained(sh, fork, there, fork.refs.commits[ref])
    return contained.release(name, str(tag.build))


def own_tag(fork: Fork, name: str) -> Tag:
    """The tag of a release of the fork, by its name. Raises Refused if it names none."""
    tag = tags.classify(tags.checked_name(name), fork.policy.tags)
    if tag is None or tag.scheme.use is not TagUse.OWN:
        problem = f"{name} is not the name of a release of the fork."
        raise Refused(problem, then="name one of its own releases; `status` names the newest one.")
    return tag


def notes_of(fork: Fork, release: Release) -> Notes:
    """What the notes of a release tell."""
    slug = github.slug_of(fork.policy.remotes.upstream.url)
    return Notes(
        name=fork.policy.name,
        page=fork.hub(fork.policy.remotes.origin).url,
        upstream_page=f"https://github.com/{slug}" if slug else "",
        tag=release.tag,
        upstream=release.upstream.name,
        before=release.before.name if release.before else "",
        upstream_before=release.upstream_before.name if release.upstream_before else "",
        own=release.own,
        images=image_names(fork, release),
    )


def image_names(fork: Fork, release: Release) -> list[str]:
    """The container images that a release stands for."""
    if fork.policy.images is None:
        return []
    upstream = release.upstream.release
    return notes.images_of_release(fork.policy.images, release.tag, upstream, release.version)


def plan_of(fork: Fork, there: RemoteRefs, release: Release) -> Plan:
    """The plan for making a release, or for going on with one."""
    ref = f"refs/tags/{release.tag}"
    file = fork.repository.common / "carto-fork" / release.tag / "notes.md"
    values = fork.values() | {
        "tag": release.tag,
        "commit": release.commit,
        "title": release.tag,
        "message": notes_of(fork, release).summary(),
        "notes": str(git.nearest(file)),
    }
    condition = PUSHED_TAG if ref in there.origin.objects else UNPUSHED
    untouched = f"Your checkout and {fork.policy.branches.production} are as they were."
    return Plan(values, frozenset({condition}), untouched)


class _Contained:
    """What the history of a commit holds of releases, and of the fork's own work."""

    def __init__(self, sh: Shell, fork: Fork, there: RemoteRefs, commit: str) -> None:
        self._sh, self._fork, self._there, self.commit = sh, fork, there, commit
        self._history = git.history(sh, fork.path, commit)
        self._merged = releases.merged(sh, fork, commit, there.upstream)

    def upstream(self) -> Tag:
        """The newest stable release of upstream's. Raises Refused if there is none."""
        found = tags.newest(self._merged, self._fork.policy.tags, *tags.STABLE)
        if found is None:
            production = self._fork.policy.branches.production
            problem = f"{production} contains no stable release of upstream's."
            raise Refused(
                problem, then="see `status`; if a sync was squashed: `fork.heal --check`."
            )
        return found

    def release(self, tag: str, version: str) -> Release:
        """The release of this commit by a name, with the fork's own version."""
        upstream, before = self.upstream(), self.own
        since = self._commit_of(before) if before else ""
        known = self._there.upstream
        contained = releases.contained(self._sh, self._fork, since, known) if since else None
        return Release(tag, version, self.commit, upstream, before, contained, self.changes)

    @cached_property
    def own(self) -> Tag | None:
        """The fork's newest release before this commit, as origin has it."""
        names = self._there.origin.tags_in(self._history - {self.commit})
        return tags.newest(names, self._fork.policy.tags, TagUse.OWN)

    @cached_property
    def changes(self) -> tuple[Own, ...]:
        """The fork's own commits since its newest release, newest first; neither merges nor what
        brought upstream's work."""
        sh, fork, before = self._sh, self._fork, self.own
        upstream = self._merged[self.upstream().name]
        tips = [upstream, *fork.upstream_tips]
        own = authorship.of_fork(sh, fork, self.commit, upstream)
        # Tags of upstream's that are in, stable or not, tell upstream's commits from the fork's.
        known = {*tips, *self._history.intersection(self._there.upstream.commits.values())}
        known |= {self._commit_of(before)} if before else set()
        words = ["git", "-C", str(fork.path), "log", "-z", "--no-merges", "--no-show-signature"]
        words += ["--no-color", "--format=%H%x00%s%x00%b", "--stdin", self.commit]
        answer = sh.read(words, feed=[f"^{name}" for name in sorted(known)])
        fields = git.checked(answer, "fork's own commits").fields()
        left_out = {*own.copies, *(commit.name for commit in own.squashed)}
        return tuple(
            Own(name, subject, tags.conventional(subject, body))
            for name, subject, body in zip(fields[::3], fields[1::3], fields[2::3], strict=True)
            if name not in left_out
        )

    def _commit_of(self, tag: Tag) -> str:
        return self._there.origin.tag(tag.name)


def _begun(fork: Fork, there: RemoteRefs, commit: str, upstream: Tag) -> Tag | None:
    """The fork's release of this very commit, begun or made by an earlier run.

    Raises Refused if its tag here and its tag on origin are not the same.
    """
    known = {*fork.refs.tags_in([commit]), *there.origin.tags_in([commit])}
    found = [tag for name in known if (tag := tags.classify(name, fork.policy.tags))]
    own = [t for t in found if t.scheme.use is TagUse.OWN and t.version == upstream.version]
    begun = max(own, default=None)
    if begun:
        ref = f"refs/tags/{begun.name}"
        here, origin = fork.refs.objects.get(ref), there.origin.objects.get(ref)
        if here and origin and here != origin:
            remote = fork.policy.remotes.origin.name
            raise _in_the_way(fork, begun.name, f"{here[:10]}; {remote}'s is {origin[:10]}")
    return begun


def _require_free(fork: Fork, there: RemoteRefs, name: str) -> None:
    """Raises Refused if the tag exists; it is at another commit then."""
    ref = f"refs/tags/{name}"
    here, origin = fork.refs.objects.get(ref), there.origin.objects.get(ref)
    if origin:
        remote = fork.policy.remotes.origin.name
        raise Refused(
            f"{remote} has a tag {name} already, at {there.origin.commits[ref][:10]}, which is not "
            f"in {fork.policy.branches.production}.",
            then="find out who made it and why; merge what it released, or name another version "
            "with --bump.",
        )
    if here:
        raise _in_the_way(fork, name, f"at {fork.refs.commits[ref][:10]}, and was never pushed")


def _in_the_way(fork: Fork, name: str, what: str) -> Refused:
    return Refused(
        f"there is a tag {name} here already, {what}.",
        then=f"if nobody needs it: {git.at(fork.path)} tag -d {name}; "
        "then run the same command again.",
    )


def _require_version(
    sh: Shell, fork: Fork, commit: str, upstream: Tag, command: Callable[..., str]
) -> None:
    """Raises Refused if the production branch states another version than upstream's release
    in it has."""
    production = fork.policy.branches.production
    for file, stated in version_files.at(sh, fork, commit):
        for key, version in stated.items():
            if version_files.same(version, upstream.release):
                continue
            problem = (
                f"{file.path}: {key} is {version} on {production}, and the newest release of "
                f"upstream's in it is {upstream.name}"
            )
            bump = command("bump-version", to=upstream.release)
            mend = f"on a branch of {production}'s: `{bump}`; merge that, then run the same command"
            if _is_newer(version, upstream):
                raise Refused(
                    f"{problem}, which is older: the version is off, or a sync was merged without "
                    "its history.",
                    then="`fork.heal --check` says how the history is; if that is well, "
                    f"{mend} again.",
                )
            raise Refused(f"{problem}.", then=f"{mend} again.")


def _is_newer(version: str, upstream: Tag) -> bool:
    try:
        return Version(version) > upstream.version
    except ValueError:
        return False


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
        run=("invoke step.release-notes --repo {repo} --tag {tag} --output {notes}",),
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
    fork = s.open_fork()
    rules(fork)
    if dispatch:
        _dispatch(s, fork, bump)
        return
    require_remotes(fork)
    require_whole_history(fork)
    hub = fork.hub(fork.policy.remotes.origin)
    github.require(s.sh, hub)
    if not git.has_identity(s.sh, fork.path):
        raise git.nobody(fork.path)
    with s.locked(fork.repository) as held:
        there = ask(s.sh, fork)
        fork, commit = current(s, fork, there.origin, held)
        made = next_one(s.sh, fork, there, commit, bump, s.command)
        _say_what_is_not_in(s, fork, commit)
        notes = notes_of(fork, made).markdown()
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
            plan = plan_of(fork, there, made)
            work = Publication(notes, Path(plan.values["notes"]))
            s.run(RELEASE, plan, held, work)
            known = None if s.sh.dry else github.release(s.sh, hub, made.tag)
    url = known.url if known else ""
    if s.json:
        s.print_json(_facts(fork, made, notes) | {"url": url})
    if s.sh.dry:
        return
    s.console.row(f"{made.tag} is on GitHub: ", url)
    upstream = made.upstream.release
    notify.set_outputs({"tag": made.tag, "upstream": upstream, "version": made.version, "url": url})
    notify.summarize(f"# [{text.plain(made.tag)}]({url})\n\n{notes}")


def _dispatch(s: Session, fork: Fork, bump: str) -> None:
    """Start the workflow that makes releases."""
    hub, workflow = fork.hub(fork.policy.remotes.origin), rules(fork).workflow
    if not workflow:
        raise Refused(
            "the policy names no workflow that makes releases.",
            then="add `workflow` to `[releases]` in carto_fork.toml, or leave --dispatch out.",
        )
    github.require(s.sh, hub)
    values = fork.values() | {"workflow": workflow, "bump": bump}
    untouched = "Nothing was released by this."
    s.run(DISPATCH, Plan(values, frozenset(), untouched), None)
    page = f"{hub.url}/actions/workflows/{workflow}"
    if s.json:
        s.print_json({"workflow": workflow, "bump": bump, "url": page})
    s.console.row("its runs: ", page)


def _say_what_is_not_in(s: Session, fork: Fork, commit: str) -> None:
    """Tell where the local production branch has what origin's has not."""
    local = fork.refs.commits.get(fork.local_production)
    ahead = git.count(s.sh, fork.path, local, commit) if local else 0
    if ahead:
        branch, origin = fork.policy.branches.production, fork.policy.remotes.origin.name
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


def _facts(fork: Fork, made: Release, notes: str) -> dict[str, Any]:
    """A release as plain data for ``--json``."""
    return {
        "tag": made.tag,
        "upstream": made.upstream.release,
        "version": made.version,
        "commit": made.commit,
        "upstream_tag": made.upstream.name,
        "before": made.before.name if made.before else None,
        "images": image_names(fork, made),
        "notes": notes,
    }


def write_notes(s: Session, tag: str, output: str) -> None:
    """Print the notes of a release whose tag is here, or write them to a file."""
    if not tag:
        raise Usage("--tag is missing.", then="add --tag, the name of a release of the fork.")
    fork = s.open_fork()
    rules(fork)
    require_remotes(fork)
    made = made_before(s.sh, fork, ask(s.sh, fork), tag)
    notes = notes_of(fork, made).markdown()
    if output and not s.sh.dry:
        path = Path(output)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(notes, encoding="utf-8")
    if s.json:
        s.print_json(_facts(fork, made, notes))
    elif not output or s.sh.dry:
        s.sh.show(notes.rstrip("\n"))
