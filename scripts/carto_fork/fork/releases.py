"""Which release is meant, where the remotes are, and what the fork contains already."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ..run import git
from ..run.errors import Refused, Usage
from ..run.git import Refs
from ..run.shell import Shell
from ..run.text import joined, printable
from . import records, tags, version_files
from .fork import Fork, require_remotes
from .policy import POLICY_FILE, Policy
from .tags import Tag, TagUse


@dataclass(frozen=True)
class Target:
    """The release to upgrade to, and the commits on the remotes.

    tag: upstream's tag; `asked` is what the person typed.
    commit: what the tag points to. base: the production branch on origin.
    pushed: the sync branch on origin; "" if it does not exist.
    syncs: all sync branches on origin, by name.
    """

    tag: Tag
    asked: str
    commit: str
    base: str
    pushed: str
    syncs: Mapping[str, str]


def asked_name(asked: str) -> str:
    """The tag as typed, if it can be a tag. Raises Usage if it is missing."""
    if not asked:
        problem = "which release? --tag is missing."
        raise Usage(problem, then="add --tag with a release; `status` names the newest one.")
    return tags.checked_name(asked)


def find(sh: Shell, fork: Fork, asked: str) -> Target:
    """Look up a tag and the fork's branches on both remotes.

    asked: the tag as typed, "" if none was.
    Raises Refused if the tag is not a stable release that upstream has, or a remote or the
    production branch cannot be reached.
    """
    name = asked_name(asked)
    typed = _typed(fork, name)
    require_remotes(fork)
    upstream = fork.policy.remotes.upstream.name
    upstreams = ask_remote(sh, fork, upstream, [f"refs/tags/{name}", f"refs/tags/{name}^{{}}"])
    if f"refs/tags/{name}" not in upstreams.objects:
        upstreams = ask_remote(sh, fork, upstream, ["refs/tags/*"])
        tag = _only_candidate(name, typed, upstreams, fork.policy, fork.refs.tags())
    else:
        tag = tags.require_stable(name, fork.policy.tags)
    ref = f"refs/tags/{tag.name}"
    _require_unmoved(sh, fork, tag.name, upstreams.commits[ref])

    branches = fork.policy.branches
    origin = fork.policy.remotes.origin.name
    production, sync = f"refs/heads/{branches.production}", branches.sync_for(tag.name)
    published = f"refs/heads/{sync}"
    origins = ask_remote(sh, fork, origin, [production, published, *around(fork, sync)]).objects
    if production not in origins:
        raise Refused(
            f"{origin} has no branch {branches.production}.",
            then=f"check `branches.production` in the policy (`fork.config`), and the remote: "
            f"{git.at(fork.path)} ls-remote {origin}",
        )
    require_room(fork, sync, origins)
    return Target(
        tag=tag,
        asked=name,
        commit=upstreams.commits[ref],
        base=origins[production],
        pushed=origins.get(published, ""),
        syncs={
            ref.removeprefix("refs/heads/"): origins[ref] for ref in origins if ref != production
        },
    )


def around(fork: Fork, sync: str) -> list[str]:
    """Patterns of origin's refs that may block the name of a sync branch."""
    parts = f"refs/heads/{sync}".split("/")
    above = ["/".join(parts[:end]) for end in range(3, len(parts))]
    return [*above, f"refs/heads/{fork.policy.branches.sync_for('*')}"]


def require_room(fork: Fork, sync: str, taken: Iterable[str]) -> None:
    """Raises Refused if a ref in this clone or on origin blocks the name of a ref that is needed.

    there: origin's refs that may block the sync branch.
    """
    origin, at = fork.policy.remotes.origin, git.at(fork.path)
    wanted, following = f"refs/heads/{sync}", fork.tracking(origin, sync)
    for ref in in_the_way(taken, wanted):
        kept = _beside(ref, taken)
        move = f"{at} fetch --refmap= {origin.name} {ref} && {at} push --atomic {origin.name} "
        move += f"FETCH_HEAD:{kept} :{ref}"
        raise _in_the_way(f"{origin.name} has a branch", ref, wanted, move)
    for ref in in_the_way(fork.refs.objects, wanted):
        names = (ref.removeprefix("refs/heads/"), _beside(ref, fork.refs.objects)[11:])
        raise _in_the_way("this clone has a branch", ref, wanted, f"{at} branch -m {joined(names)}")
    for needed in (following, fork.origin_production):
        for ref in in_the_way(fork.refs.objects, needed):
            name = f"refs/heads/{ref.removeprefix('refs/remotes/')}"
            kept = _beside(name, fork.refs.objects).removeprefix("refs/heads/")
            move = f"{at} branch --no-track {kept} {ref} && {at} update-ref -d {ref}"
            raise _in_the_way("this clone has a ref", ref, needed, move)


def in_the_way(refs: Iterable[str], wanted: str) -> list[str]:
    """The refs that block the name of another one: git would need a file and a directory of the
    same name."""
    return [x for x in refs if wanted.startswith(f"{x}/") or x.startswith(f"{wanted}/")]


def _beside(ref: str, taken: Iterable[str]) -> str:
    """A free name for a ref that is in the way."""
    name = f"{ref.replace('/', '-').replace('refs-heads-', 'refs/heads/')}-kept"
    return name if name not in set(taken) else _beside(name, taken)


def _in_the_way(what: str, ref: str, wanted: str, move: str) -> Refused:
    short, needed = (x.removeprefix("refs/heads/") for x in (ref, wanted))
    return Refused(
        f"{what} {printable(short)}, and git cannot keep {needed} next to it.",
        then=f"move it away: `{move}`; then run the same command again.",
    )


def ask_remote(sh: Shell, fork: Fork, remote: str, patterns: list[str]) -> Refs:
    """The refs of a remote that match patterns. Raises Refused if it cannot be reached."""
    refs = git.remote_refs(sh, fork.path, remote, patterns)
    if refs is None:
        require_remotes(fork)
        raise Refused(
            f"the remote `{remote}` cannot be reached.",
            then=f"check the network and your access: {git.at(fork.path)} ls-remote {remote}",
        )
    return refs


def without_branch(sh: Shell, fork: Fork, timeout: int | None = None) -> tuple[str, str]:
    """The message and the fix if upstream no longer has its development branch."""
    upstream, branch = fork.policy.remotes.upstream.name, fork.policy.branches.upstream
    question = "git -C {repo} ls-remote --symref --end-of-options {remote} HEAD"
    answer = sh.ask(question, repo=fork.path, remote=upstream, timeout=timeout)
    head = re.match(r"ref: refs/heads/(.+)\tHEAD\n", answer.out)
    now = head[1] if head else ""
    what = f"; its default branch is {now}" if now else ""
    then = f"set `branches.upstream`{f' to {now!r}' if now else ''} in {POLICY_FILE} on "
    then += f"{fork.policy.branches.production}, and push that; then run the same command again."
    return f"{upstream} no longer has a branch {branch}{what}.", then


def renamed_branch(sh: Shell, fork: Fork, known: Refs) -> str:
    """The message if upstream no longer has its development branch; "" if it has, or if the policy
    that names it is for another fork.

    known: upstream's refs, that branch among them if it exists.
    """
    if fork.is_unknown or f"refs/heads/{fork.policy.branches.upstream}" in known.objects:
        return ""
    what, then = without_branch(sh, fork, git.PATIENCE)
    return f"{what.rstrip('.')}: {then.partition(';')[0]}"


def tags_and_branch(fork: Fork) -> list[str]:
    """The ref patterns to ask upstream for, to see what is new."""
    return ["refs/tags/*", f"refs/heads/{fork.policy.branches.upstream}"]


def _only_candidate(
    name: str, asked: Tag | None, refs: Refs, policy: Policy, here: Sequence[str]
) -> Tag:
    """The one stable tag of the same version if upstream has no tag of exactly that name."""
    bare = re.sub(r"^v(?=\d)", "", name)  # people type it whether upstream's tags have it or not
    classified = [tag for tag in map(lambda n: tags.classify(n, policy.tags), refs.tags()) if tag]
    same = [
        tag
        for tag in classified
        if tag.stable and (tag.same_build(asked) if asked else tag.release == bare)
    ]
    if len(same) == 1:
        return same[0]
    if same:
        listed = ", ".join(tag.name for tag in sorted(same))
        raise Refused(f"upstream has no tag {name}, but {listed}.", then="name one of them.")
    stable = sorted(tag for tag in classified if tag.stable)
    newer = [tag for tag in stable if asked and tag > asked]
    # If the name is not a version, or one that is yet to come, the newest ones are the nearest.
    nearest = [*[t for t in stable if t not in newer][-2:], *newer[:1]] if newer else stable[-3:]
    near = ", ".join(tag.name for tag in nearest)
    hint = f" The nearest stable ones: {near}." if near else ""
    named = f", as in --tag {nearest[-1].name}" if nearest else ""
    gone = " It has withdrawn the tag that this clone still has." if name in here else ""
    raise Refused(
        f"upstream has no tag {name}.{gone}{hint}", then=f"name a tag that upstream has{named}"
    )


def _require_unmoved(sh: Shell, fork: Fork, name: str, theirs: str) -> None:
    """Raises Refused if a local tag points to another commit than upstream's."""
    if (ours := fork.refs.tag(name) or theirs) != theirs:
        if fork.has_production:
            require_as_merged(sh, fork, fork.production_commit, name, theirs)
        raise Refused(
            f"your tag {name} is {ours[:10]}, upstream's is {theirs[:10]}: one of them was moved.",
            then=f"find out which is right; to take upstream's: {git.at(fork.path)} tag -d {name}",
        )


def require_as_merged(sh: Shell, fork: Fork, base: str, name: str, now: str) -> None:
    """Raises Refused if the production branch recorded a tag as merged and the tag points to
    another commit now."""
    recorded = merged(sh, fork, base, Refs({}, {}))  # a local tag may have been moved locally
    if (was := recorded.get(name, now)) != now:
        at, remote = git.at(fork.path), fork.policy.remotes.upstream.name
        raise Refused(
            f"{fork.policy.branches.production} contains {name} as it was when it was merged, "
            f"{was[:10]}; upstream has moved the tag to {now[:10]} since.",
            then="wait for a newer release, which will contain the change; to see it: "
            f"{at} fetch --no-tags {remote} refs/tags/{name} && {at} log -p {was[:10]}..{now[:10]}",
        )


def require_common_history(sh: Shell, fork: Fork, ours: str, theirs: str) -> None:
    """Raises Refused if a commit of the fork and one of upstream have no common ancestor: git would
    not merge them."""
    if git.merge_bases(sh, fork.path, ours, theirs):
        return
    production, upstream = fork.policy.branches.production, fork.policy.remotes.upstream.name
    at, has = git.at(fork.path), merged(sh, fork, ours, fork.refs)
    old = tags.newest(has, fork.policy.tags, *tags.STABLE)
    same = old and _same_tree(sh, fork, has[old.name], theirs)
    raise Refused(
        f"upstream's {theirs[:10]} and {production} have no common history: upstream has rewritten "
        f"its history, or `{upstream}` is another repository.",
        then=f"find out which ({at} remote get-url {upstream}). If it was rewritten, record once "
        f"on {production} which of the new commits is {old.name if old else 'the old one'}: "
        f"{at} merge -s ours --allow-unrelated-histories {same or 'COMMIT'}; publish that: {at} "
        f"push {fork.policy.remotes.origin.name} HEAD:{production}; then run the same command "
        "again.",
    )


def _same_tree(sh: Shell, fork: Fork, commit: str, head: str) -> str:
    """The newest commit in the history of `head` with exactly the files of another commit; "" if no
    commit has them."""
    wanted = f"{commit}^{{tree}}"
    tree = git.ask(sh, fork.path, "rev-parse --verify {wanted}", "tree", wanted=wanted).line
    log = "log --no-show-signature --format=%T=%H {head} --"
    lines = git.ask(sh, fork.path, log, "trees", head=head).out.split()
    return dict(line.split("=") for line in reversed(lines)).get(tree, "")


def offered(sh: Shell, fork: Fork, here: Iterable[Tag]) -> list[Tag]:
    """The tags that upstream still has; all of them if it does not answer.

    Raises Refused if one was moved, in this clone or upstream.
    """
    refs = upstream_refs(sh, fork)
    if refs is None:
        return list(here)
    left = [tag for tag in here if f"refs/tags/{tag.name}" in refs.commits]
    for tag in left:
        _require_unmoved(sh, fork, tag.name, refs.tag(tag.name))
    return left


def merged(sh: Shell, fork: Fork, commit: str, known: Refs) -> dict[str, str]:
    """The tags that a commit's history contains, each with the commit that was merged.

    The record in `carto_tags.toml` outranks upstream's present tags: moving or withdrawing a tag
    later does not change what was merged.

    commit: the production branch, or the commit about to become it.
    known: the tags as they are now, in this clone or upstream.
    """
    pinned = recorded(sh, fork, commit)
    named = {name: known.tag(name) for name in known.tags()}
    has = git.held(sh, fork.path, commit, [*pinned.values(), *named.values()])
    return {n: c for names in (named, pinned) for n, c in names.items() if c in has}


def recorded(sh: Shell, fork: Fork, commit: str) -> dict[str, str]:
    """The commit of each tag that a commit's record of merged tags names."""
    try:
        pins = records.read_pins(git.show(sh, fork.path, commit, records.TAGS_FILE))
    except Refused:  # `doctor` reports it
        return {}
    return {name: pin.commit for name, pin in pins.items()}


def contained(sh: Shell, fork: Fork, commit: str, known: Refs) -> Tag | None:
    """The newest stable upstream release in a commit's history."""
    return tags.newest(merged(sh, fork, commit, known), fork.policy.tags, *tags.STABLE)


def own_name(policy: Policy, upstream: Tag, version: str) -> str:
    """The name of a release. Raises Refused if it is not one that the policy calls the fork's."""
    assert policy.releases
    name = str(policy.releases.name(upstream.release, version))
    tag = tags.classify(name, policy.tags)
    said = (tag.scheme.use, tag.release, str(tag.build)) if tag else ()
    if said != (TagUse.OWN, upstream.release, version):
        raise Refused(
            f"`releases.tag` makes the name {name}, which is not what a class of `[[tags]]` with "
            "the use `own` fits: no task would know the release.",
            then=f"write {tags.fitting(policy.tags)}, or correct that class.",
        )
    return name


def require_known_names(sh: Shell, fork: Fork, policy: Policy) -> None:
    """Raises Refused if no task would know the fork's next release by its name."""
    names = [*fork.refs.tags(), *(upstream_refs(sh, fork) or fork.refs).tags()]
    newest_one = tags.newest(names, policy.tags, *tags.STABLE)
    if newest_one and policy.releases:
        own_name(policy, newest_one, tags.FIRST)


def upstream_refs(sh: Shell, fork: Fork) -> Refs | None:
    """Upstream's tags and its development branch as they are there now; None if it does not answer.
    Asked once per task."""
    remote = fork.policy.remotes.upstream
    where = remote.name if fork.url(remote) else remote.url
    asked = partial(git.remote_refs, sh, fork.path, where, tags_and_branch(fork), git.PATIENCE)
    return sh.once(("upstream's refs", fork.path, where), asked)


def unpublished(sh: Shell, fork: Fork, there: Refs) -> Tag | None:
    """The fork's newest release in production whose tag only this clone has, as after a `release`
    that was interrupted.

    there: origin's tags as they are now.
    """
    here = {name for name in fork.refs.tags() if f"refs/tags/{name}" not in there.objects}
    tag = tags.newest(here, fork.policy.tags, TagUse.OWN) if fork.policy.releases else None
    commit = fork.refs.tag(tag.name) if tag else ""
    return tag if git.held(sh, fork.path, fork.production_commit, [commit]) else None


def may_exist(sh: Shell, fork: Fork, version: str) -> bool:
    """Whether upstream has a tag of a version, as far as it answers."""
    there = upstream_refs(sh, fork)
    named = (tags.classify(name, fork.policy.tags) for name in there.tags()) if there else ()
    return there is None or any(x and version_files.same(version, x.release) for x in named)


def moved(merged: Mapping[str, str], known: Refs) -> list[str]:
    """The merged tags that point to another commit now or that are missing from `known`."""
    return [name for name, commit in merged.items() if known.tag(name) != commit]


def described(name: str, merged: Mapping[str, str], known: Refs) -> str:
    """What upstream did to a tag after it was merged."""
    now = known.tag(name)
    has = f"moved {name} from {merged[name][:10]} to {now[:10]}" if now else f"withdrawn {name}"
    return f"upstream has {has} since it was merged"


MOST_NEWEST = 3


def newest_here(sh: Shell, fork: Fork) -> list[Tag]:
    """The stable releases in this clone, on commits, that are newer than the production branch,
    newest first."""
    known = [tag for name in fork.refs.tags() if (tag := tags.classify(name, fork.policy.tags))]
    stable = sorted((t for t in known if t.scheme.use is TagUse.AUTOMATIC), reverse=True)
    has = merged(sh, fork, fork.production_commit, fork.refs)
    contained = tags.newest(has, fork.policy.tags, *tags.STABLE)
    version = version_files.stated(sh, fork, fork.production_commit)
    new = [tag for tag in stable if tag.name not in has and is_newer(tag, contained, version)]
    odd = not_commits(sh, fork, [fork.refs.tag(tag.name) for tag in new])
    return [tag for tag in new if fork.refs.tag(tag.name) not in odd][:MOST_NEWEST]


def here(fork: Fork, name: str, *, exactly: bool = False) -> Tag:
    """A stable release whose tag this clone has, or else the only one of that version. Raises
    Refused if it has none.

    exactly: whether the tag must have this name.
    """
    release, ref = _typed(fork, name), f"refs/tags/{name}"
    if ref not in fork.refs.objects:
        if not exactly:
            with suppress(Refused):
                return _only_candidate(name, release, fork.refs, fork.policy, ())
        tags.require_stable(name, fork.policy.tags)
        raise Refused(
            f"this clone has no tag {name}.",
            then=f"{git.at(fork.path)} fetch {fork.policy.remotes.upstream.name} {ref}:{ref}",
        )
    return tags.require_stable(name, fork.policy.tags)


def _typed(fork: Fork, name: str) -> Tag | None:
    """The tag of a name as typed; None if no scheme knows it. Raises Refused if it is known and
    not a stable release."""
    tag = tags.classify(tags.checked_name(name), fork.policy.tags)
    return tag and tags.require_stable(name, fork.policy.tags)


def meant(sh: Shell, fork: Fork, name: str) -> Tag:
    """The release in this clone that `find` would choose for a name, as far as upstream answers.

    Raises Refused if it does not exist.
    """
    typed, ref = _typed(fork, name), f"refs/tags/{name}"
    if ref not in fork.refs.objects:
        answer = upstream_refs(sh, fork)
        if ref not in (known := answer or fork.refs).objects:
            with suppress(*[Refused] * (answer is None)):
                name = _only_candidate(name, typed, known, fork.policy, ()).name
    return here(fork, name, exactly=True)


def newest(sh: Shell, fork: Fork, known: Refs) -> Tag | None:
    """The newest release that the automation takes, among the known tags; tags known not to be on a
    commit are skipped."""
    named = {name: known.commits[f"refs/tags/{name}"] for name in known.tags()}
    while tag := tags.newest(named, fork.policy.tags, TagUse.AUTOMATIC):
        if not not_commits(sh, fork, [named.pop(tag.name)]):
            return tag
    return None


def not_commits(sh: Shell, fork: Fork, names: Sequence[str]) -> dict[str, str]:
    """The objects in this clone that are not commits, each with its type."""
    lines = (line.split() for line in git.objects(sh, fork.path, names))
    return {name: kind for name, kind, *_ in lines if kind not in ("commit", "missing")}


def require_commit(sh: Shell, fork: Fork, name: str, there: str) -> None:
    """Raises Refused if what a release's tag names is not a commit."""
    for kind in not_commits(sh, fork, [there]).values():
        raise Refused(
            f"upstream's tag {name} is on a {kind}, not on a commit: there is nothing to merge.",
            then="choose another release; `status` names the newest one.",
        )


def is_newer(tag: Tag, contained: Tag | None, version: str) -> bool:
    """Whether a release is newer than the branch, by its history and by its stated version: after a
    squashed sync only the version shows it."""
    stated = version_files.number(version)
    return (contained is None or tag > contained) and tag.version > stated


def tag_dates(sh: Shell, repo: Path) -> dict[str, int]:
    """When each local tag was created, in seconds since 1970; for a lightweight tag, the date of
    its commit. Tags of objects without a date are left out."""
    question = "git -C {repo} for-each-ref '--format=%(creatordate:unix) %(refname:strip=2)'"
    answer = git.checked(sh.ask(f"{question} refs/tags", repo=repo), "tags")
    entries = (line.partition(" ") for line in answer.out.splitlines())
    return {name: int(date) for date, _, name in entries if date}
