"""`fork.init` writes the policy of a fork, and `fork.adopt` publishes a branch with the files that
it lacks."""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from shlex import quote
from typing import Any

from ..fork import branches, recovery, setup
from ..fork.fork import Fork, open_fork, require_production, require_right_urls
from ..fork.policy import POLICY_FILE, Policy, load_policy
from ..fork.session import Session
from ..fork.setup import There
from ..release import contribute
from ..run import files, git, github
from ..run.errors import CheckFailed, Interrupted, Refused, Stop, Usage
from ..run.github import Pull
from ..run.steps import Condition, Journal, Plan, Step
from ..run.text import counted, printable, toml_value
from . import survey
from .conventions import Guess, Surety
from .copies import (
    BRANCH,
    KEPT,
    Copy,
    Read,
    State,
    branch,
    branch_of,
    compare,
    foreign,
    how_to_publish,
    is_needed,
    missing,
    require_source,
    uncalled,
)
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
    for option, value in (("production", asked.production), ("mirror", asked.mirror)):
        if value and not re.fullmatch(r"[A-Za-z0-9_][\w./+-]*", value, re.ASCII):
            problem = f"--{option} is {printable(value)!r}, which is not a valid branch name here."
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
    unsure = [x for x in guesses if x.key in ASKED and x.surety is not Surety.CERTAIN]
    if unsure:
        about = f"{counted(len(unsure), 'question')} about what is not certain; nothing is written "
        s.console.say(f"{about}before the last. Press Enter to accept the value in brackets.")
    for guess in unsure:
        value = guess.value["url"] if isinstance(guess.value, dict) else guess.value
        s.console.say(f"{guess.key} ({guess.surety.value}: {guess.why})")
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
        value = value.get("path") or value.get("pattern") or value.get("url") or value["name"]
    elif isinstance(value, list):
        value = ", ".join(value)
    return f"{value or toml_value(value)} ({guess.why})"


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
            rows = [row for key, value in guess.value.items() for row in _rows(key, value)]
            off = "# " if guess.off else ""
            lines += ["", f"{off}[[{guess.key}]]", comment, *(f"{off}{row}" for row in rows)]
            continue
        above, _, key = guess.key.rpartition(".")
        if above != table:
            lines += ["", f"[{above}]"]
            table = above
        off = "# " if guess.off else ""
        lines += [comment, *(f"{off}{row}" for row in _rows(key, guess.value))]
    return "\n".join(lines) + "\n"


def _rows(key: str, value: Any) -> list[str]:
    """A key of the policy with its value; a long list has a line for each of its items."""
    line = f"{key} = {toml_value(value)}"
    if len(line) <= 100 or not isinstance(value, list):
        return [line]
    return [f"{key} = [", *(f"    {toml_value(item)}," for item in value), "]"]


# --- `fork.adopt` ---------------------------------------------------------------------------------

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

_DONE = {State.NEW: "new", State.BEHIND: "brought up to date", State.REPLACED: "replaced"}
UPDATE = "chore: update the files that keep the fork on its upstream"
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
            require_source(s, fork.policy, read, requirement, fork.gh)
        except Refused as refusal:
            if not requirement and (known := _published(s, fork, base, heads)):
                refusal.what += f" An earlier run has named one, in {known}: if that is right, "
                refusal.what += "merge it first."
            raise
        copies = compare(fork.policy, read, requirement, replaced, fork.draft)
        _show_states(s, copies)
        name = branch(copies)
        fork = recovery.put_in_order(s, fork, held, name)
        due = [copy for copy in copies if copy.due]
        url = ""
        if due:
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
    _say_foreign(s, fork.policy, copies, requirement)
    if due and not s.sh.dry:
        _say_next(s, fork, name, push, url)


def _published(s: Session, fork: Fork, base: str, heads: git.Refs) -> str:
    """Where an earlier run has written what this one needs: its open pull request, or its branches
    that have not landed; "" without one."""
    repo, origin, names = fork.path, fork.policy.remotes.origin, set[str]()
    for ref, tip in heads.commits.items():
        if not (git.has_object(s.sh, repo, tip) and git.is_ancestor(s.sh, repo, tip, base)):
            names |= {*filter(BRANCH.fullmatch, [ref.removeprefix("refs/heads/")])}
    with suppress(Stop):  # without gh, the branches have to do
        if names and github.can_be_asked(fork.gh, origin.url):
            pulls = github.pulls(s.sh, fork.hub(origin), base=fork.policy.branches.production)
            return ", ".join(pull.url for pull in pulls if pull.head in names)
    return f"{origin.name}'s {' and '.join(sorted(names))}" if names else ""


def _check(s: Session, fork: Fork, requirement: str) -> None:
    """Raises CheckFailed if the fork lacks one of its files or has an outdated one."""
    require_production(fork)
    fork = branches.caught_up(s, fork)
    read = _reader(s, fork, fork.production_commit)
    if requirement:
        require_source(s, fork.policy, read, requirement, fork.gh)
    copies = compare(fork.policy, read, requirement, draft=fork.draft)
    _show_states(s, copies)
    if s.json:
        s.print_json({"files": _facts(copies)})
    requirement = requirement or missing(s.sh, fork.policy, read, fork.gh)
    _say_foreign(s, fork.policy, copies, requirement)
    if due := [copy for copy in copies if copy.due]:
        listed = ", ".join(copy.path for copy in due)
        then = s.command("fork.adopt", requirement=requirement)
        if not requirement and is_needed(fork.policy, read):
            then = how_to_publish(s, fork.policy, then)
        with suppress(Refused):  # if origin cannot be reached, this is as of the last fetch
            production = fork.policy.branches.production
            heads = contribute.branch_on_origin(s, fork, production, "adopt/*")
            if known := _published(s, fork, fork.production_commit, heads):
                then = f"merge {known}; if that leaves some of them: {then}"
        raise CheckFailed(
            f"{counted(len(due), 'file')} of the fork {'is' if len(due) == 1 else 'are'} missing "
            f"or out of date: {listed}.",
            then=then,
        )


def _reader(s: Session, fork: Fork, commit: str) -> Read:
    """Reads the fork's files at a commit."""
    return lambda path: git.show(s.sh, fork.path, commit, path)


def _facts(copies: Sequence[Copy]) -> list[dict[str, str]]:
    return [{"path": copy.path, "state": copy.state.value} for copy in copies]


def _show_states(s: Session, copies: Sequence[Copy]) -> None:
    width = max(len(copy.path) for copy in copies)
    for copy in copies:
        style = "yellow" if copy.state in KEPT else ""
        s.console.row(f"  {copy.path:<{width}}  ", f"{copy.state.value}{_size(copy)}", style)
    if not any(copy.due for copy in copies):
        s.console.say("The fork has everything that it needs.", "green")
    if any(copy.state in KEPT for copy in copies):
        s.console.say(
            "`fork.adopt` keeps the fork's own files; --replace PATH overwrites such a file.",
            "yellow",
        )


def _say_foreign(s: Session, policy: Policy, copies: Sequence[Copy], requirement: str) -> None:
    """Print which workflows are the fork's own, what that leaves out, and the command that replaces
    them."""
    named = {copy.path: copy.before or "" for copy in copies if copy.state in KEPT}
    why = uncalled(policy, lambda path: named.get(path))
    if why and policy.files.release not in named:
        s.console.say(why, "yellow")
    if paths := foreign(copies):
        command = s.command("fork.adopt", requirement=requirement, replace=paths)
        is_are, them = ("is", "it") if len(paths) == 1 else ("are", "them")
        s.console.say(
            f"{counted(len(paths), 'workflow')} in the fork {is_are} not this program's, so it "
            f"does not run in {them}: {', '.join(paths)}.",
            "yellow",
        )
        s.console.row(f"To adopt all, and replace {them}, too: ", command)


def _size(copy: Copy) -> str:
    """How much of a file is written, after a comma; "" if nothing is."""
    if not copy.due:
        return ""
    after = copy.after.splitlines()
    if copy.before is None:
        return f", {counted(len(after), 'line')}"
    lines = list(difflib.ndiff(copy.before.splitlines(), after))
    added, removed = (sum(line.startswith(sign) for line in lines) for sign in ("+ ", "- "))
    return f", +{added} -{removed}"


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
    listed = [f"- `{copy.path}` ({_DONE[copy.state]})" for copy in copies if copy.due]
    first = all(copy.before is None for copy in copies if copy.path != POLICY_FILE)
    body = "\n".join(["Files that `fork.adopt` writes; no upstream file is changed:", "", *listed])
    if requirement:
        body += f"\n\nThe workflows then install `{requirement}`."
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
        "title": MESSAGE if first else UPDATE,
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
    if requests:
        _supersede(s, fork, copies, name, held)
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


SUPERSEDE = Step(
    "supersede",
    "Close the pull request of an earlier `fork.adopt`; its branch stays.",
    run=("{gh} pr close {number} -R {slug} --comment {comment}",),
)


def _supersede(
    s: Session, fork: Fork, copies: Sequence[Copy], name: str, held: Journal | None
) -> None:
    """Close the open pull requests of earlier runs of which this one writes every file.

    One stays open if somebody changed its branch, or if it has a file that this one lacks.
    """
    hub = fork.hub(fork.policy.remotes.origin)
    due = {copy.path for copy in copies if copy.due}
    for pull in github.pulls(s.sh, hub, base=fork.policy.branches.production):
        if pull.head == name or not BRANCH.fullmatch(pull.head):
            continue
        written = _written(s, fork, copies, pull)
        if not written or not written <= due:
            why = "somebody changed its branch, or this clone has not fetched it"
            if written:
                why = f"it has {', '.join(sorted(written - due))}, too"
            close = f"{quote(hub.gh)} pr close {pull.number} -R {hub.slug}"
            said = f"Pull request {pull.number}, of an earlier `fork.adopt`, stays open: {why}. "
            s.console.row(f"{said}If nobody needs it: ", close, "yellow")
            continue
        comment = f"Superseded by the pull request of {name}, which has all of its files. "
        words = {"number": str(pull.number), "comment": f"{comment}The branch is kept."}
        s.run((SUPERSEDE,), Plan(fork.values() | words, frozenset()), held, numbered=False)


def _written(s: Session, fork: Fork, copies: Sequence[Copy], pull: Pull) -> set[str]:
    """The files on the branch of an earlier run; empty if it is not as that run left it."""
    commit = pull.commit
    if not git.has_object(s.sh, fork.path, commit):
        return set()
    changed = git.differing(s.sh, fork.path, f"{commit}^", commit)
    known = [copy.path for copy in copies if copy.path in changed]
    # The branch's name depends on the texts.
    texts = ((path, git.show(s.sh, fork.path, commit, path) or "") for path in known)
    return set(known) if branch_of(texts) == pull.head and len(known) == len(changed) else set()


def _hook(s: Session, fork: Fork, held: Journal | None) -> There:
    """Install the hook if the clone has none. Returns what is there then."""
    hook = setup.find_hook(s.sh, fork)
    if hook.there in (There.NOTHING, There.STALE):
        values = setup.hook_values(fork, hook, s.guard_line)
        s.run((setup.HOOK,), Plan(values, frozenset()), held, numbered=False)
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
        s.console.say(f"Have it reviewed, and merge it into {production}:")
        hub, number = fork.hub(fork.policy.remotes.origin), url.rpartition("/")[2]
        s.console.row("    ", github.merge(hub, number))
        s.console.next(github.view(hub, number))
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
    require_source(s, policy, read, requirement)
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
    files.on_paths(s.sh, work, "add --force", paths)
    files.commit(s.sh, work, MESSAGE, *paths)
    if not s.sh.dry:
        s.console.result(f"Wrote {counted(len(paths), 'file')}.", "")
