"""Changes of both sides that a careful person would not put together without thinking: all are
left."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from carto_fork.fork import policy
from carto_fork.fork.policy import Kind
from carto_fork.merge.decisions import Decision, Knowledge, decide
from carto_fork.merge.hunks import Commit, Conflict, Customisations, Stage, Texts

NO_RULES = msgspec.structs.replace(policy.load_policy().policy, rules=())
COMMIT = Commit("f" * 40, "2026-11-29", "fix: ours")


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


def decided(place: Path, path: str, base: str, ours: str, theirs: str) -> Decision | None:
    """The decision about what git cannot merge; None if it can. The fork wrote all of its side."""
    for name, text in (("ours", ours), ("base", base), ("theirs", theirs)):
        (place / name).write_text(text)
    words = ["git", "merge-file", "-p", "--diff3", "ours", "base", "theirs"]
    done = subprocess.run(words, cwd=place, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return None
    old, new = (Counter(text.split("\n")) for text in (base, ours))
    wrote = {line.strip(): [COMMIT] for line in [*(new - old), *(old - new)]}
    one, two, three_ = (Stage("100644", digit * 40) for digit in "123")
    conflict = Conflict(path, Kind.CONTENT, one, two, three_, text=done.stdout, names=(path,))
    conflict = replace(conflict, texts=Texts(base, ours, theirs))
    own = Customisations({path: [COMMIT]}, wrote)
    return decide([conflict], Knowledge(NO_RULES, own))[0]


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
