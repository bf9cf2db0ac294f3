"""The header of a TIFF file and its directories (IFDs).

Contract: pure decoders from bytes to records. A count of entries or values is held to the file before anything is read
for it. Source: TIFF 6.0, section 2; BigTIFF design (version 43).

    header, TIFF [8]:     "II" or "MM" | version 42 u2 | first IFD u4
    header, BigTIFF [16]: "II" or "MM" | version 43 u2 | size of addresses u2 = 8 | 0 u2 | first IFD u8
    IFD:   count u2 (u8) | entries | next IFD u4 (u8), 0 for none
    entry [12] ([20]): tag u2 | type u2 | count u4 (u8) | values, or their address, u4 (u8)
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from refmaker.errors import FormatError
from refmaker.window import Buffer

__all__ = ["TYPES", "Entry", "Header", "decode_entries", "decode_header", "decode_values"]

TYPES: Final = {
    1: "u1",
    2: "S1",
    3: "u2",
    4: "u4",
    5: "u4",  # rationals are two
    6: "i1",
    7: "u1",
    8: "i2",
    9: "i4",
    10: "i4",
    11: "f4",
    12: "f8",
    13: "u4",
    16: "u8",
    17: "i8",
    18: "u8",
}
"""Type of a field -> dtype of its values, without the byte order."""
_RATIONAL: Final = (5, 10)
_STRUCTURE: Final = "TIFF header"


@dataclass(frozen=True, slots=True)
class Header:
    """What the first bytes say.

    Attributes
    ----------
    order
        "<" or ">".
    big
        BigTIFF: addresses and counts have 8 bytes.
    first
        Address of the first directory.
    """

    order: str
    big: bool
    first: int

    @property
    def count_size(self) -> int:
        """Bytes of the count of entries."""
        return 8 if self.big else 2

    @property
    def entry_size(self) -> int:
        """Bytes of an entry."""
        return 20 if self.big else 12

    @property
    def word(self) -> int:
        """Bytes of an address."""
        return 8 if self.big else 4

    def number(self, buf: Buffer, pos: int, size: int) -> int:
        """Return an unsigned number of `size` bytes."""
        return int.from_bytes(buf[pos : pos + size], "little" if self.order == "<" else "big")


@dataclass(frozen=True, slots=True)
class Entry:
    """One field of a directory.

    Attributes
    ----------
    address
        Of its values: in the entry itself where they fit.
    """

    tag: int
    type: int
    count: int
    address: int

    @property
    def size(self) -> int:
        """Bytes of its values."""
        return self.count * np.dtype(TYPES[self.type]).itemsize * (2 if self.type in _RATIONAL else 1)


def decode_header(buf: Buffer, pos: int, size: int) -> Header:
    """Decode the header of a file of which `size` bytes can be read, 16 of BigTIFF."""
    order = {b"II": "<", b"MM": ">"}.get(bytes(buf[pos : pos + 2]))
    if order is None or size < 8:
        raise FormatError("signature", structure=_STRUCTURE, address=0, got=bytes(buf[pos : pos + min(size, 8)]))
    version = struct.unpack_from(order + "H", buf, pos + 2)[0]
    if version == 42:
        return Header(order, False, struct.unpack_from(order + "I", buf, pos + 4)[0])
    if version != 43 or size < 16:
        raise FormatError("version", structure=_STRUCTURE, address=2, expected="42 or 43", got=version)
    word, zero, first = struct.unpack_from(order + "HHQ", buf, pos + 4)
    if (word, zero) != (8, 0):
        raise FormatError("size of addresses", structure=_STRUCTURE, address=4, expected=8, got=word)
    return Header(order, True, first)


def decode_entries(buf: Buffer, pos: int, count: int, address: int, header: Header) -> dict[int, Entry]:
    """Decode the entries of a directory: tag -> entry, the first of each tag.

    Parameters
    ----------
    address
        Where the first entry stands in the file.

    Notes
    -----
    Fields of unknown type are left out, as the specification asks for.
    """
    found: dict[int, Entry] = {}
    form = struct.Struct(header.order + ("HHQQ" if header.big else "HHII"))
    for number in range(count):
        tag, kind, values, value = form.unpack_from(buf, pos + number * header.entry_size)
        if kind not in TYPES or tag in found:
            continue
        entry = Entry(tag, kind, values, value)
        if entry.size <= header.word:
            entry = Entry(tag, kind, values, address + number * header.entry_size + header.entry_size - header.word)
        found[tag] = entry
    return found


def decode_values(buf: Buffer, pos: int, entry: Entry, order: str) -> Any:
    """Decode the values of a field: `bytes` of text and of undefined ones, else an array; fractions of rationals."""
    if entry.type in (2, 7):
        return bytes(buf[pos : pos + entry.size])
    per = 2 if entry.type in _RATIONAL else 1
    found = np.frombuffer(buf, order + TYPES[entry.type], entry.count * per, pos).copy()
    if per == 1:
        return found
    pairs = found.reshape(-1, 2).astype("f8")
    return np.divide(pairs[:, 0], pairs[:, 1], out=np.full(len(pairs), np.nan), where=pairs[:, 1] != 0)
