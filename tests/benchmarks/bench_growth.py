"""How the cost of a scan grows: CPU seconds and peak memory against the number of chunks and of datasets.

    python -m tests.benchmarks.bench_growth FOLDER [--peers PYTHON] [--pairs 3] [--longest 60] [--largest 4000000]
    python -m tests.benchmarks.bench_growth --quick

Files that `FOLDER` does not have are made (0.9 GB in all). refmaker scans every file `--pairs` times, a peer once; a
peer is not given a file on which, going by the one before, it would take longer than `--longest` seconds. All answers
are compared with refmaker's. The results go where those of bench_scan go.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.benchmarks.bench_scan import Bench, arguments, line, make_bench, parse
from tests.benchmarks.make_files import V110, made, many_chunks, many_datasets
from tests.benchmarks.runs import MEASURED, earlier, environment, stamp, store


@dataclass(frozen=True)
class Series:
    """Files of growing size: what is counted, the sizes, and how a file is made (path, size)."""

    title: str
    unit: str
    sizes: tuple[int, ...]
    quick: tuple[int, ...]
    make: Callable[[str, int], None]


CHUNKS = (10_000, 40_000, 160_000, 640_000, 1_600_000, 4_000_000)
EACH = 20
"""Datasets in a group."""

SERIES = {
    "btree": Series(
        "version 1 B-tree", "chunks", CHUNKS, (200,), lambda path, n: many_chunks(path, n, low=24, high=64)
    ),
    "fixed": Series(
        "fixed array",
        "chunks",
        CHUNKS,
        (200,),
        lambda path, n: many_chunks(path, n, libver=V110, low=24, high=64),
    ),
    "datasets": Series(
        "datasets in groups of 20",
        "datasets",
        (100, 400, 1_600, 5_000, 10_000, 20_000),
        (40,),
        lambda path, n: many_datasets(path, n // EACH, EACH),
    ),
}
PEERS = ("kerchunk", "virtualizarr", "async-hdf5", "pyfive", "hidefix", "libhdf5")
QUICK_PEERS = ("libhdf5",)


def measure(
    bench: Bench, name: str, folder: str, sizes: tuple[int, ...], peers: tuple[str, ...], longest: float
) -> dict[str, Any]:
    """Measure a series, file after file."""
    series, points, given_up = SERIES[name], {}, set()
    tools = ("refmaker", *peers)
    last: dict[str, tuple[int, float]] = {}
    for size in sizes:
        path = made(folder, f"growth_{name}_{size}.h5", lambda path, size=size: series.make(path, size))
        expected, judge = bench.expected(path, "hdf5")
        point = {"bytes": os.path.getsize(path), "checked with": judge, "tools": {}}
        for tool in tools:
            if tool in last and last[tool][1] * size / last[tool][0] > longest:
                given_up.add(tool)
            if tool in given_up:
                continue
            result = _without_rival(bench, tool, path, expected)
            print(line(f"{size:9,d} {series.unit}", tool, result), flush=True)
            point["tools"][tool] = result
            if result["state"] in MEASURED:
                last[tool] = (size, result["runs"][0]["run"]["wall"])
            else:
                given_up.add(tool)
        points[str(size)] = point
    return {"title": series.title, "unit": series.unit, "points": points}


def _without_rival(bench: Bench, tool: str, path: str, expected: Any) -> dict[str, Any]:
    """Run refmaker as often as there are pairs, a peer once and without its pair."""
    if tool == "refmaker":
        return bench.measure(tool, path, "hdf5", expected)
    run = bench.run(tool, path, "hdf5")
    return bench.result(run, expected)


def main() -> None:
    """Run."""
    parser = arguments(__doc__)
    parser.set_defaults(pairs=3)
    parser.add_argument("--series", nargs="+", choices=SERIES, default=list(SERIES))
    parser.add_argument("--longest", type=float, default=60, metavar="SECONDS", help="no peer is to take longer")
    parser.add_argument(
        "--largest", type=int, default=sys.maxsize, metavar="N", help="no file of more chunks, datasets"
    )
    options = parse(parser)
    if options.quick:
        options.pairs, options.series = 1, ["datasets"]
    peers = QUICK_PEERS if options.quick else PEERS
    with tempfile.TemporaryDirectory() as scratch:
        bench, here = make_bench(options, scratch), environment()
        found = earlier(options.results, "growth", here).get("series", {})
        for name in options.series:
            sizes = SERIES[name].quick if options.quick else SERIES[name].sizes
            sizes = tuple(size for size in sizes if size <= options.largest)
            found[name] = measure(bench, name, options.folder or scratch, sizes, peers, options.longest)
            found[name] |= {"longest": options.longest, **stamp()}
            store(options.results, "growth", {"environment": here, "series": found})


if __name__ == "__main__":
    main()
