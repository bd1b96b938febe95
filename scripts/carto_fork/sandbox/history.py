"""Histories of two repositories, upstream's and a fork's, as data that `git fast-import` reads.

Nothing here runs a process. Dates and bytes are fixed, so the SHAs are the same on every machine.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TypeAlias

from ..run.text import c_escaped


@dataclass(frozen=True)
class Blob:
    """A file with any mode.

    Modes: 100644; 100755, executable; 120000, a symlink, whose data is its target; 160000, a
    submodule, whose data is the commit as 40 hexadecimal digits.
    """

    data: bytes
    mode: str = "100644"

    @classmethod
    def of(cls, change: str | bytes | Blob) -> Blob:
        """The file that results from a change."""
        if isinstance(change, Blob):
            return change
        return cls(change.encode() if isinstance(change, str) else change)


# What happens to a path: a plain file's new content, another kind of file, or None to delete it.
Change: TypeAlias = str | bytes | Blob | None
Changes: TypeAlias = Mapping[str, Change]

# Every file of a commit, by path.
Tree: TypeAlias = Mapping[str, Blob]

BOT = "LiteLLM Release Bot <release-bot@example.com>"


@dataclass(frozen=True)
class Revision:
    """A commit, as its changes to its first parent's tree.

    `name` is how refs and the `parents` of later commits refer to it. Only the first commit of a
    history has no parents. A second parent makes a merge commit, whose tree is still the first
    parent's with `changes`: nothing is merged here.
    """

    name: str
    message: str
    changes: Changes
    parents: tuple[str, ...] = ()
    author: str = BOT


FIRST_DATE = 1752570000  # 15 July 2025, 09:00 UTC
SECONDS_BETWEEN_COMMITS = 17 * 3600
SECONDS_UNTIL_TAGGED = 600

_IMPORT_REF = b"refs/sandbox/import"


@dataclass(frozen=True)
class History:
    """The commits of both repositories, oldest first, and the refs of each.

    Refs map full names to names of commits. A tag in `messages`, by its full name, is annotated.
    """

    commits: tuple[Revision, ...]
    upstream_refs: Mapping[str, str]
    origin_refs: Mapping[str, str]
    messages: Mapping[str, str] = field(default_factory=dict)

    def stream(self, refs: Mapping[str, str]) -> bytes:
        """The input of `git fast-import` for a repository with these refs and all commits, even
        those that no ref reaches.

        A commit's date is its place in the sequence: commits that are added at the end leave the
        SHAs of the others as they were. Raises ValueError if two commits have the same name.
        """
        marks = {commit.name: mark for mark, commit in enumerate(self.commits, start=1)}
        if len(marks) < len(self.commits):
            raise ValueError("two commits have the same name")
        stream: list[bytes] = []
        for mark, commit in enumerate(self.commits, start=1):
            # fast-import builds commits on a branch; this one is deleted below.
            stream.append(b"commit %s\nmark :%d\n" % (_IMPORT_REF, mark))
            who = f"{commit.author} {_date(mark)} +0000"
            stream.append(f"author {who}\ncommitter {who}\n".encode())
            stream.append(data(f"{commit.message}\n".encode()))
            for place, parent in enumerate(commit.parents):
                stream.append(b"%s :%d\n" % (b"merge" if place else b"from", marks[parent]))
            # Deletions first: a file may replace a directory of its name, and the reverse.
            changes = sorted(commit.changes.items(), key=lambda item: item[1] is not None)
            stream += [_file_command(path, change) for path, change in changes]
        stream.append(b"reset %s\nfrom %s\n\n" % (_IMPORT_REF, b"0" * 40))
        for ref, name in refs.items():
            mark = marks[name]
            if message := self.messages.get(ref):
                tag, author = ref.removeprefix("refs/tags/"), self.commits[mark - 1].author
                tagger = f"{author} {_date(mark) + SECONDS_UNTIL_TAGGED} +0000"
                stream.append(f"tag {tag}\nfrom :{mark}\ntagger {tagger}\n".encode())
                stream.append(data(f"{message}\n".encode()))
            else:
                stream.append(b"reset %s\nfrom :%d\n\n" % (ref.encode(), mark))
        return b"".join(stream)


def _date(mark: int) -> int:
    return FIRST_DATE + (mark - 1) * SECONDS_BETWEEN_COMMITS


def data(content: bytes) -> bytes:
    """Bytes in the format of fast-import."""
    return b"data %d\n%s\n" % (len(content), content)


def _file_command(path: str, change: Change) -> bytes:
    if change is None:
        return b"D %s\n" % quoted(path)
    blob = Blob.of(change)
    if blob.mode == "160000":
        return b"M 160000 %s %s\n" % (blob.data, quoted(path))
    return b"M %s inline %s\n%s" % (blob.mode.encode(), quoted(path), data(blob.data))


def quoted(path: str) -> bytes:
    """A path in the format of fast-import: quoted, with C escapes for special characters.

    A path that is not UTF-8 has surrogates, as Python reads it from the file system.
    """
    return f'"{c_escaped(path)}"'.encode()


# --- Writing a history -----------------------------------------------------------------------


@cache
def archive(name: str) -> Mapping[str, Mapping[str, str]]:
    """The entries of `files/<name>.txtar`: for each change its texts by path.

    The change "" has the files whose entries name no change.
    """
    text = (Path(__file__).with_name("files") / f"{name}.txtar").read_text("utf-8")
    _comment, *parts = re.split(r"^-- (?:(\S+): )?(\S+) --$", text, flags=re.MULTILINE)
    changes: dict[str, dict[str, str]] = defaultdict(dict)
    for change, path, body in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
        stripped = body.strip("\n")
        changes[change or ""][path] = stripped and f"{stripped}\n"
    return changes


def patched(tree: Tree, diff: str) -> Changes:
    """The changes that a diff describes.

    Hunks begin with `@@ path`, or several paths. Their lines begin with a space, - or + as in any
    diff. They also say where the hunk belongs: the old text must be in the file exactly once. An
    empty line means an empty context line, because editors strip trailing spaces.
    """
    files: dict[str, str] = {}
    for hunk in re.split(r"^@@ ", diff, flags=re.MULTILINE)[1:]:
        paths, *lines = hunk.rstrip("\n").split("\n")
        before = "".join(f"\n{line[1:]}" for line in lines if line[:1] != "+")
        after = "".join(f"\n{line[1:]}" for line in lines if line[:1] != "-")
        for path in paths.split():
            # The line ends on both sides keep a hunk from matching within a line.
            text = "\n" + (files.get(path) or tree[path].data.decode())
            if text.count(f"{before}\n") != 1:
                raise ValueError(f"the text of a hunk is not exactly once in {path}:{before}")
            files[path] = text.replace(f"{before}\n", f"{after}\n")[1:]
    return {path: Blob(text.encode(), tree[path].mode) for path, text in files.items()}


class Line:
    """A line of development while its history is written.

    story: the commits of all lines, oldest first.
    changes: the name of the archive with this line's changes.
    tip: the name of the newest commit; "" before the first.
    tree: the files of that commit.
    """

    def __init__(
        self, story: list[Revision], changes: str, tip: str = "", tree: Tree | None = None
    ) -> None:
        self.story, self.changes, self.tip = story, archive(changes), tip
        self.tree = dict(tree or {})

    def commit(
        self,
        author: str,
        subject: str,
        *changes: str | Changes,
        executable: str = "",
        name: str = "",
        merging: str = "",
    ) -> None:
        """Commit changes: each is a mapping, or the name of one in this line's archive.

        executable: a path to make executable. name: the commit's name for refs; default: a number.
        merging: the second parent.
        """
        together: dict[str, Change] = {}
        for change in changes:
            if isinstance(change, str):
                files = dict(self.changes[change])
                together |= {**patched(self.tree, files.pop("diff", "")), **files}
            else:
                together |= change
        if executable:
            blob = Blob.of(together.get(executable) or self.tree[executable])
            together[executable] = Blob(blob.data, "100755")
        parents = tuple(parent for parent in (self.tip, merging) if parent)
        self.tip = name or str(len(self.story))
        self.story.append(Revision(self.tip, subject, together, parents, author))
        for path, content in together.items():
            if content is None:
                del self.tree[path]
            else:
                self.tree[path] = Blob.of(content)

    def pull_request(self, author: str, subject: str, *commits: tuple[str, ...]) -> None:
        """Merge a branch that begins here, as GitHub does; commits: arguments of `commit`."""
        tip, tree, start = self.tip, dict(self.tree), len(self.story)
        for commit in commits:
            self.commit(*commit)
        changes = [commit.changes for commit in self.story[start:]]
        topic, self.tip, self.tree = self.tip, tip, tree
        self.commit(author, f"Merge pull request {subject}", *changes, merging=topic)

    def text(self, path: str) -> str:
        """The current text of a file."""
        return self.tree[path].data.decode()

    def rename(self, old: str, new: str) -> Changes:
        """The changes that rename a file."""
        return {old: None, new: self.tree[old]}
