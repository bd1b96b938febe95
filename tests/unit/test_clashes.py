"""Changes of both sides that a careful person would not put together without thinking: all are
left."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from carto_fork.merge import settling
from carto_fork.merge.hunks import Hunk, Texts
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
            "o-|import alpha_item\nimport bravo_item\no+|import alpha_item\nt+|import charlie_item",
            "import bravo_item\nimport alpha_item\nimport charlie_item",
        ),
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


# The whole file, a part, a new part, the last part, how the first line of a part may change.
MANY = {
    "a.json": (
        "{{\n{}}}\n",
        '  "key{0}": {{ "value": {0} }},\n',
        '  "new": {0},\n',
        '  "end": 1\n',
        (" }", ', "more": 1 }'),
    ),
    "a.yml": ("{}", "key{0}:\n  value: {0}\n", "new: {0}\n", "end: 1\n", (":", ": # more")),
    "a.toml": (
        "{}",
        "[key{0}]\nvalue = {0}\n\n",
        "[new]\nvalue = {0}\n\n",
        "[end]\n",
        ("]", "] # more"),
    ),
    "a.py": (
        "class Every:\n{}",
        "    def key{0}(self):\n        return {0}\n\n",
        "    def new(self):\n        return {0}\n\n",
        "    def end(self):\n        return 0\n",
        ("self", "self, more=1"),
    ),
    "a.ts": (
        "class Every {{\n{}}}\n",
        "    key{0}(): number {{\n        return {0};\n    }}\n\n",
        "    new(): number {{\n        return {0};\n    }}\n\n",
        "    end(): number {{\n        return 0;\n    }}\n",
        ("()", "(more = 1)"),
    ),
}


def many(path: str, changes: dict[int, str]) -> str:
    """A long file with many parts, some of which are changed."""
    whole, part, _, end, _ = MANY[path]
    parts = (changes.get(n, part.format(n)) for n in range(60))
    return whole.format("".join(parts) + end.format())


@pytest.mark.parametrize("path", MANY)
def test_a_name_that_each_side_adds_far_from_the_other_is_left(tmp_path: Path, path: str) -> None:
    """Although only what is near a hunk is merged."""
    _, part, new, _, change = MANY[path]
    mine, other = new.format(7) + part.format(3), part.format(3).replace(*change, 1)
    base, ours = many(path, {}), many(path, {3: mine})
    alone = decided(tmp_path, path, base, ours, many(path, {3: other}))
    assert alone and alone.text == many(path, {3: new.format(7) + other})
    theirs = many(path, {3: other, 50: new.format(8) + part.format(50)})
    both = decided(tmp_path, path, base, ours, theirs)
    assert both and both.left


@pytest.mark.parametrize("path", ["a.py", "a.ts"])
def test_hunks_of_a_long_file_are_tried_up_to_a_limit(
    tmp_path: Path, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, part, new, _, change = MANY[path]
    ours = many(path, {3: new.format(7) + part.format(3)})
    sides = many(path, {}), ours, many(path, {3: part.format(3).replace(*change, 1)})
    monkeypatch.setattr(settling, "_MOST", 0)
    found = decided(tmp_path, path, *sides)
    assert found and found.left and found.why.endswith(settling.LONG)


def test_a_text_that_no_parser_accepts_is_left() -> None:
    texts = Texts("import a\nb\n", "import ab\nb\n", "import ac\nb\n")
    hunk = Hunk(("import ab\n",), ("import a\n",), ("import ac\n",), 1, ())
    assert settling.settle("requirements.txt", texts, [hunk, "b\n"], [0]) == ({}, "")
