"""What a run reports: outputs for later steps in GitHub Actions, and messages for the team in
Slack."""

from __future__ import annotations

import logging
import os
import re
import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..fork.session import Session
from ..run import github
from ..run.errors import Failed, Stop, Usage
from ..run.text import in_actions, plain, printable

if TYPE_CHECKING:
    from requests import Response


def run_url() -> str:
    """The URL of this job's workflow run; "" outside of GitHub Actions."""
    names = ("GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_RUN_ID")
    server, repository, run = (os.environ.get(name, "") for name in names)
    return f"{server}/{repository}/actions/runs/{run}" if in_actions() and run else ""


def set_outputs(values: Mapping[str, str]) -> None:
    """Set outputs for the later steps of a GitHub Actions job, if this runs in one."""
    if path := os.environ.get("GITHUB_OUTPUT"):
        # A value may contain any line, so the delimiter must be one that nobody can guess.
        end = f"end-{secrets.token_hex(16)}"
        _append(path, "".join(f"{name}<<{end}\n{value}\n{end}\n" for name, value in values.items()))


def summarize(markdown: str) -> None:
    """Add Markdown to the summary page of the workflow run, if this is one."""
    if path := os.environ.get("GITHUB_STEP_SUMMARY"):
        _append(path, f"{markdown}\n")


def _append(path: str, text: str) -> None:
    try:
        with Path(path).open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
    except OSError as error:
        raise Failed(
            f"cannot write GitHub Actions' file: {error}.",
            then="unset GITHUB_OUTPUT and GITHUB_STEP_SUMMARY outside of a job.",
        ) from None


VARIABLE = "SLACK_WEBHOOK_URL"
"""The environment variable that holds the webhook's URL."""

Payload = dict[str, Any]

# Slack refuses the whole message if a text is longer.
_HEADER, _SECTION = 150, 3000

# The second form is for a fake Slack on this machine.
_WEBHOOK = re.compile(
    r"https://hooks\.slack\.com/[\w/-]+|http://(127\.0\.0\.1|localhost)(:\d{1,5})?/[\w/-]*",
    re.ASCII,
)
_LINK = re.compile(r"https?://[^\s<>|\"\\]{1,2000}")
_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})

_TOTAL = 60.0
_LIMITS = (5.0, 10.0)
_PAUSES = (1.0, 2.0, 4.0)
_LONGEST_PAUSE = 30.0


def message(
    title: str, paragraphs: Sequence[str], links: Mapping[str, str], about: str = ""
) -> Payload:
    """The payload of a webhook: blocks, and a plain text for clients that do not show blocks.

    paragraphs, about: text of any origin; it is shown literally and mentions nobody.
    links: URLs by the words to click on. Anything that is not a URL is shown as text.
    """
    shown = [text for text in paragraphs if text.strip()]
    shown += [f"{label}: {url}" for label, url in links.items() if url and not _is_link(url)]
    blocks: list[Payload] = [{"type": "header", "text": _plain(title, _HEADER)}]
    blocks += [{"type": "section", "text": _plain(text, _SECTION)} for text in shown]
    safe = {label: url.translate(_ESCAPES) for label, url in links.items() if _is_link(url)}
    if marked := [f"<{url}|{label}>" for label, url in safe.items()]:
        # The only text that Slack reads as markup. With `verbatim` Slack adds no links itself.
        markup = {"type": "mrkdwn", "text": "  ".join(marked), "verbatim": True}
        blocks.append({"type": "section", "text": markup})
    if about:
        blocks.append({"type": "context", "elements": [_plain(about, _HEADER)]})
    text = escaped("\n".join([title, *shown]), _SECTION)
    return {"text": text, "mrkdwn": False, "unfurl_links": False, "blocks": blocks}


def escaped(text: str, most: int) -> str:
    """Text of unknown origin for Slack, truncated, without markup, links or mentions."""
    safe = "\n".join(map(printable, text.strip().splitlines()))
    # An invisible word joiner keeps `@here` and `#general` from becoming mentions.
    safe = re.sub(r"([@#])(?=\w)", "\\1\u2060", safe)
    if len(whole := safe.translate(_ESCAPES)) <= most:
        return whole
    cut = whole[: most - 1]
    return re.sub(r"&\w*\Z", "", cut) + "…"


def _plain(text: str, most: int) -> Payload:
    return {"type": "plain_text", "text": escaped(text, most), "emoji": False}


def _is_link(url: str) -> bool:
    return bool(_LINK.fullmatch(url)) and url.isprintable()


def has_webhook() -> bool:
    """Whether the environment names a webhook."""
    return bool(os.environ.get(VARIABLE, "").strip())


def is_webhook(url: str) -> bool:
    """Whether a URL can be an incoming webhook's."""
    return bool(_WEBHOOK.fullmatch(url))


def post(
    url: str,
    payload: Payload,
    *,
    wait: Callable[[float], None] = time.sleep,
    limits: tuple[float, float] = _LIMITS,
    total: float = _TOTAL,
) -> str:
    """Deliver a message. Returns why it was not delivered; "" if it was.

    wait: sleeps for some seconds before another attempt.
    limits: seconds to connect, and to wait for an answer. total: seconds for everything.
    """
    if not is_webhook(url):
        return f"{VARIABLE} is not the URL of an incoming webhook at hooks.slack.com"
    why = [f"it took longer than {total:g} s"]

    def deliver() -> None:
        why[0] = _deliver(url, payload, wait, limits)

    # Socket timeouts cover neither name resolution nor an answer that trickles in.
    attempt = threading.Thread(target=deliver, daemon=True)
    attempt.start()
    attempt.join(total)
    return why[0]


def _deliver(
    url: str, payload: Payload, wait: Callable[[float], None], limits: tuple[float, float]
) -> str:
    # Importing httpx takes longer than most tasks.
    import requests

    # Its log contains the path of every request, which is the secret part.
    logging.getLogger("urllib3").setLevel(logging.CRITICAL)
    for pause in (*_PAUSES, None):
        try:
            with requests.post(
                url, json=payload, timeout=limits, allow_redirects=False, stream=True
            ) as reply:
                if reply.status_code == 200:
                    return ""
                why = f"Slack answered {reply.status_code}{_reason(reply, url)}"
                asked = reply.headers.get("Retry-After", "")
                if reply.status_code < 500 and reply.status_code != 429:
                    break
        except requests.ConnectionError:
            why, asked = "Slack could not be reached", ""
        except requests.Timeout:
            # It may have arrived anyway, so we do not send it twice.
            return f"Slack gave no answer within {limits[1]:g} s"
        except Exception as error:  # its text may contain the URL
            return f"sending it failed ({type(error).__name__})"
        if pause is not None:
            wait(min(float(asked), _LONGEST_PAUSE) if asked.isdecimal() else pause)
    return why


def _reason(reply: Response, url: str) -> str:
    """Slack's error code, such as ``no_service``; "" for anything else."""
    said = next(reply.iter_content(100), b"").decode("ascii", "replace").strip()
    return f" ({said})" if re.fullmatch(r"[a-z_]{1,50}", said) and said not in url else ""


EVENTS = {
    "success": (
        "The upgrade to {release} is ready for review",
        "Nothing is left to decide. Review the pull request; merge it with a merge commit.",
    ),
    "conflicts": (
        "The upgrade to {release} needs attention",
        "You need to decide some conflicts. The pull request says which, and how.",
    ),
    "nothing": ("No new upstream release", "The fork contains upstream's newest stable release."),
    "waiting": (
        "The upgrade to {release} is still waiting",
        "Its pull request is open; this run neither changed nor tested it.",
    ),
    "declined": (
        "Somebody closed the pull request for {release}",
        "This release is left alone; reopen the pull request to continue with it.",
    ),
    "moved": (
        "Upstream changed a release that the fork already merged",
        "The fork keeps what it merged; a newer release will contain upstream's change.",
    ),
    "failure": ("The upgrade to {release} failed", "The log of the run says why."),
}
"""The events we report, by name: a headline, and what it means."""

QUIET = ("nothing", "waiting", "declined")
"""The events that the team has had a message about, or that need none."""


def notify(
    s: Session, event: str, *, tag: str = "", url: str = "", text: str = "", always: bool = False
) -> None:
    """Report an event to Slack and on the summary page of the run."""
    if event not in EVENTS:
        known = ", ".join(EVENTS)
        raise Usage(
            f"--event must be one of {known}.", then=s.command("ci.notify", event="success")
        )
    if s.sh.dry:
        s.print_json(_message(s, event, tag, url, text))
        return
    headline, meaning = _words(event, tag, text)
    said = [plain(line) for line in text.splitlines() if line.strip()]
    links = [f"[Pull request]({url})"] if _is_link(url) else []
    summarize("\n\n".join(filter(None, [f"# {plain(headline)}", meaning, *said, *links])))
    why = send(s, event, tag=tag, url=url, text=text, always=always)
    if s.json:
        s.print_json({"event": event, "delivered": not why, "why": why})


def send(
    s: Session, event: str, *, tag: str = "", url: str = "", text: str = "", always: bool = False
) -> str:
    """Report an event to Slack, and print a line on whether that worked. ``--dry`` sends nothing.

    tag: the release. url: the pull request. text: further details.
    always: also report an event that is quiet.
    Returns why nothing was delivered; "" if the message was.
    """
    webhook = os.environ.get(VARIABLE, "").strip()
    if event in QUIET and not always:
        why = "there is nothing new"
    elif not webhook:
        why = f"{VARIABLE} is not set"
    elif s.sh.dry:
        why = "--dry sends nothing"
    elif why := post(webhook, _message(s, event, tag, url, text)):
        # Nobody else would notice: a message that is not delivered fails nothing.
        s.console.annotate("Slack", f"Nothing was sent to Slack: {why}.", sure=False)
        summarize(f"Nothing was sent to Slack: {plain(why)}.")
    s.console.say(f"Nothing was sent to Slack: {why}." if why else f"Sent to Slack: {event}.")
    return why


def _words(event: str, tag: str, text: str) -> tuple[str, str]:
    """The headline of an event, and what it means, unless the text says it."""
    headline, meaning = EVENTS[event]
    if event == "failure" and text.strip():
        again = f"In a clone of the fork: carto-fork upgrade-carto --tag {tag}"
        meaning = again if re.fullmatch(r"[\w.+/-]+", tag) else ""
    return headline.replace("{release}", tag or "a new release"), meaning


def _message(s: Session, event: str, tag: str, url: str, text: str) -> Payload:
    headline, meaning = _words(event, tag, text)
    text = "\n".join(filter(str.strip, text.splitlines()))
    links = {"Pull request": url, "Log of the run": run_url()}
    return message(headline, [meaning, text], links, _about(s))


def _about(s: Session) -> str:
    """The fork that an event is about; "" if that is not known."""
    if named := os.environ.get("GITHUB_REPOSITORY"):
        return named
    with suppress(Stop):
        fork = s.open_fork(whatever_policy=True)
        return github.slug_of(fork.url(fork.policy.remotes.origin) or "") or ""
    return ""
