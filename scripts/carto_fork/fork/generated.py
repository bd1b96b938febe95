"""Generated files: how to recognise them, the command that regenerates them, and what a lock file
lost. Pure."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from pathlib import PurePosixPath
from shlex import quote

import tomli

_NODE = "package.json"
_GO, _GO_WORKSPACE = "go mod tidy && go mod vendor", "go mod tidy && go work vendor"
_LOCKS = {
    "uv.lock": ("pyproject.toml", "uv lock"),
    "poetry.lock": ("pyproject.toml", "poetry lock"),
    "pdm.lock": ("pyproject.toml", "pdm lock"),
    "Pipfile.lock": ("Pipfile", "pipenv lock"),
    "package-lock.json": (_NODE, "npm install --package-lock-only"),
    "npm-shrinkwrap.json": (_NODE, "npm install --package-lock-only"),
    "yarn.lock": (_NODE, "yarn install"),
    "pnpm-lock.yaml": (_NODE, "pnpm install --lockfile-only"),
    "bun.lock": (_NODE, "bun install --lockfile-only"),
    "Cargo.lock": ("Cargo.toml", "cargo generate-lockfile"),
    "go.sum": ("go.mod", "go mod tidy"),
    "vendor/modules.txt": ("go.mod", _GO),
    "composer.lock": ("composer.json", "composer update --lock"),
    "vendor/composer/installed.json": ("composer.json", "composer install"),
    "Gemfile.lock": ("Gemfile", "bundle lock"),
}
"""Files generated from a manifest of dependencies: the manifest and the command."""

LOCKFILES = tuple(lock for lock in _LOCKS if "/" not in lock and lock != "go.sum")
"""The names of lock files that cannot combine the changes of two sides."""


def is_lock(path: str) -> bool:
    """Whether a tool writes a file's lines from a manifest, such as hashes of dependencies."""
    return PurePosixPath(path).name in _LOCKS


_MODULES = r"(\.package-lock\.json|(@[^/]+/)?[^/]+/package\.json)"
# A directory that a tool fills: its name, a file next to it, a file in it, and the command.
_FILLED = (
    ("vendor", "go.work", r"modules\.txt|.+\.go", _GO_WORKSPACE),
    ("vendor", "go.mod", r"modules\.txt|.+\.go", _GO),
    ("vendor", "", r"modules\.txt", "go mod vendor"),
    ("vendor", "composer.json", r".+\.php", "composer install"),
    ("vendor", "", r"composer/installed\.json", "composer install"),
    ("vendor", "Cargo.toml", r"[^/]+/Cargo\.toml", "cargo vendor"),
    ("vendor", "", r"[^/]+/\.cargo-checksum\.json", "cargo vendor"),
    ("vendor", "Gemfile", r"(cache/[^/]+\.gem|bundle/.+)", "bundle cache"),
    ("node_modules", "package.json", _MODULES, "npm ci"),
    ("node_modules", "", _MODULES, "npm ci"),
    ("_vendor", "", r"vendor\.txt", "vendoring sync"),
)
_COPIED = ("third_party", "third-party", "thirdparty", "3rdparty", "external", "vendor")
_OTHERS = re.compile(
    r"(LICEN[CS]E|COPYING|METADATA|README\.chromium|package\.json|setup\.py|pyproject\.toml|go\.mod"
    r"|Cargo\.toml|composer\.json|CMakeLists\.txt)([.-].*)?",
    re.IGNORECASE,
)


def vendored(paths: Iterable[str]) -> dict[str, str]:
    """The directories of third-party code, judged by the files in and next to them; each with the
    command that fills it, "" if unknown."""
    inside: dict[str, list[str]] = {}
    everything = set(paths)
    names = {name for name, *_ in _FILLED} | {*_COPIED}
    for path in everything:
        parts = path.split("/")[:-1]
        place = next((n for n, part in enumerate(parts) if part in names), None)
        if place is not None:
            tree = "/".join(parts[: place + 1])
            inside.setdefault(tree, []).append(path[len(tree) + 1 :])
    directories = {}
    for tree, files in sorted(inside.items()):
        name, above = PurePosixPath(tree).name, tree.rpartition("/")[0]
        for wanted, beside, holds, command in _FILLED:
            fits = not beside or (f"{above}/{beside}" if above else beside) in everything
            if name == wanted and fits and any(map(re.compile(holds).fullmatch, files)):
                directories[tree] = command
                break
        else:
            parts_ = [file.split("/", 1) for file in files]
            projects = {parts[0] for parts in parts_ if len(parts) == 2}
            projects_known = {p[0] for p in parts_ if len(p) == 2 and _OTHERS.fullmatch(p[1])}
            if name in _COPIED and projects_known and 2 * len(projects_known) >= len(projects):
                directories[tree] = ""
    return directories


def filled(paths: Iterable[str]) -> Iterator[tuple[str, str, str]]:
    """The directories that a tool fills from a manifest above them: the directory, the manifest,
    and the command."""
    everything = set(paths)
    for tree, command in vendored(everything).items():
        above, _, name = f"/{tree}".rpartition("/")
        beside = {manifest for of, manifest, _, how in _FILLED if (of, how) == (name, command)}
        beside |= {"go.mod"} if command == _GO_WORKSPACE else set()
        for manifest in sorted(beside - {""}):
            path = f"{above}/{manifest}"[1:]
            if path in everything:
                yield tree, path, command


HEADER = (
    r"(Code generated .*DO NOT EDIT|@generated\b|[Tt]his file (was|is|has been) "
    r"(automatically |auto-?)?generated|(GENERATED|[Gg]enerated) .*(DO NOT|[Dd]o not) (EDIT|edit))"
)
"""A comment line that says a tool wrote the file; for `git grep -E`."""

_COMMENT = re.compile(r"\s*(//|#|/?\*|<!--|--|;|%|\"\"\"|'''|\(\*)")


def is_headed(text: str) -> bool:
    """Whether a comment at the beginning of a text, or after a license, says that a tool wrote
    it."""
    return bool(heading(text))


def heading(text: str) -> str:
    """That comment; "" without one."""
    code = False
    for number, line in enumerate(text.split("\n", 60)[:60]):
        if number >= 10 and code:
            return ""
        if _COMMENT.match(line):
            if re.search(HEADER, line):
                return line.strip()
        elif line.strip():
            code = True
    return ""


def patterns(found: Sequence[str], paths: Iterable[str]) -> Iterator[str]:
    """.gitignore patterns for some of all paths; those with the same ending share one, everywhere
    or in a directory."""
    endings: dict[str, set[str]] = {}
    for path in (paths := list(paths)):
        double = re.search(r"\.\w+\.\w+$", path)
        endings.setdefault(double[0] if double else path, set()).add(path)
    left = set(found)
    for ending, alike in endings.items():
        if len(alike) > 1 and alike <= left:
            yield f"*{ending}"
            left -= alike
    every, ours = (Counter(x for path in some for x in _places(path)) for some in (paths, left))
    shared = dict[str, None]()
    for path in sorted(left):
        whole = (x for x in _places(path) if every[x] == ours[x] >= _FEWEST_ALIKE)
        shared[next(whole, f"/{pattern(path)}")] = None
    yield from shared


_FEWEST_ALIKE = 3
"""Files for which a directory gets a pattern of its own."""


def _places(path: str) -> Iterator[str]:
    """Patterns for the files like one in each of its directories, the top one first."""
    suffix = PurePosixPath(path).suffix
    tops = reversed(PurePosixPath(path).parents[:-1]) if suffix else ()
    return (f"/{pattern(str(top))}/**/*{pattern(suffix)}" for top in tops)


def pattern(path: str) -> str:
    """A .gitignore pattern that matches only this path."""
    return re.sub(r"([\\*?\[\]!# ])", r"\\\1", path)


BUILT = ("dist", "build", "out", "_build", "bundle")
_BUNDLER = re.compile(
    r"sourceMappingURL=|webpackBootstrap|__webpack_require__|__nccwpck_require__|\b__esModule\b"
    r"|__commonJS|_next/static"
)
_LONG = 110  # characters per line, on average: people write shorter ones


def is_built(texts: Iterable[str | None]) -> bool:
    """Whether a tool wrote most of these files; None means a file that is not text."""
    said = [
        text is None or bool(_BUNDLER.search(text)) or len(text) > _LONG * (text.count("\n") + 1)
        for text in texts
    ]
    return 2 * sum(said) >= len(said) > 0


VENDORED = re.compile(r"(^|/)(_?vendor|node_modules|third[-_]?party|3rdparty|external)/")
"""Paths below a directory of third-party code."""

RECORDS = frozenset(
    {PurePosixPath(path).name for path in _LOCKS}
    | {manifest for manifest, _ in _LOCKS.values()}
    | {".package-lock.json", "vendor.txt"}
)
"""Names of files that change when a tool fills a directory, not when a person edits in it."""


def locks(paths: Set[str]) -> Iterator[tuple[str, list[str], str]]:
    """Lock files among some paths, from the top down: each with its manifests and the command line
    that regenerates it. A manifest further down belongs to the nearest lock file above it."""
    by_name: dict[str, list[str]] = {}
    for path in paths:
        by_name.setdefault(path.rpartition("/")[2], []).append(path)
    names = {lock.rpartition("/")[2] for lock in _LOCKS}
    places = {
        path: (path[: -len(lock)].rstrip("/"), lock)
        for name in names & by_name.keys()
        for path in by_name[name]
        for lock in _LOCKS
        if path == lock or path.endswith(f"/{lock}")
    }
    for path, (home, lock) in sorted(places.items()):
        manifest, command = _LOCKS[lock]
        if command == _GO and f"{home}/go.work".lstrip("/") in paths:
            command = _GO_WORKSPACE  # there, `go mod vendor` refuses
        nearer = [
            h for h, other in places.values() if other == lock and _below(h, home) and h != home
        ]
        of_it = [
            m
            for m in by_name.get(manifest, ())
            if _below(m, home) and not any(_below(m, h) for h in nearer)
        ]
        yield path, sorted(of_it), f"(cd {quote(home)} && {command})" if home else command


def _below(path: str, home: str) -> bool:
    return not home or path == home or path.startswith(f"{home}/")


def missing(manifest: str, text: str, before: str, after: str) -> list[str]:
    """The dependencies that a manifest names and that a lock file had and lost.

    manifest: its path. text: its text. before, after: the lock file's text then and now.
    """
    try:
        names = set(_dependencies(PurePosixPath(manifest).name, text))
    except (ValueError, TypeError, AttributeError):
        return []  # it does not parse, which is reported separately
    had, has = _entries(before), _entries(after)
    return sorted(name for name in names if _plain(name) in had - has)


def _entries(lock: str) -> set[str]:
    """Everything a lock file may list, in whatever format: its words, without the versions after
    them."""
    words = set(re.findall(r"[\w.@/~-]+", lock))
    words |= {inner for word in words for inner in word.split("node_modules/")[1:]}
    return {_plain(word[:1] + word[1:].partition("@")[0]) for word in words}


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _dependencies(manifest: str, text: str) -> Iterator[str]:
    match manifest:
        case "go.mod":
            replaced = re.findall(r"^(?:replace)?\s*(\S+)(?:\s+v\S+)?\s+=>", text, re.MULTILINE)
            required = re.findall(r"(?:^(?:require\s+|\s+)|=>\s+)(\S+)\s+v\d", text, re.MULTILINE)
            yield from (name for name in required if name not in replaced)
        case "Gemfile":
            yield from re.findall(r"""^\s*gem\s*\(?\s*["']([\w.-]+)["']""", text, re.MULTILINE)
        case "package.json":
            data = json.loads(text)
            for key in ("dependencies", "devDependencies", "optionalDependencies"):
                yield from data.get(key) or ()
        case "composer.json":
            data = json.loads(text)
            for key in ("require", "require-dev"):
                yield from (name for name in data.get(key) or () if "/" in name)
        case _:
            yield from _in_toml(tomli.loads(text))


_TABLES = re.compile(r"(.*-)?(dependencies|packages)")
_LISTS = re.compile(r"dependencies|optional-dependencies|dependency-groups|dev-dependencies")


def _in_toml(table: Mapping[str, object], listed: bool = False) -> Iterator[str]:
    """The names in all dependency tables and lists of a manifest."""
    for key, value in table.items():
        if isinstance(value, list) and (listed or _LISTS.fullmatch(key)):
            words = (re.match(r"[\w.-]+", entry) for entry in value if isinstance(entry, str))
            yield from (word[0] for word in words if word)
        elif isinstance(value, dict):
            if _TABLES.fullmatch(key):
                for name, wanted in value.items():
                    if isinstance(wanted, dict):
                        yield str(wanted.get("package", name))
                    elif not isinstance(wanted, list) and name != "python":
                        yield name
            yield from _in_toml(value, listed=bool(_LISTS.fullmatch(key)))
