"""Names of container images, as registries take them. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ..fork.policy import Images
from ..run.errors import Refused

# https://github.com/distribution/reference: components of a path in lower case, joined by one
# separator; only the host before them may have a port.
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_NAME = re.compile(rf"(?:[a-z0-9.-]+(?::\d+)?/)?{_PART}(?:/{_PART})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_LONGEST = 255


def of_branch(images: Images, branch: str, commit: str) -> list[str]:
    """The whole names of the images of a commit of a branch."""
    values = {"branch": branch.replace("/", "-"), "sha": commit[:7]}
    return _named(images.name, images.branch, values)


def of_release(
    images: Images,
    tag: str,
    upstream: str,
    version: str,
    *,
    newest: bool = True,
    newest_of_upstream: bool = True,
) -> list[str]:
    """The whole names of the images of a release.

    newest, newest_of_upstream: whether there is no newer release, at all and of the same version of
        upstream's. Names that move with each release stay with that one.
    """
    values = {"tag": tag, "upstream": upstream, "version": version}
    given = [
        template
        for template in images.release
        if "{tag}" in template
        or "{version}" in template
        or (newest_of_upstream if "{upstream}" in template else newest)
    ]
    return _named(images.name, given, values)


def _named(name: str, tags: Iterable[str], values: dict[str, str]) -> list[str]:
    name = name.lower()
    if not _NAME.fullmatch(name) or len(name) > _LONGEST:
        raise _refused("name", name, "the name of an image")
    found = []
    for template in tags:
        tag = template
        for key, value in values.items():
            tag = tag.replace(f"{{{key}}}", value)
        if not _TAG.fullmatch(tag):
            raise _refused(template, tag, "the tag of an image")
        found.append(f"{name}:{tag}")
    return list(dict.fromkeys(found))


def _refused(key: str, value: str, what: str) -> Refused:
    return Refused(
        f"`images` in the policy: {key!r} gives {value!r}, which no registry takes as {what}.",
        then="correct `images` in carto_fork.toml on the production branch (`config`).",
    )
