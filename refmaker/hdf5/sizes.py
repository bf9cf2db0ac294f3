"""Widths of the file's own fields: "Size of Offsets" and "Size of Lengths" of the superblock.

Contract: pure. HDF5 File Format Specification 4.0, II.A. Addresses of all ones are undefined.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from struct import Struct

from refmaker.errors import FormatError, TruncatedError
from refmaker.window import Buffer

__all__ = ["Sizes", "encoded_size", "need", "unsigned"]

_FORMAT = {2: "H", 4: "I", 8: "Q"}


def unsigned(buf: Buffer, pos: int, size: int) -> int:
    """Decode a little-endian unsigned integer of any size."""
    return int.from_bytes(buf[pos : pos + size], "little")


def need(buf: Buffer, pos: int, size: int, structure: str) -> None:
    """Raise `TruncatedError` unless `size` bytes can be read from `pos`."""
    if size < 0 or pos + size > len(buf):
        raise TruncatedError(
            "ends too early", structure=structure, expected=f"{size} bytes at offset {pos}", got=f"{len(buf)} in all"
        )


def encoded_size(limit: int) -> int:
    """Return the bytes that libhdf5 uses to encode numbers up to `limit` (H5VM_limit_enc_size)."""
    return (max(limit, 1).bit_length() - 1) // 8 + 1


@dataclass(frozen=True, slots=True)
class Sizes:
    """Sizes in bytes of addresses (`offsets`) and lengths (`lengths`) in one file: 2, 4 or 8."""

    offsets: int
    lengths: int

    @property
    def undefined(self) -> int:
        """The undefined address."""
        return (1 << 8 * self.offsets) - 1

    @property
    def offset_format(self) -> str:
        """The `struct` and numpy-compatible format character of an address."""
        return _FORMAT[self.offsets]

    @property
    def length_format(self) -> str:
        """The `struct` format character of a length."""
        return _FORMAT[self.lengths]

    def struct(self, layout: str) -> Struct:
        """Compile a little-endian layout in which `O` stands for an address and `L` for a length."""
        return _compiled(layout, self.offset_format, self.length_format)

    def address(self, buf: Buffer, pos: int) -> int:
        """Decode an address."""
        return unsigned(buf, pos, self.offsets)

    def length(self, buf: Buffer, pos: int) -> int:
        """Decode a length."""
        return unsigned(buf, pos, self.lengths)


@lru_cache(1024)
def _compiled(layout: str, offset: str, length: str) -> Struct:
    return Struct("<" + layout.replace("L", length).replace("O", offset))


def check_sizes(offsets: int, lengths: int, address: int) -> Sizes:
    """Return the `Sizes`, or raise `FormatError` for widths that this reader, like libhdf5 on 64 bits, cannot hold."""
    for what, size in (("size of offsets", offsets), ("size of lengths", lengths)):
        if size not in _FORMAT:
            raise FormatError(what, structure="superblock", address=address, expected="2, 4 or 8", got=size)
    return Sizes(offsets, lengths)
