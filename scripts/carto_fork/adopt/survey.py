"""What a clone and its remotes show of a fork, as guesses of its policy."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import PurePosixPath
from typing import Any

from packaging.version import Version
from pathspec import GitIgnoreSpec

from ..fork import records, tags, version_files
from ..fork.policy import POLICY_FILE, Files, TagScheme, TagUse
from ..run import git, github
from ..run.errors import Refused, Usage
from ..run.git import Refs, Repository, Tree
from ..run.shell import Shell, scrub
from ..run.text import counted, printable


class Surety(Enum):
    """How sure a guess is."""

    CERTAIN = "certain"
    LIKELY = "likely"
    GUESS = "guess"


@dataclass(frozen=True)
class Guess:
    """A value of the policy: its dotted key, or that of a list of tables; how sure it is, and what
    it is taken from. None is no value: why it is left out is all there is to say."""

    key: str
    value: Any
    surety: Surety
    why: str


@dataclass(frozen=True)
class Asked:
    """What a person said; "" where nothing."""

    name: str = ""
    upstream: str = ""
    production: str = ""
    mirror: str = ""


_SAID = "you said so"
_UPSTREAM_NAMES = ("upstream", "source", "original", "parent")
_SHORT_LIVED = re.compile(
    r"(feature|feat|fix|bugfix|hotfix|chore|dependabot|renovate|adopt|heal)/.*"
)
_LOCKFILES = (
    "package-lock.json",
    "npm-shrinkwrap.json",
    "yarn.lock",
    "pnpm-lock.yaml",
    "bun.lock",
    "poetry.lock",
    "uv.lock",
    "Pipfile.lock",
    "Cargo.lock",
    "Gemfile.lock",
    "composer.lock",
)
_WORKFLOWS = ".github/workflows/"
_BUILT = ("dist", "build", "out", "vendor", "_build")
_FEWEST_BUILT = 3
# Whole words, as in `rc.1`, `2b1` and `devMCP`, not as in `device`.
_NEVER = re.compile(
    r"(?<![A-Za-z])(?i:alpha|beta|rc|candidate|dev(el(opment)?)?|nightly|night"
    r"|pre(alpha|beta|release|view)?|canary|snapshot|test(ing)?|draft|staging|experimental"
    r"|insiders|next|edge|[ab](?=\d|$))(?![a-z]|(?<=[A-Z])[A-Z])"
)
_STABLE = re.compile(r"[-.+_]?(stable|final|release|lts|ga)", re.IGNORECASE)
# Numbers with dots, if there are any: a product may have a number in its name.
_VERSION = re.compile(
    r"(?P<before>.*?(?<![A-Za-z0-9])v?(?=\d+\.\d)|.*?)(?P<version>\d+(?:\.\d+)*)(?P<after>.*)"
)


@dataclass(frozen=True)
class _Remote:
    """A remote's name, its URL, and what it has now; head: its first branch."""

    name: str
    url: str
    head: str
    there: Refs

    @property
    def branches(self) -> dict[str, str]:
        return {
            ref.removeprefix("refs/heads/"): commit
            for ref, commit in self.there.objects.items()
            if ref.startswith("refs/heads/")
        }


def guesses(sh: Shell, repository: Repository, asked: Asked) -> list[Guess]:
    """The policy of a fork, value by value.

    Raises Refused where a remote cannot be reached or has no branch to build on, Usage where a
    person has to say what cannot be seen.
    """
    return list(_Survey(sh, repository, asked).all())


class _Survey:
    def __init__(self, sh: Shell, repository: Repository, asked: Asked) -> None:
        self._sh, self._repo, self._asked = sh, repository.path, asked
        settings = git.config(sh, repository.path)
        urls = {
            key.removeprefix("remote.").removesuffix(".url"): values[0]
            for key, values in settings.items()
            if key.startswith("remote.") and key.endswith(".url")
        }
        self._refs = git.refs(sh, repository.path)
        upstream, self._upstream_why = self._find_upstream(urls)
        url = self._asked.upstream or urls[upstream]
        self.upstream = self._ask(upstream, url, upstream if upstream in urls else url)
        others = [name for name in urls if name != upstream]
        if not others:
            raise Refused(
                "this clone has no remote for the fork itself.",
                then=f"{git.at(self._repo)} remote add origin URL, "
                "then run the same command again.",
            )
        origin = "origin" if "origin" in others else others[0]
        self._origin_sure = origin == "origin" or len(others) == 1
        self.origin = self._ask(origin, urls[origin], origin)

    def _find_upstream(self, urls: Mapping[str, str]) -> tuple[str, tuple[Surety, str]]:
        if self._asked.upstream:
            for name, url in urls.items():
                if git.same_repository(url, self._asked.upstream):
                    return name, (Surety.CERTAIN, _SAID)
            if there := urls.get("upstream"):
                raise Refused(
                    f"the remote `upstream` is {scrub(there)}, not {scrub(self._asked.upstream)}.",
                    then=f"{git.at(self._repo)} remote rename upstream another-name, "
                    "then run the same command again.",
                )
            return "upstream", (Surety.CERTAIN, _SAID)
        named = [name for name in _UPSTREAM_NAMES if name in urls]
        if named:
            return named[0], (Surety.CERTAIN, "the remote of that name")
        others = [name for name in urls if name != "origin"]
        if len(urls) == 2 and len(others) == 1:
            return others[0], (Surety.LIKELY, "the other one of two remotes")
        raise Usage(
            f"nothing here says what upstream is: the remotes are {', '.join(urls) or 'none'}.",
            then="add --upstream, the URL of the original repository.",
        )

    def _ask(self, name: str, url: str, remote: str) -> _Remote:
        words = ["git", "-C", str(self._repo), "ls-remote", "--symref", "--end-of-options", remote]
        answer = self._sh.read([*words, "HEAD", "refs/heads/*", "refs/tags/*"])
        if not answer.ok:
            raise Refused(
                f"the remote `{name}` cannot be reached.",
                then="check the network and your access, then run the same command again.",
            )
        head = re.search(r"^ref: refs/heads/(\S+)\tHEAD$", answer.out, re.MULTILINE)
        lines = [line for line in answer.out.splitlines() if not line.startswith("ref: ")]
        return _Remote(name, url, head[1] if head else "", git.parsed_refs("\n".join(lines)))

    def all(self) -> Iterator[Guess]:
        """Every guess, in the order of the file."""
        yield self._name()
        sure = Surety.CERTAIN if self._origin_sure else Surety.LIKELY
        origin, upstream = self.origin, self.upstream
        yield Guess("remotes.origin", _remote(origin), sure, "the clone's remote")
        yield Guess("remotes.upstream", _remote(upstream), *self._upstream_why)
        production, mirror, branch = self._branches()
        yield from (mirror, branch, production)
        yield Guess("branches.sync", "upstream-sync/{tag}", Surety.LIKELY, "nothing speaks against")
        merge = "chore: merge upstream {tag} into {production}"
        yield Guess("messages.merge", merge, Surety.LIKELY, "a conventional commit")
        version = "chore: update version to {version}"
        yield Guess("messages.version", version, Surety.LIKELY, "a conventional commit")
        commit = self._commit(production.value)
        tree = git.tree(self._sh, self._repo, commit) if commit else {}
        yield self._marker(tree)
        classes = list(schemes(filter(str.isprintable, self.upstream.there.tags())))
        release, own = self._releases()
        yield Guess("tags", own, release.surety, "releases of the fork's own")
        yield from classes
        found = [TagScheme(**{**g.value, "use": TagUse(g.value["use"])}) for g in classes]
        yield from self._rest(tree, commit, found, release)

    # --- Names and branches ----------------------------------------------------------------------

    def _name(self) -> Guess:
        if self._asked.name:
            return Guess("name", self._asked.name, Surety.CERTAIN, _SAID)
        slug = github.slug_of(self.origin.url) or "fork/fork"
        return Guess("name", slug.partition("/")[0], Surety.GUESS, "the owner of the remote")

    def _branches(self) -> tuple[Guess, Guess, Guess]:
        """The production branch, the mirror, and upstream's development branch."""
        names = self.upstream.branches
        branch = self.upstream.head or ("main" if "main" in names else next(iter(names), "main"))
        sure = Surety.CERTAIN if self.upstream.head else Surety.GUESS
        development = Guess("branches.upstream", branch, sure, "upstream's first branch")
        own = {name: self._own(name) for name in self.origin.branches}
        production = self._production(own)
        if self._asked.mirror:
            mirror = Guess("branches.mirror", self._asked.mirror, Surety.CERTAIN, _SAID)
        elif branch == production.value or own.get(branch):
            why = f"{branch} has commits of the fork's own"
            mirror = Guess("branches.mirror", f"upstream-{branch}", Surety.GUESS, why)
        elif branch in own:
            why = "it is named like upstream's, and holds nothing of the fork's own"
            mirror = Guess("branches.mirror", branch, Surety.LIKELY, why)
        else:
            why = "the fork has none yet; `sync-main` makes it"
            mirror = Guess("branches.mirror", branch, Surety.LIKELY, why)
        return production, mirror, development

    def _production(self, own: Mapping[str, int]) -> Guess:
        key, there = "branches.production", self._asked.production
        if there:
            if there not in own:
                raise Refused(
                    f"{self.origin.name} has no branch {there}.",
                    then=f"push it first: {git.at(self._repo)} push {self.origin.name} {there}",
                )
            return Guess(key, there, Surety.CERTAIN, _SAID)
        with_own = {n: count for n, count in own.items() if count and not _SHORT_LIVED.fullmatch(n)}
        if self.origin.head in with_own:
            return Guess(key, self.origin.head, Surety.LIKELY, "the fork's first branch")
        if not with_own:
            raise Usage(
                f"no branch of {self.origin.name} has commits that upstream has not.",
                then="add --production, the branch that production is built from.",
            )
        name = max(with_own, key=lambda name: (with_own[name], name))
        sure = Surety.LIKELY if len(with_own) == 1 else Surety.GUESS
        why = f"{counted(with_own[name], 'commit')} of the fork's own"
        return Guess(key, name, sure, why)

    def _own(self, branch: str) -> int:
        """How many commits a branch of the fork's has that upstream, as known here, has not."""
        commit = self._commit(branch)
        if not commit:
            return 0
        here = set(self._refs.commits.values())
        theirs = set(self.upstream.there.commits.values()) & here
        prefix = f"refs/remotes/{self.upstream.name}/"
        theirs |= {c for ref, c in self._refs.commits.items() if ref.startswith(prefix)}
        words = ["git", "-C", str(self._repo), "rev-list", "--count", "--stdin", commit]
        answer = self._sh.read(words, feed=[f"^{name}" for name in sorted(theirs)])
        return int(git.checked(answer, "number of commits").out)

    def _commit(self, branch: str) -> str:
        """A branch of origin's, as far as it is here."""
        known = self._refs.commits
        here = known.get(f"refs/remotes/{self.origin.name}/{branch}", "")
        commit = self.origin.branches.get(branch, "")
        return commit if commit in known.values() else here

    # --- Tags ------------------------------------------------------------------------------------

    def _releases(self) -> tuple[Guess, dict[str, str]]:
        """How the fork names its releases, and the class of those names."""
        upstream = set(self.upstream.there.tags())
        own = [n for n in self.origin.there.tags() if n not in upstream and n.isprintable()]
        shape = r"(.*?)(\d+(?:\.\d+)+)(.*?)(\d+\.\d+\.\d+)"
        shapes = [(found[1], found[3]) for name in own if (found := re.fullmatch(shape, name))]
        if shapes:
            (before, between), count = Counter(shapes).most_common(1)[0]
            sure, why = Surety.LIKELY, f"{counted(count, 'tag')} of the fork's own"
        else:
            before, between = f"{_slugged(str(self._name().value))}-v", "-"
            sure, why = Surety.GUESS, "the fork has no releases yet"
        name = f"{before}{{upstream}}{between}{{version}}"
        pattern = (
            rf"{_plain(before)}(?P<version>\d+(\.\d+)*){_plain(between)}"
            r"(?P<build>\d+\.\d+\.\d+)"
        )
        scheme = {"name": "own release", "pattern": pattern, "use": TagUse.OWN.value}
        return Guess("releases.tag", name, sure, why), scheme

    # --- Files -----------------------------------------------------------------------------------

    def _marker(self, tree: Mapping[str, Any]) -> Guess:
        slashes = any(path in tree for path in ("package.json", "go.mod", "Cargo.toml"))
        name = str(self._name().value)
        marker = f"{'//' if slashes else '#'} {name}:"
        return Guess("markers.fork", marker, Surety.GUESS, "how comments begin here")

    def _rest(
        self, tree: Tree, commit: str, schemes: Sequence[TagScheme], release: Guess
    ) -> Iterator[Guess]:
        theirs = self._upstream_paths()
        workflows = [p for p in tree if p.startswith(_WORKFLOWS)]
        off = {path: on for path in workflows if (on := _switched_on(path)) in theirs}
        own = [p for p in workflows if theirs and p not in theirs and p not in off]
        yield from _usual_rules(own, off, sure=bool(theirs))
        yield from self._generated(tree, commit, schemes)
        stated = list(self._version_files(tree, commit, schemes))
        if stated:
            yield _rule(
                "version",
                [f"/{guess.value['path']}" for guess in stated],
                "version",
                "The version comes from the upstream tag.",
                Surety.LIKELY,
                "the version files",
                kinds=["content"],
            )
        if both := [path for path in ("Dockerfile", "Makefile", "go.sum") if path in tree]:
            yield _rule(
                "additions of both",
                [f"/{path}" for path in both],
                "both",
                "Additions of both sides stay; what touches a marked block is for a person.",
                Surety.GUESS,
                "files that both sides add to",
                kinds=["content"],
            )
        # What upstream added after the fork left it is not there, and nobody removed it.
        left = {p for base in self._bases(commit, schemes) for p in self._tree(base)}
        gone = {p for p in theirs & left if p.startswith(_WORKFLOWS) and p not in tree}
        if disabled := {*off.values(), *gone}:
            why = "upstream has them, and the fork renamed or removed them"
            yield Guess("workflows.disabled", sorted(disabled), Surety.LIKELY, why)
        yield from stated
        yield from self._commands(tree, commit)
        yield release
        workflow = PurePosixPath(Files().release).name
        yield Guess("releases.workflow", workflow, Surety.CERTAIN, "what `adopt` puts there")
        yield from self._images(tree)

    def _images(self, tree: Tree) -> Iterator[Guess]:
        slug = github.slug_of(self.origin.url)
        docker = next((path for path in tree if path.endswith("Dockerfile")), "")
        if slug and docker:
            name, why = f"ghcr.io/{slug.lower()}", "names that say what they are"
            yield Guess("images.name", name, Surety.GUESS, "GitHub's registry for this repository")
            yield Guess("images.dockerfile", docker, Surety.LIKELY, "the one that there is")
            yield Guess("images.branch", ["{branch}-latest", "{branch}-{sha}"], Surety.GUESS, why)
            yield Guess("images.release", ["{tag}"], Surety.GUESS, why)

    def _upstream_paths(self) -> set[str]:
        """The files of upstream's development branch, as far as that is here."""
        commit = self._upstream_branch()
        return set(self._tree(commit)) if commit else set()

    def _tree(self, commit: str) -> Tree:
        return git.tree(self._sh, self._repo, commit)

    def _upstream_branch(self) -> str:
        """The commit of upstream's development branch, as far as it is here; "" if it is not."""
        ref = f"refs/remotes/{self.upstream.name}/{self.upstream.head or 'main'}"
        return self._refs.commits.get(ref, "")

    def _generated(self, tree: Tree, commit: str, schemes: Sequence[TagScheme]) -> Iterator[Guess]:
        """Rules that take upstream's whole file, where the fork has nothing of its own to lose."""
        changed = self._changed(tree, commit, schemes)
        locks = [name for name in _LOCKFILES if any(PurePosixPath(p).name == name for p in tree)]
        marked = [
            line.split()[0]
            for line in self._text(commit, ".gitattributes").splitlines()
            if re.match(r"[^#\s]\S*\s(.*\s)?linguist-generated(=true)?(\s|$)", line)
        ]
        for paths, why in (
            (locks, "lockfiles, by their names"),
            (marked, ".gitattributes calls them generated"),
        ):
            kept = [path for path in paths if not _fit(path, changed)]
            if kept:
                yield _rule(
                    f"generated: {why.partition(',')[0]}",
                    kept,
                    "upstream",
                    "Two builds cannot be mixed, so upstream's stays whole.",
                    Surety.CERTAIN,
                    why,
                    whole=True,
                )
            if lost := ", ".join(path for path in paths if path not in kept):
                why = f"no rule takes upstream's whole {lost}: it seems that the fork changed it"
                yield Guess("rules", None, Surety.CERTAIN, why)
        built = Counter(
            f"/{'/'.join(parts[: number + 1])}/"
            for path in tree
            for parts in [path.split("/")[:-1]]
            for number, part in enumerate(parts)
            if part in _BUILT and not set(parts[:number]) & set(_BUILT)
        )
        for path, count in built.items():
            if count >= _FEWEST_BUILT:
                why = f"no rule takes upstream's whole {path}: only its name says that it was built"
                yield Guess("rules", None, Surety.GUESS, why)

    def _changed(self, tree: Tree, commit: str, schemes: Sequence[TagScheme]) -> set[str]:
        """The files that the fork has not as upstream had them where it left it; all of them,
        where that is not known."""
        changed = set(tree)
        for number, base in enumerate(self._bases(commit, schemes)):
            known = self._tree(base)
            differing = {p for p in {*tree, *known} if tree.get(p) != known.get(p)}
            changed = changed & differing if number else differing
        return changed

    def _bases(self, commit: str, schemes: Sequence[TagScheme]) -> list[str]:
        """Where a branch of the fork's left upstream: its branch, and the newest release in its
        history; as far as they are here."""
        theirs = self._upstream_branch()
        bases = git.merge_bases(self._sh, self._repo, commit, theirs) if commit and theirs else []
        if release := self._released(commit, schemes):
            bases.append(self.upstream.there.commits[f"refs/tags/{release.name}"])
        return bases

    def _version_files(
        self, tree: Mapping[str, Any], commit: str, schemes: Sequence[TagScheme]
    ) -> Iterator[Guess]:
        known = {
            "pyproject.toml": ("project.version", "tool.poetry.version"),
            "package.json": ("version",),
            "Cargo.toml": ("package.version", "workspace.package.version"),
            "VERSION": (),
        }
        released = self._released(commit, schemes)
        for path, keys in known.items():
            if path not in tree:
                continue
            try:
                stated = version_files.read(self._text(commit, path), keys, path)
            except Refused:
                continue
            if not stated or not re.match(r"\d+\.\d+", next(iter(stated.values()))):
                continue
            value: dict[str, Any] = {"path": path}
            if keys:
                value["keys"] = list(stated)
            version = next(iter(stated.values()))
            same = released and version == version_files.spelled(released.release, path)
            why = f"it states {version}" + (f", like {released.name}" if same and released else "")
            yield Guess("version_files", value, Surety.CERTAIN if same else Surety.LIKELY, why)

    def _released(self, commit: str, schemes: Sequence[TagScheme]) -> tags.Tag | None:
        """The newest stable release in the history of a commit."""
        has = git.history(self._sh, self._repo, commit) if commit else set()
        theirs = self.upstream.there
        names = [n for n in theirs.tags() if theirs.commits[f"refs/tags/{n}"] in has]
        return tags.newest(names, schemes, TagUse.AUTOMATIC, TagUse.ON_REQUEST)

    def _commands(self, tree: Mapping[str, Any], commit: str) -> Iterator[Guess]:
        """Command lines of the Makefile, else of what the project is built with."""
        made = re.findall(r"^([\w-]+):(?!=)", self._text(commit, "Makefile"), re.MULTILINE)
        targets = {
            "install": ("install-dev", "install", "deps", "bootstrap"),
            "test": ("test-unit", "test"),
            "lint": ("lint", "check"),
        }
        usual = self._usual_commands(tree, commit)
        for kind, names in targets.items():
            if target := next((name for name in names if name in made), ""):
                why = "a target of the Makefile"
                yield Guess(f"commands.{kind}", [f"make {target}"], Surety.LIKELY, why)
            elif line := usual.get(kind):
                why = "how projects of this kind are built"
                yield Guess(f"commands.{kind}", [line], Surety.LIKELY, why)

    def _usual_commands(self, tree: Mapping[str, Any], commit: str) -> dict[str, str]:
        if "package.json" in tree:
            return self._scripts(tree, commit)
        if "go.mod" in tree:
            return {
                "install": "go mod download",
                "test": "go test ./...",
                "lint": "go vet ./...",
            }
        if "Cargo.toml" in tree:
            return {"install": "cargo fetch", "test": "cargo test", "lint": "cargo clippy"}
        if "uv.lock" in tree:
            return {"install": "uv sync --frozen", "test": "uv run pytest"}
        if "poetry.lock" in tree:
            return {"install": "poetry install", "test": "poetry run pytest"}
        return {}

    def _scripts(self, tree: Mapping[str, Any], commit: str) -> dict[str, str]:
        try:
            scripts = json.loads(self._text(commit, "package.json")).get("scripts", {})
        except (ValueError, AttributeError):
            return {}
        program = "npm"
        install = "npm ci" if "package-lock.json" in tree else "npm install"
        if "yarn.lock" in tree:
            program, install = "yarn", "yarn install --frozen-lockfile"
        elif "pnpm-lock.yaml" in tree:
            program, install = "pnpm", "pnpm install --frozen-lockfile"
        lines = {name: f"{program} run {name}" for name in ("test", "lint") if name in scripts}
        return {"install": install, **lines}

    def _text(self, commit: str, path: str) -> str:
        return (git.show(self._sh, self._repo, commit, path) or "") if commit else ""


def schemes(names: Iterable[str]) -> Iterator[Guess]:
    """A class for each family of upstream's tag names, that of its stable releases first.

    Raises Usage where none looks like a stable release.
    """
    families: dict[tuple[str, int, str], list[str]] = defaultdict(list)
    for name in names:
        if found := _VERSION.fullmatch(name):
            after = re.sub(r"\d+", "0", found["after"])
            families[found["before"], found["version"].count("."), after].append(name)
    usable = {f: group for f, group in families.items() if not _NEVER.search(f"{f[0]}0")}
    plain = {family: group for family, group in usable.items() if not family[2]}
    marked = {f: group for f, group in usable.items() if f[2] and _STABLE.fullmatch(f[2])}
    stable = plain | marked
    if not stable:
        raise Usage(
            "upstream has no tag that looks like a stable release.",
            then="write `[[tags]]` by hand: `config` prints those of another fork.",
        )
    sizes = {family: len(group) for family, group in stable.items()}
    # A name that says so outranks one that does not; else the most used prefix.
    main = max(stable, key=lambda family: (family in marked, sizes[family]))
    for family in sorted(stable, key=lambda family: (family != main, -sizes[family])):
        yield _stable_scheme(family, stable[family], family == main, main, len(stable))
    rest = [family for family in families if family not in stable]
    for before, dots, after in sorted(rest, key=lambda family: family[2]):
        group = families[before, dots, after]
        never = bool(_NEVER.search(f"{before}0{after}"))
        why = f"{counted(len(group), 'tag')} such as {max(group, key=_order)}"
        value = {
            "name": _label(before, after.replace("0", "")),
            "pattern": _pattern(before, dots, _plain(after).replace("0", r"\d+")),
            "use": (TagUse.NEVER if never else TagUse.ON_REQUEST).value,
        }
        yield Guess("tags", value, Surety.LIKELY if never else Surety.GUESS, why)


def _remote(found: _Remote) -> dict[str, str]:
    slug = github.slug_of(found.url)
    # What the clone logs in with is nobody else's business.
    url = re.sub(r"^(https?)://[^/@]*@", r"\1://", found.url)
    return {"name": found.name, "url": f"https://github.com/{slug}.git" if slug else url}


def _slugged(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "fork"


def _order(name: str) -> tuple[Version, str]:
    found = _VERSION.fullmatch(name)
    return Version(found["version"] if found else "0"), name


def _pattern(before: str, dots: int, after: str) -> str:
    version = r"\d+" + r"\.\d+" * dots
    return f"{_plain(before)}(?P<version>{version}){after}"


def _plain(text: str) -> str:
    """A pattern for nothing but a text; a dash needs no care outside brackets."""
    return re.escape(text).replace(r"\-", "-")


def _label(before: str, after: str) -> str:
    told = [re.sub(r"[^\w]+", " ", part).strip() for part in (before, after)]
    return " ".join(filter(None, told)) or "plain version"


def _stable_scheme(
    family: tuple[str, int, str],
    names: Sequence[str],
    is_main: bool,
    main: tuple[str, int, str],
    families: int,
) -> Guess:
    before, dots, after = family
    same_prefix = before == main[0]
    use = TagUse.AUTOMATIC if is_main else TagUse.ON_REQUEST if same_prefix else TagUse.NEVER
    sure = Surety.CERTAIN if is_main and families == 1 else Surety.LIKELY
    if not (is_main or same_prefix):
        sure = Surety.GUESS
    value = {
        "name": f"stable {_label(before, after)}{'' if is_main else f' of {dots + 1} numbers'}",
        "pattern": _pattern(before, dots, _plain(after)),
        "use": use.value,
    }
    why = f"{counted(len(names), 'tag')} such as {max(names, key=_order)}"
    return Guess("tags", value, sure, why)


def _switched_on(path: str) -> str:
    """The workflow that one more suffix switched off; "" where a file is none."""
    found = re.fullmatch(r"(.*\.ya?ml)\.[^/.]+", path)
    return found[1] if found else ""


def _fit(pattern: str, paths: Iterable[str]) -> bool:
    """Whether one of some paths fits a pattern; any may, where git would not take it."""
    try:
        spec = GitIgnoreSpec.from_lines([pattern])
    except ValueError:
        return True
    return any(map(spec.match_file, paths))


def _usual_rules(own: Sequence[str], off: Mapping[str, str], *, sure: bool) -> Iterator[Guess]:
    """The rules that forks usually want.

    own: the fork's own workflows. off: upstream's that it renamed, and what they were called.
    sure: whether that is known, and not only supposed.
    """
    paths = [*sorted(Files().paths), POLICY_FILE, records.DROPS_FILE, records.TAGS_FILE, *own]
    yield _rule(
        "files of the fork",
        [f"/{path}" for path in dict.fromkeys(paths)],
        "fork",
        "Only the fork has them.",
        Surety.CERTAIN if sure else Surety.LIKELY,
        f"what `adopt` puts there, and {counted(len(own), 'file')} beside upstream's workflows",
        whole=True,
    )
    if off:
        yield _rule(
            "disabled stays disabled",
            [f"/{path}" for path in sorted(off)],
            "fork",
            "The fork switched this workflow off by renaming it.",
            Surety.LIKELY,
            "their names",
            whole=True,
        )
    yield _rule(
        "removed stays removed",
        ["*"],
        "fork",
        "The fork deleted this file on purpose; upstream's change to it has no place to go.",
        Surety.LIKELY,
        "what forks usually want",
        kinds=["modify/delete"],
        deleted_by="fork",
    )
    yield _rule(
        "workflows",
        [f"/{_WORKFLOWS}"],
        "fork",
        "The fork decides what runs on its own GitHub.",
        Surety.LIKELY,
        "what forks usually want",
        kinds=["content", "add/add", "mode"],
    )


def _rule(
    name: str, paths: Sequence[str], take: str, why: str, surety: Surety, because: str, **more: Any
) -> Guess:
    value = {"name": name, "paths": list(paths), "take": take, **more, "why": why}
    return Guess("rules", value, surety, because)


def toml(found: Iterable[Guess]) -> str:
    """The guesses as the text of a policy, each with a comment that says how sure it is."""
    lines = [
        "# The policy of this fork: everything that is true of it and of no other. Each value says",
        "# how sure `init` was of it; look at what is not certain, and remove the comments.",
        "",
    ]
    table = ""
    for guess in found:
        comment = f"# {guess.surety.value}: {printable(guess.why)}"
        if guess.value is None:
            lines += ["", comment]
            continue
        if guess.key in ("tags", "rules", "version_files"):
            lines += ["", f"[[{guess.key}]]", comment]
            lines += [f"{key} = {_value(value)}" for key, value in guess.value.items()]
            continue
        above, _, key = guess.key.rpartition(".")
        if above != table:
            lines += ["", f"[{above}]"]
            table = above
        lines += [comment, f"{key} = {_value(guess.value)}"]
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    """A value in TOML."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_value(each)}" for key, each in value.items()) + " }"
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    if "\\" in value and "'" not in value:
        return f"'{value}'"
    return json.dumps(value, ensure_ascii=False)


def said(asked: Asked, key: str, text: str) -> Asked:
    """What a person said, with one more answer to a guess."""
    field = {"remotes.upstream": "upstream"}.get(key, key.rpartition(".")[2])
    return replace(asked, **{field: text})
