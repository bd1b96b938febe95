"""One fork on this machine: its repository, its refs, its policy."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from shlex import quote

from ..run import files, git, github
from ..run.errors import Refused
from ..run.git import Refs, Repository
from ..run.github import Hub
from ..run.shell import BIG, Shell
from ..run.text import printable, scrub
from . import known
from .policy import POLICY_FILE, Invalid, Loaded, Policy, Remote, load_policy


@dataclass(frozen=True)
class Fork:
    """What the tasks know about a fork when they start.

    settings: git's effective configuration.
    refs: branches and tags at that moment.
    loaded: the policy, and where its values come from.
    problem: why the fork's own policy is not in force; None if it is.
    draft: the text of a policy file in the checkout that is on no branch yet; "" without one.
    """

    repository: Repository
    settings: Mapping[str, list[str]]
    refs: Refs
    loaded: Loaded
    problem: Refused | None = None
    draft: str = ""

    @property
    def path(self) -> Path:
        """Where to run git. Not in a linked work tree: an upgrade's may be removed while a task
        runs."""
        return self.home if self.repository.linked else self.repository.path

    @property
    def home(self) -> Path:
        """The clone itself, whichever of its work trees the user named."""
        return git.nearest(self.repository.home)

    def notes(self, about: str) -> Path:
        """The directory for what this clone notes about a release, or, as ``clone``, about
        itself."""
        return self.repository.common / "carto-fork" / about

    def place_for(self, branch: str) -> Path:
        """Where the work tree of a branch belongs: next to the clone; absolute."""
        home = self.repository.home
        return home.with_name(f"{home.name}.{branch.replace('/', '-')}")

    @property
    def is_of_the_tasks(self) -> bool:
        """Whether this is not a fork, but a checkout of this program."""
        own = Path("scripts", *__name__.split(".")[:1], "tasks.py")
        return not self.has_production and (self.repository.home / own).is_file()

    @property
    def is_unknown(self) -> bool:
        """Whether the only policy is the default one, and nothing shows that it is this fork's."""
        if not self.loaded.is_default or self.problem or self.is_of_the_tasks:
            return False
        origin = self.policy.remotes.origin
        url = self.url(origin) or ""
        known = github.is_local(url) and self.has_production
        return not (known or github.same_repository(url, origin.url))

    @property
    def policy(self) -> Policy:
        return self.loaded.policy

    @property
    def origin_production(self) -> str:
        """The full name of the remote-tracking ref of origin's production branch."""
        return self.tracking(self.policy.remotes.origin, self.policy.branches.production)

    @property
    def local_production(self) -> str:
        """The full name of the local production branch."""
        return f"refs/heads/{self.policy.branches.production}"

    @property
    def production_commit(self) -> str:
        """The production branch's commit as this clone knows it; "" if it does not."""
        commits = self.refs.commits
        return commits.get(self.origin_production) or commits.get(self.local_production, "")

    @property
    def has_production(self) -> bool:
        """Whether this clone knows the production branch."""
        return bool(self.production_commit)

    def tracking(self, remote: Remote, branch: str) -> str:
        """The full name of the remote-tracking ref of a branch."""
        return f"refs/remotes/{remote.name}/{branch}"

    @property
    def published(self) -> tuple[str, ...]:
        """Origin's branches, by name, as this clone knows them."""
        prefix = self.tracking(self.policy.remotes.origin, "")
        return tuple(
            ref.removeprefix(prefix) for ref in self.refs.objects if ref.startswith(prefix)
        )

    @property
    def upstream_tips(self) -> tuple[str, ...]:
        """The commits at upstream's branch tips, as this clone knows them."""
        prefix = f"refs/remotes/{self.policy.remotes.upstream.name}/"
        commits = self.refs.commits
        return tuple(dict.fromkeys(commits[ref] for ref in commits if ref.startswith(prefix)))

    def url(self, remote: Remote) -> str | None:
        """The configured URL of a remote; None if it is missing."""
        return self.settings.get(f"remote.{remote.name}.url", [None])[0]

    def hub(self, remote: Remote) -> Hub:
        """A remote's repository on GitHub. Raises Refused if it is elsewhere."""
        slug = github.slug_of(remote.url)
        if slug is None:
            problem = f"the remote `{remote.name}` is not on github.com: {scrub(remote.url)}."
            then = (
                "do it by hand; or if it is there, correct `remotes` in the policy (`fork.config`)."
            )
            raise Refused(problem, then=then)
        return Hub(self.gh, slug)

    @property
    def gh(self) -> str:
        """The gh program; git's setting `carto-fork.gh` can name another one."""
        named = self.settings.get("carto-fork.gh", ["gh"])[-1]
        if not os.path.isabs(named):
            return named
        shorter = str(git.nearest(Path(named)))
        return shorter if os.sep in shorter else f".{os.sep}{shorter}"

    def at(self, sh: Shell, commit: str) -> Fork:
        """The same fork with the policy of a commit on the production branch."""
        text = git.show(sh, self.path, commit, POLICY_FILE)
        if text is None and not self.problem:
            return self  # no policy there, or no own policy at all
        try:
            loaded = load_policy(text, f"{POLICY_FILE} at {commit[:10]}")
        except Invalid as no:
            production = f"{self.policy.remotes.origin.name}/{self.policy.branches.production}"
            no.advise(known.how_to_fix(self.path, production))
            raise
        return replace(self, loaded=loaded, problem=None, draft="")

    def fixed_by(self, sh: Shell, commit: str, problem: Refused) -> Fork:
        """This fork with the policy of a commit that corrects its invalid one.

        problem: the fork's. Raises Refused if the commit does not correct it: if its policy is
        not valid either, has not changed since, or is that of another repository or branch.
        """
        if not isinstance(problem, Invalid):
            raise problem
        text = git.show(sh, self.path, commit, POLICY_FILE)
        loaded = load_policy(text, f"{POLICY_FILE} at {commit[:10]}")
        fork = replace(self, loaded=loaded, problem=None, draft="")
        origin = fork.policy.remotes.origin
        url = fork.url(origin) or ""
        is_here = problem.ref in ("HEAD", fork.origin_production, fork.local_production)
        is_same = url and (github.is_local(url) or github.same_repository(url, origin.url))
        if not (is_here and is_same):
            raise problem
        if not fork.brings(sh, commit, text):
            raise problem
        return fork

    def policy_here(self, sh: Shell) -> str:
        """The text of the policy in the work tree, if it would be another one on production; "" if
        not."""
        path = self.repository.work / POLICY_FILE
        head = sh.ask("git -C {at} rev-parse --quiet --verify HEAD^0", at=path.parent).line
        if self.draft or not head or path.is_symlink() or not path.is_file():
            return ""
        text = files.read_text(path)
        return text if self.brings(sh, head, text) else ""

    def brings(self, sh: Shell, commit: str, policy: str | None) -> bool:
        """Whether a policy's text, which a commit or a checkout of it has, is another one than
        that of production, and of the production commit that the commit is based on."""
        known = [self.production_commit]
        known += git.merge_bases(sh, self.path, commit, *known) if known[0] else []
        return policy not in git.contents(sh, self.path, [f"{x}:{POLICY_FILE}" for x in known if x])

    def merging(self, sh: Shell, trees: Iterable[git.Worktree]) -> list[Path]:
        """Those of some work trees that are of upgrades, and in which a merge is in progress."""
        prefix = "refs/heads/"
        return [
            git.nearest(tree.path)
            for tree in trees
            if tree.branch.startswith(prefix)
            and self.policy.branches.tag_of(tree.branch.removeprefix(prefix))
            and not tree.missing
            and git.work_state(sh, tree.path).merging
        ]

    def values(self) -> dict[str, str]:
        """The values of the placeholders for this fork in every procedure."""
        slug = github.slug_of(self.policy.remotes.origin.url) or ""
        return {"repo": str(self.path), "gh": self.gh, "slug": slug, **values_of(self.policy)}


def values_of(policy: Policy) -> dict[str, str]:
    """The values of the placeholders in the procedures' templates that a policy defines."""
    remotes, branches = policy.remotes, policy.branches
    return {
        "origin": remotes.origin.name,
        "origin_url": remotes.origin.url,
        "upstream": remotes.upstream.name,
        "upstream_url": remotes.upstream.url,
        "mirror": branches.mirror,
        "branch": branches.upstream,
        "production": branches.production,
    }


def open_fork(sh: Shell, path: Path) -> Fork:
    """The fork at a path; with the default policy and the problem if its own is not valid.

    Raises Refused if git is too old or the path is not in a repository.
    """
    git.require_version(sh)
    repository = git.open_repository(sh, path)
    refs = git.refs(sh, repository.path)
    settings = git.config(sh, repository.path)
    draft = ""
    try:
        loaded = known.known_policy(sh, repository, settings, refs)
        if loaded is None and (draft := known.draft(sh, repository)):
            try:
                loaded = load_policy(draft, f"{POLICY_FILE}, which is on no branch yet")
            except Refused as no:
                no.advise(f"correct {git.nearest(repository.home / POLICY_FILE)}.")
                raise
        return Fork(repository, settings, refs, loaded or load_policy(), draft=draft)
    except Refused as problem:
        return Fork(repository, settings, refs, load_policy(), problem, draft)


def require_remotes(fork: Fork) -> None:
    """Raises Refused unless both remotes exist and match the policy."""
    require_right_urls(fork)
    for remote in (fork.policy.remotes.origin, fork.policy.remotes.upstream):
        if fork.url(remote) is None:
            raise Refused(
                f"the remote `{remote.name}` is missing.",
                then=f"`setup`, or: {git.at(fork.path)} remote add {remote.name} {remote.url}",
            )


def require_production(fork: Fork) -> None:
    """Raises Refused if this clone does not know the production branch."""
    if not fork.has_production:
        problem = f"this clone does not know {fork.policy.branches.production}."
        raise Refused(problem, then=f"{git.at(fork.path)} fetch {fork.policy.remotes.origin.name}")


def require_right_urls(fork: Fork) -> None:
    """Raises Refused if a remote leads to another repository than the policy says, or if it is a
    path and nothing shows that the repository is the fork."""
    url = fork.url(fork.policy.remotes.origin)
    if url and github.is_local(url) and not fork.has_production:
        raise Refused(
            f"{os.path.abspath(fork.path)} is not the fork: it has no branch "
            f"{fork.policy.branches.production}.",
            then=_UNKNOWN if fork.is_unknown else "name the fork's clone with --repo.",
        )
    for problem, then in wrong_urls(fork):
        raise Refused(problem, then=then)


def require_whole_history(fork: Fork) -> None:
    """Raises Refused in a shallow clone."""
    if fork.repository.shallow:
        raise Refused(
            "this is a shallow clone, and git needs the whole history to merge.",
            then=f"{git.at(fork.path)} fetch --unshallow {fork.policy.remotes.origin.name}",
        )


def wrong_urls(fork: Fork) -> Iterator[tuple[str, str]]:
    """What is wrong with the remotes' URLs, each with the command that fixes it.

    A path on this machine counts as a copy, unless both remotes are the same repository.
    """
    origin, upstream = fork.policy.remotes.origin, fork.policy.remotes.upstream
    if fork.is_of_the_tasks:
        problem = f"{fork.path.absolute()} is the checkout of the tasks, not of a fork."
        yield problem, "name the fork's clone with --repo."
        return
    for remote in (origin, upstream):
        for option, flag in (("url", ""), ("pushurl", " --push")):
            for url in fork.settings.get(f"remote.{remote.name}.{option}", []):
                if not (github.is_local(url) or github.same_repository(url, remote.url)):
                    fix = f"{git.at(fork.path)} remote set-url{flag} {remote.name} {remote.url}"
                    if remote is origin:
                        fix = f"name the fork's clone with --repo, or if this is it: {fix}"
                    fix = _UNKNOWN if fork.is_unknown else fix
                    yield f"the remote `{remote.name}` is {scrub(url)}, not {remote.url}.", fix
    one, other = fork.url(origin), fork.url(upstream)
    if one and other and github.same_repository(one, other):
        fix = f"{git.at(fork.path)} remote set-url {upstream.name} {upstream.url}"
        yield (
            f"the remotes `{origin.name}` and `{upstream.name}` are the same repository, "
            f"{scrub(one)}.",
            _UNKNOWN if fork.is_unknown else fix,
        )


_UNKNOWN = "`fork.init`, if this fork has no policy yet; or name the fork's clone with --repo."


# Git settings that can start a program, by the end of their keys.
_STARTS = re.compile(
    r"filter\..*\.(clean|smudge|process)|diff\..*\.(textconv|command)|diff\.external"
    r"|merge\..*\.driver|core\.(fsmonitor|sshcommand|askpass|gitproxy)|gpg\.(.*\.)?program"
    r"|gpg\.ssh\.defaultkeycommand|trailer\..*\.(cmd|command)",
    re.IGNORECASE,
)
_READ = re.compile(
    r"core\.(hookspath|attributesfile|excludesfile)|gpg\.ssh\.(allowedsigners|revocation)file"
    r"|http\.(.*\.)?(sslca(info|path)|ssl(cert|key)|cookiefile)",
)
_INCLUDES = re.compile(r"include(if\..*)?\.path", re.DOTALL)
# Programs, at the start of a command, that look in the work tree for what they run.
LAUNCHERS = re.compile(
    r"(?m)(?:^|[;&|({!`]|\b(?:exec|env|then|do|else)\s|[A-Z_]=\S*\s|-c\s+['\"]?)\s*(?:\S*/)?(?<!hooks/)"
    r"(npx|p?npm|pnpx|yarn|bunx?|deno|uvx?|poetry|pdm|hatch|pipenv|tox|nox|g?make|just|rake|bundle"
    r"|cargo|go(?= run| tool| generate)|composer|mise|pre-commit|prek|lefthook|overcommit"
    r"|lint-staged)(?![\w./-])"
)
_INSTEAD = {
    "clean": "",
    "smudge": "",
    "process": "",
    "textconv": "cat",
    "driver": "git merge-file --marker-size=%L %A %O %B",
    "fsmonitor": "false",
}


def safe_settings(sh: Shell, fork: Fork) -> dict[str, str]:
    """Git settings that keep code in upstream's files from running, and tasks from stopping without
    need.

    Git would look in the merged tree for a program whose path is in the work tree. We let git take
    it from the person's checkout instead, and only if production has the same file or it is
    untracked, because a checkout may show upstream's files. Otherwise we switch the program off.
    Raises Refused if that is impossible, because the settings themselves are in the tree.
    """
    _require_own_settings(sh, fork)
    # Finding out whose program it is must not start it.
    sh.configure(_settings(fork, lambda path: False))
    return _settings(fork, lambda path: _is_productions(sh, fork, path))


def _require_own_settings(sh: Shell, fork: Fork) -> None:
    """Raises Refused if git's settings include a tracked file that differs from production's."""
    if not any(map(_INCLUDES.fullmatch, fork.settings)):
        return
    home, commit = fork.home.resolve(), fork.production_commit
    listed = git.ask(sh, fork.path, "config --null --list --show-origin", "settings").fields()
    for origin, entry in zip(listed[::2], listed[1::2], strict=True):
        key, _, value = entry.partition("\n")
        file = home / origin.removeprefix("file:")
        if _INCLUDES.fullmatch(key):  # whether or not the include is conditional
            file = file.parent / os.path.expanduser(value)
        file = file.resolve()
        if file.is_relative_to(fork.repository.common) or not file.is_relative_to(home):
            continue
        path = str(file.relative_to(home))
        tracked = "-c core.fsmonitor=false --literal-pathspecs ls-files -- {path}"
        if not (file.is_file() and git.ask(sh, home, tracked, "files", path=path).out):
            continue
        own = git.show(sh, home, commit, path) if commit else None
        if own is None or own.splitlines() != files.read_text(file).splitlines():
            shown = quote(str(git.nearest(file)))
            raise Refused(
                f"git's settings here include {printable(path)}, which differs from "
                f"{fork.policy.branches.production}'s: it could make git start any program.",
                then=f"read it, and move it away if it is not yours: mv {shown} "
                f"{shown}.away; then run the same command again.",
            )


def _settings(fork: Fork, trusts: Callable[[Path], bool]) -> dict[str, str]:
    """See `safe_settings`.

    trusts: whether a file or directory of the checkout is the fork's.
    """
    safe = {
        BIG: str(fork.policy.largest_text),
        "submodule.recurse": "false",
        "push.recurseSubmodules": "no",
        # One per processor.
        "checkout.workers": "0",
        "fetch.recurseSubmodules": "no",
        # Everything staged here was written by git or checked by a person.
        "core.safecrlf": "false",
        # Git makes no diff without this file, which would be in the work tree.
        "diff.orderfile": os.devnull,
    }
    home = fork.home.absolute()
    for key, values in fork.settings.items():
        value = values[-1]
        if key.startswith("filter.") and _is_off(fork, "filters"):
            safe[key] = "false" if key.endswith(".required") else ""
        elif _READ.fullmatch(key):
            path = home / os.path.expanduser(value)
            if value and path.is_relative_to(home):
                safe[key] = str(path) if trusts(path.relative_to(home)) else os.devnull
        elif key.startswith("credential.") and key.endswith(".helper"):
            # Another value does not replace the earlier ones; "" clears them all.
            if any(_from_checkout(fork, each, trusts) != each for each in values):
                safe[key] = ""
        elif _STARTS.fullmatch(key) and (trusted := _from_checkout(fork, value, trusts)) != value:
            safe[key] = trusted or _INSTEAD.get(key.rpartition(".")[2], "")
            if not trusted and key.startswith("filter."):
                safe[f"{key.rpartition('.')[0]}.required"] = "false"
    if _is_off(fork, "hooks"):
        safe["core.hookspath"] = os.devnull
    return safe


def launching_hook(fork: Fork) -> tuple[Path | None, str]:
    """A hook that starts what the work tree around it names, and the launcher it uses; None and ""
    without one, or if a person has decided whether hooks run."""
    if "carto-fork.hooks" not in fork.settings:
        folder = fork.home.absolute() / os.path.expanduser(
            fork.settings.get("core.hookspath", [""])[-1] or fork.repository.common / "hooks"
        )
        # Husky's own scripts are one directory higher.
        for path in sorted([*folder.glob("*"), *folder.glob("../../.husky/*")]):
            if path.is_file() and path.suffix != ".sample":
                lines = re.sub(r"(?m)^\s*#.*", "", files.read_text(path))
                if launcher := LAUNCHERS.search(lines):
                    return path, launcher[1]
    return None, ""


def _is_off(fork: Fork, what: str) -> bool:
    """Whether a person switched off a feature of git in these tasks."""
    said = fork.settings.get(f"carto-fork.{what}", ["true"])[-1]
    return said.lower() in ("false", "no", "off", "0")


def _from_checkout(fork: Fork, value: str, trusts: Callable[[Path], bool]) -> str:
    """A command line whose paths into the work tree lead to the checkout instead; "" if one of them
    cannot be trusted."""
    home = fork.home.absolute()
    if LAUNCHERS.search(value):
        return ""
    try:
        words = shlex.split(value)
    except ValueError:
        return value
    line = value
    for number, word in enumerate(words):
        path = Path(word.removeprefix("!"))
        relative = not path.is_absolute() and not word.startswith(("-", "~", "%", "$"))
        inside = path.is_absolute() and path.is_relative_to(home)
        # A program without a slash is looked up in PATH, never in the work tree.
        named = "/" in word or (number and (home / path).is_file())
        if not (inside or (relative and named)):
            continue
        place = home / path
        if not place.exists() or not trusts(place.relative_to(home)):
            return ""
        line = line.replace(str(path), str(place), 1) if relative else line
    return line


def _is_productions(sh: Shell, fork: Fork, path: Path) -> bool:
    """Whether a file or directory of a checkout is the fork's: everything tracked in it equals
    production's."""
    real = (fork.home / path).resolve()
    top = fork.home.resolve()
    if ".." in path.parts or not fork.production_commit or not real.is_relative_to(top):
        return False
    first = [*path.parts[:1], *real.relative_to(top).parts[:1]]
    answer = sh.ask(
        "git -C {home} --literal-pathspecs diff --quiet --no-ext-diff --no-textconv {commit} --"
        " {first}",
        home=fork.home,
        commit=fork.production_commit,
        first=first or ["."],
    )
    return answer.ok
