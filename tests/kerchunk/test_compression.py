"""gzip and zstd: what is written others unpack, what others wrote is unpacked, and bombs are not."""

from __future__ import annotations

import gzip
import io
import struct
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numcodecs import Zstd

from refmaker.errors import ManifestError
from refmaker.kerchunk import compression
from refmaker.kerchunk.compression import GZIP, ZSTD, suffix_of, unpacked, write_packed


def packed(data: bytes, mark: bytes | None) -> bytes:
    file = io.BytesIO()
    write_packed([data[:5], data[5:]], file, mark)
    return file.getvalue()


def frame(*blocks: tuple[int, bytes, int], size: int | None = None, checksum: bool = False) -> bytes:
    """Make a zstd frame of (type, content, stated size) blocks, without or with the size of its content."""
    bits = 4 * checksum
    data = ZSTD + (bytes([bits, 0x50]) if size is None else bytes([0xE0 + bits]) + struct.pack("<Q", size))
    for number, (kind, content, stated) in enumerate(blocks):
        last = number == len(blocks) - 1
        data += (stated << 3 | kind << 1 | last).to_bytes(3, "little") + content
    return data


@pytest.mark.parametrize("mark", [None, GZIP, ZSTD])
@settings(deadline=None, max_examples=30)
@given(data=st.binary(max_size=3000))
def test_round_trip(mark: bytes | None, data: bytes) -> None:
    data = b"{" + data * 50
    made = packed(data, mark)
    assert made.startswith(mark or b"{")
    assert unpacked(made, "m") == data
    assert packed(data, mark) == made


def test_names() -> None:
    assert suffix_of("m.json") is None
    assert suffix_of("m.json.GZ") == GZIP
    assert suffix_of("m.json.zst") == suffix_of("m.json.zstd") == ZSTD


def test_what_others_write() -> None:
    assert unpacked(gzip.compress(b"ab", mtime=0) + gzip.compress(b"cd", mtime=0) + bytes(512), "m") == b"abcd"
    raw, runs = (0, b"abc", 3), (1, b"x", 1000)
    assert unpacked(frame(raw, runs), "m") == b"abc" + b"x" * 1000
    assert unpacked(frame(raw, size=3), "m") == b"abc"


def test_bombs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compression, "_LIMIT", 1 << 20)
    fine, bomb = bytes((1 << 20) - 1), bytes(1 << 26)
    assert unpacked(gzip.compress(fine, mtime=0), "m") == fine
    assert unpacked(bytes(Zstd().encode(fine)), "m") == fine
    runs = frame(*[(1, b"x", 1 << 17)] * 100)
    bombs = [gzip.compress(bomb), gzip.compress(bytes(1 << 19)) * 3, bytes(Zstd().encode(bomb)), runs, runs + runs]
    for data in (*bombs, frame((1, b"x", 9), size=2**62), frame((0, b"abc", 3), size=2**40)):
        with pytest.raises(ManifestError, match="unpack"):
            unpacked(data, "m.json")


@pytest.mark.parametrize(
    "data",
    [
        GZIP,
        gzip.compress(b"abc", mtime=0)[:-3],
        gzip.compress(b"abc", mtime=0) + b"rest",
        gzip.compress(b"abc", mtime=0)[:-8] + bytes(8),
        ZSTD,
        ZSTD + b"\0",
        frame((0, b"abc", 3))[:-1],
        frame((0, b"abc", 3)) + b"rest",
        frame((3, b"abc", 3)),
        frame((2, b"abc", 3)),
        ZSTD + b"\xff" * 100,
        struct.pack("<II", 0x184D2A50, 10**9),
    ],
)
def test_damage(data: bytes) -> None:
    if data.startswith((GZIP, ZSTD)):
        with pytest.raises(ManifestError):
            unpacked(data, "m.json")
    else:
        assert unpacked(data, "m.json") == data


@settings(deadline=None, max_examples=200)
@given(st.sampled_from([GZIP, ZSTD]), st.binary(max_size=60))
def test_anything_behind_a_mark(mark: bytes, data: bytes) -> None:
    try:
        found = unpacked(mark + data, "m.json")
    except ManifestError as error:
        assert error.source == "m.json"  # noqa: PT017
        return
    if mark == GZIP:
        assert found == zlib.decompress(mark + data, wbits=31)


def test_stock_reads_them(tmp_path: Path) -> None:
    fsspec = pytest.importorskip("fsspec")
    (tmp_path / "m.json.gz").write_bytes(packed(b"{}" * 10**5, GZIP))
    with fsspec.open(str(tmp_path / "m.json.gz"), "rb", compression="infer") as file:
        assert file.read() == b"{}" * 10**5
    zstandard = pytest.importorskip("zstandard")
    with zstandard.ZstdDecompressor().stream_reader(io.BytesIO(packed(b"{}" * 10**5, ZSTD))) as file:
        assert file.read() == b"{}" * 10**5
