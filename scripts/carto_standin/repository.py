"""One repository of the fake GitHub: the operations on it, with GitHub's error messages."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec
from ruamel.yaml import YAML

from carto_fork.run.shell import Answer, Shell, fill

from .state import (
    Comment,
    Commit,
    File,
    Label,
    Method,
    Pull,
    Rejected,
    Release,
    RepositoryState,
    Run,
    Workflow,
)

WORKFLOWS = ".github/workflows"
COMMITTER = "-c user.name=GitHub -c user.email=noreply@github.com"


class Repository:
    """One repository, at one moment.

    name: ``owner/name``. path: the bare repository. at: the time. viewer: the acting user.
    """

    def __init__(
        self, sh: Shell, name: str, path: Path, state: RepositoryState, *, at: str, viewer: str
    ) -> None:
        self._sh, self.name, self.path, self.state = sh, name, path, state
        self.at, self.viewer = at, viewer

    @property
    def owner(self) -> str:
        return self.name.partition("/")[0]

    @property
    def url(self) -> str:
        return f"https://github.com/{self.name}"

    # --- Read from git

    def _ask(self, template: str, **values: str) -> Answer:
        words = fill(f"git -C {{repository}} {template}", {"repository": str(self.path), **values})
        return self._sh.read(words)

    def _do(self, template: str, **values: str) -> str:
        whole = f"git {COMMITTER} -C {{repository}} {template}"
        answer = self._sh.run(fill(whole, {"repository": str(self.path), **values}))
        if not answer.ok:
            raise RuntimeError(f"git {template} {answer.ending}: {answer.err.strip()}")
        return answer.line

    @property
    def default_branch(self) -> str:
        return self._ask("symbolic-ref --short HEAD").line

    def refs(self, under: str) -> dict[str, str]:
        """The refs below a directory such as ``refs/heads/``, named without it, and their
        objects."""
        answer = self._ask("for-each-ref --format={format} {under}", format=_REFS, under=under)
        pairs = (line.split(" ") for line in answer.out.splitlines())
        return {ref.removeprefix(under): oid for ref, oid in pairs}

    def ref(self, name: str) -> str:
        """The object of a full ref name; "" if the ref does not exist."""
        return self.refs(name).get("", "")

    def kind(self, oid: str) -> str:
        """``commit`` or ``tag``."""
        return self._ask("cat-file -t {oid}", oid=oid).line

    def resolve(self, name: str) -> str:
        """The commit of a branch, tag or object name; "" if it does not exist."""
        for whole in (f"refs/heads/{name}", f"refs/tags/{name}", name):
            answer = self._ask("rev-parse --verify --quiet {name}", name=f"{whole}^{{commit}}")
            if answer.ok:
                return answer.line
        return ""

    def contains(self, commit: str, other: str) -> bool:
        """Whether a commit is or contains another one."""
        return self._ask("merge-base --is-ancestor {a} {b}", a=other, b=commit).ok

    def distance(self, one: str, other: str) -> tuple[int, int]:
        """How many commits each of two has that the other lacks."""
        answer = self._ask("rev-list --left-right --count {range}", range=f"{one}...{other}")
        ahead, behind = answer.out.split()
        return int(ahead), int(behind)

    def commits(self, pull: Pull) -> list[Commit]:
        """The commits of a pull request, oldest first."""
        return self._log(f"{pull.base_oid}..{pull.head_oid}")

    def commit(self, oid: str) -> Commit:
        """One commit."""
        return self._log(f"{oid}^!")[-1]

    def _log(self, what: str) -> list[Commit]:
        answer = self._ask(
            "log -z --reverse --topo-order --format={format} {range}", format=_LOG, range=what
        )
        fields, size = answer.fields(), len(Commit._fields)
        return [Commit(*fields[at : at + size]) for at in range(0, len(fields), size)]

    def files(self, pull: Pull) -> list[File]:
        """The files of a pull request that differ from its merge base."""
        options = "-z --no-renames {base}...{head}"
        ends = {"base": pull.base_oid, "head": pull.head_oid}
        letters = self._ask(f"diff --name-status {options}", **ends).fields()
        status = dict(zip(letters[1::2], letters[::2], strict=True))
        found = []
        for line in self._ask(f"diff --numstat {options}", **ends).fields():
            added, removed, path = line.split("\t", 2)
            # Git prints dashes for a file that is not text.
            plus, minus = (0 if n == "-" else int(n) for n in (added, removed))
            found.append(File(path, plus, minus, status[path]))
        return found

    def diff(self, pull: Pull) -> str:
        """What a pull request changes since its merge base."""
        return self._ask("diff {base}...{head}", base=pull.base_oid, head=pull.head_oid).out

    def merged_tree(self, pull: Pull) -> str:
        """The tree that a merge of a pull request would make now; "" if it conflicts."""
        answer = self._ask(
            "merge-tree --write-tree {base} {head}", base=pull.base_oid, head=pull.head_oid
        )
        return answer.line if answer.ok else ""

    # --- Pull requests

    def settle(self) -> None:
        """Update pull requests after pushes, as GitHub does."""
        mine = (pull for pull in self.state.pulls if not pull.strange)
        if not (pending := [pull for pull in mine if pull.state == "OPEN"]):
            return
        heads = self.refs("refs/heads/")
        for pull in pending:
            head, base = heads.get(pull.head, ""), heads.get(pull.base, "")
            if (head, base) != (pull.head_oid, pull.base_oid):
                self._follow(pull, head, base)

    def _follow(self, pull: Pull, head: str, base: str) -> None:
        last = head or pull.head_oid
        # A branch that was reset to an earlier commit of its base brought nothing.
        landed = base and self.contains(base, last) and not self.contains(pull.base_oid, last)
        if landed:
            answer = self._ask(
                "rev-list --first-parent --ancestry-path --reverse {range}",
                range=f"{last}..{base}",
            )
            pull.head_oid = last
            self._merged(pull, (answer.out.splitlines() or [last])[0])
        elif not head or not base or self.contains(base, head):
            pull.head_oid = last
            self._ended(pull, "CLOSED")
        else:
            pull.head_oid, pull.base_oid, pull.updated = head, base, self.at

    def _merged(self, pull: Pull, commit: str) -> None:
        pull.merged, pull.merge_commit = self.at, commit
        self._ended(pull, "MERGED")

    def _ended(self, pull: Pull, state: Literal["CLOSED", "MERGED"]) -> None:
        pull.state, pull.closed, pull.updated = state, self.at, self.at
        # From now on it no longer tracks the branch.
        ref = f"refs/pull/{pull.number}/head"
        self._do("update-ref --no-deref {ref} {oid}", ref=ref, oid=pull.head_oid)

    def _follows(self, pull: Pull) -> None:
        """Set ``refs/pull/N/head`` to the branch, as GitHub does."""
        ref, branch = f"refs/pull/{pull.number}/head", f"refs/heads/{pull.head}"
        self._do("symbolic-ref {ref} {branch}", ref=ref, branch=branch)

    def pull(self, number: int) -> Pull:
        """A pull request by its number."""
        for pull in self.state.pulls:
            if pull.number == number:
                return pull
        what = f"Could not resolve to a PullRequest with the number of {number}."
        raise Rejected(404, what)

    def create_pull(
        self, *, head: str, base: str, title: str, body: str = "", draft: bool = False
    ) -> Pull:
        """Open a pull request."""
        owner, _, branch = head.rpartition(":")
        if owner not in ("", self.owner):
            raise Rejected(422, f"the fake GitHub has no fork owned by {owner}")
        heads = self.refs("refs/heads/")
        _refuse_long(title=title, body=body)
        missing = []
        for side, name in (("Head", branch), ("Base", base)):
            if name not in heads:
                missing += [f"{side} sha can't be blank", f"{side} ref must be a branch"]
        if missing:
            raise Rejected(422, ", ".join([*missing, f"No commits between {base} and {branch}"]))
        self._refuse_second(branch, base)
        if self.contains(heads[base], heads[branch]):
            raise Rejected(422, f"No commits between {base} and {branch}")
        self.state.number += 1
        pull = Pull(
            number=self.state.number,
            title=title,
            body=body,
            head=branch,
            base=base,
            head_oid=heads[branch],
            base_oid=heads[base],
            author=self.viewer,
            created=self.at,
            updated=self.at,
            draft=draft,
        )
        self.state.pulls.append(pull)
        self._follows(pull)
        return pull

    def _refuse_second(self, head: str, base: str) -> None:
        for pull in self.state.pulls:
            mine = pull.state == "OPEN" and not pull.strange
            if mine and (pull.head, pull.base) == (head, base):
                what = f"A pull request already exists for {self.owner}:{head}."
                raise Rejected(422, what, {"resource": "PullRequest", "code": "custom"})

    def edit_pull(
        self,
        pull: Pull,
        *,
        title: str | None = None,
        body: str | None = None,
        base: str | None = None,
        labels: Sequence[str] | None = None,
    ) -> None:
        """Change what is given."""
        _refuse_long(title=title or "", body=body or "")
        if base not in (None, pull.base):
            if not (oid := self.ref(f"refs/heads/{base}")):
                raise Rejected(422, f"Proposed base branch '{base}' was not found")
            if self.contains(oid, pull.head_oid):
                ends = f"base branch '{base}' and head branch '{pull.head}'"
                raise Rejected(422, f"There are no new commits between {ends}")
            self._refuse_second(pull.head, base or "")
            pull.base, pull.base_oid = base or "", oid
        pull.title = pull.title if title is None else title
        pull.body = pull.body if body is None else body
        pull.labels = pull.labels if labels is None else list(dict.fromkeys(labels))
        pull.updated = self.at

    def set_draft(self, pull: Pull, draft: bool) -> None:
        """Make it a draft, or ready for review."""
        pull.draft, pull.updated = draft, self.at

    def comment(self, pull: Pull, body: str) -> Comment:
        """Write below a pull request."""
        _refuse_long(body=body)
        self.state.id += 1
        comment = Comment(self.state.id, self.viewer, body, self.at)
        pull.comments.append(comment)
        pull.updated = self.at
        return comment

    def review(self, pull: Pull, event: str) -> None:
        """Approve a pull request's commit or ask for changes, as a colleague who may push: GitHub
        takes no review by the author, and the fake GitHub knows no second account."""
        state = {"APPROVE": "APPROVED", "REQUEST_CHANGES": "CHANGES_REQUESTED"}[event]
        user = {"login": f"colleague-of-{pull.author}"}
        pull.reviews.append({"user": user, "state": state, "commit_id": pull.head_oid})
        pull.updated = self.at

    def close(self, pull: Pull) -> None:
        """Close a pull request that is open."""
        if pull.state != "OPEN":
            raise Rejected(422, "Could not close the pull request.")
        self._ended(pull, "CLOSED")

    def reopen(self, pull: Pull) -> None:
        """Open a closed one again, unless its branch is gone."""
        heads = self.refs("refs/heads/")
        if pull.state != "CLOSED" or not {pull.head, pull.base} <= heads.keys():
            raise Rejected(422, "Could not open the pull request.")
        self._refuse_second(pull.head, pull.base)
        pull.state, pull.closed, pull.updated = "OPEN", None, self.at
        pull.head_oid, pull.base_oid = heads[pull.head], heads[pull.base]
        self._follows(pull)

    def merge(
        self,
        pull: Pull,
        method: Method = "MERGE",
        *,
        title: str | None = None,
        body: str | None = None,
        expected: str | None = None,
    ) -> str:
        """Merge an open pull request and return the resulting commit.

        title, body: of the commit instead of GitHub's own. expected: where its head must be.
        """
        self._refuse_merge(pull, method, expected)
        if not (tree := self.merged_tree(pull)):
            raise Rejected(405, "Pull Request is not mergeable")
        if method == "MERGE":
            title = title or f"Merge pull request #{pull.number} from {self.owner}/{pull.head}"
            body = pull.title if body is None else body
            parents = "-p {base} -p {head}"
        else:
            title = title or f"{pull.title} (#{pull.number})"
            parents = "-p {base}"
        commit = self._do(
            f"commit-tree {parents} -m{{message}} {{tree}}",
            base=pull.base_oid,
            head=pull.head_oid,
            message=f"{title}\n\n{body}" if body else title,
            tree=tree,
        )
        ref = f"refs/heads/{pull.base}"
        self._do("update-ref {ref} {new} {old}", ref=ref, new=commit, old=pull.base_oid)
        self._merged(pull, commit)
        if self.state.settings.delete_branch_on_merge:
            self.delete_ref(f"refs/heads/{pull.head}")
        return commit

    def _refuse_merge(self, pull: Pull, method: Method, expected: str | None) -> None:
        settings = self.state.settings
        if pull.state != "OPEN":
            raise Rejected(405, f"Pull request is {pull.state.lower()}")
        if pull.draft:
            raise Rejected(405, "Pull Request is still a draft")
        if method == "MERGE" and not settings.allow_merge_commit:
            raise Rejected(405, "Merge commits are not allowed on this repository.")
        if method == "REBASE":
            raise Rejected(501, "the fake GitHub cannot merge by rebase")
        if method == "SQUASH" and not settings.allow_squash_merge:
            raise Rejected(405, "Squash merges are not allowed on this repository.")
        if expected not in (None, pull.head_oid):
            raise Rejected(409, "Head branch was modified. Review and try the merge again.")

    def delete_ref(self, ref: str) -> None:
        """Delete a branch or a tag."""
        if not self.ref(ref):
            raise Rejected(422, "Reference does not exist")
        self._do("update-ref -d {ref}", ref=ref)
        self.settle()

    # --- Labels

    def label(self, name: str) -> Label:
        """A label by its name; case does not matter."""
        for label in self.state.labels:
            if label.name.lower() == name.lower():
                return label
        raise Rejected(404, "Not Found")

    def create_label(self, name: str, color: str = "ededed", description: str = "") -> Label:
        """Add a label."""
        _refuse_long_label(name, description)
        if any(name.lower() == label.name.lower() for label in self.state.labels):
            detail = {"resource": "Label", "code": "already_exists", "field": "name"}
            raise Rejected(422, "Validation Failed", detail)
        self.state.labels.append(label := Label(name, color.lower(), description))
        return label

    def edit_label(
        self, name: str, *, new: str = "", color: str = "", description: str | None = None
    ) -> Label:
        """Change what is given; pull requests follow a new name."""
        label = self.label(name)
        _refuse_long_label(new, description or "")
        for pull in self.state.pulls:
            pull.labels = [new if new and x == label.name else x for x in pull.labels]
        label.name, label.color = new or label.name, color.lower() or label.color
        label.description = label.description if description is None else description
        return label

    # --- Releases

    def release(self, tag: str) -> Release:
        """A published release by its tag."""
        for release in self.state.releases:
            if release.tag == tag and not release.draft:
                return release
        raise Rejected(404, "Not Found")

    def release_by_id(self, id: int) -> Release:
        """Any release."""
        for release in self.state.releases:
            if release.id == id:
                return release
        raise Rejected(404, "Not Found")

    def create_release(
        self,
        tag: str,
        *,
        name: str = "",
        body: str = "",
        target: str = "",
        draft: bool = False,
        prerelease: bool = False,
        latest: bool = True,
    ) -> Release:
        """Make a release; publishing it creates its tag if it does not exist."""
        if any(release.tag == tag and not release.draft for release in self.state.releases):
            detail = {"resource": "Release", "code": "already_exists", "field": "tag_name"}
            raise Rejected(422, "Validation Failed", detail)
        target = target or self.default_branch
        if not self.ref(f"refs/tags/{tag}") and not self.resolve(target):
            detail = {"resource": "Release", "code": "invalid", "field": "target_commitish"}
            raise Rejected(422, "Validation Failed", detail)
        self.state.id += 1
        release = Release(
            id=self.state.id,
            tag=tag,
            name=name,
            body=body,
            target=target,
            author=self.viewer,
            created=self.at,
            draft=True,
            prerelease=prerelease,
        )
        self.state.releases.append(release)
        if not draft:
            self._publish(release, latest)
        return release

    def edit_release(
        self,
        release: Release,
        *,
        name: str | None = None,
        body: str | None = None,
        draft: bool | None = None,
        prerelease: bool | None = None,
        latest: bool = False,
    ) -> None:
        """Change what is given; a draft may be published."""
        release.name = release.name if name is None else name
        release.body = release.body if body is None else body
        release.prerelease = release.prerelease if prerelease is None else prerelease
        if release.draft and draft is False:
            self._publish(release, latest=True)
        elif latest:
            self.state.latest = release.tag

    def _publish(self, release: Release, latest: bool) -> None:
        ref = f"refs/tags/{release.tag}"
        if not self.ref(ref):
            self._do("update-ref {ref} {oid}", ref=ref, oid=self.resolve(release.target))
        release.draft, release.published = False, self.at
        if latest and not release.prerelease:
            self.state.latest = release.tag

    # --- Workflows

    def workflows(self) -> list[Workflow]:
        """The workflows of the default branch, which are all that GitHub lists."""
        found = []
        names = self._ask("ls-tree --name-only HEAD {under}", under=f"{WORKFLOWS}/").out
        for path in names.splitlines():
            if path.endswith((".yml", ".yaml")):
                name = str(self._workflow("HEAD", path).get("name", path))
                found.append(Workflow(_id(path), path, name, self._workflow_state(path)))
        return found

    def _workflow_state(self, path: str) -> str:
        if path in self.state.disabled:
            return "disabled_inactivity" if path in self.state.idle else "disabled_manually"
        return "active"

    def _workflow(self, commit: str, path: str) -> dict[str, Any]:
        text = self._ask("cat-file blob {commit}:{path}", commit=commit, path=path)
        read = YAML(typ="safe", pure=True).load(text.out) if text.ok else None
        return read if isinstance(read, dict) else {}

    def workflow(self, name: str) -> Workflow:
        """A workflow by its id or the name of its file."""
        for workflow in self.workflows():
            if name in (str(workflow.id), workflow.path, workflow.path.rpartition("/")[2]):
                return workflow
        raise Rejected(404, "Not Found")

    def enable(self, workflow: Workflow, active: bool) -> None:
        """Enable or disable a workflow."""
        others = [path for path in self.state.disabled if path != workflow.path]
        self.state.idle = [path for path in self.state.idle if path != workflow.path]
        self.state.disabled = others if active else [*others, workflow.path]

    def dispatch(self, workflow: Workflow, ref: str, inputs: dict[str, str]) -> Run:
        """Start a workflow by hand; it stays queued."""
        branch = re.sub("^refs/(heads|tags)/", "", ref)
        if not (commit := self.resolve(branch)):
            raise Rejected(422, f"No ref found for: {ref}")
        if not workflow.active:
            raise Rejected(422, "Cannot trigger a 'workflow_dispatch' on a disabled workflow")
        wanted = self._inputs(commit, workflow.path)
        if strange := [name for name in inputs if name not in wanted]:
            raise Rejected(422, f"Unexpected inputs provided: {msgspec.json.encode(strange)!r}")
        for name, about in wanted.items():
            if isinstance(about, dict) and about.get("required") and "default" not in about:
                self._refuse_missing(name, inputs)
        self.state.id += 1
        run = Run(
            id=self.state.id,
            number=1 + sum(run.path == workflow.path for run in self.state.runs),
            path=workflow.path,
            name=workflow.name,
            branch=branch,
            sha=commit,
            created=self.at,
            updated=self.at,
            actor=self.viewer,
            inputs=inputs,
        )
        self.state.runs.append(run)
        return run

    @staticmethod
    def _refuse_missing(name: str, inputs: dict[str, str]) -> None:
        if name not in inputs:
            raise Rejected(422, f"Required input '{name}' not provided")

    def _inputs(self, commit: str, path: str) -> dict[str, Any]:
        """The inputs of a workflow at a commit. Raises Rejected if it cannot be dispatched."""
        triggers = self._workflow(commit, path).get("on")
        names = triggers if isinstance(triggers, dict | list) else [triggers]
        if "workflow_dispatch" not in names:
            raise Rejected(422, "Workflow does not have 'workflow_dispatch' trigger")
        about = triggers["workflow_dispatch"] if isinstance(triggers, dict) else None
        return dict((about or {}).get("inputs") or {})

    def run(self, id: int) -> Run:
        """A run of a workflow."""
        for run in self.state.runs:
            if run.id == id:
                return run
        raise Rejected(404, "Not Found")


def _id(path: str) -> int:
    # Like GitHub's ids: the same in every process, as long as the file keeps its name.
    return zlib.crc32(path.encode())


def _refuse_long(title: str = "", body: str = "") -> None:
    for name, text, most in (("Title", title, 256), ("Body", body, 65536)):
        if len(text) > most:
            raise Rejected(422, f"{name} is too long (maximum is {most} characters)")


def _refuse_long_label(name: str, description: str) -> None:
    for field, text, most in (("name", name, 50), ("description", description, 100)):
        if len(text) > most:
            what = f"{field} is too long (maximum is {most} characters)"
            detail = {"resource": "Label", "code": "custom", "field": field, "message": what}
            raise Rejected(422, "Validation Failed", detail)


_REFS = "%(refname) %(objectname)"
_LOG = "%x00".join(["%H", "%an", "%ae", "%aI", "%cI", "%s", "%b"])
