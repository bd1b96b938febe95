"""The fork's own work, as distinguished from merges, upstream's work and squashed syncs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from carto_fork.merge import authorship, commits, lives
from carto_fork.merge.hunks import Commit, Customisations, Sync
from repository import Content, Files, Repo
from world import shell

TEXT = "".join(f"statement_{number}(of_the_file)\n" for number in range(8))
FORK = "tenant = read_tenant(request)\n"
OTHER = "limit = budget_of_caller(key)\n"


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    """The fork's branch is `ours`; upstream's is `theirs`."""
    made = Repo.new(tmp_path / "repo", "theirs")
    made.commit({"f": TEXT, "g": TEXT})
    return made.on("ours", "theirs")


def read(repo: Repo, *upstream: str) -> Customisations:
    tips = repo.git("rev-parse", *(upstream or ["theirs"])).split()
    return authorship.read(shell(), repo.path, "ours", tips)


Subjects = Mapping[str, Sequence[str]]


def subjects(found: Mapping[str, Sequence[Commit]]) -> dict[str, list[str]]:
    return {key: [commit.subject for commit in commits] for key, commits in found.items()}


# --- Whose commits -------------------------------------------------------------------------------


def test_a_fork_without_own_commits_has_no_customisations(repo: Repo) -> None:
    assert read(repo) == Customisations()
    repo.on("theirs").commit({"f": TEXT + OTHER})
    assert read(repo) == Customisations()


def test_a_fork_commit_is_recorded_with_its_paths_and_lines(repo: Repo) -> None:
    name = repo.commit({"f": TEXT + FORK, "new": OTHER}, "feat: tenants", date="2025-01-02")
    commit = Commit(name, "2025-01-02", "feat: tenants")
    assert read(repo) == Customisations(
        {"f": [commit], "new": [commit]}, {FORK.strip(): [commit], OTHER.strip(): [commit]}
    )


def test_the_newest_commit_comes_first(repo: Repo) -> None:
    repo.commit({"f": TEXT + FORK}, "one", date="2025-01-01")
    repo.commit({"f": TEXT + FORK + OTHER, "g": None}, "two", date="2025-01-02")
    repo.commit({"f": TEXT + OTHER}, "three", date="2025-01-03")
    found = read(repo)
    assert subjects(found.paths) == {"f": ["three", "two", "one"], "g": ["two"]}
    assert subjects(found.lines) == {
        FORK.strip(): ["three", "one"],
        OTHER.strip(): ["two"],
        **{line: ["two"] for line in TEXT.split("\n")[:-1]},
    }


def test_upstreams_commits_are_not_customisations(repo: Repo) -> None:
    """Neither merged commits, nor those on another upstream branch."""
    repo.on("release", "theirs").commit({"g": TEXT + OTHER})
    repo.on("theirs").commit({"f": TEXT + OTHER})
    repo.on("ours").commit({"h": FORK}, "the fork's")
    repo.merge("theirs")
    repo.merge("release")
    repo.on("theirs").commit({"new": TEXT})
    assert subjects(read(repo, "theirs", "release").paths) == {"h": ["the fork's"]}
    assert set(read(repo).paths) == {"g", "h"}


def test_lines_that_people_write_in_a_merge_commit_are_the_forks(repo: Repo) -> None:
    """And nothing else in it: neither lines that both sides changed, nor lines it leaves out."""
    repo.commit({"f": FORK + TEXT, "g": FORK + TEXT}, "the fork's")
    repo.on("theirs").commit({"f": OTHER + TEXT, "g": TEXT + OTHER, "h": TEXT})
    by_hand: Files = {"f": "by_hand(while_merging)\n" + TEXT, "new": OTHER, "h": None}
    merge = repo.on("ours").merge("theirs", {**by_hand, "g": FORK + TEXT + OTHER})
    found = read(repo)
    written = [repo.git("log", "-1", "--format=%s", merge)]
    both = [*written, "the fork's"]
    assert subjects(found.paths) == {"f": both, "new": written, "g": ["the fork's"]}
    assert subjects(found.lines) == {
        "by_hand(while_merging)": written,
        OTHER.strip(): written,
        FORK.strip(): ["the fork's"],
    }


def test_commits_of_a_merged_fork_branch_are_customisations(repo: Repo) -> None:
    repo.on("feature", "ours").commit({"f": TEXT + FORK}, "on a branch")
    repo.on("ours").commit({"g": TEXT + OTHER}, "meanwhile")
    repo.merge("feature")
    assert subjects(read(repo).paths) == {"f": ["on a branch"], "g": ["meanwhile"]}


def test_the_root_commit_of_an_unrelated_fork_history_is_recorded(tmp_path: Path) -> None:
    """The very first commit counts, too."""
    repo = Repo.new(tmp_path / "alone", "theirs")
    repo.commit({"of upstream": TEXT})
    repo.git("switch", "--quiet", "--orphan", "ours")
    repo.commit({"f": FORK}, "first")
    found = read(repo)
    assert (subjects(found.paths), subjects(found.lines)) == (
        {"f": ["first"]},
        {FORK.strip(): ["first"]},
    )


def test_an_empty_commit_is_ignored(repo: Repo) -> None:
    repo.commit({}, "nothing at all")
    repo.commit({"f": TEXT + FORK}, "something")
    assert subjects(read(repo).paths) == {"f": ["something"]}


# --- Names and lines -----------------------------------------------------------------------------


def test_a_rename_records_both_names_and_only_the_new_lines(repo: Repo) -> None:
    repo.commit({"f": None, "renamed": TEXT + FORK}, "rename")
    found = read(repo)
    assert subjects(found.paths) == {"f": ["rename"], "renamed": ["rename"]}
    assert subjects(found.lines) == {FORK.strip(): ["rename"]}


def test_a_line_is_recorded_without_surrounding_white_space(repo: Repo) -> None:
    repo.commit({"f": TEXT + f"\t  {FORK.strip()}  \r\n"}, "indented")
    assert subjects(read(repo).lines) == {FORK.strip(): ["indented"]}


def test_trivial_lines_are_not_recorded(repo: Repo) -> None:
    repo.commit({"f": TEXT + "    else:\n}\n\n" + FORK}, "one")
    assert list(read(repo).lines) == [FORK.strip()]


@pytest.mark.parametrize(
    "line",
    [
        "++ b/looks_like_a_header",
        "-- a/looks_like_a_header",
        "@@ -1,2 +3,4 @@ looks_like_a_hunk",
        "\\ No newline at end of file",
        "diff --git a/looks b/like_another_file",
        "caf\udce9 = bytes_that_are_no_utf8()",
        "form_feed\x0c = inside_the_line()",
        "separator\u2028 = inside_the_line()",
    ],
)
@pytest.mark.parametrize("end", ["\n", "", "\n\n" + OTHER])
def test_unusual_lines_are_recorded_unchanged(repo: Repo, line: str, end: str) -> None:
    repo.commit({"f": TEXT + line + end}, "one")
    repo.commit({"f": TEXT, "g": TEXT + FORK}, "two")
    expected = {line: ["two", "one"], FORK.strip(): ["two"]}
    if OTHER in end:
        expected[OTHER.strip()] = ["two", "one"]
    assert subjects(read(repo).lines) == expected


def test_lines_added_after_a_missing_final_newline_are_recorded(repo: Repo) -> None:
    repo.commit({"f": TEXT[:-1]}, "one")
    repo.commit({"f": TEXT + FORK + OTHER}, "two")
    last = TEXT.split("\n")[-2]
    expected = {last: ["two", "one"], FORK.strip(): ["two"], OTHER.strip(): ["two"]}
    assert subjects(read(repo).lines) == expected


def test_a_line_that_looks_like_a_commit_name_is_recorded(repo: Repo) -> None:
    """As in a list of revisions for `git blame` to ignore."""
    one = repo.commit({"f": TEXT + FORK}, "one")
    repo.commit({"ignored": f"{one}\n{OTHER}"}, "two")
    assert subjects(read(repo).lines) == {
        one: ["two"],
        OTHER.strip(): ["two"],
        FORK.strip(): ["one"],
    }


def test_lines_of_binary_files_do_not_get_in_the_way(repo: Repo) -> None:
    repo.commit({"binary": b"\0\n@@ -1 +1 @@\n" + bytes(range(256)), "g": TEXT + FORK}, "one")
    found = read(repo)
    assert subjects(found.paths) == {"binary": ["one"], "g": ["one"]}
    assert found.of((), [FORK]) == found.of(["g"])


NAMES = [
    "a b",
    "tab\there",
    "new\nline",
    "\nfirst",
    "ümlaut",
    "caf\udce9",
    "-x",
    ":(top)f",
    "soh\1",
]


@pytest.mark.parametrize("name", NAMES)
def test_unusual_file_names_are_recorded_unchanged(repo: Repo, name: str) -> None:
    repo.commit({"\t": TEXT, name: TEXT, f"dir/{name}": TEXT, "f": None}, "one")
    assert subjects(read(repo).paths) == {
        path: ["one"] for path in ("\t", name, f"dir/{name}", "f")
    }


@pytest.mark.parametrize(
    "subject",
    [
        "plain",
        "",
        "two\ttabs  and blanks",
        "quotes ' \" and $(echo shell)",
        "größer 🍀",
        "{repo}",
        "--option",
        "a \x02 and a \x7f",
        "a \x01 character",
        "\x1b[31mred",
    ],
)
def test_unusual_subjects_are_recorded_unchanged(repo: Repo, subject: str) -> None:
    repo.commit({"f": TEXT + FORK}, subject)
    repo.commit({"g": TEXT + OTHER}, "after it")
    assert subjects(read(repo).paths) == {"f": [subject], "g": ["after it"]}


def test_the_body_of_a_message_is_ignored(repo: Repo) -> None:
    repo.commit({"f": TEXT + FORK}, "subject\n\nbody\n\1\2")
    assert subjects(read(repo).paths) == {"f": ["subject"]}


# --- Which commits wrote something ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("paths", "lines", "expected"),
    [
        ([], [], []),
        (["nowhere"], ["nobody_wrote(this_line)"], []),
        (["f"], [], ["one"]),
        (["g", "f"], [], ["two", "one"]),
        ([], [f"    {FORK}"], ["three", "one"]),
        (["f"], [FORK, OTHER], ["one"]),
        ([], ["else:"], []),
    ],
)
def test_commits_are_found_by_path_and_otherwise_by_line(
    repo: Repo, paths: list[str], lines: list[str], expected: list[str]
) -> None:
    """The commits of the paths; if there aren't any, those of the lines."""
    repo.commit({"f": TEXT + FORK + "else:\n"}, "one")
    repo.commit({"g": TEXT + OTHER}, "two")
    repo.commit({"h": FORK}, "three")
    assert [commit.subject for commit in read(repo).of(paths, lines)] == expected


def test_lines_of_generated_files_and_of_those_that_only_the_fork_had_are_not_read(
    repo: Repo,
) -> None:
    """Files that the fork may have renamed are read, and so are files requested by name."""
    repo.commit({"lib/x": FORK, "own": TEXT + "own_line(of_the_fork)\n"}, "vendor")
    repo.commit({"f.cpp": "converted = line(of_the_fork)\n"}, "convert")
    repo.commit({"f": TEXT + OTHER, "dist/a": "built(by_a_tool)\n"}, "change")
    repo.commit({"g": None, "lib/g": TEXT + "renamed_and = changed(too)\n"}, "rename")
    own = read(repo)
    ours, known = {"f", "f.cpp", "lib/g", "lib/x", "own", "dist/a"}, {"f", "g", "dist/a"}
    rest = authorship.telling(own, ours, known, {"dist/a"})
    assert subjects(rest.lines) == {
        OTHER.strip(): ["change"],
        "converted = line(of_the_fork)": ["convert"],
        "renamed_and = changed(too)": ["rename"],
    }
    assert rest.paths == own.paths
    assert subjects(authorship.within(rest, {"lib/x"}).lines) == {FORK.strip(): ["vendor"]}


# --- Copies of upstream's commits ----------------------------------------------------------------


def test_a_copy_is_the_forks_as_far_as_upstreams_commit_lacks_its_lines(repo: Repo) -> None:
    """Whatever author and time it states."""
    name = repo.on("theirs").commit({"f": TEXT + OTHER, "h": OTHER}, "fix", date="2025-01-02")
    repo.on("ours").git("cherry-pick", name, date="2025-01-04")
    found = read(repo)
    assert (dict(found.paths), dict(found.lines), len(found.copies)) == ({}, {}, 1)
    repo.put({"f": TEXT + OTHER + FORK, "g": None})
    repo.git("commit", "--quiet", "-m", "fix", "--date=2025-01-02T12:00:00Z", date="2025-01-05")
    found = read(repo)
    assert subjects(found.paths) == {"f": ["fix"], "g": ["fix"]}
    assert (FORK.strip() in found.lines, found.removed) == (True, {"g"})


def test_a_commit_that_upstream_copied_later_is_the_forks(repo: Repo) -> None:
    work = repo.commit({"f": TEXT + FORK}, "ours first", date="2025-01-02")
    repo.on("theirs").git("cherry-pick", work, date="2025-01-03")
    assert subjects(read(repo).paths) == {"f": ["ours first"]}


# --- Squashed syncs ------------------------------------------------------------------------------

MANY = 24


def many(text: str, count: int = MANY) -> Files:
    return {f"dir/{number}": text.replace("statement", f"part_{number}") for number in range(count)}


def test_a_squashed_sync_is_not_a_customisation(repo: Repo) -> None:
    """Except for lines that a person wrote in it."""
    before = repo.commit({"dir/0": FORK}, "the fork's", date="2025-01-01")
    repo.on("theirs").commit({**many(TEXT), "new": TEXT + OTHER}, date="2025-01-02")
    by_hand: Files = {f"dir/{number}": TEXT + FORK for number in range(4)}
    name = repo.on("ours").squash("theirs", by_hand, "chore: sync", date="2025-01-03")
    parent = repo.on("theirs").git("rev-parse", "HEAD")
    repo.commit({"f": TEXT + OTHER}, date="2025-01-04")
    commit, sync = (
        Commit(before, "2025-01-01", "the fork's"),
        Commit(name, "2025-01-03", "chore: sync"),
    )
    found = read(repo)
    assert found.squashed == {sync: Sync(parent, "2025-01-03", before, frozenset([name]))}
    assert found.paths == {
        "dir/0": [sync, commit],
        **{f"dir/{number}": [sync] for number in (1, 2, 3)},
    }
    assert FORK.strip() in found.lines


def test_squashed_syncs_are_listed_newest_first(repo: Repo) -> None:
    for day in (1, 3, 5):
        repo.on("theirs").commit(many(f"{TEXT}of_day_{day}()\n"), date=f"2025-01-0{day}")
        repo.on("ours").squash("theirs", {}, f"sync {day}", date=f"2025-01-0{day + 1}")
    found = read(repo)
    assert [commit.subject for commit in found.squashed] == ["sync 5", "sync 3", "sync 1"]
    assert (found.paths, found.lines) == ({}, {})


@pytest.mark.parametrize("day", ["2025-01-09", "2025-04-09"])
def test_a_squashed_sync_with_an_older_upstream_commit_is_recognised(repo: Repo, day: str) -> None:
    """Upstream's branch has moved on, and the fork is late."""
    for number in range(1, 7):
        repo.on("theirs").commit(many(f"{TEXT}of_day_{number}()\n"), date=f"2025-01-0{number}")
    repo.on("ours").squash("theirs~3", {}, "sync", date=day)
    assert [commit.subject for commit in read(repo).squashed] == ["sync"]


@pytest.mark.parametrize("count", [20, 21])
def test_a_squashed_sync_of_at_most_20_files_counts_as_work(repo: Repo, count: int) -> None:
    repo.on("theirs").commit(many(TEXT, count), date="2025-01-01")
    repo.on("ours").squash("theirs", {}, "sync", date="2025-01-02")
    found = read(repo)
    assert [commit.subject for commit in found.squashed] == ["sync"] * (count > 20)
    assert len(found.paths) == (0 if count > 20 else count)


def test_a_big_fork_commit_is_not_a_squashed_sync(repo: Repo) -> None:
    repo.on("theirs").commit(many(TEXT, 9), date="2025-01-01")
    repo.on("ours").commit(many(TEXT + FORK), "big", date="2025-01-02")
    found = read(repo)
    assert subjects(found.paths) == {path: ["big"] for path in many("")}
    assert not found.squashed
    assert [commit.subject for commit in found.of((), [FORK])] == ["big"]


@pytest.mark.parametrize("content", [None, TEXT + FORK])
def test_a_big_commit_that_changes_or_deletes_upstream_files_is_not_a_sync(
    tmp_path: Path, content: Content
) -> None:
    repo = Repo.new(tmp_path / "big", "theirs")
    repo.commit(many(TEXT), date="2025-01-01")
    repo.on("ours", "theirs").commit(dict.fromkeys(many(TEXT), content), "big", date="2025-01-02")
    found = read(repo)
    assert subjects(found.paths) == {path: ["big"] for path in many("")}
    assert not found.squashed


def test_a_commit_that_upstream_copied_later_is_not_a_squashed_sync(repo: Repo) -> None:
    """Upstream adopted the fork's work."""
    repo.commit(many(TEXT + FORK), "big", date="2025-01-02")
    repo.on("theirs").commit(many(TEXT + FORK), date="2025-01-05")
    found = read(repo)
    assert (len(found.paths), dict(found.squashed)) == (MANY, {})


def test_a_line_is_from_who_wrote_it_and_not_from_who_wrapped_it(repo: Repo) -> None:
    """And what was removed is known, however it was wrapped."""
    whole, wrapped = ("wait = of_it(a, b)",), ("wait = of_it(", "    a, b", ")")
    for subject, lines in (("write", whole), ("wrap", wrapped), ("remove", ())):
        repo.commit({"f": "".join(f"{line}\n" for line in lines) + TEXT}, subject)
    known = repo.git("rev-parse", "theirs").strip()
    asked = (shell(), repo.path)
    made = [*commits.blame(*asked, f"{known}..ours~1", "f", (1, 2, 3))]
    assert [(n, commit.subject) for n, commit in made] == [(n, "write") for n in (1, 2, 3)]
    gone = lives.removed_by(*asked, "ours", "f", [whole, (FORK,)])
    assert {commit.subject: runs for commit, runs in gone.items()} == {"remove": [whole]}


def test_reading_leaves_the_checkout_and_refs_unchanged(repo: Repo) -> None:
    repo.commit({"f": TEXT + FORK}, "one")
    repo.on("theirs").commit(many(TEXT))
    repo.on("ours").squash("theirs", {}, "sync")
    (repo.path / "f").write_text("in the middle of work\n")
    before = repo.state()
    read(repo)
    assert repo.state() == before
