"""The sandbox's two repositories, as data: a small LiteLLM, and CARTO's fork of it.

The sandbox is what an upgrade is demonstrated on and what this project's own tests run on. It has
the shape of the real thing: an upstream with nightly, candidate, development and stable tags, and a
fork whose production branch carries workflows, patches and disabled files of its own. Merging
v1.76.5 into the fork meets every kind of conflict that git knows, all for rules to decide; merging
v1.77.2-stable meets two more, which only a person can decide.

Nothing here runs a process: `History.stream` is what goes into `git fast-import`. Dates and bytes
are fixed, so the SHAs are the same on every machine. The files' texts and most of the changes are
in `files/`, the order of events is here.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TypeAlias

# --- Commits, and how git reads them ---------------------------------------------------------


@dataclass(frozen=True)
class Blob:
    """A file whose mode may be other than a plain text file's.

    Modes: 100644; 100755, executable; 120000, a symlink, whose data is its target; 160000, a
    submodule, whose data is the commit as 40 hexadecimal digits.
    """

    data: bytes
    mode: str = "100644"

    @classmethod
    def of(cls, change: str | bytes | Blob) -> Blob:
        """The file that a change makes."""
        if isinstance(change, Blob):
            return change
        return cls(change.encode() if isinstance(change, str) else change)


# What happens to a path: a plain file's new content, another kind of file, or None: it goes.
Change: TypeAlias = str | bytes | Blob | None
Changes: TypeAlias = Mapping[str, Change]

# Every file of a commit, by path.
Tree: TypeAlias = Mapping[str, Blob]

BOT = "LiteLLM Release Bot <release-bot@example.com>"


@dataclass(frozen=True)
class Commit:
    """A commit, as what it changes in its first parent's tree.

    `name` is how refs and the `parents` of later commits refer to it. Only the first commit of a
    history has no parents. A second parent makes a merge commit, whose tree is still the first
    parent's with `changes`: nothing is merged here.
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


@dataclass(frozen=True)
class History:
    """The commits of both repositories, oldest first, and the refs of each: full name to the name
    of a commit. A tag with a message, by its full name, is an annotated one."""

    commits: tuple[Commit, ...]
    upstream_refs: Mapping[str, str]
    origin_refs: Mapping[str, str]
    messages: Mapping[str, str] = field(default_factory=dict)

    def plus(
        self,
        *commits: Commit,
        upstream_refs: Mapping[str, str] | None = None,
        origin_refs: Mapping[str, str] | None = None,
    ) -> History:
        """This history with more commits at its end, and with refs added or moved: what a test that
        needs another world begins with."""
        upstream = {**self.upstream_refs, **(upstream_refs or {})}
        origin = {**self.origin_refs, **(origin_refs or {})}
        return History(self.commits + commits, upstream, origin, self.messages)

    def stream(self, refs: Mapping[str, str]) -> bytes:
        """What `git fast-import` makes a repository of: one with these refs, and with all commits,
        also those that no ref reaches.

        A commit's date is its place in the sequence: commits that are added at the end leave the
        SHAs of the others as they were. Raises ValueError if two commits have the same name.
        """
        marks = {commit.name: mark for mark, commit in enumerate(self.commits, start=1)}
        if len(marks) < len(self.commits):
            raise ValueError("two commits have the same name")
        stream: list[bytes] = []
        for mark, commit in enumerate(self.commits, start=1):
            # fast-import builds commits on a branch: on one that is deleted below.
            stream.append(b"commit %s\nmark :%d\n" % (_IMPORT_REF, mark))
            who = f"{commit.author} {_date(mark)} +0000"
            stream.append(f"author {who}\ncommitter {who}\n".encode())
            stream.append(data(f"{commit.message}\n".encode()))
            for place, parent in enumerate(commit.parents):
                stream.append(b"%s :%d\n" % (b"merge" if place else b"from", marks[parent]))
            # Deletions first: a directory may become a file of the same name, or a file one.
            changes = sorted(commit.changes.items(), key=lambda item: item[1] is not None)
            stream += [_file_command(path, change) for path, change in changes]
        stream.append(b"reset %s\nfrom %s\n\n" % (_IMPORT_REF, b"0" * 40))
        for ref, name in refs.items():
            mark = marks[name]
            if message := self.messages.get(ref):
                tag, author = ref.removeprefix("refs/tags/"), self.commits[mark - 1].author
                tagger = f"{author} {_date(mark) + SECONDS_UNTIL_TAGGED} +0000"
                stream.append(f"tag {tag}\nfrom :{mark}\ntagger {tagger}\n".encode())
                stream.append(data(f"{message}\n".encode()))
            else:
                stream.append(b"reset %s\nfrom :%d\n\n" % (ref.encode(), mark))
        return b"".join(stream)


def _date(mark: int) -> int:
    return FIRST_DATE + (mark - 1) * SECONDS_BETWEEN_COMMITS


def data(content: bytes) -> bytes:
    """Bytes as fast-import reads them."""
    return b"data %d\n%s\n" % (len(content), content)


def _file_command(path: str, change: Change) -> bytes:
    if change is None:
        return b"D %s\n" % quoted(path)
    blob = Blob.of(change)
    if blob.mode == "160000":
        return b"M 160000 %s %s\n" % (blob.data, quoted(path))
    return b"M %s inline %s\n%s" % (blob.mode.encode(), quoted(path), data(blob.data))


def quoted(path: str) -> bytes:
    """A path as fast-import reads it: between quotes, with C's escapes for all that is not plain.

    A path that is not UTF-8 is written as Python has it from the file system, with surrogates.
    """
    raw = path.encode("utf-8", "surrogateescape")
    return b'"%s"' % re.sub(rb'[^ -~]|["\\]', lambda match: b"\\%03o" % ord(match[0]), raw)


# --- Writing a history -----------------------------------------------------------------------


@cache
def archive(name: str) -> Mapping[str, str]:
    """The entries of `files/<name>.txtar`, by path."""
    text = (Path(__file__).with_name("files") / f"{name}.txtar").read_text("utf-8")
    _comment, *parts = re.split(r"^-- (\S+) --$", text, flags=re.MULTILINE)
    bodies = [body.strip("\n") for body in parts[1::2]]
    return {path: body and f"{body}\n" for path, body in zip(parts[::2], bodies, strict=True)}


def replaced(text: str, old: str, new: str) -> str:
    """`text` with `old`, which must be there exactly once, replaced."""
    if text.count(old) != 1:
        raise ValueError(f"found {text.count(old)} times instead of once: {old!r}")
    return text.replace(old, new)


def patched(tree: Tree, diff: str) -> Changes:
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
            files[path] = replaced(f"\n{text}", f"{before}\n", f"{after}\n")[1:]
    return {path: Blob(text.encode(), tree[path].mode) for path, text in files.items()}


class _Line:
    """A line of development while its history is written.

    `story` collects the commits of both lines in the order of time; `files` is the archive that
    this line takes its changes from.
    """

    def __init__(
        self, story: list[Commit], files: Mapping[str, str], tip: str = "", tree: Tree | None = None
    ) -> None:
        self.story, self.files, self.tip = story, files, tip
        self.tree = dict(tree or {})

    def commit(
        self, author: str, subject: str, *changes: str | Changes, name: str = "", merging: str = ""
    ) -> None:
        """Commit all of `changes`: entries of the archive, whether a new file or a `.diff` of the
        files as they are, and others. A commit that nobody asks for by name gets a number."""
        together: dict[str, Change] = {}
        for some in changes:
            if not isinstance(some, str):
                together |= some
            elif some.endswith(".diff"):
                together |= patched(self.tree, self.files[some])
            else:
                together[some] = self.files[some]
        parents = tuple(parent for parent in (self.tip, merging) if parent)
        self.tip = name or str(len(self.story))
        self.story.append(Commit(self.tip, subject, together, parents, author))
        for path, change in together.items():
            if change is None:
                del self.tree[path]
            else:
                self.tree[path] = Blob.of(change)

    def pull_request(self, author: str, subject: str, *commits: tuple[str, ...]) -> None:
        """Merge a branch that begins here, the way GitHub does; its commits are what `commit`
        takes."""
        tip, tree, start = self.tip, dict(self.tree), len(self.story)
        for commit in commits:
            self.commit(*commit)
        changes = [commit.changes for commit in self.story[start:]]
        topic, self.tip, self.tree = self.tip, tip, tree
        self.commit(author, f"Merge pull request {subject}", *changes, merging=topic)

    def text(self, path: str) -> str:
        """A file as it is now."""
        return self.tree[path].data.decode()

    def rename(self, old: str, new: str) -> Changes:
        """A file's new name."""
        return {old: None, new: self.tree[old]}


# --- Upstream's first tree -------------------------------------------------------------------

BUILT_UI = "litellm/proxy/_experimental/out"
LOGO = f"{BUILT_UI}/assets/logos/litellm_logo.png"
MIGRATIONS = "litellm-proxy-extras/litellm_proxy_extras/migrations"
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
TESTS = "tests/test_litellm"
UI_CONTEXTS = "ui/litellm-dashboard/src/contexts"
WHEEL = "enterprise/dist/litellm_enterprise-{}-py3-none-any.whl"
WORKFLOWS = ".github/workflows"

_PNG, _WOFF2, _ZIP = b"\x89PNG\r\n\x1a\n", b"wOF2", b"PK\x03\x04"


def _first_tree() -> Changes:
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


def _built_ui(build: int) -> Changes:
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
    files = {
        f"_next/static/{build_id}/_buildManifest.js": "self.__BUILD_MANIFEST={sortedPages:[]};\n",
        chunk: "(self.webpackChunk_N_E=self.webpackChunk_N_E||[])"
        f'.push([[117],{{{int(code[:4], 16)}:function(e,t,n){{n.d(t,"{code}")}}}}]);\n',
        "index.html": page.replace("$page", "index"),
        "login.html": page.replace("$page", "login"),
        "index.txt": f'2:I[{19107 + build},[],"ClientPageRoot"]\n3:I[4707,[],"index"]\n'
        f'0:["{build_id}",[[["",{{"children":["__PAGE__",{{}}]}}]],["/index"]]]\n',
    }
    pages = {f"{BUILT_UI}/{path}": text for path, text in files.items()}
    return {**pages, LOGO: _binary(_PNG, f"logo {build}")}


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
    """Raise the version where it is written."""
    project, chart = "pyproject.toml", "deploy/charts/litellm-helm/Chart.yaml"
    old = re.findall(r'^version = "(.*)"', up.text(project), re.MULTILINE)[0]
    changes = {
        project: up.text(project).replace(f'\nversion = "{old}"', f'\nversion = "{version}"'),
        chart: up.text(chart).replace(f"v{old}", f"v{version}"),
    }
    up.commit(BOT, f"bump: version {old} → {version}", changes, name=name)


def _new_model(up: _Line, model: str, prices: tuple[float, float], name: str = "") -> None:
    """Add a model with its prices of a token, that goes in or comes out."""
    models = json.loads(up.text(PRICES[0]))
    models[model] = {
        "input_cost_per_token": prices[0],
        "output_cost_per_token": prices[1],
        "litellm_provider": model.partition("/")[0],
    }
    text = json.dumps(models, indent=4) + "\n"
    up.commit(PRIYA, f"feat(model_prices): add {model}", dict.fromkeys(PRICES, text), name=name)


def _new_build(up: _Line, build: int) -> None:
    old = [path for path in up.tree if path.startswith(f"{BUILT_UI}/_next/static/")]
    gone = {path: None for path in old if not path.endswith(".woff2")}
    up.commit(MEI, f"build(ui): build {build} of the dashboard", gone, _built_ui(build))


def _upstream_until_1_74_8(up: _Line) -> None:
    """Up to where the fork begins."""
    up.commit(BOT, "chore: the sandbox's history begins at v1.74.6", _first_tree())
    up.commit(DIEGO, "feat(caching): delete a key in Redis (#12791)", "redis-delete.diff")
    _release(up, "1.74.8")


def _upstream_until_1_75_2(up: _Line) -> None:
    """The release that the fork is based on."""
    up.pull_request(
        PRIYA,
        "#12902 from BerriAI/litellm_health_readiness",
        (DIEGO, "fix(proxy): /health/readiness needs no key", "readiness-without-key.diff"),
        (DIEGO, "feat(proxy): answer /health/readiness", "readiness.diff"),
    )
    migration = f"{MIGRATIONS}/20250802162330_key_cooldown/migration.sql"
    subject = "feat(db): soft budget cooldown for keys (#12955)"
    up.commit(MEI, subject, "key-cooldown.diff", migration)
    _new_model(up, "openai/gpt-5", (1.25e-06, 1e-05))
    _release(up, "1.75.2", "v1.75.2")


def _upstream_until_1_76_3(up: _Line) -> None:
    """A development build, a nightly, a candidate and a release that the fork leaves out."""
    transformation = "litellm/llms/vercel_ai_gateway/chat/transformation.py"
    subject = "feat(llms): add Vercel AI Gateway as a provider (#13144)"
    up.commit(MEI, subject, transformation, "vercel.diff")
    up.commit(TOMAS, "fix(azure): pass response_format on (#13198)", "azure-response-format.diff")
    _release(up, "1.75.5", "v1.75.5.dev1")
    specification = {SUBMODULE: _submodule_at("vendored spec 2")}
    up.commit(DIEGO, "test: follow the chat completions specification (#13239)", specification)
    up.commit(
        PRIYA,
        "ci: publish migrations when the schema changes (#13251)",
        f"{WORKFLOWS}/publish-migrations.yml",
        name="v1.75.5-nightly",
    )
    up.commit(
        TOMAS,
        "feat(router): a retry policy for each kind of error (#13302)",
        "litellm/types/router.py",
        f"{TESTS}/test_retry_policy.py",
        "retry-policy.diff",
    )
    up.commit(HANNAH, "feat(ui): filter the usage page by tag (#13330)", "usage-by-tag.diff")
    _new_build(up, 2)
    renamed = up.rename(f"{TESTS}/test_cooldown.py", f"{TESTS}/test_router_cooldown.py")
    up.commit(DIEGO, "refactor(tests): name the cooldown tests after the router (#13346)", renamed)
    up.commit(BOT, "chore(deps): bump openai from 1.97.0 to 1.99.5", "openai-1.99.5.diff")
    _release(up, "1.76.0", "v1.76.0.rc.1")
    subject = "ci: run the helm unit tests when a chart is released (#13512)"
    gone = {f"{WORKFLOWS}/helm_unit_test.yml": None}
    up.commit(PRIYA, subject, "helm-tests-on-release.diff", gone)
    up.commit(PRIYA, "ci: provenance of the images (#13527)", "image-provenance.diff")
    up.commit(TOMAS, "feat(snowflake): support `tools` (#13544)", "snowflake-tools.diff")
    up.commit(TOMAS, "fix(router): rest a deployment for 10 seconds (#13580)", "cooldown-10.diff")
    subject = "fix(docker): do not quote the arguments twice (#13588)"
    up.commit(HANNAH, subject, "entrypoint-arguments.diff")
    notes = "docs/my-website/release_notes/v1.76.3/index.md"
    up.commit(HANNAH, "docs: release notes of v1.76.3", notes)
    _release(up, "1.76.3", "v1.76.3")


def _upstream_until_1_76_5(up: _Line) -> None:
    """The release that the fork is upgraded to: every conflict with it has its rule."""
    up.commit(MEI, "build(docker): supervisord at runtime (#13641)", "supervisord.diff")
    up.commit(DIEGO, "test: is a running proxy healthy? (#13655)", PROXY_HEALTH)
    link = {PRICES_LINK: _link(f"../../{PRICES[1]}")}
    up.commit(DIEGO, "test: read the prices that are in the package (#13660)", link)
    up.commit(PRIYA, "build: make check-import-safety (#13672)", "import-safety.diff")
    wheel = {WHEEL.format("0.1.15"): _binary(_ZIP, "0.1.15, built again")}
    up.commit(BOT, "build(enterprise): build 0.1.15 again", wheel)
    up.commit(HANNAH, "docs: CARTO and LiteLLM (#13690)", "docs/CARTO_INTEGRATION.md")
    up.commit(TOMAS, "feat(responses): store=False keeps no session (#13701)", "store-false.diff")
    _new_model(up, "anthropic/claude-opus-4-1", (1.5e-05, 7.5e-05))
    _release(up, "1.76.5", "v1.76.5")


def _upstream_until_1_77_2(up: _Line) -> None:
    """A release that changes what the fork's marked blocks and its dashboard stand on."""
    endpoints = "litellm/proxy/pass_through_endpoints.py"
    up.commit(DIEGO, "feat(proxy): pass-through endpoints (#13840)", endpoints)
    _release(up, "1.77.0")
    _new_model(up, "xai/grok-code-fast-1", (2e-07, 1.5e-06), "v1.77.0-nightly")
    up.commit(PRIYA, "build(docker): bash and a C++ compiler (#13902)", "build-with-bash.diff")
    subject, provider = "feat(ui): notifications from everywhere (#13915)", "AntdGlobalProvider.tsx"
    up.commit(HANNAH, subject, f"{UI_CONTEXTS}/{provider}", "antd-provider.diff")
    _new_build(up, 3)
    up.commit(PRIYA, "ci: bills of materials of the images (#13933)", "image-sbom.diff")
    up.commit(BOT, "chore(deps): bump aiohttp from 3.12.14 to 3.12.15", "aiohttp-3.12.15.diff")
    _release(up, "1.77.2", "v1.77.2-stable")


def _upstream_after_1_77_2(up: _Line) -> None:
    """A candidate, a nightly and a draft of the next release, and what has no tag yet."""
    up.commit(MEI, "feat(groq): support `reasoning_effort` (#14002)", "groq-reasoning.diff")
    subject = "fix(router): a new list of models begins a new turn (#14011)"
    up.commit(DIEGO, subject, "turn-of-model-list.diff")
    _release(up, "1.78.0", "v1.78.0.rc.1")
    subject = "feat(ui): usage page while logged out (#14070)"
    up.commit(MEI, subject, "usage-logged-out.diff", name="v1.78.0-nightly")
    subject = "fix(proxy): spaces around the master key (#14081)"
    up.commit(DIEGO, subject, "strip-master-key.diff", name="v1.78.0-stable-draft")
    rows = (DIEGO, "feat(proxy): read more rows of spend logs", "spend-rows.diff")
    up.pull_request(TOMAS, "#14133 from BerriAI/litellm_spend_rows", rows)
    up.commit(HANNAH, "docs: the supported versions of Python (#14151)", "python-versions.diff")


# --- What the fork does ----------------------------------------------------------------------

LUCIA = "Lucía Ferrer <lucia.ferrer@carto.example.com>"
MARCOS = "Marcos Vidal <marcos.vidal@carto.example.com>"
AITANA = "Aitana Soler <aitana.soler@carto.example.com>"


def _fork_of_1_74_8(fork: _Line) -> None:
    """What the fork needs from its first day: workflows of its own instead of upstream's."""
    tags = ".github/scripts/image_tags.sh"
    fork.commit(
        LUCIA,
        "ci: build our images from carto/main",
        f"{WORKFLOWS}/carto_ghcr_deploy.yaml",
        f"{WORKFLOWS}/carto_release.yaml",
        {tags: Blob(fork.files[tags].encode(), "100755")},
    )
    helm, unit = f"{WORKFLOWS}/ghcr_helm_deploy.yml", f"{WORKFLOWS}/helm_unit_test.yml"
    fork.commit(
        LUCIA,
        "ci: switch upstream's deployments and scans off",
        {f"{WORKFLOWS}/ghcr_deploy.yml": None, f"{WORKFLOWS}/codeql.yml": None},
        f"{WORKFLOWS}/ghcr_deploy.yml.txt",
        fork.rename(helm, f"{helm}.txt"),
        fork.rename(unit, f"{unit}.txt"),
    )
    fork.commit(LUCIA, "ci: say that the helm chart is not used", "disabled-helm.diff")
    fork.commit(
        MARCOS,
        "docs: how we keep this fork and how we release it",
        "CARTO_CLAUDE.md",
        "docs/CARTO_RELEASE_PROCESS.md",
        {"CLAUDE.md": _link("CARTO_CLAUDE.md")},
    )


def _fork_of_1_75_2(fork: _Line) -> None:
    """CARTO's changes on v1.75.2: some conflict with later releases, more do not."""
    sync = f"{WORKFLOWS}/carto-upstream-sync.yml"
    fork.commit(LUCIA, "ci: look for stable upstream releases every 8 hours", sync)
    entrypoint = {"docker/entrypoint.sh": replace(fork.tree["docker/entrypoint.sh"], mode="100755")}
    fork.commit(MARCOS, "build(docker): what our clusters need", "docker.diff", entrypoint)
    fork.commit(MARCOS, "build: make carto-check", "carto-check.diff", name="carto-v1.75.2-0.1.0")
    fork.pull_request(
        LUCIA,
        "#31 from CartoDB/feature/redis-sessions",
        (
            AITANA,
            "feat(responses): keep sessions in Redis",
            "litellm/responses/redis_session_handler.py",
            "redis-sessions.diff",
        ),
        (
            AITANA,
            "test(responses): two pods share a session",
            f"{TESTS}/test_redis_session_handler.py",
            "REDIS_SESSION_PATCH.md",
        ),
    )
    # Upstream makes one of these two changes itself later, in the same words.
    fork.commit(AITANA, "fix(azure): full URLs of deployments, response_format", "azure-url.diff")
    tokens = (MARCOS, "feat(snowflake): programmatic access tokens", "snowflake-tokens.diff")
    fork.pull_request(AITANA, "#38 from CartoDB/feature/snowflake-tokens", tokens)
    fork.commit(
        AITANA,
        "feat(router): keep a session on its deployment",
        "session-affinity.diff",
        f"{TESTS}/test_session_affinity.py",
    )
    fork.commit(AITANA, "fix(router): rest a deployment for 15 seconds", "cooldown-15.diff")
    fork.commit(
        MARCOS,
        "test: retries, and our prices and specification",
        f"{TESTS}/test_retry_policy.py",
        "tests/fixtures/carto_prices.json",
        fork.rename(f"{TESTS}/test_cooldown.py", f"{TESTS}/test_cooldown_policy.py"),
        {
            PRICES_LINK: _link("carto_prices.json"),
            SUBMODULE: _submodule_at("vendored spec, CARTO's branch"),
        },
    )
    # Upstream has the very same script from us, but without its executable bit.
    script = {PROXY_HEALTH: Blob(archive("upstream_later")[PROXY_HEALTH].encode(), "100755")}
    fork.commit(MARCOS, "test: is a running proxy healthy?", script)
    script_tag = '<script src="carto-feature-flags.js"></script></head>'
    edits = {
        "index.html": ("</head>", script_tag),
        "login.html": ("</head>", script_tag),
        "index.txt": ('["/index"]', '["/index"],["carto-feature-flags.js"]'),
    }
    pages = {f"{BUILT_UI}/{page}": edit for page, edit in edits.items()}
    fork.commit(
        LUCIA,
        "feat(ui): feature flags in the dashboard, and our logo",
        f"{UI_CONTEXTS}/FeatureFlagsProvider.tsx",
        f"{BUILT_UI}/carto-feature-flags.js",
        "feature-flags.diff",
        {page: replaced(fork.text(page), old, new) for page, (old, new) in pages.items()},
        {LOGO: _binary(_PNG, "CARTO's logo")},
    )
    wheels = {path: None for path in fork.tree if path.startswith("enterprise/dist/")}
    fork.commit(LUCIA, "chore: drop the enterprise wheels, we do not ship them", wheels)
    fork.commit(AITANA, "build: hiredis, for the sessions in Redis", "hiredis.diff")
    load_test = (MARCOS, "build: make load-test", "load-test.diff")
    fork.pull_request(LUCIA, "#44 from CartoDB/feature/load-test", load_test)
    fork.commit(MARCOS, "docs: how we use the proxy", "docs/CARTO_INTEGRATION.md")
    fork.commit(LUCIA, "chore: let upstream decide what it knows better", "carto_drops.toml")
    project = fork.text("pyproject.toml").replace('version = "1.75.2"', 'version = "1.75.2.1"')
    fork.commit(
        LUCIA,
        "chore: version 1.75.2.1, our first image with sessions in Redis",
        {"pyproject.toml": project},
        name="carto/main",
    )


# --- Both together ---------------------------------------------------------------------------


def upstream_and_fork() -> History:
    """The sandbox's history.

    Commits to build on are named like the tags and branches that point at them: `v1.76.5`,
    `carto/main` and so on. One of upstream's whose name begins with a v is a release with that tag.
    """
    story: list[Commit] = []
    up = _Line(story, archive("upstream_later"))
    _upstream_until_1_74_8(up)
    fork = _Line(story, archive("fork"), up.tip, up.tree)
    _fork_of_1_74_8(fork)
    base = dict(up.tree)
    _upstream_until_1_75_2(up)
    # Nothing that both have changed since, and nothing that upstream has removed.
    theirs = {path: blob for path, blob in up.tree.items() if base.get(path) != blob}
    subject = "chore: merge upstream v1.75.2-stable into carto/main"
    fork.commit(LUCIA, subject, theirs, merging=up.tip)
    _fork_of_1_75_2(fork)
    _upstream_until_1_76_3(up)
    _upstream_until_1_76_5(up)
    _upstream_until_1_77_2(up)
    _upstream_after_1_77_2(up)
    tagged = [commit.name for commit in story if commit.name.startswith("v")]
    return History(
        commits=tuple(story),
        upstream_refs={
            "refs/heads/main": up.tip,
            **{f"refs/tags/{name}": name for name in tagged},
            "refs/tags/v1.75.2-stable": "v1.75.2",
            "refs/tags/stable": "v1.77.2-stable",  # this one moves, and so does `latest`
            "refs/tags/latest": "v1.78.0-nightly",
        },
        origin_refs={
            "refs/heads/main": "v1.78.0.rc.1",  # some commits behind upstream's
            "refs/heads/carto/main": "carto/main",
            "refs/tags/carto-v1.75.2-0.1.0": "carto-v1.75.2-0.1.0",
            "refs/tags/v1.75.2-carto.1.2.0": "carto/main",
        },
        messages={
            "refs/tags/v1.76.5": "v1.76.5\n\nReleased after 12 hours of load tests.",
            "refs/tags/v1.75.2-carto.1.2.0": "CARTO 1.2.0 on LiteLLM v1.75.2",
        },
    )
