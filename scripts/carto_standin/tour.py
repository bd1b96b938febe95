"""A tour of the sandbox: an upstream release becomes a pull request, a merge and a fork release."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from shlex import quote

from carto_fork.audit import review
from carto_fork.ci import notify
from carto_fork.fork.branches import FETCH_PRODUCTION
from carto_fork.fork.session import Session
from carto_fork.release import release
from carto_fork.run import git, github
from carto_fork.run.console import Console
from carto_fork.run.errors import Refused
from carto_fork.run.steps import Plan, Step
from carto_fork.sandbox import build
from carto_fork.upgrade import automatic, report
from carto_fork.upgrade.begun import Options

LAND = (
    Step(
        "merge",
        "Merge the pull request with a merge commit, as a reviewer does.",
        run=("{gh} pr merge {number} -R {slug} --merge",),
    ),
    replace(FETCH_PRODUCTION[0], when=None),
)

TAG = "v1.76.5"
"""The upstream release that the tour upgrades to; nobody has to decide anything."""


def run(s: Session, path: Path) -> None:
    """Build the sandbox if it does not exist, and go through an upgrade up to its release.

    Finished steps are skipped, so a second run finds nothing new. Raises Refused if the sandbox has
    no gh.
    """
    built = build.offer(s, path)
    repo = str(git.nearest(built.clone))
    s.repo_option = repo
    fork = s.open_fork()
    hub = fork.hub(fork.policy.remotes.origin)
    if Path(hub.gh).absolute().parent != built.clone.absolute().parent:
        raise Refused(
            "this sandbox lacks its own gh.",
            then="install gh (https://cli.github.com), then run the same command again.",
        )
    s.console.say("GitHub and Slack are simulated here: nothing leaves this machine.")
    with _slack(s.console):
        automatic.sync_upstream(s, Options(TAG, tests=False))
        branch = fork.policy.branches.sync_for(TAG)
        pulls = github.pulls(s.sh, hub, base=fork.policy.branches.production, head=branch)
        for pull in pulls:
            values = fork.values() | {"number": str(pull.number), "repo": repo}
            s.run(LAND, Plan(values, frozenset()), None)
        if not pulls:
            s.console.say(f"{fork.policy.branches.production} there has {TAG} already. Start over:")
            s.console.next(f"rm -rf {quote(str(git.nearest(path)))} && {s.again}")
            return
        review.verify_merge(s, "", {}, TAG, report.write_checked)
        release.make_release(s, "auto", dispatch=False)


@contextmanager
def _slack(console: Console) -> Iterator[None]:
    """Run a fake Slack on this machine, and print the messages it receives."""

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            lines = json.loads(self.rfile.read(length))["text"].split("\n")
            for number, line in enumerate(lines):
                console.row("       " if number else "Slack: ", line, "magenta")
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Hook)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    before = os.environ.get(notify.VARIABLE)
    os.environ[notify.VARIABLE] = f"http://127.0.0.1:{server.server_port}/services/sandbox"
    try:
        yield
    finally:
        os.environ.pop(notify.VARIABLE)
        if before is not None:
            os.environ[notify.VARIABLE] = before
        server.shutdown()
        server.server_close()
