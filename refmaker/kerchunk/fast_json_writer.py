"""The text of the references of one array, made from columns.

Contract: gives `<lead><chunk key>":["<url>",<offset>,<size>]` for every row, in blocks of bounded size. Long columns go
through numpy: rows of one fixed width are laid out side by side, numbers as digit groups from a table, places not
filled as NUL, and the NULs are squeezed out at the end. Nothing else in a row can hold a NUL: JSON escapes it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from refmaker.kerchunk.digits import digit_groups, put_digits
from refmaker.manifest.references import References
from refmaker.zarr.chunk_keys import ChunkLayout

__all__ = ["reference_rows"]

Unsigned: TypeAlias = npt.NDArray[np.unsignedinteger[Any]]

_Content: TypeAlias = bytes | int | np.dtype[Any]
"""Of a field: a literal, a number of digit groups, or the dtype of text that differs from row to row."""

_FEW = 32
"""Rows, below which setting up a block costs more than writing them one by one."""

_BLOCK_ROWS = 16_384
"""Rows laid out at a time: the block stays in the second-level cache."""

_BLOCK_BYTES = 16 << 20
_PLAIN_ROWS = 4096


def reference_rows(lead: bytes, layout: ChunkLayout, references: References, urls: Sequence[bytes]) -> Iterator[bytes]:
    """Return the JSON members of the references of an array, the inlined chunks excepted.

    Parameters
    ----------
    lead
        What stands before the chunk key: the end of the line before, a quote, and the array's path, escaped.
    urls
        JSON string of every target.
    """
    used = _used_targets(references.target)
    width = max((len(urls[code]) for code in used), default=0)
    # A table of urls of one width must not outgrow what it describes: one url of a megabyte among thousands.
    if len(references.cell) < _FEW or width * max(len(used), 256) > _BLOCK_BYTES:
        return _plain_rows(lead, layout, references, urls)
    return _wide_rows(lead, layout, references, used, [urls[code] for code in used])


def _used_targets(target: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.integer[Any]]:
    if len(target) and target.min() == target.max():  # spares the sort in the usual case
        return target[:1]
    return np.unique(target)


def _plain_rows(lead: bytes, layout: ChunkLayout, references: References, urls: Sequence[bytes]) -> Iterator[bytes]:
    """Yield rows made one by one."""
    for start in range(0, len(references.cell), _PLAIN_ROWS):
        part = slice(start, start + _PLAIN_ROWS)
        columns = (references.cell, references.target, references.offset, references.size)
        yield b"".join(
            b'%b%b":[%b,%d,%d]' % (lead, layout.name(cell).encode(), urls[target], offset, size)
            for cell, target, offset, size in zip(*(column[part].tolist() for column in columns), strict=True)
        )


def _wide_rows(
    lead: bytes,
    layout: ChunkLayout,
    references: References,
    used: npt.NDArray[np.integer[Any]],
    urls: list[bytes],
) -> Iterator[bytes]:
    """Yield rows made a block at a time; `urls` are those of the targets in `used`."""
    table = np.array(urls)
    cells, offsets, sizes = math.prod(layout.grid), int(references.offset.max()), int(references.size.max())
    fields: dict[str, _Content] = {"lead": lead + (layout.head if layout.grid else layout.scalar).encode()}
    for axis, extent in enumerate(layout.grid):
        if axis:
            fields[f"separator{axis}"] = layout.separator.encode()
        fields[f"axis{axis}"] = digit_groups(extent - 1)
    fields["after key"] = b'":['
    fields["url"] = table.dtype if len(urls) > 1 else urls[0]
    fields |= {"after url": b",", "offset": digit_groups(offsets)}
    fields |= {"after offset": b",", "size": digit_groups(sizes), "end": b"]"}
    block = _laid_out(fields, len(references.cell))
    for start in range(0, len(references.cell), len(block)):
        part = slice(start, start + len(block))
        rows = block[: len(references.cell) - start]
        _put_key(rows, layout.grid, _narrow(references.cell[part].view("u8"), cells))
        if len(urls) > 1:
            rows["url"] = table[np.searchsorted(used, references.target[part])]
        put_digits(rows["offset"], _narrow(references.offset[part], offsets))
        put_digits(rows["size"], _narrow(references.size[part], sizes))
        yield rows.tobytes().translate(None, b"\0")


def _laid_out(fields: dict[str, _Content], count: int) -> npt.NDArray[Any]:
    """Make a block of rows with its literals in place; a number stands for so many digit groups."""
    types: list[Any] = []
    for name, content in fields.items():
        if isinstance(content, int):
            types.append((name, "u4", (content,)))
        else:
            types.append((name, f"S{len(content)}" if isinstance(content, bytes) else content))
    dtype = np.dtype(types)
    rows = np.zeros(min(count, _BLOCK_ROWS, max(_BLOCK_BYTES // dtype.itemsize, 1)), dtype)
    for name, content in fields.items():
        if isinstance(content, bytes):
            rows[name] = content
    return rows


def _put_key(rows: npt.NDArray[Any], grid: tuple[int, ...], cell: Unsigned) -> None:
    for axis in range(len(grid) - 1, 0, -1):
        higher = cell // grid[axis]
        put_digits(rows[f"axis{axis}"], cell - higher * grid[axis])
        cell = higher
    if grid:
        put_digits(rows["axis0"], cell)


def _narrow(values: Unsigned, limit: int) -> Unsigned:
    """Halve the width of numbers where it holds them: division is the larger part of making digits."""
    return values.astype("u4") if limit < 2**32 else values
