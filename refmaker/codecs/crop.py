"""The beginning of a chunk that is stored larger than its grid has it.

Contract: pure. Stored bytes are a C-order array of the stored shape; what is given is its leading part. HDF5 stores all
chunks of a dataset whole, so that the last ones of a file are padded; put behind each other, such chunks stand within
an array. The length has to be that of the stored shape, and no extent smaller than what is asked for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from refmaker.errors import FormatError
from refmaker.zarr.crop_config import CROP

__all__ = ["cropped", "stored_shape"]

_WHAT = f"codec {CROP}"


def stored_shape(encoded_chunk: Sequence[int | None], size: int, item: int) -> tuple[int, ...]:
    """Return the shape of which a stored chunk is.

    Parameters
    ----------
    encoded_chunk
        With None for a length that follows from the bytes.
    size, item
        Bytes of the chunk, and of an element.

    Raises
    ------
    FormatError
        The bytes are not those of such a chunk.

    Examples
    --------
    >>> stored_shape([None, 4], 96, 8)
    (3, 4)
    """
    row = item * math.prod(one for one in encoded_chunk if one is not None)
    rows, rest = divmod(size, row) if row else (0, 1)
    shape = tuple(rows if one is None else one for one in encoded_chunk)
    if rest or not rows or (None not in encoded_chunk and rows != 1):
        expected = f"{row} bytes" if None not in encoded_chunk else f"a multiple of {row} bytes"
        raise FormatError("size of a stored chunk", structure=_WHAT, expected=expected, got=size)
    return shape


def cropped(
    data: Any, dtype: np.dtype[Any], encoded_chunk: Sequence[int | None], shape: Sequence[int]
) -> npt.NDArray[Any]:
    """Return the leading part of a stored chunk.

    Parameters
    ----------
    data
        Buffer of its bytes, decoded.
    dtype
        Of its elements, with their byte order.
    shape
        Of the part.

    Raises
    ------
    FormatError
        The bytes are not those of such a chunk, or the part is larger than that.
    """
    block = np.frombuffer(data, "u1")
    stored = stored_shape(encoded_chunk, block.nbytes, dtype.itemsize)
    if len(stored) != len(shape) or any(part > whole for part, whole in zip(shape, stored, strict=False)):
        raise FormatError("shape of a stored chunk", structure=_WHAT, expected=f"at least {tuple(shape)}", got=stored)
    part: npt.NDArray[Any] = block.view(dtype).reshape(stored)[tuple(slice(extent) for extent in shape)]
    return part
