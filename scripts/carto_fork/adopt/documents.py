"""The documents: what a fork's say, and the parts that are made from the program itself.

A document holds each such part between two comment lines, ``<!-- generated: NAME -->`` and
``<!-- end of generated -->``. `python -m carto_fork.adopt.documents` brings this
project's own up to date; a test fails where they are not.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
import textwrap
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path, PurePosixPath

from ..audit import healing
from ..fork import setup, tags
from ..fork.branches import FETCH_MIRROR, FETCH_PRODUCTION, SYNC_MAIN
from ..fork.policy import POLICY_FILE, Policy, load_policy
from ..release import building, contribute, notes
from ..release.release import RELEASE
from ..run import github
from ..run.errors import ExitCode
from ..run.shell import command_line, fill
from ..run.steps import Step
from ..run.text import table
from ..upgrade import request, steps

_CRITICAL_RULES = (
    "Never merge `{mirror}` or `{upstream}/{branch}` into `{production}`; merge stable tags only.",
    "Merge a sync branch with a merge commit. A squash forgets which upstream commits are in, and "
    "the next upgrade then meets conflicts by the hundred.",
    "Nothing of the fork's is dropped without a person having said so, in a rule or by hand.",
)

_BEST_PRACTICES = (
    "Run `invoke next` first: it prints one command and why. `invoke status` tells the branch "
    "that is checked out and where the fork stands.",
    "Never merge `{mirror}` into `{production}`, never squash a sync branch.",
    "Never take one side of a whole file to make a conflict go away: look at both sides' intents. "
    "What you let go, write down with `--reason`; what `verify` calls lost, bring back.",
    "Leave other people's checkouts alone; work in the upgrade's work tree.",
    "Let the tests run: `--no-tests` is for a second look at a branch that is tested already.",
    "Write conventional commits (`feat:`, `fix:`, `chore:`, `docs:`); they decide the version of "
    "the next release.",
    "Mark every block that the fork adds to a file of upstream's with {marker}; write a new "
    "pattern down in `carto_fork.toml`, as a rule or a feature.",
    "Exit codes tell what happened: `invoke guide --topic exit-codes`.",
)


def critical_rules(policy: Policy) -> str:
    """What would do lasting harm, as a list."""
    return _listed(_CRITICAL_RULES, policy)


def best_practices(policy: Policy) -> str:
    """How to work on a fork, for AI assistants and for people, as a numbered list."""
    return _listed(_BEST_PRACTICES, policy, numbered=True)


def branches(policy: Policy) -> str:
    """The branches of a fork, as a table."""
    values = policy.branches
    upstream = f"{policy.remotes.upstream.name}/{values.upstream}"
    lines = table(
        ["Branch", "What it is", "Where it comes from"],
        [
            [
                f"`{values.mirror}`",
                f"the mirror: follows upstream's `{values.upstream}`, for awareness only",
                f"`{upstream}`, fast-forward",
            ],
            [
                f"`{values.production}`",
                f"production: a stable release plus {policy.name}'s customisations",
                "merged upstream tags",
            ],
            [
                f"`{values.sync_for('<tag>')}`",
                "where one upgrade is prepared and reviewed",
                f"`{values.production}`",
            ],
            ["`feature/*`", "development", f"`{values.production}`"],
        ],
    )
    return "\n".join([*lines, ""])


def _listed(sentences: Sequence[str], policy: Policy, *, numbered: bool = False) -> str:
    """Sentences as a list, with the names of a fork."""
    marker = f"`{policy.markers.fork} why`" if policy.markers else "a comment"
    values = policy.values() | {"marker": marker}
    items = []
    for number, sentence in enumerate(sentences, 1):
        head = f"{number}. " if numbered else "- "
        for name, value in values.items():
            sentence = sentence.replace(f"{{{name}}}", value)
        under = " " * len(head)
        items.append(textwrap.fill(head + sentence, 100, subsequent_indent=under))
    return "\n".join([*items, ""])


_CHOICE = re.compile(
    r"^<<if (\w+)>>\n(.*?)(?:^<<else>>\n(.*?))?^<<end>>\n", re.DOTALL | re.MULTILINE
)
_VALUE = re.compile(r"<<(\w+)>>")
_STAMP = re.compile(r"^(?:#|<!--) carto-fork adopt: (\w+)\b.*\n", re.MULTILINE)
_TELLS = "brings this up to date until somebody changes it"


def template(name: str) -> str:
    """A template of this package, such as ``workflows/guard.yml``."""
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def filled(template: str, values: Mapping[str, str], given: Mapping[str, bool]) -> str:
    """A template with its choices made and its values put in. Raises KeyError for unknown ones."""
    chosen = _CHOICE.sub(lambda c: c[2] if given[c[1]] else c[3] or "", template)
    return _VALUE.sub(lambda found: values[found[1]], chosen)


def stamped(text: str, path: str) -> str:
    """A file's text with a first line that says which text it was given."""
    line = f"carto-fork adopt: {_digest(text)} ({_TELLS})"
    markdown = PurePosixPath(path).suffix == ".md"
    return (f"<!-- {line} -->\n" if markdown else f"# {line}\n") + text


def untouched(text: str) -> bool:
    """Whether a file is as it was once given."""
    found = _STAMP.match(text)
    return found is not None and found[1] == _digest(text[found.end() :])


def _digest(text: str) -> str:
    plain = text.replace("\r\n", "\n").encode("utf-8", "surrogateescape")
    return hashlib.sha256(plain).hexdigest()[:12]


_BLOCK = re.compile(r"(<!-- generated: ([\w-]+) -->\n).*?(<!-- end of generated -->)", re.DOTALL)

_EXAMPLES = ("v1.76.5", "1.76.5")


def renewed(text: str, policy: Policy) -> str:
    """A document with every generated part made anew. Raises KeyError for an unknown part."""
    return _BLOCK.sub(lambda block: f"{block[1]}\n{part(block[2], policy)}\n{block[3]}", text)


def guide(policy: Policy) -> str:
    """The guide to a fork, as `adopt` puts it there."""
    return _document("adopted/guide.md", policy.files.guide, policy)


def process(policy: Policy) -> str:
    """How a fork makes its releases, as `adopt` puts it there."""
    return _document("adopted/process.md", policy.files.process, policy)


def _document(name: str, path: str, policy: Policy) -> str:
    text = filled(template(name), values(policy), given(policy))
    return stamped(renewed(text, policy), path)


def given(policy: Policy) -> dict[str, bool]:
    """What the choices in the templates ask of a fork."""
    files = policy.files
    return {
        "renamed": policy.remotes.origin.name != "origin",
        "about": bool(policy.guide.about),
        "notes": bool(policy.guide.notes),
        "marker": policy.markers is not None,
        "versions": bool(policy.version_files),
        "checks": bool(_checks(policy)),
        "releases": policy.releases is not None,
        "dispatch": bool(policy.releases and policy.releases.workflow),
        "images": has_images(policy),
        "sync": bool(files.sync),
        "guard": bool(files.guard),
        "process": bool(policy.releases and files.process),
        "requirements": bool(files.requirements),
        "guide": bool(files.guide),
        "makefile": bool(files.makefile),
        "tasks": bool(files.tasks),
    }


def has_images(policy: Policy) -> bool:
    """Whether a workflow publishes images of the fork's, where GitHub's own token may."""
    at_github = policy.images is not None and policy.images.name.lower().startswith("ghcr.io/")
    return at_github and bool(policy.files.images)


def values(policy: Policy) -> dict[str, str]:
    """What the placeholders in the templates stand for."""
    remotes, branches, files = policy.remotes, policy.branches, policy.files
    tag, _ = example(policy)
    slug, upstream = (github.slug_of(r.url) or r.url for r in (remotes.origin, remotes.upstream))
    sync = branches.sync_for(tag)
    told = {
        "name": re.sub(r"[^\w .,&()+-]", "", policy.name),
        "key": policy.key,
        "KEY": policy.key.upper(),
        "policy": POLICY_FILE,
        "slug": slug,
        "upstream_slug": upstream,
        "upstream_repository": upstream.rpartition("/")[2],
        "clone": clone(policy),
        "work": f"{clone(policy)}.{sync.replace('/', '-')}",
        "sync": branches.sync_for("<tag>"),
        "tag": tag,
        "older": "OLDER",
        "label": policy.pull_requests.conflicts,
        "about": policy.guide.about.strip(),
        "notes": policy.guide.notes.strip(),
        "marker": policy.markers.fork if policy.markers else "",
        "checks": " and ".join(f"`{line}`" for line in _checks(policy)),
        "version_file": policy.version_files[0].path if policy.version_files else "",
        "dockerfile": policy.images.dockerfile if policy.images else "",
        "requirements": files.requirements,
        "makefile": files.makefile,
        "collection": files.tasks.removesuffix(".py"),
        "guide": PurePosixPath(files.guide).name,
        "guide_link": _link(files.process, files.guide),
        "process": files.process,
        "process_link": _link(files.guide, files.process),
        "sync_file": PurePosixPath(files.sync).name,
        "guard_file": PurePosixPath(files.guard).name,
        "images_file": PurePosixPath(files.images).name,
        "images_too": " and container images" if has_images(policy) else "",
        "image_rows": _image_rows(policy),
    }
    return policy.values() | told | _release_values(policy)


def _release_values(policy: Policy) -> dict[str, str]:
    if policy.releases is None:
        return dict.fromkeys(("release_tag", "release_tags", "release_pattern", "release_file"), "")
    _, version = example(policy)
    return {
        "release_tag": policy.releases.name(version, "0.1.0"),
        "release_tags": policy.releases.name("*", "*"),
        "release_pattern": policy.releases.name("<upstream>", "<version>"),
        "release_file": policy.releases.workflow,
    }


def _checks(policy: Policy) -> tuple[str, ...]:
    return policy.commands.test + policy.commands.lint


def _link(document: str, other: str) -> str:
    """The way from one file of a repository to another."""
    return os.path.relpath(other or ".", os.path.dirname(document) or ".")


def _image_rows(policy: Policy) -> str:
    if policy.images is None or policy.releases is None:
        return ""
    _, version = example(policy)
    branch = notes.images_of_branch(policy.images, policy.branches.production, "0123456789")
    release = notes.images_of_release(
        policy.images, policy.releases.name(version, "0.1.0"), version, "0.1.0"
    )
    rows = {"a commit 0123456 of the branch": branch, "that release": release}
    return "\n".join(
        f"| {what} | {' '.join(f'`{name}`' for name in names)} |"
        for what, names in rows.items()
        if names
    )


def clone(policy: Policy) -> str:
    """What a clone of the fork is called in examples."""
    slug = github.slug_of(policy.remotes.origin.url) or "fork"
    return slug.rpartition("/")[2]


def example(policy: Policy) -> tuple[str, str]:
    """The name and the version of a release that upstream might have."""
    literal = (
        _between(scheme.pattern, version)
        for scheme in policy.tags
        for version in ("1.76.5", "1.76", "176")
    )
    for name in (*_EXAMPLES, *literal):
        tag = tags.classify(name, policy.tags)
        if tag and tag.stable:
            return name, tag.release
    return "TAG", "VERSION"


def _between(pattern: str, version: str) -> str:
    """A name that a simple pattern fits: its own text around a version."""
    before, _, rest = pattern.partition("(?P<version>")
    depth = 1
    for place, letter in enumerate(rest):
        depth += (letter == "(") - (letter == ")")
        if not depth:
            return (
                re.sub(r"\\(.)", r"\1", before)
                + version
                + re.sub(r"\\(.)", r"\1", rest[place + 1 :])
            )
    return pattern


def part(name: str, policy: Policy) -> str:
    """A generated part, with the values of a fork and an example release."""
    upgrading = steps.FETCH_UPGRADE + steps.UPGRADE
    publishing = _publishing(policy)
    work = f"{clone(policy)}.images"
    placed = publishing | {"work": work, "place": f"../{work}"}
    procedures: Mapping[str, tuple[Sequence[Step], Mapping[str, str]]] = {
        "setup": (setup.SETUP, {}),
        "sync-main": (FETCH_MIRROR + SYNC_MAIN, {}),
        "upgrade-carto": (upgrading, {}),
        "heal": (healing.HEAL, {}),
        "release": (FETCH_PRODUCTION + RELEASE, publishing),
        "images": (building.IMAGES, placed),
        "feature": (FETCH_PRODUCTION + contribute.FEATURE, publishing),
        "pr": (contribute.PULL_REQUEST, publishing | {"title": "fix(core): what changes"}),
        "pull-request": (
            request.OPEN_REQUEST + request.UPDATE_REQUEST[1:] + request.SUPERSEDE,
            {},
        ),
        "leave": (steps.LEAVE, {}),
        "finish": (steps.FETCH_REQUEST + steps.FINISH, {}),
        "abort": (steps.SAVE + steps.ABORT, {}),
    }
    tables = {
        "branches": lambda: branches(policy),
        "critical-rules": lambda: critical_rules(policy),
        "best-practices": lambda: best_practices(policy),
        "rules": lambda: _rules(policy),
        "tags": lambda: _tags(policy),
        "exit-codes": _exit_codes,
    }
    if name in tables:
        return tables[name]()
    listed, others = procedures[name]
    return procedure(listed, policy, **others)


def procedure(listed: Sequence[Step], policy: Policy, **others: str) -> str:
    """A procedure as a Markdown list, with the values of a fork and an example release."""
    values = _example(policy) | others
    lines = []
    for number, step in enumerate(listed, 1):
        when = f" *({step.when.words})*" if step.when else ""
        lines += [f"{number}. **{step.name}**: {step.why}{when}", "", "   ```bash"]
        if step.commands:
            checks = getattr(policy.commands, step.commands)
            lines += [f"   (cd {values['work']} && {line})" for line in checks]
        lines += [f"   {command_line(fill(line, values))}" for line in step.run]
        lines += ["   ```", ""]
    return "\n".join(lines)


def _example(policy: Policy) -> dict[str, str]:
    """Values for every placeholder, as for a clone in the current directory."""
    branches, repo = policy.branches, clone(policy)
    tag, version = example(policy)
    sync = branches.sync_for(tag)
    work = f"{repo}.{sync.replace('/', '-')}"
    message = policy.messages.merge.replace("{tag}", tag)
    return policy.values() | {
        "gh": "gh",
        "slug": github.slug_of(policy.remotes.origin.url) or "",
        "repo": repo,
        "checkout": repo,
        "tag": tag,
        "version": version,
        "sync": sync,
        "start": f"{policy.remotes.origin.name}/{branches.production}",
        "work": work,
        "place": f"../{work}",
        "label1": next(iter(policy.pull_requests.labels), policy.pull_requests.clean),
        "colour1": "c5def5",
        "description1": "Upgrade to an upstream release",
        "title": message.replace("{production}", branches.production),
        "body": f"{repo}/.git/carto-fork/{tag}/pull-request.md",
        "labels": ",".join([*policy.pull_requests.labels, policy.pull_requests.clean]),
        "other": policy.pull_requests.conflicts,
        "number": "123",
        "comment": "Superseded by #124, for a newer release.",
        "unfinished": message.replace("{production}", branches.production),
        "resolved": f"resolve: conflicts from the upstream sync to {tag}",
        "given_up": f"wip: what there was of the upgrade to {tag} when it was given up",
        "message": message.replace("{production}", branches.production),
        "generated": f"chore: generate files anew for {tag}",
        "lost": "43e43f9b0d",
        "heal_message": "chore: record that 9e6e24d8a6 merged upstream 43e43f9b0d",
    }


def _publishing(policy: Policy) -> dict[str, str]:
    """Values for the placeholders of what publishes the fork's own work, as far as it does."""
    told = {
        "commit": f"{policy.remotes.origin.name}/{policy.branches.production}",
        "work": clone(policy),
        "feature": "feature/my-fix",
        "base": policy.branches.production,
        "head": "feature/my-fix",
        "body": "...",
    }
    if policy.releases is None:
        return told
    _, version = example(policy)
    tag = policy.releases.name(version, "0.1.0")
    told |= {
        "tag": tag,
        "title": tag,
        "message": f"{policy.name} release {tag}",
        "notes": f"{clone(policy)}/.git/carto-fork/{tag}/notes.md",
    }
    if policy.images is None:
        return told
    names = notes.images_of_release(policy.images, tag, version, "0.1.0")
    return told | {
        "image": next(iter(names), policy.images.name.lower()),
        "dockerfile": policy.images.dockerfile,
        "platforms": ",".join(policy.images.platforms),
    }


def _rules(policy: Policy) -> str:
    rows = [
        [
            rule.name,
            " ".join(f"`{path}`" for path in rule.paths),
            ", ".join(kind.value for kind in rule.kinds) or "any",
            rule.take.value + (", whole file" if rule.whole else ""),
            rule.why,
        ]
        for rule in policy.rules
    ]
    return _table(["Rule", "Paths", "Kinds", "Takes", "Why"], rows)


def _tags(policy: Policy) -> str:
    rows = [
        [
            scheme.name,
            f"`{scheme.pattern.replace('|', chr(92) + '|')}`",
            " ".join(
                [f"from {scheme.since}"] * bool(scheme.since)
                + [f"before {scheme.before}"] * bool(scheme.before)
            )
            or "always",
            scheme.use.value,
        ]
        for scheme in policy.tags
    ]
    return _table(["Class", "Names", "Valid", "Use"], rows)


def _exit_codes() -> str:
    return _table(["Code", "Meaning"], [[str(int(code)), code.meaning] for code in ExitCode])


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "".join(f"{line}\n" for line in table(head, rows))


def main(root: Path) -> None:
    """Bring the documents of a checkout up to date."""
    for path, text in documents(root).items():
        if not path.exists() or text != path.read_text(encoding="utf-8"):
            path.write_text(text, encoding="utf-8")
            print(f"{path.relative_to(root)} brought up to date")


def documents(root: Path) -> dict[Path, str]:
    """This project's own documents as they should be."""
    default = load_policy().policy
    pages = [root / "README.md", root / "docs" / "exit-codes.md"]
    return {
        **{page: renewed(page.read_text(encoding="utf-8"), default) for page in pages},
        root / default.files.guide: guide(default),
        root / default.files.process: process(default),
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path.cwd())
