"""The GraphQL schema that GitHub publishes, in the version that the tests know.

It is some 60,000 lines of somebody else's, so it is downloaded when it is first needed:
``python tests/github_schema.py`` does so. CARTO_FORK_GITHUB_SCHEMA names a file to use instead.
"""

from __future__ import annotations

import hashlib
import io
import os
import sys
import tarfile
import urllib.request
from functools import cache
from pathlib import Path

import pytest
from graphql import GraphQLSchema, build_schema

VERSION = "15.26.1"
URL = f"https://registry.npmjs.org/@octokit/graphql-schema/-/graphql-schema-{VERSION}.tgz"
SHA256 = "3c62d0526d133cee53221c89de9b455ade24db78b9e7ad56d642c4c15bce2654"
"""Of the schema itself."""

# Tests run without the variables of whoever runs them.
_NAMED = os.environ.get("CARTO_FORK_GITHUB_SCHEMA")
_CACHE = Path(__file__).parent.parent / ".venv" / f"github-schema-{VERSION}.graphql"

UNPUBLISHED = """
extend type PullRequest { assignedActors(first: Int): ActorConnection! }
type ActorConnection { nodes: [Actor] totalCount: Int! }
"""
"""What gh asks GitHub for and GitHub has, although this version of the schema does not say so."""


def schema_file() -> Path:
    """Where the schema is, downloaded if need be.

    Raises OSError where it can neither be found nor downloaded, and ValueError if it is another.
    """
    file = Path(_NAMED) if _NAMED else _CACHE
    if not file.exists():
        if _NAMED:
            raise FileNotFoundError(f"CARTO_FORK_GITHUB_SCHEMA names {file}, which is not there")
        content = _downloaded()
        file.parent.mkdir(exist_ok=True)
        draft = file.with_name(f"{file.name}.{os.getpid()}")
        draft.write_bytes(content)
        draft.replace(file)
    elif (found := hashlib.sha256(file.read_bytes()).hexdigest()) != SHA256:
        raise ValueError(f"{file} is not the schema of {VERSION}: its sha256 is {found}")
    return file


def _downloaded() -> bytes:
    with urllib.request.urlopen(URL, timeout=60) as answer:
        packed = answer.read()
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        member = archive.extractfile("package/schema.graphql")
        assert member
        content = member.read()
    if (found := hashlib.sha256(content).hexdigest()) != SHA256:
        raise ValueError(f"{URL} holds another schema: its sha256 is {found}")
    return content


@cache
def published() -> GraphQLSchema | None:
    """The schema with what is known to be missing in it; None where it cannot be had."""
    if _missing():
        return None
    return build_schema(schema_file().read_text("utf-8") + UNPUBLISHED, assume_valid=True)


@cache
def _missing() -> str:
    try:
        schema_file()
    except OSError as error:
        return str(error)
    return ""


def required() -> GraphQLSchema:
    """The schema, or the end of the test that needs it."""
    schema = published()
    if schema is None:
        pytest.skip(f"GitHub's schema is not cached and cannot be downloaded: {_missing()}")
    return schema


if __name__ == "__main__":
    sys.stdout.write(f"{schema_file()}\n")
