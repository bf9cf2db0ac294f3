"""A part of the fuzzing in every run; `fuzz_hdf5.py` itself runs longer."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="memory is limited as Linux does it"),
    pytest.mark.alone,
]


def test_fuzz():
    from tests.fuzz.fuzz_hdf5 import fuzz

    report = fuzz(2000, 20260)
    assert [text for _, text, _ in report.failures] == []
    assert report.answers > 1000
    assert report.refused > 300
    assert sum(report.errors.values()) > 200
    assert report.answers + sum(report.errors.values()) == 2000


def test_values_agree_with_those_of_h5py():
    """In a process of its own: a child that is forked behind zarr's threads would wait for them for ever."""
    command = [sys.executable, "-m", "tests.fuzz.fuzz_values", "--count", "150", "--seed", "20260"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2], check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    counts = {line[9:]: int(line[:8]) for line in done.stdout.splitlines() if line[:8].strip().isdigit()}
    assert counts["arrays: same"] > 200
    assert counts["refused arrays"] > 10


def test_the_fuzzer_reaches_what_checksums_guard():
    """Mutated structures whose checksums were made right again fail for other reasons."""
    import random

    from tests.fuzz.fuzz_hdf5 import Report, mutate, run_one, studied

    rng, report = random.Random(1), Report()
    (seed,) = [s for s in studied() if s.name == "tall_btree"]
    for i in range(300):
        run_one(str(i), mutate(seed, rng), report, paged=False)
    assert report.failures == []
    assert report.answers < 300


def spin() -> None:
    while True:
        pass


def test_the_limits_work():
    from tests.fuzz.fuzz_hdf5 import TooSlow, limits

    with pytest.raises(MemoryError), limits(memory=64 << 20):
        bytearray(1 << 30)
    with pytest.raises(TooSlow), limits(seconds=0.05):
        spin()


def test_mutations_behind_checksums_agree_with_h5py():
    """In a process of its own, which forks children: libhdf5 may crash in these."""
    command = [sys.executable, "-m", "tests.fuzz.checksummed", "--count", "1000", "--seed", "20261"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2], check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    counts = {line[9:]: int(line[:8]) for line in done.stdout.splitlines() if line[:8].strip().isdigit()}
    assert counts["inputs"] == 1000
    assert counts["arrays: same"] > 500
    assert counts["refused by name"] > 300
    assert counts["refused as a whole: FormatError"] > 100
