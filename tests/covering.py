"""Branch coverage of scripts/ by the tests and by the processes they start: `make coverage`.

Run as a script, it runs pytest with itself as a plugin; arguments go to pytest. It leaves in
.coverage-data what tests/mutants.py reads:

- `coverage`: which lines ran, each context being the node id of a test. What ran while tests were
  collected has the empty context.
- `durations.json`: the seconds of each test.

coverage's own .pth file measures every Python process whose environment has COVERAGE_PROCESS_START.
A process that is killed leaves no data. What a fixture of the session does counts for the first
test that asks for it.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import coverage
import pytest

ROOT = Path(__file__).parent.parent
DATA = ROOT / ".coverage-data"
SETTINGS = f"""\
[run]
branch = True
parallel = True
core = ctrace
source = {ROOT / "scripts"}
data_file = {DATA / "coverage"}
context = ${{CARTO_TEST-}}
disable_warnings =
    no-data-collected, module-not-imported, module-not-measured, couldnt-parse, already-imported
"""

_seconds: defaultdict[str, float] = defaultdict(float)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """What runs from here on, in this process and in those that it starts, is this test's."""
    os.environ["CARTO_TEST"] = item.nodeid
    if current := coverage.Coverage.current():
        current.switch_context(item.nodeid)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    _seconds[report.nodeid] += report.duration


def pytest_sessionfinish(session: pytest.Session) -> None:
    if not hasattr(session.config, "workerinput"):
        (DATA / "durations.json").write_text(json.dumps(_seconds, indent=0))


def main() -> int:
    shutil.rmtree(DATA, ignore_errors=True)
    DATA.mkdir()
    settings = DATA / "settings"
    settings.write_text(SETTINGS)
    program = [sys.executable, "-m"]
    environment = os.environ | {"COVERAGE_PROCESS_START": str(settings)}
    tests = [*program, "pytest", "-n", "auto", "-p", "covering", *sys.argv[1:]]
    ended = subprocess.run(tests, cwd=ROOT, env=environment)
    for verb in ("combine --quiet", "report"):
        words = [*program, "coverage", *verb.split(), f"--rcfile={settings}"]
        subprocess.run(words, cwd=ROOT, check=True)
    with sqlite3.connect(DATA / "coverage") as data:  # for tests/mutants.py
        data.execute("CREATE INDEX arc_by_line ON arc (file_id, tono)")
    return ended.returncode


if __name__ == "__main__":
    sys.exit(main())
