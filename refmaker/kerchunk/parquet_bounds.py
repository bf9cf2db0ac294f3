"""What a Parquet file can unpack to, found out before anything unpacks it.

Contract: pure. The library that reads the file makes room for what each page claims, and what the file says of its
columns as a whole need not be true; so the pages themselves are looked at, one header after the other, as it will.
Encodings by which a page can stand for far more than its unpacked size are refused, and so are nested columns. Source:
Apache Parquet format 2.11 (parquet.thrift), Thrift compact protocol.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import Any

from refmaker import limits
from refmaker.errors import ManifestError

__all__ = ["Bounds", "bounds_of"]

_MAGIC = b"PAR1"
_DEPTH = 16
_ENCODINGS = {0, 2, 3, 4, 5, 6, 8, 9}
"""All but DELTA_BYTE_ARRAY (7), whose values share beginnings, and what is not known."""

_OVERREADING = re.compile(rb"parquet-mr version (0|1\.[012])\b")
"""Files of these writers are read some bytes beyond the end of their columns."""

_TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = 1, 2, 3, 7, 8, 9, 10, 11, 12


@dataclass(frozen=True, slots=True)
class Bounds:
    """What there is in a file: names of its columns, rows, bytes that its pages unpack to."""

    columns: tuple[str, ...]
    rows: int
    unpacked: int


def bounds_of(data: bytes) -> Bounds:
    """Look through a file.

    Raises
    ------
    ManifestError
        It is none, or none that is read here.
    """
    try:
        return _bounds(data)
    except (IndexError, KeyError, TypeError, ValueError, AttributeError) as error:  # fields of other types
        raise _wrong("it is damaged") from error


def _wrong(message: str) -> ManifestError:
    return ManifestError(f"not a Parquet file of references: {message}")


def _bounds(data: bytes) -> Bounds:
    if len(data) < 12 or not (data.startswith(_MAGIC) and data.endswith(_MAGIC)):
        raise _wrong("no signature")
    (length,) = struct.unpack_from("<I", data, len(data) - 8)
    start = len(data) - 8 - length
    if start < 4:
        raise _wrong("the footer is longer than the file")
    footer = _Reader(data, start, len(data) - 8).struct(0)
    if _OVERREADING.match(footer.get(6, b"")):
        raise _wrong("its writer is too old")
    columns = _columns(footer[2])
    groups = footer[4]
    rows = sum(max(group[3], 0) for group in groups)
    unpacked = 0
    for group in groups:
        if len(group[1]) != len(columns):
            raise _wrong("a row group with other columns")
        for chunk in group[1]:
            unpacked += _unpacked(data, chunk, start)
    return Bounds(columns, rows, unpacked)


def _columns(schema: list[dict[int, Any]]) -> tuple[str, ...]:
    root, *leaves = schema
    if root.get(5) != len(leaves) or any(leaf.get(5) for leaf in leaves) or len(leaves) > limits.SHARD_COLUMNS:
        raise _wrong(f"nested columns, or more than {limits.SHARD_COLUMNS}")
    if any(leaf.get(3) == 2 for leaf in leaves):
        raise _wrong("a repeated column")
    return tuple(leaf[4].decode() for leaf in leaves)


def _unpacked(data: bytes, chunk: dict[int, Any], end: int) -> int:
    """Return the bytes that the pages of a column chunk unpack to."""
    if chunk.get(1) or chunk.get(8) or 3 not in chunk:
        raise _wrong("a column in another file, or encrypted")
    column = chunk[3]
    offsets = [column[9], *([column[11]] if column.get(11, 0) > 0 else [])]
    at = min(offsets)
    stop = at + column[7]
    if at < 4 or column[7] < 0 or stop > end or not 0 <= column[5] <= limits.SHARD_ROWS:
        raise _wrong("a column that does not lie in it, or has too many values")
    unpacked = 0
    while at < stop:
        reader = _Reader(data, at, stop)
        page = reader.struct(0)
        if page[2] < 0 or page[3] < 0:
            raise _wrong("a page of negative size")
        for number, encoding in ((5, 2), (7, 2), (8, 4)):
            if number in page and page[number].get(encoding) not in _ENCODINGS:
                raise _wrong(f"the encoding {page[number].get(encoding)}")
        unpacked += page[2]
        at = reader.at + page[3]
    if at != stop:
        raise _wrong("a page that reaches beyond its column")
    return unpacked


class _Reader:
    """Reads the compact protocol: structs as dicts by the number of a field."""

    def __init__(self, data: bytes, at: int, stop: int) -> None:
        self.data = data
        self.at = at
        self.stop = stop

    def struct(self, depth: int) -> dict[int, Any]:
        """Read a struct."""
        found: dict[int, Any] = {}
        number = 0
        while (head := self._byte()) & 15:
            number = number + (head >> 4) if head >> 4 else self._signed()
            if number in found:
                raise _wrong("a field that stands twice")
            found[number] = self._value(head & 15, depth, field=True)
        return found

    def _value(self, kind: int, depth: int, *, field: bool = False) -> Any:
        if depth > _DEPTH:
            raise _wrong("nested too deep")
        if kind in (_TRUE, _FALSE):
            return kind == _TRUE if field else self._byte() == _TRUE
        if kind == _BYTE:
            return self._byte()
        if kind < _DOUBLE:
            return self._signed()
        if kind == _DOUBLE:
            return self._bytes(8)
        if kind == _BINARY:
            return self._bytes(self._unsigned())
        if kind in (_LIST, _SET):
            head = self._byte()
            count = head >> 4 if head >> 4 < 15 else self._unsigned()
            return [self._value(head & 15, depth + 1) for _ in range(self._count(count))]
        if kind == _MAP:
            count = self._count(self._unsigned())
            kinds = self._byte() if count else 0
            return [(self._value(kinds >> 4, depth + 1), self._value(kinds & 15, depth + 1)) for _ in range(count)]
        if kind == _STRUCT:
            return self.struct(depth + 1)
        raise _wrong(f"the type {kind}")

    def _count(self, count: int) -> int:
        if count > self.stop - self.at:  # every item takes a byte
            raise _wrong("a list longer than the file")
        return count

    def _byte(self) -> int:
        if self.at >= self.stop:
            raise _wrong("it ends early")
        self.at += 1
        return self.data[self.at - 1]

    def _bytes(self, size: int) -> bytes:
        if size > self.stop - self.at:
            raise _wrong("it ends early")
        self.at += size
        return self.data[self.at - size : self.at]

    def _unsigned(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                return value
            if shift > 63:
                raise _wrong("a number of too many bytes")

    def _signed(self) -> int:
        value = self._unsigned()
        return value >> 1 ^ -(value & 1)
