"""Notifying the team in Slack, as a command."""

from __future__ import annotations

import json
from typing import Any

import pytest

from carto_fork.ci.notify import EVENTS
from webhook import SECRET, Says, nobody, webhook
from world import Done, World

PULL = "https://github.com/CartoDB/litellm/pull/7"
RUN = {
    "GITHUB_ACTIONS": "true",
    "GITHUB_SERVER_URL": "https://github.com",
    "GITHUB_REPOSITORY": "CartoDB/litellm",
    "GITHUB_RUN_ID": "99",
}
LOG = "https://github.com/CartoDB/litellm/actions/runs/99"


def told(world: World, line: str, url: str, **variables: str) -> Done:
    """Notify; it succeeds, and does not print the webhook's URL."""
    done = world.run(f"ci.notify {line}", cwd=None, SLACK_WEBHOOK_URL=url, **variables)
    assert done.code == 0, done
    assert "SECRET" not in done.out + done.err
    assert "127.0.0.1" not in done.out + done.err
    return done


@pytest.mark.parametrize(
    ("event", "headline"),
    [
        ("success", "The upgrade to v1.77.2 is ready for review"),
        ("conflicts", "The upgrade to v1.77.2 needs attention"),
        ("failure", "The upgrade to v1.77.2 failed"),
    ],
)
def test_an_event_is_reported_to_slack(world: World, event: str, headline: str) -> None:
    with webhook() as hook:
        done = told(world, f"--event {event} --tag v1.77.2 --url {PULL}", hook.url, **RUN)
    assert (done.out, done.err) == (f"Sent to Slack: {event}.\n", "")
    [message] = hook.received
    assert message["blocks"][0]["text"]["text"] == headline
    assert message["text"].startswith(headline)
    links = message["blocks"][-2]["text"]["text"]
    assert links == f"<{PULL}|Pull request>  <{LOG}|Log of the run>"
    assert message["blocks"][-1]["elements"][0]["text"] == "CartoDB/litellm"


def test_the_message_of_a_failure_names_what_shows_it_again(world: World) -> None:
    with webhook() as hook:
        told(world, "--event failure --tag v1.77.2 --text 'The tests failed.'", hook.url)
    [message] = hook.received
    lines = "In a clone of the fork: carto-fork upgrade-carto --tag v1.77.2\nThe tests failed."
    assert message["text"].endswith(lines)


def test_a_message_outside_of_github_actions_has_no_log_link(world: World) -> None:
    with webhook() as hook:
        told(world, "--event failure", hook.url)
    [message] = hook.received
    assert message["blocks"][0]["text"]["text"] == "The upgrade to a new release failed"
    assert "mrkdwn" not in {block.get("text", {}).get("type") for block in message["blocks"]}


def test_no_message_about_nothing_new_is_sent_without_always(world: World) -> None:
    with webhook() as hook:
        done = told(world, "--event nothing", hook.url)
        assert done.out == "Nothing was sent to Slack: there is nothing new.\n"
        assert hook.received == []
        done = told(world, "--event nothing --always", hook.url)
    assert done.out == "Sent to Slack: nothing.\n"
    assert len(hook.received) == 1


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("", "SLACK_WEBHOOK_URL is not set."),
        (" \n", "SLACK_WEBHOOK_URL is not set."),
        (
            f"https://hooks.slack.example/services/{SECRET}",
            "SLACK_WEBHOOK_URL is not the URL of an incoming webhook at hooks.slack.com.",
        ),
    ],
)
def test_without_a_webhook_nothing_is_sent(world: World, url: str, why: str) -> None:
    done = told(world, "--event failure", url)
    assert (" ".join(done.out.split()), done.err) == (f"Nothing was sent to Slack: {why}", "")


def test_white_space_around_the_url_does_no_harm(world: World) -> None:
    with webhook() as hook:
        assert told(world, "--event failure", f" {hook.url}\n").out == "Sent to Slack: failure.\n"


@pytest.mark.parametrize(
    ("answers", "line"),
    [
        ([Says(429, "", {"Retry-After": "0"}), Says(200)], "Sent to Slack: failure."),
        ([Says(404, "no_service")], "Nothing was sent to Slack: Slack answered 404 (no_service)."),
        ([Says(302, "", {"Location": "/x"})], "Nothing was sent to Slack: Slack answered 302."),
    ],
)
def test_delivery_never_fails_the_run(world: World, answers: list[Says], line: str) -> None:
    with webhook(*answers) as hook:
        done = told(world, "--event failure", hook.url)
    assert (done.out, done.err) == (f"{line}\n", "")
    assert len(hook.received) == len(answers)
    if not line.startswith("Sent"):  # somebody should see it, since the run is green
        page = world.place / "page.md"
        job = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(page)}
        with webhook(*answers) as hook:
            done = told(world, "--event failure --text 'what failed'", hook.url, **job)
        assert f"::warning title=Slack::{line}\n" in done.out
        said = page.read_text().split("\n\n")
        assert said[1].startswith("what failed\n") and line[:20] in said[1]


@pytest.mark.slow
def test_an_unreachable_slack_is_reported(world: World) -> None:
    done = told(world, "--event failure", nobody(), INVOKE_DEBUG="1")
    assert done.out == "Nothing was sent to Slack: Slack could not be reached.\n"


def test_json_reports_whether_the_message_was_delivered(world: World) -> None:
    with webhook(Says(404, "no_service")) as hook:
        done = told(world, "--event failure --json", hook.url)
    assert json.loads(done.out) == {
        "event": "failure",
        "delivered": False,
        "why": "Slack answered 404 (no_service)",
    }
    assert done.err == "Nothing was sent to Slack: Slack answered 404 (no_service).\n"
    with webhook() as hook:
        done = told(world, "--event failure --json", hook.url)
    assert json.loads(done.out) == {"event": "failure", "delivered": True, "why": ""}


@pytest.mark.parametrize("event", EVENTS)
def test_a_dry_run_prints_the_message_and_sends_nothing(world: World, event: str) -> None:
    line = f"--event {event} --tag v1.77.2 --url {PULL}"
    with webhook() as hook:
        done = told(world, f"{line} --always --dry", hook.url, **RUN)
        assert hook.received == []
        told(world, f"{line} --always", hook.url, **RUN)
    assert [json.loads(done.out)] == hook.received


def test_hostile_text_is_sent_as_plain_text(world: World) -> None:
    words = "<!channel> @here <@U1> &lt;!here&gt; *bold* <https://evil.example|login>\x1b[2J"
    with webhook() as hook:
        told(
            world, f"--event failure --text '{words}' --tag '<!everyone>' --url '<!here>'", hook.url
        )
    [message] = hook.received
    assert {kind for kind, _ in _texts(message["blocks"])} == {"plain_text"}
    for text in (message["text"], *(text for _, text in _texts(message["blocks"]))):
        assert "<" not in text and "@here" not in text and "\x1b" not in text


def _texts(found: Any) -> list[tuple[str, str]]:
    if isinstance(found, list):
        return [text for one in found for text in _texts(one)]
    if "elements" in found:
        return _texts(found["elements"])
    if isinstance(found["text"], str):
        return [(found["type"], found["text"])]
    return _texts([found["text"]])


@pytest.mark.parametrize("line", ["", "--event no-such", "--event"])
def test_an_unknown_event_is_a_wrong_command_line(world: World, line: str) -> None:
    with webhook() as hook:
        done = world.run(f"ci.notify {line}", SLACK_WEBHOOK_URL=hook.url)
        assert hook.received == []
    assert done.code in (1, 2) and "event" in done.err


def test_notify_works_outside_of_a_fork(world: World) -> None:
    with webhook() as hook:
        for fork in ("", " --repo litellm"):
            line = f"ci.notify --event failure{fork}"
            done = world.run(line, cwd=world.place, SLACK_WEBHOOK_URL=hook.url)
            assert done.code == 0, done.err
    named = ["CartoDB/litellm" in json.dumps(message) for message in hook.received]
    assert named == [False, True]
