from __future__ import annotations

import struct

import pytest

from refmaker.errors import RefmakerError, TruncatedError, Unsupported
from refmaker.hdf5.attribute import AttributeInfo, decode_attribute, decode_attribute_info
from refmaker.hdf5.attributes import read_attributes
from refmaker.hdf5.object_header import Message
from refmaker.hdf5.sizes import Sizes
from refmaker.sources.memory import MemoryWindow
from tests.hdf5.assembling import (
    ATTRIBUTE,
    DATATYPE,
    SCALAR,
    UNDEFINED,
    Image,
    attribute,
    dataspace,
    datatype,
    header_2,
    integer,
    number,
)
from tests.hdf5.walking import file_of

DATA = number(7, 4) + number(8, 4)


def version_1(name: bytes, kind: bytes, space: bytes, data: bytes) -> bytes:
    """All parts padded to 8 bytes."""
    pad = lambda part: part + bytes(-len(part) % 8)  # noqa: E731
    head = struct.pack("<BBHHH", 1, 0, len(name) + 1, len(kind), len(space))
    return head + pad(name + b"\0") + pad(kind) + pad(space) + data


def version_2(name: bytes, kind: bytes, space: bytes, data: bytes) -> bytes:
    return struct.pack("<BBHHH", 2, 0, len(name) + 1, len(kind), len(space)) + name + b"\0" + kind + space + data


@pytest.mark.parametrize("encode", [version_1, version_2, attribute])
@pytest.mark.parametrize("name", [b"a", b"1234567", b"12345678", "ünï".encode()])
def test_versions(encode, name):
    parts = decode_attribute(encode(name, integer(), dataspace([2]), DATA))
    assert (parts.name, parts.datatype, parts.dataspace) == (name.decode(), integer(), dataspace([2]))
    assert parts.data[:8] == DATA
    assert not parts.datatype_shared
    assert not parts.dataspace_shared


def test_flags():
    for flags in range(4):
        parts = decode_attribute(attribute(b"a", b"type", b"space", b"", flags=flags))
        assert (parts.datatype_shared, parts.dataspace_shared) == (bool(flags & 1), bool(flags & 2))


@pytest.mark.parametrize("encode", [version_1, version_2, attribute])
def test_truncated_and_flipped(encode):
    body = encode(b"a", integer(), SCALAR, DATA[:4])
    file = file_of(MemoryWindow(bytes(100)))
    for size in range(len(body)):
        attributes, notes = read_attributes(file, [Message(ATTRIBUTE, 0, body[:size])])
        assert attributes == {}
        assert len(notes) == 1
    for i in range(len(body) * 8):
        bad = bytearray(body)
        bad[i // 8] ^= 1 << i % 8
        read_attributes(file, [Message(ATTRIBUTE, 0, bytes(bad))])


def test_unknown_version():
    with pytest.raises(Unsupported, match="version"):
        decode_attribute(bytes([4]) + bytes(40))
    with pytest.raises(TruncatedError):
        decode_attribute(bytes(7))


def test_one_that_cannot_be_read_costs_itself():
    file = file_of(MemoryWindow(bytes(100)))
    bodies = [
        attribute(b"good", integer(), SCALAR, DATA),
        attribute(b"odd", datatype(2, 4, bytes(2)), SCALAR, DATA),
        attribute(b"short", integer(), dataspace([9]), DATA),
        attribute(b"better", integer(), dataspace([2]), DATA),
    ]
    attributes, notes = read_attributes(file, [Message(ATTRIBUTE, 0, body) for body in bodies])
    assert {name: a.value.tolist() for name, a in attributes.items()} == {"good": 7, "better": [7, 8]}
    assert [("'odd'" in note, "'short'" in note) for note in notes] == [(True, False), (False, True)]


def test_equal_bytes_are_decoded_once():
    file = file_of(MemoryWindow(bytes(100)))
    message = Message(ATTRIBUTE, 0, attribute(b"a", integer(), SCALAR, DATA))
    first, _ = read_attributes(file, [message])
    second, _ = read_attributes(file, [message])
    assert first["a"] is second["a"]


def test_order_of_creation():
    file = file_of(MemoryWindow(bytes(100)))
    bodies = [attribute(name, integer(), SCALAR, DATA) for name in (b"a", b"b", b"c")]
    messages = [Message(ATTRIBUTE, 0, body, order) for body, order in zip(bodies, (2, 0, 1), strict=True)]
    assert list(read_attributes(file, messages)[0]) == ["b", "c", "a"]


@pytest.mark.parametrize(("version", "kind"), [(1, 0), (2, 0), (3, 2)])
def test_shared_datatypes(version, kind):
    """Version 1 has a length between its reserved bytes and the address, which the specification does not tell."""
    image = Image()
    address = image.place(header_2([(DATATYPE, integer())]))
    body = bytes([version, kind]) + (bytes(6 + 8) if version == 1 else b"") + number(address)
    file = file_of(MemoryWindow(bytes(image.data)))
    message = Message(ATTRIBUTE, 0, attribute(b"a", body, SCALAR, DATA, flags=1))
    attributes, notes = read_attributes(file, [message])
    assert notes == []
    assert attributes["a"].value == 7


def test_shared_messages_of_headers_with_wrong_checksums():
    image = Image()
    address = image.place(header_2([(DATATYPE, integer())]))
    image.data[address + 20] ^= 1
    body = bytes([3, 2]) + number(address)
    message = Message(ATTRIBUTE, 0, attribute(b"a", body, SCALAR, DATA, flags=1))
    attributes, notes = read_attributes(file_of(MemoryWindow(bytes(image.data))), [message])
    assert attributes == {}
    assert "checksum" in notes[0]


def test_attribute_info():
    sizes = Sizes(8, 8)
    assert decode_attribute_info(bytes([0, 0]) + number(UNDEFINED) * 2, sizes) == AttributeInfo(None, None)
    assert decode_attribute_info(
        bytes([0, 3]) + number(9, 2) + number(5) + number(6) + number(7), sizes
    ) == AttributeInfo(5, 6)
    with pytest.raises(Unsupported, match="version"):
        decode_attribute_info(b"\1" + bytes(40), sizes)
    with pytest.raises(RefmakerError):
        decode_attribute_info(bytes(17), sizes)
