"""Whether upstream adopted the fork's change and continued from there."""

from __future__ import annotations

import pytest

from carto_fork.merge.absorbed import History, Past
from carto_fork.merge.hunks import Commit, Hunk

COMMIT = Commit("1" * 40, "2026-01-01", "feat: what the fork has")
BASE = ("scheduler.start(everything)",)
OURS = ("scheduler.start(everything, paused=False)", "scheduler.log(settings, grace=3600)")
THEIRS = ("scheduler.start(everything, paused=False)", "scheduler.log(settings, grace=GRACE)")


def taker(
    base: tuple[str, ...] = BASE,
    ours: tuple[str, ...] = OURS,
    theirs: tuple[str, ...] = THEIRS,
    then: tuple[str, ...] = OURS,
    older: tuple[str, ...] = (),
) -> Commit | None:
    """The commit that once had a text, as `History` finds it."""
    past = Past([(COMMIT, "\n".join(["above", *then, "below"]))], frozenset(older))
    hunk = Hunk(ours, base, theirs, 1, ())
    return History({"a.py": past}).taker("a.py", hunk, "\n".join(["above", *base, "below"]))


def test_a_change_that_upstream_adopted_and_changed_since_is_upstreams() -> None:
    assert taker() == COMMIT
    # Indentation and blank lines do not matter.
    assert taker(then=tuple(f"    {line}" for line in OURS)) == COMMIT
    # A release that others count is no number of the file's own.
    for words in (
        "FROM golang:1.{}",
        "uses: actions/checkout@v{}",
        "image: node-{}",
        "require v{}.2.1",
    ):
        one, two, three = (words.format(number) for number in (7, 8, 9))
        assert taker((one,), (two,), (three,), (two,)) == COMMIT


@pytest.mark.parametrize(
    "case",
    [
        # Upstream never had all of it, or kept what the fork removed.
        {"then": OURS[:1]},
        {"then": (*OURS, *BASE)},
        # It reverted since, or removed what it had adopted.
        {"theirs": BASE},
        {"theirs": (*BASE, OURS[1])},
        {"theirs": OURS[:1]},
        {"theirs": ()},
        {"theirs": ("another(thing, that, is_like, nothing_of_it)",)},
        # The fork reverted to what upstream had before the common ancestor.
        {"older": OURS},
        # Both take the next number of a count, each for something of its own.
        *(
            {"base": (one,), "ours": (two,), "then": (two,), "theirs": (three,)}
            for one, two, three in (
                ("  version = DB_VER_7", "  version = DB_VER_8", "  version = DB_VER_9"),
                ("import a.MIGRATION_6_7;", "import a.MIGRATION_7_8;", "import a.MIGRATION_8_9;"),
                ("steps(STEP_1)", "steps(STEP_1, STEP_2)", "steps(STEP_1, STEP_2, STEP_3)"),
                ("revision: 0009", "revision: 0010", "revision: 0011"),
            )
        ),
        # Nothing that can be recognised.
        {"ours": ("}",), "then": ("}",), "theirs": ("})",)},
    ],
)
def test_other_changes_do_not_count_as_adopted(case: dict[str, tuple[str, ...]]) -> None:
    assert taker(**case) is None


def test_a_file_without_a_past_has_no_taker() -> None:
    assert History().taker("a.py", Hunk(OURS, BASE, THEIRS, 1, ()), "") is None
