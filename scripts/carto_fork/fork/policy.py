"""The policy: everything about one fork as data, read from TOML, checked and frozen."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Sequence
from enum import Enum
from importlib import resources
from pathlib import PurePosixPath
from typing import Any, Literal

import msgspec
import msgspec.inspect
import tomli
from pathspec import GitIgnoreSpec

from ..run.errors import Refused
from ..run.text import LARGEST_TEXT, too_long
from .patterns import compiled, explained, globs, matching, search
from .tags import TagScheme

POLICY_FILE = "carto_fork.toml"
DEFAULT_NAME = "carto-litellm"
CODE_OWNERS = (".github/CODEOWNERS", "CODEOWNERS", "docs/CODEOWNERS")
"""Files that name who has to approve; the first existing one counts."""
DEFAULT_SOURCE = f"default ({DEFAULT_NAME})"

_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._/-]*[A-Za-z0-9_-])?")
"""Names we allow for branches and remotes; git allows more."""

_PATH = re.compile(r"[A-Za-z0-9._][A-Za-z0-9._/-]*[A-Za-z0-9]")
"""Names we allow for files that workflows and Makefiles mention."""


class Take(Enum):
    """Who wins a conflict."""

    FORK = "fork"
    UPSTREAM = "upstream"
    BOTH = "both"
    VERSION = "version"


class Kind(Enum):
    """Kinds of conflicts, as git names them."""

    CONTENT = "content"
    MODIFY_DELETE = "modify/delete"
    RENAME = "rename"
    ADD_ADD = "add/add"
    BINARY = "binary"
    SUBMODULE = "submodule"
    SYMLINK = "symlink"
    MODE = "mode"
    DIRECTORY = "file/directory"


class Side(Enum):
    """The two sides of a merge."""

    FORK = "fork"
    UPSTREAM = "upstream"

    @property
    def whose(self) -> str:
        return "the fork's" if self is Side.FORK else "upstream's"


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A TOML table: no key beyond the named ones."""


class Remote(_Table, frozen=True):
    """A git remote: its name in a clone, and the URL it must have."""

    name: str
    url: str


class Remotes(_Table, frozen=True):
    """The fork on GitHub, and the original repository."""

    origin: Remote
    upstream: Remote


class Branches(_Table, frozen=True):
    """The branches of the fork, and upstream's development branch; `sync` holds ``{tag}``."""

    mirror: str
    upstream: str
    production: str
    sync: str

    def sync_for(self, tag: str) -> str:
        """The branch on which the upgrade to a tag is prepared."""
        return self.sync.replace("{tag}", tag)

    def tag_of(self, branch: str) -> str | None:
        """The tag whose sync branch this is; None for any other branch."""
        before, after = self.sync.split("{tag}")
        fits = branch.startswith(before) and branch.endswith(after)
        return branch[len(before) : len(branch) - len(after)] if fits else None


def _require_known(text: str, *names: str) -> None:
    """Raises ValueError for an unknown placeholder."""
    for name in re.findall(r"\{(\w+)\}", text):
        if name not in names:
            allowed = ", ".join(f"{{{name}}}" for name in names)
            raise ValueError(f"{{{name}}} in {text!r} is not one of {allowed}")


class Messages(_Table, frozen=True):
    """Commit messages; `merge` may contain ``{tag}`` and ``{production}``, `version` may contain
    ``{version}``. conventional: whether fork commits have to have conventional subjects.
    """

    merge: str
    version: str
    conventional: bool = True

    def __post_init__(self) -> None:
        _require_known(self.merge, "tag", "production")
        _require_known(self.version, "version")


class Markers(_Table, frozen=True):
    """How the fork marks its own blocks in upstream's files."""

    fork: str


class Rule(_Table, frozen=True):
    """Who wins which conflicts, and why. Paths are patterns as in a .gitignore file."""

    name: str
    paths: tuple[str, ...]
    take: Take
    why: str
    kinds: tuple[Kind, ...] = ()
    deleted_by: Side | None = None
    whole: bool = False

    def __post_init__(self) -> None:
        try:
            globs(self.paths)
        except ValueError as error:
            raise ValueError(f"paths must be patterns: {error}") from None

    @property
    def matcher(self) -> GitIgnoreSpec:
        """The matcher for its paths."""
        return globs(self.paths)

    def unit(self, path: str) -> str:
        """The directory or pattern in its paths that covers a path; the path itself if it is
        listed."""
        for pattern in self.paths:
            if globs([pattern]).match_file(path):
                return pattern.lstrip("/") if re.search(r"[*?\[]|/$", pattern) else path
        return path


class Workflows(_Table, frozen=True):
    """Upstream's workflows that the fork switched off (`disabled`), and when the fork's own looks
    for a release (`schedule`, as cron writes it, in UTC)."""

    disabled: tuple[str, ...] = ()
    schedule: str = "17 */8 * * *"

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[\w*/,-]+( [\w*/,-]+){4}", self.schedule, re.ASCII):
            raise ValueError(f"{self.schedule!r} is not a schedule of five fields, as for cron")


ALONE = r"\A\s*(?P<version>\S+)\s*\Z"
"""The pattern for a file that contains nothing but a version."""


class VersionFile(_Table, frozen=True):
    """A file that states the version: at dotted `keys` of a TOML or JSON file, at the one place
    that `pattern` matches (its group `version`), or, without either, as its only content."""

    path: str
    keys: tuple[str, ...] = ()
    pattern: str = ""

    def __post_init__(self) -> None:
        has_keys = self.path.endswith((".toml", ".json"))
        if self.keys and (self.pattern or not has_keys):
            raise ValueError(
                f"{self.path}: `keys` are for TOML and JSON files; name the place with `pattern`"
                " alone, as in pattern = '^version = (?P<version>.+)$'"
            )
        if has_keys and not (self.keys or self.pattern):
            raise ValueError(f"{self.path}: name the place of the version with `keys`")
        if self.pattern and "version" not in compiled(self.pattern).groupindex:
            raise ValueError(f"{self.path}: pattern {self.pattern!r} has no group (?P<version>...)")


class Feature(_Table, frozen=True):
    """Something the fork has that must never be lost.

    files: paths that must exist. patterns: regular expressions that must each match in one of the
        files. origin: where it came from, for people (a commit, a pull request).
    """

    name: str
    files: tuple[str, ...]
    patterns: tuple[str, ...] = ()
    origin: str = ""

    def __post_init__(self) -> None:
        for pattern in self.patterns:
            compiled(pattern)

    def missing(self, texts: Sequence[str]) -> list[str]:
        """The patterns that match in none of the texts. Raises Refused as `search` does."""
        return [p for p in self.patterns if not any(search(p, text) for text in texts)]


class PullRequests(_Table, frozen=True):
    """Labels of a sync pull request: all of `labels`, one for the outcome of the merge, and one
    while it contains proposals that nobody has accepted.

    reviewers: people whose approving review accepts proposals, besides the owners in CODEOWNERS.
    """

    labels: tuple[str, ...] = ("upstream-sync", "automated")
    clean: str = "clean-merge"
    conflicts: str = "conflicts"
    proposed: str = "proposed"
    reviewers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for label in (*self.labels, self.clean, self.conflicts, self.proposed):
            shown = label.replace("\u200d", "")  # the joiner in emoji
            if not (label.strip() and shown.isprintable() and len(label) <= 50):
                problem = "is not a label that GitHub accepts: 1 to 50 characters, one line"
                raise ValueError(f"{label!r} {problem}")


class Releases(_Table, frozen=True):
    """How the fork names its releases, and the workflow that makes one. The name contains
    ``{upstream}``, upstream's version, and ``{version}``, the fork's own."""

    tag: str
    workflow: str = ""

    def __post_init__(self) -> None:
        for name in ("{upstream}", "{version}"):
            if self.tag.count(name) != 1:
                raise ValueError(f"tag must contain {name}, once")

    def name(self, upstream: str, version: str) -> str:
        """The tag of a release."""
        return self.tag.replace("{upstream}", upstream).replace("{version}", version)


class Images(_Table, frozen=True):
    """The fork's container images: where they go, what they are built from, their tags for
    the production branch (``{branch}``, ``{sha}``) and for a release (``{tag}``, ``{upstream}``,
    ``{version}``)."""

    name: str
    dockerfile: str = "Dockerfile"
    platforms: tuple[str, ...] = ()
    branch: tuple[str, ...] = ()
    release: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for text in self.branch:
            _require_known(text, "branch", "sha")
        for text in self.release:
            _require_known(text, "tag", "upstream", "version")


class Migrations(_Table, frozen=True):
    """Database migrations: the copies of the schema, the directory with one subdirectory per
    migration, ordered by name, and a command line that creates a new one."""

    schemas: tuple[str, ...] = ()
    directory: str = ""
    generate: str = ""


class Commands(_Table, frozen=True):
    """Command lines that build or check a merge; each is split as in a shell but run without one.
    `generate` regenerates files from the merged tree. environment: variables they see besides the
    usual ones; remember that they also run upstream's code."""

    generate: tuple[str, ...] = ()
    install: tuple[str, ...] = ()
    test: tuple[str, ...] = ()
    lint: tuple[str, ...] = ()
    environment: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for line in (*self.generate, *self.install, *self.test, *self.lint):
            try:
                words = shlex.split(line)
            except ValueError as error:
                raise ValueError(f"command {line!r} cannot be split: {error}") from None
            if not words:
                raise ValueError("a command is empty")


class Proposer(_Table, frozen=True):
    """A program that proposes resolutions for open conflicts in some paths (patterns as in rules).

    command: its command line; it reads the question from standard input, as Markdown or JSON
        (`format`), and answers on standard output.
    timeout: seconds. environment: the variables it sees besides PATH and the locale.
    """

    name: str
    command: str
    paths: tuple[str, ...] = ("*",)
    format: Literal["markdown", "json"] = "markdown"
    timeout: int = 120
    environment: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9][\w .-]{0,40}", self.name):
            raise ValueError(f"{self.name!r} cannot be the name of a proposer")
        try:
            globs(self.paths)
            words = shlex.split(self.command)
        except ValueError as error:
            raise ValueError(f"{self.name}: {error}") from None
        if not words or ("/" in words[0] and not words[0].startswith(("/", "~/"))):
            what = "name a program in PATH, or by a path from / or ~/"
            raise ValueError(f"{self.name}: command {self.command!r}: {what}; it runs elsewhere")
        if not 0 < self.timeout <= 3600:
            raise ValueError(f"{self.name}: timeout must be 1 to 3600 seconds")


class Files(_Table, frozen=True):
    """The paths of the files that `fork.adopt` puts into the fork; "" leaves one out.

    sync, release, images, guard: workflows. requirements: the requirements file they install;
    without it, whatever would install it is left out, too.
    makefile, tasks: ways to call the tasks in a checkout. guide, process: documents.
    """

    sync: str = ".github/workflows/fork-upstream-sync.yml"
    release: str = ".github/workflows/fork-release.yml"
    images: str = ".github/workflows/fork-images.yml"
    guard: str = ".github/workflows/fork-guard.yml"
    requirements: str = ".github/carto-fork.txt"
    makefile: str = "fork.mk"
    tasks: str = "fork_tasks.py"
    guide: str = "FORK_GUIDE.md"
    process: str = "docs/FORK_RELEASE_PROCESS.md"

    def __post_init__(self) -> None:
        paths = [path for path in (*msgspec.structs.astuple(self), self.dependencies) if path]
        for path in paths:
            if not _PATH.fullmatch(path) or ".." in path.split("/"):
                raise ValueError(f"{path!r} is not a path inside the fork")
        if len(set(paths)) < len(paths):
            raise ValueError("two of them have the same path")
        for path in (self.sync, self.release, self.images, self.guard):
            if path and not re.fullmatch(r"\.github/workflows/[^/]+\.ya?ml", path):
                raise ValueError(f"{path!r} is not a workflow path for GitHub")
        if self.tasks and not self.tasks.removesuffix(".py").isidentifier():
            raise ValueError(f"{self.tasks!r} is not a collection for invoke")
        if not self.requirements:
            for name in ("sync", "release", "images", "guard", "makefile", "tasks"):
                msgspec.structs.force_setattr(self, name, "")

    @property
    def dependencies(self) -> str:
        """The path of the dependencies, next to the requirements."""
        path = PurePosixPath(self.requirements)
        return str(path.with_stem(f"{path.stem}-dependencies")) if path.name else ""

    @property
    def paths(self) -> frozenset[str]:
        """All of them."""
        return frozenset(filter(None, (*msgspec.structs.astuple(self), self.dependencies)))


class Guide(_Table, frozen=True):
    """What the guide says about this fork alone, in Markdown: its purpose (`about`) and anything
    else a maintainer needs to know (`notes`)."""

    about: str = ""
    notes: str = ""


class Policy(_Table, frozen=True):
    """The effective configuration of a fork.

    largest_text: the size in bytes up to which files are compared line by line.
    """

    name: str
    remotes: Remotes
    branches: Branches
    messages: Messages
    tags: tuple[TagScheme, ...]
    largest_text: int = LARGEST_TEXT
    markers: Markers | None = None
    rules: tuple[Rule, ...] = ()
    workflows: Workflows = Workflows()
    version_files: tuple[VersionFile, ...] = ()
    commands: Commands = Commands()
    feature: tuple[Feature, ...] = ()
    pull_requests: PullRequests = PullRequests()
    releases: Releases | None = None
    images: Images | None = None
    migrations: Migrations = Migrations()
    proposers: tuple[Proposer, ...] = ()
    files: Files = Files()
    guide: Guide = Guide()

    def __post_init__(self) -> None:
        if self.branches.sync.count("{tag}") != 1:
            raise ValueError("branches.sync must contain {tag}, once")
        if self.largest_text < 1:
            raise ValueError("largest_text must be a number of bytes")
        remotes = [self.remotes.origin.name, self.remotes.upstream.name]
        branches = [self.branches.mirror, self.branches.production, self.branches.sync_for("v1")]
        for kind, ours in (("remotes", remotes), ("branches", [*branches, self.branches.upstream])):
            for name in ours:
                if not _NAME.fullmatch(name) or ".." in name or name.endswith(".lock"):
                    raise ValueError(f"{kind}: {name!r} is not a valid name for git")
        for kind, ours in (("remotes", remotes), ("branches", branches)):
            if len(set(ours)) < len(ours):
                raise ValueError(f"{kind}: {', '.join(ours)} must differ from each other")
        workflow, path = self.releases.workflow if self.releases else "", self.files.release
        if workflow and path and workflow != PurePosixPath(path).name:
            both = f"releases.workflow is {workflow!r} and files.release {path!r}"
            raise ValueError(f"{both}: one workflow makes the releases")
        for what, named in (("rules", self.rules), ("proposers", self.proposers)):
            names = [one.name for one in named]
            if doubled := sorted({name for name in names if names.count(name) > 1}):
                raise ValueError(f"two {what} are named {doubled[0]!r}")

    @property
    def version_paths(self) -> frozenset[str]:
        """The files that state the version."""
        return frozenset(file.path for file in self.version_files)

    def proposers_for(self, path: str) -> list[Proposer]:
        """The programs to ask about a conflict in a file, in order."""
        return [one for one in self.proposers if matching(one.paths, [path])]

    @property
    def units(self) -> tuple[Rule, ...]:
        """The rules for generated files: upstream's version as a whole, or not at all."""
        return tuple(rule for rule in self.rules if rule.whole and rule.take is Take.UPSTREAM)

    def generated(self, paths: Iterable[str]) -> dict[str, Rule]:
        """The paths that are generated according to their first matching rule, with that rule."""
        units = self.units
        left = matching([path for rule in units for path in rule.paths], paths)
        rule_of: dict[str, Rule] = {}
        for rule in self.rules if left else ():
            if not rule.deleted_by:
                fitting = matching(rule.paths, left)
                left -= fitting
                rule_of |= dict.fromkeys(fitting, rule) if rule in units else {}
        return rule_of


class Loaded(msgspec.Struct, frozen=True):
    """A policy and where it came from: the fork's own values, from a source, override the
    defaults."""

    policy: Policy
    merged: dict[str, Any]
    own: dict[str, Any]
    source: str

    @property
    def is_default(self) -> bool:
        """Whether it is the policy that ships in the package, without values of the fork."""
        return not self.own


def default_text() -> str:
    """The policy that ships in the package: CARTO's fork of LiteLLM."""
    return resources.files(__package__).joinpath("fork.toml").read_text(encoding="utf-8")


def load_policy(text: str | None = None, source: str = POLICY_FILE) -> Loaded:
    """Read a fork's policy.

    text: the fork's own TOML; None for the default policy. source: its name in messages.
    Raises Invalid with file, key and what was expected.
    """
    default = tomli.loads(default_text())
    if text is None:
        return _checked(default, {}, DEFAULT_SOURCE)
    if too_long(POLICY_FILE, text):
        raise _refused(source, "it is too long to read")
    try:
        own = tomli.loads(text)
    except tomli.TOMLDecodeError as error:
        raise _refused(source, f"not valid TOML: {error}") from None
    extends = own.pop("extends", None)
    if extends not in (None, DEFAULT_NAME):
        raise _refused(source, f"key `extends`: expected {DEFAULT_NAME!r}, got {extends!r}")
    return _checked(default if extends else {}, own, source)


def _checked(base: dict[str, Any], own: dict[str, Any], source: str) -> Loaded:
    merged = _merge(base, own)
    try:
        policy = msgspec.convert(merged, Policy)
    except msgspec.ValidationError as error:
        raise _refused(source, explained(str(error), Policy)) from None
    return Loaded(policy, merged, own, source)


class Invalid(Refused):
    """A policy is not valid. ref: the branch on which it is in force, or ""."""

    ref = ""


def _refused(source: str, problem: str) -> Invalid:
    where = "and commit it; `fork.config` prints what is valid."
    return Invalid(f"{source}: {problem}.", then=f"correct {POLICY_FILE} {where}")


def _merge(base: Any, own: Any) -> Any:
    """The fork's tables merged over the default's, key by key; other values are replaced."""
    if isinstance(base, dict) and isinstance(own, dict):
        return base | {key: _merge(base.get(key), value) for key, value in own.items()}
    return own
