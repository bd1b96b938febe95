"""What a fork is given: rendered for several forks, compared, and linted."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from carto_fork.adopt import copies, documents
from carto_fork.adopt.copies import State, branch, compare, texts
from carto_fork.adopt.documents import stamped
from carto_fork.fork import policy, session
from carto_fork.fork.policy import POLICY_FILE, Policy
from carto_fork.run.errors import Refused, Usage
from carto_fork.tasks import namespace
from workflow import filled, parsed
from world import ROOT, shell

FORK_FILES = """
[[rules]]
name = "files of the fork"
paths = ["/.github/", "/FORK_GUIDE.md", "/docs/", "/fork.mk", "/fork_tasks.py", "/carto_*.toml"]
take = "fork"
whole = true
why = "Only the fork has them."
"""

PLAIN = f"""
name = "Acme, Inc."

[remotes]
origin = {{ name = "ours", url = "https://github.com/acme/thing.git" }}
upstream = {{ name = "theirs", url = "https://github.com/things/thing.git" }}

[branches]
mirror = "upstream-trunk"
upstream = "trunk"
production = "acme/stable"
sync = "sync/{{tag}}"

[messages]
merge = "chore: merge {{tag}}"
version = "chore: version {{version}}"

[[tags]]
name = "release"
pattern = 'release/(?P<version>\\d+\\.\\d+)'
use = "automatic"
{FORK_FILES}
"""
RELEASES = '[releases]\ntag = "acme-{upstream}-{version}"\n'
IMAGES = '[images]\nname = "ghcr.io/acme/thing"\nbranch = ["{sha}"]\nrelease = ["{tag}"]\n'

FORKS = {
    "the default": policy.load_policy().policy,
    "without releases and images": policy.load_policy(PLAIN).policy,
    "with releases": policy.load_policy(PLAIN + RELEASES).policy,
    "with images": policy.load_policy(PLAIN + IMAGES).policy,
    "with both": policy.load_policy(PLAIN + RELEASES + IMAGES).policy,
}
forks = pytest.mark.parametrize("found", FORKS.values(), ids=FORKS)


def nothing(path: str) -> None:
    """A fork that has no file at all."""


def having(files: dict[str, str]) -> Callable[[str], str | None]:
    """A fork that has some files."""
    return files.get


def given(found: Policy) -> dict[str, str]:
    """All files of a fork that has adopted them."""
    return dict(texts(found, nothing))


# --- What they say -------------------------------------------------------------------------------


@forks
def test_generated_files_contain_no_template_syntax(found: Policy) -> None:
    files = given(found)
    assert [path for path, text in files.items() if re.search(r"<<(if|else|end|\w+>>)", text)] == []
    assert all(text.endswith("\n") and "\n\n\n" not in text for text in files.values())


@forks
def test_generated_workflows_pass_the_linters(found: Policy, tmp_path: Path) -> None:
    directory = tmp_path / ".github" / "workflows"
    directory.mkdir(parents=True)
    paths: list[Path] = []
    commands: list[Path] = []
    for path, text in given(found).items():
        if path.startswith(".github/workflows/"):
            (tmp_path / path).write_text(text)
            paths.append(tmp_path / path)
            jobs = YAML(typ="safe", pure=True).load(text)["jobs"]
            for step in (step for job in jobs.values() for step in job.get("steps", ())):
                if "run" in step:
                    commands.append(tmp_path / f"{len(commands)}.sh")
                    commands[-1].write_text(step["run"])
    assert commands
    programs = Path(sys.executable).parent
    zizmor = [programs / "zizmor", "--quiet", "--offline", "--persona=pedantic", tmp_path]
    schema = [programs / "check-jsonschema", "--builtin-schema", "vendor.github-workflows", *paths]
    shellcheck = [programs / "shellcheck", "--shell=bash", *commands]
    for words in (zizmor, schema, shellcheck):
        ended = subprocess.run(list(map(str, words)), capture_output=True, text=True)
        assert ended.returncode == 0, ended.stdout + ended.stderr


@forks
def test_the_generated_tasks_file_compiles(found: Policy) -> None:
    compile(given(found)[found.files.tasks], found.files.tasks, "exec")


def test_files_for_releases_and_images_are_written_only_if_configured() -> None:
    plain, both = given(FORKS["without releases and images"]), given(FORKS["with both"])
    assert sorted(both.keys() - plain.keys()) == [
        ".github/workflows/fork-images.yml",
        ".github/workflows/fork-release.yml",
        "docs/FORK_RELEASE_PROCESS.md",
    ]
    assert "release-acme" not in plain["fork.mk"] and "release-acme" in both["fork.mk"]
    assert "images" in both[".github/workflows/fork-release.yml"]
    assert "images:" not in given(FORKS["with releases"])[".github/workflows/fork-release.yml"]
    assert "RELEASE" not in given(FORKS["with images"])[".github/workflows/fork-images.yml"]


def test_images_outside_of_ghcr_get_no_workflow() -> None:
    elsewhere = IMAGES.replace("ghcr.io", "registry.example.com")
    assert documents.given(policy.load_policy(PLAIN + elsewhere).policy)["images"] is False


def test_the_policy_sets_the_schedule() -> None:
    found = policy.load_policy(f'{PLAIN}[workflows]\nschedule = "5 4 * * 1-5"\n').policy
    assert '- cron: "5 4 * * 1-5"\n' in given(found)[found.files.sync]


def test_a_file_can_be_left_out() -> None:
    found = policy.load_policy(PLAIN + '[files]\nmakefile = ""\ntasks = ""\nguide = ""\n').policy
    left_out = given(FORKS["without releases and images"]).keys() - given(found).keys()
    assert sorted(left_out) == ["FORK_GUIDE.md", "fork.mk", "fork_tasks.py"]


@pytest.mark.parametrize("key", ["images", "guide", "process", "release", "sync", "guard"])
def test_generated_files_do_not_link_to_a_file_that_is_left_out(key: str) -> None:
    left_out = PLAIN + RELEASES + IMAGES + f'[files]\n{key} = ""\n'
    for text in given(policy.load_policy(left_out).policy).values():
        assert not re.search(r"\]\(\.{0,2}\)|\[\]|workflows/(\s|\)|$)", text)


def test_the_requirements_file_can_be_in_any_directory() -> None:
    found = policy.load_policy(PLAIN + '[files]\nrequirements = "docs/tasks.txt"\n').policy
    sync = given(found)[found.files.sync]
    assert sync.count(" --requirement docs/tasks.txt\n") == 4 and "sparse-checkout" not in sync
    assert sync.count(" --requirement docs/tasks-dependencies.txt\n") == 4


@pytest.mark.parametrize("late", ["detect", "sync", "test"])
def test_a_job_that_timed_out_is_reported_as_a_failure(late: str) -> None:
    needs = {job: {"result": "success", "outputs": {}} for job in ("detect", "sync", "test")}
    needs[late]["result"] = "cancelled"
    sync = parsed(given(FORKS["with both"])[".github/workflows/fork-upstream-sync.yml"])
    event = sync["jobs"]["notify"]["steps"][-1]["env"]["EVENT"]
    assert filled(event, {"needs": needs, "steps": {}}) == "failure"


def test_generated_files_use_the_forks_own_names() -> None:
    files = given(FORKS["with both"])
    guide = files["FORK_GUIDE.md"]
    assert "\n# Keeping Acme, Inc.'s fork of thing on stable releases\n" in guide
    assert "git -C thing.sync-release-1.2 diff" in guide
    assert "make -f fork.mk upgrade-acme_inc TAG=release/1.2" in guide
    sync = files[".github/workflows/fork-upstream-sync.yml"]
    assert 'name: "Acme, Inc. - Upstream Sync"\n' in sync
    assert "git remote rename origin ours\n" in sync
    assert "secrets.ACME_INC_SYNC_TOKEN" in sync
    assert 'tags: ["acme-*-*"]' in files[".github/workflows/fork-images.yml"]


@pytest.mark.parametrize(
    "name", ['A "quoted": name', "<<production>>", "${{ secrets.PWNED }}", "ä\n- x"]
)
def test_a_hostile_fork_name_cannot_inject_into_workflows(name: str) -> None:
    text = PLAIN.replace(
        '"Acme, Inc."', repr(name).replace("'", '"') if '"' not in name else f"'{name}'"
    )
    found = policy.load_policy(text).policy
    for path, text in given(found).items():
        if path.startswith(".github/workflows/"):
            loaded = YAML(typ="safe", pure=True).load(text)
            assert set(loaded) <= {"name", "on", "permissions", "concurrency", "env", "jobs"}
            assert "{ secrets.PWNED" not in text


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        (r"v(?P<version>\d+\.\d+\.\d+)", "v1.2.3"),
        (r"(?P<version>\d+\.\d+\.\d+)", "1.2.3"),
        (r"release/(?P<version>\d+\.\d+)", "release/1.2"),
        (r"thing-(?P<version>\d+\.\d+\.\d+)\.final", "thing-1.2.3.final"),
        (r"r(?P<version>\d+)", "r12"),
        (r"(?P<version>\d{4}\.\d\d)[ab]", "TAG"),
    ],
)
def test_the_example_tag_is_derived_from_the_release_pattern(pattern: str, expected: str) -> None:
    text = re.sub(r"pattern = '.*'", lambda _: f"pattern = '{pattern}'", PLAIN)
    assert documents.example(policy.load_policy(text).policy)[0] == expected


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://github.com/acme/thing.git", "thing"),
        ("/srv/git/tool.git/", "tool"),
        ("git@example.com:gears", "gears"),
    ],
)
def test_the_example_clone_is_called_as_git_calls_it(url: str, name: str) -> None:
    own = f'extends = "carto-litellm"\n[remotes.origin]\nurl = "{url}"\n'
    assert documents.clone(policy.load_policy(own).policy) == name


# --- What is there already -----------------------------------------------------------------------


def states(files: dict[str, str], **more: str) -> dict[str, State]:
    found = FORKS["with releases"]
    return {copy.path: copy.state for copy in compare(found, having(files), **more)}


def test_a_fork_with_all_files_is_current() -> None:
    files = given(FORKS["with releases"])
    assert set(states(files).values()) == {State.CURRENT}
    windows = {path: text.replace("\n", "\r\n") for path, text in files.items()}
    assert set(states(windows).values()) == {State.CURRENT}


def test_a_file_that_nobody_changed_is_behind() -> None:
    files = given(FORKS["with releases"])
    files["fork.mk"] = stamped("# as an older version had it\n", "fork.mk")
    former = r"carto-fork adopt: \1 (brings this up to date until somebody changes it)"
    guide = stamped("# Older\n", "FORK_GUIDE.md")
    files["FORK_GUIDE.md"] = re.sub(r"Generated by .*\((\w+)\).*alone\.", former, guide)
    assert {path for path, s in states(files).items() if s is State.BEHIND} == {
        "fork.mk",
        "FORK_GUIDE.md",
    }


def test_an_edited_file_belongs_to_the_team() -> None:
    files = given(FORKS["with releases"])
    text = files["fork.mk"]
    for edited, state in (
        (f"{text}# ours\n", State.THEIRS),
        (text.partition("\n")[2] + "#\n", State.FOREIGN),
    ):
        files["fork.mk"] = edited
        assert states(files)["fork.mk"] is state


def test_a_makefile_calls_tasks_by_their_names() -> None:
    called = set(re.findall(r"_fork\) (\S+)", documents.template("adopted/tasks.mk")))
    assert called - {"$$ARGS"} <= set(namespace.task_names), called


def test_a_policy_is_never_behind() -> None:
    files = given(FORKS["with releases"]) | {POLICY_FILE: "whatever"}
    assert states(files)[POLICY_FILE] is State.CURRENT
    del files[POLICY_FILE]
    assert states(files)[POLICY_FILE] is State.NEW


OLD, NEW = (f"git+https://example.com/carto-fork@{digit * 40}" for digit in "01")


def test_a_program_and_its_dependencies_change_together() -> None:
    found = FORKS["the default"]
    program, dependencies = found.files.requirements, found.files.dependencies
    there = {program: f"# why\n{OLD}\n", dependencies: "as tested with it\n"}
    kept, renewed = (dict(texts(found, having(there), asked)) for asked in ("", NEW))
    assert kept[program].splitlines()[1:] == [OLD]
    assert kept[dependencies] == there[dependencies]
    assert renewed[program].splitlines()[1:] == [NEW]
    states = {copy.path: copy.state for copy in compare(found, having(there), NEW)}
    assert states[program] is states[dependencies] is State.REPLACED


def test_a_draft_without_a_name_speaks_of_this_fork() -> None:
    unnamed = policy.load_policy(PLAIN.replace("Acme, Inc.", "fork")).policy
    assert "# Keeping this fork of thing on stable releases\n" in documents.guide(unnamed)
    assert "# How this fork is released\n" in documents.process(unnamed)
    assert "fork's fork" not in documents.guide(unnamed)


def test_the_guide_of_a_fork_on_a_disk_speaks_of_no_github() -> None:
    """And names the clone as a person calls it, not as the remote."""
    url = "https://github.com/{}/thing.git"
    text = PLAIN.replace(url.format("acme"), "/srv/ours.git").replace(
        url.format("things"), "/srv/up.git"
    )
    found = policy.load_policy(f'{text}{RELEASES}[files]\nrequirements = ""\n').policy
    files = given(found)
    assert sorted(files) == ["FORK_GUIDE.md", policy.POLICY_FILE]
    guide = documents.guide(found)
    assert not re.search("GitHub|workflows and|pull request|publishes that", guide)
    assert "# Keeping Acme, Inc.'s fork on stable releases\n" in guide
    assert "git clone --origin ours /srv/ours.git acme_inc\n" in guide
    assert "--repo acme_inc" in guide and "writes its notes to a file" in guide


def test_what_forks_install_is_what_is_tested_here() -> None:
    """The same versions and hashes, and one that makes a wheel of a commit."""
    locked = documents.template("adopted/dependencies.txt")
    tested = (ROOT / "requirements" / "dev.txt").read_text()
    pins = re.findall(r"^\S+==.*(?:\n    --hash=.*)+", locked, re.MULTILINE)
    assert len(pins) == locked.count("==") and "\nsetuptools==" in locked
    assert [pin for pin in pins if pin not in tested] == []


def test_the_program_knows_where_it_was_installed_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted = tmp_path / "carto_fork-0.1.0.dist-info"
    noted.mkdir()
    (noted / "METADATA").write_text("Metadata-Version: 2.1\nName: carto-fork\nVersion: 0.1.0\n")
    (noted / "direct_url.json").write_text(
        json.dumps({"url": OLD[4:-41], "vcs_info": {"vcs": "git", "commit_id": OLD[-40:]}})
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert copies.source(shell()) != OLD  # another copy than the one that runs
    monkeypatch.setattr(session, "__file__", str(tmp_path / "carto_fork" / "fork" / "session.py"))
    assert copies.source(shell()) == OLD


def test_only_what_the_team_changed_is_replaced() -> None:
    found, files = FORKS["with releases"], given(FORKS["with releases"])
    files["fork.mk"] += "# ours\n"
    copies = compare(found, having(files), replace=["fork.mk"])
    assert [copy.path for copy in copies if copy.due] == ["fork.mk"]
    with pytest.raises(Usage) as usage:
        compare(found, having(files), replace=["README.md"])
    assert usage.value.then == "name one of them: fork.mk."


def test_a_policy_that_keeps_none_of_them_is_refused() -> None:
    bare = policy.load_policy(PLAIN.replace(FORK_FILES, "")).policy
    with pytest.raises(Refused) as refused:
        compare(bare, nothing)
    assert "no rule of the policy keeps carto_fork.toml whole in a merge." in refused.value.what
    assert '"/fork.mk"' in refused.value.then
    assert refused.value.then.startswith("add a table `[[rules]]` before the others")


def test_a_file_is_added_to_the_rule_that_keeps_the_others() -> None:
    renamed = policy.load_policy(PLAIN + '[files]\nmakefile = "acme.mk"\n').policy
    with pytest.raises(Refused) as refused:
        compare(renamed, nothing)
    name = next(rule.name for rule in renamed.rules if rule.whole)
    add = f'in carto_fork.toml, add "/acme.mk" to `paths` of the rule {name!r}.'
    assert refused.value.then == add


def test_a_rule_that_takes_less_than_the_whole_file_is_not_enough() -> None:
    partly = policy.load_policy(PLAIN.replace("whole = true", 'kinds = ["content"]')).policy
    with pytest.raises(Refused):
        compare(partly, nothing)


def test_the_branch_is_named_after_what_is_written() -> None:
    found = FORKS["with releases"]
    one, other = (compare(found, nothing, asked) for asked in ("", NEW))
    assert branch(one) == branch(compare(found, nothing))
    assert branch(one) != branch(other)
