"""Mutants of a module: one change each, by one of cosmic-ray's operators at one place.

tests/mutants.py draws from them.
"""

from __future__ import annotations

import ast
import difflib
import io
import re
import tokenize
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names

# Those with arguments replace and insert variables that somebody has to name.
OPERATORS = [name for name in sorted(operator_names()) if not get_operator(name).arguments()]


@dataclass(frozen=True)
class Mutant:
    """One change at one place. `row` and `number`, which counts the operator's places in the module
    as cosmic-ray does, find it in this version of the code; the others in any version:
    `occurrence` counts the operator's places on lines with this very text."""

    module: str
    operator: str
    text: str
    occurrence: int
    row: int
    number: int

    @property
    def identity(self) -> tuple[str, str, int]:
        """What it is, in whatever module."""
        return self.operator, self.text, self.occurrence


class Source:
    """A module: its text, and what its lines are."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.text = path.read_text(encoding="utf-8")
        self.lines = self.text.split("\n")
        self._nodes = list(ast.walk(ast.parse(self.text)))

    @cached_property
    def inside(self) -> frozenset[int]:
        """The lines inside functions."""
        kinds = ast.FunctionDef | ast.AsyncFunctionDef
        functions = (node for node in self._nodes if isinstance(node, kinds))
        spans = (range(f.body[0].lineno, (f.end_lineno or 0) + 1) for f in functions)
        return frozenset(row for span in spans for row in span)

    @cached_property
    def imported(self) -> frozenset[str]:
        """Every name that an import of this module has in it."""
        imports = (n for n in self._nodes if isinstance(n, ast.Import | ast.ImportFrom))
        return frozenset(word for n in imports for word in re.findall(r"\w+", ast.unparse(n)))

    @cached_property
    def statements(self) -> dict[int, range]:
        """The rows of the logical line that each row belongs to."""
        found: dict[int, range] = {}
        first = 0
        for token in tokenize.generate_tokens(io.StringIO(self.text).readline):
            if token.type == tokenize.NEWLINE:
                span = range(first, token.end[0] + 1)
                found.update(dict.fromkeys(span, span))
                first = 0
            elif token.string.strip() and token.type != tokenize.COMMENT:
                first = first or token.start[0]
        return found

    @cached_property
    def mutants(self) -> list[Mutant]:
        """One for each place of each operator where a run can notice it."""
        found = []
        nodes = [node for node in ast_nodes(get_ast(self.text)) if node.type != "name"]
        unseen = list(self._unseen())
        for operator in OPERATORS:
            positions = get_operator(operator)().mutation_positions
            places = [(node, start) for node in nodes for start, _ in positions(node)]
            seen: Counter[str] = Counter()
            for number, (node, start) in enumerate(places):
                text = self.lines[start[0] - 1]
                # A lone * or / among parameters is no operator.
                if node.parent.type != "parameters" and not any(a <= start < b for a, b in unseen):
                    mutant = Mutant(self.path.stem, operator, text, seen[text], start[0], number)
                    found.append(mutant)
                seen[text] += 1
        return found

    def _unseen(self) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
        """Where annotations are, and what is for a type checker alone."""
        for node in self._nodes:
            parts = [getattr(node, name, None) for name in ("annotation", "returns")]
            if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
                parts.append(node)
            for p in filter(None, parts):
                yield (p.lineno, p.col_offset), (p.end_lineno, p.end_col_offset)

    @cache  # noqa: B019  # a source lives as long as the program
    def mutated(self, mutant: Mutant) -> str | None:
        """The module's text with the change; None if that is not Python, or changes nothing."""
        text: str | None = mutate_code(self.text, get_operator(mutant.operator)(), mutant.number)
        if text is None or text == self.text:
            return None
        try:
            compile(text, self.path, "exec")
        except SyntaxError:
            return None
        return text

    def diff(self, text: str) -> str:
        name, after = self.path.name, text.split("\n")
        return "\n".join(difflib.unified_diff(self.lines, after, name, name, n=2, lineterm=""))
