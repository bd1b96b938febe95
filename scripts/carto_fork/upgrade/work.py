"""One merge of an upstream release: what all steps know about it, each fact read once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ..audit import review, verify
from ..audit.findings import FEATURE
from ..audit.verify import Verification
from ..fork import records, releases, tags, version_files
from ..fork.fork import Fork
from ..fork.policy import Side, Take
from ..fork.records import Drop, Proposal
from ..fork.session import Session
from ..fork.tags import Conventional, Tag, conventional
from ..merge import authorship, conflicts, earlier, hunks
from ..merge.decisions import Decision
from ..merge.earlier import Piece
from ..merge.resolution import Resolution
from ..merge.resolve import decide, resolve
from ..merge.syncs import newer_side
from ..merge.words import Merge
from ..run import files, git
from ..run.errors import CheckFailed, Paused, Refused
from ..run.shell import Shell
from ..run.text import code, in_actions, joined, listed
from . import begun, proposals, risks
from .begun import unresolved
from .left import propose, require_nothing_left, say_sides

_CHECKING = "/"  # no path in a repository
_MOST_NAMED = 3


class Work:
    """One merge of a release; the steps of an upgrade call its methods.

    theirs: the release's commit. place: the work tree of the merge.
    pausing: whether conflicts that are left stop the run; otherwise they are published as they are.
    proposing: whether to ask the policy's programs about them.
    fresh: whether this run makes the merge, so that nobody has resolved anything in it yet.
    ahead: what to do in the background once nothing stops the run any more.
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
        ahead: Callable[[], object] = lambda: None,
        account: Verification | None = None,
    ) -> None:
        self.s, self.fork, self.tag, self.theirs, self.place = s, fork, tag, theirs, place
        self.pausing, self.proposing, self.fresh = pausing, proposing, fresh
        self._ahead = ahead
        self.resolution: Resolution | None = None
        self._staged = ""  # the tree of the merge after all decisions
        self._decisions: dict[str, tuple[Decision, ...]] = {}
        self._account = account
        self.sync: Sync | None = None  # its branch, as last read
        self.request = 0  # the number of its pull request, once that is open
        self.replaced: list[str] = []  # a sentence about each pull request that it replaced

    def restore(self) -> None:
        """Bring back what `--abort` saved. Raises Paused for changes after a concluded merge."""
        begun.bring_back(self.s.sh, self.s.console, self.fork, self.place, self.tag.name)
        state = git.work_state(self.s.sh, self.place)
        if state.dirty and not state.merging:
            again = f"{git.named(self.place)} has changes again: {listed(state.dirty)}."
            raise Paused(again, then="")  # the step says how to continue

    def resolve(self) -> None:
        """Decide the conflicts of the merge in progress. Raises Paused if some need a person."""
        ours = git.commit_of(self.s.sh, self.place, "HEAD")
        with self.s.console.working("resolve"):
            done = resolve(self.s.sh, self.fork, self.place, ours, self.theirs)
        if self.fresh:
            self._decisions[ours] = done.decisions
        merged = (ours, self.theirs, self.tag.name)
        # Nobody can go to a job's work tree.
        ask, todo = self.proposing, self.pausing and not in_actions()
        done = propose(self.s, self.fork, self.place, done, merged, ask, todo=todo)
        self.resolution = done
        if self.pausing:
            say_sides(self.s, done, repo=str(git.nearest(self.place)))
            require_nothing_left(self.s, done, self.place, "")
        self.s.sh.ahead(self._ahead)
        if not done.unfinished and self._hook.exists():
            written = self.s.sh.ask("git -C {work} write-tree", work=self.place)
            self._staged = git.checked(written, "merge").line

    @property
    def _hook(self) -> Path:
        """The path of git's pre-commit hook."""
        hooks = self.fork.settings.get("core.hookspath", [""])[-1]
        place = Path(hooks).expanduser() if hooks else self.fork.repository.common / "hooks"
        return self.fork.home.absolute() / place / "pre-commit"

    def set_version(self) -> None:
        """Set the version to the tag's, and commit the change."""
        release, say = self.tag.release, self.s.console.say
        if self._staged and (
            changed := git.differing(self.s.sh, self.place, self._staged, "HEAD^{tree}")
        ):
            say(f"The hook {self._hook} changed the merge commit: {listed(changed, 5)}.", "yellow")
            off = self.s.spelled_out("`git config carto-fork.hooks false`")
            over = self.s.command("upgrade-carto", tag=self.tag.name, abort=True)
            say(f"If it should not: {off}, then start over: `{over}`.", "yellow")
        with suppress(Refused):  # `verify` checks the merged files anyway
            for file, places in version_files.at(self.s.sh, self.fork, self.theirs):
                for key, stated in places.items():
                    if not version_files.same(stated, release):
                        say(f"{self.tag.name} itself states {stated} in {file.path} ({key}).")
        version_files.set_version(self.s, self.fork, self.place, self.tag.release)

    def record(self) -> None:
        """Record the tag's commit in the fork, and commit the record."""
        write_tag(self.s, self.place, self.tag.name, self.theirs)

    def verify(self) -> None:
        """Account for every change of both sides. Raises CheckFailed if something is wrong."""
        with self.s.console.working("verify"):
            checked = self._verified()
            # What somebody commits meanwhile is to be verified, too.
            while checked.result not in ("", git.commit_of(self.s.sh, self.place, "HEAD")):
                checked = self._verified()
        self._account = checked
        review.keep(self.fork, self.tag.name, checked)
        work = git.nearest(self.place)
        drop = self.s.command("verify", repo=str(work), drop="PATH", reason="WHY")
        then = review.ways_out(self.fork, checked, work, drop)
        ends = self.pausing and not self.s.json  # with what is to be looked at
        what = f"the merge of {self.tag.name}"
        review.require_passed(self.s, checked, what, then, as_step=True, later=ends)

    def _verified(self) -> Verification:
        return verify.of_work_tree(self.s.sh, self.fork, self.place, self.tag)

    @contextmanager
    def checking(self) -> Iterator[None]:
        """Note the files that the enclosed commands make: later ones, and later runs, may see them.

        Raises Paused if there are others that are not committed: only the commands would see them.
        """
        question = "ls-files --others --exclude-standard -z"
        noted = git.merge_head(self.place).with_name("carto-fork-made")
        made = files.read_text(noted).split("\0") if noted.exists() else []
        there = git.ask(self.s.sh, self.place, question, "untracked files").fields()
        others = sorted({*there} - {*made})
        # A run that was killed in a check could not note what the check had made.
        if others and made != [_CHECKING]:
            at = git.at(self.place)
            commit = f"{at} add {joined(others)} && {at} commit, or delete them"
            if len(others) > _MOST_NAMED:
                commit = f"commit or delete what {at} status --short lists as `??`"
            raise Paused(
                f"{git.named(self.place)} has files that are not committed: "
                f"{listed(others, _MOST_NAMED)}. The checks would see them, and the branch would "
                "not have them.",
                untouched="This step did not run, and nothing was pushed.",
                then=f"{commit}; then run the same command again.",
            )
        files.replace_text(noted, _CHECKING)
        head = git.commit_of(self.s.sh, self.place, "HEAD")
        try:
            yield
            begun.note_failed(self.fork, self.tag.name, None)
        except CheckFailed as failure:
            begun.note_failed(self.fork, self.tag.name, (Path(failure.facts["log"]).name, head))
            raise
        finally:
            now = git.ask(self.s.sh, self.place, question, "untracked files").out
            files.replace_text(noted, now)

    @property
    def doubts(self) -> list[str]:
        """What the checks found that is only worth a look."""
        account = self._account
        found = (*account.findings, *account.replaced) if account else ()
        doubts = [finding for finding in found if not finding.certain]
        # What somebody has settled in the merge itself can wait.
        last = [finding.what for finding in doubts if finding.check == FEATURE]
        first = [finding.what for finding in doubts if finding.check != FEATURE]
        looks = account.account.to_look_at if account and account.account else ()
        places: dict[str, set[str]] = {}
        for entry in looks:
            if not entry.account.words:  # `replaced` names the words that are gone
                places.setdefault(entry.where or entry.path, set()).add(entry.side.whose)
        changed = [
            f"{path}: lines of "
            f"{'changes of both sides' if len(whose) > 1 else f'{min(whose)} change'} are "
            "different now, gone, or back"
            for path, whose in places.items()
        ]
        return [*first, *changed, *last]

    @property
    def lost_something(self) -> bool:
        """Whether the merge has been verified and did not pass."""
        return self._account is not None and not self._account.passed

    def decisions(self, ours: str) -> tuple[Decision, ...]:
        """One decision for each conflict of the merge, computed now unless a step has made them.

        ours: the fork's side.
        """
        if ours not in self._decisions:
            sh, fork, theirs = self.s.sh, self.fork, self.theirs
            own = authorship.of_fork(sh, fork, ours, theirs)
            expected = conflicts.foresee(sh, fork.path, ours, theirs).conflicts
            merge = Merge(sh, fork, fork.path, ours, theirs)
            self._decisions[ours] = tuple(decide(merge, expected, own, merge.drops(ours)))
        return self._decisions[ours]

    def account(self, ours: str, head: str, *, landed: bool = False) -> Verification:
        """The account of the merge at a commit of the sync branch: this run's, an earlier run's of
        the same commits, or else a new one.

        landed: whether production has the release, so that no commit shows which newer one of
        production the branch had taken in; what was verified then counts.
        """
        made = self._account or review.kept(self.fork, self.tag.name)
        known = made is not None and (made.theirs, made.result) == (self.theirs, head)
        if made is None or not known or not (landed or made.ours == ours):
            made = verify.of_merge(self.s.sh, self.fork, self.fork.path, ours, self.theirs, head)
        self._account = made
        return made


def record_tag(s: Session, tag: str) -> None:
    """Record a tag's commit in a work tree, and commit the record."""
    fork, place = s.open_work_tree()
    name = releases.here(fork, releases.asked_name(tag)).name
    write_tag(s, place, name, fork.refs.tag(name))


# --- Its branch -----------------------------------------------------------------------------------

_TYPES = ("feat", "fix", "perf", "docs", "test", "refactor", "chore", "build", "ci")


@dataclass(frozen=True)
class Area:
    """Upstream's changes in one folder: how many files, and lines added and removed."""

    name: str
    files: int
    added: int
    removed: int


@dataclass(frozen=True)
class ByHand:
    """How a person resolved a conflict.

    take: whose side was taken, in the file or in all that was left of it; None for a text of its
        own. word: what they dropped, and why; None if they did not say.
    """

    take: Take | None
    word: Drop | None


class Sync:
    """A release merged on a sync branch; every fact about it is read once.

    branch, head: the sync branch and its commit. merge: the commit that merged the tag.
    ours, theirs: its parents, the fork's side and upstream's.
    """

    def __init__(self, work: Work, fork: Fork, head: str) -> None:
        """Raises Refused if the branch does not contain a merge of the tag.

        fork: with up-to-date refs.
        """
        self._sh, self._repo, self._work, self._fork = work.s.sh, fork.path, work, fork
        self.tag, self.theirs, self.head = work.tag, work.theirs, head
        self.branch = fork.policy.branches.sync_for(work.tag.name)
        self.ticked = set[str]()  # in its pull request, if the text of that is about this commit
        work.sync = self
        self.merge, self.ours = git.merge_of(self._sh, fork.path, self.theirs, head)
        if not self.merge:
            problem = f"{self.branch} does not contain a merge of {work.tag.name}."
            again = work.s.command("upgrade-carto", tag=work.tag.name)
            raise Refused(problem, then=f"`{again}` makes it, or finishes it.")

    @cached_property
    def before(self) -> str:
        """The version on the fork's side."""
        return version_files.stated(self._sh, self._fork, self.ours)

    @cached_property
    def previous(self) -> Tag | None:
        """The newest stable upstream release that the fork's side contains."""
        upstream = self._fork.policy.remotes.upstream.name
        # The clone may lack some upstream tags; it is used only if upstream cannot be asked.
        refs = git.remote_refs(self._sh, self._repo, upstream, ["refs/tags/*"]) or self._fork.refs
        return releases.contained(self._sh, self._fork, self.ours, refs)

    @cached_property
    def decisions(self) -> tuple[Decision, ...]:
        """One decision for each conflict."""
        return self._work.decisions(self.ours)

    @cached_property
    def people(self) -> list[Piece]:
        """People's work on the sync branches of older releases that have not landed."""
        pieces: list[Piece] = []
        for sync in self._syncs:
            if sync.branch in self._older:
                pieces += earlier.pieces(self._sh, self._fork, sync, self.head)
        return pieces

    @cached_property
    def unread(self) -> set[str]:
        """The sync branches of older releases that have neither landed nor a merge to read."""
        read = {sync.branch for sync in self._syncs}
        commits = {x: earlier.release_of(self._sh, self._fork, x) for x in {*self._older} - read}
        return {
            branch
            for branch, commit in commits.items()
            if not (commit and git.is_ancestor(self._sh, self._repo, commit, self.ours))
        }

    @cached_property
    def _syncs(self) -> list[earlier.Earlier]:
        return earlier.syncs(self._sh, self._fork, self.ours, self.theirs)

    @cached_property
    def _older(self) -> dict[str, Tag]:
        """The sync branches of older releases on origin."""
        policy = self._fork.policy
        named = {branch: policy.branches.tag_of(branch) for branch in self._fork.published}
        known = {branch: tags.classify(name or "", policy.tags) for branch, name in named.items()}
        return {branch: tag for branch, tag in known.items() if tag and tag < self.tag}

    @cached_property
    def proposals(self) -> list[Proposal]:
        """The programs' proposals in it, accepted or not."""
        return proposals.of_sync(self._sh, self._repo, self.ours, self.head)

    def against_sides(self, path: str) -> Iterator[tuple[str, list[str]]]:
        """The differences of a file from the fork's version and from upstream's."""
        for whose, side in (("the fork's", self.ours), ("upstream's", self.theirs)):
            words = ["git", "-C", str(self._repo), "--literal-pathspecs", "diff", "--no-color"]
            words += ["--no-ext-diff", "--no-textconv", side, self.head, "--", path]
            yield whose, git.checked(self._sh.read(words), "differences").out.splitlines()

    def text(self, path: str) -> str:
        """A file on the branch; "" if it has none of that name."""
        return git.show(self._sh, self._repo, self.head, path) or ""

    @cached_property
    def unresolved(self) -> list[str]:
        """The paths whose conflict nobody has resolved yet."""
        if self.checked.passed and not any(decision.left for decision in self.decisions):
            return []  # the account has looked for markers
        merged = (self.ours, self.theirs, self.merge)
        return unresolved(self._sh, self._fork, self.decisions, *merged, self.head)

    @cached_property
    def resolutions(self) -> dict[str, ByHand]:
        """By path, how a person resolved a conflict that was left for them."""
        left = {x.conflict.path: x for x in self.decisions if x.left}
        if not left:
            return {}
        commits = (self.head, self.ours, self.theirs)
        now, ours, theirs = (git.tree(self._sh, self._repo, commit) for commit in commits)
        drops, _ = earlier.said(self._sh, self._repo, *commits)
        before = records.read_drops(git.show(self._sh, self._repo, self.ours, records.DROPS_FILE))
        words = [d for d in drops if d not in before and d.tag in ("", self.tag.name)]
        words.sort(key=lambda drop: drop.side == Side.FORK.value)  # what the fork lost, rather
        by_path = {drop.path: drop for drop in words}
        resolutions = {}
        for path, decision in left.items():
            sides = ((Take.FORK, ours), (Take.UPSTREAM, theirs))
            take = next((side for side, tree in sides if tree.get(path) == now.get(path)), None)
            take = take or self._side_of(decision)
            resolutions[path] = ByHand(take, by_path.get(path))
        return resolutions

    def _side_of(self, decision: Decision) -> Take | None:
        """The side that the result has in each hunk that was left for a person, if it is one."""
        result = git.show(self._sh, self._repo, self.head, decision.conflict.path)
        segments = hunks.parse(decision.text or decision.conflict.text or "")
        made = [*hunks.resolved(segments, result)] if segments and result else []
        for take in (Take.FORK, Take.UPSTREAM):
            if made and all(
                lines == (hunk.ours if take is Take.FORK else hunk.theirs) for hunk, lines in made
            ):
                return take
        return None

    @cached_property
    def gave_way(self) -> int:
        """How many fork lines gave way to upstream's, also by a person's word."""
        count = sum(decision.dropped for decision in self.decisions if not decision.left)
        for conflict in (decision.conflict for decision in self.decisions if decision.left):
            word, texts = self.resolutions[conflict.path].word, conflict.texts
            if word and texts and word.side == Side.FORK.value:
                now = git.show(self._sh, self._repo, self.head, conflict.path) or ""
                ours, base, kept = (
                    Counter(map(str.strip, x.split("\n"))) for x in (texts.ours, texts.base, now)
                )
                count += sum((ours - base - kept)[line] for line in word.lines)
        return count

    @cached_property
    def checked(self) -> Verification:
        """The account and the checks of the branch."""
        production = self._fork.production_commit
        sides = (self.ours, self.theirs, self.head, production)
        landed = bool(production) and git.is_ancestor(self._sh, self._repo, self.theirs, production)
        ours = newer_side(self._sh, self._repo, *sides)
        return self._work.account(ours, self.head, landed=landed)

    @cached_property
    def passed(self) -> list[str]:
        """The names of the checks that the files of this commit have passed."""
        checks = ("verify", "install", "test", "lint")
        return [check for check in checks if self._passed(check)]

    @property
    def is_tested(self) -> bool:
        """Whether the tests have passed here, or somebody has ticked that they have."""
        lines = self._fork.policy.commands.test
        ticked = bool(lines) and self.ticked >= {code(line) for line in lines}
        return "test" in self.passed or ticked

    def _passed(self, check: str) -> bool:
        name = f"refs/carto-fork/passed/{self.tag.name}/{check}"
        commit = self._fork.refs.commits.get(name, "")
        return bool(commit) and not git.differing(self._sh, self._repo, commit, self.head)

    @cached_property
    def _base(self) -> str:
        bases = git.merge_bases(self._sh, self._repo, self.ours, self.theirs)
        return bases[0] if bases else git.empty_tree(self._sh, self._repo)

    def _diff(self, options: str) -> list[str]:
        """Upstream's changes since the common base, as fields of git's output."""
        return changed(self._sh, self._repo, self._base, self.theirs, options)

    @cached_property
    def risks(self) -> list[risks.Risk]:
        """What a reviewer looks at of what upstream changed."""
        commits = (self._base, self.ours, self.theirs, self.head)
        base, ours, theirs, now = (git.tree(self._sh, self._repo, name) for name in commits)
        account = self.checked.account
        entries = account.entries if account else ()
        paths = self._diff("--name-only")
        return [*risks.of_merge(paths, base, ours, theirs, now, entries)]

    @cached_property
    def commits(self) -> Counter[str]:
        """Upstream's commits by their conventional type."""
        types = (change.type if change else "" for _, change in self._changes)
        return Counter(name if name in _TYPES else "other" for name in types)

    @cached_property
    def breaking(self) -> list[str]:
        """The subjects of upstream commits that say that they break something, newest first."""
        return [subject for subject, change in self._changes if change and change.breaking]

    @cached_property
    def _changes(self) -> list[tuple[str, Conventional | None]]:
        among = f"{self._base}..{self.theirs}"
        subjects = git.subjects(self._sh, self._repo, "--no-merges", among)
        return [(subject, conventional(subject)) for subject in subjects]

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
        areas = [Area(name, *numbers) for name, numbers in sums.items()]
        return sorted(areas, key=lambda area: (-area.files, area.name))


def changed(sh: Shell, repo: Path, one: str, other: str, options: str) -> list[str]:
    """The fields of git's comparison of two commits; read once in a run."""
    question = f"diff-tree -r --no-renames {options} -z {{one}} {{other}}"

    def found() -> list[str]:
        return git.ask(sh, repo, question, "changed files", one=one, other=other).fields()

    return sh.once(("changed", options, one, other), found)


def waits(work: Work, head: str) -> bool:
    """Whether a commit of a sync branch has conflicts that a person has yet to resolve."""
    sh, fork = work.s.sh, work.fork
    merge, ours = git.merge_of(sh, fork.path, work.theirs, head) if head else ("", "")
    if not merge:
        return False
    return bool(unresolved(sh, fork, work.decisions(ours), ours, work.theirs, merge, head))


def write_tag(s: Session, work: Path, name: str, commit: str) -> None:
    """Record a tag's commit in a work tree, and commit the record."""
    ref = f"refs/tags/{name}"
    tag, now = (x.split(" ")[0] for x in git.objects(s.sh, work, [ref, f"{ref}^{{commit}}"]))
    pin = records.Pin(tag if now == commit else commit, commit)  # it may have moved meanwhile
    before = git.show(s.sh, work, "HEAD", records.TAGS_FILE)
    try:
        after = records.add_pin(before, name, pin)
    except Refused:
        if git.show(s.sh, work, commit, records.TAGS_FILE) is None:
            raise
        # `verify` says how to undo it; then this step runs again.
        s.console.result(f"Not recorded: {records.TAGS_FILE} from upstream is not valid.")
        return
    if after == before:
        s.console.result(f"{records.TAGS_FILE} has {name} already.")
        return
    files.write_staged(s.sh, work, records.TAGS_FILE, before, after)
    message = records.PIN_MESSAGE.replace("{tag}", name)
    files.commit(s.sh, work, message, records.TAGS_FILE)
    s.console.result(f"Recorded in {records.TAGS_FILE}: {name} is commit {commit[:10]}.")
