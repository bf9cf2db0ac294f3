"""An HDF5 file image of one chunked dataset, as bytes.

Contract: pure. The image holds the datatype and the filter pipeline verbatim, so that reading it asks the same of
libhdf5 as reading the original, while nothing recomputes the client data of the filters as creating a dataset would.
The dataset has one chunk as large as itself, with a placeholder for its bytes. Old structures without checksums where
there is a choice. Format specification 4.0: II.A superblock version 0, III.C symbol table entry, IV.A.1.a object header
version 1, IV.A.2.b dataspace, .c link info, .g link, .i data layout version 4 (single chunk index), .l filter pipeline.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct

from refmaker import limits
from refmaker.errors import ManifestError
from refmaker.model import Filter

__all__ = ["DATASET_NAME", "MAX_FILTERS", "MAX_MESSAGE", "MAX_RANK", "dataset_image", "encode_filter_pipeline"]

DATASET_NAME = b"chunk"
MAX_RANK = limits.RANK  # H5S_MAX_RANK
MAX_FILTERS = limits.FILTERS  # H5Z_MAX_NFILTERS
MAX_MESSAGE = 0xFFF8  # the size of a message is 2 bytes and a multiple of 8
PLACEHOLDER = bytes(8)

_UNDEFINED = 2**64 - 1
_SIGNATURE = b"\x89HDF\r\n\x1a\n"

# 0 signature 8 | 8 versions of superblock, free space, root group | 11 reserved | 12 version of shared messages
# 13 size of addresses | 14 size of lengths | 15 reserved | 16 leaf K 2 | 18 internal K 2 | 20 flags 4 | 24 base address
# 32 address of free space | 40 end of file | 48 driver information | 56 root symbol table entry:
# 56 link name offset | 64 object header address | 72 cache type 4 | 76 reserved 4 | 80 scratch 16
_SUPERBLOCK = Struct("<8s3Bx3BxHHIQQQQQQI4x16x")
# 0 version | 1 reserved | 2 number of messages 2 | 4 reference count 4 | 8 size of messages 4 | 12 padding 4
_OBJECT_HEADER = Struct("<BxHII4x")
# 0 type 2 | 2 size 2 | 4 flags | 5 reserved 3
_MESSAGE = Struct("<HHB3x")
# 0 version | 1 rank | 2 flags | 3 reserved 5 | 8 extents, 8 each
_DATASPACE = Struct("<BBB5x")
# 0 version | 1 flags | 2 fractal heap address 8 | 10 name index address 8
_LINK_INFO = Struct("<BBQQ")
# 0 version | 1 flags | 2 length of name | name | object header address 8
_LINK = Struct("<BBB")
# 0 version | 1 class | 2 flags | 3 rank + 1 | 4 width of an extent | extents, element size
# then 0 index type | 1 stored size 8 | 9 filter mask 4 | 13 address 8
_LAYOUT = Struct("<5B")
_SINGLE_CHUNK = Struct("<BQIQ")
# 0 version | 1 number of filters | 2 reserved 6
_PIPELINE = Struct("<BB6x")
# 0 id 2 | 2 length of name 2 | 4 flags 2 | 6 number of client data 2 | name, padded | client data 4 each, padded
_FILTER = Struct("<HHHH")

_ADDRESS = Struct("<Q")
_LAYOUT_VERSION, _CHUNKED, _SINGLE_FILTERED, _SINGLE_INDEX = 4, 2, 2, 1
_DATASPACE_TYPE, _LINK_INFO_TYPE, _DATATYPE_TYPE, _LINK_TYPE, _LAYOUT_TYPE, _PIPELINE_TYPE = 1, 2, 3, 6, 8, 11


def dataset_image(datatype: bytes, shape: Sequence[int], element_size: int, filters: Sequence[Filter]) -> bytes:
    """Return a file with the dataset `DATASET_NAME` in its root group.

    Parameters
    ----------
    datatype
        Body of the Datatype message.
    shape
        Extents of dataset and chunk alike; one at least, none zero.
    element_size
        Size that `datatype` states.
    filters
        The pipeline; one filter at least, because only a filtered chunk has a stored size of its own.
    """
    root_address = _SUPERBLOCK.size
    dataset_address = root_address + len(_root_group(0))
    messages = [
        _message(_DATASPACE_TYPE, _dataspace(shape)),
        _message(_DATATYPE_TYPE, datatype),
        _message(_PIPELINE_TYPE, encode_filter_pipeline(filters)),
    ]
    sizing = _object_header([*messages, _message(_LAYOUT_TYPE, _layout(shape, element_size, 0))])
    chunk_address = dataset_address + len(sizing)
    layout = _message(_LAYOUT_TYPE, _layout(shape, element_size, chunk_address))
    dataset = _object_header([*messages, layout])
    end = chunk_address + len(PLACEHOLDER)
    return _superblock(root_address, end) + _root_group(dataset_address) + dataset + PLACEHOLDER


def encode_filter_pipeline(filters: Sequence[Filter]) -> bytes:
    """Encode a Filter Pipeline message, version 1."""
    body = [_PIPELINE.pack(1, len(filters))]
    for one in filters:
        name = _padded(one.name.encode("utf-8", "surrogateescape") + b"\0") if one.name else b""
        values = Struct(f"<{len(one.client_data)}I").pack(*one.client_data)
        body += [_FILTER.pack(one.id, len(name), int(one.optional), len(one.client_data)), name, _padded(values)]
    return b"".join(body)


def _padded(body: bytes) -> bytes:
    return body + bytes(-len(body) % 8)


def _message(kind: int, body: bytes) -> bytes:
    padded = _padded(body)
    if len(padded) > MAX_MESSAGE:
        raise ManifestError("too large for a message", structure="HDF5 codec", expected=MAX_MESSAGE, got=len(body))
    return _MESSAGE.pack(kind, len(padded), 0) + padded


def _object_header(messages: Sequence[bytes]) -> bytes:
    body = b"".join(messages)
    return _OBJECT_HEADER.pack(1, len(messages), 1, len(body)) + body


def _superblock(root_address: int, end: int) -> bytes:
    undefined = _UNDEFINED
    return _SUPERBLOCK.pack(_SIGNATURE, 0, 0, 0, 0, 8, 8, 4, 16, 0, 0, undefined, end, undefined, 0, root_address, 0)


def _root_group(dataset_address: int) -> bytes:
    link = _LINK.pack(1, 0, len(DATASET_NAME)) + DATASET_NAME + _ADDRESS.pack(dataset_address)
    info = _LINK_INFO.pack(0, 0, _UNDEFINED, _UNDEFINED)
    return _object_header([_message(_LINK_INFO_TYPE, info), _message(_LINK_TYPE, link)])


def _dataspace(shape: Sequence[int]) -> bytes:
    return _DATASPACE.pack(1, len(shape), 0) + Struct(f"<{len(shape)}Q").pack(*shape)


def _layout(shape: Sequence[int], element_size: int, address: int) -> bytes:
    extents = [*shape, element_size]
    # libhdf5 accepts only the least width that holds them all
    width = (max(extents).bit_length() + 7) // 8
    head = _LAYOUT.pack(_LAYOUT_VERSION, _CHUNKED, _SINGLE_FILTERED, len(extents), width)
    index = _SINGLE_CHUNK.pack(_SINGLE_INDEX, len(PLACEHOLDER), 0, address)
    return head + b"".join(extent.to_bytes(width, "little") for extent in extents) + index
