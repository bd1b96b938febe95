"""The texts of a release: its notes, and the names of its images. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from ..fork.policy import Images, Side
from ..fork.records import Drop
from ..fork.tags import Conventional, without_pull
from ..run.errors import Refused
from ..run.text import code, counted, plain

_MOST = 100
"""Changes listed per section; the others are only counted. GitHub accepts 125,000 characters."""
_LONGEST = 300
"""Characters after which a subject is cut."""

BREAKING, FEATURES, FIXES, OTHER = "Breaking changes", "Features", "Fixes", "Other"


@dataclass(frozen=True)
class Own:
    """A fork commit; `change` is None if its message is not conventional."""

    commit: str
    subject: str
    change: Conventional | None

    @property
    def part(self) -> str:
        """The section of the notes that it belongs to."""
        if self.change is None:
            return OTHER
        if self.change.breaking:
            return BREAKING
        return {"feat": FEATURES, "fix": FIXES}.get(self.change.type, OTHER)


@dataclass(frozen=True)
class Notes:
    """The contents of a release's notes.

    name: the fork's. page, upstream_page: on GitHub; "" if the fork, or upstream, is not there.
    tag, upstream: the release and the upstream release that it contains, by their tags.
    before, upstream_before: the same two for the previous release; "" if there was none.
    own: the fork's own commits since the previous release, newest first.
    given_up: what people dropped since then.
    images: the full names of the release's images.
    """

    name: str
    page: str
    upstream_page: str
    tag: str
    upstream: str
    before: str
    upstream_before: str
    own: Sequence[Own]
    images: Sequence[str]
    given_up: Sequence[Drop] = ()

    def summary(self) -> str:
        """A few plain lines for the message of the tag, without any text from commits."""
        parts = self._parts()
        lines = [f"{self.name} release {self.tag}", "", f"Upstream: {self._upgrade()}"]
        lines += [f"{name}: {len(found)}" for name, found in parts.items() if found]
        return "\n".join([*lines, *(f"Image: {image}" for image in self.images)])

    def markdown(self) -> str:
        """The notes as Markdown."""
        since = f" since {self._release(self.page, self.before)}" if self.before else ""
        lines = [
            f"{counted(len(self.own), 'fork change') if self.own else 'No fork change'}{since}, "
            "on upstream "
            f"{self._release(self.upstream_page, self.upstream)}."
        ]
        for name, changes in self._parts().items():
            if name == OTHER:
                lines += self._upgrade_part()
            if changes:
                lines += ["", f"## {name}", "", *map(self._line, changes[:_MOST])]
            if len(changes) > _MOST:
                lines.append(f"- and {counted(len(changes) - _MOST, 'more change')}")
        if self.given_up:
            dropped = list(dict.fromkeys(map(self._drop, self.given_up)))
            lines += ["", "## Dropped on purpose", "", *dropped[:_MOST]]
            if len(dropped) > _MOST:
                lines.append(f"- and {counted(len(dropped) - _MOST, 'more change')}")
        if self.images:
            lines += ["", "## Images", "", *(f"- {code(name)}" for name in self.images)]
        if self.before and self.page:
            link = _link("Everything that changed", self._compare(self.page, self.before, self.tag))
            lines += ["", link]
        return "\n".join(lines) + "\n"

    def _parts(self) -> dict[str, list[Own]]:
        names = (BREAKING, FEATURES, FIXES, OTHER)
        return {name: [own for own in self.own if own.part == name] for name in names}

    def _line(self, own: Own) -> str:
        text, pull = without_pull(own.subject)
        scope = ""
        if own.change:
            text, pull = own.change.description, own.change.pull
            # Below Other, the type of each change is shown.
            label = own.change.scope
            # Git's own subject for a revert says so.
            if own.part == OTHER and not text.lower().startswith("revert"):
                label = f"{own.change.type}({label})" if label else own.change.type
            scope = f"**{plain(_short(label))}**: " if label.strip() else ""
        links = [self._link(f"#{pull}", f"pull/{pull}")] if pull else []
        links.append(self._link(own.commit[:7], f"commit/{own.commit}"))
        return f"- {scope}{plain(_short(text))} ({', '.join(links)})"

    def _link(self, text: str, path: str) -> str:
        return _link(text, f"{self.page}/{path}") if self.page else text

    @staticmethod
    def _drop(drop: Drop) -> str:
        return (
            f"- {Side(drop.side).whose} change to {code(drop.path)}: {plain(_short(drop.reason))}"
        )

    def _upgrade(self) -> str:
        moved = self.upstream_before not in ("", self.upstream)
        return f"{self.upstream_before} -> {self.upstream}" if moved else self.upstream

    def _upgrade_part(self) -> Iterator[str]:
        if self.upstream_before == self.upstream:
            return
        yield from ("", "## Upstream upgrade", "")
        page, old, new = self.upstream_page, self.upstream_before, self.upstream
        if not old:
            yield f"- The first release, on {self._release(page, new)}"
            return
        compare = _link("what changed", self._compare(page, old, new)) if page else ""
        end = f": {compare}" if compare else ""
        yield f"- From {self._release(page, old)} to {self._release(page, new)}{end}"

    @staticmethod
    def _release(page: str, tag: str) -> str:
        name = code(tag)
        return _link(name, f"{page}/releases/tag/{quote(tag, safe='')}") if page else name

    @staticmethod
    def _compare(page: str, old: str, new: str) -> str:
        return f"{page}/compare/{quote(old, safe='')}...{quote(new, safe='')}"


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _link(text: str, url: str) -> str:
    return f"[{text}]({url})"


# --- Images --------------------------------------------------------------------------------------


# https://github.com/distribution/reference: components of a path in lower case, joined by one
# separator; only the host before them may have a port.
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_NAME = re.compile(rf"(?=.{{0,255}}\Z)(?:[a-z0-9.-]+(?::\d+)?/)?{_PART}(?:/{_PART})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")


def images_of_branch(images: Images, branch: str, commit: str) -> list[str]:
    """The full names of the images of a commit on a branch."""
    values = {"branch": branch.replace("/", "-"), "sha": commit[:7]}
    return _named(images.name, images.branch, values)


def images_of_release(
    images: Images,
    tag: str,
    upstream: str,
    version: str,
    *,
    newest: bool = True,
    newest_of_upstream: bool = True,
) -> list[str]:
    """The full names of the images of a release.

    newest, newest_of_upstream: whether it is the fork's newest release, and its newest one on the
        same upstream version. Names that move with each release stay with the newest one.
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
    if not _NAME.fullmatch(name):
        raise _refused("name", name, "the name of an image")
    images = []
    for template in tags:
        tag = template
        for key, value in values.items():
            tag = tag.replace(f"{{{key}}}", value)
        if not _TAG.fullmatch(tag):
            raise _refused(template, tag, "the tag of an image")
        images.append(f"{name}:{tag}")
    return list(dict.fromkeys(images))


def _refused(key: str, value: str, what: str) -> Refused:
    return Refused(
        f"`images` in the policy: {key!r} gives {value!r}, which no registry accepts as {what}.",
        then="correct `images` in carto_fork.toml on the production branch (`fork.config`).",
    )
