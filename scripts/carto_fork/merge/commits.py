"""The commits of a history, what each changed, and which syncs were reverted or brought nothing."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

from ..fork import records, releases, tags
from ..fork.fork import Fork
from ..fork.policy import Side
from ..fork.tags import Tag
from ..run import git
from ..run.errors import Failed
from ..run.shell import Answer, Shell, batches
from ..run.text import counted, file_word, joined, lines_of, listed, printable, substantive
from . import hunks
from .absorbed import History, Past
from .hunks import Commit

Versions = tuple[str | None, ...]
"""The object names of a file in each parent of a commit and in the commit; None if the file is
missing, or not text: a submodule."""

Changed = Mapping[str, Versions]
"""The paths that a commit changed; for a merge, those that differ from all of its parents."""


@dataclass(frozen=True)
class Entry:
    """A commit of the log.

    landed: the day it was committed in its present form.
    written, made: author time and commit time, in seconds since 1970.
    author: their name, as the commit has it.
    """

    commit: Commit
    parents: Sequence[str]
    changed: Changed
    landed: str
    written: int
    made: int
    author: str


_LOG = ["log", "-c", "--no-show-signature", "--no-color", "--no-renames", "-z", "--root", "--raw"]
_LOG += [
    "--no-abbrev",
    "--date=short",
    "--format=%x00%H%x00%P%x00%ad%x00%cd%x00%at%x00%ct%x00%an%x00%s",
]


def log_of(sh: Shell, repo: Path, ours: str, upstream: Sequence[str]) -> Sequence[Entry]:
    """The commits in one history but not in others, newest first; read once per task."""
    words = ["git", "-C", str(repo), *_LOG, ours, "--not", *upstream, "--"]
    return sh.once(("log", *words), lambda: list(_entries(sh.read(words))))


def _entries(answer: Answer) -> Iterator[Entry]:
    fields = git.checked(answer, "commits").out.split("\0")[:-1]
    start = 0
    while start < len(fields):
        name, parents, day, landed, written, made, author, subject = fields[start + 1 : start + 9]
        # Paths are never empty: an empty field precedes each commit, and another follows the
        # message of a merge.
        end = start + 9 + (" " in parents)
        changed = {}
        while end < len(fields) and fields[end]:
            changed[fields[end + 1]] = _versions(fields[end])
            end += 2
        commit = Commit(name, day, subject)
        times = int(written), int(made)
        yield Entry(commit, parents.split(), changed, landed, *times, author)
        start = end


def landing(log: Sequence[Entry], tip: str, commit: str) -> str:
    """The oldest commit on a branch's first-parent history that contains another one; "" if no
    commit of the log has that one as a parent.

    log: the branch's commits. tip: the newest of them.
    """
    children = defaultdict[str, list[str]](list)
    for entry in log:
        for parent in entry.parents:
            children[parent].append(entry.commit.name)
    holders, left = set[str](), [commit]
    while left:
        new = set(children[left.pop()]) - holders
        holders |= new
        left += new
    first = {entry.commit.name: entry.parents[0] for entry in log if entry.parents}
    oldest = ""
    while tip in holders:
        oldest, tip = tip, first[tip]
    return oldest


def between(sh: Shell, repo: Path, before: str, after: str, *, since: str = "") -> Changed:
    """The paths that differ between two commits, each with its versions in both.

    since: `--merge-base` for the common ancestor's versions instead of the first commit's.
    """
    question = f"diff-tree -r --raw --no-abbrev --no-renames -z {since} {{before}} {{after}}"
    sides = {"before": before, "after": after}
    fields = git.ask(sh, repo, question, "differing files", **sides).fields()
    return {path: _versions(raw) for raw, path in zip(fields[::2], fields[1::2], strict=True)}


_NOTHING = frozenset({"000000", git.SUBMODULE})


def _versions(raw: str) -> Versions:
    """The versions that a line of ``--raw`` names."""
    words = raw.strip("\n:").split(" ")
    sides = len(words) // 2
    return tuple(
        [
            None if mode in _NOTHING else name
            for mode, name in zip(words[:sides], words[sides : 2 * sides], strict=True)
        ]
    )


def touching(
    sh: Shell, repo: Path, tip: str, known: str, paths: Sequence[str], *options: str
) -> Iterator[tuple[Commit, Collection[str]]]:
    """The commits in one history but not in another that changed some files, newest first; each
    with the files it changed.

    options: options of `git log`, such as a limit.
    """
    words = ["git", "-C", str(repo), "--literal-pathspecs", *_LOG, "--no-merges", *options]
    for entry in _entries(sh.read([*words, tip, "--not", known, "--", *paths])):
        yield entry.commit, entry.changed.keys()


def authors(
    sh: Shell, repo: Path, tip: str, known: str, paths: Sequence[str]
) -> dict[str, list[tuple[Commit, Collection[str]]]]:
    """By path, the commits in one history but not in another that changed it, newest first; each
    with the lines that it added or removed there, without surrounding white space. Of very many
    changes, only those of the newest have lines.
    """
    found: list[tuple[str, Commit, Versions]] = []
    for batch in batches(paths):
        words = ["git", "-C", str(repo), "--literal-pathspecs", *_LOG, "--no-merges"]
        for entry in _entries(sh.read([*words, tip, "--not", known, "--", *batch])):
            found += ((path, entry.commit, pair) for path, pair in entry.changed.items())
    made = changes(sh, repo, [pair for *_, pair in found[:_MOST_READ]])
    by_path: dict[str, list[tuple[Commit, Collection[str]]]] = defaultdict(list)
    for path, commit, pair in found:
        lines = (line for x in made.get(pair, ()) for line in (*x.added, *x.removed))
        by_path[path].append((commit, {line.strip() for line in lines}))
    return by_path


def blame(
    sh: Shell, repo: Path, among: str, path: str, lines: Iterable[int]
) -> Iterator[tuple[int, Commit]]:
    """Some lines of a file, each with the commit that it is from, behind commits that only wrapped
    them in another way; not those from before a range."""
    numbers, formatting = sorted(lines), list[str]()
    for _ in range(_MOST_WRAPPED):
        found = [*_blamed(sh, repo, among, path, numbers, formatting)]
        texts = git.blobs(sh, repo, {name for *_, both in found for name in both if name})
        said = {name: lines_of(text) for name, text in texts.items()}
        known = {name: _squeezed(lines) for name, lines in said.items()}
        # Mostly the line's words are new: only otherwise it is worth to compare the versions.
        pairs = {
            (before, after)
            for _, number, _, (before, after) in found
            if before in known
            and after in known
            and _squeezed(said[after][number - 1 : number]) in known[before]
        }
        made = changes(sh, repo, [*pairs]) if pairs else {}
        more = {
            commit.name
            for _, number, commit, versions in found
            if any(
                change.line <= number < change.line + len(change.added)
                and _squeezed(change.added) == _squeezed(change.removed)
                for change in made.get(versions, ())
            )
        }
        if not more:
            break
        formatting += sorted(more)
    yield from ((number, commit) for number, _, commit, _ in found)


def _blamed(
    sh: Shell, repo: Path, among: str, path: str, lines: Iterable[int], but: Sequence[str]
) -> Iterator[tuple[int, int, Commit, Versions]]:
    """Lines of a file, each with its number in the commit that it is from, that commit, and what it
    made of the file. but: the commits to look behind."""
    words = ["git", "-C", str(repo), "blame", "-w", "--line-porcelain"]
    words += [word for name in but for word in ("--ignore-rev", name)]
    words += [word for line in lines for word in ("-L", f"{line},{line}")]
    answer = sh.read([*words, among, "--", path])
    found: list[tuple[int, int, Commit, tuple[str, str]]] = []
    for about in re.split(r"^\t.*\n?", answer.out if answer.ok else "", flags=re.MULTILINE):
        head, *fields = about.split("\n")
        if head and "boundary" not in fields:
            said = dict(field.partition(" ")[::2] for field in fields)
            zone = datetime.strptime(said["author-tz"], "%z").tzinfo
            day = datetime.fromtimestamp(int(said["author-time"]), zone).date()
            name, before, number, *_ = head.split(" ")
            was, _, old = said.get("previous", "").partition(" ")
            pair = (f"{was}:{old}" if was else "", f"{name}:{said['filename']}")
            commit = Commit(name, day.isoformat(), said["summary"])
            found.append((int(number), int(before), commit, pair))
    asked = sorted({place for *_, pair in found for place in pair if place})
    facts = (fact.split(" ") for fact in git.objects(sh, repo, asked))
    names = {place: fact[0] for place, fact in zip(asked, facts, strict=True) if len(fact) == 3}
    for number, before, commit, pair in found:
        yield number, before, commit, tuple(names.get(place) for place in pair)


def removed_by(
    sh: Shell, repo: Path, tip: str, path: str, added: Iterable[Sequence[str]]
) -> dict[Commit, list[Sequence[str]]]:
    """The newest commit of a history that removed each of some runs of lines from a file, however
    they were wrapped, with these runs."""
    left = [lines for lines in added if any(map(substantive, lines))]
    versions = _of_file(sh, repo, path, [tip]) if left else []
    made = changes(sh, repo, [pair for _, pair in versions])
    found: dict[Commit, list[Sequence[str]]] = {}
    for commit, pair in versions:
        gone = [_squeezed(change.removed) for change in made.get(pair, ())]
        its = [lines for lines in left if any(_squeezed(lines) in text for text in gone)]
        left = [lines for lines in left if lines not in its]
        found |= {commit: its} if its else {}
    return found


def _squeezed(lines: Sequence[str]) -> str:
    """Lines as one word, without what wraps them."""
    return re.sub(r"[\s,'\"]+", "", "".join(lines))


_MOST_WRAPPED = 4
"""So often blame looks behind commits that only wrapped lines in another way."""
_MOST_READ = 3000
_MOST_VERSIONS = 200


def behind(
    sh: Shell, repo: Path, tip: str, known: str, paths: Sequence[str], lines: Collection[str]
) -> list[Commit]:
    """The commits in one history but not in another that added or removed one of some lines of a
    file, newest first; all that touched it, if none did.

    paths: the file's names. lines: without surrounding white space.
    """
    versions = _of_file(sh, repo, paths[0], [tip, "--not", known]) if lines else []
    made = changes(sh, repo, [pair for _, pair in versions])
    found = [
        commit
        for commit, pair in versions
        if any(
            line.strip() in lines
            for change in made.get(pair, ())
            for line in (*change.added, *change.removed)
        )
    ]
    return found or [commit for commit, _ in touching(sh, repo, tip, known, paths)]


def history(
    sh: Shell, repo: Path, ours: str, theirs: str, conflicts: Sequence[hunks.Conflict]
) -> History:
    """What upstream did to the conflicting files, after the common ancestor and before it."""
    past = {}
    base = git.merge_bases(sh, repo, ours, theirs)[:1]
    for conflict in conflicts:
        wrote = _written(conflict)
        if not wrote:
            continue
        since = _of_file(sh, repo, conflict.path, [theirs, "--not", ours])
        before = _of_file(sh, repo, conflict.path, base) if base else []
        made = changes(sh, repo, [versions for _, versions in (*since, *before)])
        took = {
            commit: versions[-1]
            for commit, versions in since
            if versions[-1]
            and any(wrote & {*map(str.strip, x.added)} for x in made.get(versions, ()))
        }
        texts = git.blobs(sh, repo, filter(None, took.values()))
        gone = (x.removed for _, versions in before for x in made.get(versions, ()))
        past[conflict.path] = Past(
            [(commit, texts[name]) for commit, name in took.items() if name in texts],
            frozenset(line.strip() for lines in gone for line in lines),
        )
    return History(past)


def _written(conflict: hunks.Conflict) -> set[str]:
    """The significant lines that the fork's side of a conflict has and the base lacks."""
    parts = hunks.parse(conflict.text or "") or []
    both = ((part.ours, part.base or ()) for part in parts if isinstance(part, hunks.Hunk))
    return {line.strip() for ours, base in both for line in {*ours} - {*base} if substantive(line)}


def _of_file(
    sh: Shell, repo: Path, path: str, tips: Sequence[str]
) -> list[tuple[Commit, Versions]]:
    """The newest commits that changed a file, with the file's versions."""
    words = ["git", "-C", str(repo), "--literal-pathspecs", *_LOG, "--no-merges"]
    answer = sh.read([*words, f"--max-count={_MOST_VERSIONS}", *tips, "--", path])
    return [(e.commit, e.changed[path]) for e in _entries(answer) if path in e.changed]


def changes(sh: Shell, repo: Path, pairs: Sequence[Versions]) -> dict[Versions, list[hunks.Change]]:
    """The hunks between pairs of versions of a file, compared once per task; empty if one is too
    large to read."""
    known: dict[Versions, list[hunks.Change]] = sh.once(("changes", repo), dict)
    asked = [pair for pair in dict.fromkeys(pairs) if pair[0] != pair[1]]
    made = _compared(sh, repo, [pair for pair in asked if pair not in known])
    found = {pair: made[pair] if pair in made else known[pair] for pair in asked}
    if len(known) < _MOST_KEPT:
        known |= {pair: its for pair, its in made.items() if _size(its) <= _MOST_LINES}
    return found


_MOST_KEPT, _MOST_LINES = 20_000, 200
"""So many comparisons are kept in memory, each with so many lines."""


def _size(found: Iterable[hunks.Change]) -> int:
    return sum(len(change.added) + len(change.removed) for change in found)


def _compared(
    sh: Shell, repo: Path, pairs: Sequence[Versions]
) -> dict[Versions, list[hunks.Change]]:
    if not pairs:
        return {}
    empty = git.empty_blob(sh, repo)
    asked = dict.fromkeys((old or empty, new or empty) for old, new in pairs)
    large = git.large(sh, repo, (name for pair in asked for name in pair))
    made: Mapping[tuple[str, str], list[hunks.Change]] = {}
    if wanted := [pair for pair in asked if large.keys().isdisjoint(pair)]:
        one, other = git.make_trees(sh, repo, *zip(*wanted, strict=True))
        words = ["git", "-C", str(repo), "diff-tree", "-r", "-p", "-U0", "--no-renames"]
        words += ["--full-index", "--no-color", "--no-ext-diff", "--no-textconv"]
        words += ["--inter-hunk-context=0", "--diff-algorithm=histogram", one, other]
        made = hunks.parse_patch(git.checked(sh.read(words), "changes").out)
    return {(old, new): made.get((old or empty, new or empty), []) for old, new in pairs}


# --- Missing syncs --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Reverted:
    """A sync that fork commits reverted.

    release: the sync's release. commit: the commit that reverted it, or the newest of several.
    gone: the paths that are as before the sync. brought: how many paths the sync changed.
    others: the other paths that the commit changed. older: further commits that reverted it.
    """

    release: Tag
    commit: Commit
    gone: tuple[str, ...]
    brought: int
    others: tuple[str, ...] = ()
    older: tuple[Commit, ...] = ()

    @property
    def said(self) -> str:
        """What happened, as a sentence without its full stop."""
        by = f"{self.commit.name[:10]} ({self.commit.date}, {printable(self.commit.subject)})"
        by += f" and {counted(len(self.older), 'older commit')}" if self.older else ""
        other = listed([*map(file_word, self.others)])
        more = f" (to undo this also takes back what the commit did to {other})" if other else ""
        return (
            f"{by} reverted the sync to {self.release.name}: {len(self.gone)} of its "
            f"{counted(self.brought, 'file')} are as before, and no later merge brings that back"
            f"{more}"
        )

    def undone(self, fork: Fork) -> str:
        """The command that undoes it."""
        names = (commit.name[:10] for commit in (self.commit, *self.older))
        return f"{git.at(fork.path)} revert --no-edit {' '.join(names)}"


@dataclass(frozen=True)
class Empty(Reverted):
    """A sync whose merge brought nothing, as `git merge -s ours` makes it.

    commit: the merge. brought: how many paths it should have changed. base, theirs: what it should
    have brought is the difference between these upstream commits.
    """

    base: str = ""
    theirs: str = ""

    @property
    def said(self) -> str:
        """What happened, as a sentence without its full stop."""
        return (
            f"{self.commit.name[:10]} ({self.commit.date}, {printable(self.commit.subject)}) "
            f"merged {self.release.name} but kept the fork's files: {len(self.gone)} of the "
            f"{counted(self.brought, 'file')} that the release changes are as before, and no later "
            "merge brings that"
        )

    def undone(self, fork: Fork) -> str:
        """The command that merges the difference: git takes the release itself for merged."""
        at, message = git.at(fork.path), joined([f"chore: bring what {self.release.name} changed"])
        made = f"{at} commit-tree {self.theirs[:10]}: -p {self.base[:10]} -m {message}"
        return f"{at} merge --no-ff --no-edit $({made})"


def reverted_sync(
    sh: Shell,
    fork: Fork,
    production: str,
    merged: Mapping[str, str] | None = None,
    theirs: Sequence[str] = (),
) -> Reverted | None:
    """The newest sync in a history that was reverted after it landed, as a whole or in part, or
    whose merge brought nothing; None if all are whole. What people dropped with a reason does not
    count.

    merged: the tags that the history contains, as `releases.merged` returns them, if known.
    theirs: the commits to be merged, if known.
    """
    if merged is None:
        merged = releases.merged(sh, fork, production, fork.refs)
    classified = (tags.classify(name, fork.policy.tags) for name in merged)
    newest = sorted((tag for tag in classified if tag and tag.stable), reverse=True)[
        :_MOST_RELEASES
    ]
    heads = releases.upstream_heads(sh, fork, production)
    for release in newest:
        commit, latest = merged[release.name], merged[newest[0].name]
        upstream = tuple(dict.fromkeys([*theirs, *heads])) or (commit,)
        key = ("reverted", production, commit)
        look = partial(_find, sh, fork, production, release, commit, upstream, latest)
        if taken := sh.once(key, look):
            return taken
    return None


_MOST_RELEASES = 3
"""Older reverts count as the fork's normal state."""


def _find(
    sh: Shell,
    fork: Fork,
    production: str,
    release: Tag,
    theirs: str,
    upstream: Sequence[str],
    latest: str,
) -> Reverted | None:
    log = log_of(sh, fork.path, production, upstream)
    sync = landing(log, production, theirs)
    if not sync and theirs == latest:
        sync = git.first_with(sh, fork.path, theirs, production)
    merge = next((e.commit for e in log if e.commit.name == sync and e.parents[1:]), None)
    if not merge:
        return None
    brought = _telling(fork, between(sh, fork.path, f"{sync}^1", sync))
    if empty := _empty(sh, fork, production, release, theirs, merge, brought, latest):
        return empty
    if sync == production:
        return None
    restored: dict[str, Commit] = {}  # by commits that did nothing else
    for entry in log:
        changed = _telling(fork, entry.changed) if len(entry.parents) == 1 else {}
        # Back from the sync's version to the one before: no earlier commit did that.
        back = {p: made for p, made in changed.items() if brought.get(p, ())[::-1] == made}
        left = _missing(sh, fork, production, back) if back else ()
        others = tuple(changed.keys() - back.keys())
        most = 2 * len(back) >= len(brought) and (not others or len(back) >= _FEWEST)
        if left and (
            most or _is_part(sh, fork, log, sync, theirs, entry.commit.name, {} if others else back)
        ):
            return Reverted(release, entry.commit, left, len(brought), tuple(sorted(others)))
        if not others:
            restored = dict.fromkeys(left, entry.commit) | restored
    if len(restored) < max(_FEWEST, len(brought) / 2):
        return None
    by = set(restored.values())
    newest, *older = (entry.commit for entry in log if entry.commit in by)
    return Reverted(release, newest, tuple(restored), len(brought), older=tuple(older))


def _telling(fork: Fork, changed: Changed) -> dict[str, Versions]:
    """The changes without recomputed files, and without submodules, whose old versions the log
    lacks."""
    notes = {*records.NOTES, *fork.policy.version_paths}
    return {path: made for path, made in changed.items() if path not in notes and any(made)}


_MOST_BESIDES = 20
"""A merge that changed more files brought something."""


def _empty(
    sh: Shell,
    fork: Fork,
    production: str,
    release: Tag,
    theirs: str,
    merge: Commit,
    brought: Changed,
    latest: str,
) -> Empty | None:
    """The merge of a release if it left nearly everything out and the branch still lacks that.

    Only files of which the fork had the old version prove it: no merge leaves those as they were,
    unless somebody chose the fork's files. New files that are missing prove nothing, because the
    fork may have deleted or renamed their directory.

    brought: what the merge changed. latest: the newest release in the branch, which may itself have
    the old version again.
    """
    if len(brought) > _MOST_BESIDES:
        return None
    sides = (f"{merge.name}^1", theirs)
    try:
        changed = _telling(fork, between(sh, fork.path, *sides, since="--merge-base"))
    except Failed:  # they have several common ancestors, or none
        if not (bases := git.merge_bases(sh, fork.path, *sides)):
            return None
        changed = _telling(fork, between(sh, fork.path, bases[0], theirs))
    if 10 * len(brought.keys() & changed.keys()) >= len(changed):
        return None
    now, newest = (git.tree(sh, fork.path, commit) for commit in (production, latest))
    before = {path: made[::-1] for path, made in changed.items() if made[0] != made[1]}
    left = _missing(sh, fork, production, before)
    gone = tuple(path for path in left if now.get(path) != newest.get(path))
    has = sum(now.get(path, ("", None))[1] == made[0] for path, made in before.items())
    if len(now.keys() & gone) < max(_FEWEST, has):
        return None
    base = git.merge_bases(sh, fork.path, *sides)[0]
    return Empty(release, merge, gone, len(before), base=base, theirs=theirs)


def _missing(sh: Shell, fork: Fork, production: str, back: Changed) -> tuple[str, ...]:
    """The paths that are still as a commit restored them, and that nobody dropped on purpose."""
    now = git.tree(sh, fork.path, production)
    text = git.show(sh, fork.path, production, records.DROPS_FILE)
    upstreams = [d for d in records.read_drops(text) if d.side == Side.UPSTREAM.value]
    dropped = {drop.path for drop in upstreams if not drop.lines}
    gone = (p for p, made in back.items() if now.get(p, ("", None))[1] == made[-1])
    return tuple(path for path in gone if path not in dropped)


_FEWEST = 3
"""If one commit restores this many files, the fork hardly decided about each of them."""


def _is_part(
    sh: Shell, fork: Fork, log: Sequence[Entry], sync: str, theirs: str, by: str, alone: Changed
) -> bool:
    """Whether a commit partly reverts a sync: its message names the sync, as git's does, or it only
    restores several files that the fork had exactly as upstream.

    Reverting another commit, such as an upstream commit, is the fork's decision; so is deleting new
    files, or restoring the fork's own lines in a file.

    by: the commit. alone: what it restored to the state before the sync, if it did nothing else.
    """
    text = git.ask(sh, fork.path, "log -1 --format=%B {by}", "message", by=by).out
    if named := re.findall(r"\b[0-9a-f]{40}\b", text):
        return any(
            landing(log, name, theirs) and (name == sync or landing(log, sync, name) == sync)
            for name in named
        )
    if len(alone) < _FEWEST or not any(map(all, alone.values())):
        return False
    base = git.tree(sh, fork.path, git.merge_bases(sh, fork.path, f"{sync}^1", theirs)[0])
    return all(base.get(path, ("", None))[1] == made[-1] for path, made in alone.items())
