"""refmaker's `refmaker://`, under zarr."""

from __future__ import annotations

from typing import Any

import zarr
from serving import Keys, Values, answer_with
from zarr.storage import FsspecStore

import refmaker


def open_manifest(request: dict[str, Any]) -> tuple[Values, Keys]:
    options = {"skip_instance_cache": True, "attempts": 1, "timeout": 10}
    files = refmaker.FileSystem(request["manifest"], **options)
    store = FsspecStore(refmaker.FileSystem(request["manifest"], **options, asynchronous=True), read_only=True, path="")

    def keys(key: str) -> bytes | None:
        try:
            return files.cat_file(key)
        except FileNotFoundError:
            return None

    return lambda path: zarr.open_array(store, path=path, mode="r")[...], keys


if __name__ == "__main__":
    answer_with(open_manifest, "refmaker", "zarr")
