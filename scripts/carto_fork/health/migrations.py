"""Migrations of a database: their order, and whether a new database takes them in that order."""

from __future__ import annotations

import re
import secrets
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import PurePosixPath

from ..run.shell import Answer, Shell

PRODUCTS = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}
"""The databases that migrations can be tried on."""
FILE_NAME = "migration.sql"

_PATIENCE = 600
_FOREIGN = re.compile(r"syntax error|unrecognized token|incomplete input|no such function")


class Unreachable(Exception):
    """There is no such database to try anything on; its text says why."""


@dataclass(frozen=True)
class Stopped:
    """Where a migration does not get on.

    said: what the database says of the statement. foreign: whether it does not know such
    statements at all.
    """

    migration: str
    statement: str
    said: str
    foreign: bool


def names(paths: Iterable[str], directory: str) -> dict[str, str]:
    """The migrations in a directory: their names, in their order, to the paths of their SQL."""
    found = {}
    for path in paths:
        place = PurePosixPath(path)
        if place.name == FILE_NAME and str(place.parent.parent) == directory.rstrip("/"):
            found[place.parent.name] = path
    return dict(sorted(found.items()))


def apply(sh: Shell, product: str, scripts: Mapping[str, str]) -> Stopped | None:
    """Apply migrations, in the order given, to a new database that is gone afterwards.

    product: a key of `PRODUCTS`. scripts: the SQL of each migration by its name.
    Returns where it stopped; None if all went well. Raises Unreachable.
    """
    return _sqlite(scripts) if product == "sqlite" else _postgresql(sh, scripts)


# --- SQLite --------------------------------------------------------------------------------------


def _sqlite(scripts: Mapping[str, str]) -> Stopped | None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as database:
        for name, script in scripts.items():
            for statement in statements(script):
                try:
                    database.execute(statement)
                except sqlite3.Error as error:
                    said = str(error)
                    return Stopped(name, statement, said, bool(_FOREIGN.search(said)))
    return None


def statements(script: str) -> Iterator[str]:
    """The statements of a script one by one, without the comments before them."""
    held = ""
    for piece in re.split(r"(?<=;)", script):
        held += piece
        if sqlite3.complete_statement(held):
            yield _bare(held)
            held = ""
    if rest := _bare(held):
        yield rest


def _bare(statement: str) -> str:
    return re.sub(r"\A(\s+|--[^\n]*(\n|\Z)|/\*.*?\*/)+", "", statement, flags=re.DOTALL).rstrip()


# --- PostgreSQL ----------------------------------------------------------------------------------


def _postgresql(sh: Shell, scripts: Mapping[str, str]) -> Stopped | None:
    if not sh.ask("psql --version").ok:
        raise Unreachable("psql is not installed")
    name = f"carto_fork_{secrets.token_hex(6)}"
    made = _psql(sh, "postgres", "-c", f"CREATE DATABASE {name}")
    if not made.ok:
        said = _said(made)
        raise Unreachable(f"psql cannot make a database (PGHOST, PGUSER name the server): {said}")
    try:
        for migration, script in scripts.items():
            with tempfile.NamedTemporaryFile(prefix="carto-fork.", suffix=".sql") as file:
                file.write(script.encode("utf-8", "surrogateescape"))
                file.flush()
                done = _psql(sh, name, "-f", file.name)
            if not done.ok:
                at = re.search(r"\.sql:(\d+): ", done.err)
                statement = _at(script, int(at[1])) if at else ""
                return Stopped(migration, statement, _said(done), foreign=False)
    finally:
        _psql(sh, "postgres", "-c", f"DROP DATABASE {name}")
    return None


def _psql(sh: Shell, database: str, *words: str) -> Answer:
    settings = ["-X", "-q", "-w", "-v", "ON_ERROR_STOP=1", "-v", "VERBOSITY=terse"]
    return sh.read(["psql", *settings, "-d", database, *words], timeout=_PATIENCE)


def _said(answer: Answer) -> str:
    lines = [line for line in answer.err.splitlines() if "ERROR:" in line] or [
        *answer.err.strip().splitlines()[:1],
        answer.ending,
    ]
    return re.sub(r"^psql:.*?(ERROR|error|FATAL):\s*", "", lines[0]).strip()


def _at(script: str, line: int) -> str:
    """The statement that ends in a line, or the first one behind it."""
    start = 1
    for piece in re.split(r"(?<=;)", script):
        start += piece.count("\n")
        if start >= line and piece.strip():
            return _bare(piece)
    return ""
