"""Which conflicts a merge stopped with, and which markers are left. Decides and changes nothing."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from ..fork.policy import Kind, Policy, Side
from ..run import files, git
from ..run.errors import Refused
from ..run.shell import Shell, batches
from . import hunks
from .hunks import Conflict, Stage, Texts, has_markers
from .memory import Memory

INDEX = "--cached"
"""Means the index in place of a commit."""


def markers_left(
    sh: Shell, work: Path, sides: Sequence[str], result: str, policy: Policy | None = None
) -> list[tuple[str, int]]:
    """Path and line number of each conflict marker in a merge's result that no side had.

    sides: the commits that were merged; result: a commit, or `INDEX`.
    policy: if given, generated files are not read.
    """
    # A file that equals one side's has that side's lines; only a file that differs from all can be
    # new.
    changed = set.intersection(*(_paths_changed(sh, work, side, result) for side in sides))
    paths = sorted(changed.difference(policy.generated(changed) if policy else ()))
    marker_lines = _marker_lines(sh, work, result, paths)
    marked = sorted({path for path, _ in marker_lines})
    known = {pair for side in sides for pair in _marker_lines(sh, work, side, marked)}
    left = ((pair[0], numbers) for pair, numbers in marker_lines.items() if pair not in known)
    return sorted((path, number) for path, numbers in left for number in numbers)


def _paths_changed(sh: Shell, work: Path, side: str, result: str) -> set[str]:
    """The paths that differ between a side and the result."""
    words = ["git", "-C", str(work), "diff", "--name-only", "--no-renames", "--no-ext-diff", "-z"]
    words += [INDEX, side] if result == INDEX else [side, result]
    return set(git.checked(sh.read([*words, "--"]), "changed paths").fields())


def _marker_lines(
    sh: Shell, work: Path, where: str, paths: Sequence[str]
) -> dict[tuple[str, str], list[int]]:
    """Path and text of every line that looks like a marker, with the numbers of such lines."""
    lines: dict[tuple[str, str], list[int]] = {}
    pattern = ["-E", "^(<{7}|>{7}|[|]{7})"]
    for batch in batches(paths):
        words = ["git", "-C", str(work), "--literal-pathspecs", "grep", "-I", "--full-name"]
        words += ["--no-color", "-z", "--line-number"]
        words += [INDEX, *pattern] if where == INDEX else [*pattern, where]
        words += ["--", *batch]
        listed = git.checked(sh.read(words), "lines", 1)
        # A file name may contain a line end, a line cannot.
        for name, number, text in re.findall(r"([^\0]*)\0(\d+)[\0:]([^\n]*)\n", listed.out):
            if hunks.LEFTOVER.fullmatch(text):
                path = name if where == INDEX else name.partition(":")[2]
                lines.setdefault((path, text), []).append(int(number))
    return lines


_TEXTUAL = (Kind.CONTENT, Kind.ADD_ADD, Kind.RENAME, Kind.MODE)


@dataclass(frozen=True)
class Merged:
    """What git made of a merge: a tree with markers in it, and by path the versions in conflict."""

    tree: str
    stages: Mapping[str, dict[int, Stage]]


@dataclass(frozen=True)
class Foreseen:
    """A merge made in the object store only.

    tree: its result; files in conflict contain markers.
    """

    tree: str
    conflicts: tuple[Conflict, ...]


def read(sh: Shell, work: Path, ours: str, theirs: str) -> list[Conflict]:
    """Every conflict of the merge in progress in a work tree, by path.

    ours, theirs: the merged commits.
    """
    stages = in_index(sh, work, "--unmerged")
    if not stages:
        return []
    every = _conflicts(sh, work, ours, theirs, stages)
    edited = _edited(sh, work, [path for c in every for path in (c.path, *c.invented)])
    every = [replace(c, text=_stored(c, text_of(work, c.path))) for c in every]
    every = [
        c if edited.isdisjoint((c.path, *c.invented)) else _with_edits(sh, work, c) for c in every
    ]
    every = [_in_another_style(c) if c.edited else c for c in every]
    bare = [c.path for c in every if c.edited and _lacks_base(c.text)]
    if not bare:
        return every
    wrote = dict(
        zip(bare, _texts(sh, work, merged(sh, work, ours, theirs).tree, bare), strict=True)
    )
    return [_beside(c, wrote[c.path]) if c.path in wrote else c for c in every]


def in_index(sh: Shell, work: Path, which: str) -> dict[str, dict[int, Stage]]:
    """The versions of each path in conflict in a work tree's index.

    which: ``--unmerged``, or ``--resolve-undo`` for those that somebody has resolved and staged.
    """
    words = ["git", "-C", str(work), "ls-files", which, "--full-name", "-z", ":/"]
    return _stages(git.checked(sh.read(words), "conflicts").fields())


def resolved(sh: Shell, work: Path, ours: str, theirs: str) -> list[Conflict]:
    """The conflicts that were in a work tree's index, and that somebody has resolved and staged."""
    stages = in_index(sh, work, "--resolve-undo")
    return _conflicts(sh, work, ours, theirs, stages) if stages else []


def _lacks_base(text: str | None) -> bool:
    """Whether a hunk does not show the common ancestor."""
    segments = hunks.parse(text or "") or ()
    return any(isinstance(segment, hunks.Hunk) and segment.base is None for segment in segments)


def _in_another_style(conflict: Conflict) -> Conflict:
    """A conflict as the merge wrote it, if its file has that in another style: `git checkout -m`
    follows git's setting, such as zdiff3."""
    wanted, found = map(_choices, (conflict.merged, conflict.text))
    if not wanted or wanted != found or _lacks_base(conflict.merged) or _lacks_base(conflict.text):
        return conflict
    return replace(conflict, text=conflict.merged, edited=False, now="", merged=None)


def _beside(conflict: Conflict, wrote: str | None) -> Conflict:
    """A conflict whose markers lack the common ancestor, with what the merge wrote. If they differ
    in nothing else, nobody has edited it: `git checkout -m` writes it like that."""
    wanted, found = map(_choices, (wrote, conflict.text))
    if wanted and wanted == found:
        return replace(conflict, edited=False, now="", merged=None)
    return replace(conflict, merged=wrote or conflict.merged)


def _choices(text: str | None) -> tuple[str, str] | None:
    """What a text becomes if every hunk becomes the fork's side, or upstream's; None if it has no
    hunks."""
    segments = hunks.parse(text or "") or []
    if not any(isinstance(segment, hunks.Hunk) for segment in segments):
        return None
    ours, theirs = (
        "".join(s if isinstance(s, str) else "".join(getattr(s, side)) for s in segments)
        for side in ("ours", "theirs")
    )
    return ours, theirs


def _stored(conflict: Conflict, text: str | None) -> str | None:
    """The text in the file of a conflict, with the line ends of its versions: git may write others
    into a work tree (core.autocrlf, eol)."""
    if conflict.kind not in _TEXTUAL or text is None:
        return None
    sides = conflict.texts
    crlf = sides and any("\r\n" in side for side in (sides.base, sides.ours, sides.theirs))
    return text if crlf else text.replace("\r\n", "\n")


def merged(sh: Shell, repo: Path, ours: str, theirs: str, *, renames: bool = True) -> Merged:
    """Merge two commits in the object store. No index, ref or work tree is touched.

    renames: whether to look for renamed files.
    """
    option = "" if renames else "-c merge.renames=false"
    tree, *unmerged = _merge(sh, repo, ours, theirs, "diff3", config=option)
    return Merged(tree, _stages(unmerged))


def foresee(
    sh: Shell,
    repo: Path,
    ours: str,
    theirs: str,
    unread: Callable[[str], bool] = lambda path: False,
    made: Merged | None = None,
) -> Foreseen:
    """The conflicts that a merge of two commits would stop with.

    unread: whether nobody needs a path's texts, as for files that are taken as a whole.
    made: that merge, if it was made before.
    """
    made = made or merged(sh, repo, ours, theirs)
    if not made.stages:
        return Foreseen(made.tree, ())
    every = _conflicts(sh, repo, ours, theirs, made.stages, unread)
    textual = [c.path for c in every if c.kind in _TEXTUAL and not unread(c.path)]
    texts = dict(zip(textual, _texts(sh, repo, made.tree, textual), strict=True))
    every = [replace(c, text=texts.get(c.path)) for c in every]
    return Foreseen(made.tree, tuple(c for c in every if not _is_agreed(c)))


def _texts(sh: Shell, repo: Path, tree: str, paths: Sequence[str]) -> list[str | None]:
    """The texts of some files of a commit or tree; None for a missing file."""
    if not any("\n" in path for path in paths):
        return git.contents(sh, repo, [f"{tree}:{path}" for path in paths])
    entries = git.tree(sh, repo, tree)
    texts = git.blobs(sh, repo, (entries[path][1] for path in paths if path in entries))
    return [texts.get(entries[path][1]) if path in entries else None for path in paths]


def count(sh: Shell, repo: Path, ours: str, theirs: str) -> int:
    """How many conflicting paths a merge of two commits would stop with."""
    return len(_merge(sh, repo, ours, theirs, "merge", "--name-only")) - 1


def _merge(
    sh: Shell, repo: Path, ours: str, theirs: str, style: str, option: str = "", config: str = ""
) -> list[str]:
    question = (
        f"{config} -c merge.conflictStyle={style} merge-tree --write-tree -z {option} --no-messages"
    )
    question += " {ours} {theirs}"
    return git.ask(sh, repo, question, "merge", 1, ours=ours, theirs=theirs).fields()


def _is_agreed(conflict: Conflict) -> bool:
    """Whether both sides made the same changes: git's plain markers show no conflict then, only the
    styles that show the base do."""
    segments = hunks.parse(conflict.text or "") or []
    shown = [segment for segment in segments if isinstance(segment, hunks.Hunk)]
    return bool(shown) and all(hunk.ours == hunk.theirs for hunk in shown)


_MOST_MERGES = 20
"""The merges that are made again."""
_MOST_LOOKUPS = 4_000
"""The versions of files that are looked up to find them."""


def remember(
    sh: Shell, repo: Path, ours: str, upstream: Sequence[str], paths: Sequence[str]
) -> Memory:
    """How people resolved the conflicts in some files in the fork's newest merges.

    Each of those merges is repeated in the object store to see its conflicts again. What counts is
    what landed: somebody may have changed their mind on the branch of the merge.
    """
    memory = Memory()
    # Limited to paths, git leaves out a merge that took one side, and prints other parents.
    question = "rev-list --parents {ours} --not {upstream} --"
    listed = git.ask(sh, repo, question, "fork's merges", ours=ours, upstream=upstream).out
    own = {name: parents for name, *parents in map(str.split, listed.splitlines())}
    merges = [
        (merge, sides)
        for merge, sides in own.items()
        if len(sides) == 2 and not own.keys() >= {*sides}
    ]
    pairs = _that_brought(sh, repo, own.keys(), merges, paths)[:_MOST_MERGES]
    names = [path for path in paths if "\n" not in path]
    landed = _landed(own, next(iter(own), ""))  # the newest is listed first
    again = _made_again(sh, repo, [(one, other) for _, (one, other) in pairs], names)
    for (merge, _), made in zip(pairs, again, strict=True):
        found = [path for path in names if {2, 3} <= made.stages.get(path, {}).keys()]
        ends = (made.tree, landed.get(merge, merge))
        objects = [f"{commit}:{path}" for path in found for commit in ends]
        texts = iter(git.contents(sh, repo, objects))
        for path, text, result in zip(found, texts, texts, strict=True):
            if text is not None and result is not None and not has_markers(result):
                memory.learn(path, text, result, merge[:10])
    return memory


def _landed(own: Mapping[str, Sequence[str]], head: str) -> dict[str, str]:
    """The commit on a branch's own line with which each commit got there.

    own: commits with their parents.
    """
    line = [head] * (head in own)
    while line and own[line[-1]][:1] and own[line[-1]][0] in own:
        line.append(own[line[-1]][0])
    landed: dict[str, str] = {}
    for commit in reversed(line):
        todo = [commit]
        while todo:
            name = todo.pop()
            if name in own and name not in landed:
                landed[name] = commit
                todo += own[name]
    return landed


def _that_brought(
    sh: Shell,
    repo: Path,
    own: Set[str],
    merges: Sequence[tuple[str, Sequence[str]]],
    paths: Sequence[str],
) -> list[tuple[str, Sequence[str]]]:
    """Of merges of upstream, newest first, those that brought another version of some path than the
    merge before.

    own: the commits that are not upstream's.
    """
    names = [path for path in paths if "\n" not in path]
    if not names:
        return []
    merges = merges[: max(_MOST_MERGES, _MOST_LOOKUPS // len(names))]
    heads = [next(side for side in sides if side not in own) for _, sides in merges]
    facts = git.objects(sh, repo, [f"{head}:{path}" for head in heads for path in names])
    known = ["" if fact.endswith(" missing") else fact for fact in facts]
    rows = [known[at : at + len(names)] for at in range(0, len(known), len(names))]
    return [
        merge
        for merge, row, before in zip(merges, rows, [*rows[1:], []], strict=False)
        if row != before
    ]


def _made_again(
    sh: Shell, repo: Path, pairs: Sequence[tuple[str, str]], paths: Sequence[str]
) -> list[Merged]:
    """Past merges with their conflicts in some files; empty if no file can have one."""
    with ThreadPoolExecutor(max_workers=2) as pool:
        bases = list(pool.map(lambda sides: git.merge_bases(sh, repo, *sides), pairs))
        commits = [[*sides, *found] for sides, found in zip(pairs, bases, strict=True)]
        asked = [[f"{name}:{path}" for name in names] for names in commits for path in paths]
        facts = iter(git.objects(sh, repo, [name for names in asked for name in names]))
        versions = ([next(facts).removeprefix(name) for name in names] for names in asked)
        files = [[next(versions) for _ in paths] for _ in pairs]
        open_ = [sides for sides, of in zip(pairs, files, strict=True) if any(map(_is_open, of))]
        plain = [x for x, of in zip(pairs, files, strict=True) if x in open_ and _keeps_names(of)]
        found = dict(zip(plain, _without_renames(sh, repo, plain), strict=True))

        def again(sides: tuple[str, str]) -> Merged:
            made = found.get(sides)
            if made and all(1 in made.stages.get(path, {1: None}) for path in paths):
                return made
            return merged(sh, repo, *sides) if sides in open_ else Merged("", {})

        return list(pool.map(again, pairs))


_MISSING = " missing"


def _is_open(versions: Sequence[str]) -> bool:
    """Whether a merge can stop with a file: both sides changed it, each in its way, or one has it
    under another name. Several common ancestors are merged first, which can become anything.

    versions: the file in ours, in theirs and in each common ancestor.
    """
    ours, theirs, *bases = versions
    if (ours == _MISSING) != (theirs == _MISSING):
        return True
    return ours != theirs and not (len(bases) == 1 and bases[0] in (ours, theirs))


def _keeps_names(files: Iterable[Sequence[str]]) -> bool:
    """Whether each file is on both sides, or on none. Most of a merge's time goes into looking for
    renames, which matter only for the others."""
    return all((ours == _MISSING) == (theirs == _MISSING) for ours, theirs, *_ in files)


def _without_renames(sh: Shell, repo: Path, pairs: Sequence[tuple[str, str]]) -> list[Merged]:
    """Merges made by one git, which so reads the history and the trees that they share once."""
    options = "-c merge.renames=false -c merge.conflictStyle=diff3 merge-tree --write-tree -z"
    words = ["git", "-C", str(repo), *options.split(), "--no-messages", "--stdin"]
    made = sh.read(words, feed=map(" ".join, pairs)) if pairs else None
    every = made.out.split("\0\0")[:-1] if made and made.ok else []
    if len(every) != len(pairs):  # git 2.38 makes one at a time
        return [merged(sh, repo, *sides, renames=False) for sides in pairs]
    parted = (it.split("\0") for it in every)
    return [Merged(tree, _stages(unmerged)) for _, tree, *unmerged in parted]


def _stages(entries: Iterable[str]) -> dict[str, dict[int, Stage]]:
    """The versions of each path in conflict, from the output of ls-files or merge-tree."""
    stages: dict[str, dict[int, Stage]] = {}
    for entry in entries:
        fields, path = entry.split("\t", 1)
        mode, name, number = fields.split(" ")
        stages.setdefault(path, {})[int(number)] = Stage(mode, name)
    return stages


def _conflicts(
    sh: Shell,
    repo: Path,
    ours: str,
    theirs: str,
    stages: Mapping[str, dict[int, Stage]],
    unread: Callable[[str], bool] = lambda path: False,
) -> list[Conflict]:
    """The conflicts, derived from the versions on the three sides."""
    stages, invented = _at_their_paths(sh, repo, ours, theirs, stages)
    suspects = [path for path, found in stages.items() if not {2, 3} <= found.keys()]
    # Three independent questions, asked at once.
    with ThreadPoolExecutor(max_workers=2) as pool:
        one_sided = {path: stages[path] for path in suspects}
        asked = pool.submit(_absent_from_base, sh, repo, ours, theirs, one_sided)
        comparing = pool.submit(_binary, sh, repo, ours, theirs, stages)
        names = _names(sh, repo, ours, stages)
        before, binary = asked.result(), comparing.result()
    found = [
        replace(
            _conflict(path, versions, path in before, path in binary),
            names=(*names[path], *before.get(path, ())),
            invented=tuple(invented.get(path, ())),
        )
        for path, versions in sorted(stages.items())
    ]
    folders = _folders(sh, repo, ours, theirs, suspects)
    found = [replace(c, kind=Kind.DIRECTORY) if c.path in folders else c for c in found]
    kinds = (*_TEXTUAL, Kind.MODIFY_DELETE)
    textual = [c for c in found if c.kind in kinds and not unread(c.path)]
    sides = [side for c in textual for side in (c.base, c.ours, c.theirs) if side]
    texts = git.blobs(sh, repo, (side.name for side in sides))

    def text(stage: Stage | None) -> str:
        return texts.get(stage.name, "") if stage else ""

    read = {c.path: Texts(text(c.base), text(c.ours), text(c.theirs)) for c in textual}
    return [_with_texts(c, read[c.path]) if c.path in read else c for c in found]


def _with_texts(conflict: Conflict, texts: Texts) -> Conflict:
    """The conflict with the texts of its three versions, unless one is only a Git LFS pointer."""
    if not any(map(hunks.is_pointer, (texts.base, texts.ours, texts.theirs))):
        return replace(conflict, texts=texts)
    both = conflict.ours and conflict.theirs and conflict.kind is not Kind.MODE
    return replace(conflict, kind=Kind.BINARY) if both else conflict


def _at_their_paths(
    sh: Shell, repo: Path, ours: str, theirs: str, stages: Mapping[str, dict[int, Stage]]
) -> tuple[dict[str, dict[int, Stage]], dict[str, list[str]]]:
    """The versions at their paths on the sides, and the names that git invented for some, by path:
    PATH~SIDE, if the path is now a directory or another type of file."""
    by_path: dict[str, dict[int, Stage]] = {}
    invented: dict[str, list[str]] = {}
    for path, versions in stages.items():
        real, _, side = path.rpartition("~")
        if side and real:
            trees = {2: git.tree(sh, repo, ours), 3: git.tree(sh, repo, theirs)}
            own = [trees[number] for number in (2, 3) if number in versions]
            if not any(path in tree for tree in trees.values()) and all(real in t for t in own):
                invented.setdefault(real, []).append(path)
                by_path.setdefault(real, {}).update(versions)
                continue
        by_path.setdefault(path, {}).update(versions)
    return by_path, invented


def _folders(sh: Shell, repo: Path, ours: str, theirs: str, paths: Iterable[str]) -> set[str]:
    """The paths at which one of two commits has a directory."""
    wanted = {f"{path}/" for path in paths}
    files_ = [*git.tree(sh, repo, ours), *git.tree(sh, repo, theirs)] if wanted else []
    within = {file[: end + 1] for file in files_ for end, c in enumerate(file) if c == "/"}
    return {folder.rstrip("/") for folder in wanted & within}


def _absent_from_base(
    sh: Shell, repo: Path, ours: str, theirs: str, stages: Mapping[str, dict[int, Stage]]
) -> dict[str, tuple[str, ...]]:
    """The paths that result from a rename: the common ancestor lacks them. Each with the ancestor's
    names for the file that the fork's side lacks."""
    if not stages:
        return {}
    bases = git.merge_bases(sh, repo, ours, theirs)
    before = git.tree(sh, repo, bases[0]) if bases else {}
    absent = {path: versions for path, versions in stages.items() if path not in before}
    deleted = {versions[1].name for versions in absent.values() if {1, 3} == versions.keys()}
    by_name: dict[str, list[str]] = {}
    if deleted:
        ours_tree = git.tree(sh, repo, ours)
        for path, (_, name) in before.items():
            if name in deleted and path not in ours_tree:
                by_name.setdefault(name, []).append(path)
    return {
        path: tuple(by_name.get(versions[1].name, ())) if {1, 3} == versions.keys() else ()
        for path, versions in absent.items()
    }


def _names(
    sh: Shell, repo: Path, ours: str, stages: Mapping[str, dict[int, Stage]]
) -> dict[str, tuple[str, ...]]:
    """The paths under which the fork has each conflicting file."""
    present: set[str] = set()
    for batch in batches(list(stages)):
        question = "--literal-pathspecs ls-tree --full-tree --name-only -z {ours} -- {paths}"
        present.update(git.ask(sh, repo, question, "files", ours=ours, paths=batch).fields())
    strange = {path: at[2].name for path, at in stages.items() if 2 in at and path not in present}
    by_name: dict[str, list[str]] = defaultdict(list)
    if strange:
        for path, (_, name) in git.tree(sh, repo, ours).items():
            by_name[name].append(path)
    return {path: (path, *by_name[strange.get(path, "")]) for path in stages}


def _edited(sh: Shell, work: Path, paths: Sequence[str]) -> set[str]:
    """The paths that differ from what the merge wrote, which git keeps in the tree AUTO_MERGE."""
    # A submodule that is not checked out always differs.
    diff = "diff --name-only --no-renames --no-ext-diff --ignore-submodules=all -z"
    diff = f"git -C {{work}} --literal-pathspecs {diff} AUTO_MERGE -- {{batch}}"
    edited: set[str] = set()
    for batch in batches(paths):
        changed = sh.ask(diff, work=work, batch=batch)
        # If git does not know, anything may be somebody's work.
        edited |= set(changed.fields() if changed.ok else batch)
    return edited


def _with_edits(sh: Shell, work: Path, conflict: Conflict) -> Conflict:
    """The conflict with the present content of its file, and what the merge wrote there."""
    path, now = work / conflict.path, ""
    if path.is_symlink():
        target = os.fsdecode(os.readlink(path))
        sides = [side for side in (conflict.ours, conflict.theirs) if side]
        same = (s for s in sides if git.contents(sh, work, [s.name]) == [target])
        now = next((side.name for side in same), "another link")
    elif path.exists():
        now = sh.ask("git -C {work} hash-object -- {path}", work=work, path=conflict.path).line
    left = conflict.ours or conflict.theirs  # what git leaves for a file that it does not merge
    if left and conflict.kind is Kind.BINARY and now == left.name:
        return conflict
    if left and conflict.kind in (Kind.BINARY, Kind.MODIFY_DELETE) and now not in ("", left.name):
        raw = "git -C {work} hash-object --no-filters -- {path}"  # whatever git's settings
        if sh.ask(raw, work=work, path=conflict.path).line == left.name:
            return conflict
    textual = conflict.text is not None
    merged = git.show(sh, work, "AUTO_MERGE", conflict.path) if textual else None
    return replace(conflict, edited=True, now=now, merged=merged)


def _binary(
    sh: Shell, repo: Path, ours: str, theirs: str, stages: Mapping[str, dict[int, Stage]]
) -> set[str]:
    """The paths that git compares as binary files, given .gitattributes, and large files."""
    paths = [path for path, versions in stages.items() if {2, 3} <= versions.keys()]
    diff = "git -C {repo} --literal-pathspecs diff --numstat --no-renames --no-ext-diff -z"
    binary: set[str] = set()
    for batch in batches(paths):
        question = f"{diff} {{ours}} {{theirs}} -- {{paths}}"
        listed = sh.ask(question, repo=repo, ours=ours, theirs=theirs, paths=batch)
        entries = (entry.split("\t", 2) for entry in listed.fields())
        binary.update(path for added, _, path in entries if added == "-")
    sides = [(path, side.name) for path in paths for side in stages[path].values()]
    large = git.large(sh, repo, (name for _, name in sides))
    return binary | {path for path, name in sides if name in large}


def _conflict(path: str, stages: Mapping[int, Stage], renamed: bool, binary: bool) -> Conflict:
    base, ours, theirs = (stages.get(number) for number in (1, 2, 3))
    deleted_by = None
    if base and not (ours and theirs):
        deleted_by = Side.UPSTREAM if ours else Side.FORK if theirs else None
    kind = _kind(base, ours, theirs, renamed, binary)
    return Conflict(path, kind, base, ours, theirs, deleted_by)


def _kind(
    base: Stage | None, ours: Stage | None, theirs: Stage | None, renamed: bool, binary: bool
) -> Kind:
    modes = {stage.mode for stage in (base, ours, theirs) if stage}
    if git.SUBMODULE in modes:
        return Kind.SUBMODULE
    if git.SYMLINK in modes:
        return Kind.SYMLINK
    if ours and theirs:
        if ours.name == theirs.name:
            return Kind.MODE
        if binary:
            return Kind.BINARY
        return Kind.CONTENT if base else Kind.ADD_ADD
    # Only one side has it: the other deleted the file, or one of them renamed it.
    return Kind.MODIFY_DELETE if base and (ours or theirs) and not renamed else Kind.RENAME


def text_of(work: Path, path: str) -> str | None:
    """The text of a file in a work tree; None if it is missing or a symbolic link."""
    try:
        return files.text_below(work, path)
    except (OSError, Refused):  # a symbolic link, or below one
        return None
