"""Do the tests notice a change of the code? Make mutants of it, and run the tests: `make mutants`.

A mutant is one change by one of cosmic-ray's operators at one place of one module, on a line that
some test runs. Each gets a copy of the checkout, where the tests that run its line run again,
cheapest first, until one fails. A line outside every function runs on import, whatever the test, so
its tests are those that run a function of its module, then of a module that imports that.

A mutant is `killed` by the first test that fails, or after `timeout` by one that hangs, or it
`survived`. It is `undecided` if --seconds ended with tests left, `uncovered` if no test that is
selected runs it, and `gone` if --only names one that this code does not have. A test that also
fails without the mutant kills nothing, and is left out from then on.

What ran where comes from `make coverage`. Its limits are those of tests/covering.py.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import os
import py_compile
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import TypeAlias

from mutating import Mutant, Source

ROOT = Path(__file__).parent.parent
MODULES = (
    "decisions hunks fates ledger conflicts named trees steps plan upgrade work recovery request "
    "automatic release contribute guard policy tags version_files"
)
NOT_COPIED = (".git", ".venv*", ".coverage-data", ".hypothesis", ".sandbox", ".*_cache", "build")
Process: TypeAlias = "subprocess.Popen[bytes]"
Place: TypeAlias = tuple[Source, Mutant]
COLLECTION = "the collection"
_FIRST = 40
PATIENCE = 30
"""Seconds that a test may take, in addition to three times what it took when it was measured."""


@dataclass(frozen=True)
class Result:
    mutant: Mutant
    verdict: str
    killer: str = ""
    seconds: float = 0
    tests: int = 0
    diff: str = ""

    def __str__(self) -> str:
        where = f"{self.mutant.module}:{self.mutant.row}"
        operator = self.mutant.operator.removeprefix("core/")
        line = f"{self.verdict:9} {self.seconds:5.1f} s {self.tests:5} tests  {where:16} {operator}"
        return f"{line}  {self.killer}".rstrip()


class Suite:
    """A checkout: its modules, its tests, and which tests run which lines."""

    def __init__(self, root: Path, coverage: Path, durations: Path) -> None:
        self.root = root
        self.sources = [Source(path) for path in sorted((root / "scripts").rglob("*.py"))]
        self.durations: dict[str, float] = json.loads(durations.read_text(encoding="utf-8"))
        self._coverage = sqlite3.connect(f"{coverage.resolve().as_uri()}?mode=ro", uri=True)
        self._users = cache(lambda source: self._ran(source, source.inside))
        self.tests = cache(self._tests)

    def find(self, wanted: Mutant) -> Place | None:
        """The same change in this code: in the module of that name, or wherever its line is."""
        same = [source for source in self.sources if source.path.stem == wanted.module]
        for source in [*same, *self.sources]:
            for mutant in source.mutants if wanted.text in source.lines else ():
                if mutant.identity == wanted.identity:
                    return source, mutant
        return None

    def _ran(self, source: Source, rows: Iterable[int]) -> frozenset[str]:
        """The tests that run one of these lines; "" if the collection of tests does."""
        question = """
            SELECT DISTINCT context FROM arc
            JOIN context ON context.id = context_id JOIN file ON file.id = file_id
            WHERE path LIKE ? AND tono IN (SELECT value FROM json_each(?))"""
        path = f"%/{source.path.relative_to(self.root).as_posix()}"
        found = self._coverage.execute(question, (path, json.dumps([*rows])))
        return frozenset(test for (test,) in found)

    def _tests(self, source: Source, row: int) -> list[str]:
        """The tests that can notice a change of a line, cheapest first."""

        def cost(test: str) -> tuple[float, str]:
            return self.durations.get(test, 1), test

        met = self._ran(source, source.statements[row])
        inside = row in source.inside
        groups = [met] if inside else []
        if met and ("" in met or not inside):
            importers = (other for other in self.sources if source.path.stem in other.imported)
            groups += [self._users(source), frozenset[str]().union(*map(self._users, importers))]
        ordered = (test for group in groups for test in sorted(group, key=cost))
        return list(dict.fromkeys(filter(None, ordered)))


class Runner:
    """Runs tests of a suite, each time in a fresh copy of it."""

    def __init__(self, suite: Suite, place: Path, seconds: float, select: str) -> None:
        self._suite, self._place, self._seconds, self._select = suite, place, seconds, select
        self._sound: dict[str, bool] = {}
        self._template = place / "template"
        ignored = shutil.ignore_patterns(*NOT_COPIED)
        shutil.copytree(suite.root, self._template, symlinks=True, ignore=ignored)
        if (suite.root / ".venv").exists():
            (self._template / ".venv").symlink_to(suite.root / ".venv")
        shutil.copy(Path(__file__).with_name("picking.py"), self._template / "tests")
        # With byte code: else every process that a test starts compiles all modules.
        begun = time.monotonic()
        for words in ("compileall -q scripts", "pytest --collect-only -qq -p no:cacheprovider"):
            program = [sys.executable, "-m", *words.split()]
            subprocess.run(program, cwd=self._template, check=True, stdout=subprocess.DEVNULL)
        suite.durations[COLLECTION] = time.monotonic() - begun

    def judge(self, path: Path, text: str, tests: list[str]) -> tuple[str, str]:
        """The verdict, and the test that killed it."""
        deadline = time.monotonic() + self._seconds
        verdict, killer = "uncovered", ""
        # Most fall to one of the cheapest, and to collect all tests takes longer than these.
        for part in (tests[:_FIRST], tests[_FIRST:]):
            while sound := [test for test in part if self._sound.get(test, True)]:
                found, killer = self._run(sound, deadline, {path: text})
                verdict = verdict if found == "uncovered" else found
                if found not in ("killed", "timeout") or self._is_sound(killer):
                    break
            if verdict not in ("survived", "uncovered"):
                break
        return verdict, killer

    def _is_sound(self, test: str) -> bool:
        """Whether a test passes without a mutant; what is no test does."""
        if "::" in test and test not in self._sound:
            self._sound[test] = self._run([test], math.inf, {})[0] in ("survived", "uncovered")
        return self._sound.get(test, True)

    def _run(self, tests: list[str], deadline: float, changed: dict[Path, str]) -> tuple[str, str]:
        with tempfile.TemporaryDirectory(dir=self._place, ignore_cleanup_errors=True) as name:
            place = Path(name)
            copy = shutil.copytree(self._template, place / "fork", symlinks=True)
            for path, text in changed.items():
                file = copy / path.relative_to(self._suite.root)
                file.write_text(text, encoding="utf-8")
                Path(importlib.util.cache_from_source(str(file))).unlink(missing_ok=True)
                py_compile.compile(str(file), quiet=2)
            picked = place / "picked.json"
            picked.write_text(json.dumps(tests), encoding="utf-8")
            picked.with_suffix(".log").touch()
            options = "-x -q -p no:cacheprovider -p no:randomly -p picking"
            words = [*options.split(), f"--basetemp={place / 't'}"]
            words += ["-m", self._select] if self._select else []
            words += dict.fromkeys(test.partition("::")[0] for test in tests)
            kept = {n: v for n, v in os.environ.items() if not n.startswith("COVERAGE_")}
            with (place / "output").open("wb") as output:
                process = subprocess.Popen(
                    [sys.executable, "-m", "pytest", *words],
                    cwd=copy,
                    env=kept | {"TMPDIR": name, "CARTO_PICKED": str(picked)},
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            try:
                return self._watch(process, picked.with_suffix(".log"), deadline)
            finally:
                _kill(process, place)

    def _watch(self, process: Process, log: Path, deadline: float) -> tuple[str, str]:
        test, since = COLLECTION, time.monotonic()
        while True:
            code = process.poll()
            for line in log.read_text(encoding="utf-8").split("\n")[:-1]:
                what, test, since = json.loads(line)
                if what == "failed":
                    return "killed", test
            if code is not None:
                verdict = {0: "survived", 5: "uncovered"}.get(code)
                return (verdict, "") if verdict else ("killed", f"pytest ended with {code}")
            if time.monotonic() > since + PATIENCE + 3 * self._suite.durations.get(test, 1):
                return "timeout", test
            if time.monotonic() > deadline:
                return "undecided", ""
            time.sleep(0.1)


def _kill(process: Process, place: Path) -> None:
    """End a process and all that it has started: its group, and whoever has a group of its own but
    the directory in its environment."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for environment in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if os.fsencode(place) in environment.read_bytes():
                os.kill(int(environment.parent.name), signal.SIGKILL)


def _drawn(suite: Suite, names: list[str], number: int, seed: int) -> Iterator[Place]:
    """Mutants of modules, drawn uniformly from those that are valid Python and that a test runs."""
    sources = [source for source in suite.sources if source.path.stem in names]
    if missing := set(names) - {source.path.stem for source in sources}:
        sys.exit(f"no such module in {suite.root / 'scripts'}: {', '.join(sorted(missing))}")
    places = [(source, mutant) for source in sources for mutant in source.mutants]
    print(f"{len(places)} places for mutants, seed {seed}", flush=True)
    random.Random(seed).shuffle(places)
    for source, mutant in places:
        if number and suite.tests(source, mutant.row) and source.mutated(mutant):
            number -= 1
            yield source, mutant


def _given() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("modules", nargs="*", default=MODULES.split(), help=f"default: {MODULES}")
    parser.add_argument("--number", type=int, default=60, help="how many mutants")
    parser.add_argument("--seed", type=int, help="draw the same mutants again")
    parser.add_argument("--only", type=Path, help="results of a run: take its mutants, draw none")
    parser.add_argument("--suite", type=Path, default=ROOT, help="a checkout; default: this one")
    parser.add_argument("--coverage", type=Path, help="default: SUITE/.coverage-data/coverage")
    parser.add_argument("--durations", type=Path, help="default: durations.json beside it")
    parser.add_argument("--select", default="", help='pytest -m, such as "not slow"')
    parser.add_argument("--seconds", type=float, default=300, help="limit of each mutant")
    parser.add_argument("--jobs", type=int, default=2, help="mutants at a time")
    parser.add_argument("--json", type=Path, help="file for the results")
    return parser.parse_args()


def main() -> None:
    given = _given()
    coverage = given.coverage or given.suite / ".coverage-data" / "coverage"
    durations = given.durations or coverage.with_name("durations.json")
    if missing := [str(file) for file in (coverage, durations) if not file.exists()]:
        sys.exit(f"{' and '.join(missing)} missing: `make coverage` makes them")
    warnings.simplefilter("ignore", SyntaxWarning)  # of mutants
    suite = Suite(given.suite.resolve(), coverage, durations)
    results: list[Result] = []
    mutants: Iterable[Place]

    def add(result: Result) -> None:
        results.append(result)
        print(result, flush=True)
        if given.json:
            about = {"seed": given.seed, "suite": str(suite.root), "select": given.select}
            about |= {"seconds": given.seconds, "results": [asdict(result) for result in results]}
            given.json.write_text(json.dumps(about, indent=1), encoding="utf-8")

    if given.only:
        earlier = json.loads(given.only.read_text(encoding="utf-8"))
        given.seed = earlier["seed"]
        print(f"mutants of {given.only}, seed {given.seed}")
        wanted = [Mutant(**result["mutant"]) for result in earlier["results"]]
        found = [(mutant, suite.find(mutant)) for mutant in wanted]
        for mutant in (mutant for mutant, place in found if not place):
            add(Result(mutant, "gone"))
        mutants = [place for _, place in found if place]
    else:
        given.seed = random.randrange(10**8) if given.seed is None else given.seed
        mutants = _drawn(suite, given.modules, given.number, given.seed)

    memory = Path("/dev/shm")
    where = memory if memory.is_dir() and "TMPDIR" not in os.environ else None
    with tempfile.TemporaryDirectory(prefix="mutants-", dir=where) as place:
        runner = Runner(suite, Path(place), given.seconds, given.select)

        def judged(source: Source, mutant: Mutant, tests: list[str]) -> Result:
            begun, text = time.monotonic(), source.mutated(mutant) or ""
            verdict, killer = runner.judge(source.path, text, tests)
            seconds = round(time.monotonic() - begun, 1)
            return Result(mutant, verdict, killer, seconds, len(tests), source.diff(text))

        pool = ThreadPoolExecutor(given.jobs)
        try:
            jobs = [pool.submit(judged, s, m, suite.tests(s, m.row)) for s, m in mutants]
            for job in as_completed(jobs):
                add(job.result())
        finally:
            pool.shutdown(cancel_futures=True)

    for result in results:
        if result.verdict == "survived":
            print(f"\n{result}\n{result.diff}")
    counts = Counter(result.verdict for result in results)
    said = ", ".join(f"{count} {verdict}" for verdict, count in counts.most_common())
    print(f"\n{len(results)} mutants (seed {given.seed}): {said}")


if __name__ == "__main__":
    main()
