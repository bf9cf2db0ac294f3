"""Members of zip files that are stored as they are.

Contract: where a member lies is found with the standard library's `zipfile` and its local file header. A compressed or
encrypted member has no such place: it is refused with the reason. Source: APPNOTE.TXT 6.3.10, 4.3.7.
"""

from __future__ import annotations

import struct
from typing import IO

from refmaker.errors import FormatError, Unsupported

__all__ = ["locate_in_zip"]

# Local file header: 0 signature 4 | … | 26 length of the name 2 | length of the extra field 2
_ZIP_HEAD = struct.Struct("<4s22xHH")


def locate_in_zip(file: IO[bytes], member: str, /) -> tuple[int, int] | None:
    """See `containers.Locate`."""
    import zipfile

    try:
        with zipfile.ZipFile(file) as archive:
            info = archive.getinfo(member)
    except zipfile.BadZipFile as error:
        raise FormatError(f"not a zip file: {error}", structure="zip") from error
    except KeyError:
        return None
    if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
        what = "encrypted" if info.flag_bits & 1 else "compressed"
        raise Unsupported(f"the member {member!r} is {what} in its zip file: unpack it, or store it as it is")
    file.seek(info.header_offset)
    head = file.read(_ZIP_HEAD.size)
    if len(head) < _ZIP_HEAD.size or head[:4] != b"PK\3\4":
        raise FormatError("local file header", structure="zip", address=info.header_offset, got=head[:4])
    _, name, extra = _ZIP_HEAD.unpack(head)
    return info.header_offset + 30 + name + extra, info.file_size
