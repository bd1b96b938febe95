"""What `upgrade-carto` refuses: the whole message, and that nothing is touched."""

from __future__ import annotations

import re
from typing import Any

import pytest

from world import World, commit_in, message, push_as_colleague, shim

TAG = "v1.76.5"
SYNC = f"upstream-sync/{TAG}"
UPGRADE = f"upgrade-carto --tag {TAG}"
UPSTREAM_URL = "https://github.com/BerriAI/litellm.git"
ORIGIN_URL = "https://github.com/CartoDB/litellm.git"

NAMED = "name the fork's clone with --repo, or if this is it: "
UNKNOWN = (
    "`invoke fork.init`, if this fork has no policy yet; or name the fork's clone with --repo."
)
NOTHING = "Nothing was changed."
FETCHED = "Your checkout, your branches and origin are unchanged."
"""What is left alone where the release has been fetched already."""

AGAIN = f"then run `invoke {UPGRADE}` again."
STABLE = "choose a stable release; `invoke status` names the newest one."
NEWER = "choose a newer release; `invoke status` names the newest one."


def refused(
    world: World, said: str, line: str = UPGRADE, *words: str, code: int = 1, **variables: str
) -> None:
    """Run a task that refuses with this message, and changes nothing.

    If the message does not say that nothing was changed, the release may have been fetched.
    """
    before = everything(world)
    done = world.run(line, *words, cwd=None, **variables)
    assert (done.err, done.code) == (said, code)
    after = everything(world)
    if NOTHING not in said:
        assert after["tags"].keys() - before["tags"].keys() <= {f"refs/tags/{TAG}"}
        del before["tags"], after["tags"], before["remotes"], after["remotes"]
    assert after == before


def everything(world: World) -> dict[str, Any]:
    """Everything that a refusal leaves alone: checkout, refs, settings, work trees, siblings."""
    checkout, here, origin, upstream = world.everything()
    tags = {ref: name for ref, name in here.items() if ref.startswith("refs/tags/")}
    return {
        "checkout": checkout,
        "tags": tags,
        "branches": {ref: name for ref, name in here.items() if ref not in tags},
        "remotes": world.git("for-each-ref refs/remotes"),
        "origin": origin,
        "upstream": upstream,
        "settings": (world.fork / ".git" / "config").read_text(),
        "merging": (world.fork / ".git" / "MERGE_HEAD").exists(),
        "work trees": world.git("worktree list --porcelain"),
        "beside": sorted(path.name for path in world.place.iterdir()),
    }


# --- The remotes -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "what", "then"),
    [
        pytest.param(
            "remote remove upstream",
            "the remote `upstream` is missing.",
            f"`invoke setup`, or: git remote add upstream {UPSTREAM_URL}",
            id="no upstream",
        ),
        pytest.param(
            "remote remove origin",
            "the remote `origin` is missing.",
            f"`invoke setup`, or: git remote add origin {ORIGIN_URL}",
            id="no origin",
        ),
        pytest.param(
            "remote set-url upstream https://github.com/somebody/litellm.git",
            "the remote `upstream` is https://github.com/somebody/litellm.git, "
            f"not {UPSTREAM_URL}.",
            f"git remote set-url upstream {UPSTREAM_URL}",
            id="somebody else's upstream",
        ),
        pytest.param(
            "remote set-url origin git@github.com:somebody/litellm.git",
            f"the remote `origin` is git@github.com:somebody/litellm.git, not {ORIGIN_URL}.",
            UNKNOWN,
            id="somebody else's origin",
        ),
        pytest.param(
            "remote set-url origin https://me:hunter2@github.com/somebody/litellm.git",
            "the remote `origin` is https://***@github.com/somebody/litellm.git, "
            f"not {ORIGIN_URL}.",
            UNKNOWN,
            id="with a password",
        ),
        pytest.param(
            "config remote.origin.pushurl git@github.com:somebody/litellm.git",
            f"the remote `origin` is git@github.com:somebody/litellm.git, not {ORIGIN_URL}.",
            f"{NAMED}git remote set-url --push origin {ORIGIN_URL}",
            id="pushes somewhere else",
        ),
        pytest.param(
            "remote set-url origin https://github.com/BerriAI/litellm",
            f"the remote `origin` is https://github.com/BerriAI/litellm, not {ORIGIN_URL}.",
            UNKNOWN,
            id="origin is upstream",
        ),
        pytest.param(
            "remote set-url upstream https://github.com/CartoDB/litellm",
            f"the remote `upstream` is https://github.com/CartoDB/litellm, not {UPSTREAM_URL}.",
            f"git remote set-url upstream {UPSTREAM_URL}",
            id="upstream is origin",
        ),
        pytest.param(
            "remote set-url upstream ../gone.git",
            "the remote `upstream` cannot be reached.",
            "check the network and your access: git ls-remote upstream",
            id="upstream unreachable",
        ),
        pytest.param(
            "remote set-url origin ../gone.git",
            "the remote `origin` cannot be reached.",
            "check the network and your access: git ls-remote origin",
            id="origin unreachable",
        ),
    ],
)
def test_a_wrong_or_missing_remote_is_refused(
    world: World, settings: str, what: str, then: str
) -> None:
    world.git(settings)
    refused(world, message(what, then))


def test_one_repository_for_both_remotes_is_refused(world: World) -> None:
    world.git("remote set-url origin", str(world.origin))
    world.git("remote set-url upstream", str(world.origin))
    what = "the remotes `origin` and `upstream` are the same repository, ~/origin.git."
    refused(world, message(what, f"git remote set-url upstream {UPSTREAM_URL}"))


def test_origin_without_a_production_branch_is_refused(world: World) -> None:
    world.git("symbolic-ref HEAD refs/heads/main", repo=world.origin)
    world.git("update-ref -d refs/heads/carto/main", repo=world.origin)
    then = (
        "check `branches.production` in the policy (`invoke fork.config`), "
        "and the remote: git ls-remote origin"
    )
    refused(world, message("origin has no branch carto/main.", then))


# --- The tag ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tag", "called"),
    [
        ("v1.77.0-nightly", "a nightly"),
        ("v1.78.0.rc.1", "a release candidate"),
        ("v1.75.5.dev1", "a development build"),
        ("v1.78.0-stable-draft", "a stable draft"),
        ("stable", "a moving tag or branch image"),
        ("latest", "a moving tag or branch image"),
        ("v1.75.2-carto.1.2.0", "a CARTO release"),
    ],
)
def test_a_tag_that_is_not_stable_is_refused(world: World, tag: str, called: str) -> None:
    what = f"{tag} is {called}; only stable upstream releases are merged."
    refused(world, message(what, STABLE), f"upgrade-carto --tag {tag}")


@pytest.mark.parametrize(
    ("tag", "near"),
    [
        ("v1.76.9", "v1.76.3, v1.76.5, v1.77.2-stable"),
        ("v2.0.0", "v1.76.3, v1.76.5, v1.77.2-stable"),
        ("main", "v1.76.3, v1.76.5, v1.77.2-stable"),
        ("upstream/main", "v1.76.3, v1.76.5, v1.77.2-stable"),
        ("refs/tags/v1.76.5", "v1.76.3, v1.76.5, v1.77.2-stable"),
    ],
)
def test_a_tag_that_upstream_lacks_is_refused_with_the_nearest_ones(
    world: World, tag: str, near: str
) -> None:
    what = f"upstream has no tag {tag}. The nearest stable ones: {near}."
    then = "name a tag that upstream has, as in --tag v1.77.2-stable"
    refused(world, message(what, then), f"upgrade-carto --tag {tag}")


HOSTILE = [
    "--help",
    "v1;touch${IFS}pwned",
    "v1$(touch${IFS}pwned)",
    "v1`touch${IFS}pwned`",
    "v1.76.5 --force",
    "v1.76.5\ntouch pwned",
    "v1.76.5\x1b[2J",
    "v1.76.5:refs/heads/main",
    "{tag}",
]
LEGAL = [name for name in HOSTILE if "touch$" in name] + ["--help", "--force"]
"""Those that are names of refs, as git allows them."""


def test_a_name_that_no_release_can_have_is_refused(world: World) -> None:
    """Which names these are is tested in tests/unit/test_tags.py."""
    for legal in LEGAL:
        world.git("update-ref", f"refs/tags/{legal}", "v1.76.5^0", repo=world.upstream)
    for name in HOSTILE:
        what = (
            f"{name!r} is not the name of a release: letters, digits and . _ + / - only, "
            "beginning with a letter or a digit."
        )
        then = "name the tag as upstream lists it, for example --tag v1.76.5"
        refused(world, message(what, then), "upgrade-carto", f"--tag={name}")
        refused(world, message(what, then), "upgrade-carto", "--tag", name)
    assert not list(world.place.rglob("pwned"))


def test_a_v_may_be_typed_that_upstream_does_not(world: World) -> None:
    policy = 'extends = "carto-litellm"\n[[tags]]\nname = "plain"\nuse = "automatic"\n'
    policy += "pattern = '(?P<version>\\d+\\.\\d+\\.\\d+)'\n"
    commit_in(world, world.origin, "refs/heads/carto/main", {"carto_fork.toml": policy})
    world.git("tag 1.76.5 v1.76.5", repo=world.upstream)
    world.git("tag -d v1.76.5", repo=world.upstream)
    world.git("fetch --quiet origin")
    done = world.run("upgrade-carto --no-tests --no-push --tag v1.76.5")
    assert done.code == 0, done.err
    assert "Note: upstream has no tag v1.76.5; using 1.76.5.\n" in done.out
    for line in ("forecast v1.76.5", "verify --tag v1.76.5"):
        assert "not a release" not in world.run(line).err


def test_hostile_tags_of_upstream_are_never_a_command(world: World) -> None:
    for legal in LEGAL:
        world.git("update-ref", f"refs/tags/{legal}", "v1.76.5^0", repo=world.upstream)
    near = "v1.76.3, v1.76.5, v1.77.2-stable"
    what = f"upstream has no tag v2.0.0. The nearest stable ones: {near}."
    then = "name a tag that upstream has, as in --tag v1.77.2-stable"
    refused(world, message(what, then), "upgrade-carto --tag v2.0.0")
    assert world.run("status").code == 0
    assert world.run(f"{UPGRADE} --no-tests").code == 0
    assert not list(world.place.rglob("pwned"))


@pytest.mark.parametrize("where", ["fork", "origin", "upstream"])
def test_a_branch_named_like_the_tag_is_not_merged(world: World, where: str) -> None:
    start = "origin/main" if where == "fork" else "main"
    world.git(f"branch --no-track {TAG} {start}", repo=getattr(world, where))
    done = world.run(f"{UPGRADE} --no-tests")
    assert done.code == 0, done.err
    parents = world.git(
        f"log --merges --first-parent -1 --format=%P {SYNC}", repo=world.origin
    ).split()
    assert parents == [
        world.git("rev-parse refs/heads/carto/main", repo=world.origin),
        world.git(f"rev-parse refs/tags/{TAG}^0", repo=world.upstream),
    ]


def test_an_older_release_is_refused(world: World) -> None:
    who = "-c user.name=Bot -c user.email=bot@example.com"
    old = world.git(f"{who} commit-tree -m old v1.75.2^{{tree}}", repo=world.upstream)
    world.git(f"update-ref refs/tags/v1.75.1 {old}", repo=world.upstream)
    before = world.refs(world.fork)
    done = world.run("upgrade-carto --tag v1.75.1")
    what = "v1.75.1 is not newer than 1.75.2.1, the version on carto/main."
    assert (done.err, done.code) == (message(what, NEWER, FETCHED), 1)
    assert world.refs(world.fork) == before | {"refs/tags/v1.75.1": old}


BUMP = "invoke branch.start --name version && invoke bump-version --tag v1.75.2-stable"
LOWER = f"{BUMP} && invoke branch.pr"


def test_a_release_of_the_version_on_production_is_refused_with_both_ways_on(world: World) -> None:
    """`next` and `fork.heal` name them, too: nobody is led to what is refused."""
    newest = "v1.77.2-stable"
    project = (world.fork / "pyproject.toml").read_text()
    push_as_colleague(world, {"pyproject.toml": project.replace("1.75.2.1", "1.77.2")})
    what = (
        f"{newest} is not newer than 1.77.2, the version on carto/main, although carto/main "
        "contains no merge of it, and nothing proves that a commit brought it."
    )
    again = f"invoke upgrade-carto --tag {newest} --unhealed"
    lower = f"if somebody only raised the version, lower it: `{LOWER}`"
    then = f"run `{again}` to merge {newest} all the same; or, {lower}."
    done = world.run(f"upgrade-carto --tag {newest}")
    assert (done.err, done.code) == (message(what, then, FETCHED), 1)
    world.git("fetch --quiet origin")
    world.git("fetch --quiet --no-tags upstream")
    following = world.run("next").out
    assert following.startswith(f"{again}\n") and LOWER in following
    said = " ".join(world.run("fork.heal").out.replace("`", "").split())
    assert said.endswith(f"Next: {again} merges {newest}; or, {lower}".replace("`", ""))
    assert world.paste(f"{again} --dry").code == 0


def test_a_release_older_than_the_version_on_production_is_refused_with_the_way_on(
    world: World,
) -> None:
    project = (world.fork / "pyproject.toml").read_text()
    push_as_colleague(world, {"pyproject.toml": project.replace("1.75.2.1", "1.99.0")})
    what = f"{TAG} is not newer than 1.99.0, the version on carto/main."
    lower = f"if somebody only raised the version, lower it: `{LOWER}`"
    newer = "choose a newer release; `invoke status` names the newest one"
    refused(world, message(what, f"{newer}; or, {lower}.", FETCHED))
    world.git("fetch --quiet origin")
    assert world.run("next").out.startswith(f"{LOWER}\n")
    assert world.paste(BUMP).code == 0


def test_a_tag_that_is_merged_already_is_nothing_to_do(world: World) -> None:
    world.git("fetch --quiet upstream tag v1.75.2 --no-tags")
    what = "carto/main already contains v1.75.2."
    then = "`invoke next` says what to do now."
    said = message(what, then, FETCHED, title="Nothing to do")
    refused(world, said, "upgrade-carto --tag v1.75.2", code=0)


def test_a_local_tag_that_differs_from_upstreams_is_refused(world: World) -> None:
    world.git(f"tag {TAG} carto/main")
    mine = world.git("rev-parse carto/main")[:10]
    theirs = world.git(f"rev-parse {TAG}^0", repo=world.upstream)[:10]
    what = f"your tag {TAG} is {mine}, upstream's is {theirs}: one of them was moved."
    then = f"find out which is right; to take upstream's: git tag -d {TAG}"
    refused(world, message(what, then))


@pytest.mark.parametrize("line", ["", " --tag=", " --direct"])
def test_an_upgrade_without_a_tag_is_a_wrong_command_line(world: World, line: str) -> None:
    said = message(
        "which release? --tag is missing.",
        "add --tag with a release; `invoke status` names the newest one.",
        title="Usage",
    )
    before = everything(world)
    done = world.run(f"upgrade-carto{line}")
    assert (done.err, done.code) == (said, 2)
    assert everything(world) == before


def test_advice_for_a_missing_tag_names_the_same_fork(world: World) -> None:
    said = message(
        "which release? --tag is missing.",
        "add --tag with a release; `invoke status --repo litellm` names the newest one.",
        title="Usage",
    )
    done = world.run("upgrade-carto --repo litellm", cwd=world.place)
    assert (done.err, done.code) == (said, 2)


def test_abort_without_a_tag_is_a_wrong_command_line(world: World) -> None:
    done = world.run("upgrade-carto --abort")
    assert done.err.startswith("Usage: which release? --tag is missing.\nNothing was changed.\n")
    assert done.code == 2


def test_abort_is_refused_if_no_upgrade_is_in_progress(world: World) -> None:
    said = message(f"no upgrade to {TAG} is in progress here.", "see `invoke status`.")
    refused(world, said, f"{UPGRADE} --abort --repo ../litellm")


# --- The clone -------------------------------------------------------------------------------


@pytest.mark.parametrize("paused", [False, True])
def test_direct_is_refused_with_uncommitted_changes(world: World, paused: bool) -> None:
    """Also after a pause, when the sync branch is still where production is."""
    line = UPGRADE.replace(TAG, "v1.77.2-stable") if paused else UPGRADE
    line += " --direct"
    if paused:
        assert world.run(line).code == 3
    (world.fork / "README.md").write_text("changed\n")
    what = "~/litellm, where carto/main is checked out, has uncommitted changes: "
    then = f"commit or stash them, then run `invoke {line}` again."
    refused(world, message(f"{what}README.md.", then, FETCHED), line)


@pytest.mark.parametrize(
    ("command", "options", "what", "then"),
    [
        pytest.param(
            "merge --no-ff --no-commit --strategy ours origin/main",
            " --direct",
            "a merge is in progress in ~/litellm, where carto/main is checked out.",
            "git -C ~/litellm merge --continue (or --abort), "
            f"then run `invoke {UPGRADE} --direct` again.",
            id="merge in progress",
        ),
        pytest.param(
            "commit --allow-empty --message mine",
            " --direct",
            "your carto/main has 1 commit that origin lacks.",
            "git push origin carto/main",
            id="ahead of origin",
        ),
        pytest.param(
            f"switch --create {SYNC}",
            "",
            f"{SYNC} is checked out in ~/litellm, but only this upgrade may use it.",
            f"git -C ~/litellm switch carto/main, {AGAIN}",
            id="sync branch checked out",
        ),
    ],
)
def test_a_clone_that_is_not_ready_for_the_upgrade_is_refused(
    world: World, command: str, options: str, what: str, then: str
) -> None:
    world.git(command)
    refused(world, message(what, then, FETCHED), UPGRADE + options)


@pytest.mark.parametrize("options", ["", " --direct"])
def test_diverged_production_branches_are_refused(world: World, options: str) -> None:
    world.git("commit --allow-empty --message mine")
    push_as_colleague(world, {"README.md": "theirs\n"})
    said = message(
        "your carto/main and origin's have diverged (1 and 1 commits of their own).",
        "git log --oneline --left-right carto/main...origin/carto/main",
        FETCHED,
    )
    refused(world, said, UPGRADE + options)


def test_commit_without_identity_is_refused(world: World) -> None:
    for key in ("name", "email"):
        world.git(f"config --file {world.place}/clone.config --unset user.{key}")
    what = "git has no name and e-mail address to commit with here."
    mine = "git config user.email you@example.com"
    refused(world, message(what, f'git config user.name "Your Name" && {mine}'))


def test_a_shallow_clone_is_refused(world: World) -> None:
    (world.fork / ".git" / "shallow").write_text(world.git("rev-parse HEAD") + "\n")
    what = "this is a shallow clone, and git needs the whole history to merge."
    refused(world, message(what, "git fetch --unshallow origin"))


def test_a_foreign_directory_in_place_of_the_work_tree_is_refused(world: World) -> None:
    world.work(TAG).mkdir()
    (world.work(TAG) / "notes.txt").write_text("mine\n")
    place = f"~/litellm.upstream-sync-{TAG}"
    what = f"{place} exists and is not the upgrade's work tree, which belongs there."
    refused(world, message(what, f"mv {place} {place}.away, {AGAIN}", FETCHED))
    assert (world.work(TAG) / "notes.txt").read_text() == "mine\n"


def test_a_directory_without_a_repository_is_refused(world: World) -> None:
    (world.place / "elsewhere").mkdir()
    said = message(
        "../elsewhere is not a git repository "
        "(fatal: not a git repository (or any of the parent directories): .git).",
        "go into the fork's clone, or name it with --repo.",
    )
    line, ceiling = f"{UPGRADE} --repo ../elsewhere", str(world.place)
    refused(world, said, line, GIT_CEILING_DIRECTORIES=ceiling)


@pytest.mark.parametrize("path", ["../nowhere", "README.md"])
def test_a_path_that_is_not_a_directory_is_refused(world: World, path: str) -> None:
    said = message(f"{path} is not a directory.", "name the fork's clone with --repo.")
    refused(world, said, f"{UPGRADE} --repo {path}")


def test_an_old_git_is_refused(world: World) -> None:
    path = shim(world, 'case "$1" in version) echo git version 2.30.0;; *) exec "$GIT" "$@";; esac')
    what = "git 2.30.0 is too old: 2.38 or newer is needed."
    refused(world, message(what, "install a newer git."), PATH=path)


def test_a_missing_git_is_refused(world: World) -> None:
    what, then = "git is not installed.", "install git 2.38 or newer."
    refused(world, message(what, then), PATH=str(world.place / "empty"))


# --- An upgrade under way --------------------------------------------------------------------


def test_a_sync_branch_that_is_behind_origin_is_refused(world: World) -> None:
    world.git(f"branch {SYNC}")
    theirs = push_as_colleague(world, {"fix.txt": "fix\n"}, SYNC, "origin/carto/main")
    what = f"{SYNC} on origin has 1 commit that yours lacks."
    take = f"git fetch origin {SYNC}:{SYNC}"
    refused(world, message(what, f"`{take}` (this takes them in), {AGAIN}", FETCHED))
    assert take in world.run("next").out
    world.call(take.split())
    done = world.run(f"{UPGRADE} --no-push --no-tests")
    assert done.code == 0, done.err
    assert world.git(f"rev-parse {SYNC}^^1") == theirs


def test_a_sync_branch_that_diverged_from_origin_is_refused(world: World) -> None:
    mine = world.git("commit-tree -p HEAD -m mine HEAD^{tree}")
    world.git(f"branch {SYNC} {mine}")
    push_as_colleague(world, {"fix.txt": "fix\n"}, SYNC, "origin/carto/main")
    what = f"{SYNC} on origin has 1 commit that yours lacks."
    both = f"git log --oneline --left-right {SYNC}...origin/{SYNC}"
    yours = f"this shows both; to discard yours: `invoke {UPGRADE} --abort`"
    refused(world, message(what, f"`{both}` ({yours}), {AGAIN}", FETCHED))


@pytest.fixture
def prepared(world: World) -> World:
    """A world with a prepared upgrade that is not published."""
    done = world.run(f"{UPGRADE} --no-push --no-tests")
    assert done.code == 0, done.err
    return world


WORK = f"../litellm.upstream-sync-{TAG}"


def test_uncommitted_changes_in_the_work_tree_are_refused(prepared: World) -> None:
    for name in ("README.md", "Makefile", "schema.prisma", "LICENSE"):
        (prepared.work(TAG) / name).write_text("mine\n")
    what = f"{WORK} has uncommitted changes: LICENSE, Makefile, README.md and 1 more."
    then = (
        f"commit them, or discard them with `git -C {WORK} restore --staged --worktree :/`, {AGAIN}"
    )
    refused(prepared, message(what, then, FETCHED))
    assert (prepared.work(TAG) / "README.md").read_text() == "mine\n"


def test_another_merge_in_the_work_tree_is_refused(prepared: World) -> None:
    prepared.git("merge --no-ff --no-commit -s ours origin/main", repo=prepared.work(TAG))
    other = prepared.git("rev-parse origin/main")
    what = f"a merge of {other[:10]}, which is not {TAG}, is in progress in {WORK}."
    refused(
        prepared, message(what, f"git -C {WORK} merge --continue (or --abort), {AGAIN}", FETCHED)
    )
    assert prepared.git("rev-parse MERGE_HEAD", repo=prepared.work(TAG)) == other


# --- The fork's own policy -------------------------------------------------------------------

EXTENDS = 'extends = "carto-litellm"\n'
BROKEN = EXTENDS + 'branch = "carto/main"\n'


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param(
            BROKEN,
            "top level: object contains unknown field `branch`; expected one of name, remotes, "
            "branches, messages, tags, largest_text, markers, rules, workflows, version_files, "
            "commands, feature, pull_requests, releases, images, migrations, proposers, files, "
            "guide.",
            id="unknown key",
        ),
        pytest.param(
            EXTENDS + '[branches]\nprodution = "carto/main"\n',
            "key `branches`: object contains unknown field `prodution`; "
            "expected one of mirror, upstream, production, sync.",
            id="unknown key in a table",
        ),
        pytest.param(
            EXTENDS + "[branches]\nproduction = 1\n",
            "key `branches.production`: expected `str`, got `int`.",
            id="wrong type",
        ),
        pytest.param(
            EXTENDS + '[[rules]]\nname = "a"\npaths = ["b"]\nwhy = "c"\ntake = "mine"\n',
            "key `rules[0].take`: invalid enum value 'mine'; "
            "expected one of fork, upstream, both, version.",
            id="wrong choice",
        ),
        pytest.param(
            EXTENDS + "[branches\n",
            "not valid TOML: Expected ']' at the end of a table declaration (at line 2, "
            "column 10).",
            id="no TOML",
        ),
        pytest.param(
            'extends = "another"\n',
            "key `extends`: expected 'carto-litellm', got 'another'.",
            id="unknown default",
        ),
        pytest.param(
            'name = "Fork"\n',
            "top level: object missing required field `remotes`.",
            id="half a policy",
        ),
    ],
)
def test_an_invalid_policy_is_refused(world: World, text: str, problem: str) -> None:
    commit = push_as_colleague(world, {"carto_fork.toml": text})[:10]
    source = f"carto_fork.toml at {commit}"
    then = (
        "`git switch --no-track -c feature/policy origin/carto/main`, correct carto_fork.toml "
        "there, commit it, then `invoke branch.pr`; `invoke fork.config` prints what is valid."
    )
    refused(world, message(f"{source}: {problem}", then, FETCHED))


def test_config_prints_what_is_valid_although_the_forks_own_policy_is_not(world: World) -> None:
    push_as_colleague(world, {"carto_fork.toml": BROKEN})
    assert "`invoke fork.config` prints what is valid" in world.run(UPGRADE).err
    done = world.run("fork.config")
    assert 'name = "CARTO"' in done.out


def test_a_policy_corrected_on_origin_is_used(world: World) -> None:
    push_as_colleague(world, {"carto_fork.toml": BROKEN})
    assert world.run(UPGRADE).code == 1
    push_as_colleague(world, {"carto_fork.toml": EXTENDS})
    done = world.run(f"{UPGRADE} --no-push --no-tests")
    assert done.code == 0, done.err


def test_a_branch_in_the_way_of_the_sync_branch_is_moved_first(world: World) -> None:
    """In the clone, on origin, and as a leftover of one that origin had.
    https://github.com/desktop/desktop/issues/13665, https://github.com/nasa/trick/issues/2206,
    https://github.com/alexiszamanidis/vscode-git-worktrees/issues/35"""
    head = world.git("rev-parse HEAD")
    wanted = f"upstream-sync/{TAG}"
    messages = []
    seen = ""
    for line in (
        "push --quiet origin HEAD:refs/heads/upstream-sync",
        f"branch {wanted}/mine",
        f"update-ref refs/remotes/origin/upstream-sync {head}",
    ):
        world.git(line)
        before = world.everything()
        done = world.run(f"upgrade-carto --tag {TAG}")
        assert done.code == 1 and world.everything() == before
        what, move = re.findall(r"^Refused: (.*), and git.*\n.*\n.*away: `(.*)`; then", done.err)[0]
        messages.append(what)
        seen = seen or world.run("doctor --check leftovers").out
        assert world.paste(move).code == 0
    assert messages == [
        "origin has a branch upstream-sync",
        f"this clone has a branch {wanted}/mine",
        "this clone has a ref refs/remotes/origin/upstream-sync",
    ]
    assert f"{messages[0]}, and git cannot keep" in seen
    assert world.refs(world.origin)["refs/heads/upstream-sync-kept"] == head
    kept = (f"{wanted}/mine".replace("/", "-"), "origin-upstream-sync")
    here = world.refs(world.fork)
    assert [here[f"refs/heads/{name}-kept"] for name in kept] == [head, head]
    assert world.run(f"--dry upgrade-carto --tag {TAG}").code == 0


def test_an_upstream_that_renamed_its_default_branch_is_named(world: World) -> None:
    """https://github.com/wei/pull/issues/320"""
    world.git("fetch --quiet upstream")
    world.git("branch -m main trunk", repo=world.upstream)
    world.git("symbolic-ref HEAD refs/heads/trunk", repo=world.upstream)
    done = world.run("sync-main")
    assert done.err.startswith(
        "Refused: upstream no longer has a branch main; its default branch is trunk.\n"
    )
    assert "set `branches.upstream` to 'trunk' in carto_fork.toml on carto/main" in done.err
    key = "has a branch main; its default branch is trunk: set `branches.upstream` to 'trunk'"
    for line in ("status", "next", "ci.detect", "ci.sync --dry"):
        assert key in " ".join(world.run(line).out.replace("\n#", "").split()), line
    assert "its default branch is trunk" in world.run("doctor --check remotes").out
