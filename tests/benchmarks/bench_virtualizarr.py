"""How long VirtualiZarr takes to parse files, by refmaker's parser and by its own, in turns.

    python -m tests.benchmarks.bench_virtualizarr FILE... [--pairs 3]

Each parser makes a `ManifestStore` of each file, all of its groups, once before it is measured; the shortest of the CPU
and of the other times is printed.
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from collections.abc import Callable
from typing import Any


def seconds(run: Callable[[], Any]) -> tuple[float, float]:
    """Return how long a call takes, and how much CPU."""
    start, cpu = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - start, time.process_time() - cpu


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+")
    parser.add_argument("--pairs", type=int, default=3)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    from obspec_utils.registry import ObjectStoreRegistry
    from obstore.store import LocalStore
    from virtualizarr.parsers import HDFParser

    from refmaker.bridges.virtualizarr import RefmakerParser

    registry = ObjectStoreRegistry({"file://": LocalStore()})
    for file in options.files:
        url = f"file://{os.path.abspath(file)}"
        parsers: dict[str, Callable[[], Any]] = {
            "refmaker": lambda url=url: RefmakerParser()(url, registry),  # type: ignore[misc]
            "HDFParser": lambda url=url: HDFParser()(url, registry),  # type: ignore[misc]
        }
        for parse in parsers.values():
            parse()
        times = [{name: seconds(parse) for name, parse in parsers.items()} for _ in range(options.pairs)]
        for at, what in enumerate(("s", "s CPU")):
            ours, theirs = (min(one[name][at] for one in times) for name in parsers)
            ratio = f"{theirs / ours:.1f} times"
            print(f"{os.path.basename(file)}: refmaker {ours:.3f}, HDFParser {theirs:.3f} {what}: {ratio}", flush=True)


if __name__ == "__main__":
    main()
