"""The tasks: their options and their help. What they do is in `commands` and beside it."""

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
from invoke.parser.context import ParserContext

_REPO = "The fork's clone; default: $CARTO_FORK_REPO, else the current directory."
_JSON = "Print the result as JSON on standard output; everything else goes to standard error."

# The rest is imported when a task runs: `--list` and `--help` stay as quick as invoke.


def _task(
    *, iterable: Sequence[str] = (), **help_texts: str
) -> Callable[[Callable[..., None]], Any]:
    """A task whose values are all options: invoke would take `--tagg v1` for two positionals.

    iterable: options that may be given several times.
    """
    texts = {"repo": _REPO, **help_texts}
    return invoke.tasks.task(
        positional=[], auto_shortflags=False, iterable=list(iterable), help=texts
    )


@_task()
def setup(c: Context, repo: str = "") -> None:
    """Prepare a clone: remotes origin and upstream, rerere and zdiff3.

    Adds what is missing. A remote that is something else than the policy says is refused, with
    the command that mends it. Running it again changes nothing.
    """
    from . import commands
    from .fork.session import session

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
    from .fork.session import session

    with session(c, "status", as_json=json, repo=repo) as s:
        commands.show_status(s)


@_task(json=_JSON)
def next(c: Context, repo: str = "", json: bool = False) -> None:
    """Print the one command to type next, and why, from whatever state is found.

    The same as `guide --next`. What it prints can be pasted; it changes nothing itself.
    """
    from .fork.session import session
    from .health import guide as guiding

    with session(c, "next", as_json=json, repo=repo) as s:
        guiding.show_next(s)


@_task(
    topic="What to read about; without it the topics are listed.",
    next="Print the one command to type next, and why.",
    json=_JSON,
)
def guide(
    c: Context, repo: str = "", topic: str = "", next: bool = False, json: bool = False
) -> None:
    """Print the fork's procedures and rules as Markdown, for people and AI assistants.

    Made from the same steps that the tasks carry out, with the values of this fork's policy;
    outside of a fork with those of the policy that ships.
    """
    from .fork.session import session
    from .health import guide as guiding

    with session(c, "guide", as_json=json, repo=repo, topic=topic, next=next) as s:
        guiding.show_guide(s, topic, next)


@_task(json=_JSON)
def config(c: Context, repo: str = "", json: bool = False) -> None:
    """Print the fork's effective policy, and where each value comes from.

    The policy that ships with this program is for CARTO's fork of LiteLLM. A fork may carry its
    own carto_fork.toml on its production branch.
    """
    from . import commands
    from .fork.session import session

    with session(c, "config", as_json=json, repo=repo) as s:
        commands.show_config(s)


@_task()
def sync_main(c: Context, repo: str = "") -> None:
    """Move the mirror branch `main` to upstream's, for awareness only.

    Fast-forward only, and without checking anything out. This does not touch the production
    branch. If the mirror has commits of its own, it refuses and names them.
    """
    from . import commands
    from .fork.session import session

    with session(c, "sync-main", repo=repo) as s:
        commands.sync_mirror(s)


@_task(
    tag="The stable upstream release, such as v1.76.5.",
    direct="Move the production branch itself instead of publishing a sync branch.",
    push="Publish the result (--no-push stops before).",
    tests="Run the policy's install, test and lint commands (--no-tests leaves them out).",
    abort="Remove the work tree and the local sync branch of this upgrade, and nothing else.",
    heal="Record the lost ancestry of an earlier, squashed sync first.",
    unhealed="Merge although the ancestry of an earlier sync is lost.",
    pr="Open or update the pull request, where gh is installed (--no-pr leaves it out).",
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
    heal: bool = False,
    unhealed: bool = False,
    pr: bool = True,
    json: bool = False,
) -> None:
    """Upgrade the production branch to a stable upstream release.

    Merges exactly that tag on a sync branch, in a work tree of its own; your checkout may be in
    any state. Conflicts are decided by evidence and the fork's written rules; what they leave is
    yours: resolve it, `git add` it, and run the same command again. Then the version is set, every
    change of both sides is accounted for, the result is installed and tested, and the sync branch
    is published. Interrupted or failed at any step, the same command continues.
    """
    from . import commands
    from .fork.session import session
    from .upgrade.plan import Options

    words: dict[str, str | bool] = {"repo": repo, "tag": tag, "direct": direct}
    words |= {"no_push": not push, "no_tests": not tests, "abort": abort}
    words |= {"heal": heal, "unhealed": unhealed, "no_pr": not pr}
    with session(c, "upgrade-carto", as_json=json, **words) as s:
        options = Options(tag, direct, push, tests, heal, unhealed, pr)
        if abort:
            commands.give_up(s, options)
        else:
            commands.run_upgrade(s, options, lambda words: _run_task(c, words, s.sh.stream))


@_task(
    iterable=["accept_upstream", "keep_fork"],
    accept_upstream="A file in conflict that follows upstream in all that is left (repeatable).",
    keep_fork="A file in conflict that keeps the fork's side in all that is left (repeatable).",
    reason="Why; written to carto_drops.toml with what gives way.",
    pr="A sync's pull request to finish: number or branch; default: the merge in progress.",
    json=_JSON,
)
def resolve_conflicts(
    c: Context,
    accept_upstream: list[str],
    keep_fork: list[str],
    repo: str = "",
    reason: str = "",
    pr: str = "",
    json: bool = False,
) -> None:
    """Decide the conflicts of a merge in progress by evidence and the fork's written rules.

    Works on any work tree with a merge in progress, and from the clone on the work tree of the
    upgrade. Upstream's side is never taken over lines that a commit of the fork's own wrote,
    unless upstream has them too or a person said so. What is decided is staged; what is left keeps
    its diff3 markers and is listed with what to do about it. Nothing that you have edited is
    overwritten; running it again continues. With --pr it works on a sync's pull request, in a work
    tree of its own, checks the result, and pushes it once nothing is left.
    """
    from . import commands
    from .fork.session import session
    from .merge.resolve import Words
    from .upgrade import syncing

    words = Words(tuple(accept_upstream), tuple(keep_fork), reason)
    given: dict[str, str | bool | Sequence[str]] = {"repo": repo, "reason": reason, "pr": pr}
    given |= {"accept_upstream": words.upstream, "keep_fork": words.fork}
    with session(c, "resolve-conflicts", as_json=json, **given) as s:
        if pr:
            syncing.resolve_request(s, pr, words, lambda line: _run_task(c, line, s.sh.stream))
        else:
            commands.resolve_conflicts(s, words)


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
    from .fork.session import session

    with session(c, "bump-version", repo=repo, tag=tag, to=to) as s:
        commands.bump_version(s, tag, to)


@_task(json=_JSON)
def detect(c: Context, repo: str = "", json: bool = False) -> None:
    """Tell which stable release of upstream's the production branch does not have yet.

    Names of tags are classified by the policy's schemes. Reads upstream's tags, and what GitHub
    says of the newest where gh is installed. In GitHub Actions it sets the outputs found, tag,
    version and notes.
    """
    from . import detecting
    from .fork.session import session

    with session(c, "detect", as_json=json, repo=repo) as s:
        detecting.show_detection(s)


@_task(
    tag="The stable release to prepare; default: the newest one that is new.",
    tests="Install and test the result (--no-tests leaves that out).",
    heal="Record the lost ancestry of an earlier sync first.",
    json=_JSON,
)
def upstream_sync(
    c: Context,
    repo: str = "",
    tag: str = "",
    tests: bool = True,
    heal: bool = False,
    json: bool = False,
) -> None:
    """Notice a new stable release, prepare the upgrade, and open its pull request.

    What is decided by evidence and rules is committed and explained. What is left to a person stays
    visible in the branch; `resolve-conflicts --pr NUMBER` finishes it. A pull request for an older
    release is superseded; a branch that somebody pushed to is never overwritten. In GitHub Actions
    it sets the outputs result, tag and pull_request.
    """
    from .fork.session import session
    from .upgrade import syncing
    from .upgrade.plan import Options

    words: dict[str, str | bool] = {"repo": repo, "tag": tag, "no_tests": not tests, "heal": heal}
    with session(c, "upstream-sync", as_json=json, **words) as s:
        options = Options(tag, tests=tests, heal=heal)
        syncing.sync_upstream(s, options, lambda line: _run_task(c, line, s.sh.stream))


@_task(tag="The release whose sync branch is published, such as v1.76.5.", json=_JSON)
def sync_pr(c: Context, repo: str = "", tag: str = "", json: bool = False) -> None:
    """Open the pull request of a sync branch, or bring it up to date.

    With labels, what was decided and why, the account of every change, and what is left to do.
    """
    from .fork.session import session
    from .upgrade import syncing

    with session(c, "sync-pr", as_json=json, repo=repo, tag=tag) as s:
        syncing.open_request(s, tag)


@_task(tag="The release that was merged, such as v1.76.5.")
def record_tag(c: Context, repo: str = "", tag: str = "") -> None:
    """Write down in the work tree what a tag stands for, and commit that.

    In carto_tags.toml: an upgrade refuses a tag that stands for something else by then.
    """
    from . import commands
    from .fork.session import session

    with session(c, "record-tag", repo=repo, tag=tag) as s:
        commands.record_tag(s, tag)


@_task(
    tag="The stable upstream release whose merge to check, in the work tree.",
    ours="The fork's side of any merge: a commit, a branch or a tag.",
    theirs="Upstream's side of it.",
    result="What the merge made of them.",
    landed="The release whose sync has landed on the production branch.",
    json=_JSON,
)
def verify(
    c: Context,
    repo: str = "",
    tag: str = "",
    ours: str = "",
    theirs: str = "",
    result: str = "",
    landed: str = "",
    json: bool = False,
) -> None:
    """Account for every change of both sides after a merge, and check that the result is sound.

    Each hunk that the fork or upstream made since their common ancestor is kept, moved, absorbed,
    superseded, dropped on purpose, or lost. Also: conflict markers, files that no longer parse,
    names and imports that lead nowhere, disabled workflows, features of the manifest, the version,
    commits that the release does not hold. Ends with exit code 4 if something is wrong or lost.
    """
    from . import reviewing
    from .fork.session import session

    revs = {"ours": ours, "theirs": theirs, "result": result}
    with session(c, "verify", as_json=json, repo=repo, tag=tag, landed=landed, **revs) as s:
        reviewing.verify_merge(s, tag, revs, landed)


@_task(
    path="The file whose loss is meant, from the top of the work tree.",
    reason="Why it may go, in words.",
    tag="The release whose merge lost it; default: that of the sync branch.",
)
def drop(c: Context, repo: str = "", path: str = "", reason: str = "", tag: str = "") -> None:
    """Let what a merge lost in a file go on purpose, with the reason, and commit that.

    Written to carto_drops.toml in the fork: nobody is asked about it twice, and `verify` knows.
    """
    from . import reviewing
    from .fork.session import session

    with session(c, "drop", repo=repo, path=path, reason=reason, tag=tag) as s:
        reviewing.let_go(s, path, reason, tag)


@_task(
    check="Only say whether something is to heal, with exit code 4 if so.",
    direct="Move the production branch itself instead of publishing a branch.",
    push="Publish the result (--no-push stops before).",
    json=_JSON,
)
def heal(
    c: Context,
    repo: str = "",
    check: bool = False,
    direct: bool = False,
    push: bool = True,
    json: bool = False,
) -> None:
    """Record the ancestry of an earlier sync that a squash merge lost.

    Git then knows again what is merged, and the next upgrade stops with few conflicts instead of
    hundreds. A merge commit is added that changes no file, only after proof that every file in
    which the two differ was changed by the fork itself.
    """
    from . import reviewing
    from .fork.session import session

    words: dict[str, str | bool] = {"repo": repo, "check": check, "direct": direct}
    with session(c, "heal", as_json=json, no_push=not push, **words) as s:
        reviewing.heal(s, check, direct, push)


@_task(
    iterable=["tag"],
    tag="A stable release that is here (repeatable); default: the newest ones.",
    markdown="Print a table in Markdown.",
    json=_JSON,
)
def forecast(
    c: Context, tag: list[str], repo: str = "", markdown: bool = False, json: bool = False
) -> None:
    """Tell what an upgrade would do, without touching anything.

    Conflicts by kind and by decision, how many a person must take, the fork's hunks at risk, files
    and commits, and the release to choose. Index, HEAD, refs and work tree stay as they are.
    """
    from . import reviewing
    from .fork.session import session

    words: dict[str, str | bool | Sequence[str]] = {"repo": repo, "tag": tag, "markdown": markdown}
    with session(c, "forecast", as_json=json, **words) as s:
        reviewing.show_forecast(s, tag, markdown)


@_task(reset="Set those files to upstream's in one commit on the branch checked out.", json=_JSON)
def drift(c: Context, repo: str = "", reset: bool = False, json: bool = False) -> None:
    """List files that differ from upstream although no commit of the fork changed them.

    Earlier merges left them behind; they make conflicts and serve nobody.
    """
    from . import reviewing
    from .fork.session import session

    with session(c, "drift", as_json=json, repo=repo, reset=reset) as s:
        reviewing.show_drift(s, reset)


@_task(json=_JSON)
def dropped(c: Context, repo: str = "", json: bool = False) -> None:
    """List changes of the fork's that upstream has absorbed: the fork may let them go."""
    from . import reviewing
    from .fork.session import session

    with session(c, "dropped", as_json=json, repo=repo) as s:
        reviewing.show_absorbed(s)


@_task(scan="Propose entries from the fork's own commits, as TOML.", json=_JSON)
def features(c: Context, repo: str = "", scan: bool = False, json: bool = False) -> None:
    """Check the features of the fork's manifest on the production branch, or propose some.

    The manifest is the `[[feature]]` tables of carto_fork.toml: name, files, patterns that must
    match in them, where it came from. Ends with exit code 4 if something is missing.
    """
    from . import reviewing
    from .fork.session import session

    with session(c, "features", as_json=json, repo=repo, scan=scan) as s:
        reviewing.show_features(s, scan)


@invoke.tasks.task(
    positional=[],
    auto_shortflags=False,
    help={
        "event": "How the run ended: success, conflicts, nothing or failure.",
        "tag": "The release that it was about, such as v1.76.5.",
        "url": "The page of the pull request.",
        "text": "What else there is to say.",
        "always": "Tell also that there is nothing new.",
        "json": _JSON,
    },
)
def notify(
    c: Context,
    event: str = "",
    tag: str = "",
    url: str = "",
    text: str = "",
    always: bool = False,
    json: bool = False,
) -> None:
    """Tell the team in Slack how an automated run ended.

    The webhook's URL is read from the environment variable SLACK_WEBHOOK_URL and never shown;
    without it nothing is sent. A message that cannot be delivered is no failure: one line says so.
    --dry prints the message as JSON.
    """
    from .ci import notifying
    from .fork.session import session

    words: dict[str, str | bool] = {"event": event, "tag": tag, "url": url, "text": text}
    with session(c, "notify", as_json=json, always=always, **words) as s:
        notifying.notify(s, event, tag=tag, url=url, text=text, always=always)


@_task(
    bump="Which part of the fork's own version to raise: auto, patch, minor or major.",
    dispatch="Start the workflow on GitHub that makes the release, instead of making it here.",
    json=_JSON,
)
def release(
    c: Context, repo: str = "", bump: str = "auto", dispatch: bool = False, json: bool = False
) -> None:
    """Release the production branch as it is on origin.

    The tag names the stable upstream release that is in it and the fork's own version, which the
    conventional commits since the last release raise. Tags, pushes exactly that tag, and publishes
    a release with notes on GitHub. Your checkout is not touched; interrupted or failed at any
    step, the same command continues.
    """
    from .fork.session import session
    from .release import contribute

    words: dict[str, str | bool] = {"repo": repo, "bump": bump if bump != "auto" else ""}
    with session(c, "release", as_json=json, dispatch=dispatch, **words) as s:
        contribute.make_release(s, bump, dispatch, lambda words: _run_task(c, words, s.sh.stream))


@_task(
    tag="The release of the fork, by its tag, which must be here.",
    output="The file to write them to; default: standard output.",
    json=_JSON,
)
def release_notes(
    c: Context, repo: str = "", tag: str = "", output: str = "", json: bool = False
) -> None:
    """Print what is new in a release of the fork, for people, in Markdown."""
    from .fork.session import session
    from .release import contribute

    with session(c, "release-notes", as_json=json, repo=repo, tag=tag, output=output) as s:
        contribute.write_notes(s, tag, output)


@_task(
    release="The release of the fork, by its tag; default: the production branch.",
    build="Build the image with docker buildx, from a clean checkout of the commit.",
    push="With --build: publish it under all of its names.",
    json=_JSON,
)
def images(
    c: Context,
    repo: str = "",
    release: str = "",
    build: bool = False,
    push: bool = False,
    json: bool = False,
) -> None:
    """Name the container images of the production branch or of a release; build them if asked.

    Under GitHub Actions the names are step outputs too.
    """
    from .fork.session import session
    from .release import contribute

    words: dict[str, str | bool] = {"release": release, "build": build, "push": push}
    with session(c, "images", as_json=json, repo=repo, **words) as s:
        contribute.show_images(s, release, build, push)


@_task(name="What to call it: `my-fix` for the branch feature/my-fix.")
def feature(c: Context, repo: str = "", name: str = "") -> None:
    """Start a branch for a change from origin's production branch, and check it out."""
    from .fork.session import session
    from .release import contribute

    with session(c, "feature", repo=repo, name=name) as s:
        contribute.start_feature(s, name)


@_task(
    title="A conventional commit, as in 'fix(router): ...'; default: the only commit's subject.",
    body_file="The file with the text; default: what the commits say.",
    base="The branch to merge it into; default: the production branch.",
    draft="Open it as a draft, not yet to be merged.",
    json=_JSON,
)
def pr(
    c: Context,
    repo: str = "",
    title: str = "",
    body_file: str = "",
    base: str = "",
    draft: bool = False,
    json: bool = False,
) -> None:
    """Publish the branch that is checked out, and open a pull request to the production branch.

    Where one is open already, the new commits are published and its address is told.
    """
    from .fork.session import session
    from .release import contribute

    words: dict[str, str | bool] = {"title": title, "body_file": body_file, "base": base}
    with session(c, "pr", as_json=json, repo=repo, draft=draft, **words) as s:
        contribute.open_pull_request(s, title, body_file, base, draft)


@_task(
    range="The commits to check, as A..B; default: those that origin's production branch has not.",
    pre_push="Check what is being pushed, as git tells its pre-push hook on standard input.",
    json=_JSON,
)
def guard(
    c: Context, repo: str = "", range: str = "", pre_push: bool = False, json: bool = False
) -> None:
    """Check what would come into the production branch; for CI and for a pre-push hook.

    Merges of upstream's development, tags that are no stable release, squashed syncs, conflict
    markers, subjects that are no conventional commits, and what the merge of a release lost.
    Ends with exit code 4 if something is found. In a job for a pull request it checks that.
    """
    from .audit import guard
    from .fork.session import session

    with session(c, "guard", as_json=json, repo=repo, range=range, pre_push=pre_push) as s:
        guard.guard(s, range, pre_push)


@_task(
    iterable=["check"],
    check="The name of a check to make (repeatable); default: all of them.",
    fix="Mend what can be mended without losing anything.",
    offline="Ask nothing over the network.",
    slack_test="Send a test message to Slack.",
    migrate="Apply the migrations in order to a new database: sqlite, or postgresql by psql.",
    json=_JSON,
)
def doctor(
    c: Context,
    check: list[str],
    repo: str = "",
    fix: bool = False,
    offline: bool = False,
    slack_test: bool = False,
    migrate: str = "",
    json: bool = False,
) -> None:
    """Find out what is wrong with the fork, and say what mends it.

    The clone, its tags and versions, what merges left, the workflow, the settings on GitHub, Slack.
    What cannot be asked is named. With --check also facts are told that are no illness. Ends with
    exit code 4 if something is broken; what is only worth a look is none.
    """
    from .fork.session import session
    from .health import doctor as looking

    words: dict[str, str | bool | Sequence[str]] = {"repo": repo, "check": check, "fix": fix}
    words |= {"offline": offline, "slack_test": slack_test, "migrate": migrate}
    with session(c, "doctor", as_json=json, **words) as s:
        looking.doctor(s, looking.Options(check, fix, offline, slack_test, migrate))


@_task(
    name="What to call the branch; default: recovery/ and the short name of the commit.",
    commit="A commit that no branch has, to put a branch on; HEAD stays where it is.",
    json=_JSON,
)
def recover(
    c: Context, repo: str = "", name: str = "", commit: str = "", json: bool = False
) -> None:
    """Keep the commits of a detached HEAD on a branch, and go back to the branch of before.

    Changes that are not committed come along; where git would lose one, nothing is switched. Also
    lists commits that an earlier checkout left behind on no branch.
    """
    from .fork.session import session
    from .health import recover

    with session(c, "recover", as_json=json, repo=repo, name=name, commit=commit) as s:
        recover.recover(s, name, commit)


@_task(
    iterable=["replace"],
    check="Only say whether something is missing or behind, with exit code 4 if so.",
    requirement="What the workflows install, as pip takes it; default: this version, or what is "
    "there.",
    replace="A file that the team changed, to be given anew (repeatable).",
    push="Publish the branch (--no-push stops before).",
    json=_JSON,
)
def adopt(
    c: Context,
    replace: list[str],
    repo: str = "",
    check: bool = False,
    requirement: str = "",
    push: bool = True,
    json: bool = False,
) -> None:
    """Put into the fork what these tasks need there, and bring it up to date later.

    Workflows, documents, ways to call the tasks in a checkout, by the names in the policy; nothing
    that upstream could conflict with. On a branch of its own, with a pull request where gh is
    installed. What the team changed since is kept and told. The clone gets a hook that checks what
    is pushed, unless it has another one.
    """
    from .adopt import adopting
    from .fork.session import session

    words: dict[str, str | bool | Sequence[str]] = {"repo": repo, "check": check}
    words |= {"requirement": requirement, "replace": replace, "no_push": not push}
    with session(c, "adopt", as_json=json, **words) as s:
        adopting.adopt(
            s, check, requirement, replace, push, lambda line: _run_task(c, line, s.sh.stream)
        )


@_task(
    upstream="The URL of the original repository.",
    production="The branch that production is built from.",
    mirror="The branch that only follows upstream's development.",
    name="What to call the fork, in messages and names.",
    output="The file to write; default: carto_fork.toml at the top of the clone.",
    yes="Ask nothing; take what can be seen.",
    json=_JSON,
)
def init(
    c: Context,
    repo: str = "",
    upstream: str = "",
    production: str = "",
    mirror: str = "",
    name: str = "",
    output: str = "",
    yes: bool = False,
    json: bool = False,
) -> None:
    """Write the policy of a fork, from what its clone and its remotes show.

    Which tags are stable, which files state the version, what is generated, how it is tested; and
    of each value how sure it is. On a terminal it asks what matters most and is not certain. A file
    that is there is never overwritten.
    """
    from .adopt import initiating
    from .adopt.survey import Asked
    from .fork.session import session

    asked = Asked(name, upstream, production, mirror)
    words: dict[str, str | bool] = {"repo": repo, "upstream": upstream, "production": production}
    words |= {"mirror": mirror, "name": name, "output": output, "yes": yes}
    with session(c, "init", as_json=json, **words) as s:
        initiating.init(s, asked, output, yes)


@_task(
    iterable=["replace"],
    requirement="What the workflows install, as pip takes it.",
    replace="A file that the team changed, to be given anew (repeatable).",
)
def write_adopted(c: Context, replace: list[str], repo: str = "", requirement: str = "") -> None:
    """Write in the work tree the files that `adopt` gives a fork, and commit them."""
    from .adopt import adopting
    from .fork.session import session

    words: dict[str, str | bool | Sequence[str]] = {"repo": repo, "requirement": requirement}
    with session(c, "write-adopted", as_json=False, **words, replace=replace) as s:
        adopting.write(s, requirement, replace)


@invoke.tasks.task(
    positional=[],
    auto_shortflags=False,
    help={
        "path": "Where to build it; default: .sandbox in the current directory.",
        "tour": "Go through an upgrade there: pull request, merge, release, Slack.",
    },
)
def sandbox(c: Context, path: str = ".sandbox", tour: bool = False) -> None:
    """Build a small upstream, its fork and a clone, to try the other tasks on.

    Everything is on this machine: the remotes look like GitHub's, and lead to the directory; its gh
    asks a GitHub that is played there. What is there already is kept.
    """
    from . import commands
    from .fork.session import session

    with session(c, "sandbox", path=path, tour=tour) as s:
        if tour:
            from carto_standin import tour as going

            going.run(s, Path(path), lambda words: _run_task(c, words, s.sh.stream))
        else:
            commands.build_sandbox(s, Path(path))


def _run_task(c: Context, words: Sequence[str], stream: TextIO) -> None:
    """Run a task of this module in this process, as if typed.

    words: its command line, without the program.
    stream: where it prints; standard output may be kept for JSON.
    """
    name, *_ = words
    context = ParserContext(name, args=namespace[name].get_arguments())
    parsed = Parser(contexts=[context]).parse_argv(list(words))
    with redirect_stdout(stream):
        Executor(namespace, c.config.clone()).execute(*parsed)


namespace = Collection.from_module(sys.modules[__name__], auto_dash_names=True)
