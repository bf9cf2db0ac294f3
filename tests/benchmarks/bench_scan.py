"""CPU seconds of `refmaker.scan` beside kerchunk's `SingleHdf5ToZarr`, in one process, run after run.

    python tests/benchmarks/bench_scan.py W1.h5 W4.nc [--repeat 5]
    python tests/benchmarks/bench_scan.py --quick

Every pair scans the same file to memory. The outputs are compared before anything is timed: a chunk that kerchunk
references must be referenced alike by refmaker. `--quick` makes a small file of its own, to keep the script working.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

import refmaker
from refmaker.manifest.kerchunk_json import iter_json


def scan_with_kerchunk(path: str) -> dict[str, Any]:
    """Scan with kerchunk, as its documentation has it."""
    from kerchunk.hdf import SingleHdf5ToZarr

    with open(path, "rb") as source:
        references: dict[str, Any] = SingleHdf5ToZarr(source, path, inline_threshold=0).translate()
    return references


def compare(path: str) -> int:
    """Compare both outputs; give the number of chunks. Ends the program when they differ."""
    ours = json.loads(b"".join(iter_json(refmaker.scan(path))))["refs"]
    theirs = scan_with_kerchunk(path)["refs"]
    chunks = {key: value for key, value in theirs.items() if isinstance(value, list)}
    for key, (_, offset, size) in chunks.items():
        if key in ours and ours[key][1:] == [offset, size]:
            continue
        sys.exit(f"{path}: {key} is {ours.get(key)} for refmaker, {[offset, size]} for kerchunk")
    return sum(isinstance(value, list) for value in ours.values())


def cpu(work: Callable[[], object]) -> float:
    """Give the CPU seconds that a call takes."""
    gc.collect()
    # kerchunk calls zarr's thread while it holds h5py's lock: a collection there could wait for that lock for ever.
    gc.disable()
    try:
        start = time.process_time()
        work()
        return time.process_time() - start
    finally:
        gc.enable()


def measure(path: str, repeat: int) -> None:
    """Time both scanners in turns and print a line."""
    chunks = compare(path)
    ours, theirs = [], []
    for _ in range(repeat):
        ours.append(cpu(lambda: refmaker.scan(path)))
        theirs.append(cpu(lambda: scan_with_kerchunk(path)))
    ratio = statistics.median(t / o for t, o in zip(theirs, ours, strict=True))
    print(
        f"{Path(path).name:20s} {chunks:9,d} chunks  refmaker {statistics.median(ours):8.3f} s  "
        f"kerchunk {statistics.median(theirs):8.3f} s  ratio {ratio:6.1f}"
    )


def quick(repeat: int) -> None:
    """Run over a small file made here."""
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "small.h5")
        with h5py.File(path, "w") as file:
            file.create_dataset("x", data=np.arange(40_000.0).reshape(200, 200), chunks=(10, 10), compression="gzip")
        measure(path, repeat)


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    if options.quick:
        quick(2)
    for path in options.files:
        measure(path, options.repeat)


if __name__ == "__main__":
    main()
