"""The version in every file that states it: read, and set without touching anything else."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import tomli
from packaging.version import InvalidVersion, Version

from ..run import files, git
from ..run.console import Console
from ..run.errors import Failed, Refused, Usage
from ..run.shell import Shell, command_line
from . import tags
from .fork import Fork
from .policy import Policy
from .session import Session

WHOLE = "version"
"""What the one version is called in a file that states nothing else."""

_SEMANTIC = ("package.json", "Cargo.toml")
"""Files whose tools take a version of three numbers only."""


def read(text: str, keys: Sequence[str], path: str, where: str = "") -> dict[str, str]:
    """The versions that a file states: dotted key to value, for the keys that it has.

    where: names the file in messages; default: its path.
    Raises Refused if the file is not what its name says, or a version is not a string.
    """
    where = where or path
    if not keys:
        return {WHOLE: text.strip()} if text.strip() else {}
    is_json = path.endswith(".json")
    try:
        data: Any = (json.loads(text) if text.strip() else {}) if is_json else tomli.loads(text)
    except ValueError as error:
        form = "JSON" if is_json else "TOML"
        problem = f"{where} is no valid {form}: {error}."
        raise Refused(problem, then=f"correct {where}.") from None
    found = {}
    for key in keys:
        value = _at(data, key)
        if value is not None and not isinstance(value, str):
            problem = f"{where}: {key} is {value!r}, not a string."
            raise Refused(problem, then=f"correct {where}.")
        if value is not None:
            found[key] = value
    return found


def spelled(version: str, path: str) -> str:
    """A version as a file states it: where tools want three numbers, 4.2 is 4.2.0."""
    if PurePosixPath(path).name in _SEMANTIC and re.fullmatch(r"\d+(\.\d+)?", version):
        return version + ".0" * (2 - version.count("."))
    return version


def write(text: str, keys: Sequence[str], version: str, path: str) -> str:
    """The file with each of the keys that it has set to a version; all else stays byte for byte."""
    version = spelled(version, path)
    if not keys:
        return text.replace(text.strip(), version)
    if path.endswith(".json"):
        return _write_json(text, keys, version)
    import tomlkit

    document = tomlkit.parse(text)
    for key in keys:
        *parents, last = key.split(".")
        table = _at(document, ".".join(parents)) if parents else document
        if isinstance(table, MutableMapping) and last in table and table[last] != version:
            quotes = table[last].as_string()
            table[last] = tomlkit.string(
                version, literal=quotes[0] == "'", multiline=quotes[:3] in ('"""', "'''")
            )
    return tomlkit.dumps(document)


def _write_json(text: str, keys: Sequence[str], version: str) -> str:
    """JSON with some strings replaced where they stand."""
    spans = dict(_strings(text))
    for key in sorted(keys, key=lambda key: spans.get(key, (0, 0)), reverse=True):
        if key in spans:
            start, end = spans[key]
            text = text[:start] + json.dumps(version) + text[end:]
    return text


_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]')


def _strings(text: str) -> list[tuple[str, tuple[int, int]]]:
    """Where the strings of a JSON text stand that are values of objects, by dotted key."""
    found: list[tuple[str, tuple[int, int]]] = []
    path: list[str] = []
    is_key = False
    objects: list[bool] = []
    for token in _TOKEN.finditer(text):
        match token[0]:
            case "{" | "[" as opened:
                objects.append(opened == "{")
                path.append("")
                is_key = objects[-1]
            case "}" | "]":
                objects.pop()
                path.pop()
            case ",":
                is_key = objects[-1]
            case ":":
                is_key = False
            case string if is_key:
                path[-1] = json.loads(string)
            case _ if all(objects):
                found.append((".".join(path), token.span()))
    return found


def _at(data: Any, key: str) -> Any:
    for part in key.split("."):
        if not isinstance(data, Mapping):
            return None
        data = data.get(part)
    return data


@dataclass(frozen=True)
class Stated:
    """A place that states the version: file, dotted key, what it says and what it should say."""

    path: str
    key: str
    before: str
    after: str


def checked_version(text: str) -> str:
    """The version itself, if it is one. Raises Refused otherwise."""
    try:
        return str(Version(text))
    except InvalidVersion:
        problem = f"{text!r} is not a version."
        raise Refused(problem, then="write it as in --to 1.76.5") from None


def changes(work: Path, policy: Policy, version: str) -> list[Stated]:
    """The places in a work tree that state another version.

    Raises Refused if a version file is missing or states none.
    """
    found = []
    for file in policy.version_files:
        text = files.text_below(work, file.path)
        stated = read(text, file.keys, file.path) if text is not None else {}
        if not stated:
            raise Refused(
                f"{work / file.path} states no version at {', '.join(file.keys)}.",
                then="correct the file, or `version_files` in the policy.",
            )
        found += [
            Stated(file.path, key, before, after)
            for key, before in stated.items()
            if before != (after := spelled(version, file.path))
        ]
    return found


def half_done(sh: Shell, work: Path, policy: Policy, version: str) -> set[str]:
    """The version files in which a run that was cut has set the version, and nothing else."""
    paths = set()
    for file in policy.version_files:
        now, committed = (files.text_below(work, file.path), git.show(sh, work, "HEAD", file.path))
        if committed is None or now is None:
            continue
        if now != committed and now == write(committed, file.keys, version, file.path):
            paths.add(file.path)
    return paths


def apply(
    sh: Shell,
    console: Console,
    work: Path,
    policy: Policy,
    found: list[Stated],
    cut: set[str],
    message: str,
) -> None:
    """Make the changes in a work tree and commit them, and nothing else.

    cut: files that hold the change already, as an earlier run left them.
    Raises Refused while a merge is in progress, if a version file has other changes, or where
    nobody could commit.
    """
    state = git.work_state(sh, work)
    paths = sorted({change.path for change in found} | cut)
    if state.merging:
        raise Refused(
            f"a merge is in progress in {git.named(work)}.",
            then=f"conclude it first: {git.at(work)} commit",
        )
    if not git.has_identity(sh, work):
        raise git.nobody(work)
    if changed := [path for path in paths if path in state.dirty and path not in cut]:
        raise Refused(
            f"{changed[0]} has changes that are not committed.",
            then="commit or stash them, then run the same command again.",
        )
    for file in policy.version_files:
        path, before = files.below(work, file.path), [c for c in found if c.path == file.path]
        if not before:
            continue
        old = files.read_text(path)
        new = write(old, file.keys, before[0].after, file.path)
        if sh.dry:
            sh.show(files.patch_command(work, file.path, old, new))
        else:
            files.replace_text(path, new)
    words = ["git", "-C", str(work), "commit", "-m", message, "--", *paths]
    if not sh.dry:
        console.command(command_line(words))
    answer = sh.run(words)
    if not answer.ok:
        raise Failed(
            f"git commit ended with exit code {answer.code}: {answer.err.strip()}",
            untouched=f"The version is changed in {', '.join(paths)}, and not committed.",
            then="mend what git or a hook complains of, commit, then run the same command again.",
        )


def set_version(s: Session, fork: Fork, work: Path, to: str) -> None:
    """Set the version in a work tree, and commit that."""
    version = checked_version(to)
    cut = half_done(s.sh, work, fork.policy, version)
    found = changes(work, fork.policy, version)
    if not fork.policy.version_files:
        s.console.say("The policy names no file that states the version; there is none to set.")
        return
    if not found and not cut:
        s.console.say(f"The version is {version} already.")
        return
    message = fork.policy.messages.version.replace("{version}", version)
    for change in found:
        s.console.say(f"{change.path}: {change.key} {change.before} -> {change.after}")
    apply(s.sh, s.console, work, fork.policy, found, cut, message)


def bump_version(s: Session, tag: str, to: str) -> None:
    """Set the version in a work tree, to a tag's or to the one given."""
    if bool(tag) == bool(to):
        raise Usage(
            "name the version by either --tag or --to.",
            then=s.command("bump-version", to="1.76.5"),
        )
    fork, work = s.open_work_tree()
    if tag:
        to = tags.require_stable(tags.checked_name(tag), fork.policy.tags).release
    set_version(s, fork, work, to)


def stated(sh: Shell, fork: Fork, commit: str) -> str:
    """The version that a commit's version files state first; "" if they state none."""
    for file in fork.policy.version_files:
        text = git.show(sh, fork.path, commit, file.path)
        for version in read(text or "", file.keys, file.path).values():
            return version
    return ""
