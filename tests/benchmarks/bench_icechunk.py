"""How long a commit to Icechunk takes, and how much memory: references to as many files as asked for.

    python -m tests.benchmarks.bench_icechunk [--references 1000000] [--files 100]

One array, in a repository of this machine. Each figure is printed as a line.
The repository is opened again and its chunks are counted, so that a figure stands for references that are there.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time

import numpy as np


def manifest_of(references: int, files: int) -> object:
    """Return a manifest with one array, a part of whose chunks lies in each file."""
    import refmaker
    from refmaker.manifest.manifest import Manifest, ManifestArray
    from refmaker.zarr.metadata import ArrayMetadata

    metadata = ArrayMetadata.from_json(
        {
            "zarr_format": 3,
            "node_type": "array",
            "shape": [references],
            "data_type": "uint8",
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [1]}},
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
            "fill_value": 0,
            "codecs": [{"name": "bytes"}],
            "dimension_names": ["x"],
        }
    )
    cell = np.arange(references)
    rows = refmaker.References(
        cell, cell * files // references, (cell * 640).astype("u8"), np.full(references, 1, "u8")
    )
    targets = [
        refmaker.Target(f"s3://bucket/data/{at}.nc", size=640 * references, etag=f'"{at:032x}"') for at in range(files)
    ]
    return Manifest(3, {"": {}}, {"a": ManifestArray(metadata, {}, (references,), rows)}, targets)


def memory() -> float:
    """Return the peak of the memory of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Parse the command line, commit, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--references", type=int, default=1_000_000)
    parser.add_argument("--files", type=int, default=100)
    options = parser.parse_args()
    import icechunk

    from refmaker.bridges.icechunk import commit, open_repository

    icechunk.set_logs_filter("error")
    manifest = manifest_of(options.references, options.files)
    with tempfile.TemporaryDirectory() as folder:
        before, start, cpu = memory(), time.perf_counter(), time.process_time()
        report = commit(manifest, folder, storage_options={"anon": True})  # type: ignore[arg-type]
        took, used = time.perf_counter() - start, time.process_time() - cpu
        print(f"{report.chunks} references to {report.files} files: {took:.2f} s, {used:.2f} s CPU")
        print(f"peak memory {memory():.0f} MB, {before:.0f} MB before")
        session = open_repository(folder, storage_options={"anon": True}).readonly_session("main")
        counts = [file.num_chunk_refs for file in open_repository(folder).list_manifest_files(session.snapshot_id)]
        print(f"{sum(counts)} in {len(counts)} manifests of the repository")


if __name__ == "__main__":
    main()
