"""Lines that both sides added at one place: which can stay, and in what order."""

from __future__ import annotations

import pytest

from carto_fork.merge import additions, settling
from carto_fork.merge.additions import NESTED, ORDERED, RIVAL
from carto_fork.run.text import lines_of


def together(path: str, ours: str, theirs: str, before: str = "", after: str = "") -> str:
    """Both additions as one text, or why not."""
    found = additions.together(path, before, lines_of(ours), lines_of(theirs), after)
    return found if isinstance(found, str) else "".join(found)


STRUCT = "type Payload struct {\n\tRandom Hash\n"
FUNCTION = "void run(void) {\n    start();\n"


@pytest.mark.parametrize(
    ("path", "ours", "theirs", "before", "result"),
    [
        ("a.ts", 'import { A } from "a";\n', 'import { B } from "b";\n', "", "{ours}{theirs}"),
        ("a.c", '#include "z.h"\n', '#include "b.h"\n', '#include "y.h"\n', "{ours}{theirs}"),
        # A sorted list stays one.
        ("a.go", '\t"m/z"\n', '\t"m/b"\n', 'import (\n\t"m/a"\n\t"m/aa"\n', "{theirs}{ours}"),
        ("a.py", '    "z",\n', '    "c",\n', 'NAMES = [\n    "a",\n    "b",\n', "{theirs}{ours}"),
        ("a.go", "func A() {\n\treturn\n}\n\n", "func B() {\n}\n\n", "", "{ours}{theirs}"),
        ("a.c", "void one(int);\n", "int two(void);\n", "", "{ours}{theirs}"),
        ("A.java", "    @A\n    void a() {\n    }\n", "    void b() {\n    }\n", "class A {\n",
         "{ours}{theirs}"),
        ("a.go", "\tNoPool bool\n", "\tRoot *Hash\n", STRUCT, "{ours}{theirs}"),
        # Upstream's lines belong to what is above, the fork's begin something.
        ("a.go", "\n\t// Ours\n\tNoPool bool\n", "\tRoot *Hash\n", STRUCT, "{theirs}{ours}"),
        ("a.tsx", "    a={1}\n", "    b={x.y}\n", "  <Thing\n", "{ours}{theirs}"),
        ("a.h", "#define A (1<<3)\n", "#define B (1<<4)\n", "", "{ours}{theirs}"),
        ("a.c", "    c->a = NULL;\n", "    c->b = 0;\n", FUNCTION, "{ours}{theirs}"),
        ("a.c", "    check();\n", "    int error;\n", FUNCTION, "{ours}{theirs}"),
        ("strings.xml", '  <string name="a">It\'s (</string>\n', '  <string name="b">b</string>\n',
         "<resources>\n", "{ours}{theirs}"),
        ("redis.conf", "\n# Threads\nthreads 2\n", "\n# bio 1\n", "port 1\n", "{ours}{theirs}"),
        (".gitignore", "/a\n", "/b\n", "x\n", "{ours}{theirs}"),
        ("go.sum", "a v1 h1:x=\nb v2 h1:y=\n", "a v1 h1:x=\n", "x\n", "{ours}"),
        ("Makefile", "\n.PHONY: a\na:\n\tx\n", "\n.PHONY: b\nb:\n\ty\n", "all:\n",
         "{ours}{theirs}"),
    ],
)  # fmt: skip
def test_additions_whose_order_cannot_matter_both_stay(
    path: str, ours: str, theirs: str, before: str, result: str
) -> None:
    assert together(path, ours, theirs, before) == result.format(ours=ours, theirs=theirs)


@pytest.mark.parametrize(
    ("path", "ours", "theirs", "before", "why"),
    [
        # An import binds a name, wherever it comes from.
        ("a.py", "from a import x\n", "from b import x\n", "", RIVAL),
        ("a.py", "import a as x\n", "from b import (\n    y as x,\n)\n", "", RIVAL),
        ("a.ts", 'import X from "a";\n', 'import Y, { type X } from "b";\n', "", RIVAL),
        ("a.js", 'const { x } = require("a");\n', 'const { x, y } = require("b");\n', "", RIVAL),
        ("A.java", "import a.b.C;\n", "import d.C;\n", "", RIVAL),
        ("a.rs", "use a::{b, c};\n", "use d::e as c;\n", "", RIVAL),
        ("a.go", '\t"m/a"\n', '\t"n/a/v2"\n', 'import (\n\t"b"\n', RIVAL),
        # Its side effects may depend on what ran before.
        ("a.ts", 'import "./a.css";\n', 'import "./b.css";\n', "", ORDERED),
        ("a.py", "from a import *\n", "from b import *\n", "", ORDERED),
        # The number of a constant without a value depends on its position.
        ("a.go", "\tBlue\n", "\tYellow\n", "const (\n\tRed = iota\n", ORDERED),
        ("a.py", "    a = 1\n", "    b = 2\n", "def f():\n    return 3\n", ORDERED),
        ("a.css", "  color: red;\n", "  color: blue;\n", ".a {\n", RIVAL),
        ("a.css", "  margin-top: 1px;\n", "  margin: 0;\n", ".a {\n", ORDERED),
        ("a.css", "  inset: 0;\n", "  top: 1px;\n", ".a {\n", ORDERED),
        ("a.css", "  border-color: red;\n", "  border-top: 0;\n", ".a {\n", ORDERED),
        # What must come first.
        ("a.py", "from __future__ import annotations\n", "import os\n", "", ORDERED),
        ("a.css", '@import "b";\n', ".x {\n  a: b;\n}\n", "", ORDERED),
        # A statement beside what is run where it is written.
        ("a.py", "setup()\n", "import a\n", "", ORDERED),
        ("a.py", "if MAIN:\n    main()\n", "def f():\n    pass\n", "", ORDERED),
        # The value of a member that has none of its own.
        ("a.py", "    A = auto()\n", "    B = auto()\n", "class X(StrEnum):\n", ORDERED),
        # One name outside of the program.
        ("a.go", '\tA int `json:"x"`\n', '\tB int `json:"x,omitempty"`\n', STRUCT, RIVAL),
        ("requirements.txt", "Foo_x>=1\n", "foo-x==2\n", "", RIVAL),
        # One number, however it is written.
        ("a.h", "#define A 0x08\n", "#define B (1ULL<<3)\n", "", RIVAL),
        ("a.h", "#define A (1<<3|0b1)\n", "#define B 9L\n", "", RIVAL),
        ("a.rs", "const A: u32 = 65_536;\n", "const B: u32 = 0x1_0000u32;\n", "", RIVAL),
        ("a.h", "#define A BIT(12)\n", "#define B 010000\n", "", RIVAL),
        ("a.toml", "[a]\nx = 1\n", "y = 2\n", "[x]\n", NESTED),
    ],
)  # fmt: skip
def test_additions_that_get_in_each_others_way_are_left(
    path: str, ours: str, theirs: str, before: str, why: str
) -> None:
    assert together(path, ours, theirs, before) == why
    assert together(path, theirs, ours, before) == why


def test_the_same_closing_line_may_be_the_first_or_the_last_of_an_addition() -> None:
    ours, theirs = "}\n\nfunc A() {\n\ta()\n", "}\n\nfunc B() {\n\tb()\n"
    assert together("a.go", ours, theirs, "func C() {\n\tc()\n", "}\n") == ours + theirs


def test_blank_lines_between_two_additions_are_not_added_up() -> None:
    assert together("a.py", "import a\n\n", "import b\n\n") == "import a\nimport b\n\n"
    assert together("a.go", "func A() {\n}\n\n", "\nfunc B() {\n}\n") == (
        "func A() {\n}\n\nfunc B() {\n}\n"
    )


@pytest.mark.parametrize(
    ("path", "ours", "theirs", "before", "why"),
    [
        # Across the end of a block, or a changed nesting.
        ("d.h", "#ifdef C\n}\n#endif\n\n", "#ifdef T\nint t(void);\n#endif\n\n", "", NESTED),
        ("d.h", '#ifdef C\nextern "C" {\n#endif\n', "int t(void);\n", "", NESTED),
        ("a.ts", "import a;\n", "    import b;\n", "", NESTED),
        ("a.py", "def a():\n    return 1\n", "    x = 1\n", "", NESTED),
        ("a.rb", "  end\n\n  def a\n    1\n", "    b\n", "  def c\n    c\n", NESTED),
        ("a.c", "} else if (a) {\n    a();\n", "} else if (b) {\n    b();\n", "", NESTED),
        ("a.py", "@cached\n", "def b():\n    return 1\n", "", NESTED),
        ("a.ts", "  a: 1\n", "  b: 2\n", "const x = {\n  c: 3,\n", NESTED),
        ("Dockerfile", "    npm || sleep 5; \\\n", "    npm \\\n", "RUN apk add \\\n", NESTED),
        # Statements, whose order matters.
        ("a.c", "    return 1;\n", "    b = 2;\n", FUNCTION, ORDERED),
        ("a.c", "    unlock(c);\n", "    free(d);\n", FUNCTION, ORDERED),
        ("a.go", "\tstart(c)\n", "\tc.port = 80\n", "func run() {\n", ORDERED),
        ("a.c", "    if (a) return;\n", "    int b = 2;\n", FUNCTION, ORDERED),
        ("a.py", "    a: int,\n", "    b: str,\n", "def f(\n", ORDERED),
        ("a.py", '    "z",\n', '    "c",\n', 'MIDDLEWARE = [\n    "y",\n    "a",\n', ORDERED),
        ("a.ts", "  A,\n", "  B,\n", "enum X {\n", ORDERED),
        ("a.py", "    a: int\n", "    b: str\n", "@dataclass\nclass X:\n", ORDERED),
        ("CHANGELOG.md", "## 2.5.1\n", "## 3.0.1\n", "", ORDERED),
        ("a.tsx", "    {this.time}\n", "    {busy && <Spinner />}\n", "  <div>\n", NESTED),
        (".gitignore", "!/a\n", "/b\n", "x\n", ORDERED),
        # One names what the other adds.
        ("a.py", "LIMIT = 20\n", "MOST = LIMIT\n", "", ORDERED),
        ("a.go", "func A() {\n}\n", "func B() {\n\tA()\n}\n", "", ORDERED),
        # The same name, number or requirement.
        ("s.h", "#define A (1ULL<<39) /* a */\n", "#define B (1ULL<<39)\n", "", RIVAL),
        ("a.proto", "  string a = 7;\n", "  string b = 7;\n", "message M {\n", RIVAL),
        ("a.ts", 'import { A } from "x";\n', 'import { B } from "x";\n', "", RIVAL),
        ("requirements.txt", "httpx==0.28\n", "httpx[http2]>=0.27\n", "", RIVAL),
        ("Gemfile", "gem 'puma', '1'\n", 'gem "puma", git: "x"\n', "", RIVAL),
        ("a.py", "def a(x):\n    return x\n", "def a(y, z):\n    return z\n", "", RIVAL),
        ("Makefile", "lint: a\n\truff\n", "lint: b\n\tmypy\n", "", RIVAL),
        ("strings.xml", '  <string name="a">x</string>\n', '  <string name="a">y</string>\n',
         "<resources>\n", RIVAL),
    ],
)  # fmt: skip
def test_other_additions_are_left_for_a_person(
    path: str, ours: str, theirs: str, before: str, why: str
) -> None:
    assert together(path, ours, theirs, before) == why


@pytest.mark.parametrize("path", ["requirements.txt", "a.py", "a.ts", "a.toml", "a.txt"])
def test_any_file_can_be_asked_for_strings_of_several_lines(path: str) -> None:
    assert not settling.is_in_text(path, "a==1\n= 2\n", "b==2\n", "c\n")


def test_an_addition_may_be_in_a_string_of_several_lines() -> None:
    assert settling.is_in_text("a.py", 's = """\n', "b\n", '"""\n')


def test_no_line_takes_long_to_read() -> None:
    for line in ("int " * 120, "a(" * 240, '"' * 499, "a, " * 160, "x\t*" * 160):
        together("a.c", f"{line}\n", f"{line}x;\n", f"{line * 50}\n")


def test_two_recipes_of_one_new_target_are_not_made_one() -> None:
    ours, theirs = ("lint:\n", "\truff check\n"), ("lint:\n", "\tflake8\n")
    assert additions.joined("Makefile", "all:\n\tx\n", ours, theirs, "") is None
    ours, theirs = ("# ours\n", "A = 1\n"), ("# ours\n", "B = 2\n")
    twice = additions.joined("go.sum", "", ("a\n", "b\n", "c\n"), ("b\n",), "")
    assert twice == ("a\n", "b\n", "c\n")
    assert additions.joined("Makefile", "", ours, theirs, "") == (*ours, theirs[1])
