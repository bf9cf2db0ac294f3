"""Binary tables of FITS: one array for each column, in a group of the table's name.

Contract: values are as stored, in place; the codec of `refmaker.codecs` picks a column out of the rows. A column that
has no form in Zarr (arrays of varying length, bits) is refused by name and costs itself only. What scales a column is
an attribute, as for images; integers that only stand for those of the other sign are decoded to these.
Source: FITS standard 4.0, section 7.3.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from refmaker.codecs.config import encode_config
from refmaker.conventions.names import zarr_name_problem
from refmaker.errors import Unsupported
from refmaker.formats.kerchunk_references import SPLIT
from refmaker.manifest.manifest import ManifestArray
from refmaker.manifest.references import References
from refmaker.mapping.layout import split_rows
from refmaker.zarr.chunk_grid import grid_of
from refmaker.zarr.metadata import ArrayMetadata

__all__ = ["NOTE", "columns_of"]

NOTE: Final = "one array for each column; readers need refmaker (codec refmaker_hdf5)"
_DTYPES: Final = {
    "L": "|i1",
    "B": "|u1",
    "I": ">i2",
    "J": ">i4",
    "K": ">i8",
    "E": ">f4",
    "D": ">f8",
    "C": ">c8",
    "M": ">c16",
}
_SIGNS: Final = {"B": (-128, "|i1"), "I": (1 << 15, ">u2"), "J": (1 << 31, ">u4")}
"""Format -> TZERO that only changes the sign, and what the values are then."""
MAX_AXES: Final = 16


@dataclass(slots=True)
class _Rows:
    """The rows of a table: where they begin, how many, how long."""

    start: int
    count: int
    size: int


def columns_of(hdu: Any, size: int) -> Iterator[tuple[str, ManifestArray | str]]:
    """Yield the columns of a table: name, and the array or the reason why there is none.

    Parameters
    ----------
    hdu
        As astropy has it, without scaling.
    size
        Bytes of the file.

    Raises
    ------
    Unsupported
        The table does not lie in the file.
    """
    header = hdu.header
    rows = _Rows(int(hdu.fileinfo()["datLoc"]), int(header["NAXIS2"]), int(header["NAXIS1"]))
    if rows.start + rows.count * rows.size > size:
        raise Unsupported(
            f"the file is truncated: it has {size} bytes, and rows up to {rows.start + rows.count * rows.size}"
        )
    offset, names = 0, set()
    row = hdu.columns.dtype
    for number, column in enumerate(hdu.columns, 1):
        stored = row[number - 1]
        width = int(stored.itemsize)
        name = str(column.name or number)
        try:
            problem = zarr_name_problem(name) or ("a column before has this name" if name in names else None)
            if problem is not None:
                raise Unsupported(problem)
            names.add(name)
            yield name, _array(column, stored, name, rows, offset)
        except Unsupported as error:
            yield name, error.message
        offset += width
    if offset != rows.size:
        raise Unsupported(f"its columns have {offset} bytes in a row of {rows.size}")


def _array(column: Any, stored: np.dtype[Any], name: str, rows: _Rows, offset: int) -> ManifestArray:
    width = stored.itemsize
    dtype, inner = _form(column, stored)
    shape = (rows.count, *inner)
    chunk = split_rows((rows.count,), rows.size, SPLIT)[0]
    metadata: dict[str, Any] = {
        "zarr_format": 2,
        "shape": list(shape),
        "chunks": [chunk, *inner],
        "dtype": dtype,
        "compressor": None,
        "fill_value": None,
        "order": "C",
        "filters": None,
    }
    if width != rows.size:
        picked = [["column", f"|V{width}"]]
        config = encode_config(_datatype(rows.size, offset, width), (chunk,), (), picked)
        metadata["compressor"] = {"id": "refmaker_hdf5", **config}
    attributes = _attributes(column, metadata)
    attributes["_ARRAY_DIMENSIONS"] = ["row", *(f"{name}_axis{n}" for n in range(len(inner), 0, -1))]
    grid = grid_of(shape, (chunk, *inner))
    cell = np.arange(grid[0])
    part = chunk * rows.size
    references = References(
        cell,
        np.broadcast_to(np.uint32(0), cell.shape),
        np.uint64(rows.start) + cell.astype("u8") * np.uint64(part),
        np.full(len(cell), part, "u8"),
    )
    return ManifestArray(ArrayMetadata.from_json(metadata), attributes, grid, references)


def _form(column: Any, stored: np.dtype[Any]) -> tuple[str, tuple[int, ...]]:
    """Return dtype and axes of the values of a column; raise `Unsupported` where they have no form in Zarr."""
    code, inner = column.format.format, tuple(map(int, stored.shape))
    if code in "PQ":
        raise Unsupported("arrays of varying length")
    if not stored.itemsize:
        raise Unsupported("an empty column")
    if code != "A" and code not in _DTYPES:
        raise Unsupported("bits" if code == "X" else f"values of format {code!r}")
    dtype = f"|S{stored.base.itemsize}" if code == "A" else _DTYPES[code]
    if len(inner) > MAX_AXES or math.prod(inner) * np.dtype(dtype).itemsize != stored.itemsize:
        raise Unsupported(f"TDIM {column.dim!r} does not fit its format")
    return dtype, inner


def _attributes(column: Any, metadata: dict[str, Any]) -> dict[str, Any]:
    """Return what the values of a column mean."""
    kept: dict[str, Any] = {}
    code, null = column.format.format, column.null
    scale, zero = (
        default if given in ("", None) else given for given, default in ((column.bscale, 1), (column.bzero, 0))
    )
    if not all(isinstance(number, int | float) and math.isfinite(number) for number in (scale, zero)):
        raise Unsupported("its header is damaged: TSCAL or TZERO is no number")
    sign, dtype = _SIGNS.get(code, (None, ""))
    if scale == 1 and zero == sign:
        codec = {"id": "fixedscaleoffset", "scale": 1, "offset": zero, "dtype": dtype, "astype": metadata["dtype"]}
        metadata.update(dtype=dtype, filters=[codec])
        null = null + zero if isinstance(null, int) else None
    elif (scale, zero) != (1, 0):
        if code == "K":
            raise Unsupported("64-bit integers with TSCAL or TZERO, for which Zarr has no exact codec")
        kept.update(scale_factor=float(scale), add_offset=float(zero))
    if isinstance(null, int) and code in "BIJK":
        kept["_FillValue"] = int(null)
    if column.unit:
        kept["units"] = str(column.unit)
    if code == "L":
        kept.update(flag_values=[ord("T"), ord("F"), 0], flag_meanings="true false undefined")
    return kept


def _datatype(size: int, offset: int, width: int) -> bytes:
    """Return the HDF5 datatype of rows of which one column counts: a compound (version 3) with an opaque member."""
    place = offset.to_bytes(max((size.bit_length() + 7) // 8, 1), "little")
    member = b"column\0" + place + b"\x15\0\0\0" + width.to_bytes(4, "little")
    return b"\x36\1\0\0" + size.to_bytes(4, "little") + member
