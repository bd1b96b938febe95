"""The files that state a fork's version, as far as what they state shows it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ..fork import tags, version_files
from ..fork.policy import VersionFile
from ..run import git
from ..run.errors import Refused
from ..run.git import Refs
from ..run.shell import Shell
from .conventions import CERTAIN, LIKELY, Guess

_MANIFEST = re.compile(r".+/(package\.json|pyproject\.toml|Cargo\.toml)")
_KEYS = {
    "package.json": ("version",),
    "pyproject.toml": ("project.version", "tool.poetry.version"),
    "Cargo.toml": ("package.version",),
}
_MOST_BELOW = 10
"""Of so many packages a workspace has a tool that sets their versions."""


def below_the_top(
    sh: Shell, repo: Path, tree: Iterable[str], refs: Refs, schemes: Sequence[tags.TagScheme]
) -> list[VersionFile]:
    """Manifests below the top of a tree that stated both of the newest upstream releases: that of
    one alone may be the same by chance.

    refs: upstream's.
    """
    known = (tags.classify(name, schemes) for name in refs.tags())
    stable = {tag.version: tag for tag in sorted(tag for tag in known if tag and tag.stable)}
    newest = sorted(stable.values())[-2:]
    found = [path for path in tree if path.isprintable() and _MANIFEST.fullmatch(path)]
    if len(newest) < 2 or not found:
        return []
    names = [f"{refs.tag(tag.name)}:{path}" for path in found for tag in newest]
    texts = iter(git.contents(sh, repo, names))
    places = [VersionFile(path, _KEYS[path.rpartition("/")[2]]) for path in found]
    moving = [
        place
        for place in places
        if all(
            [
                _first(text or "", place, tag.release)
                for tag, text in zip(newest, texts, strict=False)
            ]
        )
    ]
    return moving if len(moving) <= _MOST_BELOW else []


def _first(text: str, place: VersionFile, release: str) -> bool:
    stated = next(iter(_stated(text, place).values()), "")
    return bool(stated) and version_files.same(stated, release)


def _stated(text: str, place: VersionFile) -> dict[str, str]:
    try:
        return version_files.read(text, place)
    except Refused:
        return {}


def guesses(
    places: Iterable[VersionFile], text: Callable[[str], str], release: tags.Tag | None
) -> Iterator[Guess]:
    """The places that state the version of production's newest release, or the fork's own one.

    Of those that state anything else, only what cannot mean anything but the product's.
    text: a file of the fork by its path; "" if it is missing.
    """
    alone: set[str] = set()  # files that contain only a version need no pattern
    sure: set[str] = set()  # what a manifest states
    for file in places:
        stated = {} if file.path in alone else _stated(text(file.path), file)
        version = next(iter(stated.values()), "")
        if not version:
            continue
        value: dict[str, Any] = {"path": file.path}
        if not (file.keys or file.pattern):
            alone.add(file.path)
        if file.keys:
            value["keys"] = list(stated)
        elif file.pattern:
            value["pattern"] = file.pattern
        why = f"it states {version}"
        if release and version_files.same(version, release.release):
            yield Guess("version_files", value, CERTAIN, f"{why}, like {release.name}")
        elif re.match(r"v?\d+\.\d+", version) and (
            not file.pattern
            or any(version_files.same(version, other) for other in sure)
            or (release and version_files.counts_on(version, release.release))
        ):
            yield Guess("version_files", value, LIKELY, why)
        else:
            continue
        sure.add(version)
