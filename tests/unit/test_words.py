"""Plain English: no text of ours has a phrase that readers stumble over."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

INSTEAD = {
    r"\b(tells?|told)\b": "say, print, show, report",
    r"\bof (upstream|the fork)'s\b": "upstream's, the fork's; a fork commit",
    r"\b(is|are) no(ne)?\b": "is not a",
    r"\bmend(s|ed|ing)?\b": "fix",
    r"\bRaises [\w, ]+ where\b": "Raises X if",
    r"\bwhere (there|it|they|one|some|something|nothing|nobody) (is|are|has|have)\b": "if, when",
    r"\b(is|are) (a person's|yours)\b": "needs you, is left for you to decide",
    r"\b(goes|went|go) on\b": "continues",
    r"\blets? [\w ]{0,20}\bgo\b": "drop",
    r"\bstands?\b": "is",
    r"\b(speaks?|stands?) against\b": "blocks",
}
"""A phrase, and what to write."""

NOT_OURS = (
    "chore: record what {tag} stands for",  # a commit message that earlier versions wrote, too
    "There are no new commits",  # GitHub's
)


def _texts() -> dict[str, str]:
    """What we have written ourselves, by file."""
    files = [
        *(ROOT / "scripts").rglob("*.py"),
        *(ROOT / "scripts" / "carto_fork").rglob("*.md"),
        *(ROOT / "scripts" / "carto_fork").rglob("*.y*ml"),
        *(ROOT / "scripts" / "carto_fork").rglob("*.toml"),
        *(ROOT / "scripts" / "carto_fork").rglob("*.html"),
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        ROOT / "Makefile",
    ]
    skipped = {"history.py", "CHANGELOG.md"}  # a fork's own texts, and what was true once
    texts = {}
    for path in files:
        if path.name not in skipped:
            text = path.read_text(encoding="utf-8")
            for words in NOT_OURS:
                text = text.replace(words, "")
            texts[str(path.relative_to(ROOT))] = text
    return texts


@pytest.mark.parametrize("phrase", INSTEAD)
def test_no_text_has_a_phrase_of_the_glossary(phrase: str) -> None:
    found = [
        f"{path}:{text.count(chr(10), 0, match.start()) + 1}: {match[0]!r}"
        for path, text in _texts().items()
        for match in re.finditer(phrase, text)
    ]
    assert not found, f"write: {INSTEAD[phrase]}"
