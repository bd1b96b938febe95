"""`fork.init`: write the policy of a fork from what its clone and remotes show."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path
from shlex import quote

from ..fork.fork import Fork, open_fork
from ..fork.policy import POLICY_FILE, load_policy
from ..fork.session import Session
from ..run import files, git
from ..run.errors import Interrupted, Refused, Usage
from ..run.text import printable, toml_value
from . import survey
from .conventions import Guess, Surety
from .survey import Asked

ASKED = ("name", "remotes.upstream", "branches.production", "branches.mirror")
"""The values that `fork.init` asks about on a terminal, unless they are certain."""


def init(s: Session, asked: Asked, output: str, yes: bool) -> None:
    """Write the policy to a new file, and print how sure each value is."""
    _require_names(asked)
    fork = open_fork(s.sh, s.path)
    _require_none(s, fork)
    repository = fork.repository
    draft = git.nearest(repository.home / POLICY_FILE)
    path = Path(output).expanduser() if output else draft
    if path.exists() or path.is_symlink():
        raise Refused(
            f"{path} exists already.", then="edit it, or name another file with --output."
        )
    guesses = survey.guesses(s.sh, repository, asked)
    if sys.stdin.isatty() and not yes and not s.json:
        guesses = survey.guesses(s.sh, repository, _answers(s, asked, guesses))
    text = toml(guesses)
    try:
        load_policy(text, "what this clone shows makes no valid policy")
    except Refused as problem:
        problem.advise("give the right values: --name, --upstream, --production, --mirror.")
        raise
    for guess in guesses:
        style = "" if guess.surety is Surety.CERTAIN else "yellow"
        s.console.say(f"{guess.surety.value:<8} {guess.key}: {_short(guess)}", style)
    if s.sh.dry:
        s.sh.show(files.new_file_command(path, text))
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    if s.json:
        facts = [{**asdict(guess), "surety": guess.surety.value} for guess in guesses]
        s.print_json({"path": str(path), "guesses": facts, "written": not s.sh.dry})
    if not s.sh.dry:
        s.console.say(f"Wrote {path}; nothing else was changed.", "green")
        said = (
            "The values that are not certain are guesses, such as the name and the texts of rules; "
        )
        s.console.say(f"{said}edit them in {path}.")
        if path.absolute() != draft.absolute():
            s.console.next(f"mv -i {quote(str(path))} {quote(str(draft))}")
        else:
            s.console.next(s.command("next"))


def _require_names(asked: Asked) -> None:
    """Raises Usage for an invalid name of a branch, and for values that are not plain text."""
    for option, value in (("name", asked.name), ("upstream", asked.upstream)):
        if not value.isprintable():
            raise Usage(f"--{option} is {printable(value)}.", then="use printable text.")
    for option, branch in (("production", asked.production), ("mirror", asked.mirror)):
        if branch and not re.fullmatch(r"[A-Za-z0-9_][\w./+-]*", branch, re.ASCII):
            problem = f"--{option} is {printable(branch)!r}, which is not a valid branch name here."
            raise Usage(problem, then="use only letters, digits and . _ + - /.")


def _require_none(s: Session, fork: Fork) -> None:
    """Raises Refused if the production branch has a valid policy already."""
    commit = "" if fork.problem or fork.draft else fork.production_commit
    if commit and git.show(s.sh, fork.path, commit, POLICY_FILE) is not None:
        raise Refused(
            f"{fork.policy.branches.production} has a policy already.",
            then=f"edit {POLICY_FILE} there; `fork.config` prints the policy in force.",
        )


def _answers(s: Session, asked: Asked, guesses: list[Guess]) -> Asked:
    """A person's answers to the guesses that matter most; an empty line accepts a guess."""
    s.console.say("Press Enter to accept the value in brackets.")
    for guess in guesses:
        if guess.key not in ASKED or guess.surety is Surety.CERTAIN:
            continue
        value = guess.value["url"] if isinstance(guess.value, dict) else guess.value
        s.console.row("", f"{guess.key} ({guess.surety.value}: {guess.why})")
        try:
            text = input(f"  [{value}] ").strip()
        except (EOFError, KeyboardInterrupt):
            s.console.say()  # the cursor is behind the question
            raise Interrupted(
                "the questions were not all answered.",
                untouched="Nothing was written.",
                then=f"run `{s.again}` again, or with --yes to accept every value in brackets.",
            ) from None
        if text:
            asked = replace(asked, **{guess.key.rpartition(".")[2]: text})
    return asked


def _short(guess: Guess) -> str:
    value = guess.value
    if value is None:
        return guess.why
    if isinstance(value, dict):
        value = value.get("pattern") or value.get("url") or value.get("path") or value["name"]
    elif isinstance(value, list):
        value = ", ".join(value)
    return f"{value} ({guess.why})"


def toml(policy: Iterable[Guess]) -> str:
    """The text of a policy with the guesses, each below a comment that says how sure it is."""
    lines = [
        "# The policy of this fork: everything that is special about it. Comments say how sure",
        "# `fork.init` was of each value; check those that are not certain, then remove them.",
        "",
    ]
    table = ""
    for guess in policy:
        comment = f"# {guess.surety.value}: {printable(guess.why)}"
        if guess.value is None:
            lines += ["", comment]
            continue
        if guess.key in ("tags", "rules", "version_files"):
            rows = [f"{key} = {toml_value(value)}" for key, value in guess.value.items()]
            off = "# " if guess.off else ""
            lines += ["", f"{off}[[{guess.key}]]", comment, *(f"{off}{row}" for row in rows)]
            continue
        above, _, key = guess.key.rpartition(".")
        if above != table:
            lines += ["", f"[{above}]"]
            table = above
        lines += [comment, f"{'# ' if guess.off else ''}{key} = {toml_value(guess.value)}"]
    return "\n".join(lines) + "\n"
