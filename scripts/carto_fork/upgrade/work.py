"""A release on its way into the fork: what all steps know of it, each thing found out once."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ..audit import review, verify
from ..audit.verify import Verification
from ..fork import records, releases, tags, version_files
from ..fork.fork import Fork
from ..fork.policy import Kind, Take
from ..fork.records import Drop, Proposal
from ..fork.session import Session
from ..fork.tags import Tag, conventional
from ..merge import authorship, conflicts, earlier
from ..merge.decisions import Decision
from ..merge.earlier import Piece
from ..merge.resolve import Resolution, decide, resolve, show
from ..run import files, git
from ..run.errors import Paused, Refused
from ..run.shell import Shell
from ..run.text import listed, printable
from . import proposals


class Work:
    """One merge of a release; its methods are what the steps of an upgrade call.

    theirs: the release's commit. place: the work tree of the merge.
    pausing: whether conflicts that are left stop the run; otherwise they are published as they are.
    proposing: whether the policy's programs are asked about what is left.
    fresh: whether the merge is made in this run, so that nobody has resolved anything of it yet.
    account: what became of both sides, if that is known.
    """

    def __init__(
        self,
        s: Session,
        fork: Fork,
        tag: Tag,
        theirs: str,
        place: Path = Path(),
        *,
        pausing: bool = True,
        proposing: bool = True,
        fresh: bool = False,
        account: Verification | None = None,
    ) -> None:
        self.s, self.fork, self.tag, self.theirs, self.place = s, fork, tag, theirs, place
        self.pausing, self.proposing, self.fresh = pausing, proposing, fresh
        self.resolution: Resolution | None = None
        self._staged = ""  # the tree of the merge as it was decided
        self._decisions: dict[str, tuple[Decision, ...]] = {}
        self._account = account
        self.sync: Sync | None = None  # its branch, as it was looked at last

    def resolve(self) -> None:
        """Decide the conflicts of the merge in progress. Raises Paused if some need a person."""
        ours = git.commit_of(self.s.sh, self.place, "HEAD")
        with self.s.console.working("resolve"):
            done = resolve(self.s.sh, self.fork, self.place, ours, self.theirs)
        if self.fresh:
            self._decisions[ours] = done.decisions
        if self.proposing:
            done = propose(self.s, self.fork, self.place, done, ours, self.theirs, self.tag.name)
        else:
            show(self.s.console, done)
        self.resolution = done
        if self.pausing:
            require_nothing_left(self.s, done, self.place, "")
        if not done.unfinished and self._hook.exists():
            written = self.s.sh.ask("git -C {work} write-tree", work=self.place)
            self._staged = git.checked(written, "merge").line

    @property
    def _hook(self) -> Path:
        """Where git's hook is that sees a commit before it is made."""
        hooks = self.fork.settings.get("core.hookspath", [""])[-1]
        place = Path(hooks).expanduser() if hooks else self.fork.repository.common / "hooks"
        return self.fork.home.absolute() / place / "pre-commit"

    def set_version(self) -> None:
        """Set the version to the tag's, and commit that."""
        release, say = self.tag.release, self.s.console.say
        if self._staged and (
            changed := git.differing(self.s.sh, self.place, self._staged, "HEAD^{tree}")
        ):
            say(
                f"The hook {self._hook} changed what was committed: {listed(changed, 5)}.", "yellow"
            )
            off = self.s.spelled_out("`git config carto-fork.hooks false`")
            say(f"If it may not: {off}, and begin anew with --abort.", "yellow")
        with suppress(Refused):  # what is merged is checked anyway
            for file, places in version_files.at(self.s.sh, self.fork, self.theirs):
                for key, stated in places.items():
                    if not version_files.same(stated, release):
                        say(f"{self.tag.name} itself states {stated} in {file.path} ({key}).")
        version_files.set_version(self.s, self.fork, self.place, self.tag.release)

    def record(self) -> None:
        """Write down what the tag stands for, and commit that."""
        write_tag(self.s, self.place, self.tag.name, self.theirs)

    def verify(self) -> None:
        """Account for every change of both sides. Raises CheckFailed if something is wrong."""
        with self.s.console.working("verify"):
            checked = verify.of_work_tree(self.s.sh, self.fork, self.place, self.tag)
        self._account = checked
        # How to go on is for the step to say.
        review.require_passed(self.s, checked, f"the merge of {self.tag.name}", "", as_step=True)
        review.keep(self.fork, self.tag.name, checked)

    @property
    def lost_something(self) -> bool:
        """Whether the account of the merge has been made, and does not pass."""
        return self._account is not None and not self._account.passed

    def decisions(self, ours: str) -> tuple[Decision, ...]:
        """One for each conflict of the merge; made in the object store if no step has made them.

        ours: the fork's side.
        """
        if ours not in self._decisions:
            sh, fork, theirs = self.s.sh, self.fork, self.theirs
            own = authorship.of_fork(sh, fork, ours, theirs)
            found = conflicts.foresee(sh, fork.path, ours, theirs).conflicts
            decided = decide(sh, fork, fork.path, found, own, ours, theirs, told=ours)
            self._decisions[ours] = tuple(decided)
        return self._decisions[ours]

    def account(self, ours: str, head: str) -> Verification:
        """The account of the merge at a commit of the sync branch: this run's, that of an earlier
        one about the very same commits, or else a new one."""
        made = self._account or review.kept(self.fork, self.tag.name)
        if made is None or (made.ours, made.theirs, made.result) != (ours, self.theirs, head):
            made = verify.of_merge(self.s.sh, self.fork, self.fork.path, ours, self.theirs, head)
        self._account = made
        return made


def propose(
    s: Session, fork: Fork, place: Path, done: Resolution, ours: str, theirs: str, release: str
) -> Resolution:
    """Have the policy's programs propose something for what is left of a merge, and print what
    became of it."""
    done, answers = proposals.settle(s, fork, place, done, ours, theirs, release)
    show(s.console, done)
    for answer in answers:
        s.console.row("", answer.line, "" if answer.text is not None else "yellow")
    return done


def require_nothing_left(s: Session, resolution: Resolution, place: Path, conclude: str) -> None:
    """Raises Paused if conflicts or markers are left in a work tree.

    conclude: the command that goes on with the merge.
    """
    if resolution.marked:
        raise Paused(
            f"{printable(resolution.marked[0])} is staged with conflict markers in it.",
            untouched="Nothing was committed.",
            then=f"edit it in {git.named(place)}, `git add` it, then {conclude}",
        )
    if resolution.left and not s.sh.dry:
        count = len(resolution.left)
        raise Paused(
            f"{count} {'conflict needs' if count == 1 else 'conflicts need'} a person.",
            untouched="Nothing was committed; what could be decided is staged.",
            then=f"resolve in {git.named(place)}, `git add` each file, then {conclude}",
        )


def record_tag(s: Session, tag: str) -> None:
    """Write down in a work tree what a tag stands for, and commit that."""
    fork, place = s.open_work_tree()
    name = releases.here(fork, releases.asked_name(tag)).name
    write_tag(s, place, name, fork.refs.tag(name))


# --- What there is to say of its branch -----------------------------------------------------------

AT_RISK = {
    "upstream workflow": re.compile(r"\.github/workflows/.*", re.DOTALL),
    "dependencies": re.compile(
        r"(.*/)?(pyproject\.toml|requirements[\w.-]*\.(txt|in)|setup\.(py|cfg)|package\.json|go\.mod"
        r"|Cargo\.toml|Gemfile|([^/]+\.)?Dockerfile([.-][^/]+)?|[^/]*lock(file|\.json|\.yaml)?)",
        re.DOTALL,
    ),
    "settings of tools": re.compile(
        r"(.*/)?(\.gitattributes|\.gitmodules|\.lfsconfig|CODEOWNERS|\.npmrc|\.yarnrc(\.yml)?|uv\.toml"
        r"|pip\.conf|\.cargo/config(\.toml)?|\.pre-commit-config\.yaml|renovate\.json5?)"
        r"|\.github/(dependabot\.ya?ml|settings\.yml|actions/.*)",
        re.DOTALL,
    ),
}
"""What a reviewer looks at in an upgrade, wherever upstream changed it."""

SIDES = {
    Take.FORK: "the fork's",
    Take.UPSTREAM: "upstream's",
    Take.BOTH: "both",
    Take.VERSION: "the tag's version",
}
"""Who wins a conflict, in words."""

_TYPES = ("feat", "fix", "perf", "docs", "test", "refactor", "chore", "build", "ci")


@dataclass(frozen=True)
class Area:
    """What upstream changed in one folder: files, and lines added and removed."""

    name: str
    files: int
    added: int
    removed: int


@dataclass(frozen=True)
class ByHand:
    """What a person made of a conflict.

    take: whose file it is now, None for a text of its own. word: what they let go, and why; None if
        they did not say.
    """

    take: Take | None
    word: Drop | None


class Sync:
    """A release merged on a sync branch; what there is to say of it is found out once.

    branch, head: the sync branch and its commit. merge: the commit that merged the tag.
    ours, theirs: its parents, the fork's side and upstream's.
    """

    def __init__(self, work: Work, fork: Fork, head: str) -> None:
        """Raises Refused if the branch holds no merge of the tag.

        fork: with its refs as they are now.
        """
        self._sh, self._repo, self._work, self._fork = work.s.sh, fork.path, work, fork
        self.tag, self.theirs, self.head = work.tag, work.theirs, head
        self.branch = fork.policy.branches.sync_for(work.tag.name)
        work.sync = self
        self.merge, self.ours = git.merge_of(self._sh, fork.path, self.theirs, head)
        if not self.merge:
            problem = f"{self.branch} holds no merge of {work.tag.name}."
            raise Refused(problem, then="run `upgrade-carto` for it first.")

    @cached_property
    def before(self) -> str:
        """The version on the fork's side."""
        return version_files.stated(self._sh, self._fork, self.ours)

    @cached_property
    def previous(self) -> Tag | None:
        """The newest stable release of upstream's that the fork's side holds."""
        upstream = self._fork.policy.remotes.upstream.name
        # Upstream's tags need not be here; if it cannot be asked, those that are must do.
        asked = git.remote_refs(self._sh, self._repo, upstream, ["refs/tags/*"])
        known = asked or self._fork.refs
        return releases.contained(self._sh, self._fork, self.ours, known)

    @cached_property
    def decisions(self) -> tuple[Decision, ...]:
        """One for each conflict."""
        return self._work.decisions(self.ours)

    @cached_property
    def people(self) -> list[Piece]:
        """What people made on the sync branches of older releases that have not landed."""
        policy = self._fork.policy
        found: list[Piece] = []
        for sync in earlier.syncs(self._sh, self._fork, self.ours, self.theirs):
            tag = tags.classify(policy.branches.tag_of(sync.branch) or "", policy.tags)
            if tag and tag < self.tag:
                found += earlier.pieces(self._sh, self._fork, sync, self.head)
        return found

    @cached_property
    def proposals(self) -> list[Proposal]:
        """What programs proposed in it, accepted or not."""
        return proposals.of_sync(self._sh, self._repo, self.ours, self.head)

    def against_sides(self, path: str) -> Iterator[tuple[str, list[str]]]:
        """How a file differs from the fork's and from upstream's."""
        for whose, side in (("the fork's", self.ours), ("upstream's", self.theirs)):
            words = ["git", "-C", str(self._repo), "--literal-pathspecs", "diff", "--no-color"]
            words += ["--no-ext-diff", "--no-textconv", side, self.head, "--", path]
            yield whose, git.checked(self._sh.read(words), "differences").out.splitlines()

    @cached_property
    def unresolved(self) -> list[str]:
        """The paths whose conflict is still there."""
        merged = (self.ours, self.theirs, self.merge)
        return unresolved(self._sh, self._fork, self.decisions, *merged, self.head)

    @cached_property
    def resolutions(self) -> dict[str, ByHand]:
        """By path, what a person made of a conflict that was left to them."""
        paths = [decision.conflict.path for decision in self.decisions if decision.left]
        if not paths:
            return {}
        commits = (self.head, self.ours, self.theirs)
        now, mine, other = (git.tree(self._sh, self._repo, commit) for commit in commits)
        texts = (git.show(self._sh, self._repo, c, records.DROPS_FILE) for c in commits)
        said = records.peoples_drops(*texts)
        words = {drop.path: drop for drop in said if drop.tag in ("", self.tag.name)}
        found = {}
        for path in paths:
            sides = ((Take.FORK, mine), (Take.UPSTREAM, other))
            take = next((side for side, tree in sides if tree.get(path) == now.get(path)), None)
            found[path] = ByHand(take, words.get(path))
        return found

    @cached_property
    def checked(self) -> Verification:
        """The account and the checks of the branch."""
        return self._work.account(self.ours, self.head)

    @cached_property
    def passed(self) -> list[str]:
        """The names of the checks that this very commit has passed."""
        checks = ("verify", "install", "test", "lint")
        return [check for check in checks if self._passed(check) == self.head]

    def _passed(self, check: str) -> str:
        """The commit that a check has passed; "" for none. What was installed lies in the work tree
        of the upgrade, and the record of it too."""
        if check != "install":
            refs = self._fork.refs.commits
            return refs.get(f"refs/carto-fork/passed/{self.tag.name}/{check}", "")
        trees = git.worktrees(self._sh, self._repo)
        tree = next((t for t in trees if t.branch == f"refs/heads/{self.branch}"), None)
        if tree is None or tree.missing:
            return ""
        question = "git -C {work} rev-parse --quiet --verify refs/worktree/passed/install"
        return self._sh.ask(question, work=tree.path).line

    @cached_property
    def _base(self) -> str:
        bases = git.merge_bases(self._sh, self._repo, self.ours, self.theirs)
        return bases[0] if bases else git.empty_tree(self._sh, self._repo)

    def _diff(self, options: str) -> list[str]:
        """What upstream changed since both sides were one."""
        return changed(self._sh, self._repo, self._base, self.theirs, options)

    @cached_property
    def changes(self) -> list[tuple[str, str]]:
        """Upstream's changed paths with git's letter, without the deleted ones."""
        fields = self._diff("--name-status --diff-filter=d")
        return list(zip(fields[::2], fields[1::2], strict=True))

    @cached_property
    def commits(self) -> Counter[str]:
        """Upstream's commits by their conventional type."""
        among = f"{self._base}..{self.theirs}"
        parsed = map(conventional, _subjects(self._sh, self._repo, among, "--no-merges"))
        types = (change.type if change else "" for change in parsed)
        return Counter(name if name in _TYPES else "other" for name in types)

    @cached_property
    def areas(self) -> list[Area]:
        """Upstream's changes by top-level folder, the largest first."""
        sums: dict[str, list[int]] = {}
        for entry in self._diff("--numstat"):
            added, removed, path = entry.split("\t", 2)
            folder = path.split("/", 1)[0] + "/" if "/" in path else "(top)"
            total = sums.setdefault(folder, [0, 0, 0])
            total[0] += 1
            total[1] += int(added) if added.isdigit() else 0
            total[2] += int(removed) if removed.isdigit() else 0
        found = [Area(name, *numbers) for name, numbers in sums.items()]
        return sorted(found, key=lambda area: (-area.files, area.name))


def changed(sh: Shell, repo: Path, one: str, other: str, options: str) -> list[str]:
    """The fields of a comparison of two commits, asked for once."""
    question = f"diff-tree -r --no-renames {options} -z {{one}} {{other}}"

    def found() -> list[str]:
        return git.ask(sh, repo, question, "changed files", one=one, other=other).fields()

    return sh.once(("changed", options, one, other), found)


def waits(work: Work, head: str) -> bool:
    """Whether a commit of a sync branch holds conflicts that a person has yet to resolve."""
    sh, fork = work.s.sh, work.fork
    merge, ours = git.merge_of(sh, fork.path, work.theirs, head) if head else ("", "")
    if not merge:
        return False
    return bool(unresolved(sh, fork, work.decisions(ours), ours, work.theirs, merge, head))


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

    Text tells it by its markers. For anything else, a commit of a person's behind the merge does.
    """
    left = {d.conflict.path: d.conflict.kind for d in decisions if d.left}
    marked = {path for path, _ in conflicts.markers_left(sh, fork.path, [ours, theirs], head)}
    messages = fork.policy.messages
    mine = "|".join(
        re.sub(r"\\{(version|tag)\\}", r"\\S+", re.escape(message))
        for message in (messages.version, records.PIN_MESSAGE)
    )
    subjects = _subjects(sh, fork.path, f"{merge}..{head}")
    touched = any(not re.fullmatch(mine, subject) for subject in subjects)
    kinds = (Kind.CONTENT, Kind.ADD_ADD)
    others = [path for path, kind in left.items() if kind not in kinds and not touched]
    return sorted(marked | set(others))


def _subjects(sh: Shell, repo: Path, among: str, which: str = "") -> list[str]:
    question = f"log {which} --no-show-signature --format=%s {{among}} --"
    return git.ask(sh, repo, question, "commits", among=among).out.splitlines()


def write_tag(s: Session, work: Path, name: str, commit: str) -> None:
    """Write down in a work tree what a tag stands for, and commit that."""
    ref = f"refs/tags/{name}"
    tag, now = (x.split(" ")[0] for x in git.objects(s.sh, work, [ref, f"{ref}^{{commit}}"]))
    pin = records.Pin(tag if now == commit else commit, commit)  # it may have moved meanwhile
    before = git.show(s.sh, work, "HEAD", records.TAGS_FILE)
    after = records.add_pin(before, name, pin)
    if after == before:
        s.console.result(f"{records.TAGS_FILE} has {name} already.")
        return
    files.write_staged(s.sh, work, records.TAGS_FILE, before, after)
    message = records.PIN_MESSAGE.replace("{tag}", name)
    words = ["git", "-C", str(work), "commit", "--quiet", "-m", message, "--", records.TAGS_FILE]
    git.checked(s.sh.run(words), "commit")
    s.console.result(f"{records.TAGS_FILE}: {name} is {commit[:10]}.")
