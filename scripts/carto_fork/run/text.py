"""Make text of unknown origin safe to print, paste or put into Markdown; hide secrets. Pure."""

from __future__ import annotations

import json
import os
import re
import textwrap
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from shlex import quote
from typing import Any, TextIO

_VERSION_LINE = re.compile(
    r"""\s*(version\s*=\s*["'][^"']*["']\s*(\#.*)?|"version"\s*:\s*"[^"]*"\s*,?\s*
    |v?\d+(\.\d+)+([-+.]?[a-z0-9.]+)?)\s*""",
    re.VERBOSE,
)

_SUBSTANTIVE = re.compile(r"(?:\w\W*){8}")

LARGEST_TEXT = 20_000_000
"""Bytes up to which a file is read line by line, unless the policy says otherwise."""

_PARSED = {".py": 500_000, ".json": 5_000_000}
_PARSED |= dict.fromkeys((".yaml", ".yml", ".txt"), 200_000)
"""Characters; 1,000,000 for other formats. For the worst texts we tried, time and memory grow
linearly with the length: up to these sizes no parser took more than 19 s and 0.7 GB for a file."""


def too_long(path: str, *texts: str) -> bool:
    """Whether one of a file's texts is too long to be parsed."""
    longest = _PARSED.get(PurePosixPath(path).suffix, 1_000_000)
    return any(len(text) > longest for text in texts)


def lines_of(text: str) -> list[str]:
    """The lines with their line ends, split at line feeds only, as git does."""
    return re.findall(r"[^\n]*\n|[^\n]+", text)


def states_version(line: str) -> bool:
    """Whether a line of a TOML or JSON file, or of one that holds nothing else, states a version,
    and nothing else."""
    return bool(_VERSION_LINE.fullmatch(line.rstrip("\r\n")))


def substantive(line: str) -> bool:
    """Whether a line is distinctive enough to recognise: not a bracket, an `else:` or a blank
    line."""
    return bool(_SUBSTANTIVE.search(line))


def difference(before: str, after: str) -> tuple[list[str], list[str]]:
    """The lines that one text has more often than another, and those it has less often."""
    old, new = (Counter(text.split("\n")) for text in (before, after))
    return list((new - old).elements()), list((old - new).elements())


def counted(number: int, noun: str) -> str:
    """A number and its noun, as in `1 file` and `2 files`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def duration(seconds: float) -> str:
    """Seconds as people say them: tenths of a second, or minutes."""
    minutes = f"{seconds // 60:.0f} min " if seconds >= 60 else ""
    return f"{minutes}{seconds % 60:.1f} s"


def about(seconds: float) -> str:
    """An estimate, as people say it: `about 40 s`, `about 3 min`."""
    step = 1 if seconds < 10 else 5
    if seconds > 90:
        return f"about {round(seconds / 60)} min"
    return f"about {max(1, step * round(seconds / step))} s"


def listed(texts: Sequence[str], most: int = 3) -> str:
    """The first few texts of unknown origin, and how many more there are."""
    more = f" and {len(texts) - most} more" if len(texts) > most else ""
    return ", ".join(map(printable, texts[:most])) + more


def printable(text: str) -> str:
    """Text of unknown origin (paths, subjects, output) without control characters."""
    if text.isprintable():
        return text
    safe = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
    return safe.encode("utf-8", "backslashreplace").decode()


def in_actions() -> bool:
    """Whether this runs in GitHub Actions, which reads workflow commands from the output."""
    return os.environ.get("GITHUB_ACTIONS") == "true"


def harmless(text: str) -> str:
    """Text in which GitHub Actions finds no workflow command, neither at the start of a line (`::`)
    nor, in the old form, anywhere in one (`##[`). Outside of Actions the text is unchanged."""
    if not in_actions():
        return text
    # An invisible word joiner; readers see the same text.
    return re.sub(r"##(?=\[)|^\s*:(?=:)", "\\g<0>\u2060", text, flags=re.MULTILINE)


_LABEL = 32
"""Characters of a label beside which a text is wrapped."""

_LONG_COMMAND = 30
"""Characters from which a command is on a line of its own, unless everything fits on one."""

_BARE_COMMAND = re.compile(
    r"(?P<before>^|: |, |\bthen |\(| (?=git -C ))"
    r"(?P<line>(\S*/)?(git|gh|invoke|carto-fork|make(?! sure)|mv|rm|cd|pip|python\S*) .+?)"
    r"(?=; |, then |, or |, resolve | \((or|it) |\)| (shows|lists)\b|\.? *$)"
)


def wrapped(line: str, width: int, head: str = "") -> list[str]:
    """A line as lines of at most `width` columns, broken between words.

    People paste commands, which are in backticks, so each stays on one line: a longer one on a line
    of its own, without backticks, below the words before it.
    head: its label. Further lines are below the text beside it, or, if it is long, as without one.
    """
    beside = bool(head) and len(head) <= _LABEL
    indent = " " * (len(head) if beside else len(line) - len(line.lstrip()) + 2)
    line = f"{head}{line}"
    if len(line) <= width:
        return [line]
    lines: list[str] = []
    prose = ""
    for part in re.split("(`[^`]*`)", line):
        if part[:1] == "`" and len(part) > _LONG_COMMAND and " " in part and prose[-1:] != "(":
            lines += [*_filled(prose, width, indent, bool(lines)), f"{indent}  {part[1:-1]}"]
            prose = ""
        else:
            prose += part
    return [*lines, *_filled(prose, width, indent, bool(lines))] or [""]


def _filled(prose: str, width: int, indent: str, further: bool) -> list[str]:
    """Words as lines; further ones are indented, and need no comma after a command."""
    if further:
        prose = re.sub(r"^[;,.:]?\s*", "", prose)
    held = re.sub("`[^`]*`", lambda command: command[0].replace(" ", "\0"), prose.rstrip())
    lines = textwrap.wrap(
        held,
        width,
        initial_indent=indent if further else "",
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [part.replace("\0", " ") for part in lines]


def quoted(advice: str) -> str:
    """A line of advice with backticks around the commands that have none."""
    parts = re.split("(`[^`]*`)", advice)
    parts[::2] = [_BARE_COMMAND.sub(r"\g<before>`\g<line>`", part) for part in parts[::2]]
    return "".join(parts)


_COMMAND = re.compile(
    r"(^|\s)((\S*/)?(git|gh|invoke|carto-fork|make|mv|rm|ls|cd|pip|python\S*)|-\S+) "
)


def may_wrap(line: str) -> bool:
    """Whether a line of what to type next may be wrapped: people paste commands, so all of those in
    it have to be in backticks."""
    return not _COMMAND.search(re.sub("`[^`]*`", "", line))


def pathspec_word(path: str) -> str:
    """A path as a word to paste after the `--` of a git command, matching that path alone."""
    if re.search(r"[*?\[\]\\]|^:", path):
        path = f":(top,literal){path}"
    return file_word(path)


def file_word(path: str) -> str:
    """A path, or any other text, as a word to paste into a shell."""
    if path.isprintable():
        return quote(path)
    known = {"\\": "\\\\", "'": "\\'", "\n": "\\n", "\t": "\\t"}
    escaped = (known.get(x) or (x if x.isprintable() else c_escaped(x)) for x in path)
    return f"$'{''.join(escaped)}'"  # bash, zsh and ksh know this form


def c_escaped(path: str, quotes: bytes = b'"') -> str:
    """A path with C escapes for quotes, backslashes and everything that is not printable ASCII."""
    raw = path.encode("utf-8", "surrogateescape")
    special = rb"[^ -~]|[\\%s]" % quotes
    quoted = re.sub(special, lambda byte: b"\\%03o" % ord(byte[0]), raw).decode()
    return quoted.replace("\\012", "\\n")


def joined(words: Iterable[str]) -> str:
    """One line to paste into bash, zsh or ksh, whatever the words contain."""
    return " ".join(map(file_word, words))


# A colon only where it may begin a `:name:` or be in a link.
_SPECIAL = re.compile(r"([\\`*_{}\[\]#+!|<>~&$@]|:(?=//|:|[\w+-]+:)|(?<=:):)")


def code(text: str) -> str:
    """A text of unknown origin as a code span: nothing in it is Markdown, HTML or a mention."""
    safe = printable(" ".join(text.split())) or " "
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", safe)), default=0))
    pad = " " if safe.startswith("`") or safe.endswith("`") else ""
    return f"{fence}{pad}{safe}{pad}{fence}"


def cell(text: str) -> str:
    """A text of unknown origin as a code span inside a table, where only an escaped bar does not
    end the cell, even in a code span."""
    return code(text.replace("|", "\\|"))


def plain(text: str) -> str:
    """A text of unknown origin as running text: special characters are escaped, and no name in it
    notifies anybody."""
    # List markers only count at the start; `v1.76.5-stable` stays unchanged.
    return re.sub(r"^(\d*)([-.])", r"\1\\\2", _escaped(text))


def _escaped(text: str) -> str:
    safe = printable(" ".join(text.split()))
    # An invisible word joiner keeps `@name` and `#1` from being links; a backslash does not.
    safe = re.sub(r"([@#])(?=\w)", "\\1\u2060", safe)
    return _SPECIAL.sub(r"\\\1", safe)


def advice(text: str) -> str:
    """One of our own sentences as running text: the commands in it, in backticks, stay code."""

    def safe(part: str, escape: Callable[[str], str]) -> str:
        if re.fullmatch(r"`[^`]+`", part):
            return code(part[1:-1])
        return re.sub(r"\S(?:.*\S)?", lambda words: escape(words[0]), part, flags=re.DOTALL)

    first, *others = re.split(r"(`[^`]+`)", text)
    return "".join([safe(first, plain), *(safe(part, _escaped) for part in others)])


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a table; its cells are Markdown already."""
    lines = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    return [*lines, *(f"| {' | '.join(row)} |" for row in rows)]


def block(lines: Iterable[str], language: str = "") -> list[str]:
    """The lines of a code block, fenced longer than anything in it."""
    inside = [printable(line) for line in lines]
    longest = max((len(run) for line in inside for run in re.findall("`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    return [f"{fence}{language}", *inside, fence]


def toml_value(value: Any) -> str:
    """A policy value in TOML, on one line; a text with backslashes becomes a literal string."""
    if isinstance(value, bool | int):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {toml_value(x)}" for key, x in value.items()) + " }"
    if isinstance(value, list):
        return f"[{', '.join(map(toml_value, value))}]"
    if "\\" in value and "'" not in value:
        return f"'{value}'"
    return json.dumps(value, ensure_ascii=False)


# --- Secrets -------------------------------------------------------------------------------------

# All repetitions are bounded, so the time grows linearly with the length of a text.
_CREDENTIALS = re.compile(
    # A password may contain a slash; digits before a slash are a port.
    r"(?P<scheme>\w{1,32})://"
    r"(?P<user>[^/\s]{1,1024}|[^/\s:@]{0,256}:(?!\d{1,5}/)(?:(?!://)[^\s@]){1,1024})@"
)
_PARAMETERS = re.compile(
    r"(?P<name>[?&;][\w.-]{0,64}(?:token|secret|passw|key|sig|auth|credential)[\w.-]{0,64}=)"
    r"[^\s&;#'\"]{1,4096}",
    re.IGNORECASE,
)
_WEBHOOK = re.compile(r"(hooks\.slack\.com/\w{1,32}/)[^\s'\"]{1,1024}")

# Checks run upstream's code, which must not see the secrets of whoever runs them, and a secret may
# have any name. So checks get only these variables and those the policy names.
_FOR_CHECKS = re.compile(
    r"PATH|PWD|OLDPWD|SHLVL|_|HOME|USER|LOGNAME|SHELL|LANG|LANGUAGE|LC_\w+|TZ|TERM|COLUMNS|LINES|NO_COLOR|FORCE_COLOR"
    r"|TMPDIR|TMP|TEMP|CI|GITHUB_ACTIONS|(?i:(https?|ftp|all|no)_proxy)|SSL_CERT_(FILE|DIR)"
    r"|REQUESTS_CA_BUNDLE|NODE_EXTRA_CA_CERTS|XDG_(CACHE|CONFIG|DATA|STATE)_HOME|XDG_RUNTIME_DIR"
    r"|VIRTUAL_ENV|CONDA_(PREFIX|DEFAULT_ENV)|PYENV_(ROOT|VERSION)|PYTHON(PATH|HOME|UTF8|HASHSEED)"
    r"|PYTHON(DONTWRITEBYTECODE|UNBUFFERED|IOENCODING)|JAVA_HOME|MAVEN_HOME|GRADLE_HOME|ANDROID_HOME"
    r"|GO(PATH|ROOT|CACHE|MODCACHE|BIN|OS|ARCH)|CARGO_HOME|RUSTUP_HOME|RUSTUP_TOOLCHAIN|NVM_DIR|NODE_PATH"
    r"|NODE_ENV|DOTNET_ROOT|GEM_HOME|GEM_PATH|RBENV_ROOT|LD_LIBRARY_PATH|DYLD_LIBRARY_PATH"
    r"|GIT_CONFIG_(GLOBAL|SYSTEM|NOSYSTEM)|GIT_ALLOW_PROTOCOL|SOURCE_DATE_EPOCH|SYSTEMROOT"
)


def scrub(text: str) -> str:
    """The text without credentials in URLs; the user name of an ssh URL is not one."""

    def hidden(url: re.Match[str]) -> str:
        if url["scheme"] == "ssh" and ":" not in url["user"]:
            return url[0]
        return f"{url['scheme']}://***@"

    if "://" not in text and "hooks.slack.com" not in text:
        return text
    text = _CREDENTIALS.sub(hidden, text)
    return _WEBHOOK.sub(r"\1***", _PARAMETERS.sub(r"\g<name>***", text))


def withheld(allowed: Iterable[str] = ()) -> list[str]:
    """The names of the environment variables that a check does not see.

    allowed: those that the policy lets it see.
    """
    named = set(allowed)
    return sorted(n for n in os.environ if n not in named and not _FOR_CHECKS.fullmatch(n))


class Tee:
    """Writes to several streams, without credentials."""

    # The beginning of a URL that may continue in the next piece of output.
    _UNFINISHED = re.compile(r"\w{1,32}:(/(/\S{0,4096})?)?\Z")

    def __init__(self, streams: Iterable[TextIO]) -> None:
        self._streams = tuple(streams)
        self._held: dict[int, str] = {}

    def __bool__(self) -> bool:
        return bool(self._streams)

    def write(self, text: str) -> None:
        """Write text; if it ends with the beginning of a URL, that part waits for the rest."""
        # One thread reads standard output, another standard error.
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
