"""Attribute message (versions 1 to 3) and Attribute Info message.

Contract: pure. `decode_attribute` gives the parts of the message; parts that are shared must be resolved through the
file before they mean anything. Specification 4.0, IV.A.2.m and IV.A.2.v.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct

from refmaker.errors import Unsupported
from refmaker.hdf5.sizes import Sizes, need

__all__ = ["AttributeInfo", "AttributeParts", "attribute_offsets", "decode_attribute", "decode_attribute_info"]

WHAT = "attribute message"
# 0 version | 1 reserved (1), flags (2, 3) | 2 name size 2 | 4 datatype size 2 | 6 dataspace size 2 (| 8 charset,
# version 3)
_HEAD = Struct("<BBHHH")
_SHARED_DATATYPE, _SHARED_DATASPACE = 1, 2


@dataclass(slots=True)
class AttributeParts:
    """The parts of an Attribute message, not decoded further."""

    name: str
    datatype: bytes
    datatype_shared: bool
    dataspace: bytes
    dataspace_shared: bool
    data: bytes


@dataclass(slots=True)
class AttributeInfo:
    """Where attributes are stored densely; None where they are not."""

    heap: int | None
    name_index: int | None


def attribute_offsets(body: bytes) -> tuple[int, int, int, int, int]:
    """Return the flags of an Attribute message, and where its name, datatype, dataspace and data begin.

    What lies before the data is the same for attributes of one name and kind.
    """
    need(body, 0, 8, WHAT)
    version, flags, name_size, datatype_size, dataspace_size = _HEAD.unpack_from(body)
    if version == 1:
        datatype_at = 8 + name_size + -name_size % 8
        dataspace_at = datatype_at + datatype_size + -datatype_size % 8
        return 0, 8, datatype_at, dataspace_at, dataspace_at + dataspace_size + -dataspace_size % 8
    if version not in (2, 3):
        raise Unsupported("version", structure=WHAT, expected="1 to 3", got=version)
    pos = 8 if version == 2 else 9
    dataspace_at = pos + name_size + datatype_size
    return flags, pos, pos + name_size, dataspace_at, dataspace_at + dataspace_size


def decode_attribute(body: bytes) -> AttributeParts:
    """Decode an Attribute message."""
    flags, pos, datatype_at, dataspace_at, data_at = attribute_offsets(body)
    name_size, datatype_size, dataspace_size = _HEAD.unpack_from(body)[2:]
    need(body, 0, min(data_at, dataspace_at + dataspace_size), WHAT)
    return AttributeParts(
        body[pos : pos + name_size].split(b"\0", 1)[0].decode("utf-8", "surrogateescape"),
        body[datatype_at : datatype_at + datatype_size],
        bool(flags & _SHARED_DATATYPE),
        body[dataspace_at : dataspace_at + dataspace_size],
        bool(flags & _SHARED_DATASPACE),
        body[data_at:],
    )


def decode_attribute_info(body: bytes, sizes: Sizes) -> AttributeInfo:
    """Decode an Attribute Info message: 0 version | 1 flags (| max creation index 2) | heap O | name index O | …."""
    need(body, 0, 2, "attribute info message")
    if body[0] != 0:
        raise Unsupported("version", structure="attribute info message", expected=0, got=body[0])
    pos = 2 + (2 if body[1] & 1 else 0)
    need(body, pos, 2 * sizes.offsets, "attribute info message")
    heap, index = sizes.struct("2O").unpack_from(body, pos)
    undefined = sizes.undefined
    return AttributeInfo(None if heap == undefined else heap, None if index == undefined else index)
