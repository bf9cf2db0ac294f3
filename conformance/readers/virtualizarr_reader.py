"""VirtualiZarr's parsers of kerchunk JSON and Parquet; what they make is read as the Zarr store that it is."""

from __future__ import annotations

from typing import Any

import zarr
from obspec_utils.registry import ObjectStoreRegistry
from obstore.store import LocalStore
from serving import Keys, Values, answer_with
from virtualizarr.parsers import KerchunkJSONParser, KerchunkParquetParser

REGISTRY = ObjectStoreRegistry({"file://": LocalStore()})


def parsed(request: dict[str, Any], group: str | None = None) -> Any:
    parser = (KerchunkParquetParser if request["parquet"] else KerchunkJSONParser)(group=group, fs_root="file:///")
    return parser(f"file://{request['manifest']}", REGISTRY)


def open_manifest(request: dict[str, Any]) -> tuple[Values, Keys]:
    def values(path: str) -> Any:
        group, _, name = path.rpartition("/")
        return zarr.open_group(parsed(request, group or None), mode="r", zarr_format=3)[name][...]

    return values, None


if __name__ == "__main__":
    answer_with(open_manifest, "virtualizarr", "zarr", "obstore")
