"""The pictures of the documents, made by `make picture`.

docs/upgrade.svg: a terminal in which the README's first command runs. The test of the README makes
it (with ``--picture``), and otherwise compares it with what the command prints.
docs/report.png: the page of the sandbox's upgrade, in a browser (chromium and chromium-driver).
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from rich.console import Console
from rich.text import Text

from world import World, build_template

DOCS = Path(__file__).parents[1] / "docs"
UPGRADE = DOCS / "upgrade.svg"
PAGE = DOCS / "report.png"
RELEASE = "v1.77.2-stable"

# --- A terminal --------------------------------------------------------------------------------

WIDTH = 100
"""Columns of the terminal."""

_TOP, _END = 24, 24
"""Lines of a long run that are shown, at its beginning and at its end."""

_CONTROL = re.compile(r"(\r?\n|\r|\x1b\[[\d;?]*[A-HJKhl])")
_TIME = re.compile(r"\b\d+(\.\d+)? ?(?:s|ms|min|seconds?|minutes?)\b")
_LAST = re.compile(rf"\s+{_TIME.pattern}(?=(?:\x1b\[[\d;]*m)*$)")
"""How long a step took is said only if it was slow."""
_HASH = re.compile(r"\b[0-9a-f]{7,64}\b|\b[0-9a-f]+…$")


def typed(line: str, cwd: Path) -> tuple[int, str]:
    """Run a command line in a terminal: its exit code, and all that was written there."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, WIDTH, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": str(WIDTH)}
    environment.pop("NO_COLOR", None)
    process = subprocess.Popen(
        ["bash", "-c", line],
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    written = bytearray()
    with suppress(OSError):  # nobody has the other end open any more
        while block := os.read(ours, 1 << 16):
            written += block
    os.close(ours)
    return process.wait(), written.decode()


def screen(written: str) -> list[str]:
    """The lines that a terminal shows in the end, with their colours, without times of steps."""
    lines, row, begins = [""], 0, False
    for part in _CONTROL.split(written):
        if part.endswith("\n"):
            row, begins = row + 1, False
            lines += [""] * (row + 1 - len(lines))
        elif part == "\r":
            begins = True
        elif part.startswith("\x1b[") and part[-1] in "AJK":
            row -= int(part[2:-1] or 1) if part[-1] == "A" else 0
            lines[row] = lines[row] if part[-1] == "A" else ""
        elif part and not _CONTROL.fullmatch(part):
            lines[row], begins = ("" if begins else lines[row]) + part, False
    shown = [_LAST.sub("", line) for line in lines if not _only_time(line)]
    while shown and not _plain(shown[-1]):
        shown.pop()
    left_out = len(shown) - _TOP - _END
    return (
        [*shown[:_TOP], f"\x1b[2m  ⋮ {left_out} more lines\x1b[0m", *shown[-_END:]]
        if left_out > 1
        else shown
    )


def neutral(lines: Iterable[str]) -> list[str]:
    """Lines without what differs between runs: hashes and times."""
    return [_TIME.sub("…", _HASH.sub("…", _plain(line))).rstrip() for line in lines]


def _plain(line: str) -> str:
    text = Text.from_ansi(line).plain
    return text if len(text) <= WIDTH else f"{text[: WIDTH - 1]}…"


def _only_time(line: str) -> bool:
    return bool(_TIME.search(line)) and not _TIME.sub("", _plain(line)).strip()


# --- A picture of it ---------------------------------------------------------------------------

_HIGH, _WIDE, _EDGE = 18, 8.0, 16
"""Pixels: of a line, of a letter, around all."""

_COLOURS = {
    "rect": ("#fafafa", "#161b22"),
    "text": ("#24292f", "#e6edf3"),
    ".d": ("#6e7781", "#8b949e"),
    ".cyan": ("#0b6e7f", "#56d4dd"),
    ".green": ("#1a7f37", "#3fb950"),
    ".red": ("#cf222e", "#ff7b72"),
    ".yellow": ("#8a5a00", "#e3b341"),
    ".blue": ("#0550ae", "#79c0ff"),
    ".magenta": ("#8250df", "#d2a8ff"),
}
"""Each on a light page and on a dark one."""

_ANSI = ("black", "red", "green", "yellow", "blue", "magenta", "cyan", "white")

_SVG = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}">
<title>{title}</title>
<style>
  text {{ white-space: pre; font: 13px ui-monospace, Menlo, Consolas, monospace }}
  .b {{ font-weight: 600 }}
{light}
  @media (prefers-color-scheme: dark) {{
{dark}
  }}
</style>
<rect width="100%" height="100%" rx="8"/>
{lines}
</svg>
"""


def drawn(line: str, lines: Sequence[str]) -> str:
    """A picture of a terminal, for light and dark pages. line: what was typed there."""
    shown = [f"\x1b[1m$ {line}\x1b[0m", *lines]
    rows = [
        f'<text x="{_EDGE}" y="{_EDGE + _HIGH * number - 5}">{_coloured(one)}</text>'
        for number, one in enumerate(shown, 1)
        if _plain(one)
    ]
    light, dark = (
        " ".join(f"{what} {{ fill: {colours[page]} }}" for what, colours in _COLOURS.items())
        for page in (0, 1)
    )
    return _SVG.format(
        title=escape(line),
        light=f"  {light}",
        dark=f"    {dark}",
        width=round(WIDTH * _WIDE) + 2 * _EDGE,
        height=len(shown) * _HIGH + 2 * _EDGE,
        lines="\n".join(rows),
    )


def _coloured(line: str) -> str:
    text = Text.from_ansi(line)
    if len(text) > WIDTH:
        text = text[: WIDTH - 1] + Text("…")
    parts = []
    for part in text.render(Console(file=None, width=WIDTH), end=""):
        style = part.style
        names = ["b"] * bool(style and style.bold) + ["d"] * bool(style and style.dim)
        if style and style.color and style.color.number is not None:
            names.append(_ANSI[style.color.number % 8])
        classes = " ".join(names)
        letters = escape(part.text)
        parts.append(f'<tspan class="{classes}">{letters}</tspan>' if classes else letters)
    return "".join(parts)


def read(picture: str) -> list[str]:
    """The lines of a picture, behind that which was typed."""
    tree = ElementTree.fromstring(picture)
    rows = ["".join(text.itertext()) for text in tree.iter("{http://www.w3.org/2000/svg}text")]
    return rows[1:]


# --- A page ------------------------------------------------------------------------------------


def main() -> None:
    """Build a sandbox, make the page of a release there, and photograph it."""
    from selenium.webdriver import Chrome, ChromeOptions
    from selenium.webdriver.chrome.service import Service

    driver = shutil.which("chromedriver")
    if driver is None:
        sys.exit(f"{PAGE.name} is as it was: it takes chromium and chromium-driver.")
    with tempfile.TemporaryDirectory() as place:
        there = World(build_template(Path(place) / "sandbox"))
        there.git(f"fetch --quiet upstream tag {RELEASE} --no-tags")
        done = there.run(f"forecast --tag {RELEASE} --html page.html")
        if done.code:
            sys.exit(done.err)
        options = ChromeOptions()
        for option in ("headless=new", "no-sandbox", "hide-scrollbars", "window-size=1100,1500"):
            options.add_argument(f"--{option}")
        browser = Chrome(options=options, service=Service(driver))
        try:
            browser.get((there.fork / "page.html").as_uri())
            browser.execute_script("document.querySelector('#conflicts details').open = true")
            browser.save_screenshot(str(PAGE))
        finally:
            browser.quit()
    print(PAGE)


if __name__ == "__main__":
    main()
