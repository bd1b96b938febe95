"""The merge by name in every language: a hunk gets both sides' changes, or it is left."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from carto_fork.merge import gone, languages, named, settling, trees
from carto_fork.merge.hunks import Hunk, Segment, Texts
from carto_fork.run.text import lines_of

# By name: the base, the fork's text, upstream's text and the merge of both.
MERGED: dict[str, tuple[str, str, str, str]] = {
    "a return type and a method above.ts": (
        "class A {\n  render(): Old {\n    a();\n  }\n}\n",
        "class A {\n  wheel() {\n    w();\n  }\n\n  render(): Old {\n    a();\n  }\n}\n",
        "class A {\n  render(): New {\n    a();\n  }\n}\n",
        "class A {\n  wheel() {\n    w();\n  }\n\n  render(): New {\n    a();\n  }\n}\n",
    ),
    "names out of one module.ts": (
        'import A, { b } from "m";\n',
        'import A, { b } from "m";\nimport { c } from "n";\n',
        'import A, { b, d } from "m";\n',
        'import A, { b, d } from "m";\nimport { c } from "n";\n',
    ),
    "attributes of an element.tsx": (
        "const x = <A on={a} quick={true} />;\n",
        "const x = <A on={a} quick={true} room={room} />;\n",
        "const x = <A on={a} />;\n",
        "const x = <A on={a} room={room} />;\n",
    ),
    "arguments that one side wraps.py": (
        "x = call(one, the.two)\n",
        "x = call(\n    one,\n    the.two,\n    three=3,\n)\n",
        "x = call(one, the.two())\n",
        "x = call(\n    one,\n    the.two(),\n    three=3,\n)\n",
    ),
    "statements beside each other.py": (
        "def f():\n    a = 1\n    return a\n",
        "def f():\n    log()\n    a = 1\n    return a\n",
        "def f():\n    a = 2\n    return a\n",
        "def f():\n    log()\n    a = 2\n    return a\n",
    ),
    "fields of a struct.go": (
        "package a\n\ntype S struct {\n\tA int\n}\n",
        "package a\n\ntype S struct {\n\tA int\n\tOurs bool\n}\n",
        "package a\n\ntype S struct {\n\tA int64\n}\n",
        "package a\n\ntype S struct {\n\tA int64\n\tOurs bool\n}\n",
    ),
    "imports.java": (
        "import a.B;\n\nclass C {\n}\n",
        "import a.B;\nimport ours.X;\n\nclass C {\n}\n",
        "import a.D;\nimport a.B;\n\nclass C {\n}\n",
        "import a.D;\nimport a.B;\nimport ours.X;\n\nclass C {\n}\n",
    ),
    "members of a class.kt": (
        "import a.B\n\nclass C {\n    fun f(x: Int) = B(x)\n}\n",
        "import a.B\nimport my.X\n\nclass C {\n    fun f(x: Int) = B(x)\n    fun our() = X()\n}\n",
        "import a.B\n\nclass C {\n    fun f(x: Long) = B(x)\n}\n",
        "import a.B\nimport my.X\n\nclass C {\n    fun f(x: Long) = B(x)\n    fun our() = X()\n}\n",
    ),
    "methods of a class.rb": (
        "class C\n  def a(x)\n    f(x: 1)\n  end\nend\n",
        "class C\n  def a(x)\n    f(x: 1, ours: 2)\n  end\n\n  def ours\n    1\n  end\nend\n",
        "class C\n  def a(x)\n    f(x: 3)\n  end\nend\n",
        "class C\n  def a(x)\n    f(x: 3, ours: 2)\n  end\n\n  def ours\n    1\n  end\nend\n",
    ),
    "arms of a match.rs": (
        "fn f() {\n    match x {\n        1 => a(),\n    }\n}\n",
        "fn f() {\n    match x {\n        1 => a(),\n        2 => b(),\n    }\n}\n",
        "fn f() {\n    match x {\n        1 => c(),\n    }\n}\n",
        "fn f() {\n    match x {\n        1 => c(),\n        2 => b(),\n    }\n}\n",
    ),
    "includes.c": (
        '#include "a.h"\nint f(void);\n',
        '#include "a.h"\n#include "ours.h"\nint f(void);\n',
        '#include "b.h"\n#include "a.h"\nlong f(void);\n',
        '#include "b.h"\n#include "a.h"\n#include "ours.h"\nlong f(void);\n',
    ),
    "members of a class.cpp": (
        "class C {\npublic:\n  int a;\n};\n",
        "class C {\npublic:\n  int a;\n  void ours();\n};\n",
        "class C {\npublic:\n  long a;\n};\n",
        "class C {\npublic:\n  long a;\n  void ours();\n};\n",
    ),
    "properties of a rule.pcss": (
        ".a {\n  padding: $old 0;\n  border: 8px;\n}\n",
        ".a {\n  padding: $old 0;\n  border: $ours;\n}\n",
        ".a {\n  padding: var(--new) 0;\n  border: 8px;\n}\n",
        ".a {\n  padding: var(--new) 0;\n  border: $ours;\n}\n",
    ),
}

LEFT: dict[str, tuple[str, str, str]] = {
    "two changes of one condition.ts": (
        "x = a && (b || c);\n",
        "x = a && (d || b || c);\n",
        "x = e && a && (b || c);\n",
    ),
    "what one side says in another way now.tsx": (
        "y = <A off={no(emoji.unicode)} />;\n",
        "y = <A off={no(unicodeOf(emoji))} />;\n",
        "y = <A off={no(emoji.unicode)} id={hex(emoji.unicode)} />;\n",
    ),
    "a note about what the other side changed.go": (
        "package a\n\nfunc f() {\n\tg(1)\n}\n",
        "package a\n\nfunc f() {\n\t//nolint:check\n\tg(1)\n}\n",
        "package a\n\nfunc f() {\n\tg(2)\n}\n",
    ),
    "a name that nothing gives any more.py": (
        "from a import b\n\nx = 1\n",
        "from a import b\n\nx = b()\n",
        "\nx = 1\ny = 2\n",
    ),
    "statements that both added.py": (
        "def f():\n    a()\n",
        "def f():\n    a()\n    lock(x)\n",
        "def f():\n    a()\n    free(y)\n",
    ),
    "one name that both gave.ts": (
        "class A {\n}\n",
        "class A {\n  x() {\n    return 1;\n  }\n}\n",
        "class A {\n  x() {\n    return 2;\n  }\n}\n",
    ),
    "each took out something else.ts": ("a();\nb();\nc();\n", "c();\n", "b();\nc();\n"),
    "one changed what the other took out.ts": ("a(1);\nc();\n", "c();\nd();\n", "a(2);\nc();\n"),
    "arms that overlap.rs": (
        "fn f() {\n  match x {\n    1 => a(),\n    _ => b(),\n  }\n}\n",
        "fn f() {\n  match x {\n    1 => a(),\n    2..=9 => 2,\n    _ => b(),\n  }\n}\n",
        "fn f() {\n  match x {\n    1 => a(),\n    5 => 5,\n    _ => b(),\n  }\n}\n",
    ),
    "arguments by position.kt": ("f(a)\n", "f(a, b)\n", "f(a, c)\n"),
    "callbacks in an order.rb": (
        "class C\n  before_action :a\nend\n",
        "class C\n  before_action :a\n  before_action :b\nend\n",
        "class C\n  before_action :a\n  before_action :c\nend\n",
    ),
    "items of a list.py": ("x = [a]\n", "x = [a, b]\n", "x = [a, c]\n"),
}


@pytest.mark.parametrize("path", MERGED)
def test_both_changes_are_in_the_merge_whichever_side_is_whose(path: str) -> None:
    base, ours, theirs, both = MERGED[path]
    assert named.merge(path, base, ours, theirs) == both
    assert named.merge(path, base, theirs, ours) == both


@pytest.mark.parametrize("path", LEFT)
def test_changes_that_may_affect_each_other_are_left(path: str) -> None:
    base, ours, theirs = LEFT[path]
    assert named.merge(path, base, ours, theirs) is None
    assert named.merge(path, base, theirs, ours) is None


def test_what_depends_on_another_hunk_is_left() -> None:
    """Until that hunk is decided, nobody knows whether the statement is inside the condition."""
    one = Hunk(("if ours:\n",), ("if base:\n",), ("\n",), 1, ())
    other = Hunk(
        ("    do_something_with(all_of_it)\n", "    log_it()\n"),
        ("    do_something_with(all_of_it)\n",),
        ("do_something_with(all_of_it)\n",),
        7,
        (),
    )
    sides = (
        "".join(line for h in (one, other) for line in getattr(h, side) or ())
        for side in ("base", "ours", "theirs")
    )
    assert settling.settle("f.py", Texts(*sides), [one, other], [0, 1]) == ({}, "")


def test_a_name_like_those_that_upstream_renamed_is_left() -> None:
    """The fork's new name is probably renamed, too."""
    base = "f(\n    Old_dark,\n    Old_black,\n)\n"
    ours = "f(\n    Old_light,\n    Old_dark,\n    Old_black,\n)\n"
    for theirs, is_settled in (
        ("f(\n    New_dark,\n    New_black,\n)\n", False),
        ("f(\n    Old_dark,\n    New_black,\n)\n", True),
    ):
        hunk = Hunk((ours,), (base,), (theirs,), 1, ())
        settled, _ = settling.settle("f.kt", Texts(base, ours, theirs), [hunk], [0])
        assert bool(settled) == is_settled


def test_what_an_import_of_everything_gave_is_gone_with_it() -> None:
    """The fork's new line uses a name of which nothing shows where it comes from."""
    base = "import views.*\n\nfun f() {\n    show(first)\n}\n"
    ours = base.replace("    show(first)\n", "    show(first)\n    show(second)\n")
    own = ours.replace("    show(second)\n", "    val second = g()\n    show(second)\n")
    theirs = "import b.Binding\n\nfun f() {\n    show(binding.first)\n}\n"
    kept = base.replace("first", "views.first")
    for one, other, is_settled in ((ours, theirs, False), (own, theirs, True), (ours, kept, True)):
        top = other.split("{\n")[0] + "{\n"
        mine, before, upstreams = (
            tuple(lines_of(text.split("{\n")[1].removesuffix("}\n"))) for text in (one, base, other)
        )
        hunk = Hunk(mine, before, upstreams, 4, ())
        settled, _ = settling.settle("f.kt", Texts(base, one, other), [top, hunk, "}\n"], [1])
        assert bool(settled) == is_settled, (one, other)


def test_a_part_that_nobody_removed_on_purpose_is_not_lost() -> None:
    base, ours, theirs, _ = MERGED["attributes of an element.tsx"]
    hunk = Hunk((theirs,), (base,), (ours,), 1, ())
    texts = Texts(base, theirs, ours)
    assert settling.settle("f.tsx", texts, [hunk], [0], lambda text: True)[0]
    assert not settling.settle("f.tsx", texts, [hunk], [0], lambda text: False)[0]


ALIKE = [
    ("a.py", "x = call(one, 'two')\n", 'x = call(\n    one,\n    "two",\n)\n'),
    ("a.py", "return_(a and b)\n", "return_(\n    (a and b)\n)\n"),
    ("a.py", "from m import b, a\nimport os\n", "import os\nfrom m import (\n    a,\n    b,\n)\n"),
    ("a.ts", "f({ a: 1, b: 'x' });\n", 'f({\n    a: 1,\n    b: "x",\n});\n'),
    ("a.ts", 'import { b, a } from "m";\n', "import {\n    a,\n    b,\n} from 'm';\n"),
    ("a.go", "package a\n\nvar x = f(a, b)\n", "package a\n\nvar x = f(\n\ta,\n\tb,\n)\n"),
    ("a.json", '{"a": [1, 2]}\n', '{\n  "a": [\n    1,\n    2\n  ]\n}\n'),
]
OTHER = [
    ("a.py", "if a:\n    b()\n    c()\n", "if a:\n    b()\nc()\n"),
    ("a.py", "x = (a)\n", "x = (a,)\n"),
    ("a.py", "x[1]\n", "x[1,]\n"),
    ("a.py", "x = 'a\\n'\n", "x = 'a\\t'\n"),
    ("a.py", "x = b'a'\n", "x = 'a'\n"),
    ("a.py", "x = a - (b - c)\n", "x = a - b - c\n"),
    ("a.py", "x = 1  # one\n", "x = 1\n"),
    ("a.py", "f(a, b)\n", "f(b, a)\n"),
    ("a.py", "from a import *\nfrom b import *\n", "from b import *\nfrom a import *\n"),
    ("a.ts", 'import "./a.css";\nimport "./b.css";\n', 'import "./b.css";\nimport "./a.css";\n'),
    ("a.ts", "x = [,];\n", "x = [];\n"),
    ("a.tsx", "x = <a>b c</a>;\n", "x = <a>bc</a>;\n"),
    ("a.ts", "x = `a`;\n", "x = `a `;\n"),
]


@pytest.mark.parametrize(("path", "one", "other"), [*ALIKE, *OTHER])
def test_texts_are_alike_if_they_differ_only_in_form(path: str, one: str, other: str) -> None:
    language = languages.language_of(path)
    assert language
    roots = [trees.Tree(language, text.encode()).root for text in (one, other)]
    for a, b in (roots, roots[::-1]):
        assert trees.are_alike(a, b, language) == ((path, one, other) in ALIKE)


@pytest.mark.parametrize(("path", "one", "other"), ALIKE[:1])
def test_if_one_side_changed_only_the_form_the_others_text_stays(
    path: str, one: str, other: str
) -> None:
    new = one.replace("one", "new")
    for base, ours, theirs, lines in (
        (one, other, new, new),
        (one, new, other, new),
        (new, one, other, other),
    ):
        mine, old, others = (tuple(lines_of(text)) for text in (ours, base, theirs))
        hunk = Hunk(mine, old, others, 1, ())
        found, _ = settling.settle(path, Texts(base, ours, theirs), [hunk], [0])
        assert found == {0: (tuple(lines_of(lines)), settling.FORM)}


PIECES = st.sampled_from(["", "x", "new();\n", "x: 1,\n", "}\n", "{", "\n", "  ", "#", "y = 1\n"])


@st.composite
def _edited(draw: st.DrawFn, lines: list[str]) -> tuple[str, ...]:
    """Lines after up to three edits."""
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(lines)))
        gone = draw(st.integers(0, 2))
        new = draw(PIECES | st.sampled_from(lines or [""]))
        lines = lines_of("".join([*lines[:at], new, *lines[at + gone :]]))
    return tuple(lines)


@pytest.mark.parametrize("path", MERGED)
def test_a_hunk_becomes_what_parses_and_nothing_else_is_touched(path: str) -> None:
    language = languages.language_of(path)
    assert language
    text = MERGED[path][3]
    lines = lines_of(text)

    @given(st.data())
    def merged(data: st.DataObject) -> None:
        start = data.draw(st.integers(0, len(lines)))
        stop = data.draw(st.integers(start, len(lines)))
        ours, theirs = (data.draw(_edited(lines[start:stop])) for _ in range(2))
        before, after = "".join(lines[:start]), "".join(lines[stop:])
        hunk = Hunk(ours, tuple(lines[start:stop]), theirs, 1, ())
        assume(len({ours, hunk.base, theirs}) == 3)
        segments: list[Segment] = [before, hunk, after]
        texts = Texts(text, before + "".join(ours) + after, before + "".join(theirs) + after)
        found, _ = settling.settle(path, texts, segments, [1])
        if 1 in found:
            result = (before + "".join(found[1][0]) + after).encode()
            sides = [trees.Tree(language, x.encode()) for x in (text, texts.ours, texts.theirs)]
            assert trees.is_sound(sides, trees.Tree(language, result), is_python=False)

    merged()


_PAGE = """import React from "react";
import {
  A,
  B as C,
} from "./x";
import type { T } from "./t";
export function f(p: T) { return <A c={C} B="x">{React.x}</A>; }
"""
_GO = 'package a\nimport (\n\t"io"\n)\nfunc f() { ctx.Do(fmt.Sprint(1)); io.X() }\n'


@pytest.mark.parametrize(
    ("path", "text", "side", "names"),
    [
        ("a.tsx", _PAGE, _PAGE, []),
        ("a.tsx", _PAGE.replace("  A,\n", ""), _PAGE, ["A"]),
        ("a.tsx", _PAGE.replace("  B as C,\n", ""), _PAGE, ["C"]),
        ("a.tsx", _PAGE.replace('import type { T } from "./t";\n', ""), _PAGE, ["T"]),
        ("a.tsx", _PAGE.replace("  A,\n", "").replace("export", "const A = 1;\nexport"), _PAGE, []),
        ("a.go", _GO, _GO.replace('"io"', '"io"\n\t"fmt"\n\tctx "a/b"'), ["ctx", "fmt"]),
        ("a.go", _GO.replace("{ ctx", "{ fmt := 1; ctx"), _GO.replace('"io"', '"fmt"'), []),
        ("a.java", "class A { List<X> a; }", "import java.util.List;\nclass A {}", ["List"]),
        ("a.kt", "class A { val a: List<X>? = null }", "import a.b.List\nclass A {}", ["List"]),
        ("a.py", "print(os)\n", "import os\n", []),
    ],
)
def test_what_is_used_and_no_longer_imported(
    path: str, text: str, side: str, names: list[str]
) -> None:
    assert [name for name, _ in gone.no_longer_imported(path, text, [side, side])] == names
