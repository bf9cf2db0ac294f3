"""Mappings of a virtual dataset bound to their sources: the extent that follows, and which elements are which.

Contract: pure. The extent along an axis where a mapping is unlimited reaches to the last element that any source
provides (H5D_VDS_LAST_AVAILABLE, libhdf5's default), and not below what limited mappings need; other axes are as the
dataspace says. Slices of an unlimited source selection and of its virtual selection correspond one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from refmaker.errors import Unsupported
from refmaker.hdf5.selection import Runs, axes_of, coordinates, count, first_slices, slices_within, unlimited_axis
from refmaker.linked.regions import Region, region_of
from refmaker.model import Dataset, Dataspace, Selection, Slab, VirtualMapping

__all__ = ["Binding", "bind", "extent_of"]

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Binding:
    """A source and its part of the virtual dataset.

    Attributes
    ----------
    virtual, own
        The selections; along an axis named in `virtual_runs` or `own_runs`, these runs count instead of the slab.
    """

    source: Dataset
    virtual: Selection
    own: Selection
    virtual_runs: tuple[int, Runs] | None = None
    own_runs: tuple[int, Runs] | None = None

    def runs_along(self, axis: int) -> Runs:
        """Return the runs that count for the slab of a virtual axis, none where the slab counts."""
        if self.virtual_runs is None or self.virtual_runs[0] != axis:
            return np.empty((0, 2), "i8")
        return self.virtual_runs[1]

    def part(self, shape: tuple[int, ...], limit: int) -> tuple[Region | None, Ints | None, Ints | None] | None:
        """Return which elements are which; None for none at all.

        Parameters
        ----------
        shape
            That of the virtual dataset.
        limit
            How many elements may be listed one by one, where the selections give no region.

        Returns
        -------
        A region, or positions in the virtual dataset and in the source.

        Raises
        ------
        Unsupported
            The selections differ in size, or reach beyond an extent: libhdf5 reads neither.
        """
        if self.virtual.kind == "none" and self.own.kind == "none":
            return None
        virtual = _axes(self.virtual, self.virtual_runs, shape)
        own = _axes(self.own, self.own_runs, self.source.dataspace.shape)
        if virtual is not None and own is not None:
            _check_counts(count(virtual), count(own))
            region = region_of(virtual, own)
            if region is not None:
                return (region, None, None) if region.size else None
        places = coordinates(self.virtual, shape, limit)
        sources = coordinates(self.own, self.source.dataspace.shape, limit)
        _check_counts(len(places), len(sources))
        return None, places, sources


def _check_counts(virtual: int, own: int) -> None:
    if virtual != own:
        raise Unsupported(f"a mapping of {own} elements of a source to {virtual} of the virtual dataset")


def bind(mapping: VirtualMapping, number: int, source: Dataset) -> Binding:
    """Bind a mapping to a source that is there; `number` is that of the block, where sources are numbered."""
    if source.dataspace.kind == "null":
        raise Unsupported("a source with a null dataspace")
    virtual_axis, own_axis = unlimited_axis(mapping.virtual), unlimited_axis(mapping.source)
    if virtual_axis is None and own_axis is None:
        return Binding(source, mapping.virtual, mapping.source)
    if virtual_axis is None:
        raise Unsupported("an unlimited source selection for a limited virtual one")
    slab = mapping.virtual.slabs[virtual_axis]
    if own_axis is None:
        return _block(mapping, number, source, virtual_axis, slab)
    shape = source.dataspace.shape
    if len(shape) != len(mapping.source.slabs):
        raise Unsupported(f"a selection of rank {len(mapping.source.slabs)} for a source of rank {len(shape)}")
    own_slab = mapping.source.slabs[own_axis]
    n = slices_within(own_slab, shape[own_axis])
    virtual, own = first_slices(slab, n), first_slices(own_slab, n)
    return Binding(source, mapping.virtual, mapping.source, (virtual_axis, virtual), (own_axis, own))


def _block(mapping: VirtualMapping, number: int, source: Dataset, axis: int, slab: Slab) -> Binding:
    """Return one block of a virtual selection whose sources are numbered."""
    if slab.block is None:
        raise Unsupported("numbered sources for a virtual selection without blocks")
    start = slab.start + number * slab.stride
    runs = np.array([[start, start + slab.block]], "i8")
    return Binding(source, mapping.virtual, mapping.source, (axis, runs))


def _axes(selection: Selection, replaced: tuple[int, Runs] | None, shape: tuple[int, ...]) -> tuple[Runs, ...] | None:
    """Return the runs of a selection along each axis, those of one axis replaced."""
    if replaced is None:
        return axes_of(selection, shape)
    axis, runs = replaced
    slabs, stop = list(selection.slabs), int(runs[-1, 1]) if len(runs) else 1
    if len(runs) == 0:
        return tuple(runs for _ in shape)
    slabs[axis] = Slab(0, 1, 1, stop)
    axes = list(axes_of(Selection("slabs", tuple(slabs)), shape) or ())
    axes[axis] = runs
    return tuple(axes)


def extent_of(space: Dataspace, mappings: Sequence[VirtualMapping], bindings: Sequence[Binding]) -> tuple[int, ...]:
    """Return the extent of a virtual dataset.

    Parameters
    ----------
    space
        As it is stored: extents of unlimited axes may be out of date.
    bindings
        Of the sources that are there.
    """
    growing = {axis for m in mappings if (axis := unlimited_axis(m.virtual)) is not None and axis < len(space.shape)}
    shape = list(space.shape)
    for axis in growing:
        ends = [int(runs[-1, 1]) for b in bindings if len(runs := b.runs_along(axis))]
        needed = [stop for m in mappings if (stop := _stop(m.virtual, axis)) is not None]
        shape[axis] = max([0, *ends, *needed])
    return tuple(shape)


def _stop(selection: Selection, axis: int) -> int | None:
    """Return where a selection ends along an axis, None where it is unlimited or has no bounds of its own."""
    if selection.blocks is not None:
        return int(selection.blocks[:, axis, 1].max()) if axis < selection.blocks.shape[1] else None
    if axis >= len(selection.slabs):
        return None
    slab = selection.slabs[axis]
    if slab.count is None or slab.block is None:
        return None
    return slab.start + slab.stride * (slab.count - 1) + slab.block
