"""Stores behind filesystems of fsspec: listed ones, and servers that list nothing."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest

import refmaker
from refmaker.errors import FormatError, SourceError
from refmaker.zarr_stores.remote import RemoteStore
from tests.servers import range_server, s3_server
from tests.zarr_stores.making import files_of, same_as_zarr, write_store

__all__ = ["range_server", "s3_server"]

pytestmark = pytest.mark.filterwarnings("ignore")


def serve(server: Any, folder: Path) -> str:
    for path in files_of(folder):
        server.add(f"s.zarr/{path.relative_to(folder).as_posix()}", path.read_bytes())
    return f"{server.url}/s.zarr"


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_http(range_server: Any, tmp_path: Path, zarr_format: int) -> None:
    group = write_store(str(tmp_path / "s"), zarr_format, consolidated=True)
    manifest = refmaker.scan(serve(range_server, tmp_path / "s"))
    store = {"allow": ["http://127.0.0.1"]}
    del store
    assert manifest.refusals == {}
    assert same_as_zarr(manifest, group) > 4


def test_http_without_consolidated_metadata(range_server: Any, tmp_path: Path) -> None:
    write_store(str(tmp_path / "s"), 3)
    with pytest.raises(FormatError, match="not consolidated"):
        refmaker.scan(serve(range_server, tmp_path / "s"))


def test_what_cannot_be_told_is_an_error(range_server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that fails has not said that a chunk is missing."""
    write_store(str(tmp_path / "s"), 3, consolidated=True)
    url = serve(range_server, tmp_path / "s")
    found = RemoteStore.open(url, None)
    assert found is not None
    infos = found._infos

    def failing(paths: Any) -> list[Any]:
        return [FileNotFoundError("x") if "c/4" not in path else PermissionError("no") for path in paths]

    monkeypatch.setattr(RemoteStore, "_infos", lambda self, paths: failing(paths))
    found.look_up(["x/c/3/0"])
    assert "x/c/3/0" not in found.entries
    with pytest.raises(SourceError, match="cannot be reached"):
        found.look_up(["x/c/4/0"])
    assert infos is not None


def test_memory(tmp_path: Path) -> None:
    group = write_store(str(tmp_path / "s"), 3)
    name = f"{uuid.uuid4().hex}.zarr"
    fsspec.filesystem("memory").put(str(tmp_path / "s"), f"/{name}", recursive=True)
    assert same_as_zarr(refmaker.scan(f"memory://{name}"), group) == 7


def test_s3(s3_server: Any, tmp_path: Path) -> None:
    group = write_store(str(tmp_path / "s"), 3)
    name = f"{uuid.uuid4().hex}.zarr"
    for path in files_of(tmp_path / "s"):
        s3_server.add(f"{name}/{path.relative_to(tmp_path / 's').as_posix()}", path.read_bytes())
    url = f"s3://{s3_server.bucket}/{name}"
    manifest = refmaker.scan(url, storage_options=s3_server.options)
    assert all(target.etag for target in manifest.targets)
    assert manifest.refusals == {}
    filesystem = refmaker.FileSystem(manifest, remote_options=s3_server.options)
    np.testing.assert_array_equal(np.frombuffer(filesystem.cat("s/deep/y/c/0"), "<f8"), group["s/deep/y"][:2])


def test_no_store(range_server: Any) -> None:
    assert RemoteStore.open(f"{range_server.url}/nothing.zarr", None) is None
