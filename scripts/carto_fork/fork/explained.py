"""What is wrong with a policy, in words for the person who wrote it. Pure."""

from __future__ import annotations

import re
from typing import Any

import msgspec


def explained(error: str, kind: type) -> str:
    """msgspec's message about a struct, with the key first and the valid choices last."""
    problem, _, path = error.partition(" - at `$")
    path = path.rstrip("`")
    key = f"key `{path.lstrip('.')}`" if path else "top level"
    text = f"{key}: {problem[0].lower()}{problem[1:]}"
    if "unknown field" in problem or "enum" in problem:
        text += f"; expected one of {', '.join(_valid_at(path, kind))}"
    return text


def _valid_at(path: str, kind: type) -> list[str]:
    """The keys of the table, or the values of the choice, at a path such as ``.rules[0].take``."""
    valid: Any = msgspec.inspect.type_info(kind)
    for step in re.findall(r"\w+|\[[^]]*]", path):
        if step.startswith("["):
            valid = valid.item_type
        else:
            valid = next(field.type for field in valid.fields if field.name == step)
        if isinstance(valid, msgspec.inspect.UnionType):
            valid = next(t for t in valid.types if not isinstance(t, msgspec.inspect.NoneType))
    if isinstance(valid, msgspec.inspect.EnumType):
        return [choice.value for choice in valid.cls]
    return [field.name for field in valid.fields]
