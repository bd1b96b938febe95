"""What the checks of a merge found, as items of the page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..audit import findings as checks
from ..audit.findings import Finding, described
from ..fork import tags
from ..fork.fork import Fork
from ..merge import commits, lives
from ..merge.hunks import Commit
from ..run import git
from ..run.shell import Shell
from ..run.text import counted, joined, listed
from . import marked, recipes
from .missing import eye
from .outcomes import MOST_COMMITS, Outcomes
from .recipes import Recipe
from .sides import Sides, by_directory

_ABOUT = {
    "generated": "A tool builds these files together. Parts of different builds may not work"
    " together, and the next build overwrites what somebody edited.",
    "markers": "A conflict was committed as it was: no program reads such a file.",
    "lock file": "Whoever installs from this lock file does not get what the manifest names.",
    checks.ADDED: "It is on neither side: it came while merging, or with another merge. It may be"
    " meant.",
    checks.EDITED: "Neither side changed this: it was done while merging, or came with another"
    " merge. It may be meant.",
    checks.REMOVED: "Neither side removed this: it was done while merging, or came with another"
    " merge. It may be meant.",
}
"""Why a finding matters, by its check."""
_MOST_FILES = 10
"""Of so many files the differences are shown."""


class Judged:
    """The findings of a merge.

    room: how much code the page may still show. page: upstream's repository on GitHub, or "".
    """

    def __init__(
        self,
        sh: Shell,
        fork: Fork,
        sides: Sides,
        outcomes: Outcomes,
        room: marked.Room,
        page: str,
    ) -> None:
        self._sh, self._fork, self._repo = sh, fork, fork.path
        self._sides, self._outcomes, self._room, self._page = sides, outcomes, room, page

    def items(self, found: Sequence[Finding]) -> Iterator[dict[str, Any]]:
        """An item for each finding, with the difference or the lines that it is about."""
        for one in found:
            paths = one.paths or (one.path,) * bool(one.path)
            reason = _ABOUT.get(one.check, "" if one.certain else "It may be meant; look at it.")
            reason = one.then or reason
            by: list[Commit] = []
            lines = [*one.lines]
            if one.check == "release" and all(one.between):
                by, lines = self._changes(one, paths)
                reason = self._is_not_the_release(one, by)
            elif all(one.between):
                _, lines = self._changes(one, paths)
                reason = " ".join([*self._mixed(one), reason, self._how(one)]).strip()
            elif not lines:
                lines = marked.about(one.what, self._outcomes.text_of(one.path))
            diff = [self._sides.diff(*paths, between=one.between)] * bool(paths)
            yield eye(
                paths[0] if len(paths) == 1 else "",
                f"{one.check}: {one.what.removeprefix(f'{one.path}: ')}",
                "finding",
                "wrong" if one.certain else "open",
                reason=reason,
                lines=self._room.fits(lines),
                commits=by[:MOST_COMMITS],
                more=len(by) - MOST_COMMITS,
                page=self._page,
                commands=[*self._rebuilt(one), *self._restored(one), *diff],
                about=one,
            )

    def _changes(self, one: Finding, paths: Sequence[str]) -> tuple[list[Commit], list[str]]:
        """What a finding's commits have different: the commits behind what the second has more, of
        a release, and the lines."""
        old, new = (git.tree(self._sh, self._repo, name) for name in one.between)
        pairs = {p: (old.get(p, ("", None))[1], new.get(p, ("", None))[1]) for p in paths}
        few = pairs if len(pairs) <= _MOST_FILES else {}
        changes = self._sides.changes(few.values())
        lines, every = by_directory(paths) * (len(pairs) > 1), dict[Commit, None]()
        for path, pair in few.items():
            wrote, numbers, back = list[Commit](), list[int](), ""
            if one.check == "release":
                about = (self._sh, self._repo, one.between[0], path)
                gone = lives.removed_by(*about, [change.added for change in changes(pair)])
                again = [lines for its in gone.values() for lines in its]
                fresh = [change for change in changes(pair) if change.added not in again]
                numbers = [n for c in fresh for n in range(c.line, c.line + len(c.added))]
                among = "..".join(one.between)
                found = commits.blame(self._sh, self._repo, among, path, numbers) if numbers else ()
                wrote = [*dict.fromkeys(commit for _, commit in found)]
                back = self._back(gone, one.between[0])
            every |= dict.fromkeys(wrote)
            lines += [path + (self._from(wrote, one.between[0]) if numbers else "") + back]
            lines += marked.changes(changes(pair), one.between[1][:10])
        return [*every], lines

    def _from(self, wrote: Sequence[Commit], release: str) -> str:
        """Which commits some added lines are from, as the end of a sentence."""
        if not wrote:
            return f", whose lines with + are from commits that {self._named(release)} has, too"
        return f", whose lines with + are from {listed([*map(described, wrote)])}"

    def _back(self, gone: Mapping[Commit, Sequence[Sequence[str]]], release: str) -> str:
        """Which commits of a release removed lines that are back, as the end of a sentence."""
        if not gone:
            return ""
        first = next(line.strip() for its in gone.values() for line in its[0] if line.strip())
        which = f"the lines with + from “{first}” on" if len(gone) == 1 else "some lines with +"
        by = f"{listed([*map(described, gone)])}, which {self._named(release)} has"
        return f"; upstream removed {which} in {by}, and they are back"

    def _named(self, commit: str) -> str:
        """A commit by the tag of its release, else by its short name."""
        names = sorted(self._fork.refs.tags_in([commit]))
        known = [tags.classify(name, self._fork.policy.tags) for name in names]
        releases = [tag.name for tag in known if tag and tag.stable]
        return next(iter([*releases, *names]), commit[:10])

    def _is_not_the_release(self, one: Finding, by: Sequence[Commit]) -> str:
        """What git shows of a commit that differs from the release below it."""
        known, tip = one.between
        log = commits.log_of(self._sh, self._repo, tip, [known])
        entry = next((entry for entry in log if entry.commit.name == tip), None)
        said = f"Upstream's side is {self._outcomes.who(entry)}"
        if entry and len(entry.parents) > 1:
            said += f", a merge of {' and '.join(map(self._named, entry.parents))}"
        said += ". The account counts all of it as upstream's."
        said += (
            f" The lines go from {self._named(known)} (-) to it (+); see whether each was meant."
        )
        return said + " The commits below wrote the lines with +." * bool(by)

    def mixed_tree(self, one: Finding) -> str:
        """The directory of generated files that a finding says mixes two builds; "" if it says
        something else."""
        rule = self._fork.policy.generated(one.paths).get(one.path)
        tree = rule.unit(one.path) if rule and all(one.between) else ""
        is_of_it = one.between[1] == self._sides.commits["result"] and tree.endswith("/")
        return tree if is_of_it else ""

    def trees(self, found: Sequence[Finding]) -> set[str]:
        """The directories about which `mixed_tree` says something."""
        return {*map(self.mixed_tree, found)} - {""}

    def _again(self, tree: str) -> tuple[Sequence[Recipe], list[str]]:
        """How a directory of generated files is built, if upstream's build does not fit the result;
        and the sources that the result has otherwise than upstream."""
        trees, result = self._sides.trees, self._sides.commits["result"]
        key = ("recipes", self._repo, result, tree)
        there = trees["result"]
        ways = self._sh.once(key, lambda: recipes.of(self._sh, self._repo, result, there, tree))
        home = next((way.home for way in ways if way.home and not tree.startswith(way.home)), "")
        paths = [path for path in there if home and path.startswith(home)]
        own = [path for path in paths if there[path] != trees["theirs"].get(path)]
        own = [path for path in own if path not in self._fork.policy.generated(own)]
        return (ways, own) if own else ((), [])

    def todo(self, one: Finding) -> str:
        """What to do about a directory of generated files that mixes two builds, in few words; ""
        for any other finding."""
        if not (tree := self.mixed_tree(one)):
            return ""
        ways, _ = self._again(tree)
        return f"build {tree} again" if ways else f"take upstream's build of {tree}"

    def _how(self, one: Finding) -> str:
        """The same in full."""
        if not (tree := self.mixed_tree(one)):
            return "Build them again." if one.check == "generated" else ""
        ways, own = self._again(tree)
        if not ways:
            return "Take upstream's build: nothing shows that its sources are others here."
        said = "Upstream's build is of other sources than the result has, such as"
        return f"{said} {listed(own, 2)}. Build it again: {recipes.said(ways)}"

    def _mixed(self, one: Finding) -> Iterator[str]:
        """Whose build a directory of generated files has in the result."""
        trees = self._sides.trees
        ours, theirs, result = trees["ours"], trees["theirs"], trees["result"]
        tree = self.mixed_tree(one)
        if not tree:
            return
        every = [path for path in result if path.startswith(tree)]
        mine = [p for p in one.paths if p in result and result[p] == ours.get(p)]
        taken = [p for p in every if result[p] == theirs.get(p) != ours.get(p)]
        same = sum(result[path] == theirs.get(path) == ours.get(path) for path in every)
        over = sum(path in theirs for path in mine)
        changed = sum(path in theirs for path in mine if path in self._sides.changed)
        if mine:
            them = "is as the fork had it" if len(mine) == 1 else "are as the fork had them"
            yield f"{counted(len(mine), 'file')} of {tree} {them} before this"
            yield f"merge: {over} where upstream has others (upstream changed {changed}), and"
            yield f"{len(mine) - over} that upstream's build does not have."
            if rest := len(one.paths) - len(mine):
                yield f"Of {counted(rest, 'other file')} it has neither side's version."
            both = f", and {same} {'is' if same == 1 else 'are'} the same in both builds"
            are = "is" if len(taken) == 1 else "are"
            yield f"{counted(len(taken), 'file')} {are} from upstream's build{both * bool(same)}."
        index = f"{tree}index.html"
        if index in mine:
            yield f"{index} is the fork's, from before this merge."
        if mine and taken:
            yield "So this is a mix of two builds."

    def _restored(self, one: Finding) -> Iterator[str]:
        """The command that takes files of a release whole, if what a finding says is missing is all
        in which they differ from the result's."""
        release = one.between[0] if one.check == checks.REMOVED and not one.between[1] else ""
        if not release:
            return
        old, new = git.tree(self._sh, self._repo, release), self._sides.trees["result"]
        pairs = {p: (old.get(p, ("", None))[1], new.get(p, ("", None))[1]) for p in one.paths}
        changes = self._sides.changes(pairs.values())
        made = [change for path in pairs for change in changes(pairs[path])]
        gone = [f"- {line.strip()}" for change in made for line in change.removed if line.strip()]
        if sorted(gone) == sorted(x for x in one.lines if x[:2] == "- ") and not any(
            change.added for change in made
        ):
            yield joined(["git", "checkout", self._named(release), "--", *one.paths])

    def _rebuilt(self, finding: Finding) -> Iterator[tuple[str, str]]:
        """The command that takes upstream's build of generated files, or that builds them."""
        tree = self.mixed_tree(finding)
        if tree and (ways := self._again(tree)[0]):
            yield "the command that builds them", ways[0].command
        elif finding.check == "generated" and all(finding.between):
            theirs = finding.between[0]
            there = self._sides.trees["theirs"]
            take = [path for path in finding.paths if path in there]
            drop = [path for path in finding.paths if path not in there]
            lines = [joined(["git", "checkout", theirs[:10], "--", *take])] * bool(take)
            lines += [joined(["git", "rm", "--quiet", "--", *drop])] * bool(drop)
            yield (
                f"the command that takes upstream's {len(finding.paths)} files",
                " && ".join(lines),
            )
