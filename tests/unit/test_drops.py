"""What people dropped on purpose: read, refused, and written without touching existing entries."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carto_fork.fork import records
from carto_fork.fork.records import Drop
from carto_fork.run.errors import ExitCode, Refused

FULL = Drop("a/b.py", "Upstream has it.", ("one = 1", "two = 2"), "v1.76.5", "upstream")
SHORT = Drop("c", "Nobody uses it.")
TEXT = """\
# Ours.

[[drop]]   # the first
path = 'a/b.py'
reason = "Upstream has it."
lines = ["one = 1", 'two = 2']
tag = "v1.76.5"
side = "upstream"

[[drop]]
path = "c"
reason = "Nobody uses it."
"""

# --- Reading -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, ()),
        ("", ()),
        ("# nothing yet\n", ()),
        ("drop = []\n", ()),
        (TEXT, (FULL, SHORT)),
        (TEXT.replace("\n", "\r\n"), (FULL, SHORT)),
        ('drop = [{path = "c", reason = "Nobody uses it."}]', (SHORT,)),
    ],
)
def test_drops_are_read_from_a_file(text: str | None, expected: tuple[Drop, ...]) -> None:
    assert records.read_drops(text) == expected


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("drop = [", "Invalid value (at end of document)"),
        ("[[drop]]\npath = 'a'\n", "Object missing required field `reason` - at `$.drop[0]`"),
        ("[[drop]]\nreason = 'a'\n", "Object missing required field `path` - at `$.drop[0]`"),
        (f"{TEXT}why = 'x'\n", "Object contains unknown field `why` - at `$.drop[1]`"),
        (f"{TEXT}lines = 'x'\n", "Expected `array`, got `str` - at `$.drop[1].lines`"),
        ("[[drops]]\n", "Object contains unknown field `drops`"),
    ],
)
def test_an_invalid_drops_file_is_refused(text: str, problem: str) -> None:
    with pytest.raises(Refused) as refused:
        records.read_drops(text)
    assert refused.value.code == ExitCode.REFUSED
    assert str(refused.value) == (
        f"Refused: carto_drops.toml is not valid: {problem}.\n"
        "Nothing was changed.\n"
        "Next: correct carto_drops.toml."
    )


@pytest.mark.parametrize(("key", "value"), [("side", "both"), ("reason", "")])
def test_a_drop_with_an_unknown_side_or_no_reason_is_refused(key: str, value: str) -> None:
    """Otherwise somebody would wrongly believe that the drop counts."""
    said = {"path": "a", "reason": "b", key: value}
    with pytest.raises(Refused):
        records.read_drops(
            "[[drop]]\n" + "".join(f"{name} = '{word}'\n" for name, word in said.items())
        )


# --- What a drop covers --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "lines", "expected"),
    [
        ((), ["anything"], True),
        ((), [], True),
        (("a", "b"), ["a"], True),
        (("a", "b"), ["b", "a", "a"], True),
        (("a", "b"), ["  a\t", "b\r\n"], True),
        (("a", "b"), ["a", "", "  "], True),
        (("a", "b"), ["a", "c"], False),
        (("a", "b"), ["A"], False),
        (("a",), ["ab"], False),
        (("a",), [], False),
        (("a",), ["", "  "], False),
    ],
)
def test_a_drop_covers_only_the_lines_that_it_names(
    said: tuple[str, ...], lines: list[str], expected: bool
) -> None:
    """A drop of some lines does not cover a change without lines."""
    assert Drop("f", "Why.", said).covers(lines) is expected


# --- Writing -------------------------------------------------------------------------------------

HEADER = """\
# Changes that a person dropped on purpose, with the reason. Upgrades do not ask about them
# again and do not report them as lost. `lines` are what such a change added, and what it removed.

"""


def test_a_new_drops_file_has_a_header_and_all_fields() -> None:
    assert records.add_drops(None, [FULL, SHORT]) == HEADER + (
        "[[drop]]\n"
        'path = "a/b.py"\n'
        'reason = "Upstream has it."\n'
        "lines = [\n"
        '    "one = 1",\n'
        '    "two = 2",\n'
        "]\n"
        'tag = "v1.76.5"\n'
        'side = "upstream"\n'
        "\n"
        "[[drop]]\n"
        'path = "c"\n'
        'reason = "Nobody uses it."\n'
    )


MORE = Drop("d", "Not ours.", ('quoted = "x"', "back\\slash = '''"))


@pytest.mark.parametrize(
    "text",
    [
        TEXT,
        TEXT.rstrip("\n"),
        TEXT + "\n\n# the end\n",
        TEXT + "# the end, without a line end",
        TEXT.replace("\n", "\r\n"),
        "# nothing yet\n",
        "# nothing yet",
        "\n",
        "drop = []\n",
        'drop = [{path = "c", reason = "Nobody uses it."}]\n',
        'drop = [\n    {path = "c", reason = "Nobody uses it."},\n]\n',
    ],
)
def test_new_drops_are_added_after_the_existing_ones(text: str) -> None:
    added = records.add_drops(text, [MORE])
    assert records.read_drops(added) == (*records.read_drops(text), MORE)
    if "drop = [" not in text:
        assert added.startswith(text)


def test_a_known_drop_is_not_written_again() -> None:
    assert records.add_drops(TEXT, [SHORT, FULL]) == TEXT
    assert records.read_drops(records.add_drops(TEXT, [MORE, SHORT, MORE])) == (FULL, SHORT, MORE)


def test_a_drop_can_be_added_to_a_file_without_drops() -> None:
    begun = records.add_drops(None, [])
    assert records.read_drops(records.add_drops(begun, [SHORT])) == (SHORT,)


def test_nothing_is_added_to_a_file_that_is_not_valid() -> None:
    with pytest.raises(Refused):
        records.add_drops("drop = [", [SHORT])


WORDS = st.text(st.characters(exclude_categories=["Cs"]))
DROP = st.builds(
    Drop,
    path=WORDS.filter(bool),
    reason=WORDS.filter(str.strip),
    lines=st.lists(WORDS, max_size=3).map(tuple),
    tag=WORDS,
    side=st.sampled_from(["fork", "upstream"]),
)


@given(st.lists(DROP, min_size=1, max_size=3, unique=True), st.lists(DROP, max_size=3, unique=True))
def test_any_drop_is_read_as_it_was_written(first: list[Drop], second: list[Drop]) -> None:
    text = records.add_drops(None, first)
    assert records.read_drops(text) == tuple(first)
    again = records.add_drops(text, second)
    assert again.startswith(text)
    assert records.read_drops(again) == (*first, *(drop for drop in second if drop not in first))


@pytest.mark.parametrize(
    ("result", "fits"),
    [
        ("run a\n", True),  # as the fork has it
        ("run a\nrun b\n", False),  # both
        ("run a b\n", False),  # a line of both
        ("run b\n", False),  # upstream's after all
        ("run a c\n", True),
        (None, True),
    ],
)
def test_a_record_fits_a_result_that_lacks_the_change(result: str | None, fits: bool) -> None:
    drop = Drop("f", "Ours.", ("run b", "run"), side="upstream")
    assert drop.fits("run b\n", "run a\n", result) == fits
    whole = Drop("f", "Ours.", side="upstream")
    assert whole.fits("run b\n", "run a\n", result) == (result != "run b\n")


def test_removing_a_record_leaves_the_others_as_they_are() -> None:
    assert records.without_drops(TEXT, [SHORT]) == TEXT[: TEXT.rindex("\n[[drop]]")]
    assert records.read_drops(records.without_drops(TEXT, [FULL])) == (SHORT,)


def test_after_the_last_record_a_table_can_be_appended() -> None:
    """By hand, too: an empty list in brackets would not allow it."""
    left = records.without_drops(f"# ours\n{TEXT}", [SHORT, FULL])
    assert records.read_drops(f'{left}\n[[drop]]\npath = "f"\nreason = "r"\n')
    assert records.without_drops(records.add_drops(None, [SHORT]), [SHORT]) == ""
