"""Additions: lines that both sides added at one place, and whether both can stay. Pure.

What they consist of: `items`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import takewhile

from ..run.text import lines_of
from .items import (
    ABOVE,
    LEAVES,
    LONGEST,
    Item,
    Kind,
    code_of,
    free,
    inside_of,
    is_above,
    is_type,
    item,
    margin_of,
    rival,
)

NESTED = "Both sides added lines at the same place, and one opens or closes a block there."
ORDERED = "Both sides added lines at the same place, and their order may matter."
RIVAL = "Both sides added the same name, number or requirement."

_PROSE = (".md", ".mdx", ".rst", ".txt", ".adoc", ".tex", ".html", ".htm", ".svg", ".vue", ".sql")
_TABLES = (".toml", ".ini", ".cfg", ".conf", ".editorconfig", ".properties")
_SETS = (".gitignore", ".dockerignore", ".npmignore", ".prettierignore", "go.sum")


def together(
    path: str, before: str, ours: Sequence[str], theirs: Sequence[str], after: str
) -> tuple[str, ...] | str:
    """The lines of two additions at one place, if their order cannot matter or is evident;
    otherwise a sentence that says why not.

    before, after: the text around the place.
    """
    if _is_set(path):
        theirs = [line for line in theirs if line not in ours]
        if not theirs:
            return tuple(ours)
    placed = _sorted(before, ours, theirs, after)
    name = path.rpartition("/")[2].lower()
    if _is_set(path):
        why = ORDERED if any(line.startswith("!") for line in (*ours, *theirs)) else ""
    elif name.endswith(_PROSE) and "requirements" not in name:
        why = ORDERED
    else:
        why = _objection(path, before, ours, theirs, after, bool(placed))
    return why or placed or _spaced(ours, theirs)


def joined(
    path: str, before: str, ours: tuple[str, ...], theirs: tuple[str, ...], after: str
) -> tuple[str, ...] | None:
    """The lines of two additions whose order somebody declared free; common first and last lines
    appear once. None if one cannot follow the other anyway, or both are inside something that each
    side added separately, such as a Makefile target."""
    start = _alike(ours, theirs)
    end = _alike(ours[start:][::-1], theirs[start:][::-1])
    mine, upstreams = ours[start : len(ours) - end], theirs[start : len(theirs) - end]
    same, last = ours[:start], ours[len(ours) - end :]
    if _is_set(path):
        upstreams = tuple(line for line in upstreams if line not in mine)
    if mine and upstreams:
        if any(inside_of("".join(same), lines) for lines in (mine, upstreams)):
            return None
        around = before + "".join(same), "".join(last) + after
        if _objection(path, around[0], mine, upstreams, around[1]) not in ("", ORDERED):
            return None
    return (*same, *mine, *upstreams, *last)


def _is_set(path: str) -> bool:
    """Whether a file has no order and no line twice."""
    return path.rpartition("/")[2].lower().endswith(_SETS)


def _objection(
    path: str,
    before: str,
    ours: Sequence[str],
    theirs: Sequence[str],
    after: str,
    placed: bool = False,
) -> str:
    """Why two additions cannot both stay; "" if they can. placed: whether the list is sorted."""
    inside, why = inside_of(before, ours), NESTED
    # Inside a command of several lines no line is complete by itself.
    if any(lines[-1].rstrip().endswith("\\") for lines in (lines_of(before), ours) if lines):
        return why
    # Lines after a table's heading belong to the table.
    tables = path.endswith(_TABLES) and any(line.startswith("[") for line in (*ours, *theirs))
    if tables and not all("".join(lines).lstrip().startswith("[") for lines in (ours, theirs)):
        return why
    if is_behind_jump(before, ours):
        return ORDERED
    for one, other in _turned(ours, theirs, after):
        mine, upstreams = _items(path, inside, one), _items(path, inside, other)
        if not mine or not upstreams or margin_of(one) != margin_of(other):
            continue
        last, below = (upstreams, one) if _continues(one, other) else (mine, other)
        if _dangles(inside, last[-1], below[0].strip()):
            continue
        if rival(mine, upstreams):
            return RIVAL
        if free(mine, upstreams, placed) and not _are_first_targets(path, before, ours, theirs):
            return ""
        why = ORDERED
    return why


def _continues(ours: Sequence[str], theirs: Sequence[str]) -> bool:
    """Whether upstream's lines continue what is above, while the fork's begin something new, with a
    blank line or a heading."""
    firsts = [lines[0].strip() for lines in (ours, theirs)]
    return [not x or bool(ABOVE.match(x) and x[0] not in "@[") for x in firsts] == [True, False]


def is_behind_jump(before: str, ours: Sequence[str]) -> bool:
    """Whether an addition follows a `return` or the like, so that it never runs."""
    above = next((line for line in reversed(lines_of(before)) if line.strip()), "")
    return bool(margin_of([above]) == margin_of(ours) and LEAVES.match(above.strip()))


def _are_first_targets(path: str, before: str, *added: Sequence[str]) -> bool:
    """Whether additions to a makefile decide what `make` without a target makes."""
    if not re.search(r"makefile|\.mk$", path.rpartition("/")[2].lower()):
        return False
    target = re.compile(r"[\w%/$(][^=#]*:(?!=)")
    return not any(map(target.match, before.splitlines())) and all(
        any(map(target.match, lines)) for lines in added
    )


def _turned(
    ours: Sequence[str], theirs: Sequence[str], after: str
) -> Iterator[tuple[Sequence[str], Sequence[str]]]:
    """Both additions, and every other way to cut them from the same text: a common first line that
    also follows them, such as a closing bracket, may equally be the last line of each."""
    yield ours, theirs
    for line in after.splitlines(keepends=True):
        if not (ours and theirs and ours[0] == theirs[0] == line):
            return
        ours, theirs = [*ours[1:], line], [*theirs[1:], line]
        yield ours, theirs


# --- What an addition consists of ----------------------------------------------------------------

_GOES_ON = re.compile(
    r"[])}>{]|</|(end|fi|done|esac|else|elif|elsif|except|finally|rescue|ensure|catch)\b"
    r"|#\s*(endif|else|elif)\b"
)
_DIRECTIVE = re.compile(r"#\s*(if|ifdef|ifndef|endif)\b")


def _items(path: str, holder: str, lines: Sequence[str]) -> list[Item] | None:
    """The items of an addition; None if it opens or closes something outside itself."""
    # In XML text brackets need not be balanced.
    if not path.endswith(".xml") and not _is_balanced(lines):
        return None
    indent = margin_of(lines)
    groups: list[list[str]] = []
    waiting = False  # for the line that the comments above belong to
    for line in lines:
        text = line.strip()
        if not text and groups:
            groups[-1].append(line)
        elif text:
            if not line.startswith(indent):
                return None
            above = is_above(path, text)
            inner = line[len(indent)].isspace() or (bool(_GOES_ON.match(text)) and not above)
            if inner and not groups:
                return None
            if inner or waiting:
                groups[-1].append(line)
            else:
                groups.append([line])
            waiting = above if not inner else waiting
    return [item(path, holder, group) for group in groups]


def _is_balanced(lines: Sequence[str]) -> bool:
    """Whether an addition closes exactly what it opens."""
    if max(map(len, lines), default=0) > LONGEST:
        return False
    depth = blocks = 0
    for line in lines:
        if directive := _DIRECTIVE.match(line.strip()):
            blocks += -1 if directive[1] == "endif" else 1
        for character in code_of(line):
            depth += (character in "([{") - (character in ")]}")
            if depth < 0 or blocks < 0:
                return False
    return depth == blocks == 0


def _dangles(holder: str, item: Item, below: str) -> bool:
    """Whether the line below an item would become part of it: its last line is a comment or a
    decorator for something below, or lacks the comma between two parts."""
    last = item.lines[-1].strip()
    listed = holder.endswith(("(", "[", "{")) and not is_type(holder)
    parted = item.kind in (Kind.MEMBER, Kind.ELEMENT) and listed
    mark = ABOVE.match(last) and (below or last.startswith(("@", "[", "#[")))
    return bool(mark) or (parted and bool(last) and not code_of(last).endswith((",", ";")))


# --- How they are combined ------------------------------------------------------------------------


def _sorted(
    before: str, ours: Sequence[str], theirs: Sequence[str], after: str
) -> tuple[str, ...] | None:
    """The lines merged into the sort order of their neighbours, if all of them are sorted."""

    def beside(lines: Sequence[str]) -> list[str]:
        alike = takewhile(lambda x: x.strip() and margin_of([x]) == margin_of(ours), lines)
        return list(alike)[:3]

    above = beside(before.splitlines(keepends=True)[::-1])[::-1]
    below = beside(after.splitlines(keepends=True))
    merged = sorted((*ours, *theirs), key=_order)
    around = [*above, *merged, *below]
    plain = all(line.strip() and margin_of([line]) == margin_of(ours) for line in merged)
    is_sorted = plain and around == sorted(around, key=_order)
    return tuple(merged) if is_sorted and len(above) + len(below) > 1 else None


def _order(line: str) -> str:
    return re.sub(r"\W+", " ", line).casefold()


def _spaced(ours: Sequence[str], theirs: Sequence[str]) -> tuple[str, ...]:
    """One after the other, without doubling the blank lines between them."""
    one, other = (theirs, ours) if _continues(ours, theirs) else (ours, theirs)
    last = len(list(takewhile(lambda line: not line.strip(), reversed(one))))
    first = len(list(takewhile(lambda line: not line.strip(), other)))
    above, gap = one[: len(one) - last], max(one[len(one) - last :], other[:first], key=len)
    if (
        first == 0
        and not other[-1].strip()
        and all(x.strip() and not x[0].isspace() for x in above)
    ):
        gap = one[:0]  # a few lines each, such as imports, with a blank line after them
    return (*above, *gap, *other[first:])


def _alike(one: Sequence[str], other: Sequence[str]) -> int:
    """How many first lines both have in common; brackets and the like alone do not count."""
    pairs = takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))
    alike = [line for line, _ in pairs]
    return len(alike) if any(re.search(r"\w", line) for line in alike) else 0
