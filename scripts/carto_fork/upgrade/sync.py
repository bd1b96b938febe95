"""A sync branch as its pull request tells it: what was merged, decided, lost, and what is left."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ..audit.verify import Verification
from ..fork import conventional, drops, pins, tags
from ..fork.drops import Drop
from ..fork.fork import Fork
from ..fork.policy import Kind, TagUse, Take
from ..fork.tags import Tag
from ..merge import markers
from ..merge.decisions import Decision
from ..run import git
from ..run.errors import Refused
from ..run.shell import Shell
from .work import Work

_WORKFLOWS = ".github/workflows/"
_DEPENDENCIES = re.compile(
    r"(pyproject\.toml|requirements[\w.-]*\.(txt|in)|setup\.(py|cfg)|package\.json|go\.mod"
    r"|Cargo\.toml|Gemfile|(.+\.)?Dockerfile([.-].+)?|.*lock(file|\.json|\.yaml)?)"
)
_TYPES = ("feat", "fix", "perf", "docs", "test", "refactor", "chore", "build", "ci")


@dataclass(frozen=True)
class Area:
    """What upstream changed in one folder: files, and lines added and removed."""

    name: str
    files: int
    added: int
    removed: int


@dataclass(frozen=True)
class Resolution:
    """What a person made of a conflict.

    take: whose file it is now, None for a text of its own. word: what they let go, and why; None if
        they did not say.
    """

    take: Take | None
    word: Drop | None


@dataclass(frozen=True)
class Sync:
    """A release merged on a sync branch.

    branch, head: the sync branch and its commit. merge: the commit that merged the tag.
    ours, theirs: its parents, the fork's side and upstream's.
    before: the version on the fork's side. previous: upstream's release that it had.
    decisions: one for each conflict. unresolved: paths whose conflict is still there.
    resolutions: by path, what a person made of a conflict that was left to them.
    checked: the account and the checks of the branch.
    passed: names of the checks that this very commit has passed.
    commits: upstream's commits by their conventional type. areas: the largest changes first.
    workflows, dependencies: paths of upstream's that the merge adds or changes, with git's letter.
    """

    tag: Tag
    branch: str
    head: str
    merge: str
    ours: str
    theirs: str
    before: str
    previous: Tag | None
    decisions: tuple[Decision, ...]
    unresolved: tuple[str, ...]
    resolutions: Mapping[str, Resolution]
    checked: Verification
    passed: tuple[str, ...]
    commits: Counter[str]
    areas: tuple[Area, ...]
    workflows: tuple[tuple[str, str], ...]
    dependencies: tuple[tuple[str, str], ...]


def read(work: Work, fork: Fork, head: str) -> Sync:
    """What there is to tell of a sync branch. Raises Refused where it holds no merge of the tag.

    fork: with its refs as they are now.
    """
    sh, repo, policy, tag, theirs = work.s.sh, fork.path, fork.policy, work.tag, work.theirs
    merge, ours = git.merge_of(sh, repo, theirs, head)
    branch = policy.branches.sync_for(tag.name)
    if not merge:
        raise Refused(
            f"{branch} holds no merge of {tag.name}.",
            then="run `upgrade-carto` for it first.",
        )
    decisions = work.decisions(ours)
    base = next(iter(git.merge_bases(sh, repo, ours, theirs)), "") or git.empty_tree(sh, repo)
    changes = _changes(sh, repo, base, theirs)
    left = unresolved(sh, fork, decisions, ours, theirs, merge, head)
    return Sync(
        tag=tag,
        branch=branch,
        head=head,
        merge=merge,
        ours=ours,
        theirs=theirs,
        before=fork.stated_version(sh, ours),
        previous=_previous(sh, fork, ours),
        decisions=decisions,
        unresolved=tuple(left),
        resolutions=_resolutions(sh, repo, tag, decisions, ours, theirs, head),
        checked=work.account(ours, head),
        passed=tuple(
            check
            for check in ("verify", "install", "test", "lint")
            if _passed(sh, fork, tag, branch, check) == head
        ),
        commits=_commits(sh, repo, base, theirs),
        areas=_areas(sh, repo, base, theirs),
        workflows=tuple(x for x in changes if x[1].startswith(_WORKFLOWS)),
        dependencies=tuple(x for x in changes if _DEPENDENCIES.fullmatch(PurePosixPath(x[1]).name)),
    )


def _passed(sh: Shell, fork: Fork, tag: Tag, branch: str, check: str) -> str:
    """The commit that a check has passed; "" for none. What was installed lies in the work tree of
    the upgrade, and the record of it too."""
    if check != "install":
        return fork.refs.commits.get(f"refs/carto-fork/passed/{tag.name}/{check}", "")
    trees = (t for t in git.worktrees(sh, fork.path) if t.branch == f"refs/heads/{branch}")
    if (tree := next(trees, None)) is None or tree.missing:
        return ""
    ref = "refs/worktree/passed/install"
    return sh.ask("git -C {work} rev-parse --quiet --verify {ref}", work=tree.path, ref=ref).line


def waits(work: Work, head: str) -> bool:
    """Whether a commit of a sync branch holds conflicts that a person has yet to resolve."""
    sh, fork = work.s.sh, work.fork
    merge, ours = git.merge_of(sh, fork.path, work.theirs, head) if head else ("", "")
    if not merge:
        return False
    return bool(unresolved(sh, fork, work.decisions(ours), ours, work.theirs, merge, head))


def unresolved(
    sh: Shell,
    fork: Fork,
    decisions: Sequence[Decision],
    ours: str,
    theirs: str,
    merge: str,
    head: str,
) -> list[str]:
    """The paths on a sync branch whose conflict nobody has resolved yet.

    Text tells it by its markers. For anything else, a commit of a person's behind the merge does.
    """
    left = {d.conflict.path: d.conflict.kind for d in decisions if d.left}
    marked = {path for path, _ in markers.left(sh, fork.path, [ours, theirs], head)}
    messages = fork.policy.messages
    mine = re.compile(
        "|".join(
            re.sub(r"\\{(version|tag)\\}", r"\\S+", re.escape(message))
            for message in (messages.version, pins.MESSAGE)
        )
    )
    since = sh.ask(
        "git -C {repo} log --no-show-signature --format=%s {among} --",
        repo=fork.path,
        among=f"{merge}..{head}",
    )
    subjects = git.checked(since, "commits").out.splitlines()
    touched = any(not mine.fullmatch(subject) for subject in subjects)
    kinds = (Kind.CONTENT, Kind.ADD_ADD)
    others = [path for path, kind in left.items() if kind not in kinds and not touched]
    return sorted(marked | set(others))


def _resolutions(
    sh: Shell,
    repo: Path,
    tag: Tag,
    decisions: Sequence[Decision],
    ours: str,
    theirs: str,
    head: str,
) -> dict[str, Resolution]:
    """What became of the conflicts that were left to a person, on a sync branch."""
    paths = [decision.conflict.path for decision in decisions if decision.left]
    if not paths:
        return {}
    now, mine, other = (git.tree(sh, repo, commit) for commit in (head, ours, theirs))
    told = drops.read(git.show(sh, repo, head, drops.FILE_NAME))
    words = {drop.path: drop for drop in told if drop.tag in ("", tag.name)}
    found = {}
    for path in paths:
        sides = ((Take.FORK, mine), (Take.UPSTREAM, other))
        take = next((side for side, tree in sides if tree.get(path) == now.get(path)), None)
        found[path] = Resolution(take, words.get(path))
    return found


def _previous(sh: Shell, fork: Fork, ours: str) -> Tag | None:
    """The newest stable release of upstream's that the fork's side holds."""
    upstream = fork.policy.remotes.upstream.name
    # Upstream's tags need not be here; where upstream cannot be asked, those that are must do.
    known = git.remote_refs(sh, fork.path, upstream, ["refs/tags/*"]) or fork.refs
    has = git.history(sh, fork.path, ours)
    names = [name for name in known.tags() if known.commits[f"refs/tags/{name}"] in has]
    return tags.newest(names, fork.policy.tags, TagUse.AUTOMATIC, TagUse.ON_REQUEST)


def _changes(sh: Shell, repo: Path, base: str, theirs: str) -> list[tuple[str, str]]:
    """Upstream's changed paths with git's letter, without the deleted ones."""
    answer = sh.ask(
        "git -C {repo} diff-tree -r --no-renames --name-status --diff-filter=d -z {base} {theirs}",
        repo=repo,
        base=base,
        theirs=theirs,
    )
    fields = git.checked(answer, "changed files").fields()
    return list(zip(fields[::2], fields[1::2], strict=True))


def _commits(sh: Shell, repo: Path, base: str, theirs: str) -> Counter[str]:
    answer = sh.ask(
        "git -C {repo} log --no-merges --no-show-signature --format=%s {among} --",
        repo=repo,
        among=f"{base}..{theirs}",
    )
    parsed = map(conventional.parse, git.checked(answer, "commits").out.splitlines())
    types = (change.type if change else "" for change in parsed)
    return Counter(name if name in _TYPES else "other" for name in types)


def _areas(sh: Shell, repo: Path, base: str, theirs: str) -> tuple[Area, ...]:
    """Upstream's changes by top-level folder."""
    answer = sh.ask(
        "git -C {repo} diff-tree -r --no-renames --numstat -z {base} {theirs}",
        repo=repo,
        base=base,
        theirs=theirs,
    )
    sums: dict[str, list[int]] = {}
    for entry in git.checked(answer, "changed lines").fields():
        added, removed, path = entry.split("\t", 2)
        folder = path.split("/", 1)[0] + "/" if "/" in path else "(top)"
        total = sums.setdefault(folder, [0, 0, 0])
        total[0] += 1
        total[1] += int(added) if added.isdigit() else 0
        total[2] += int(removed) if removed.isdigit() else 0
    found = [Area(name, *numbers) for name, numbers in sums.items()]
    return tuple(sorted(found, key=lambda area: (-area.files, area.name)))
