"""What `ci.guard` does: keep out of the production branch what does not belong there."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from ..ci import notify
from ..fork import records, tags
from ..fork.fork import Fork, require_whole_history
from ..fork.patterns import globs
from ..fork.policy import POLICY_FILE, Side, TagUse
from ..fork.session import Session
from ..merge import authorship, conflicts, reverts, syncs
from ..run import git, github
from ..run.errors import CheckFailed, Refused, Usage
from ..run.shell import Shell
from ..run.text import counted, in_actions, plain, printable
from . import verify
from .verify import Finding

_EVENTS = ("pull_request", "pull_request_target")


@dataclass(frozen=True)
class Range:
    """Commits that would come into the production branch: in the history of `head`, and not in
    that of `base`. what: what to call them. pull: the number of their pull request, if any."""

    what: str
    base: str
    head: str
    pull: str = ""


def guard(s: Session, among: str, pre_push: bool) -> None:
    """Check what would come into the production branch. Raises CheckFailed, with all findings."""
    if among and pre_push:
        raise Usage("--range and --pre-push exclude each other.", then="choose one of them.")
    # What git has to tell is read first: it waits for somebody to read it.
    pushed = sys.stdin.read() if pre_push else ""
    fork = s.open_fork(whatever_policy=pre_push)
    if fork.problem:
        fork = _as_pushed(s, fork, pushed, fork.problem)
    require_whole_history(fork)
    ranges = list(_ranges(s, fork, among, pushed, pre_push))
    findings: list[Finding] = []
    if ranges:
        upstream = _Upstream(s.sh, fork)
        for each in ranges:
            findings += _check(s.sh, fork, upstream, each)
        if not upstream.online:
            name = fork.policy.remotes.upstream.name
            s.console.say(f"Note: {name} cannot be reached; its tags are those known here.")
    findings = list(dict.fromkeys(findings))
    if s.json:
        told = [{"what": each.what, "base": each.base, "head": each.head} for each in ranges]
        s.print_json({"ranges": told, "findings": findings, "passed": not findings})
    if not ranges:
        s.console.say(f"Nothing here goes to {fork.policy.branches.production}.")
        return
    for each in ranges:
        # Who takes a sync back in need is not stopped.
        if gone := reverts.find(s.sh, fork, each.head):
            s.console.say(f"{gone.said}. To undo it: {gone.undone(fork)}", "yellow")
    what = " and ".join(each.what for each in ranges)
    if not findings:
        s.console.say(f"Nothing stands against {what}.", "green")
        return
    rows = (f"- **{finding.check}**: {plain(finding.what)}" for finding in findings)
    notify.summarize("\n".join(["# Not for the production branch", "", *rows]))
    lines = (f"\n  {finding.check}: {finding.what}" for finding in findings)
    problem = f"{counted(len(findings), 'finding')} in {what}:{''.join(lines)}"
    raise CheckFailed(problem, then="mend the branch, then run the same command again.")


def _as_pushed(s: Session, fork: Fork, pushed: str, problem: Refused) -> Fork:
    """The fork with the policy that is being pushed: it may mend the one that is not valid. Raises
    the problem where it does not."""
    for line in pushed.splitlines():
        commit = line.split()[1]
        if git.show(s.sh, fork.path, commit, POLICY_FILE) is not None:
            return fork.at(s.sh, commit)
    raise problem


# --- What is checked -----------------------------------------------------------------------------


def _ranges(s: Session, fork: Fork, among: str, pushed: str, pre_push: bool) -> Iterator[Range]:
    if pre_push:
        yield from _pushed(s.sh, fork, pushed)
    elif among:
        ends = among.split("..")
        if len(ends) != 2 or not all(ends) or any(end[0] in "-." for end in ends):
            raise Usage(f"--range is {among!r}.", then="name two commits, as in --range A..B.")
        base, head = (git.commit_of(s.sh, fork.path, end) for end in ends)
        yield Range(among, base, head)
    elif os.environ.get("GITHUB_EVENT_NAME") in _EVENTS and in_actions():
        yield from _pull_request(s.sh, fork)
    else:
        head = git.commit_of(s.sh, fork.repository.path, "HEAD")
        production = fork.origin_production.removeprefix("refs/remotes/")
        yield Range(f"{production}..HEAD", _production(fork), head)


def _production(fork: Fork) -> str:
    """The production branch's commit. Raises Refused if it is not here."""
    if not fork.has_production:
        raise Refused(
            f"there is no branch {fork.policy.branches.production} here.",
            then=f"{git.at(fork.path)} fetch {fork.policy.remotes.origin.name}; "
            "in GitHub Actions check out with `fetch-depth: 0`.",
        )
    return fork.production_commit


def _pushed(sh: Shell, fork: Fork, lines: str) -> Iterator[Range]:
    """What a push would bring, from what git tells its hook: the local ref and its commit, the
    remote ref and its commit, a line each."""
    branches = fork.policy.branches
    for line in lines.splitlines():
        fields = line.split(" ")
        if len(fields) != 4 or not all(map(git.is_hash, fields[1::2])):
            raise Usage(
                f"{printable(line)!r} is not what git tells a pre-push hook.",
                then="let git run this as its pre-push hook, and pass its standard input on.",
            )
        _, head, ref, before = fields
        branch = ref.removeprefix("refs/heads/")
        if set(head) == {"0"} or ref == branch:
            continue  # it is deleted, or no branch
        if branch == branches.production:
            known = set(before) != {"0"} and git.has_object(sh, fork.path, before)
            yield Range(f"the push to {branch}", before if known else _production(fork), head)
        elif branches.tag_of(branch):
            yield Range(f"the push to {branch}", _production(fork), head)


def _pull_request(sh: Shell, fork: Fork) -> Iterator[Range]:
    """What the pull request would bring that this job of GitHub Actions belongs to."""
    into, branch = (os.environ.get(name, "") for name in ("GITHUB_BASE_REF", "GITHUB_HEAD_REF"))
    if into != fork.policy.branches.production:
        return
    try:
        event = json.loads(Path(os.environ.get("GITHUB_EVENT_PATH", "")).read_bytes())
        pull = event["pull_request"]
        ends = [str(pull[side]["sha"]) for side in ("base", "head")]
        number = str(pull.get("number", "?"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Refused(
            f"GITHUB_EVENT_PATH tells of no pull request: {error!r}.",
            then="run it on `pull_request`, or name the commits with --range.",
        ) from None
    here = [git.is_hash(end) and git.has_object(sh, fork.path, end) for end in ends]
    if missing := [end for end, known in zip(ends, here, strict=True) if not known]:
        raise Refused(
            f"the commit {printable(missing[0])} of the pull request is not here.",
            then="check out with `fetch-depth: 0` and `ref: "
            "${{ github.event.pull_request.head.sha }}`.",
        )
    yield Range(f"the pull request from {printable(branch)} to {into}", ends[0], ends[1], number)


# --- The checks ----------------------------------------------------------------------------------


class _Upstream:
    """What is known of upstream: its branches here, and its tags, from itself if it answers.

    stable, other: commit to the name of the release that it is; what is stable is not in `other`.
    """

    def __init__(self, sh: Shell, fork: Fork) -> None:
        remotes, branches = fork.policy.remotes, fork.policy.branches
        where = remotes.upstream.name if fork.url(remotes.upstream) else remotes.upstream.url
        there = git.remote_refs(sh, fork.path, where, ["refs/tags/*"], git.PATIENCE)
        self.online = there is not None
        mirrors = (fork.tracking(remotes.origin, branches.mirror), f"refs/heads/{branches.mirror}")
        known = fork.refs.commits
        self.tips = [*fork.upstream_tips, *(known[ref] for ref in mirrors if ref in known)]
        if not self.tips:
            raise Refused(
                f"neither upstream's branches are here nor {remotes.origin.name}'s "
                f"{branches.mirror}, so nobody can tell whose a commit is.",
                then=f"{git.at(fork.path)} fetch {remotes.origin.name}; "
                "in GitHub Actions check out with `fetch-depth: 0`.",
            )
        self.stable: dict[str, str] = {}
        other: dict[str, str] = {}
        for refs in filter(None, (fork.refs, there)):
            for name in refs.tags():
                commit, tag = refs.tag(name), tags.classify(name, fork.policy.tags)
                if tag and tag.stable:
                    self.stable[commit] = name
                elif refs is there or (tag and tag.scheme.use is TagUse.NEVER):
                    other[commit] = name
        self.other = {c: name for c, name in other.items() if c not in self.stable}


@dataclass(frozen=True)
class _Commit:
    """A commit of nobody's but the fork's."""

    name: str
    parents: Sequence[str]
    subject: str

    @property
    def short(self) -> str:
        return f"{self.name[:10]} ({printable(self.subject)})"


def _check(sh: Shell, fork: Fork, upstream: _Upstream, each: Range) -> Iterator[Finding]:
    """Everything that stands against some commits."""
    repo = fork.path
    yield from _proposals(sh, fork, each)
    question = "rev-list {head} --not {base} --"
    listed = git.ask(sh, repo, question, "commits", head=each.head, base=each.base)
    brought = set(listed.out.split())
    stable = [commit for commit in upstream.stable if commit in brought]
    other = [commit for commit in upstream.other if commit in brought]
    if each.pull:
        yield from _judges(sh, fork, each, stable)
    own = _own(sh, repo, each.head, [each.base, *stable, *other, *upstream.tips])
    names = {commit.name for commit in own}
    foreign = brought - names - upstream.stable.keys()
    healed = [commit.name for commit in own if _heals(sh, fork, upstream, commit, foreign)]
    others = [commit for commit in own if commit.name not in healed]
    yield from _development(fork, upstream, each, others, foreign)
    read = authorship.of_fork(sh, fork, each.head, *stable, *upstream.tips)
    squashed = [commit for commit in read.squashed if commit.name in brought]
    for sync in squashed:
        how = (
            "in copies" if len(read.squashed[sync].names) > 1 else "with one parent only: a squash"
        )
        what = f"{verify.described(sync)} brings upstream's work {how}"
        yield Finding("squashed sync", what)
    known = {*read.copies, *(commit.name for commit in squashed)}
    for commit in own:
        parsed = tags.conventional(commit.subject)
        if len(commit.parents) < 2 and commit.name not in known and not parsed:
            yield Finding("subject", f"{commit.short} is no conventional commit")
    stable_ones = upstream.stable.keys()
    syncs = [commit for commit in others if not stable_ones.isdisjoint(commit.parents[1:])]
    losses = list(_losses(sh, fork, upstream, each, syncs))
    yield from losses
    told = {finding.path for finding in losses}
    for path, _ in conflicts.markers_left(sh, repo, [each.base, *stable], each.head):
        if path not in told:
            yield Finding("markers", f"{printable(path)} holds conflict markers", path)


_CALLED = re.compile(r"\buses:\s*[\"']?\./([^\s\"'#]+)")
"""An action or a workflow of the same repository, as a workflow calls it."""


def _judges(sh: Shell, fork: Fork, each: Range, stable: Sequence[str]) -> Iterator[Finding]:
    """Changes that a pull request makes to what decides here, for as long as nobody else who may
    push to the fork has approved this very commit.

    stable: the releases that it brings; owners of code may be as one of them has them.
    """
    files = fork.policy.files
    bases = git.merge_bases(sh, fork.path, each.base, each.head)
    trees = [git.tree(sh, fork.path, c) for c in (each.head, each.base, *bases, *stable)]
    now, before = trees[0], trees[1 : len(bases) + 2]
    guard = git.show(sh, fork.path, each.base, files.guard) if files.guard else None
    called = tuple(f"{path.strip('/')}/" for path in _CALLED.findall(guard or ""))
    inside = {p for tree in trees[:2] for p in tree if called and f"{p}/".startswith(called)}
    judges = (POLICY_FILE, files.guard, files.dependencies, files.requirements, *sorted(inside))
    changed = [p for p in judges if p and all(tree.get(p) != now.get(p) for tree in before)]
    changed += [p for p in _CODEOWNERS if all(tree.get(p) != now.get(p) for tree in trees[1:])]
    if changed and not _approved(sh, fork, each):
        for path in changed:
            what = f"{path} decides what is checked here, and this was checked as production has it"
            what += f"; if {each.head[:10]} is right, somebody else approves it and runs this again"
            yield Finding("judge", what, path)


def _proposals(sh: Shell, fork: Fork, each: Range) -> Iterator[Finding]:
    """What programs proposed in a sync, and nobody has accepted as it is now."""
    base, now = (
        records.read_proposals(git.show(sh, fork.path, commit, records.PROPOSALS_FILE))
        for commit in (each.base, each.head)
    )
    waiting = [one for one in now if one not in base]
    names = [f"{each.head}:{one.path}" for one in waiting if "\n" not in one.path]
    there = dict(zip(names, git.objects(sh, fork.path, names), strict=True))
    for one in waiting:
        current = there.get(f"{each.head}:{one.path}", "").split(" ")[0]
        if one.accepted and one.object == current:
            continue
        if _is_approved_by_owner(sh, fork, each, one.path):
            continue
        state = "has changed since it was accepted" if one.accepted else "nobody has accepted"
        what = f"{one.path}: what `{one.by}` proposed there {state}; read it, then: "
        what += f"carto-fork resolve-conflicts --pr NUMBER --accept-proposal {quote(one.path)}"
        yield Finding("proposal", printable(what), one.path)


def _is_approved_by_owner(sh: Shell, fork: Fork, each: Range, path: str) -> bool:
    """Whether somebody whom the base names for a file has approved exactly this commit."""
    origin = fork.policy.remotes.origin
    if not each.pull or not github.can_be_asked(fork.gh, origin.url):
        return False
    hub = fork.hub(origin)
    said = dict(github.reviews(sh, hub, each.pull, each.head))
    named = {*fork.policy.pull_requests.reviewers, *_owners(sh, fork.path, each.base, path)}
    people = {name.lstrip("@").lower() for name in named}
    return any(
        state == "APPROVED" and who.lower() in people and github.may_push(sh, hub, who)
        for who, state in said.items()
    )


_CODEOWNERS = (".github/CODEOWNERS", "CODEOWNERS", "docs/CODEOWNERS")


def _owners(sh: Shell, repo: Path, commit: str, path: str) -> list[str]:
    """The owners of a file, as GitHub reads them: those of the last pattern that fits, in the first
    file that is there. https://docs.github.com/articles/about-code-owners"""
    texts = (git.show(sh, repo, commit, place) for place in _CODEOWNERS)
    owners: list[str] = []
    for line in (next((text for text in texts if text is not None), "")).splitlines():
        pattern, *named = line.partition("#")[0].split() or [""]
        with suppress(ValueError):  # GitHub passes over such a line, too
            owners = named if pattern and globs([pattern]).match_file(path) else owners
    return owners


def _approved(sh: Shell, fork: Fork, each: Range) -> bool:
    """Whether GitHub says that somebody who may push has approved a pull request's commit."""
    origin = fork.policy.remotes.origin
    if not github.can_be_asked(fork.gh, origin.url):
        return False
    hub = fork.hub(origin)
    said = dict(github.reviews(sh, hub, each.pull, each.head))
    return any(s == "APPROVED" and github.may_push(sh, hub, who) for who, s in said.items())


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
    fork: Fork, upstream: _Upstream, each: Range, own: Iterable[_Commit], foreign: set[str]
) -> Iterator[Finding]:
    """Where commits of upstream's come in that are no stable releases.

    foreign: those commits.
    """
    branch = fork.policy.branches.upstream
    if each.head in foreign:
        what = f"{each.head[:10]} is a commit of upstream's, and no stable release"
        yield Finding("upstream", what)
    for commit in own:
        for number, parent in enumerate(commit.parents):
            verb = "merges" if number else "stands on"
            if parent not in foreign:
                continue
            if name := upstream.other.get(parent):
                what = f"{commit.short} {verb} {name}, which is no stable release"
                yield Finding("upstream tag", printable(what))
            else:
                what = f"{commit.short} {verb} {parent[:10]} of upstream's {branch}"
                yield Finding("upstream", f"{what}; only stable releases are merged")


def _losses(
    sh: Shell, fork: Fork, upstream: _Upstream, each: Range, syncs: Sequence[_Commit]
) -> Iterator[Finding]:
    """What merges of stable releases lost, newest first: each up to the next one."""
    end = each.head
    for sync in syncs:
        theirs = next(parent for parent in sync.parents[1:] if parent in upstream.stable)
        ours, result = sync.parents[0], end
        # Where its branch was merged, that is what landed; what came later is another matter.
        landing = git.first_with(sh, fork.path, theirs, end)
        if landing != sync.name:
            ours, result = git.commit_of(sh, fork.path, f"{landing}^1"), landing
        checked = verify.of_merge(sh, fork, fork.path, ours, theirs, result)
        tag = upstream.stable[theirs]
        for finding in checked.wrong:
            yield Finding(finding.check, f"after the merge of {tag}: {finding.what}", finding.path)
        for entry in checked.account.lost if checked.account else ():
            what = entry.what or f"line {entry.account.change.line}"
            told = f"the merge of {tag} lost {_OWNERS[entry.side]} change to {entry.path} ({what})"
            yield Finding("lost", printable(told), entry.path)
        end = sync.parents[0]


_OWNERS = {Side.FORK: "the fork's", Side.UPSTREAM: "upstream's"}


def _own(sh: Shell, repo: Path, head: str, known: Iterable[str]) -> list[_Commit]:
    """The commits in the history of one and in none of others', newest first."""
    words = ["git", "-C", str(repo), "log", "-z", "--topo-order", "--no-show-signature"]
    words += ["--no-color", "--format=%H%x00%P%x00%s", "--stdin", head]
    fields = git.checked(sh.read(words, feed=[f"^{name}" for name in known]), "commits").fields()
    return [
        _Commit(name, parents.split(), subject)
        for name, parents, subject in zip(fields[::3], fields[1::3], fields[2::3], strict=True)
    ]
