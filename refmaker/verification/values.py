"""Whether two arrays hold the same values, however each side represents them.

Contract: pure. `differing` is strict on values and on what kind of values they are, lenient on byte order and on how
wide the same number is stored. Floats are compared by their bits, so that -0.0 is not 0.0; NaN equals NaN whatever its
payload. Text is compared as UTF-8, fixed strings without the NULs at their end, as numpy has them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from refmaker.errors import RefmakerError

__all__ = ["Mask", "TypeMismatch", "MissingCounterpart", "Rules", "counted", "differing", "plain"]

Mask: TypeAlias = npt.NDArray[np.bool_]
SameObject: TypeAlias = Callable[[object, str], bool]
"""Says whether a reference, as the source's library gives it, leads to the object of a path."""

_LONGEST = 200
_BITS = {1: "u1", 2: "u2", 4: "u4", 8: "u8"}


@dataclass(frozen=True, slots=True)
class Rules:
    """What is the same in another form.

    Attributes
    ----------
    same_object
        For object references, which Zarr shows as paths.
    spaces
        Text is padded with spaces, which libhdf5 takes for padding and Zarr shows.
    """

    same_object: SameObject
    spaces: bool = False


class TypeMismatch(RefmakerError):
    """The two sides hold values of different kinds."""


class MissingCounterpart(TypeMismatch):
    """The file has no such object, or one of another shape."""


def differing(expected: np.ndarray, got: np.ndarray, rules: Rules) -> Mask:
    """Return which elements differ.

    Parameters
    ----------
    expected
        As h5py or netCDF4 gives them.
    got
        As zarr gives them, of the same shape.
    rules
        What may differ all the same.

    Returns
    -------
    bool array of that shape

    Raises
    ------
    Misfit
        The shapes, or the kinds of values, are not the same.
    """
    if expected.shape != got.shape:
        raise _misfit("shape", expected.shape, got.shape)
    if expected.dtype.names is not None or got.dtype.names is not None:
        return _members(expected, got, rules)
    kind, other = expected.dtype.kind, got.dtype.kind
    if kind == "O" or (kind == "S" and other != "S"):
        if other not in "OSTU":
            raise _misfit("datatype", expected.dtype, got.dtype)
        return _objects(expected, got, rules)
    if kind != other:
        raise _misfit("datatype", expected.dtype, got.dtype)
    if kind == "S":
        different = np.asarray(expected != got)
        if rules.spaces and different.any():
            different &= np.asarray(expected != np.strings.rstrip(got, b" "))
        return different
    if kind == "V":
        return _opaque(expected, got)
    if kind in "mM":
        return _times(expected, got)
    return _numbers(_native(expected), _native(got))


def plain(value: object) -> bool | int | float | str:
    """Return a value for a report: as JSON has it, else as text."""
    if isinstance(value, np.generic):
        value = value.item() if value.dtype.kind in "biuf" and value.dtype.itemsize <= 8 else value
    if isinstance(value, bool | int):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, bytes):
        value = value.decode("utf-8", "backslashreplace")
    text = str(value).replace("\n", " ")
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, for messages."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _misfit(what: str, expected: object, got: object) -> TypeMismatch:
    return TypeMismatch(f"{what} {expected} in the file, {got} through the manifest")


def _native(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(values.astype(values.dtype.newbyteorder("="), copy=False)).reshape(values.shape)


def _numbers(expected: np.ndarray, got: np.ndarray) -> Mask:
    kind, size = expected.dtype.kind, expected.dtype.itemsize
    if kind == "c":
        return np.asarray(_numbers(_parts(expected), _parts(got)).any(axis=-1))
    if size != got.dtype.itemsize or size not in _BITS:
        different = np.asarray(expected != got)
    else:
        different = np.asarray(expected.view(_BITS[size]) != got.view(_BITS[size]))
    if kind == "f" and different.any():
        different &= ~(np.isnan(expected) & np.isnan(got))
    return different


def _parts(values: np.ndarray) -> np.ndarray:
    return np.stack([values.real, values.imag], axis=-1)


def _opaque(expected: np.ndarray, got: np.ndarray) -> Mask:
    if expected.dtype.itemsize != got.dtype.itemsize:
        raise _misfit("datatype", expected.dtype, got.dtype)
    return np.asarray((_bytes(expected) != _bytes(got)).any(axis=-1))


def _bytes(values: np.ndarray) -> npt.NDArray[np.uint8]:
    size = values.dtype.itemsize
    return np.frombuffer(values.tobytes(), "u1").reshape(*values.shape, size)


def _times(expected: np.ndarray, got: np.ndarray) -> Mask:
    if np.datetime_data(expected.dtype) != np.datetime_data(got.dtype):
        raise _misfit("datatype", expected.dtype, got.dtype)
    return _numbers(_native(expected).view("i8"), _native(got).view("i8"))


def _members(expected: np.ndarray, got: np.ndarray, rules: Rules) -> Mask:
    """Compare compounds; one of two members may be a complex number on the other side."""
    names, others = expected.dtype.names, got.dtype.names
    if names is not None and names == others:
        pairs = [(expected[name], got[name]) for name in names]
    elif names is not None and len(names) == 2 and got.dtype.kind == "c":
        pairs = [(expected[names[0]], got.real), (expected[names[1]], got.imag)]
    elif others is not None and len(others) == 2 and expected.dtype.kind == "c":
        pairs = [(expected.real, got[others[0]]), (expected.imag, got[others[1]])]
    else:
        raise _misfit("datatype", expected.dtype, got.dtype)
    different = np.zeros(expected.shape, bool)
    for one, other in pairs:
        parts = differing(one, other, rules)
        different |= parts.any(axis=tuple(range(expected.ndim, parts.ndim)))
    return different


def _objects(expected: np.ndarray, got: np.ndarray, rules: Rules) -> Mask:
    pairs = zip(expected.ravel().tolist(), got.astype(object).ravel().tolist(), strict=True)
    same = [_same(one, other, rules) for one, other in pairs]
    return ~np.array(same, bool).reshape(expected.shape)


def _same(expected: Any, got: Any, rules: Rules) -> bool:
    if isinstance(expected, bytes | str):
        text = _text(got)
        return text is not None and _text(expected) == text
    if isinstance(expected, np.ndarray):
        return _same_sequence(expected, got, rules)
    text = _text(got)
    return text is not None and rules.same_object(expected, text)


def _same_sequence(expected: np.ndarray, got: Any, rules: Rules) -> bool:
    if got is None or isinstance(got, bytes | str):
        return expected.size == 0 and got is None
    other = np.asarray(got)
    if expected.size == 0:
        return other.size == 0
    try:
        return not differing(expected, other, rules).any()
    except TypeMismatch:
        return False


def _text(value: Any) -> str | None:
    """Return text as `str`, None for what is none; null is the empty text."""
    if value is None:
        return ""
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    return value if isinstance(value, str) else None
