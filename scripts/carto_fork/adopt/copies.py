"""The files that a fork gets, their texts, and which of them the team has changed."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from urllib.parse import unquote, urlsplit

from ..fork import records, session
from ..fork.fork import Fork
from ..fork.patterns import globs
from ..fork.policy import DEFAULT_NAME, POLICY_FILE, Policy, Take, load_policy
from ..fork.session import Session
from ..run import files, git, github
from ..run.errors import Refused, Usage
from ..run.shell import Shell
from . import documents

_PACKAGE = "carto-fork"
_PINNED = re.compile(
    rf"({_PACKAGE} ?@ ?)?git\+(https://|ssh://([\w.-]+@)?)[\w.-]+(:\d+)?/[\w./~+-]+@[0-9a-f]{{40}}"
    rf"|(({_PACKAGE} ?@ ?)?(https|file)://[\w./:~%+-]+\.whl|[\w./+-]+\.whl|{_PACKAGE}==[\w.+]+)"
    r"(#sha256=[0-9a-f]{64}|( --hash=sha256:[0-9a-f]{64})+)"
)
"""A requirement that always installs the same thing: a commit, or a wheel with its hash."""
_FORMS = (
    f"a commit, git+https://HOST/OWNER/{_PACKAGE}@COMMIT with all 40 digits, or a wheel, "
    "https://HOST/carto_fork-VERSION-py3-none-any.whl#sha256=HASH"
)

BRANCH = re.compile(r"adopt/[0-9a-f]{10}")
"""The names that `branch` returns."""

Read = Callable[[str], str | None]
"""The text of a file in the fork; None if the file is missing."""


class State(Enum):
    """How a file of the fork compares with what `fork.adopt` would write now."""

    NEW = "new"
    BEHIND = "behind"
    REPLACED = "replaced"
    CURRENT = "current"
    THEIRS = "changed by the team"
    FOREIGN = "not from fork.adopt"


_GIVEN = (State.REPLACED, State.CURRENT)
KEPT = (State.THEIRS, State.FOREIGN)


@dataclass(frozen=True)
class Copy:
    """A file of the fork: its text now (None if it is missing), and the one that it should have."""

    path: str
    state: State
    before: str | None
    after: str

    @property
    def due(self) -> bool:
        """Whether `fork.adopt` writes it."""
        return self.state in (State.NEW, State.BEHIND, State.REPLACED)


def compare(
    policy: Policy, read: Read, requirement: str = "", replace: Sequence[str] = (), draft: str = ""
) -> list[Copy]:
    """The files that `fork.adopt` would write, compared with what the fork has.

    draft: the fork's policy, if that is on no branch yet.
    requirement: what the workflows are to install; "" for what they install now.
    replace: files that the team changed, to be overwritten all the same.
    Raises Usage if `replace` names any other file, Refused if no rule would keep one of the files.
    """
    installed = {policy.files.requirements, policy.files.dependencies}
    # A new --requirement replaces both files, and so does one that is not pinned.
    outdated = installed if requirement or not pinned(read(policy.files.requirements)) else ()
    copies = [
        _copy(path, text, read(path), {*replace, *outdated})
        for path, text in texts(policy, read, requirement, draft, replace)
    ]
    if unknown := sorted(set(replace) - {c.path for c in copies if c.state in _GIVEN}):
        theirs = ", ".join(c.path for c in copies if c.state in KEPT) or "none"
        raise Usage(
            f"--replace: {unknown[0]!r} is not a file of `fork.adopt` that it keeps.",
            then=f"name one of them: {theirs}.",
        )
    _require_kept(policy, [copy.path for copy in copies])
    return copies


def _copy(path: str, after: str, before: str | None, replace: Collection[str]) -> Copy:
    if before is None:
        state = State.NEW
    elif _plain(before) == _plain(after):
        state = State.CURRENT
    elif documents.untouched(before):
        state = State.BEHIND
    elif path in replace:
        state = State.REPLACED
    else:
        state = State.THEIRS if documents.is_stamped(before) else State.FOREIGN
    return Copy(path, state, before, after)


def _plain(text: str) -> str:
    return text.replace("\r\n", "\n")


def texts(
    policy: Policy,
    read: Read,
    requirement: str = "",
    draft: str = "",
    replace: Collection[str] = (),
) -> Iterator[tuple[str, str]]:
    """The files that this fork gets, with their texts."""
    own = read(POLICY_FILE)
    if own is None:
        extends = f"# The values in which this fork's policy differs from {DEFAULT_NAME}."
        yield POLICY_FILE, draft or f'{extends}\nextends = "{DEFAULT_NAME}"\n'
    else:
        # The team writes its policy; `fork.adopt` only sees to it that there is one.
        yield POLICY_FILE, own
    files, values, given = policy.files, documents.values(policy), documents.given(policy)
    wanted = {
        files.sync: "workflows/upstream-sync.yml",
        files.guard: "workflows/guard.yml",
        files.release: "workflows/release.yml" if policy.releases and given["hosted"] else "",
        files.images: "workflows/images.yml" if documents.has_images(policy) else "",
        files.makefile: "adopted/tasks.mk",
        files.tasks: "adopted/tasks.txt",
    }
    images = None if files.images in replace else read(files.images)
    is_kept = images is not None and not documents.untouched(images)
    for path, name in wanted.items():
        if path and name:
            calls = path != files.release or not is_kept or documents.can_be_called(images or "")
            choices = given if calls else {**given, "images": False}
            text = documents.filled(documents.template(name), values, choices)
            yield path, documents.stamped(text, path)
    if files.requirements:
        # The program changes together with the dependencies that it was tested with.
        installed = pinned(read(files.requirements))
        line = requirement.replace("#sha256=", " --hash=sha256:") or installed
        yield files.requirements, documents.stamped(f"{line}\n", files.requirements)
        kept = None if requirement or not installed else read(files.dependencies)
        # The fork has nothing of how this project makes the file.
        locked = re.sub(r"\A(#.*\n)+", "", documents.template("adopted/dependencies.txt"))
        yield files.dependencies, kept or documents.stamped(locked, files.dependencies)
    if files.guide:
        yield files.guide, documents.guide(policy)
    if given["process"]:
        yield files.process, documents.process(policy)


def pinned(text: str | None) -> str:
    """The requirement in a requirements file; "" unless it is pinned to one commit or wheel."""
    lines = [line for line in (text or "").splitlines() if line and not line.startswith("#")]
    return lines[0] if len(lines) == 1 and _PINNED.fullmatch(lines[0]) else ""


def source(sh: Shell) -> str:
    """The requirement that installs the running program, for `--requirement`; "" if no other
    machine can get it from anywhere that is known.

    It comes from pip's record of the installation, or from this checkout's commit and remotes.
    """
    requirements = []
    record = session.installed_from()
    if record and "dir_info" not in record:
        commit = record.get("vcs_info", {}).get("commit_id")
        sha256 = record.get("archive_info", {}).get("hashes", {}).get("sha256")
        url = record.get("url")
        requirements += [f"git+{url}@{commit}" if commit else f"{url}#sha256={sha256}"]
    elif here := _checkout():
        head = sh.ask("git -C {here} rev-parse HEAD", here=here).line
        remotes = sh.ask("git -C {here} remote", here=here).out.split()
        for remote in sorted(remotes, key=lambda name: name != "origin"):
            url = sh.ask("git -C {here} remote get-url {remote}", here=here, remote=remote).line
            requirements += [f"git+{github.https_url(url)}@{head}"]  # jobs have no key for SSH
    return next(filter(_is_public, requirements), "")


def _checkout() -> Path | None:
    """The checkout that this program runs from or was installed from; None if it does not."""
    record = session.installed_from()
    place = Path(__file__).resolve().parents[3]
    if "dir_info" in record:
        place = Path(unquote(urlsplit(str(record["url"])).path))
    project = place / "pyproject.toml"
    is_ours = project.is_file() and f'name = "{_PACKAGE}"' in files.read_text(project)
    return place if is_ours else None


def _is_public(requirement: str) -> bool:
    """Whether other machines can install it: not from a path on this one."""
    return bool(_PINNED.fullmatch(requirement)) and not requirement.startswith("file:")


def is_needed(policy: Policy, read: Read) -> bool:
    """Whether the fork has no pinned requirement yet, and needs one."""
    path = policy.files.requirements
    return bool(path) and not pinned(read(path))


def missing(sh: Shell, policy: Policy, read: Read, gh: str = "gh") -> str:
    """What `--requirement` has to name; "" if it is not needed, or not known.

    gh: the fork's, which is another one in the sandbox; there nothing has to be published.
    """
    if not is_needed(policy, read):
        return ""
    return source(sh) or (_beside_fork(sh, policy)[1] if gh != "gh" else "")


def _beside_fork(sh: Shell, policy: Policy) -> tuple[str, str]:
    """The address that this program can have beside the fork, and the requirement that names its
    commit there; empty without a checkout, or if the fork is on no host."""
    url, here = github.https_url(policy.remotes.origin.url), _checkout()
    if not here or not url:
        return "", ""
    named = f"{url.rpartition('/')[0]}/{_PACKAGE}"
    return named, f"git+{named}@{sh.ask('git -C {here} rev-parse HEAD', here=here).line}"


def how_to_publish(s: Session, policy: Policy, again: str) -> str:
    """What to type if no other machine can get this program from anywhere: it then has a place
    beside the fork.

    again: the command that then names it.
    """
    (named, requirement), here = _beside_fork(s.sh, policy), _checkout()
    if not named or not here:
        return "name its address with --requirement."
    publish = f"{git.at(git.nearest(here))} push {named} HEAD:refs/heads/main"
    if slug := github.slug_of(named):
        publish = f"gh repo create {slug} --public --source {git.nearest(here)} --remote published "
        publish += "--push"
    return f"publish it, such as: {publish}\nthen: {again} --requirement {requirement}"


def require_source(s: Session, policy: Policy, read: Read, asked: str, gh: str = "gh") -> None:
    """Raises Refused unless it is certain what the workflows will install.

    gh: the fork's.
    """
    if left := re.findall(r"\b(?:HOST(?=/)|OWNER(?=/)|COMMIT$|VERSION(?=-py3)|HASH$)", asked):
        listed = " and ".join(", ".join(left).rsplit(", ", 1))
        what = f"{listed} {'are placeholders' if len(left) > 1 else 'is a placeholder'}"
        raise Refused(f"{what}: put in where your copy of carto-fork is.", then=f"name {_FORMS}.")
    if asked and not _PINNED.fullmatch(asked):
        problem = f"--requirement is {asked!r}, which may install another program tomorrow"
        raise Refused(f"{problem}{_loose(asked)}.", then=f"name {_FORMS}.")
    if not asked and is_needed(policy, read):
        needed, public = missing(s.sh, policy, read, gh), source(s.sh)
        lacks = "" if public else " No address of this copy is known that others can fetch it from."
        then = f"{s.again} --requirement {needed}" if needed else ""
        if needed != public:
            then += "\nIn the sandbox nothing installs it, so type this as it is. For a fork on "
            then += "GitHub, publish the program there first."
        raise Refused(
            "the workflows need to know where to install this program from: a commit, or a wheel "
            "with its hash. No public index has it, and their jobs have tokens with write access "
            f"to the fork.{lacks}",
            then=then or how_to_publish(s, policy, s.again),
        )


def _loose(asked: str) -> str:
    """What a requirement lacks to be pinned, after a colon; "" if that is not clear."""
    if hashed := re.search(r"\.whl(?: --hash=|#)sha256[:=](\w*)$", asked):
        return f": a SHA-256 has 64 hexadecimal digits, and {hashed[1]!r} is not one"
    if asked.endswith(".whl"):
        return ": its hash is missing"
    if re.match(r"(\S+ ?@ ?)?git\+", asked):
        at = asked.rpartition("/")[2].partition("@")[2]
        return f": {at!r} is not a commit's 40 digits" if at else ": its commit is missing"
    return ""


def _require_kept(policy: Policy, paths: Sequence[str]) -> None:
    """Raises Refused if no rule of the fork keeps one of these files in a merge."""
    rules = [(rule, globs(rule.paths)) for rule in policy.rules]

    def first(path: str) -> int:
        matching = (n for n, (_, spec) in enumerate(rules) if spec.match_file(path))
        return next(matching, len(rules))

    keeping = [
        n
        for n, (rule, _) in enumerate(rules)
        if rule.take is Take.FORK and rule.whole and not (rule.kinds or rule.deleted_by)
    ]
    unused = set() if policy.proposers else {records.PROPOSALS_FILE}
    asked = [*paths, *sorted(records.NOTES - unused)]
    lost = {path: first(path) for path in asked if first(path) not in keeping}
    if not lost:
        return
    listed = ", ".join(f'"/{path}"' for path in lost)
    then = f"add a table `[[rules]]` before the others in {POLICY_FILE}: "
    then += f'name = "the fork\'s own files", take = "{Take.FORK.value}", whole = true, '
    then += f'why = "Only the fork has them.", paths = [{listed}].'
    inherited = {rule.name for rule in load_policy().policy.rules}
    name = next((policy.rules[n].name for n in keeping if n < min(lost.values())), "")
    if name and name not in inherited:
        then = f"in {POLICY_FILE}, add {listed} to `paths` of the rule {name!r}."
    raise Refused(f"no rule of the policy keeps {next(iter(lost))} whole in a merge.", then=then)


def foreign(copies: Sequence[Copy]) -> list[str]:
    """The workflows in the place of this program's that somebody else wrote."""
    workflows = (copy for copy in copies if copy.path.endswith((".yml", ".yaml")))
    return [copy.path for copy in workflows if copy.state is State.FOREIGN]


def branch(copies: Sequence[Copy]) -> str:
    """The branch that brings the files into the fork; its name depends on their texts."""
    return branch_of((copy.path, copy.after) for copy in copies if copy.due)


def branch_of(texts: Iterable[tuple[str, str]]) -> str:
    """The branch of these files, each with its text."""
    content = "\0".join(f"{path}\0{text}" for path, text in texts)
    return f"adopt/{hashlib.sha256(content.encode('utf-8', 'surrogateescape')).hexdigest()[:10]}"


def waiting(sh: Shell, fork: Fork) -> list[str]:
    """The published branches of `fork.adopt` that have not landed, without outdated ones: a draft
    in the checkout has another policy, which somebody has edited since, or see `superseded`."""
    tips = {
        branch: fork.tracking(fork.policy.remotes.origin, branch)
        for branch in filter(BRANCH.fullmatch, fork.published)
    }
    return [
        branch
        for branch, tip in tips.items()
        if not git.is_ancestor(sh, fork.path, tip, fork.production_commit)
        and not (fork.draft and git.show(sh, fork.path, tip, POLICY_FILE) != fork.draft)
        and not superseded(sh, fork, tip)
    ]


def superseded(sh: Shell, fork: Fork, tip: str) -> bool:
    """Whether production has changed every file of a branch of `fork.adopt` that has not landed,
    since the branch began: a later one landed."""
    bases = git.merge_bases(sh, fork.path, tip, fork.production_commit)
    if not bases or bases[0] == tip:
        return False
    brought, now = (
        git.differing(sh, fork.path, bases[0], end) for end in (tip, fork.production_commit)
    )
    return set(brought) <= set(now)


def uncalled(policy: Policy, read: Read) -> str:
    """Why the release workflow does not call the images workflow that the team keeps; "" if it
    can."""
    files = policy.files
    text = read(files.images) if files.release and policy.releases else None
    if text is None or not documents.has_images(policy) or documents.can_be_called(text):
        return ""
    return (
        f"{files.images} has no `workflow_call` with the input `release`, so {files.release} does "
        "not call it and a release builds no images: add the trigger (`fork.adopt` then adds the "
        "call), or replace the file."
    )
