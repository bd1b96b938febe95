"""What a pull request needs somebody's approval for: changes to what judges it, and the proposals
of programs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from ..fork import records
from ..fork.fork import Fork
from ..fork.patterns import globs
from ..fork.policy import CODE_OWNERS, POLICY_FILE
from ..fork.session import Session
from ..run import git, github
from ..run.errors import Failed, Refused
from ..run.shell import Shell
from ..run.text import printable
from .findings import Finding
from .ranges import Range
from .soundness import can_report

CHECK = "Guard"
"""The name of the status check: of the job in the guard workflow."""
APPROVAL, PROPOSAL = "approval", "proposal"
"""The names of two checks that wait for people."""
_READS = (
    "let this job's gh read pull requests (`pull-requests: read` in `permissions`, and GH_TOKEN), "
    "then run the job again."
)
_WORKFLOWS = ".github/workflows/"
_CALLED = re.compile(r"\buses:\s*[\"']?\./([^\s\"'#]+)")
"""How a workflow calls an action or a workflow of the same repository."""


def unapproved(sh: Shell, fork: Fork, each: Range, stable: Sequence[str]) -> Iterator[Finding]:
    """That nobody has approved changes to what this check relies on. stable: see `_judges`."""
    hosted = github.slug_of(fork.policy.remotes.origin.url)  # elsewhere no check runs
    deciding, reporting = _judges(sh, fork, each, stable)
    if not (hosted and (deciding or reporting)):
        return
    unknown = ""
    try:
        if each.pull and _approved(sh, fork, each):
            return
    except Failed as no:
        unknown = f" Whether somebody has, this job could not find out: {no.what}"
    decide = "decides" if len(deciding) == 1 else "decide"
    said = [f"{_both(deciding)}, which {decide} what {CHECK} checks"] * bool(deciding)
    can = f"which can report a check of the name {CHECK}, too"
    said += [f"{_both(reporting)}, {can}"] * bool(reporting)
    whose = "this pull request" if each.pull else each.what
    what = f"{whose} changes {'; and '.join(said)}. Somebody else with push access has to approve "
    what += f"commit {each.head[:10]}." if each.pull else "that in the pull request."
    then = _READS if unknown else ""
    yield Finding(APPROVAL, what + unknown, certain=bool(each.pull), then=then)


def _both(paths: Sequence[str]) -> str:
    """All of some paths, in words."""
    return " and ".join(filter(None, [", ".join(paths[:-1]), paths[-1]])) if paths else ""


def _judges(
    sh: Shell, fork: Fork, each: Range, stable: Sequence[str]
) -> tuple[list[str], list[str]]:
    """The files that change and that this check relies on, and those that can report another check
    of its name.

    stable: the releases that it brings; CODEOWNERS may equal one of theirs.
    """
    files = fork.policy.files
    bases = git.merge_bases(sh, fork.path, each.base, each.head)
    trees = [git.tree(sh, fork.path, c) for c in (each.head, each.base, *bases, *stable)]
    now, before = trees[0], trees[1 : len(bases) + 2]
    called: set[str] = set()
    unread = [files.guard] if files.guard else []
    while unread:  # what is called may call more
        texts = [git.show(sh, fork.path, each.base, path) or "" for path in unread]
        new = {path.strip("/") for text in texts for path in _CALLED.findall(text)} - called
        called |= new
        unread = [p for p in _below(new, trees[1]) if p.endswith((".yml", ".yaml"))]
    inside = sorted({*_below(called, now), *_below(called, trees[1])})
    judges = (POLICY_FILE, files.guard, files.dependencies, files.requirements, *inside)
    changed = [p for p in judges if p and all(tree.get(p) != now.get(p) for tree in before)]
    changed += [p for p in CODE_OWNERS if all(tree.get(p) != now.get(p) for tree in trees[1:])]
    workflows = {
        path: f"{each.head}:{path}"
        for path, entry in now.items()
        if path.startswith(_WORKFLOWS) and path.endswith((".yml", ".yaml")) and "\n" not in path
        if path not in changed and all(tree.get(path) != entry for tree in before)
    }
    kept = git.blobs(sh, fork.path, workflows.values())
    reporting = [p for p, name in workflows.items() if can_report(kept.get(name, ""), CHECK)]
    return [*map(printable, changed)], [*map(printable, reporting)]


def _below(called: set[str], tree: git.Tree) -> list[str]:
    """The files of a commit that are one of these paths, or below one."""
    places = tuple(f"{path}/" for path in called)
    return [path for path in tree if f"{path}/".startswith(places)] if places else []


def proposals(s: Session, fork: Fork, each: Range) -> Iterator[Finding]:
    """Proposals of programs in a sync that nobody has accepted in their present form.

    They may be pushed to their pull request, where people read them.
    """
    base, now = (_proposed(s.sh, fork, commit) for commit in (each.base, each.head))
    waiting = [proposal for proposal in now if proposal not in base]
    names = [f"{each.head}:{proposal.path}" for proposal in waiting if "\n" not in proposal.path]
    objects = dict(zip(names, git.objects(s.sh, fork.path, names), strict=True))
    for proposal in waiting:
        current = objects.get(f"{each.head}:{proposal.path}", "").split(" ")[0]
        if proposal.accepted and proposal.object == current:
            continue
        if _is_approved_by_owner(s.sh, fork, each, proposal.path):
            continue
        state = "has changed since it was accepted" if proposal.accepted else "nobody has accepted"
        what = f"{proposal.path}: what `{proposal.by}` proposed there {state}; read it, then: "
        request = each.sync or fork.policy.branches.sync_for(proposal.release)
        what += s.command("resolve-conflicts", pr=request, accept_proposal=proposal.path)
        yield Finding(PROPOSAL, printable(what), proposal.path, certain=each.landing)


def _proposed(sh: Shell, fork: Fork, commit: str) -> Sequence[records.Proposal]:
    with suppress(Refused):  # `_configuration` reports it
        return records.read_proposals(git.show(sh, fork.path, commit, records.PROPOSALS_FILE))
    return ()


def _is_approved_by_owner(sh: Shell, fork: Fork, each: Range, path: str) -> bool:
    """Whether an owner of a file, according to the base commit, has approved exactly this
    commit."""
    if not each.pull:
        return False
    named = {*fork.policy.pull_requests.reviewers, *owners(sh, fork.path, each.base, path)}
    with suppress(Failed):  # a person can still accept it
        return _approved(sh, fork, each, {name.lstrip("@").lower() for name in named})
    return False


def owners(sh: Shell, repo: Path, commit: str, path: str) -> list[str]:
    """The owners of a file, as GitHub reads them: those of the last matching pattern in the first
    CODEOWNERS file. https://docs.github.com/articles/about-code-owners"""
    texts = (git.show(sh, repo, commit, place) for place in CODE_OWNERS)
    owners: list[str] = []
    for line in (next((text for text in texts if text is not None), "")).splitlines():
        pattern, *named = line.partition("#")[0].split() or [""]
        with suppress(ValueError):  # GitHub skips such a line, too
            owners = named if pattern and globs([pattern]).match_file(path) else owners
    return owners


def _approved(sh: Shell, fork: Fork, each: Range, people: set[str] | None = None) -> bool:
    """Whether GitHub says that somebody with push access has approved a pull request's commit.

    people: those who count, in lower case; None for everybody. Raises Failed if it cannot be asked.
    """
    origin = fork.policy.remotes.origin
    if not github.can_be_asked(fork.gh, origin.url):
        raise Failed(github.MISSING, then=_READS)
    hub = fork.hub(origin)
    said = dict(github.reviews(sh, hub, each.pull, each.head))
    approving = [who for who, state in said.items() if state == "APPROVED"]
    counting = (who for who in approving if people is None or who.lower() in people)
    return any(github.may_push(sh, hub, who) for who in counting)
