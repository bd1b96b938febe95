"""The notes of a release and the names of its images, whatever the commits' subjects hold."""

from __future__ import annotations

import dataclasses
import re

import pytest
from markdown_it import MarkdownIt

from carto_fork.fork import tags
from carto_fork.fork.policy import Images
from carto_fork.fork.records import Drop
from carto_fork.release.notes import Notes, Own, images_of_branch, images_of_release
from carto_fork.run.errors import Refused

PAGE, UPSTREAM = "https://github.com/CartoDB/litellm", "https://github.com/BerriAI/litellm"

HOSTILE = [
    "feat: `code` and ``more`` @CartoDB/team @octocat",
    "fix: <img src=x onerror=alert(1)> <!-- hidden --> &lt;b&gt;",
    "feat(@team): ${{ secrets.GH_TOKEN }} $(id) `id`",
    "fix: [here](https://evil.example) ![x](https://evil.example/x.png) https://evil.example",
    "feat!: ## heading | table | **bold** __x__ ~~y~~",
    "::set-output name=tag::evil",
    "docs: \x1b[31mred\x1b[0m \u202egnp.exe \r\n## Injected\n- item",
    "fix: closes #1, GH-2, CartoDB/litellm#3 (#77)",
    "@everyone please look",
    "- [ ] x",
    "1. x",
    "---",
    "# heading",
    "feat: " + "long " * 400,
]


def own(*subjects: str, body: str = "") -> tuple[Own, ...]:
    """Commits with these subjects."""
    return tuple(
        Own(f"{number:040x}", subject, tags.conventional(subject, body))
        for number, subject in enumerate(subjects, 1)
    )


def notes(*subjects: str, **other: str) -> Notes:
    """Notes of a release with these subjects."""
    facts = {
        "name": "CARTO",
        "page": PAGE,
        "upstream_page": UPSTREAM,
        "tag": "carto-v1.76.5-0.1.0",
        "upstream": "v1.76.5",
        "before": "carto-v1.75.2-0.1.0",
        "upstream_before": "v1.75.2-stable",
    }
    return Notes(
        **facts | other, own=own(*subjects), images=["ghcr.io/c/l:carto-stable"], given_up=()
    )


def test_each_kind_of_commit_has_its_own_section() -> None:
    text = notes(
        "feat(router)!: other names (#7)", "feat: sessions", "fix(ui): logo", "docs: how", "odd"
    ).markdown()
    commit = "{:040x}".format

    def links(number: int) -> str:
        return f"[{commit(number)[:7]}]({PAGE}/commit/{commit(number)})"

    tag, old = "carto-v1.76.5-0.1.0", "carto-v1.75.2-0.1.0"
    assert text == (
        f"5 fork changes since [`{old}`]({PAGE}/releases/tag/{old}), on upstream "
        f"[`v1.76.5`]({UPSTREAM}/releases/tag/v1.76.5).\n"
        "\n## Breaking changes\n\n"
        f"- **router**: other names ([#7]({PAGE}/pull/7), {links(1)})\n"
        "\n## Features\n\n"
        f"- sessions ({links(2)})\n"
        "\n## Fixes\n\n"
        f"- **ui**: logo ({links(3)})\n"
        "\n## Upstream upgrade\n\n"
        f"- From [`v1.75.2-stable`]({UPSTREAM}/releases/tag/v1.75.2-stable) to "
        f"[`v1.76.5`]({UPSTREAM}/releases/tag/v1.76.5): "
        f"[what changed]({UPSTREAM}/compare/v1.75.2-stable...v1.76.5)\n"
        "\n## Other\n\n"
        f"- **docs**: how ({links(4)})\n"
        f"- odd ({links(5)})\n"
        "\n## Images\n\n- `ghcr.io/c/l:carto-stable`\n"
        f"\n[Everything that changed]({PAGE}/compare/{old}...{tag})\n"
    )


def test_parts_without_content_are_left_out() -> None:
    text = notes(before="", upstream_before="").markdown()
    assert "The first release, on [`v1.76.5`]" in text
    assert "since" not in text and "Everything" not in text and "Fixes" not in text
    same = notes("fix: x", upstream_before="v1.76.5").markdown()
    assert "Upstream upgrade" not in same
    elsewhere = notes("fix: x", upstream_page="").markdown()
    assert "- From `v1.75.2-stable` to `v1.76.5`\n" in elsewhere


@pytest.mark.parametrize("subject", HOSTILE)
def test_a_hostile_subject_is_rendered_as_plain_text(subject: str) -> None:
    subject = " ".join(subject.split())  # as git's %s gives it
    text = notes(subject).markdown()
    assert len(text) < 3000
    # A word joiner keeps names and numbers from being links.
    assert all(line.replace("\u2060", "").isprintable() for line in text.splitlines())
    # Neither a name nor a number of somebody else's reaches anybody.
    assert not re.search(r"@\w", text)
    assert not re.search(r"(?<!\[)#\d", text)
    assert "::" not in text and "${{" not in text
    html = MarkdownIt("gfm-like", {"html": True, "linkify": False}).render(text)
    hosts = set(re.findall(r'(?:href|src)="([^"]*)"', html))
    assert all(url.startswith((f"{PAGE}/", f"{UPSTREAM}/")) for url in hosts), hosts
    tags = set(re.findall(r"</?(\w+)", html))
    assert tags <= {"p", "a", "code", "h2", "ul", "li", "strong"}
    # The commit's words make one item of a list, and no heading.
    assert html.count("<h2>") == 3 and html.count("<li>") == 3


def test_the_message_of_the_tag_holds_no_words_of_commits() -> None:
    text = notes(*HOSTILE).summary()
    assert text == (
        "CARTO release carto-v1.76.5-0.1.0\n\nUpstream: v1.75.2-stable -> v1.76.5\n"
        "Breaking changes: 1\nFeatures: 3\nFixes: 3\nOther: 7\n"
        "Image: ghcr.io/c/l:carto-stable"
    )


def test_very_many_changes_are_counted() -> None:
    text = notes(*(f"fix: number {number} {'x' * 400}" for number in range(2000))).markdown()
    assert "- and 1900 more changes" in text
    assert len(text) < 125_000


# --- Names of images


def test_image_names_are_made_from_the_policys_templates() -> None:
    found = Images(
        name="GHCR.io/CartoDB/litellm-non_root",
        branch=("{branch}-latest", "{branch}-{sha}"),
        release=("{tag}", "carto-stable", "{upstream}", "{upstream}"),
    )
    name = "ghcr.io/cartodb/litellm-non_root"
    assert images_of_branch(found, "carto/main", "0123456789") == [
        f"{name}:carto-main-latest",
        f"{name}:carto-main-0123456",
    ]
    assert images_of_release(found, "carto-v1.76.5-0.1.0", "1.76.5", "0.1.0") == [
        f"{name}:carto-v1.76.5-0.1.0",
        f"{name}:carto-stable",
        f"{name}:1.76.5",
    ]


@pytest.mark.parametrize(
    ("newest", "newest_of_upstream", "moving"),
    [(True, True, ["stable", "1.76.5"]), (False, True, ["1.76.5"]), (False, False, [])],
)
def test_moving_image_tags_stay_with_the_newest_release(
    newest: bool, newest_of_upstream: bool, moving: list[str]
) -> None:
    found = Images(name="a/b", release=("{tag}", "stable", "{upstream}", "{upstream}-{version}"))
    names = images_of_release(
        found, "t", "1.76.5", "0.1.0", newest=newest, newest_of_upstream=newest_of_upstream
    )
    assert names == [f"a/b:{end}" for end in ("t", *moving, "1.76.5-0.1.0")]


@pytest.mark.parametrize(
    "name",
    ["", "a b", "a//b", "/a", "a/", "ghcr.io/a:tag", "ghcr.io/-a", "a/b;id", "a" * 300, "é/b"],
)
def test_an_invalid_image_name_is_refused(name: str) -> None:
    with pytest.raises(Refused, match="no registry accepts"):
        images_of_branch(Images(name=name, branch=("x",)), "carto/main", "0" * 40)


@pytest.mark.parametrize("tag", ["", ".x", "-x", "a b", "x" * 129, "a/b", "$(id)"])
def test_an_invalid_image_tag_is_refused(tag: str) -> None:
    with pytest.raises(Refused, match="as the tag of an image"):
        images_of_release(Images(name="a/b", release=(tag,)), "t", "1", "2")


@pytest.mark.parametrize("name", ["localhost:5000/a", "a", "ghcr.io/a/b__c", "r.io:443/x/y.z"])
def test_unusual_valid_image_names_are_accepted(name: str) -> None:
    found = Images(name=name, branch=("{branch}",))
    assert images_of_branch(found, "carto/main", "") == [f"{name}:carto-main"]


def test_what_people_dropped_is_in_the_notes() -> None:
    drops = [Drop("a_b.py", "Theirs is enough."), Drop("c", "Ours.", side="upstream")]
    assert (
        "\n## Dropped on purpose\n\n"
        "- the fork's change to `a_b.py`: Theirs is enough.\n"
        "- upstream's change to `c`: Ours.\n"
    ) in dataclasses.replace(notes("feat: x"), given_up=drops).markdown()
