"""Messages for Slack, and their delivery to a fake webhook."""

from __future__ import annotations

import json
import logging
import re
import time
from typing import Any

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from carto_fork.ci import notify
from webhook import OK, SECRET, Says, nobody, webhook

PAYLOAD = notify.message("v1.77.2 is here", ["Look at it."], {})
MAINTENANCE = Says(503, "upstream connect error")


def texts(found: Any) -> list[dict[str, Any]]:
    """Every text object of a message."""
    if isinstance(found, list):
        return [text for one in found for text in texts(one)]
    if not isinstance(found, dict):
        return []
    inside = [text for one in found.values() for text in texts(one)]
    return [found, *inside] if isinstance(found.get("text"), str) else inside


def shown(payload: notify.Payload) -> list[str]:
    """The texts of the blocks."""
    return [text["text"] for text in texts(payload["blocks"])]


# --- The message ---------------------------------------------------------------------------------


def test_a_message_has_blocks_and_a_plain_text() -> None:
    links = {"Pull request": "https://github.com/o/r/pull/1", "Log": "https://github.com/o/r?a=1&b"}
    message = notify.message("Title", ["One.", "", "Two."], links, "o/r")
    assert message["text"] == "Title\nOne.\nTwo."
    assert [block["type"] for block in message["blocks"]] == [
        "header",
        "section",
        "section",
        "section",
        "context",
    ]
    assert shown(message) == [
        "Title",
        "One.",
        "Two.",
        "<https://github.com/o/r/pull/1|Pull request>  <https://github.com/o/r?a=1&amp;b|Log>",
        "o/r",
    ]


def test_a_message_may_have_no_links() -> None:
    assert shown(notify.message("Title", [], {"Log": ""})) == ["Title"]


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "https://example.com/|<!channel>",
        "https://example.com/ <!here>",
        "https://example.com/\n<!here>",
        "https://example.com/\u202eevil",
        f"https://example.com/{'x' * 3000}",
    ],
)
def test_an_unsafe_url_is_shown_as_plain_text(url: str) -> None:
    message = notify.message("Title", [], {"Log": url})
    assert {text["type"] for text in texts(message["blocks"])} == {"plain_text"}
    assert shown(message)[1].startswith("Log: ")


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("<!channel> & <@U123>", "&lt;!channel&gt; &amp; &lt;@\u2060U123&gt;"),
        ("@here, @channel #general", "@\u2060here, @\u2060channel #\u2060general"),
        ("&lt;!channel&gt;", "&amp;lt;!channel&amp;gt;"),
        ("one\ntwo\r\nthree", "one\ntwo\nthree"),
        ("\x1b[31mred\u202e\0", "\\x1b[31mred\\u202e\\x00"),
        ("caf\udce9", "caf\\udce9"),
        ("  \n ", ""),
    ],
)
def test_untrusted_text_is_escaped(text: str, safe: str) -> None:
    assert notify.escaped(text, 100) == safe


@given(st.text(st.sampled_from("<>&@#!a \n\u202e")), st.integers(1, 30))
def test_text_is_cut_between_characters(text: str, most: int) -> None:
    cut = notify.escaped(text, most)
    assert len(cut) <= most
    assert re.fullmatch(r"([^<>&]|&(amp|lt|gt);)*", cut)


def test_nothing_is_longer_than_slack_takes() -> None:
    message = notify.message("<" * 500, ["&" * 9000], {"Log": "x" * 9000}, ">" * 9000)
    by_type = {
        block["type"]: max(map(len, shown({"blocks": block}))) for block in message["blocks"]
    }
    assert by_type["header"] <= 150
    assert by_type["section"] <= 3000
    assert len(message["text"]) <= 3000


@given(st.text(), st.text(), st.text())
def test_no_text_becomes_markup_except_links(title: str, paragraph: str, url: str) -> None:
    message = notify.message(title or "-", [paragraph], {"Log": url})
    json.dumps(message).encode()
    for text in texts(message["blocks"]):
        if text["type"] == "mrkdwn":
            assert text["verbatim"] and re.fullmatch(r"<https?://[^<>|\s]+\|Log>", text["text"])
        else:
            assert not re.search(r"[<>]|[@#]\w", text["text"])
    assert not message["mrkdwn"] and not re.search(r"[<>]|[@#]\w", message["text"])


# --- Its delivery --------------------------------------------------------------------------------


def test_a_message_is_delivered() -> None:
    with webhook() as hook:
        assert notify.post(hook.url, PAYLOAD) == ""
    assert hook.received == [PAYLOAD]
    assert hook.paths == [f"/services/{SECRET}"]


@pytest.mark.parametrize(
    ("answers", "waits"),
    [
        pytest.param([Says(429, "", {"Retry-After": "7"}), OK], [7], id="busy"),
        pytest.param([Says(429, "", {"Retry-After": "0"}), OK], [0], id="at-once"),
        pytest.param([Says(429, "", {"Retry-After": "86400"}), OK], [30], id="tomorrow"),
        pytest.param([Says(429, "", {"Retry-After": "soon"}), OK], [1], id="no-number"),
        pytest.param([Says(429), Says(429), OK], [1, 2], id="unsaid"),
        pytest.param([Says(500), OK], [1], id="trouble"),
        pytest.param([MAINTENANCE, Says(502), Says(504), OK], [1, 2, 4], id="more"),
    ],
)
def test_a_failed_delivery_is_retried_after_a_wait(answers: list[Says], waits: list[float]) -> None:
    waited: list[float] = []
    with webhook(*answers) as hook:
        assert notify.post(hook.url, PAYLOAD, wait=waited.append) == ""
    assert waited == waits
    assert hook.received == [PAYLOAD] * len(answers)


@pytest.mark.parametrize(
    ("answer", "why", "times"),
    [
        (Says(404, "no_service"), "Slack answered 404 (no_service)", 1),
        (Says(410, "channel_is_archived"), "Slack answered 410 (channel_is_archived)", 1),
        (Says(403, "<html>Forbidden: /services/x</html>"), "Slack answered 403", 1),
        (Says(404, "services"), "Slack answered 404", 1),
        (Says(400, "x" * 5000), "Slack answered 400", 1),
        (Says(302, "", {"Location": "/elsewhere"}), "Slack answered 302", 1),
        (Says(204), "Slack answered 204", 1),
        (Says(429, "rate_limited"), "Slack answered 429 (rate_limited)", 4),
        (MAINTENANCE, "Slack answered 503", 4),
    ],
)
def test_a_failed_delivery_is_given_up_with_the_reason(answer: Says, why: str, times: int) -> None:
    with webhook(answer) as hook:
        assert notify.post(hook.url, PAYLOAD, wait=lambda seconds: None) == why
    assert hook.paths == [f"/services/{SECRET}"] * times


def test_an_unreachable_webhook_is_reported_after_three_retries() -> None:
    waited: list[float] = []
    assert notify.post(nobody(), PAYLOAD, wait=waited.append) == "Slack could not be reached"
    assert waited == [1, 2, 4]


def test_an_answer_that_takes_long_is_not_asked_for_twice() -> None:
    with webhook(Says(200, "ok", after=0.4)) as hook:
        why = notify.post(hook.url, PAYLOAD, limits=(5, 0.1))
    assert why == "Slack gave no answer within 0.1 s"
    assert len(hook.received) == 1


def test_retries_stop_at_the_total_time_limit() -> None:
    started = time.monotonic()
    with webhook(Says(500)) as hook:
        why = notify.post(hook.url, PAYLOAD, wait=lambda seconds: time.sleep(1), total=0.2)
    assert why == "it took longer than 0.2 s"
    assert time.monotonic() - started < 1


# --- Its secret ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        f"http://hooks.slack.com/services/{SECRET}",
        f"https://hooks.slack.com.evil.example/services/{SECRET}",
        f"https://hooks.slack.com@evil.example/services/{SECRET}",
        f"https://evil.example/hooks.slack.com/services/{SECRET}",
        f"https://hooks.slack.com:444/services/{SECRET}",
        f"https://hooks.slack.com/services/{SECRET}?x",
        f"https://hooks.slack.com/services/{SECRET} x",
        f"https://hooks.slack.com/services/{SECRET}\n",
        f"http://127.0.0.1.evil.example/services/{SECRET}",
        f"ftp://localhost/{SECRET}",
        f"{SECRET}",
    ],
)
def test_only_slack_gets_a_message(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "post", lambda *_, **__: pytest.fail("it was sent"))
    why = notify.post(url, PAYLOAD)
    assert why == "SLACK_WEBHOOK_URL is not the URL of an incoming webhook at hooks.slack.com"


def test_a_read_timeout_of_slack_is_not_retried(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def post(url: str, **options: Any) -> None:
        asked.append(url)
        raise requests.ReadTimeout(url)

    monkeypatch.setattr(requests, "post", post)
    url = f"https://hooks.slack.com/services/{SECRET}"
    assert notify.post(url, PAYLOAD) == "Slack gave no answer within 10 s"
    assert asked == [url]


def test_an_unexpected_error_does_not_reveal_the_url(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def post(url: str, **options: Any) -> None:
        raise ValueError(f"no such thing: {url}")

    monkeypatch.setattr(requests, "post", post)
    why = notify.post(f"http://localhost/{SECRET}", PAYLOAD)
    assert why == "sending it failed (ValueError)"
    assert capfd.readouterr() == ("", "")


def test_the_debug_log_does_not_reveal_the_url(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with webhook(Says(500), OK) as hook:
        assert notify.post(hook.url, PAYLOAD, wait=lambda seconds: None) == ""
    assert "SECRET" not in caplog.text
