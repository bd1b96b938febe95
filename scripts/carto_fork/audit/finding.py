"""What a check of a merge found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Finding:
    """Something about a merge that a person should know.

    check: the check that found it. what: the finding, for a person.
    certain: whether it is definitely wrong; otherwise it is only worth a look.
    paths: all files that it is about, if they are more than `path`.
    between: the commits whose difference in these files it is about; "" if it is about the result.
    """

    check: str
    what: str
    path: str = ""
    certain: bool = True
    paths: tuple[str, ...] = ()
    between: tuple[str, str] = ("", "")

    def as_json(self) -> dict[str, Any]:
        """Plain data for ``--json``."""
        fields = ("check", "what", "path", "certain")
        return {field: getattr(self, field) for field in fields}
