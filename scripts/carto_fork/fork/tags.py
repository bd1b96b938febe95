"""Tag names and commit messages: what each says about a release. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import cache

import msgspec
from packaging.version import Version

from ..run.errors import Refused
from .patterns import compiled, search


class TagUse(Enum):
    """What tags of a class are used for."""

    AUTOMATIC = "automatic"
    ON_REQUEST = "on-request"
    NEVER = "never"
    OWN = "own"


class TagScheme(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A class of tag names; it applies from version `since` up to, but without, version
    `before`."""

    name: str
    pattern: str
    use: TagUse
    since: str = ""
    before: str = ""

    def __post_init__(self) -> None:
        compiled(self.pattern)
        for bound in filter(None, (self.since, self.before)):
            try:
                Version(bound)
            except ValueError:
                raise ValueError(f"{bound!r} is not a version") from None

    def groups(self, name: str) -> dict[str, str | None] | None:
        """The pattern's named groups if it matches a tag's whole name; None otherwise.

        Raises Refused as `search` does.
        """
        match = search(self.pattern, name, whole=True)
        return match and match.groupdict()


STABLE = (TagUse.AUTOMATIC, TagUse.ON_REQUEST)
"""The uses of a stable upstream release."""

# Git allows far more (`v1;rm`, `--help`). Nobody names a release like that, so we refuse it here
# and nothing else has to deal with it.
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._+/-]*[A-Za-z0-9_+-])?")


@dataclass(frozen=True, order=True)
class Tag:
    """A classified tag. Tags order by version, then by build, then by name.

    version: what it releases.
    build: which build of that version, 0 for the first: the 1 of ``v1.80.8-stable.1``, or the
        fork's own version in a release of the fork.
    scheme: the class it falls into.
    """

    version: Version
    build: Version
    name: str
    scheme: TagScheme = field(compare=False)

    @property
    def release(self) -> str:
        """The version that the version files state, such as ``1.76.5``."""
        return str(self.version)

    @property
    def stable(self) -> bool:
        return self.scheme.use in STABLE

    def same_build(self, other: Tag) -> bool:
        """Whether both name the same build of the same version."""
        return (self.version, self.build) == (other.version, other.build)


def checked_name(name: str) -> str:
    """The name itself, if it can be the name of a release. Raises Refused otherwise."""
    parts = name.split("/")
    if (
        not _NAME.fullmatch(name)
        or ".." in name
        or any(not part or part.startswith(".") or part.endswith(".lock") for part in parts)
    ):
        raise Refused(
            f"{name!r} is not the name of a release: letters, digits and . _ + / - only, "
            "beginning with a letter or a digit.",
            then="name the tag as upstream lists it, for example --tag v1.76.5",
        )
    return name


def classify(name: str, schemes: Sequence[TagScheme]) -> Tag | None:
    """The tag with its class, by the first scheme that fits; None if no scheme does.

    Schemes without a version group are for moving tags; those get version 0. Raises Refused, as
    `patterns.search` does, if a scheme's pattern takes too long.
    """
    return _classify(name, tuple(schemes))


@cache  # a task asks of ten thousand tags, and of all of them several times
def _classify(name: str, schemes: tuple[TagScheme, ...]) -> Tag | None:
    for scheme in schemes:
        if (groups := scheme.groups(name)) is None:
            continue
        try:
            version = _version(groups.get("version") or "0")
            build = _version(groups.get("build") or "0")
        except ValueError:  # also for more digits than Python parses
            continue
        if _within(version, scheme):
            return Tag(version, build, name, scheme)
    return None


def _within(version: Version, scheme: TagScheme) -> bool:
    return not (scheme.since and version < _version(scheme.since)) and not (
        scheme.before and version >= _version(scheme.before)
    )


# Upstream may have ten thousand tags, most of them of a few versions.
_version = cache(Version)


def newest(names: Iterable[str], schemes: Sequence[TagScheme], *uses: TagUse) -> Tag | None:
    """The newest tag whose class has one of these uses; None without one."""
    tags = (classify(name, schemes) for name in names)
    return max((tag for tag in tags if tag and tag.scheme.use in uses), default=None)


def _a(noun: str) -> str:
    return "an" if noun[:1] in "aeiou" else "a"


def require_stable(name: str, schemes: Sequence[TagScheme]) -> Tag:
    """The tag, if the schemes call it a stable upstream release. Raises Refused otherwise."""
    tag = classify(name, schemes)
    if tag and tag.stable:
        return tag
    kind = (
        f"{_a(tag.scheme.name)} {tag.scheme.name}"
        if tag
        else "not a release that the tag schemes know"
    )
    problem = f"{name} is {kind}; only stable upstream releases are merged."
    raise Refused(problem, then="choose a stable release; `status` names the newest one.")


def release_name(schemes: Sequence[TagScheme]) -> str:
    """The name of the releases that fits the class of tags of a fork, with ``{upstream}`` and
    ``{version}`` in it; "" if it has none from whose pattern that can be read."""
    for scheme in (scheme for scheme in schemes if scheme.use is TagUse.OWN):
        text = scheme.pattern
        for group, field_ in (("version", "{upstream}"), ("build", "{version}")):
            text = re.sub(rf"\(\?P<{group}>(?:[^()]|\([^()]*\))*\)", field_, text)
        text = text.replace("\\", "")
        tag = classify(text.replace("{upstream}", "1.2.3").replace("{version}", FIRST), schemes)
        if tag and (tag.scheme, tag.release, str(tag.build)) == (scheme, "1.2.3", FIRST):
            return text
    return ""


def fitting(schemes: Sequence[TagScheme]) -> str:
    """What to write so that the fork's releases are named by its class of tags, and where."""
    name = release_name(schemes)
    also = "" if name else " and a class of `[[tags]]` with the use `own` that it fits"
    text = name or "acme-v{upstream}-{version}"
    return f"`tag = '{text}'`{also} in carto_fork.toml on the production branch"


# --- Conventional commits ------------------------------------------------------------------------

FIRST = "0.1.0"
"""The fork's own version in its first release on a new upstream version."""

_SUBJECT = re.compile(
    r"(?P<type>[A-Za-z][A-Za-z0-9-]*)(?:\((?P<scope>[^()\r\n]+)\))?(?P<breaking>!)?: +"
    r"(?P<description>\S.*)"
)
# The subjects that git and GitHub's button give to reverts.
_REVERT = re.compile(r'Revert "(?P<description>.*)"(?: \(#\d+\))?')
_BREAKING = re.compile(r"^BREAKING[ -]CHANGE(?:: | #)", re.MULTILINE)
_PULL = re.compile(r" *\(#(\d{1,9})\)$")


@dataclass(frozen=True)
class Conventional:
    """What a commit's message says it changes.

    type: in lower case, such as ``feat``. scope: "" if it names none. breaking: whether it is
        marked as a breaking change. description: without the type and the number of the pull
        request. pull: that number; 0 if it names none.
    """

    type: str
    scope: str
    breaking: bool
    description: str
    pull: int = 0


def conventional(subject: str, body: str = "") -> Conventional | None:
    """What a commit's message says; None if its subject is not conventional."""
    if match := _SUBJECT.fullmatch(subject):
        breaking = bool(match["breaking"] or _BREAKING.search(body))
        kind, scope, text = match["type"].lower(), match["scope"] or "", match["description"]
    elif match := _REVERT.fullmatch(subject):
        kind, scope, breaking, text = "revert", "", bool(_BREAKING.search(body)), subject
    else:
        return None
    text, pull = without_pull(text)
    return Conventional(kind, scope, breaking, text, pull)


def without_pull(subject: str) -> tuple[str, int]:
    """A subject without the number of its pull request, and that number; 0 if it has none."""
    number = _PULL.search(subject)
    return (subject[: number.start()], int(number[1])) if number else (subject, 0)


def bump_for(changes: Iterable[Conventional | None]) -> str:
    """Which part of the version these changes raise: major, minor or patch."""
    conventional_ones = [change for change in changes if change]
    if any(change.breaking for change in conventional_ones):
        return "major"
    return "minor" if any(change.type == "feat" for change in conventional_ones) else "patch"


def raised(version: Version, part: str) -> str:
    """A version with one part raised and the parts after it set to zero."""
    major, minor, patch = version.major, version.minor, version.micro
    return {
        "major": f"{major + 1}.0.0",
        "minor": f"{major}.{minor + 1}.0",
        "patch": f"{major}.{minor}.{patch + 1}",
    }[part]
