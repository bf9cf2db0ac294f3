"""Where a damaged file gives values, and h5py gives values too, they agree.

    python -m tests.fuzz.fuzz_values --count 5000 --seed 1 [--corpus DIR] [--keep DIR]

Mutates files as `fuzz_hdf5.py` does, scans each, and has `refmaker.verify` compare what zarr reads through the manifest
with what h5py reads. Children do the work, since libhdf5 may crash or hang over such files: that is counted, and is not
held against anybody. Exit status 1 if values differ, or something other than a RefmakerError came up.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import signal
import sys
import tempfile
import traceback
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from refmaker.verification.verify import ArrayResult
from tests.fuzz.fuzz_hdf5 import Seed, mutate, studied

SECONDS = 10
MEMORY = 2 << 30
BATCH = 200
INLINE_LIMIT = 1 << 20


@dataclass(slots=True)
class Report:
    """What happened: counts, and the inputs that broke the law with what was wrong."""

    counts: Counter[str] = field(default_factory=Counter)
    failures: list[tuple[int, str]] = field(default_factory=list)


def damaged(originals: list[Seed], seed: int, number: int) -> tuple[str, bytes]:
    """Return the input of a number: always the same one."""
    rng = random.Random(f"{seed} {number}")
    original = rng.choice(originals)
    return original.name, mutate(original, rng)


def compare(path: Path) -> tuple[Counter[str], str]:
    """Scan a file and verify the manifest; give counts, and what differs."""
    from refmaker.errors import RefmakerError
    from refmaker.scanning.scan import scan
    from refmaker.verification.verify import verify

    try:
        manifest = scan(str(path), inline_limit=INLINE_LIMIT)
        report = verify(manifest, sample=20)
    except RefmakerError as error:
        return Counter([f"file: {type(error).__name__}"]), ""
    counts = Counter({"refused arrays": len(manifest.refusals)})
    wrong = []
    for result in report.arrays:
        found = result.status if result.status != "differs" else _kind(result)
        counts[f"arrays: {found}"] += 1
        if found == "differs":
            wrong.append(f"{result.path}: {result.reason}")
    return counts + Counter({"files scanned": 1}), "; ".join(wrong)


def _kind(result: ArrayResult) -> str:
    """Tell a difference from what h5py has no value for."""
    if (result.reason or "").startswith("there is no ") or " is no dataset in the file" in (result.reason or ""):
        return "h5py does not find it"
    expected = None if result.first_difference is None else result.first_difference.expected
    return "h5py cannot follow a reference" if expected == "<HDF5 object reference>" else "differs"


def _child(pipe: int, originals: list[Seed], seed: int, numbers: range, folder: str) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    path = Path(folder) / "damaged.h5"
    for number in numbers:
        _tell(pipe, {"start": number})
        signal.alarm(SECONDS)
        path.write_bytes(damaged(originals, seed, number)[1])
        try:
            counts, wrong = compare(path)
        except MemoryError:
            counts, wrong = Counter(["no memory"]), ""
        except Exception:  # noqa: BLE001
            counts, wrong = Counter(["failures"]), traceback.format_exc()[-1500:]
        _tell(pipe, {"done": number, "counts": counts, "wrong": wrong})
        signal.alarm(0)


def _tell(pipe: int, content: dict[str, Any]) -> None:
    os.write(pipe, (json.dumps(content) + "\n").encode())


def _batch(originals: list[Seed], seed: int, numbers: range, folder: str, report: Report) -> int:
    """Run inputs in a child; give the number of the first that is left to do."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        try:
            _child(writer, originals, seed, numbers, folder)
        finally:
            os._exit(0)
    os.close(writer)
    started = numbers.start - 1
    with os.fdopen(reader) as lines:
        for line in lines:
            content = json.loads(line)
            if "start" in content:
                started = content["start"]
                continue
            report.counts.update(content["counts"])
            if content["wrong"]:
                report.failures.append((content["done"], content["wrong"]))
            started = content["done"] + 1
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status):
        report.counts[f"ended by {signal.Signals(os.WTERMSIG(status)).name}"] += 1
        return started + 1
    return max(started, numbers.stop)


def fuzz(count: int, seed: int, *, corpus: Path | None = None, keep: Path | None = None) -> Report:
    """Compare `count` inputs."""
    report, originals, number = Report(), studied(corpus), 0
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as folder:
        while number < count:
            number = _batch(originals, seed, range(number, min(number + BATCH, count)), folder, report)
    if keep is not None and report.failures:
        keep.mkdir(parents=True, exist_ok=True)
        for n, _ in report.failures:
            (keep / f"{seed}-{n}.h5").write_bytes(damaged(originals, seed, n)[1])
    return report


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--corpus", type=Path)
    parser.add_argument("--keep", type=Path, help="folder for the inputs that broke the law")
    arguments = parser.parse_args()
    report = fuzz(arguments.count, arguments.seed, corpus=arguments.corpus, keep=arguments.keep)
    for what, n in sorted(report.counts.items()):
        sys.stdout.write(f"{n:8} {what}\n")
    for number, wrong in report.failures:
        sys.stdout.write(f"\ninput {number}: {wrong}\n")
    sys.stdout.write(f"\n{len(report.failures)} disagreements and failures in {arguments.count} inputs\n")
    return 1 if report.failures else 0


if __name__ == "__main__":
    raise SystemExit(main())
