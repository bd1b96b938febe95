"""What git knows: one small function a question. Nothing here changes a repository."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import IO

from packaging.version import Version

from . import cures
from .errors import Failed, Refused
from .shell import Answer, Shell, Value, fill

OLDEST = Version("2.38")
NULL = "0" * 40
SUBMODULE, SYMLINK = "160000", "120000"
"""The modes that git has besides those of files."""
LARGE = "\0large "
"""What begins the text of a blob that is too large to be read."""


def checked(answer: Answer, question: str, *allowed: int) -> Answer:
    """The answer, if its exit code is one that the question allows. Raises Failed otherwise."""
    if answer.code not in (0, *allowed):
        known = cures.of_git(answer)
        raise Failed(
            f"git failed at the {question}: it {answer.ending}"
            f"{f' ({known.meaning})' if known else ''}: "
            f"{answer.err.strip() or answer.out.strip()}",
            then=f"{known.then if known else 'mend what it complains of'}, "
            "then run the same command again.",
        )
    return answer


def ask(sh: Shell, repo: Path, question: str, what: str, *allowed: int, **values: Value) -> Answer:
    """What git says to a question such as ``rev-list {commit} --``. Raises Failed as `checked`.

    what: what it is asked for, in a word or two.
    """
    words = fill(f"git -C {{repo}} {question}", {"repo": repo, **values})
    return checked(sh.read(words), what, *allowed)


def require_version(sh: Shell) -> None:
    """Raises Refused if git is missing or older than `OLDEST`."""
    answer = sh.ask("git version")
    found = re.search(r"\d+(\.\d+)+", answer.out)
    if not answer.ok or not found:
        raise Refused("git is not installed.", then="install git 2.38 or newer.")
    if Version(found[0]) < OLDEST:
        problem = f"git {found[0]} is too old: {OLDEST} or newer is needed."
        raise Refused(problem, then="install a newer git.")


@dataclass(frozen=True)
class Repository:
    """A repository on this machine.

    path: the directory that was named, as `nearest` writes it.
    common: its git directory, shared by all of its work trees; absolute.
    directory: where git keeps what it knows of the work tree that was named; absolute.
    top: the top of that work tree, as `nearest` writes it; None if a path in none was named.
    home: the top of its main work tree, or the bare repository itself; absolute.
    shallow: whether its history is cut.
    linked: whether the directory lies in another than its main work tree.
    """

    path: Path
    common: Path
    directory: Path
    top: Path | None
    home: Path
    shallow: bool
    linked: bool

    @property
    def work(self) -> Path:
        """The top of the work tree that was named. Raises Refused if there is none."""
        if self.top is None:
            problem = f"{self.path} is not in a work tree."
            raise Refused(problem, then="name a work tree with --repo.")
        return self.top


def open_repository(sh: Shell, path: Path) -> Repository:
    """The repository at a path. Raises Refused if there is none, or git does not trust it."""
    path = nearest(path)
    if not path.is_dir():
        raise Refused(f"{path} is not a directory.", then="name the fork's clone with --repo.")
    answer = sh.ask(
        "git -C {path} rev-parse --path-format=absolute --git-common-dir --git-dir"
        " --is-shallow-repository --is-inside-work-tree --show-cdup",
        path=path,
    )
    if not answer.ok:
        problem = f"{path} is not a git repository ({answer.err.strip()})."
        raise Refused(problem, then="go into the fork's clone, or name it with --repo.")
    common, directory, shallow, inside, up = answer.out.split("\n")[:5]
    linked = directory != common
    top = (path.resolve() / up).resolve() if inside == "true" else None
    home = Path(common).parent if Path(common).name == ".git" else Path(common)
    if top and not linked:
        home = top  # a submodule keeps its git directory somewhere else
    top = top and nearest(top)
    return Repository(path, Path(common), Path(directory), top, home, shallow == "true", linked)


def at(path: Path) -> str:
    """``git -C`` and a path, to begin a command line with that people paste."""
    return f"git -C {quote(str(path))}"


def nearest(path: Path) -> Path:
    """The shorter one of a path's absolute and relative form, for lines that people read."""
    try:
        absolute, relative = path.absolute(), Path(os.path.relpath(path))
    except FileNotFoundError:
        return path  # the directory that we were in is gone
    return relative if len(str(relative)) < len(str(absolute)) else absolute


def named(directory: Path) -> str:
    """A directory inside a sentence, where `.` would say nothing."""
    return str(directory) if directory.name else directory.resolve().name


@dataclass(frozen=True)
class Refs:
    """All branches and tags of a repository at one moment, read in one go.

    objects: full ref name to object name, as stored (a tag object for an annotated tag).
    commits: the same with tags peeled.
    """

    objects: dict[str, str]
    commits: dict[str, str]

    def tags(self) -> list[str]:
        """The names of all tags."""
        prefix = "refs/tags/"
        return [ref.removeprefix(prefix) for ref in self.objects if ref.startswith(prefix)]

    def tag(self, name: str) -> str:
        """The commit that a tag names; "" if there is no such tag."""
        return self.commits.get(f"refs/tags/{name}", "")

    def tags_in(self, commits: Collection[str]) -> list[str]:
        """The tags that name one of some commits."""
        return [name for name in self.tags() if self.tag(name) in commits]

    def branches(self) -> list[str]:
        """The names of the local branches."""
        prefix = "refs/heads/"
        return [ref.removeprefix(prefix) for ref in self.objects if ref.startswith(prefix)]


def refs(sh: Shell, repo: Path) -> Refs:
    """The repository's refs."""
    # Peels tags from what packed-refs says; for-each-ref would open every one of them.
    answer = sh.ask("git -C {repo} show-ref --dereference", repo=repo)
    if bad := re.search(r"bad ref (refs/\S+)", answer.err):
        file = path_of(sh, repo, bad[1])
        problem = f"{bad[1]} names no commit; a machine that went down leaves such files."
        raise Refused(problem, then=f"rm {quote(str(file))}, then run the same command again.")
    # Exit code 1: there is none.
    return parsed_refs(checked(answer, "refs", 1).out)


def tag_dates(sh: Shell, repo: Path) -> dict[str, int]:
    """When each tag that is here was made, in seconds since 1970; for a lightweight tag, when its
    commit was. A tag of something that has no date is left out."""
    question = "git -C {repo} for-each-ref '--format=%(creatordate:unix) %(refname:strip=2)'"
    answer = checked(sh.ask(f"{question} refs/tags", repo=repo), "tags")
    entries = (line.partition(" ") for line in answer.out.splitlines())
    return {name: int(date) for date, _, name in entries if date}


def parsed_refs(listing: str) -> Refs:
    """The refs that a listing of show-ref or ls-remote names."""
    objects: dict[str, str] = {}
    peeled: dict[str, str] = {}
    for line in listing.splitlines():
        name, ref = line.split(maxsplit=1)
        (peeled if ref.endswith("^{}") else objects)[ref.removesuffix("^{}")] = name
    return Refs(objects, objects | peeled)


PATIENCE = 10
"""Seconds to wait for a remote if nothing depends on its answer."""


def remote_refs(
    sh: Shell, repo: Path, remote: str, patterns: Sequence[str], timeout: int | None = None
) -> Refs | None:
    """The refs of a remote that match patterns of ls-remote; None if it cannot be reached.

    timeout: seconds to wait for the remote.
    """
    words = ["git", "-C", str(repo), "ls-remote", "--end-of-options", remote, *patterns]
    answer = sh.read(words, timeout=timeout)
    return parsed_refs(answer.out) if answer.ok else None


def default_branch(sh: Shell, repo: Path, remote: str, timeout: int | None = None) -> str:
    """The branch that a remote's HEAD names; "" if that is not known."""
    question = "git -C {repo} ls-remote --symref --end-of-options {remote} HEAD"
    answer = sh.ask(question, repo=repo, remote=remote, timeout=timeout)
    found = re.match(r"ref: refs/heads/(.+)\tHEAD\n", answer.out)
    return found[1] if found else ""


def config(sh: Shell, repo: Path) -> dict[str, list[str]]:
    """The effective configuration: lower-case key (subsections as written) to all its values."""
    values: dict[str, list[str]] = {}
    for entry in ask(sh, repo, "config --null --list", "configuration").fields():
        key, _, value = entry.partition("\n")
        values.setdefault(key, []).append(value)
    return values


def signature(sh: Shell, repo: Path, tag: str) -> str:
    """What git says of a tag's signature, on one line; "" where it has none."""
    ref = f"refs/tags/{tag}"
    text = sh.ask("git -C {repo} cat-file tag {ref}", repo=repo, ref=ref)
    if not text.ok or "\n-----BEGIN " not in text.out:
        return ""
    answer = sh.ask("git -C {repo} verify-tag {tag}", repo=repo, tag=tag)
    said = [line.strip() for line in answer.err.splitlines() if "signature" in line.lower()]
    return said[0] if answer.ok and said else "there is one, and it cannot be checked here"


def has_identity(sh: Shell, repo: Path) -> bool:
    """Whether a name and an address are set to commit with (git's guess does not count)."""
    question = "git -C {repo} -c user.useConfigOnly=true var GIT_COMMITTER_IDENT"
    return sh.ask(question, repo=repo).ok


def nobody(repo: Path) -> Refused:
    """What to say where there is no identity."""
    return Refused(
        "git does not know who commits here.",
        then=f'{at(repo)} config user.name "Your Name" && '
        f"{at(repo)} config user.email you@example.com",
    )


def has_object(sh: Shell, repo: Path, name: str) -> bool:
    """Whether an object is here."""
    return bool(name) and not objects(sh, repo, [name])[0].endswith(" missing")


def is_ancestor(sh: Shell, repo: Path, ancestor: str, descendant: str) -> bool:
    """Whether the history of a commit holds another."""
    question = "merge-base --is-ancestor {one} {other}"
    return ask(sh, repo, question, "ancestry", 1, one=ancestor, other=descendant).ok


def ahead_behind(sh: Shell, repo: Path, left: str, right: str) -> tuple[int, int]:
    """How many commits each of two has that the other has not."""
    if left == right:
        return 0, 0
    question = "rev-list --left-right --count {among} --"
    ahead, behind = ask(sh, repo, question, "distance", among=f"{left}...{right}").out.split()
    return int(ahead), int(behind)


def count(sh: Shell, repo: Path, commit: str, *known: str, merges: bool = True) -> int:
    """How many commits the history of one holds that the histories of the others do not.

    merges: count those, too.
    """
    question = f"rev-list --count {'' if merges else '--no-merges '}{{commit}} --not {{known}} --"

    def found() -> int:
        return int(ask(sh, repo, question, "number of commits", commit=commit, known=known).out)

    hashes = all(map(is_hash, (commit, *known)))
    return sh.once(("count", commit, known, merges), found) if hashes else found()


def commits(sh: Shell, repo: Path, among: str) -> list[str]:
    """One line for each of the ten newest commits of a range: short name and subject."""
    log = "log --no-show-signature --no-color --max-count=10 '--format=%h %s' {among} --"
    return ask(sh, repo, log, "commits", among=among).out.splitlines()


def show(sh: Shell, repo: Path, commit: str, path: str) -> str | None:
    """A file's text at a commit; None if it has no such file. Raises Failed if that is damaged."""
    name = f"{commit}:{path}"
    if "\n" not in name and (text := contents(sh, repo, [name])[0]) is not None:
        return text
    listed = "git -C {repo} --literal-pathspecs ls-tree --full-tree {commit} -- {path}"
    if commit and " blob " not in sh.ask(listed, repo=repo, commit=commit, path=path).out:
        return None
    answer = sh.ask("git -C {repo} cat-file blob {name}", repo=repo, name=name)
    return checked(answer, f"text of {path}").out if commit or answer.ok else None


Tree = Mapping[str, tuple[str, str]]
"""All files of a commit: path to mode and object name."""


def is_hash(rev: str) -> bool:
    """Whether a revision is named by the whole hash of its object, and so is always the same."""
    return bool(re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", rev))


def tree(sh: Shell, repo: Path, commit: str) -> Tree:
    """All files of a commit or tree. What is named by its object's name is read once."""
    if is_hash(commit):
        return sh.once(("tree", commit), lambda: _tree(sh, repo, commit))
    return _tree(sh, repo, commit)


def _tree(sh: Shell, repo: Path, commit: str) -> dict[str, tuple[str, str]]:
    found = {}
    for entry in ask(sh, repo, "ls-tree -r --full-tree -z {it}", "files", it=commit).fields():
        facts, path = entry.split("\t", 1)
        mode, _, name = facts.split(" ")
        found[path] = (mode, name)
    return found


def blobs(sh: Shell, repo: Path, names: Iterable[str]) -> dict[str, str]:
    """The contents of many objects at once, by name; one that is no blob here is left out."""
    wanted = list(dict.fromkeys(names))
    found = zip(wanted, contents(sh, repo, wanted), strict=True)
    return {name: text for name, text in found if text is not None}


def contents(sh: Shell, repo: Path, names: Sequence[str]) -> list[str | None]:
    """The contents of many objects at once, in the same order; None where there is no such blob.
    One that is too large to be a text is given as `LARGE` and its name: it is compared as
    a whole.

    names: as git takes them, such as ``<commit>:<path>``, without a line end in them.
    """
    if not names:
        return []
    found: list[str | None] = []
    with sh.talk(["git", "-C", str(repo), "cat-file", "--batch"]).ask(names) as answers:
        for _ in names:
            *_, name, kind, size = (b"", b"", *_line(answers).split(b" "))
            if not size.isdigit():  # "<name> missing", or ambiguous
                found.append(None)
                continue
            left, data = int(size), b""
            if left > sh.largest_text:
                data = LARGE.encode() + name
                while left:
                    left -= len(answers.read(min(left, 1 << 20)))
            data = data or answers.read(left)
            answers.read(1)
            found.append(data.decode("utf-8", "surrogateescape") if kind == b"blob" else None)
    return found


def objects(sh: Shell, repo: Path, names: Sequence[str]) -> list[str]:
    """Name, type and size of many objects, in the same order, as `git cat-file --batch-check`
    says it; the name and `missing` if there is none.

    names: as git takes them, without a line end in them.
    """
    if not names:
        return []
    with sh.talk(["git", "-C", str(repo), "cat-file", "--batch-check"]).ask(names) as answers:
        return [_line(answers).decode("utf-8", "surrogateescape") for _ in names]


def large(sh: Shell, repo: Path, names: Iterable[str]) -> dict[str, int]:
    """Those of some objects that are blobs too large to be read by lines, with their bytes."""
    facts = (fact.split(" ") for fact in objects(sh, repo, list(dict.fromkeys(names))))
    sizes = {fact[0]: int(fact[2]) for fact in facts if fact[1:2] == ["blob"]}
    return {name: size for name, size in sizes.items() if size > sh.largest_text}


def _line(answers: IO[bytes]) -> bytes:
    line = answers.readline()
    if not line.endswith(b"\n"):
        problem = "git ended while it was asked about objects."
        raise Failed(problem, then="run the same command again.")
    return line[:-1]


def empty_blob(sh: Shell, repo: Path) -> str:
    """The object name of a file with nothing in it, which is then here."""
    question = "git -C {repo} hash-object -w -t blob --stdin"
    answer = sh.once(("empty blob",), lambda: sh.ask(question, repo=repo))
    return checked(answer, "empty file").line


def empty_tree(sh: Shell, repo: Path) -> str:
    """The object name of a tree with nothing in it, which is then here."""
    return checked(sh.read(["git", "-C", str(repo), "mktree"], feed=()), "empty tree").line


def make_trees(sh: Shell, repo: Path, *trees: Iterable[str]) -> list[str]:
    """Trees of numbered files, of the blobs that are named, at least one in each. They lie in the
    object store alone, for comparing many files at once."""
    lines: list[str] = []
    for blobs in trees:
        lines += (f"100644 blob {name}\t{number:07}" for number, name in enumerate(blobs))
        lines.append("")
    answer = sh.read(["git", "-C", str(repo), "mktree", "--missing", "--batch"], feed=lines)
    return checked(answer, "trees").out.split()


def differing(sh: Shell, repo: Path, one: str, other: str) -> list[str]:
    """The paths in which two commits or trees differ."""
    question = "diff-tree -r --name-only --no-renames -z {one} {other}"
    return ask(sh, repo, question, "differing paths", one=one, other=other).fields()


def distances(sh: Shell, repo: Path, commit: str, others: Sequence[str]) -> list[int]:
    """In how many paths a commit differs from each of some others, in the same order."""
    words = ["git", "-C", str(repo), "diff-tree", "--stdin", "--always", "-r", "--name-only"]
    answer = sh.read([*words, "--no-renames", "-z"], feed=(f"{commit} {one}" for one in others))
    counts: list[int] = []
    for field in checked(answer, "differing paths").fields():
        if field == commit:  # the next one's begin
            counts.append(0)
        else:
            counts[-1] += 1
    return counts


def merge_bases(sh: Shell, repo: Path, one: str, *others: str) -> list[str]:
    """The best common ancestors of a commit and any of some others; empty if it has none."""

    def found() -> list[str]:
        question = "merge-base --all {one} {others}"
        return ask(sh, repo, question, "common ancestor", 1, one=one, others=others).out.split()

    hashes = all(map(is_hash, (one, *others)))
    return sh.once(("bases", one, *others), found) if hashes else found()


def same_tree(sh: Shell, repo: Path, commit: str, head: str) -> str:
    """The newest commit in the history of `head` that has the files of another commit; "" if none
    has."""
    tree = ask(sh, repo, "rev-parse --verify {wanted}", "tree", wanted=f"{commit}^{{tree}}").line
    lines = ask(sh, repo, "log --no-show-signature --format=%T=%H {head} --", "trees", head=head)
    return dict(x.split("=") for x in reversed(lines.out.split())).get(tree, "")


def commit_dates(sh: Shell, repo: Path, commits: Sequence[str]) -> dict[str, str]:
    """The days on which commits were made, as YYYY-MM-DD, by the commits' whole hashes."""
    question = "log --no-walk --no-show-signature --date=short --format=%H=%cd {commits} --"
    lines = ask(sh, repo, question, "dates", commits=commits).out.split() if commits else []
    return dict(line.split("=") for line in lines)


def first_with(sh: Shell, repo: Path, commit: str, branch: str) -> str:
    """The oldest commit on a branch's first-parent history that holds a commit in its own."""
    among = f"{commit}..{branch}"
    line, after = (
        ask(sh, repo, f"rev-list --{how} {{among}} --", "commits after a commit", among=among)
        for how in ("first-parent", "ancestry-path")
    )
    holders = set(after.out.split())
    found = [commit for commit in line.out.split() if commit in holders]
    return found[-1] if found else commit_of(sh, repo, branch)


def merge_of(sh: Shell, repo: Path, commit: str, head: str) -> tuple[str, str]:
    """The merge of a commit on a branch's first-parent history, and what it was merged into; both
    "" if there is no such merge."""
    question = "git -C {repo} rev-list --first-parent --merges --parents --max-count=50 {head} --"

    def found() -> Answer:
        return sh.ask(question, repo=repo, head=head)

    merges = sh.once(("merges", head), found) if is_hash(head) else found()
    for line in merges.out.splitlines():
        merge, into, *merged = line.split()
        if commit in merged:
            return merge, into
    return "", ""


def commit_of(sh: Shell, repo: Path, rev: str) -> str:
    """The name of the commit that a revision stands for. Raises Refused if there is none."""
    question = "git -C {repo} rev-parse --quiet --verify --end-of-options {rev}"
    answer = sh.ask(question, repo=repo, rev=f"{rev}^{{commit}}")
    if not answer.ok:
        raise Refused(f"there is no commit {rev!r} here.", then="name one that `git log` shows.")
    return answer.line


def history(sh: Shell, repo: Path, commit: str) -> set[str]:
    """The names of all commits in a commit's history, itself included."""
    return set(ask(sh, repo, "rev-list {commit} --", "history", commit=commit).out.split())


def held(sh: Shell, repo: Path, head: str, commits: Iterable[str]) -> set[str]:
    """Those of some commits that a commit's history holds; others need not be here.

    For a few thousand of them it is much quicker than the whole `history`.
    """
    wanted = sorted(set(commits))
    known = zip(wanted, objects(sh, repo, wanted), strict=True)
    here = [name for name, line in known if " commit " in line]
    words = ["git", "-C", str(repo), "rev-list", "--no-walk", "--stdin", "--not", head]
    outside = checked(sh.read(words, feed=here), "history").out.split() if here else []
    return set(here) - set(outside)


@dataclass(frozen=True)
class Worktree:
    """A work tree: its path, the full name of its branch ("" if detached), its commit, and
    whether its directory is gone."""

    path: Path
    branch: str
    head: str
    missing: bool


def worktrees(sh: Shell, repo: Path) -> list[Worktree]:
    """All work trees of the repository, the main one first."""
    found = []
    listed = ask(sh, repo, "worktree list --porcelain -z", "work trees").out
    for block in listed.split("\0\0"):
        entry = dict(line.partition(" ")[::2] for line in block.split("\0") if line)
        if "worktree" in entry and "bare" not in entry:
            path = Path(entry["worktree"])
            head, branch = entry.get("HEAD", NULL), entry.get("branch", "")
            found.append(Worktree(path, branch, head, missing=not path.is_dir()))
    return found


def directory(sh: Shell, work: Path) -> Path:
    """Where git keeps what it knows of a work tree."""
    question = "rev-parse --path-format=absolute --git-dir"
    return Path(ask(sh, work, question, "git directory").line)


def path_of(sh: Shell, work: Path, name: str) -> Path:
    """Where a work tree keeps a file of git's own, such as ``index.lock``."""
    question = "rev-parse --path-format=absolute --git-path {name}"
    return Path(ask(sh, work, question, "path", name=name).line)


def rebased_branch(sh: Shell, work: Path) -> str:
    """The full name of the branch that is being rebased in a work tree; "" if none."""
    for name in ("rebase-merge/head-name", "rebase-apply/head-name"):
        path = path_of(sh, work, name)
        if path.is_file():
            return path.read_text().strip()
    return ""


@dataclass(frozen=True)
class WorkState:
    """What is going on in a work tree.

    head: its commit.
    branch: the full name of its branch, "" if detached.
    merging: the commit that is being merged in, "" if none.
    dirty: changed paths that git tracks. unmerged: those of them that are in conflict.
    untracked: paths that git does not know, whole directories as one.
    """

    head: str
    branch: str
    merging: str
    dirty: tuple[str, ...]
    unmerged: tuple[str, ...]
    untracked: tuple[str, ...]


def merge_head(work: Path) -> Path:
    """The file in which git keeps the commit that is being merged in a work tree, if one is. Asked
    for its name, git would take a tag of that name for it."""
    directory = work / ".git"
    if directory.is_file():
        directory = work / directory.read_text().removeprefix("gitdir: ").rstrip("\n")
    return directory / "MERGE_HEAD"


def _merging(work: Path) -> str:
    """The commit that is being merged in a work tree, "" if none is."""
    try:
        first = merge_head(work).read_text().partition("\n")[0]
    except (OSError, ValueError):
        return ""
    return first if is_hash(first) else ""


def work_state(sh: Shell, work: Path, *, submodules: bool = True) -> WorkState:
    """What is going on in a work tree.

    submodules: whether they count; git leaves them as they are when it moves a branch.
    """
    question = "status --porcelain=v2 --branch --untracked-files=normal --no-renames -z"
    question += "" if submodules else " --ignore-submodules=all"
    head, branch = NULL, ""
    dirty: list[str] = []
    unmerged: list[str] = []
    untracked: list[str] = []
    for entry in ask(sh, work, question, "state").fields():
        if entry.startswith("# branch.oid "):
            head = entry.split(" ", 2)[2]
        elif entry.startswith("# branch.head ") and not entry.endswith(" (detached)"):
            branch = "refs/heads/" + entry.split(" ", 2)[2]
        elif entry[0] in "1u":
            dirty.append(entry.split(" ", 10 if entry[0] == "u" else 8)[-1])
            unmerged += dirty[-1:] if entry[0] == "u" else []
        elif entry[0] == "?":
            untracked.append(entry[2:])
    into = _merging(work)
    return WorkState(head, branch, into, tuple(dirty), tuple(unmerged), tuple(untracked))
