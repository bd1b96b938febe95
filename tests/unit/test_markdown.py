"""Text of unknown origin inside Markdown that GitHub renders."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carto_fork.run.text import advice, block, cell, code, plain
from carto_fork.upgrade.begun import CHECKLIST, TICKED, ticked

HOSTILE = [
    "`rm -rf ~`",
    "``` \n# head",
    "@CartoDB/everyone look",
    "<img src=x onerror=alert(1)>",
    "${{ secrets.GITHUB_TOKEN }}",
    "two\nlines\r\nand more",
    "::set-output name=x::y",
    "\x1b[31mred\x1b[0m",
    "| a | b |",
    "[link](javascript:x)",
    "fixes #1 and GH-2",
    "\u202eevil",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_code_span_cannot_be_closed_by_its_text(text: str) -> None:
    span = code(text)
    assert "\n" not in span and "\x1b" not in span and "\u202e" not in span
    fence = re.match("`+", span)
    assert fence and span.endswith(fence[0])
    inside = span[len(fence[0]) : -len(fence[0])]
    assert fence[0] not in re.findall("`+", inside)


@given(st.text(min_size=1))
def test_any_text_stays_inside_its_code_span(text: str) -> None:
    span = code(text)
    fence = re.match("`+", span)
    assert fence
    inside = span[len(fence[0]) : -len(fence[0])]
    assert span == f"{fence[0]}{inside}{fence[0]}" and fence[0] not in re.findall("`+", inside)


@pytest.mark.parametrize("text", HOSTILE)
def test_a_table_cell_contains_no_pipe_or_line_break(text: str) -> None:
    assert not re.search(r"(?<!\\)\|", cell(text)) and "\n" not in cell(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("@team", "\\@\u2060team"),
        ("#12", "\\#\u206012"),
        ("<b>", "\\<b\\>"),
        ("a\nb", "a b"),
        ("`x`", "\\`x\\`"),
        ("[a](b)", "\\[a\\](b)"),
        ("${{ x }}", "\\$\\{\\{ x \\}\\}"),
        ("plain words", "plain words"),
        ("see src/a.tsx:4 :tada:", "see src/a.tsx:4 \\:tada:"),
        ("http://x.y", "http\\://x.y"),
    ],
)
def test_markdown_in_running_text_is_escaped(text: str, expected: str) -> None:
    assert plain(text) == expected


def test_a_block_is_fenced_longer_than_anything_in_it() -> None:
    assert block(["a", "```", "b"], "bash") == ["````bash", "a", "```", "b", "````"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("type `a_b` *now*", "type `a_b` \\*now\\*"),
        ("in `a`. -x", "in `a`. -x"),
        ("`half", "\\`half"),
        ("a `b", "a \\`b"),
    ],
)
def test_commands_in_a_sentence_stay_code_and_nothing_of_it_is_cut(text: str, shown: str) -> None:
    assert advice(text) == shown


def test_only_the_checklist_of_a_pull_request_is_ticked() -> None:
    """Its text quotes upstream's files, also a line that a diff removes."""
    quoted = "\n".join(block(["- [x] `make test`", "+- [x] `make lint`"], "diff"))
    items = f"- [ ] `make test`\n{TICKED}it installs\n"
    body = f"{quoted}\n\n## {CHECKLIST}\n\n{items}\n## Next\n\n{quoted}"
    assert ticked(body) == ticked(body.replace("\n", "\r\n")) == {"it installs"}
    assert ticked(quoted) == set()
