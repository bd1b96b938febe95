"""Any edits of real files merge to a text that parses, or to a conflict, and nothing is touched
outside of what is decided.

The files are those of this checkout, of the installed packages and in .real-files. `.ci/real-files`
brings sources in every other language into the latter.
"""

from __future__ import annotations

import os
import random
import re
import sysconfig
from collections import Counter, defaultdict
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from carto_fork.merge import hunks, languages
from carto_fork.merge.decisions import Decision
from carto_fork.merge.trees import Tree, is_sound
from carto_fork.run.text import lines_of
from three_way import decided
from world import ROOT

PLACES = [ROOT / name for name in (".github", ".real-files", "requirements", "scripts")]
PLACES += [Path(sysconfig.get_path("purelib")), Path(sysconfig.get_path("include"))]
MOST = 12
"""Files of one kind."""


def found() -> dict[str, list[str]]:
    """Texts of real files, by suffix."""
    sizes = range(1_000, 60_000)
    by_suffix: dict[str, list[Path]] = defaultdict(list)
    for place in PLACES:
        for path in sorted(place.rglob("*")):
            suffix = ".txt" if path.parent.name == "requirements" else path.suffix
            known = suffix in languages.SUFFIXES or suffix == ".txt"
            if known and path.is_file() and path.stat().st_size in sizes:
                by_suffix[suffix].append(path)
    texts = {}
    for suffix, paths in by_suffix.items():
        some = random.Random(suffix).sample(paths, min(MOST, len(paths)))
        texts[suffix] = [path.read_text("utf-8", "surrogateescape") for path in some]
    return {suffix: [x for x in some if "\r" not in x] for suffix, some in texts.items()}


FILES = found()


@st.composite
def edited(draw: st.DrawFn, lines: list[str], start: int, stop: int) -> str:
    """A file after up to three edits between two of its lines."""
    lines = list(lines)
    for _ in range(draw(st.integers(1, 3))):
        last = len(lines) - 1
        at = draw(st.integers(min(start, last), min(stop, last)))
        words = re.findall(r"\w{3,}", lines[at])
        how = draw(st.sampled_from(["word", "remove", "copy", "swap", "insert", "indent", "value"]))
        if how == "word" and words:
            word = draw(st.sampled_from(words))
            lines[at] = lines[at].replace(word, draw(st.sampled_from(["new_name", f"{word}2"])), 1)
        elif how == "value":
            lines[at] = re.sub(r"\d+", str(draw(st.integers(2, 9))), lines[at])
        elif how == "remove":
            del lines[at : at + draw(st.integers(1, 3))]
        elif how == "copy":
            size = draw(st.integers(1, 4))
            source = draw(st.integers(0, len(lines) - 1))
            lines[at:at] = [x.replace("e", "ea", 1) for x in lines[source : source + size]]
        elif how == "insert":
            lines.insert(at, lines[at].replace(words[0], "added", 1) if words else lines[at])
        elif how == "indent":
            lines[at] = f"  {lines[at]}"
        elif at + 1 < len(lines):
            lines[at], lines[at + 1] = lines[at + 1], lines[at]
        if not lines:
            return "\n"
    return "".join(lines)


def check(decision: Decision, suffix: str, base: str, ours: str, theirs: str) -> None:
    """What holds for every decision."""
    conflict, text = decision.conflict, decision.text or ""
    language = languages.language_of(conflict.path)
    assert language
    segments = hunks.parse(conflict.text or "") or []
    if decision.became:  # not a file of keys, merged as a whole
        became = iter(decision.became)
        made = []
        for segment in segments:
            if isinstance(segment, str):
                made.append(segment)
            else:
                lines = next(became)
                made.append("".join(segment.shown if lines is None else lines[0]))
        assert text == "".join(made)
    if decision.left:
        return
    sides = [x.encode("utf-8", "surrogateescape") for x in (base, ours, theirs)]
    known = Counter(word for side in (base, ours, theirs) for word in re.findall(r"\w+", side))
    assert not [word for word in re.findall(r"\w+", text) if word not in known]
    if language.wheel and decision.rule == "merged by name":
        trees = [Tree(language, side) for side in sides]
        whole = Tree(language, text.encode("utf-8", "surrogateescape"))
        if not any(tree.root.has_error for tree in trees):
            assert is_sound(trees, whole, is_python=suffix in (".py", ".pyi"))


def run(suffix: str, place: Path, examples: int) -> None:
    """Merge edits of the files with a suffix."""
    path = "requirements.txt" if suffix == ".txt" else f"file{suffix}"

    @settings(max_examples=examples, suppress_health_check=list(HealthCheck), deadline=None)
    @given(st.data())
    def merged(data: st.DataObject) -> None:
        base = data.draw(st.sampled_from(FILES[suffix]))
        lines = lines_of(base)
        start = data.draw(st.integers(0, max(0, len(lines) - 2)))
        near = data.draw(st.sampled_from([2, 6, 25]))
        ours, theirs = (data.draw(edited(lines, start, start + near)) for _ in range(2))
        if decision := decided(place, path, base, ours, theirs):
            check(decision, suffix, base, ours, theirs)

    merged()


@pytest.mark.skipif(
    not (ROOT / ".real-files").exists() and not os.environ.get("CI"), reason="needs .ci/real-files"
)
@pytest.mark.parametrize("suffixes", languages.LANGUAGES)
def test_there_are_real_files_in_each_language(suffixes: str) -> None:
    assert set(suffixes.split()) & {suffix for suffix, texts in FILES.items() if texts}


@pytest.mark.parametrize("suffix", sorted(FILES))
def test_edits_of_a_real_file_merge_soundly_or_not(suffix: str, tmp_path: Path) -> None:
    run(suffix, tmp_path, 8)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", sorted(FILES))
def test_many_edits_of_real_files_merge_soundly_or_not(suffix: str, tmp_path: Path) -> None:
    run(suffix, tmp_path, 400)
