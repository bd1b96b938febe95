"""`next` leads from any state to an end, and never in a circle."""

from __future__ import annotations

import json
import re

import pytest

from carto_standin.github import GitHub
from world import BOTH_SIDES, Done, World, commit_in, elsewhere, resolved_by_hand, slow_but

TAG, STABLE = "v1.76.5", "v1.77.2-stable"
FORK = "-R CartoDB/litellm"
UPGRADE = f"invoke upgrade-carto --no-tests --tag {TAG}"
SQUASHED = (
    f"{UPGRADE} && gh pr merge 1 {FORK} --squash --delete-branch && git fetch -q --prune origin && "
    f"git branch -qD upstream-sync/{TAG}"
)
LANDED = f"{UPGRADE} && gh pr merge 1 {FORK} --merge && git fetch -q origin"
WORK = f"../litellm.upstream-sync-{STABLE}"
MOVES = f"git -C $UP update-ref refs/tags/{TAG} main"
GOES = f"git -C $UP update-ref -d refs/tags/{TAG}"
DIVERGING = (
    "git switch -qc fix carto/main^ && echo a > README.md && git commit -qam fix && "
    "git switch -qc other carto/main^ && echo b > README.md && git commit -qam b"
)
HOOK = "mkdir -p .git/hooks && printf '#!/bin/sh\\n%s\\n' "
PAUSED = f"! invoke upgrade-carto --no-tests --tag {STABLE}"

POLICY = (
    "git add carto_fork.toml && git commit -qm 'chore: policy' && git push -q origin carto/main"
)
ELSEWHERE = (
    "git remote set-url origin $ORIGIN && git remote set-url upstream $UP && "
    'printf \'extends = "carto-litellm"\\n%b[remotes]\\norigin = { name = "origin", url = "%s" }\\n'
    'upstream = { name = "upstream", url = "%s" }\\n\' "$VERSIONS" $ORIGIN $UP > carto_fork.toml'
)

# A shell command that makes the state, in a clone with nothing to do but an upgrade to v1.76.5;
# `UP` and `ORIGIN` are the two bare repositories.
WITHOUT_GITHUB = (
    f"{ELSEWHERE} && {POLICY} && {UPGRADE} && git fetch -q origin && git merge -q --squash "
    f"origin/upstream-sync/{TAG} && git commit -qm 'chore: upgrade' && "
    "git push -q --no-verify origin carto/main"
)

# An upgrade fetches the release's tag only, and the branch is deleted on origin once it has landed.
TAG_ONLY = (
    f"{WITHOUT_GITHUB} && git -C $ORIGIN update-ref -d refs/heads/upstream-sync/{TAG} && "
    "git fetch -q origin && git for-each-ref --format='delete %(refname)' refs/remotes/upstream "
    "| git update-ref --no-deref --stdin && git update-ref refs/remotes/upstream/main "
    "v1.75.2-stable^0"
)

STATES = {
    "nothing": "true",
    "on a detached HEAD": "git checkout -q --detach",
    "a commit on a detached HEAD": (
        "git checkout -q --detach && git commit -q --allow-empty -m work"
    ),
    "no remote upstream": "git remote remove upstream",
    "no remote at all": "git remote remove upstream && git remote remove origin",
    "another upstream": "git remote set-url upstream https://github.com/x/y.git",
    "origin as upstream": "git remote set-url upstream https://github.com/CartoDB/litellm.git",
    "production not fetched": "git update-ref -d refs/remotes/origin/carto/main",
    "production not here": ("git checkout -q --detach && git branch -qD carto/main"),
    "production behind": "git reset -q --hard HEAD^",
    "production ahead": "git commit -q --allow-empty -m 'feat: mine'",
    "a merge in progress": f"git fetch -q upstream --tags && ! git merge -q {STABLE}",
    "a clean merge in progress": f"git merge -q --no-commit -s ours {TAG}",
    "a rebase in progress": f"{DIVERGING} && ! git rebase -q fix",
    "a cherry-pick in progress": f"{DIVERGING} && ! git cherry-pick fix",
    "a revert in progress": (
        "echo a > README.md && git commit -qam a && echo b > README.md && git commit -qam b && "
        "! git revert --no-edit HEAD^"
    ),
    "a bisect in progress": "git bisect start -q HEAD HEAD^^",
    "changes in the checkout": "echo mine >> README.md",
    "a feature branch": (
        "invoke branch.start --name mine && git commit -q --allow-empty -m 'feat: mine'"
    ),
    "a feature branch that is pushed": (
        "invoke branch.start --name mine && echo a > mine.md && git add mine.md && "
        "git commit -qm 'feat: mine' && git push -q origin HEAD"
    ),
    "a paused upgrade": PAUSED,
    "a paused upgrade whose work tree is gone": f"{PAUSED}; rm -rf {WORK}",
    "a paused upgrade, all resolved by hand": (
        f"{PAUSED}; cd {WORK} && git checkout -q --theirs ui && "
        "git checkout -q --ours Dockerfile && git add -A"
    ),
    "an upgrade that was prepared": f"{UPGRADE} --no-push",
    "an upgrade that was published": f"{UPGRADE} --no-pr",
    "an upgrade in its pull request": UPGRADE,
    "a pull request that was closed": f"{UPGRADE} && gh pr close 1 {FORK}",
    "an upgrade that landed": LANDED,
    "an upgrade that landed by hand": (
        f"{UPGRADE} --no-pr && git merge -q --no-ff -m 'Merge' upstream-sync/{TAG} && "
        "git push -q origin carto/main"
    ),
    "an upgrade that landed squashed": SQUASHED,
    "an upgrade that was reverted": (
        f"{LANDED} && git merge -q --ff-only origin/carto/main && "
        "git revert --no-edit -m 1 HEAD && git push -q origin carto/main"
    ),
    "an upgrade that brought nothing": (
        f"git merge -q --no-edit -s ours {TAG} && git push -q --no-verify origin carto/main"
    ),
    "a tag that was moved": MOVES,
    "a tag that was moved after it landed": f"{LANDED} && {MOVES}",
    "a tag that was withdrawn": GOES,
    "a tag that was withdrawn after it landed": f"{LANDED} && {GOES}",
    "a tag on a blob": "git -C $UP update-ref refs/tags/v1.99.0 main:pyproject.toml",
    "another annotation of a tag": (
        f"git -C $UP -c user.name=U -c user.email=u@e.com tag -f -a -m new {TAG} {TAG}^0"
    ),
    "upstream's branch renamed": "git -C $UP branch -m main trunk",
    "the mirror behind": (
        "git -C $ORIGIN update-ref refs/heads/main refs/heads/main^ && git fetch -q"
    ),
    "the mirror with commits of its own": (
        "git push -q origin carto/main:main --force && git fetch -q origin"
    ),
    "a branch in the way": "git branch upstream-sync",
    "a branch in the way on origin": "git push -q origin carto/main:refs/heads/upstream-sync",
    "an upgrade that a hook refuses": (
        f"{HOOK}'echo no ticket >&2; exit 1' > .git/hooks/pre-commit && "
        f"chmod +x .git/hooks/pre-commit && ! {UPGRADE}"
    ),
    "an upgrade whose merge a hook has ended": (
        f'{HOOK}\'rm -f "$(git rev-parse --git-dir)/MERGE_HEAD"; rm "$0"\' '
        f"> .git/hooks/pre-commit && chmod +x .git/hooks/pre-commit && ! {UPGRADE}"
    ),
    "signatures without a key": f"git config commit.gpgSign true && ! {UPGRADE}",
    "signatures that upstream lacks": f"git config merge.verifySignatures true && ! {UPGRADE}",
    "another kind of line ends here": f"git config core.autocrlf true && {PAUSED}",
    "upstream's tags pruned here after it landed": f"{LANDED} && git tag -d {TAG}",
    "a policy that is not valid": (
        "echo 'nonsense = 1' > carto_fork.toml && git add -A && git commit -qm 'chore: policy' && "
        "git push -q origin carto/main"
    ),
    "a version that was raised too far": (
        "sed -i 's/1.75.2\"/1.99.0\"/' pyproject.toml && git commit -qam 'chore: version' && "
        "git push -q origin carto/main"
    ),
    "markers on production": (
        "printf '<<<<<<< a\\na\\n=======\\nb\\n>>>>>>> b\\n' > notes.md && git add -A && "
        "git commit -qm 'docs: notes' && git push -q origin carto/main"
    ),
    "a stale lock of the index": "touch .git/index.lock",
    "a stale lock of a branch": "touch .git/refs/heads/carto/main.lock",
    "upstream's history written anew": (
        "new=; for old in v1.75.2-stable v1.76.5 main; do new=$(git -C $UP -c user.name=U "
        "-c user.email=u@e.com commit-tree ${new:+-p $new} -m anew $old^{tree}); "
        "case $old in v*) git -C $UP update-ref refs/tags/$old $new;; "
        "*) git -C $UP update-ref refs/heads/$old $new;; esac; done; git fetch -q upstream"
    ),
    "two upgrades at once": (
        f"{PAUSED}; {HOOK}'exit 1' > .git/hooks/pre-commit && chmod +x .git/hooks/pre-commit && "
        f"! {UPGRADE}; rm .git/hooks/pre-commit"
    ),
    "a manifest that the upgrade outdates": (
        'printf \'extends = "carto-litellm"\\n[[feature]]\\nname = "ours"\\n'
        'files = ["pyproject.toml"]\\npatterns = ["1.75.2"]\\n\' > carto_fork.toml && ' + POLICY
    ),
    "a draft of a policy, without GitHub": f"{ELSEWHERE} && rm carto_fork.toml && git fetch -q "
    "upstream --tags && invoke fork.init --yes --production carto/main",
    "an upgrade that was published, without GitHub": f"{ELSEWHERE} && {POLICY} && {UPGRADE}",
    "an upgrade that was published before a commit, without GitHub": (
        f"{ELSEWHERE} && {POLICY} && {UPGRADE} && git commit -q --allow-empty -m 'feat: mine' && "
        "git push -q origin carto/main"
    ),
    "an upgrade of which only the version landed, without GitHub": (
        f"{ELSEWHERE} && {POLICY} && {UPGRADE} && sed -i 's/1.75.2\"/1.76.5\"/' pyproject.toml && "
        "git commit -qam 'chore: version' && git push -q origin carto/main"
    ),
    "an upgrade that landed squashed, without GitHub": WITHOUT_GITHUB,
    "an upgrade that was squashed here only, without GitHub": WITHOUT_GITHUB.partition(
        " && git push -q --no-verify"
    )[0],
    "an upgrade that landed squashed, without GitHub, where nobody fetched upstream": (
        f"{WITHOUT_GITHUB} && git for-each-ref --format='delete %(refname)' refs/remotes/upstream "
        "| git update-ref --no-deref --stdin"
    ),
    "an upgrade that landed squashed, without GitHub, where only the tag was fetched": TAG_ONLY,
    "an upgrade that landed squashed, without GitHub, after production was taken in": (
        f"{TAG_ONLY} && git worktree add -q ../w upstream-sync/{TAG} && "
        "git -C ../w merge -q --no-edit origin/carto/main"
    ),
    "an upgrade that landed squashed, without GitHub, of which only the tag is left": (
        f"{TAG_ONLY} && git fetch -q --prune origin && git branch -qD upstream-sync/{TAG}"
    ),
    "an upgrade that landed squashed, without GitHub, in a fork without version files": (
        "VERSIONS='version_files = []\n' && " + TAG_ONLY + " && git fetch -q --prune origin"
    ),
    "a policy that landed, behind, with its draft, without GitHub": (
        f"{ELSEWHERE} && cp carto_fork.toml ../draft && {POLICY} && git reset -q --hard HEAD^ && "
        "cp ../draft carto_fork.toml"
    ),
    "production behind, with a tracked policy, without GitHub": (
        f"{ELSEWHERE} && {POLICY} && git commit -q --allow-empty -m 'feat: mine' && "
        "git push -q origin carto/main && git reset -q --hard HEAD^"
    ),
    "a shallow clone": "git fetch -q --depth 1 origin && git reflog expire --all --expire=now",
}


def settle(world: World, state: str) -> None:
    """Prepare the world so that nothing is left to do but what the state is about."""
    project = world.git("show origin/carto/main:pyproject.toml") + "\n"
    mine = {"pyproject.toml": project.replace("1.75.2.1", "1.75.2")}
    commit_in(world, world.origin, "refs/heads/carto/main", mine)
    for line in ("fetch -q origin", "fetch -q upstream", "merge -q --ff-only origin/carto/main"):
        world.git(line)
    world.git("tag v1.75.2-carto.1.2.1 carto/main")
    world.git("push -q --no-verify origin v1.75.2-carto.1.2.1")
    for tag in (TAG, STABLE):
        if tag not in STATES[state]:
            world.git(f"tag -d {tag}", repo=world.upstream)
            world.git(f"update-ref -d refs/tags/{tag}")


def asked(world: World) -> str:
    """The command that `next` prints; "" if nothing is left to do."""
    done = world.run("next")
    assert done.code == 0, done.err
    return "".join(line for line in done.out.splitlines() if not line.startswith("# "))


def as_a_person(world: World, command: str, said: str) -> Done:
    """Type a command, and do what it leaves to the person: review, resolve, name, push.

    said: the output before it.
    """
    if "--drop PATH --reason WHY" in command:
        for path in re.findall(r"^ +lost: .* in (\S+)$", said, re.MULTILINE):
            done = world.paste(command.replace("PATH", path).replace("WHY", "'We said so.'"))
        return done
    if number := re.fullmatch(rf"gh pr view (\d+) {FORK}", command):
        return world.paste(f"gh pr merge {number[1]} {FORK} --merge")
    if "rebase --interactive" in command:
        editors = "GIT_SEQUENCE_EDITOR='sed -i s/^pick/reword/' GIT_EDITOR='sed -i \"1s/^/fix: /\"'"
        command = f"{editors} {command}"
    done = world.paste(command)
    if " merge --no-ff " in command:
        return Done(0, "", "")  # `next` names the task that resolves its conflicts
    if "add --title" in done.err:
        return world.paste(f"{command} --title 'fix: mine'")
    if outdated := re.search(r"correct (\S+)/carto_fork\.toml and commit", done.err):
        corrected = "sed -i s/1.75.2/1.76/ carto_fork.toml && git commit -qam 'chore: manifest'"
        assert world.paste(f"cd {outdated[1]} && {corrected}").code == 0
        return Done(0, "", "")
    if "correct carto_fork.toml" in done.err:
        corrected = (
            "git rm -q carto_fork.toml && git commit -qm 'fix: policy' && git push -q origin"
        )
        assert world.paste(f"{corrected} carto/main").code == 0
        return Done(0, "", "")
    if "resolve-markers" in command or " bump-version " in command:
        world.call(["git", "rm", "-q", "--ignore-unmatch", "notes.md"])
        world.call(["git", "commit", "-qm", "fix: markers"])
        assert world.paste("git push -q origin HEAD:carto/main").code == 0
    for work in (world.fork, world.work(STABLE), world.work(TAG)):
        if not work.exists() or (done.code != 3 and command.startswith("invoke upgrade-carto")):
            continue
        for path in world.git("diff --name-only --diff-filter=U", repo=work).splitlines():
            side = "--ours" if path == "Dockerfile" else "--theirs"
            if world.call(["git", "-C", str(work), "checkout", side, "--", path]).code:
                world.git("rm -q --", path, repo=work)
            else:
                world.git("add --", path, repo=work)
    return done


def named(done: Done, tried: list[str]) -> str:
    """The first command in a message that was not typed yet; "" if there was none."""
    lines = re.findall(r"^(?:Next| +then): (.*)$", f"{done.out}\n{done.err}", re.MULTILINE)
    for part in (part for line in lines[::-1] for part in line.split("; ")):
        quoted = [word for word in re.findall(r"`([^`]+)`", part) if " " in word]
        command = re.search(r"(?:^|: )((?:git|gh|invoke|rm|mv) .*)$", part)
        found = (command[1] if command else quoted[0] if quoted else "").removesuffix(".")
        if found and found not in tried:
            return found
    return ""


MOST_STEPS = 30


@pytest.mark.parametrize(
    "state",
    slow_but(
        STATES, "an upgrade that landed squashed, without GitHub, after production was taken in"
    ),
)
def test_next_leads_to_an_end(
    world: World, github: GitHub, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    """Type what it prints, and what a refusal advises in turn, until nothing is left."""
    monkeypatch.setenv("GIT_EDITOR", "true")
    settle(world, state)
    made = world.paste(STATES[state], UP=str(world.upstream), ORIGIN=str(world.origin))
    assert made.code == 0, (made.out, made.err)
    way: list[str] = []
    said = ""
    command, before = asked(world), world.everything()
    while command:
        way.append(command)
        assert len(way) <= MOST_STEPS, way
        done = as_a_person(world, command, said)
        follows = done.code not in (0, 3) or command.startswith("invoke doctor")
        command = (follows and named(done, way)) or asked(world)
        now, said = world.everything(), done.err
        # What a person resolved after a pause shows only in the work tree.
        stuck = now == before and command == way[-1] and done.code != 3
        assert not stuck, f"a circle: {way}\n{said}"
        before = now
    assert world.git("ls-files --deleted") == "", way


def test_a_squash_that_is_only_here_is_not_to_be_pushed(world: World) -> None:
    state = STATES["an upgrade that was squashed here only, without GitHub"]
    assert world.paste(state, UP=str(world.upstream), ORIGIN=str(world.origin)).code == 0
    again = f"upgrade-carto --no-tests --tag {TAG} --direct"
    refused = world.run(again)
    assert (refused.code, "without its history: a squash" in refused.err) == (1, True)
    back = "git switch carto/main && git reset --keep origin/carto/main"
    assert named(refused, []) == back
    assert (world.paste(back).code, world.run(again).code) == (0, 0)
    assert TAG in world.git("tag --merged carto/main").split()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("state", "first"),
    [
        ("an upgrade that landed squashed, without GitHub", "invoke fork.heal"),
        (
            "an upgrade that landed squashed, without GitHub, where nobody fetched upstream",
            "git fetch upstream",
        ),
        *(
            (f"an upgrade that landed squashed, without GitHub, {how}", "invoke fork.heal")
            for how in (
                "where only the tag was fetched",
                "after production was taken in",
                "of which only the tag is left",
                "in a fork without version files",
            )
        ),
        (
            "an upgrade that was published before a commit, without GitHub",
            f"git worktree add ../litellm.upstream-sync-{TAG} upstream-sync/{TAG} && "
            f"git -C ../litellm.upstream-sync-{TAG} merge --no-edit origin/carto/main",
        ),
        (
            "an upgrade of which only the version landed, without GitHub",
            f"git worktree add ../litellm.upstream-sync-{TAG} upstream-sync/{TAG} && "
            f"git -C ../litellm.upstream-sync-{TAG} merge --no-edit origin/carto/main",
        ),
        (
            "a policy that landed, behind, with its draft, without GitHub",
            "rm -f carto_fork.toml && git merge --ff-only origin/carto/main",
        ),
    ],
)
def test_next_names_what_is_not_refused(world: World, state: str, first: str) -> None:
    settle(world, state)
    made = world.paste(STATES[state], UP=str(world.upstream), ORIGIN=str(world.origin))
    assert made.code == 0, made.err
    assert asked(world) == first
    done = world.paste(first)
    assert done.code == 0, done.err


def test_what_a_person_landed_directly_is_landed_once_production_is_taken_in(
    world: World,
) -> None:
    """`next` says what the refusal said."""
    state = "an upgrade that was published before a commit, without GitHub"
    settle(world, state)
    made = world.paste(STATES[state], UP=str(world.upstream), ORIGIN=str(world.origin))
    assert made.code == 0, made.err
    policy = (world.fork / "carto_fork.toml").read_text()
    mine = policy.replace('"carto-litellm"', '"carto-litellm"  # ours')
    commit_in(world, world.origin, "refs/heads/carto/main", {"carto_fork.toml": mine})
    world.git("fetch -q origin")
    direct = f"invoke upgrade-carto --tag {TAG} --direct --no-tests"
    refused = world.paste(direct)
    assert (refused.code, f"then run `{direct}` again." in refused.err) == (1, True), refused.err
    done = world.paste(asked(world))
    assert done.code == 0, done.err
    world.git(f"push -q origin upstream-sync/{TAG}")
    (world.work(TAG) / "README.md").write_text("mine\n")  # it refuses that
    work = f"../litellm.upstream-sync-{TAG}"
    said = world.run("next").out.replace("\n# ", " ")
    assert said.startswith(f"git -C {work} commit --all")
    assert "README.md is changed and not committed" in said and "worktree remove" not in said
    world.git("checkout -q README.md", repo=world.work(TAG))
    assert sorted(asked(world).split()) == sorted(direct.split())
    done = world.paste(direct)
    assert done.code == 0, done.err
    assert "carto_fork.toml has other lines" not in done.out  # only production changed them


GONE = "v1.75.4-stable"
TREE = f"../litellm.upstream-sync-{GONE}"
CHOICES = {
    "upstream's": "invoke resolve-conflicts {where} --accept-upstream {file} --reason Gone.",
    "the fork's": "invoke resolve-conflicts {where} --keep-fork {file} --reason Ours.",
    "deleted by hand": "git -C {tree} rm -q -- {file}",
    "left by hand": "git -C {tree} add -- {file}",
}


def one_sided(world: World, deletes: str, *, hosted: bool, both: bool = False) -> tuple[str, str]:
    """A release with one conflict that markers cannot show: a file that upstream deletes and the
    fork changes, or a binary file. Returns its path and the release's commit.

    both: whether there is another one, which markers show.
    """
    path = "assets/logo.bin" if deletes == "nobody" else "docs/one-sided.md"
    text = "\0{}\n" if deletes == "nobody" else "what is here\nwhat {} wrote\nwhat is there\n"
    for tag in (TAG, STABLE):
        world.git(f"tag -d {tag}", repo=world.upstream)
        world.git(f"update-ref -d refs/tags/{tag}")
    project = world.git("show origin/carto/main:pyproject.toml") + "\n"
    stated = {version: project.replace("1.75.2.1", version) for version in ("1.75.2", "1.75.4")}
    start, release, production = "refs/heads/start", f"refs/tags/{GONE}", "refs/heads/carto/main"
    world.git(f"update-ref {start} v1.75.2-stable^0", repo=world.upstream)
    base = commit_in(world, world.upstream, start, {path: text.format("somebody")})
    theirs = None if deletes == "upstream" else text.format("upstream")
    files = {"pyproject.toml": stated["1.75.4"], path: theirs}
    files |= {"both.md": "theirs\n"} if both else {}
    commit = commit_in(world, world.upstream, release, files, base)
    world.git(f"fetch -q {world.upstream} {base}", repo=world.origin)
    merged = {path: text.format("somebody"), "pyproject.toml": stated["1.75.2"]}
    commit_in(world, world.origin, production, merged, production, base)
    mine = {path: text.format("the fork")} | ({"both.md": "ours\n"} if both else {})
    if not hosted:
        mine["carto_fork.toml"] = elsewhere(world)
    commit_in(world, world.origin, production, mine)
    for line in ("fetch -q origin", "fetch -q upstream", "merge -q --ff-only origin/carto/main"):
        world.git(line)
    world.git("tag v1.75.2-carto.1.2.1 carto/main")
    world.git("push -q --no-verify origin v1.75.2-carto.1.2.1")
    return path, commit


ONE_SIDED = [
    (deletes, choice, by)
    for deletes in ("upstream", "nobody")
    for choice in CHOICES
    for by in ("a person", "a person without GitHub", "the automation")
    if not (deletes == "nobody" and choice == "deleted by hand")
]


@pytest.mark.parametrize(
    ("deletes", "choice", "by"),
    slow_but(
        ONE_SIDED,
        ("upstream", "upstream's", "a person without GitHub"),
        ("upstream", "left by hand", "the automation"),
    ),
)
def test_a_side_that_was_chosen_ends_the_upgrade(
    world: World, github: GitHub, deletes: str, choice: str, by: str
) -> None:
    """Nothing in the result's files may say that there ever was a conflict."""
    path, release = one_sided(world, deletes, hosted=by != "a person without GitHub")
    if by == "the automation":
        assert world.run(f"ci.sync --no-tests --tag {GONE}").code == 0
    way: list[str] = []
    while not (way and way[-1].startswith("gh pr view")) and "--direct" not in "".join(way[-1:]):
        way.append(asked(world))
        assert len(way) < 8, way
        done = world.paste(way[-1])
        if done.code == 3:
            where = f"--repo {TREE}"
            if request := re.search(r"--pr \S+", way[-1]):
                where = request[0]
            chosen = CHOICES[choice].format(where=where, file=path, tree=TREE)
            resolved = world.paste(chosen)
            assert resolved.code == 0, resolved.err
        elif done.code == 4:  # only a side that was taken by hand has no reason yet
            assert "by hand" in choice, done.err
            dropped = named(done, way).replace("WHY", "'We said so.'").replace("PATH", path)
            assert world.paste(dropped).code == 0, dropped
        else:
            assert done.code == 0, done.err
    if by != "a person without GitHub":
        with github.open() as opened:
            [pull] = opened.origin().state.pulls
        assert "conflicts" not in pull.labels and "left for you to decide" not in pull.body
        assert world.paste(f"gh pr merge 1 {FORK} --merge").code == 0
    tip = world.git("rev-parse carto/main", repo=world.origin)
    world.git(f"merge-base --is-ancestor {release} {tip}", repo=world.origin)
    kept = world.git(f"ls-tree --name-only {tip} -- {path}", repo=world.origin)
    assert bool(kept) == (deletes == "nobody" or choice not in ("upstream's", "deleted by hand"))


@pytest.mark.parametrize(
    ("deletes", "by"),
    slow_but(
        [(d, by) for d in ("upstream", "nobody") for by in ("a person", "the automation")],
        ("upstream", "a person"),
        ("upstream", "the automation"),
    ),
)
def test_a_choice_about_a_whole_file_can_be_changed(
    world: World, github: GitHub, deletes: str, by: str
) -> None:
    """As long as nothing is committed; the last word is what is recorded."""
    # The other conflict keeps the pull request from being finished.
    path, _ = one_sided(world, deletes, hosted=True, both=by == "the automation")
    left = 3 if by == "the automation" else 0
    where, work = f"--repo {TREE}", world.work(GONE)
    if by == "the automation":
        assert world.run(f"ci.sync --no-tests --tag {GONE}").code == 0
        where = "--pr 1"
        assert world.run(f"resolve-conflicts {where}").code == 3
    else:
        assert world.run(f"upgrade-carto --no-tests --tag {GONE}").code == 3
    choose = f"invoke resolve-conflicts {where}"
    sides = {"--keep-fork": "carto/main", "--accept-upstream": GONE}
    for option, reason in (
        ("--keep-fork", "first"),
        ("--accept-upstream", "second"),
        ("--keep-fork", "third"),
    ):
        line = f"{choose} {option} {path} --reason {reason}"
        dry = world.paste(line.replace("invoke ", "invoke --dry "))
        assert dry.code == 0, dry.err
        assert world.paste(line).code == left
        text = (work / "carto_drops.toml").read_text()
        reasons = [x for x in ("first", "second", "third") if f'"{x}"' in text]
        assert reasons == [reason], text
        listed = world.git(f"ls-files --stage -- {path}", repo=work)
        kept = world.git(f"ls-tree {sides[option]} -- {path}").split()
        assert listed.split()[1:2] == kept[2:3], listed
        assert (work / path).exists() == bool(kept)
    (work / path).write_text("mine\n")
    world.git("add --", path, repo=work)
    refused = world.paste(f"{choose} --accept-upstream {path} --reason fourth")
    assert refused.code == 1 and "a text of their own" in refused.err
    assert (work / path).read_text() == "mine\n"
    for cure in re.findall(r"`(git [^`]+)`", refused.err):
        assert world.paste(cure).code == 0, cure


def test_production_in_conflict_with_an_upgrade_is_for_a_person(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rules about upstream decide nothing there: both sides are the fork's."""
    monkeypatch.setenv("GIT_EDITOR", "true")
    path, _ = one_sided(world, "upstream", hosted=False)
    again = f"invoke upgrade-carto --no-tests --tag {GONE}"
    assert world.paste(again).code == 3
    chosen = CHOICES["upstream's"].format(where=f"--repo {TREE}", file=path)
    assert world.paste(chosen).code == 0
    assert world.paste(again).code == 0
    mine = world.git(f"show carto/main:{path}") + "\nand later\n"
    other = commit_in(world, world.origin, "refs/heads/carto/main", {path: mine, "other": "1\n"})
    world.git("fetch -q origin")
    take = asked(world)
    assert take.endswith(f"git -C {TREE} merge --no-edit origin/carto/main")
    assert world.paste(take).code == 1
    work = world.work(GONE)
    before = world.git("status --porcelain", repo=work)
    what = f"a merge of the fork's own carto/main ({other[:10]}) is in progress in {TREE}, with "
    what += f"1 conflict: {path}"
    steps = f"git -C {TREE} add -- {path}", f"git -C {TREE} merge --continue"
    for line in (
        again,
        f"{again} --direct",
        f"invoke resolve-conflicts --repo {TREE}",
        f"invoke resolve-conflicts --repo {TREE} --accept-upstream {path} --reason Gone.",
        "invoke next",
        "invoke status",
        "invoke doctor --check conflicts",
    ):
        done = world.paste(line)
        said = " ".join(f"{done.out} {done.err}".replace("\n# ", " ").replace("`", "").split())
        assert done.code == (0 if line[7:] in ("next", "status") else done.code or 0), said
        assert "[Yy]our" not in said and all(step in said for step in steps), (line, said)
        assert what[2:] in said or "doctor" in line, said
        if "resolve-conflicts" in line:
            assert done.code == 1 and "no rule decides" in said
            assert "then run invoke upgrade-carto" in said
        assert world.git("status --porcelain", repo=work) == before
    assert asked(world) == f"git -C {TREE} status"
    assert world.paste(steps[0]).code == 0
    assert asked(world) == f"git -C {TREE} merge --continue"
    assert f"Next: git -C {TREE} merge --continue (or --abort), then " in world.paste(again).err
    assert world.paste(steps[1]).code == 0
    way: list[str] = []
    while "--direct" not in "".join(way[-1:]):
        way.append(asked(world))
        assert len(way) < 6, way
        done = world.paste(way[-1])
        if "remove that record" in done.err:  # the decision to drop it holds no longer
            world.git("checkout origin/carto/main -- carto_drops.toml", repo=work)
            world.git("commit -qm 'chore: we need it'", repo=work)
        elif done.code == 4:
            dropped = named(done, way).replace("WHY", "'We need it.'").replace("PATH", path)
            assert world.paste(dropped).code == 0, dropped
        else:
            assert done.code == 0, (way, done.err)
    assert world.git(f"show carto/main:{path}", repo=world.origin) == mine.rstrip()


@pytest.mark.slow
@pytest.mark.parametrize("here", [True, False])
def test_markers_on_origin_are_resolved_without_github(world: World, here: bool) -> None:
    settle(world, "a paused upgrade")
    published = f"git -C {WORK} commit -qam 'chore: wip' && git -C {WORK} push -q origin HEAD"
    made = f"{ELSEWHERE} && {POLICY} && {PAUSED} && {published}"
    done = world.paste(made, UP=str(world.upstream), ORIGIN=str(world.origin))
    assert done.code == 0, done.err
    if not here:
        world.git("worktree remove --force", str(world.work(STABLE)))
        world.git("branch -q -D", f"upstream-sync/{STABLE}")
    again = f"upgrade-carto --no-tests --tag {STABLE}"
    stopped = world.run(again)
    assert stopped.code == 3 and "conflicts on origin that nobody has resolved" in stopped.err
    assert world.run(f"--dry {again}").err == stopped.err
    command = re.search(r"^Next: `(.*)` lists the files", stopped.err, re.MULTILINE)
    assert command
    listed = world.paste(command[1])
    assert listed.code == 0 and listed.out.split()[-2:] == [*BOTH_SIDES]
    resolved_by_hand(world, world.work(STABLE))
    world.git("commit -qm 'fix: both'", repo=world.work(STABLE))
    assert world.run(again).code == 0


@pytest.mark.parametrize("side", ["fork", "upstream"])
def test_a_choice_of_a_side_names_what_stays_of_the_other_and_how_it_is_taken_back(
    world: World, side: str
) -> None:
    """Only the hunks left are decided by it; taken back, the same command decides the others."""
    line, file = f"upgrade-carto --tag {STABLE} --no-tests", [*BOTH_SIDES][1]
    assert world.run(line).code == 3
    place = world.work(STABLE)
    paused = (place / file).read_text()
    option = {"fork": "--keep-fork", "upstream": "--accept-upstream"}[side]
    chosen = world.run(f"resolve-conflicts --repo {place} {option} {file} --reason Ours.")
    other = {"fork": "upstream's", "upstream": "the fork's"}[side]
    said = " ".join(chosen.out.split())
    shows = re.search(
        rf"{other} other lines in {file} stay; to see them: (git .*? -- {file})", said
    )
    assert shows, said
    assert world.paste(shows[1]).out
    back = re.search(rf"before the merge is committed: (git .*? -- {file})", said)
    assert back
    assert world.paste(back[1]).code == 0
    assert (place / file).read_text() != paused
    assert world.run(line).code == 3
    assert (place / file).read_text() == paused


def test_a_name_that_is_gone_is_named_although_its_parts_are_elsewhere(world: World) -> None:
    line, work = f"upgrade-carto --tag {STABLE} --no-tests", world.work(STABLE)
    assert world.run(line).code == 3
    resolved_by_hand(world, work)
    file = work / "Dockerfile"
    assert " libffi-dev\n" in file.read_text() and "against libffi\n" in file.read_text()
    file.write_text(file.read_text().replace(" libffi-dev\n", "\n"))
    world.git("add Dockerfile", repo=work)
    done = world.run(line)
    assert done.code == 0 and "1 line in another form, gone: `libffi-dev`" in done.out


def test_the_pull_request_says_whose_side_a_person_took(world: World) -> None:
    """Not from what they dropped besides: a file may have both sides, and lack something else."""
    line, work = f"upgrade-carto --tag {STABLE} --no-tests", world.work(STABLE)
    assert world.run(line).code == 3
    resolved_by_hand(world, work)
    file = [*BOTH_SIDES][1]
    world.git(f"checkout --conflict=diff3 -- {file}", repo=work)
    assert world.run(line).code == 3  # decides again what it had decided there
    chosen = f"resolve-conflicts --repo {work} --keep-fork {file} --reason Ours."
    assert world.run(chosen).code == 0
    text = (work / "Dockerfile").read_text().replace("USER carto\n", "")
    (work / "Dockerfile").write_text(text)
    world.git("add Dockerfile", repo=work)
    assert world.run(line).code == 4
    assert world.run(f"verify --repo {work} --drop Dockerfile --reason 'As root.'").code == 0
    assert world.run(line).code == 0
    said = (world.fork / f".git/carto-fork/{STABLE}/pull-request.md").read_text()
    assert "| `Dockerfile` | content | resolved by a person | Dropped the fork's change: " in said
    assert f"| `{file}` | content | the fork's, by a person | Dropped upstream's change: " in said


def test_the_pull_request_names_what_upstream_says_it_breaks(world: World) -> None:
    commit_in(
        world,
        world.upstream,
        "refs/tags/v1.76.6",
        {"litellm/new.py": "x = 1\n"},
        "refs/tags/v1.76.5^{commit}",
        message="feat(api)!: no sessions",
    )
    done = world.run("upgrade-carto --tag v1.76.6 --no-tests")
    assert done.code == 0, done.err
    said = (world.fork / ".git/carto-fork/v1.76.6/pull-request.md").read_text()
    assert "By their subjects, these break something:\n\n- feat(api)\\!: no sessions\n" in said


def test_a_conflict_put_back_after_the_merge_is_committed_is_not_committed_with_its_markers(
    world: World,
) -> None:
    line, work = f"upgrade-carto --tag {STABLE} --no-tests --no-push", world.work(STABLE)
    assert world.run(line).code == 3
    sides = " ".join(f"--keep-fork {file}" for file in BOTH_SIDES)
    assert world.run(f"resolve-conflicts --repo {work} {sides} --reason Ours.").code == 0
    assert world.run(line).code == 0
    world.git("checkout --quiet --conflict=diff3 -- Dockerfile", repo=work)
    advice = json.loads(world.run("next --json").out)
    assert advice["command"].endswith(" status") and "commit" not in advice["command"]
    assert (
        "Dockerfile is in conflict again: resolve that, `git add` it, and commit" in advice["why"]
    )
    discard = re.search(r"Or discard it: `(git .*?)`", advice["why"])
    assert discard
    assert world.paste(discard[1]).code == 0
    assert "publishes it" in json.loads(world.run("next --json").out)["why"]


def test_the_reason_of_an_older_sync_is_not_given_for_a_newer_one(world: World) -> None:
    drops = world.git("show origin/carto/main:carto_drops.toml")
    older = '[[drop]]\npath = "Dockerfile"\nreason = "Older."\nlines = ["RUN true"]\n'
    production = "refs/heads/carto/main"
    commit_in(world, world.origin, production, {"carto_drops.toml": f"{drops}\n\n{older}"})
    line = "upgrade-carto --tag v1.77.2-stable --no-tests"
    assert world.run(line).code == 3
    resolved_by_hand(world, world.work("v1.77.2-stable"))
    done = world.run(line)
    assert (done.code, done.err) == (0, "")
    notes = world.fork / ".git" / "carto-fork" / "v1.77.2-stable"
    text = (notes / "pull-request.md").read_text()
    assert re.search(r"\n\| `Dockerfile` \| content \| resolved by a person \|", text)
    assert "Older" not in text
