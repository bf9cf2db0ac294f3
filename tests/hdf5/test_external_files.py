from __future__ import annotations

import pytest

from refmaker.errors import FormatError, TruncatedError, Unsupported
from refmaker.hdf5.external_files import decode_external_files
from refmaker.hdf5.sizes import Sizes
from tests.hdf5.assembling import (
    EXTERNAL,
    UNDEFINED,
    Image,
    contiguous,
    dataset,
    dataspace,
    group,
    hard_link,
    integer,
    local_heap,
    number,
)
from tests.hdf5.walking import tree_of


def message(heap: int, slots: list[tuple[int, int, int]], *, allocated: int | None = None) -> bytes:
    head = bytes([1, 0, 0, 0]) + number(len(slots) if allocated is None else allocated, 2) + number(len(slots), 2)
    return head + number(heap) + b"".join(number(n) for slot in slots for n in slot)


SLOTS = [(8, 100, 16), (16, 0, UNDEFINED)]


def test_slots():
    assert decode_external_files(message(700, SLOTS), Sizes(8, 8)) == (700, ((8, 100, 16), (16, 0, None)))
    assert decode_external_files(message(700, SLOTS, allocated=9), Sizes(8, 8))[0] == 700


def test_what_cannot_be():
    body = message(700, SLOTS)
    for size in range(len(body)):
        with pytest.raises(TruncatedError):
            decode_external_files(body[:size], Sizes(8, 8))
    with pytest.raises(FormatError, match="used slots"):
        decode_external_files(message(700, SLOTS, allocated=1), Sizes(8, 8))
    with pytest.raises(Unsupported, match="version"):
        decode_external_files(b"\2" + body[1:], Sizes(8, 8))


def walked(names: bytes):
    image = Image()
    segment = image.place(names, align=1)
    heap = image.place(local_heap(segment, len(names)))
    layout = contiguous(UNDEFINED, 32)
    address = image.place(dataset(dataspace([8]), integer(), layout, [(EXTERNAL, message(heap, SLOTS))]))
    return tree_of(image.file(image.place(group([hard_link(b"x", address)]))))


def test_names():
    segments = walked(bytes(8) + b"one.raw\0" + b"two.raw\0").datasets["/x"].storage.segments
    assert [(s.name, s.offset, s.size) for s in segments] == [("one.raw", 100, 16), ("two.raw", 0, None)]


@pytest.mark.parametrize("names", [bytes(8) + b"one.raw\0" + b"two.raw", bytes(8), bytes(8) + b"one.raw"])
def test_names_that_are_not_there(names):
    assert "name" in walked(names).refusals["/x"].reason
