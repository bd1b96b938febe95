"""The sandbox's two repositories, as data: a small LiteLLM, and CARTO's fork of it.

The sandbox is what an upgrade is demonstrated on and what this project's own tests run on. It has
the shape of the real thing: an upstream with nightly, candidate, development and stable tags, and a
fork whose production branch carries workflows, patches and disabled files of its own. Merging
v1.76.5 into the fork meets every kind of conflict that git knows, all for rules to decide; merging
v1.77.2-stable meets two more, which only a person can decide.

Nothing here runs a process. `upstream_and_fork()` returns the history, and its two streams go into
`git fast-import`. Dates and bytes are fixed, so the SHAs are the same on every machine. A test that
needs another world adds commits to this one:

    history = upstream_and_fork()
    history = history.plus(
        Commit("hotfix", "fix: typo", {"README.md": "…"}, parents=("carto/main",)),
        origin_refs={"refs/heads/carto/main": "hotfix"},
    )

The files' texts and most of the changes are in `files/`, the order of events is here.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TypeAlias

# --- Commits, and how git is told of them ----------------------------------------------------


@dataclass(frozen=True)
class Blob:
    """A file whose mode may be other than a plain text file's.

    Modes: 100644; 100755, executable; 120000, a symlink, whose data is its target; 160000, a
    submodule, whose data is the commit as 40 hexadecimal digits.
    """

    data: bytes
    mode: str = "100644"


# What happens to a path: a plain file's new content, another kind of file, or None: it goes.
Change: TypeAlias = str | bytes | Blob | None
Changes: TypeAlias = Mapping[str, Change]

# Every file of a commit, by path.
Tree: TypeAlias = Mapping[str, Blob]

# Tag name -> (name of the tagged commit, message).
AnnotatedTags: TypeAlias = Mapping[str, tuple[str, str]]

BOT = "LiteLLM Release Bot <release-bot@example.com>"


@dataclass(frozen=True)
class Commit:
    """A commit, as what it changes in its first parent's tree.

    `name` is how refs and the `parents` of later commits refer to it. A parent may also be the full
    SHA of a commit that the repository has already. A second parent makes a merge commit, whose
    tree is still the first parent's with `changes`: nothing is merged here.
    """

    name: str
    message: str
    changes: Changes
    parents: tuple[str, ...] = ()
    author: str = BOT


FIRST_DATE = 1752570000  # 15 July 2025, 09:00 UTC
SECONDS_BETWEEN_COMMITS = 17 * 3600
SECONDS_UNTIL_TAGGED = 600

_IMPORT_REF = b"refs/sandbox/import"


def fast_import_stream(
    commits: Sequence[Commit], refs: Mapping[str, str], tags: AnnotatedTags
) -> bytes:
    """The commits in this order, `refs` (full name -> commit name) and annotated tags.

    A commit's date is its place in the sequence: commits that are added at the end leave the SHAs
    of the others as they were. Commits that no ref reaches are imported too.
    """
    marks: dict[str, int] = {}
    stream: list[bytes] = [b"feature done\n"]
    for number, commit in enumerate(commits, start=1):
        if commit.name in marks:
            raise ValueError(f"two commits are named {commit.name!r}")
        # fast-import builds commits on a branch: on one that is deleted below. Without a reset, a
        # commit that has no parents would continue the one before it.
        if not commit.parents:
            stream.append(b"reset %s\n\n" % _IMPORT_REF)
        stream.append(b"commit %s\nmark :%d\n" % (_IMPORT_REF, number))
        who = f"{commit.author} {_date(number)} +0000".encode()
        stream.append(b"author %s\ncommitter %s\n" % (who, who))
        stream.append(_message(commit.message))
        for place, parent in enumerate(commit.parents):
            stream.append(b"merge " if place else b"from ")
            stream.append(b"%s\n" % _commit_ish(parent, marks))
        stream.extend(_file_commands(commit.changes))
        stream.append(b"\n")
        marks[commit.name] = number
    if commits:
        stream.append(b"reset %s\nfrom %s\n\n" % (_IMPORT_REF, b"0" * 40))
    for ref, name in refs.items():
        stream.append(b"reset %s\nfrom %s\n\n" % (ref.encode(), _commit_ish(name, marks)))
    for tag, (name, message) in tags.items():
        number = marks[name]
        date = _date(number) + SECONDS_UNTIL_TAGGED
        tagger = f"{commits[number - 1].author} {date} +0000"
        stream.append(f"tag {tag}\nfrom :{number}\ntagger {tagger}\n".encode())
        stream.append(_message(message))
    stream.append(b"done\n")
    return b"".join(stream)


def _date(number: int) -> int:
    return FIRST_DATE + (number - 1) * SECONDS_BETWEEN_COMMITS


def _message(text: str) -> bytes:
    return data(text.rstrip("\n").encode() + b"\n")


def data(content: bytes) -> bytes:
    """Bytes as fast-import reads them."""
    return b"data %d\n%s\n" % (len(content), content)


def _commit_ish(name: str, marks: Mapping[str, int]) -> bytes:
    if name in marks:
        return b":%d" % marks[name]
    if re.fullmatch(r"[0-9a-f]{40}", name):
        return name.encode()
    raise ValueError(f"there is no commit named {name!r} before this one")


def _file_commands(changes: Changes) -> Iterable[bytes]:
    """Deletions first: a directory may become a file of the same name, and the other way round."""
    for path, change in changes.items():
        if change is None:
            yield b"D %s\n" % quoted(path)
    for path, change in changes.items():
        if change is None:
            continue
        blob = as_blob(change)
        if blob.mode == "160000":
            yield b"M 160000 %s %s\n" % (blob.data, quoted(path))
        else:
            yield b"M %s inline %s\n" % (blob.mode.encode(), quoted(path))
            yield data(blob.data)


def quoted(path: str) -> bytes:
    """A path as fast-import reads it: between quotes, with C's escapes for all that is not plain.

    A path that is not UTF-8 is written as Python has it from the file system, with surrogates.
    """
    raw = path.encode("utf-8", "surrogateescape")
    escaped = re.sub(rb'[^ -~]|["\\]', lambda found: b"\\%03o" % ord(found[0]), raw)
    return b'"%s"' % escaped


# --- Trees and histories ---------------------------------------------------------------------


@dataclass(frozen=True)
class History:
    """The commits of both repositories, oldest first, and the refs and annotated tags of each."""

    commits: tuple[Commit, ...]
    upstream_refs: Mapping[str, str]
    origin_refs: Mapping[str, str]
    upstream_tags: AnnotatedTags = field(default_factory=dict)
    origin_tags: AnnotatedTags = field(default_factory=dict)

    def upstream_stream(self) -> bytes:
        """What `git fast-import` makes the upstream repository of."""
        return fast_import_stream(self.commits, self.upstream_refs, self.upstream_tags)

    def origin_stream(self) -> bytes:
        """What `git fast-import` makes the fork's repository of."""
        return fast_import_stream(self.commits, self.origin_refs, self.origin_tags)

    def plus(
        self,
        *commits: Commit,
        upstream_refs: Mapping[str, str] | None = None,
        origin_refs: Mapping[str, str] | None = None,
        upstream_tags: AnnotatedTags | None = None,
        origin_tags: AnnotatedTags | None = None,
    ) -> History:
        """This history with more commits at its end, and with refs and tags added or moved."""
        return replace(
            self,
            commits=self.commits + commits,
            upstream_refs={**self.upstream_refs, **(upstream_refs or {})},
            origin_refs={**self.origin_refs, **(origin_refs or {})},
            upstream_tags={**self.upstream_tags, **(upstream_tags or {})},
            origin_tags={**self.origin_tags, **(origin_tags or {})},
        )

    def tree(self, name: str) -> Tree:
        """Every file of a commit: the changes along its first parents, oldest first."""
        by_name = {commit.name: commit for commit in self.commits}
        chain = [by_name[name]]
        while chain[-1].parents:
            chain.append(by_name[chain[-1].parents[0]])
        tree: Tree = {}
        for commit in reversed(chain):
            tree = changed(tree, commit.changes)
        return tree

    def text(self, name: str, path: str) -> str:
        """One file of a commit."""
        return self.tree(name)[path].data.decode()


def as_blob(change: str | bytes | Blob) -> Blob:
    """The file that a change makes."""
    if isinstance(change, Blob):
        return change
    return Blob(change.encode() if isinstance(change, str) else change)


def changed(tree: Tree, changes: Changes) -> Tree:
    """The tree after a commit."""
    new = dict(tree)
    for path, change in changes.items():
        if change is None:
            del new[path]
        else:
            new[path] = as_blob(change)
    return new


def changes_between(old: Tree, new: Tree) -> dict[str, Change]:
    """The commit that turns one tree into another; with one parent, that is a squashed merge."""
    changes: dict[str, Change] = {path: None for path in old if path not in new}
    changes |= {path: blob for path, blob in new.items() if old.get(path) != blob}
    return changes


def replaced(text: str, *edits: tuple[str, str]) -> str:
    """`text` after each edit, an (old, new) pair; every `old` must be there exactly once."""
    for old, new in edits:
        if text.count(old) != 1:
            raise ValueError(f"found {text.count(old)} times instead of once: {old!r}")
        text = text.replace(old, new)
    return text


def patched(tree: Tree, diff: str) -> dict[str, Blob]:
    """The changes that a diff makes.

    Hunks begin with `@@ path`, or several paths. Their lines begin with a space, - or + as in any
    diff, and say where the hunk belongs: what it expects must be in the file exactly once. An empty
    line stands for an empty context line, because editors strip trailing spaces.
    """
    files: dict[str, str] = {}
    for hunk in re.split(r"^@@ ", diff, flags=re.MULTILINE)[1:]:
        paths, *lines = hunk.rstrip("\n").split("\n")
        before = "".join(f"\n{line[1:]}" for line in lines if line[:1] != "+")
        after = "".join(f"\n{line[1:]}" for line in lines if line[:1] != "-")
        for path in paths.split():
            text = files.get(path) or tree[path].data.decode()
            # The line ends on both sides keep a hunk from matching within a line.
            files[path] = replaced(f"\n{text}", (f"{before}\n", f"{after}\n"))[1:]
    return {path: Blob(text.encode(), tree[path].mode) for path, text in files.items()}


@cache
def archive(name: str) -> Mapping[str, str]:
    """The entries of `files/<name>.txtar`, by path."""
    text = (Path(__file__).with_name("files") / f"{name}.txtar").read_text("utf-8")
    _comment, *parts = re.split(r"^-- (\S+) --$", text, flags=re.MULTILINE)
    bodies = [body.strip("\n") for body in parts[1::2]]
    return {path: body and f"{body}\n" for path, body in zip(parts[::2], bodies, strict=True)}


# --- Writing a history -----------------------------------------------------------------------


class _Line:
    """A line of development while its history is written.

    `story` collects the commits of all lines in the order of time; `files` is the archive that this
    line adds from.
    """

    def __init__(
        self,
        story: list[Commit],
        name: str,
        files: Mapping[str, str],
        came_from: _Line | None = None,
    ) -> None:
        self.story = story
        self.name = name
        self.files = files
        self.tip: str = came_from.tip if came_from else ""
        self.tree: Tree = came_from.tree if came_from else {}
        self.base = self.tree

    def commit(
        self, author: str, subject: str, *changes: Changes, name: str = "", merging: str = ""
    ) -> None:
        """Commit all of `changes`; a commit that nobody asks for by name gets a number."""
        together = {path: change for some in changes for path, change in some.items()}
        name = name or f"{self.name}-{len(self.story):02}"
        parents = tuple(parent for parent in (self.tip, merging) if parent)
        self.story.append(Commit(name, subject, together, parents, author))
        self.tree = changed(self.tree, together)
        self.tip = name

    def merge(self, other: _Line, base: Tree, author: str, subject: str, name: str = "") -> None:
        """Merge the other line; to have changed the same path since `base` is a mistake here."""
        theirs = changes_between(base, other.tree)
        both = theirs.keys() & changes_between(base, self.tree).keys()
        if both:
            raise ValueError(f"both lines changed {', '.join(sorted(both))}")
        self.commit(author, subject, theirs, name=name, merging=other.tip)

    def topic(self, name: str) -> _Line:
        """A branch from here, for a pull request."""
        return _Line(self.story, name, self.files, came_from=self)

    def pull_request(self, topic: _Line, author: str, subject: str) -> None:
        """Merge a topic the way GitHub does."""
        self.merge(topic, topic.base, author, f"Merge pull request {subject}")

    def text(self, path: str) -> str:
        """A file as it is now."""
        return self.tree[path].data.decode()

    def add(self, *paths: str, mode: str = "100644") -> dict[str, Blob]:
        """New files, from this line's archive."""
        return {path: Blob(self.files[path].encode(), mode) for path in paths}

    def patch(self, name: str) -> dict[str, Blob]:
        """Changes of files, from this line's archive."""
        return patched(self.tree, self.files[f"{name}.diff"])

    def rename(self, old: str, new: str) -> dict[str, Change]:
        """A file's new name."""
        return {old: None, new: self.tree[old]}


# --- Upstream's first tree -------------------------------------------------------------------

BUILT_UI = "litellm/proxy/_experimental/out"
LOGO = f"{BUILT_UI}/assets/logos/litellm_logo.png"
PRICES = (
    "model_prices_and_context_window.json",
    "litellm/model_prices_and_context_window_backup.json",
)
PRICES_LINK = "tests/fixtures/prices.json"
PROXY_HEALTH = "tests/smoke/proxy_health.sh"
SCHEMAS = (
    "schema.prisma",
    "litellm/proxy/schema.prisma",
    "litellm-proxy-extras/litellm_proxy_extras/schema.prisma",
)
SUBMODULE = "tests/fixtures/vendored-spec"
WHEEL = "enterprise/dist/litellm_enterprise-{}-py3-none-any.whl"
WORKFLOWS = ".github/workflows"

_PNG, _WOFF2, _ZIP = b"\x89PNG\r\n\x1a\n", b"wOF2", b"PK\x03\x04"


def _first_tree() -> dict[str, Change]:
    """Everything that upstream has at its first commit."""
    texts = archive("upstream")
    return {
        **texts,
        **dict.fromkeys(SCHEMAS, texts["schema.prisma"]),
        **dict.fromkeys(PRICES, texts[PRICES[0]]),
        **_built_ui(1),
        f"{BUILT_UI}/_next/static/media/26a46d62cd723877-s.woff2": _binary(_WOFF2, "font"),
        **{WHEEL.format(version): _binary(_ZIP, version) for version in ("0.1.12", "0.1.15")},
        PRICES_LINK: _link("../../model_prices_and_context_window.json"),
        SUBMODULE: _submodule_at("vendored spec 1"),
    }


def _built_ui(build: int) -> dict[str, Change]:
    """The dashboard as `next build` leaves it: pages on one line, hashes in the names of files.

    Every page, every hashed name and the logo change with a build; the font stays.
    """
    build_id, code = _digest(f"build {build}")[:21], _digest(f"chunk of build {build}")
    chunk = f"_next/static/chunks/117-{code[:16]}.js"
    page = (
        '<!DOCTYPE html><html lang="en"><head><meta charSet="utf-8"/><title>LiteLLM Dashboard'
        f'</title><script src="/litellm-asset-prefix/{chunk}" async=""></script></head><body>'
        f'<div id="$page"></div><script>self.__next_f.push([1,"buildId:{build_id}"])</script>'
        "</body></html>\n"
    )
    files: dict[str, Change] = {
        f"_next/static/{build_id}/_buildManifest.js": "self.__BUILD_MANIFEST={sortedPages:[]};\n",
        chunk: "(self.webpackChunk_N_E=self.webpackChunk_N_E||[])"
        f'.push([[117],{{{int(code[:4], 16)}:function(e,t,n){{n.d(t,"{code}")}}}}]);\n',
        "index.html": page.replace("$page", "index"),
        "login.html": page.replace("$page", "login"),
        "index.txt": f'2:I[{19107 + build},[],"ClientPageRoot"]\n3:I[4707,[],"index"]\n'
        f'0:["{build_id}",[[["",{{"children":["__PAGE__",{{}}]}}]],["/index"]]]\n',
    }
    built: dict[str, Change] = {f"{BUILT_UI}/{path}": text for path, text in files.items()}
    return built | {LOGO: _binary(_PNG, f"logo {build}")}


def _digest(seed: str) -> str:
    return hashlib.sha256(seed.encode()).hexdigest()


def _binary(magic: bytes, seed: str) -> Blob:
    """A file that git takes for binary: a magic number, a NUL, and noise."""
    return Blob(magic + b"\0" + hashlib.sha512(seed.encode()).digest())


def _link(target: str) -> Blob:
    return Blob(target.encode(), "120000")


def _submodule_at(seed: str) -> Blob:
    """A commit of a repository that is nowhere, as a clone without its submodules has it."""
    return Blob(_digest(seed)[:40].encode(), "160000")


# --- What upstream does ----------------------------------------------------------------------

PRIYA = "Priya Nair <priya.nair@example.com>"
TOMAS = "Tomas Lindqvist <tomas.lindqvist@example.com>"
MEI = "Mei Okafor <mei.okafor@example.com>"
DIEGO = "Diego Barros <diego.barros@example.com>"
HANNAH = "Hannah Weiß <hannah.weiss@example.com>"


def _release(up: _Line, version: str, name: str = "") -> None:
    """Raise the version where it is written; the commit is named after its tag."""
    project = up.text("pyproject.toml")
    chart = up.text("deploy/charts/litellm-helm/Chart.yaml")
    old = re.findall(r'^version = "(.*)"', project, re.MULTILINE)[0]
    raised: Changes = {
        "pyproject.toml": project.replace(f'\nversion = "{old}"', f'\nversion = "{version}"'),
        "deploy/charts/litellm-helm/Chart.yaml": chart.replace(f"v{old}", f"v{version}"),
    }
    up.commit(BOT, f"bump: version {old} → {version}", raised, name=name or f"v{version}")


def _new_model(
    up: _Line, model: str, input_price: float, output_price: float, name: str = ""
) -> None:
    prices = json.loads(up.text(PRICES[0]))
    prices[model] = {
        "input_cost_per_token": input_price,
        "output_cost_per_token": output_price,
        "litellm_provider": model.partition("/")[0],
    }
    text = json.dumps(prices, indent=4) + "\n"
    up.commit(PRIYA, f"feat(model_prices): add {model}", dict.fromkeys(PRICES, text), name=name)


def _new_build(up: _Line, build: int) -> None:
    old = [path for path in up.tree if path.startswith(f"{BUILT_UI}/_next/static/")]
    gone: Changes = {path: None for path in old if not path.endswith(".woff2")}
    up.commit(MEI, f"build(ui): build {build} of the dashboard", gone, _built_ui(build))


def _upstream_until_1_74_8(up: _Line) -> None:
    """Up to where the fork begins."""
    up.commit(BOT, "chore: the sandbox's history begins at v1.74.6", _first_tree(), name="root")
    up.commit(DIEGO, "feat(caching): delete a key in Redis (#12791)", up.patch("redis-delete"))
    _release(up, "1.74.8")


def _upstream_until_1_75_2(up: _Line) -> None:
    """The release that the fork is based on."""
    health = up.topic("health")
    health.commit(
        DIEGO, "fix(proxy): /health/readiness needs no key", health.patch("readiness-without-key")
    )
    health.commit(DIEGO, "feat(proxy): answer /health/readiness", health.patch("readiness"))
    up.pull_request(health, PRIYA, "#12902 from BerriAI/litellm_health_readiness")
    up.commit(
        MEI,
        "feat(db): soft budget cooldown for keys (#12955)",
        up.patch("key-cooldown"),
        up.add(
            "litellm-proxy-extras/litellm_proxy_extras/migrations/"
            "20250802162330_key_cooldown/migration.sql"
        ),
    )
    _new_model(up, "openai/gpt-5", 1.25e-06, 1e-05)
    _release(up, "1.75.2")


def _upstream_until_1_76_3(up: _Line) -> None:
    """A development build, a nightly, a candidate and a release that the fork leaves out."""
    up.commit(
        MEI,
        "feat(llms): add Vercel AI Gateway as a provider (#13144)",
        up.add("litellm/llms/vercel_ai_gateway/chat/transformation.py"),
        up.patch("vercel"),
    )
    up.commit(
        TOMAS, "fix(azure): pass response_format on (#13198)", up.patch("azure-response-format")
    )
    _release(up, "1.75.5", name="v1.75.5.dev1")
    up.commit(
        DIEGO,
        "test: follow the chat completions specification (#13239)",
        {SUBMODULE: _submodule_at("vendored spec 2")},
    )
    up.commit(
        PRIYA,
        "ci: publish migrations when the schema changes (#13251)",
        up.add(f"{WORKFLOWS}/publish-migrations.yml"),
        name="v1.75.5-nightly",
    )
    up.commit(
        TOMAS,
        "feat(router): a retry policy for each kind of error (#13302)",
        up.add("litellm/types/router.py", "tests/test_litellm/test_retry_policy.py"),
        up.patch("retry-policy"),
    )
    up.commit(HANNAH, "feat(ui): filter the usage page by tag (#13330)", up.patch("usage-by-tag"))
    _new_build(up, 2)
    tests = "tests/test_litellm"
    up.commit(
        DIEGO,
        "refactor(tests): name the cooldown tests after the router (#13346)",
        up.rename(f"{tests}/test_cooldown.py", f"{tests}/test_router_cooldown.py"),
    )
    up.commit(BOT, "chore(deps): bump openai from 1.97.0 to 1.99.5", up.patch("openai-1.99.5"))
    _release(up, "1.76.0", name="v1.76.0.rc.1")
    up.commit(
        PRIYA,
        "ci: run the helm unit tests when a chart is released (#13512)",
        up.patch("helm-tests-on-release"),
        {f"{WORKFLOWS}/helm_unit_test.yml": None},
    )
    up.commit(PRIYA, "ci: provenance of the images (#13527)", up.patch("image-provenance"))
    up.commit(TOMAS, "feat(snowflake): support `tools` (#13544)", up.patch("snowflake-tools"))
    up.commit(
        TOMAS, "fix(router): rest a deployment for 10 seconds (#13580)", up.patch("cooldown-10")
    )
    up.commit(
        HANNAH,
        "fix(docker): do not quote the arguments twice (#13588)",
        up.patch("entrypoint-arguments"),
    )
    up.commit(
        HANNAH,
        "docs: release notes of v1.76.3",
        up.add("docs/my-website/release_notes/v1.76.3/index.md"),
    )
    _release(up, "1.76.3")


def _upstream_until_1_76_5(up: _Line) -> None:
    """The release that the fork is upgraded to: every conflict with it has its rule."""
    up.commit(MEI, "build(docker): supervisord at runtime (#13641)", up.patch("supervisord"))
    up.commit(DIEGO, "test: is a running proxy healthy? (#13655)", up.add(PROXY_HEALTH))
    up.commit(
        DIEGO,
        "test: read the prices that are in the package (#13660)",
        {PRICES_LINK: _link("../../litellm/model_prices_and_context_window_backup.json")},
    )
    up.commit(PRIYA, "build: make check-import-safety (#13672)", up.patch("import-safety"))
    wheel = {WHEEL.format("0.1.15"): _binary(_ZIP, "0.1.15, built again")}
    up.commit(BOT, "build(enterprise): build 0.1.15 again", wheel)
    up.commit(HANNAH, "docs: CARTO and LiteLLM (#13690)", up.add("docs/CARTO_INTEGRATION.md"))
    up.commit(
        TOMAS, "feat(responses): store=False keeps no session (#13701)", up.patch("store-false")
    )
    _new_model(up, "anthropic/claude-opus-4-1", 1.5e-05, 7.5e-05)
    _release(up, "1.76.5")


def _upstream_until_1_77_2(up: _Line) -> None:
    """A release that changes what the fork's marked blocks and its dashboard stand on."""
    up.commit(
        DIEGO,
        "feat(proxy): pass-through endpoints (#13840)",
        up.add("litellm/proxy/pass_through_endpoints.py"),
    )
    _release(up, "1.77.0")
    _new_model(up, "xai/grok-code-fast-1", 2e-07, 1.5e-06, name="v1.77.0-nightly")
    up.commit(PRIYA, "build(docker): bash and a C++ compiler (#13902)", up.patch("build-with-bash"))
    up.commit(
        HANNAH,
        "feat(ui): notifications from everywhere (#13915)",
        up.add("ui/litellm-dashboard/src/contexts/AntdGlobalProvider.tsx"),
        up.patch("antd-provider"),
    )
    _new_build(up, 3)
    up.commit(PRIYA, "ci: bills of materials of the images (#13933)", up.patch("image-sbom"))
    up.commit(BOT, "chore(deps): bump aiohttp from 3.12.14 to 3.12.15", up.patch("aiohttp-3.12.15"))
    _release(up, "1.77.2")


def _upstream_after_1_77_2(up: _Line) -> None:
    """A candidate, a nightly and a draft of the next release, and what has no tag yet."""
    up.commit(MEI, "feat(groq): support `reasoning_effort` (#14002)", up.patch("groq-reasoning"))
    up.commit(
        DIEGO,
        "fix(router): a new list of models begins a new turn (#14011)",
        up.patch("turn-of-model-list"),
    )
    _release(up, "1.78.0", name="v1.78.0.rc.1")
    up.commit(
        MEI,
        "feat(ui): usage page while logged out (#14070)",
        up.patch("usage-logged-out"),
        name="v1.78.0-nightly",
    )
    up.commit(
        DIEGO,
        "fix(proxy): spaces around the master key (#14081)",
        up.patch("strip-master-key"),
        name="v1.78.0-stable-draft",
    )
    rows = up.topic("rows")
    rows.commit(DIEGO, "feat(proxy): read more rows of spend logs", rows.patch("spend-rows"))
    up.pull_request(rows, TOMAS, "#14133 from BerriAI/litellm_spend_rows")
    up.commit(
        HANNAH,
        "docs: the supported versions of Python (#14151)",
        up.patch("python-versions"),
        name="upstream/main",
    )


# --- What the fork does ----------------------------------------------------------------------

LUCIA = "Lucía Ferrer <lucia.ferrer@carto.example.com>"
MARCOS = "Marcos Vidal <marcos.vidal@carto.example.com>"
AITANA = "Aitana Soler <aitana.soler@carto.example.com>"


def _fork_of_1_74_8(fork: _Line) -> None:
    """What the fork needs from its first day: workflows of its own instead of upstream's."""
    fork.commit(
        LUCIA,
        "ci: build our images from carto/main",
        fork.add(f"{WORKFLOWS}/carto_ghcr_deploy.yaml", f"{WORKFLOWS}/carto_release.yaml"),
        fork.add(".github/scripts/image_tags.sh", mode="100755"),
    )
    helm, unit = f"{WORKFLOWS}/ghcr_helm_deploy.yml", f"{WORKFLOWS}/helm_unit_test.yml"
    fork.commit(
        LUCIA,
        "ci: switch upstream's deployments and scans off",
        {f"{WORKFLOWS}/ghcr_deploy.yml": None, f"{WORKFLOWS}/codeql.yml": None},
        fork.add(f"{WORKFLOWS}/ghcr_deploy.yml.txt"),
        fork.rename(helm, f"{helm}.txt"),
        fork.rename(unit, f"{unit}.txt"),
    )
    fork.commit(LUCIA, "ci: say that the helm chart is not used", fork.patch("disabled-helm"))
    fork.commit(
        MARCOS,
        "docs: how we keep this fork and how we release it",
        fork.add("CARTO_CLAUDE.md", "docs/CARTO_RELEASE_PROCESS.md"),
        {"CLAUDE.md": _link("CARTO_CLAUDE.md")},
    )


def _fork_of_1_75_2(fork: _Line) -> None:
    """CARTO's changes on v1.75.2: some conflict with later releases, more do not."""
    fork.commit(
        LUCIA,
        "ci: look for stable upstream releases every 8 hours",
        fork.add(f"{WORKFLOWS}/carto-upstream-sync.yml"),
    )
    fork.commit(
        MARCOS,
        "build(docker): what our clusters need",
        fork.patch("docker"),
        {"docker/entrypoint.sh": Blob(fork.tree["docker/entrypoint.sh"].data, "100755")},
    )
    fork.commit(
        MARCOS, "build: make carto-check", fork.patch("carto-check"), name="carto-v1.75.2-0.1.0"
    )

    redis = fork.topic("redis")
    redis.commit(
        AITANA,
        "feat(responses): keep sessions in Redis",
        redis.add("litellm/responses/redis_session_handler.py"),
        redis.patch("redis-sessions"),
    )
    redis.commit(
        AITANA,
        "test(responses): two pods share a session",
        redis.add("tests/test_litellm/test_redis_session_handler.py"),
        redis.add("REDIS_SESSION_PATCH.md"),
    )
    fork.pull_request(redis, LUCIA, "#31 from CartoDB/feature/redis-sessions")

    # Upstream makes one of these two changes itself later, in the same words.
    fork.commit(
        AITANA,
        "fix(azure): full URLs of deployments, response_format",
        fork.patch("azure-url"),
    )
    snowflake = fork.topic("snowflake")
    snowflake.commit(
        MARCOS,
        "feat(snowflake): programmatic access tokens",
        snowflake.patch("snowflake-tokens"),
    )
    fork.pull_request(snowflake, AITANA, "#38 from CartoDB/feature/snowflake-tokens")
    fork.commit(
        AITANA,
        "feat(router): keep a session on its deployment",
        fork.patch("session-affinity"),
        fork.add("tests/test_litellm/test_session_affinity.py"),
    )
    fork.commit(AITANA, "fix(router): rest a deployment for 15 seconds", fork.patch("cooldown-15"))
    tests = "tests/test_litellm"
    fork.commit(
        MARCOS,
        "test: retries, and our prices and specification",
        fork.add(f"{tests}/test_retry_policy.py", "tests/fixtures/carto_prices.json"),
        fork.rename(f"{tests}/test_cooldown.py", f"{tests}/test_cooldown_policy.py"),
        {
            PRICES_LINK: _link("carto_prices.json"),
            SUBMODULE: _submodule_at("vendored spec, CARTO's branch"),
        },
    )
    # Upstream has the very same script from us, but without its executable bit.
    script = archive("upstream_later")[PROXY_HEALTH]
    fork.commit(
        MARCOS,
        "test: is a running proxy healthy?",
        {PROXY_HEALTH: Blob(script.encode(), "100755")},
    )
    script_tag = '<script src="carto-feature-flags.js"></script></head>'
    fork.commit(
        LUCIA,
        "feat(ui): feature flags in the dashboard, and our logo",
        fork.add(
            "ui/litellm-dashboard/src/contexts/FeatureFlagsProvider.tsx",
            f"{BUILT_UI}/carto-feature-flags.js",
        ),
        fork.patch("feature-flags"),
        {
            f"{BUILT_UI}/{page}": replaced(fork.text(f"{BUILT_UI}/{page}"), edit)
            for page, edit in {
                "index.html": ("</head>", script_tag),
                "login.html": ("</head>", script_tag),
                "index.txt": ('["/index"]', '["/index"],["carto-feature-flags.js"]'),
            }.items()
        },
        {LOGO: _binary(_PNG, "CARTO's logo")},
    )
    fork.commit(
        LUCIA,
        "chore: drop the enterprise wheels, we do not ship them",
        {path: None for path in fork.tree if path.startswith("enterprise/dist/")},
    )
    fork.commit(AITANA, "build: hiredis, for the sessions in Redis", fork.patch("hiredis"))
    load = fork.topic("load-test")
    load.commit(MARCOS, "build: make load-test", load.patch("load-test"))
    fork.pull_request(load, LUCIA, "#44 from CartoDB/feature/load-test")
    fork.commit(MARCOS, "docs: how we use the proxy", fork.add("docs/CARTO_INTEGRATION.md"))
    fork.commit(
        LUCIA, "chore: let upstream decide what it knows better", fork.add("carto_drops.toml")
    )
    project = fork.text("pyproject.toml").replace('version = "1.75.2"', 'version = "1.75.2.1"')
    fork.commit(
        LUCIA,
        "chore: version 1.75.2.1, our first image with sessions in Redis",
        {"pyproject.toml": project},
        name="carto/main",
    )


# --- Both together ---------------------------------------------------------------------------

# Upstream's lightweight tags, and the names of their commits. `stable` and `latest` move.
UPSTREAM_TAGS = {
    "v1.75.2-stable": "v1.75.2",
    "v1.75.2": "v1.75.2",
    "v1.75.5.dev1": "v1.75.5.dev1",
    "v1.75.5-nightly": "v1.75.5-nightly",
    "v1.76.0.rc.1": "v1.76.0.rc.1",
    "v1.76.3": "v1.76.3",
    "v1.77.0-nightly": "v1.77.0-nightly",
    "v1.77.2-stable": "v1.77.2",
    "v1.78.0.rc.1": "v1.78.0.rc.1",
    "v1.78.0-nightly": "v1.78.0-nightly",
    "v1.78.0-stable-draft": "v1.78.0-stable-draft",
    "stable": "v1.77.2",
    "latest": "v1.78.0-nightly",
}


def upstream_and_fork() -> History:
    """The sandbox's history.

    Commits to build on are named like the tags and branches that point at them: `upstream/main`,
    `carto/main`, `v1.76.5` and so on. `carto-merges-v1.75.2` is the fork's merge of its release.
    """
    story: list[Commit] = []
    up = _Line(story, "upstream", archive("upstream_later"))
    _upstream_until_1_74_8(up)
    fork = _Line(story, "fork", archive("fork"), came_from=up)
    _fork_of_1_74_8(fork)
    _upstream_until_1_75_2(up)
    subject = "chore: merge upstream v1.75.2-stable into carto/main"
    fork.merge(up, fork.base, LUCIA, subject, name="carto-merges-v1.75.2")
    _fork_of_1_75_2(fork)
    _upstream_until_1_76_3(up)
    _upstream_until_1_76_5(up)
    _upstream_until_1_77_2(up)
    _upstream_after_1_77_2(up)
    return History(
        commits=tuple(story),
        upstream_refs={
            "refs/heads/main": "upstream/main",
            **{f"refs/tags/{tag}": name for tag, name in UPSTREAM_TAGS.items()},
        },
        origin_refs={
            "refs/heads/main": "v1.78.0.rc.1",  # some commits behind upstream's
            "refs/heads/carto/main": "carto/main",
            "refs/tags/carto-v1.75.2-0.1.0": "carto-v1.75.2-0.1.0",
        },
        upstream_tags={
            "v1.76.5": ("v1.76.5", "v1.76.5\n\nReleased after 12 hours of load tests."),
        },
        origin_tags={
            "v1.75.2-carto.1.2.0": ("carto/main", "CARTO 1.2.0 on LiteLLM v1.75.2"),
        },
    )
