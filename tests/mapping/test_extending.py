"""Variables shorter than their unlimited dimension: what netCDF4 shows beyond them is what zarr reads."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any, Literal

import h5py
import netCDF4
import numpy as np
import pytest

from refmaker.conventions.default_fill import default_fill
from refmaker.scanning.scan import scan
from refmaker.verification.verify import verify
from tests.mapping.stock import open_array

pytestmark = pytest.mark.filterwarnings("ignore:Numcodecs codecs")


def write(path: Path, chunks: dict[int, bytes], *, dtype: str = "<i4", short: int = 6, **options: Any) -> None:
    """Write a dimension of 10 and a variable of fewer elements, its chunks of 4 by hand."""
    with h5py.File(path, "w") as file:
        time = file.create_dataset("time", (10,), maxshape=(None,), chunks=(4,), dtype="i4")
        time[...] = range(10)
        time.make_scale("time")
        shown = file.create_dataset("v", (short,), maxshape=(None,), chunks=(4,), dtype=dtype, **options)
        for start, data in chunks.items():
            shown.id.write_direct_chunk((start,), zlib.compress(data) if options.get("compression") else data)
        shown.dims[0].attach_scale(time)


def as_netcdf4_shows(path: Path) -> np.ndarray:
    with netCDF4.Dataset(path) as file:
        file.set_auto_maskandscale(False)
        return np.asarray(file["v"][:])


@pytest.mark.parametrize(
    ("stored", "options", "fill", "zarr_format"),
    [
        ((0, 4), {}, None, 2),
        ((0, 4), {"compression": "gzip"}, None, 3),
        ((0, 4), {"fletcher32": True}, 7, 2),
        ((0, 4), {}, 0, 3),
        ((0,), {"compression": "gzip"}, None, 2),
        ((4,), {}, None, 3),
        ((4,), {"compression": "gzip"}, 7, 2),
        ((), {}, None, 2),
        ((), {}, 7, 3),
    ],
)
def test_bytes_beyond_the_dataset_are_not_shown(
    tmp_path: Path, stored: tuple[int, ...], options: dict[str, Any], fill: int | None, zarr_format: Literal[2, 3]
) -> None:
    path = tmp_path / "a.nc"
    data = {0: np.arange(1, 5, dtype="<i4").tobytes(), 4: np.array([5, 6, 999, 998], "<i4").tobytes()}
    if options.get("fletcher32"):
        data = {at: block + fletcher32(block) for at, block in data.items()}
    write(path, {at: data[at] for at in stored}, fillvalue=fill, **options)
    expected = as_netcdf4_shows(path)
    assert expected[6:].tolist() == [-2147483647 if fill is None else fill] * 4
    manifest = scan(str(path), zarr_format=zarr_format)
    np.testing.assert_array_equal(open_array(manifest, tmp_path, "v")[...], expected)
    assert {array.status for array in verify(manifest, sample=None).arrays} == {"same"}


def fletcher32(data: bytes) -> bytes:
    first = second = 0
    for word in np.frombuffer(data, ">u2").tolist():
        first = (first + word) % 65535
        second = (second + first) % 65535
    return (second << 16 | first).to_bytes(4, "little")


@pytest.mark.parametrize("dtype", sorted(set(netCDF4.default_fillvals) - {"S1", "c8", "c16"}))
def test_defaults_are_those_of_netcdf(tmp_path: Path, dtype: str) -> None:
    found = default_fill(np.dtype(dtype))
    assert found is not None
    assert found[()] == np.dtype(dtype).type(netCDF4.default_fillvals[dtype])
    path = tmp_path / "a.nc"
    write(path, {0: np.ones(4, dtype).tobytes()}, dtype=dtype, short=3)
    shown = open_array(scan(str(path)), tmp_path, "v")[...]
    np.testing.assert_array_equal(shown, as_netcdf4_shows(path))
    assert shown[:4].tolist() == [1, 1, 1, np.dtype(dtype).type(netCDF4.default_fillvals[dtype])]


def test_no_variable_at_all_was_written(tmp_path: Path) -> None:
    path = tmp_path / "a.nc"
    write(path, {}, short=0)
    np.testing.assert_array_equal(open_array(scan(str(path)), tmp_path, "v")[...], as_netcdf4_shows(path))


def test_padding_that_is_the_fill_value_stays_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.nc"
    write(path, {0: np.arange(4, dtype="<i4").tobytes(), 4: np.array([5, 6, 7, 7], "<i4").tobytes()}, fillvalue=7)
    references = scan(str(path)).arrays["v"].references
    assert references.cell.tolist() == [0, 1]
    assert 0 not in references.inline
    assert 1 not in references.inline


def test_what_is_too_much_for_the_manifest_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.nc"
    write(path, {0: np.ones(4, "<i4").tobytes(), 4: np.ones(4, "<i4").tobytes()})
    manifest = scan(str(path), inline_limit=8)
    assert "beyond the dataset" in manifest.refusals["/v"]


def test_bytes_beyond_that_libhdf5_alone_decodes_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.nc"
    dtype = np.dtype([("a", "i1"), ("b", "<f4")], align=True)
    with h5py.File(path, "w") as file:
        time = file.create_dataset("time", (6,), maxshape=(None,), chunks=(4,), dtype="i4")
        time.make_scale("time")
        shown = file.create_dataset("v", (2, 3000), maxshape=(None, 3000), chunks=(4, 3000), dtype=dtype)
        shown.id.write_direct_chunk((0, 0), np.ones((4, 3000), dtype).tobytes())
        shown.dims[0].attach_scale(time)
    manifest = scan(str(path), inline_limit=1000)
    assert "v" not in manifest.arrays
    assert "beyond the dataset" in manifest.refusals["/v"]
