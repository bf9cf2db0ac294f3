"""Composite arrays as they are read: which stored chunks a chunk is made of, and how it is put together.

Contract: nothing is read here. A `ComposedArray` stands beside `RechunkedArray` in the decoded view: it has a target of
its own that is nowhere, with chunk `cell` at `cell * size`, and every chunk of it exists. What no stored chunk holds is
the fill value of its piece, after the steps of its piece, or in a hole the value for what is missing. Each stored chunk
is decoded by the codecs of its own piece, and only the part of it that is wanted goes through the steps.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from refmaker import limits
from refmaker.errors import ManifestError, RefmakerError
from refmaker.manifest.composite import HOLE, Composite, PieceForm
from refmaker.manifest.manifest import Manifest, ManifestArray, Target
from refmaker.manifest.references import References
from refmaker.ranges import distinct
from refmaker.replay.buffers import Unset
from refmaker.replay.decoding import Pipeline, pipeline
from refmaker.replay.pieces import Pieces, Stored, pieces_at

__all__ = ["ComposedArray", "ComposedAssembly", "Part", "composed", "composed_pieces"]

Values = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Part:
    """What one slot gives to a chunk.

    Attributes
    ----------
    own
        Of the piece: from one row to before another along each of its own axes.
    place
        Where that is in the chunk, along the axes of the whole.
    """

    piece: int
    own: tuple[tuple[int, int], ...]
    place: tuple[slice, ...]


@dataclass(frozen=True)
class ComposedArray:
    """A composite array of the view.

    Attributes
    ----------
    source
        How it is put together.
    pipelines
        Of every form.
    """

    path: str
    source: Composite
    pipelines: tuple[Pipeline, ...]

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """Shape of a chunk that is seen."""
        return self.source.metadata.chunk_shape

    @cached_property
    def grid(self) -> tuple[int, ...]:
        """Number of chunks that are seen along each axis."""
        return self.source.shown_grid

    @cached_property
    def size(self) -> int:
        """Bytes of a chunk."""
        return self.source.dtype.itemsize * math.prod(self.shape)

    def parts(self, cell: int) -> Iterator[Part]:
        """Yield what each slot gives to a chunk, holes too."""
        one, index = self.source, np.unravel_index(cell, self.grid)
        low = [int(i) * n for i, n in zip(index, self.shape, strict=True)]
        high = [min(a + n, m) for a, n, m in zip(low, self.shape, one.metadata.shape, strict=True)]
        first = int(np.searchsorted(one.edges, low[one.axis], side="right")) - 1
        stop = int(np.searchsorted(one.edges, high[one.axis], side="left"))
        for slot in range(first, stop):
            start, end = max(low[one.axis], int(one.edges[slot])), min(high[one.axis], int(one.edges[slot + 1]))
            if start >= end:
                continue
            shift = int(one.slot_start[slot]) - int(one.edges[slot])
            rows = list(zip(low, high, strict=True))
            place = [slice(0, b - a) for a, b in rows]
            rows[one.axis] = start + shift, end + shift
            place[one.axis] = slice(start - low[one.axis], end - low[one.axis])
            piece = int(one.slot_piece[slot])
            yield Part(piece, tuple(rows) if piece == HOLE else self._own(piece, rows), tuple(place))

    def _own(self, piece: int, rows: Sequence[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
        """Bring rows along the axes of the whole into the order of the axes of a piece."""
        order = self.form(piece).order
        own: list[tuple[int, int]] = [(0, 0)] * len(rows)
        for axis, mine in enumerate(order):
            own[mine] = rows[axis]
        return tuple(own)

    def form(self, piece: int) -> PieceForm:
        """Return the form of a piece."""
        return self.source.forms[int(self.source.form[piece])]

    def cells(self, cell: int) -> npt.NDArray[np.int64]:
        """Return the cells of the references, in order, that a chunk is made of."""
        found, left = [], limits.COMPOSITE_TOUCHED
        for part in self.parts(cell):
            if part.piece != HOLE:
                found.append(self._cells_of(part, left))
                left -= len(found[-1])
        return distinct(np.concatenate(found)).astype("i8") if found else np.empty(0, "i8")

    def _cells_of(self, part: Part, most: int) -> npt.NDArray[np.int64]:
        form, grid = self.form(part.piece), self.source.grid(part.piece)
        bounds = [(a // n, -(-b // n)) for (a, b), n in zip(part.own, form.chunk, strict=True)]
        if math.prod(stop - first for first, stop in bounds) > most:
            expected = f"<= {limits.COMPOSITE_TOUCHED}"
            raise ManifestError("a chunk is made of too many stored ones", path=self.path, expected=expected)
        cells = np.zeros(1, "i8")
        for (first, stop), count in zip(bounds, grid, strict=True):
            cells = (cells[:, None] * count + np.arange(first, stop)).ravel()
        return cells + int(self.source.base[part.piece])

    def values(self, piece: int, stored: Values) -> Values:
        """Return stored values of a piece as they are seen."""
        form = self.form(piece)
        template = self.source.templates[form.template]
        operands = self.source.operands[piece, : len(template.operand_dtypes)].tolist()
        with np.errstate(all="ignore"):
            return template.apply(stored, operands).astype(self.source.dtype, copy=False)

    def fill(self, piece: int) -> Values:
        """Return what is seen where a piece has no chunk."""
        if piece == HOLE:
            return np.full((), _missing(self.source.dtype), self.source.dtype)
        form = self.form(piece)
        return self.values(piece, np.frombuffer(form.elements.fill, form.dtype).reshape(()))


def _missing(dtype: np.dtype[Any]) -> Any:
    if dtype.kind not in "fc":
        raise ManifestError("a hole in an array that has no value for what is missing", got=str(dtype))
    return np.nan


def composed(manifest: Manifest, arrays: dict[int, Any]) -> tuple[Manifest, dict[str, str]]:
    """Put the composite arrays of a manifest into that of a view.

    Parameters
    ----------
    arrays
        Those of the view by the index of their target: they are added there.

    Returns
    -------
    manifest
        Of the view.
    withheld
        Arrays that cannot be shown -> why.
    """
    shown, targets, withheld = dict(manifest.arrays), list(manifest.targets), {}
    for path, one in manifest.composites.items():
        found = [pipeline(form.elements.codecs, form.dtype.itemsize * math.prod(form.chunk)) for form in one.forms]
        known = tuple(each for each in found if each is not None)
        if len(known) < len(found):
            names = next(form.metadata.codec_names for form, each in zip(one.forms, found, strict=True) if each is None)
            withheld[path] = f"a piece of it has codecs that are not known here: {', '.join(names)}"
        array = ComposedArray(path, one, known)
        references = References.empty() if path in withheld else _rows(array, len(targets))
        shown[path] = ManifestArray(one.metadata, one.attributes, one.shown_grid, references)
        arrays[len(targets)] = array
        targets.append(Target(f"composite array {path}"))
    return replace(manifest, arrays=shown, targets=tuple(targets), composites={}), withheld


def _rows(array: ComposedArray, target: int) -> References:
    cells = np.arange(math.prod(array.grid), dtype="i8")
    return References(
        cells,
        np.broadcast_to(np.array(target, "u4"), len(cells)),
        cells.astype("u8") * np.uint64(array.size),
        np.broadcast_to(np.array(array.size, "u8"), len(cells)),
    )


def composed_pieces(array: ComposedArray, cell: int, targets: Sequence[Target], key: str) -> Pieces:
    """Look up the stored chunks that a chunk is made of. See `pieces.pieces_of`."""
    return pieces_at(array.source.references, array.cells(cell), targets, key)


class ComposedAssembly:
    """One chunk while it is put together, by several threads at once: as `pieces.Assembly`."""

    def __init__(self, key: str, array: ComposedArray, cell: int) -> None:
        self.key = key
        self.array = array
        self._parts: dict[int, list[Part]] = {}
        self._buffer: Unset | None = Unset(array.size)
        dtype = array.source.dtype.newbyteorder("<")
        self._out: Values | None = np.frombuffer(self._buffer.view, dtype).reshape(array.shape)
        self._out[...] = np.zeros((), dtype)  # beyond the edge of the array, which nobody reads
        fill = lru_cache(64)(array.fill)
        for part in array.parts(cell):
            self._parts.setdefault(part.piece, []).append(part)
            self._out[part.place] = fill(part.piece)

    def put(self, parts: Iterable[tuple[Iterable[Stored], str | None]]) -> None:
        """Decode stored chunks into their places; each part has the url of the target that it is from.

        Raises
        ------
        RefmakerError
            One does not decode.
        """
        for chunks, url in parts:
            for cell, data, address in chunks:
                if self._out is None:
                    return  # given up meanwhile
                try:
                    self._put(cell, data)
                except RefmakerError as error:
                    error.path = self.key
                    if url is not None:
                        error.source, error.address = url, address
                    raise

    def _put(self, cell: int, data: bytes | memoryview) -> None:
        array, one = self.array, self.array.source
        piece = int(np.searchsorted(one.base, cell, side="right")) - 1
        form = array.form(piece)
        decoded = array.pipelines[int(one.form[piece])].decode(data)
        order: Any = "F" if form.elements.order == "F" else "C"
        stored = np.frombuffer(decoded, form.dtype).reshape(form.chunk, order=order)
        index = np.unravel_index(cell - int(one.base[piece]), one.grid(piece))
        corner = [int(i) * n for i, n in zip(index, form.chunk, strict=True)]
        for part in self._parts.get(piece, ()):
            bounds = [(max(a, c), min(b, c + n)) for (a, b), c, n in zip(part.own, corner, form.chunk, strict=True)]
            if any(a >= b for a, b in bounds):
                continue
            cut = stored[tuple(slice(a - c, b - c) for (a, b), c in zip(bounds, corner, strict=True))]
            values = array.values(piece, cut).transpose(form.order)
            place = tuple(
                slice(
                    held.start + bounds[mine][0] - part.own[mine][0], held.start + bounds[mine][1] - part.own[mine][0]
                )
                for held, mine in zip(part.place, form.order, strict=True)
            )
            out = self._out
            if out is not None:
                out[place] = values

    def done(self) -> bytes:
        """Return the chunk. Nothing can be put into it any more."""
        buffer, self._buffer, self._out = self._buffer, None, None
        return b"" if buffer is None else buffer.done()

    def drop(self) -> None:
        """Drop the chunk: threads that are at work on it need not go on."""
        self._out = None
