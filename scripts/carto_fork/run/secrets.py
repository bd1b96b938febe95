"""What must not be shown, and what checks must not see. Pure."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterable
from typing import TextIO

# All of these are bounded: the time that they take grows with the length of a text, no faster.
_CREDENTIALS = re.compile(
    # A password may hold a slash; digits before one are a port.
    r"(?P<scheme>\w{1,32})://"
    r"(?P<user>[^/\s]{1,1024}|[^/\s:@]{0,256}:(?!\d{1,5}/)(?:(?!://)[^\s@]){1,1024})@"
)
_PARAMETERS = re.compile(
    r"(?P<name>[?&;][\w.-]{0,64}(?:token|secret|passw|key|sig|auth|credential)[\w.-]{0,64}=)"
    r"[^\s&;#'\"]{1,4096}",
    re.IGNORECASE,
)
_WEBHOOK = re.compile(r"(hooks\.slack\.com/\w{1,32}/)[^\s'\"]{1,1024}")


# Checks run code of upstream's, which has no business with the secrets of whoever runs them; and a
# secret may have any name. So they get what is listed here and what the policy names, no more.
_FOR_CHECKS = re.compile(
    r"PATH|HOME|USER|LOGNAME|SHELL|LANG|LANGUAGE|LC_\w+|TZ|TERM|COLUMNS|LINES|NO_COLOR|FORCE_COLOR"
    r"|TMPDIR|TMP|TEMP|CI|GITHUB_ACTIONS|(?i:(https?|ftp|all|no)_proxy)|SSL_CERT_(FILE|DIR)"
    r"|REQUESTS_CA_BUNDLE|NODE_EXTRA_CA_CERTS|XDG_(CACHE|CONFIG|DATA|STATE)_HOME|XDG_RUNTIME_DIR"
    r"|VIRTUAL_ENV|CONDA_(PREFIX|DEFAULT_ENV)|PYENV_(ROOT|VERSION)|PYTHON(PATH|HOME|UTF8|HASHSEED)"
    r"|PYTHON(DONTWRITEBYTECODE|UNBUFFERED|IOENCODING)|JAVA_HOME|MAVEN_HOME|GRADLE_HOME|ANDROID_HOME"
    r"|GO(PATH|ROOT|CACHE|MODCACHE|BIN|OS|ARCH)|CARGO_HOME|RUSTUP_HOME|RUSTUP_TOOLCHAIN|NVM_DIR|NODE_PATH"
    r"|NODE_ENV|DOTNET_ROOT|GEM_HOME|GEM_PATH|RBENV_ROOT|LD_LIBRARY_PATH|DYLD_LIBRARY_PATH"
    r"|GIT_CONFIG_(GLOBAL|SYSTEM|NOSYSTEM)|GIT_ALLOW_PROTOCOL|SOURCE_DATE_EPOCH|SYSTEMROOT"
)


def scrub(text: str) -> str:
    """Text without the credentials of any URL in it; the user of ssh is not one."""

    def hidden(found: re.Match[str]) -> str:
        if found["scheme"] == "ssh" and ":" not in found["user"]:
            return found[0]
        return f"{found['scheme']}://***@"

    if "://" not in text and "hooks.slack.com" not in text:
        return text
    text = _CREDENTIALS.sub(hidden, text)
    return _WEBHOOK.sub(r"\1***", _PARAMETERS.sub(r"\g<name>***", text))


def withheld(allowed: Iterable[str] = ()) -> list[str]:
    """The variables of the environment that a check does not see, by name.

    allowed: those that the policy lets it have.
    """
    named = set(allowed)
    return sorted(n for n in os.environ if n not in named and not _FOR_CHECKS.fullmatch(n))


class Tee:
    """Writes to several streams, without credentials."""

    # The beginning of a URL that may go on in the next piece of output.
    _UNFINISHED = re.compile(r"\w{1,32}:(/(/\S{0,4096})?)?\Z")

    def __init__(self, streams: Iterable[TextIO]) -> None:
        self._streams = tuple(streams)
        self._held: dict[int, str] = {}

    def __bool__(self) -> bool:
        return bool(self._streams)

    def write(self, text: str) -> None:
        """Write text; the beginning of a URL at its end waits for the rest."""
        # Standard output and error are read by a thread each.
        text = self._held.pop(threading.get_ident(), "") + text
        if unfinished := self._UNFINISHED.search(text, max(0, len(text) - 4200)):
            self._held[threading.get_ident()] = unfinished[0]
            text = text[: unfinished.start()]
        self._write(text)

    def _write(self, text: str) -> None:
        for stream in self._streams:
            stream.write(scrub(text).encode("utf-8", "backslashreplace").decode())

    def flush(self) -> None:
        """Flush all of the streams."""
        for stream in self._streams:
            stream.flush()

    def close(self) -> None:
        """Write what was held back."""
        for text in self._held.values():
            self._write(text)
        self.flush()
