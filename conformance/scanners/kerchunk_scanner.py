"""kerchunk's SingleHdf5ToZarr with its defaults; the references are read through fsspec and zarr."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "readers"))

import fsspec
import zarr
from kerchunk.hdf import SingleHdf5ToZarr
from serving import Keys, Values, answer_with
from zarr.storage import FsspecStore


def scan(request: dict[str, Any]) -> tuple[Values, Keys]:
    os.chdir(Path(request["manifest"]).parent)
    references = SingleHdf5ToZarr(request["manifest"]).translate()
    options = {"remote_protocol": "file", "asynchronous": True, "remote_options": {"asynchronous": True}}
    files = fsspec.filesystem("reference", fo=references, skip_instance_cache=True, **options)
    store = FsspecStore(files, read_only=True, path="")
    return lambda path: zarr.open_array(store, path=path, mode="r")[...], None


if __name__ == "__main__":
    answer_with(scan, "kerchunk", "h5py", "fsspec", "zarr")
