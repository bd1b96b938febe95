"""The page to review an upgrade by: what is on it, and what cannot get out of it."""

from __future__ import annotations

import html
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from world import World, commit_in

TAG, STABLE = "v1.76.5", "v1.77.2-stable"
EVIL = "</script><img src=x onerror=alert(1)>\u202e `${x}`"


def page_of(world: World, tag: str = TAG) -> str:
    return (world.fork / f".git/carto-fork/{tag}/report.html").read_text()


def section(page: str, name: str) -> str:
    [found] = re.findall(rf'<section id="{name}".*?</section>', page, re.S)
    return html.unescape(str(found))


def test_an_upgrade_leaves_a_page_that_says_what_its_account_says(world: World) -> None:
    done = world.run(f"upgrade-carto --tag {TAG} --no-tests --no-push")
    assert done.code == 0, done.err
    page = page_of(world)
    sync = f"upstream-sync/{TAG}"
    ours, theirs, result = world.git(f"rev-parse {sync}~1^ {TAG}^0 {sync}").split()
    revs = f"--ours {ours} --theirs {theirs} --result {result}"
    account = json.loads(world.run(f"verify {revs} --json").out)
    numbers = dict(re.findall(r'<th scope="row">(.*?)</th><td>(.*?)</td>', page))
    assert numbers["files that the fork&#39;s commits changed"] == str(account["fork_files"])
    assert numbers["files that upstream changed"] == str(account["upstream_files"])
    assert "changes: lost" not in numbers and account["lost"] == []
    eyes = section(page, "eyes")
    dropped = [one["path"] for one in account["explained"] if "dropped" in one["fate"]]
    assert dropped and all(f"<code>{path}</code>" in eyes for path in dropped)
    # What upstream changed of dependencies is there to be read.
    assert '<span class="tag open">dependencies</span> <code>pyproject.toml</code>' in eyes
    assert "@@ line" in eyes and "Copy <code>git diff " in eyes
    # What one rule decides of generated files is one item, with its files inside.
    conflicts = section(page, "conflicts")
    grouped = [int(n) for n in re.findall(r"</code> (\d+) generated files?:", conflicts)]
    singly = conflicts.count('class="item"') - len(grouped)
    assert (singly + sum(grouped), len(grouped)) == (int(numbers["files in conflict"]), 2)
    assert "The fork deleted this file on purpose" in conflicts
    assert f"carto-fork verify --ours {ours[:10]}" in section(page, "again")
    again = world.run(f"report {revs} --output again.html --json")
    assert (json.loads(again.out), again.code) == ({"report": "again.html"}, 0)
    same = (world.fork / "again.html").read_text()
    assert section(same, "fork") == section(page, "fork")
    # `verify` writes it too, beside the account.
    (world.fork / f".git/carto-fork/{TAG}/report.html").unlink()
    work = world.work(TAG)
    checked = world.run(f"verify --repo {work} --tag {TAG}")
    assert (checked.code, f"{TAG}/report.html" in checked.out) == (0, True)
    assert page_of(world) == page


def test_a_page_that_cannot_be_written_fails_nothing(world: World) -> None:
    (world.fork / f".git/carto-fork/{TAG}/report.html").mkdir(parents=True)
    done = world.run(f"upgrade-carto --tag {TAG} --no-tests --no-push")
    assert done.code == 0, done.err
    assert "could not be made (IsADirectoryError" in done.out
    assert f"This tries again: invoke report --tag {TAG}" in done.out


def test_a_conflict_that_is_left_is_shown_with_its_commands(world: World) -> None:
    world.git(f"fetch --quiet upstream tag {STABLE} --no-tags")
    done = world.run(f"forecast --tag {STABLE} --html forecast.html")
    assert done.code == 0, done.err
    page = (world.fork / "forecast.html").read_text()
    assert "A forecast: 2 conflicts would be left for a person." in page
    conflicts = section(page, "conflicts")
    assert '<span class="tag wrong">left</span> <code>Dockerfile</code>' in conflicts
    assert "carto-fork resolve-conflicts --keep-fork Dockerfile --reason WHY" in conflicts
    assert "<mark>" in conflicts and conflicts.count("<h4>base</h4>") >= 2
    refused = world.run("report --tag v1.77.2-stable")
    assert (refused.code, "no branch here holds a merge" in refused.err) == (1, True)


def test_nothing_hostile_is_more_than_text(world: World) -> None:
    """Paths, subjects and code that close tags, turn the reading direction, or are very long."""
    path = "docs/<b>`$(touch x)`.md"
    world.git("fetch --quiet --no-tags upstream")
    base = world.git("merge-base origin/carto/main upstream/main")
    files: dict[str, str | None] = {path: f"{EVIL}\n{'x' * 10_000}\n"}
    theirs = commit_in(world, world.fork, "refs/heads/t", files, base, message=EVIL)
    ours = commit_in(world, world.fork, "refs/heads/o", {path: "ours\n"}, base, message=EVIL)
    result = commit_in(world, world.fork, "refs/heads/r", files, ours, theirs)
    done = world.run(f"report --ours {ours} --theirs {theirs} --result {result} --output it.html")
    assert done.code == 0, done.err
    page = (world.fork / "it.html").read_text()
    assert "<img" not in page and "\u202e" not in page and "<b>" not in page
    assert page.count("</script>") == 1
    assert max(map(len, page.splitlines())) < 9_000
    assert 'http-equiv="Content-Security-Policy" content="default-src &#39;none&#39;;' in page
    assert not re.findall(r'(?:src|href)="(?!#|https://github.com/)', page)
    found: list[str] = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attrs: found.extend(name for name, _ in attrs)  # type: ignore[method-assign]
    parser.feed(page)
    assert "data-fate" in found
    assert not [name for name in found if name.startswith("on") or name == "style"]
    # Without a policy and the branch that the default one names, this is some other fork.
    assert "<h1>CARTO: " in page and "https://github.com/CartoDB/litellm/commit/" in page
    world.git("remote set-url origin https://github.com/else/where")
    world.git("checkout --quiet --detach")
    for ref in ("refs/heads/carto/main", "refs/remotes/origin/carto/main"):
        world.git(f"update-ref -d {ref}")
    done = world.run(f"report --ours {ours} --theirs {theirs} --result {result} --output it.html")
    assert done.code == 0, done.err
    page = (world.fork / "it.html").read_text()
    assert f"<h1>{world.clone}: " in page and "https://github.com/else/where/commit/" in page
    assert "CartoDB" not in page


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("report", "name a release with --tag"),
        ("report --tag v1.76.5 --ours x", "name a release with --tag"),
        ("report --ours a --theirs b", "name a release with --tag"),
        ("report --ours=-x --theirs b --result c", "which cannot name a commit"),
    ],
)
def test_what_is_no_merge_is_refused(world: World, line: str, said: str) -> None:
    done = world.run(line)
    assert (done.code, said in done.err, Path(world.fork / "report.html").exists()) == (
        2,
        True,
        False,
    )
