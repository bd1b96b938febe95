"""What the tasks do that publish the fork's own work: branches, pull requests, releases, images."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..ci import actions
from ..fork import conventional, fork, stray, tags, target
from ..fork.fork import Fork
from ..fork.policy import TagUse
from ..fork.session import Session
from ..fork.tags import Tag
from ..run import git, github, markdown
from ..run.errors import Refused, Usage
from ..run.git import Refs
from ..run.github import Pull
from ..run.journal import Journal
from ..run.steps import Plan, RunTask, Step
from ..run.text import counted, printable
from ..upgrade import procedures
from . import images, release
from .release import Release

BUMPS = ("auto", "patch", "minor", "major")


# --- Releases ------------------------------------------------------------------------------------


def make_release(s: Session, bump: str, dispatch: bool, run_task: RunTask) -> None:
    """Release the production branch as it is on origin, or let the workflow do that."""
    if bump not in BUMPS:
        raise Usage(f"--bump is {bump!r}.", then=f"choose one of {', '.join(BUMPS)}.")
    found = s.open_fork()
    release.rules(found)
    if dispatch:
        _dispatch(s, found, bump)
        return
    fork.require_remotes(found)
    fork.require_whole_history(found)
    hub = found.hub(found.policy.remotes.origin)
    github.require(s.sh, hub)
    if not git.has_identity(s.sh, found.path):
        raise git.nobody(found.path)
    with s.locked(found.repository) as held:
        there = release.ask(s.sh, found)
        found, commit = current(s, found, there.origin, held)
        made = release.next_one(s.sh, found, there, commit, bump, s.command)
        _say_what_is_not_in(s, found, commit)
        notes = release.notes(found, made).markdown()
        known = github.release(s.sh, hub, made.tag)
        if known and known.draft:
            raise Refused(
                f"there is a draft of a release {made.tag} on GitHub.",
                then=f"publish it there or delete it ({known.url}), then run the same command "
                "again.",
            )
        if known and f"refs/tags/{made.tag}" in there.origin.objects:
            s.console.say(f"{made.tag} is released already; nothing to do.")
        else:
            known = None
            if s.sh.dry:
                _show_notes(s, made, notes)
            plan = release.plan(found, there, made)
            s.run(procedures.RELEASE, plan, held, run_task)
            known = None if s.sh.dry else github.release(s.sh, hub, made.tag)
    url = known.url if known else ""
    if s.json:
        s.print_json(_facts(found, made, notes) | {"url": url})
    if s.sh.dry:
        return
    s.console.row(f"{made.tag} is on GitHub: ", url)
    upstream = made.upstream.release
    actions.set_outputs(
        {"tag": made.tag, "upstream": upstream, "version": made.version, "url": url}
    )
    actions.summarize(f"# [{markdown.plain(made.tag)}]({url})\n\n{notes}")


def _dispatch(s: Session, found: Fork, bump: str) -> None:
    """Start the workflow that makes releases."""
    hub, workflow = found.hub(found.policy.remotes.origin), release.rules(found).workflow
    if not workflow:
        raise Refused(
            "the policy names no workflow that makes releases.",
            then="add `workflow` to `[releases]` in carto_fork.toml, or leave --dispatch out.",
        )
    github.require(s.sh, hub)
    values = found.values() | {"workflow": workflow, "bump": bump}
    untouched = "Nothing was released by this."
    s.run(procedures.DISPATCH, Plan(values, frozenset(), untouched), None)
    page = f"{hub.url}/actions/workflows/{workflow}"
    if s.json:
        s.print_json({"workflow": workflow, "bump": bump, "url": page})
    s.console.row("its runs: ", page)


def _say_what_is_not_in(s: Session, found: Fork, commit: str) -> None:
    """Tell where the local production branch has what origin's has not."""
    local = found.refs.commits.get(found.local_production)
    ahead = git.count(s.sh, found.path, local, commit) if local else 0
    if ahead:
        branch, origin = found.policy.branches.production, found.policy.remotes.origin.name
        s.console.say(
            f"Note: {branch} has {counted(ahead, 'commit')} here that {origin} has not; "
            "what is not pushed is not released."
        )


def _show_notes(s: Session, made: Release, notes: str) -> None:
    s.console.row("tag: ", made.tag)
    s.console.row("commit: ", made.commit)
    s.console.row("notes:", "")
    for line in notes.splitlines():
        s.console.row("  ", line)


def _facts(found: Fork, made: Release, notes: str) -> dict[str, Any]:
    """A release as plain data for ``--json``."""
    return {
        "tag": made.tag,
        "upstream": made.upstream.release,
        "version": made.version,
        "commit": made.commit,
        "upstream_tag": made.upstream.name,
        "before": made.before.name if made.before else None,
        "images": release.image_names(found, made),
        "notes": notes,
    }


def write_notes(s: Session, tag: str, output: str) -> None:
    """Print the notes of a release whose tag is here, or write them to a file."""
    if not tag:
        raise Usage("--tag is missing.", then="add --tag, the name of a release of the fork.")
    found = s.open_fork()
    release.rules(found)
    fork.require_remotes(found)
    made = release.made(s.sh, found, release.ask(s.sh, found), tag)
    notes = release.notes(found, made).markdown()
    if output and not s.sh.dry:
        path = Path(output)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(notes, encoding="utf-8")
    if s.json:
        s.print_json(_facts(found, made, notes))
    elif not output or s.sh.dry:
        s.sh.show(notes.rstrip("\n"))


# --- Images --------------------------------------------------------------------------------------


def show_images(s: Session, tag: str, build: bool, push: bool) -> None:
    """Name the images of the production branch or of a release; build and publish them."""
    if push and not build:
        raise Usage("--push needs --build.", then="add --build.")
    found = s.open_fork()
    about = found.policy.images
    if about is None:
        raise Refused(
            "the policy names no images.",
            then="add `[images]` to carto_fork.toml on the production branch (`config`).",
        )
    own = release.own_tag(found, tag) if tag else None
    commit = found.production_commit
    if build:
        _require_buildx(s)
        fork.require_remotes(found)
    with s.locked(found.repository) if build else nullcontext() as held:
        if build and own is None:
            there = branch_on_origin(s, found, found.policy.branches.production)
            found, commit = current(s, found, there, held)
        if own:
            names = _of_release(s, found, own, ask=build)
        elif commit:
            names = images.of_branch(about, found.policy.branches.production, commit)
        else:
            raise Refused(
                f"there is no branch {found.policy.branches.production} here.",
                then=f"{git.at(found.path)} fetch {found.policy.remotes.origin.name}",
            )
        if not names:
            key = "release" if own else "branch"
            raise Refused(
                f"`images.{key}` in the policy is empty.",
                then="name some tags there, in carto_fork.toml on the production branch.",
            )
        if build:
            rev = f"refs/tags/{tag}" if tag else commit
            _build(s, found, names, rev, tag, push, held)
    facts = {"images": names, "dockerfile": about.dockerfile, "platforms": about.platforms}
    if s.json:
        s.print_json(facts | {"commit": "" if own else commit, "release": tag})
    else:
        for name in names:
            s.console.row("", name)
    if not s.sh.dry:
        outputs = {"images": "\n".join(names), "tags": ",".join(names)}
        outputs |= {"dockerfile": about.dockerfile, "platforms": ",".join(about.platforms)}
        actions.set_outputs(outputs)


def _of_release(s: Session, found: Fork, own: Tag, ask: bool) -> list[str]:
    """The images of a release; what moves stays with a newer one.

    ask: whether to ask origin too which ones there are.
    """
    assert found.policy.images
    names = found.refs.tags()
    if ask:
        origin = found.policy.remotes.origin.name
        names += target.ask_remote(s.sh, found, origin, ["refs/tags/*"]).tags()
    known = (tags.classify(name, found.policy.tags) for name in names)
    newer = [tag for tag in known if tag and tag.scheme.use is TagUse.OWN and tag > own]
    if newer:
        s.console.say(f"{max(newer).name} is newer, and keeps the names that move.")
    return images.of_release(
        found.policy.images,
        own.name,
        own.release,
        str(own.build),
        newest=not newer,
        newest_of_upstream=all(tag.version != own.version for tag in newer),
    )


def _require_buildx(s: Session) -> None:
    answer = s.sh.ask("docker buildx version")
    if not answer.ok:
        missing = "docker is not installed" if answer.code == 127 else "docker has no buildx"
        raise Refused(
            f"{missing}: {(answer.err.strip() or answer.ending).splitlines()[0]}.",
            then="install Docker with its plugin buildx, then run the same command again.",
        )


def _build(
    s: Session,
    found: Fork,
    names: Sequence[str],
    rev: str,
    tag: str,
    push: bool,
    held: Journal | None,
) -> None:
    """Build the image of a commit in a work tree of its own."""
    about = found.policy.images
    assert about
    place = found.place_for("images")
    conditions = {"build-push" if push else "build-only"}
    conditions |= {"release"} if tag else set()
    conditions |= {"leftover"} if place.exists() else set()
    values = found.values() | {
        "commit": rev,
        "tag": tag,
        "place": str(place),
        "work": str(git.nearest(place)),
        "dockerfile": about.dockerfile,
        "platforms": ",".join(about.platforms),
    }
    procedure = [_for_images(step, names, bool(about.platforms)) for step in procedures.IMAGES]
    untouched = "Your checkout is as it was."
    s.run(procedure, Plan(values, frozenset(conditions), untouched), held)


def _for_images(step: Step, names: Sequence[str], platforms: bool) -> Step:
    """A step with an option for each of the images; their names hold nothing that a template
    takes for something else."""
    options = " ".join(f"--tag={name}" for name in names)
    lines = (line.replace("--tag={image}", options) for line in step.run)
    if not platforms:
        lines = (line.replace(" --platform {platforms}", "") for line in lines)
    return replace(step, run=tuple(lines))


# --- Branches and pull requests ------------------------------------------------------------------


def start_feature(s: Session, name: str) -> None:
    """Start a branch for a change from the production branch, and check it out."""
    if not name:
        raise Usage("--name is missing.", then=s.command("feature", name="my-fix"))
    branch = f"feature/{name.removeprefix('feature/')}"
    found, work = s.open_work_tree()
    _require_no_stray(s, work)
    answer = s.sh.ask("git check-ref-format {ref}", ref=f"refs/heads/{branch}")
    if not answer.ok or not re.fullmatch(r"[\w./+-]+", branch, re.ASCII):
        raise Refused(
            f"{branch!r} is not the name of a branch.",
            then="use letters, digits and . _ + - only, as in --name my-fix.",
        )
    fork.require_remotes(found)
    origin, production = found.policy.remotes.origin.name, found.policy.branches.production
    there = branch_on_origin(s, found, production, branch)
    here = f"refs/heads/{branch}" in found.refs.objects
    if here or f"refs/heads/{branch}" in there.objects:
        raise Refused(
            f"there is a branch {branch} {'here' if here else f'on {origin}'} already.",
            then=f"{git.at(work)} switch {branch}, or choose another --name."
            if here
            else f"{git.at(work)} fetch {origin} && {git.at(work)} switch {branch}, or choose "
            "another --name.",
        )
    with s.locked(found.repository) as held:
        found, commit = current(s, found, there, held)
        _require_nothing_lost(s, work, commit)
        values = found.values() | {"work": str(work), "feature": branch}
        untouched = "Your checkout and the branches are as they were."
        s.run(procedures.FEATURE, Plan(values, frozenset(), untouched), held)
    if not s.sh.dry:
        s.console.say(f"{branch} is checked out, at {origin}'s {production}.")
        s.console.row("Next: commit the change, then ", s.command("pr"))


def _require_no_stray(s: Session, work: Path) -> None:
    """Raises Refused where HEAD is detached and has commits that are on no branch."""
    commit = stray.detached(s.sh, work)
    own = stray.of(s.sh, work, commit) if commit else None
    if own:
        raise Refused(
            f"HEAD is detached, and {own.told}.",
            then=s.command("recover"),
        )


def _require_nothing_lost(s: Session, work: Path, commit: str) -> None:
    """Raises Refused where a switch to a commit would lose or overwrite something."""
    state = git.work_state(s.sh, work)
    if state.merging:
        raise Refused(
            f"a merge is in progress in {git.named(work)}.",
            then=f"conclude it, or: {git.at(work)} merge --abort",
        )
    changed = git.differing(s.sh, work, state.head, commit) if state.head != git.NULL else []
    new = tuple(path for path in state.untracked)
    lost = [
        path
        for path in changed
        if path in state.dirty
        or (
            (any(path == n or (n[-1] == "/" and path.startswith(n)) for n in new))
            and os.path.lexists(work / path)
        )
    ]
    if lost:
        listed = ", ".join(map(printable, lost[:3])) + (", …" if len(lost) > 3 else "")
        raise Refused(
            f"the switch would lose what is not committed in {listed}.",
            then=f"commit it, or: {git.at(work)} stash --include-untracked; "
            "then run the same command again.",
        )


def open_pull_request(s: Session, title: str, body_file: str, base: str, draft: bool) -> None:
    """Publish the branch that is checked out, and open a pull request for it."""
    found, work = s.open_work_tree()
    _require_no_stray(s, work)
    base = base or found.policy.branches.production
    state = git.work_state(s.sh, work)
    head = _head(found, work, state.branch, base, s)
    fork.require_remotes(found)
    hub = found.hub(found.policy.remotes.origin)
    github.require(s.sh, hub)
    with s.locked(found.repository) as held:
        there = branch_on_origin(s, found, base)
        _, onto = current(s, found, there, held, base)
        known = next(iter(github.pulls(s.sh, hub, base=base, head=head)), None)
        body = ""
        if known is None:
            title, body = _words(s, found, title, body_file, f"{onto}..refs/heads/{head}", base)
        if state.dirty:
            s.console.say(
                f"Note: {counted(len(state.dirty), 'file')} with changes that are not committed; "
                "they are not in it."
            )
        words = {"head": head, "base": base, "title": title, "body": body}
        conditions = set() if known else {"open-draft" if draft else "open"}
        untouched = f"{base} is as it was."
        plan = Plan(found.values() | words, frozenset(conditions), untouched)
        s.run(procedures.PULL_REQUEST, plan, held)
    opened = known
    if not known and not s.sh.dry:
        opened = next(iter(github.pulls(s.sh, hub, base=base, head=head)), None)
    if s.json:
        s.print_json(_pull_facts(opened, known is None, head, base, title))
    elif known:
        s.console.row("Pull request, open already: ", known.url)
    elif opened:
        s.console.row("Pull request: ", opened.url)


def _pull_facts(pull: Pull | None, new: bool, head: str, base: str, title: str) -> dict[str, Any]:
    facts: dict[str, Any] = {"head": head, "base": base, "opened": new and pull is not None}
    number, url = (pull.number, pull.url) if pull else (None, "")
    return facts | {"title": pull.title if pull else title, "number": number, "url": url}


def _head(found: Fork, work: Path, ref: str, base: str, s: Session) -> str:
    """The branch to open a pull request for. Raises Refused where that must not be."""
    branches = found.policy.branches
    if base == branches.mirror:
        raise Refused(
            f"{base} only follows upstream; what is merged there blocks `sync-main`, and never "
            f"reaches {branches.production}.",
            then=f"leave --base out: the pull request goes to {branches.production}.",
        )
    if not re.fullmatch(r"[A-Za-z0-9_][\w./+-]*", base, re.ASCII):
        raise Refused(f"{base!r} is not the name of a branch.", then="name one with --base.")
    head = ref.removeprefix("refs/heads/")
    start = f"start one: {s.command('feature', name='my-fix')}"
    if not head:
        raise Refused(f"no branch is checked out in {git.named(work)}.", then=start)
    if head in (branches.production, branches.mirror, base):
        kind = {branches.mirror: "the mirror of upstream", base: "the base itself"}
        what = "the production branch" if head == branches.production else kind[head]
        raise Refused(f"{head} is checked out, {what}.", then=start)
    if tag := branches.tag_of(head):
        again = s.command("upgrade-carto", tag=tag)
        raise Refused(f"{head} is a sync branch, which `{again}` publishes.", then=again)
    return head


def _words(
    s: Session, found: Fork, title: str, body_file: str, among: str, base: str
) -> tuple[str, str]:
    """The title and the text of a pull request. Raises Refused or Usage where they will not do."""
    words = ["git", "-C", str(found.path), "log", "-z", "--no-merges", "--no-show-signature"]
    answer = s.sh.read([*words, "--no-color", "--format=%s%x00%b", "--end-of-options", among, "--"])
    fields = git.checked(answer, "branch's commits").fields()
    commits = list(zip(fields[::2], fields[1::2], strict=True))
    if not commits:
        raise Refused(
            f"the branch has no commit that {base} has not.",
            then="commit something, then run the same command again.",
        )
    if not title and len(commits) > 1:
        raise Usage(
            f"the branch has {len(commits)} commits: which one names the pull request?",
            then="add --title, as in --title 'feat(router): keep sessions'.",
        )
    text = title or commits[0][0]
    if conventional.parse(text) is None:
        raise Refused(
            f"{printable(text)!r} is no conventional commit, and it may become one on {base}.",
            then="add --title, a type and what changes, as in --title 'fix(router): …'.",
        )
    if body_file:
        try:
            return text, Path(body_file).read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise Refused(f"{body_file} cannot be read: {error}.", then="correct it.") from None
    if len(commits) == 1:
        return text, commits[0][1].strip("\n")
    return text, "\n".join(f"- {markdown.plain(subject)}" for subject, _ in reversed(commits))


# --- What several of them do ---------------------------------------------------------------------


def branch_on_origin(s: Session, found: Fork, *branches: str) -> Refs:
    """Where branches are on origin now. Raises Refused where it cannot be reached."""
    origin = found.policy.remotes.origin.name
    return target.ask_remote(s.sh, found, origin, [f"refs/heads/{name}" for name in branches])


def current(
    s: Session, found: Fork, there: Refs, held: Journal | None, branch: str = ""
) -> tuple[Fork, str]:
    """Fetch a branch as origin has it now, the production branch if none is named.

    Returns the fork as it is then, with the policy of its production branch, and the commit.
    """
    origin, production = found.policy.remotes.origin, found.policy.branches.production
    branch = branch or production
    ref = f"refs/heads/{branch}"
    if ref not in there.objects:
        raise Refused(
            f"{origin.name} has no branch {branch}.",
            then=f"see what there is: {git.at(found.path)} ls-remote --heads {origin.name}",
        )
    commit = there.objects[ref]
    if found.refs.objects.get(found.tracking(origin, branch)) != commit:
        values = found.values() | {"production": branch}
        plan = Plan(values, frozenset({"production-moved"}), "Your checkout is as it was.")
        s.run(procedures.FETCH_PRODUCTION, plan, held)
        if s.sh.dry and not git.has_object(s.sh, found.path, commit):
            raise Refused(
                f"{origin.name}'s {branch} is not here yet, and --dry fetches nothing.",
                then=f"{git.at(found.path)} fetch {origin.name}",
            )
        found = replace(found, refs=git.refs(s.sh, found.path))
    return (found.at(s.sh, commit) if branch == production else found), commit
