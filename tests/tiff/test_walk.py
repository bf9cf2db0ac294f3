"""Directories are found in few rounds; chains that go wrong are named, and cost what is behind."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest

pytest.importorskip("tifffile")

import tifffile

from refmaker.errors import FormatError
from refmaker.tiff.walk import TiffWalk
from tests.tiff.made import directory, run, run_paged
from tests.windows import MemoryWindow, PagedWindow

IMAGE = [(256, 3, [4]), (257, 3, [4]), (258, 3, [8]), (273, 4, [8]), (279, 4, [16])]


def made(*pages: bytes) -> bytes:
    return b"II*\0" + struct.pack("<I", 24) + bytes(16) + b"".join(pages)


def test_a_chain_that_leads_into_itself():
    walk = TiffWalk(MemoryWindow(made(directory(IMAGE, 24, 24))))
    run([walk.start])
    assert len(walk.directories) == 1
    assert "leads to itself" in walk.damage


@pytest.mark.parametrize("address", [1 << 20, 23 + 2 + 60])
def test_a_chain_that_leads_nowhere(address):
    walk = TiffWalk(MemoryWindow(made(directory(IMAGE, 24, address))))
    run([walk.start])
    assert walk.directories[0].page is not None
    assert "damaged" in walk.damage


def test_values_beyond_the_file_cost_their_page():
    data = bytearray(made(directory([*IMAGE[:3], (273, 4, [8, 8]), IMAGE[4]], 24)))
    at = data.index(struct.pack("<HHI", 273, 4, 2)) + 8
    data[at : at + 4] = struct.pack("<I", 1 << 30)
    walk = TiffWalk(MemoryWindow(bytes(data)))
    run([walk.start])
    assert walk.directories[0].page is None
    assert "field 273" in walk.directories[0].why


def test_directories_that_overlap_end():
    """Each claims the rest of the file: what is read in all is bounded."""
    count = 4000
    rows = struct.pack("<HHII", 999, 1, 1, 0) * count
    pages = b"".join(struct.pack("<H", 20) + rows[: 20 * 12] + struct.pack("<I", 26 + 2 * n) for n in range(100))
    walk = TiffWalk(MemoryWindow(made(pages)))
    try:
        run([walk.start])
    except FormatError:
        return
    assert walk.damage or len(walk.directories) <= 101


def test_many_pages_take_few_rounds():
    data = io.BytesIO()
    with tifffile.TiffWriter(data) as file:
        for page in np.zeros((500, 64, 64), "u2"):
            file.write(page, metadata=None, contiguous=False)
    window = PagedWindow(data.getvalue(), 512)
    wanted: list[tuple[int, int]] = []
    window.want = lambda addresses, size: wanted.extend((int(a), size) for a in addresses)  # type: ignore[method-assign]
    running, rounds = run_paged(window)
    fetch = window.fetch

    def fetch_all(missing):
        fetch(missing)
        for address, size in wanted:
            window.held.update(window._pages(address, size))
        wanted.clear()

    window.fetch = fetch_all  # type: ignore[method-assign]
    walk = TiffWalk(window)
    running([walk.start])
    assert len(walk.directories) == 500
    assert all(one.page is not None for one in walk.directories)
    assert len(rounds) < 40
