"""References and documents in a session; what tells that a file has changed."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from refmaker import Target
from refmaker.bridges.icechunk_writing import ArrayWriter, Located, array_document, checksum, group_document
from refmaker.errors import OutputError
from refmaker.manifest.manifest import ManifestArray
from refmaker.manifest.references import References
from refmaker.zarr.metadata import ArrayMetadata

DOCUMENT = {
    "zarr_format": 3,
    "node_type": "array",
    "shape": [6],
    "data_type": "int32",
    "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [1]}},
    "chunk_key_encoding": {"name": "v2", "configuration": {"separator": "."}},
    "fill_value": -1,
    "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}],
    "dimension_names": ["x"],
    "storage_transformers": [],
}


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (Target("a", etag='"1f"', mtime=1.5), '"1f"'),
        (Target("a", etag='W/"1f"', mtime=1.5), dt.datetime(1970, 1, 1, 0, 0, 2, tzinfo=dt.UTC)),
        (Target("a", mtime=3.0), dt.datetime(1970, 1, 1, 0, 0, 3, tzinfo=dt.UTC)),
        (Target("a", size=4), None),
        (Target("a", etag='W/"1f"'), None),
    ],
)
def test_what_tells_a_change(target: Target, expected: object) -> None:
    assert checksum(target) == expected


def test_chunk_keys_are_spelt_as_icechunk_spells_them() -> None:
    found = array_document(ArrayMetadata.from_json(DOCUMENT), {"units": "K"})
    assert found["chunk_key_encoding"] == {"name": "default", "configuration": {"separator": "/"}}
    assert found["attributes"] == {"units": "K"}


class Store:
    """A store that takes nothing."""

    def set_virtual_refs(self, path: str, specs: Any) -> list[tuple[int, ...]]:
        return [(1,)]

    set_virtual_refs_arr = set_virtual_refs


@pytest.mark.parametrize("count", [1, 6])
def test_references_that_are_not_taken_are_an_error(count: int) -> None:
    """They would read as fill values."""
    pytest.importorskip("icechunk", reason="Icechunk needs Python 3.12 and the extra of its name")
    store = Store()
    store.set_virtual_refs_arr = lambda *args, **options: [(1,)]  # type: ignore[method-assign]
    cells = np.arange(count)
    references = References(cells, np.zeros(count, "u1"), np.zeros(count, "u8"), np.full(count, 4, "u8"))
    array = ManifestArray(ArrayMetadata.from_json(DOCUMENT), {}, (6,), references)
    writer = ArrayWriter(store, "x", array, {0: Located("file:///etc/passwd", None, None)}, (0,))
    with pytest.raises(OutputError, match="does not take"):
        writer.write(references)


def test_documents_read_back(tmp_path: Path) -> None:
    pytest.importorskip("icechunk", reason="Icechunk needs Python 3.12 and the extra of its name")
    import icechunk

    from refmaker.bridges.icechunk_writing import read_document, write_document

    store = icechunk.Repository.create(icechunk.in_memory_storage()).writable_session("main").store
    assert read_document(store, "a") is None
    write_document(store, "", group_document({}))
    write_document(store, "a", group_document({"n": 1}))
    assert read_document(store, "a") == {"zarr_format": 3, "node_type": "group", "attributes": {"n": 1}}


def test_a_whole_file_of_unknown_size() -> None:
    pytest.importorskip("icechunk", reason="Icechunk needs Python 3.12 and the extra of its name")
    references = References.empty()
    references.whole[0] = 0
    array = ManifestArray(ArrayMetadata.from_json(DOCUMENT), {}, (6,), references)
    writer = ArrayWriter(Store(), "x", array, {0: Located("s3://b/a", None, None)}, (0,))
    with pytest.raises(OutputError, match="whole file"):
        writer.write(references)
