"""The parts of the documents that are made from the program itself.

A document holds each part between two comment lines, ``<!-- generated: NAME -->`` and
``<!-- end of generated -->``. `python -m carto_fork.docs` brings them up to date; a test fails
where they are not.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

from . import github, images, policy, procedures, rulebook
from .errors import ExitCode
from .policy import Images, Policy
from .shell import command_line, fill
from .steps import Step

DOCUMENTS = ("README.md", "CARTO_CLAUDE.md", "docs/exit-codes.md")

_BLOCK = re.compile(r"(<!-- generated: ([\w-]+) -->\n).*?(<!-- end of generated -->)", re.DOTALL)


def renewed(text: str) -> str:
    """A document with every generated part made anew. Raises KeyError for an unknown part."""
    return _BLOCK.sub(lambda found: found[1] + _part(found[2]) + found[3], text)


def _part(name: str) -> str:
    return f"\n{parts(policy.load().policy)[name]()}\n"


def parts(default: Policy) -> dict[str, Callable[[], str]]:
    """What makes each part, by name, for a policy: the values of that fork, an example release."""
    return {
        "setup": lambda: procedure(procedures.SETUP, default),
        "sync-main": lambda: procedure(procedures.FETCH_MIRROR + procedures.SYNC_MAIN, default),
        "upgrade-carto": lambda: procedure(procedures.FETCH_UPGRADE + procedures.UPGRADE, default),
        "heal": lambda: procedure(procedures.HEAL, default),
        "release": lambda: procedure(
            procedures.FETCH_PRODUCTION + procedures.RELEASE, default, **_publishing(default)
        ),
        "images": lambda: procedure(
            procedures.IMAGES,
            default,
            **_publishing(default) | _image_place(default),
        ),
        "feature": lambda: procedure(
            procedures.FETCH_PRODUCTION + procedures.FEATURE, default, **_publishing(default)
        ),
        "pr": lambda: procedure(
            procedures.PULL_REQUEST,
            default,
            **_publishing(default) | {"title": "fix(router): what changes"},
        ),
        "pull-request": lambda: procedure(
            procedures.LABEL
            + procedures.OPEN_REQUEST
            + procedures.UPDATE_REQUEST
            + procedures.SUPERSEDE,
            default,
        ),
        "leave": lambda: procedure(procedures.LEAVE, default),
        "finish": lambda: procedure(procedures.FETCH_REQUEST + procedures.FINISH, default),
        "abort": lambda: procedure(procedures.SAVE + procedures.ABORT, default),
        "branches": lambda: rulebook.branches(default),
        "critical-rules": lambda: rulebook.critical_rules(default),
        "best-practices": lambda: rulebook.best_practices(default),
        "rules": lambda: _rules(default),
        "tags": lambda: _tags(default),
        "exit-codes": _exit_codes,
    }


def procedure(steps: Sequence[Step], found: Policy, tag: str = "v1.76.5", **others: str) -> str:
    """A procedure as a Markdown list, with the values of a fork and an example release."""
    values = _example(found, tag) | others
    lines = []
    for number, step in enumerate(steps, 1):
        when = f" *({procedures.CONDITIONS[step.when]})*" if step.when else ""
        lines += [f"{number}. **{step.name}**: {step.why}{when}", "", "   ```bash"]
        if step.commands:
            checks = getattr(found.commands, step.commands)
            lines += [f"   (cd {values['work']} && {line})" for line in checks]
        lines += [f"   {command_line(fill(line, values))}" for line in step.run]
        lines += ["   ```", ""]
    return "\n".join(lines)


def _example(found: Policy, tag: str) -> dict[str, str]:
    """Values for every placeholder, as for a clone in the current directory."""
    branches, clone = found.branches, _clone(found)
    sync = branches.sync_for(tag)
    work = f"{clone}.{sync.replace('/', '-')}"
    message = found.messages.merge.replace("{tag}", tag)
    return found.values() | {
        "gh": "gh",
        "slug": github.slug_of(found.remotes.origin.url) or "",
        "repo": clone,
        "checkout": clone,
        "tag": tag,
        "version": tag.removeprefix("v"),
        "sync": sync,
        "start": f"{found.remotes.origin.name}/{branches.production}",
        "work": work,
        "place": f"../{work}",
        "label": found.pull_requests.labels[0],
        "colour": "c5def5",
        "description": "Upgrade to an upstream release",
        "title": message.replace("{production}", branches.production),
        "body": f"{clone}/.git/carto-fork/{tag}/pull-request.md",
        "labels": ",".join([*found.pull_requests.labels, found.pull_requests.clean]),
        "other": found.pull_requests.conflicts,
        "number": "123",
        "comment": "Superseded by #124, for the newer release v1.77.2-stable.",
        "unfinished": message.replace("{production}", branches.production),
        "resolved": f"resolve: conflicts from the upstream sync to {tag}",
        "given_up": f"wip: what there was of the upgrade to {tag} when it was given up",
        "message": message.replace("{production}", branches.production),
        "generated": f"chore: generate files anew for {tag}",
        "lost": "43e43f9b0d",
        "heal_message": "chore: record that 9e6e24d8a6 merged upstream 43e43f9b0d",
    }


def _clone(found: Policy) -> str:
    """What `git clone` calls the directory."""
    return PurePosixPath(found.remotes.origin.url).name.removesuffix(".git")


def _publishing(found: Policy) -> dict[str, str]:
    """Values for the placeholders of what publishes the fork's own work."""
    clone, told = _clone(found), found.images or Images(name="image", release=("{tag}",))
    tag = found.releases.name("1.76.5", "0.1.0") if found.releases else "v1.76.5"
    names = images.of_release(told, tag, "1.76.5", "0.1.0")
    return {
        "tag": tag,
        "commit": f"{found.remotes.origin.name}/{found.branches.production}",
        "message": f"{found.name} release {tag}",
        "notes": f"{clone}/.git/carto-fork/{tag}/notes.md",
        "image": names[0] if names else told.name,
        "dockerfile": told.dockerfile,
        "platforms": ",".join(told.platforms),
        "work": clone,
        "feature": "feature/my-fix",
        "base": found.branches.production,
        "head": "feature/my-fix",
        "title": tag,
        "body": "...",
    }


def _image_place(found: Policy) -> dict[str, str]:
    work = f"{_clone(found)}.images"
    return {"work": work, "place": f"../{work}"}


def _rules(found: Policy) -> str:
    rows = [
        [
            rule.name,
            " ".join(f"`{path}`" for path in rule.paths),
            ", ".join(kind.value for kind in rule.kinds) or "any",
            rule.take.value + (", whole file" if rule.whole else ""),
            rule.why,
        ]
        for rule in found.rules
    ]
    return _table(["Rule", "Paths", "Kinds", "Takes", "Why"], rows)


def _tags(found: Policy) -> str:
    rows = [
        [
            scheme.name,
            f"`{scheme.pattern.replace('|', chr(92) + '|')}`",
            " ".join(
                [f"from {scheme.since}"] * bool(scheme.since)
                + [f"before {scheme.before}"] * bool(scheme.before)
            )
            or "always",
            scheme.use.value,
        ]
        for scheme in found.tags
    ]
    return _table(["Class", "Names", "Valid", "Use"], rows)


def _exit_codes() -> str:
    return _table(["Code", "Meaning"], [[str(int(code)), code.meaning] for code in ExitCode])


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def main(root: Path) -> None:
    """Bring the documents of a checkout up to date."""
    for name in DOCUMENTS:
        path = root / name
        text = path.read_text(encoding="utf-8")
        if (new := renewed(text)) != text:
            path.write_text(new, encoding="utf-8")
            print(f"{name} brought up to date")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path.cwd())
