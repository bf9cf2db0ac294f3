"""What the readers of others make of our manifests, as they are when nobody sets anything: `python stock_readers.py`.

Prints a line for each reader and property of a manifest: right, refused (an error, or no such array), wrong. Readers
that are not installed are left out. Not a test: it needs the newest of everything, VirtualiZarr with Python 3.12.
"""

from __future__ import annotations

import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import h5py
import numpy as np

import refmaker
from refmaker.manifest.zarr_conversion import with_zarr_format

VALUES = np.arange(40, dtype="f4").reshape(10, 4)
ODD = VALUES.copy()
ODD[3:6] = np.nan
FORMS = ("json", "json, Zarr 3", "parquet")


def make(folder: Path) -> Iterator[tuple[str, Path, np.ndarray[Any, Any]]]:
    """Make files with the array `a`; yield property, file and values."""
    chunked = {"data": VALUES, "chunks": (3, 4)}
    for name, options, values in (
        ("plain", {"data": VALUES}, VALUES),
        ("chunked", chunked, VALUES),
        ("gzip", {**chunked, "compression": "gzip", "shuffle": True}, VALUES),
        ("fill value", {**chunked, "fillvalue": np.float32(-999)}, ODD),
        ("missing chunks", {"shape": (10, 4), "chunks": (3, 4), "dtype": "f4", "fillvalue": np.float32(-1)}, VALUES),
    ):
        path = folder / f"{name.replace(' ', '-')}.h5"
        with h5py.File(path, "w") as file:
            held = file.create_dataset("a", **options)
            if name == "fill value":
                held.attrs["_FillValue"] = np.float32([-999])
                held[3:6] = -999
            if name == "missing chunks":
                held[:3] = VALUES[:3]
                values = np.full_like(VALUES, -1)
                values[:3] = VALUES[:3]
        yield name, path, values
    (folder / "p+q é").mkdir()
    moved = folder / "p+q é" / "a b.h5"
    moved.write_bytes((folder / "chunked.h5").read_bytes())
    yield "odd path", moved, VALUES


def stock(location: str) -> np.ndarray[Any, Any]:
    import xarray as xr

    options = {"fo": location, "remote_protocol": "file", "remote_options": {"asynchronous": True}}
    found: np.ndarray[Any, Any] = xr.open_dataset("reference://", engine="zarr", storage_options=options)["a"].values
    return found


def kerchunk(location: str) -> np.ndarray[Any, Any]:
    import xarray as xr

    found: np.ndarray[Any, Any] = xr.open_dataset(location, engine="kerchunk")["a"].values
    return found


def virtualizarr(location: str) -> np.ndarray[Any, Any]:
    from obspec_utils.registry import ObjectStoreRegistry
    from obstore.store import LocalStore
    from virtualizarr.parsers import KerchunkJSONParser, KerchunkParquetParser

    registry = ObjectStoreRegistry({"file:///": LocalStore("/")})
    if location.endswith(".parq"):
        store = KerchunkParquetParser()(location, registry)
    else:
        store = KerchunkJSONParser()(f"file://{location}", registry)
    found: np.ndarray[Any, Any] = store.to_virtual_dataset(loadable_variables=["a"])["a"].values
    return found


def outcome(read: Callable[[str], np.ndarray[Any, Any]], location: str, values: np.ndarray[Any, Any]) -> str:
    try:
        found = read(location)
    except Exception as error:  # noqa: BLE001 - of readers that are not ours
        return f"refused: {type(error).__name__}: {str(error).splitlines()[0][:70] if str(error) else ''}"
    return "right" if np.array_equal(found, values, equal_nan=True) else "WRONG"


def main() -> None:
    """Print the table."""
    warnings.simplefilter("ignore")
    readers: dict[str, Callable[[str], np.ndarray[Any, Any]]] = {"fsspec": stock, "kerchunk": kerchunk}
    try:
        readers[f"virtualizarr {version('virtualizarr')}"] = virtualizarr
    except ModuleNotFoundError:
        print("virtualizarr is not installed")
    print(", ".join(f"{name} {version(name)}" for name in ("fsspec", "zarr", "xarray", "pandas", "fastparquet")))
    folder = Path(tempfile.mkdtemp())
    for name, path, values in make(folder):
        manifest = refmaker.scan(str(path))
        for form in FORMS:
            location = folder / (f"{path.stem}.{form.replace(', ', '-')}.{'parq' if form == 'parquet' else 'json'}")
            made = with_zarr_format(manifest, 3) if "3" in form else manifest
            made.to_parquet(location) if form == "parquet" else made.to_json(location)
            for reader, read in readers.items():
                print(f"{name:15} {form:13} {reader:19} {outcome(read, str(location), values)}")
    sys.stdout.flush()
    os._exit(0)  # fsspec's loops and sessions are left to the system


if __name__ == "__main__":
    main()
