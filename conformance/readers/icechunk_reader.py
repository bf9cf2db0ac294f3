"""Icechunk: manifests brought in by VirtualiZarr as virtual references, and read back."""

from __future__ import annotations

from typing import Any

import icechunk
import virtualizarr
import zarr
from serving import Keys, Values, answer_with
from virtualizarr.parsers import KerchunkJSONParser, KerchunkParquetParser
from virtualizarr_reader import REGISTRY


def imported(request: dict[str, Any], group: str | None) -> Any:
    parser = (KerchunkParquetParser if request["parquet"] else KerchunkJSONParser)(group=group, fs_root="file:///")
    url = f"file://{request['manifest']}"
    opened = virtualizarr.open_virtual_dataset(
        url, registry=REGISTRY, parser=parser, loadable_variables=[], decode_times=False
    )
    prefix = url.rpartition("/")[0] + "/"
    config = icechunk.RepositoryConfig.default()
    config.set_virtual_chunk_container(
        icechunk.VirtualChunkContainer(prefix, icechunk.local_filesystem_store(prefix.removeprefix("file://")))
    )
    repository = icechunk.Repository.create(
        icechunk.in_memory_storage(), config, authorize_virtual_chunk_access={prefix: None}
    )
    session = repository.writable_session("main")
    opened.vz.to_icechunk(session.store)
    return session.store


def open_manifest(request: dict[str, Any]) -> tuple[Values, Keys]:
    def values(path: str) -> Any:
        group, _, name = path.rpartition("/")
        return zarr.open_group(imported(request, group or None), mode="r")[name][...]

    return values, None


if __name__ == "__main__":
    icechunk.set_logs_filter("error")
    answer_with(open_manifest, "icechunk", "virtualizarr", "zarr")
