"""What can be wrong with releases: tags that hide or moved, versions that do not fit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress

from packaging.version import InvalidVersion, Version

from ..fork import detect, pins, tags
from ..fork.policy import TagUse
from ..run import git
from ..run.errors import Refused
from ..run.steps import Step
from ..run.text import printable
from . import status
from .checks import Check, Finding, Level, Patient, Unchecked

RETAG = Step(
    "tag",
    "Take upstream's tag, which was merged; the other is kept beside.",
    run=(
        "git -C {repo} update-ref refs/carto-fork/kept/{kept} refs/tags/{tag}",
        "git -C {repo} fetch --no-tags --no-recurse-submodules {upstream}"
        " +refs/tags/{tag}:refs/tags/{tag}",
    ),
    stuck="check the network and the remote, then run the same command again.",
)


def _detection(patient: Patient) -> Iterator[Finding]:
    schemes, refs = patient.fork.policy.tags, patient.fork.refs
    known = patient.upstream_tags
    classified = {name: tags.classify(name, schemes) for name in known.tags()}
    stable = [tag for tag in classified.values() if tag and tag.stable]
    automatic = [tag for tag in stable if tag.scheme.use is TagUse.AUTOMATIC]
    remote = patient.fork.policy.remotes.upstream.name

    pinned: Mapping[str, pins.Pin] = {}
    with suppress(Refused):  # `tags` tells it
        pinned = pins.read(patient.text(pins.FILE_NAME) or None)
    for tag in sorted(stable):
        ref = f"refs/tags/{tag.name}"
        here = refs.objects.get(ref, known.objects[ref])
        if here == known.objects[ref] or tag.name in pinned:
            continue
        what = f"the tag {tag.name} is {here[:10]} here, and {known.objects[ref][:10]} upstream."
        cause = "It was moved, here or there; upgrades refuse it until one of them is right."
        then = f"to take upstream's: {git.at(patient.repo)} fetch {remote} +{ref}:{ref}"
        yield Finding(Level.BROKEN, what, cause, then)

    newest = max(stable, default=None)
    own = [x for name in refs.tags() if (x := tags.classify(name, schemes)) and x.stable]
    for tag in sorted(own):
        if tag.name not in classified and newest and tag > newest:
            what = f"the tag {tag.name} is here alone; {remote} has no such release."
            cause = "It was made here, or upstream has removed it; it looks like the newest one."
            then = f"{git.at(patient.repo)} tag -d {tag.name}"
            yield Finding(Level.LOOK, what, cause, then)

    contained = patient.release
    version = patient.fork.stated_version(patient.sh, patient.commit)
    newer = [tag for tag in automatic if contained is None or tag > contained]
    if newer and not any(detect.is_newer(tag, contained, version) for tag in newer):
        hidden = max(newer)
        what = (
            f"{hidden.name} is not detected: {patient.production} states {printable(version)} and "
            f"contains {contained.name if contained else 'no release'}."
        )
        cause = "The version was raised without the release, or its sync landed squashed."
        then = patient.command("heal", check=True)
        if contained:
            bump = patient.command("bump-version", tag=contained.name)
            then += f"; where nothing is to heal: {patient.on_a_branch('version', bump)}"
        yield Finding(Level.BROKEN, what, cause, then)

    for warning in detect.silent(classified, automatic):
        cause = "Releases under a new name are not noticed."
        then = f"see `tags`, and add a scheme: {patient.command('config')}"
        yield Finding(Level.LOOK, f"{printable(warning)}.", cause, then)


def _tags(patient: Patient) -> Iterator[Finding]:
    try:
        pinned = pins.read(patient.text(pins.FILE_NAME) or None)
    except Refused as no:
        cause = "Without it nobody notices a tag that moved, and upgrades are refused."
        then = f"correct {pins.FILE_NAME} on {patient.production}, and push it"
        yield Finding(Level.BROKEN, no.what, cause, then)
        return
    refs = patient.fork.refs
    there, offline = None, ""
    if pinned:
        try:
            there = patient.upstream_tags
        except Unchecked as no:
            offline = str(no)
    remote = patient.fork.policy.remotes.upstream.name
    for name, pin in pinned.items():
        ref = f"refs/tags/{name}"
        here = refs.objects.get(ref, pin.object)
        upstream = there.objects.get(ref, "") if there else pin.object
        if upstream != pin.object:
            now = f"is {upstream[:10]} now" if upstream else "is gone"
            what = f"upstream's tag {name} was {pin.object[:10]} when it was merged, and {now}."
            cause = "Upstream moved a release that is in production: find out why."
            then = f"{git.at(patient.repo)} ls-remote {remote} {ref}"
            yield Finding(Level.BROKEN, what, cause, then)
        if here == pin.object:
            continue
        what = f"the tag {name} is {here[:10]} here, and was {pin.object[:10]} when it was merged."
        if there and upstream == pin.object:
            cause = "It was moved here; upstream's is the one that was merged."
            values = {"tag": name, "kept": f"{name}-{here[:10]}"}
            yield patient.mended(Level.BROKEN, what, cause, RETAG, **values)
        else:
            cause = "It was moved here, or upstream moved it and it was fetched by force."
            then = f"{git.at(patient.repo)} ls-remote {remote} {ref}"
            yield Finding(Level.BROKEN, what, cause, then)
    if offline:
        raise Unchecked(f"upstream's: {offline}")


def _version(patient: Patient) -> Iterator[Finding]:
    try:
        stated = status.stated_versions(patient.sh, patient.fork, patient.commit)
    except Refused as no:
        cause = "No version can be read from it."
        yield Finding(Level.BROKEN, no.what, cause, f"correct it on {patient.production}")
        return
    contained = patient.release
    bump = patient.command("bump-version", tag=contained.name if contained else "TAG")
    raise_it = patient.on_a_branch("version", bump)
    if len(set(stated.values())) > 1:
        listed = ", ".join(f"{printable(k)} is {printable(v)}" for k, v in stated.items())
        cause = "Only some of the places that state it were raised."
        yield Finding(Level.BROKEN, f"the version files disagree: {listed}.", cause, raise_it)
        return
    version = next(iter(stated.values()), "")
    if contained and version and _parsed(version) != contained.version:
        what = (
            f"the version is {printable(version)}, and the newest release in {patient.production} "
            f"is {contained.name}."
        )
        if _parsed(version) < contained.version:
            cause = "The release was merged, and its version was not set."
            yield Finding(Level.BROKEN, what, cause, raise_it)
        elif _counts_on(_parsed(version), contained.version):
            cause = "The fork counts on by itself; `release` takes the release's own only."
            yield Finding(Level.LOOK, what, cause, raise_it)
        else:
            cause = "A sync landed without its history, or of a commit that is no stable release."
            yield Finding(Level.LOOK, what, cause, patient.command("heal", check=True))
    own = tags.newest(patient.fork.refs.tags(), patient.fork.policy.tags, TagUse.OWN)
    if own and version and _parsed(version) < own.version:
        what = (
            f"{own.name} is a release of {own.release}, and {patient.production} states "
            f"{printable(version)}."
        )
        cause = "Its release was made from another branch, or the version was set back."
        then = f"{git.at(patient.repo)} branch --all --contains {own.name}"
        yield Finding(Level.LOOK, what, cause, then)


def _parsed(version: str) -> Version:
    try:
        return Version(version)
    except InvalidVersion:
        return Version("0")


def _counts_on(version: Version, release: Version) -> bool:
    """Whether a version is one that the fork made of a release's, as 1.75.2.1 of 1.75.2."""
    return version.release[: len(release.release)] == release.release


CHECKS = (
    Check("detection", "No new release is detected.", _detection),
    Check("tags", "A tag is not what it was.", _tags),
    Check("version", "The version does not match the release.", _version),
)
"""The checks of this subject."""
