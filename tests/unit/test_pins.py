"""The file that records the commit of each merged tag."""

from __future__ import annotations

import pytest

from carto_fork.fork import records
from carto_fork.fork.records import Pin
from carto_fork.run.errors import Refused

ONE, TWO = Pin("a" * 40, "b" * 40), Pin("c" * 40, "d" * 40)


def test_an_added_pin_is_read_back() -> None:
    text = records.add_pin(records.add_pin(None, "v1.0.0", ONE), "v1.1.0-stable", TWO)
    assert records.read_pins(text) == {"v1.0.0": ONE, "v1.1.0-stable": TWO}
    assert text.startswith("# The commit of each upstream tag")


def test_an_existing_pin_is_not_added_again() -> None:
    text = records.add_pin(None, "v1.0.0", ONE)
    assert records.add_pin(text, "v1.0.0", ONE) == text


def test_no_pins_are_read_without_a_file() -> None:
    assert records.read_pins(None) == {}


@pytest.mark.parametrize("text", ["[tags", "tags = 1", '[tags]\nv = { object = "a" }', "[x]\n"])
def test_a_file_that_is_not_valid_is_refused(text: str) -> None:
    with pytest.raises(Refused, match=r"carto_tags\.toml is not valid"):
        records.read_pins(text)
