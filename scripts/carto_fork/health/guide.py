"""The procedures as text for people and AI assistants, and the next command to type."""

from __future__ import annotations

import re
from dataclasses import dataclass
from shlex import quote

from ..adopt import documents
from ..fork import session
from ..fork.fork import Fork
from ..fork.policy import Policy, load_policy
from ..fork.session import Session
from ..fork.tags import STABLE, Tag, newest
from ..run.console import Console
from ..run.errors import Refused, Usage
from ..run.text import in_actions
from . import advice, status


@dataclass(frozen=True)
class Topic:
    """A topic of `guide`.

    line: what it is about, in one line.
    text: what comes before the generated part; ``{critical}`` becomes the critical rules.
    part: the generated part of the documents that it includes; "" for none.
    task: the command line that does all of it, without the program, "" for none.
    """

    name: str
    line: str
    text: str = ""
    part: str = ""
    task: str = ""


_TAG = "v1.76.5"
"""The release in the examples of this file."""

TOPICS = (
    Topic(
        "best-practices",
        "The critical rules, and how to work on this fork.",
        "Critical rules:\n\n{critical}\nFor everybody who works on the fork, AI assistants above "
        "all:",
        part="best-practices",
    ),
    Topic("branches", "The branches, and what each is for.", part="branches"),
    Topic("rules", "Whose version of a file wins when a merge conflicts.", part="rules"),
    Topic("tags", "Which tags are stable releases.", part="tags"),
    Topic("exit-codes", "What the exit codes of the tasks mean.", part="exit-codes"),
    Topic(
        "setup",
        "Prepare a clone.",
        "It adds missing remotes and turns on git's memory for resolved conflicts. If a setting\n"
        "disagrees, it refuses and prints the command that fixes the setting.",
        task="setup",
    ),
    Topic(
        "sync-main",
        "Update the mirror branch from upstream.",
        "It fetches upstream's development branch and fast-forwards the mirror to it, on GitHub\n"
        "and here. The production branch is not affected.",
        task="sync-main",
    ),
    Topic(
        "upgrade-carto",
        "Upgrade the production branch to a stable release.",
        "It merges the tag in a work tree beside the clone, decides conflicts, accounts for every\n"
        "change of both sides, runs the tests, publishes the branch and opens its pull request.\n"
        "Whatever stops it (Ctrl-C, a conflict, a failing test, a rejected push), the same\n"
        "command continues.",
        task="upgrade-carto --tag v1.76.5",
    ),
    Topic(
        "resolve",
        "Resolve the conflicts that are left for you to decide.",
        "It resolves what the evidence and the fork's rules decide, and lists the rest with what\n"
        "each side intended. Edit each file in the work tree that it names, `git add` it, then\n"
        "run the upgrade's command again. If one side is right in every conflict left in a file,\n"
        "choose it and give the reason:\n"
        "\n"
        "```bash\n"
        'invoke resolve-conflicts --keep-fork FILE --reason "Ours is measured."\n'
        'invoke resolve-conflicts --accept-upstream FILE --reason "Upstream fixed it better."\n'
        "```\n"
        "\n"
        "If the merge may lose a change of a file on purpose, record why:\n"
        "\n"
        "```bash\n"
        'invoke verify --repo WORK_TREE --drop FILE --reason "Upstream has it too."\n'
        "```",
        task="resolve-conflicts",
    ),
    Topic(
        "sync",
        "What the automation does with a new release.",
        "It upgrades to that release and opens a pull request. If conflicts are left for you to\n"
        "decide, it commits the merge with their markers, and the pull request says so.",
        task="ci.sync",
    ),
    Topic(
        "sync-pr",
        "Open or update the pull request of a sync branch.",
        "It closes the pull request of an older release with a comment.",
        task="step.sync-pr --tag v1.76.5",
    ),
    Topic(
        "finish",
        "Finish the pull request of a sync that has conflicts.",
        "It checks the branch out in a separate work tree. Edit the files and `git add` them, or\n"
        "choose a side; the same command then commits, verifies and pushes.",
        task="resolve-conflicts --pr 123",
    ),
    Topic(
        "abort",
        "Abandon an upgrade; origin is not touched.",
        "It commits uncommitted work, prints how to restore it, and removes the work tree and the\n"
        "local sync branch.",
        task="upgrade-carto --tag v1.76.5 --abort",
    ),
    Topic(
        "heal",
        "Record the ancestry of a sync that a squash merge lost.",
        "It adds a merge commit that changes no file, on a separate branch. Merge its pull\n"
        "request with a merge commit.",
        task="fork.heal",
    ),
    Topic(
        "feature",
        "Start a branch for a change.",
        "It starts at origin's production branch, and is checked out.",
        task="branch.start --name my-fix",
    ),
    Topic(
        "pr",
        "Open a pull request for the branch that is checked out.",
        "It pushes the branch, never by force. The pull request targets the production branch.",
        task="branch.pr",
    ),
    Topic(
        "release",
        "Release the production branch.",
        "It tags origin's production branch, writes the notes, pushes only that tag, and\n"
        "publishes the release on GitHub.",
        task="release",
    ),
    Topic(
        "images",
        "Print the image names, build the images, publish them.",
        "It builds the image in a separate work tree. Without `--push` it publishes nothing;\n"
        "without `--build` it only prints the names.",
        task="ci.images --build --push",
    ),
)
"""All topics, in the order in which they are listed."""


def topics(policy: Policy) -> list[Topic]:
    """The topics of a fork, without those for which it has no policy."""
    left_out = {
        "release": policy.releases is None,
        "images": policy.releases is None or policy.images is None,
    }
    return [topic for topic in TOPICS if not left_out.get(topic.name)]


def render(
    topic: Topic, policy: Policy, program: str, repo: str = "", tag: Tag | None = None
) -> str:
    """A topic as Markdown.

    program: what a person types instead of `invoke`. repo: the value of `--repo`; "" for none.
    tag: the release in its examples; None for one that the policy's tag schemes allow.
    """
    paragraphs = [f"# {topic.name}", topic.line]
    if topic.task:
        paragraphs.append(f"```bash\ninvoke {topic.task}\n```")
    if topic.text:
        critical = documents.part("critical-rules", policy) if "{critical}" in topic.text else ""
        paragraphs.append(topic.text.replace("{critical}", critical))
    if topic.task:
        paragraphs.append(f"`invoke --dry {topic.task}` prints its steps with the real values.")
    if topic.part:
        paragraphs.append(documents.part(topic.part, policy).rstrip())
    text = "\n\n".join(paragraphs)
    name, version = documents.example(policy)
    text = text.replace(_TAG, name)
    if tag:
        for example, real in ((name, tag.name), (version, tag.release)):
            text = re.sub(rf"(?<![\w.]){re.escape(example)}(?!\w|\.\d)", real, text)

    def typed(found: re.Match[str]) -> str:
        before, dry, task, rest = found.groups()
        elsewhere = repo and task[0] != "-" and "--repo" not in rest
        where = f" --repo {quote(repo)}" if elsewhere else ""
        return f"{before}{program} {dry or ''}{task}{where}{rest}"

    return re.sub(r"(^ *|`)invoke (--dry )?([\w.-]+)([^`\n]*)", typed, text, flags=re.MULTILINE)


def show_guide(s: Session, name: str) -> None:
    """List the topics, or print one of them."""
    if name:
        _show_topic(s, name)
    elif s.json:
        listed = topics(_policy(s))
        s.print_json([{"topic": topic.name, "line": topic.line} for topic in listed])
    else:
        s.console.facts([(topic.name, topic.line) for topic in topics(_policy(s))])
        s.console.next(s.command("guide", topic="best-practices"))


def _show_topic(s: Session, name: str) -> None:
    try:
        fork = s.open_fork(whatever_policy=True)
        policy, tag = fork.policy, _example(fork)
    except Refused:
        policy, tag = load_policy().policy, None
    choices = topics(policy)
    topic = next((topic for topic in choices if topic.name == name), None)
    if topic is None:
        names = ", ".join(topic.name for topic in choices)
        raise Usage(f"unknown topic {name!r}.", then=f"choose one of {names}.")
    text = render(topic, policy, s.program, s.repo_option, tag)
    if s.json:
        s.print_json({"topic": topic.name, "line": topic.line, "text": text})
    else:
        s.sh.show(text)


def _example(fork: Fork) -> Tag | None:
    """The release of an upgrade that was begun here, else the newest one in this clone."""
    begun = map(fork.policy.branches.tag_of, fork.refs.branches())
    names = [name for name in begun if name] or fork.refs.tags()
    return newest(names, fork.policy.tags, *STABLE)


def _policy(s: Session) -> Policy:
    """The fork's policy; outside a fork the one shipped with the tasks."""
    try:
        return s.open_fork(whatever_policy=True).policy
    except Refused:
        return load_policy().policy


def show_status(s: Session) -> None:
    """Print the state of the fork and the next command."""
    fork = s.open_fork(whatever_policy=True)
    facts = status.read(s.sh, fork)
    following = advice.of(s.sh, fork, facts, s.command)
    if s.json:
        s.print_json(facts.as_json() | {"next": following})
    else:
        why, unknown = following.why, fork.is_unknown
        status.show(s.console, facts, str(fork.home), why, unknown=unknown)
        s.console.say(following.why)
        if following.command:
            s.console.next(following.command)


def show_next(s: Session) -> None:
    """Print the next command, and why, as lines that can be pasted."""
    following = advice.read(s.sh, s.path, s.command)
    if s.json:
        s.print_json(following)
        return
    if following.command:
        s.sh.show(following.command)
    Console(s.sh.stream, pasteable=True).say(following.why)


def say_next(s: Session, tag: str) -> None:
    """Print the next command after a new release was named, and why if something else comes before
    its upgrade."""
    if s.json or in_actions():
        return
    following = advice.read(s.sh, s.path, s.command, changes=False)
    if tag not in following.command.split():
        s.console.say(following.why)
    if following.command:
        s.console.next(following.command)


def welcome(s: Session) -> None:
    """Say what this program is, and what to type next here, whatever is here."""
    s.console.say(
        "carto-fork keeps a long-lived fork on upstream's stable releases, without losing what the "
        f"fork changed. `{s.program} --list` shows what it does.\n"
    )
    try:
        s.open_fork(whatever_policy=True)
    except Refused:
        s.console.say("This directory is not a clone of a fork. To try it on a small one:")
        s.sh.show(session.command(s.program, "sandbox"))
        s.console.say("On your own fork, in its clone or from anywhere:")
        s.sh.show(session.command(s.program, "next", repo="PATH"))
    else:
        show_next(s)
