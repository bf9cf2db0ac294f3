"""Fill Value messages: the old one (0x04) and the new one (0x05), versions 1 to 3.

Contract: pure. Specification 4.0, IV.A.2.e and IV.A.2.f.
"""

from __future__ import annotations

from struct import Struct

from refmaker.errors import FormatError, Unsupported
from refmaker.hdf5.sizes import need
from refmaker.model import FillValue

__all__ = ["decode_fill_value", "decode_old_fill_value"]

WHAT = "fill value message"
# Versions 1 and 2: 0 version | 1 allocation time | 2 write time | 3 defined | 4 size 4 (version 2: only if defined)
# Version 3: 0 version | 1 flags: bits 0-1 allocation time, 2-3 write time, 4 undefined, 5 defined | 2 size 4 if defined
_SIZE = Struct("<i")


def decode_old_fill_value(body: bytes) -> FillValue:
    """Decode the old Fill Value message."""
    return FillValue(_value(body, 0))


def decode_fill_value(body: bytes) -> FillValue:
    """Decode a Fill Value message."""
    need(body, 0, 2, WHAT)
    version = body[0]
    if version in (1, 2):
        need(body, 0, 4, WHAT)
        write_time = _write_time(body[2])
        # libhdf5 takes a missing size (version 2, not defined) and a negative one for "undefined".
        if version == 2 and not body[3]:
            return FillValue(None, write_time)
        return FillValue(_value(body, 4), write_time)
    if version != 3:
        raise Unsupported("version", structure=WHAT, expected="1 to 3", got=version)
    flags = body[1]
    write_time = _write_time(flags >> 2 & 3)
    if flags & 0x10:
        return FillValue(None, write_time)
    return FillValue(_value(body, 2) if flags & 0x20 else b"", write_time)


def _write_time(code: int) -> int:
    """Check when fill values are written: for a code that it does not know, libhdf5 reads what memory holds."""
    if code > 2:
        raise FormatError("fill value write time", structure=WHAT, expected="0 to 2", got=code)
    return code


def _value(body: bytes, pos: int) -> bytes | None:
    need(body, pos, 4, WHAT)
    (size,) = _SIZE.unpack_from(body, pos)
    if size < 0:
        return None
    need(body, pos + 4, size, WHAT)
    return body[pos + 4 : pos + 4 + size]
