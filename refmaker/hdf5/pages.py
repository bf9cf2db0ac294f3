"""Pages of the data blocks of fixed and extensible arrays: elements, then a checksum.

Contract: `read_pages` reads pages of one size, which the caller has announced, some at a time so that they stay in
cache. Specification 4.0, VIII.C and VIII.D (Appendix C, Fixed Array and Extensible Array).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from refmaker.hdf5.checksum import verify_rows
from refmaker.window import Window

__all__ = ["read_pages"]

AT_ONCE = 1 << 20


def read_pages(
    window: Window,
    addresses: npt.NDArray[np.uint64],
    starts: npt.NDArray[np.int64],
    element_size: int,
    count: int,
    structure: str,
) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8]]]:
    """Read pages of `count` elements; `starts` are the indices of the first element of each.

    Yields the index of each element (int64[n]) and the elements (uint8 of shape (n, element size)).
    """
    size = count * element_size + 4
    step = max(AT_ONCE // size, 1)
    for first in range(0, len(addresses), step):
        some = slice(first, first + step)
        rows = window.rows(addresses[some], size)
        verify_rows(rows, structure, addresses[some])
        index = (starts[some, None] + np.arange(count)).reshape(-1)
        yield index, rows[:, :-4].reshape(-1, element_size)
