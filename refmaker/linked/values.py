"""Values of regions: read from the sources, decoded, assembled.

Contract: what is asked for is bounded by the inline limit before anything is read. A `Reader` first notes all that will
be read (`plan`), reads it in one step for all sources together, and then gives elements without missing any bytes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from refmaker import limits
from refmaker.errors import FormatError, Unsupported
from refmaker.linked.address_space import AddressSpace
from refmaker.linked.files import Run, Step
from refmaker.linked.regions import Region, Segments
from refmaker.linked.sources import SourceChunks, decoded
from refmaker.window import MissingBytes

__all__ = ["Box", "Conversion", "Reader", "converted", "paint", "paint_positions"]

Ints = npt.NDArray[np.int64]

Conversion: TypeAlias = tuple[np.dtype[Any], np.dtype[Any]] | None

# Of unfiltered chunks only what is needed is read, unless the pieces lie close together.
GAP = 1 << 14
MAX_PLACES = limits.VIRTUAL_PLACES


@dataclass(slots=True)
class Box:
    """A block of the virtual dataset that is assembled: `values` is uint8 of its shape, and the element's bytes."""

    origin: tuple[int, ...]
    values: npt.NDArray[np.uint8]

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of elements along each axis."""
        return self.values.shape[:-1]


@dataclass(slots=True)
class Reader:
    """Reads elements of sources.

    Parameters
    ----------
    limit
        How many bytes may be decoded in all.
    """

    space: AddressSpace
    limit: int
    planning: bool = True
    wanted: set[tuple[int, int]] = field(default_factory=set)
    blocks: dict[tuple[int, int], bytes] = field(default_factory=dict)
    decoded: dict[tuple[int, int], bytes] = field(default_factory=dict)
    decoding: int = 0

    def load(self, run: Run) -> None:
        """Read all that was planned."""
        run([self._load])
        self.planning = False

    def _load(self) -> list[Step]:
        missed: list[MissingBytes] = []
        for place in sorted(self.wanted - self.blocks.keys()):
            try:
                self.blocks[place] = self.space.read(*place)
            except MissingBytes as missing:
                missed.append(missing)
        if missed:
            raise MissingBytes(np.concatenate([m.addresses for m in missed]), np.concatenate([m.sizes for m in missed]))
        return []

    def elements(self, source: SourceChunks, cell: int, axes: Sequence[Ints]) -> npt.NDArray[np.uint8] | None:
        """Return the elements of a chunk at the product of ascending positions; None while planning.

        Returns
        -------
        uint8 array of the lengths of `axes`, and the element's bytes.
        """
        positions = np.zeros(1, "i8")
        for at, extent in zip(axes, source.chunks, strict=True):
            positions = (positions[:, None] * extent + at).ravel()
        found = self.picked(source, cell, positions)
        return None if found is None else found.reshape(*(len(at) for at in axes), source.item)

    def picked(self, source: SourceChunks, cell: int, positions: Ints) -> npt.NDArray[np.uint8] | None:
        """Return the elements of a chunk at ascending ravelled positions, shape (n, item); None while planning."""
        row = int(np.searchsorted(source.index.cell, cell))
        item = source.item
        if row == len(source.index) or int(source.index.cell[row]) != cell:
            return None if self.planning else np.tile(np.frombuffer(source.fill, "u1"), (len(positions), 1))
        offset, size = int(source.index.offset[row]), int(source.index.size[row])
        mask = int(source.index.filter_mask[row])
        skipped = (1 << len(source.filters)) - 1
        if source.filters and mask & skipped != skipped:
            return self._decoded(source, (offset, size), mask, positions)
        if size != source.chunk_size:
            raise FormatError("size of an unfiltered chunk", expected=source.chunk_size, got=size, address=offset)
        return self._stored(offset, positions, item)

    def _decoded(
        self, source: SourceChunks, place: tuple[int, int], mask: int, positions: Ints
    ) -> npt.NDArray[np.uint8] | None:
        if self.planning:
            self._want(place, max(source.chunk_size, place[1]))
            return None
        if place not in self.decoded:
            self.decoded[place] = decoded(self.blocks[place], source, mask)
        return np.frombuffer(self.decoded[place], "u1").reshape(-1, source.item)[positions]

    def _stored(self, offset: int, positions: Ints, item: int) -> npt.NDArray[np.uint8] | None:
        """Read runs of elements; what lies between two that are close together is read with them."""
        if len(positions) == 0:
            return np.empty((0, item), "u1")
        cuts = np.flatnonzero(np.diff(positions) > GAP // item + 1) + 1
        first, last = np.append(0, cuts).tolist(), np.append(cuts, len(positions)).tolist()
        out = np.empty((0 if self.planning else len(positions), item), "u1")
        for start, stop in zip(first, last, strict=True):
            begin = int(positions[start])
            place = offset + begin * item, (int(positions[stop - 1]) + 1 - begin) * item
            if self.planning:
                self._want(place, place[1])
            else:
                out[start:stop] = np.frombuffer(self.blocks[place], "u1").reshape(-1, item)[
                    positions[start:stop] - begin
                ]
        return None if self.planning else out

    def _want(self, place: tuple[int, int], size: int) -> None:
        if place not in self.wanted:
            self.wanted.add(place)
            self.decoding += size
        if self.decoding > self.limit or len(self.wanted) > MAX_PLACES:
            raise Unsupported(
                f"more than {self.limit} bytes in {MAX_PLACES} places of the sources would have to be read"
            )


def paint(box: Box, region: Region, source: SourceChunks, convert: Conversion, reader: Reader) -> None:
    """Put the elements of a region that lie in a box into it; while planning, only note what that takes."""
    targets: list[Ints] = []
    for axis, (origin, extent) in enumerate(zip(box.origin, box.shape, strict=True)):
        at = region.virtual_single.get(axis, origin) - origin
        if not 0 <= at < extent:
            return
        targets.append(np.array([at], "i8"))
    places: list[Ints] = [np.array([region.source_single.get(s, 0)], "i8") for s in range(len(source.shape))]
    for (v, s), segments in zip(region.pairs, region.segments, strict=True):
        targets[v], places[s] = _clipped(segments, box.origin[v], box.shape[v])
        if len(targets[v]) == 0:
            return
    values = np.empty((*(len(at) for at in places), source.item), "u1")
    for cell, within, inner in _by_chunk(source, places):
        found = reader.elements(source, cell, inner)
        if found is not None:
            values[np.ix_(*within)] = found
    if not reader.planning:
        rows = converted(values.reshape(-1, source.item), convert)
        box.values[np.ix_(*targets)] = rows.reshape(*(len(at) for at in targets), -1)


def paint_positions(
    box: Box, virtual: Ints, own: Ints, source: SourceChunks, convert: Conversion, reader: Reader
) -> None:
    """Put single elements, by their ravelled positions on both sides, into a box that is the whole virtual dataset."""
    at = np.unravel_index(own, source.shape)
    cells = np.ravel_multi_index([a // c for a, c in zip(at, source.chunks, strict=True)], source.grid)
    inner = np.ravel_multi_index([a % c for a, c in zip(at, source.chunks, strict=True)], source.chunks)
    order = np.lexsort((inner, cells))
    cuts = np.flatnonzero(np.diff(cells[order])) + 1
    flat = box.values.reshape(-1, box.values.shape[-1])
    for rows in np.split(order, cuts):
        found = reader.picked(source, int(cells[rows[0]]), inner[rows])
        if found is not None:
            flat[virtual[rows]] = converted(found, convert)


def converted(rows: npt.NDArray[np.uint8], convert: Conversion) -> npt.NDArray[np.uint8]:
    """Convert elements, one a row, from one dtype to another."""
    if convert is None:
        return rows
    before, after = convert
    return np.ascontiguousarray(rows).view(before).astype(after).view("u1").reshape(len(rows), after.itemsize)


def _clipped(segments: Segments, origin: int, extent: int) -> tuple[Ints, Ints]:
    """Return the virtual indices in a box, counted from its origin, and their source indices."""
    start, source_start, length = segments.T
    first = np.maximum(start, origin)
    stop = np.minimum(start + length, origin + extent)
    n = np.maximum(stop - first, 0)
    owner = np.repeat(np.arange(len(n)), n)
    virtual = first[owner] + np.arange(len(owner)) - (np.cumsum(n) - n)[owner]
    return virtual - origin, virtual - start[owner] + source_start[owner]


def _by_chunk(source: SourceChunks, axes: Sequence[Ints]) -> Iterator[tuple[int, list[Ints], list[Ints]]]:
    """Split a product of ascending indices by chunk: the chunk, the positions in `axes`, the positions in the chunk."""
    split: list[list[tuple[int, Ints, Ints]]] = []
    for indices, chunk in zip(axes, source.chunks, strict=True):
        at = indices // chunk
        cuts = np.flatnonzero(np.diff(at)) + 1
        parts = np.split(np.arange(len(indices)), cuts)
        split.append([(int(at[part[0]]), part, indices[part] - int(at[part[0]]) * chunk) for part in parts])
    if math.prod(len(parts) for parts in split) > MAX_PLACES:
        raise Unsupported(f"more than {MAX_PLACES} chunks of a source would have to be read")
    for chosen in product(*split):
        cell = 0
        for (position, _, _), n in zip(chosen, source.grid, strict=True):
            cell = cell * n + position
        yield cell, [within for _, within, _ in chosen], [inner for _, _, inner in chosen]
