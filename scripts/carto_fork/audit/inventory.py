"""What the fork consists of: its features, what drifted, what upstream has absorbed."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pathspec import GitIgnoreSpec

from ..fork import drops, pins, policy
from ..fork.fork import Fork, require_remotes
from ..fork.policy import Feature, Side
from ..merge import authorship
from ..merge.evidence import Commit, Customisations
from ..run import git
from ..run.errors import Refused
from ..run.shell import Shell, batches
from ..run.text import substantive
from . import ancestry, ledger
from .fates import Fate
from .ledger import Entry

_FEATURE = re.compile(r"feat(\([^)]*\))?!?: *(?P<what>.+?)(?: \(#\d+\))?")
_MOST_PATTERNS = 3
_MOST_FILES = 8
_DEFINITION = re.compile(
    r"(export )?(default )?(async )?(def|class|function|const|interface|type) \w+"
)
_OWN_FILES = {policy.FILE_NAME, drops.FILE_NAME, pins.FILE_NAME}
"""Files in the fork that only this product reads: no feature of the fork's."""


@dataclass(frozen=True)
class Ground:
    """The fork against upstream's newest commit that it contains.

    base: that commit. tip: upstream's branch, as known here.
    lost: the sync whose ancestry is lost, if one is. healed: production as if it were not.
    """

    own: Customisations
    base: str
    tip: str
    lost: ancestry.Lost | None
    healed: str


def lost(sh: Shell, fork: Fork) -> ancestry.Lost | None:
    """The sync whose ancestry is lost, None if all is well. Raises Refused as `ground` does."""
    own = _own(sh, fork)
    return ancestry.find(sh, fork.path, fork.production_commit, [tip(fork)], own)


def _own(sh: Shell, fork: Fork) -> Customisations:
    """What the production branch has of the fork's own. Raises Refused where upstream or that
    branch is not known here."""
    upstream = fork.policy.remotes.upstream.name
    if not fork.upstream_refs or not fork.has_production:
        require_remotes(fork)
        remote = fork.policy.remotes.origin.name if fork.upstream_refs else upstream
        raise Refused(
            f"nothing of the remote `{remote}` is known here.",
            then=f"{git.at(fork.path)} fetch {remote}",
        )
    return authorship.read(
        sh, fork.path, fork.production_commit, fork.upstream_refs, fork.policy.version_paths
    )


def ground(sh: Shell, fork: Fork) -> Ground:
    """What the fork stands on. Raises Refused where upstream or the production branch is not
    known here."""
    own, newest, production = _own(sh, fork), tip(fork), fork.production_commit
    cut = ancestry.find(sh, fork.path, production, [newest], own)
    healed = ancestry.healed(sh, fork.path, production, cut) if cut else production
    bases = git.merge_bases(sh, fork.path, healed, newest)
    if not bases:
        upstream = fork.policy.remotes.upstream.name
        raise Refused(
            f"{fork.policy.branches.production} and {upstream} have no common history.",
            then="name the fork's clone with --repo.",
        )
    return Ground(own, bases[0], newest, cut, healed)


def tip(fork: Fork) -> str:
    """The ref that follows upstream's development branch, or the first of upstream's there is."""
    branches, remotes = fork.policy.branches, fork.policy.remotes
    named = fork.tracking(remotes.upstream, branches.upstream)
    return named if named in fork.refs.objects else fork.upstream_refs[0]


def drift(sh: Shell, fork: Fork, known: Ground) -> list[str]:
    """The paths that differ from upstream although no commit of the fork's own touched them, nor
    wrote any of the lines that differ."""
    before, now = (git.tree(sh, fork.path, commit) for commit in (known.base, known.healed))
    paths = [p for p in sorted(before.keys() | now.keys()) if before.get(p) != now.get(p)]
    paths = [path for path in paths if not known.own.of([path])]
    texts = git.blobs(
        sh, fork.path, {tree[path][1] for path in paths for tree in (before, now) if path in tree}
    )
    drifted = []
    for path in paths:
        old, new = (
            set(texts.get(tree[path][1], "").split("\n")) if path in tree else set()
            for tree in (before, now)
        )
        if not known.own.behind(old ^ new):
            drifted.append(path)
    return drifted


def drifted_here(sh: Shell, work: Path, known: Ground, paths: Sequence[str]) -> list[str]:
    """Those of the drifted paths that a work tree's commit has as the production branch does."""
    base, now, here = (git.tree(sh, work, c) for c in (known.base, known.healed, "HEAD"))
    return [p for p in paths if here.get(p) == now.get(p) and here.get(p) != base.get(p)]


def reset(sh: Shell, work: Path, known: Ground, paths: Sequence[str], message: str) -> None:
    """Set paths to what upstream has there, in one commit in a clean work tree."""
    base = git.tree(sh, work, known.base)
    for wanted, command in (
        ([path for path in paths if path in base], "restore --staged --worktree --source={base}"),
        ([path for path in paths if path not in base], "rm --quiet"),
    ):
        for batch in batches(wanted):
            line = f"git -C {{work}} --literal-pathspecs {command} -- {{paths}}"
            git.checked(sh.do(line, work=work, base=known.base, paths=batch), "files")
    git.checked(
        sh.do("git -C {work} commit --quiet -m {message}", work=work, message=message), "commit"
    )


def absorbed(sh: Shell, fork: Fork, known: Ground) -> dict[str, list[Entry]]:
    """The fork's changes that upstream has too, by path: the fork may let them go."""
    account = ledger.read(sh, fork.path, known.healed, known.tip, known.tip, known.own, fork.policy)
    found: dict[str, list[Entry]] = defaultdict(list)
    for entry in account.entries:
        if entry.side is Side.FORK and entry.account.fate is Fate.ABSORBED:
            found[entry.path].append(entry)
    return found


def features(sh: Shell, fork: Fork, known: Ground) -> list[Feature]:
    """A proposal for the manifest: a feature for each `feat:` commit of the fork's own that is
    still there, with files and lines that only the fork has."""
    production = git.tree(sh, fork.path, known.healed)
    upstream = git.tree(sh, fork.path, known.tip)
    units = GitIgnoreSpec.from_lines(path for rule in fork.policy.units for path in rule.paths)
    own_files = _OWN_FILES | fork.policy.files.paths
    by_commit: dict[Commit, list[str]] = defaultdict(list)
    for path, commits in known.own.paths.items():
        changed = path in production and production.get(path) != upstream.get(path)
        if changed and path not in own_files and not units.match_file(path):
            for commit in commits:
                by_commit[commit].append(path)
    wrote: dict[Commit, set[str]] = defaultdict(set)
    for line, commits in known.own.lines.items():
        for commit in commits:
            wrote[commit].add(line)
    manifest = {feature.name for feature in fork.policy.feature}
    found: dict[str, Feature] = {}
    for commit, paths in by_commit.items():
        named = _FEATURE.fullmatch(commit.subject)
        if not named or named["what"] in manifest:
            continue
        files = sorted(paths)[:_MOST_FILES]
        names = [tree[path][1] for path in files for tree in (production, upstream) if path in tree]
        texts = git.blobs(sh, fork.path, names)
        patterns: list[str] = []
        for path in files:
            theirs = texts.get(upstream[path][1], "") if path in upstream else ""
            known_there = {line.strip() for line in theirs.split("\n")}
            lines = [line.strip() for line in texts.get(production[path][1], "").split("\n")]
            own = [x for x in lines if x in wrote[commit] and x not in known_there]
            defined = {x: head[0] for x in own if (head := _DEFINITION.match(x))}
            # The name alone says it best, unless upstream has that too, with other parameters.
            named_here = [name for name in defined.values() if name not in theirs]
            telling = max(named_here or defined or own, key=len, default="")
            pattern = re.sub(r"([.^$*+?{}\[\]\\|()])", r"\\\1", telling)
            if substantive(telling) and pattern not in patterns:
                patterns.append(pattern)
        if patterns:
            origin = f"{commit.name[:10]} ({commit.date})"
            feature = Feature(
                name=named["what"],
                files=tuple(files),
                patterns=tuple(patterns[:_MOST_PATTERNS]),
                origin=origin,
            )
            found.setdefault(feature.name, feature)
    return list(found.values())
