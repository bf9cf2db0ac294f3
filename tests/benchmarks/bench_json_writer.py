"""CPU time of the kerchunk JSON writer against building a dict and `ujson.dumps`, in one run.

Both write a file of the same references: one array on a three-dimensional grid, chunks of about 30 kB one after the
other in one target. Runs alternate; the medians are printed, and their ratio.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import ujson

from refmaker.manifest import Manifest, ManifestArray, References, Target
from refmaker.zarr.metadata import ArrayMetadata

URL = "s3://some-bucket/path/to/archive/file_0001.nc"


def make_manifest(refs: int) -> Manifest:
    """Make a manifest of an array with `refs` chunks, of which none is missing."""
    side = round(refs ** (1 / 3))
    grid = (-(-refs // side**2), side, side)
    size = np.random.default_rng(0).integers(20_000, 40_000, refs, dtype="u8")
    offset = np.cumsum(size, dtype="u8") + np.uint64(4096)
    columns = References(np.arange(refs), np.broadcast_to(np.uint8(0), refs), offset, size)
    shape = [extent * 8 for extent in grid]
    metadata = {"zarr_format": 2, "shape": shape, "chunks": [8, 8, 8], "dtype": "<f4", "order": "C"}
    metadata |= {"fill_value": 0, "filters": None, "compressor": None}
    return Manifest(
        2, {"": {}}, {"data": ManifestArray(ArrayMetadata.from_json(metadata), {}, grid, columns)}, (Target(URL),)
    )


def write_dict(manifest: Manifest, path: str) -> None:
    """Write the same references as a dict, as one does without columns."""
    array = manifest.arrays["data"]
    index = [axis.tolist() for axis in np.unravel_index(array.references.cell, array.grid)]
    columns = (*index, array.references.offset.tolist(), array.references.size.tolist())
    refs = {f"data/{i}.{j}.{k}": [URL, offset, size] for i, j, k, offset, size in zip(*columns, strict=True)}
    with open(path, "w") as file:
        file.write(ujson.dumps({"version": 1, "refs": refs}, escape_forward_slashes=False))


def check_equal(folder: str) -> None:
    """Make sure that both write the same references."""
    manifest, paths = make_manifest(20_000), [os.path.join(folder, name) for name in ("ours", "dict")]
    manifest.to_json(paths[0])
    write_dict(manifest, paths[1])
    ours, plain = (json.loads(Path(path).read_text())["refs"] for path in paths)
    if {key: value for key, value in ours.items() if "/." not in key and key[0] != "."} != plain:
        raise SystemExit("the two writers disagree")


def cpu_seconds(function, *arguments) -> float:
    """Return the CPU time of one call, system time included."""
    start = time.process_time()
    function(*arguments)
    return time.process_time() - start


def main() -> None:
    """Run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--refs", type=int, default=1_000_000, help="references to write")
    parser.add_argument("--repeat", type=int, default=5, help="runs of each")
    parser.add_argument("--quick", action="store_true", help="50,000 references, three runs")
    options = parser.parse_args()
    refs, repeat = (50_000, 3) if options.quick else (options.refs, options.repeat)
    manifest = make_manifest(refs)
    with tempfile.TemporaryDirectory() as folder:
        check_equal(folder)
        ours, plain = [], []
        for _ in range(repeat):
            ours.append(cpu_seconds(manifest.to_json, os.path.join(folder, "ours")))
            plain.append(cpu_seconds(write_dict, manifest, os.path.join(folder, "dict")))
        megabytes = os.path.getsize(os.path.join(folder, "ours")) / 1e6
    a, b = statistics.median(ours), statistics.median(plain)
    print(f"{refs:,} references, {megabytes:.1f} MB, medians of {repeat} alternating runs, CPU time")
    print(f"  refmaker      {a:8.3f} s  {a / refs * 1e9:6.0f} ns/reference")
    print(f"  dict + ujson  {b:8.3f} s  {b / refs * 1e9:6.0f} ns/reference")
    print(f"  ratio         {a / b:8.3f}")


if __name__ == "__main__":
    main()
