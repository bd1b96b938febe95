"""Which release is meant, and where it and the fork's branches are on the remotes now."""

from __future__ import annotations

from dataclasses import dataclass

from ..run import git
from ..run.errors import Refused, Usage
from ..run.git import Refs
from ..run.shell import Shell
from . import tags
from .fork import Fork, require_remotes
from .policy import Policy, TagUse
from .tags import Tag


@dataclass(frozen=True)
class Target:
    """The release to upgrade to, and where the remotes are now.

    tag: upstream's tag; `asked` is what the person typed for it.
    commit: what the tag stands for.
    base: the production branch on origin.
    pushed: the sync branch on origin, "" if there is none.
    """

    tag: Tag
    asked: str
    commit: str
    base: str
    pushed: str


def asked_name(asked: str) -> str:
    """What was typed for the tag, if it can be one. Raises Usage where it is missing."""
    if not asked:
        raise Usage(
            "which release? --tag is missing.",
            then="add --tag, as in --tag v1.76.5; `status` names the newest one.",
        )
    return tags.checked_name(asked)


def find(sh: Shell, fork: Fork, asked: str) -> Target:
    """Look up a tag and the fork's branches on both remotes.

    asked: the tag as typed, "" if none was.
    Raises Refused where the tag is not a stable release that upstream has, or a remote or the
    production branch cannot be reached.
    """
    name = asked_name(asked)
    schemes = fork.policy.tags
    if known := tags.classify(name, schemes):
        tags.require_stable(name, schemes)
    require_remotes(fork)
    upstream = fork.policy.remotes.upstream.name
    found = ask_remote(sh, fork, upstream, [f"refs/tags/{name}", f"refs/tags/{name}^{{}}"])
    if f"refs/tags/{name}" not in found.objects:
        found = ask_remote(sh, fork, upstream, ["refs/tags/*"])
        tag = _only_candidate(name, known, found, fork.policy)
    else:
        tag = tags.require_stable(name, schemes)
    ref = f"refs/tags/{tag.name}"
    _require_unmoved(fork, ref, found.objects[ref])

    branches = fork.policy.branches
    origin = fork.policy.remotes.origin.name
    production, sync = f"refs/heads/{branches.production}", branches.sync_for(tag.name)
    there = ask_remote(sh, fork, origin, [production, f"refs/heads/{sync}"]).objects
    if production not in there:
        raise Refused(
            f"{origin} has no branch {branches.production}.",
            then=f"check `branches.production` in the policy (`config`), and the remote: "
            f"{git.at(fork.path)} ls-remote {origin}",
        )
    return Target(
        tag=tag,
        asked=name,
        commit=found.commits[ref],
        base=there[production],
        pushed=there.get(f"refs/heads/{sync}", ""),
    )


def ask_remote(sh: Shell, fork: Fork, remote: str, patterns: list[str]) -> Refs:
    """The refs of a remote that match patterns. Raises Refused where it cannot be reached."""
    found = git.remote_refs(sh, fork.path, remote, patterns)
    if found is None:
        raise Refused(
            f"the remote `{remote}` cannot be reached.",
            then=f"check the network and your access: {git.at(fork.path)} ls-remote {remote}",
        )
    return found


def _only_candidate(name: str, asked: Tag | None, found: Refs, policy: Policy) -> Tag:
    """The one stable tag of the same version, where upstream has no tag of that very name."""
    known = [tag for tag in map(lambda n: tags.classify(n, policy.tags), found.tags()) if tag]
    same = [tag for tag in known if asked and tag.stable and tag.same_build(asked)]
    if len(same) == 1:
        return same[0]
    if same:
        listed = ", ".join(tag.name for tag in sorted(same))
        raise Refused(f"upstream has no tag {name}, but {listed}.", then="name one of them.")
    stable = sorted(tag for tag in known if tag.stable)
    newer = [tag for tag in stable if asked and tag > asked]
    # Where the name is no version, or one that is yet to come, the newest ones are the nearest.
    nearest = [*[t for t in stable if t not in newer][-2:], *newer[:1]] if newer else stable[-3:]
    near = ", ".join(tag.name for tag in nearest)
    hint = f" The nearest stable ones: {near}." if near else ""
    named = f", as in --tag {nearest[-1].name}" if nearest else ""
    raise Refused(f"upstream has no tag {name}.{hint}", then=f"name a tag that upstream has{named}")


def _require_unmoved(fork: Fork, ref: str, there: str) -> None:
    here = fork.refs.objects.get(ref)
    if here and here != there:
        name = ref.removeprefix("refs/tags/")
        raise Refused(
            f"your tag {name} is {here[:10]}, upstream's is {there[:10]}: one of them was moved.",
            then=f"find out which is right; to take upstream's: {git.at(fork.path)} tag -d {name}",
        )


MOST_NEWEST = 3


def newest_here(sh: Shell, fork: Fork) -> list[Tag]:
    """The newest stable releases that are here and not in the production branch, newest first."""
    known = [tag for name in fork.refs.tags() if (tag := tags.classify(name, fork.policy.tags))]
    stable = sorted((t for t in known if t.scheme.use is TagUse.AUTOMATIC), reverse=True)
    merged = git.history(sh, fork.path, fork.production_commit)
    new = [tag for tag in stable if fork.refs.commits[f"refs/tags/{tag.name}"] not in merged]
    return new[:MOST_NEWEST]


def here(found: Fork, name: str) -> Tag:
    """A stable release whose tag is here. Raises Refused otherwise."""
    release = tags.require_stable(tags.checked_name(name), found.policy.tags)
    ref = f"refs/tags/{name}"
    if ref not in found.refs.objects:
        raise Refused(
            f"there is no tag {name} here.",
            then=f"{git.at(found.path)} fetch {found.policy.remotes.upstream.name} {ref}:{ref}",
        )
    return release
