"""`--list` and `--help`, and wrong command lines."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from invoke.exceptions import ParseError
from invoke.parser import Parser
from invoke.util import helpline

from carto_fork.program import FORMER, renamed
from carto_fork.tasks import namespace
from world import ROOT, Done, World, message, misnamed

TASKS = sorted(namespace.task_names)
OPTION = re.compile(r"^  (?:-\w, )?--(?:\[no-])?([\w-]+)(?:=\w+)? *(.*)$")


def options(text: str) -> dict[str, str]:
    """Each option in a help text, with its description."""
    found: dict[str, str] = {}
    name = ""
    for line in text.partition("\nOptions:\n")[2].splitlines():
        if option := OPTION.match(line):
            name = option[1]
            found[name] = option[2]
        elif name:
            found[name] = f"{found[name]} {line.strip()}".strip()
    return found


def test_the_list_names_every_task_and_what_it_does(world: World) -> None:
    done = world.run("--list")
    assert (done.code, done.err) == (0, "")
    listed = dict(re.findall(r"^  (\S+)  +(\S.*)$", done.out, flags=re.MULTILINE))
    assert sorted(listed) == TASKS
    assert all(listed.values())


def test_invokes_own_help_documents_every_option(world: World) -> None:
    before = world.everything()
    done = world.run("--help resolve-conflicts")
    assert (done.code, done.err) == (0, "")
    taken = {
        option.name.replace("_", "-") for option in namespace["resolve-conflicts"].get_arguments()
    }
    assert options(done.out).keys() == taken
    assert world.run("resolve-conflicts --help") == done
    assert world.everything() == before


def test_the_text_about_each_task_fits_a_terminal_of_80_columns() -> None:
    named = namespace.task_names
    lines = [line for name in named for line in (namespace[name].__doc__ or "").splitlines()]
    assert lines and max(map(len, lines)) <= 76  # invoke indents it


def test_an_unknown_option_argument_or_task_is_refused(world: World) -> None:
    before = world.everything()
    for words in (
        ("next", "--nope"),
        ("upgrade-carto", "--tagg", "v1.76.5"),
        ("upgrade-carto", "v1.76.5"),
        ("upgrade-carto", "-t", "v1.76.5"),
        ("upgrade",),
    ):
        done = world.run("", *words)
        assert (done.code, done.out) == (1, "")
        assert done.err == f"No idea what {words[:2][-1]!r} is!\n"
    assert world.everything() == before
    assert not (world.fork / ".sandbox").exists()


def test_advice_that_nobody_can_type_is_noticed() -> None:
    """`World.run` asks this about everything that a test lets a task print."""
    for advice, wrong in (
        ("run `invoke ci.sync --tag v1` with --heal, or with --unhealed.", ["ci.sync --unhealed"]),
        ("run `invoke upgrade-carto --tag v1` with --heal, or with --unhealed.", []),
        ("give --nope, then `invoke next`.", ["setup --nope"]),
        ("`git merge --continue` (or --abort), then `invoke next`.", []),
        ("`invoke nothing --pr 1`, then `git push --nope`.", ["no task: nothing --pr 1"]),
        ("invoke verify --tagg v1", ["No idea what '--tagg' is!: verify --tagg v1"]),
    ):
        assert misnamed(["setup"], f"Refused: no.\nNext: {advice}") == wrong


def test_a_wrong_command_line_is_json_if_that_was_asked_for(world: World) -> None:
    done = _typed(world, "status", "--nope", "--json")
    facts = json.loads(done.out)
    assert (done.code, facts["exit_code"], facts["stopped"]) == (2, 2, "usage")
    assert facts["then"] == "carto-fork --help status"


def test_former_names_reach_their_tasks_and_are_not_shown(world: World) -> None:
    parser = Parser(contexts=namespace.to_contexts())
    for former, name in FORMER.items():
        words = [*former.split(), *["x"] * former.endswith("--path")]
        now, note = renamed(words, namespace.task_names)
        [parsed] = parser.parse_argv(now)
        assert parsed.name == now[0] == name.split()[0] and f"`{name}`" in note
        assert now[0] not in FORMER
    assert renamed(["guide", "--topic=next"], namespace.task_names) == (
        ["guide", "--topic=next"],
        "",
    )
    assert renamed(["drop", "--path=a", "--reason", "b"], ())[0] == (
        ["verify", "--drop=a", "--reason", "b"]
    )
    shown = _typed(world, "--list").out
    assert not {*re.findall(r"^  (\S+)  ", shown, re.MULTILINE)} & FORMER.keys()
    done = _typed(world, "features", "--json")
    assert done.code == 0
    assert done.err.startswith("`features` is now `fork.inventory --section features`.\n")
    assert done.out == world.run("fork.inventory --section features --json").out
    assert _typed(world, "--help", "heal").out == _typed(world, "fork.heal", "--help").out


def _typed(world: World, *words: str) -> Done:
    return world.run_as(["carto-fork", *words], world.fork, os.environ)


def test_the_table_of_former_names_is_the_programs() -> None:
    text = (ROOT / "docs" / "adr" / "0009-tasks-in-groups.md").read_text(encoding="utf-8")
    assert dict(re.findall(r"^\| `(.+)` \| `(.+)` \|$", text, re.MULTILINE)) == FORMER


def test_the_list_fits_one_screen_and_begins_with_the_way_of_an_upgrade(world: World) -> None:
    shown = _typed(world, "--list").out
    listed = re.findall(r"^  (\S+) ", shown, flags=re.MULTILINE)
    way = ["setup", "status", "next", "forecast", "upgrade-carto", "resolve-conflicts", "verify"]
    assert listed == [*namespace.task_names] and listed[:8] == [*way, "release"]
    made = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True).stdout
    targets = dict(re.findall(r"^  ([a-z.-]+) {2,}(\S.*)$", made, flags=re.MULTILINE))
    del targets["tour"]
    said = {name: str(helpline(namespace[name])) for name in listed if name in targets}
    assert [*targets.items()] == [
        (name, f"{text[0].lower()}{text[1:-1]}") for name, text in said.items()
    ]
    for screen in (shown, made):
        assert len(screen.splitlines()) < 40 and max(map(len, screen.splitlines())) <= 80


def test_help_shows_options_in_order_an_example_and_exit_codes(world: World) -> None:
    parser = Parser(contexts=namespace.to_contexts())
    every = _typed(world, "--help-all").out.split("Usage: carto-fork ")[1:]
    assert [shown.split()[0] for shown in every] == [*namespace.task_names]
    assert f"Usage: carto-fork {every[0]}" == _typed(world, "--help", "setup").out
    for shown in every:
        name = shown.split()[0]
        documented = options(shown)
        # Options are typed with dashes, as --keep-fork.
        taken = [option.name.replace("_", "-") for option in namespace[name].get_arguments()]
        assert [*documented] == taken
        assert all(len(text.split()) >= 3 for text in documented.values()), documented
        [example] = re.findall(r"^Example:\n  carto-fork (.+)$", shown, flags=re.MULTILINE)
        assert [parsed.name for parsed in parser.parse_argv(shlex.split(example))] == [name]
        with pytest.raises(ParseError):
            parser.parse_argv([name, "--nope"])
        codes = re.findall(r"^  (\d+) +\S", shown.partition("Exit codes:")[2], re.MULTILINE)
        assert {"0", "1", "2", "130"} <= {*codes} <= {"0", "1", "2", "3", "4", "130"}


def test_without_arguments_it_says_what_it_is_and_what_to_type_next(
    world: World, tmp_path: Path
) -> None:
    here, away = _typed(world), world.run_as(["carto-fork"], tmp_path, os.environ)
    assert (here.code, away.code) == (0, 0)
    assert here.out.startswith("carto-fork keeps a long-lived fork ")
    assert here.out.endswith(_typed(world, "next").out)
    assert re.search(r"carto-fork sandbox\n.*\n.*carto-fork next --repo PATH\n", away.out)
    assert max(len(done.out.splitlines()) for done in (here, away)) <= 12


def test_a_wrong_command_line_is_answered_with_where_the_help_is(world: World) -> None:
    for line, what, then in (
        ("upgrades", "No idea what 'upgrades' is!", "--list"),
        ("--help upgrades", "No idea what 'upgrades' is!", "--list"),
        ("upgrade", "No idea what 'upgrade' is!", "upgrade-carto"),
        (
            "resolve-conflicts --keep-fork a b --reason x",
            "No idea what 'b' is! Each value needs its own option: --keep-fork b",
            "--help resolve-conflicts",
        ),
        ("verify --tagg v1", "No idea what '--tagg' is!", "--help verify"),
        ("verify v1.2.0", "No idea what 'v1.2.0' is!", "verify --tag v1.2.0"),
        ("verify --tag", "--tag needed value and was not given one!", "--help verify"),
    ):
        done = _typed(world, *line.split())
        said = message(what, f"carto-fork {then}", title="Usage")
        assert (done.code, done.out, done.err) == (2, "", said)


def test_a_text_of_which_only_the_beginning_is_read_ends_quietly(world: World) -> None:
    # A pipe that holds 4 KiB: all of the text does not fit before `head` has ended.
    body = "import fcntl; fcntl.fcntl(1, fcntl.F_SETPIPE_SZ, 4096)\n"
    body += "from carto_fork.tasks import program; program.run(['carto-fork', '--help-all'])"
    line = f"{shlex.join([sys.executable, '-c', body])} | head -1; exit ${{PIPESTATUS[0]}}"
    done = world.call(["bash", "-c", line], PYTHONPATH=str(ROOT / "scripts"))
    assert (done.code, done.err) == (141, "")
