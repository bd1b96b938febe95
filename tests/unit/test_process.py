"""The table that leads from the manual process to commands and tests."""

from __future__ import annotations

import ast
import re
import shlex
from functools import cache
from pathlib import Path

from invoke.parser import Parser

from carto_fork.tasks import namespace

ROOT = Path(__file__).parents[2]
_TEXT = (ROOT / "docs" / "process.md").read_text(encoding="utf-8")
_LINES = _TEXT.partition("| --- | --- | --- |\n")[2].splitlines()
ROWS = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in _LINES]

# The document as it was before there were commands: its headings, outside of code.
HEADINGS = """
CARTO_CLAUDE.md
Table of Contents
Overview
Branch Strategy
Branch Purposes
Critical Rules
Upstream Sync Process
Automated Upstream Sync
How It Works
Conflict Handling Strategy
Setup
Monitoring
Manual Triggering
Manual Sync (When Needed)
A. Regular Monitoring (Keep `main` Updated)
B. Production Upgrade (Update `carto/main` to New Stable Release)
Step 1: Identify Stable Upstream Release
Step 2: Merge Stable Tag into `carto/main`
Step 3: Resolve Conflicts (if any)
Step 4: Update Version and Test
Step 5: Create CARTO Release
CARTO-Specific Changes
1. Custom GitHub Workflows
2. Custom Documentation
3. Dockerfile Modifications
4. Makefile Changes
5. Security & Infrastructure
Development Workflow
Initial Setup
Creating a Feature Branch
Testing
Creating a Pull Request
Troubleshooting Guide
Merge Conflicts During Upstream Sync
Upstream Sync Workflow Issues
Issue: Workflow Fails
Issue: No New Release Detected
Issue: PR Created with Conflicts
Issue: Slack Notifications Not Received
Version Mismatch Errors
Docker Build Failures
Prisma Migration Issues
Test Failures After Merge
"Detached HEAD" State
Quick Reference
Essential Commands
Important Links
Docker Image Tags
Git Remotes
Current Status Check
Best Practices for AI Assistants
Support
"""


def test_every_heading_has_a_row() -> None:
    assert [heading for heading, *_ in ROWS] == HEADINGS.strip().splitlines()


def test_every_row_names_commands_that_exist() -> None:
    parser = Parser(contexts=namespace.to_contexts())
    for heading, cell, _ in ROWS:
        commands = re.findall("`invoke ([^`]+)`", cell)
        assert commands and ", ".join(f"`invoke {line}`" for line in commands) == cell, heading
        for words in map(shlex.split, commands):
            assert [parsed.name for parsed in parser.parse_argv(words)] == words[:1], heading


def test_every_row_names_tests_that_exist() -> None:
    for heading, _, cell in ROWS:
        tests = re.findall("`([^`]+)`", cell)
        assert tests and ", ".join(f"`{test}`" for test in tests) == cell, heading
        for test in tests:
            file, _, name = test.partition("::")
            assert name in _functions(file) or (not name and _functions(file)), test


@cache
def _functions(file: str) -> frozenset[str]:
    tree = ast.parse((ROOT / "tests" / file).read_bytes())
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef))
