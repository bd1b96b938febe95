"""How a built file is made, as far as its repository says so."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from shlex import quote

from ..fork import generated
from ..run import git
from ..run.shell import Shell
from ..run.text import listed

_SAYS = re.compile(
    r"\b((?:make|just|task|npm run|yarn(?: run)?|pnpm(?: run)?|go generate|tox -e)\s+[\w:./-]+)"
)
"""A command in a note."""
_FILES = ("Makefile*", "makefile", "*.mk", "*.sh", "*.bash", "package.json", "justfile")
_TARGET = re.compile(r"([A-Za-z0-9][\w./-]*)\s*:(?!=)")
_NO_BUILD = re.compile(r"(^|[^a-z])(clean|lint|tests?|check|fmt|format)([^a-z]|$)", re.IGNORECASE)
_NO_OUTPUT = re.compile(r"^\s*#|\brm\s|grep\s.*-v|--exclude|^\.PHONY")
_BUILDS = re.compile(r"build|gen|make|compile|bundle|asset|release", re.IGNORECASE)
_MOST = 3


@dataclass(frozen=True)
class Recipe:
    """How something is built.

    command: from the top of the repository. where: the file that says so.
    """

    command: str
    where: str

    @property
    def home(self) -> str:
        """The directory of the file, which mostly is that of the sources; "" at the top."""
        directory = self.where.rpartition("/")[0]
        return f"{directory}/" if directory else ""


def said(recipes: Sequence[Recipe]) -> str:
    """How something is built, as the end of a sentence that says to build it."""
    if not recipes:
        return "the repository does not say by which command; ask who built it."
    first, *others = recipes
    also = f" {listed([x.where for x in others])} may do so, too." if others else ""
    source = f", as {first.where} says" * (PurePosixPath(first.where).name not in first.command)
    return f"run {first.command}{source}.{also}"


def of(
    sh: Shell, repo: Path, commit: str, tree: git.Tree, place: str, sources: Sequence[str] = ()
) -> list[Recipe]:
    """How a built file or directory is made, the likeliest first: by a note in a .gitignore file,
    or by a script, a target of make or a script of npm that names it.

    tree: the files of the commit. sources: what it is built from.
    """
    found = [*_noted(sh, repo, tree, place)]
    if not found:
        found = [*_naming(sh, repo, commit, tree, "/".join(place.strip("/").split("/")[-2:]))]
    if not found and 0 < len(sources) <= _MOST:
        for source in sources:
            found += _naming(sh, repo, commit, tree, source.rpartition("/")[2])
    unique = {recipe.command: recipe for recipe in found}.values()
    return sorted(unique, key=lambda x: not _BUILDS.search(x.command.rpartition("/")[2]))[:_MOST]


def _noted(sh: Shell, repo: Path, tree: git.Tree, place: str) -> Iterator[Recipe]:
    """The commands that comments of the .gitignore files above a place name."""
    above = [*PurePosixPath(place).parents][:-1]
    names = [f"{directory}/.gitignore" for directory in above]
    names = [name for name in names if name in tree]
    texts = git.blobs(sh, repo, [tree[name][1] for name in names])
    for name in names:
        for line in texts.get(tree[name][1], "").split("\n"):
            match = _SAYS.search(line) if line.startswith("#") else None
            if match and not _NO_BUILD.search(match[1]):
                yield Recipe(match[1], name)


def _naming(sh: Shell, repo: Path, commit: str, tree: git.Tree, key: str) -> Iterator[Recipe]:
    """The commands of files that name something."""
    globs = [f":(top,glob)**/{name}" for name in _FILES]
    words = ["git", "-C", str(repo), "grep", "-I", "-n", "-z", "-F", "--no-color", "-e", key]
    answer = git.checked(sh.read([*words, commit, "--", *globs]), "files", 1)
    for line in answer.out.split("\n"):
        name, number, text = (*line.split("\0", 2), "", "")[:3]
        path = name.partition(":")[2]
        if path in tree and not generated.VENDORED.search(path) and not _NO_OUTPUT.search(text):
            yield from _of_line(sh, repo, tree, path, int(number), text)


def _of_line(
    sh: Shell, repo: Path, tree: git.Tree, path: str, number: int, text: str
) -> Iterator[Recipe]:
    """The command that a line of a file is of."""
    mode, name = tree[path]
    home, _, base = path.rpartition("/")
    how = ""
    if base.endswith((".sh", ".bash")):
        # A script that leaves its directory is meant to be run there.
        inside = bool(home) and "../" in text
        script = f"./{base}" if inside or not home else quote(path)
        how = script if mode == "100755" else f"sh {script}"
        home = home if inside else ""
    elif base == "package.json":
        scripts = _scripts(git.blobs(sh, repo, [name]).get(name, ""))
        how = next(
            (f"npm run {quote(key)}" for key, run in scripts.items() if run and run in text), ""
        )
    else:
        lines = git.blobs(sh, repo, [name]).get(name, "").split("\n")[:number]
        targets = (match[1] for line in reversed(lines) if (match := _TARGET.match(line)))
        target = next(targets, "")
        how = f"make {target}" * bool(target)
    if how and not _NO_BUILD.search(how):
        yield Recipe(f"(cd {quote(home)} && {how})" if home else how, path)


def _scripts(text: str) -> dict[str, str]:
    """The scripts of a package.json as its text has them."""
    try:
        scripts = json.loads(text)["scripts"]
        return {str(key): json.dumps(run)[1:-1] for key, run in scripts.items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}
