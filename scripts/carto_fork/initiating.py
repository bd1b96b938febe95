"""What `init` does: write the policy of a fork from what can be seen of it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from . import files, git, policy, survey
from .errors import Refused
from .session import Session
from .survey import Asked, Guess, Surety

ASKED = ("name", "remotes.upstream", "branches.production", "branches.mirror")
"""What a person on a terminal is asked, unless it is certain."""


def init(s: Session, asked: Asked, output: str, yes: bool) -> None:
    """Write the policy to a file that is not there yet, and say how sure each value is."""
    git.require_version(s.sh)
    repository = git.open_repository(s.sh, s.path)
    path = Path(output).expanduser() if output else git.nearest(repository.home / policy.FILE_NAME)
    if path.exists() or path.is_symlink():
        raise Refused(
            f"{path} is there already.",
            then="edit it, or name another file with --output.",
        )
    guesses = survey.guesses(s.sh, repository, asked)
    if sys.stdin.isatty() and not yes and not s.json:
        guesses = survey.guesses(s.sh, repository, _answers(s, asked, guesses))
    text = survey.toml(guesses)
    policy.load(text, str(path))
    for guess in guesses:
        style = "" if guess.surety is Surety.CERTAIN else "yellow"
        s.console.row(f"{guess.surety.value:<8} ", f"{guess.key}: {_short(guess)}", style)
    if s.sh.dry:
        s.sh.show(files.new_file_command(path, text))
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    if s.json:
        told = [_facts(guess) for guess in guesses]
        s.print_json({"path": str(path), "guesses": told, "written": not s.sh.dry})
    if not s.sh.dry:
        s.console.say(f"{path} is written; nothing else was changed.", "green")
        s.console.say("Look at what is not certain in it.")
        s.console.row("Next: ", s.command("adopt"))


def _answers(s: Session, asked: Asked, guesses: list[Guess]) -> Asked:
    """What a person says to the guesses that matter most; an empty line agrees."""
    s.console.say("An empty line takes what stands in brackets.")
    for guess in guesses:
        if guess.key not in ASKED or guess.surety is Surety.CERTAIN:
            continue
        value = guess.value["url"] if isinstance(guess.value, dict) else guess.value
        s.console.row("", f"{guess.key} ({guess.surety.value}: {guess.why})")
        if text := input(f"  [{value}] ").strip():
            asked = survey.said(asked, guess.key, text)
    return asked


def _short(guess: Guess) -> str:
    value = guess.value
    if isinstance(value, dict):
        value = value.get("pattern") or value.get("url") or value.get("path") or value["name"]
    elif isinstance(value, list):
        value = ", ".join(value)
    return f"{value} ({guess.why})"


def _facts(guess: Guess) -> dict[str, Any]:
    facts = {"key": guess.key, "value": guess.value}
    return facts | {"surety": guess.surety.value, "why": guess.why}
