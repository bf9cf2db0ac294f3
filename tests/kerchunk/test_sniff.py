"""Manifests are told from sources by their first bytes."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import numcodecs
import pytest

from refmaker.kerchunk.sniff import local_manifest, looks_like_manifest

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


@pytest.mark.parametrize("size", [10, (1 << 16) - 1, 1 << 16, (1 << 16) + 1, 300_000])
@pytest.mark.parametrize("pack", [bytes, lambda data: gzip.compress(data, compresslevel=0)])
def test_local_manifests_are_read_whole(tmp_path: Path, size: int, pack: Callable[[bytes], bytes]) -> None:
    data = b"{" + b"x" * (size - 1)
    (tmp_path / "m").write_bytes(pack(data))
    assert local_manifest(str(tmp_path / "m")) == local_manifest(f"file://{tmp_path}/m") == data


def test_what_is_no_local_manifest(tmp_path: Path) -> None:
    (tmp_path / "a.nc").write_bytes(b"CDF\x01")
    os.mkfifo(tmp_path / "pipe")
    for name in ("a.nc", "pipe", "", "not there", "nul\0"):
        assert local_manifest(f"{tmp_path}/{name}") is None, name
    assert local_manifest("/dev/zero") is None


def test_a_local_manifest_is_opened_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(tmp_path / "m.json")
    Path(path).write_bytes(JSON + b" " * 100_000)
    asked: list[str] = []
    with monkeypatch.context() as patched:
        for function in ("open", "stat", "lstat"):
            real = getattr(os, function)

            def told(name: object, *rest: object, real: Any = real, **named: object) -> Any:
                asked.append(str(name))
                return real(name, *rest, **named)

            patched.setattr(os, function, told)
        local_manifest(path)
    assert asked == [path]
