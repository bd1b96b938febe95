"""What a merge stopped with, on real merges: every kind of conflict that git knows."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from carto_fork import conflicts, evidence
from carto_fork.evidence import Conflict
from carto_fork.policy import Kind, Side
from world import shell

TEXT = "".join(f"line {number}\n" for number in range(1, 21))
OURS = TEXT.replace("line 10\n", "line 10 of ours\n")
THEIRS = TEXT.replace("line 10\n", "line 10 of theirs\n")


@dataclass(frozen=True)
class Repo:
    """A repository to merge in: `ours` is checked out and `theirs` is merged."""

    path: Path

    def git(self, *words: str, ok: bool = True) -> str:
        ended = subprocess.run(["git", *words], cwd=self.path, capture_output=True)
        assert not ok or ended.returncode == 0, ended.stderr
        return os.fsdecode(ended.stdout).rstrip("\n")

    def put(self, path: str, content: str | bytes = TEXT) -> None:
        file = self.path / path
        if file.is_symlink() or file.exists():
            file.unlink()
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else content.encode())

    def link(self, path: str, target: str) -> None:
        (self.path / path).unlink(missing_ok=True)
        (self.path / path).symlink_to(target)

    def submodule(self, path: str, commit: str) -> None:
        self.git("update-index", "--add", "--cacheinfo", f"160000,{commit * 40},{path}")
        (self.path / path).mkdir(exist_ok=True)

    def commit(self, *, add: bool = True) -> None:
        if add:
            self.git("add", "--all")
        # Equal commits would be one and the same: the sealed world's clock stands still.
        branch = self.git("symbolic-ref", "HEAD")
        self.git("commit", "--quiet", "--allow-empty", "-m", f"on {branch}")

    def side(self, name: str, start: str = "base") -> None:
        self.git("switch", "--quiet", "-c", name, start)

    def merge(self, *options: str) -> dict[str, Conflict]:
        """Merge theirs into ours, and what is found then, by path."""
        self.git("switch", "--quiet", "ours")
        self.git("merge", "--no-commit", "--no-ff", *options, "theirs", ok=False)
        found = conflicts.read(shell(), self.path)
        unmerged = self.git("diff", "--name-only", "--diff-filter=U", "-z").split("\0")[:-1]
        assert [conflict.path for conflict in found] == sorted(set(unmerged))
        return {conflict.path: conflict for conflict in found}


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    made = Repo(tmp_path / "repo")
    made.path.mkdir()
    made.git("init", "--quiet", "--initial-branch", "base")
    for key, value in (("user.name", "x"), ("user.email", "x@example.com")):
        made.git("config", key, value)
    made.put("other", "unrelated\n")
    return made


def on_both_sides(repo: Repo, path: str, ours: str | bytes, theirs: str | bytes) -> None:
    for name, content in (("ours", ours), ("theirs", theirs)):
        repo.side(name)
        repo.put(path, content)
        repo.commit()


# --- One kind after the other --------------------------------------------------------------------


def test_without_a_conflict_there_is_none(repo: Repo) -> None:
    repo.put("f")
    repo.commit()
    on_both_sides(repo, "f", TEXT.replace("line 1\n", "x\n"), TEXT.replace("line 20\n", "y\n"))
    assert repo.merge() == {}
    repo.git("commit", "--quiet", "-m", "x")
    assert conflicts.read(shell(), repo.path) == []


def test_content(repo: Repo) -> None:
    repo.put("f")
    repo.commit()
    on_both_sides(repo, "f", OURS, THEIRS)
    found = repo.merge()["f"]
    assert (found.kind, found.deleted_by, found.edited) == (Kind.CONTENT, None, False)
    assert found.base and found.ours and found.theirs
    for stage, text in ((found.base, TEXT), (found.ours, OURS), (found.theirs, THEIRS)):
        assert stage.mode == "100644"
        assert repo.git("cat-file", "blob", stage.name) == text.rstrip("\n")
    assert found.text == (repo.path / "f").read_text()
    assert found.text and evidence.has_markers(found.text)


def test_added_by_both(repo: Repo) -> None:
    repo.commit()
    on_both_sides(repo, "f", OURS, THEIRS)
    found = repo.merge()["f"]
    assert (found.kind, found.base, found.deleted_by) == (Kind.ADD_ADD, None, None)
    assert found.text and "line 10 of ours\n=======\n" in found.text


@pytest.mark.parametrize("deleter", [Side.FORK, Side.UPSTREAM])
def test_changed_here_and_deleted_there(repo: Repo, deleter: Side) -> None:
    repo.put("f")
    repo.commit()
    on_both_sides(repo, "f", OURS, THEIRS)
    side = "ours" if deleter is Side.FORK else "theirs"
    repo.git("switch", "--quiet", side)
    repo.git("rm", "--quiet", "f")
    repo.commit()
    found = repo.merge()["f"]
    assert (found.kind, found.deleted_by) == (Kind.MODIFY_DELETE, deleter)
    assert (found.ours is None) is (deleter is Side.FORK)
    assert (found.theirs is None) is (deleter is Side.UPSTREAM)
    assert found.text is None


@pytest.mark.parametrize("renamer", [Side.FORK, Side.UPSTREAM])
def test_renamed_here_and_deleted_there(repo: Repo, renamer: Side) -> None:
    repo.put("old")
    repo.commit()
    for name in ("ours", "theirs"):
        repo.side(name)
        if (name == "ours") is (renamer is Side.FORK):
            repo.git("mv", "old", "new")
        else:
            repo.git("rm", "--quiet", "old")
        repo.commit()
    found = repo.merge()
    assert list(found) == ["new"]
    deleter = Side.UPSTREAM if renamer is Side.FORK else Side.FORK
    assert (found["new"].kind, found["new"].deleted_by) == (Kind.RENAME, deleter)
    assert found["new"].base


def test_renamed_to_two_names(repo: Repo) -> None:
    repo.put("old")
    repo.commit()
    for name in ("ours", "theirs"):
        repo.side(name)
        repo.git("mv", "old", f"new of {name}")
        repo.commit()
    found = repo.merge()
    assert set(found) == {"old", "new of ours", "new of theirs"}
    assert {conflict.kind for conflict in found.values()} == {Kind.RENAME}
    assert {conflict.deleted_by for conflict in found.values()} == {None}
    old, ours, theirs = found["old"], found["new of ours"], found["new of theirs"]
    assert old.base and not old.ours and not old.theirs
    assert ours.ours and not ours.base and not ours.theirs
    assert theirs.theirs and not theirs.base and not theirs.ours


def test_two_files_renamed_to_one_name(repo: Repo) -> None:
    repo.put("a", TEXT)
    repo.put("b", TEXT.replace("line", "row"))
    repo.commit()
    for name, old in (("ours", "a"), ("theirs", "b")):
        repo.side(name)
        repo.git("mv", old, "c")
        repo.commit()
    found = repo.merge()["c"]
    assert (found.kind, found.deleted_by) == (Kind.ADD_ADD, None)
    assert found.text and evidence.has_markers(found.text)


def test_renamed_and_changed_on_both_sides_is_a_conflict_of_content(repo: Repo) -> None:
    repo.put("old")
    repo.commit()
    on_both_sides(repo, "old", OURS, THEIRS)
    repo.git("switch", "--quiet", "ours")
    repo.git("mv", "old", "new")
    repo.commit()
    found = repo.merge()
    assert list(found) == ["new"]
    assert (found["new"].kind, found["new"].deleted_by) == (Kind.CONTENT, None)
    assert found["new"].text and "<<<<<<< HEAD:new\n" in found["new"].text


@pytest.mark.parametrize("filer", ["ours", "theirs"])
def test_a_file_here_is_a_directory_there(repo: Repo, filer: str) -> None:
    repo.commit()
    for name in ("ours", "theirs"):
        repo.side(name)
        repo.put("thing" if name == filer else "thing/inside")
        repo.commit()
    found = repo.merge()
    assert len(found) == 1
    path, conflict = found.popitem()
    assert path.startswith("thing~")
    assert (conflict.kind, conflict.deleted_by, conflict.base) == (Kind.RENAME, None, None)
    assert bool(conflict.ours) is (filer == "ours")


def test_a_file_changed_here_and_replaced_by_a_directory_there(repo: Repo) -> None:
    repo.put("thing")
    repo.commit()
    repo.side("theirs")
    repo.git("rm", "--quiet", "thing")
    repo.put("thing/inside", "nothing like it\n")
    repo.commit()
    repo.side("ours")
    repo.put("thing", OURS)
    repo.commit()
    found = repo.merge()
    assert list(found) == ["thing~HEAD"]
    conflict = found["thing~HEAD"]
    assert (conflict.kind, conflict.deleted_by) == (Kind.RENAME, Side.UPSTREAM)


@pytest.mark.parametrize("linker", ["ours", "theirs"])
def test_a_file_here_is_a_symlink_there(repo: Repo, linker: str) -> None:
    repo.commit()
    for name in ("ours", "theirs"):
        repo.side(name)
        if name == linker:
            repo.link("thing", "other")
        else:
            repo.put("thing")
        repo.commit()
    found = repo.merge()
    assert Kind.SYMLINK in {conflict.kind for conflict in found.values()}
    assert {conflict.kind for conflict in found.values()} <= {Kind.SYMLINK, Kind.RENAME}
    assert {conflict.deleted_by for conflict in found.values()} == {None}
    link = next(conflict for conflict in found.values() if conflict.kind is Kind.SYMLINK)
    assert link.text is None
    assert all(
        conflict.text is None or not evidence.has_markers(conflict.text)
        for conflict in found.values()
    )


def test_a_symlink_that_both_sides_turned(repo: Repo) -> None:
    repo.link("link", "other")
    repo.commit()
    for name in ("ours", "theirs"):
        repo.side(name)
        repo.link("link", f"target of {name}")
        repo.commit()
    found = repo.merge()["link"]
    assert (found.kind, found.text, found.edited) == (Kind.SYMLINK, None, False)
    assert found.ours and found.ours.mode == "120000"


def test_a_submodule_that_both_sides_moved(repo: Repo) -> None:
    repo.git("add", "--all")
    repo.submodule("sub", "1")
    repo.commit(add=False)
    for name, commit in (("ours", "2"), ("theirs", "3")):
        repo.side(name)
        repo.submodule("sub", commit)
        repo.commit(add=False)
    found = repo.merge()["sub"]
    assert (found.kind, found.text, found.edited) == (Kind.SUBMODULE, None, False)
    assert found.ours and found.theirs and found.base
    assert (found.base.name[0], found.ours.name[0], found.theirs.name[0]) == ("1", "2", "3")


def test_a_submodule_that_one_side_removed(repo: Repo) -> None:
    repo.git("add", "--all")
    repo.submodule("sub", "1")
    repo.commit(add=False)
    repo.side("theirs")
    repo.git("rm", "--quiet", "--cached", "sub")
    repo.commit(add=False)
    repo.side("ours")
    repo.submodule("sub", "2")
    repo.commit(add=False)
    found = repo.merge()["sub"]
    assert (found.kind, found.deleted_by) == (Kind.SUBMODULE, Side.UPSTREAM)


def test_bytes_that_are_no_text(repo: Repo) -> None:
    repo.put("f", b"\0base")
    repo.commit()
    on_both_sides(repo, "f", b"\0ours", b"\0theirs")
    found = repo.merge()["f"]
    assert (found.kind, found.text) == (Kind.BINARY, None)


@pytest.mark.parametrize("attribute", ["binary", "-diff -merge"])
def test_text_that_gitattributes_calls_binary(repo: Repo, attribute: str) -> None:
    repo.put(".gitattributes", f"*.lock {attribute}\n")
    repo.put("a.lock")
    repo.put("a.txt")
    repo.commit()
    on_both_sides(repo, "a.lock", OURS, THEIRS)
    found = repo.merge()
    assert (found["a.lock"].kind, found["a.lock"].text) == (Kind.BINARY, None)


def test_binary_files_added_by_both(repo: Repo) -> None:
    repo.commit()
    on_both_sides(repo, "f", b"\0ours", b"\0theirs")
    found = repo.merge()["f"]
    assert (found.kind, found.base) == (Kind.BINARY, None)


def test_text_that_is_not_utf8_is_a_conflict_of_content(repo: Repo) -> None:
    base, ours, theirs = (text.encode() + b"caf\xe9\n" for text in (TEXT, OURS, THEIRS))
    repo.put("f", base)
    repo.commit()
    on_both_sides(repo, "f", ours, theirs)
    found = repo.merge()["f"]
    assert found.kind is Kind.CONTENT
    assert found.text and "\n>>>>>>> " in found.text and "caf\udce9" in found.text


def test_the_same_file_with_two_modes(repo: Repo) -> None:
    repo.commit()
    on_both_sides(repo, "f", TEXT, TEXT)
    (repo.path / "f").chmod(0o755)
    repo.commit()
    found = repo.merge()["f"]
    assert (found.kind, found.deleted_by) == (Kind.MODE, None)
    assert found.ours and found.theirs
    assert (found.ours.mode, found.theirs.mode) == ("100644", "100755")
    assert found.text == TEXT


def test_a_rename_into_a_renamed_directory(repo: Repo) -> None:
    """Upstream moved a directory; the fork added a file to it. Git asks about the place."""
    for name in "abc":
        repo.put(f"old/{name}", TEXT.replace("line", name))
    repo.commit()
    repo.side("theirs")
    repo.git("mv", "old", "new")
    repo.commit()
    repo.side("ours")
    repo.put("old/d", TEXT.replace("line", "d"))
    repo.commit()
    repo.git("config", "merge.directoryRenames", "conflict")
    found = repo.merge()
    assert list(found) == ["new/d"]
    assert (found["new/d"].kind, found["new/d"].deleted_by) == (Kind.RENAME, None)


# --- Histories and places ------------------------------------------------------------------------


def test_a_criss_cross_with_two_merge_bases(repo: Repo) -> None:
    repo.put("f")
    repo.put("gone")
    repo.commit()
    on_both_sides(repo, "f", OURS, THEIRS)
    ours, theirs = repo.git("rev-parse", "ours"), repo.git("rev-parse", "theirs")
    for name, other in (("ours", theirs), ("theirs", ours)):
        repo.git("switch", "--quiet", name)
        repo.git("merge", "--no-commit", other, ok=False)
        repo.put("f", TEXT.replace("line 10\n", f"line 10 settled by {name}\n"))
        repo.put("gone", TEXT.replace("line 3\n", f"line 3 of {name}\n"))
        repo.commit()
    repo.git("rm", "--quiet", "gone")
    repo.commit()
    assert len(repo.git("merge-base", "--all", "ours", "theirs").split()) == 2
    found = repo.merge()
    assert {path: conflict.kind for path, conflict in found.items()} == {
        "f": Kind.CONTENT,
        "gone": Kind.MODIFY_DELETE,
    }
    assert found["gone"].deleted_by is Side.UPSTREAM
    assert found["f"].edited is False
    assert found["f"].base, "the merge of both bases"
    assert found["f"].text and evidence.has_markers(found["f"].text)


def test_histories_that_have_nothing_in_common(repo: Repo) -> None:
    repo.put("f", OURS)
    repo.commit()
    repo.git("branch", "ours")
    repo.git("switch", "--quiet", "--orphan", "theirs")
    repo.put("f", THEIRS)
    repo.commit()
    found = repo.merge("--allow-unrelated-histories")
    assert found["f"].kind is Kind.ADD_ADD


NAMES = ["a b", "it's", 'q"uote', "tab\there", "new\nline", "ümlaut", "-x", "*", ":(top)f", "#x"]


@pytest.mark.parametrize("name", NAMES)
def test_names_are_taken_as_they_are(repo: Repo, name: str) -> None:
    repo.put("plain", TEXT)
    repo.put(f"dir/{name}")
    repo.put(name)
    repo.commit()
    on_both_sides(repo, name, OURS, THEIRS)
    for side, text in (("ours", OURS), ("theirs", None)):
        repo.git("switch", "--quiet", side)
        if text:
            repo.put(f"dir/{name}", text)
        else:
            repo.git("--literal-pathspecs", "rm", "--quiet", "--", f"dir/{name}")
        repo.commit()
    found = repo.merge()
    assert {path: conflict.kind for path, conflict in found.items()} == {
        name: Kind.CONTENT,
        f"dir/{name}": Kind.MODIFY_DELETE,
    }
    assert found[name].text and not found[name].edited


def test_a_name_that_is_not_utf8(repo: Repo) -> None:
    name = "caf\udce9"
    repo.put(name)
    repo.commit()
    on_both_sides(repo, name, OURS, THEIRS)
    found = repo.merge()[name]
    assert found.kind is Kind.CONTENT and found.text


def test_a_subdirectory_of_the_work_tree_is_as_good(repo: Repo) -> None:
    repo.put("sub/f")
    repo.put("g")
    repo.commit()
    on_both_sides(repo, "sub/f", OURS, THEIRS)
    repo.merge()
    config = {"diff.noprefix": "true", "diff.relative": "true", "core.quotePath": "true"}
    for key, value in config.items():
        repo.git("config", key, value)
    assert [conflict.path for conflict in conflicts.read(shell(), repo.path)] == ["sub/f"]
    assert conflicts.read(shell(), repo.path)[0].edited is False


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("diff.noprefix", "true"),
        ("diff.external", "false"),
        ("diff.renames", "copies"),
        ("diff.ignoreSubmodules", "none"),
        ("color.ui", "always"),
        ("core.quotePath", "true"),
        ("merge.conflictStyle", "zdiff3"),
        ("status.relativePaths", "false"),
    ],
)
def test_settings_of_git_change_nothing(repo: Repo, key: str, value: str) -> None:
    repo.put("f")
    repo.put("bin", b"\0base")
    repo.commit()
    on_both_sides(repo, "f", OURS, THEIRS)
    for side in ("ours", "theirs"):
        repo.git("switch", "--quiet", side)
        repo.put("bin", b"\0" + side.encode())
        repo.commit()
    repo.git("config", key, value)
    found = repo.merge()
    assert {path: conflict.kind for path, conflict in found.items()} == {
        "bin": Kind.BINARY,
        "f": Kind.CONTENT,
    }
    assert not any(conflict.edited for conflict in found.values())


# --- What a person did since ---------------------------------------------------------------------


@pytest.fixture
def stopped(repo: Repo) -> Repo:
    """A merge that stopped with conflicts in `f` and `g`."""
    repo.put("f")
    repo.put("g")
    repo.commit()
    for name, text in (("ours", OURS), ("theirs", THEIRS)):
        repo.side(name)
        repo.put("f", text)
        repo.put("g", text)
        repo.commit()
    repo.merge()
    return repo


def read(repo: Repo) -> dict[str, Conflict]:
    return {conflict.path: conflict for conflict in conflicts.read(shell(), repo.path)}


def test_a_file_that_was_changed_since_is_edited(stopped: Repo) -> None:
    stopped.put("f", OURS)
    found = read(stopped)
    assert (found["f"].edited, found["g"].edited) == (True, False)
    assert found["f"].text == OURS


def test_a_file_that_was_deleted_since_is_edited(stopped: Repo) -> None:
    (stopped.path / "f").unlink()
    found = read(stopped)["f"]
    assert (found.edited, found.text, found.kind) == (True, None, Kind.CONTENT)


def test_a_file_that_was_touched_only_is_not_edited(stopped: Repo) -> None:
    text = (stopped.path / "f").read_bytes()
    stopped.put("f", text)
    os.utime(stopped.path / "f", (1, 1))
    assert read(stopped)["f"].edited is False


def test_what_was_staged_is_no_conflict_any_more(stopped: Repo) -> None:
    stopped.git("add", "f")
    assert list(read(stopped)) == ["g"]


def test_a_conflict_that_is_shown_again_in_another_style_is_edited_or_the_same(
    stopped: Repo,
) -> None:
    """`git checkout --conflict` writes other markers; nobody's work is in them."""
    stopped.git("checkout", "--conflict=diff3", "--", "f")
    found = read(stopped)
    assert found["f"].text and "||||||| " in found["f"].text
    assert found["g"].edited is False


def test_reading_changes_nothing(stopped: Repo) -> None:
    def state() -> list[object]:
        staged = stopped.git("ls-files", "--stage")
        return [staged, stopped.git("status", "--porcelain"), (stopped.path / "f").read_bytes()]

    before = state()
    read(stopped)
    assert state() == before


# --- Markers -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", False),
        ("a\nb\n", False),
        ("Title\n=======\n", False),
        ("<<<<<<< HEAD\n", True),
        ("a\n>>>>>>> x", True),
        ("a\r\n||||||| x\r\n", True),
        ("x\n<<<<<<<<< HEAD:f\n", True),
        ("a <<<<<<< HEAD\n", False),
        ("form\x0c<<<<<<< feed\n", False),
        ("line\u2028>>>>>>> separator\n", False),
        ("carriage\r||||||| return\n", False),
    ],
)
def test_whether_a_text_has_markers(text: str, found: bool) -> None:
    assert evidence.has_markers(text) is found
