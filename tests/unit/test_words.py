"""Plain English: how often our own text still uses phrases that readers stumble over.

Each number may only fall. Whoever rewrites a text lowers it, and nobody can raise it unseen.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

MOST = {
    r"\b(tells?|told)\b": 188,
    r"\bof (upstream|the fork)'s\b": 124,
    r"\b(is|are) no(ne)?\b": 121,
    r"\bmend(s|ed|ing)?\b": 69,
    r"\bRaises [\w, ]+ where\b": 5,
    r"\bwhere (there|it|they|one|some|something|nothing|nobody) (is|are|has|have)\b": 41,
    r"\b(is|are) (a person's|yours)\b": 8,
    r"\b(goes|went|go) on\b": 26,
    r"\blets? [\w ]{0,20}\bgo\b": 16,
    r"\bstands?\b": 96,
    r"\b(speaks?|stands?) against\b": 3,
}
"""A phrase, and how often it may occur."""

INSTEAD = (
    "say, print, report; if, when; upstream's, the fork's; not a; fix; needs you; continue; drop"
)


def _ours() -> str:
    """What we have written ourselves: sources, documents, names of tests."""
    files = [
        *(ROOT / "scripts").rglob("*.py"),
        *(ROOT / "scripts" / "carto_fork" / "adopt").rglob("*.md"),
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
    ]
    skipped = {"history.py", "CHANGELOG.md"}  # a fork's own texts, and what was true once
    texts = [path.read_text(encoding="utf-8") for path in files if path.name not in skipped]
    return "\n".join(texts)


@pytest.mark.parametrize(("phrase", "most"), MOST.items())
def test_a_phrase_of_the_glossary_becomes_rarer(phrase: str, most: int) -> None:
    count = len(re.findall(phrase, _ours()))
    assert count <= most, f"{count} in place of {most}: write {INSTEAD}"
    assert count == most, f"rarer than before: lower its number to {count}"
