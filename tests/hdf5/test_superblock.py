from __future__ import annotations

import pytest

from refmaker.errors import FormatError, TruncatedError, Unsupported
from refmaker.hdf5.superblock import decode_superblock, signature_addresses
from tests.hdf5.assembling import UNDEFINED, signed, superblock_0, superblock_2


def test_places():
    assert signature_addresses(0) == [0]
    assert signature_addresses(519) == [0]
    assert signature_addresses(520) == [0, 512]
    assert signature_addresses(5000) == [0, 512, 1024, 2048, 4096]


@pytest.mark.parametrize("offsets", [2, 4, 8])
@pytest.mark.parametrize("lengths", [2, 4, 8])
@pytest.mark.parametrize("chunk_k", [0, 77])
def test_versions_0_and_1(offsets, lengths, chunk_k):
    data = superblock_0(96, 5000, offsets=offsets, lengths=lengths, k=(5, 17), chunk_k=chunk_k)
    found = decode_superblock(b"xx" + data, 2, 0)
    assert (found.version, found.base, found.root, found.end_of_file) == (1 if chunk_k else 0, 0, 96, 5000)
    assert (found.sizes.offsets, found.sizes.lengths) == (offsets, lengths)
    assert (found.group_leaf_k, found.group_internal_k, found.indexed_storage_k) == (5, 17, chunk_k or None)
    assert found.driver_information is found.extension is None


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("width", [2, 4, 8])
def test_versions_2_and_3(version, width):
    found = decode_superblock(superblock_2(96, 5000, version=version, width=width, extension=200, flags=5), 0, 0)
    assert (found.version, found.root, found.end_of_file, found.extension) == (version, 96, 5000, 200)
    assert found.consistency_flags == 5
    assert decode_superblock(superblock_2(96, 5000, width=width), 0, 0).extension is None


def test_a_base_that_moved():
    """Where the superblock was found is the base; the end of the file moves along."""
    for block in (superblock_0(96, 5512, base=512), superblock_2(96, 5512, base=512)):
        assert [decode_superblock(block, 0, at).end_of_file for at in (0, 512, 2048)] == [5000, 5512, 7048]
        assert decode_superblock(block, 0, 2048).base == 2048


@pytest.mark.parametrize("block", [superblock_0(96, 5000), superblock_0(96, 5000, chunk_k=3), superblock_2(96, 5000)])
def test_truncated(block):
    # The root entry's cache, which is not read, ends versions 0 and 1.
    needed = len(block) - (24 if block[8] < 2 else 0)
    decode_superblock(block[:needed], 0, 0)
    for size in range(needed):
        with pytest.raises(TruncatedError):
            decode_superblock(block[:size], 0, 0)


def test_every_bit_of_version_2_counts():
    block = superblock_2(96, 5000)
    for i in range(8, len(block)):
        for bit in range(8):
            bad = bytearray(block)
            bad[i] ^= 1 << bit
            with pytest.raises((FormatError, Unsupported)):
                decode_superblock(bytes(bad), 0, 0)


@pytest.mark.parametrize("version", [4, 200])
def test_unknown_version(version):
    with pytest.raises(Unsupported, match="version"):
        decode_superblock(superblock_2(0, 0)[:8] + bytes([version]) + bytes(60), 0, 0)


@pytest.mark.parametrize("at", [9, 10, 12])
def test_unknown_versions_of_parts(at):
    block = bytearray(superblock_0(96, 5000))
    block[at] = 1
    with pytest.raises(Unsupported, match="version"):
        decode_superblock(bytes(block), 0, 0)


@pytest.mark.parametrize("options", [{"k": (0, 16)}, {"k": (4, 0)}])
def test_k_of_zero(options):
    with pytest.raises(FormatError, match="node K"):
        decode_superblock(superblock_0(96, 5000, **options), 0, 0)


def test_widths():
    block = superblock_2(96, 5000)
    with pytest.raises(FormatError, match="size of offsets"):
        decode_superblock(signed(block[:9] + b"\3" + block[10:-4]), 0, 0)


def test_driver_information_block():
    block = bytearray(superblock_0(96, 5000))
    block[24 + 24 : 24 + 32] = (200).to_bytes(8, "little")
    assert decode_superblock(bytes(block), 0, 0).driver_information == 200
    assert UNDEFINED == 2**64 - 1
