"""Checks of what an upstream merge did: ancestry, drift, workflows, images, the database, tests."""

from __future__ import annotations

import re
import secrets
import shlex
import sqlite3
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import PurePosixPath

from ..audit import healing, inventory, review
from ..audit.findings import missing_features
from ..fork import records
from ..fork.policy import Side
from ..fork.records import Drop
from ..merge.reverted import reverted_sync
from ..run import git
from ..run.errors import Refused
from ..run.shell import Answer, Shell, command_line
from ..run.text import counted, listed, printable
from .checks import Check, Diagnosis, Inapplicable, LastMerge, Level, Patient, Unchecked

PRODUCTS = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}
"""The databases that migrations can be tried on."""
FILE_NAME = "migration.sql"

_PATIENCE = 600
_FOREIGN = re.compile(r"syntax error|unrecognized token|incomplete input|no such function")


class Unreachable(Exception):
    """The database server cannot be used; its text says why."""


@dataclass(frozen=True)
class Stopped:
    """Where a migration fails.

    said: the database's error. foreign: whether the statement is in another database's dialect.
    """

    migration: str
    statement: str
    said: str
    foreign: bool


def names(paths: Iterable[str], directory: str) -> dict[str, str]:
    """The migrations in a directory, in order: each name with the path of its SQL."""
    migrations = {}
    for path in paths:
        place = PurePosixPath(path)
        if place.name == FILE_NAME and str(place.parent.parent) == directory.rstrip("/"):
            migrations[place.parent.name] = path
    return dict(sorted(migrations.items()))


def apply(sh: Shell, product: str, scripts: Mapping[str, str]) -> Stopped | None:
    """Apply migrations, in the order given, to a new database that is removed afterwards.

    product: a key of `PRODUCTS`. scripts: the SQL of each migration by its name.
    Returns where they failed; None if all went well. Raises Unreachable without a server.
    """
    return _sqlite(scripts) if product == "sqlite" else _postgresql(sh, scripts)


# --- SQLite --------------------------------------------------------------------------------------


def _sqlite(scripts: Mapping[str, str]) -> Stopped | None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as database:
        for name, script in scripts.items():
            for statement in statements(script):
                try:
                    database.execute(statement)
                except sqlite3.Error as error:
                    said = str(error)
                    return Stopped(name, statement, said, bool(_FOREIGN.search(said)))
    return None


def statements(script: str) -> Iterator[str]:
    """The statements of a script one by one, without the comments before them."""
    held = ""
    for piece in re.split(r"(?<=;)", script):
        held += piece
        if sqlite3.complete_statement(held):
            yield _bare(held)
            held = ""
    if rest := _bare(held):
        yield rest


def _bare(statement: str) -> str:
    return re.sub(r"\A(\s+|--[^\n]*(\n|\Z)|/\*.*?\*/)+", "", statement, flags=re.DOTALL).rstrip()


# --- PostgreSQL ----------------------------------------------------------------------------------


def _postgresql(sh: Shell, scripts: Mapping[str, str]) -> Stopped | None:
    if not sh.ask("psql --version").ok:
        raise Unreachable("psql is not installed")
    name = f"carto_fork_{secrets.token_hex(6)}"
    made = _psql(sh, "postgres", "-c", f"CREATE DATABASE {name}")
    if not made.ok:
        said = _said(made)
        raise Unreachable(f"psql cannot make a database (PGHOST, PGUSER name the server): {said}")
    try:
        for migration, script in scripts.items():
            with tempfile.NamedTemporaryFile(prefix="carto-fork.", suffix=".sql") as file:
                file.write(script.encode("utf-8", "surrogateescape"))
                file.flush()
                done = _psql(sh, name, "-f", file.name)
            if not done.ok:
                at = re.search(r"\.sql:(\d+): ", done.err)
                statement = _at(script, int(at[1])) if at else ""
                return Stopped(migration, statement, _said(done), foreign=False)
    finally:
        _psql(sh, "postgres", "-c", f"DROP DATABASE {name}")
    return None


def _psql(sh: Shell, database: str, *words: str) -> Answer:
    settings = ["-X", "-q", "-w", "-v", "ON_ERROR_STOP=1", "-v", "VERBOSITY=terse"]
    return sh.read(["psql", *settings, "-d", database, *words], timeout=_PATIENCE)


def _said(answer: Answer) -> str:
    lines = [line for line in answer.err.splitlines() if "ERROR:" in line] or [
        *answer.err.strip().splitlines()[:1],
        answer.ending,
    ]
    return re.sub(r"^psql:.*?(ERROR|error|FATAL):\s*", "", lines[0]).strip()


def _at(script: str, line: int) -> str:
    """The statement that ends in a line, or the first one after it."""
    start = 1
    for piece in re.split(r"(?<=;)", script):
        start += piece.count("\n")
        if start >= line and piece.strip():
            return _bare(piece)
    return ""


_FROM = re.compile(r"^\s*FROM\s+(?:--\S+\s+)*(\S+)", re.IGNORECASE | re.MULTILINE)
_ARG = re.compile(r"^\s*ARG\s+(\w*IMAGE\w*=\S+)", re.IGNORECASE | re.MULTILINE)
_MOST = 5


def _ancestry(patient: Patient) -> Iterator[Diagnosis]:
    if gone := reverted_sync(patient.sh, patient.fork, patient.commit):
        cause = "The next upgrade would leave that out as if the fork had wanted it gone."
        then = patient.on_a_branch("missing-sync", gone.undone(patient.fork))
        yield Diagnosis(Level.BROKEN, f"{gone.said}.", cause, then)
    lost = patient.ground.lost
    if lost is None:
        return
    cause = (
        "The next upgrade will report hundreds of spurious conflicts, because git thinks nothing "
        "was merged."
    )
    heal = healing.way_out(lost, patient.command)
    yield Diagnosis(Level.BROKEN, f"{healing.described(lost)}.", cause, heal)


def _losses(patient: Patient) -> Iterator[Diagnosis]:
    for wrong in review.landed_wrong(patient.fork):
        what = f"The last check of the sync to {wrong.tag} failed ({wrong.what})."
        cause = "It landed like that, and no later check found it right."
        yield Diagnosis(Level.BROKEN, what, cause, patient.command("verify", landed=wrong.tag))
    for ref, tag in patient.syncs:
        checked = review.kept(patient.fork, tag) if ref.startswith("refs/heads/") else None
        if checked and not checked.passed and checked.result == patient.fork.refs.commits[ref]:
            what = f"The last check of the upgrade to {tag} failed ({review.in_one_line(checked)})."
            cause = "It is not published; `next` says what can be done about it."
            yield Diagnosis(Level.LOOK, what, cause, patient.command("next"))


def _drift(patient: Patient) -> Iterator[Diagnosis]:
    try:
        paths = inventory.drift(patient.sh, patient.fork, patient.ground)
    except Refused as no:
        raise Unchecked(f"{no.what.rstrip('.')}\n{no.then}") from None
    if paths:
        what = inventory.described(paths, "upstream")
        cause = "Earlier merges left them behind; they only cause conflicts."
        yield Diagnosis(Level.LOOK, what, cause, patient.command("fork.inventory", section="drift"))


def _workflows(patient: Patient) -> Iterator[Diagnosis]:
    back = [path for path in patient.fork.policy.workflows.disabled if path in patient.files]
    for path in back:
        what = f"{printable(path)} is on {patient.production} again."
        cause = "The fork had switched it off; a merge brought it back, and GitHub runs it."
        name = f"remove-{PurePosixPath(path).stem.replace('_', '-')}"
        work = patient.work or patient.repo
        message = f"ci: switch {PurePosixPath(path).name} off again"
        remove = command_line(["git", "-C", str(work), "rm", "--", path])
        commit = command_line(["git", "-C", str(work), "commit", "-m", message])
        then = patient.on_a_branch(name, remove, commit)
        yield Diagnosis(Level.BROKEN, what, cause, then)


# --- Images --------------------------------------------------------------------------------------


def _docker(patient: Patient) -> Iterator[Diagnosis]:
    policy, sync = patient.fork.policy, patient.sync
    if sync is None:
        return
    globs = [":(top,glob)**/Dockerfile", ":(top,glob)**/Dockerfile.*", ":(top)docker/"]
    globs += [f":(top,literal){policy.images.dockerfile}"] if policy.images else []
    if policy.markers:
        yield from _gone_blocks(patient, sync, globs, policy.markers.fork)
    if patient.notes:
        yield from _changed_images(patient, sync, globs)


def _gone_blocks(
    patient: Patient, sync: LastMerge, globs: Sequence[str], marker: str
) -> Iterator[Diagnosis]:
    """The fork's marked blocks that a sync lost and nobody has restored, in whole or in part."""
    before = _marked_files(patient, sync.before, globs, marker)
    upstream = _texts(patient, sync.old, before)
    results = [sync.after] if patient.commit == sync.before else [sync.after, patient.commit]
    after = [_texts(patient, commit, before) for commit in results]
    dropped = [drop for commit in results for drop in _drops(patient, commit)]
    for path, text in before.items():
        about = [drop for drop in dropped if drop.path == path]
        own = set(_stripped(text)) - set(_stripped(upstream[path]))
        kept = {line for texts in after for line in _stripped(texts[path])}
        if not any(texts[path] for texts in after):  # it may have been renamed
            others = (_marked_files(patient, commit, globs, marker) for commit in results)
            kept = {line for texts in others for t in texts.values() for line in _stripped(t)}
        for head, *lines in _blocks(text, marker):
            lost = [line for line in (head, *lines) if line in own and not _is_in(line, kept)]
            lost = [line for line in lost if not any(drop.covers([line]) for drop in about)]
            if not lost:
                continue
            show = ["git", "-C", str(patient.repo), "diff", sync.before[:10], sync.after[:10]]
            then = command_line([*show, "--", path])
            named, tag = f"the fork's block {printable(head)!r}", sync.named[1]
            if head in lost:
                what = f"{printable(path)} has lost {named}."
                cause = f"The merge of {tag} took upstream's side."
                yield Diagnosis(Level.BROKEN, what, cause, then)
            else:
                gone = counted(len(lost), "line")
                what = f"{gone} of {named} {'is' if len(lost) == 1 else 'are'} no longer in "
                what += f"{printable(path)}."
                cause = f"The merge of {tag}, or whoever resolved its conflicts, changed the block."
                yield Diagnosis(Level.LOOK, what, cause, then)


def _drops(patient: Patient, commit: str) -> list[Drop]:
    """What people dropped on the fork's side, by the record in a commit."""
    with suppress(Refused):  # the next upgrade refuses an invalid file
        drops = records.read_drops(git.show(patient.sh, patient.repo, commit, records.DROPS_FILE))
        return [drop for drop in drops if drop.side == Side.FORK.value]
    return []


def _is_in(line: str, kept: Collection[str]) -> bool:
    """Whether lines include one, or another with all of its words, as a merge by hand makes it."""
    words = set(line.split())
    return line in kept or any(words <= set(other.split()) for other in kept)


def _marked_files(
    patient: Patient, commit: str, globs: Sequence[str], marker: str
) -> dict[str, str]:
    """The files of a commit that contain the fork's marker: path to text."""
    words = ["git", "-C", str(patient.repo), "grep", "-I", "-F", "-l", "-z", "--full-name"]
    words += ["--no-color", "-e", marker, commit, "--", *globs]
    fields = git.checked(patient.sh.read(words), "marked files", 1).fields()
    return _texts(patient, commit, [field.partition(":")[2] for field in fields])


def _texts(patient: Patient, commit: str, paths: Iterable[str]) -> dict[str, str]:
    """The texts of some files at a commit; "" for those it lacks."""
    named = [path for path in paths if "\n" not in path]
    texts = git.contents(patient.sh, patient.repo, [f"{commit}:{path}" for path in named])
    return {path: text or "" for path, text in zip(named, texts, strict=True)}


def _stripped(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines()]


def _blocks(text: str, marker: str) -> Iterator[list[str]]:
    """The marked blocks of a text: each from its marker to the next one, or to an empty line.

    A line with the marker after something else is a block by itself.
    """
    block: list[str] = []
    for line in [*_stripped(text), ""]:
        if block and (not line or line.startswith(marker)):
            yield block
            block = []
        if block or line.startswith(marker):
            block.append(line)
        elif marker in line:
            yield [line]


def _changed_images(patient: Patient, sync: LastMerge, globs: Sequence[str]) -> Iterator[Diagnosis]:
    """What upstream changed in its Dockerfiles and their base images."""
    words = ["git", "-C", str(patient.repo), "diff", "--name-only", "--no-renames", "-z"]
    words += [sync.old, sync.new, "--", *globs]
    changed = git.checked(patient.sh.read(words), "changed files").fields()
    if not changed:
        return
    what = (
        f"upstream changed {counted(len(changed), 'file')} from {sync.named[0]} to "
        f"{sync.named[1]}: {listed(changed, _MOST)}."
    )
    show = ["git", "-C", str(patient.repo), "diff", sync.old[:10], sync.new[:10], "--", *globs]
    cause = "The fork's image may need a matching change."
    yield Diagnosis(Level.NOTE, what, cause, command_line(show))
    for path in changed:
        before, after = (
            _bases(git.show(patient.sh, patient.repo, commit, path) or "")
            for commit in (sync.old, sync.new)
        )
        if before != after:
            gone, new = (", ".join(sorted(x)) or "none" for x in (before - after, after - before))
            what = f"the base image of {printable(path)} changed: {gone} -> {new}."
            cause = "Packages that the fork installs may have other names there, or be missing."
            build = command_line(["docker", "build", "--file", path, "."])
            yield Diagnosis(Level.NOTE, printable(what), cause, build)


def _bases(dockerfile: str) -> set[str]:
    """The base images of a Dockerfile, as it names them."""
    images = {*_FROM.findall(dockerfile), *_ARG.findall(dockerfile)}
    return {name for name in images if not name.startswith("$")}


# --- The database --------------------------------------------------------------------------------


def _prisma(patient: Patient) -> Iterator[Diagnosis]:
    policy = patient.fork.policy.migrations
    if not policy.schemas and not policy.directory:
        raise Inapplicable("the policy names no `migrations`")
    generate = policy.generate or "see `migrations` in the policy"
    yield from _schemas(patient, policy.schemas)
    migrations = names(patient.files, policy.directory)
    if patient.database and not migrations:
        raise Unchecked(f"{policy.directory} contains no migrations")
    if patient.database:
        yield from _tried(patient, migrations)
    base = git.tree(patient.sh, patient.repo, patient.ground.base)
    own = set(migrations) - set(names(base, policy.directory))
    if not migrations or not (own or patient.notes) or (sync := patient.sync) is None:
        return
    before, old, new, after = (
        set(names(git.tree(patient.sh, patient.repo, commit), policy.directory))
        for commit in (sync.before, sync.old, sync.new, sync.after)
    )
    new_ones = sorted((after - before) & new)
    for mine in sorted(own - new - old):
        late = [name for name in new_ones if mine in before and name < mine]
        early = [x for x in sorted(new & set(migrations)) if mine not in before and mine < x]
        if late:
            what = f"{late[0]} came after the fork's {mine}, but its name sorts before it."
            cause = "A new database applies them in a different order than a running one did."
        elif early:
            what = f"the fork's {mine} is dated before upstream's older {early[-1]}."
            cause = "A new database applies it earlier than a running one did."
        else:
            continue
        migrate = patient.command("doctor", check="prisma", migrate="postgresql")
        yield Diagnosis(Level.LOOK, what, cause, f"try them in order: {migrate}")
    if new_ones:
        brought = f"{counted(len(new_ones), 'migration')}: {listed(new_ones, _MOST)}"
        what = f"{sync.named[1]} brought {brought}."
        cause = "If the fork changed the schema too, it needs a migration of its own after them."
        yield Diagnosis(Level.NOTE, what, cause, generate)


def _schemas(patient: Patient, schemas: Sequence[str]) -> Iterator[Diagnosis]:
    """Copies of the schema that are the same upstream but differ in the fork."""
    base = git.tree(patient.sh, patient.repo, patient.ground.base)
    alike: dict[str, list[str]] = {}
    for path in schemas:
        if path in base and path in patient.files:
            alike.setdefault(base[path][1], []).append(path)
    for paths in alike.values():
        first, *others = paths
        odd = [path for path in others if patient.files[path] != patient.files[first]]
        if odd:
            what = f"{listed(odd, _MOST)} {'differs' if len(odd) == 1 else 'differ'} from {first}."
            cause = "Upstream keeps these copies the same; a merge or a change left one out."
            work = patient.work or patient.repo
            then = command_line(["git", "-C", str(work), "diff", "--no-index", first, odd[0]])
            then = f"compare them and copy the right one: {then}"
            yield Diagnosis(Level.BROKEN, what, cause, then)


def _tried(patient: Patient, migrations: Mapping[str, str]) -> Iterator[Diagnosis]:
    """Apply the migrations in order to a new database, and report the outcome."""
    texts = git.blobs(patient.sh, patient.repo, (patient.files[p][1] for p in migrations.values()))
    scripts = {name: texts[patient.files[path][1]] for name, path in sorted(migrations.items())}
    if patient.sh.dry:
        what = f"{counted(len(scripts), 'migration')} would be applied."
        yield Diagnosis(Level.NOTE, what, "--dry creates no database.", "")
        return
    where = PRODUCTS[patient.database]
    try:
        stopped = apply(patient.sh, patient.database, scripts)
    except Unreachable as no:
        start = "start PostgreSQL, or name its server with PGHOST, PGPORT and PGUSER; then run the "
        raise Unchecked(f"{no}\n{start}same command again.") from None
    if stopped is None:
        what = f"{counted(len(scripts), 'migration')} applied to {where}, in order."
        yield Diagnosis(Level.NOTE, what, "The database was temporary and is removed.", "")
        return
    statement = printable(" ".join(stopped.statement.split())[:60])
    what = f"{stopped.migration} fails on {where} at `{statement}`: {printable(stopped.said)}."
    if stopped.foreign:
        cause = f"It is not for {where}: the statement is in another SQL dialect."
        migrate = patient.command("doctor", check="prisma", migrate="postgresql")
        yield Diagnosis(Level.NOTE, what, cause, migrate)
    else:
        cause = "Nobody can create a new database from these migrations."
        path = migrations[stopped.migration]
        yield Diagnosis(Level.BROKEN, what, cause, f"correct {printable(path)}, or its order")


# --- Tests ---------------------------------------------------------------------------------------


def _tests(patient: Patient) -> Iterator[Diagnosis]:
    sync, own = patient.sync, patient.ground.own
    if sync is None:
        return
    changed = [
        p for p in git.differing(patient.sh, patient.repo, sync.old, sync.new) if _is_test(p)
    ]
    if changed:
        what = (
            f"upstream changed {counted(len(changed), 'test file')} from {sync.named[0]} to "
            f"{sync.named[1]}."
        )
        show = ["git", "-C", str(patient.repo), "diff", "--stat", sync.old[:10], sync.new[:10]]
        cause = "A test that fails now may expect something new."
        yield Diagnosis(Level.NOTE, what, cause, command_line([*show, "--", *_beside(changed)]))
    own_tests = sorted(path for path in own.paths if _is_test(path) and path in patient.files)
    both = [path for path in own_tests if path in changed]
    if both:
        what = f"both sides changed {listed(both, _MOST)}."
        yield Diagnosis(Level.NOTE, what, "The merge combined both.", _run(patient, both))
    modules = {
        PurePosixPath(path).with_suffix("").as_posix().replace("/", "."): path
        for path in own.paths
        if path.endswith(".py") and not _is_test(path) and path in patient.files
    }
    touching = sorted({*own_tests, *_importing(patient, modules)})
    if touching:
        number = counted(len(touching), "test file")
        what = f"{number} touch what the fork changed: {listed(touching, _MOST)}."
        cause = "The fork wrote or changed them, or they import a module that it changed."
        yield Diagnosis(Level.NOTE, what, cause, _run(patient, touching))


_TEST = re.compile(r"(^|/)(tests?|__tests__)/|(^|/)test_[^/]*\.py$|_test\.\w+$|\.(test|spec)\.\w+$")


def _is_test(path: str) -> bool:
    return bool(_TEST.search(path))


def _beside(paths: Sequence[str]) -> list[str]:
    """The top-level entries that contain some files, in order; at most `_MOST`."""
    return sorted({PurePosixPath(path).parts[0] for path in paths})[:_MOST]


def _run(patient: Patient, paths: Sequence[str]) -> str:
    """The command line that runs some tests where the upgrade is, if one is in progress: pytest for
    Python's, else the policy's."""
    sync, work = patient.sync, None
    if sync:
        place = patient.fork.place_for(patient.fork.policy.branches.sync_for(sync.named[1]))
        work = git.nearest(place) if place.exists() else None
    runnable = [p for p in paths if p.endswith(".py") and PurePosixPath(p).name.startswith("test_")]
    if runnable:
        return command_line(["python", "-m", "pytest", *runnable[:_MOST]], work)
    lines = [shlex.split(line) for line in patient.fork.policy.commands.test]
    return " && ".join(command_line(words, work) for words in lines)


def _importing(patient: Patient, modules: Mapping[str, str]) -> list[str]:
    """The test files that name one of the modules in an import."""
    if not modules:
        return []
    names = "|".join(sorted(map(re.escape, modules)))
    packages = {
        f"{x.rpartition('.')[0]} import .*{x.rpartition('.')[2]}" for x in modules if "." in x
    }
    pattern = "|".join([rf"({names})([^[:alnum:]_.]|$)", *sorted(packages)])
    words = ["git", "-C", str(patient.repo), "grep", "-I", "-l", "-z", "-E", "-e"]
    words += [rf"^[[:space:]]*(from|import) +({pattern})", patient.commit, "--", ":(top)*.py"]
    hits = git.checked(patient.sh.read(words), "tests", 1).fields()
    return [path for name in hits if _is_test(path := name.partition(":")[2])]


def _features(patient: Patient) -> Iterator[Diagnosis]:
    """What the manifest names and production lacks."""
    if not patient.fork.policy.feature:
        raise Inapplicable("the policy names no features")
    _ = patient.commit
    for finding in missing_features(patient.sh, patient.fork):
        what = f"{patient.production}: {finding.what.rstrip('.')}."
        cause = "A change or a merge removed it, or the manifest is out of date."
        then = "restore it, or correct `[[feature]]` in the policy"
        yield Diagnosis(Level.BROKEN, what, cause, then)


CHECKS = (
    Check(
        "ancestry",
        "An upgrade reports hundreds of conflicts, or leaves upstream's work out.",
        _ancestry,
    ),
    Check("losses", "A sync has lost something.", _losses),
    Check("features", "Something that the fork must never lose is missing.", _features),
    Check("drift", "The same conflicts come again with every upgrade.", _drift, slow=True),
    Check("workflows", "An upstream workflow runs in the fork.", _workflows),
    Check("docker", "A merge changed what the fork adds to its images.", _docker),
    Check("prisma", "The database schema does not fit after a merge.", _prisma),
    Check("tests", "Tests fail after a merge.", _tests, facts=True),
)
"""The checks of this subject."""
