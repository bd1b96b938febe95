"""What tests do with a world: run tasks as a person does, ask git, compare before and after."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import pytest
from invoke.context import Context
from invoke.exceptions import ParseError
from invoke.parser import Parser

import inprocess
from carto_fork.run.shell import Shell
from carto_fork.sandbox import build
from carto_fork.sandbox.build import upstream_and_fork
from carto_fork.sandbox.history import History, Revision, data, quoted
from carto_fork.tasks import namespace

ROOT = Path(__file__).parent.parent
INVOKE = [sys.executable, "-m", "invoke"]

T = TypeVar("T")


def shell(*, dry: bool = False) -> Shell:
    """A shell as a task has it."""
    context = Context()
    context.config.run.dry = dry
    return Shell(context)


@cache
def ghs() -> dict[str, str]:
    """Each gh that is on this machine, by its version: the one that the tests were installed with,
    and that of the system, which may be much older."""
    places = [str(Path(sys.executable).parent), *os.environ["PATH"].split(os.pathsep)]
    found = (shutil.which("gh", path=place) for place in places if place)
    programs = [os.environ.get("CARTO_FORK_GH"), *found]
    said = {program: _version_of(program) for program in programs if program}
    return {version: program for program, version in reversed(said.items())}


def _version_of(program: str) -> str:
    ended = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    return ended.stdout.split()[2]


def history_with(
    *commits: Revision,
    upstream_refs: Mapping[str, str] | None = None,
    origin_refs: Mapping[str, str] | None = None,
) -> History:
    """The sandbox's history with more commits at its end, and with refs added or moved."""
    found = upstream_and_fork()
    upstream = {**found.upstream_refs, **(upstream_refs or {})}
    origin = {**found.origin_refs, **(origin_refs or {})}
    return History(found.commits + commits, upstream, origin, found.messages)


def build_template(place: Path, history: History | None = None) -> Path:
    """A sandbox in a directory, without the settings of whoever runs the tests."""
    build.build(shell(), place, history)
    return place


@dataclass(frozen=True)
class Done:
    """How a command ended. `out` and `err` have the world's directory as `~`."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class World:
    """A sandbox: `upstream.git`, `origin.git` and a clone in one directory; the embedded one's, if
    nothing else is said."""

    place: Path
    clone: str = "litellm"
    slug: str = "CartoDB/litellm"
    upstream_slug: str = "BerriAI/litellm"
    production: str = "carto/main"

    @property
    def upstream(self) -> Path:
        return self.place / "upstream.git"

    @property
    def origin(self) -> Path:
        return self.place / "origin.git"

    @property
    def fork(self) -> Path:
        return self.place / self.clone

    def work(self, tag: str) -> Path:
        """The work tree of the upgrade to a tag."""
        return self.place / f"{self.clone}.upstream-sync-{tag.replace('/', '-')}"

    def run(self, line: str, *more: str, cwd: Path | None = None, **variables: str) -> Done:
        """Run a task with this checkout's tasks.py, in the fork's clone, as `invoke LINE`.

        It runs in this process, by the way that a typed command line takes. line: split as a shell
        does; `more` are further words, as they are.
        """
        argv = [inprocess.INVOKE, "--search-root", str(ROOT), *shlex.split(line), *more]
        return self.run_as(argv, cwd or self.fork, os.environ | variables)

    def run_as(self, argv: list[str], cwd: Path, environment: Mapping[str, str]) -> Done:
        """Run a command line in this process; see `inprocess.run`."""
        ended = inprocess.run(argv, cwd, environment)
        done = Done(ended.code, self.neutral(ended.out), self.neutral(ended.err))
        assert not (wrong := misnamed(argv[1:], f"{done.out}\n{done.err}")), (argv, wrong)
        return done

    def spawn(self, line: str, *more: str, cwd: Path | None = None, **variables: str) -> Done:
        """The same as a process of its own, for what ends or signals a process."""
        words = [*INVOKE, "--search-root", str(ROOT), *shlex.split(line), *more]
        return self.call(words, cwd=cwd, **variables)

    def call(self, words: list[str], *, cwd: Path | None = None, **variables: str) -> Done:
        """Run any command in the fork's clone."""
        ended = subprocess.run(
            words,
            cwd=cwd or self.fork,
            env=os.environ | variables,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            text=True,
            errors="surrogateescape",
            timeout=120,
        )
        return Done(ended.returncode, self.neutral(ended.stdout), self.neutral(ended.stderr))

    def neutral(self, text: str) -> str:
        """Text without this machine's paths and without times that differ from run to run."""
        for python in (sys.executable, Path(sys.executable).name):
            text = text.replace(f"{python} -m invoke --search-root {ROOT}", "invoke")
        text = text.replace(str(Path(sys.executable).with_name("gh")), "gh")
        text = text.replace(str(self.place.resolve()), "~").replace(str(self.place), "~")
        return re.sub(r"\n    (\d+ min )?\d+\.\d s(?=\n)", "", text)

    def paste(self, text: str, *, cwd: Path | None = None, **variables: str) -> Done:
        """Paste neutral lines into a terminal; the first that fails ends it.

        A line that is one task, and nothing that a shell would do more with, runs in this process.
        """
        line = text.strip().replace("~", str(self.place))
        if line.startswith("invoke ") and not re.search(r"[\n;&|<>`$()#]", line):
            return self.run(line.removeprefix("invoke "), cwd=cwd, **variables)
        return self.call(["bash", "-e", "-c", self.pasteable(text)], cwd=cwd, **variables)

    def pasteable(self, text: str) -> str:
        """Neutral text made to work on this machine again, wherever tasks are in it."""
        invoke = shlex.join([*INVOKE, "--search-root", str(ROOT)])
        text = text.replace("~", str(self.place))
        return re.sub(r"^invoke |(?<![\w./-])invoke (?=[a-z])", f"{invoke} ", text, flags=re.M)

    def git(self, line: str, *more: str, repo: Path | None = None) -> str:
        """What git prints; `line` is split as a shell does. It must succeed."""
        words = ["git", "-C", str(repo or self.fork), *shlex.split(line), *more]
        ended = subprocess.run(words, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        assert ended.returncode == 0, f"{words}: {ended.stderr}"
        return ended.stdout.rstrip("\n")

    def refs(self, repo: Path) -> dict[str, str]:
        """All refs of a repository, but for those that follow a remote."""
        lines = self.git("for-each-ref '--format=%(refname) %(objectname)'", repo=repo).splitlines()
        pairs = (line.split() for line in lines)
        return {ref: name for ref, name in pairs if not ref.startswith("refs/remotes/")}

    def checkout(self) -> dict[str, str]:
        """The user's own checkout, byte for byte: HEAD, the index and every file."""
        own = [self.fork / ".git" / name for name in ("HEAD", "index")]
        return {
            str(path.relative_to(self.fork)): _content(path)
            for path in (*own, *_files(self.fork, but=".git"))
            if path.is_symlink() or path.exists()
        }

    def everything(self) -> tuple[dict[str, str], dict[str, str], dict[str, str], dict[str, str]]:
        """The checkout, and the refs of the clone, of origin and of upstream."""
        repositories = (self.fork, self.origin, self.upstream)
        here, origin, upstream = (self.refs(repository) for repository in repositories)
        return self.checkout(), here, origin, upstream

    def git_dir(self) -> dict[str, str]:
        """Every file of the clone's git directory, but for objects, logs and the lock."""
        top = self.fork / ".git"
        files = {str(path.relative_to(top)): path for path in _files(top, but="objects")}
        left_out = ("logs/", "carto-fork.lock", "carto-fork/clone/")
        return {name: _content(p) for name, p in files.items() if not name.startswith(left_out)}


_ADVICE = re.compile(r"^(?:Next|To [a-z ]+): .*|\bthen run .*", re.MULTILINE)
_TYPED = re.compile(r"(?<![\w./-])(?:invoke|carto-fork) (?:--dry )?(?P<words>[a-z][^`;&|()#<>\n]*)")


@cache
def _parser() -> Parser:
    return Parser(contexts=namespace.to_contexts())


def misnamed(words: Sequence[str], printed: str) -> list[str]:
    """What a task advises to type and no task takes: command lines, and options that stand alone,
    which belong to the command named before them or else to the task itself.

    words: the task's command line.
    """
    running = next((word for word in words if word in _parser().contexts), "")
    wrong = []
    for advice in _ADVICE.findall(printed):
        task, end = running, 0
        for typed in _TYPED.finditer(advice):
            wrong += _not_taken(task, advice[end : typed.start()])
            line = typed["words"].rstrip(".:, ")
            task, end = line.split()[0], typed.end()
            if task not in _parser().contexts:
                wrong.append(f"no task: {line}")
                continue
            with suppress(ValueError):  # what is cut off in a quoted word
                try:
                    _parser().parse_argv(shlex.split(line))
                except ParseError as no:
                    wrong.append(f"{no}: {line}")
        wrong += _not_taken(task, advice[end:])
    return wrong


def _not_taken(task: str, text: str) -> list[str]:
    """The options that a sentence names and a task lacks."""
    text = re.sub(r"(?<![\w-])(?:git|gh) .*", "", text, flags=re.DOTALL)  # theirs
    named = re.findall(r"\b(?:with|without|give|use|add|leave out|or) (--[a-z][a-z-]*)", text)
    taken = _parser().contexts[task].flags if task in _parser().contexts else None
    return [f"{task} {one}" for one in named if taken is not None and one not in taken]


def _files(top: Path, but: str) -> Iterator[Path]:
    """All files below a directory and links to directories, without one entry at its top."""
    for directory, names, files in os.walk(top):
        here = Path(directory)
        if here == top:
            names[:], files = ([n for n in each if n != but] for each in (names, files))
        links = [name for name in names if (here / name).is_symlink()]
        yield from (here / name for name in (*files, *links))


def _content(path: Path) -> str:
    if path.is_symlink():
        return f"-> {os.readlink(path)}"
    return f"{path.stat().st_mode:o} {hashlib.sha1(path.read_bytes()).hexdigest()}"


def slow_but(values: Iterable[T], *quick: T) -> list[Any]:
    """Parameters of a test, of which all but these are for `make test-slow`.

    A tuple holds a value for each of several names.
    """
    values = list(values)
    assert all(value in values for value in quick)
    rows = [(value, value if isinstance(value, tuple) else (value,)) for value in values]
    return [
        pytest.param(*row, marks=[] if value in quick else pytest.mark.slow) for value, row in rows
    ]


def push_as_colleague(
    world: World, files: dict[str, str], branch: str = "carto/main", start: str = ""
) -> str:
    """Commit files on a branch in a second clone, push it to origin, and return the commit.

    start: what a new branch starts from.
    """
    clone = world.place / "colleague"
    if not clone.exists():
        world.git("clone --quiet", str(world.origin), str(clone))
    world.git("fetch --quiet origin", repo=clone)
    world.git(f"checkout --quiet -B {branch} {start or f'origin/{branch}'}", repo=clone)
    for path, text in files.items():
        (clone / path).parent.mkdir(parents=True, exist_ok=True)
        (clone / path).write_text(text)
    world.git("add .", repo=clone)
    who = "-c user.name=Colleague -c user.email=colleague@example.com"
    world.git(f"{who} commit --quiet -m 'feat: a change of a colleague'", repo=clone)
    world.git(f"push --quiet origin {branch}", repo=clone)
    return world.git("rev-parse HEAD", repo=clone)


def commit_in(
    world: World,
    repo: Path,
    ref: str,
    files: Mapping[str, str | None],
    *parents: str,
    tree: str = "",
    message: str = "chore: a change of a colleague",
    modes: Mapping[str, str] | None = None,
) -> str:
    """Commit in a repository without a work tree, move a ref there, and return the commit.

    files: what changes in a tree, None for a file that goes. parents: default: where the ref is.
    tree: the tree that changes; default: the first parent's. modes: of git's, by path; default: as
    it was, and 100644 for a new file.
    """
    revs = (f"{parent}^0" for parent in parents or (ref,))
    first, *others = world.git("rev-parse", *revs, repo=repo).split()
    start = world.git("rev-parse", f"{tree or first}^{{tree}}", repo=repo)
    listed = world.git("ls-tree -r -z", start, "--", *files, repo=repo).split("\0")[:-1]
    known = {line.partition("\t")[2]: line[:6] for line in listed} | {**(modes or {})}
    who = b"Colleague <colleague@example.com> 1759233600 +0000"  # when all commits are made here
    stream = [b"commit %s\nauthor %s\ncommitter %s\n" % (ref.encode(), who, who)]
    stream += [data(f"{message}\n".encode()), b"from %s\n" % first.encode()]
    stream += [b"merge %s\n" % other.encode() for other in others]
    stream += [b'M 040000 %s ""\n' % start.encode()]
    for path, text in files.items():
        if text is None:
            stream += [b"D %s\n" % quoted(path)]
        else:
            mode = known.get(path, "100644").encode()
            stream += [b"M %s inline %s\n" % (mode, quoted(path))]
            stream += [data(text.encode())]
    words = ["git", "-C", str(repo), "fast-import", "--quiet", "--force"]
    subprocess.run(words, input=b"".join(stream), check=True)
    return world.git("rev-parse", ref, repo=repo)


def land(
    world: World, tag: str, files: Mapping[str, str | None] | None = None, *, squash: bool = False
) -> str:
    """Merge an upgrade's sync branch into production on origin, as GitHub does, and fetch that.

    files: what differs from the sync branch in what lands. squash: with one parent only.
    Returns the commit that lands.
    """
    production, sync = "refs/heads/carto/main", f"refs/heads/upstream-sync/{tag}"
    parents = [production] if squash else [production, sync]
    message = f"chore: upgrade to {tag} (#50)" if squash else f"Merge pull request #50: {tag}"
    commit = commit_in(
        world, world.origin, production, files or {}, *parents, tree=sync, message=message
    )
    world.git("fetch --quiet --no-tags origin")
    return commit


def elsewhere(world: World) -> str:
    """Move both remotes away from GitHub, and return the policy that says so."""
    urls = {"origin": world.origin, "upstream": world.upstream}
    for name, url in urls.items():
        world.git("remote set-url", name, str(url))
    rows = (f'{name} = {{ name = "{name}", url = "{url}" }}\n' for name, url in urls.items())
    return f'extends = "carto-litellm"\n[remotes]\n{"".join(rows)}'


def event(world: World, base: str, head: str, into: str = "carto/main") -> dict[str, str]:
    """The variables of a job of GitHub Actions for a pull request."""
    path = world.place / "event.json"
    pull = {
        "number": 7,
        "base": {"sha": base, "ref": into},
        "head": {"sha": head, "ref": "feature/x"},
    }
    path.write_text(json.dumps({"pull_request": pull}))
    return {
        "GITHUB_ACTIONS": "true",
        "GITHUB_EVENT_NAME": "pull_request",
        "GITHUB_EVENT_PATH": str(path),
        "GITHUB_BASE_REF": into,
        "GITHUB_HEAD_REF": "feature/x",
    }


def shim(world: World, script: str) -> str:
    """A PATH on which `git` is a shell script; in it, $GIT is the real one."""
    real = shutil.which("git")
    directory = world.place / "bin"
    directory.mkdir()
    (directory / "git").write_text(f"#!/bin/sh\nGIT={shlex.quote(str(real))}\n{script}\n")
    (directory / "git").chmod(0o755)
    return f"{directory}{os.pathsep}{os.environ['PATH']}"


def copied(template: Path, place: Path) -> World:
    """A world of one's own: a copy of the template at a place that does not exist yet."""
    shutil.copytree(template, place, symlinks=True)
    git_dir = place / "litellm" / ".git"
    # A linked work tree and its clone know each other by their whole paths.
    links = [*git_dir.glob("worktrees/*/gitdir"), *place.glob("litellm.*/.git")]
    for file in [git_dir / "config", place / build.SETTINGS, *links]:
        file.write_text(file.read_text().replace(str(template), str(place)))
    world = World(place)
    for tree in place.glob("litellm.*"):
        # Its index knows the files that were copied; otherwise the next `git diff` writes it anew.
        world.git("status --porcelain", repo=tree)
    return world


@dataclass(frozen=True)
class Outcome:
    """What a task has made: the refs of the clone and of origin, and the work trees there are.

    Dates are sealed, so that the same commits have the same names in every world.
    """

    fork: dict[str, str]
    origin: dict[str, str]
    work_trees: list[str]


def outcome(world: World) -> Outcome:
    """What there is in a world now."""
    trees = world.neutral(world.git("worktree list --porcelain")).splitlines()
    paths = [line for line in trees if line.startswith("worktree ")]
    return Outcome(world.refs(world.fork), world.refs(world.origin), paths)


@cache
def usual(template: Path, line: str) -> Outcome:
    """What a task makes of a copy of the template when nothing gets in its way."""
    world = copied(template, Path(tempfile.mkdtemp(dir=template.parent)) / "w")
    done = world.run(line)
    assert done.code == 0, done.err
    return outcome(world)


_SNAG = r"""here={here} verb= skip=
for word do
  if [ "$skip" ]; then skip=; continue; fi
  case $verb$word in
    -C | -c) skip=yes ;;
    -*) ;;
    worktree) verb='worktree ' ;;
    *) verb=$verb$word; break ;;
  esac
done
case $verb in
  add | branch | checkout | commit | fetch | merge | push | rm | update-index | update-ref | \
  'worktree add' | 'worktree remove')
    echo "$verb" >> "$here/writes"
    [ "$(wc -l < "$here/writes")" -ne "$(cat "$here/at")" ] || . "$here/cut" ;;
esac
exec "$GIT" "$@"
"""


@dataclass(frozen=True)
class Snag:
    """Something that gets in the way of one of the git commands of a task.

    path: a PATH on which it lies in wait.
    notes: the file where it notes the git commands that write, one a line.
    """

    path: str
    notes: Path

    @property
    def writes(self) -> list[str]:
        """The commands so far that write."""
        return self.notes.read_text().splitlines() if self.notes.exists() else []


def snag(world: World, at: int = 0, cut: str = "") -> Snag:
    """Lie in wait for a task's git command.

    at: the number of the writing command to get in the way of, counted from 1; 0 is none.
    cut: shell commands to run just before it. There `$GIT` is the real git, `"$@"` the arguments
        and $PPID the task's process.
    """
    here = world.place / "snag"
    here.mkdir()
    (here / "at").write_text(str(at))
    (here / "cut").write_text(cut)
    return Snag(shim(world, _SNAG.replace("{here}", shlex.quote(str(here)))), here / "writes")


def message(
    what: str, then: str, untouched: str = "Nothing was changed.", title: str = "Refused"
) -> str:
    """The three sentences of a stop, as they stand on standard error."""
    return f"{title}: {what}\n{untouched}\nNext: {then}\n"


BOTH_SIDES = {
    "Dockerfile": (
        "# CARTO: the Snowflake driver is built against libffi\n"
        "RUN apk add --no-cache bash build-base gcc python3-dev openssl openssl-dev libffi-dev\n"
    ),
    "ui/litellm-dashboard/src/app/layout.tsx": (
        "      <body className={inter.className}>\n"
        "        <AntdGlobalProvider>\n"
        "          <FeatureFlagsProvider>{children}</FeatureFlagsProvider>\n"
        "        </AntdGlobalProvider>\n"
        "      </body>\n"
    ),
}
"""What a person makes of the two hunks that v1.77.2-stable leaves them, by path."""


def resolved_by_hand(world: World, work: Path) -> None:
    """Resolve and stage what the merge of v1.77.2-stable left: both sides' changes stay."""
    for path, text in BOTH_SIDES.items():
        before = (work / path).read_text()
        # Neither text has a backslash, which would be special here.
        after, hunks = re.subn(r"^<{7} .*?^>{7} .*?\n", text, before, flags=re.M | re.S)
        assert hunks == 1, path
        (work / path).write_text(after)
        world.git("add --", path, repo=work)
