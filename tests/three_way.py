"""Three texts, and what is decided if git cannot merge them."""

from __future__ import annotations

import difflib
import subprocess
from dataclasses import replace
from pathlib import Path

import msgspec

from carto_fork.fork import policy
from carto_fork.fork.policy import Kind
from carto_fork.merge.decisions import Decision, Knowledge, decide
from carto_fork.merge.hunks import Commit, Conflict, Customisations, Stage, Texts

NO_RULES = msgspec.structs.replace(policy.load_policy().policy, rules=())
COMMIT = Commit("f" * 40, "2026-11-29", "fix: ours")


def decided(place: Path, path: str, base: str, ours: str, theirs: str) -> Decision | None:
    """The decision about what git cannot merge; None if it can. The fork wrote all of its side."""
    for name, text in (("ours", ours), ("base", base), ("theirs", theirs)):
        (place / name).write_text(text)
    words = ["git", "merge-file", "-p", "--diff3", "ours", "base", "theirs"]
    done = subprocess.run(words, cwd=place, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return None
    changed = difflib.ndiff(base.split("\n"), ours.split("\n"))
    wrote = {line[2:].strip(): [COMMIT] for line in changed if line[:1] in "+-"}
    one, two, three_ = (Stage("100644", digit * 40) for digit in "123")
    conflict = Conflict(path, Kind.CONTENT, one, two, three_, text=done.stdout, names=(path,))
    conflict = replace(conflict, texts=Texts(base, ours, theirs))
    own = Customisations({path: [COMMIT]}, wrote)
    return decide([conflict], Knowledge(NO_RULES, own))[0]
