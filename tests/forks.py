"""Forks that have nothing in common with the embedded sandbox: a Node project and a Go project."""

from __future__ import annotations

import json
from pathlib import Path

from repository import Files, Repo
from world import World


def _lines(name: str, count: int = 12) -> str:
    return "".join(f"{name} {number}\n" for number in range(count))


def _package(version: str, **more: object) -> str:
    scripts = {"test": "node --test", "lint": "node --check src/panel.js"}
    data = {"name": "panel", "version": version, "private": True, "scripts": scripts, **more}
    return json.dumps(data, indent=4) + "\n"


def _panel(timeout: int, *more: str) -> str:
    lines = [f"export const timeout = {timeout};", *(f"// step {n}" for n in range(8)), *more]
    return "\n".join(lines) + "\n"


def _finish(
    world: World, source: Repo, remotes: tuple[str, str], branches: tuple[str, ...]
) -> None:
    """Make the two bare repositories and the clone of a history in which `up/*` is upstream's."""
    fork, upstream = remotes
    heads = source.git("branch", "--format=%(refname:short)").split("\n")
    for bare, of_upstream in ((world.upstream, True), (world.origin, False)):
        source.git("init", "--quiet", "--bare", str(bare))
        for name in heads:
            if name.startswith("up/") == of_upstream:
                to = name.removeprefix("up/")
                source.git("push", "--quiet", str(bare), f"refs/heads/{name}:refs/heads/{to}")
    source.git("push", "--quiet", "--tags", str(world.upstream))
    source.git(
        "--git-dir", str(world.upstream), "symbolic-ref", "HEAD", f"refs/heads/{branches[0]}"
    )
    source.git("--git-dir", str(world.origin), "symbolic-ref", "HEAD", f"refs/heads/{branches[1]}")
    urls = {fork: world.slug, upstream: world.upstream_slug}
    world.git("clone --quiet --origin", fork, str(world.origin), str(world.fork), repo=world.place)
    for name, place in ((fork, world.origin), (upstream, world.upstream)):
        url = f"https://github.com/{urls[name]}.git"
        world.git("config", f"url.{place}.insteadOf", url)
        if name == fork:
            world.git("remote set-url", name, url)
        else:
            world.git("remote add", name, url)
    world.git("config user.name Maintainer")
    world.git("config user.email maintainer@example.com")
    world.git("fetch --quiet --tags", upstream)


def node(place: Path) -> World:
    """A panel for Node, whose releases are tagged `release/x.y`; its fork is Acme's."""
    world = World(place, "panel", "acme/panel", "widgets/panel", "acme/stable")
    repo = Repo.new(place / "source", "up/main")
    files: Files = {
        "package.json": _package("1.0.0"),
        "package-lock.json": json.dumps({"name": "panel", "version": "1.0.0"}, indent=4) + "\n",
        "src/panel.js": _panel(10),
        "README.md": "# Panel\n",
        ".github/workflows/publish.yml": "on: push\njobs: {}\n",
    }
    repo.commit(files, "feat: a panel", date="2025-01-01")
    repo.git("tag", "release/1.0")
    repo.on("main", "HEAD").on("acme/stable", "HEAD")
    repo.commit(
        {
            "src/panel.js": _panel(60),
            "src/acme.js": "export const theme = 'acme';\n",
            ".github/workflows/publish.yml": None,
            ".github/workflows/deploy.yml": "on: push\njobs: {}\n",
        },
        "feat: a theme, and time to load",
        date="2025-01-02",
    )
    repo.on("up/main")
    repo.commit({"src/more.js": _lines("// more")}, "feat: more", date="2025-01-03")
    repo.git("tag", "release/1.1-rc.1")
    repo.commit({"package.json": _package("1.1.0")}, "chore: 1.1", date="2025-01-04")
    repo.git("tag", "release/1.1")
    repo.commit(
        {"src/panel.js": _panel(30, "// faster"), "package.json": _package("1.2.0", type="module")},
        "feat: a shorter timeout",
        date="2025-01-05",
    )
    repo.git("tag", "release/1.2")
    _finish(world, repo, ("origin", "upstream"), ("main", "main"))
    return world


def go(place: Path) -> World:
    """A server in Go, tagged `vX.Y.Z`, without a file that states the version; a bank's fork."""
    world = World(place, "relay-fork", "northbank/relay-fork", "relayers/relay", "prod")
    repo = Repo.new(place / "source", "up/master")
    main = "package main\n\nfunc limit() int {{ return {} }}\n" + _lines("// relay")
    files: Files = {
        "go.mod": "module example.com/relay\n\ngo 1.22\n",
        "go.sum": "example.com/a v1.0.0 h1:aaa=\n",
        "main.go": main.format(10),
        "util.go": "package main\n",
    }
    repo.commit(files, "feat: a relay", date="2025-02-01")
    repo.git("tag", "v0.9.0")
    repo.on("prod", "HEAD")
    repo.commit(
        {"main.go": main.format(99)}, "feat: a limit for large transfers", date="2025-02-02"
    )
    repo.commit({"audit.go": "package main\n\n// audit\n"}, "feat: audit", date="2025-02-03")
    repo.on("up/master")
    repo.commit({"util.go": "package main\n\n// util\n"}, "feat: util", date="2025-02-04")
    repo.git("tag", "v1.0.0-beta.1")
    repo.git("tag", "-a", "-m", "1.0.0", "v1.0.0")
    repo.commit({"main.go": main.format(20)}, "feat: a higher limit", date="2025-02-05")
    repo.git("tag", "v1.1.0")
    _finish(world, repo, ("fork", "source"), ("master", "prod"))
    return world


FORKS = {"node": node, "go": go}
