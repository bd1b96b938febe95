"""Tag names: their classes, their order, and invalid ones."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carto_fork.adopt import conventions
from carto_fork.fork import patterns, policy, tags
from carto_fork.fork.policy import Feature
from carto_fork.fork.tags import Tag, TagScheme, TagUse
from carto_fork.run.errors import ExitCode, Refused

SCHEMES = policy.load_policy().policy.tags

OWN, AUTOMATIC, ON_REQUEST, NEVER = TagUse.OWN, TagUse.AUTOMATIC, TagUse.ON_REQUEST, TagUse.NEVER
STABLE, PLAIN_STABLE = "stable", "plain stable"
PLAIN, PATCH, VARIANT, DRAFT = "plain version", "stable patch", "stable variant", "stable draft"
NIGHTLY, CANDIDATE, DEVELOPMENT = "nightly", "release candidate", "development build"
TEST, MOVING = "staging or test build", "moving tag or branch image"
CARTO, CARTO_PREFIXED = "CARTO release", "CARTO release, prefixed"

# name, class, use, version, build
CLASSES = [
    # Stable releases until 1.83: what the automation takes.
    ("v1.2.3-stable", STABLE, AUTOMATIC, "1.2.3", "0"),
    ("v1.75.5-stable", STABLE, AUTOMATIC, "1.75.5", "0"),
    ("v1.83.99-stable", STABLE, AUTOMATIC, "1.83.99", "0"),
    # From 1.84.0 on they are plain; the automation no longer takes the old form.
    ("v1.84.0", PLAIN_STABLE, AUTOMATIC, "1.84.0", "0"),
    ("v1.89.1", PLAIN_STABLE, AUTOMATIC, "1.89.1", "0"),
    ("v2.0.0", PLAIN_STABLE, AUTOMATIC, "2.0.0", "0"),
    ("v1.84.0-stable", VARIANT, ON_REQUEST, "1.84.0", "0"),
    ("v1.90.2-stable", VARIANT, ON_REQUEST, "1.90.2", "0"),
    # Plain versions before that, and without the v.
    ("v1.83.10", PLAIN, ON_REQUEST, "1.83.10", "0"),
    ("v1.76.5", PLAIN, ON_REQUEST, "1.76.5", "0"),
    ("v0.1.387", PLAIN, ON_REQUEST, "0.1.387", "0"),
    ("1.2.3", PLAIN, ON_REQUEST, "1.2.3", "0"),
    ("1.16.12", PLAIN, ON_REQUEST, "1.16.12", "0"),
    ("1.84.0", PLAIN, ON_REQUEST, "1.84.0", "0"),
    # Further builds of a stable release.
    ("v1.80.8-stable.1", PATCH, ON_REQUEST, "1.80.8", "1"),
    ("v1.50.1-stable.1", PATCH, ON_REQUEST, "1.50.1", "1"),
    ("v1.73.6-stable.patch.1", PATCH, ON_REQUEST, "1.73.6", "1"),
    ("v1.67.0-stable.patch2", PATCH, ON_REQUEST, "1.67.0", "2"),
    ("v1.67.0-stable.patch.10", PATCH, ON_REQUEST, "1.67.0", "10"),
    # Variants of one.
    ("v.1.32.34-stable", VARIANT, ON_REQUEST, "1.32.34", "0"),
    ("1.34.20-stable", VARIANT, ON_REQUEST, "1.34.20", "0"),
    ("v1.42.9-stable-fix", VARIANT, ON_REQUEST, "1.42.9", "0"),
    ("v1.55.8-stable-patched", VARIANT, ON_REQUEST, "1.55.8", "0"),
    ("v1.72.2-stable.debug", VARIANT, ON_REQUEST, "1.72.2", "0"),
    ("v1.80.0-stable.opus-4-6", VARIANT, ON_REQUEST, "1.80.0", "0"),
    ("v1.80.5-stable.gemini.3.1-pro", VARIANT, ON_REQUEST, "1.80.5", "0"),
    # Not released yet, whatever they are called.
    ("v1.74.3-stable-draft", DRAFT, NEVER, "1.74.3", "0"),
    ("v1.75.5-stable.rc-draft", DRAFT, NEVER, "1.75.5", "0"),
    ("v1.61.2-nightly", NIGHTLY, NEVER, "1.61.2", "0"),
    ("v1.73.6.rc.1-nightly", NIGHTLY, NEVER, "1.73.6", "0"),
    ("v1.72.6.post1-nightly", NIGHTLY, NEVER, "1.72.6", "0"),
    ("v1.65.3-nightly.post1", NIGHTLY, NEVER, "1.65.3", "0"),
    ("v1.73.0.rc.1", CANDIDATE, NEVER, "1.73.0", "0"),
    ("v1.81.12.rc.1", CANDIDATE, NEVER, "1.81.12", "0"),
    ("v1.61.13.rc", CANDIDATE, NEVER, "1.61.13", "0"),
    ("v1.88.0-rc.2", CANDIDATE, NEVER, "1.88.0", "0"),
    ("v1.71.3-rc", CANDIDATE, NEVER, "1.71.3", "0"),
    ("v1.73.6.rc-draft", CANDIDATE, NEVER, "1.73.6", "0"),
    ("1.72.6.rc-draft", CANDIDATE, NEVER, "1.72.6", "0"),
    ("v1.72.0.rc1", CANDIDATE, NEVER, "1.72.0", "0"),
    ("v1.16.20.dev1", DEVELOPMENT, NEVER, "1.16.20", "0"),
    ("1.34.28.dev3", DEVELOPMENT, NEVER, "1.34.28", "0"),
    ("v1.31.12-dev", DEVELOPMENT, NEVER, "1.31.12", "0"),
    ("v1.31.12-dev1", DEVELOPMENT, NEVER, "1.31.12", "0"),
    ("v1.85.0.dev.2", DEVELOPMENT, NEVER, "1.85.0", "0"),
    ("v1.34.22.dev15-stable", DEVELOPMENT, NEVER, "1.34.22", "0"),
    ("v1.37.0.dev2_completion_cost", DEVELOPMENT, NEVER, "1.37.0", "0"),
    ("v1.37.0.dev_version_headers", DEVELOPMENT, NEVER, "1.37.0", "0"),
    ("v1.72.2.devMCP", DEVELOPMENT, NEVER, "1.72.2", "0"),
    ("v1.72.6.devSCIM", DEVELOPMENT, NEVER, "1.72.6", "0"),
    ("v1.72.2.dev_image", DEVELOPMENT, NEVER, "1.72.2", "0"),
    ("v1.51.1-staging.1", TEST, NEVER, "1.51.1", "0"),
    ("v1.52.5.staging1", TEST, NEVER, "1.52.5", "0"),
    ("v1.52.10.staging.2", TEST, NEVER, "1.52.10", "0"),
    ("v1.16-test2", TEST, NEVER, "1.16", "0"),
    ("v1.16.17-test", TEST, NEVER, "1.16.17", "0"),
    ("v1.55.4-test-release-2", TEST, NEVER, "1.55.4", "0"),
    ("v1.72.6.SCIM2", TEST, NEVER, "1.72.6", "0"),
    ("v1.69.0.sandy1", TEST, NEVER, "1.69.0", "0"),
    ("v1.73.0.debug_mem", TEST, NEVER, "1.73.0", "0"),
    ("stable", MOVING, NEVER, "0", "0"),
    ("latest", MOVING, NEVER, "0", "0"),
    ("test", MOVING, NEVER, "0", "0"),
    ("pr-litellm-spend-logs-db", MOVING, NEVER, "0", "0"),
    ("custom-docker-image-test-dev", MOVING, NEVER, "0", "0"),
    ("litellm_v1.65.4-dev_fix", MOVING, NEVER, "0", "0"),
    # The fork's own.
    ("v1.79.1-carto.1.0.17", CARTO, OWN, "1.79.1", "1.0.17"),
    ("carto-v1.75.2-1.74.297", CARTO_PREFIXED, OWN, "1.75.2", "1.74.297"),
]


def named(name: str) -> Tag:
    found = tags.classify(name, SCHEMES)
    assert found, f"{name} is in no class"
    return found


@pytest.mark.parametrize(("name", "scheme", "use", "version", "build"), CLASSES)
def test_a_tag_name_is_assigned_to_its_scheme(
    name: str, scheme: str, use: TagUse, version: str, build: str
) -> None:
    tag = named(name)
    assert (tag.scheme.name, tag.scheme.use) == (scheme, use)
    assert (str(tag.version), str(tag.build), tag.name) == (version, build, name)
    assert tag.release == version
    assert tag.stable == (use in (AUTOMATIC, ON_REQUEST))


def test_every_class_has_an_example() -> None:
    assert {scheme.name for scheme in SCHEMES} == {row[1] for row in CLASSES}


@pytest.mark.parametrize(
    "name",
    [
        "",
        "v",
        "v1",
        "v1.2",
        "1.2.3.4",
        "v1.2.3.4",
        "V1.2.3",
        "v1.2.3 ",
        " v1.2.3",
        "v1.2.3\n",
        "v1.2.3-stable\n",
        "v1.2.3-stable;touch x",
        "v1.2.3-carto",
        "v1.2.3-carto.1",
        "carto-v1.2.3",
        "xv1.2.3-stable",
        "v1.2.3-unstable",
        "v1.2.3-Stable",
        "v\uff11.2.3-stable",
        "v\u0661.\u0662.\u0663",
        "refs/tags/v1.2.3",
        "main",
        "stable-2",
    ],
)
def test_a_name_that_matches_no_scheme_is_not_classified(name: str) -> None:
    assert tags.classify(name, SCHEMES) is None


@pytest.mark.parametrize(
    "name",
    [
        "v1.80.0-stable.rc.1",
        "v1.80.0-stable-rc1",
        "v1.80.0-stable.draft",
        "v1.80.0-stable-draft2",
        "v1.80.0-stable-draft.1",
        "v1.80.0-stable.dev1",
        "v1.80.0-stable-nightly",
        "v1.80.0-stable.nightly",
        "v1.80.0-stable-test",
        "v1.80.0-stable.patch.1-draft",
    ],
)
def test_stable_in_a_name_does_not_make_a_draft_or_a_test_stable(name: str) -> None:
    tag = tags.classify(name, SCHEMES)
    assert not (tag and tag.stable), tag


# --- Order ---------------------------------------------------------------------------------------

ASCENDING = [
    "v0.1.387",
    "v1.9.0",
    "v1.10.0",
    "v1.75.2-stable",
    "v1.75.5-stable",
    "v1.75.10-stable",
    "v1.80.8-stable",
    "v1.80.8-stable.1",
    "v1.80.8-stable.patch.2",
    "v1.80.8-stable.10",
    "v1.83.10",
    "v1.84.0",
    "v1.100.0",
    "v2.0.0",
]


@pytest.mark.parametrize(("less", "more"), list(pairwise(ASCENDING)))
def test_tags_order_by_version_then_build(less: str, more: str) -> None:
    assert named(less) < named(more)


@given(st.permutations(ASCENDING))
def test_tags_sort_the_same_from_any_order(names: list[str]) -> None:
    assert [tag.name for tag in sorted(map(named, names))] == ASCENDING


@pytest.mark.parametrize(
    ("less", "more"),
    [
        ("v1.79.1-carto.1.0.9", "v1.79.1-carto.1.0.17"),
        ("v1.79.1-carto.1.0.17", "v1.79.1-carto.1.1.0"),
        ("v1.79.1-carto.9.0.0", "v1.79.2-carto.1.0.0"),
        ("carto-v1.75.2-1.74.297", "carto-v1.75.2-1.74.1000"),
        ("carto-v1.75.2-1.74.297", "v1.79.1-carto.1.0.17"),
    ],
)
def test_fork_releases_sort_by_upstream_version_then_by_their_own(less: str, more: str) -> None:
    assert named(less) < named(more)


def test_tags_with_equal_versions_are_ordered_by_name() -> None:
    same = [named("v1.76.5-stable"), named("v1.76.5"), named("1.76.5")]
    assert [tag.name for tag in sorted(same)] == ["1.76.5", "v1.76.5", "v1.76.5-stable"]


def test_newest_considers_only_tags_of_the_given_uses() -> None:
    names = ["v1.76.0-nightly", "v1.75.5-stable", "v1.75.10-stable", "v1.76.1", "latest", "odd"]
    assert tags.newest(names, SCHEMES, AUTOMATIC) == named("v1.75.10-stable")
    assert tags.newest(names, SCHEMES, AUTOMATIC, ON_REQUEST) == named("v1.76.1")
    assert tags.newest(names, SCHEMES, OWN) is None
    assert tags.newest([], SCHEMES, AUTOMATIC) is None


def test_the_newest_release_of_the_fork_is_not_the_last_by_name() -> None:
    names = ["v1.79.1-carto.1.0.9", "v1.79.1-carto.1.0.17", "v1.79.1-carto.1.0.2"]
    newest = tags.newest(names, SCHEMES, OWN)
    assert newest and newest.name == "v1.79.1-carto.1.0.17"


# --- Schemes -------------------------------------------------------------------------------------


def scheme(name: str, pattern: str, use: TagUse = NEVER, **bounds: str) -> TagScheme:
    return TagScheme(name=name, pattern=pattern, use=use, **bounds)


def test_the_first_scheme_that_fits_decides() -> None:
    one = scheme("one", r"v(?P<version>\d+)")
    two = scheme("two", r"v(?P<version>\d+)", AUTOMATIC)
    for first, second in ((one, two), (two, one)):
        found = tags.classify("v1", [first, second])
        assert found and found.scheme is first


@pytest.mark.parametrize(
    ("name", "fits"),
    [("v1.9", False), ("v1.10", True), ("v1.10.1", True), ("v2.0", False), ("v2.0rc1", True)],
)
def test_the_since_bound_is_inclusive_and_the_before_bound_exclusive(name: str, fits: bool) -> None:
    found = tags.classify(name, [scheme("x", "v(?P<version>.*)", since="1.10", before="2.0")])
    assert bool(found) is fits


def test_a_scheme_with_an_invalid_version_is_skipped() -> None:
    broken, second = scheme("broken", "v(?P<version>.*)"), scheme("second", "v.*")
    found = tags.classify("v1..2", [broken, second])
    assert found and found.scheme is second and found.release == "0"


def test_a_pattern_must_match_the_whole_name() -> None:
    assert tags.classify("v1.2.3-more", [scheme("x", r"v(?P<version>[\d.]+)")]) is None


def test_a_missing_build_group_counts_as_build_zero() -> None:
    found = tags.classify("v1", [scheme("x", r"v(?P<version>\d+)(-(?P<build>\d+))?")])
    assert found and str(found.build) == "0"


# --- Names ---------------------------------------------------------------------------------------

HOSTILE = [
    "",
    "-",
    "--help",
    "--upload-pack=touch x",
    "-v1.2.3",
    "v1;touch x",
    "v1;touch${IFS}pwned",
    "v1 2",
    "v1\n",
    "\nv1",
    "v1\0",
    "v1\tx",
    "$(id)",
    "`id`",
    "v1'x",
    'v1"x',
    "v1|x",
    "v1&x",
    "v1>x",
    "v1*",
    "v1?",
    "v1[x]",
    "v1{0}",
    "{tag}",
    "v1~1",
    "v1^0",
    "v1^{}",
    "v1:x",
    "@{u}",
    "@",
    "v1@{0}",
    "v1\\x",
    "v1..v2",
    "../v1",
    "v1/../x",
    "v1//x",
    "/v1",
    "v1/",
    "v1.",
    ".v1",
    "v1.lock",
    "a/.b",
    "a.lock/b",
    "v\u0661",
    "vä",
    "v1\u202e",
    "v\udcff",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_refused(name: str) -> None:
    with pytest.raises(Refused) as refused:
        tags.checked_name(name)
    assert refused.value.code == ExitCode.REFUSED
    assert str(refused.value) == (
        f"Refused: {name!r} is not the name of a release: letters, digits and . _ + / - only, "
        "beginning with a letter or a digit.\n"
        "Nothing was changed.\n"
        "Next: name the tag as upstream lists it, for example --tag v1.76.5"
    )


@pytest.mark.parametrize("name", [row[0] for row in CLASSES] + ["a", "1", "v1+2", "x/v1", "v1_"])
def test_a_valid_release_name_is_returned_unchanged(name: str) -> None:
    assert tags.checked_name(name) == name


@given(st.text(max_size=30))
def test_an_accepted_name_is_one_plain_word(name: str) -> None:
    try:
        tags.checked_name(name)
    except Refused:
        return
    assert name.isascii() and name[0].isalnum()
    assert not set(name) - set(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._+/-"
    )
    assert ".." not in name and "//" not in name and name[-1] not in "./"


@given(st.from_regex(r"[a-z0-9][a-z0-9._+/-]{0,12}", fullmatch=True))
def test_an_accepted_name_is_a_valid_git_ref(name: str) -> None:
    try:
        tags.checked_name(name)
    except Refused:
        return
    for part in name.split("/"):
        assert part and not part.startswith(".") and not part.endswith(".lock")


# --- Stable only ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [row[0] for row in CLASSES if row[2] in (AUTOMATIC, ON_REQUEST)])
def test_a_stable_release_is_taken(name: str) -> None:
    assert tags.require_stable(name, SCHEMES) == named(name)


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("v1.61.2-nightly", "a nightly"),
        ("v1.88.0-rc.2", "a release candidate"),
        ("v1.16.20.dev1", "a development build"),
        ("v1.16-test2", "a staging or test build"),
        ("v1.74.3-stable-draft", "a stable draft"),
        ("v1.79.1-carto.1.0.17", "a CARTO release"),
        ("latest", "a moving tag or branch image"),
        ("main", "not a release that the tag schemes know"),
    ],
)
def test_a_tag_that_is_not_stable_is_refused_with_its_class(name: str, what: str) -> None:
    with pytest.raises(Refused) as refused:
        tags.require_stable(name, SCHEMES)
    assert refused.value.code == ExitCode.REFUSED
    assert str(refused.value) == (
        f"Refused: {name} is {what}; only stable upstream releases are merged.\n"
        "Nothing was changed.\n"
        "Next: choose a stable release; `status` names the newest one."
    )


# --- Any name at all -----------------------------------------------------------------------------

# Pieces of names, so that random names come near the patterns.
PIECES = ["v", ".", "-", "1", "84", "0", "stable", "rc", "draft", "nightly", "dev", "patch", "post"]
PIECES += ["test", "carto", "_", "pr-", "litellm_v", "a", "\n", "\u0663"]


@given(st.text() | st.lists(st.sampled_from(PIECES)).map("".join))
def test_any_name_is_classified_without_an_error(name: str) -> None:
    tag = tags.classify(name, SCHEMES)
    assert tag is None or (tag.name == name and tag.scheme in SCHEMES)


# Names on which an ambiguous pattern would try every way to match, and fail.
LONG = [
    f"{start}{unit * 200}"[:199] + end
    for start in ("v1.2.3", "v1.2.3-rc", "v1.2.3-stable", "v1.2.3-dev", "v1.2.3-nightly", "pr-", "")
    for unit in ("1", "a", ".1", "-a", ".a1", "_-", "1-", "-nightly", "-rc", ".dev", "-stable")
    for end in ("!", "\n", "-")
]


@pytest.fixture
def never_for_ever() -> Iterator[None]:
    """Abort a test that would never end; its duration does not matter."""

    def give_up(*_: object) -> None:
        raise AssertionError("a pattern tries far too many ways to match")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(300)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.usefixtures("never_for_ever")
def test_a_long_name_is_classified_without_catastrophic_backtracking() -> None:
    """An exponential pattern takes longer than the universe has; 200 characters are enough."""
    assert [name for name in LONG if _stable(name)] == []


def _stable(name: str) -> bool:
    found = tags.classify(name, SCHEMES)
    return bool(found and found.scheme.use is AUTOMATIC)


@pytest.mark.usefixtures("never_for_ever")
@given(st.lists(st.sampled_from(PIECES), min_size=60, max_size=100))
def test_any_long_name_is_classified_in_time(pieces: list[str]) -> None:
    name = "".join(pieces)[:200]
    tag = tags.classify(name, SCHEMES)
    assert tag is None or tag.name == name


def test_a_pattern_that_takes_too_long_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patterns, "LONGEST", 0.1)
    pattern, text = r"v(?P<version>(\d|\d\d)+)b", "v" + "1" * 50
    feature = Feature("a", ("file.txt",), (pattern,))
    for search in (
        lambda: tags.classify(text, [TagScheme("a", pattern, AUTOMATIC)]),
        lambda: feature.missing([text]),
    ):
        with pytest.raises(Refused) as stop:
            search()
        assert f"pattern {pattern!r} took over " in stop.value.what
        assert stop.value.what.endswith(f" seconds on {text!r}.")
    glob, path = "*a" * 100 + "*c", "c" + "a" * 2000
    for several in ((glob,), (glob, "/b"), (glob, "!c")):
        with pytest.raises(Refused) as stop:
            patterns.matching(several, [path])
        assert "'*a*a" in stop.value.what and "'caaa" in stop.value.what


@pytest.mark.parametrize("number", ["9" * 5000, "\uff11"])
def test_an_ambiguous_number_is_not_a_version(number: str) -> None:
    """Python refuses to parse the long one, and parses a digit of another alphabet."""
    assert tags.classify(f"v{number}.0.0", SCHEMES) is None
    names = [f"v{number}.0.0", "v1.0.0", "v1.1.0"]
    taken = [g.value for g in conventions.tag_schemes(names) if g.value["use"] != "never"]
    assert taken and number not in str(taken)


def test_the_name_of_releases_is_read_from_the_forks_class_of_tags() -> None:
    version, build = r"(?P<version>\d+(\.\d+)*)", r"(?P<build>\d+\.\d+\.\d+)"
    for pattern, name in (
        (rf"acme\-depot\-v{version}-{build}", "acme-depot-v{upstream}-{version}"),
        (rf"v{version}\+acme\.{build}", "v{upstream}+acme.{version}"),
        (rf"(a|b)-{version}-{build}", ""),
        (rf"v{version}-acme", ""),
    ):
        own = tags.TagScheme("own", pattern, tags.TagUse.OWN)
        assert tags.release_name([own]) == name
        never = tags.TagScheme("old", pattern, tags.TagUse.NEVER)
        assert tags.release_name([never]) == tags.release_name([never, own]) == ""
