"""The data type of a Zarr array.

Contract: a record; `mapping.dtypes` makes it of what HDF5 says.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["ZarrDtype", "packed"]


@dataclass(frozen=True, slots=True)
class ZarrDtype:
    """How the elements of a dataset stand in Zarr.

    Attributes
    ----------
    dtype
        The element. Object for text.
    extra
        Trailing axes that an array datatype adds.
    stored
        The element as stored, when it has to be repacked to become `dtype`.
    text
        Elements are strings, encoded by `vlen-utf8`; or sequences, encoded by `refmaker_sequences`.
    items
        The dtype of the items of sequences, as stored.
    raw
        The text is not UTF-8: elements are byte strings, encoded by `vlen-bytes`.
    depth
        How many sequences are within each other.
    terminated
        Offset and size, in an element of `dtype` or in an item, of null-terminated strings: what follows their NUL is
        no part of them, but would be in Zarr.
    target
        The dtype that libhdf5 has to convert elements of the dataspace to, when `dtype` is not how they are stored; of
        the same bytes as `dtype` over the axes `extra`.
    memory
        What libhdf5 gives elements of `dtype` as, where that is something else: opaque data are bytes to it, whatever
        their tag says.
    """

    dtype: np.dtype[Any]
    extra: tuple[int, ...] = ()
    stored: np.dtype[Any] | None = None
    text: bool = False
    items: np.dtype[Any] | None = None
    depth: int = 0
    terminated: tuple[tuple[int, int], ...] = ()
    target: np.dtype[Any] | None = None
    memory: np.dtype[Any] | None = None
    raw: bool = False

    @property
    def packed_items(self) -> np.dtype[Any]:
        """The dtype of the items of sequences without padding."""
        return packed(self.items) if self.items is not None else self.dtype

    @property
    def element(self) -> np.dtype[Any]:
        """What libhdf5 is to make of an element of the dataspace: `target`, or one that holds the same values."""
        if self.target is not None:
            return self.target
        return np.dtype((self.given, self.extra)) if self.extra else self.given

    @property
    def given(self) -> np.dtype[Any]:
        """An element of `dtype` as libhdf5 gives it."""
        return self.dtype if self.memory is None else self.memory


def packed(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return a structured dtype without what lies between its members, however deep."""
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        return np.dtype((packed(base), shape))
    if dtype.names is None:
        return dtype
    return np.dtype([(name, packed(dtype[name])) for name in dtype.names])
