"""Composite arrays: one array over pieces that differ in how they are stored.

Contract: plain records. Every piece keeps its chunks where they are, in an encoding of its own; how its values become
those of the whole is data (`refmaker.steps`). Slots tile one axis, so that neither overlap nor disorder can be
written: a slot shows some rows of a piece, or is a hole. The references of all pieces are one table: cell
`base[piece] + c` is chunk `c` of the piece's own grid. `Composite.check` holds all of that against what anyone may have
written.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from refmaker import limits
from refmaker.errors import ManifestError
from refmaker.manifest.references import References
from refmaker.steps import Template
from refmaker.zarr.data_types import numpy_dtype
from refmaker.zarr.elements import Elements, elements_of
from refmaker.zarr.metadata import ArrayMetadata

__all__ = ["HOLE", "Composite", "PieceForm"]

HOLE = -1
"""The piece of a slot in which nothing is recorded."""

_FAR = 1 << 62


@dataclass(frozen=True)
class PieceForm:
    """All of a piece but its extent and operands.

    Attributes
    ----------
    metadata
        As stored; the shape does not count.
    template
        Which of the templates turns its values to those that are seen.
    order
        Own axis of each axis of the whole.
    """

    metadata: ArrayMetadata
    template: int
    order: tuple[int, ...]

    @cached_property
    def dtype(self) -> np.dtype[Any]:
        """Of the stored values."""
        found = numpy_dtype(self.metadata)
        if found is None or found.hasobject:
            raise ManifestError("a piece of a data type that is not known", got=str(self.metadata.data_type)[:80])
        return found

    @cached_property
    def elements(self) -> Elements:
        """How its chunks hold elements."""
        found = elements_of(self.metadata)
        if found is None:
            raise ManifestError("a piece of an encoding that is not known", got=str(self.metadata.codec_names)[:80])
        return found

    @cached_property
    def chunk(self) -> tuple[int, ...]:
        """Shape of its chunks."""
        return self.metadata.chunk_shape


@dataclass(eq=False)
class Composite:
    """An array that is put together along one axis.

    Attributes
    ----------
    metadata, attributes
        As they are seen: uncompressed, on a regular grid.
    axis
        Of the whole, along which the slots follow each other.
    slot_piece : int64[m]
        Piece of every slot, or `HOLE`.
    slot_start : int64[m]
        First row of the piece that is shown in it.
    slot_length : int64[m]
        Rows.
    form : int64[n]
        Of every piece.
    extent : int64[n, rank]
        Shape of every piece, in the order of its own axes.
    operands : uint64[n, k]
        Bits of the operands of its template; those that it does not need are 0.
    references
        Of all pieces.
    """

    metadata: ArrayMetadata
    attributes: dict[str, Any]
    axis: int
    templates: tuple[Template, ...]
    forms: tuple[PieceForm, ...]
    slot_piece: npt.NDArray[np.int64]
    slot_start: npt.NDArray[np.int64]
    slot_length: npt.NDArray[np.int64]
    form: npt.NDArray[np.int64]
    extent: npt.NDArray[np.int64]
    operands: npt.NDArray[np.uint64]
    references: References

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Composite):
            return NotImplemented
        plain = ("metadata", "attributes", "axis", "templates", "forms", "references")
        columns = ("slot_piece", "slot_start", "slot_length", "form", "extent", "operands")
        return all(getattr(self, name) == getattr(other, name) for name in plain) and all(
            np.array_equal(getattr(self, name), getattr(other, name)) for name in columns
        )

    __hash__ = None  # type: ignore[assignment]  # content can change

    @cached_property
    def dtype(self) -> np.dtype[Any]:
        """Of the values that are seen, in the byte order of the machine."""
        found = numpy_dtype(self.metadata)
        if found is None or found.hasobject:
            raise ManifestError("a composite array of a data type that is not known")
        return found.newbyteorder("=")

    @property
    def shown_grid(self) -> tuple[int, ...]:
        """Number of chunks that are seen along each axis."""
        return tuple(-(-n // c) for n, c in zip(self.metadata.shape, self.metadata.chunk_shape, strict=True))

    @cached_property
    def edges(self) -> npt.NDArray[np.int64]:
        """Where slots begin and end: int64[m + 1]."""
        return np.concatenate([[0], np.cumsum(self.slot_length)]).astype("i8")

    @cached_property
    def base(self) -> npt.NDArray[np.int64]:
        """First cell of every piece in the references, and one more: the number of cells, int64[n + 1]."""
        chunks = np.array([form.chunk for form in self.forms], "i8").reshape(len(self.forms), self.extent.shape[1])
        grids = -(-self.extent // chunks[self.form]) if len(self.form) else self.extent
        return np.concatenate([[0], np.cumsum(grids.prod(axis=1))]).astype("i8")

    def grid(self, piece: int) -> tuple[int, ...]:
        """Return the number of chunks of a piece along its own axes."""
        chunk = self.forms[int(self.form[piece])].chunk
        return tuple(-(-n // c) for n, c in zip(self.extent[piece].tolist(), chunk, strict=True))

    def result(self, form: PieceForm) -> np.dtype[Any]:
        """Return the data type of a form after its steps."""
        return self.templates[form.template].result(form.dtype)

    def check(self, path: str) -> None:
        """Make sure that the records fit each other and the array that is shown.

        Raises
        ------
        ManifestError
            They do not: what is wrong is named.
        """
        shape, dtype = self.metadata.shape, self.dtype
        rank, size = len(shape), dtype.itemsize * math.prod(self.metadata.chunk_shape)
        _require(0 < size <= limits.COMPOSITE_CHUNK, path, "chunk", f"<= {limits.COMPOSITE_CHUNK} bytes", size)
        cells = math.prod(self.shown_grid)
        _require(cells <= limits.COMPOSITE_CELLS, path, "chunk grid", f"<= {limits.COMPOSITE_CELLS} chunks", cells)
        _require(0 <= self.axis < rank, path, "axis", f"0 to {rank - 1}", self.axis)
        _require(len(self.forms) <= limits.PIECE_FORMS, path, "forms", f"<= {limits.PIECE_FORMS}", len(self.forms))
        count = len(self.form)
        _require(max(count, len(self.slot_piece)) <= limits.PIECES, path, "pieces", f"<= {limits.PIECES}", count)
        for form in self.forms:
            self._check_form(form, dtype, rank, path)
        _require(self.extent.shape == (count, rank), path, "extents", (count, rank), self.extent.shape)
        _require(self.operands.shape[0] == count, path, "operands", count, self.operands.shape[0])
        inside = count == 0 or bool(((self.form >= 0) & (self.form < len(self.forms))).all())
        _require(inside, path, "forms of pieces", f"0 to {len(self.forms) - 1}", "another")
        _require(
            bool((self.extent >= 0).all() and (self.extent < _FAR).all()), path, "extents", "not negative", "other"
        )
        self._check_slots(shape, path)
        self._check_cells(path)

    def _check_form(self, form: PieceForm, dtype: np.dtype[Any], rank: int, path: str) -> None:
        known = 0 <= form.template < len(self.templates)
        _require(known, path, "template", f"0 to {len(self.templates) - 1}", form.template)
        _require(sorted(form.order) == list(range(rank)), path, "order of axes", f"of {rank}", form.order)
        sound = len(form.chunk) == rank and all(0 < n < _FAR for n in form.chunk)
        _require(sound, path, "chunks", f"{rank} positive numbers", form.chunk)
        template, result = self.templates[form.template], self.result(form)
        _require(_fits(result, dtype), path, "data type", str(dtype), str(result))
        needed = len(template.operand_dtypes)
        _require(needed <= self.operands.shape[1], path, "operands", needed, self.operands.shape[1])
        size = form.dtype.itemsize * math.prod(form.chunk)
        _require(size <= limits.COMPOSITE_CHUNK, path, "chunk of a piece", f"<= {limits.COMPOSITE_CHUNK} bytes", size)
        _require(form.elements.size == form.dtype.itemsize, path, "elements", form.dtype.itemsize, form.elements.size)

    def _check_slots(self, shape: Sequence[int], path: str) -> None:
        slots = (self.slot_piece, self.slot_start, self.slot_length)
        _require(len({len(column) for column in slots}) == 1, path, "slots", "columns of one length", "others")
        if len(self.slot_piece):
            small = all(int(column.max()) < _FAR for column in slots) and int(self.slot_length.min()) >= 0
            _require(small and int(self.slot_piece.min()) >= HOLE, path, "slots", "numbers of rows", "others")
        total = sum(self.slot_length.tolist())
        _require(total == shape[self.axis], path, "lengths of the slots", f"{shape[self.axis]} together", total)
        held = self.slot_piece >= 0
        pieces, start, length = self.slot_piece[held], self.slot_start[held], self.slot_length[held]
        _require(
            not len(pieces) or int(pieces.max()) < len(self.form), path, "slots", "pieces that are there", "others"
        )
        shown = self._shown_extents()[pieces]
        fits = (start >= 0) & (start + length <= shown[:, self.axis])
        _require(bool(fits.all()), path, "slots", "rows of their pieces", "others")
        others = [dim for dim in range(len(shape)) if dim != self.axis]
        same = (shown[:, others] == np.array([shape[dim] for dim in others], "i8")).all()
        _require(bool(same), path, "extents of pieces", f"{list(shape)} but for axis {self.axis}", "others")

    def _shown_extents(self) -> npt.NDArray[np.int64]:
        """Return the shapes of the pieces in the order of the axes of the whole."""
        orders = np.array([form.order for form in self.forms], "i8").reshape(len(self.forms), self.extent.shape[1])
        return np.take_along_axis(self.extent, orders[self.form], axis=1) if len(self.form) else self.extent

    def _check_cells(self, path: str) -> None:
        # In floats first, as the product of hostile numbers may be more than an integer holds
        chunks = np.array([form.chunk for form in self.forms], "f8").reshape(len(self.forms), self.extent.shape[1])
        known = float(np.ceil(self.extent / chunks[self.form]).prod(axis=1).sum()) if len(self.form) else 0.0
        _require(known < _FAR / 2, path, "chunks of the pieces", f"< {_FAR // 2}", known)
        cells, rows = int(self.base[-1]), self.references
        _require(len(rows) <= limits.PIECE_ROWS, path, "references", f"<= {limits.PIECE_ROWS}", len(rows))
        found = [*rows.inline, *rows.whole, *(rows.cell[[0, -1]].tolist() if len(rows.cell) else [])]
        _require(not found or (min(found) >= 0 and max(found) < cells), path, "cells", f"0 to {cells - 1}", "others")
        _require(bool((np.diff(rows.cell) > 0).all()), path, "cells", "ascending", "others")


def _fits(result: np.dtype[Any], dtype: np.dtype[Any]) -> bool:
    """Return whether values after their steps may be converted to those of the array: never a float to an integer."""
    if result.kind in "SV" or dtype.kind in "SV":
        return result.kind == dtype.kind and result.itemsize <= dtype.itemsize
    if result.kind in "fc" and dtype.kind not in "fc":
        return False
    return result.kind in "biufc" and dtype.kind in "biufc" and not (result.kind == "c" and dtype.kind == "f")


def _require(holds: bool, path: str, what: str, expected: object, got: object) -> None:
    if not holds:
        raise ManifestError(
            f"bad {what} of a composite array", path="/" + path, expected=str(expected), got=str(got)[:80]
        )
