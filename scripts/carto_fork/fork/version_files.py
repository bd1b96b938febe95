"""Read the version in every file that states it, and set it without touching anything else."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli
from packaging.version import Version

from ..run import files, git
from ..run.console import Console
from ..run.errors import Refused, Usage
from ..run.shell import Shell, command_line
from . import tags
from .fork import Fork
from .patterns import find_all
from .policy import ALONE, POLICY_FILE, Policy, VersionFile
from .session import Session

WHOLE = "version"
"""The key of the version in a file that contains nothing else."""

_BOM = "\ufeff"


def read(text: str, file: VersionFile, where: str = "") -> dict[str, str]:
    """The versions that a file states, by place: its dotted keys, or what precedes the version on
    its line.

    where: names the file in messages; default: its path.
    Raises Refused if the file is not of the format its name says, if a version is not a string, or
    if several places or lines could be meant.
    """
    where, text = where or file.path, text.removeprefix(_BOM)
    if not file.keys:
        return {_called(text, start): text[start:end] for start, end in _spans(text, file, where)}
    is_json = file.path.endswith(".json")
    try:
        data: Any = (json.loads(text) if text.strip() else {}) if is_json else tomli.loads(text)
    except ValueError as error:
        form = "JSON" if is_json else "TOML"
        problem = f"{where} is not valid {form}: {error}."
        raise Refused(problem, then=f"correct {where}.") from None
    versions = {}
    for key in file.keys:
        value = _at(data, key)
        if value == {"workspace": True}:  # Cargo's reference to `workspace.package.version`
            continue
        if value is not None and not isinstance(value, str):
            problem = f"{where}: {key} is {value!r}, not a string."
            raise Refused(problem, then=f"correct {where}.")
        if value is not None:
            versions[key] = value
    return versions


def _spans(text: str, file: VersionFile, where: str) -> list[tuple[int, int]]:
    """The start and end of the version in a file without keys: one place, or none."""
    spans = [match.span("version") for match in find_all(file.pattern or ALONE, text)]
    if len(spans) > 1:
        raise Refused(
            f"{where}: {file.pattern!r} matches {len(spans)} places.",
            then=f"rewrite `pattern` in {POLICY_FILE} so that it matches only the version.",
        )
    if not spans and not file.pattern and text.strip():
        raise Refused(
            f"{where} contains more than a version, and the policy does not name its place.",
            then=f"name the place in {POLICY_FILE}, as in pattern = '{_likely(text)}'.",
        )
    return spans


def _likely(text: str) -> str:
    """A pattern for the first line of a text that looks like a version."""
    match = re.search(r"^(.*?)v?\d+\.\d", text, re.MULTILINE)
    before = re.sub(r"\\([ \"#-])", r"\1", re.escape(match[1] if match else "version = "))
    start = r"\A" if match and not match.start() else "^"
    return start + before.replace("'", ".") + r'(?P<version>v?\d[^\s"]*)'


def _called(text: str, start: int) -> str:
    """What precedes the version on its line, such as ``#define VERSION``."""
    before = text[text.rfind("\n", 0, start) + 1 : start]
    return before.strip(" \t\"'=:") or WHOLE


def number(text: str) -> Version:
    """A version as a number to compare; 0 if it is not one."""
    try:
        return Version(text)
    except ValueError:
        return Version("0")


def same(one: str, other: str) -> bool:
    """Whether two spellings mean one version, as ``v1.90.0`` and ``1.90`` do."""
    try:
        return Version(one) == Version(other)
    except ValueError:
        return one == other


def counts_on(version: str, release: str) -> bool:
    """Whether the fork derived a version from a release's, such as 1.75.2.1 from 1.75.2."""
    try:
        numbers = Version(release).release
        return Version(version).release[: len(numbers)] == numbers
    except ValueError:
        return False


def why_differs(version: str, release: str) -> str:
    """How a fork may have come to state another version than that of its release."""
    if counts_on(version, release):
        return "the fork bumped the version itself"
    return "the version is wrong, or a sync was merged without its history"


_NUMBERS = re.compile(r"(\D*)(\d+(?:\.\d+)*)(.*)", re.DOTALL)


def spelled(version: str, before: str) -> str:
    """A version in the form of the one it replaces: with its ``v``, as many numbers, and its
    leading zeros; unchanged if both already mean the same."""
    if same(version, before):
        return before
    old, new = _NUMBERS.fullmatch(before), _NUMBERS.fullmatch(version)
    if not old or not new or old[1].lower() not in ("", "v"):
        return version
    models, numbers = old[2].split("."), new[2].split(".")
    # A fork may add a fourth number of its own; tools expect three.
    numbers += ["0"] * (min(len(models), 3) - len(numbers))
    if any(model.startswith("0") and model != "0" for model in models):
        widths = [len(model) for model in models] + [0] * len(numbers)
        numbers = [number.zfill(width) for number, width in zip(numbers, widths, strict=False)]
    return old[1] + ".".join(numbers) + new[3]


def write(text: str, file: VersionFile, version: str) -> str:
    """The file with a new version in every place that states another one; everything else stays
    byte for byte. Raises Refused as `read` does."""
    bom, text = (_BOM, text[1:]) if text.startswith(_BOM) else ("", text)
    if not file.keys:
        for start, end in _spans(text, file, file.path):
            text = text[:start] + spelled(version, text[start:end]) + text[end:]
    elif file.path.endswith(".json"):
        text = _write_json(text, file.keys, version)
    else:
        text = _write_toml(text, file.keys, version)
    return bom + text


def _write_toml(text: str, keys: Sequence[str], version: str) -> str:
    import tomlkit

    document = tomlkit.parse(text)
    for key in keys:
        *parents, last = key.split(".")
        table = _at(document, ".".join(parents)) if parents else document
        if not isinstance(table, MutableMapping) or not isinstance(table.get(last), str):
            continue
        if (after := spelled(version, table[last])) != table[last]:
            quotes = table[last].as_string()
            table[last] = tomlkit.string(
                after, literal=quotes[0] == "'", multiline=quotes[:3] in ('"""', "'''")
            )
    return tomlkit.dumps(document)


def _write_json(text: str, keys: Sequence[str], version: str) -> str:
    """JSON with some strings replaced in place."""
    spans = dict(_strings(text))
    for key in sorted(keys, key=lambda key: spans.get(key, (0, 0)), reverse=True):
        if key in spans:
            start, end = spans[key]
            after = spelled(version, json.loads(text[start:end]))
            text = text[:start] + json.dumps(after, ensure_ascii=False) + text[end:]
    return text


_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]')


def _strings(text: str) -> list[tuple[str, tuple[int, int]]]:
    """The positions of the strings in a JSON text that are values of objects, by dotted key."""
    strings: list[tuple[str, tuple[int, int]]] = []
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
                strings.append((".".join(path), token.span()))
    return strings


def _at(data: Any, key: str) -> Any:
    for part in key.split("."):
        if not isinstance(data, Mapping):
            return None
        data = data.get(part)
    return data


@dataclass(frozen=True)
class Stated:
    """A place that states the version: file, dotted key, the present and the wanted value."""

    path: str
    key: str
    before: str
    after: str


def checked_version(text: str) -> str:
    """The version itself, if it is valid. Raises Refused otherwise."""
    try:
        return str(Version(text))
    except ValueError:
        problem = f"{text!r} is not a version."
        raise Refused(problem, then="write it as in --to 1.76.5") from None


def changes(work: Path, policy: Policy, version: str) -> list[Stated]:
    """The places in a work tree that state another version.

    Raises Refused if a version file is missing or states none.
    """
    stated_places = []
    for file in policy.version_files:
        text = files.text_below(work, file.path)
        stated = read(text, file) if text is not None else {}
        if not stated:
            problem = f"{work / file.path} states no version{_place(file)}."
            raise Refused(problem, then="correct the file, or `version_files` in the policy.")
        stated_places += [
            Stated(file.path, key, before, after)
            for key, before in stated.items()
            if before != (after := spelled(version, before))
        ]
    return stated_places


def _place(file: VersionFile) -> str:
    """Where a file should state the version, to append to a sentence."""
    if file.keys:
        return f" at {', '.join(file.keys)}"
    return f" where {file.pattern!r} fits" if file.pattern else ""


def half_done(sh: Shell, work: Path, policy: Policy, version: str) -> set[str]:
    """The version files in which an interrupted run has set the version and nothing else."""
    paths = set()
    for path in {file.path for file in policy.version_files}:
        now, text = files.text_below(work, path), git.show(sh, work, "HEAD", path)
        if text is None or now in (None, text):
            continue
        for file in policy.version_files:
            text = write(text, file, version) if file.path == path else text
        if now == text:
            paths.add(path)
    return paths


def apply(
    sh: Shell,
    console: Console,
    work: Path,
    policy: Policy,
    todo: list[Stated],
    cut: set[str],
    message: str,
) -> None:
    """Make the changes in a work tree and commit only them.

    cut: files that already contain the change, left by an interrupted run.
    Raises Refused if a merge is in progress, a version file has other changes, or git has no
    identity to commit with.
    """
    state = git.work_state(sh, work)
    paths = sorted({change.path for change in todo} | cut)
    if state.merging:
        problem = f"a merge is in progress in {git.named(work)}."
        raise Refused(problem, then=f"finish it first: {git.at(work)} commit")
    git.require_identity(sh, work)
    if changed := [path for path in paths if path in state.dirty and path not in cut]:
        problem = f"{changed[0]} has uncommitted changes."
        raise Refused(problem, then="commit or stash them, then run the same command again.")
    for file in policy.version_files:
        path, changed = (
            files.below(work, file.path),
            [c.after for c in todo if c.path == file.path],
        )
        if not changed:
            continue
        old = files.read_text(path)
        new = write(old, file, changed[0])
        if sh.dry:
            sh.show(files.patch_command(work, file.path, old, new))
        else:
            files.replace_text(path, new)
    words = ["git", "-C", str(work), "commit", "-m", message, "--", *paths]
    if not sh.dry:
        console.command(command_line(words))
    git.checked(sh.run(words), "commit")


def set_version(s: Session, fork: Fork, work: Path, to: str) -> None:
    """Set the version in a work tree and commit it."""
    version = checked_version(to)
    cut = half_done(s.sh, work, fork.policy, version)
    todo = changes(work, fork.policy, version)
    if not fork.policy.version_files:
        s.console.say("The policy names no version files, so no version was set.")
        return
    if not todo and not cut:
        s.console.result(f"The version is already {version}.")
        return
    message = fork.policy.messages.version.replace("{version}", version)
    for change in todo:
        s.console.say(f"{change.path}: {change.key} {change.before} -> {change.after}")
    apply(s.sh, s.console, work, fork.policy, todo, cut, message)


def bump_version(s: Session, tag: str, to: str) -> None:
    """Set the version in a work tree, to a tag's or to the one given."""
    if bool(tag) == bool(to):
        raise Usage(
            "give the version with either --tag or --to.",
            then=s.command("bump-version", to="1.76.5"),
        )
    fork, work = s.open_work_tree()
    if tag:
        to = tags.require_stable(tags.checked_name(tag), fork.policy.tags).release
    set_version(s, fork, work, to)


def at(sh: Shell, fork: Fork, commit: str) -> Iterator[tuple[VersionFile, dict[str, str]]]:
    """What each version file states at a commit, as `read` returns it; nothing if the file is
    missing or the commit is "".

    Raises Refused as `read` does.
    """
    where = f"{{}} at {commit[:10] if len(commit) == 40 else commit}"
    for file in fork.policy.version_files:
        text = git.show(sh, fork.path, commit, file.path) if commit else ""
        yield file, read(text or "", file, where.format(file.path))


def stated(sh: Shell, fork: Fork, commit: str) -> str:
    """The version that a commit's version files state first; "" if they state none."""
    return next((v for _, places in at(sh, fork, commit) for v in places.values()), "")
