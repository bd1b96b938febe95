"""Decisions: how evidence and the policy's rules settle a conflict, and why. Pure.

In text, evidence comes before rules by path: upstream's side never replaces lines that the fork
wrote, unless upstream has them, too, or a person said so.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from pathspec import GitIgnoreSpec

from ..fork.patterns import find_all, globs
from ..fork.policy import ALONE, Kind, Policy, Rule, Side, Take, VersionFile
from ..fork.records import Drop
from ..run.text import counted, difference, file_word, pathspec_word, states_version, substantive
from . import additions, hunks
from .absorbed import History, doubled, is_absorbed, same_but_space
from .hunks import Conflict, Customisations, has_markers
from .memory import Memory


@dataclass(frozen=True)
class Decision:
    """The decision about one conflict.

    take: who wins; None if something is left for a person.
    rule: the name of the rule; "" if none matches.
    why: the reason, for people.
    whole: whether the winner's whole file is taken; otherwise `text` is the new text.
    text: the file with the decided hunks resolved; None if it is not decided by hunks.
    settled, left: how many hunks were decided, and how many are left for a person.
    became: for each hunk, the resulting lines and the name of the reason; None if it is left.
    dropped: how many fork lines the decision leaves out.
    todo: what a person should do about the rest.
    past: how an earlier conflict about the same lines was resolved; "" if unknown.
    given_up: the losing side's changed lines, if a person chose; empty if that is a whole file.
    """

    conflict: Conflict
    take: Take | None
    rule: str
    why: str
    whole: bool = False
    text: str | None = None
    settled: int = 0
    left: int = 0
    became: tuple[tuple[tuple[str, ...], str] | None, ...] = ()
    dropped: int = 0
    todo: str = ""
    past: str = ""
    given_up: tuple[str, ...] = ()


@dataclass(frozen=True)
class Knowledge:
    """What decisions are based on.

    own: what the fork's own commits did; None if unknown: then only rules decide.
    drops: what people dropped on purpose.
    memory: how people resolved the same hunks before.
    upstream: what upstream itself did to the files.
    words: what a person says now: which side wins at some paths, in everything still undecided.
    by_name: whether files may also be merged by name, unless what people did contradicts it.
    """

    policy: Policy
    own: Customisations | None = None
    drops: Sequence[Drop] = ()
    memory: Memory = field(default_factory=Memory)
    upstream: History = field(default_factory=History)
    words: Mapping[str, Take] = field(default_factory=dict)
    by_name: bool = True


@dataclass(frozen=True)
class _Reason:
    """The reason for a decision; named like a rule."""

    name: str
    why: str
    take: Take


_Settled = tuple[tuple[str, ...], Rule | _Reason]
"""The lines that a hunk becomes, and why."""

_UNTOUCHED = _Reason(
    "untouched by the fork",
    "No fork commit changed this; an earlier merge or sync left the difference.",
    Take.UPSTREAM,
)
_ABSORBED = _Reason("absorbed", "Upstream has the fork's change, too.", Take.UPSTREAM)
_SPACE = _Reason(
    "white space", "One side changed white space only; the other's text stays.", Take.BOTH
)
_ENDS = _Reason("line ends", "One side converted all line ends; its line ends stay.", Take.BOTH)
_SAME_CONTENT = _Reason("same content", "Only the mode differs; the fork's stays.", Take.FORK)
_APPENDED = _Reason("both added", "Both sides only added lines, and not the same ones.", Take.BOTH)
_BLOCK = _Reason(
    "marked block",
    "The fork's marked block stays inside upstream's new text, at its old line.",
    Take.BOTH,
)
_FORM = _Reason(
    "form",
    "One side changed only line breaks, quotes and the like; the other's text stays.",
    Take.BOTH,
)
_BY_NAME = _Reason("merged by name", "Each side changed different parts; both stay.", Take.BOTH)


def decide(conflicts: Sequence[Conflict], known: Knowledge) -> list[Decision]:
    """A decision for each conflict."""
    matchers = [(rule, globs(rule.paths)) for rule in known.policy.rules]
    decisions = []
    for conflict in conflicts:
        fitting = (r for r, paths in matchers if _fits(r, conflict, paths))
        decisions.append(_with_word(_decide(conflict, next(fitting, None), known), known))
    return decisions


def _with_word(decision: Decision, known: Knowledge) -> Decision:
    take = known.words.get(decision.conflict.path)
    return _by_word(decision, take) if take and decision.left else decision


BY_WORD = "a person's word"
_WORDS = {
    Take.UPSTREAM: _Reason(BY_WORD, "--accept-upstream was given.", Take.UPSTREAM),
    Take.FORK: _Reason(BY_WORD, "--keep-fork was given.", Take.FORK),
}


def _by_word(decision: Decision, take: Take) -> Decision:
    """The decision with everything still undecided settled as a person says now."""
    conflict, reason = decision.conflict, _WORDS[take]
    segments = hunks.parse(decision.text) if decision.text is not None else None
    if segments is None:
        # The merge must not undo what somebody did to the file by hand.
        return decision if conflict.edited else _whole(conflict, reason)
    text, given, dropped = "", [], decision.dropped
    for segment in segments:
        if isinstance(segment, str):
            text += segment
            continue
        winner, loser = segment.theirs, segment.ours
        if take is Take.FORK:
            winner, loser = loser, winner
        text += "".join(winner)
        base = hunks.base_of(segment, conflict.merged)
        changed = [x for both in difference("".join(base), "".join(loser)) for x in both]
        given += [line.strip() for line in changed if line.strip()] or [x.strip() for x in loser]
        if take is Take.UPSTREAM:
            dropped += sum(line not in {*winner, *base} for line in loser)
    return Decision(
        conflict,
        take,
        reason.name,
        reason.why,
        text=text,
        settled=decision.settled + decision.left,
        dropped=dropped,
        given_up=tuple(dict.fromkeys(given)),
    )


def _fits(rule: Rule, conflict: Conflict, paths: GitIgnoreSpec) -> bool:
    kind = conflict.kind
    if kind is Kind.RENAME and conflict.deleted_by is Side.FORK:
        kind = Kind.MODIFY_DELETE  # upstream's change to it is the rename
    return (
        (not rule.kinds or kind in rule.kinds)
        and rule.deleted_by in (None, conflict.deleted_by)
        and paths.match_file(conflict.path)
    )


def _decide(conflict: Conflict, rule: Rule | None, known: Knowledge) -> Decision:
    if conflict.edited and (done := _carried_out(conflict, rule, known)):
        return done
    # Conflicts in text can be decided hunk by hunk, all others only as a whole.
    by_hunks = conflict.text is not None and conflict.ours and conflict.theirs
    whole = bool(rule and rule.whole)
    if not whole and not conflict.edited and _is_nobodys(conflict, known):
        return _whole(conflict, _UNTOUCHED)
    if by_hunks and has_markers(conflict.text or "") and not (whole and not conflict.edited):
        return _by_hunks(conflict, rule, known)
    if conflict.edited:
        stage = f"git add -- {pathspec_word(conflict.path)}"
        if conflict.invented:
            stage += f" && {hunks.pasteable([['rm', '-rf', '--', *conflict.invented]])}"
        return _left(conflict, rule, "Edited by hand, not staged.", stage)
    if drop := _dropped(conflict, (), known) or _dropped(conflict, (), known, Side.UPSTREAM):
        return _whole(conflict, drop)
    if known.own is not None and conflict.kind is Kind.MODE and not whole:
        return _whole(conflict, _SAME_CONTENT)
    if rule is None:
        renamed = "A side renamed it: one of its names has to stay."
        why = renamed if conflict.kind is Kind.RENAME else "No rule fits."
        return _left(conflict, None, why, _how_to(conflict))
    if rule.deleted_by is Side.FORK and not _is_removed_on_purpose(conflict, known):
        why = "No fork commit deleted this file; an earlier merge lost it."
        return _left(conflict, rule, why, _how_to(conflict))
    if by_hunks and not whole and conflict.kind in (Kind.CONTENT, Kind.ADD_ADD):
        # Without markers, as with the attribute -merge, the file has only one side's text.
        return _left(conflict, rule, "Git did not merge it as text.", _how_to(conflict))
    if rule.take in (Take.FORK, Take.UPSTREAM):
        return _whole(conflict, rule)
    return _left(conflict, rule, f"Rule {rule.name!r} decides text only.", _how_to(conflict))


def _whole(conflict: Conflict, reason: Rule | _Reason) -> Decision:
    return Decision(conflict, reason.take, reason.name, reason.why, whole=True)


def _is_nobodys(conflict: Conflict, known: Knowledge) -> bool:
    """Whether no fork commit is behind the fork's side of a conflict. If an earlier merge lost the
    whole file, somebody may have meant that."""
    if known.own is None or conflict.kind in (Kind.RENAME, Kind.DIRECTORY):
        return False
    if conflict.deleted_by is Side.FORK:
        return False
    if known.own.of((conflict.path, *conflict.names)):
        return False
    if not conflict.texts:
        return True
    # Upstream may have renamed the file since the fork changed it.
    added, removed = difference(conflict.texts.base, conflict.texts.ours)
    return not known.own.behind((*added, *removed))


def _is_removed_on_purpose(conflict: Conflict, known: Knowledge) -> bool:
    """Whether a fork commit deleted a file: under one of its names, or by its lines, all of which
    it removed; lines common to many files do not count."""
    if known.own is None or not {conflict.path, *conflict.names}.isdisjoint(known.own.removed):
        return True
    lines = conflict.texts.base.split("\n") if conflict.texts else ()
    telling = [line for line in lines if substantive(line)]
    removed = sum(bool(known.own.behind([line])) for line in telling)
    return bool(telling) and removed >= max(2, len(telling))


_DROPPED = "dropped on purpose"
_TWICE = "Both sides added the same line in different places: the file would have it twice."


def _dropped(
    conflict: Conflict, lines: Sequence[str], known: Knowledge, side: Side = Side.FORK
) -> _Reason | None:
    """A person's decision to drop a side's change, if it covers the lines."""
    take = Take.UPSTREAM if side is Side.FORK else Take.FORK
    for drop in known.drops:
        if (drop.path, drop.side) == (conflict.path, side.value) and drop.covers(lines):
            return _Reason(_DROPPED, drop.reason, take)
    return None


def _carried_out(conflict: Conflict, rule: Rule | None, known: Knowledge) -> Decision | None:
    """The decision that an interrupted run wrote to the file but did not stage, if any."""
    untouched = replace(conflict, edited=False, text=conflict.merged)
    decision = _with_word(_decide(untouched, rule, known), known)
    if decision.left:
        return None
    if decision.whole:
        winner = conflict.ours if decision.take is Take.FORK else conflict.theirs
        same = conflict.now == (winner.name if winner else "")
    else:
        same = decision.text == conflict.text
    return replace(decision, conflict=conflict) if same else None


def _by_hunks(conflict: Conflict, rule: Rule | None, known: Knowledge) -> Decision:
    file, path = file_word(conflict.path), pathspec_word(conflict.path)
    segments = hunks.parse(conflict.text or "")
    if segments is None or not any(isinstance(segment, hunks.Hunk) for segment in segments):
        why = "Its conflict markers do not add up."
        return _left(conflict, rule, why, f"edit {file}, then git add -- {path}")
    end = hunks.line_end(conflict.texts) if conflict.texts else None
    if end:
        segments = hunks.with_line_end(segments, end)
    outcomes: dict[int, _Settled | str] = {}
    dropped = 0
    for index, segment in enumerate(segments):
        if isinstance(segment, hunks.Hunk):
            # If both sides added the file, the base is empty.
            hunk = segment if conflict.base else replace(segment, base=())
            outcomes[index] = outcome = _settle(conflict, hunk, segments, index, rule, known)
            dropped += _gave_way(hunk, outcome)
    settled = {i: outcome for i, outcome in outcomes.items() if not isinstance(outcome, str)}
    total, limit = len(outcomes), ""
    if len(settled) < total:
        by_name, limit = _by_name(conflict, segments, settled, known)
        if isinstance(by_name, str) and not doubled(conflict.texts, by_name):
            take, name, why = _BY_NAME.take, _BY_NAME.name, _BY_NAME.why
            return Decision(conflict, take, name, why, text=by_name, settled=total)
        settled |= {} if isinstance(by_name, str) else by_name
    merged = "".join(x for x in _with(segments, settled) if isinstance(x, str))
    twice = doubled(conflict.texts, merged)
    settled = {i: one for i, one in settled.items() if twice.isdisjoint(map(str.strip, one[0]))}
    problems = [
        x if isinstance(x, str) else _TWICE for i, x in outcomes.items() if i not in settled
    ]
    reasons = list(dict.fromkeys(reason for _, reason in settled.values()))
    reasons += [_ENDS] * bool(end and not outcomes)
    open_ = [segments[i] for i in outcomes if i not in settled]
    left = len(problems)
    problems += [limit] * bool(left and limit)
    todo = f"resolve {counted(left, 'hunk')} in {file}, then git add -- {path}"
    return Decision(
        conflict,
        take=reasons[0].take if reasons and not left else None,
        rule=", ".join(reason.name for reason in reasons) or (rule.name if rule else ""),
        why=" ".join(dict.fromkeys(problems or [reason.why for reason in reasons])),
        text=hunks.join(_with(segments, settled)),
        settled=(total or 1) - left,
        left=left,
        became=tuple(
            (settled[i][0], settled[i][1].name) if i in settled else None for i in outcomes
        ),
        dropped=dropped,
        todo=todo if left else "",
        past=known.memory.about(conflict.path, open_, known.drops),
    )


def _gave_way(hunk: hunks.Hunk, outcome: _Settled | str) -> int:
    """How many fork lines a decision about a hunk leaves out."""
    if isinstance(outcome, str) or outcome[1].take is Take.VERSION:
        return 0
    kept = {*outcome[0], *(hunk.base or ())}
    return sum(line not in kept for line in hunk.ours)


def _with(
    segments: Sequence[hunks.Segment], settled: Mapping[int, _Settled]
) -> list[hunks.Segment]:
    """A file with what its hunks became, by their positions."""
    return ["".join(settled[i][0]) if i in settled else x for i, x in enumerate(segments)]


def _settle(
    conflict: Conflict,
    hunk: hunks.Hunk,
    segments: Sequence[hunks.Segment],
    index: int,
    rule: Rule | None,
    known: Knowledge,
) -> _Settled | str:
    """The lines that a hunk becomes, and why; or a sentence that says why it is left for a person.

    segments, index: the file, and the hunk's position in it.
    """
    take = rule.take if rule else None
    if rule and take is Take.FORK:
        return hunk.ours, rule
    if rule and take is Take.VERSION:
        files: list[VersionFile | None] = [
            file for file in known.policy.version_files if file.path == conflict.path
        ]
        sides = [lines for lines in (hunk.ours, hunk.base, hunk.theirs) if lines]
        if any(_only_version(file, *sides) for file in files or [None]):
            return hunk.theirs, rule
    shown = hunk.base is not None and known.own is not None
    if shown and (by_evidence := _by_evidence(conflict, hunk, known)):
        return by_evidence
    if rule and take is Take.UPSTREAM:
        return hunk.theirs, rule
    if rule and take is Take.VERSION:
        return "The rule for this path decides the version only; here other lines differ."
    marker = known.policy.markers.fork if known.policy.markers else ""
    if marker and marker in hunks.paragraph(segments, index):
        block = hunks.with_blocks(hunk, marker) if known.own is not None else None
        return (block, _BLOCK) if block else f"The conflict touches a block marked `{marker}`."
    around = segments[:index], segments[index + 1 :]
    before, after = ("".join(x for x in part if isinstance(x, str)) for part in around)
    if rule and take is Take.BOTH:
        # With an empty base both sides only added lines.
        added = hunk.base == ()
        lines = added and additions.joined(conflict.path, before, hunk.ours, hunk.theirs, after)
        return (lines, rule) if lines else "Both sides changed the same place."
    if known.own is None:
        return "No rule fits."
    if not hunks.only_added(conflict, hunk):
        return "Both sides changed the same place."
    both = additions.together(conflict.path, before, hunk.ours, hunk.theirs, after)
    if isinstance(both, str):
        return both
    from . import gone, settling  # slow to import

    if gone.needs_what_is_gone(conflict.path, conflict.texts, hunk):
        return "One side added a reference to what the other side renamed or removed."
    if settling.is_in_text(conflict.path, before, "".join(hunk.ours), after):
        return additions.ORDERED
    return both, _APPENDED


def _by_evidence(conflict: Conflict, hunk: hunks.Hunk, known: Knowledge) -> _Settled | None:
    """The decision that the contents themselves suggest for a hunk whose base is shown."""
    base = hunk.base or ()
    added, removed = difference("".join(base), "".join(hunk.ours))
    if drop := _dropped(conflict, [*added, *removed], known):
        return hunk.theirs, drop
    changed = [x for both in difference("".join(base), "".join(hunk.theirs)) for x in both]
    if changed and (drop := _dropped(conflict, changed, known, Side.UPSTREAM)):
        return hunk.ours, drop
    if is_absorbed(conflict.path, hunk, conflict.texts):
        return _unless_gone(conflict, hunk, _ABSORBED)
    if _is_upstreams(conflict, hunk, known):
        return _unless_gone(conflict, hunk, _UNTOUCHED)
    same = same_but_space(conflict.path)
    if same(base, hunk.ours) and "".join(hunk.theirs).strip():
        return hunks.respaced(base, hunk.theirs, hunk.ours), _SPACE
    if same(base, hunk.theirs):
        return hunks.respaced(base, hunk.ours, hunk.theirs), _SPACE
    if seen := known.memory.find(conflict.path, hunk):
        return seen.lines, _Reason("remembered", f"As in {seen.commit}.", Take.BOTH)
    before = conflict.texts.base if conflict.texts else ""
    if taker := known.upstream.taker(conflict.path, hunk, before):
        why = (
            f"Upstream had the fork's change, too, in {taker.name[:10]}, and has changed it since."
        )
        return _unless_gone(conflict, hunk, _Reason("taken up", why, Take.UPSTREAM))
    return None


def _unless_gone(conflict: Conflict, hunk: hunks.Hunk, why: _Reason) -> _Settled | None:
    """Upstream's lines, unless they need what the fork renamed elsewhere in the file."""
    from . import gone  # slow to import

    needs = gone.needs_what_is_gone(conflict.path, conflict.texts, hunk, upstream=True)
    return None if needs else (hunk.theirs, why)


def _is_upstreams(conflict: Conflict, hunk: hunks.Hunk, known: Knowledge) -> bool:
    """Whether no fork commit wrote or removed any of the lines, and upstream's file has all lines
    that the fork's side added, and as often if they replace others: an earlier merge left them
    there."""
    if known.own is None or conflict.texts is None:
        return False
    added, removed = difference("".join(hunk.base or ()), "".join(hunk.ours))
    # A line that a merge brought and that upstream's file has, too, is upstream's.
    wrote = known.own.behind([*added, *removed])
    if any(commit.name not in known.own.bringing for commit in wrote):
        return False
    texts = conflict.texts.ours, conflict.texts.theirs
    ours, theirs = (Counter(map(str.strip, text.split("\n"))) for text in texts)
    said = [line.strip() for line in added if re.search(r"\w", line)]
    least = ours if removed else Counter({*said})
    if not any(map(substantive, said)) or any(theirs[line] < least[line] for line in said):
        return False
    # If upstream still has the old line here, the new one is only by chance elsewhere in its file.
    here = {line.strip() for line in hunk.theirs}
    if not here >= {*said} and any(line.strip() in here for line in filter(substantive, removed)):
        return False
    # What one side moved may have gone from its old place by itself.
    there = (
        line.strip()
        for segment in hunks.parse(conflict.text or "") or ()
        for line in (segment.split("\n") if isinstance(segment, str) else segment.theirs)
    )
    return {*said} <= {*there}


def _by_name(
    conflict: Conflict,
    segments: Sequence[hunks.Segment],
    settled: Mapping[int, _Settled],
    known: Knowledge,
) -> tuple[dict[int, _Settled] | str, str]:
    """The results for hunks of a file that is merged by name, by their positions; or the whole text
    if the file consists of keys, because hunks tear sides with different key order apart. Also why
    not all of them were tried; "" if they were.

    settled: what is decided already, by position.
    """
    own, texts = known.own, conflict.texts
    if not (known.by_name and conflict.base) or conflict.edited or own is None or texts is None:
        return {}, ""
    from . import languages, named, settling  # slow to import

    segments = _with(segments, settled)
    marker = known.policy.markers.fork if known.policy.markers else ""
    left = [i for i, x in enumerate(segments) if isinstance(x, hunks.Hunk) and x.base is not None]
    wanted = [i for i in left if not (marker and marker in hunks.paragraph(segments, i))]
    files = known.policy.version_files
    keys = [key for file in files if file.path == conflict.path for key in file.keys]
    # Nobody decided to remove what only an earlier merge left out.
    results, limit = settling.settle(
        conflict.path,
        texts,
        segments,
        wanted,
        lambda text: bool(own.behind(text.split("\n"))),
        keys,
    )
    language = languages.language_of(conflict.path)
    let_go = any(reason.name == _DROPPED for _, reason in settled.values())
    if not let_go and len(results) < len(left) and language and language.maps:
        merged = named.merge(conflict.path, texts.base, texts.ours, texts.theirs, keys)
        if merged is not None:
            return merged, limit
    reasons = {settling.FORM: _FORM, settling.PARTS: _BY_NAME}
    return {i: (lines, reasons[why]) for i, (lines, why) in results.items()}, limit


def _only_version(file: VersionFile | None, *sides: Sequence[str]) -> bool:
    """Whether lines state the version and differ only in it.

    file: how the policy says the file states the version, if it does.
    sides: the lines of a hunk, from each side.
    """
    if file is None or file.keys:
        return all(states_version(line) for lines in sides for line in lines)
    blank = set()
    for lines in sides:
        matches_by_line = [find_all(file.pattern or ALONE, line) for line in lines]
        if not all(len(matches) == 1 for matches in matches_by_line):
            return False
        spans = [matches[0].span("version") for matches in matches_by_line]
        pairs = zip(lines, spans, strict=True)
        blank.add(tuple(line[:start] + line[end:].rstrip() for line, (start, end) in pairs))
    return len(blank) == 1


def _left(conflict: Conflict, rule: Rule | None, why: str, todo: str) -> Decision:
    return Decision(conflict, None, rule.name if rule else "", why, left=1, todo=todo)


def _how_to(conflict: Conflict) -> str:
    """What a person should do about a conflict as a whole, ready to paste."""
    file, path = file_word(conflict.path), pathspec_word(conflict.path)
    if conflict.kind in (Kind.DIRECTORY, Kind.SUBMODULE) or conflict.invented:
        fork = hunks.pasteable(hunks.taking(conflict, Side.FORK, "{ours}"))
        upstream = hunks.pasteable(hunks.taking(conflict, Side.UPSTREAM, "{theirs}"))
        return f"{fork}  # takes the fork's\n{upstream}  # takes upstream's"
    if conflict.deleted_by is Side.UPSTREAM:
        return "say why: --keep-fork keeps it, --accept-upstream deletes it"
    if conflict.deleted_by is Side.FORK:
        return "say why: --keep-fork leaves it deleted, --accept-upstream brings it back"
    if conflict.kind is Kind.RENAME:
        once = ", once its hunks are resolved" * has_markers(conflict.text or "")
        return f"git add -- {path}  # keeps this name{once}\ngit rm -- {path}  # drops it"
    if conflict.kind in (Kind.BINARY, Kind.SYMLINK):
        sides = f"git checkout --ours -- {path} (the fork's) or --theirs (upstream's)"
        return f"{sides}, then git add -- {path}"
    return f"edit {file}, then git add -- {path}"
