"""Members of tar files that are not compressed.

Contract: where a member lies is found with the standard library's `tarfile`. A compressed tar file, and a sparse
member, have no such place: they are refused with the reason. Hard links are followed, so many as `limits` says.
"""

from __future__ import annotations

from typing import IO

from refmaker import limits
from refmaker.errors import FormatError, Unsupported

__all__ = ["locate_in_tar"]

MAX_HARD_LINKS = limits.HARD_LINKS


def locate_in_tar(file: IO[bytes], member: str, /) -> tuple[int, int] | None:
    """See `containers.Locate`."""
    import tarfile

    try:
        with tarfile.open(fileobj=file, mode="r:") as archive:
            info = archive.getmember(member)
            for _ in range(MAX_HARD_LINKS):
                if not info.islnk():
                    break
                info = archive.getmember(info.linkname)
            else:
                raise FormatError("hard links that lead in circles, or through too many others", structure="tar")
    except tarfile.TarError as error:
        raise FormatError(f"not an uncompressed tar file: {error}", structure="tar") from error
    except KeyError:
        return None
    if info.issparse() or not info.isreg():
        raise Unsupported(f"the member {member!r} is sparse, or no file: it has no place in its tar file")
    return info.offset_data, info.size
