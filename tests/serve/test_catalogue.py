from __future__ import annotations

import asyncio
import os
from pathlib import Path

import h5py
import numpy as np
import pytest

import refmaker
from refmaker.errors import SourceError
from refmaker.serve import catalogue
from refmaker.serve.catalogue import Catalogue, NotServed
from refmaker.serve.names import Names
from refmaker.serve.tree import TreeKind


@pytest.fixture(autouse=True)
def _always_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "FRESH", 0.0)


@pytest.mark.asyncio
async def test_places(air: Path) -> None:
    held = Catalogue(Names([str(air)]), TreeKind(3, "decoded"))
    found = await held.place("air.json/group/one/0")
    assert (found.name, found.kind, found.key) == ("air.json", TreeKind(3, "decoded"), "group/one/0")
    found = await held.place("~v2-stored/air.json/t/.zarray")
    assert (found.kind, found.key) == (TreeKind(2, "as-stored"), "t/.zarray")
    for path, chunk in (
        ("other.json", False),
        ("other.json/.zgroup", False),
        ("other.json/t/zarr.json", False),
        ("other.json/t/0.0", True),
        ("other.json/t/c/0/0", True),
        ("~v2-stored/other.json/t/c", True),
        ("~v9-stored/air.json/.zgroup", False),
    ):
        with pytest.raises(NotServed) as caught:
            await held.place(path)
        assert caught.value.chunk == chunk, path


@pytest.mark.asyncio
async def test_manifests_are_found_again(air: Path) -> None:
    held = Catalogue(Names([str(air.parent)]))
    before = await held.tree("air.json", TreeKind())
    assert await held.tree("air.json", TreeKind()) is before
    with h5py.File(air.parent / "new.h5", "w") as file:
        file["new"] = np.arange(3)
    refmaker.write_manifest(refmaker.scan(air.parent / "new.h5"), air)
    refmaker.write_manifest(refmaker.scan(air.parent / "new.h5"), air.parent / "more.json")
    after = await held.tree("air.json", TreeKind())
    assert after is not before
    assert list((await after.opened()).lookup.manifest.arrays) == ["new"]
    assert sorted(await held.manifests()) == ["air.json", "more.json"]
    os.unlink(air)
    with pytest.raises(SourceError, match="not served any more"):
        await held.tree("air.json", TreeKind())


@pytest.mark.asyncio
async def test_many_at_a_time_load_once(air: Path) -> None:
    held = Catalogue(Names([str(air)]))
    trees = await asyncio.gather(*(held.tree("air.json", TreeKind(3)) for _ in range(20)))
    assert len(set(map(id, trees))) == 1


@pytest.mark.asyncio
async def test_trees_are_few(air: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "KEPT", 2)
    held = Catalogue(Names([str(air)]))
    for kind in (TreeKind(2), TreeKind(3), TreeKind(2, "decoded")):
        await held.tree("air.json", kind)
    assert len(held._opened) == 2


@pytest.mark.asyncio
async def test_a_manifest_that_cannot_be_loaded_fails_each_time(air: Path) -> None:
    held = Catalogue(Names([str(air)]))
    await held.place("air.json/t/0.0")
    air.write_text('{"version": 1, "refs": {"t/.zarray": 5}}')
    for _ in range(2):
        with pytest.raises(refmaker.ManifestError):
            await held.tree("air.json", TreeKind())
