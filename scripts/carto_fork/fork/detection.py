"""What upstream has released that the fork does not have yet, and what looks wrong about it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from packaging.version import Version

from ..run import github
from ..run.console import Console
from ..run.errors import Stop
from ..run.github import Published
from ..run.shell import Shell
from ..run.text import counted
from . import releases, tags, version_files
from .fork import Fork, require_production
from .tags import Tag, TagUse

_MINORS_AHEAD = 2
"""Minor versions without an automatic scheme after which upstream may have changed its tag names:
normally only the next version exists as a candidate before it is stable."""


@dataclass(frozen=True)
class Detection:
    """What upstream has released.

    newest: the newest stable release that the production branch lacks; None if it lacks none.
    commit: what that tag points to. contained: the newest release that the branch has.
    version: what the branch states; "" if it states none.
    newer: all stable releases that the branch lacks, newest first.
    release: GitHub's release of `newest`; None if GitHub was not asked or has none.
    warnings: what looks wrong, for a person. moved: the warnings about what upstream did to
        releases after they were merged.
    """

    newest: Tag | None
    commit: str
    contained: Tag | None
    version: str
    newer: tuple[Tag, ...]
    release: Published | None
    warnings: tuple[str, ...]
    moved: tuple[str, ...]

    @property
    def moved_id(self) -> str:
        """An ID of what upstream did to merged releases, the same as long as nothing more happens;
        "" if it did nothing."""
        return hashlib.sha256("".join(self.moved).encode()).hexdigest()[:16] if self.moved else ""

    @property
    def said(self) -> str:
        """The warnings as sentences."""
        return " ".join(f"{text[:1].upper()}{text[1:]}." for text in self.warnings)

    def outputs(self) -> dict[str, str]:
        """The outputs for the later steps of a workflow."""
        return {
            "warnings": self.said,
            "moved": self.moved_id,
            "found": "true" if self.newest else "false",
            "tag": self.newest.name if self.newest else "",
            "version": self.newest.release if self.newest else "",
            "notes": self.release.url if self.release else "",
        }

    def as_json(self) -> dict[str, Any]:
        """Plain data for ``--json``."""
        return {
            "found": self.newest is not None,
            "tag": self.newest and self.newest.name,
            "commit": self.newest and self.commit,
            "version": self.newest and self.newest.release,
            "scheme": self.newest and self.newest.scheme.name,
            "contained": self.contained and self.contained.name,
            "production_version": self.version,
            "newer": [tag.name for tag in self.newer],
            "release": self.release,
            "warnings": self.warnings,
            "moved": self.moved,
        }


def detect(sh: Shell, fork: Fork) -> Detection:
    """Ask upstream for its tags, and GitHub about the newest release if gh is available.

    Raises Refused if upstream cannot be reached, or this clone does not know the production branch.
    """
    require_production(fork)
    upstream, wanted = fork.policy.remotes.upstream.name, releases.tags_and_branch(fork)
    known = releases.ask_remote(sh, fork, upstream, wanted)
    classified = {name: tags.classify(name, fork.policy.tags) for name in known.tags()}
    stable = [tag for tag in classified.values() if tag and tag.stable]
    has = releases.merged(sh, fork, fork.production_commit, known)
    contained = tags.newest(has, fork.policy.tags, *tags.STABLE)
    version = version_files.stated(sh, fork, fork.production_commit)
    automatic = [tag for tag in stable if tag.scheme.use is TagUse.AUTOMATIC]
    newer = [tag for tag in automatic if releases.is_newer(tag, contained, version)]
    newer.sort(reverse=True)
    odd = releases.not_commits(sh, fork, [known.tag(tag.name) for tag in newer])
    gone = [releases.described(name, has, known) for name in releases.moved(has, known)]
    warnings = [*gone, *filter(None, [releases.renamed_branch(sh, fork, known)])]
    warnings += silent(later(sh, fork, classified, contained, has), automatic)
    warnings += [
        f"upstream's tag {tag.name} is on a {odd[c]}, not on a commit: it is skipped"
        for tag in newer
        if (c := known.tag(tag.name)) in odd
    ]
    newer = [tag for tag in newer if known.tag(tag.name) not in odd]
    newest, release = _confirmed(sh, fork, newer, warnings)
    commit = known.tag(newest.name) if newest else ""
    notes = tuple(warnings), tuple(gone)
    return Detection(newest, commit, contained, version, tuple(newer), release, *notes)


def confirmed(sh: Shell, fork: Fork, release: Tag) -> Tag | None:
    """A stable release by its tag, or the newest before it if GitHub calls it a draft or a
    prerelease."""
    upstream = fork.policy.remotes.upstream
    with suppress(Stop):
        if github.can_be_asked(fork.gh, upstream.url):
            published = github.release(sh, fork.hub(upstream), release.name)
            if published and (published.draft or published.prerelease):
                return detect(sh, fork).newest
    return release


def later(
    sh: Shell,
    fork: Fork,
    classified: Mapping[str, Tag | None],
    contained: Tag | None,
    merged: Mapping[str, str],
) -> dict[str, Tag | None]:
    """The tags that are not older than the newest release on the production branch."""
    dates = releases.tag_dates(sh, fork.path) if contained else {}
    since = dates.get(contained.name, 0) if contained else 0
    return {
        name: tag
        for name, tag in classified.items()
        if name not in merged and dates.get(name, since) >= since
    }


def silent(classified: Mapping[str, Tag | None], automatic: Iterable[Tag]) -> Iterator[str]:
    """Signs that upstream names its stable releases in a way that no tag scheme covers."""
    newest = max(automatic, default=None)
    floor = newest.version if newest else Version("0")
    strange = sorted(name for name, tag in classified.items() if tag is None and _is_dotted(name))
    if strange:
        listed = ", ".join(repr(name) for name in strange[-3:])
        yield (
            f"{counted(len(strange), 'upstream tag')} in no class of `[[tags]]`, with names like "
            f"versions, such as {listed}: see `tags` in the policy"
        )
    ahead = [
        tag
        for tag in classified.values()
        if tag and tag.scheme.use is not TagUse.OWN and tag.version > floor
    ]
    minors = {tag.version.release[:2] for tag in ahead} - {floor.release[:2]}
    if len(minors) >= _MINORS_AHEAD:
        last = max(ahead)
        yield (
            f"upstream has tags of {len(minors)} minor versions after "
            f"{newest.name if newest else 'the beginning'}, up to {last.name} "
            f"({last.scheme.name}), and none of them counts as a stable release: upstream may "
            "name its stable releases differently now; see `tags` in the policy"
        )


def _is_dotted(name: str) -> bool:
    head = name.removeprefix("v").split(".")
    return len(head) > 1 and head[0].isdigit() and head[1][:1].isdigit()


def _confirmed(
    sh: Shell, fork: Fork, newer: Iterable[Tag], warnings: list[str]
) -> tuple[Tag | None, Published | None]:
    """The newest release that GitHub does not call a draft or a prerelease, and GitHub's data about
    it. If GitHub cannot be asked, a warning says so."""
    newest = next(iter(newer), None)
    if newest is None:
        return None, None
    upstream = fork.policy.remotes.upstream
    if not github.can_be_asked(fork.gh, upstream.url):
        return newest, None
    hub = fork.hub(upstream)
    for tag in newer:
        try:
            release = github.release(sh, hub, tag.name)
        except Stop as problem:
            warnings.append(f"{problem.what.rstrip('.')}; the tag alone decides")
            return newest, None
        if release and (release.draft or release.prerelease):
            kind = "a draft" if release.draft else "a prerelease"
            warnings.append(f"GitHub calls {tag.name} {kind}: it is skipped")
            continue
        return tag, release
    return None, None


def show(console: Console, detection: Detection, fork: Fork) -> None:
    """Print whether upstream has released something new."""
    for warning in detection.warnings:
        console.say(f"Warning: {warning}.", "yellow")
    production = fork.policy.branches.production
    has = f"has {detection.contained.name}" if detection.contained else "has no upstream release"
    if detection.newest is None:
        version, contained = detection.version, detection.contained
        if contained and version_files.number(version) > contained.version:
            has += f" and states {version}"  # after a squashed sync, for example
        console.say(f"Nothing new: {production} {has}, and upstream has no newer stable release.")
        return
    older = sum(tag < detection.newest for tag in detection.newer)
    more = f", and lacks {counted(older, 'older release')}, too" if older else ""
    console.say(f"New: {detection.newest.name}; {production} {has}{more}.", "green")
    if detection.release:
        console.row("  notes: ", detection.release.url)
