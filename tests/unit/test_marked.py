"""What the page shows of hunks."""

from __future__ import annotations

import math
import re

import pytest

from carto_fork.audit.fates import Account, Fate
from carto_fork.audit.ledger import Entry
from carto_fork.fork.policy import Kind, Side
from carto_fork.merge.decisions import Decision
from carto_fork.merge.hunks import Change, Conflict, Hunk, Texts
from carto_fork.upgrade import effects, lacks, marked, missing
from carto_fork.upgrade.effects import Effect
from carto_fork.upgrade.sides import near_lines

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
    parts = ((3, ("c",)), (19, ("x", "y")))
    assert marked.runs({3: "c", 19: "x", 20: "y"}) == [Change(0, n, added=x) for n, x in parts]
    assert marked.changes(mine[:1], "x") == ["@@ line 3 of x", "- a", "- b", "+ c"]
    assert marked.apart(mine, [Change(12, 12, ("q",), ())]) == 7
    assert marked.apart(mine, [Change(1, 1, ("q",) * 9, ())]) == 0
    # Of what only adds, git names the line above: line 21 is between these.
    assert marked.apart(mine, [Change(22, 22, ("q",), ())]) == 1
    assert marked.apart(mine, [Change(21, 21, ("q",), ())]) == 0
    assert marked.apart(mine, []) == math.inf
    # What both sides changed alike is not near: it is the same.
    assert marked.apart(mine, [*mine, Change(40, 40, ("q",), ())]) == math.inf
    assert marked.apart([*mine, Change(44, 44, ("r",), ())], [*mine, Change(40, 40, ("q",))]) == 3


def test_many_files_of_a_kind_in_a_directory_are_one_line() -> None:
    found = [(0.0, f"i18n/{name}.json", "3") for name in "abcdef"]
    found += [(1.0, "src/a.ts", "3-5"), (2.0, "src/b.ts", ""), (0.0, "src/c.ts", "9")]
    assert list(near_lines(found)) == [
        "i18n/: 6 files *.json, such as a.json",
        "src/a.ts: 1 line away from the fork's lines 3-5",
        "src/b.ts: 2 lines away from lines that the fork removed",
        "src/c.ts: touches the fork's lines 9",
    ]


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
    assert lacks.lines(account, side, result, "x") == [
        "@@ line 2 of x",
        "  def loads(config):",
        "/     a = 1",
        "-     b = 2",
        "/     c = 3",
        "=     b = 3",
        "  end of the function",
    ]
    # What the other side made of what is gone was never there before.
    change = Change(2, 2, ("    b = 2",), ())
    for back, mark in (("    b = 2", "+"), ("    b = 4", "*")):
        shown = lacks.lines(Account(change, Fate.LOST, back=(back,)), side, side, "x")
        assert f"{mark} {back}" in shown and mark in lacks.LEGEND
        said = missing._said(shown, Side.FORK, Fate.LOST, Effect.CODE)
        made = "with *, which upstream made of what the fork removed"
        assert (made in said, "again, which the fork removed" in said) == (mark == "*", mark == "+")


def test_lines_around_a_change_say_whether_the_result_has_them() -> None:
    side, line = ["kept above", "gone above", "a change", "gone below", "kept below"], ("a change",)
    account = Account(Change(2, 3, (), line), Fate.LOST, missing=line, traceless=line)
    shown = lacks.lines(account, side, ["kept above", "kept below"], "x")
    assert shown[1:] == [
        "  kept above",
        "/ gone above",
        "- a change",
        "/ gone below",
        "  kept below",
    ]
    assert {line[0] for line in shown[1:]} <= lacks.LEGEND.keys()
    # Without a result, nothing is said of them.
    assert not [line for line in lacks.lines(account, side, None, "x") if line.startswith("/")]


def test_a_line_without_a_mark_is_in_the_result() -> None:
    """Also one that the account does not count, because the other side removed its own copy."""
    lines = ("a_first = 1  # of it", "other_side(1, 2)", "formatted( 1,2 )", "}")
    account = Account(
        Change(1, 2, (), lines), Fate.LOST, missing=(lines[0], lines[3]), traceless=(lines[0],)
    )
    shown = lacks.lines(account, ["top", *lines, "end"], ["top", "formatted(1, 2)", "end"], "x")
    assert shown[1:] == [
        "  top",
        f"- {lines[0]}",
        f"/ {lines[1]}",
        f"~ {lines[2]}",
        "> formatted(1, 2)",
        "~ }",  # it says too little to be somewhere, and goes with the line before it
        "  end",
    ]


def test_a_rewritten_line_is_shown_with_the_line_that_it_became() -> None:
    old = "all = (html.root()[0] as cheerio.TagElement).children.every((elm) => {"
    new = "all = [...html.children].every((elm) => {"
    account = Account(Change(1, 2, (), (old,)), Fate.SUPERSEDED, missing=(old,))
    result = ["top of it", "something.else(entirely);", new, "end of it"]
    shown = lacks.lines(account, ["top of it", old, "end of it"], result, "x")
    assert shown[2:4] == [f"~ {old}", f"> {new}"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("    margin-top: -10px;", "    margin-right: 15px;"),
        ("    margin-right: 10px;", "        margin-right: 15px;"),
        ("    border-radius: $border-radius-3px;", "    --body-border-radius: $border-radius-8px;"),
        (
            '    href="https://it.org/licenses/by-sa/4.0/"',
            '  href="https://it.org/public/zero/1.0/"',
        ),
    ],
)
def test_a_line_that_is_only_like_another_is_not_shown_as_its_new_form(old: str, new: str) -> None:
    account = Account(Change(1, 2, (), (old,)), Fate.SUPERSEDED, missing=(old,))
    shown = lacks.lines(account, ["top of it", old, "end of it"], ["top of it", "x", new], "x")
    assert shown[2] == f"~ {old}" and not [line for line in shown if line.startswith("> ")]


def test_of_several_lines_the_likest_is_shown() -> None:
    old = '<circle cx="10" cy="10" r="1.5" fill="#212121"/>'
    new = [f'<circle cx="{x}" cy="10" r="1.5" fill="currentColor"/>' for x in ("15.5", "10", "4")]
    account = Account(Change(1, 2, (), (old,)), Fate.SUPERSEDED, missing=(old,))
    assert f"> {new[1]}" in lacks.lines(account, ["top", old, "end"], ["top", *new, "end"], "x")


def test_lines_that_a_merge_has_twice_are_found() -> None:
    call = "    safe_body = format_emojis(safe_body, true);"
    side = Texts(f"a\n{call}\nb\n", f"a\n{call}\nours\n", f"theirs\n{call}\n")
    assert lacks.doubled(side, f"a\n{call}\nours\n{call}\n") == {call.strip(): [2, 4]}
    # One of them is gone, each side added it, or it says too little.
    assert lacks.doubled(side, f"a\n{call}\n") == {}
    added = Texts("a\n", side.ours, side.theirs)
    assert lacks.doubled(added, f"{call}\n{call}\n") == {}
    attribute = '    href="https://example.com/of/a/license"'
    same = Texts(*[f"{attribute}\n"] * 3)
    assert lacks.doubled(same, f"{attribute}\n{attribute}\n") == {}


def test_a_patch_needs_no_blank_lines_around_it_to_be_the_same() -> None:
    side = ["import (", '\t"first/one"', "", "\tlogger = make_it()", "", "\tother = make(2)", ")"]
    account = Account(Change(3, 4, (), ("\tlogger = make_it()", "")), Fate.LOST, (side[3],))
    now = ["import (", '\t"first/one"', "\tother = make(2)", ")"]
    found = lacks.patch("a.go", [account], side, now)
    assert "+\tlogger = make_it()\n+\n \tother = make(2)" in found.text and not found.without


def test_what_is_lost_comes_before_what_was_replaced_and_looks_come_last() -> None:
    def entry(path: str, fate: Fate) -> Entry:
        account = Account(Change(1, 1, (), ("a_line = 1",)), fate, ("a_line = 1",))
        return Entry(Side.FORK, path, path, account)

    rows = [
        (Effect.BREAKS, entry("uses.py", Fate.SUPERSEDED)),
        (Effect.TESTS, entry("tests/it.py", Fate.LOST)),
        (Effect.SETTINGS, entry("go.mod", Fate.SUPERSEDED)),
        (Effect.LAYOUT, entry("look.css", Fate.LOST)),
        (Effect.CODE, entry("dropped.py", Fate.DROPPED)),
    ]
    found = sorted(rows[::-1], key=lambda row: missing.order(row[0], [[row[1]]]))
    assert [one.path for _, one in found] == [one.path for _, one in rows]


@pytest.mark.parametrize(("upstream", "number"), [("added = 1\n", 1), ("\n", 0), ("", 0)])
def test_of_what_a_whole_file_takes_with_it_blank_lines_do_not_count(
    upstream: str, number: int
) -> None:
    merged = f"one\n<<<<<<< o\nours\n=======\ntheirs\n>>>>>>> t\nsame\n{upstream}end\n"
    texts = Texts("", "one\nours\nsame\nend\n", "")
    conflict = Conflict("a.txt", Kind.CONTENT, None, None, None, text=merged, texts=texts)
    assert marked.beside(conflict, Side.FORK) == number


def test_a_patch_brings_back_what_has_a_certain_place() -> None:
    now = [f"line {n} of the file" for n in range(20)]
    side = [*now[:5], "lost one", *now[5:10], "instead", *now[11:]]
    accounts = [
        Account(Change(5, 6, (), ("lost one",)), Fate.LOST, ("lost one",)),
        Account(Change(11, 12, (now[10],), ("instead",)), Fate.LOST, ("instead",), (now[10],)),
    ]
    both = lacks.patch("a/b.txt", accounts, side, now)
    assert not both.without and both.text.startswith("--- a/a/b.txt\n+++ b/a/b.txt\n")
    assert [
        line for line in both.text.split("\n") if line[:1] in "+-" and line[1:2] not in "+-"
    ] == [
        "+lost one",
        f"-{now[10]}",
        "+instead",
    ]
    # Where the other side changed the same, or a place is there twice, nothing is offered.
    other = [*now[:10], "upstream has this", *now[11:]]
    assert lacks.patch("b.txt", accounts[1:], side, other).text == ""
    assert lacks.patch("b.txt", accounts[:1], side, [*now[2:8], *now]).text == ""


@pytest.mark.parametrize(
    ("path", "lines", "expected"),
    [
        ("a.go", ["\t//nolint:staticcheck"], Effect.NOTES),
        ("a.go", ['\t"github.com/x/y/promslog"'], Effect.NOTES),
        ("a.go", ['\t_ "github.com/x/y/discovery/aws"'], Effect.CODE),
        ("a.go", ["\t// a note", "\treturn limit_of(caller)"], Effect.CODE),
        ("a.c", ["#define LIMIT_OF_ALL 3"], Effect.CODE),
        ("a_test.go", ["\trequire.Equal(t, limit, 3)"], Effect.TESTS),
        ("a.tsx", ['<div className="mx_heading">', "</div>", "Pixabay License"], Effect.LAYOUT),
        ("a.tsx", ["disabled={homeEnabled}"], Effect.CODE),
        ("a.tsx", ["        default: true,"], Effect.CODE),
        ("a.pcss", ["margin-top: 16px;"], Effect.LAYOUT),
        ("VERSION", ["3.3.1"], Effect.VERSION),
        ("src/Retry.cs", ["public static int Attempts { get; set; } = 5;"], Effect.CODE),
        ("src/Retry.cs", ["// Five are enough."], Effect.NOTES),
        ("package.json", ['  "version": "0.303.1",'], Effect.VERSION),
        ("requirements.txt", ["some-package==1.2.3"], Effect.SETTINGS),
        ("go.mod", ["github.com/x/y v0.63.0"], Effect.SETTINGS),
        (".github/workflows/tests.yml", ["run: make test"], Effect.SETTINGS),
        ("README.md", ["some words of it"], Effect.TEXT),
    ],
)
def test_what_a_change_is_about_is_read_from_its_lines(
    path: str, lines: list[str], expected: Effect
) -> None:
    assert effects.of_lines(path, lines) is expected


@pytest.mark.parametrize(
    ("home", "path", "line", "expected"),
    [
        ("model/relabel/relabel.go", "cmd/main.go", "relabel.Logger = logger", [0]),
        ("model/relabel/relabel.go", "cmd/main.go", "parser.Logger = logger", []),
        ("model/relabel/relabel.go", "model/relabel/other.go", "Logger.Debug()", [0]),
        ("model/relabel/relabel.go", "model/relabel/other.go", "parser.Logger.Debug()", []),
        ("model/relabel/relabel.go", "cmd/main.go", "// relabel.Logger is gone", []),
        ("lib.py", "uses.py", "from lib import Logger", [0]),
        ("lib.py", "uses.py", "from other import Logger", []),
        ("lib.py", "uses.py", "lib.Logger()", [0]),
        ("lib.py", "uses.py", "box.Logger()", []),
        ("lib.py", "lib.py", "Logger()", [0]),
        ("src/Log.ts", "src/App.tsx", 'import { Logger } from "./Log";', [0]),
        ("src/Log.ts", "src/App.tsx", 'import { Logger } from "./Other";', []),
    ],
)
def test_only_the_same_name_counts_as_one_that_is_gone(
    home: str, path: str, line: str, expected: list[int]
) -> None:
    assert effects.uses("Logger", home, path, [line]) == expected
    assert path.endswith(effects.family(home))


def test_the_names_that_lost_lines_defined_are_known() -> None:
    lines = ["\tLogger = log.New()", "func (c *Config) Validate() error {", "export const user = 1"]
    assert effects.defined([*lines, "    local = 1", "x == 2"]) == {"Logger", "Validate", "user"}


def test_what_is_there_in_another_form_is_told_from_what_is_nowhere() -> None:
    lines = ("    b = two_of(x)", "    c = 3", "    # nowhere")
    account = Account(
        Change(1, 2, (), lines), Fate.LOST, missing=(lines[0], lines[2]), traceless=(lines[2],)
    )
    side = ["def loads(config):", *lines]
    assert lacks.lines(account, side, None, "x")[2:] == [
        f"~ {lines[0]}",
        f"  {lines[1]}",
        f"- {lines[2]}",
    ]


@pytest.mark.parametrize(
    ("theirs", "sure", "expected"),
    [
        ((), True, "upstream's"),
        ((), False, "upstream's"),  # it removed them, and nothing is there
        (("up\n",), True, "its own text"),
        (("up\n",), False, "no lines of it"),
    ],
)
def test_that_nothing_is_there_is_the_side_s_that_removed_it(
    theirs: tuple[str, ...], sure: bool, expected: str
) -> None:
    hunk = Hunk(("fork\n",), ("old\n",), theirs, 1, ())
    assert marked.whose(hunk, (), sure, ()) == expected


@pytest.mark.parametrize(
    ("ours", "theirs", "result", "expected"),
    [
        # Which of the blank lines around the hunk was there before, git cannot say.
        ("the_fork()\n", "upstream()\n", "one\n  \nupstream()\nthe_fork()\n\nend\n", "both sides'"),
        (
            "the_fork()\n",
            "upstream()\n",
            "the_fork()\none\n\nend\n",
            "the fork's, at another place",
        ),
        (
            "the_fork()\n",
            "a_long_line\nother_one\n",
            "other_one\none\n\nend\n",
            "some lines of it, at another place",
        ),
        ("the_fork()\n", "upstream()\n", "other\none\n\nend\n", "no lines of it"),
    ],
)
def test_lines_that_the_result_has_are_not_said_to_be_gone(
    ours: str, theirs: str, result: str, expected: str
) -> None:
    merged = f"one\n\n<<<<<<< o\n{ours}||||||| b\n=======\n{theirs}>>>>>>> t\n\nend\n"
    conflict = Conflict("a.txt", Kind.CONTENT, None, None, None, text=merged)
    [hunk] = marked.shown(Decision(conflict, None, "", ""), result)
    assert hunk["took"] == expected


def test_what_was_decided_is_shown_beside_what_it_became() -> None:
    conflict = Conflict("a.txt", Kind.CONTENT, None, None, None, text=MERGED)
    decision = Decision(conflict, None, "", "", became=((("up 1\n",), "a rule"), None))
    first, second = marked.shown(decision, "one\nown 1\nsame\nsame\nfork 2\nend\n")
    assert [side["name"] for side in first["sides"]][3:] == ["result", "as decided"]
    assert "<mark>up</mark> 1" in first["sides"][4]["text"]
    assert first["because"] == "a rule decides it, but the result has something else"
    assert [side["name"] for side in second["sides"]][3:] == ["result"]
    # Also without a certain place, if a side was taken.
    near, _ = marked.shown(decision, "one\nfork 1\nsame\nother\nfork 2\nand\nend\n")
    assert (near["near"], near["took"], near["because"]) == (True, "the fork's", first["because"])
    same, _ = marked.shown(decision, "one\nup 1\nsame\nsame\nfork 2\nend\n")
    assert (same["because"], len(same["sides"])) == ("a rule", 4)


def test_a_hunk_that_is_in_the_result_with_its_markers_is_no_resolution() -> None:
    conflict = Conflict("a.txt", Kind.CONTENT, None, None, None, text=MERGED)
    first, _ = marked.shown(Decision(conflict, None, "", ""), MERGED)
    assert first["took"] == "a conflict still"


@pytest.mark.parametrize(
    "line", [" " * 100_000 + "a=z=", '"' + "/a" * 100_000, "a " * 50_000 + "="]
)
def test_a_long_line_is_looked_at_in_no_time(line: str) -> None:
    """Expressions that try each blank in every way would never end."""
    assert effects.of_lines("x.tsx", [line]) in effects.ORDER
    assert effects.defined([line]) == set()
