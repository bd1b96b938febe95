"""Which rule settles which conflict, what becomes of it, and what a person is told."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carto_fork import policy
from carto_fork.decisions import Decision, decide
from carto_fork.evidence import Conflict, Stage
from carto_fork.policy import Kind, Policy, Rule, Side, Take

DEFAULT = policy.load().policy
STAGE = {name: Stage("100644", f"{number}" * 40) for number, name in enumerate(("b", "o", "t"), 1)}

MARKERS = ["<<<<<<< HEAD", "||||||| base", "=======", ">>>>>>> tag"]
HUNK = "<<<<<<< HEAD\n{ours}||||||| base\n{base}=======\n{theirs}>>>>>>> tag\n"


def hunk(ours: str, base: str, theirs: str) -> str:
    """A hunk with markers; a letter stands for a line."""
    lines = {"ours": ours, "base": base, "theirs": theirs}
    return HUNK.format(
        **{name: "".join(f"{line}\n" for line in text) for name, text in lines.items()}
    )


def conflict(
    path: str = "f.py", kind: Kind = Kind.CONTENT, text: str | None = None, sides: str = "bot"
) -> Conflict:
    """A conflict. sides: the versions that there are, of base, ours, theirs."""
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
    (decision,) = decide([found], with_rules(*rules))
    return decision


# --- Which rule ----------------------------------------------------------------------------------


def test_the_first_rule_that_fits_decides() -> None:
    first, second = rule(Take.FORK, ("/a/",)), rule(Take.UPSTREAM)
    found = decide(
        [conflict("a/x", text=hunk("o", "b", "t")), conflict("b/x", text=hunk("o", "b", "t"))],
        with_rules(first, second),
    )
    assert [(decision.rule, decision.text) for decision in found] == [
        (first.name, "o\n"),
        (second.name, "t\n"),
    ]


def test_decisions_come_in_the_order_of_the_conflicts() -> None:
    paths = ["z", "a", "m/x"]
    found = decide([conflict(path) for path in paths], with_rules(rule(Take.FORK)))
    assert [decision.conflict.path for decision in found] == paths
    assert decide([], with_rules(rule(Take.FORK))) == []


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
def test_paths_are_patterns_as_in_gitignore(pattern: str, path: str, fits: bool) -> None:
    decision = decided(conflict(path), rule(Take.FORK, (pattern,)))
    assert bool(decision.take) is fits
    assert decision.rule == ("rule of fork" if fits else "")


def test_a_later_pattern_may_take_paths_out_again() -> None:
    found = rule(Take.FORK, ("/tests/", "!/tests/keep.py"))
    assert decided(conflict("tests/a.py"), found).take is Take.FORK
    assert decided(conflict("tests/keep.py"), found).take is None


@pytest.mark.parametrize("kind", list(Kind))
def test_a_rule_for_some_kinds_fits_no_other(kind: Kind) -> None:
    found = decided(conflict(kind=kind), rule(Take.FORK, kinds=(Kind.CONTENT, Kind.RENAME)))
    assert bool(found.take) is (kind in (Kind.CONTENT, Kind.RENAME))
    assert decided(conflict(kind=kind), rule(Take.FORK)).take is Take.FORK


def test_a_rule_for_what_one_side_deleted() -> None:
    found = rule(Take.FORK, deleted_by=Side.FORK)
    assert decided(conflict(kind=Kind.MODIFY_DELETE, sides="bt"), found).take is Take.FORK
    assert decided(conflict(kind=Kind.MODIFY_DELETE, sides="bo"), found).take is None
    assert decided(conflict(), found).take is None


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
def test_the_default_rules(path: str, kind: Kind, sides: str, name: str) -> None:
    text = hunk("o", "b", "t") if "o" in sides and "t" in sides else None
    (decision,) = decide([conflict(path, kind, text, sides)], DEFAULT)
    assert decision.rule == name


# --- Hunk by hunk --------------------------------------------------------------------------------


def test_only_the_conflicting_hunks_follow_the_winner() -> None:
    text = f"fork's\n{hunk('o', 'b', 't')}both\n{hunk('p', 'c', 'u')}upstream's\n"
    for take, lines in ((Take.FORK, "op"), (Take.UPSTREAM, "tu")):
        decision = decided(conflict(text=text), rule(take))
        assert decision.text == f"fork's\n{lines[0]}\nboth\n{lines[1]}\nupstream's\n"
        assert (decision.take, decision.settled, decision.left) == (take, 2, 0)
        assert (decision.whole, decision.todo) == (False, "")
        assert decision.why == f"Why {take.value}."


def test_a_whole_file_is_the_winners_whole_file() -> None:
    decision = decided(conflict(text=hunk("o", "b", "t")), rule(Take.UPSTREAM, whole=True))
    assert (decision.whole, decision.take, decision.text) == (True, Take.UPSTREAM, None)
    assert decision.left == 0


def test_a_whole_file_that_somebody_edited_is_decided_by_what_hunks_are_left() -> None:
    found = replace(conflict(text="mine\n" + hunk("o", "b", "t")), edited=True)
    decision = decided(found, rule(Take.UPSTREAM, whole=True))
    assert (decision.whole, decision.text) == (False, "mine\nt\n")


def test_without_a_rule_every_hunk_is_a_persons() -> None:
    text = f"x\n{hunk('o', 'b', 't')}y\n{hunk('o', 'b', 't')}"
    assert decided(conflict(text=text)) == Decision(
        conflict(text=text),
        take=None,
        rule="",
        why="No rule fits.",
        text=text,
        settled=0,
        left=2,
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
def test_markers_that_do_not_add_up_are_a_persons(text: str, take: Take) -> None:
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
    assert (decision.why, decision.todo) == ("Changed by hand, not staged.", "git add -- f.py")


def test_what_somebody_has_begun_is_continued() -> None:
    found = replace(conflict(text=f"by hand\n{hunk('o', 'b', 't')}"), edited=True)
    assert decided(found, rule(Take.UPSTREAM)).text == "by hand\nt\n"


# --- Both ----------------------------------------------------------------------------------------


def test_additions_of_both_sides_stay_the_forks_first() -> None:
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
def test_anything_but_additions_is_a_persons(ours: str, base: str, theirs: str) -> None:
    text = hunk(ours, base, theirs)
    decision = decided(conflict(text=text), rule(Take.BOTH))
    assert (decision.take, decision.text, decision.left) == (None, text, 1)
    assert decision.why == "Both sides changed the same lines."
    assert decision.todo == "resolve 1 hunk in f.py, then git add -- f.py"


def test_without_a_base_nobody_knows_whether_lines_were_added() -> None:
    text = "<<<<<<< HEAD\no\n=======\nt\n>>>>>>> tag\n"
    assert decided(conflict(text=text), rule(Take.BOTH)).left == 1


def test_a_line_that_both_sides_added_is_not_there_twice() -> None:
    decision = decided(conflict(text=hunk("so", "", "st")), rule(Take.BOTH))
    assert decision.left or decision.text == "s\no\nt\n"


def test_a_hunk_in_a_marked_block_is_a_persons_and_the_others_are_decided() -> None:
    marked = f"# CARTO: ours\nRUN x\n{hunk('o', '', 't')}RUN y\n"
    text = f"{marked}\n{hunk('p', '', 'u')}"
    decision = decided(conflict(text=text), rule(Take.BOTH))
    assert decision.text == f"{marked}\np\nu\n"
    assert (decision.take, decision.settled, decision.left) == (None, 1, 1)
    assert decision.why == "A block marked `# CARTO:` is touched."


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


def test_the_version_is_upstreams() -> None:
    text = version_hunk('version = "1.1"  # ours', 'version = "1.0"', "version='1.2'")
    decision = decided(conflict(text=text), rule(Take.VERSION))
    assert (decision.text, decision.take, decision.dropped) == (
        "version='1.2'\n",
        Take.VERSION,
        0,
    )


def test_the_version_with_carriage_returns() -> None:
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
def test_more_than_the_version_is_a_persons(line: str, side: str) -> None:
    lines = dict.fromkeys(("ours", "base", "theirs"), 'version = "1.0"')
    lines[side] += f"\n{line}"
    text = version_hunk(**lines)
    decision = decided(conflict(text=text), rule(Take.VERSION))
    assert (decision.take, decision.text, decision.left) == (None, text, 1)
    assert decision.why == "More than the version is in conflict."


def test_the_version_and_something_else_elsewhere() -> None:
    version = version_hunk('version = "1.1"', 'version = "1.0"', 'version = "1.2"')
    decision = decided(conflict(text=f"{version}x\n{hunk('o', 'b', 't')}"), rule(Take.VERSION))
    assert decision.text == f'version = "1.2"\nx\n{hunk("o", "b", "t")}'
    assert (decision.take, decision.settled, decision.left) == (None, 1, 1)
    assert decision.why == "More than the version is in conflict."


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
def test_a_rule_for_text_decides_nothing_else(take: Take) -> None:
    decision = decided(conflict(kind=Kind.BINARY), rule(take))
    assert (decision.take, decision.whole, decision.left) == (None, False, 1)
    assert decision.why == f"Rule {rule(take).name!r} decides text only."


@pytest.mark.parametrize(
    ("found", "todo"),
    [
        (conflict(sides="bo"), "git add -- f.py keeps it, git rm -- f.py follows upstream"),
        (conflict(sides="bt"), "git rm -- f.py keeps it deleted, git add -- f.py follows upstream"),
        (
            conflict(kind=Kind.RENAME, sides="o"),
            "git add -- f.py keeps this name, git rm -- f.py drops it",
        ),
        (
            conflict(kind=Kind.SUBMODULE),
            "check the wanted commit out in f.py, then git add -- f.py",
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
def test_a_person_is_told_what_to_do(found: Conflict, todo: str) -> None:
    decision = decided(found)
    assert (decision.why, decision.todo, decision.left) == ("No rule fits.", todo, 1)


# --- What is lost --------------------------------------------------------------------------------


def test_lines_of_the_forks_that_give_way_are_counted() -> None:
    text = hunk("opq", "b", "tq") + "x\n" + hunk("r", "c", "")
    assert decided(conflict(text=text), rule(Take.UPSTREAM)).dropped == 3
    assert decided(conflict(text=text), rule(Take.FORK)).dropped == 0


def test_a_line_that_the_fork_has_from_upstream_is_not_the_forks() -> None:
    """Without zealous markers a hunk holds lines that only upstream changed."""
    text = hunk("ao", "ab", "ct")
    assert decided(conflict(text=text), rule(Take.UPSTREAM)).dropped == 1


# --- Any text ------------------------------------------------------------------------------------


@settings(deadline=None)
@given(
    st.lists(st.sampled_from([*MARKERS, "x", "# CARTO:", "", 'version = "1"'])).map("\n".join),
    st.sampled_from(list(Take)),
    st.booleans(),
)
def test_nothing_is_decided_while_something_is_left(text: str, take: Take, edited: bool) -> None:
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
