"""Conventions of projects: how they name tags, where they state their version, what they run.

Pure.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import PurePosixPath
from typing import Any

from packaging.version import Version

from ..fork import version_files as stating
from ..fork.policy import VersionFile
from ..fork.tags import TagUse
from ..run.errors import Refused, Usage
from ..run.text import counted


class Surety(Enum):
    """How sure a guess is."""

    CERTAIN = "certain"
    LIKELY = "likely"
    GUESS = "guess"


@dataclass(frozen=True)
class Guess:
    """A value of the policy, how sure it is, and why.

    key: dotted, or that of a list of tables. value: None for none; `why` then says why.
    off: whether it is only proposed, as a comment that a person can uncomment.
    """

    key: str
    value: Any
    surety: Surety
    why: str
    off: bool = False


CERTAIN, LIKELY, GUESS = Surety

Text = Callable[[str], str]
"""The text of a file by its path; "" if the file is missing."""

# Where projects state their version: the file, and the keys or a pattern in it.
_STATING = (
    (r"pyproject\.toml", ("project.version", "tool.poetry.version")),
    (r"package\.json", ("version",)),
    (r"package-lock\.json", ("version", "packages..version")),
    (r"Cargo\.toml", ("package.version", "workspace.package.version")),
    (r"VERSION(\.txt)?", ""),
    (r"VERSION(\.txt)?", r"\A(?P<version>v?\d[\w.]*)\s*$"),
    (r"setup\.cfg", r"^version\s*=\s*(?P<version>\d\S*)\s*$"),
    (
        r"(.*/)?_?_?(version|about)(__)?\.py|(src/)?\w+/__init__\.py",
        r"""^(__version__|version|VERSION)\s*=\s*["'](?P<version>[^"']+)["']""",
    ),
    (
        r"(.*/)?version\.go",
        r'^\s*(const\s+|var\s+)?[Vv]ersion\s*(string\s*)?=\s*"(?P<version>[^"]+)"',
    ),
    (r"(.*/)?\w*version\w*\.h(pp)?", r'^#\s*define\s+\w*VERSION\w*\s+"(?P<version>[^"]+)"'),
    (
        r"(.*/)?(Directory\.Build\.props|[^/]+\.(cs|fs|vb)proj)",
        r"^\s*<Version(Prefix)?>\s*(?P<version>\d[^<\s]*)\s*</Version",
    ),
    (r"gradle\.properties", r"^version\s*=\s*(?P<version>\d\S*)\s*$"),
    (r"build\.gradle(\.kts)?", r"""^version\s*=\s*["'](?P<version>[^"'$]+)["']"""),
    (r"(.*/)?version\.rb", r"""^\s*VERSION\s*=\s*["'](?P<version>[^"']+)["']"""),
    (r"mix\.exs", r"""^\s*version:\s*"(?P<version>[^"]+)"""),
    (r"(.*/)?Chart\.ya?ml", r"""^version:\s*["']?(?P<version>[^\s"'#]+)"""),
    (r"(.*/)?Chart\.ya?ml", r"""^appVersion:\s*["']?(?P<version>[^\s"'#]+)"""),
)
_COMMENTS = {
    "//": "c cc cpp cs cxx dart fs go groovy h hpp java js jsx kt kts m mjs php proto rs scala "
    "swift ts tsx vue zig",
    "#": "cr ex exs jl nim pl pm ps1 py r rb sh tcl tf",
    "--": "adb ads elm hs lua sql vhd",
    ";;": "clj cljs el lisp rkt scm",
    "%": "erl hrl tex",
}
"""The suffixes of files in which a comment begins with some characters."""


def comment(paths: Iterable[str]) -> str:
    """How comments begin in most of some source files."""
    suffixes = Counter(PurePosixPath(path).suffix[1:].lower() for path in paths)
    counts = {
        begin: sum(suffixes[name] for name in names.split()) for begin, names in _COMMENTS.items()
    }
    return max(counts, key=counts.__getitem__) if any(counts.values()) else "#"


# Lock files that state the project's own version, and the file and key of the project's name.
_OWN_ENTRIES = (
    ("Cargo.lock", "Cargo.toml", "package.name"),
    ("uv.lock", "pyproject.toml", "project.name"),
    ("uv.lock", "pyproject.toml", "tool.poetry.name"),
)
# Whole words, as in `rc.1`, `2b1` and `devMCP`, but not in `device`.
_NEVER = re.compile(
    r"(?<![A-Za-z])(?i:alpha|beta|rc|candidate|dev(el(opment)?)?|nightly|night"
    r"|pre(alpha|beta|release|view)?|canary|snapshot|test(ing)?|draft|staging|experimental"
    r"|insiders|next|edge|[ab](?=\d|$))(?![a-z]|(?<=[A-Z])[A-Z])"
)
_STABLE = re.compile(r"[-.+_]?(stable|final|release|lts|ga)", re.IGNORECASE)
# Numbers with dots, if there are any: a product may have a number in its name.
_VERSION = re.compile(
    r"(?P<before>.*?(?<![A-Za-z0-9])v?(?=\d+\.\d)|.*?)"
    r"(?P<version>\d+(?:\.\d+)*)(?P<post>\.post\d+)?(?P<after>.*)",
    re.ASCII,
)
# Targets of a Makefile for each command; the first that exists is used.
_TARGETS = {
    "install": ("install-dev", "deps", "bootstrap"),
    "test": ("test-unit", "test"),
    "lint": ("lint", "check"),
}
# Commands of projects with a certain file; the first file that exists decides.
_COMMANDS = {
    "go.mod": {"install": "go mod download", "test": "go test ./...", "lint": "go vet ./..."},
    "Cargo.toml": {"install": "cargo fetch", "test": "cargo test", "lint": "cargo clippy"},
    "uv.lock": {"install": "uv sync --frozen", "test": "uv run pytest"},
    "poetry.lock": {"install": "poetry install", "test": "poetry run pytest"},
}


def version_files(tree: Iterable[str], text: Text) -> Iterator[VersionFile]:
    """The places in which files of a tree usually state the version."""
    paths = list(tree)
    for usual, place in _STATING:
        for path in filter(re.compile(usual).fullmatch, paths):
            if isinstance(place, str):
                yield VersionFile(path, pattern=place)
            else:
                yield VersionFile(path, place)
    for lock, manifest, key in _OWN_ENTRIES:
        if lock in paths and manifest in paths:
            with suppress(Refused):
                for name in stating.read(text(manifest), VersionFile(manifest, (key,))).values():
                    if lock == "uv.lock":  # it normalises names by PEP 503
                        name = re.sub(r"[-_.]+", "-", name).lower()
                    entry = rf'^name = "{re.escape(name)}"\nversion = "(?P<version>[^"]+)"'
                    yield VersionFile(lock, pattern=entry)


# Commands that need no shell, and do the same everywhere.
_PLAIN_COMMAND = re.compile(r"[\w./@:+=,-]+( [\w./@:+=,-]+)*")
_RUN = re.compile(r"^\s*(?:-\s+)?run:\s+([^\s|>#].*?)\s*$", re.MULTILINE)
_PURPOSES = {
    "test": re.compile(r"\b(pytest|tox|nox|r?spec|phpunit|ctest|jest|vitest|(\w+-)?tests?)\b"),
    "lint": re.compile(
        r"\b(ruff|flake8|pylint|black|mypy|pyright|eslint|prettier|golangci-lint|vet|clippy|fmt"
        r"|rubocop|phpstan|(\w+-)?lint)\b"
    ),
}


def _short(line: str) -> str:
    """A command line as people shorten it: `npm test` is `npm run test`."""
    return re.sub(r"^(npm|pnpm|yarn) run ", r"\1 ", line)


def commands(tree: Iterable[str], text: Text) -> Iterator[Guess]:
    """Command lines of the Makefile or else of the build tool, and those that workflows run.

    The workflows' commands are upstream's words: they stay comments until a person uncomments them.
    """
    paths = set(tree)
    made = re.findall(r"^([\w-]+):(?!=)", text("Makefile"), re.MULTILINE)
    if "package.json" in paths:
        usual = _scripts(paths, text)
    else:
        usual = next((lines for file, lines in _COMMANDS.items() if file in paths), {})
    workflows = [path for path in sorted(paths) if path.startswith(".github/workflows/")]
    ran = dict.fromkeys(line for path in workflows for line in _RUN.findall(text(path)))
    for kind, names in _TARGETS.items():
        lines = []
        if target := next((name for name in names if name in made), ""):
            lines = [f"make {target}"]
            yield Guess(f"commands.{kind}", lines, LIKELY, "a target of the Makefile")
        elif line := usual.get(kind):
            lines = [line]
            why = "how projects of this kind are built"
            yield Guess(f"commands.{kind}", lines, LIKELY, why)
        of_kind = _PURPOSES.get(kind)
        others = [x for x in ran if of_kind and of_kind.search(x) and _PLAIN_COMMAND.fullmatch(x)]
        if others and {*map(_short, others)} != {*map(_short, lines)}:
            why = "what the workflows run; uncomment what an upgrade should run"
            yield Guess(f"commands.{kind}", others, GUESS, why, off=True)
        elif kind == "test" and not lines:
            why = "no Makefile, build file or workflow names a command for the tests"
            yield Guess("commands.test", None, GUESS, f"{why}; if there is one, add it")


def _scripts(tree: set[str], text: Text) -> dict[str, str]:
    """The commands of a Node project."""
    try:
        scripts = json.loads(text("package.json")).get("scripts", {})
    except (ValueError, AttributeError):
        return {}
    program = "yarn" if "yarn.lock" in tree else "pnpm" if "pnpm-lock.yaml" in tree else "npm"
    install = f"{program} install --frozen-lockfile"
    if program == "npm":
        has_lock = {"package-lock.json", "npm-shrinkwrap.json"} & tree
        # A lock file that it made would keep the work tree from being removed.
        install = "npm ci" if has_lock else "npm install --no-package-lock"
    lines = {name: f"{program} run {name}" for name in ("test", "lint") if name in scripts}
    return {"install": install, **lines}


_RETIRED = 365 * 24 * 3600
"""Seconds without a release after which a family of tag names counts as retired."""


def tag_schemes(names: Iterable[str], dates: Mapping[str, int] | None = None) -> Iterator[Guess]:
    """A class for each family of upstream tag names, the stable releases first.

    dates: when tags were made, in seconds since 1970, as far as known.
    Raises Usage if no tag looks like a stable release.
    """
    dates = dates or {}
    # By the text before the version, its number of dots and the text after it: versions and names.
    families: dict[tuple[str, int, str], list[tuple[Version, str]]] = defaultdict(list)
    for name in names:
        if match := _VERSION.fullmatch(name):
            before, version, post, after = match.group("before", "version", "post", "after")
            family = (before, version.count("."), re.sub(r"\d+", "0", after))
            with suppress(ValueError):  # more digits than Python parses
                families[family].append((Version(version + (post or "")), name))
    stable = [
        (before, dots, after)
        for before, dots, after in families
        if not _NEVER.search(f"{before}0") and (not after or _STABLE.fullmatch(after))
    ]
    if not stable:
        raise Usage(
            "upstream has no tag that looks like a stable release.",
            then="write `[[tags]]` by hand; `fork.config` prints another fork's as an example.",
        )
    made = {f: max(dates.get(name, 0) for _, name in families[f]) for f in stable}
    retired = {f for f in stable if made[f] and made[f] < max(made.values()) - _RETIRED}
    # Of the families in use, one that says `stable` outranks one that does not, and one of the
    # whole project outranks one of a part, such as `cmd/x/v1.0` or `x@1.0`; else the largest wins.
    main = max(
        (family for family in stable if family not in retired),
        key=lambda f: (bool(f[2]), not re.search("[/@]", f[0]), len(families[f])),
    )
    stable.sort(key=lambda f: (f != main, f in retired, -len(families[f]), bool(f[2])))
    rest = [family for family in families if family not in stable]
    for family in [*stable, *sorted(rest, key=lambda family: family[2])]:
        before, dots, after = family
        words = [re.sub(r"[^\w]+", " ", part).strip() for part in (before, after.replace("0", ""))]
        label = " ".join(word for word in words if word not in ("", "v"))
        label = re.sub(r"\brc\b", "release candidate", label)
        if family == main:
            use, surety = TagUse.AUTOMATIC, CERTAIN if len(stable) == 1 else LIKELY
            label = f"stable {label}".rstrip()
        elif family in stable:
            same = before == main[0] and family not in retired
            use, surety = (TagUse.ON_REQUEST, LIKELY) if same else (TagUse.NEVER, GUESS)
            label = f"stable {label}".rstrip() + f" of {dots + 1} numbers"
        else:
            never = _NEVER.search(f"{before}0{after}")
            use, surety = (TagUse.NEVER, LIKELY) if never else (TagUse.ON_REQUEST, GUESS)
        label = label or "plain version"
        version = r"\d+" + r"\.\d+" * dots
        if any(one.is_postrelease for one, _ in families[family]):
            version += r"(\.post\d+)?"
        following = plain(after).replace("0", r"\d+")
        pattern = f"{plain(before)}(?P<version>{version}){following}"
        why = f"{counted(len(families[family]), 'tag')} such as {max(families[family])[1]}"
        if family in retired:
            why += ", none of them recent"
        yield Guess("tags", {"name": label, "pattern": pattern, "use": use.value}, surety, why)


def plain(text: str) -> str:
    """A pattern that matches exactly a text; outside brackets a dash needs no escape."""
    return re.escape(text).replace(r"\-", "-")
