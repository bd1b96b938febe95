"""The fork's own changes: their branches and pull requests."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path
from shlex import quote
from typing import Any

from ..audit import approvals, guard, review, verify
from ..fork import branches, releases, tags
from ..fork.fork import Fork, require_remotes
from ..fork.policy import POLICY_FILE, load_policy
from ..fork.session import Session
from ..fork.tags import conventional
from ..run import git, github
from ..run.errors import Refused, Usage
from ..run.git import Refs
from ..run.steps import Condition, Journal, Plan, Step
from ..run.text import counted, listed, plain, printable

OPEN = Condition("if none is open, without `--draft`")
OPEN_DRAFT = Condition("if none is open, with `--draft`")

_PULL = "{gh} pr create -R {slug} --base {base} --head {head} --title={title} --body={body}"

PULL_REQUEST = (
    Step(
        "push",
        "Push the branch, never by force.",
        run=("git -C {repo} push --no-follow-tags {origin} refs/heads/{head}:refs/heads/{head}",),
        stuck="fetch and merge {origin}'s branch of that name, then run the same command again.",
    ),
    Step("open", "Open the pull request.", when=OPEN, run=(_PULL,)),
    Step("draft", "Open the pull request as a draft.", when=OPEN_DRAFT, run=(f"{_PULL} --draft",)),
)

FEATURE = (
    Step(
        "branch",
        "Create the branch from the production branch, and check it out.",
        run=("git -C {work} switch --no-track -c {feature} refs/remotes/{origin}/{production}",),
        stuck="fix what git reports, then run the same command again.",
    ),
)


# --- Branches and pull requests ------------------------------------------------------------------


def start_feature(s: Session, name: str) -> None:
    """Create a branch for a change from origin's production branch, and check it out."""
    if not name:
        raise Usage("--name is missing.", then=s.command("branch.start", name="my-fix"))
    branch = f"feature/{name.removeprefix('feature/')}"
    fork, work = s.open_work_tree()
    _require_no_stray(s, work)
    answer = s.sh.ask("git check-ref-format {ref}", ref=f"refs/heads/{branch}")
    if not answer.ok or not re.fullmatch(r"[\w./+-]+", branch, re.ASCII):
        problem = f"{branch!r} is not a valid branch name here."
        raise Refused(problem, then="use only letters, digits and . _ + -, as in --name my-fix.")
    require_remotes(fork)
    origin, production = fork.policy.remotes.origin.name, fork.policy.branches.production
    heads = branch_on_origin(s, fork, production, branch)
    is_local = f"refs/heads/{branch}" in fork.refs.objects
    if is_local or f"refs/heads/{branch}" in heads.objects:
        fetch = "" if is_local else f"{git.at(work)} fetch {origin} && "
        raise Refused(
            f"the branch {branch} exists already, {'here' if is_local else f'on {origin}'}.",
            then=f"{fetch}{git.at(work)} switch {branch}, or choose another --name.",
        )
    with s.locked(fork.repository) as held:
        fork, commit = current(s, fork, heads, held)
        _require_nothing_lost(s, work, commit)
        values = fork.values() | {"work": str(work), "feature": branch}
        untouched = "Your checkout and the branches are unchanged."
        s.run(FEATURE, Plan(values, frozenset(), untouched), held)
    if not s.sh.dry:
        s.console.say(f"{branch} is checked out, at {origin}'s {production}.")
        s.console.advice("Next: ", f"commit the change, then {s.command('branch.pr')}")


def _require_no_stray(s: Session, work: Path) -> None:
    """Raises Refused if HEAD is detached and has commits that are on no branch."""
    commit = branches.detached(s.sh, work)
    if commit and (own := branches.stray_of(s.sh, work, commit)):
        raise Refused(f"HEAD is detached, and {own.described}.", then=s.command("branch.recover"))


def _require_nothing_lost(s: Session, work: Path, commit: str) -> None:
    """Raises Refused if a switch to a commit would lose or overwrite something."""
    state = git.work_state(s.sh, work)
    if state.merging:
        problem = f"a merge is in progress in {git.named(work)}."
        raise Refused(problem, then=f"finish it, or: {git.at(work)} merge --abort")
    changed = git.differing(s.sh, work, state.head, commit) if state.head != git.NULL else []

    def is_new(path: str) -> bool:
        inside = any(path == n or (n[-1] == "/" and path.startswith(n)) for n in state.untracked)
        return inside and os.path.lexists(work / path)

    if lost := [path for path in changed if path in state.dirty or is_new(path)]:
        raise Refused(
            f"switching branches would lose uncommitted changes in {listed(lost)}.",
            then=f"commit them, or: {git.at(work)} stash --include-untracked; "
            "then run the same command again.",
        )


def open_pull_request(s: Session, title: str, body_file: str, base: str, draft: bool) -> None:
    """Push the branch that is checked out, and open a pull request for it."""
    fork, work = _open_with_own_policy(s, base)
    _require_no_stray(s, work)
    base = base or fork.policy.branches.production
    lands = base == fork.policy.branches.production and not draft
    state = git.work_state(s.sh, work)
    head = _head(fork, work, state.branch, base, s)
    require_remotes(fork)
    if lands and not state.dirty:
        _require_right_merge(s, fork, work, head)
    if github.slug_of(fork.policy.remotes.origin.url) is None:
        _publish(s, fork, work, head, base, draft=draft)
        return
    hub = fork.hub(fork.policy.remotes.origin)
    github.require(s.sh, hub)
    with s.locked(fork.repository) as held:
        heads = branch_on_origin(s, fork, base)
        fork, onto = _fetched(s, fork, heads, held, base)
        existing = next(iter(github.pulls(s.sh, hub, base=base, head=head)), None)
        body = ""
        if lands:
            _require_reviewable(s, fork, work, onto, head)
        if existing is None:
            if lands:
                _require_conventional(s, fork, work, onto, head)
            title, body = _words(s, fork, title, body_file, f"{onto}..refs/heads/{head}", base)
        if state.dirty:
            s.console.say(
                f"Note: {counted(len(state.dirty), 'file')} with uncommitted changes; the pull "
                "request does not contain them."
            )
        words = {"head": head, "base": base, "title": title, "body": body}
        conditions = set() if existing else {OPEN_DRAFT if draft else OPEN}
        untouched = f"{base} is as it was."
        plan = Plan(fork.values() | words, frozenset(conditions), untouched)
        s.run(PULL_REQUEST, plan, held)
    opened = existing
    if not existing and not s.sh.dry:
        opened = next(iter(github.pulls(s.sh, hub, base=base, head=head)), None)
    if s.json:
        facts: dict[str, Any] = {"head": head, "base": base, "title": title, "url": ""}
        if opened:
            facts |= {"title": opened.title, "url": opened.url}
        new = existing is None and opened is not None
        s.print_json(facts | {"opened": new, "number": opened.number if opened else None})
    elif opened:
        s.console.row(f"Pull request{', open already' if existing else ''}: ", opened.url)
        s.console.next(github.view(hub, opened.number))


def _publish(s: Session, fork: Fork, work: Path, head: str, base: str, *, draft: bool) -> None:
    """Push a branch, and print what brings it into production: nobody can open a pull request."""
    with s.locked(fork.repository) as held:
        fork, onto = _fetched(s, fork, branch_on_origin(s, fork, base), held, base)
        if base == fork.policy.branches.production and not draft:
            _require_reviewable(s, fork, work, onto, head)
            _require_conventional(s, fork, work, onto, head)
        values = fork.values() | {"head": head}
        s.run(PULL_REQUEST[:1], Plan(values, frozenset(), f"{base} is as it was."), held)
    if s.json:
        facts = {"head": head, "base": base, "title": "", "url": ""}
        s.print_json(facts | {"opened": False, "number": None})
    elif base == fork.policy.branches.production and not s.sh.dry:
        branches.say_landing(s, fork, head)


def _open_with_own_policy(s: Session, base: str) -> tuple[Fork, Path]:
    """The fork, and the work tree, whose commit may bring a policy to production: one that is
    valid, and that corrects production's if that is not. Raises Refused otherwise."""
    fork = s.open_fork(whatever_policy=True)
    work = fork.repository.work
    head = git.commit_of(s.sh, work, "HEAD")
    if fork.problem:
        return fork.fixed_by(s.sh, head, fork.problem), work
    if base in ("", fork.policy.branches.production):
        text = git.show(s.sh, work, head, POLICY_FILE)
        if text is not None and fork.brings(s.sh, head, text):
            policy = load_policy(text, f"{POLICY_FILE} at {head[:10]}").policy
            releases.require_known_names(s.sh, fork, policy)
    return fork, work


def _head(fork: Fork, work: Path, ref: str, base: str, s: Session) -> str:
    """The branch to open a pull request for. Raises Refused if it must not get one."""
    branches = fork.policy.branches
    if base == branches.mirror:
        raise Refused(
            f"{base} only mirrors upstream: a change merged there blocks `sync-main` and never "
            f"reaches {branches.production}.",
            then=f"leave out --base: the pull request then goes to {branches.production}.",
        )
    if not re.fullmatch(r"[A-Za-z0-9_][\w./+-]*", base, re.ASCII):
        raise Refused(f"{base!r} is not a valid branch name.", then="choose another --base.")
    head = ref.removeprefix("refs/heads/")
    start = f"start one: {s.command('branch.start', name='my-fix')}"
    if not head:
        raise Refused(f"no branch is checked out in {git.named(work)}.", then=start)
    if head in (branches.production, branches.mirror, base):
        kind = {branches.mirror: "the mirror of upstream", base: "the base itself"}
        what = "the production branch" if head == branches.production else kind[head]
        raise Refused(f"the branch checked out is {head}, {what}.", then=start)
    if tag := branches.tag_of(head):
        again = s.command("upgrade-carto", tag=tag)
        raise Refused(f"{head} is a sync branch, which `{again}` publishes.", then=again)
    return head


def _require_right_merge(s: Session, fork: Fork, work: Path, head: str) -> None:
    """Raises CheckFailed if a branch merges a release that production lacks, and that is not right:
    whoever merges by hand gets the checks of an upgrade, too."""
    commit = git.commit_of(s.sh, work, "HEAD")
    tips = [commit, *[fork.production_commit] * fork.has_production]
    new, *had = ({*releases.merged(s.sh, fork, tip, fork.refs)} for tip in tips)
    release = tags.newest(new.difference(*had), fork.policy.tags, *tags.STABLE)
    if release is None:
        return
    merge, into = git.merge_of(s.sh, work, fork.refs.tag(release.name), commit)
    if not merge or not git.differing(s.sh, work, into, merge):  # it heals, or a colleague merged
        return
    with s.console.working("verify"):
        checked = verify.of_work_tree(s.sh, fork, work, release)
    drop = s.command("verify", tag=release.name, drop="PATH", reason="WHY")
    ways = review.ways_out(fork, checked, work, drop)
    review.require_passed(s, checked, f"the merge of {release.name}", ways, as_step=True)
    s.console.say(f"{head} brings {release.name}: {branches.NEVER_SQUASHED}.", "yellow")


def _require_reviewable(s: Session, fork: Fork, work: Path, onto: str, head: str) -> None:
    """Raises Refused if a branch has commits from upstream's development branch, or conflict
    markers, which `ci.guard` stops.

    onto: the production branch's commit.
    """
    local = fork.refs.commits[f"refs/heads/{head}"]
    found = guard.stops(s.sh, fork, onto, local) if fork.upstream_tips else []
    if not found:
        return
    origin, production = fork.policy.remotes.origin, fork.policy.branches.production
    then = found[0].then.rstrip(".")
    if not then:
        then = f"resolve that {git.inside(work)}, and commit it"
    elif fork.tracking(origin, head) in fork.refs.objects:
        then += f"; `{git.at(work)} push --force-with-lease {origin.name} {head}`"
    what = f"{found[0].what}; {approvals.CHECK} does not let that into {production}."
    raise Refused(what, then=f"{then}; then run the same command again.")


def _require_conventional(s: Session, fork: Fork, work: Path, onto: str, head: str) -> None:
    """Raises Refused if a branch has commits whose subjects `ci.guard` stops.

    onto: the production branch's commit.
    """
    odd = guard.unconventional(s.sh, fork, onto, f"refs/heads/{head}")
    if not odd:
        return
    origin, at, newest = fork.policy.remotes.origin, git.at(work), odd[0]
    what = listed([one.short for one in odd])
    verb = "is not a conventional commit" if len(odd) == 1 else "are not conventional commits"
    start = git.commit_of(s.sh, work, f"{odd[-1].name}^")[:10]
    then = f"`{at} rebase --interactive {start}`, with `reword` in place of `pick`"
    if newest.name == git.commit_of(s.sh, work, "HEAD") and len(odd) == 1:
        amend, example = f"{at} commit --amend --only", f"fix: {printable(newest.subject)}"
        then = f"`{amend} -m {quote(example)}`, with the type that fits"
        if git.ask(s.sh, work, "log -1 --format=%b {commit}", "body", commit="HEAD").line:
            then = f"`{amend}`, with a subject such as {quote(example)}"
    published = fork.tracking(origin, head)
    if published in fork.refs.objects and git.is_ancestor(s.sh, work, odd[-1].name, published):
        then += f"; `{at} push --force-with-lease {origin.name} {head}`"
    raise Refused(
        f"{what} {verb}; {approvals.CHECK} lets only those into {fork.policy.branches.production}.",
        then=f"{then}; then run the same command again.",
    )


def _words(
    s: Session, fork: Fork, title: str, body_file: str, among: str, base: str
) -> tuple[str, str]:
    """The title and body of a pull request. Raises Refused or Usage if they are not valid."""
    log = "log -z --no-merges --no-show-signature --no-color --format=%s%x00%b {among} --"
    fields = git.ask(s.sh, fork.path, log, "branch's commits", among=among).fields()
    commits = list(zip(fields[::2], fields[1::2], strict=True))
    if not commits:
        problem = f"the branch has no commit that {base} lacks."
        raise Refused(problem, then="commit something, then run the same command again.")
    if not title and len(commits) > 1:
        problem = f"the branch has {len(commits)} commits, so the pull request needs a title."
        raise Usage(problem, then="add --title, as in --title 'feat(router): keep sessions'.")
    text = title or commits[0][0]
    if fork.policy.messages.conventional and conventional(text) is None:
        raise Refused(
            f"{printable(text)!r} is not a conventional commit subject, but it may become a "
            f"subject on {base}.",
            then="add --title with a type and what changes, as in --title 'fix(router): …'.",
        )
    if body_file:
        try:
            return text, Path(body_file).read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            then = "name a readable UTF-8 file with --body-file."
            raise Refused(f"{body_file} cannot be read: {error}.", then=then) from None
    if len(commits) == 1:
        return text, commits[0][1].strip("\n")
    return text, "\n".join(f"- {plain(subject)}" for subject, _ in reversed(commits))


# --- Shared --------------------------------------------------------------------------------------


def branch_on_origin(s: Session, fork: Fork, *branches: str) -> Refs:
    """Branches as origin has them now. Raises Refused if origin cannot be reached."""
    origin = fork.policy.remotes.origin.name
    return releases.ask_remote(s.sh, fork, origin, [f"refs/heads/{name}" for name in branches])


def current(s: Session, fork: Fork, heads: Refs, held: Journal | None) -> tuple[Fork, str]:
    """Fetch origin's production branch.

    heads: the branch as origin has it now. Returns the fork after the fetch, with the policy of
    the branch, and the branch's commit. Raises Refused if origin lacks the branch.
    """
    fork, commit = _fetched(s, fork, heads, held, fork.policy.branches.production)
    return fork.at(s.sh, commit), commit


def _fetched(
    s: Session, fork: Fork, heads: Refs, held: Journal | None, branch: str
) -> tuple[Fork, str]:
    """Fetch a branch from origin; see `current`."""
    origin = fork.policy.remotes.origin
    ref = f"refs/heads/{branch}"
    if ref not in heads.objects:
        raise Refused(
            f"{origin.name} has no branch {branch}.",
            then=f"list its branches: {git.at(fork.path)} ls-remote --heads {origin.name}",
        )
    commit = heads.objects[ref]
    if fork.refs.objects.get(fork.tracking(origin, branch)) != commit:
        values = fork.values() | {"production": branch}
        plan = Plan(values, frozenset({branches.PRODUCTION_MOVED}), "Your checkout is as it was.")
        s.run(branches.FETCH_PRODUCTION, plan, held, numbered=False)
        if s.sh.dry and not git.has_object(s.sh, fork.path, commit):
            problem = f"this clone lacks {origin.name}'s {branch}, and --dry fetches nothing."
            raise Refused(problem, then=f"{git.at(fork.path)} fetch {origin.name}")
        fork = replace(fork, refs=git.refs(s.sh, fork.path))
    return fork, commit
