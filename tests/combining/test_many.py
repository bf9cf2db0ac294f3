"""Many small manifests: right, and without an object for each reference."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np

import refmaker
from refmaker.combining.collection import Collection
from tests.benchmarks.bench_combine import synthetic

BENCHMARK = Path(__file__).parents[1] / "benchmarks" / "bench_combine.py"


def test_two_thousand() -> None:
    manifest = refmaker.combine([synthetic(number) for number in np.random.default_rng(1).permutation(2000).tolist()])
    assert manifest.arrays["time"].metadata.document["shape"] == [48_000]
    times = np.frombuffer(manifest.arrays["time"].references.inline[0], "<f8")
    assert (times == np.arange(48_000)).all()
    for variable in range(4):
        references = manifest.arrays[f"v{variable}"].references
        assert (references.cell == np.arange(48_000)).all()
        days = np.array([int(target.url[-8:-3]) for target in manifest.targets])
        assert (days[references.target] == np.arange(48_000) // 24).all()
        assert (references.offset == np.arange(48_000) % 24 * 4000 + 4096 + 100_000 * variable).all()


def test_memory_of_references() -> None:
    """Columns take 28 bytes a reference; the room for lists that grow comes to that."""
    collection = Collection()
    collection.add("first", synthetic(0))
    tracemalloc.start()
    for number in range(1, 1500):
        collection.add(f"{number}", synthetic(number))
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held / (1499 * 96) < 80


def test_benchmark_works() -> None:
    done = subprocess.run([sys.executable, BENCHMARK, "--quick"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "ratio" in done.stdout
    assert "20 manifests, 1,923 references" in done.stdout
