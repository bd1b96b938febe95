"""Conflict markers: parsed and joined as git itself would."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carto_fork.merge import hunks
from carto_fork.merge.hunks import Hunk, Segment
from carto_fork.run.text import lines_of

TWO = "<<<<<<< HEAD\nours\n=======\ntheirs\n>>>>>>> tag\n"
THREE = "<<<<<<< HEAD\nours\n||||||| base\nold\n=======\ntheirs\n>>>>>>> tag\n"


def parsed(text: str) -> list[Segment]:
    segments = hunks.parse(text)
    assert segments is not None
    return segments


def only_hunk(text: str) -> Hunk:
    found = [segment for segment in parsed(text) if isinstance(segment, Hunk)]
    assert len(found) == 1
    return found[0]


def taken(segments: Sequence[Segment], side: str) -> str:
    """The text with one side's lines for every hunk."""
    return "".join(
        segment if isinstance(segment, str) else "".join(getattr(segment, side))
        for segment in segments
    )


# --- Taking apart --------------------------------------------------------------------------------


def test_a_text_without_markers_is_one_segment() -> None:
    assert hunks.parse("a\nb\n") == ["a\nb\n"]
    assert hunks.parse("a") == ["a"]
    assert hunks.parse("") == []


def test_a_diff3_hunk_has_a_base() -> None:
    assert hunks.parse(f"before\n{THREE}after\n") == [
        "before\n",
        Hunk(
            ours=("ours\n",),
            base=("old\n",),
            theirs=("theirs\n",),
            before=2,
            shown=tuple(THREE.splitlines(keepends=True)),
        ),
        "after\n",
    ]


def test_a_merge_style_hunk_has_no_base() -> None:
    hunk = only_hunk(TWO)
    assert (hunk.ours, hunk.base, hunk.theirs, hunk.before) == (("ours\n",), None, ("theirs\n",), 1)


def test_an_empty_base_differs_from_a_missing_base() -> None:
    hunk = only_hunk("<<<<<<<\n|||||||\n=======\n>>>>>>>\n")
    assert (hunk.ours, hunk.base, hunk.theirs) == ((), (), ())


def test_hunks_that_touch_are_two() -> None:
    segments = parsed(TWO + THREE)
    assert [type(segment) for segment in segments] == [Hunk, Hunk]
    assert [segment.before for segment in segments if isinstance(segment, Hunk)] == [1, 6]


def test_markers_need_no_label() -> None:
    hunk = only_hunk("<<<<<<<\na\n|||||||\nb\n=======\nc\n>>>>>>>\n")
    assert (hunk.ours, hunk.base, hunk.theirs) == (("a\n",), ("b\n",), ("c\n",))


def test_line_ends_stay_with_their_lines() -> None:
    text = f"x\r\n{THREE}y\r\n".replace("\n", "\r\n").replace("\r\r", "\r")
    segments = parsed(text)
    assert segments[0] == "x\r\n" and segments[2] == "y\r\n"
    hunk = only_hunk(text)
    assert (hunk.ours, hunk.base, hunk.theirs) == (("ours\r\n",), ("old\r\n",), ("theirs\r\n",))
    assert hunks.join(segments) == text


def test_lines_are_cut_at_line_feeds_only() -> None:
    line = "a\x0bb\x0cc\x1cd\x85e\u2028f\rg\n"
    hunk = only_hunk(f"<<<<<<< HEAD\n{line}=======\n{line * 2}>>>>>>> tag\n")
    assert (hunk.ours, hunk.theirs) == ((line,), (line, line))


def test_the_last_line_needs_no_line_end() -> None:
    assert hunks.parse("a\nb") == ["a\nb"]
    segments = parsed(TWO.rstrip("\n"))
    assert hunks.join(segments) == TWO.rstrip("\n")
    assert only_hunk(TWO.rstrip("\n")).theirs == ("theirs\n",)


@pytest.mark.parametrize(
    "line",
    [
        "<<<<<<",
        "<<<<<<<<",
        "<<<<<<<x",
        " <<<<<<< HEAD",
        "<<<<<<<\tHEAD",
        "x <<<<<<< HEAD",
        ">>>>>>",
        ">>>>>>>>",
        ">>>>>>>x",
        ">>> >>>>>>> tag",
        "||||||",
        "||||||||",
        "|||||||x",
        "======",
        "========",
        "======= ",
        "======= x",
        "=======x",
    ],
)
def test_a_line_that_only_looks_like_a_marker_is_text(line: str) -> None:
    assert hunks.parse(f"{line}\n") == [f"{line}\n"]
    hunk = only_hunk(f"<<<<<<< HEAD\n{line}\n=======\n{line}\n>>>>>>> tag\n")
    assert hunk.ours == hunk.theirs == (f"{line}\n",)


def test_an_underline_outside_of_hunks_is_text() -> None:
    assert parsed(f"Title\n=======\n{TWO}Other\n=======\n")[0] == "Title\n=======\n"


@pytest.mark.parametrize(
    "lines",
    [
        ["<"],
        ["<", "="],
        ["<", "|"],
        ["<", "|", "="],
        ["<", ">"],
        ["<", "|", ">"],
        [">"],
        ["|"],
        ["=", ">"],
        ["<", "=", ">", ">"],
        ["<", "=", "=", ">"],
        ["<", "|", "|", "=", ">"],
        ["<", "=", "|", ">"],
        ["<", "|", "=", "|", ">"],
        ["<", "|", "=", "=", ">"],
        ["<", "<", "=", ">", ">"],
        ["<", "=", "<", ">"],
        ["<", "|", "<", "=", ">"],
        ["<", "=", "<", "=", ">", ">"],
        ["<", "=", ">", "|"],
        ["<", "=", ">", "<"],
    ],
    ids="".join,
)
def test_unbalanced_markers_are_not_parsed(lines: list[str]) -> None:
    markers = {"<": "<<<<<<< HEAD", "|": "||||||| base", "=": "=======", ">": ">>>>>>> tag"}
    text = "".join(f"{markers[line]}\nx\n" for line in lines)
    assert hunks.parse(text) is None


# Texts in which both sides and the base have underlines of seven equals signs.
UNDERLINES = {
    "ours": "<<<<<<< HEAD\nOurs\n=======\nx\n||||||| base\nb\n=======\nt\n>>>>>>> tag\n",
    "base": "<<<<<<< HEAD\no\n||||||| base\nBase\n=======\nx\n=======\nt\n>>>>>>> tag\n",
    "theirs": "<<<<<<< HEAD\no\n||||||| base\nb\n=======\nTheirs\n=======\nx\n>>>>>>> tag\n",
    "ours, no base": "<<<<<<< HEAD\nOurs\n=======\nx\n=======\nt\n>>>>>>> tag\n",
    "theirs, no base": "<<<<<<< HEAD\no\n=======\nTheirs\n=======\nx\n>>>>>>> tag\n",
}


@pytest.mark.parametrize("text", UNDERLINES.values(), ids=UNDERLINES)
def test_an_underline_inside_a_hunk_is_never_taken_for_its_middle(text: str) -> None:
    assert hunks.parse(text) is None


@pytest.mark.parametrize(
    ("line", "left"),
    [
        ("<<<<<<< HEAD", True),
        (">>>>>>> refs/tags/v1", True),
        ("||||||| 1234567", True),
        ("<<<<<<<", True),
        (">>>>>>>\r", True),
        ("<<<<<<<<< HEAD:a.py", True),
        ("|||||||||||| base", True),
        ("=======", False),
        ("<<<<<< HEAD", False),
        ("<<<<<<<HEAD", False),
        (" <<<<<<< HEAD", False),
        ("<<<<<<>> x", False),
        ("", False),
    ],
)
def test_leftover_conflict_markers_are_recognised(line: str, left: bool) -> None:
    assert bool(hunks.LEFTOVER.fullmatch(line)) is left


# --- The lines around a hunk ---------------------------------------------------------------------


def test_a_paragraph_reaches_to_the_next_blank_line() -> None:
    segments = parsed(f"far\n\nnear\nnext\n{TWO}after\n  \t\nfar\n")
    assert hunks.paragraph(segments, 1) == f"near\nnext\n{TWO}after\n"


def test_a_paragraph_ends_at_a_blank_line_or_the_end_of_the_file() -> None:
    assert hunks.paragraph(parsed(TWO), 0) == TWO
    assert hunks.paragraph(parsed(f"\n{TWO}\n"), 1) == TWO
    assert hunks.paragraph(parsed(f"a\n{TWO}b"), 1) == f"a\n{TWO}b"


def test_a_paragraph_includes_an_adjacent_hunk() -> None:
    segments = parsed(f"# mark\n{TWO}{THREE}")
    assert hunks.paragraph(segments, 2) == TWO + THREE
    assert hunks.paragraph(segments, 1) == f"# mark\n{TWO}{THREE}"


# --- Against git itself --------------------------------------------------------------------------


def merge_file(ours: str, base: str, theirs: str, *options: str) -> str:
    """What `git merge-file` makes of three texts."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        for file, text in (("ours", ours), ("base", base), ("theirs", theirs)):
            (place / file).write_bytes(text.encode())
        words = ["git", "merge-file", "-p", "-q", *options, "ours", "base", "theirs"]
        ended = subprocess.run(
            words, cwd=place, capture_output=True, env={**os.environ, "HOME": name}
        )
        assert 0 <= ended.returncode < 128, ended.stderr
        return ended.stdout.decode()


LINES = ["a", "b", "c", "d", "", "  x", "x" * 50, "// y", "<<<<<< no", ">>>>>>>>", "ä\u2028"]
line_lists = st.lists(st.sampled_from(LINES), max_size=8)


@st.composite
def three_texts(draw: st.DrawFn, end: str = "\n", lines: Sequence[str] = LINES) -> tuple[str, ...]:
    """A text and two changed copies of it."""
    base = draw(st.lists(st.sampled_from(lines), max_size=12))
    sides = [list(base), list(base)]
    for side in sides:
        for _ in range(draw(st.integers(0, 3))):
            start = draw(st.integers(0, len(side)))
            stop = draw(st.integers(start, min(len(side), start + 3)))
            side[start:stop] = draw(st.lists(st.sampled_from(lines), max_size=3))
    return tuple("".join(f"{line}{end}" for line in side) for side in (sides[0], base, sides[1]))


@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["LF", "CRLF"])
@pytest.mark.parametrize("style", ["--diff3", "--zdiff3", ""])
def test_hunks_of_real_merges_give_the_sides_that_git_gives(end: str, style: str) -> None:
    options = [style] if style else []

    @settings(max_examples=60)
    @given(three_texts(end))
    def check(texts: tuple[str, ...]) -> None:
        merged = merge_file(*texts, *options)
        segments = parsed(merged)
        assert hunks.join(segments) == merged
        assert taken(segments, "ours") == merge_file(*texts, "--ours")
        assert taken(segments, "theirs") == merge_file(*texts, "--theirs")
        for segment in segments:
            if isinstance(segment, Hunk):
                assert (segment.base is None) is (not style)
                assert merged.split("\n")[segment.before - 1].startswith("<<<<<<< ")

    check()


@pytest.mark.parametrize("style", ["--diff3", ""])
def test_underlines_in_real_merges_never_yield_a_wrong_cut(style: str) -> None:
    options = [style] if style else []
    lines = ["Title", "=======", "text", "", "======="]

    @settings(max_examples=100)
    @given(three_texts(lines=lines))
    def check(texts: tuple[str, ...]) -> None:
        merged = merge_file(*texts, *options)
        segments = hunks.parse(merged)
        if segments is not None:
            assert hunks.join(segments) == merged
            assert taken(segments, "ours") == merge_file(*texts, "--ours")
            assert taken(segments, "theirs") == merge_file(*texts, "--theirs")

    check()


@settings(max_examples=60)
@given(three_texts(), st.tuples(st.booleans(), st.booleans(), st.booleans()))
def test_texts_without_a_final_newline_are_parsed(
    texts: tuple[str, ...], cut: tuple[bool, ...]
) -> None:
    """Git ends every line inside markers, so only there may an extra final line end appear."""
    texts = tuple(text[:-1] if gone else text for text, gone in zip(texts, cut, strict=True))
    merged = merge_file(*texts, "--diff3")
    segments = parsed(merged)
    assert hunks.join(segments) == merged
    for side in ("ours", "theirs"):
        expected, found = merge_file(*texts, f"--{side}"), taken(segments, side)
        ends_in_hunk = bool(segments) and isinstance(segments[-1], Hunk)
        assert found == expected or (ends_in_hunk and found == f"{expected}\n")


@given(
    st.lists(
        st.sampled_from(["<<<<<<< a", "||||||| b", "=======", ">>>>>>> c", "x", "", "Title"])
    ).map("\n".join)
)
def test_joining_parsed_segments_gives_the_original_text(text: str) -> None:
    segments = hunks.parse(text)
    if segments is None:
        assert any(hunks.LEFTOVER.fullmatch(line) for line in text.split("\n"))
    else:
        assert hunks.join(segments) == text
        assert all(segments) and not any(
            isinstance(one, str) and isinstance(two, str) for one, two in pairwise(segments)
        )


@given(st.text())
def test_joining_the_lines_of_any_text_gives_the_text(text: str) -> None:
    lines = lines_of(text)
    assert "".join(lines) == text
    assert all(line and "\n" not in line[:-1] for line in lines)
    assert all(line.endswith("\n") for line in lines[:-1])


# --- Line ends -----------------------------------------------------------------------------------


def numbered(end: str, **changed: str) -> str:
    """Nine lines, some of them changed."""
    return "".join(f"{changed.get(f'l{n}', f'line {n}')}{end}" for n in range(1, 10))


@pytest.mark.parametrize(("before", "after"), [("\r\n", "\n"), ("\n", "\r\n")])
def test_converted_line_ends_do_not_widen_a_conflict(before: str, after: str) -> None:
    base = numbered(before)
    ours = numbered(before, l2="ours", l7="seven of ours", l9=f"line 9{before}more")
    theirs = numbered(after, l4="theirs", l7="seven of theirs")
    for one, other in ((ours, theirs), (theirs, ours)):
        texts = hunks.Texts(base, one, other)
        end = hunks.line_end(texts)
        assert end == after
        text = f"<<<<<<< a\n{one}||||||| b\n{base}=======\n{other}>>>>>>> c\n"
        segments = hunks.parse(text)
        assert segments
        merged = hunks.with_line_end(segments, end)
        left = [segment for segment in merged if isinstance(segment, hunks.Hunk)]
        assert [(h.base, len(h.ours), len(h.theirs)) for h in left] == [((f"line 7{after}",), 1, 1)]
        kept = "".join(segment for segment in merged if isinstance(segment, str))
        assert kept == numbered(after, l2="ours", l4="theirs", l9=f"line 9{after}more").replace(
            f"line 7{after}", ""
        )
        # A second run changes nothing.
        again = hunks.with_line_end(hunks.parse(hunks.join(merged)) or [], end)
        assert hunks.join(again) == hunks.join(merged)


def test_line_ends_that_no_side_converted_stay() -> None:
    crlf, lf = numbered("\r\n"), numbered("\n")
    for sides in ((crlf, crlf, crlf), (lf, lf, lf), ("", crlf, lf), (lf, lf + "x\r\n", lf)):
        assert hunks.line_end(hunks.Texts(*sides)) is None
    assert hunks.line_end(hunks.Texts(crlf, lf, lf)) == "\n"
