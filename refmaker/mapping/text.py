"""Strings that are not UTF-8: shown as bytes, as h5py shows them.

Contract: `has_other_text` looks at fixed strings that xarray is told to decode (`_Encoding`), as netCDF-4 does, which
fails on them as xarray does. It looks as far as an `EdgeAllowance` goes and the bytes are at hand: what is not looked
at is an error to who reads it, never another text.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from refmaker.errors import FormatError, Unsupported
from refmaker.mapping.chunks import Read, read_ranges
from refmaker.mapping.decoding import Decoder
from refmaker.mapping.edges import EdgeAllowance
from refmaker.mapping.layout import Layout
from refmaker.model import Dataset, String
from refmaker.window import MissingBytes
from refmaker.zarr.zarr_dtype import ZarrDtype

__all__ = ["ENCODING", "NOT_UTF8", "has_other_text", "is_text"]

ENCODING = "_Encoding"
NOT_UTF8 = "strings that are not UTF-8: shown as bytes, as h5py shows them; netCDF-4 does not read them"


def is_text(value: Any) -> bool:
    """Return whether an element of text is UTF-8; what is no byte string is."""
    if not isinstance(value, bytes) or value.isascii():
        return True
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def has_other_text(dataset: Dataset, dtype: ZarrDtype, layout: Layout, *, read: Read, allowance: EdgeAllowance) -> bool:
    """Return whether fixed strings that are to be decoded as UTF-8 are known not to be."""
    looked_at = isinstance(dataset.datatype, String) and dtype.dtype.kind == "S" and dtype.dtype.itemsize > 1
    if not looked_at or ENCODING in dataset.attributes or layout.codecs.need_refmaker:
        return False
    size = dtype.dtype.itemsize * math.prod(layout.chunks) * len(layout.columns[0])
    if not allowance.covers(size):
        return False
    _, offsets, sizes = layout.columns
    try:
        blocks = read_ranges(read, offsets.tolist(), sizes.tolist())
    except MissingBytes:  # not worth a request
        return False
    allowance.take(size)
    decoder = Decoder(dataset, dtype)
    try:
        data = [decoder.decode(block, layout.chunks, layout.codecs.pipeline, 0) for block in blocks]
    except (FormatError, Unsupported):  # reading it fails
        return False
    data += [_decoded(block, layout) for block in layout.inline.values()]
    return any(not block.isascii() and not all(map(is_text, _items(block, dtype))) for block in data)


def _decoded(block: bytes, layout: Layout) -> bytes:
    """Return the bytes of an inlined chunk."""
    if not layout.codecs.configs:
        return block
    import numcodecs

    for config in reversed(layout.codecs.configs):
        block = bytes(numcodecs.get_codec(dict(config)).decode(block))
    return block


def _items(block: bytes, dtype: ZarrDtype) -> list[Any]:
    items: list[Any] = np.frombuffer(block, dtype.dtype).tolist()
    return items
