"""Which release is new, by classified names and compared versions."""

from __future__ import annotations

import pytest

from carto_fork.fork import fork
from carto_fork.fork.detection import Detection, detect
from world import World, shell


def detected(world: World, *names: str) -> Detection:
    """The detection result after upstream gets these additional tags."""
    head = world.git("rev-parse main", repo=world.upstream)
    for name in names:
        world.git(f"update-ref refs/tags/{name} {head}", repo=world.upstream)
    return detect(shell(), fork.open_fork(shell(), world.fork))


def test_the_newest_release_is_chosen_by_version_not_by_name(world: World) -> None:
    found = detected(world, "v1.78.9-stable", "v1.78.10-stable")
    assert found.newest and found.newest.name == "v1.78.10-stable"
    assert [tag.name for tag in found.newer][:2] == ["v1.78.10-stable", "v1.78.9-stable"]
    assert found.commit == world.git("rev-parse main", repo=world.upstream)


@pytest.mark.parametrize(
    "name",
    [
        "v1.90.0-nightly",
        "v1.90.0.rc.1",
        "v1.90.0-rc.2",
        "v1.90.0-stable.rc-draft",
        "v1.90.0.dev3",
        "v1.90.0-stable.1",
        "litellm_v1.90.0",
    ],
)
def test_a_tag_that_is_not_a_stable_release_is_not_detected(world: World, name: str) -> None:
    before = detected(world).newest
    after = detected(world, name).newest
    assert after == before and after


@pytest.mark.parametrize("name", ["v1.84.0", "v1.89.1"])
def test_from_1_84_0_on_a_plain_version_is_stable(world: World, name: str) -> None:
    found = detected(world, name, "v1.88.0-rc.2")
    assert found.newest and found.newest.name == name


def test_a_plain_version_before_is_only_taken_by_name(world: World) -> None:
    found = detected(world, "v1.83.10")
    assert found.newest and found.newest.name == "v1.77.2-stable"


def test_a_scheme_without_recent_stable_releases_causes_a_warning(world: World) -> None:
    quiet = detected(world, "v1.78.0-rc.1")
    assert quiet.warnings == ()
    found = detected(world, "v1.82.3", "v1.83.10", "v1.83.12-nightly")
    [warning] = found.warnings
    assert "3 minor versions after v1.77.2-stable, up to v1.83.12-nightly" in warning
    assert "may name its stable releases differently" in warning


def test_tag_names_that_match_no_scheme_cause_a_warning(world: World) -> None:
    found = detected(world, "1.99.0+build7", "v2026.01-lts")
    [strange] = [w for w in found.warnings if "in no class of" in w]
    assert "2 upstream tags" in strange and "'v2026.01-lts'" in strange


def test_the_stated_version_counts_after_a_squashed_sync(world: World) -> None:
    text = world.git("show carto/main:pyproject.toml") + "\n"
    stated = text.replace("1.75.2.1", "1.77.2")
    assert stated != text
    world.git("switch --quiet carto/main")
    (world.fork / "pyproject.toml").write_text(stated)
    world.git("commit --quiet --all -m", "chore: upgrade (#50)")
    world.git("push --quiet origin carto/main")
    found = detected(world)
    assert (found.newest, found.version) == (None, "1.77.2")
