"""A netCDF-4 file, scanned once, then read as Zarr by unmodified readers and compared with the original.

    sh examples/quickstart.sh                    makes .venv first
    python examples/quickstart.py [DIRECTORY]    where refmaker, netCDF4, xarray and zarr are installed

Ends with status 0 only if every value, attribute and dimension is the same.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import netCDF4
import numpy as np
import xarray as xr

import refmaker

GROUPS = ("", "forecast")


def write_source(path: Path) -> None:
    """Write what a model run looks like: packed and compressed fields, time, names, a group with its own dimension."""
    rng = np.random.default_rng(0)
    with netCDF4.Dataset(path, "w") as file:
        file.title = "a small model run"
        for name, size in (("time", None), ("lat", 60), ("lon", 120), ("station", 3)):
            file.createDimension(name, size)
        time = file.createVariable("time", "i4", ("time",), chunksizes=(24,))
        time.units, time.calendar = "hours since 2024-01-01", "standard"
        time[:] = np.arange(48)
        for name, stop in (("lat", 90), ("lon", 180)):
            coordinate = file.createVariable(name, "f4", (name,))
            coordinate.units = {"lat": "degrees_north", "lon": "degrees_east"}[name]
            coordinate[:] = np.linspace(-stop, stop, len(file.dimensions[name]))
        t2m = file.createVariable(
            "t2m", "i2", ("time", "lat", "lon"), chunksizes=(12, 30, 60), zlib=True, shuffle=True, fill_value=-32767
        )
        t2m.scale_factor, t2m.add_offset, t2m.units = 0.01, 273.15, "K"
        t2m[:] = 273.15 + 20 * rng.standard_normal((48, 60, 120))
        names = file.createVariable("station_name", str, ("station",))
        names[:] = np.array(["Zürich", "Reykjavík", "Quito"], dtype=object)
        forecast = file.createGroup("forecast")
        forecast.createDimension("lead", 10)
        spread = forecast.createVariable("spread", "f8", ("lead", "station"), fletcher32=True)
        spread[:] = rng.random((10, 3))


def scan(source: Path, manifest: Path) -> None:
    """Run the command line, as a shell would."""
    command = [sys.executable, "-m", "refmaker_cli", "scan", str(source), "-o", str(manifest)]
    print("$ refmaker", *command[3:], flush=True)
    status = subprocess.run(command, check=False).returncode
    if status != 0:
        sys.exit(f"refmaker ended with status {status}")


def open_zarr(protocol: str, manifest: Path, group: str) -> xr.Dataset:
    """Open a group of the manifest through fsspec and zarr, nothing else."""
    options = {"fo": str(manifest)}
    if protocol == "reference":
        options |= {"remote_protocol": "file", "remote_options": {"asynchronous": True}}
    # The group stands in the url: asked for with group=, zarr-python 3 finds it empty in stock reference filesystems.
    return xr.open_dataset(f"{protocol}://{group}", engine="zarr", consolidated=False, storage_options=options)


def differences(expected: xr.Dataset, got: xr.Dataset) -> list[str]:
    """Return a line for each variable: the largest difference between the two."""
    lines = []
    for name, variable in expected.variables.items():
        values, others = variable.values, got.variables[name].values
        numeric = values.dtype.kind in "iuf"
        worst = np.nanmax(np.abs(values - others)) if numeric else np.count_nonzero(values != others)
        lines.append(f"  {name:13s} {values.dtype!s:15s} {values.shape!s:14s} max difference {worst}")
    return lines


def compare(source: Path, manifest: Path) -> None:
    """Raise AssertionError unless all groups are identical through both filesystems."""
    for protocol in ("reference", "refmaker"):
        for group in GROUPS:
            with xr.open_dataset(source, engine="netcdf4", group=group or None) as expected:
                got = open_zarr(protocol, manifest, group)
                xr.testing.assert_identical(expected.load(), got.load())
                print(f"{protocol}://{group} is identical", *differences(expected, got), sep="\n", flush=True)


def main() -> None:
    """Do all of it, in a directory given or temporary."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(sys.argv[1] if len(sys.argv) > 1 else temporary)
        source, manifest = folder / "model.nc", folder / "model.nc.json"
        write_source(source)
        scan(source, manifest)
        print(f"{source.stat().st_size} bytes of netCDF-4 -> {manifest.stat().st_size} bytes of manifest", flush=True)
        compare(source, manifest)
        references = [array.references for array in refmaker.open_manifest(str(manifest)).arrays.values()]
        in_place, kept = sum(len(r.cell) for r in references), sum(len(r.inline) for r in references)
        print(f"all identical: {in_place} chunks read in place, {kept} (the strings) kept in the manifest")


if __name__ == "__main__":
    main()
