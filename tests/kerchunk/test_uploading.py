"""Manifests in stores: whole, the head of a set last, and only what has changed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest

import refmaker
from refmaker.errors import OutputError
from refmaker.kerchunk.uploading import upload_bytes, upload_manifest
from refmaker.manifest.manifest import Manifest, ManifestArray, Target
from refmaker.manifest.references import References
from refmaker.zarr.metadata import ArrayMetadata


@pytest.fixture
def store() -> Iterator[Any]:
    memory = fsspec.filesystem("memory")
    yield memory
    memory.store.clear()


def manifest(cells: int) -> Manifest:
    metadata = ArrayMetadata.from_json(
        {
            "zarr_format": 2,
            "shape": [cells],
            "chunks": [1],
            "dtype": "<f4",
            "compressor": None,
            "fill_value": None,
            "order": "C",
            "filters": None,
        }
    )
    cell = np.arange(cells)
    references = References(cell, np.zeros(cells, "u1"), cell.astype("u8") * np.uint64(4), np.full(cells, 4, "u8"))
    array = ManifestArray(metadata, {}, (cells,), references)
    return Manifest(2, {"": {}}, {"x": array}, (Target("s3://b/x.nc", 1 << 30),))


@pytest.mark.parametrize("name", ["m.json", "m.json.gz", "m.parq"])
def test_what_is_written_is_read(store: Any, name: str) -> None:
    size = upload_manifest(manifest(10), f"memory://up/{name}", parquet=name.endswith(".parq"))
    found = refmaker.open_manifest(f"memory://up/{name}")
    found.arrays["x"].references.load()
    assert found.arrays["x"].references.offset.tolist() == [4 * cell for cell in range(10)]
    head = f"/up/{name}/.zmetadata" if name.endswith(".parq") else f"/up/{name}"
    assert store.size(head) == size


def test_only_what_has_changed(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    upload_manifest(manifest(350_000), "memory://up/m.parq", parquet=True)
    written = []
    real = type(store).put_file

    def put(self: Any, local: str, path: str, **options: Any) -> None:
        written.append(path.removeprefix("/up/m.parq/"))
        real(self, local, path, **options)

    monkeypatch.setattr(type(store), "put_file", put)
    upload_manifest(manifest(350_001), "memory://up/m.parq", parquet=True)
    assert written == ["x/refs.3.parq", ".zmetadata"], "the head last"
    upload_manifest(manifest(100), "memory://up/m.parq", parquet=True)
    assert sorted(store.find("/up/m.parq")) == ["/up/m.parq/.zmetadata", "/up/m.parq/x/refs.0.parq"]
    found = refmaker.open_manifest("memory://up/m.parq")
    found.arrays["x"].references.load()
    assert len(found.arrays["x"].references) == 100


def test_a_shard_that_was_damaged_is_written_again(store: Any) -> None:
    upload_manifest(manifest(100), "memory://up/m.parq", parquet=True)
    store.pipe_file("/up/m.parq/x/refs.0.parq", b"")
    upload_manifest(manifest(100), "memory://up/m.parq", parquet=True)
    assert store.size("/up/m.parq/x/refs.0.parq") > 0


def test_where_nothing_can_be_written(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot write 'no-such-protocol://"):
        upload_bytes(b"{}", "no-such-protocol://x/m.json")
