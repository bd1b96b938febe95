"""Checks of a finished merge: what happened to both sides, and whether the result is sound."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

from ..fork import generated, records, tags, version_files
from ..fork.fork import Fork
from ..fork.patterns import globs
from ..fork.policy import CODE_OWNERS, POLICY_FILE, Policy, Side
from ..fork.tags import Tag
from ..merge import authorship, conflicts, earlier, gone, renames, syncs
from ..merge.hunks import Customisations
from ..merge.resolve import foreign_in_unit
from ..run import git
from ..run.errors import Refused
from ..run.shell import Shell, batches
from ..run.text import counted, listed, printable
from . import ledger, older, soundness
from .fates import Fate
from .findings import (
    Committed,
    Finding,
    added,
    asks_the_same,
    beyond,
    described,
    features,
    lost_before,
    of_lines,
    own_policy,
)
from .ledger import Ledger

_WORKFLOWS = ".github/workflows/"
_LOST = "Git's own merge of that merge's parents has them, so nobody decided that: bring them back."
_LEFT_OUT = (
    "They are in a conflict between that merge's parents, whose other side has nothing there: a"
    " person resolved the conflict without them. Bring them back, unless that was meant."
)


@dataclass(frozen=True)
class Verification:
    """What the checks of a merge found.

    ours, theirs, result: the fork's commit, upstream's and the merge; "" if
        no merge was found.
    account: what happened to every hunk of both sides; None if no merge was found.
    healed: the sync whose lost ancestry was taken into account; None if all is well.
    """

    findings: tuple[Finding, ...]
    ours: str = ""
    theirs: str = ""
    result: str = ""
    account: Ledger | None = None
    healed: syncs.Lost | None = None

    @property
    def wrong(self) -> list[Finding]:
        """The findings that stop an upgrade."""
        return [finding for finding in self.findings if finding.certain]

    @property
    def replaced(self) -> list[Finding]:
        """The changes whose lines are gone or replaced, of which words are gone."""
        said = "{} no longer has {} lines (line {} there); gone: {}".format
        return [
            Finding("replaced", said(e.path, e.side.whose, e.account.line, words), e.path, False)
            for e in (self.account.to_look_at if self.account else ())
            if (words := listed([f"`{word}`" for word in e.account.words]))
        ]

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong, and nothing lost."""
        return not self.wrong and not (self.account and self.account.lost)

    def as_json(self) -> dict[str, Any]:
        """Plain data for ``--json``."""
        account = self.account
        return {
            "ours": self.ours,
            "theirs": self.theirs,
            "result": self.result,
            "passed": self.passed,
            "healed": self.healed and {"sync": self.healed.sync, "parent": self.healed.parent},
            "findings": [finding.as_json() for finding in self.findings],
            "lost": [entry.as_json() for entry in account.lost] if account else [],
            "look_at": [entry.as_json() for entry in account.to_look_at] if account else [],
            "explained": [entry.as_json() for entry in account.explained] if account else [],
            "fork_files": account.fork_paths if account else 0,
            "upstream_files": account.upstream_paths if account else 0,
        }


def of_work_tree(sh: Shell, fork: Fork, work: Path, tag: Tag) -> Verification:
    """The checks of a tag's merge in a work tree."""
    state = git.work_state(sh, work)
    if state.merging:
        return Verification((Finding("committed", "the merge is still in progress"),))
    if state.dirty:
        dirty = (f"{printable(path)} has uncommitted changes" for path in state.dirty)
        return Verification(tuple(Finding("committed", what) for what in dirty))
    theirs = fork.refs.tag(tag.name) or git.commit_of(sh, work, f"refs/tags/{tag.name}")
    _, ours = git.merge_of(sh, work, theirs, state.head)
    if not ours:
        branch = printable(state.branch.removeprefix("refs/heads/")) or "HEAD"
        what = f"{branch} has no merge of {tag.name} ({theirs[:10]})"
        return Verification((Finding(MERGED, what),))
    ours = syncs.newer_side(sh, work, ours, theirs, state.head, fork.production_commit)
    more = [
        *_branch_commits(sh, fork, work, ours, theirs),
        *other_versions(sh, work, state.head, tag, fork.policy),
    ]
    return of_merge(sh, fork, work, ours, theirs, state.head, more)


def of_merge(
    sh: Shell,
    fork: Fork,
    repo: Path,
    ours: str,
    theirs: str,
    result: str,
    more: Sequence[Finding] = (),
) -> Verification:
    """The checks of any merge, whoever made it; they only need the hashes of three commits.

    more: findings of other checks.
    """
    policy = fork.policy
    # The hunks are git's work, the soundness of files is Python's, so both run at once: one after
    # the other they take 1.3 times as long on LiteLLM.
    with ThreadPoolExecutor(max_workers=1) as pool:
        accounting = pool.submit(_account, sh, fork, repo, ours, theirs, result)
        texts: dict[str, str | None] = {}
        snapshots = [Committed(sh, repo, commit, texts) for commit in (result, ours, theirs)]
        markers = conflicts.markers_left(sh, repo, [ours, theirs], result)
        manifest = own_policy(snapshots[0], snapshots[2])

        def renamed() -> Mapping[str, str]:
            names = renames.find(sh, repo, ours, result, policy).old
            return {old: new for new, old in names.items()}

        findings = [
            *more,
            *_not_the_release(sh, fork, repo, ours, theirs, result),
            *marked(markers),
            *_false_records(sh, repo, ours, theirs, result),
            *_unsound(sh, repo, result, policy, *snapshots),
            *_names(*snapshots),
            *_no_longer_imported(*snapshots),
            *_too_large(sh, repo, *snapshots),
            *_workflows(policy, *snapshots),
            *features(policy, snapshots[0], manifest.feature if manifest else None, renamed),
            *_shrunk(policy, *snapshots),
            *_taken_over(sh, fork, repo, *snapshots),
            *_lock_files(*snapshots),
            *added(sh, repo, ours, theirs, result, policy),
            *beyond(sh, repo, ours, theirs, result, policy),
        ]
        account, lost, own = accounting.result()
    if manifest and asks_the_same(manifest, snapshots[1].text(POLICY_FILE)):
        account = _with_look_at(account, POLICY_FILE)
    findings += _mixed_units(policy, own, snapshots[0], snapshots[2])
    findings += _edited_by_hand(policy, own, *snapshots[1:])
    return Verification(tuple(findings), ours, theirs, result, account, lost)


def marked(markers: Sequence[tuple[str, int]]) -> Iterator[Finding]:
    """A finding for each file with conflict markers, whose lines are given."""
    for path in dict.fromkeys(path for path, _ in markers):
        lines = [number for name, number in markers if name == path]
        where = f"line{'s' * (len(lines) > 1)} {listed([*map(str, lines)])}"
        what = printable(f"{path} has conflict markers in {where}")
        yield Finding(MARKERS, what, path, line=lines[0])


MERGED, TAKEN_OVER, MARKERS = "tag", "the fork's own file", "markers"
"""The names of the checks whether the release was merged, of `_taken_over`, and for markers."""
SUBJECT = "subject"
"""The name of the check of what people committed on a sync branch."""

_DECIDING = (".lfsconfig", ".github/settings.yml")
"""Files that decide where git sends large files and their credentials, and how an app configures
the repository on GitHub."""


def _taken_over(
    sh: Shell, fork: Fork, repo: Path, after: Committed, ours: Committed, theirs: Committed
) -> Iterator[Finding]:
    """Files that upstream changed although only the fork's people may decide their content: those
    that configure this program, GitHub or Git LFS, and CODEOWNERS if the fork has its own."""
    drops, _ = earlier.said(sh, repo, after.commit, ours.commit, theirs.commit)
    bases = git.merge_bases(sh, repo, ours.commit, theirs.commit)
    before = git.tree(sh, repo, bases[0]) if bases else {}
    owners = CODE_OWNERS if any(ours.tree.get(p) != before.get(p) for p in CODE_OWNERS) else ()
    own = (POLICY_FILE, *records.NOTES, *sorted(fork.policy.files.paths))
    for path in (*own, *_DECIDING, *owners):
        now, foreign = after.tree.get(path), theirs.tree.get(path)
        if foreign in (None, before.get(path)) or now in (None, ours.tree.get(path)):
            continue
        if any(drop.path == path and drop.side == Side.FORK.value for drop in drops):
            continue
        if path in records.NOTES and not _speaks(path, after, ours, theirs):
            continue
        back = f"restore --source={ours.commit[:10]} --" if path in ours.tree else "rm --"
        what = f"upstream changes {path}, which is only the fork's; to undo: git {back} {path}"
        yield Finding(TAKEN_OVER, what, path)


def _speaks(path: str, after: Committed, ours: Committed, theirs: Committed) -> bool:
    """Whether a file of records contains upstream's entries besides those on the fork's side."""
    try:
        now, own = (_entries(path, snapshot) for snapshot in (after, ours))
    except Refused:
        return True
    with suppress(Refused):  # what cannot be read is not in a file that can
        return not (now - own).isdisjoint(_entries(path, theirs))
    return False


def _entries(path: str, snapshot: Committed) -> set[str]:
    entries = records.READERS[path](snapshot.text(path))
    return {str(x) for x in (entries.items() if isinstance(entries, Mapping) else entries)}


def _false_records(sh: Shell, repo: Path, ours: str, theirs: str, result: str) -> Iterator[Finding]:
    """Decisions recorded in the merge that its result does not bear out."""
    _, false = earlier.said(sh, repo, result, ours, theirs)
    same = {(drop.side, drop.path, drop.reason): drop for drop in false}
    for drop in same.values():
        change = f"{Side(drop.side).whose} change to {drop.path}"
        what = f"{records.DROPS_FILE} says that {change} is dropped ({drop.reason}), and the merge "
        what += "has it: remove that record"
        yield Finding("record", printable(what), records.DROPS_FILE)


def _account(
    sh: Shell, fork: Fork, repo: Path, ours: str, theirs: str, result: str
) -> tuple[Ledger, syncs.Lost | None, Customisations]:
    """The ledger of a merge, the sync whose lost ancestry it takes into account, and the fork's own
    changes."""
    own = authorship.of_fork(sh, fork, ours, theirs)
    lost = authorship.lost_of_fork(sh, fork, ours, theirs)
    healed = syncs.healed_commit(sh, repo, ours, lost) if lost else ours
    drops, _ = earlier.said(sh, repo, result, ours, theirs)
    account = ledger.read(sh, repo, healed, theirs, result, own, fork.policy, drops)
    return older.explained(sh, fork, account, ours, theirs), lost, own


def _branch_commits(sh: Shell, fork: Fork, work: Path, ours: str, theirs: str) -> Iterator[Finding]:
    """Commits that another merge brought: neither the release nor the fork contains them. And what
    people committed on the sync branch under a subject that Guard stops.

    The fork's production branch may have been merged in again since, and so may what others
    committed on this very branch.
    """
    origin, production = fork.policy.remotes.origin, fork.policy.branches.production
    # --ignore-missing: not every clone tracks origin's production branch.
    question = "log --ignore-missing --no-show-signature --format=%H%x00%P%x00%s HEAD --not {known}"
    known = [theirs, ours, f"refs/remotes/{origin.name}/{production}"]
    listed = git.ask(sh, work, question, "commits", known=known).out.splitlines()
    facts = {name: rest for name, *rest in (line.split("\0", 2) for line in listed)}
    parents = {name: before.split() for name, (before, _) in facts.items()}
    # The branch's own commits, and where to look for them.
    own, ends = dict[str, None](), [*parents][:1]
    while ends:
        line, made = list[str](), ends.pop()
        while made in parents and made not in own:
            line.append(made)
            made = next(iter(parents[made]), "")
        if made in own or not own:
            own |= dict.fromkeys(line)
            ends += [other for commit in line for other in parents[commit][1:]]
    if foreign := parents.keys() - own.keys():
        commits = counted(len(foreign), "commit")
        yield Finding("only the tag", f"{commits} that the release does not contain")
    checked = fork.policy.messages.conventional
    if not checked or fork.policy.files.guard not in git.tree(sh, work, ours):
        return
    for name in own:
        subject = facts[name][1]
        if len(parents[name]) < 2 and not tags.conventional(subject):
            what = f"{name[:10]} ({printable(subject)}) is not a conventional commit"
            reword = (
                f"{git.at(git.nearest(work))} rebase --interactive --rebase-merges {name[:10]}^"
            )
            then = f"`{reword}`, with `reword` in place of `pick`"
            yield Finding(SUBJECT, f"{what}, and Guard stops it", then=then)


def other_versions(
    sh: Shell, repo: Path, commit: str, tag: Tag, policy: Policy
) -> Iterator[Finding]:
    """Version files that state another version than the tag's."""
    for file in policy.version_files:
        try:
            stated = version_files.read(git.show(sh, repo, commit, file.path) or "", file)
        except Refused as no:
            yield Finding("version", no.what.rstrip("."), file.path)
            continue
        if not stated:
            yield Finding("version", f"{file.path} states no version", file.path)
        for key, version in stated.items():
            if not version_files.same(version, tag.release):
                what = f"{file.path}: {key} is {version}, the tag is {tag.release}"
                yield Finding("version", what, file.path)


def _shrunk(
    policy: Policy, after: Committed, ours: Committed, theirs: Committed
) -> Iterator[Finding]:
    """Version files of which less than half is left: whatever set the version overwrote the
    rest."""
    for path in sorted(policy.version_paths):
        now, *sides = (len((s.text(path) or "").splitlines()) for s in (after, ours, theirs))
        if path in after.tree and now < min(sides) / 2:
            least = counted(min(sides), "line")
            what = f"{path} has {counted(now, 'line')} left of the {least} that both sides have"
            yield Finding("version", what, path)


def _not_the_release(
    sh: Shell, fork: Fork, repo: Path, ours: str, theirs: str, result: str
) -> Iterator[Finding]:
    """Whether a release was merged, or a commit on top of one that changed its files; and what only
    a merge in between lost."""
    released = {
        fork.refs.commits[f"refs/tags/{name}"]: name
        for name in fork.refs.tags()
        if (tag := tags.classify(name, fork.policy.tags)) and tag.stable
    }
    if theirs in released:
        return
    parents = sh.ask("git -C {repo} rev-list --parents -1 {theirs}", repo=repo, theirs=theirs)
    below = [parent for parent in parents.out.split()[1:] if parent in released]
    paths = git.differing(sh, repo, below[0], theirs) if below else []
    if paths:
        name, files = released[below[0]], counted(len(paths), "file")
        what = printable(f"theirs differs from {name} in {files}: {paths[0]}")
        yield Finding("release", what, paths[0], False, tuple(paths), (below[0], theirs))
        lost = lost_before(sh, repo, ours, theirs, result, below[0], {*paths})
        if lost.lines:
            whose = f"that the fork, its common ancestor with upstream, and {name} have, lost"
            whose += f" in {listed([*map(described, lost.by)], 2)}"
            then = _LEFT_OUT if lost.chosen else _LOST
            found = of_lines(lost.lines, whose, certain=True, then=then)
            yield replace(found, between=(below[0], ""))


def _too_large(
    sh: Shell, repo: Path, after: Committed, ours: Committed, theirs: Committed
) -> Iterator[Finding]:
    """Changed files that are too large to read and were compared as a whole."""
    changed = {
        path: name
        for path, (_, name) in after.tree.items()
        if {name} != {side.version(path) for side in (ours, theirs)}
    }
    sizes = git.large(sh, repo, changed.values())
    for path, name in changed.items():
        if name in sizes:
            what = f"{path} has {sizes[name]:,} bytes: it was compared as a whole, not line by line"
            yield Finding("size", printable(what), path, certain=False)


def _unsound(
    sh: Shell,
    repo: Path,
    result: str,
    policy: Policy,
    after: Committed,
    ours: Committed,
    theirs: Committed,
) -> list[Finding]:
    """Files that no longer parse, names that nothing defines, imports that lead nowhere."""
    # An unchanged upstream file was sound in upstream's tree.
    checked = [
        path
        for path, entry in after.tree.items()
        if theirs.tree.get(path) != entry and soundness.is_read(path) and path not in records.NOTES
    ]
    # A file that upstream deleted and the fork did not touch is upstream's business.
    gone = sorted(theirs.tree.keys() - after.tree.keys())
    sides = (ours, theirs)

    def name_on(number: int, path: str) -> str:
        if path in sides[number].tree:
            return path
        return renames.find(sh, repo, sides[number].commit, result, policy).old.get(path, path)

    problems = soundness.problems(
        checked,
        after,
        sides,
        deleted=gone,
        importers=lambda names, paths: _importers(sh, repo, result, names, paths),
        name_on=name_on,
    )
    return [Finding(x.check, printable(str(x)), x.path, line=x.line) for x in problems]


def _names(after: Committed, ours: Committed, theirs: Committed) -> Iterator[Finding]:
    """New names that git invented, that collide, or that Windows cannot have."""
    for path in soundness.invented(after.paths, ours.paths, theirs.paths):
        real = path.rpartition("~")[0]
        what = f"{path}: git put one side of {real} there; decide on {real}, and git rm this"
        yield Finding("invented name", printable(what), path)
    trees = (after, ours, theirs)
    lacking, *before = (soundness.unmapped(x.tree, x.text(".gitmodules") or "") for x in trees)
    for path in sorted(lacking.difference(*before)):
        what = f"{path}: .gitmodules does not name this submodule; restore its lines, or git rm it"
        yield Finding("submodule", printable(what), path)
    for path, why in soundness.awkward(after.paths, ours.paths):
        yield Finding("name", printable(f"{path}: {why}"), path, certain=False)


def _no_longer_imported(after: Committed, ours: Committed, theirs: Committed) -> Iterator[Finding]:
    """Names of which the merge has the use of one side, and no import."""
    for path in sorted(after.tree.keys() & ours.tree.keys() & theirs.tree.keys()):
        if after.tree[path] in (ours.tree[path], theirs.tree[path]):
            continue
        texts = [snapshot.text(path) for snapshot in (after, ours, theirs)]
        text, *sides = (text or "" for text in texts)
        for name, line in gone.no_longer_imported(path, text, sides):
            what = f"{path}:{line} uses {name}, which a side imports and the merge does not"
            yield Finding("import", printable(what), path, False, line=line)


def _importers(
    sh: Shell, repo: Path, result: str, names: Sequence[str], paths: Sequence[str]
) -> set[str]:
    """The Python files that mention one of some names."""
    words = ["git", "-C", str(repo), "--literal-pathspecs", "grep", "-l", "-z", "-w", "-E"]
    words += ["--full-name", "-e"]
    importing: set[str] = set()
    patterns = map("|".join, batches([re.escape(name) for name in names], 4000))
    for pattern, batch in product(patterns, list(batches(paths))):
        answer = sh.read([*words, pattern, result, "--", *batch])
        listed = git.checked(answer, "importing files", 1).fields()
        importing.update(entry.partition(":")[2] for entry in listed)
    return importing


def _workflows(
    policy: Policy, after: Committed, ours: Committed, theirs: Committed
) -> Iterator[Finding]:
    """Disabled workflows that run again, and new ones that strangers can start."""
    off = globs(policy.workflows.disabled)
    for path in sorted(after.tree.keys() & theirs.tree.keys() - ours.tree.keys()):
        if off.match_file(path):
            yield Finding("disabled workflow", f"{path} is active again", path)
    new = [
        path
        for path, entry in after.tree.items()
        if path.startswith(_WORKFLOWS)
        and path.endswith((".yml", ".yaml"))
        and ours.tree.get(path) != entry
    ]
    for problem in soundness.dangerous_triggers(new, after, ours):
        yield Finding("workflow trigger", printable(str(problem)), problem.path, certain=False)


def _with_look_at(account: Ledger, path: str) -> Ledger:
    """The account with what a file lost as something to look at."""
    entries = [
        replace(e, account=replace(e.account, fate=Fate.SUPERSEDED))
        if e.path == path and e.account.fate is Fate.LOST
        else e
        for e in account.entries
    ]
    return replace(account, entries=tuple(entries))


def _mixed_units(
    policy: Policy, own: Customisations, after: Committed, theirs: Committed
) -> Iterator[Finding]:
    """Generated trees that mix upstream's build with another one. Files that a fork commit added
    and upstream lacks belong to the fork."""
    paths = after.tree.keys() | theirs.tree.keys()
    differing = [path for path in paths if after.tree.get(path) != theirs.tree.get(path)]
    for rule in policy.units:
        if builds := foreign_in_unit(rule, own, differing, theirs.tree.keys()):
            # What is the same as one of these is of that build, too, whoever added it.
            same = {after.version(path) for path in builds} - {""}
            copies = (path for path in differing if after.version(path) in same)
            builds.update(path for path in copies if rule.matcher.match_file(path))
            count = counted(len(builds), "generated file")
            what = f"{count} not from upstream's build, such as {min(builds)}"
            found, both = tuple(sorted(builds)), (theirs.commit, after.commit)
            yield Finding("generated", printable(what), found[0], False, found, both)


def _edited_by_hand(
    policy: Policy, own: Customisations, ours: Committed, theirs: Committed
) -> Iterator[Finding]:
    """Files in generated trees that a fork commit edited: regenerating the tree, or taking
    upstream's, undoes the edit."""
    for rule in policy.units:
        edited = {
            path: commit
            for path, commit in authorship.edited_by_hand(own, rule.paths).items()
            if path in ours.tree and ours.tree[path] != theirs.tree.get(path)
        }
        if edited:
            files = [f"{path} ({commit.name[:10]})" for path, commit in sorted(edited.items())]
            what = f"edited by hand, and regenerating loses the edit: {listed(files)}"
            both = (theirs.commit, ours.commit)
            yield Finding("generated", what, min(edited), False, tuple(sorted(edited)), both)


def _lock_files(after: Committed, ours: Committed, theirs: Committed) -> Iterator[Finding]:
    """Lock files that lost an entry which the manifest names and a side has."""
    for path, manifests, command in generated.locks(after.tree.keys()):
        lost: dict[str, set[str]] = {}
        for side, other in ((ours, theirs), (theirs, ours)):
            if side.version(path) in ("", after.version(path)):
                continue
            for manifest in manifests:
                # A side's lock file has everything that its manifest names.
                if all(after.version(p) == other.version(p) for p in (path, manifest)):
                    continue
                texts = after.text(manifest), side.text(path), after.text(path)
                if None not in texts and (gone := generated.missing(manifest, *map(str, texts))):
                    lost.setdefault(manifest, set()).update(gone)
        for manifest, names in lost.items():
            what = f"{path} lacks {listed(sorted(names))}, which {manifest} names"
            what = f"{printable(what)}; to regenerate it: {printable(command)}"
            yield Finding("lock file", what, path, certain=False)
