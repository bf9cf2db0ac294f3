"""Reads of whole arrays through unmodified zarr: stock `reference://` beside `refmaker://`, in turns, in one process.

    python tests/benchmarks/bench_replay.py [--data FOLDER] [--repeat 5] [--cases small,medium,large] [--latency 30]
    python tests/benchmarks/bench_replay.py --quick

Every turn reads the same array by each way, with filesystems made anew: stock, the transparent view, the decoded view,
and `floor`: the same bytes without zarr and without decoding, by ideal requests (merged, all at once, known
beforehand). `decoding` is that floor and behind it the bare decoding of the same chunks, by the library that the
decoded view uses, in as many threads as there are processors: what values cost at least where reading and decoding
do not overlap. `raw` is stock zarr where nothing has to be merged or decoded: the same values from a file that holds
them uncompressed, in chunks as large as those of the decoded view. zarr 3 reads through `FsspecStore` at its default
concurrency, zarr 2 through `fsspec.get_mapper`. What is read is compared with what was written. Latency is that of a
server on the loopback, in a process of its own.

Printed are medians over the turns: seconds, seconds of CPU, requests, bytes beyond those of the chunks; and the ratio
to stock (above 1 is faster), of each turn, and then the median of these. The files are made once, in FOLDER if given.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import hashlib
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import zarr

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from refmaker.ranges import coalesce
from refmaker.replay.decoding import pipeline
from refmaker.replay.filesystem import FileSystem
from tests.benchmarks.latency_server import counted, serving

CASES = {"small": (3000, 5000), "medium": (200, 200_000), "large": (12, 5_500_000), "quick": (60, 500)}
"""Chunks, and float32 values in one: they make chunks of about 8 KB, 300 KB and 8 MB."""

ZARR = int(zarr.__version__.partition(".")[0])

fsspec.register_implementation("refmaker", FileSystem, clobber=True)


@dataclass
class Outcome:
    """What the turns of one way of reading took."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    requests: list[int] = field(default_factory=list)
    bytes: list[int] = field(default_factory=list)


def make(folder: Path, case: str) -> Path:
    """Make a file of HDF5 and its manifest, unless they are there."""
    path = folder / f"{case}.h5"
    if not path.exists():
        import h5py

        import refmaker

        chunks, size = CASES[case]
        rng = np.random.default_rng(0)
        with h5py.File(path, "w") as file:
            data = file.create_dataset("v", (chunks, size), "f4", chunks=(1, size), compression="gzip", shuffle=True)
            for row in range(chunks):
                data[row] = np.round(np.cumsum(rng.normal(size=size)) * 64) / 64
        refmaker.scan(str(path)).to_json(f"{path}.json")
    make_raw(path)
    return path


def make_raw(path: Path) -> None:
    """Make a file of the same values uncompressed, unless it is there."""
    raw, rows = Path(f"{path}.raw"), rows_of(path.stem)
    if raw.exists():
        return
    import h5py

    with h5py.File(path) as file, raw.open("wb") as out:
        for row in range(0, len(file["v"]), rows):
            part = file["v"][row : row + rows]
            out.write(np.pad(part, ((0, rows - len(part)), (0, 0))).tobytes())


def rows_of(case: str) -> int:
    """Return the chunks that make one of the decoded view."""
    chunks, size = CASES[case]
    return min(max((1 << 20) // (4 * size), 1), chunks)


def raw_document_for(path: Path, url: str | None) -> dict[str, Any]:
    """Return a manifest of the same values in a file that holds them uncompressed."""
    chunks, size = CASES[path.stem]
    rows = rows_of(path.stem)
    bytes_of_chunk = rows * size * 4
    refs = {key: value for key, value in document_for(path, url)["refs"].items() if not isinstance(value, list)}
    metadata = json.loads(refs["v/.zarray"]) | {"chunks": [rows, size], "filters": None, "compressor": None}
    refs["v/.zarray"] = json.dumps(metadata)
    for i in range(-(-chunks // rows)):
        refs[f"v/{i}.0"] = [f"{path if url is None else url}.raw", i * bytes_of_chunk, bytes_of_chunk]
    return {"version": 1, "refs": refs}


def document_for(path: Path, url: str | None) -> dict[str, Any]:
    """Return the manifest, with the target at `url`, or as the local file."""
    document: dict[str, Any] = json.loads(Path(f"{path}.json").read_text())
    for reference in document["refs"].values():
        if isinstance(reference, list):
            reference[0] = str(path) if url is None else url
    document.pop("refmaker")
    return document


def array_of(protocol: str, **options: Any) -> Any:
    """Open the array with zarr, by a filesystem made anew."""
    fs = fsspec.filesystem(protocol, asynchronous=ZARR == 3, skip_instance_cache=True, **options)
    if ZARR == 3:
        store = zarr.storage.FsspecStore(fs, read_only=True, path="")
        return zarr.open_group(store, mode="r", zarr_format=2)["v"]
    return zarr.open_group(fs.get_mapper(""), mode="r")["v"]


def ways(path: Path, url: str | None) -> dict[str, Callable[[], Callable[[], Any]]]:
    """Return the ways of reading: each prepares, and gives what is timed."""
    document = document_for(path, url)
    protocol = "file" if url is None else "http"
    stock = {"fo": document, "remote_protocol": protocol}
    if url is not None and ZARR == 3:
        stock["remote_options"] = {"asynchronous": True}

    def reading(protocol: str, **options: Any) -> Callable[[], Callable[[], Any]]:
        def prepare() -> Callable[[], Any]:
            array = array_of(protocol, **options)
            return lambda: array[...]

        return prepare

    return {
        "stock": reading("reference", **stock),
        "transparent": reading("refmaker", fo=document),
        "decoded": reading("refmaker", fo=document, view="decoded"),
        "raw": reading("reference", **{**stock, "fo": raw_document_for(path, url)}),
        "decoding": lambda: decoding(document, path, url),
        "floor": lambda: floor(document, path, url),
    }


def search_paths(document: dict[str, Any]) -> np.ndarray:
    """Return offset and size of every chunk."""
    return np.array([value[1:] for value in document["refs"].values() if isinstance(value, list)])


def decoding(document: dict[str, Any], path: Path, url: str | None) -> Callable[[], Any]:
    """Fetch the bytes of all chunks by ideal requests, then decode them, and do nothing else."""
    metadata = json.loads(document["refs"]["v/.zarray"])
    size = np.dtype(metadata["dtype"]).itemsize * int(np.prod(metadata["chunks"]))
    codec = pipeline([*metadata["filters"], metadata["compressor"]], size)
    assert codec is not None
    data = path.read_bytes()
    chunks = [memoryview(data)[start : start + stored] for start, stored in search_paths(document).tolist()]
    workers = os.cpu_count() or 1
    fetch = floor(document, path, url)

    def decode(part: list[memoryview]) -> None:
        out = np.empty(size, "u1")
        for chunk in part:
            codec.finish([codec.prepare(chunk)], out)

    def work() -> None:
        fetch()
        with ThreadPoolExecutor(workers) as threads:
            list(threads.map(decode, [chunks[number::workers] for number in range(workers)]))

    return work


def floor(document: dict[str, Any], path: Path, url: str | None) -> Callable[[], Any]:
    """Fetch the bytes of all chunks by ideal requests, and nothing else."""
    places = search_paths(document)
    ranges = coalesce(places[:, 0], places.sum(axis=1), gap=65536, block=4 << 20)
    pairs = list(zip(*(column.tolist() for column in ranges), strict=True))

    def local() -> None:
        with path.open("rb") as file:
            for start, stop in pairs:
                os.pread(file.fileno(), stop - start, start)

    async def remote() -> None:
        fs = fsspec.filesystem("http", asynchronous=True, skip_instance_cache=True)
        await asyncio.gather(*(fs._cat_file(url, start, stop) for start, stop in pairs))
        await fs._session.close()

    return local if url is None else lambda: asyncio.run(remote())


def measure(case: str, path: Path, server: str, latency: int | None, repeat: int) -> dict[str, Outcome]:
    """Time all ways in turns."""
    url = None if latency is None else f"{server}/{latency}/{path.name}"
    outcomes = {name: Outcome() for name in ways(path, url)}
    expected = None
    for turn in range(repeat):
        each = list(ways(path, url).items())
        each = each[turn % len(each) :] + each[: turn % len(each)]  # nobody always comes first
        for name, prepare in each:
            work = prepare()
            counted(server)
            cpu, wall = time.process_time(), time.perf_counter()
            values = work()
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            if values is not None:
                found = hashlib.sha256(values).hexdigest()
                expected = expected or found
                if found != expected:
                    sys.exit(f"{case}: {name} reads other values")
            del values, work
            gc.collect()
            seen = counted(server)
            if turn or repeat == 1:  # the first turn warms the caches, of the disk and of imports
                outcome = outcomes[name]
                outcome.wall.append(wall)
                outcome.cpu.append(cpu)
                outcome.requests.append(seen["requests"])
                outcome.bytes.append(seen["bytes"])
    return outcomes


def show(case: str, latency: int | None, path: Path, outcomes: dict[str, Outcome]) -> None:
    """Print a table."""
    document = document_for(path, None)
    sizes = [value[2] for value in document["refs"].values() if isinstance(value, list)]
    where = "local" if latency is None else f"{latency} ms"
    print(f"\n{case}, {where}: {len(sizes)} chunks of {statistics.mean(sizes) / 1e3:,.1f} kB")
    base = outcomes["stock"].wall
    for name, found in outcomes.items():
        ratio = statistics.median(stock / ours for stock, ours in zip(base, found.wall, strict=True))
        extra = statistics.median(found.bytes) / sum(sizes) - 1 if latency is not None else 0.0
        print(
            f"  {name:12s} {statistics.median(found.wall):8.3f} s  cpu {statistics.median(found.cpu):7.3f} s  "
            f"{statistics.median(found.requests):6.0f} requests  {extra:+6.1%}  x{ratio:.2f}"
        )
    for name in ("floor", "decoding", "raw"):
        pairs = zip(outcomes["decoded"].wall, outcomes[name].wall, strict=True)
        ratio = statistics.median(ours / theirs for ours, theirs in pairs)
        print(f"  decoded view to {name}: {ratio:.2f}")


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--cases", default="small,medium,large")
    parser.add_argument("--latency", type=int, default=30)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    if options.quick:
        options.cases, options.repeat, options.latency = "quick", 1, 2
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.data or Path(temporary)
        folder.mkdir(exist_ok=True)
        paths = {case: make(folder, case) for case in options.cases.split(",")}
        with serving(folder) as server:
            for case, path in paths.items():
                for latency in (None, options.latency):
                    show(
                        case, latency, path, measure(case, path, server, latency, options.repeat + (not options.quick))
                    )


if __name__ == "__main__":
    main()
