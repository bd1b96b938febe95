"""The page to review an upgrade by: what is on it, and what cannot get out of it."""

from __future__ import annotations

import html
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from world import World, commit_in, elsewhere, land, push_as_colleague

TAG, STABLE = "v1.76.5", "v1.77.2-stable"
EVIL = "</script><img src=x onerror=alert(1)>\u202e `${x}`"


def page_of(world: World, tag: str = TAG) -> str:
    return (world.fork / f".git/carto-fork/{tag}/report.html").read_text()


def whole(page: str) -> str:
    """The page as its script makes it: with all rows, and what is inside of them."""
    text = '<script type="text/html" class="{}">(.*?)</script>'
    [inside] = re.findall(text.format("insides"), page, re.S)
    insides = dict(item.split("\n", 1) for item in inside.split("\f"))
    page = re.sub(text.format("rows"), r"\1", page, flags=re.S)
    row = r'(<li class="item" id="(\w+)".*?</summary>)'
    return re.sub(row, lambda m: f"{m[1]}{insides[m[2]]}</template>", page, flags=re.S)


def section(page: str, name: str) -> str:
    [found] = re.findall(rf'<section id="{name}".*?</section>', whole(page), re.S)
    return html.unescape(str(found))


def test_an_upgrade_leaves_a_page_that_says_what_its_account_says(world: World) -> None:
    done = world.run(f"upgrade-carto --tag {TAG} --no-tests --no-push")
    assert done.code == 0, done.err
    page = page_of(world)
    sync = f"upstream-sync/{TAG}"
    ours, theirs, result = world.git(f"rev-parse {sync}~1^ {TAG}^0 {sync}").split()
    revs = f"--ours {ours} --theirs {theirs} --result {result}"
    account = json.loads(world.run(f"verify {revs} --json").out)
    numbers = dict(re.findall(r'<th scope="row">(.*?)</th><td>(.*?)</td>', page))
    assert numbers["files that the fork&#39;s commits changed"] == str(account["fork_files"])
    assert numbers["files that upstream changed"] == str(account["upstream_files"])
    assert "changes: lost" not in numbers and account["lost"] == []
    eyes = section(page, "eyes")
    dropped = [one["path"] for one in account["explained"] if "dropped" in one["fate"]]
    assert dropped and all(f"<code>{path}</code>" in eyes for path in dropped)
    # What is only worth a look keeps the verdict from being green, and shows what it is about.
    assert '<p class="verdict open">Nothing is lost. Still open: 1 finding to judge' in page
    assert "lock file: " in eyes and "Whoever installs from this lock file" in eyes
    checks = section(page, "checks")
    assert "passed</span> verify: 1 finding to judge" in checks
    assert f"not run</span> test: this runs it: carto-fork upgrade-carto --tag {TAG}<" in checks
    # What upstream changed of dependencies is there to be read.
    assert '<span class="tag open">dependencies</span> <code>pyproject.toml</code>' in eyes
    assert "@@ line" in eyes and "Copy <code>git diff " in eyes
    # Each sentence says one thing, and who drops something has said why.
    named = "In the result, this file is .github/workflows/ghcr_helm_deploy.yml.txt. Why: The fork"
    assert f"The result lacks the lines with -. {named} switched this workflow off" in eyes
    form = "The result has the lines with ~ in another form. In the conflict, the rule “dropped on"
    assert f"{form} purpose” decided it." in eyes and re.search(r"\n~ .*\n> ", eyes)
    # As in the pull request, a workflow that the fork does not have is no change of its workflows.
    workflows = re.findall(r">upstream workflow</span> <code>(.*?)</code> (.*?)</sum", eyes)
    assert workflows == [(".github/workflows/publish-migrations.yml", "upstream added it")]
    # What one rule decides of generated files is one item, with its files inside.
    conflicts = section(page, "conflicts")
    grouped = [int(n) for n in re.findall(r"</code> (\d+) generated files?:", conflicts)]
    singly = conflicts.count('class="item"') - len(grouped)
    assert (singly + sum(grouped), len(grouped)) == (int(numbers["files in conflict"]), 2)
    assert "The fork deleted this file on purpose" in conflicts
    # A tool's files are found under the directory that they share, with one number everywhere.
    assert "5 left to a tool" in section(page, "numbers")
    assert numbers["of these: left to a tool"] == "5 files"
    mine, _, folded = section(page, "fork").partition('<details class="rest">')
    for name in ("assets/logos/litellm_logo.png", "index.html", "index.txt", "login.html"):
        assert f"out/{name}</code></td><td>left to a tool</td>" in mine
    assert "feature flags in the dashboard, and our logo" not in folded
    # The lines of a commit are its own: this one's are dropped, and others changed the file, too.
    [dropped_one] = re.findall(r"rest a deployment for 15 seconds <.*?</template>", mine, re.S)
    assert "litellm/router.py</code></td><td>dropped on purpose</td><td></td>" in dropped_one
    [other_one] = re.findall(r"keep a session on its deployment <.*?</template>", folded, re.S)
    assert "litellm/router.py</code></td><td>kept</td><td>4, 41-42, 46-48</td>" in other_one
    # A decision has the words of the terminal, which the pull request has, too.
    told = re.findall(r"^  ([a-z]\S+) +(\S.*?)(?: \(-\d+\))?  +(\S+)$", done.out, re.M)
    words = {path: word for kind, word, path in told if kind in conflicts}
    for path, word in words.items():
        if "/out/" not in path and path != "poetry.lock":
            row = rf"<code>{re.escape(path)}</code> (?:[\w/]+: )?{re.escape(word)} <span"
            assert re.search(row, conflicts), path
    assert words["tests/test_litellm/test_cooldown.py"] == "upstream's: deleted"
    assert words["pyproject.toml"] == "the tag's version"
    assert "<h3>Hunk 2: the tag's version " in conflicts
    assert f"carto-fork verify --ours {ours[:10]}" in section(page, "again")
    # Nothing of that name has to be on PATH.
    assert "<code>carto-fork</code> is however you start it" in page
    again = world.run(f"report {revs} --output again.html --json")
    assert (json.loads(again.out), again.code) == ({"report": "again.html"}, 0)
    same = (world.fork / "again.html").read_text()
    assert section(same, "fork") == section(page, "fork")
    # `verify` writes it too, beside the account.
    (world.fork / f".git/carto-fork/{TAG}/report.html").unlink()
    work = world.work(TAG)
    checked = world.run(f"verify --repo {work} --tag {TAG}")
    assert (checked.code, f"{TAG}/report.html" in checked.out) == (0, True)
    assert page_of(world) == page
    # So it does once the work tree is gone.
    world.git("worktree remove --force", str(work))
    (world.fork / f".git/carto-fork/{TAG}/report.html").unlink()
    checked = world.run(f"verify --tag {TAG}")
    assert (checked.code, f"{TAG}/report.html" in checked.out) == (0, True)
    assert section(page_of(world), "fork") == section(page, "fork")
    assert f"not run</span> test: this runs it: carto-fork upgrade-carto --tag {TAG}<" in page_of(
        world
    )


def test_the_page_shows_how_each_check_ended(world: World) -> None:
    done = world.run(f"upgrade-carto --tag {TAG} --no-push")
    assert done.code == 0, done.err
    checks = section(page_of(world), "checks")
    for name in ("test", "lint"):
        [log] = (world.fork / f".git/carto-fork/{TAG}").glob(f"{name}*.log")
        last = log.read_text().splitlines()[-1]
        [item] = re.findall(rf"passed</span> {name}.*?</template>", checks, re.S)
        assert last and last in re.sub("<.*?>", "", item)
    [item] = re.findall(r"passed</span> verify.*?</template>", checks, re.S)
    assert "What it found is under “Needs eyes”." in item


def test_the_page_is_of_productions_newest_commit_in_the_branch_and_then_of_what_landed(
    world: World,
) -> None:
    sync = f"upstream-sync/{TAG}"
    assert world.run(f"upgrade-carto --tag {TAG} --no-tests --no-push").code == 0
    started = world.git("rev-parse origin/carto/main")
    newer = push_as_colleague(world, {"newer.py": "NEWER = 1\n"})
    work = world.work(TAG)
    world.git("fetch --quiet origin", repo=work)
    world.git("merge --quiet --no-edit origin/carto/main", repo=work)

    def numbers() -> dict[str, str]:
        assert world.run(f"report --tag {TAG}").code == 0
        found = re.findall(r'<th scope="row">(.*?)</th><td>(.*?)</td>', page_of(world))
        return {html.unescape(name): re.sub("<.*?>", "", value) for name, value in found}

    found = numbers()
    assert found["the fork's side"] == newer
    assert found["the fork's side when it was merged"] == started
    assert f"git merge-tree --write-tree --name-only --no-messages {started[:10]}" in page_of(world)
    world.git(f"push --quiet --no-verify origin {sync}")
    landed = land(world, TAG)
    world.git("worktree remove --force", str(work))
    world.git(f"branch --quiet -D {sync}")
    world.git(f"push --quiet --no-verify origin :{sync}")
    found = numbers()
    assert (found["the fork's side"], found["result"]) == (newer, landed)
    page = page_of(world)
    assert "erge it with a merge commit" not in page and "It is merged already" in page
    assert "Build the production branch and run its tests: nothing here did that." in page
    # Nothing has to be tested again that was.
    world.git(f"update-ref refs/carto-fork/passed/{TAG}/test {landed}^2")
    assert world.run(f"verify --landed {TAG}").code == 0
    page = page_of(world)
    assert "It is merged already" in page and "nothing here did that" not in page
    world.git(f"update-ref -d refs/carto-fork/passed/{TAG}/test")
    # What was squashed is merged, too.
    squashed = commit_in(world, world.fork, "refs/heads/s", {}, newer, tree=landed)
    revs = f"--ours {newer} --theirs {TAG}^0 --result {landed} --output it.html"
    for where, merged in ((squashed, True), (newer, False)):
        world.git(f"update-ref refs/remotes/origin/carto/main {where}")
        world.git(f"update-ref refs/heads/carto/main {where}")
        assert world.run(f"report {revs}").code == 0
        page = (world.fork / "it.html").read_text()
        assert ("It is merged already" in page) is merged
        assert ("carto/main does not have it: merge it with a" in page) is not merged
        assert ("Build the result and run its tests: nothing here did that." in page) is not merged


def test_a_page_that_cannot_be_written_fails_nothing(world: World) -> None:
    (world.fork / f".git/carto-fork/{TAG}/report.html").mkdir(parents=True)
    done = world.run(f"upgrade-carto --tag {TAG} --no-tests --no-push")
    assert done.code == 0, done.err
    assert "could not be made (IsADirectoryError" in done.out
    assert f"This tries again: invoke report --tag {TAG}" in done.out


def test_a_conflict_that_is_left_is_shown_with_its_commands(world: World) -> None:
    world.git(f"fetch --quiet upstream tag {STABLE} --no-tags")
    done = world.run(f"forecast --tag {STABLE} --html forecast.html")
    assert done.code == 0, done.err
    page = (world.fork / "forecast.html").read_text()
    assert "A forecast: 2 conflicts would be left for a person." in page
    conflicts = section(page, "conflicts")
    assert '<span class="tag wrong">left</span> <code>Dockerfile</code>' in conflicts
    assert "Write your reason in place of WHY." in conflicts
    assert "carto-fork resolve-conflicts --keep-fork Dockerfile --reason WHY" in conflicts
    assert "<mark>" in conflicts and conflicts.count("<h4>base</h4>") >= 2
    kind = ">upstream workflow</span> <code>.github/workflows/"
    eyes = section(page, "eyes")
    assert f"{kind}ghcr_deploy.yml</code> upstream changed it, as shown; the fork does not" in eyes
    assert f"{kind}publish-migrations.yml</code> upstream added it<" in eyes
    refused = world.run("report --tag v1.77.2-stable")
    assert (refused.code, "no branch here holds a merge" in refused.err) == (1, True)


def test_what_is_said_of_a_conflict_is_read_from_the_result(world: World) -> None:
    """People may do something else than what was decided, and what they do is said."""
    main = "from lib import stop\n\n\ndef start_the_server(port):\n    return open_port({})\n"
    limits = "".join(f"LIMIT_{n} = {n} * 10\n" for n in range(8))

    def lib(wait: int, own: str = "") -> str:
        stop = f"def stop_the_server(port, wait={wait}):\n    return close_port(port, wait)\n\n\n"
        return f"{stop}{limits}{own}END_OF_LIMITS = 1\n"

    made_by = '// Code generated by "make plugins". DO NOT EDIT.\npackage plugins\n{}'
    before: dict[str, str | None] = {
        "main.py": main.format("port"),
        "lib.py": lib(1),
        "gone.txt": "one line that the fork removes\n",
        "go.mod": "module x\n\nrequire example.com/a v1.0.0\n",
        "vendor/modules.txt": "# example.com/a v1.0.0\n",
        "vendor/example.com/a/a.go": "package a\n",
        "plugins.go": made_by.format(""),
    }
    own = "\n\ndef reload_the_server(port):\n    return stop_the_server(port, 2)\n\n\n"
    mine: dict[str, str | None] = {
        "main.py": main.format("port, 'ours'"),
        "lib.py": lib(2, own),
        "gone.txt": None,
        "uses.py": "from lib import reload_the_server\n\nprint(reload_the_server(80))\n",
        "other.py": "from box import reload_the_server\n\nbox.reload_the_server(1)\n",
        "plugins.go": made_by.format('import _ "example.com/of/the/fork"\n'),
    }
    upstreams: dict[str, str | None] = {
        "main.py": main.format("port, 'theirs'"),
        "lib.py": lib(3),
        "gone.txt": "one line that upstream changes\n",
        "go.mod": "module x\n\nrequire example.com/a v1.1.0\n",
    }
    world.git("fetch --quiet --no-tags upstream")
    base = commit_in(world, world.fork, "refs/heads/b", before, "upstream/main")
    theirs = commit_in(world, world.fork, "refs/heads/t", upstreams, base)
    ours = commit_in(world, world.fork, "refs/heads/o", mine, base, message="feat: reload")
    now = {**upstreams, "plugins.go": made_by.format("")}
    revs = (ours, theirs)
    result = commit_in(world, world.fork, "refs/heads/r", now, *revs, message="chore: merge it")
    line = f"report --ours {ours} --theirs {theirs} --result {result} --output it.html"
    done = world.run(line)
    assert done.code == 0, done.err
    page = (world.fork / "it.html").read_text()
    conflicts, eyes = section(page, "conflicts"), section(page, "eyes")
    # It was decided, and the result has something else.
    assert '<span class="tag open">not as decided</span> <code>gone.txt</code>' in conflicts
    assert "The result does not follow this decision." in conflicts
    assert "The rule “removed stays removed” decides otherwise" in eyes
    # No rule decided it: who did, what was taken, and why no rule.
    by = re.escape(f"{result[:10]} (2025-09-30 chore: merge it) by Colleague took: upstream's.")
    assert re.search(
        rf"{by}.*No rule decided it: Both sides changed the same place", conflicts, re.S
    )
    # Upstream's whole file cost what was not in conflict, and that is used elsewhere.
    assert "Its conflict ended with: upstream's." in eyes
    assert "reload_the_server is gone, and the result still names it:" in eyes
    assert "  uses.py:1: " in eyes and "  uses.py:3: " in eyes and "other.py" not in eyes
    # That breaks something, so it stands before what may only be another choice.
    assert "It will not build, or fails: lib.py lacks what is used." in page
    breaks = re.search(r"<code>lib.py</code> 1 change of the fork.*\(breaks what", eyes)
    assert breaks
    assert breaks.start() < eyes.index("vendored</span>") < eyes.index("<code>gone.txt</code>")
    # What is lost in a file and not as decided is one row.
    assert eyes.count("<code>gone.txt</code>") == 1
    assert "What the marks at lines mean" in eyes
    # Why: the whole file was taken, and who changed what there.
    assert "That is upstream's whole file: 1 change of the fork that git had merged" in conflicts
    lines = conflicts[conflicts.index("<code>lib.py</code>") :]
    for side, commit in (("the fork", ours), ("upstream", theirs)):
        assert re.search(f"Changed here by {side} in:</p><ul><li>.*{commit[:10]}", lines)
    # The vendored tree is filled again, and the way back works as typed.
    assert "go.mod changed, and vendor/ is as the fork had it" in eyes
    assert "Run go mod tidy && go mod vendor, and commit" in html.unescape(page)
    [back] = re.findall(r'data-copy="(git apply <<.*?lib.py.*?)"', eyes, re.S)
    world.git(f"checkout --quiet --detach {result}")
    assert world.call(["bash", "-c", back]).code == 0
    assert (world.fork / "lib.py").read_text() == lib(3, own)
    assert (
        "Copy the patch that brings 1 of 2 changes to this file back" in eyes
        and "--3way" not in page
    )
    # Nothing that undoes what upstream changed in a file is offered, or a second thing.
    assert f"git checkout {ours[:10]} -- lib.py" not in eyes
    # What one patch brings back is not said to fit no patch; and what a tool writes nobody edits.
    assert "The patch in this file's other row has what of this can be patched." in eyes
    says = '“// Code generated by "make plugins". DO NOT EDIT.”: bring back what it is made from,'
    assert f"A tool writes this file, and says in it {says} and run the tool again" in eyes
    assert "-- plugins.go" not in eyes.replace(f"{result[:10]} -- plugins.go", "")
    # Why a check passed or not, and what did not run.
    assert "failed</span> verify: " in section(page, "checks")
    # Who resolved a conflict is asked before anything is brought back.
    whose = f"{result[:10]} (2025-09-30 chore: merge it) by Colleague"
    assert f"A person resolved this conflict: {whose}. Ask them whether that was meant." in eyes
    assert f"Ask {whose} whether it was meant, and bring back what was not (" in page
    assert "not run</span> build, tests: " in section(page, "checks")


def test_a_file_that_was_changed_after_its_decision_is_said_to_be_that(world: World) -> None:
    assert world.run(f"upgrade-carto --tag {TAG} --no-tests --no-push").code == 0
    work, path = world.work(TAG), "litellm/router.py"
    text = (work / path).read_text()

    def rows(now: str, message: str) -> tuple[str, str]:
        (work / path).write_text(now)
        world.git("commit --quiet --no-verify --all --message", message, repo=work)
        assert world.run(f"report --tag {TAG}").code == 0
        row = rf"<code>{re.escape(path)}</code>.*?</template>"
        page = page_of(world)
        eyes, conflicts = (
            "".join(re.findall(row, section(page, name), re.S)) for name in ("eyes", "conflicts")
        )
        return eyes, conflicts

    for said in rows(f"{text}END = 1\n", "more"):
        assert "Its conflict is as “dropped on purpose” decided: Upstream measures how" in said
        assert "Only other lines of the file were changed since, last in " in said
        assert " more) by Fork Maintainer: see whether that was meant." in said
        assert "decides otherwise" not in said and "does not follow" not in said
        assert "A person resolved" not in said and " took: " not in said
    # Once a hunk is another one, no rule is said to have decided it.
    eyes, conflicts = rows(text.replace("SECONDS = 10", "SECONDS = 12"), "other")
    assert "The rule “dropped on purpose” decides otherwise" in eyes
    assert "decided it" not in eyes and "Its conflict is as" not in eyes + conflicts
    assert "The result does not follow this decision." in conflicts


def test_the_forks_commits_are_in_the_order_of_what_became_of_their_own_lines(
    world: World,
) -> None:
    """A commit does not inherit what became of the rest of its file, and merges come last."""
    lines = [f"value_{n} = make_value({n})\n" for n in range(30)]
    logo = ".logo {\n  width: 10px;\n}\n"

    def text(*more: tuple[int, str]) -> str:
        there = {**dict(enumerate(lines)), **{n: lines[n] + line for n, line in more}}
        return "".join(there.values())

    kept, lost, merged = (10, "kept_one = 1\n"), (20, "lost_one = 2\n"), (25, "evil_one = 3\n")
    world.git("fetch --quiet --no-tags upstream")
    files: dict[str, str | None] = {"values.py": text(), "logo.css": logo, "own.scss": ".a {}\n"}
    files["_AnOrphan.scss"] = logo
    base = commit_in(world, world.fork, "refs/heads/b", files, "upstream/main")
    less = {"new.txt": "x\n", "values.py": text().replace(lines[5] + lines[6], "")}
    theirs = commit_in(world, world.fork, "refs/heads/t", less, base)
    first = {"values.py": text(kept)}
    one = commit_in(world, world.fork, "refs/heads/o", first, base, message="feat: kept")
    styled = {"logo.css": logo.replace("10px", "12px"), "own.scss": "$size-of-it: 1px;\n.a {}\n"}
    styled["_AnOrphan.scss"] = logo.replace("10px", "9px")
    two = commit_in(world, world.fork, "refs/heads/o", styled, one, message="feat: the logo")
    linted = {"values.py": text(kept, (28, "lint_one = 4\n"))}
    two = commit_in(world, world.fork, "refs/heads/o", linted, two, message="Make linter happier")
    early = {"values.py": text(kept, lost, (28, "lint_one = 4\n"))}
    two = commit_in(world, world.fork, "refs/heads/o", early, two, message="feat: early")
    two = commit_in(world, world.fork, "refs/heads/o", linted, two, message="fix: away")
    second = {"values.py": text(kept, lost, (28, "lint_one = 4\n"))}
    three = commit_in(world, world.fork, "refs/heads/o", second, two, message="feat: lost")
    between = commit_in(world, world.fork, "refs/heads/u", {"up.txt": "x\n"}, base)
    third: dict[str, str | None] = {
        "values.py": text(kept, lost, merged, (28, "lint_one = 4\n")),
        "up.txt": "x\n",
    }
    ours = commit_in(
        world, world.fork, "refs/heads/o", third, three, between, message="Merge branch 'up'"
    )
    theirs = commit_in(world, world.fork, "refs/heads/t", {"up.txt": "x\n"}, theirs, between)
    now: dict[str, str | None] = {"values.py": text(kept), "logo.css": logo, "new.txt": "x\n"}
    now |= {"own.scss": ".a {}\n", "_AnOrphan.scss": None}
    result = commit_in(world, world.fork, "refs/heads/r", now, ours, theirs)
    line = f"report --ours {ours} --theirs {theirs} --result {result} --output it.html"
    assert world.run(line).code == 0
    page = (world.fork / "it.html").read_text()
    mine = section(page, "fork")
    row = r'<span class="tag (?:\w*)">([\w ]+)</span> (feat: [\w ]+|Make.*?|Merge.*?) <'
    rows = re.findall(row, mine)
    assert [subject for fate, subject in rows if fate == "lost"] == [
        "feat: lost",
        "feat: the logo",
        "feat: early",  # another commit wrote its only line again
        "Make linter happier",
        "Merge branch 'up'",
    ]
    assert ("kept", "feat: kept") in rows
    # What upstream removed, and is there again, no commit of the fork wrote.
    assert "values.py</code></td><td>kept</td><td>12</td>" in mine and lines[5].strip() not in mine
    # What needs eyes is in the order of what it is about.
    eyes = section(page, "eyes")
    assert eyes.index("<code>values.py</code>") < eyes.index("<code>logo.css</code>")
    assert "(code)" in eyes and "(how it looks)" in eyes
    # Nobody has to bring back what nothing uses.
    unused = "Nothing in the result uses $size-of-it: to bring it back changes nothing."
    assert unused in eyes and "+$size-of-it" not in eyes and "+lost_one = 2" in eyes
    assert "Nothing in the result names AnOrphan: to bring it back changes nothing." in eyes
    assert "-- _AnOrphan.scss" not in eyes.replace(f"{result[:10]} -- _AnOrphan.scss", "")


def test_what_later_commits_settled_is_not_to_be_done_again(world: World) -> None:
    lines = [f"value_{n} = make_value({n})\n" for n in range(12)]
    names = ("again.py", "gone.py", "moved.py", "other.py", "same.py")
    base_ = "".join(lines)
    mine: dict[str, str | None] = {
        name: "".join([*lines[:6], f"own_of_{name[:4]} = make_it(1)\n", *lines[6:]])
        for name in names
    }
    first, second = "def own_of_part(): ...\n", "more_of_part = make_it(2)\n"
    mine |= {
        "part.py": "".join([*lines[:6], first, second, *lines[6:]]),
        "back.py": "".join([*lines[:3], *lines[5:]]),
        "uses.py": "from part import own_of_part\n\nprint(own_of_part)\n",
        "peg.ts": 'import { Peg } from "./Peg";\n\nPeg.get();\nPeg.of_the_fork();\n',
    }
    peg = 'import { Peg } from "./Peg";\n\nPeg.get();\n'
    go, record = (
        "module x\n\nrequire (\n\texample.com/a {} // indirect\n)\n",
        "# example.com/a {}\n",
    )
    old = dict.fromkeys([*names, "part.py", "back.py"], base_)
    old |= {"peg.ts": peg, "go.mod": go.format("v1.0.0")}
    old |= {
        "vendor/modules.txt": record.format("v1.0.0"),
        "vendor/example.com/a/a.go": "package a\n",
    }
    now = "".join([*lines[:2], "first_of_it = 2\n", *lines[3:]])
    world.git("fetch --quiet --no-tags upstream")
    base = commit_in(world, world.fork, "refs/heads/b", {**old}, "upstream/main")
    ours = commit_in(world, world.fork, "refs/heads/o", mine, base)
    upstreams: dict[str, str | None] = dict.fromkeys([*names, "part.py"], now)
    upstreams |= {"go.mod": go.format("v1.1.0"), "peg.ts": "room.get();\n"}
    theirs = commit_in(world, world.fork, "refs/heads/t", upstreams, base)
    both = {**upstreams, "back.py": base_, "peg.ts": "room.get();\nPeg.of_the_fork();\n"}
    result = commit_in(world, world.fork, "refs/heads/r", both, ours, theirs)
    branch = "refs/remotes/origin/carto/main"
    more = {"other.py": now.replace(lines[9], ""), "again.py": now.replace(lines[9], "")}
    one = commit_in(world, world.fork, branch, more, result, message="fix: less")
    fixed = {
        "again.py": mine["again.py"],
        "part.py": "".join([first, now]),
        "back.py": base_.replace(lines[3], ""),
        "peg.ts": "room.get();\nroom.of_the_fork();\n",
        "vendor/modules.txt": record.format("v1.1.0"),
    }
    two = commit_in(world, world.fork, branch, fixed, one, message="fix: again")
    after: dict[str, str | None] = {
        "gone.py": None,
        "again.py": f"{mine['again.py']}end_of_it = 1\n",
    }
    three = commit_in(world, world.fork, branch, after, two, message="refactor: less")
    split = commit_in(
        world,
        world.fork,
        "refs/remotes/upstream/main",
        {"moved.py": None},
        theirs,
        message="refactor: split it",
    )
    three_ = commit_in(world, world.fork, branch, {"moved.py": None}, three, split)
    line = f"report --ours {ours} --theirs {theirs} --result {result} --output it.html"
    assert world.run(line).code == 0
    page = html.unescape((world.fork / "it.html").read_text())
    eyes = section(page, "eyes")
    rows = {
        name: row
        for name, row in re.findall(r"<code>(\w+(?:\.\w+|/))</code>(.*?)</template>", eyes, re.S)
    }
    assert f"Done since in {two[:10]} (2025-09-30 fix: again)." in rows["again.py"]
    deleted = f"Deleted since in {three[:10]} (2025-09-30 refactor: less): nothing of this is left"
    assert deleted in rows["gone.py"]
    # That upstream deleted a file settles nothing of the fork's.
    deleted = f"deleted since in {split[:10]} (2025-09-30 refactor: split it), a commit of upstream"
    assert f"{deleted}: look whether the fork's change is still needed" in rows["moved.py"]
    for name in ("vendor/", "peg.ts"):
        assert f"Done since in {two[:10]} (2025-09-30 fix: again)." in rows[name]
    assert (
        "of what is missing, 1 of 2 lines came back: “def own_of_part(): ...”." in rows["part.py"]
    )
    again = f"of what is back, 1 of 2 lines is gone again: “{lines[3].strip()}”."
    assert again in rows["back.py"]
    assert "The result does not build, or fails when it runs: what is gone is" in rows["part.py"]
    assert "made for production as it is now" in rows["part.py"] and "will not build" not in page
    assert (
        f"Changed since in {one[:10]} (2025-09-30 fix: less); this is still so." in rows["other.py"]
    )
    assert "since in" not in rows["same.py"]
    # What is settled is not counted, and no command undoes it; a patch is for the file as it is.
    assert "Done since." in rows["uses.py"]  # its import leads to where the name is again
    assert "Something is wrong: 5 changes lost. Later commits settled 5 rows below." in page
    # What is open comes first.
    assert {*[*rows][-5:]} == {"again.py", "gone.py", "vendor/", "peg.ts", "uses.py"}
    assert "git apply" not in rows["again.py"] + rows["gone.py"]
    [back] = re.findall(r'data-copy="(git apply <<.*?EOF)"', rows["other.py"], re.S)
    world.git(f"checkout --quiet --detach {three_}")
    assert world.call(["bash", "-c", html.unescape(back)]).code == 0
    assert "own_of_othe = make_it(1)\n" in (world.fork / "other.py").read_text()


def test_of_several_commits_with_the_same_line_the_one_whose_line_is_gone_is_named(
    world: World,
) -> None:
    lines = [f"value_{n} = make_value({n})\n" for n in range(30)]
    same, texts = "    default_of_it = True,\n", []
    for places in ((), (8,), (8, 20)):
        texts.append("".join(x + same * (n in places) for n, x in enumerate(lines)))
    theirs_ = texts[0].replace(lines[21], "value_21 = of_upstream(21)\n")
    world.git("fetch --quiet --no-tags upstream")
    base = commit_in(world, world.fork, "refs/heads/b", {"a.py": texts[0]}, "upstream/main")
    one = commit_in(
        world, world.fork, "refs/heads/o", {"a.py": texts[1]}, base, message="feat: one"
    )
    ours = commit_in(
        world, world.fork, "refs/heads/o", {"a.py": texts[2]}, one, message="feat: two"
    )
    theirs = commit_in(world, world.fork, "refs/heads/t", {"a.py": theirs_}, base)
    now = {"a.py": texts[1].replace(lines[21], "value_21 = of_upstream(21)\n")}
    result = commit_in(world, world.fork, "refs/heads/r", now, ours, theirs)
    line = f"report --ours {ours} --theirs {theirs} --result {result} --output it.html"
    assert world.run(line).code == 0
    page = (world.fork / "it.html").read_text()
    mine = section(page, "fork")
    row = r'<span class="tag (?:\w*)">([\w ]+)</span> (feat: \w+) '
    fates = {subject: fate for fate, subject in re.findall(row, mine)}
    assert (fates["feat: one"], fates["feat: two"] == "kept") == ("kept", False)
    eyes = section(page, "eyes")
    assert "feat: two" in eyes and "feat: one" not in eyes


def test_a_commit_is_found_under_the_names_that_its_files_have_now(world: World) -> None:
    """And what was gone before the merge is not said to be kept."""
    lines = [f"value_{n} = make_value({n})\n" for n in range(30)]

    def text(*more: str) -> str:
        return "".join([*lines[:8], *more, *lines[8:]])

    def commit(branch: str, files: dict[str, str | None], *on: str, message: str) -> str:
        return commit_in(world, world.fork, f"refs/heads/{branch}", files, *on, message=message)

    world.git("fetch --quiet --no-tags upstream")
    base = commit(
        "b",
        dict.fromkeys(("a.scss", "b.py", "c.py", "e.py", "f.py", "g.py", "h.py"), text()),
        "upstream/main",
        message="b",
    )
    blue, long = "colour_of_it = blue_of_us\n", "first_word_of_it = make_it(size_of_it = of_us)\n"
    ours = commit("o", {"a.scss": text(blue, long)}, base, message="feat: blue")
    ours = commit("o", {"b.py": text("undone = 1\n")}, ours, message="feat: undone")
    ours = commit(
        "o", {"b.py": text(), "c.py": text("old_text_of_it = 1\n")}, ours, message="feat: old"
    )
    ours = commit("o", {"c.py": text("new_words_here = 2\n")}, ours, message="feat: new")
    verb = "verb_of_the_fork = 1\n"
    ours = commit("o", {"h.py": text(verb)}, ours, message="feat: verb")
    moves: dict[str, str | None] = {"a.scss": None, "a.pcss": text(), "h.py": None}
    renamed = commit("t", moves | {"verbs.py": text()}, base, message="refactor: rename")
    now = {**moves, "a.pcss": text(blue, long), "verbs.py": text(verb)}
    ours = commit("o", now, ours, renamed, message="Merge the rename")
    wrapped = ("first_word_of_it = make_it(\n", "    size_of_it = of_us\n", ")\n")
    ours = commit("o", {"a.pcss": text(blue, *wrapped)}, ours, message="style: wrap")
    fewer: dict[str, str | None] = {"e.py": "".join(lines[5:])}
    ours = commit("o", fewer, ours, message="feat: fewer")
    taken, own = "taken_by_upstream = 1\n", "of_the_fork_alone = 1\n"
    ours = commit("o", {"f.py": text(taken)}, ours, message="feat: taken")
    ours = commit("o", {"f.py": text(taken, own)}, ours, message="feat: mine")
    mine = text("of_the_fork_in_g = 1\n")
    ours = commit("o", {"g.py": mine}, ours, message="feat: moved along")
    new: dict[str, str | None] = {"d.py": "x = 1\n", "g.py": None}
    files = {**new, "f.py": text(taken), "in/g.py": text()}
    theirs = commit("t", files, renamed, message="feat: theirs")
    merged = {**new, "a.pcss": text(), "in/g.py": mine}
    result = commit("r", merged, ours, theirs, message="Merge it")
    line = f"report --ours {ours} --theirs {theirs} --result {result} --output it.html"
    assert world.run(line).code == 0
    page = (world.fork / "it.html").read_text()
    fates = dict[str, list[tuple[str, str]]]()
    for subject, inside in re.findall(
        r"</span> ((?:feat|style|Merge).*?) <.*?(<tbody>.*?)</tbody>", section(page, "fork"), re.S
    ):
        fates[subject] = re.findall(r"<td><code>(.*?)</code></td><td>(.*?)</td>", inside)
    assert fates["feat: blue"] == [("a.pcss", "lost")]
    assert fates["feat: moved along"] == [("g.py", "moved")] and "<td>in in/g.py" in page
    assert fates["feat: undone"] == [("b.py", "as upstream's before this merge")]
    assert ("c.py", "gone before this merge") in fates["feat: old"]
    assert fates["feat: verb"] == [("h.py", "the file was gone, or renamed, before this merge")]
    assert fates["feat: new"] == [("c.py", "kept")]
    # What is kept, if it is not lines, is said, too.
    mine = section(page, "fork")
    assert "e.py</code></td><td>kept</td><td>without 5 lines that upstream has</td>" in mine
    assert "\n    - value_4 = make_value(4)\n" in mine
    # Upstream took it up, so nothing of it is the fork's.
    assert fates["feat: taken"] == [("f.py", "as upstream's by now")]
    assert fates["feat: mine"] == [("f.py", "kept")]
    assert fates["Merge the rename"] == [("verbs.py", "kept")]  # and not a.pcss
    assert "style: wrap" not in section(page, "eyes")
    assert "feat: blue" in section(page, "eyes")


def test_what_upstream_wrote_itself_is_not_taken_for_the_forks(world: World) -> None:
    """Neither what an older release has, and a newer one has otherwise, nor what a sync without its
    ancestry left behind."""
    lines = [f"value_{n} = make_value({n})\n" for n in range(30)]

    def text(at: int, *more: str) -> str:
        return "".join([*lines[:at], *more, *lines[at:]])

    def commit(branch: str, files: dict[str, str | None], *on: str, message: str) -> str:
        return commit_in(world, world.fork, f"refs/heads/{branch}", files, *on, message=message)

    flag = "use_the_flag_of_it = find_the_flag()\n"
    quick, proper = "quick_fix_of_it = mend_it(1)\n", "proper_fix_of_it = repair_it(2)\n"
    world.git("fetch --quiet --no-tags upstream")
    files: dict[str, str | None] = {"a.py": text(8), "b.py": text(8)}
    start = commit("u", files, "upstream/main", message="feat: start")
    many: dict[str, str | None] = {f"new/{n}.py": f"name_{n} = {n}\n" for n in range(30)}
    flagged = commit("u", {**many, "b.py": text(8, flag)}, start, message="feat: a flag")
    squashed = {**many, "b.py": text(8, flag), "a.py": text(20, "own_of_it = 1\n")}
    ours = commit("o", {"a.py": text(20, "own_of_it = 1\n")}, start, message="feat: own")
    ours = sync = commit("o", squashed, ours, message="sync: upstream, squashed")
    base = commit("u", {"b.py": text(8)}, flagged, message="fix: no flag")
    # The squashed sync is older than upstream's removal; the merge has it, and the lines.
    ours = kept = commit("o", {"b.py": text(8, flag)}, ours, base, message="Merge upstream")
    release = commit("rel", {"a.py": text(8, quick)}, base, message="fix: quick")
    now = "".join([*lines[:8], quick, *lines[8:20], "own_of_it = 1\n", *lines[20:]])
    ours = commit("o", {"a.py": now}, ours, release, message="Merge tag 'v1.90.0-stable'")
    mine: dict[str, str | None] = {"a.py": text(8, proper), "b.py": text(8, "none = 0\n")}
    theirs = commit("t", mine, base, message="fix: proper")
    world.git(f"update-ref refs/remotes/upstream/main {theirs}")
    for name, tip in (("v1.90.0-stable", release), ("v1.90.1-stable", theirs)):
        world.git(f"tag {name} {tip}")
        world.git(f"push --quiet --no-verify upstream {name}")
    merged: dict[str, str | None] = {
        "a.py": now.replace(quick, proper),
        "b.py": text(8, flag, "none = 0\n"),
    }
    result = commit("r", merged, ours, theirs, message="Merge it")
    revs = f"--ours {ours} --theirs {theirs} --result {result}"
    assert world.run(f"report {revs} --output it.html").code == 0
    page = (world.fork / "it.html").read_text()
    eyes, conflicts = section(page, "eyes"), section(page, "conflicts")
    own = "pstream's own, and not the fork's: it wrote this in"
    said = f"{own} {release[:10]} (2025-09-30 fix: quick)."
    assert "upstream's own</span> <code>a.py</code> 1 change of upstream" in eyes
    assert f"Why: U{said}" in eyes and "Ask them" not in eyes
    account = json.loads(world.run(f"verify {revs} --json").out)
    assert not account["lost"] and not account["look_at"]
    assert f"U{said}" in [one["reason"] for one in account["explained"]]
    left = f"{own} {flagged[:10]} (2025-09-30 feat: a flag), which {sync[:10]} (2025-09-30 sync: up"
    left += "stream, squashed) brought into the fork's history"
    left += f", and removed it again in {base[:10]} "
    assert f"What only the fork's side has here: u{left}(2025-09-30 fix: no flag); " in conflicts
    assert f"no flag); {kept[:10]} (2025-09-30 Merge upstream) kept it, or" in conflicts
    assert f"u{left}" in eyes


def test_to_which_file_upstream_moved_the_place_of_a_lost_line_is_said(world: World) -> None:
    head = [f"value_{n} = make_value({n})\n" for n in range(9)]
    block = [f"    show_part_{n}_of_it(of_the_room_{n})\n" for n in range(6)]
    mine = [*block[:3], "    show_it_from_right_to_left(of_us)\n", *block[3:]]
    moved = "def show_the_title(room):\n" + "".join(block).replace("of_the_room", "room")

    def room(lines: list[str]) -> str:
        return "".join([*head, "def show_the_room():\n", *lines, *head[::-1]])

    world.git("fetch --quiet --no-tags upstream")
    base = commit_in(world, world.fork, "refs/heads/b", {"a.py": room(block)}, "upstream/main")
    ours = commit_in(world, world.fork, "refs/heads/o", {"a.py": room(mine)}, base)
    files: dict[str, str | None] = {"a.py": room(["    show_the_title()\n"]), "title.py": moved}
    files["other.py"] = "other_value = 1\n"
    theirs = commit_in(world, world.fork, "refs/heads/t", files, base, message="refactor: title")
    result = commit_in(world, world.fork, "refs/heads/r", files, ours, theirs)
    line = f"report --ours {ours} --theirs {theirs} --result {result} --output it.html"
    assert world.run(line).code == 0
    eyes = section((world.fork / "it.html").read_text(), "eyes")
    place = f"{theirs[:10]} (2025-09-30 refactor: title), and moved it to title.py"
    assert f"Upstream changed this place in {place}: see whether this is missing there." in eyes
    # What each of two files had before, and has in another form, went nowhere.
    typed = [line.replace("room", "the_room") for line in block]
    twice: dict[str, str | None] = {"a.py": room(block), "twin.py": "".join(block)}
    base = commit_in(world, world.fork, "refs/heads/b", twice, "upstream/main")
    ours = commit_in(world, world.fork, "refs/heads/o", {"a.py": room(mine)}, base)
    twice = {"a.py": room(typed), "twin.py": "".join(typed)}
    theirs = commit_in(world, world.fork, "refs/heads/t", twice, base, message="refactor: types")
    result = commit_in(world, world.fork, "refs/heads/r", twice, ours, theirs)
    line = f"report --ours {ours} --theirs {theirs} --result {result} --output it.html"
    assert world.run(line).code == 0
    eyes = section((world.fork / "it.html").read_text(), "eyes")
    assert "(2025-09-30 refactor: types)" in eyes and "moved it to" not in eyes


def test_a_conflict_that_was_committed_with_its_markers_is_one_thing_to_do(world: World) -> None:
    text = "one\n{}\nthree\n"
    world.git("fetch --quiet --no-tags upstream")
    base = commit_in(
        world, world.fork, "refs/heads/b", {"a.txt": text.format("2")}, "upstream/main"
    )
    ours = commit_in(world, world.fork, "refs/heads/o", {"a.txt": text.format("our two")}, base)
    theirs = commit_in(world, world.fork, "refs/heads/t", {"a.txt": text.format("their 2")}, base)
    marks = "<<<<<<< ours\nour two\n=======\ntheir 2\n>>>>>>> theirs"
    left = {"a.txt": text.format(marks)}
    result = commit_in(world, world.fork, "refs/heads/r", left, ours, theirs)
    line = f"report --ours {ours} --theirs {theirs} --result {result} --output it.html"
    assert world.run(line).code == 0
    page = html.unescape((world.fork / "it.html").read_text())
    eyes = section(page, "eyes")
    assert "It must not land yet: 1 conflict left" in page and "markers: " not in eyes
    # What is in such a file is neither side's yet; its markers are findings, and no more to judge.
    assert "a.txt</code></td><td>left</td><td>its conflict is left</td>" in section(page, "fork")
    # What is to be judged has one number.
    number = (
        ">findings of the checks</th><td>0, and 1 file with markers of conflicts that are left<"
    )
    assert number in page
    # No version undoes nothing, so none is offered whole.
    assert "Edit a.txt: what is right in its lines 2-6 stays, and the markers go." in eyes
    assert "git checkout" not in eyes
    # Whether they are still there is read from the production branch.
    branch = "refs/remotes/origin/carto/main"
    more = {"a.txt": f"{left['a.txt']}four\n"}
    later = commit_in(world, world.fork, branch, more, result, message="fix: more")
    assert world.run(line).code == 0
    page = html.unescape((world.fork / "it.html").read_text())
    since = f"Changed since in {later[:10]} (2025-09-30 fix: more); the markers are still there."
    assert since in section(page, "eyes") and "Something is wrong: 1 conflict left" in page
    commit_in(world, world.fork, branch, {"a.txt": text.format("2")}, later, message="fix: none")
    assert world.run(line).code == 0
    page = html.unescape((world.fork / "it.html").read_text())
    assert "Done since in" in section(page, "eyes") and "1 conflict left" not in page


def test_what_the_fork_built_of_sources_that_upstream_changed_is_to_be_built_again(
    world: World,
) -> None:
    built = "/* bundled */" + "x=y(z);" * 60 + "\n//# sourceMappingURL=a.js.map\n"
    before = {
        ".gitignore": "/web/static\n/*.cfg\n",
        "web/src/app.js": "export const wait = 1;\n",
        "web/parser/it.grammar": "start { word }\n",
        "web/package-lock.json": '{"name": "x"}\n',
        "unchanged/src.js": "export const x = 1;\n",
        "Makefile": "clean:\n\trm -r web/static\nassets: app\n\tpack -o web/static web/src\n"
        "app:\n\t(cd web && npm run build)\n",
        "web/package.json": '{"scripts": {"build": "sh ./build.sh && cp -r out static/app"}}\n',
        "web/build.sh": "build src\n",
    }
    mine: dict[str, str | None] = {
        "web/static/a.js": built,
        "web/static/index.html": "<script src=a.js></script>" + "<p>" * 90,
        "web/gen/parser.js": "// This file was generated by lezer-generator.\nexport default 1;\n",
        # A note is about what its command writes, and about nothing else near it.
        "web/.gitignore": "# Run 'make assets' and commit it.\n",
        "web/static/app/b.js": built,
        "web/static/old-app/c.js": built,
        "manifest.txt": "x@1\n",
        "tools/manifest.sh": "jq .name web/package-lock.json | sort > manifest.txt\n",
        # Upstream ignores it, and a person wrote it; and this one's sources are as they were.
        "own.cfg": "wait = 1\n",
        "web/old/parser.js": "// This file was generated by lezer-generator.\nexport default 2;\n",
        "unchanged/dist.js": "// Code generated by it. DO NOT EDIT.\n",
    }
    upstreams: dict[str, str | None] = {
        "web/src/app.js": "export const wait = 2;\n",
        "web/parser/it.grammar": "start { word* }\n",
        "web/package-lock.json": '{"name": "y"}\n',
    }
    world.git("fetch --quiet --no-tags upstream")
    grammar = {"web/old/it.grammar": "start { word }\n"}
    base = commit_in(world, world.fork, "refs/heads/b", {**before, **grammar}, "upstream/main")
    gone: dict[str, str | None] = dict.fromkeys(grammar)
    base = commit_in(world, world.fork, "refs/heads/b", gone, base, message="chore: away")
    ours = commit_in(world, world.fork, "refs/heads/o", mine, base, message="chore: build it")
    theirs = commit_in(world, world.fork, "refs/heads/t", upstreams, base)
    result = commit_in(world, world.fork, "refs/heads/r", upstreams, ours, theirs)
    line = f"report --ours {ours} --theirs {theirs} --result {result} --output it.html"
    assert world.run(line).code == 0
    page = (world.fork / "it.html").read_text()
    eyes = section(page, "eyes")
    rows = re.findall(
        r">to be built again</span> <code>(.*?)</code> (\d+) file.*?</template>", eyes, re.S
    )
    assert rows == [("web/static/", "4"), ("web/gen/parser.js", "1"), ("manifest.txt", "1")]
    assert "It is built: upstream's .gitignore names it." in eyes
    assert "It is built: its first lines say that a program wrote it." in eyes
    assert "It is built: tools/manifest.sh writes it." in eyes
    assert "@@ what upstream changed\nweb/parser/: it.grammar\n" in eyes
    # What it was built from may be gone for long.
    [left] = re.findall(
        r">left over</span> <code>web/old/parser.js</code>.*?</template>", eyes, re.S
    )
    assert (
        f"Upstream deleted the rest of this directory in {base[:10]} (2025-09-30 chore: aw" in left
    )
    # By which command, if the repository says so.
    built_by = "web/static/ (run make assets), web/gen/parser.js, manifest.txt (run sh tools/man"
    assert f"Build again: {built_by}ifest.sh) (3 builds to make again)" in page
    assert "Build it again: run make assets, as web/.gitignore says. It is built: " in eyes
    script = "run sh tools/manifest.sh. It is the project's own script: read it before you run it"
    assert script in eyes and eyes.count("the project's own script") == 1
    nothing = "Nothing in the repository shows what writes web/static/old-app/: see whether that"
    assert f"{nothing} is still used." in eyes
    assert "again: the repository does not say by which command; ask who built it." in eyes
    assert "6 to be built again" in section(page, "numbers")
    kept = dict(re.findall(r"<code>([\w/.]+)</code></td><td>([\w ]+)<", section(page, "fork")))
    assert (kept["own.cfg"], kept["web/static/a.js"]) == ("kept", "to be built again")


def test_of_a_commit_that_is_not_the_release_only_what_git_shows_is_said(world: World) -> None:
    world.git("fetch --quiet upstream --tags")
    release = world.git(f"rev-parse {STABLE}^0")
    before = world.git(f"rev-parse {STABLE}~1")
    lines = [f"value_{n} = of_the_ancestor({n})\n" for n in range(12)]
    texts = {"of_it.py": "WAIT = 3\n", "a.py": "".join(lines)}
    fix = commit_in(world, world.fork, "refs/heads/f", texts, before, message="fix: wait")
    mine = {"a.py": "".join(["fork = 1\n", *lines])}
    ours = commit_in(world, world.fork, "refs/heads/o", mine, fix)
    # What all three have, and only the merge on top of the release lost, is lost for the fork, too.
    router = world.git(f"show {release}:litellm/router.py").split("\n")
    start = next(n for n, x in enumerate(router) if len(x) > 30)
    cut = {"litellm/router.py": "\n".join([*router[:start], *router[start + 1 :], ""])}
    joined = texts | cut
    tip = commit_in(world, world.fork, "refs/heads/u", joined, release, fix, message="sync: join")
    gone: dict[str, str | None] = {**cut, "a.py": "".join(["fork = 1\n", *lines[:4], *lines[7:]])}
    result = commit_in(world, world.fork, "refs/heads/r", gone, ours, tip)
    line = f"report --ours {ours} --theirs {tip} --result {result} --output it.html"
    assert world.run(line).code == 0
    eyes = section((world.fork / "it.html").read_text(), "eyes")
    by = f"{tip[:10]} (2025-09-30 sync: join) by Colleague, a merge of {STABLE} and {fix[:10]}"
    assert f"Upstream's side is {by}. The account counts all of it as upstream's." in eyes
    assert "somebody changed it" not in eyes
    assert f"of_it.py, whose lines with + are from {fix[:10]} (2025-09-30 fix: wait)\n@@" in eyes
    # All lines are there, and whoever reads them knows that the merge itself took them out.
    assert "a.py\n" + "".join(f"- {line}" for line in lines[4:7]) in eyes
    assert "Neither side removed this: it was done while merging, or came with" in eyes
    assert f"litellm/router.py\n- {router[start].strip()}\n" in eyes
    assert f"{STABLE} have, lost in {tip[:10]} (2025-09-30 sync: join): " in eyes
    assert "Git's own merge of that merge's parents has them, so nobody decided that: bring" in eyes
    # All that the file lacks of the release, its own version brings back.
    assert f'data-copy="git checkout {STABLE} -- litellm/router.py">' in eyes
    # Who has it, and what changed the same file since.
    assert "It must not land yet: " in (world.fork / "it.html").read_text()
    world.git(f"tag v1.0.0-of-us {result}")
    world.git(f"update-ref refs/remotes/origin/next {result}")
    assert world.run(line).code == 0
    page = html.unescape((world.fork / "it.html").read_text())
    assert "carto/main does not have it here, but it is in the tag v1.0.0-of-us and the b" in page
    assert "branch origin/next: type git fetch origin, and if carto/main still does not" in page
    assert "Something is wrong: " in page and "must not land" not in page
    assert " It is in the tag v1.0.0-of-us and the branch origin/next.<" in page
    branch = "refs/remotes/origin/carto/main"
    later = commit_in(world, world.fork, branch, {"a.py": "x\n"}, result, message="fix: back")
    assert world.run(line).code == 0
    page = html.unescape((world.fork / "it.html").read_text())
    assert "of its own; what later commits changed names them below." in page
    assert page.count(f"Changed since in {later[:10]} (2025-09-30 fix: back).") == 1


def test_what_a_person_left_out_of_a_conflict_is_not_said_to_be_nobodys_decision(
    world: World,
) -> None:
    lines = [f"value_{n} = make_value({n})\n" for n in range(9)]
    first, last = "first_of_it = 1\n", "name_of_it = make_the_name_of_it(1)\n"
    more, short = "".join([first, *lines, last]), {"a.py": "".join([first, *lines[:8]])}
    world.git("fetch --quiet upstream --tags")
    start = commit_in(world, world.fork, "refs/heads/b", {"a.py": "".join(lines)}, STABLE)
    fix = commit_in(world, world.fork, "refs/heads/f", {"a.py": more}, start)
    release = commit_in(world, world.fork, "refs/heads/s", {"new.txt": "x\n"}, fix)
    world.git(f"tag v1.77.3-stable {release}")
    other = commit_in(world, world.fork, "refs/heads/h", {"a.py": "".join(lines[:8])}, start)
    join = commit_in(world, world.fork, "refs/heads/j", short, fix, other, message="sync: join")
    tip = commit_in(world, world.fork, "refs/heads/u", short, release, join)
    ours = commit_in(world, world.fork, "refs/heads/o", {"own.txt": "x\n"}, fix)
    result = commit_in(world, world.fork, "refs/heads/r", {"new.txt": "x\n", **short}, ours, tip)
    line = f"report --ours {ours} --theirs {tip} --result {result} --output it.html"
    assert world.run(line).code == 0
    eyes = section((world.fork / "it.html").read_text(), "eyes")
    assert f"lost in {join[:10]} (2025-09-30 sync: join), such as: " in eyes
    assert "a person resolved the conflict without them." in eyes and "nobody decided" not in eyes


def test_generated_files_of_another_build_are_not_counted_as_upstreams(world: World) -> None:
    out = "litellm/proxy/_experimental/out/{}.html"
    world.git("fetch --quiet --no-tags upstream")
    names = ("index", "a", "b", "c")
    old, mine, theirs_ = (
        {out.format(n): f"{build} {n}\n" for n in names} for build in ("old", "mine", "theirs")
    )
    base = commit_in(world, world.fork, "refs/heads/b", old, "upstream/main")
    # What the fork has twice, under another name only itself, is of its build, too.
    mine |= {out.format("a-again"): "mine a\n"}
    ours = commit_in(world, world.fork, "refs/heads/o", mine, base, message="chore: build")
    theirs = commit_in(world, world.fork, "refs/heads/t", theirs_, base)
    now = {**mine, out.format("only-of-the-merge"): "mine\n"}
    result = commit_in(world, world.fork, "refs/heads/r", now, ours, theirs)
    line = f"report --ours {ours} --theirs {theirs} --result {result} --output it.html"
    assert world.run(line).code == 0
    page = (world.fork / "it.html").read_text()
    assert "4 generated, and not from upstream's build" in section(page, "numbers")
    assert "Nothing is lost but upstream's version of 4 generated files." in html.unescape(page)
    # Which build is served, and how one number follows from the other.
    eyes, tree = section(page, "eyes"), "litellm/proxy/_experimental/out/"
    assert f"6 generated files not from upstream's build, such as {tree}" in eyes
    assert f"5 files of {tree} are as the fork had them before this merge: 4 where up" in eyes
    assert "others (upstream changed 4), and 1 that upstream's build does not have." in eyes
    assert "Of 1 other file it has neither side's version." in eyes
    assert f"{tree}index.html is the fork's, from before this merge." in eyes
    assert (
        f"<li>Take upstream's build of {tree} (1 tree of built files to settle).<"
        in html.unescape(page)
    )
    assert "Take upstream's build: " in eyes and "uild it again" not in eyes
    assert "The finding about this directory says what to do." in eyes
    first = eyes
    # Which a command takes; what only the fork's build has goes.
    take = r'data-copy="([^"]*)">Copy the command that takes upstream\'s 6 files'
    [line] = re.findall(take, section(page, "eyes"))
    world.git(f"checkout --quiet --detach {result}")
    assert world.call(["bash", "-c", line]).code == 0
    assert world.git(f"diff --cached --name-only {theirs} -- litellm/proxy/_experimental/out") == ""
    # Whoever took only some files of upstream's build has a mix.
    same = {out.format("same"): "same\n"}
    both = (mine | same, theirs_ | same, now | same | {out.format("a"): theirs_[out.format("a")]})
    ours = commit_in(world, world.fork, "refs/heads/o", both[0], base, message="chore: build")
    theirs = commit_in(world, world.fork, "refs/heads/t", both[1], base)
    result = commit_in(world, world.fork, "refs/heads/r", both[2], ours, theirs)
    line = f"report --ours {ours} --theirs {theirs} --result {result} --output it.html"
    assert world.run(line).code == 0
    eyes, mix = section((world.fork / "it.html").read_text(), "eyes"), "a mix of two builds."
    assert "1 file is from upstream's build, and 7 are the same in both builds." in eyes
    assert f"So this is {mix}" in eyes and mix not in first
    # Upstream's build does not fit other sources than upstream's.
    script = {"ui/build_it.sh": f"npm run build && cp -r out/* ../{tree.rstrip('/')}/\n"}
    base = commit_in(world, world.fork, "refs/heads/b", {**old, **script}, "upstream/main")
    ours = commit_in(world, world.fork, "refs/heads/o", {**mine, "ui/a.js": "x = 1\n"}, base)
    theirs = commit_in(world, world.fork, "refs/heads/t", theirs_, base)
    result = commit_in(world, world.fork, "refs/heads/r", now, ours, theirs)
    done = f"report --ours {ours} --theirs {theirs} --result {result} --output it.html"
    assert world.run(done).code == 0
    page = html.unescape((world.fork / "it.html").read_text())
    # A build comes after the decisions about what it is built from.
    assert re.search(f"See whether each result.*<li>Build {tree} again \\(", page, re.S)
    eyes = section(page, "eyes")
    assert "Upstream's build is of other sources than the result has, such as ui/a.js." in eyes
    assert 'data-copy="(cd ui && sh ./build_it.sh)">Copy the command that builds them' in eyes
    assert "ake upstream's build" not in page and "Copy the command that takes" not in page


def test_the_same_change_in_many_files_is_one_row(world: World) -> None:
    lines = [f"value_{n} = make_value({n})\n" for n in range(20)]
    texts = {f"src/part{n}.py": "".join(lines) for n in range(11)}
    mark = "# noqa: the fork checks this by itself\n"
    mine: dict[str, str | None] = {path: mark + text for path, text in texts.items()}
    mine["src/one.py"] = "".join([*lines[:5], "only_of_the_fork = 1\n"])
    texts["src/one.py"] = "".join(lines[:5])
    world.git("fetch --quiet --no-tags upstream")
    base = commit_in(world, world.fork, "refs/heads/b", {**texts}, "upstream/main")
    ours = commit_in(world, world.fork, "refs/heads/o", mine, base, message="chore: lint")
    theirs = commit_in(world, world.fork, "refs/heads/t", {"new.txt": "x\n"}, base)
    lost: dict[str, str | None] = {**texts, "new.txt": "x\n"}
    result = commit_in(world, world.fork, "refs/heads/r", lost, ours, theirs)
    line = f"report --ours {ours} --theirs {theirs} --result {result} --output it.html"
    assert world.run(line).code == 0
    eyes = section((world.fork / "it.html").read_text(), "eyes")
    assert "11 changes of the fork in 11 files: the same lines" in eyes
    assert all(f"1 in {path}" in eyes for path in texts if path != "src/one.py")
    assert eyes.count(f"- {mark.strip()}") == 1
    # The command is for all of them, whatever its name.
    [diff] = re.findall(r'data-copy="([^"]*)">Copy git diff of all 11 files<', eyes)
    assert all(path in diff for path in texts if path != "src/one.py")
    assert "<code>src/one.py</code> 1 change of the fork" in eyes


def test_a_version_that_a_release_states_is_not_asked_about(world: World) -> None:
    text = '[project]\nname = "it"\nversion = "{}"\n{}'
    world.git("fetch --quiet --no-tags upstream")
    files = {"a/pyproject.toml": text.format("1.0.0", "wait_for_it = 1\n")}
    base = commit_in(world, world.fork, "refs/heads/b", {**files}, "upstream/main")
    mine = {"a/pyproject.toml": text.format("1.0.0+us", "wait_for_it = 1\n")}
    ours = commit_in(world, world.fork, "refs/heads/o", {**mine}, base)
    upstreams = {"a/pyproject.toml": text.format("1.1.0", "wait_for_it = 1\n")}
    theirs = commit_in(world, world.fork, "refs/heads/t", {**upstreams}, base)
    result = commit_in(world, world.fork, "refs/heads/r", {**upstreams}, ours, theirs)
    line = f"report --ours {ours} --theirs {theirs} --result {result} --output it.html"
    assert world.run(line).code == 0
    said = "They only state a version, and each release states its own."
    eyes = section((world.fork / "it.html").read_text(), "eyes")
    assert said in eyes and "Was that meant?" not in eyes
    # Another setting is asked about.
    mine = {"a/pyproject.toml": text.format("1.0.0", "wait_for_it = 2\n")}
    ours = commit_in(world, world.fork, "refs/heads/o", {**mine}, base)
    upstreams = {"a/pyproject.toml": text.format("1.0.0", "wait_for_it = 3\n")}
    theirs = commit_in(world, world.fork, "refs/heads/t", {**upstreams}, base)
    result = commit_in(world, world.fork, "refs/heads/r", {**upstreams}, ours, theirs)
    line = f"report --ours {ours} --theirs {theirs} --result {result} --output it.html"
    assert world.run(line).code == 0
    assert said not in section((world.fork / "it.html").read_text(), "eyes")


def test_what_a_release_removed_and_a_commit_on_it_has_again_is_said(world: World) -> None:
    lines = [f"value_{n} = make_value({n})\n" for n in range(9)]
    world.git("fetch --quiet upstream --tags")
    start = commit_in(world, world.fork, "refs/heads/b", {"a.py": "".join(lines)}, STABLE)
    less = {"a.py": "".join([*lines[:4], *lines[6:]])}
    gone = commit_in(world, world.fork, "refs/heads/g", less, start, message="fix: less")
    world.git(f"tag v1.77.3-stable {gone}")
    texts = {"a.py": "".join(lines)}
    tip = commit_in(world, world.fork, "refs/heads/u", {**texts}, gone, message="chore: back")
    ours = commit_in(world, world.fork, "refs/heads/o", {"own.txt": "x\n"}, start)
    result = commit_in(world, world.fork, "refs/heads/r", {**texts}, ours, tip)
    line = f"report --ours {ours} --theirs {tip} --result {result} --output it.html"
    assert world.run(line).code == 0
    eyes = section((world.fork / "it.html").read_text(), "eyes")
    by = f"{gone[:10]} (2025-09-30 fix: less), which v1.77.3-stable has, and they are back"
    which = f"the lines with + from “{lines[4].strip()}” on"
    assert f"a.py; upstream removed {which} in {by}\n" in eyes


def test_nothing_hostile_is_more_than_text(world: World) -> None:
    """Paths, subjects and code that close tags, turn the reading direction, or are very long."""
    path = "docs/<b>`$(touch x)`.md"
    world.git("fetch --quiet --no-tags upstream")
    base = world.git("merge-base origin/carto/main upstream/main")
    files: dict[str, str | None] = {path: f"{EVIL}\n{'x' * 10_000}\n"}
    theirs = commit_in(world, world.fork, "refs/heads/t", files, base, message=EVIL)
    ours = commit_in(world, world.fork, "refs/heads/o", {path: "ours\n"}, base, message=EVIL)
    result = commit_in(world, world.fork, "refs/heads/r", files, ours, theirs)
    done = world.run(f"report --ours {ours} --theirs {theirs} --result {result} --output it.html")
    assert done.code == 0, done.err
    page = (world.fork / "it.html").read_text()
    assert "<img" not in page and "\u202e" not in page and "<b>" not in page
    assert page.count("</script>") == page.count("<script") == 1 + page.count('type="text/html"')
    assert max(map(len, page.splitlines())) < 9_000
    assert 'http-equiv="Content-Security-Policy" content="default-src &#39;none&#39;;' in page
    assert not re.findall(r'(?:src|href)="(?!#|https://github.com/)', page)
    found: list[str] = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attrs: found.extend(name for name, _ in attrs)  # type: ignore[method-assign]
    parser.feed(whole(page))
    assert "data-fate" in found
    assert not [name for name in found if name.startswith("on") or name == "style"]
    # Without a policy and the branch that the default one names, this is some other fork.
    assert "<h1>CartoDB/litellm: " in page and "https://github.com/CartoDB/litellm/commit/" in page
    world.git("remote set-url origin https://github.com/else/where")
    world.git("checkout --quiet --detach")
    for ref in ("refs/heads/carto/main", "refs/remotes/origin/carto/main"):
        world.git(f"update-ref -d {ref}")
    done = world.run(f"report --ours {ours} --theirs {theirs} --result {result} --output it.html")
    assert done.code == 0, done.err
    page = (world.fork / "it.html").read_text()
    # A list of features that is the fork's own is named, and so is a repository elsewhere.
    features = {".github/own-features.yml": "features: []\n"}
    mine = commit_in(world, world.fork, "refs/heads/r", features, result)
    world.git("remote set-url origin /srv/git/of-us/it.git")
    done = world.run(f"report --ours {ours} --theirs {theirs} --result {mine} --output own.html")
    own = (world.fork / "own.html").read_text()
    assert "<h1>of-us/it: " in own and "does not read .github/own-features.yml." in own
    # A policy names the fork better than a path.
    policy = elsewhere(world).replace("\n", '\nname = "It"\n', 1)
    (world.fork / "carto_fork.toml").write_text(policy)
    done = world.run(f"report --ours {ours} --theirs {theirs} --result {mine} --output own.html")
    assert "<h1>It: " in (world.fork / "own.html").read_text()
    assert "<h1>else/where: " in page and "https://github.com/else/where/commit/" in page
    assert "CartoDB" not in page


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("report", "name a release with --tag"),
        ("report --tag v1.76.5 --ours x", "name a release with --tag"),
        ("report --ours a --theirs b", "name a release with --tag"),
        ("report --ours=-x --theirs b --result c", "which cannot name a commit"),
    ],
)
def test_what_is_no_merge_is_refused(world: World, line: str, said: str) -> None:
    done = world.run(line)
    assert (done.code, said in done.err, Path(world.fork / "report.html").exists()) == (
        2,
        True,
        False,
    )
