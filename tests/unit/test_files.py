"""Writing a file completely or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from carto_fork.run import files
from carto_fork.run.errors import Refused
from world import shell


@pytest.mark.parametrize("text", ["", "a", "a\n", "a\r\nb\rc\n", "ä€\U0001f600\n", "\ufeffx\n"])
def test_what_is_written_is_what_is_read(text: str, tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"before")
    files.replace_text(path, text)
    assert path.read_bytes() == text.encode("utf-8")
    assert files.read_text(path) == text


def test_text_that_is_not_utf8_is_read_and_written_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"caf\xe9")
    text = files.read_text(tmp_path / "f")
    files.replace_text(tmp_path / "f", f"{text}s")
    assert (tmp_path / "f").read_bytes() == b"caf\xe9s"


@pytest.mark.parametrize("mode", [0o644, 0o755, 0o600, 0o664])
def test_the_file_mode_is_preserved(mode: int, tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_text("before")
    path.chmod(mode)
    files.replace_text(path, "after")
    assert path.stat().st_mode & 0o7777 == mode
    assert path.read_text() == "after"


def test_nothing_else_is_left_in_the_directory(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("before")
    files.replace_text(tmp_path / "f", "after")
    assert os.listdir(tmp_path) == ["f"]


def test_a_missing_file_is_made(tmp_path: Path) -> None:
    files.replace_text(tmp_path / "f", "x")
    assert (tmp_path / "f").read_text() == "x"
    assert (tmp_path / "f").stat().st_mode & 0o777 == 0o644


def test_text_that_cannot_be_written_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_text("before")
    with pytest.raises(UnicodeEncodeError):
        files.replace_text(path, "lone \ud800 surrogate")
    assert path.read_text() == "before"
    assert os.listdir(tmp_path) == ["f"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "f"
    path.write_text("before")

    def on_a_full_disk(dir: Path, prefix: str) -> tuple[int, str]:
        name = str(dir / f"{prefix}x")
        Path(name).touch()
        return os.open("/dev/full", os.O_WRONLY), name

    monkeypatch.setattr("carto_fork.run.files.tempfile.mkstemp", on_a_full_disk)
    with pytest.raises(OSError, match="No space left on device"):
        files.replace_text(path, "after")
    assert path.read_text() == "before"
    assert os.listdir(tmp_path) == ["f"]


def test_an_open_handle_keeps_reading_the_old_text(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_text("before")
    with path.open() as old:
        files.replace_text(path, "after, and longer")
        assert old.read() == "before"


def test_a_symlink_is_preserved_and_its_target_replaced(tmp_path: Path) -> None:
    """A version file may be a symbolic link; otherwise git would record a type change."""
    (tmp_path / "real").write_text("before")
    (tmp_path / "link").symlink_to("real")
    files.replace_text(tmp_path / "link", "after")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "after"


def test_a_file_with_a_name_of_maximum_length_can_be_replaced(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 255)
    path.write_text("before")
    files.replace_text(path, "after")
    assert path.read_text() == "after"


# --- A change as a command to paste --------------------------------------------------------------


def paste(place: Path, path: str, before: str, after: str) -> list[str]:
    """Paste the command in another directory; returns the files there afterwards, except git's
    own."""
    sh, file = shell(), place / path
    if not (place / ".git").exists():
        assert sh.do("git init --quiet {place}", place=place).ok
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(before.encode())
    line = files.patch_command(place, path, before, after)
    answer = sh.read(["sh", "-e", "-c", f"{line}\n"])
    assert answer.ok, answer.err
    assert file.read_bytes().decode() == after
    return sorted(os.listdir(place))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("a\nb\nc\n", "a\nB\nc\n"),
        ("a\n", "a"),
        ("a", "a\n"),
        ("a", "b"),
        ("a\r\nb\r\n", "a\r\nc\r\n"),
        ("a\n", "a\r\n"),
        ("a\rb\nc\n", "a\rb\nd\n"),
        ("form\x0cfeed\nx\n", "form\x0cfeed\ny\n"),
        ("line\u2028separator\x85\n", "x\nline\u2028separator\x85\n"),
        ("trailing  \n\t\n", "trailing \n\t\n\n\n"),
        ("END_OF_PATCH\nx\n", "END_OF_PATCH\ny\nEND_OF_PATCH\n"),
        ("$HOME `id`\n", "$(id) \\\n"),
        ("".join(f"{number}\n" for number in range(100)), "".join(f"{n}\n" for n in range(50))),
    ],
)
def test_the_pasted_patch_makes_the_change(before: str, after: str, tmp_path: Path) -> None:
    assert paste(tmp_path / "it's here", "sub/f", before, after) == [".git", "sub"]


@pytest.mark.parametrize("setting", ["fix", "error", "warn"])
def test_the_pasted_patch_ignores_gits_white_space_setting(
    setting: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "apply.whitespace")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", setting)
    paste(tmp_path / "w", "f", "a\n", "a  \nb\r\n\n")


@pytest.mark.parametrize(
    "path",
    [
        "a b",
        "it's",
        'q"uote',
        "tab\there",
        "new\nline",
        "ümlaut",
        "-x",
        "back\\slash",
        "trailing ",
        "caf\udce9",
    ],
)
def test_the_pasted_patch_changes_a_file_with_an_unusual_name(path: str, tmp_path: Path) -> None:
    assert paste(tmp_path / "w", path, "a\n", "b\n") == sorted([".git", path])


def test_a_name_that_ends_the_patch_runs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Upstream chooses the names of files."""
    monkeypatch.chdir(tmp_path)
    name = "x\nEND_OF_PATCH\ntouch pwned\n#"
    line = files.patch_command(tmp_path, name, "a\n", "b\n")
    shell().read(["sh", "-c", line])
    assert os.listdir(tmp_path) == []


@settings(
    max_examples=40,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    *[st.lists(st.sampled_from(["a\n", "b\n", "\n", " c\r\n", "d\u2028\n", "\te\x0c\n"]))] * 2,
    st.sampled_from(["", "end"]),
)
def test_the_pasted_patch_makes_any_change(
    tmp_path: Path, before: list[str], after: list[str], end: str
) -> None:
    old, new = "".join(before), "".join(after) + end
    if old and new and old != new:
        paste(tmp_path / "w", "f", old, new)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("link", "is a symbolic link"),
        ("dangling", "is a symbolic link"),
        ("away/file", "is a symbolic link"),
        ("folder", "is not a regular file"),
        ("../file", "is not a path below"),
        ("/file", "is not a path below"),
        ("", "is not a path below"),
    ],
)
def test_only_a_regular_file_below_the_work_tree_is_opened(
    tmp_path: Path, path: str, said: str
) -> None:
    top, outside = tmp_path / "top", tmp_path / "outside"
    for folder in (top / "folder", outside):
        folder.mkdir(parents=True)
    (outside / "file").write_text("precious\n")
    (top / "link").symlink_to(outside / "file")
    (top / "dangling").symlink_to(outside / "new")
    (top / "away").symlink_to(outside)
    with pytest.raises(Refused) as refused:
        files.text_below(top, path)
    assert said in refused.value.what
    assert files.below(top, "folder/new") == top / "folder" / "new"
