"""Numbers that are no native type of numpy, by their bit fields: bfloat16, FP8, 12-bit integers, and their like.

Contract: pure. `decode_bit_fields` gives each value exactly, in the dtype that `codecs.exact.widened` names, or
`Unsupported` is raised. That is what libhdf5 converts them to, as it reads the largest exponent of every float format
as infinity and NaN. Source: HDF5 file format specification, IV.A.2.d, Datatype message.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from refmaker.codecs.exact import widened
from refmaker.errors import TruncatedError, Unsupported
from refmaker.hdf5.values import is_ieee
from refmaker.model import BitField, Datatype, FixedPoint, FloatingPoint

__all__ = ["decode_bit_fields", "has_bit_fields"]

_WORD = 8
_Words: TypeAlias = npt.NDArray[np.uint64]


def has_bit_fields(datatype: Datatype) -> bool:
    """Return whether a number has bits that no native type has in these places."""
    if isinstance(datatype, FloatingPoint):
        return not is_ieee(datatype)
    if isinstance(datatype, FixedPoint | BitField):
        native = datatype.size in (1, 2, 4, 8)
        return not native or datatype.bit_offset != 0 or datatype.precision != 8 * datatype.size
    return False


def decode_bit_fields(datatype: Datatype, raw: bytes, shape: tuple[int, ...]) -> np.ndarray:
    """Return the values of numbers that `has_bit_fields` tells.

    Parameters
    ----------
    datatype
        Of a fixed point, floating point or bit field class, of at most 8 bytes.
    raw
        The stored bytes, at least `datatype.size` for each element.
    shape
        Of the dataspace: bounded by its decoder, as `raw` is there.

    Raises
    ------
    Unsupported
        No dtype holds every value.
    TruncatedError
        `raw` is too short.
    """
    dtype = widened(datatype)
    if not isinstance(datatype, FixedPoint | FloatingPoint | BitField) or datatype.size > _WORD:
        raise Unsupported(f"a number of {datatype.size} bytes", structure="datatype", expected=f"<= {_WORD}")
    if not isinstance(datatype, FloatingPoint) and datatype.byte_order == ">" and datatype.size == dtype.itemsize:
        # libhdf5 only swaps its bytes (H5T__conv_order_opt): unused bits stay, and no sign is repeated into them
        raise Unsupported("a big-endian integer with unused bits: libhdf5 takes them for part of the number")
    count = 1
    for extent in shape:
        count *= extent
    if len(raw) < count * datatype.size:
        raise TruncatedError("values", structure="data", expected=f"{count * datatype.size} bytes", got=len(raw))
    words = _words(raw, count, datatype.size, datatype.byte_order == ">")
    if isinstance(datatype, FloatingPoint):
        values = _floats(words, datatype)
    else:
        signed = isinstance(datatype, FixedPoint) and datatype.signed
        values = _integers(words, datatype.bit_offset, datatype.precision, signed)
    return values.astype(dtype.newbyteorder("=")).reshape(shape)


def _words(raw: bytes, count: int, size: int, big: bool) -> _Words:
    """Return each element as an integer of 64 bits."""
    rows = np.frombuffer(raw, np.uint8, count * size).reshape(count, size)
    padded = np.zeros((count, _WORD), np.uint8)
    padded[:, :size] = rows[:, ::-1] if big else rows
    return padded.view("<u8").ravel().astype(np.uint64)


def _field(words: _Words, location: int, size: int) -> _Words:
    return (words >> np.uint64(location)) & np.uint64((1 << size) - 1)


def _integers(words: _Words, offset: int, precision: int, signed: bool) -> np.ndarray:
    values = _field(words, offset, precision)
    if not signed:
        return values
    unused = np.int64(64 - precision)
    return (values << np.uint64(unused)).view(np.int64) >> unused  # the shift to the right repeats the sign


def _floats(words: _Words, datatype: FloatingPoint) -> npt.NDArray[np.float64]:
    """Return floats with an implied leading bit; below the smallest exponent there is none."""
    size, largest = datatype.mantissa_size, (1 << datatype.exponent_size) - 1
    mantissa = _field(words, datatype.mantissa_location, size)
    exponent = _field(words, datatype.exponent_location, datatype.exponent_size).astype(np.int64)
    implied = np.where(exponent > 0, np.uint64(1 << size), np.uint64(0))
    power = np.maximum(exponent, 1) - datatype.exponent_bias - size
    values = np.ldexp((mantissa | implied).astype(np.float64), power)
    values[exponent == largest] = np.inf
    values[(exponent == largest) & (mantissa != 0)] = np.nan
    negative = _field(words, datatype.sign_location, 1) != 0
    signed: npt.NDArray[np.float64] = np.where(negative, -values, values)
    return signed
