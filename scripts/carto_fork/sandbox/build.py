"""A fork to try things on: upstream, the fork and a clone, all in one directory."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from ..fork import session
from ..fork.policy import load_policy
from ..fork.session import Session
from ..run import git
from ..run.errors import Refused
from ..run.shell import Shell
from .history import History
from .litellm import upstream_and_fork

CLONE = "litellm"


@dataclass(frozen=True)
class Sandbox:
    """A sandbox: the clone that a person has there, and whether it has just been built."""

    clone: Path
    new: bool


def build(sh: Shell, directory: Path, history: History | None = None) -> Sandbox:
    """The sandbox in a directory, built there unless it is there already.

    history: what the repositories hold; default: the embedded one.
    Raises Refused if the directory holds something else. Built beside its place and moved there
    at the end, so that a half-built one is never found.
    """
    directory = directory.absolute()
    clone = directory / CLONE
    if (clone / ".git").is_dir():
        return Sandbox(clone, new=False)
    if directory.exists():
        raise Refused(f"{directory} is there and is no sandbox.", then="name another --path.")
    if sh.dry:
        raise Refused(
            f"there is no sandbox in {directory} yet, and --dry builds none.",
            then="run the same command without --dry.",
        )
    directory.parent.mkdir(parents=True, exist_ok=True)
    site = Path(tempfile.mkdtemp(prefix=f"{directory.name}.", dir=directory.parent))
    try:
        _build(sh, site, directory, history or upstream_and_fork())
        site.rename(directory)
    finally:
        shutil.rmtree(site, ignore_errors=True)
    return Sandbox(clone, new=True)


def offer(s: Session, path: Path) -> Sandbox:
    """The sandbox in a directory, built unless it is there; with pull requests if GitHub can be
    played, which takes a checkout of this program and a gh."""
    built = build(s.sh, path)
    try:
        from carto_standin import gh
    except ImportError:
        s.console.say("Pull requests and releases need a checkout of carto-fork.", "yellow")
        return built
    if not gh.install(s.sh, built.clone):
        s.console.say("Pull requests and releases need gh: https://cli.github.com", "yellow")
    return built


def tour(s: Session, path: Path) -> None:
    """Go through an upgrade in the sandbox: pull request, merge, release, Slack."""
    try:
        from carto_standin import tour
    except ImportError:
        raise Refused(
            "the tour needs a checkout of carto-fork, where GitHub is played.",
            then="clone it, then type `make tour` there.",
        ) from None
    tour.run(s, path)


def _build(sh: Shell, site: Path, final: Path, history: History) -> None:
    """Build the sandbox at a site from where it is moved to its final place."""
    for name, refs in (("upstream", history.upstream_refs), ("origin", history.origin_refs)):
        repository, stream = site / f"{name}.git", site / "stream"
        stream.write_bytes(history.stream(refs))
        _git(sh, "init --quiet --bare --initial-branch main {to}", to=repository)
        _git(sh, "-C {to} fast-import --quiet", stdin=stream, to=repository)
        stream.unlink()
    _git(sh, "-C {to} symbolic-ref HEAD refs/heads/carto/main", to=site / "origin.git")
    clone = site / CLONE
    _git(sh, "clone --quiet {origin} {to}", origin=site / "origin.git", to=clone)
    remotes = load_policy().policy.remotes
    _git(sh, "-C {to} remote add upstream {url}", to=clone, url=remotes.upstream.url)
    # The URLs are GitHub's, as the policy wants them; git is led to this directory instead.
    settings = {
        "remote.origin.url": remotes.origin.url,
        f"url.{final / 'origin.git'}.insteadOf": remotes.origin.url,
        f"url.{final / 'upstream.git'}.insteadOf": remotes.upstream.url,
        "user.name": "Fork Maintainer",
        "user.email": "maintainer@example.com",
    }
    for key, value in settings.items():
        _git(sh, "-C {to} config {key} {value}", to=clone, key=key, value=value)


def _git(sh: Shell, command: str, stdin: Path | None = None, **values: str | Path) -> None:
    answer = sh.do(f"git {command}", stdin=stdin, **values)
    if not answer.ok:
        raise RuntimeError(f"git {command} ended with {answer.code}: {answer.err.strip()}")


def build_sandbox(s: Session, path: Path) -> None:
    """Build the sandbox, unless it is there."""
    built = offer(s, path)
    clone = git.nearest(built.clone)
    ask = session.command(s.program, "next", repo=str(clone))
    which = "a new" if built.new else "the"
    s.console.say(f"{clone} is {which} fork to try things on; `{ask}` says what to do there.")
