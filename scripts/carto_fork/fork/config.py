"""The policy in force, as `config` prints it."""

from __future__ import annotations

import json
from collections.abc import Mapping

from ..run.console import Console
from .policy import Loaded
from .session import Session


def show_config(s: Session) -> None:
    """Print the policy in force; refuse afterwards where the fork's own one is not valid."""
    fork = s.open_fork(whatever_policy=True)
    if s.json:
        s.print_json(fork.loaded.settings)
    else:
        _show(s.console, fork.loaded)
    if fork.problem:
        raise fork.problem


def _show(console: Console, loaded: Loaded) -> None:
    """The effective policy as TOML, each value with where it came from."""
    # In TOML a plain key cannot follow the tables of a list.
    listed = [setting for setting in loaded.settings if _tables(setting.value)]
    for setting in loaded.settings:
        if setting not in listed:
            line = f"{setting.key} = {_inline(setting.value)}"
            console.row(f"{line:<60}  ", f"# {setting.source}")
    for setting in listed:
        for table in setting.value:
            console.say()
            console.row(f"[[{setting.key}]]  ", f"# {setting.source}")
            for key, value in table.items():
                console.row("", f"{key} = {_inline(value)}")


def _tables(value: object) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], Mapping)


def _inline(value: object) -> str:
    """A value as TOML writes it on one line."""
    if isinstance(value, list):
        return "[" + ", ".join(map(_inline, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    # JSON's strings are TOML's basic strings.
    return f"'{value}'" if "\\" in str(value) and "'" not in str(value) else json.dumps(value)
