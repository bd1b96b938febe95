"""Settings of git that keep code in upstream's files from running."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from shlex import quote

from ..run import files, git
from ..run.errors import Refused
from ..run.shell import BIG, Shell
from ..run.text import printable
from .fork import Fork

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
