"""Everything that must not enter the production branch is found, and nothing else is reported."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import pytest
import tomli

from world import (
    INVOKE,
    ROOT,
    Done,
    World,
    commit_in,
    copied,
    event,
    land,
    message,
    push_as_colleague,
    shim,
)

TAG, STABLE, NIGHTLY = "v1.76.5", "v1.77.2-stable", "v1.77.0-nightly"
SYNC = f"upstream-sync/{TAG}"
PRODUCTION = "refs/heads/carto/main"
DEFAULT = "origin/carto/main..HEAD"


@cache
def _published(template: Path) -> Path:
    """A copy of the template whose upgrade to v1.76.5 is published; to be copied."""
    world = copied(template, Path(tempfile.mkdtemp(dir=template.parent)) / "w")
    world.git("fetch --quiet upstream --tags")
    done = world.run(f"upgrade-carto --tag {TAG} --no-tests")
    assert done.code == 0, done.err
    return world.place


@pytest.fixture
def world(template: Path, tmp_path: Path) -> World:
    """An upgrade to v1.76.5 that is published but not merged, with all of upstream fetched."""
    return copied(_published(template), tmp_path / "w")


def feature(world: World, start: str = "origin/carto/main", subject: str = "feat: x") -> None:
    """A branch with a commit of its own, checked out."""
    world.git(f"switch --quiet --no-track -c feature/x {start}")
    world.git("commit --quiet --allow-empty -m", subject)


def passes(world: World, line: str = "ci.guard", what: str = DEFAULT, **variables: str) -> None:
    before = world.everything()
    done = world.run(line, cwd=None, **variables)
    assert (done.code, done.err) == (0, ""), done.err
    assert done.out == f"Nothing blocks {what}.\n"
    assert world.everything() == before


def findings(world: World, line: str = "ci.guard", **variables: str) -> list[str]:
    """The guard's findings; it changes nothing."""
    before = world.everything()
    done = world.run(line, cwd=None, **variables)
    marked = done.out.splitlines()  # in a job
    assert done.code == 4 and all(re.match("::error (file=.*,)?title=", x) for x in marked), done
    said, then = done.err.split("Next: ")
    assert re.fullmatch(r"fix the branch, then .*(\n[a-z ]+: .*)*\n", then), then
    head, *found, untouched = said.strip("\n").split("\n")
    assert head.startswith(f"Check failed: {len(found)} finding")
    assert untouched == "Nothing was changed."
    assert then.startswith("fix the branch, then run `invoke ci.guard")
    assert world.everything() == before
    return [line.strip() for line in found]


def short(world: World, rev: str) -> str:
    return world.git(f"rev-parse {rev}^0")[:10]


# --- What passes ----------------------------------------------------------------------------


def test_the_fork_itself_passes(world: World) -> None:
    passes(world)


def test_a_feature_branch_passes(world: World) -> None:
    feature(world)
    world.git("switch --quiet -c feature/y origin/carto/main~3")
    world.git("commit --quiet --allow-empty -m 'fix(ui)!: y (#3)'")
    world.git("merge --quiet --no-edit feature/x")
    world.git("""commit --quiet --allow-empty -m 'Revert "feat: x"'""")
    passes(world)


def test_a_sync_branch_passes(world: World) -> None:
    passes(world, f"ci.guard --range origin/carto/main..{SYNC}", f"origin/carto/main..{SYNC}")


def test_a_landed_sync_passes(world: World) -> None:
    before = world.git("rev-parse origin/carto/main")
    land(world, TAG)
    commit_in(world, world.origin, PRODUCTION, {"new.py": "x = 1\n"})
    world.git("fetch --quiet --no-tags origin")
    passes(
        world,
        f"ci.guard --range {before[:9]}..origin/carto/main",
        f"{before[:9]}..origin/carto/main",
    )


def test_a_healing_branch_passes(world: World) -> None:
    # The upgrade's record of the tag is the fork's own; squashed, it belongs to nobody.
    land(world, TAG, squash=True)
    world.git("tag -d", *(set(world.git("tag").split()) - {TAG, STABLE}))
    done = world.run("fork.heal --no-push")
    assert done.code == 0, done.err
    [branch] = world.git("branch --list '--format=%(refname:short)' 'heal/*'").split()
    passes(world, f"ci.guard --range origin/carto/main..{branch}", f"origin/carto/main..{branch}")


def test_a_feature_with_production_merged_in_passes(world: World) -> None:
    feature(world, "origin/carto/main")
    land(world, TAG)
    world.git("merge --quiet --no-edit origin/carto/main")
    passes(world)


def test_findings_are_printed_as_json(world: World) -> None:
    feature(world, subject="what is this")
    data = json.loads(world.run("ci.guard --json").out)
    [finding] = data.pop("findings")
    assert (finding["check"], finding["certain"]) == ("subject", True)
    base, head = (world.git(f"rev-parse {rev}") for rev in ("origin/carto/main", "HEAD"))
    told = [{"what": DEFAULT, "base": base, "head": head}]
    assert data == {"ranges": told, "passed": False}


# --- What is reported -----------------------------------------------------------------------


@pytest.mark.parametrize("branch", ["upstream/main", "origin/main~1", f"{STABLE}~1"])
def test_a_merge_of_upstreams_development_branch_is_reported(world: World, branch: str) -> None:
    feature(world)
    world.git(f"merge --quiet --strategy ours --no-edit {branch}")
    head, parent = short(world, "HEAD"), short(world, branch)
    subject = world.git("log -1 --format=%s")
    assert findings(world) == [
        f"upstream: {head} ({subject}) merges {parent} from upstream's main; "
        "only stable releases are merged"
    ]


def test_a_branch_started_from_the_mirror_is_reported(world: World) -> None:
    feature(world, "origin/main~1")
    head, parent = short(world, "HEAD"), short(world, "origin/main~1")
    assert findings(world) == [
        f"upstream: {head} (feat: x) is based on {parent} from upstream's main; "
        "only stable releases are merged"
    ]


@pytest.mark.parametrize("moved", [False, True])
def test_the_merge_that_brings_upstreams_development_is_named_in_a_new_clone(
    world: World, moved: bool
) -> None:
    """It has no branch of upstream's, the mirror is old, and upstream's may have moved since."""
    feature(world)
    world.git("merge --quiet --strategy ours --no-edit upstream/main")
    world.git("commit --quiet --allow-empty -m 'fix: more'")
    merge, parent = short(world, "HEAD~1"), short(world, "upstream/main")
    world.git("remote remove upstream")
    world.git("update-ref refs/remotes/origin/main v1.75.2-stable^{commit}")
    if moved:
        commit_in(world, world.upstream, "refs/heads/main", {"new.py": "x = 1\n"})
    done = world.run("ci.guard")
    [found] = re.findall(r"^  (upstream.*)", done.err, re.MULTILINE)
    assert f": {merge} (Merge remote-tracking branch 'upstream/main'" in found
    assert (f"merges {parent} from upstream's main" in found) is not moved
    line = re.search(r"`(git rebase .*)` leaves it out", done.err)
    assert line
    world.git(line[1].removeprefix("git "))
    passes(world)


def test_the_mirror_itself_is_reported(world: World) -> None:
    [found] = findings(world, "ci.guard --range origin/carto/main..upstream/main")
    assert found.startswith(
        f"upstream: {short(world, 'upstream/main')} is an upstream commit, not a stable release"
    )


def test_a_merge_of_a_tag_that_is_not_stable_is_reported(world: World) -> None:
    feature(world)
    world.git(f"merge --quiet --strategy ours --no-edit {NIGHTLY}")
    [found] = findings(world)
    assert found.startswith("upstream tag: ")
    assert found.endswith("which is not a stable release")
    # The tag need not be here.
    world.git(f"tag -d {NIGHTLY}")
    assert findings(world) == [found]


def test_a_squashed_sync_is_reported(world: World) -> None:
    before = world.git("rev-parse origin/carto/main")
    sync = land(world, TAG, squash=True)
    [found] = findings(world, f"ci.guard --range {before}..origin/carto/main")
    assert found.startswith(f"squashed sync: {sync[:10]} (")
    assert found.endswith("brings upstream's work with one parent only: a squash")
    line = f"ci.guard --range {before}..origin/carto/main"
    assert (
        f"\nsquashed sync: `invoke upgrade-carto --tag {TAG}` makes a merge" in world.run(line).err
    )


def test_committed_conflict_markers_are_reported(world: World) -> None:
    feature(world)
    text = "<<<<<<< ours\na\n=======\nb\n>>>>>>> theirs\n"
    (world.fork / "NOTES.md").write_text(text)
    world.git("add NOTES.md")
    world.git("commit --quiet -m 'docs: notes'")
    assert findings(world) == ["markers: NOTES.md has conflict markers in lines 1, 5"]
    ends = world.git("rev-parse origin/carto/main HEAD").split()
    of_sync = event(world, *ends) | {"GITHUB_HEAD_REF": SYNC}
    stopped = world.run("ci.guard", cwd=None, **of_sync)
    assert stopped.err.endswith("Next: invoke resolve-conflicts --pr 7\n")
    (world.fork / "NOTES.md").write_text("a\n")
    world.git("commit --quiet -am 'docs: notes'")
    passes(world)


@pytest.mark.parametrize("subject", ["what is this", "WIP", "fixup! feat: x", "\x1b[31m @team `x`"])
def test_an_unconventional_subject_is_reported(world: World, subject: str, tmp_path: Path) -> None:
    feature(world, subject=subject)
    page = tmp_path / "page"
    [found] = findings(world, GITHUB_STEP_SUMMARY=str(page))
    assert found.startswith(f"subject: {short(world, 'HEAD')} (")
    assert found.endswith(") is not a conventional commit")
    assert found.isprintable()
    assert "@team" not in page.read_text()


def test_a_fork_may_word_its_subjects_as_it_likes(world: World) -> None:
    policy = 'extends = "carto-litellm"\n[messages]\nconventional = false\n'
    push_as_colleague(world, {"carto_fork.toml": policy})
    world.git("fetch --quiet --no-tags origin")
    feature(world, subject="what is this")
    passes(world)


def test_a_sync_that_lost_a_change_is_reported(world: World) -> None:
    text = world.git("show origin/carto/main:litellm/router.py")
    theirs = world.git(f"show {TAG}:litellm/router.py")
    assert text != theirs
    base = world.git("rev-parse origin/carto/main")
    commit_in(
        world,
        world.fork,
        "refs/heads/feature/lost",
        {"litellm/router.py": theirs},
        base,
        f"{TAG}^0",
        tree=SYNC,
        message=f"chore: merge upstream {TAG} into carto/main",
    )
    line = f"ci.guard --range {base}..feature/lost"
    found = findings(world, line)
    change = f"lost: the merge of {TAG} lost the fork's change to litellm/router.py (line 4 in "
    assert found[0].startswith(f"{change}{base[:10]}): import zlib (by ")
    done = world.run(line, GITHUB_ACTIONS="true")
    marked, *_ = re.findall("::error file=litellm/router.py,line=(\\d+),title=lost::(.*)", done.out)
    assert marked == ("3", found[0].removeprefix("lost: "))
    way = f"verify --tag {TAG} --drop PATH --reason WHY"
    then = f"If it is meant to go, record why, with this branch checked out: `invoke {way}`."
    assert f"\nlost: put it back and commit. {then}\n" in done.err
    world.git("switch --quiet feature/lost")
    dropped = world.run(way.replace("PATH", "litellm/router.py").replace("WHY", "useless"))
    assert dropped.code == 0, dropped.err
    assert "lost: " not in world.run("ci.guard").err


def test_words_that_went_with_replaced_lines_are_noted(world: World) -> None:
    """Both sides changed the same line, and a person took upstream's."""
    old = world.git(f"show {TAG}:Dockerfile")
    new = old.replace("openssl openssl-dev", "openssl openssl-dev rust")
    assert new != old
    after = "v1.76.6"
    commit_in(world, world.upstream, f"refs/tags/{after}", {"Dockerfile": new}, TAG)
    world.git(f"fetch --quiet upstream tag {after} --no-tags")
    ours, theirs = (world.git(f"show {rev}:Dockerfile").splitlines() for rev in (SYNC, after))
    at = next(n for n, line in enumerate(ours) if line.startswith("# CARTO: the Snowflake"))
    ours[at + 1] = next(line for line in theirs if "openssl-dev rust" in line)
    lost = {"Dockerfile": "\n".join([*ours[:at], *ours[at + 1 :]]) + "\n"}
    commit_in(world, world.fork, "refs/heads/sync", lost, SYNC, after, message="chore: merge it")
    noted = " ".join(world.run(f"ci.guard --range {SYNC}..sync").out.split())
    where = (
        "Dockerfile no longer has the fork's lines (line 15 there); gone: `Snowflake`, `against`"
    )
    assert f"Note: in the merge of {after}: {where}" in noted


def test_what_production_itself_replaced_meanwhile_is_not_lost_in_a_sync(world: World) -> None:
    """Production's newer commit is in the branch, and what it brought must be there."""
    path, other = ".github/workflows/carto_ghcr_deploy.yaml", "litellm/router.py"
    push_as_colleague(world, {path: "on: push\n", "new.py": "NEW = 1\nOLD = 2\nMORE = 3\n"})
    world.git("fetch --quiet origin")
    world.git(f"switch --quiet {SYNC}")
    world.git("merge --quiet --no-edit origin/carto/main")
    passes(world)
    done = world.run(f"verify --tag {TAG}")
    assert done.code == 0, done.err
    (world.fork / other).write_text(world.git(f"show {TAG}:{other}") + "\n")
    world.git("rm --quiet new.py")
    world.git("commit --quiet --all -m 'fix: what is lost here'")
    lost = [finding.partition(" (")[0].rpartition(" ")[2] for finding in findings(world)]
    assert {other, "new.py"} <= {*lost}
    assert f"fork changes in {other}, new.py" in world.run(f"verify --tag {TAG}").err


def test_a_version_that_is_not_the_releases_or_lower_than_productions_is_reported(
    world: World,
) -> None:
    was = tomli.loads(world.git("show origin/carto/main:pyproject.toml"))["tool"]["poetry"][
        "version"
    ]

    def brought(version: str, start: str) -> Done:
        new = world.git(f"show {start}:pyproject.toml").replace(
            f'"{versions[start]}"', f'"{version}"'
        )
        head = commit_in(world, world.fork, "refs/heads/x", {"pyproject.toml": new + "\n"}, start)
        return world.run(f"ci.guard --range origin/carto/main..{head}")

    versions = {"origin/carto/main": was, SYNC: TAG[1:]}
    done = brought("1.70.0", "origin/carto/main")
    assert f"\n  version: the version would be 1.70.0, which is lower than {was}\n" in done.err
    assert brought(f"{was}.1", "origin/carto/main").code == 0
    for other in ("1.70.0", "1.99.0"):
        done = brought(other, SYNC)
        assert f"version is {other}, the tag is {TAG[1:]}\n" in done.err, done
    # The fork counted on; only the release's own version can be released.
    assert brought("1.75.2", "origin/carto/main").code == 0


def test_a_loss_that_was_fixed_after_the_merge_passes(world: World) -> None:
    theirs = world.git(f"show {TAG}:litellm/router.py")
    mended = world.git(f"show {SYNC}:litellm/router.py") + "\n"
    base, ref = world.git("rev-parse origin/carto/main"), "refs/heads/feature/mended"
    files = {"litellm/router.py": theirs}
    parents = (base, f"{TAG}^0")
    commit_in(world, world.fork, ref, files, *parents, tree=SYNC, message="chore: merge")
    commit_in(world, world.fork, ref, {"litellm/router.py": mended}, message="fix: bring it back")
    passes(world, f"ci.guard --range {base}..feature/mended", f"{base}..feature/mended")


def test_all_findings_are_reported_at_once(world: World) -> None:
    feature(world, subject="nothing said")
    world.git(f"merge --quiet --strategy ours --no-edit {NIGHTLY}")
    world.git("merge --quiet --strategy ours --no-edit upstream/main")
    checks = [line.partition(":")[0] for line in findings(world)]
    assert checks == ["upstream", "upstream tag", "subject"]


# --- In GitHub Actions ----------------------------------------------------------------------


def test_the_commits_of_a_pull_request_are_checked(world: World) -> None:
    feature(world, "upstream/main", subject="odd")
    base, head = world.git("rev-parse origin/carto/main HEAD").split()
    world.git("switch --quiet carto/main")
    checks = [
        line.partition(":")[0] for line in findings(world, "ci.guard", **event(world, base, head))
    ]
    assert checks == ["upstream", "subject"]
    good = world.git("rev-parse origin/carto/main~1")
    what = "the pull request from feature/x to carto/main"
    passes(world, what=what, **event(world, good, base))


def test_only_somebody_else_who_may_push_lets_a_pull_request_change_the_guard(
    world: World,
) -> None:
    """An approval of that very commit, not dismissed, by somebody with push access."""
    world.git("switch --quiet -c feature/x origin/carto/main")
    (world.fork / "carto_fork.toml").write_text('extends = "carto-litellm"\n')
    world.git("add carto_fork.toml")
    world.git("commit --quiet -m 'chore: our own policy'")
    base, head = world.git("rev-parse origin/carto/main HEAD").split()
    gh = world.place / "gh"
    world.git("config carto-fork.gh", str(gh))
    for said, permission, wanted in (
        ([("ann", "COMMENTED", head)], "write", ["approval"]),
        ([("ann", "APPROVED", base)], "write", ["approval"]),
        ([("eve", "APPROVED", head)], "read", ["approval"]),
        ([("ann", "APPROVED", head), ("ann", "DISMISSED", head)], "write", ["approval"]),
        ([("ann", "APPROVED", head)], "write", []),
    ):
        lines = "\n".join("\t".join(each) for each in said)
        answers = f"*/pulls/7/reviews*) echo '{lines}' ;; *permission*) echo {permission} ;;"
        gh.write_text(f'#!/bin/sh\ncase "$*" in {answers} esac\n')
        gh.chmod(0o755)
        done = world.run("ci.guard --json", cwd=None, **event(world, base, head))
        assert [each["check"] for each in json.loads(done.out)["findings"]] == wanted, said
    gh.write_text(
        "#!/bin/sh\necho 'Resource not accessible by integration (HTTP 403)' >&2\nexit 1\n"
    )
    done = world.run("ci.guard", cwd=None, **event(world, base, head))
    assert "this job could not find out: gh could not read the reviews" in " ".join(
        done.err.split()
    )
    assert "HTTP 403" in done.err and "Next: let this job's gh read pull requests" in done.err


def test_a_pull_request_cannot_change_what_the_guard_calls_or_who_approves(
    world: World,
) -> None:
    """What production's guard calls, not what the pull request's does."""
    guard = ".github/workflows/carto-guard.yml"
    step = "jobs:\n  guard:\n    steps:\n      - uses: ./.github/actions/judge\n"
    step += "  more:\n    uses: './.github/workflows/called.yml'\n"
    judge = "runs:\n  steps:\n    - uses: ./.github/actions/inner\n"
    files = {guard: step, ".github/actions/judge/action.yml": judge}
    world.git("fetch --quiet origin")
    base = commit_in(world, world.fork, "refs/remotes/origin/carto/main", files)
    gh = world.place / "gh"
    gh.write_text("#!/bin/sh\n")  # nobody has approved anything
    gh.chmod(0o755)
    world.git("config carto-fork.gh", str(gh))
    evil = dict.fromkeys(
        [
            ".github/CODEOWNERS",
            ".github/actions/judge/action.yml",
            ".github/actions/judge/run.sh",
            ".github/actions/judged.yml",
            ".github/actions/inner/run.sh",
            ".github/workflows/called.yml",
        ],
        "evil\n",
    )
    head = commit_in(world, world.fork, "refs/heads/feature/x", evil, base, message="feat: x")
    done = world.run("ci.guard --json", cwd=None, **event(world, base, head))
    [judged] = json.loads(done.out)["findings"]
    for path in evil:
        assert (path in judged["what"]) is not path.endswith("judged.yml")
    assert done.err.endswith("Next: once it is approved, run this job again (Re-run jobs).\n")
    local = world.run("ci.guard", f"--range={base}..{head}")
    assert (local.code, local.err) == (0, "")
    assert f"Note: {base}..{head} changes .github/" in " ".join(local.out.split())


def test_a_pull_request_to_another_branch_is_not_checked(world: World) -> None:
    for into in ("backports", "docs"):
        done = world.run("ci.guard", cwd=None, **event(world, "x", "y", into))
        assert (done.code, done.out) == (0, "Nothing in this push goes to carto/main.\n")


@pytest.mark.parametrize("head", ["0" * 39 + "1", "HEAD", "--upload-pack=x", ""])
def test_a_pull_request_with_a_missing_commit_is_refused(world: World, head: str) -> None:
    base = world.git("rev-parse origin/carto/main")
    done = world.run("ci.guard", cwd=None, **event(world, base, head))
    assert done.code == 1 and done.out.startswith("::error title=Refused::the commit ")
    assert "of the pull request is not in this clone" in done.err and "fetch-depth: 0" in done.err


def test_a_job_without_an_event_file_is_refused(world: World) -> None:
    said = {
        str(
            world.place / "none"
        ): "~/none, which GITHUB_EVENT_PATH names, does not describe a pull",
        "": "GITHUB_EVENT_PATH names no file about the pull request.",
    }
    for path, what in said.items():
        variables = event(world, "x", "y") | {"GITHUB_EVENT_PATH": path}
        done = world.run("ci.guard", cwd=None, **variables)
        assert (done.code, done.err.startswith(f"Refused: {what}")) == (1, True)


def test_a_clone_without_the_upstream_remote_is_checked(world: World) -> None:
    """As a workflow checks it out: only origin, with its whole history."""
    world.git("remote remove upstream")
    feature(world)
    passes(world)
    world.git("merge --quiet --strategy ours --no-edit origin/main")
    assert len(findings(world)) == 1


# --- As git's hook --------------------------------------------------------------------------


def hook(world: World, lines: str) -> Done:
    """Run it as git runs a pre-push hook."""
    ended = subprocess.run(
        [*INVOKE, "--search-root", str(ROOT), "ci.guard", "--pre-push"],
        cwd=world.fork,
        input=lines,
        capture_output=True,
        text=True,
        timeout=120,
    )
    return Done(ended.returncode, world.neutral(ended.stdout), world.neutral(ended.stderr))


def test_a_push_to_production_is_checked_by_the_hook(world: World) -> None:
    feature(world, subject="odd")
    path = world.fork / ".git" / "hooks" / "pre-push"
    path.parent.mkdir(exist_ok=True)
    line = " ".join([*INVOKE, "--search-root", str(ROOT), "ci.guard", "--pre-push"])
    path.write_text(f"#!/bin/sh\nexec {line}\n")
    path.chmod(0o755)
    before = world.refs(world.origin)
    done = world.call(["git", "push", "--quiet", "origin", "HEAD:carto/main"])
    assert done.code == 1
    assert "(odd) is not a conventional commit" in done.err
    assert "Next: fix the branch, then run `git push` again.\n" in done.err
    assert "subject: `git rebase --interactive --rebase-merges " in done.err
    world.git("worktree add --quiet --detach ../elsewhere")
    world.git("switch --quiet carto/main")
    odd = world.call(["git", "-C", "../elsewhere", "push", "--quiet", "origin", "HEAD:carto/main"])
    assert "subject: `git -C ~/elsewhere rebase --interactive " in odd.err
    world.git("switch --quiet -")
    world.git("worktree remove ../elsewhere")
    assert world.refs(world.origin) == before
    world.git("commit --quiet --amend --allow-empty -m 'fix: x'")
    assert world.call(["git", "push", "--quiet", "origin", "HEAD:carto/main"]).code == 0
    assert world.refs(world.origin)[PRODUCTION] == world.git("rev-parse HEAD")


def test_the_hooks_line_typed_on_a_terminal_does_not_wait(world: World) -> None:
    ours, theirs = pty.openpty()
    words = [*INVOKE, "--search-root", str(ROOT), "ci.guard", "--pre-push"]
    ended = subprocess.run(words, cwd=world.fork, stdin=theirs, stderr=subprocess.PIPE, timeout=120)
    os.close(ours)
    os.close(theirs)
    said = world.neutral(ended.stderr.decode())
    assert ended.returncode == 2
    assert said.endswith("Next: `invoke ci.guard` checks what is checked out.\n")
    said = "Git pushes nothing: origin has it, or git refuses the push.\n"
    assert hook(world, "") == Done(0, said, "")


def test_a_proposal_reaches_its_pull_request_and_does_not_land(world: World) -> None:
    text = f'[[proposal]]\npath = "Dockerfile"\nby = "assistant"\nrelease = "{TAG}"\n'
    files = {"carto_proposals.toml": text}
    head = commit_in(world, world.fork, f"refs/heads/{SYNC}", files, message="chore: proposed")
    base, none = world.git("rev-parse origin/carto/main"), "0" * 40
    done = hook(world, f"refs/heads/{SYNC} {head} refs/heads/{SYNC} {none}\n")
    assert done.code == 0, done.err
    assert f"--pr {SYNC} --accept-proposal Dockerfile" in " ".join(done.out.split())
    done = hook(world, f"refs/heads/{SYNC} {head} {PRODUCTION} {base}\n")
    assert (done.code, "proposal: Dockerfile: what" in done.err) == (4, True)


@pytest.mark.slow
def test_only_pushes_to_production_and_sync_branches_matter(world: World) -> None:
    feature(world, subject="odd")
    head, base = world.git("rev-parse HEAD origin/carto/main").split()
    none = "0" * 40
    fine = [
        f"refs/heads/feature/x {head} refs/heads/feature/x {none}",
        f"refs/tags/x {head} refs/tags/x {none}",
        f"(delete) {none} refs/heads/upstream-sync/v1.76.3 {base}",
    ]
    done = hook(world, "".join(f"{line}\n" for line in fine))
    assert (done.code, done.out) == (0, "Nothing in this push goes to carto/main.\n")
    for ref, before in ((PRODUCTION, base), (f"refs/heads/{SYNC}", none), (PRODUCTION, "1" * 40)):
        stopped = hook(world, f"{fine[0]}\nHEAD {head} {ref} {before}\n")
        assert stopped.code == 4, ref
        assert "is not a conventional commit" in stopped.err
    assert hook(world, "").code == 0
    strange = hook(world, "a b\n")
    assert strange.code == 2 and "is not a line that git gives a pre-push hook" in strange.err


# --- Refusals -------------------------------------------------------------------------------


@pytest.mark.parametrize("given", ["HEAD", "a...b", "..b", "a..", "--all..b", "a..b..c"])
def test_an_invalid_range_is_refused(world: World, given: str) -> None:
    done = world.run("ci.guard", f"--range={given}")
    assert (done.code, done.out) == (2, "")
    assert "name two commits, as in --range A..B." in done.err


def test_a_range_with_an_unknown_commit_is_refused(world: World) -> None:
    done = world.run("ci.guard --range HEAD..nope")
    assert done.err == message("this clone has no commit 'nope'.", "name one that `git log` shows.")


def test_range_and_pre_push_exclude_each_other(world: World) -> None:
    assert world.run("ci.guard --range HEAD..HEAD --pre-push").code == 2


def test_known_tags_are_used_if_upstream_cannot_be_reached(world: World) -> None:
    feature(world)
    path = shim(world, 'case " $* " in *" ls-remote "*) exit 128 ;; esac; exec "$GIT" "$@"')
    done = world.run("ci.guard", PATH=path)
    assert done.code == 0
    assert "Note: upstream cannot be reached; using the tags in this clone." in done.out


def test_the_guard_stops_if_nothing_of_upstream_is_known(world: World) -> None:
    world.git("remote set-url upstream ../gone.git")
    for ref in ("upstream/main", "origin/main"):
        world.git(f"update-ref -d refs/remotes/{ref}")
    done = world.run("ci.guard")
    assert done.code == 1
    assert "neither upstream's branches nor origin's main" in done.err


def own_policy(world: World, text: str, branch: str = "feature/x") -> str:
    """A branch from production that changes the policy, checked out; the commit."""
    world.git("fetch --quiet origin")
    world.git(f"switch --quiet --no-track -c {branch} origin/carto/main")
    (world.fork / "carto_fork.toml").write_text(text)
    world.git("add carto_fork.toml")
    world.git("commit --quiet -m 'fix: our policy'")
    return world.git("rev-parse HEAD")


VALID, TYPO = 'extends = "carto-litellm"\n', 'extends = "carto-litellm"\ncomand = "x"\n'


def test_a_policy_whose_releases_no_task_would_know_is_reported(world: World) -> None:
    wrong = VALID + '[releases]\ntag = "x-{upstream}-{version}"\n'
    own_policy(world, wrong)
    done = world.run("ci.guard")
    assert done.code == 4 and "  policy: " in done.err
    assert "`releases.tag` makes the name x-1.77.2-0.1.0" in done.err
    refused = world.run("branch.pr")
    assert refused.code == 1 and "`releases.tag` makes the name x-1.77.2-0.1.0" in refused.err


def test_a_policy_that_would_not_be_valid_on_production_is_reported(world: World) -> None:
    head = own_policy(world, TYPO)
    said = f"carto_fork.toml at {head[:10]}: top level: object contains unknown field `comand`"
    done = world.run("ci.guard")
    assert (
        done.code == 4
        and f"\n  policy: {said.replace(f' at {head[:10]}', '')}; expected one of" in done.err
    )
    checked = world.run("doctor --check policy --offline")
    assert checked.code == 4 and "carto_fork.toml: top level: object contains" in checked.out
    check = "To check it:\n# invoke doctor --check policy\n"
    assert check in world.run("fork.config").out
    refused = world.run("branch.pr")
    assert refused.code == 1 and refused.err.startswith(f"Refused: {said}")
    (world.fork / "carto_fork.toml").write_text(VALID)
    checked = world.run("doctor --check policy --offline")
    assert checked.code == 0 and "carto_fork.toml is valid." in checked.out
    assert "the policy in force is default (carto-litellm);" in checked.out
    # Each of two changes is valid, and what git makes of both is not.
    rule = '\n[[rules]]\nname = "mine"\npaths = ["x"]\ntake = "fork"\nwhy = "{}"\n'
    many = "".join(f"# {n}\n" for n in range(9))
    push_as_colleague(world, {"carto_fork.toml": f"{VALID}{many}"})
    world.git("restore .")
    own_policy(world, f"{VALID}{many}{rule.format('One.')}", "feature/y")
    push_as_colleague(world, {"carto_fork.toml": f"{VALID}{rule.format('Two.')}{many}"})
    world.git("fetch --quiet origin")
    assert "policy: carto_fork.toml: top level: two rules are named 'm" in world.run("ci.guard").err


@pytest.mark.parametrize("file", ["carto_drops.toml", "carto_tags.toml", "carto_proposals.toml"])
def test_a_record_that_would_not_be_valid_is_reported_and_can_be_corrected(
    world: World, file: str
) -> None:
    feature(world)
    base = world.git("rev-parse HEAD")
    commit_in(world, world.fork, "refs/heads/feature/x", {file: "x = [\n"}, message="feat: x")
    [found] = findings(world, f"ci.guard --range {base}..feature/x")
    assert found.startswith(f"record: {file} is not valid")
    broken = world.git("rev-parse feature/x")
    commit_in(world, world.fork, "refs/heads/feature/x", {file: ""}, message="fix: x")
    what = f"{broken}..feature/x"
    passes(world, f"ci.guard --range {what}", what)


def test_an_invalid_policy_on_production_is_corrected_by_a_pull_request(world: World) -> None:
    old = world.git("rev-parse origin/carto/main")
    push_as_colleague(world, {"carto_fork.toml": TYPO})
    head = own_policy(world, VALID)
    base = world.git("rev-parse origin/carto/main")
    job = event(world, base, head)
    gh = world.place / "gh"
    world.git("config carto-fork.gh", str(gh))
    for who, wanted in (("", ["approval"]), ("ann", [])):
        answer = (
            f"*/pulls/7/reviews*) echo '{who}\tAPPROVED\t{head}' ;; *permission*) echo write ;;"
        )
        gh.write_text(f'#!/bin/sh\ncase "$*" in {answer if who else ""} esac\n')
        gh.chmod(0o755)
        done = world.run("ci.guard --json", cwd=None, **job)
        assert [each["check"] for each in json.loads(done.out)["findings"]] == wanted, done.err
        assert "unknown field `comand`" in done.err and "corrects it, and is checked by" in done.err
    # Nothing else does: what is invalid, what is older, and another repository's or branch's.
    others = {"feature/y": TYPO + "x = 1\n", "feature/z": VALID + '[branches]\nproduction = "x"\n'}
    others["feature/o"] = VALID + '[remotes.origin]\nurl = "https://github.com/eve/litellm"\n'
    world.git("remote set-url origin https://github.com/CartoDB/litellm")
    commits = [
        commit_in(world, world.fork, f"refs/heads/{name}", {"carto_fork.toml": text}, base)
        for name, text in others.items()
    ]
    commits.append(commit_in(world, world.fork, "refs/heads/feature/p", {"new.py": "\n"}, old))
    for commit in commits:
        done = world.run("ci.guard", cwd=None, **event(world, base, commit))
        assert (done.code, "carto_fork.toml at" in done.err) == (1, True), done
    stopped = world.run("bump-version --to 1.0").err
    [start] = re.findall(r"Next: `(.* switch .*)`, correct carto_fork.toml there", stopped)
    assert world.paste(start).code == 0


def test_a_push_that_fixes_the_policy_is_checked_with_the_new_policy(world: World) -> None:
    text = 'extends = "carto-litellm"\n'
    push_as_colleague(world, {"carto_fork.toml": "name = [\n"})
    world.git("fetch --quiet origin")
    world.git("switch --quiet -C carto/main origin/carto/main")
    (world.fork / "carto_fork.toml").write_text(text)
    world.git("add carto_fork.toml")
    world.git("commit --quiet -m 'fix: a policy that is valid'")
    head, there = (world.git(f"rev-parse {rev}") for rev in ("HEAD", "HEAD^"))

    def pushed(commit: str) -> Done:
        line = f"refs/heads/carto/main {commit} {PRODUCTION} {there}\n"
        words = [*INVOKE, "--search-root", str(ROOT), "ci.guard", "--pre-push"]
        ended = subprocess.run(words, input=line, cwd=world.fork, capture_output=True, text=True)
        return Done(ended.returncode, ended.stdout, ended.stderr)

    assert pushed(head).code == 0, pushed(head).err
    refused = pushed(there)
    assert refused.code == 1 and "not valid TOML" in refused.err
    # A branch that goes to no pull request yet may be pushed with it.
    done = hook(world, f"refs/heads/x {there} refs/heads/x {'0' * 40}\n")
    assert done.code == 0 and done.out.endswith("\nNothing in this push goes to production.\n")
