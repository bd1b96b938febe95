"""How a built file is made, as far as its repository says so."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
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


_SHELL = (".sh", ".bash")


def said(recipes: Sequence[Recipe]) -> str:
    """How something is built, as the end of a sentence that says to build it."""
    if not recipes:
        return "the repository does not say by which command; ask who built it."
    first, *others = recipes
    also = f" {listed([x.where for x in others])} may do so, too." if others else ""
    source = f", as {first.where} says" * (PurePosixPath(first.where).name not in first.command)
    own = (
        " It is the project's own script: read it before you run it, since it may need what is not"
    )
    own += " installed, or commit by itself."
    return f"run {first.command}{source}.{own * first.where.endswith(_SHELL)}{also}"


def of(
    sh: Shell, repo: Path, commit: str, tree: git.Tree, place: str, sources: Sequence[str] = ()
) -> list[Recipe]:
    """How a built file or directory is made, the likeliest first: by a note in a .gitignore file,
    or by a script, a target of make or a script of npm that names it.

    tree: the files of the commit. sources: what it is built from.
    """
    name = PurePosixPath(place).name
    found = [
        recipe
        for recipe in _noted(sh, repo, tree, place)
        if _names(_run(sh, repo, tree, recipe), name)
    ]
    if not found:
        found = [*_naming(sh, repo, commit, tree, "/".join(place.strip("/").split("/")[-2:]))]
    if not found and 0 < len(sources) <= _MOST:
        for source in sources:
            reading = _naming(sh, repo, commit, tree, source.rpartition("/")[2])
            found += [x for x in reading if _names(_run(sh, repo, tree, x), name)]
    unique = {recipe.command: recipe for recipe in found}.values()
    return sorted(unique, key=lambda x: not _BUILDS.search(x.command.rpartition("/")[2]))[:_MOST]


def unwritten(
    sh: Shell, repo: Path, tree: git.Tree, recipe: Recipe, place: str, files: Iterable[str]
) -> list[str]:
    """The directories with built files, inside of a place, that a recipe does not name although it
    names others beside them."""
    inside = (path[len(place) :].split("/") for path in files if path.startswith(place))
    names = {parts[0] for parts in inside if len(parts) > 1} if place.endswith("/") else set[str]()
    text = _run(sh, repo, tree, recipe) if len(names) > 1 else ""
    rest = {name for name in names if not _names(text, name)}
    return sorted(f"{place}{name}/" for name in rest) if rest != names else []


def _names(text: str, name: str) -> bool:
    """Whether a text has a name, and not only a longer one."""
    return bool(re.search(rf"(?<![\w.-]){re.escape(name)}(?![\w-])", text))


_CALLED = re.compile(r"[\w./-]+\.(?:sh|bash|py|mjs|js)\b")
_NPM = re.compile(r"\b(?:npm run|yarn(?: run)?|pnpm(?: run)?)\s+([\w:.-]+)")
_MAKE = re.compile(r"\b(?:make|\$\(MAKE\)|\$\{MAKE\})\s+([\w./-]+)")
_MOST_RUN = 30


def _run(sh: Shell, repo: Path, tree: git.Tree, recipe: Recipe) -> str:
    """The text of what a command runs, as far as one can read that: targets of make with what they
    need, scripts of npm, and files of scripts."""
    names = [path for path in tree if not generated.VENDORED.search(path)]
    make = [path for path in names if re.match(r"(GNU)?[Mm]akefile|.*\.mk$", _base(path))]
    npm = [path for path in names if _base(path) == "package.json"]
    texts = git.blobs(sh, repo, {tree[path][1] for path in (*make, *npm)})
    targets = [_targets(texts.get(tree[path][1], "")) for path in make]
    scripts = [_scripts(texts.get(tree[path][1], "")) for path in npm]
    waiting, known, read = [recipe.command], set[tuple[str, str]](), list[str]()
    while waiting and len(read) < _MOST_RUN:
        text = waiting.pop()
        read.append(text)
        called = {("make", x) for x in _MAKE.findall(text)}
        called |= {("npm", x) for x in _NPM.findall(text)}
        called |= {("file", x.removeprefix("./")) for x in _CALLED.findall(text)}
        for kind, name in sorted(called - known):
            known.add((kind, name))
            if kind == "file":
                paths = [path for path in names if path == name or path.endswith(f"/{name}")][:3]
                waiting += git.blobs(sh, repo, {tree[path][1] for path in paths}).values()
            else:
                there = targets if kind == "make" else scripts
                waiting += [one[name] for one in there if name in one]
    return "\n".join(read)


def _base(path: str) -> str:
    return path.rpartition("/")[2]


def _targets(text: str) -> dict[str, str]:
    """The targets of a Makefile, each with its recipe, and what it needs as commands of make."""
    found: dict[str, str] = {}
    target = ""
    for line in text.split("\n"):
        if match := _TARGET.match(line):
            target = match[1]
            needs = line[match.end() :].partition("##")[0].split()
            found[target] = found.get(target, "") + "".join(f"make {need}\n" for need in needs)
        elif line.startswith("\t") and target:
            found[target] += f"{line}\n"
    return found


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
    if base.endswith(_SHELL):
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
