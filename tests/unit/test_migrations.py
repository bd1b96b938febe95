"""Migrations: their order, their statements, and what a database says of them."""

from __future__ import annotations

import pytest

from carto_fork.health import checks_merges
from carto_fork.health.checks_merges import Stopped
from world import shell

TABLE = 'CREATE TABLE "t" ("a" TEXT);'


def test_names_are_in_order() -> None:
    paths = [
        "db/migrations/2_b/migration.sql",
        "db/migrations/10_a/migration.sql",
        "db/migrations/1_c/migration.sql",
        "db/migrations/migration.sql",
        "db/migrations/1_c/old/migration.sql",
        "db/migrations/1_d/notes.md",
        "other/db/migrations/0/migration.sql",
        "db/migrations/migration_lock.toml",
    ]
    found = checks_merges.names(paths, "db/migrations/")
    assert list(found) == ["10_a", "1_c", "2_b"]
    assert found["1_c"] == "db/migrations/1_c/migration.sql"


@pytest.mark.parametrize(
    ("script", "statements"),
    [
        ("", []),
        ("-- nothing;\n", []),
        ("SELECT 1;\n\nSELECT 2;\n", ["SELECT 1;", "SELECT 2;"]),
        ("SELECT 1; SELECT ';' -- a; b\n;", ["SELECT 1;", "SELECT ';' -- a; b\n;"]),
        ("/* one; */ SELECT 1;\n-- two;\nSELECT 2", ["SELECT 1;", "SELECT 2"]),
    ],
)
def test_a_script_is_split_into_statements(script: str, statements: list[str]) -> None:
    assert list(checks_merges.statements(script)) == statements


@pytest.mark.parametrize(
    ("script", "stopped"),
    [
        (TABLE, None),
        (
            f"{TABLE}\nALTER TABLE t ALTER COLUMN a SET NOT NULL;",
            Stopped(
                "1",
                "ALTER TABLE t ALTER COLUMN a SET NOT NULL;",
                'near "ALTER": syntax error',
                True,
            ),
        ),
        (
            f"{TABLE}\n{TABLE}",
            Stopped("1", TABLE, 'table "t" already exists', False),
        ),
        (
            "ALTER TABLE nowhere ADD COLUMN b TEXT;",
            Stopped("1", "ALTER TABLE nowhere ADD COLUMN b TEXT;", "no such table: nowhere", False),
        ),
    ],
)
def test_migrations_run_on_sqlite_until_one_fails(script: str, stopped: Stopped | None) -> None:
    assert checks_merges.apply(shell(), "sqlite", {"1": script}) == stopped


def test_postgresql_is_unreachable_without_psql(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path_factory.mktemp("bin")))
    with pytest.raises(checks_merges.Unreachable, match="psql is not installed"):
        checks_merges.apply(shell(), "postgresql", {"1": TABLE})
