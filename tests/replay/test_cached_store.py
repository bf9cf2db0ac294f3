"""A second read needs no server; what is not proved is not kept; what changed is an error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fsspec
import h5py
import numpy as np
import pytest
import zarr

import refmaker
from refmaker.errors import TargetChanged
from refmaker.replay.threads import threads
from tests.servers import RangeServer

VALUES = np.random.default_rng(0).integers(0, 1 << 16, (40, 5000), "u2")


@pytest.fixture
def scanned(tmp_path: Path, range_server: RangeServer) -> str:
    """A manifest of a file on the server, whose chunks lie between those of another array."""
    with h5py.File(tmp_path / "v.h5", "w") as file:
        kept = [file.create_dataset(name, VALUES.shape, "u2", chunks=(1, 5000), compression="gzip") for name in "vw"]
        for i in range(len(VALUES)):
            for dataset in kept:
                dataset[i] = VALUES[i]
    url = range_server.add("v.h5", (tmp_path / "v.h5").read_bytes(), etag='"one"')
    manifest = tmp_path / "v.json"
    refmaker.scan(url).to_json(str(manifest))
    range_server.forget()
    return str(manifest)


def opened(manifest: str, cache: Path | None, **options: Any) -> Any:
    filesystem = fsspec.filesystem(
        "refmaker", fo=manifest, cache=cache, asynchronous=True, skip_instance_cache=True, attempts=1, **options
    )
    store = zarr.storage.FsspecStore(filesystem, read_only=True, path="")
    return zarr.open_group(store, mode="r", zarr_format=2)["v"]


def settled() -> None:
    """Wait until all that was read is written."""
    threads("cache", 1).submit(lambda: None).result()


ORDERS = [list(range(40)), list(range(39, -1, -1)), np.random.default_rng(1).permutation(40).tolist()]


@pytest.mark.parametrize("view", ["transparent", "decoded"])
@pytest.mark.parametrize("again", ["transparent", "decoded"])
def test_a_second_read_is_offline(
    scanned: str, tmp_path: Path, range_server: RangeServer, view: str, again: str
) -> None:
    np.testing.assert_array_equal(opened(scanned, tmp_path / "kept", view=view)[:], VALUES)
    settled()
    assert range_server.gets()
    range_server.forget()
    range_server.fault = "reset"
    for order in ORDERS:
        array = opened(scanned, tmp_path / "kept", view=again)
        np.testing.assert_array_equal([array[i] for i in order], VALUES[order])
        np.testing.assert_array_equal(array[:], VALUES)
    assert not range_server.gets()


def test_chunks_read_one_by_one_are_found_by_who_reads_all(
    scanned: str, tmp_path: Path, range_server: RangeServer
) -> None:
    array = opened(scanned, tmp_path / "kept")
    for i in ORDERS[2]:
        np.testing.assert_array_equal(array[i], VALUES[i])
    settled()
    range_server.forget()
    range_server.fault = "reset"
    np.testing.assert_array_equal(opened(scanned, tmp_path / "kept")[:], VALUES)


def test_what_changed_is_an_error_and_is_not_kept(scanned: str, tmp_path: Path, range_server: RangeServer) -> None:
    content = range_server.files["v.h5"].data
    np.testing.assert_array_equal(opened(scanned, tmp_path / "kept")[:2], VALUES[:2])
    settled()
    range_server.add("v.h5", content[::-1], etag='"two"')
    array = opened(scanned, tmp_path / "kept")
    np.testing.assert_array_equal(array[:2], VALUES[:2])  # of the version that the manifest recorded
    with pytest.raises(TargetChanged):
        array[39]
    settled()
    range_server.add("v.h5", content, etag='"one"')
    np.testing.assert_array_equal(opened(scanned, tmp_path / "kept")[:], VALUES)


@pytest.mark.parametrize("how", ["size", "off", "no validators"])
def test_what_no_answer_proves_is_not_kept(scanned: str, tmp_path: Path, range_server: RangeServer, how: str) -> None:
    range_server.validators = how != "no validators"
    check = how if how in ("size", "off") else "strict"
    np.testing.assert_array_equal(opened(scanned, tmp_path / "kept", check=check)[:], VALUES)
    settled()
    assert not [path for path in tmp_path.glob("kept/*/*") if path.is_file()]


def test_a_damaged_file_is_read_from_the_target_again(scanned: str, tmp_path: Path, range_server: RangeServer) -> None:
    np.testing.assert_array_equal(opened(scanned, tmp_path / "kept")[:], VALUES)
    settled()
    for path in tmp_path.glob("kept/*/*"):
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 255
        path.write_bytes(content)
    range_server.forget()
    np.testing.assert_array_equal(opened(scanned, tmp_path / "kept")[:], VALUES)
    assert range_server.gets()


@pytest.mark.parametrize("limit", ["0", "much", -5, True])
def test_limits_that_cannot_be_meant(limit: Any) -> None:
    with pytest.raises(TypeError, match="cache_limit"):
        fsspec.filesystem("refmaker", fo={}, cache_limit=limit, skip_instance_cache=True)
