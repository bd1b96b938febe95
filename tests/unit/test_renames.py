"""Renames of twins that upstream moved at the same time."""

from __future__ import annotations

from pathlib import Path

import pytest

from carto_fork.audit import ledger
from carto_fork.fork import policy
from carto_fork.merge import authorship, renames
from repository import Repo
from world import shell

RULES = "".join(f"rule_{word} = check({word!r})\n" for word in "abcdefghijklmnopqrstuvwxyz")
RULED = policy.load_policy().policy
OWN = RULES + "acme_limit = check(limit_of_acme)\n"


def moved(repo: Repo, edited: str, places: dict[str, str], head: str = "") -> None:
    """Twins that upstream moves and one of which the fork edits. head: text that only that one
    has."""
    texts = {old: head * (old == edited) + RULES for old in ("streams/old/c.py", "mutiny/old/c.py")}
    repo.commit({**texts, "other": "x\n"})
    repo.on("theirs", "base")
    repo.commit(dict.fromkeys(texts) | {new: texts[old] for new, old in places.items()})
    repo.on("ours", "base").commit({edited: head + OWN})
    repo.git("merge", "--no-commit", "--no-ff", "--quiet", "theirs")


@pytest.mark.parametrize("edited", ["streams/old/c.py", "mutiny/old/c.py"])
def test_a_change_is_put_into_the_twin_that_shares_most_of_the_path(
    tmp_path: Path, edited: str
) -> None:
    repo, sh = Repo.new(tmp_path / "repo"), shell()
    places = {"aa/streams/c.py": "streams/old/c.py", "zz/mutiny/c.py": "mutiny/old/c.py"}
    moved(repo, edited, places)
    wrong = [path for path in places if "acme" in (repo.path / path).read_text()]
    wrong = wrong if [places[path] for path in wrong] != [edited] else []
    assert bool(renames.put_right(sh, repo.path, "ours", "theirs", RULED)) == bool(wrong)
    repo.commit()
    texts = {old: repo.text(path) for path, old in places.items()}
    assert texts == dict.fromkeys(places.values(), RULES) | {edited: OWN}
    assert repo.git("status", "--porcelain") == ""
    assert renames.put_right(sh, repo.path, "ours", "theirs", RULED) == []


@pytest.mark.parametrize(
    ("places", "wrong"),
    [
        # In the other twin's file, and in one of two equally near files.
        (("aa/streams/c.py", "zz/mutiny/c.py"), "zz/mutiny/c.py"),
        (("aa/c.py", "zz/c.py"), "aa/c.py"),
    ],
)
def test_a_change_in_the_wrong_twin_and_a_tie_need_a_look(
    tmp_path: Path, places: tuple[str, str], wrong: str
) -> None:
    repo, sh = Repo.new(tmp_path / "repo"), shell()
    edited = "streams/old/c.py"
    moved(repo, edited, dict(zip(places, (edited, "mutiny/old/c.py"), strict=True)))
    repo.commit({**dict.fromkeys(places, RULES), wrong: OWN})
    own = authorship.read(sh, repo.path, "ours~1", ["theirs"])
    found = ledger.read(sh, repo.path, "ours~1", "theirs", "ours", own, RULED)
    assert not found.lost and not found.explained
    assert wrong in {entry.where for entry in found.to_look_at}
    assert {entry.path for entry in found.to_look_at} == {edited}


def test_content_outweighs_the_path(tmp_path: Path) -> None:
    repo = Repo.new(tmp_path / "repo")
    places = {"aa/c.py": "streams/old/c.py", "zz/streams/old.py": "mutiny/old/c.py"}
    moved(repo, "streams/old/c.py", places, "class Streams:\n" * 9)
    found = renames.find(shell(), repo.path, "base", "theirs", RULED)
    assert (dict(found.old), found.unsure) == (places, set())
