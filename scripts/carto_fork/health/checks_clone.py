"""Checks of a clone, and of the tags and versions in it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from shlex import quote

from ..audit import healing
from ..fork import branches, detection, records, recovery, releases, setup, tags, version_files
from ..fork.fork import unfetched, wrong_urls
from ..fork.setup import There
from ..fork.tags import TagUse
from ..merge import conflicts
from ..merge.reverted import reverted_sync
from ..run import git, steps
from ..run.errors import Refused
from ..run.shell import Shell
from ..run.steps import Step
from ..run.text import counted, listed, printable
from ..upgrade import begun
from . import checks_policy, status, under_way
from .checks import Check, Diagnosis, Level, Patient, Unchecked

RETAG = Step(
    "tag",
    "Take upstream's tag, which was merged; keep the other one under refs/carto-fork/kept.",
    run=(
        "git -C {repo} update-ref refs/carto-fork/kept/{kept} refs/tags/{tag}",
        "git -C {repo} fetch --no-tags --no-recurse-submodules {upstream}"
        " +refs/tags/{tag}:refs/tags/{tag}",
    ),
    stuck="check the network and the remote, then run the same command again.",
)


def _detection(patient: Patient) -> Iterator[Diagnosis]:
    schemes, refs = patient.fork.policy.tags, patient.fork.refs
    upstream = patient.upstream_tags
    classified = {name: tags.classify(name, schemes) for name in upstream.tags()}
    stable = [tag for tag in classified.values() if tag and tag.stable]
    automatic = [tag for tag in stable if tag.scheme.use is TagUse.AUTOMATIC]
    remote = patient.fork.policy.remotes.upstream.name

    pinned: Mapping[str, records.Pin] = {}
    with suppress(Refused):  # the check `tags` reports it
        pinned = records.read_pins(patient.text(records.TAGS_FILE) or None)
    for tag in sorted(stable):
        ref = f"refs/tags/{tag.name}"
        local = refs.commits.get(ref, upstream.commits[ref])
        if local == upstream.commits[ref] or tag.name in pinned:
            continue
        what = (
            f"the tag {tag.name} is {local[:10]} here, and {upstream.commits[ref][:10]} upstream."
        )
        cause = "Somebody moved it, here or upstream; upgrades refuse it until both agree."
        then = f"to take upstream's: {git.at(patient.repo)} fetch {remote} +{ref}:{ref}"
        yield Diagnosis(Level.BROKEN, what, cause, then)

    newest = max(stable, default=None)
    own = [x for name in refs.tags() if (x := tags.classify(name, schemes)) and x.stable]
    for tag in sorted(own):
        if tag.name not in classified and newest and tag > newest:
            what = f"only this clone has the tag {tag.name}; {remote} has no such release."
            cause = "It was made here, or upstream removed it; it looks like the newest release."
            then = f"{git.at(patient.repo)} tag -d {tag.name}"
            yield Diagnosis(Level.LOOK, what, cause, then)

    contained = patient.release
    version = version_files.stated(patient.sh, patient.fork, patient.commit)
    newer = [tag for tag in automatic if contained is None or tag > contained]
    if newer and not any(releases.is_newer(tag, contained, version) for tag in newer):
        hidden = max(newer)
        what = (
            f"{hidden.name} is not detected: {patient.production} states {printable(version)} and "
            f"contains {contained.name if contained else 'no release'}."
        )
        cause = "Somebody raised the version without merging the release, or squashed its sync."
        then = patient.command("fork.heal", check=True)
        only = healing.only_stated(schemes, upstream, [version], contained)
        lower = healing.lowering(patient.command, contained)
        if only or lower:
            cure = healing.unproven(patient.command, only, contained) if only else lower
            then += f"; if it finds nothing to heal: {cure}"
        yield Diagnosis(Level.BROKEN, what, cause, then)

    merged = releases.merged(patient.sh, patient.fork, patient.commit, upstream)
    later = detection.later(patient.sh, patient.fork, classified, contained, merged)
    for warning in detection.silent(later, automatic):
        cause = "Nobody notices releases whose names follow a new scheme."
        then = f"add the scheme to `tags` in the policy: {patient.command('fork.config')}"
        yield Diagnosis(Level.LOOK, f"{printable(warning)}.", cause, then)


def _tags(patient: Patient) -> Iterator[Diagnosis]:
    yield from _unpublished(patient)
    try:
        pinned = records.read_pins(patient.text(records.TAGS_FILE) or None)
    except Refused as no:
        cause = "Without it nobody notices a moved tag, and upgrades are refused."
        then = f"correct {records.TAGS_FILE} on {patient.production} and push it"
        yield Diagnosis(Level.BROKEN, no.what, cause, then)
        return
    refs = patient.fork.refs
    upstream_tags, offline = None, ""
    if pinned:
        try:
            upstream_tags = patient.upstream_tags
        except Unchecked as no:
            offline = str(no)
    remote = patient.fork.policy.remotes.upstream.name
    for name, pin in pinned.items():
        ref = f"refs/tags/{name}"
        local = refs.commits.get(ref, pin.commit)
        upstream = upstream_tags.commits.get(ref, "") if upstream_tags else pin.commit
        if upstream != pin.commit:
            now = f"is {upstream[:10]} now" if upstream else "was withdrawn"
            what = f"upstream's tag {name} was {pin.commit[:10]} when it was merged, and {now}."
            cause = "The merge stays as it is; a newer release will bring what upstream changed."
            then = f"{git.at(patient.repo)} ls-remote {remote} {ref}"
            if upstream:
                then = f"{git.at(patient.repo)} fetch --no-tags {remote} {ref} && "
                then += f"{git.at(patient.repo)} log -p {pin.commit[:10]}..{upstream[:10]}"
            yield Diagnosis(Level.LOOK, what, cause, then)
        if local in (pin.commit, upstream):
            continue
        what = f"the tag {name} is {local[:10]} here, and was {pin.commit[:10]} when it was merged."
        if upstream_tags and upstream == pin.commit:
            cause = "Somebody moved it here; upstream's tag is the one that was merged."
            values = {"tag": name, "kept": f"{name}-{local[:10]}"}
            yield patient.fixable(Level.BROKEN, what, cause, RETAG, **values)
        else:
            cause = "Somebody moved it here, or fetched by force a tag that upstream moved twice."
            then = f"{git.at(patient.repo)} ls-remote {remote} {ref}"
            yield Diagnosis(Level.BROKEN, what, cause, then)
    if offline:
        raise Unchecked(f"upstream's: {offline}")


def _unpublished(patient: Patient) -> Iterator[Diagnosis]:
    """A release of the fork whose tag was never pushed."""
    sh, fork, origin = patient.sh, patient.fork, patient.fork.policy.remotes.origin
    if patient.offline or not fork.policy.releases or not fork.url(origin):
        return
    there = git.remote_refs(sh, patient.repo, origin.name, ["refs/tags/*"], git.PATIENCE)
    for advice in under_way.unpublished(sh, fork, there, patient.release, patient.command):
        what, _, cause = advice.why.partition(": ")
        cause = f"{cause[0].upper()}{cause[1:]}"
        yield Diagnosis(Level.LOOK, f"{what[0].lower()}{what[1:]}.", cause, advice.command)


def _version(patient: Patient) -> Iterator[Diagnosis]:
    stated, problems = status.stated_versions(patient.sh, patient.fork, patient.commit)
    for no in problems:
        cause = "No version can be read from it, and therefore none can be written."
        yield Diagnosis(Level.BROKEN, no.what, cause, f"{no.then.rstrip('.')}; then push the fix")
    contained = patient.release
    bump = patient.command("bump-version", tag=contained.name if contained else "TAG")
    raise_it = patient.on_a_branch("version", bump)
    version = next(iter(stated.values()), "")
    if not all(version_files.same(version, other) for other in stated.values()):
        said = ", ".join(f"{printable(k)} is {printable(v)}" for k, v in stated.items())
        cause = "Somebody raised the version in some of these places only."
        yield Diagnosis(Level.BROKEN, f"the version files disagree: {said}.", cause, raise_it)
        return
    if reverted_sync(patient.sh, patient.fork, patient.commit):
        return  # `ancestry` reports the revert, and undoing it restores the version
    if contained and version and version_files.number(version) != contained.version:
        what = (
            f"the version is {printable(version)}, and the newest release in {patient.production} "
            f"is {contained.name}."
        )
        if version_files.number(version) < contained.version:
            cause = "The release was merged, but the version was not raised."
            yield Diagnosis(Level.BROKEN, what, cause, raise_it)
        elif version_files.counts_on(version, contained.release):
            cause = "The fork bumped the version itself; `release` accepts only upstream's version."
            # An upgrade in progress sets the version anyway.
            if patient.notes or not patient.syncs:
                level = Level.NOTE if patient.syncs else Level.LOOK
                yield Diagnosis(level, what, cause, raise_it)
        else:
            cause = "A sync lost its history, or merged a commit that is not a stable release."
            upstream = patient.fork.policy.remotes.upstream.name
            fetch = f"{git.at(patient.repo)} fetch --tags {upstream}"
            there = releases.upstream_refs(patient.sh, patient.fork) or patient.fork.refs
            schemes = patient.fork.policy.tags
            if only := healing.only_stated(schemes, there, [version], contained):
                cure = healing.unproven(patient.command, only, contained)
            else:  # no lower version if that release may be merged, and this clone lacks its tag
                exists = releases.may_exist(patient.sh, patient.fork, version)
                cure = fetch if exists else raise_it
            heal = patient.command("fork.heal", check=True)
            then = f"{heal}; if it finds nothing to heal: {cure}"
            yield Diagnosis(Level.LOOK, what, cause, then)
    own = tags.newest(patient.fork.refs.tags(), patient.fork.policy.tags, TagUse.OWN)
    if own and version and version_files.number(version) < own.version:
        what = (
            f"{own.name} is a release of {own.release}, and {patient.production} states "
            f"{printable(version)}."
        )
        cause = "It was released from another branch, or somebody lowered the version."
        then = f"{git.at(patient.repo)} branch --all --contains {own.name}"
        yield Diagnosis(Level.LOOK, what, cause, then)


UNSHALLOW = Step(
    "unshallow",
    "Fetch the history that the clone lacks.",
    run=("git -C {repo} fetch --unshallow {origin}",),
    stuck="check the network and the remote, then run the same command again.",
)

_STALE = 3600
"""Age of a lock, in seconds, after which a running git hardly ever still holds it."""


def _conflicts(patient: Patient) -> Iterator[Diagnosis]:
    for tree in patient.trees:
        if not tree.missing:
            yield from _in_progress(patient, git.nearest(tree.path))
    yield from _committed_markers(patient)


def _in_progress(patient: Patient, work: Path) -> Iterator[Diagnosis]:
    sh = patient.sh
    what = branches.operation(git.directory(sh, work))
    state_here = git.work_state(sh, work)
    paths = sorted(begun.in_conflict(sh, work, state_here))
    branch = state_here.branch.removeprefix("refs/heads/")
    if not what and branches.reopened(sh, work, state_here):
        level = Level.BROKEN if paths else Level.LOOK
        left = f"{counted(len(paths), 'file')} in conflict: {listed(paths)}"
        problem = f"the pull request of {branch} is being resolved in {git.named(work)}; "
        problem += f"{left if paths else 'no conflict is left'}."
        cause = "This checks what is resolved there, and publishes it once nothing is left."
        yield Diagnosis(level, problem, cause, patient.command("resolve-conflicts", pr=branch))
        return
    if not what and not paths:
        return
    state = f"a {what} is in progress in {git.named(work)}" if what else f"{git.named(work)}"
    tag = patient.fork.policy.branches.tag_of(branch)
    asked = begun.remembered(patient.fork, tag or "").words()
    again = patient.command("upgrade-carto", tag=tag, **asked) if tag and what == "merge" else ""
    finish = f"{what} --continue" if what not in ("", "merge") else "commit"
    then = f"then run `{again}`." if again else ""
    merge = begun.for_a_person(sh, patient.fork, work, then, but=tag or "")
    conclude = merge.how if merge else again or f"{git.at(work)} {finish}"
    if what == "bisect":
        cause = "Git has checked out the commit to test."
        yield Diagnosis(Level.LOOK, f"{state}.", cause, f"{git.at(work)} bisect reset")
    elif not paths:
        cause = "Nothing is left to resolve; this continues it."
        yield Diagnosis(Level.LOOK, f"{state}.", cause, conclude)
    else:
        staged = len(paths) - len(state_here.unmerged)
        markers = f", {staged} of them staged with markers" if staged else ""
        unmerged = counted(len(paths), "unmerged file")
        problem = f"{state} with {unmerged}{markers}: {listed(paths)}."
        cause = "Both sides changed the same; this decides what it can, and lists what is left."
        if again:
            cause = "Both sides changed the same. Resolve that; this lists it, and continues."
        resolve = again or patient.command("resolve-conflicts", repo=str(work))
        if merge:
            cause, resolve = "Both sides changed the same, and no rule decides that.", merge.how
        if what != "merge":
            resolve = f"edit them, `{git.at(work)} add` them, then `{conclude}`"
        yield Diagnosis(Level.BROKEN, problem, cause, resolve)


def _committed_markers(patient: Patient) -> Iterator[Diagnosis]:
    refs, seen = patient.fork.refs, set[str]()
    for ref, tag in patient.syncs:
        commit = refs.commits[ref]
        if commit not in seen:
            seen.add(commit)
            theirs = refs.tag(tag) or patient.ground.tip
            branch = patient.fork.policy.branches.sync_for(tag)
            yield from _markers_on(patient, branch, commit, [patient.commit, theirs], tag)
    sides = [patient.ground.base, patient.ground.tip]
    yield from _markers_on(patient, patient.production, patient.commit, sides)


def _saved(patient: Patient, tag: str, branch: str, pushed: str) -> str:
    """As `begun.pending`, but "" if the branch is checked out."""
    with suppress(Refused):
        place = patient.fork.place_for(branch)
        return begun.pending(patient.sh, patient.fork, tag, place, pushed)
    return ""


def _markers_on(
    patient: Patient, branch: str, commit: str, sides: list[str], tag: str = ""
) -> Iterator[Diagnosis]:
    """The conflict markers in a commit that neither side of a merge had.

    tag: the release of a sync branch.
    """
    policy = patient.fork.policy
    left = conflicts.markers_left(patient.sh, patient.repo, sides, commit, policy)
    if not left:
        return
    paths = sorted({path for path, _ in left})
    published = patient.fork.tracking(patient.fork.policy.remotes.origin, branch)
    pushed = patient.fork.refs.commits.get(published, "")
    if tag and commit == _saved(patient, tag, branch, pushed):
        what = f"{branch} has what --abort saved, with conflicts: {listed(paths)}."
        again = patient.command("upgrade-carto", tag=tag)
        if not pushed:  # or else its pull request is what waits
            yield Diagnosis(Level.LOOK, what, "This continues the upgrade with them.", again)
        return
    what = f"conflict markers are committed on {branch}: {listed(paths)}."
    cause = "Somebody committed a conflict unresolved; fix it on a branch of its own."
    then = patient.command("branch.start", name="resolve-markers")
    if tag and branch in patient.fork.published:
        cause = "The automation commits conflicts that no rule decides, for a person to resolve."
        then = patient.command("resolve-conflicts", pr=branch)
        yield Diagnosis(Level.LOOK, what, cause, then)
        return
    if tag:
        cause = "Somebody committed a conflict unresolved. Nothing of it is published."
        then = patient.command("upgrade-carto", tag=tag)
        then = f"resolve them in {patient.place_of(branch)} and commit; then `{then}` continues."
    yield Diagnosis(Level.BROKEN, what, cause, then)


def _head(patient: Patient) -> Iterator[Diagnosis]:
    if patient.work is None:
        raise Unchecked("a bare repository has no checkout")
    if branches.operation(git.directory(patient.sh, patient.work)):
        return  # `conflicts` reports it
    recover = patient.command("branch.recover")
    if commit := branches.detached(patient.sh, patient.work):
        own = branches.stray_of(patient.sh, patient.work, commit)
        cause = "Somebody checked out a tag or a commit instead of a branch."
        if own:
            what = f"HEAD is detached, with {counted(own.commits, 'commit')} on no branch."
            yield Diagnosis(
                Level.BROKEN, what, f"{cause} Git will eventually delete these commits.", recover
            )
        else:
            what = f"HEAD is detached at {commit[:10]}; all its commits are on branches or tags."
            yield Diagnosis(Level.LOOK, what, cause, recover)
    for left in branches.left_behind(patient.sh, patient.work):
        what = (
            f"{counted(left.commits, 'commit')} up to {left.commit[:10]} ({left.date}, "
            f"{printable(left.subject)}) {'is' if left.commits == 1 else 'are'} on no branch."
        )
        cause = "They were made on a detached HEAD before something else was checked out."
        then = patient.command("branch.recover", commit=left.commit[:10])
        yield Diagnosis(Level.LOOK, what, cause, then)


def _remotes(patient: Patient) -> Iterator[Diagnosis]:
    remotes = patient.fork.policy.remotes
    adding = ((remotes.origin, setup.SETUP[0]), (remotes.upstream, setup.SETUP[1]))
    if patient.fork.problem:
        raise Unchecked("the policy, which says what they should be, is not valid")
    wrong = list(wrong_urls(patient.fork))
    for remote, step in adding:
        # If a remote is not the repository that the policy names, the policy may be wrong.
        if patient.fork.url(remote) is None and not wrong:
            what = f"the remote `{remote.name}` is missing."
            cause = "A new clone has only one remote."
            if patient.fork.is_unknown:
                line, _ = setup.first_policy(patient.fork, patient.command)
                yield Diagnosis(Level.BROKEN, what, cause, line)
            else:
                yield patient.fixable(Level.BROKEN, what, cause, step)
    for problem, then in wrong:
        cause = "Upgrades would be taken from, or pushed to, another repository."
        yield Diagnosis(Level.BROKEN, problem, cause, then)
    if patient.fork.url(remotes.origin) and not (wrong or patient.offline) and patient.has_moved:
        what = f"{remotes.origin.name}'s {patient.production} has moved since this clone fetched."
        then = f"{git.at(patient.repo)} fetch {remotes.origin.name}"
        yield Diagnosis(Level.LOOK, what, "What follows is about an older state of it.", then)
    if patient.fork.url(remotes.upstream) and not patient.fork.upstream_tips:
        what = f"{unfetched(remotes.upstream.name)}."
        cause = "Without it, nothing separates upstream's changes from the fork's own."
        then = f"{git.at(patient.repo)} fetch {remotes.upstream.name}"
        yield Diagnosis(Level.LOOK, what, cause, then)
    elif patient.fork.url(remotes.upstream) and not (wrong or patient.offline):
        with suppress(Unchecked):  # other checks say it
            if not patient.upstream_tags.branches():
                problem, then = releases.without_branch(patient.sh, patient.fork, git.PATIENCE)
                cause = "The mirror cannot follow upstream, and upstream's newest work is not seen."
                yield Diagnosis(Level.BROKEN, problem, cause, then)


def _clone(patient: Patient) -> Iterator[Diagnosis]:
    settings, origin = patient.fork.settings, patient.fork.policy.remotes.origin.name
    if patient.fork.repository.shallow:
        cause = "Without the whole history git cannot merge."
        yield patient.fixable(Level.BROKEN, "this is a shallow clone.", cause, UNSHALLOW)
    filters = [k for k in settings if k.startswith("remote.") and k.endswith(".partialclonefilter")]
    for key in filters:
        name = key.removeprefix("remote.").removesuffix(".partialclonefilter")
        repo = git.at(patient.repo)
        then = (
            f"{repo} config --unset {key} && {repo} config --unset remote.{quote(name)}.promisor"
            f" && {repo} fetch --refetch {quote(name)}"
        )
        cause = "Git fetches each missing object separately: verifying a merge takes very long."
        yield Diagnosis(Level.LOOK, "this is a partial clone.", cause, then)
    if settings.get("core.sparsecheckout", [""])[-1] == "true":
        cause = f"This is harmless: upgrades are prepared with all of {origin}'s files."
        then = f"{git.at(patient.repo)} sparse-checkout disable"
        yield Diagnosis(Level.NOTE, "the checkout is sparse.", cause, then)


def old_git(sh: Shell) -> Iterator[Diagnosis]:
    """Whether git is missing or too old; no other check can run then."""
    try:
        git.require_version(sh)
    except Refused as no:
        cause = "Merges are computed with `git merge-tree --write-tree`, which it lacks."
        yield Diagnosis(Level.BROKEN, no.what, cause, no.then)


def _git(patient: Patient) -> Iterator[Diagnosis]:
    # `doctor` runs this before there is a patient: with an old git no other check can run.
    yield from old_git(patient.sh)


def _leftovers(patient: Patient) -> Iterator[Diagnosis]:
    for tag, place in recovery.damaged(patient.sh, patient.fork):
        what = f"{printable(str(git.nearest(place)))} is in a state that no run leaves behind."
        cause = "A run was killed, or somebody changed it; the next run says what to do about it."
        yield Diagnosis(Level.BROKEN, what, cause, patient.command("upgrade-carto", tag=tag))
    gone = [tree for tree in patient.trees if tree.missing]
    if gone:
        first_gone = printable(str(git.nearest(gone[0].path)))
        what = f"{counted(len(gone), 'work tree')} without a directory, such as {first_gone}."
        repo = git.at(patient.repo)
        first = quote(str(git.nearest(gone[0].path, patient.repo)))
        cause = "Somebody removed or moved it, or its disk is not mounted; git still lists it."
        then = f"if it was moved: `{repo} worktree repair NEW_PLACE`; if it is gone: `{repo} "
        yield Diagnosis(Level.LOOK, what, cause, f"{then}worktree remove --force {first}`")
    origin, sync = patient.fork.policy.remotes.origin, patient.fork.policy.branches.sync_for("TAG")
    heads = None
    if not patient.offline and patient.fork.url(origin):
        around = releases.around(patient.fork, sync)
        heads = git.remote_refs(patient.sh, patient.repo, origin.name, around, git.PATIENCE)
    try:
        releases.require_room(patient.fork, sync, heads.objects if heads else ())
    except Refused as no:
        yield Diagnosis(Level.BROKEN, no.what, "Upgrades are refused.", no.then)
    for cut in recovery.cut_off(patient.fork):
        place = git.nearest(cut)
        what = f"a killed upgrade left {printable(str(place))}."
        cause = "The next run set it aside, because somebody may have worked there."
        then = f"check whether you need anything in it, then: rm -r {quote(str(place))}"
        yield Diagnosis(Level.LOOK, what, cause, then)
    for tree in patient.trees:
        index = tree.path / ".git" / "index"
        if index.is_file() and not recovery.is_whole(index):
            what, file = f"{printable(str(git.nearest(index)))} is truncated.", quote(str(index))
            then = f"rm {file} && {git.at(git.nearest(tree.path))} reset --quiet"
            cause = "The machine crashed, or the disk was full; what was staged is lost."
            yield Diagnosis(Level.BROKEN, what, cause, then)
    common = patient.fork.repository.common
    folders = [*common.glob("carto-fork"), *common.glob("carto-fork/*")]
    strange = [path for path in folders if not path.is_dir()]
    strange += [path for path in common.glob("carto-fork/*/*") if not path.is_file()]
    lock = common / "carto-fork.lock"
    if os.path.lexists(lock) and (lock.is_symlink() or not lock.is_file()):
        strange.append(lock)
    for path in strange:
        kind = "directory" if path in folders else "regular file"
        what, file = f"{printable(str(git.nearest(path)))} is not a {kind}.", quote(str(path))
        cause = "The tasks keep notes there, and cannot write them."
        yield Diagnosis(Level.BROKEN, what, cause, f"mv {file} {file}.away")
    for pattern in ("*.lock", "refs/**/*.lock", "worktrees/*/*.lock"):
        for lock in sorted(common.glob(pattern)):
            if lock.name != "carto-fork.lock":
                yield from _lock(lock)
    yield from _own_lock(patient)


def _lock(lock: Path) -> Iterator[Diagnosis]:
    try:
        age = time.time() - lock.stat().st_mtime
    except OSError:
        return
    what = f"{printable(str(git.nearest(lock)))} has existed for {_ago(age)}."
    level, cause = Level.LOOK, "A git process is running here, or one was killed."
    if age >= _STALE:
        # `--fix` leaves it alone: `git commit` holds it as long as an editor is open.
        level, cause = Level.BROKEN, "Until it is gone, git refuses to write what it locks."
    then = f"if no git is running: rm {quote(str(git.nearest(lock)))}"
    yield Diagnosis(level, what, cause, then)


def _ago(seconds: float) -> str:
    minutes = int(seconds // 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h"


def _own_lock(patient: Patient) -> Iterator[Diagnosis]:
    file = patient.fork.repository.common / "carto-fork.lock"
    if (note := steps.left_by_killed(file)) is None:
        return
    left = f" and left {', '.join(map(printable, note.unfinished))}" if note.unfinished else ""
    what = f"`{printable(note.task)}` (process {note.pid}) was killed{left}."
    cause = "It holds no lock any more; the next run cleans up what it left."
    yield Diagnosis(Level.LOOK, what, cause, printable(note.task))


def _hook(patient: Patient) -> Iterator[Diagnosis]:
    if patient.work is None:
        raise Unchecked("nobody pushes from a bare repository")
    hook = setup.find_hook(patient.sh, patient.fork)
    cause = "Nothing checks a push to the production branch from here beforehand."
    shown = printable(str(git.nearest(hook.path)))
    if hook.there in (There.NOTHING, There.STALE):
        missing = hook.there is There.NOTHING
        yield patient.fixable(
            Level.LOOK if missing else Level.BROKEN,
            f"{shown} does not exist." if missing else f"{shown} is {hook.there.value}.",
            cause,
            setup.HOOK,
            then=patient.command("doctor", check="hook", fix=True),
            **setup.hook_values(patient.fork, hook, patient.guard),
        )
    elif hook.there is not There.OURS:
        guard = patient.command("ci.guard", pre_push=True)
        what = f"{shown} is {hook.there.value} and does not call `ci.guard`."
        yield Diagnosis(Level.LOOK, what, cause, f"add to it: {guard}")
    elif not os.access(hook.path, os.X_OK):
        what = f"{shown} is not executable, so git ignores it."
        yield Diagnosis(Level.LOOK, what, cause, f"chmod +x {quote(str(git.nearest(hook.path)))}")


CHECKS = (
    Check("conflicts", "A merge is not finished, or somebody committed conflicts.", _conflicts),
    Check("head", "`git status` says: HEAD detached.", _head),
    Check("remotes", "A remote is wrong, or nothing was fetched from it.", _remotes),
    Check("clone", "Tasks refuse, or are slow, in this clone.", _clone),
    Check("git", "Git does not know an option.", _git),
    Check("leftovers", "Git says that something is locked, or checked out elsewhere.", _leftovers),
    Check("hook", "Nothing checks what is pushed.", _hook),
    Check("policy", "Tasks refuse because of the policy.", checks_policy.check),
    Check("detection", "No new release is detected.", _detection),
    Check("tags", "A tag is not what it was, or was never pushed.", _tags),
    Check("version", "The version does not match the release.", _version),
)
"""The checks of this subject."""
