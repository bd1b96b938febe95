"""`fork.init`: a policy from what a clone and its remotes show."""

from __future__ import annotations

import json
import os
import pty
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from carto_fork.fork import policy
from carto_fork.fork.tags import TagUse
from forks import FORKS, node
from repository import Repo
from world import INVOKE, ROOT, Done, World, commit_in, message, push_as_colleague


def made(kind: str, tmp_path: Path) -> World:
    (tmp_path / "w").mkdir()
    return FORKS[kind](tmp_path / "w")


@pytest.fixture
def panel(tmp_path: Path) -> World:
    """The Node project's fork."""
    return made("node", tmp_path)


def command(refused: Done) -> str:
    """What a refusal says to type before the same command."""
    before, _, _ = refused.err.rpartition("Next: ")[2].partition(", then run `")
    return before


def written(world: World) -> policy.Policy:
    return policy.load_policy((world.fork / "carto_fork.toml").read_text()).policy


# --- Guesses -------------------------------------------------------------------------------------


def test_a_path_relative_to_this_clone_is_written_for_any_clone(panel: World) -> None:
    panel.git("remote set-url upstream ../upstream.git")
    assert panel.run("fork.init --yes --name Acme").code == 0
    assert written(panel).remotes.upstream.url == str(panel.upstream.resolve())


def test_the_policy_of_a_node_project_is_guessed(panel: World) -> None:
    before = panel.everything()
    done = panel.run("fork.init --yes --name Acme")
    assert (done.code, done.err) == (0, "")
    after = panel.everything()
    assert after[1:] == before[1:]
    assert after[0].keys() - before[0].keys() == {"carto_fork.toml"}
    found = written(panel)
    assert (found.name, found.branches.production, found.branches.mirror) == (
        "Acme",
        "acme/stable",
        "main",
    )
    assert [(scheme.pattern, scheme.use) for scheme in found.tags] == [
        (r"acme-v(?P<version>\d+(\.\d+)*)-(?P<build>\d+\.\d+\.\d+)", TagUse.OWN),
        (r"release/(?P<version>\d+\.\d+)", TagUse.AUTOMATIC),
        (r"release/(?P<version>\d+\.\d+)-rc\.\d+", TagUse.NEVER),
    ]
    assert [(file.path, file.keys) for file in found.version_files] == [
        ("package.json", ("version",)),
        ("package-lock.json", ("version",)),
    ]
    assert found.workflows.disabled == (".github/workflows/publish.yml",)
    assert [rule.name for rule in found.rules] == [
        "files of the fork",
        "removed stays removed",
        "generated: lockfiles",
        "version",
    ]
    assert "/.github/workflows/deploy.yml" in found.rules[0].paths
    assert found.commands.install == ("npm ci",)
    (panel.fork / "carto_fork.toml").unlink()
    panel.git("switch --quiet --detach origin/acme/stable")
    panel.git("rm --quiet package-lock.json")
    panel.git("commit --quiet -m 'chore: no lock file'")
    panel.git("push --quiet origin HEAD:acme/stable")
    assert panel.run("fork.init --yes --name Acme").code == 0
    assert written(panel).commands.install == ("npm install --no-package-lock",)
    assert found.commands.test == ("npm run test",)
    assert found.images is None


def test_subjects_are_required_to_be_what_most_of_the_forks_are(panel: World) -> None:
    assert panel.run("fork.init --yes").code == 0
    assert written(panel).messages.conventional
    (panel.fork / "carto_fork.toml").unlink()
    panel.git("switch --quiet --detach origin/acme/stable")
    for subject in ["What is this"] * 9:
        panel.git("commit --quiet --allow-empty -m", subject)
    panel.git("push --quiet origin HEAD:acme/stable")
    assert panel.run("fork.init --yes").code == 0
    assert not written(panel).messages.conventional


def test_a_file_with_only_a_version_is_listed_once(panel: World) -> None:
    stated = json.loads(panel.git("show origin/acme/stable:package.json"))["version"]
    commit_in(panel, panel.origin, "refs/heads/acme/stable", {"VERSION": f"v{stated}\n"})
    panel.git("fetch --quiet origin")
    assert panel.run("fork.init --yes --name Acme").code == 0
    files = [(file.path, file.pattern) for file in written(panel).version_files]
    assert [file for file in files if file[0] == "VERSION"] == [("VERSION", "")]


def test_every_file_that_states_the_forks_version_is_found(panel: World) -> None:
    """Also what the fork bumped itself, and a manifest below the top that moves with releases."""
    stated = json.loads(panel.git("show origin/acme/stable:package.json"))["version"]
    web, example = "web/package.json", "examples/one/package.json"
    for tag in ("release/2.0", "release/2.1"):
        start = "refs/heads/versions"
        panel.git(f"update-ref {start} release/1.2", repo=panel.upstream)
        files = {web: f'{{"version": "{tag[-3:]}.0"}}\n', example: '{"version": "2.1.0"}\n'}
        commit_in(panel, panel.upstream, start, files)
        panel.git(f"update-ref refs/tags/{tag} {start}", repo=panel.upstream)
    bumped = panel.git("show origin/acme/stable:package.json").replace(stated, f"{stated}+acme.1")
    mine = {
        "package.json": bumped,
        "panel/version.py": f'__version__ = "{stated}+acme.1"\n',
        "other/version.py": '__version__ = "7.1"\n',
        web: f'{{"version": "{stated}"}}\n',
        example: '{"version": "2.1.0"}\n',
    }
    commit_in(panel, panel.origin, "refs/heads/acme/stable", mine)
    panel.git("fetch --quiet --force --tags upstream")
    panel.git("fetch --quiet origin")
    done = panel.run("fork.init --yes --name Acme")
    assert done.code == 0, done.err
    found = {file.path for file in written(panel).version_files}
    assert found == {"package.json", "package-lock.json", "panel/version.py", web}


def test_a_workflow_that_upstream_added_since_was_not_removed(panel: World) -> None:
    new = {".github/workflows/nightly.yml": "on: push\n"}
    commit_in(panel, panel.upstream, "refs/heads/main", new)
    panel.git("fetch --quiet upstream")
    assert panel.run("fork.init --yes").code == 0
    assert written(panel).workflows.disabled == (".github/workflows/publish.yml",)


def test_the_policy_of_a_go_project_is_guessed(tmp_path: Path) -> None:
    world = made("go", tmp_path)
    assert world.run("fork.init --yes").code == 0
    found = written(world)
    assert (found.remotes.origin.name, found.remotes.upstream.name) == ("fork", "source")
    assert (found.branches.production, found.branches.upstream) == ("prod", "master")
    assert found.version_files == ()
    assert found.commands.test == ("go test ./...",)
    assert [rule.paths for rule in found.rules if rule.take.value == "both"] == [("/go.sum",)]


def test_the_guessed_policy_of_litellm_agrees_with_the_default(world: World) -> None:
    """The default policy was written by hand; the guesses agree with it. Without upstream there
    are none."""
    done = world.run("fork.init --yes")
    assert done.err.startswith("Refused: this clone has fetched no branch of the remote `upstream`")
    world.git(command(done).removeprefix("git "))
    done = world.run("fork.init --yes --json")
    assert done.code == 0, done.err
    data = json.loads(done.out)
    assert data["written"] is True
    found, default = written(world), policy.load_policy().policy
    assert found.branches == default.branches
    assert found.remotes == default.remotes
    chart = "deploy/charts/litellm-helm/Chart.yaml"  # whose version is the release's there
    assert [file.path for file in found.version_files] == ["pyproject.toml", chart]
    automatic = [s.pattern for s in found.tags if s.use is TagUse.AUTOMATIC]
    assert automatic == [r"v(?P<version>\d+\.\d+\.\d+)-stable"]
    assert found.releases and found.releases.tag.count("{") == 2
    assert found.commands == default.commands
    sureties = {guess["key"]: guess["surety"] for guess in data["guesses"]}
    assert sureties["branches.upstream"] == "certain" and sureties["name"] == "guess"


def test_rules_are_guessed_for_files_of_several_kinds(tmp_path: Path) -> None:
    """A Rust project with a Makefile, images, built files, and the version that its tag states."""
    world = World(tmp_path, "tool", "acme/tool", "tools/tool", "main")
    source = Repo.new(tmp_path / "source", "main")
    files = {f"web/dist/{number}.js": "x\n" for number in range(4)}
    files |= {
        "gen/a.rs": "// generated\n",
        "vendor/serde/Cargo.toml": "[package]\n",
        "lib/x.pb.rs": "// @generated by protoc\n",
        "dist/a.js": "x=1;" * 90,
        "gen/b.txt": "generated\n",
        "Gemfile.lock": "# lock\n",
        "Cargo.toml": '[package]\nname = "tool"\nversion = "1.2.0"\n',
        "Cargo.lock": "# lock\n",
        "Dockerfile": "FROM scratch\n",
        "Makefile": "test-unit: ; true\ncheck: ; true\nX := 1\n",
        ".gitattributes": "# *.c linguist-generated\n"
        "gen/*.rs text linguist-generated\ngen/*.txt linguist-generated=true\n",
        ".github/workflows/ci.yml": "on: push\n",
    }
    source.commit(files, "feat: a tool")
    source.git("tag", "v1.2.0")
    source.git("clone", "--quiet", "--bare", str(source.path), str(world.upstream))
    source.git("mv", ".github/workflows/ci.yml", ".github/workflows/ci.yml.off")
    own = {
        "own.rs": "x\n",
        "gen/b.txt": "generated for us\n",
        "dist/a.js": "x=2;" * 90,
        "third_party/zlib/LICENSE": "Free.\n",
        "Gemfile.lock": "# lock of ours\n",
        ".github/workflows/README.md": "How ours run.\n",
        ".github/workflows/own.yml.txt": "on: push\n",
    }
    source.commit(own, "feat: our own")
    source.git("tag", "tool-1.2.0+3.0.1")
    source.git("clone", "--quiet", "--bare", str(source.path), str(world.origin))
    source.git("clone", "--quiet", str(world.origin), str(world.fork))
    upstream = "https://me:token@example.com/tool.git"
    world.git("config", f"url.{world.upstream}.insteadOf", upstream)
    world.git("remote add upstream", upstream)
    world.git("fetch --quiet upstream")
    done = world.run("fork.init --yes")
    assert done.code == 0, done.err
    found = written(world)
    assert found.remotes.upstream.url == "https://example.com/tool.git"
    assert "token" not in done.out
    assert (found.branches.production, found.branches.mirror) == ("main", "upstream-main")
    assert found.version_files[0].keys == ("package.version",)
    assert found.commands.test == ("make test-unit",) and found.commands.lint == ("make check",)
    assert found.commands.install == ("cargo fetch",)
    rules = {rule.name: rule.paths for rule in found.rules}
    assert rules["disabled stays disabled"] == ("/.github/workflows/ci.yml.off",)
    assert rules["generated: lockfiles"] == ("Cargo.lock",)
    assert rules["generated: .gitattributes calls them generated"] == ("gen/*.rs",)
    assert rules["generated: /vendor/"] == ("/vendor/",)
    assert rules["generated: /third_party/"] == ("/third_party/",)
    assert rules["generated: their first lines say so"] == ("/lib/x.pb.rs",)
    assert [path for paths in rules.values() for path in paths if "dist" in path] == []
    beside = ("/.github/workflows/README.md", "/.github/workflows/own.yml.txt")
    assert rules["files of the fork"][-2:] == beside
    text = (world.fork / "carto_fork.toml").read_text()
    assert '# paths = ["/dist/"]\n# take = "upstream"\n' in text
    for line in (
        "certain: no rule takes upstream's whole Gemfile.lock: fork commits change it",
        "certain: no rule takes upstream's whole gen/*.txt: fork commits change it",
        "guess: no rule takes upstream's whole /web/dist/: "
        "only its name suggests that it was built",
    ):
        surety, _, why = line.partition(": ")
        assert f"\n# {line}\n" in text and f"{surety:<8} rules: {why} " in _joined(done.out)
    assert rules["additions of both"] == ("/Dockerfile", "/Makefile")
    assert found.workflows.disabled == (".github/workflows/ci.yml",)
    assert found.releases and found.releases.tag == "tool-{upstream}+{version}"


def _joined(text: str) -> str:
    """Join wrapped lines again."""
    return re.sub(r"\n(?!  )", " \n", text).replace("\n  ", " ")


# --- Messages ------------------------------------------------------------------------------------


def test_init_prints_how_certain_its_guesses_are(panel: World) -> None:
    out = panel.run("fork.init --yes").out
    assert "certain  branches.upstream: main (upstream's default branch)\n" in out
    assert "guess    name: acme (the owner of the remote)\n" in out
    assert out.endswith(
        "Wrote carto_fork.toml; nothing else was changed.\n"
        "The values that are not certain are guesses, such as the name and the texts of\n"
        "  rules; edit them in carto_fork.toml.\n"
        "Next: invoke next\n"
    )
    text = (panel.fork / "carto_fork.toml").read_text()
    assert '# certain: it states 1.0.0, like release/1.0\npath = "package.json"\n' in text


def test_what_is_printed_can_be_pasted(panel: World) -> None:
    dry = panel.run("fork.init --yes --dry")
    assert dry.code == 0 and not (panel.fork / "carto_fork.toml").exists()
    pasted = panel.call(["sh", "-e", "-c", dry.out])
    assert pasted.code == 0, pasted.err
    text = (panel.fork / "carto_fork.toml").read_text()
    (panel.fork / "carto_fork.toml").unlink()
    assert panel.run("fork.init --yes").code == 0
    assert (panel.fork / "carto_fork.toml").read_text() == text


def test_existing_files_are_never_overwritten(panel: World) -> None:
    (panel.fork / "carto_fork.toml").write_text("mine\n")
    done = panel.run("fork.init --yes")
    assert done.code == 1
    assert done.err == (
        "Refused: carto_fork.toml exists already.\nNothing was changed.\n"
        "Next: edit it, or name another file with --output.\n"
    )
    assert (panel.fork / "carto_fork.toml").read_text() == "mine\n"
    done = panel.run("fork.init --yes --output ../new/policy.toml")
    assert done.code == 0
    assert done.out.endswith("Next: mv -i ../new/policy.toml carto_fork.toml\n")
    assert (
        policy.load_policy((panel.place / "new" / "policy.toml").read_text()).policy.name == "acme"
    )


def test_init_is_refused_if_production_has_a_policy_already(panel: World) -> None:
    assert panel.run("fork.init --yes").code == 0
    text = (panel.fork / "carto_fork.toml").read_text()
    (panel.fork / "carto_fork.toml").unlink()
    push_as_colleague(panel, {"carto_fork.toml": text}, panel.production)
    panel.git("fetch --quiet origin")
    before = panel.everything()
    done = panel.run("fork.init --yes --output ../policy.toml")
    assert (done.code, done.err) == (
        1,
        "Refused: acme/stable has a policy already.\nNothing was changed.\n"
        "Next: edit carto_fork.toml there; `invoke fork.config` prints the policy in force.\n",
    )
    assert panel.everything() == before


def test_guesses_that_make_no_valid_policy_are_refused(panel: World) -> None:
    done = panel.run("fork.init --yes --mirror acme/stable")
    assert (done.code, done.err) == (
        1,
        "Refused: what this clone shows makes no valid policy: top level: branches: acme/stable, "
        "acme/stable, upstream-sync/v1 must differ from each other.\nNothing was changed.\n"
        "Next: give the right values: --name, --upstream, --production, --mirror.\n",
    )
    assert not (panel.fork / "carto_fork.toml").exists()


@pytest.mark.parametrize(
    ("prepare", "line", "code", "message"),
    [
        (
            "remote remove upstream",
            "fork.init --yes",
            2,
            "add --upstream with the URL of the original",
        ),
        ("", "fork.init --yes --production nonsense", 1, "origin has no branch nonsense."),
        (
            "remote set-url upstream /nowhere",
            "fork.init --yes",
            1,
            "the remote `upstream` cannot be ",
        ),
        ("remote remove origin", "fork.init --yes", 1, "has no remote for the fork itself."),
        ("", "fork.init --yes --repo /", 1, "is not a git repository"),
        (
            "",
            "fork.init --upstream https://x:y@h/z",
            1,
            "upstream` is https://github.com/widgets/panel.git",
        ),
        ("remote remove upstream", "fork.init --upstream=--help", 1, "cannot be reached"),
    ],
)
def test_init_writes_nothing_without_valid_remotes_and_branches(
    panel: World, prepare: str, line: str, code: int, message: str
) -> None:
    if prepare:
        panel.git(prepare)
    done = panel.run(line)
    assert done.code == code and message in done.err and "Traceback" not in done.err
    assert not (panel.fork / "carto_fork.toml").exists()


def test_upstream_can_be_given_by_its_url(panel: World) -> None:
    panel.git("remote remove upstream")
    line = f"fork.init --yes --upstream https://github.com/{panel.upstream_slug}.git"
    added = panel.paste(command(panel.run(line)))
    assert added.code == 0, added.err
    assert panel.run(line).code == 0
    assert written(panel).remotes.upstream.name == "upstream"
    assert panel.run("setup").code == 0
    assert panel.git("remote").splitlines() == ["origin", "upstream"]


# --- On a terminal -------------------------------------------------------------------------------


def test_init_asks_for_uncertain_values_on_a_terminal(tmp_path: Path) -> None:
    (tmp_path / "w").mkdir()
    world = node(tmp_path / "w")
    words = [*INVOKE, "--search-root", str(ROOT), "fork.init"]
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        words,
        cwd=world.fork,
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        os.close(theirs)
        os.write(ours, b"Panel People\nupstream-main\n\n")
        assert process.stdout
        out = process.stdout.read()
    os.close(ours)
    assert process.returncode == 0, out
    asked = re.findall(r"^(?:  \[.*?\] )*([a-z.]+) \((?:guess|likely): ", out, re.MULTILINE)
    assert asked == ["name", "branches.mirror", "branches.production"], out
    assert "3 questions about what is not certain; nothing is written before the last." in out
    found = written(world)
    assert (found.name, found.branches.mirror) == ("Panel People", "upstream-main")
    assert found.branches.production == "acme/stable"


def test_the_end_of_the_input_at_a_question_is_like_ctrl_c(tmp_path: Path) -> None:
    (tmp_path / "w").mkdir()
    world = node(tmp_path / "w")
    ours, theirs = pty.openpty()
    words = [*INVOKE, "--search-root", str(ROOT), "fork.init"]
    with subprocess.Popen(
        words, cwd=world.fork, stdin=theirs, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        os.close(theirs)
        os.write(ours, b"\4")
        assert process.stderr
        said = world.neutral(process.stderr.read().decode())
    os.close(ours)
    assert process.returncode == 130
    then = "run `invoke fork.init` again, or with --yes to accept every value in brackets."
    what = "the questions were not all answered."
    assert said.endswith(message(what, then, "Nothing was written.", "Interrupted"))
    assert not (world.fork / "carto_fork.toml").exists()


# --- Tasks with that policy ----------------------------------------------------------------------


@pytest.mark.parametrize("kind", sorted(FORKS))
def test_the_tasks_use_an_uncommitted_policy(kind: str, tmp_path: Path) -> None:
    world = made(kind, tmp_path)
    assert world.run("fork.init --yes").code == 0
    for line in ("setup", "status", "ci.detect", "forecast", "fork.config", "ci.guard"):
        done = world.run(line)
        assert done.code == 0, f"{line}: {done.err}"
    tag = {"node": "release/1.1", "go": "v1.0.0"}[kind]
    done = world.run(f"upgrade-carto --no-tests --tag {shlex.quote(tag)}")
    assert done.code == 0, done.err
    assert f"refs/heads/upstream-sync/{tag}" in world.refs(world.origin)
    refused = world.run("ci.images")
    assert refused.code == 1 and "the policy names no images." in refused.err


def test_a_draft_away_from_github_names_only_what_adopt_writes_there(panel: World) -> None:
    panel.git("remote set-url origin", str(panel.origin))
    assert panel.run("fork.init --yes --name Acme").code == 0
    policy = written(panel)
    own = {"carto_fork.toml", "carto_drops.toml", "carto_proposals.toml", "carto_tags.toml"}
    own |= {"FORK_GUIDE.md", ".github/workflows/deploy.yml"}
    assert set(policy.rules[0].paths) == {f"/{path}" for path in own}
    assert "own release" in [scheme.name for scheme in policy.tags]
    assert max(map(len, panel.run("fork.config").out.splitlines()[:2])) < 80


def test_a_fork_without_releases_refuses_to_make_one(panel: World) -> None:
    assert panel.run("fork.init --yes").code == 0
    path = panel.fork / "carto_fork.toml"
    path.write_text(path.read_text().partition("[releases]")[0])
    done = panel.run("release")
    assert (
        done.code == 1
        and "add `[releases]` with `tag = 'acme-v{upstream}-{version}'` in" in done.err
    )
    assert panel.run("status").code == 0


@pytest.mark.parametrize(
    "word", ["--name=\udcff", "--name=a\nb", "--production=x; id", "--production=--delete"]
)
def test_an_invalid_name_is_refused(world: World, word: str) -> None:
    world.git("update-ref -d refs/remotes/origin/carto/main")
    before = world.checkout()
    done = world.run("fork.init --yes", word)
    assert done.code == 2
    assert "Traceback" not in done.err
    assert world.checkout() == before
