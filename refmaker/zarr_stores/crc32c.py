"""CRC-32C, the checksum of shard indexes.

Contract: `crc32c` gives what RFC 3720, B.4 has, by google-crc32c where it is installed (zarr-python 3 brings it along),
else by a table.
"""

from __future__ import annotations

from functools import cache

__all__ = ["crc32c"]

_POLYNOMIAL = 0x82F63B78
"""Castagnoli's, reflected."""


def crc32c(data: bytes) -> int:
    """Return the checksum of bytes.

    Examples
    --------
    >>> hex(crc32c(b"123456789"))
    '0xe3069283'
    """
    try:
        import google_crc32c
    except ImportError:
        return by_table(data)
    return int(google_crc32c.value(data))


def by_table(data: bytes) -> int:
    """Return the checksum of bytes without any library."""
    table, crc = _table(), 0xFFFFFFFF
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


@cache
def _table() -> list[int]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = (value >> 1) ^ (_POLYNOMIAL if value & 1 else 0)
        table.append(value)
    return table
