"""Combining measured: an archive of netCDF-4 files beside kerchunk, and many small manifests.

    python tests/benchmarks/bench_combine.py --files /data/W5/*.nc --repeat 3
    python tests/benchmarks/bench_combine.py --manifests 20000
    python tests/benchmarks/bench_combine.py --references 1000000,10000000,50000000
    python tests/benchmarks/bench_combine.py --quick

`--files`: CPU seconds from the files to one JSON manifest, in turns with kerchunk (`SingleHdf5ToZarr`, then
`MultiZarrToZarr`) in one process; the references of both are compared first. `--manifests N`: N JSON manifests of 100
references each are written to a directory, then combined to one; wall and CPU seconds and the peak of resident memory
of a fresh process. `--references N,N`: Parquet sets of 100,000 references each, as many as it takes, combined to one
Parquet set, with the references of the inputs in a temporary file (as the command does it) and in memory; the same.
`--quick` does all in small, to keep the script working.
"""

from __future__ import annotations

import argparse
import gc
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import refmaker
from refmaker.kerchunk.json_writer import iter_json
from refmaker.manifest.manifest import Manifest, ManifestArray, Target
from refmaker.manifest.references import References
from refmaker.zarr.metadata import ArrayMetadata


def with_kerchunk(files: Sequence[str]) -> str:
    """Scan and combine with kerchunk, as its documentation has it."""
    from kerchunk.combine import MultiZarrToZarr
    from kerchunk.hdf import SingleHdf5ToZarr

    scanned = []
    for path in files:
        with open(path, "rb") as source:
            scanned.append(SingleHdf5ToZarr(source, path, inline_threshold=0).translate())
    combined = MultiZarrToZarr(
        scanned, concat_dims=["time"], identical_dims=["lat", "lon"], coo_map={"time": "cf:time"}
    )
    return json.dumps(combined.translate())


def with_refmaker(files: Sequence[str]) -> bytes:
    """Scan and combine with refmaker."""
    return b"".join(iter_json(refmaker.combine(files)))


def compare(files: Sequence[str]) -> int:
    """Compare both outputs; give the number of references. Ends the program when they differ."""
    ours = json.loads(with_refmaker(files))["refs"]
    theirs = json.loads(with_kerchunk(files))["refs"]
    chunks = {key: value for key, value in theirs.items() if isinstance(value, list)}
    for key, value in chunks.items():
        if key.startswith(("lat/", "lon/", "time/")):
            continue  # refmaker has them inlined
        if ours.get(key) != value:
            sys.exit(f"{key} is {ours.get(key)} for refmaker, {value} for kerchunk")
    return len(chunks)


def cpu(work: Callable[[], object]) -> float:
    """Return the CPU seconds that a call takes."""
    gc.collect()
    # kerchunk calls zarr's thread while it holds h5py's lock: a collection there could wait for that lock for ever.
    gc.disable()
    try:
        start = time.process_time()
        work()
        return time.process_time() - start
    finally:
        gc.enable()


def measure_files(files: Sequence[str], repeat: int) -> None:
    """Time both in turns and print a line."""
    chunks = compare(files)
    ours, theirs, alone = [], [], []
    for _ in range(repeat):
        ours.append(cpu(lambda: with_refmaker(files)))
        theirs.append(cpu(lambda: with_kerchunk(files)))
        scanned = [refmaker.scan(path) for path in files]
        alone.append(cpu(lambda scanned=scanned: refmaker.combine(scanned)))  # type: ignore[misc]
    ratio = statistics.median(t / o for t, o in zip(theirs, ours, strict=True))
    print(
        f"{len(files)} files, {chunks:,d} references: refmaker {statistics.median(ours):.3f} s "
        f"(of these {statistics.median(alone):.3f} s combining), kerchunk {statistics.median(theirs):.3f} s, "
        f"ratio {ratio:.1f} [{min(t / o for t, o in zip(theirs, ours, strict=True)):.1f}, "
        f"{max(t / o for t, o in zip(theirs, ours, strict=True)):.1f}]"
    )


def synthetic(number: int) -> Manifest:
    """Make a manifest of 96 references and three inlined coordinates: a day of four variables."""
    arrays = {}
    for name, extent, first in (("time", 24, 24.0 * number), ("lat", 40, 0.0), ("lon", 60, 0.0)):
        data = (np.arange(extent) + first).tobytes()
        arrays[name] = _array(name, (extent,), (extent,), (name,), data)
    for variable in range(4):
        arrays[f"v{variable}"] = _array(f"v{variable}", (24, 40, 60), (1, 40, 60), ("time", "lat", "lon"), None)
    target = Target(f"s3://bucket/archive/2000/day_{number:05d}.nc", 1 << 20, None, 1_700_000_000.0 + number)
    return Manifest(2, {"": {"title": "synthetic"}}, arrays, (target,), history=[f"scanned {target.url}"])


def _array(
    name: str, shape: tuple[int, ...], chunks: tuple[int, ...], dims: tuple[str, ...], data: bytes | None
) -> ManifestArray:
    grid = tuple(-(-extent // chunk) for extent, chunk in zip(shape, chunks, strict=True))
    count = int(np.prod(grid))
    references = References.empty()
    if data is None:
        start = 4096 + 100_000 * int(name[1:])
        references = References(
            np.arange(count),
            np.broadcast_to(np.uint32(0), count),
            np.arange(count, dtype="u8") * np.uint64(4000) + np.uint64(start),
            np.full(count, 3900, "u8"),
        )
    else:
        references.inline = {0: data}
    metadata: dict[str, Any] = {
        "zarr_format": 2,
        "shape": list(shape),
        "chunks": list(chunks),
        "dtype": "<f4" if data is None else "<f8",
        "compressor": {"id": "zlib", "level": 4} if data is None else None,
        "fill_value": None,
        "order": "C",
        "filters": [{"id": "shuffle", "elementsize": 4}] if data is None else None,
        "dimension_separator": ".",
    }
    attributes = {"units": "hours since 2000-01-01" if name == "time" else "1", "_ARRAY_DIMENSIONS": list(dims)}
    return ManifestArray(ArrayMetadata.from_json(metadata), attributes, grid, references)


def measure_manifests(count: int, jobs: int) -> None:
    """Write manifests, have a fresh process combine them, and print a line."""
    with tempfile.TemporaryDirectory() as folder:
        for number in range(count):
            synthetic(number).to_json(str(Path(folder) / f"{number:06d}.json"))
        command = [sys.executable, __file__, "--in-process", folder, "--jobs", str(jobs)]
        print(subprocess.run(command, check=True, capture_output=True, text=True).stdout, end="")


def in_process(folder: str, jobs: int) -> None:
    """Combine the manifests in a folder, and say what that took."""
    paths = sorted(str(path) for path in Path(folder).glob("*.json"))
    refmaker.combine(paths[:2])
    before, start, cpu_start = _peak(), time.perf_counter(), time.process_time()
    manifest = refmaker.combine(paths, jobs=jobs)
    combined, cpu_combined = time.perf_counter() - start, time.process_time() - cpu_start
    manifest.to_json(str(Path(folder) / "all.json"))
    whole = time.perf_counter() - start
    length = manifest.arrays["time"].metadata.document["shape"]
    if length != [24 * len(paths)] or manifest.chunks != 96 * len(paths) + 3:
        sys.exit(f"wrong: {length}, {manifest.chunks}")
    print(
        f"{len(paths):,d} manifests, {manifest.chunks:,d} references, {jobs} job(s): {combined:.2f} s to the manifest "
        f"(CPU {cpu_combined:.2f} s), {whole:.2f} s to JSON; peak {_peak():.0f} MB, {before:.0f} MB before"
    )


def large(number: int) -> Manifest:
    """Make a manifest of 100,000 references: 500 steps of four variables."""
    arrays = {"time": _array("time", (500,), (500,), ("time",), (np.arange(500.0) + 500 * number).tobytes())}
    for variable in range(4):
        arrays[f"v{variable}"] = _array(f"v{variable}", (500, 400, 600), (1, 80, 60), ("time", "lat", "lon"), None)
    target = Target(f"s3://bucket/archive/part_{number:05d}.nc", 1 << 32, None, 1_700_000_000.0 + number)
    return Manifest(2, {"": {"title": "synthetic"}}, arrays, (target,), history=[f"scanned {target.url}"])


def measure_references(counts: Sequence[int]) -> None:
    """Write Parquet sets; have fresh processes combine some of them to one, and print a line for each."""
    with tempfile.TemporaryDirectory() as folder:
        for number in range(-(-max(counts) // 100_000)):
            large(number).to_parquet(str(Path(folder) / f"{number:06d}.parquet"))
        for count in counts:
            for how in ("--spill", "--memory"):
                command = [sys.executable, __file__, "--to-parquet", folder, "--references", str(count), how]
                print(subprocess.run(command, check=True, capture_output=True, text=True).stdout, end="", flush=True)


def to_parquet(folder: str, count: int, *, spill: bool) -> None:
    """Combine Parquet sets of so many references to one, and say what that took."""
    from refmaker.kerchunk.parquet_writer import load_parquet

    paths = sorted(str(path) for path in Path(folder).glob("[0-9]*.parquet"))[: -(-count // 100_000)]
    out = str(Path(folder) / "all.parquet")
    refmaker.combine(paths[:1]).to_parquet(out)
    before, start, cpu_start = _peak(), time.perf_counter(), time.process_time()
    combined = refmaker.combine(paths, spill=folder if spill else None)
    made = time.perf_counter() - start
    combined.to_parquet(out)
    whole, cpu_whole = time.perf_counter() - start, time.process_time() - cpu_start
    peak = _peak()
    found = load_parquet(out)
    if found.chunks != 100_000 * len(paths) + 1:
        sys.exit(f"wrong: {found.chunks} references")
    print(
        f"{found.chunks:,d} references of {len(paths)} Parquet sets to one, "
        f"{'in a temporary file' if spill else 'in memory'}: {whole:.1f} s ({made:.1f} s to the manifest), "
        f"CPU {cpu_whole:.1f} s; peak {peak:.0f} MB, {before:.0f} MB before"
    )


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def quick() -> None:
    """Run both over little."""
    import netCDF4

    with tempfile.TemporaryDirectory() as folder:
        files = []
        for number in range(3):
            path = Path(folder) / f"{number}.nc"
            files.append(str(path))
            with netCDF4.Dataset(path, "w") as file:
                for name, extent in (("time", None), ("lat", 4), ("lon", 5)):
                    file.createDimension(name, extent)
                time_of = file.createVariable("time", "f8", ("time",))
                time_of.units = "hours since 2000-01-01"
                time_of[:] = np.arange(4) + 4 * number
                file.createVariable("lat", "f8", ("lat",))[:] = np.arange(4)
                file.createVariable("lon", "f8", ("lon",))[:] = np.arange(5)
                made = file.createVariable("x", "f4", ("time", "lat", "lon"), chunksizes=(2, 4, 5), zlib=True)
                made[:] = np.arange(80).reshape(4, 4, 5)
        measure_files(files, 1)
    measure_manifests(20, 1)
    measure_references([200_000])


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", nargs="*", default=[])
    parser.add_argument("--manifests", type=int)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--references", type=lambda text: [int(one) for one in text.split(",")], default=[])
    parser.add_argument("--in-process")
    parser.add_argument("--to-parquet")
    parser.add_argument("--spill", action="store_true")
    parser.add_argument("--memory", action="store_true")
    options = parser.parse_args()
    if options.to_parquet:
        to_parquet(options.to_parquet, options.references[0], spill=options.spill)
        return
    if options.in_process:
        in_process(options.in_process, options.jobs)
    if options.quick:
        quick()
    if options.files:
        measure_files(options.files, options.repeat)
    if options.manifests:
        measure_manifests(options.manifests, options.jobs)
    if options.references:
        measure_references(options.references)


if __name__ == "__main__":
    main()
