"""The procedures as text, for people and for AI assistants, and the next command to type."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..adopt import documents
from ..fork import session
from ..fork.policy import Policy, load_policy
from ..fork.session import Session
from ..run.console import Console
from ..run.errors import Refused, Usage
from . import advice


@dataclass(frozen=True)
class Topic:
    """Something to read about.

    line: what it is about, in a line.
    text: what there is to say before the generated part, with the critical rules in braces.
    part: the generated part of the documents that it holds, "" for none.
    task: the command line that does all of it, without the program, "" for none.
    """

    name: str
    line: str
    text: str = ""
    part: str = ""
    task: str = ""


TOPICS = (
    Topic(
        "best-practices",
        "The critical rules, and how to work on this fork.",
        "Critical rules:\n\n{critical}\nFor whoever works on the fork, AI assistants first of all:",
        part="best-practices",
    ),
    Topic("branches", "The branches, and where each comes from.", part="branches"),
    Topic("rules", "Which files are whose when a merge conflicts.", part="rules"),
    Topic("tags", "Which tags are stable releases.", part="tags"),
    Topic("exit-codes", "What the exit codes of the tasks mean.", part="exit-codes"),
    Topic(
        "setup",
        "Prepare a clone.",
        "It adds the missing remotes and lets git remember how a person resolves a conflict. It\n"
        "refuses a setting that disagrees, with the command that fixes it.",
        task="setup",
    ),
    Topic(
        "sync-main",
        "Let the mirror branch follow upstream.",
        "It fetches upstream's development branch and moves the mirror after it, on GitHub and\n"
        "here, by fast-forward only. The production branch is not affected.",
        task="sync-main",
    ),
    Topic(
        "upgrade-carto",
        "Bring the production branch onto a stable release.",
        "It merges the tag in a work tree beside the clone, decides conflicts, accounts for every\n"
        "change of both sides, runs the tests, publishes the branch and opens its pull request.\n"
        "Whatever stops it (Ctrl-C, a conflict, a failing test, a rejected push), the same\n"
        "command continues.",
        task="upgrade-carto --tag v1.76.5",
    ),
    Topic(
        "resolve",
        "Resolve what the rules leave to a person.",
        "It decides by evidence and the fork's rules, and lists what is left with both intents.\n"
        "Edit each file in the work tree that it names, `git add` it, then run the upgrade's\n"
        "command again. If one side is right in all that is left of a file, say so and why:\n"
        "\n"
        "```bash\n"
        'invoke resolve-conflicts --keep-fork Dockerfile --reason "Our base image."\n'
        'invoke resolve-conflicts --accept-upstream FILE --reason "Theirs is measured."\n'
        "```\n"
        "\n"
        "What the merge may lose on purpose is dropped with a reason:\n"
        "\n"
        "```bash\n"
        'invoke verify --repo WORK_TREE --drop FILE --reason "Upstream has it too."\n'
        "```",
        task="resolve-conflicts",
    ),
    Topic(
        "sync",
        "What the automation does with a release that is new.",
        "It upgrades to that release and opens a pull request. If conflicts are left for a\n"
        "person, the merge is committed with their markers in plain view, and the pull request\n"
        "says so.",
        task="ci.sync",
    ),
    Topic(
        "sync-pr",
        "Open or update the pull request of a sync branch.",
        "A pull request for an older release is superseded: it is closed with a comment.",
        task="step.sync-pr --tag v1.76.5",
    ),
    Topic(
        "finish",
        "Finish the pull request of a sync that has conflicts.",
        "It fetches the branch into a work tree of its own. Edit the files and `git add` them, or\n"
        "choose a side; the same command then commits, verifies and pushes.",
        task="resolve-conflicts --pr 123",
    ),
    Topic(
        "abort",
        "Give an upgrade up; origin is not touched.",
        "It commits what is not committed, says how to bring that back, and removes the work tree\n"
        "and the local sync branch.",
        task="upgrade-carto --tag v1.76.5 --abort",
    ),
    Topic(
        "heal",
        "Record the ancestry of a sync that a squash merge lost.",
        "It adds a merge commit that changes no file, on a branch of its own. Merge its pull\n"
        "request with a merge commit.",
        task="fork.heal",
    ),
    Topic(
        "feature",
        "Start a branch for a change.",
        "It starts from the production branch as origin has it, and is checked out.",
        task="branch.start --name my-fix",
    ),
    Topic(
        "pr",
        "Open the pull request of the branch checked out.",
        "It publishes the branch, never by force. The pull request is to the production branch.",
        task="branch.pr",
    ),
    Topic(
        "release",
        "Release the production branch.",
        "It tags the branch as origin has it, writes the notes, pushes exactly that tag, and\n"
        "publishes the release on GitHub.",
        task="release",
    ),
    Topic(
        "images",
        "Name the container images, build and publish them.",
        "It checks the commit out in a work tree of its own and builds the image there. Without\n"
        "`--push` nothing is published, without `--build` the names are only printed.",
        task="ci.images --build --push",
    ),
)
"""All topics, in the order in which they are listed."""


def topics(policy: Policy) -> list[Topic]:
    """The topics of a fork: what its policy does not name, it does not do."""
    left_out = {
        "release": policy.releases is None,
        "images": policy.releases is None or policy.images is None,
    }
    return [topic for topic in TOPICS if not left_out.get(topic.name)]


def render(topic: Topic, policy: Policy, program: str) -> str:
    """A topic as Markdown.

    program: what a person types for `invoke`.
    """
    paragraphs = [f"# {topic.name}", topic.line]
    if topic.task:
        paragraphs.append(f"```bash\ninvoke {topic.task}\n```")
    if topic.text:
        critical = documents.part("critical-rules", policy) if "{critical}" in topic.text else ""
        paragraphs.append(topic.text.replace("{critical}", critical))
    if topic.task:
        paragraphs.append(f"`{program} --dry {topic.task}` prints its steps with the real values.")
    if topic.part:
        paragraphs.append(documents.part(topic.part, policy).rstrip())
    text = "\n\n".join(paragraphs)
    text = text.replace("v1.76.5", documents.example(policy)[0])
    return re.sub(r"^( *)invoke ", rf"\1{program} ", text, flags=re.MULTILINE)


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
    policy = _policy(s)
    known = topics(policy)
    topic = next((topic for topic in known if topic.name == name), None)
    if topic is None:
        names = ", ".join(topic.name for topic in known)
        raise Usage(f"there is no topic {name!r}.", then=f"choose one of {names}.")
    text = render(topic, policy, s.program)
    if s.json:
        s.print_json({"topic": topic.name, "line": topic.line, "text": text})
    else:
        s.sh.show(text)


def _policy(s: Session) -> Policy:
    """The fork's policy; outside of a fork the one that ships."""
    try:
        return s.open_fork(whatever_policy=True).policy
    except Refused:
        return load_policy().policy


def show_next(s: Session) -> None:
    """Print the next command, and why, in lines that can be pasted."""
    found = advice.read(s.sh, s.path, s.command)
    if s.json:
        s.print_json(found)
        return
    if found.command:
        s.sh.show(found.command)
    Console(s.sh.stream, pasteable=True).say(found.why)


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
