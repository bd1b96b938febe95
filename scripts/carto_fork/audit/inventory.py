"""What the fork consists of: its features, drifted files, and changes that upstream has
absorbed."""

from __future__ import annotations

import keyword
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msgspec import structs

from ..fork import lineage, records, releases, tags
from ..fork.fork import Fork, require_production, require_remotes, unfetched
from ..fork.generated import is_lock
from ..fork.policy import POLICY_FILE, Feature, Policy, Side
from ..fork.session import Session
from ..merge import authorship, syncs
from ..merge.hunks import Commit, Customisations
from ..run import files, git
from ..run.console import Console
from ..run.errors import CheckFailed, Refused, Usage
from ..run.shell import Shell
from ..run.text import counted, printable, substantive
from . import ledger
from .fates import Fate
from .findings import Finding, missing_features
from .ledger import Entry

_FEATURE = re.compile(r"feat(\([^)]*\))?!?: *(?P<what>.+?)(?: \(#\d+\))?")
_MOST_PATTERNS = 3
_MOST_FILES = 8
_DEFINITION = re.compile(
    r"(export )?(default )?(async )?(def|class|function|const|interface|type) \w+"
)
_TEXT = re.compile(r"([\"'])[^\"'\s\\]{3,38}\1")
_WORD = re.compile(r"[^\W\d][\w.-]{4,38}\w")
_OWN_FILES = {POLICY_FILE, *records.NOTES}
"""Files in the fork that only this program reads; they are not features."""


@dataclass(frozen=True)
class Ground:
    """The fork compared with the newest upstream commit that it contains.

    base: that commit. others: those that it contains besides, such as a release from a branch of
        patches. tip: upstream's branch, as this clone knows it.
    lost: the sync whose ancestry is lost, if any. healed: production as if it were not lost.
    """

    own: Customisations
    base: str
    tip: str
    lost: syncs.Lost | None
    healed: str
    others: tuple[str, ...] = ()


def lost(sh: Shell, fork: Fork) -> syncs.Lost | None:
    """The sync whose ancestry is lost; None if all is well. Raises Refused as `ground` does."""
    _require_both(fork)
    return authorship.lost_of_fork(sh, fork, fork.production_commit, tip(fork))


def _require_both(fork: Fork) -> None:
    """Raises Refused if this clone does not know upstream or the production branch."""
    upstream = fork.policy.remotes.upstream.name
    if not fork.upstream_tips or not fork.has_production:
        require_remotes(fork)
    if not fork.upstream_tips:
        raise Refused(f"{unfetched(upstream)}.", then=f"{git.at(fork.path)} fetch {upstream}")
    require_production(fork)


def ground(sh: Shell, fork: Fork) -> Ground:
    """What the fork is based on. Raises Refused if this clone does not know upstream or the
    production branch, or if they have no common history."""
    _require_both(fork)
    newest, production = tip(fork), fork.production_commit
    own = authorship.of_fork(sh, fork, production, newest)
    cut = authorship.lost_of_fork(sh, fork, production, newest)
    healed = syncs.healed_commit(sh, fork.path, production, cut) if cut else production
    # A release may be newer than upstream's branches in this clone, or on none of them.
    heads = lineage.upstream_heads(sh, fork, production)
    base, *others = git.merge_bases(sh, fork.path, healed, newest, *heads)
    return Ground(own, base, newest, cut, healed, (*others,))


def tip(fork: Fork) -> str:
    """Upstream's development branch, or the first upstream tip, as a commit."""
    branches, remotes = fork.policy.branches, fork.policy.remotes
    named = fork.tracking(remotes.upstream, branches.upstream)
    return fork.refs.commits.get(named) or fork.upstream_tips[0]


def described(paths: Sequence[str], upstream: str) -> str:
    """A sentence about drifted files. upstream: what they differ from."""
    differ, them = ("differs", "it") if len(paths) == 1 else ("differ", "them")
    files = f"{counted(len(paths), 'file')} {differ}"
    return f"{files} from {upstream} although no fork commit changed {them}."


def drift(sh: Shell, fork: Fork, ground_: Ground) -> list[str]:
    """The paths that differ from upstream although no fork commit touched them or wrote any of the
    differing lines. Files copied from upstream's newer commits are not drift.

    Raises Refused if this clone does not know whose the newest release in the fork is: what it
    brought would look like drift.
    """
    _require_release(sh, fork, ground_)
    before, now = (git.tree(sh, fork.path, commit) for commit in (ground_.base, ground_.healed))
    others = [git.tree(sh, fork.path, commit) for commit in ground_.others]
    paths = [p for p in sorted(before.keys() | now.keys()) if before.get(p) != now.get(p)]
    paths = [p for p in paths if all(tree.get(p) != now.get(p) for tree in others)]
    touched = authorship.touched(ground_.own, {*paths}) | {*ground_.own.copied}
    paths = [path for path in paths if path not in touched]
    texts = git.blobs(
        sh, fork.path, {tree[path][1] for path in paths for tree in (before, now) if path in tree}
    )
    drifted = []
    for path in paths:
        old, new = (
            set(texts.get(tree[path][1], "").split("\n")) if path in tree else set()
            for tree in (before, now)
        )
        if not ground_.own.behind(old ^ new):
            drifted.append(path)
    return drifted


def _require_release(sh: Shell, fork: Fork, known: Ground) -> None:
    """Raises Refused if upstream's history, as this clone knows it, lacks the newest release in the
    fork."""
    release = releases.contained(sh, fork, known.healed, fork.refs)
    commit = fork.refs.tag(release.name) if release else ""
    heads = (known.base, *known.others)
    if release and commit and not git.held(sh, fork.path, heads[0], [commit], *heads[1:]):
        upstream = fork.policy.remotes.upstream.name
        raise Refused(
            f"no branch of the remote `{upstream}` in this clone has {release.name}, which "
            f"{fork.policy.branches.production} contains.",
            then=f"`{git.at(fork.path)} fetch {upstream}`; if it is on none of the branches that "
            "this fetches, also the one that it is on.",
        )


def reset(sh: Shell, work: Path, known: Ground, paths: Sequence[str], message: str) -> None:
    """Reset paths to upstream's content, in one commit in a clean work tree."""
    base = git.tree(sh, work, known.base)
    for wanted, command in (
        ([path for path in paths if path in base], "restore --staged --worktree --source={base}"),
        ([path for path in paths if path not in base], "rm --quiet"),
    ):
        files.on_paths(sh, work, command, wanted, base=known.base)
    files.commit(sh, work, message)


def absorbed(sh: Shell, fork: Fork, known: Ground) -> dict[str, list[Entry]]:
    """The fork's changes that upstream has, too, by path: the fork may drop them."""
    account = ledger.read(sh, fork.path, known.healed, known.tip, known.tip, known.own, fork.policy)
    by_path: dict[str, list[Entry]] = defaultdict(list)
    for entry in account.entries:
        if entry.side is Side.FORK and entry.account.fate is Fate.ABSORBED:
            by_path[entry.path].append(entry)
    return by_path


def _short(lines: Iterable[str], theirs: str) -> list[str]:
    """What only the fork's lines name, if it is too short to be a good pattern anywhere else: short
    texts, or else names. A whole line is not found any more once upstream changes it."""
    texts = [x[0] for line in lines for x in _TEXT.finditer(line) if x[0] not in theirs]
    names = {x for line in lines for x in re.findall(r"[^\W\d]\w{3,}", line)}
    known = {*re.findall(r"\w+", theirs), *keyword.kwlist}
    return texts or sorted(names - known)


def _telling(own: Sequence[str], theirs: str) -> list[str]:
    """Texts by which to recognise the fork's lines of a file: the best kind first, and of each kind
    the longest.

    theirs: upstream's text of the file.
    """
    # Prefer a bare name, unless upstream has it too: it survives when a line is adapted.
    defined = [head[0] for x in own if (head := _DEFINITION.match(x))]
    named = [name for name in defined if name not in theirs]
    words = [x for line in own for x in _WORD.findall(line) if x not in theirs]
    lines = [line for line in own if substantive(line)]  # not one such as `else:`
    kinds = (named, words, _short(own, theirs), lines)
    return [text for kind in kinds for text in sorted({*kind}, key=lambda x: (-len(x), x))]


def _pattern(telling: str) -> str:
    """The regular expression that finds a text."""
    pattern = re.sub(r"([.^$*+?{}\[\]\\|()])", r"\\\1", telling)
    return rf"\b{pattern}\b" if re.fullmatch(r"\w{1,7}", telling) else pattern


def _elsewhere(sh: Shell, repo: Path, commits: Sequence[str], texts: Set[str]) -> set[str]:
    """Those of some texts that one of some commits has in any file."""
    words = ["git", "-C", str(repo), "grep", "-I", "-h", "-o", "-F", "--no-color", "-f", "-"]
    return set(sh.read([*words, *commits], feed=texts).out.split("\n")) if texts else set()


def features(sh: Shell, fork: Fork, known: Ground) -> list[Feature]:
    """A proposal for the manifest: a feature for each `feat:` commit in the fork that is still
    in effect, with files and lines that only the fork has; without patterns if there is nothing
    by which to recognise it. If the fork words its subjects as it likes, so may a feature's be."""
    production = git.tree(sh, fork.path, known.healed)
    upstream = git.tree(sh, fork.path, known.tip)
    units = fork.policy.generated(known.own.paths)
    own_files = _OWN_FILES | fork.policy.files.paths
    by_commit: dict[Commit, list[str]] = defaultdict(list)
    for path, commits in known.own.paths.items():
        changed = path in production and production.get(path) != upstream.get(path)
        if changed and path not in own_files and path not in units:
            for commit in commits:
                by_commit[commit].append(path)
    wrote: dict[Commit, set[str]] = defaultdict(set)
    changed_there = {path for paths in by_commit.values() for path in paths}
    for line, commits in authorship.within(known.own, changed_there).lines.items():
        for commit in commits:
            wrote[commit].add(line)
    manifest = {feature.name for feature in fork.policy.feature}
    proposed: dict[str, Feature] = {}
    telling: dict[str, list[list[str]]] = defaultdict(list)
    for commit, paths in by_commit.items():
        named = _FEATURE.fullmatch(commit.subject)
        free = not (fork.policy.messages.conventional or tags.conventional(commit.subject))
        what = named["what"] if named else commit.subject if free else ""
        if not what or what in manifest or what in proposed:
            continue
        files = sorted(path for path in paths if not is_lock(path))[:_MOST_FILES]
        if not files:
            continue
        names = [tree[path][1] for path in files for tree in (production, upstream) if path in tree]
        texts = git.blobs(sh, fork.path, names)
        for path in files:
            theirs = texts.get(upstream[path][1], "") if path in upstream else ""
            known_there = {line.strip() for line in theirs.split("\n")}
            lines = [line.strip() for line in texts.get(production[path][1], "").split("\n")]
            own = [x for x in lines if x in wrote[commit] and x not in known_there]
            telling[what].append(_telling(own, theirs))
        origin = f"{commit.name[:10]} ({commit.date})"
        proposed[what] = Feature(name=what, files=tuple(files), origin=origin)
    every = {text for texts in telling.values() for some in texts for text in some}
    found = _elsewhere(sh, fork.path, [known.base, known.tip], every)
    for what, feature in proposed.items():
        # A name that upstream has in other files says less.
        best = [min(some, key=lambda x: x in found) for some in telling[what] if some]
        patterns = tuple(dict.fromkeys(map(_pattern, best)))[:_MOST_PATTERNS]
        proposed[what] = structs.replace(feature, patterns=patterns)
    return list(proposed.values())


# --- Tasks and their output -----------------------------------------------------------------------


SECTIONS = ("drift", "absorbed", "features")


def show(s: Session, section: str, resets: bool, scan: bool) -> None:
    """Take stock of the fork; or reset what drifted, or propose features.

    section: the only one to show, "" for all of them.
    Raises CheckFailed if the production branch lacks a part of a feature.
    """
    meant = [name for name, asked in (("drift", resets), ("features", scan)) if asked]
    if section and section not in SECTIONS:
        listed = " or ".join(SECTIONS)
        raise Usage(f"--section {section} is not known.", then=f"choose {listed}.")
    if len({*meant, section} - {""}) > 1:
        options = [f"--section {section}"] * bool(section) + ["--reset"] * resets
        listed = " and ".join([*options, *["--scan"] * scan])
        raise Usage(f"{listed} exclude each other.", then="choose one of them.")
    fork = s.open_fork()
    shown = [section] if section else meant or SECTIONS
    data: dict[str, Any] = {}
    missing: list[Finding] = []
    known = ground(s.sh, fork) if scan or {*shown} != {"features"} else None
    if known and "drift" in shown:
        paths = drift(s.sh, fork, known)
        data["drift"] = {"base": known.base, "paths": paths}
        if resets:
            _reset(s, fork, known, paths)
        else:
            _say_drift(s.console, paths, known, s.command)
    if known and "absorbed" in shown:
        changes = absorbed(s.sh, fork, known)
        data["absorbed"] = {
            path: [e.as_json() for e in entries] for path, entries in changes.items()
        }
        _say_absorbed(s.console, changes)
    if known and scan:
        proposed = features(s.sh, fork, known)
        data["features"] = [feature for feature in proposed if feature.patterns]
        if not s.json:
            feat = " of a `feat:` commit" if fork.policy.messages.conventional else ""
            s.sh.show(manifest(proposed) or f"# Nothing{feat} to propose.")
            if proposed and feat:
                s.sh.show("# Only commits with the type `feat` are here. Add what else must stay.")
    elif "features" in shown:
        require_production(fork)
        missing = missing_features(s.sh, fork)
        data["features"] = {"features": fork.policy.feature, "missing": missing}
        _say_features(s.console, fork.policy, missing, s.command)
    if s.json:
        s.print_json(data if len(shown) > 1 else data[shown[0]])
    if missing:
        branch = fork.policy.branches.production
        problem = f"{branch} lacks {counted(len(missing), 'part')} of its features."
        raise CheckFailed(problem, then="restore them, or correct the manifest.")


def _reset(s: Session, fork: Fork, known: Ground, paths: Sequence[str]) -> None:
    """Set what drifted to upstream's, in one commit on the branch that is checked out."""
    work = fork.repository.work
    state = git.work_state(s.sh, work)
    protected = (fork.local_production, f"refs/heads/{fork.policy.branches.mirror}")
    if state.dirty or state.merging or state.branch in protected or not state.branch:
        raise Refused(
            f"{git.named(work)} is not a clean checkout of a separate branch.",
            then=f"{git.at(work)} switch -c chore/reset-drift {fork.origin_production}, "
            "then run the same command again.",
        )
    base, now, here = (git.tree(s.sh, work, c) for c in (known.base, known.healed, "HEAD"))
    here_too = [p for p in paths if here.get(p) == now.get(p) and here.get(p) != base.get(p)]
    if here_too:
        message = f"chore: reset {counted(len(here_too), 'drifted file')} to upstream"
        with s.locked(fork.repository):
            reset(s.sh, work, known, here_too, message)
    s.console.say(f"{counted(len(here_too), 'file')} reset to upstream {known.base[:10]}.")


def _say_drift(
    console: Console, paths: Sequence[str], known: Ground, command: Callable[..., str]
) -> None:
    """Print files that drifted, and how to reset them."""
    if not paths:
        console.say("Nothing has drifted.")
        return
    console.say(described(paths, f"upstream {known.base[:10]}"), "bold")
    for path in paths:
        console.row("  ", path)
    console.next(f"on a branch for it, {command('fork.inventory', reset=True)}")


def _say_absorbed(console: Console, changes: Mapping[str, Sequence[Entry]]) -> None:
    """Print changes that upstream has, too."""
    hunks = sum(map(len, changes.values()))
    where = f", in {counted(len(changes), 'file')}" if changes else ""
    amount = counted(hunks, "fork change") if hunks else "no fork changes"
    console.say(f"Upstream has absorbed {amount}{where}.", "bold")
    for path, entries in changes.items():
        console.row("  ", path)
        for commit in list(dict.fromkeys(c for entry in entries for c in entry.commits))[:3]:
            console.say(f"    {commit.name[:10]} {commit.date} {commit.subject}")


def _say_features(
    console: Console, policy: Policy, missing: Sequence[Finding], command: Callable[..., str]
) -> None:
    """Print the features of the manifest, and what is missing."""
    production = f"{policy.remotes.origin.name}/{policy.branches.production}"
    if policy.feature:
        lacks = f", of which something is missing on {production}" if missing else ""
        console.say(f"Features of the policy{lacks or f', all of them on {production}'}:", "bold")
    for feature in policy.feature:
        console.row("  ", feature.name)
    for finding in missing:
        console.say(f"missing: {finding.what}", "red")
    if not policy.feature:
        console.say("The policy has no feature manifest. To propose one:")
        console.row("    ", command("fork.inventory", scan=True))


def manifest(features: Sequence[Feature]) -> str:
    """Entries of the feature manifest as TOML; as comments those without patterns."""
    import tomlkit.items

    vague = [feature for feature in features if not feature.patterns]
    features = [feature for feature in features if feature.patterns]

    def quoted(text: str) -> tomlkit.items.String:
        # Single quotes need no escapes in a regex.
        return tomlkit.string(text, literal="\\" in text and "'" not in text)

    tables = tomlkit.aot()
    for feature in features:
        table = tomlkit.table()
        table.add("name", quoted(feature.name))
        for key, words in (("files", feature.files), ("patterns", feature.patterns)):
            listed = tomlkit.array()
            listed.extend(map(quoted, words))
            table.add(key, listed.multiline(len(words) > 1))
        table.add("origin", quoted(feature.origin))
        tables.append(table)
    lines = [tomlkit.dumps({"feature": tables} if features else {}).rstrip("\n")]
    for feature in vague:
        what = printable(f"{feature.name} ({feature.origin})")
        lines += [f"# Not proposed, since no name in it is only the fork's: {what}"]
    return "\n".join(filter(None, lines))
