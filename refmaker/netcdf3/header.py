"""The header of a netCDF classic file, decoded: CDF-1 (classic), CDF-2 (64-bit offset), CDF-5 (64-bit data).

Contract: pure. `decode_header` takes the first bytes of a file and gives a `Header`, or raises `FormatError` (the
bytes contradict the grammar), `TruncatedError` (the file ends too early) or `TruncatedHeader` (more bytes are needed,
and the file has them). Every count is checked against the bytes that the file still has before anything is built.
Nothing here looks at data: see `refmaker.netcdf3.layout` for where it lies.

Sources: "The NetCDF Classic Format Specification" (netCDF-C documentation, Appendix B), whose terms are used here; for
CDF-5 the PnetCDF file format definition, where NON_NEG is 8 bytes wide and five external types are added.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final, TypeVar

from refmaker import limits
from refmaker.errors import FormatError, TruncatedError

__all__ = [
    "AttributeEntry",
    "Dimension",
    "ExternalType",
    "Header",
    "TruncatedHeader",
    "VariableEntry",
    "decode_header",
]

MAGIC: Final = b"CDF"
NC_DIMENSION: Final = 10
NC_VARIABLE: Final = 11
NC_ATTRIBUTE: Final = 12
MAX_NAME: Final = limits.NETCDF3_NAME  # bytes; netCDF-C writes 256 at most
MAX_RANK: Final = limits.NETCDF3_RANK  # NC_MAX_VAR_DIMS

_Entry = TypeVar("_Entry")
_INT32 = struct.Struct(">i")
_UINT32 = struct.Struct(">I")
_INT64 = struct.Struct(">q")
_UINT64 = struct.Struct(">Q")


class TruncatedHeader(TruncatedError):
    """The bytes given end inside the header, and the file goes on.

    `first_begin` is the lowest `begin` among the variables decoded so far: the header ends there at the latest.
    """

    first_begin: int | None = None


@dataclass(frozen=True, slots=True)
class ExternalType:
    """An nc_type. `fill` is the default fill value as it stands in a file."""

    code: int
    name: str
    dtype: str
    size: int
    fill: bytes


# The default fill values are NC_FILL_* of netcdf.h, as big-endian bytes.
_TYPES: Final = {
    t.code: t
    for t in (
        ExternalType(1, "NC_BYTE", "i1", 1, b"\x81"),
        ExternalType(2, "NC_CHAR", "S1", 1, b"\x00"),
        ExternalType(3, "NC_SHORT", ">i2", 2, b"\x80\x01"),
        ExternalType(4, "NC_INT", ">i4", 4, b"\x80\x00\x00\x01"),
        ExternalType(5, "NC_FLOAT", ">f4", 4, b"\x7c\xf0\x00\x00"),
        ExternalType(6, "NC_DOUBLE", ">f8", 8, b"\x47\x9e\x00\x00\x00\x00\x00\x00"),
        ExternalType(7, "NC_UBYTE", "u1", 1, b"\xff"),
        ExternalType(8, "NC_USHORT", ">u2", 2, b"\xff\xff"),
        ExternalType(9, "NC_UINT", ">u4", 4, b"\xff\xff\xff\xff"),
        ExternalType(10, "NC_INT64", ">i8", 8, b"\x80\x00\x00\x00\x00\x00\x00\x02"),
        ExternalType(11, "NC_UINT64", ">u8", 8, b"\xff\xff\xff\xff\xff\xff\xff\xfe"),
    )
}


@dataclass(frozen=True, slots=True)
class _Version:
    """How wide the fields of one version are, and the largest values that writers put there."""

    number: int
    non_neg: struct.Struct
    offset: struct.Struct
    max_length: int
    max_records: int
    max_type: int


# All bits of numrecs set are STREAMING, so that the largest count is one less.
# CDF-2 dimensions may have lengths up to 2**32 - 4: netCDF-C writes and reads this NON_NEG without a sign.
_VERSIONS: Final = {
    1: _Version(1, _UINT32, _INT32, 2**31 - 1, 2**31 - 1, 6),
    2: _Version(2, _UINT32, _INT64, 2**32 - 4, 2**32 - 2, 6),
    5: _Version(5, _UINT64, _INT64, 2**63 - 1, 2**63 - 1, 11),
}


@dataclass(frozen=True, slots=True)
class Dimension:
    """A dim of the dim_list; `length` 0 marks the record dimension."""

    name: str
    length: int


@dataclass(frozen=True, slots=True)
class AttributeEntry:
    """An attr: `data` holds `count` values as they stand in the file, without padding."""

    name: str
    type: ExternalType
    count: int
    data: bytes


@dataclass(frozen=True, slots=True)
class VariableEntry:
    """A var. `address` is where its entry starts in the header, `begin` where its data starts."""

    name: str
    address: int
    dimids: tuple[int, ...]
    attributes: tuple[AttributeEntry, ...]
    type: ExternalType
    vsize: int
    begin: int


@dataclass(frozen=True, slots=True)
class Header:
    """A whole header.

    `records` is None for STREAMING. `record_dimension` is the dimid of the record dimension. `size` is in bytes.
    """

    version: int
    records: int | None
    dimensions: tuple[Dimension, ...]
    record_dimension: int | None
    attributes: tuple[AttributeEntry, ...]
    variables: tuple[VariableEntry, ...]
    size: int

    def is_record(self, variable: VariableEntry) -> bool:
        """Return whether the first dimension of `variable` is the record dimension."""
        return bool(variable.dimids) and variable.dimids[0] == self.record_dimension


def decode_header(data: bytes, *, file_size: int) -> Header:
    """Decode the header from the first bytes of a file.

    Parameters
    ----------
    data
        Bytes from address 0 on.
    file_size
        Size of the whole file: the bound of every count.
    """
    if data[:3] != MAGIC or len(data) < 4:
        raise FormatError("not a netCDF classic file", address=0, structure="magic", expected=MAGIC, got=data[:4])
    version = _VERSIONS.get(data[3])
    if version is None:
        raise FormatError("unknown version", address=3, structure="magic", expected="1, 2 or 5", got=data[3])
    cursor = _Cursor(data, file_size, version)
    try:
        return _header(cursor)
    except TruncatedHeader as error:
        error.first_begin = cursor.first_begin
        raise


class _Cursor:
    """A position in the header that moves on with every field read."""

    __slots__ = ("data", "file_size", "first_begin", "position", "version", "width")

    def __init__(self, data: bytes, file_size: int, version: _Version) -> None:
        self.data = data
        self.file_size = file_size
        self.version = version
        self.width = version.non_neg.size
        self.position = len(MAGIC) + 1
        self.first_begin: int | None = None

    def take(self, size: int, structure: str) -> int:
        """Move on by `size` bytes, and return the position before that."""
        start = self.position
        stop = start + size
        if stop > self.file_size:
            left = self.file_size - start
            message = "the header reaches beyond the end of the file"
            raise TruncatedError(message, address=start, structure=structure, expected=f"{size} bytes", got=left)
        if stop > len(self.data):
            raise TruncatedHeader("more of the header is needed", address=start, structure=structure)
        self.position = stop
        return start

    def int32(self, structure: str) -> int:
        value: int = _UINT32.unpack_from(self.data, self.take(4, structure))[0]
        return value

    def non_neg(self, structure: str) -> int:
        value: int = self.version.non_neg.unpack_from(self.data, self.take(self.width, structure))[0]
        return value

    def count(self, structure: str, size: int) -> int:
        """Read the number of items that follow, of `size` bytes or more each."""
        start = self.position
        n = self.non_neg(structure)
        most = (self.file_size - self.position) // size
        if n > most:
            message = "more elements than the file can hold"
            raise TruncatedError(message, address=start, structure=structure, expected=f"at most {most}", got=n)
        return n

    def padded(self, size: int, structure: str) -> bytes:
        """Read `size` bytes and skip to the next 4-byte boundary. Some writers leave rubbish in the padding."""
        start = self.take(size + -size % 4, structure)
        return self.data[start : start + size]

    def name(self, structure: str) -> str:
        start = self.position
        n = self.count(structure, 1)
        # A renamed object keeps its old length, the rest being null: for C the name ends there.
        name = self.padded(n, structure).rstrip(b"\x00") if n <= MAX_NAME else b""
        if not name:
            expected = f"1 to {MAX_NAME}"
            raise FormatError("wrong length of a name", address=start, structure=structure, expected=expected, got=n)
        return name.decode("utf-8", "surrogateescape")

    def type(self, structure: str) -> ExternalType:
        start = self.position
        code = self.int32(structure)
        if not 1 <= code <= self.version.max_type:
            expected = f"1 to {self.version.max_type}"
            raise FormatError("unknown nc_type", address=start, structure=structure, expected=expected, got=code)
        return _TYPES[code]

    def list_length(self, structure: str, tag: int, size: int) -> int:
        """Read tag and nelems of a list whose entries have `size` bytes or more. ABSENT has no tag."""
        start = self.position
        found = self.int32(structure)
        n = self.count(structure, size)
        if found != tag and (found != 0 or n != 0):
            raise FormatError("wrong tag of a list", address=start, structure=structure, expected=tag, got=found)
        return n


def _header(cursor: _Cursor) -> Header:
    records = _records(cursor)
    dimensions = _dimensions(cursor)
    record_dimension = _record_dimension(dimensions)
    attributes = _attributes(cursor, "gatt_list")
    variables = _variables(cursor, len(dimensions), record_dimension)
    return Header(cursor.version.number, records, dimensions, record_dimension, attributes, variables, cursor.position)


def _records(cursor: _Cursor) -> int | None:
    start = cursor.position
    records = cursor.non_neg("numrecs")
    if records == (1 << 8 * cursor.width) - 1:
        return None
    if records > cursor.version.max_records:
        raise FormatError("negative number of records", address=start, structure="numrecs", got=records)
    return records


def _dimensions(cursor: _Cursor) -> tuple[Dimension, ...]:
    found: dict[str, Dimension] = {}
    for _ in range(cursor.list_length("dim_list", NC_DIMENSION, 2 * cursor.width + 4)):
        start = cursor.position
        name = cursor.name("dim name")
        length = cursor.non_neg("dim_length")
        if length > cursor.version.max_length:
            raise FormatError("negative length of a dimension", address=start, structure="dim", got=length)
        _add(found, name, Dimension(name, length), start, "dim")
    return tuple(found.values())


def _record_dimension(dimensions: tuple[Dimension, ...]) -> int | None:
    found = [i for i, dimension in enumerate(dimensions) if dimension.length == 0]
    if len(found) > 1:
        names = ", ".join(repr(dimensions[i].name) for i in found)
        raise FormatError("more than one record dimension", structure="dim_list", expected="at most one", got=names)
    return found[0] if found else None


def _attributes(cursor: _Cursor, structure: str) -> tuple[AttributeEntry, ...]:
    found: dict[str, AttributeEntry] = {}
    for _ in range(cursor.list_length(structure, NC_ATTRIBUTE, 2 * cursor.width + 8)):
        start = cursor.position
        name = cursor.name("attr name")
        external = cursor.type("attr nc_type")
        n = cursor.count("attr nelems", external.size)
        data = cursor.padded(n * external.size, "attr values")
        _add(found, name, AttributeEntry(name, external, n, data), start, "attr")
    return tuple(found.values())


def _variables(cursor: _Cursor, dimensions: int, record_dimension: int | None) -> tuple[VariableEntry, ...]:
    found: dict[str, VariableEntry] = {}
    # A name (its length and 4 bytes), rank, vatt_list (tag and length), nc_type, vsize, begin.
    smallest = 4 * cursor.width + 12 + cursor.version.offset.size
    for _ in range(cursor.list_length("var_list", NC_VARIABLE, smallest)):
        entry = _variable(cursor, dimensions, record_dimension)
        _add(found, entry.name, entry, entry.address, "var")
    return tuple(found.values())


def _variable(cursor: _Cursor, dimensions: int, record_dimension: int | None) -> VariableEntry:
    address = cursor.position
    name = cursor.name("var name")
    dimids = _dimids(cursor, dimensions, record_dimension)
    attributes = _attributes(cursor, "vatt_list")
    external = cursor.type("var nc_type")
    vsize = cursor.non_neg("vsize")
    start = cursor.take(cursor.version.offset.size, "begin")
    begin: int = cursor.version.offset.unpack_from(cursor.data, start)[0]
    if begin < 0:
        raise FormatError("negative offset", address=start, structure="begin", expected="0 or more", got=begin)
    if cursor.first_begin is None or begin < cursor.first_begin:
        cursor.first_begin = begin
    return VariableEntry(name, address, dimids, attributes, external, vsize, begin)


def _dimids(cursor: _Cursor, dimensions: int, record_dimension: int | None) -> tuple[int, ...]:
    start = cursor.position
    rank = cursor.count("var nelems", cursor.width)
    if rank > MAX_RANK:
        expected = f"at most {MAX_RANK}"
        raise FormatError("too many dimensions", address=start, structure="var nelems", expected=expected, got=rank)
    position = cursor.take(rank * cursor.width, "dimid")
    code = "Q" if cursor.width == 8 else "I"
    dimids: tuple[int, ...] = struct.unpack_from(f">{rank}{code}", cursor.data, position)
    for i, dimid in enumerate(dimids):
        if dimid >= dimensions:
            expected = f"below {dimensions}"
            raise FormatError("no such dimension", address=position, structure="dimid", expected=expected, got=dimid)
        if dimid == record_dimension and i > 0:
            raise FormatError("the record dimension is not the first", address=position, structure="dimid", got=dimids)
    return dimids


def _add(found: dict[str, _Entry], name: str, entry: _Entry, address: int, structure: str) -> None:
    if name in found:
        raise FormatError("a name occurs twice", address=address, structure=structure, got=repr(name))
    found[name] = entry
