"""Mutations that get past checksums: an answer or a RefmakerError, and never another value than h5py's.

    python -m tests.fuzz.checksummed --count 200000 --seed 1 [--jobs 2] [--keep DIR]

Small files (`seeds_small`, `seeds_hdf5`) are damaged and their checksums made right again (`structures`). Each is
scanned and every array read through its manifest, within 5 s of processor time and 512 MiB; then the same datasets are
read by h5py. Where both have values they are the same, and no dataset that h5py finds is left unsaid. A child does the
work: where libhdf5 crashes, hangs or takes all memory, that costs the comparison of one input, and is counted. Exit
status 1 if anything broke the law.
"""

from __future__ import annotations

import argparse
import json
import mmap
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.fuzz.fuzz_hdf5 import limits
from tests.fuzz.structures import Anatomy, anatomy, mutated

__all__ = ["Report", "damaged", "fuzz", "main"]

SECONDS = 5.0
MEMORY = 512 << 20
OF_LIBHDF5 = 2 << 30
ENOUGH = 1 << 30
PATIENCE = 10
"""Seconds of processor time that libhdf5 has for one input."""
BATCH = 2000
INLINE_LIMIT = 1 << 20
SCAN, COMPARE = 1, 2


@dataclass(slots=True)
class Report:
    """What happened: counts, what broke the law by number of the input, seconds and bytes of the worst ones."""

    counts: Counter[str] = field(default_factory=Counter)
    failures: list[tuple[int, str]] = field(default_factory=list)
    slowest: tuple[float, int] = (0.0, -1)
    largest: tuple[int, int] = (0, -1)

    def add(self, other: Report) -> None:
        """Take in what another part of the same run found."""
        self.counts.update(other.counts)
        self.failures += other.failures
        self.slowest = max(self.slowest, tuple(other.slowest))
        self.largest = max(self.largest, tuple(other.largest))


@cache
def originals() -> list[Anatomy]:
    """Return all seeds."""
    from tests.fuzz.seeds_hdf5 import seeds
    from tests.fuzz.seeds_small import small_seeds

    small = [found for name, data in small_seeds() if (found := anatomy(name, data)) is not None]
    large = [found for name, data in seeds() if len(data) < 30_000 and (found := anatomy(name, data)) is not None]
    return [*small, *small, *small, *small, *large]  # the small ones are quicker, and hit more often where it matters


def damaged(seed: int, number: int) -> tuple[str, bytes]:
    """Return the input of a number, with the name of its original: always the same one."""
    rng = random.Random(f"{seed} {number}")
    files = originals()
    file = rng.choice(files)
    return file.name, mutated(file, files, rng)


def _read(path: Path, data: bytes) -> Any:
    """Scan a file and read all arrays through the manifest."""
    from refmaker.scanning.scan import scan
    from tests.fuzz.manifest_values import opened_arrays

    manifest = scan(str(path), inline_limit=INLINE_LIMIT)
    return manifest, opened_arrays(manifest, path, data)


def _child(pipe: int, stage: mmap.mmap, seed: int, numbers: range, folder: str) -> None:
    from refmaker.errors import RefmakerError
    from tests.fuzz.against_h5py import compared
    from tests.fuzz.fuzz_hdf5 import TooSlow

    resource.setrlimit(resource.RLIMIT_AS, (OF_LIBHDF5, resource.RLIM_INFINITY))
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    path = Path(folder) / "damaged.h5"
    for number in numbers:
        data = damaged(seed, number)[1]
        path.write_bytes(data)
        counts, wrong, taken, before = Counter(["inputs"]), "", 0.0, _high_water(reset=True)
        stage[:9] = bytes([SCAN]) + number.to_bytes(8, "little")
        begin = time.process_time()
        try:
            with limits(SECONDS, MEMORY):
                manifest, arrays = _read(path, data)
        except RefmakerError as error:
            counts[f"refused as a whole: {type(error).__name__}"] += 1
            arrays = None
        except (Exception, TooSlow):  # noqa: BLE001
            wrong, arrays = traceback.format_exc()[-1500:], None
        taken, grown = time.process_time() - begin, _high_water() - before
        if arrays is not None:
            stage[0] = COMPARE
            signal.setitimer(signal.ITIMER_PROF, PATIENCE)
            try:
                found, wrong = compared(manifest, arrays, path)
                counts.update(found)
            except MemoryError:
                counts["libhdf5: no memory"] += 1
            signal.setitimer(signal.ITIMER_PROF, 0)
        content = {"number": number, "counts": counts, "wrong": wrong, "taken": taken, "grown": grown}
        os.write(pipe, (json.dumps(content) + "\n").encode())
        if _held() > ENOUGH:
            return


def _held() -> int:
    """Return the address space that is taken, in bytes: libhdf5 does not give back all over damaged files."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def _high_water(*, reset: bool = False) -> int:
    """Return the most memory that was resident, in bytes: since it was reset."""
    if reset:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) << 10 for line in file if line.startswith("VmHWM"))


def _batch(seed: int, numbers: range, folder: str, report: Report) -> int:
    """Run inputs in a child; return the number of the first that is left to do."""
    stage = mmap.mmap(-1, mmap.PAGESIZE)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        status = 1
        try:
            _child(writer, stage, seed, numbers, folder)
            status = 0
        finally:
            os._exit(status)
    os.close(writer)
    following = numbers.start
    with os.fdopen(reader) as lines:
        for line in lines:
            content = json.loads(line)
            number = content["number"]
            report.counts.update(content["counts"])
            report.slowest = max(report.slowest, (content["taken"], number))
            report.largest = max(report.largest, (content["grown"], number))
            if content["wrong"]:
                report.failures.append((number, content["wrong"]))
            following = number + 1
    status = os.waitpid(child, 0)[1]
    if status == 0:
        return following
    how = signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else f"status {status >> 8}"
    report.counts["inputs"] += 1
    if stage[0] == COMPARE and os.WIFSIGNALED(status):
        report.counts[f"libhdf5: ended by {how}"] += 1
    else:
        report.failures.append((following, f"the process ended ({how})"))
    return following + 1


def _warm(path: Path) -> None:
    """Have imported once what is imported late, not in every child."""
    from tests.fuzz.against_h5py import compared

    for file in {id(file): file for file in originals()}.values():
        path.write_bytes(file.data)
        _, wrong = compared(*_read(path, file.data), path)
        if wrong:
            raise AssertionError(f"{file.name}, undamaged: {wrong}")


def fuzz(numbers: range, seed: int, *, keep: Path | None = None) -> Report:
    """Hold inputs to the law."""
    report, number = Report(), numbers.start
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as folder:
        (Path(folder) / "raw.bin").write_bytes(bytes(range(64)))
        _warm(Path(folder) / "sound.h5")
        while number < numbers.stop:
            number = _batch(seed, range(number, min(number + BATCH, numbers.stop)), folder, report)
            if keep is not None:
                keep.mkdir(parents=True, exist_ok=True)
                (keep / f"{seed}-{numbers.start}.json").write_text(json.dumps(_plain(report)))
    for n, _ in report.failures:
        if keep is None:
            break
        (keep / f"{seed}-{n}.h5").write_bytes(damaged(seed, n)[1])
    return report


def _jobs(arguments: argparse.Namespace) -> Report:
    """Run parts in processes side by side."""
    report, parts = Report(), []
    bounds = [arguments.first + arguments.count * i // arguments.jobs for i in range(arguments.jobs + 1)]
    for first, stop in pairwise(bounds):
        command = [sys.executable, "-m", "tests.fuzz.checksummed", "--json", "--first", str(first)]
        command += ["--count", str(stop - first), "--seed", str(arguments.seed)]
        command += [] if arguments.keep is None else ["--keep", str(arguments.keep)]
        parts.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
    for part in parts:
        found = json.loads(part.communicate()[0])
        report.add(
            Report(Counter(found["counts"]), found["failures"], tuple(found["slowest"]), tuple(found["largest"]))
        )
    return report


def _plain(report: Report) -> dict[str, Any]:
    """Return a report as JSON has it."""
    return {
        "counts": dict(report.counts),
        "failures": report.failures,
        "slowest": report.slowest,
        "largest": report.largest,
    }


def shown(report: Report) -> str:
    """Return a report as text."""
    lines = [f"{n:8} {what}" for what, n in sorted(report.counts.items())]
    lines.append(f"slowest {report.slowest[0]:.3f} s of processor time (input {report.slowest[1]})")
    lines.append(f"largest {report.largest[0] / 1e6:.1f} MB more resident (input {report.largest[1]})")
    lines += [f"\ninput {number}: {wrong}" for number, wrong in report.failures]
    return "\n".join([*lines, f"\n{len(report.failures)} broke the law in {report.counts['inputs']} inputs\n"])


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="folder for the inputs that broke the law")
    parser.add_argument("--json", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    numbers = range(arguments.first, arguments.first + arguments.count)
    report = _jobs(arguments) if arguments.jobs > 1 else fuzz(numbers, arguments.seed, keep=arguments.keep)
    sys.stdout.write(json.dumps(_plain(report)) if arguments.json else shown(report))
    return 1 if report.failures else 0


if __name__ == "__main__":
    raise SystemExit(main())
