"""A pytest plugin for tests/mutants.py: run the tests that a file lists, in its order; keep a log.

The file is a JSON list of node ids; the log beside it has one JSON list a line, [what, node id,
monotonic time], when a test starts and when a collection or a test fails.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

_PICKED = Path(os.environ["CARTO_PICKED"])


def _log(what: str, nodeid: str) -> None:
    with _PICKED.with_suffix(".log").open("a", encoding="utf-8") as log:
        log.write(json.dumps([what, nodeid, time.monotonic()]) + "\n")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    place = {nodeid: number for number, nodeid in enumerate(json.loads(_PICKED.read_text()))}
    picked = [item for item in items if item.nodeid in place]
    items[:] = sorted(picked, key=lambda item: place[item.nodeid])


def pytest_runtest_logstart(nodeid: str) -> None:
    _log("start", nodeid)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    if report.failed:
        _log("failed", report.nodeid)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.failed:
        _log("failed", report.nodeid)
