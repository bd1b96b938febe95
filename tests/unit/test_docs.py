"""The documents say what the program does."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import get_args, get_origin

import msgspec
import pytest
from invoke.parser import Parser

from carto_fork.adopt import documents
from carto_fork.fork import policy
from carto_fork.fork.policy import Policy
from carto_fork.program import FORMER
from carto_fork.run.errors import ExitCode
from carto_fork.tasks import namespace
from house import procedures

ROOT = Path(__file__).parents[2]


DOCUMENTS = documents.documents(ROOT)


def test_the_generated_parts_of_the_documents_are_up_to_date() -> None:
    for path, renewed in DOCUMENTS.items():
        text = path.read_text(encoding="utf-8")
        # Either a part of it is generated, or all of it.
        assert "<!-- generated: " in text or documents.untouched(text)
        assert renewed == text, f"{path.name}: `make docs` brings it up to date"


def test_a_changed_part_is_noticed() -> None:
    text = (ROOT / "CARTO_CLAUDE.md").read_text(encoding="utf-8")
    changed = text.replace("Never merge `main`", "Merge `main`", 1)
    assert changed != text
    assert documents.renewed(changed, policy.load_policy().policy) == text


def test_documents_can_be_generated_without_image_names_and_labels() -> None:
    more = "[images]\nrelease = []\nbranch = []\n[pull_requests]\nlabels = []\n"
    found = policy.load_policy(f'extends = "carto-litellm"\n{more}').policy
    assert found.images and not found.pull_requests.labels
    assert "| A pull request has the label `conflicts` |" in documents.guide(found)
    assert (
        f"## Its images\n\n`invoke ci.images --repo {documents.clone(found)}`"
        in documents.process(found)
    )
    assert "|  |" not in documents.process(found)


def test_every_step_condition_is_described_in_words() -> None:
    known = [step for procedure in procedures().values() for step in procedure]
    words = {step.when.words for step in known if step.when}
    assert all(re.match(r"(if|with|without) \S", said) for said in words)


@pytest.mark.parametrize("document", [documents.guide, documents.process])
def test_every_command_inside_a_sentence_is_one(document: Callable[[Policy], str]) -> None:
    """The commands in blocks are run by other tests."""
    parser = Parser(contexts=namespace.to_contexts())
    text = document(policy.load_policy().policy)
    commands = re.findall(r"`invoke (?:--dry )?([a-z][^`]*)`", text)
    assert commands
    for words in map(shlex.split, commands):
        assert [parsed.name for parsed in parser.parse_argv(words)] == words[:1]


def test_what_a_document_types_for_gh_names_the_repository() -> None:
    """A reader may stand in another one: the sandbox is in a checkout of this project."""
    needs = re.compile(r"\bgh (?:pr|run|workflow|secret|variable|label|release|issue) [^`\n]*")
    unnamed = [
        f"{path.name}: {line[0]}"
        for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"))
        for line in needs.finditer(
            re.sub(r"(?<=\S)\n(?=\S)", " ", path.read_text(encoding="utf-8"))
        )
        if " -R " not in line[0]
    ]
    assert not unnamed


def test_every_exit_code_is_documented() -> None:
    text = (ROOT / "docs" / "exit-codes.md").read_text(encoding="utf-8")
    assert all(re.search(rf"^\| {int(code)} \|", text, re.MULTILINE) for code in ExitCode)


def test_links_between_documents_lead_somewhere() -> None:
    dead = []
    for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")):
        text = re.sub("`[^`]*`", "", path.read_text(encoding="utf-8"))
        targets = re.findall(r"\]\((?!https?:|#)([^)#]+)", text)
        dead += [(path.name, target) for target in targets if not (path.parent / target).exists()]
    assert dead == []


def _keys(table: type, prefix: str = "") -> Iterator[str]:
    """The keys of a policy's table and of those in it, with dots."""
    for field in msgspec.structs.fields(table):
        inner = [t for t in (field.type, *get_args(field.type)) if hasattr(t, "__struct_fields__")]
        is_list = get_origin(field.type) is tuple
        if not inner or prefix:
            yield f"{prefix}{field.encode_name}"
        for one in inner:
            yield from _keys(one, f"{prefix}{field.encode_name}.")
        assert not is_list or len(inner) <= 1


def test_every_key_of_a_policy_is_documented() -> None:
    text = (ROOT / "docs" / "policy.md").read_text(encoding="utf-8")
    documented = re.findall(r"^\| `([\w.]+)` \|", text, re.MULTILINE)
    assert sorted(documented) == sorted(_keys(Policy))


def test_the_small_policy_of_the_documents_is_valid() -> None:
    text = (ROOT / "docs" / "policy.md").read_text(encoding="utf-8")
    examples = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    assert [policy.load_policy(example).policy.branches.production for example in examples] == [
        "production",
        "production",
    ]


def test_every_task_that_is_named_exists() -> None:
    wrong = []
    sources = (ROOT / "scripts").rglob("*.py")
    texts = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "Makefile"]
    texts += [
        path for path in (ROOT / "scripts" / "carto_fork" / "adopt").rglob("*") if path.is_file()
    ]
    typed = re.compile(
        r"(?:\binvoke|\bcarto-fork|\.?command\(f?[\"'])(?: --dry)? ?([a-z][a-z.-]*)\b(?!:)"
    )
    for path in {*sources, *texts} - {ROOT / "CHANGELOG.md"}:
        found = typed.findall(path.read_text(encoding="utf-8", errors="replace"))
        wrong += [(path.name, word) for word in found if word in {*FORMER, "drop"}]
    assert wrong == []
