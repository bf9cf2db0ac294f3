"""Run the cases of a folder with one or two interpreters, and print what became of each as a Markdown table.

    python tests/corpus/run_cases.py ../shared/cases --python BEFORE/bin/python --python .venv/bin/python [--only GLOB]

The folder has a README.md that names cases, and for each a script NAME.py or NAME.sh. Every script runs in a scratch
directory of its own, with the interpreter's directory first on PATH, within limits of time and memory; what it printed
is judged by the rules of `case_rules`. The exit status is 1 where the last interpreter does not have all of them right.
"""

from __future__ import annotations

import argparse
import fnmatch
import os
import re
import resource
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from case_rules import CASES, OTHERS, TRACEBACK, Case

RIGHT, NEEDS = "right", "needs "
HELPERS = frozenset(["h", "hf", "make", "make_archive", "series", "lookup3", "common", "s3fake", "makedata"])


def named(folder: Path) -> list[str]:
    """List the cases that the README names, in its order, as far as there is a script."""
    words = re.findall(r"[a-z][a-z0-9_]+", (folder / "README.md").read_text(encoding="utf-8"))
    names = (word for word in dict.fromkeys(words) if word not in HELPERS)
    return [name for name in names if script_of(folder, name) is not None]


def script_of(folder: Path, name: str) -> Path | None:
    """Return the script of a case."""
    places = (base / f"{name}{end}" for base in (folder, folder / "remote") for end in (".py", ".sh"))
    return next((place for place in places if place.is_file()), None)


class Runner:
    """Runs scripts with one interpreter.

    Parameters
    ----------
    python
        Path of the interpreter.
    folder
        That has the scripts.
    seconds, memory
        Limits of each script: time, and address space in GiB.
    """

    def __init__(self, python: str, folder: Path, *, seconds: float, memory: int, keep: Path | None) -> None:
        self.python = os.path.abspath(python)
        self.folder = folder
        self.seconds = seconds
        self.memory = memory
        self.keep = keep
        self.has = cache(self._has)

    def outcome(self, name: str, case: Case) -> str:
        """Run a case and judge it."""
        lacking = [package for package in case.needs if not self.has(package)]
        if lacking:
            return NEEDS + ", ".join(lacking)
        with tempfile.TemporaryDirectory(prefix=f"{name}-", ignore_cleanup_errors=True) as work:
            script = script_of(self.folder, name)
            prepare = PREPARATIONS.get(case.before or "", _plainly)
            output, status = "", 0
            for command in prepare(self, str(script), case.arguments, work):
                said, status = self.run(command, work)
                output += said
        if self.keep is not None:
            (self.keep / f"{name}.txt").write_text(f"{output}\n[exit status {status}]\n", encoding="utf-8")
        return RIGHT if (wrong := case.judge(output, status)) is None else f"wrong: {wrong}"

    def run(self, command: list[str], work: str) -> tuple[str, int]:
        """Return what a command printed, and its exit status."""
        path = f"{os.path.dirname(self.python)}{os.pathsep}{os.environ['PATH']}"
        environment = {**os.environ, "PATH": path, "TMPDIR": work, "XDG_CACHE_HOME": f"{work}/.cache"}
        with tempfile.TemporaryFile() as printed:
            process = subprocess.Popen(
                command,
                cwd=work,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=self._limit,
            )
            try:
                status = process.wait(self.seconds)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                status = process.wait()
                printed.write(f"\n{TRACEBACK}: killed after {self.seconds:g} s\n".encode())
            printed.seek(0)
            return printed.read().decode("utf-8", "replace"), status

    def _limit(self) -> None:
        resource.setrlimit(resource.RLIMIT_AS, (self.memory << 30, self.memory << 30))

    def _has(self, package: str) -> bool:
        found = subprocess.run([self.python, "-c", f"import {package}"], capture_output=True, check=False)
        return found.returncode == 0


def _plainly(runner: Runner, script: str, arguments: tuple[str, ...], work: str) -> Iterator[list[str]]:
    yield [runner.python if script.endswith(".py") else "sh", script, *arguments]


def _with_series(runner: Runner, script: str, arguments: tuple[str, ...], work: str) -> Iterator[list[str]]:
    """Make the series of files that some scripts begin with, combined in both forms, and a file to append."""
    yield [runner.python, str(runner.folder / "series.py")]
    new = "import make; make.one('new/d202.nc', 202, shape=(45, 90), spread=False)"
    yield [runner.python, "-c", f"import sys; sys.path.insert(0, {str(runner.folder)!r}); {new}"]
    for name in ("series.json", "series.parq"):
        yield ["sh", "-c", f"refmaker combine series/*.nc -q -o {name}"]
    yield from _plainly(runner, script, arguments, work)


def _with_interrupts(runner: Runner, script: str, arguments: tuple[str, ...], work: str) -> Iterator[list[str]]:
    """Interrupt several commands at several moments, once and twice."""
    slow = (
        "import h5py; f = h5py.File('many.h5', 'w'); "
        "[f.create_group(f'g{i}').create_dataset('x', data=i) for i in range(20000)]"
    )
    yield [runner.python, "-c", slow]
    commands = ("refmaker scan many.h5 -o m.json", "refmaker info many.h5", "refmaker batch many.h5 --out out")
    for times, delay in (("1", "0.01"), ("1", "0.05"), ("1", "0.15"), ("1", "0.4"), ("2", "0.1"), ("2", "0.6")):
        for command in commands[:2] if times == "1" else commands[2:] * 2:
            yield [runner.python, script, times, delay, *shlex.split(command)]


Preparation = Callable[[Runner, str, tuple[str, ...], str], Iterator[list[str]]]
PREPARATIONS: dict[str, Preparation] = {"series": _with_series, "sigint": _with_interrupts}


def table(rows: list[tuple[str, ...]]) -> Iterator[str]:
    """Write rows as a Markdown table, the first as its head."""
    for number, row in enumerate(rows):
        yield "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in row) + " |"
        if number == 0:
            yield "|" + "---|" * len(row)


def main() -> int:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "folder", nargs="?", default="../shared/cases", type=Path, help="that has README.md and scripts"
    )
    parser.add_argument("--python", action="append", metavar="PATH", help="interpreter; twice for before and now")
    parser.add_argument("--only", default="*", metavar="GLOB", help="cases whose names match")
    parser.add_argument("--seconds", type=float, default=600, help="for one script")
    parser.add_argument("--memory", type=int, default=16, metavar="GIB", help="address space of one script")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep what the scripts print, in DIR/0, DIR/1")
    options = parser.parse_args()
    if not options.folder.is_dir():
        print(f"there is no folder {options.folder}: nothing to run")
        return 0
    pythons = options.python or [sys.executable]
    keeps = [None if options.keep is None else options.keep / str(i) for i in range(len(pythons))]
    for keep in keeps:
        if keep is not None:
            keep.mkdir(parents=True, exist_ok=True)
    limits = {"seconds": options.seconds, "memory": options.memory}
    folder = options.folder.resolve()
    runners = [Runner(python, folder, keep=keep, **limits) for python, keep in zip(pythons, keeps, strict=True)]
    heads = ("before", "now") if len(runners) == 2 else tuple(pythons)
    rows: list[tuple[str, ...]] = [("case", *heads)]
    for name in fnmatch.filter(named(folder), options.only):
        rows.append((name, *outcomes(name, runners)))
        print("; ".join(rows[-1]), file=sys.stderr, flush=True)
    print("\n".join(table(rows)))
    judged = [row for row in rows[1:] if not row[1].startswith("issue")]
    for index, head in enumerate(heads, 1):
        right = sum(row[index] == RIGHT for row in judged)
        skipped = sum(row[index].startswith(NEEDS) for row in judged)
        print(f"\n{head}: {right} of {len(judged)} right, {skipped} not run")
    return int(any(not row[-1].startswith((RIGHT, NEEDS)) for row in judged))


def outcomes(name: str, runners: list[Runner]) -> list[str]:
    """Return what becomes of a case with each interpreter."""
    if name in OTHERS:
        return [OTHERS[name]] * len(runners)
    case = CASES.get(name)
    return [runner.outcome(name, case) if case else "wrong: no rule for it" for runner in runners]


if __name__ == "__main__":
    sys.exit(main())
