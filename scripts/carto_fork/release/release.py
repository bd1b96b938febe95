"""A release of the fork: its name, its contents, and publishing it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from ..audit import healing, review
from ..audit.dropping import is_dropped
from ..ci import notify
from ..fork import records, releases, tags, version_files
from ..fork.branches import fetch_tag, on_a_branch
from ..fork.fork import Fork, require_remotes, require_whole_history
from ..fork.policy import Releases
from ..fork.records import Drop
from ..fork.session import Session
from ..fork.tags import Tag, TagUse
from ..merge import authorship, earlier
from ..merge.reverted import reverted_sync
from ..run import files, git, github, text
from ..run.errors import Refused, Usage
from ..run.git import Refs
from ..run.shell import Shell
from ..run.steps import Condition, Plan, Step
from ..run.text import counted, in_actions
from ..upgrade import begun
from . import notes
from .contribute import current
from .notes import Notes, Own

PUSHED_TAG = Condition("if an earlier run, perhaps on another machine, has pushed it")
UNPUSHED = Condition("if origin lacks it")
HOSTED = Condition("if origin is on GitHub")

FETCH_OWN_TAG = fetch_tag(
    "fetch", "Fetch the tag that an earlier run pushed.", "{origin}", PUSHED_TAG
)


@dataclass(frozen=True)
class RemoteRefs:
    """What the remotes have now: origin's production branch and tags, and upstream's tags."""

    origin: Refs
    upstream: Refs


@dataclass(frozen=True)
class Release:
    """A release of the fork, published or not.

    tag: its name. version: the fork's own version. commit: the commit that it releases.
    upstream: the newest stable upstream release that it contains.
    before, upstream_before: the fork's previous release, and the upstream release in that one, or
        None.
    own: the fork's own commits since the previous release, newest first, without those whose
        changes were dropped.
    given_up: what people dropped since then.
    """

    tag: str
    version: str
    commit: str
    upstream: Tag
    before: Tag | None
    upstream_before: Tag | None
    own: tuple[Own, ...]
    given_up: tuple[Drop, ...]


def ask(sh: Shell, fork: Fork) -> RemoteRefs:
    """Ask both remotes. Raises Refused if one cannot be reached."""
    remotes = fork.policy.remotes
    production = f"refs/heads/{fork.policy.branches.production}"
    return RemoteRefs(
        releases.ask_remote(sh, fork, remotes.origin.name, [production, "refs/tags/*"]),
        releases.ask_remote(sh, fork, remotes.upstream.name, ["refs/tags/*"]),
    )


def rules(fork: Fork) -> Releases:
    """How the fork names its releases. Raises Refused if its policy does not define that."""
    if fork.policy.releases is None:
        problem = "the policy does not define names for the fork's releases."
        raise Refused(problem, then=f"add `[releases]` with {tags.fitting(fork.policy.tags)}.")
    return fork.policy.releases


def next_one(
    sh: Shell, fork: Fork, remote: RemoteRefs, commit: str, bump: str, command: Callable[..., str]
) -> Release:
    """The next release, at a commit of the production branch.

    If a release's tag is at that commit already, it is that release.
    bump: auto, major, minor or patch.
    command: makes the command line of a task on this fork from its name and options.
    Raises Refused if there is nothing to release, or the branch is not ready for it.
    """
    rules(fork)
    contained = _Contained(sh, fork, remote, commit)
    upstream = contained.upstream()
    gone = reverted_sync(sh, fork, commit)
    if gone and gone.release.name == upstream.name:  # the release would not be what its name says
        undo = on_a_branch(command, "missing-sync", gone.undone(fork))
        raise Refused(
            f"{gone.said}.", then=f"`{undo}`; merge that, then run the same command again."
        )
    _require_version(sh, fork, commit, upstream, command)
    if begun := _begun(fork, remote, commit, upstream):
        return contained.release(begun.name, str(begun.build))
    before, own = contained.own, contained.changes
    if before is None or before.version != upstream.version:
        version = tags.FIRST
    elif not own:
        production = fork.policy.branches.production
        raise Refused(
            f"{production} has nothing new since {before.name}: no fork commit, and no newer "
            "upstream release.",
            then="merge what you want to release, then run the same command again.",
        )
    else:
        part = bump
        if bump == "auto":
            part = tags.bump_for(commit.change for commit in own)
            if part == "major" and before.build.major == 0:
                part = "minor"  # SemVer: before 1.0.0 anything may change
        version = tags.raised(before.build, part)
    tag = releases.own_name(fork.policy, upstream, version)
    _require_free(fork, remote, tag)
    return contained.release(tag, version)


def made_before(sh: Shell, fork: Fork, remote: RemoteRefs, name: str) -> Release:
    """A release of the fork by its tag. Raises Refused if this clone lacks the tag."""
    tag = own_tag(fork, name)
    ref = f"refs/tags/{name}"
    if ref not in fork.refs.commits:
        origin = fork.policy.remotes.origin.name
        raise Refused(
            f"this clone has no tag {name}.",
            then=f"{git.at(fork.path)} fetch {origin} {ref}:{ref}",
        )
    contained = _Contained(sh, fork, remote, fork.refs.commits[ref])
    return contained.release(name, str(tag.build))


def own_tag(fork: Fork, name: str) -> Tag:
    """The tag of a fork release by its name. Raises Refused if it is not the name of one."""
    tag = tags.classify(tags.checked_name(name), fork.policy.tags)
    if tag is None or tag.scheme.use is not TagUse.OWN:
        problem = f"{name} is not the name of a release of the fork."
        raise Refused(problem, then="name a release of the fork; `status` names the newest one.")
    return tag


def notes_of(fork: Fork, release: Release) -> Notes:
    """The contents of a release's notes."""
    remotes = fork.policy.remotes
    slugs = [github.slug_of(remote.url) for remote in (remotes.origin, remotes.upstream)]
    page, upstream_page = (f"https://github.com/{slug}" if slug else "" for slug in slugs)
    return Notes(
        name=fork.policy.name,
        page=page,
        upstream_page=upstream_page,
        tag=release.tag,
        upstream=release.upstream.name,
        before=release.before.name if release.before else "",
        upstream_before=release.upstream_before.name if release.upstream_before else "",
        own=[own for own in release.own if not _is_our_record(fork, own.subject)],
        given_up=release.given_up,
        images=image_names(fork, release),
    )


def _is_our_record(fork: Fork, subject: str) -> bool:
    """Whether a commit is a step of an upgrade, which the notes say in other words."""
    drop = records.DROP_MESSAGE.partition("{")[0]
    return earlier.is_a_steps(fork, subject) or subject.startswith(drop)


def image_names(fork: Fork, release: Release) -> list[str]:
    """The names of a release's container images."""
    if fork.policy.images is None:
        return []
    upstream = release.upstream.release
    return notes.images_of_release(fork.policy.images, release.tag, upstream, release.version)


def plan_of(fork: Fork, remote: RemoteRefs, release: Release) -> Plan:
    """The plan for publishing a release, from the start or from where an earlier run stopped."""
    ref = f"refs/tags/{release.tag}"
    file = fork.notes(release.tag) / "notes.md"
    values = fork.values() | {
        "tag": release.tag,
        "commit": release.commit,
        "title": release.tag,
        "message": notes_of(fork, release).summary(),
        "notes": str(git.nearest(file)),
    }
    conditions = {PUSHED_TAG if ref in remote.origin.objects else UNPUSHED}
    if github.slug_of(fork.policy.remotes.origin.url):
        conditions.add(HOSTED)
    untouched = f"Your checkout and {fork.policy.branches.production} are unchanged."
    return Plan(values, frozenset(conditions), untouched)


class _Contained:
    """The releases and the fork's own work in the history of a commit."""

    def __init__(self, sh: Shell, fork: Fork, remote: RemoteRefs, commit: str) -> None:
        self._sh, self._fork, self._remote, self.commit = sh, fork, remote, commit
        question = "rev-list {commit} --"
        self._history = set(git.ask(sh, fork.path, question, "history", commit=commit).out.split())
        self._merged = releases.merged(sh, fork, commit, remote.upstream)

    def upstream(self) -> Tag:
        """The newest stable upstream release. Raises Refused without one."""
        newest = tags.newest(self._merged, self._fork.policy.tags, *tags.STABLE)
        if newest is None:
            production = self._fork.policy.branches.production
            problem = f"{production} contains no stable upstream release."
            raise Refused(
                problem, then="see `status`; if a sync was squashed: `fork.heal --check`."
            )
        return newest

    def release(self, tag: str, version: str) -> Release:
        """The release of this commit, by its tag and the fork's own version."""
        upstream, before = self.upstream(), self.own
        since = self._commit_of(before) if before else ""
        refs = self._remote.upstream
        contained = releases.contained(self._sh, self._fork, since, refs) if since else None
        dropped = self._dropped_since(since)
        sh, path = self._sh, self._fork.path
        ours = [drop for drop in dropped if drop.side == "fork"]
        own = (x for x in self.changes if not is_dropped(sh, path, x.commit, self.commit, ours))
        facts = (upstream, before, contained, tuple(own), dropped)
        return Release(tag, version, self.commit, *facts)

    def _dropped_since(self, before: str) -> tuple[Drop, ...]:
        """What people dropped after a commit, or ever if it is ""."""
        sh, path = self._sh, self._fork.path
        commits = filter(None, (self.commit, before))
        texts = [git.show(sh, path, commit, records.DROPS_FILE) for commit in commits]
        with suppress(Refused):  # an invalid file is for an upgrade to refuse
            now, *was = map(records.read_drops, texts)
            return tuple(drop for drop in now if not any(drop in old for old in was))
        return ()

    @cached_property
    def own(self) -> Tag | None:
        """The fork's newest release before this commit, by origin's tags."""
        names = self._remote.origin.tags_in(self._history - {self.commit})
        return tags.newest(names, self._fork.policy.tags, TagUse.OWN)

    @cached_property
    def changes(self) -> tuple[Own, ...]:
        """The fork's own commits since its previous release, newest first, without merges and
        without commits that brought upstream's work."""
        sh, fork, before = self._sh, self._fork, self.own
        upstream = self._merged[self.upstream().name]
        tips = [upstream, *fork.upstream_tips]
        own = authorship.of_fork(sh, fork, self.commit, upstream)
        # Every upstream tag in the history, stable or not, marks its ancestors as upstream's.
        others = {*tips, *self._history.intersection(self._remote.upstream.commits.values())}
        others |= {self._commit_of(before)} if before else set()
        words = ["git", "-C", str(fork.path), "log", "-z", "--no-merges", "--no-show-signature"]
        words += ["--no-color", "--format=%H%x00%s%x00%b", "--stdin", self.commit]
        answer = sh.read(words, feed=[f"^{name}" for name in sorted(others)])
        fields = git.checked(answer, "fork's own commits").fields()
        left_out = {*own.copies, *(commit.name for commit in own.squashed)}
        return tuple(
            Own(name, subject, tags.conventional(subject, body))
            for name, subject, body in zip(fields[::3], fields[1::3], fields[2::3], strict=True)
            if name not in left_out
        )

    def _commit_of(self, tag: Tag) -> str:
        return self._remote.origin.tag(tag.name)


def _begun(fork: Fork, remote: RemoteRefs, commit: str, upstream: Tag) -> Tag | None:
    """The fork's release of this very commit that an earlier run began or finished.

    Raises Refused if its tag here differs from origin's.
    """
    names = {*fork.refs.tags_in([commit]), *remote.origin.tags_in([commit])}
    at_commit = [tag for name in names if (tag := tags.classify(name, fork.policy.tags))]
    own = [t for t in at_commit if t.scheme.use is TagUse.OWN and t.version == upstream.version]
    begun = max(own, default=None)
    if begun:
        ref = f"refs/tags/{begun.name}"
        local, origin = fork.refs.objects.get(ref), remote.origin.objects.get(ref)
        if local and origin and local != origin:
            name = fork.policy.remotes.origin.name
            raise _in_the_way(fork, begun.name, f"{local[:10]}; {name}'s is {origin[:10]}")
    return begun


def _require_free(fork: Fork, remote: RemoteRefs, name: str) -> None:
    """Raises Refused if the tag exists; it is at another commit then."""
    ref = f"refs/tags/{name}"
    if ref in remote.origin.objects:
        origin, commit = fork.policy.remotes.origin.name, remote.origin.commits[ref][:10]
        raise Refused(
            f"{origin} has a tag {name} already, at {commit}, which is not "
            f"in {fork.policy.branches.production}.",
            then="find out who made it and why; merge what it released, or choose another version "
            "with --bump.",
        )
    if ref in fork.refs.objects:
        raise _in_the_way(fork, name, f"at {fork.refs.commits[ref][:10]}, which was never pushed")


def _in_the_way(fork: Fork, name: str, what: str) -> Refused:
    return Refused(
        f"this clone has a tag {name} already, {what}.",
        then=f"if nobody needs it: {git.at(fork.path)} tag -d {name}; "
        "then run the same command again.",
    )


def _require_version(
    sh: Shell, fork: Fork, commit: str, upstream: Tag, command: Callable[..., str]
) -> None:
    """Raises Refused if the production branch states another version than that of the upstream
    release in it."""
    production = fork.policy.branches.production
    for file, places in version_files.at(sh, fork, commit):
        for key, version in places.items():
            if version_files.same(version, upstream.release):
                continue
            problem = (
                f"{file.path}: {key} is {version} on {production}, but the newest upstream release "
                f"in it is {upstream.name}"
            )
            bump = on_a_branch(command, "version", command("bump-version", tag=upstream.name))
            then = f"`{bump}`; merge that, then run the same command again."
            if version_files.number(version) > upstream.version:
                if not version_files.counts_on(version, upstream.release):
                    looks = "`fork.heal --check` looks for lost history; if it finds none: "
                    then = f"{looks}{then}"
                origin, why = fork.policy.remotes.origin, version_files.why_differs
                hosted = github.slug_of(origin.url) is not None
                pulls = github.pulls(sh, fork.hub(origin), base=production) if hosted else ()
                newer = begun.newest(fork, upstream)
                there = releases.upstream_refs(sh, fork) or fork.refs
                only = healing.only_stated(fork.policy.tags, there, [version], upstream)
                stated = only.name if only else ""
                if any(begun.is_squashed(sh, fork, tag) for tag in {newer, stated}):
                    then = f"`{command('fork.heal')}`, then run the same command again."
                elif syncs := [pull for pull in pulls if fork.policy.branches.tag_of(pull.head)]:
                    merge = f"merge pull request {syncs[0].number} ({syncs[0].url})"
                    then = f"{merge}, then run the same command again. Otherwise: {then}"
                elif newer:
                    line = command("upgrade-carto", tag=newer, unhealed=newer == stated)
                    finish = f"finish the upgrade to {newer}: `{line}`; merge it"
                    then = f"{finish}, then run the same command again. Otherwise: {then}"
                raise Refused(
                    f"{problem}, which is older: {why(version, upstream.release)}.", then=then
                )
            raise Refused(f"{problem}.", then=then)


BUMPS = ("auto", "patch", "minor", "major")


RELEASE = (
    FETCH_OWN_TAG,
    Step(
        "tag",
        "Tag the commit; the checkout does not matter.",
        run=("git -C {repo} tag -a -m {message} {tag} {commit}",),
        done=("git -C {repo} show-ref --verify --quiet refs/tags/{tag}",),
    ),
    Step(
        "notes",
        "Write the release notes.",
        run=("invoke step.release-notes --repo {repo} --tag {tag} --output {notes}",),
        call=lambda write: write(),
    ),
    Step(
        "push",
        "Push only that tag.",
        when=UNPUSHED,
        run=(
            "git -C {repo} push --atomic --no-follow-tags {origin} refs/tags/{tag}:refs/tags/{tag}",
        ),
        stuck="see what {origin} says, then run the same command again.",
    ),
    Step(
        "release",
        "Publish the release on GitHub.",
        when=HOSTED,
        run=(
            "{gh} release create {tag} -R {slug} --verify-tag --title {title} --notes-file {notes}",
        ),
        # gh fails in the same way if the release does not exist and if GitHub cannot be asked;
        # GitHub refuses a second release of a tag.
        done=("{gh} release view {tag} -R {slug} --json url",),
        untouched="{origin} has the tag {tag}; only its release on GitHub may be missing.",
    ),
)

DISPATCH = (
    Step(
        "dispatch",
        "Start the release workflow on GitHub.",
        run=("{gh} workflow run {workflow} -R {slug} --ref {production} -f bump={bump}",),
    ),
)


def make_release(s: Session, bump: str, dispatch: bool) -> None:
    """Release origin's production branch, or start the workflow that does. Away from GitHub, the
    tag is the release."""
    if bump not in BUMPS:
        raise Usage(f"--bump is {bump!r}.", then=f"choose one of {', '.join(BUMPS)}.")
    fork = s.open_fork()
    rules(fork)
    for wrong in review.landed_wrong(fork):
        problem = f"the last check of the sync to {wrong.tag} failed ({wrong.what})."
        raise Refused(problem, then=s.command("verify", landed=wrong.tag))
    if dispatch:
        _dispatch(s, fork, bump)
        return
    require_remotes(fork)
    require_whole_history(fork)
    origin = fork.policy.remotes.origin
    hub = fork.hub(origin) if github.slug_of(origin.url) else None
    if hub:
        github.require(s.sh, hub)
    git.require_identity(s.sh, fork.path)
    with s.locked(fork.repository) as held:
        remote = ask(s.sh, fork)
        fork, commit = current(s, fork, remote.origin, held)
        made = next_one(s.sh, fork, remote, commit, bump, s.command)
        _warn_of_unpushed(s, fork, commit)
        notes = notes_of(fork, made).markdown()
        published = github.release(s.sh, hub, made.tag) if hub else None
        if published and published.draft:
            raise Refused(
                f"GitHub has a draft of a release {made.tag}.",
                then=f"publish it there or delete it ({published.url}), then run the same command "
                "again.",
            )
        if f"refs/tags/{made.tag}" in remote.origin.objects and (published or not hub):
            s.console.say(f"{made.tag} is released already; nothing to do.")
        else:
            published = None
            if s.sh.dry:
                _show_notes(s, made, notes)
            plan = plan_of(fork, remote, made)
            s.run(RELEASE, plan, held, partial(files.keep, Path(plan.values["notes"]), notes))
            if hub and not s.sh.dry:
                published = github.release(s.sh, hub, made.tag)
    url = published.url if published else ""
    if s.json:
        s.print_json(_facts(fork, made, notes) | {"url": url})
    if s.sh.dry:
        return
    if hub:
        s.console.row(f"{made.tag} is on GitHub: ", url)
    else:
        kept = git.nearest(fork.notes(made.tag) / "notes.md")
        s.console.say(f"{made.tag} is on {origin.name}, which is not on GitHub.")
        s.console.row("Its notes, for your host: ", str(kept))
    upstream = made.upstream.release
    notify.set_outputs({"tag": made.tag, "upstream": upstream, "version": made.version, "url": url})
    title = f"[{text.plain(made.tag)}]({url})" if url else text.plain(made.tag)
    notify.summarize(f"# {title}\n\n{notes}")
    if not in_actions():
        s.console.next(s.command("next"))


def _dispatch(s: Session, fork: Fork, bump: str) -> None:
    """Start the release workflow on GitHub."""
    hub, workflow = fork.hub(fork.policy.remotes.origin), rules(fork).workflow
    if not workflow:
        raise Refused(
            "the policy names no release workflow.",
            then="add `workflow` to `[releases]` in carto_fork.toml, or leave out --dispatch.",
        )
    github.require(s.sh, hub)
    values = fork.values() | {"workflow": workflow, "bump": bump}
    untouched = "Nothing was released."
    s.run(DISPATCH, Plan(values, frozenset(), untouched), None)
    page = f"{hub.url}/actions/workflows/{workflow}"
    if s.json:
        s.print_json({"workflow": workflow, "bump": bump, "url": page})
    s.console.row("Its runs: ", page)


def _warn_of_unpushed(s: Session, fork: Fork, commit: str) -> None:
    """Print a note if the local production branch has commits that the release leaves out."""
    local = fork.refs.commits.get(fork.local_production)
    ahead = git.count(s.sh, fork.path, local, commit) if local else 0
    if ahead:
        branch, origin = fork.policy.branches.production, fork.policy.remotes.origin.name
        s.console.say(
            f"Note: {branch} has {counted(ahead, 'commit')} here that {origin} lacks; the release "
            "contains only what is pushed."
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
    """Print the notes of a release, or write them to a file. This clone must have its tag."""
    if not tag:
        raise Usage("--tag is missing.", then="add --tag with the name of a release of the fork.")
    fork = s.open_fork()
    rules(fork)
    require_remotes(fork)
    made = made_before(s.sh, fork, ask(s.sh, fork), tag)
    notes = notes_of(fork, made).markdown()
    if output and not s.sh.dry:
        files.keep(Path(output), notes)
    if s.json:
        s.print_json(_facts(fork, made, notes))
    elif not output or s.sh.dry:
        s.sh.show(notes.rstrip("\n"))
