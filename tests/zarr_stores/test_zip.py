"""Zip files as stores, through a Window."""

from __future__ import annotations

import io
import zipfile

import pytest

from refmaker.errors import FormatError
from refmaker.file_version import Target
from refmaker.sources.memory import MemoryWindow
from refmaker.zarr_stores.store import Range
from refmaker.zarr_stores.zip import WindowFile, ZipStore, is_zip_store


def packed(**members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in members.items():
            archive.writestr(name.replace("_", "/"), data)
        archive.writestr("deflated", b"x" * 100, zipfile.ZIP_DEFLATED)
        archive.mkdir("folder")
    return file.getvalue()


def test_members() -> None:
    data = packed(**{"zarr.json": b"{}", "a_c_0": b"abcdef"})
    store = ZipStore.open(MemoryWindow(data), Target("a.zip"))
    assert set(store.entries) == {"zarr.json", "a/c/0", "deflated"}
    entry = store.entries["a/c/0"]
    assert data[entry.offset : entry.offset + entry.size] == b"abcdef"
    assert store.read([Range("a/c/0", 4, 10)]) == [b"ef"]
    assert "compressed" in str(store.entries["deflated"].problem)


def test_told_by_names() -> None:
    for members, told in (({"zarr.json": b""}, True), ({"g_.zgroup": b""}, True), ({"a.nc": b""}, False)):
        data = packed(**members)
        assert is_zip_store(data[:10], MemoryWindow(data)) is told
    assert not is_zip_store(b"CDF", MemoryWindow(b"CDF"))
    assert not is_zip_store(b"PK\3\4", MemoryWindow(b"PK\3\4" + bytes(50)))


def test_damaged() -> None:
    data = packed(a=b"abc")
    with pytest.raises(FormatError, match="not a zip file"):
        ZipStore.open(MemoryWindow(data[:-30]), Target("a.zip"))
    with pytest.raises(FormatError, match="local file header"):
        ZipStore.open(MemoryWindow(b"XX" + data[2:]), Target("a.zip"))


def test_window_file() -> None:
    file = WindowFile(MemoryWindow(b"abcdef"))
    assert (file.seek(-2, io.SEEK_END), file.read(), file.read()) == (4, b"ef", b"")
    assert (file.seek(1), file.read(2), file.tell()) == (1, b"bc", 3)
    with pytest.raises(OSError, match="before the start"):
        file.seek(-10)
