"""The documents: what a fork's say, and the parts that are made from the program itself.

A document holds each such part between two comment lines, ``<!-- generated: NAME -->`` and
``<!-- end of generated -->``. `python -m carto_fork.adopt.documents` brings this project's own up
to date; a test fails if they are not.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from pathlib import Path, PurePosixPath

from ..fork import tags
from ..fork.fork import values_of
from ..fork.policy import POLICY_FILE, Policy, load_policy
from ..release import notes
from ..run import github
from ..run.errors import ExitCode
from ..run.shell import command_line, fill
from ..run.text import table
from ..upgrade import steps

_BRANCHES = """\
| Branch | What it is | Where it comes from |
| --- | --- | --- |
| `<<mirror>>` | the mirror: follows upstream's `<<branch>>`, for awareness only | \
`<<upstream>>/<<branch>>`, fast-forward |
| `<<production>>` | production: a stable release plus <<name>>'s customisations | \
merged upstream tags |
| `<<sync>>` | where one upgrade is prepared and reviewed | `<<production>>` |
| `feature/*` | development | `<<production>>` |
"""

_CRITICAL_RULES = """\
- Never merge `<<mirror>>` or `<<upstream>>/<<branch>>` into `<<production>>`; \
merge stable tags only.
- Merge a sync branch with a merge commit. After a squash, git thinks nothing was merged, and the
  next upgrade reports hundreds of spurious conflicts.
- Drop a fork change only if a person said so, in a rule or by hand.
"""

_BEST_PRACTICES = """\
1. Run `invoke next` first: it prints one command and why. `invoke status` shows the branch that is
   checked out and the state of the fork.
2. Never merge `<<mirror>>` into `<<production>>`, never squash a sync branch.
3. Never take one side of a whole file to make a conflict go away: look at the intent of both sides.
   Give a `--reason` for what you drop; bring back what `verify` calls lost.
4. Leave other people's checkouts alone; work in the upgrade's work tree.
5. Let the tests run: `--no-tests` is for a second look at a branch that is already tested.
6. Write conventional commits (`feat:`, `fix:`, `chore:`, `docs:`); they decide the version of the
   next release.
7. Mark every block that the fork adds to an upstream file with a comment that says why.
<<if marker>>
   Write it as `<<marker>> why`.
<<end>>
   Add a new pattern to `<<policy>>`, as a rule or a feature.
8. Exit codes say what happened: `invoke guide --topic exit-codes`.
"""

_WRITTEN = {
    "branches": _BRANCHES,
    "critical-rules": _CRITICAL_RULES,
    "best-practices": _BEST_PRACTICES,
}
"""Parts that are templates; the others are made by `_MADE`."""

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
    """A template with its choices made and its values put in. Raises KeyError for unknown ones.

    given: the choices that do not just ask whether there is a value of that name.
    """
    choices = {**values, **given}
    chosen = _CHOICE.sub(lambda c: c[2] if choices[c[1]] else c[3] or "", template)
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


def renewed(text: str, policy: Policy) -> str:
    """A document with every generated part made anew. Raises KeyError for an unknown part."""
    return _BLOCK.sub(lambda block: f"{block[1]}\n{part(block[2], policy)}\n{block[3]}", text)


def guide(policy: Policy) -> str:
    """The guide to a fork, as `fork.adopt` puts it there."""
    return _document("adopted/guide.md", policy.files.guide, policy)


def process(policy: Policy) -> str:
    """How a fork makes its releases, as `fork.adopt` puts it there."""
    return _document("adopted/process.md", policy.files.process, policy)


def _document(name: str, path: str, policy: Policy) -> str:
    text = filled(template(name), values(policy), given(policy))
    return stamped(renewed(text, policy), path)


def given(policy: Policy) -> dict[str, bool]:
    """What the choices in the templates ask of a fork."""
    files = policy.files
    return {
        "renamed": policy.remotes.origin.name != "origin",
        "versions": bool(policy.version_files),
        "releases": policy.releases is not None,
        "dispatch": bool(policy.releases and policy.releases.workflow),
        "images": has_images(policy),
        "sync": bool(files.sync),
        "guard": bool(files.guard),
        "process": bool(policy.releases and files.process),
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
        "key": key(policy.name),
        "KEY": key(policy.name).upper(),
        "policy": POLICY_FILE,
        "slug": slug,
        "upstream_slug": upstream,
        "upstream_repository": upstream.rpartition("/")[2],
        "clone": clone(policy),
        "work": f"{clone(policy)}.{sync.replace('/', '-')}",
        "sync": branches.sync_for("<tag>"),
        "tag": tag,
        "label": policy.pull_requests.conflicts,
        "about": policy.guide.about.strip(),
        "notes": policy.guide.notes.strip(),
        "marker": policy.markers.fork if policy.markers else "",
        "checks": " and ".join(f"`{x}`" for x in policy.commands.test + policy.commands.lint),
        "version_file": policy.version_files[0].path if policy.version_files else "",
        "dockerfile": policy.images.dockerfile if policy.images else "",
        "requirements": files.requirements,
        "requirements_name": PurePosixPath(files.requirements).name,
        "dependencies": files.dependencies,
        "dependencies_name": PurePosixPath(files.dependencies).name,
        # The dependencies by their hashes; then the program itself, and nothing that it asks for.
        "hashed": "--require-hashes --only-binary :all: --requirement",
        "alone": "--no-deps --no-build-isolation --requirement",
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
    return values_of(policy) | told | _release_values(policy)


def key(name: str) -> str:
    """A fork's name as part of other names, such as those of variables and targets."""
    key = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_") or "fork"
    # GitHub takes no variable that begins with a digit or with its own name.
    return f"fork_{key}" if re.match(r"\d|github", key) else key


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
    named = {what: " ".join(f"`{name}`" for name in names) for what, names in rows.items()}
    return "\n".join(f"| {what} | {names} |" for what, names in named.items() if names)


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
    for name in ("v1.76.5", "1.76.5", *literal):
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
            around = (re.sub(r"\\(.)", r"\1", part) for part in (before, rest[place + 1 :]))
            return version.join(around)
    return pattern


def part(name: str, policy: Policy) -> str:
    """A generated part, with the values of a fork. Raises KeyError for an unknown one."""
    if name in _WRITTEN:
        return filled(_WRITTEN[name], values(policy), given(policy))
    return _MADE[name](policy)


def _upgrade(policy: Policy) -> str:
    """The steps of an upgrade to an example release, as they are typed beside the clone."""
    filling = _upgrade_values(policy)
    lines = []
    for number, step in enumerate(steps.FETCH_UPGRADE + steps.UPGRADE, 1):
        when = f" *({step.when.words})*" if step.when else ""
        lines += [f"{number}. **{step.name}**: {step.why}{when}", "", "   ```bash"]
        if step.commands:
            checks = getattr(policy.commands, step.commands)
            lines += [f"   (cd {filling['work']} && {line})" for line in checks]
        lines += [f"   {command_line(fill(line, filling))}" for line in step.run]
        lines += ["   ```", ""]
    return "\n".join(lines)


def _upgrade_values(policy: Policy) -> dict[str, str]:
    named, production = values(policy), policy.branches.production
    tag, version = example(policy)
    merge = policy.messages.merge.replace("{tag}", tag).replace("{production}", production)
    return named | {
        "repo": named["clone"],
        "checkout": named["clone"],
        "sync": policy.branches.sync_for(tag),
        "syncs": policy.branches.sync_for("*"),
        "place": f"../{named['work']}",
        "start": f"{policy.remotes.origin.name}/{production}",
        "base": f"{policy.remotes.origin.name}/{production}",
        "pushed": "",
        "commit": f"refs/tags/{tag}",
        "version": version,
        "message": merge,
        "generated": f"chore: generate files anew for {tag}",
        "lost": "43e43f9b0d",
        "heal_message": "chore: record that 9e6e24d8a6 merged upstream 43e43f9b0d",
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


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "".join(f"{line}\n" for line in table(head, rows))


_MADE: Mapping[str, Callable[[Policy], str]] = {
    "rules": _rules,
    "tags": _tags,
    "upgrade-carto": _upgrade,
    "exit-codes": lambda _: _table(
        ["Code", "Meaning"], [[str(int(code)), code.meaning] for code in ExitCode]
    ),
}


def main(root: Path) -> None:
    """Bring the documents of a checkout up to date."""
    for path, text in documents(root).items():
        if not path.exists() or text != path.read_text(encoding="utf-8"):
            path.write_text(text, encoding="utf-8")
            print(f"{path.relative_to(root)} brought up to date")


def documents(root: Path) -> dict[Path, str]:
    """This project's own documents as they should be."""
    default = load_policy().policy
    codes = root / "docs" / "exit-codes.md"
    return {
        codes: renewed(codes.read_text(encoding="utf-8"), default),
        root / default.files.guide: guide(default),
        root / default.files.process: process(default),
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path.cwd())
