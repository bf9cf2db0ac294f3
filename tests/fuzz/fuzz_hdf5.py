"""Whatever the bytes are: a Tree whose references lie in the file, or a RefmakerError, soon and in little memory.

    python tests/fuzz/fuzz_hdf5.py --count 30000 --seed 1 [--seconds 600] [--corpus DIR] [--keep DIR]

Mutates small files that hold every structure (and, with `--corpus`, files of a folder below 200 kB): bits, fields,
whole structures. Checksums of mutated structures are mostly made right again, since what lies behind them would not
be reached otherwise. Exit status 1 if anything broke the law.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import struct
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np

from refmaker.errors import RefmakerError
from refmaker.hdf5 import (
    btree_v2,
    extensible_array,
    file,
    fixed_array,
    fractal_heap,
    fractal_heap_header,
    metadata_cache_image,
    opening,
    pages,
    superblock,
    virtual,
)
from refmaker.hdf5.checksum import lookup3
from refmaker.hdf5.resolve import resolve
from refmaker.hdf5.walk import Walk
from refmaker.model import Chunked, Contiguous
from refmaker.sources.memory import MemoryWindow
from refmaker.sources.recording import RecordingWindow
from tests.fuzz.seeds_hdf5 import seeds
from tests.hdf5.walking import LIMIT, tree_in_rounds

SECONDS = 5.0
MEMORY = 512 << 20
LARGEST_OF_CORPUS = 200_000
VERIFYING = (
    btree_v2,
    extensible_array,
    file,
    fixed_array,
    fractal_heap,
    fractal_heap_header,
    metadata_cache_image,
    opening,
    pages,
    superblock,
    virtual,
)
INTERESTING = (0, 1, 2, 3, 7, 8, 16, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 1 << 31, (1 << 32) - 1, 1 << 62, (1 << 63) - 1)


class TooSlow(BaseException):
    """Raised by the alarm; a BaseException, so that nothing takes it for an error of its own."""


@dataclass(slots=True)
class Span:
    """A structure with a checksum: `at` is where its checksum stands, from its start."""

    address: int
    size: int
    at: int


@dataclass(slots=True)
class Seed:
    """A file, the bytes of it that a walk reads, and its checksummed structures."""

    name: str
    data: bytes
    read: list[int]
    spans: list[Span]


@dataclass(slots=True)
class Report:
    """What happened."""

    answers: int = 0
    refused: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    failures: list[tuple[str, str, bytes]] = field(default_factory=list)
    slowest: tuple[float, str] = (0.0, "")
    largest: tuple[int, str] = (0, "")


@contextmanager
def _recorded(spans: list[Span], base: Callable[[], int], whole: bytes) -> Iterator[None]:
    """Note every block whose checksum is verified."""
    kept = [
        (module, name, getattr(module, name))
        for module in VERIFYING
        for name in ("verify", "verify_rows", "verify_groups")
        if hasattr(module, name)
    ]

    def one(block: bytes, structure: str, address: int) -> None:
        size = len(block)
        if structure == "fractal heap direct block":
            spans.append(Span(address + base(), size - 4, -1))
        elif structure == virtual.WHAT:  # which is told without its address
            spans.append(Span(whole.index(block), size, size - 4))
        else:
            spans.append(Span(address + (0 if structure == "superblock" else base()), size, size - 4))

    def many(rows: np.ndarray, structure: str, addresses: np.ndarray) -> None:
        spans.extend(Span(a + base(), rows.shape[1], rows.shape[1] - 4) for a in addresses.tolist())

    def groups(blocks: Iterable[tuple[np.ndarray, str, np.ndarray]]) -> None:
        for block in blocks:
            many(*block)

    heard = {"verify": one, "verify_rows": many, "verify_groups": groups}
    for module, name, _ in kept:
        setattr(module, name, heard[name])
    try:
        yield
    finally:
        for module, name, function in kept:
            setattr(module, name, function)


def study(name: str, data: bytes) -> Seed | None:
    """Walk a sound file to learn where its metadata are; None for a file that is not sound."""
    window, spans = RecordingWindow(MemoryWindow(data)), []
    walk = Walk(window, LIMIT)
    try:
        with _recorded(spans, lambda: walk.file.base if walk.file is not None else 0, data):
            _run(walk)
    except RefmakerError:
        return None
    base = walk.file.base if walk.file is not None else 0
    spans += [Span(address + base, len(block), len(block) - 4) for _, address, block in walk.blocks]
    for span in spans:
        if span.at < 0:
            # A direct block's checksum stands behind its head: signature 4, version 1, heap address O, offset.
            span.at = _checksum_of_direct_block(data, span)
    read = set()
    for starts, stops in zip(window._starts, window._stops, strict=True):
        for start, stop in zip(starts.tolist(), stops.tolist(), strict=True):
            read.update(range(start, min(stop, len(data))))
    unique = {(s.address, s.size): s for s in spans if s.at >= 0}
    return Seed(name, data, sorted(read), list(unique.values()))


def _checksum_of_direct_block(data: bytes, span: Span) -> int:
    block = data[span.address : span.address + span.size]
    for at in range(5 + 2, 5 + 8 + 8 + 1):
        if lookup3(block[:at] + bytes(4) + block[at + 4 :]) == int.from_bytes(block[at : at + 4], "little"):
            return at
    return -1


def sign(data: bytearray, span: Span) -> None:
    """Make the checksum of a structure right."""
    if span.address + span.size > len(data):
        return
    at = span.address + span.at
    if span.at == span.size - 4:
        checksum = lookup3(bytes(data[span.address : at]))
    else:
        data[at : at + 4] = bytes(4)
        checksum = lookup3(bytes(data[span.address : span.address + span.size]))
    data[at : at + 4] = checksum.to_bytes(4, "little")


def mutate(seed: Seed, rng: random.Random) -> bytes:
    """Return a damaged copy."""
    data, touched = bytearray(seed.data), []
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        at = rng.choice(seed.read)
        if at >= len(data):
            continue
        action = rng.randrange(10)
        if action <= 2:
            data[at] ^= 1 << rng.randrange(8)
        elif action <= 4:
            _set_field(data, at, seed, rng)
        elif action == 5:
            size = rng.randrange(1, 24)
            data[at : at + size] = rng.randbytes(min(size, len(data) - at))
        elif action == 6:
            other, size = rng.choice(seed.read), rng.choice((4, 8, 16, 40, 200))
            size = min(size, len(data) - max(at, other))
            data[at : at + size] = bytes(data[other : other + size])
        elif action == 7:
            _swap(data, seed, rng)
        elif action == 8 and rng.random() < 0.3:
            del data[at:]
        elif action == 9 and rng.random() < 0.3:
            data[at:at] = rng.randbytes(rng.randrange(1, 9)) if rng.random() < 0.5 else b""
        touched.append(at)
    if rng.random() < 0.85:
        # Spans may nest or follow from one another; all of them are cheap enough where they are few.
        spans = seed.spans if len(seed.spans) < 40 else [s for s in seed.spans if _holds(s, touched)]
        for span in spans:
            sign(data, span)
    return bytes(data)


def _holds(span: Span, touched: list[int]) -> bool:
    return any(span.address <= at < span.address + span.size + 256 for at in touched)


def _set_field(data: bytearray, at: int, seed: Seed, rng: random.Random) -> None:
    """Overwrite a field with a number that is special, near the file's size, or the address of some structure."""
    width = rng.choice((1, 2, 4, 8))
    kind = rng.randrange(4)
    if kind == 0:
        number = rng.choice(INTERESTING)
    elif kind == 1:
        number = len(data) + rng.randrange(-9, 9)
    elif kind == 2 and seed.spans:
        number = rng.choice(seed.spans).address
    else:
        number = rng.choice(seed.read)
    field_bytes = struct.pack("<Q", number & (1 << 64) - 1)[:width]
    data[at : at + width] = field_bytes[: len(data) - at]


def _swap(data: bytearray, seed: Seed, rng: random.Random) -> None:
    a, b = (rng.choice(seed.spans).address if seed.spans else rng.choice(seed.read) for _ in range(2))
    size = min(rng.choice((16, 64, 512)), abs(a - b), len(data) - max(a, b))
    if size > 0:
        data[a : a + size], data[b : b + size] = data[b : b + size], data[a : a + size]


def _run(walk: Walk) -> None:
    todo = walk.start()
    while todo:
        todo += todo.pop()()
    walk.verify()


def answer(data: bytes) -> int:
    """Walk a file; give the number of its refusals. Anything but an answer or a RefmakerError is a defect."""
    walk = Walk(MemoryWindow(data), LIMIT)
    _run(walk)
    tree = resolve(walk, "fuzz")
    for path, dataset in tree.datasets.items():
        storage = dataset.storage
        if isinstance(storage, Chunked):
            index = storage.index
            if len(index) and not (
                (index.offset <= len(data)).all()
                and (index.size <= len(data)).all()
                and (index.offset + index.size <= len(data)).all()
                and (index.cell[1:] > index.cell[:-1]).all()
                and index.cell[0] >= 0
            ):
                raise ArithmeticError(f"{path}: chunks that are not in the file")
        elif (
            isinstance(storage, Contiguous) and storage.offset is not None and storage.offset + storage.size > len(data)
        ):
            raise ArithmeticError(f"{path}: data that are not in the file")
    return len(tree.refusals)


@contextmanager
def limits(seconds: float = SECONDS, memory: int = MEMORY) -> Iterator[None]:
    """Interrupt what takes too long (in processor time), and let allocations fail that take too much."""
    import resource

    def alarm(*_: Any) -> None:
        raise TooSlow

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    before = signal.signal(signal.SIGPROF, alarm)
    resource.setrlimit(resource.RLIMIT_AS, (used + memory, hard))
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        signal.signal(signal.SIGPROF, before)


def run_one(name: str, data: bytes, report: Report, *, paged: bool) -> None:
    """Hold the law against one input."""
    import resource

    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begin = time.process_time()
    try:
        with limits():
            report.refused += bool(answer(data))
            if paged:
                tree_in_rounds(data, 9)
        report.answers += 1
    except RefmakerError as error:
        structure = error.structure or "-"
        report.errors[f"{type(error).__name__}: {structure}"] += 1
    except (Exception, TooSlow, RecursionError) as error:  # noqa: BLE001
        text = f"{type(error).__name__}: {str(error)[:200]}\n{''.join(traceback.format_tb(error.__traceback__)[-4:])}"
        report.failures.append((name, text, data))
    taken = time.process_time() - begin
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - rss) << 10
    report.slowest = max(report.slowest, (taken, name))
    report.largest = max(report.largest, (grown, name))


def studied(corpus: Path | None = None) -> list[Seed]:
    """Return all seeds."""
    files = list(seeds())
    if corpus is not None:
        for path in sorted(p for p in corpus.rglob("*") if p.is_file() and p.stat().st_size < LARGEST_OF_CORPUS):
            files.append((str(path.relative_to(corpus)), path.read_bytes()))
    return [seed for name, data in files if (seed := study(name, data)) is not None]


def fuzz(count: int, number: int, *, seconds: float = float("inf"), corpus: Path | None = None) -> Report:
    """Run `count` mutations; `number` seeds the random numbers."""
    rng, report, originals = random.Random(number), Report(), studied(corpus)
    stop = time.monotonic() + seconds
    for i in range(count):
        if time.monotonic() > stop:
            break
        seed = rng.choice(originals)
        run_one(f"{i} {seed.name}", mutate(seed, rng), report, paged=i % 10 == 0)
    return report


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--corpus", type=Path)
    parser.add_argument("--keep", type=Path, help="folder for the inputs that broke the law")
    arguments = parser.parse_args()
    report = fuzz(arguments.count, arguments.seed, seconds=arguments.seconds, corpus=arguments.corpus)
    print(f"{report.answers} answers, {report.refused} of them with refusals")
    for structure, n in report.errors.most_common():
        print(f"{n:7} {structure}")
    print(f"slowest {report.slowest[0]:.3f} s ({report.slowest[1]})")
    print(f"largest {report.largest[0] / 1e6:.1f} MB more ({report.largest[1]})")
    kinds: dict[str, tuple[int, str, str]] = {}
    for i, (name, text, data) in enumerate(report.failures):
        n, *first = kinds.get(text, (0, name, ""))
        kinds[text] = (n + 1, first[0], "")
        if arguments.keep is not None:
            arguments.keep.mkdir(parents=True, exist_ok=True)
            (arguments.keep / f"{i:05}.h5").write_bytes(data)
    for text, (n, name, _) in sorted(kinds.items(), key=lambda item: -item[1][0]):
        print(f"\n{n} x, first {name}\n{text}")
    print(f"\n{len(report.failures)} failures")
    return 1 if report.failures else 0


if __name__ == "__main__":
    raise SystemExit(main())
