"""What a clone needs: remotes, git settings, the hook; and the policy in force."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from shlex import quote
from typing import Any

from ..run import files, git
from ..run.console import Console
from ..run.git import Refs
from ..run.shell import Shell
from ..run.steps import Condition, Plan, Step
from ..run.text import toml_value
from . import version_files
from .fork import Fork, require_right_urls
from .policy import DEFAULT_SOURCE, POLICY_FILE, Loaded
from .session import Session

NO_ORIGIN = Condition("if the remote is missing")
NO_UPSTREAM = Condition("if the remote is missing")

SETUP = (
    Step(
        "origin",
        "Add the fork as a remote.",
        when=NO_ORIGIN,
        run=("git -C {repo} remote add {origin} {origin_url}",),
    ),
    Step(
        "upstream",
        "Add the original repository as a remote.",
        when=NO_UPSTREAM,
        run=("git -C {repo} remote add {upstream} {upstream_url}",),
    ),
    Step(
        "rerere",
        "Let git remember how people resolve conflicts.",
        run=("git -C {repo} config rerere.enabled true",),
        done=("git -C {repo} config --local --get rerere.enabled ^true$",),
    ),
    Step(
        "zdiff3",
        "Let git show the common ancestor in every conflict.",
        run=("git -C {repo} config merge.conflictStyle zdiff3",),
        done=("git -C {repo} config --local --get merge.conflictStyle ^zdiff3$",),
    ),
    Step(
        "graph",
        "Let git keep an index of the history: an upgrade asks much of it.",
        run=(
            "git -C {repo} commit-graph write --reachable --changed-paths --no-progress",
            "git -C {repo} config fetch.writeCommitGraph true",
        ),
        done=("git -C {repo} config --local --get fetch.writeCommitGraph ^true$",),
    ),
)


def set_up(s: Session) -> None:
    """Add missing remotes, and configure git in the clone."""
    fork = s.open_fork()
    require_right_urls(fork)
    origin, upstream = fork.policy.remotes.origin, fork.policy.remotes.upstream
    remotes = {NO_ORIGIN: origin, NO_UPSTREAM: upstream}
    missing = {condition for condition, remote in remotes.items() if fork.url(remote) is None}
    with s.locked(fork.repository) as held:
        s.run(SETUP, Plan(fork.values(), frozenset(missing)), held)
    if not s.sh.dry:
        s.console.next(s.command("next"))


# --- What the first policy needs ------------------------------------------------------------------

UPSTREAM_NAMES = ("upstream", "source", "original", "parent")


def upstream_among(remotes: Collection[str]) -> str:
    """The remote that is upstream by its name, or as the other of two; "" if none is."""
    others = [name for name in remotes if name != "origin"]
    named = [name for name in UPSTREAM_NAMES if name in remotes]
    return next(iter(named or (others if (len(remotes), len(others)) == (2, 1) else ())), "")


def is_fetched(refs: Refs, remote: str) -> bool:
    """Whether the clone has anything of a remote."""
    return any(ref.startswith(f"refs/remotes/{remote}/") for ref in refs.objects)


def first_policy(fork: Fork, command: Callable[..., str]) -> tuple[str, str]:
    """The next command on the way to the policy of a fork that has none, and what it does.

    command: makes the command line of a task on this fork from its name and options.
    """
    urls = (re.fullmatch(r"remote\.(.*)\.url", key, re.DOTALL) for key in fork.settings)
    remotes = [url[1] for url in urls if url]
    upstream, at = upstream_among(remotes), git.at(fork.path)
    if len(remotes) == 1:
        add = f"{at} remote add upstream URL && {at} fetch --tags upstream"
        return add, "Put the address of the repository that it was forked from in place of URL."
    if upstream and not is_fetched(fork.refs, upstream):
        fetch = f"{at} fetch --tags {quote(upstream)}"
        return fetch, "This fetches upstream, which the fork is compared with."
    asks = "This writes a draft of one; on a terminal it asks about what it cannot be sure of."
    return command("fork.init"), asks


def is_prepared(fork: Fork) -> bool:
    """Whether `set_up` has nothing to set in git."""
    wanted = {"rerere.enabled": "true", "merge.conflictstyle": "zdiff3"}
    return all(fork.settings.get(key, [""])[-1] == value for key, value in wanted.items())


@dataclass(frozen=True)
class Setting:
    """One effective value of a policy and where it came from."""

    key: str
    value: Any
    source: str


def settings(loaded: Loaded) -> list[Setting]:
    """All values of a policy, by dotted keys."""
    return list(_settings(loaded.merged, loaded.own, loaded.source))


def _settings(
    values: Mapping[str, Any], own: Any, source: str, above: str = ""
) -> Iterator[Setting]:
    for key, value in values.items():
        said = own.get(key) if isinstance(own, Mapping) else None
        if isinstance(value, Mapping):
            yield from _settings(value, said, source, f"{above}{key}.")
        else:
            yield Setting(f"{above}{key}", value, DEFAULT_SOURCE if said is None else source)


def show_config(s: Session) -> None:
    """Print the policy in force; then refuse if the fork's own is invalid or does not match the
    version files."""
    fork = s.open_fork(whatever_policy=True)
    if s.json:
        s.print_json(settings(fork.loaded))
    elif not (fork.problem and fork.draft):  # the default policy is not what somebody drafts
        if fork.is_unknown:
            make = s.command("fork.init")
            s.console.row("# ", "This clone has no policy; what follows is another fork's.")
            s.console.row("# Next: ", make)
        _show(s.console, fork.loaded)
        if fork.repository.top and fork.policy_here(s.sh):
            here = git.nearest(fork.repository.top / POLICY_FILE)
            check = s.command("doctor", check="policy")
            s.console.row("# ", f"{here} is not in force. To check it:")
            s.console.row("# ", check)
    if fork.problem:
        raise fork.problem
    list(version_files.at(s.sh, fork, fork.production_commit))


def _show(console: Console, loaded: Loaded) -> None:
    """Print the effective policy as TOML, with the commonest source once, and the others."""
    # In TOML a plain key cannot follow a list of tables.
    values = settings(loaded)
    listed = [
        setting
        for setting in values
        if isinstance(setting.value, list) and isinstance(next(iter(setting.value), None), Mapping)
    ]
    common = Counter(setting.source for setting in values).most_common(1)[0][0]
    console.row("# ", f"{common}.")
    console.row("# ", "A line that is from elsewhere names its source.")
    source = {s.key: f"  # {s.source}" if s.source != common else "" for s in values}
    for setting in values:
        if setting not in listed:
            line = f"{setting.key} = {toml_value(setting.value)}"
            console.row(f"{line:<60}", source[setting.key])
    for setting in listed:
        for table in setting.value:
            console.say()
            console.row(f"[[{setting.key}]]", source[setting.key])
            for key, value in table.items():
                console.row("", f"{key} = {toml_value(value)}")


HOOK = Step(
    "hook",
    "Let git run `ci.guard` before it pushes.",
    run=(
        "git -C {repo} config carto-fork.guard {guard}",
        "mkdir -p {hooks}",
        "install -m 755 {shipped} {hook}",
    ),
)

SOURCE = Path(__file__).with_name("hooks") / "pre-push"
"""The hook's text; git's setting carto-fork.guard names the command it runs."""


class There(Enum):
    """What is in the hook's place."""

    NOTHING = "nothing"
    OURS = "ours"
    STALE = "ours, but the git setting that names its command is missing or out of date"
    OTHER = "another hook"
    SHARED = "in a hooks directory that is shared with other clones"


@dataclass(frozen=True)
class Hook:
    """The pre-push hook of a clone: its absolute path, and what is there."""

    path: Path
    there: There


def find_hook(sh: Shell, fork: Fork) -> Hook:
    """The pre-push hook of a clone, wherever git looks for it (core.hooksPath)."""
    path = git.path_of(sh, fork.path, "hooks/pre-push")
    text = files.read_text(path) if path.is_file() else ""
    if _SETTING in text and not _calls_guard(fork.home, fork.settings.get(_SETTING, [""])[-1]):
        return Hook(path, There.STALE)
    if _SETTING in text or "guard --pre-push" in text:
        return Hook(path, There.OURS)
    if not path.resolve().is_relative_to(fork.repository.common.resolve()):
        return Hook(path, There.SHARED)
    return Hook(path, There.OTHER if os.path.lexists(path) else There.NOTHING)


_SETTING = "carto-fork.guard"


def _calls_guard(top: Path, line: str) -> bool:
    """Whether a command line calls `ci.guard` and all paths it names exist.

    top: where git runs hooks, the top of the work tree.
    """
    try:
        words = [os.path.expandvars(os.path.expanduser(word)) for word in shlex.split(line)]
    except ValueError:
        return False
    # By its former name only `carto-fork` knows it.
    by_invoke = "invoke" in {Path(word).name for word in words}
    if "ci.guard" not in words and ("guard" not in words or by_invoke):
        return False
    named = [word.rpartition("=")[2] for word in words[1:]]
    paths = [top / name for name in named if name.startswith("/")]
    program = words[0]
    exists = (top / program).exists() if "/" in program else shutil.which(program) is not None
    return exists and all(path.exists() for path in paths)


def hook_values(fork: Fork, hook: Hook, guard: str) -> dict[str, str]:
    """The values of the placeholders in `HOOK`.

    guard: the command line that the hook runs, from any directory.
    """
    return fork.values() | {
        "guard": guard,
        "hooks": str(git.nearest(hook.path.parent)),
        "hook": str(git.nearest(hook.path)),
        "shipped": str(SOURCE),
    }
