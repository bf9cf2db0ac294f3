"""Scanning beside the peers: CPU seconds, wall seconds and peak memory, every call in a process of its own.

    python -m tests.benchmarks.bench_scan FOLDER [--peers PYTHON] [--pairs 5] [--files W1 W4] [--tools kerchunk pyfive]
    python -m tests.benchmarks.bench_scan --quick

Files that `FOLDER` does not have are made. Peers run under another Python (`--peers`), so that neither sees what the
other has installed; by default all run under this one. Runs of refmaker and of a peer alternate; what is reported is
the median of the ratios of the pairs.

Before anything is timed, refmaker's list of chunks is compared with libhdf5's; every run of every tool is compared with
refmaker's. The results go to docs/benchmarks/results.json (`--results`), from which `tests.benchmarks.report` makes
docs/benchmarks.md. With `--files` or `--tools` the rest of an earlier result stays as it was.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from dataclasses import dataclass
from typing import Any

from tests.benchmarks import make_files
from tests.benchmarks.runs import MEASURED, RESULTS, Run, compact, earlier, environment, run, stamp, store
from tests.benchmarks.tools import OURS, TOOLS

PEERS = tuple(name for name in TOOLS if name not in OURS)
QUICK_FILES = ("W1",)
QUICK_TOOLS = ("refmaker-json", "kerchunk")


@dataclass(slots=True)
class Bench:
    """A series of runs over files.

    Attributes
    ----------
    peers
        The Python of the peers.
    limit
        Seconds after which a process hangs.
    warm
        Format -> a small file of it, scanned before the clock starts.
    """

    pairs: int
    peers: str
    limit: float
    scratch: str
    warm: dict[str, str]

    def run(self, tool: str, path: str, format: str) -> Run:
        """Run a tool once."""
        warm = self.warm[format]
        return run(tool, path, warm=warm, scratch=self.scratch, peers=self.peers, limit=self.limit)

    def expected(self, path: str, format: str) -> tuple[Run, str]:
        """Scan once with refmaker and have that checked; give the run, and who agreed. Ends the program if not."""
        ours = self.run("refmaker", path, format)
        if ours.state != "ok":
            sys.exit(f"{os.path.basename(path)}: refmaker {ours.state}: {ours.reason}")
        judge = "libhdf5" if format == "hdf5" else "kerchunk"
        theirs = self.run(judge, path, format)
        theirs.compare(ours)
        if theirs.state == "wrong":
            sys.exit(f"{os.path.basename(path)}: {judge} does not agree with refmaker: {theirs.reason}")
        return ours, judge if theirs.state == "ok" else f"nobody ({judge} {theirs.state})"

    def measure(self, tool: str, path: str, format: str, expected: Run) -> dict[str, Any]:
        """Run a tool in pairs with ours; give state, versions and figures of the pairs."""
        if format not in TOOLS[tool].reads:
            return {"state": "other format"}
        result: dict[str, Any] = {}
        pairs = []
        for _ in range(self.pairs):
            pair = {} if tool in OURS else {"ours": self._ours(TOOLS[tool].rival, path, format, expected)}
            result = self.result(self.run(tool, path, format), expected)
            if result["state"] not in MEASURED:
                if tool in OURS:
                    sys.exit(f"{os.path.basename(path)}: {tool} {result['state']}: {result['reason']}")
                return result
            pairs.append(pair | result["runs"][0])
        return result | {"runs": pairs}

    def result(self, run: Run, expected: Run) -> dict[str, Any]:
        """Compare a run and give what is stored of it: state and reason, or versions and figures."""
        run.compare(expected)
        if run.state not in MEASURED:
            return {"state": run.state, "reason": run.reason}
        return {"state": run.state, "versions": run.figures["versions"], "runs": [{"run": compact(run.figures)}]}

    def _ours(self, tool: str, path: str, format: str, expected: Run) -> dict[str, float | int]:
        ours = self.run(tool, path, format)
        ours.compare(expected)
        if ours.state != "ok":
            sys.exit(f"{os.path.basename(path)}: {tool} {ours.state}: {ours.reason}")
        return compact(ours.figures)


def ratio(result: dict[str, Any], figure: str = "cpu") -> float:
    """Return the median over the pairs of theirs / ours."""
    return statistics.median(pair["run"][figure] / pair["ours"][figure] for pair in result["runs"])


def median(result: dict[str, Any], figure: str) -> float:
    """Return the median of a figure over the runs."""
    return statistics.median(pair["run"][figure] for pair in result["runs"])


def line(name: str, tool: str, result: dict[str, Any]) -> str:
    """Say a result in one line of the terminal."""
    head = f"{name:5s} {tool:14s} "
    if result["state"] not in MEASURED:
        return head + " ".join(filter(None, (result["state"], result.get("reason"))))
    cpu, wall, peak = (median(result, figure) for figure in ("cpu", "wall", "peak"))
    figures = f"{cpu:9.3f} s CPU {wall:9.3f} s {peak / 1e6:7.0f} MB"
    if "ours" in result["runs"][0]:
        figures += f"  CPU ratio {ratio(result):7.1f}"
    return head + figures + ("  (chunks not told)" if result["state"] == "unchecked" else "")


def make_bench(options: argparse.Namespace, folder: str) -> Bench:
    """Set up, with small files to warm up on."""
    small = make_files.ensure(os.path.join(folder, "small"), ("W3e", "W6c2"), quick=True)
    warm = {"hdf5": small["W3e"], "netcdf3": small["W6c2"]}
    return Bench(options.pairs, options.peers, options.limit, folder, warm)


def arguments(description: str | None) -> argparse.ArgumentParser:
    """Make a parser with the options that benchmarks with peers share."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", help="where the files are, or shall be")
    parser.add_argument("--peers", default=sys.executable, metavar="PYTHON", help="the Python that has the peers")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--limit", type=float, default=300, metavar="SECONDS", help="what takes longer hangs")
    parser.add_argument("--results", metavar="FILE", help="default: docs/benchmarks/results.json")
    parser.add_argument("--quick", action="store_true", help="try it: small files, one pair, few tools")
    return parser


def parse(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Parse the command line; only results that are not from `--quick` go where the documentation takes them from."""
    options = parser.parse_args()
    if not options.quick and not options.folder:
        parser.error("which folder are the files in?")
    if not options.quick and not options.results:
        options.results = str(RESULTS)
    return options


def main() -> None:
    """Run."""
    parser = arguments(__doc__)
    parser.add_argument("--files", nargs="+", choices=make_files.FILES, default=list(make_files.FILES))
    parser.add_argument("--tools", nargs="+", choices=TOOLS, default=[*OURS, *PEERS])
    options = parse(parser)
    if options.quick:
        options.pairs, options.files, options.tools = 1, list(QUICK_FILES), list(QUICK_TOOLS)
    with tempfile.TemporaryDirectory() as scratch:
        paths = make_files.ensure(options.folder or scratch, options.files, quick=options.quick)
        _run(make_bench(options, scratch), paths, options)


def _run(bench: Bench, paths: dict[str, str], options: argparse.Namespace) -> None:
    here = environment()
    files = earlier(options.results, "scan", here).get("files", {})
    for name, path in paths.items():
        recipe = make_files.FILES[name]
        expected, judge = bench.expected(path, recipe.format)
        entry = files.setdefault(name, {"tools": {}})
        entry |= {"file": recipe.file, "bytes": os.path.getsize(path), "description": recipe.description}
        entry |= {"arrays": expected.figures["arrays"], "chunks": expected.figures["chunks"], "checked with": judge}
        for tool in options.tools:
            result = bench.measure(tool, path, recipe.format, expected)
            entry["tools"][tool] = result | stamp()
            print(line(name, tool, result), flush=True)
            store(options.results, "scan", {"environment": here, "files": files})


if __name__ == "__main__":
    main()
