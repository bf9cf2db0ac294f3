"""Would a test notice? Small changes of the code, one at a time, and the tests that mirror the module.

    python -m tests.mutation --count 60 --seed 1 --jobs 2
    python -m tests.mutation --package refmaker/zarr --count 20
    python -m tests.mutation --module refmaker/atomic.py --count 0      # all of one module

A mutant changes a comparison, an operator of arithmetic, a constant, a condition, or what a function returns. It lives
in a copy of the package in a temporary directory, so that nothing of the tree is touched. Tests of its module run with
`-x`; modules without a test file of their own run their package's tests. A mutant that no test fails over survives, and
is printed as a diff. The status is 1 when fewer than `--least` percent are killed.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

from tests.mirror import ROOT, mirrored, modules

__all__ = ["Mutant", "main", "mutant", "places_of", "sample", "tests_of"]

PACKAGES = ("refmaker/hdf5", "refmaker/zarr", "refmaker/mapping", "refmaker/replay")
SECONDS = 240
COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}


@dataclass(frozen=True)
class Mutant:
    """A change of one module: the line, and the source before and after it as `ast.unparse` writes both."""

    module: str
    line: int
    before: str
    after: str

    @property
    def diff(self) -> str:
        """What the change is, without lines around it."""
        lines = difflib.unified_diff(self.before.splitlines(), self.after.splitlines(), n=0, lineterm="")
        changed = [line for line in lines if line[:1] in "+-" and line[:3] not in ("+++", "---")]
        return "\n".join([f"{self.module}:{self.line}", *changed])


def places_of(source: str) -> list[tuple[int, int]]:
    """Return what can be changed: the number of a node in `ast.walk`, and which of its changes."""
    tree = ast.parse(source)
    skipped = set(_skipped(tree))
    nodes = enumerate(ast.walk(tree))
    return [
        (number, change) for number, node in nodes if node not in skipped for change, _ in enumerate(_changes(node))
    ]


def mutant(module: str, source: str, place: tuple[int, int]) -> Mutant:
    """Make one mutant of a module."""
    tree = ast.parse(source)
    before = ast.unparse(tree)
    node = list(ast.walk(tree))[place[0]]
    list(_changes(node))[place[1]]()
    return Mutant(module, getattr(node, "lineno", 0), before, ast.unparse(tree))


def _skipped(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield what no test can be about: annotations, docstrings, `__all__`, messages, what only types see."""
    for node in ast.walk(tree):
        parts: list[ast.AST | None] = []
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            parts = [node.returns, *node.decorator_list]
        elif isinstance(node, ast.arg):
            parts = [node.annotation]
        elif isinstance(node, ast.AnnAssign):
            parts = [node.annotation, node.value if "TypeAlias" in ast.unparse(node.annotation) else None]
        elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) in ("__all__", "__slots__"):
            parts = [node.value]
        elif isinstance(node, ast.Raise | ast.JoinedStr):
            parts = [node]
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("cast", "zip", "TypeVar"):
            parts = list(node.keywords) if ast.unparse(node.func) == "zip" else [node]
        for part in parts:
            if part is not None:
                yield from ast.walk(part)


def _changes(node: ast.AST) -> Iterator[Callable[[], None]]:
    """Yield functions that change a node in place, each in one way."""

    def put(name: str, value: object) -> Callable[[], None]:
        return lambda: setattr(node, name, value)

    if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in COMPARISONS:
        yield put("ops", [COMPARISONS[type(node.ops[0])]()])
    elif isinstance(node, ast.BinOp | ast.AugAssign) and type(node.op) in OPERATORS:
        yield put("op", OPERATORS[type(node.op)]())
    elif isinstance(node, ast.BoolOp):
        yield put("op", ast.Or() if isinstance(node.op, ast.And) else ast.And())
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield put("value", not node.value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, int):
        yield put("value", node.value + 1)
    elif isinstance(node, ast.If | ast.IfExp | ast.While):
        yield put("test", ast.UnaryOp(ast.Not(), node.test))
    elif isinstance(node, ast.Return) and node.value is not None and ast.unparse(node.value) != "None":
        yield put("value", ast.Constant(None))
    elif isinstance(getattr(node, "value", None), ast.Call) and isinstance(node, ast.Expr):
        yield put("value", ast.Constant(None))  # a call for what it does


def tests_of(module: str) -> list[str]:
    """Return what to run for a module: its own test file, else the tests of its package, as a whole."""
    own = mirrored(module)
    if own.exists():
        return [own.relative_to(ROOT).as_posix()]
    return [own.parent.relative_to(ROOT).as_posix()]


def run(changed: Mutant, place: Path, extra: list[str]) -> str:
    """Return "killed", "survived" or "timeout" for a mutant, in a copy of the tree of its own."""
    path = place / changed.module
    original = path.read_text()
    path.write_text(changed.after)
    environment = {**os.environ, "PYTHONPATH": str(place), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "--no-header", "-rN"]
    try:
        for tests in [*tests_of(changed.module), *extra]:
            ended = subprocess.run(
                [*command, tests], cwd=place, env=environment, capture_output=True, timeout=SECONDS, check=False
            )
            if ended.returncode not in (0, 5):
                return "killed"
        return "survived"
    except subprocess.TimeoutExpired:
        return "timeout"
    finally:
        path.write_text(original)


def sample(packages: Sequence[str], chosen: Sequence[str], count: int, seed: int) -> list[Mutant]:
    """Draw mutants, each as likely as any other; `count` 0 is all."""
    sources = {
        module: (ROOT / module).read_text()
        for module in modules()
        if module in chosen or (not chosen and any(module.startswith(f"{package}/") for package in packages))
    }
    every = [(module, place) for module, source in sources.items() for place in places_of(source)]
    drawn = random.Random(seed).sample(every, min(count or len(every), len(every)))
    return [mutant(module, sources[module], place) for module, place in drawn]


def main(arguments: list[str] | None = None) -> int:
    """Run a sample of mutants and print what became of them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--package", action="append", default=[])
    parser.add_argument("--module", action="append", default=[])
    parser.add_argument("--tests", action="append", default=[], help="what else to run before a mutant survives")
    parser.add_argument("--least", type=float, default=0.0)
    options = parser.parse_args(arguments)
    drawn = sample(options.package or list(PACKAGES), options.module, options.count, options.seed)
    outcomes: dict[str, list[Mutant]] = {"killed": [], "survived": [], "timeout": []}
    with tempfile.TemporaryDirectory() as folder:
        places: SimpleQueue[Path] = SimpleQueue()
        for number in range(options.jobs):
            place = Path(folder) / str(number)
            for name in ("refmaker", "cli", "tests"):
                shutil.copytree(ROOT / name, place / name, ignore=shutil.ignore_patterns("__pycache__"))
            shutil.copy(ROOT / "pyproject.toml", place)
            places.put(place)

        def one(changed: Mutant) -> tuple[Mutant, str]:
            place = places.get()
            try:
                return changed, run(changed, place, options.tests)
            finally:
                places.put(place)

        drawn = _with_passing_tests(drawn, places, options.tests)
        with ThreadPoolExecutor(options.jobs) as pool:
            for changed, outcome in pool.map(one, drawn):
                outcomes[outcome].append(changed)
                sys.stdout.write(f"{outcome}: {changed.diff}\n" if outcome != "killed" else ".")
                sys.stdout.flush()
    return _report(outcomes, options.least)


def _with_passing_tests(drawn: list[Mutant], places: SimpleQueue[Path], extra: list[str]) -> list[Mutant]:
    """Leave out mutants whose tests fail already: they would pass for killed."""
    place, failing = places.get(), set()
    for module in sorted({changed.module for changed in drawn}):
        source = (place / module).read_text()
        if run(Mutant(module, 0, source, source), place, extra) != "survived":
            failing.add(module)
            sys.stdout.write(f"left out, its tests fail or take too long without a change: {module}\n")
    places.put(place)
    return [changed for changed in drawn if changed.module not in failing]


def _report(outcomes: dict[str, list[Mutant]], least: float) -> int:
    dead = len(outcomes["killed"]) + len(outcomes["timeout"])  # what does not end any more is noticed
    total = dead + len(outcomes["survived"])
    share = 100 * dead / total if total else 100.0
    numbers = ", ".join(f"{len(found)} {name}" for name, found in outcomes.items())
    sys.stdout.write(f"\n{total} mutants: {numbers}; {share:.0f} % killed\n")
    return 0 if share >= least else 1


if __name__ == "__main__":
    sys.exit(main())
