"""A small part of GitHub Actions: what a workflow's expressions mean, and its jobs one by one.

Only what the fork's workflows use is here; anything else is an error.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from string import Template
from typing import Any

from ruamel.yaml import YAML

from carto_fork.adopt import copies
from carto_fork.fork import policy
from world import ROOT, Done, World

WORKFLOWS = {
    Path(path).name: text
    for path, text in copies.texts(policy.load_policy().policy, lambda path: None)
    if path.startswith(".github/workflows/")
}
"""The workflows that the embedded sandbox's fork is given, by name."""
INSTALL = """\
git config carto-fork.production "origin/carto/main"
python -I -m pip install --require-hashes --only-binary :all: --requirement \
.github/carto-fork-dependencies.txt
python -I -m pip install --no-deps --no-build-isolation --requirement .github/carto-fork.txt
"""
PROGRAM = f"git+https://github.com/acme/carto-fork@{'0123456789' * 4}"
"""What a fork's workflows may install."""
ADOPT = f"fork.adopt --requirement {PROGRAM}"

_EXPRESSION = re.compile(r"\$\{\{(.*?)\}\}", re.DOTALL)
_TOKEN = re.compile(r"\s*('(?:[^']|'')*'|&&|\|\||==|!=|[!(),]|[\w*-]+(?:\.[\w*-]+)*)")
_TASK = re.compile(r'carto-fork( [\w-]+| --[\w-]+(=("\$\w+"|[\w-]+))?)+')
"""A line that is one task, with nothing that a shell would do but fill whole values in."""
_STATUS = re.compile(r"\b(always|cancelled|failure|success)\(\)")

Names = Mapping[str, Any]


def read(name: str) -> dict[str, Any]:
    """A workflow that the embedded sandbox's fork is given, as data."""
    return parsed(WORKFLOWS[name])


def parsed(text: str) -> dict[str, Any]:
    """A workflow as data."""
    found = YAML(typ="safe", pure=True).load(text)
    assert isinstance(found, dict)
    return found


# --- Expressions ---------------------------------------------------------------------------------


def evaluated(expression: str, names: Names) -> Any:
    """The value of an expression: text, a truth value, a list, or None."""
    tokens = _TOKEN.findall(expression)
    assert "".join(tokens) == re.sub(r"\s+(?=([^']*'[^']*')*[^']*$)", "", expression), expression
    value, rest = _either(tokens, names)
    assert not rest, f"{expression}: {rest} is left"
    return value


def filled(text: Any, names: Names) -> str:
    """Text with the values of its expressions."""
    if isinstance(text, bool | int):
        return str(text).lower()
    return _EXPRESSION.sub(lambda found: shown(evaluated(found[1], names)), text)


def shown(value: Any) -> str:
    """A value as text."""
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _either(tokens: list[str], names: Names) -> tuple[Any, list[str]]:
    value, tokens = _both(tokens, names)
    while tokens[:1] == ["||"]:
        other, tokens = _both(tokens[1:], names)
        value = value or other
    return value, tokens


def _both(tokens: list[str], names: Names) -> tuple[Any, list[str]]:
    value, tokens = _compared(tokens, names)
    while tokens[:1] == ["&&"]:
        other, tokens = _compared(tokens[1:], names)
        value = value and other
    return value, tokens


def _compared(tokens: list[str], names: Names) -> tuple[Any, list[str]]:
    value, tokens = _single(tokens, names)
    if tokens[:1] in (["=="], ["!="]):
        sign = tokens[0]
        other, tokens = _single(tokens[1:], names)
        value = (shown(value).lower() == shown(other).lower()) == (sign == "==")
    return value, tokens


def _single(tokens: list[str], names: Names) -> tuple[Any, list[str]]:
    first, *rest = tokens
    if first == "!":
        value, rest = _single(rest, names)
        return not value, rest
    if first == "(":
        value, rest = _either(rest, names)
        assert rest[0] == ")"
        return value, rest[1:]
    if first.startswith("'"):
        return first[1:-1].replace("''", "'"), rest
    if rest[:1] == ["("]:
        arguments = []
        rest = rest[1:]
        while rest[0] != ")":
            value, rest = _either(rest, names)
            arguments.append(value)
            rest = rest[1:] if rest[0] == "," else rest
        return _called(first, arguments), rest[1:]
    return _looked_up(first, names), rest


def _called(function: str, arguments: list[Any]) -> bool:
    if function == "contains":
        where, what = arguments
        return what in where
    return {"always": True, "cancelled": False}[function]


def _looked_up(path: str, names: Names) -> Any:
    found: Any = [names]
    parts = path.split(".")
    assert parts[0] in names, f"there is no context {parts[0]}"
    for part in parts:
        if part == "*":
            found = [value for each in found for value in each.values()]
        else:
            found = [each.get(part) for each in found if each is not None]
    return found if "*" in parts else found[0] if found else None


# --- Jobs ----------------------------------------------------------------------------------------


@dataclass
class Step:
    """What a step that ran a command line did; `env` is what the workflow gave it."""

    job: str
    line: str
    env: dict[str, str]
    done: Done


@dataclass
class Run:
    """What a run of a workflow did.

    results: of each job: success, failure or skipped. outputs: of each job.
    summary: what was written to the page of the run.
    """

    steps: list[Step] = field(default_factory=list)
    results: dict[str, str] = field(default_factory=dict)
    outputs: dict[str, dict[str, str]] = field(default_factory=dict)
    summary: str = ""

    @property
    def log(self) -> str:
        """Everything that was printed."""
        return "".join(step.done.out + step.done.err for step in self.steps)

    def step(self, word: str) -> Step:
        """The one step whose command line has a word."""
        [found] = [step for step in self.steps if word in step.line]
        return found


@dataclass
class Actions:
    """Runs the fork's workflows on a world, each job in a clone of its own.

    github: the context of that name, beyond the usual. commands: programs of tests' own, as shell
    scripts by name. commit: what to check out where a workflow does not say. adopted: whether to
    run what lies on the fork's production branch, not what it would be given. processes: whether a
    line that is one task is a process too, as every other line is. cached: the keys of what GitHub
    keeps from run to run.
    """

    world: World
    github: dict[str, Any] = field(default_factory=dict)
    inputs: dict[str, Any] = field(default_factory=dict)
    vars: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    commands: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    commit: str = ""
    adopted: bool = False
    processes: bool = False
    cached: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        number = len(list(self.world.place.glob("actions*")))
        self.place = self.world.place / f"actions{number or ''}"
        (self.place / "bin").mkdir(parents=True)
        start = "from carto_fork.tasks import program; program.run()"
        tasks = f"exec {sys.executable} -c '{start}' \"$@\""
        log = self.place / "installed"
        installed = f'echo "$@" >>{log}; for file; do :; done; cat "$file" >>{log}'
        usual = {"carto-fork": tasks, "python": installed}
        for name, script in (usual | self.commands).items():
            (self.place / "bin" / name).write_text(f"#!/bin/sh\n{script}\n")
            (self.place / "bin" / name).chmod(0o755)
        slugs = {self.world.slug: self.world.origin, self.world.upstream_slug: self.world.upstream}
        for slug, to in slugs.items():
            for spelled in (url := f"https://github.com/{slug}", f"{url}.git"):
                self.world.git(f"config --global --add url.{to}.insteadOf {spelled}")

    def run(
        self, name: str, inputs: Mapping[str, Any] | None = None, into: Run | None = None
    ) -> Run:
        """Run a workflow.

        inputs: for a workflow that another one calls. into: the run of that one.
        """
        workflow, made = self._read(name), into or Run()
        given = self.inputs if inputs is None else dict(inputs)
        for job, spec in workflow["jobs"].items():
            needs = spec.get("needs", [])
            needed = [needs] if isinstance(needs, str) else needs
            names = self._names(given) | {
                "needs": {
                    each: {"result": made.results[each], "outputs": made.outputs[each]}
                    for each in needed
                }
            }
            condition = str(spec.get("if", "true"))
            met = all(made.results[each] == "success" for each in needed)
            goes = met or _STATUS.search(condition)
            made.outputs[job] = {}
            if not goes or (condition != "true" and not evaluated(condition, names)):
                made.results[job] = "skipped"
            elif "uses" in spec:
                called = {key: filled(value, names) for key, value in spec["with"].items()}
                inner = self.run(Path(spec["uses"]).name, called, Run())
                made.steps += inner.steps
                failed = "failure" in inner.results.values()
                made.results[job] = "failure" if failed else "success"
            else:
                self._job(job, spec, workflow.get("env", {}), names, made)
        return made

    def _read(self, name: str) -> dict[str, Any]:
        if not self.adopted:
            return read(name)
        at = f"{self.world.production}:.github/workflows/{name}"
        return parsed(self.world.git("show", at, repo=self.world.origin))

    def _names(self, inputs: dict[str, Any]) -> dict[str, Any]:
        usual = {
            "event_name": "workflow_dispatch",
            "ref": f"refs/heads/{self.world.production}",
            "ref_name": self.world.production,
            "ref_type": "branch",
            "token": "ghs_default",
        }
        return {
            "github": usual | self.github,
            "inputs": inputs,
            "vars": self.vars,
            "secrets": self.secrets,
        }

    def _job(
        self, job: str, spec: dict[str, Any], env: dict[str, Any], names: dict[str, Any], made: Run
    ) -> None:
        clone = self.place / f"{job}{len(made.results)}"
        steps: dict[str, Any] = {}
        names = names | {"steps": steps}
        env = env | {key: filled(value, names) for key, value in spec.get("env", {}).items()}
        made.results[job] = "success"
        for number, step in enumerate(spec["steps"]):
            if "if" in step and not evaluated(str(step["if"]), names):
                continue
            if step.get("uses", "").startswith("actions/checkout@"):
                self._check_out(clone, step.get("with", {}))
            if step.get("uses", "").startswith("actions/cache@"):
                key = filled(step["with"]["key"], names)
                steps[step["id"]] = {"outputs": {"cache-hit": str(key in self.cached).lower()}}
                self.cached.add(key)
            if step.get("run", INSTALL) == INSTALL:
                continue
            output = clone.with_name(f"{clone.name}.{number}")
            output.touch()
            own = {key: filled(value, names) for key, value in step.get("env", {}).items()}
            given = {key: str(value) for key, value in (env | own).items()}
            done = self._shell(step["run"], clone, output, names["github"], given)
            made.steps.append(Step(job, step["run"], given, done))
            if "id" in step:
                steps[step["id"]] = {"outputs": _outputs(output)}
            if done.code:
                made.results[job] = "failure"
                break
        summary = self.place / "summary"
        made.summary = summary.read_text() if summary.exists() else ""
        outputs = spec.get("outputs", {})
        made.outputs[job] = {key: filled(value, names) for key, value in outputs.items()}

    def _check_out(self, clone: Path, options: dict[str, Any]) -> None:
        url = f"https://github.com/{self.world.slug}"
        self.world.git("clone --quiet --no-checkout", url, str(clone))
        # Unlike a clone, the action asks for no first branch.
        self.world.git("remote set-head origin --delete", repo=clone)
        if ref := options.get("ref"):
            self.world.git(
                f"checkout --quiet --force -B {ref} refs/remotes/origin/{ref}", repo=clone
            )
        else:
            self.world.git("fetch --quiet origin", self.commit, repo=clone)
            self.world.git(f"checkout --quiet --detach {self.commit}", repo=clone)

    def _shell(
        self, line: str, clone: Path, output: Path, github: dict[str, Any], env: dict[str, str]
    ) -> Done:
        usual = {name: value for name, value in os.environ.items() if name != "GH_TOKEN"} | {
            "PATH": f"{self.place / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT / "scripts"),
            "GITHUB_ACTIONS": "true",
            "GITHUB_SERVER_URL": "https://github.com",
            "GITHUB_REPOSITORY": self.world.slug,
            "GITHUB_RUN_ID": "99",
            "GITHUB_ACTOR": "octocat",
            "GITHUB_REF_NAME": github["ref_name"],
            "GITHUB_EVENT_NAME": github["event_name"],
            "GITHUB_OUTPUT": str(output),
            "RUNNER_TEMP": str(self.place),
            "GITHUB_STEP_SUMMARY": str(self.place / "summary"),
        }
        variables = usual | self.environment | env
        if not self.processes and _TASK.fullmatch(line):
            program = str(self.place / "bin" / "carto-fork")
            words = [Template(word).substitute(variables) for word in shlex.split(line)[1:]]
            return self.world.run_as([program, *words], clone, variables)
        words = [f"{name}={value}" for name, value in variables.items()]
        return self.world.call(["env", "-i", *words, "bash", "-e", "-c", line], cwd=clone)


def _outputs(path: Path) -> dict[str, str]:
    """What a step wrote to its GITHUB_OUTPUT."""
    found = re.findall(r"^(\w+)<<(\S+)\n(.*?)\n?\2$", path.read_text(), re.DOTALL | re.MULTILINE)
    return {name: value for name, _, value in found}
