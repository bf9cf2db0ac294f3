from __future__ import annotations

import pytest

from refmaker.errors import FormatError, TruncatedError, Unsupported
from refmaker.hdf5.opening import find_superblock, open_file
from refmaker.sources.memory import MemoryWindow
from tests.hdf5.assembling import (
    BTREE_K,
    DRIVER_INFO,
    SIGNATURE,
    Image,
    group,
    header_1,
    header_2,
    number,
    superblock_0,
    superblock_2,
)
from tests.hdf5.making import filled, made
from tests.hdf5.walking import in_rounds, plain, tree_in_rounds, tree_of


def test_signatures_are_looked_for_behind_user_blocks():
    for at in (0, 512, 1024, 2048, 4096):
        data = bytes(at) + superblock_2(48, 600 + at, base=at) + bytes(600)
        found = find_superblock(MemoryWindow(data))
        assert (found.base, found.root) == (at, 48)
        assert plain(in_rounds(data, 6, find_superblock)[0]) == plain(found)


@pytest.mark.parametrize(
    "data", [b"", b"\x89HDF", bytes(4000), b"CDF\1" + bytes(100), bytes(256) + SIGNATURE + bytes(900)]
)
def test_no_signature(data):
    with pytest.raises(FormatError, match="not an HDF5 file"):
        find_superblock(MemoryWindow(data) if data else _Empty())


class _Empty:
    size = 0


def test_signature_and_no_more():
    for at in (0, 512):
        with pytest.raises(TruncatedError):
            find_superblock(MemoryWindow(bytes(at) + SIGNATURE))


def test_a_file_that_was_cut():
    data = made(lambda f: f.create_group("g"))
    for size in (len(data) - 1, len(data) // 2):
        with pytest.raises(TruncatedError, match="the file is truncated"):
            open_file(MemoryWindow(data[:size]))
    assert tree_of(data + b"more").groups.keys() == {"/", "/g"}


@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_user_blocks_put_before_and_taken_away(libver):
    """Addresses count from where the superblock stands, whatever base address it names."""

    def build(file):
        filled(file.create_dataset("x", (4,), "<i4"))

    for written in (0, 512, 1024):
        image = made(build, libver=libver, userblock=written)[written:]
        for found in (0, 512, 2048):
            data = bytes(found) + image
            storage = tree_of(data).datasets["/x"].storage
            assert data[storage.offset : storage.offset + 16] == bytes([1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0])
            assert plain(tree_in_rounds(data, 7)[0]) == plain(tree_of(data))


def extended(messages, *, version: int = 2) -> bytes:
    image = Image()
    extension = image.place((header_2 if version == 2 else header_1)(messages))
    return image.file(image.place(group()), extension=extension)


def test_btree_k():
    body = b"\0" + number(33, 2) + number(17, 2) + number(5, 2)
    for version in (1, 2):
        file = open_file(MemoryWindow(extended([(BTREE_K, body)], version=version)))
        assert (file.chunk_k, file.group_internal_k, file.group_leaf_k) == (33, 17, 5)
    file = open_file(MemoryWindow(extended([])))
    assert (file.chunk_k, file.group_internal_k, file.group_leaf_k) == (32, 16, 4)
    with pytest.raises(FormatError, match="K"):
        open_file(MemoryWindow(extended([(BTREE_K, bytes(7))])))
    with pytest.raises(TruncatedError):
        open_file(MemoryWindow(extended([(BTREE_K, body[:6])])))
    with pytest.raises(Unsupported, match="version"):
        open_file(MemoryWindow(extended([(BTREE_K, b"\1" + body[1:])])))


@pytest.mark.parametrize("driver", ["NCSAmult", "NCSAfami"])
def test_drivers_are_refused_by_name(driver):
    message = bytes([0]) + driver.encode() + number(4, 2) + bytes(4)
    with pytest.raises(Unsupported, match=driver):
        open_file(MemoryWindow(extended([(DRIVER_INFO, message)])))
    block = bytes([0, 0, 0, 0]) + number(4, 4) + driver.encode() + bytes(4)
    data = bytearray(superblock_0(200, 400))
    data[48:56] = number(len(data))
    with pytest.raises(Unsupported, match=driver):
        open_file(MemoryWindow(bytes(data) + block + bytes(400)))


def test_extension_with_a_wrong_checksum():
    data = bytearray(extended([(BTREE_K, b"\0" + number(33, 2) * 3)]))
    data[data.index(b"OHDR") + 14] ^= 1
    with pytest.raises(FormatError, match="checksum"):
        open_file(MemoryWindow(bytes(data)))
