"""The version in a file: read, and changed without touching anything else."""

from __future__ import annotations

import difflib
from collections.abc import Callable

import pytest
import tomli
from hypothesis import given
from hypothesis import strategies as st

from carto_fork.fork import version_files
from carto_fork.fork.policy import VersionFile
from carto_fork.run.errors import Refused

KEYS = ("tool.poetry.version", "project.version", "tool.commitizen.version")

POETRY = """\
# The version below is kept by hand.
[tool.poetry]
name = "litellm"
version = "1.76.5"    # not 1.76.5-stable
description = 'Library to "call" models: version = "1.76.5"'

[tool.poetry.dependencies]
python = ">=3.8.1,<4.0, !=3.9.7"
httpx = { version = "1.76.5", extras = ["http2"] }


[build-system]
requires = [
    "poetry-core",  # 1.76.5
    "wheel"]

[tool.commitizen]
\tversion="1.76.5"
version_files = [
    "pyproject.toml:^version",
]
"""


# --- Reading -------------------------------------------------------------------------------------


def test_versions_are_read_at_the_keys_that_exist() -> None:
    assert version_files.read(POETRY, VersionFile("pyproject.toml", KEYS)) == {
        "tool.poetry.version": "1.76.5",
        "tool.commitizen.version": "1.76.5",
    }


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", {}),
        ("version = '1'\n", {}),
        ("[project]\nname = 'x'\n", {}),
        ("[project]\nversion = ''\n", {"project.version": ""}),
        ("project.version = '1'\n", {"project.version": "1"}),
        ("project = { version = '1' }\n", {"project.version": "1"}),
        ('[project]\n"version" = """1"""\n', {"project.version": "1"}),
        ("project = 'version'\n", {}),
        ("project = 3\n", {}),
        ("project = ['version']\n", {}),
        ("[[project]]\nversion = '1'\n", {}),
        ("[project.version]\nx = 1\n[tool]\npoetry = 1\n", None),
    ],
)
def test_a_version_is_read_in_any_toml_notation_and_skipped_if_missing(
    text: str, found: dict[str, str] | None
) -> None:
    if found is None:
        with pytest.raises(Refused):
            version_files.read(text, VersionFile("x.toml", KEYS))
    else:
        assert version_files.read(text, VersionFile("x.toml", KEYS)) == found


def test_a_key_can_be_at_the_top_level_or_nested() -> None:
    text = "version = '1'\n[a.b.c.d]\nversion = '2'\n"
    assert version_files.read(
        text,
        VersionFile(
            "x.toml",
            (
                "version",
                "a.b.c.d.version",
                "a.b.version",
            ),
        ),
    ) == {
        "version": "1",
        "a.b.c.d.version": "2",
    }


@pytest.mark.parametrize(
    ("value", "shown"),
    [("1.5", "1.5"), ("3", "3"), ("true", "True"), ("['1']", "['1']"), ("{ x = 1 }", "{'x': 1}")],
)
def test_a_version_that_is_not_a_string_is_refused(value: str, shown: str) -> None:
    with pytest.raises(Refused) as refused:
        version_files.read(
            f"[project]\nversion = {value}\n",
            VersionFile("pyproject.toml", KEYS),
            "pyproject.toml at abc",
        )
    assert str(refused.value) == (
        f"Refused: pyproject.toml at abc: project.version is {shown}, not a string.\n"
        "Nothing was changed.\n"
        "Next: correct pyproject.toml at abc."
    )


def test_an_invalid_toml_file_is_refused() -> None:
    with pytest.raises(Refused) as refused:
        version_files.read("[project]\n<<<<<<< HEAD\n", VersionFile("pyproject.toml", KEYS))
    assert str(refused.value) == (
        "Refused: pyproject.toml is not valid TOML: Invalid statement (at line 2, column 1).\n"
        "Nothing was changed.\n"
        "Next: correct pyproject.toml."
    )


# --- Writing -------------------------------------------------------------------------------------


def test_only_the_version_changes() -> None:
    new = version_files.write(POETRY, VersionFile("x.toml", KEYS), "1.77.2")
    assert new == POETRY.replace('\nversion = "1.76.5"', '\nversion = "1.77.2"').replace(
        '\tversion="1.76.5"', '\tversion="1.77.2"'
    )
    changed = [
        line for line in difflib.ndiff(POETRY.split("\n"), new.split("\n")) if line[0] in "+-"
    ]
    assert len(changed) == 4


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("[project]\nversion = '1.0'  # why\n", "[project]\nversion = '2.0'  # why\n"),
        ('[project]\nversion = "1.0"', '[project]\nversion = "2.0"'),
        ('[project]\nversion="1.0"\n', '[project]\nversion="2.0"\n'),
        ('[project]\n  version\t =  "1.0"\t#x\n\n\n', '[project]\n  version\t =  "2.0"\t#x\n\n\n'),
        ('[project]\n"version" = "1.0"\n', '[project]\n"version" = "2.0"\n'),
        ('[ project ]\nversion = "1.0"\n', '[ project ]\nversion = "2.0"\n'),
        ('project.version = "1.0"\n', 'project.version = "2.0"\n'),
        ('project = { version = "1.0", x = 1 }\n', 'project = { version = "2.0", x = 1 }\n'),
        ("project = {version='1.0'}\n", "project = {version='2.0'}\n"),
        ('[project]\nversion = """1.0"""\n', '[project]\nversion = """2.0"""\n'),
        ("[project]\nversion = '''1.0'''\n", "[project]\nversion = '''2.0'''\n"),
        (
            '[project]\r\nname = "é"\r\nversion = "1.0" # x\r\n',
            '[project]\r\nname = "é"\r\nversion = "2.0" # x\r\n',
        ),
        (
            '[project]\nversion = "1.0"\n[x]\na = 1\n[project.y]\nversion = "1.0"\n',
            '[project]\nversion = "2.0"\n[x]\na = 1\n[project.y]\nversion = "1.0"\n',
        ),
        (
            '[project.y]\nb = 1\n[x]\na = 1\n[project]\nversion = "1.0"\n',
            '[project.y]\nb = 1\n[x]\na = 1\n[project]\nversion = "2.0"\n',
        ),
        (
            '[tool.poetry]\nversion = "1.0"\n[x]\n[tool.commitizen]\nversion = "0.9"\n',
            '[tool.poetry]\nversion = "2.0"\n[x]\n[tool.commitizen]\nversion = "2.0"\n',
        ),
    ],
)
def test_quotes_layout_and_line_ends_stay(before: str, after: str) -> None:
    assert version_files.write(before, VersionFile("x.toml", KEYS), "2.0") == after


@pytest.mark.parametrize(
    "text",
    [
        "",
        "version = '1'\n",
        "[project]\nname = 'x'\n",
        "[tool.other]\nversion = '1'\n",
        "[[project]]\nversion = '1'\n",
        "project = 'a version of it'\n",
        "tool = 3\nproject = ['version']\n",
    ],
)
def test_a_file_without_the_keys_stays_as_it_is(text: str) -> None:
    assert version_files.write(text, VersionFile("x.toml", KEYS), "2.0") == text


def test_only_the_named_keys_are_written() -> None:
    text = '[project]\nversion = "1"\n[tool.poetry]\nversion = "1"\n'
    new = version_files.write(text, VersionFile("x.toml", ("project.version",)), "2")
    assert new == '[project]\nversion = "2"\n[tool.poetry]\nversion = "1"\n'


def test_writing_the_current_version_changes_no_byte() -> None:
    text = "[project]\nversion = '1.0'\n"
    assert version_files.write(text, VersionFile("x.toml", KEYS), "1.0") == text


@given(
    st.lists(st.sampled_from(["# c", "", "a = 1", "b = 'x'", "[x]", "  c=[1,\n 2 ]"]), unique=True),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from(["", " # note", "\t"]),
)
def test_everything_around_the_version_stays_byte_for_byte(
    around: list[str], end: str, tail: str
) -> None:
    head = [line for line in around if line != "[x]"]
    rest = [line for line in around if line.startswith(("#", "["))]
    lines = [*head, "[project]", 'name = "1.0"', f'version = "1.0"{tail}', *rest]
    text = "".join(f"{line}{end}" for line in "\n".join(lines).split("\n"))
    new = version_files.write(text, VersionFile("x.toml", KEYS), "2.0.1")
    assert new == text.replace('version = "1.0"', 'version = "2.0.1"')
    assert tomli.loads(new)["project"] == {"name": "1.0", "version": "2.0.1"}
    assert version_files.read(new, VersionFile("x.toml", KEYS)) == {"project.version": "2.0.1"}


# --- JSON ----------------------------------------------------------------------------------------

LOCK = """\
{
  "name": "panel", "lockfileVersion": 3,
  "dependencies": [{"version": "1.0.0"}, "1.0.0"],
  "requires": {"version": "1.0.0", "name": "a \\"version\\": \\"1.0.0\\""},
  "packages": {
      "": {"name": "panel", "version":  "1.0.0" },
      "node_modules/x": {"version": "1.0.0"}
  },
  "version": "1.0.0"
}
"""


def test_only_the_strings_of_the_keys_change_in_json() -> None:
    """Keys that are elsewhere, in lists or in strings are text like any other.

    https://github.com/googleapis/release-please/issues/1939: `packages` has the version once more.
    """
    keys = ("version", "packages..version", "name.version", "missing")
    after = version_files.write(LOCK, VersionFile("package-lock.json", keys), "1.10.0")
    own, root = '  "version": "1.0.0"\n}\n', '"version":  "1.0.0" }'
    assert after == LOCK.replace(own, own.replace("1.0.0", "1.10.0")).replace(
        root, root.replace("1.0.0", "1.10.0")
    )
    assert version_files.write(after, VersionFile("package-lock.json", keys), "1.0.0") == LOCK


def test_a_version_elsewhere_in_the_file_is_skipped() -> None:
    """https://github.com/googleapis/release-please/issues/1874,
    https://github.com/kellpossible/cargo-i18n/issues/118, and a dependency of the same version:
    https://github.com/callowayproject/bump-my-version/issues/93"""
    text = (
        '[workspace.package]\nversion = "0.2.0"\n[package]\nversion.workspace = true\n'
        '[dependencies]\nserde = "0.2.0"\n'
    )
    file = VersionFile("Cargo.toml", ("package.version", "workspace.package.version"))
    assert version_files.read(text, file) == {"workspace.package.version": "0.2.0"}
    assert version_files.write(text, file, "0.3.0") == text.replace("0.2.0", "0.3.0", 1)


# --- Files without keys ---------------------------------------------------------------------------

MORE = "1.90.0\nplugin-min=3.2\n"


@pytest.mark.parametrize(
    ("file", "text", "stated", "after"),
    [
        (VersionFile("VERSION"), "v1.90.0\n", {"version": "v1.90.0"}, "v1.91.0\n"),
        (VersionFile("VERSION"), "2024.02.09", {"version": "2024.02.09"}, "0001.91.00"),
        (VersionFile("VERSION"), "\ufeff1.90\r\n", {"version": "1.90"}, "\ufeff1.91.0\r\n"),
        (
            VersionFile("VERSION", pattern=r"\A(?P<version>\S+)$"),
            MORE,
            {"version": "1.90.0"},
            MORE.replace("1.90.0", "1.91.0"),
        ),
        (
            VersionFile("x.h", pattern=r'#define X_VERSION "(?P<version>[^"]+)"'),
            '#define X_VERSION "7.2.4"\n#define Y "7.2.4"\n',
            {"#define X_VERSION": "7.2.4"},
            '#define X_VERSION "1.91.0"\n#define Y "7.2.4"\n',
        ),
        (
            VersionFile("Cargo.lock", pattern=r'^name = "me"\nversion = "(?P<version>.+)"'),
            'name = "you"\nversion = "1.0"\n\nname = "me"\nversion = "1.0.0"\n',
            {"version": "1.0.0"},
            'name = "you"\nversion = "1.0"\n\nname = "me"\nversion = "1.91.0"\n',
        ),
        (VersionFile("x", pattern="^v=(?P<version>.*)$"), "y=1\n", {}, "y=1\n"),
    ],
)
def test_one_place_of_any_file_changes(
    file: VersionFile, text: str, stated: dict[str, str], after: str
) -> None:
    assert version_files.read(text, file) == stated
    assert version_files.write(text, file, "1.91.0") == after


@pytest.mark.parametrize(
    "change", [version_files.read, lambda t, f: version_files.write(t, f, "2")]
)
def test_nothing_is_written_if_the_place_is_unknown(change: Callable[..., object]) -> None:
    """https://github.com/3drepo/3drepo.io/issues/635: a VERSION file with more in it was
    overwritten."""
    with pytest.raises(Refused, match="contains more than a version"):
        change(MORE, VersionFile("VERSION"))
    with pytest.raises(Refused, match="matches 2 places"):
        change("v=1\nv=2\n", VersionFile("x", pattern="^v=(?P<version>.*)$"))


@pytest.mark.parametrize(
    ("version", "before", "after"),
    [
        ("1.91.0", "v1.91", "v1.91"),
        ("1.91.0", "V1.90.0", "V1.91.0"),
        ("4.2", "4.1.0", "4.2.0"),
        ("2024.3.1", "2024.02.09", "2024.03.01"),
        ("1.10.0", "1.9.0", "1.10.0"),
        ("1.91.0.post1", "1.91.0", "1.91.0.post1"),
        ("1.91.0", "unknown", "1.91.0"),
    ],
)
def test_a_version_is_written_in_the_form_that_the_file_has(
    version: str, before: str, after: str
) -> None:
    """https://github.com/release-it/bumper/issues/13: the `v` was lost."""
    assert version_files.spelled(version, before) == after
