"""What the fork built from sources that upstream changed: git keeps such a file as it was, so it
is of the old sources."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import PurePosixPath

from pathspec import GitIgnoreSpec

from ..audit.findings import described
from ..fork import generated
from ..fork.fork import Fork
from ..fork.patterns import globs
from ..merge.hunks import Commit, Customisations
from ..run import git
from ..run.errors import Refused
from ..run.shell import Shell
from ..run.text import counted, listed
from . import effects, recipes
from .effects import Effect
from .recipes import Recipe

_MOST_READ = 1000
"""So many files are read to see whether a tool wrote them."""
_BEGINNING = 4000
_GENERATORS = (("lezer", (".grammar",)), ("protoc", (".proto",)), ("yacc", (".y",)))
"""What a file built by a program says of it, and what that program reads."""
_WRITES = re.compile(r">\s*[\"']?(?:\./)?([\w./-]+\.\w+)")
"""What a script writes."""
_SCRIPT = re.compile(r"\.(sh|bash|mk)$|(^|/)Makefile[^/]*$")
_READS = re.compile(r"[\w-]+\.(?:json|ya?ml|toml|lock|mod|sum|txt|xml)\b")
_SOURCES = (Effect.CODE, Effect.LAYOUT, Effect.SETTINGS)


@dataclass(frozen=True)
class Stale:
    """Files of the fork that were built from what upstream has changed since.

    place: their directory, or the file. why: how one knows that a tool built them.
    sources: what upstream changed of what they are built from. how: by which commands. rest: the
        directories of them that these do not write. deleted: the commit of upstream that deleted
        what they were built from, if that is so: nothing builds them again. headed: whether only
        they say that a tool built them.
    """

    place: str
    files: Sequence[str]
    why: str
    sources: Sequence[str]
    how: Sequence[Recipe] = ()
    rest: Sequence[str] = ()
    deleted: str = ""
    headed: bool = False

    @property
    def named(self) -> str:
        """Its place, with the command that builds it."""
        return f"{self.place} (run {self.how[0].command})" if self.how else self.place

    @property
    def what(self) -> str:
        """What it is, on a line."""
        made, are = (
            counted(len(self.files), "file"),
            "it is" if len(self.files) == 1 else "they are",
        )
        if self.deleted:
            return f"{made} that a program wrote once; upstream deleted what {are} built from"
        return f"{made} that the fork built; upstream changed what {are} built from"

    @property
    def said(self) -> str:
        """Why it is to be built again, and how, in sentences."""
        if self.deleted:
            said = (
                f"Upstream deleted the rest of this directory in {self.deleted}, so nobody builds"
            )
            return f"{said} these again, and only the fork has them: see whether they are used."
        said = "Git kept this as it was before the merge, so it has nothing of what upstream"
        said += f" changed in {counted(len(self.sources), 'file')} (tests, texts and vendored code"
        said += " do not count)."
        said += f" Build it again: {recipes.said(self.how)} It is built: {self.why}."
        rest = f" Nothing in the repository shows what writes {listed(self.rest)}: see whether that"
        return said + f"{rest} is still used." * bool(self.rest)


def stale(
    sh: Shell,
    fork: Fork,
    own: Customisations,
    trees: Mapping[str, git.Tree],
    changed: Set[str],
    theirs: str,
    result: str,
) -> list[Stale]:
    """What the fork's commits built, and the merge left as it was, although upstream changed the
    sources. What upstream has, or what the policy calls generated, does not count.

    own: what the fork's commits did. trees: by side. changed: the paths that upstream changed.
    theirs, result: the commits.
    """
    tree, found = trees["result"], list[Stale]()
    for one in _Built(sh, fork, own, trees, changed).stale():
        if commit := _left_over(sh, fork, one, trees["theirs"], theirs):
            found.append(replace(one, deleted=commit))
            continue
        how = recipes.of(sh, fork.path, result, tree, one.place, one.sources)
        first = (recipe for recipe in how[:1])
        rest = [
            place
            for recipe in first
            for place in recipes.unwritten(sh, fork.path, tree, recipe, one.place, one.files)
        ]
        found.append(replace(one, how=how, rest=rest))
    return found


def _left_over(sh: Shell, fork: Fork, one: Stale, tree: git.Tree, theirs: str) -> str:
    """The commit of upstream that deleted the last files of a directory that only the fork has
    files of by now, in words; "" if there is not one."""
    home = one.files[0].rpartition("/")[0]
    if not home or not one.headed or any(path.startswith(f"{home}/") for path in tree):
        return ""
    question = "log -1 --no-show-signature --diff-filter=D --no-renames --date=short"
    question += " --format=%H%x02%ad%x02%s {theirs} -- {home}"
    where = {"theirs": theirs, "home": f":(top,literal){home}/"}
    line = git.ask(sh, fork.path, question, "commits", **where).line
    return described(Commit(*line.split("\x02", 2))) if line else ""


class _Built:
    """The files that only the fork has, and that are as they were before the merge."""

    def __init__(
        self,
        sh: Shell,
        fork: Fork,
        made: Customisations,
        trees: Mapping[str, git.Tree],
        changed: Set[str],
    ) -> None:
        self._sh, self._repo, self._upstreams = sh, fork.path, changed
        ours, result, theirs = trees["ours"], trees["result"], trees["theirs"]
        self._ours, self._theirs = ours, theirs
        own = made.paths.keys() & ours.keys() - theirs.keys()
        own = {path for path in own if result.get(path) == ours[path]}
        own -= fork.policy.generated(own).keys()
        lock = generated.RECORDS
        self._own = sorted(
            path
            for path in own
            if not generated.VENDORED.search(path) and path.rpartition("/")[2] not in lock
        )

    def stale(self) -> Iterator[Stale]:
        """Those whose sources upstream changed."""
        known: set[str] = set()
        for place, files in self._ignored().items():
            texts = self._texts(files)
            if generated.is_built(texts[path] for path in files):
                above = place.rstrip("/").rpartition("/")[0]
                sources = self._changed(f"{above}/" if above else "", files)
                if sources:
                    known.update(files)
                    why = "upstream's .gitignore names it"
                    yield Stale(place, files, why, sources)
        for found in (*self._headed(known), *self._written(known)):
            if not known.issuperset(found.files):
                known.update(found.files)
                yield found

    def _texts(self, paths: Sequence[str]) -> dict[str, str | None]:
        """Their beginnings; None for what is not text."""
        ours = self._ours
        read = git.blobs(self._sh, self._repo, {ours[path][1] for path in paths[:_MOST_READ]})
        texts = {path: read.get(ours[path][1], "")[:_BEGINNING] for path in paths}
        return {path: None if "\0" in text else text for path, text in texts.items()}

    def _changed(self, home: str, files: Iterable[str]) -> list[str]:
        """What upstream changed in a directory of what can be a source, without tests and prose."""
        made = {*files}
        return sorted(
            path
            for path in self._upstreams
            if path.startswith(home) and path not in made and effects.of_file(path) in _SOURCES
            if not generated.VENDORED.search(path)
        )

    def _ignored(self) -> dict[str, list[str]]:
        """The files that upstream's .gitignore files name, by the directory that they name."""
        theirs = self._theirs
        ignoring = [p for p in theirs if p.rpartition("/")[2] == ".gitignore"]
        texts = git.blobs(self._sh, self._repo, {theirs[path][1] for path in ignoring})
        found: dict[str, list[str]] = defaultdict(list)
        for path in ignoring:
            home = path[: -len(".gitignore")]
            try:
                spec = globs(texts.get(theirs[path][1], "").split("\n"))
                for own in self._own:
                    if own.startswith(home) and (place := _place(spec, home, own)):
                        found[place].append(own)
            except (Refused, ValueError):
                continue  # git does not read such a pattern either
        return found

    def _headed(self, known: Set[str]) -> Iterator[Stale]:
        """Those whose first lines say that a tool wrote them, a directory at a time."""
        texts = self._texts([p for p in self._own if effects.of_file(p) is Effect.CODE])
        together: dict[tuple[str, tuple[str, ...]], list[str]] = defaultdict(list)
        for path, text in texts.items():
            if path in known or not (text and generated.is_headed(text)):
                continue
            reads = next((ends for name, ends in _GENERATORS if name in text[:500]), ())
            if sources := self._nearest(path, reads):
                together[path.rpartition("/")[0], (*sources,)].append(path)
        for (home, having), files in together.items():
            place = files[0] if len(files) == 1 else f"{home}/"
            why = "its first lines say that a program wrote it"
            yield Stale(place, files, why, having, headed=True)

    def _nearest(self, path: str, ends: tuple[str, ...]) -> list[str]:
        """What upstream changed of the files with some endings in the nearest directory above a
        file that has such."""
        if not ends:
            return []
        for above in PurePosixPath(path).parents:
            home = "" if str(above) == "." else f"{above}/"
            having = [p for p in self._theirs if p.startswith(home) and p.endswith(ends)]
            if having:
                return sorted({*having} & self._upstreams)
        return []

    @cached_property
    def _scripts(self) -> dict[str, str]:
        scripts = [path for path in self._own if _SCRIPT.search(path)]
        return {path: text for path, text in self._texts(scripts).items() if text}

    def _written(self, known: Set[str]) -> Iterator[Stale]:
        """Those that a script which the fork added writes, from what it names."""
        for script, text in self._scripts.items():
            names = {*_READS.findall(text)}
            made = [p for p in {*_WRITES.findall(text)} & {*self._own} if p not in known]
            reads = names - {path.rpartition("/")[2] for path in made}
            sources = sorted(p for p in self._upstreams if p.rpartition("/")[2] in reads)
            for path in sorted(made) if sources else ():
                yield Stale(path, [path], f"{script} writes it", sources)


def _place(spec: GitIgnoreSpec, home: str, path: str) -> str:
    """The directory, or the file, by which a .gitignore file names a path; "" if it does not."""
    inside = path[len(home) :]
    if not spec.match_file(inside):
        return ""
    for above in [*PurePosixPath(inside).parents][-2::-1]:
        if spec.match_file(f"{above}/"):
            return f"{home}{above}/"
    return path
