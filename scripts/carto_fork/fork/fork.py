"""One fork on this machine: its repository, its refs, its policy."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..run import files, git, github
from ..run.errors import Refused
from ..run.git import Refs, Repository
from ..run.github import Hub
from ..run.shell import Shell
from ..run.text import scrub
from .policy import POLICY_FILE, Invalid, Loaded, Policy, Remote, load_policy


@dataclass(frozen=True)
class Fork:
    """What the tasks know about a fork when they start.

    settings: git's effective configuration.
    refs: branches and tags at that moment.
    loaded: the policy, and where its values come from.
    problem: why the fork's own policy is not in force; None if it is.
    draft: the text of a policy file in the checkout that is on no branch yet; "" without one.
    """

    repository: Repository
    settings: Mapping[str, list[str]]
    refs: Refs
    loaded: Loaded
    problem: Refused | None = None
    draft: str = ""

    @property
    def path(self) -> Path:
        """Where to run git. Not in a linked work tree: an upgrade's may be removed while a task
        runs."""
        return self.home if self.repository.linked else self.repository.path

    @property
    def home(self) -> Path:
        """The clone itself, whichever of its work trees the user named."""
        return git.nearest(self.repository.home)

    def notes(self, about: str) -> Path:
        """The directory for what this clone notes about a release, or, as ``clone``, about
        itself."""
        return self.repository.common / "carto-fork" / about

    def place_for(self, branch: str) -> Path:
        """Where the work tree of a branch belongs: next to the clone; absolute."""
        home = self.repository.home
        return home.with_name(f"{home.name}.{branch.replace('/', '-')}")

    @property
    def is_of_the_tasks(self) -> bool:
        """Whether this is not a fork, but a checkout of this program."""
        own = Path("scripts", *__name__.split(".")[:1], "tasks.py")
        return not self.has_production and (self.repository.home / own).is_file()

    @property
    def is_unknown(self) -> bool:
        """Whether the only policy is the default one, and nothing shows that it is this fork's."""
        if not self.loaded.is_default or self.problem or self.is_of_the_tasks:
            return False
        origin = self.policy.remotes.origin
        url = self.url(origin) or ""
        known = github.is_local(url) and self.has_production
        return not (known or github.same_repository(url, origin.url))

    @property
    def policy(self) -> Policy:
        return self.loaded.policy

    @property
    def origin_production(self) -> str:
        """The full name of the remote-tracking ref of origin's production branch."""
        return self.tracking(self.policy.remotes.origin, self.policy.branches.production)

    @property
    def local_production(self) -> str:
        """The full name of the local production branch."""
        return f"refs/heads/{self.policy.branches.production}"

    @property
    def production_commit(self) -> str:
        """The production branch's commit as this clone knows it; "" if it does not."""
        commits = self.refs.commits
        return commits.get(self.origin_production) or commits.get(self.local_production, "")

    @property
    def has_production(self) -> bool:
        """Whether this clone knows the production branch."""
        return bool(self.production_commit)

    def tracking(self, remote: Remote, branch: str) -> str:
        """The full name of the remote-tracking ref of a branch."""
        return f"refs/remotes/{remote.name}/{branch}"

    @property
    def published(self) -> tuple[str, ...]:
        """Origin's branches, by name, as this clone knows them."""
        prefix = self.tracking(self.policy.remotes.origin, "")
        return tuple(
            ref.removeprefix(prefix) for ref in self.refs.objects if ref.startswith(prefix)
        )

    @property
    def upstream_tips(self) -> tuple[str, ...]:
        """The commits at upstream's branch tips, as this clone knows them."""
        prefix = f"refs/remotes/{self.policy.remotes.upstream.name}/"
        commits = self.refs.commits
        return tuple(dict.fromkeys(commits[ref] for ref in commits if ref.startswith(prefix)))

    def url(self, remote: Remote) -> str | None:
        """The configured URL of a remote; None if it is missing."""
        return self.settings.get(f"remote.{remote.name}.url", [None])[0]

    def hub(self, remote: Remote) -> Hub:
        """A remote's repository on GitHub. Raises Refused if it is elsewhere."""
        slug = github.slug_of(remote.url)
        if slug is None:
            problem = f"the remote `{remote.name}` is not on github.com: {scrub(remote.url)}."
            then = (
                "do it by hand; or if it is there, correct `remotes` in the policy (`fork.config`)."
            )
            raise Refused(problem, then=then)
        return Hub(self.gh, slug)

    @property
    def gh(self) -> str:
        """The gh program; git's setting `carto-fork.gh` can name another one."""
        named = self.settings.get("carto-fork.gh", ["gh"])[-1]
        if not os.path.isabs(named):
            return named
        shorter = str(git.nearest(Path(named)))
        return shorter if os.sep in shorter else f".{os.sep}{shorter}"

    def at(self, sh: Shell, commit: str) -> Fork:
        """The same fork with the policy of a commit on the production branch."""
        text = git.show(sh, self.path, commit, POLICY_FILE)
        if text is None and not self.problem:
            return self  # no policy there, or no own policy at all
        try:
            loaded = load_policy(text, f"{POLICY_FILE} at {commit[:10]}")
        except Invalid as no:
            production = f"{self.policy.remotes.origin.name}/{self.policy.branches.production}"
            no.advise(_how_to_fix(self.path, production))
            raise
        return replace(self, loaded=loaded, problem=None, draft="")

    def fixed_by(self, sh: Shell, commit: str, problem: Refused) -> Fork:
        """This fork with the policy of a commit that corrects its invalid one.

        problem: the fork's. Raises Refused if the commit does not correct it: if its policy is
        not valid either, has not changed since, or is that of another repository or branch.
        """
        if not isinstance(problem, Invalid):
            raise problem
        text = git.show(sh, self.path, commit, POLICY_FILE)
        loaded = load_policy(text, f"{POLICY_FILE} at {commit[:10]}")
        fork = replace(self, loaded=loaded, problem=None, draft="")
        origin = fork.policy.remotes.origin
        url = fork.url(origin) or ""
        is_here = problem.ref in ("HEAD", fork.origin_production, fork.local_production)
        is_same = url and (github.is_local(url) or github.same_repository(url, origin.url))
        if not (is_here and is_same):
            raise problem
        if not fork.brings(sh, commit, text):
            raise problem
        return fork

    def policy_here(self, sh: Shell) -> str:
        """The text of the policy in the work tree, if it would be another one on production; "" if
        not."""
        path = self.repository.work / POLICY_FILE
        head = sh.ask("git -C {at} rev-parse --quiet --verify HEAD^0", at=path.parent).line
        if self.draft or not head or path.is_symlink() or not path.is_file():
            return ""
        text = files.read_text(path)
        return text if self.brings(sh, head, text) else ""

    def brings(self, sh: Shell, commit: str, policy: str | None) -> bool:
        """Whether a policy's text, which a commit or a checkout of it has, is another one than
        that of production, and of the production commit that the commit is based on."""
        known = [self.production_commit]
        known += git.merge_bases(sh, self.path, commit, *known) if known[0] else []
        return policy not in git.contents(sh, self.path, [f"{x}:{POLICY_FILE}" for x in known if x])

    def merging(self, sh: Shell, trees: Iterable[git.Worktree]) -> list[Path]:
        """Those of some work trees that are of upgrades, and in which a merge is in progress."""
        prefix = "refs/heads/"
        return [
            git.nearest(tree.path)
            for tree in trees
            if tree.branch.startswith(prefix)
            and self.policy.branches.tag_of(tree.branch.removeprefix(prefix))
            and not tree.missing
            and git.work_state(sh, tree.path).merging
        ]

    def values(self) -> dict[str, str]:
        """The values of the placeholders for this fork in every procedure."""
        slug = github.slug_of(self.policy.remotes.origin.url) or ""
        return {"repo": str(self.path), "gh": self.gh, "slug": slug, **values_of(self.policy)}


def values_of(policy: Policy) -> dict[str, str]:
    """The values of the placeholders in the procedures' templates that a policy defines."""
    remotes, branches = policy.remotes, policy.branches
    return {
        "origin": remotes.origin.name,
        "origin_url": remotes.origin.url,
        "upstream": remotes.upstream.name,
        "upstream_url": remotes.upstream.url,
        "mirror": branches.mirror,
        "branch": branches.upstream,
        "production": branches.production,
    }


def open_fork(sh: Shell, path: Path) -> Fork:
    """The fork at a path; with the default policy and the problem if its own is not valid.

    Raises Refused if git is too old or the path is not in a repository.
    """
    git.require_version(sh)
    repository = git.open_repository(sh, path)
    refs = git.refs(sh, repository.path)
    settings = git.config(sh, repository.path)
    draft = ""
    try:
        loaded = known_policy(sh, repository, settings, refs)
        if loaded is None and (draft := _draft(sh, repository)):
            try:
                loaded = load_policy(draft, f"{POLICY_FILE}, which is on no branch yet")
            except Refused as no:
                no.advise(f"correct {git.nearest(repository.home / POLICY_FILE)}.")
                raise
        return Fork(repository, settings, refs, loaded or load_policy(), draft=draft)
    except Refused as problem:
        return Fork(repository, settings, refs, load_policy(), problem, draft)


def require_remotes(fork: Fork) -> None:
    """Raises Refused unless both remotes exist and match the policy."""
    require_right_urls(fork)
    for remote in (fork.policy.remotes.origin, fork.policy.remotes.upstream):
        if fork.url(remote) is None:
            raise Refused(
                f"the remote `{remote.name}` is missing.",
                then=f"`setup`, or: {git.at(fork.path)} remote add {remote.name} {remote.url}",
            )


def unfetched(remote: str) -> str:
    """That this clone knows no branch of a remote, without a full stop."""
    return f"this clone has fetched no branch of the remote `{remote}`"


def require_production(fork: Fork) -> None:
    """Raises Refused if this clone does not know the production branch."""
    if not fork.has_production:
        problem = f"this clone does not know {fork.policy.branches.production}."
        raise Refused(problem, then=f"{git.at(fork.path)} fetch {fork.policy.remotes.origin.name}")


def require_right_urls(fork: Fork) -> None:
    """Raises Refused if a remote leads to another repository than the policy says, or if it is a
    path and nothing shows that the repository is the fork."""
    url = fork.url(fork.policy.remotes.origin)
    if url and github.is_local(url) and not fork.has_production:
        raise Refused(
            f"{os.path.abspath(fork.path)} is not the fork: it has no branch "
            f"{fork.policy.branches.production}.",
            then=_UNKNOWN if fork.is_unknown else "name the fork's clone with --repo.",
        )
    for problem, then in wrong_urls(fork):
        raise Refused(problem, then=then)


def require_whole_history(fork: Fork) -> None:
    """Raises Refused in a shallow clone."""
    if fork.repository.shallow:
        raise Refused(
            "this is a shallow clone, and git needs the whole history to merge.",
            then=f"{git.at(fork.path)} fetch --unshallow {fork.policy.remotes.origin.name}",
        )


def wrong_urls(fork: Fork) -> Iterator[tuple[str, str]]:
    """What is wrong with the remotes' URLs, each with the command that fixes it.

    A path on this machine counts as a copy, unless both remotes are the same repository.
    """
    origin, upstream = fork.policy.remotes.origin, fork.policy.remotes.upstream
    if fork.is_of_the_tasks:
        problem = f"{fork.path.absolute()} is the checkout of the tasks, not of a fork."
        yield problem, "name the fork's clone with --repo."
        return
    for remote in (origin, upstream):
        for option, flag in (("url", ""), ("pushurl", " --push")):
            for url in fork.settings.get(f"remote.{remote.name}.{option}", []):
                if not (github.is_local(url) or github.same_repository(url, remote.url)):
                    fix = f"{git.at(fork.path)} remote set-url{flag} {remote.name} {remote.url}"
                    if remote is origin:
                        fix = f"name the fork's clone with --repo, or if this is it: {fix}"
                    fix = _UNKNOWN if fork.is_unknown else fix
                    yield f"the remote `{remote.name}` is {scrub(url)}, not {remote.url}.", fix
    one, other = fork.url(origin), fork.url(upstream)
    if one and other and github.same_repository(one, other):
        fix = f"{git.at(fork.path)} remote set-url {upstream.name} {upstream.url}"
        yield (
            f"the remotes `{origin.name}` and `{upstream.name}` are the same repository, "
            f"{scrub(one)}.",
            _UNKNOWN if fork.is_unknown else fix,
        )


_UNKNOWN = "`fork.init`, if this fork has no policy yet; or name the fork's clone with --repo."


# --- Which policy counts --------------------------------------------------------------------------


def known_policy(
    sh: Shell, repository: Repository, settings: Mapping[str, list[str]], refs: Refs
) -> Loaded | None:
    """The policy on the production branch as this clone knows it; None without one.

    The policy names the production branch, and the production branch holds the policy. To find it,
    git's setting `carto-fork.production` names the branch, with or without its remote; otherwise
    the default does. If that branch exists, no other one counts, whoever put a policy there.
    Otherwise we take the one remote branch whose policy names that branch itself, or the checkout
    (a CI job has little else). If that policy names another production branch, we read the policy
    there again.
    """
    path, named = repository.path, settings.get("carto-fork.production", [])
    remotes = [key[7:-4] for key in settings if key.startswith("remote.") and key.endswith(".url")]
    default = _production_refs(load_policy().policy)
    tracked = [f"refs/remotes/{remote}/{branch}" for branch in named for remote in remotes]
    tracked = [default[0]] if default[0] in tracked else tracked
    said = [f"refs/remotes/{branch}" for branch in named]
    candidates = [*said, *tracked, *(f"refs/heads/{branch}" for branch in named), *default]
    wanted = [ref for ref in candidates if ref in refs.objects]
    following = [ref for ref in refs.objects if ref.startswith("refs/remotes/")]
    asked = list(dict.fromkeys([*wanted, *following, "HEAD"]))
    texts = git.contents(sh, path, [f"{ref}:{POLICY_FILE}" for ref in asked])
    text_of = {ref: text for ref, text in zip(asked, texts, strict=True) if text is not None}
    holding = [ref for ref in wanted if ref in text_of]
    if wanted and not holding:
        return None
    holding = holding or list(_self_named(following, text_of))
    rivals = [ref for ref in holding if ref in tracked or not wanted]
    if len({text_of[ref] for ref in rivals}) > 1 and holding[0] in rivals:
        both = " and ".join(_short(ref) for ref in rivals[:2])
        raise Refused(
            f"{both} each hold a policy that names that branch as production.",
            then=f"name the fork's one, with its remote: {git.at(path)} config "
            f"carto-fork.production {_short(rivals[0])}",
        )
    ref = next(iter(holding), "HEAD")
    if ref not in text_of:
        return None
    loaded = _load(path, text_of[ref], ref)
    production = _production_refs(loaded.policy)
    if ref in production:
        return loaded
    # If the production branch lacks a policy, the one that names that branch is all we have.
    there_ref = next((ref for ref in production if ref in refs.objects), ref)
    text = git.show(sh, path, there_ref, POLICY_FILE)
    return loaded if text is None else _load(path, text, there_ref)


def _load(path: Path, text: str, ref: str) -> Loaded:
    try:
        return load_policy(text, f"{POLICY_FILE} at {ref}")
    except Invalid as no:
        no.ref = ref
        if ref.startswith("refs/"):
            no.advise(_how_to_fix(path, _short(ref)))
        raise


def _how_to_fix(path: Path, production: str) -> str:
    """What to do about an invalid policy on production: a pull request can bring a valid one."""
    start = f"`{git.at(path)} switch --no-track -c feature/policy {production}`"
    return (
        f"{start}, correct {POLICY_FILE} there, commit it, then `branch.pr`; "
        "`fork.config` prints what is valid."
    )


def _self_named(refs: Sequence[str], texts: Mapping[str, str]) -> Iterator[str]:
    """The remote branches whose policy names that very branch."""
    for ref in refs:
        try:
            policy = load_policy(texts[ref]).policy if ref in texts else None
        except Refused:
            continue  # an invalid policy on an unrelated branch
        if policy and ref == _production_refs(policy)[0]:
            yield ref


def _short(ref: str) -> str:
    return ref.removeprefix("refs/remotes/").removeprefix("refs/heads/")


def _draft(sh: Shell, repository: Repository) -> str:
    """The text of the policy file that a person put at the top of the main work tree; "" without
    one, or if it came with a commit, which may be anybody's."""
    path = repository.home / POLICY_FILE
    if path.is_symlink() or not path.is_file():  # a symbolic link may lead anywhere
        return ""
    tracked = git.show(sh, repository.home, "HEAD", POLICY_FILE) is not None
    return "" if tracked else files.read_text(path)


def _production_refs(policy: Policy) -> tuple[str, str]:
    branch = policy.branches.production
    return f"refs/remotes/{policy.remotes.origin.name}/{branch}", f"refs/heads/{branch}"
