"""Checks of the fork on GitHub: workflows, settings, pull requests, Slack, gh."""

from __future__ import annotations

import json
import os
import posixpath
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from shlex import quote
from typing import Any
from urllib.parse import quote as encoded

from ..adopt import documents
from ..adopt.copies import BRANCH, State, compare, foreign, missing, pinned, uncalled
from ..audit.approvals import CHECK, owners
from ..ci import notify
from ..fork import branches, detection, tags
from ..fork.policy import CODE_OWNERS, POLICY_FILE
from ..run import git, github
from ..run.errors import Refused
from ..run.files import keep
from ..run.steps import Step
from ..run.text import counted, listed, printable
from ..upgrade.begun import remembered
from .checks import Check, Diagnosis, Inapplicable, Level, Patient, Unchecked

ENABLE = Step(
    "enable", "Switch the workflow on again.", run=("{gh} workflow enable {workflow} -R {slug}",)
)

_BAD = ("failure", "timed_out", "startup_failure")
_SCOPES = ("repo", "workflow")


# --- The automation ------------------------------------------------------------------------------


def _adopt(patient: Patient, replace: Sequence[str] = (), about: str = "") -> str:
    """What brings the files of `fork.adopt` into the fork: the command, or the open pull request
    of an earlier run.

    replace: files that the team changed, to be overwritten. about: one that a pull request has to
        change.
    """
    fork, sh = patient.fork, patient.sh
    with suppress(Unchecked):
        for pull in github.pulls(sh, patient.hub, base=patient.production):
            changes = not about or _changes(patient, pull.commit, about)
            if BRANCH.fullmatch(pull.head) and changes:  # the newest comes first
                return f"merge what `fork.adopt` has opened: {pull.url}"
    named = missing(sh, fork.policy, patient.text, fork.gh)
    return patient.command("fork.adopt", requirement=named, replace=replace)


def _changes(patient: Patient, commit: str, path: str) -> bool:
    """Whether a commit, if this clone has it, has another version of a file than production."""
    sh, repo = patient.sh, patient.repo
    known = git.has_object(sh, repo, commit)
    return known and git.tree(sh, repo, commit).get(path) != patient.files.get(path)


def _program(patient: Patient) -> Iterator[Diagnosis]:
    replace: Sequence[str] = [patient.fork.policy.files.sync]
    path, sync = patient.fork.policy.files.requirements, patient.fork.policy.files.sync
    text = patient.text(sync) if sync else ""
    if text and not documents.is_stamped(text) and "carto-fork" not in text:
        with suppress(Refused):
            copies = compare(patient.fork.policy, lambda path: patient.text(path) or None)
            replace = foreign(copies) or replace
        what = f"{listed(replace)} {'does' if len(replace) == 1 else 'do'} not run this program."
        then = _adopt(patient, replace, sync)
        yield Diagnosis(Level.LOOK, what, "The team, or an earlier automation, wrote it.", then)
    yield from _called(patient)
    yield from _behind(patient)
    if path in patient.files and not pinned(patient.text(path)):
        what = f"{path} pins neither a commit of the tasks nor a wheel by its hash."
        cause = "Whoever can change what it names gets the tokens of the workflows."
        yield Diagnosis(Level.BROKEN, what, cause, _adopt(patient))


def _behind(patient: Patient) -> Iterator[Diagnosis]:
    """Files of `fork.adopt` that are older than the policy or this program."""
    with suppress(Refused):
        copies = compare(patient.fork.policy, lambda path: patient.text(path) or None)
        if old := [copy.path for copy in copies if copy.state is State.BEHIND]:
            verb = "is" if len(old) == 1 else "are"
            what = f"{listed(old)} {verb} not what the policy and this program say now."
            cause = "One of them has changed since `fork.adopt` wrote the file."
            yield Diagnosis(Level.LOOK, what, cause, _adopt(patient))


def _called(patient: Patient) -> Iterator[Diagnosis]:
    """Whether the release workflow calls the images workflow, and can."""
    files = patient.fork.policy.files
    why = uncalled(patient.fork.policy, lambda path: patient.text(path) or None)
    if why and f"uses: ./{files.images}" in patient.text(files.release):
        what = f"{files.release} calls {files.images}, which has no `workflow_call` with the input "
        cause = "GitHub starts no workflow that calls another one wrongly: nothing is released."
        yield Diagnosis(Level.BROKEN, f"{what}`release`.", cause, _adopt(patient))
    elif why and documents.is_stamped(patient.text(files.release)):
        what, _, then = why.partition(": ")
        cause = f"The team keeps its own {files.images}."
        yield Diagnosis(Level.LOOK, f"{what}.", cause, then)


def _workflow(patient: Patient) -> Iterator[Diagnosis]:
    path = patient.fork.policy.files.sync
    if not path:
        raise Inapplicable("the policy leaves that workflow out")
    name = posixpath.basename(path)
    if path not in patient.files:
        what = f"{patient.production} has no {path}."
        cause = "Nothing looks for new releases, unless another workflow does."
        yield Diagnosis(Level.LOOK, what, cause, _adopt(patient))
        return
    slug = patient.hub.slug
    off = f"{documents.key(patient.fork.policy.name).upper()}_SYNC_SCHEDULE"
    with suppress(Unchecked):  # who may not read variables can still read runs
        if str((_named(patient, "variables").get(off) or {}).get("value")) == "off":
            then = f"{patient.hub.gh} variable delete {off} -R {slug}"
            what = f"the schedule of {name} is switched off by the variable {off}."
            yield Diagnosis(Level.LOOK, what, "Only people start runs until then.", then)
    yield from _requests(patient)
    workflow = patient.ask(f"/actions/workflows/{name}")
    page = f"{patient.hub.url}/actions/workflows/{name}"
    if workflow is None:
        what = f"GitHub does not know {name}."
        cause = "GitHub runs schedules only from the default branch."
        then = f"{patient.hub.gh} repo edit {slug} --default-branch {patient.production}"
        yield Diagnosis(Level.BROKEN, what, cause, then)
        return
    if (state := workflow.get("state", "active")) != "active":
        what = f"{name} is switched off ({printable(str(state))})."
        cause = "Somebody switched it off, or GitHub did because the repository is a fork."
        if state == "disabled_inactivity":
            cause = "GitHub switches a schedule off after 60 days without a commit."
        yield patient.fixable(Level.BROKEN, what, cause, ENABLE, workflow=name)
    listed = patient.ask(f"/actions/workflows/{name}/runs?per_page=10") or {}
    runs = listed.get("workflow_runs", [])
    start = f"{patient.hub.gh} workflow run {name} -R {slug} --ref {patient.production}"
    if not runs and "ci.sync" in patient.text(path):  # otherwise `program` says that it is another
        cause = f"Nobody started it, and its schedule has not come yet: {page}"
        yield Diagnosis(Level.LOOK, f"{name} has never run.", cause, start)
    elif runs and all(run.get("status") == "queued" for run in runs) and _is_wanted(patient):
        what = f"{name} was started, and no run of it has begun: {page}"
        cause = "GitHub is busy, or it is the sandbox's, which runs none. To do its work here:"
        yield Diagnosis(Level.LOOK, what, cause, patient.command("ci.sync"))
    ended = [run for run in runs if run.get("status") == "completed"]
    if ended and ended[0].get("conclusion") in _BAD:
        last = ended[0]
        what = (
            f"the last run of {name} ({str(last['created_at'])[:10]}) ended with "
            f"{last['conclusion']}: {printable(str(last['html_url']))}"
        )
        then = f"{patient.hub.gh} run view {last['id']} -R {slug} --log-failed"
        cause = f"Its log says why. To start it again: {start}"
        yield Diagnosis(Level.BROKEN, what, cause, then)


def _is_wanted(patient: Patient) -> bool:
    """Whether the sync workflow has something to do, or nobody knows."""
    fork = patient.fork
    with suppress(Refused):
        newest = detection.detect(patient.sh, fork).newest
        return (
            newest is not None and fork.policy.branches.sync_for(newest.name) not in fork.published
        )
    return True


def _requests(patient: Patient) -> Iterator[Diagnosis]:
    """Whether the sync workflow may open its pull request, and no workflow may approve one without
    need."""
    token = f"{documents.key(patient.fork.policy.name).upper()}_SYNC_TOKEN"
    if token not in patient.text(patient.fork.policy.files.sync):
        return
    with suppress(Unchecked):  # only administrators may read it
        usual = patient.ask("/actions/permissions/workflow") or {}
        may = usual.get("can_approve_pull_request_reviews")
        has = token in _named(patient, "secrets")
        if may is None or may != has:
            return
        put = f"{patient.hub.gh} api -X PUT repos/{patient.hub.slug}/actions/permissions/workflow"
        then = f"{put} -F can_approve_pull_request_reviews={str(not has).lower()}"
        if not has:
            what = f"GitHub Actions may not open pull requests, and the secret {token} is missing."
            cause = "The sync can push its branch, and not open the pull request for it."
            yield Diagnosis(Level.BROKEN, what, cause, then)
        else:
            what = f"GitHub Actions may approve pull requests, which nothing needs with {token}."
            cause = "A workflow could approve a pull request."
            yield Diagnosis(Level.LOOK, what, cause, then)


def _sync_pr(patient: Patient) -> Iterator[Diagnosis]:
    policy, sh = patient.fork.policy, patient.sh
    for pull in github.pulls(sh, patient.hub, base=patient.production):
        if not (release := policy.branches.tag_of(pull.head)):
            continue
        name, resolve = f"pull request {pull.number} ({printable(pull.head)})", str(pull.number)
        tag, has = tags.classify(release, policy.tags), patient.release
        if tag and has and tag <= has:
            what = f"{name} is open, and {patient.production} contains {has.name}."
            cause = "It landed in another way, or a newer release has replaced it."
            close = github.close(patient.hub, pull.number)
            yield Diagnosis(Level.LOOK, what, cause, f"if nobody needs what is on it: {close}")
            continue
        if policy.pull_requests.conflicts in pull.labels:
            what = f"{name} has conflicts: {pull.url}"
            cause = "This is expected: no rule decides them, so a person has to."
            then = patient.command("resolve-conflicts", pr=resolve)
            yield Diagnosis(Level.LOOK, what, cause, then)
        ends = f"{encoded(patient.production, safe='')}...{encoded(pull.head, safe='')}"
        behind = int((patient.ask(f"/compare/{ends}") or {}).get("behind_by", 0))
        if behind:
            what = f"{name} lacks {counted(behind, 'commit')} of {patient.production}."
            cause = "They landed after it was opened; its account does not cover them."
            fetch = f"{git.at(patient.repo)} fetch {policy.remotes.origin.name}"
            take = branches.taking_production(patient.fork, pull.head, patient.place_of(pull.head))
            asked = {**remembered(patient.fork, release).words(), "no_push": False}
            again = patient.command("upgrade-carto", tag=release, **asked)
            yield Diagnosis(Level.LOOK, what, cause, f"{fetch} && {take} && {again}")


# --- Slack ---------------------------------------------------------------------------------------


def _slack(patient: Patient) -> Iterator[Diagnosis]:
    name = notify.VARIABLE
    local = os.environ.get(name, "").strip()
    if local and not notify.is_webhook(local):
        what = f"the environment variable {name} is not the URL of an incoming webhook."
        cause = "Tasks here cannot post to Slack. The value is a secret, so it is not shown."
        yield Diagnosis(Level.BROKEN, what, cause, f"unset {name}, or set it to the webhook's URL")
    variables, unknown = {}, None
    try:
        variables = _named(patient, "variables")
    except Unchecked as no:
        unknown = no
    value = str((variables.get(name) or {}).get("value", "")).strip()
    if patient.slack_test:
        yield from _test(patient, local or value)
    if unknown:
        raise unknown
    secrets = _named(patient, "secrets")
    slug, gh = patient.hub.slug, patient.hub.gh
    as_secret = f"{gh} secret set {name} -R {slug}"
    as_variable = f"{gh} variable set {name} -R {slug}"
    workflow = patient.fork.policy.files.sync
    reader = posixpath.basename(workflow)
    text = patient.text(workflow) if workflow else ""
    reads = {kind: f"{kind}.{name}" in text for kind in ("vars", "secrets")}
    secret = name in secrets and reads["secrets"]
    if name in variables and not notify.is_webhook(value) and not secret:
        what = f"the variable {name} is not the URL of an incoming webhook at hooks.slack.com."
        cause = "No message arrives. The value is a secret, so it is not shown."
        yield Diagnosis(Level.BROKEN, what, cause, as_variable)
    if name not in variables and name not in secrets:
        what = f"{slug} has neither a secret nor a variable {name}."
        cause = "Workflow runs do not post to Slack; doing so is optional."
        then = as_variable if reads["vars"] and not reads["secrets"] else as_secret
        yield Diagnosis(Level.LOOK, what, cause, then)
    elif name not in variables and reads["vars"] and not reads["secrets"]:
        what = f"{name} is a secret, but {reader} reads only the variable of that name."
        yield Diagnosis(Level.BROKEN, what, "No message reaches Slack.", as_variable)
    elif name not in secrets and reads["secrets"] and not reads["vars"]:
        what = f"{name} is a variable, but {reader} reads only the secret of that name."
        yield Diagnosis(Level.BROKEN, what, "No message reaches Slack.", as_secret)


def _test(patient: Patient, url: str) -> Iterator[Diagnosis]:
    """Send a test message, and report the outcome."""
    if not url:
        name = notify.VARIABLE
        what = f"no test message was sent: {name} is not set here."
        cause = "GitHub shows nobody the value of a secret."
        then = f"{name}=URL {patient.command('doctor', slack_test=True)}"
        yield Diagnosis(Level.BROKEN, what, cause, then)
        return
    if patient.sh.dry:
        yield Diagnosis(Level.NOTE, "a test message would be sent.", "--dry sends nothing.", "")
        return
    text = "This tests the connection. Nothing has happened, and nobody has to do anything."
    why = notify.post(url, notify.message("Test message", [text], {}, patient.fork.policy.name))
    if why:
        what = f"the test message was not delivered: {why}."
        cause = "The webhook or its channel was removed, or the network is down."
        then = "create a new one: https://api.slack.com/messaging/webhooks"
        yield Diagnosis(Level.BROKEN, what, cause, then)
    else:
        yield Diagnosis(Level.NOTE, "the test message was delivered.", "Look in the channel.", "")


def _named(patient: Patient, kind: str) -> dict[str, Any]:
    """The repository's variables or secrets by name, with those that the organization shares."""
    named: dict[str, Any] = {}
    for path in (f"organization-{kind}", kind):
        listed = patient.ask(f"/actions/{path}?per_page=100") or {}
        named |= {each["name"]: each for each in listed.get(kind, [])}
    return named


# --- Settings ------------------------------------------------------------------------------------


def _squash_merge(patient: Patient) -> Iterator[Diagnosis]:
    settings = patient.ask("") or {}
    if "allow_squash_merge" not in settings:
        raise Unchecked("the token may not read the repository's settings")
    edit = f"{patient.hub.gh} repo edit {patient.hub.slug}"
    if not settings.get("allow_merge_commit"):
        what = f"{patient.hub.slug} does not allow merge commits."
        cause = "A sync can only land squashed or rebased, and then loses its ancestry."
        yield Diagnosis(Level.BROKEN, what, cause, f"{edit} --enable-merge-commit")
    branch = encoded(patient.production, safe="")
    rules = patient.ask(f"/rules/branches/{branch}") or []
    methods = [(rule.get("parameters") or {}).get("allowed_merge_methods") for rule in rules]
    if settings["allow_squash_merge"] and ["merge"] not in methods:
        what = f"{patient.hub.slug} allows squash merging."
        cause = "A sync that lands squashed loses its ancestry; `fork.heal` then has to restore it."
        yield Diagnosis(Level.LOOK, what, cause, f"{edit} --enable-squash-merge=false")


_ACTIONS = 15368
"""GitHub Actions, among the apps that report checks."""


def _lacking(patient: Patient, rules: list[dict[str, Any]], classic: dict[str, Any]) -> list[str]:
    """What the production branch's rules lack of those that it should have."""
    kinds = {str(rule.get("type")) for rule in rules}
    parts = [rule.get("parameters") or {} for rule in rules]
    review = classic.get("required_pull_request_reviews") or {}
    status = classic.get("required_status_checks") or {}
    # The same app reports the checks of every workflow; any other app could report one, too.
    checks = {(one.get("context"), one.get("app_id")) for one in status.get("checks") or ()}
    for part in parts:
        listed = part.get("required_status_checks") or ()
        checks |= {(one.get("context"), one.get("integration_id")) for one in listed}

    def has(name: str, older: str) -> bool:
        return any(part.get(name) for part in parts) or bool(review.get(older))

    def forbids(kind: str, older: str) -> bool:
        return kind in kinds or (bool(classic) and not (classic.get(older) or {}).get("enabled"))

    there = {
        "a rule against deleting it": forbids("deletion", "allow_deletions"),
        "a rule against forced pushes": forbids("non_fast_forward", "allow_force_pushes"),
    }
    # A workflow that the organisation requires from elsewhere is nothing that a pull request has.
    if patient.fork.policy.files.guard in patient.files and "workflows" not in kinds:
        there |= {
            f"the required check {CHECK} from GitHub Actions": (CHECK, _ACTIONS) in checks,
            "an approval of pull requests": has(
                "required_approving_review_count", "required_approving_review_count"
            ),
            "the approval of code owners": has(
                "require_code_owner_review", "require_code_owner_reviews"
            ),
            "the approval of the last push by somebody else": has(
                "require_last_push_approval", "require_last_push_approval"
            ),
            "the dismissal of approvals by a push": has(
                "dismiss_stale_reviews_on_push", "dismiss_stale_reviews"
            ),
        }
    return [what for what, is_there in there.items() if not is_there]


def _code_owners(patient: Patient) -> Iterator[Diagnosis]:
    """Files that Guard relies on and that have no code owner."""
    files, slug = patient.fork.policy.files, patient.hub.slug
    judges = [POLICY_FILE, files.guard, files.dependencies, files.requirements, CODE_OWNERS[0]]
    if free := [p for p in judges if p and not owners(patient.sh, patient.repo, patient.commit, p)]:
        owner = slug.partition("/")[0]
        what = f"no code owner has to approve changes to {', '.join(free)}."
        cause = f"They decide what {CHECK} does: a pull request can then replace its own check."
        place = next((path for path in CODE_OWNERS if path in patient.files), CODE_OWNERS[0])
        lines = " and ".join(f"`{path} @{owner}/TEAM`" for path in ("/.github/", "/carto_*"))
        start = patient.command("branch.start", name="code-owners")
        then = f"`{start}`; write {lines} as the last lines of {place} there, commit it, then type "
        yield Diagnosis(Level.LOOK, what, cause, f"{then}`{patient.command('branch.pr')}`")


def _kept(patient: Patient, ruleset: dict[str, Any]) -> str:
    """The file with a ruleset, beside the notes of this clone: on a command line it would be eight
    screens wide."""
    path = patient.fork.notes("clone") / "ruleset.json"
    with suppress(OSError):  # nobody may write here; the command says so
        keep(path, json.dumps(ruleset, indent=2, ensure_ascii=False) + "\n")
    return str(git.nearest(path))


def _protection(patient: Patient) -> Iterator[Diagnosis]:
    branch, slug, gh = encoded(patient.production, safe=""), patient.hub.slug, patient.hub.gh
    rules = patient.ask(f"/rules/branches/{branch}") or []
    kinds = {str(rule.get("type")) for rule in rules}
    hidden = ""
    try:
        classic = patient.ask(f"/branches/{branch}/protection") or {}
    except Unchecked as no:
        classic, hidden = {}, str(no)
    linear = bool((classic.get("required_linear_history") or {}).get("enabled"))
    page = f"{patient.hub.url}/settings/branches"
    if linear or "required_linear_history" in kinds:
        what = f"{patient.production} accepts no merge commits: it requires a linear history."
        cause = "A sync can only land squashed or rebased, and then loses its ancestry."
        yield Diagnosis(Level.BROKEN, what, cause, f"switch it off: {page}")
    files = patient.fork.policy.files
    judged = files.guard in patient.files and "workflows" not in kinds
    if judged:
        yield from _code_owners(patient)
    lacking = _lacking(patient, rules, classic)
    if hidden and lacking:
        raise Unchecked(hidden)
    if lacking:
        what = f"the rules of {patient.production} lack {', '.join(lacking)}."
        cause = "A pull request can then get in unseen, or replace its own check."
        if not classic and not kinds:
            what = f"{patient.production} is not protected on GitHub."
            cause = "Anybody with write access can overwrite or delete it."
        wanted = documents.ruleset(patient.fork.policy)
        ours = [x for x in patient.ask("/rulesets") or () if x.get("name") == wanted["name"]]
        to = f"PUT repos/{slug}/rulesets/{ours[0]['id']}" if ours else f"POST repos/{slug}/rulesets"
        then = f"{gh} api -X {to} --input {quote(_kept(patient, wanted))}"
        if files.guard and files.guard not in patient.files:
            then = (
                f"adopt the workflow {CHECK} first, since the rules require it: {_adopt(patient)}"
            )
        yield Diagnosis(Level.LOOK, what, cause, then)
    if not judged:
        return
    with suppress(Unchecked):  # only administrators may read it
        usual = patient.ask("/actions/permissions/workflow") or {}
        if usual.get("default_workflow_permissions") == "write":
            what = "workflows that do not say what they need get a token that may write."
            cause = f"A workflow of a pull request can report a check {CHECK} with it."
            then = f"{gh} api -X PUT repos/{slug}/actions/permissions/workflow"
            then += " -f default_workflow_permissions=read"
            yield Diagnosis(Level.LOOK, what, cause, then)


# --- gh ------------------------------------------------------------------------------------------


def _gh(patient: Patient) -> Iterator[Diagnosis]:
    gh, sh = patient.fork.gh, patient.sh
    try:
        patient.fork.hub(patient.fork.policy.remotes.origin)
    except Refused as no:
        raise Unchecked(no.what.rstrip(".")) from None
    what = github.what_is_wrong(sh, gh)
    if what == github.MISSING:
        cause = "Upgrades are published without a pull request, and releases need gh."
        yield Diagnosis(Level.LOOK, what, cause, "install it: https://cli.github.com")
        return
    if what:
        cause = "It lacks commands that pull requests and releases need."
        yield Diagnosis(Level.BROKEN, what, cause, "install a newer one: https://cli.github.com")
        return
    patient.require_network()
    root = sh.read([gh, "api", "--include", "--hostname", "github.com", "/"], timeout=git.PATIENCE)
    if not root.ok and re.search("gh auth login|HTTP 401|GH_TOKEN", root.err):
        what = "gh is not logged in, or its token is not valid any more."
        cause = "No pull request can be opened."
        yield Diagnosis(Level.BROKEN, what, cause, f"{gh} auth login --scopes repo,workflow")
        return
    if not root.ok:
        raise Unchecked("GitHub cannot be reached")
    scopes = re.search(r"^X-Oauth-Scopes:(.*)$", root.out, re.IGNORECASE | re.MULTILINE)
    # A fine-grained token has permissions instead of scopes, and GitHub does not list them.
    has = {scope.strip() for scope in scopes[1].split(",")} if scopes else set(_SCOPES)
    if missing := [scope for scope in _SCOPES if scope not in has]:
        what = f"gh's token lacks the scope{'s' * (len(missing) > 1)} {' and '.join(missing)}."
        cause = "It may not open pull requests, or may not push upstream's changes to workflows."
        level = Level.BROKEN if "repo" in missing else Level.LOOK
        then = f"{gh} auth refresh --scopes {','.join(missing)}"
        yield Diagnosis(level, what, cause, then)


CHECKS = (
    Check("workflow", "The sync workflow fails, or does not run.", _workflow),
    Check(
        "program",
        "What `fork.adopt` wrote is out of date, was changed, or runs other code.",
        _program,
    ),
    Check("sync-pr", "The pull request of a sync is not ready to be merged.", _sync_pr),
    Check("slack", "Some messages do not arrive in Slack.", _slack),
    Check("squash-merge", "A sync can land squashed.", _squash_merge),
    Check("protection", "The production branch can be overwritten.", _protection),
    Check("gh", "No pull request is opened.", _gh),
)
"""The checks of this subject."""
