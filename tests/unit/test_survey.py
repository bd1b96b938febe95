"""What tag names tell of a release, and guesses as TOML that can be read."""

from __future__ import annotations

import pytest
import tomli

from carto_fork.adopt import survey
from carto_fork.adopt.guess import Guess, Surety, toml
from carto_fork.fork import tags
from carto_fork.fork.policy import TagScheme, TagUse
from carto_fork.run.errors import Usage


def classified(names: list[str]) -> dict[str, str | None]:
    """What the guessed classes make of the names that they were guessed from."""
    found = [
        TagScheme(**{**guess.value, "use": TagUse(guess.value["use"])})
        for guess in survey.schemes(names)
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
    alone, *_ = survey.schemes(["v1.0.0", "v1.1.0-rc1"])
    assert (alone.surety, alone.value["use"]) == (Surety.CERTAIN, "automatic")
    first, other = survey.schemes(["v1.0.0", "v1.1.0", "v2.0"])
    assert (first.surety, first.why) == (Surety.LIKELY, "2 tags such as v1.1.0")
    assert other.value["use"] == "on-request"


@pytest.mark.parametrize("names", [[], ["latest"], ["nightly-1.0", "v1.0-rc1"]])
def test_tag_names_without_a_stable_release_are_refused(names: list[str]) -> None:
    with pytest.raises(Usage):
        list(survey.schemes(names))


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
