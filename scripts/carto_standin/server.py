"""The fake GitHub as a server, for programs such as gh."""

from __future__ import annotations

import json
import os
import re
import socket
import socketserver
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qsl, unquote, urlsplit

from . import graphql_api, rest
from .github import GitHub, Opened, Request
from .rest import Reply
from .state import Rejected

_LONGEST = 100
"""Characters in the path of a unix socket; macOS allows 103, Linux 107."""


@contextmanager
def serve(github: GitHub) -> Iterator[dict[str, str]]:
    """Serve a fake GitHub on its own socket, and return the environment variables that lead gh
    there.

    gh gets private directories, too, so it reads and writes nothing that belongs to the real
    GitHub.
    """
    with tempfile.TemporaryDirectory(prefix="gh-", dir=_short()) as name:
        place = Path(name)
        for each in ("config", "tmp", "cache", "state", "data"):
            (place / each).mkdir()
        address = str(place / "socket")
        settings = f"http_unix_socket: {json.dumps(address)}\nprompt: disabled\n"
        (place / "config" / "config.yml").write_text(settings)
        (place / "config" / "hosts.yml").write_text("{}\n")
        server = _Server(address, github)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield {
                "GH_CONFIG_DIR": str(place / "config"),
                "GH_TOKEN": "gho_offline",
                "GH_HOST": "github.com",
                "GH_NO_UPDATE_NOTIFIER": "1",
                "GH_TELEMETRY": "0",
                "TMPDIR": str(place / "tmp"),
                "XDG_CACHE_HOME": str(place / "cache"),
                "XDG_STATE_HOME": str(place / "state"),
                "XDG_DATA_HOME": str(place / "data"),
            }
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


def _short() -> str:
    """A directory for temporary files whose path leaves room for a socket's name."""
    usual = tempfile.gettempdir()
    return usual if len(os.fsencode(usual)) < _LONGEST - len("/gh-12345678/socket") else "/tmp"


class _Server(ThreadingHTTPServer):
    address_family = socket.AF_UNIX
    daemon_threads = False  # finish requests that came in, even at the end

    def __init__(self, address: str, github: GitHub) -> None:
        self.github = github
        # The type stubs only know internet addresses.
        super().__init__(cast(Any, address), _Handler)

    def server_bind(self) -> None:
        # HTTPServer's own version would resolve a host name.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = "github.com", 80


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _serve(self) -> None:
        try:
            raw = self._content()
            body = json.loads(raw) if raw else {}
            reply = answer(self.server.github, self.command, self.path, body, self.headers)
        except Exception as error:  # show any error to the client
            reply = Reply(500, {"message": f"the fake GitHub failed: {error!r}"})
        if reply is None:
            return
        with suppress(BrokenPipeError):  # the client did not wait
            self._send(reply)

    def _content(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        # `gh api --input -` sends chunks: each after a line with its length, the last one empty.
        pieces = []
        while size := int(self.rfile.readline(), 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        return b"".join(pieces)

    def _send(self, reply: Reply) -> None:
        text, kind = reply.body, "text/plain"
        if not isinstance(text, str):
            text, kind = "" if text is None else json.dumps(text), "application/json"
        content = text.encode(errors="surrogateescape")
        self.send_response(reply.status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _serve


def answer(github: GitHub, method: str, target: str, body: Any, headers: Message) -> Reply | None:
    """The answer to one request, which is logged; None to hang up without an answer."""
    address = urlsplit(target)
    graphql = address.path == "/graphql"
    name = graphql_api.operation(body) if graphql else unquote(address.path)
    with github.open() as opened:
        fault = opened.fault(method, name)
        if fault and isinstance(fault.what, int):
            reply = Reply(fault.what, {"message": fault.message}, fault.headers)
        else:
            query = dict(parse_qsl(address.query, keep_blank_values=True))
            reply = _perform(opened, method, name, query, body, headers)
        cut = bool(fault and fault.what == "cut")
        github.note(
            Request(
                method,
                name if graphql or not address.query else f"{name}?{address.query}",
                body.get("variables") if graphql else body,
                body.get("query", "") if graphql else "",
                0 if cut else reply.status,
                headers.get("User-Agent", ""),
            )
        )
    return None if cut else reply


def _perform(
    opened: Opened, method: str, name: str, query: dict[str, str], body: Any, headers: Message
) -> Reply:
    try:
        if not name.startswith("/"):
            return graphql_api.answer(opened, body)
        if wants := re.search("diff|patch", headers.get("Accept", "")):
            if wants[0] == "diff" and (diff := rest.diff(opened, name)):
                return diff
            raise Rejected(501, f"the fake GitHub answers {name} only in JSON")
        return rest.answer(opened, method, name, query, body)
    except Rejected as no:
        about = {"message": no.message, "documentation_url": "https://docs.github.com/rest"}
        return Reply(no.status, about | ({"errors": list(no.errors)} if no.errors else {}))
