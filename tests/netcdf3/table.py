"""Generated netCDF classic files: every version, type, layout, width, number of records and way of counting them.

`python -m tests.netcdf3.table` makes all of them, holds what zarr and xarray read through the manifest against what
netCDF4 reads, and prints a table of how many files and variables were the same. The tests take some of the cases.
"""

from __future__ import annotations

import itertools
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import netCDF4
import numpy as np
import xarray as xr

from refmaker.manifest.manifest import Manifest
from refmaker.scanning.scan import scan
from tests.mapping.stock import open_dataset, open_group, references

__all__ = ["FORMATS", "Case", "cases", "check", "types"]

FORMATS = {1: "NETCDF3_CLASSIC", 2: "NETCDF3_64BIT_OFFSET", 5: "NETCDF3_64BIT_DATA"}
OLD = ("i1", "S1", "i2", "i4", "f4", "f8")
NEW = ("u1", "u2", "u4", "i8", "u8")
PER_CHUNK = 3
"""Leaves one of 7 records over, and is more than 1 record."""


def types(version: int) -> tuple[str, ...]:
    """Return the types that a version has."""
    return OLD + NEW if version == 5 else OLD


@dataclass(frozen=True)
class Case:
    """One file. `width` is the length of a row, odd ones need padding; `count` is how the records are counted."""

    version: int
    type: str
    layout: Literal["scalar", "fixed", "one record variable", "many record variables"]
    width: int
    records: int
    count: Literal["counted", "streaming", "streaming, cut", "counted, cut"]
    written: Literal["all", "partly", "own fill value"]

    @property
    def recorded(self) -> bool:
        return self.layout.endswith(("variable", "variables"))


def cases() -> Iterator[Case]:
    """Yield all cases."""
    for version in FORMATS:
        for kind, written in itertools.product(types(version), ("all", "partly", "own fill value")):
            yield Case(version, kind, "scalar", 1, 0, "counted", written)
            for width in (1, 3):
                yield Case(version, kind, "fixed", width, 0, "counted", written)
                for layout, records in itertools.product(("one record variable", "many record variables"), (0, 1, 7)):
                    for count in ("counted", "streaming", "streaming, cut", "counted, cut"):
                        if records or "cut" not in count:
                            yield Case(version, kind, layout, width, records, count, written)


def check(case: Case, folder: Path) -> Counter[str]:
    """Make the file of a case and compare it; return how many variables were the same, and were refused by name."""
    whole, path = folder / "whole.nc", folder / "case.nc"
    make(case, whole)
    path.write_bytes(counted_so(case, whole.read_bytes()))
    found: Counter[str] = Counter(files=1)
    if "cut" not in case.count:
        compare_xarray(case, whole, scan(str(path)), folder)
    for records_per_chunk in (None, 1, PER_CHUNK) if case.recorded else (None,):
        manifest = scan(str(path), records_per_chunk=records_per_chunk)
        found.update(compare_values(case, whole, manifest, folder))
        check_chunks(case, manifest, records_per_chunk)
    return found


def make(case: Case, path: Path) -> None:
    """Write the file with netCDF4."""
    dims = {"scalar": (), "fixed": ("y", "x")}.get(case.layout, ("t", "x"))
    with netCDF4.Dataset(path, "w", format=FORMATS[case.version]) as nc:
        nc.createDimension("y", 5)
        nc.createDimension("t", None)
        nc.createDimension("x", case.width)
        attributes(nc, case.version)
        variable(nc, "v", case.type, dims, case)
        if case.layout == "many record variables":
            variable(nc, "byte", "i1", ("t",), case)
            variable(nc, "short", "i2", ("t", "x"), case)
            variable(nc, "text", "S1", ("t", "x"), case)
        if case.recorded:
            variable(nc, "fixed", "i2", ("x",), case)


def attributes(owner: Any, version: int) -> None:
    owner.title = "grüße"
    for kind in types(version):
        if kind != "S1":
            owner.setncattr(f"one_{kind}", np.array([7], kind))
            owner.setncattr(f"several_{kind}", np.array([1, 0, 120], kind))


def variable(nc: Any, name: str, kind: str, dims: tuple[str, ...], case: Case) -> None:
    own = {"fill_value": b"x" if kind == "S1" else np.array(99, kind)[()]} if case.written == "own fill value" else {}
    made = nc.createVariable(name, kind, dims, **own)
    made.set_auto_mask(False)
    made.set_auto_chartostring(False)
    attributes(made, case.version)
    shape = tuple({"t": case.records, "y": 5, "x": case.width}[dim] for dim in dims)
    if 0 in shape:
        return
    raw = np.random.default_rng(len(name)).integers(1, 120, shape).astype("u1")
    data = raw.view("S1") if kind == "S1" else raw.astype(kind)
    if case.written == "all" or not dims:
        made[...] = data
    else:
        made[shape[0] - 1, ...] = data[-1]


def counted_so(case: Case, data: bytes) -> bytes:
    """Return the file with its records counted as the case has it, and without its last bytes where it is cut."""
    wide = 8 if case.version == 5 else 4
    cut = 4 if case.count.endswith("cut") else 0  # padding is up to 3 bytes
    if case.count.startswith("streaming"):
        data = data[:4] + b"\xff" * wide + data[4 + wide :]
        if case.layout == "one record variable" and case.records:
            # netCDF-C pads the last record, which is not to be told from further records where nobody counts them.
            data = data[: len(data) - -np.dtype(case.type).itemsize * case.width % 4]
            cut = min(cut, 1)
    return data[: len(data) - cut]


def compare_values(case: Case, whole: Path, manifest: Manifest, folder: Path) -> Counter[str]:
    """Compare values, dtypes and attributes that zarr reads with those that netCDF4 reads."""
    group = open_group(manifest, folder)
    found: Counter[str] = Counter()
    with netCDF4.Dataset(whole) as nc:
        nc.set_auto_maskandscale(False)
        nc.set_auto_chartostring(False)
        # What lies at the end of the file is refused there, or is the shorter.
        assert {*manifest.arrays, *(path.strip("/") for path in manifest.refusals)} == set(nc.variables)
        assert bool(manifest.refusals) == (case.count == "counted, cut"), manifest.refusals
        for path in manifest.refusals:
            assert nc.variables[path.strip("/")].dimensions[0] == "t"
            found["refused"] += 1
        for name in manifest.arrays:
            expected, array = nc.variables[name], group[name]
            shown, values = np.asarray(array[...]), np.asarray(expected[...])
            if case.count == "streaming, cut" and "t" in expected.dimensions:
                values = values[:-1]
            assert shown.dtype.newbyteorder("=") == values.dtype.newbyteorder("="), name
            assert shown.shape == values.shape, name
            assert shown.astype(values.dtype).tobytes() == values.tobytes(), name
            compare_attributes(dict(array.attrs), expected)
            found["same"] += 1
    return found


def compare_attributes(shown: dict[str, Any], expected: Any) -> None:
    assert shown.pop("_ARRAY_DIMENSIONS") == list(expected.dimensions)
    hidden = {"_FillValue"}  # xarray encodes it; its comparison is that of datasets
    assert shown.keys() - hidden == set(expected.ncattrs()) - hidden
    for name in shown.keys() - hidden:
        np.testing.assert_array_equal(np.atleast_1d(shown[name]), np.atleast_1d(expected.getncattr(name)))


def compare_xarray(case: Case, whole: Path, manifest: Manifest, folder: Path) -> None:
    """Compare the datasets that xarray shows, with what it masks and without."""
    content = references(manifest, folder)
    for options in ({}, {"mask_and_scale": False}):
        with xr.open_dataset(whole, engine="netcdf4", **options) as expected:
            xr.testing.assert_identical(open_dataset(content, **options).load(), expected.load())


def check_chunks(case: Case, manifest: Manifest, records_per_chunk: int | None) -> None:
    """Make sure that records are merged as asked, or that the report says why not."""
    if not case.recorded or "v" not in manifest.arrays:
        return
    metadata = manifest.arrays["v"].metadata.document
    records = metadata["shape"][0]
    line = next(line for line in manifest.objects if line.path == "/v")
    if not records:
        return
    if case.layout == "one record variable":
        wanted = records if records_per_chunk is None else min(records_per_chunk, records)
    else:
        wanted = 1
        assert any("records_per_chunk=3 is not possible" in note for note in line.notes) == (
            records_per_chunk == PER_CHUNK
        )
    assert metadata["chunks"][0] == wanted


def main() -> int:
    """Check all cases and print a table."""
    rows: dict[tuple[str, str], Counter[str]] = {}
    wrong = []
    with tempfile.TemporaryDirectory() as folder:
        for case in cases():
            row = rows.setdefault((f"CDF-{case.version}", case.layout), Counter())
            try:
                row.update(check(case, Path(folder)))
            except AssertionError as error:
                row["wrong"] += 1
                wrong.append(f"{case}: {str(error).strip().splitlines()[:1]}")
    print(f"{'':6} {'':22} {'files':>6} {'arrays same':>12} {'refused':>8} {'files wrong':>12}")
    for (version, layout), row in rows.items():
        print(f"{version:6} {layout:22} {row['files']:6} {row['same']:12} {row['refused']:8} {row['wrong']:12}")
    total = sum(rows.values(), Counter())
    print(f"{'all':29} {total['files']:6} {total['same']:12} {total['refused']:8} {total['wrong']:12}")
    print(*wrong[:20], sep="\n", end="\n" if wrong else "")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
