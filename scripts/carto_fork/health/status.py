"""The state of a fork, as `status` prints it. Changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from shlex import quote
from typing import Any

from packaging.version import Version

from ..adopt.copies import BRANCH, superseded
from ..audit import healing, inventory, review
from ..fork import branches, records, recovery, releases, tags, version_files
from ..fork.fork import Fork, wrong_urls
from ..fork.tags import Tag, TagUse
from ..merge import conflicts
from ..merge.reverted import Reverted, reverted_sync
from ..run import git
from ..run.console import Console
from ..run.errors import Refused
from ..run.github import Pull
from ..run.shell import Shell
from ..run.text import code, counted, listed
from ..upgrade import begun
from ..upgrade.begun import for_a_person, in_conflict


@dataclass(frozen=True)
class InProgress:
    """An upgrade in progress: its branch and tag, and its state in words.

    version: the tag's, to find the newest upgrade.
    published: whether origin has all its commits.
    conflicts: how many files are in conflict in its work tree.
    reopened: whether somebody resolves its pull request there.
    """

    branch: str
    tag: str
    version: str
    state: str
    published: bool = False
    conflicts: int = 0
    reopened: bool = False


@dataclass(frozen=True)
class Status:
    """The state of a fork; an empty string or None means unknown.

    here: the state of the work tree given by `--repo`; None in a bare repository.
    checked_out: the branch that is checked out, "" if HEAD is detached.
    version: what the production branch states, by file and key.
    contained: the newest stable upstream tag that the production branch contains.
    squashed: the stable upstream tag whose version it states although it lacks the tag's commits.
    own_release: the fork's newest release.
    upstream_release: upstream's newest stable release.
    online: whether upstream answered; otherwise its tags are those of the last fetch.
    local: by how many commits the local production branch is ahead of and behind origin's.
    mirror: by how many commits the mirror branch is ahead of and behind upstream's.
    reverted: the revert of the newest release in it, or its merge if that brought nothing.
    moved: releases in the production branch that upstream has moved or withdrawn since.
    notes: what people should know about upstream and about work trees that were kept, whatever
        they do next.
    problems: what does not fit together.
    """

    here: git.WorkState | None
    checked_out: str
    production: str
    version: dict[str, str]
    contained: Tag | None
    squashed: Tag | None
    own_release: Tag | None
    upstream_release: Tag | None
    online: bool
    local: tuple[int, int] | None
    mirror: tuple[int, int] | None
    in_progress: tuple[InProgress, ...]
    reverted: Reverted | None
    moved: tuple[str, ...]
    notes: tuple[str, ...]
    problems: tuple[str, ...]

    @property
    def states_only(self) -> str:
        """That production states the version of a release that it lacks; "" if it does not."""
        only = self.squashed
        return (
            f"{self.production} states {only.name}'s version but lacks its commits." if only else ""
        )

    def as_json(self) -> dict[str, Any]:
        """Plain data for ``--json``: tags by their names."""
        data = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "here"}
        data["reverted"] = self.reverted and self.reverted.commit.name
        for name in ("local", "mirror"):
            pair = data[name]
            data[name] = pair and dict(zip(("ahead", "behind"), pair, strict=True))
        return {k: v.name if isinstance(v, Tag) else v for k, v in data.items()}


def read(sh: Shell, fork: Fork) -> Status:
    """Read the state of a fork."""
    policy, refs = fork.policy, fork.refs
    ref = next(
        (r for r in (fork.origin_production, fork.local_production) if r in refs.objects), ""
    )
    version, unread = stated_versions(sh, fork, ref) if ref else ({}, [])
    upstream_refs, online = _upstream_tags(sh, fork)
    merged = releases.merged(sh, fork, refs.commits[ref], upstream_refs) if ref else {}
    contained = tags.newest(merged, policy.tags, *tags.STABLE)
    own = tags.newest(refs.tags(), policy.tags, TagUse.OWN)
    newest = releases.newest(sh, fork, upstream_refs)

    trees = [tree for tree in git.worktrees(sh, fork.path) if not tree.missing]
    started = _in_progress(sh, fork, merged, trees)
    in_progress = _beside(sorted(started, key=lambda one: Version(one.version), reverse=True))
    gone = reverted_sync(sh, fork, refs.commits[ref], merged) if ref else None
    problems = [no.what.rstrip(".") for no in unread]
    if gone:
        problems.append(gone.said)
    else:
        newer = newest and contained and newest > contained
        problems += _mismatches(version, contained, upgrading=bool(in_progress or newer))
    problems += _problems(fork, has_production=bool(ref))
    top = fork.repository.top
    state = git.work_state(sh, top) if top else None
    symbolic = "git -C {at} symbolic-ref --quiet HEAD"
    branch = state.branch if state else sh.ask(symbolic, at=fork.path).line
    moved = releases.moved(merged, upstream_refs) if online else []
    notes = [releases.described(name, merged, upstream_refs) for name in moved]
    if online and (renamed := releases.renamed_branch(sh, fork, upstream_refs)):
        notes.append(renamed)
    notes += _kept(sh, fork, merged, trees)
    mirror = f"refs/heads/{policy.branches.mirror}"
    if mirror not in refs.objects:
        mirror = fork.tracking(policy.remotes.origin, policy.branches.mirror)
    upstream = fork.tracking(policy.remotes.upstream, policy.branches.upstream)
    return Status(
        here=state,
        checked_out=branch.removeprefix("refs/heads/"),
        production=policy.branches.production,
        version=version,
        contained=contained,
        squashed=healing.only_stated(policy.tags, upstream_refs, version.values(), contained),
        own_release=own,
        upstream_release=newest,
        online=online,
        local=_distance(sh, fork, fork.local_production, fork.origin_production),
        mirror=_distance(sh, fork, mirror, upstream),
        in_progress=in_progress,
        reverted=gone,
        moved=tuple(moved),
        notes=tuple(notes),
        problems=tuple(problems),
    )


def _problems(fork: Fork, *, has_production: bool) -> list[str]:
    """What is wrong with the clone and its policy, each without a full stop."""
    policy, problems = fork.policy, list[str]()
    if fork.is_unknown:
        problems.append("this fork has no policy yet, and the default one is for another fork")
    if not has_production:
        problems.append(f"this clone has no branch {policy.branches.production}")
    problems += [problem.rstrip(".") for problem, _ in wrong_urls(fork)]
    if fork.problem:
        problems.append(fork.problem.what)
    remotes = (policy.remotes.origin, policy.remotes.upstream)
    return problems + [f"the remote `{r.name}` is missing" for r in remotes if not fork.url(r)]


def stated_versions(sh: Shell, fork: Fork, ref: str) -> tuple[dict[str, str], list[Refused]]:
    """The versions stated at a commit, by ``file: key``, and why some could not be read."""
    versions: dict[str, str] = {}
    problems = []
    for file in fork.policy.version_files:
        try:
            stated = version_files.read(git.show(sh, fork.path, ref, file.path) or "", file)
        except Refused as no:
            problems.append(no)
            continue
        versions.update({f"{file.path}: {key}": version for key, version in stated.items()})
    return versions, problems


def _mismatches(
    version: dict[str, str], contained: Tag | None, *, upgrading: bool
) -> Iterator[str]:
    """Stated versions that disagree with one another or with the contained tag.

    upgrading: whether an upgrade is in progress or the next thing to do; it sets a version that
        the fork bumped.
    """
    stated = next(iter(version.values()), "")
    if not all(version_files.same(stated, other) for other in version.values()):
        listed = ", ".join(f"{key} is {value}" for key, value in version.items())
        yield f"the version files disagree: {listed}"
    elif stated and contained and not version_files.same(stated, contained.release):
        if upgrading and version_files.counts_on(stated, contained.release):
            return  # `show` names it
        yield (
            f"the version is {stated}, but the newest tag contained is {contained.name}: "
            f"{version_files.why_differs(stated, contained.release)}"
        )


def _upstream_tags(sh: Shell, fork: Fork) -> tuple[git.Refs, bool]:
    """Upstream's tags, and whether upstream answered."""
    remote = fork.policy.remotes.upstream
    if fork.url(remote) is not None:
        refs = releases.upstream_refs(sh, fork)
        if refs is not None:
            return refs, True
    return fork.refs, False


def _distance(sh: Shell, fork: Fork, left: str, right: str) -> tuple[int, int] | None:
    if left not in fork.refs.objects or right not in fork.refs.objects:
        return None
    if fork.refs.objects[left] == fork.refs.objects[right]:
        return 0, 0
    return git.ahead_behind(sh, fork.path, left, right)


def _kept(
    sh: Shell, fork: Fork, merged: Collection[str], trees: Sequence[git.Worktree]
) -> Iterator[str]:
    """A note about each work tree that an upgrade has left although it is over, and about those
    that were set aside."""
    heads, origin = fork.refs.objects, fork.policy.remotes.origin
    removes = f"{git.at(fork.path)} worktree remove --force"
    for tree in trees:
        branch = tree.branch.removeprefix("refs/heads/")
        name = fork.policy.branches.tag_of(branch)
        published = heads.get(fork.tracking(origin, branch)) == heads.get(tree.branch)
        if not name or not (name in merged or published):
            continue
        state = git.work_state(sh, tree.path)
        if name not in merged and not (state.dirty or state.untracked):
            continue  # the same command ends the upgrade, and removes it
        reopened = name not in merged and branches.reopened(sh, tree.path, state)
        if not (state.merging or state.unmerged or reopened):
            work = git.nearest(tree.path)
            kept = f"the upgrade to {name} kept its work tree {git.named(work)}"
            if state.dirty:
                verb = "is" if len(state.dirty) == 1 else "are"
                kept += f", in which {listed(state.dirty, 3)} {verb} changed and not committed"
            if state.dirty and name not in merged:
                continue  # the next command to type is about that
            see = f" (`{git.at(work)} diff HEAD` shows it)" if state.dirty else ""
            there = quote(str(git.nearest(tree.path, fork.path)))
            what = "that" if state.dirty else "what is in it"
            yield f"{kept}{see}; if nobody needs {what}, type `{removes} {there}`"
    for place in map(git.nearest, recovery.cut_off(fork)):
        yield (
            f"a killed upgrade left {git.named(place)}; if nobody needs what is in it, type "
            f"`rm -r {quote(str(place))}`"
        )


def _in_progress(
    sh: Shell, fork: Fork, merged: Collection[str], trees: Sequence[git.Worktree]
) -> Iterator[InProgress]:
    """Sync branches whose tag the production branch does not contain yet."""
    places = {tree.branch: git.nearest(tree.path) for tree in trees}
    origin = fork.policy.remotes.origin
    for branch in dict.fromkeys([*fork.refs.branches(), *fork.published]):
        name = fork.policy.branches.tag_of(branch)
        tag = tags.classify(name, fork.policy.tags) if name and name not in merged else None
        if tag is None:
            continue  # the branch is not named after a release
        work = places.get(f"refs/heads/{branch}")
        place = git.inside(work) if work else ""
        remote = fork.refs.objects.get(fork.tracking(origin, branch))
        same = remote == fork.refs.objects.get(f"refs/heads/{branch}", remote)
        here = git.work_state(sh, work) if work else None
        published = bool(remote and same and not (here and here.merging))
        # Once it is published, conflicts are those of its pull request.
        reopened = bool(work and here and branches.reopened(sh, work, here))
        sides = [fork.production_commit, fork.refs.tag(tag.name)]
        left = 0
        if work and here and (reopened or here.merging or here.unmerged):
            left = len(in_conflict(sh, work, here, sides))
        if published:
            state = f"published to {origin.name}"
            if reopened:
                now = f"{counted(left, 'conflict')} left" if left else "resolved, not committed,"
                state = f"{state}; {now} {place}"
        elif work and (merge := for_a_person(sh, fork, work, but=tag.name)):
            state = f"{merge.what}; {merge.how}"
        elif work and left:
            state = f"{counted(left, 'conflict')} left {place}"
        else:
            state = f"prepared {place}" if work else "started"
        yield InProgress(branch, tag.name, tag.release, state, published, left, reopened)


def _beside(upgrades: Sequence[InProgress]) -> tuple[InProgress, ...]:
    """Upgrades, newest first; a published one says if a newer one is published, too."""
    newest = next((one.tag for one in upgrades if one.published), "")
    return tuple(
        replace(one, state=f"{one.state}, beside the newer {newest}")
        if one.published and one.tag != newest
        else one
        for one in upgrades
    )


def show(console: Console, facts: Status, repo: str, why: str, *, unknown: bool = False) -> None:
    """Print the state of a fork, on one screen.

    why: why the next command is the next, which is printed below and names the state already.
    unknown: whether it has no policy yet; the default one names another fork's branches.
    """

    def named(tag: Tag | None) -> str:
        return tag.name if tag else "none in this clone"

    def distance(pair: tuple[int, int] | None) -> str:
        if pair is None:
            return "unknown in this clone"
        state = "the same" if pair == (0, 0) else f"{pair[0]} ahead, {pair[1]} behind"
        return f"{state}, as of the last fetch"

    version = ", ".join(sorted(set(facts.version.values()))) or "not stated"
    about = [] if facts.local in (None, (0, 0)) else ["origin's"]
    release = facts.contained.release if facts.contained else ""
    own = any(not version_files.same(release, stated) for stated in facts.version.values())
    if release and own and not facts.problems:  # see `_mismatches`
        about.append("bumped by the fork; an upgrade sets it")
    version += f" ({'; '.join(about)})" if about else ""
    updates = "; `sync-main` updates it"
    own_release = named(facts.own_release) + ", as of the last fetch" * bool(facts.own_release)
    where = "" if facts.online else " (as of the last fetch: upstream cannot be reached)"
    here = [("fork", repo), ("checked out", facts.checked_out or "detached HEAD")]
    console.facts(
        here
        if unknown
        else [
            *here,
            (f"version on {facts.production}", version),
            ("upstream tag in it", named(facts.contained)),
            ("newest release of the fork", own_release),
            ("newest stable upstream tag", named(facts.upstream_release) + where),
            (f"{facts.production} against origin", distance(facts.local)),
            ("mirror against upstream", distance(facts.mirror) + updates * (not facts.mirror)),
        ]
    )
    for upgrade in facts.in_progress:
        if upgrade.tag in why and upgrade.state in why:
            continue
        console.say(f"upgrade to {upgrade.tag}: {upgrade.state}", "yellow")
    for note in facts.notes:
        console.say(f"note: {note}", "yellow")
    for problem in facts.problems:
        console.say(f"problem: {problem}", "red")


def unpushed(
    sh: Shell,
    fork: Fork,
    upgrade: InProgress,
    named: str,
    resolve: str,
    command: Callable[..., str],
) -> tuple[str, str]:
    """What to type, and why, if what resolves a pull request is here and not pushed.

    named: the pull request, in words. resolve: what checks and pushes it.
    command: makes the command line of a task.
    """
    place = fork.place_for(upgrade.branch)
    work = git.nearest(place)
    dirty = git.work_state(sh, place).dirty if place.exists() else ()
    if dirty:
        why = f"In {git.named(work)}, {listed(dirty, 3)} is changed and not committed; then: "
        return f"{git.at(work)} commit --all", f"{why}{resolve}"
    if why := failed(fork, upgrade, command):
        return resolve, f"{why}; then this checks it, and pushes it."
    why = f"What resolves {named} is committed here and not pushed; this checks it, and "
    return resolve, f"{why}pushes it."


def failed(fork: Fork, upgrade: InProgress, command: Callable[..., str]) -> str:
    """What the last check of an upgrade found wrong in its branch as it is here, and what to do
    about it, without a full stop; "" if nothing is known to be wrong."""
    checked = review.kept(fork, upgrade.tag)
    head = fork.refs.commits.get(f"refs/heads/{upgrade.branch}")
    if not checked or checked.result != head:
        return ""
    work = git.nearest(fork.place_for(upgrade.branch))
    if checked.passed:
        log = begun.failed(fork, upgrade.tag, checked.result)
        if log is None or not begun.remembered(fork, upgrade.tag).tests:
            return ""
        why = f"`{log.stem}` failed on {upgrade.branch} (log: {git.nearest(log)}). First install "
        return f"{why}what it lacks, or fix it {git.inside(work)}, and commit"
    wrong = review.in_one_line(checked)
    drop = command("verify", repo=str(work), drop="PATH", reason="WHY")
    ways = review.ways_out(fork, checked, work, drop).rpartition("; ")[0]
    return f"The last check failed ({wrong}). First {ways}"


def has_passed(sh: Shell, fork: Fork, upgrade: InProgress) -> bool:
    """Whether nothing is left of an upgrade but to publish it: its branch is what was verified, and
    nothing is wrong with that."""
    checked, place = review.kept(fork, upgrade.tag), fork.place_for(upgrade.branch)
    head = fork.refs.commits.get(f"refs/heads/{upgrade.branch}")
    if not checked or not checked.passed or checked.result != head or not place.exists():
        return False
    state = git.work_state(sh, place)
    return not (state.dirty or state.merging)


def failed_landings(fork: Fork, command: Callable[..., str]) -> Iterator[tuple[str, str]]:
    """What to type, and why, about each sync that landed and failed its last check."""
    for wrong in review.landed_wrong(fork):
        ways = review.ways_to_restore(command, wrong.tag, lost=wrong.lost)
        why = f"The last check of the sync to {wrong.tag} failed ({wrong.what}). First {ways}; "
        yield command("verify", landed=wrong.tag), f"{why}once that is merged, this checks it."


def landed(sh: Shell, fork: Fork, contained: Tag | None, head: str) -> str:
    """Sentences about the branches of tasks that origin or this clone still has although nobody
    needs them, and the commands that remove them; "" without any.

    contained: the newest release in production. A sync of that or of an older one that is not in
    production's history was squashed, or a newer one has replaced it. head: the commit that is
    checked out; "" without any.
    """
    origin, tag_of = fork.policy.remotes.origin, fork.policy.branches.tag_of
    production, ours = fork.production_commit, _of_tasks(fork, fork.published)
    tips = {branch: fork.refs.commits[fork.tracking(origin, branch)] for branch in ours}
    merged = [x for x, tip in tips.items() if git.is_ancestor(sh, fork.path, tip, production)]
    releases = {x: tags.classify(tag_of(x) or "", fork.policy.tags) for x in tips}
    over = [
        x
        for x, tag in releases.items()
        if x not in merged and tag and contained and tag <= contained
    ]
    over += [
        x
        for x, tip in tips.items()
        if BRANCH.fullmatch(x) and x not in merged and superseded(sh, fork, tip)
    ]
    asked = [f"refs/heads/{branch}" for branch in (*merged, *over)]
    there = git.remote_refs(sh, fork.path, origin.name, asked, git.PATIENCE) if asked else None
    heads = there.objects if there else {}
    merged, over = (
        [x for x in y if heads.get(f"refs/heads/{x}") == tips[x]] for y in (merged, over)
    )
    at, remove = git.at(fork.path), f"{git.at(fork.path)} push {origin.name} --delete"
    said = ""
    if merged:
        said += f" What has landed is still on {origin.name} as {listed(merged)}; to remove "
        said += f"{'it' if len(merged) == 1 else 'them'}: "
        said += f"`{remove} {' '.join(merged)}`"
    if over:
        name, refs = fork.policy.branches.production, (f"{origin.name}/{x}" for x in over)
        said += (
            f"{'. Also' if merged else ' Still'} on {origin.name}: {listed(over)}, with commits "
        )
        said += f"that {name} lacks, although it has what they were for, or newer. To see them: "
        said += f"`{at} log {' '.join(refs)} --not {origin.name}/{name}`; to remove "
        said += f"{'it' if len(over) == 1 else 'them'}: `{remove} {' '.join(over)}`"
    if local := _landed_here(sh, fork, head):
        said += f"{'.' * bool(said)} Landed, and still in this clone: {listed(local)}; to remove "
        said += f"{'it' if len(local) == 1 else 'them'}: `{at} branch -d {' '.join(local)}`"
    return said


def _of_tasks(fork: Fork, names: Collection[str]) -> list[str]:
    """The branches among some that tasks make for an adoption, a healing or an upgrade."""
    known = (BRANCH.fullmatch, healing.BRANCH.fullmatch, fork.policy.branches.tag_of)
    return [name for name in names if any(of_task(name) for of_task in known)]


def _landed_here(sh: Shell, fork: Fork, head: str) -> list[str]:
    """The local branches of tasks that production contains and `git branch -d` would remove."""
    if not head:
        return []
    commits = {x: fork.refs.commits[f"refs/heads/{x}"] for x in fork.refs.branches()}
    found = [
        name
        for name in _of_tasks(fork, commits)
        if git.is_ancestor(sh, fork.path, commits[name], fork.production_commit)
        and git.is_ancestor(sh, fork.path, commits[name], head)
    ]
    trees = {tree.branch for tree in git.worktrees(sh, fork.path)} if found else ()
    return [name for name in found if f"refs/heads/{name}" not in trees]


def is_ticked(fork: Fork, pull: Pull) -> bool:
    """Whether the text of a pull request says that the tests have passed, perhaps elsewhere."""
    return begun.ticked(pull.body) >= {code(line) for line in fork.policy.commands.test}


def is_untested(sh: Shell, fork: Fork, upgrade: InProgress) -> bool:
    """Whether a person resolved conflicts on a published branch, and it has passed no test here
    since: no job tests it then."""
    refs = fork.refs
    head = refs.objects.get(fork.tracking(fork.policy.remotes.origin, upgrade.branch), "")
    if not head or not fork.policy.commands.test:
        return False
    passed = refs.commits.get(f"refs/carto-fork/passed/{upgrade.tag}/test")
    if passed and not git.differing(sh, fork.path, passed, head):
        return False
    subjects = git.subjects(sh, fork.path, head, "--not", fork.production_commit)
    return records.RESOLVED_MESSAGE.replace("{tag}", upgrade.tag) in subjects


def is_marked(sh: Shell, fork: Fork) -> bool:
    """Whether conflict markers are committed on the production branch."""
    if not fork.upstream_tips or not fork.has_production:
        return False
    tip, production = inventory.tip(fork), fork.production_commit
    sides = [tip, *git.merge_bases(sh, fork.path, production, tip)[:1]]
    return bool(conflicts.markers_left(sh, fork.path, sides, production))
