"""Members of tar and zip files, as files of their own: what a reader is given for a target that is a container.

Contract: members are found with the standard library's `tarfile` and `zipfile`, and none but those that stand in their
container as they are. Which member a manifest is of, its references say: they lie in it.
"""

from __future__ import annotations

import io
import struct
import tarfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from refmaker.errors import SourceError
from refmaker.sources.containers.car import read_archive
from refmaker.verification.zarr_originals import is_store_zip

__all__ = ["Member", "MemberFile", "member_with", "members_of"]

_TAR_MARK, _TAR_AT = b"ustar", 257
_ZIP_MARK = b"PK\x03\x04"
_CAR_V2, _CAR_ROOTS = b"\x0a\xa1gversion\x02", b"eroots"
_ZIP_HEAD = struct.Struct("<26xHH")
"""Local file header of a zip file: at 26 the length of the name, at 28 that of the extra field."""


@dataclass(frozen=True, slots=True)
class Member:
    """A part of a file that is a file of its own."""

    name: str
    start: int
    size: int


class MemberFile(io.RawIOBase):
    """A member to be read as if it stood alone.

    Parameters
    ----------
    file
        The container, seekable; left open.
    """

    def __init__(self, file: Any, member: Member) -> None:
        self._file = file
        self._member = member
        self._at = 0

    def readable(self) -> bool:
        """Say that it is for reading."""
        return True

    def seekable(self) -> bool:
        """Say that it can be read anywhere."""
        return True

    def tell(self) -> int:
        """Return the position."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a position."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._member.size}[whence]
        self._at = max(base + offset, 0)
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Read what the buffer has room for, and the member has."""
        view = memoryview(buffer).cast("B")
        size = max(min(len(view), self._member.size - self._at), 0)
        self._file.seek(self._member.start + self._at)
        data = self._file.read(size)
        view[: len(data)] = data
        self._at += len(data)
        return len(data)


def members_of(file: Any) -> list[Member] | None:
    """Return the members of a container that stand in it as they are, None where it is no container.

    Parameters
    ----------
    file
        Binary, seekable; its position is not kept.

    Raises
    ------
    SourceError
        The container is damaged.
    """
    file.seek(0)
    head = file.read(_TAR_AT + len(_TAR_MARK))
    if head.startswith(_CAR_V2) or _CAR_ROOTS in head[:16]:
        return [Member(one.cid.hex(), one.offset, one.size) for one in read_archive(file).blocks.values()]
    try:
        if head[_TAR_AT:] == _TAR_MARK:
            return _in_tar(file)
        if head.startswith(_ZIP_MARK):
            return None if is_store_zip(file) else _in_zip(file)
    except (tarfile.TarError, zipfile.BadZipFile) as error:
        raise SourceError(f"a container that cannot be read: {error}") from error
    return None


def _in_tar(file: Any) -> list[Member]:
    file.seek(0)
    with tarfile.open(fileobj=file, mode="r:") as archive:
        return [Member(one.name, one.offset_data, one.size) for one in archive if one.isreg() and not one.issparse()]


def _in_zip(file: Any) -> list[Member]:
    found = []
    with zipfile.ZipFile(file) as archive:
        for one in archive.infolist():
            if one.compress_type != zipfile.ZIP_STORED or one.flag_bits & 1 or one.is_dir():
                continue
            file.seek(one.header_offset)
            head = file.read(_ZIP_HEAD.size)
            if len(head) == _ZIP_HEAD.size:
                start = one.header_offset + _ZIP_HEAD.size + sum(_ZIP_HEAD.unpack(head))
                found.append(Member(one.filename, start, one.file_size))
    return found


def member_with(members: Sequence[Member], extent: tuple[int, int] | None) -> Member:
    """Return the member in which all references lie; without any, the only one.

    Parameters
    ----------
    extent
        First byte that is referred to, and the one behind the last.

    Raises
    ------
    SourceError
        There is none.
    """
    if extent is None:
        if len(members) == 1:
            return members[0]
        raise SourceError("a container, of which no reference says which member is meant")
    first, stop = extent
    for member in members:
        if member.start <= first and stop <= member.start + member.size:
            return member
    raise SourceError(f"a container without a member that has the bytes {first} to {stop}")
