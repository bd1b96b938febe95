"""A fake incoming webhook of Slack on this machine."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SECRET = "T0SECRET/B0SECRET/x0SECRETx"


@dataclass(frozen=True)
class Says:
    """One answer: its status, body and headers; `after` some seconds."""

    status: int
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    after: float = 0


OK = Says(200, "ok")


@dataclass
class Webhook:
    """A webhook that gives its answers in turn and then repeats the last one.

    received: the messages so far. paths: where they were sent to.
    """

    url: str
    received: list[Any] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)


@contextmanager
def webhook(*answers: Says) -> Iterator[Webhook]:
    """Run a fake Slack."""
    waiting: Sequence[Says] = answers or (OK,)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            says = waiting[min(len(made.received), len(waiting) - 1)]
            made.paths.append(self.path)
            made.received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            time.sleep(says.after)
            with suppress(ConnectionError):  # nobody may be listening by now
                self.send_response(says.status)
                for name, value in says.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(says.body)))
                self.end_headers()
                self.wfile.write(says.body.encode())

        do_GET = do_POST

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made = Webhook(f"http://127.0.0.1:{server.server_port}/services/{SECRET}")
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def nobody() -> str:
    """The URL of a webhook that nobody serves."""
    with webhook() as gone:
        return gone.url
