"""Conventional commits: how they are parsed, and which part of a version they raise."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import Version

from carto_fork.fork.tags import Conventional, bump_for, conventional, raised


@pytest.mark.parametrize(
    ("subject", "change"),
    [
        ("feat: sessions", Conventional("feat", "", False, "sessions")),
        ("fix(router): rest (#12)", Conventional("fix", "router", False, "rest", 12)),
        ("feat(api)!: other names", Conventional("feat", "api", True, "other names")),
        ("refactor!: gone", Conventional("refactor", "", True, "gone")),
        ("FEAT: loud", Conventional("feat", "", False, "loud")),
        ("fix: no number (#12) here", Conventional("fix", "", False, "no number (#12) here")),
        ("fix(ui, api): two", Conventional("fix", "ui, api", False, "two")),
        ('Revert "feat: x"', Conventional("revert", "", False, 'Revert "feat: x"')),
        ('Revert "feat: x" (#9)', Conventional("revert", "", False, 'Revert "feat: x"', 9)),
    ],
)
def test_a_conventional_subject_is_parsed(subject: str, change: Conventional) -> None:
    assert conventional(subject) == change


@pytest.mark.parametrize(
    "subject",
    [
        *("", "feat", "feat:", "feat: ", "feat:x", "fix stuff", ": x", "feat(): x", "feat(a: x"),
        *("Merge branch 'main'", "fixup! feat: x", "feat(a)(b): x", " feat: x", "feat!!: x"),
        *("feat: x\nfix: y", "feat(a\nb): x", "4: x", "Revert feat"),
    ],
)
def test_an_unconventional_subject_is_not_parsed(subject: str) -> None:
    assert conventional(subject) is None


@pytest.mark.parametrize(
    ("body", "breaking"),
    [
        ("BREAKING CHANGE: the key is another", True),
        ("text\n\nBREAKING-CHANGE: it is\nRefs: #1", True),
        ("BREAKING CHANGE #7", True),
        ("this is no BREAKING CHANGE: at all", False),
        ("breaking change: small", False),
        ("BREAKING CHANGES: none", False),
    ],
)
def test_a_breaking_change_footer_is_recognised(body: str, breaking: bool) -> None:
    found = conventional("fix: x", body)
    assert found and found.breaking is breaking


@given(st.text())
def test_any_text_can_be_parsed_without_an_error(text: str) -> None:
    found = conventional(text, text)
    assert found is None or (found.type and found.pull >= 0)


@pytest.mark.parametrize(
    ("subjects", "part"),
    [
        ([], "patch"),
        (["docs: x", "nonsense"], "patch"),
        (["fix: x", "feat: y"], "minor"),
        (["feat: y", "chore!: z"], "major"),
    ],
)
def test_the_largest_change_decides_the_version_bump(subjects: list[str], part: str) -> None:
    assert bump_for(map(conventional, subjects)) == part


def test_a_version_is_raised() -> None:
    assert [raised(Version("1.2.3"), part) for part in ("major", "minor", "patch")] == [
        "2.0.0",
        "1.3.0",
        "1.2.4",
    ]
