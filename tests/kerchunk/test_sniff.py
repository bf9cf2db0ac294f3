"""Manifests are told from sources by their first bytes."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import fsspec
import numcodecs
import pytest

from refmaker.kerchunk.sniff import looks_like_manifest

JSON = b'{"version": 1, "refs": {}}'


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (JSON, True),
        (b"\xef\xbb\xbf\n\t " + JSON, True),
        (gzip.compress(JSON, mtime=0), True),
        (numcodecs.Zstd().encode(JSON), True),
        (b"\x89HDF\r\n\x1a\n" + b"{" * 100, False),
        (b"CDF\x01", False),
        (b"[]", False),
        (b" " * 1000 + JSON, False),
        (b"", False),
    ],
)
def test_content_decides(tmp_path: Path, content: bytes, expected: bool) -> None:
    path = tmp_path / "x.nc"
    path.write_bytes(content)
    assert looks_like_manifest(path) is expected
    with fsspec.open("memory://sniff/x.nc", "wb") as file:
        file.write(content)
    assert looks_like_manifest("memory://sniff/x.nc") is expected


def test_what_cannot_be_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name in (tmp_path, tmp_path / "missing", tmp_path / "pipe", "memory://sniff/missing", "nosuch://x"):
        assert looks_like_manifest(name) is False
