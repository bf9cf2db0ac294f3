"""Superblock, versions 0 to 3: where the file begins, how wide its fields are, where the root group is.

Contract: `find_signature` and `decode_superblock` are pure. Specification 4.0, II.A. The signature stands at byte 0,
512, 1024, 2048, … of the file; what lies before it is the user block. As libhdf5 does, the place where the
superblock was found is taken as the base of all addresses, whatever the stored base address says.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct

from refmaker.errors import FormatError, Unsupported
from refmaker.hdf5.checksum import verify
from refmaker.hdf5.sizes import Sizes, check_sizes, need
from refmaker.window import Buffer

__all__ = ["MAX_SIZE", "SIGNATURE", "Superblock", "decode_superblock", "signature_addresses"]

SIGNATURE = b"\x89HDF\r\n\x1a\n"

# Versions 0 and 1, fixed part; version 1 goes on with indexed storage K (2) and reserved (2); then, by size of offsets:
#   base, free space, end of file, driver information block, root group symbol table entry
#   0 signature 8 | 8 version | 9 free space version | 10 root entry version | 11 reserved | 12 shared header version
#   13 size of offsets | 14 size of lengths | 15 reserved | 16 group leaf K 2 | 18 group internal K 2 | 20 flags 4
_V0 = Struct("<8sBBBxBBBxHHI")
# Versions 2 and 3: 0 signature 8 | 8 version | 9 size of offsets | 10 size of lengths | 11 flags
#   then base, superblock extension, end of file, root group object header, checksum 4
_V2 = Struct("<8sBBBB")

MAX_SIZE = 28 + 4 * 8 + 2 * 8 + 24


@dataclass(frozen=True, slots=True)
class Superblock:
    """What the superblock says. `base` is where it stands; other addresses count from there, None where undefined.

    `end_of_file` counts from the start of the file, also where a file was moved behind a user block afterwards.

    `indexed_storage_k` is None where the default (32) or the superblock extension decides.
    """

    version: int
    base: int
    sizes: Sizes
    end_of_file: int
    root: int
    extension: int | None
    driver_information: int | None
    group_leaf_k: int
    group_internal_k: int
    indexed_storage_k: int | None
    consistency_flags: int


def signature_addresses(file_size: int) -> list[int]:
    """Return the addresses at which a superblock may stand in a file of this size."""
    addresses, address = [0], 512
    while address + len(SIGNATURE) <= file_size:
        addresses.append(address)
        address *= 2
    return addresses


def decode_superblock(buf: Buffer, pos: int, address: int) -> Superblock:
    """Decode the superblock whose signature stands at `pos`, `address` in the file."""
    need(buf, pos, 12, "superblock")
    version = buf[pos + 8]
    if version in (0, 1):
        return _decode_v0(buf, pos, address, version)
    if version in (2, 3):
        return _decode_v2(buf, pos, address, version)
    raise Unsupported(
        "version of the superblock", structure="superblock", address=address, expected="0 to 3", got=version
    )


def _decode_v0(buf: Buffer, pos: int, address: int, version: int) -> Superblock:
    need(buf, pos, _V0.size, "superblock")
    _, _, free_version, entry_version, shared_version, offsets, lengths, leaf_k, internal_k, flags = _V0.unpack_from(
        buf, pos
    )
    for what, got in (("free space", free_version), ("root entry", entry_version), ("shared header", shared_version)):
        if got != 0:
            raise Unsupported(f"{what} version", structure="superblock", address=address, expected=0, got=got)
    sizes = check_sizes(offsets, lengths, address)
    p, indexed_k = pos + _V0.size, None
    if version == 1:
        need(buf, p, 4, "superblock")
        indexed_k = int.from_bytes(buf[p : p + 2], "little")
        p += 4
    fields = sizes.struct("4OLO")
    need(buf, p, fields.size, "superblock")
    stored_base, _, end_of_file, driver, _, root = fields.unpack_from(buf, p)
    for what, k in (("group leaf node K", leaf_k), ("group internal node K", internal_k), ("chunk K", indexed_k)):
        if k == 0:
            raise FormatError(what, structure="superblock", address=address, expected="> 0", got=0)
    return Superblock(
        version=version,
        base=address,
        sizes=sizes,
        end_of_file=end_of_file + address - stored_base,
        root=root,
        extension=None,
        driver_information=None if driver == sizes.undefined else driver,
        group_leaf_k=leaf_k,
        group_internal_k=internal_k,
        indexed_storage_k=indexed_k,
        consistency_flags=flags,
    )


def _decode_v2(buf: Buffer, pos: int, address: int, version: int) -> Superblock:
    _, _, offsets, lengths, flags = _V2.unpack_from(buf, pos)
    sizes = check_sizes(offsets, lengths, address)
    size = _V2.size + 4 * offsets + 4
    need(buf, pos, size, "superblock")
    verify(bytes(buf[pos : pos + size]), "superblock", address)
    stored_base, extension, end_of_file, root = sizes.struct("4O").unpack_from(buf, pos + _V2.size)
    return Superblock(
        version=version,
        base=address,
        sizes=sizes,
        end_of_file=end_of_file + address - stored_base,
        root=root,
        extension=None if extension == sizes.undefined else extension,
        driver_information=None,
        group_leaf_k=4,
        group_internal_k=16,
        indexed_storage_k=None,
        consistency_flags=flags,
    )
