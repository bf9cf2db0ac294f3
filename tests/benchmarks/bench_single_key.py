"""Single reads of local chunks, one `cat_file` after the other: this tree beside another one, in turns.

Run: `python -m tests.benchmarks.bench_single_key OTHER_TREE [--turns 8]`. It prints microseconds of CPU time for each
read, the least of many rounds in either tree. Time of the processor, and the least of it: other work on the machine
then disturbs both alike, and little.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parents[2]
ROUND = """
import asyncio, gc, json, os, sys, time
import refmaker
from refmaker.replay.filesystem import FileSystem
manifest, keys, rounds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
names = [f"v/{i}" for i in range(keys)]
async def main():
    filesystem = FileSystem(manifest, asynchronous=True, skip_instance_cache=True)
    read = filesystem._cat_file
    for name in names:
        await read(name)
    gc.disable()
    least = float("inf")
    for _ in range(rounds):
        began = time.process_time()
        for name in names:
            await read(name)
        least = min(least, time.process_time() - began)
    return least / keys * 1e6
print(json.dumps([asyncio.run(main()), os.path.dirname(refmaker.__file__)]))
"""
"""What is run in each tree: a process of its own, so that neither warms the other up."""


def one(tree: Path, manifest: Path, *, keys: int, rounds: int) -> float:
    """Return microseconds of CPU time for a read in one tree."""
    done = subprocess.run(
        [sys.executable, "-c", ROUND, str(manifest), str(keys), str(rounds)],
        env={**os.environ, "PYTHONPATH": str(tree)},
        cwd=manifest.parent,
        check=True,
        capture_output=True,
        text=True,
    )
    micros, found = json.loads(done.stdout)
    if Path(found).resolve() != (tree / "refmaker").resolve():
        raise SystemExit(f"{found} was measured, not {tree}")
    return float(micros)


def make(folder: Path, keys: int) -> Path:
    """Write a file of chunks of 8 kB, and its manifest."""
    import h5py
    import numpy as np

    import refmaker

    with h5py.File(folder / "v.h5", "w") as file:
        file.create_dataset("v", data=np.arange(keys * 1024, dtype="f8"), chunks=(1024,))
    manifest = folder / "v.json"
    refmaker.write_manifest(refmaker.scan(folder / "v.h5"), manifest)
    return manifest


def compare(trees: Sequence[Path], *, keys: int, rounds: int, turns: int) -> list[list[float]]:
    """Measure the trees in turns; return what each turn gave, by tree."""
    with tempfile.TemporaryDirectory() as folder:
        manifest = make(Path(folder), keys)
        found: list[list[float]] = [[] for _ in trees]
        for turn in range(turns):
            order = range(len(trees)) if turn % 2 == 0 else reversed(range(len(trees)))
            for i in order:
                found[i].append(one(trees[i], manifest, keys=keys, rounds=rounds))
    return found


def main() -> None:
    """Print the least and the median of each tree, and their ratio."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("other", type=Path, help="A checkout of another commit.")
    parser.add_argument("--keys", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--turns", type=int, default=8)
    given = parser.parse_args()
    trees = [given.other.resolve(), HERE]
    found = compare(trees, keys=given.keys, rounds=given.rounds, turns=given.turns)
    for tree, micros in zip(trees, found, strict=True):
        print(f"{tree}: least {min(micros):.2f} µs, median {statistics.median(micros):.2f} µs")
    print(f"ratio of the least: {min(found[1]) / min(found[0]):.3f}")


if __name__ == "__main__":
    main()
