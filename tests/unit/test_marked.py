"""What the page shows of hunks."""

from __future__ import annotations

import math
import re

import pytest

from carto_fork.audit.fates import Account, Fate
from carto_fork.fork.policy import Kind
from carto_fork.merge.decisions import Decision
from carto_fork.merge.hunks import Change, Conflict, Texts
from carto_fork.upgrade import marked

HUNK = "<<<<<<< ours\nfork {n}\n||||||| base\nold {n}\n=======\nup {n}\n>>>>>>> theirs\n"
MERGED = "one\n" + HUNK.format(n=1) + "same\nsame\n" + HUNK.format(n=2) + "end\n"


def results(result: str | None, merged: str = MERGED, decided: bool = False) -> list[str]:
    became = ((("up 1\n",), "rule"), None) if decided else ()
    conflict = Conflict("a.txt", Kind.CONTENT, None, None, None, text=merged)
    found = marked.shown(Decision(conflict, None, "", "", became=became), result)
    panes = [{side["name"]: str(side["text"]) for side in hunk["sides"]} for hunk in found]
    last = "result" if result is not None else "would become"
    return [re.sub("<.*?>", "", pane.get(last, "-")) for pane in panes]


@pytest.mark.parametrize(
    ("result", "first", "second"),
    [
        ("one\nup 1\nsame\nsame\nfork 2\nend\n", "up 1", "fork 2"),
        # What is around a hunk changed as well, so that its place is not certain.
        ("one\nup 1\nsame\nother\nfork 2\nand\nend\n", "up 1", "fork 2\nand"),
        ("one\nup 1\nsame\nsame\nsame\nfork 2\n", "up 1", "fork 2"),
    ],
)
def test_what_became_of_each_hunk_is_shown(result: str, first: str, second: str) -> None:
    one, other = results(result)
    assert (first in one, second in other) == (True, True)
    assert second not in one.split("same")[0]  # which is what follows it in the result


def test_before_the_merge_only_what_is_decided_is_shown() -> None:
    one, other = results(None, decided=True)
    assert ("up 1" in one, other) == (True, "-")


def test_hunks_are_described_by_lines() -> None:
    mine = [Change(3, 3, ("a", "b"), ("c",)), Change(20, 19, (), ("x", "y"))]
    assert marked.ranges(mine) == "3, 19-20"
    assert marked.added(mine) == ["    3 c", "   19 x", "   20 y"]
    assert marked.changes(mine[:1], "x") == ["@@ line 3 of x", "- a", "- b", "+ c"]
    assert marked.apart(mine, [Change(12, 12, ("q",), ())]) == 7
    assert marked.apart(mine, [Change(1, 1, ("q",) * 9, ())]) == 0
    assert marked.apart(mine, []) == math.inf


def test_each_side_is_shown_with_the_lines_of_its_own_file() -> None:
    """Git merges the lines around a hunk; the fork's comment is not in upstream's pane."""
    sides = [f"{above}\nsame\n{hunk}\nend\n" for above, hunk in zip("bft", "123", strict=True)]
    merged = "f\nsame\n<<<<<<< ours\n2\n||||||| base\n1\n=======\n3\n>>>>>>> theirs\nend\n"
    conflict = Conflict("a", Kind.CONTENT, None, None, None, text=merged, texts=Texts(*sides))
    [hunk] = marked.shown(Decision(conflict, None, "", ""), "f\nsame\n2\nand\nend\n")
    panes = [re.sub("<.*?>", "", str(side["text"])) for side in hunk["sides"]]
    assert panes == [*sides, "f\nsame\n2\nand\nend\n"]
    assert ([side["line"] for side in hunk["sides"]], hunk["took"]) == ([3] * 4, "its own text")


def test_what_is_gone_is_shown_where_it_was_and_with_what_is_there_now() -> None:
    side = ["def loads(config):", "    a = 1", "    b = 2", "    c = 3", "end of the function"]
    account = Account(Change(1, 2, (), tuple(side[1:4])), Fate.SUPERSEDED, missing=("    b = 2",))
    result = ["def loads(config):", "    b = 3", "end of the function"]
    assert marked.gone(account, side, result, "x") == [
        "@@ line 2 of x",
        "  def loads(config):",
        "      a = 1",
        "-     b = 2",
        "      c = 3",
        "=     b = 3",
        "  end of the function",
    ]


def test_the_names_that_lost_lines_defined_are_known() -> None:
    lines = ["\tLogger = log.New()", "func (c *Config) Validate() error {", "export const user = 1"]
    assert marked.defined([*lines, "    local = 1", "x == 2"]) == {"Logger", "Validate", "user"}


def test_what_is_there_in_another_form_is_told_from_what_is_nowhere() -> None:
    lines = ("    b = two_of(x)", "    c = 3", "    # nowhere")
    account = Account(
        Change(1, 2, (), lines), Fate.LOST, missing=(lines[0], lines[2]), traceless=(lines[2],)
    )
    side = ["def loads(config):", *lines]
    assert marked.gone(account, side, [], "x")[2:] == [
        f"~ {lines[0]}",
        f"  {lines[1]}",
        f"- {lines[2]}",
    ]


def test_what_was_decided_is_shown_beside_what_it_became() -> None:
    conflict = Conflict("a.txt", Kind.CONTENT, None, None, None, text=MERGED)
    decision = Decision(conflict, None, "", "", became=((("up 1\n",), "a rule"), None))
    first, second = marked.shown(decision, "one\nown 1\nsame\nsame\nfork 2\nend\n")
    assert [side["name"] for side in first["sides"]][3:] == ["result", "as decided"]
    assert "<mark>up</mark> 1" in first["sides"][4]["text"]
    assert first["because"] == "a rule decides it, but the result has something else"
    assert [side["name"] for side in second["sides"]][3:] == ["result"]
    same, _ = marked.shown(decision, "one\nup 1\nsame\nsame\nfork 2\nend\n")
    assert (same["because"], len(same["sides"])) == ("a rule", 4)


def test_a_hunk_that_is_in_the_result_with_its_markers_is_no_resolution() -> None:
    conflict = Conflict("a.txt", Kind.CONTENT, None, None, None, text=MERGED)
    first, _ = marked.shown(Decision(conflict, None, "", ""), MERGED)
    assert first["took"] == "a conflict still"
    added = [Change(1, 1, (), ("<<<<<<< ours", "fork 1", ">>>>>>> theirs"))]
    assert marked.added(added) == ["    2 fork 1"]
