"""Decisions: which rule settles which conflict, and why. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import takewhile

from pathspec import GitIgnoreSpec

from . import hunks
from .evidence import Conflict, has_markers
from .policy import Kind, Policy, Rule, Side, Take
from .text import file_word, pathspec_word

_VERSION_LINE = re.compile(r"""\s*version\s*=\s*["'][^"']*["']\s*(#.*)?""")


@dataclass(frozen=True)
class Decision:
    """What becomes of one conflict.

    take: who wins; None where (something of) it is left for a person.
    rule: the name of the rule, "" if none fits.
    why: the reason, for people.
    whole: the winner's whole file is taken; otherwise `text` says what the file becomes.
    text: the file with the decided hunks settled; None if it is not decided by hunks.
    settled, left: how many hunks were decided, and how many are a person's.
    dropped: lines of the fork's that the decision leaves out.
    todo: what a person does about what is left.
    """

    conflict: Conflict
    take: Take | None
    rule: str
    why: str
    whole: bool = False
    text: str | None = None
    settled: int = 0
    left: int = 0
    dropped: int = 0
    todo: str = ""


def decide(conflicts: Sequence[Conflict], policy: Policy) -> list[Decision]:
    """A decision for each conflict, by the first rule that fits it."""
    matchers = [(rule, GitIgnoreSpec.from_lines(rule.paths)) for rule in policy.rules]
    decisions = []
    for conflict in conflicts:
        fitting = (r for r, paths in matchers if _fits(r, conflict, paths))
        decisions.append(_decide(conflict, next(fitting, None), policy))
    return decisions


def _fits(rule: Rule, conflict: Conflict, paths: GitIgnoreSpec) -> bool:
    return (
        (not rule.kinds or conflict.kind in rule.kinds)
        and rule.deleted_by in (None, conflict.deleted_by)
        and paths.match_file(conflict.path)
    )


def _decide(conflict: Conflict, rule: Rule | None, policy: Policy) -> Decision:
    if conflict.edited and (done := _carried_out(conflict, rule, policy)):
        return done
    # A merge of two texts can be decided hunk by hunk; anything else only as a whole.
    by_hunks = conflict.text is not None and conflict.ours and conflict.theirs
    whole = bool(rule and rule.whole)
    if by_hunks and has_markers(conflict.text or "") and not (whole and not conflict.edited):
        return _by_hunks(conflict, rule, policy)
    if conflict.edited:
        stage = f"git add -- {pathspec_word(conflict.path)}"
        return _left(conflict, rule, "Changed by hand, not staged.", stage)
    if rule is None:
        return _left(conflict, None, "No rule fits.", _how_to(conflict))
    if by_hunks and not whole and conflict.kind in (Kind.CONTENT, Kind.ADD_ADD):
        # Without markers, as with the attribute -merge, only one side's text is there.
        return _left(conflict, rule, "Git did not merge it as a text.", _how_to(conflict))
    if rule.take in (Take.FORK, Take.UPSTREAM):
        return Decision(conflict, rule.take, rule.name, rule.why, whole=True)
    return _left(conflict, rule, f"Rule {rule.name!r} decides text only.", _how_to(conflict))


def _carried_out(conflict: Conflict, rule: Rule | None, policy: Policy) -> Decision | None:
    """The decision that an earlier run has written to the file and not staged, if that is so."""
    untouched = replace(conflict, edited=False, text=conflict.merged)
    decision = _decide(untouched, rule, policy)
    if decision.left:
        return None
    if decision.whole:
        winner = conflict.ours if decision.take is Take.FORK else conflict.theirs
        same = conflict.now == (winner.name if winner else "")
    else:
        same = decision.text == conflict.text
    return replace(decision, conflict=conflict) if same else None


def _by_hunks(conflict: Conflict, rule: Rule | None, policy: Policy) -> Decision:
    file, path = file_word(conflict.path), pathspec_word(conflict.path)
    segments = hunks.parse(conflict.text or "")
    if segments is None or not any(isinstance(segment, hunks.Hunk) for segment in segments):
        why = "Its conflict markers do not add up."
        return _left(conflict, rule, why, f"edit {file}, then git add -- {path}")
    settled: list[hunks.Segment] = []
    reasons: list[str] = []
    dropped = 0
    for index, segment in enumerate(segments):
        if isinstance(segment, str):
            settled.append(segment)
            continue
        lines = _settle(segment, hunks.paragraph(segments, index), rule, policy)
        if isinstance(lines, str):
            reasons.append(lines)
            settled.append(segment)
        else:
            settled.append("".join(lines))
            if rule and rule.take is not Take.VERSION:
                known = {*lines, *(segment.base or ())}
                dropped += sum(line not in known for line in segment.ours)
    left = len(reasons)
    todo = f"resolve {_count(left, 'hunk')} in {file}, then git add -- {path}"
    return Decision(
        conflict,
        take=rule.take if rule and not left else None,
        rule=rule.name if rule else "",
        why=" ".join(dict.fromkeys(reasons)) or (rule.why if rule else ""),
        text=hunks.join(settled),
        settled=sum(isinstance(segment, hunks.Hunk) for segment in segments) - left,
        left=left,
        dropped=dropped,
        todo=todo if left else "",
    )


def _settle(
    hunk: hunks.Hunk, paragraph: str, rule: Rule | None, policy: Policy
) -> tuple[str, ...] | str:
    """The lines that a hunk becomes; a sentence that says why not if it is a person's.

    paragraph: the hunk with the lines around it.
    """
    if rule is None:
        return "No rule fits."
    if rule.take is Take.FORK:
        return hunk.ours
    if rule.take is Take.UPSTREAM:
        return hunk.theirs
    if rule.take is Take.VERSION:
        lines = (*hunk.ours, *(hunk.base or ()), *hunk.theirs)
        if all(map(_VERSION_LINE.fullmatch, _bare(lines))):
            return hunk.theirs
        return "More than the version is in conflict."
    if policy.markers and policy.markers.fork in paragraph:
        return f"A block marked `{policy.markers.fork}` is touched."
    # Where the base is empty, both sides only added lines.
    return _both(hunk) if hunk.base == () else "Both sides changed the same lines."


def _both(hunk: hunks.Hunk) -> tuple[str, ...]:
    """The lines of both sides; what both begin or end with stands once."""
    ours, theirs = hunk.ours, hunk.theirs
    start = _alike(ours, theirs)
    rest, other = ours[start:], theirs[start:]
    end = _alike(rest[::-1], other[::-1])
    return (*ours[:start], *rest[: len(rest) - end], *other)


def _alike(one: Sequence[str], other: Sequence[str]) -> int:
    """How many lines both begin with."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def _bare(lines: Sequence[str]) -> list[str]:
    return [line.rstrip("\r\n") for line in lines]


def _left(conflict: Conflict, rule: Rule | None, why: str, todo: str) -> Decision:
    return Decision(conflict, None, rule.name if rule else "", why, left=1, todo=todo)


def _how_to(conflict: Conflict) -> str:
    """What a person does about a conflict as a whole, in words that can be pasted."""
    file, path = file_word(conflict.path), pathspec_word(conflict.path)
    if conflict.deleted_by is Side.UPSTREAM:
        return f"git add -- {path} keeps it, git rm -- {path} follows upstream"
    if conflict.deleted_by is Side.FORK:
        return f"git rm -- {path} keeps it deleted, git add -- {path} follows upstream"
    if conflict.kind is Kind.RENAME:
        return f"git add -- {path} keeps this name, git rm -- {path} drops it"
    if conflict.kind is Kind.SUBMODULE:
        return f"check the wanted commit out in {file}, then git add -- {path}"
    if conflict.kind in (Kind.BINARY, Kind.SYMLINK):
        sides = f"git checkout --ours -- {path} (the fork's) or --theirs (upstream's)"
        return f"{sides}, then git add -- {path}"
    return f"edit {file}, then git add -- {path}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
