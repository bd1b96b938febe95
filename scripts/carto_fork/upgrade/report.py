"""The page to review an upgrade by: one file of HTML that needs nothing else."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from .. import __version__
from ..audit import forecast, landing, review, verify
from ..audit.verify import Verification
from ..fork import releases, tags
from ..fork.fork import Fork
from ..fork.session import Session
from ..merge import authorship, conflicts, resolve, words
from ..run import files, git
from ..run.errors import Refused, Usage
from ..run.shell import Shell
from ..run.text import printable
from . import marked
from .outcomes import Merge
from .page import Page
from .work import Sync, Work

if TYPE_CHECKING:
    from jinja2 import Template


def render(sh: Shell, fork: Fork, merge: Merge) -> str:
    """The page."""
    from markupsafe import Markup

    css, js = (_part(name) for name in ("report.css", "report.js"))
    hashes = [base64.b64encode(hashlib.sha256(x.encode()).digest()).decode() for x in (css, js)]
    csp = f"default-src 'none'; style-src 'sha256-{hashes[0]}'; script-src 'sha256-{hashes[1]}'; "
    csp += "base-uri 'none'; form-action 'none'"
    data = Page(sh, fork, merge).data()
    page = _template().render(data, css=Markup(css), js=Markup(js), csp=csp, version=__version__)
    return _lighter(page)


_ITEM = re.compile(r'(<li class="item" id="(\w+)".*?)<template>(.*?)</template>', re.S)
_ROWS = re.compile(r'(?<=<ul class="items">\n)(.*?)(?=</ul>)', re.S)
_AT_ONCE = 150


def _lighter(page: str) -> str:
    """The page with what is inside its items, and with all but the first rows of each list, as
    text: a browser reads that far quicker than elements, and the script makes these of it when they
    are needed. What the template escaped, stays so: nothing in it can end a script."""
    insides: list[str] = []

    def without_inside(item: re.Match[str]) -> str:
        insides.append(f"{item[2]}\n{item[3].strip()}")
        return item[1]

    def first_rows(rows: re.Match[str]) -> str:
        ends = [m.end() for m in re.finditer(r"</li>\s*", rows[1])][_AT_ONCE - 1 :: _AT_ONCE]
        first, *later = (rows[1][a:b] for a, b in pairwise([0, *ends, len(rows[1])]))
        return first + "".join(map(_as_text, filter(None, later)))

    page = _ROWS.sub(first_rows, _ITEM.sub(without_inside, page))
    return page.replace("</main>", f"</main>\n{_as_text(chr(12).join(insides), 'insides')}")


def _as_text(html: str, name: str = "rows") -> str:
    return f'<script type="text/html" class="{name}">{html}</script>\n'


@cache
def _template() -> Template:
    import jinja2

    engine = jinja2.Environment(
        autoescape=True, trim_blocks=True, undefined=jinja2.StrictUndefined, auto_reload=False
    )
    engine.filters |= {"shown": lambda text: printable(str(text)), "code": marked.code}
    return engine.from_string(_part("report.html"))


def _part(name: str) -> str:
    return resources.files(__package__).joinpath(f"html/{name}").read_text(encoding="utf-8")


def prepare() -> None:
    """Load what a page is made with, while git is at work."""
    _template()
    marked.lexer("x.py")


def path_of(fork: Fork, tag: str) -> Path:
    """Where the page of an upgrade is written, beside its account."""
    return fork.notes(tag) / "report.html"


def write_for(s: Session, fork: Fork, work: Work) -> None:
    """Write the page of an upgrade beside its account, and name its place."""
    with _beside(s, work.tag.name):
        sync = work.sync
        if sync is None:
            fork = replace(fork, refs=git.refs(s.sh, fork.path))
            branch = f"refs/heads/{fork.policy.branches.sync_for(work.tag.name)}"
            # After --direct the branch is gone; what was verified is known.
            verified = f"refs/carto-fork/passed/{work.tag.name}/verify"
            head = fork.refs.commits.get(branch) or fork.refs.commits.get(verified)
            sync = Sync(work, fork, head) if head else None
        if sync:
            _write(s, path_of(fork, work.tag.name), render(s.sh, fork, _of_sync(sync, fork)))


def write_checked(s: Session, fork: Fork, name: str, checked: Verification) -> None:
    """Write the page of a merge that was checked, and name its place.

    name: the release's; "" for any merge, whose page lies where only the newest such is.
    """
    if not checked.result:
        return
    with _beside(s, name):
        sides = (checked.ours, checked.theirs, checked.result)
        if name and checked.result == fork.refs.commits.get(_sync_ref(fork, name)):
            tag = releases.here(fork, name)
            work = Work(s, fork, tag, checked.theirs, account=checked)
            merge = _of_sync(Sync(work, fork, checked.result), fork)
        else:
            merge = of_merge(s.sh, fork, *sides, checked)
        _write(s, path_of(fork, name or "merge"), render(s.sh, fork, merge))


@contextmanager
def _beside(s: Session, name: str) -> Iterator[None]:
    """Make a page in passing: that it fails is said, and keeps nothing else from being done."""
    try:
        with s.console.working("report", timed=False):
            yield
    except Exception as problem:
        said = f"{type(problem).__name__}: {problem}"
        s.console.say(f"The page to review it by could not be made ({said}).", "yellow")
        if name:
            s.console.row("This tries again: ", s.command("report", tag=name))


def _sync_ref(fork: Fork, tag: str) -> str:
    return f"refs/heads/{fork.policy.branches.sync_for(tag)}"


def _of_sync(sync: Sync, fork: Fork) -> Merge:
    tag, logs = sync.tag.name, path_of(fork, sync.tag.name).parent
    ran = {name: logs / f"{name}.log" for name in ("install", "test", "lint")}
    checks: list[tuple[str, bool | None, Path | None]] = [("verify", sync.checked.passed, None)]
    checks += [
        (name, True if name in sync.passed else False if log.exists() else None, log)
        for name, log in ran.items()
        if getattr(fork.policy.commands, name)
    ]
    # The account is that of production's newest commit in the branch, and so is the page.
    ours = sync.checked.ours or sync.ours
    return Merge(
        tag,
        ours,
        sync.theirs,
        sync.head,
        sync.decisions,
        sync.checked,
        sync.checked.healed,
        left=frozenset(sync.unresolved),
        request={"pr": sync.branch},
        checks=checks,
        started=sync.ours if sync.ours != ours else "",
    )


def of_merge(
    sh: Shell,
    fork: Fork,
    ours: str,
    theirs: str,
    result: str,
    checked: Verification | None = None,
) -> Merge:
    """Any merge, whoever made it.

    checked: its account, if it has been made.
    """
    own = authorship.of_fork(sh, fork, ours, theirs)

    def unread(path: str) -> bool:
        return bool(fork.policy.generated([path]))

    found = conflicts.foresee(sh, fork.path, ours, theirs, unread).conflicts
    merge = words.Merge(sh, fork, fork.path, ours, theirs)
    decided = resolve.decide(merge, found, own, merge.drops(ours))
    checked = checked or verify.of_merge(sh, fork, fork.path, ours, theirs, result)
    names = fork.refs.tags_in([theirs])
    classified = (tags.classify(name, fork.policy.tags) for name in names)
    newest = max((tag for tag in classified if tag and tag.stable), default=None)
    name = newest.name if newest else next(iter(sorted(names)), "")
    checks: list[tuple[str, bool | None, Path | None]] = [("verify", checked.passed, None)]
    for check in ("install", "test", "lint"):  # those of the upgrade that made these files
        passed = fork.refs.commits.get(f"refs/carto-fork/passed/{name}/{check}")
        if passed and not git.differing(sh, fork.path, passed, result):
            checks.append((check, True, path_of(fork, name).with_name(f"{check}.log")))
    return Merge(
        name,
        ours,
        theirs,
        result,
        decided,
        checked,
        checked.healed,
        checks=checks,
        landed=_has_landed(sh, fork, ours, result),
    )


def _has_landed(sh: Shell, fork: Fork, ours: str, result: str) -> bool:
    """Whether the production branch has a commit, or one that is squashed from it; without such a
    branch here, any branch of its remote."""
    if production := fork.production_commit:
        if git.is_ancestor(sh, fork.path, result, production):
            return True
        tree = git.ask(sh, fork.path, "rev-parse {it}", "tree", it=f"{result}^{{tree}}").out.strip()
        question = "log --first-parent --format=%T {production} --not {ours} --"
        found = git.ask(sh, fork.path, question, "trees", production=production, ours=ours)
        return tree in found.out.split()
    where = f"refs/remotes/{fork.policy.remotes.origin.name}"
    question = "for-each-ref --count=1 --contains={result} {where}"
    return bool(git.ask(sh, fork.path, question, "branches", result=result, where=where).out)


def write_forecast(
    s: Session, fork: Fork, forecasts: Sequence[forecast.Forecast], place: str
) -> None:
    """Write the page of the merge that is recommended, and has not happened."""
    found = forecast.recommended(forecasts)
    if found is None:
        return
    ours, theirs = fork.production_commit, found.commit
    merge = Merge(found.tag, ours, theirs, "", found.decisions, None, found.lost)
    _write(s, Path(place), render(s.sh, fork, merge))


def show(s: Session, tag: str, revs: Mapping[str, str], output: str) -> None:
    """Write the page of an upgrade, or of any merge, and name its place.

    revs: the commits by option, "" if one is not given. output: the file; default: beside the
    account of the upgrade, or `report.html` here.
    """
    given = [option for option, rev in revs.items() if rev]
    if bool(tag) == bool(given) or len(given) not in (0, len(revs)):
        problem = "name a release with --tag, or a merge with --ours, --theirs and --result."
        raise Usage(problem, then=s.command("report", tag="TAG"))
    review.require_names(revs)
    fork = s.open_fork()
    with s.console.working("report"):
        if given:
            ours, theirs, result = (git.commit_of(s.sh, fork.path, revs[side]) for side in revs)
            merge = of_merge(s.sh, fork, ours, theirs, result)
            place = Path(output or "report.html")
        else:
            merge, place = _of_tag(s, fork, tag)
            place = Path(output) if output else place
        page = render(s.sh, fork, merge)
    _write(s, place, page)
    if s.json:
        s.print_json({"report": str(place)})


def _of_tag(s: Session, fork: Fork, name: str) -> tuple[Merge, Path]:
    """The merge of a release: on its sync branch, else where it landed."""
    tag = releases.here(fork, releases.asked_name(name))
    theirs, place = fork.refs.tag(tag.name), path_of(fork, tag.name)
    sync = fork.policy.branches.sync_for(tag.name)
    origin = fork.tracking(fork.policy.remotes.origin, sync)
    commits_ = fork.refs.commits
    if head := commits_.get(_sync_ref(fork, tag.name)) or commits_.get(origin):
        return _of_sync(Sync(Work(s, fork, tag, theirs), fork, head), fork), place
    if fork.production_commit and (landed := landing.of(s.sh, fork, tag)).result:
        return of_merge(s.sh, fork, landed.ours, landed.theirs, landed.result, landed), place
    raise Refused(
        f"no branch here holds a merge of {tag.name}.", then=s.command("forecast", tag=tag.name)
    )


def _write(s: Session, place: Path, page: str) -> None:
    if s.sh.dry:
        s.sh.show(f"# would write {place}")
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    files.replace_text(place, page)
    s.console.row("The page to review it by: ", str(git.nearest(place)))
