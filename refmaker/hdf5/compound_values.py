"""Values of compounds whose members point elsewhere: variable-length strings and sequences, object references.

Contract: pure, given a function that resolves global heap objects. The size of all variable-length data is compared
with a limit before any is read. Specification 4.0, IV.A.2.d (compound, reference, variable-length) and VIII.
"""

from __future__ import annotations

import math

import numpy as np

from refmaker.errors import Unsupported
from refmaker.hdf5.sizes import Sizes
from refmaker.hdf5.values import MAX_ARRAY_RANK, ReadHeapObjects, decode_values, heap_references, is_variable
from refmaker.model import ArrayType, Compound, Datatype, ObjectReference, VariableLength

__all__ = ["decode_members", "has_pointing_members", "pointing"]


def has_pointing_members(datatype: Datatype) -> bool:
    """Return whether a datatype is a compound with members that point elsewhere, arrays of such included."""
    return isinstance(datatype, Compound) and any(pointing(member.datatype)[0] for member in datatype.members)


def pointing(datatype: Datatype) -> tuple[bool, Datatype, tuple[int, ...]]:
    """Return whether elements point elsewhere; return what they are, and the axes that array datatypes add."""
    inner = datatype
    axes: tuple[int, ...] = ()
    while isinstance(inner, ArrayType):
        axes += inner.shape
        inner = inner.base
    return isinstance(inner, VariableLength | ObjectReference), inner, axes


def decode_members(
    datatype: Compound,
    raw: bytes,
    shape: tuple[int, ...],
    base: int,
    sizes: Sizes,
    limit: int,
    read: ReadHeapObjects,
) -> np.ndarray:
    """Decode the values of a compound as a structured array whose members are what `decode_values` gives of them.

    Parameters
    ----------
    raw, shape, base, sizes, read
        As in `decode_values`.
    limit
        Bytes that all strings and sequences may take together.

    Raises
    ------
    Unsupported
        A member cannot be read, or strings and sequences are more than `limit` bytes.
    """
    names = [member.name for member in datatype.members]
    if len(set(names)) != len(names) or "" in names:
        raise Unsupported("compound with members of one name")
    rows = np.frombuffer(raw, "u1").reshape(-1, datatype.size)
    parts = []
    total = 0
    for member in datatype.members:
        data = rows[:, member.offset : member.offset + member.datatype.size].tobytes()
        there, inner, axes = pointing(member.datatype)
        if not there:
            inner, axes = member.datatype, ()
        if len(axes) > MAX_ARRAY_RANK:
            raise Unsupported(f"array datatype of more than {MAX_ARRAY_RANK} dimensions")
        if isinstance(inner, VariableLength):
            if is_variable(inner.base):
                raise Unsupported(f"compound with a sequence of variable-length data, {member.name!r}")
            lengths = heap_references(data, math.prod(shape + axes), sizes)["length"]
            total += int(lengths.astype("u8").sum()) * (1 if inner.is_string else inner.base.size)
        parts.append((member.name, inner, data, shape + axes))
    if total > limit:
        raise Unsupported(f"variable-length data of {total} bytes are larger than the inline limit of {limit} bytes")
    columns = [(name, decode_values(inner, data, full, base, sizes, read)) for name, inner, data, full in parts]
    values: np.ndarray = np.empty(shape, [(name, column.dtype, column.shape[len(shape) :]) for name, column in columns])
    for name, column in columns:
        values[name] = column
    return values
