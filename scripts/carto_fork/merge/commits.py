"""The commits of a history, and what each changed."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from ..run import git
from ..run.shell import Answer, Shell, batches
from ..run.text import lines_of, substantive
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
    if len(words) == 5:  # one parent, as nearly always: a vendored tree has very many such lines
        was, is_, old, new, _ = words
        return None if was in _NOTHING else old, None if is_ in _NOTHING else new
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
    them in another way; not those from before a range.

    among: a range of commits, both by their full hashes.
    """
    # Git walks the whole range each time: for the same lines it does so once.
    asked = (*sorted(lines),)
    key = ("blame", repo, among, path, asked)
    yield from sh.once(key, lambda: [*_behind_wrapping(sh, repo, among, path, asked)])


def _behind_wrapping(
    sh: Shell, repo: Path, among: str, path: str, numbers: Sequence[int]
) -> Iterator[tuple[int, Commit]]:
    """What `blame` finds."""
    formatting = list[str]()
    for _ in range(_MOST_WRAPPED):
        found = [*_blamed(sh, repo, among, path, numbers, formatting)]
        texts = git.blobs(sh, repo, {name for *_, both in found for name in both if name})
        said = {name: lines_of(text) for name, text in texts.items()}
        known = {name: squeezed(lines) for name, lines in said.items()}
        # Mostly the line's words are new: only otherwise it is worth to compare the versions.
        pairs = {
            (before, after)
            for _, number, _, (before, after) in found
            if before in known
            and after in known
            and squeezed(said[after][number - 1 : number]) in known[before]
        }
        made = changes(sh, repo, [*pairs]) if pairs else {}
        more = {
            commit.name
            for _, number, commit, versions in found
            if any(
                change.line <= number < change.line + len(change.added)
                and squeezed(change.added) == squeezed(change.removed)
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


def squeezed(lines: Sequence[str]) -> str:
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
    versions = of_file(sh, repo, paths[0], [tip, "--not", known]) if lines else []
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
        since = of_file(sh, repo, conflict.path, [theirs, "--not", ours])
        before = of_file(sh, repo, conflict.path, base) if base else []
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


def of_file(sh: Shell, repo: Path, path: str, tips: Sequence[str]) -> list[tuple[Commit, Versions]]:
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
