"""What archives really have: each pair comes out as xarray puts the decoded files together, or is refused by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import netCDF4
import numpy as np
import pytest
import xarray as xr

import refmaker
import refmaker.verification.verify
from refmaker.errors import RefmakerError

from .making import shown

Make = Callable[[Path, int], None]
"""Writes the first (0) or the second (1) file."""

HOURS = "hours since 2000-01-01"
CHUNKS = {"chunksizes": (2,), "zlib": True}


@dataclass
class V:
    """A variable of a netCDF file."""

    values: Any
    dims: tuple[str, ...] = ("time",)
    attributes: Mapping[str, Any] = field(default_factory=dict)
    dtype: Any = None
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class File:
    """A netCDF file: variables by name, extents of its dimensions (None: unlimited), groups."""

    variables: dict[str, V]
    dims: dict[str, int | None] = field(default_factory=lambda: {"time": None})
    groups: dict[str, File] = field(default_factory=dict)
    form: str = "NETCDF4"

    def write(self, path: Path) -> None:
        with netCDF4.Dataset(path, "w", format=self.form) as file:
            self._fill(file)

    def _fill(self, group: Any) -> None:
        for name, extent in self.dims.items():
            group.createDimension(name, extent)
        for name, one in self.variables.items():
            content = np.asarray(one.values)
            dtype = one.dtype or (str if content.dtype.kind in "OU" else content.dtype)
            made = group.createVariable(name, dtype, one.dims, **one.options)
            made.set_auto_maskandscale(False)
            made.setncatts(one.attributes)
            if content.size:
                made[...] = content.astype(object) if dtype is str else content
        for name, inner in self.groups.items():
            inner._fill(group.createGroup(name))


def times(start: float, count: int = 4, units: str = HOURS, *, dtype: str = "f8", **attributes: Any) -> V:
    return V((np.arange(count) + start).astype(dtype), attributes={"units": units, **attributes})


def data(start: int, count: int = 4, **attributes: Any) -> V:
    return V(np.arange(start, start + count, dtype="f4"), ("time",), attributes, options=CHUNKS)


def both(*, dims: dict[str, int | None] | None = None, **variables: tuple[V, V] | V) -> tuple[File, File]:
    """Return two days of `x(time)` that have these variables too: one for both files, or one for each."""
    files = []
    for number in range(2):
        own = {name: one[number] if isinstance(one, tuple) else one for name, one in variables.items()}
        base = {"time": times(4 * number), "x": data(4 * number)}
        files.append(File({**base, **own}, {"time": None, **(dims or {})}))
    return files[0], files[1]


def bounds(
    units: str, *, first: Any = 0, dtype: str = "f8", own: Mapping[str, Any] | None = None, **options: Any
) -> File:
    edges = (np.arange(4)[:, None] + [0, 1]).astype(dtype)
    edges[0, 0] = first
    return File(
        {
            "time": V(np.arange(4) + 0.5, attributes={"units": units, "bounds": "time_bnds"}),
            "time_bnds": V(edges, ("time", "nv"), own or {}, options={"chunksizes": (2, 2), **options}),
            "x": data(0),
        },
        {"time": None, "nv": 2},
    )


LAT = np.linspace(0, 1, 5)
OFF = np.nextafter(LAT, 2)


def field_of(lat: np.ndarray, number: int, rows: int = 4, chunk: int = 5) -> File:
    y = V(np.ones((rows, 5), "f4") * number, ("time", "lat"), options={"chunksizes": (2, chunk)})
    return File({"time": times(4 * number), "lat": V(lat, ("lat",)), "y": y}, {"time": None, "lat": 5})


def chars(text: list[str], **attributes: Any) -> V:
    letters = np.array([list(one) for one in text], "S1")
    return V(letters, ("n", "l"), attributes, options={"chunksizes": (1, len(text[0]))})


def hdf5(fill: Callable[[h5py.File, int], None]) -> Make:
    def make(path: Path, number: int) -> None:
        with h5py.File(path, "w") as file:
            fill(file, number)

    return make


def scaled(fill: Callable[[h5py.File, int], None]) -> Make:
    """Write a dimension scale `time` first."""

    def with_time(file: h5py.File, number: int) -> None:
        file["time"] = np.arange(4.0) + 4 * number
        file["time"].make_scale("time")
        file["time"].attrs["units"] = HOURS
        fill(file, number)

    return hdf5(with_time)


def on_time(file: h5py.File, values: Any, **options: Any) -> None:
    file.create_dataset("c", data=values, chunks=(2,), **options).dims[0].attach_scale(file["time"])


def sequences(middle: int) -> Callable[[h5py.File, int], None]:
    def fill(file: h5py.File, number: int) -> None:
        long = np.arange(3000)
        long[1500] = middle * number
        made = file.create_dataset("c", (2,), h5py.vlen_dtype("i4"))
        made[0], made[1] = long, [1]

    return fill


GRID = {"grid_mapping_name": "latitude_longitude", "semi_major_axis": 6371000.0}
PACKED = {"scale_factor": 2.0}

CASES: dict[str, tuple[tuple[File, File] | Make, tuple[str, str] | str | None]] = {
    # scalars
    "scalar, the same": (both(h=V(2.0, ())), None),
    "scalar, other": (both(h=(V(2.0, ()), V(3.0, ()))), ("/h", "values")),
    "scalar NaN": (both(h=V(np.nan, ())), None),
    "grid mapping, the same": (both(crs=V(0, (), GRID)), None),
    "grid mapping, other": (
        both(crs=(V(0, (), GRID), V(0, (), {**GRID, "semi_major_axis": 1.0}))),
        ("/crs", "semi_major_axis"),
    ),
    "grid mapping with more": (both(crs=(V(0, (), GRID), V(0, (), {**GRID, "pole": 1.0}))), ("/crs", "pole")),
    "grid mapping in one": (both(crs=(V(0, (), GRID), V(1, (), {}))), ("/crs", "grid_mapping_name")),
    # text
    "text along time": (
        both(s=(V(list("abcd"), options={"chunksizes": (2,)}), V(list("efgh"), options={"chunksizes": (2,)}))),
        None,
    ),
    "text beside, other": (both(dims={"n": 2}, s=(V(["a", "b"], ("n",)), V(["a", "c"], ("n",)))), ("/s", "values")),
    "characters and strings": (
        both(dims={"n": 2, "l": 3}, s=(chars(["abc", "def"]), V(["abc", "def"], ("n",)))),
        ("/s", "dtype"),
    ),
    "characters, _Encoding": (
        both(dims={"n": 2, "l": 3}, s=(chars(["abc", "def"], _Encoding="utf-8"), chars(["abc", "def"]))),
        ("/s", "_Encoding"),
    ),
    # coordinates
    "lat off by the last bit": (
        (field_of(LAT, 0), field_of(np.where(np.arange(5) == 3, OFF, LAT), 1)),
        ("/lat", "values"),
    ),
    "lat in other width": ((field_of(LAT.astype("f4"), 0), field_of(LAT, 1)), ("/lat", "dtype")),
    "coordinate along time": (both(step=(V(np.arange(4), options=CHUNKS), V(np.arange(4) + 9, options=CHUNKS))), None),
    "infinite": (both(time=(V([0, 1, 2, np.inf]), V([4.0, 5, 6, 7]))), "interleave with those"),
    "numbers that nothing holds": (
        both(time=(V(np.array([2**63, 2**63 + 2], "u8")), V(np.array([1, 2], "i8"))), x=V([1.0, 2])),
        ("/time", "dtype"),
    ),
    "twice in one file": (both(time=(V([0.0, 1, 1, 2], attributes={"units": HOURS}), times(4))), ("/time", "order")),
    # missing values
    "_FillValue, default and named": (
        both(y=(V(np.zeros(4, "f4"), options={"fill_value": 9.969209968386869e36, **CHUNKS}), data(4))),
        ("/y", "_FillValue"),
    ),
    "missing_value or none": (both(y=(data(0, missing_value=np.float32(-9)), data(4))), ("/y", "missing_value")),
    "_Unsigned or not": (
        both(
            y=(
                V(np.array([1, -2, 3, 4], "i1"), attributes={"_Unsigned": "true"}, options=CHUNKS),
                V(np.array([1, -2, 3, 4], "i1"), options=CHUNKS),
            )
        ),
        ("/y", "_Unsigned"),
    ),
    "valid_min": (both(y=(data(0, valid_min=np.float32(0)), data(4, valid_min=np.float32(2)))), ("/y", "valid_min")),
    "dtype of bool": (
        both(
            y=(
                V(np.array([1, 0, 1, 0], "i1"), attributes={"dtype": "bool"}, options=CHUNKS),
                V(np.array([1, 2, 3, 4], "i1"), options=CHUNKS),
            )
        ),
        ("/y", "attribute dtype"),
    ),
    # times
    "units of durations": (both(y=(data(0, units="days"), data(4, units="hours"))), ("/y", "units")),
    "times that are no coordinate": (
        both(y=(data(0, units="days since 2000-01-01"), data(4, units="days since 2001-01-01"))),
        ("/y", "units"),
    ),
    "units spelt otherwise": (
        both(time=(times(0, units="Hours since 2000-1-1"), times(4, units="hour since 2000-01-01T00:00:00Z"))),
        None,
    ),
    "noleap, and another name of it": (
        both(
            time=(
                times(0, units="days since 2000-02-27", calendar="noleap"),
                times(0, units="days since 2000-03-03", calendar="365_day"),
            )
        ),
        None,
    ),
    "360_day": (
        both(
            time=(
                times(0, units="days since 2000-02-28", calendar="360_day"),
                times(0, units="hours since 2000-03-05", calendar="360_day"),
            )
        ),
        None,
    ),
    "julian": (
        both(
            time=(
                times(0, units="days since 2000-02-28", calendar="julian"),
                times(0, units="hours since 2000-03-15", calendar="julian"),
            )
        ),
        None,
    ),
    "no calendar and noleap": (
        both(
            time=(times(0, units="days since 2001-01-01"), times(4, units="days since 2001-01-01", calendar="noleap"))
        ),
        ("/time", "units"),
    ),
    "reference in year one": (both(time=(times(730000, units="days since 0001-01-01"), times(0))), None),
    "calendars where they do not agree": (
        both(
            time=(
                times(0, units="days since 1500-01-01"),
                times(9, units="days since 1500-01-01", calendar="proleptic_gregorian"),
            )
        ),
        ("/time", "units"),
    ),
    "fractions": (
        both(
            time=(
                V(np.arange(4) / 3, attributes={"units": HOURS}),
                V(np.arange(4) / 3, attributes={"units": "minutes since 2000-01-01 06:00"}),
            )
        ),
        None,
    ),
    "nanoseconds": (
        both(
            time=(
                V(np.arange(4) * 10**9 + 1, attributes={"units": "nanoseconds since 2000-01-01"}),
                V(np.arange(4) + 5, attributes={"units": "seconds since 2000-01-01"}),
            )
        ),
        None,
    ),
    "packed alike": (both(time=(times(0, dtype="i4", **PACKED), times(4, dtype="i4", **PACKED))), None),
    "packed in other units": (
        both(time=(times(0, dtype="i4", **PACKED), times(0, units="hours since 2000-01-02", dtype="i4", **PACKED))),
        ("/time", "units"),
    ),
    "missing in other units": (
        both(
            time=(
                V([-9.0, 0, 1, 2], attributes={"units": HOURS}, options={"fill_value": -9.0}),
                times(0, units="hours since 2000-01-02"),
            )
        ),
        ("/time", "units"),
    ),
    "missing_value in other units": (
        both(
            time=(
                V([-9.0, 0, 1, 2], attributes={"units": HOURS, "missing_value": -9.0}),
                times(0, units="hours since 2000-01-02"),
            )
        ),
        ("/time", "units"),
    ),
    "bounds without units": ((bounds(HOURS), bounds("days since 2000-01-02")), None),
    "bounds with units": (
        (bounds(HOURS, own={"units": HOURS}), bounds("days since 2000-01-02", own={"units": "days since 2000-01-02"})),
        None,
    ),
    "bounds with units in one": ((bounds(HOURS, own={"units": HOURS}), bounds("days since 2000-01-02")), None),
    "bounds that are missing": (
        (bounds(HOURS, first=-9, fill_value=-9.0), bounds("days since 2000-01-02", fill_value=-9.0)),
        "times that are missing",
    ),
    "bounds that are packed": (
        (bounds(HOURS, own=PACKED, dtype="i4"), bounds("days since 2000-01-02", own=PACKED, dtype="i4")),
        "times that are packed",
    ),
    # dimensions, files, groups
    "unlimited or not": (
        (File({"time": times(0), "x": data(0)}), File({"time": times(4), "x": data(4)}, {"time": 4})),
        None,
    ),
    "nothing written yet": (
        (File({"time": times(0), "x": data(0)}), File({"time": times(0, 0), "x": data(0, 0)})),
        None,
    ),
    "dimension of another name": (
        (
            File({"time": times(0), "x": data(0)}),
            File(
                {
                    "t": V(np.arange(4.0) + 4, ("t",), {"units": HOURS}),
                    "x": V(np.arange(4, dtype="f4"), ("t",), options=CHUNKS),
                },
                {"t": None},
            ),
        ),
        ("/x", "dimensions"),
    ),
    "classic and netCDF-4": (
        (
            File({"time": times(0), "x": V(np.arange(4.0))}, form="NETCDF3_CLASSIC"),
            File({"time": times(4), "x": V(np.arange(4.0))}),
        ),
        ("/x", "byte order"),
    ),
    "classic, records side by side": (
        (
            File({"time": times(0), "x": V(np.arange(4.0)), "y": V(np.arange(4, dtype="i2"))}, form="NETCDF3_CLASSIC"),
            File(
                {"time": times(4, 3), "x": V(np.arange(3.0)), "y": V(np.arange(3, dtype="i2"))}, form="NETCDF3_CLASSIC"
            ),
        ),
        None,
    ),
    "coordinates named or not": (both(y=(data(0, coordinates="lat lon"), data(4))), ("/y", "coordinates")),
    "formula_terms": (both(y=(data(0, formula_terms="a: b"), data(4, formula_terms="a: c"))), ("/y", "formula_terms")),
    "remarks": (both(y=(data(0, comment="a", ancillary_variables="x"), data(4, comment="b"))), None),
    "two dimensions of one length": (
        both(
            dims={"a": 3, "b": 3},
            y=(
                V(np.zeros((4, 3, 3)), ("time", "a", "b"), options={"chunksizes": (2, 3, 3)}),
                V(np.zeros((4, 3, 3)), ("time", "b", "a"), options={"chunksizes": (2, 3, 3)}),
            ),
        ),
        ("/y", "dimension order"),
    ),
    "time behind another dimension": (
        both(
            dims={"a": 3},
            y=(
                V(np.arange(12.0).reshape(3, 4), ("a", "time"), options={"chunksizes": (1, 2)}),
                V(np.arange(12.0).reshape(3, 4) + 50, ("a", "time"), options={"chunksizes": (1, 2)}),
            ),
        ),
        None,
    ),
    "chunks larger than files": (
        both(y=(V(np.arange(4.0), options={"chunksizes": (512,)}), V(np.arange(4.0), options={"chunksizes": (512,)}))),
        ("/y", "partial chunk"),
    ),
    "row by row between each other": (
        both(
            time=(V([0.0, 2, 4, 6], attributes={"units": HOURS}), V([1.0, 3, 5, 7], attributes={"units": HOURS})),
            x=(V(np.arange(4.0), options={"chunksizes": (1,)}), V(np.arange(4.0) + 50, options={"chunksizes": (1,)})),
        ),
        None,
    ),
    "checksums or none": (
        both(y=(V(np.arange(4.0), options={**CHUNKS, "fletcher32": True}), V(np.arange(4.0), options=CHUNKS))),
        ("/y", "codecs"),
    ),
    # HDF5 that netCDF did not write
    "no dimension scales": (
        hdf5(lambda file, number: file.create_dataset("x", data=np.arange(4.0) + number, chunks=(2,))),
        "name the dimension to concatenate along: phony_dim_0",
    ),
    "no dimension scales, one longer": (
        hdf5(lambda file, number: file.create_dataset("x", data=np.arange(4.0 + 2 * number), chunks=(2,))),
        None,
    ),
    "compounds": (
        scaled(lambda file, number: on_time(file, np.array([(i + number, i * 0.5) for i in range(4)], "i4,f8"))),
        None,
    ),
    "enumerations, other": (
        scaled(
            lambda file, number: on_time(
                file, np.zeros(4, "i1"), dtype=h5py.enum_dtype({"A": number, "B": 1 - number}, "i1")
            )
        ),
        ("/c", "flag_meanings"),
    ),
    "long sequences, other": (scaled(sequences(7)), ("/c", "values")),
}


def made(given: tuple[File, File] | Make, folder: Path) -> tuple[Path, Path]:
    paths = folder / "a.nc", folder / "b.nc"
    for number, path in enumerate(paths):
        if isinstance(given, tuple):
            given[number].write(path)
        else:
            given(path, number)
    return paths


def together(paths: tuple[Path, Path]) -> xr.Dataset:
    datasets = []
    for path in paths:
        with xr.open_dataset(path, engine="netcdf4") as dataset:
            datasets.append(dataset.load())
    dim = "time" if "time" in datasets[0].sizes else "phony_dim_0"
    found = xr.concat(
        datasets, dim, data_vars="minimal", coords="minimal", compat="equals", join="exact", combine_attrs="override"
    )
    return found.sortby(dim) if dim in found.coords else found


@pytest.mark.parametrize("name", CASES)
def test_identical_or_refused(name: str, tmp_path: Path) -> None:
    given, refused = CASES[name]
    paths = made(given, tmp_path)
    if refused is None:
        xr.testing.assert_identical(shown(refmaker.combine(paths)), together(paths))
        return
    for order in (paths, paths[::-1]):
        with pytest.raises(RefmakerError) as refusal:
            refmaker.combine(order, on_mismatch="refuse")
        if isinstance(refused, str):
            assert refused in str(refusal.value)
        else:
            mismatches = getattr(refusal.value, "mismatches", ())
            assert refused in {(one.variable, one.what) for one in mismatches}, str(refusal.value)


@pytest.mark.parametrize("name", [name for name, (_, refused) in CASES.items() if refused is None])
def test_verified(name: str, tmp_path: Path) -> None:
    """What was combined, the files themselves confirm, one by one."""
    manifest = refmaker.combine(made(CASES[name][0], tmp_path))
    report = refmaker.verification.verify.verify(manifest, sample=None)
    assert [(one.path, one.status, one.reason) for one in report.arrays if one.status != "same"] == []


@pytest.mark.parametrize("group", ["g", "h"])
def test_groups_with_times_of_their_own(group: str, tmp_path: Path) -> None:
    paths = []
    for number in range(2):
        hourly = File({"time": times(4 * number), "x": data(4 * number)})
        daily = File({"time": times(2 * number, 2, "days since 2000-01-01"), "z": data(2 * number, 2)})
        paths.append(tmp_path / f"{number}.nc")
        File({}, {}, {"g": hourly, "h": daily}).write(paths[-1])
    found = shown(refmaker.combine(paths), group)
    datasets = [xr.open_dataset(path, engine="netcdf4", group=group).load() for path in paths]
    xr.testing.assert_identical(found, xr.concat(datasets, "time", combine_attrs="override", join="exact"))
    for dataset in datasets:
        dataset.close()


def test_values_between_each_other_have_to_be_named(tmp_path: Path) -> None:
    """Two files on grids that are the same but for rounding are not one grid of twice the rows."""
    first, second = field_of(LAT, 0, chunk=1), field_of(OFF, 0, chunk=1)
    paths = made((first, second), tmp_path)
    with pytest.raises(refmaker.CombineError, match="'lat' interleave with those of other inputs"):
        refmaker.combine(paths)
    assert refmaker.combine(paths, concat="lat").arrays["lat"].metadata.document["shape"] == [10]


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    first, _ = made(both(), tmp_path)
    with pytest.raises(RefmakerError, match=r"c\.nc"):
        refmaker.combine([first, tmp_path / "c.nc"])


def test_notes_say_what_was_taken(tmp_path: Path) -> None:
    paths = made(CASES["remarks"][0], tmp_path)
    made_of = refmaker.combine_with_report(paths)
    assert made_of.notes == ["/y: comment, ancillary_variables: not the same in all inputs, the first one's is taken"]
