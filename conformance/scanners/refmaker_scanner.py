"""refmaker's scan, read through `refmaker://` and zarr."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "readers"))

import zarr
from serving import Keys, Values, answer_with
from zarr.storage import FsspecStore

import refmaker


def scan(request: dict[str, Any]) -> tuple[Values, Keys]:
    manifest = refmaker.scan(request["manifest"])
    files = refmaker.FileSystem(manifest, skip_instance_cache=True, attempts=1, asynchronous=True)
    store = FsspecStore(files, read_only=True, path="")
    return lambda path: zarr.open_array(store, path=path, mode="r")[...], None


if __name__ == "__main__":
    answer_with(scan, "refmaker", "zarr")
