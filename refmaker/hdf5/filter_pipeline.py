"""Filter Pipeline message, versions 1 and 2.

Contract: pure; memoised by its bytes. Specification 4.0, IV.A.2.l.
"""

from __future__ import annotations

from functools import lru_cache
from struct import Struct

from refmaker import limits
from refmaker.errors import FormatError, Unsupported
from refmaker.hdf5.sizes import need
from refmaker.model import Filter

__all__ = ["MAX_FILTERS", "decode_filter_pipeline"]

WHAT = "filter pipeline message"
MAX_FILTERS = limits.FILTERS  # H5Z_MAX_NFILTERS
FIRST_WITH_NAME = 256  # version 2 leaves the name out for the library's own filters

# Version 1: 0 version | 1 number of filters | 2 reserved 6 | 8 filters, names padded to 8, odd client data padded by 4
# Version 2: 0 version | 1 number of filters | 2 filters
# Filter: id 2 | name size 2 (version 2: only if id >= 256) | flags 2 | number of client data values 2 | name |
# values 4 each
_FULL = Struct("<HHHH")
_SHORT = Struct("<HHH")


@lru_cache(4096)
def decode_filter_pipeline(body: bytes) -> tuple[Filter, ...]:
    """Decode a Filter Pipeline message."""
    need(body, 0, 2, WHAT)
    version, count = body[0], body[1]
    if version not in (1, 2):
        raise Unsupported("version", structure=WHAT, expected="1 or 2", got=version)
    if count > MAX_FILTERS:
        raise FormatError("number of filters", structure=WHAT, expected=f"<= {MAX_FILTERS}", got=count)
    pos, filters = (8 if version == 1 else 2), []
    for _ in range(count):
        found, pos = _filter(body, pos, version)
        filters.append(found)
    return tuple(filters)


def _filter(body: bytes, pos: int, version: int) -> tuple[Filter, int]:
    need(body, pos, 6, WHAT)
    number = int.from_bytes(body[pos : pos + 2], "little")
    if version == 1 or number >= FIRST_WITH_NAME:
        need(body, pos, 8, WHAT)
        number, name_size, flags, values = _FULL.unpack_from(body, pos)
        pos += 8
    else:
        number, flags, values = _SHORT.unpack_from(body, pos)
        name_size, pos = 0, pos + 6
    need(body, pos, name_size + 4 * values, WHAT)
    name = body[pos : pos + name_size].split(b"\0", 1)[0].decode("utf-8", "replace")
    pos += name_size
    client_data = Struct(f"<{values}I").unpack_from(body, pos)
    pos += 4 * values + (4 if version == 1 and values % 2 else 0)
    return Filter(number, name, bool(flags & 1), client_data), pos
