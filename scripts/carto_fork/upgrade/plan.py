"""The checks before an upgrade writes anything, and its plan."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from shlex import quote

from packaging.version import Version

from ..audit import healing
from ..ci import notify
from ..fork import records, releases, tags, version_files
from ..fork.branches import (
    DIRECT,
    DIRECT_CHECKED_OUT,
    DIRECT_ELSEWHERE,
    PRODUCTION_MOVED,
    PUSHES,
    TIDIES,
    rebased_branch,
    reopened,
    taking_production,
)
from ..fork.fork import Fork, require_whole_history
from ..fork.releases import Target
from ..fork.tags import Tag
from ..merge import authorship, syncs
from ..merge.reverted import reverted_sync
from ..run import files, git, github
from ..run.errors import Nothing, Refused
from ..run.shell import Shell
from ..run.steps import Condition, Plan
from ..run.text import counted, listed
from . import begun, steps
from .begun import Options


@dataclass(frozen=True)
class Upgrade:
    """An upgrade that is allowed to start.

    before: the version on the production branch.
    commits: how many upstream commits it brings.
    sync, work: the sync branch and its work tree.
    finished: whether it is published already and has passed the checks that the options ask for.
    notes: what a person should know.
    signature: what git says about the tag's signature; "" if it has none.
    """

    target: Target
    plan: Plan
    before: str
    commits: int
    sync: str
    work: Path
    finished: bool
    notes: tuple[str, ...]
    signature: str


def require_able(sh: Shell, fork: Fork, options: Options) -> None:
    """Raises Refused if nobody could merge: a shallow clone, no identity, or, with --direct, a
    rebase of the production branch in progress."""
    repo = fork.path
    require_whole_history(fork)
    git.require_identity(sh, repo)
    if options.direct:
        _require_no_rebase(sh, fork)


def fetch_plan(fork: Fork, target: Target) -> Plan:
    """The plan for fetching what the upgrade needs from both remotes."""
    sync = fork.policy.branches.sync_for(target.tag.name)
    values = fork.values() | {
        "tag": target.tag.name,
        "base": target.base,
        "sync": sync,
        "start": target.pushed or target.base,
        "pushed": target.pushed,
        "syncs": fork.policy.branches.sync_for("*"),
    }
    production = fork.origin_production
    published = fork.tracking(fork.policy.remotes.origin, sync)
    conditions: set[Condition] = set()
    if fork.refs.commits.get(production) != target.base:
        conditions.add(PRODUCTION_MOVED)
    if target.pushed and fork.refs.commits.get(published) != target.pushed:
        conditions.add(steps.PUSHED_BEFORE)
    origin, commits = fork.policy.remotes.origin, fork.refs.commits
    others = [name for name in target.syncs if name != sync]
    if any(commits.get(fork.tracking(origin, name)) != target.syncs[name] for name in others):
        conditions.add(steps.OTHERS_PUSHED)
    untouched = "Your checkout, your branches and origin are unchanged."
    return Plan(values, frozenset(conditions), untouched)


def prepare(sh: Shell, fork: Fork, target: Target, options: Options) -> Upgrade:
    """Check every precondition and make the plan.

    fork: with the policy at the base. Raises Refused if the upgrade may not start.
    """
    repo, branches = fork.path, fork.policy.branches
    tag, sync = target.tag, branches.sync_for(target.tag.name)
    before = _version_before(sh, fork, target)
    local = fork.refs.commits.get(f"refs/heads/{sync}", "")
    _require_same_tag(sh, fork, target)
    if not options.unhealed:
        _require_whole(sh, fork, target, options)
    # If a run with --direct was killed after its push, only its last steps are left.
    if not (options.direct and local == target.base):
        _require_newer(sh, fork, target, before, options)
    trees = git.worktrees(sh, fork.path)
    work, checkout = work_trees(fork, trees, sync, tag.name)
    notes = _of_fork(sh, fork, target, trees, direct=options.direct)
    notes += _of_branch(sh, fork, target, local, work, options)
    _require_clean(sh, fork, target, work, checkout if options.direct else None)

    lost, warnings = _lost_ancestry(sh, fork, target, local, options)
    notes += warnings
    commands = {name: getattr(fork.policy.commands, name) for name in steps.CHECKS}
    conditions = _publishing(fork, options, checkout)
    if lost:
        conditions.add(healing.HEALS)
    saved = begun.pending(sh, fork, tag.name, work, target.pushed)
    if saved:
        conditions.add(steps.SAVED)
    if saved or begun.ref_of(tag.name) in fork.refs.commits:
        conditions.add(steps.RESTORES)
    if options.tests:
        conditions |= {steps.CHECKS[name] for name, lines in commands.items() if lines}
    if Path.cwd().is_relative_to(os.path.abspath(work)):
        # Keep the work tree if it is the current directory.
        conditions.discard(TIDIES)
    values = _values(fork, target, work, checkout) | healing.values(lost) | {"saved": saved}
    plan = Plan(
        values=values,
        conditions=frozenset(conditions),
        untouched=f"Your checkout, {branches.production} and {values['origin']} are unchanged.",
        commands=commands,
        work=work,
        environment=fork.policy.commands.environment,
        logs=git.nearest(fork.notes(tag.name)),
    )
    checked = {"verify"} | {x for x in ("test", "lint") if steps.CHECKS[x] in conditions}
    finished = (
        PUSHES in conditions
        and local == target.pushed != ""
        and not work.exists()
        and git.is_ancestor(sh, repo, target.commit, local)
        and all(fork.refs.commits.get(_passed(tag, check)) == local for check in checked)
    )
    brings = git.count(sh, repo, target.commit, target.base)
    signed = _signature(sh, repo, tag.name)
    return Upgrade(target, plan, before, brings, sync, work, finished, tuple(notes), signed)


def _signature(sh: Shell, repo: Path, tag: str) -> str:
    """Git's verdict on a tag's signature, on one line; "" if the tag is not signed."""
    ref = f"refs/tags/{tag}"
    text = sh.ask("git -C {repo} cat-file tag {ref}", repo=repo, ref=ref)
    if not text.ok or "\n-----BEGIN " not in text.out:
        return ""
    answer = sh.ask("git -C {repo} verify-tag {tag}", repo=repo, tag=tag)
    said = [line.strip() for line in answer.err.splitlines() if "signature" in line.lower()]
    return said[0] if answer.ok and said else "signed, but the signature cannot be checked here"


def _lost_ancestry(
    sh: Shell, fork: Fork, target: Target, local: str, options: Options
) -> tuple[syncs.Lost | None, list[str]]:
    """The sync that the upgrade heals first, and notes about it.

    Raises Refused if there is one and neither --heal nor --unhealed was given.
    """
    releases.require_common_history(sh, fork, target.base, target.commit)
    if options.unhealed:
        return None, []
    lost = authorship.lost_of_fork(sh, fork, target.base, target.commit)
    if lost is None or (local and git.is_ancestor(sh, fork.path, lost.parent, local)):
        return None, []
    healing.require_provable(fork, lost, options.typed(unhealed=True))
    note = ""
    if gone := healing.left_out(sh, fork, target.base, target.commit, lost):
        files, sides = len({e.path for e in gone}), {e.side.value for e in gone}
        whose = f"{sides.pop()} change" if len(sides) == 1 else "change"
        note = (
            f"the squashed sync lost {counted(len(gone), whose)} in "
            f"{counted(files, 'file')}, and healing does not restore that."
        )
    if not options.heal:
        before, after = healing.cost(sh, fork, target.base, target.commit, lost)
        raise Refused(
            f"{fork.policy.branches.production} has lost the ancestry of a sync: "
            f"{healing.described(lost)}. This merge would stop with {counted(before, 'conflict')}; "
            f"once the ancestry is recorded, with {after}.{f' But {note}' if note else ''}",
            then="see `fork.heal --check`, then "
            * bool(note)
            + f"run {options.typed(heal=True)} to record it first, or "
            f"{options.typed(unhealed=True)} to merge without recording it.",
        )
    return lost, [note] if note else []


def _require_whole(sh: Shell, fork: Fork, target: Target, options: Options) -> None:
    """Raises Refused if a sync in the production branch was reverted or brought nothing."""
    if reverted := reverted_sync(sh, fork, target.base, None, [target.commit]):
        raise Refused(
            f"{reverted.said}.",
            then=f"{reverted.undone(fork)}, publish that, then run the same command again; or run "
            f"{options.typed(unhealed=True)} to merge without that.",
        )


def _values(fork: Fork, target: Target, work: Path, checkout: Path | None) -> dict[str, str]:
    """The placeholders of an upgrade's steps, besides those of healing, with their values."""
    tag = target.tag
    message = fork.policy.messages.merge.replace("{tag}", tag.name)
    return fetch_plan(fork, target).values | {
        "commit": target.commit,
        "version": tag.release,
        "work": str(work),
        "place": os.path.abspath(work),
        "merging": str(git.merge_head(work)),
        "checkout": str(checkout or ""),
        "message": message.replace("{production}", fork.policy.branches.production),
        "generated": f"chore: generate files anew for {tag.name}",
    }


def _publishing(fork: Fork, options: Options, checkout: Path | None) -> set[Condition]:
    """The conditions of the steps that publish.

    checkout: where the production branch is checked out, if anywhere.
    """
    if not options.push:
        return set()
    if not options.direct:
        origin = fork.policy.remotes.origin.url
        requests = options.request and github.can_be_asked(fork.gh, origin)
        slack = requests and os.environ.get(notify.VARIABLE)
        wanted = {steps.REQUESTED: requests, steps.SLACK: slack, PUSHES: True, TIDIES: True}
        return {condition for condition, holds in wanted.items() if holds}
    if checkout:
        return {DIRECT, TIDIES, DIRECT_CHECKED_OUT}
    has_local = fork.local_production in fork.refs.objects
    return {DIRECT, TIDIES} | ({DIRECT_ELSEWHERE} if has_local else set())


def _passed(tag: Tag, check: str) -> str:
    """The ref that records which commit has passed a check."""
    return f"refs/carto-fork/passed/{tag.name}/{check}"


def _version_before(sh: Shell, fork: Fork, target: Target) -> str:
    """The version that the production branch states; "" if the policy names no version file."""
    for file in fork.policy.version_files:
        where = f"{file.path} on {fork.policy.branches.production}"
        text = git.show(sh, fork.path, target.base, file.path)
        if text is None:
            raise Refused(f"{where} is missing.", then="correct `version_files` in the policy.")
        if stated := version_files.read(text, file, where):
            return next(iter(stated.values()))
    return ""


def _require_newer(sh: Shell, fork: Fork, target: Target, before: str, options: Options) -> None:
    tag, production = target.tag, fork.policy.branches.production
    if git.is_ancestor(sh, fork.path, target.commit, target.base):
        problem = f"{production} already contains {tag.name}."
        raise Nothing(problem, then="`next` says what to do now.")
    try:
        older = before and (tag.version, tag.build) <= (Version(before), Version("0"))
    except ValueError:
        problem = f"the version on {production}, {before!r}, is not a version."
        raise Refused(problem, then="correct it there with `bump-version`.") from None
    if not older:
        return
    problem = f"{tag.name} is not newer than {before}, the version on {production}"
    there = releases.upstream_refs(sh, fork) or fork.refs
    contained = releases.contained(sh, fork, target.base, there)
    lower = healing.lowering(begun.plain, contained)
    lower = f"; or, {healing.ONLY_RAISED}: `{lower}`" if lower else ""
    if Version(before) != tag.version:
        newer = "choose a newer release; `status` names the newest one"
        other = lower if contained and tag > contained else ""
        raise Refused(f"{problem}.", then=f"{newer}{other}.")
    if options.unhealed:
        return
    anew = f"run {options.typed(unhealed=True)} to merge {tag.name} all the same"
    if lost := authorship.lost_of_fork(sh, fork, target.base, target.commit):
        record = "see `fork.heal --check`" if lost.hidden else "record it with `fork.heal`"
        raise Refused(f"{problem}: {healing.described(lost)}.", then=f"{record}; or {anew}.")
    raise Refused(
        f"{problem}, although {production} contains no merge of it, and nothing proves that a "
        "commit brought it.",
        then=f"{anew}{lower}.",
    )


def _require_same_tag(sh: Shell, fork: Fork, target: Target) -> None:
    """Raises Refused if the fork has merged this tag before and upstream has moved it since."""
    name, production = target.tag.name, fork.policy.branches.production
    releases.require_as_merged(sh, fork, target.base, name, target.commit)
    pin = records.read_pins(git.show(sh, fork.path, target.base, records.TAGS_FILE)).get(name)
    if pin and pin.commit != target.commit:
        raise Refused(
            f"upstream has moved the tag {name}: {records.TAGS_FILE} says {pin.commit}, but now it "
            f"is {target.commit}.",
            then=f"ask upstream why. If it is right, correct {records.TAGS_FILE} on {production}.",
        )


def place_of(fork: Fork, tag: str) -> Path:
    """The path of an upgrade's work tree."""
    return fork.place_for(fork.policy.branches.sync_for(tag))


def work_trees(
    fork: Fork, trees: Sequence[git.Worktree], sync: str, tag: str
) -> tuple[Path, Path | None]:
    """The work tree of the upgrade, and the one with the production branch, if there is one.

    Raises Refused if the sync branch is checked out elsewhere, or something else is in its place.
    """
    own, branch = place_of(fork, tag), f"refs/heads/{sync}"
    present = [tree for tree in trees if not tree.missing]
    if elsewhere := next((t.path for t in present if t.branch == branch and t.path != own), None):
        raise Refused(
            f"{sync} is checked out in {elsewhere}, but only this upgrade may use it.",
            then=f"{git.at(elsewhere)} switch {fork.policy.branches.production}, "
            "then run the same command again.",
        )
    is_ours = any(tree.path == own and tree.branch == branch for tree in present)
    if os.path.lexists(own) and not (is_ours and (own / ".git").is_file()):
        problem = f"{own} exists and is not the upgrade's work tree, which belongs there."
        away = f"mv {quote(str(own))} {quote(f'{own}.away')}"
        raise Refused(problem, then=f"{away}, then run the same command again.")
    checkout = next((tree for tree in trees if tree.branch == fork.local_production), None)
    if checkout and checkout.missing:
        raise Refused(
            f"{fork.policy.branches.production} is checked out in {checkout.path}, which is gone.",
            then=f"{git.at(fork.path)} worktree prune, then run the same command again.",
        )
    return git.nearest(own), checkout.path if checkout else None


def _require_clean(
    sh: Shell, fork: Fork, target: Target, work: Path, checkout: Path | None
) -> None:
    """Raises Refused if a person's uncommitted work is in the way."""
    if checkout:
        _require_idle(sh, checkout, fork, target)
    if (work / ".git").exists():
        state = git.work_state(sh, work)
        if state.merging and state.merging != target.commit:
            then = "then run the same command again."
            merge = begun.by_hand(sh, fork, work, state, then, but=target.tag.name)
            raise Refused(f"{merge.what}.", then=merge.how)
        half_done = version_files.half_done(sh, work, fork.policy, target.tag.release)
        if _is_recorded(sh, fork, target, work):
            half_done.add(records.TAGS_FILE)
        dirty = tuple(path for path in state.dirty if path not in half_done)
        if dirty and not state.merging:
            discard = f"`{git.at(work)} restore --staged --worktree :/`"
            then = f"commit them, or discard them with {discard}, then run the same command again."
            if reopened(sh, work, state):  # they resolve its pull request
                then = f"`resolve-conflicts --pr {state.branch.removeprefix('refs/heads/')}`"
            raise Refused(f"{work} has uncommitted changes: {listed(dirty)}.", then=then)
        merged = state.merging or git.is_ancestor(sh, work, target.commit, state.head)
        if state.untracked and not merged:
            # If the merge fails, the work tree is removed with everything in it.
            problem = f"{work} has files that are not the upgrade's: {listed(state.untracked)}."
            away = f"put them away with {git.at(work)} stash --include-untracked"
            raise Refused(problem, then=f"{away}, then run the same command again.")


def _is_recorded(sh: Shell, fork: Fork, target: Target, work: Path) -> bool:
    """Whether a killed run has written the record of the tag, and nothing else."""
    ref, now = f"refs/tags/{target.tag.name}", files.text_below(work, records.TAGS_FILE)
    if ref not in fork.refs.objects or now is None:
        return False
    pin = records.Pin(fork.refs.objects[ref], target.commit)
    committed = git.show(sh, work, "HEAD", records.TAGS_FILE)
    return now == records.add_pin(committed, target.tag.name, pin)


def _require_no_rebase(sh: Shell, fork: Fork) -> None:
    """Raises Refused if the production branch is being rebased: git lists it as detached."""
    for tree in git.worktrees(sh, fork.path):
        if not tree.missing and rebased_branch(sh, tree.path) == fork.local_production:
            raise Refused(
                f"{fork.policy.branches.production} is being rebased in {tree.path}.",
                then=f"{git.at(tree.path)} rebase --continue (or --abort), "
                "then run the same command again.",
            )


def _require_idle(sh: Shell, checkout: Path, fork: Fork, target: Target) -> None:
    """Raises Refused if the checkout of the production branch is not clean."""
    branch, state = fork.policy.branches.production, git.work_state(sh, checkout, submodules=False)
    if state.merging:
        left = begun.in_conflict(sh, checkout, state)
        files_ = f", with {counted(len(left), 'conflict')}: {listed(sorted(left))}" if left else ""
        raise Refused(
            f"a merge is in progress in {checkout}, where {branch} is checked out{files_}.",
            then=begun.way_out(checkout, left, "then run the same command again."),
        )
    if not state.dirty:
        return
    then = "commit or stash them, then run the same command again."
    sync = fork.refs.commits.get(f"refs/heads/{fork.policy.branches.sync_for(target.tag.name)}")
    # Before the merge is committed, the sync branch is where production is, too.
    if sync == target.base and git.is_ancestor(sh, fork.path, target.commit, sync):
        then = (
            "an earlier run moved origin's branch and was killed while it updated this checkout; "
            f"if you changed nothing else: {git.at(checkout)} reset --hard {target.base}"
        )
    raise Refused(
        f"{checkout}, where {branch} is checked out, has uncommitted changes: "
        f"{listed(state.dirty)}.",
        then=then,
    )


# --- What a person should know --------------------------------------------------------------------


def _of_fork(
    sh: Shell, fork: Fork, target: Target, trees: Sequence[git.Worktree], *, direct: bool
) -> list[str]:
    """What a person should know. Raises Refused if the local production branch has diverged."""
    notes = []
    repo, branches, origin = fork.path, fork.policy.branches, fork.policy.remotes.origin.name
    if target.asked != target.tag.name:
        notes.append(f"upstream has no tag {target.asked}; using {target.tag.name}.")
    notes += _of_others(sh, fork, target, trees, direct=direct)
    if fork.local_production in fork.refs.objects:
        local = fork.refs.commits[fork.local_production]
        ahead, behind = git.ahead_behind(sh, repo, local, target.base)
        if ahead and behind:
            raise Refused(
                f"your {branches.production} and {origin}'s have diverged "
                f"({ahead} and {behind} commits of their own).",
                then=f"{git.at(repo)} log --oneline --left-right "
                f"{branches.production}...{origin}/{branches.production}",
            )
        if ahead and direct:
            has = f"your {branches.production} has {counted(ahead, 'commit')} that {origin} lacks"
            then = f"{git.at(repo)} push {origin} {branches.production}"
            sync = fork.refs.commits.get(f"refs/heads/{branches.sync_for(target.tag.name)}")
            if begun.has_only_content(sh, repo, local, sync or target.pushed):
                has += f", with what {target.tag.name} brings and without its history: a squash"
                at, there = git.at(repo), f"{origin}/{branches.production}"
                then = f"{at} switch {branches.production} && {at} reset --keep {there}"
                if ahead > 1:
                    then = f"{at} rebase --interactive {there}, with `drop` at the squash"
            raise Refused(f"{has}.", then=then)
        if ahead:
            notes.append(
                f"your {branches.production} has {counted(ahead, 'commit')} that {origin} lacks; "
                f"{'it is' if ahead == 1 else 'they are'} not part of this upgrade."
            )
    return notes


def _of_others(
    sh: Shell, fork: Fork, target: Target, trees: Sequence[git.Worktree], *, direct: bool
) -> Iterator[str]:
    """What a person should know about other upgrades: those that are paused here, and the older
    ones that are on origin."""
    branches, origin = fork.policy.branches, fork.policy.remotes.origin.name

    def release_of(branch: str) -> Tag | None:
        return tags.classify(branches.tag_of(branch) or "", fork.policy.tags)

    for tree in fork.merging(sh, trees):
        other = release_of(git.work_state(sh, tree).branch.removeprefix("refs/heads/"))
        if other is None or other == target.tag:
            continue
        older, newer = sorted([other, target.tag])
        yield (
            f"the upgrade to {other.name} is paused in {tree}; once both are published, the pull "
            f"request of {newer.name} replaces that of {older.name}."
        )
    if direct or target.pushed:
        return  # the pull request of this one has replaced the others, or said why not
    landed = None
    if git.has_object(sh, fork.path, target.base):  # --dry fetches nothing
        landed = releases.contained(sh, fork, target.base, fork.refs)
    for name in sorted(target.syncs):
        one = release_of(name)
        # If it was squashed and healed, production lacks the branch, but not its release.
        if one and one < target.tag and not (landed and one <= landed):
            yield (
                f"{name} is on {origin}, too; if its pull request is open, that of "
                f"{target.tag.name} replaces it."
            )


def _of_branch(
    sh: Shell, fork: Fork, target: Target, local: str, work: Path, options: Options
) -> list[str]:
    """What a person should know about an earlier run's sync branch.

    local: the commit of the local sync branch, "" for none. work: its work tree's path.
    Raises Refused if origin's has commits that the local one lacks, or, with --direct, if the
    production branch has new commits.
    """
    repo, origin = fork.path, fork.policy.remotes.origin.name
    production, sync = (
        fork.policy.branches.production,
        fork.policy.branches.sync_for(target.tag.name),
    )
    if ahead := begun.overtaken(sh, fork, target.tag.name, target.pushed, begun.plain):
        _, behind = git.ahead_behind(sh, repo, local, target.pushed)
        raise Refused(
            f"{sync} on {origin} has {counted(behind, 'commit')} that yours lacks.",
            then=f"`{ahead.line}` ({ahead.does}), then run the same command again.",
        )
    start = local or target.pushed
    notes = []
    if start and not local:
        notes.append(f"{origin} has {sync} from an earlier run; this continues it.")
    if not start or git.is_ancestor(sh, repo, target.base, start):
        return notes
    merging = git.work_state(sh, work).merging if (work / ".git").exists() else ""
    if options.direct and merging in ("", target.commit):  # another merge is refused later
        problem = f"{production} has new commits since {sync} was started."
        take = taking_production(fork, sync, work)
        if merging:
            stop = replace(options, direct=False, push=False)
            take = f"finish the merge: {stop.typed()}"
        raise Refused(problem, then=f"{take}; then run the same command again.")
    both = "; the pull request shows both" * bool(github.slug_of(fork.policy.remotes.origin.url))
    notes.append(f"{production} has new commits since {sync} was started{both}.")
    return notes
