"""Action: carry decisions out in a work tree, and bring disabled workflows to rest again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from . import conflicts, decisions, files, markers
from .decisions import Decision
from .errors import Failed
from .evidence import Conflict, has_markers
from .policy import Kind, Policy, Side, Take
from .shell import Shell, batches


@dataclass(frozen=True)
class Resolution:
    """What became of a merge's conflicts.

    decisions: one for each conflict.
    returned: workflows that the fork had disabled, that came back with the merge without any
        conflict, and that were removed again.
    marked: files that are staged although conflict markers are left in them.
    """

    decisions: tuple[Decision, ...]
    returned: tuple[str, ...]
    marked: tuple[str, ...] = ()

    @property
    def left(self) -> list[Decision]:
        """The decisions that are a person's."""
        return [decision for decision in self.decisions if decision.left]

    def as_json(self) -> dict[str, Any]:
        """Plain data for ``--json``."""
        return {
            "conflicts": [_as_json(decision) for decision in self.decisions],
            "removed_again": list(self.returned),
            "left": len(self.left),
            "staged_with_markers": list(self.marked),
        }


def _as_json(decision: Decision) -> dict[str, Any]:
    conflict = decision.conflict
    return {
        "path": conflict.path,
        "kind": conflict.kind.value,
        "deleted_by": conflict.deleted_by and conflict.deleted_by.value,
        "decision": decision.take.value if decision.take else "person",
        "rule": decision.rule,
        "why": decision.why,
        "hunks_settled": decision.settled,
        "hunks_left": decision.left,
        "fork_lines_dropped": decision.dropped,
        "todo": decision.todo,
    }


def resolve(sh: Shell, work: Path, policy: Policy) -> Resolution:
    """Decide the conflicts of the merge in progress in a work tree, and carry it out.

    What a rule decides is staged; what is left keeps its diff3 markers. Nothing that a person has
    edited is overwritten. Running it again continues.
    """
    found = conflicts.read(sh, work)
    if rewritten := _show_bases(sh, work, found):
        again = conflicts.read(sh, work)
        found = [replace(c, edited=False) if c.path in rewritten else c for c in again]
    resolution = Resolution(
        tuple(decisions.decide(found, policy)), tuple(_returned(sh, work, policy))
    )
    _apply(sh, work, resolution)
    left = markers.left(sh, work, ["HEAD", "MERGE_HEAD"], markers.INDEX)
    return replace(resolution, marked=tuple(dict.fromkeys(path for path, _ in left)))


def _show_bases(sh: Shell, work: Path, found: Sequence[Conflict]) -> set[str]:
    """Rewrite markers that hide what both sides started from; the paths where there were any."""
    bare = [
        conflict.path
        for conflict in found
        if conflict.kind is Kind.CONTENT
        and conflict.text is not None
        and not conflict.edited
        and has_markers(conflict.text)
        and "\n||||||| " not in conflict.text
    ]
    if bare:
        _git(sh, work, "checkout --conflict=diff3", bare)
    return set() if sh.dry else set(bare)


def _returned(sh: Shell, work: Path, policy: Policy) -> list[str]:
    """Disabled workflows that the merge adds although the fork does not have them."""
    paths = policy.workflows.disabled
    if not paths:
        return []
    question = "git -C {work} --literal-pathspecs diff --cached --name-only --no-renames -z"
    added = sh.ask(f"{question} --diff-filter=A HEAD -- {{paths}}", work=work, paths=paths)
    # One that differs from upstream's was put there by a person.
    own = sh.ask(f"{question} MERGE_HEAD -- {{paths}}", work=work, paths=paths).fields()
    return [path for path in added.fields() if path not in own]


def _apply(sh: Shell, work: Path, resolution: Resolution) -> None:
    whole = [decision for decision in resolution.decisions if decision.whole]
    kept: dict[Side, list[str]] = {Side.FORK: [], Side.UPSTREAM: []}
    deleted: list[str] = []
    for decision in whole:
        conflict = decision.conflict
        side = Side.FORK if decision.take is Take.FORK else Side.UPSTREAM
        stage = conflict.ours if side is Side.FORK else conflict.theirs
        if stage is None:
            deleted.append(conflict.path)
        elif conflict.kind is Kind.SUBMODULE:
            # `git checkout --theirs` leaves a submodule's entry unmerged.
            entry = f"{stage.mode},{stage.name},{conflict.path}"
            sh.do("git -C {work} update-index --cacheinfo {entry}", work=work, entry=entry)
        else:
            kept[side].append(conflict.path)
    for side, option in ((Side.FORK, "--ours"), (Side.UPSTREAM, "--theirs")):
        _git(sh, work, f"checkout {option}", kept[side])
    staged = kept[Side.FORK] + kept[Side.UPSTREAM]
    for decision in resolution.decisions:
        if decision.text is not None and decision.settled:
            _write(sh, work, decision)
        if decision.text is not None and not decision.left:
            staged.append(decision.conflict.path)
    _git(sh, work, "add", staged)
    _git(sh, work, "rm --quiet --force", [*deleted, *resolution.returned])


def _write(sh: Shell, work: Path, decision: Decision) -> None:
    path, before, after = decision.conflict.path, decision.conflict.text, decision.text
    if before is None or after is None or before == after:
        return
    if sh.dry:
        sh.show(files.patch_command(work, path, before, after))
    else:
        files.replace_text(work / path, after)


def _git(sh: Shell, work: Path, command: str, paths: Sequence[str]) -> None:
    """Run a git command on literal paths."""
    for batch in batches(paths):
        line = f"git -C {{work}} --literal-pathspecs {command} -- {{paths}}"
        answer = sh.do(line, work=work, paths=batch)
        if not answer.ok:
            raise Failed(
                f"`git {command}` ended with exit code {answer.code}: {answer.err.strip()}",
                untouched="What was decided so far is staged; nothing was committed.",
                then="run the same command again.",
            )
