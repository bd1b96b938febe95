"""A fork to try things on: upstream, the fork and a clone, all in one directory.

The two repositories are a small LiteLLM and CARTO's fork of it, for demonstrations and for this
project's own tests. They resemble the real ones: an upstream with nightly, candidate, development
and stable tags, and a fork whose production branch has workflows, patches and disabled files of its
own. Merging v1.76.5 into the fork causes every kind of conflict that git knows, and rules decide
all of them; merging v1.77.2-stable causes two more, which only a person can decide.

`files/` contains the texts and most of the changes; this module defines the order of events.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from ..fork import session
from ..fork.policy import load_policy
from ..fork.session import Session
from ..run import git
from ..run.errors import Refused
from ..run.shell import Shell
from .history import BOT, Blob, Changes, History, Line, Revision, archive

CLONE, SETTINGS = "litellm", "clone.config"


@dataclass(frozen=True)
class Sandbox:
    """A sandbox: its clone of the fork, and whether it was built just now."""

    clone: Path
    new: bool


def build(sh: Shell, directory: Path, history: History | None = None) -> Sandbox:
    """The sandbox in a directory; builds it if it does not exist.

    It is built next to its place and moved there at the end, so that nobody finds half a sandbox.
    history: the contents of the repositories; default: the embedded one.
    Raises Refused if the directory contains something else.
    """
    directory = directory.absolute()
    clone = directory / CLONE
    if (clone / ".git").is_dir():
        return Sandbox(clone, new=False)
    if directory.exists():
        raise Refused(f"{directory} exists and is not a sandbox.", then="choose another --path.")
    if sh.dry:
        problem = f"{directory} contains no sandbox yet, and --dry builds none."
        raise Refused(problem, then="run the same command without --dry.")
    directory.parent.mkdir(parents=True, exist_ok=True)
    site = Path(tempfile.mkdtemp(prefix=f"{directory.name}.", dir=directory.parent))
    try:
        _build(sh, site, directory, history or upstream_and_fork())
        site.rename(directory)
    finally:
        shutil.rmtree(site, ignore_errors=True)
    return Sandbox(clone, new=True)


def offer(s: Session, path: Path) -> Sandbox:
    """The sandbox in a directory; builds it if it does not exist.

    With a checkout of this program and gh, it has a simulated GitHub for pull requests.
    """
    built = build(s.sh, path)
    # Its remotes are called as on GitHub; the gh of this machine would ask the real one.
    program = built.clone.parent / "gh"
    if not program.exists():
        line = "git config --file {to} carto-fork.gh {program}"
        git.checked(s.sh.do(line, to=program.parent / SETTINGS, program=program), "gh")
    try:
        from carto_standin import gh
    except ImportError:
        said = "This sandbox has no GitHub: an upgrade ends with its pushed branch. That of a "
        s.console.say(f"{said}checkout of carto-fork plays one.", "yellow")
        return built
    if not gh.install(s.sh, built.clone):
        s.console.say("Pull requests and releases need gh: https://cli.github.com", "yellow")
    return built


def _tour(s: Session, path: Path) -> None:
    """Run a whole upgrade in the sandbox: pull request, merge, release, Slack."""
    try:
        from carto_standin import tour
    except ImportError:
        problem = "the tour needs a checkout of carto-fork, which simulates GitHub."
        raise Refused(problem, then="clone it, then type `make tour` there.") from None
    tour.run(s, path)


def _build(sh: Shell, site: Path, final: Path, history: History) -> None:
    """Build the sandbox in a temporary directory; it will be moved to its final place."""
    for name, refs in (("upstream", history.upstream_refs), ("origin", history.origin_refs)):
        repository, stream = site / f"{name}.git", site / "stream"
        stream.write_bytes(history.stream(refs))
        _git(sh, "init --quiet --bare --initial-branch main {to}", to=repository)
        _git(sh, "-C {to} fast-import --quiet", stdin=stream, to=repository)
        stream.unlink()
    _git(sh, "-C {to} symbolic-ref HEAD refs/heads/carto/main", to=site / "origin.git")
    clone = site / CLONE
    _git(sh, "clone --quiet {origin} {to}", origin=site / "origin.git", to=clone)
    remotes = load_policy().policy.remotes
    _git(sh, "-C {to} remote add upstream {url}", to=clone, url=remotes.upstream.url)
    # The URLs are GitHub's, as in the policy; git redirects them to this directory.
    # A second clone can include the same file.
    settings = {
        f"url.{final / 'origin.git'}.insteadOf": remotes.origin.url,
        f"url.{final / 'upstream.git'}.insteadOf": remotes.upstream.url,
        "user.name": "Fork Maintainer",
        "user.email": "maintainer@example.com",
    }
    for key, value in settings.items():
        _git(sh, "config --file {to} {key} {value}", to=site / SETTINGS, key=key, value=value)
    _git(sh, "-C {to} config include.path {file}", to=clone, file=f"../../{SETTINGS}")
    _git(sh, "-C {to} remote set-url origin {url}", to=clone, url=remotes.origin.url)


def _git(sh: Shell, command: str, stdin: Path | None = None, **values: str | Path) -> None:
    answer = sh.do(f"git {command}", stdin=stdin, **values)
    if not answer.ok:
        raise RuntimeError(f"git {command} ended with {answer.code}: {answer.err.strip()}")


def build_sandbox(s: Session, path: str, tour: bool, quiet: bool) -> None:
    """Build the sandbox if it does not exist; run the tour in it if asked.

    quiet: whether to print only that it was built, and what is missing.
    """
    if tour:
        _tour(s, Path(path))
        return
    built = offer(s, Path(path))
    if quiet and not built.new:
        return
    clone = git.nearest(built.clone)
    which = "a new" if built.new else "the"
    s.console.say(f"{clone} is {which} fork to try things on.")
    if not quiet:  # a command follows there
        s.console.next(session.command(s.program, "next", repo=str(clone)))


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
TESTS = "tests/test_litellm"
WHEEL = "enterprise/dist/litellm_enterprise-{}-py3-none-any.whl"
WORKFLOWS = ".github/workflows"
HELM = f"{WORKFLOWS}/ghcr_helm_deploy.yml"
HELM_TESTS = f"{WORKFLOWS}/helm_unit_test.yml"

_PNG, _WOFF2, _ZIP = b"\x89PNG\r\n\x1a\n", b"wOF2", b"PK\x03\x04"


def _first_tree() -> Changes:
    """All files in upstream's first commit."""
    texts = archive("upstream")[""]
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
    """The dashboard as `next build` writes it: pages on one line, hashes in file names.

    Each build changes every page, every hashed name and the logo, but not the font.
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
    """A file that git considers binary: a magic number, a NUL byte, and noise."""
    return Blob(magic + b"\0" + hashlib.sha512(seed.encode()).digest())


def _link(target: str) -> Blob:
    return Blob(target.encode(), "120000")


def _submodule_at(seed: str) -> Blob:
    """A submodule at a commit that exists nowhere, as in a clone without submodules."""
    return Blob(_digest(seed)[:40].encode(), "160000")


# --- What upstream does ----------------------------------------------------------------------

PRIYA = "Priya Nair <priya.nair@example.com>"
TOMAS = "Tomas Lindqvist <tomas.lindqvist@example.com>"
MEI = "Mei Okafor <mei.okafor@example.com>"
DIEGO = "Diego Barros <diego.barros@example.com>"
HANNAH = "Hannah Weiß <hannah.weiss@example.com>"


def _release(up: Line, version: str, name: str = "") -> None:
    """Raise the version everywhere it is stated."""
    project, chart = "pyproject.toml", "deploy/charts/litellm-helm/Chart.yaml"
    old = re.findall(r'^version = "(.*)"', up.text(project), re.MULTILINE)[0]
    changes = {
        project: up.text(project).replace(f'\nversion = "{old}"', f'\nversion = "{version}"'),
        chart: up.text(chart).replace(f"v{old}", f"v{version}"),
    }
    up.commit(BOT, f"bump: version {old} → {version}", changes, name=name)


def _new_model(up: Line, model: str, prices: tuple[float, float], name: str = "") -> None:
    """Add a model with its prices in dollars per input token and per output token."""
    models = json.loads(up.text(PRICES[0]))
    models[model] = {
        "input_cost_per_token": prices[0],
        "output_cost_per_token": prices[1],
        "litellm_provider": model.partition("/")[0],
    }
    text = json.dumps(models, indent=4) + "\n"
    up.commit(PRIYA, f"feat(model_prices): add {model}", dict.fromkeys(PRICES, text), name=name)


def _new_build(up: Line, build: int) -> None:
    old = [path for path in up.tree if path.startswith(f"{BUILT_UI}/_next/static/")]
    gone = {path: None for path in old if not path.endswith(".woff2")}
    up.commit(MEI, f"build(ui): build {build} of the dashboard", gone, _built_ui(build))


def _upstream_until_1_74_8(up: Line) -> None:
    """Up to the commit that the fork started from."""
    up.commit(BOT, "chore: the sandbox's history begins at v1.74.6", _first_tree())
    up.commit(DIEGO, "feat(caching): delete a key in Redis (#12791)", "redis-delete")
    _release(up, "1.74.8")


def _upstream_until_1_75_2(up: Line) -> None:
    """The release that the fork is based on."""
    up.pull_request(
        PRIYA,
        "#12902 from BerriAI/litellm_health_readiness",
        (DIEGO, "fix(proxy): /health/readiness needs no key", "readiness-without-key"),
        (DIEGO, "feat(proxy): answer /health/readiness", "readiness"),
    )
    up.commit(MEI, "feat(db): soft budget cooldown for keys (#12955)", "key-cooldown")
    _new_model(up, "openai/gpt-5", (1.25e-06, 1e-05))
    _release(up, "1.75.2", "v1.75.2")


def _upstream_until_1_76_3(up: Line) -> None:
    """A development build, a nightly, a candidate and a release that the fork skips."""
    up.commit(MEI, "feat(llms): add Vercel AI Gateway as a provider (#13144)", "vercel")
    up.commit(TOMAS, "fix(azure): pass response_format on (#13198)", "azure-response-format")
    _release(up, "1.75.5", "v1.75.5.dev1")
    specification = {SUBMODULE: _submodule_at("vendored spec 2")}
    up.commit(DIEGO, "test: follow the chat completions specification (#13239)", specification)
    subject = "ci: publish migrations when the schema changes (#13251)"
    up.commit(PRIYA, subject, "publish-migrations", name="v1.75.5-nightly")
    up.commit(TOMAS, "feat(router): a retry policy for each kind of error (#13302)", "retry-policy")
    up.commit(HANNAH, "feat(ui): filter the usage page by tag (#13330)", "usage-by-tag")
    _new_build(up, 2)
    renamed = up.rename(f"{TESTS}/test_cooldown.py", f"{TESTS}/test_router_cooldown.py")
    up.commit(DIEGO, "refactor(tests): name the cooldown tests after the router (#13346)", renamed)
    up.commit(BOT, "chore(deps): bump openai from 1.97.0 to 1.99.5", "openai-1.99.5")
    _release(up, "1.76.0", "v1.76.0.rc.1")
    subject = "ci: run the helm unit tests when a chart is released (#13512)"
    up.commit(PRIYA, subject, "helm-tests-on-release", {HELM_TESTS: None})
    up.commit(PRIYA, "ci: provenance of the images (#13527)", "image-provenance")
    up.commit(TOMAS, "feat(snowflake): support `tools` (#13544)", "snowflake-tools")
    up.commit(TOMAS, "fix(router): rest a deployment for 10 seconds (#13580)", "cooldown-10")
    up.commit(HANNAH, "fix(docker): do not quote the arguments twice (#13588)", "entrypoint")
    up.commit(HANNAH, "docs: release notes of v1.76.3", "notes-v1.76.3")
    _release(up, "1.76.3", "v1.76.3")


def _upstream_until_1_76_5(up: Line) -> None:
    """The release to upgrade the fork to: rules decide every conflict with it."""
    up.commit(MEI, "build(docker): supervisord at runtime (#13641)", "supervisord")
    up.commit(DIEGO, "test: is a running proxy healthy? (#13655)", "proxy-health")
    link = {PRICES_LINK: _link(f"../../{PRICES[1]}")}
    up.commit(DIEGO, "test: read the prices that are in the package (#13660)", link)
    up.commit(PRIYA, "build: make check-import-safety (#13672)", "import-safety")
    wheel = {WHEEL.format("0.1.15"): _binary(_ZIP, "0.1.15, built again")}
    up.commit(BOT, "build(enterprise): build 0.1.15 again", wheel)
    up.commit(HANNAH, "docs: CARTO and LiteLLM (#13690)", "carto-docs")
    up.commit(TOMAS, "feat(responses): store=False keeps no session (#13701)", "store-false")
    _new_model(up, "anthropic/claude-opus-4-1", (1.5e-05, 7.5e-05))
    _release(up, "1.76.5", "v1.76.5")


def _upstream_until_1_77_2(up: Line) -> None:
    """A release that changes the code around the fork's marked blocks and its dashboard."""
    up.commit(DIEGO, "feat(proxy): pass-through endpoints (#13840)", "pass-through")
    _release(up, "1.77.0")
    _new_model(up, "xai/grok-code-fast-1", (2e-07, 1.5e-06), "v1.77.0-nightly")
    up.commit(PRIYA, "build(docker): bash and a C++ compiler (#13902)", "build-with-bash")
    up.commit(HANNAH, "feat(ui): notifications from everywhere (#13915)", "notifications")
    _new_build(up, 3)
    up.commit(PRIYA, "ci: bills of materials of the images (#13933)", "image-sbom")
    up.commit(BOT, "chore(deps): bump aiohttp from 3.12.14 to 3.12.15", "aiohttp-3.12.15")
    _release(up, "1.77.2", "v1.77.2-stable")


def _upstream_after_1_77_2(up: Line) -> None:
    """A candidate, a nightly and a draft of the next release, and commits without a tag."""
    up.commit(MEI, "feat(groq): support `reasoning_effort` (#14002)", "groq-reasoning")
    up.commit(DIEGO, "fix(router): a new list of models begins a new turn (#14011)", "turn")
    _release(up, "1.78.0", "v1.78.0.rc.1")
    subject = "feat(ui): usage page while logged out (#14070)"
    up.commit(MEI, subject, "usage-logged-out", name="v1.78.0-nightly")
    subject = "fix(proxy): spaces around the master key (#14081)"
    up.commit(DIEGO, subject, "strip-master-key", name="v1.78.0-stable-draft")
    rows = (DIEGO, "feat(proxy): read more rows of spend logs", "spend-rows")
    up.pull_request(TOMAS, "#14133 from BerriAI/litellm_spend_rows", rows)
    up.commit(HANNAH, "docs: the supported versions of Python (#14151)", "python-versions")


# --- What the fork does ----------------------------------------------------------------------

LUCIA = "Lucía Ferrer <lucia.ferrer@carto.example.com>"
MARCOS = "Marcos Vidal <marcos.vidal@carto.example.com>"
AITANA = "Aitana Soler <aitana.soler@carto.example.com>"


def _fork_of_1_74_8(fork: Line) -> None:
    """What the fork needs from its first day: its own workflows, without upstream's."""
    script = ".github/scripts/image_tags.sh"
    fork.commit(LUCIA, "ci: build our images from carto/main", "own-workflows", executable=script)
    fork.commit(
        LUCIA,
        "ci: switch upstream's deployments and scans off",
        {f"{WORKFLOWS}/ghcr_deploy.yml": None, f"{WORKFLOWS}/codeql.yml": None},
        "disabled-workflows",
        fork.rename(HELM, f"{HELM}.txt"),
        fork.rename(HELM_TESTS, f"{HELM_TESTS}.txt"),
    )
    fork.commit(LUCIA, "ci: say that the helm chart is not used", "disabled-helm")
    link = {"CLAUDE.md": _link("CARTO_CLAUDE.md")}
    fork.commit(MARCOS, "docs: how we keep this fork and how we release it", "process", link)


def _fork_of_1_75_2(fork: Line) -> None:
    """CARTO's changes on v1.75.2: some conflict with later releases, most do not."""
    fork.commit(LUCIA, "ci: look for stable upstream releases every 8 hours", "upstream-sync")
    entrypoint = "docker/entrypoint.sh"
    fork.commit(MARCOS, "build(docker): what our clusters need", "docker", executable=entrypoint)
    fork.commit(MARCOS, "build: make carto-check", "carto-check", name="carto-v1.75.2-0.1.0")
    fork.pull_request(
        LUCIA,
        "#31 from CartoDB/feature/redis-sessions",
        (AITANA, "feat(responses): keep sessions in Redis", "redis-sessions"),
        (AITANA, "test(responses): two pods share a session", "redis-tests"),
    )
    # Upstream makes one of these two changes later, word for word.
    fork.commit(AITANA, "fix(azure): full URLs of deployments, response_format", "azure-url")
    tokens = (MARCOS, "feat(snowflake): programmatic access tokens", "snowflake-tokens")
    fork.pull_request(AITANA, "#38 from CartoDB/feature/snowflake-tokens", tokens)
    fork.commit(AITANA, "feat(router): keep a session on its deployment", "session-affinity")
    fork.commit(AITANA, "fix(router): rest a deployment for 15 seconds", "cooldown-15")
    renamed = fork.rename(f"{TESTS}/test_cooldown.py", f"{TESTS}/test_cooldown_policy.py")
    fixtures = {
        PRICES_LINK: _link("carto_prices.json"),
        SUBMODULE: _submodule_at("vendored spec, CARTO's branch"),
    }
    subject = "test: retries, and our prices and specification"
    fork.commit(MARCOS, subject, "own-tests", renamed, fixtures)
    # Upstream has the same script from us, but without the executable bit.
    script = archive("upstream_later")["proxy-health"]
    fork.commit(MARCOS, "test: is a running proxy healthy?", script, executable=PROXY_HEALTH)
    script_tag = '<script src="carto-feature-flags.js"></script></head>'
    edits = {
        f"{BUILT_UI}/index.html": ("</head>", script_tag),
        f"{BUILT_UI}/login.html": ("</head>", script_tag),
        f"{BUILT_UI}/index.txt": ('["/index"]', '["/index"],["carto-feature-flags.js"]'),
    }
    pages = {page: fork.text(page).replace(*edit) for page, edit in edits.items()}
    logo = {LOGO: _binary(_PNG, "CARTO's logo")}
    subject = "feat(ui): feature flags in the dashboard, and our logo"
    fork.commit(LUCIA, subject, "feature-flags", pages, logo)
    wheels = {path: None for path in fork.tree if path.startswith("enterprise/dist/")}
    fork.commit(LUCIA, "chore: drop the enterprise wheels, we do not ship them", wheels)
    fork.commit(AITANA, "build: hiredis, for the sessions in Redis", "hiredis")
    load_test = (MARCOS, "build: make load-test", "load-test")
    fork.pull_request(LUCIA, "#44 from CartoDB/feature/load-test", load_test)
    fork.commit(MARCOS, "docs: how we use the proxy", "integration")
    fork.commit(LUCIA, "chore: let upstream decide what it knows better", "drops")
    project = fork.text("pyproject.toml").replace('version = "1.75.2"', 'version = "1.75.2.1"')
    subject = "chore: version 1.75.2.1, our first image with sessions in Redis"
    fork.commit(LUCIA, subject, {"pyproject.toml": project}, name="carto/main")


# --- Both together ---------------------------------------------------------------------------


def upstream_and_fork() -> History:
    """The sandbox's history.

    Commits to build on have the names of the tags and branches that point to them: `v1.76.5`,
    `carto/main` and so on. An upstream commit whose name begins with a v has a tag of that name.
    """
    story: list[Revision] = []
    up = Line(story, "upstream_later")
    _upstream_until_1_74_8(up)
    fork = Line(story, "fork", up.tip, up.tree)
    _fork_of_1_74_8(fork)
    base = dict(up.tree)
    _upstream_until_1_75_2(up)
    # No file that both have changed since, and none that upstream has removed.
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
