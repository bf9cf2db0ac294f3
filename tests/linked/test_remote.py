"""Data in other files over a network: HTTP from a server on the loopback, fsspec's memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from refmaker import Manifest, scan
from tests.linked.reading import reason
from tests.servers import RangeServer, range_server

__all__ = ["range_server"]

ROWS = 2000


def _source(folder: Path, name: str, k: int) -> None:
    with h5py.File(folder / name, "w") as file:
        file.create_dataset("a", data=np.arange(ROWS, dtype="<i4") + 10_000 * k, chunks=(500,), compression="gzip")


def _serve(server: RangeServer, folder: Path) -> None:
    for path in folder.iterdir():
        server.add(f"data/{path.name}", path.read_bytes())


def _virtual(folder: Path, names: list[str], step: int = ROWS) -> None:
    layout = h5py.VirtualLayout((step * len(names),), "<i4")
    for k, name in enumerate(names):
        layout[k * step : (k + 1) * step] = h5py.VirtualSource(name, "a", (ROWS,))[:step]
    with h5py.File(folder / "v.h5", "w") as file:
        file.create_virtual_dataset("v", layout, fillvalue=-1)


def _same(remote: Manifest, local: Manifest, base: str) -> None:
    """Both have the same references, to the same files."""
    names = [target.url.rpartition("/")[2] for target in local.targets]
    assert [target.url for target in remote.targets] == [f"{base}/{name}" for name in names]
    for path, array in local.arrays.items():
        mine, theirs = remote.arrays[path].references, array.references
        assert remote.arrays[path].metadata == array.metadata
        for column in ("cell", "target", "offset", "size"):
            np.testing.assert_array_equal(getattr(mine, column), getattr(theirs, column))
        assert mine.inline == theirs.inline


def test_virtual(tmp_path: Path, range_server: RangeServer) -> None:
    for k in range(3):
        _source(tmp_path, f"s{k}.h5", k)
    _virtual(tmp_path, ["s0.h5", "none.h5", "s1.h5", "/far/away/s2.h5"])
    _serve(range_server, tmp_path)
    manifest = scan(f"{range_server.url}/data/v.h5")
    _same(manifest, scan(str(tmp_path / "v.h5")), f"{range_server.url}/data")
    assert not manifest.refusals
    assert all(target.etag for target in manifest.targets)
    assert [n for o in manifest.objects for n in o.notes] == ["missing, reads as the fill value: a in none.h5"]


def test_values_that_are_put_together(tmp_path: Path, range_server: RangeServer) -> None:
    """Chunks that do not line up are fetched from all sources."""
    for k in range(3):
        _source(tmp_path, f"s{k}.h5", k)
    _virtual(tmp_path, ["s0.h5", "s1.h5", "s2.h5"], step=ROWS - 7)
    _serve(range_server, tmp_path)
    _same(scan(f"{range_server.url}/data/v.h5"), scan(str(tmp_path / "v.h5")), f"{range_server.url}/data")


@pytest.mark.parametrize("fault", ["403", "500", "503", "reset"])
def test_unreachable_is_not_missing(tmp_path: Path, range_server: RangeServer, fault: str) -> None:
    """The fill value would look like data."""
    _source(tmp_path, "s0.h5", 0)
    _virtual(tmp_path, ["s0.h5"])
    _serve(range_server, tmp_path)
    range_server.faults["data/s0.h5"] = fault
    range_server.fault_heads = True
    manifest = scan(f"{range_server.url}/data/v.h5")
    assert "v" not in manifest.arrays
    assert "cannot be reached" in reason(manifest, "/v")
    range_server.fault_heads = False
    assert "s0.h5" in reason(scan(f"{range_server.url}/data/v.h5"), "/v")


@pytest.mark.parametrize("name", ["../s0.h5", "http://127.0.0.1:1/s0.h5", "file:///etc/passwd"])
def test_nothing_outside_the_directory(tmp_path: Path, range_server: RangeServer, name: str) -> None:
    _virtual(tmp_path, [name])
    _serve(range_server, tmp_path)
    range_server.forget()
    assert "not in the directory" in reason(scan(f"{range_server.url}/data/v.h5"), "/v")
    assert {served.path for served in range_server.served} == {"data/v.h5"}


def test_no_local_file_from_a_remote_one(tmp_path: Path, range_server: RangeServer) -> None:
    """An absolute name is one in the directory of the remote file."""
    secret = tmp_path / "secret.bin"
    secret.write_bytes(b"secret" * 10)
    with h5py.File(tmp_path / "v.h5", "w") as file:
        file.create_dataset("e", (40,), "u1", external=[(str(secret), 0, 40)])
        file["l"] = h5py.ExternalLink(str(tmp_path / "s0.h5"), "/a")
    _source(tmp_path, "s0.h5", 0)
    range_server.add("data/v.h5", (tmp_path / "v.h5").read_bytes())
    manifest = scan(f"{range_server.url}/data/v.h5")
    assert sorted(manifest.refusals) == ["/e", "/l"]
    assert len(manifest.targets) == 1


def test_raw_data_and_links(tmp_path: Path, range_server: RangeServer) -> None:
    _source(tmp_path, "s0.h5", 0)
    (tmp_path / "a.bin").write_bytes(np.arange(10_000, dtype="<i4").tobytes())
    with h5py.File(tmp_path / "v.h5", "w") as file:
        file.create_dataset("e", (12_000,), "<i4", external=[("a.bin", 0, 48_000)])
        file["l"] = h5py.ExternalLink("s0.h5", "/")
    _serve(range_server, tmp_path)
    _same(scan(f"{range_server.url}/data/v.h5"), scan(str(tmp_path / "v.h5")), f"{range_server.url}/data")


def test_files_are_fetched_together(tmp_path: Path, range_server: RangeServer) -> None:
    for k in range(8):
        _source(tmp_path, f"s{k}.h5", k)
    _virtual(tmp_path, [f"s{k}.h5" for k in range(8)])
    _serve(range_server, tmp_path)
    range_server.latency = 0.02
    scan(f"{range_server.url}/data/v.h5")
    assert range_server.peak > 2


def test_memory_filesystem(tmp_path: Path) -> None:
    import fsspec

    for k in range(2):
        _source(tmp_path, f"s{k}.h5", k)
    _virtual(tmp_path, ["s0.h5", "s1.h5", "none.h5"])
    store: Callable[..., None] = fsspec.filesystem("memory").pipe_file
    for path in tmp_path.iterdir():
        store(f"/linked/{path.name}", path.read_bytes())
    _same(scan("memory://linked/v.h5"), scan(str(tmp_path / "v.h5")), "memory://linked")
