"""Zarr stores that were scanned, read by zarr-python itself.

Contract: a target is a file of a store: the document of its root, a chunk, a shard; or a zip file that is a store. The
array of a path is looked for in the folders above the target, the nearest first. Nothing of `refmaker.zarr_stores` is
used but the names of metadata.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np

from refmaker import limits
from refmaker.errors import SourceError
from refmaker.urls import is_local, local_path
from refmaker.verification.other_formats import FormatFile, PlainArray
from refmaker.verification.values import MissingCounterpart

__all__ = ["folders_above", "is_store_zip", "open_zarr_file", "open_zarr_zip"]

_ARRAYS = ("zarr.json", ".zarray")
_LEAVES = (*_ARRAYS, ".zgroup", ".zattrs", ".zmetadata")


def folders_above(url: str, exists: Callable[[str], bool]) -> list[str]:
    """Return the folders above a file that are nodes of Zarr, the nearest first; none where it lies in no store.

    Parameters
    ----------
    exists
        Says of a path or url whether there is a file.
    """
    found: list[str] = []
    folder = url
    for _ in range(limits.ZARR_RANK + limits.LINK_DEPTH):
        folder, slash, leaf = folder.rpartition("/")
        if not slash or not leaf or folder.endswith((":", "/")):
            break
        if any(exists(f"{folder}/{name}") for name in _LEAVES):
            found.append(folder)
        elif found:
            break
    return found


def is_store_zip(file: Any) -> bool:
    """Return whether a zip file is a Zarr store, by the names in it; its position is not kept."""
    try:
        with zipfile.ZipFile(file) as archive:
            return any(name.rpartition("/")[2] in _LEAVES for name in archive.namelist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return False


def open_zarr_file(url: str, options: Any) -> FormatFile | None:
    """Open the store that a file is part of; None where it is part of none."""
    if is_local(url):
        name = local_path(url)
        folders = folders_above(name.replace(os.sep, "/"), os.path.isfile)
        return _opened(folders, lambda folder: folder, os.path.isfile)
    if not (url.rpartition("/")[2] in _LEAVES or any(part.endswith(".zarr") for part in url.split("/"))):
        return None
    from refmaker.urls import filesystem_of

    filesystem, _ = filesystem_of(url, options)
    import zarr

    def store(folder: str) -> Any:
        return zarr.storage.FsspecStore.from_url(folder, storage_options=dict(options), read_only=True)

    return _opened(folders_above(url, filesystem.exists), store, filesystem.exists)


def open_zarr_zip(name: str) -> FormatFile:
    """Open a zip file that is a store."""
    import zarr

    stack = ExitStack()
    store = zarr.storage.ZipStore(name, mode="r")
    stack.callback(store.close)

    def find(path: str, shown: np.dtype[Any]) -> PlainArray:
        return _array(store, path.strip("/"))

    return FormatFile(find, stack)


def _opened(folders: list[str], store: Callable[[str], Any], exists: Callable[[str], bool]) -> FormatFile | None:
    if not folders:
        return None

    def find(path: str, shown: np.dtype[Any]) -> PlainArray:
        for folder in _candidates(folders, path.strip("/")):
            if any(exists(f"{folder}/{name}") for name in _ARRAYS):
                return _array(store(folder), "")
        raise MissingCounterpart(f"there is no {path} in the store")

    return FormatFile(find, ExitStack())


def _candidates(folders: list[str], path: str) -> Iterator[str]:
    for folder in folders:
        yield f"{folder}/{path}" if path else folder


@dataclass(frozen=True, slots=True)
class _Text:
    """An array of text, of whatever data type this zarr has for it, as objects."""

    data: Any

    def __getitem__(self, selection: Any) -> np.ndarray:
        return np.asarray(self.data[selection]).astype(object)


def _array(store: Any, path: str) -> PlainArray:
    import zarr

    try:
        array = zarr.open_array(store, path=path, mode="r")
    except FileNotFoundError as error:
        raise MissingCounterpart(f"there is no {path} in the store") from error
    except Exception as error:  # zarr raises errors of many kinds
        raise SourceError(f"zarr cannot open it: {type(error).__name__}: {error}".split("\n", 1)[0]) from error
    found = PlainArray.of(array)
    if found.dtype is not None and found.dtype.kind in "TO":
        found.data, found.dtype = _Text(array), None
    # What a missing chunk reads as is not defined where the metadata do not say.
    found.undefined = getattr(array.metadata, "fill_value", 0) is None
    return found
