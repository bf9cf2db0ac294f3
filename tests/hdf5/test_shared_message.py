from __future__ import annotations

import pytest

from refmaker.errors import FormatError, TruncatedError, Unsupported
from refmaker.hdf5.file import shared
from refmaker.hdf5.shared_message import (
    SharedMessage,
    decode_shared_message,
    decode_sohm_indexes,
    decode_sohm_message,
    sohm_table_size,
)
from refmaker.hdf5.sizes import Sizes
from refmaker.sources.memory import MemoryWindow
from tests.hdf5.assembling import DATATYPE, Image, header_2, integer, number, signed
from tests.hdf5.walking import file_of

WIDE = Sizes(8, 8)


def test_where_messages_are_kept():
    assert decode_shared_message(bytes([1, 0]) + bytes(6 + 8) + number(700), WIDE) == SharedMessage(700, None)
    assert decode_shared_message(bytes([2, 0]) + number(700), WIDE) == SharedMessage(700, None)
    assert decode_shared_message(bytes([2, 1]) + number(700), WIDE) == SharedMessage(700, None)
    assert decode_shared_message(bytes([3, 1]) + b"heap  id", WIDE) == SharedMessage(None, b"heap  id")
    assert decode_shared_message(bytes([3, 2]) + number(700), WIDE) == SharedMessage(700, None)
    assert decode_shared_message(bytes([3, 2]) + number(700, 4), Sizes(4, 4)) == SharedMessage(700, None)


@pytest.mark.parametrize(
    "body", [bytes([1, 0]) + bytes(14) + number(7), bytes([2, 0]) + number(7), bytes([3, 1]) + number(7)]
)
def test_truncated(body):
    for size in range(len(body)):
        with pytest.raises(TruncatedError):
            decode_shared_message(body[:size], WIDE)


def test_unknown_version():
    for version in (0, 4):
        with pytest.raises(Unsupported, match="version"):
            decode_shared_message(bytes([version, 0]) + bytes(30), WIDE)


def index(flags: int, heap: int) -> bytes:
    return (
        bytes([0, 0])
        + number(flags, 2)
        + number(50, 4)
        + number(50, 2)
        + number(40, 2)
        + bytes(2)
        + number(1)
        + number(heap)
    )


def test_table():
    assert decode_sohm_message(bytes([0]) + number(700) + bytes([2]), WIDE) == (700, 2)
    table = signed(b"SMTB" + index(2, 800) + index(8 | 4, 900))
    assert len(table) == sohm_table_size(2, WIDE)
    assert decode_sohm_indexes(table, 0, 2, WIDE, 0) == [(2, 800), (12, 900)]
    with pytest.raises(FormatError, match="signature"):
        decode_sohm_indexes(b"SMTX" + table[4:], 0, 2, WIDE, 0)
    with pytest.raises(Unsupported, match="version"):
        decode_sohm_message(bytes([1]) + number(700) + bytes([2]), WIDE)
    with pytest.raises(TruncatedError):
        decode_sohm_message(bytes([0]) + number(700), WIDE)


def test_messages_that_are_not_there():
    image = Image()
    address = image.place(header_2([(DATATYPE, integer())]))
    circle = image.next
    image.place(header_2([(DATATYPE, bytes([3, 2]) + number(circle), 2)]))
    file = file_of(MemoryWindow(bytes(image.data)))
    assert shared(file, DATATYPE, bytes([3, 2]) + number(address)) == integer()
    for kind, place in ((1, address), (DATATYPE, circle), (DATATYPE, 1 << 63), (DATATYPE, len(image.data) - 1)):
        with pytest.raises(FormatError):
            shared(file, kind, bytes([3, 2]) + number(place))
    with pytest.raises(FormatError, match="no shared message index"):
        shared(file, DATATYPE, bytes([3, 1]) + bytes(8))


def test_old_fill_values_are_found_under_the_new_ones():
    """H5SM_type_to_flag: one flag for both."""
    from tests.hdf5.test_fractal_heap import START, Heap, expected, header, managed_id

    heap = Heap()
    data = heap.done(header(heap.direct(0, START)[0], 0))
    file = file_of(MemoryWindow(data))
    file.sohm = [(1 << 5, 0)]
    for kind in (4, 5):
        assert shared(file, kind, bytes([3, 1]) + managed_id(20, 5)) == expected(20, 5)
    with pytest.raises(FormatError, match="no shared message index"):
        shared(file, 3, bytes([3, 1]) + managed_id(20, 5))
