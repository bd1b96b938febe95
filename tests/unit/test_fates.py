"""Fates: what happened to each hunk, judged by four versions of a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from carto_fork.audit.alike import Index
from carto_fork.audit.fates import Account, Fate, account, renamed_words
from carto_fork.merge.hunks import Change
from carto_fork.run.text import substantive

KEPT, ABSORBED, LOST, SUPERSEDED = Fate.KEPT, Fate.ABSORBED, Fate.LOST, Fate.SUPERSEDED


def line(sign: str) -> str:
    """The line that a sign means: `a` is a significant line, `a~` nearly the same, `a#` the same
    with a comment. Anything but letters and digits means itself and is insignificant."""
    word = sign[0] * 4
    if not sign[0].isalnum():
        return sign
    more = {"": "()", "~": "(1)", "#": "()  # why it is so"}
    return f"{word} = make_{word}{more[sign[1:]]}"


def text(signs: str) -> str:
    return "".join(f"{line(sign)}\n" for sign in signs.split())


def changes(old: str, new: str) -> list[Change]:
    """The hunks between two texts, as git numbers their lines."""
    before, after = old.split("\n")[:-1], new.split("\n")[:-1]
    matcher = SequenceMatcher(None, before, after, autojunk=False)
    return [
        Change(i + (i < k), j + (j < m), tuple(before[i:k]), tuple(after[j:m]))
        for tag, i, k, j, m in matcher.get_opcodes()
        if tag != "equal"
    ]


def accounts(base: str, mine: str, other: str, result: str) -> list[Account]:
    return account(changes(base, mine), changes(base, other), base, mine, other, result)


def fates(base: str, mine: str, other: str, result: str) -> list[Fate]:
    return [found.fate for found in accounts(base, mine, other, result)]


# --- One rule after the other --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("base", "mine", "other", "result", "expected"),
    [
        # Nothing happened, or nothing on this side.
        ("a b c", "a b c", "a 1 b c", "a 1 b c", []),
        # Added, removed and changed lines that are present, absent, and present.
        ("a b c", "a b F c", "a b c", "a b F c", [KEPT]),
        ("a b c", "a c", "a b c", "a c", [KEPT]),
        ("a b c", "a F c", "a b c", "a F c", [KEPT]),
        ("a b c", "a b F c", "1 a b c", "F 1 a b c", [KEPT]),
        # The other side has the same.
        ("a b c", "a b F c", "a b F c", "a b F c", [ABSORBED]),
        ("a b c", "a c", "a c", "a c", [ABSORBED]),
        ("a b c", "a F c", "a F c", "a F c", [ABSORBED]),
        # It has only one half: the other half is still this side's.
        ("a b c", "a F c", "a b F c", "a F c", [KEPT]),
        ("a b c", "a F c", "a c", "a F c", [KEPT]),
        # Gone, and the other side did not change that place.
        ("a b c d e", "a b F c d e", "a b c d e", "a b c d e", [LOST]),
        ("a b c d e", "a F b c d e", "a b c d 1 e", "a b c d 1 e", [LOST]),
        ("a b c d e", "a F c d e", "a b c d 1 e", "a b c d 1 e", [LOST]),
        # Gone, and the other side changed the same or a neighbouring line.
        ("a b c", "a F c", "a 1 c", "a 1 c", [SUPERSEDED]),
        ("a b c", "a b F c", "a b 1 c", "a b 1 c", [SUPERSEDED]),
        ("a b c", "a b F c", "a b 1", "a b 1", [SUPERSEDED]),
        ("a b c", "a F c", "a b 1", "a b 1", [LOST]),
        ("a b c d e", "a F e", "a b c 1 e", "a 1 e", [SUPERSEDED]),
        # This much is not a coincidence, wherever it was.
        ("a b c", "a F G c", "a 1 c", "a 1 c", [LOST]),
        ("a b c d e", "a F c d G", "a 1 c d 2", "a 1 c d 2", [LOST, LOST]),
        # The other side has most of it but lacks the rest.
        ("a b c", "a F G H I c", "a F G 1 c", "a F G 1 c", [SUPERSEDED]),
        ("a b c", "a F G H I J c", "a F G 1 c", "a F G 1 c", [LOST]),
        ("a b c d e", "a F G H I b c d e", "a b c d F G e", "a b c d F G e", [LOST]),
        ("a b c d e", "a b c a b F G d e", "a b c 1 d e", "a b c 1 d e", [LOST]),
        # A removed line is there again.
        ("a b c", "a c", "a b c", "a b c", [LOST]),
        ("a b c", "a c", "a b 1 c", "a b 1 c", [SUPERSEDED]),
        ("a b c d", "a d", "a b c 1 d", "a b c 1 d", [LOST]),
        ("a b c", "a F c", "a b c", "a b F c", [LOST]),
        # Only the hunks that are gone.
        ("a b c d e", "F a b G c d e H", "a b c d e", "F a b c d e H", [KEPT, LOST, KEPT]),
    ],
)
def test_each_hunk_gets_the_expected_fate(
    base: str, mine: str, other: str, result: str, expected: list[Fate]
) -> None:
    assert fates(text(base), text(mine), text(other), text(result)) == expected


@pytest.mark.parametrize(
    ("base", "mine", "other", "result", "expected"),
    [
        # Two copies were added, one is there; none is there.
        ("a b c", "a F b F c", "a b c", "a F b c", [KEPT, LOST]),
        ("a b c", "a F b F c", "a b c", "a b c", [LOST, LOST]),
        # The same for several lines at once.
        ("a b c d", "a F G b c F G d", "a b c d", "a b c F G d", [LOST, KEPT]),
        # A further copy of a line that is there anyway.
        ("a b c a", "a b a c a", "a b c a", "a b c a", [LOST]),
        ("a b c a", "a b a c a", "a b c a", "a b a c a", [KEPT]),
        # The other side removed one of its own copies, which does not count as this side's.
        ("a b c a", "a b a c a", "a b c", "a b a c", [KEPT]),
        ("a b c a", "a b a c a", "a b c", "a b c", [LOST]),
        ("a b c a", "a b F a c a", "a b 1 c", "a b F 1 a c", [KEPT]),
        # This side removed a copy, the other one added one.
        ("a b c a d", "b c a d", "a b c a d a", "b c a d a", [KEPT]),
        ("a b c a d", "b c a d", "a b c a d a", "a b c a d a", [LOST]),
        # Both removed the same copy.
        ("a b c a", "a b c", "a b c", "a b c", [ABSORBED]),
        # Both added the same line, at two places, and both are there.
        ("a b c", "a F b c", "a b F c", "a F b F c", [KEPT]),
        # A line that says little is the same only at the same place.
        ("a b c d", "a ) b c d", "a b c ) d", "a ) b c ) d", [KEPT]),
        ("a b c d", "a ) b c d", "a b c ) d", "a ) b c d", [KEPT]),
        ("a b c", "a ) b c", "a ) b c", "a ) b c", [ABSORBED]),
    ],
)
def test_copies_of_a_line_are_counted(
    base: str, mine: str, other: str, result: str, expected: list[Fate]
) -> None:
    assert fates(text(base), text(mine), text(other), text(result)) == expected


@pytest.mark.parametrize(
    ("base", "mine", "other", "result", "expected"),
    [
        # In other words; with another comment.
        ("a b", "a F b", "a b", "a F~ b", SUPERSEDED),
        ("a b", "a F# b", "a b", "a F b", SUPERSEDED),
        ("a b", "a F b", "a b", "a F# b", SUPERSEDED),
        # Similar to a line that this side also has: that is a different line.
        ("a b", "a F b F~", "a b", "a b F~", LOST),
        # An insignificant line is never lost by itself, but it is not kept either.
        ("a b", "a ) b", "a b", "a b", SUPERSEDED),
        ("a ) b", "a b", "a ) b", "a ) b", SUPERSEDED),
        ("a b", "a F ) b", "a b", "a F b", SUPERSEDED),
        ("a b", "a F ) b", "a b", "a b", LOST),
    ],
)
def test_the_first_hunk_gets_the_expected_fate(
    base: str, mine: str, other: str, result: str, expected: Fate
) -> None:
    assert fates(text(base), text(mine), text(other), text(result))[0] is expected


def test_an_account_lists_missing_and_returned_lines() -> None:
    base, mine, result = text("a b c d"), text("a F G ) d"), text("a b F G~ d")
    change = Change(2, 2, (line("b"), line("c")), (line("F"), line("G"), ")"))
    assert accounts(base, mine, base, result) == [
        Account(change, LOST, missing=(line("G"), ")"), back=(line("b"),), traceless=(line("b"),))
    ]


# --- Whole files ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("base", "mine", "other", "result", "expected"),
    [
        ("", "F G H", "", "F G H", KEPT),
        ("", "F G H", "", "", LOST),
        ("", "F G H", "F G H", "F G H", ABSORBED),
        ("", "F G H", "1 2", "1 2", LOST),
        ("a b c", "", "a b c", "", KEPT),
        ("a b c", "", "", "", ABSORBED),
        ("a b c", "", "a b c", "a b c", LOST),
        ("a b c", "", "a b 1 c", "a b 1 c", LOST),
        ("a b c", "F", "a b c", "F", KEPT),
        ("a b c", "F", "a b c", "", LOST),
    ],
)
def test_a_file_missing_on_one_side_gets_the_expected_fate(
    base: str, mine: str, other: str, result: str, expected: Fate
) -> None:
    assert fates(text(base), text(mine), text(other), text(result)) == [expected]


# --- How lines are compared ----------------------------------------------------------------------

CALL = "answer = client.send(request, timeout=30, tenant=current_tenant())\n"
CUT = """\
    answer = client.send(
        request,
        timeout=30,
        tenant=current_tenant())
"""


@pytest.mark.parametrize(("mine", "result"), [(CALL, CUT), (CUT, CALL)])
def test_a_change_that_was_rewrapped_by_a_formatter_is_kept(mine: str, result: str) -> None:
    base = text("a b c")
    assert fates(base, base + mine, base, base + result) == [KEPT]


def test_a_missing_line_is_found_although_an_equal_one_has_the_formatters_comma() -> None:
    """The comma before a closing bracket is the formatter's; still, the line is there once instead
    of twice."""
    call = "send(\n    user=user,\n    more=more,\n)\n"
    base, other = call + text("a b"), call + text("a b") + text("1")
    mine = call + text("a b").replace(line("b"), line("b") + "\nmore(\n    user=user,\n)")
    result = other.replace(line("b"), line("b") + "\nmore(\n)")
    found = accounts(base, mine, other, result)
    assert [a.missing for a in found] == [("    user=user,",)]


def test_only_the_lost_part_of_a_rewrapped_hunk_is_missing() -> None:
    mine = text("a") + "send(\n    'one',\n    two=2,\n)\n" + text("F b")
    [found] = accounts(
        text("a b"), mine, text("a b"), text("a") + 'send("one", two=2)\n' + text("b")
    )
    assert (found.fate, found.missing) == (LOST, (line("F"),))


def test_an_alignment_that_only_one_side_changed_is_not_lost() -> None:
    base, mine = "name: first\nage: 22 years\n", "name:   first\nage:    22 years\nstreet: main\n"
    assert fates(base, mine, base, f"{base}street: main\n") == [KEPT]
    assert fates(base, mine, base, base) == [LOST]


ASKED = "if not tenant.may_use(model):\n    raise Forbidden(tenant, model)\n"
ANEW = "if not allowed(tenant, to_use=model):\n    raise Refused(tenant.name, model)\n"


def test_lines_that_were_rewritten_in_place_need_a_look() -> None:
    """Neither side has these lines: somebody rewrote this side's lines while merging. Lines derived
    from the other side do not count, nor do lines without words that only this side has."""
    base, mine, other = text("a b c d"), text("a b") + ASKED + text("c d"), text("a b c 1")
    more = f"log(model)\n{ANEW}return tenant\n"
    mine = mine.replace(ASKED, f"{ASKED}return tenant\n")
    assert fates(base, mine, other, text("a b") + more + text("c 1")) == [SUPERSEDED]
    assert fates(base, mine, other, text("a b") + "allowed(who, what)\n" + text("c 1")) == [LOST]
    assert fates(base, mine, other + more, other + more) == [LOST]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (ASKED, Fate.MOVED),
        ("if not tenant.may_use(the_model):\nraise Refused(tenant, model)\n", SUPERSEDED),
        (ANEW, LOST),
        ("if not tenant.may_use(model):\n", LOST),
    ],
)
def test_a_block_that_was_written_into_another_file_is_found(written: str, expected: Fate) -> None:
    """Unchanged or with small changes; similar words alone do not count, nor does a part of the
    block."""
    base, mine = text("a b c"), text("a") + ASKED + text("b c")
    elsewhere = {"g": Index(x.strip() for x in written.splitlines())}
    [found] = account(changes(base, mine), [], base, mine, base, base, elsewhere)
    assert (found.fate, found.home) == (expected, "" if expected is LOST else "g")


def test_a_comment_on_a_line_that_the_other_side_removed_is_not_lost_with_it() -> None:
    """However much else of the file is."""
    base, note = text("a b c d e f"), "//nolint:staticcheck // it is meant\n"
    mine = text("a F G b") + note + text("c d e f")
    assert fates(base, mine, text("a b d e f"), text("a b d e f")) == [LOST, SUPERSEDED]
    # Of a line that is still there, or about which it is not, it is lost.
    assert fates(base, mine, text("a b c d 1 f"), text("a b c d 1 f")) == [LOST, LOST]
    assert fates(base, mine, text("a c d e f"), text("a c d e f")) == [LOST, LOST]


def test_the_same_line_at_many_places_is_one_loss() -> None:
    """A remark next to what the other side removed, each time."""
    base, mine, other = text("a b c a b d"), text("a F b c a F b d"), text("a c a d")
    assert fates(base, mine, other, other) == [SUPERSEDED, SUPERSEDED]


def test_a_hunk_that_only_removes_shows_the_other_sides_line() -> None:
    [found] = accounts(text("a b c"), text("a c"), text("a b~ c"), text("a b~ c"))
    assert (found.fate, found.back) == (SUPERSEDED, (line("b~"),))
    assert found.again == []  # which this side never had


OPTIONAL = (
    "a: string;\nz: string;",
    "a: string;\nown: string;\nz: string;",
    "a?: string;\nz?: string;",
)


@pytest.mark.parametrize(
    ("sides", "result", "expected"),
    [
        # The other side made its lines optional, and whoever merged made the fork's so, too.
        (OPTIONAL, "a?: string;\nown?: string;\nz?: string;", KEPT),
        (OPTIONAL, "a?: string;\nown!: string;\nz?: string;", SUPERSEDED),
        # A sign that upstream wrote anywhere near is not what it did to a line.
        (
            (OPTIONAL[0], OPTIONAL[1], "if (!one_of_it) {\nuse(it);\n}"),
            "if (!one_of_it) {\nuse(it);\n}\n!own: string;",
            SUPERSEDED,
        ),
        # Of what the fork rewrote, the other side removed a part.
        (("f: one, old, two;", "f: own, old, two;", "f: one, two;"), "f: own, two;", KEPT),
        # The fork's own value is gone.
        (
            ("retry = wait(30);", "retry = wait(30);\nlimit_of_it = wait(30);", "retry = wait(5);"),
            "retry = wait(5);\nlimit_of_it = wait(5);",
            SUPERSEDED,
        ),
    ],
)
def test_a_line_with_what_the_other_side_did_next_to_it_is_there(
    sides: tuple[str, str, str], result: str, expected: Fate
) -> None:
    assert fates(*(f"{text}\n" for text in (*sides, result))) == [expected]


def test_a_line_that_one_side_moved_and_the_other_changed_is_at_its_new_place() -> None:
    base, mine, other = text("a b c d e f g"), text("a c d e b f g"), text("a b~ c d e f g")
    removed = accounts(base, mine, other, text("a c d e b~ f g"))[0]
    assert (removed.change.removed, removed.back) == ((line("b"),), ())
    # At its old place, nothing of the move is there.
    assert accounts(base, mine, other, other)[0].back == (line("b~"),)


def test_of_equal_lines_the_one_missing_from_its_place_is_lost() -> None:
    base, mine, other = text("a b c d e"), text("a F b c F d e"), text("a b c e")
    assert fates(base, mine, other, text("a F b c e")) == [KEPT, SUPERSEDED]
    assert fates(base, mine, other, text("a b c F e")) == [LOST, KEPT]


@pytest.mark.parametrize(
    ("mine", "result", "expected"),
    [
        # With upstream's new name; a line that upstream wrote itself does not count.
        ("wait(tenant_of(caller))\n", "wait(customer_of(caller))\n", KEPT),
        ("wait(tenant_of(caller))\n", "wait(who(tenant))\n", LOST),
        # Spread over several lines; but not if one of its words differs.
        ("link('https://acme.example/terms', rel=noopener)\n", "{}('https:{}/terms',\n{})\n", None),
    ],
)
def test_a_line_in_the_other_sides_words_is_there(mine: str, result: str, expected: Fate) -> None:
    base = text("a b c") + "x = tenant_of(1)\ny = tenant_of(2, 3)\n"
    other = base.replace("tenant_of", "customer_of")
    renamed = renamed_words(changes(base, other))
    assert renamed == {"tenant_of": "customer_of"}

    def fate(written: str) -> Fate:
        texts = base, mine + base, other, written + other
        [found] = account(changes(*texts[:2]), changes(base, other), *texts, renamed=renamed)
        return found.fate

    if expected:
        assert fate(result) is expected
    else:
        assert fate(result.format("Link", "//acme.example", "rel=noopener")) is SUPERSEDED
        assert fate(result.format("Link", "//other.example", "rel=noopener")) is LOST


def test_two_hunks_are_lost_if_only_one_rewrapped_copy_is_left() -> None:
    base = text("a b c")
    mine = CALL + base + CALL
    assert fates(base, mine, base, base + CUT) == [LOST, LOST]


@pytest.mark.parametrize(
    ("mine", "result"),
    [
        ("\tif tenant.blocked:\n", "        if tenant.blocked:\n"),
        ("if tenant.blocked:\n", "if tenant.blocked:\r\n"),
        ("if tenant.blocked:\n", "if tenant.blocked:"),
        ("if tenant.blocked:\n\n\n", "if tenant.blocked:\n"),
    ],
)
def test_white_space_around_a_line_does_not_count(mine: str, result: str) -> None:
    base = text("a b c")
    assert fates(base, base + mine, base, base + result) == [KEPT]


def test_white_space_around_a_line_does_not_save_it() -> None:
    base = text("a b c")
    mine = f"{base}\tif tenant.blocked:\r\n"
    assert accounts(base, mine, base, base) == [
        Account(
            Change(3, 4, added=("\tif tenant.blocked:\r",)),
            LOST,
            missing=("\tif tenant.blocked:\r",),
            traceless=("\tif tenant.blocked:\r",),
        )
    ]


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("", False),
        ("    }", False),
        ("else:", False),
        ("x = 12345", False),
        ("return x", False),
        ("return ok", True),
        ("    import os as sys", True),
        ("größenänderung", True),
        ("--- *** --- ***", False),
    ],
)
def test_short_and_trivial_lines_are_not_substantive(said: str, expected: bool) -> None:
    assert substantive(said) is expected


# --- What must not count as kept -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("mine", "result"),
    [
        ("timeout = 60\n", "timeout = 600\n"),
        ("retry_limit = 3\n", "max_retry_limit = 3\n"),
        ("check_tenant(request)\n", "# check_tenant(request)\n"),
        ("check_tenant(request)\n", "if debug: log(check_tenant(request))\n"),
        ("by_tenant = true\ntimeout = 60\n", "by_tenant = true\ntimeout = 600\n"),
        ("by_tenant = true\ntimeout = 60\n", "not_by_tenant = true\ntimeout = 60\n"),
    ],
)
def test_a_line_inside_a_longer_one_is_not_kept(mine: str, result: str) -> None:
    base = text("a b c")
    found = fates(base, base + mine, base + result, base + result)
    assert found in ([LOST], [SUPERSEDED])


def test_a_line_that_the_other_side_added_elsewhere_is_not_the_same_change() -> None:
    """Each side protects its own function with the same line. A block of lines is the same change
    wherever it is."""
    base, mine = text("a b c d e f"), text("a F b c d e f")
    other = result = text("a b c d e F f")
    assert fates(base, mine, other, result) == [LOST]
    mine, other = text("a F G b c d e f"), text("a b c d e F G f")
    assert fates(base, mine, other, other) == [ABSORBED]


@pytest.mark.parametrize(
    ("mine", "result"),
    [
        # The fork's text, in upstream's new frame.
        (
            '<div class="heading">{say("Size and typeface")}</div>',
            '<Box heading={_("Size and typeface")} wide>',
        ),
        # The fork's value, with upstream's new comment.
        ("margin-top: 3px;", "margin-top: 3px; /* a variable, once there is one for that */"),
    ],
)
def test_a_line_whose_value_is_there_in_another_frame_is_not_lost(mine: str, result: str) -> None:
    far = text("a b c d e")
    base, other = f"top()\n{far}old_of_it = 1\n", f"top()\n{far}new_of_it = 2\n"
    own, now = f"top()\n{mine}\n{far}old_of_it = 1\n", f"top()\n{result}\n{far}new_of_it = 2\n"
    assert fates(base, own, other, now) == [SUPERSEDED]
    assert fates(base, own, other, other) == [LOST]


@pytest.mark.parametrize(("start", "end"), [("    ", ""), ("", "\r")])
def test_a_white_space_change_does_not_explain_a_lost_line(start: str, end: str) -> None:
    """Upstream's new line ends or indentation do not explain the loss of a fork line."""
    base, mine = text("a b c d e f"), text("a b F c d e f")
    other = "".join(f"{start}{x}{end}\n" for x in base.split("\n")[:-1])
    assert fates(base, mine, other, other) == [LOST]


def test_a_removed_line_that_is_back_in_other_words_is_not_kept() -> None:
    """The fork removed a call that upstream changed, and upstream's call is in the result."""
    base, mine = text("a b c"), text("a c")
    other = result = text("a b~ c")
    assert fates(base, mine, other, result) in ([LOST], [SUPERSEDED])


def test_the_old_line_is_not_another_form_of_the_new_one() -> None:
    base, mine = text("a b c"), text("a b~ c")
    [found] = accounts(base, mine, base, base)
    assert (found.fate, found.missing, found.back) == (LOST, (line("b~"),), (line("b"),))
    assert not found.is_traced(line("b~"))


def test_a_blank_line_that_both_sides_added_shows_nothing() -> None:
    base, added = text("a b c"), text("a b c").replace("\n", "\n\n", 1)
    assert fates(base, added, added, "") == [KEPT]


def test_a_removed_file_that_is_back_in_other_words_is_not_kept() -> None:
    base, other = text("a b c"), text("1 2 3")
    assert fates(base, "", other, other) in ([LOST], [SUPERSEDED])


# --- Any two sides whose changes do not overlap --------------------------------------------------


@dataclass(frozen=True)
class Edit:
    """A change of one side; lines are numbers from one pool."""

    mine: bool
    removed: tuple[str, ...]
    added: tuple[str, ...]


Part = Edit | tuple[str, ...]
"""A change, or lines that both sides left alone."""


def telling(number: int) -> str:
    """One of many lines without common words."""
    return f"{number * 7919:08x}_{number} ({number * 104729:09x})"


@st.composite
def histories(draw: st.DrawFn) -> list[Part]:
    """Changes of both sides with lines between them, in the order of the file."""
    number = 0

    def some(least: int, most: int) -> tuple[str, ...]:
        nonlocal number
        count = draw(st.integers(least, most))
        number += count
        return tuple(telling(n) for n in range(number - count, number))

    parts: list[Part] = [some(2, 3)]
    for _ in range(draw(st.integers(1, 6))):
        removed = some(0, 3)
        parts.append(Edit(draw(st.booleans()), removed, some(0 if removed else 1, 3)))
        parts.append(some(2, 3))
    return parts


def written(parts: Sequence[Part], *, mine: bool, other: bool) -> list[str]:
    """The file with the changes of one side, of both or of none."""
    lines: list[str] = []
    for part in parts:
        if isinstance(part, Edit):
            lines += part.added if (mine if part.mine else other) else part.removed
        else:
            lines += part
    return lines


def hunks_of(parts: Sequence[Part], *, mine: bool) -> list[Change]:
    found, before, line = [], 0, 0
    for part in parts:
        if not isinstance(part, Edit):
            before, line = before + len(part), line + len(part)
            continue
        if part.mine is mine:
            first = before + bool(part.removed), line + bool(part.added)
            found.append(Change(*first, part.removed, part.added))
            line += len(part.added) - len(part.removed)
        before, line = before + len(part.removed), line + len(part.removed)
    return found


def judged(parts: Sequence[Part], result: Sequence[str], *, mine: bool = True) -> list[Account]:
    versions = [
        written(parts, mine=False, other=False),
        written(parts, mine=mine, other=not mine),
        written(parts, mine=not mine, other=mine),
        result,
    ]
    own, others = hunks_of(parts, mine=mine), hunks_of(parts, mine=not mine)
    base, ours, theirs, after = ("".join(f"{x}\n" for x in lines) for lines in versions)
    return account(own, others, base, ours, theirs, after)


@given(histories())
def test_generated_hunks_agree_with_the_diff(parts: list[Part]) -> None:
    base = "".join(f"{x}\n" for x in written(parts, mine=False, other=False))
    mine = "".join(f"{x}\n" for x in written(parts, mine=True, other=False))
    assert hunks_of(parts, mine=True) == changes(base, mine)


@given(histories())
def test_a_result_with_the_changes_of_both_sides_keeps_every_hunk(parts: list[Part]) -> None:
    result = written(parts, mine=True, other=True)
    for mine in (True, False):
        found = judged(parts, result, mine=mine)
        assert found == [Account(change, KEPT) for change in hunks_of(parts, mine=mine)]


@given(histories(), st.data())
def test_a_hunk_whose_lines_are_taken_out_is_lost_and_no_other(
    parts: list[Part], data: st.DataObject
) -> None:
    own = [part for part in parts if isinstance(part, Edit) and part.mine and part.added]
    assume(own)
    victim = data.draw(st.sampled_from(own))
    result = [x for x in written(parts, mine=True, other=True) if x not in victim.added]
    assert [
        Account(change, LOST, missing=change.added, traceless=change.added)
        if change.added == victim.added
        else Account(change, KEPT)
        for change in hunks_of(parts, mine=True)
    ] == judged(parts, result)


@given(histories(), st.data())
def test_a_hunk_of_which_a_removed_line_is_put_back_is_lost_and_no_other(
    parts: list[Part], data: st.DataObject
) -> None:
    own = [part for part in parts if isinstance(part, Edit) and part.mine and part.removed]
    assume(own)
    back = data.draw(st.sampled_from(data.draw(st.sampled_from(own)).removed))
    result = written(parts, mine=True, other=True)
    result.insert(data.draw(st.integers(0, len(result))), back)
    assert [
        Account(change, LOST, back=(back,), traceless=(back,))
        if back in change.removed
        else Account(change, KEPT)
        for change in hunks_of(parts, mine=True)
    ] == judged(parts, result)


@given(histories(), st.data())
def test_a_loss_on_the_other_side_does_not_change_this_sides_fates(
    parts: list[Part], data: st.DataObject
) -> None:
    others = [part for part in parts if isinstance(part, Edit) and not part.mine and part.added]
    assume(others)
    victim = data.draw(st.sampled_from(others))
    result = [x for x in written(parts, mine=True, other=True) if x not in victim.added]
    assert judged(parts, result) == [Account(c, KEPT) for c in hunks_of(parts, mine=True)]
