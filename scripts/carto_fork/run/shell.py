"""The only door to processes.

A command is a template such as ``git -C {repo} fetch {remote}``. It is split into words first and
filled word by word afterwards, so a value can never become a second word; a value that would be
read as an option is refused. `Shell.ask` runs read-only commands, even under ``--dry``;
`Shell.do` runs the others, or prints them, ready to be pasted.

A question about objects named by their hashes is asked once per task: its answer cannot change.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import weakref
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from shlex import quote
from typing import IO, Any, TextIO, TypeVar, cast

from invoke.context import Context

from .errors import Failed, Refused
from .programs import Process
from .text import LARGEST_TEXT, Tee, harmless, joined, scrub

BIG = "core.bigFileThreshold"
"""Git's setting for the size in bytes up to which it compares files line by line."""
TIMED_OUT = 124
"""The exit code of a command that took too long, as in timeout(1)."""

Value = str | Path | Sequence[str]
T = TypeVar("T")

_PLACEHOLDER = re.compile(r"\{([a-z_]+[0-9]*)\}")

# These tie git to one repository (git rev-parse --local-env-vars) and would outrank `git -C`.
# GIT_CONFIG_PARAMETERS and GIT_CONFIG_COUNT stay: they carry the caller's own `-c` settings.
_REPOSITORY_VARIABLES = re.compile(
    r"GIT_(ALTERNATE_OBJECT_DIRECTORIES|CONFIG|OBJECT_DIRECTORY|DIR|WORK_TREE|IMPLICIT_WORK_TREE"
    r"|GRAFT_FILE|INDEX_FILE|NO_REPLACE_OBJECTS|REPLACE_REF_BASE|PREFIX|SHALLOW_FILE|COMMON_DIR"
    r"|NAMESPACE|INTERNAL_SUPER_PREFIX|(LITERAL|GLOB|NOGLOB|ICASE)_PATHSPECS|EXTERNAL_DIFF"
    r"|DIFF_OPTS|MERGE_VERBOSITY)"
)
_NEVER_ASK = {
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_EDITOR": "false",
    "GIT_SEQUENCE_EDITOR": "false",
    "GIT_MERGE_AUTOEDIT": "no",
    "GIT_PAGER": "cat",
    "GH_PROMPT_DISABLED": "1",
}


@dataclass(frozen=True)
class Answer:
    """A command's exit code and output.

    code: its exit code; negative for a signal.
    out, err: its standard output and error as text; bytes that are not UTF-8 are kept as lone
        surrogates, so that a path can be given back to the system unchanged.
    hook: the path of the git hook that failed; "" if none did.
    """

    code: int
    out: str
    err: str
    hook: str = ""

    @property
    def ok(self) -> bool:
        return self.code == 0

    @property
    def ending(self) -> str:
        """How the command ended, as part of a sentence."""
        if self.code >= 0:
            return f"ended with exit code {self.code}"
        return f"was ended by the signal {signal.Signals(-self.code).name}"

    @property
    def line(self) -> str:
        """The output without its last line end."""
        return self.out.rstrip("\n")

    def fields(self) -> list[str]:
        """The output of a command run with ``-z``, split at NULs."""
        return self.out.split("\0")[:-1]


def fill(template: str, values: Mapping[str, Value] | Mapping[str, str]) -> list[str]:
    """Split a command template into words, then put the values in.

    A word that consists of one placeholder may take a sequence: each item becomes one word.
    Raises Refused for a value that would be read as an option, KeyError for a missing value.
    """
    words: list[str] = []
    for word in shlex.split(template):
        whole = _PLACEHOLDER.fullmatch(word)
        value = values[whole[1]] if whole else None
        if value is not None and not isinstance(value, str | Path):
            filled = [str(item) for item in value]
        else:
            filled = [_PLACEHOLDER.sub(lambda placeholder: _text(values[placeholder[1]]), word)]
        options = [item for item in filled if item.startswith("-") and not word.startswith("-")]
        if options and not {"--", "--end-of-options"} & set(words):
            raise Refused(
                f"the value {options[0]!r} would be read as an option of {(words or filled)[0]}.",
                then="use a value that does not begin with a dash.",
            )
        words += filled
    return words


def batches(paths: Sequence[str], most: int = 60_000) -> Iterator[Sequence[str]]:
    """The paths in lists that fit on a command line (Linux takes 128 KiB).

    most: characters in one list, before quoting.
    """
    batch: list[str] = []
    length = 0
    for path in paths:
        if batch and length + len(path) > most:
            yield batch
            batch, length = [], 0
        batch.append(path)
        length += len(path) + 3
    if batch:
        yield batch


_OBJECT = r"\^?[0-9a-f]{40,64}(?:[\^~:].*)?"
_FIXED = re.compile(rf"{_OBJECT}(?:\.{{2,3}}{_OBJECT})?", re.DOTALL)
_ABOUT_OBJECTS = {"diff-tree", "log", "ls-tree", "merge-base", "rev-list"}
_ABOUT_REFS = {"--all", "--branches", "--remotes", "--tags", "--glob", "--cached", "--reflog"}
_LARGE = 1 << 22
"""Characters; a longer answer is not cached."""


def _lasts(words: Sequence[str], feed: Sequence[str]) -> bool:
    """Whether the answer to a question can never change: it is only about objects, each named by
    its hash."""
    given = list(words[: words.index("--")] if "--" in words else words)
    rest = [word for word in given[3:] if not word.startswith("-")]
    if given[:2] != ["git", "-C"] or not rest or rest[0] not in _ABOUT_OBJECTS:
        return False
    if rest[0] != "merge-base" and _ABOUT_REFS.intersection(given):
        return False
    named = [*rest[1:], *feed]
    return bool(named) and all(map(_FIXED.fullmatch, named))


def _text(value: Value) -> str:
    if not isinstance(value, str | Path):
        raise TypeError(f"a list cannot be part of a word: {value!r}")
    return str(value)


class Shell:
    """Runs commands for one task.

    context: invoke's context; only its ``--dry`` is used.
    stream: output for people (standard error when standard output carries JSON).
    asking: called with the command line of each question; None for no call.
    offline: whether remotes must not be asked.
    """

    def __init__(self, context: Context, stream: TextIO | None = None) -> None:
        self._context = context
        self.dry: bool = context.config.run.dry
        self.stream = stream or sys.stdout
        self._found: dict[Hashable, Any] = {}
        self._talks: dict[tuple[str, ...], Talk] = {}
        self.settings: Mapping[str, str] = {}
        self._turns: dict[Hashable, threading.Lock] = {}
        self._starting = threading.Lock()
        self.asking: Callable[[str], None] | None = None
        self.offline = False
        self._graph = ""
        weakref.finalize(self, _end, self._talks)

    def ask(self, template: str, /, *, timeout: int | None = None, **values: Value) -> Answer:
        """Fill a template and `read` it."""
        return self.read(fill(template, values), timeout=timeout)

    def do(self, template: str, /, *, stdin: Path | None = None, **values: Value) -> Answer:
        """Fill a template and `run` it."""
        return self.run(fill(template, values), stdin=stdin)

    def read(
        self, words: Sequence[str], *, timeout: int | None = None, feed: Iterable[str] | None = None
    ) -> Answer:
        """Run a command that changes nothing, even under ``--dry``.

        timeout: seconds after which the command is killed; the answer is then `TIMED_OUT`.
        feed: lines for its standard input.
        """
        lines = list(feed or ())
        if not _lasts(words, lines):
            return self._read(words, timeout, lines)
        # All work trees of a clone share their objects; only paths after `--` depend on the place.
        key = (*words[2 if "--" in words[:-1] else 3 :], "", *lines)
        with self._turn(key):
            if key in self._found:
                return cast(Answer, self._found[key])
            answer = self._read(words, timeout, lines)
            # merge-base answers no with exit code 1; any other error may be gone the next time.
            certain = answer.ok or (answer.code == 1 and "merge-base" in words)
            if certain and len(answer.out) < _LARGE:
                self._found[key] = answer
            return answer

    @property
    def largest_text(self) -> int:
        """The size in bytes up to which git and we read a file line by line."""
        return int(self.settings.get(BIG, LARGEST_TEXT))

    def configure(self, settings: Mapping[str, str]) -> None:
        """Set git settings that outrank all others for every command from now on."""
        self.settings = dict(settings)
        _end(self._talks)  # they were started with the old settings
        self._talks.clear()

    def read_history(self, repo: Path) -> None:
        """Let git unpack the commits of a clone once, not once for each question: its commit graph
        has what all of them say.

        The graph is in a directory that only the questions of this object take for another place
        of objects, and ends with it. Without one, the answers only take longer.
        """
        if ":" in tempfile.gettempdir():  # separates several such directories
            return
        self._graph = tempfile.mkdtemp(prefix="carto-fork.")
        weakref.finalize(self, shutil.rmtree, self._graph, ignore_errors=True)
        write = "commit-graph write --reachable --no-progress --object-dir"
        self.read(["git", "-C", str(repo), *write.split(), self._graph])

    def once(self, key: Hashable, find: Callable[[], T]) -> T:
        """The value computed earlier for a key; computed now if there was none.

        key: everything the value depends on, commits by their hashes.
        """
        with self._turn(key):
            if key not in self._found:
                self._found[key] = find()
            return cast(T, self._found[key])

    def known(self, key: Hashable) -> Any:
        """The value that `once` has computed for a key; None if it has not."""
        return self._found.get(key)

    def ahead(self, find: Callable[[], object]) -> None:
        """Compute in the background what `once` will need soon; if that fails, `once` computes it
        again."""

        def finding() -> None:
            with suppress(BaseException):  # an interrupted git interrupts; the task says so
                find()

        threading.Thread(target=finding, daemon=True).start()

    def _turn(self, key: Hashable) -> threading.Lock:
        """The lock of a key, so that only one of two threads computes its value."""
        with self._starting:
            return self._turns.setdefault(key, threading.Lock())

    def talk(self, words: Sequence[str]) -> Talk:
        """A process that answers line by line; it is started once and ends with this object."""
        # All work trees of a clone share their objects, but not the index, which others may read.
        key = tuple(words[3:] if "mktree" in words else words)
        with self._starting:
            if key not in self._talks or self._talks[key].process.poll() is not None:
                if self.asking:
                    self.asking(command_line(words, join=joined))
                self._talks[key] = Talk(words, environment(**self._configured()))
            return self._talks[key]

    def _read(self, words: Sequence[str], timeout: int | None, lines: Sequence[str]) -> Answer:
        # Killing it loses nothing, so an interrupt needs none of the care that `run` takes.
        # Optional locks would let `git status` rewrite the index of the user's checkout.
        given = "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape")
        if self.asking:
            self.asking(command_line(words, join=joined))
        try:
            ended = subprocess.run(
                _comparing(_program(words)),
                input=given or None,
                stdin=None if given else subprocess.DEVNULL,
                capture_output=True,
                env=environment(**self._configured(), **self._reading(), GIT_OPTIONAL_LOCKS="0"),
                timeout=timeout,
            )
        except subprocess.TimeoutExpired:
            return Answer(TIMED_OUT, "", f"no answer within {timeout} s")
        except (FileNotFoundError, PermissionError) as error:  # the exit codes of a shell
            missing = isinstance(error, FileNotFoundError)
            why = "not found" if missing else error.strerror
            return Answer(127 if missing else 126, "", f"{words[0]}: {why}\n")
        out, err = (
            text.decode("utf-8", "surrogateescape") for text in (ended.stdout, ended.stderr)
        )
        if words[0] == "git" and ended.returncode < 0 and ended.returncode != -signal.SIGINT:
            # The caller would take this for the answer no.
            how = f"was killed by signal {-ended.returncode}"
            what = f"`{command_line(words, join=joined)}` {how}."
            raise Failed(what, then="run the same command again; it continues.")
        return _answer(ended.returncode, out, err)

    def run(
        self,
        words: Sequence[str],
        *,
        within: Path | None = None,
        live: Iterable[TextIO] = (),
        stdin: Path | None = None,
        without: Iterable[str] | None = None,
    ) -> Answer:
        """Run a command that changes something; with ``--dry`` only print it.

        within: the directory to run it in. without: see `environment`.
        live: streams that receive its output while it runs.
        stdin: a file to read from.
        """
        if self.dry:
            self.show(command_line(words, within) + (f" < {quote(str(stdin))}" if stdin else ""))
            return Answer(0, "", "")
        if "fetch" in words:  # it may fetch history that a shallow clone lacked
            self._found.clear()
        streams = Tee(live)
        process = Process(self._context)
        variables = environment(without=without, **self._configured())
        # `exec` makes the command itself, not a shell around it, the one that gets the signals.
        command = f"exec {shlex.join(_program(words))} < {quote(str(stdin or os.devnull))}"
        # Every option is given explicitly: a `run.warn` or `run.pty` in somebody's ~/.invoke.yaml
        # must not change what a failing step does.
        with process.forwarding_signals(), _traced(words, variables) as hooks:
            result = process.run(
                f"CDPATH= cd -- {quote(str(within))} && {command}" if within else command,
                shell="/bin/sh",
                warn=True,
                hide=not streams,
                pty=False,
                echo=False,
                dry=False,
                in_stream=False,
                # invoke writes to a stream it is given, whatever `hide` says.
                out_stream=streams or None,
                err_stream=streams or None,
                encoding="utf-8",
                env=variables,
                replace_env=True,
                asynchronous=False,
                disown=False,
                timeout=None,
            )
        streams.close()
        if process.interrupted:
            raise KeyboardInterrupt
        answer = _answer(result.exited or 0, result.stdout, result.stderr)
        hook = hooks[-1] if hooks and not answer.ok else ""
        # A hook that fails afterwards does not change what git has done.
        code = 0 if Path(hook).name.startswith("post-") else answer.code
        return replace(answer, code=code, hook=hook)

    def _configured(self) -> dict[str, str]:
        """The variables that pass the settings to git, after the caller's own."""
        count = os.environ.get("GIT_CONFIG_COUNT", "")
        first = int(count) if count.isdecimal() else 0
        variables = {"GIT_CONFIG_COUNT": str(first + len(self.settings))} if self.settings else {}
        for number, (key, value) in enumerate(self.settings.items(), first):
            variables |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
        return variables

    def _reading(self) -> dict[str, str]:
        """The variables of questions only: what hooks start may outlive the graph."""
        return {"GIT_ALTERNATE_OBJECT_DIRECTORIES": self._graph} if self._graph else {}

    def show(self, line: str) -> None:
        """Print a line to paste, with every byte of its paths unchanged."""
        line = harmless(line)
        raw = getattr(self.stream, "buffer", None)
        if raw is None:
            print(line.encode("utf-8", "backslashreplace").decode(), file=self.stream)
            return
        self.stream.flush()
        raw.write(f"{line}\n".encode("utf-8", "surrogateescape"))
        raw.flush()


class Talk:
    """A process that answers questions line by line.

    process: reads questions from standard input and writes answers to standard output.
    """

    def __init__(self, words: Sequence[str], variables: Mapping[str, str]) -> None:
        # A session of its own: it must not get Ctrl-C; it ends when its input is closed.
        self.process = subprocess.Popen(
            words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**variables, "GIT_OPTIONAL_LOCKS": "0"},
            start_new_session=True,
        )
        self._turn = threading.Lock()

    @contextmanager
    def ask(self, lines: Sequence[str]) -> Iterator[IO[bytes]]:
        """Ask everything at once and read the answers as they come."""
        to, answers = self.process.stdin, self.process.stdout
        assert to and answers
        text = "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape")
        with self._turn:
            # It answers before it has read everything, so a thread writes while we read.
            asking = threading.Thread(target=_say, args=(to, text), daemon=True)
            asking.start()
            try:
                yield answers
            except BaseException:
                self.process.kill()  # nobody will read the remaining answers
                raise
            finally:
                asking.join()


@contextmanager
def _traced(words: Sequence[str], variables: dict[str, str]) -> Iterator[list[str]]:
    """Let a git command log what it runs; afterwards the list holds the paths of the hooks that
    failed. Git itself does not name them.

    variables: the command's environment; the place of the log is added to it.
    """
    failed: list[str] = []
    if words[0] != "git" or _TRACE in variables:
        yield failed
        return
    # One file per process, removed afterwards: git's own children may outlive it.
    with tempfile.TemporaryDirectory(prefix="carto-fork.", ignore_cleanup_errors=True) as place:
        variables[_TRACE] = place
        yield failed
        started: dict[int, str] = {}
        for path in Path(place).iterdir():
            for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
                try:
                    event = json.loads(line)
                except ValueError:  # the disk is full
                    break
                if "/" in event["sid"]:  # a git started by git or by a hook
                    break
                if event["event"] == "child_start" and event["child_class"] == "hook":
                    started[event["child_id"]] = event["argv"][0]
                elif event["event"] == "child_exit" and event["code"]:
                    failed += [started[n] for n in [event["child_id"]] if n in started]


_TRACE = "GIT_TRACE2_EVENT"


def _say(to: IO[bytes], text: bytes) -> None:
    # It has ended, or `_end` closed its input meanwhile; the reader will notice.
    with suppress(OSError, ValueError):
        to.write(text)
        to.flush()


def _end(talks: Mapping[tuple[str, ...], Talk]) -> None:
    for talk in talks.values():
        talk.process.kill()
        talk.process.communicate()


def _answer(code: int, out: str, err: str) -> Answer:
    """The answer. Raises KeyboardInterrupt if the command was interrupted, by whomever."""
    if code in (-signal.SIGINT, 128 + signal.SIGINT):
        raise KeyboardInterrupt
    return Answer(code, out, scrub(err))


def command_line(
    words: Sequence[str],
    within: Path | None = None,
    join: Callable[[Sequence[str]], str] = shlex.join,
) -> str:
    """A command line to paste into a terminal.

    join: `text.joined` for one line without control characters, as messages show it.
    """
    here = list(words[:3]) == ["git", "-C", "."]  # as people type it who are there
    line = scrub(join(["git", *words[3:]] if here else _program(words)))
    return f"(cd {quote(str(within))} && {line})" if within and str(within) != "." else line


def _program(words: Sequence[str]) -> Sequence[str]:
    """The words to start a process with; a first word such as `A=1` sets a variable when it is
    pasted, so it cannot be the program."""
    return ["env", *words] if "=" in words[0] else words


_COMPARES = {"diff", "diff-files", "diff-index", "diff-tree", "log", "show", "status"}


def _comparing(words: Sequence[str]) -> Sequence[str]:
    """A question to git that ignores upstream's .gitmodules: some of its lines make git fail,
    others hide how submodules differ."""
    at = 1
    while words[at : at + 1] and words[at].startswith("-"):
        at += 2 if words[at] in ("-C", "-c") else 1
    command = words[at] if words[0] == "git" and at < len(words) else ""
    if command not in _COMPARES or any(w.startswith("--ignore-submodules") for w in words):
        return words
    what = "none" if command == "status" else "untracked"  # git's default
    return [*words[: at + 1], f"--ignore-submodules={what}", *words[at + 1 :]]


def environment(*, without: Iterable[str] | None = None, **variables: str) -> dict[str, str]:
    """The environment of every command: never prompts, never tied to another repository.

    without: for a check, the names of variables to leave out. Other commands look for neither
        programs in the current directory nor modules, as `python -m nbstripout` in a filter would.
    """
    if without is None:
        path = os.environ.get("PATH", os.defpath).split(os.pathsep)
        variables["PATH"] = os.pathsep.join(filter(os.path.isabs, path))
        variables["PYTHONSAFEPATH"] = "1"
    left_out = {*(without or ()), *filter(_REPOSITORY_VARIABLES.fullmatch, os.environ)}
    inherited = {k: v for k, v in os.environ.items() if k not in left_out}
    return inherited | _NEVER_ASK | variables
