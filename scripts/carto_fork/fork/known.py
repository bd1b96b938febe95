"""Which policy counts in a clone, and how to correct one that is not valid."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ..run import files, git
from ..run.errors import Refused
from ..run.git import Refs, Repository
from ..run.shell import Shell
from .policy import POLICY_FILE, Invalid, Loaded, Policy, load_policy


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
            no.advise(how_to_fix(path, _short(ref)))
        raise


def how_to_fix(path: Path, production: str) -> str:
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


def draft(sh: Shell, repository: Repository) -> str:
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
