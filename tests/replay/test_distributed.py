"""Dask workers, each a process of its own, on one large manifest: it is parsed once on a machine, not once a worker."""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from refmaker.kerchunk import cache
from refmaker.manifest.manifest import Target
from tests.engines.cluster import running_cluster
from tests.replay.readers import ZARR, stored
from tests.replay.scenes import array, manifest, references

pytest.importorskip("distributed")

COUNT, SIZE = 24_000, 40


def opened(path: str) -> int:
    """Open a manifest twice, as two tasks would; return how often this process parsed it."""
    from refmaker.kerchunk import cache
    from refmaker.replay.filesystem import FileSystem

    calls = []
    plain = cache.read_json
    cache.read_json = lambda data, source: calls.append(1) or plain(data, source=source)  # type: ignore[func-returns-value]
    try:
        for _ in range(2):
            FileSystem(path, skip_instance_cache=True).info("v/1")
    finally:
        cache.read_json = plain
    return len(calls)


def total(array: Any, first: int, stop: int) -> int:
    """Read a part of an array that came by pickle."""
    return int(array[first:stop].sum())


@pytest.mark.skipif(ZARR != 3, reason="needs zarr 3")
def test_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import zarr
    from distributed import Client

    monkeypatch.setenv("REFMAKER_CACHE_DIR", str(tmp_path / "cache"))
    values = np.random.default_rng(0).integers(0, 1000, COUNT * SIZE // 4, "i4")
    (tmp_path / "data").write_bytes(values.tobytes())
    rows = references({i: (0, i * SIZE, SIZE) for i in range(COUNT)})
    held = manifest({"v": array(values.shape, (SIZE // 4,), rows)}, [Target(f"{tmp_path}/data")])
    path = str(tmp_path / "m.json")
    held.to_json(path)
    assert os.path.getsize(path) > cache.MIN_SIZE
    os.utime(path, (1e9, 1e9))
    with running_cluster(3) as found, Client(found.address, set_as_default=False) as client:
        parsed = client.run(opened, path)
        assert len(parsed) == 3
        assert sum(parsed.values()) == 1
        variable = zarr.open_group(stored(fo=path), mode="r")["v"]
        bounds = range(0, len(values) + 1, len(values) // 6)
        pieces = list(itertools.pairwise(bounds))
        sums = client.gather([client.submit(total, variable, *piece, pure=False) for piece in pieces])
        assert sums == [int(values[first:stop].sum()) for first, stop in pieces]
