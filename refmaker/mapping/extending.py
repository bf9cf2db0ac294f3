"""Arrays that are longer than their dataset, along an unlimited dimension that another variable has filled further.

Contract: what lies beyond the dataset reads as netCDF-4 shows it: the fill value, or the default of the type where the
file has none. libhdf5 never shows what an edge chunk stores beyond its dataset, and Zarr would: edge chunks that hold
something else there are written into the manifest.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from refmaker import limits
from refmaker.conventions.default_fill import default_fill
from refmaker.errors import Unsupported
from refmaker.mapping.chunks import Read, as_zarr, encode_chunk, read_ranges
from refmaker.mapping.decoding import Decoder, fill_of
from refmaker.mapping.edges import Edges
from refmaker.mapping.layout import Layout
from refmaker.model import Dataset, FixedPoint, FloatingPoint
from refmaker.zarr.chunk_grid import grid_of
from refmaker.zarr.zarr_dtype import ZarrDtype

__all__ = ["extend"]

_MOST_DECODED = limits.INLINED >> 2


def extend(
    layout: Layout, dataset: Dataset, dtype: ZarrDtype, shape: tuple[int, ...], *, read: Read, inline_limit: int
) -> Dataset:
    """Make a layout that of a longer array; return the dataset with the fill value that holds beyond it.

    Raises
    ------
    Unsupported
        What stands beyond the dataset would be shown, and is too much to be written into the manifest.
    """
    own = dataset.dataspace.shape + dtype.extra
    old, new = grid_of(own, layout.chunks), grid_of(shape, layout.chunks)
    if len(own) != len(shape) or math.prod(new) >= 1 << 63:
        raise Unsupported(f"an extent of {shape} for a dataset of {own}")
    filled = _filled(dataset, dtype)
    if 0 in old:
        return filled
    if not dtype.text:
        edges = _Beyond(layout, dataset, dtype, shape, _values(filled, dtype))
        if filled is not dataset:
            edges.write_missing(inline_limit)
        edges.overwrite(read, inline_limit)
    if old != new:
        _move(layout, old, new)
    return filled


def _filled(dataset: Dataset, dtype: ZarrDtype) -> Dataset:
    """Return the dataset with the fill value of netCDF-C where the file has none."""
    atomic = isinstance(dataset.datatype, FixedPoint | FloatingPoint)
    if dataset.fill.value or not atomic or dtype.target is not None or dtype.stored is not None:
        return dataset
    value = default_fill(dtype.dtype)
    return dataset if value is None else replace(dataset, fill=replace(dataset.fill, value=value.tobytes()))


def _values(dataset: Dataset, dtype: ZarrDtype) -> np.ndarray:
    """Return the fill value in the form of the Zarr dtype, with the axes that an array datatype adds."""
    fill = fill_of(dataset, dtype)
    if not fill.value:
        return np.zeros((), dtype.dtype)
    return np.frombuffer(as_zarr(fill.value, dtype), dtype.dtype).reshape(dtype.extra)


def _move(layout: Layout, old: tuple[int, ...], new: tuple[int, ...]) -> None:
    """Move the cells from one grid to another."""
    cell, offset, size = layout.columns
    layout.columns = np.ravel_multi_index(np.unravel_index(cell, old), new).astype("i8"), offset, size
    layout.inline = {
        int(np.ravel_multi_index(np.unravel_index(at, old), new)): data for at, data in layout.inline.items()
    }


@dataclass(slots=True)
class _Beyond:
    """What the chunks of a dataset hold beyond it, along the axes where the array is longer."""

    layout: Layout
    dataset: Dataset
    dtype: ZarrDtype
    shape: tuple[int, ...]
    fill: np.ndarray

    @property
    def own(self) -> tuple[int, ...]:
        return self.dataset.dataspace.shape + self.dtype.extra

    @property
    def size(self) -> int:
        """Bytes of a decoded chunk."""
        return self.dtype.dtype.itemsize * math.prod(self.layout.chunks)

    def write_missing(self, limit: int) -> None:
        """Write out the chunks that are missing within the dataset: libhdf5's zeros, and the fill value behind them."""
        grid = grid_of(self.own, self.layout.chunks)
        count = math.prod(grid) - len(self.layout.columns[0]) - len(self.layout.inline)
        if not count:
            return
        if count * self.size > _MOST_DECODED or count * 32 > limit or not self._encodes:
            raise Unsupported(
                "chunks are missing, which read as zeros, in an array that is longer than its dataset and filled "
                "otherwise beyond it: they are too many to be written out"
            )
        there = np.zeros(math.prod(grid), bool)
        there[self.layout.columns[0]] = True
        there[list(self.layout.inline)] = True
        zeros = np.zeros(self.layout.chunks, self.dtype.dtype)
        made = {int(cell): self._encoded(self._clean(zeros, int(cell))) for cell in np.flatnonzero(~there)}
        self._check(sum(map(len, made.values())), limit)
        self.layout.inline = {**self.layout.inline, **made}

    def overwrite(self, read: Read, limit: int) -> None:
        """Write chunks into the manifest that hold something else than the fill value beyond the dataset."""
        cell, offset, stored = self.layout.columns
        edge = self._reaches(cell)
        inlined = [at for at in self.layout.inline if self._reaches(np.array([at]))[0]]
        count = int(edge.sum())
        if (count + len(inlined)) * self.size > _MOST_DECODED or int(stored[edge].sum()) > _MOST_DECODED:
            raise Unsupported("edge chunks of an array longer than its dataset: too many to look beyond their ends")
        made = {}
        for at in inlined:
            values = self._decoded(self.layout.inline[at])
            made[at] = self._changed(values, at)
        if count:
            blocks = read_ranges(read, offset[edge].tolist(), stored[edge].tolist())
            decoder, own = Decoder(self.dataset, self.dtype), self.layout.chunks[: len(self.dataset.dataspace.shape)]
            needed = Edges(self.dataset.dataspace.shape, own, self.dataset.datatype.size).needed(cell[edge])
            for at, block, least in zip(cell[edge].tolist(), blocks, needed.tolist(), strict=True):
                data = decoder.decode(block, own, self.layout.codecs.pipeline, 0, least)
                made[at] = self._changed(np.frombuffer(data, self.dtype.dtype).reshape(self.layout.chunks), at)
        written = {at: data for at, data in made.items() if data is not None}
        self._check(sum(map(len, written.values())), limit)
        if written:
            kept = ~np.isin(cell, list(written))
            self.layout.columns = cell[kept], offset[kept], stored[kept]
            self.layout.inline = {**self.layout.inline, **written}

    @staticmethod
    def _check(size: int, limit: int) -> None:
        if size > limit:
            raise Unsupported(
                "chunks that hold something beyond the dataset, where its dimension is longer: more than the inline "
                f"limit of {limit} bytes"
            )

    def _reaches(self, cell: np.ndarray) -> np.ndarray:
        """Return which chunks reach beyond the dataset along an axis where the array is longer."""
        found = np.zeros(len(cell), bool)
        places = np.unravel_index(cell, grid_of(self.own, self.layout.chunks)) if self.own else ()
        for place, extent, length, chunk in zip(places, self.own, self.shape, self.layout.chunks, strict=True):
            if length > extent:
                found |= (place + 1) * chunk > extent
        return found

    def _clean(self, values: np.ndarray, cell: int) -> np.ndarray:
        """Return the values of a chunk with the fill value beyond the dataset, as far as the array shows it."""
        clean = values.copy()
        places = np.unravel_index(cell, grid_of(self.own, self.layout.chunks))
        axes = zip(places, self.own, self.shape, self.layout.chunks, strict=True)
        for axis, (place, extent, length, chunk) in enumerate(axes):
            start = int(place) * chunk
            if length > extent and start + chunk > extent:
                clean[(slice(None),) * axis + (slice(max(extent - start, 0), length - start),)] = self.fill
        return clean

    def _changed(self, values: np.ndarray, cell: int) -> bytes | None:
        """Return an encoded chunk without what is not to be seen; None where there is nothing else than the fill."""
        clean = self._clean(values, cell)
        if clean.tobytes() == values.tobytes():
            return None
        if not self._encodes:
            raise Unsupported("bytes beyond the dataset, where its dimension is longer, which its codec cannot encode")
        return self._encoded(clean)

    @property
    def _encodes(self) -> bool:
        return not (self.layout.codecs.need_refmaker and self.layout.codecs.configs)

    def _encoded(self, values: np.ndarray) -> bytes:
        return encode_chunk(values.tobytes(), self.layout.codecs.configs)

    def _decoded(self, data: bytes) -> np.ndarray:
        import numcodecs

        for config in reversed(self.layout.codecs.configs):
            data = bytes(numcodecs.get_codec(dict(config)).decode(data))
        return np.frombuffer(data, self.dtype.dtype).reshape(self.layout.chunks)
