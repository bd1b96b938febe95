"""What a merge broke: files that no longer parse, undefined names, imports that lead nowhere."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from carto_fork.audit import soundness
from carto_fork.audit.soundness import Problem, can_report, dangerous_triggers, problems
from carto_fork.merge import named
from carto_fork.run import text


@dataclass(frozen=True)
class Files:
    """A literal snapshot; None is a file that is not text."""

    files: Mapping[str, str | None]

    @property
    def paths(self) -> Collection[str]:
        return self.files.keys()

    def text(self, path: str) -> str | None:
        return self.files.get(path)

    def version(self, path: str) -> str:
        return repr(self.files[path]) if path in self.files else ""


Tree = Mapping[str, str | None]


def broken(
    result: Tree, *sides: Tree, changed: Sequence[str] | None = None, search: bool = False
) -> list[tuple[str, str, int, str]]:
    """The problems in files that differ from each side; search: also in files that import them."""
    differing = [p for p in result if all(side.get(p, "-") != result[p] for side in sides)]
    found = problems(
        differing if changed is None else changed,
        Files(result),
        [Files(side) for side in sides],
        deleted=sorted({path for side in sides for path in side} - set(result)),
        importers=(
            lambda names, paths: {p for p in paths if any(n in (result[p] or "") for n in names)}
        )
        if search
        else None,
    )
    return [(found.check, found.path, found.line, found.what) for found in found]


def one(path: str, result: str, *sides: str | None) -> list[tuple[str, int, str]]:
    """The problems in one file; a side that is None lacks the file."""
    trees = [{} if side is None else {path: side} for side in sides]
    return [(check, line, what) for check, _, line, what in broken({path: result}, *trees)]


# --- Syntax --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "ours", "theirs", "result", "line"),
    [
        ("a.py", "x = 1\n", "y = 1\n", "x = 1\ny = (\n", 2),
        ("a.py", "x = 1\n", "y = 1\n", "<<<<<<< HEAD\nx = 1\n", 1),
        ("a.py", "def f():\n    return 1\n", "x = 1\n", "def f():\nreturn 1\n", 2),
        ("a.py", "def f(a): ...\n", "def f(b): ...\n", "x = 1\ndef f(a, a): ...\n", 2),
        ("a.py", "def f():\n    return 1\n", "x = 1\n", "x = 1\nreturn 1\n", 2),
        ("a.py", "from __future__ import annotations\n", "x = 1\n",
         "x = 1\nfrom __future__ import annotations\n", 2),
        ("a.toml", "[a]\nx = 1\n", "[a]\ny = 1\n", "[a]\nx = 1\ny = 1\nx = 2\n", 4),
        ("a.toml", "[a]\nx = 1\n", "[b]\n", "[a]\nx = 1\n[b]\n[a]\n", 4),
        ("a.toml", "x = 1\n", "y = 1\n", "x = 1\ny = [\n", 3),
        ("a.json", '{"a": 1}\n', '{"b": 1}\n', '{"a": 1,\n "b": 1,}\n', 2),
        ("a.json", '{"a": 1}\n', '{"b": 1}\n', '{"a": 1\n"b": 1}\n', 2),
        ("a.yaml", "a:\n  b: 1\n", "a:\n  c: 1\n", "a:\n  b: 1\n c: 1\n", 3),
        ("a.yml", "a: &x 1\nb: *x\n", "b: 1\n", "b: *x\n", 1),
        ("a.yml", "a: 1\n", "b: 1\n", "a:\n\tb: 1\n", 2),
    ],
)  # fmt: skip
def test_a_file_that_no_longer_parses_is_reported(
    path: str, ours: str, theirs: str, result: str, line: int
) -> None:
    [(check, at, what)] = one(path, result, ours, theirs)
    assert (check, at) == ("syntax", line)
    assert what
    assert one(path, result, ours, None) == one(path, result, None, None) != []
    assert one(path, result, result, theirs) == one(path, result + "\n", ours, result) == []


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("a.py", "x = '\\d'\nx is 1\nassert (1, 2)\n"),
        ("a.py", "\ufeffx = 1\r\n\x0cy = 2\r\n"),
        ("a.py", "# coding: latin-1\nx = '\udce9'\n"),
        ("a.py", ""),
        ("a.pyi", "x = (\n"),
        ("a.lock", "[a\n"),
        ("a.toml", "x = '''\r\n1'''\r\n"),
        ("a.json", '\ufeff{"a": 1, "b": {"a": 2}}'),
        ("a.py", "x = {1: 1, '1': 2, id(1): 3, id(1): 4}\ny = 1\ny = y + 1\n"),
        ("a.py", "def f():\n    z = 1\n    z = 2\n"),
        ("a.py", "from a import overload as x, overload\n@overload\ndef f(): ...\ndef f(): ...\n"),
        ("a.py", "if 1:\n    y = 1\nelse:\n    y = 2\n"),
        ("a.py", "@property\ndef f(self): ...\n@f.setter\ndef f(self, v): ...\n"),
        ("Makefile", "a: b\na: c\n\tx\nb: A = 1\nb: A = 2\nB ?= 1\nB = 2\n.PHONY: a\n.PHONY: b\n"),
        ("Makefile", "ifdef X\na:\n\tx\nC = 1\nelse\na:\n\ty\nC = 2\nendif\nc::\n\tx\nc::\n\ty\n"),
        (".env", "A=1\n#A=2\nB=A=1\n"),
        ("a.ini", "[a]\nx = 1\n  y = 2\n  y = 2\n# x = 1\n[b]\nx = 1\n"),
        ("requirements.txt", "a; python_version < '3.9'\na; python_version >= '3.9'\n-r b\n# a\n"),
        ("requirements.txt", "git+https://x/a\ngit+https://x/b\nhttps://x/c\nhttps://x/d\n"),
        ("a.properties", "a\\:b=1\na\\:c=1\n"),
        ("a.py", "import b.c\nimport a\nimport b.d\nimport a\nprint(*a, *a, **b, **b)\n"),
        ("a.yml", "x: !reference [a, b]\ny: !Sub {a: 1}\n"),
        ("a.yml", "a: 1\n---\na: 2\n--- \n"),
        ("a.yml", "a: &x {b: 1}\nc: {<<: *x, b: 2, <<: *x}\nd: &x 1\ne: {1: a, '1': b}\n"),
        ("a.yml", "? [a]\n: 1\n? [a]\n: 2\n"),
        ("a.yml", "on: push\ntrue: 1\n"),
        ("a.yml", "# nothing\n"),
    ],
)
def test_a_sound_file_is_not_reported(
    path: str, text: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert one(path, text, "") == []
    assert capfd.readouterr() == ("", "")


TWICE = [
    ("a.yml", "a: 1\n", "b: 1\n", "a: 1\nb: 1\na: 2\n", 3, "key 'a'"),
    ("a.yml", "a: 1\n", "b: 1\n", "---\nx: 1\n---\na: 1\na: 1\n", 5, "key 'a'"),
    ("a.json", '{"a": 1}', '{"b": {}}', '{"a": 1,\n"b": {"a": 1},\n"b":\n{"a": 3}}', 3, "key 'b'"),
    ("a.py", "x = {'a': 1}\n", "x = {}\n", "x = {\n'a': 1,\n'b': 2,\n'a': 3}\n", 4, "key 'a'"),
    ("a.py", "def f(): ...\n", "x = 1\n", "def f(): ...\ndef f(): ...\n", 2, "definition of 'f'"),
    ("a.py", "A = 1\n", "x = 1\n", "A = 1\nx = 1\nA: int = 2\n", 3, "value of 'A'"),
    ("a.py", "class A:\n    x = 1\n", "", "class A:\n    x = 1\n    x = 2\n", 3, "value of 'x'"),
    ("Makefile", "a: b\n\tx\n", "c:\n\tx\n", "a: b\n\tx\nc a:\n\ty\n", 3, "target 'a'"),
    ("x.mk", "A = 1\n", "B = 1\n", "A = 1\nB = 1\nA := 2\n", 3, "value of 'A'"),
    (".env.example", "A=1\n", "B=1\n", "A=1\nB=1\nexport A=2\n", 3, "name 'A'"),
    (
        "a.py",
        "from a import x\n",
        "from b import x\n",
        "from a import x\nfrom b import x\n",
        2,
        "import of 'x'",
    ),
    ("a.py", "f(a=1)\n", "f(a=2)\n", "f(a=1,\n  a=2)\n", 2, "argument 'a'"),
    ("a.py", "x = {A: 1}\n", "x = {A: 2}\n", "x = {A: 1,\n  A: 2}\n", 2, "key A"),
    ("a.cfg", "[a]\nx = 1\n", "[a]\nx = 2\n", "[a]\nx = 1\ny = 1\nx = 2\n", 4, "key 'x' in [a]"),
    ("requirements/dev.txt", "a_b\n", "A-b>=1\n", "a_b\nc\nA-b>=1\n", 3, "requirement 'a-b'"),
]


@pytest.mark.parametrize(("path", "ours", "theirs", "result", "line", "what"), TWICE)
def test_a_duplicate_that_neither_side_had_is_reported(
    path: str, ours: str, theirs: str, result: str, line: int, what: str
) -> None:
    assert one(path, result, ours, theirs) == [("duplicate", line, f"{what} twice")]
    assert one(path, result + "\n", ours, result) == []


@pytest.mark.parametrize(
    ("path", "never"),
    [
        ("a.py", "print 'x'\n"),
        ("a.py", "def f(a, a): ...\n"),
        ("a.toml", "[[\n"),
        ("a.json", "// with a comment\n{}\n"),
        ("a.yaml", "{{- if .Values.x }}\na: 1\n{{- end }}\n"),
        ("a.yaml", "a: 1\na: 2\n"),
    ],
)
def test_a_file_that_never_parsed_is_not_reported(path: str, never: str) -> None:
    for good in ("", "{}\n"):
        assert one(path, f"{never}\n", never, good) == one(path, f"{never}\n", good, never) == []
    assert one(path, f"{never}\n", "0", None) == [] or path != "a.toml"


def test_nothing_is_reported_if_a_side_is_not_text() -> None:
    assert broken({"a.py": "x = (\n"}, {"a.py": "x = 1\n"}, {"a.py": None}) == []
    assert broken({"a.py": None}, {"a.py": "x = 1\n"}) == []


def test_a_side_that_does_not_parse_hides_what_is_undefined_there() -> None:
    assert one("a.py", "x\n", "x = 1\n", "print 'x'\n") == []
    assert one("a.py", "x\n", "x = 1\n", "y = 1\n") != []


# --- Names ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ours", "theirs", "result", "found"),
    [
        # Each side keeps one of two imports of the same name, and the merge keeps neither.
        ("import json\nimport os\nx = json.dumps(os.sep)\n", "import os\nimport json\nx = json\n",
         "import os\nx = json.dumps(os.sep)\n", [(2, "undefined name 'json'")]),
        ("def f():\n    a = 1\n    return a\n", "def f():\n    return 2\n",
         "def f():\n    return a\n", [(2, "undefined name 'a'")]),
        # Once per name, at its first use.
        ("x = 1\n", "y = 1\n", "def f(): return y, x\ndef g(): return x\n",
         [(1, "undefined name 'y'"), (1, "undefined name 'x'")]),
        # Undefined on one side, and on both.
        ("x\n", "x = 1\n", "\nx\n", []),
        ("x\n", "y\nx\n", "y\nx\nx\n", []),
        ("x\n", "x\n", "x\ny\n", [(2, "undefined name 'y'")]),
        # What __all__ lists.
        ("__all__ = ['f', 'g']\ndef f(): ...\ndef g(): ...\n", "__all__ = ['f']\ndef f(): ...\n",
         "__all__ = ['f', 'g']\ndef f(): ...\n", [(1, "undefined name in __all__: 'g'")]),
        # A local name used before assignment.
        ("x = 1\ndef f():\n    return x\n", "x = 1\ndef f():\n    x = 2\n",
         "x = 1\ndef f():\n    print(x)\n    x = 2\n",
         [(3, "local variable used before it is assigned: 'x'")]),
        # In a string annotation, or a type comment.
        ("from a import T\nx: 'T'\n", "from a import T\n", "x: 'T'\n", [(1, "undefined name 'T'")]),
        ("x = 1  # type: T\n", "y = 1\n", "x = 1  # type: S\n", []),
        # A star import may define anything; its loss is noticed.
        ("from a import *\nx\n", "y = 1\n", "from a import *\nx\ny\n", []),
        ("from a import *\nx\n", "y = 1\n", "x\ny = 1\n", [(1, "undefined name 'x'")]),
        # Style does not matter.
        ("import a\n", "import b\n", "import a\nimport b\nimport a\nx = f''\n'%s' % (1, 2)\n", []),
        ("x = 1\n", "y = 1\n", 'def f():\n    """\n    >>> no.such\n    """\n', []),
        # Guarded.
        ("x = 1\n", "y = 1\n", "try:\n    unicode\nexcept NameError:\n    unicode = str\n", []),
        ("x = 1\n", "y = 1\n", "if 0:\n    def f(): ...\nelse:\n    def f(): ...\nf()\n", []),
    ],
)  # fmt: skip
def test_a_name_that_the_merge_left_undefined_is_reported(
    ours: str, theirs: str, result: str, found: list[tuple[int, str]]
) -> None:
    assert [(line, what) for _, line, what in one("a.py", result, ours, theirs)] == found
    assert {check for check, _, _ in one("a.py", result, ours, theirs)} <= {"name"}


def test_the_name_of_a_package_init_is_known() -> None:
    text = "x = __path__\n__all__ = ['sub']\n"
    assert broken({"p/__init__.py": text}, {"p/__init__.py": ""}) == []
    assert one("p/mod.py", text, "") != []


# --- Imports -------------------------------------------------------------------------------------

MODULE = """\
import os.path
import json as j
from a import b as c, d
from __future__ import annotations
(one, [two, *three]), four = five = 1, 2
six: int = 6
six += 1
seven.attribute = 1
for eight in (): nine = 9
with open(x) as ten: ...
while x:
    eleven = 11
else:
    twelve = 12
try:
    def thirteen(): inner = 0
except E as fourteen:
    class fifteen: member = 0
finally:
    async def sixteen(): global outer; outer = 1
if (seventeen := 1):
    pass
match x:
    case {"a": eighteen, **nineteen}: pass
    case [twenty, *twentyone]: pass
f = lambda hidden: (hidden2 := 1)
"""
BOUND = (
    "os j c d annotations one two three four five six eight nine ten eleven twelve thirteen "
    "fourteen fifteen sixteen seventeen eighteen nineteen twenty twentyone f"
)
UNBOUND = "path json b seven attribute inner member outer hidden hidden2 x"


@pytest.mark.parametrize("name", BOUND.split())
def test_an_import_of_a_bound_name_is_not_reported(name: str) -> None:
    good = {"a.py": f"from m import {name}\n", "m.py": MODULE}
    assert broken(good, {**good, "a.py": ""}) == []


@pytest.mark.parametrize("name", UNBOUND.split())
def test_an_import_of_an_unbound_name_is_reported(name: str) -> None:
    files = {"a.py": f"from m import {name}\n", "m.py": MODULE}
    assert broken(files, {**files, "a.py": ""}) == [
        ("import", "a.py", 1, f"from m import {name}: no such name in the module")
    ]


@pytest.mark.parametrize(
    ("statement", "files", "found"),
    [
        # Modules, packages, packages without __init__.py, below the root and elsewhere.
        ("import m", ["m.py"], ""),
        ("import p", ["p/__init__.py"], ""),
        ("import p.q.r as s", ["p/__init__.py", "p/q/r.py"], ""),
        ("import p.q.s", ["p/__init__.py", "p/q/r.py"], "import p.q.s: no such module"),
        ("from p import q, r", ["p/q.py", "p/r/__init__.py"], ""),
        ("from p import q", ["p/r.py"], "from p import q: no such name in the module"),
        ("from p.x import q", ["p/q.py"], "from p.x import q: no such module"),
        ("from p.q import *", ["p/q.py"], ""),
        ("from p.r import *", ["p/q.py"], "from p.r import *: no such module"),
        ("import p.q", ["src/p/q.py"], ""),
        ("import p.r", ["src/p/q.py"], "import p.r: no such module"),
        ("import p.q", ["more/p/__init__.py", "more/p/q.py"], ""),
        ("import p.r", ["more/p/__init__.py", "more/p/q.py"], "import p.r: no such module"),
        ("import p.r", ["p/q.py", "more/p/__init__.py", "more/p/r.py"], ""),
        ("import q.x", ["p/__init__.py", "p/q/__init__.py"], ""),
        # Out of the repository, or not Python.
        ("import requests.x, os.nothing", ["m.py"], ""),
        ("from docs import x", ["docs/x.md"], ""),
        # Relative.
        ("from . import m", ["m.py"], ""),
        ("from . import n", ["m.py"], "from . import n: no such name in the module"),
        ("from .p.q import r", ["p/q/r.py"], ""),
        ("from .p.q import s", ["p/q/r.py"], "from .p.q import s: no such name in the module"),
        ("from .x import s", ["p/q/r.py"], "from .x import s: no such module"),
        ("from .. import m", ["m.py"], "from .. import m: no such module"),
        # Wherever it is, unless its failure is expected.
        ("def f():\n    class C:\n        import p.x", ["p/q.py"], "import p.x: no such module"),
        ("try:\n    import p.x\nexcept ImportError:\n    import p.y", ["p/q.py"], ""),
        ("try:\n    import p.x\nexcept (A, builtins.ModuleNotFoundError): ...", ["p/q.py"], ""),
        ("try:\n    if 1:\n        import p.x\nexcept: ...", ["p/q.py"], ""),
        ("try:\n    import p.x\nexcept Exception as e: ...", ["p/q.py"], ""),
        ("with suppress(ImportError):\n    import p.x", ["p/q.py"], ""),
        ("async def f():\n    async with raises(ImportError):\n        import p.x", ["p/q.py"], ""),
        ("try:\n    import p.x\nexcept KeyError: ...", ["p/q.py"], "import p.x: no such module"),
        ("try: ...\nexcept ImportError: ...\nelse:\n    import p.x", ["p/q.py"],
         "import p.x: no such module"),
        ("if TYPE_CHECKING:\n    import p.x", ["p/q.py"], "import p.x: no such module"),
        ("match 1:\n    case 1:\n        import p.x", ["p/q.py"], "import p.x: no such module"),
    ],
)  # fmt: skip
def test_an_import_is_reported_if_its_module_does_not_exist(
    statement: str, files: list[str], found: str
) -> None:
    head = "suppress = raises = print\nimport builtins\nTYPE_CHECKING = A = 0\n"
    before: Tree = {"a.py": "", **dict.fromkeys(files, "")}
    result = {**before, "a.py": head + statement + "\n"}
    assert [what for *_, what in broken(result, before)] == ([found] if found else [])


@pytest.mark.parametrize(
    ("path", "statement", "good"),
    [
        ("p/q/a.py", "from . import b", True),
        ("p/q/a.py", "from .b import x", True),
        ("p/q/a.py", "from .. import c", True),
        ("p/q/a.py", "from ..c import x", True),
        ("p/q/a.py", "from .. import x", True),
        ("p/q/a.py", "from ..b import x", False),
        ("p/q/__init__.py", "from . import b", True),
        ("p/q/__init__.py", "from .. import b", False),
        ("p/__init__.py", "from .q import b", True),
        ("p/q/a.py", "from .... import c", False),
    ],
)
def test_relative_imports_start_where_the_file_is(path: str, statement: str, good: bool) -> None:
    tree = {"p/__init__.py": "x = 1\n", "p/q/__init__.py": "", "p/q/a.py": ""}
    tree |= {"p/q/b.py": "x = 1\n", "p/c.py": "x = 1\n"}
    assert (broken({**tree, path: tree[path] + statement + "\n"}, tree) == []) is good


def test_a_module_with_a_byte_order_mark_is_read() -> None:
    tree = {"m.py": "\ufeffif 1:\n    x = '\udce9'\n", "a.py": ""}
    assert broken({**tree, "a.py": "from m import x\n"}, tree) == []
    assert broken({**tree, "a.py": "from m import y\n"}, tree) != []


@pytest.mark.parametrize(
    "module",
    [
        "from x import *\n",
        "def __getattr__(name): ...\n",
        "if 1:\n    __getattr__ = print\n",
        "this is no Python\n",
        "x = " + "-" * 50_000 + "1\n",
        "\0",
        None,
    ],
)
def test_an_import_from_a_module_that_may_bind_any_name_is_not_reported(module: str | None) -> None:
    tree: Tree = {"m.py": module, "a.py": ""}
    assert broken({**tree, "a.py": "from m import x\n"}, tree) == []


OLD = {"lib/old.py": "def helper(): ...\ndef other(): ...\n", "lib/new.py": ""}
NEW = {"lib/old.py": "def other(): ...\n", "lib/new.py": "def helper(): ...\n"}
USER = "from lib.old import helper\nhelper()\n"
FINDING = ("import", "own.py", 1, "from lib.old import helper: no such name in the module")


def test_an_import_from_the_old_place_of_a_moved_function_is_reported() -> None:
    ours, theirs = {**OLD, "own.py": USER}, {**NEW, "own.py": "# nothing\n"}
    assert broken({**NEW, "own.py": f"# nothing\n{USER}"}, ours, theirs) == [
        ("import", "own.py", 2, "from lib.old import helper: no such name in the module")
    ]
    # The fork's own file, unchanged: found if the caller asks about it.
    result = {**NEW, "own.py": USER}
    assert broken(result, ours, NEW) == []
    assert broken(result, ours, NEW, changed=["own.py"]) == [FINDING]


def test_an_importer_of_a_name_lost_in_the_merge_is_reported() -> None:
    ours = {**OLD, "own.py": USER, "lib/x.py": "y = 1\n"}
    merged = {**ours, **NEW, "lib/old.py": "def other(): ...\n# merged\n"}
    assert broken(merged, ours, NEW) == []
    assert broken(merged, ours, NEW, search=True) == [FINDING]
    # On a side that never had the name, a file never used it.
    both = {**NEW, "own.py": USER}
    assert broken(merged, ours, both, search=True) == []


@pytest.mark.parametrize(
    ("gone", "statement", "found"),
    [
        ("lib/old.py", "from lib.old import helper", "no such module"),
        ("lib/old.py", "from lib import old", "no such name in the module"),
        ("lib/old.py", "import lib.old", "no such module"),
        ("lib/old/__init__.py", "import lib.old", "no such module"),
        ("old.py", "import old", "no such module"),
        ("old/x.py", "from old import x", "no such module"),
    ],
)
def test_an_importer_of_a_removed_module_is_reported(gone: str, statement: str, found: str) -> None:
    ours = {gone: "def helper(): ...\n", "lib/new.py": "", "own.py": f"\n{statement}\n"}
    result = {path: text for path, text in ours.items() if path != gone}
    theirs = {"lib/new.py": ""}
    assert broken(result, ours, theirs) == []
    finding = [("import", "own.py", 2, f"{statement}: {found}")]
    assert broken(result, ours, theirs, search=True) == finding
    assert broken(result, ours, theirs, changed=["own.py"]) == finding
    # A package can replace a module.
    moved = {**result, gone.replace(".py", "/__init__.py"): "def helper(): ...\n"}
    assert broken(moved, ours, theirs, search=True) == []


def test_an_import_of_a_removed_package_is_reported() -> None:
    ours = {"p/q/r.py": "", "a.py": "import p.q\n"}
    assert len(broken({"p/s.py": "", "a.py": "import p.q\n"}, ours, changed=["a.py"])) == 1
    assert len(broken({"a.py": "import p.q\n"}, ours, changed=["a.py"])) == 1
    # Also in a file of another name.
    assert len(broken({"b.py": "import p.q\n"}, ours)) == 1
    assert broken({"b.py": "import p.q\n"}, {"a.py": "import p.q\n"}) == []


def test_an_import_that_failed_before_the_merge_is_not_reported() -> None:
    ours = {"m.py": "", "a.py": "from m import x\n"}
    for theirs in ({"m.py": "x = 1\n"}, {"m.py": "", "a.py": "y = 1\n"}):
        assert broken({"m.py": "", "a.py": "from m import x\ny = 1\n"}, ours, theirs) == []
    # It worked in the fork, and fails with upstream's version of the module.
    good = {**ours, "m.py": "x = 1\n"}
    result = {"m.py": "", "a.py": "from m import x\ny = 1\n"}
    assert len(broken(result, good, {"m.py": ""})) == 1
    # It works with neither of two modules, and worked with one.
    both = {"m.py": "y = 1\n", "a.py": "from m import x\n"}
    assert broken({**result, "m.py": "z = 1\n"}, good, both) == []
    # Nobody can know whether it was there before.
    assert broken(result, {**result, "a.py": "print 'x'\n"}) == []
    # Two sides' own imports, of what neither of the two modules kept.
    assert len(broken({**result, "m.py": "\n"}, good, {"m.py": "y = 1\n", "a.py": ""})) == 1


def test_what_a_side_has_under_another_name_is_not_new() -> None:
    """Neither a name that only its program defines as a builtin, nor an import that leads
    nowhere."""
    fork = "from .gone import lost\nx = _('a')\n"
    ours, theirs = Files({"old/a.py": fork}), Files({"new/a.py": "x = 1\n"})
    result = Files({"new/a.py": fork})
    assert len(problems(["new/a.py"], result, [ours, theirs])) == 2
    old = {0: "old/a.py"}
    assert not problems(
        ["new/a.py"], result, [ours, theirs], name_on=lambda side, path: old.get(side, path)
    )


def test_a_file_is_checked_only_once() -> None:
    ours = {**OLD, "own.py": USER}
    result = {**NEW, "own.py": USER, "lib/old.py": "other = 1\n"}
    found = broken(result, ours, NEW, changed=["own.py", "lib/old.py", "own.py"], search=True)
    assert found == [FINDING]


def test_the_importers_function_may_return_unknown_paths() -> None:
    ours, result = Files({**OLD, "own.py": USER}), Files({**NEW, "own.py": None})
    strange = {"own.py", "gone.py", "", "README.md"}
    assert problems(["lib/old.py"], result, [ours], importers=lambda *_: strange) == []


# --- Triggers ------------------------------------------------------------------------------------

CI = ".github/workflows/ci.yml"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("on: pull_request_target\n", {"pull_request_target": 1}),
        ("name: x\non: [push, issues, workflow_run]\n", {"issues": 2, "workflow_run": 2}),
        ("on:\n  push:\n  workflow_run:\n    workflows: [x]\n", {"workflow_run": 3}),
        ("on:\n- push\n- issue_comment\n", {"issue_comment": 3}),
        ("'on':\n  discussion:\n  fork:\n", {"discussion": 2, "fork": 3}),
        ('{"on": {"issues": {"types": ["opened"]}}}', {"issues": 1}),
        ("ON: Pull_Request_Target\n", {"pull_request_target": 1}),
        ("x: &x [issues]\non: *x\n", {"issues": 1}),
        ("on: !!str issues\n", {"issues": 1}),
        ("x: &x 1\ny: &x 2\non: issues\n", {"issues": 3}),
        ("a: 1\n---\non: issues\n", {"issues": 3}),
        ("on: issues\non: push\n", {"issues": 1}),
        ("on: {push: , pull_request: , schedule: [{cron: '0 0 * * *'}], workflow_dispatch: }", {}),
        ("on: push\njobs:\n  on: issues\n  x:\n    on: {issues: }\n", {}),
        ("on: &x [*x]\n", {}),
        ("on:\n", {}),
        ("- on: issues\n", {}),
        ("", {}),
    ],
)  # fmt: skip
def test_workflow_triggers_that_strangers_can_start_are_reported(
    text: str, found: dict[str, int]
) -> None:
    expected = [
        Problem("trigger", CI, line, f"strangers can start it: on {event}")
        for event, line in found.items()
    ]
    result = Files({CI: text})
    assert dangerous_triggers([CI], result, Files({})) == expected
    assert dangerous_triggers([CI], result, Files({CI: "on: push\n"})) == expected
    assert dangerous_triggers([CI], result, Files({CI: text + "# more\n"})) == []
    assert dangerous_triggers([CI], Files({}), result) == []


@pytest.mark.parametrize("text", ["on: [issues\n", "on: \0", "? " * 5_000, "#" * 300_000, None])
def test_unreadable_workflow_triggers_are_reported(text: str | None) -> None:
    found = [Problem("trigger", CI, 0, "its triggers cannot be read")]
    assert dangerous_triggers([CI], Files({CI: text}), Files({CI: "on: issues\n"})) == found


# --- Hostile and unusual texts -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("a.py", "x = " + "1+" * 50_000 + "1\n"),
        ("a.py", "x" + ".a" * 5_000 + "\n"),
        ("a.py", "x = " + "not " * 50_000 + "1\n"),
        ("a.py", "if 1: ...\n" + "elif 1: ...\n" * 20_000),
        ("a.py", "x: '\\0'\ny: '\\ud800'\n"),
        ("a.py", "x = 1\0"),
        ("a.toml", "x = " + "[" * 50_000),
        ("a.toml", "x = " + "1" * 10_000),
        ("a.json", "[" * 200_000),
        ("a.json", "1" * 10_000),
        ("a.yml", "? " * 5_000),
        ("a.yml", "x: 1\n\0"),
    ],
)
def test_a_file_that_cannot_be_parsed_safely_is_not_reported(
    path: str, text: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert one(path, text, "") == []
    assert one(path, "", text) == []
    assert capfd.readouterr() == ("", "")


def test_aliases_are_not_expanded() -> None:
    levels = [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]\n" for n in range(1, 30)]
    bomb = "l0: &l0 [x]\n" + "".join(levels) + "? *l29\n: 1\n? *l29\n: 2\non: [*l29]\n"
    assert one("a.yml", bomb, "") == []
    assert dangerous_triggers([CI], Files({CI: bomb}), Files({})) == []


def test_large_files_are_checked_within_ten_seconds() -> None:
    function = (
        "def f{0}(a, b=None):\n    c = [a + x for x in b if x]\n    return f(c, a.b['x'])\n\n"
    )
    large = "from lib import f\n" + "".join(map(function.format, range(750)))
    ours: dict[str, str] = {f"p/m{n}.py": large for n in range(5)}
    result = {path: f"{text}x{path[3]} = 1\n" for path, text in ours.items()}
    started = time.process_time()
    assert broken(result, ours, {**ours, "lib.py": "f = 1\n"}) == []
    assert time.process_time() - started < 10  # about 0.5 s


LINES = """\
import m;from . import x;from m import *;def f():;    x;{;};[a];,;try:;except ImportError:;"a": 1
a: &x 1;- *x;? a;on:;\t;x = \'\'\';__all__ = ['y'];\0;%YAML 1.1;---;!t;'\\d';x: '\\ud800';\r;\ud800
async def g(): yield;return;lambda: (yield);class C: x;del x;global x"""
lines = st.sampled_from(LINES.replace("\n", ";").split(";"))
hostile = st.text(st.characters(), max_size=80) | st.lists(lines, max_size=12).map("\n".join)
names = st.sampled_from(
    ["a.py", "m.py", "p/__init__.py", "p/m.py", "a.toml", "a.json", "a.yml", CI, "x", "p\udcff/.py"]
)
trees = st.dictionaries(names, st.none() | hostile, max_size=5)


@given(trees, st.lists(trees, max_size=3), st.lists(names), st.lists(names))
@example({"a.py": "x: '\ud800'"}, [{"a.py": ""}], ["a.py"], [])
@example({"a.py": "x: '\\0'"}, [{"a.py": ""}], ["a.py"], [])
def test_any_trees_can_be_checked_without_an_error(
    result: Tree, sides: list[Tree], changed: list[str], deleted: list[str]
) -> None:
    snapshots = [Files(side) for side in sides]
    found = problems(
        changed, Files(result), snapshots, deleted=deleted, importers=lambda *_: set(result)
    )
    assert all(problem.path in result and problem.line >= 0 for problem in found)
    for snapshot in snapshots:
        dangerous_triggers([*result, *changed], Files(result), snapshot)
        # A side itself is sound.
        assert problems(list(snapshot.paths), snapshot, snapshots) == []
        assert {p.what for p in dangerous_triggers(list(snapshot.paths), snapshot, snapshot)} <= {
            "its triggers cannot be read"
        }


def test_the_pyflakes_messages_that_we_reword_exist() -> None:
    from pyflakes import messages

    assert [name for name in soundness._REPORTED if not hasattr(messages, name)] == []


def test_new_paths_that_some_systems_cannot_have_are_reported() -> None:
    """https://github.com/open-mpi/hwloc/issues/441,
    https://github.com/duckduckgo/tracker-radar/issues/5,
    https://github.com/Unstructured-IO/unstructured/issues/4249"""
    before = {"README.md", "a.py", "con.md", "Old.txt"}
    new = {"Readme.md", "w/aux.py", "w/a:b", "w/dir./x", "w/com1", "w/console.py", "old.TXT"}
    found = soundness.awkward((before - {"Old.txt"}) | new, before)
    assert [(path, why.partition(" ")[0]) for path, why in found] == [
        ("Readme.md", "macOS"),
        ("w/a:b", "Windows"),
        ("w/aux.py", "Windows"),
        ("w/com1", "Windows"),
        ("w/dir./x", "Windows"),
    ]


def test_a_name_that_git_invented_is_found() -> None:
    """https://github.com/E3SM-Project/E3SM/pull/2883"""
    result = {"a", "a~HEAD", "b~theirs", "c~", "d~HEAD", "e~x"}
    assert soundness.invented(result, {"a", "d~HEAD"}, {"b", "c"}) == ["a~HEAD", "b~theirs"]


def test_a_submodule_that_gitmodules_does_not_name_is_found() -> None:
    """https://github.com/libretro/RetroArch/issues/2987, https://github.com/wbailey/kata/issues/10"""
    tree = dict.fromkeys(("lib/a", "lib/b", 'lib/"c"'), ("160000", "1")) | {"d": ("100644", "2")}
    modules = '[submodule "b"]\n\tpath = lib/b\n\turl = ../d\n[submodule "e"]\n\tpath = "e"\n'
    assert soundness.unmapped(tree, modules) == {"lib/a", 'lib/"c"'}


@pytest.mark.parametrize(
    ("path", "piece"),
    [("x.py", "a\n"), ("x.toml", "[[a]]\n"), ("x.json", '{"a":'), ("x.yaml", "- ")],
)
def test_no_parser_sees_a_text_that_is_too_long(
    path: str, piece: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every parser has some bug with long texts; a person is told which file it is."""
    monkeypatch.setattr(text, "_PARSED", dict.fromkeys((".py", ".toml", ".json", ".yaml"), 50))
    long, broken_ = piece * 51, {"x.py": "(", "x.toml": "=", "x.json": "[", "x.yaml": "["}[path]
    what = "too long to be parsed: check yourself whether it is sound"
    assert one(path, long, "1\n", "2\n") == [("size", 0, what)]
    assert one(path, broken_, long, long) == []
    assert named.merge(path, long, f"{long} ", f"{long}\n") is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("jobs:\n  a:\n    name: Tests\n    steps: [{name: Guard}]\n", False),
        ("permissions: {contents: write, checks: read}\njobs: {a: {}}\n", False),
        ("jobs:\n  guard: {}\n", True),
        ('"jobs":\n  a:\n    "name": "\\x47uard "\n', True),
        ("jobs:\n  a:\n    name: ${{ matrix.name }}\n", True),
        ("x: &x {name: Guard}\njobs: {a: *x}\n", True),
        ("x: &x {name: Guard}\njobs: {a: {<<: *x}}\n", True),
        ("permissions: write-all\njobs: {a: {}}\n", True),
        ("jobs: {a: {permissions: {statuses: write}}}\n", True),
        ("jobs: [\n", True),
    ],
)
def test_a_workflow_that_can_report_the_check_is_noticed(text: str, expected: bool) -> None:
    assert can_report(text, "Guard") is expected
