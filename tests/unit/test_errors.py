"""How a task stops: its message, and how the message is formatted."""

from __future__ import annotations

import sys

import pytest

from carto_fork.run.errors import Failed, Stop

WHAT = (
    "`git -C ../litellm.upstream-sync-v1.76.5 commit` ended with exit code 1, since the hook that "
    "looks at what is committed said no:\n"
    "  what another program said stays as it was said, however long the line is that it said it in"
)
UNTOUCHED = "Your checkout, carto/main and origin are unchanged, and so is every tag."
THEN = "fix it, then run `invoke upgrade-carto --tag v1.76.5 --repo ../litellm --no-tests` again."


def said(monkeypatch: pytest.MonkeyPatch, columns: str) -> list[str]:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: bool(columns))
    monkeypatch.setenv("COLUMNS", columns)
    stop: Stop = Failed(WHAT, untouched=UNTOUCHED, then=THEN)
    return str(stop).splitlines()


def test_prose_is_wrapped_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A long command is on a line of its own, to be pasted; a short one is not."""
    lines = said(monkeypatch, "60")
    whole = [WHAT.splitlines()[1], f"    {THEN.split('`')[1]}"]
    assert set(whole) < set(lines)
    assert "    git -C ../litellm.upstream-sync-v1.76.5 commit" in lines
    assert max(len(line) for line in lines if line not in whole) <= 60
    plain = f"Failed: {WHAT} {UNTOUCHED} Next: {THEN}".replace("`", "")
    assert " ".join(" ".join(lines).split()) == " ".join(plain.split())


@pytest.mark.parametrize(
    ("then", "lines"),
    [
        (
            "git -C ../a.b fetch --tags upstream",
            ["Next:", "    git -C ../a.b fetch --tags upstream"],
        ),
        (
            "edit it, then mv mine its-own-place/there/long, or leave it.",
            ["Next: edit it, then", "    mv mine its-own-place/there/long", "  or leave it."],
        ),
        (
            "run `a` and `invoke next --repo ../litellm.upstream`; then go (`invoke more "
            "--long --longer --longest`).",
            [
                "Next: run `a` and",
                "    invoke next --repo ../litellm.upstream",
                "  then go",
                "  (`invoke more --long --longer --longest`).",
            ],
        ),
        ("`git add` it.", ["Next: `git add` it."]),
        (
            "see (git -C a/b/c/d remote get-url up), and what git -C a/b/c/d/e status --short "
            "lists.",
            [
                "Next: see",
                "  (`git -C a/b/c/d remote get-url up`),",
                "  and what",
                "    git -C a/b/c/d/e status --short",
                "  lists.",
            ],
        ),
        ("make sure that the key is here.", ["Next: make sure that the key is", "  here."]),
    ],
)
def test_a_long_command_is_on_a_line_of_its_own(
    then: str, lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "32")
    assert str(Stop("No.", then=then)).splitlines()[2:] == lines


def test_each_sentence_is_one_line_outside_of_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    assert said(monkeypatch, "") == [*f"Failed: {WHAT}".splitlines(), UNTOUCHED, f"Next: {THEN}"]
