"""Upstream's work that came without its ancestry: copies of its commits, squashed or rebased
syncs."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

from ..fork import generated, lineage, records
from ..run import git
from ..run.shell import Shell
from ..run.text import substantive
from .commits import Changed, Entry, Versions, changes
from .hunks import Change, Commit, Customisations, Sync

MOST_PATHS = 20
"""A commit with one parent that changes more paths than this may be a squashed sync."""
_FEWEST_PATHS = 3
"""A commit with one parent that changes the version may be one if it changes this many paths."""


@dataclass(frozen=True)
class Suspect:
    """A commit that may be a sync, or a row of copied upstream commits.

    commit: the newest of them. landed: the day it was committed.
    before: the commit they build on. merged: the last upstream commit merged before them; "" if
        unknown.
    changed: the paths that they changed, each with the resulting object name.
    names: the hashes of all of them.
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
    """The suspects that are syncs: at least half of their files equal upstream's of that time, and
    they are nearer to an upstream commit than what had been merged before.

    version_files: the paths that state the version.
    """
    telling = ((suspect, sum(map(_tells, suspect.changed))) for suspect in suspects)
    left = [
        suspect
        for suspect, number in telling
        if number > MOST_PATHS
        or (number >= _FEWEST_PATHS and not version_files.isdisjoint(suspect.changed))
    ]
    like_upstream: list[Suspect] = []
    # Most syncs land soon after the commit they bring; searching far back costs more.
    for days in (60, 400, None):
        if left:
            alike, left = _like_upstream(sh, repo, left, upstream, days)
            like_upstream += alike
    for suspect in suspects:
        if suspect in like_upstream:
            key = ("parent", repo, suspect.commit, suspect.landed, tuple(upstream))
            if parent := sh.once(key, partial(_lost_parent, sh, repo, suspect, upstream)):
                yield suspect, Sync(parent, suspect.landed, suspect.before, suspect.names)


def _lost_parent(sh: Shell, repo: Path, suspect: Suspect, upstream: Sequence[str]) -> str | None:
    """The upstream commit that a commit brought; None if its parent's history has one that is as
    near: then it reverted changes of the fork."""
    name = suspect.commit.name
    parent = nearest(sh, repo, name, suspect.landed, upstream)
    if not parent:
        return None
    # The last merged commit is cheap to compare; few suspects are syncs.
    own, before = _distances(sh, repo, name, [parent, suspect.merged or suspect.before])
    if suspect.merged and before <= own:
        return None
    bases = git.merge_bases(sh, repo, suspect.before, *upstream)
    farther = (distance > own for distance in _distances(sh, repo, name, bases))
    return parent if all(farther) and _is_whole(sh, repo, suspect, parent) else None


def _is_whole(sh: Shell, repo: Path, suspect: Suspect, parent: str) -> bool:
    """Whether a commit has what upstream did up to a commit, but for a file or two in which it is
    as before: a release branch that only picks commits lacks many."""
    bases = git.merge_bases(sh, repo, suspect.before, parent)
    if not bases:
        return True
    before, then, now = (git.tree(sh, repo, x) for x in (bases[0], parent, suspect.commit.name))
    brought = [x for x in git.differing(sh, repo, bases[0], parent) if _tells(x)]
    has = sum(now.get(path) == then.get(path) for path in brought)
    lacks = sum(now.get(path) == before.get(path) for path in brought)
    return lacks <= max(_LEFT_OUT, has / 50)


_LEFT_OUT = 2
"""So many files may be left out of a sync that is squashed, or one in fifty."""


def _like_upstream(
    sh: Shell,
    repo: Path,
    suspects: Sequence[Suspect],
    upstream: Sequence[str],
    days: int | None,
) -> tuple[list[Suspect], list[Suspect]]:
    """The suspects of whose files at least half equal upstream's within some days before (None:
    since the last merge), and more than equal the last merged commit's; and those for which this
    may hold further back, because they did not delete most of their files."""
    if days is None:
        merged = list({suspect.merged for suspect in suspects if suspect.merged})
        began = {name: time for time, name in _times(sh, repo, ["--no-walk"], merged)}
        since = [began.get(suspect.merged, 0) for suspect in suspects]
    else:
        # A copy has the author time of its original.
        made = (datetime.fromisoformat(suspect.commit.date) for suspect in suspects)
        since = [int((day - timedelta(days=days)).timestamp()) for day in made]
    last = [int(datetime.fromisoformat(f"{s.landed}T23:59:59").timestamp()) for s in suspects]
    within = f"--max-age={min(since)}", f"--min-age={max(last)}"
    history = _times(sh, repo, ["--first-parent", *within], upstream)
    wanted = []
    for suspect, first, end in zip(suspects, since, last, strict=True):
        candidates = [*_sample([name for time, name in history if first <= time <= end], 16)]
        telling = [path for path in suspect.changed if _tells(path) and "\n" not in path]
        # What was merged last comes at the end.
        wanted.append((suspect, telling, [*candidates, suspect.merged or git.NULL]))
    few = _alike(sh, repo, wanted, 6)
    some = [one for one, (*alike, _) in zip(wanted, few, strict=True) if max(alike, default=0)]
    counts = iter(_alike(sh, repo, some, _MOST_LOOKS))
    alike = {one[0].commit: next(counts) for one in some}
    like, left = [], []
    for suspect, telling, _ in wanted:
        paths = _sample(telling, _MOST_LOOKS)
        *then, before = alike.get(suspect.commit, [0])
        most = max(then, default=0)
        if 2 * most >= len(paths) and most > before:
            like.append(suspect)
        elif 2 * sum(bool(suspect.changed[path]) for path in paths) >= len(paths):
            left.append(suspect)
    return like, left


def _times(
    sh: Shell, repo: Path, how: Sequence[str], names: Sequence[str]
) -> list[tuple[int, str]]:
    """The commit times of a history, in seconds since 1970, each with its hash."""
    if not names:
        return []
    # git reads a plain list of times and names from the commit graph if it exists.
    words = ["git", "-C", str(repo), "rev-list", *how, "--timestamp", *names, "--"]
    lines = git.checked(sh.read(words), "upstream's history").out.splitlines()
    return [(int(time), name) for time, name in map(str.split, lines)]


_MOST_LOOKS = 24


def _alike(
    sh: Shell, repo: Path, wanted: Sequence[tuple[Suspect, Sequence[str], list[str]]], most: int
) -> list[list[int]]:
    """How many of some paths equal those in each of some commits."""
    looks = [(suspect, _sample(paths, most), commits) for suspect, paths, commits in wanted]
    pairs = [(c, path) for _, paths, commits in looks for c in commits for path in paths]
    # We skip directories that upstream did not have, such as those of vendored files.
    tops = list(dict.fromkeys((c, _top(path)) for c, path in pairs))
    answers = git.objects(sh, repo, [f"{c}:{top}" for c, top in tops])
    missing = {
        k for k, answer in zip(tops, answers, strict=True) if not answer.endswith(" missing")
    }
    names = [
        f"{c}:{p}"
        for _, paths, commits in looks
        for c in commits
        # If most of the files are in such directories, they cannot equal upstream's.
        if 2 * sum((c, _top(p)) in missing for p in paths) >= len(paths)
        for p in paths
        if (c, _top(p)) in missing
    ]
    theirs = dict(zip(names, git.objects(sh, repo, names), strict=True))
    return [
        [
            sum(theirs.get(f"{c}:{p}", "").startswith(f"{s.changed[p]} blob ") for p in paths)
            for c in commits
        ]
        for s, paths, commits in looks
    ]


def _tells(path: str) -> bool:
    """Whether a file may prove whose work something is: not the records that this program writes
    into the fork, nor third-party code, which comes from where a manifest says."""
    return path not in records.NOTES and not generated.VENDORED.search(path)


def _top(path: str) -> str:
    return path.partition("/")[0]


def _sample(items: Sequence[str], most: int) -> Sequence[str]:
    """At most this many of the items, evenly spread."""
    return items[:: -(-len(items) // most) or 1]


def nearest(sh: Shell, repo: Path, commit: str, day: str, upstream: Sequence[str]) -> str | None:
    """The upstream commit whose files are nearest to a commit's, among those up to a day that the
    commit does not contain.

    Along upstream's history the distance falls towards that commit and rises after it, so sampling
    first is enough.
    """
    best: tuple[int, str] | None = None
    for history in _first_parents(sh, repo, upstream, commit, day):
        first, last, step = 0, len(history), max(1, len(history) // 24)
        while first < last:
            looked_at = range(first, last, step)
            distances = _distances(sh, repo, commit, [history[i] for i in looked_at])
            distance, place = min(zip(distances, looked_at, strict=True))
            if step == 1:
                best = min(best, (distance, history[place])) if best else (distance, history[place])
                break
            first, last = max(0, place - step), min(len(history), place + step + 1)
            step = max(1, (last - first) // 8)
    return best[1] if best else None


def _first_parents(
    sh: Shell, repo: Path, tips: Sequence[str], without: str, day: str
) -> Iterator[list[str]]:
    """The first-parent history of each tip up to a day, newest first; without the commits that an
    earlier tip or another commit has."""
    end = int(datetime.fromisoformat(f"{day}T23:59:59").timestamp())
    words = ["git", "-C", str(repo), "rev-list", "--parents", "--timestamp", *tips]
    answer = git.checked(sh.read([*words, "--not", without, "--"]), "upstream's history")
    times, parents = dict[str, int](), dict[str, list[str]]()
    for time, name, *of in map(str.split, answer.out.splitlines()):
        times[name], parents[name] = int(time), of
    for tip in tips:
        history, at = list[str](), tip
        while at in parents:
            history.append(at)
            at = next(iter(parents[at]), "")
        for name in lineage.reached(tip, parents):
            del parents[name]
        yield [name for name in history if times[name] <= end]


def _distances(sh: Shell, repo: Path, commit: str, others: Sequence[str]) -> list[int]:
    """How many paths that show something differ between a commit and each of the others, in the
    same order."""
    words = ["git", "-C", str(repo), "diff-tree", "--stdin", "--always", "-r", "--name-only"]
    answer = sh.read([*words, "--no-renames", "-z"], feed=(f"{commit} {one}" for one in others))
    counts: list[int] = []
    for field in git.checked(answer, "differing paths").fields():
        if field == commit:  # the paths of the next commit follow
            counts.append(0)
        else:
            counts[-1] += _tells(field)
    return counts


# --- Copies of upstream commits ----------------------------------------------------------------


@dataclass(frozen=True)
class Copy:
    """What a copy of an upstream commit has and the original lacks: the fork's own work.

    mostly: whether the original has most of it.
    """

    paths: Collection[str]
    lines: Collection[str]
    mostly: bool


def copies(sh: Shell, repo: Path, log: Sequence[Entry], upstream: Sequence[str]) -> dict[str, Copy]:
    """The commits that contain changes of an earlier upstream commit.

    Git keeps the author time in a copy, which leads to possible originals. Anybody can forge a
    time, so only the lines prove it.
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
    hunks_of = changes(sh, repo, [v for pair in both for side in pair for v in side.values()])
    copied = zip(singles, (_copy(hunks_of, *pair) for pair in both), strict=True)
    return {entry.commit.name: copy for entry, copy in copied if copy}


def _copy(
    hunks: Mapping[Versions, Sequence[Change]], changed: Changed, other: Changed
) -> Copy | None:
    """What remains of a change without an upstream change to the same paths; None if that has
    nothing of it. known: the hunks of both."""

    def lines(versions: Versions) -> set[str]:
        made = hunks.get(versions, ())
        signed = {
            "-": (x for c in made for x in c.removed),
            "+": (x for c in made for x in c.added),
        }
        return {s + x.strip() for s, texts in signed.items() for x in texts if re.search(r"\w", x)}

    held, left, rest = 0, 0, dict[str, set[str]]()
    for path, versions in changed.items():
        own, theirs = lines(versions), lines(other[path])
        # Without lines to compare, it is the same change if it made the same file.
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
    """Possible syncs with only one parent, newest first: a commit, or a row of copies."""
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


# --- Lost ancestry --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Lost:
    """A sync whose ancestry is lost: git does not know that upstream's work was merged.

    sync: the commit that brought upstream's work, with one parent only.
    parent: the upstream commit whose files it brought, which should be its other parent.
    differs: how many paths differ between the two.
    hidden: the differing paths that upstream knows and no fork commit changed; recording the
        ancestry would wrongly present them as the fork's decision.
    copies: whether it is the last of several copied upstream commits.
    wrote: the hidden paths into which the sync itself wrote lines that neither side had.
    """

    sync: Commit
    parent: str
    differs: int
    hidden: tuple[str, ...]
    copies: bool = False
    wrote: tuple[str, ...] = ()


def newest_lost(
    sh: Shell, repo: Path, production: str, merged: str, own: Customisations
) -> Lost | None:
    """The newest sync in a branch's history whose ancestry is lost; None if all is well. A sync
    that was mostly reverted since does not count.

    production: the branch. merged: the newest upstream commit in it.
    """
    for commit, sync in own.squashed.items():
        if sync.landed < merged or git.is_ancestor(sh, repo, sync.parent, production):
            continue
        # Git merges reverted changes again; once the ancestry is recorded, it never would.
        brought = git.differing(sh, repo, sync.before, commit.name)
        now, before = (git.tree(sh, repo, name) for name in (production, sync.before))
        if 2 * sum(now.get(path) == before.get(path) for path in brought) >= len(brought):
            continue
        differs = git.differing(sh, repo, sync.parent, commit.name)
        hidden = tuple(hides(sh, repo, commit, sync.parent, differs, own))
        wrote = tuple(path for path in hidden if own.of([path]))
        return Lost(commit, sync.parent, len(differs), hidden, len(sync.names) > 1, wrote)
    return None


def hides(
    sh: Shell,
    repo: Path,
    sync: Commit,
    parent: str,
    differs: Sequence[str],
    own: Customisations,
) -> list[str]:
    """The paths that recording a sync's ancestry would wrongly present as the fork's decision:
    upstream has them, or had them when the fork last merged, and no other fork commit changed them.
    A file that only the sync ever had hides nothing, nor does one to which it only added lines.

    differs: the paths that differ between the sync and upstream's commit.
    """
    bases = git.merge_bases(sh, repo, f"{sync.name}^", parent)
    upstreams = {path for commit in (parent, *bases[:1]) for path in git.tree(sh, repo, commit)}
    return [
        path
        for path in differs
        if path in upstreams
        and not any(commit != sync for commit in own.of([path]))
        and _lacks(sh, repo, sync.name, parent, path)
    ]


def _lacks(sh: Shell, repo: Path, sync: str, parent: str, path: str) -> bool:
    """Whether a sync's file lacks an upstream line; a file with only additional lines hides
    nothing."""
    old, new = (git.show(sh, repo, commit, path) for commit in (parent, sync))
    if old is None or new is None or "\0" in old + new:
        return True
    return not Counter(old.split("\n")) <= Counter(new.split("\n"))


def healed_commit(sh: Shell, repo: Path, production: str, lost: Lost) -> str:
    """A commit with a branch's files, and with both its history and the lost one."""
    return with_history(sh, repo, production, lost.parent, f"forecast: heal {lost.sync.name}")


def with_history(sh: Shell, repo: Path, commit: str, parent: str, message: str) -> str:
    """A commit with the files of another one, and with its history and a second one.

    It exists in the object store only, for forecasts: no ref leads to it.
    """
    words = ["git", "-C", str(repo), "-c", "user.name=carto-fork", "-c", "user.email=carto-fork"]
    words += ["commit-tree", f"{commit}^{{tree}}", "-p", commit, "-p", parent, "-m", message]
    return git.checked(sh.read(words), "healed history").line


# --- The fork's side of a merge -------------------------------------------------------------------


def newer_side(sh: Shell, repo: Path, ours: str, theirs: str, head: str, production: str) -> str:
    """The fork's side of a release's merge, for the account of its branch at a later commit.

    It is the newest production commit in the branch: what production itself replaced meanwhile is
    not lost. But it remains the merge's first parent if that has changes which production lacks,
    or if production has the release by now: these changes, or the whole release, would not be
    accounted for.

    ours, theirs: the merge's parents. head: the later commit.
    """
    if production in ("", ours):
        return ours
    newest = git.merge_bases(sh, repo, head, production)
    started = git.merge_bases(sh, repo, ours, production)
    if len(newest) != 1 or len(started) != 1 or git.differing(sh, repo, ours, started[0]):
        return ours
    [now], [then] = newest, started
    if now == then or not git.is_ancestor(sh, repo, then, now):
        return ours
    return ours if git.is_ancestor(sh, repo, theirs, now) else now
