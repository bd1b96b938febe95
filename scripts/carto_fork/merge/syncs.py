"""Upstream's work that came without its ancestry: copies of its commits, syncs that were squashed
or landed by rebase."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

from ..fork import records
from ..run import git
from ..run.shell import Shell
from ..run.text import substantive
from .commits import Changed, Entry, Versions, changes
from .hunks import Change, Commit, Customisations, Sync

MOST_PATHS = 20
"""A commit with one parent that changes more paths than these may be a squashed sync."""
_FEWEST_PATHS = 3
"""A commit with one parent that states a version may be one if it changes so many paths."""


@dataclass(frozen=True)
class Suspect:
    """A commit that may be a sync, or upstream commits in copies in a row.

    commit: the newest of them. landed: the day on which it was made as it is.
    before: what they build on. merged: what of upstream's was merged last before them, "" if that
        is not known.
    changed: the paths that they changed, each with the object name of what is there then.
    names: all of them.
    """

    commit: Commit
    landed: str
    before: str
    merged: str
    changed: Mapping[str, str | None]
    names: frozenset[str]


def among(
    sh: Shell,
    repo: Path,
    suspects: Sequence[Suspect],
    upstream: Sequence[str],
    version_files: Set[str],
) -> Iterator[tuple[Suspect, Sync]]:
    """Those that are syncs: half of their files or more are as upstream had them around that time,
    and they are nearer to an upstream commit than what of upstream's was there before.

    version_files: the paths that state the version.
    """
    left = [
        suspect
        for suspect in suspects
        if len(suspect.changed) > MOST_PATHS
        or (len(suspect.changed) >= _FEWEST_PATHS and not version_files.isdisjoint(suspect.changed))
    ]
    found: list[Suspect] = []
    # Most syncs land soon after what they brought; to look far back costs more.
    for days in (60, 400, None):
        if left:
            alike, left = _like_upstream(sh, repo, left, upstream, days)
            found += alike
    for suspect in suspects:
        if suspect in found:
            key = ("parent", repo, suspect.commit, suspect.landed, tuple(upstream))
            if parent := sh.once(key, partial(_lost_parent, sh, repo, suspect, upstream)):
                yield suspect, Sync(parent, suspect.landed, suspect.before, suspect.names)


def _lost_parent(sh: Shell, repo: Path, suspect: Suspect, upstream: Sequence[str]) -> str | None:
    """The upstream commit that a commit brought; None if what it builds on has one that is as
    near: then it took back what the fork had changed."""
    name = suspect.commit.name
    parent = nearest(sh, repo, name, suspect.landed, upstream)
    if not parent:
        return None
    # What was merged last is cheap to know; few suspects are syncs.
    here, before = git.distances(sh, repo, name, [parent, suspect.merged or suspect.before])
    if suspect.merged and before <= here:
        return None
    bases = git.merge_bases(sh, repo, suspect.before, *upstream)
    farther = (distance > here for distance in git.distances(sh, repo, name, bases))
    return parent if all(farther) else None


def _like_upstream(
    sh: Shell,
    repo: Path,
    suspects: Sequence[Suspect],
    upstream: Sequence[str],
    days: int | None,
) -> tuple[list[Suspect], list[Suspect]]:
    """Those half of whose files or more are as upstream had them in so many days before, since the
    last merge by default, and more than are as what was merged last has them; and those of which it
    may be true further back: they did not delete most of their files."""
    if days is None:
        merged = list({suspect.merged for suspect in suspects if suspect.merged})
        began = {name: time for time, name in _times(sh, repo, ["--no-walk"], merged)}
        since = [began.get(suspect.merged, 0) for suspect in suspects]
    else:
        # A copy is as old as what it copies.
        made = (datetime.fromisoformat(suspect.commit.date) for suspect in suspects)
        since = [int((day - timedelta(days=days)).timestamp()) for day in made]
    last = [int(datetime.fromisoformat(f"{s.landed}T23:59:59").timestamp()) for s in suspects]
    within = f"--max-age={min(since)}", f"--min-age={max(last)}"
    history = _times(sh, repo, ["--first-parent", *within], upstream)
    wanted = []
    for suspect, first, end in zip(suspects, since, last, strict=True):
        candidates = [*_sample([name for time, name in history if first <= time <= end], 16)]
        # What this program writes down in the fork proves neither.
        telling = [p for p in suspect.changed if p not in records.NOTES and "\n" not in p]
        # What was merged last comes at the end.
        wanted.append((suspect, telling, [*candidates, suspect.merged or git.NULL]))
    few = _alike(sh, repo, wanted, 6)
    some = [one for one, (*alike, _) in zip(wanted, few, strict=True) if max(alike, default=0)]
    counts = iter(_alike(sh, repo, some, _MOST_LOOKS))
    alike = {one[0].commit: next(counts) for one in some}
    found, left = [], []
    for suspect, telling, _ in wanted:
        paths = _sample(telling, _MOST_LOOKS)
        *then, before = alike.get(suspect.commit, [0])
        most = max(then, default=0)
        if 2 * most >= len(paths) and most > before:
            found.append(suspect)
        elif 2 * sum(bool(suspect.changed[path]) for path in paths) >= len(paths):
            left.append(suspect)
    return found, left


def _times(
    sh: Shell, repo: Path, how: Sequence[str], names: Sequence[str]
) -> list[tuple[int, str]]:
    """When commits of a history were made, in seconds since 1970, each with its name."""
    if not names:
        return []
    # A plain list of times and names comes from the commit graph, if there is one.
    words = ["git", "-C", str(repo), "rev-list", *how, "--timestamp", *names, "--"]
    lines = git.checked(sh.read(words), "upstream's history").out.splitlines()
    return [(int(time), name) for time, name in map(str.split, lines)]


_MOST_LOOKS = 24


def _alike(
    sh: Shell, repo: Path, wanted: Sequence[tuple[Suspect, Sequence[str], list[str]]], most: int
) -> list[list[int]]:
    """How many of so many paths are in a suspect as in each of some commits."""
    looks = [(suspect, _sample(paths, most), commits) for suspect, paths, commits in wanted]
    pairs = [(c, path) for _, paths, commits in looks for c in commits for path in paths]
    # In a directory that upstream did not have, as that of vendored files, nothing is asked for.
    tops = list(dict.fromkeys((c, _top(path)) for c, path in pairs))
    answers = git.objects(sh, repo, [f"{c}:{top}" for c, top in tops])
    known = {k for k, answer in zip(tops, answers, strict=True) if not answer.endswith(" missing")}
    names = [
        f"{c}:{p}"
        for _, paths, commits in looks
        for c in commits
        # Where most of the files lie in such directories, they cannot be as upstream has them.
        if 2 * sum((c, _top(p)) in known for p in paths) >= len(paths)
        for p in paths
        if (c, _top(p)) in known
    ]
    theirs = dict(zip(names, git.objects(sh, repo, names), strict=True))
    return [
        [
            sum(theirs.get(f"{c}:{p}", "").startswith(f"{s.changed[p]} blob ") for p in paths)
            for c in commits
        ]
        for s, paths, commits in looks
    ]


def _top(path: str) -> str:
    return path.partition("/")[0]


def _sample(items: Sequence[str], most: int) -> Sequence[str]:
    """At most so many of the items, spread evenly."""
    return items[:: -(-len(items) // most) or 1]


def nearest(sh: Shell, repo: Path, commit: str, day: str, upstream: Sequence[str]) -> str | None:
    """The upstream commit whose files are the nearest to a commit's, among those up to a day
    that it does not hold.

    Along upstream's history the distance falls towards the one commit and rises behind it, so that
    looking here and there first is enough.
    """
    best: tuple[int, str] | None = None
    seen: list[str] = []
    for tip in upstream:
        listed = sh.ask(
            "git -C {repo} rev-list --first-parent --before={date} {tip} --not {known} --",
            repo=repo,
            date=f"{day}T23:59:59",
            tip=tip,
            known=[commit, *seen],
        )
        seen.append(tip)
        history = git.checked(listed, "upstream's history").out.split()
        first, last, step = 0, len(history), max(1, len(history) // 24)
        while first < last:
            looked_at = range(first, last, step)
            distances = git.distances(sh, repo, commit, [history[i] for i in looked_at])
            distance, place = min(zip(distances, looked_at, strict=True))
            if step == 1:
                best = min(best, (distance, history[place])) if best else (distance, history[place])
                break
            first, last = max(0, place - step), min(len(history), place + step + 1)
            step = max(1, (last - first) // 8)
    return best[1] if best else None


# --- Copies of upstream commits ----------------------------------------------------------------


@dataclass(frozen=True)
class Copy:
    """What is in a copy of an upstream commit and not in that one: it is the fork's own.

    mostly: whether that one holds the most of it.
    """

    paths: Collection[str]
    lines: Collection[str]
    mostly: bool


def copies(sh: Shell, repo: Path, log: Sequence[Entry], upstream: Sequence[str]) -> dict[str, Copy]:
    """The commits that hold changes of an earlier upstream commit.

    Git keeps the author's time in a copy, which leads to what may have been copied. Anybody can
    write a time: only the lines prove it.
    """
    single = [entry for entry in log if len(entry.parents) == 1]
    if not single:
        return {}
    times = {str(entry.written) for entry in single}
    words = ["git", "-C", str(repo), "log", "--no-merges", "--no-show-signature", "--no-color"]
    words += [f"--since={min(map(int, times))}", "--format=%at %ct %H %s", *upstream, "--"]
    originals: dict[str, list[list[str]]] = defaultdict(list)
    for line in git.checked(sh.read(words), "upstream's commits").out.split("\n"):
        if (time := line[: line.find(" ")]) in times:
            originals[time].append(line.split(" ", 3)[1:])
    pairs = {}
    for entry in single:
        earlier = [x for x in originals.get(str(entry.written), ()) if int(x[0]) < entry.made]
        if earlier:
            like = max(earlier, key=lambda x: x[2] == entry.commit.subject)
            pairs[entry.commit.name] = like[1]
    singles = [entry for entry in single if entry.commit.name in pairs]
    names = [
        f"{pairs[entry.commit.name]}{generation}:{path}"
        for entry in singles
        for path in entry.changed
        if "\n" not in path
        for generation in ("^", "")
    ]
    answers = zip(names, git.objects(sh, repo, names), strict=True)
    theirs = {name: line.split(" ")[0] if " blob " in line else None for name, line in answers}
    both: list[tuple[Changed, Changed]] = []
    for entry in singles:
        original = pairs[entry.commit.name]
        other = {
            path: (theirs.get(f"{original}^:{path}"), theirs.get(f"{original}:{path}"))
            for path in entry.changed
        }
        both.append((entry.changed, other))
    known = changes(sh, repo, [v for pair in both for side in pair for v in side.values()])
    found = zip(singles, (_copy(known, *pair) for pair in both), strict=True)
    return {entry.commit.name: copy for entry, copy in found if copy}


def _copy(
    known: Mapping[Versions, Sequence[Change]], changed: Changed, other: Changed
) -> Copy | None:
    """What is left of a change beside an upstream one to the same paths; None if that holds
    nothing of it. known: the hunks of both."""

    def lines(versions: Versions) -> set[str]:
        made = known.get(versions, ())
        signed = {
            "-": (x for c in made for x in c.removed),
            "+": (x for c in made for x in c.added),
        }
        return {s + x.strip() for s, found in signed.items() for x in found if re.search(r"\w", x)}

    held, left, rest = 0, 0, dict[str, set[str]]()
    for path, versions in changed.items():
        own, theirs = lines(versions), lines(other[path])
        # Where no line shows it, it is the same change if it made the same file.
        same = versions[-1] == other[path][-1] != other[path][0]
        if own <= theirs if own else same:
            held += max(1, len(own))
            continue
        rest[path] = own - theirs
        held += len(own & theirs)
        left += max(1, len(rest[path]))
    own_lines = {line[1:] for lines in rest.values() for line in lines}
    return Copy(list(rest), [*filter(substantive, own_lines)], held >= left) if held else None


def suspects(log: Sequence[Entry], copied: Mapping[str, Copy]) -> list[Suspect]:
    """What may be a sync with one parent only, newest first: a commit, or copies in a row."""
    own, merged = {entry.commit.name for entry in log}, ""
    rows: list[tuple[list[Entry], str]] = []
    row: list[Entry] = []
    for entry in reversed(log):
        if len(entry.parents) > 1:
            merged = next((name for name in entry.parents if name not in own), merged)
        elif entry.parents:
            copy = copied.get(entry.commit.name)
            if not (copy and copy.mostly and row):
                rows.append((row := [], merged))
            row.append(entry)
            row = row if copy and copy.mostly else []
    return [_suspect(row, merged) for row, merged in reversed(rows)]


def _suspect(row: Sequence[Entry], merged: str) -> Suspect:
    changed = {path: versions[-1] for e in row for path, versions in e.changed.items()}
    names = frozenset(entry.commit.name for entry in row)
    first, last = row[0], row[-1]
    return Suspect(last.commit, last.landed, first.parents[0], merged, changed, names)


# --- Ancestry that is lost -----------------------------------------------------------------------


@dataclass(frozen=True)
class Lost:
    """A sync whose ancestry is lost: git does not know that upstream's work is merged.

    sync: the commit that brought upstream's work, with one parent only.
    parent: the upstream commit whose files it brought; the other parent that it ought to have.
    differs: in how many paths the two differ.
    hidden: those of them that upstream knows and no commit of the fork's own changed; recording the
        ancestry would say of them that the fork wants them so.
    copies: whether it is the last of several upstream commits in copies.
    """

    sync: Commit
    parent: str
    differs: int
    hidden: tuple[str, ...]
    copies: bool = False


def newest_lost(
    sh: Shell, repo: Path, production: str, merged: str, own: Customisations
) -> Lost | None:
    """The newest sync in a branch's history whose ancestry is lost; None if all is well. One of
    which most was taken back since is none.

    production: the branch. merged: the day of the newest upstream commit in it.
    """
    for commit, sync in own.squashed.items():
        if sync.landed < merged or git.is_ancestor(sh, repo, sync.parent, production):
            continue
        # Git merges anew what was taken back; with the ancestry on record it never would.
        brought = git.differing(sh, repo, sync.before, commit.name)
        now, before = (git.tree(sh, repo, name) for name in (production, sync.before))
        if 2 * sum(now.get(path) == before.get(path) for path in brought) >= len(brought):
            continue
        differs = git.differing(sh, repo, sync.parent, commit.name)
        hidden = tuple(hides(sh, repo, commit, sync.parent, differs, own))
        return Lost(commit, sync.parent, len(differs), hidden, len(sync.names) > 1)
    return None


def hides(
    sh: Shell,
    repo: Path,
    sync: Commit,
    parent: str,
    differs: Sequence[str],
    own: Customisations,
) -> list[str]:
    """The paths of which recording a sync's ancestry would say, wrongly, that the fork wants them
    so: upstream has them, or had them when the fork last merged, and no other commit of the
    fork changed them. A file that only the sync ever had hides nothing, nor one to which it only
    added lines.

    differs: the paths in which the sync and upstream's commit differ.
    """
    bases = git.merge_bases(sh, repo, f"{sync.name}^", parent)
    known = {path for commit in (parent, *bases[:1]) for path in git.tree(sh, repo, commit)}
    return [
        path
        for path in differs
        if path in known
        and not any(commit != sync for commit in own.of([path]))
        and _lacks(sh, repo, sync.name, parent, path)
    ]


def _lacks(sh: Shell, repo: Path, sync: str, parent: str, path: str) -> bool:
    """Whether a sync's file is without an upstream line; one that only has more hides none."""
    old, new = (git.show(sh, repo, commit, path) for commit in (parent, sync))
    if old is None or new is None or "\0" in old + new:
        return True
    return not Counter(old.split("\n")) <= Counter(new.split("\n"))


def healed_commit(sh: Shell, repo: Path, production: str, lost: Lost) -> str:
    """A commit with a branch's files and both its history and the lost one.

    It lies in the object store alone, for forecasts: no ref leads to it.
    """
    words = ["git", "-C", str(repo), "-c", "user.name=carto-fork", "-c", "user.email=carto-fork"]
    words += ["commit-tree", f"{production}^{{tree}}", "-p", production, "-p", lost.parent]
    made = sh.read([*words, "-m", f"forecast: heal {lost.sync.name}"])
    return git.checked(made, "healed history").line
