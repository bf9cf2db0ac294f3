"""fsspec's `reference://`, as it is when nobody sets anything, under zarr."""

from __future__ import annotations

from typing import Any

import fsspec
import zarr
from serving import Keys, Values, answer_with
from zarr.storage import FsspecStore


def open_manifest(request: dict[str, Any]) -> tuple[Values, Keys]:
    options = {"fo": request["manifest"], "remote_protocol": "file", "skip_instance_cache": True}
    files = fsspec.filesystem("reference", **options)
    store = FsspecStore(
        fsspec.filesystem("reference", **options, asynchronous=True, remote_options={"asynchronous": True}),
        read_only=True,
        path="",
    )

    def keys(key: str) -> bytes | None:
        try:
            return files.cat_file(key)
        except FileNotFoundError:
            return None

    # asked for anything but chunks and Zarr 2 metadata, a Parquet set raises ValueError: it has to be told what it is
    version = 2 if request["parquet"] else None
    return lambda path: zarr.open_array(store, path=path, mode="r", zarr_format=version)[...], keys


if __name__ == "__main__":
    answer_with(open_manifest, "fsspec", "zarr")
