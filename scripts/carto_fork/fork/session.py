"""One running task: its shell, its console, how it was called, and how it ends."""

from __future__ import annotations

import errno
import json
import os
import re
import shlex
import shutil
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from shlex import quote
from types import FrameType
from typing import Any
from urllib.parse import unquote, urlsplit

import msgspec
from invoke.context import Context

from ..run import git, steps
from ..run.console import Console
from ..run.errors import ExitCode, Failed, Interrupted, Paused, Refused, Stop
from ..run.programs import handling
from ..run.shell import Shell
from ..run.steps import Journal, Runner
from ..run.text import joined
from .fork import Fork, open_fork
from .settings import launching_hook, safe_settings

# invoke's own options that take the next word as their value: those that decide which tasks
# exist, and the others.
_LOCATION = ("-c", "--collection", "-r", "--search-root", "-f", "--config")
_OTHER = ("-T", "--command-timeout", "-D", "--list-depth", "-F", "--list-format", "--hide")


def program(argv: Sequence[str]) -> str:
    """What a person types before the name of a task, such as ``invoke`` or ``carto-fork``.

    argv: as in `sys.argv`. Only those of invoke's options stay that say where the tasks are.
    """
    if once := _without_installing():
        return shlex.join(once)
    words = [_on_path(argv[0])]
    if Path(argv[0]).name == "__main__.py":
        words = [_on_path(sys.executable), "-m", Path(argv[0]).parent.name]
    options = iter(argv[1:])
    for option in options:
        if not option.startswith("-"):
            break
        if option in _LOCATION:
            words += [option, next(options, "")]
        elif option.startswith(tuple(f"{name}=" for name in _LOCATION)):
            words.append(option)
        elif option in _OTHER:
            next(options, "")
    return shlex.join(words)


def anywhere(argv: Sequence[str]) -> str:
    """The command that starts this program from any directory, for hooks and the like."""
    if once := _without_installing():
        return shlex.join(once)
    path = Path(argv[0]).absolute()
    words = [sys.executable, "-m", path.parent.name] if path.name == "__main__.py" else [str(path)]
    if Path(words[-1]).name.startswith("carto-fork"):
        return shlex.join(words)
    given = [part for word in argv[1:] for part in _parted(word)]
    paths = {"-r", "--search-root", "-f", "--config"}
    kept = [
        word
        for option, value in pairwise(given)
        if option in _LOCATION
        for word in (option, os.path.abspath(value) if option in paths else value)
    ]
    if not {"-r", "--search-root"} & set(kept):
        kept += ["--search-root", os.getcwd()]
    return shlex.join([*words, *kept])


def _without_installing() -> list[str]:
    """What a person types for this program if `uvx` or `pipx run` brought it; [] if it is
    installed. It is in their cache then, and on nobody's PATH."""
    place = Path(sys.prefix)
    if place.parent.name.startswith("archive-v"):
        runner = ["uvx", "--from"]
    elif (place / "pipx_metadata.json").is_file() and place.parent.name != "venvs":
        runner = ["pipx", "run", "--spec"]
    else:
        return []
    noted = installed_from()
    source = str(noted.get("url", "carto-fork"))
    if "dir_info" in noted:
        source = unquote(urlsplit(source).path)
    elif version := noted.get("vcs_info"):
        named = version.get("requested_revision")
        source = f"{version['vcs']}+{source}" + (f"@{named}" if named else "")
    return [*runner, source, "carto-fork"]


def installed_from() -> dict[str, Any]:
    """What an installer noted of where this program is from, in its `direct_url.json`; empty if it
    noted nothing."""
    from importlib import metadata

    with suppress(metadata.PackageNotFoundError):
        itself = metadata.distribution("carto-fork")
        if Path(str(itself.locate_file(""))).resolve() == Path(__file__).resolve().parents[2]:
            noted: dict[str, Any] = json.loads(itself.read_text("direct_url.json") or "{}")
            return noted
    return {}


def _parted(word: str) -> list[str]:
    """An option that says where the tasks are, and its value, as two words."""
    return word.split("=", 1) if word.startswith(tuple(f"{x}=" for x in _LOCATION)) else [word]


def _on_path(program: str) -> str:
    """The bare name if a shell finds this very program by it, otherwise the shorter path."""
    name = Path(program).name
    # A venv's Python links to the system's, which has other modules.
    real = os.path.abspath if program == sys.executable else os.path.realpath
    first = shutil.which(name)
    if first and real(first) == real(program):
        return name
    try:
        path = os.path.relpath(program)
    except FileNotFoundError:  # the current directory is gone, which is said later
        return program
    if path.startswith(".."):
        return program
    return path if os.sep in path else f".{os.sep}{path}"


def command(program: str, task: str, **options: str | bool | Sequence[str]) -> str:
    """A task's command line; options that are empty or False are left out, and one with several
    values is repeated. `--repo` is left out, too, if it names the directory that the person is in.
    """
    words = [task]
    for name, value in options.items():
        if name == "repo" and _is_here(str(value)):
            continue
        flag = f"--{name.replace('_', '-')}"
        if value is True:
            words.append(flag)
        elif value:
            values = [value] if isinstance(value, str) else value
            words += [word for one in values for word in (flag, one)]
    return f"{program} {joined(words)}"


def _is_here(repo: str) -> bool:
    """Whether a task works on this directory by itself."""
    if not repo or "CARTO_FORK_REPO" in os.environ:
        return False
    with suppress(OSError, RuntimeError):  # the directory is gone, or nobody's home
        return Path(repo).expanduser().resolve() == Path.cwd()
    return False


_IF_NOBODY = "check whether git is still running here (ps -C git -o pid,args); if not, "
# Git's messages about the leftovers of a crash, and the cure; {file} is the pattern's group.
_DAMAGE = (
    (r"'([^'\n]+\.lock)': File exists", f"{_IF_NOBODY}rm {{file}}"),
    (r"could not lock config file (\S+): File exists", f"{_IF_NOBODY}rm {{file}}.lock"),
    (
        r"(?:unterminated|unexpected) line in (\S+packed-refs)",
        "a fetch brings back what the remotes have of what it lists: mv {file} {file}.away",
    ),
    (r"bad shallow line()", "mv {git}/shallow {git}/shallow.away"),
    (r"bad config line \d+ in file (\S+)", "correct that line of {file}"),
    (
        r"(?:object file |\(stored in )(\S+/objects/\S+?)\)? is (?:empty|corrupt)",
        "rm -f {file} && {at} fetch --all --refetch",
    ),
    (
        r"(?:missing|bad|unable to read|could not read) .*\b[0-9a-f]{40}()",
        "{at} fetch --all --refetch",
    ),
    (
        r"index file (?:corrupt|smaller)|bad signature 0x|bad index|unknown index entry()",
        "stage your changes again afterwards: rm {index} && {at} reset --quiet",
    ),
)

_DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_IN_THE_WAY = (errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ELOOP)


class Session(Runner):
    """What every task works with.

    context: invoke's.
    task: the task's name.
    argv: the command line of the program, as in `sys.argv`.
    as_json: whether standard output is reserved for JSON; people then read standard error.
    options: the task's options; empty ones are left out of the command to repeat.
    """

    def __init__(
        self,
        context: Context,
        task: str,
        argv: Sequence[str],
        as_json: bool,
        **options: str | bool | Sequence[str],
    ) -> None:
        sh = Shell(context, sys.stderr if as_json else sys.stdout)
        super().__init__(sh, Console(sh.stream, pasteable=sh.dry), program(argv))
        self.json = as_json
        named = str(options.get("repo", ""))
        self.repo_option = "" if _is_here(named) else named
        self.again = command(self.program, task, **options, json=as_json)
        self._argv, self._printed = argv, False

    @property
    def path(self) -> Path:
        """The directory of the fork: ``--repo``, else ``CARTO_FORK_REPO``, else the current one."""
        try:
            os.getcwd()
            return Path(self.repo_option or os.environ.get("CARTO_FORK_REPO") or ".").expanduser()
        except (OSError, RuntimeError) as error:
            problem = f"the current directory is gone: {error}."
            raise Refused(problem, then="go to another one.") from None

    def open_fork(self, *, whatever_policy: bool = False) -> Fork:
        """The fork to work on.

        whatever_policy: whether the task can run even if the fork's own policy is invalid.
        Raises Refused if the directory is not a fork.
        """
        fork = open_fork(self.sh, self.path)
        self.sh.configure(safe_settings(self.sh, fork))
        self.logs = git.nearest(fork.notes("clone"))
        if fork.problem and not whatever_policy:
            raise fork.problem
        return fork

    def run_no_launching_hooks(self, fork: Fork) -> None:
        """Switch hooks off, and print that, if one would start programs from a merged tree."""
        hook, launcher = launching_hook(fork)
        if hook:
            self.sh.configure({**self.sh.settings, "core.hookspath": os.devnull})
            on = self.spelled_out("`git config carto-fork.hooks true`")
            self.console.say(
                f"Note: git runs no hooks here, since {launcher} in {git.nearest(hook)} starts "
                f"programs that the merged files name. To allow it: {on}.",
                "yellow",
            )

    def open_work_tree(self) -> tuple[Fork, Path]:
        """The fork to work on, and the top of the named work tree."""
        fork = self.open_fork()
        return fork, fork.repository.work

    def remedy(self, stop: Stop) -> str:
        """The cure if a crash left a lock or a file that git cannot read; "" otherwise."""
        # Messages from upstream's server must not decide which files are removed.
        said = re.sub(r"(?m)^\s*remote:.*", "", stop.what)
        for pattern, advice in _DAMAGE:
            if found := re.search(pattern, said):
                question = "git -C {at} rev-parse --git-common-dir --git-path index"
                asked = self.sh.ask(question, at=self.path)
                where = asked.line.split("\n") if asked.ok else [".git", ".git/index"]
                git_dir, index = (self.path / name for name in where)
                file = (self.path / (found[1] or git_dir)).resolve()
                if file.is_relative_to(git_dir.resolve()):
                    places = {"git": git_dir, "index": index, "file": file}
                    shown = {name: quote(str(git.nearest(p))) for name, p in places.items()}
                    return advice.format(at=git.at(git.nearest(self.path)), **shown)
        return ""

    @property
    def guard_line(self) -> str:
        """The command line that checks a push, from any directory."""
        return f"{anywhere(self._argv)} ci.guard --pre-push"

    def command(self, task: str, **options: str | bool | Sequence[str]) -> str:
        """The command line of another task on the same fork."""
        return command(self.program, task, **{"repo": self.repo_option, **options})

    def spelled_out(self, advice: str) -> str:
        """Advice with `the same command` and the names of tasks replaced by whole command lines."""
        advice = advice.replace("the same command", f"`{self.again}`")
        advice = advice.replace("`git config ", f"`{git.at(self.path)} config ")
        advice = advice.replace("`fork.heal --check`", f"`{self.command('fork.heal', check=True)}`")
        named = r"`(setup|status|next|branch\.pr|fork\.(?:config|init|heal))`"
        advice = re.sub(named, lambda task: f"`{self.command(task[1])}`", advice)
        whole = r"(?:(?<=`)|(?<=&& ))(?:(?:upgrade-carto|verify|bump-version|branch\.start)(?= --)"
        advice = re.sub(rf"{whole}|branch\.pr(?=`))", lambda of: self.command(of[0]), advice)
        request = r"`resolve-conflicts --pr ([^\s`]+)`"
        return re.sub(request, lambda of: self.command("resolve-conflicts", pr=of[1]), advice)

    def print_json(self, data: Any) -> None:
        """Print the task's result for scripts."""
        # The standard library's JSON can also represent paths that are not UTF-8.
        text = json.dumps(msgspec.to_builtins(data), indent=2, sort_keys=True)
        # It means the same in JSON, and GitHub Actions finds no workflow command in it.
        print(text.replace("##[", "#\\u0023["))
        self._printed = True

    def print_stop(self, stop: Stop) -> None:
        """Print as JSON why the task ends early, unless it has printed its result."""
        if self.json and not self._printed:
            self.print_json(stop.as_json())

    @contextmanager
    def locked(self, repository: git.Repository) -> Iterator[Journal | None]:
        """Hold the fork's lock while changing the fork; with ``--dry`` nothing changes."""
        if self.sh.dry:
            yield None
            return
        with steps.locked(repository.common, self.again) as held:
            yield held


@contextmanager
def session(
    context: Context, task: str, *, as_json: bool = False, **options: str | bool | Sequence[str]
) -> Iterator[Session]:
    """Run a task's body; turn every stop into a message that names the command to type next."""
    made = Session(context, task, sys.argv, as_json, **options)
    # A cancelled job or a closed terminal ends a task as cleanly as Ctrl-C.
    with handling((signal.SIGINT, signal.SIGTERM, signal.SIGHUP), _interrupt):
        try:
            yield made
        except Stop as stop:
            then = made.remedy(stop)
            then = f"{then}, then run the same command again." if then else stop.then
            stop.advise(made.spelled_out(then))
            what = stop.what.partition("\n")[0].rstrip(
                ":"
            )  # findings have annotations of their own
            if stop.exit_code:
                made.console.annotate(stop.title, what, sure=not isinstance(stop, Paused))
            made.print_stop(stop)
            raise
        except KeyboardInterrupt:
            raise Interrupted(
                "Ctrl-C or a signal stopped it.",
                untouched="What was done so far is kept; nothing is half-done.",
                then=f"run `{made.again}` again; it continues.",
            ) from None
        except BrokenPipeError:
            # The reader is gone, as in `... | head`: discard the rest of the output.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(ExitCode.CLOSED)
        except OSError as error:
            if error.errno in _DISK_FULL:
                what, then = f"the disk is full: {error}", "make room"
            else:
                # A file further up may be in the way.
                place = Path(error.filename or os.environ.get("TMPDIR", "/tmp"))
                existing = [path for path in (place, *place.parents) if os.path.lexists(path)]
                name = quote(str(existing[0]))
                what = f"{quote(str(place))} cannot be used: {error.strerror or error}"
                then = f"check what is there (ls -ld {name}) and fix it"
                if error.errno in _IN_THE_WAY:
                    then = f"check what it is (ls -ld {name}), and move it away: "
                    then += f"mv {name} {name}.away"
            raise Failed(
                f"{what}.",
                untouched="What was done so far is kept.",
                then=f"{then}, then run `{made.again}` again.",
            ) from None


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
