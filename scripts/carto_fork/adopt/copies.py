"""`fork.adopt`: the files that a fork gets, their texts, and which of them the team has changed."""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any

from ..fork import branches, records, recovery, session, setup
from ..fork.fork import Fork, require_production, require_right_urls
from ..fork.patterns import globs
from ..fork.policy import DEFAULT_NAME, POLICY_FILE, Policy, Take, load_policy
from ..fork.session import Session
from ..fork.setup import There
from ..release import contribute
from ..run import files, git, github
from ..run.errors import CheckFailed, Refused, Usage
from ..run.shell import Shell
from ..run.steps import Condition, Journal, Plan, Step
from ..run.text import counted
from . import documents

_PACKAGE = "carto-fork"
_PINNED = re.compile(
    rf"({_PACKAGE} ?@ ?)?git\+(https://|ssh://([\w.-]+@)?)[\w.-]+(:\d+)?/[\w./~+-]+@[0-9a-f]{{40}}"
    rf"|(({_PACKAGE} ?@ ?)?(https|file)://[\w./:~%+-]+\.whl|[\w./+-]+\.whl|{_PACKAGE}==[\w.+]+)"
    r"(#sha256=[0-9a-f]{64}|( --hash=sha256:[0-9a-f]{64})+)"
)
"""A requirement that always installs the same thing: a commit, or a wheel with its hash."""
UNKNOWN = "git+https://HOST/OWNER/"
"""How a requirement begins if a person has to say where the program is."""
_PLACE = f"{UNKNOWN}{_PACKAGE}@COMMIT"
_FORMS = (
    f"a commit, {_PLACE} with all 40 digits, or a wheel, "
    "https://HOST/carto_fork-VERSION-py3-none-any.whl#sha256=HASH"
)

_WORKFLOW = (".yml", ".yaml")

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
_KEPT = (State.THEIRS, State.FOREIGN)


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
        for path, text in texts(policy, read, requirement, draft)
    ]
    if unknown := sorted(set(replace) - {c.path for c in copies if c.state in _GIVEN}):
        theirs = ", ".join(c.path for c in copies if c.state in _KEPT) or "none"
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
    policy: Policy, read: Read, requirement: str = "", draft: str = ""
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
    for path, name in wanted.items():
        if path and name:
            text = documents.filled(documents.template(name), values, given)
            yield path, documents.stamped(text, path)
    if files.requirements:
        # The program changes together with the dependencies that it was tested with.
        installed = pinned(read(files.requirements))
        line = requirement.replace("#sha256=", " --hash=sha256:") or installed
        yield files.requirements, documents.stamped(f"{line}\n", files.requirements)
        kept = None if requirement or not installed else read(files.dependencies)
        locked = documents.template("adopted/dependencies.txt")
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
    """The requirement that installs the running program, for `--requirement`.

    It comes from pip's record of the installation, or from this checkout's commit; if neither is
    known, it has words in capitals for a person to replace.
    """
    here, place, requirement = Path(__file__).resolve().parents[2], _PLACE, ""
    record = session.installed_from()
    if record and "dir_info" not in record:
        commit = record.get("vcs_info", {}).get("commit_id")
        sha256 = record.get("archive_info", {}).get("hashes", {}).get("sha256")
        url = record.get("url")
        requirement = f"git+{url}@{commit}" if commit else f"{url}#sha256={sha256}"
    project = here.parent / "pyproject.toml"
    is_ours = project.is_file() and f'name = "{_PACKAGE}"' in files.read_text(project)
    if not requirement and is_ours:
        head = sh.ask("git -C {here} rev-parse HEAD", here=here).line or "COMMIT"
        url = sh.ask("git -C {here} remote get-url origin", here=here).line
        if slug := github.slug_of(url):
            url = f"https://github.com/{slug}"  # jobs have no key for SSH
        place, requirement = place.replace("COMMIT", head), f"git+{url}@{head}"
    # No other machine can install from a path on this one.
    is_public = _PINNED.fullmatch(requirement) and not requirement.startswith("file:")
    return requirement if is_public else place


def missing(sh: Shell, policy: Policy, read: Read) -> str:
    """What `--requirement` has to name; "" if the fork has a pinned requirement already."""
    path = policy.files.requirements
    return "" if not path or pinned(read(path)) else source(sh)


def _require_source(s: Session, policy: Policy, read: Read, asked: str) -> None:
    """Raises Refused unless it is certain what the workflows will install."""
    if left := re.findall(r"\b(?:HOST(?=/)|OWNER(?=/)|COMMIT$|VERSION(?=-py3)|HASH$)", asked):
        listed = " and ".join(", ".join(left).rsplit(", ", 1))
        what = f"{listed} {'are placeholders' if len(left) > 1 else 'is a placeholder'}"
        raise Refused(f"{what}: put in where your copy of carto-fork is.", then=f"name {_FORMS}.")
    if asked and not _PINNED.fullmatch(asked):
        problem = f"--requirement is {asked!r}, which may install another program tomorrow."
        raise Refused(problem, then=f"name {_FORMS}.")
    if not asked and (needed := missing(s.sh, policy, read)):
        raise Refused(
            "the workflows need to know where to install this program from. No public index has "
            f"it, and their jobs have tokens with write access: name {_FORMS}.",
            then=f"{s.again} --requirement {needed}",
        )


def _require_kept(policy: Policy, paths: Sequence[str]) -> None:
    """Raises Refused if no rule of the fork keeps one of these files in a merge."""
    rules = [(rule, globs(rule.paths)) for rule in policy.rules]
    unused = set() if policy.proposers else {records.PROPOSALS_FILE}
    lost = [
        path
        for path in [*paths, *sorted(records.NOTES - unused)]
        if not any(
            rule.take is Take.FORK and rule.whole and not (rule.kinds or rule.deleted_by)
            for rule in [next((r for r, spec in rules if spec.match_file(path)), None)]
            if rule
        )
    ]
    if lost:
        listed = ", ".join(f'"/{path}"' for path in lost)
        raise Refused(
            f"no rule of the policy keeps {lost[0]} whole in a merge.",
            then=f"add a table `[[rules]]` before the others in {POLICY_FILE}: "
            f'name = "files of the fork", take = "{Take.FORK.value}", whole = true, '
            f'why = "Only the fork has them.", paths = [{listed}].',
        )


def branch(copies: Sequence[Copy]) -> str:
    """The branch that brings the files into the fork; its name depends on their texts."""
    content = "\0".join(f"{copy.path}\0{copy.after}" for copy in copies if copy.due)
    return f"adopt/{hashlib.sha256(content.encode('utf-8', 'surrogateescape')).hexdigest()[:10]}"


DRAFT = Condition("if it is not on the production branch yet")


ADOPT = (
    branches.BRANCH,
    branches.WORKTREE,
    Step(
        "policy",
        "Copy the policy, which is not committed yet.",
        when=DRAFT,
        run=("cp {policy} {work}/carto_fork.toml",),
    ),
    Step(
        "write",
        "Write the fork's files and commit them.",
        run=("invoke step.write-adopted --repo {work}",),
        call=lambda write: write(),
        stuck="fix in {work} what git or a hook complains about, then run the same command again.",
    ),
    branches.PUSH,
    replace(
        contribute.PULL_REQUEST[1],
        untouched="{origin} has {sync}; only the pull request is missing.",
    ),
    *branches.TIDY,
)

MESSAGE = "chore: adopt the tasks that keep the fork on its upstream"


def adopt(s: Session, check: bool, requirement: str, replaced: Sequence[str], push: bool) -> None:
    """Publish a branch with the files that are missing from the fork or out of date.

    check: only report; raises CheckFailed if there is such a file.
    """
    fork = s.open_fork()
    if check:
        _check(s, fork, requirement)
        return
    require_right_urls(fork)
    git.require_identity(s.sh, fork.path)
    with s.locked(fork.repository) as held:
        heads = contribute.branch_on_origin(s, fork, fork.policy.branches.production, "adopt/*")
        fork, base = contribute.current(s, fork, heads, held)
        read = _reader(s, fork, base)
        try:
            _require_source(s, fork.policy, read, requirement)
        except Refused as refusal:
            names = (name.removeprefix("refs/heads/") for name in heads.objects)
            if waiting := [name for name in names if BRANCH.fullmatch(name)]:
                origin = fork.policy.remotes.origin.name
                refusal.what += f" (If an earlier run did: {origin} has {', '.join(waiting)}, "
                refusal.what += "whose pull request somebody has to merge first.)"
            raise
        copies = compare(fork.policy, read, requirement, replaced, fork.draft)
        _show_states(s, copies)
        name = branch(copies)
        fork = recovery.put_in_order(s, fork, held, name)
        due = [copy for copy in copies if copy.due]
        url = ""
        if due:
            _show_changes(s, due)
            if fork.draft:
                # Printed first: the draft gets onto the branch even if the pull request fails.
                s.console.say(
                    f"The branch contains {POLICY_FILE}. Keep the file here until "
                    f"{fork.policy.branches.production} has it, then remove it.",
                    "yellow",
                )
            published = f"refs/heads/{name}" in heads.objects
            url = _publish(s, fork, base, copies, requirement, replaced, push, published, held)
        hook = _hook(s, fork, held)
    if s.json:
        data: dict[str, Any] = {"files": _facts(copies), "branch": name if due else None}
        s.print_json(data | {"pull_request": url or None, "hook": hook.value})
    if due and not s.sh.dry:
        _say_next(s, fork, name, push, url)
    _say_foreign(s, copies, requirement)


def _check(s: Session, fork: Fork, requirement: str) -> None:
    """Raises CheckFailed if the fork lacks one of its files or has an outdated one."""
    require_production(fork)
    read = _reader(s, fork, fork.production_commit)
    if requirement:
        _require_source(s, fork.policy, read, requirement)
    copies = compare(fork.policy, read, requirement, draft=fork.draft)
    _show_states(s, copies)
    if s.json:
        s.print_json({"files": _facts(copies)})
    requirement = requirement or missing(s.sh, fork.policy, read)
    _say_foreign(s, copies, requirement)
    if due := [copy for copy in copies if copy.due]:
        listed = ", ".join(copy.path for copy in due)
        raise CheckFailed(
            f"{counted(len(due), 'file')} of the fork {'is' if len(due) == 1 else 'are'} missing "
            f"or out of date: {listed}.",
            then=s.command("fork.adopt", requirement=requirement),
        )


def _reader(s: Session, fork: Fork, commit: str) -> Read:
    """Reads the fork's files at a commit."""
    return lambda path: git.show(s.sh, fork.path, commit, path)


def _facts(copies: Sequence[Copy]) -> list[dict[str, str]]:
    return [{"path": copy.path, "state": copy.state.value} for copy in copies]


def _show_states(s: Session, copies: Sequence[Copy]) -> None:
    width = max(len(copy.path) for copy in copies)
    for copy in copies:
        style = "yellow" if copy.state in _KEPT else ""
        lines = f", {counted(len(copy.after.splitlines()), 'line')}" if copy.before is None else ""
        s.console.row(f"  {copy.path:<{width}}  ", f"{copy.state.value}{lines}", style)
    if not any(copy.due for copy in copies):
        s.console.say("The fork has everything that it needs.", "green")
    if any(copy.state in _KEPT for copy in copies):
        s.console.say(
            "`fork.adopt` keeps the fork's own files; --replace PATH overwrites such a file.",
            "yellow",
        )


def _say_foreign(s: Session, copies: Sequence[Copy], requirement: str) -> None:
    """Print which workflows are the fork's own, and the command that replaces them."""
    paths = [c.path for c in copies if c.state is State.FOREIGN and c.path.endswith(_WORKFLOW)]
    if paths:
        command = s.command("fork.adopt", requirement=requirement, replace=paths)
        is_are, them = ("is", "it") if len(paths) == 1 else ("are", "them")
        s.console.say(
            f"{counted(len(paths), 'workflow')} in the fork {is_are} not this program's, so it "
            f"does not run in {them}: {', '.join(paths)}.",
            "yellow",
        )
        s.console.row(f"To replace {them}: ", command)


def _show_changes(s: Session, due: Sequence[Copy]) -> None:
    """Print how existing files change."""
    for copy in due:
        if copy.before is None:
            continue
        names = (f"a/{copy.path}", f"b/{copy.path}")
        before, after = copy.before.splitlines(), copy.after.splitlines()
        for line in difflib.unified_diff(before, after, *names, lineterm=""):
            style = {"+": "green", "-": "red"}.get(line[:1], "")
            s.console.row("", line, style)


_FETCH = Step(
    "fetch",
    "Fetch origin's branch.",
    run=("git -C {repo} fetch --no-tags --no-recurse-submodules {origin} refs/heads/{sync}",),
)


def _publish(
    s: Session,
    fork: Fork,
    base: str,
    copies: Sequence[Copy],
    requirement: str,
    replaced: Sequence[str],
    push: bool,
    published: bool,
    held: Journal | None,
) -> str:
    """Commit the files on a separate branch, and open its pull request.

    Returns the pull request's address; "" for none.
    """
    name, production = branch(copies), fork.policy.branches.production
    place = fork.place_for(name)
    requests = push and github.can_be_asked(fork.gh, fork.policy.remotes.origin.url)
    existing = _pull(s, fork, name) if requests and published else ""
    conditions = {DRAFT} if fork.draft else set()
    conditions |= {branches.PUSHES} if push else set()
    conditions |= {contribute.OPEN} if requests and not existing else set()
    listed = ", ".join(f"`{copy.path}` ({copy.state.value})" for copy in copies if copy.due)
    body = f"Files that `fork.adopt` writes; no upstream file is changed: {listed}."
    if requirement:
        body += f" The workflows then install `{requirement}`."
    values = fork.values() | {
        "sync": name,
        "start": base,
        "pushed": "",
        "place": str(place),
        "work": str(git.nearest(place)),
        "policy": str(git.nearest(fork.repository.home / POLICY_FILE)),
        "requirement": requirement,
        "head": name,
        "base": production,
        "title": MESSAGE,
        "body": body,
    }
    untouched = f"Your checkout and {production} are unchanged."
    steps = [
        replace(step, run=tuple(line + _options(requirement, replaced) for line in step.run))
        if step.name == "write"
        else step
        for step in ADOPT
    ]
    if published and not s.sh.dry:
        s.console.say(f"{name} is published already.")
        steps = [step for step in steps if step.name in ("open", "tidy")]
        # A killed run may have published the branch without recording it in this clone.
        steps = [_FETCH, *steps] if place.exists() else steps[:1]
    write = partial(_write, s, fork, place, requirement, replaced)
    s.run(steps, Plan(values, frozenset(conditions), untouched), held, write)
    return existing or (_pull(s, fork, name) if requests and not s.sh.dry else "")


def _options(requirement: str, replaced: Sequence[str]) -> str:
    """The options as part of a template; paths need no quotes (see `policy.Files`)."""
    words = [" --requirement={requirement}"] if requirement else []
    return "".join([*words, *(f" --replace {path}" for path in replaced)])


def _pull(s: Session, fork: Fork, name: str) -> str:
    """The address of a branch's open pull request; "" if it has none."""
    hub = fork.hub(fork.policy.remotes.origin)
    pulls = github.pulls(s.sh, hub, base=fork.policy.branches.production, head=name)
    return next((pull.url for pull in pulls), "")


def _hook(s: Session, fork: Fork, held: Journal | None) -> There:
    """Install the hook if the clone has none. Returns what is there then."""
    hook = setup.find_hook(s.sh, fork)
    if hook.there in (There.NOTHING, There.STALE):
        values = setup.hook_values(fork, hook, s.guard_line)
        s.run((setup.HOOK,), Plan(values, frozenset()), held)
        return There.NOTHING if s.sh.dry else There.OURS
    if hook.there is not There.OURS:
        s.console.say(
            f"{git.nearest(hook.path)} is {hook.there.value}; to check pushes, add this line to "
            f"it: {s.command('ci.guard', pre_push=True)}",
            "yellow",
        )
    return hook.there


def _say_next(s: Session, fork: Fork, name: str, push: bool, url: str) -> None:
    production, origin = fork.policy.branches.production, fork.policy.remotes.origin.name
    if not push:
        s.console.say(f"Done: {name} is in this clone, not pushed.", "green")
        s.console.next(f"{git.at(fork.path)} push {origin} {name}")
    elif url:
        s.console.row("Pull request: ", url, "green")
        s.console.say(f"Next: have it reviewed, and merge it into {production}.")
    else:
        s.console.say(f"Done: {origin} has {name}.", "green")
        branches.say_landing(s, fork, name)


def write(s: Session, requirement: str, replaced: Sequence[str]) -> None:
    """Write the files in a work tree according to the policy there, and commit them."""
    fork, work = s.open_work_tree()
    _write(s, fork, work, requirement, replaced)


def _write(s: Session, fork: Fork, work: Path, requirement: str, replaced: Sequence[str]) -> None:

    def read(path: str) -> str | None:
        return files.text_below(work, path)

    def committed(path: str) -> str | None:
        return git.show(s.sh, work, "HEAD", path)

    text = read(POLICY_FILE)
    policy = load_policy(text).policy if text is not None else fork.policy
    _require_source(s, policy, read, requirement)
    # A killed run may have written some of them already.
    copies = compare(policy, committed, requirement, replaced, fork.draft)
    due = [copy for copy in copies if copy.due]
    paths = [copy.path for copy in due]
    for copy in due:
        if read(copy.path) != copy.before:
            continue  # written already, and perhaps edited by hand
        if not s.sh.dry:
            (work / copy.path).parent.mkdir(parents=True, exist_ok=True)
        files.write_staged(s.sh, work, copy.path, copy.before, copy.after)
    if not paths:
        s.console.say("The fork has everything that it needs.")
        return
    git.checked(s.sh.run(["git", "-C", str(work), "add", "--force", "--", *paths]), "files")
    words = ["git", "-C", str(work), "commit", "--quiet", "-m", MESSAGE, "--", *paths]
    git.checked(s.sh.run(words), "commit")
    if not s.sh.dry:
        s.console.say(f"Wrote {counted(len(paths), 'file')}.")
