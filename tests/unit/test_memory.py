"""Earlier resolutions of conflicts: learnt from merged text and result, found by hunk."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carto_fork.merge import hunks
from carto_fork.merge.hunks import Hunk
from carto_fork.merge.memory import Memory, Seen
from carto_fork.run.text import lines_of


def text(letters: str) -> str:
    """A line for each letter; a blank line for each blank."""
    return "".join("\n" if letter == " " else f"{letter}\n" for letter in letters)


def marked(ours: str, base: str, theirs: str) -> str:
    parts = f"<<<<<<< HEAD\n{text(ours)}||||||| base\n{text(base)}=======\n{text(theirs)}"
    return f"{parts}>>>>>>> tag\n"


def hunk(ours: str, base: str, theirs: str) -> Hunk:
    (found,) = hunks.parse(marked(ours, base, theirs)) or []
    assert isinstance(found, Hunk)
    return found


ONE, TWO = ("o", "b", "t"), ("p", "c", "u")


def learnt(merged: str, result: str) -> Memory:
    memory = Memory()
    memory.learn("f", merged, result, "1234567890")
    return memory


def found(memory: Memory, *sides: tuple[str, str, str]) -> list[str | None]:
    """How some hunks were resolved."""
    seen = [memory.find("f", hunk(*side)) for side in sides]
    return [None if one is None else "".join(one.lines) for one in seen]


# --- Learning ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after", "became"),
    [
        ("wx", "yz", "o"),
        ("wx", "yz", "t"),
        ("wx", "yz", "ot"),
        ("wx", "yz", ""),
        ("wx", "yz", "neither of them"),
        ("", "yz", "o"),
        ("wx", "", "o"),
        ("", "", "o"),
        ("", "", ""),
        ("wx", " yz", "a b"),
    ],
)
def test_the_resolution_of_a_hunk_is_learnt_from_the_merge_result(
    before: str, after: str, became: str
) -> None:
    merged = text(before) + marked(*ONE) + text(after)
    memory = learnt(merged, text(before) + text(became) + text(after))
    expected = Seen(tuple(lines_of(text(became))), "1234567890")
    assert memory.find("f", hunk(*ONE)) == expected


@pytest.mark.parametrize(
    ("path", "sides"),
    [("g", ONE), ("f", TWO), ("f", ("o", "b", "")), ("f", ("o", "", "t")), ("f", ("t", "b", "o"))],
)
def test_a_hunk_is_found_only_with_the_same_path_and_sides(
    path: str, sides: tuple[str, str, str]
) -> None:
    memory = learnt(marked(*ONE), text("o"))
    assert memory.find(path, hunk(*sides)) is None


def test_a_hunk_is_the_same_wherever_it_stands_and_whatever_its_markers_say() -> None:
    memory = learnt(marked(*ONE), text("o"))
    other = text("w" * 9) + marked(*ONE).replace("HEAD", "ours").replace("tag", "v2")
    (_, again) = hunks.parse(other) or []
    assert isinstance(again, Hunk)
    assert memory.find("f", again) == Seen(("o\n",), "1234567890")


def test_a_hunk_without_a_base_section_is_learnt() -> None:
    plain = marked(*ONE).replace(f"||||||| base\n{text('b')}", "")
    (segment,) = hunks.parse(plain) or []
    assert isinstance(segment, Hunk) and segment.base is None
    assert learnt(plain, text("t")).find("f", segment) == Seen(("t\n",), "1234567890")


def test_several_hunks_of_one_file_are_learnt() -> None:
    memory = learnt(f"{text('w')}{marked(*ONE)}{text('xyz')}{marked(*TWO)}", text("wttxyzp"))
    assert found(memory, ONE, TWO) == ["t\nt\n", "p\n"]


def test_a_resolution_without_a_final_newline_is_learnt() -> None:
    assert found(learnt(text("w") + marked(*ONE), "w\no"), ONE) == ["o"]


# --- Ambiguous resolutions are unknown -----------------------------------------------------------


@pytest.mark.parametrize("order", [("o", "t"), ("o", "t", "o"), ("t", "o", "o")])
def test_a_hunk_resolved_in_two_ways_is_forgotten(order: tuple[str, ...]) -> None:
    """Even if one of them occurs again."""
    memory = Memory()
    for number, became in enumerate(order):
        memory.learn("f", marked(*ONE), text(became), f"merge {number}")
    assert found(memory, ONE) == [None]


def test_one_hunk_resolved_in_two_ways_in_one_file_is_not_learnt() -> None:
    merged = f"{marked(*ONE)}{text('xyz')}{marked(*ONE)}"
    assert found(learnt(merged, text("oxyzo")), ONE) == ["o\n"]
    assert found(learnt(merged, text("oxyzt")), ONE) == [None]


@pytest.mark.parametrize(
    ("merged", "result"),
    [
        # The text around it was changed, too.
        (text("wx") + marked(*ONE) + text("yz"), text("woyz")),
        (text("wx") + marked(*ONE) + text("yz"), text("wxoz")),
        # There is nothing between two hunks.
        (marked(*ONE) + marked(*TWO), text("op")),
        # No text with markers, or with broken ones.
        (text("wx"), text("wx")),
        (marked(*ONE) + "<<<<<<< HEAD\n", text("o")),
        (marked(*ONE).replace("=======\n", ""), text("o")),
    ],
)
def test_an_unclear_resolution_is_not_learnt(merged: str, result: str) -> None:
    assert learnt(merged, result).seen == {}


def test_hunks_before_an_ambiguous_place_are_still_learnt() -> None:
    merged = f"{marked(*ONE)}{text('wxyz')}{marked(*TWO)}{text('end')}"
    assert found(learnt(merged, text("owxyzpEND")), ONE, TWO) == ["o\n", None]


# --- Where a hunk ends ---------------------------------------------------------------------------


def test_hunks_separated_by_one_blank_line_are_learnt() -> None:
    """The end of a line does not count as a blank line."""
    memory = learnt(f"{marked(*ONE)}\n{marked(*TWO)}", "first of it\n\nsecond of it\n")
    assert found(memory, ONE, TWO) == ["first of it\n", "second of it\n"]


def test_what_follows_a_hunk_is_not_found_inside_of_a_line() -> None:
    assert found(learnt(f"{marked(*ONE)}pass\n", "no bypass\npass\n"), ONE) == ["no bypass\n"]


def test_what_goes_before_a_hunk_is_not_found_inside_of_a_line() -> None:
    merged = f"{marked(*ONE)}xyz\n{marked(*TWO)}"
    assert found(learnt(merged, "not xyz\nxyz\nlast\n"), ONE, TWO) == ["not xyz\n", "last\n"]


def test_a_context_line_that_occurs_twice_does_not_mark_the_end_of_a_hunk() -> None:
    """The person's own lines contain a blank line, too."""
    memory = learnt(f"{marked(*ONE)}\n{marked(*TWO)}", text("a b c"))
    assert found(memory, ONE, TWO) == [None, None]


def test_nothing_is_learnt_if_text_was_inserted_before_the_first_line() -> None:
    """Its old place is not next to the hunk's neighbours."""
    memory = learnt(text("w") + marked(*ONE) + text("z"), text("owz") + text("wtz"))
    assert found(memory, ONE) == [None]


# --- Any merge -----------------------------------------------------------------------------------


LINES = st.lists(st.sampled_from(["a\n", "b\n", "\n", "ab\n", "  a\n"]), max_size=4)


@given(st.lists(st.tuples(LINES, LINES), min_size=1, max_size=4), LINES)
def test_a_hunk_is_learnt_as_it_was_resolved_or_not_at_all(
    pieces: list[tuple[list[str], list[str]]], end: list[str]
) -> None:
    """Each hunk has different sides, so none is learnt from another one."""
    merged, result = "", ""
    for number, (before, became) in enumerate(pieces):
        merged += "".join(before) + marked(str(number), "", "")
        result += "".join(before) + "".join(became)
    memory = learnt(merged + "".join(end), result + "".join(end))
    for number, (_, became) in enumerate(pieces):
        (known,) = found(memory, (str(number), "", ""))
        assert known in (None, "".join(became))


@given(st.lists(LINES, min_size=1, max_size=4))
def test_every_hunk_is_learnt_if_the_lines_between_hunks_are_unique(
    pieces: list[list[str]],
) -> None:
    merged, result = "", ""
    for number, became in enumerate(pieces):
        between = f"only_here_{number}\n"
        merged += between + marked(str(number), "", "")
        result += between + "".join(became)
    memory = learnt(merged, result)
    sides = [(str(number), "", "") for number in range(len(pieces))]
    assert found(memory, *sides) == ["".join(became) for became in pieces]
