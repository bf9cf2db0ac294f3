"""The attributes of an object: compact and dense, their values decoded.

Contract: `read_attributes` reads through the Window of a `File`. One attribute that cannot be read costs that
attribute: it comes back as a note. Specification 4.0, IV.A.2.m and v.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from refmaker.errors import RefmakerError
from refmaker.hdf5 import btree_v2
from refmaker.hdf5.attribute import AttributeParts, attribute_offsets, decode_attribute, decode_attribute_info
from refmaker.hdf5.bit_fields import decode_bit_fields, has_bit_fields
from refmaker.hdf5.dataspace import decode_dataspace
from refmaker.hdf5.datatype import decode_datatype
from refmaker.hdf5.file import File, announce_dense, read_heap, read_heap_objects, shared, shared_body
from refmaker.hdf5.object_header import Message
from refmaker.hdf5.values import decode_values, is_variable
from refmaker.model import Attribute, Dataspace, Datatype, VariableLength

__all__ = ["read_attributes"]

ATTRIBUTE, ATTRIBUTE_INFO = 0x0C, 0x15
_DATASPACE, _DATATYPE = 0x01, 0x03
_NAME_INDEX_TYPE = 8
# Records of type 8: heap id 8 | message flags 1 | creation order 4 | hash of the name 4
_FLAGS_AT, _ORDER_AT = 8, 9
_NOTHING: dict[int, bytes] = {}


def read_attributes(file: File, messages: list[Message]) -> tuple[dict[str, Attribute], list[str]]:
    """Read all attributes of an object, by name, and notes on those that could not be read."""
    bodies: list[tuple[int, bytes]] = []
    notes: list[str] = []
    for message in messages:
        if message.kind == ATTRIBUTE:
            bodies.append((message.creation_order, shared_body(file, message)))
        elif message.kind == ATTRIBUTE_INFO:
            bodies += _dense(file, message.body)
    if len({order for order, _ in bodies}) == len(bodies):
        bodies.sort(key=lambda pair: pair[0])
    attributes: dict[str, Attribute] = {}
    for _, body in bodies:
        try:
            attribute = _attribute(file, body)
        except RefmakerError as error:
            notes.append(f"attribute {_name(body)!r} cannot be read: {error}")
        else:
            attributes[attribute.name] = attribute
    return attributes, notes


def _name(body: bytes) -> str:
    try:
        return decode_attribute(body).name
    except RefmakerError:
        return "?"


def _dense(file: File, body: bytes) -> list[tuple[int, bytes]]:
    info = decode_attribute_info(body, file.sizes)
    if info.heap is None or info.name_index is None:
        return []
    announce_dense(file, info.heap, info.name_index)
    records = btree_v2.read_records(file.metered, info.name_index, _NAME_INDEX_TYPE, file.sizes)
    found: list[tuple[int, bytes]] = []
    own: list[tuple[int, bytes]] = []
    for row in records:
        record = row.tobytes()
        order = int.from_bytes(record[_ORDER_AT : _ORDER_AT + 4], "little")
        heap_id = record[:_FLAGS_AT]
        if record[_FLAGS_AT] & 0x02:
            # A shared attribute is kept in the file's heap of shared attribute messages, under the same kind of id.
            found.append((order, shared(file, ATTRIBUTE, b"\x03\x01" + heap_id)))
        else:
            own.append((order, heap_id))
    objects = read_heap(file, info.heap, [heap_id for _, heap_id in own])
    return found + [(order, data) for (order, _), data in zip(own, objects, strict=True)]


def _attribute(file: File, body: bytes) -> Attribute:
    """Decode an attribute; equal bytes give the same record, since addresses in them mean the same objects."""
    memo = file.attributes.get(body)
    if memo is None:
        memo = _decode(file, body)
        file.attributes[body] = memo
    return memo


def _decode(file: File, body: bytes) -> Attribute:
    """Decode an attribute. Most are many of a kind: what stands before the data is decoded once."""
    data_at = attribute_offsets(body)[-1]
    head = body[:data_at]
    kind = file.attribute_kinds.get(head)
    if kind is None:
        kind = _kind(file, decode_attribute(body))
        file.attribute_kinds[head] = kind
    name, datatype, space = kind
    if space.kind == "null":
        return Attribute(name, datatype, space, None)
    data = body[data_at:]
    if has_bit_fields(datatype):
        return Attribute(name, datatype, space, decode_bit_fields(datatype, data, space.shape))
    if isinstance(datatype, VariableLength):
        if datatype.is_string and space.kind == "scalar" and datatype.size == 8 + file.sizes.offsets:
            text = _text(file, data)
            if text is not None:
                return Attribute(name, datatype, space, text)
        read = partial(read_heap_objects, file, nested=is_variable(datatype.base))
    else:
        read = partial(read_heap_objects, file, nested=False)
    return Attribute(name, datatype, space, decode_values(datatype, data, space.shape, file.base, file.sizes, read))


def _kind(file: File, parts: AttributeParts) -> tuple[str, Datatype, Dataspace]:
    datatype_body = shared(file, _DATATYPE, parts.datatype) if parts.datatype_shared else parts.datatype
    space_body = shared(file, _DATASPACE, parts.dataspace) if parts.dataspace_shared else parts.dataspace
    return parts.name, decode_datatype(datatype_body), decode_dataspace(space_body, file.sizes)


def _text(file: File, data: bytes) -> np.ndarray | None:
    """Return one variable-length string whose collection was read before; None where there is more to it."""
    reference = file.sizes.struct("IOI")
    if len(data) < reference.size:
        return None
    length, address, index = reference.unpack_from(data)
    found = file.collections.get(address, _NOTHING).get(index)
    if not found or len(found) != length:
        return None
    file.decoding.spend(length)
    value: np.ndarray = np.empty((), object)
    value[()] = found.split(b"\0", 1)[0]
    return value
