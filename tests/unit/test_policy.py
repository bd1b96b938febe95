"""The policy: reading, merging, and refusals with their messages."""

from __future__ import annotations

import re

import msgspec
import pytest
import tomli
from pathspec import GitIgnoreSpec

from carto_fork.adopt import documents
from carto_fork.fork import policy
from carto_fork.fork.patterns import matching
from carto_fork.fork.policy import (
    DEFAULT_SOURCE,
    POLICY_FILE,
    Kind,
    Loaded,
    Rule,
    Side,
    Take,
    VersionFile,
)
from carto_fork.fork.setup import settings
from carto_fork.fork.tags import TagScheme, TagUse
from carto_fork.run.errors import ExitCode, Refused

THEN = "correct carto_fork.toml and commit it; `fork.config` prints what is valid."
EXTENDS = 'extends = "carto-litellm"\n'

ALONE = """
name = "Acme"

[remotes]
origin = { name = "ours", url = "https://example.com/acme/thing.git" }
upstream = { name = "theirs", url = "https://example.com/thing/thing.git" }

[branches]
mirror = "upstream-main"
upstream = "trunk"
production = "production"
sync = "sync-{tag}"

[messages]
merge = "merge {tag}"
version = "version {version}"

[[tags]]
name = "release"
pattern = '(?P<version>\\d+)'
use = "automatic"
"""

RULE = '[[rules]]\nname = "{name}"\npaths = ["*"]\ntake = "fork"\nwhy = "Ours."\n'


def sources(loaded: Loaded) -> dict[str, str]:
    return {setting.key: setting.source for setting in settings(loaded)}


def values(loaded: Loaded) -> dict[str, object]:
    return {setting.key: setting.value for setting in settings(loaded)}


# --- The default ---------------------------------------------------------------------------------


def test_the_default_is_cartos_fork() -> None:
    found = policy.load_policy().policy
    assert found.name == "CARTO"
    assert found.remotes.origin.url == "https://github.com/CartoDB/litellm.git"
    assert found.remotes.upstream.url == "https://github.com/BerriAI/litellm.git"
    assert (found.branches.mirror, found.branches.production) == ("main", "carto/main")
    assert found.branches.sync_for("v1.76.5") == "upstream-sync/v1.76.5"
    assert found.markers and found.markers.fork == "# CARTO:"
    assert found.version_files == (
        VersionFile(
            path="pyproject.toml",
            keys=("tool.poetry.version", "project.version", "tool.commitizen.version"),
        ),
    )


def test_every_value_of_the_default_comes_from_the_default() -> None:
    loaded = policy.load_policy()
    assert set(sources(loaded).values()) == {DEFAULT_SOURCE}
    assert values(loaded)["branches.production"] == "carto/main"
    assert len(sources(loaded)) == len(settings(loaded))


def test_every_rule_of_the_default_gives_a_reason_in_a_sentence() -> None:
    found = policy.load_policy().policy
    assert found.rules
    assert [rule.name for rule in found.rules if not re.fullmatch(r"[A-Z].*\.", rule.why)] == []


def test_a_policy_cannot_be_changed() -> None:
    found = policy.load_policy().policy
    with pytest.raises(AttributeError):
        found.name = "other"  # type: ignore[misc]
    with pytest.raises(AttributeError):
        found.branches.production = "main"  # type: ignore[misc]


# --- Merging -------------------------------------------------------------------------------------


def test_extending_replaces_the_named_values_and_keeps_the_rest() -> None:
    own = EXTENDS + 'name = "Other"\n[branches]\nproduction = "stable"\n'
    found, default = policy.load_policy(own).policy, policy.load_policy().policy
    assert found == msgspec.structs.replace(
        default,
        name="Other",
        branches=msgspec.structs.replace(default.branches, production="stable"),
    )


def test_tables_inside_tables_are_merged_key_by_key() -> None:
    url = "https://example.com/x.git"
    found = policy.load_policy(EXTENDS + f'[remotes.origin]\nurl = "{url}"\n').policy
    assert (found.remotes.origin.name, found.remotes.origin.url) == ("origin", url)
    assert found.remotes.upstream == policy.load_policy().policy.remotes.upstream


def test_lists_are_replaced_whole() -> None:
    found = policy.load_policy(EXTENDS + RULE.format(name="one") + "[commands]\ntest = []\n").policy
    assert found.rules == (Rule(name="one", paths=("*",), take=Take.FORK, why="Ours."),)
    assert found.commands.test == ()
    assert found.commands.lint == policy.load_policy().policy.commands.lint


def test_a_policy_that_only_extends_equals_the_default() -> None:
    loaded = policy.load_policy(EXTENDS)
    assert loaded.policy == policy.load_policy().policy
    assert set(sources(loaded).values()) == {DEFAULT_SOURCE}


def test_every_value_knows_its_source() -> None:
    own = EXTENDS + 'name = "Other"\n[remotes.origin]\nurl = "u"\n' + RULE.format(name="one")
    loaded = policy.load_policy(own, "carto_fork.toml at abc")
    own_keys = {key for key, source in sources(loaded).items() if source != DEFAULT_SOURCE}
    assert own_keys == {"name", "remotes.origin.url", "rules"}
    assert sources(loaded)["remotes.origin.url"] == "carto_fork.toml at abc"
    assert values(loaded)["remotes.origin.url"] == "u"
    assert sources(loaded)["remotes.origin.name"] == DEFAULT_SOURCE


def test_a_repeated_default_value_has_the_forks_file_as_its_source() -> None:
    loaded = policy.load_policy(EXTENDS + '[branches]\nproduction = "carto/main"\n')
    assert sources(loaded)["branches.production"] == POLICY_FILE


@pytest.mark.parametrize("value", ["[]", '[""]', '["*.yml"]'])
def test_an_empty_list_has_the_forks_file_as_its_source(value: str) -> None:
    loaded = policy.load_policy(EXTENDS + f"[workflows]\ndisabled = {value}\n")
    assert sources(loaded)["workflows.disabled"] == POLICY_FILE


# --- Without extends -----------------------------------------------------------------------------


def test_a_policy_without_extends_inherits_nothing() -> None:
    loaded = policy.load_policy(ALONE)
    found = loaded.policy
    assert found.name == "Acme"
    assert found.tags == (
        TagScheme(name="release", pattern=r"(?P<version>\d+)", use=TagUse.AUTOMATIC),
    )
    assert (found.rules, found.version_files, found.markers) == ((), (), None)
    assert found.workflows.disabled == ()
    assert (found.commands.install, found.commands.test, found.commands.lint) == ((), (), ())
    assert DEFAULT_SOURCE not in sources(loaded).values()


def test_every_field_of_a_rule_is_read() -> None:
    more = """
    [[rules]]
    name = "all"
    paths = ["/a", "b/"]
    take = "both"
    why = "Because."
    kinds = ["modify/delete", "add/add"]
    deleted_by = "upstream"
    whole = true
    """
    assert policy.load_policy(ALONE + more).policy.rules == (
        Rule(
            name="all",
            paths=("/a", "b/"),
            take=Take.BOTH,
            why="Because.",
            kinds=(Kind.MODIFY_DELETE, Kind.ADD_ADD),
            deleted_by=Side.UPSTREAM,
            whole=True,
        ),
    )


def test_the_default_text_loads_as_the_default_policy() -> None:
    assert policy.load_policy(policy.default_text()).policy == policy.load_policy().policy


@pytest.mark.parametrize(
    ("name", "key"),
    [("Acme, Inc.", "acme_inc"), ("3scale", "fork_3scale"), ("GitHub Labs", "fork_github_labs")],
)
def test_the_policy_key_is_valid_in_github_names(name: str, key: str) -> None:
    assert documents.key(policy.load_policy(ALONE.replace("Acme", name)).policy.name) == key


@pytest.mark.parametrize(
    "more",
    [
        "[files]\nrelease = ''\n[releases]\nworkflow = 'release.yml'\n",
        "[files]\nrelease = '.github/workflows/new.yml'\n[releases]\nworkflow = 'new.yml'\n",
        "[releases]\nworkflow = ''\n",
    ],
)
def test_the_release_workflow_can_be_renamed_or_left_out(more: str) -> None:
    policy.load_policy(EXTENDS + more)


# --- What is refused -----------------------------------------------------------------------------

TOP = "name, remotes, branches, messages, tags, largest_text, markers, rules, workflows, "
TOP += "version_files, commands"
RULE_KEYS = "name, paths, take, why, kinds, deleted_by, whole"
KINDS = "content, modify/delete, rename, add/add, binary, submodule, symlink, mode"
LAST = 'why = "Ours."\n'

REFUSED = [
    (
        EXTENDS + "[workflows]\nschedule = 'daily'\n",
        "key `workflows`: 'daily' is not a schedule of five fields, as for cron",
    ),
    # An unknown key: the message names its table and the valid keys.
    (
        EXTENDS + "odd = 1\n",
        f"top level: object contains unknown field `odd`; expected one of {TOP}",
    ),
    (
        EXTENDS + '[branches]\nprodution = "x"\n',
        "key `branches`: object contains unknown field `prodution`; "
        "expected one of mirror, upstream, production, sync",
    ),
    (
        EXTENDS + '[remotes.origin]\nuri = "x"\n',
        "key `remotes.origin`: object contains unknown field `uri`; expected one of name, url",
    ),
    (
        EXTENDS + RULE.format(name="a") + RULE.format(name="b").replace("why", "wy"),
        "key `rules[1]`: object contains unknown field `wy`; expected one of " + RULE_KEYS,
    ),
    (
        EXTENDS + '[markers]\nfork = "#"\nours = "x"\n',
        "key `markers`: object contains unknown field `ours`; expected one of fork",
    ),
    # A wrong type.
    (EXTENDS + "name = 1\n", "key `name`: expected `str`, got `int`"),
    (EXTENDS + "remotes = 1\n", "key `remotes`: expected `object`, got `int`"),
    (EXTENDS + 'rules = "x"\n', "key `rules`: expected `array`, got `str`"),
    (
        EXTENDS + RULE.format(name="a").replace('["*"]', '"*"'),
        "key `rules[0].paths`: expected `array`, got `str`",
    ),
    (
        EXTENDS + RULE.format(name="a").replace('["*"]', '["*", 3]'),
        "key `rules[0].paths[1]`: expected `str`, got `int`",
    ),
    (
        EXTENDS + RULE.format(name="a") + 'whole = "yes"\n',
        "key `rules[0].whole`: expected `bool`, got `str`",
    ),
    (EXTENDS + "[commands]\ntest = 'x'\n", "key `commands.test`: expected `array`, got `str`"),
    # A value that is not among the choices.
    (
        EXTENDS + RULE.format(name="a").replace('"fork"', '"ours"'),
        "key `rules[0].take`: invalid enum value 'ours'; "
        "expected one of fork, upstream, both, version",
    ),
    (
        EXTENDS + RULE.format(name="a") + 'kinds = ["content", "odd"]\n',
        f"key `rules[0].kinds[1]`: invalid enum value 'odd'; expected one of {KINDS}",
    ),
    (
        EXTENDS + RULE.format(name="a") + 'deleted_by = "us"\n',
        "key `rules[0].deleted_by`: invalid enum value 'us'; expected one of fork, upstream",
    ),
    (
        EXTENDS + "[[tags]]\nname = 'a'\npattern = 'b'\nuse = 'sometimes'\n",
        "key `tags[0].use`: invalid enum value 'sometimes'; "
        "expected one of automatic, on-request, never, own",
    ),
    # A key that is missing.
    ('name = "x"\n', "top level: object missing required field `remotes`"),
    (ALONE.replace('sync = "sync-{tag}"', ""), "key `branches`: object missing required field "),
    (EXTENDS + "[[version_files]]\nkeys = []\n", "key `version_files[0]`: object missing "),
    (
        EXTENDS + "[[version_files]]\npath = 'x.json'\n",
        "key `version_files[0]`: x.json: name the place of the version with `keys`",
    ),
    (
        EXTENDS + "[files]\nguide = '../GUIDE.md'\n",
        "key `files`: '../GUIDE.md' is not a path inside the fork",
    ),
    (
        EXTENDS + "[files]\nguard = 'guard.yml'\n",
        "key `files`: 'guard.yml' is not a workflow path for GitHub",
    ),
    (
        EXTENDS + "[files]\ntasks = 'my-tasks.py'\n",
        "key `files`: 'my-tasks.py' is not a collection for invoke",
    ),
    (
        EXTENDS + "[files]\nguide = 'X.md'\nprocess = 'X.md'\n",
        "key `files`: two of them have the same path",
    ),
    (
        EXTENDS + "[releases]\nworkflow = 'release.yml'\n",
        "top level: releases.workflow is 'release.yml' and files.release "
        "'.github/workflows/carto_release.yaml': one workflow makes the releases",
    ),
    # Values that do not make sense.
    (
        EXTENDS + "[[tags]]\nname = 'a'\npattern = '('\nuse = 'own'\n",
        "key `tags[0]`: pattern '(' is not a regular expression: missing ) at position 1",
    ),
    (
        EXTENDS + "[[tags]]\nname = 'a'\npattern = 'b'\nuse = 'own'\nsince = 'soon'\n",
        "key `tags[0]`: 'soon' is not a version",
    ),
    (
        EXTENDS + "[[tags]]\nname = 'a'\npattern = 'b'\nuse = 'own'\nbefore = '1.x'\n",
        "key `tags[0]`: '1.x' is not a version",
    ),
    (
        EXTENDS + "[messages]\nmerge = 'chore: {tag} into {branch}'\n",
        "key `messages`: {branch} in 'chore: {tag} into {branch}' is not one of {tag}, "
        "{production}",
    ),
    (
        EXTENDS + "[images]\nname = 'a'\nrelease = ['{sha}']\n",
        "key `images`: {sha} in '{sha}' is not one of {tag}, {upstream}, {version}",
    ),
    (EXTENDS + "[branches]\nsync = 'sync'\n", "top level: branches.sync must contain {tag}, once"),
    (
        EXTENDS + "[branches]\nsync = '{tag}/{tag}'\n",
        "top level: branches.sync must contain {tag}, once",
    ),
    (
        EXTENDS + RULE.format(name="a") + RULE.format(name="b") + RULE.format(name="a"),
        "top level: two rules are named 'a'",
    ),
    ('extends = "other"\n', "key `extends`: expected 'carto-litellm', got 'other'"),
    ("extends = true\n", "key `extends`: expected 'carto-litellm', got True"),
    # No TOML.
    ("name = \n", "not valid TOML: Invalid value (at line 1, column 8)"),
    ("<<<<<<< HEAD\n", "not valid TOML: Invalid statement (at line 1, column 1)"),
    ('name = "a"\nname = "b"\n', "not valid TOML: Cannot overwrite a value (at line 2, column 11)"),
]


@pytest.mark.parametrize(("text", "problem"), REFUSED)
def test_a_wrong_policy_is_refused_with_file_key_and_what_was_expected(
    text: str, problem: str
) -> None:
    with pytest.raises(Refused) as refused:
        policy.load_policy(text, "carto_fork.toml at origin/carto/main")
    what, untouched, then = str(refused.value).split("\n")
    assert what.startswith(f"Refused: carto_fork.toml at origin/carto/main: {problem}")
    assert what.endswith(".") and not what.endswith("..")
    assert untouched == "Nothing was changed."
    assert then == f"Next: {THEN}"
    assert refused.value.code == ExitCode.REFUSED


def test_a_message_is_three_sentences_and_nothing_more() -> None:
    with pytest.raises(Refused) as refused:
        policy.load_policy(EXTENDS + "name = 1\n")
    assert str(refused.value) == (
        "Refused: carto_fork.toml: key `name`: expected `str`, got `int`.\n"
        "Nothing was changed.\n"
        f"Next: {THEN}"
    )


@pytest.mark.parametrize("text", ["", "# nothing yet\n"])
def test_an_error_in_an_empty_policy_names_the_forks_file(text: str) -> None:
    with pytest.raises(Refused) as refused:
        policy.load_policy(text)
    assert str(refused.value).startswith(
        "Refused: carto_fork.toml: top level: object missing required field `name`."
    )


@pytest.mark.parametrize("pattern", ["!", "\\\\", "a\\\\", "[z-a]"])
def test_an_invalid_path_pattern_is_refused_on_load(pattern: str) -> None:
    """Otherwise the first merge would end with a traceback."""
    text = EXTENDS + RULE.format(name="a").replace('"*"', f'"{pattern}"')
    assert tomli.loads(text)["rules"][0]["paths"] == [pattern.replace("\\\\", "\\")]
    with pytest.raises(Refused, match=r"carto_fork.toml: key `rules\[0\]"):
        policy.load_policy(text)


@pytest.mark.parametrize("command", ["", "   ", 'make "test'])
def test_an_invalid_command_is_refused_on_load(command: str) -> None:
    """An empty one would pass as a test that succeeded; one with an open quote cannot be split."""
    with pytest.raises(Refused, match=r"carto_fork.toml: key `commands"):
        policy.load_policy(EXTENDS + f"[commands]\ntest = ['{command}']\n")


@pytest.mark.parametrize(
    "patterns", [["/vendor/", "*.l.go", "a?/**/[bc]", "# no", ""], ["*.go", "!/x.go"], []]
)
def test_matching_many_paths_at_once_equals_matching_each(patterns: list[str]) -> None:
    paths = ["vendor/x", "vendor", "a/vendor/x", "p.l.go", "p.l.go/x", "ax/y/b", "x.go", "y/x.go"]
    spec = GitIgnoreSpec.from_lines(patterns)
    assert matching(patterns, paths) == set(filter(spec.match_file, paths))
