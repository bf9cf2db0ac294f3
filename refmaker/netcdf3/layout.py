"""Where the data of a netCDF classic file lies.

Contract: pure arithmetic on a `Header` and the size of the file. Sizes come from shapes and types, never from the
`vsize` field, which is redundant and too narrow beyond 4 GiB. Offsets that contradict one another are a `FormatError`
for the whole file, because it cannot be known which of them is wrong.

Source: "The NetCDF Classic Format Specification" (netCDF-C documentation, Appendix B), with the notes on vsize, on
padding, on streaming data, and "Notes on Computing File Offsets".
"""

from __future__ import annotations

from dataclasses import dataclass

from refmaker.errors import FormatError, TruncatedError
from refmaker.netcdf3.header import Header, VariableEntry

__all__ = ["Layout", "check_in_file", "lay_out"]


@dataclass(frozen=True, slots=True)
class Layout:
    """Sizes in bytes of what the header describes.

    Attributes
    ----------
    sizes
        For every variable, without padding: all of its data, or one record of it for a record variable.
    records
        Length of the record dimension.
    record_size
        Distance from one record to the next; 0 without record variables.
    records_in_file
        Records that the file holds in full, whatever the header says.
    record_variables
        How many variables have records.
    """

    sizes: tuple[int, ...]
    records: int
    record_size: int
    records_in_file: int
    record_variables: int


def lay_out(header: Header, *, file_size: int) -> Layout:
    """Compute sizes, and check that no variable lies over the header or over another one."""
    sizes = tuple(_size(header, variable) for variable in header.variables)
    recorded = [(v, n) for v, n in zip(header.variables, sizes, strict=True) if header.is_record(v)]
    fixed = [(v, n) for v, n in zip(header.variables, sizes, strict=True) if not header.is_record(v)]
    record_size = _record_size([n for _, n in recorded])
    stop = _check_order(fixed, header.size)
    _check_order(recorded, stop)
    if recorded:
        _check_record(recorded, record_size)
    held = _records_in_file(recorded, record_size, file_size)
    return Layout(sizes, held if header.records is None else header.records, record_size, held, len(recorded))


def _size(header: Header, variable: VariableEntry) -> int:
    size = variable.type.size
    # A bool as an index: without the first dimension, if that is the record dimension.
    for dimid in variable.dimids[header.is_record(variable) :]:
        size *= header.dimensions[dimid].length
    return size


def _record_size(sizes: list[int]) -> int:
    # The records of the only record variable of a file stand without padding.
    return sizes[0] if len(sizes) == 1 else sum(n + -n % 4 for n in sizes)


def _check_order(variables: list[tuple[VariableEntry, int]], start: int) -> int:
    """Check that data follows in the order of the header, from `start` on, and return where it stops."""
    for variable, size in variables:
        if variable.begin < start:
            raise FormatError(
                "data lies over the header or over the data of another variable",
                path=f"/{variable.name}",
                address=variable.address,
                structure="begin",
                expected=f"{start} or more",
                got=variable.begin,
            )
        start = variable.begin + size
    return start


def _check_record(variables: list[tuple[VariableEntry, int]], record_size: int) -> None:
    last, size = variables[-1]
    stop = variables[0][0].begin + record_size
    if last.begin + size > stop:
        raise FormatError(
            "record variables lie further apart than a record is long",
            path=f"/{last.name}",
            address=last.address,
            structure="begin",
            expected=f"at most {stop - size}",
            got=last.begin,
        )


def _records_in_file(variables: list[tuple[VariableEntry, int]], record_size: int, file_size: int) -> int:
    # The padding of the last record may be missing: what counts is the data of each variable.
    held = [(file_size - v.begin - size) // record_size + 1 for v, size in variables]
    return max(0, min(held, default=0))


def check_in_file(header: Header, layout: Layout, number: int, *, file_size: int) -> None:
    """Raise `TruncatedError` when data of variable `number` lies beyond the end of the file."""
    variable, size = header.variables[number], layout.sizes[number]
    message = "the file is truncated: the data reaches beyond its end"
    stop = variable.begin + size
    if header.is_record(variable):
        if layout.records == 0:
            return
        held = max(0, (file_size - stop) // layout.record_size + 1)
        message = f"the file is truncated: it holds {held} of {layout.records} records"
        stop += (layout.records - 1) * layout.record_size
    if stop > file_size:
        raise TruncatedError(
            message,
            address=variable.begin,
            structure="vardata",
            expected=f"a file of {stop} bytes or more",
            got=file_size,
        )
