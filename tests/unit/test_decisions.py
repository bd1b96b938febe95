"""How each conflict is decided, what becomes of it, and what a person is shown."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from carto_fork.fork import policy
from carto_fork.fork.policy import Kind, Policy, Rule, Side, Take
from carto_fork.fork.records import Drop
from carto_fork.merge import hunks
from carto_fork.merge.absorbed import is_absorbed
from carto_fork.merge.decisions import Decision, Knowledge, decide
from carto_fork.merge.hunks import Commit, Conflict, Customisations, Stage, Texts
from carto_fork.merge.memory import Memory
from carto_fork.run.text import lines_of

DEFAULT = policy.load_policy().policy
PATH_RULES = policy.load_policy(
    Path(__file__).parents[1].joinpath("path_rules.toml").read_text()
).policy
STAGE = {name: Stage("100644", f"{number}" * 40) for number, name in enumerate(("b", "o", "t"), 1)}

MARKERS = ["<<<<<<< HEAD", "||||||| base", "=======", ">>>>>>> tag"]
HUNK = "<<<<<<< HEAD\n{ours}||||||| base\n{base}=======\n{theirs}>>>>>>> tag\n"


def hunk(ours: str, base: str, theirs: str) -> str:
    """A hunk with markers; each letter is a line."""
    lines = {"ours": ours, "base": base, "theirs": theirs}
    return HUNK.format(
        **{name: "".join(f"{line}\n" for line in text) for name, text in lines.items()}
    )


def conflict(
    path: str = "f.py", kind: Kind = Kind.CONTENT, text: str | None = None, sides: str = "bot"
) -> Conflict:
    """A conflict. sides: which of base, ours and theirs exist."""
    base, ours, theirs = (STAGE[side] if side in sides else None for side in "bot")
    deleted = None
    if base and not (ours and theirs):
        deleted = Side.UPSTREAM if ours else Side.FORK if theirs else None
    return Conflict(path, kind, base, ours, theirs, deleted, False, text)


def rule(take: Take, paths: tuple[str, ...] = ("*",), **more: object) -> Rule:
    found = Rule(name=f"rule of {take.value}", paths=paths, take=take, why=f"Why {take.value}.")
    return msgspec.structs.replace(found, **more)


def with_rules(*rules: Rule) -> Policy:
    return msgspec.structs.replace(DEFAULT, rules=rules)


def decided(found: Conflict, *rules: Rule) -> Decision:
    (decision,) = decide([found], Knowledge(with_rules(*rules)))
    return decision


# --- Which rule ----------------------------------------------------------------------------------


def test_the_first_rule_that_fits_decides() -> None:
    first, second = rule(Take.FORK, ("/a/",)), rule(Take.UPSTREAM)
    found = decide(
        [conflict("a/x", text=hunk("o", "b", "t")), conflict("b/x", text=hunk("o", "b", "t"))],
        Knowledge(with_rules(first, second)),
    )
    assert [(decision.rule, decision.text) for decision in found] == [
        (first.name, "o\n"),
        (second.name, "t\n"),
    ]


def test_decisions_come_in_the_order_of_the_conflicts() -> None:
    paths = ["z", "a", "m/x"]
    known = Knowledge(with_rules(rule(Take.FORK)))
    found = decide([conflict(path) for path in paths], known)
    assert [decision.conflict.path for decision in found] == paths
    assert decide([], known) == []


@pytest.mark.parametrize(
    ("pattern", "path", "fits"),
    [
        ("*", "any/where", True),
        ("/litellm/", "litellm/a/b.py", True),
        ("/litellm/", "other/litellm/b.py", False),
        ("/litellm/", "litellm", False),
        ("Makefile", "sub/Makefile", True),
        ("/Makefile", "sub/Makefile", False),
        ("CARTO_*.md", "docs/CARTO_X.md", True),
        ("/.github/workflows/carto_*", ".github/workflows/carto_x.yml", True),
        ("/.github/workflows/*.txt", ".github/workflows/a/b.txt", False),
        ("*.lock", "new\nline.lock", True),
        ("*.lock", "caf\udce9.lock", True),
        ("/docs/**/x", "docs/a/b/x", True),
    ],
)
def test_rule_paths_match_as_in_gitignore(pattern: str, path: str, fits: bool) -> None:
    decision = decided(conflict(path), rule(Take.FORK, (pattern,)))
    assert bool(decision.take) is fits
    assert decision.rule == ("rule of fork" if fits else "")


def test_a_later_pattern_may_take_paths_out_again() -> None:
    found = rule(Take.FORK, ("/tests/", "!/tests/keep.py"))
    assert decided(conflict("tests/a.py"), found).take is Take.FORK
    assert decided(conflict("tests/keep.py"), found).take is None


@pytest.mark.parametrize("kind", list(Kind))
def test_a_rule_for_some_kinds_matches_no_other_kind(kind: Kind) -> None:
    found = decided(conflict(kind=kind), rule(Take.FORK, kinds=(Kind.CONTENT, Kind.RENAME)))
    assert bool(found.take) is (kind in (Kind.CONTENT, Kind.RENAME))
    assert decided(conflict(kind=kind), rule(Take.FORK)).take is Take.FORK


def test_a_deleted_by_rule_matches_deletions_by_that_side_only() -> None:
    found = rule(Take.FORK, deleted_by=Side.FORK)
    assert decided(conflict(kind=Kind.MODIFY_DELETE, sides="bt"), found).take is Take.FORK
    assert decided(conflict(kind=Kind.MODIFY_DELETE, sides="bo"), found).take is None
    assert decided(conflict(), found).take is None


BY_PATH_ALONE = ("core", "tests", "workflows")  # the default policy has no rule for upstream files


@pytest.mark.parametrize(
    ("path", "kind", "sides", "name"),
    [
        (".github/workflows/carto_release.yml", Kind.ADD_ADD, "ot", "fork workflows"),
        (".github/scripts/x.py", Kind.CONTENT, "bot", "fork workflows"),
        ("CARTO_CLAUDE.md", Kind.ADD_ADD, "ot", "fork documents"),
        ("docs/CARTO_X.md", Kind.CONTENT, "bot", "fork documents"),
        (".github/workflows/helm.yml.txt", Kind.CONTENT, "bot", "disabled stays disabled"),
        ("litellm/gone.py", Kind.MODIFY_DELETE, "bt", "removed stays removed"),
        (".github/workflows/test.yml", Kind.CONTENT, "bot", "workflows"),
        ("litellm/proxy/_experimental/out/index.html", Kind.CONTENT, "bot", "generated"),
        ("ui/litellm-dashboard/package-lock.json", Kind.CONTENT, "bot", "generated"),
        ("uv.lock", Kind.ADD_ADD, "ot", "generated"),
        ("pyproject.toml", Kind.CONTENT, "bot", "version"),
        ("Dockerfile", Kind.CONTENT, "bot", "Dockerfile and Makefile"),
        ("docker/Dockerfile.non_root", Kind.CONTENT, "bot", "Dockerfile and Makefile"),
        ("Makefile", Kind.CONTENT, "bot", "Dockerfile and Makefile"),
        ("litellm/main.py", Kind.CONTENT, "bot", "core"),
        ("enterprise/x.py", Kind.ADD_ADD, "ot", "core"),
        ("tests/test_x.py", Kind.CONTENT, "bot", "tests"),
        ("litellm/changed.py", Kind.MODIFY_DELETE, "bo", ""),
        ("ui/src/layout.tsx", Kind.CONTENT, "bot", ""),
        ("litellm-js/pyproject.toml", Kind.CONTENT, "bot", ""),
        ("README.md", Kind.CONTENT, "bot", ""),
    ],
)
@pytest.mark.parametrize("rules", [DEFAULT, PATH_RULES], ids=["default", "path rules"])
def test_a_rule_is_chosen_by_path(
    path: str, kind: Kind, sides: str, name: str, rules: Policy
) -> None:
    """The default rules say nothing about upstream's own code."""
    text = hunk("o", "b", "t") if "o" in sides and "t" in sides else None
    (decision,) = decide([conflict(path, kind, text, sides)], Knowledge(rules))
    assert decision.rule == ("" if rules is DEFAULT and name in BY_PATH_ALONE else name)


# --- Hunk by hunk --------------------------------------------------------------------------------


def test_only_the_conflicting_hunks_follow_the_winner() -> None:
    text = f"fork's\n{hunk('o', 'b', 't')}both\n{hunk('p', 'c', 'u')}upstream's\n"
    for take, lines in ((Take.FORK, "op"), (Take.UPSTREAM, "tu")):
        decision = decided(conflict(text=text), rule(take))
        assert decision.text == f"fork's\n{lines[0]}\nboth\n{lines[1]}\nupstream's\n"
        assert (decision.take, decision.settled, decision.left) == (take, 2, 0)
        assert (decision.whole, decision.todo) == (False, "")
        assert decision.why == f"Why {take.value}."


def test_a_rule_for_whole_files_takes_the_whole_file() -> None:
    decision = decided(conflict(text=hunk("o", "b", "t")), rule(Take.UPSTREAM, whole=True))
    assert (decision.whole, decision.take, decision.text) == (True, Take.UPSTREAM, None)
    assert decision.left == 0


def test_an_edited_file_is_decided_by_its_remaining_hunks() -> None:
    found = replace(conflict(text="mine\n" + hunk("o", "b", "t")), edited=True)
    decision = decided(found, rule(Take.UPSTREAM, whole=True))
    assert (decision.whole, decision.text) == (False, "mine\nt\n")


def test_every_hunk_without_a_rule_is_left_for_a_person() -> None:
    text = f"x\n{hunk('o', 'b', 't')}y\n{hunk('o', 'b', 't')}"
    assert decided(conflict(text=text)) == Decision(
        conflict(text=text),
        take=None,
        rule="",
        why="No rule fits.",
        text=text,
        settled=0,
        left=2,
        became=(None, None),
        todo="resolve 2 hunks in f.py, then git add -- f.py",
    )


@pytest.mark.parametrize(
    "text",
    [
        "<<<<<<< HEAD\no\n=======\nt\n",
        "<<<<<<< HEAD\nTitle\n=======\no\n=======\nt\n>>>>>>> tag\n",
        "<<<<<<<<< HEAD:f\no\n=========\nt\n>>>>>>>>> tag:f\n",
        ">>>>>>> tag\n" + hunk("o", "b", "t"),
    ],
)
@pytest.mark.parametrize("take", list(Take))
def test_unbalanced_markers_are_left_for_a_person(text: str, take: Take) -> None:
    decision = decided(conflict(text=text), rule(take))
    assert (decision.take, decision.text, decision.whole, decision.left) == (None, None, False, 1)
    assert decision.why == "Its conflict markers do not add up."
    assert decision.todo == "edit f.py, then git add -- f.py"
    assert decision.rule == rule(take).name


@pytest.mark.parametrize("take", list(Take))
@pytest.mark.parametrize("text", ["done\n", None])
def test_what_somebody_changed_by_hand_is_never_decided(take: Take, text: str | None) -> None:
    decision = decided(replace(conflict(text=text), edited=True), rule(take))
    assert (decision.take, decision.whole, decision.text) == (None, False, None)
    assert (decision.why, decision.todo) == ("Edited by hand, not staged.", "git add -- f.py")


def test_a_resolution_that_somebody_began_is_continued() -> None:
    found = replace(conflict(text=f"by hand\n{hunk('o', 'b', 't')}"), edited=True)
    assert decided(found, rule(Take.UPSTREAM)).text == "by hand\nt\n"


# --- Both ----------------------------------------------------------------------------------------


def test_additions_of_both_sides_are_kept_with_the_forks_first() -> None:
    decision = decided(conflict(text=f"x\n{hunk('op', '', 'tu')}y\n"), rule(Take.BOTH))
    assert decision.text == "x\no\np\nt\nu\ny\n"
    assert (decision.take, decision.settled, decision.left, decision.dropped) == (
        Take.BOTH,
        1,
        0,
        0,
    )


@pytest.mark.parametrize(
    ("ours", "base", "theirs"), [("o", "b", "t"), ("", "b", "t"), ("o", "b", ""), ("ob", "b", "t")]
)
def test_a_hunk_with_more_than_additions_is_left_for_a_person(
    ours: str, base: str, theirs: str
) -> None:
    text = hunk(ours, base, theirs)
    decision = decided(conflict(text=text), rule(Take.BOTH))
    assert (decision.take, decision.text, decision.left) == (None, text, 1)
    assert decision.why == "Both sides changed the same place."
    assert decision.todo == "resolve 1 hunk in f.py, then git add -- f.py"


def test_a_hunk_without_a_base_is_not_merged_as_additions() -> None:
    text = "<<<<<<< HEAD\no\n=======\nt\n>>>>>>> tag\n"
    assert decided(conflict(text=text), rule(Take.BOTH)).left == 1


def test_a_line_that_both_sides_added_is_not_there_twice() -> None:
    decision = decided(conflict(text=hunk("so", "", "st")), rule(Take.BOTH))
    assert decision.left or decision.text == "s\no\nt\n"


def test_only_the_hunk_in_a_marked_block_is_left_for_a_person() -> None:
    marked = f"# CARTO: ours\nRUN x\n{hunk('o', '', 't')}RUN y\n"
    text = f"{marked}\n{hunk('p', '', 'u')}"
    decision = decided(conflict(text=text), rule(Take.BOTH))
    assert decision.text == f"{marked}\np\nu\n"
    assert (decision.take, decision.settled, decision.left) == (None, 1, 1)
    assert decision.why == "The conflict touches a block marked `# CARTO:`."


@pytest.mark.parametrize("place", ["before", "ours", "theirs", "after"])
def test_a_mark_anywhere_in_the_paragraph_counts(place: str) -> None:
    ours, theirs = "o\n", "t\n"
    mark = "  # CARTO: because\n"
    body = HUNK.format(
        ours=ours + mark * (place == "ours"),
        base="",
        theirs=theirs + mark * (place == "theirs"),
    )
    text = f"a\n{mark * (place == 'before')}{body}{mark * (place == 'after')}b\n"
    assert decided(conflict(text=text), rule(Take.BOTH)).left == 1


def test_a_mark_beyond_a_blank_line_does_not_count() -> None:
    text = f"# CARTO: ours\n\n{hunk('o', '', 't')}\n# CARTO: ours\n"
    assert decided(conflict(text=text), rule(Take.BOTH)).left == 0


# --- The version ---------------------------------------------------------------------------------


def version_hunk(ours: str, base: str, theirs: str) -> str:
    return HUNK.format(ours=f"{ours}\n", base=f"{base}\n", theirs=f"{theirs}\n")


def test_the_version_rule_takes_upstreams_version() -> None:
    text = version_hunk('version = "1.1"  # ours', 'version = "1.0"', "version='1.2'")
    decision = decided(conflict(text=text), rule(Take.VERSION))
    assert (decision.text, decision.take, decision.dropped) == (
        "version='1.2'\n",
        Take.VERSION,
        0,
    )


def test_the_version_rule_keeps_carriage_returns() -> None:
    text = version_hunk('version = "1.1"', 'version = "1.0"', 'version = "1.2"')
    decision = decided(conflict(text=text.replace("\n", "\r\n")), rule(Take.VERSION))
    assert decision.text == 'version = "1.2"\r\n'


@pytest.mark.parametrize(
    "line",
    [
        'name = "x"',
        'versions = "1"',
        'version = { file = "x" }',
        'my-version = "1"',
        'version = "1", x = "2"',
        "# version",
        "",
    ],
)
@pytest.mark.parametrize("side", ["ours", "base", "theirs"])
def test_a_hunk_with_more_than_the_version_is_left_for_a_person(line: str, side: str) -> None:
    lines = dict.fromkeys(("ours", "base", "theirs"), 'version = "1.0"')
    lines[side] += f"\n{line}"
    text = version_hunk(**lines)
    decision = decided(conflict(text=text), rule(Take.VERSION))
    assert (decision.take, decision.text, decision.left) == (None, text, 1)
    assert (
        decision.why == "The rule for this path decides the version only; here other lines differ."
    )


def test_a_hunk_beside_the_version_hunk_is_left_for_a_person() -> None:
    version = version_hunk('version = "1.1"', 'version = "1.0"', 'version = "1.2"')
    decision = decided(conflict(text=f"{version}x\n{hunk('o', 'b', 't')}"), rule(Take.VERSION))
    assert decision.text == f'version = "1.2"\nx\n{hunk("o", "b", "t")}'
    assert (decision.take, decision.settled, decision.left) == (None, 1, 1)
    assert (
        decision.why == "The rule for this path decides the version only; here other lines differ."
    )


# --- What cannot be decided by hunks -------------------------------------------------------------


@pytest.mark.parametrize("take", [Take.FORK, Take.UPSTREAM])
@pytest.mark.parametrize(
    "found",
    [
        conflict(kind=Kind.MODIFY_DELETE, sides="bo"),
        conflict(kind=Kind.MODIFY_DELETE, sides="bt"),
        conflict(kind=Kind.RENAME, sides="o", text="x\n"),
        conflict(kind=Kind.BINARY),
        conflict(kind=Kind.SUBMODULE),
        conflict(kind=Kind.SYMLINK),
        conflict(kind=Kind.MODE, text="x\n"),
    ],
    ids=lambda found: f"{found.kind.value}-{found.deleted_by and found.deleted_by.value}",
)
def test_one_side_wins_as_a_whole(found: Conflict, take: Take) -> None:
    decision = decided(found, rule(take))
    assert (decision.take, decision.whole, decision.text, decision.left) == (take, True, None, 0)


@pytest.mark.parametrize("take", [Take.BOTH, Take.VERSION])
def test_a_rule_for_text_does_not_decide_a_binary_conflict(take: Take) -> None:
    decision = decided(conflict(kind=Kind.BINARY), rule(take))
    assert (decision.take, decision.whole, decision.left) == (None, False, 1)
    assert decision.why == f"Rule {rule(take).name!r} decides text only."


@pytest.mark.parametrize(
    ("found", "todo"),
    [
        (
            conflict(sides="bo"),
            "say why: --keep-fork keeps it, --accept-upstream deletes it",
        ),
        (
            conflict(sides="bt"),
            "say why: --keep-fork leaves it deleted, --accept-upstream brings it back",
        ),
        (
            conflict(kind=Kind.RENAME, sides="o"),
            "git add -- f.py  # keeps this name\ngit rm -- f.py  # drops it",
        ),
        (
            conflict(kind=Kind.SUBMODULE),
            "git checkout {ours} -- f.py  # takes the fork's\n"
            "git checkout {theirs} -- f.py  # takes upstream's",
        ),
        (
            conflict(kind=Kind.SUBMODULE, sides="bt"),
            "git update-index --force-remove -- f.py  # takes the fork's\n"
            "git checkout {theirs} -- f.py  # takes upstream's",
        ),
        (
            replace(conflict(kind=Kind.DIRECTORY, sides="o"), invented=("f.py~HEAD",)),
            "git rm -rf --cached --ignore-unmatch -- f.py && git rm -rf -- 'f.py~HEAD' && "
            "git checkout {ours} -- f.py  # takes the fork's\n"
            "git rm -rf -- 'f.py~HEAD'  # takes upstream's",
        ),
        (
            conflict(kind=Kind.BINARY),
            "git checkout --ours -- f.py (the fork's) or --theirs (upstream's), "
            "then git add -- f.py",
        ),
        (
            conflict(kind=Kind.SYMLINK),
            "git checkout --ours -- f.py (the fork's) or --theirs (upstream's), "
            "then git add -- f.py",
        ),
        (conflict(kind=Kind.MODE, text="x\n"), "edit f.py, then git add -- f.py"),
    ],
)
def test_a_conflict_for_a_person_says_what_to_do(found: Conflict, todo: str) -> None:
    decision = decided(found)
    renamed = "A side renamed it: one of its names has to stay."
    why = renamed if found.kind is Kind.RENAME else "No rule fits."
    assert (decision.why, decision.todo, decision.left) == (why, todo, 1)


# --- What is lost --------------------------------------------------------------------------------


def test_dropped_fork_lines_are_counted() -> None:
    text = hunk("opq", "b", "tq") + "x\n" + hunk("r", "c", "")
    assert decided(conflict(text=text), rule(Take.UPSTREAM)).dropped == 3
    assert decided(conflict(text=text), rule(Take.FORK)).dropped == 0


def test_an_unchanged_line_does_not_count_as_a_dropped_fork_line() -> None:
    """Without zealous markers a hunk contains lines that only upstream changed."""
    text = hunk("ao", "ab", "ct")
    assert decided(conflict(text=text), rule(Take.UPSTREAM)).dropped == 1


# --- Any text ------------------------------------------------------------------------------------


@given(
    st.lists(st.sampled_from([*MARKERS, "x", "# CARTO:", "", 'version = "1"'])).map("\n".join),
    st.sampled_from(list(Take)),
    st.booleans(),
)
def test_a_decision_is_made_only_if_no_hunk_is_left(text: str, take: Take, edited: bool) -> None:
    decision = decided(replace(conflict(text=text), edited=edited), rule(take))
    assert (decision.take is None) is bool(decision.left)
    assert bool(decision.todo) is bool(decision.left)
    assert decision.why
    if decision.text is not None and not decision.left:
        assert not any(
            line.startswith(("<<<<<<<", ">>>>>>>")) for line in decision.text.split("\n")
        )
    if edited:
        assert not decision.whole


# --- Evidence ------------------------------------------------------------------------------------
# Below, a letter means a significant line, a capital the same line indented, + a block's mark, and
# any other character itself.

WORDS = "anchor basket candle damper engine feather garden hammer island jungle kettle ladder"
WRITTEN = {word[0]: f"{word} = the_{word}" for word in WORDS.split()}
WRITTEN |= {letter.upper(): f"    {line}" for letter, line in WRITTEN.items()}
WRITTEN["+"] = "# CARTO: ours"
COMMIT = Commit("1" * 40, "2025-01-01", "feat: ours")
LEFT = ("", None, "Both sides changed the same place.")
MARKED = ("", None, "The conflict touches a block marked `# CARTO:`.")
ABSORBED = ("absorbed", Take.UPSTREAM, "Upstream has the fork's change, too.")
UNTOUCHED = (
    "untouched by the fork",
    Take.UPSTREAM,
    "No fork commit changed this; an earlier merge or sync left the difference.",
)
SPACE = ("white space", Take.BOTH, "One side changed white space only; the other's text stays.")
SAME_CONTENT = ("same content", Take.FORK, "Only the mode differs; the fork's stays.")
ADDED = ("both added", Take.BOTH, "Both sides only added lines, and not the same ones.")
BLOCK = (
    "marked block",
    Take.BOTH,
    "The fork's marked block stays inside upstream's new text, at its old line.",
)
BY_NAME = ("merged by name", Take.BOTH, "Each side changed different parts; both stay.")
DROPPED = ("dropped on purpose", Take.UPSTREAM, "Nobody needs it.")
REMEMBERED = ("remembered", Take.BOTH, "As in 1234567890.")

Told = tuple[str, Take | None, str]


def lines(letters: str) -> str:
    return "".join(f"{WRITTEN.get(letter, letter)}\n" for letter in letters)


def clash(
    ours: str,
    base: str,
    theirs: str,
    *,
    path: str = "f.ts",
    kind: Kind = Kind.CONTENT,
    elsewhere: str = "",
    own: str = "",
) -> Conflict:
    """A conflict with one hunk. elsewhere, own: lines below it that only upstream or only the fork
    has."""
    texts = Texts(lines(base), lines(ours + own), lines(theirs + elsewhere))
    text = HUNK.format(ours=lines(ours), base=lines(base), theirs=lines(theirs))
    found = conflict(path, kind, text + lines(own + elsewhere))
    return replace(found, names=(path,), texts=texts)


def of_the_fork(found: Conflict, *, wrote: str | None = None) -> Customisations:
    """The fork's own work behind a conflict. wrote: the lines that the commits added or removed;
    default: all candidates in the file."""
    assert found.texts
    text = found.texts.base + found.texts.ours if wrote is None else lines(wrote)
    return Customisations(
        {found.path: [COMMIT]}, {line.strip(): [COMMIT] for line in text.split("\n")}
    )


def settle(
    found: Conflict, *rules: Rule, own: Customisations | None = None, **known: object
) -> Decision:
    """The decision about a conflict that the fork's own commits caused."""
    knowledge = Knowledge(with_rules(*rules), own or of_the_fork(found))
    (decision,) = decide([found], replace(knowledge, **known))  # type: ignore[arg-type]
    return decision


def told(decision: Decision) -> Told:
    return decision.rule, decision.take, decision.why


@pytest.mark.parametrize(
    ("ours", "base", "theirs", "result", "reason"),
    [
        # Upstream has it, too, and maybe more.
        ("b", "a", "b", "b", ABSORBED),
        ("ab", "a", "cab", "cab", ABSORBED),
        ("ab", "a", "bc", "bc", ABSORBED),
        ("", "a", "", "", ABSORBED),
        ("", "ab", "b", None, LEFT),
        ("b", "", "cb", "cb", ABSORBED),
        # Upstream rewrote what the fork only removed; or only a bracket is the same.
        ("", "a", "c", None, LEFT),
        ("b", "ab", "cb", None, LEFT),
        ("a}", "a", "ab}", None, LEFT),
        ("ba", "ab", "ba", "ba", ABSORBED),
        # One line is missing there, occurs only once, or a removed one is back.
        ("abc", "a", "bd", None, LEFT),
        ("bb", "a", "b", None, LEFT),
        ("aa", "a", "ab", None, LEFT),
        ("b", "a", "ab", None, LEFT),
        ("", "ab", "a", None, LEFT),
        # Upstream edited what the fork removed.
        ("", "a", "c", None, LEFT),
        ("", "ab", "c", None, LEFT),
        ("b", "a", "c", None, LEFT),
        # The difference is only white space.
        ("A", "a", "b", "B", SPACE),
        ("AB", "ab", "ac", "AC", SPACE),
        ("b", "a", "A", "B", SPACE),
        ("AB", "ab", "acb", "acb", SPACE),
        ("A", "a", "", None, LEFT),
        # Both sides only added.
        ("b", "", "c", "bc", ADDED),
        ("bd", "", "ce", "bdce", ADDED),
        ("b", "", "}", None, LEFT),
        ("}", "", "c", None, LEFT),
        # A marked block.
        ("a+db", "ab", "acb", "a+dcb", BLOCK),
        ("a+db", "ab", "ca", "ca+d", BLOCK),
        ("a+db", "ab", "cb", "c+db", BLOCK),
        ("+da", "a", "ca", "c+da", BLOCK),
        ("a+d", "a", "ac", "a+dc", BLOCK),
        ("a+dbc+e", "abc", "abfc", "a+dbfc+e", BLOCK),
        ("a+db", "ab", "aacb", "aac+db", BLOCK),
        ("a+db", "ab", "c", None, MARKED),
        ("a+db", "ab", "aabb", None, MARKED),
        ("aa+d", "aa", "ac", None, MARKED),
        ("a+dc", "ab", "aeb", None, MARKED),
        ("da+eb", "ab", "acb", None, MARKED),
        ("+d", "", "c", None, MARKED),
    ],
)  # fmt: skip
def test_evidence_decides_a_hunk_that_the_fork_wrote(
    ours: str, base: str, theirs: str, result: str | None, reason: Told
) -> None:
    found = clash(ours, base, theirs, elsewhere="k")
    decision = settle(found)
    assert told(decision) == reason
    assert decision.text == (found.text if result is None else lines(f"{result}k"))
    assert (decision.settled, decision.left) == ((0, 1) if result is None else (1, 0))
    assert decision.todo == (result is None) * "resolve 1 hunk in f.ts, then git add -- f.ts"


def test_only_rules_decide_if_the_author_is_unknown() -> None:
    for found in (clash("b", "a", "b"), clash("b", "", "c"), clash("A", "a", "b")):
        (decision,) = decide([found], Knowledge(with_rules()))
        assert told(decision) == ("", None, "No rule fits.")
    (decision,) = decide([clash("a+db", "ab", "acb")], Knowledge(with_rules()))
    assert told(decision) == MARKED


def test_a_hunk_without_a_base_is_decided_only_if_both_sides_added_the_file() -> None:
    text = clash("b", "", "cb").text
    assert text
    found = replace(clash("b", "a", "cb"), text=text.replace("||||||| base\n", ""))
    assert settle(found).left == 1
    assert told(settle(replace(found, base=None, kind=Kind.ADD_ADD))) == ABSORBED


# --- Nobody's ------------------------------------------------------------------------------------

ELSEWHERE = {"other.py": [COMMIT]}


def whole(kind: Kind, sides: str = "bot", path: str = "litellm/x.py") -> Conflict:
    """A conflict as git reports it. sides: which of base, ours and theirs exist."""
    base, ours, theirs = (
        lines(letter) * (side in sides) for side, letter in zip("bot", "abc", strict=True)
    )
    found = replace(conflict(path, kind, None, sides), names=(path,))
    if kind in (Kind.CONTENT, Kind.ADD_ADD):
        found = replace(found, text=HUNK.format(ours=ours, base=base, theirs=theirs))
    if kind in (Kind.RENAME, Kind.MODE):
        found = replace(found, text=ours or theirs)
    if kind in (Kind.BINARY, Kind.SYMLINK, Kind.SUBMODULE):
        return found
    return replace(found, texts=Texts(base, ours, theirs))


KINDS = [
    whole(Kind.CONTENT),
    whole(Kind.ADD_ADD, "ot"),
    whole(Kind.MODIFY_DELETE, "bo"),
    whole(Kind.MODIFY_DELETE, "bt"),
    whole(Kind.BINARY),
    whole(Kind.BINARY, "ot"),
    whole(Kind.SYMLINK),
    whole(Kind.SUBMODULE),
    whole(Kind.MODE),
]
each_kind = pytest.mark.parametrize(
    "found", KINDS, ids=lambda found: f"{found.kind.value}-{found.deleted_by}"
)


@each_kind
def test_a_file_without_a_fork_commit_follows_upstream(found: Conflict) -> None:
    (decision,) = decide([found], Knowledge(DEFAULT, Customisations(ELSEWHERE)))
    if found.deleted_by is Side.FORK:  # in a merge: somebody may have meant it
        assert (decision.take, decision.left) == (None, 1)
        return
    assert told(decision) == UNTOUCHED
    assert (decision.whole, decision.left, decision.text) == (True, 0, None)


@each_kind
@pytest.mark.parametrize("name", ["litellm/x.py", "litellm/old.py"])
def test_a_file_with_a_fork_commit_does_not_follow_upstream(found: Conflict, name: str) -> None:
    """Nor under its name in the fork."""
    found = replace(found, names=(found.path, "litellm/old.py"))
    (decision,) = decide([found], Knowledge(DEFAULT, Customisations({name: [COMMIT]})))
    assert decision.take is not Take.UPSTREAM
    assert decision.rule in ("", "same content", "both added", "removed stays removed")


@pytest.mark.parametrize("line", ["a", "b", "c"])
@pytest.mark.parametrize("kind", [Kind.CONTENT, Kind.ADD_ADD])
def test_a_differing_fork_line_keeps_a_renamed_file_from_following_upstream(
    kind: Kind, line: str
) -> None:
    """Upstream renamed the file since; only the differing lines count."""
    found = whole(kind, "ot" if kind is Kind.ADD_ADD else "bot")
    own = Customisations(ELSEWHERE, {lines(line).strip(): [COMMIT]})
    (decision,) = decide([found], Knowledge(DEFAULT, own))
    differs = line == "b" or (line == "a" and kind is Kind.CONTENT)
    assert (told(decision) == UNTOUCHED) is not differs
    assert (decision.take is Take.UPSTREAM) is not differs


@pytest.mark.parametrize(("wrote", "purpose"), [("", False), ("a", False), ("acde", True)])
def test_one_common_line_does_not_make_a_deletion_intentional(wrote: str, purpose: bool) -> None:
    """Such as an import that a fork commit wrote into another file."""
    texts = Texts(lines("acde"), "", lines("acdf"))
    found = replace(whole(Kind.MODIFY_DELETE, "bt"), texts=texts)
    own = Customisations(ELSEWHERE, of_the_fork(found, wrote=wrote).lines)
    (decision,) = decide([found], Knowledge(DEFAULT, own))
    assert decision.take is (Take.FORK if purpose else None)


def test_a_rename_without_a_fork_commit_is_left_for_a_person() -> None:
    for sides in ("b", "o", "t", "bo", "bt"):
        found = whole(Kind.RENAME, sides)
        (decision,) = decide([found], Knowledge(DEFAULT, Customisations(ELSEWHERE)))
        assert (decision.take, decision.left) == (None, 1)


@pytest.mark.parametrize(
    ("ours", "elsewhere", "wrote", "result", "reason"),
    [
        ("b", "b", "", "c", UNTOUCHED),
        ("bd", "db", "", "c", UNTOUCHED),
        ("b}", "b", "", "c", UNTOUCHED),
        ("B", "b", "", "c", UNTOUCHED),
        ("bd", "b", "", None, LEFT),
        ("b", "", "", None, LEFT),
        ("b", "b", "b", None, LEFT),
        ("bd", "bd", "d", None, LEFT),
        ("b", "b", "a", None, LEFT),
        ("}", "}", "", None, LEFT),
    ],
)
def test_lines_without_a_fork_commit_yield_only_if_upstream_has_them(
    ours: str, elsewhere: str, wrote: str, result: str | None, reason: Told
) -> None:
    """A fork commit changed the file, but not these lines: an earlier merge left them there."""
    found = clash(ours, "a", "c", elsewhere=elsewhere)
    decision = settle(found, own=of_the_fork(found, wrote=wrote))
    assert told(decision) == reason
    assert decision.text == (found.text if result is None else lines(result + elsewhere))


def test_a_line_that_upstream_has_elsewhere_does_not_yield_to_the_line_that_it_replaced() -> None:
    """Upstream has the old line here still, and has the new one for something else."""
    found = clash("b", "a", "ac", elsewhere="b")
    assert settle(found, own=of_the_fork(found, wrote="")).left == 1


def test_a_short_line_that_upstream_lacks_is_left_for_a_person() -> None:
    """The line is too short to identify its author; upstream has it nowhere."""
    found = clash("bx", "a", "c", elsewhere="b")
    assert settle(found, own=of_the_fork(found, wrote="")).left == 1


def test_a_line_that_replaced_another_does_not_yield_if_both_sides_have_it_elsewhere() -> None:
    """What upstream has elsewhere is no later version of it, such as `return None`."""
    found = clash("b", "a", "c", own="b", elsewhere="b")
    assert settle(found, own=of_the_fork(found, wrote="")).left == 1
    twice = clash("ab", "a", "ac", own="b", elsewhere="b")
    assert told(settle(twice, own=of_the_fork(twice, wrote=""))) == UNTOUCHED


# --- The rules that evidence does not overrule ---------------------------------------------------


@pytest.mark.parametrize("touched", [False, True])
@pytest.mark.parametrize(
    ("path", "kind", "sides", "name", "take"),
    [
        (".github/workflows/carto_x.yml", Kind.ADD_ADD, "ot", "fork workflows", Take.FORK),
        (".github/scripts/x.py", Kind.CONTENT, "bot", "fork workflows", Take.FORK),
        ("docs/CARTO_X.md", Kind.CONTENT, "bot", "fork documents", Take.FORK),
        ("carto_fork.toml", Kind.ADD_ADD, "ot", "fork documents", Take.FORK),
        ("carto_drops.toml", Kind.ADD_ADD, "ot", "fork documents", Take.FORK),
        (".github/workflows/x.yml.txt", Kind.CONTENT, "bot", "disabled stays disabled", Take.FORK),
        (".github/workflows/x.yml.txt", Kind.RENAME, "bo", "disabled stays disabled", Take.FORK),
        ("litellm/proxy/_experimental/out/x", Kind.CONTENT, "bot", "generated", Take.UPSTREAM),
        ("litellm/proxy/_experimental/out/x", Kind.RENAME, "o", "generated", Take.UPSTREAM),
        ("litellm/proxy/_experimental/out/x", Kind.BINARY, "bot", "generated", Take.UPSTREAM),
        ("litellm/proxy/_experimental/out/x", Kind.MODE, "bot", "generated", Take.UPSTREAM),
        ("uv.lock", Kind.ADD_ADD, "ot", "generated", Take.UPSTREAM),
    ],
)
def test_the_default_rules_decide_whole_files_whoever_touched_them(
    path: str, kind: Kind, sides: str, name: str, take: Take, touched: bool
) -> None:
    """Whoever touched them."""
    own = Customisations({path: [COMMIT]} if touched else {})
    (decision,) = decide([whole(kind, sides, path)], Knowledge(DEFAULT, own))
    why = next(rule.why for rule in DEFAULT.rules if rule.name == name)
    assert (told(decision), decision.whole) == ((name, take, why), True)


@pytest.mark.parametrize(
    ("path", "kind", "sides", "name", "take"),
    [
        ("litellm/gone.py", Kind.MODIFY_DELETE, "bt", "removed stays removed", Take.FORK),
    ],
)
def test_the_default_rules_take_the_fork_in_files_that_the_fork_touched(
    path: str, kind: Kind, sides: str, name: str, take: Take
) -> None:
    found = whole(kind, sides, path)
    own = Customisations({path: [COMMIT]}, removed={path})
    (decision,) = decide([found], Knowledge(DEFAULT, own))
    assert (decision.rule, decision.take, decision.left) == (name, take, 0)
    assert decision.text == (None if decision.whole else lines("b"))


@pytest.mark.parametrize("kind", [Kind.MODIFY_DELETE, Kind.RENAME])
def test_only_files_deleted_by_a_fork_commit_were_removed_on_purpose(kind: Kind) -> None:
    """Also under upstream's new name for it; but not if an earlier merge lost the file."""
    found = replace(whole(kind, "bt", "now/here.py"), names=("now/here.py", "once/there.py"))
    for removed, take in (("once/there.py", Take.FORK), ("another.py", None)):
        own = Customisations({"once/there.py": [COMMIT]}, removed={removed})
        (decision,) = decide([found], Knowledge(DEFAULT, own))
        assert (decision.rule, decision.take) == ("removed stays removed", take)


def test_a_line_that_the_fork_removed_and_upstream_edited_is_not_absorbed() -> None:
    """Although upstream has the hunk's other change."""
    base = ('send_telemetry("start")\n', "wait_for_requests(1)\n")
    ours, theirs = ("wait_for_requests(2)\n",), ('send_telemetry("start", user=True)\n',)
    edited = hunks.Hunk(ours, base, (*theirs, *ours), 1, ())
    assert not is_absorbed("app.go", edited)
    other = replace(edited, theirs=("another_line(of_upstream)\n", *ours))
    assert is_absorbed("app.go", other)


# --- White space ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["f.py", "f.pyi", "f.yml", "f.yaml", "f.md", "f.rst", "Makefile", "a/Makefile",
             "Makefile.inc", "GNUmakefile", "makefile", "rules.mk"],
)  # fmt: skip
def test_indentation_counts_as_a_change_in_indentation_sensitive_files(path: str) -> None:
    for sides in (("A", "a", "b"), ("b", "a", "A")):
        assert told(settle(clash(*sides, path=path))) == LEFT
    for ours, theirs, result in (("a", "b", "b"), ("b", "a", "b")):
        found = clash(ours, "a", theirs, path=path)
        blank = lines("a").replace("\n", " \t\n")
        side, old = ("HEAD\n", "|") if ours == "a" else ("=======\n", ">")
        found = replace(
            found,
            text=found.text
            and found.text.replace(f"{side}{lines('a')}{old}", f"{side}{blank}{old}"),
        )
        decision = settle(found)
        assert (told(decision), decision.text) == (SPACE, lines(result))


def test_white_space_between_words_is_a_change() -> None:
    base, ours, theirs = 'call("a b")\n', 'call("ab")\n', 'call("a b c")\n'
    text = HUNK.format(ours=ours, base=base, theirs=theirs)
    for found in (conflict("f.ts", text=text), conflict("f.py", text=text)):
        assert told(settle(replace(found, texts=Texts(base, ours, theirs)))) == LEFT


def test_a_line_that_the_fork_removed_and_upstream_moved_is_not_absorbed() -> None:
    gone = hunks.Hunk(("<a>\n",), ("<a>\n", "disabled={of_it}\n"), (), 1, ())
    before, mine = "<a>\ndisabled={of_it}\n>\n", "<a>\n>\n"
    assert is_absorbed("a.tsx", gone, Texts(before, mine, ">\n"))
    assert not is_absorbed("a.tsx", gone, Texts(before, mine, ">\n  <b\n    disabled={of_it}\n"))
    # What the fork itself has elsewhere, it moved too.
    own = f"{mine}disabled={{of_it}}\n"
    assert is_absorbed("a.tsx", gone, Texts(before, own, ">\ndisabled={of_it}\n"))


def test_a_python_change_that_upstream_has_in_another_block_is_not_absorbed() -> None:
    """The fork made a call depend on something; upstream made another one depend on it."""
    found = clash("bA", "a", "bCa", path="f.py")
    assert settle(found).left == 1


# --- Both added ----------------------------------------------------------------------------------


def test_similar_lines_added_by_both_sides_are_left_for_a_person() -> None:
    for ours, theirs, alike in (
        ('httpx = "0.27.1"', 'httpx = "0.28.0"', True),
        ("result = await call(request)", "result = await call(request, key)", True),
        ('import carto from "carto"', 'import git from "simple-git"', False),
    ):
        hunk = HUNK.format(ours=f"{ours}\n", base="", theirs=f"{theirs}\n")
        texts = Texts("", f"{ours}\n", f"{theirs}\n")
        found = replace(conflict("f.ts", text=hunk), names=("f.ts",), texts=texts)
        decision = settle(found)
        assert told(decision) == (LEFT if alike else ADDED)
        assert decision.text == (hunk if alike else f"{ours}\n{theirs}\n")


def test_a_line_that_the_other_side_has_elsewhere_is_not_added_again() -> None:
    assert told(settle(clash("bd", "", "c", elsewhere="d"))) == LEFT
    assert told(settle(clash("b", "", "cd", own="d"))) == LEFT
    assert told(settle(clash("b", "", "c", elsewhere="d", own="e"))) == ADDED


@pytest.mark.parametrize(
    ("path", "ours", "theirs", "result"),
    [
        # Two functions that end alike are still two functions.
        ("f.ts", "b{d}", "c{e}", "b{d}c{e}"),
        ("Dockerfile", "b{d}", "c{e}", "b{d}c{e}"),
        # Upstream's line belongs to the lines above, not to the fork's new function.
        ("f.py", "bC", "D", "DbC"),
        ("f.yaml", "bC", "D", "DbC"),
        ("Makefile", "bC", "D", "DbC"),
    ],
)
def test_combining_both_additions_keeps_their_meaning_or_decides_nothing(
    path: str, ours: str, theirs: str, result: str
) -> None:
    """By evidence and by the rule for a Dockerfile and the Makefile."""
    decision = settle(clash(ours, "", theirs, path=path), *DEFAULT.rules)
    assert decision.left or decision.text == lines(result)


def test_two_new_files_of_one_name_are_not_combined() -> None:
    found = clash("bd", "", "ce", path="x.py", kind=Kind.ADD_ADD)
    assert settle(replace(found, base=None)).left == 1


# --- Merged by name ------------------------------------------------------------------------------

PYPROJECT = '[tool.poetry]\nversion = "{}"\n[tool.poetry.dependencies]\nhttpx = "{}"\nrich = "{}"\n'
PACKAGE = '{{\n  "name": "{}",\n  "react": "{}",\n  "next": "{}"\n}}\n'
CONFIG = "model: {}\ncache: {}\nretries: {}\n"
PINS = "httpx=={}\nrich=={}\nboto3=={}\n"


def by_key(path: str, form: str, *values: str) -> Conflict:
    """A conflict in a whole file. values: those of base, ours and theirs."""
    base, ours, theirs = (form.format(*side.split()) for side in values)
    text = HUNK.format(ours=ours, base=base, theirs=theirs)
    return replace(conflict(path, text=text), names=(path,), texts=Texts(base, ours, theirs))


@pytest.mark.parametrize(
    ("path", "form", "result"),
    [
        ("pyproject.toml", PYPROJECT, "3 2 3"),
        ("package.json", PACKAGE, None),
        ("package.json", PACKAGE, "1 2 3"),
        ("docker/config.yaml", CONFIG, "1 2 3"),
        ("requirements.txt", PINS, "1 2 3"),
        ("f.ini", PINS, None),
    ],
)
def test_changes_to_different_keys_are_merged_by_key(
    path: str, form: str, result: str | None
) -> None:
    """The version is upstream's, whatever the fork changed it to."""
    changed = "2 2 1", "3 1 3"
    if result and result[0] == "1":
        changed = "1 2 1", "1 1 3"
    found = by_key(path, form, "1 1 1", *changed)
    (decision,) = decide([found], Knowledge(DEFAULT, of_the_fork(found)))
    if result is None:
        assert (decision.take, decision.left, decision.text) == (None, 1, found.text)
    else:
        assert told(decision) == BY_NAME
        assert decision.text == form.format(*result.split())
        assert (decision.settled, decision.left, decision.whole) == (1, 0, False)


def test_a_merge_by_key_needs_the_base_and_an_unedited_file() -> None:
    found = by_key("package.json", PACKAGE, "1 1 1", "1 2 1", "1 1 3")
    assert told(settle(found)) == BY_NAME
    assert settle(replace(found, base=None, kind=Kind.ADD_ADD)).left == 1
    assert settle(replace(found, texts=None), own=of_the_fork(found)).left == 1
    assert settle(replace(found, edited=True)).left == 1
    (without,) = decide([found], Knowledge(with_rules()))
    assert without.left == 1


def test_a_structured_file_to_which_both_sides_added_is_still_valid() -> None:
    """In an empty table: neither entry ends with the comma that both then need."""
    ours, theirs = ('"left_pad_library": "1"\n', '"right_hand_module": "2"\n')
    text = f"{{\n{HUNK.format(ours=ours, base='', theirs=theirs)}}}\n"
    texts = Texts("{\n}\n", f"{{\n{ours}}}\n", f"{{\n{theirs}}}\n")
    found = replace(conflict("package.json", text=text), names=("package.json",), texts=texts)
    decision = settle(found)
    assert decision.left or len(json.loads(decision.text or "")) == 2


def test_the_reason_is_that_of_the_hunks_that_are_left() -> None:
    """The first is merged by name; the second, about the fork's marked block, is not."""
    first = ("fetch(url, 1)\n", "fetch(\n    url,\n    1,\n)\n", "fetch(url, 2)\n")
    between = "\n\n# CARTO: ours\n"
    second = ("limit = 1\n", "limit = 2\n", "limit = 3\n")
    sides = (f"{one}{between}{other}" for one, other in zip(first, second, strict=True))
    text = between.join(HUNK.format(base=b, ours=o, theirs=t) for b, o, t in (first, second))
    found = replace(conflict(text=text), names=("f.py",), texts=Texts(*sides))
    decision = settle(found)
    assert (decision.settled, decision.left) == (1, 1)
    assert decision.why == "The conflict touches a block marked `# CARTO:`."


def test_a_dropped_change_does_not_come_back_in_a_merge_by_key() -> None:
    """One hunk was dropped; the other can only be merged by key."""
    pair = "{0} = {1}\n{0}{0} = {2}\n"
    base, ours, theirs = (
        [pair.format(key, *values) for key in "ab"] for values in ((1, 1), (2, 1), (1, 3))
    )
    parts = (
        HUNK.format(ours=o, base=b, theirs=t) for b, o, t in zip(base, ours, theirs, strict=True)
    )
    found = replace(conflict("x.toml", text="#\n".join(parts)), names=("x.toml",))
    found = replace(found, texts=Texts(*("#\n".join(side) for side in (base, ours, theirs))))
    assert settle(found).text == "a = 2\naa = 3\n#\nb = 2\nbb = 3\n"
    decision = settle(found, drops=[Drop("x.toml", "Nobody needs it.", ("a = 1", "a = 2"))])
    assert decision.text and decision.text.startswith("a = 1\naa = 3\n#\n")


# --- Memory --------------------------------------------------------------------------------------


def taught(*answers: tuple[Conflict, str]) -> Memory:
    memory = Memory()
    for number, (found, result) in enumerate(answers):
        memory.learn(found.path, found.text or "", result, f"{1234567890 + number}")
    return memory


def test_the_same_hunk_is_resolved_from_memory() -> None:
    memory = taught((clash("b", "a", "c", elsewhere="k"), lines("dek")))
    # Beside other lines than then, too.
    found = clash("b", "a", "c", elsewhere="g")
    decision = settle(found, memory=memory)
    assert (told(decision), decision.text) == (REMEMBERED, lines("deg"))


@pytest.mark.parametrize("sides", [("b", "a", "d"), ("d", "a", "c"), ("b", "d", "c")])
def test_a_different_hunk_is_not_resolved_from_memory(sides: tuple[str, str, str]) -> None:
    found = clash(*sides)
    one = replace(found, text=(found.text or "").replace(lines("d"), lines("d").replace("=", "==")))
    memory = taught((found, lines("e")))
    assert told(settle(found, memory=memory)) == REMEMBERED
    assert told(settle(one, memory=memory)) == LEFT
    assert told(settle(replace(found, path="g.ts", names=("g.ts",)), memory=memory)) == LEFT


def test_a_hunk_resolved_in_two_ways_is_not_resolved_from_memory() -> None:
    found = clash("b", "a", "c")
    twice = taught((found, lines("d")), (found, lines("d")))
    assert settle(found, memory=twice).text == lines("d")
    for answers in ("de", "ded", "dee"):
        memory = taught(*((found, lines(answer)) for answer in answers))
        assert told(settle(found, memory=memory)) == LEFT


@pytest.mark.parametrize("becomes", ["bc", "", "b", "d", "bxc", "x"])
def test_a_remembered_resolution_is_complete_or_not_used(becomes: str) -> None:
    """Even if a line in it equals the next one; if that is ambiguous, a person decides."""
    found = clash("b", "a", "c", elsewhere="x")
    decision = settle(found, memory=taught((found, lines(f"{becomes}x"))))
    assert decision.left or decision.text == lines(f"{becomes}x")
    assert "x" in becomes or not decision.left


def test_a_remembered_resolution_consists_of_whole_lines() -> None:
    found = clash("b", "a", "c", elsewhere="}")
    decision = settle(found, memory=taught((found, "call() {}\n}\n")))
    assert decision.left or decision.text == "call() {}\n}\n"


def test_a_resolution_with_changed_context_is_not_remembered() -> None:
    found = clash("b", "a", "c", elsewhere="x")
    assert settle(found, memory=taught((found, lines("bcy")))).left == 1


def test_a_hunk_left_for_a_person_shows_how_an_earlier_conflict_was_resolved() -> None:
    """Not one in the same file about other lines, which the newest merge may have decided."""
    memory = taught((clash("q", "p", "r"), lines("q")), (clash("b", "a", "d"), lines("d")))
    decision = settle(clash("b", "a", "c"), memory=memory)
    assert (decision.left, decision.past) == (1, "1234567891 took upstream's side")
    assert settle(clash("y", "x", "z"), memory=memory).past == ""
    why = Drop(
        path="f.ts",
        side="upstream",
        lines=tuple(lines("ad").split("\n")),
        reason="It is in the contract.",
    )
    decision = settle(clash("b", "a", "c"), memory=memory, drops=[why])
    assert decision.past == "1234567891 took upstream's side: It is in the contract."


# --- Drops ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines_", "covered"),
    [("", True), ("ab", True), ("abd", True), ("b", False), ("a", False), ("d", False)],
)
def test_a_hunk_is_decided_if_a_drop_covers_all_of_the_forks_change(
    lines_: str, covered: bool
) -> None:
    drop = Drop("f.ts", "Nobody needs it.", tuple(lines(lines_).splitlines()))
    found = clash("b", "a", "c")
    decision = settle(found, drops=[Drop("g.ts", "Another."), drop])
    assert told(decision) == (DROPPED if covered else LEFT)
    assert decision.text == (lines("c") if covered else found.text)
    assert told(settle(replace(found, path="h.ts", names=("h.ts",)), drops=[drop])) == LEFT


@pytest.mark.parametrize(
    "kind", [Kind.BINARY, Kind.SYMLINK, Kind.SUBMODULE, Kind.MODE, Kind.RENAME]
)
def test_a_drop_without_lines_decides_a_whole_file_conflict(kind: Kind) -> None:
    found = whole(kind)
    own = Customisations({found.path: [COMMIT]})
    decision = settle(found, own=own, drops=[Drop(found.path, "Nobody needs it.")])
    assert (told(decision), decision.whole) == (DROPPED, True)
    some = Drop(found.path, "Not this line.", lines=("a line",))
    assert settle(found, own=own, drops=[some]) == settle(found, own=own)


def test_a_drop_of_upstreams_change_does_not_cost_the_fork_its_own() -> None:
    """As --keep-fork records it: without lines for a whole file."""
    for letters in ("", "ac", "abc"):
        drop = Drop(
            "f.ts", "The fork's is better.", tuple(lines(letters).splitlines()), "", "upstream"
        )
        for found in (clash("b", "a", "c"), replace(whole(Kind.BINARY), path="f.ts")):
            known = Knowledge(with_rules(), Customisations({"f.ts": [COMMIT]}), [drop])
            assert decide([found], known)[0].take is not Take.UPSTREAM


@pytest.mark.parametrize(("letters", "covered"), [("", True), ("ac", True), ("c", False)])
def test_a_drop_of_upstreams_change_takes_the_forks_hunk(letters: str, covered: bool) -> None:
    reason, gone = "The fork's is better.", tuple(lines(letters).splitlines())
    found, drop = clash("b", "a", "c"), Drop("f.ts", reason, gone, side="upstream")
    decision = settle(found, drops=[drop])
    assert told(decision) == (("dropped on purpose", Take.FORK, reason) if covered else LEFT)
    assert decision.text == (lines("b") if covered else found.text)


# --- A person's word -----------------------------------------------------------------------------


def two_hunks() -> Conflict:
    """The first hunk is absorbed, the second is left for a person."""
    absorbed, open_ = clash("b", "a", "b"), clash("e}f", "d", "g ")
    assert absorbed.text and open_.text
    return replace(
        absorbed,
        text=f"{absorbed.text}{lines('h')}{open_.text}{lines('k')}",
        texts=Texts(lines("ahdk"), lines("bhe}fk"), lines("bhg k")),
    )


@pytest.mark.parametrize(
    ("take", "option", "result", "given"),
    [
        (Take.UPSTREAM, "--accept-upstream", "g ", "d}ef"),
        (Take.FORK, "--keep-fork", "e}f", "dg"),
    ],
)
def test_a_choice_by_option_settles_only_the_hunks_that_are_left(
    take: Take, option: str, result: str, given: str
) -> None:
    found = two_hunks()
    assert settle(found).left == 1
    decision = settle(found, words={"f.ts": take})
    assert told(decision) == ("a person's word", take, f"{option} was given.")
    assert decision.text == lines(f"bh{result}k")
    assert sorted(decision.given_up) == sorted(lines(given).splitlines())
    assert (decision.settled, decision.left, decision.whole) == (2, 0, False)
    assert settle(found, words={"g.ts": take}) == settle(found)


def test_a_choice_by_option_has_no_effect_if_no_hunk_is_left() -> None:
    for found in (clash("b", "a", "b"), clash("b", "", "c")):
        assert settle(found, words={"f.ts": Take.FORK}) == settle(found)


@pytest.mark.parametrize("take", [Take.UPSTREAM, Take.FORK])
@pytest.mark.parametrize("kind", [Kind.BINARY, Kind.SUBMODULE, Kind.SYMLINK, Kind.RENAME])
def test_a_choice_by_option_settles_a_whole_file_conflict(kind: Kind, take: Take) -> None:
    found = replace(whole(kind), text=None)
    own = Customisations({found.path: [COMMIT]})
    decision = settle(found, own=own, words={found.path: take})
    assert (decision.whole, decision.take, decision.left, decision.given_up) == (True, take, 0, ())
    assert decision.rule == "a person's word"


@pytest.mark.parametrize("loser", ["ba", "a\n"], ids=["moved lines", "a blank line"])
def test_a_choice_in_a_text_always_records_the_lines_given_up(loser: str) -> None:
    """Without lines it would be recorded as covering any change to the file, forever."""
    found = clash(loser, "ab" if loser == "ba" else "a", "c", path="f.pl")
    assert settle(found, words={"f.pl": Take.UPSTREAM}).given_up


def test_fork_lines_dropped_by_option_are_counted() -> None:
    found = clash("bd", "a", "c")
    assert settle(found, words={"f.ts": Take.UPSTREAM}).dropped == 2
    assert settle(found, words={"f.ts": Take.FORK}).dropped == 0


# --- The order -----------------------------------------------------------------------------------

FORKS, UPSTREAMS, BOTHS = (rule(take) for take in (Take.FORK, Take.UPSTREAM, Take.BOTH))
DROP = [Drop("f.ts", "Nobody needs it.")]
VERSION = HUNK.format(ours='version = "2"\n', base='version = "1"\n', theirs='version = "2"\n')


@pytest.mark.parametrize(
    ("sides", "rules", "wrote", "known", "remembers", "name"),
    [
        # Each row matches what it names, and also what later rows name.
        (("b", "a", "b"), [FORKS], "", {"drops": DROP}, True, "rule of fork"),
        (("b", "a", "b"), [UPSTREAMS], "", {"drops": DROP}, True, "dropped on purpose"),
        (("b", "a", "b"), [UPSTREAMS], "", {}, True, "absorbed"),
        (("A", "a", "ca"), [UPSTREAMS], "", {}, True, "untouched by the fork"),
        (("A", "a", "ca"), [UPSTREAMS], "a", {}, True, "white space"),
        (("a+b", "a", "ac"), [UPSTREAMS], "ab", {}, True, "remembered"),
        (("a+b", "a", "ac"), [UPSTREAMS], "ab", {}, False, "rule of upstream"),
        (("a+b", "a", "ac"), [BOTHS], "ab", {}, False, "marked block"),
        (("b", "", "c"), [BOTHS], "b", {}, False, "rule of both"),
        (("b", "", "c"), [], "b", {"words": {"f.ts": Take.FORK}}, False, "both added"),
        (("b", "a", "c"), [], "b", {"words": {"f.ts": Take.FORK}}, False, "a person's word"),
    ],
)
def test_the_first_matching_reason_decides_a_hunk(
    sides: tuple[str, str, str],
    rules: list[Rule],
    wrote: str,
    known: dict[str, object],
    remembers: bool,
    name: str,
) -> None:
    found = clash(*sides)
    more = known | ({"memory": taught((found, lines("k")))} if remembers else {})
    assert settle(found, *rules, own=of_the_fork(found, wrote=wrote), **more).rule == name


def test_the_version_comes_before_evidence_and_a_merge_by_key_after_it() -> None:
    version = replace(conflict("pyproject.toml", text=VERSION), texts=Texts("a", "b", "b"))
    (decision,) = decide(
        [version], Knowledge(DEFAULT, Customisations({"pyproject.toml": [COMMIT]}))
    )
    assert (decision.rule, decision.take) == ("version", Take.VERSION)
    found = by_key("package.json", PACKAGE, "1 1 1", "1 2 1", "1 1 3")
    assert settle(found, words={found.path: Take.FORK}).rule == "merged by name"
    assert settle(found, memory=taught((found, "{}\n"))).rule == "remembered"
    assert settle(found, drops=[Drop(found.path, "Nobody needs it.")]).rule == "dropped on purpose"


def test_the_first_matching_reason_decides_a_whole_file_conflict() -> None:
    found, nobody = whole(Kind.MODE), Customisations()
    own, drops = Customisations({found.path: [COMMIT]}), [Drop(found.path, "Nobody needs it.")]
    binary, always = whole(Kind.BINARY), rule(Take.FORK, whole=True)
    assert settle(binary, always, own=nobody).rule == "rule of fork"
    assert told(settle(binary, always, own=own, drops=drops)) == DROPPED
    assert told(settle(found, FORKS, own=nobody, drops=drops)) == UNTOUCHED
    assert told(settle(found, FORKS, own=own, drops=drops)) == DROPPED
    assert told(settle(found, UPSTREAMS, own=own)) == SAME_CONTENT
    assert settle(binary, FORKS, own=own, words={binary.path: Take.UPSTREAM}).rule == "rule of fork"


# --- What somebody edited ------------------------------------------------------------------------


def written(found: Conflict, text: str) -> Conflict:
    """The conflict with another text in the work tree than the merge wrote."""
    return replace(found, edited=True, text=text, merged=found.text, now="0" * 40)


@pytest.mark.parametrize(
    "sides", [("b", "a", "b"), ("b", "", "c"), ("A", "a", "b"), ("a+d", "a", "ac")]
)
def test_a_decision_that_an_earlier_run_wrote_is_recognised(sides: tuple[str, str, str]) -> None:
    found = clash(*sides, elsewhere="k")
    decision = settle(found)
    assert decision.text is not None and not decision.left
    done = written(found, decision.text)
    assert settle(done) == replace(decision, conflict=done)
    person = written(found, decision.text + "\n")
    assert told(settle(person)) == ("", None, "Edited by hand, not staged.")


@pytest.mark.parametrize("found", [found for found in KINDS if found.kind is not Kind.MODE])
@pytest.mark.parametrize("take", [Take.FORK, Take.UPSTREAM])
def test_a_file_that_an_earlier_run_took_whole_is_recognised(found: Conflict, take: Take) -> None:
    winner = found.ours if take is Take.FORK else found.theirs
    policy_ = with_rules(rule(take, whole=True))
    sides = (found.ours and found.ours.name, found.theirs and found.theirs.name)
    for name in ("0" * 40, *sides):
        edited = replace(found, edited=True, merged=found.text, text=None, now=name or "")
        (decision,) = decide([edited], Knowledge(policy_, Customisations({found.path: [COMMIT]})))
        if edited.now == (winner.name if winner else ""):
            assert (decision.take, decision.whole, decision.left) == (take, True, 0)
        else:
            assert told(decision) == (policy_.rules[0].name, None, "Edited by hand, not staged.")


def test_a_hand_edit_in_a_file_without_fork_commits_is_kept() -> None:
    found = written(clash("b", "a", "c"), lines("d"))
    assert told(settle(found, own=Customisations())) == ("", None, "Edited by hand, not staged.")
    begun = written(clash("b", "a", "c"), f"by hand\n{clash('b', 'a', 'c').text}")
    assert (settle(begun, own=Customisations()).text or "").startswith("by hand\n")


@pytest.mark.parametrize("take", [Take.FORK, Take.UPSTREAM])
@pytest.mark.parametrize("line", [lines("h"), "by hand\n"], ids=["by a run", "by hand"])
def test_a_choice_by_option_keeps_what_was_settled_before(take: Take, line: str) -> None:
    """The file contains what was already settled; the choice is about the hunk that is left."""
    found, word = two_hunks(), {"f.ts": take}
    begun, at_once = settle(found).text, settle(found, words=word)
    assert begun and at_once.text
    decision = settle(written(found, begun.replace(lines("h"), line)), words=word)
    assert (decision.whole, decision.left, decision.given_up) == (False, 0, at_once.given_up)
    assert decision.text == at_once.text.replace(lines("h"), line)


@pytest.mark.parametrize("take", [Take.FORK, Take.UPSTREAM])
def test_a_choice_carried_out_by_an_earlier_run_is_recognised(take: Take) -> None:
    found, word = two_hunks(), {"f.ts": take}
    at_once = settle(found, words=word)
    assert at_once.text
    done = written(found, at_once.text)
    assert settle(done, words=word) == replace(at_once, conflict=done)


@pytest.mark.parametrize("take", [Take.FORK, Take.UPSTREAM])
def test_a_choice_by_option_does_not_overwrite_a_resolution_by_hand(take: Take) -> None:
    decision = settle(written(clash("b", "a", "c"), "by hand\n"), words={"f.ts": take})
    assert (decision.whole, decision.text) == (False, None)


# --- Any hunk ------------------------------------------------------------------------------------


def _hunks(path: str) -> st.SearchStrategy[Conflict]:
    """Any file with one or two hunks that both sides changed, each between `head` and `tail`."""
    new = st.text(alphabet="aAbcde}+", max_size=3)
    side = st.sampled_from(["{new}{base}", "{base}{new}", "{new}"])

    def changed(base: str, *each: str) -> tuple[str, str, str]:
        ours, theirs = (each[i].format(base=base, new=each[i + 1]) for i in (0, 2))
        return ours, base, theirs

    bases = st.sampled_from(["", "a", "A", "ab", "aa", "a}"])
    sides = st.builds(changed, bases, side, new, side, new)
    sides = sides.filter(lambda s: s[1] not in (s[0], s[2]))

    def whole_file(found: list[tuple[str, str, str]]) -> Conflict:
        text = "".join(f"{clash(*one).text}tail\n" for one in found)
        ours, base, theirs = (
            "".join(f"{lines(s)}tail\n" for s in each) for each in zip(*found, strict=True)
        )
        return replace(conflict(path, text=text), names=(path,), texts=Texts(base, ours, theirs))

    return st.lists(sides, min_size=1, max_size=2).map(whole_file)


@given(st.sampled_from(["f.ts", "f.py", "Dockerfile"]).flatmap(_hunks), st.booleans())
def test_no_fork_change_is_dropped_without_asking(found: Conflict, edited: bool) -> None:
    """Lines the fork added are there, apart from surrounding white space, and lines it removed are
    not.

    The same line may stand elsewhere in the base: that one upstream may have removed.
    """
    if edited:
        found = written(found, f"by hand\n{found.text}")
    (decision,) = decide([found], Knowledge(DEFAULT, of_the_fork(found)))
    assert not decision.whole and decision.text is not None and found.text
    before, after = (text.split("tail\n") for text in (found.text, decision.text))
    assert len(before) == len(after)
    for was, now in zip(before, after, strict=True):
        assert now.startswith("by hand\n") is was.startswith("by hand\n")
        if was == now:
            continue
        (hunk,) = [part for part in hunks.parse(was) or [] if isinstance(part, hunks.Hunk)]
        # In Python an indented line is another one.
        for plain in [str.strip, str.rstrip] if found.path == "f.py" else [str.strip]:
            base, ours, theirs, result = (
                Counter(map(plain, text))
                for text in (hunk.base or (), hunk.ours, hunk.theirs, lines_of(now))
            )
            removed = base - theirs
            assert all(result[line] >= ours[line] - removed[line] for line in ours - base)
            assert all(result[line] <= ours[line] for line in base - ours)
