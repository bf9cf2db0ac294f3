"""Elements of any size, with nothing stored of them: refused by a limit before memory is taken."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
import pytest
from h5py import h5d, h5p, h5s, h5t

from refmaker import limits, scan

resource = pytest.importorskip("resource")

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is counted as Linux does it")
GIGABYTE = 1 << 30
MEMORY = 200 << 20


def text(size: int) -> Any:
    datatype = h5t.C_S1.copy()
    datatype.set_size(size)
    return datatype


def compound(size: int) -> Any:
    datatype = h5t.create(h5t.COMPOUND, size)
    datatype.insert(b"a", 0, h5t.STD_I32LE)
    datatype.insert(b"z", size - 4, h5t.STD_I32LE)
    return datatype


def opaque(size: int) -> Any:
    datatype = h5t.create(h5t.OPAQUE, size)
    datatype.set_tag(b"any")
    return datatype


KINDS: dict[str, Callable[[int], Any]] = {
    "text": text,
    "compound": compound,
    "opaque": opaque,
    "array": lambda size: h5t.array_create(h5t.STD_I32LE, (size // 4,)),
    "array of text": lambda size: h5t.array_create(text(size // 2), (2,)),
}


def creation(*, chunked: bool) -> Any:
    plist = h5p.create(h5p.DATASET_CREATE)
    plist.set_fill_time(h5d.FILL_TIME_NEVER)
    if chunked:
        plist.set_chunk((1,))
    return plist


def check(path: Path, name: str, **options: Any) -> None:
    """Scan in little memory and time; whatever is mapped has small metadata."""
    before, begin = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    manifest = scan(str(path), **options)
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) << 10 < MEMORY
    assert time.process_time() - begin < 5
    assert f"/{name}" in manifest.refusals or len(str(manifest.arrays[name].metadata)) < 1000


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_stored(tmp_path: Path, kind: str, chunked: bool, zarr_format: Literal[2, 3]) -> None:
    path = tmp_path / "f.h5"
    with h5py.File(path, "w", libver="latest") as file:
        space, plist = h5s.create_simple((2,)), creation(chunked=chunked)
        h5d.create(file.id, b"d", KINDS[kind](GIGABYTE), space, plist)
    assert path.stat().st_size < 3000
    check(path, "d", zarr_format=zarr_format)


@pytest.mark.parametrize("kind", KINDS)
def test_virtual(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "f.h5"
    with h5py.File(path, "w", libver="latest") as file:
        space, plist = h5s.create_simple((2,)), h5p.create(h5p.DATASET_CREATE)
        plist.set_virtual(space, b".", b"s", space)
        plist.set_fill_time(h5d.FILL_TIME_NEVER)
        h5d.create(file.id, b"d", KINDS[kind](GIGABYTE), space, plist)
        h5d.create(file.id, b"s", KINDS[kind](GIGABYTE), space, creation(chunked=True))
    check(path, "d")


def test_limits_are_named(tmp_path: Path) -> None:
    path = tmp_path / "f.h5"
    with h5py.File(path, "w", libver="latest") as file:
        space = h5s.create_simple((2,))
        h5d.create(file.id, b"d", text(limits.FILL_ELEMENT + 1), space, creation(chunked=True))
        h5d.create(file.id, b"e", text(limits.FILL_ELEMENT), space, creation(chunked=True))
    manifest = scan(str(path))
    assert "fill-element" in manifest.refusals["/d"]
    assert "e" in manifest.arrays


def test_large_elements_that_are_stored(tmp_path: Path) -> None:
    """No fill value is needed where no chunk is missing."""
    path = tmp_path / "f.h5"
    values = np.array([b"a" * (limits.FILL_ELEMENT + 1), b"b"])
    with h5py.File(path, "w") as file:
        file["d"] = values
        file.create_dataset("e", data=values, chunks=(1,), compression="gzip")
    manifest = scan(str(path))
    assert not manifest.refusals
    assert manifest.arrays["d"].metadata.document["fill_value"] is None
