"""Opening: the superblock is found, its extension read, and a `File` is there to be walked.

Contract: `open_file` reads through a Window and may raise `MissingBytes`. Specification 4.0, II and IV.A.2.p to x.
"""

from __future__ import annotations

from refmaker.errors import FormatError, TruncatedError, Unsupported
from refmaker.hdf5.checksum import verify
from refmaker.hdf5.file import File, file_at, read_header, verify_blocks
from refmaker.hdf5.metadata_cache_image import OverlayWindow, decode_cache_image, decode_cache_image_message
from refmaker.hdf5.shared_message import decode_sohm_indexes, decode_sohm_message, sohm_table_size
from refmaker.hdf5.sizes import need
from refmaker.hdf5.superblock import MAX_SIZE, SIGNATURE, Superblock, decode_superblock, signature_addresses
from refmaker.window import ShiftedWindow, Window

__all__ = ["find_superblock", "open_file"]

_SOHM_TABLE, _BTREE_K, _DRIVER_INFO, _CACHE_IMAGE = 0x0F, 0x13, 0x14, 0x18


def find_superblock(window: Window) -> Superblock:
    """Find and decode the superblock. Raises `FormatError` when there is none."""
    addresses = [a for a in signature_addresses(window.size) if a + len(SIGNATURE) <= window.size]
    if window.size < len(SIGNATURE):
        raise FormatError(
            "not an HDF5 file", structure="superblock", address=0, expected=SIGNATURE, got=f"{window.size} bytes"
        )
    for address in addresses:
        buf, pos = window.at(address, len(SIGNATURE))
        if bytes(buf[pos : pos + len(SIGNATURE)]) == SIGNATURE:
            size = min(MAX_SIZE, window.size - address)
            buf, pos = window.at(address, size)
            return decode_superblock(bytes(buf[pos : pos + size]), 0, address)
    buf, pos = window.at(0, len(SIGNATURE))
    got = bytes(buf[pos : pos + len(SIGNATURE)])
    raise FormatError("not an HDF5 file", structure="superblock", address=0, expected=SIGNATURE, got=got)


def open_file(window: Window) -> File:
    """Read superblock and superblock extension."""
    superblock = find_superblock(window)
    end = superblock.end_of_file
    if end > window.size:
        raise TruncatedError(
            "the file is truncated",
            structure="superblock",
            address=superblock.base,
            expected=f"{end} bytes",
            got=window.size,
        )
    shifted = ShiftedWindow(window, superblock.base) if superblock.base else window
    file = file_at(shifted, superblock)
    if superblock.indexed_storage_k is not None:
        file.chunk_k = superblock.indexed_storage_k
    if superblock.driver_information is not None:
        _refuse_driver(file, superblock.driver_information)
    if superblock.extension is not None:
        _read_extension(file, superblock.extension)
    return file


def _refuse_driver(file: File, address: int) -> None:
    """Refuse a file of a family, multi or split driver: 0 version | 1 reserved 3 | 4 size 4 | 8 driver 8."""
    buf, pos = file.window.at(address, 16)
    name = bytes(buf[pos + 8 : pos + 16]).rstrip(b"\0").decode("ascii", "backslashreplace")
    raise Unsupported(
        f"the file is a part of several, written by the driver {name}; join the parts first",
        structure="driver information block",
        address=address,
    )


def _read_extension(file: File, address: int) -> None:
    header = read_header(file, address)
    verify_blocks(header.blocks)
    # The image may hold what the other messages point to.
    for message in sorted(header.messages, key=lambda m: m.kind != _CACHE_IMAGE):
        if message.kind == _CACHE_IMAGE:
            _read_cache_image(file, message.body)
        elif message.kind == _BTREE_K:
            _set_btree_k(file, message.body)
        elif message.kind == _SOHM_TABLE:
            _read_sohm_table(file, message.body)
        elif message.kind == _DRIVER_INFO:
            name = message.body[1:9].rstrip(b"\0").decode("ascii", "backslashreplace")
            raise Unsupported(
                f"the file is a part of several, written by the driver {name}; join the parts first",
                structure="driver info message",
                address=address,
            )


def _set_btree_k(file: File, body: bytes) -> None:
    """Decode the B-tree 'K' Values message: 0 version | 1 indexed storage K 2 | groups: 3 internal K 2 | 5 leaf K 2."""
    what = "B-tree 'K' values message"
    need(body, 0, 7, what)
    if body[0] != 0:
        raise Unsupported("version", structure=what, expected=0, got=body[0])
    chunk, internal, leaf = (int.from_bytes(body[at : at + 2], "little") for at in (1, 3, 5))
    if 0 in (chunk, internal, leaf):
        raise FormatError("K", structure=what, expected="> 0", got=(chunk, internal, leaf))
    file.chunk_k, file.group_internal_k, file.group_leaf_k = chunk, internal, leaf


def _read_sohm_table(file: File, body: bytes) -> None:
    table, count = decode_sohm_message(body, file.sizes)
    size = sohm_table_size(count, file.sizes)
    buf, pos = file.window.at(table, size)
    block = bytes(buf[pos : pos + size])
    verify(block, "shared message table", table)
    file.sohm = decode_sohm_indexes(block, 0, count, file.sizes, table)


def _read_cache_image(file: File, body: bytes) -> None:
    place = decode_cache_image_message(body, file.sizes)
    if place is None:
        return
    buf, pos = file.window.at(*place)
    entries = decode_cache_image(bytes(buf[pos : pos + place[1]]), file.sizes, place[0])
    file.window = OverlayWindow(file.window, entries)
