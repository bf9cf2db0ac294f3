from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import zarr

from refmaker.zarr.consolidated import consolidated_document, consolidated_key


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_what_zarr_consolidates(tmp_path: Path, zarr_format: Any) -> None:
    root = zarr.open_group(tmp_path, mode="w", zarr_format=zarr_format)
    root.attrs["title"] = "air"
    root.create_group("a/b").create_array("t", shape=(3,), chunks=(2,), dtype="f4")
    documents = {".zgroup", ".zarray", ".zattrs"} if zarr_format == 2 else {"zarr.json"}
    nodes: dict[str, dict[str, Any]] = {}
    for file in sorted(tmp_path.rglob("*")):
        if file.name in documents:
            folder = file.parent.relative_to(tmp_path).as_posix()
            nodes.setdefault("" if folder == "." else folder, {})[file.name] = json.loads(file.read_text())
    made = consolidated_document(zarr_format, nodes)
    (tmp_path / consolidated_key(zarr_format)).write_text(json.dumps(made))
    found = zarr.open_consolidated(tmp_path, zarr_format=zarr_format)
    assert found.metadata.consolidated_metadata is not None
    assert found["a/b/t"].shape == (3,)
    assert dict(found.attrs) == {"title": "air"}
    assert sorted(found.metadata.consolidated_metadata.flattened_metadata) == ["a", "a/b", "a/b/t"]
