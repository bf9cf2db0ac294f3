"""The frame of a Blosc2 file: header, metalayers, index of chunks.

Contract: pure decoders over a Window. Every size is held to the file before memory is taken; the index, which is a
chunk of Blosc2 itself, to the number of chunks that the header says. The header is MessagePack, read by the package
that python-blosc2 brings along. Source: C-Blosc2, README_CFRAME_FORMAT.rst, README_CHUNK_FORMAT.rst.

    header [14]: "b2frame" | header_size | frame_size | flags | nbytes | cbytes | typesize | blocksize | chunksize |
                 threads | threads | has_vlmetalayers | filters | metalayers [size, {name: offset}, [content]]
    header, chunks (cbytes), index: one chunk of i8, trailer
    index: offset of each chunk behind the header; bit 63: no chunk, bits 56-62 say what its elements are
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from refmaker import limits
from refmaker.errors import FormatError, Unsupported
from refmaker.window import Window

__all__ = ["MAGIC", "Frame", "chunk_heads", "chunk_index", "decode_header", "read_frame"]

MAGIC = b"\x9e\xa8b2frame\0"
_SIZES = struct.Struct(">1xi1xQ")
_CHUNK_HEAD = 32
_HEADER_LIMIT = 1 << 20
_STRUCTURE = "b2frame"


@dataclass(frozen=True, slots=True)
class Frame:
    """What a frame says.

    Attributes
    ----------
    header_size
        Bytes in front of the chunks.
    nbytes, cbytes
        Of all chunks, decoded and stored.
    chunksize
        Bytes of a decoded chunk.
    has_attributes
        There are metalayers of variable length, in the trailer.
    metalayers
        Name -> content, MessagePack decoded.
    """

    header_size: int
    nbytes: int
    cbytes: int
    typesize: int
    blocksize: int
    chunksize: int
    has_attributes: bool
    metalayers: dict[str, Any]


def read_frame(window: Window) -> Frame:
    """Read the header of a frame."""
    buf, pos = window.at(0, 24)
    if bytes(buf[pos : pos + 10]) != MAGIC:
        raise FormatError("signature", structure=_STRUCTURE, address=0, got=bytes(buf[pos : pos + 10]))
    size, whole = _SIZES.unpack_from(buf, pos + 10)
    if not 24 < size <= min(_HEADER_LIMIT, window.size) or whole > window.size:
        raise FormatError("sizes of header and frame", structure=_STRUCTURE, expected=window.size, got=(size, whole))
    buf, pos = window.at(0, size)
    frame = decode_header(bytes(buf[pos : pos + size]))
    if frame.header_size + frame.cbytes > window.size:
        raise FormatError("chunks reach beyond the file", structure=_STRUCTURE, expected=window.size, got=frame.cbytes)
    return frame


def decode_header(header: bytes) -> Frame:
    """Decode a header."""
    import msgpack

    try:
        found = msgpack.unpackb(header, raw=True, strict_map_key=False)
        _, size, _, _, nbytes, cbytes, typesize, blocksize, chunksize, _, _, attributes, *_, layers = found
        names, contents = layers[1], layers[2]
        metalayers = {
            name.decode("utf-8", "replace"): msgpack.unpackb(content, raw=True, strict_map_key=False)
            for name, content in zip(names, contents, strict=True)
        }
    except (ValueError, TypeError, LookupError, AttributeError, msgpack.UnpackException, RecursionError) as error:
        raise FormatError("a header that is not as MessagePack has it", structure=_STRUCTURE) from error
    numbers = (size, nbytes, cbytes, typesize, blocksize, chunksize)
    if not all(type(number) is int and 0 <= number < 1 << 62 for number in numbers) or size != len(header):
        raise FormatError("sizes in the header", structure=_STRUCTURE, expected=len(header), got=numbers)
    return Frame(*numbers, bool(attributes), metalayers)


def chunk_index(window: Window, frame: Frame, count: int) -> npt.NDArray[np.uint64]:
    """Return the index of a frame of `count` chunks, as it stands there."""
    import blosc2

    if count > limits.VIRTUAL_CELLS:
        raise Unsupported("more chunks than are looked at", expected=f"<= {limits.VIRTUAL_CELLS}", got=count)
    if not count:
        return np.empty(0, "u8")
    address = frame.header_size + frame.cbytes
    buf, pos = window.at(address, _CHUNK_HEAD)
    nbytes, _, cbytes = struct.unpack_from("<iii", buf, pos + 4)
    if nbytes != 8 * count or cbytes < _CHUNK_HEAD:
        raise FormatError("size of the index", structure=_STRUCTURE, address=address, expected=8 * count, got=nbytes)
    buf, pos = window.at(address, cbytes)
    try:
        found = np.frombuffer(blosc2.decompress2(bytes(buf[pos : pos + cbytes])), "<u8")
    except (RuntimeError, ValueError, TypeError) as error:
        raise FormatError(f"the index does not decode: {error}", structure=_STRUCTURE, address=address) from error
    if len(found) != count:
        raise FormatError("size of the index", structure=_STRUCTURE, address=address, expected=count, got=len(found))
    return found


def chunk_heads(window: Window, frame: Frame, offsets: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint8]:
    """Return the headers of chunks at offsets behind the header, a row each; refuse what is decoded by plug-ins."""
    beyond = offsets > np.uint64(max(frame.cbytes - _CHUNK_HEAD, 0))
    if beyond.any():
        got = int(offsets[int(beyond.argmax())])
        raise FormatError("a chunk beyond the chunks", structure=_STRUCTURE, expected=f"< {frame.cbytes}", got=got)
    heads = window.rows(offsets + np.uint64(frame.header_size), _CHUNK_HEAD)
    codecs, filters = heads[:, 2] >> 5, heads[:, 16:22]
    if (~np.isin(codecs, (0, 1, 3, 4))).any() or (filters >= 32).any():
        raise Unsupported("a codec or filter that is a plug-in of Blosc2")
    return heads
