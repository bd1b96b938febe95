"""What was begun and is not finished: a merge in a work tree; and of an upgrade, the options of its
last run, what nobody has resolved, and what `--abort` saved."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

import msgspec

from ..fork import records, session, tags
from ..fork.fork import Fork
from ..fork.policy import Kind
from ..fork.tags import Tag, TagUse
from ..merge import authorship, conflicts
from ..merge.decisions import Decision
from ..run import files, git
from ..run.console import Console
from ..run.errors import Refused
from ..run.shell import Shell
from ..run.text import counted, listed, pathspec_word

_MOST_NAMED = 20


def own_branch(sh: Shell, fork: Fork, commit: str) -> str:
    """The fork's branch that a commit is on, production if it is one of them; "" for upstream's
    commit, or one that only a person's own branch has, or none.

    The rules about upstream may decide nothing in a merge of such a commit: neither side is
    upstream's.
    """
    policy = fork.policy
    known = (tags.classify(name, policy.tags) for name in fork.refs.tags_in([commit]))
    if not commit or any(tag and tag.scheme.use is not TagUse.OWN for tag in known):
        return ""
    origin, upstream = (
        f"refs/remotes/{r.name}/" for r in (policy.remotes.origin, policy.remotes.upstream)
    )
    # A person's own branch may be a release with a change on top.
    branches = policy.branches
    local = [branches.production, branches.mirror, branches.sync_for("*")]
    question = "for-each-ref --contains={commit} --format=%(refname) {local} {origin} {upstream}"
    names = {
        "commit": commit,
        "local": [f"refs/heads/{branch}" for branch in local],
        "origin": origin,
        "upstream": upstream,
    }
    refs = git.ask(sh, fork.path, question, "branches", **names).out.splitlines()
    found = [ref.removeprefix("refs/heads/").removeprefix(origin) for ref in refs]
    if policy.branches.mirror in found or any(ref.startswith(upstream) for ref in refs):
        return ""
    return next((x for x in found if x == policy.branches.production), found[0] if found else "")


def in_conflict(
    sh: Shell, work: Path, begun: git.WorkState, merged: Sequence[str] = ()
) -> set[str]:
    """The files of a merge that are in conflict, or staged with their markers.

    merged: its sides, if it is committed.
    """
    sides = [begun.head, begun.merging] if begun.merging else list(filter(None, merged))
    marked = conflicts.markers_left(sh, work, sides, conflicts.INDEX) if sides else ()
    return {*begun.unmerged, *(path for path, _ in marked)}


@dataclass(frozen=True)
class ByHand:
    """A merge in progress that no rule decides.

    own: the fork's branch that is merged; "" for something else. left: the files in conflict.
    what: half a sentence about it. how: the commands by which a person ends it. line: the first of
    them.
    """

    own: str
    left: Collection[str]
    what: str
    how: str
    line: str

    @property
    def why(self) -> str:
        """All about it, in a sentence."""
        return f"{self.what[0].upper()}{self.what[1:]}: {self.how.removesuffix('.')}."


def by_hand(
    sh: Shell, fork: Fork, work: Path, begun: git.WorkState, then: str, *, but: str = ""
) -> ByHand:
    """What there is to say about the merge in progress in a work tree.

    then: what continues afterwards. but: what should be merged there instead.
    """
    own, left = own_branch(sh, fork, begun.merging), in_conflict(sh, work, begun)
    what = f"the fork's own {own} ({begun.merging[:10]})" if own else begun.merging[:10]
    what += f", which is not {but}," if but and not own else ""
    text = f"a merge of {what} is in progress in {git.named(work)}"
    if left:
        text += f", with {counted(len(left), 'conflict')}: {listed(sorted(left), _MOST_NAMED)}"
    line = f"{git.at(work)} {'status' if left else 'merge --continue'}"
    return ByHand(own, left, text, way_out(work, left, then), line)


def way_out(work: Path, left: Collection[str], then: str) -> str:
    """The commands by which a person ends a merge that no rule decides.

    left: the files in conflict. then: what continues afterwards.
    """
    at = git.at(work)
    if not left:
        return f"{at} merge --continue (or --abort){then and ', '}{then}"
    names = [pathspec_word(path) for path in sorted(left)]
    every = " ".join(names) if len(names) <= _MOST_NAMED else "FILE"
    one, it = (names[0], "it") if len(names) == 1 else ("FILE", "a file")
    return (
        f"edit {'it' if len(names) == 1 else 'them'}, `{at} add -- {every}` (`{at} rm -- {one}` "
        f"removes {it}), then `{at} merge --continue` (or --abort){then and ', '}{then}"
    )


def require_upstreams(sh: Shell, fork: Fork, work: Path, begun: git.WorkState, then: str) -> None:
    """Raises Refused if the merge in progress in a work tree merges the fork's own branch.

    then: what continues after it.
    """
    merge = by_hand(sh, fork, work, begun, then)
    if merge.own:
        what = f"{merge.what}. Neither side is upstream's, so no rule decides anything there."
        raise Refused(what, then=merge.how)


def for_a_person(
    sh: Shell, fork: Fork, work: Path, then: str = "", *, but: str = ""
) -> ByHand | None:
    """The merge in progress in a work tree, if it is one that no rule decides: one of a fork's own
    branch, or of another commit than a release's.

    then: what continues afterwards. but: the release that should be merged there, if any.
    """
    begun = git.work_state(sh, work) if (work / ".git").exists() else None
    if begun is None or begun.merging in ("", fork.refs.tag(but)):
        return None
    merge = by_hand(sh, fork, work, begun, then, but=but)
    return merge if merge.own or but else None


# --- An earlier run -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Options:
    """The options of an upgrade.

    tag: the release, as typed.
    heal: record the lost ancestry of an earlier sync first. unhealed: merge without doing so.
    request: open or update the pull request if gh is installed.
    proposals: ask the policy's programs about the conflicts that are left.
    automatic: the automation runs it, which opens the pull request in a step of its own.
    """

    tag: str
    direct: bool = False
    push: bool = True
    tests: bool = True
    heal: bool = False
    unhealed: bool = False
    request: bool = True
    proposals: bool = True
    automatic: bool = False

    def typed(self, **more: bool) -> str:
        """The command line of the upgrade with these options and more, for advice.

        What the automation does a person continues with `upgrade-carto`, which has them all.
        """
        return f"`{plain('upgrade-carto', tag=self.tag, **self.words() | more)}`"

    def words(self) -> dict[str, bool]:
        """The same as options of `upgrade-carto`, without the tag."""
        return {
            "direct": self.direct,
            "no_push": not self.push,
            "no_tests": not self.tests,
            "heal": self.heal,
            "unhealed": self.unhealed,
            "no_pr": not (self.request or self.automatic),
            "no_proposals": not self.proposals,
        }


def plain(task: str, **options: str | bool) -> str:
    """The command line of a task in advice, which is spelled out when it is printed."""
    return session.command("", task, **options).strip()


@dataclass(frozen=True)
class Overtaken:
    """That origin's sync branch has commits that the local one lacks.

    own: whether something here is not on origin. line: the command to type. does: what it does.
    """

    own: bool
    line: str
    does: str


def overtaken(
    sh: Shell, fork: Fork, tag: str, pushed: str, command: Callable[..., str]
) -> Overtaken | None:
    """Whether somebody else has pushed to the sync branch of a release.

    pushed: its commit on origin; "" if it does not exist. command: makes a task's command line.
    """
    sync, origin, repo = fork.policy.branches.sync_for(tag), fork.policy.remotes.origin, fork.path
    local = fork.refs.commits.get(f"refs/heads/{sync}", "")
    if not local or not pushed:
        return None
    known = git.has_object(sh, repo, pushed)
    if known and git.is_ancestor(sh, repo, pushed, local):
        return None
    newest = pushed if known else fork.refs.commits.get(fork.tracking(origin, sync), local)
    own = not git.is_ancestor(sh, repo, local, newest)
    work = git.nearest(fork.place_for(sync))
    state = git.work_state(sh, work) if (work / ".git").exists() else None
    discard = command("upgrade-carto", tag=tag, abort=True)
    if state and state.dirty:
        return Overtaken(True, discard, "this keeps yours in a commit, and drops the work tree")
    if state:
        pull = f"{git.at(work)} pull --no-rebase {origin.name} {sync}"
        return Overtaken(own, pull, f"this takes them in; to discard yours instead: `{discard}`")
    if own:
        log = f"{git.at(repo)} log --oneline --left-right {sync}...{origin.name}/{sync}"
        return Overtaken(True, log, f"this shows both; to discard yours: `{discard}`")
    fetch = f"{git.at(repo)} fetch {origin.name} {sync}:{sync}"
    return Overtaken(False, fetch, "this takes them in")


CHECKLIST = "Testing checklist"
"""The heading in a pull request below which people tick."""
TICKED = "- [x] "
"""How an item of the checklist begins that is done."""


def ticked(body: str) -> set[str]:
    """The items that are ticked in the text of a sync's pull request.

    Only the checklist counts: elsewhere the text quotes lines that upstream wrote.
    """
    _, heading, below = body.replace("\r\n", "\n").rpartition(f"\n## {CHECKLIST}\n")
    lines = below.partition("\n## ")[0].splitlines() if heading else []
    return {line.removeprefix(TICKED) for line in lines if line.startswith(TICKED)}


_FAILED = "failed"


def note_failed(fork: Fork, tag: str, failure: tuple[str, str] | None) -> None:
    """Note the name of the log of a command of the policy that failed, and the commit; None if the
    last one passed."""
    note = fork.notes(tag) / _FAILED
    if failure:
        files.keep(note, " ".join(failure))
    else:
        note.unlink(missing_ok=True)


def failed(fork: Fork, tag: str, commit: str) -> Path | None:
    """The log of the command of the policy that failed on a commit the last time, if one did."""
    note = fork.notes(tag) / _FAILED
    log, _, on = files.read_text(note).partition(" ") if note.is_file() else ("",) * 3
    return fork.notes(tag) / log if on == commit else None


_ASKED = "asked.json"


def remember(fork: Fork, tag: str, options: Options) -> None:
    """Keep the options of an upgrade, so that other tasks can print how to continue it."""
    files.keep(fork.notes(tag) / _ASKED, msgspec.json.encode(options).decode())


def remembered(fork: Fork, tag: str) -> Options:
    """The options of the last run of an upgrade in this clone."""
    try:
        return msgspec.json.decode((fork.notes(tag) / _ASKED).read_bytes(), type=Options)
    except (OSError, msgspec.MsgspecError):
        return Options(tag)


# --- What nobody has resolved --------------------------------------------------------------------

LEFT = "Left for a person to resolve:"
"""Stands in the message of a merge that was published with conflicts, above their paths."""


def unresolved(
    sh: Shell,
    fork: Fork,
    decisions: Sequence[Decision],
    ours: str,
    theirs: str,
    merge: str,
    head: str,
) -> list[str]:
    """The paths on a sync branch whose conflict nobody has resolved yet.

    A text is unresolved while it has markers; anything else, if the merge was published with
    conflicts, until a person commits after it.
    """
    left = {d.conflict.path: d.conflict.kind for d in decisions if d.left}
    marked = {path for path, _ in conflicts.markers_left(sh, fork.path, [ours, theirs], head)}
    # Whoever commits any other merge has decided what markers cannot show.
    message = git.ask(sh, fork.path, "log -1 --format=%B {merge} --", "merge", merge=merge).out
    if f"\n{LEFT}\n" not in message:
        return sorted(marked)
    messages = fork.policy.messages
    own_subjects = "|".join(
        re.sub(r"\\{(version|tag)\\}", r"\\S+", re.escape(message))
        for message in (messages.version, records.PIN_MESSAGE)
    )
    subjects = git.subjects(sh, fork.path, f"{merge}..{head}")
    touched = any(not re.fullmatch(own_subjects, subject) for subject in subjects)
    kinds = (Kind.CONTENT, Kind.ADD_ADD)
    others = [path for path, kind in left.items() if kind not in kinds and not touched]
    return sorted(marked | set(others))


# --- What `--abort` saved ------------------------------------------------------------------------

_SUBJECT = "wip: what there was of the upgrade to {tag} when it was given up"
_MOST_CHARACTERS = 100_000  # one argument of a program has at most 128 KB


def message(tag: str, state: git.WorkState) -> str:
    """The message of the commit that saves what is not committed.

    It names the paths in conflict and those that are not staged, which a commit cannot show.
    """
    paths = json.dumps([state.unmerged, [*state.unstaged, *state.untracked]])
    noted = f"\n\n{paths}" if len(paths) < _MOST_CHARACTERS else ""
    return _SUBJECT.format(tag=tag) + noted


def ref_of(tag: str) -> str:
    """The ref that has such a commit while it is brought back."""
    return f"refs/carto-fork/saved/{tag}"


def pending(sh: Shell, fork: Fork, tag: str, work: Path, pushed: str) -> str:
    """The commit at the end of a sync branch in which `--abort` saved an upgrade; "" if it ends
    with another one, or if somebody pushed it.

    Raises Refused if the branch is checked out.
    """
    sync = fork.policy.branches.sync_for(tag)
    head = fork.refs.commits.get(f"refs/heads/{sync}", "")
    saved = [_SUBJECT.format(tag=tag)]
    if head in ("", pushed) or git.subjects(sh, fork.path, "-1", head) != saved:
        return ""
    if work.exists():
        raise Refused(
            f"{sync} ends with what --abort saved, and is checked out in {git.named(work)}.",
            then=f"{git.at(fork.path)} worktree remove {quote(str(work))}, "
            "then run the same command again.",
        )
    return head


def bring_back(sh: Shell, console: Console, fork: Fork, place: Path, tag: str) -> None:
    """Make the files and the index of a work tree what they were when the upgrade was given up, if
    that is still to be done. A file that somebody has changed since stays as it is.

    place: a work tree in which git has made the merge again, if it was in progress then.
    """
    saved = git.refs(sh, fork.path).commits.get(ref_of(tag), "")
    if not saved:
        return
    state = git.work_state(sh, place)
    if state.head == git.commit_of(sh, place, f"{saved}^"):
        _write(sh, place, saved, state)
    else:
        console.say(f"The branch has moved: {saved[:10]}, which --abort saved, is not used.")
    forget = "git -C {work} update-ref -d {ref} {saved}"
    git.checked(sh.do(forget, work=place, ref=ref_of(tag), saved=saved), "saved commit")


def _write(sh: Shell, place: Path, saved: str, state: git.WorkState) -> None:
    body = "log -1 --no-show-signature --format=%b {saved} --"
    noted = git.ask(sh, place, body, "commit", saved=saved).line
    unmerged, unstaged = json.loads(noted) if noted else (state.unmerged, ())
    # What git's merge wrote, or else what is committed.
    tree = "AUTO_MERGE^{tree}" if state.merging else "HEAD^{tree}"
    tree = git.ask(sh, place, "rev-parse --verify {rev}", "merge", rev=tree).line
    question = "diff --name-only --no-renames --no-ext-diff --ignore-submodules=all -z"
    edited = git.ask(sh, place, f"{question} {{tree}} --", "files", tree=tree).fields()
    written = {*git.differing(sh, place, tree, saved)} - {*edited}
    present = git.tree(sh, place, saved).keys()
    for file in (place / path for path in written - present):
        if file.is_symlink() or file.is_file():
            file.unlink()
    changed = sorted(written & present)
    files.on_paths(sh, place, "restore --source={saved} --worktree", changed, saved=saved)
    staged = git.ask(sh, place, f"{question} --cached {{saved}} --", "files", saved=saved).fields()
    folders = tuple(path for path in unstaged if path.endswith("/"))
    loose = {path for path in staged if path in unstaged or path.startswith(folders)}
    again = sorted({*staged} - {*unmerged} - loose)
    files.on_paths(sh, place, "reset --quiet {saved}", again, saved=saved)


def newest(fork: Fork, than: Tag) -> str:
    """The newest upgrade that is begun in this clone, if it brings more than a release."""
    named = map(fork.policy.branches.tag_of, fork.refs.branches())
    release = tags.newest(filter(None, named), fork.policy.tags, *tags.STABLE)
    return release.name if release and release > than else ""


def is_squashed(sh: Shell, fork: Fork, tag: str) -> bool:
    """Whether a release landed without its history, as a squash does."""
    commit = fork.refs.tag(tag)
    with suppress(Refused):
        lost = authorship.lost_of_fork(sh, fork, fork.production_commit, commit) if commit else None
        return lost is not None and git.count(sh, fork.path, commit, lost.parent) == 0
    return False


def has_only_content(sh: Shell, repo: Path, production: str, sync: str) -> bool:
    """Whether a production branch has all that a sync branch has, and not its history. sync: "" for
    none."""
    if not sync or git.is_ancestor(sh, repo, sync, production):
        return False
    made = conflicts.merged(sh, repo, production, sync)
    tree = git.ask(sh, repo, "rev-parse {it}", "tree", it=f"{production}^{{tree}}").line
    return not made.stages and made.tree == tree
