from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from h5py import h5t

from refmaker.codecs.parameters import RequiredInput, required_input
from refmaker.errors import FormatError
from refmaker.model import Filter

from .stored import NBIT, Stored, datatype_of, float_type, integer_type, store, store_as

VALUES = np.arange(60, dtype="<i4")


def required(stored: Stored) -> RequiredInput | None:
    size = int.from_bytes(stored.datatype[4:8], "little") * stored.chunk_shape[0]
    return required_input(stored.filters[0], size)


def nbit(datatype: Any, values: np.ndarray, memory: Any, shape: Any = None) -> Stored:
    return store_as(datatype, values, [NBIT], None, memory, shape)


def compound() -> Any:
    inner = h5t.create(h5t.COMPOUND, 8)
    inner.insert(b"f", 2, datatype_of(float_type(4, 20, 7, 6, 13, 31)))
    built = h5t.create(h5t.COMPOUND, 24)
    built.insert(b"a", 0, datatype_of(integer_type(3, 13, 2)))
    built.insert(b"b", 4, inner)
    built.insert(b"c", 14, h5t.array_create(h5t.STD_U16BE, (3,)))
    built.insert(b"s", 21, h5t.py_create(np.dtype("S2")))
    return built


def test_what_libhdf5_writes_is_required_and_there() -> None:
    cases = [
        (nbit(datatype_of(integer_type(4, 17, 3)), VALUES, h5t.STD_I32LE), 17),
        (
            nbit(
                h5t.array_create(datatype_of(integer_type(3, 18, 0)), (3,)),
                VALUES,
                h5t.array_create(h5t.STD_I32LE, (3,)),
                (20,),
            ),
            54,
        ),
        (nbit(compound(), np.zeros(20, "V24"), compound()), 13 + 20 + 48 + 16),
    ]
    for stored, bits in cases:
        found = required(stored)
        assert found == RequiredInput((bits * stored.chunk_shape[0] + 7) // 8)
        assert found.size <= len(stored.chunk()[1]) <= found.size + 1


def test_nbit_that_leaves_the_data_alone() -> None:
    assert required(nbit(h5t.STD_I32LE, VALUES, None)) == RequiredInput(0)
    assert (
        required(nbit(datatype_of(integer_type(2, 9, 4, bits=True)), VALUES.astype("<u2"), h5t.STD_B16LE)) is not None
    )


def test_scale_offset() -> None:
    stored = store(VALUES, scaleoffset=0)
    found, raw = required(stored), stored.chunk()[1]
    assert found == RequiredInput(21, 60, 32)
    assert found.size + 60 * int.from_bytes(raw[:4], "little") // 8 <= len(raw)
    assert required(store(VALUES.astype("f8"), scaleoffset=3)) == RequiredInput(21, 60, 64)


def test_other_filters() -> None:
    assert required_input(Filter(3, "", False, ()), 100) == RequiredInput(4)
    assert required_input(Filter(1, "", False, (6,)), 100) is None
    assert required_input(Filter(32000, "", False, ()), 100) is None


SCALE_OFFSET = (2, 0, 60, 0, 4, 1, 0, 1, *[0] * 12)
NBIT_ATOMIC = (8, 0, 60, 1, 4, 0, 17, 3)
NBIT_ARRAY = (10, 0, 30, 2, 8, 1, 4, 0, 17, 3)
NBIT_COMPOUND = (10, 0, 30, 3, 8, 1, 4, 4, 4, 0)


def changed(values: tuple[int, ...], **at: int) -> tuple[int, ...]:
    made = list(values)
    for key, value in at.items():
        made[int(key[1:])] = value
    return tuple(made)


def test_good_ones_pass() -> None:
    for number, values in ((6, SCALE_OFFSET), (5, NBIT_ATOMIC), (5, NBIT_ARRAY), (4, (141, 8, 32, 256))):
        assert required_input(Filter(number, "", False, values), 240) is not None
    assert required_input(Filter(5, "", False, (9, 0, 30, 3, 8, 1, 4, 4, 4)), 240) == RequiredInput(120)


@pytest.mark.parametrize(
    ("number", "values"),
    [
        (4, ()),
        (4, (141, 8, 32)),
        (4, (141, 0, 32, 256)),
        (4, (141, 7, 32, 256)),
        (4, (141, 34, 32, 256)),
        (4, (141, 8, 0, 256)),
        (4, (141, 8, 33, 256)),
        (4, (141, 8, 32, 0)),
        (4, (141, 8, 32, 4097)),
        (6, SCALE_OFFSET[:-1]),
        (6, changed(SCALE_OFFSET, _0=3)),
        (6, changed(SCALE_OFFSET, _2=61)),
        (6, changed(SCALE_OFFSET, _3=2)),
        (6, changed(SCALE_OFFSET, _2=80, _4=3)),
        (6, changed(SCALE_OFFSET, _2=120, _3=1, _4=2)),
        (6, changed(SCALE_OFFSET, _5=2)),
        (6, changed(SCALE_OFFSET, _6=2)),
        (6, changed(SCALE_OFFSET, _7=2)),
        (5, ()),
        (5, (2, 0)),
        (5, (3, 0, 60)),
        (5, changed(NBIT_ATOMIC, _0=7)),
        (5, changed(NBIT_ATOMIC, _2=61)),
        (5, changed(NBIT_ATOMIC, _3=0)),
        (5, changed(NBIT_ATOMIC, _3=5)),
        (5, changed(NBIT_ATOMIC, _4=0)),
        (5, changed(NBIT_ATOMIC, _5=2)),
        (5, changed(NBIT_ATOMIC, _6=0)),
        (5, changed(NBIT_ATOMIC, _6=30)),
        (5, changed(NBIT_ATOMIC, _7=2**32 - 1)),
        (5, (7, *NBIT_ATOMIC[1:-1])),
        (5, (9, *NBIT_ATOMIC[1:], 0)),
        (5, changed(NBIT_ARRAY, _4=9)),
        (5, NBIT_COMPOUND),
        (5, (9, 0, 30, 3, 8, 1, 5, 4, 4)),  # a member beyond the end
        (5, (9, 0, 30, 3, 8, 2, 0, 4, 4)),  # a member too few
        (5, (12, 0, 30, 3, 8, 2, 0, 4, 8, 0, 4, 8)),  # members that overlap
        (5, (9, 0, 30, 3, 8, 2**32 - 1, 4, 4, 4)),
        (5, (303, 0, 240, *[2, 1] * 149, 4, 1)),  # too deep
    ],
)
def test_refused(number: int, values: tuple[int, ...]) -> None:
    with pytest.raises(FormatError, match="client data"):
        required_input(Filter(number, "", False, values), 240)
