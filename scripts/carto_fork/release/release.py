"""A release of the fork: what it is called, what is new in it, and the plan for making it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from packaging.version import InvalidVersion, Version

from ..fork import conventional, tags, target, versions
from ..fork.fork import Fork
from ..fork.policy import Releases, TagUse
from ..fork.tags import Tag
from ..merge import authorship
from ..run import git, github
from ..run.errors import Refused
from ..run.git import Refs
from ..run.shell import Shell
from ..run.steps import Condition, Plan, Step
from . import images
from .notes import Notes, Own

PUSHED_TAG = Condition("where an earlier run, on another machine perhaps, has pushed it")
UNPUSHED = Condition("where it is not there yet")

FETCH_OWN_TAG = Step(
    "fetch",
    "Get the tag that an earlier run pushed.",
    when=PUSHED_TAG,
    run=(
        "git -C {repo} fetch --no-tags --no-recurse-submodules {origin}"
        " refs/tags/{tag}:refs/tags/{tag}",
    ),
    done=("git -C {repo} show-ref --verify --quiet refs/tags/{tag}",),
    stuck="check the network and the remote, then run the same command again.",
)


@dataclass(frozen=True)
class Remotes:
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


def ask(sh: Shell, fork: Fork) -> Remotes:
    """Ask both remotes. Raises Refused where one cannot be reached."""
    remotes = fork.policy.remotes
    production = f"refs/heads/{fork.policy.branches.production}"
    return Remotes(
        target.ask_remote(sh, fork, remotes.origin.name, [production, "refs/tags/*"]),
        target.ask_remote(sh, fork, remotes.upstream.name, ["refs/tags/*"]),
    )


def rules(fork: Fork) -> Releases:
    """How the fork names its releases. Raises Refused where its policy does not say."""
    if fork.policy.releases is None:
        raise Refused(
            "the policy does not say what the fork's releases are called.",
            then="add `[releases]` to carto_fork.toml on the production branch (`config`).",
        )
    return fork.policy.releases


def next_one(
    sh: Shell, fork: Fork, there: Remotes, commit: str, bump: str, command: Callable[..., str]
) -> Release:
    """The release to make of a commit of the production branch.

    bump: auto, major, minor or patch. A release whose tag is at the commit already is that one.
    command: makes the command line of a task on this fork from its name and options.
    Raises Refused where there is nothing to release, or the branch is not fit for it.
    """
    named = rules(fork)
    contained = _Contained(sh, fork, there, commit)
    upstream = contained.upstream()
    _require_version(sh, fork, commit, upstream, command)
    if begun := _begun(fork, there, commit, upstream):
        return _described(sh, fork, contained, begun)
    before = contained.own()
    own = contained.changes(before)
    if before is None or before.version != upstream.version:
        version = conventional.FIRST
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
            part = conventional.bump_for(commit.change for commit in own)
            if part == "major" and before.build.major == 0:
                part = "minor"  # as SemVer has it: before 1.0.0 anything may change
        version = conventional.raised(before.build, part)
    tag = named.name(upstream.release, version)
    _require_free(fork, there, tag)
    return Release(tag, version, commit, upstream, before, contained.upstream_of(before), own)


def made(sh: Shell, fork: Fork, there: Remotes, name: str) -> Release:
    """A release of the fork whose tag is here. Raises Refused where there is no such."""
    tag = own_tag(fork, name)
    ref = f"refs/tags/{name}"
    if ref not in fork.refs.commits:
        origin = fork.policy.remotes.origin.name
        raise Refused(
            f"there is no tag {name} here.",
            then=f"{git.at(fork.path)} fetch {origin} {ref}:{ref}",
        )
    return _described(sh, fork, _Contained(sh, fork, there, fork.refs.commits[ref]), tag)


def own_tag(fork: Fork, name: str) -> Tag:
    """The tag of a release of the fork, by its name. Raises Refused where it names none."""
    tag = tags.classify(tags.checked_name(name), fork.policy.tags)
    if tag is None or tag.scheme.use is not TagUse.OWN:
        raise Refused(
            f"{name} is not the name of a release of the fork.",
            then="name one of its own releases; `status` names the newest one.",
        )
    return tag


def _described(sh: Shell, fork: Fork, contained: _Contained, tag: Tag) -> Release:
    before = contained.own()
    own, upstream = contained.changes(before), contained.upstream()
    since = contained.upstream_of(before)
    return Release(tag.name, str(tag.build), contained.commit, upstream, before, since, own)


def notes(fork: Fork, release: Release) -> Notes:
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
    return images.of_release(fork.policy.images, release.tag, upstream, release.version)


def plan(fork: Fork, there: Remotes, release: Release) -> Plan:
    """The plan for making a release, or for going on with one."""
    ref = f"refs/tags/{release.tag}"
    file = fork.repository.common / "carto-fork" / release.tag / "notes.md"
    values = fork.values() | {
        "tag": release.tag,
        "commit": release.commit,
        "title": release.tag,
        "message": notes(fork, release).summary(),
        "notes": str(git.nearest(file)),
    }
    condition = PUSHED_TAG if ref in there.origin.objects else UNPUSHED
    untouched = f"Your checkout and {fork.policy.branches.production} are as they were."
    return Plan(values, frozenset({condition}), untouched)


class _Contained:
    """What the history of a commit holds of releases, and of the fork's own work."""

    def __init__(self, sh: Shell, fork: Fork, there: Remotes, commit: str) -> None:
        self._sh, self._fork, self._there, self.commit = sh, fork, there, commit
        self._history = git.history(sh, fork.path, commit)

    def upstream(self) -> Tag:
        """The newest stable release of upstream's. Raises Refused where there is none."""
        found = self._newest(self._there.upstream, self._history, *_STABLE)
        if found is None:
            production = self._fork.policy.branches.production
            raise Refused(
                f"{production} contains no stable release of upstream's.",
                then="see `status`; if a sync was squashed: `heal --check`.",
            )
        return found

    def own(self) -> Tag | None:
        """The fork's newest release before this commit, as origin has it."""
        return self._newest(self._there.origin, self._history - {self.commit}, TagUse.OWN)

    def upstream_of(self, before: Tag | None) -> Tag | None:
        """The newest stable release of upstream's in an earlier release of the fork."""
        if before is None:
            return None
        history = git.history(self._sh, self._fork.path, self._commit_of(before))
        return self._newest(self._there.upstream, history, *_STABLE)

    def changes(self, before: Tag | None) -> tuple[Own, ...]:
        """The fork's own commits since an earlier release, newest first; neither merges nor what
        brought upstream's work."""
        sh, fork = self._sh, self._fork
        upstream = self._there.upstream.commits[f"refs/tags/{self.upstream().name}"]
        tips = [upstream, *fork.upstream_tips]
        squashed = authorship.of_fork(sh, fork, self.commit, upstream).squashed
        # Tags of upstream's that are in, stable or not, tell upstream's commits from the fork's.
        known = {*tips, *self._history.intersection(self._there.upstream.commits.values())}
        known |= {self._commit_of(before)} if before else set()
        words = ["git", "-C", str(fork.path), "log", "-z", "--no-merges", "--no-show-signature"]
        words += ["--no-color", "--format=%H%x00%s%x00%b", "--stdin", self.commit]
        answer = sh.read(words, feed=[f"^{name}" for name in sorted(known)])
        fields = git.checked(answer, "fork's own commits").fields()
        left_out = {commit.name for commit in squashed}
        return tuple(
            Own(name, subject, conventional.parse(subject, body))
            for name, subject, body in zip(fields[::3], fields[1::3], fields[2::3], strict=True)
            if name not in left_out
        )

    def _commit_of(self, tag: Tag) -> str:
        return self._there.origin.commits[f"refs/tags/{tag.name}"]

    def _newest(self, refs: Refs, history: set[str], *uses: TagUse) -> Tag | None:
        names = [name for name in refs.tags() if refs.commits[f"refs/tags/{name}"] in history]
        return tags.newest(names, self._fork.policy.tags, *uses)


_STABLE = (TagUse.AUTOMATIC, TagUse.ON_REQUEST)


def _begun(fork: Fork, there: Remotes, commit: str, upstream: Tag) -> Tag | None:
    """The fork's release of this very commit, begun or made by an earlier run.

    Raises Refused where its tag here and its tag on origin are not the same.
    """
    known = {*_at(fork.refs, commit), *_at(there.origin, commit)}
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


def _at(refs: Refs, commit: str) -> list[str]:
    return [name for name in refs.tags() if refs.commits[f"refs/tags/{name}"] == commit]


def _require_free(fork: Fork, there: Remotes, name: str) -> None:
    """Raises Refused where the tag exists; it is at another commit then."""
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
    """Raises Refused where the production branch states another version than upstream's release
    in it has."""
    production = fork.policy.branches.production
    for file in fork.policy.version_files:
        text = git.show(sh, fork.path, commit, file.path)
        stated = versions.read(text, file.keys, file.path) if text is not None else {}
        for key, version in stated.items():
            if version == versions.spelled(upstream.release, file.path):
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
                    then=f"`heal --check` tells about the history; if that is well, {mend} again.",
                )
            raise Refused(f"{problem}.", then=f"{mend} again.")


def _is_newer(version: str, upstream: Tag) -> bool:
    try:
        return Version(version) > upstream.version
    except InvalidVersion:
        return False
