"""Other forks than CARTO's: from a clone without a policy to a release."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from carto_standin.github import GitHub
from forks import FORKS
from workflow import ADOPT, Actions
from world import Done, World

PRODUCT = re.compile(
    r"carto[-_]fork|carto_(drops|proposals|tags)\.toml|upgrade-carto|CARTO_FORK_\w+|carto-litellm"
)
"""The product's own names; other forks see them too."""
LEAK = re.compile(r"carto|litellm|berriai", re.IGNORECASE)

SHIMS = {"npm": "exit 0", "go": "exit 0"}

# Upstream's releases: one that merges without a person, and one that needs a person.
RELEASES = {"node": ("release/1.1", "release/1.2"), "go": ("v1.0.0", "v1.1.0")}
CONFLICT = {"node": "src/panel.js", "go": "main.go"}
TAGS = {"node": "acme-v1.2-0.1.0", "go": "northbank-v1.1.0-0.1.0"}


@pytest.fixture(params=sorted(FORKS))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def world(kind: str, tmp_path: Path) -> World:
    (tmp_path / "w").mkdir()
    return FORKS[kind](tmp_path / "w")


def leaks(text: str) -> list[str]:
    """The lines that contain another fork's names."""
    return [line for line in text.splitlines() if LEAK.search(PRODUCT.sub("", line))]


class Story:
    """Actions on a fork, with all their output."""

    def __init__(self, world: World) -> None:
        self.world, self.said = world, ""

    def run(self, line: str, code: int = 0) -> Done:
        done = self.world.run(line)
        self.said += done.out + done.err
        assert done.code == code, done.out + done.err
        return done

    def merge(self, number: int) -> None:
        """A reviewer merges a pull request, and the clone fetches it."""
        words = ["gh", "pr", "merge", str(number), "-R", self.world.slug, "--merge"]
        done = self.world.call(words)
        assert done.code == 0, done.err
        self.world.git("fetch --quiet --all")

    def actions(self, **about: Any) -> Actions:
        return Actions(self.world, adopted=True, commands=SHIMS, **about)


@pytest.mark.slow
def test_any_kind_of_fork_gets_from_a_clone_to_a_release(
    kind: str, world: World, github: GitHub
) -> None:
    clean, hard = RELEASES[kind]
    story = Story(world)
    story.run("fork.init --yes")
    assert story.run(ADOPT).out.count("Pull request: https://github.com/") == 1
    (world.fork / "carto_fork.toml").unlink()
    story.merge(1)
    story.run("fork.adopt --check")
    story.run("fork.config")

    # The workflows that the fork has.
    run = story.actions(inputs={"tag": clean}).run("fork-upstream-sync.yml")
    story.said += run.log
    assert run.results == dict.fromkeys(["detect", "sync", "test", "notify"], "success"), run.log
    assert run.outputs["sync"]["result"] == "clean"
    story.merge(2)
    run = story.actions(github={"event_name": "schedule"}).run("fork-upstream-sync.yml")
    story.said += run.log
    assert run.outputs["sync"]["result"] == "conflicts", run.log

    # A person resolves what is left, on a laptop.
    paused = story.run("resolve-conflicts --pr 3", code=3)
    assert CONFLICT[kind] in paused.out
    work = world.work(hard)
    text = (work / CONFLICT[kind]).read_text()
    (work / CONFLICT[kind]).write_text(
        re.sub(r"(?ms)^<<<<<<<.*?\n(.*?)^\|\|\|.*?^>>>>>>>.*?\n", r"\1", text)
    )
    world.git("add --all", repo=work)
    story.run("resolve-conflicts --pr 3")
    story.merge(3)
    story.run("status")
    story.run(f"verify --landed {hard}")

    run = story.actions(inputs={"bump": "auto"}).run("fork-release.yml")
    story.said += run.log
    assert run.results == {"release": "success"}, run.log
    assert f"refs/tags/{TAGS[kind]}" in world.refs(world.origin)
    story.run("fork.adopt --check")

    assert leaks(story.said) == []
    with github.open() as opened:
        state = opened.origin().state
        texts = [f"{pull.title}\n{pull.body}\n{pull.head}" for pull in state.pulls]
        texts += [f"{label.name} {label.description}" for label in state.labels]
        texts += [f"{release.tag} {release.body}" for release in state.releases]
    assert leaks("\n".join(texts)) == []
    assert leaks("\n".join(world.refs(world.origin))) == []
    assert leaks(world.git("log --all --format=%B", repo=world.origin)) == []
    assert leaks(world.git("grep -I -h --no-color -e .", world.production, repo=world.origin)) == []
    assert leaks(world.git("ls-tree -r --name-only", world.production, repo=world.origin)) == []
