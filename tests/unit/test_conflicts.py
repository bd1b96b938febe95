"""The conflicts of real merges: every kind, read and foreseen."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from carto_fork.fork import policy, records
from carto_fork.fork.fork import Fork
from carto_fork.fork.policy import Kind, Side
from carto_fork.merge import authorship, conflicts, hunks
from carto_fork.merge.decisions import Knowledge, decide
from carto_fork.merge.hunks import Commit, Conflict, Customisations, Texts
from carto_fork.merge.memory import Memory
from carto_fork.merge.resolution import dossiers
from carto_fork.merge.resolve import resolve
from carto_fork.merge.words import Words
from carto_fork.run import git
from carto_fork.run.errors import Failed
from carto_fork.run.git import Refs
from carto_fork.run.shell import Answer, Shell
from repository import Content, Files, Link, Program, Repo, Submodule
from world import shell, slow_but

TEXT = "".join(f"line {number}\n" for number in range(1, 21))
OURS = TEXT.replace("line 10\n", "line 10 of ours\n")
THEIRS = TEXT.replace("line 10\n", "line 10 of theirs\n")


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    """A repository to merge in, whose merges show the base."""
    made = Repo.new(tmp_path / "repo")
    made.git("config", "merge.conflictStyle", "diff3")
    made.put({"other": "unrelated\n"})
    return made


def sides(repo: Repo, base: Files, ours: Files, theirs: Files) -> None:
    """A common ancestor, and one commit on either side; `ours` is checked out."""
    repo.commit(base)
    repo.on("theirs", "base").commit(theirs)
    repo.on("ours", "base").commit(ours)


def read(repo: Repo) -> dict[str, Conflict]:
    found = conflicts.read(shell(), repo.path, "HEAD", "MERGE_HEAD")
    return {conflict.path: conflict for conflict in found}


def settle(repo: Repo, words: Words | None) -> None:
    """Decide the conflicts of the merge in progress."""
    fork = Fork(git.open_repository(shell(), repo.path), {}, Refs({}, {}), policy.load_policy())
    ours, theirs = (repo.git("rev-parse", name).strip() for name in ("HEAD", "MERGE_HEAD"))
    resolve(shell(), fork, repo.path, ours, theirs, words)


def foresee(repo: Repo, ours: str = "HEAD", theirs: str = "theirs") -> dict[str, Conflict]:
    """The foreseen conflicts, by path; nothing that a person sees changes."""
    before = repo.state()
    foreseen = conflicts.foresee(shell(), repo.path, ours, theirs)
    invented = sum(len(conflict.invented) for conflict in foreseen.conflicts)
    count = conflicts.count(shell(), repo.path, ours, theirs)
    assert count - invented <= len(foreseen.conflicts) <= count
    assert repo.state() == before
    return {conflict.path: conflict for conflict in foreseen.conflicts}


def merge(repo: Repo, *options: str) -> dict[str, Conflict]:
    """Merge theirs into ours; returns the conflicts by path."""
    repo.git("merge", "--no-commit", "--no-ff", *options, "theirs", ok=False)
    found = read(repo)
    unmerged = repo.git("diff", "--name-only", "--diff-filter=U", "-z").split("\0")[:-1]
    assert list(found) == sorted(set(unmerged))
    return found


def stop(repo: Repo, base: Files, ours: Files, theirs: Files) -> dict[str, Conflict]:
    """The conflicts of a merge of both sides, by path: exactly those that were foreseen."""
    sides(repo, base, ours, theirs)
    foreseen = foresee(repo)
    found = merge(repo)
    assert foreseen == found
    return found


# --- One kind after the other --------------------------------------------------------------------


def test_a_clean_merge_has_no_conflicts(repo: Repo) -> None:
    ours, theirs = TEXT.replace("line 1\n", "x\n"), TEXT.replace("line 20\n", "y\n")
    assert stop(repo, {"f": TEXT}, {"f": ours}, {"f": theirs}) == {}
    repo.git("commit", "--quiet", "-m", "x")
    assert read(repo) == {}


def test_a_content_conflict_has_three_stages_and_markers(repo: Repo) -> None:
    found = stop(repo, {"f": TEXT}, {"f": OURS}, {"f": THEIRS})["f"]
    assert (found.kind, found.deleted_by, found.edited) == (Kind.CONTENT, None, False)
    assert found.base and found.ours and found.theirs
    for stage, text in ((found.base, TEXT), (found.ours, OURS), (found.theirs, THEIRS)):
        assert stage.mode == "100644"
        assert repo.git("cat-file", "blob", stage.name) == text.rstrip("\n")
    assert found.text == (repo.path / "f").read_text()
    assert found.text and hunks.has_markers(found.text)
    assert (found.names, found.texts) == (("f",), Texts(TEXT, OURS, THEIRS))


def test_a_conflict_that_was_put_back_in_another_style_is_as_before(repo: Repo) -> None:
    """zdiff3, which `setup` sets, has fewer lines in a hunk."""
    both = TEXT.replace("line 9\n", "line nine\n")
    ours, theirs = (both.replace("line 10\n", f"line 10 of {who}\n") for who in ("ours", "theirs"))
    before = stop(repo, {"f": TEXT}, {"f": ours}, {"f": theirs})["f"]
    repo.git("checkout", "--conflict=zdiff3", "--", "f")
    assert (repo.path / "f").read_text() != before.text
    assert read(repo)["f"] == before
    with (repo.path / "f").open("a") as file:
        file.write("mine\n")
    assert read(repo)["f"].edited


def test_a_file_added_by_both_sides_is_an_add_add_conflict(repo: Repo) -> None:
    found = stop(repo, {}, {"f": OURS}, {"f": THEIRS})["f"]
    assert (found.kind, found.base, found.deleted_by) == (Kind.ADD_ADD, None, None)
    assert found.text and "line 10 of theirs\n" in found.text
    assert found.texts == Texts("", OURS, THEIRS)


@pytest.mark.parametrize("deleter", [Side.FORK, Side.UPSTREAM])
def test_a_file_changed_and_deleted_is_a_modify_delete_conflict(repo: Repo, deleter: Side) -> None:
    by_fork = deleter is Side.FORK
    ours, theirs = (None, THEIRS) if by_fork else (OURS, None)
    found = stop(repo, {"f": TEXT}, {"f": ours}, {"f": theirs})["f"]
    assert (found.kind, found.deleted_by) == (Kind.MODIFY_DELETE, deleter)
    assert (found.ours is None, found.theirs is None) == (by_fork, not by_fork)
    assert (found.text, found.texts) == (None, Texts(TEXT, ours or "", theirs or ""))


@pytest.mark.parametrize("renamer", [Side.FORK, Side.UPSTREAM])
def test_a_file_renamed_and_deleted_is_a_rename_conflict(repo: Repo, renamer: Side) -> None:
    renamed: Files = {"old": None, "new": TEXT}
    ours, theirs = (renamed, {"old": None}) if renamer is Side.FORK else ({"old": None}, renamed)
    found = stop(repo, {"old": TEXT}, ours, theirs)
    assert list(found) == ["new"]
    deleter = Side.UPSTREAM if renamer is Side.FORK else Side.FORK
    assert (found["new"].kind, found["new"].deleted_by) == (Kind.RENAME, deleter)
    assert found["new"].base


def test_a_file_renamed_to_two_names_is_a_rename_conflict(repo: Repo) -> None:
    found = stop(repo, {"old": TEXT}, {"old": None, "a": TEXT}, {"old": None, "b": TEXT})
    assert set(found) == {"old", "a", "b"}
    assert {conflict.kind for conflict in found.values()} == {Kind.RENAME}
    assert {conflict.deleted_by for conflict in found.values()} == {None}
    old, ours, theirs = found["old"], found["a"], found["b"]
    assert old.base and not old.ours and not old.theirs
    assert ours.ours and not ours.base and not ours.theirs
    assert theirs.theirs and not theirs.base and not theirs.ours


def test_two_files_renamed_to_one_name_are_an_add_add_conflict(repo: Repo) -> None:
    one, other = TEXT, TEXT.replace("line", "row")
    ours, theirs = {"a": None, "c": one}, {"b": None, "c": other}
    found = stop(repo, {"a": one, "b": other}, ours, theirs)["c"]
    assert (found.kind, found.deleted_by) == (Kind.ADD_ADD, None)
    assert found.text and hunks.has_markers(found.text)


@pytest.mark.parametrize("renamer", [Side.FORK, Side.UPSTREAM])
def test_renamed_and_changed_on_both_sides_is_a_conflict_of_content(
    repo: Repo, renamer: Side
) -> None:
    """Either side's name for the file shows which of its commits are behind it."""
    by_fork = renamer is Side.FORK
    ours: Files = {"old": None, "new": OURS} if by_fork else {"old": OURS}
    theirs: Files = {"old": THEIRS} if by_fork else {"old": None, "new": THEIRS}
    found = stop(repo, {"old": TEXT}, ours, theirs)
    assert list(found) == ["new"]
    assert (found["new"].kind, found["new"].deleted_by) == (Kind.CONTENT, None)
    assert (
        found["new"].text and f"<<<<<<< HEAD:{'new' if by_fork else 'old'}\n" in found["new"].text
    )
    assert found["new"].names == (("new",) if by_fork else ("new", "old"))
    assert found["new"].texts == Texts(TEXT, OURS, THEIRS)
    known = Knowledge(
        policy.load_policy().policy, authorship.read(shell(), repo.path, "HEAD", ["theirs"])
    )
    left = decide([*found.values()], known)
    about = dossiers(shell(), repo.path, left, known.own or Customisations(), "HEAD", "theirs")
    commits = [
        [commit.name for commit in side] for side in (about["new"].fork, about["new"].upstream)
    ]
    assert commits == [[repo.git("rev-parse", name).strip()] for name in ("HEAD", "theirs")]


def test_a_line_of_upstreams_older_release_is_shown_with_the_commit_that_wrote_it(
    repo: Repo,
) -> None:
    """Not with the fork's commits in the same file."""
    sides(repo, {"f": TEXT}, {"f": TEXT.replace("line 1\n", "ours\n")}, {"f": THEIRS})
    repo.on("patches", "base").commit({"f": TEXT.replace("line 10\n", "line 10 patched\n")})
    repo.git("checkout", "--quiet", "ours")
    repo.git("merge", "--quiet", "--no-edit", "patches")
    found = merge(repo)
    heads = ["theirs", "patches"]
    known = authorship.read(shell(), repo.path, "HEAD", heads)
    left = decide([*found.values()], Knowledge(policy.load_policy().policy))
    [about] = dossiers(shell(), repo.path, left, known, "HEAD", "theirs").values()
    assert [commit.name for commit in about.fork] == [repo.git("rev-parse", "patches").strip()]


TYPES: dict[str, tuple[Files, Files, Files]] = {
    "a file where the other adds a directory": ({}, {"P": TEXT}, {"P/in": "inside\n"}),
    "a directory where the other adds a file": ({}, {"P/in": "inside\n"}, {"P": TEXT}),
    "a changed file, now a directory": ({"P": TEXT}, {"P": OURS}, {"P": None, "P/in": "inside\n"}),
    "a changed directory, now a file": (
        {"P/a": TEXT},
        {"P/a": OURS},
        {"P/a": None, "P": "file\n"},
    ),
    "a changed directory, now a submodule": (
        {"P/a": TEXT},
        {"P/a": OURS},
        {"P/a": None, "P": Submodule("1")},
    ),
    "a moved submodule, now a directory": (
        {"P": Submodule("1")},
        {"P": Submodule("2")},
        {"P": None, "P/a": TEXT},
    ),
    "a directory where the other adds a link": ({}, {"P/a": TEXT}, {"P": Link("x")}),
    "a link, now a file": ({"P": Link("a")}, {"P": Link("b")}, {"P": TEXT}),
    "a file, now a link": ({"P": TEXT}, {"P": OURS}, {"P": Link("a")}),
    "a file, now a submodule": ({"P": TEXT}, {"P": OURS}, {"P": Submodule("1")}),
    "a link, now a submodule": ({"P": Link("a")}, {"P": Link("b")}, {"P": Submodule("1")}),
    "a submodule that both moved": tuple({"P": Submodule(digit)} for digit in "123"),  # type: ignore[dict-item]
    "a submodule that one side removed": (
        {"P": Submodule("1")},
        {"P": None},
        {"P": Submodule("2")},
    ),
}


@pytest.mark.parametrize("by", ["word", "command"])
@pytest.mark.parametrize("side", list(Side))
@pytest.mark.parametrize(
    "about", slow_but(TYPES, "a changed file, now a directory", "a link, now a submodule")
)
def test_a_side_of_another_type_goes_to_its_own_path(
    repo: Repo, about: str, side: Side, by: str
) -> None:
    """And no name that git has invented is left. https://github.com/Peaker/git-mediate/issues/28,
    https://github.com/microsoft/VFSForGit/issues/1680, https://github.com/treeverse/dvc/issues/244,
    https://github.com/E3SM-Project/E3SM/pull/2883, https://github.com/gitahead/gitahead/issues/342,
    https://github.com/sorin-ionescu/prezto/issues/867, https://github.com/vgc/vgc/issues/615: a
    directory became a submodule; https://github.com/arighi/virtme-ng/pull/216: the other way."""
    sides(repo, *TYPES[about])
    foreseen = foresee(repo)
    repo.git("merge", "--no-commit", "--no-ff", "theirs", ok=False)
    found = read(repo)
    assert {path: replace(c, invented=()) for path, c in found.items()} == {
        path: replace(c, invented=()) for path, c in foreseen.items()
    }
    assert set(found) <= {"P", "P/a"}
    assert found["P"].kind in (Kind.DIRECTORY, Kind.SYMLINK, Kind.SUBMODULE)
    if by == "word":
        settle(
            repo,
            Words(upstream=("P",), reason="so")
            if side is Side.UPSTREAM
            else Words(fork=("P",), reason="so"),
        )
        # Everything the other side did there is recorded.
        loser = "theirs" if side is Side.FORK else "ours"
        did = repo.git("diff", "--name-only", "--no-renames", "base", loser, "--", "P").split()
        assert {*did} <= {
            drop.path for drop in records.read_drops(repo.text("carto_drops.toml", ""))
        }
        repo.git("rm", "--quiet", "--force", "carto_drops.toml")
    else:
        commit = "ours" if side is Side.FORK else "theirs"
        for words in hunks.taking(found["P"], side, commit):
            repo.git(*words)
        if "P/a" in read(repo):
            repo.git("checkout", commit, "--", "P")
    wanted = repo.git("ls-tree", "-r", "ours" if side is Side.FORK else "theirs")
    assert repo.git("ls-tree", "-r", repo.git("write-tree").strip()) == wanted
    assert not list(repo.path.glob("*~*"))


def test_a_git_lfs_pointer_is_never_merged_line_by_line(repo: Repo) -> None:
    """https://github.com/git-lfs/git-lfs/issues/3531,
    https://github.com/git-lfs/git-lfs/issues/5140"""
    texts = [
        f"version https://git-lfs.github.com/spec/v1\noid sha256:{digit * 64}\nsize {digit}\n"
        for digit in "123"
    ]
    found = stop(repo, *({"a.bin": text} for text in texts))["a.bin"]
    assert (found.kind, found.text, found.texts) == (Kind.BINARY, None, None)
    settle(repo, None)
    assert (repo.path / "a.bin").read_text() == texts[1]
    assert not read(repo)["a.bin"].edited


def test_a_symlink_changed_on_both_sides_is_a_symlink_conflict(repo: Repo) -> None:
    found = stop(repo, {"x": Link("other")}, {"x": Link("ours")}, {"x": Link("theirs")})["x"]
    assert (found.kind, found.text, found.edited) == (Kind.SYMLINK, None, False)
    assert found.ours and found.ours.mode == "120000"


def test_a_submodule_moved_on_both_sides_is_a_submodule_conflict(repo: Repo) -> None:
    found = stop(repo, *({"sub": Submodule(digit)} for digit in "123"))["sub"]
    assert (found.kind, found.text, found.edited) == (Kind.SUBMODULE, None, False)
    assert found.ours and found.theirs and found.base
    assert (found.base.name[0], found.ours.name[0], found.theirs.name[0]) == ("1", "2", "3")


def test_a_submodule_removed_on_one_side_is_a_submodule_conflict(repo: Repo) -> None:
    found = stop(repo, {"sub": Submodule("1")}, {"sub": Submodule("2")}, {"sub": None})["sub"]
    assert (found.kind, found.deleted_by) == (Kind.SUBMODULE, Side.UPSTREAM)


@pytest.mark.parametrize("base", [{"f": b"\0base"}, {}])
def test_a_file_with_nul_bytes_is_a_binary_conflict(repo: Repo, base: Files) -> None:
    found = stop(repo, base, {"f": b"\0ours"}, {"f": b"\0theirs"})["f"]
    assert (found.kind, found.text, found.texts) == (Kind.BINARY, None, None)
    assert bool(found.base) is bool(base)


@pytest.mark.parametrize("attribute", ["binary", "-diff -merge"])
def test_text_marked_binary_in_gitattributes_is_a_binary_conflict(
    repo: Repo, attribute: str
) -> None:
    base = {".gitattributes": f"*.lock {attribute}\n", "a.lock": TEXT, "a.txt": TEXT}
    found = stop(repo, base, {"a.lock": OURS}, {"a.lock": THEIRS})["a.lock"]
    assert (found.kind, found.text, found.texts) == (Kind.BINARY, None, None)


def test_text_that_is_too_large_is_a_binary_conflict(repo: Repo) -> None:
    sides(repo, {".gitattributes": "* diff\n", "f": TEXT}, {"f": OURS}, {"f": THEIRS})
    repo.git("merge", "--no-commit", "theirs", ok=False)
    sh = shell()
    sh.configure({"core.bigFileThreshold": "100"})
    [found] = conflicts.read(sh, repo.path, "HEAD", "MERGE_HEAD")
    assert (found.kind, found.text, found.texts) == (Kind.BINARY, None, None)


def test_text_that_is_not_utf8_is_a_conflict_of_content(repo: Repo) -> None:
    sides = ({"f": text.encode() + b"caf\xe9\n"} for text in (TEXT, OURS, THEIRS))
    found = stop(repo, *sides)["f"]
    assert found.kind is Kind.CONTENT
    assert found.text and "\n>>>>>>> " in found.text and "caf\udce9" in found.text
    assert found.texts and found.texts.theirs == THEIRS + "caf\udce9\n"


def test_one_file_with_two_modes_is_a_mode_conflict(repo: Repo) -> None:
    found = stop(repo, {}, {"f": TEXT}, {"f": Program(TEXT)})["f"]
    assert (found.kind, found.deleted_by) == (Kind.MODE, None)
    assert found.ours and found.theirs
    assert (found.ours.mode, found.theirs.mode) == ("100644", "100755")
    assert found.text == TEXT


def test_a_file_added_to_a_renamed_directory_is_a_rename_conflict(repo: Repo) -> None:
    """Upstream moved a directory; the fork added a file to it. Git asks about the place."""
    repo.git("config", "merge.directoryRenames", "conflict")
    texts = {name: TEXT.replace("line", name) for name in "abcd"}
    base = {f"old/{name}": texts[name] for name in "abc"}
    theirs: dict[str, Content] = dict.fromkeys(base)
    theirs |= {f"new/{name}": texts[name] for name in "abc"}
    found = stop(repo, base, {"old/d": texts["d"]}, theirs)
    assert list(found) == ["new/d"]
    assert (found["new/d"].kind, found["new/d"].deleted_by) == (Kind.RENAME, None)
    assert found["new/d"].names == ("new/d", "old/d")


def test_several_conflicts_are_listed_by_path(repo: Repo) -> None:
    new = TEXT.replace("line", "row")
    base: Files = {"z": TEXT, "a": TEXT, "m/x": b"\0", "clean": TEXT}
    ours: Files = {"z": OURS, "a": None, "m/x": b"\0ours", "clean": OURS, "new": new}
    theirs: Files = {"z": THEIRS, "a": THEIRS, "m/x": b"\0theirs", "new": f"{new}more\n"}
    found = stop(repo, base, ours, theirs)
    assert [(path, conflict.kind) for path, conflict in found.items()] == [
        ("a", Kind.MODIFY_DELETE),
        ("m/x", Kind.BINARY),
        ("new", Kind.ADD_ADD),
        ("z", Kind.CONTENT),
    ]


# --- Histories and places ------------------------------------------------------------------------


def test_conflicts_of_a_criss_cross_merge_are_foreseen(repo: Repo) -> None:
    sides(repo, {"f": TEXT, "gone": TEXT}, {"f": OURS}, {"f": THEIRS})
    heads = {name: repo.git("rev-parse", name) for name in ("ours", "theirs")}
    for name, other in (("ours", "theirs"), ("theirs", "ours")):
        settled = TEXT.replace("line 10\n", f"line 10 settled by {name}\n")
        gone = TEXT.replace("line 3\n", f"line 3 of {name}\n")
        repo.on(name).merge(heads[other], {"f": settled, "gone": gone})
    repo.commit({"gone": None})
    repo.on("ours")
    assert len(repo.git("merge-base", "--all", "ours", "theirs").split()) == 2
    foreseen = foresee(repo)
    found = merge(repo)
    assert foreseen == found
    assert {path: conflict.kind for path, conflict in found.items()} == {
        "f": Kind.CONTENT,
        "gone": Kind.MODIFY_DELETE,
    }
    assert found["gone"].deleted_by is Side.UPSTREAM
    assert found["f"].edited is False
    assert found["f"].base, "the merge of both bases"
    assert found["f"].text and hunks.has_markers(found["f"].text)


def test_unrelated_histories_cannot_be_foreseen(repo: Repo) -> None:
    repo.commit({"f": OURS})
    repo.git("branch", "ours")
    repo.git("switch", "--quiet", "--orphan", "theirs")
    repo.commit({"f": THEIRS})
    repo.on("ours")
    with pytest.raises(Failed, match="git failed at the merge: "):
        foresee(repo)
    assert merge(repo, "--allow-unrelated-histories")["f"].kind is Kind.ADD_ADD


NAMES = ["a b", "it's", 'q"uote', "tab\there", "new\nline", "ümlaut", "-x", "*", ":(top)f", "#x"]


@pytest.mark.parametrize("name", [*NAMES, "caf\udce9"])
def test_unusual_file_names_are_reported_unchanged(repo: Repo, name: str) -> None:
    base = {"plain": TEXT, f"dir/{name}": TEXT, name: TEXT}
    ours, theirs = {f"dir/{name}": OURS, name: OURS}, {f"dir/{name}": None, name: THEIRS}
    found = stop(repo, base, ours, theirs)
    assert {path: conflict.kind for path, conflict in found.items()} == {
        name: Kind.CONTENT,
        f"dir/{name}": Kind.MODIFY_DELETE,
    }
    assert found[name].text and not found[name].edited


@pytest.mark.parametrize("name", NAMES)
def test_a_binary_conflict_is_recognised_under_any_name(repo: Repo, name: str) -> None:
    found = stop(repo, {}, {name: b"\0ours"}, {name: b"\0theirs"})
    assert {path: conflict.kind for path, conflict in found.items()} == {name: Kind.BINARY}


def test_git_settings_about_paths_do_not_change_the_conflicts(repo: Repo) -> None:
    stop(repo, {"sub/f": TEXT, "g": TEXT}, {"sub/f": OURS}, {"sub/f": THEIRS})
    config = {"diff.noprefix": "true", "diff.relative": "true", "core.quotePath": "true"}
    for key, value in config.items():
        repo.git("config", key, value)
    assert {path: found.edited for path, found in read(repo).items()} == {"sub/f": False}


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
        ("merge.conflictStyle", "merge"),
        ("status.relativePaths", "false"),
    ],
)
def test_git_settings_do_not_change_the_conflicts(repo: Repo, key: str, value: str) -> None:
    repo.git("config", key, value)
    base: Files = {"f": TEXT, "bin": b"\0base"}
    sides(repo, base, {"f": OURS, "bin": b"\0ours"}, {"f": THEIRS, "bin": b"\0theirs"})
    foreseen = foresee(repo)
    found = merge(repo)
    assert {path: conflict.kind for path, conflict in found.items()} == {
        "bin": Kind.BINARY,
        "f": Kind.CONTENT,
    }
    assert not any(conflict.edited for conflict in found.values())
    # Whatever git shows to people, a foreseen conflict has the base.
    assert {path: replace(c, text=found[path].text) for path, c in foreseen.items()} == found
    segments = hunks.parse(foreseen["f"].text or "") or []
    assert [s.base for s in segments if isinstance(s, hunks.Hunk)] == [("line 10\n",)]


# --- Foreseen ------------------------------------------------------------------------------------


def test_the_foreseen_tree_equals_the_merged_tree(repo: Repo) -> None:
    theirs = {"f": TEXT.replace("line 20\n", "y\n"), "new": "x\n"}
    sides(repo, {"f": TEXT}, {"f": OURS}, theirs)
    foreseen = conflicts.foresee(shell(), repo.path, "ours", "theirs")
    assert foreseen.conflicts == ()
    assert foreseen.tree == repo.git("rev-parse", f"{repo.merge('theirs')}^{{tree}}")


def test_conflicts_of_any_two_commits_are_foreseen(repo: Repo) -> None:
    """Any two commits, while a person works on something else."""
    sides(repo, {"f": TEXT}, {"f": OURS}, {"f": THEIRS})
    ours, theirs = (repo.git("rev-parse", name) for name in ("ours", "theirs"))
    repo.on("base")
    (repo.path / "other").write_text("a person's work\n")
    found = foresee(repo, ours, theirs)
    assert (found["f"].kind, found["f"].texts) == (Kind.CONTENT, Texts(TEXT, OURS, THEIRS))


# Both sides removed a line of two that are alike; with what else upstream changed, git's
# comparison finds that it was not the same one.
ALIKE = [
    "".join(f"{letter * 9}\n" for letter in text) for text in ("cfeefdf", "cfeff", "fcfcfefdf")
]


def test_equal_changes_on_both_sides_are_not_foreseen_as_a_conflict(repo: Repo) -> None:
    sides(repo, *({"f": text} for text in ALIKE))
    assert foresee(repo) == {}
    found = merge(repo)["f"]
    assert found.text and "=======\neeeeeeeee\n>>>>>>> theirs\n" in found.text
    repo.git("merge", "--abort")
    repo.git("config", "merge.conflictStyle", "merge")
    assert merge(repo) == {}


def test_equal_changes_under_two_new_names_are_a_conflict(repo: Repo) -> None:
    base, ours, theirs = ALIKE
    found = stop(repo, {"old": base}, {"old": None, "a": ours}, {"old": None, "b": theirs})
    assert set(found) == {"old", "a", "b"}


# --- Later edits of a person ---------------------------------------------------------------------


@pytest.fixture
def stopped(repo: Repo) -> Repo:
    """A merge that stopped with conflicts in `f` and `g`."""
    stop(repo, *({"f": text, "g": text} for text in (TEXT, OURS, THEIRS)))
    return repo


def test_a_file_that_was_changed_since_is_edited(stopped: Repo) -> None:
    before = (stopped.path / "f").read_text()
    (stopped.path / "f").write_text(OURS)
    found = read(stopped)
    assert (found["f"].edited, found["g"].edited) == (True, False)
    assert (found["f"].text, found["f"].merged) == (OURS, before)
    assert found["f"].ours and found["f"].now == found["f"].ours.name
    assert (found["g"].now, found["g"].merged) == ("", None)


def test_a_file_that_was_deleted_since_is_edited(stopped: Repo) -> None:
    (stopped.path / "f").unlink()
    found = read(stopped)["f"]
    assert (found.edited, found.text, found.now, found.kind) == (True, None, "", Kind.CONTENT)


def test_a_file_that_was_touched_only_is_not_edited(stopped: Repo) -> None:
    (stopped.path / "f").write_bytes((stopped.path / "f").read_bytes())
    os.utime(stopped.path / "f", (1, 1))
    assert read(stopped)["f"].edited is False


def test_line_ends_that_git_writes_do_not_count_as_edits(repo: Repo) -> None:
    """Decided text goes into the index byte for byte, whatever git writes into the work tree.
    https://github.com/gitbutlerapp/gitbutler/issues/5558,
    https://github.com/sublimehq/sublime_merge/issues/9"""
    crlf = TEXT.replace("\n", "\r\n")
    sides(repo, {"f": TEXT, "g": crlf}, {"f": OURS, "g": crlf + "x\r\n"}, {"f": THEIRS, "g": None})
    foreseen = foresee(repo)
    repo.git("config", "core.autocrlf", "true")
    repo.git("rm", "--cached", "--quiet", "-r", ".")
    repo.git("reset", "--quiet", "--hard")
    assert merge(repo) == foreseen
    assert b"\r\n" in (repo.path / "f").read_bytes()
    settle(repo, Words(upstream=("f",), fork=("g",), reason="They are better."))
    for path, side in (("f", "theirs"), ("g", "ours")):
        assert repo.git("rev-parse", f":{path}") == repo.git("rev-parse", f"{side}:{path}")


def test_a_staged_file_is_not_in_conflict(stopped: Repo) -> None:
    stopped.git("add", "f")
    assert list(read(stopped)) == ["g"]


def test_a_conflict_that_is_shown_again_in_another_style_is_edited_or_the_same(
    stopped: Repo,
) -> None:
    """`git checkout --conflict` writes other markers, which contain nobody's work."""
    stopped.git("checkout", "--conflict=merge", "--", "f")
    found = read(stopped)
    assert found["f"].text and "||||||| " not in found["f"].text
    assert found["g"].edited is False


def test_reading_leaves_the_repository_unchanged(stopped: Repo) -> None:
    before = stopped.state()
    read(stopped)
    assert stopped.state() == before


# --- How people resolved earlier conflicts -------------------------------------------------------

SETTLED = TEXT.replace("line 10\n", "line 10 of both\n")


def again(repo: Repo, before: str, *paths: str) -> dict[str, tuple[str, str]]:
    """How the merges in `ours` decide the conflicts of a merge into an earlier commit, with the
    reasons; learning leaves no trace."""
    state = repo.state()
    memory = conflicts.remember(shell(), repo.path, "ours", ["theirs"], paths or ("f",))
    assert repo.state() == state
    found = list(foresee(repo, before).values())
    commit = Commit(before, "2025-01-01", "feat: ours")
    own = Customisations({conflict.path: [commit] for conflict in found})
    decided = decide(found, Knowledge(policy.load_policy().policy, own, memory=memory))
    return {d.conflict.path: (d.text or "", d.why) for d in decided if not d.left}


def test_a_resolution_by_hand_is_remembered(repo: Repo) -> None:
    sides(repo, {"f": TEXT, "g": TEXT}, {"f": OURS, "g": OURS}, {"f": THEIRS, "g": THEIRS})
    before = repo.commit({"h": "in between\n"})
    assert again(repo, before, "f", "g") == {}
    merge = repo.merge("theirs", {"f": SETTLED, "g": SETTLED})
    repo.commit({"f": SETTLED + "and more\n"})
    assert again(repo, before) == {"f": (SETTLED, f"As in {merge[:10]}.")}
    assert again(repo, before, "other") == {}


@pytest.mark.parametrize(
    "result",
    [
        None,
        TEXT.replace("line 10\n", "<<<<<<< HEAD\nline 10\n"),
        TEXT.replace("line 10\n", "line 10\n>>>>>>> theirs\n"),
        SETTLED.replace("line 11\n", "line 11 too\n"),
    ],
    ids=["deleted", "marker", "last marker", "the lines around it changed"],
)
def test_an_unclear_resolution_is_not_remembered(repo: Repo, result: str | None) -> None:
    sides(repo, {"f": TEXT}, {"f": OURS}, {"f": THEIRS})
    before = repo.git("rev-parse", "ours")
    repo.merge("theirs", {"f": result})
    assert again(repo, before) == {}


@pytest.mark.parametrize("side", [OURS, THEIRS])
def test_taking_one_side_is_remembered(repo: Repo, side: str) -> None:
    sides(repo, {"f": TEXT}, {"f": OURS}, {"f": THEIRS})
    before = repo.git("rev-parse", "ours")
    merge = repo.merge("theirs", {"f": side})
    assert again(repo, before) == {"f": (side, f"As in {merge[:10]}.")}


def test_what_landed_is_remembered_not_what_was_changed_before(repo: Repo) -> None:
    sides(repo, {"f": TEXT}, {"f": OURS}, {"f": THEIRS})
    before = repo.git("rev-parse", "ours")
    merge = repo.on("sync", "ours").merge("theirs", {"f": THEIRS})
    repo.commit({"f": SETTLED})
    repo.on("ours").git("merge", "--quiet", "--no-ff", "--no-edit", "sync")
    repo.commit({"f": OURS})
    assert again(repo, before) == {"f": (SETTLED, f"As in {merge[:10]}.")}


def test_a_merge_of_other_files_resolved_nothing(repo: Repo) -> None:
    """The last commits that changed the file are not what it merged."""
    sides(repo, {"f": TEXT}, {"f": OURS}, {"f": THEIRS})
    before = repo.git("rev-parse", "ours")
    healed = repo.merge("theirs", {"f": OURS})
    repo.on("theirs").commit({"g": "of upstream\n"})
    repo.on("ours").commit({"h": "of ours\n"})
    repo.merge("theirs")
    assert again(repo, before) == {"f": (OURS, f"As in {healed[:10]}.")}


def test_how_upstream_resolved_a_conflict_is_not_remembered(repo: Repo) -> None:
    sides(repo, {"f": TEXT}, {"f": OURS}, {"f": THEIRS})
    repo.on("upstream", "theirs").merge("ours", {"f": SETTLED})
    repo.on("ours").git("merge", "--quiet", "--ff-only", "upstream")
    remember = conflicts.remember
    assert remember(shell(), repo.path, "ours", ["upstream"], ["f"]) == Memory()
    assert remember(shell(), repo.path, "ours", ["theirs"], ["f"]) != Memory()


def test_an_old_git_remembers_the_same(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    """Git 2.38 makes one merge at a time."""
    sides(repo, {"f": TEXT, "g": TEXT}, {"f": OURS, "g": OURS}, {"f": THEIRS, "g": THEIRS})
    repo.merge("theirs", {"f": SETTLED, "g": OURS})
    repo.on("theirs").commit({"f": THEIRS + "more\n"})
    repo.on("ours").merge("theirs", {"f": SETTLED + "and more\n"})
    found = conflicts.remember(shell(), repo.path, "ours", ["theirs"], ["f", "g"])
    assert {*found.past} == {"f", "g"}
    read, asked = Shell.read, list[Sequence[str]]()

    def old(sh: Shell, words: Sequence[str], **how: Any) -> Answer:
        asked.append(words)
        if {"merge-tree", "--stdin"} <= {*words}:
            return Answer(129, "", "error: unknown option `stdin'")
        return read(sh, words, **how)

    monkeypatch.setattr(Shell, "read", old)
    assert conflicts.remember(shell(), repo.path, "ours", ["theirs"], ["f", "g"]) == found
    assert sum("merge-tree" in words for words in asked) == 3


def test_a_merge_is_made_again_only_if_both_sides_changed_the_file(
    repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    sides(repo, {"f": TEXT, "g": TEXT}, {"g": OURS}, {"f": THEIRS})
    repo.merge("theirs")

    def refuse(sh: Shell, repo: Path, pairs: Sequence[object]) -> list[object]:
        assert not pairs
        return []

    monkeypatch.setattr(conflicts, "_without_renames", refuse)
    assert conflicts.remember(shell(), repo.path, "ours", ["theirs"], ["f", "g"]) == Memory()


# --- A person's choice ---------------------------------------------------------------------------

HERE = Words(upstream=("f",), reason="Upstream's is better.")


@pytest.mark.parametrize("style", ["diff3", "zdiff3", "merge"])
@pytest.mark.parametrize("runs", [1, 2])
def test_accept_upstream_settles_only_the_conflicts_left_in_a_file(
    repo: Repo, style: str, runs: int
) -> None:
    """What merged without a conflict stays, and is not recorded as given up."""
    repo.git("config", "merge.conflictStyle", style)
    clean = ("line 19\n", "line 19 of the fork alone\n")
    both = ("line 2\n", "line 2 of both sides\n")
    ours, theirs = OURS.replace(*both).replace(*clean), THEIRS.replace(*both)
    theirs = theirs.replace(both[1], f"{both[1]}and more of upstream\n")
    sides(repo, {"f": TEXT}, {"f": ours}, {"f": theirs})
    merge(repo)
    for words in [None] * (runs - 1) + [HERE]:
        settle(repo, words)
    assert repo.text("f", "") == theirs.replace(*clean)
    (drop,) = records.read_drops(repo.text(records.DROPS_FILE, ""))
    assert drop.lines and not drop.covers(clean)


def test_accept_upstream_records_no_drop_if_nothing_is_lost(repo: Repo) -> None:
    theirs = OURS.replace("line 10 of ours\n", "line 10 of ours\nand more of upstream\n")
    stop(repo, {"f": TEXT}, {"f": OURS}, {"f": theirs})
    settle(repo, HERE)
    assert repo.text("f", "") == theirs
    assert records.DROPS_FILE not in repo.git("ls-files")


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
def test_conflict_markers_are_recognised_at_the_start_of_a_line(text: str, found: bool) -> None:
    assert hunks.has_markers(text) is found
