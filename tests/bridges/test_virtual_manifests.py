"""Virtual datasets as manifests: loaded variables too, of any kind."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

pytest.importorskip("virtualizarr", reason="VirtualiZarr needs Python 3.12 and the extra of its name")

import xarray as xr
from virtualizarr.manifests import ChunkManifest, ManifestArray
from virtualizarr.manifests.utils import create_v3_array_metadata

from refmaker.bridges.virtual_manifests import manifest_of_store, manifest_of_virtual
from refmaker.errors import Unsupported
from tests.bridges.conftest import QUIET

pytestmark = [pytest.mark.filterwarnings(line) for line in QUIET]


def virtual(shape: tuple[int, ...], chunks: tuple[int, ...], entries: dict[str, Any], **options: Any) -> ManifestArray:
    metadata = create_v3_array_metadata(shape, np.dtype("i4"), chunks, **options)
    grid = tuple(-(-length // chunk) for length, chunk in zip(shape, chunks, strict=True))
    return ManifestArray(metadata, ChunkManifest(entries, shape=grid))


def test_chunks_of_every_kind() -> None:
    array = virtual(
        (4, 2),
        (1, 2),
        {
            "0.0": {"path": "file:///data/a b.nc", "offset": 8, "length": 8},
            "1.0": {"path": "s3://bucket/b", "offset": 16, "length": 8},
            "3.0": {"path": "", "offset": 0, "length": 8, "data": b"12345678"},
        },
    )
    manifest = manifest_of_virtual(xr.Dataset({"a": (("y", "x"), array, {"units": "K"})}, attrs={"title": "t"}))
    found = manifest.arrays["a"]
    assert [target.url for target in manifest.targets] == ["/data/a b.nc", "s3://bucket/b"]
    assert [found.references.at(cell) for cell in range(4)] == [(0, 8, 8), (1, 16, 8), None, b"12345678"]
    assert found.attributes == {"units": "K"}
    assert found.metadata.dimension_names({}) == ["y", "x"]
    assert manifest.groups == {"": {"title": "t"}}


@pytest.mark.parametrize(
    "values",
    [
        np.arange(3, dtype=">i2"),
        np.array([1.5, np.nan, np.inf]),
        np.array(["a", "", "é"], object),
        np.array(["2000-01-01", "2000-01-02", "NaT"], "M8[ns]"),
        np.array([True, False, True]),
    ],
)
def test_loaded_variables_are_kept(values: np.ndarray) -> None:
    dataset = xr.Dataset({"a": ("x", values, {"long_name": "a"})}, {"x": [1, 2, 3]})
    with xr.open_dataset(manifest_of_virtual(dataset), engine="refmaker") as found:
        np.testing.assert_array_equal(found["a"].values, values)
        assert found["a"].attrs["long_name"] == "a"
        assert list(found.indexes) == ["x"]


def test_coordinates_are_coordinates_again() -> None:
    array = virtual((2,), (2,), {"0": {"path": "s3://bucket/b", "offset": 0, "length": 8}})
    dataset = xr.Dataset({"a": ("x", array)}).assign_coords(b=("x", array))
    with xr.open_dataset(manifest_of_virtual(dataset), engine="refmaker") as found:
        assert set(found.coords) == {"b"}


@pytest.mark.parametrize("value", [math.nan, object()])
def test_attributes_that_json_has_not(value: object) -> None:
    with pytest.raises(Unsupported, match="JSON"):
        manifest_of_virtual(xr.Dataset(attrs={"a": value}))


def test_a_scalar() -> None:
    array = virtual((), (), {"c": {"path": "s3://bucket/b", "offset": 4, "length": 4}})
    from virtualizarr.manifests import ManifestGroup

    found = manifest_of_store(ManifestGroup(arrays={"a": array}, attributes={"n": np.int64(3)}))
    assert found.arrays["a"].references.at(0) == (0, 4, 4)
