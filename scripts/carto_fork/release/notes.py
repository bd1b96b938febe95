"""The notes of a release of the fork, for people, in GitHub's Markdown. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from ..fork import conventional
from ..fork.conventional import Change
from ..run import markdown
from ..run.text import counted

_MOST = 100
"""More changes than these in one part are only counted: GitHub takes 125,000 characters."""
_LONGEST = 300
"""Of a longer subject, this is its beginning."""

BREAKING, FEATURES, FIXES, OTHER = "Breaking changes", "Features", "Fixes", "Other"


@dataclass(frozen=True)
class Own:
    """A commit of the fork's own, with what its message says; `change` is None if that is not
    conventional."""

    commit: str
    subject: str
    change: Change | None

    @property
    def part(self) -> str:
        """The part of the notes that it belongs to."""
        if self.change is None:
            return OTHER
        if self.change.breaking:
            return BREAKING
        return {"feat": FEATURES, "fix": FIXES}.get(self.change.type, OTHER)


@dataclass(frozen=True)
class Notes:
    """What the notes tell.

    name: the fork's. page, upstream_page: on GitHub; the latter "" if upstream is not there.
    tag, upstream: the release and the release of upstream's that it contains, by their tags.
    before, upstream_before: those of the fork's release before this one, "" if there was none.
    own: the fork's own commits since then, newest first.
    images: the whole names of the images that the release stands for.
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

    def summary(self) -> str:
        """A few plain lines, for the message of the tag. None of them holds a commit's words."""
        parts = self._parts()
        lines = [f"{self.name} release {self.tag}", "", f"Upstream: {self._upgrade()}"]
        lines += [f"{name}: {len(found)}" for name, found in parts.items() if found]
        return "\n".join([*lines, *(f"Image: {image}" for image in self.images)])

    def markdown(self) -> str:
        """The whole notes."""
        since = f" since {self._release(self.page, self.before)}" if self.before else ""
        lines = [
            f"{counted(len(self.own), 'change')} of the fork's own{since}, on upstream "
            f"{self._release(self.upstream_page, self.upstream)}."
        ]
        for name, found in self._parts().items():
            if name == OTHER:
                lines += self._upgrade_part()
            if found:
                lines += ["", f"## {name}", "", *map(self._line, found[:_MOST])]
            if len(found) > _MOST:
                lines.append(f"- and {counted(len(found) - _MOST, 'more change')}")
        if self.images:
            lines += ["", "## Images", "", *(f"- {markdown.code(name)}" for name in self.images)]
        if self.before:
            link = _link("Everything that changed", self._compare(self.page, self.before, self.tag))
            lines += ["", link]
        return "\n".join(lines) + "\n"

    def _parts(self) -> dict[str, list[Own]]:
        names = (BREAKING, FEATURES, FIXES, OTHER)
        return {name: [own for own in self.own if own.part == name] for name in names}

    def _line(self, own: Own) -> str:
        text, pull = conventional.without_pull(own.subject)
        scope = ""
        if own.change:
            text, pull = own.change.description, own.change.pull
            # What is under Other still says what it is.
            told = own.change.scope
            if own.part == OTHER and own.change.type != "revert":
                told = f"{own.change.type}({told})" if told else own.change.type
            scope = f"**{markdown.plain(_short(told))}**: " if told.strip() else ""
        links = [_link(f"#{pull}", f"{self.page}/pull/{pull}")] if pull else []
        links.append(_link(own.commit[:7], f"{self.page}/commit/{own.commit}"))
        return f"- {scope}{markdown.plain(_short(text))} ({', '.join(links)})"

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
        name = markdown.code(tag)
        return _link(name, f"{page}/releases/tag/{quote(tag, safe='')}") if page else name

    @staticmethod
    def _compare(page: str, old: str, new: str) -> str:
        return f"{page}/compare/{quote(old, safe='')}...{quote(new, safe='')}"


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _link(text: str, url: str) -> str:
    return f"[{text}]({url})"
