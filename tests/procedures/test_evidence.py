"""Evidence at work: losses of a merge are found, drops of a person are remembered."""

from __future__ import annotations

import json
import re
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import tomli

from carto_fork.sandbox.build import BUILT_UI
from world import (
    ROOT,
    Done,
    World,
    commit_in,
    copied,
    land,
    message,
    push_as_colleague,
    resolved_by_hand,
)

TAG, STABLE = "v1.76.5", "v1.77.2-stable"
SYNC = f"upstream-sync/{TAG}"
WORK = f"../litellm.upstream-sync-{TAG}"
UPGRADE = f"upgrade-carto --tag {TAG} --no-tests"
PAUSES = f"upgrade-carto --tag {STABLE} --no-tests"
MERGE = f"verify --ours carto/main --theirs {TAG} --result {SYNC}"
AS_BEFORE = "Your checkout, carto/main and origin are unchanged."

MEND = (
    f"fix the merge in {WORK} and commit, or drop what is lost (your words for PATH and WHY): "
    f"`invoke verify --repo {WORK} --drop PATH "
    f"--reason WHY`; then run `invoke {UPGRADE}` again."
)
REASON = "give --reason in words that a colleague understands in a year."

ROUTER, MAIN = "litellm/router.py", "litellm/responses/main.py"
DROPPED = f"1 change in {ROUTER} dropped, and committed"
AFFINITY = (
    "        if session_id is not None:\n"
    "            # CARTO: agents profit from the prompt cache of one deployment\n"
    "            return healthy[zlib.crc32(session_id.encode()) % len(healthy)]\n"
)
"""What the fork adds to the router."""
STORE = "    if not store:\n        return answer\n"
"""What upstream adds to the responses with v1.76.5."""
LAYOUT, USAGE = (
    f"ui/litellm-dashboard/src/{path}" for path in ("app/layout.tsx", "components/usage.tsx")
)
RELEASE_NOTES = "docs/my-website/release_notes/v1.76.3/index.md"


# --- Worlds that several tests start with ----------------------------------------------------


@cache
def after(template: Path, line: str, code: int) -> Path:
    """A copy of the template in which a task was run; to be copied, not to be changed."""
    world = copied(template, Path(tempfile.mkdtemp(dir=template.parent)) / "w")
    done = world.run(line)
    assert done.code == code, done.err
    return world.place


@pytest.fixture
def prepared(template: Path, tmp_path: Path) -> World:
    """An upgrade to v1.76.5 that is prepared and not published."""
    return copied(after(template, f"{UPGRADE} --no-push", 0), tmp_path / "w")


@pytest.fixture
def paused(template: Path, tmp_path: Path) -> World:
    """An upgrade to v1.77.2-stable that leaves two conflicts."""
    return copied(after(template, PAUSES, 3), tmp_path / "w")


@pytest.fixture
def published(template: Path, tmp_path: Path) -> World:
    """An upgrade to v1.76.5 whose sync branch is on origin, for `land` to merge."""
    return copied(after(template, UPGRADE, 0), tmp_path / "w")


@pytest.fixture
def merged(published: World) -> World:
    """An upgrade to v1.76.5 that was merged properly, and upstream has moved on."""
    land(published, TAG)
    upstream_moves_on(published)
    return published


@pytest.fixture
def squashed(published: World) -> World:
    """An upgrade to v1.76.5 that was squashed, and upstream has moved on."""
    land(published, TAG, squash=True)
    upstream_moves_on(published)
    return published


def upstream_moves_on(world: World) -> None:
    """Fetch upstream's branch and its next release."""
    world.git("fetch --quiet --no-tags upstream")
    world.git(f"fetch --quiet upstream tag {STABLE} --no-tags")


def everything(world: World) -> Any:
    """The checkout byte for byte, the refs everywhere, and git's data about the clone; without
    review pages."""
    kept = {name: it for name, it in world.git_dir().items() if not name.endswith("/report.html")}
    return world.everything(), kept, sorted(path.name for path in world.place.iterdir())


def changed(world: World, files: dict[str, tuple[str, str]], tag: str = TAG) -> None:
    """Replace something in files of an upgrade's work tree, and commit that."""
    work = world.work(tag)
    for path, (old, new) in files.items():
        text = (work / path).read_text() if (work / path).exists() else ""
        assert text.count(old) == 1 or not (text or old), path
        (work / path).write_text(text.replace(old, new) if text else new)
        world.git("add --", path, repo=work)
    world.git("commit --quiet -m 'refactor: simpler'", repo=work)


def commit_named(world: World, subject: str, branch: str = "carto/main") -> str:
    """The name of the commit with a subject."""
    line = world.git("log --fixed-strings '--format=%H %s'", f"--grep={subject}", branch)
    name, _, told = line.partition(" ")
    assert told == subject
    return name


def drops(world: World, work: Path | None = None) -> list[dict[str, Any]]:
    """The content of the drops file."""
    text = ((work or world.fork) / "carto_drops.toml").read_text()
    found: list[dict[str, Any]] = tomli.loads(text)["drop"]
    return found


# --- verify of three commits -----------------------------------------------------------------

LOST_AFFINITY = (
    f"  fork     {ROUTER}:43  3 lines missing\n"
    "             - if session_id is not None:\n"
    "             - # CARTO: agents profit from the prompt cache of one deployment\n"
    "             - return healthy[zlib.crc32(session_id.encode()) % len(healthy)]\n"
    "           by {by} feat(router): keep a session on its deployment\n"
)
LOST_STORE = (
    f"  upstream {MAIN}:17  2 lines missing\n"
    "             - if not store:\n"
    "             - return answer\n"
)


LACKS = "poetry.lock lacks hiredis, which pyproject.toml names; to regenerate it: poetry lock"
LOCK_FILE = f"lock file: {LACKS}\n".replace(" it: ", "\n  it: ")
"""What is to look at in every account here: upstream's lock file lacks what the fork needs."""


def accounted(lost: str) -> str:
    """The last sentence of the account of the merge of v1.76.5."""
    head = "Checked 45 fork files and 38 upstream files, change by change: "
    return f"{head}{lost.split()[0]} lost, 2\n  absorbed, 15 dropped on purpose.\n"


def page(merge: str = "merge") -> str:
    """The line that names the page to review a merge by."""
    return f"The page to review it by: .git/carto-fork/{merge}/report.html\n"


def test_a_merge_is_accounted_for_as_text(prepared: World) -> None:
    before = everything(prepared)
    done = prepared.run(MERGE)
    assert (done.code, done.err) == (0, "")
    nothing = "Nothing is lost; 1 finding in the merge to look at, now or in the review.\n"
    assert done.out == LOCK_FILE + accounted("0 changes") + nothing + page()
    assert everything(prepared) == before


def test_a_merge_is_accounted_for_as_json(prepared: World) -> None:
    done = prepared.run(f"{MERGE} --json")
    assert done.code == 0
    data = json.loads(done.out)
    fates = {(e["side"], e["path"], e["fate"]) for e in data.pop("explained")}
    dropped, absorbed = "dropped on purpose", "absorbed"
    assert fates == {
        ("fork", ROUTER, dropped),
        ("fork", "litellm/proxy/_experimental/out/", dropped),
        ("fork", "poetry.lock", dropped),
        ("fork", "pyproject.toml", dropped),
        ("fork", "tests/fixtures/prices.json", dropped),
        ("fork", "tests/fixtures/vendored-spec", dropped),
        ("fork", "tests/test_litellm/test_retry_policy.py", dropped),
        ("fork", "tests/test_litellm/test_router.py", dropped),
        ("upstream", ".github/workflows/ghcr_deploy.yml", dropped),
        ("upstream", ".github/workflows/ghcr_helm_deploy.yml", dropped),
        ("upstream", ".github/workflows/helm_unit_test.yml", dropped),
        ("upstream", "docs/CARTO_INTEGRATION.md", dropped),
        ("upstream", "enterprise/dist/litellm_enterprise-0.1.15-py3-none-any.whl", dropped),
        ("upstream", "litellm/llms/azure/chat/transformation.py", absorbed),
        ("upstream", "tests/smoke/proxy_health.sh", absorbed),
    }
    ours, theirs, result = prepared.git(f"rev-parse carto/main {TAG}^0 {SYNC}").split()
    assert data == {
        "ours": ours,
        "theirs": theirs,
        "result": result,
        "passed": True,
        "healed": None,
        "findings": [
            {"check": "lock file", "what": LACKS, "path": "poetry.lock", "certain": False}
        ],
        "lost": [],
        "look_at": [],
        "fork_files": 45,
        "upstream_files": 38,
    }


@pytest.mark.parametrize(
    ("path", "text", "entry"),
    [
        pytest.param(ROUTER, AFFINITY, LOST_AFFINITY, id="fork"),
        pytest.param(MAIN, STORE, LOST_STORE, id="upstream"),
    ],
)
def test_what_a_merge_lost_is_shown(prepared: World, path: str, text: str, entry: str) -> None:
    by = commit_named(prepared, "feat(router): keep a session on its deployment")
    changed(prepared, {path: (text, "")})
    before = everything(prepared)
    done = prepared.run(MERGE)
    lost = "lost:\n" + entry.replace("{by}", by[:10]) + accounted("1 change")
    assert done.out == LOCK_FILE + lost + page()
    owner = "fork" if path == ROUTER else "upstream"
    said = message(
        f"the merge is not right:\n  lost: 1 {owner} change in {path}",
        f"fix the result, then run `invoke {MERGE}` again.",
        title="Check failed",
    )
    assert (done.err, done.code) == (said, 4)
    assert everything(prepared) == before


def test_one_missing_line_is_reported_in_the_singular(prepared: World) -> None:
    changed(prepared, {ROUTER: (AFFINITY.splitlines(keepends=True)[1], "")})
    done = prepared.run(MERGE)
    assert f"  fork     {ROUTER}:44  1 line missing\n" in done.out


def test_a_line_in_other_words_is_not_called_missing(prepared: World) -> None:
    changed(prepared, {ROUTER: ("agents profit from", "agents benefit from")})
    done = prepared.run(MERGE)
    assert f"  fork     {ROUTER}:44  1 line in another form, gone: `profit`\n" in done.out
    # An upgrade ends with what is to be looked at, each once.
    ended = prepared.run(UPGRADE).out
    said = f"{ROUTER} no longer has the fork's lines (line 44 there); gone: `profit`"
    assert f"To look at: {said}" in " ".join(ended.split())
    assert ended.count(f"{ROUTER} has other lines") == 0 and ended.count("To look at: ") == 2


def test_verify_lists_lost_changes_as_json(prepared: World) -> None:
    subject = "feat(router): keep a session on its deployment"
    by = commit_named(prepared, subject)
    changed(prepared, {ROUTER: (AFFINITY, ""), MAIN: (STORE, "")})
    done = prepared.run(f"{MERGE} --json")
    assert done.code == 4
    data = json.loads(done.out)
    assert [finding["what"] for finding in data["findings"]] == [LACKS]
    assert (data["passed"], data["look_at"]) == (False, [])
    common = {"fate": "lost", "what": "lines", "back_again": [], "words_gone": [], "reason": ""}
    assert data["lost"] == [
        common
        | {
            "side": "fork",
            "path": ROUTER,
            "line": 43,
            "now_in": ROUTER,
            "missing": AFFINITY.splitlines(),
            "commits": [{"name": by, "date": "2025-07-31", "subject": subject}],
        },
        common
        | {
            "side": "upstream",
            "path": MAIN,
            "line": 17,
            "now_in": MAIN,
            "missing": STORE.splitlines(),
            "commits": [],
        },
    ]


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(RELEASE_NOTES, id="added"),
        pytest.param("model_prices_and_context_window.json", id="changed"),
    ],
)
def test_an_upstream_file_deleted_on_the_sync_branch_is_lost(prepared: World, path: str) -> None:
    work = prepared.work(TAG)
    prepared.git("rm --quiet --", path, repo=work)
    prepared.git("commit --quiet -m 'chore: tidy'", repo=work)
    done = prepared.run(f"{MERGE} --json")
    assert done.code == 4
    assert {entry["path"] for entry in json.loads(done.out)["lost"]} == {path}


def test_lines_that_a_person_moved_are_not_lost(prepared: World) -> None:
    moved = "litellm/router_sessions.py"
    text = f"import zlib\n\n\ndef keep(healthy, session_id):\n    if healthy:\n{AFFINITY}"
    changed(prepared, {ROUTER: (AFFINITY, ""), moved: ("", text)})
    done = prepared.run(f"{MERGE} --json")
    assert done.code == 0, done.err
    entries = [e for e in json.loads(done.out)["explained"] if e["fate"] == "moved"]
    assert [(e["side"], e["path"], e["now_in"]) for e in entries] == [("fork", ROUTER, moved)]


@pytest.mark.parametrize("lost", ["ours", "theirs", "result"])
def test_a_commit_that_is_not_here_is_refused(prepared: World, lost: str) -> None:
    revs = {"ours": "carto/main", "theirs": TAG, "result": SYNC} | {lost: "nowhere"}
    before = everything(prepared)
    done = prepared.run(f"verify {' '.join(f'--{name} {rev}' for name, rev in revs.items())}")
    said = message("this clone has no commit 'nowhere'.", "name one that `git log` shows.")
    assert (done.err, done.code, done.out) == (said, 1, "")
    assert everything(prepared) == before


@pytest.mark.parametrize(
    ("options", "missing"),
    [
        (f"--ours carto/main --theirs {TAG}", "--result is"),
        (f"--ours carto/main --result {SYNC}", "--theirs is"),
        (f"--theirs {TAG} --result {SYNC}", "--ours is"),
        (f"--theirs {TAG}", "--ours and --result are"),
    ],
)
def test_verify_needs_all_three_commits_of_a_merge(
    prepared: World, options: str, missing: str
) -> None:
    done = prepared.run(f"verify {options}")
    then = "name all three commits of the merge."
    assert done.err == message(f"{missing} missing.", then, title="Usage")
    assert (done.code, done.out) == (2, "")


def test_verify_refuses_an_option_as_a_commit(prepared: World) -> None:
    done = prepared.run(f"verify --ours carto/main --theirs {TAG} --result=--help")
    what = "--result is --help, which cannot name a commit."
    assert done.err == message(what, "name a commit, a branch or a tag.", title="Usage")
    assert (done.code, done.out) == (2, "")


@pytest.mark.parametrize(
    "options",
    [
        f"--tag {TAG} --landed {TAG}",
        f"--tag {TAG} {MERGE.partition(' ')[2]}",
        f"--landed {TAG} {MERGE.partition(' ')[2]}",
    ],
)
def test_verify_checks_one_merge_at_a_time(prepared: World, options: str) -> None:
    done = prepared.run(f"verify {options}")
    what = "--tag, --landed and three commits exclude each other."
    assert done.err == message(what, "choose one of them.", title="Usage")
    assert (done.code, done.out) == (2, "")


# --- The gate --------------------------------------------------------------------------------


def stopped(world: World, *problems: str, line: str = UPGRADE) -> None:
    """The upgrade stops at its check with these problems, and nothing is published."""
    origin, checkout = world.refs(world.origin), world.checkout()
    done = world.run(line)
    tag = line.split()[2]
    listed = "".join(f"\n  {problem}" for problem in problems)
    then = MEND
    if not any(problem.startswith(("lost:", "the fork's own")) for problem in problems):
        then = re.sub(r", or drop what is lost .*?(?=; then)", "", then)
    if any(problem.startswith("feature:") for problem in problems):
        policy = f"{WORK}/carto_fork.toml"
        way = f", or, if a feature only has another name or form now, correct {policy} and commit"
        way += " (to give the feature up, remove it there); then"
        then = then.replace("; then", way)
    then = then.replace(UPGRADE, line).replace(TAG, tag)
    said = message(f"the merge of {tag} is not right:{listed}", then, AS_BEFORE, "Check failed")
    assert (done.err, done.code) == (said, 4)
    assert (world.refs(world.origin), world.checkout()) == (origin, checkout)
    refs = world.refs(world.fork)
    passed = refs.get(f"refs/carto-fork/passed/{tag}/verify")
    assert passed != refs[f"refs/heads/upstream-sync/{tag}"]


def continues(world: World, line: str = UPGRADE) -> str:
    """The upgrade is published; its commit."""
    done = world.run(line)
    assert (done.code, done.err) == (0, "")
    return world.refs(world.origin)[f"refs/heads/upstream-sync/{line.split()[2]}"]


def test_a_change_lost_after_the_merge_stops_the_upgrade_until_it_is_fixed(
    prepared: World,
) -> None:
    """It had passed the check once, with another commit."""
    assert f"refs/carto-fork/passed/{TAG}/verify" in prepared.refs(prepared.fork)
    changed(prepared, {ROUTER: (AFFINITY, ""), MAIN: (STORE, "")})
    problems = (
        f"lost: 1 fork change in {ROUTER}",
        f"lost: 1 upstream change in {MAIN}",
    )
    stopped(prepared, *problems)
    stopped(prepared, *problems)
    prepared.git("revert --no-edit HEAD", repo=prepared.work(TAG))
    head = continues(prepared)
    text = prepared.git(f"show {head}:{ROUTER}", repo=prepared.origin)
    assert AFFINITY in text


def test_the_drop_advice_names_the_program_as_it_was_typed(prepared: World) -> None:
    changed(prepared, {ROUTER: (AFFINITY, "")})
    typed = "/opt/bin/carto-fork"
    start = (
        f"import sys; sys.argv[0] = {typed!r}; from carto_fork.tasks import program; program.run()"
    )
    words = [sys.executable, "-c", start, *UPGRADE.split()]
    done = prepared.call(words, PYTHONPATH=str(ROOT / "scripts"))
    assert done.code == 4
    assert done.err.endswith(f"\nNext: {MEND.replace('invoke', typed)}\n")


def test_a_dropped_change_is_not_asked_about_again(prepared: World) -> None:
    changed(prepared, {ROUTER: (AFFINITY, "")})
    stopped(prepared, f"lost: 1 fork change in {ROUTER}")
    work, reason = prepared.work(TAG), "They stay there by themselves."
    before = (work / "carto_drops.toml").read_text()
    head = prepared.git("rev-parse HEAD", repo=work)
    done = prepared.run(f"verify --repo {WORK} --drop {ROUTER}", "--reason", reason)
    assert (done.code, done.err) == (0, "")
    first = AFFINITY.splitlines()[0].strip()
    said = done.out.replace("by\n  themselves", "by themselves")
    assert said.startswith(f"{DROPPED}: {reason}\n  the fork's: + {first}\n")
    assert done.out.endswith(f"\nNext: invoke next --repo {WORK}\n")
    after = json.loads(prepared.run(f"next --repo {WORK} --json").out)["command"]
    assert sorted(after.split()) == sorted(f"invoke {UPGRADE} --repo {WORK}".split())
    assert (work / "carto_drops.toml").read_text().startswith(before)
    assert drops(prepared, work)[-1] == {
        "path": ROUTER,
        "reason": reason,
        "lines": [line.strip() for line in AFFINITY.splitlines()],
    }
    told = prepared.git("log -1 --format=%P%n%B --name-only", repo=work).split("\n")
    subject = f"chore: drop changes to {ROUTER}"
    assert told == [head, subject, "", reason, "", "", "carto_drops.toml"]
    assert prepared.git("status --porcelain", repo=work) == ""

    continues(prepared)
    land(prepared, TAG)
    asked = prepared.run(PAUSES)
    assert asked.code == 3
    assert ROUTER not in asked.out
    resolved_by_hand(prepared, prepared.work(STABLE))
    head = continues(prepared, PAUSES)
    assert AFFINITY not in prepared.git(f"show {head}:{ROUTER}", repo=prepared.origin)


@pytest.mark.parametrize(
    ("options", "code", "what", "then"),
    [
        (
            f"--repo {WORK} --drop litellm/main.py --reason why",
            1,
            f"nothing is lost in litellm/main.py, but in {MAIN}, {ROUTER}.",
            "name one of them.",
        ),
        (
            f"--drop {ROUTER} --reason why",
            1,
            "~/litellm is not on a sync branch.",
            "name the work tree of the upgrade with --repo, or the release with --tag.",
        ),
        (
            f"--repo {WORK} --drop {ROUTER}",
            2,
            "--reason is missing.",
            REASON,
        ),
        (f"--drop {ROUTER} --reason ' '", 2, "--reason is missing.", REASON),
        (f"--drop {ROUTER} --reason WHY", 2, "--reason still says WHY.", REASON),
        ("--reason why", 2, "--drop is missing.", "invoke verify --drop PATH --reason WHY"),
        (
            f"--repo {WORK} --drop {ROUTER} --reason why --tag v9",
            1,
            "v9 is not a release that the tag schemes know; only stable upstream releases are "
            "merged.",
            f"choose a stable release; `invoke status --repo {WORK}` names the newest one.",
        ),
        (
            f"--repo {WORK} --drop {ROUTER} --reason why --tag v9.9.9",
            1,
            "this clone has no tag v9.9.9.",
            "git fetch upstream refs/tags/v9.9.9:refs/tags/v9.9.9",
        ),
    ],
)
def test_an_invalid_drop_is_refused(
    prepared: World, options: str, code: int, what: str, then: str
) -> None:
    changed(prepared, {ROUTER: (AFFINITY, ""), MAIN: (STORE, "")})
    before = everything(prepared)
    done = prepared.run(f"verify {options}")
    said = message(what, then, title="Usage" if code == 2 else "Refused")
    assert (done.err, done.code, done.out) == (said, code, "")
    assert everything(prepared) == before


def test_several_files_are_dropped_at_once(prepared: World) -> None:
    changed(prepared, {ROUTER: (AFFINITY, ""), MAIN: (STORE, "")})
    drops = f"--drop {ROUTER} --drop {MAIN} --reason both"
    assert prepared.run(f"verify --repo {WORK} {drops} --json").code == 2
    done = prepared.run(f"verify --repo {WORK} {drops}")
    assert (done.code, done.err) == (0, "")
    assert done.out.count(" dropped, and committed: both\n") == 2
    assert done.out.count("Next: ") == 1
    assert prepared.run(f"verify --repo {WORK} --tag {TAG}").code == 0


def test_a_drop_takes_only_what_is_lost(prepared: World) -> None:
    """Not the change beside it, which is only to be looked at."""
    words = "The next healthy deployment, round robin; a session stays where it began."
    changed(prepared, {ROUTER: (AFFINITY, "")})
    changed(prepared, {ROUTER: (words, words.replace("stays where it began", "stays there"))})
    data = json.loads(prepared.run(f"verify --repo {WORK} --tag {TAG} --json").out)
    gone = {name: [e["path"] for e in data[name]].count(ROUTER) for name in ("lost", "look_at")}
    assert gone == {"lost": 1, "look_at": 1}
    done = prepared.run(f"verify --repo {WORK} --drop {ROUTER} --reason whole")
    assert done.out.startswith(f"{DROPPED}: whole\n")
    lines = [line.strip() for line in AFFINITY.splitlines()]
    assert drops(prepared, prepared.work(TAG))[-1]["lines"] == lines


def test_a_drop_replaces_the_record_that_says_less(prepared: World) -> None:
    work, lines = prepared.work(TAG), [line.strip() for line in AFFINITY.splitlines()]
    changed(prepared, {ROUTER: (AFFINITY, "")})
    with (work / "carto_drops.toml").open("a") as file:
        less = f'\n[[drop]]\npath = "{ROUTER}"\nreason = "less"\nlines = ["{lines[1]}"]\n'
        file.write(less)
    prepared.git("commit --quiet --all --message drops", repo=work)
    done = prepared.run(f"verify --repo {WORK} --drop {ROUTER} --reason whole")
    assert done.code == 0, done.err
    found = {e["reason"]: set(e["lines"]) for e in drops(prepared, work) if e["path"] == ROUTER}
    assert ("less" in found, found["whole"]) == (False, set(lines))


def test_nothing_is_dropped_in_a_file_that_has_markers(prepared: World) -> None:
    changed(prepared, {ROUTER: (AFFINITY, "<<<<<<< a\nx = 1\n=======\n>>>>>>> b\n")})
    stopped = prepared.run(UPGRADE)
    assert (stopped.code, "--drop" in stopped.err) == (4, False)
    before = everything(prepared)
    assert f"lost: 1 fork change in {ROUTER}" in stopped.err
    done = prepared.run(f"verify --repo {WORK} --drop {ROUTER} --reason why")
    assert done.code == 1
    assert done.err.startswith(f"Refused: {ROUTER} still has conflict markers.")
    assert everything(prepared) == before


def test_drop_is_refused_if_nothing_is_lost(prepared: World) -> None:
    before = everything(prepared)
    done = prepared.run(f"verify --repo {WORK} --drop {ROUTER} --reason why")
    said = message("this merge lost nothing.", f"see `invoke status --repo {WORK}`.")
    assert (done.err, done.code, done.out) == (said, 1, "")
    assert everything(prepared) == before


def test_an_overwritten_version_file_is_found(prepared: World) -> None:
    """Some release tools replace the whole file by the version."""
    emptied = {"pyproject.toml": '[project]\nversion = "1.76.5"\n'}
    commit_in(prepared, prepared.fork, "refs/heads/bumped", emptied, SYNC)
    done = prepared.run(f"verify --ours carto/main --theirs {TAG} --result bumped")
    assert done.code == 4
    assert "version: pyproject.toml has 2 lines left of " in done.err + done.out


def test_a_record_that_the_merge_does_not_bear_out_is_found(prepared: World) -> None:
    """A file of drops that says more than was dropped would hide the next loss of it."""
    work = prepared.work(TAG)
    foreign, changed = (
        prepared.git(f"diff --name-only origin/carto/main {other}", repo=work).split()
        for other in (TAG, "HEAD")
    )
    path = next(path for path in foreign if path not in changed)
    with (work / "carto_drops.toml").open("a") as file:
        file.write(f'\n[[drop]]\npath = "{path}"\nreason = "not needed"\n')
    prepared.git("commit --quiet --all --message drops", repo=work)
    done = prepared.run(f"verify --tag {TAG}", cwd=work)
    said = f"says that the fork's change to {path} is dropped (not needed), and the merge has it"
    assert (done.code, said in " ".join(done.err.split())) == (4, True)


def test_losses_in_generated_files_are_named(world: World) -> None:
    """The entry that a lock file lost, and a file that somebody had edited by hand."""
    page, fork = f"{BUILT_UI}/index.html", world.fork
    manifest = '[project]\nname = "tool"\ndependencies = ["httpx"{}]\n'
    world.git("fetch --quiet --no-tags upstream")
    world.git(f"branch theirs {world.git('merge-base origin/carto/main upstream/main')}")
    world.git("branch ours origin/carto/main")
    theirs = {"tool/uv.lock": 'name = "httpx"\n', page: "built anew\n"}
    commit_in(
        world, fork, "refs/heads/theirs", {**theirs, "tool/pyproject.toml": manifest.format("")}
    )
    own = manifest.format(', "acme-auth"')
    lock = 'name = "acme-auth"\n\nname = "httpx"\n'
    commit_in(world, fork, "refs/heads/ours", {"tool/uv.lock": lock, "tool/pyproject.toml": own})
    by = commit_in(world, fork, "refs/heads/ours", {page: "edited\n"})
    world.git("branch result ours")
    commit_in(world, fork, "refs/heads/result", theirs, "ours", "theirs")
    found = json.loads(world.run("verify --ours ours --theirs theirs --result result --json").out)
    assert {f["what"] for f in found["findings"]} > {
        "tool/uv.lock lacks acme-auth, which tool/pyproject.toml names; to regenerate it: "
        "(cd tool && uv lock)",
        f"edited by hand, and regenerating loses the edit: {page} ({by[:10]})",
    }
    dropped = {e["path"]: e["fate"] for e in found["explained"] if "generated" in e["what"]}
    assert dropped == dict.fromkeys(["tool/uv.lock", f"{BUILT_UI}/"], "dropped on purpose")


def test_what_a_merge_uses_and_no_longer_imports_is_named(world: World) -> None:
    world.git("fetch --quiet --no-tags upstream")
    base = world.git("merge-base origin/carto/main upstream/main")
    sides = {
        "ours": 'import { Flags } from "./flags";\n\nexport const Page = () => <Flags a={2} />;\n',
        "theirs": "export const Page = () => <p>new</p>;\n",
    }
    for side, text in sides.items():
        world.git(f"branch {side} {base if side == 'theirs' else 'origin/carto/main'}")
        commit_in(world, world.fork, f"refs/heads/{side}", {"ui/page.tsx": text})
    result = "export const Page = () => <p>new <Flags a={2} /></p>;\n"
    world.git("branch result ours")
    commit_in(world, world.fork, "refs/heads/result", {"ui/page.tsx": result}, "ours", "theirs")
    found = json.loads(world.run("verify --ours ours --theirs theirs --result result --json").out)
    [one] = [finding for finding in found["findings"] if finding["check"] == "import"]
    assert one["what"] == "ui/page.tsx:1 uses Flags, which a side imports and the merge does not"
    assert (one["path"], one["certain"]) == ("ui/page.tsx", False)


def test_drop_in_the_clone_is_about_the_upgrade_in_its_work_tree(prepared: World) -> None:
    changed(prepared, {ROUTER: (AFFINITY, "")})
    before = prepared.git("rev-parse HEAD")
    assert prepared.run(f"verify --tag {TAG} --drop {ROUTER} --reason why").code == 0
    assert "why" in (prepared.work(TAG) / "carto_drops.toml").read_text()
    assert prepared.git("rev-parse HEAD") == before


def test_drop_on_another_branch_needs_the_tag(prepared: World) -> None:
    changed(prepared, {ROUTER: (AFFINITY, "")})
    prepared.git("switch --quiet --create mended", repo=prepared.work(TAG))
    advised = prepared.run(f"verify --repo {WORK} --tag {TAG}").err
    assert f"`invoke verify --repo {WORK} --tag {TAG} --drop PATH --reason WHY`" in advised
    drop = f"verify --repo {WORK} --drop {ROUTER} --reason why"
    what = f"~/litellm.upstream-sync-{TAG} is not on a sync branch."
    then = "name the work tree of the upgrade with --repo, or the release with --tag."
    assert prepared.run(drop).err == message(what, then)
    assert prepared.run(f"{drop} --tag {TAG}").code == 0
    done = prepared.run(f"verify --ours carto/main --theirs {TAG} --result mended")
    assert (done.code, done.err) == (0, "")


@pytest.mark.parametrize("state", ["changed", "merging"])
def test_drop_is_refused_beside_uncommitted_changes(prepared: World, state: str) -> None:
    changed(prepared, {ROUTER: (AFFINITY, "")})
    work = prepared.work(TAG)
    if state == "merging":
        prepared.git("merge --quiet --no-ff --no-commit -s ours origin/main", repo=work)
    else:
        (work / "README.md").write_text("mine\n")
    line = f"verify --repo {WORK} --drop {ROUTER} --reason why"
    head = prepared.git("rev-parse HEAD", repo=work)
    done = prepared.run(line)
    then = f"commit them, then run `invoke {line}` again."
    assert done.err == message(f"{WORK} has uncommitted changes.", then)
    assert (done.code, prepared.git("rev-parse HEAD", repo=work)) == (1, head)
    there = prepared.run(f"verify --drop {ROUTER} --reason why", cwd=work)
    assert there.err.startswith(f"Refused: ../{work.name} has uncommitted changes.\n")


def test_pasted_dry_output_of_drop_drops_the_change(prepared: World) -> None:
    changed(prepared, {ROUTER: (AFFINITY, "")})
    line = f"verify --repo {WORK} --drop {ROUTER} --reason 'Sessions stay by themselves.'"
    before = everything(prepared)
    dry = prepared.run(f"--dry {line}")
    assert (dry.code, dry.err) == (0, "")
    assert everything(prepared) == before
    assert prepared.paste(dry.out).code == 0
    assert drops(prepared, prepared.work(TAG))[-1]["reason"] == "Sessions stay by themselves."
    continues(prepared)


NEXT = "v1.76.6"
UPGRADE_NEXT = f"upgrade-carto --tag {NEXT} --no-tests"
CACHE = "litellm/caching/redis_cache.py"
REGION = (
    "\n    def region_of(self, key):\n"
    '        """CARTO: the region that a key belongs to."""\n'
    '        return key.partition(":")[0] or "everywhere"\n'
)
MANIFEST = (
    'extends = "carto-litellm"\n\n[[feature]]\nname = "regions of keys"\n'
    f'files = ["{CACHE}"]\npatterns = ["def region_of"]\norigin = "#60"\n'
)


def test_a_merge_without_conflict_that_loses_a_function_is_stopped(merged: World) -> None:
    """A person's merge driver takes upstream's file."""
    text = merged.git(f"show origin/carto/main:{CACHE}") + "\n"
    attributes = "litellm/caching/* merge=theirs\n"
    push_as_colleague(merged, {CACHE: text + REGION, ".gitattributes": attributes})
    renamed = text.replace("def delete_cache(", "def remove(")
    release = f"refs/tags/{NEXT}"
    commit_in(merged, merged.upstream, release, {CACHE: renamed}, f"{TAG}^0")
    merged.git("config merge.theirs.driver 'cp %B %A'")
    assert "\nNo conflicts.\n" in merged.run(f"{UPGRADE_NEXT} --no-push").out
    stopped(merged, f"lost: 1 fork change in {CACHE}", line=UPGRADE_NEXT)
    changed(merged, {CACHE: (renamed, renamed + REGION)}, NEXT)
    head = continues(merged, UPGRADE_NEXT)
    assert REGION in merged.git(f"show {head}:{CACHE}", repo=merged.origin) + "\n"


@pytest.mark.slow
def test_a_feature_that_upstream_adopted_and_reverted_is_caught_by_the_manifest(
    merged: World,
) -> None:
    """To git, upstream removes what both sides had: no conflict, and no fork lines."""
    text = merged.git(f"show {TAG}:{CACHE}") + "\n"
    topic = commit_in(
        merged, merged.upstream, "refs/heads/topic", {CACHE: text + REGION}, f"{TAG}^0"
    )
    merged.git(f"fetch --quiet {merged.upstream} {topic}", repo=merged.origin)
    production = "refs/heads/carto/main"
    files = {CACHE: text + REGION, "carto_fork.toml": MANIFEST}
    commit_in(merged, merged.origin, production, files, production, topic)
    release = f"refs/tags/{NEXT}"
    commit_in(merged, merged.upstream, release, {CACHE: text + REGION}, f"{TAG}^0", topic)
    commit_in(merged, merged.upstream, release, {CACHE: text})
    first = merged.run(f"{UPGRADE_NEXT} --no-push")
    assert "\nNo conflicts.\n" in first.out
    what = "feature: regions of keys, from #60: nothing matches 'def region_of'"
    stopped(merged, what, line=UPGRADE_NEXT)
    work = merged.work(NEXT)
    corrected = MANIFEST.replace("def region_of", "def delete_cache")
    done = merged.run(f"verify --repo {work} --drop {CACHE} --reason 'It is here.'")
    assert done.err.startswith(f"Refused: nothing is lost in {CACHE}, but {what}.")
    changed(merged, {"carto_fork.toml": (MANIFEST, corrected)}, NEXT)
    told = json.loads(merged.run(f"verify --repo {work} --tag {NEXT} --json").out)["findings"]
    assert [(f["what"], f["certain"]) for f in told if f["check"] == "feature"] == [
        (f"{what[9:]}; carto_fork.toml on this branch is corrected", False)
    ]
    changed(merged, {"carto_fork.toml": (corrected, MANIFEST)}, NEXT)
    changed(merged, {CACHE: (text, text + REGION)}, NEXT)
    stopped(merged, f"lost: 1 upstream change in {CACHE}", line=UPGRADE_NEXT)
    drop = f"verify --repo {WORK} --drop {CACHE}".replace(TAG, NEXT)
    assert merged.run(f"{drop} --reason 'We need it still.'").code == 0
    head = continues(merged, UPGRADE_NEXT)
    assert REGION in merged.git(f"show {head}:{CACHE}", repo=merged.origin) + "\n"


def test_a_feature_in_a_file_that_upstream_renamed_is_found_there(merged: World) -> None:
    old, new = (f"docs/{name}.md" for name in ("keys", "regions_of_keys"))
    text = "".join(f"Key {number} is for one region.\n" for number in range(9))
    commit_in(merged, merged.upstream, f"refs/tags/{NEXT}", {old: text}, f"{TAG}^0")
    assert merged.run(f"{UPGRADE_NEXT} --direct").code == 0
    manifest = feature("regions", [old], ["def region_of"])
    own = {old: text + REGION, "carto_fork.toml": EXTENDS + manifest}
    commit_in(merged, merged.origin, "refs/heads/carto/main", own)
    commit_in(merged, merged.upstream, "refs/tags/v1.76.7", {old: None, new: text}, f"{NEXT}^0")
    line = UPGRADE_NEXT.replace(NEXT, "v1.76.7")
    merged.git("pull --quiet --ff-only --no-tags origin carto/main")
    assert merged.run(f"{line} --no-push").code == 4
    stopped(merged, f"feature: regions, from #60: {old} was renamed to {new}", line=line)
    changed(
        merged,
        {"carto_fork.toml": (own["carto_fork.toml"], own["carto_fork.toml"].replace(old, new))},
        "v1.76.7",
    )
    continues(merged, line)


@pytest.mark.parametrize("more", ["", '[pull_requests]\nclean = "all good"\n'])
def test_a_feature_that_the_fork_gives_up_is_no_loss(merged: World, more: str) -> None:
    """What the message says is enough, unless the commit takes more out of the policy than that."""
    text = merged.git(f"show origin/carto/main:{CACHE}") + "\n"
    push_as_colleague(merged, {CACHE: text + REGION, "carto_fork.toml": MANIFEST + more})
    commit_in(merged, merged.upstream, f"refs/tags/{NEXT}", {"docs/new.md": "new\n"}, f"{TAG}^0")
    assert merged.run(f"{UPGRADE_NEXT} --no-push").code == 0
    changed(merged, {CACHE: (text + REGION, text)}, NEXT)
    work = merged.work(NEXT)
    done = merged.run(UPGRADE_NEXT)
    assert (
        f"correct {merged.neutral(str(work))}/carto_fork.toml and commit (to give the feature up, "
        in (" ".join(done.err.split()).replace("../", "~/"))
    )
    dropped = merged.run(f"verify --repo {work} --drop {CACHE} --reason 'Nobody uses it.'")
    assert dropped.code == 0, dropped.err
    changed(merged, {"carto_fork.toml": (MANIFEST + more, 'extends = "carto-litellm"\n')}, NEXT)
    if more:
        stopped(merged, "lost: 1 fork change in carto_fork.toml", line=UPGRADE_NEXT)
        return
    told = json.loads(merged.run(f"verify --repo {work} --tag {NEXT} --json").out)
    assert told["passed"] and [entry["path"] for entry in told["look_at"]] == ["carto_fork.toml"]
    given_up = "nothing matches 'def region_of'; carto_fork.toml on this branch gives it up"
    [found] = [f for f in told["findings"] if f["check"] == "feature"]
    assert (found["what"], found["certain"]) == (f"regions of keys, from #60: {given_up}", False)
    said = " ".join(merged.run(UPGRADE_NEXT).out.split())
    assert f"To look at: regions of keys, from #60: {given_up} " in said
    assert (
        "To look at: carto_fork.toml: lines of the fork's change are different now, gone, or back"
        in said
    )


def test_a_file_that_neither_side_has_is_to_be_looked_at(prepared: World) -> None:
    """Not one that was moved, generated, or that production has had since."""
    work = prepared.work(TAG)
    (work / "NOTES.txt").write_text("notes\n")
    (work / BUILT_UI / "new.html").write_text("built\n")
    prepared.git("add --all", repo=work)
    prepared.git("mv LICENSE LICENSE.md", repo=work)
    prepared.git("commit --quiet -m 'chore: mine'", repo=work)
    push_as_colleague(prepared, {"colleague.txt": "new\n"})
    prepared.git("fetch --quiet origin", repo=work)
    prepared.git("merge --quiet --no-edit origin/carto/main", repo=work)
    what = "NOTES.txt is in the merge, and neither side has it"
    told = json.loads(prepared.run(f"verify --repo {WORK} --tag {TAG} --json").out)
    assert [f for f in told["findings"] if f["check"] == "added while merging"] == [
        {"check": "added while merging", "what": what, "path": "NOTES.txt", "certain": False}
    ]
    done = prepared.run(UPGRADE)
    assert (done.code, f"To look at: {what}" in " ".join(done.out.split())) == (0, True)
    text = (prepared.fork / ".git" / "carto-fork" / TAG / "pull-request.md").read_text()
    assert f"| look at | added while merging | {what} |" in text
    # Whoever pastes the commands of the review does not land it.
    review, landing = text.partition("## How to review it")[2].split("```bash\n")[1:]
    assert [" --result " in block for block in (review, landing)] == [True, False]
    assert ["gh pr merge" in block for block in (review, landing)] == [False, True]
    guarded = prepared.run(f"ci.guard --range origin/carto/main..{SYNC}")
    assert guarded.code == 0, guarded.err
    assert f"Note: in the merge of {TAG}: {what}" in " ".join(guarded.out.split())


def test_what_both_sides_have_and_the_merge_lacks_is_to_be_looked_at(prepared: World) -> None:
    """Files and lines that neither side changed, also those in another form, and lines that neither
    side has; not what is elsewhere, or only formatted."""
    work = prepared.work(TAG)
    same = prepared.git(f"diff --name-only origin/carto/main {TAG}", repo=work).split()
    every = prepared.git("ls-files *.py", repo=work).split()
    texts = {p: (work / p).read_text() for p in every if p not in same}
    gone, cut, moved = [p for p, text in texts.items() if len(text.split("\n")) > 12][:3]
    (work / gone).unlink()
    prepared.git(f"mv {moved} moved.py", repo=work)
    lines = texts[cut].split("\n")
    often = [line for line in lines if len(line) > 30 and texts[cut].count(line) == 1]
    left, edited, away = often[:3]
    wrapped = next(line for line in often[3:] if "(" in line)
    text = texts[cut].replace(f"{left}\n", "").replace(f"{away}\n", "")
    text = text.replace(wrapped, wrapped.replace("(", "(\n", 1))
    (work / cut).write_text(text.replace(edited, f"{edited}1"))
    router = work / ROUTER
    router.write_text(f"{router.read_text()}{away}\n")
    only = min(p for p in texts if p not in (gone, cut, moved))
    (work / only).write_text(f"{texts[only]}}} a slip (\n")
    prepared.git("commit --quiet --all -m 'chore: mine'", repo=work)
    told = json.loads(prepared.run(f"verify --repo {WORK} --tag {TAG} --json").out)
    found = {f["what"]: f["certain"] for f in told["findings"] if f["check"].endswith("merging")}
    lacks = f"{cut}: 1 line that both sides have is gone: {left.strip()}"
    form = f"{cut}: 1 line that both sides have is different now: {edited.strip()}1, which "
    form += f"was: {edited.strip()}"
    gone = f"the merge lacks {gone}, which both sides have"
    more = f"{only}: 1 line that neither side has: }} a slip ("
    assert found == {gone: False, lacks: False, form: False, more: False}


# --- A person's choices for conflicts --------------------------------------------------------

PAUSED_WORK = f"../litellm.upstream-sync-{STABLE}"
RUN = "RUN apk add --no-cache"
OURS = (
    "# CARTO: the Snowflake driver is built against libffi\n"
    f"{RUN} gcc python3-dev openssl openssl-dev libffi-dev\n"
)
THEIRS = (
    f"# Install build dependencies\n{RUN} bash build-base gcc python3-dev openssl openssl-dev\n"
)
BASE = f"# Install build dependencies\n{RUN} gcc python3-dev openssl openssl-dev\n"
IMPORTS = (
    'import { FeatureFlagsProvider } from "@/contexts/FeatureFlagsProvider";\n'
    'import AntdGlobalProvider from "@/contexts/AntdGlobalProvider";\n'
)
"""What evidence has decided in the layout beside the hunk that is left."""


def unmerged(world: World) -> list[str]:
    listed = world.git("diff --name-only --diff-filter=U", repo=world.work(STABLE))
    return listed.splitlines()


def still_paused(world: World, done: Done, count: int, *, there: bool = False) -> None:
    """`resolve-conflicts` left this many conflicts. there: whether it ran in the work tree."""
    conflicts = "1 conflict needs" if count == 1 else f"{count} conflicts need"
    then = f"then run `invoke upgrade-carto --tag {STABLE} --no-tests`."
    said = message(
        f"{conflicts} a person.",
        f"resolve in {PAUSED_WORK}, `git add` each file, {then}",
        "Nothing was committed; what could be decided is staged.",
        "Paused",
    )
    assert (done.err, done.code) == (said, 3)


@pytest.mark.parametrize(
    ("option", "kept", "given_up", "side"),
    [
        ("--accept-upstream", THEIRS, OURS, None),
        ("--keep-fork", OURS, THEIRS, "upstream"),
    ],
)
def test_a_choice_for_a_conflict_is_applied_and_recorded(
    paused: World, option: str, kept: str, given_up: str, side: str | None
) -> None:
    work, reason = paused.work(STABLE), "The image is built elsewhere."
    before = (work / "carto_drops.toml").read_text()
    conflict = (work / "Dockerfile").read_text()
    done = paused.run(f"resolve-conflicts {option} Dockerfile", "--reason", reason)
    still_paused(paused, done, 1)
    assert f"a person's word: {reason}\n" in done.out
    assert done.out.count("\n22 of 23 conflicts decided, 1 left.") == 1
    assert unmerged(paused) == [LAYOUT]
    text = (work / "Dockerfile").read_text()
    hunk = conflict[conflict.index("<<<<<<<") : conflict.index("\n", conflict.index(">>>>>>>")) + 1]
    assert text == conflict.replace(hunk, kept)
    assert (work / "carto_drops.toml").read_text().startswith(before)
    entry = drops(paused, work)[-1]
    lines = set(entry.pop("lines"))
    assert entry == {"path": "Dockerfile", "reason": reason, **({"side": side} if side else {})}
    changes = set(given_up.splitlines()) ^ set(BASE.splitlines())
    assert lines == changes
    for path in ("Dockerfile", "carto_drops.toml"):
        assert paused.git(f"show :{path}", repo=work) + "\n" == (work / path).read_text()

    again = everything(paused)
    still_paused(paused, paused.run(f"resolve-conflicts --repo {PAUSED_WORK}"), 1)
    # The same word again changes nothing, as after a kill.
    repeated = paused.run(f"resolve-conflicts {option} Dockerfile", "--reason", reason)
    still_paused(paused, repeated, 1)
    assert everything(paused) == again
    word = f"{option} {LAYOUT} --reason 'As there.'"
    assert paused.run(f"resolve-conflicts {word}").code == 0
    head = continues(paused, PAUSES)
    assert kept in paused.git(f"show {head}:Dockerfile", repo=paused.origin)
    text = (paused.fork / ".git" / "carto-fork" / STABLE / "pull-request.md").read_text()
    gave_way = 18 if side else 18 + 2 + 1  # what a person gives up counts, too
    assert f" {gave_way} fork lines gave way to upstream's." in text


def test_a_job_says_where_to_continue(paused: World) -> None:
    """Nobody can go to its work tree, and nothing is published that this could continue with."""
    job = paused.run(PAUSES, GITHUB_ACTIONS="true")
    again = f"Next: in a clone of the fork: invoke upgrade-carto --tag {STABLE}\n"
    assert job.code == 3 and job.err.endswith(again)


def test_a_decision_that_a_person_takes_back_leaves_no_record(paused: World) -> None:
    work = paused.work(STABLE)
    before = (work / "carto_drops.toml").read_text()
    kept = paused.run("resolve-conflicts --keep-fork Dockerfile --reason ours")
    assert (work / "carto_drops.toml").read_text() != before
    assert (
        "git -C ../litellm.upstream-sync-v1.77.2-stable checkout --conflict=diff3 -- Dockerfile"
        in kept.out
    )
    paused.git("checkout --quiet -m -- Dockerfile", repo=work)
    done = paused.run("resolve-conflicts --accept-upstream Dockerfile --reason theirs")
    assert "no longer dropped, so the record is gone (ours): Dockerfile\n" in done.out
    assert [(e["reason"], "side" in e) for e in drops(paused, work)][-1] == ("theirs", False)
    # git's markers do not show what both sides started from, and the record has it all the same.
    changes = set(OURS.splitlines()) ^ set(BASE.splitlines())
    assert set(drops(paused, work)[-1]["lines"]) == changes
    paused.git("checkout --quiet -m -- Dockerfile", repo=work)
    again = (work / "Dockerfile").read_text()
    assert "|||||||" not in again
    (work / "Dockerfile").write_text(f"# mine\n{again}")
    paused.run("resolve-conflicts --accept-upstream Dockerfile --reason again")
    assert (work / "Dockerfile").read_text().startswith("# mine\n")
    *others, last = drops(paused, work)
    assert (last["reason"], set(last["lines"])) == ("again", changes)
    assert "Dockerfile" not in [e["path"] for e in others]
    paused.git("checkout --quiet -m -- Dockerfile", repo=work)
    resolved = (work / "Dockerfile").read_text()
    (work / "Dockerfile").write_text(re.sub("<{7}.*\n|={7}\n(.*\n)*>{7}.*\n", "", resolved))
    paused.git("add Dockerfile", repo=work)
    done = paused.run(PAUSES)
    assert "no longer dropped, so the record is gone (again): Dockerfile\n" in done.out
    assert (work / "carto_drops.toml").read_text() == before


@pytest.mark.parametrize("line", [PAUSES, "resolve-conflicts"])
def test_a_decision_that_a_person_takes_back_decides_nothing(paused: World, line: str) -> None:
    work = paused.work(STABLE)
    before = (work / "carto_drops.toml").read_text()
    decide = "resolve-conflicts --accept-upstream Dockerfile --reason 'Bash is wanted.'"
    assert paused.run(decide).code == 3
    paused.git("checkout --quiet -m -- Dockerfile", repo=work)
    dry = paused.run("--dry resolve-conflicts")
    assert "dropped on purpose: Bash is wanted." not in dry.out
    again = paused.run(line)
    assert again.code == 3 and again.err.startswith("Paused: 2 conflicts need a person.\n")
    assert "the record is gone (Bash is wanted.): Dockerfile\n" in again.out
    assert (work / "carto_drops.toml").read_text() == before
    assert "<<<<<<<" in (work / "Dockerfile").read_text()
    # What a killed run has written down is finished.
    assert paused.run(decide).code == 3
    paused.git("checkout --quiet -m -- Dockerfile", repo=work)
    Path(paused.git("rev-parse --git-path carto-fork.writing", repo=work).strip()).touch()
    done = paused.run(line)
    assert done.code == 3 and done.err.startswith("Paused: 1 conflict needs a person.\n")
    assert "dropped on purpose: Bash is wanted.\n" in done.out


def test_the_reason_of_a_decision_that_was_taken_back_hides_no_loss(paused: World) -> None:
    work = paused.work(STABLE)
    before = (work / "carto_drops.toml").read_text()
    decide = "resolve-conflicts --accept-upstream Dockerfile --reason 'Bash is wanted.'"
    assert paused.run(decide).code == 3
    decided = (work / "Dockerfile").read_text()
    paused.git("checkout --quiet -m -- Dockerfile", repo=work)
    # Nothing ran between, and the fork's comment is back without what it is about.
    comment = next(line for line in OURS.splitlines() if line.startswith("# CARTO"))
    assert comment not in decided and "libffi-dev" not in decided
    (work / "Dockerfile").write_text(decided.replace("RUN apk", f"{comment}\nRUN apk", 1))
    paused.git("add Dockerfile", repo=work)
    again = paused.run(f"resolve-conflicts --keep-fork {LAYOUT} --reason ours")
    assert again.code == 0
    assert "the record is gone (Bash is wanted.): Dockerfile\n" in again.out
    assert "Bash is wanted." not in (work / "carto_drops.toml").read_text()
    assert [e["path"] for e in drops(paused, work)][-1] == LAYOUT
    assert before in (work / "carto_drops.toml").read_text()
    said = paused.run(f"{PAUSES} --no-push")
    assert "libffi-dev" in said.out and "Dockerfile" in said.out


@pytest.mark.parametrize("option", ["--accept-upstream", "--keep-fork"])
def test_a_choice_settles_only_the_hunks_that_are_left(paused: World, option: str) -> None:
    """Other decided hunks stay, and so does what a person wrote."""
    work = paused.work(STABLE)
    text = (work / LAYOUT).read_text()
    assert text.count(IMPORTS) == 1
    (work / LAYOUT).write_text(f"// mine\n{text}")
    done = paused.run(f"resolve-conflicts {option} {LAYOUT} --reason why")
    still_paused(paused, done, 1)
    after = (work / LAYOUT).read_text()
    assert after.startswith("// mine\n")
    assert (after.count(IMPORTS), after.count("<<<<<<<")) == (1, 0)
    winner = "AntdGlobalProvider" if option == "--accept-upstream" else "FeatureFlagsProvider"
    assert f"        <{winner}>{{children}}</{winner}>\n" in after
    assert after.count("{children}") == 1
    assert not any("import" in line for line in drops(paused, work)[-1]["lines"])


@pytest.mark.slow
def test_several_conflicts_can_be_settled_at_once(paused: World) -> None:
    line = f"resolve-conflicts --keep-fork Dockerfile --accept-upstream {LAYOUT} --reason why"
    done = paused.run(f"{line} --json")
    assert done.code == 0
    told = {c["path"]: c["decision"] for c in json.loads(done.out)["conflicts"]}
    assert told == {"Dockerfile": "fork", LAYOUT: "upstream"}
    entries = [(e["path"], e.get("side", "fork")) for e in drops(paused, paused.work(STABLE))[-2:]]
    assert entries == [("Dockerfile", "upstream"), (LAYOUT, "fork")]
    continues(paused, PAUSES)
    ours, theirs = "carto/main", f"{STABLE}^0"
    line = f"verify --ours {ours} --theirs {theirs} --result upstream-sync/{STABLE} --json"
    let_go = [e for e in json.loads(paused.run(line).out)["explained"] if e["reason"] == "why"]
    assert {(e["side"], e["path"]) for e in let_go} == {
        ("upstream", "Dockerfile"),
        ("fork", LAYOUT),
    }


UNDECIDED = {
    ROUTER: "content",
    "tests/fixtures/prices.json": "symlink",
    "tests/fixtures/vendored-spec": "submodule",
    "tests/test_litellm/test_cooldown.py": "rename",
    "tests/test_litellm/test_cooldown_policy.py": "rename",
    "tests/test_litellm/test_router_cooldown.py": "rename",
    "tests/test_litellm/test_retry_policy.py": "add/add",
    "tests/test_litellm/test_router.py": "content",
}
"""What v1.76.5 leaves in conflict, and the kind, where nobody has let anything go yet."""


@pytest.mark.parametrize(
    ("option", "winner", "loser"),
    [("--accept-upstream", f"{TAG}^0", "fork"), ("--keep-fork", "origin/carto/main", "upstream")],
)
def test_a_choice_settles_every_kind_of_conflict(
    world: World, option: str, winner: str, loser: str
) -> None:
    production = "refs/heads/carto/main"
    commit_in(world, world.origin, production, {"carto_drops.toml": None})
    assert world.run(UPGRADE).code == 3
    words = [word for path in UNDECIDED for word in (option, path)]
    done = world.run("resolve-conflicts --json --reason why", *words)
    assert done.code == 0
    told = {c["path"]: c["kind"] for c in json.loads(done.out)["conflicts"]}
    assert told == UNDECIDED
    assert {e["path"] for e in drops(world, world.work(TAG))} == UNDECIDED.keys()
    assert {e.get("side", "fork") for e in drops(world, world.work(TAG))} == {loser}
    head = continues(world)
    paths = " ".join(UNDECIDED.keys() - {ROUTER})
    question = f"ls-tree -r {{}} -- {paths}"
    there = world.git(question.format(head), repo=world.origin)
    assert there == world.git(question.format(winner))
    seconds = 10 if option == "--accept-upstream" else 15
    router = world.git(f"show {head}:{ROUTER}", repo=world.origin)
    assert f"\nDEFAULT_COOLDOWN_TIME_SECONDS = {seconds}\n" in router


def test_the_lines_that_either_side_would_lose_are_counted(world: World) -> None:
    """Except for a renamed file: whichever name wins, its lines stay."""
    commit_in(world, world.origin, "refs/heads/carto/main", {"carto_drops.toml": None})
    paused = world.run(UPGRADE)
    told = json.loads(world.run("resolve-conflicts --json").out)["conflicts"]
    costs = {c["path"]: (c["dossier"]["fork_lines"], c["dossier"]["upstream_lines"]) for c in told}
    assert {path: lines for path, lines in costs.items() if any(lines)} == {
        ROUTER: (1, 1),
        "tests/test_litellm/test_retry_policy.py": (16, 18),
        "tests/test_litellm/test_router.py": (1, 1),
    }
    lines = "1 line that only the fork has if you take upstream's side, 1 line that only upstream "
    lines += "has if you keep the fork's"
    assert re.sub(r"\n {14}", " ", paused.out).count(f"    loses:    {lines}\n") == 2
    assert paused.out.count("    loses: ") == 3


def test_a_choice_creates_a_missing_drops_file(world: World) -> None:
    """A fork without carto_drops.toml, whose rules decide instead."""
    rules = (ROOT / "tests" / "path_rules.toml").read_text()
    production = "refs/heads/carto/main"
    files = {"carto_drops.toml": None, "carto_fork.toml": rules}
    commit_in(world, world.origin, production, files)
    world.run(PAUSES)
    work = world.work(STABLE)
    line = "resolve-conflicts --keep-fork Dockerfile --reason why"
    dry = world.run(f"--dry {line}")
    assert not (work / "carto_drops.toml").exists()
    real = copied(world.place, world.place.with_name("real"))
    still_paused(real, real.run(line), 1)
    assert world.paste(dry.out).code == 0
    written = (work / "carto_drops.toml").read_text()
    assert written.startswith("# Changes that a person dropped on purpose, with the reason. ")
    assert [entry["path"] for entry in drops(world, work)] == ["Dockerfile"]
    assert written == (real.work(STABLE) / "carto_drops.toml").read_text()


@pytest.mark.parametrize(
    ("options", "what", "then"),
    [
        pytest.param(
            "--keep-fork Dockerfile",
            "--reason is missing.",
            REASON,
            id="no reason",
        ),
        pytest.param(
            "--keep-fork Dockerfile --reason ' '",
            "--reason is missing.",
            REASON,
            id="blank reason",
        ),
        pytest.param(
            "--accept-upstream Dockerfile --keep-fork Dockerfile --reason why",
            "Dockerfile is named by both --accept-upstream and --keep-fork.",
            "use one of them.",
            id="both",
        ),
        pytest.param(
            "--accept-upstream Makefile --reason why",
            "Makefile is not in conflict.",
            f"`git -C {PAUSED_WORK} checkout --conflict=diff3 -- Makefile` puts its conflict back; "
            "then run `invoke resolve-conflicts --accept-upstream Makefile --reason why` again.",
            id="no conflict",
        ),
        pytest.param(
            "--keep-fork Dockerfile --keep-fork nowhere --reason why",
            "nowhere is not in conflict.",
            f"name files that git -C {PAUSED_WORK} diff --name-only --diff-filter=U shows, "
            "from the top of the work tree.",
            id="no file",
        ),
    ],
)
def test_unclear_choices_are_refused(paused: World, options: str, what: str, then: str) -> None:
    title = "Refused" if "is not in conflict" in what else "Usage"
    work = paused.work(STABLE)
    before = everything(paused), paused.git("ls-files --stage", repo=work)
    done = paused.run(f"resolve-conflicts {options}")
    said = message(what, then, title=title)
    assert (done.err, done.code, done.out) == (said, 1 if title == "Refused" else 2, "")
    assert (everything(paused), paused.git("ls-files --stage", repo=work)) == before


def test_a_dry_choice_changes_nothing_and_does_the_same_when_pasted(paused: World) -> None:
    work = paused.work(STABLE)
    line = f"resolve-conflicts --keep-fork Dockerfile --accept-upstream {LAYOUT} --reason why"
    real = copied(paused.place, paused.place.with_name("real"))
    assert real.run(line).code == 0

    def state(world: World) -> tuple[str, ...]:
        """Index and work tree."""
        questions = ("ls-files --stage", "diff", "status --porcelain", "write-tree")
        there = world.work(STABLE)
        return tuple(
            world.git(q, repo=there) for q in questions if q != "write-tree" or not unmerged(world)
        )

    before = everything(paused), state(paused)
    dry = paused.run(f"--dry {line}")
    assert (dry.code, dry.err) == (0, "")
    assert (everything(paused), state(paused)) == before
    assert paused.paste(dry.out).code == 0
    assert state(paused) == state(real)
    assert (work / "carto_drops.toml").read_bytes() == (
        real.work(STABLE) / "carto_drops.toml"
    ).read_bytes()


# --- forecast --------------------------------------------------------------------------------

HEAD = "release         commits  files  conflicts  decided  left  at risk\n"
NOTHING_NEW = """\
Nothing to forecast: carto/main has every stable release that this clone knows.
To fetch v1.77.2-stable, which upstream has: git fetch --tags upstream
"""


def fetched(world: World, *tags: str) -> None:
    """Fetch some of upstream's tags."""
    for tag in tags:
        world.git(f"fetch --quiet upstream tag {tag} --no-tags")


def test_a_forecast_is_printed_as_a_table(world: World) -> None:
    fetched(world, STABLE)
    before = everything(world), world.git("for-each-ref")
    done = world.run(f"forecast --tag {STABLE}")
    assert (done.code, done.err) == (0, "")
    assert done.out == (
        f"{HEAD}"
        "v1.77.2-stable       36     35         23       21     2        2\n"
        "left: files with conflicts for you; at risk: the fork's hunks in them\n"
        "v1.77.2-stable: 2 modify/delete, 11 content, 4 rename, 2 add/add, 1 binary, 1\n"
        "  symlink, 1 submodule, 1 mode; decided by\n"
        "     2 removed stays removed\n"
        "     2 disabled stays disabled\n"
        "     1 Dockerfile and Makefile\n"
        "     1 fork documents\n"
        "     5 generated\n"
        "     8 dropped on purpose\n"
        "     1 version\n"
        "     1 same content\n"
        "  left: Dockerfile\n"
        f"  left: {LAYOUT}\n"
        "Next: invoke upgrade-carto --tag v1.77.2-stable\n"
    )
    assert (everything(world), world.git("for-each-ref")) == before


def test_a_forecast_of_several_releases_is_printed_as_markdown(world: World) -> None:
    fetched(world, "v1.76.3", TAG, STABLE)
    before = everything(world), world.git("for-each-ref")
    done = world.run(f"forecast --markdown --tag {STABLE} --tag {TAG} --tag v1.76.3")
    assert (done.code, done.err) == (0, "")
    assert done.out == (
        "| release | commits | files | conflicts | decided | for a person | fork hunks at risk |\n"
        "| --- | --: | --: | --: | --: | --: | --: |\n"
        "| `v1.77.2-stable` | 36 | 35 | 23 | 21 | 2 | 2 |\n"
        "| `v1.76.5` | 27 | 32 | 21 | 21 | 0 | 0 |\n"
        "| `v1.76.3` | 18 | 25 | 16 | 16 | 0 | 0 |\n"
    )
    assert (everything(world), world.git("for-each-ref")) == before


@pytest.mark.parametrize("tag", [TAG, STABLE])
def test_a_forecast_agrees_with_the_upgrade(world: World, tag: str) -> None:
    fetched(world, tag)
    before = everything(world), world.git("for-each-ref")
    done = world.run(f"forecast --tag {tag} --json")
    assert (done.code, done.err) == (0, "")
    assert (everything(world), world.git("for-each-ref")) == before
    data = json.loads(done.out)
    assert data["recommended"] == tag
    (told,) = data["forecasts"]
    assert told["commit"] == world.git(f"rev-parse {tag}^0")
    assert (told["ancestry_lost_in"], told["conflicts_unhealed"]) == (None, told["conflicts"])

    met = copied(world.place, world.place.with_name("met"))
    merge = ["git", "merge", "--quiet", "--no-commit", "--no-ff", tag]
    assert met.call(merge).code == 1
    resolved = json.loads(met.run("resolve-conflicts --json").out)["conflicts"]
    keys = ("path", "kind", "decision", "rule", "why")
    wanted = [
        {key: conflict[key] for key in keys} | {"asks": [], "reads": 0} for conflict in resolved
    ]
    assert told["paths"] == wanted
    assert sum(told["kinds"].values()) == told["conflicts"] == len(resolved)
    assert sum(told["decided_by"].values()) == told["conflicts"] - told["left"]
    assert told["hunks_at_risk"] == sum(conflict["hunks_left"] for conflict in resolved)

    upgraded = world.run(f"upgrade-carto --tag {tag} --no-tests --no-push")
    assert f", brings {told['commits']} commits\n" in upgraded.out
    total, left = told["conflicts"], told["left"]
    assert f"\n{total - left} of {total} conflicts decided, {left} left." in upgraded.out
    files = world.git("diff --name-only --no-renames carto/main", repo=world.work(tag))
    assert len({*files.splitlines()} - {"carto_tags.toml"}) == told["files"]
    left_over = {p["path"] for p in told["paths"] if p["decision"] == "person"}
    listed = world.git("diff --name-only --diff-filter=U", repo=world.work(tag)).splitlines()
    assert set(listed) == left_over
    assert upgraded.code == (3 if left_over else 0)


@pytest.mark.parametrize("state", ["merging", "detached", "a work tree with conflicts"])
def test_a_forecast_does_not_depend_on_what_is_checked_out(world: World, state: str) -> None:
    fetched(world, TAG, STABLE)
    expected = world.run(f"forecast --tag {STABLE} --json")
    if state == "merging":
        merge = ["git", "merge", "--quiet", "--no-commit", "--no-ff", TAG]
        assert world.call(merge).code == 1
    elif state == "detached":
        world.git(f"checkout --quiet --detach {TAG}")
    else:
        assert world.run(PAUSES).code == 3
    (world.fork / "README.md").write_text("mine\n")
    (world.fork / "new.txt").write_text("mine\n")
    before = everything(world), world.git("for-each-ref")
    done = world.run(f"forecast --tag {STABLE} --json")
    assert (done.code, done.out) == (expected.code, expected.out) == (0, expected.out)
    assert (everything(world), world.git("for-each-ref")) == before


def test_a_forecast_without_tags_is_about_the_newest_stable_releases(world: World) -> None:
    """Upstream's newest three; never a candidate, a release that production has, or one on
    request."""
    main = "refs/heads/main"
    for number, tag in enumerate(("v1.78.0-stable", "v1.79.0-stable", "v1.80.0-stable")):
        release = commit_in(world, world.upstream, main, {"new.txt": f"{number}\n"})
        world.git(f"tag {tag} {release}", repo=world.upstream)
    world.git("fetch --quiet --tags upstream")
    before = everything(world), world.git("for-each-ref")
    told = json.loads(world.run("forecast --json").out)
    newest = ["v1.80.0-stable", "v1.79.0-stable", "v1.78.0-stable"]
    assert [one["tag"] for one in told["forecasts"]] == newest
    table = world.run("forecast")
    assert table.code == 0
    assert [line.split()[0] for line in table.out.splitlines()[:4]] == ["release", *newest]
    assert (everything(world), world.git("for-each-ref")) == before


@pytest.mark.parametrize("order", [(TAG, "v1.76.3"), ("v1.76.3", TAG)], ids=" ".join)
def test_a_forecast_chooses_the_newest_release_that_leaves_the_least(
    world: World, order: tuple[str, ...]
) -> None:
    fetched(world, STABLE, *order)
    line = f"forecast --tag {STABLE} {' '.join(f'--tag {tag}' for tag in order)}"
    assert json.loads(world.run(f"{line} --json").out)["recommended"] == TAG
    assert world.run(line).out.endswith(f"\nNext: invoke upgrade-carto --tag {TAG}\n")


@pytest.mark.parametrize("options", ["--tag v1.75.2", f"--tag v1.75.2 --tag {STABLE}"])
def test_a_forecast_never_chooses_a_release_that_is_merged_already(
    world: World, options: str
) -> None:
    fetched(world, "v1.75.2", STABLE)
    before = everything(world)
    done = world.run(f"forecast {options}")
    then = "`invoke next` says what to do now."
    said = message("carto/main already contains v1.75.2.", then, title="Nothing to do")
    assert (done.err, done.code, done.out) == (said, 0, "")
    assert everything(world) == before


def test_a_forecast_without_the_remote_says_how_to_get_it(merged: World) -> None:
    merged.git(f"tag --delete {STABLE}")
    merged.git(f"tag --delete {TAG}")
    merged.git("remote remove upstream")
    done = merged.run("forecast")
    assert (done.code, done.err) == (0, "")
    line = "To fetch newer ones: invoke setup && git fetch --tags upstream\n"
    assert done.out.endswith(line)


@pytest.mark.parametrize("known", ["nothing", "what is merged", "on request"])
def test_a_forecast_says_if_nothing_is_new(merged: World, known: str) -> None:
    merged.git(f"tag --delete {STABLE}")
    if known != "on request":
        merged.git(f"tag --delete {TAG}")
    if known == "what is merged":
        fetched(merged, "v1.75.2-stable")
    before = everything(merged)
    done = merged.run("forecast")
    assert (done.err, done.code, done.out) == ("", 0, NOTHING_NEW)
    told = merged.run("forecast --json")
    assert (told.err, json.loads(told.out)) == (
        NOTHING_NEW,
        {"forecasts": [], "recommended": None},
    )
    assert everything(merged) == before


@pytest.mark.parametrize(
    ("tag", "what", "then"),
    [
        (
            "v9.9.9",
            "upstream has no tag v9.9.9. The nearest stable ones: "
            "v1.76.3, v1.76.5, v1.77.2-stable.",
            "name a tag that upstream has, as in --tag v1.77.2-stable",
        ),
        (
            "v1.75.2",
            "this clone has no tag v1.75.2.",
            "git fetch upstream refs/tags/v1.75.2:refs/tags/v1.75.2",
        ),
        (
            "v1.77.0-nightly",
            "v1.77.0-nightly is a nightly; only stable upstream releases are merged.",
            "choose a stable release; `invoke status` names the newest one.",
        ),
    ],
)
def test_a_forecast_of_a_missing_or_unstable_tag_is_refused(
    world: World, tag: str, what: str, then: str
) -> None:
    fetched(world, STABLE)
    before = everything(world)
    done = world.run(f"forecast --tag {STABLE} --tag {tag}")
    assert (done.err, done.code, done.out) == (message(what, then), 1, "")
    assert everything(world) == before


def test_a_plain_version_is_forecast_as_the_stable_release_of_it(world: World) -> None:
    fetched(world, STABLE)
    plain = STABLE.removesuffix("-stable")
    note = f"Note: this clone has no tag {plain}; using {STABLE}.\n"
    expected = world.run(f"forecast --tag {STABLE}").out
    assert world.run(f"forecast --tag {plain}").out == note + expected
    world.upstream.rename(world.upstream.with_name("away"))
    assert world.run(f"forecast --tag {plain}").out == note + expected


# --- heal ------------------------------------------------------------------------------------

LOST = "carto/main has lost the ancestry of a sync"
WELL = "carto/main has the ancestry of every sync; nothing to heal.\n"


def test_heal_says_what_an_older_branch_of_upstream_hides(prepared: World) -> None:
    """A release that nothing records or states."""
    prepared.git("fetch -q --tags upstream")
    prepared.git("update-ref refs/remotes/upstream/main v1.75.2-stable^0")
    newest = "v1.77.2-stable"
    then = f"Next: if it has a squash of {newest}: `git fetch upstream`, then the same\n"
    then += "      command.\n"
    done = prepared.run("fork.heal")
    assert (done.code, done.out) == (0, WELL + then)
    prepared.git("fetch -q upstream")
    assert prepared.run("fork.heal").out == WELL


def sync_of(world: World) -> dict[str, str]:
    """The squashed sync, as in JSON."""
    name = world.git("rev-parse origin/carto/main")
    return {"name": name, "date": "2025-09-30", "subject": f"chore: upgrade to {TAG} (#50)"}


def cost(world: World, sync: str, *, hidden: int = 0, differs: int = 37) -> str:
    """What heal prints about the squashed sync."""
    parent = world.git(f"rev-parse {TAG}^0")
    by = f"{hidden} of them by no fork commit" if hidden else "only by fork commits"
    return (
        f"{LOST}:\n"
        f"  sync               {sync[:10]} 2025-09-30 chore: upgrade to {TAG} (#50)\n"
        f"  brought            upstream {parent[:10]}, which is not in the branch's history\n"
        f"  differs from that  in {differs} files, {by}\n"
        "  next merge         21 conflicts, once healed 3\n"
    )


def heal_branch(world: World) -> str:
    return f"heal/{world.git(f'rev-parse {TAG}^0')[:10]}"


def is_healed(world: World, commit: str, sync: str) -> bool:
    """Whether a commit records that a squashed sync merged v1.76.5, and changes no file."""
    parents = world.git(f"log -1 --format=%P {commit}", repo=world.origin).split()
    trees = world.git(f"rev-parse {commit}^{{tree}} {sync}^{{tree}}", repo=world.origin).split()
    return parents == [sync, world.git(f"rev-parse {TAG}^0")] and trees[0] == trees[1]


def test_heal_checks_whether_there_is_something_to_heal(squashed: World) -> None:
    sync = sync_of(squashed)
    before = everything(squashed), squashed.git("for-each-ref")
    done = squashed.run("fork.heal --check")
    assert done.out == cost(squashed, sync["name"])
    said = message(f"{LOST}.", "invoke fork.heal", title="Check failed")
    assert (done.err, done.code) == (said, 4)
    told = squashed.run("fork.heal --check --json")
    assert (told.code, told.err) == (4, cost(squashed, sync["name"]) + said)
    assert json.loads(told.out) == {
        "sync": sync,
        "parent": squashed.git(f"rev-parse {TAG}^0"),
        "differing_paths": 37,
        "hidden": [],
        "left_out": [],
        "conflicts": 21,
        "conflicts_healed": 3,
        "branch": heal_branch(squashed),
    }
    assert (everything(squashed), squashed.git("for-each-ref")) == before


def test_heal_publishes_a_branch_that_changes_no_file(squashed: World) -> None:
    sync = sync_of(squashed)["name"]
    before, origin = squashed.checkout(), squashed.refs(squashed.origin)
    done = squashed.run("fork.heal")
    assert (done.code, done.err) == (0, "")
    branch = heal_branch(squashed)
    assert done.out.startswith(cost(squashed, sync))
    assert done.out.endswith(
        f"Done: {branch} is on origin.\n"
        "Have it reviewed; merge it with a merge commit, never squash it.\n"
        f"Next: open a pull request from {branch} to carto/main:\n"
        f"  https://github.com/CartoDB/litellm/compare/carto/main...{branch}?expand=1\n"
    )
    after = squashed.refs(squashed.origin)
    healed = after.pop(f"refs/heads/{branch}")
    assert (after, squashed.checkout()) == (origin, before)
    assert is_healed(squashed, healed, sync)
    assert squashed.git("worktree list --porcelain").count("worktree ") == 1

    # Once the pull request is merged, nothing is lost any more.
    commit_in(squashed, squashed.origin, "refs/heads/carto/main", {}, sync, healed)
    squashed.git("fetch --quiet --no-tags origin")
    for line in ("fork.heal", "fork.heal --check", "fork.heal --direct"):
        done = squashed.run(line)
        assert (done.code, done.err, done.out) == (0, "", WELL)
    assert json.loads(squashed.run("fork.heal --json").out) is None
    told = json.loads(squashed.run(f"forecast --tag {STABLE} --json").out)["forecasts"][0]
    assert (told["ancestry_lost_in"], told["conflicts"]) == (None, 3)
    assert "\n1 of 3 conflicts decided, 2 left." in squashed.run(PAUSES).out


@pytest.mark.parametrize("checked_out", [True, False])
def test_heal_moves_production_itself(squashed: World, checked_out: bool) -> None:
    if not checked_out:
        squashed.git("switch --quiet --create topic")
    sync, before = sync_of(squashed)["name"], squashed.checkout()
    origin = squashed.refs(squashed.origin)
    done = squashed.run("fork.heal --direct")
    assert (done.code, done.err) == (0, "")
    assert done.out.endswith("Done: carto/main has the ancestry again.\n")
    after = squashed.refs(squashed.origin)
    healed = after["refs/heads/carto/main"]
    assert is_healed(squashed, healed, sync)
    assert after == origin | {"refs/heads/carto/main": healed}
    assert squashed.git("rev-parse carto/main origin/carto/main").split() == [healed] * 2
    assert heal_branch(squashed) not in squashed.git("branch --list 'heal/*'")
    if not checked_out:
        assert squashed.checkout() == before
    assert squashed.git("status --porcelain") == ""
    assert squashed.run("fork.heal").out == WELL


def test_heal_prepares_and_publishes_later(squashed: World) -> None:
    origin, sync = squashed.refs(squashed.origin), sync_of(squashed)["name"]
    done = squashed.run("fork.heal --no-push")
    assert (done.code, done.err) == (0, "")
    branch = heal_branch(squashed)
    assert done.out.endswith(f"Done: {branch} records it; not pushed.\n")
    assert squashed.refs(squashed.origin) == origin
    healed = squashed.refs(squashed.fork)[f"refs/heads/{branch}"]
    assert squashed.run("fork.heal").code == 0
    assert squashed.refs(squashed.origin) == origin | {f"refs/heads/{branch}": healed}
    assert is_healed(squashed, healed, sync)


def test_heal_under_dry_prints_what_does_it_when_pasted(squashed: World) -> None:
    sync = sync_of(squashed)["name"]
    before = everything(squashed), squashed.git("for-each-ref")
    dry = squashed.run("--dry fork.heal")
    assert (dry.code, dry.err) == (0, "")
    assert (everything(squashed), squashed.git("for-each-ref")) == before
    assert squashed.paste(dry.out).code == 0
    healed = squashed.refs(squashed.origin)[f"refs/heads/{heal_branch(squashed)}"]
    assert is_healed(squashed, healed, sync)


def test_heal_continues_after_production_has_moved(squashed: World) -> None:
    sync = push_as_colleague(squashed, {"docs/new.md": "new\n"})
    assert squashed.run("fork.heal --direct").code == 1
    squashed.git("fetch --quiet --no-tags origin")
    done = squashed.run("fork.heal --direct")
    assert (done.code, done.err) == (0, "")
    healed = squashed.refs(squashed.origin)["refs/heads/carto/main"]
    assert squashed.git(f"merge-base --is-ancestor {sync} {healed}", repo=squashed.origin) == ""


def test_heal_in_a_shallow_clone_is_refused(squashed: World) -> None:
    shallow = squashed.git("rev-parse origin/carto/main")
    (squashed.fork / ".git" / "shallow").write_text(f"{shallow}\n")
    done = squashed.run("fork.heal --check")
    what = "this is a shallow clone, and git needs the whole history to merge."
    said = message(what, "git fetch --unshallow origin")
    assert (done.err, done.code, done.out) == (said, 1, "")


def test_heal_finds_a_small_squashed_sync(world: World) -> None:
    assert world.run(UPGRADE.replace(TAG, "v1.76.3")).code == 0
    land(world, "v1.76.3")
    assert world.run(UPGRADE).code == 0
    land(world, TAG, squash=True)
    upstream_moves_on(world)
    done = world.run("fork.heal --check --json")
    assert done.code == 4
    assert json.loads(done.out)["sync"] == sync_of(world)


def test_a_change_left_out_by_a_squash_is_reported(published: World) -> None:
    path = "litellm/llms/snowflake/chat/transformation.py"
    landed = published.git(f"show {SYNC}:{path}") + "\n"
    assert landed.count('        "tools",\n') == 1
    land(published, TAG, {path: landed.replace('        "tools",\n', "")}, squash=True)
    upstream_moves_on(published)
    done = published.run("fork.heal --check --json")
    gone = json.loads(done.out)["left_out"]
    assert [(e["path"], e["side"], e["missing"]) for e in gone] == [
        (path, "upstream", ['        "tools",'])
    ]
    assert f"  upstream {path}" in done.err and '- "tools",' in done.err
    upgrade = published.run(PAUSES)
    note = "lost 1 upstream change in 1 file, and healing does not restore that."
    assert upgrade.code == 1 and note in upgrade.err
    assert "\nNext: see `invoke fork.heal --check`, then run `invoke" in upgrade.err


def test_an_upgrade_is_refused_if_a_sync_was_squashed(squashed: World) -> None:
    sync = sync_of(squashed)["name"]
    parent = squashed.git(f"rev-parse {TAG}^0")
    before = everything(squashed), squashed.git("for-each-ref")
    done = squashed.run(PAUSES)
    said = message(
        f"{LOST}: {sync[:10]} (2025-09-30, chore: upgrade to {TAG} (#50)) brought upstream's work "
        f"up to {parent[:10]} and has one parent only. This merge would stop with 21 conflicts; "
        "once the ancestry is recorded, with 3.",
        f"run `invoke {PAUSES} --heal` to record it first, "
        f"or `invoke {PAUSES} --unhealed` to merge without recording it.",
        "Your checkout, your branches and origin are unchanged.",
    )
    assert (done.err, done.code) == (said, 1)
    assert (everything(squashed), squashed.git("for-each-ref")) == before


def test_an_upgrade_with_heal_restores_the_ancestry_first(squashed: World) -> None:
    sync = sync_of(squashed)["name"]
    paused = squashed.run(f"{PAUSES} --heal")
    assert paused.code == 3
    assert "\n1 of 3 conflicts decided, 2 left." in paused.out
    resolved_by_hand(squashed, squashed.work(STABLE))
    head = continues(squashed, PAUSES)
    first, second = squashed.git(
        f"log --merges --first-parent -1 --format=%P {head}", repo=squashed.origin
    ).split()
    assert second == squashed.git(f"rev-parse {STABLE}^0")
    assert is_healed(squashed, first, sync)


def test_heal_and_unhealed_exclude_each_other(squashed: World) -> None:
    before = everything(squashed)
    done = squashed.run(f"{PAUSES} --heal --unhealed")
    what = "--heal and --unhealed exclude each other."
    said = message(what, "choose one of them.", title="Usage")
    assert (done.err, done.code, done.out) == (said, 2, "")
    assert everything(squashed) == before


@pytest.mark.slow
def test_an_unhealed_upgrade_merges_in_spite_of_a_squashed_sync(squashed: World) -> None:
    sync = sync_of(squashed)["name"]
    paused = squashed.run(f"{PAUSES} --unhealed")
    assert paused.code == 3
    assert "\n19 of 21 conflicts decided, 2 left." in paused.out
    resolved_by_hand(squashed, squashed.work(STABLE))
    head = continues(squashed, f"{PAUSES} --unhealed")
    revs = f"--ours origin/carto/main --theirs {STABLE} --result {head}"
    checked = squashed.run(f"verify {revs}")
    assert (checked.code, checked.err) == (0, "")
    assert checked.out.startswith(f"Checked with healed ancestry: {sync[:10]} was squashed.\n")
    healed = json.loads(squashed.run(f"verify {revs} --json").out)["healed"]
    assert healed == {"sync": sync_of(squashed), "parent": squashed.git(f"rev-parse {TAG}^0")}
    parents = squashed.git(
        f"log --merges --first-parent -1 --format=%P {head}", repo=squashed.origin
    ).split()
    assert parents == [sync, squashed.git(f"rev-parse {STABLE}^0")]


def test_a_forecast_shows_conflicts_with_and_without_healing(squashed: World) -> None:
    sync = sync_of(squashed)["name"]
    before = everything(squashed), squashed.git("for-each-ref")
    done = squashed.run(f"forecast --tag {STABLE}")
    assert done.out == (
        f"{HEAD}"
        "v1.77.2-stable       36     18          3        1     2        2\n"
        "left: files with conflicts for you; at risk: the fork's hunks in them\n"
        "v1.77.2-stable: 21 conflicts unhealed; the numbers are for healed ancestry. To\n"
        "  heal it:\n"
        "    invoke fork.heal\n"
        "v1.77.2-stable: 1 modify/delete, 2 content; decided by\n"
        "     1 removed stays removed\n"
        "  left: Dockerfile\n"
        f"  left: {LAYOUT}\n"
        "Next: invoke upgrade-carto --tag v1.77.2-stable\n"
    )
    (told,) = json.loads(squashed.run("forecast --json").out)["forecasts"]
    assert (told["ancestry_lost_in"], told["conflicts_unhealed"]) == (sync, 21)
    assert (everything(squashed), squashed.git("for-each-ref")) == before


@pytest.mark.slow
def test_what_a_squash_left_out_is_never_recorded_as_merged(published: World) -> None:
    """A file that the fork never changed is as before v1.76.5: nobody decided that."""
    old = published.git(f"show carto/main:{USAGE}") + "\n"
    land(published, TAG, {USAGE: old}, squash=True)
    upstream_moves_on(published)
    sync, parent = sync_of(published)["name"], published.git(f"rev-parse {TAG}^0")
    before = everything(published), published.git("for-each-ref")
    what = (
        f"{sync[:10]} (2025-09-30, chore: upgrade to {TAG} (#50)) brought upstream's work up to "
        f"{parent[:10]} and has one parent only. Its ancestry cannot be recorded: a path differs "
        "from upstream's although no fork commit changed it, and the next merge would "
        f"treat that as the fork's decision:\n  {USAGE}"
    )
    restore = f"git restore --source={parent[:10]} -- PATH"
    for line in (
        "fork.heal",
        "fork.heal --check",
        "fork.heal --direct",
        f"{PAUSES} --heal",
        PAUSES,
    ):
        done = published.run(line)
        then = f"restore them in a separate commit, for example: {restore}; merge that, "
        untouched = "Nothing was changed."
        if "upgrade" in line:
            untouched = "Your checkout, your branches and origin are unchanged."
        title, code = ("Check failed", 4) if "check" in line else ("Refused", 1)
        then += f"then run `invoke {line}` again. If it was not a sync, `invoke "
        over = line if "upgrade" in line else "upgrade-carto --tag TAG"
        over = f"{over} --unhealed` merges without healing."
        said = message(what, f"{then}{over}", untouched, title)
        assert (done.err, done.code) == (said, code)
        assert (everything(published), published.git("for-each-ref")) == before
    assert published.run("fork.heal").out == cost(published, sync, hidden=1, differs=38)
    assert json.loads(published.run("fork.heal --json").out)["hidden"] == [USAGE]

    push_as_colleague(published, {USAGE: published.git(f"show {TAG}:{USAGE}") + "\n"})
    published.git("fetch --quiet --no-tags origin")
    assert published.run("fork.heal").code == 0


# --- verify of landed syncs ------------------------------------------------------------------


def test_verify_passes_a_sync_that_landed_as_a_merge(merged: World) -> None:
    """Although nobody has fetched since: only origin's present state counts."""
    before = everything(merged)
    done = merged.run(f"verify --landed {TAG}")
    by_tag = merged.run(f"verify --tag {TAG}")  # there is no merge of it on this branch itself
    assert by_tag.code == done.code == 0
    assert by_tag.out == f"{TAG} is in carto/main: checking that.\n{done.out}"
    assert (done.code, done.err) == (0, "")
    nothing = f"Nothing is lost; 1 finding in the sync to {TAG} to look at.\n"
    assert done.out == (
        LOCK_FILE + accounted("0 changes") + nothing + page(TAG) + "Next: invoke next\n"
    )
    assert everything(merged) == before
    compared = merged.run(f"verify --ours origin/carto/main --theirs {TAG} --result {SYNC}")
    assert f"Refused: origin/carto/main already contains {TAG}: this would" in compared.err
    assert (compared.code, "verify --landed RELEASE`" in compared.err) == (1, True)
    merged.git("update-ref refs/remotes/origin/carto/main refs/remotes/origin/carto/main^")
    assert merged.run(f"verify --landed {TAG}").out.endswith(done.out)
    push_as_colleague(merged, {"docs/new.md": "new\n"})
    assert merged.run(f"verify --landed {TAG}").out.endswith(done.out)


TO_RESTORE = (
    "restore what is missing, on a branch for it: invoke branch.start --name missing-changes; or "
    f"drop it there: invoke verify --tag {TAG} --drop PATH --reason WHY; merge that, then run "
    "`invoke {again}` again."
)


def lossy(world: World) -> dict[str, str]:
    """The sync branch's router and responses, each without a change of one side."""
    texts = ((path, world.git(f"show {SYNC}:{path}") + "\n") for path in (ROUTER, MAIN))
    gone = {ROUTER: AFFINITY, MAIN: STORE}
    assert all(gone[path] in world.git(f"show {SYNC}:{path}") + "\n" for path in gone)
    return {path: text.replace(gone[path], "") for path, text in texts}


@pytest.mark.parametrize("how", ["merged", "forwarded", "squashed"])
def test_what_a_landed_sync_lost_is_lost_until_it_is_restored_or_dropped(
    published: World, how: str
) -> None:
    """Whatever it looks like to git: also once its history is healed."""
    files, whole = lossy(published), published.git(f"show {SYNC}:{ROUTER}") + "\n"
    if how == "forwarded":
        sides = ["refs/heads/carto/main", published.git(f"rev-parse {TAG}^0")]
        tree = f"refs/heads/{SYNC}"
        commit_in(published, published.origin, sides[0], files, *sides, tree=tree)
    else:
        land(published, TAG, files, squash=how == "squashed")
    upstream_moves_on(published)
    landed = f"verify --landed {TAG}"
    done = published.run(f"{landed} --json")
    lost = f"lost: 1 fork change in {ROUTER}\n  lost: 1 upstream change in {MAIN}"
    fix = TO_RESTORE.format(again=f"{landed} --json")
    if how == "squashed":
        said = f"{lost}\nNothing was changed.\nNext: invoke fork.heal; then {fix}\n"
        assert done.err.endswith(said)
        healed = published.run("fork.heal --direct")
        assert healed.code == 0
        for side, path in (("fork", ROUTER), ("upstream", MAIN)):
            assert re.search(rf"^  {side} +{path}:", healed.out, re.M)
        done = published.run(f"{landed} --json")
    what = f"the sync to {TAG} is not right:\n  {lost}"
    assert done.err.endswith(message(what, fix, title="Check failed"))
    assert done.code == 4
    assert {entry["path"] for entry in json.loads(done.out)["lost"]} == {ROUTER, MAIN}
    wrong = lost.replace("\n  ", ", ")
    failed = f"he last check of the sync to {TAG} failed ({wrong})."
    advice = json.loads(published.run("next --json").out)
    assert advice["command"] == f"invoke {landed}"
    assert (
        advice["why"]
        == f"T{failed} First {fix.partition('; merge')[0]}; once that is merged, this checks it."
    )
    assert published.run("release").err == message(f"t{failed}", f"invoke {landed}")
    done = published.run("doctor --check losses --offline")
    assert (done.code, f"T{failed}" in " ".join(done.out.split())) == (4, True)

    assert published.run("branch.start --name missing-changes").code == 0
    drop = f"verify --tag {TAG} --drop {MAIN} --reason 'the answer is stored elsewhere'"
    assert published.run(drop).code == 0
    (published.fork / ROUTER).write_text(whole)
    published.git("commit --quiet --all -m 'fix: the affinity is back'")
    assert published.run(landed).code == 4  # not before that has landed, too
    published.git("push --quiet --no-verify origin HEAD:carto/main")
    done = published.run(landed)
    assert (done.code, done.err) == (0, "")
    assert json.loads(published.run("next --json").out)["command"] == "invoke release"
    assert published.run("doctor --check losses --offline").code == 0
    # What the fork does later is no loss of the sync, and neither is what a newer release does.
    push_as_colleague(published, {ROUTER: whole.replace("import zlib\n", "")})
    assert published.run(landed).code == 0
    sides = ["origin/carto/main", STABLE]
    commit_in(published, published.fork, "refs/heads/next", {}, *sides, tree=STABLE)
    published.git("push --quiet --no-verify origin next:carto/main")
    assert published.run(landed).code == 0


def test_what_a_branch_that_was_forwarded_lost_after_its_merge_is_lost(prepared: World) -> None:
    text = (prepared.work(TAG) / ROUTER).read_text()
    changed(prepared, {ROUTER: (AFFINITY, "")})
    prepared.git(f"push --quiet --no-verify origin {SYNC}:carto/main")
    done = prepared.run(f"verify --landed {TAG}")
    assert f"lost: 1 fork change in {ROUTER}" in done.err
    push_as_colleague(prepared, {ROUTER: text})
    assert prepared.run(f"verify --landed {TAG}").code == 0


def test_verify_reports_a_sync_that_landed_squashed(squashed: World) -> None:
    sync = sync_of(squashed)
    before = everything(squashed)
    done = squashed.run(f"verify --landed {TAG} --json")
    what = (
        f"{TAG} landed without its history: {sync['name'][:10]} (2025-09-30 {sync['subject']}) has "
        "one parent only"
    )
    said = message(
        f"the sync to {TAG} is not right:\n  landed: {what}",
        "invoke fork.heal",
        title="Check failed",
    )
    assert (done.err.endswith(said), done.code) == (True, 4)
    data = json.loads(done.out)
    found = {"check": "landed", "what": what, "path": "", "certain": True}
    assert (data["passed"], data["findings"][0], data["lost"]) == (False, found, [])
    assert not any(finding["certain"] for finding in data["findings"][1:])
    assert data["healed"] == {"sync": sync, "parent": squashed.git(f"rev-parse {TAG}^0")}
    assert everything(squashed) == before


def test_verify_reports_a_sync_that_has_not_landed(prepared: World) -> None:
    before = everything(prepared)
    done = prepared.run(f"verify --landed {TAG}")
    said = message(
        f"the sync to {TAG} is not right:\n  landed: {TAG} is not in carto/main",
        f"merge it first: invoke upgrade-carto --tag {TAG}",
        title="Check failed",
    )
    assert (done.err, done.code, done.out) == (said, 4, "")
    assert everything(prepared) == before


# --- drift -----------------------------------------------------------------------------------

NO_UPSTREAM = message(
    "this clone has fetched no branch of the remote `upstream`.", "git fetch upstream"
)


@pytest.fixture
def drifted(published: World) -> World:
    """A sync that was merged without upstream's change to a file that the fork never touched, and
    with new files without words and with upstream's lines: these are the fork's."""
    old = published.git(f"show carto/main:{USAGE}") + "\n"
    router = published.git(f"show {SYNC}:{ROUTER}") + "\n"
    new = {"tests/ours/__init__.py": "", "docs/ours.md": "---\n", "docs/usage.tsx": old}
    land(published, TAG, {USAGE: old, ROUTER: router.replace("import zlib\n", ""), **new})
    published.git("fetch --quiet --no-tags upstream")
    return published


def test_drift_changes_nothing_if_nothing_has_drifted(merged: World) -> None:
    for line in ("fork.inventory --section drift", "fork.inventory --reset"):
        merged.git("switch --quiet -C topic origin/carto/main")
        head = merged.git("rev-parse HEAD")
        done = merged.run(line)
        assert (done.code, done.err) == (0, "")
        assert merged.git("rev-parse HEAD") == head
    assert merged.run("fork.inventory --section drift").out == "Nothing has drifted.\n"
    # An upgrade fetches the release, and not the branch of upstream's that has it by now.
    older = merged.git("merge-base origin/carto/main^1 upstream/main")
    merged.git(f"update-ref refs/remotes/upstream/main {older}")
    assert merged.run("fork.inventory --section drift").out == "Nothing has drifted.\n"


@pytest.mark.parametrize("recorded", [True, False])
def test_a_release_that_no_branch_of_upstreams_has_here_is_not_drift(
    merged: World, recorded: bool
) -> None:
    """The clone fetched the release alone, or it is on a branch that nobody published."""
    merged.git("fetch --quiet origin")
    for ref in merged.git("for-each-ref --format=%(refname) refs/remotes/upstream").splitlines():
        merged.git(f"update-ref --no-deref {ref} {TAG}~2")
    if not recorded:
        # A copy at another path, which does not have the tag, either.
        merged.git(f"push --quiet {merged.upstream} :refs/tags/{TAG}")
        push_as_colleague(merged, {"carto_tags.toml": ""})
        merged.git("fetch --quiet origin")
    done = merged.run("fork.inventory --section drift")
    if recorded:
        assert (done.out, done.code) == ("Nothing has drifted.\n", 0)
    else:
        assert f"no branch of the remote `upstream` in this clone has {TAG}" in done.err
        assert (done.code, "Next: `git fetch upstream`; if" in done.err) == (1, True)


def test_drift_is_listed_and_what_the_fork_changed_is_not(drifted: World) -> None:
    """The router lacks a line, too, but fork commits explain that."""
    base = drifted.git(f"rev-parse {TAG}^0")
    before = everything(drifted)
    done = drifted.run("fork.inventory --section drift")
    assert (done.code, done.err) == (0, "")
    assert done.out == (
        f"1 file differs from upstream {base[:10]} although no fork commit changed it.\n"
        f"  {USAGE}\n"
        "Next: on a branch for it, invoke fork.inventory --reset\n"
    )
    told = drifted.run("fork.inventory --section drift --json")
    assert (told.code, json.loads(told.out)) == (0, {"base": base, "paths": [USAGE]})
    assert everything(drifted) == before


@pytest.mark.parametrize("where", ["carto/main", "detached", "changed"])
def test_drift_is_reset_on_a_branch_for_it_alone(drifted: World, where: str) -> None:
    if where == "detached":
        drifted.git("checkout --quiet --detach origin/carto/main")
    elif where == "changed":
        drifted.git("switch --quiet -c topic origin/carto/main")
        (drifted.fork / "README.md").write_text("mine\n")
    before = everything(drifted)
    done = drifted.run("fork.inventory --reset")
    branch = "git switch -c chore/reset-drift refs/remotes/origin/carto/main"
    said = message(
        "../litellm is not a clean checkout of a separate branch.",
        f"{branch}, then run `invoke fork.inventory --reset` again.",
    )
    assert (done.err, done.code) == (said, 1)
    assert everything(drifted) == before
    drifted.git("checkout --quiet -- README.md")
    assert drifted.call(["bash", "-c", branch]).code == 0
    assert drifted.run("fork.inventory --reset").code == 0


def test_drifted_files_are_reset_to_upstream(drifted: World) -> None:
    base = drifted.git(f"rev-parse {TAG}^0")
    drifted.git("switch --quiet --create topic origin/carto/main")
    head = drifted.git("rev-parse HEAD")
    done = drifted.run("fork.inventory --reset")
    assert (done.code, done.err) == (0, "")
    assert done.out == f"1 file reset to upstream {base[:10]}.\n"
    told = drifted.git("log -1 --format=%P%n%s --name-only").split("\n")
    assert told == [head, "chore: reset 1 drifted file to upstream", "", USAGE]
    assert len(set(drifted.git(f"rev-parse HEAD:{USAGE} {TAG}:{USAGE}").split())) == 1
    assert drifted.git("status --porcelain") == ""
    again = drifted.run("fork.inventory --reset")
    assert (again.code, again.out) == (0, f"0 files reset to upstream {base[:10]}.\n")
    drifted.git("push --quiet origin topic:carto/main")
    assert drifted.run("fork.inventory --section drift").out == "Nothing has drifted.\n"


@pytest.mark.parametrize(
    "task", ["fork.inventory", "fork.inventory --reset", "fork.inventory --scan", "fork.heal"]
)
def test_tasks_that_compare_with_upstream_need_its_branch(world: World, task: str) -> None:
    before = everything(world)
    done = world.run(task)
    assert (done.err, done.code, done.out) == (NO_UPSTREAM, 1, "")
    assert everything(world) == before


# --- dropped ---------------------------------------------------------------------------------

AZURE, HEALTH = "litellm/llms/azure/chat/transformation.py", "tests/smoke/proxy_health.sh"


def test_dropped_lists_the_changes_that_upstream_has_absorbed(world: World) -> None:
    world.git("fetch --quiet --no-tags upstream")
    subjects = {
        AZURE: "fix(azure): full URLs of deployments, response_format",
        HEALTH: "test: is a running proxy healthy?",
    }
    names = {path: commit_named(world, subject) for path, subject in subjects.items()}
    before = everything(world)
    done = world.run("fork.inventory --section absorbed")
    assert (done.code, done.err) == (0, "")
    assert done.out == (
        "Upstream has absorbed 2 fork changes, in 2 files.\n"
        f"  {AZURE}\n"
        f"    {names[AZURE][:10]} 2025-07-29 {subjects[AZURE]}\n"
        f"  {HEALTH}\n"
        f"    {names[HEALTH][:10]} 2025-08-02 {subjects[HEALTH]}\n"
    )
    told = world.run("fork.inventory --section absorbed --json")
    assert (told.code, told.err) == (0, done.out)
    data = json.loads(told.out)
    assert {path: [(e["fate"], e["side"]) for e in found] for path, found in data.items()} == {
        path: [("absorbed", "fork")] for path in subjects
    }
    assert [data[path][0]["commits"][0]["name"] for path in names] == [*names.values()]
    assert everything(world) == before


# --- features --------------------------------------------------------------------------------


def with_policy(world: World, text: str) -> None:
    """Give the fork its own policy, in a commit that is not a feature."""
    files = {"carto_fork.toml": text}
    commit_in(world, world.origin, "refs/heads/carto/main", files)
    world.git("fetch --quiet --no-tags origin")


def feature(name: str, files: list[str], patterns: list[str], origin: str = "#60") -> str:
    return (
        f"\n[[feature]]\nname = {json.dumps(name)}\nfiles = {json.dumps(files)}\n"
        f"patterns = {json.dumps(patterns)}\norigin = {json.dumps(origin)}\n"
    )


EXTENDS = 'extends = "carto-litellm"\n'
AFFINE = feature("sessions stay", [ROUTER, MAIN], ["session_id=None", r"^import zlib$"])


def test_features_passes_if_everything_in_the_manifest_exists(world: World) -> None:
    with_policy(world, EXTENDS + AFFINE)
    before = everything(world)
    done = world.run("fork.inventory --section features")
    assert (done.code, done.err, done.out) == (
        0,
        "",
        "Features of the policy, all of them on origin/carto/main:\n  sessions stay\n",
    )
    data = json.loads(world.run("fork.inventory --section features --json").out)
    assert (len(data["features"]), data["missing"]) == (1, [])
    assert data["features"][0]["name"] == "sessions stay"
    assert everything(world) == before


def test_features_reports_what_is_missing_from_the_manifest(world: World) -> None:
    gone = feature("regions of keys", [CACHE, "nowhere.py"], ["def region_of"])
    with_policy(world, EXTENDS + AFFINE + gone)
    missing = [
        "regions of keys, from #60: nowhere.py is gone",
        "regions of keys, from #60: nothing matches 'def region_of'",
    ]
    before = everything(world)
    done = world.run("fork.inventory --section features")
    listed = "".join(f"missing: {what}\n" for what in missing)
    head = "Features of the policy, of which something is missing on origin/carto/main"
    assert done.out == f"{head}:\n  sessions stay\n  regions of keys\n{listed}"
    said = message(
        "carto/main lacks 2 parts of its features.",
        "restore them, or correct the manifest.",
        title="Check failed",
    )
    assert (done.err, done.code) == (said, 4)
    told = world.run("fork.inventory --section features --json")
    assert told.code == 4
    assert [found["what"] for found in json.loads(told.out)["missing"]] == missing
    assert everything(world) == before


def test_features_suggests_a_scan_without_a_manifest(world: World) -> None:
    done = world.run("fork.inventory --section features")
    assert (done.code, done.err) == (0, "")
    assert (
        done.out
        == "The policy has no feature manifest. To propose one:\n    invoke fork.inventory --scan\n"
    )


def test_a_manifest_that_is_proposed_is_valid_and_complete(world: World) -> None:
    world.git("fetch --quiet --no-tags upstream")
    before = everything(world)
    done = world.run("fork.inventory --scan")
    assert (done.code, done.err) == (0, "")
    told = world.run("fork.inventory --scan --json")
    assert (told.code, told.err) == (0, "")
    assert everything(world) == before
    proposed = tomli.loads(done.out)["feature"]
    assert proposed == json.loads(told.out)
    assert not any("_experimental" in path for one in proposed for path in one["files"])
    names = [one["name"] for one in proposed]
    assert names == [
        "feature flags in the dashboard, and our logo",
        "keep a session on its deployment",
        "programmatic access tokens",
        "keep sessions in Redis",
    ]
    with_policy(world, EXTENDS + done.out)
    there = world.run("fork.inventory --section features")
    assert (there.code, there.err) == (0, "")
    listed = "".join(f"  {name}\n" for name in names)
    assert there.out == f"Features of the policy, all of them on origin/carto/main:\n{listed}"
    values = {s["key"]: s["value"] for s in json.loads(world.run("fork.config --json").out)}
    assert values["feature"] == proposed
    nothing = "# Nothing of a `feat:` commit to propose.\n"
    assert world.run("fork.inventory --scan").out == nothing


def test_a_feature_may_have_a_subject_as_the_fork_words_it(world: World) -> None:
    world.git("fetch --quiet --no-tags upstream")
    with_policy(world, f"{EXTENDS}[messages]\nconventional = false\n")
    text = world.git(f"show carto/main:{CACHE}") + f"\n{REGION}"
    production = "refs/heads/carto/main"
    commit_in(world, world.origin, production, {CACHE: text}, message="Keys have regions")
    world.git("fetch --quiet --no-tags origin")
    proposed = tomli.loads(world.run("fork.inventory --scan").out)["feature"]
    assert "Keys have regions" in [one["name"] for one in proposed]


def test_a_manifest_that_is_proposed_can_be_read(world: World) -> None:
    """Files that only this program reads are not features."""
    world.git("fetch --quiet --no-tags upstream")
    own = {"carto_fork.toml": EXTENDS, "CARTO_CLAUDE.md": "# How to upgrade\n"}
    text = world.git(f"show carto/main:{CACHE}") + f"\n{REGION}"
    files = {**own, CACHE: text, "litellm/regions.py": 'HOME = ["de", r"\\d+"]  # our clusters\n'}
    production = "refs/heads/carto/main"
    commit = commit_in(world, world.origin, production, files, message="feat: regions of keys")
    world.git("fetch --quiet --no-tags origin")
    proposed = world.run("fork.inventory --scan").out
    date = world.git("log -1 --format=%as origin/carto/main")
    assert (
        '[[feature]]\nname = "regions of keys"\n'
        f'files = [\n    "{CACHE}",\n    "litellm/regions.py",\n]\n'
        'patterns = [\n    "def region_of",\n    "clusters",\n]\n'
        f'origin = "{commit[:10]} ({date})"\n'
    ) in proposed


def test_a_feature_is_not_recognised_by_what_upstream_has_elsewhere(world: World) -> None:
    world.git("fetch --quiet --no-tags upstream")
    word = max(re.findall(r"\w+", world.git("show upstream/main:litellm/router.py")), key=len)
    text = f"{word} == our_port\n"
    production = "refs/heads/carto/main"
    commit_in(world, world.origin, production, {"new.py": text}, message="feat: our port")
    world.git("fetch --quiet --no-tags origin")
    proposed = tomli.loads(world.run("fork.inventory --scan").out)["feature"]
    assert len(word) > len("our_port")
    assert [x["patterns"] for x in proposed if x["name"] == "our port"] == [["our_port"]]


def test_a_feature_of_short_words_is_proposed_and_one_of_none_is_named(world: World) -> None:
    """A whole line would not be found any more where both sides change it."""
    world.git("fetch --quiet --no-tags upstream")
    production = "refs/heads/carto/main"
    text = world.git(f"show carto/main:{CACHE}") + "\n"
    texts = [f"{text}OFFSET = 0.2\n"]
    texts += [f'{texts[0]}port = argv[0] if argv else "cadiz"\n']
    texts += [f"{texts[1]}if x > 1:\n    x = 1\n"]
    subjects = ["feat: an offset", "feat: our port", "feat: a limit"]
    commits = [
        commit_in(world, world.origin, production, {CACHE: text}, message=subject)
        for text, subject in zip(texts, subjects, strict=True)
    ]
    world.git("fetch --quiet --no-tags origin")
    out = world.run("fork.inventory --scan").out
    proposed = {one["name"]: one.get("patterns") for one in tomli.loads(out)["feature"]}
    assert proposed["an offset"] == [r"\bOFFSET\b"]
    assert proposed["our port"] == ['"cadiz"']
    [line] = [line for line in out.splitlines() if line.startswith("# Not ")]
    assert line.startswith("# Not proposed, since no name in it is only the fork's: a limit (")
    assert commits[2][:10] in line


def test_a_manifest_that_is_proposed_holds_at_the_next_upgrade(world: World) -> None:
    world.git("fetch --quiet --no-tags upstream")
    with_policy(world, EXTENDS + world.run("fork.inventory --scan").out)
    continues(world)
