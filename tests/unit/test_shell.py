"""The door to processes: templates, running commands, their answers."""

from __future__ import annotations

import gc
import io
import os
import re
import shlex
import sys
import threading
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from invoke.config import Config
from invoke.context import Context, MockContext

from carto_fork.run import git, text
from carto_fork.run import shell as door
from carto_fork.run.errors import ExitCode, Failed, Refused
from carto_fork.run.programs import Process
from carto_fork.run.shell import Answer, Shell, Value, batches, command_line, fill
from carto_fork.run.text import Tee, joined, scrub


def make(
    *, dry: bool = False, stream: TextIO | None = None, run: dict[str, object] | None = None
) -> Shell:
    """A shell as tasks use it. run: the `run` section of somebody's ~/.invoke.yaml."""
    context = Context(Config(overrides={"run": run or {}}))
    context.config.run.dry = dry
    return Shell(context, stream)


@pytest.fixture
def sh() -> Shell:
    return make()


def strict_stream() -> io.TextIOWrapper:
    """A stream like standard output in a UTF-8 locale: it takes no lone surrogates."""
    return io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="strict", write_through=True)


def written(stream: io.TextIOWrapper) -> bytes:
    raw = stream.buffer
    assert isinstance(raw, io.BytesIO)
    return raw.getvalue()


HOSTILE = [
    "plain",
    "two words",
    " leading and trailing ",
    "'single'",
    '"double"',
    'it\'s "both"',
    "line\nbreak",
    "\n",
    "tab\there",
    "carriage\rreturn",
    "; touch pwned",
    "$(touch pwned)",
    "`touch pwned`",
    "${IFS}x",
    "$HOME",
    "~",
    "*",
    "?[a-z]",
    "a|b",
    "a&b",
    "a>b",
    "a<b",
    "#x",
    "!x",
    "\\",
    "back\\slash",
    "{tag}",
    "{}",
    "%s",
    "=x",
    "A=1",
    "ümlaut",
    "\u202eright to left",
    "emoji \U0001f600",
    "\x01\x1b[31m",
    "not UTF-8: \udcff\udc80",
]

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


# --- fill ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", HOSTILE)
def test_a_value_is_one_word_whatever_is_in_it(value: str) -> None:
    words = fill("git -C {repo} log {range} --", {"repo": value, "range": value})
    assert words == ["git", "-C", value, "log", value, "--"]


@pytest.mark.parametrize("value", [*HOSTILE, "-x", "--help", ""])
def test_a_value_inside_a_word_stays_inside_it(value: str) -> None:
    assert fill("git push refs/tags/{tag}:x --format={tag}", {"tag": value}) == [
        "git",
        "push",
        f"refs/tags/{value}:x",
        f"--format={value}",
    ]


def test_the_template_is_split_as_a_shell_does() -> None:
    template = """git -c 'a b' "{x} y" one\\ word '' # no comment"""
    assert fill(template, {"x": "1 2"}) == [
        "git",
        "-c",
        "a b",
        "1 2 y",
        "one word",
        "",
        "#",
        "no",
        "comment",
    ]


def test_one_word_can_contain_several_values() -> None:
    assert fill("{a}:{b}:{a}", {"a": "1", "b": "{a}"}) == ["1:{a}:1"]


def test_a_path_can_be_a_value() -> None:
    assert fill("cat {file}", {"file": Path("/tmp/a b")}) == ["cat", "/tmp/a b"]


@pytest.mark.parametrize("items", [[], ["a"], ["a b", "c\nd", "$(x)"], ("x", "y")])
def test_a_list_becomes_one_word_for_each_item(items: Sequence[str]) -> None:
    assert fill("git add -- {paths} end", {"paths": items}) == ["git", "add", "--", *items, "end"]


def test_after_two_dashes_a_path_may_begin_with_one() -> None:
    assert fill("git add -- {paths}", {"paths": ["-x", "--all"]}) == [
        "git",
        "add",
        "--",
        "-x",
        "--all",
    ]


@pytest.mark.parametrize("template", ["a{paths}", "{paths}b", "--paths={paths}"])
def test_a_list_cannot_be_part_of_a_word(template: str) -> None:
    with pytest.raises(TypeError, match="a list cannot be part of a word"):
        fill(template, {"paths": ["a", "b"]})


def test_a_missing_value_is_a_bug() -> None:
    for template in ("git {what}", "git x{what}y"):
        with pytest.raises(KeyError, match="what"):
            fill(template, {"other": "x"})


@pytest.mark.parametrize("value", ["-x", "--help", "--upload-pack=touch pwned", "-"])
@pytest.mark.parametrize("template", ["git log {value}", "git log {value}..HEAD"])
def test_a_value_that_would_be_an_option_is_refused(value: str, template: str) -> None:
    with pytest.raises(Refused) as refused:
        fill(template, {"value": value})
    word = template.split()[-1].replace("{value}", value)
    assert refused.value.code == ExitCode.REFUSED
    assert str(refused.value) == (
        f"Refused: the value {word!r} would be read as an option of git.\n"
        "Nothing was changed.\n"
        "Next: use a value that does not begin with a dash."
    )


def test_a_program_that_would_be_an_option_is_refused() -> None:
    with pytest.raises(Refused, match="'-x' would be read as an option of -x"):
        fill("{gh} --version", {"gh": "-x"})


def test_an_item_of_a_list_that_would_be_an_option_is_refused() -> None:
    for template in ("git for-each-ref {only}", "git rev-list --not {only} --"):
        with pytest.raises(Refused, match="would be read as an option"):
            fill(template, {"only": ["refs/heads/x", "--shell"]})


@given(
    st.lists(TEXT.filter(lambda value: not value.startswith("-")), max_size=4),
    st.text(st.sampled_from("ab-{}' \"\\$")),
)
def test_values_never_add_words(values: list[str], other: str) -> None:
    names = "abcd"[: len(values)]
    template = " ".join(["git", *(f"{{{name}}}" for name in names), shlex.quote(f"x{other}")])
    supplied: dict[str, Value] = dict(zip(names, values, strict=True))
    try:
        words = fill(template, supplied | {"": "", **{n: supplied.get(n, "?") for n in "ab"}})
    except KeyError:
        return
    assert len(words) == len(values) + 2
    assert words[1 : len(values) + 1] == values


# --- batches -------------------------------------------------------------------------------------


@given(st.lists(st.text(min_size=1, max_size=30), max_size=60), st.integers(1, 100))
def test_batches_hold_everything_once_and_in_order(paths: list[str], most: int) -> None:
    found = [list(batch) for batch in batches(paths, most)]
    assert [path for batch in found for path in batch] == paths
    assert all(found)
    assert all(sum(map(len, batch)) <= most or len(batch) == 1 for batch in found)


def test_an_empty_list_gives_no_batch() -> None:
    assert list(batches([])) == []


def test_a_batch_of_the_default_size_fits_on_a_command_line(sh: Shell) -> None:
    # A quote in a name needs four characters more on the line that the shell gets.
    paths = [f"it's a path of some length/{number:06}.py" for number in range(5000)]
    sizes = [len(sh.read(["printf", "%s\\0", *batch]).fields()) for batch in batches(paths)]
    assert sum(sizes) == len(paths) and len(sizes) > 1


# --- command_line --------------------------------------------------------------------------------


@given(st.lists(TEXT, min_size=1))
def test_a_line_splits_into_its_words(words: list[str]) -> None:
    words = [word for word in words if scrub(word) == word] or ["x"]
    setting = ["env"] if "=" in words[0] else []
    assert shlex.split(command_line(words)) == [*setting, *words]


@settings(max_examples=60)
@given(TEXT)
def test_any_value_comes_back_unchanged_through_a_real_shell(value: str) -> None:
    answer = make().read(fill("printf %s {value}", {"value": f".{value}"}))
    assert answer == Answer(0, f".{value}", "")


@pytest.mark.parametrize("value", HOSTILE)
def test_a_line_that_is_pasted_does_what_the_words_do(
    sh: Shell, value: str, tmp_path: Path
) -> None:
    within = tmp_path / "a 'place'"
    within.mkdir()
    words = ["sh", "-c", 'printf %s "$1" > out; ls', "sh", value]
    ran = sh.run(words, within=within)
    result = (within / "out").read_bytes()
    (within / "out").unlink()
    pasted = sh.read(["sh", "-c", command_line(words, within)])
    assert (pasted.code, pasted.out) == (ran.code, ran.out) == (0, "out\n")
    assert (within / "out").read_bytes() == result == os.fsencode(value)
    assert sorted(path.name for path in within.iterdir()) == ["out"]


def test_a_first_word_with_an_equals_sign_is_the_same_pasted_and_run(sh: Shell) -> None:
    words = ["A=1", "printf", "%s", "x"]
    pasted = sh.read(["sh", "-c", command_line(words)])
    assert (pasted.code, pasted.out) == (sh.run(words).code, sh.run(words).out)


def test_a_command_line_for_a_directory_is_a_subshell(tmp_path: Path) -> None:
    assert command_line(["git", "log"], Path("a b")) == "(cd 'a b' && git log)"
    assert command_line(["git", "log"]) == "git log"


def test_a_line_contains_no_credentials() -> None:
    line = command_line(["git", "remote", "add", "x", "https://me:secret@example.com/x.git"])
    assert line == "git remote add x https://***@example.com/x.git"


# --- scrub ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("https://token@github.com/x", "https://***@github.com/x"),
        ("https://user:pass@github.com/x", "https://***@github.com/x"),
        ("https://user:p@ss@github.com/x", "https://***@github.com/x"),
        ("https://user:p:w@github.com/x", "https://***@github.com/x"),
        ("http://a:b@h/x and https://c:d@h/y", "http://***@h/x and https://***@h/y"),
        ("'https://a:b@h'", "'https://***@h'"),
        ("https://github.com/a@b", "https://github.com/a@b"),
        ("https://github.com/a b@c", "https://github.com/a b@c"),
        ("https://user:pa/ss@github.com/x", "https://***@github.com/x"),
        ("https://h:8080/a@b", "https://h:8080/a@b"),
        ("https://h/x?private_token=abc&y=1", "https://h/x?private_token=***&y=1"),
        ("https://h/x?y=1&API_KEY=abc;z", "https://h/x?y=1&API_KEY=***;z"),
        ("https://h/x?q=is:open+head:b", "https://h/x?q=is:open+head:b"),
        ("https://hooks.slack.com/services/T0/B0/abc", "https://hooks.slack.com/services/***"),
        ("me@example.com", "me@example.com"),
        ("git@github.com:x/y.git", "git@github.com:x/y.git"),
        ("", ""),
    ],
)
def test_credentials_in_urls_are_removed(text: str, clean: str) -> None:
    assert scrub(text) == clean


def test_the_ssh_user_is_not_a_secret_and_a_pasted_line_needs_it() -> None:
    url = "ssh://git@github.com/CartoDB/litellm.git"
    assert scrub(url) == url


def test_output_is_scrubbed_in_linear_time() -> None:
    """Each pattern looks ahead only a bounded distance, and only that much is held back."""
    for pattern in (text._CREDENTIALS, text._PARAMETERS, text._WEBHOOK, Tee._UNFINISHED):
        assert not re.search(r"[*+]|,\}", re.sub(r"\\.|\[[^]]*\]", "", pattern.pattern))
    out, tee_in = io.StringIO(), "https://" + "a" * 1000
    tee = Tee([out])
    for _ in range(20):
        tee.write(tee_in)
        assert sum(map(len, tee._held.values())) <= 4200
    tee.close()
    assert out.getvalue() == tee_in * 20


def test_credentials_reach_no_message_and_no_live_stream(sh: Shell) -> None:
    live = io.StringIO()
    words = ["sh", "-c", "echo https://a:b@h/x; echo https://c:d@h/y >&2"]
    answer = sh.run(words, live=[live])
    assert answer.err == "https://***@h/y\n"
    assert sorted(live.getvalue().splitlines()) == ["https://***@h/x", "https://***@h/y"]


# --- The environment -----------------------------------------------------------------------------


def test_no_variable_that_names_a_repository_is_passed_on(
    sh: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = sh.read(["git", "rev-parse", "--local-env-vars"]).out.split()
    assert {"GIT_DIR", "GIT_INDEX_FILE", "GIT_CONFIG_COUNT"} <= set(local)
    for name in local:
        monkeypatch.setenv(name, "0" if name == "GIT_CONFIG_COUNT" else "")
    monkeypatch.setenv("GIT_DIR", "/nonexistent")
    kept = {"GIT_CONFIG_COUNT", "GIT_CONFIG_PARAMETERS"}
    assert set(local) & door.environment().keys() == kept


def test_git_works_where_a_hook_of_another_repository_called_us(
    sh: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, other = tmp_path / "here", tmp_path / "other"
    for place in (here, other):
        assert sh.do("git init --quiet {place}", place=place).ok
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / "index"))
    answer = sh.ask("git -C {here} rev-parse --show-toplevel", here=here)
    assert answer.line == str(here.resolve())


def test_settings_that_came_with_the_environment_are_kept(
    sh: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "user.name")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "From the environment")
    assert sh.ask("git config user.name").line == "From the environment"


def test_commands_run_with_prompts_and_editors_disabled(
    sh: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("GIT_EDITOR", "GIT_SEQUENCE_EDITOR", "GIT_PAGER"):
        monkeypatch.setenv(name, "mine")
    monkeypatch.setenv("GIT_TERMINAL_PROMPT", "1")
    found = dict(line.partition("=")[::2] for line in sh.ask("env").out.splitlines())
    assert {
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_EDITOR": "false",
        "GIT_SEQUENCE_EDITOR": "false",
        "GIT_MERGE_AUTOEDIT": "no",
        "GIT_PAGER": "cat",
        "GH_PROMPT_DISABLED": "1",
    }.items() <= found.items()


def test_only_reads_disable_gits_optional_locks(sh: Shell) -> None:
    assert sh.read(["printenv", "GIT_OPTIONAL_LOCKS"]).line == "0"
    assert sh.run(["printenv", "GIT_OPTIONAL_LOCKS"]).code == 1


def test_the_rest_of_the_environment_is_passed_on(
    sh: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_VARIABLE", "it's\nhere")
    assert sh.read(["printenv", "SOME_VARIABLE"]).line == "it's\nhere"


# --- Running and printing ------------------------------------------------------------------------


def test_under_dry_a_change_is_printed_and_not_made(tmp_path: Path) -> None:
    stream = io.StringIO()
    sh = make(dry=True, stream=stream)
    answer = sh.do("touch {file}", file=tmp_path / "a b")
    sh.run(["touch", "c"], within=tmp_path)
    assert answer == Answer(0, "", "")
    assert list(tmp_path.iterdir()) == []
    assert stream.getvalue() == f"touch '{tmp_path}/a b'\n(cd {tmp_path} && touch c)\n"


def test_a_dry_line_that_reads_a_file_says_so(tmp_path: Path) -> None:
    """Otherwise the pasted line would wait for the terminal."""
    stream = io.StringIO()
    (tmp_path / "in").write_text("data")
    make(dry=True, stream=stream).do("cat", stdin=tmp_path / "in")
    assert make().read(["sh", "-c", stream.getvalue()]).out == "data"


def test_questions_are_still_asked_in_a_dry_run(tmp_path: Path) -> None:
    stream = io.StringIO()
    answer = make(dry=True, stream=stream).ask("printf %s {value}", value="asked")
    assert answer == Answer(0, "asked", "")
    assert stream.getvalue() == ""


@pytest.mark.parametrize("dry", [False, True])
def test_the_context_decides_whether_a_run_is_dry(dry: bool, tmp_path: Path) -> None:
    context = MockContext()
    context.config.run.dry = dry
    sh = Shell(context, io.StringIO())
    sh.run(["touch", str(tmp_path / "x")])
    assert sh.dry is dry
    assert (tmp_path / "x").exists() is not dry


def test_a_dry_line_of_a_path_that_is_not_utf8_names_that_path() -> None:
    stream = strict_stream()
    make(dry=True, stream=stream).do("git add -- {paths}", paths=["a\udcff"])
    pasted = make().read(
        [
            "bash",
            "-c",
            written(stream).decode("utf-8", "surrogateescape").replace("git add", "echo"),
        ]
    )
    assert pasted.out == "-- a\udcff\n"


@pytest.mark.parametrize("code", [0, 1, 2, 127, 128, 129, 255])
def test_the_exit_code_of_the_command_is_returned(sh: Shell, code: int) -> None:
    answer = sh.read(["sh", "-c", f"exit {code}"])
    assert (answer.code, answer.ok) == (code, code == 0)


def test_a_killed_command_has_a_negative_exit_code(sh: Shell) -> None:
    assert sh.read(["sh", "-c", "kill -9 $$"]).code == -9


def test_a_killed_git_gives_no_answer(
    sh: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "git").write_text("#!/bin/sh\nkill -9 $$\n")
    (tmp_path / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(Failed, match=r"`git diff` was killed by signal 9\."):
        sh.read(["git", "diff"])


def test_a_missing_program_gives_exit_code_127(sh: Shell) -> None:
    answer = sh.read(["no-such-program-anywhere"])
    assert answer.code == 127
    assert "not found" in answer.err


def test_output_and_errors_are_captured_separately(sh: Shell) -> None:
    answer = sh.read(["sh", "-c", "echo out; echo err >&2; exit 3"])
    assert answer == Answer(3, "out\n", "err\n")


def test_an_answer_is_read_as_a_line_or_as_fields() -> None:
    assert Answer(0, "a\nb\n\n", "").line == "a\nb"
    assert Answer(0, "", "").line == ""
    assert Answer(0, "a\0b\n\0", "").fields() == ["a", "b\n"]
    assert Answer(0, "", "").fields() == []


def test_a_command_runs_within_a_directory(sh: Shell, tmp_path: Path) -> None:
    place = tmp_path / "a 'b' $c"
    place.mkdir()
    assert sh.run(["pwd", "-P"], within=place).line == str(place.resolve())


def test_a_directory_may_begin_with_a_dash(
    sh: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("-d").mkdir()
    assert sh.run(["pwd", "-P"], within=Path("-d")).line == str((tmp_path / "-d").resolve())


def test_cdpath_is_ignored(sh: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("here/work", "elsewhere/work"):
        (tmp_path / name).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("CDPATH", str(tmp_path / "elsewhere"))
    answer = sh.run(["pwd", "-P"], within=Path("work"))
    assert answer.out == f"{(tmp_path / 'here' / 'work').resolve()}\n"


def test_a_missing_directory_is_a_failure_and_nothing_runs(sh: Shell, tmp_path: Path) -> None:
    answer = sh.run(["touch", str(tmp_path / "x")], within=tmp_path / "none")
    assert not answer.ok and answer.err
    assert list(tmp_path.iterdir()) == []


def test_standard_input_is_empty(sh: Shell) -> None:
    assert sh.read(["cat"]) == sh.run(["cat"]) == Answer(0, "", "")


def test_standard_input_may_be_a_file(sh: Shell, tmp_path: Path) -> None:
    file = tmp_path / "it's in"
    file.write_bytes(b"a\r\nb\xff")
    assert sh.do("cat", stdin=file).out == "a\r\nb\udcff"


def test_live_output_goes_to_every_stream_and_into_the_answer(sh: Shell) -> None:
    one, two = io.StringIO(), io.StringIO()
    answer = sh.run(["sh", "-c", "echo a; exit 4"], live=[one, two])
    assert answer == Answer(4, "a\n", "")
    assert (one.getvalue(), two.getvalue()) == ("a\n", "a\n")


def test_without_live_streams_nothing_is_shown(
    sh: Shell, capfd: pytest.CaptureFixture[str]
) -> None:
    sh.run(["sh", "-c", "echo a; echo b >&2"])
    assert capfd.readouterr() == ("", "")


def test_live_output_that_is_not_utf8_does_not_stop_anything(sh: Shell) -> None:
    """The output of a fork's tests must not end the upgrade."""
    stream = strict_stream()
    answer = sh.run(["printf", r"a\377b\n"], live=[stream])
    assert answer == Answer(0, "a\udcffb\n", "")
    assert written(stream).startswith(b"a") and written(stream).endswith(b"b\n")


# --- Odd output ----------------------------------------------------------------------------------


def test_bytes_that_are_not_utf8_come_back_as_they_were(sh: Shell) -> None:
    everything = bytes(range(1, 256))
    escaped = "".join(f"\\{byte:03o}" for byte in everything)
    answer = sh.read(["printf", escaped])
    assert os.fsencode(answer.out) == everything
    assert os.fsencode(sh.read(["printf", "%s", answer.out]).out) == everything


@pytest.mark.parametrize("before", range(Process.read_chunk_size - 4, 0x10001))
def test_a_character_that_is_cut_in_two_by_a_read_is_whole(
    sh: Shell, before: int, tmp_path: Path
) -> None:
    text = "x" * before + "\U0001f600ä€" + "y" * 10
    (tmp_path / "f").write_text(text, encoding="utf-8")
    assert sh.read(["cat", str(tmp_path / "f")]).out == text


def test_a_character_that_comes_byte_by_byte_is_whole(sh: Shell) -> None:
    script = r"for b in 360 237 230 200; do printf \\$b; sleep 0.05; done"
    assert sh.read(["sh", "-c", script]).out == "\U0001f600"


def test_output_that_ends_inside_a_character_is_kept(sh: Shell) -> None:
    assert os.fsencode(sh.read(["printf", r"a\360\237"]).out) == b"a\xf0\x9f"


def test_line_ends_are_kept(sh: Shell) -> None:
    assert sh.read(["printf", r"a\r\nb\rc\n\n"]).out == "a\r\nb\rc\n\n"


def test_two_megabytes_come_whole_from_both_sides_at_once(sh: Shell) -> None:
    script = "yes 0123456789abcde | head -c 2000000 >&2 & yes fedcba987654321 | head -c 2000000"
    answer = sh.read(["sh", "-c", f"{script}; wait"])
    assert answer.out == "fedcba987654321\n" * 125_000
    assert answer.err == "0123456789abcde\n" * 125_000


# --- Endings -------------------------------------------------------------------------------------


def test_a_question_is_abandoned_after_its_timeout(sh: Shell, tmp_path: Path) -> None:
    late = tmp_path / "late"
    answer = sh.read(["sh", "-c", f"sleep 20; touch {late}"], timeout=1)
    assert answer == Answer(door.TIMED_OUT, "", "no answer within 1 s")
    assert not answer.ok
    assert not late.exists()


def test_giving_up_does_not_wait_for_the_commands_own_children(sh: Shell, tmp_path: Path) -> None:
    """`git ls-remote` uses a helper process, which keeps the pipes open when git is killed."""
    late = tmp_path / "late"
    script = f"(sleep 5; touch {late}) & wait"
    answer = sh.ask("sh -c {script}", script=script, timeout=1)
    assert answer.code == door.TIMED_OUT
    assert not late.exists()


def test_a_quick_command_succeeds_under_a_timeout(sh: Shell) -> None:
    assert sh.read(["echo", "quick"], timeout=60) == Answer(0, "quick\n", "")


@pytest.mark.parametrize("script", ["kill -INT $$", "exit 130"])
def test_an_interrupted_command_raises_keyboard_interrupt(sh: Shell, script: str) -> None:
    for start in (sh.read, sh.run):
        with pytest.raises(KeyboardInterrupt):
            start(["sh", "-c", script])


def test_a_command_that_cannot_be_started_says_why(sh: Shell) -> None:
    """A NUL cannot be passed to a process."""
    with pytest.raises((ValueError, Refused), match=r"null byte|NUL"):
        sh.read(["printf", "%s", "a\0b"])


def test_a_line_that_is_too_long_is_an_error_of_the_system(sh: Shell) -> None:
    with pytest.raises(OSError, match="Argument list too long"):
        sh.read(["true", "x" * 4_000_000])


def test_no_file_or_thread_is_left_open(sh: Shell) -> None:
    sh.read(["true"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        files, threads = len(os.listdir("/dev/fd")), threading.active_count()
        for _ in range(5):
            sh.read(["sh", "-c", "echo x; echo y >&2; exit 1"])
            sh.run(["true"], live=[io.StringIO()])
        sh.read(["sleep", "20"], timeout=1)
        gc.collect()
    assert len(os.listdir("/dev/fd")) == files
    assert threading.active_count() == threads


# --- Somebody's ~/.invoke.yaml -------------------------------------------------------------------

SETTINGS: list[dict[str, object]] = [
    {"warn": False},
    {"echo": True},
    {"pty": True},
    {"hide": False},
    {"hide": "both"},
    {"shell": "/bin/false"},
    {"encoding": "latin-1"},
    {"env": {"GIT_DIR": "/nonexistent", "EXTRA": "1"}},
    {"replace_env": False},
    {"asynchronous": True},
    {"in_stream": io.StringIO("typed")},
    {"echo_stdin": True},
    {"fallback": False},
    {"out_stream": io.StringIO()},
]


@pytest.mark.parametrize("setting", SETTINGS, ids=[next(iter(setting)) for setting in SETTINGS])
def test_invoke_settings_do_not_change_a_read(
    setting: dict[str, object], capfd: pytest.CaptureFixture[str]
) -> None:
    sh = make(run=setting)
    script = 'cat; printf "ä${EXTRA-none}${GIT_DIR-none}"; test -t 1 || echo; exit 1'
    assert sh.read(["sh", "-c", script]) == Answer(1, "änonenone\n", "")
    assert capfd.readouterr() == ("", "")


def test_a_timeout_in_the_settings_stops_no_step() -> None:
    context = Context(Config(overrides={"timeouts": {"command": 1}}))
    assert Shell(context).run(["sleep", "1.5"]) == Answer(0, "", "")


def test_a_file_of_settings_in_the_home_directory_changes_nothing(sh: Shell) -> None:
    home, scripts = Path(os.environ["HOME"]), Path(door.__file__).parents[2]
    (home / ".invoke.json").write_text('{"run": {"warn": true, "echo": true, "pty": true}}')
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); "
        "from carto_fork.run.shell import Shell; from invoke.context import Context; "
        "from invoke.config import Config; c = Config(); c.load_user(); "
        "print(c.run.echo, Shell(Context(c)).read(['false']))"
    )
    answer = sh.read([sys.executable, "-c", script, str(scripts)])
    assert answer == Answer(0, "True Answer(code=1, out='', err='', hook='')\n", "")


@settings(
    max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.lists(st.binary(max_size=300), max_size=4))
def test_any_bytes_are_returned_unchanged(tmp_path: Path, chunks: list[bytes]) -> None:
    (tmp_path / "f").write_bytes(b"".join(chunks))
    answer = make().do("cat", stdin=tmp_path / "f")
    assert os.fsencode(answer.out) == b"".join(chunks)


@pytest.mark.parametrize("word", ["a\n\n- b: 'c'\n", "\t\x1b[31m\\", "$(id) `id` \u202e", "é\n"])
def test_a_line_that_is_shown_can_be_pasted(sh: Shell, tmp_path: Path, word: str) -> None:
    """Even a message of several lines becomes one line, and bash restores every character."""
    line = joined(["printf", "%s", word])
    assert line.isprintable()
    assert "\\134" not in line and "\\303" not in line  # people read it, too
    (tmp_path / "line").write_text(line)
    assert sh.ask("bash {line}", line=tmp_path / "line").out == word


def test_gitmodules_does_not_affect_questions(sh: Shell, tmp_path: Path) -> None:
    """Git itself stops at one of these lines, and hides a submodule because of the other."""
    sh.do("git init --quiet {repo}", repo=tmp_path)
    (tmp_path / ".gitmodules").write_text(
        '[submodule "x"]\n\tpath = x\n\tignore = all\n[submodule "y"]\n\tupdate = !touch ran\n'
    )
    sh.do(f"git -C {{repo}} update-index --add --cacheinfo 160000,{'1' * 40},x", repo=tmp_path)
    empty = sh.do("git -C {repo} hash-object -t tree -w /dev/null", repo=tmp_path).line
    for question in ("diff --cached --name-only {tree}", "diff-index --cached --name-only {tree}"):
        answer = sh.ask(f"git -C {{repo}} -c core.x=1 {question}", repo=tmp_path, tree=empty)
        assert (answer.line, answer.err) == ("x", "")
    assert sh.ask("git -C {repo} status --porcelain", repo=tmp_path).ok
    # The state of a submodule does not keep a person from moving a checked-out branch.
    who = "-c user.name=x -c user.email=x@example.com"
    sh.do(f"git -C {{repo}} {who} commit --quiet --message x", repo=tmp_path)
    assert git.work_state(sh, tmp_path).dirty
    assert not git.work_state(sh, tmp_path, submodules=False).dirty


def test_what_is_interrupted_in_the_background_says_nothing(
    sh: Shell, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The task that is interrupted says it, and a traceback beside it would not help."""
    said: list[object] = []
    monkeypatch.setattr(threading, "excepthook", said.append)

    def interrupted() -> None:
        raise KeyboardInterrupt

    before = set(threading.enumerate())
    sh.ahead(interrupted)
    for thread in set(threading.enumerate()) - before:
        thread.join()
    assert (said, capsys.readouterr().err) == ([], "")


def test_whoever_asks_while_the_process_is_ended_says_nothing(
    sh: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An interrupted task ends its processes while a thread in the background may ask them."""
    said: list[object] = []
    monkeypatch.setattr(threading, "excepthook", said.append)
    talk = sh.talk(["cat"])
    sh.configure({})
    with pytest.raises(ValueError, match="closed file"), talk.ask(["x"]) as answers:
        answers.read()
    assert said == []


def test_only_questions_read_the_graph_of_the_history_which_ends_with_the_task(
    tmp_path: Path,
) -> None:
    sh, clone = make(), tmp_path / "clone"
    git_ = ["git", "-C", str(clone), "-c", "user.name=x", "-c", "user.email=x"]
    sh.run(["git", "init", "-q", str(clone)])
    sh.run([*git_, "commit", "-q", "--allow-empty", "-m", "first"])
    before = sorted(clone.rglob("*"))
    git.read_history(sh, git.open_repository(sh, clone))
    assert sorted(clone.rglob("*")) == before
    name = "GIT_ALTERNATE_OBJECT_DIRECTORIES="
    [place] = (Path(x.removeprefix(name)) for x in sh.ask("env").out.split("\n") if name in x)
    assert (place / "info" / "commit-graph").exists()
    assert sh.ask("git -C {clone} rev-list --count HEAD", clone=clone).line == "1"
    assert name not in sh.run(["env"]).out
    del sh
    gc.collect()
    assert not place.exists()


def test_a_clone_with_a_graph_of_its_history_gets_no_other(tmp_path: Path) -> None:
    sh = make()
    sh.run(["git", "init", "-q", str(tmp_path)])
    (tmp_path / ".git/objects/info/commit-graph").touch()
    git.read_history(sh, git.open_repository(sh, tmp_path))
    assert "GIT_ALTERNATE_OBJECT_DIRECTORIES=" not in sh.ask("env").out
