"""The library: scan a file, print the status of every object, open the result with xarray.

python examples/scan_and_open.py FILE [MANIFEST]
"""

from __future__ import annotations

import sys

import xarray as xr

import refmaker


def main(source: str, path: str) -> None:
    """Scan `source`, write the manifest to `path`, show the dataset."""
    manifest = refmaker.scan(source)
    for line in manifest.objects:
        print(f"{line.status:8s} {line.kind:8s} {line.path}" + (f": {line.reason}" if line.reason else ""))
    for name, array in manifest.arrays.items():
        print(
            f"{name}: {len(array.references)} of {array.cells} chunks, {int(array.references.size.sum())} bytes stored"
        )
    manifest.to_json(path)
    with xr.open_dataset("refmaker://", engine="zarr", consolidated=False, storage_options={"fo": path}) as dataset:
        print(dataset)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else sys.argv[1] + ".json")
