"""Programs that propose what becomes of a conflict: asked, checked, written down as theirs."""

from __future__ import annotations

import json
import re
import shlex
import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from ..audit import fates, soundness
from ..audit.fates import Fate
from ..fork import records
from ..fork.fork import Fork
from ..fork.policy import Proposer
from ..fork.records import Proposal
from ..fork.session import Session
from ..merge import commits, resolve
from ..merge.decisions import Decision
from ..merge.dossier import NoAnswer, Question
from ..merge.hunks import Change, Conflict
from ..merge.resolve import Resolution
from ..run import files, git, programs
from ..run.errors import Refused
from ..run.shell import Shell
from ..run.text import in_actions, listed, printable


@dataclass(frozen=True)
class Answer:
    """What a program made of a conflict.

    asked, answered: characters that it read and wrote, which is what assistants are paid by.
    text: the file as it would be; None where that does not pass, and `why` says why not.
    """

    proposer: str
    path: str
    seconds: float
    asked: int
    answered: int
    text: str | None
    why: str = ""

    @property
    def line(self) -> str:
        """What came of it, in a line."""
        end = "proposed" if self.text is not None else f"refused: {self.why}"
        cost = f"{self.seconds:.1f} s, {self.asked:,} characters read, {self.answered:,} written"
        return f"{self.proposer}, {printable(self.path)}, {cost}: {end}"


def settle(
    s: Session, fork: Fork, work: Path, done: Resolution, ours: str, theirs: str, release: str
) -> tuple[Resolution, list[Answer]]:
    """Ask the policy's programs about what is left of a merge; what passes is staged, and written
    down as proposed. What became of the merge, and all that they answered.

    Raises Refused if a program changes anything but its answer.
    """
    left = [d for d in done.left if d.text is not None and fork.policy.proposers_for(_path(d))]
    if not left or s.sh.dry:
        return done, []
    if in_actions():
        # This job holds a token that can write to the fork.
        s.console.say(
            "No program is asked for proposals in a job of GitHub Actions; "
            "`resolve-conflicts --pr` asks on a person's machine."
        )
        return done, []
    with s.console.working("proposals"):
        answers = list(_answers(s.sh, fork, work, left, done, release))
    passed = {answer.path: answer for answer in answers if answer.text is not None}
    if not passed:
        return done, answers
    decisions = [_as_decision(d, passed.get(_path(d))) for d in done.decisions]
    more = [Proposal(path, answer.proposer, release) for path, answer in passed.items()]
    # Upstream's side may hold such a file; it speaks for nobody.
    foreign = git.show(s.sh, work, theirs, records.PROPOSALS_FILE) is not None
    _write_down(s.sh, work, more, ours if foreign else "")
    resolve.carry_out(s.sh, work, [d for d in decisions if _path(d) in passed])
    return replace(done, decisions=tuple(decisions)), answers


def _path(decision: Decision) -> str:
    return decision.conflict.path


def _as_decision(decision: Decision, answer: Answer | None) -> Decision:
    """The decision that a proposal makes of one that is left."""
    if answer is None:
        return decision
    return replace(
        decision,
        rule=f"proposed by {answer.proposer}",
        why="A program wrote this; a person has yet to accept it.",
        text=answer.text,
        settled=decision.settled + decision.left,
        left=0,
    )


def _answers(
    sh: Shell, fork: Fork, work: Path, left: Sequence[Decision], done: Resolution, release: str
) -> Iterator[Answer]:
    """What each program made of each conflict; of those that fit a path, the first that passes."""
    for decision in left:
        path = _path(decision)
        question = Question(decision, done.dossiers[path], fork.policy, release)
        for proposer in fork.policy.proposers_for(path):
            with _nothing_else_changes(sh, fork, work, proposer):
                answer = _ask(proposer, question)
            if answer.text is not None and (why := _flaw(sh, fork, decision, answer.text)):
                answer = replace(answer, text=None, why=why)
            yield answer
            if answer.text is not None:
                break


# --- Asking --------------------------------------------------------------------------------------


def _ask(proposer: Proposer, question: Question) -> Answer:
    """A program's answer, as far as its form goes."""
    text = question.as_markdown()
    if proposer.format == "json":
        text = json.dumps(question.as_json())
    begun, said, answer, why = time.monotonic(), "", None, ""
    try:
        said = programs.answer(
            shlex.split(proposer.command),
            text,
            seconds=proposer.timeout,
            variables=proposer.environment,
        )
        answer = question.answered(said)
    except (NoAnswer, programs.Unanswered) as no:
        why = str(no)
    path, seconds = question.decision.conflict.path, time.monotonic() - begun
    return Answer(proposer.name, path, seconds, len(text), len(said), answer, why)


@contextmanager
def _nothing_else_changes(sh: Shell, fork: Fork, work: Path, proposer: Proposer) -> Iterator[None]:
    """Raises Refused if refs, settings, hooks or files of the fork are others afterwards."""
    before = _state(sh, fork, work)
    yield
    after = _state(sh, fork, work)
    if changed := [what for what, state in before.items() if after[what] != state]:
        raise Refused(
            f"while `{proposer.name}` was asked, {' and '.join(changed)} changed.",
            untouched="Its answer was not used; nothing was committed.",
            then=f"see what changed ({git.at(work)} status; {git.at(fork.path)} reflog), put it "
            "right, and leave that program out with --no-proposals.",
        )


def _state(sh: Shell, fork: Fork, work: Path) -> dict[str, object]:
    """What no program may change while it is asked, by what to call it."""
    top = fork.repository.top
    trees = sorted({tree.absolute() for tree in (work, top) if tree})
    status = "git -C {tree} status --porcelain=v2 --untracked-files=all -z"
    diff = "git -C {tree} diff --no-ext-diff --no-textconv --no-color --raw -p HEAD --"
    common = fork.repository.common
    own = [common / "config", *_below(common, "hooks", "info")]
    return {
        "refs": sh.ask("git -C {repo} show-ref --head", repo=fork.path).out,
        "settings or hooks": [(str(file), file.read_bytes()) for file in own if file.is_file()],
        "files": [sh.ask(line, tree=tree).out for tree in trees for line in (status, diff)],
    }


def _below(common: Path, *names: str) -> list[Path]:
    return sorted(path for name in names for path in (common / name).rglob("*"))


# --- Checking ------------------------------------------------------------------------------------


class _File:
    """A commit that holds one file: a snapshot as the search for unsound files takes it."""

    def __init__(self, path: str, text: str) -> None:
        self._path, self._text = path, text
        self.paths: Collection[str] = [path]

    def text(self, path: str) -> str | None:
        return self._text if path == self._path else None

    def version(self, path: str) -> str:
        return self._text if path == self._path else ""


def _flaw(sh: Shell, fork: Fork, decision: Decision, text: str) -> str:
    """What is wrong with a file as proposed, "" if nothing: it is not sound any more, or lacks
    something that a side wrote."""
    conflict = decision.conflict
    texts = conflict.texts
    if texts is None:
        return "its file is not text on both sides"
    path = conflict.path
    sides = [_File(path, side) for side in (texts.ours, texts.theirs)]
    for problem in soundness.problems([path], _File(path, text), sides):
        return str(problem)
    changed = _changes(sh, fork, conflict)
    old = set(texts.base.split("\n"))
    new = _words(line for line in text.split("\n") if line not in old)
    for whose, mine, other in (
        ("the fork's", (changed[0], texts.ours), (changed[1], texts.theirs)),
        ("upstream's", (changed[1], texts.theirs), (changed[0], texts.ours)),
    ):
        accounts = fates.account(mine[0], other[0], texts.base, mine[1], other[1], text)
        for account in accounts:
            # Where both sides changed a line, it is in other words, or in two lines.
            gone = [line for line in account.traceless if not _words([line]) <= new]
            gone += account.back * (account.fate is Fate.LOST)
            if account.fate in (Fate.LOST, Fate.SUPERSEDED) and gone:
                return f"it loses a change of {whose}: {printable(gone[0].strip())}"
    return ""


def _words(lines: Iterable[str]) -> Counter[str]:
    return Counter(word for line in lines for word in re.findall(r"\w+", line))


def _changes(
    sh: Shell, fork: Fork, conflict: Conflict
) -> tuple[Sequence[Change], Sequence[Change]]:
    """What both sides changed in a file."""
    base, ours, theirs = (
        x.name if x else None for x in (conflict.base, conflict.ours, conflict.theirs)
    )
    pairs = [(base, ours), (base, theirs)]
    known = commits.changes(sh, fork.path, pairs)
    mine, other = (known.get(pair, []) for pair in pairs)
    return mine, other


# --- Writing down, and accepting -----------------------------------------------------------------


def _write_down(sh: Shell, work: Path, more: Sequence[Proposal], known_in: str = "") -> None:
    """Put proposals into the file that remembers them, and stage that.

    known_in: the commit that has the file as it was; "" for what is staged.
    """
    before = git.show(sh, work, "", records.PROPOSALS_FILE)
    old = git.show(sh, work, known_in, records.PROPOSALS_FILE)
    known = {(one.path, one.release): one for one in records.read_proposals(old)}
    known |= {(one.path, one.release): one for one in more}
    after = records.write_proposals(known.values())
    files.write_staged(sh, work, records.PROPOSALS_FILE, before, after)


def accept(s: Session, work: Path, paths: Sequence[str]) -> None:
    """Write down in a work tree that whoever runs this accepts proposals, and stage that.

    Raises Refused if nobody proposed anything there, or this is a job of GitHub Actions.
    """
    if in_actions():
        raise Refused(
            "a person accepts a proposal, not a job.",
            then="run it on your machine, or approve the pull request.",
        )
    known = records.read_proposals(git.show(s.sh, work, "", records.PROPOSALS_FILE))
    waiting = {one.path: one for one in known if not one.accepted}
    for path in paths:
        if path not in waiting:
            there = f"name one of: {listed(sorted(map(printable, waiting)), 5)}."
            raise Refused(
                f"{printable(path)} holds no proposal that waits for a person.",
                then=there
                if waiting
                else "name the pull request that has one with --pr, or the "
                "upgrade's work tree with --repo.",
            )
    ident = git.ask(s.sh, work, "var GIT_COMMITTER_IDENT", "identity").line
    who = ident.rpartition(">")[0] + ">"
    objects: Mapping[str, str] = dict(
        zip(paths, git.objects(s.sh, work, [f":{path}" for path in paths]), strict=True)
    )
    accepted = [
        msgspec.structs.replace(waiting[path], accepted=who, object=objects[path].split(" ")[0])
        for path in paths
    ]
    _write_down(s.sh, work, accepted)
    for path in paths:
        s.console.row("accepted: ", path)


def of_sync(sh: Shell, repo: Path, ours: str, head: str) -> list[Proposal]:
    """The proposals that a sync holds, accepted or not; those of earlier ones are the fork's."""
    before, now = (git.show(sh, repo, commit, records.PROPOSALS_FILE) for commit in (ours, head))
    old = records.read_proposals(before)
    return [one for one in records.read_proposals(now) if one not in old]
