"""Two files that differ in one thing: what comes out is what xarray makes of them, or it is refused by name."""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import refmaker

from .making import LAT, joined, shown, values, write

OROGRAPHY = {"orog": (("lat", "lon"), np.arange(20.0).reshape(4, 5))}


@dataclass
class Case:
    """What differs: options of `write` for the first and the second file, and what the refusal names (None: alike)."""

    name: str
    first: dict[str, Any] = field(default_factory=dict)
    second: dict[str, Any] = field(default_factory=dict)
    refused: tuple[str, str] | None = None
    options: dict[str, Any] = field(default_factory=dict)


def packed(**attributes: float) -> dict[str, Any]:
    return {"dtype": "i2", "attributes": attributes}


CASES = [
    Case("nothing"),
    Case("dtype", {}, {"dtype": "f8"}, ("/t2m", "dtype")),
    Case("byte order", {}, {"endian": "big"}, ("/t2m", "byte order")),
    Case("compressed or not", {}, {"compression": None}, ("/t2m", "codecs")),
    Case("shuffled or not", {}, {"shuffle": False}, ("/t2m", "codecs")),
    Case("compression level", {}, {"level": 1}),
    Case("chunks along time", {}, {"chunks": (1, 4, 5)}, ("/t2m", "chunk grid")),
    Case("chunks across", {}, {"chunks": (2, 2, 5)}, ("/t2m", "chunk grid")),
    Case("_FillValue", {"fill": -1.0}, {"fill": -2.0}, ("/t2m", "_FillValue")),
    Case("_FillValue or none", {"fill": -1.0}, {}, ("/t2m", "_FillValue")),
    Case("scale_factor", packed(scale_factor=0.1), packed(scale_factor=0.2), ("/t2m", "scale_factor")),
    Case("scale_factor or none", packed(scale_factor=0.1), packed(), ("/t2m", "scale_factor")),
    Case("add_offset", packed(add_offset=1.0), packed(add_offset=2.0), ("/t2m", "add_offset")),
    Case("missing_value", packed(missing_value=1), packed(missing_value=2), ("/t2m", "missing_value")),
    Case("units", {}, {"attributes": {"units": "degC"}}, ("/t2m", "units")),
    Case("standard_name", {}, {"attributes": {"standard_name": "air_temperature"}}, ("/t2m", "standard_name")),
    Case("long_name", {}, {"attributes": {"long_name": "other"}}),
    Case("attributes of the file", {}, {"group_attributes": {"title": "other", "source": "x"}}),
    Case("dimension order", {}, {"dims": ("time", "lon", "lat"), "chunks": (2, 5, 4)}, ("/t2m", "dimension order")),
    Case("values of lat", {}, {"lat": LAT + 1}, ("/lat", "values")),
    Case("length of lat", {}, {"lat": LAT[:3], "raw": values(4, 4)[:, :3], "chunks": (2, 3, 5)}, ("/lat", "values")),
    Case("no variable", {}, {"variable": None}, ("/t2m", "presence")),
    Case("partial chunk in the middle", {"rows": 3}, {"start": 3}, ("/t2m", "partial chunk")),
    Case("partial chunk at the end", {}, {"rows": 3}),
    Case("unsorted", {"start": 4}, {"start": 0}),
    Case("unsorted within", {}, {"times": [4, 6, 5, 7]}, ("/time", "order")),
    Case("descending and ascending", {}, {"times": [7, 6, 5, 4]}, ("/time", "order")),
    Case("both descending", {"times": [7, 6, 5, 4]}, {"times": [3, 2, 1, 0]}),
    Case("same times", {}, {"start": 0}, ("/t2m", "duplicates")),
    Case("times overlap", {}, {"start": 2}, ("/time", "duplicates")),
    Case(
        "units of time", {}, {"times": np.arange(4) / 24, "time_attributes": {"units": "days since 2000-01-01 04:00"}}
    ),
    Case(
        "reference of time", {}, {"times": np.arange(4), "time_attributes": {"units": "hours since 2000-01-01 04:00"}}
    ),
    Case("time zone", {}, {"times": np.arange(4), "time_attributes": {"units": "hours since 2000-01-01 05:00 +01:00"}}),
    Case("dtype of time", {}, {"time_dtype": "i4"}),
    Case("calendars alike", {}, {"time_attributes": {"calendar": "proleptic_gregorian"}}),
    Case("calendars not alike", {}, {"time_attributes": {"calendar": "noleap"}}, ("/time", "units")),
    Case("unit of no length", {}, {"time_attributes": {"units": "months since 2000-01-01"}}, ("/time", "units")),
    Case("no units of time", {}, {"time_attributes": {"units": "1"}}, ("/time", "units")),
    Case("contiguous", {"chunks": None}, {"chunks": None}),
    Case("contiguous of other lengths", {"chunks": None}, {"chunks": None, "rows": 3}, ("/t2m", "chunk grid")),
    Case("same beside", {"extra": OROGRAPHY}, {"extra": OROGRAPHY}),
    Case(
        "other beside",
        {"extra": OROGRAPHY},
        {"extra": {"orog": (("lat", "lon"), np.ones((4, 5)))}},
        ("/orog", "values"),
    ),
    Case("only one beside", {"extra": OROGRAPHY}, {}, ("/orog", "presence")),
    Case("missing chunks", {"fill": -1.0}, {"fill": -1.0, "raw": np.ma.masked_all((4, 4, 5))}),
    Case("no coordinates", {"coordinates": False}, {"coordinates": False}, None, {"concat": "time"}),
]


def made(case: Case, folder: Path) -> tuple[Path, Path]:
    return write(folder / "a.nc", **case.first), write(folder / "b.nc", **{"start": 4, **case.second})


@pytest.mark.parametrize(
    ("case", "zarr_format"),
    [(case, number) for case in CASES for number in (2, 3) if number == 2 or not case.refused],
    ids=lambda given: given.name if isinstance(given, Case) else f"Zarr {given}",
)
def test_identical_or_refused(case: Case, zarr_format: Any, tmp_path: Path) -> None:
    paths = made(case, tmp_path)
    if case.refused is not None:
        with pytest.raises(refmaker.CombineError) as refusal:
            refmaker.combine(paths, zarr_format=zarr_format, **{"on_mismatch": "refuse", **case.options})
        found = {(one.variable, one.what): one for one in refusal.value.mismatches}
        assert case.refused in found
        named = {name for names in found[case.refused].values.values() for name in names}
        assert named & set(map(str, paths))
        assert found[case.refused].what in str(refusal.value)
        return
    manifest = refmaker.combine(paths, zarr_format=zarr_format, **case.options)
    expected = joined(*paths)
    if "time" in expected.coords:
        descending = case.name == "both descending"
        expected = expected.sortby("time", ascending=not descending)
    if case.name in ("unsorted", "both descending"):
        expected.attrs = joined(paths[1]).attrs
    xr.testing.assert_identical(shown(manifest), expected)


@pytest.mark.parametrize("case", [case for case in CASES if case.refused], ids=lambda case: case.name)
def test_order_of_inputs_does_not_decide(case: Case, tmp_path: Path) -> None:
    paths = made(case, tmp_path)
    with pytest.raises(refmaker.CombineError) as refusal:
        refmaker.combine(paths[::-1], **{"on_mismatch": "refuse", **case.options})
    assert case.refused in {(one.variable, one.what) for one in refusal.value.mismatches}


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("case", [case for case in CASES if case.refused], ids=lambda case: case.name)
def test_composed_is_identical(case: Case, zarr_format: Any, tmp_path: Path) -> None:
    """What can be refused is put together with the values and data types of xarray, or refused all the same."""
    paths = made(case, tmp_path)
    try:
        manifest = refmaker.combine(paths, zarr_format=zarr_format, **case.options)
    except refmaker.RefmakerError:
        return
    manifest.to_json(tmp_path / "all.json")
    with xr.open_dataset(tmp_path / "all.json", engine="refmaker") as dataset:
        got = dataset.load()
    expected = joined(*paths)
    assert list(got.data_vars) == list(expected.data_vars)
    for name in expected.variables:
        assert got[name].dtype == expected[name].dtype
        assert np.array_equal(got[name], expected[name], equal_nan=got[name].dtype.kind == "f")


def test_everything_is_named_at_once(tmp_path: Path) -> None:
    first = write(tmp_path / "a.nc", **packed(scale_factor=0.5))
    second = write(tmp_path / "b.nc", 4, dtype="i4", shuffle=False, lat=LAT + 1, attributes={"units": "degC"})
    with pytest.raises(refmaker.CombineError) as refusal:
        refmaker.combine([first, second], on_mismatch="refuse")
    found = {(one.variable, one.what) for one in refusal.value.mismatches}
    assert {("/lat", "values"), *(("/t2m", what) for what in ("dtype", "codecs", "scale_factor", "units"))} <= found


def by_kerchunk(paths: tuple[Path, Path]) -> xr.Dataset:
    from kerchunk.combine import MultiZarrToZarr
    from kerchunk.hdf import SingleHdf5ToZarr

    scanned = []
    for path in paths:
        with open(path, "rb") as source:
            scanned.append(SingleHdf5ToZarr(source, str(path), inline_threshold=0).translate())
    references = MultiZarrToZarr(
        scanned, concat_dims=["time"], identical_dims=["lat", "lon"], coo_map={"time": "cf:time"}
    ).translate()
    manifest = refmaker.FileSystem(json.loads(json.dumps(references)), asynchronous=True)
    from zarr.storage import FsspecStore

    store = FsspecStore(manifest, read_only=True, path="")
    with xr.open_zarr(store, consolidated=False, zarr_format=2) as dataset:
        return dataset.load()


def test_others_are_silently_wrong(tmp_path: Path) -> None:
    """What is refused here is no matter of taste: these come out of kerchunk as other numbers, without a word."""
    pytest.importorskip("kerchunk")
    names = ["shuffled or not", "scale_factor", "add_offset", "_FillValue", "units", "values of lat"]
    wrong = []
    for case in CASES:
        if case.name not in names:
            continue
        folder = tmp_path / case.name.replace(" ", "_")
        folder.mkdir()
        paths = made(case, folder)
        if case.name == "_FillValue":
            paths = (
                write(folder / "c.nc", fill=-1.0),
                write(folder / "d.nc", 4, fill=-2.0, raw=np.full((4, 4, 5), -2.0)),
            )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            got = by_kerchunk(paths)
            try:
                expected = joined(*paths)
            except ValueError:  # xarray refuses to join other coordinates
                wrong.append(case.name)
                continue
        same = np.array_equal(got.t2m.values, expected.t2m.values, equal_nan=True)
        if not same or case.name == "units":
            wrong.append(case.name)
    assert len(wrong) >= 4, wrong
