"""What the command line says of itself."""

from __future__ import annotations

import re

from carto_fork.tasks import namespace
from world import World

TASKS = [
    "adopt",
    "bump-version",
    "config",
    "detect",
    "doctor",
    "drift",
    "drop",
    "dropped",
    "feature",
    "features",
    "forecast",
    "guard",
    "guide",
    "heal",
    "images",
    "init",
    "next",
    "notify",
    "pr",
    "record-tag",
    "recover",
    "release",
    "release-notes",
    "report",
    "resolve-conflicts",
    "sandbox",
    "setup",
    "status",
    "sync-main",
    "sync-pr",
    "upgrade-carto",
    "upstream-sync",
    "verify",
    "write-adopted",
]
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
    assert sorted(namespace.task_names) == TASKS
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
