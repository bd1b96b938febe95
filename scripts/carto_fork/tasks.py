"""The tasks: their options and their help. What they do is in `commands`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, TextIO

import invoke.tasks
from invoke.collection import Collection
from invoke.context import Context
from invoke.executor import Executor
from invoke.parser import Parser

_REPO = "The fork's clone; default: $CARTO_FORK_REPO, else the current directory."
_JSON = "Print the result as JSON on standard output; everything else goes to standard error."

# The rest is imported when a task runs: `--list` and `--help` stay as quick as invoke.


def _task(**help_texts: str) -> Callable[[Callable[..., None]], Any]:
    """A task whose values are all options: invoke would take `--tagg v1` for two positionals."""
    texts = {"repo": _REPO, **help_texts}
    return invoke.tasks.task(positional=[], auto_shortflags=False, help=texts)


@_task()
def setup(c: Context, repo: str = "") -> None:
    """Prepare a clone: remotes origin and upstream, rerere and zdiff3.

    Adds what is missing. A remote that is something else than the policy says is refused, with
    the command that mends it. Running it again changes nothing.
    """
    from . import commands
    from .session import session

    with session(c, "setup", repo=repo) as s:
        commands.set_up(s)


@_task(json=_JSON)
def status(c: Context, repo: str = "", json: bool = False) -> None:
    """Show where the fork stands and what to type next.

    The branch that is checked out; the version on the production branch (read there, whatever is
    checked out); the newest release of the fork and of upstream; commits ahead and behind; an
    upgrade in progress. Without a network it tells what is known here, and says so.
    """
    from . import commands
    from .session import session

    with session(c, "status", as_json=json, repo=repo) as s:
        commands.show_status(s)


@_task(json=_JSON)
def config(c: Context, repo: str = "", json: bool = False) -> None:
    """Print the fork's effective policy, and where each value comes from.

    The policy that ships with this program is for CARTO's fork of LiteLLM. A fork may carry its
    own carto_fork.toml on its production branch.
    """
    from . import commands
    from .session import session

    with session(c, "config", as_json=json, repo=repo) as s:
        commands.show_config(s)


@_task()
def sync_main(c: Context, repo: str = "") -> None:
    """Move the mirror branch `main` to upstream's, for awareness only.

    Fast-forward only, and without checking anything out. This does not touch the production
    branch. If the mirror has commits of its own, it refuses and names them.
    """
    from . import commands
    from .session import session

    with session(c, "sync-main", repo=repo) as s:
        commands.sync_mirror(s)


@_task(
    tag="The stable upstream release, such as v1.76.5.",
    direct="Move the production branch itself instead of publishing a sync branch.",
    push="Publish the result (--no-push stops before).",
    tests="Run the policy's install, test and lint commands (--no-tests leaves them out).",
    abort="Remove the work tree and the local sync branch of this upgrade, and nothing else.",
    json=_JSON,
)
def upgrade_carto(
    c: Context,
    repo: str = "",
    tag: str = "",
    direct: bool = False,
    push: bool = True,
    tests: bool = True,
    abort: bool = False,
    json: bool = False,
) -> None:
    """Upgrade the production branch to a stable upstream release.

    Merges exactly that tag on a sync branch, in a work tree of its own; your checkout may be in
    any state. Conflicts are decided by the fork's written rules; what they leave is yours: resolve
    it, `git add` it, and run the same command again. Then the version is set, the result is
    checked, installed and tested, and the sync branch is published. Interrupted or failed at any
    step, the same command continues.
    """
    from . import commands
    from .session import session
    from .upgrade import Options

    words: dict[str, str | bool] = {"repo": repo, "tag": tag, "direct": direct}
    words |= {"no_push": not push, "no_tests": not tests, "abort": abort}
    with session(c, "upgrade-carto", as_json=json, **words) as s:
        options = Options(tag, direct, push, tests)
        if abort:
            commands.give_up(s, options)
        else:
            commands.run_upgrade(s, options, lambda words: _run_task(c, words, s.sh.stream))


@_task(json=_JSON)
def resolve_conflicts(c: Context, repo: str = "", json: bool = False) -> None:
    """Decide the conflicts of a merge in progress by the fork's written rules.

    Works on any work tree with a merge in progress, and from the clone on the work tree of the
    upgrade. What a rule decides is staged; what is left keeps its diff3 markers and is listed with
    what to do about it. Nothing that you have edited is overwritten; running it again continues.
    """
    from . import commands
    from .session import session

    with session(c, "resolve-conflicts", as_json=json, repo=repo) as s:
        commands.resolve_conflicts(s)


@_task(
    tag="The stable upstream release whose version to set, such as v1.76.5.",
    to="The version to set, such as 1.76.5.",
)
def bump_version(c: Context, repo: str = "", tag: str = "", to: str = "") -> None:
    """Set the version in every place that states it, and commit that.

    The places are in the policy; comments and layout stay as they are. The commit holds nothing
    else.
    """
    from . import commands
    from .session import session

    with session(c, "bump-version", repo=repo, tag=tag, to=to) as s:
        commands.bump_version(s, tag, to)


@_task(tag="The stable upstream release that was merged.", json=_JSON)
def verify(c: Context, repo: str = "", tag: str = "", json: bool = False) -> None:
    """Check a finished merge of a tag: nothing left over, and exactly that tag.

    No conflict markers that neither side had, nothing uncommitted, the version of the tag, and no
    commit of upstream's that the release does not hold. Ends with exit code 4 if something is
    wrong.
    """
    from . import commands
    from .session import session

    with session(c, "verify", as_json=json, repo=repo, tag=tag) as s:
        commands.verify_merge(s, tag)


@invoke.tasks.task(
    positional=[],
    auto_shortflags=False,
    help={"path": "Where to build it; default: .sandbox in the current directory."},
)
def sandbox(c: Context, path: str = ".sandbox") -> None:
    """Build a small upstream, its fork and a clone, to try the other tasks on.

    Everything is on this machine: the remotes look like GitHub's, and lead to the directory. What
    is there already is kept.
    """
    from . import commands
    from .session import session

    with session(c, "sandbox", path=path) as s:
        commands.build_sandbox(s, Path(path))


def _run_task(c: Context, words: Sequence[str], stream: TextIO) -> None:
    """Run a task of this module in this process, as if typed.

    words: its command line, without the program.
    stream: where it prints; standard output may be kept for JSON.
    """
    parsed = Parser(contexts=namespace.to_contexts()).parse_argv(list(words))
    with redirect_stdout(stream):
        Executor(namespace, c.config.clone()).execute(*parsed)


namespace = Collection.from_module(sys.modules[__name__], auto_dash_names=True)
