"""The ledger: what happened to every hunk of both sides, on real merges."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from carto_fork.audit import ledger
from carto_fork.audit.fates import Account, Fate
from carto_fork.audit.ledger import Entry, Ledger
from carto_fork.fork import policy
from carto_fork.fork.policy import Kind, Policy, Rule, Side, Take
from carto_fork.fork.records import Drop
from carto_fork.merge import authorship
from carto_fork.merge.hunks import Change, Commit
from carto_fork.run import git
from repository import Content, Files, Link, Program, Repo, Submodule
from world import shell

DEFAULT = policy.load_policy().policy
PLAIN = msgspec.structs.replace(DEFAULT, rules=())
LOST, SUPERSEDED, MOVED = Fate.LOST, Fate.SUPERSEDED, Fate.MOVED
ABSORBED, DROPPED = Fate.ABSORBED, Fate.DROPPED

WORDS = "anchor basket candle damper engine feather garden hammer island jungle kettle ladder"
LINES = [f"{word} = make_{word}()\n" for word in WORDS.split()]
TEXT = "".join(LINES)
FORK = "tenant = read_tenant(request)\n"
UPSTREAM = "limit = budget_of_caller(key)\n"
FOLLOW = "raise_if_above(limit, spent_today)\n"
FUNCTION = """\
def tenant_of(request):
    header = request.headers["x-tenant"]
    return lookup_customer(header)
"""

Told = tuple[Side, str, Fate]


def at(place: int, text: str, lines: Sequence[str] = LINES) -> str:
    """The text with something inserted before a line; lines are numbered from 0."""
    return "".join([*lines[:place], text, *lines[place:]])


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    return Repo.new(tmp_path / "repo")


def sides(repo: Repo, base: Files, ours: Files, theirs: Files) -> None:
    """A common ancestor, and one commit on either side; then `result` starts from the fork's."""
    repo.commit(base)
    repo.on("ours", "base").commit(ours)
    repo.on("theirs", "base").commit(theirs)
    repo.on("result", "ours")


def account(
    repo: Repo, drops: Sequence[Drop] = (), by: Policy = PLAIN, result: str = "result"
) -> Ledger:
    sh = shell()
    own = authorship.read(sh, repo.path, "ours", ["theirs"])
    return ledger.read(sh, repo.path, "ours", "theirs", result, own, by, drops)


def told(found: Ledger, *also: Fate) -> list[Told]:
    """What is reported: whose hunks are missing, or only elsewhere."""
    fates = (LOST, SUPERSEDED, MOVED, DROPPED, *also)
    return [(e.side, e.path, e.account.fate) for e in found.entries if e.account.fate in fates]


def merged(repo: Repo, base: Files, ours: Files, theirs: Files, result: Files) -> list[Told]:
    """The report about a merge in which some files were changed by hand."""
    sides(repo, base, ours, theirs)
    repo.merge("theirs", result)
    return told(account(repo))


# --- One file on both sides ----------------------------------------------------------------------


def test_a_file_that_is_too_large_is_compared_as_a_whole(repo: Repo) -> None:
    """Whatever upstream's attributes say: nobody has looked at what git merged in it."""
    sides(
        repo,
        {"f": TEXT, "small": TEXT[:90], ".gitattributes": "* diff\n"},
        {"f": at(2, FORK), "small": f"{FORK}{TEXT[:90]}"},
        {"f": at(9, UPSTREAM)},
    )
    repo.merge("theirs")
    sh = shell()
    sh.configure({"core.bigFileThreshold": str(len(TEXT) - 1)})
    own = authorship.read(sh, repo.path, "ours", ["theirs"])
    found = ledger.read(sh, repo.path, "ours", "theirs", "result", own, PLAIN)
    assert [(e.path, e.what) for e in found.lost] == [("f", "binary")] * 2
    names = repo.git("ls-tree", "--format=%(objectname)", "result", "f", "small").split()
    assert git.large(sh, repo.path, names) == {names[0]: len(TEXT + FORK + UPSTREAM)}
    large, small = git.contents(sh, repo.path, names)
    assert (large, small) == (f"{git.LARGE}{names[0]}", f"{FORK}{TEXT[:90]}")


def test_a_clean_merge_loses_nothing(repo: Repo) -> None:
    both = {"both": TEXT, "same": TEXT, "gone": TEXT, "old": TEXT}
    ours = {"both": at(2, FORK), "same": at(3, FORK), "of fork": FUNCTION, "gone": None}
    theirs = {"both": at(9, UPSTREAM), "same": at(3, FORK), "of upstream": FUNCTION, "gone": None}
    sides(repo, both, ours, theirs)
    repo.merge("theirs")
    found = account(repo)
    assert {entry.account.fate for entry in found.entries} <= {ABSORBED, Fate.KEPT}
    assert (found.lost, found.to_look_at) == ([], [])
    assert (found.fork_paths, found.upstream_paths) == (4, 4)


def test_a_change_that_upstream_made_as_well_is_absorbed(repo: Repo) -> None:
    """The file's other hunk differs, so the file has to be examined."""
    sides(repo, {"f": TEXT}, {"f": at(3, FORK)}, {"f": at(3, FORK).replace("ladder", "lemon")})
    repo.merge("theirs")
    assert told(account(repo), ABSORBED) == [(Side.FORK, "f", ABSORBED)]


def test_an_entry_names_the_change_the_missing_lines_and_the_commit(repo: Repo) -> None:
    repo.commit({"f": TEXT})
    repo.on("ours", "base").commit({"f": at(2, FORK)}, "feat: tenants", date="2025-01-02")
    name = repo.git("rev-parse", "HEAD")
    repo.on("theirs", "base").commit({"f": at(9, UPSTREAM)})
    repo.on("result", "ours").merge("theirs", {"f": at(9, UPSTREAM)})
    lost = (FORK.rstrip(),)
    change = Change(2, 3, added=lost)
    found = account(repo)
    assert found.lost == [
        Entry(
            Side.FORK,
            "f",
            "f",
            Account(change, LOST, missing=lost, traceless=lost),
            commits=(Commit(name, "2025-01-02", "feat: tenants"),),
        )
    ]
    assert (found.to_look_at, found.fork_paths, found.upstream_paths) == ([], 1, 1)


@pytest.mark.parametrize(
    ("fork", "expected"),
    [
        (FUNCTION, [(Side.FORK, "f", LOST)]),
        (FORK, [(Side.FORK, "f", SUPERSEDED)]),
    ],
)
def test_taking_upstreams_lines_in_a_conflict_loses_the_forks(
    repo: Repo, fork: str, expected: list[Told]
) -> None:
    """A single line may be there in other words, but a function may not."""
    theirs = {"f": at(3, UPSTREAM)}
    assert merged(repo, {"f": TEXT}, {"f": at(3, fork)}, theirs, theirs) == expected


@pytest.mark.parametrize(
    ("upstream", "expected"),
    [
        (FUNCTION, [(Side.UPSTREAM, "f", LOST)]),
        (UPSTREAM, [(Side.UPSTREAM, "f", SUPERSEDED)]),
    ],
)
def test_taking_the_forks_lines_in_a_conflict_loses_upstreams(
    repo: Repo, upstream: str, expected: list[Told]
) -> None:
    ours = {"f": at(3, FORK)}
    assert merged(repo, {"f": TEXT}, ours, {"f": at(3, upstream)}, ours) == expected


def test_taking_neither_side_of_a_conflict_loses_both(repo: Repo) -> None:
    assert merged(
        repo,
        {"f": TEXT},
        {"f": at(3, FORK + FUNCTION)},
        {"f": at(3, UPSTREAM + FOLLOW)},
        {"f": TEXT},
    ) == [(Side.FORK, "f", LOST), (Side.UPSTREAM, "f", LOST)]


@pytest.mark.parametrize(
    ("fork", "upstream", "result", "expected"),
    [
        (at(2, FORK), at(9, UPSTREAM), at(9, UPSTREAM), [(Side.FORK, "f", LOST)]),
        (at(2, FORK), at(9, UPSTREAM), at(2, FORK), [(Side.UPSTREAM, "f", LOST)]),
        ("".join(LINES[1:]), at(9, UPSTREAM), at(9, UPSTREAM), [(Side.FORK, "f", LOST)]),
        (at(2, FORK), "".join(LINES[:-1]), at(2, FORK), [(Side.UPSTREAM, "f", LOST)]),
    ],
)
def test_a_hand_edit_outside_any_conflict_is_reported(
    repo: Repo, fork: str, upstream: str, result: str, expected: list[Told]
) -> None:
    base, ours, theirs = ({"f": text} for text in (TEXT, fork, upstream))
    assert merged(repo, base, ours, theirs, {"f": result}) == expected


def test_a_later_commit_counts_as_part_of_the_result(repo: Repo) -> None:
    sides(repo, {"f": TEXT}, {"f": at(2, FORK), "g": FUNCTION}, {"f": at(9, UPSTREAM)})
    repo.merge("theirs")
    assert told(account(repo)) == []
    repo.commit({"f": at(9, UPSTREAM)}, "style: tidy up")
    assert told(account(repo)) == [(Side.FORK, "f", LOST)]


def test_a_hunk_is_named_with_the_commits_that_wrote_its_file_or_lines(repo: Repo) -> None:
    repo.commit({"f": TEXT})
    repo.on("ours", "base").commit({"f": at(2, FORK)}, "one")
    repo.commit({"g": FORK}, "two")
    repo.commit({"g": FUNCTION}, "three")
    repo.commit({"h": FUNCTION}, "four")
    repo.on("theirs", "base").commit({"f": at(9, UPSTREAM)})
    repo.on("result", "ours").merge("theirs", {"f": at(9, UPSTREAM)})
    (entry,) = account(repo).lost
    assert [commit.subject for commit in entry.commits] == ["one"]


def test_what_became_of_one_change_is_not_said_of_the_file_s_other_commits(repo: Repo) -> None:
    """The fate of a commit is that of its own lines; of lines without a word, the newest's."""
    repo.commit({"f": TEXT, "v": "1.0\n"})
    taken = at(9, UPSTREAM)
    repo.on("ours", "base").commit({"f": taken, "v": "1.0.1\n"}, "taken from upstream")
    repo.commit({"f": at(2, FORK, taken.splitlines(True)), "v": "1.0.2\n"}, "its own")
    repo.on("theirs", "base").commit({"f": taken + FOLLOW, "v": "1.1\n"})
    both = {"f": at(2, FORK, [*taken.splitlines(True), FOLLOW]), "v": "1.1\n"}
    repo.on("result", "ours").merge("theirs", both)
    found = {entry.path: entry for entry in account(repo).entries if entry.side is Side.FORK}
    by = {path: [commit.subject for commit in entry.commits] for path, entry in found.items()}
    assert by == {"f": ["taken from upstream"], "v": ["its own"]}


# --- Files that are missing, renamed or back -----------------------------------------------------


@pytest.mark.parametrize(
    "content", [FUNCTION, "DEBUG=1\n", "", b"\0\1", Link("f"), Program(FUNCTION)]
)
def test_a_missing_fork_file_is_lost(repo: Repo, content: Content) -> None:
    """Whatever its content."""
    gone = {"carto/new": None}
    found = merged(repo, {"f": TEXT}, {"carto/new": content}, {"f": at(9, UPSTREAM)}, gone)
    assert found == [(Side.FORK, "carto/new", LOST)]


def test_a_missing_upstream_file_is_lost(repo: Repo) -> None:
    found = merged(repo, {"f": TEXT}, {"f": at(2, FORK)}, {"new": FUNCTION}, {"new": None})
    assert found == [(Side.UPSTREAM, "new", LOST)]


@pytest.mark.parametrize(("fork", "fate"), [(FUNCTION, LOST), (FORK, SUPERSEDED)])
def test_following_upstreams_deletion_loses_the_forks_change(
    repo: Repo, fork: str, fate: Fate
) -> None:
    gone: Files = {"f": None}
    found = merged(repo, {"f": TEXT, "g": TEXT}, {"f": at(2, fork)}, gone, gone)
    assert found == [(Side.FORK, "f", fate)]


@pytest.mark.parametrize("content", [TEXT, "DEBUG=1\n", "", b"\0\1", Link("g"), Submodule("1")])
@pytest.mark.parametrize("side", list(Side))
def test_a_deletion_is_lost_if_the_file_is_back(repo: Repo, side: Side, content: Content) -> None:
    """Whatever its content."""
    deleter, other = {"f": None, "more": FUNCTION}, {"g": TEXT}
    ours, theirs = (deleter, other) if side is Side.FORK else (other, deleter)
    assert merged(repo, {"f": content}, ours, theirs, {"f": content}) == [(side, "f", LOST)]


def test_a_deletion_is_lost_if_upstreams_version_of_the_file_is_back(repo: Repo) -> None:
    theirs = {"f": at(9, UPSTREAM)}
    assert merged(repo, {"f": TEXT, "g": TEXT}, {"f": None}, theirs, theirs) == [
        (Side.FORK, "f", LOST)
    ]


def test_upstream_renamed_a_file_and_the_forks_change_follows(repo: Repo) -> None:
    theirs = {"old": None, "new": at(9, UPSTREAM)}
    assert merged(repo, {"old": TEXT}, {"old": at(2, FORK)}, theirs, {}) == []
    assert FORK in repo.text("new")


def test_upstream_renamed_a_file_and_the_forks_change_is_lost(repo: Repo) -> None:
    theirs = {"old": None, "new": at(9, UPSTREAM)}
    assert merged(repo, {"old": TEXT}, {"old": at(2, FORK)}, theirs, theirs) == [
        (Side.FORK, "old", LOST)
    ]
    (entry,) = account(repo).lost
    assert (entry.path, entry.where) == ("old", "new")


def test_a_fork_function_in_a_file_that_upstream_rewrote_is_lost_or_moved(repo: Repo) -> None:
    """So little of it is left that git does not detect the rename."""
    rewritten = "".join(LINES[:2]) + "".join(f"{word}_again(everything)\n" for word in WORDS[:40])
    theirs = {"old": None, "new": rewritten}
    for result, fate in ((rewritten, LOST), (rewritten + FUNCTION, MOVED)):
        place = Repo.new(repo.path / fate.name)
        found = merged(
            place, {"old": TEXT}, {"old": at(2, FUNCTION)}, theirs, {"old": None, "new": result}
        )
        assert found == [(Side.FORK, "old", fate)]


@pytest.mark.parametrize("side", list(Side))
def test_a_rename_on_one_side_loses_nothing(repo: Repo, side: Side) -> None:
    renamer, other = {"old": None, "new": at(2, FORK)}, {"old": at(9, UPSTREAM)}
    ours, theirs = (renamer, other) if side is Side.FORK else (other, renamer)
    assert merged(repo, {"old": TEXT}, ours, theirs, {}) == []
    assert UPSTREAM in repo.text("new")


@pytest.mark.parametrize("text", [TEXT, at(2, FORK)])
@pytest.mark.parametrize("side", list(Side))
def test_a_rename_is_lost_if_the_file_has_its_old_name_again(
    repo: Repo, side: Side, text: str
) -> None:
    """As when a workflow was disabled by renaming it, and runs again after the merge."""
    renamer, other = {"f.yml": None, "f.txt": text}, {"g": TEXT}
    ours, theirs = (renamer, other) if side is Side.FORK else (other, renamer)
    found = merged(repo, {"f.yml": TEXT}, ours, theirs, {"f.txt": None, "f.yml": text})
    assert [(who, fate) for who, _, fate in found] == [(side, LOST)]


@pytest.mark.parametrize("side", list(Side))
def test_a_rename_is_lost_if_the_old_name_exists_as_well(repo: Repo, side: Side) -> None:
    renamer, other = {"f.yml": None, "f.txt": TEXT}, {"g": TEXT}
    ours, theirs = (renamer, other) if side is Side.FORK else (other, renamer)
    found = merged(repo, {"f.yml": TEXT}, ours, theirs, {"f.yml": TEXT})
    assert [(who, fate) for who, _, fate in found] == [(side, LOST)]


@pytest.mark.parametrize("text", [TEXT, at(2, FORK)])
@pytest.mark.parametrize("side", list(Side))
def test_a_missing_renamed_file_is_lost(repo: Repo, side: Side, text: str) -> None:
    renamer, other = {"old": None, "new": text}, {"g": TEXT}
    ours, theirs = (renamer, other) if side is Side.FORK else (other, renamer)
    assert merged(repo, {"old": TEXT}, ours, theirs, {"new": None}) == [(side, "new", LOST)]


def test_a_lost_change_is_found_if_both_sides_renamed_the_file(repo: Repo) -> None:
    ours, theirs = {"f": None, "of ours": at(2, FORK)}, {"f": None, "of theirs": at(9, UPSTREAM)}
    result = {"f": None, "of ours": None, "of theirs": at(2, FORK)}
    found = merged(repo, {"f": TEXT}, ours, theirs, result)
    assert (Side.UPSTREAM, "of theirs", LOST) in found


# --- Lines that are in another file now ----------------------------------------------------------


def test_a_function_in_another_file_counts_as_moved(repo: Repo) -> None:
    sides(repo, {"f": TEXT, "g": TEXT}, {"f": at(3, FUNCTION)}, {"f": at(9, UPSTREAM)})
    repo.merge("theirs", {"f": at(9, UPSTREAM), "g": TEXT + FUNCTION})
    (entry,) = (e for e in account(repo).entries if e.account.fate in (LOST, SUPERSEDED, MOVED))
    assert (entry.path, entry.where, entry.account.fate) == ("f", "g", MOVED)


@pytest.mark.parametrize("text", ["", "x\n", FORK])
def test_a_fork_file_under_a_name_that_neither_side_has_is_not_lost(repo: Repo, text: str) -> None:
    """However short it is. But a file of the same text that upstream added does not count."""
    sides(repo, {"f": TEXT}, {"d/new": text}, {"g": text + UPSTREAM})
    repo.merge("theirs", {"d/new": None, "e/new": text})
    assert told(account(repo)) == []
    repo.commit({"e/new": None, "g": UPSTREAM})
    assert told(account(repo))[0] == (Side.FORK, "d/new", LOST)


def test_a_function_half_of_which_is_in_another_file_is_lost(repo: Repo) -> None:
    result = {"f": at(9, UPSTREAM), "g": TEXT + FUNCTION.split("return")[0]}
    found = merged(repo, {"f": TEXT, "g": TEXT}, {"f": at(3, FUNCTION)}, {"f": result["f"]}, result)
    assert found == [(Side.FORK, "f", LOST)]


@pytest.mark.parametrize("other", [TEXT + FUNCTION, at(2, UPSTREAM) + FUNCTION])
def test_a_function_that_another_file_always_had_was_not_moved(repo: Repo, other: str) -> None:
    """Whether or not somebody changed that file elsewhere."""
    base, theirs = {"f": TEXT, "g": TEXT + FUNCTION}, {"g": other, "h": UPSTREAM}
    found = merged(repo, base, {"f": at(3, FUNCTION)}, theirs, {"f": TEXT})
    assert found == [(Side.FORK, "f", LOST)]


def test_an_import_that_upstream_has_in_another_file_was_not_moved_there(repo: Repo) -> None:
    found = merged(
        repo,
        {"f": TEXT, "g": "".join(LINES[:3])},
        {"f": at(3, "from sums import anchor_of\n")},
        {"f": TEXT, "g": "from sums import anchor_of\n" + "".join(LINES[:3])},
        {"f": TEXT},
    )
    assert found == [(Side.FORK, "f", SUPERSEDED)]


def test_words_that_are_gone_with_what_was_replaced_are_named(repo: Repo) -> None:
    packages, more = "RUN apk add gcc\n", "RUN apk add gcc libffi-dev\n"
    sides(
        repo,
        {"f": at(3, packages)},
        {"f": at(3, more)},
        {"f": at(3, "RUN apk add --no-cache gcc 30\n")},
    )
    repo.merge("theirs", {"f": at(3, "RUN apk add --no-cache gcc 30\n")})
    [entry] = account(repo).to_look_at
    assert (entry.account.words, entry.as_json()["words_gone"]) == (("libffi", "dev"),) * 2
    repo.on("right", "ours")
    repo.merge("theirs", {"f": at(3, "RUN apk add --no-cache gcc libffi-dev 30\n")})
    assert account(repo, result="right").to_look_at == []


@pytest.mark.parametrize(
    ("again", "fate"), [("section(heading=typeface_of_ours)\n", SUPERSEDED), ("", LOST)]
)
def test_what_is_there_in_other_words_needs_a_look(repo: Repo, again: str, fate: Fate) -> None:
    """The words that only the fork has are there as often, in a line that nobody has."""
    mine = "anchor = make_anchor(basket, make_candle(damper, typeface_of_ours))\n"
    found = merged(
        repo,
        {"f": TEXT},
        {"f": at(3, mine)},
        {"f": at(9, UPSTREAM)},
        {"f": at(9, UPSTREAM + again)},
    )
    assert found == [(Side.FORK, "f", fate)]


def test_a_removed_line_is_not_back_because_others_are_like_it(repo: Repo) -> None:
    """The fork changed both radii; upstream removed one of them, and it is gone."""
    radius, ours = "border-radius: 8px of upstream;\n", "border-radius: own-radius-8;\n"
    base = at(3, radius, [*LINES[:9], radius, *LINES[9:]])
    one = at(3, ours, [*LINES[:9], ours, *LINES[9:]])
    other = at(9, radius)
    found = merged(repo, {"f": base}, {"f": one}, {"f": other}, {"f": at(9, ours)})
    assert (Side.UPSTREAM, "f", SUPERSEDED) not in found


@pytest.mark.parametrize(("line", "dropped"), [("3.3.1\n", True), ("3.3.1 of the fork\n", False)])
def test_a_file_that_is_only_a_version_follows_the_version_rule(
    repo: Repo, line: str, dropped: bool
) -> None:
    rule = Rule(name="version", paths=("VERSION",), take=Take.VERSION, why="The tag's.")
    sides(repo, {"VERSION": "3.2.0\n"}, {"VERSION": line}, {"VERSION": "3.4.0\n"})
    repo.merge("theirs", {"VERSION": "3.4.0\n"})
    found = told(account(repo, by=msgspec.structs.replace(PLAIN, rules=(rule,))))
    assert ((Side.FORK, "VERSION", DROPPED) in found) is dropped


def test_a_lost_copy_does_not_count_as_moved_to_the_other_copy(repo: Repo) -> None:
    ours = {"f": at(3, FORK, at(9, FORK).splitlines(keepends=True))}
    assert merged(repo, {"f": TEXT}, ours, {"g": TEXT}, {"f": at(9, FORK)}) == [
        (Side.FORK, "f", LOST)
    ]


def test_a_replacement_is_lost_and_not_moved_if_the_old_line_is_back(repo: Repo) -> None:
    base, ours = {"f": TEXT, "g": TEXT}, {"f": TEXT.replace(LINES[3], FUNCTION)}
    result = {"f": TEXT, "g": TEXT + FUNCTION}
    assert merged(repo, base, ours, {"h": TEXT}, result) == [(Side.FORK, "f", LOST)]


def test_what_the_fork_put_into_two_files_is_lost_from_one(repo: Repo) -> None:
    ours = {"f": at(3, FORK), "g": at(3, FORK)}
    found = merged(repo, {"f": TEXT, "g": TEXT}, ours, {"h": TEXT}, {"f": TEXT})
    assert found == [(Side.FORK, "f", LOST)]


# --- A merge without any conflict that loses something -------------------------------------------


def test_a_merge_with_x_theirs_loses_the_forks_function(repo: Repo) -> None:
    sides(repo, {"f": TEXT}, {"f": at(3, FUNCTION)}, {"f": at(3, UPSTREAM)})
    repo.merge("theirs", {}, "-Xtheirs")
    assert FUNCTION not in repo.text("f")
    assert told(account(repo)) == [(Side.FORK, "f", LOST)]


def test_a_merge_driver_that_takes_one_side_loses_the_forks_change(repo: Repo) -> None:
    repo.git("config", "merge.upstreams.driver", "cp %B %A")
    (repo.path / ".git" / "info" / "attributes").write_text("f merge=upstreams\n")
    sides(
        repo,
        {"f": TEXT, "g": TEXT},
        {"f": at(3, FUNCTION), "g": at(3, FORK)},
        {"f": at(9, UPSTREAM)},
    )
    repo.merge("theirs")
    assert told(account(repo)) == [(Side.FORK, "f", LOST)]


@pytest.mark.parametrize(("strategy", "side"), [("ours", Side.UPSTREAM), ("theirs", Side.FORK)])
def test_a_merge_with_strategy_ours_loses_the_other_side(
    repo: Repo, strategy: str, side: Side
) -> None:
    sides(repo, {"f": TEXT}, {"f": at(3, FUNCTION)}, {"f": at(9, UPSTREAM)})
    repo.on("chosen", strategy).merge("theirs" if strategy == "ours" else "ours", {}, "-sours")
    assert told(account(repo, result="chosen")) == [(side, "f", LOST)]


def test_a_function_in_a_falsely_renamed_file_is_kept_until_it_is_removed(repo: Repo) -> None:
    """Upstream removed one file and added one like it; git takes that for a rename."""
    sides(
        repo,
        {"billing": TEXT},
        {"billing": at(3, FUNCTION)},
        {"billing": None, "mailing": at(9, UPSTREAM)},
    )
    repo.merge("theirs")
    assert FUNCTION in repo.text("mailing")
    found = account(repo)
    assert told(found) == []
    repo.commit({"mailing": at(9, UPSTREAM)})
    (entry,) = account(repo).lost
    assert (entry.path, entry.where) == ("billing", "mailing")


# --- Changes that are not lines ------------------------------------------------------------------

SCRIPT = Program(TEXT)


@pytest.mark.parametrize(
    ("base", "fork", "result", "what"),
    [
        (b"\0base", b"\0fork", b"\0base", "binary"),
        (TEXT, b"\0fork", TEXT, "binary"),
        (None, b"\0fork", None, "binary"),
        (TEXT, SCRIPT, TEXT, "mode"),
        (None, SCRIPT, TEXT, "mode"),
        (SCRIPT, TEXT, SCRIPT, "mode"),
        (Link("f"), Link("g"), Link("f"), "link"),
        (Link("first_target"), Link("other_target"), Link("first_target"), "link"),
        (None, Link("g"), None, "link"),
        (Submodule("1"), Submodule("2"), Submodule("1"), "submodule"),
        (None, Submodule("2"), None, "submodule"),
    ],
)
@pytest.mark.parametrize("side", list(Side))
def test_a_change_of_mode_link_or_binary_content_can_be_lost(
    repo: Repo, side: Side, base: Content, fork: Content, result: Content, what: str
) -> None:
    start = {"f": TEXT} if base is None else {"f": TEXT, "thing": base}
    changed, other = {"thing": fork}, {"f": at(9, UPSTREAM)}
    ours, theirs = (changed, other) if side is Side.FORK else (other, changed)
    sides(repo, start, ours, theirs)
    repo.merge("theirs", {"thing": result})
    found = account(repo)
    assert told(found) == [(side, "thing", LOST)]
    assert [entry.what for entry in found.lost] == [what]


def test_mode_and_text_of_a_file_are_lost_separately(repo: Repo) -> None:
    ours = {"f": Program(at(2, FORK)), "g": Program(at(2, FUNCTION))}
    sides(repo, {"f": TEXT, "g": TEXT}, ours, {"h": TEXT})
    repo.merge("theirs", {"f": at(2, FORK), "g": SCRIPT})
    entries = account(repo).lost
    assert [(entry.path, entry.what) for entry in entries] == [("f", "mode"), ("g", "")]


@pytest.mark.parametrize(
    ("base", "both"), [(TEXT, at(2, FUNCTION)), (TEXT, at(2, FORK)), (b"\0base", b"\0both")]
)
def test_a_change_of_both_sides_missing_from_the_result_is_lost_to_both(
    repo: Repo, base: Content, both: Content
) -> None:
    found = merged(repo, {"f": base}, {"f": both}, {"f": both}, {"f": base})
    assert found == [(side, "f", LOST) for side in Side]


def test_a_block_that_upstream_has_elsewhere_with_a_small_change_needs_a_look(
    repo: Repo,
) -> None:
    changed = FUNCTION.replace("(header)", "(header, strict=True)")
    found = merged(repo, {"f": TEXT}, {"f": at(3, FUNCTION)}, {"g": TEXT + changed}, {"f": TEXT})
    assert found == [(Side.FORK, "f", SUPERSEDED)]


# --- What is not accounted for -------------------------------------------------------------------

GENERATED = Rule(
    name="generated", paths=("/out/", "*.lock"), take=Take.UPSTREAM, whole=True, why="Built."
)
KEEP = Rule(name="keep", paths=("/out/logo.svg",), take=Take.FORK, whole=True, why="The fork's.")


def by(*rules: Rule) -> Policy:
    return msgspec.structs.replace(DEFAULT, rules=rules)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (GENERATED, ["out.py"]),
        (msgspec.structs.replace(GENERATED, whole=False), ["a.lock", "out.py", "out/b", "out/c"]),
        (
            msgspec.structs.replace(GENERATED, take=Take.FORK),
            ["a.lock", "out.py", "out/b", "out/c"],
        ),
    ],
)
def test_generated_files_are_not_checked_for_lost_hunks(
    repo: Repo, rule: Rule, expected: list[str]
) -> None:
    base = dict.fromkeys(("a.lock", "out.py", "out/b", "out/c"), TEXT)
    sides(repo, base, dict.fromkeys(base, at(2, FORK)), {"f": TEXT})
    repo.merge("theirs", base)
    found = account(repo, by=by(rule))
    assert [entry.path for entry in found.lost] == expected
    dropped = [(e.path, e.what) for e in found.entries if e.account.fate is Fate.DROPPED]
    gone = [("a.lock", "1 generated file"), ("out/", "2 generated files")]
    assert dropped == (gone if rule is GENERATED else [])


def test_a_lock_file_beside_its_manifest_is_one_entry(repo: Repo) -> None:
    """Whatever rule names it, unless the rule takes the fork's side; without its manifest it is a
    normal file."""
    both = {"go.sum": TEXT, "go.mod": "module x\n", "lib/go.sum": TEXT}
    ours = {path: at(2, FORK, [FORK, *LINES]) for path in ("go.sum", "lib/go.sum")}
    sides(repo, both, ours, {"f": TEXT})
    repo.merge("theirs", {"go.sum": TEXT, "lib/go.sum": TEXT})
    found = account(repo)
    assert {entry.path for entry in found.lost} == {"lib/go.sum"}
    [dropped] = found.explained
    assert (dropped.path, dropped.what) == ("go.sum", "1 generated file")
    repo.on("kept", "ours").merge("theirs", {"go.sum": ours["go.sum"] + FOLLOW})
    assert not account(repo, result="kept").explained
    kept = msgspec.structs.replace(KEEP, paths=("/go.sum",))
    assert {entry.path for entry in account(repo, by=by(kept)).lost} == {"go.sum", "lib/go.sum"}


def test_an_earlier_rule_for_the_fork_outranks_a_generated_rule(repo: Repo) -> None:
    """The first matching rule decides."""
    sides(repo, {"f": TEXT}, {"out/logo.svg": FUNCTION, "out/b": TEXT}, {"f": at(9, UPSTREAM)})
    repo.merge("theirs", {"out/logo.svg": None, "out/b": None})
    found = account(repo, by=by(KEEP, GENERATED))
    assert [entry.path for entry in found.lost] == ["out/logo.svg"]


def test_what_an_earlier_merge_left_out_is_not_a_fork_change(repo: Repo) -> None:
    """No fork commit removed it: upstream's text comes back, which is right."""
    repo.commit({"f": TEXT, "g": TEXT})
    repo.git("branch", "theirs")
    repo.on("ours", "base").commit({"carto": FUNCTION})
    repo.on("theirs").commit({"f": at(2, "left_out = of_the_merge(here)\n")})
    repo.on("ours").merge("theirs", {"f": TEXT})
    repo.on("theirs").commit({"f": at(9, UPSTREAM)})
    repo.on("result", "ours").merge("theirs", {"f": at(9, UPSTREAM)})
    found = account(repo)
    assert (told(found), found.fork_paths) == ([], 1)


def test_a_fork_line_that_a_merge_moved_to_another_file_can_be_lost(repo: Repo) -> None:
    """A person moved it to another file while merging; it is still the fork's."""
    repo.commit({"f": TEXT, "g": TEXT})
    repo.git("branch", "theirs")
    repo.on("ours", "base").commit({"f": at(2, FORK)})
    repo.on("theirs").commit({"h": TEXT})
    repo.on("ours").merge("theirs", {"f": TEXT, "g": at(2, FORK)})
    repo.on("theirs").commit({"h": at(9, UPSTREAM)})
    repo.on("result", "ours").merge("theirs", {"g": TEXT})
    assert told(account(repo)) == [(Side.FORK, "g", LOST)]


def test_a_fork_change_can_be_lost_in_a_file_that_upstream_renamed_before(repo: Repo) -> None:
    """The fork commit only knows the file's old name."""
    base = TEXT
    repo.commit({"old": base})
    repo.on("theirs", "base").commit({"old": None, "new": base})
    repo.on("ours", "base").commit({"old": at(2, FORK)})
    repo.merge("theirs")
    repo.on("theirs").commit({"h": TEXT})
    repo.on("result", "ours").merge("theirs", {"new": base})
    assert told(account(repo)) == [(Side.FORK, "new", LOST)]


# --- Dropped on purpose --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("drop", "expected"),
    [
        (Drop("f", "Not needed."), DROPPED),
        (Drop("f", "Not needed.", (FORK.strip(), "another line")), DROPPED),
        (Drop("f", "Not needed.", ("another line",)), LOST),
        (Drop("f", "Not needed.", side="upstream"), LOST),
        (Drop("g", "Not needed."), LOST),
    ],
)
def test_a_change_covered_by_a_drop_is_dropped_on_purpose(
    repo: Repo, drop: Drop, expected: Fate
) -> None:
    sides(repo, {"f": TEXT}, {"f": at(2, FORK)}, {"f": at(9, UPSTREAM)})
    repo.merge("theirs", {"f": at(9, UPSTREAM)})
    found = account(repo, [drop])
    assert told(found) == [(Side.FORK, "f", expected)]
    reasons = [entry.reason for entry in found.entries if entry.account.fate is expected]
    assert reasons == ["Not needed." if expected is DROPPED else ""]


def test_a_lost_line_is_not_in_the_note_that_quotes_it(repo: Repo) -> None:
    fork = "station: fetch every 90 minutes\n"
    sides(repo, {"f": TEXT}, {"f": at(2, fork)}, {"f": at(9, UPSTREAM)})
    note = f'[[drop]]\npath = "g"\nreason = "no"\nlines = [\n    "{fork.strip()}",\n]\n'
    repo.merge("theirs", {"f": at(9, UPSTREAM), "carto_drops.toml": note})
    (entry,) = (e for e in account(repo).entries if e.path == "f" and e.side is Side.FORK)
    assert (entry.account.fate, entry.where) == (LOST, "f")


def test_an_absorbed_change_does_not_count_as_dropped(repo: Repo) -> None:
    sides(repo, {"f": TEXT}, {"f": at(2, FORK) + UPSTREAM}, {"f": TEXT + UPSTREAM})
    repo.merge("theirs", {"f": TEXT + UPSTREAM})
    found = account(repo, [Drop("f", "Not needed.")])
    assert told(found, ABSORBED) == [(Side.FORK, "f", DROPPED), (Side.FORK, "f", ABSORBED)]


def test_a_drop_of_upstreams_change_covers_upstreams_side_only(repo: Repo) -> None:
    sides(repo, {"f": TEXT}, {"f": at(2, FORK)}, {"f": at(9, UPSTREAM)})
    repo.merge("theirs", {"f": at(2, FORK)})
    for side, fate in (("fork", LOST), ("upstream", DROPPED)):
        found = account(repo, [Drop("f", "Not needed.", side=side)])
        assert told(found) == [(Side.UPSTREAM, "f", fate)]


@pytest.mark.parametrize(
    ("base", "fork"),
    [(b"\0base", b"\0fork"), (TEXT, Program(TEXT)), (None, ""), (TEXT, at(2, "DEBUG=1\n"))],
)
def test_a_drop_of_other_lines_does_not_cover_a_change(
    repo: Repo, base: Content, fork: Content
) -> None:
    sides(repo, {"f": TEXT} | ({"g": base} if base else {}), {"g": fork}, {"f": at(9, UPSTREAM)})
    repo.merge("theirs", {"g": base})
    found = account(repo, [Drop("g", "Not needed.", ("another = line_of_it()",))])
    assert [e.account.fate for e in found.entries if e.account.fate is DROPPED] == []


# --- What the policy says about it ---------------------------------------------------------------

OURS = Rule(name="ours", paths=("/a/",), take=Take.FORK, why="The fork's.")
THEIRS = Rule(name="theirs", paths=("/a/b",), take=Take.UPSTREAM, why="Upstream's.")
BINARY = msgspec.structs.replace(OURS, kinds=(Kind.BINARY,))
REMOVED = Rule(name="removed", paths=("*",), take=Take.FORK, deleted_by=Side.FORK, why="Removed.")
VERSION = Rule(name="version", paths=("/a/",), take=Take.VERSION, why="From the tag.")


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ((), LOST),
        ((OURS,), DROPPED),
        ((OURS, THEIRS), DROPPED),
        ((THEIRS, OURS), LOST),
        ((THEIRS,), LOST),
        ((BINARY,), LOST),
        ((REMOVED,), LOST),
        ((VERSION,), LOST),
    ],
)
def test_upstreams_lines_are_dropped_if_the_first_matching_rule_takes_the_fork(
    repo: Repo, rules: Sequence[Rule], expected: Fate
) -> None:
    """The first matching rule decides; it only explains what it covers."""
    sides(repo, {"a/b": TEXT}, {"a/b": at(2, FORK)}, {"a/b": at(9, UPSTREAM)})
    repo.merge("theirs", {"a/b": at(2, FORK)})
    found = account(repo, by=by(*rules))
    assert told(found) == [(Side.UPSTREAM, "a/b", expected)]
    reasons = [entry.reason for entry in found.entries if entry.account.fate is expected]
    assert reasons == ["The fork's." if expected is DROPPED else ""]


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ((OURS,), LOST),
        ((OURS, THEIRS), LOST),
        ((THEIRS,), DROPPED),
        ((REMOVED,), LOST),
        ((VERSION,), LOST),
    ],
)
def test_the_forks_lines_are_dropped_if_the_first_matching_rule_takes_upstream(
    repo: Repo, rules: Sequence[Rule], expected: Fate
) -> None:
    """Rules are about conflicts: they cannot explain the loss of a file that upstream never
    touched."""
    sides(repo, {"a/b": TEXT}, {"a/b": at(2, FORK), "a/c": FUNCTION}, {"a/b": at(9, UPSTREAM)})
    repo.merge("theirs", {"a/b": at(9, UPSTREAM), "a/c": None})
    found = told(account(repo, by=by(*rules)))
    assert found == [(Side.FORK, "a/b", expected), (Side.FORK, "a/c", LOST)]


def test_what_the_fork_removed_stays_removed(repo: Repo) -> None:
    sides(repo, {"f": TEXT, "g": TEXT}, {"f": None}, {"f": at(9, FUNCTION)})
    repo.merge("theirs", {"f": None})
    for rules, fate in (((), LOST), ((REMOVED,), DROPPED)):
        found = account(repo, by=by(*rules))
        assert [(e.side, e.path, e.account.fate) for e in found.entries] == [
            (Side.UPSTREAM, "f", fate)
        ]


@pytest.mark.parametrize("path", ["new", "f"])
def test_what_somebody_else_removed_was_not_removed_by_the_fork(repo: Repo, path: str) -> None:
    """The merging person did, or nobody knowingly: the fork has the file, or never had it."""
    sides(repo, {"f": TEXT}, {"g": TEXT}, {path: at(9, FUNCTION)})
    repo.merge("theirs", {path: None})
    assert told(account(repo, by=by(REMOVED))) == [(Side.UPSTREAM, path, LOST)]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [('version = "1.2.3"\n', DROPPED), ('version = "1.2.3"\nname = "of the project"\n', LOST)],
)
def test_a_lost_fork_line_is_dropped_by_the_version_rule_only_if_it_is_a_version(
    repo: Repo, lines: str, expected: Fate
) -> None:
    sides(repo, {"a/b": TEXT}, {"a/b": at(2, lines)}, {"a/b": at(9, UPSTREAM)})
    repo.merge("theirs", {"a/b": at(9, UPSTREAM)})
    assert told(account(repo, by=by(VERSION))) == [(Side.FORK, "a/b", expected)]


# --- Histories -----------------------------------------------------------------------------------


def test_a_criss_cross_merge_with_two_bases_is_accounted_for(repo: Repo) -> None:
    start = {"f": TEXT, "g": TEXT}
    sides(repo, start, {"f": at(2, FORK)}, {"g": at(9, UPSTREAM)})
    first = {side: repo.git("rev-parse", side) for side in ("ours", "theirs")}
    repo.on("ours").merge(first["theirs"])
    repo.on("theirs").merge(first["ours"])
    repo.on("ours").commit({"f": at(2, FORK) + FUNCTION})
    repo.on("theirs").commit({"h": TEXT})
    assert len(repo.git("merge-base", "--all", "ours", "theirs").split()) == 2
    repo.git("branch", "--force", "result", "ours")
    repo.on("result").merge("theirs")
    assert told(account(repo)) == []
    repo.commit({"f": at(2, FORK)})
    assert told(account(repo)) == [(Side.FORK, "f", LOST)]


def test_unrelated_histories_are_accounted_for(repo: Repo) -> None:
    repo.commit({"f": at(2, FORK), "both": TEXT, "of ours": FUNCTION})
    repo.git("branch", "ours")
    repo.git("switch", "--quiet", "--orphan", "theirs")
    repo.commit({"f": at(9, UPSTREAM), "both": TEXT, "of theirs": FUNCTION})
    both = {"f": at(2, FORK, at(9, UPSTREAM).splitlines(keepends=True))}
    repo.on("result", "ours").merge("theirs", both, "--allow-unrelated-histories")
    assert told(account(repo)) == []
    repo.commit({"of ours": None, "of theirs": None})
    assert told(account(repo)) == [(Side.FORK, "of ours", LOST), (Side.UPSTREAM, "of theirs", LOST)]


def test_a_healed_history_does_not_report_upstreams_hunks_as_the_forks(repo: Repo) -> None:
    """A healed history has the true ancestor, so upstream's hunks are not taken for ours."""
    repo.commit({"f": TEXT})
    repo.on("theirs", "base").commit({"f": at(9, UPSTREAM)})
    repo.on("ours", "base").squash(
        "theirs", {"f": at(2, FORK, at(9, UPSTREAM).splitlines(True))}, "x"
    )
    healed = repo.git("commit-tree", "ours^{tree}", "-p", "ours", "-p", "theirs", "-m", "x")
    repo.on("theirs").commit({"f": TEXT})
    repo.on("result", "ours").commit({"f": at(2, FORK)})
    sh = shell()
    own = authorship.read(sh, repo.path, "ours", ["theirs"])
    assert len(told(ledger.read(sh, repo.path, "ours", "theirs", "result", own, PLAIN))) == 1
    assert told(ledger.read(sh, repo.path, healed, "theirs", "result", own, PLAIN)) == []


# --- Unusual names and texts ---------------------------------------------------------------------

NAMES = [
    "a b",
    'q"uote',
    "it's",
    "tab\there",
    "new\nline",
    "\nfirst",
    "trailing ",
    "ümlaut",
    "caf\udce9",
    "-x",
    "*",
    ":(top)f",
    ":!f",
    "#x",
    "a:b",
    "a\\b",
    "soh\1soh",
    "{repo}",
]


@pytest.mark.parametrize("name", NAMES)
def test_unusual_file_names_are_accounted_for(repo: Repo, name: str) -> None:
    """Lost, missing, back, moved, renamed: every report about a name."""
    base = {name: TEXT, f"gone/{name}": TEXT, f"old/{name}": at(9, UPSTREAM)}
    home = "".join(reversed(LINES))
    ours = {name: at(3, FUNCTION), f"gone/{name}": None, f"old/{name}": FORK + at(9, UPSTREAM)}
    theirs = {f"old/{name}": None, f"away/{name}": at(9, UPSTREAM), f"home/{name}": home}
    sides(repo, base, {**ours, f"new/{name}": FUNCTION * 2}, theirs)
    result: Files = {name: TEXT, f"gone/{name}": TEXT, f"new/{name}": None}
    repo.merge("theirs", {**result, **theirs, f"home/{name}": home + FUNCTION})
    fates = (LOST, SUPERSEDED, MOVED)
    found = [(e.path, e.where, e.account.fate) for e in account(repo).entries]
    assert sorted(entry for entry in found if entry[2] in fates) == sorted(
        [
            (name, f"home/{name}", MOVED),
            (f"gone/{name}", f"gone/{name}", LOST),
            (f"new/{name}", f"home/{name}", MOVED),
            (f"old/{name}", f"away/{name}", LOST),
        ]
    )


@pytest.mark.parametrize(
    "line",
    [
        "carriage_return = at_the_end()\r\n",
        "no_line_end = at_the_end()",
        "-- dashes_first = as_of_an_option()\n",
        "caf\udce9 = bytes_that_are_no_utf8()\n",
        "größe = letters_of_other_tongues()\n",
        "@@ -1,2 +3,4 @@ looks_like_a_hunk()\n",
        "+added_looking_line = of_a_patch()\n",
        "\\ No newline at end of file, says a line\n",
        "form_feed\x0c = inside_the_line()\n",
        "separator\u2028 = inside_the_line()\n",
        "$(echo shell) `words` 'quoted' \"twice\"\n",
        "regular.*expression = [a-z]+$ ^start\n",
        "x" * 8000 + " is_a_long_line()\n",
        " ".join(f"word{n}" for n in range(40_000)) + "\n",
    ],
)
def test_unusual_lines_are_accounted_for(repo: Repo, line: str) -> None:
    """Kept, lost and moved. A last line without a line end counts, too."""
    ours, theirs = {"f": TEXT + line}, {"f": at(2, UPSTREAM), "g": TEXT}
    sides(repo, {"f": TEXT, "g": FORK}, ours, theirs)
    repo.merge("theirs")
    assert told(account(repo)) == []
    repo.commit({"f": theirs["f"]})
    assert told(account(repo)) == [(Side.FORK, "f", LOST)]
    repo.commit({"g": TEXT + line})
    (entry,) = (e for e in account(repo).entries if e.account.fate in (LOST, SUPERSEDED, MOVED))
    assert (entry.path, entry.where, entry.account.fate) == ("f", "g", MOVED)


@pytest.mark.parametrize("end", ["", "\n"])
def test_a_base_without_a_final_newline_is_accounted_for(repo: Repo, end: str) -> None:
    """Git's note about it is not one of the lines."""
    last, more = LINES[-1].strip(), FORK.strip()
    sides(repo, {"f": TEXT[:-1]}, {"f": TEXT + more + end}, {"f": at(2, UPSTREAM)[:-1]})
    repo.merge("theirs", {"f": at(2, UPSTREAM)[:-1]})
    (entry,) = account(repo).lost
    change = Change(len(LINES), len(LINES), removed=(last,), added=(last, more))
    assert entry.account == Account(change, LOST, missing=(more,), traceless=(more,))


def test_a_text_with_a_nul_far_inside_is_text_for_git(repo: Repo) -> None:
    line = "nul\0 = inside_of_the_line()\n"
    sides(repo, {"f": TEXT * 60}, {"f": TEXT * 60 + line}, {"g": TEXT})
    repo.merge("theirs", {"f": TEXT * 60})
    assert told(account(repo)) == [(Side.FORK, "f", LOST)]


def test_line_ends_that_upstream_changed_do_not_matter(repo: Repo) -> None:
    def crlf(text: str) -> bytes:
        return text.replace("\n", "\r\n").encode()

    base, ours, theirs = {"f": TEXT}, {"f": at(2, FUNCTION)}, {"f": crlf(at(9, UPSTREAM))}
    both = at(2, FUNCTION, at(9, UPSTREAM).splitlines(keepends=True))
    assert merged(repo, base, ours, theirs, {"f": crlf(both)}) == []
    repo.commit({"f": theirs["f"]})
    assert told(account(repo)) == [(Side.FORK, "f", LOST)]


SETTINGS = {
    "color.grep": "always",
    "color.ui": "always",
    "core.abbrev": "4",
    "core.quotePath": "true",
    "diff.algorithm": "patience",
    "diff.context": "9",
    "diff.external": "false",
    "diff.interHunkContext": "9",
    "diff.noprefix": "true",
    "diff.renameLimit": "1",
    "diff.renames": "false",
    "grep.column": "true",
    "grep.fullName": "false",
    "grep.lineNumber": "true",
    "grep.patternType": "perl",
    "log.showRoot": "false",
    "log.showSignature": "true",
    "submodule.recurse": "true",
}


def test_git_settings_do_not_change_the_ledger(repo: Repo) -> None:
    """Not even the limit of renames that git detects."""
    base = {f"old{n}": at(n, f"the_file_of_number_{n}()\n") for n in range(3)}
    ours = {"f": at(2, FUNCTION), "h": FUNCTION * 2, "old1": at(5, FORK)}
    theirs = {f"new{n}": f"{base[f'old{n}']}a_change_of_upstreams()\n" for n in range(3)}
    sides(repo, {"f": TEXT, "g": TEXT, **base}, ours, {**theirs, **dict.fromkeys(base)})
    repo.merge("theirs", {"f": TEXT, "g": TEXT + FUNCTION, "h": None})
    expected = account(repo)
    assert told(expected) == [(Side.FORK, "f", MOVED), (Side.FORK, "h", MOVED)]
    matters = []
    for key, value in SETTINGS.items():
        repo.git("config", key, value)
        if account(repo) != expected:
            matters.append(key)
        repo.git("config", "--unset", key)
    assert matters == []


def test_the_ledger_is_the_same_from_a_subdirectory(repo: Repo) -> None:
    sides(repo, {"sub/f": TEXT, "g": TEXT}, {"sub/f": at(2, FUNCTION)}, {"h": TEXT})
    repo.merge("theirs", {"sub/f": TEXT, "g": TEXT + FUNCTION})
    found = [account(place) for place in (repo, Repo(repo.path / "sub"))]
    assert found[0] == found[1]
    assert told(found[0]) == [(Side.FORK, "sub/f", MOVED)]


def test_reading_leaves_the_checkout_and_refs_unchanged(repo: Repo) -> None:
    sides(repo, {"f": TEXT}, {"f": at(2, FORK)}, {"f": at(9, UPSTREAM)})
    repo.merge("theirs", {"f": at(9, UPSTREAM)})
    (repo.path / "f").write_text("in the middle of work\n")
    before = repo.state()
    account(repo)
    assert repo.state() == before


# --- Any small tree ------------------------------------------------------------------------------


@st.composite
def trees(draw: st.DrawFn) -> list[tuple[list[list[str]], list[list[str]]]]:
    """Files: the text between the changes, and each change with its side and lines."""
    number = 0

    def some(least: int, most: int) -> list[str]:
        nonlocal number
        count = draw(st.integers(least, most))
        number += count
        return [f"{n * 7919:08x}_{n} ({n * 104729:09x})\n" for n in range(number - count, number)]

    files = []
    for _ in range(draw(st.integers(1, 4))):
        edits = [
            [draw(st.sampled_from(["ours", "theirs"])), *some(1, 3)]
            for _ in range(draw(st.integers(0, 3)))
        ]
        files.append(([some(3, 5) for _ in range(len(edits) + 1)], edits))
    return files


def written(
    tree: list[tuple[list[list[str]], list[list[str]]]], *of: str, without: Sequence[str] = ()
) -> Files:
    """The files with the changes of some sides, each of which replaces a line."""
    files = {}
    for number, (between, edits) in enumerate(tree):
        lines = list(between[0])
        for (side, *added), after in zip(edits, between[1:], strict=True):
            lines += [x for x in added if x not in without] if side in of else []
            lines += after[1:] if side in of and len(added) > 1 else after
        files[f"dir/file {number}"] = "".join(lines)
    return files


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tree=trees(), data=st.data())
def test_nothing_is_lost_by_a_clean_merge_and_what_is_taken_out_is(
    tmp_path_factory: pytest.TempPathFactory,
    tree: list[tuple[list[list[str]], list[list[str]]]],
    data: st.DataObject,
) -> None:
    repo = Repo.new(tmp_path_factory.mktemp("random") / "repo")
    sides(repo, written(tree), written(tree, "ours"), written(tree, "theirs"))
    repo.merge("theirs")
    assert {path: repo.text(path) for path in written(tree)} == written(tree, "ours", "theirs")
    assert told(account(repo)) == []
    own = [
        (f"dir/file {number}", edit[1:])
        for number, (_, edits) in enumerate(tree)
        for edit in edits
        if edit[0] == "ours"
    ]
    if own:
        path, lines = data.draw(st.sampled_from(own))
        repo.commit(written(tree, "ours", "theirs", without=lines))
        assert told(account(repo)) == [(Side.FORK, path, LOST)]
