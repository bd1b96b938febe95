"""What `ci.guard` does: keep what does not belong there out of the production branch."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..ci import notify
from ..fork import records, releases, tags, version_files
from ..fork.fork import Fork, require_whole_history
from ..fork.policy import POLICY_FILE, Loaded, load_policy
from ..fork.session import Session
from ..fork.tags import TagUse
from ..merge import authorship, conflicts, syncs
from ..merge.hunks import Customisations
from ..merge.reverted import Empty, reverted_sync
from ..merge.syncs import newer_side
from ..run import git
from ..run.errors import CheckFailed, Refused, Usage
from ..run.shell import Shell
from ..run.text import advice, counted, plain, printable
from . import approvals, places, ranges, verify
from .findings import EVIL, Finding, described
from .ranges import Range


def guard(s: Session, among: str, pre_push: bool) -> None:
    """Check what would enter the production branch. Raises CheckFailed with all findings."""
    if among and pre_push:
        raise Usage("--range and --pre-push exclude each other.", then="choose one of them.")
    if pre_push and sys.stdin.isatty():
        then = f"`{s.command('ci.guard')}` checks what is checked out."
        raise Usage("--pre-push reads what git gives its hook, and nobody types that.", then=then)
    # Read git's input first: git waits until somebody reads it.
    pushed = sys.stdin.read() if pre_push else None
    if pre_push:
        s.again = "git push"  # which a person typed
    if pushed == "":  # so it is also with a branch that is behind, which git then refuses
        s.console.say("Git pushes nothing: origin has it, or git refuses the push.")
        return
    fork = s.open_fork(whatever_policy=True)
    checked: list[Range] = []
    findings: list[Finding] = []
    if problem := fork.problem:
        corrected = ranges.corrected(s, fork, among, pushed, problem)
        more = " What is checked here corrects it, and is checked by its own policy."
        what = f"{problem.what}{more if corrected else ''}"
        findings.append(Finding("policy", what, POLICY_FILE, certain=False))
        fork = corrected or fork
    require_whole_history(fork)
    if not fork.problem:
        checked = list(ranges.find(s, fork, among, pushed))
    if checked:
        upstream = _Upstream(s.sh, fork)
        for each in checked:
            findings += approvals.proposals(s, fork, each)
            findings += _check(s.sh, fork, upstream, each)
        if not upstream.online:
            name = fork.policy.remotes.upstream.name
            s.console.say(f"Note: {name} cannot be reached; using the tags in this clone.")
    _report(s, fork, checked, list(dict.fromkeys(findings)))


def _report(s: Session, fork: Fork, checked: Sequence[Range], every: Sequence[Finding]) -> None:
    """Print what was found. Raises CheckFailed if that blocks something."""
    findings = [finding for finding in every if finding.certain]
    notes = [finding.what for finding in every if not finding.certain]
    if s.json:
        ranges_json = [
            {"what": each.what, "base": each.base, "head": each.head} for each in checked
        ]
        said = [finding.as_json() for finding in findings]
        s.print_json({"ranges": ranges_json, "findings": said, "passed": not findings})
    for each in checked:
        # Reverting a sync in an emergency is not blocked; a new merge that brings nothing is.
        gone = reverted_sync(s.sh, fork, each.head)
        if isinstance(gone, Empty):
            old = git.is_ancestor(s.sh, fork.path, gone.commit.name, each.base)
            gone = gone if old else None
        if gone:
            s.console.say(f"{gone.said}. To restore it:", "yellow")
            s.console.row("    ", gone.undone(fork))
            s.console.annotate("Reverted", f"{gone.said}.", sure=False)
            notify.summarize(f"# A sync is reverted\n\n{plain(gone.said)}.")
    for note in dict.fromkeys(notes):
        s.console.say(f"Note: {note}")
        s.console.annotate("Note", note, sure=False)
    if not checked:
        production = "production" if fork.problem else fork.policy.branches.production
        s.console.say(f"Nothing in this push goes to {production}.")
        return
    what = " and ".join(each.what for each in checked)
    if not findings:
        s.console.say(f"Nothing blocks {what}.", "green")
        return
    for finding in findings:
        at = finding.line
        s.console.annotate(finding.check, finding.what, path=finding.path, line=at)
    rows = (f"- **{finding.check}**: {plain(finding.what)}" for finding in findings)
    then = s.spelled_out(_then(s, checked, findings))
    following = (f"\n{advice(line)}" for line in f"Next: {then}".split("\n"))
    notify.summarize("\n".join(["# Not for the production branch", "", *rows, *following]))
    lines = (f"\n  {finding.check}: {finding.what}" for finding in findings)
    problem = f"{counted(len(findings), 'finding')} in {what}:{''.join(lines)}"
    raise CheckFailed(problem, then=then)


def _then(s: Session, checked: Sequence[Range], findings: Sequence[Finding]) -> str:
    """What to do about findings."""
    checks = {finding.check for finding in findings}
    if checks == {approvals.APPROVAL}:
        ways = dict.fromkeys(finding.then for finding in findings)
        return (
            "\n".join(filter(None, ways))
            or "once it is approved, run this job again (Re-run jobs)."
        )
    if checks == {approvals.PROPOSAL}:
        return "read what was proposed, and accept it; then run the same command again."
    if "markers" in checks and (sync := next((each.sync for each in checked if each.sync), "")):
        return s.command("resolve-conflicts", pr=sync)
    ways = dict.fromkeys(f"\n{x.check}: {x.then}" for x in findings if x.then)
    return "".join(["fix the branch, then run the same command again.", *ways])


# --- The checks ----------------------------------------------------------------------------------


class _Upstream:
    """What we know about upstream: its branches in this clone, and its tags, from upstream itself
    if it answers.

    tags: upstream's, or else this clone's.
    stable, other: release names by commit; stable releases are not in `other`.
    """

    def __init__(self, sh: Shell, fork: Fork) -> None:
        remotes, branches = fork.policy.remotes, fork.policy.branches
        remote = releases.upstream_refs(sh, fork)
        self.online = remote is not None
        mirrors = (fork.tracking(remotes.origin, branches.mirror), f"refs/heads/{branches.mirror}")
        self.tags = remote or fork.refs
        local = fork.refs.commits
        self.tips = [*fork.upstream_tips, *(local[ref] for ref in mirrors if ref in local)]
        # A job's clone may know it only from what is checked.
        tip = remote.commits.get(f"refs/heads/{branches.upstream}", "") if remote else ""
        self.tips += [tip] * git.has_object(sh, fork.path, tip)
        if not self.tips:
            raise Refused(
                f"this clone has neither upstream's branches nor {remotes.origin.name}'s "
                f"{branches.mirror}, so nobody can say whose commits these are.",
                then=f"{git.at(fork.path)} fetch {remotes.origin.name}; "
                "in GitHub Actions check out with `fetch-depth: 0`.",
            )
        self.stable: dict[str, str] = {}
        other: dict[str, str] = {}
        for refs in filter(None, (fork.refs, remote)):
            for name in refs.tags():
                commit, tag = refs.tag(name), tags.classify(name, fork.policy.tags)
                if tag and tag.stable:
                    self.stable[commit] = name
                elif refs is remote or (tag and tag.scheme.use is TagUse.NEVER):
                    other[commit] = name
        self.other = {c: name for c, name in other.items() if c not in self.stable}


@dataclass(frozen=True)
class _Commit:
    """A commit made in the fork, not by upstream."""

    name: str
    parents: Sequence[str]
    subject: str

    @property
    def short(self) -> str:
        return f"{self.name[:10]} ({printable(self.subject)})"


_LINE = "rev-list --first-parent {head} --not {base} --"


class _Brought:
    """The commits of a range, by whose they are.

    every: their names. stable: those of stable releases. own: the fork's, newest first.
    foreign: upstream's, but for stable releases.
    others: the fork's without those that heal a sync.
    line: those that were committed on the branch itself, not merged into it.
    """

    def __init__(self, sh: Shell, fork: Fork, upstream: _Upstream, base: str, head: str) -> None:
        self.every, self.line = (
            set(git.ask(sh, fork.path, question, "commits", head=head, base=base).out.split())
            for question in ("rev-list {head} --not {base} --", _LINE)
        )
        self.stable = [commit for commit in upstream.stable if commit in self.every]
        other = [commit for commit in upstream.other if commit in self.every]
        self.own = _own(sh, fork.path, head, [base, *self.stable, *other, *upstream.tips])
        names = {commit.name for commit in self.own}
        self.foreign = self.every - names - upstream.stable.keys()
        heals = {x.name for x in self.own if _heals(sh, fork, upstream, x, self.foreign)}
        self.others = [commit for commit in self.own if commit.name not in heals]


def _check(sh: Shell, fork: Fork, upstream: _Upstream, each: Range) -> Iterator[Finding]:
    """Everything that blocks some commits."""
    repo = fork.path
    yield from _configuration(sh, fork, each)
    brought = _Brought(sh, fork, upstream, each.base, each.head)
    own, stable = brought.own, brought.stable
    yield from approvals.unapproved(sh, fork, each, stable)
    yield from _development(sh, fork, upstream, brought, each.head)
    read = authorship.of_fork(sh, fork, each.head, *stable, *upstream.tips)
    squashed = [
        commit
        for commit, sync in read.squashed.items()
        if commit.name in brought.every and not git.is_ancestor(sh, repo, sync.parent, each.base)
    ]
    for sync in squashed:
        how = (
            "in copies" if len(read.squashed[sync].names) > 1 else "with one parent only: a squash"
        )
        what = f"{described(sync)} brings upstream's work {how}"
        tag = upstream.stable.get(read.squashed[sync].parent, "TAG")
        then = f"`upgrade-carto --tag {tag}` makes a merge instead, on a branch of its own."
        yield Finding("squashed sync", what, then=then)
    odd = _unconventional(own, read) if fork.policy.messages.conventional else []
    trees = git.worktrees(sh, repo) if odd else []
    # A hook runs in the work tree that pushes, but people type in theirs.
    place = next((tree.path for tree in trees[1:] if tree.head == each.head), repo)
    for commit in odd:
        first = f"{odd[-1].name[:10]}^"
        then = f"`{git.at(place)} rebase --interactive --rebase-merges {first}`, with "
        then += "`reword` in place of `pick`."
        yield Finding("subject", f"{commit.short} is not a conventional commit", then=then)
    stable_ones = upstream.stable.keys()
    syncs = [commit for commit in brought.others if not stable_ones.isdisjoint(commit.parents[1:])]
    losses = list(_losses(sh, fork, upstream, each, syncs))
    yield from losses
    if not syncs:
        yield from _version(sh, fork, upstream, each)
    reported = {finding.path for finding in losses}
    left = conflicts.markers_left(sh, repo, [each.base, *stable], each.head)
    yield from (x for x in verify.marked(left) if x.path not in reported)


def stops(sh: Shell, fork: Fork, base: str, head: str) -> list[Finding]:
    """What nobody has to review first: how one history brings upstream's work that is not a stable
    release into another, and conflict markers in it."""
    upstream = _Upstream(sh, fork)
    brought = _Brought(sh, fork, upstream, base, head)
    markers = conflicts.markers_left(sh, fork.path, [base, *brought.stable], head)
    return [*_development(sh, fork, upstream, brought, head), *verify.marked(markers)]


def unconventional(sh: Shell, fork: Fork, base: str, head: str) -> list[_Commit]:
    """The fork's commits in one history but not in another, newest first, whose subjects have to be
    conventional and are not; as far as this clone knows."""
    if not fork.policy.messages.conventional:
        return []
    known = ((name, tags.classify(name, fork.policy.tags)) for name in fork.refs.tags())
    upstream = [
        fork.refs.tag(name) for name, tag in known if tag and tag.scheme.use is not TagUse.OWN
    ]
    own = _own(sh, fork.path, head, [base, *fork.upstream_tips, *upstream])
    if not fork.upstream_tips or not _unconventional(own):
        return _unconventional(own)
    return _unconventional(own, authorship.of_fork(sh, fork, head, *fork.upstream_tips))


def _unconventional(own: Iterable[_Commit], read: Customisations | None = None) -> list[_Commit]:
    """Those commits whose subjects are not conventional, but for merges and for upstream's work.

    read: what is known about whose work it is.
    """
    others = {*read.copies, *read.squashed} if read else set()
    return [
        commit
        for commit in own
        if len(commit.parents) < 2 and commit.name not in others
        if not tags.conventional(commit.subject)
    ]


_READERS: Mapping[str, Callable[[str], object]] = {
    POLICY_FILE: load_policy,
    **records.READERS,
}


def _configuration(sh: Shell, fork: Fork, each: Range) -> Iterator[Finding]:
    """Files that configure this program and would not be valid on production: every task would
    refuse there."""
    bases = git.merge_bases(sh, fork.path, each.base, each.head)
    for path, read in _READERS.items():
        names = [f"{commit}:{path}" for commit in (each.head, each.base, *bases)]
        now, before, *earlier = git.contents(sh, fork.path, names)
        if now in (None, before, *earlier):
            continue
        if before not in earlier:  # both have changed it
            how = "git -C {repo} merge-tree --write-tree {base} {head}"
            merged = sh.ask(how, repo=fork.path, base=each.base, head=each.head)
            now = git.show(sh, fork.path, merged.line, path) if merged.ok else now
        try:
            found = read(now or "")
            if isinstance(found, Loaded):
                releases.require_known_names(sh, fork, found.policy)
        except Refused as no:
            what = no.what.rstrip(".")
            what = what if path in what else f"{path}: {what}"
            yield Finding("policy" if path == POLICY_FILE else "record", printable(what), path)


def _version(sh: Shell, fork: Fork, upstream: _Upstream, each: Range) -> Iterator[Finding]:
    """A version that is lower than production's, unless it is that of the release in it, or a sync
    is reverted."""
    commits = [each.head, each.base, *git.merge_bases(sh, fork.path, each.base, each.head)]
    try:
        now, before, *earlier = (version_files.stated(sh, fork, commit) for commit in commits)
    except Refused as no:
        yield Finding("version", no.what.rstrip("."))
        return
    number = version_files.number
    if not now or now in (before, *earlier) or number(now) >= number(before):
        return
    release = releases.contained(sh, fork, each.head, upstream.tags)
    is_releases = release is not None and version_files.same(now, release.release)
    if not is_releases and not reverted_sync(sh, fork, each.head):
        what = f"the version would be {now}, which is lower than {before}"
        yield Finding("version", printable(what), then=f"`bump-version --to {before}` sets it.")


def _heals(sh: Shell, fork: Fork, upstream: _Upstream, commit: _Commit, foreign: set[str]) -> bool:
    """Whether all that a commit does is what `fork.heal` does: record a sync's lost ancestry."""
    if len(commit.parents) != 2:
        return False
    ours, theirs = commit.parents
    if theirs not in foreign | upstream.stable.keys():
        return False
    if git.differing(sh, fork.path, ours, commit.name):
        return False
    own = authorship.of_fork(sh, fork, ours, theirs, *upstream.tips)
    # The proof that `fork.heal` asks for: the fork changed what differs from what was brought.
    differ = {sync: git.differing(sh, fork.path, theirs, sync.name) for sync in own.squashed}
    hides = (syncs.hides(sh, fork.path, x, theirs, paths, own) for x, paths in differ.items())
    return not all(hides)


def _development(
    sh: Shell, fork: Fork, upstream: _Upstream, brought: _Brought, head: str
) -> Iterator[Finding]:
    """Upstream commits that enter and are not stable releases."""
    branch, production = fork.policy.branches.upstream, fork.policy.branches.production
    if head in brought.foreign:
        what = f"{head[:10]} is an upstream commit, not a stable release"
        yield Finding("upstream", what)
    ours, named = {commit.name: commit for commit in brought.own}, set[str]()
    for commit in brought.others:
        for number, parent in enumerate(commit.parents):
            if parent not in brought.foreign:
                continue
            # Of upstream's commits that this clone does not know, name the merge that brings them.
            by = commit
            if commit.name not in brought.line:
                by = ours.get(git.first_with(sh, fork.path, commit.name, head), commit)
            verb = "brings" if by is not commit else "merges" if number else "is based on"
            if by.name in named:
                continue
            named.add(by.name)
            onto, after = f"{by.name[:10]}^", by.name[:10]
            if len(by.parents) < 2:
                onto, after = fork.tracking(fork.policy.remotes.origin, production), parent[:10]
            at = git.at(fork.repository.work)
            then = f"`{at} rebase --rebase-merges --onto {onto} {after}` leaves it out."
            if name := upstream.other.get(parent):
                what = f"{by.short} {verb} {name}, which is not a stable release"
                yield Finding("upstream tag", printable(what), then=then)
            else:
                what = f"{by.short} {verb} {parent[:10]} from upstream's {branch}"
                more = " (by the tags here: upstream cannot be reached)" * (not upstream.online)
                yield Finding(
                    "upstream", f"{what}; only stable releases are merged{more}", then=then
                )


_LOST = (
    "put it back and commit. If it is meant to go, record why, with this branch checked out: "
    "`verify --tag {} --drop PATH --reason WHY`."
)


def _losses(
    sh: Shell, fork: Fork, upstream: _Upstream, each: Range, syncs: Sequence[_Commit]
) -> Iterator[Finding]:
    """What merges of stable releases lost, newest first; each is checked up to the next one."""
    end = each.head
    for sync in syncs:
        theirs = next(parent for parent in sync.parents[1:] if parent in upstream.stable)
        result = end
        ours = newer_side(sh, fork.path, sync.parents[0], theirs, end, each.base)
        # The merge of its branch is what landed; later changes are a separate matter.
        landing = git.first_with(sh, fork.path, theirs, end)
        if landing != sync.name:
            ours, result = git.commit_of(sh, fork.path, f"{landing}^1"), landing
        tag, more = upstream.stable[theirs], []
        # A sync that was reverted leaves its release in the history, and not its version.
        if end == each.head and not reverted_sync(sh, fork, result):
            release = tags.require_stable(tag, fork.policy.tags)
            more = list(verify.other_versions(sh, fork.path, result, release, fork.policy))
        checked = verify.of_merge(sh, fork, fork.path, ours, theirs, result, more)
        for finding in (*checked.findings, *checked.replaced):
            if finding.certain or finding.check in (*EVIL, "replaced"):
                what = f"in the merge of {tag}: {finding.what}"
                yield replace(finding, what=what)
        # A file with markers is left for a person to decide; nothing of it is lost yet.
        marked = {finding.path for finding in checked.wrong if finding.check == "markers"}
        every = checked.account.lost if checked.account else ()
        lost = [entry for entry in every if entry.path not in marked]
        for entry, at in zip(lost, places.lines(sh, fork.path, checked, lost), strict=True):
            what = f"the merge of {tag} lost {places.said(entry, checked)}"
            yield Finding("lost", what, entry.path, line=at, then=_LOST.format(tag))
        end = sync.parents[0]


def _own(sh: Shell, repo: Path, head: str, others: Iterable[str]) -> list[_Commit]:
    """The commits in the history of one commit but not of others, newest first."""
    words = ["git", "-C", str(repo), "log", "-z", "--topo-order", "--no-show-signature"]
    words += ["--no-color", "--format=%H%x00%P%x00%s", "--stdin", head]
    fields = git.checked(sh.read(words, feed=[f"^{name}" for name in others]), "commits").fields()
    return [
        _Commit(name, parents.split(), subject)
        for name, parents, subject in zip(fields[::3], fields[1::3], fields[2::3], strict=True)
    ]
