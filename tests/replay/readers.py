"""Ways in which people read Zarr, each with the version of zarr that is installed."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

import fsspec
import numpy as np

__all__ = ["READERS", "ZARR", "Reader"]

Reader = Callable[..., np.ndarray]

ZARR = int(version("zarr").split(".")[0]) if find_spec("zarr") else 0


def stored(**options: Any) -> Any:
    """Make the store that suits zarr 3 best."""
    from zarr.storage import FsspecStore

    return FsspecStore(fsspec.filesystem("refmaker", asynchronous=True, **options), read_only=True, path="")


def mapped(**options: Any) -> Any:
    """Make a mapper. Its own option `check` would stand in the way of ours, if options were not given by protocol."""
    return fsspec.get_mapper("refmaker://", refmaker=options)


def by_store(**options: Any) -> np.ndarray:
    import zarr

    return np.asarray(zarr.open_group(stored(**options), mode="r")["g/x"][...])


def by_url(**options: Any) -> np.ndarray:
    import zarr

    return np.asarray(zarr.open_group("refmaker://", mode="r", storage_options=options)["g/x"][...])


def by_mapper(**options: Any) -> np.ndarray:
    import zarr

    return np.asarray(zarr.open_group(mapped(**options), mode="r")["g/x"][...])


def by_slices(**options: Any) -> np.ndarray:
    """Row by row, as partial reads come."""
    import zarr

    array = zarr.open_group(mapped(**options), mode="r")["g"]["x"]
    return np.stack([np.asarray(array[i]) for i in range(array.shape[0])])


def by_fsstore(**options: Any) -> np.ndarray:
    import zarr

    return np.asarray(zarr.open_group(zarr.storage.FSStore("refmaker://", refmaker=options), mode="r")["g/x"][...])


def by_xarray(**options: Any) -> np.ndarray:
    import xarray as xr

    with xr.open_zarr("refmaker://", group="g", storage_options=options, **plain(None)) as dataset:
        return np.asarray(dataset["x"].values)


def by_dask(**options: Any) -> np.ndarray:
    import xarray as xr

    with xr.open_zarr("refmaker://", group="g", storage_options=options, **plain({})) as dataset:
        return np.asarray(dataset["x"].compute().values)


def plain(chunks: Any) -> dict[str, Any]:
    return {"consolidated": False, "chunks": chunks, "mask_and_scale": False}


def by_filesystem(**options: Any) -> np.ndarray:
    """As zarr would, with nothing but the filesystem."""
    from refmaker.replay.filesystem import FileSystem

    fs = FileSystem(**options)
    key = next(key for key in fs.find("g/x") if key.rpartition("/")[2] in (".zarray", "zarr.json"))
    metadata = json.loads(fs.cat(key))
    lead = "g/x/" if metadata["zarr_format"] == 2 else "g/x/c/"
    names = [lead + ("." if metadata["zarr_format"] == 2 else "/").join((str(i), "0")) for i in range(3)]
    blocks = fs.cat(names, on_error="omit")
    fill = np.full((2, 4), metadata["fill_value"], "<i4").tobytes()
    return np.frombuffer(b"".join(blocks.get(name, fill) for name in names), "<i4").reshape(6, 4)


READERS: dict[str, Reader] = {"filesystem": by_filesystem}
if ZARR == 3:
    READERS |= {"store": by_store, "url": by_url, "mapper": by_mapper, "slices": by_slices}
    if find_spec("xarray"):
        READERS |= {"xarray": by_xarray}
        if find_spec("dask"):
            READERS |= {"dask": by_dask}
elif ZARR == 2:
    READERS |= {"mapper": by_mapper, "slices": by_slices, "fsstore": by_fsstore}
