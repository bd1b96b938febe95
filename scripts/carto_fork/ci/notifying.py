"""Telling the team in Slack how an automated run ended. A message never decides how it ends."""

from __future__ import annotations

import os

from ..fork.session import Session
from ..run import markdown
from ..run.errors import Usage
from . import actions, slack

EVENTS = {
    "success": (
        "The upgrade to {release} is ready for review",
        "Nothing is left to decide. Review the pull request; merge it with a merge commit.",
    ),
    "conflicts": (
        "The upgrade to {release} needs attention",
        "Some conflicts are a person's to decide. The pull request says which, and how.",
    ),
    "nothing": (
        "No new upstream release",
        "The fork contains the newest stable release of upstream's.",
    ),
    "failure": ("The upgrade to {release} failed", "The log of the run tells why."),
}
"""What can be told, by the event's name: a headline, and what it means."""


def notify(
    s: Session, event: str, *, tag: str = "", url: str = "", text: str = "", always: bool = False
) -> None:
    """Tell of an event, as the task does: also on the page of the run."""
    if event not in EVENTS:
        raise Usage(
            f"--event is one of {', '.join(EVENTS)}.", then=s.command("notify", event="success")
        )
    if s.sh.dry:
        s.print_json(_message(event, tag, url, text))
        return
    headline, meaning = _words(event, tag)
    actions.summarize(f"# {markdown.plain(headline)}\n\n{meaning}")
    why = tell(s, event, tag=tag, url=url, text=text, always=always)
    if s.json:
        s.print_json({"event": event, "delivered": not why, "why": why})


def tell(
    s: Session, event: str, *, tag: str = "", url: str = "", text: str = "", always: bool = False
) -> str:
    """Tell of an event, and say in a line whether that worked. Nothing is sent under ``--dry``.

    tag: the release. url: the pull request. text: what else there is to say.
    always: tell also that there is nothing new.
    Returns why nothing was delivered; "" if the message was.
    """
    webhook = os.environ.get(slack.VARIABLE, "").strip()
    if event == "nothing" and not always:
        why = "there is nothing new"
    elif not webhook:
        why = f"{slack.VARIABLE} is not set"
    elif s.sh.dry:
        why = "--dry sends nothing"
    else:
        why = slack.post(webhook, _message(event, tag, url, text))
    s.console.say(f"Slack was not told: {why}." if why else f"Slack was told: {event}.")
    return why


def _words(event: str, tag: str) -> tuple[str, str]:
    """The headline of an event, and what it means."""
    headline, meaning = EVENTS[event]
    return headline.replace("{release}", tag or "a new release"), meaning


def _message(event: str, tag: str, url: str, text: str) -> slack.Payload:
    headline, meaning = _words(event, tag)
    links = {"Pull request": url, "Log of the run": actions.run_url()}
    about = os.environ.get("GITHUB_REPOSITORY", "")
    return slack.message(headline, [meaning, text], links, about)
