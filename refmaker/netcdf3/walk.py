"""A netCDF classic file as a Tree, read through a Window.

Contract: the only module of the package that touches the Window. One step, which may be run again after
`MissingBytes`. Only the header is read; the offsets of records are computed. A variable whose data is not all in the
file is refused by name: netCDF-C shows zeros for what is missing, and an absent chunk would show the fill value.

Sources: as in `refmaker.netcdf3.header`. On a short file see `px_pgin` in netCDF-C's libsrc/posixio.c.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from refmaker import limits
from refmaker.errors import FormatError, RefmakerError, Unsupported
from refmaker.model import (
    Attribute,
    Chunked,
    ChunkIndex,
    Contiguous,
    Dataset,
    Dataspace,
    Datatype,
    FillValue,
    FixedPoint,
    FloatingPoint,
    Group,
    Refusal,
    String,
    Tree,
)
from refmaker.netcdf3.header import (
    AttributeEntry,
    Header,
    TruncatedHeader,
    VariableEntry,
    decode_header,
)
from refmaker.netcdf3.layout import Layout, check_in_file, lay_out
from refmaker.window import Window

__all__ = ["RECORD_PART", "walk"]

# Three reads reach 16 MiB, which no header known comes near. The second is all that a remote scan begins with.
FIRST_READ: Final = 16 * 1024
GROWTH: Final = 32
MAX_HEADER: Final = limits.NETCDF3_HEADER
RECORD_PART: Final = 4 << 20  # bytes: readers of one record read a chunk of it whole
MAX_RECORDS: Final = limits.NETCDF3_RECORDS  # 28 bytes each, of a file that may be sparse


def walk(window: Window, *, source: str, records_per_chunk: int | None = None) -> Tree:
    """Return all that a netCDF classic file holds.

    Parameters
    ----------
    window
        The bytes of the file.
    source
        Url or file name, for the Tree and for errors.
    records_per_chunk
        Records that a chunk should have where the bytes of records follow one another; the notes of a dataset say where
        they do not. Without it, as many as make chunks of about `RECORD_PART` bytes.

    Raises
    ------
    FormatError
        The header contradicts the format, or ends before it is complete.
    """
    try:
        header = _read_header(window)
        layout = lay_out(header, file_size=window.size)
    except RefmakerError as error:
        error.source = error.source or source
        raise
    tree = Tree(source, window.size, "netcdf3", metadata_size=header.size, metadata_blocks=1)
    tree.metadata_extents = [(0, header.size)]
    tree.notes = _notes(header, layout)
    tree.groups["/"] = Group("/", 0, _attributes(header.attributes))
    order = sorted(range(len(header.variables)), key=lambda i: header.variables[i].name)
    for number in order:
        _add_variable(tree, header, layout, number, records_per_chunk)
    names = (v.name for v in header.variables)
    tree.groups["/"].children = [name for name in names if f"/{name}" in tree.datasets]
    return tree


def _read_header(window: Window) -> Header:
    size = min(FIRST_READ, window.size)
    while True:
        buffer, position = window.at(0, size)
        try:
            return decode_header(bytes(buffer[position : position + size]), file_size=window.size)
        except TruncatedHeader as error:
            size = min(_next_size(size, error.first_begin), window.size)


def _next_size(size: int, first_begin: int | None) -> int:
    if size >= MAX_HEADER:
        raise Unsupported(
            "the header is larger than refmaker reads", structure="header", expected=f"{MAX_HEADER} bytes"
        )
    # Data begins behind the header: where it does is all that has to be read, unless records come first.
    if first_begin is not None and first_begin <= size * GROWTH:
        return max(first_begin, 2 * size)
    return min(size * GROWTH, MAX_HEADER)


def _notes(header: Header, layout: Layout) -> list[str]:
    if header.records is None and header.record_dimension is not None:
        return [f"number of records taken from the size of the file: {layout.records}"]
    if layout.records_in_file > layout.records:
        return [f"the file holds {layout.records_in_file} records, and its header counts {layout.records}"]
    return []


def _add_variable(tree: Tree, header: Header, layout: Layout, number: int, records_per_chunk: int | None) -> None:
    variable = header.variables[number]
    path = f"/{variable.name}"
    try:
        if "/" in variable.name or "\x00" in variable.name:
            raise FormatError("the name has a character that netCDF forbids", address=variable.address, structure="var")
        check_in_file(header, layout, number, file_size=tree.size)
        tree.datasets[path] = _dataset(header, layout, number, records_per_chunk)
    except (FormatError, Unsupported) as error:
        tree.refusals[path] = Refusal(path, "dataset", str(error))


def _dataset(header: Header, layout: Layout, number: int, records_per_chunk: int | None) -> Dataset:
    variable = header.variables[number]
    storage = _storage(header, layout, number, records_per_chunk)
    notes = []
    if isinstance(storage, Chunked) and records_per_chunk not in (None, 1):
        apart = (
            f"the data of other variables lies between its records ({layout.record_size} bytes from one to the next)"
        )
        notes.append(f"records_per_chunk={records_per_chunk} is not possible: {apart}; one record is a chunk")
    return Dataset(
        path=f"/{variable.name}",
        address=variable.address,
        dataspace=_dataspace(header, layout, variable),
        datatype=_DATATYPES[variable.type.name],
        filters=(),
        fill=FillValue(_fill_value(variable)),
        storage=storage,
        attributes=_attributes(variable.attributes),
        notes=notes,
        dimensions=tuple(header.dimensions[dimid].name for dimid in variable.dimids),
    )


def _dataspace(header: Header, layout: Layout, variable: VariableEntry) -> Dataspace:
    if not variable.dimids:
        return Dataspace("scalar")
    lengths = tuple(header.dimensions[dimid].length for dimid in variable.dimids)
    if header.is_record(variable):
        return Dataspace("simple", (layout.records, *lengths[1:]), (None, *lengths[1:]))
    return Dataspace("simple", lengths, lengths)


def _storage(header: Header, layout: Layout, number: int, records_per_chunk: int | None) -> Contiguous | Chunked:
    variable, size = header.variables[number], layout.sizes[number]
    if not header.is_record(variable):
        return Contiguous(variable.begin, size)
    if layout.records and layout.record_size == size:
        return Contiguous(variable.begin, layout.records * size, RECORD_PART, records_per_chunk)
    rows = layout.records * layout.record_variables
    if rows > MAX_RECORDS:
        raise Unsupported(
            "too many records to refer to one by one", expected=f"at most {MAX_RECORDS} of all variables", got=rows
        )
    chunk_shape = (1, *(header.dimensions[dimid].length for dimid in variable.dimids[1:]))
    return Chunked(chunk_shape, _records(variable.begin, layout.record_size, layout.records, size))


def _records(begin: int, record_size: int, records: int, size: int) -> ChunkIndex:
    """Return one row a record: `size` bytes every `record_size`."""
    cell = np.arange(records, dtype="i8")
    offset = cell.astype("u8")
    offset *= np.uint64(record_size)
    offset += np.uint64(begin)
    return ChunkIndex(cell, offset, np.full(records, size, "u8"), np.zeros(records, "u4"))


def _fill_value(variable: VariableEntry) -> bytes:
    for attribute in variable.attributes:
        if attribute.name == "_FillValue" and attribute.type is variable.type and attribute.count == 1:
            return attribute.data
    return variable.type.fill


def _attributes(entries: tuple[AttributeEntry, ...]) -> dict[str, Attribute]:
    return {entry.name: _attribute(entry) for entry in entries}


def _attribute(entry: AttributeEntry) -> Attribute:
    """Return text as one string of bytes, numbers as a vector, as netCDF shows them."""
    if entry.type.name == "NC_CHAR":
        n = max(entry.count, 1)  # numpy has no strings of size 0
        text = np.array(entry.data, dtype=f"S{n}")
        return Attribute(entry.name, String(n, 1, "ascii"), Dataspace("scalar"), text)
    shape = (entry.count,)
    values = np.frombuffer(entry.data, entry.type.dtype)
    return Attribute(entry.name, _DATATYPES[entry.type.name], Dataspace("simple", shape, shape), values)


def _fixed_point(size: int, *, signed: bool) -> FixedPoint:
    return FixedPoint(size, ">", signed, 0, 8 * size)


_DATATYPES: Final[dict[str, Datatype]] = {
    "NC_BYTE": _fixed_point(1, signed=True),
    "NC_CHAR": String(1, 1, "ascii"),
    "NC_SHORT": _fixed_point(2, signed=True),
    "NC_INT": _fixed_point(4, signed=True),
    "NC_FLOAT": FloatingPoint(4, ">", 0, 32, 31, 23, 8, 0, 23, 127, 2),
    "NC_DOUBLE": FloatingPoint(8, ">", 0, 64, 63, 52, 11, 0, 52, 1023, 2),
    "NC_UBYTE": _fixed_point(1, signed=False),
    "NC_USHORT": _fixed_point(2, signed=False),
    "NC_UINT": _fixed_point(4, signed=False),
    "NC_INT64": _fixed_point(8, signed=True),
    "NC_UINT64": _fixed_point(8, signed=False),
}
