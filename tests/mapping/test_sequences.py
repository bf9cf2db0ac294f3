"""Variable-length sequences, read back by zarr and xarray from the manifest."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import h5py
import netCDF4
import numpy as np
import pytest
import xarray as xr
from h5py import h5d, h5s, h5t

from refmaker.scanning.scan import scan
from tests.mapping.stock import open_array, open_dataset, references


def same(got: Any, expected: Any) -> None:
    """Hold values against h5py's, sequences within sequences too."""
    if isinstance(expected, np.ndarray) and expected.dtype == object:
        assert got.dtype == object
        assert got.shape == expected.shape
        for a, b in zip(got.ravel().tolist(), expected.ravel().tolist(), strict=True):
            same(a, b)
        return
    np.testing.assert_array_equal(got, expected)
    if isinstance(expected, np.ndarray) and expected.dtype.names is None:
        assert got.dtype.newbyteorder("=") == expected.dtype.newbyteorder("=")


@pytest.mark.parametrize("dtype", ["<i4", "<f8", "?", "<u2", "<f2", h5py.enum_dtype({"A": 0, "B": 5}, "i2")])
@pytest.mark.parametrize("options", [{}, {"chunks": (2, 1)}, {"chunks": (2, 2), "compression": "gzip"}])
def test_numbers(tmp_path: Path, dtype: Any, options: dict[str, Any]) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        dataset = file.create_dataset("v", (3, 2), h5py.vlen_dtype(np.dtype(dtype)), **options)
        for i, cell in enumerate([(0, 0), (0, 1), (2, 1)]):
            dataset[cell] = np.arange(i + 1).astype(dtype)
        expected = dataset[...]
    manifest = scan(str(path))
    (line,) = [line for line in manifest.objects if line.path == "/v"]
    assert (line.status, line.codecs_need_refmaker) == ("inlined", True)
    same(open_array(manifest, tmp_path, "v")[...], expected)


def test_nested_and_compound_items(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    pair = np.dtype([("a", "<i2"), ("b", ">f8", (2,))], align=True)
    with h5py.File(path, "w") as file:
        items = np.zeros(3, pair)
        items["a"], items["b"] = [1, 2, 3], [[4, 5], [6, 7], [8, 9]]
        file.create_dataset("pairs", (2,), h5py.vlen_dtype(pair))[1] = items
        inner = np.empty(2, object)
        inner[0], inner[1] = np.array([1, 2], "<i4"), np.array([], "<i4")
        file.create_dataset("nested", (2,), h5py.vlen_dtype(h5py.vlen_dtype("<i4")))[0] = inner
    with h5py.File(path) as file:
        pairs, nested = file["pairs"][...], file["nested"][...]
    manifest = scan(str(path))
    assert manifest.refusals == {}
    got = open_array(manifest, tmp_path, "pairs")[...]
    assert got[0].size == 0
    for name in ("a", "b"):
        np.testing.assert_array_equal(got[1][name], pairs[1][name])
    same(open_array(manifest, tmp_path, "nested")[...], nested)


def test_strings_end_at_their_nul(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("v", (1,), h5py.vlen_dtype(np.dtype("V4")))[0] = np.array([b"ab\0z", b"\0yyy"], "V4")
    content = path.read_bytes()
    opaque = h5t.create(h5t.OPAQUE, 4)
    opaque.set_tag(b"")
    text = h5t.C_S1.copy()
    text.set_size(4)
    assert text.get_strpad() == h5t.STR_NULLTERM
    start = content.index(opaque.encode()[2:6])
    path.write_bytes(content[:start] + text.encode()[2:6] + content[start + 4 :])
    with h5py.File(path) as file:
        expected = file["v"][0].tolist()
    got = open_array(scan(str(path)), tmp_path, "v")[...]
    assert got[0].tolist() == [b"ab", b""]
    assert got[0].tolist() == expected


def test_array_datatypes_of_sequences_and_strings(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        h5d.create(file.id, b"v", h5t.array_create(h5t.vlen_create(h5t.STD_I32LE), (3,)), h5s.create_simple((2,)))
        text = h5t.C_S1.copy()
        text.set_size(h5t.VARIABLE)
        text = h5t.array_create(text, (3,))
        strings = [["a", "", "c"], ["dd", "é", ""]]
        held = [ctypes.create_string_buffer(s.encode()) for row in strings for s in row]
        pointers = np.array([ctypes.addressof(buffer) for buffer in held], "u8").reshape(2, 3)
        h5d.create(file.id, b"s", text, h5s.create_simple((2,))).write(h5s.ALL, h5s.ALL, pointers, text)
    manifest = scan(str(path))
    assert manifest.refusals == {}
    assert open_array(manifest, tmp_path, "s")[...].tolist() == strings
    got = open_array(manifest, tmp_path, "v")[...]
    assert got.shape == (2, 3)
    assert all(item.size == 0 for item in got.ravel())


def test_limits(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("v", (2,), h5py.vlen_dtype("<i4"))[0] = np.arange(100)
    assert "refmaker is installed" in scan(str(path), portable=True).refusals["/v"]
    assert "Zarr 3" in scan(str(path), zarr_format=3).refusals["/v"]
    assert "limit" in scan(str(path), inline_limit=100).refusals["/v"]


def test_as_xarray_shows_them(tmp_path: Path) -> None:
    path = tmp_path / "a.nc"
    with netCDF4.Dataset(path, "w") as file:
        file.createDimension("x", 3)
        ragged = file.createVariable("ragged", file.createVLType(np.int32, "row"), ("x",))
        ragged.units = "m"
        ragged[0] = np.array([1, 2], "i4")
        ragged[2] = np.array([3], "i4")
        file.createVariable("x", "f4", ("x",))[:] = [1, 2, 3]
    manifest = scan(str(path))
    with xr.open_dataset(path, engine="netcdf4") as want, open_dataset(references(manifest, tmp_path)) as got:
        assert got["ragged"].dims == want["ragged"].dims
        assert got["ragged"].attrs == want["ragged"].attrs
        same(got["ragged"].values, want["ragged"].values)
        xr.testing.assert_identical(want["x"].load(), got["x"].load())
