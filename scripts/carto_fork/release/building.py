"""Container images of the fork: name them, build them in a separate work tree, publish them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace

from ..ci import notify
from ..fork import releases, tags
from ..fork.fork import Fork, require_remotes
from ..fork.session import Session
from ..fork.tags import Tag, TagUse
from ..run import git
from ..run.errors import Refused, Usage
from ..run.steps import Condition, Journal, Plan, Step
from . import release
from .contribute import branch_on_origin, current
from .notes import images_of_branch, images_of_release
from .release import FETCH_OWN_TAG

RELEASE = Condition("with `--release`")
LEFTOVER = Condition("if there is one")
BUILD_ONLY = Condition("without `--push`")
BUILD_PUSH = Condition("with `--push`")

_BUILDX = "docker buildx build --platform {platforms} --file {work}/{dockerfile}"

_BUILD = Step(
    "build",
    "Build the image, without publishing it.",
    when=BUILD_ONLY,
    run=(f"{_BUILDX} --tag={{image}} {{work}}",),
    makes="{place}",
    undo=("git -C {repo} worktree remove --force --force {place}",),
    stuck="fix what docker reports, then run the same command again.",
)

IMAGES = (
    replace(FETCH_OWN_TAG, why="Fetch the tag of the release.", when=RELEASE),
    Step(
        "clear",
        "Remove what a killed run left.",
        when=LEFTOVER,
        run=("git -C {repo} worktree remove --force --force {place}",),
        stuck="remove {work}, then run the same command again.",
    ),
    Step(
        "worktree",
        "Check out the commit to build in a separate work tree.",
        run=(
            "git -C {repo} -c core.sparseCheckout=false worktree add --force --force --detach"
            " {place} {commit}",
        ),
        makes="{place}",
        undo=("git -C {repo} worktree remove --force --force {place}",),
        stuck="make room for {work}, then run the same command again.",
    ),
    _BUILD,
    replace(
        _BUILD,
        name="publish",
        why="Build the image and publish it under all of its names.",
        when=BUILD_PUSH,
        run=(f"{_BUILDX} --tag={{image}} --push {{work}}",),
    ),
    Step(
        "tidy",
        "Remove the work tree.",
        run=("git -C {repo} worktree remove --force --force {place}",),
    ),
)


def show_images(s: Session, tag: str, build: bool, push: bool) -> None:
    """Print the image names of the production branch or of a release; build and publish them."""
    if push and not build:
        raise Usage("--push needs --build.", then="add --build.")
    fork = s.open_fork()
    about = fork.policy.images
    if about is None:
        raise Refused(
            "the policy names no images.",
            then="add `[images]` to carto_fork.toml on the production branch (`fork.config`).",
        )
    own = release.own_tag(fork, tag) if tag else None
    commit = fork.production_commit
    if build and not s.sh.dry:
        _require_buildx(s)
    if build:
        require_remotes(fork)
    with s.locked(fork.repository) if build else nullcontext() as held:
        if build and own is None:
            heads = branch_on_origin(s, fork, fork.policy.branches.production)
            fork, commit = current(s, fork, heads, held)
        if own:
            names = _of_release(s, fork, own, ask=build)
        elif commit:
            names = images_of_branch(about, fork.policy.branches.production, commit)
        else:
            raise Refused(
                f"this clone has no branch {fork.policy.branches.production}.",
                then=f"{git.at(fork.path)} fetch {fork.policy.remotes.origin.name}",
            )
        if not names:
            key = "release" if own else "branch"
            raise Refused(
                f"`images.{key}` in the policy is empty.",
                then="list tags there, in carto_fork.toml on the production branch.",
            )
        if build:
            rev = f"refs/tags/{tag}" if tag else commit
            _build(s, fork, names, rev, tag, push, held)
    facts = {"images": names, "dockerfile": about.dockerfile, "platforms": about.platforms}
    if s.json:
        s.print_json(facts | {"commit": "" if own else commit, "release": tag})
    else:
        for name in names:
            s.console.row("", name)
    if not s.sh.dry:
        outputs = {"images": "\n".join(names), "tags": ",".join(names)}
        outputs |= {"dockerfile": about.dockerfile, "platforms": ",".join(about.platforms)}
        notify.set_outputs(outputs)


def _of_release(s: Session, fork: Fork, own: Tag, ask: bool) -> list[str]:
    """The images of a release; names that move stay with the newest release.

    ask: whether to ask origin for its releases, too.
    """
    assert fork.policy.images
    names = fork.refs.tags()
    if ask:
        origin = fork.policy.remotes.origin.name
        names += releases.ask_remote(s.sh, fork, origin, ["refs/tags/*"]).tags()
    classified = (tags.classify(name, fork.policy.tags) for name in names)
    newer = [tag for tag in classified if tag and tag.scheme.use is TagUse.OWN and tag > own]
    if newer:
        s.console.say(f"{max(newer).name} is newer and keeps the names that move.")
    return images_of_release(
        fork.policy.images,
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
            then="install Docker with its buildx plugin, then run the same command again.",
        )


def _build(
    s: Session,
    fork: Fork,
    names: Sequence[str],
    rev: str,
    tag: str,
    push: bool,
    held: Journal | None,
) -> None:
    """Build the image of a commit in a separate work tree."""
    about = fork.policy.images
    assert about
    place = fork.place_for("images")
    conditions = {BUILD_PUSH if push else BUILD_ONLY}
    conditions |= {RELEASE} if tag else set()
    conditions |= {LEFTOVER} if place.exists() else set()
    values = fork.values() | {
        "commit": rev,
        "tag": tag,
        "place": str(place),
        "work": str(git.nearest(place)),
        "dockerfile": about.dockerfile,
        "platforms": ",".join(about.platforms),
    }
    procedure = [_for_images(step, names, bool(about.platforms)) for step in IMAGES]
    untouched = "Your checkout is as it was."
    s.run(procedure, Plan(values, frozenset(conditions), untouched), held)


def _for_images(step: Step, names: Sequence[str], platforms: bool) -> Step:
    """A step with an option for each image; image names contain no placeholders."""
    options = " ".join(f"--tag={name}" for name in names)
    lines = (line.replace("--tag={image}", options) for line in step.run)
    if not platforms:
        lines = (line.replace(" --platform {platforms}", "") for line in lines)
    return replace(step, run=tuple(lines))
