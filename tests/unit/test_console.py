"""Console output: one line stays one line, and nothing in it runs when pasted."""

from __future__ import annotations

import io
import re
import sys
import time
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carto_fork.run import console
from carto_fork.run.console import Console
from carto_fork.run.errors import Failed, Paused
from carto_fork.run.text import printable
from world import shell


def shown(*calls: tuple[str, tuple[object, ...]], pasteable: bool = False) -> str:
    """The output of some method calls."""
    stream = io.StringIO()
    made = Console(stream, pasteable=pasteable)
    for method, arguments in calls:
        getattr(made, method)(*arguments)
    return stream.getvalue()


def step(stream: io.StringIO, *, prints: bool = False, stop: BaseException | None = None) -> str:
    """The output of a running step, without escapes: a command, a row and a result."""
    made = Console(stream)
    with (
        suppress(Paused, Failed),
        made.step(3, 12, "merge", "Merge the tag.", prints=prints),
    ):
        made.command("git merge refs/tags/v1")
        made.row("  content  ", "a.py")
        made.result("1 of 1 conflict decided.")
        made.row("left: ", "b.py")
        if stop:
            raise stop
    return stream.getvalue()


# --- Control characters --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("plain ümlaut \U0001f600", "plain ümlaut \U0001f600"),
        ("two\nlines", "two\\nlines"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("a\rb", "a\\rb"),
        ("a\tb", "a\\tb"),
        ("a\0b\x7f", "a\\x00b\\x7f"),
        ("a\x85b\u2028c", "a\\x85b\\u2028c"),
        ("a\u202eb", "a\\u202eb"),
        ("caf\udce9", "caf\\udce9"),
        ("it's \\n", "it's \\n"),
        ("", ""),
    ],
)
def test_control_characters_are_spelled_out(text: str, safe: str) -> None:
    assert printable(text) == safe


@given(st.text())
def test_what_is_printable_can_be_written_anywhere_that_takes_utf8(text: str) -> None:
    safe = printable(text)
    safe.encode("utf-8")
    assert all(character.isprintable() or character == "\n" for character in safe)
    assert printable(safe) == safe


# --- Lines ---------------------------------------------------------------------------------------


def test_a_command_in_a_sentence_stays_on_one_line() -> None:
    words = "many words " * 6
    assert shown(("say", (f"{words}and `a long command` there",))) == (
        f"{words}and\n  `a long command` there\n"
    )


def test_a_row_is_one_line_however_long() -> None:
    assert shown(("row", ("  head  ", "word " * 60))) == "  head  " + ("word " * 60).rstrip() + "\n"


@pytest.mark.parametrize("text", ["[bold]x[/bold]", "[/]", ":smile:", "a\\[b]", "[red", "'1' True"])
def test_text_is_not_interpreted_as_markup(text: str) -> None:
    assert shown(("say", (text,)), ("row", ("", text))) == f"{text}\n{text}\n"


def test_a_paragraph_is_wrapped_between_words() -> None:
    text = "one two-three " * 10
    lines = shown(("say", (text,))).splitlines()
    assert len(lines) > 1 and all(len(line) <= 80 for line in lines)
    assert " ".join(line.strip() for line in lines) == text.strip()
    assert all(line.startswith("  one") or line.startswith("  two-three") for line in lines[1:])


def test_a_word_that_is_too_long_is_not_broken() -> None:
    assert shown(("say", ("see " + "x" * 200,))) == f"see\n  {'x' * 200}\n"


def test_indented_lines_and_empty_lines_stay() -> None:
    assert shown(("say", ("a\n\n  b",)), ("say", ())) == "a\n\n  b\n\n"


def test_steps_commands_and_facts_are_aligned() -> None:
    assert shown(
        ("head", (3, 12, "merge", "Merge the tag.")),
        ("head", (4, 12, "production", "Long name.")),
        ("command", ("git merge refs/tags/v1",)),
        ("facts", ([("a", "1"), ("long name", "2"), ("empty", "")],)),
    ) == (
        " 3/12 merge     Merge the tag.\n"
        " 4/12 production Long name.\n"
        "    $ git merge refs/tags/v1\n"
        "  a          1\n"
        "  long name  2\n"
        "  empty\n"
    )


@pytest.mark.parametrize(
    ("advice", "lines"),
    [
        ("git commit", ["then: git commit"]),
        (
            "git -C ../litellm fetch --tags upstream",
            ["then:", "        git -C ../litellm fetch --tags upstream"],
        ),
        (
            "find out which is right, or git -C ../litellm tag -d v1.76.5",
            ["then: find out which is right, or", "        git -C ../litellm tag -d v1.76.5"],
        ),
    ],
)
def test_a_command_of_an_advice_stays_whole(
    advice: str, lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "40")
    stream = _Terminal()
    Console(stream).advice("then: ", advice)
    assert stream.getvalue().splitlines() == lines
    assert shown(("advice", ("then: ", advice))) == f"then: {advice}\n"


def test_text_is_wrapped_at_the_terminal_width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    assert shown(("say", ("one two three four five",))) == "one two three four\n  five\n"


# --- Steps ---------------------------------------------------------------------------------------


def lasting(written: str) -> list[str]:
    """The lines that stay on a terminal, without colours and without what was drawn over."""
    _, _, after = written.rpartition("\x1b[2K")
    return re.sub(r"\x1b\[[\d;]*m", "", after).splitlines()


@pytest.mark.parametrize(
    ("stop", "mark"),
    [(None, "✓"), (Paused("1 conflict.", then="x."), "!"), (Failed("git.", then="x."), "✗")],
)
def test_on_a_terminal_a_step_turns_into_its_result(
    stop: BaseException | None, mark: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    written = step(_Terminal(), stop=stop)
    assert "Merge the tag.  0 s" in written  # as long as it was at work
    assert lasting(written) == [
        f"{mark}  3/12 merge     1 of 1 conflict decided.",
        "    $ git merge refs/tags/v1",
        "    content  a.py",
        "  left: b.py",
    ]


def test_an_interrupted_start_leaves_the_terminal_as_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setattr("rich.live.Live.refresh", interrupted)
    stream, before = _Terminal(), (sys.stdout, sys.stderr)
    with pytest.raises(KeyboardInterrupt):
        step(stream)
    assert (sys.stdout, sys.stderr) == before
    assert stream.getvalue().rpartition("\x1b[?25")[2].startswith("h")  # the cursor is visible


def test_a_step_that_prints_itself_is_not_drawn_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    written = step(_Terminal(), prints=True)
    assert "\x1b[2K" not in written
    head, *_, end = lasting(written)
    assert head == ">  3/12 merge     Merge the tag." and end == "✓  3/12 merge     passed"


@pytest.mark.parametrize("stream", [io.StringIO, lambda: _Terminal()])
def test_without_colours_and_cursor_a_step_is_plain_lines(
    stream: Callable[[], io.StringIO], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "dumb")
    assert step(stream()).splitlines() == [
        " 3/12 merge     Merge the tag.",
        "    $ git merge refs/tags/v1",
        "  content  a.py",
        "1 of 1 conflict decided.",
        "left: b.py",
    ]


def test_in_a_job_a_step_is_folded_but_for_its_result(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    assert step(io.StringIO()).splitlines() == [
        "::group:: 3/12 merge     Merge the tag.",
        "    $ git merge refs/tags/v1",
        "  content  a.py",
        "::endgroup::",
        "1 of 1 conflict decided.",
        "left: b.py",
    ]


def test_in_a_job_commands_after_a_result_are_folded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    made = Console(stream := io.StringIO())
    with made.step(3, 12, "verify", "Check it."):
        made.result("Nothing is lost.")
        made.command("git update-ref a b")
    assert stream.getvalue().splitlines()[1:] == [
        "::endgroup::",
        "Nothing is lost.",
        "::group:: 3/12 verify    continued",
        "    $ git update-ref a b",
        "::endgroup::",
    ]


def test_the_lines_that_fold_are_outside_of_what_others_print(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    stream = io.StringIO()
    made = Console(stream)
    with made.step(1, 1, "test", "Run the tests.", prints=True), made.foreign():
        print("::group::theirs", file=stream)
    kinds = re.findall(r"^::(group|stop-commands|[0-9a-f]{32}|endgroup)::", stream.getvalue(), re.M)
    assert [kinds[0], kinds[1], kinds[-1]] == ["group", "stop-commands", "endgroup"]
    assert re.fullmatch("[0-9a-f]{32}", kinds[-2])


def test_a_step_inside_of_a_step_is_one_of_its_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    stream = _Terminal()
    made = Console(stream)
    with made.step(1, 1, "request", "Open it."), made.step(1, 2, "labels", "Create the labels."):
        pass
    lines = ["✓ 1/1 request   Open it.", "  1/2 labels    Create the labels."]
    assert lasting(stream.getvalue()) == lines


def test_a_head_line_is_wrapped_beside_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "40")
    stream = _Terminal()
    with Console(stream).step(1, 14, "branch", "Create the branch from production, or not."):
        pass
    lines = ["✓  1/14 branch    Create the branch from", " " * 18 + "production, or not."]
    assert lasting(stream.getvalue()) == lines


# --- Output to paste -----------------------------------------------------------------------------


def test_a_text_stays_beside_its_label_and_a_command_is_not_cut(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "30")
    stream = _Terminal()
    made = Console(stream)
    made.say("Both sides changed the same place.", head="  why:  ")
    made.row("  and 1 more line: ", "git diff -- a.py")
    made.row("  Next: ", "git -C ../litellm diff -- a.py")
    assert stream.getvalue() == (
        "  why:  Both sides changed the\n"
        "        same place.\n"
        "  and 1 more line:\n"
        "      git diff -- a.py\n"
        "  Next: git -C ../litellm diff -- a.py\n"
    )


def test_pasteable_output_is_commented_out() -> None:
    written = shown(
        ("say", ("a " * 60 + "\n\nb",)),
        ("row", ("x ", "y" * 100)),
        ("head", (1, 2, "a", "Why.")),
        ("facts", ([("k", "v")],)),
        pasteable=True,
    )
    lines = written.splitlines()
    assert lines and all(line == "#" or line.startswith("# ") for line in lines)
    assert all(len(line) <= 80 for line in lines if "yyy" not in line)
    assert lines[-2:] == ["# 1/2 a         Why.", "#   k  v"]


@pytest.mark.parametrize("method", ["row", "command", "facts", "head", "say"])
@pytest.mark.parametrize("path", ["a\ntouch pwned", "a\rtouch pwned", "a\n\n; rm x", "\n"])
def test_a_line_break_in_a_path_cannot_start_a_command(method: str, path: str) -> None:
    """Upstream chooses the names of files; pasted lines must not be among them."""
    arguments: dict[str, tuple[object, ...]] = {
        "row": ("  content  ", path),
        "command": (path,),
        "facts": ([("fork", path)],),
        "head": (1, 1, "name", path),
        "say": (path,),
    }
    written = shown((method, arguments[method]), pasteable=True)
    assert [line for line in written.split("\n") if line and not line.startswith("#")] == []


@pytest.mark.parametrize("path", ["a\nDone: carto/main is at 1234567.", "a\n\nb"])
def test_a_row_with_a_line_break_in_its_path_stays_one_line(path: str) -> None:
    assert shown(("row", ("  content  ", path))).count("\n") == 1


# --- Colour --------------------------------------------------------------------------------------

STYLED: tuple[tuple[str, tuple[object, ...]], ...] = (
    ("say", ("x", "bold red")),
    ("head", (1, 1, "a", "b")),
    ("command", ("c",)),
)


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def on_a_terminal(monkeypatch: pytest.MonkeyPatch, **variables: str) -> str:
    monkeypatch.delenv("NO_COLOR")
    for name, value in {"TERM": "xterm-256color", **variables}.items():
        monkeypatch.setenv(name, value)
    stream = _Terminal()
    Console(stream).say("x", "bold red")
    return stream.getvalue()


def test_a_terminal_gets_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    assert on_a_terminal(monkeypatch) == "\x1b[1;31mx\x1b[0m\n"


def test_no_colour_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    assert on_a_terminal(monkeypatch, NO_COLOR="1") in ("x\n", "\x1b[1mx\x1b[0m\n")


def test_a_pipe_gets_no_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "xterm-256color")
    assert shown(*STYLED) == "x\n1/1 a         b\n    $ c\n"


@pytest.mark.parametrize("variable", ["FORCE_COLOR", "TTY_COMPATIBLE"])
@pytest.mark.parametrize("pasteable", [False, True])
def test_a_pipe_gets_no_colour_even_if_the_environment_forces_it(
    variable: str, pasteable: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Escapes before the # of a comment would make it a command."""
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv(variable, "1")
    assert "\x1b" not in shown(*STYLED, pasteable=pasteable)


# --- Time ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.0, ""),
        (4.99, ""),
        (5.0, "    5.0 s\n"),
        (59.94, "    59.9 s\n"),
        (60.0, "    1 min 0.0 s\n"),
        (90.0, "    1 min 30.0 s\n"),
        (100.0, "    1 min 40.0 s\n"),
        (3725.26, "    62 min 5.3 s\n"),
    ],
)
def test_the_duration_is_shown_from_five_seconds_on(
    seconds: float, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([1000.0, 1000.0 + seconds])
    monkeypatch.setattr("carto_fork.run.console.time.monotonic", lambda: next(clock))
    stream = io.StringIO()
    with Console(stream).timed():
        pass
    assert stream.getvalue() == said


def test_pasteable_output_has_no_durations(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 100.0])
    monkeypatch.setattr("carto_fork.run.console.time.monotonic", lambda: next(clock))
    stream = io.StringIO()
    with Console(stream, pasteable=True).working("x"):
        pass
    assert stream.getvalue() == ""


def test_no_progress_is_shown_without_a_terminal() -> None:
    stream = io.StringIO()
    with Console(stream).working("merge"):
        assert stream.getvalue() == ""
    assert stream.getvalue() == ""


def test_a_terminal_shows_progress_of_a_long_operation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setattr("carto_fork.run.console._A_WHILE", 0.01)
    stream = _Terminal()
    with Console(stream).working("merge"):
        deadline = time.monotonic() + 10
        while "merge" not in stream.getvalue() and time.monotonic() < deadline:
            time.sleep(0.01)
    assert re.search(r"merge \S*0:00:00", re.sub(r"\x1b\[[\d;]*m", "", stream.getvalue()))
    # The line disappears afterwards.
    assert stream.getvalue().endswith("\x1b[2K")


def test_a_terminal_shows_no_progress_of_a_quick_operation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    stream = _Terminal()
    with Console(stream).working("merge"):
        pass
    assert "merge" not in stream.getvalue()


def test_an_error_while_working_comes_through() -> None:
    with pytest.raises(ZeroDivisionError), Console(io.StringIO()).working("merge"):
        raise ZeroDivisionError


def test_rich_is_imported_only_when_something_is_said() -> None:
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); from carto_fork.run.console import Console; "
        "Console(sys.stdout); print('rich' in sys.modules)"
    )
    place = str(console.__file__).rpartition("/carto_fork/")[0]
    assert shell().read([sys.executable, "-c", script, place]).line == "False"


def test_a_finding_is_one_workflow_command_whatever_it_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stream = io.StringIO()
    made = Console(stream)
    made.annotate("lost", "outside of a job")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    made.annotate("lost", "50%\n::set-output name=x::y\r##[z]", path="a:b,c\n::.py", line=7)
    made.annotate("look", "here", line=7, sure=False)
    error, warning = stream.getvalue().splitlines()
    assert error.startswith("::error file=a%3Ab%2Cc%0A%3A")
    assert ",line=7,title=lost::50%25%0A:" in error
    assert "##[" not in error
    assert warning == "::warning title=look::here"
