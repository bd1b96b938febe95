"""The sandbox's two repositories, as data: a small LiteLLM and CARTO's fork of it.

The sandbox is what an upgrade is demonstrated on and what this project's own tests run on. It has
the shape of the real thing: an upstream with nightly, candidate, development and stable tags, and a
fork whose production branch carries workflows, patches and disabled files of its own. Merging
v1.76.5 into the fork meets every kind of conflict that git knows; merging v1.77.2-stable meets two
more, which only a person can decide.

Nothing here runs a process. `upstream_and_fork()` returns the history, and its streams go into
`git fast-import`. Dates and bytes are fixed, so the SHAs are the same on every machine. A test that
needs another world adds commits to this one:

    history = upstream_and_fork().plus(
        Commit("hotfix", "fix: typo", {"README.md": "…"}, parents=("carto/main",)),
        origin_refs={"refs/heads/carto/main": "hotfix"},
    )
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from string import Template
from typing import TypeAlias

# --- Commits, and how they are told to git ---------------------------------------------------


@dataclass(frozen=True)
class Blob:
    """A file whose mode may be other than that of a plain text file."""

    data: bytes
    mode: str = "100644"
    """100644, 100755 (executable), 120000 (symlink; data is its target) or 160000 (submodule;
    data is the commit, as 40 hexadecimal digits)."""


Change: TypeAlias = str | bytes | Blob | None
"""What happens to a path: a plain file's new text, another kind of file, or None to delete it."""

Tree: TypeAlias = dict[str, Blob]
"""The files of a commit, by path."""


@dataclass(frozen=True)
class Commit:
    """A commit, as what it changes in its first parent's tree."""

    name: str
    """How `parents` and refs refer to it; names are unique in a history."""
    message: str
    changes: Mapping[str, Change]
    parents: tuple[str, ...] = ()
    """Names of earlier commits, or full SHAs of commits that the repository has. A second parent
    makes a merge; its tree is the first parent's with `changes`, never merged by git."""
    author: str = "LiteLLM Release Bot <release-bot@example.com>"


AnnotatedTags: TypeAlias = Mapping[str, tuple[str, str]]
"""Tag name -> (name of its commit, message)."""

FIRST_DATE = 1752570000
"""When the first commit of a stream was made: 15 July 2025, 09:00 UTC."""
HOURS_BETWEEN_COMMITS = 17
TAGGED_AFTER_SECONDS = 600

_IMPORT_REF = "refs/sandbox/import"


def fast_import_stream(
    commits: Sequence[Commit], refs: Mapping[str, str], tags: AnnotatedTags
) -> bytes:
    """All commits in the order given, then refs (full ref name -> commit name) and annotated tags.

    A commit's date is its place in the sequence, so commits added at the end leave the SHAs of
    those before them as they were. Commits that no ref reaches are imported too.
    """
    marks: dict[str, int] = {}
    lines: list[bytes] = [b"feature done\n"]
    for number, commit in enumerate(commits):
        if commit.name in marks:
            raise ValueError(f"two commits are named {commit.name!r}")
        # fast-import builds every commit on a branch. This one belongs to nobody and is deleted
        # below; a reset makes it unborn, or a root commit would continue the one before it.
        if not commit.parents:
            lines.append(f"reset {_IMPORT_REF}\n\n".encode())
        marks[commit.name] = number + 1
        who = f"{commit.author} {_date(number)} +0000"
        lines.append(f"commit {_IMPORT_REF}\nmark :{number + 1}\n".encode())
        lines.append(f"author {who}\ncommitter {who}\n".encode())
        lines.append(_data(commit.message.rstrip("\n").encode() + b"\n"))
        for verb, parent in zip(("from", *["merge"] * len(commit.parents)), commit.parents):
            lines.append(f"{verb} {_commit_ish(parent, marks)}\n".encode())
        lines.extend(_file_commands(commit.changes))
        lines.append(b"\n")
    if commits:
        lines.append(f"reset {_IMPORT_REF}\nfrom {'0' * 40}\n\n".encode())
    for ref, name in refs.items():
        lines.append(f"reset {ref}\nfrom {_commit_ish(name, marks)}\n\n".encode())
    for tag, (name, message) in tags.items():
        number = marks[name] - 1
        tagger = f"{commits[number].author} {_date(number) + TAGGED_AFTER_SECONDS} +0000"
        lines.append(f"tag {tag}\nfrom :{marks[name]}\ntagger {tagger}\n".encode())
        lines.append(_data(message.rstrip("\n").encode() + b"\n"))
    lines.append(b"done\n")
    return b"".join(lines)


def _date(number: int) -> int:
    return FIRST_DATE + number * HOURS_BETWEEN_COMMITS * 3600


def _data(content: bytes) -> bytes:
    return b"data %d\n%s\n" % (len(content), content)


def _commit_ish(name: str, marks: Mapping[str, int]) -> str:
    if name in marks:
        return f":{marks[name]}"
    if re.fullmatch(r"[0-9a-f]{40}", name):
        return name
    raise ValueError(f"no commit named {name!r} so far")


def _file_commands(changes: Mapping[str, Change]) -> Iterable[bytes]:
    """Deletions first: a path may turn from a directory into a file, or the other way round."""
    for path, change in changes.items():
        if change is None:
            yield b"D %s\n" % _quoted(path)
    for path, change in changes.items():
        if change is None:
            continue
        blob = as_blob(change)
        if blob.mode == "160000":
            yield b"M 160000 %s %s\n" % (blob.data, _quoted(path))
        else:
            yield b"M %s inline %s\n%s" % (blob.mode.encode(), _quoted(path), _data(blob.data))


def _quoted(path: str) -> bytes:
    """A path as fast-import reads it: in double quotes, C escapes for all that is not plain."""
    raw = path.encode("utf-8", "surrogateescape")
    if re.fullmatch(rb"[A-Za-z0-9_./$@+,=-]+", raw):
        return raw
    plain = (bytes((byte,)) for byte in raw)
    return b'"%s"' % b"".join(
        char if b" " <= char <= b"~" and char not in b'"\\' else b"\\%03o" % ord(char)
        for char in plain
    )


# --- Histories and trees ---------------------------------------------------------------------


@dataclass(frozen=True)
class History:
    """The commits of both repositories, and the refs of each."""

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
        """This history with more commits at its end, and refs and tags added or moved."""
        return replace(
            self,
            commits=self.commits + commits,
            upstream_refs={**self.upstream_refs, **(upstream_refs or {})},
            origin_refs={**self.origin_refs, **(origin_refs or {})},
            upstream_tags={**self.upstream_tags, **(upstream_tags or {})},
            origin_tags={**self.origin_tags, **(origin_tags or {})},
        )

    def tree(self, name: str) -> Tree:
        """The files of a commit."""
        return tree_of(self.commits, name)

    def text(self, name: str, path: str) -> str:
        """One file of a commit."""
        return self.tree(name)[path].data.decode()


def as_blob(change: str | bytes | Blob) -> Blob:
    if isinstance(change, Blob):
        return change
    return Blob(change.encode() if isinstance(change, str) else change)


def tree_of(commits: Sequence[Commit], name: str) -> Tree:
    """The files of the commit `name`: the changes along its first parents, oldest first."""
    by_name = {commit.name: commit for commit in commits}
    chain = [by_name[name]]
    while chain[-1].parents:
        chain.append(by_name[chain[-1].parents[0]])
    tree: Tree = {}
    for commit in reversed(chain):
        apply(tree, commit.changes)
    return tree


def apply(tree: Tree, changes: Mapping[str, Change]) -> None:
    """Change a tree in place."""
    for path, change in changes.items():
        if change is None:
            del tree[path]
        else:
            tree[path] = as_blob(change)


def changes_between(old: Tree, new: Tree) -> dict[str, Change]:
    """What turns one tree into another: the way to write a squashed merge."""
    gone: dict[str, Change] = {path: None for path in old if path not in new}
    return gone | {path: blob for path, blob in new.items() if old.get(path) != blob}


def replaced(text: str, *edits: tuple[str, str]) -> str:
    """`text` with each (old, new) edit made; every `old` must be there exactly once."""
    for old, new in edits:
        if text.count(old) != 1:
            raise ValueError(f"found {text.count(old)} times, expected once: {old!r}")
        text = text.replace(old, new)
    return text


def archive(name: str) -> dict[str, str]:
    """The files of `sandbox_files/<name>.txtar`, by path."""
    text = (Path(__file__).with_name("sandbox_files") / f"{name}.txtar").read_text("utf-8")
    _, *parts = re.split(r"^-- (\S+) --$", text, flags=re.MULTILINE)
    bodies = (body.strip("\n") for body in parts[1::2])
    return {
        path: f"{body}\n" if body else "" for path, body in zip(parts[::2], bodies, strict=True)
    }


class Line:
    """A line of development while it is written: its tree is always that of its newest commit."""

    def __init__(self, story: list[Commit], name: str, tip: str = "", tree: Tree | None = None):
        self.story = story
        self.name = name
        self.tip = tip
        self.tree: Tree = dict(tree or {})
        self._began_as: Tree = dict(self.tree)

    def commit(
        self,
        author: str,
        subject: str,
        *changes: Mapping[str, Change],
        name: str = "",
        merging: str = "",
    ) -> None:
        """Add a commit with all of `changes`; without a name it is called `<line>-<number>`."""
        change = {path: new for some in changes for path, new in some.items()}
        parents = tuple(parent for parent in (self.tip, merging) if parent)
        name = name or f"{self.name}-{len(self.story):03}"
        self.story.append(Commit(name, subject, change, parents, author))
        apply(self.tree, change)
        self.tip = name

    def branch(self, name: str) -> Line:
        """A new line that begins here."""
        return Line(self.story, name, self.tip, self.tree)

    def merge(self, other: Line, base: Tree, author: str, subject: str, name: str = "") -> None:
        """Merge another line; paths that both changed since `base` are a mistake in this file."""
        theirs = changes_between(base, other.tree)
        both = sorted(theirs.keys() & changes_between(base, self.tree).keys())
        if both:
            raise ValueError(f"both sides changed {', '.join(both)}")
        self.commit(author, subject, theirs, name=name, merging=other.tip)

    def pull_request(self, topic: Line, author: str, subject: str) -> None:
        """Merge a topic that was branched from this line."""
        self.merge(topic, topic._began_as, author, subject)

    def text(self, path: str) -> str:
        return self.tree[path].data.decode()

    def edit(self, path: str, *edits: tuple[str, str]) -> dict[str, Change]:
        """A change of some passages of a file."""
        return {path: Blob(replaced(self.text(path), *edits).encode(), self.tree[path].mode)}

    def move(self, old: str, new: str, *edits: tuple[str, str]) -> dict[str, Change]:
        """A rename, with some passages changed on the way."""
        text = replaced(self.text(old), *edits)
        return {old: None, new: Blob(text.encode(), self.tree[old].mode)}


# --- The repetitive part of upstream's tree --------------------------------------------------

PROVIDERS = {
    "ai21": ("AI21", "api.ai21.com/studio/v1"),
    "anthropic": ("Anthropic", "api.anthropic.com/v1"),
    "azure": ("Azure OpenAI", "example-resource.openai.azure.com"),
    "bedrock": ("AWS Bedrock", "bedrock-runtime.us-east-1.amazonaws.com"),
    "cerebras": ("Cerebras", "api.cerebras.ai/v1"),
    "cohere": ("Cohere", "api.cohere.com/v2"),
    "databricks": ("Databricks", "example.cloud.databricks.com/serving-endpoints"),
    "deepinfra": ("DeepInfra", "api.deepinfra.com/v1/openai"),
    "deepseek": ("DeepSeek", "api.deepseek.com/beta"),
    "fireworks_ai": ("Fireworks AI", "api.fireworks.ai/inference/v1"),
    "friendliai": ("FriendliAI", "api.friendli.ai/serverless/v1"),
    "gemini": ("Google AI Studio", "generativelanguage.googleapis.com/v1beta/openai"),
    "github_copilot": ("GitHub Copilot", "api.githubcopilot.com"),
    "groq": ("Groq", "api.groq.com/openai/v1"),
    "huggingface": ("Hugging Face", "router.huggingface.co/v1"),
    "hyperbolic": ("Hyperbolic", "api.hyperbolic.xyz/v1"),
    "lambda_ai": ("Lambda AI", "api.lambda.ai/v1"),
    "lm_studio": ("LM Studio", "lm-studio.example.com/v1"),
    "mistral": ("Mistral AI", "api.mistral.ai/v1"),
    "nebius": ("Nebius AI Studio", "api.studio.nebius.ai/v1"),
    "nvidia_nim": ("NVIDIA NIM", "integrate.api.nvidia.com/v1"),
    "ollama": ("Ollama", "ollama.example.com/v1"),
    "openrouter": ("OpenRouter", "openrouter.ai/api/v1"),
    "perplexity": ("Perplexity AI", "api.perplexity.ai"),
    "sambanova": ("SambaNova", "api.sambanova.ai/v1"),
    "snowflake": ("Snowflake", "example.snowflakecomputing.com/api/v2/cortex/inference"),
    "together_ai": ("Together AI", "api.together.xyz/v1"),
    "vertex_ai": ("Vertex AI", "us-central1-aiplatform.googleapis.com/v1"),
    "watsonx": ("IBM watsonx.ai", "us-south.ml.cloud.ibm.com/ml/v1"),
    "xai": ("xAI", "api.x.ai/v1"),
}

COMPONENTS = [
    "admins",
    "api_ref",
    "budget_panel",
    "cache_dashboard",
    "chat_ui",
    "create_key_button",
    "general_settings",
    "guardrails",
    "internal_users",
    "key_info",
    "leftnav",
    "mcp_servers",
    "model_dashboard",
    "navbar",
    "organizations",
    "pass_through_settings",
    "prompts",
    "request_logs",
    "tag_management",
    "team_info",
    "transform_request",
    "usage",
    "user_dashboard",
    "vector_stores",
]

PAGES = [
    "404",
    "api-keys",
    "guardrails",
    "index",
    "logs",
    "login",
    "model_hub",
    "onboarding",
    "organizations",
    "teams",
    "test-key",
    "usage",
]

DOCS = {
    "completion": "batching drop_params function_call input json_mode output prefix stream vision",
    "caching": "all_caches local_caching redis",
    "observability": "arize custom_callback datadog langfuse opentelemetry prometheus sentry",
    "proxy": "alerting budgets caching configs cost_tracking deploy guardrails health logging "
    "master_key_rotations prod quick_start reliability team_budgets users virtual_keys",
    "": "budget_manager exception_mapping index response_api routing secret set_keys sdk_custom",
}

COOKBOOK = [
    "Benchmarking_LLMs_by_use_case",
    "Evaluating_LLMs",
    "LiteLLM_Azure_and_OpenAI_example",
    "LiteLLM_Completion_Cost",
    "LiteLLM_HuggingFace",
    "LiteLLM_Mistral",
    "LiteLLM_Streaming",
    "Migrating_to_LiteLLM_Proxy",
    "Parallel_function_calling",
    "liteLLM_function_calling",
]

MIGRATIONS = {
    "20250326162113_baseline": 'CREATE TABLE "LiteLLM_BudgetTable" ("budget_id" TEXT NOT NULL);',
    "20250327180120_add_api_requests_to_daily_user_table": 'ALTER TABLE "LiteLLM_DailyUserSpend" '
    'ADD COLUMN "api_requests" INTEGER NOT NULL DEFAULT 0;',
    "20250411215431_add_managed_file_table": 'CREATE TABLE "LiteLLM_ManagedFileTable" ();',
    "20250425182129_add_session_id": 'ALTER TABLE "LiteLLM_SpendLogs" ADD COLUMN "session_id" TEXT;',
    "20250508072103_add_status_to_spendlogs": 'ALTER TABLE "LiteLLM_SpendLogs" '
    'ADD COLUMN "status" TEXT;',
    "20250522223020_managed_object_table": 'CREATE TABLE "LiteLLM_ManagedObjectTable" ();',
    "20250625145206_cascade_budget": 'ALTER TABLE "LiteLLM_TeamTable" DROP CONSTRAINT "budget";',
    "20250718125714_litellm_prompt_table": 'CREATE TABLE "LiteLLM_PromptTable" ();',
}

PRICES = {
    "gpt-4o": (2.5, 10, "openai"),
    "gpt-4o-mini": (0.15, 0.6, "openai"),
    "o3-mini": (1.1, 4.4, "openai"),
    "azure/gpt-4o": (2.5, 10, "azure"),
    "claude-3-5-sonnet-20241022": (3, 15, "anthropic"),
    "claude-3-5-haiku-20241022": (0.8, 4, "anthropic"),
    "gemini/gemini-2.0-flash": (0.1, 0.4, "gemini"),
    "mistral/mistral-large-latest": (2, 6, "mistral"),
    "groq/llama-3.1-8b-instant": (0.05, 0.08, "groq"),
    "deepseek/deepseek-chat": (0.27, 1.1, "deepseek"),
}

PRICE_FILES = (
    "model_prices_and_context_window.json",
    "litellm/model_prices_and_context_window_backup.json",
)
SCHEMAS = (
    "schema.prisma",
    "litellm/proxy/schema.prisma",
    "litellm-proxy-extras/litellm_proxy_extras/schema.prisma",
)
BUILT_UI = "litellm/proxy/_experimental/out"
LOGO = f"{BUILT_UI}/assets/logos/litellm_logo.png"
WHEEL = "enterprise/dist/litellm_enterprise-0.1.15-py3-none-any.whl"
SUBMODULE = "tests/fixtures/vendored-spec"
PRICE_LINK = "tests/fixtures/prices.json"
WORKFLOWS = ".github/workflows"


def _digest(seed: str) -> str:
    return hashlib.sha256(seed.encode()).hexdigest()


def _binary(header: bytes, seed: str) -> bytes:
    """Bytes that git takes for binary: a file's magic number, a NUL, then noise."""
    return header + b"\0" + b"".join(bytes.fromhex(_digest(f"{seed} {n}")) for n in range(12))


def _link(target: str) -> Blob:
    return Blob(target.encode(), "120000")


def _submodule_at(seed: str) -> Blob:
    return Blob(_digest(seed)[:40].encode(), "160000")


def _provider_files(provider: str, title: str, host: str) -> dict[str, str]:
    values = {
        "provider": provider,
        "title": title,
        "host": host,
        "identifier": "".join(word.capitalize() for word in provider.split("_")),
        "variable": provider.upper(),
    }
    return {
        Template(path).substitute(values): Template(text).substitute(values)
        for path, text in archive("per_provider").items()
    }


def _component(name: str) -> str:
    identifier = "".join(word.capitalize() for word in name.split("_"))
    return (
        'import { Card, Title } from "@tremor/react";\n\n'
        f"interface {identifier}Props {{\n  accessToken: string | null;\n}}\n\n"
        f"export default function {identifier}({{ accessToken }}: {identifier}Props) {{\n"
        "  if (!accessToken) {\n    return null;\n  }\n"
        f"  return (\n    <Card>\n      <Title>{name.replace('_', ' ').capitalize()}</Title>\n"
        "    </Card>\n  );\n}\n"
    )


def _docs_page(name: str) -> str:
    title = name.replace("_", " ").capitalize()
    return f"# {title}\n\nHow LiteLLM handles {title.lower()}.\n\n## Quick start\n\n:::info\n:::\n"


def _notebook(name: str) -> str:
    source = [f"# {name.replace('_', ' ')}\n", "\n", "!pip install litellm"]
    cell = {"cell_type": "markdown", "metadata": {}, "source": source}
    return json.dumps({"cells": [cell], "nbformat": 4, "nbformat_minor": 0}, indent=1) + "\n"


def _built_ui(build: int) -> dict[str, str]:
    """The dashboard as `next build` leaves it: pages on one line, hashes in every name."""
    build_id = _digest(f"build {build}")[:21]
    static = "/litellm-asset-prefix/_next/static"
    files = {
        f"_next/static/{build_id}/_buildManifest.js": "self.__BUILD_MANIFEST={sortedPages:[]};\n",
        f"_next/static/{build_id}/_ssgManifest.js": "self.__SSG_MANIFEST=new Set;\n",
        f"_next/static/css/{_digest(f'css {build // 2}')[:16]}.css": ".flex{display:flex}\n",
    }
    chunks = []
    for number in range(117, 817, 50):
        code = _digest(f"chunk {number} {build}")
        chunks.append(f"{number}-{code[:16]}.js")
        files[f"_next/static/chunks/{chunks[-1]}"] = (
            "(self.webpackChunk_N_E=self.webpackChunk_N_E||[])"
            f'.push([[{number}],{{{int(code[:4], 16)}:function(e,t,n){{n.d(t,"{code}")}}}}]);\n'
        )
    scripts = "".join(f'<script src="{static}/chunks/{name}" async=""></script>' for name in chunks)
    for page in PAGES:
        files[f"{page}.html"] = (
            '<!DOCTYPE html><html lang="en"><head><meta charSet="utf-8"/><title>LiteLLM Dashboard'
            f'</title>{scripts}</head><body><div id="{page}"></div><script>self.__next_f.push([1,'
            f'"buildId:{build_id}"])</script></body></html>\n'
        )
        files[f"{page}.txt"] = (
            f'2:I[{build + 19107},[],"ClientPageRoot"]\n'
            f'3:I[4707,[],"{page}"]\n'
            f'0:["{build_id}",[[["",{{"children":["__PAGE__",{{}}]}}]],["/{page}"]]]\n'
        )
    return {f"{BUILT_UI}/{path}": text for path, text in files.items()}


def _locked(lock: str, package: str, version: str) -> str:
    """poetry.lock with another version of a package: its files and the content hash follow."""
    entry = re.compile(rf'(name = "{package}"\nversion = ")([^"]+)("(?:.*\n)*?.*sha256:)[0-9a-f]+')
    found = entry.search(lock)
    if found is None:
        raise ValueError(f"{package} is not in the lock file")
    fresh = entry.sub(rf"\g<1>{version}\g<3>{_digest(package + version)}", lock, count=1)
    fresh = fresh.replace(f"{package}-{found[2]}", f"{package}-{version}")
    return re.sub(r'(content-hash = ")[0-9a-f]+', rf"\g<1>{_digest(fresh)}", fresh)


def _prices(models: Mapping[str, tuple[float, float, str]]) -> dict[str, object]:
    return {
        model: {
            "max_tokens": 16384,
            "input_cost_per_token": round(million_in / 1e6, 12),
            "output_cost_per_token": round(million_out / 1e6, 12),
            "litellm_provider": provider,
            "mode": "chat",
        }
        for model, (million_in, million_out, provider) in models.items()
    }


def _first_tree() -> dict[str, Change]:
    """Upstream's files at its first commit."""
    tree: dict[str, Change] = {}
    for provider, (title, host) in PROVIDERS.items():
        tree |= _provider_files(provider, title, host)
    tree |= archive("upstream")  # may replace what the template made of a provider
    registered = "\n".join(f'    "{provider}",' for provider in PROVIDERS)
    packages = {name: _digest(name) for name in re.findall(r"\$(\w+)", str(tree["poetry.lock"]))}
    tree["litellm/constants.py"] = Template(str(tree["litellm/constants.py"])).substitute(
        providers=registered
    )
    tree["poetry.lock"] = Template(str(tree["poetry.lock"])).substitute(packages)
    tree |= dict.fromkeys(SCHEMAS, tree["schema.prisma"])
    tree |= dict.fromkeys(PRICE_FILES, json.dumps(_prices(PRICES), indent=4) + "\n")
    for name in COMPONENTS:
        tree[f"ui/litellm-dashboard/src/components/{name}.tsx"] = _component(name)
    for folder, pages in DOCS.items():
        for page in pages.split():
            tree[str(Path("docs/my-website/docs", folder, f"{page}.md"))] = _docs_page(page)
    for name in COOKBOOK:
        tree[f"cookbook/{name}.ipynb"] = _notebook(name)
    for name, statement in MIGRATIONS.items():
        tree[_migration(name)] = f"-- AlterSchema\n{statement}\n"
    tree |= _built_ui(1)
    tree[LOGO] = _binary(b"\x89PNG\r\n\x1a\n", "logo 1")
    for font in ("26a46d62cd723877", "97e0cb1ae144a2a9"):
        tree[f"{BUILT_UI}/_next/static/media/{font}-s.woff2"] = _binary(b"wOF2", font)
    for version in ("0.1.11", "0.1.12", "0.1.15"):
        wheel = WHEEL.replace("0.1.15", version)
        tree[wheel] = _binary(b"PK\x03\x04", version)
    tree[PRICE_LINK] = _link("../../model_prices_and_context_window.json")
    tree[SUBMODULE] = _submodule_at("vendored spec 1")
    return tree


def _migration(name: str) -> str:
    return f"litellm-proxy-extras/litellm_proxy_extras/migrations/{name}/migration.sql"


# --- Upstream's history ----------------------------------------------------------------------

BOT = "LiteLLM Release Bot <release-bot@example.com>"
PRIYA = "Priya Nair <priya.nair@example.com>"
TOMAS = "Tomas Lindqvist <tomas.lindqvist@example.com>"
MEI = "Mei Okafor <mei.okafor@example.com>"
DIEGO = "Diego Barros <diego.barros@example.com>"
HANNAH = "Hannah Weiß <hannah.weiss@example.com>"

ROUTER = "litellm/router.py"
ROUTER_TEST = "tests/test_litellm/test_router.py"
AZURE = "litellm/llms/azure/chat/transformation.py"
LAYOUT = "ui/litellm-dashboard/src/app/layout.tsx"


def _release(up: Line, version: str, name: str = "") -> None:
    """Raise every version line; the commit is named as its tag."""
    old = re.findall(r'^version = "(.*)"', up.text("pyproject.toml"), re.MULTILINE)[0]
    project = up.text("pyproject.toml").replace(f'version = "{old}"\n', f'version = "{version}"\n')
    chart = up.edit("deploy/charts/litellm-helm/Chart.yaml", (f"v{old}", f"v{version}"))
    up.commit(
        BOT,
        f"bump: version {old} → {version}",
        {"pyproject.toml": project},
        chart,
        name=name or f"v{version}",
    )


def _price(up: Line, model: str, provider: str, million_in: float, million_out: float) -> None:
    known = json.loads(up.text(PRICE_FILES[0]))
    known |= _prices({model: (million_in, million_out, provider)})
    text = json.dumps(known, indent=4) + "\n"
    up.commit(PRIYA, f"feat(model_prices): add {model}", dict.fromkeys(PRICE_FILES, text))


def _param(up: Line, author: str, provider: str, name: str, pr: int) -> None:
    path = f"litellm/llms/{provider}/chat/transformation.py"
    edit = up.edit(path, ('        "stream",\n', f'        "{name}",\n        "stream",\n'))
    up.commit(author, f"feat({provider}): support `{name}` (#{pr})", edit)


def _provider(up: Line, author: str, name: str, title: str, host: str, pr: int) -> None:
    listed = up.edit("litellm/constants.py", ('    "xai",\n', f'    "xai",\n    "{name}",\n'))
    files = _provider_files(name, title, host)
    up.commit(author, f"feat(llms): add {title} as a provider (#{pr})", files, listed)


def _notes(up: Line, version: str, *highlights: str) -> None:
    text = f"# v{version}\n\n" + "".join(f"- {highlight}\n" for highlight in highlights)
    path = f"docs/my-website/release_notes/v{version}/index.md"
    up.commit(HANNAH, f"docs: release notes of v{version}", {path: text})


def _rebuild_ui(up: Line, build: int) -> None:
    old = {path: blob for path, blob in up.tree.items() if path.startswith(f"{BUILT_UI}/")}
    kept = {path: blob for path, blob in old.items() if path == LOGO or path.endswith(".woff2")}
    new = kept | {path: as_blob(text) for path, text in _built_ui(build).items()}
    new[LOGO] = Blob(_binary(b"\x89PNG\r\n\x1a\n", f"logo {build}"))
    up.commit(MEI, f"build(ui): new build {build}", changes_between(old, new))


def _upstream_until_1_74_8(up: Line) -> None:
    """Where the fork begins."""
    up.commit(BOT, "chore: begin the history of the sandbox at v1.74.6", _first_tree())
    _price(up, "gemini/gemini-2.5-flash-lite", "gemini", 0.1, 0.4)
    _param(up, TOMAS, "groq", "reasoning_effort", 12784)
    cache = up.edit(
        "litellm/caching/redis_cache.py",
        ("    def get_cache(", "    def delete_cache(self, key):\n        "
         "self.client.delete(self.check_and_fix_namespace(key))\n\n    def get_cache("),
    )  # fmt: skip
    up.commit(DIEGO, "feat(caching): delete a key of the redis cache (#12791)", cache)
    _release(up, "1.74.8")


def _upstream_until_1_75_2(up: Line) -> None:
    """The release that the fork is based on."""
    _provider(up, TOMAS, "moonshot", "Moonshot AI", "api.moonshot.ai/v1", 12871)
    topic = up.branch("readiness")
    topic.commit(
        DIEGO,
        "fix(proxy): /health/readiness needs no key",
        topic.edit(
            "litellm/proxy/auth/user_api_key_auth.py",
            ('("/health/liveliness",)', '("/health/liveliness", "/health/readiness")'),
        ),
    )
    topic.commit(
        DIEGO,
        "feat(proxy): answer /health/readiness",
        topic.edit(
            "litellm/proxy/proxy_server.py",
            (
                '@route("/v1/models")',
                '@route("/health/readiness")\ndef health_readiness(body, router):\n'
                '    return {"status": "healthy"}\n\n\n@route("/v1/models")',
            ),
        ),
    )
    up.pull_request(
        topic, PRIYA, "Merge pull request #12902 from diegobarros/litellm_health_readiness"
    )
    column = "  spend      Float     @default(0.0)\n"
    tokens = {
        path: replaced(up.text(path), (column, f"{column}  soft_budget_cooldown Boolean?\n"))
        for path in SCHEMAS
    }
    alter = 'ALTER TABLE "LiteLLM_VerificationToken" ADD COLUMN "soft_budget_cooldown" BOOLEAN;'
    migration = _migration("20250802162330_key_soft_budget_cooldown")
    up.commit(
        MEI,
        "feat(db): soft budget cooldown for keys (#12955)",
        tokens,
        {migration: f"-- AlterTable\n{alter}\n"},
    )
    _price(up, "gpt-5", "openai", 1.25, 10)
    up.commit(
        BOT,
        "bump: litellm-proxy-extras 0.2.11 → 0.2.15",
        up.edit("pyproject.toml", ('extras = {version = "0.2.11"', 'extras = {version = "0.2.15"')),
        up.edit("requirements.txt", ("extras==0.2.11", "extras==0.2.15")),
        up.edit("litellm-proxy-extras/pyproject.toml", ("0.2.11", "0.2.15")),
    )
    _notes(up, "1.75.2", "Moonshot AI", "gpt-5 on day 0", "Soft budget cooldown for keys")
    _release(up, "1.75.2")


def _upstream_until_1_76_3(up: Line) -> None:
    later = archive("upstream_later")
    _provider(up, MEI, "vercel_ai_gateway", "Vercel AI Gateway", "ai-gateway.vercel.sh/v1", 13144)
    up.commit(
        TOMAS,
        "fix(azure): pass response_format on (#13198)",
        up.edit(AZURE, ('"max_tokens",\n', '"max_tokens",\n        "response_format",\n')),
    )
    _price(up, "gpt-5-mini", "openai", 0.25, 2)
    _release(up, "1.75.5", name="v1.75.5.dev1")
    up.commit(
        DIEGO,
        "test: follow the chat completions specification (#13239)",
        {SUBMODULE: _submodule_at("vendored spec 2")},
    )
    publish = f"{WORKFLOWS}/publish-migrations.yml"
    up.commit(
        PRIYA,
        "ci: publish migrations when the schema changes (#13251)",
        {publish: later[publish]},
        name="v1.75.5-nightly",
    )

    policy, policy_test = "litellm/types/router.py", "tests/test_litellm/test_retry_policy.py"
    up.commit(
        TOMAS,
        "feat(router): retry policy per kind of error (#13302)",
        {policy: later[policy], policy_test: later[policy_test]},
        up.edit(
            ROUTER,
            (
                "from litellm.main import completion\n",
                "from litellm.main import completion\nfrom litellm.types.router import RetryPolicy\n",
            ),
            (
                "        clock=time.monotonic,\n",
                "        clock=time.monotonic,\n        retry_policy=RetryPolicy(),\n",
            ),
            (
                "        self._clock = clock\n",
                "        self.retry_policy = retry_policy\n        self._clock = clock\n",
            ),
            (
                "        error = None\n        for _ in range(self.num_retries + 1):\n",
                "        attempt = 0\n        while True:\n",
            ),
            (
                "as caught:\n                error = caught\n"
                "                self.cool_down(deployment)\n        raise error\n",
                "as error:\n                self.cool_down(deployment)\n"
                "                if attempt >= self.retry_policy.retries(error, self.num_retries):\n"
                "                    raise\n            attempt += 1\n",
            ),
        ),
    )
    up.commit(
        HANNAH,
        "feat(ui): filter the usage page by tag (#13330)",
        up.edit(
            "ui/litellm-dashboard/src/components/usage.tsx",
            ("  accessToken: string | null;\n", "  accessToken: string | null;\n  tag?: string;\n"),
        ),
    )
    _rebuild_ui(up, 2)
    up.commit(
        DIEGO,
        "refactor(tests): name the cooldown tests after the router (#13346)",
        up.move(
            "tests/test_litellm/test_cooldown.py", "tests/test_litellm/test_router_cooldown.py"
        ),
    )
    up.commit(
        BOT,
        "chore(deps): bump openai from 1.97.0 to 1.99.5",
        {"poetry.lock": _locked(up.text("poetry.lock"), "openai", "1.99.5")},
        up.edit("requirements.txt", ("openai==1.97.0", "openai==1.99.5")),
        up.edit("pyproject.toml", ('openai = ">=1.68.2"', 'openai = ">=1.99.5"')),
    )
    _release(up, "1.76.0", name="v1.76.0.rc.1")

    up.commit(
        PRIYA,
        "ci: run the helm unit tests when a chart is released (#13512)",
        {f"{WORKFLOWS}/helm_unit_test.yml": None},
        up.edit(
            f"{WORKFLOWS}/ghcr_helm_deploy.yml",
            (
                'description: "Update the helm chart\'s version to this"\n',
                'description: "The helm chart\'s version, without a leading v"\n',
            ),
            (
                "      - name: Push the chart\n",
                "      - name: Unit tests\n        run: helm unittest deploy/charts/litellm-helm\n"
                "      - name: Push the chart\n",
            ),
        ),
    )
    up.commit(
        PRIYA,
        "ci: keep build provenance of the images (#13527)",
        up.edit(
            f"{WORKFLOWS}/ghcr_deploy.yml",
            (
                "          platforms: local,",
                "          provenance: true\n          platforms: local,",
            ),
        ),
    )
    _param(up, TOMAS, "snowflake", "tools", 13544)
    up.commit(
        TOMAS,
        "fix(router): rest a failing deployment for 10 seconds (#13580)",
        up.edit(ROUTER, ("COOLDOWN_TIME_SECONDS = 5\n", "COOLDOWN_TIME_SECONDS = 10\n")),
        up.edit(ROUTER_TEST, ("cooldown_time, 5)", "cooldown_time, 10)")),
    )
    up.commit(
        HANNAH,
        "fix(docker): stop quoting the arguments twice (#13588)",
        up.edit("docker/entrypoint.sh", ('LITELLM_ARGS="$@"', 'LITELLM_ARGS="$*"')),
    )
    _notes(up, "1.76.3", "Retry policy per kind of error", "Tools on Snowflake Cortex")
    _release(up, "1.76.3")


def _upstream_until_1_76_5(up: Line) -> None:
    """The release that the fork is upgraded to: what it conflicts with is decided by rules."""
    later = archive("upstream_later")
    smoke, carto = "tests/smoke/proxy_health.sh", "docs/CARTO_INTEGRATION.md"
    up.commit(
        MEI,
        "build(docker): supervisord in the runtime image (#13641)",
        up.edit("Dockerfile", ("openssl tzdata\n", "openssl tzdata supervisor\n")),
    )
    up.commit(DIEGO, "test: check the health of a running proxy (#13655)", {smoke: later[smoke]})
    up.commit(
        DIEGO,
        "test: read the prices that are packaged (#13660)",
        {PRICE_LINK: _link("../../litellm/model_prices_and_context_window_backup.json")},
    )
    up.commit(
        PRIYA,
        "build: make target for import safety (#13672)",
        _appended(
            up,
            "Makefile",
            "# Importing the package must not need the proxy's dependencies",
            ".PHONY: check-import-safety",
            "check-import-safety:",
            "\t@$(PYTHON) -c 'import litellm' && echo \"litellm imports safely\"",
        ),
    )
    up.commit(
        BOT, "build(enterprise): rebuild 0.1.15", {WHEEL: _binary(b"PK\x03\x04", "0.1.15 again")}
    )
    up.commit(HANNAH, "docs: CARTO as a client of the proxy (#13690)", {carto: later[carto]})
    up.commit(
        TOMAS,
        "feat(responses): store=False forgets a conversation (#13701)",
        up.edit(
            "litellm/responses/main.py",
            ("sessions=None, **params):", "sessions=None, store=True, **params):"),
            (
                "    sessions.remember(answer.id, ",
                "    if not store:\n        return answer\n    sessions.remember(answer.id, ",
            ),
        ),
    )
    _price(up, "claude-opus-4-1-20250805", "anthropic", 15, 75)
    _release(up, "1.76.5")


def _upstream_until_1_77_2(up: Line) -> None:
    """A release that changes what the fork's marked blocks and its dashboard are built on."""
    later = archive("upstream_later")
    antd = "ui/litellm-dashboard/src/contexts/AntdGlobalProvider.tsx"
    through, test = (
        "litellm/proxy/pass_through_endpoints.py",
        "tests/test_litellm/proxy/test_pass_through_endpoints.py",
    )
    _provider(up, MEI, "ovhcloud", "OVHcloud AI Endpoints", "oai.endpoints.example.com/v1", 13812)
    up.commit(
        DIEGO,
        "feat(proxy): pass-through endpoints by longest path (#13840)",
        {through: later[through], test: later[test]},
    )
    _release(up, "1.77.0")
    _price(up, "xai/grok-code-fast-1", "xai", 0.2, 1.5)
    up.commit(
        TOMAS,
        "fix(cost): models without an output price (#13877)",
        up.edit(
            "litellm/cost_calculator.py",
            ('info["output_cost_per_token"]', 'info.get("output_cost_per_token", 0)'),
        ),
        name="v1.77.0-nightly",
    )
    up.commit(
        PRIYA,
        "build(docker): build with bash and the C++ compiler (#13902)",
        up.edit("Dockerfile", ("--no-cache gcc python3", "--no-cache bash build-base gcc python3")),
    )
    up.commit(
        HANNAH,
        "feat(ui): notifications from everywhere through AntdGlobalProvider (#13915)",
        {antd: later[antd]},
        up.edit(
            LAYOUT,
            (
                'import "./globals.css";\n',
                'import AntdGlobalProvider from "@/contexts/AntdGlobalProvider";\n'
                'import "./globals.css";\n',
            ),
            (">{children}</body>", ">\n        <AntdGlobalProvider>{children}</AntdGlobalProvider>\n"
             "      </body>"),
        ),
    )  # fmt: skip
    _rebuild_ui(up, 3)
    up.commit(
        PRIYA,
        "ci: sign the images (#13933)",
        up.edit(
            f"{WORKFLOWS}/ghcr_deploy.yml",
            ("          provenance: true\n", "          provenance: true\n          sbom: true\n"),
        ),
    )
    up.commit(
        BOT,
        "chore(deps): bump aiohttp from 3.12.14 to 3.12.15",
        {"poetry.lock": _locked(up.text("poetry.lock"), "aiohttp", "3.12.15")},
    )
    _notes(up, "1.77.2", "Notifications everywhere", "Signed images")
    _release(up, "1.77.2")


def _upstream_after_1_77_2(up: Line) -> None:
    """Candidates and nightlies of the next release, and what has no tag yet."""
    _param(up, MEI, "xai", "reasoning_effort", 14002)
    up.commit(
        DIEGO,
        "fix(router): a new model list begins a new turn (#14011)",
        up.edit(
            ROUTER,
            ("        self._cooling.clear()\n", "        self._cooling.clear()\n"
             "        self._turn = 0\n"),
        ),
        name="mirrored",
    )  # fmt: skip
    _provider(up, MEI, "heroku", "Heroku AI", "us.inference.example.com/v1", 14027)
    _release(up, "1.78.0", name="v1.78.0.rc.1")
    _price(up, "gemini/gemini-2.5-flash-image", "gemini", 0.3, 2.5)
    _param(up, TOMAS, "perplexity", "web_search_options", 14068)
    up.commit(
        HANNAH,
        "docs: how to rotate the master key (#14070)",
        up.edit(
            "docs/my-website/docs/proxy/master_key_rotations.md",
            (":::info\n:::", "1. Back up the database.\n2. `POST /key/regenerate`"),
        ),
        name="v1.78.0-nightly",
    )
    up.commit(
        DIEGO,
        "fix(proxy): strip spaces around the master key (#14081)",
        up.edit(
            "litellm/proxy/auth/user_api_key_auth.py",
            ('get("LITELLM_MASTER_KEY")', 'get("LITELLM_MASTER_KEY", "").strip()'),
        ),
        name="v1.78.0-stable-draft",
    )
    _param(up, TOMAS, "cerebras", "response_format", 14102)
    up.commit(
        MEI,
        "feat(ui): empty state of the prompts page (#14110)",
        up.edit(
            "ui/litellm-dashboard/src/components/prompts.tsx",
            ("return null;", "return <Title>Log in to see prompts</Title>;"),
        ),
    )
    topic = up.branch("cookbook")
    topic.commit(
        PRIYA,
        "docs(cookbook): route between regions",
        {"cookbook/Regional_routing.ipynb": _notebook("Regional_routing")},
    )
    _price(up, "mistral/magistral-medium-2509", "mistral", 2, 5)
    up.pull_request(
        topic, TOMAS, "Merge pull request #14121 from BerriAI/litellm_regional_cookbook"
    )
    up.commit(
        DIEGO,
        "chore: raise the rows that a spend query reads (#14133)",
        up.edit("litellm/constants.py", ("TO_QUERY = 1_000_000", "TO_QUERY = 2_000_000")),
    )
    _param(up, TOMAS, "nebius", "tools", 14140)
    up.commit(
        HANNAH,
        "docs: name the supported Python versions (#14151)",
        up.edit("README.md", ("## Contributing", "Python 3.9 to 3.13.\n\n## Contributing")),
        name="upstream/main",
    )


# --- The fork's history ----------------------------------------------------------------------

LUCIA = "Lucía Ferrer <lucia.ferrer@carto.example.com>"
MARCOS = "Marcos Vidal <marcos.vidal@carto.example.com>"
AITANA = "Aitana Soler <aitana.soler@carto.example.com>"


def _appended(line: Line, path: str, *lines: str) -> dict[str, Change]:
    return {path: line.text(path) + "\n" + "".join(f"{text}\n" for text in lines)}


def _added(files: Mapping[str, str], *paths: str) -> dict[str, Change]:
    return {path: files[path] for path in paths}


def _fork_adopts_1_74_8(fork: Line) -> None:
    """What the fork needed from its first day: its own workflows instead of upstream's."""
    own = archive("fork")
    fork.commit(
        LUCIA,
        "ci: build CARTO's images from carto/main",
        _added(
            own, f"{WORKFLOWS}/carto_ghcr_deploy.yaml", f"{WORKFLOWS}/carto_release.yaml"
        ),
        {".github/scripts/image_tags.sh": Blob(own[".github/scripts/image_tags.sh"].encode(), "100755")},
    )  # fmt: skip
    helm = f"{WORKFLOWS}/ghcr_helm_deploy.yml"
    unit = f"{WORKFLOWS}/helm_unit_test.yml"
    fork.commit(
        LUCIA,
        "ci: disable upstream's deployments and scans",
        {f"{WORKFLOWS}/ghcr_deploy.yml": None, f"{WORKFLOWS}/codeql.yml": None},
        _added(own, f"{WORKFLOWS}/ghcr_deploy.yml.txt"),
        fork.move(
            helm,
            f"{helm}.txt",
            ("# Standalone workflow", "# DISABLED in CARTO's fork. Standalone workflow"),
            (
                "Update the helm chart's version to this",
                "Not used: CARTO deploys with its own chart",
            ),
        ),
        fork.move(unit, f"{unit}.txt"),
    )
    fork.commit(
        MARCOS,
        "docs: how we keep this fork, and how we release it",
        _added(own, "CARTO_CLAUDE.md", "docs/CARTO_RELEASE_PROCESS.md"),
        {"CLAUDE.md": _link("CARTO_CLAUDE.md")},
    )


def _fork_after_1_75_2(fork: Line) -> None:
    """CARTO's changes on top of v1.75.2: those that conflict later, and more that do not."""
    own, later = archive("fork"), archive("upstream_later")
    fork.commit(
        LUCIA,
        "ci: look for stable upstream releases every 8 hours",
        _added(
            own,
            f"{WORKFLOWS}/carto-upstream-sync.yml",
            ".github/scripts/detect_stable_release.py",
        ),
    )
    fork.commit(
        MARCOS,
        "build(docker): what our clusters need",
        fork.edit(
            "Dockerfile",
            (
                "# Install build dependencies\nRUN apk add --no-cache gcc python3-dev openssl "
                "openssl-dev\n",
                "# CARTO: the Snowflake driver is built against libffi\nRUN apk add --no-cache gcc "
                "python3-dev openssl openssl-dev libffi-dev\n",
            ),
            (
                "EXPOSE 4000/tcp\n",
                "# CARTO: our clusters refuse containers that run as root\n"
                "RUN addgroup -S carto && adduser -S -G carto carto\nUSER carto\n\n"
                "EXPOSE 4000/tcp\n",
            ),
        ),
        {"docker/entrypoint.sh": Blob(fork.tree["docker/entrypoint.sh"].data, "100755")},
    )
    fork.commit(
        MARCOS,
        "build: make carto-check",
        fork.edit(
            "Makefile",
            (
                "# Housekeeping\n",
                "# CARTO: what must pass before an image is built\n.PHONY: carto-check\n"
                "carto-check: lint test-unit\n"
                '\t@echo "ready for an image"\n\n# Housekeeping\n',
            ),
        ),
        name="carto-v1.75.2-0.1.0",
    )

    redis = fork.branch("redis")
    handler = "litellm/responses/redis_session_handler.py"
    redis.commit(
        AITANA,
        "feat(responses): keep sessions in Redis",
        _added(own, handler),
        redis.edit(
            "litellm/responses/main.py",
            (
                "from litellm.responses.session_handler import ResponsesSessionHandler\n",
                "from litellm.responses.redis_session_handler import default_session_handler\n",
            ),
            ("sessions or ResponsesSessionHandler()", "sessions or default_session_handler()"),
        ),
    )
    redis.commit(
        AITANA,
        "test(responses): two pods share a conversation",
        _added(own, "tests/test_litellm/responses/test_redis_session_handler.py"),
        _added(own, "REDIS_SESSION_PATCH.md"),
    )
    fork.pull_request(redis, LUCIA, "Merge pull request #31 from CartoDB/feature/redis-sessions")

    fork.commit(
        AITANA,
        "fix(azure): accept the full URL of a deployment",
        fork.edit(
            AZURE,
            # Upstream makes this first change too, later on.
            ('"max_tokens",\n', '"max_tokens",\n        "response_format",\n'),
            (
                "        return (\n            f",
                '        if "/openai/deployments/" in base:\n            return base\n'
                "        return (\n            f",
            ),
        ),
    )
    snowflake = fork.branch("snowflake")
    snowflake.commit(
        MARCOS,
        "feat(snowflake): programmatic access tokens",
        snowflake.edit(
            "litellm/llms/snowflake/chat/transformation.py",
            (
                "\n\nChatConfig = ",
                "\n    def validate_environment(self, headers, api_key=None):\n"
                "        # CARTO: Snowflake wants to be told which kind of token it gets\n"
                "        headers = super().validate_environment(headers, api_key)\n"
                '        kind = "PROGRAMMATIC_ACCESS_TOKEN"\n'
                '        return {**headers, "X-Snowflake-Authorization-Token-Type": kind}\n'
                "\n\nChatConfig = ",
            ),
        ),
        _appended(
            snowflake,
            "tests/test_litellm/llms/test_snowflake.py",
            "    def test_the_kind_of_token_is_sent(self):",
            '        headers = self.config.validate_environment({}, api_key="token")',
            '        self.assertIn("X-Snowflake-Authorization-Token-Type", headers)',
        ),
    )
    fork.pull_request(
        snowflake, AITANA, "Merge pull request #38 from CartoDB/feature/snowflake-pat"
    )
    fork.commit(
        AITANA,
        "fix(router): keep a session on its deployment, cool down for 15 seconds",
        fork.edit(
            ROUTER,
            ("import time\n", "import time\nimport zlib\n"),
            ("COOLDOWN_TIME_SECONDS = 5\n", "COOLDOWN_TIME_SECONDS = 15\n"),
            ("available_deployment(self, model):", "available_deployment(self, model, session_id=None):"),
            (
                "        self._turn += 1\n",
                "        if session_id is not None:\n"
                "            # CARTO: agents profit from the prompt cache of one deployment\n"
                "            return healthy[zlib.crc32(session_id.encode()) % len(healthy)]\n"
                "        self._turn += 1\n",
            ),
        ),
        fork.edit(ROUTER_TEST, ("cooldown_time, 5)", "cooldown_time, 15)")),
        _added(own, "tests/test_litellm/test_session_affinity.py"),
    )  # fmt: skip
    smoke = "tests/smoke/proxy_health.sh"
    fork.commit(
        MARCOS,
        "test: retries, our prices and a smoke test",
        _added(own, "tests/test_litellm/test_retry_policy.py", "tests/fixtures/carto_prices.json"),
        fork.move(
            "tests/test_litellm/test_cooldown.py", "tests/test_litellm/test_cooldown_policy.py"
        ),
        {
            PRICE_LINK: _link("carto_prices.json"),
            SUBMODULE: _submodule_at("vendored spec, CARTO's branch"),
            # The same script that we gave upstream, where it lost its executable bit.
            smoke: Blob(later[smoke].encode(), "100755"),
        },
    )
    flags = '<script src="carto-feature-flags.js"></script></head>'
    fork.commit(
        LUCIA,
        "feat(ui): feature flags in the dashboard, and our logo",
        _added(
            own,
            "ui/litellm-dashboard/src/contexts/FeatureFlagsProvider.tsx",
            f"{BUILT_UI}/carto-feature-flags.js",
        ),
        fork.edit(
            LAYOUT,
            (
                'import "./globals.css";\n',
                'import { FeatureFlagsProvider } from "@/contexts/FeatureFlagsProvider";\n'
                'import "./globals.css";\n',
            ),
            (">{children}</body>", ">\n        <FeatureFlagsProvider>{children}</FeatureFlagsProvider>\n"
             "      </body>"),
        ),
        fork.edit(f"{BUILT_UI}/index.html", ("</head>", flags)),
        fork.edit(f"{BUILT_UI}/login.html", ("</head>", flags)),
        fork.edit(f"{BUILT_UI}/index.txt", ('["/index"]', '["/index"],["carto-feature-flags.js"]')),
        {LOGO: _binary(b"\x89PNG\r\n\x1a\n", "CARTO's logo")},
    )  # fmt: skip
    fork.commit(
        LUCIA,
        "chore: drop the enterprise wheels, we do not ship them",
        {path: None for path in fork.tree if path.startswith("enterprise/dist/")},
    )
    hiredis = (
        '[[package]]\nname = "hiredis"\nversion = "3.2.1"\ndescription = "Python wrapper for '
        'hiredis"\noptional = false\npython-versions = ">=3.8"\nfiles = [\n    {file = '
        f'"hiredis-3.2.1.tar.gz", hash = "sha256:{_digest("hiredis")}"}},\n]\n\n'
    )
    lock = replaced(
        fork.text("poetry.lock"),
        ('[[package]]\nname = "httpx"\n', f'{hiredis}[[package]]\nname = "httpx"\n'),
    )
    fork.commit(
        AITANA,
        "build: hiredis, for the sessions in Redis",
        fork.edit(
            "pyproject.toml",
            ('jsonschema = "^4.22.0"\n', 'jsonschema = "^4.22.0"\nhiredis = "^3.2.1"\n'),
        ),
        fork.edit(
            "requirements.txt",
            ("redis==5.2.1 # redis caching\n", "redis==5.2.1 # redis caching\n"
             "hiredis==3.2.1 # CARTO's redis sessions\n"),
        ),
        {"poetry.lock": _locked(lock, "hiredis", "3.2.1")},
    )  # fmt: skip
    load = fork.branch("load-test")
    load.commit(
        MARCOS,
        "build: make load-test",
        _appended(
            load,
            "Makefile",
            "# Load of a busy region; needs locust and a running proxy",
            ".PHONY: load-test",
            "load-test:",
            "\tlocust -f tests/load_tests/locustfile.py --headless --users 100",
        ),
    )
    fork.pull_request(load, LUCIA, "Merge pull request #44 from CartoDB/feature/load-test")
    fork.commit(MARCOS, "docs: how CARTO uses the proxy", _added(own, "docs/CARTO_INTEGRATION.md"))
    fork.commit(
        LUCIA,
        "chore: version 1.75.2.1, the first image with Redis sessions",
        {
            "pyproject.toml": fork.text("pyproject.toml").replace(
                'version = "1.75.2"', 'version = "1.75.2.1"'
            )
        },
        name="carto/main",
    )


# --- Both together ---------------------------------------------------------------------------

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
"""Upstream's lightweight tags, and the names of their commits."""


def upstream_and_fork() -> History:
    """The sandbox's history, oldest commit first."""
    story: list[Commit] = []
    up = Line(story, "upstream")
    _upstream_until_1_74_8(up)
    fork = up.branch("fork")
    before = dict(up.tree)
    _fork_adopts_1_74_8(fork)
    _upstream_until_1_75_2(up)
    subject = "chore: merge upstream v1.75.2-stable into carto/main"
    fork.merge(up, before, LUCIA, subject, name="carto-merges-v1.75.2")
    _fork_after_1_75_2(fork)
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
            "refs/heads/main": "mirrored",
            "refs/heads/carto/main": "carto/main",
            "refs/tags/carto-v1.75.2-0.1.0": "carto-v1.75.2-0.1.0",
        },
        upstream_tags={
            "v1.76.5": ("v1.76.5", "LiteLLM v1.76.5\n\nStable after 48 hours of load tests.")
        },
        origin_tags={"v1.75.2-carto.1.2.0": ("carto/main", "CARTO 1.2.0 on v1.75.2")},
    )
