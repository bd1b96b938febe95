"""What tag names tell of a release, and guesses as TOML that can be read."""

from __future__ import annotations

from contextlib import suppress

import pytest
import tomli

from carto_fork.adopt import conventions
from carto_fork.adopt.adoption import toml
from carto_fork.adopt.conventions import Guess, Surety
from carto_fork.fork import tags, version_files
from carto_fork.fork.tags import TagScheme, TagUse
from carto_fork.run.errors import Refused, Usage


def classified(names: list[str]) -> dict[str, str | None]:
    """What the guessed classes make of the names that they were guessed from."""
    found = [
        TagScheme(**{**guess.value, "use": TagUse(guess.value["use"])})
        for guess in conventions.tag_schemes(names)
    ]
    uses = {name: tags.classify(name, found) for name in names}
    return {name: tag.scheme.use.value if tag else None for name, tag in uses.items()}


@pytest.mark.parametrize(
    ("automatic", "on_request", "never"),
    [
        (["v1.2.3", "v1.10.0"], [], ["v1.2.3-rc.1", "v1.3.0-beta2", "v2.0.0-alpha.1"]),
        (["release/1.0", "release/1.1"], [], ["release/1.1-rc.1"]),
        (["1.0", "1.1"], ["1.1.1"], ["1.2b1", "1.2a3", "1.2.dev4"]),
        (["v1.0.0-stable", "v1.1.0-stable"], ["v1.0.0", "v1.1.0", "v1.2.0"], ["v1.3.0-nightly"]),
        (["4.0.0.Final", "4.1.0.Final"], [], ["4.2.0.Beta1"]),
        (["v1.0.0"], ["v1.0.0-build.7"], ["nightly-2024.01.02", "v1.0.0-preview"]),
        (["v1.0.0", "v1.1.0"], [], ["sdk/v0.1.0"]),
        (["r1", "r2", "r10"], [], []),
        (["a+b-1.0"], [], []),
        (["n8n@1.2.3", "n8n@1.10.0"], [], ["n8n@1.11.0-rc.1"]),
        (["log4j-2.17.1"], [], ["log4j-2.18.0-beta1"]),
        (["k8s-v1.2.3"], [], ["k8s-v1.3.0-alpha.2"]),
        (["device-v1.0.0"], [], ["device-v1.1.0-dev"]),
        (["predict-v1.0.0"], [], ["predict-v1.1.0-prerelease", "predict-v1.1.0.pre1"]),
        (["nextcloud-v1.2.3"], [], ["nextcloud-v1.3.0-next.1", "nextcloud-v1.3.0-RC2"]),
        (["DEVICE-1.0"], [], ["DEVICE-1.1.DEV", "DEVICE-1.1.devMCP"]),
        (["v1.0.0"], [], ["v1.1.0-development", "v1.1.0.devel", "v1.1.0-testing"]),
    ],
)
def test_tag_names_are_classified_by_family(
    automatic: list[str], on_request: list[str], never: list[str]
) -> None:
    assert classified([*automatic, *on_request, *never]) == (
        dict.fromkeys(automatic, "automatic")
        | dict.fromkeys(on_request, "on-request")
        | dict.fromkeys(never, "never")
    )


def test_the_stable_scheme_comes_first_and_is_certain_if_it_is_the_only_one() -> None:
    alone, *_ = conventions.tag_schemes(["v1.0.0", "v1.1.0-rc1"])
    assert (alone.surety, alone.value["use"]) == (Surety.CERTAIN, "automatic")
    first, other = conventions.tag_schemes(["v1.0.0", "v1.1.0", "v2.0"])
    assert (first.surety, first.why) == (Surety.LIKELY, "2 tags such as v1.1.0")
    assert other.value["use"] == "on-request"


@pytest.mark.parametrize("names", [[], ["latest"], ["nightly-1.0", "v1.0-rc1"]])
def test_tag_names_without_a_stable_release_are_refused(names: list[str]) -> None:
    with pytest.raises(Usage):
        list(conventions.tag_schemes(names))


@pytest.mark.parametrize(
    "value",
    ["plain", 'a "quoted" \\d', "it's \\d", "ä", True, ["a", "b\\"], {"name": "x", "url": "y"}],
)
def test_values_are_toml(value: object) -> None:
    text = toml([Guess("a.b", value, Surety.GUESS, "why")])
    assert tomli.loads(text)["a"]["b"] == value
    assert "# guess: why\n" in text


def test_what_is_left_out_is_a_comment() -> None:
    rule = Guess("rules", {"name": "one"}, Surety.LIKELY, "seen")
    text = toml([Guess("rules", None, Surety.GUESS, "no rule for a\x1b/"), rule])
    assert tomli.loads(text) == {"rules": [{"name": "one"}]}
    assert "# guess: no rule for a\\x1b/\n" in text


def test_tables_and_lists_of_tables_are_toml() -> None:
    guesses = [
        Guess("name", "x", Surety.CERTAIN, "said"),
        Guess("rules", {"name": "one", "whole": True}, Surety.LIKELY, "seen"),
        Guess("rules", {"name": "two"}, Surety.LIKELY, "seen"),
        Guess("commands.test", ["make test"], Surety.LIKELY, "seen"),
        Guess("commands.lint", ["make lint"], Surety.LIKELY, "seen"),
    ]
    assert tomli.loads(toml(guesses)) == {
        "name": "x",
        "rules": [{"name": "one", "whole": True}, {"name": "two"}],
        "commands": {"test": ["make test"], "lint": ["make lint"]},
    }


def test_names_that_upstream_has_given_up_are_no_releases() -> None:
    """Five marked tags of 2010 do not outrank 161 plain ones of today, nor `v011` what follows.

    https://github.com/intel/intel-cmt-cat/issues/264: from `v23.11` to `v24.05.0`, as it were.
    https://github.com/HowardHinnant/date/issues/293: `2.3` between `v2.2` and `v2.4`.
    """
    names = ["v2.0.4-stable", "v011", "v23.08", *(f"v6.{minor}.0" for minor in range(9))]
    dates = dict.fromkeys(names, 1_600_000_000) | {"v2.0.4-stable": 1_270_000_000}
    dates |= {"v011": 1_450_000_000, "v23.08": 1_500_000_000}
    main, *others = conventions.tag_schemes(names, dates)
    assert (main.value["pattern"], main.value["use"]) == (
        r"v(?P<version>\d+\.\d+\.\d+)",
        "automatic",
    )
    assert {other.value["use"] for other in others} == {"never"}


def test_a_part_of_the_product_is_not_released_as_the_whole() -> None:
    """https://github.com/mapbox/github-release-tools/issues/4,
    https://github.com/intuit/auto/issues/1272, https://github.com/neuledge/context/pull/7"""
    parts = [f"{part}1.{n}.0" for n in range(9) for part in ("cmd/x/v", "@scope/y@", "z-v")]
    uses = classified(["v1.0.0", "v1.1.0", *(p for p in parts if not p.startswith("z-"))])
    assert {name for name, use in uses.items() if use == "automatic"} == {"v1.0.0", "v1.1.0"}


def test_a_post_release_is_a_release() -> None:
    assert classified(["v1.0.0", "v1.0.0.post1"]) == {
        "v1.0.0": "automatic",
        "v1.0.0.post1": "automatic",
    }


FILES = {
    "VERSION": "1.90.0\nplugin-min=3.2\n",
    "src/tool/_version.py": '__version__ = "1.90.0"\nAPI = 3\n',
    "src/tool/__init__.py": '"""A tool, since 1.0."""\n\n__version__ = "1.90.0"\n',
    "cmd/version.go": 'package cmd\n\nconst Version string = "1.90.0"\n',
    "src/version.h": '#define TOOL_VERSION "1.90.0"\n#define TOOL_API 3\n',
    "setup.cfg": "[metadata]\nname = tool\nversion = 1.90.0\n",
    "chart/Chart.yaml": "name: tool\nversion: 1.90.0\nappVersion: '1.90.0'\n",
    "Directory.Build.props": "<Project>\n  <PropertyGroup>\n    <Version>1.90.0</Version>\n",
    "src/App/App.csproj": '<VersionPrefix>1.90.0</VersionPrefix>\n<X Version="3.7" />\n',
    "gradle.properties": "org.gradle.jvmargs=-Xmx2g\nversion=1.90.0\n",
    "build.gradle": "plugins {\n  id 'x' version '3.1'\n}\nversion = '1.90.0'\n",
    "lib/tool/version.rb": 'module Tool\n  VERSION = "1.90.0"\nend\n',
    "mix.exs": '      app: :tool,\n      version: "1.90.0",\n      deps: [{:x, "~> 3.1"}]\n',
    "Cargo.toml": '[package]\nname = "tool"\nversion = "1.90.0"\n',
    "Cargo.lock": '[[package]]\nname = "tool"\nversion = "1.90.0"\n',
    "pyproject.toml": '[project]\nname = "My_Tool"\nversion = "1.90.0"\ndependencies = ["x"]\n',
    "uv.lock": '[[package]]\nname = "x"\nversion = "9.9"\n\n[[package]]\nname = "my-tool"\n'
    'version = "1.90.0"\n',
}


def test_a_version_is_set_where_projects_state_it() -> None:
    """One place of each file changes, whatever else the file holds.

    https://github.com/commitizen-tools/commitizen/issues/1754: the lock's name is normalised."""
    texts = dict(FILES)
    for file in conventions.version_files(FILES, FILES.__getitem__):
        with suppress(Refused):
            texts[file.path] = version_files.write(texts[file.path], file, "1.91.0")
    assert texts == {path: text.replace("1.90.0", "1.91.0") for path, text in FILES.items()}


def test_what_the_workflows_run_is_proposed_and_not_in_force() -> None:
    workflow = (
        "jobs:\n  a:\n    steps:\n      - run: go test ./...\n      - run: make check | tee log\n"
        "      - name: x\n        run: golangci-lint run\n      - run: ./evil.sh test; rm -rf /\n"
    )
    files = {
        "Makefile": "install:\n\tcp x /usr\ntest:\n\t./x\n",
        ".github/workflows/ci.yml": workflow,
    }
    found = list(conventions.commands(files, lambda path: files.get(path, "")))
    assert [(guess.key, guess.value, guess.off) for guess in found] == [
        ("commands.test", ["make test"], False),
        ("commands.test", ["go test ./..."], True),
        ("commands.lint", ["golangci-lint run"], True),
    ]
    assert tomli.loads(toml(found)) == {"commands": {"test": ["make test"]}}
    assert '# lint = ["golangci-lint run"]' in toml(found)


def test_the_marker_begins_as_comments_of_the_sources_do() -> None:
    for paths, begins in (
        (["src/A.cs", "src/B.CS", "build.sh", "App.csproj"], "//"),
        (["a.py", "b.py", "package.json", "x.ts"], "#"),
        (["q.sql"], "--"),
        (["README.md"], "#"),
    ):
        assert conventions.comment(paths) == begins, paths
