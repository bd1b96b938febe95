"""Questions to git, one small function each. Nothing here changes a repository."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import IO

from packaging.version import Version

from .errors import Failed, Refused, cure_of_git
from .shell import Answer, Shell, Value, command_line, fill

OLDEST = Version("2.38")
NULL = "0" * 40
SUBMODULE, SYMLINK = "160000", "120000"
"""The modes git has besides those of regular files."""
LARGE = "\0large "
"""The prefix that replaces the text of a blob that is too large to read."""


def checked(answer: Answer, question: str, *allowed: int) -> Answer:
    """The answer, if its exit code is one that the question allows. Raises Failed otherwise."""
    if answer.code not in (0, *allowed):
        cure = cure_of_git(answer.err, answer.hook)
        raise Failed(
            f"git failed at the {question}: it {answer.ending}"
            f"{f' ({cure.meaning})' if cure else ''}: "
            f"{answer.err.strip() or answer.out.strip()}",
            then=f"{cure.then if cure else 'fix what it complains about'}, "
            "then run the same command again.",
        )
    return answer


def ask(sh: Shell, repo: Path, question: str, what: str, *allowed: int, **values: Value) -> Answer:
    """Git's answer to a question such as ``rev-list {commit} --``. Raises Failed as `checked` does.

    what: what the question asks for, in a word or two.
    """
    words = fill(f"git -C {{repo}} {question}", {"repo": repo, **values})
    return checked(sh.read(words), what, *allowed)


def require_version(sh: Shell) -> None:
    """Raises Refused if git is missing or older than `OLDEST`."""
    answer = sh.ask("git version")
    version = re.search(r"\d+(\.\d+)+", answer.out)
    if not answer.ok or not version:
        raise Refused("git is not installed.", then="install git 2.38 or newer.")
    if Version(version[0]) < OLDEST:
        problem = f"git {version[0]} is too old: {OLDEST} or newer is needed."
        raise Refused(problem, then="install a newer git.")


@dataclass(frozen=True)
class Repository:
    """A repository on this machine.

    path: the directory the user named, as `nearest` writes it.
    common: its git directory, shared by all of its work trees; absolute.
    directory: where git keeps its data about the named work tree; absolute.
    top: the top of that work tree, as `nearest` writes it; None if the path is not in one.
    home: the top of its main work tree, or the bare repository itself; absolute.
    shallow: whether its history is incomplete (a shallow clone).
    linked: whether the directory is in a linked work tree, not in the main one.
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
        """The top of the named work tree. Raises Refused if the path is not in one."""
        if self.top is None:
            problem = f"{self.path} is not in a work tree."
            raise Refused(problem, then="name a work tree with --repo.")
        return self.top


def open_repository(sh: Shell, path: Path) -> Repository:
    """The repository at a path. Raises Refused if it does not exist or git does not trust it."""
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
        home = top  # a submodule keeps its git directory elsewhere
    top = top and nearest(top)
    return Repository(path, Path(common), Path(directory), top, home, shallow == "true", linked)


def read_history(sh: Shell, repository: Repository) -> None:
    """Let git read the history of a clone once for the questions to come, unless it has a commit
    graph already, as after `git gc`."""
    info = repository.common / "objects" / "info"
    if not any((info / name).exists() for name in ("commit-graph", "commit-graphs")):
        sh.read_history(repository.path)


def at(path: Path) -> str:
    """``git -C`` and a path, or ``git`` in the current directory: the beginning of a command line
    to paste."""
    return command_line(["git", "-C", str(path)])


def nearest(path: Path, start: Path = Path()) -> Path:
    """The shorter of a path's absolute and relative forms, for lines that people read; `start` may
    be the directory of a ``git -C``, from which git reads a path."""
    try:
        absolute, relative = path.absolute(), Path(os.path.relpath(path, start))
    except FileNotFoundError:
        return path  # the current directory is gone
    return relative if len(str(relative)) < len(str(absolute)) else absolute


def named(directory: Path) -> str:
    """A directory as it appears in a sentence, where `.` and `..` would be unclear."""
    if directory.name in ("", ".."):
        directory = directory / ".." / directory.resolve().name
    return str(directory)


def inside(directory: Path) -> str:
    """Where something is to be done, in a sentence: here, or in a directory."""
    return "here" if str(directory) == "." else f"in {named(directory)}"


@dataclass(frozen=True)
class Refs:
    """All branches and tags of a repository at one moment, read in one go.

    objects: full ref names to object names, as stored (a tag object for an annotated tag).
    commits: the same with tags peeled.
    """

    objects: dict[str, str]
    commits: dict[str, str]

    def tags(self) -> list[str]:
        """The names of all tags."""
        prefix = "refs/tags/"
        return [ref.removeprefix(prefix) for ref in self.objects if ref.startswith(prefix)]

    def tag(self, name: str) -> str:
        """The commit a tag points to; "" if the tag does not exist."""
        return self.commits.get(f"refs/tags/{name}", "")

    def tags_in(self, commits: Collection[str]) -> list[str]:
        """The tags that point to one of the given commits."""
        return [name for name in self.tags() if self.tag(name) in commits]

    def branches(self) -> list[str]:
        """The names of the local branches."""
        prefix = "refs/heads/"
        return [ref.removeprefix(prefix) for ref in self.objects if ref.startswith(prefix)]


def refs(sh: Shell, repo: Path) -> Refs:
    """The repository's refs."""
    # show-ref peels tags from packed-refs; for-each-ref would open every tag object.
    answer = sh.ask("git -C {repo} show-ref --dereference", repo=repo)
    if bad := re.search(r"bad ref (refs/\S+)", answer.err):
        file = path_of(sh, repo, bad[1])
        problem = f"{bad[1]} names no commit; such files are left when a machine crashes."
        raise Refused(problem, then=f"rm {quote(str(file))}, then run the same command again.")
    # Exit code 1: no refs at all.
    return parsed_refs(checked(answer, "refs", 1).out)


def parsed_refs(listing: str) -> Refs:
    """The refs in the output of show-ref or ls-remote."""
    objects: dict[str, str] = {}
    peeled: dict[str, str] = {}
    for line in listing.splitlines():
        name, ref = line.split(maxsplit=1)
        (peeled if ref.endswith("^{}") else objects)[ref.removesuffix("^{}")] = name
    return Refs(objects, objects | peeled)


PATIENCE = 10
"""Seconds to wait for a remote whose answer is optional."""


def remote_refs(
    sh: Shell, repo: Path, remote: str, patterns: Sequence[str], timeout: int | None = None
) -> Refs | None:
    """The refs of a remote that match ls-remote patterns; None if the remote cannot be reached or
    must not be asked.

    timeout: seconds to wait for the remote.
    """
    if sh.offline:
        return None
    words = ["git", "-C", str(repo), "ls-remote", "--end-of-options", remote, *patterns]
    answer = sh.read(words, timeout=timeout)
    return parsed_refs(answer.out) if answer.ok else None


def config(sh: Shell, repo: Path) -> dict[str, list[str]]:
    """The effective configuration: each lower-case key (subsections as written) with all its
    values."""
    values: dict[str, list[str]] = {}
    for entry in ask(sh, repo, "config --null --list", "configuration").fields():
        key, _, value = entry.partition("\n")
        values.setdefault(key, []).append(value)
    return values


def require_identity(sh: Shell, repo: Path) -> None:
    """Raises Refused unless a name and an e-mail address are configured for commits (git's guess
    does not count)."""
    question = "git -C {repo} -c user.useConfigOnly=true var GIT_COMMITTER_IDENT"
    if not sh.ask(question, repo=repo).ok:
        raise Refused(
            "git has no name and e-mail address to commit with here.",
            then=f'{at(repo)} config user.name "Your Name" && '
            f"{at(repo)} config user.email you@example.com",
        )


def has_object(sh: Shell, repo: Path, name: str) -> bool:
    """Whether the repository has an object."""
    return bool(name) and not objects(sh, repo, [name])[0].endswith(" missing")


def is_ancestor(sh: Shell, repo: Path, ancestor: str, descendant: str) -> bool:
    """Whether the history of one commit contains another."""
    question = "merge-base --is-ancestor {one} {other}"
    return ask(sh, repo, question, "ancestry", 1, one=ancestor, other=descendant).ok


def ahead_behind(sh: Shell, repo: Path, left: str, right: str) -> tuple[int, int]:
    """How many commits each of two revisions has that the other lacks."""
    if left == right:
        return 0, 0
    question = "rev-list --left-right --count {among} --"
    ahead, behind = ask(sh, repo, question, "distance", among=f"{left}...{right}").out.split()
    return int(ahead), int(behind)


def count(sh: Shell, repo: Path, commit: str, *known: str, merges: bool = True) -> int:
    """How many commits are in the history of one commit but not in those of the others.

    merges: whether merge commits count.
    """
    question = f"rev-list --count {'' if merges else '--no-merges '}{{commit}} --not {{known}} --"
    return int(ask(sh, repo, question, "number of commits", commit=commit, known=known).out)


def show(sh: Shell, repo: Path, commit: str, path: str) -> str | None:
    """A file's text at a commit; None if the commit lacks the file. Raises Failed if it is
    damaged."""
    name = f"{commit}:{path}"
    # What is staged changes, and a git that answers many questions reads the index only once.
    if commit and "\n" not in name and (text := contents(sh, repo, [name])[0]) is not None:
        return text
    files = sh.known(("tree", commit))
    if files is not None and path not in files:
        return None
    listed = "git -C {repo} --literal-pathspecs ls-tree --full-tree {commit} -- {path}"
    if commit and " blob " not in sh.ask(listed, repo=repo, commit=commit, path=path).out:
        return None
    answer = sh.ask("git -C {repo} cat-file blob {name}", repo=repo, name=name)
    return checked(answer, f"text of {path}").out if commit or answer.ok else None


Tree = Mapping[str, tuple[str, str]]
"""All files of a commit: path to mode and object name."""


def is_hash(rev: str) -> bool:
    """Whether a revision is a full hash, and so always means the same object."""
    return bool(re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", rev))


def tree(sh: Shell, repo: Path, commit: str) -> Tree:
    """All files of a commit or tree. If it is named by its full hash, it is read only once."""

    def read() -> Tree:
        files = {}
        for entry in ask(sh, repo, "ls-tree -r --full-tree -z {it}", "files", it=commit).fields():
            facts, path = entry.split("\t", 1)
            mode, _, name = facts.split(" ")
            files[path] = (mode, name)
        return files

    return sh.once(("tree", commit), read) if is_hash(commit) else read()


def blobs(sh: Shell, repo: Path, names: Iterable[str]) -> dict[str, str]:
    """The contents of many objects at once, by name; what is missing or not a blob is left out."""
    wanted = list(dict.fromkeys(names))
    texts = zip(wanted, contents(sh, repo, wanted), strict=True)
    return {name: text for name, text in texts if text is not None}


def contents(sh: Shell, repo: Path, names: Sequence[str]) -> list[str | None]:
    """The contents of many objects at once, in the same order; None for what is missing or not a
    blob. A blob that is too large becomes `LARGE` and its name, so it is compared as a whole.

    names: in any form git accepts, such as ``<commit>:<path>``, without line ends.
    """
    if not names:
        return []
    texts: list[str | None] = []
    with sh.talk(["git", "-C", str(repo), "cat-file", "--batch"]).ask(names) as answers:
        for _ in names:
            *_, name, kind, size = (b"", b"", *_line(answers).split(b" "))
            if not size.isdigit():  # "<name> missing", or ambiguous
                texts.append(None)
                continue
            left, data = int(size), b""
            if left > sh.largest_text:
                data = LARGE.encode() + name
                while left:
                    left -= len(answers.read(min(left, 1 << 20)))
            data = data or answers.read(left)
            answers.read(1)
            texts.append(data.decode("utf-8", "surrogateescape") if kind == b"blob" else None)
    return texts


def objects(sh: Shell, repo: Path, names: Sequence[str]) -> list[str]:
    """Name, type and size of many objects, in the same order, as `git cat-file --batch-check`
    prints them; the name and `missing` for an object that does not exist.

    names: in any form git accepts, without line ends.
    """
    if not names:
        return []
    with sh.talk(["git", "-C", str(repo), "cat-file", "--batch-check"]).ask(names) as answers:
        return [_line(answers).decode("utf-8", "surrogateescape") for _ in names]


def large(sh: Shell, repo: Path, names: Iterable[str]) -> dict[str, int]:
    """Which of these objects are blobs too large to read line by line, with their sizes in
    bytes."""
    facts = (fact.split(" ") for fact in objects(sh, repo, list(dict.fromkeys(names))))
    sizes = {fact[0]: int(fact[2]) for fact in facts if fact[1:2] == ["blob"]}
    return {name: size for name, size in sizes.items() if size > sh.largest_text}


def _line(answers: IO[bytes]) -> bytes:
    line = answers.readline()
    if not line.endswith(b"\n"):
        problem = "git ended while it was reading objects."
        raise Failed(problem, then="run the same command again.")
    return line[:-1]


def empty_blob(sh: Shell, repo: Path) -> str:
    """The object name of an empty file, which is written if it is missing."""
    question = "git -C {repo} hash-object -w -t blob --stdin"
    answer = sh.once(("empty blob",), lambda: sh.ask(question, repo=repo))
    return checked(answer, "empty file").line


def empty_tree(sh: Shell, repo: Path) -> str:
    """The object name of an empty tree, which is written if it is missing."""
    return checked(sh.read(["git", "-C", str(repo), "mktree"], feed=()), "empty tree").line


def make_trees(sh: Shell, repo: Path, *trees: Iterable[str]) -> list[str]:
    """Trees of numbered files made of the given blobs, at least one in each. They exist in the
    object store only, to compare many files at once."""
    lines: list[str] = []
    for blobs in trees:
        lines += (f"100644 blob {name}\t{number:07}" for number, name in enumerate(blobs))
        lines.append("")
    with sh.talk(["git", "-C", str(repo), "mktree", "--missing", "--batch"]).ask(lines) as answers:
        return [_line(answers).decode() for _ in trees]


def differing(sh: Shell, repo: Path, one: str, other: str) -> list[str]:
    """The paths that differ between two commits or trees."""
    if one == other:
        return []
    question = "diff-tree -r --name-only --no-renames -z {one} {other}"
    return ask(sh, repo, question, "differing paths", one=one, other=other).fields()


def merge_bases(sh: Shell, repo: Path, one: str, *others: str) -> list[str]:
    """The best common ancestors of a commit and the others; empty if they have none."""
    question = "merge-base --all {one} {others}"
    return ask(sh, repo, question, "common ancestor", 1, one=one, others=others).out.split()


def commit_dates(sh: Shell, repo: Path, commits: Sequence[str]) -> dict[str, str]:
    """The days of commits as YYYY-MM-DD, by full hash."""
    question = "log --no-walk --no-show-signature --date=short --format=%H=%cd {commits} --"
    lines = ask(sh, repo, question, "dates", commits=commits).out.split() if commits else []
    return dict(line.split("=") for line in lines)


def first_with(sh: Shell, repo: Path, commit: str, branch: str) -> str:
    """The oldest commit on a branch's first-parent history that contains a commit."""
    among = f"{commit}..{branch}"
    line, after = (
        ask(sh, repo, f"rev-list --{how} {{among}} --", "commits after a commit", among=among)
        for how in ("first-parent", "ancestry-path")
    )
    holders = set(after.out.split())
    later = [commit for commit in line.out.split() if commit in holders]
    return later[-1] if later else commit_of(sh, repo, branch)


def merge_of(sh: Shell, repo: Path, commit: str, head: str) -> tuple[str, str]:
    """The merge that brought a commit into a branch's first-parent history, and the commit before
    it; both "" if there was no such merge."""
    question = "git -C {repo} rev-list --first-parent --merges --parents --max-count=50 {head} --"
    for line in sh.ask(question, repo=repo, head=head).out.splitlines():
        merge, into, *merged = line.split()
        if commit in merged:
            return merge, into
    return "", ""


def commit_of(sh: Shell, repo: Path, rev: str) -> str:
    """The hash of the commit a revision means. Raises Refused if it does not exist."""
    question = "git -C {repo} rev-parse --quiet --verify --end-of-options {rev}"
    answer = sh.ask(question, repo=repo, rev=f"{rev}^{{commit}}")
    if not answer.ok:
        raise Refused(f"this clone has no commit {rev!r}.", then="name one that `git log` shows.")
    return answer.line


def subjects(sh: Shell, repo: Path, *which: str) -> list[str]:
    """The subjects of some commits, newest first. which: options and revisions of `git log`."""
    words = ["git", "-C", str(repo), "log", "--no-show-signature", "--format=%s", *which, "--"]
    return checked(sh.read(words), "commits").out.split("\n")[:-1]


def held(sh: Shell, repo: Path, head: str, commits: Iterable[str], *heads: str) -> set[str]:
    """Which of these commits are in the history of one commit or more; the others may be missing
    here."""
    # For a few thousand commits this is much faster than the whole history.
    wanted = sorted(set(commits))
    checks = zip(wanted, objects(sh, repo, wanted), strict=True)
    present = [name for name, line in checks if " commit " in line]
    words = ["git", "-C", str(repo), "rev-list", "--no-walk", "--stdin", "--not", head, *heads]
    outside = checked(sh.read(words, feed=present), "history").out.split() if present else []
    return set(present) - set(outside)


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
    works = []
    listed = ask(sh, repo, "worktree list --porcelain -z", "work trees").out
    for block in listed.split("\0\0"):
        entry = dict(line.partition(" ")[::2] for line in block.split("\0") if line)
        if "worktree" in entry and "bare" not in entry:
            path = Path(entry["worktree"])
            head, branch = entry.get("HEAD", NULL), entry.get("branch", "")
            works.append(Worktree(path, branch, head, missing=not path.is_dir()))
    return works


def directory(sh: Shell, work: Path) -> Path:
    """Where git keeps its data about a work tree."""
    question = "rev-parse --path-format=absolute --git-dir"
    return Path(ask(sh, work, question, "git directory").line)


def path_of(sh: Shell, work: Path, name: str) -> Path:
    """Where a work tree keeps one of git's own files, such as ``index.lock``."""
    question = "rev-parse --path-format=absolute --git-path {name}"
    return Path(ask(sh, work, question, "path", name=name).line)


@dataclass(frozen=True)
class WorkState:
    """The state of a work tree. head: its commit.
    branch: the full name of its branch; "" if detached. merging: the commit that is being merged
        in; "" if none.
    dirty: changed paths that git tracks. unmerged, unstaged: those of them that are in conflict,
        and those whose file differs from what is staged.
    untracked: paths that git does not track; a whole directory is one path.
    """

    head: str
    branch: str
    merging: str
    dirty: tuple[str, ...]
    unmerged: tuple[str, ...]
    unstaged: tuple[str, ...]
    untracked: tuple[str, ...]


def merge_head(work: Path) -> Path:
    """The file in which git keeps the commit that is being merged into a work tree, if any. We read
    the file, because git would resolve the name `MERGE_HEAD` to a tag of that name."""
    directory = work / ".git"
    if directory.is_file():
        directory = work / directory.read_text().removeprefix("gitdir: ").rstrip("\n")
    return directory / "MERGE_HEAD"


def _merging(work: Path) -> str:
    """The commit that is being merged into a work tree; "" if none."""
    try:
        first = merge_head(work).read_text().partition("\n")[0]
    except (OSError, ValueError):
        return ""
    return first if is_hash(first) else ""


def work_state(sh: Shell, work: Path, *, submodules: bool = True) -> WorkState:
    """The state of a work tree. submodules: whether they count; git does not touch them when it
    moves a branch.
    """
    question = "status --porcelain=v2 --branch --untracked-files=normal --no-renames -z"
    question += "" if submodules else " --ignore-submodules=all"
    head, branch = NULL, ""
    dirty: list[str] = []
    unmerged: list[str] = []
    unstaged: list[str] = []
    untracked: list[str] = []
    for entry in ask(sh, work, question, "state").fields():
        if entry.startswith("# branch.oid "):
            head = entry.split(" ", 2)[2]
        elif entry.startswith("# branch.head ") and not entry.endswith(" (detached)"):
            branch = "refs/heads/" + entry.split(" ", 2)[2]
        elif entry[0] in "1u":
            dirty.append(entry.split(" ", 10 if entry[0] == "u" else 8)[-1])
            unmerged += dirty[-1:] if entry[0] == "u" else []
            unstaged += dirty[-1:] if entry[0] == "1" and entry[3] != "." else []
        elif entry[0] == "?":
            untracked.append(entry[2:])
    paths = (tuple(paths) for paths in (dirty, unmerged, unstaged, untracked))
    return WorkState(head, branch, _merging(work), *paths)
