"""The check of the policy."""

from __future__ import annotations

from collections.abc import Iterator
from shlex import quote

from ..fork import releases, setup
from ..fork.policy import POLICY_FILE, Policy, load_policy
from ..run import git
from ..run.errors import Refused
from .checks import Diagnosis, Level, Patient


def _policy_here(patient: Patient) -> Iterator[Diagnosis]:
    """The policy in the checkout, if that would bring another one to production."""
    work = patient.work
    text = patient.fork.policy_here(patient.sh) if work else ""
    if not work or not text:
        return
    shown = quote(str(git.nearest(work / POLICY_FILE)))
    cause = f"It is not in force: that is {patient.production}'s."
    try:
        policy = load_policy(text, shown).policy
    except Refused as no:
        cause += " With it, a pull request cannot pass Guard."
        yield Diagnosis(Level.BROKEN, no.what, cause, f"correct {shown}")
        return
    wrong = [*_release_names(patient, policy)]
    yield from wrong
    if patient.notes and not wrong:
        yield Diagnosis(Level.NOTE, f"{shown} is valid.", cause, "")


def check(patient: Patient) -> Iterator[Diagnosis]:
    """What is wrong with the policy in force, and with one in the checkout."""
    yield from _policy_here(patient)
    if problem := patient.fork.problem:
        cause = "Until that is fixed, tasks refuse to run, and doctor checks by the default policy."
        yield Diagnosis(Level.BROKEN, problem.what, cause, problem.then)
        return
    if patient.notes:
        commit, loaded = patient.fork.production_commit[:10], patient.fork.loaded
        at = f" ({commit})" if commit and not (loaded.is_default or patient.fork.draft) else ""
        what = f"the policy in force is {loaded.source}{at}"
        shows = f"`{patient.command('fork.config')}` prints it."
        yield Diagnosis(Level.NOTE, f"{what}; {shows}", "", "")
    yield from _release_names(patient, patient.fork.policy)
    origin, ref = patient.fork.policy.remotes.origin, f"refs/heads/{patient.production}"
    if patient.fork.has_production or patient.offline or not patient.fork.url(origin):
        return
    heads = git.remote_refs(patient.sh, patient.repo, origin.name, ["refs/heads/*"], git.PATIENCE)
    if heads and ref not in heads.objects:
        what = f"{origin.name} has no {patient.production}, which the policy calls production."
        cause = "Tasks can neither merge releases into it nor release it."
        then = "push that branch, or correct `branches.production`: "
        then += patient.command("fork.config")
        if patient.fork.loaded.is_default:
            cause = "This fork has no policy yet, and the default one is for another fork."
            then, _ = setup.first_policy(patient.fork, patient.command)
        yield Diagnosis(Level.BROKEN, what, cause, then)


def _release_names(patient: Patient, policy: Policy) -> Iterator[Diagnosis]:
    """Names of releases that no task would recognise."""
    try:
        releases.require_known_names(patient.sh, patient.fork, policy)
    except Refused as no:
        cause = "`release` refuses to make such a release."
        yield Diagnosis(Level.BROKEN, no.what, cause, no.then)
