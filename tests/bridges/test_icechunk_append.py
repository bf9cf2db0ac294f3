"""What may follow what is in a repository, array by array. Whole commits are tested in test_icechunk.py."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("icechunk", reason="Icechunk needs Python 3.12 and the extra of its name")

import icechunk
import xarray as xr
import zarr

from refmaker.bridges.icechunk_append import Appending, plan_append
from refmaker.bridges.icechunk_writing import read_document
from refmaker.errors import OutputError
from refmaker.manifest.manifest import Manifest
from tests.bridges.conftest import QUIET

pytestmark = [pytest.mark.filterwarnings(line) for line in QUIET]


def stored(dataset: xr.Dataset, **encoding: Any) -> Any:
    store = icechunk.Repository.create(icechunk.in_memory_storage()).writable_session("main").store
    dataset.to_zarr(store, zarr_format=3, consolidated=False, encoding=encoding)
    return store


def manifest_of(dataset: xr.Dataset, **encoding: Any) -> Manifest:
    """A manifest that holds all its chunks."""
    import base64

    from zarr.core.sync import sync

    store = zarr.storage.MemoryStore()
    dataset.to_zarr(store, zarr_format=3, consolidated=False, encoding=encoding)
    prototype = zarr.core.buffer.default_buffer_prototype()
    refs: dict[str, Any] = {}

    async def keys() -> list[str]:
        return [key async for key in store.list()]

    for key in sync(keys()):
        data = sync(store.get(key, prototype)).to_bytes()
        refs[key] = data.decode() if key.endswith("json") else "base64:" + base64.b64encode(data).decode()
    return Manifest.from_dict({"version": 1, "refs": refs})


def plan(new: Manifest, store: Any, name: str) -> Appending:
    return plan_append(name, new, name, read_document(store, name) or {}, store, "time")


def series(first: int, count: int, **attributes: Any) -> xr.Dataset:
    time = np.arange(first, first + count)
    return xr.Dataset({"t": ("time", time * 1.5, attributes), "n": ((), 3)}, {"time": time})


def test_whole_chunks_are_referred_to() -> None:
    encoding = {"t": {"chunks": (2,)}}
    store, new = stored(series(0, 4), **encoding), manifest_of(series(4, 3), **encoding)
    assert plan(new, store, "t") == Appending("references", 0, 4)
    assert plan(new, store, "n") == Appending("nothing")


@pytest.mark.parametrize("chunks", [(2, 3), (3, 3)])
def test_other_chunks_are_written_as_values(chunks: tuple[int, int]) -> None:
    store = stored(series(0, 4), t={"chunks": (chunks[0],)})
    assert plan(manifest_of(series(4, 3), t={"chunks": (chunks[1],)}), store, "t").how == "values"


@pytest.mark.parametrize(
    ("new", "name", "message"),
    [
        (series(4, 2, units="K"), "t", "attribute units"),
        (series(4, 2).assign(t=("time", np.float32([6, 7.5]))), "t", "data type"),
        (series(4, 2).assign(n=((), 4)), "n", "values differ"),
        (series(3, 2), "time", "already"),
        (series(-5, 2), "time", "follow"),
        (series(4, 2).assign(t=("x", [1.0])), "t", "dimensions"),
    ],
)
def test_what_does_not_fit(new: xr.Dataset, name: str, message: str) -> None:
    with pytest.raises(OutputError, match=message):
        plan(manifest_of(new), stored(series(0, 4)), name)


def test_other_axes_have_one_length() -> None:
    store = stored(xr.Dataset({"t": (("time", "x"), np.zeros((2, 3)))}))
    with pytest.raises(OutputError, match="other dimensions"):
        plan(manifest_of(xr.Dataset({"t": (("time", "x"), np.zeros((2, 4)))})), store, "t")
