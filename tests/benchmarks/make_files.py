"""The files that the benchmarks scan: made from seeds, the same in each run.

    python -m tests.benchmarks.make_files FOLDER [NAME ...] [--quick]

Without names all of `FILES` are made (3.3 GB; 0.2 MB with `--quick`). Files that are there already stay as they are.
Chunks hold random bytes under a filter pipeline: scanners read where chunks are, never what is in them.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

NOISE = np.random.default_rng(42).integers(0, 256, 1 << 16, dtype="u1").tobytes()


@dataclass(frozen=True)
class Recipe:
    """A file of the benchmarks: its name on the disk, what it is, and how it is made (path, whether a small one)."""

    file: str
    description: str
    make: Callable[[str, bool], None]

    @property
    def format(self) -> str:
        """The name of the format, as tools say what they read."""
        return "netcdf3" if self.file.startswith("W6") else "hdf5"


def write_chunks(dataset: Any, low: int, high: int, *, seed: int = 1) -> None:
    """Write every chunk of a dataset as it would stand on the disk, `low` to `high` bytes long."""
    grid = [-(-n // c) for n, c in zip(dataset.shape, dataset.chunks, strict=True)]
    sizes = np.random.default_rng(seed).integers(low, high, math.prod(grid)).tolist()
    corners = np.indices(grid).reshape(len(grid), -1).T * np.array(dataset.chunks)
    write = dataset.id.write_direct_chunk
    for corner, size in zip(corners.tolist(), sizes, strict=True):
        write(tuple(corner), NOISE[:size], 0)


def many_chunks(
    path: str,
    chunks: int,
    *,
    libver: Any = "earliest",
    unlimited: int = 0,
    low: int = 520,
    high: int = 700,
) -> None:
    """Make one dataset of (about) `chunks` chunks in a grid (n, 100, 100), or (n, 10, 10) for less than 10,000.

    The number of unlimited dimensions decides on the chunk index that libhdf5 takes, where `libver` is new enough.
    """
    import h5py

    side = 100 if chunks >= 10_000 else 10
    shape = (max(1, chunks // side**2), side * 8, side * 8)
    maxshape = (None,) * unlimited + shape[unlimited:]
    with h5py.File(path, "w", libver=libver) as file:
        dataset = file.create_dataset(
            "data", shape, "<f4", chunks=(1, 8, 8), maxshape=maxshape, compression=4, shuffle=True
        )
        dataset.attrs["units"] = "K"
        dataset.attrs["long_name"] = "many chunks"
        write_chunks(dataset, low, high)


def many_datasets(path: str, groups: int, each: int) -> None:
    """Make groups of two dimension scales and `each - 2` small chunked datasets with a dozen attributes."""
    import h5py

    with h5py.File(path, "w", libver="earliest") as file:
        for g in range(groups):
            group = file.create_group(f"group_{g:04d}")
            group.attrs["title"] = f"group {g}"
            scales = [group.create_dataset(name, data=np.arange(n, dtype="f8")) for name, n in (("y", 30), ("x", 40))]
            for scale in scales:
                scale.make_scale(scale.name.rpartition("/")[2])
            for v in range(each - 2):
                _small_dataset(group, g, v, scales)


def _small_dataset(group: Any, g: int, v: int, scales: list[Any]) -> None:
    dataset = group.create_dataset(
        f"var_{v:03d}", (30, 40), "f4", chunks=(15, 20), compression="gzip", shuffle=True, fillvalue=-9999.0
    )
    write_chunks(dataset, 520, 830, seed=v)
    for axis, scale in enumerate(scales):
        dataset.dims[axis].attach_scale(scale)
    for name in ("units", "long_name", "standard_name", "cell_methods", "comment", "source"):
        dataset.attrs[name] = f"{name} of variable {v} in group {g}"
    numbers = {
        "valid_min": np.float32(-100),
        "valid_max": np.float32(100),
        "missing": np.int32(-1),
        "levels": np.arange(6, dtype="i4"),
        "scale": 0.01 * v,
        "flag": np.int16(v),
    }
    for name, value in numbers.items():
        dataset.attrs[name] = value


def model_output(path: str, steps: int, variables: int) -> None:
    """Make a netCDF-4 file as a model writes it: each step appends the chunks of all variables, one after the other."""
    import h5py
    import netCDF4

    shape = {"time": None, "lat": 721, "lon": 1440}
    names = [f"v{i:02d}" for i in range(variables)]
    with netCDF4.Dataset(path, "w", format="NETCDF4") as file:
        file.setncatts({"title": "synthetic model", "Conventions": "CF-1.8", "history": "x" * 200})
        for name, size in shape.items():
            file.createDimension(name, size)
            axis = file.createVariable(name, "f8", (name,))
            units = "degrees" if size else "hours since 1900-01-01"
            axis.setncatts({"units": units, "long_name": name, "standard_name": name, "axis": name[0].upper()})
            axis[:] = np.arange(size or steps)
        for name in names:
            storage = {"zlib": True, "complevel": 1, "chunksizes": (1, 181, 360)}
            variable = file.createVariable(name, "f4", tuple(shape), **storage, fill_value=np.float32(9.969e36))
            variable.setncatts(_attributes(name))
    with h5py.File(path, "r+") as file:
        datasets = [file[name] for name in names]
        for dataset in datasets:
            dataset.resize((steps, 721, 1440))
        _append_steps(datasets, steps)


def _attributes(name: str) -> dict[str, Any]:
    return {
        "units": "K",
        "long_name": f"variable {name}",
        "standard_name": "air_temperature",
        "cell_methods": "time: mean",
        "missing_value": np.float32(9.969e36),
        "valid_range": np.array([0, 400], "f4"),
        "grid_mapping": "crs",
        "coordinates": "lat lon",
        "comment": "synthetic",
        "source": "a generator",
    }


def _append_steps(datasets: list[Any], steps: int) -> None:
    sizes = iter(np.random.default_rng(3).integers(6000, 16000, steps * len(datasets) * 16).tolist())
    corners = [(a * 181, b * 360) for a in range(4) for b in range(4)]
    for step in range(steps):
        for dataset in datasets:
            for corner in corners:
                dataset.id.write_direct_chunk((step, *corner), NOISE[: next(sizes)], 0)


def classic_records(path: str, records: int) -> None:
    """Make a netCDF classic file (CDF-2) of five variables along the record dimension: their records interleave."""
    import netCDF4

    with netCDF4.Dataset(path, "w", format="NETCDF3_64BIT_OFFSET") as file:
        file.createDimension("time", None)
        file.createDimension("x", 32)
        for i in range(5):
            variable = file.createVariable(f"r{i}", "f4", ("time", "x"))
            variable.setncatts({"units": "K", "long_name": f"record variable {i}"})
        for i in range(5):
            file[f"r{i}"][:records] = np.arange(records * 32, dtype="f4").reshape(records, 32)


V110 = ("v110", "v110")

FILES = {
    "W1": Recipe(
        "W1.h5",
        "one dataset, version 1 B-tree",
        lambda path, quick: many_chunks(path, 300 if quick else 1_000_000),
    ),
    "W2a": Recipe(
        "W2a.h5",
        "one dataset, fixed array",
        lambda path, quick: many_chunks(path, 300 if quick else 1_000_000, libver=V110),
    ),
    "W2b": Recipe(
        "W2b.h5",
        "one dataset, extensible array",
        lambda path, quick: many_chunks(path, 300 if quick else 250_000, libver=V110, unlimited=1),
    ),
    "W2c": Recipe(
        "W2c.h5",
        "one dataset, version 2 B-tree",
        lambda path, quick: many_chunks(path, 300 if quick else 250_000, libver=V110, unlimited=2),
    ),
    "W3e": Recipe(
        "W3e.h5",
        "many small datasets with 12 attributes each, in groups",
        lambda path, quick: many_datasets(path, 2 if quick else 50, 5 if quick else 40),
    ),
    "W4": Recipe(
        "W4.nc",
        "netCDF-4 as a model writes it, step by step",
        lambda path, quick: model_output(path, 3 if quick else 200, 2 if quick else 26),
    ),
    "W6c2": Recipe(
        "W6c2.nc",
        "netCDF classic (CDF-2), five record variables",
        lambda path, quick: classic_records(path, 60 if quick else 100_000),
    ),
}
"""What the benchmarks of scanning scan."""


def ensure(folder: str, names: Iterable[str], *, quick: bool = False) -> dict[str, str]:
    """Make the files that are not there yet; give name -> path. A file appears when it is complete."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    paths = {}
    for name in names:
        recipe = FILES[name]
        paths[name] = made(folder, recipe.file, lambda path, recipe=recipe: recipe.make(path, quick))
    return paths


def made(folder: str, file: str, make: Callable[[str], None]) -> str:
    """Return the path of a file in a folder, which is made if it is not there."""
    path = os.path.join(folder, file)
    if not os.path.exists(path):
        print(f"making {file}", file=sys.stderr, flush=True)
        make(path + ".part")
        os.rename(path + ".part", path)
    return path


def main() -> None:
    """Run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("names", nargs="*", metavar="NAME", help=" ".join(FILES))
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    if unknown := set(options.names) - set(FILES):
        parser.error(f"no such file: {', '.join(sorted(unknown))}")
    for name, path in ensure(options.folder, options.names or FILES, quick=options.quick).items():
        print(f"{name:5s} {os.path.getsize(path):13,d} bytes  {FILES[name].description}")


if __name__ == "__main__":
    main()
