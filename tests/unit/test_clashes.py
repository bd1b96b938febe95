"""Changes of both sides that a careful person would not put together without thinking: all are
left."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from three_way import decided


def three(body: str) -> list[str]:
    """Base, ours and theirs. A line begins with who (o, t or b for both) added (+) or removed (-)
    it; the others are on all sides."""
    sides: list[list[str]] = [[], [], []]
    for line in body.split("\n"):
        mark = re.match(r"([otb])([+-])\|", line)
        who, sign = mark.groups() if mark else ("", "")
        has = {"+": {"o": (1,), "t": (2,), "b": (1, 2)}, "-": {"o": (0, 2), "t": (0, 1), "b": (0,)}}
        for side in has[sign][who] if mark else (0, 1, 2):
            sides[side].append(line[3:] if mark else line)
    return ["\n".join(lines) + "\n" for lines in sides]


def cases() -> Iterator[tuple[str, str, str]]:
    """Path, name and body of each merge in `left.txt`."""
    text = Path(__file__).with_name("left.txt").read_text()
    for block in re.split(r"^@@ ", text, flags=re.M)[1:]:
        head, _, body = block.removesuffix("\n").partition("\n")
        path, _, name = head.partition(" ")
        yield path, name, body


def test_what_a_careful_person_would_think_about_is_left(tmp_path: Path) -> None:
    sides = [(path, name, three(body)) for path, name, body in cases()]
    decisions = [(path, name, decided(tmp_path, path, *texts)) for path, name, texts in sides]
    wrong = [(p, n, d and d.text) for p, n, d in decisions if d is None or d.settled]
    assert wrong == []
    assert len(decisions) > 300


@pytest.mark.parametrize(
    ("path", "body", "result"),
    [
        (
            "a.py",
            "b-|save(path, mode=1)\no+|save(path, mode=2)\nt+|save(path, mode=1, retries=3)\nend()",
            "save(path, mode=2, retries=3)\nend()",
        ),
        (
            "a.ts",
            "enum Kind {\n    Alpha = 'a',\no+|    Bravo = 'b',\nt+|    Charlie = 'c',\n}",
            "enum Kind {\n    Alpha = 'a',\n    Bravo = 'b',\n    Charlie = 'c',\n}",
        ),
        (
            "package.json",
            '{\nb-|  "name": "x",\nb-|  "version": "1.0.0",\no+|  "name": "@f/x",\n'
            'o+|  "version": "1.0.0",\nt+|  "name": "x",\nt+|  "version": "1.1.0",\n  "z": 1\n}',
            '{\n  "name": "@f/x",\n  "version": "1.1.0",\n  "z": 1\n}',
        ),
    ],
)
def test_what_does_not_clash_is_put_together(
    tmp_path: Path, path: str, body: str, result: str
) -> None:
    found = decided(tmp_path, path, *three(body))
    assert found and found.text == f"{result}\n"
