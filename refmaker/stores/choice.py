"""Which class asks for ranges of a file: by what its filesystem is, not by what it is called.

Contract: HTTP and S3 are asked through the filesystem's own session, whose answers say what they are, wherever the
filesystem reads as fsspec's and s3fs's own do; one that was derived and reads in its own way is asked as it wishes.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from refmaker.stores.fsspec import FsspecFile
from refmaker.stores.http import HttpFile
from refmaker.stores.s3 import S3File

__all__ = ["FileInFilesystem", "file_in"]

FileInFilesystem: TypeAlias = HttpFile | S3File | FsspecFile


def file_in(filesystem: Any, path: str) -> FileInFilesystem:
    """Return the file at a path of an asynchronous filesystem, or of any other."""
    protocols = (filesystem.protocol,) if isinstance(filesystem.protocol, str) else filesystem.protocol
    if getattr(filesystem, "async_impl", False):
        if "http" in protocols and _reads_as(filesystem, "fsspec", "HTTPFileSystem"):
            return HttpFile(filesystem, path)
        if "s3" in protocols and _reads_as(filesystem, "s3fs", "S3FileSystem"):
            return S3File(filesystem, path)
    return FsspecFile(filesystem, path)


def _reads_as(filesystem: Any, package: str, name: str) -> bool:
    """Return which class says how a filesystem reads: one that was derived may do otherwise."""
    kind = next((kind for kind in type(filesystem).__mro__ if "_cat_file" in vars(kind)), object)
    return kind.__module__.partition(".")[0] == package and kind.__name__ == name
