"""Composite arrays beside `xarray.concat` of the decoded files: values by bytes, data types, attributes."""

from __future__ import annotations

import json
import random
import warnings
from pathlib import Path
from typing import Any, Literal

import netCDF4
import numpy as np
import pytest
import xarray as xr

import refmaker
from refmaker import CombineError, ManifestError, limits

F4, F8 = np.float32, np.float64
Spec = dict[str, Any]


def write(path: Path, start: int, spec: Spec) -> Path:
    """Write one file: `v(time, y)`, or `v(y, time)`, as the specification says."""
    spec = dict(spec)
    turned = spec.pop("turned", False)
    dtype, rows, raw = spec.pop("dtype", "f4"), spec.pop("rows", 4), spec.pop("raw", None)
    fill, absent = spec.pop("_FillValue", None), spec.pop("absent", 0)
    keys = ("chunksizes", "zlib", "shuffle", "fletcher32", "endian", "contiguous", "compression")
    how = {key: spec.pop(key) for key in keys if key in spec}
    with netCDF4.Dataset(path, "w") as nc:
        nc.createDimension("time", None if not how.get("contiguous") else rows)
        nc.createDimension("y", 3)
        time = nc.createVariable("time", "f8", ("time",))
        time.units = "days since 2000-01-01"
        time[:] = np.arange(start, start + rows)
        if spec.pop("missing", False):
            return path
        stored = np.dtype(dtype).newbyteorder({"big": ">", "little": "<"}.get(how.get("endian", ""), "="))
        if turned and "chunksizes" in how:
            how["chunksizes"] = how["chunksizes"][::-1]
        v = nc.createVariable("v", stored, ("y", "time") if turned else ("time", "y"), fill_value=fill, **how)
        v.set_auto_maskandscale(False)
        for name, value in spec.items():
            v.setncattr(name, value)
        values = (
            np.arange(rows * 3).reshape(rows, 3) % 100 + start
            if raw is None
            else np.resize(np.array(raw, dtype), (rows, 3))
        )
        values = values[: rows - absent].astype(np.dtype(dtype).newbyteorder("="))
        if turned:
            v[...] = values.T
        else:
            v[: rows - absent] = values
    return path


def files(folder: Path, *specs: Spec) -> list[Path]:
    found, start = [], 0
    for number, spec in enumerate(specs):
        found.append(write(folder / f"{number}.nc", start, spec))
        start += spec.get("rows", 4)
    return found


def truth(paths: list[Path]) -> xr.Dataset:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        opened = [xr.open_dataset(path, engine="netcdf4").load() for path in paths]
    for one in opened:
        one.close()
    return xr.concat(
        opened, "time", data_vars="minimal", coords="minimal", compat="equals", join="exact", combine_attrs="override"
    )


def shown(manifest: Path, **options: Any) -> xr.Dataset:
    with xr.open_dataset(manifest, engine="refmaker", **options) as dataset:
        return dataset.load()


def check(folder: Path, paths: list[Path], zarr_format: Literal[2, 3]) -> refmaker.Manifest:
    """Combine, write, read again, and compare bytes and data types."""
    result = refmaker.combine_with_report(paths, zarr_format=zarr_format)
    result.manifest.to_json(folder / "all.json")
    expected = truth(paths)
    for options in ({}, {"chunks": {}}):
        got = shown(folder / "all.json", **options)
        assert got["v"].dtype == expected["v"].dtype.newbyteorder("=")
        assert got["v"].values.tobytes() == expected["v"].values.astype(got["v"].dtype).tobytes()
        assert got["v"].dims == expected["v"].dims
        xr.testing.assert_identical(got["time"], expected["time"])
    assert result.manifest == refmaker.open_manifest(folder / "all.json")
    return result.manifest


I2 = {"dtype": "i2"}
NANS = np.array([0x7FC00001, 0xFFC12345, 0x80000000], "u4").view("f4")
CASES: dict[str, tuple[Spec, ...]] = {
    "scale f4 | other f4": (
        {**I2, "scale_factor": F4(0.1), "add_offset": F4(1)},
        {**I2, "scale_factor": F4(0.2), "add_offset": F4(1)},
    ),
    "scale f8 | other f8": (
        {**I2, "scale_factor": F8(0.1), "add_offset": F8(1)},
        {**I2, "scale_factor": F8(0.2), "add_offset": F8(1)},
    ),
    "scale f4 | the same f8": (
        {**I2, "scale_factor": F4(0.5), "add_offset": F4(1)},
        {**I2, "scale_factor": F8(0.5), "add_offset": F8(1)},
    ),
    "i4 f4 | i2 f4": (
        {"dtype": "i4", "scale_factor": F4(0.1), "add_offset": F4(1)},
        {**I2, "scale_factor": F4(0.1), "add_offset": F4(1)},
    ),
    "scale alone, i1 | i2": ({"dtype": "i1", "scale_factor": F4(0.1)}, {**I2, "scale_factor": F4(0.1)}),
    "offset 0 | none, -0.0": (
        {**I2, "scale_factor": F4(-1), "add_offset": F4(0), "raw": [0, 1, 2]},
        {**I2, "scale_factor": F4(-1), "raw": [0, 1, 2]},
    ),
    "scale i4 | scale i2": ({**I2, "scale_factor": np.int32(3)}, {**I2, "scale_factor": np.int16(300)}),
    "packed | i2": ({**I2, "scale_factor": F4(0.1)}, I2),
    "packed | f4": ({**I2, "scale_factor": F4(0.1)}, {"dtype": "f4"}),
    "packed | f8": ({**I2, "scale_factor": F4(0.1)}, {"dtype": "f8"}),
    "_Unsigned i1 | u1": ({"dtype": "i1", "_Unsigned": "true", "raw": [-1, 1, 2]}, {"dtype": "u1"}),
    "_Unsigned and fills": (
        {**I2, "_Unsigned": "true", "_FillValue": -1, "raw": [-1, 5, 6]},
        {"dtype": "u2", "_FillValue": 65535, "raw": [65535, 5, 6]},
    ),
    "_Unsigned false": ({"dtype": "u1", "_Unsigned": "false", "raw": [255, 1, 2]}, {"dtype": "i1"}),
    "fill | none": ({**I2, "_FillValue": 999, "raw": [999, 1, 2]}, {**I2, "raw": [999, 1, 2]}),
    "i4 fill | none": ({"dtype": "i4", "_FillValue": 7, "raw": [7, 1, 2]}, {"dtype": "i4", "raw": [7, 1, 2]}),
    "i8 fill | none, 2^53+1": (
        {"dtype": "i8", "_FillValue": 7, "raw": [7, 2**53 + 1, 2]},
        {"dtype": "i8", "raw": [7, 2**53 + 1, 2]},
    ),
    "i8 | u8": ({"dtype": "i8", "raw": [-(2**63), 1, 2]}, {"dtype": "u8", "raw": [2**64 - 1, 1, 2]}),
    "i8 other codec": (
        {"dtype": "i8", "raw": [2**63 - 1, 1, 2]},
        {"dtype": "i8", "zlib": True, "raw": [2**63 - 1, 1, 2]},
    ),
    "fill 999 | fill -999": (
        {**I2, "_FillValue": 999, "raw": [999, -999, 2]},
        {**I2, "_FillValue": -999, "raw": [999, -999, 2]},
    ),
    "fill | missing_value f8 on f4": (
        {"_FillValue": F4(1e20), "raw": [1e20, 1, 2]},
        {"missing_value": F8(1e20), "raw": [1e20, 1, 2]},
    ),
    "two missing values": ({"missing_value": np.array([1, 2], "f4"), "raw": [1, 2, 3]}, {"raw": [1, 2, 3]}),
    "fill NaN | fill 1e20": ({"_FillValue": F4(np.nan)}, {"_FillValue": F4(1e20), "raw": [1e20, np.nan, 2]}),
    "payloads f4 | f8": ({"raw": NANS}, {"dtype": "f8", "raw": [np.nan, -0.0, 1]}),
    "absent chunks": (
        {"_FillValue": F4(7), "chunksizes": (1, 3), "absent": 2},
        {"_FillValue": F4(5), "chunksizes": (2, 3), "absent": 1},
    ),
    "byte order": ({"endian": "little", "zlib": True}, {"endian": "big", "zlib": True}),
    "byte order, packed": (
        {**I2, "endian": "big", "scale_factor": F4(0.1), "_FillValue": 5},
        {**I2, "endian": "little", "scale_factor": F4(0.2), "_FillValue": 6},
    ),
    "gzip | none | shuffle": ({"zlib": True}, {}, {"zlib": True, "shuffle": True, "fletcher32": True}),
    "i2 | i4": (I2, {"dtype": "i4"}),
    "i2 | u2": (I2, {"dtype": "u2"}),
    "i2 | u2 | f4": (I2, {"dtype": "u2"}, {"dtype": "f4"}),
    "i4 | f4": ({"dtype": "i4"}, {"dtype": "f4"}),
    "f4 | f8": ({"dtype": "f4"}, {"dtype": "f8"}),
    "months, packed": (
        {**I2, "rows": 31, "chunksizes": (31, 3), "scale_factor": F4(0.1)},
        {**I2, "rows": 28, "chunksizes": (28, 2), "scale_factor": F4(0.2)},
        {**I2, "rows": 31, "chunksizes": (10, 3), "scale_factor": F4(0.3), "zlib": True},
    ),
    "one row | one row | many": ({"rows": 1, **I2}, {"rows": 1, "dtype": "i4"}, {"rows": 31, "dtype": "f4"}),
}


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("case", CASES)
def test_cases(tmp_path: Path, case: str, zarr_format: Literal[2, 3]) -> None:
    manifest = check(tmp_path, files(tmp_path, *CASES[case]), zarr_format)
    assert list(manifest.composites) == ["v"]


def test_no_rows_decide_the_data_type(tmp_path: Path) -> None:
    check(tmp_path, files(tmp_path, {"rows": 0, "dtype": "f8"}, I2, {"dtype": "i4"}), 2)


REFUSED: dict[str, tuple[tuple[Spec, ...], str]] = {
    "units": (({"units": "K"}, {"units": "degC"}), "units"),
    "times": (
        ({"dtype": "i4", "units": "days since 2000-01-01"}, {"dtype": "i8", "units": "days since 2000-01-01"}),
        "times",
    ),
    "an integer scale with a fill": (
        ({**I2, "scale_factor": np.int32(3), "_FillValue": 7}, {**I2, "scale_factor": np.int32(4)}),
        "NaN has no place",
    ),
    "flags": (({"flag_meanings": "a b"}, {"flag_meanings": "b a"}), "flag_meanings"),
    "absent": ((I2, {"missing": True}, I2), "presence"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(tmp_path: Path, case: str) -> None:
    specs, message = REFUSED[case]
    with pytest.raises(CombineError, match=message):
        refmaker.combine(files(tmp_path, *specs))


def test_integers_that_are_rounded_are_said_to(tmp_path: Path) -> None:
    manifest = refmaker.combine(files(tmp_path, *CASES["i8 fill | none, 2^53+1"]))
    assert any("beyond 2^53" in note for note in manifest.notes)
    assert any("refmaker://" in note for note in manifest.notes)


def test_too_many_chunks_are_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PIECE_ROWS", 3)
    with pytest.raises(CombineError, match=r"dtype.*not composed: bad references"):
        refmaker.combine(files(tmp_path, I2, {"dtype": "i4"}))


def test_appending_does_not_compose(tmp_path: Path) -> None:
    """Else readers would see another data type from one day to the next, and the day after could not be appended."""
    first, second, third = files(tmp_path, I2, I2, {"dtype": "i4"})
    combined = refmaker.combine([first, second])
    with pytest.raises(CombineError, match=r"stored differently: /v: dtype.*combine all files together anew"):
        refmaker.append(combined, third)
    assert refmaker.combine([first, second, third]).composites
    assert list(refmaker.append(combined, third, on_mismatch="drop-variable").arrays) == ["time"]


def test_refuse_is_still_there(tmp_path: Path) -> None:
    with pytest.raises(CombineError, match="dtype"):
        refmaker.combine(files(tmp_path, I2, {"dtype": "i4"}), on_mismatch="refuse")


def test_random_archives(tmp_path: Path) -> None:
    """Every one is identical, or refused."""
    identical = 0
    for seed in range(40):
        rng = random.Random(seed)
        specs = [_random_spec(rng) for _ in range(rng.randint(2, 4))]
        if rng.random() < 0.4:  # netCDF-C itself misreads what is shorter along an axis that is not the first
            specs = [{**spec, "turned": True, "absent": 0} for spec in specs]
        folder = tmp_path / str(seed)
        folder.mkdir()
        paths = files(folder, *specs)
        try:
            check(folder, paths, rng.choice((2, 3)))  # type: ignore[arg-type]
        except CombineError:
            continue
        identical += 1
    assert identical >= 35


def _random_spec(rng: random.Random) -> Spec:
    spec: Spec = {"dtype": rng.choice(["i1", "u1", "i2", "u2", "i4", "f4", "f8"]), "rows": rng.choice([1, 3, 4, 7])}
    if rng.random() < 0.5:
        spec["scale_factor"] = rng.choice([F4(0.1), F8(0.1), F4(-2)])
    if rng.random() < 0.4:
        spec["add_offset"] = rng.choice([F4(1), F8(0)])
    if rng.random() < 0.5:
        spec["_FillValue"] = np.dtype(spec["dtype"]).type(rng.choice([3, 7]))
    if rng.random() < 0.3:
        spec["missing_value"] = np.dtype(spec["dtype"]).type(5)
    if rng.random() < 0.6:
        spec["chunksizes"] = (rng.choice([1, 2, 5]), rng.choice([1, 2, 3]))
        spec["absent"] = rng.choice([0, 0, 1]) if spec["rows"] > 1 else 0
    spec["zlib"] = rng.random() < 0.5
    spec["endian"] = rng.choice(["little", "big"])
    return spec


@pytest.fixture
def combined(tmp_path: Path) -> Path:
    paths = files(tmp_path, *CASES["scale f4 | other f4"])
    refmaker.combine(paths).to_json(tmp_path / "all.json")
    return tmp_path / "all.json"


def test_slices_and_the_decoded_view(combined: Path, tmp_path: Path) -> None:
    expected = truth([tmp_path / "0.nc", tmp_path / "1.nc"])["v"].values
    for view in ("transparent", "decoded"):
        options = {"storage_options": {"view": view}} if view == "decoded" else {}
        with xr.open_dataset(combined, engine="refmaker", **options) as dataset:
            assert np.array_equal(dataset["v"][2:6, 1:], expected[2:6, 1:])
            assert float(dataset["v"][7, 2]) == float(expected[7, 2])


def test_readers_of_others_raise(combined: Path) -> None:
    """They see the array, and never a fill value in the place of its data; the rest they read."""
    options = {"fo": str(combined), "remote_protocol": "file", "remote_options": {"asynchronous": True}}
    with xr.open_dataset("reference://", engine="zarr", consolidated=False, storage_options=options) as dataset:
        assert dataset["v"].shape == (8, 3)
        assert "refmaker://" in dataset["v"].attrs["refmaker_composite"]
        assert dataset["time"].values[0] == np.datetime64("2000-01-01")
        with pytest.raises(Exception, match=r"(?i)header|decompress|zlib|decod"):  # noqa: PT011, RUF100
            dataset["v"].load()


def test_a_changed_file_is_an_error_on_its_own_rows_alone(combined: Path, tmp_path: Path) -> None:
    data = (tmp_path / "1.nc").read_bytes()
    (tmp_path / "1.nc").write_bytes(data + b"\0")
    with (
        xr.open_dataset(combined, engine="refmaker", decode_times=False) as dataset,
        pytest.raises(refmaker.TargetChanged),
    ):
        dataset["v"].load()


def test_what_cannot_hold_them_says_so(combined: Path, tmp_path: Path) -> None:
    manifest = refmaker.open_manifest(combined)
    with pytest.raises(ManifestError, match="Parquet"):
        manifest.to_parquet(tmp_path / "all.parq")
    with pytest.raises(ManifestError, match="composite"):
        refmaker.combine([combined, tmp_path / "0.nc"])
    converted = refmaker.Manifest.from_dict(manifest.to_dict())
    assert converted == manifest
    assert "composite: /v" in repr(manifest)


def _mutated(document: Any, rng: random.Random) -> Any:
    junk: list[Any] = [
        None,
        -1,
        1 << 63,
        1e308,
        "x",
        [],
        {},
        True,
        [[1, 1 << 40]],
        {"n": 1 << 62, "rle": [[0, 1 << 62]]},
    ]
    if isinstance(document, dict) and document and rng.random() < 0.9:
        key = rng.choice(sorted(document))
        return {**document, key: _mutated(document[key], rng)}
    if isinstance(document, list) and document and rng.random() < 0.8:
        at = rng.randrange(len(document))
        return [*document[:at], _mutated(document[at], rng), *document[at + 1 :]]
    return rng.choice(junk)


def test_hostile_documents(combined: Path) -> None:
    """Each is a manifest, or a `ManifestError`."""
    document = json.loads(combined.read_text())
    rng, refused = random.Random(3), 0
    for _ in range(400):
        changed = {**document, "refmaker": {**document["refmaker"]}}
        ours = document["refmaker"]["composites"]
        changed["refmaker"]["composites"] = {**ours, "arrays": {"v": _mutated(ours["arrays"]["v"], rng)}}
        try:
            refmaker.Manifest.from_dict(changed)
        except ManifestError:
            refused += 1
    assert refused > 250
