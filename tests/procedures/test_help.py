"""What the command line says of itself."""

from __future__ import annotations

import os
import re

from invoke.parser import Parser

from carto_fork.program import FORMER, renamed
from carto_fork.tasks import namespace
from world import ROOT, Done, World

TASKS = sorted(namespace.task_names)
OPTION = re.compile(r"^  (?:-\w, )?--(?:\[no-])?([\w-]+)(?:=\w+)? *(.*)$")


def options(text: str) -> dict[str, str]:
    """Each option that a help text shows, with all that it says of it."""
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


def test_help_documents_every_option(world: World) -> None:
    before = world.everything()
    for task in TASKS:
        done = world.run(f"--help {task}")
        assert (done.code, done.err) == (0, "")
        documented = options(done.out)
        # Options are typed with dashes, as --keep-fork.
        taken = {option.name.replace("_", "-") for option in namespace[task].get_arguments()}
        assert documented.keys() == taken
        assert all(len(text.split()) >= 3 for text in documented.values()), documented
        assert world.run(f"{task} --help") == done
    assert world.everything() == before


def test_an_unknown_option_argument_or_task_is_refused(world: World) -> None:
    before = world.everything()
    for words in (
        *((task, "--nope") for task in TASKS),
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
    assert done.err.startswith("`features` is `fork.inventory --section features` now.\n")
    assert done.out == world.run("fork.inventory --section features --json").out
    assert _typed(world, "--help", "heal").out == _typed(world, "fork.heal", "--help").out


def _typed(world: World, *words: str) -> Done:
    return world.run_as(["carto-fork", *words], world.fork, os.environ)


def test_the_table_of_former_names_is_the_programs() -> None:
    text = (ROOT / "docs" / "adr" / "0009-tasks-in-groups.md").read_text(encoding="utf-8")
    assert dict(re.findall(r"^\| `(.+)` \| `(.+)` \|$", text, re.MULTILINE)) == FORMER
