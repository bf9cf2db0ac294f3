from __future__ import annotations

import numpy as np
import pytest

from refmaker.errors import FormatError, TruncatedError
from refmaker.hdf5.metadata_cache_image import OverlayWindow, decode_cache_image, decode_cache_image_message
from refmaker.hdf5.sizes import Sizes
from refmaker.sources.memory import MemoryWindow
from refmaker.sources.sparse import SparseWindow
from refmaker.window import MissingBytes
from tests.hdf5.assembling import (
    CACHE_IMAGE,
    UNDEFINED,
    Image,
    group,
    hard_link,
    header_2,
    number,
    signed,
)
from tests.hdf5.walking import plain, tree_in_rounds, tree_of

WIDE = Sizes(8, 8)


def image_of(entries: list[tuple[int, bytes]], *, parents: int = 1) -> bytes:
    body = b"MDCI\0\0" + number(0) + number(len(entries), 4)
    for place, block in entries:
        head = bytes(4) + bytes(4) + number(parents, 2) + number(0, 4) + number(place) + number(len(block))
        body += head + number(7) * parents + block
    return signed(body)


def test_message():
    assert decode_cache_image_message(b"\0" + number(700) + number(80), WIDE) == (700, 80)
    assert decode_cache_image_message(b"\0" + number(UNDEFINED) + number(0), WIDE) is None
    with pytest.raises(TruncatedError):
        decode_cache_image_message(b"\0" + number(700), WIDE)


@pytest.mark.parametrize("parents", [0, 1, 3])
def test_entries(parents):
    entries = {700: b"abc", 100: b"defgh"}
    assert decode_cache_image(image_of(list(entries.items()), parents=parents), WIDE, 0) == entries


def test_what_cannot_be():
    good = image_of([(700, b"abc"), (100, b"defgh")])
    for size in range(len(good)):
        with pytest.raises(FormatError):
            decode_cache_image(good[:size], WIDE, 0)
    for i in range(len(good)):
        bad = bytearray(good)
        bad[i] ^= 1
        with pytest.raises(FormatError):
            decode_cache_image(bytes(bad), WIDE, 0)
    with pytest.raises(FormatError, match="overlap"):
        decode_cache_image(image_of([(100, b"abc"), (102, b"defgh")]), WIDE, 0)
    with pytest.raises(TruncatedError):
        decode_cache_image(signed(good[:14] + number(1 << 31, 4) + good[18:-4]), WIDE, 0)


def overlaid() -> tuple[bytes, OverlayWindow]:
    data = bytes(range(200))
    entries = {10: b"A" * 5, 20: b"B" * 10, 30: b"C" * 4, 195: b"D" * 5}
    truth = bytearray(data)
    for place, block in entries.items():
        truth[place : place + len(block)] = block
    return bytes(truth), OverlayWindow(MemoryWindow(data), entries)


def test_reads_of_any_place_and_size():
    truth, window = overlaid()
    for start in range(200):
        for size in (0, 1, 3, 8, 25, 60):
            if start + size <= 200:
                buf, pos = window.at(start, size)
                assert bytes(buf[pos : pos + size]) == truth[start : start + size]
    addresses = np.array([8, 19, 30, 100], "u8")
    assert window.rows(addresses, 12).tobytes() == b"".join(truth[a : a + 12] for a in (8, 19, 30, 100))
    assert window.size == 200
    with pytest.raises(TruncatedError):
        window.at(198, 3)


def test_announced_are_only_bytes_that_the_image_does_not_have():
    pages = SparseWindow(4096)
    window = OverlayWindow(pages, {256: bytes(64), 1024: bytes(16)})
    window.want([256, 1024, 2048], 40)
    with pytest.raises(MissingBytes) as missing:
        pages.at(0, 1)
    assert sorted(missing.value.addresses.tolist()) == [0, 1024, 2048]


@pytest.mark.parametrize("page_bits", [6, 9])
def test_a_file_whose_objects_are_in_the_image(page_bits):
    image = Image()
    root = image.place(bytes(100))
    child = image.place(bytes(40))
    blocks = [(root, group([hard_link(b"a", child)])), (child, group())]
    block = image_of(blocks)
    extension = header_2([(CACHE_IMAGE, b"\0" + number(image.next) + number(len(block)))])
    image.place(block)
    data = image.file(root, extension=image.place(extension))
    assert list(tree_of(data).groups) == ["/", "/a"]
    assert plain(tree_in_rounds(data, page_bits)[0]) == plain(tree_of(data))
