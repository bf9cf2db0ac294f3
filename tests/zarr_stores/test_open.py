"""Which urls are those of stores."""

from __future__ import annotations

from pathlib import Path

import pytest

from refmaker.zarr_stores.open import looks_like_store, open_store


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("s3://b/a.zarr", True),
        ("s3://b/a.zarr/g/x", True),
        ("https://h/store/", True),
        ("https://h/a.ome.zarr?x=1", True),
        ("s3://b/a.nc", False),
        ("a.zarr", False),
        ("zip://a.zarr::s3://b/a.zip", False),
        ("s3://b/a.zarr.zip", False),
    ],
)
def test_looks_like_store(url: str, told: bool) -> None:
    assert looks_like_store(url) is told


def test_no_store(tmp_path: Path) -> None:
    assert open_store(str(tmp_path), None) is None
    assert open_store(str(tmp_path / "a.nc"), None) is None
    assert open_store("s3://b/a.nc", None) is None
