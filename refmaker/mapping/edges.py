"""Edge chunks that are stored with their valid rows only.

Contract: HDF5 has all chunks of one size, and what reaches beyond the dataset is stored as well. libhdf5 reads chunks
all the same that end behind their last element within the dataset: some writers leave out the rest. Zarr readers want
it, so that such chunks are padded and written into the manifest. Stored sizes tell which they are where nothing is
compressed. Compressed ones have to be decoded: one for each array, the last, as far as an `EdgeAllowance` goes and its
bytes are at hand: nothing is asked for over a network for this. If that one is short, the others are decoded as well.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from refmaker import limits
from refmaker.mapping.chunks import Read
from refmaker.mapping.decoding import Decoder
from refmaker.model import ChunkIndex
from refmaker.window import MissingBytes
from refmaker.zarr.chunk_grid import grid_of
from refmaker.zarr.codec_list import Codecs

__all__ = ["EdgeAllowance", "Edges"]

_FREE = 1 << 14
"""A chunk of so few bytes is decoded in less time than its dataset takes to be scanned."""
_TAIL = 4096


@dataclass(slots=True)
class EdgeAllowance:
    """Bytes that a scan may decode in looking for short edge chunks, of all arrays."""

    left: int = limits.EDGES

    def covers(self, size: int) -> bool:
        """Return whether a chunk may be decoded."""
        return size <= _FREE or size <= self.left

    def take(self, size: int) -> None:
        """Note that a chunk was decoded."""
        if size > _FREE:
            self.left -= size


@dataclass(frozen=True, slots=True)
class Edges:
    """Where the chunks of a dataset reach beyond it.

    Attributes
    ----------
    shape, chunk_shape
        Of the dataspace.
    item
        Bytes of an element as stored.
    """

    shape: tuple[int, ...]
    chunk_shape: tuple[int, ...]
    item: int

    @property
    def size(self) -> int:
        """Bytes of a whole chunk."""
        return self.item * math.prod(self.chunk_shape)

    @property
    def any(self) -> bool:
        """Whether a chunk may reach beyond the dataset."""
        return any(extent % chunk for extent, chunk in zip(self.shape, self.chunk_shape, strict=True))

    def needed(self, cells: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return how many bytes chunks have up to the last element within the dataset."""
        last: npt.NDArray[np.int64] = np.zeros(len(cells), "i8")
        if self.shape:
            places = np.unravel_index(cells, grid_of(self.shape, self.chunk_shape))
            for place, extent, chunk in zip(places, self.shape, self.chunk_shape, strict=True):
                last = last * chunk + (np.minimum(extent - place * chunk, chunk) - 1)
        return (last + 1) * self.item

    def sample(self, cells: npt.NDArray[np.int64]) -> int | None:
        """Return which chunk to look at: the last that reaches beyond the dataset."""
        for start in (max(len(cells) - _TAIL, 0), 0):  # nearly always it is near the end
            partial = np.flatnonzero(self.needed(cells[start:]) < self.size)
            if len(partial):
                return start + int(partial[-1])
        return None

    def short_chunks(
        self,
        decoder: Decoder,
        index: ChunkIndex,
        codecs: Codecs,
        odd: npt.NDArray[np.bool_],
        mask: int,
        read: Read,
        allowance: EdgeAllowance,
    ) -> npt.NDArray[np.bool_] | None:
        """Return which chunks are stored with their valid rows only, or may be; None if there are none.

        Parameters
        ----------
        odd
            Chunks that are filtered otherwise than the others, which do without the filters of `mask`.
        """
        if not codecs.configs:
            stored = index.size.astype("i8") - codecs.trim
            if (stored >= self.size).all():
                return None
            short: npt.NDArray[np.bool_] = (stored < self.size) & (stored >= self.needed(index.cell)) & ~odd
            return short if short.any() else None
        columns = index.cell, index.offset, index.size
        if odd.any():
            columns = index.cell[~odd], index.offset[~odd], index.size[~odd]
        if not self.has_short(decoder, columns, mask, read, allowance):
            return None
        partial: npt.NDArray[np.bool_] = (self.needed(index.cell) < self.size) & ~odd
        return partial

    def has_short(
        self,
        decoder: Decoder,
        columns: tuple[npt.NDArray[np.int64], npt.NDArray[np.uint64], npt.NDArray[np.uint64]],
        mask: int,
        read: Read,
        allowance: EdgeAllowance,
    ) -> bool:
        """Return whether edge chunks are short, by one of them.

        Parameters
        ----------
        columns
            Cells, offsets and stored sizes of chunks that are filtered alike.
        mask
            The filters that they do without.
        """
        cells, offsets, sizes = columns
        at = self.sample(cells) if self.any else None
        if at is None or not allowance.covers(max(self.size, int(sizes[at]))):
            return False
        try:
            block = read(int(offsets[at]), int(sizes[at]))
        except MissingBytes:  # not worth a request
            return False
        found = decoder.stored_size(block, self.chunk_shape, mask)
        allowance.take(max(self.size, len(block)))
        return found is not None and found < self.size
