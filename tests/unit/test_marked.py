"""What the page shows of hunks."""

from __future__ import annotations

import math
import re

import pytest

from carto_fork.fork.policy import Kind
from carto_fork.merge.decisions import Decision
from carto_fork.merge.hunks import Change, Conflict
from carto_fork.upgrade import marked

HUNK = "<<<<<<< ours\nfork {n}\n||||||| base\nold {n}\n=======\nup {n}\n>>>>>>> theirs\n"
MERGED = "one\n" + HUNK.format(n=1) + "same\nsame\n" + HUNK.format(n=2) + "end\n"


def results(result: str | None, merged: str = MERGED, decided: bool = False) -> list[str]:
    became = ((("up 1\n",), "rule"), None) if decided else ()
    conflict = Conflict("a.txt", Kind.CONTENT, None, None, None, text=merged)
    found = marked.shown(Decision(conflict, None, "", "", became=became), result)
    panes = [{side["name"]: str(side["text"]) for side in hunk["sides"]} for hunk in found]
    last = "result" if result is not None else "what it would become"
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
    assert second not in one


def test_before_the_merge_only_what_is_decided_is_shown() -> None:
    one, other = results(None, decided=True)
    assert ("up 1" in one, other) == (True, "-")


def test_hunks_are_described_by_lines() -> None:
    mine = [Change(3, 3, ("a", "b"), ("c",)), Change(20, 19, (), ("x", "y"))]
    assert marked.ranges(mine) == "3, 19-20"
    assert marked.added(mine) == ["    3 c", "   19 x", "   20 y"]
    assert marked.changes(mine[:1]) == ["@@ line 3", "- a", "- b", "+ c"]
    assert marked.apart(mine, [Change(12, 12, ("q",), ())]) == 7
    assert marked.apart(mine, [Change(1, 1, ("q",) * 9, ())]) == 0
    assert marked.apart(mine, []) == math.inf
