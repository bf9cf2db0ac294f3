"""Manifests in the other Zarr format: xarray must show the same, and what cannot be the same is refused by name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
import pytest

from refmaker.manifest import Manifest, ManifestArray, References, Target
from refmaker.manifest.zarr_conversion import with_zarr_format
from refmaker.replay.filesystem import FileSystem
from refmaker.scanning.scan import scan
from refmaker.zarr.metadata import ArrayMetadata
from tests.kerchunk.making import array, metadata, rows

netCDF4 = pytest.importorskip("netCDF4")
xr = pytest.importorskip("xarray")
zarr = pytest.importorskip("zarr", minversion="3")

from tests.conventions.test_identical import (  # noqa: E402
    MAKERS,
    Fill,
    big_endian,
    compressed,
    coordinates,
    groups,
    plain_numbers,
    plain_strings,
    unlimited,
)

Format = Literal[2, 3]
SIMPLE = (big_endian, compressed, coordinates, groups, unlimited)
"""Of these, every array has an exact form."""


def shown(manifest: Manifest, only: set[str]) -> dict[str, Any]:
    """Return what xarray shows of every group, of the arrays in `only`."""
    kept = replace(manifest, arrays={path: array for path, array in manifest.arrays.items() if path in only})
    found = {}
    for group in manifest.groups:
        store = zarr.storage.FsspecStore(FileSystem(kept, asynchronous=True, skip_instance_cache=True), read_only=True)
        with xr.open_zarr(store, group=group or None, consolidated=False) as data:
            found[group] = data.load()
    return found


def same_fill(a: Any, b: Any) -> bool:
    return a is None or b is None or bool(a == b) or bool(a != a and b != b)


def converted(path: Path, source: Format) -> tuple[Manifest, Manifest]:
    """Convert what is scanned of a file, and make sure that xarray shows the same of what was not refused."""
    made = scan(str(path), zarr_format=source)
    other = with_zarr_format(made, 5 - source)  # type: ignore[arg-type]
    assert other.zarr_format == 5 - source
    assert {"/" + p for p in made.arrays.keys() - other.arrays.keys()} == other.refusals.keys() - made.refusals.keys()
    want, got = shown(made, set(other.arrays)), shown(other, set(other.arrays))
    assert want.keys() == got.keys()
    for group in want:
        xr.testing.assert_identical(want[group], got[group])
        for name in want[group].variables:
            assert same_fill(*(found[group][name].encoding.get("_FillValue") for found in (want, got)))
    return made, other


@pytest.mark.filterwarnings("ignore::xarray.SerializationWarning")
@pytest.mark.filterwarnings("ignore::zarr.errors.ZarrUserWarning")
@pytest.mark.filterwarnings("ignore::zarr.core.dtype.common.UnstableSpecificationWarning")
@pytest.mark.parametrize("source", [2, 3])
@pytest.mark.parametrize("fill", [*MAKERS, plain_numbers, plain_strings], ids=lambda f: f.__name__)
def test_as_before(tmp_path: Path, fill: Fill, source: Format) -> None:
    path = tmp_path / "a.nc"
    maker: Any = h5py.File if fill in (plain_numbers, plain_strings) else netCDF4.Dataset
    with maker(path, "w") as file:
        fill(file)
    made, other = converted(path, source)
    again = with_zarr_format(other, source)
    assert fill not in SIMPLE or not other.refusals
    for name in again.arrays:
        documents = [held.arrays[name].metadata.to_json() for held in (again, made)]
        if source == 3 and len(made.arrays[name].references) == made.arrays[name].cells:
            for document in documents:  # no chunk is missing, so that it does not matter
                del document["fill_value"]
        assert documents[0] == documents[1]
        assert again.arrays[name].attributes == made.arrays[name].attributes
        assert again.arrays[name].references is made.arrays[name].references


def test_most_is_convertible(tmp_path: Path) -> None:
    path = tmp_path / "a.nc"
    with h5py.File(path, "w") as file:
        for name in ("?", "i1", "<u2", ">i4", "<f2", "<f4", ">f8", "<c8", "S5", "V3"):
            file.create_dataset(name.strip("<>"), data=np.zeros(4, name), chunks=(2,))
        file.create_dataset("packed", data=np.arange(100), chunks=(10,), compression="gzip", shuffle=True)
        file.create_dataset("compound", data=np.zeros(3, [("a", "<i4"), ("b", "S2")]), chunks=(2,))
        file.create_dataset("text", data=["a", "bc"])
    for source in (2, 3):
        made = scan(str(path), zarr_format=source)
        other = with_zarr_format(made, 5 - source)
        assert other.refusals == made.refusals
        assert with_zarr_format(made, source) is made


def one(document: dict[str, Any], held: References | None = None, attributes: dict[str, Any] | None = None) -> Manifest:
    held = rows([0, 1], [1, 2], [3, 4]) if held is None else held
    return Manifest(
        document["zarr_format"],
        {"": {"a": 1}},
        {"g/x": ManifestArray(ArrayMetadata.from_json(document), attributes or {}, (2,), held)},
        (Target("u"),),
        sources={"g/x": (0, "/y")},
    )


V2 = metadata((2,)) | {"fill_value": None}
V3 = with_zarr_format(one(V2), 3).arrays["g/x"].metadata.to_json()
PART = rows([1], [2], [4])


@pytest.mark.parametrize(
    ("manifest", "reason"),
    [
        (one(V2, PART), "no fill value"),
        (one(V2 | {"order": "F", "shape": [2, 1], "chunks": [1, 1]}), "Fortran"),
        (one(V2 | {"compressor": {"id": "delta", "dtype": "<i4"}}), "'delta'"),
        (one(V2 | {"filters": [{"id": "made-up"}]}), "'made-up'"),
        (one(V2 | {"filters": ["zlib"]}), "zlib"),
        (one(V2 | {"dtype": "|O"}), "dtype"),
        (one(V2 | {"dtype": "<U3"}), "dtype"),
        (one(V2 | {"dtype": "int32"}), "dtype"),
        (one(V2 | {"dtype": [["a", "<i4", [2]]]}), "dtype"),
        (one(V2 | {"dtype": [["a", ">i4"]]}), "big-endian"),
        (one(V2 | {"fill_value": 1.5}), "fill value 1.5"),
        (one(V2 | {"fill_value": 2**40}), "fill value"),
        (one(V2 | {"fill_value": "NaN"}), "fill value"),
        (one(V2 | {"fill_value": [1]}), "fill value"),
        (one(V2 | {"dtype": "<f4", "fill_value": 0.1}), "fill value 0.1"),
        (one(V2 | {"dtype": "<M8[s]", "fill_value": 0}), "masked"),
        (one(V2 | {"future": 1}), "future"),
        (one(V2, None, {"_ARRAY_DIMENSIONS": ["a", "b"]}), "dimensions"),
        (one(V2, None, {"_ARRAY_DIMENSIONS": "a"}), "dimensions"),
        (one(V2 | {"dtype": "|O", "filters": [{"id": "vlen-utf8"}], "fill_value": "a"}), "'a'"),
        (one(V2 | {"dtype": "|O", "filters": [{"id": "vlen-utf8"}], "fill_value": ""}, PART), "text"),
        (one(V3, PART), "masked"),
        (one(V3, None, {"_FillValue": "x"}), "_FillValue"),
        (one(V3, None, {"_FillValue": 2**40}), "_FillValue"),
        (one(V3 | {"data_type": "int31"}), "data type"),
        (one(V3 | {"data_type": "float"}), "data type"),
        (one(V3 | {"data_type": {"name": "raw_bytes"}}), "data type"),
        (one(V3 | {"data_type": {"name": "raw_bytes", "configuration": {}}}), "data type"),
        (one(V3 | {"codecs": []}), "codecs"),
        (one(V3 | {"codecs": [{"name": "transpose"}, *V3["codecs"]]}), "codec"),
        (one(V3 | {"codecs": [*V3["codecs"], {"name": "lzma", "configuration": {"preset": 1}}]}), "'lzma'"),
        (one(V3 | {"codecs": [*V3["codecs"], {"name": "numcodecs.delta"}]}), "delta"),
        (one(V3 | {"storage_transformers": [{"name": "x"}]}), "storage_transformers"),
        (one(V3 | {"future": {"must_understand": True}}), "future"),
        (one(V3 | {"dimension_names": [None]}), "dimensions"),
        (one(V3 | {"dimension_names": ["x"]}, None, {"_ARRAY_DIMENSIONS": ["x"]}), "_ARRAY_DIMENSIONS"),
    ],
)
def test_what_is_not_exact_is_refused_by_name(manifest: Manifest, reason: str) -> None:
    other = with_zarr_format(manifest, 5 - manifest.zarr_format)  # type: ignore[arg-type]
    assert other.arrays == {}
    assert list(other.refusals) == ["/g/x"]
    assert reason in other.refusals["/g/x"]
    assert other.sources == {}
    assert other.groups == {"": {"a": 1}, "g": {}}
    assert len(manifest.arrays) == 1


def test_masks() -> None:
    """Zarr 2 masks `fill_value`, Zarr 3 the attribute; a missing chunk reads as `fill_value` in both."""
    other = with_zarr_format(one(V2 | {"fill_value": 7}, PART), 3).arrays["g/x"]
    assert (other.metadata.document["fill_value"], other.attributes) == (7, {"_FillValue": 7})
    back = with_zarr_format(one(other.metadata.document, PART, other.attributes), 2).arrays["g/x"]
    assert (back.metadata.document["fill_value"], back.attributes) == (7, {"_FillValue": 7})
    other = with_zarr_format(one(V2 | {"dtype": "<f8", "fill_value": "NaN"}, PART), 3).arrays["g/x"]
    assert (other.metadata.document["fill_value"], other.attributes) == ("NaN", {"_FillValue": "AAAAAAAA+H8="})
    other = with_zarr_format(one(V2, None, {"_FillValue": -5}), 3).arrays["g/x"]
    assert (other.metadata.document["fill_value"], other.attributes) == (0, {"_FillValue": -5})


def test_root_array() -> None:
    held = array((2,), rows([0, 1], [1, 2], [3, 4]))
    held.metadata = ArrayMetadata.from_json(V2)
    other = with_zarr_format(Manifest(2, {}, {"": held}, (Target("u"),)), 3)
    assert list(other.arrays) == [""]
    assert other.groups == {}
