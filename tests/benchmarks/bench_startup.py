"""How long the command line takes to start: whole processes, wall and CPU seconds.

    python -m tests.benchmarks.bench_startup [--peers PYTHON] [--pairs 11]
    python -m tests.benchmarks.bench_startup --quick

All commands run one after the other, again and again; medians and minima are reported. What Python itself and an import
of numpy take is measured too: nothing that reads files with numpy can be faster. The results go where those of
bench_scan go.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

from tests.benchmarks.bench_scan import arguments, parse
from tests.benchmarks.make_files import many_datasets
from tests.benchmarks.runs import ROOT, environment, environment_of, stamp, store

KERCHUNK = """
import sys, ujson
from kerchunk.hdf import SingleHdf5ToZarr
with open(sys.argv[1], "rb") as file:
    references = SingleHdf5ToZarr(file, sys.argv[1]).translate()
with open(sys.argv[2], "w") as file:
    file.write(ujson.dumps(references))
"""


def commands(source: str, output: str, peers: str) -> dict[str, list[str]]:
    """Return the commands by the name that they have in tables."""
    refmaker = [sys.executable, "-m", "refmaker_cli"]
    return {
        "python, which does nothing": [sys.executable, "-c", "pass"],
        "python, which imports numpy": [sys.executable, "-c", "import numpy"],
        "refmaker --help": [*refmaker, "--help"],
        "refmaker scan": [*refmaker, "scan", source, "-o", output],
        "the same with kerchunk": [peers, "-c", KERCHUNK, source, output],
    }


def run(command: list[str]) -> dict[str, float]:
    """Run a command; give its wall and CPU seconds."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, cwd=ROOT, env=environment_of(ROOT), capture_output=True, text=True, check=False)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip() or done.returncode}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"wall": round(wall, 4), "cpu": round(cpu, 4)}


def measure(peers: str, repeat: int, folder: str, *, warm: bool = True) -> dict[str, Any]:
    """Run all commands in turns; with `warm` once more, in the first turn, which compiles what is not compiled yet."""
    source, output = os.path.join(folder, "small.h5"), os.path.join(folder, "small.json")
    many_datasets(source, 4, 6)
    runs: dict[str, list[dict[str, float]]] = {}
    everything = commands(source, output, peers)
    for turn in range(repeat + warm):
        for name, command in list(everything.items()):
            try:
                taken = run(command)
            except RuntimeError as error:
                if "refmaker" in name:
                    raise
                print(f"{name}: {error}", file=sys.stderr)
                del everything[name]
                runs.pop(name, None)
                continue
            if turn >= warm:
                runs.setdefault(name, []).append(taken)
    return {"bytes": os.path.getsize(source), "runs": runs}


def main() -> None:
    """Run."""
    parser = arguments(__doc__)
    parser.set_defaults(pairs=11, folder=".")
    options = parse(parser)
    with tempfile.TemporaryDirectory() as folder:
        found = measure(options.peers, 1 if options.quick else options.pairs, folder, warm=not options.quick)
    for name, runs in found["runs"].items():
        wall, cpu = (statistics.median(run[figure] for run in runs) for figure in ("wall", "cpu"))
        print(f"{name:30s} {wall:6.3f} s wall  {cpu:6.3f} s CPU  least {min(run['wall'] for run in runs):6.3f} s wall")
    store(options.results, "startup", {"environment": environment(), **stamp(), **found})


if __name__ == "__main__":
    main()
