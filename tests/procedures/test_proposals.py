"""Programs that propose resolutions: good ones wait for a person, bad ones are refused."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import tomli

from carto_fork.run import programs
from carto_fork.upgrade import proposals
from carto_standin.github import GitHub
from world import BOTH_SIDES, ROOT, Done, World, event, push_as_colleague

STABLE = "v1.77.2-stable"
SYNC = f"upstream-sync/{STABLE}"
LEFT = sorted(BOTH_SIDES)
PAGE = (ROOT / "docs/proposals.md").read_text()
RIGHT = f"print(json.dumps({{'hunks': [{BOTH_SIDES!r}[asked['path']]]}}))"
"""Both sides' changes stay."""


def program(world: World, script: str) -> None:
    """Let a program answer; `asked` is the question."""
    lines = [f"#!{sys.executable}", "import json, os, sys, time", "asked = json.load(sys.stdin)"]
    path = world.place / "assistant"
    path.write_text("\n".join([*lines, script, ""]))
    path.chmod(0o755)


def adopted(world: World, more: str = "") -> None:
    """Name the program in the fork's policy."""
    policy = f"""extends = "carto-litellm"

[[proposers]]
name = "assistant"
command = "{world.place / "assistant"}"
format = "json"
timeout = 20
{more}
"""
    push_as_colleague(world, {"carto_fork.toml": policy})
    world.git("fetch --quiet origin")


def merging(world: World) -> None:
    """A merge in progress, in which some conflicts are left."""
    world.git("merge --quiet --ff-only origin/carto/main")
    world.git(f"fetch --quiet upstream tag {STABLE} --no-tags")
    merge = f"git -c merge.conflictStyle=diff3 merge --no-commit --no-ff {STABLE}"
    assert world.call(merge.split()).code == 1


def waiting(world: World) -> list[str]:
    """What `ci.guard` says about the sync."""
    done = world.run(f"ci.guard --json --range origin/carto/main..origin/{SYNC}")
    assert done.code in (0, 4), done.err
    found = json.loads(done.out)["findings"]
    return [one["path"] for one in found if one["check"] == "proposal"]


@pytest.mark.slow
def test_a_proposal_does_not_land_before_a_person_accepts_it(world: World, github: GitHub) -> None:
    program(world, RIGHT)
    adopted(world)
    world.git(f"fetch --quiet upstream tag {STABLE} --no-tags")
    asked = world.run(f"forecast --tag {STABLE}")
    assert all(f"left: {path} (asks assistant, about " in asked.out for path in LEFT), asked.out
    done = world.run(f"upgrade-carto --tag {STABLE} --no-tests")
    assert done.code == 0, done.out
    assert "proposed by assistant: A program wrote this" in done.out
    accept = [f"invoke resolve-conflicts --pr 1 --accept-proposal {path}" for path in LEFT]
    said = "\n2 resolutions by a program: nobody has accepted them yet. To accept one:\n"
    assert said + "".join(f"    {line}\n" for line in accept) in done.out
    first = json.loads(world.run("next --json").out)
    assert first["command"] in accept
    assert "The program assistant resolved " in first["why"]
    assert re.search(r"\d s, [\d,]{5,} characters read, [\d,]+ written: proposed", done.out)
    with github.open() as opened:
        [pull] = opened.origin().state.pulls
    assert sorted(pull.labels) == ["automated", "clean-merge", "proposed", "upstream-sync"]
    assert pull.body.index("## Proposed by programs") < pull.body.index("## Merge status")
    assert all(f"--accept-proposal {path}\n" in pull.body for path in LEFT)
    assert f"| `{LEFT[0]}` | content | proposed by assistant |" in pull.body
    assert "```diff\ndiff --git a/Dockerfile b/Dockerfile" in pull.body
    world.git("fetch --quiet origin")
    assert sorted(waiting(world)) == LEFT
    strange = world.run(f"resolve-conflicts --pr {SYNC} --accept-proposal README.md")
    assert (strange.code, "name one of: Dockerfile" in strange.err) == (1, True)
    line = " ".join(f"--accept-proposal {path}" for path in LEFT)
    job = world.run(f"resolve-conflicts --pr {SYNC} {line}", GITHUB_ACTIONS="true")
    assert (job.code, "only a person can accept a proposal" in job.err) == (1, True)
    done = world.run(f"resolve-conflicts --pr {SYNC} {line}")
    assert done.code == 0, done.err
    world.git("fetch --quiet origin")
    assert waiting(world) == []
    with github.open() as opened:
        [pull] = opened.origin().state.pulls
    assert sorted(pull.labels) == ["automated", "clean-merge", "upstream-sync"]
    # The acceptance is for this very text.
    push_as_colleague(world, {LEFT[0]: "FROM scratch\n"}, SYNC)
    world.git("fetch --quiet origin")
    assert waiting(world) == [LEFT[0]]


REFUSED = {
    "it loses one of": "print(json.dumps({'hunks': [h['upstream'] for h in asked['hunks']]}))",
    "it answered 0 of 1 hunks": "print(json.dumps({'hunks': []}))",
    "it answered nothing": "",
    "markers": "print(json.dumps({'hunks': ['<<<<<<< a\\n=======\\n>>>>>>> b\\n']}))",
    "it wrote files: other.py": f"open('other.py', 'w').write('x'); {RIGHT}",
    "more than 4 MiB": "print('x' * 50_000_000)",
    "it ended with 3, and said: no": "print('no', file=sys.stderr); sys.exit(3)",
    "more than the hunks": "print('```hunk 1\\nx\\n```\\n```other.py\\nx\\n```')",
    "is not JSON": "print('{')",
    "U+0000": "print(json.dumps({'hunks': [h['fork'] + '\\0' for h in asked['hunks']]}))",
    "U+000D": "print(json.dumps({'hunks': [h['fork'] + 'x\\ry' for h in asked['hunks']]}))",
    "U+202E": "print(json.dumps({'hunks': [h['fork'] + '\u202e' for h in asked['hunks']]}))",
    "U+D800": "print(json.dumps({'hunks': [h['fork'] + '\\ud800' for h in asked['hunks']]}))",
    "it wrote files: link": f"os.symlink('/etc', 'link'); {RIGHT}",
    "it removed its directory": f"os.rmdir(os.getcwd()); {RIGHT}",
    "it wrote more than the hunks": "print('```hunk 1\\na\\n```\\nb\\n```\\nc\\n```')",
}
"""Why a program is refused, and the program; the first does as upstream's code may ask it to."""


@pytest.mark.slow
def test_a_bad_proposal_is_refused_and_the_conflict_stays(world: World) -> None:
    adopted(world, 'paths = ["/Dockerfile"]')
    merging(world)
    done = world.run("resolve-conflicts --no-proposals")
    assert done.code == 3
    before = world.everything()
    for why, script in REFUSED.items():
        program(world, script)
        done = world.run("resolve-conflicts")
        said = " ".join(done.out.split())
        assert (done.code, "refused: " in said, why in said) == (3, True, True), done
        assert world.everything() == before, why


def answer(script: str) -> str:
    return programs.answer([sys.executable, "-c", script], "", seconds=20)


def test_a_program_leaves_no_process_behind(tmp_path: Path) -> None:
    """Not even one in a session of its own, which has closed everything."""
    if not programs.alone():
        pytest.skip("this system does not allow it")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    stay = f"exec 9> {pipe}; echo 1 >&9; exec 0<&- 1>&- 2>&-; sleep 600"
    script = f"""import subprocess, time
child = subprocess.Popen(["sh", "-c", {stay!r}], start_new_session=True)
time.sleep(0.3)
print("an answer")"""
    assert answer(script) == "an answer\n"
    assert os.read(reader, 9) == b"1\n"
    assert os.read(reader, 9) == b""  # nobody has it open any more
    os.close(reader)


def test_a_program_does_not_see_what_other_processes_were_given() -> None:
    if not programs.alone():
        pytest.skip("this system does not allow it")
    words = ["sleep", "60"]
    with subprocess.Popen(words, env={**os.environ, "GH_TOKEN": "tok-en"}) as other:
        script = """import pathlib
print(sum(b"tok-en" in x.read_bytes() for x in pathlib.Path("/proc").glob("[0-9]*/environ")))"""
        assert answer(script) == "0\n"
        other.kill()


def test_a_link_in_the_directory_of_a_program_is_not_followed(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir(mode=0o500)
    script = f"""import os
os.symlink({str(kept)!r}, "link")
os.mkdir("locked")
os.symlink({str(kept)!r}, "locked/link")
os.chmod("locked", 0)"""
    with pytest.raises(programs.Unanswered, match="it wrote files: link, locked"):
        answer(script)
    assert kept.stat().st_mode & 0o777 == 0o500


@pytest.mark.parametrize(
    ("said", "cost"),
    [
        ('{"hunks": ["x"], "cost": "0.02 USD"}', "0.02 USD"),
        ('{"hunks": ["x"], "cost": 3}', "3"),
        ("```hunk 1\nx\n```\ncost: 1,200 tokens\n", "1,200 tokens"),
        ("```hunk 1\ncost: 5\n```\n", ""),
        ('{"hunks": ["x"]}', ""),
        ("{", ""),
    ],
)
def test_an_answer_may_say_what_it_cost(said: str, cost: str) -> None:
    assert proposals.cost_of(said) == cost


def test_a_program_that_hangs_is_ended(world: World) -> None:
    program(world, "time.sleep(60)")
    adopted(world, 'paths = ["/Dockerfile"]')
    policy = world.git("show origin/carto/main:carto_fork.toml")
    push_as_colleague(world, {"carto_fork.toml": policy.replace("timeout = 20", "timeout = 1")})
    world.git("fetch --quiet origin")
    merging(world)
    done = world.run("resolve-conflicts")
    said = " ".join(done.out.split())
    assert (done.code, "it did not finish within 1 seconds" in said) == (3, True)


def test_a_program_sees_nothing_of_the_fork(world: World) -> None:
    seen = world.place / "seen"
    script = f"open({str(seen)!r}, 'w').write(json.dumps([dict(os.environ), os.listdir(), asked]))"
    program(world, script)
    adopted(world, 'paths = ["/Dockerfile"]\nenvironment = ["ASSISTANT_KEY"]')
    merging(world)
    world.run("resolve-conflicts", GH_TOKEN="secret", ASSISTANT_KEY="key", LC_TIME="C")
    variables, files, asked = json.loads(seen.read_text())
    assert set(variables) - {"LC_CTYPE", "LANG", "LANGUAGE", "LC_ALL"} == {
        "PATH",
        "ASSISTANT_KEY",
        "LC_TIME",
    }
    assert files == []
    assert asked["path"] == "Dockerfile" and asked["release"] == world.git(
        f"rev-parse --short=10 {STABLE}^0"
    )
    assert asked["hunks"][0]["fork"] and asked["versions"]["upstream"]


@pytest.mark.parametrize(
    ("act", "what"),
    [
        ("update-ref refs/heads/other HEAD", "refs"),
        ("config core.pager x", "settings or hooks"),
        ("rm --quiet --cached README.md", "files"),
    ],
)
def test_a_program_that_changes_the_fork_is_refused(world: World, act: str, what: str) -> None:
    program(world, f"os.system('git -C {world.fork} {act}'); {RIGHT}")
    adopted(world, 'paths = ["/Dockerfile"]')
    merging(world)
    done: Done = world.run("resolve-conflicts")
    assert (done.code, f"while `assistant` ran, {what} changed" in done.err) == (1, True)
    assert "Dockerfile" in world.git("diff --name-only --diff-filter=U")


def test_no_program_is_asked_in_a_job(world: World) -> None:
    program(world, RIGHT)
    adopted(world)
    merging(world)
    done = world.run("resolve-conflicts", GITHUB_ACTIONS="true")
    assert (done.code, "Programs are not asked for proposals in GitHub Actions" in done.out) == (
        3,
        True,
    )


def test_an_owner_or_a_named_reviewer_accepts_by_approving(world: World) -> None:
    """Only owners in production's CODEOWNERS or policy can, and only for this very commit."""
    owners = {"CODEOWNERS": "* @bob\n/Dockerfile @ann # hers\n"}
    push_as_colleague(world, owners)
    world.git("fetch --quiet origin")
    world.git("switch --quiet -c feature/x origin/carto/main")
    for name, text in {
        "carto_proposals.toml": "".join(
            f'[[proposal]]\npath = "{path}"\nby = "assistant"\nrelease = "{STABLE}"\n'
            for path in ("Dockerfile", "README.md")
        ),
        # Owners that the pull request itself adds do not count.
        "CODEOWNERS": "* @eve\n",
    }.items():
        (world.fork / name).write_text(text)
    world.git("add --all")
    world.git("commit --quiet -m 'chore: what was proposed'")
    base, head = world.git("rev-parse origin/carto/main HEAD").split()
    gh = world.place / "gh"
    world.git("config carto-fork.gh", str(gh))
    for who, commit, left in (
        ("ann", head, ["README.md"]),
        ("bob", head, ["Dockerfile"]),
        ("bob", base, ["Dockerfile", "README.md"]),
        ("eve", head, ["Dockerfile", "README.md"]),
    ):
        answer = (
            f"*/pulls/7/reviews*) echo '{who}\tAPPROVED\t{commit}' ;; *permission*) echo write ;;"
        )
        gh.write_text(f'#!/bin/sh\ncase "$*" in {answer} esac\n')
        gh.chmod(0o755)
        done = world.run("ci.guard --json", cwd=None, **event(world, base, head))
        found = json.loads(done.out)["findings"]
        assert [one["path"] for one in found if one["check"] == "proposal"] == left, who


def test_the_examples_of_the_documentation_work(world: World) -> None:
    """Scripts play an assistant that answers in Markdown and a tool that merges whole files."""
    tables = re.findall(r"^```toml\n(.*?)^```", PAGE, flags=re.M | re.S)
    [adapter] = re.findall(r"^```python\n(.*?)^```", PAGE, flags=re.M | re.S)
    programs = world.place / "programs"
    programs.mkdir()
    page = "ui/litellm-dashboard/src/app/layout.tsx"
    answer = shlex.quote(BOTH_SIDES[page])
    for name, text in {
        "claude": f"#!/bin/sh\ncat > /dev/null\nprintf '%s\\n' 'Both stay.' '```hunk 1'\n"
        f"printf %s {answer}\necho '```'\n",
        "propose-by-syntax": adapter,
        "mergiraf": f"""#!{sys.executable}
import re, subprocess, sys
words = ["git", "merge-file", "-p", *(sys.argv[i] for i in (3, 2, 4))]
text = subprocess.run(words, capture_output=True, text=True).stdout
print(re.sub(r"(?ms)^<{{7}} .*?^>{{7}} .*?\\n", {BOTH_SIDES["Dockerfile"]!r}, text), end="")
""",
    }.items():
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    [first] = tomli.loads(tables[0])["proposers"]
    assert first["environment"] == ["ANTHROPIC_API_KEY"]
    policy = "".join(tables).replace("~/bin", str(programs))
    policy = policy.replace('paths = ["*"]', f'paths = ["/{page}"]')
    policy = policy.replace('paths = ["*.py", "*.ts", "*.tsx"]', 'paths = ["/Dockerfile"]')
    push_as_colleague(world, {"carto_fork.toml": f'extends = "carto-litellm"\n\n{policy}'})
    world.git("fetch --quiet origin")
    merging(world)
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    done = world.run("resolve-conflicts", PATH=path)
    assert f"assistant, {page}, " in done.out and "proposed by assistant" in done.out, done.out
    assert "by syntax, Dockerfile, " in done.out and "proposed by by syntax" in done.out, done.out
