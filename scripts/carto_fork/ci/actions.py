"""GitHub Actions: what a step tells the steps behind it, and the page of its run."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from ..run.errors import Failed


def running() -> bool:
    """Whether this is a job of GitHub Actions."""
    return os.environ.get("GITHUB_ACTIONS") == "true"


def run_url() -> str:
    """The page of the run that this job belongs to; "" outside of GitHub Actions."""
    names = ("GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_RUN_ID")
    server, repository, run = (os.environ.get(name, "") for name in names)
    return f"{server}/{repository}/actions/runs/{run}" if running() and run else ""


def set_outputs(values: Mapping[str, str]) -> None:
    """Hand values to the steps behind this one, if there are any."""
    if path := os.environ.get("GITHUB_OUTPUT"):
        # A value may hold any line: the delimiter is one that nobody can know beforehand.
        end = f"end-{secrets.token_hex(16)}"
        _append(path, "".join(f"{name}<<{end}\n{value}\n{end}\n" for name, value in values.items()))


def summarize(markdown: str) -> None:
    """Add to the page of the run, if there is one."""
    if path := os.environ.get("GITHUB_STEP_SUMMARY"):
        _append(path, f"{markdown}\n")


def _append(path: str, text: str) -> None:
    try:
        with Path(path).open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
    except OSError as error:
        raise Failed(
            f"GitHub Actions' file cannot be written: {error}.",
            then="unset GITHUB_OUTPUT and GITHUB_STEP_SUMMARY outside of a job.",
        ) from None
