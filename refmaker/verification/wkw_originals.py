"""Folders of webKnossos, read by the package wkw.

Contract: the array of a path is that of the folder with its `header.wkw`, looked for above the target, the nearest
first. Nothing of `refmaker.zarr_stores` is used.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np

from refmaker.errors import SourceError
from refmaker.verification.other_formats import FormatFile, PlainArray
from refmaker.verification.values import MissingCounterpart

__all__ = ["open_wkw"]

_HEADER = "header.wkw"


@dataclass(frozen=True, slots=True)
class _Folder:
    """A dataset of wkw as an array; its extent is not known to it, zeros are all around."""

    dataset: Any

    def __getitem__(self, selection: tuple[slice, ...]) -> np.ndarray:
        channels, *rest = selection
        found = self.dataset.read([one.start for one in rest], [one.stop - one.start for one in rest])
        return np.asarray(found)[channels]


def open_wkw(name: str) -> FormatFile:
    """Open the folder that a local file is part of."""
    try:
        import wkw
    except ImportError as error:
        raise SourceError("wkw files are compared with what wkw reads, which is not installed") from error
    stack = ExitStack()

    def find(path: str, shown: np.dtype[Any]) -> PlainArray:
        folder, inner = os.path.dirname(os.path.abspath(name)), path.strip("/").rpartition("/")[0]
        while not os.path.isfile(os.path.join(folder, inner, _HEADER)):
            above = os.path.dirname(folder)
            if above == folder:
                raise MissingCounterpart(f"there is no {path} above the file")
            folder = above
        dataset = wkw.Dataset.open(os.path.join(folder, inner))
        stack.callback(dataset.close)
        shape = _shape(os.path.join(folder, inner), dataset.header)
        return PlainArray(_Folder(dataset), shape, (False,) * 4, np.dtype(dataset.header.voxel_type))

    return FormatFile(find, stack)


def _shape(folder: str, header: Any) -> tuple[int, ...]:
    """Return the extent that the files of a dataset cover, by their names."""
    places = [[0, 0, 0]]
    for top, _, names in os.walk(folder):
        z, y = os.path.basename(os.path.dirname(top)), os.path.basename(top)
        places += [[int(one[1:-4]) + 1, int(y[1:]) + 1, int(z[1:]) + 1] for one in names if one[:1] == "x"]
    along = header.file_len * header.block_len
    return (header.num_channels, *(int(stop) * along for stop in np.max(places, axis=0)))
