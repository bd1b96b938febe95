"""Syncs that a squash cut off from upstream's history: found, dated, and healed for a forecast."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import pytest

from carto_fork.audit.healing import require_provable
from carto_fork.fork import records
from carto_fork.fork.fork import Fork
from carto_fork.fork.policy import load_policy
from carto_fork.merge import authorship, syncs
from carto_fork.merge.hunks import Commit
from carto_fork.merge.syncs import Lost
from carto_fork.run import git
from carto_fork.run.errors import Refused
from carto_fork.run.git import Refs
from repository import Content, Files, Repo
from world import shell

FILES = 24
TEXT = "".join(f"statement_{number}(of_the_file)\n" for number in range(12))
FORK = "tenant = read_tenant(request)\n"


def day(number: int) -> str:
    return str(date(2025, 1, 1) + timedelta(number))


def text(number: int, release: int) -> str:
    """An upstream file: each upstream commit changes one line of one file."""
    lines = TEXT.split("\n")
    for commit in range(number, release + 1, FILES):
        if commit:
            lines[commit // FILES % 4] = f"change_number_{commit}(of_file={number})"
    return "\n".join(lines)


@dataclass(frozen=True)
class History:
    """Upstream's history, a commit a day, and a fork that begins at the first one.

    names: upstream's commits by day.
    """

    repo: Repo
    names: Sequence[str]

    def find(self, *upstream: str, production: str = "ours") -> Lost | None:
        tips = self.repo.git("rev-parse", *(upstream or ["theirs"])).split()
        return authorship.find_lost(shell(), self.repo.path, production, tips)

    def squash(self, release: int, files: Files, on: int, subject: str = "sync") -> Commit:
        """Bring a release to the fork's branch without its history."""
        name = self.repo.on("ours").squash(self.names[release], files, subject, date=day(on))
        return Commit(name, day(on), subject)

    def conflicts(self, commit: str) -> int:
        """How many files a merge with upstream's tip would leave in conflict."""
        words = ("merge-tree", "--write-tree", "--name-only", "--no-messages", commit, "theirs")
        return len(self.repo.git(*words, ok=False).split("\n")) - 1


@pytest.fixture
def history(tmp_path: Path) -> History:
    repo = Repo.new(tmp_path / "repo", "theirs")
    stream = []
    for number in range(97):
        who = f"x <x@example.com> {1735732800 + 86400 * number} +0000"
        stream.append(f"commit refs/heads/theirs\ncommitter {who}\ndata 7\nrelease\n")
        for file in range(FILES) if not number else [number % FILES]:
            content = text(file, number)
            stream.append(f"M 644 inline dir/{file}\ndata {len(content)}\n{content}\n")
    repo.git("fast-import", "--quiet", feed="".join(stream).encode())
    names = repo.git("rev-list", "--reverse", "theirs").split()
    repo.git("symbolic-ref", "HEAD", "refs/heads/ours")
    repo.git("reset", "--quiet", "--hard", names[0])
    return History(repo, names)


def test_a_fork_with_true_merges_has_no_lost_ancestry(history: History) -> None:
    history.repo.commit({"carto": FORK}, "the fork's")
    assert history.find() is None
    history.repo.merge(history.names[30])
    assert history.find() is None


@pytest.mark.parametrize("release", [25, 39, 40, 81, 82, 83, 84, 95, 96])
def test_a_squashed_sync_is_found_with_the_parent_that_it_lacks(
    history: History, release: int
) -> None:
    """Among many commits, some of them newer, and although the fork changed a few files."""
    history.repo.commit({"carto": FORK, "dir/1": TEXT + FORK}, "the fork's", date=day(3))
    by_hand: Files = {"carto": FORK, "dir/1": text(1, release) + FORK}
    sync = history.squash(release, by_hand, on=min(release + 5, 96))
    history.repo.commit({"later": FORK}, "the fork's", date=day(97))
    assert history.find() == Lost(sync, history.names[release], 2, ())


def test_the_missing_parent_is_not_newer_than_the_sync(history: History) -> None:
    sync = history.squash(50, {}, on=40)
    found = history.find()
    assert found and (found.sync, found.parent) == (sync, history.names[40])


def test_the_missing_parent_is_found_on_a_release_branch(history: History) -> None:
    history.repo.on("release", history.names[40])
    fixed = history.repo.commit({"dir/2": "a_fix = of_the_release()\n"}, date=day(42))
    sync = history.squash(40, {"dir/2": "a_fix = of_the_release()\n"}, on=44)
    assert history.find("theirs", "release") == Lost(sync, fixed, 0, ())
    left = ("dir/2",)
    found = Lost(sync, history.names[40], 1, left, wrote=left)
    assert history.find("theirs") == found
    fork = Fork(git.open_repository(shell(), history.repo.path), {}, Refs({}, {}), load_policy())
    with pytest.raises(Refused, match="Its ancestry cannot be recorded") as refused:
        require_provable(fork, found)
    assert "keep what the sync itself wrote into dir/2, with one more commit" in refused.value.then


def test_files_left_out_by_a_squash_are_hidden_unless_a_fork_commit_changed_them(
    history: History,
) -> None:
    """dir/3 stayed as it was and dir/4 went missing; `extra`, which upstream never had, hides
    nothing."""
    history.repo.commit({"carto": FORK, "dir/1": TEXT + FORK}, "the fork's", date=day(3))
    left_out: Files = {"dir/3": text(3, 0), "dir/4": None, "extra": FORK}
    sync = history.squash(40, {"carto": FORK, "dir/1": TEXT + FORK, **left_out}, on=41)
    assert history.find() == Lost(sync, history.names[40], 5, ("dir/3", "dir/4"))


def test_a_release_branch_that_only_picks_commits_is_no_sync(history: History) -> None:
    lacks: Files = {f"dir/{number}": text(number, 0) for number in range(3)}
    history.squash(60, lacks, on=62, subject="pick what we need")
    assert history.find() is None


def test_third_party_code_proves_no_sync(history: History) -> None:
    vendored: Files = {f"vendor/module/{number}.go": text(number, 9) for number in range(30)}
    history.repo.on("vendoring", history.names[60]).commit(vendored, date=day(61))
    history.repo.on("others", history.names[0]).commit(vendored, date=day(63))
    assert history.find("vendoring", production="others") is None


@pytest.mark.parametrize("later", [40, 41, 60])
def test_a_later_true_merge_restores_the_ancestry(history: History, later: int) -> None:
    history.repo.commit({"carto": FORK}, "the fork's", date=day(3))
    history.squash(40, {"carto": FORK}, on=41)
    assert history.find() is not None
    history.repo.git("merge", "--quiet", "-Xtheirs", "-m", "merge", history.names[later])
    assert history.find() is None


def test_a_later_merge_of_an_older_release_does_not_restore_the_ancestry(history: History) -> None:
    sync = history.squash(40, {}, on=41)
    history.repo.git("merge", "--quiet", "-Xours", "-m", "merge", history.names[30])
    assert history.find() == Lost(sync, history.names[40], 0, ())


def test_an_earlier_true_merge_does_not_restore_the_ancestry(history: History) -> None:
    history.repo.merge(history.names[30])
    sync = history.squash(59, {}, on=60)
    assert history.find() == Lost(sync, history.names[59], 0, ())


def test_the_newest_of_several_squashed_syncs_is_found(history: History) -> None:
    history.squash(30, {}, on=31, subject="one")
    two = history.squash(59, {}, on=60, subject="two")
    assert history.find() == Lost(two, history.names[59], 0, ())


def test_a_squashed_sync_that_was_taken_back_has_nothing_to_record(history: History) -> None:
    """Git merges it anew; with its ancestry on record it never would."""
    history.squash(30, {}, on=31)
    history.repo.git("revert", "--no-edit", "HEAD")
    assert history.find() is None


def test_a_squash_of_what_is_years_old_is_found(history: History) -> None:
    """Not by its days, but by what upstream has made since the last merge."""
    history.repo.merge(history.names[20])
    sync = history.squash(50, {}, on=2000)
    assert history.find() == Lost(sync, history.names[50], 0, ())


def test_a_squashed_sync_on_another_branch_is_ignored(history: History) -> None:
    history.squash(40, {}, on=41)
    history.repo.on("clean", history.names[0]).commit({"carto": FORK})
    assert history.find(production="clean") is None


# --- A release too small to be known by its files ------------------------------------------------

OWN = "".join(f"own_statement_{number}(of_the_fork)\n" for number in range(12))


def record(commit: str, text: str | None = None) -> dict[str, Content]:
    """The record that a commit's release was merged."""
    pin = records.Pin(object=commit, commit=commit)
    return {records.TAGS_FILE: records.add_pin(text, f"v{commit[:10]}", pin)}


def conflicting(history: History) -> dict[str, Content]:
    """A fork whose upgrades conflict in dir/1; the files that it has after a decided one."""
    both: dict[str, Content] = {"dir/1": OWN + FORK}
    history.repo.commit({"dir/1": OWN}, "the fork's", date=day(0))
    return both


@pytest.mark.parametrize("later", [False, True])
def test_a_small_squash_is_found_by_the_record_that_comes_with_it(
    history: History, later: bool
) -> None:
    """Two files, of which one had a conflict. The record may be a commit of its own."""
    both, noted = conflicting(history), record(history.names[2])
    sync = history.squash(2, both if later else both | noted, on=3)
    assert later is (history.find() is None)
    if later:
        history.repo.commit({"other": FORK}, "the fork's", date=day(3))
        history.repo.commit(noted, "note", date=day(3))
    assert history.find() == Lost(sync, history.names[2], 2 - later, ())


def test_every_small_squash_of_a_fork_that_always_squashes_is_found(history: History) -> None:
    both = conflicting(history)
    history.squash(2, both | record(history.names[2]), on=3)
    noted = record(history.names[4], history.repo.text(records.TAGS_FILE))
    two = history.squash(4, both | noted, on=5)
    assert history.find() == Lost(two, history.names[4], 2, ())


def test_a_small_rebase_is_found_by_the_record_that_comes_with_it(history: History) -> None:
    """Copies of upstream's commits, of which one was resolved by hand, then the record."""
    both = conflicting(history)
    for number in (1, 2, 3):
        history.repo.git("cherry-pick", history.names[number], ok=False)
        if number == 1:
            history.repo.put(both)
            history.repo.git("-c", "core.editor=true", "cherry-pick", "--continue")
    last = history.repo.git("rev-parse", "HEAD")
    history.repo.commit(record(history.names[3]), "note")
    found = history.find()
    assert found and (found.sync.name, found.parent, found.hidden) == (last, history.names[3], ())


def test_a_file_that_upstream_renamed_in_a_small_squash_hides_nothing(history: History) -> None:
    """The fork changed it under its old name."""
    repo = history.repo
    repo.on("release", history.names[2])
    moved = repo.commit({"dir/5": None, "dir/new/5": text(5, 0)}, date=day(3))
    own = text(5, 0).replace("statement_7(of_the_file)\n", FORK)
    repo.on("ours").commit({"dir/5": own}, "the fork's", date=day(0))
    files: Files = {"dir/new/5": own} | record(moved)
    sync = repo.squash(moved, files, "sync", date=day(4))
    assert history.find("release") == Lost(Commit(sync, day(4), "sync"), moved, 2, ())


@pytest.mark.parametrize(
    "has",
    ["nothing", "the version", "a part", "what the fork had", "a commit that is not upstream's"],
)
def test_a_record_alone_proves_nothing(history: History, has: str) -> None:
    both, release, repo = conflicting(history), history.names[3], history.repo
    fork = repo.commit({f"dir/{n}": OWN for n in range(10, 20)}, "the fork's", date=day(0))
    files: dict[str, Files] = {
        "nothing": {},
        "the version": {"dir/3": text(3, 3)},
        "a part": {"dir/2": text(2, 3)},
        "what the fork had": {f"dir/{n}": text(n, 0) for n in range(10, 20)},
        "a commit that is not upstream's": both,
    }
    known = fork if has == "a commit that is not upstream's" else release
    repo.commit({**files[has], **record(known)}, "note", date=day(4))
    tips = [repo.git("rev-parse", "theirs")]
    version = frozenset({"dir/3"} if has == "the version" else {})
    assert authorship.find_lost(shell(), repo.path, "ours", tips, version) is None


# --- The healed history --------------------------------------------------------------------------


@pytest.fixture
def lost(history: History) -> Lost:
    """A sync after which every file of the fork and of upstream is in conflict."""
    history.repo.commit({"dir/1": TEXT + FORK}, "the fork's", date=day(3))
    history.squash(30, {"dir/1": text(1, 30) + FORK}, on=31)
    found = history.find()
    assert found
    return found


def test_a_healed_history_has_the_same_files_and_both_parents(history: History, lost: Lost) -> None:
    repo = history.repo
    commit = syncs.healed_commit(shell(), repo.path, "ours", lost)
    assert repo.git("rev-parse", f"{commit}^{{tree}}") == repo.git("rev-parse", "ours^{tree}")
    assert repo.git("show", "--no-patch", "--format=%P", commit).split() == [
        repo.git("rev-parse", "ours"),
        history.names[30],
    ]


def test_a_healed_history_merges_with_fewer_conflicts(history: History, lost: Lost) -> None:
    commit = syncs.healed_commit(shell(), history.repo.path, "ours", lost)
    assert history.conflicts("ours") > 10
    assert history.conflicts(commit) == 0
    assert history.find(production=commit) is None


def test_healing_leaves_checkout_and_refs_unchanged(history: History, lost: Lost) -> None:
    """It also needs no identity to commit with."""
    repo = history.repo
    (repo.path / "dir" / "1").write_text("in the middle of work\n")
    repo.put({"staged": FORK})
    for key in ("user.name", "user.email"):
        repo.git("config", "--unset", key)
    repo.git("config", "user.useConfigOnly", "true")
    before = repo.state()
    syncs.healed_commit(shell(), repo.path, "ours", lost)
    assert repo.state() == before
