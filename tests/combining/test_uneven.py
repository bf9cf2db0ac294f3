"""Chunks of different lengths, combined where they are: against xarray on the files."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest

import refmaker
from refmaker.combining.records import CombineError
from refmaker.errors import FormatError, ManifestError
from refmaker.path_filter import PathFilter
from refmaker.serve.subset import subset
from refmaker.verification.verify import verify

netCDF4 = pytest.importorskip("netCDF4")
xr = pytest.importorskip("xarray")
zarr = pytest.importorskip("zarr", minversion="3")
pytestmark = pytest.mark.filterwarnings("ignore:Numcodecs codecs are not")

Spec = tuple[int, Any, tuple[int, int]]


def _file(path: Path, number: int, spec: Spec, *, dtype: str = "<i2", width: int = 7, fill: Any = None) -> str:
    rows, compressed, chunks = spec
    with netCDF4.Dataset(path, "w") as file:
        file.createDimension("time", None)
        file.createDimension("y", width)
        time = file.createVariable("time", "f8", ("time",))
        time.units = "days since 2000-01-01"
        time[:] = np.arange(rows) + 400 * number
        endian = "big" if dtype[0] == ">" else "little"
        v = file.createVariable(
            "v", np.dtype(dtype), ("time", "y"), zlib=compressed, shuffle=bool(compressed), chunksizes=chunks,
            endian=endian, fill_value=fill,
        )  # fmt: skip
        v[:] = np.random.default_rng(number).integers(0, 100, (rows, width))
    return str(path)


def _files(tmp_path: Path, specs: Sequence[Spec], **options: Any) -> list[str]:
    return [_file(tmp_path / f"{n}.nc", n, spec, **options) for n, spec in enumerate(specs)]


def _wanted(files: Sequence[str]) -> Any:
    parts = [xr.open_dataset(one, engine="netcdf4").load() for one in files]
    options = {"data_vars": "minimal", "coords": "minimal", "compat": "override", "combine_attrs": "override"}
    return xr.concat(parts, "time", join="exact", **options)


def _check(manifest: Any, files: Sequence[str]) -> None:
    with xr.open_dataset(manifest, engine="refmaker") as opened:
        xr.testing.assert_identical(opened.load().drop_attrs(deep=False), _wanted(files).drop_attrs(deep=False))


def _grid(manifest: Any, path: str = "v") -> Any:
    document = manifest.arrays[path].metadata.document
    return document["chunk_grid"]["name"], document["codecs"][0]["name"]


CROP = ("rectilinear", "refmaker.crop")
CASES: dict[str, tuple[list[Spec], tuple[str, str]]] = {
    "one chunk a month": ([(31, True, (31, 7)), (28, True, (28, 7)), (31, True, (31, 7))], ("rectilinear", "bytes")),
    "leap years": ([(366, True, (366, 7)), (365, True, (365, 7)), (365, True, (365, 7))], ("rectilinear", "bytes")),
    "padded at the last axis": ([(31, True, (31, 4)), (28, True, (28, 4))], ("rectilinear", "bytes")),
    "partial chunks": ([(31, True, (10, 7)), (28, True, (10, 7)), (31, True, (10, 7))], CROP),
    "partial on both axes": ([(31, True, (10, 4)), (28, True, (10, 4))], CROP),
    "lengths change, padded": ([(31, True, (31, 4)), (28, True, (10, 4)), (5, True, (3, 4))], CROP),
    "uncompressed": ([(31, False, (10, 7)), (28, False, (12, 7)), (3, False, (31, 7))], ("rectilinear", "bytes")),
    "uncompressed, padded columns": ([(31, False, (10, 4)), (28, False, (12, 4))], ("rectilinear", "bytes")),
    "default chunks of 512 rows": ([(12, False, (512, 7))] * 3, ("regular", "bytes")),
    "only the last is partial": ([(20, True, (10, 7)), (15, True, (10, 7))], ("regular", "bytes")),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("dtype", ["<i2", ">f4"])
def test_archives_that_people_have(tmp_path: Path, name: str, dtype: str) -> None:
    specs, grid = CASES[name]
    files = _files(tmp_path, specs, dtype=dtype)
    made = refmaker.combine_with_report(files, zarr_format=3)
    _check(made.manifest, files)
    assert _grid(made.manifest) == grid
    noted = any("different lengths" in note for note in made.manifest.notes)
    assert noted == (grid[0] == "rectilinear")
    with pytest.raises(CombineError) if name != "only the last is partial" else open(os.devnull):
        refmaker.combine(files, zarr_format=3, on_mismatch="refuse")


def test_equal_lengths_are_a_regular_grid_in_zarr_2(tmp_path: Path) -> None:
    files = _files(tmp_path, CASES["default chunks of 512 rows"][0])
    made = refmaker.combine(files)
    assert made.arrays["v"].metadata.chunk_shape == (12, 7)
    _check(made, files)


@pytest.mark.parametrize("sample", [None, 2])
@pytest.mark.parametrize("name", CASES)
def test_verified(tmp_path: Path, name: str, sample: int | None) -> None:
    """Each file finds its rows, in chunks of whatever length; chunks in the place of others are found out."""
    files = _files(tmp_path, CASES[name][0])
    manifest = refmaker.combine(files, zarr_format=3)
    report = verify(manifest, sample=sample)
    assert [(one.path, one.status, one.reason) for one in report.arrays if one.status != "same"] == []
    rows = manifest.arrays["v"].references
    for name in ("target", "offset", "size"):
        setattr(rows, name, np.roll(getattr(rows, name), 1))
    found = {one.path: one.status for one in verify(manifest, sample=sample).arrays}
    assert found["/v"] in ("differs", "unreadable")


def test_a_range_of_them_is_not_taken(tmp_path: Path) -> None:
    manifest = refmaker.combine(_files(tmp_path, CASES["one chunk a month"][0]), zarr_format=3)
    with pytest.raises(ManifestError, match="differ in length"):
        subset(manifest, PathFilter("", ("/v",), ()), {"time": (31, 59)})


def test_a_range_of_a_composite_array_is_not_taken(tmp_path: Path) -> None:
    manifest = refmaker.combine(_files(tmp_path, CASES["one chunk a month"][0]))
    with pytest.raises(ManifestError, match="composite"):
        subset(manifest, PathFilter("", ("/v",), ()), {"time": (31, 59)})
    assert list(subset(manifest, PathFilter("", ("/time",), ()), {}).composites) == []
    with pytest.raises(ManifestError, match="no array"):
        subset(manifest, PathFilter("", ("/none",), ()), {})


def test_other_lengths_are_composed_in_zarr_2(tmp_path: Path) -> None:
    files = _files(tmp_path, CASES["one chunk a month"][0])
    with pytest.raises(CombineError, match="chunk"):
        refmaker.combine(files, on_mismatch="refuse")
    assert refmaker.combine(files).composites


@pytest.mark.parametrize("name", ["partial on both axes", "uncompressed", "lengths change, padded"])
def test_parquet_by_a_spill_file(tmp_path: Path, name: str) -> None:
    files = _files(tmp_path, CASES[name][0])
    made = refmaker.combine(files, zarr_format=3, spill=tmp_path)
    made.to_parquet(tmp_path / "all.parq")
    _check(str(tmp_path / "all.parq"), files)
    assert refmaker.combine(files, zarr_format=3).arrays["v"].metadata == made.arrays["v"].metadata


@pytest.mark.parametrize("name", CASES)
def test_append_is_combining_all(tmp_path: Path, name: str) -> None:
    files = _files(tmp_path, [*CASES[name][0], (9, CASES[name][0][0][1], CASES[name][0][0][2])])
    grown = refmaker.append(refmaker.combine(files[:-1], zarr_format=3), files[-1])
    _check(grown, files)
    again = refmaker.append(
        refmaker.Manifest.from_dict(grown.to_dict()), _file(tmp_path / "z.nc", 9, CASES[name][0][0])
    )
    _check(again, [*files, str(tmp_path / "z.nc")])


def test_missing_chunks_stay_missing(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    files = _files(tmp_path, CASES["partial chunks"][0], fill=-5)
    for path in files[1:]:
        with h5py.File(path, "r+") as file:
            old = file["v"]
            del file["v"]
            v = file.create_dataset("v", (31 if path == files[2] else 28, 7), "<i2", chunks=(10, 7), fillvalue=-5)
            v[:10] = 3
            v.attrs["_FillValue"] = np.array([-5], "i2")
            v.dims[0].attach_scale(file["time"])
            v.dims[1].attach_scale(file["y"])
            del old
    made = refmaker.combine(files[1:], zarr_format=3)
    _check(made, files[1:])


def test_random_archives(tmp_path: Path) -> None:
    """Members of any length in any chunks: right, or refused by name."""
    rng = np.random.default_rng(17)
    composed = 0
    for run in range(40):
        width, compressed = int(rng.integers(1, 6)), bool(rng.integers(0, 2))
        column = int(rng.integers(1, width + 1))
        specs = []
        for _ in range(int(rng.integers(2, 5))):
            rows = int(rng.integers(1, 12))
            specs.append((rows, compressed, (int(rng.integers(1, 13)), column if rng.random() < 0.9 else width)))
        folder = tmp_path / str(run)
        folder.mkdir()
        files = _files(folder, specs, width=width)
        try:
            made = refmaker.combine(files, zarr_format=3)
        except CombineError:
            continue
        composed += 1
        _check(made, files)
    assert composed >= 25


def test_interleaved_members(tmp_path: Path) -> None:
    """A member between the rows of another: whole chunks, or uncompressed ones cut anywhere."""
    for compressed, chunk in ((True, 2), (False, 6)):
        files = []
        for number, days in enumerate(([0, 1, 6, 7, 8, 9], [2, 3, 4, 5])):
            path = tmp_path / f"{compressed}{number}.nc"
            _file(path, number, (len(days), compressed, (chunk, 7)))
            with netCDF4.Dataset(path, "a") as file:
                file["time"][:] = days
            files.append(str(path))
        made = refmaker.combine(files, zarr_format=3, concat="time")
        with xr.open_dataset(made, engine="refmaker") as opened:
            xr.testing.assert_equal(opened.load(), _wanted(files).sortby("time"))


def test_chunk_of_another_size_is_an_error(tmp_path: Path) -> None:
    files = _files(tmp_path, CASES["uncompressed"][0])
    manifest = refmaker.scan(files[0], zarr_format=3)
    manifest.arrays["v"].references.size = manifest.arrays["v"].references.size + np.uint64(2)
    with pytest.raises(FormatError, match="size of an uncompressed chunk"):
        refmaker.combine([manifest, *files[1:]])


@pytest.mark.skipif(zarr.config.get("array.rectilinear_chunks", None) is None, reason="zarr 3.2 reads such grids")
@pytest.mark.parametrize("name", CASES)
def test_stock_readers(tmp_path: Path, name: str) -> None:
    files = _files(tmp_path, CASES[name][0])
    refmaker.combine(files, zarr_format=3).to_json(tmp_path / "all.json")
    want = _wanted(files)["v"]
    filesystem = fsspec.filesystem(
        "reference", fo=str(tmp_path / "all.json"), remote_protocol="file", remote_options={"asynchronous": True},
        asynchronous=True,
    )  # fmt: skip
    store = zarr.storage.FsspecStore(filesystem, read_only=True)
    with zarr.config.set({"array.rectilinear_chunks": True}):
        for chunks in (None, {}):
            got = xr.open_zarr(store, consolidated=False, chunks=chunks)["v"]
            np.testing.assert_array_equal(got.values, want.values)
            np.testing.assert_array_equal(got[25:40, 2:5].values, want[25:40, 2:5].values)
    own = xr.open_dataset(str(tmp_path / "all.json"), engine="refmaker", chunks={})["v"]
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(own)).values, want.values)


def test_command(tmp_path: Path) -> None:
    files = _files(tmp_path, CASES["one chunk a month"][0])
    out = tmp_path / "all.json"
    command = [sys.executable, "-m", "refmaker_cli", "combine", *files, "--zarr-format", "3", "-o", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, "composed: /v: chunk grid" in done.stderr) == (0, True), done.stderr
    assert "rectilinear" in json.loads(out.read_text())["refs"]["v/zarr.json"]
    _check(str(out), files)
