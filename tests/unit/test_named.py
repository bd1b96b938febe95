"""The merge by name: it has each side's changes and touches nothing else, or it is not made."""

from __future__ import annotations

import json
from typing import Any

import pytest
import tomli
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from carto_fork.merge import gone, languages, named, settling
from carto_fork.merge.hunks import Hunk, Segment, Texts
from carto_fork.run.text import lines_of


def _replaced(text: str, *changes: tuple[str, str]) -> str:
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


# Per file: the base; the fork's changes; upstream's. The merge is the base with both.
Change = tuple[str, str]
TOML = """\
# The project.
[tool.poetry]
name = "litellm"
version = "1.0"   # kept by hand

[tool.poetry.dependencies]
httpx = { version = "1", extras = ["http2"] }
rich = "13"
boto3 = "1"  # aws


[build-system]
requires = [
    "core",  # the backend
    "wheel",
]
one = ["a", "b"]

[[source]]
name = "pypi"
"""
YAML_TEXT = """\
# The proxy.
---
general:   # all of it
  # A list of them.
  callbacks: ["one", two]   # in order
  key: sk-1
  cache:
    ttl: 0x1F
    type: 'redis'

models:
- a
- b   # the second

script: |
  # no comment
  echo {}

last:
"""
JSON_TEXT = """\
{
    "a": {
        "cost": 1e-06,
        "max": 10, "modes": ["x", "y"]
    },
    "b": {"cost": 2},
    "unicod\\u00e9": "é\\/",
    "list": [
        "p",
        "q"
    ],
    "last": null
}
"""
PINS = """\
# What it needs.
-r other.txt
httpx==1.0  # the client
Rich[all]>=13 ; python_version >= "3.9"

# Clouds.
boto3==1.2
mcp==1 ; python_version >= "3.10"
mcp==0 ; python_version < "3.10"
"""
BOTH: list[tuple[str, str, list[Change], list[Change]]] = [
    # A value each; a value's trailing comment stays.
    (
        "x.toml",
        TOML,
        [('boto3 = "1"', 'boto3 = "2"')],
        [('rich = "13"', 'rich = "14"')],
    ),
    (
        "x.yaml",
        YAML_TEXT,
        [("key: sk-1", "key: sk-2")],
        [("0x1F", "0x20")],
    ),
    ("x.json", JSON_TEXT, [('"max": 10', '"max": 11')], [("1e-06", "1.0E-6")]),
    ("requirements.txt", PINS, [("httpx==1.0", "httpx==1.1")], [("=1.2", "=1.3")]),
    # A value of a table on one line.
    (
        "x.toml",
        TOML,
        [('["http2"] }', '["http2"], optional = true }')],
        [('httpx = { version = "1"', 'httpx = { version = "2"')],
    ),
    ("x.yml", "a: {b: 1, c: 2} # d\n", [("b: 1", "b: 3")], [("c: 2", "c: 4")]),
    ("x.json", '{"a":{"b":1,"c":2}}', [('"b":1', '"b":3')], [('"c":2', '"c":4')]),
    # A new key, behind the one that it follows in the fork, with the comments above it.
    (
        "x.toml",
        TOML,
        [('rich = "13"\n', 'rich = "13"\n\n# The fork\'s.\ncarto = "1"\n')],
        [('boto3 = "1"  # aws\n', 'boto3 = "1"  # aws\nmcp = "1"\n')],
    ),
    (
        "x.toml",
        TOML,
        [
            (
                "\n\n[build-system]",
                "\n# The fork's.\n[tool.carto]\nx.y = 1 # one\n\n\n[build-system]",
            )
        ],
        [('name = "pypi"\n', 'name = "pypi"\n[tool.new]\n')],
    ),
    (
        "x.yml",
        YAML_TEXT,
        [("  cache:\n", "  # The fork's.\n  carto: true  # yes\n  cache:\n")],
        [("last:\n", "last:\nmore: 1\n")],
    ),
    (
        "x.json",
        JSON_TEXT,
        [('    "b": {', '    "carto/a.b": {\n        "max": 1\n    },\n    "b": {')],
        [('"last": null', '"last": null,\n    "more": 1')],
    ),
    (
        "requirements/run.txt",
        PINS,
        [("boto3==1.2\n", "boto3==1.2\n\n# The fork's.\nCarto_X==1 # one\n")],
        [("httpx==1.0", "anyio==1\nhttpx==1.0")],
    ),
    # The first key of all, and the last one.
    (
        "x.toml",
        TOML,
        [("# The project.\n", "top = 1\n# The project.\n")],
        [('"13"', "1")],
    ),
    ("x.yaml", "b: 1\nc: 2\n", [("b: 1", "a: 0\nb: 1")], [("c: 2", "c: 3\nd: 4")]),
    ("x.json", '{"b": 1}', [('{"b"', '{"a": 0, "b"')], [("1}", '1, "c": 2}')]),
    ("x.json", '{"b": 1}', [("1}", '1, "c": 2}')], [('{"b"', '{"a": 0, "b"')]),
    # A removed key.
    (
        "x.toml",
        TOML,
        [('boto3 = "1"  # aws\n', "")],
        [('rich = "13"', 'rich = "14"')],
    ),
    ("x.toml", TOML, [('\n[[source]]\nname = "pypi"\n', "")], [('"13"', '"14"')]),
    ("x.yml", YAML_TEXT, [("  key: sk-1\n", "")], [("0x1F", "1")]),
    ("x.yml", "b: [1, 2]\nc: 0\n", [("b: [1, 2]\n", "")], [("c: 0", "c: 1")]),
    ("x.json", JSON_TEXT, [(',\n    "last": null', "")], [("1e-06", "2")]),
    ("x.json", '{"a": 1, "b": 2, "c": 3}', [('"a": 1, ', "")], [("3", "4")]),
    (
        "requirements-dev.txt",
        PINS,
        [("\n# Clouds.\nboto3==1.2", ""), ("-r other.txt\n", "")],
        [("httpx==1.0", "httpx==1.1")],
    ),
    # A list that the fork alone changed, in any way.
    (
        "x.toml",
        TOML,
        [('"core",  # the backend\n    "wheel"', '"wheel"')],
        [('["a", "b"]', '["b"]')],
    ),
    ("x.yml", YAML_TEXT, [("- a\n- b ", "- b\n- {a: 1} ")], [("sk-1", "sk-2")]),
    ("x.json", JSON_TEXT, [('["x", "y"]', '[{"x": 1}]')], [("10", "12")]),
    # A list to which both added items.
    (
        "x.toml",
        TOML,
        [('"core",', '"core",\n    # The fork\'s.\n    "carto>=1",')],
        [('"wheel",', '"wheel",\n    "more",  # than that\n')],
    ),
    ("x.toml", TOML, [('["a"', '["c", "a"')], [('"b"]', '"b", "d"]')]),
    ("x.yml", YAML_TEXT, [("- a\n", "- a\n# c\n- c\n")], [(" second\n", " 2\n- d\n")]),
    (
        "x.yml",
        YAML_TEXT,
        [('"one", two', '"one", "1.5", two')],
        [('"one", two', '"one", two, 1.5')],
    ),
    (
        "x.json",
        JSON_TEXT,
        [('"p",\n', '"p",\n        "r",\n')],
        [('"q"\n', '"q",\n        "s"\n')],
    ),
    ("x.toml", 'a = ["a"]\n', [('"a"]', '"a", "o",]')], [('"a"]', '"t", "a"]')]),
    # Only comments.
    (
        "x.toml",
        TOML,
        [('rich = "13"', '# New.\nrich = "13" # n')],
        [('"1"  # aws', '"2"  # aws')],
    ),
    ("x.yml", YAML_TEXT, [("  key:", "  # New.\n  key:")], [("all of it", "nothing")]),
    ("x.yml", YAML_TEXT, [("last:\n", "last:\n# The end.\n")], [("sk-1", "sk-2")]),
    ("requirements.txt", PINS, [("# Clouds.", "# Clouds!")], [("=1.2", "=1.3  # aws")]),
    ("requirements.txt", PINS, [("mcp==0", "# Old.\nmcp==0")], [("mcp==1 ", "mcp==2 ")]),
    # Only the notation.
    ("x.toml", TOML, [('"litellm"', "'litellm'")], [('"1.0"', '"1.1"')]),
    ("x.yml", YAML_TEXT, [("'redis'", '"redis"')], [("sk-1", "sk-2")]),
    ("x.json", JSON_TEXT, [("1e-06", "0.000001")], [("10", "12")]),
    # Next to a block of text whose lines only look like comments, and one that ends in blank lines.
    (
        "x.yml",
        "a: | # first\n  # x\n\n# b\nb: >+\n  y\n\nc: 1\n",
        [("  # x\n", "  # x\n  # z\n"), ("# b\n", "# B\n")],
        [("  y\n", "  y\n\n"), ("c: 1\n", "c: 1\nd: |-\n  #\n# end\n")],
    ),
    # The comment of a table.
    (
        "x.toml",
        "[a]\nb = 1\nc = 1\n",
        [("[a]", "[a] # A"), ("b = 1", "b = 2")],
        [("c = 1", "c = 2")],
    ),
    # A table with dotted keys; keys with dots in them.
    ("x.toml", "a.b = 1\na.c = 2\n", [("b = 1", "b = 3")], [("c = 2", "c = 4")]),
    ("x.toml", "'a.b' = 1\n\"c=\" = 2\n", [("1", "3")], [("2", "4")]),
    # An array of tables is not taken apart, but its neighbours are.
    (
        "x.toml",
        "[[a]]\nb = 1\n[a.c]\nd = 1\n[[a]]\n[e]\nf = 1\ng = 2\n",
        [("b = 1", "b = 2"), ("f = 1", "f = 3")],
        [("g = 2", "g = 4")],
    ),
]


@pytest.mark.parametrize(("path", "base", "ours", "theirs"), BOTH)
def test_a_merge_contains_both_changes_and_leaves_the_rest_unchanged(
    path: str, base: str, ours: list[Change], theirs: list[Change]
) -> None:
    both = _replaced(base, *theirs)
    try:
        both = _replaced(both, *ours)
    except AssertionError:  # in one line
        both = _replaced(_replaced(base, *ours), *theirs)
    found = named.merge(path, base, _replaced(base, *ours), _replaced(base, *theirs))
    assert found == both


def _settled(path: str, base: str, ours: str, theirs: str) -> list[tuple[str, ...]]:
    """The hunks of a file, each between two `#` lines of the base, and what they become."""
    pieces = [text.split("#\n") for text in (base, ours, theirs)]
    segments: list[Segment] = []
    for old, one, other in zip(*pieces, strict=True):
        same = old == one == other
        mine, before, their = (tuple(lines_of(text)) for text in (one, old, other))
        hunk = Hunk(mine, before, their, 1, ())
        segments += [old if same else hunk, "#\n"]
    texts = Texts(base, ours, theirs)
    wanted = [i for i, x in enumerate(segments) if isinstance(x, Hunk)]
    return [lines for lines, _ in settling.settle(path, texts, segments, wanted)[0].values()]


def test_a_name_that_each_side_adds_in_another_hunk_stays_a_conflict() -> None:
    far = "".join(f"#\ndef f{n}():\n    pass\n\n\n" for n in range(9))
    base = f"def one():\n    pass\n\n\n{far}#\ndef two():\n    pass\n"
    first, last = base.replace("pass", "return 7", 1), base.removesuffix("pass\n") + "return 5\n"
    assert len(_settled("x.py", base, f"def x():\n    a()\n\n\n{last}", first)) == 2
    assert not _settled(
        "x.py", base, f"def x():\n    a()\n\n\n{last}", f"{first}\n\ndef x():\n    b()\n"
    )


def test_comments_about_a_file_do_not_belong_to_what_both_add_below() -> None:
    head, last = "/*\nLicense\n*/\n\n", 'import x from "x";\n'
    ours, theirs = 'import { A } from "a";\n', 'import { B } from "b";\n'
    found = named.merge("x.ts", head + last, head + ours + last, head + theirs + last)
    assert found == head + ours + theirs + last


def test_a_comma_stays_behind_the_comment_that_it_follows() -> None:
    base = "const a = [\n    alpha /* c */,\n    beta,\n    gamma /* d */\n];\n"
    ours, theirs = (
        base.replace("    alpha", "    first,\n    alpha"),
        base.replace("beta", "beta()"),
    )
    assert named.merge("x.ts", base, ours, theirs) == ours.replace("beta", "beta()")


def test_two_changes_inside_one_operand_are_merged() -> None:
    base = "const a = b ? <C d={1} /> : null;\n"
    ours, theirs = base.replace("1}", "1} e={2}"), base.replace("<C ", "<C f={3} ")
    found = named.merge("x.tsx", base, ours, theirs)
    assert found == ours.replace("<C ", "<C f={3} ")
    assert named.merge("x.tsx", base, ours, base.replace("null", "x")) is None


def test_new_methods_whose_names_begin_alike_both_stay() -> None:
    method = "    fun{0}(a: string) {{\n        return go{0}(a);\n    }}\n\n"
    base = "class A {\n" + method.format(1) + method.format(2) + "}\n"
    added = [method.format(1) + method.format(number) for number in (80, 90)]
    sides = [base.replace(method.format(1), text) for text in added]
    both = base.replace(method.format(1), added[0] + method.format(90))
    assert named.merge("x.ts", base, *sides) == both


def test_rules_with_several_selectors_are_definitions() -> None:
    ours, theirs = ".a {\n  top: 0;\n}\n", ".b,\n.c {\n  top: 1px;\n}\n"
    assert named.merge("x.css", ".x {\n}\n", ".x {\n}\n" + ours, ".x {\n}\n" + theirs) == (
        ".x {\n}\n" + ours + theirs
    )


def test_a_member_does_not_depend_on_one_that_the_other_side_removed() -> None:
    base = "interface P {\n    quick?: boolean;\n    choose(a: string): void;\n}\n"
    ours = base.replace("    choose", "    room?: Room;\n    choose")
    theirs = base.replace("    quick?: boolean;\n", "")
    assert named.merge("x.ts", base, ours, theirs) == ours.replace("    quick?: boolean;\n", "")


@pytest.mark.parametrize(("path", "base", "ours", "theirs"), BOTH)
def test_a_change_on_one_side_alone_is_taken(
    path: str, base: str, ours: list[Change], theirs: list[Change]
) -> None:
    fork, upstream = _replaced(base, *ours), _replaced(base, *theirs)
    assert named.merge(path, base, base, upstream) == upstream
    assert named.merge(path, base, fork, base) == fork
    assert named.merge(path, base, fork, fork) == fork


# --- None ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "base", "ours", "theirs"),
    [
        # The format.
        ("x.lua", "a = 1\n", "a = 2\n", "a = 1\nb = 1\n"),
        ("toml", "a = 1\n", "a = 2\n", "b = 1\na = 1\n"),
        ("notes.txt", "a==1\nb==1\n", "a==2\nb==1\n", "a==1\nb==2\n"),
        ("requirements.in", "a==1\nb==1\n", "a==2\nb==1\n", "a==1\nb==2\n"),
        # A text that is not valid.
        ("x.toml", "a = 1\nb = 1\n", "a = 2\nb = 1\n<<<<<<< HEAD\n", "a = 1\nb = 2\n"),
        ("x.yaml", "a: 1\nb: 1\n", "a: [1\nb: 1\n", "a: 1\nb: 2\n"),
        ("requirements.txt", "a==1\nb\n", "a == = 1\nb\n", "a==1\nb==1\n"),
        ("requirements.txt", "a==1\nb\n", "a==1 \\\n  --hash=sha256:00\nb\n", "a==1\nb==1\n"),
        ("requirements.txt", "a==1\nb\n", "a==1 --hash=sha256:00\nb\n", "a==1\nb==1\n"),
        # A key twice, with two values.
        ("x.json", '{"a": 1, "b": 1}', '{"a": 1, "a": 2, "b": 1}', '{"a": 1, "a": 3, "b": 1}'),
        ("x.yaml", "a: 1\n", "a: 1\nb: 2\n", "b: 1\na: 1\n"),
        ("requirements.txt", "a==1\n", "a==1\nB==2\n", "b==1\na==1\n"),
        # A key that both sides changed.
        ("x.toml", "a = 1\n", "a = 2\n", "a = 3\n"),
        ("x.toml", "a = 1\n", "a = true\n", "a = 2\n"),
        ("x.json", '{"a": 1}', '{"a": true}', '{"a": 3}'),
        ("x.yaml", "a: 1\n", "a: '1'\n", "a: 2\n"),
        ("requirements.txt", "a==1\n", "a==2\n", "a==3\n"),
        ("x.json", '{"a": {"b": 1}}', '{"a": {"b": 2}}', '{"a": 1}'),
        # ... added, with another value, even in a table that only the two of them have;
        ("x.toml", "", "a = 1\n", "a = 2\n"),
        ("x.toml", "", "[a]\nb = 1\n", "[a]\nc = 1\n"),
        ("x.json", "{}", '{"a": 1}', '{"a": 1.0}'),
        ("requirements.txt", "", "a==1\n", "A==2\n"),
        ("requirements.txt", "", "a==1\n", "a==1; python_version < '3'\n"),
        # ... or one removed.
        ("x.toml", "a = 1\n", "", "a = 2\n"),
        ("x.yml", "a: 1\nb: 1\n", "a: 2\nb: 1\n", "b: 1\n"),
        ("x.json", '{"a": {"b": 1}}', '{"a": {"b": 2}}', "{}"),
        ("requirements.txt", "a==1\nb\n", "b\n", "a==2\nb\n"),
        ("requirements.txt", "a==1\n", "a==1; python_version < '3'\n", "a==2\n"),
        # A list that both changed: an item removed, moved, repeated, or not a scalar.
        ("x.toml", "a = [1, 2]\n", "a = [1]\n", "a = [1, 2, 3]\n"),
        ("x.toml", "a = [1, 2]\n", "a = [1, 2, 3]\n", "a = [2]\n"),
        ("x.yml", "a: [1, 2]\n", "a: [2, 1]\n", "a: [1, 2, 3]\n"),
        ("x.json", '{"a": [1]}', '{"a": [1, 1]}', '{"a": [1, 2]}'),
        ("x.json", '{"a": [1]}', '{"a": [1, {}]}', '{"a": [1, 2]}'),
        ("x.json", '{"a": [[]]}', '{"a": [[], 1]}', '{"a": [[], 2]}'),
        # ... or the same project in two versions.
        ("x.toml", "a = []\n", 'a = ["x==1"]\n', 'a = ["X>=2"]\n'),
        # A fork comment whose place is gone, or that upstream also changed.
        ("x.toml", "a = 1\nb = 1\n", "# New.\na = 1\nb = 1\n", "b = 1\n"),
        ("x.toml", "# a\na = 1\n", "# b\na = 1\n", "# c\na = 1\n"),
        ("x.toml", "a = 1\n", "a = 2 # b\n", "a = 1 # c\n"),
        ("x.yml", "a: 1\n", "a: 1 # b\n", "a: 1 # c\n"),
        ("x.yml", "a: 1\nb: 1\n", "a: 1 # new\nb: 1\n", "b: 1\n"),
        ("requirements.txt", "a\nb\n", "# New.\na\nb\n", "b\n"),
        ("requirements.txt", "a\n", "a\n# b\n", "a\n# c\n"),
        # ... or an upstream comment that the fork's text lacks.
        ("x.toml", "a = [1]\n", "a = [2]\n", "a = [\n# why\n1]\n"),
        # A place with different indentation.
        (
            "x.json",
            '{\n  "a": 1\n}',
            '{\n  "b": {\n    "c": 1\n  },\n  "a": 1\n}',
            '{\n    "a": 2\n}',
        ),
        ("x.yml", "a:\n  b: 1\n", "a:\n  b: 1\n  c: 1\n", "a:\n   b: 2\n"),
        # Not taken apart: a comma at the start of a line.
        ("x.toml", "a = [1\n, 2]\n", "a = [1\n, 2\n, 3]\n", "a = [0, 1\n, 2]\n"),
        # An entry whose place in upstream's text is no longer in a table of its own.
        ("x.toml", "[a]\nb = 1\n", "[a]\nb = 1\nc = 1\n", "a = { b = 2 }\n"),
        # More than a change of a key: other things a YAML text may say about a node.
        ("x.yml", "a: &a {b: 1}\nc: {<<: *a}\n", "a: &a {b: 1}\nc: 1\n", "a: &a {b: 1}\nc: 2\n"),
        ("x.yml", "a: !!python/object:os.system {}\n", "a: 1\n", "a: 2\n"),
        # Line ends of two kinds, or inside a line.
        ("x.toml", "a = 1\r\nb = 1\n", "a = 1\r\nb = 2\n", "a = 2\r\nb = 1\n"),
        ("x.yml", "a: 1\rb: 1\r", "a: 1\rb: 2\r", "a: 2\rb: 1\r"),
        pytest.param(
            "x.py",
            'def f(host):\n    return f"http://{host}"\n',
            'def f(host):\n    return f"https://{host}"\n',
            'def f(host):\n    return f"http://{host}:8080"\n',
            id="two-changes-in-one-string",
        ),
        pytest.param(
            "x.c",
            "void f(void) {\n    server.paused = OFF;\n}\n",
            "void f(void) {\n    g_server->paused = OFF;\n}\n",
            "void f(void) {\n    server.paused = OFF;\n    server.ends = 0;\n}\n",
            id="what-one-side-renamed-in-what-the-other-added",
        ),
        pytest.param(
            "x.py",
            "def f(b):\n    check(b)\n    return b\n",
            "def f(b):\n    check(b)\n    k = 2\n    return b\n",
            "def f(b):\n    if b:\n        check(b)\n    return b\n",
            id="a-statement-behind-one-that-the-other-side-wrapped",
        ),
        pytest.param(
            "x.c",
            "void f(void) {\n    long long off = 1;\n    x();\n}\n",
            "void f(void) {\n    say(up());\n    x();\n}\n",
            "void f(void) {\n    long long off = 1;\n    long long read = 1;\n    x();\n}\n",
            id="a-declaration-behind-one-that-the-other-side-replaced",
        ),
        pytest.param(
            "x.py",
            "f(first, second)\n",
            "f(first, third, second)\n",
            "f(first)\n",
            id="an-argument-before-one-that-the-other-side-removed",
        ),
        pytest.param(
            "x.py",
            "a = load(x)\n",
            "a = load(x, 1)\n",
            "a = fetch(x)\n",
            id="an-argument-for-what-the-other-side-no-longer-calls",
        ),
        pytest.param(
            "x.tsx",
            "const a = <A b={1} />;\n",
            "const a = <A b={1} c />;\n",
            "const a = <B b={1} />;\n",
            id="an-attribute-of-another-component",
        ),
        pytest.param(
            "x.ts",
            "const a = /x/g;\n",
            "const a = /xy/g;\n",
            "const a = /x/gi;\n",
            id="two-changes-in-one-regular-expression",
        ),
        pytest.param(
            "x.c",
            "void f(void) {\n    if (a) {\n        y(2);\n    }\n}\n",
            "void f(void) {\n    if (a) {\n        y(2);\n        call_me(x);\n    }\n}\n",
            "void f(void) {\n    if (a) {\n        y(2);\n    } else {\n        call_me(x);\n"
            "    }\n}\n",
            id="one-line-that-both-sides-added-at-different-places",
        ),
        # Another form of everything beside what was added.
        (
            "x.json",
            '{"a": ["p/a"], "b": ["p/b"], "c": ["p/c"]}',
            '{"a": ["p/a"], "b": ["p/b"], "new": ["p/n"], "c": ["p/c"]}',
            '{"a": ["./p/a"], "b": ["./p/b"], "c": ["./p/c"]}',
        ),
        # What its format does not allow, or reads otherwise.
        ("x.toml", "[a]\nx = 1\n", "[a]\nx = 1\n\n[b.c]\nz = 2\n", "[a]\nx = 1\n\n[b]\nc.z = 1\n"),
        ("x.toml", "x = 1\n", "x = 1\ny.z = 2\n", "x = 1\ny = 3\n"),
        ("x.yml", "a: 1\n", "a: 1\nb: &x {c: 1}\n", "a: 1\nd: &x {c: 2}\n"),
        (
            "package.json",
            '{"exports": {"node": "n"}}',
            '{"exports": {"node": "n", "default": "d"}}',
            '{"exports": {"node": "n", "import": "i"}}',
        ),
        ("requirements.txt", "a==1\n", "a==1\n-e git+https://x#egg=B_c\n", "a==1\nb-c==1\n"),
    ],
)
def test_an_ambiguous_merge_is_not_made(path: str, base: str, ours: str, theirs: str) -> None:
    assert named.merge(path, base, ours, theirs) is None


@pytest.mark.parametrize("path", ["x.toml", "x.json", "x.yaml", "requirements.txt"])
@pytest.mark.parametrize(
    "text",
    [
        "[\n" * 10_000,
        "{\n" * 10_000,
        "a = " + "[\n" * 10_000 + "]" * 10_000 + "\n",
        "a: " + "[\n" * 10_000 + "]" * 10_000 + "\n",
        '{"a": ' * 10_000 + "1" + "}" * 10_000,
        "a: &a [*a]\n",
        "a0: &a0 [x]\n" + "".join(f"a{n + 1}: &a{n + 1} [*a{n}, *a{n}]\n" for n in range(64)),
        "%YAML 9.9\n---\na: !!int x\n",
        "\0",
        "\ufeff",
        "---\n...\n---\n",
    ],
)
def test_hostile_texts_are_merged_as_they_are_or_not_at_all(path: str, text: str) -> None:
    found = named.merge(path, text, text + "\n# x\n", "# y\n" + text)
    assert found is None or found.rstrip() == f"# y\n{text}\n# x"


@pytest.mark.parametrize("suffix", languages.SUFFIXES)
@pytest.mark.parametrize(
    "text", ["", "\0", "\ufeff\r", "\udcff {", "\u2028\\", ")]}'\"" * 99, "<" * 999]
)
def test_no_text_is_too_odd_for_a_language(suffix: str, text: str) -> None:
    found = named.merge(f"x{suffix}", text, text + "\n\n", text)
    assert found is None or found.rstrip("\n") == text  # the last line end is upstream's
    named.merge(f"x{suffix}", text, f"a\n{text}", f"{text}\nb")


@pytest.mark.parametrize(
    ("path", "text", "value", "other"),
    [
        ("x.toml", "a = {}\nb = nan\nc = 1\n", "1e400", "1e401"),
        ("x.toml", "a = {}\nb = 1e400\nc = 1\n", "nan", "inf"),
        ("x.json", '{{"a": {}, "b": 1e400, "c": 1}}', "1e400", "1e401"),
        ("x.json", '{{"a": {}, "b": 1, "c": 1}}', "9" * 9_999, "8" * 9_999),
        ("x.yml", "a: {}\nb: .nan\nc: 1\n", "9" * 9_999, "8" * 9_999),
    ],
)
def test_numbers_that_python_cannot_represent_are_merged_as_text(
    path: str, text: str, value: str, other: str
) -> None:
    base, ours = text.format(value), text.format(other)
    c = '"c": ' if path == "x.json" else "c = " if path == "x.toml" else "c: "
    found = named.merge(path, base, ours, base.replace(f"{c}1", f"{c}2"))
    assert found == ours.replace(f"{c}1", f"{c}2")


# --- Upstream wins -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "key", "base", "ours", "theirs", "text"),
    [
        ("x.toml", "a.v", "[a]\nv = '1'\n", "[a]\nv = '1+c'\n", "[a]\nv = '2'\n", "[a]\nv = '2'\n"),
        # The comment stays; what upstream did not change, too.
        ("x.toml", "v", "v = 1\n", "v = 3 # fork\n", "v = 2\n", "v = 2 # fork\n"),
        ("x.toml", "v", "v = 1\na = 1\n", "v = 3\na = 1\n", "v = 1\na = 2\n", "v = 3\na = 2\n"),
        ("x.json", "v", '{"v": 1}', "{}", '{"v": 2}', '{"v": 2}'),
        ("x.json", "v", '{"v": 1, "a": 0}', '{"v": 2, "a": 0}', '{"a": 0}', '{"a": 0}'),
        ("x.json", "v", '{"v": {"a": 1}}', '{"v": {"a": 2}}', '{"v": {"b": 1}}', '{"v": {"b": 1}}'),
        ("x.json", "v", '{"v": {}, "a": 1}', '{"v": {"a": 2}, "a": 1}', '{"v": 1}', '{"v": 1}'),
        ("x.yml", "v", "v: {a: 1}\n", "v: {a: 2}\n", "v: {a: 1, b: 1}\n", "v: {a: 1, b: 1}\n"),
        ("x.json", "a.b", '{"a.b": 1}', '{"a.b": 2}', '{"a.b": 3}', None),
        ("x.yml", "v", "v: [1]\n", "v: [2]\n", "v: [3]\n", "v: [3]\n"),
        ("requirements.txt", "v", "V==1\n", "V==2\n", "V==3\n", "V==3\n"),
    ],
)
def test_upstreams_change_wins_at_the_given_keys(
    path: str, key: str, base: str, ours: str, theirs: str, text: str | None
) -> None:
    found = named.merge(path, base, ours, theirs, upstream_keys=[key])
    assert found == text


# --- Line ends, size -----------------------------------------------------------------------------


@pytest.mark.parametrize(("path", "base", "ours", "theirs"), BOTH)
@pytest.mark.parametrize("sides", ["theirs", "ours", "all"])
def test_a_merge_uses_upstreams_line_ends(
    path: str,
    base: str,
    ours: list[Change],
    theirs: list[Change],
    sides: str,
) -> None:
    texts = [base, _replaced(base, *ours), _replaced(base, *theirs)]
    plain = named.merge(path, *texts)
    assert plain
    which = {"theirs": [2], "ours": [1], "all": [0, 1, 2]}[sides]
    ends = [t.replace("\n", "\r\n") if n in which else t for n, t in enumerate(texts)]
    found = named.merge(path, *ends)
    text = plain if sides == "ours" else plain.replace("\n", "\r\n")
    assert found == text


@pytest.mark.parametrize(
    ("path", "base", "ours", "theirs", "text"),
    [
        ("x.toml", "a = 1\nb = 1", "a = 2\nb = 1", "a = 1\nb = 2", "a = 2\nb = 2"),
        ("x.toml", "a = 1", "a = 1\nb = 1", "a = 2", "a = 2\nb = 1"),
        ("x.yml", "a: |\n  x", "a: |\n  x\nb: 1\n", "a: |\n  x\n", "a: |\n  x\nb: 1\n"),
        ("x.json", '{"a": 1}', '{"a": 2}\n', '{"a": 1, "b": 1}', '{"a": 2, "b": 1}'),
        ("requirements.txt", "a", "a\nb", "a==1", "a==1\nb"),
        ("requirements.txt", "", "a\n", "b\n", "a\nb\n"),
    ],
)
def test_the_last_line_end_is_upstreams(
    path: str, base: str, ours: str, theirs: str, text: str
) -> None:
    found = named.merge(path, base, ours, theirs)
    assert found and found == text


def test_lines_that_one_side_removed_and_the_other_respaced_are_removed() -> None:
    base, ours = "[[a]]\nb = 1\n[[a]]\nb = 2\n", "[[a]]\nb = 1\n"
    theirs = base.replace("= 1", "=  1")
    assert named.merge("x.toml", base, ours, theirs) == ours.replace("= 1", "=  1")


def test_a_key_that_a_text_merge_has_left_twice_stays() -> None:
    base = '{\n  "a": 1,\n  "b": 1,\n  "a": 1,\n  "c": 1\n}\n'
    ours = base.replace('"b": 1', '"b": 2')
    theirs = base.replace('"c": 1', '"c": 2')
    found = named.merge("x.json", base, ours, theirs)
    assert found == ours.replace('"c": 1', '"c": 2')
    twice = base.replace('"a": 1', '"a": 2')
    found = named.merge("x.json", base, twice, theirs)
    assert found == twice.replace('"c": 1', '"c": 2')


def test_a_big_json_is_merged() -> None:
    entry = {f"price_{n}": 1e-06 * n for n in range(10)} | {"modes": ["a", "b"]}
    data: dict[str, Any] = {f"model-{n}": entry for n in range(1_000)}
    base = json.dumps(data, indent=4)
    assert base.count("\n") > 15_000
    ours = json.dumps({"carto": entry, **data, "model-9": {**entry, "price_0": 1}}, indent=4)
    theirs = json.dumps({**data, "new": entry, "model-9": {**entry, "price_1": 1}}, indent=4)
    found = named.merge("x.json", base, ours, theirs)
    changed = {**entry, "price_0": 1, "price_1": 1}
    both = {"carto": entry, **data, "model-9": changed, "new": entry}
    assert found == json.dumps(both, indent=4)


# --- Properties ----------------------------------------------------------------------------------

Table = dict[str, Any]
"""Scalars, lists, and tables of these; in one of PINS, scalars alone."""


def _toml(data: Table, above: str = "") -> str:
    """A text with a comment above each key and one after it that name the key."""
    text = ""
    for key, value in sorted(data.items(), key=lambda item: isinstance(item[1], dict)):
        name = f"{above}{key}"
        if isinstance(value, dict):
            text += f"\n# {name}\n[{name}] # of {name}\n{_toml(value, f'{name}.')}"
        else:
            text += f"# {name}\n{key} = {json.dumps(value)}  # of {name}\n"
    return text


def _yaml(data: Table, above: str = "") -> str:
    text, indent = "", "  " * above.count(".")
    for key, value in data.items():
        name = f"{above}{key}"
        text += f"\n{indent}# {name}\n{indent}{key}:"
        if isinstance(value, dict):
            text += f" # of {name}\n{_yaml(value, f'{name}.')}"
        elif isinstance(value, str):
            text += f" |\n{indent}  # {value}\n{indent}  {value}\n"
        elif isinstance(value, list) and value:
            text += f"\n{''.join(f'{indent}- {item} # of {name}{chr(10)}' for item in value)}"
        else:
            text += f" {json.dumps(value)}   # of {name}\n"
    return text


def _pins(data: Table) -> str:
    return "".join(f"\n# {key}\n{key}=={value} # of {key}\n" for key, value in data.items())


def _pinned(text: str) -> Table:
    lines = [line.split(" ")[0].split("==") for line in text.split("\n")]
    return {line[0]: int(line[1]) for line in lines if len(line) == 2}


def _unlit(data: Any) -> Any:
    """The text that _yaml wrote into a block."""
    if isinstance(data, dict):
        return {key: _unlit(value) for key, value in data.items()}
    return data.split("\n")[-2] if isinstance(data, str) else data


FORMS: dict[str, tuple[Any, Any]] = {
    "x.toml": (_toml, tomli.loads),
    "x.yml": (_yaml, lambda text: _unlit(YAML(typ="safe", pure=True).load(text))),
    "indent.json": (lambda data: json.dumps(data, indent=2) + "\n", json.loads),
    "dense.json": (lambda data: json.dumps(data, separators=(",", ":")), json.loads),
    "requirements.txt": (_pins, _pinned),
}
NAMES = "a", "b", "c", "d", "e", "f"
SCALARS = st.integers(0, 99)
LEAVES = SCALARS | st.sampled_from(["x", "y z"]) | st.lists(SCALARS, max_size=3, unique=True)
TABLES = st.dictionaries(st.sampled_from(NAMES), LEAVES, max_size=4)


@st.composite
def _changes(draw: st.DrawFn, path: str) -> tuple[Table, Table, Table, Table]:
    """A base, two sides that touch different keys, and the merge."""
    leaves = SCALARS if path == "requirements.txt" else LEAVES
    inner = SCALARS if path == "requirements.txt" else LEAVES | TABLES
    base: Table = {"top": 0, **draw(st.dictionaries(st.sampled_from(NAMES), inner, max_size=5))}
    for value in base.values():
        if isinstance(value, dict):
            value["keep"] = 0  # so that no table is empty
    sides = [base, base, base]
    for table in [(), *((key,) for key, value in base.items() if isinstance(value, dict))]:
        keys = [*(base[table[0]] if table else base), "new-1", "new-2"]
        for key in keys:
            old = (base[table[0]] if table else base).get(key)
            who, remove = draw(st.sampled_from([0, 1, 2])), draw(st.booleans())
            if key in ("top", "keep") or isinstance(old, dict) or not who:
                continue
            value = None if remove else draw(leaves)
            place = draw(st.integers(0, 9))
            for side in (who, 0):
                sides[side] = _changed(sides[side], (*table, key), value, place)
    return base, sides[1], sides[2], sides[0]


def _changed(data: Table, path: tuple[str, ...], value: Any, place: int) -> Table:
    """The same with another value at a key, or a new key at a place; None removes the key."""
    key, *rest = path
    if rest:
        return {**data, key: _changed(data[key], tuple(rest), value, place)}
    items = [(name, old) for name, old in data.items() if name != key or value is not None]
    if key not in data and value is not None:
        items.insert(place % (len(items) + 1), (key, value))
    return {name: value if name == key else old for name, old in items}


@pytest.mark.parametrize("path", FORMS)
def test_changes_to_different_keys_are_merged(path: str) -> None:
    write, read = FORMS[path]

    @given(_changes(path))
    def merged(changes: tuple[Table, Table, Table, Table]) -> None:
        base, ours, theirs, both = changes
        found = named.merge(path, write(base), write(ours), write(theirs))
        assert found
        assert read(found) == both
        # Each comment, blank line and comma is where it is for these keys in this order.
        assert found == write(read(found))
        assert named.merge(path, write(base), write(base), write(theirs)) == write(theirs)

    merged()


@pytest.mark.parametrize("path", FORMS)
def test_changes_that_only_the_fork_made_are_all_kept(path: str) -> None:
    write, read = FORMS[path]
    note = "\n" if path.endswith(".json") else "# Upstream's.\n"

    @given(_changes(path))
    def merged(changes: tuple[Table, Table, Table, Table]) -> None:
        base, ours, _, _ = changes
        found = named.merge(path, write(base), write(ours), write(base) + note)
        assert found
        assert read(found) == ours and found.endswith(note)

    merged()


PIECES = ["a", "b", "1", "==", " = ", ": ", "\n", "  ", "[", "]", "{", "}", ",", "#", '"', "'", "|"]
PIECES += [
    "- ",
    "&a ",
    "*a",
    "!x ",
    "<<",
    "? ",
    "---\n",
    "%",
    "\\",
    "\r\n",
    "\udcff",
    '"""',
    "é",
    "\t",
]
TEXTS = st.text() | st.lists(st.sampled_from(PIECES), max_size=30).map("".join)


@pytest.mark.parametrize("path", ["x.toml", "x.json", "x.yaml", "requirements.txt"])
def test_merging_any_texts_does_not_crash(path: str) -> None:
    @given(TEXTS, TEXTS, TEXTS, st.sets(st.sampled_from(["a", "b", "a.b", ""])))
    def merged(base: str, ours: str, theirs: str, keys: set[str]) -> None:
        named.merge(path, base, ours, theirs, upstream_keys=keys)
        named.merge(path, base, ours, base, upstream_keys=keys)
        found = named.merge(path, base, base, theirs, upstream_keys=keys)
        assert found in (None, theirs)

    merged()


@pytest.mark.parametrize("texts", [(p, b) for p, b, *_ in BOTH[:4]], ids=lambda texts: texts[0])
def test_merging_cut_and_pasted_texts_does_not_crash(texts: tuple[str, str]) -> None:
    path, base = texts
    places = st.integers(0, len(base))

    @given(*([places] * 6), TEXTS)
    def merged(a: int, b: int, c: int, d: int, e: int, f: int, text: str) -> None:
        ours = base[:a] + text + base[b:]
        theirs = base[:c] + base[d:e] + base[f:]
        named.merge(path, base, ours, theirs)
        found = named.merge(path, base, base, theirs)
        assert found in (None, theirs)

    merged()


# --- What one side adds and the other side has renamed -------------------------------------------

CODE = "".join(f"void f{n}(void) {{ server.n{n} = {n}; }}\n" for n in range(12))
RENAMED = "// The server.\n" + CODE.replace("server.", "g_server->")


@pytest.mark.parametrize(
    ("ours", "added", "needs"),
    [
        (RENAMED, "server.ends = 0;\n", True),
        (RENAMED, "// the server ends\n", True),  # a comment that would be about nothing
        (RENAMED, "ends();\n", False),
        (CODE, "server.ends = 0;\n", False),
        (RENAMED + CODE[:100], "server.ends = 0;\n", False),
    ],
)
def test_an_addition_may_need_what_the_other_side_renamed(
    ours: str, added: str, needs: bool
) -> None:
    texts = Texts(CODE, ours, CODE + added)
    hunk = Hunk(("begins();\n",), (), (added,), 1, ())
    assert gone.needs_what_is_gone("server.c", texts, hunk) is needs


@pytest.mark.parametrize(
    ("added", "needs"),
    [
        ("    client *c = listNodeValue(ln);\n", True),
        ("    int retval = addTo(ln);\n", False),
        ("    struct entry *e = ln->value;\n", True),
        ("    struct entry *e = NULL;\n", False),
        ("    struct info si = {VERSION, id1, id2};\n", True),
        ("    char buf[2] = {0};\n", False),
    ],
)
@pytest.mark.parametrize("labels", [("cpp", "c"), ("c", "cpp")])
def test_lines_for_c_are_left_in_a_file_that_is_cpp_on_the_other_side(
    added: str, needs: bool, labels: tuple[str, str]
) -> None:
    """C++ gives no pointer another type by itself."""
    base = "void f() { use(listNodeValue(ln)); }\n"
    cast = "void f() { use((client*)listNodeValue(ln)); }\n"
    sides = [((), cast), ((added,), base + added)]
    if labels == ("c", "cpp"):
        sides.reverse()
    (ours, one), (theirs, other) = sides
    marks = f"<<<<<<< HEAD:src/a.{labels[0]}\n", f">>>>>>> 1.0:src/a.{labels[1]}\n"
    hunk = Hunk(ours, ("x();\n",), theirs, 1, marks)
    found = gone.needs_what_is_gone("src/a.cpp", Texts(base, one, other), hunk)
    assert found is needs
