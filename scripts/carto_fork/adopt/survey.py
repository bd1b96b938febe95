"""Guesses of a fork's policy from what its clone and remotes show."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Set
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from shlex import quote
from typing import Any

from pathspec import GitIgnoreSpec

from ..fork import generated, records, releases, setup, tags
from ..fork.fork import unfetched
from ..fork.patterns import globs
from ..fork.policy import POLICY_FILE, Files
from ..fork.tags import TagScheme, TagUse
from ..run import git, github
from ..run.errors import Refused, Usage
from ..run.git import Refs, Repository, Tree
from ..run.shell import Shell
from ..run.text import counted, listed, scrub
from . import conventions, versions
from .conventions import Guess, Surety

CERTAIN, LIKELY, GUESS = Surety


@dataclass(frozen=True)
class Asked:
    """Values that a person gave; "" for those not given."""

    name: str = ""
    upstream: str = ""
    production: str = ""
    mirror: str = ""


_SAID = "you said so"
_SHORT_LIVED = re.compile(r"(feat(ure)?|(bug|hot)?fix|chore|dependabot|renovate|adopt|heal)/.*")
_WORKFLOWS = ".github/workflows/"
_FEWEST_BUILT = 3
_MOST_READ = 12
_NEWEST = 100
"""The fork commits whose subjects are read."""
_WHOLE: dict[str, Any] = {"whole": True}
_CONTENT: dict[str, Any] = {"kinds": ["content"]}
# For each rule, by the beginning of its name: what it takes, its other keys, and its reason.
_RULES = {
    "files of the fork": ("fork", _WHOLE, "Only the fork has them."),
    "disabled stays disabled": (
        "fork",
        _WHOLE,
        "The fork switched this workflow off by renaming it.",
    ),
    "removed stays removed": (
        "fork",
        {"kinds": ["modify/delete"], "deleted_by": "fork"},
        "The fork deleted this file on purpose; upstream's change to it has no place to go.",
    ),
    "generated": ("upstream", _WHOLE, "Two builds cannot be mixed, so upstream's is taken whole."),
    "version": ("version", _CONTENT, "The version comes from the upstream tag."),
    "additions of both": (
        "both",
        _CONTENT,
        "Additions of both sides stay; a person decides what touches a marked block.",
    ),
}


@dataclass(frozen=True)
class _Remote:
    """A remote's name, its URL, and its refs now; head: its default branch."""

    name: str
    url: str
    head: str
    refs: Refs

    def guess(self, key: str, surety: Surety, why: str) -> Guess:
        """The policy's entry for this remote."""
        slug = github.slug_of(self.url)
        # The policy is committed: the credentials in this clone's URL must not get there.
        url = re.sub(r"^(https?)://[^/@]*@", r"\1://", self.url)
        url = f"https://github.com/{slug}.git" if slug else url
        return Guess(key, {"name": self.name, "url": url}, surety, why)


def guesses(sh: Shell, repository: Repository, asked: Asked) -> list[Guess]:
    """The policy of a fork, value by value.

    Raises Refused if a remote cannot be reached or lacks the production branch, Usage if a person
    has to give a value that cannot be guessed.
    """
    return list(_Survey(sh, repository.path, asked).all())


class _Survey:
    """What a clone shows of a fork: its remotes at once, the rest when `all` needs it."""

    def __init__(self, sh: Shell, path: Path, asked: Asked) -> None:
        self._sh, self._path, self._asked = sh, path, asked
        urls = {
            key.removeprefix("remote.").removesuffix(".url"): values[0]
            for key, values in git.config(sh, path).items()
            if key.startswith("remote.") and key.endswith(".url")
        }
        self._refs = git.refs(sh, path)
        upstream, self._upstream_why = self._find_upstream(urls)
        url = asked.upstream or urls[upstream]
        self.upstream = self._ask(upstream, url, upstream if upstream in urls else url)
        others = [name for name in urls if name != upstream]
        at, again = git.at(path), "then run the same command again."
        if not others:
            problem = "this clone has no remote for the fork itself."
            raise Refused(problem, then=f"{at} remote add origin URL, {again}")
        if not setup.is_fetched(self._refs, upstream):
            problem = f"{unfetched(upstream)}, and the policy is guessed from how the fork differs "
            problem += "from it."
            add = (
                f"{at} remote add upstream {quote(scrub(url))} && " if upstream not in urls else ""
            )
            raise Refused(problem, then=f"{add}{at} fetch --tags {quote(upstream)}, {again}")
        origin = "origin" if "origin" in others else others[0]
        self._origin_surety = CERTAIN if origin == "origin" or len(others) == 1 else LIKELY
        self.origin = self._ask(origin, urls[origin], origin)
        # Upstream's development branch; "" if the clone lacks it.
        ref = f"refs/remotes/{upstream}/{self.upstream.head or 'main'}"
        self._upstream_branch = self._refs.commits.get(ref, "")
        self._slug = github.slug_of(self.origin.url)
        self._name = asked.name or (self._slug or "fork").partition("/")[0]

    def _find_upstream(self, urls: Mapping[str, str]) -> tuple[str, tuple[Surety, str]]:
        if self._asked.upstream:
            for name, url in urls.items():
                if github.same_repository(url, self._asked.upstream):
                    return name, (CERTAIN, _SAID)
            if other := urls.get("upstream"):
                raise Refused(
                    f"the remote `upstream` is {scrub(other)}, not {scrub(self._asked.upstream)}.",
                    then=f"{git.at(self._path)} remote rename upstream another-name, "
                    "then run the same command again.",
                )
            return "upstream", (CERTAIN, _SAID)
        if name := setup.upstream_among(urls):
            if name in setup.UPSTREAM_NAMES:
                return name, (CERTAIN, "the remote of that name")
            return name, (LIKELY, "the other of two remotes")
        raise Usage(
            f"no remote is named like an upstream: the remotes are {', '.join(urls) or 'none'}.",
            then="add --upstream with the URL of the original repository.",
        )

    def _ask(self, name: str, url: str, remote: str) -> _Remote:
        words = ["git", "-C", str(self._path), "ls-remote", "--symref", "--end-of-options", remote]
        answer = self._sh.read([*words, "HEAD", "refs/heads/*", "refs/tags/*"])
        if not answer.ok:
            raise Refused(
                f"the remote `{name}` cannot be reached.",
                then="check the network and your access, then run the same command again.",
            )
        head = re.search(r"^ref: refs/heads/(\S+)\tHEAD$", answer.out, re.MULTILINE)
        lines = [line for line in answer.out.splitlines() if not line.startswith("ref: ")]
        if github.is_local(url) and "://" not in url:  # others have their clones elsewhere
            url = str((self._path / url).resolve())
        return _Remote(name, url, head[1] if head else "", git.parsed_refs("\n".join(lines)))

    def all(self) -> Iterator[Guess]:
        """Every guess, in the order of the policy file."""
        if self._asked.name:
            yield Guess("name", self._name, CERTAIN, _SAID)
        else:
            yield Guess(
                "name",
                self._name,
                GUESS,
                "the owner of the remote"
                if self._slug
                else "an example: markers and tags begin with it",
            )
        yield self.origin.guess("remotes.origin", self._origin_surety, "the clone's remote")
        yield self.upstream.guess("remotes.upstream", *self._upstream_why)
        own = {branch: self._own(branch) for branch in self.origin.refs.branches()}
        names = self.upstream.refs.branches()
        head = self.upstream.head
        branch = head or ("main" if "main" in names else next(iter(names), "main"))
        production = self._production(own)
        yield self._mirror(branch, production.value, own)
        why = "upstream's default branch"
        yield Guess("branches.upstream", branch, CERTAIN if head else GUESS, why)
        yield production
        yield Guess("branches.sync", "upstream-sync/{tag}", LIKELY, "the usual name")
        merge = "chore: merge upstream {tag} into {production}"
        yield Guess("messages.merge", merge, LIKELY, "a conventional commit")
        version = "chore: update version to {version}"
        yield Guess("messages.version", version, LIKELY, "a conventional commit")
        self._commit = self._commit_of(production.value)
        yield from self._subjects()
        self._tree = self._files(self._commit)
        marker = f"{conventions.comment(self._tree)} {self._name}:"
        yield Guess("markers.fork", marker, GUESS, "how comments begin in most of these files")
        release, own_tags = self._releases()
        yield own_tags
        printable = filter(str.isprintable, self.upstream.refs.tags())
        dates = releases.tag_dates(self._sh, self._path)
        classes = list(conventions.tag_schemes(printable, dates))
        yield from classes
        self._schemes = [TagScheme(**{**g.value, "use": TagUse(g.value["use"])}) for g in classes]
        yield from self._rules_and_files()
        yield from conventions.commands(self._tree, self._text)
        if self._slug or release.surety is LIKELY:  # `release` publishes on GitHub
            yield release
        if self._slug is None:
            yield Guess("files.requirements", "", CERTAIN, "origin is not on GitHub: no workflows")
            return
        workflow = PurePosixPath(self._adopted.release).name
        yield Guess("releases.workflow", workflow, CERTAIN, "the workflow that `fork.adopt` writes")
        yield from self._images()

    @cached_property
    def _adopted(self) -> Files:
        """The files that `fork.adopt` writes."""
        return Files() if self._slug else Files(requirements="", process="")

    def _mirror(self, upstream: str, production: str, own: Mapping[str, int]) -> Guess:
        key = "branches.mirror"
        if self._asked.mirror:
            return Guess(key, self._asked.mirror, CERTAIN, _SAID)
        if upstream == production or own.get(upstream):
            why = (
                f"only follows upstream, which {upstream} cannot: it has fork commits; `sync-main` "
            )
            why += "creates it"
            return Guess(key, f"upstream-{upstream}", GUESS, why)
        if upstream in own:
            why = "it has upstream's name and no fork commits"
        else:
            why = "the fork has none yet; `sync-main` creates it"
        return Guess(key, upstream, LIKELY, why)

    def _production(self, own: Mapping[str, int]) -> Guess:
        key, said, origin = "branches.production", self._asked.production, self.origin
        if said:
            if said not in own:
                raise Refused(
                    f"{origin.name} has no branch {said}.",
                    then=f"push it first: {git.at(self._path)} push {origin.name} {said}",
                )
            return Guess(key, said, CERTAIN, _SAID)
        with_own = {n: count for n, count in own.items() if count and not _SHORT_LIVED.fullmatch(n)}
        if origin.head in with_own:
            return Guess(key, origin.head, LIKELY, "the fork's default branch")
        if not with_own:
            problem = f"no branch of {origin.name} has commits that upstream lacks."
            raise Usage(problem, then="add --production with the branch that you release from.")
        name = max(with_own, key=lambda name: (with_own[name], name))
        why = counted(with_own[name], "fork commit")
        return Guess(key, name, LIKELY if len(with_own) == 1 else GUESS, why)

    def _own(self, branch: str) -> int:
        """How many commits of a fork branch upstream lacks, as far as this clone knows."""
        commit = self._commit_of(branch)
        if not commit:
            return 0
        commits = self._refs.commits
        theirs = set(self.upstream.refs.commits.values()) & set(commits.values())
        prefix = f"refs/remotes/{self.upstream.name}/"
        theirs |= {name for ref, name in commits.items() if ref.startswith(prefix)}
        words = ["git", "-C", str(self._path), "rev-list", "--count", "--stdin", commit]
        answer = self._sh.read(words, feed=[f"^{name}" for name in sorted(theirs)])
        return int(git.checked(answer, "number of commits").out)

    def _subjects(self) -> Iterator[Guess]:
        """That the fork's subjects need not be conventional, if most of its own are not."""
        if not (self._commit and self._upstream_branch):
            return
        newest = ("--no-merges", f"--max-count={_NEWEST}", self._commit, "--not")
        own = git.subjects(self._sh, self._path, *newest, self._upstream_branch)
        fit = sum(tags.conventional(subject) is not None for subject in own)
        if fit * 2 < len(own):
            why = f"{fit} of {counted(len(own), 'fork commit')} are conventional"
            yield Guess("messages.conventional", False, LIKELY, why)

    def _commit_of(self, branch: str) -> str:
        """The commit of an origin branch, as new as this clone has it; "" if it has none."""
        newest = self.origin.refs.commits.get(f"refs/heads/{branch}", "")
        if newest in self._refs.commits.values():
            return newest
        return self._refs.commits.get(f"refs/remotes/{self.origin.name}/{branch}", "")

    def _releases(self) -> tuple[Guess, Guess]:
        """How the fork names its releases, and the tag class of those names."""
        refs, upstream = self.origin.refs, set(self.upstream.refs.tags())
        own = [n for n in refs.tags() if n not in upstream and n.isprintable()]
        if own and self._upstream_branch:
            # Upstream may have withdrawn a tag that the fork still has.
            named = {n: refs.commits[f"refs/tags/{n}"] for n in own}
            theirs = git.held(self._sh, self._path, self._upstream_branch, named.values())
            own = [n for n in own if named[n] not in theirs]
        shape = r"(.*?)(\d+(?:\.\d+)+)(.*?)(\d+\.\d+\.\d+)"
        shapes = [(match[1], match[3]) for name in own if (match := re.fullmatch(shape, name))]
        if shapes:
            (before, between), count = Counter(shapes).most_common(1)[0]
            surety, why = LIKELY, counted(count, "fork tag")
        else:
            slug = re.sub(r"[^a-z0-9]+", "-", self._name.lower()).strip("-") or "fork"
            before, between = f"{slug}-v", "-"
            surety, why = GUESS, "the fork has no releases yet"
        release = Guess("releases.tag", f"{before}{{upstream}}{between}{{version}}", surety, why)
        version, build = r"(?P<version>\d+(\.\d+)*)", r"(?P<build>\d+\.\d+\.\d+)"
        pattern = f"{conventions.plain(before)}{version}{conventions.plain(between)}{build}"
        scheme = {"name": "own release", "pattern": pattern, "use": TagUse.OWN.value}
        return release, Guess("tags", scheme, surety, "the fork's own releases")

    @cached_property
    def _released(self) -> tags.Tag | None:
        """The newest stable release in the history of the production branch."""
        tagged = self.upstream.refs.commits.values()
        has = git.held(self._sh, self._path, self._commit, tagged) if self._commit else set()
        return tags.newest(self.upstream.refs.tags_in(has), self._schemes, *tags.STABLE)

    @cached_property
    def _bases(self) -> list[Tree]:
        """The upstream trees that the production branch started from, as far as this clone has
        them: upstream's branch, and the newest release in production."""
        commit, branch = self._commit, self._upstream_branch
        bases = git.merge_bases(self._sh, self._path, commit, branch) if commit and branch else []
        if self._released:
            bases.append(self.upstream.refs.tag(self._released.name))
        return [self._files(base) for base in bases]

    def _files(self, commit: str) -> Tree:
        return git.tree(self._sh, self._path, commit) if commit else {}

    def _text(self, path: str) -> str:
        return (git.show(self._sh, self._path, self._commit, path) or "") if self._commit else ""

    def _rules_and_files(self) -> Iterator[Guess]:
        """The rules for files in a merge, and the files with a special meaning."""
        tree, theirs = self._tree, set(self._files(self._upstream_branch))
        workflows = [path for path in tree if path.startswith(_WORKFLOWS)]
        # Upstream workflows that the fork switched off by adding a suffix, and their first names.
        renamed = {path: re.fullmatch(r"(.*\.ya?ml)\.[^/.]+", path) for path in workflows}
        off = {path: match[1] for path, match in renamed.items() if match and match[1] in theirs}
        own = [p for p in workflows if theirs and p not in theirs and p not in off]
        adopted = [*sorted(self._adopted.paths), POLICY_FILE, *sorted(records.NOTES)]
        paths = [f"/{path}" for path in dict.fromkeys([*adopted, *own])]
        why = "the files that `fork.adopt` writes"
        why += f", and {counted(len(own), 'file')} beside upstream's workflows" if own else ""
        yield _rule("files of the fork", paths, CERTAIN if theirs else LIKELY, why)
        if off:
            paths = [f"/{path}" for path in sorted(off)]
            yield _rule("disabled stays disabled", paths, LIKELY, "their names")
        yield _rule("removed stays removed", ["*"], LIKELY, "what forks usually want")
        yield from self._generated()
        refs, released = self.upstream.refs, self._released
        places = conventions.version_files(tree, self._text)
        below = versions.below_the_top(self._sh, self._path, tree, refs, self._schemes)
        stated = list(versions.guesses([*places, *below], self._text, released))
        if stated:
            paths = [f"/{guess.value['path']}" for guess in stated]
            yield _rule("version", paths, LIKELY, "the version files")
        both = [f"/{path}" for path in ("Dockerfile", "Makefile", "go.sum") if path in tree]
        if both:
            yield _rule("additions of both", both, GUESS, "files that both sides add to")
        # A file that upstream added after the fork's base is missing, but nobody removed it.
        before = {path for base in self._bases for path in base}
        gone = {p for p in theirs & before if p.startswith(_WORKFLOWS) and p not in tree}
        if disabled := {*off.values(), *gone}:
            why = "upstream has them, and the fork renamed or removed them"
            yield Guess("workflows.disabled", sorted(disabled), LIKELY, why)
        yield from stated

    def _generated(self) -> Iterator[Guess]:
        """Rules that take upstream's whole file or tree.

        A file that the fork changed gets none; a tree that it changed gets one as a comment, for a
        person to decide.
        """
        tree = self._tree
        # Files that differ from every upstream base; all files if no base is known.
        changed = set(tree)
        for number, base in enumerate(self._bases):
            differing = {p for p in {*tree, *base} if tree.get(p) != base.get(p)}
            changed = changed & differing if number else differing
        names = {PurePosixPath(path).name for path in tree}
        locks = [name for name in generated.LOCKFILES if name in names]
        vendored = {
            f"/{generated.pattern(top)}/": line for top, line in generated.vendored(tree).items()
        }
        marked = list(self._marked(globs(vendored)))
        built = self._built([*vendored, *marked])
        trees = {**dict.fromkeys([*(p for p in marked if p.endswith("/")), *built], ""), **vendored}
        upstream = {path for base in self._bases for path in base} | {
            *self._files(self._upstream_branch)
        }
        for pattern, command in trees.items():
            spec = globs([pattern])
            ours = set(spec.match_files(changed))
            shared = any(map(spec.match_file, upstream))
            why = "upstream does not have it, so the fork's files stay"
            if shared:
                why = (
                    f"the fork changed {counted(len(ours), 'file')} in it"
                    if ours
                    else "the fork has it unchanged"
                )
            more = f" `{command}` regenerates it." if command else ""
            off = bool(shared and ours)
            yield _rule(
                f"generated: {pattern}", [pattern], GUESS if off else LIKELY, why, more, off
            )
        headed = self._headed(list(trees), changed)
        for paths, why in (
            (locks, "lockfiles, by their names"),
            ([p for p in marked if p not in trees], ".gitattributes calls them generated"),
            ([p for p in headed if p.lstrip("/") not in locks], "their first lines say so"),
        ):
            kept = [path for path in paths if not _fits(path, changed)]
            if kept:
                yield _rule(f"generated: {why.partition(',')[0]}", kept, CERTAIN, why)
            if lost := listed([path for path in paths if path not in kept], 5):
                why = f"no rule takes upstream's whole {lost}: fork commits change it"
                yield Guess("rules", None, CERTAIN, why)
        for path in self._named_so([*trees], _FEWEST_BUILT):
            why = f"no rule takes upstream's whole {path}: only its name suggests that it was built"
            yield Guess("rules", None, GUESS, why)

    def _marked(self, vendored: GitIgnoreSpec) -> Iterator[str]:
        """What .gitattributes marks as generated or vendored, as .gitignore patterns."""
        line_of = re.compile(
            r"([^#\s]\S*)\s(?:.*\s)?linguist-(?:generated|vendored)(?:=true)?(?:\s|$)"
        )
        for path in self._tree:
            above, _, name = path.rpartition("/")
            if name != ".gitattributes" or vendored.match_file(path):
                continue
            for line in filter(None, map(line_of.match, self._text(path).splitlines())):
                pattern = re.sub(r"(/\*+)+$", "/", line[1])
                if above or pattern != line[1]:
                    anywhere = pattern.startswith("**/") or "/" not in line[1][:-1]
                    inside = f"/{above}/" if above else "/"
                    inside += "**/" if anywhere else ""
                    pattern = inside + pattern.removeprefix("**/").lstrip("/")
                with suppress(ValueError):  # git passes over it, too
                    globs([pattern])
                    yield pattern

    def _named_so(self, other: list[str], fewest: int = 1) -> list[str]:
        """The directories whose names suggest that they were built, outside some others."""
        spec = globs(other)
        names = (*generated.BUILT, "vendor")
        count = Counter(
            f"/{'/'.join(parts[: number + 1])}/"
            for path in self._tree
            for parts in [path.split("/")[:-1]]
            for number, part in enumerate(parts)
            if part in names and not set(parts[:number]) & set(names)
        )
        return [
            top for top, n in count.items() if n >= fewest and not spec.match_file(f"{top[1:]}x")
        ]

    def _built(self, other: list[str]) -> list[str]:
        """Those of them whose contents confirm it."""
        return [
            generated.pattern(top)
            for top in self._named_so(other)
            if generated.is_built(
                self._text(path)
                for path in [p for p in self._tree if f"/{p}".startswith(top)][:_MOST_READ]
            )
        ]

    def _headed(self, other: list[str], changed: Set[str]) -> list[str]:
        """Patterns for files outside some trees whose own header says that a tool wrote them; what
        the fork changed is in none with other files."""
        if not self._commit:
            return []
        words = ["git", "-C", str(self._path), "grep", "-I", "-l", "-z", "-E", "--full-name"]
        words += ["-e", generated.HEADER, self._commit, "--", ":(top)"]
        answer = git.checked(self._sh.read(words), "generated files", 1)
        outside = globs(other)
        paths = [name.partition(":")[2] for name in answer.fields()]
        paths = [path for path in paths if not outside.match_file(path)]
        texts = git.blobs(self._sh, self._path, (self._tree[path][1] for path in paths))
        headed = [p for p in paths if generated.is_headed(texts.get(self._tree[p][1], ""))]
        unchanged = [path for path in headed if path not in changed]
        mine = (f"/{generated.pattern(path)}" for path in headed if path in changed)
        return [*generated.patterns(unchanged, self._tree), *mine]

    def _images(self) -> Iterator[Guess]:
        docker = next((path for path in self._tree if path.endswith("Dockerfile")), "")
        if self._slug and docker:
            name, why = f"ghcr.io/{self._slug.lower()}", "the usual names"
            yield Guess("images.name", name, GUESS, "GitHub's registry for this repository")
            yield Guess("images.dockerfile", docker, LIKELY, "the first Dockerfile of the fork")
            yield Guess("images.branch", ["{branch}-latest", "{branch}-{sha}"], GUESS, why)
            yield Guess("images.release", ["{tag}"], GUESS, why)


def _fits(pattern: str, paths: Iterable[str]) -> bool:
    """Whether one of some paths matches a pattern; True if git would not accept the pattern."""
    try:
        spec = globs([pattern])
    except ValueError:
        return True
    return any(map(spec.match_file, paths))


def _rule(
    name: str, paths: list[str], surety: Surety, because: str, said: str = "", off: bool = False
) -> Guess:
    take, more, why = _RULES[name.partition(":")[0]]
    value = {"name": name, "paths": paths, "take": take, **more, "why": f"{why}{said}"}
    return Guess("rules", value, surety, because, off)
