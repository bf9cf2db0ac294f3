"""Frames of Blosc2: what their headers say, and damaged ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("blosc2")

import blosc2

from refmaker.errors import FormatError, Unsupported
from refmaker.formats.b2nd_frame import chunk_heads, chunk_index, decode_header, read_frame
from refmaker.sources.memory import MemoryWindow
from tests.formats.b2nd_files import write_b2nd


def test_header(tmp_path: Path) -> None:
    array = write_b2nd(tmp_path / "a.b2nd", "plain")
    window = MemoryWindow((tmp_path / "a.b2nd").read_bytes())
    frame, own = read_frame(window), array.schunk
    assert (frame.nbytes, frame.cbytes, frame.typesize, frame.chunksize) == (
        own.nbytes,
        own.cbytes,
        own.typesize,
        own.chunksize,
    )
    assert frame.metalayers["b2nd"][:5] == [0, 2, [10, 7], [4, 5], [3, 2]]
    entries = chunk_index(window, frame, own.nchunks)
    for number, offset in enumerate(entries.tolist()):
        chunk = own.get_chunk(number)
        start = frame.header_size + offset
        assert bytes(window.buffer[start : start + len(chunk)]) == chunk
    assert chunk_heads(window, frame, entries)[0].tobytes() == own.get_chunk(0)[:32]


def test_damage(tmp_path: Path) -> None:
    write_b2nd(tmp_path / "a.b2nd", "plain")
    data = (tmp_path / "a.b2nd").read_bytes()
    for bad in (
        b"x" * 100,
        data[:200],
        data[:11] + b"\x7f\xff\xff\xff" + data[15:],
        data[:30] + b"\xff" * 60 + data[90:],
    ):
        with pytest.raises(FormatError):
            read_frame(MemoryWindow(bad))
    frame = read_frame(MemoryWindow(data))
    with pytest.raises(FormatError, match="size of the index"):
        chunk_index(MemoryWindow(data), frame, 7)
    with pytest.raises(Unsupported, match="more chunks"):
        chunk_index(MemoryWindow(data), frame, 1 << 40)
    with pytest.raises(FormatError, match="beyond the chunks"):
        chunk_heads(MemoryWindow(data), frame, np.array([1 << 40], "u8"))
    with pytest.raises(FormatError, match="MessagePack"):
        decode_header(b"\x93\x01")


def test_plugins_are_refused(tmp_path: Path) -> None:
    write_b2nd(tmp_path / "a.b2nd", "plain")
    data = bytearray((tmp_path / "a.b2nd").read_bytes())
    frame = read_frame(MemoryWindow(bytes(data)))
    data[frame.header_size + 2] |= 0xC0
    with pytest.raises(Unsupported, match="plug-in"):
        chunk_heads(MemoryWindow(bytes(data)), frame, np.array([0], "u8"))
    assert blosc2.__version__
