"""Manifests from files and urls, packed or not."""

import gzip
import struct

import fsspec
import numpy as np
import pytest
from numcodecs import Zstd

from refmaker.errors import ManifestError, SourceError
from refmaker.kerchunk.json_writer import iter_json, load_json
from refmaker.manifest import Manifest, Target

MANIFEST = Manifest(2, {"": {"title": "é" * 1000}}, {}, (Target("file:///a.nc", 3, "tag", 0.1),))
TEXT = b"".join(iter_json(MANIFEST))


@pytest.mark.parametrize(
    "pack", [bytes, gzip.compress, lambda b: gzip.compress(b[:9]) + gzip.compress(b[9:]), Zstd().encode]
)
@pytest.mark.parametrize("place", ["path", "str", "file", "memory"])
def test_load(tmp_path, pack, place):
    path = tmp_path / "m.dat"
    path.write_bytes(pack(TEXT))
    names = {"path": path, "str": str(path), "file": f"file://{path}", "memory": "memory://load/m.dat"}
    fsspec.filesystem("memory").pipe("/load/m.dat", pack(TEXT))
    assert load_json(names[place]) == MANIFEST


def test_storage_options_reach_the_filesystem(tmp_path):
    (tmp_path / "m.json").write_bytes(TEXT)
    assert load_json("dir://m.json", storage_options={"path": str(tmp_path), "target_protocol": "file"}) == MANIFEST


@pytest.mark.parametrize(
    "name", ["missing.json", "memory://load/missing", "nosuchprotocol://x/y", ".", "http://127.0.0.1:9/m.json"]
)
def test_unreachable(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SourceError) as caught:
        load_json(name)
    assert caught.value.source == name
    assert not isinstance(caught.value, OSError)


@pytest.mark.parametrize(
    "data",
    [
        gzip.compress(TEXT, mtime=0)[:-5],
        gzip.compress(TEXT, mtime=0)[:20] + b"damage" + gzip.compress(TEXT, mtime=0)[26:],
        b"\x1f\x8b",
        bytes(Zstd().encode(TEXT))[:-5],
        b"\x28\xb5\x2f\xfd",
        b"\x28\xb5\x2f\xfd\xe0" + struct.pack("<Q", 2**60) + b"\x01\0\0",
        b"",
        b"\xff\xfe",
    ],
)
def test_damaged(tmp_path, data):
    path = tmp_path / "m.json"
    path.write_bytes(data)
    with pytest.raises(ManifestError) as caught:
        load_json(path)
    assert caught.value.source == str(path)


def test_byte_order_mark(tmp_path):
    path = tmp_path / "m.json"
    path.write_bytes(b"\xef\xbb\xbf" + TEXT)
    assert load_json(path) == MANIFEST


def test_loaded_columns_are_columns():
    references = load_json_of('{"x/.zarray": {"zarr_format": 2, "shape": [2], "chunks": [1]}, "x/1": ["u", 5, 6]}')
    assert references.cell.dtype == np.int64
    assert references.offset.dtype == references.size.dtype == np.uint64


def load_json_of(text):
    fsspec.filesystem("memory").pipe("/load/text.json", text.encode())
    return load_json("memory://load/text.json").arrays["x"].references
