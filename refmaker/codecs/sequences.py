"""The numcodecs codec "refmaker_sequences", found through the entry point group `numcodecs.codecs`.

Contract: `decode` makes of byte strings, which numcodecs' `vlen-bytes` stands for in the pipeline, the arrays whose
items they hold; nested sequences are again encoded as `vlen-bytes` does. Anything that does not fit raises a
`RefmakerError`. zarr-python 3 has no data type for numcodecs' own `vlen-array`, but takes bytes of variable length for
objects, and lets a filter make arrays of them:

    "dtype": "|O", "filters": [{"id": "refmaker_sequences", "dtype": "<i4", "depth": 1}, {"id": "vlen-bytes"}]

This module is a face towards numcodecs and imports it; nothing of refmaker imports this module.
"""

from __future__ import annotations

import struct
from typing import Any, NoReturn

import numpy as np
from numcodecs.abc import Codec

from refmaker import limits
from refmaker.errors import FormatError, ManifestError, Unsupported
from refmaker.zarr.dtype_json import AnyDtype, DtypeJson, dtype_to_json, parse_dtype

__all__ = ["SequencesCodec"]

MAX_DEPTH = limits.DTYPE_DEPTH
_STRUCTURE = "variable-length sequence"
_LENGTH = struct.Struct("<I")


class SequencesCodec(Codec):  # type: ignore[misc]
    """Makes arrays of byte strings.

    Parameters
    ----------
    dtype
        Of the items, in the form of `refmaker.zarr.dtype_json`.
    depth
        How many sequences are within each other: 1 where items are no sequences.
    """

    codec_id = "refmaker_sequences"

    def __init__(self, dtype: DtypeJson, depth: int = 1) -> None:
        if type(depth) is not int or not 1 <= depth <= MAX_DEPTH:
            raise ManifestError("depth", structure=_STRUCTURE, expected=f"1 to {MAX_DEPTH}", got=repr(depth)[:80])
        self.dtype = parse_dtype(dtype)
        self.depth = depth

    def decode(self, buf: Any, out: Any = None) -> Any:
        """Decode the elements of a chunk.

        Parameters
        ----------
        buf
            Object array of byte strings.
        out
            Object array of as many elements.

        Returns
        -------
        object[n] of arrays, or `out`
        """
        items = np.asarray(buf, object)
        target = np.empty(items.shape, object) if out is None else out
        flat = [_array(item, self.dtype, self.depth) for item in items.ravel().tolist()]
        target.reshape(-1)[:] = _objects(flat)
        return target

    def encode(self, buf: Any) -> NoReturn:
        """Refuse: the codec reads only."""
        raise Unsupported("the codec only decodes", structure=_STRUCTURE)

    def get_config(self) -> dict[str, Any]:
        """Return the configuration, "id" included."""
        return {"id": self.codec_id, "dtype": dtype_to_json(self.dtype), "depth": self.depth}


def _objects(items: list[np.ndarray]) -> np.ndarray:
    whole: np.ndarray = np.empty(len(items), object)
    for i, item in enumerate(items):
        whole[i] = item
    return whole


def _array(data: object, dtype: AnyDtype, depth: int) -> np.ndarray:
    if not isinstance(data, bytes):
        raise FormatError("an element", structure=_STRUCTURE, expected="bytes", got=type(data).__name__)
    if depth > 1:
        return _objects([_array(item, dtype, depth - 1) for item in _items(data)])
    if len(data) % dtype.itemsize:
        raise FormatError("size", structure=_STRUCTURE, expected=f"a multiple of {dtype.itemsize}", got=len(data))
    return np.frombuffer(bytearray(data), dtype)


def _items(data: bytes) -> list[bytes]:
    """Take apart what `vlen-bytes` encodes: a count, then for each byte string its length and its bytes."""
    if not data:
        return []
    items: list[bytes] = []
    position, count = _LENGTH.size, _number(data, 0)
    while len(items) < count:
        start = position + _LENGTH.size
        stop = start + _number(data, position)
        if stop > len(data):
            raise FormatError("end of a sequence", structure=_STRUCTURE, expected=stop, got=len(data))
        items.append(data[start:stop])
        position = stop
    if position != len(data):
        raise FormatError("bytes behind a sequence", structure=_STRUCTURE, expected=position, got=len(data))
    return items


def _number(data: bytes, position: int) -> int:
    if position + _LENGTH.size > len(data):
        raise FormatError("length of a sequence", structure=_STRUCTURE, expected=position + 4, got=len(data))
    number: int = _LENGTH.unpack_from(data, position)[0]
    return number
