"""Dataspace selections: decoding, and what they select.

Contract: pure. A selection of slabs selects the product of one set of indices an axis; such a set is held as *runs*, an
int64[n, 2] array of starts and stops, sorted, disjoint and not touching. Elements are selected in C order, whatever
the order of blocks. What a selection asks for is bounded by `MAX_RUNS` and by the extents before memory is taken.

Specification 4.0, VII.E ("Dataspace selection"): the serialised forms that region references and virtual datasets use;
libhdf5 H5Shyper.c for the arithmetic of unlimited selections.
"""

from __future__ import annotations

import math
import struct

import numpy as np
import numpy.typing as npt

from refmaker import limits
from refmaker.errors import FormatError, Unsupported
from refmaker.hdf5.dataspace import MAX_RANK
from refmaker.hdf5.sizes import need, unsigned
from refmaker.model import Selection, Slab

__all__ = [
    "MAX_RUNS",
    "Runs",
    "axes_of",
    "coordinates",
    "count",
    "decode_selection",
    "first_slices",
    "slices_within",
    "unlimited_axis",
]

Runs = npt.NDArray[np.int64]

WHAT = "dataspace selection"
MAX_RUNS = limits.SELECTION_RUNS
_NONE, _POINTS, _HYPERSLAB, _ALL = range(4)
_REGULAR = 1
_FORMATS = {2: "H", 4: "I", 8: "Q"}
_LIMIT = 1 << 62


def decode_selection(buf: bytes, pos: int) -> tuple[Selection, int]:
    """Decode a selection; give it, and the position after it.

    0 type 4 | 4 version 4 | none, all: reserved 4, length 4
    | hyperslab, version 1: reserved 4, length 4, rank 4, number of blocks 4, for each starts and last indices, 4 each
    | version 2: flags 1, length 4, rank 4, for each axis start, stride, count, block, 8 each
    | version 3: flags 1, width 1, rank 4, as version 2 when regular, else as version 1, all of `width` bytes

    Raises
    ------
    Unsupported
        A point selection, which libhdf5 does not take in virtual datasets.
    """
    need(buf, pos, 8, WHAT)
    kind, version = unsigned(buf, pos, 4), unsigned(buf, pos + 4, 4)
    if kind in (_NONE, _ALL):
        _check_version(version, 1)
        need(buf, pos, 16, WHAT)
        return Selection("all" if kind == _ALL else "none"), pos + 16
    if kind == _POINTS:
        raise Unsupported("point selections are not defined for virtual datasets", structure=WHAT)
    if kind != _HYPERSLAB:
        raise FormatError("type", structure=WHAT, expected="0 to 3", got=kind)
    _check_version(version, 3)
    flags, width, pos = _hyperslab_head(buf, pos + 8, version)
    need(buf, pos, 4, WHAT)
    rank, pos = unsigned(buf, pos, 4), pos + 4
    if not 1 <= rank <= MAX_RANK:
        raise FormatError("rank", structure=WHAT, expected=f"1 to {MAX_RANK}", got=rank)
    if flags & _REGULAR:
        return _regular(buf, pos, rank, width)
    return _blocks(buf, pos, rank, width)


def _check_version(version: int, newest: int) -> None:
    if not 1 <= version <= newest:
        raise Unsupported("version", structure=WHAT, expected=f"1 to {newest}", got=version)


def _hyperslab_head(buf: bytes, pos: int, version: int) -> tuple[int, int, int]:
    """Return the flags, the width of numbers and the position of the rank."""
    if version == 1:
        return 0, 4, pos + 8
    need(buf, pos, 2, WHAT)
    flags = buf[pos]
    if version == 2:
        # Written for regular selections only.
        if not flags & _REGULAR:
            raise FormatError("flags", structure=WHAT, expected="a regular hyperslab", got=flags)
        return flags, 8, pos + 5
    if buf[pos + 1] not in (2, 4, 8):
        raise FormatError("width of numbers", structure=WHAT, expected="2, 4 or 8", got=buf[pos + 1])
    return flags, buf[pos + 1], pos + 2


def _regular(buf: bytes, pos: int, rank: int, width: int) -> tuple[Selection, int]:
    need(buf, pos, 4 * rank * width, WHAT)
    unlimited = (1 << 8 * width) - 1
    numbers = struct.unpack_from(f"<{4 * rank}{_FORMATS[width]}", buf, pos)
    slabs = []
    for start, stride, n, block in zip(numbers[0::4], numbers[1::4], numbers[2::4], numbers[3::4], strict=True):
        slabs.append(Slab(start, stride, None if n == unlimited else n, None if block == unlimited else block))
        _check_slab(slabs[-1])
    if sum(slab.count is None or slab.block is None for slab in slabs) > 1:
        raise FormatError("unlimited axes", structure=WHAT, expected="at most 1", got=slabs)
    return Selection("slabs", tuple(slabs)), pos + 4 * rank * width


def _check_slab(slab: Slab) -> None:
    n, block = slab.count, slab.block
    sound = slab.stride > 0 and n != 0 and block != 0 and not (n is None and block is None)
    if n not in (None, 1):
        # Blocks must not overlap, and an unlimited one has nothing behind it.
        sound = sound and block is not None and block <= slab.stride
    if n is None:
        sound = sound and block is not None and block <= slab.stride
    end = slab.start + slab.stride * (n or 1) + (block or 1)
    if not sound or end >= _LIMIT:
        raise FormatError("hyperslab", structure=WHAT, expected="disjoint blocks", got=slab)


def _blocks(buf: bytes, pos: int, rank: int, width: int) -> tuple[Selection, int]:
    need(buf, pos, width, WHAT)
    n, pos = unsigned(buf, pos, width), pos + width
    size = 2 * rank * width * n
    need(buf, pos, size, WHAT)
    raw = np.frombuffer(buf, f"<u{width}", 2 * rank * n, pos).reshape(n, 2, rank)
    if n and int(raw.max()) >= _LIMIT:
        raise FormatError("coordinates", structure=WHAT, expected=f"< {_LIMIT}", got=int(raw.max()))
    blocks = np.moveaxis(raw.astype("i8"), 1, 2).copy()
    if (blocks[:, :, 0] > blocks[:, :, 1]).any():
        raise FormatError("blocks", structure=WHAT, expected="starts before ends", got=blocks[:4].tolist())
    blocks[:, :, 1] += 1
    return Selection("blocks", blocks=blocks) if n else Selection("none"), pos + size


def unlimited_axis(selection: Selection) -> int | None:
    """Return the axis along which a selection is unlimited."""
    return next((i for i, s in enumerate(selection.slabs) if s.count is None or s.block is None), None)


def slices_within(slab: Slab, extent: int) -> int:
    """Return how many indices a slab, unlimited or not, selects below `extent`."""
    room = extent - slab.start
    if room <= 0:
        return 0
    if slab.block is None:
        return room
    if slab.count == 1:
        return min(room, slab.block)
    whole = room // slab.stride if slab.count is None else min(room // slab.stride, slab.count)
    rest = min(room - whole * slab.stride, slab.block) if slab.count is None or whole < slab.count else 0
    return whole * slab.block + rest


def first_slices(slab: Slab, n: int) -> Runs:
    """Return the first `n` indices of a slab that selects as many or more."""
    if n <= 0:
        return np.empty((0, 2), "i8")
    if slab.block is None or slab.block == slab.stride or slab.count == 1:
        return np.array([[slab.start, slab.start + n]], "i8")
    blocks = -(-n // slab.block)
    if blocks > MAX_RUNS:
        raise Unsupported(f"a selection of more than {MAX_RUNS} blocks along an axis", structure=WHAT)
    starts = slab.start + slab.stride * np.arange(blocks, dtype="i8")
    stops = starts + slab.block
    stops[-1] -= blocks * slab.block - n
    return np.stack([starts, stops], axis=1)


def axes_of(selection: Selection, shape: tuple[int, ...]) -> tuple[Runs, ...] | None:
    """Return the runs of a limited selection along each axis; None when it is not a product of sets of indices.

    Raises
    ------
    Unsupported
        The selection has another rank than `shape`, or reaches beyond it, or there are too many elements to count.
    """
    if math.prod(shape) >= _LIMIT or max(shape, default=0) >= _LIMIT:
        raise Unsupported(f"a dataset of shape {shape}, which has too many elements", structure=WHAT)
    if selection.kind == "all":
        return tuple(np.array([[0, n]] if n else np.empty((0, 2)), "i8") for n in shape)
    if selection.kind == "none":
        return tuple(np.empty((0, 2), "i8") for _ in shape)
    if selection.kind == "slabs":
        _check_rank(len(selection.slabs), shape)
        _check_within([_stop(slab) for slab in selection.slabs], shape)
        return tuple(first_slices(slab, (slab.count or 1) * (slab.block or 1)) for slab in selection.slabs)
    blocks = _blocks_of(selection)
    _check_rank(blocks.shape[1], shape)
    _check_within(blocks[:, :, 1].max(axis=0).tolist(), shape)
    return _factors(blocks)


def _stop(slab: Slab) -> int:
    if slab.count is None or slab.block is None:
        raise Unsupported("an unlimited selection where a limited one is needed", structure=WHAT)
    return slab.start + slab.stride * (slab.count - 1) + slab.block


def _blocks_of(selection: Selection) -> npt.NDArray[np.int64]:
    if selection.blocks is None:
        raise FormatError("a selection without blocks", structure=WHAT)
    return selection.blocks


def _check_rank(rank: int, shape: tuple[int, ...]) -> None:
    if rank != len(shape):
        raise Unsupported(f"a selection of rank {rank} for a dataset of rank {len(shape)}", structure=WHAT)


def _check_within(stops: list[int], shape: tuple[int, ...]) -> None:
    if any(stop > extent for stop, extent in zip(stops, shape, strict=True)):
        raise Unsupported(f"a selection up to {tuple(stops)} reaches beyond the extent {shape}", structure=WHAT)


def _factors(blocks: npt.NDArray[np.int64]) -> tuple[Runs, ...] | None:
    """Write blocks as a product of runs. Disjoint blocks are one when there are as many as combinations."""
    runs, combinations = [], 1
    for axis in range(blocks.shape[1]):
        distinct = np.unique(blocks[:, axis], axis=0)
        if (distinct[1:, 0] < distinct[:-1, 1]).any():
            return None
        combinations *= len(distinct)
        runs.append(_merged(distinct))
    if combinations != len(np.unique(blocks.reshape(len(blocks), -1), axis=0)):
        return None
    return tuple(runs)


def _merged(runs: Runs) -> Runs:
    """Join runs that touch."""
    apart = np.flatnonzero(runs[1:, 0] != runs[:-1, 1])
    first, last = np.append(0, apart + 1), np.append(apart, len(runs) - 1)
    return np.stack([runs[first, 0], runs[last, 1]], axis=1)


def count(axes: tuple[Runs, ...]) -> int:
    """Return the number of elements of a product of runs."""
    return math.prod(int((runs[:, 1] - runs[:, 0]).sum()) for runs in axes)


def coordinates(selection: Selection, shape: tuple[int, ...], limit: int) -> npt.NDArray[np.int64]:
    """Return the ravelled positions of the selected elements of a limited selection, in the order of selection.

    Raises
    ------
    Unsupported
        There are more than `limit`.
    """
    axes = axes_of(selection, shape)
    if axes is not None:
        return _positions(list(axes), shape, limit)
    blocks = _blocks_of(selection)
    if int((blocks[:, :, 1] - blocks[:, :, 0]).prod(axis=1, dtype="f8").sum()) > limit:
        raise Unsupported(f"an irregular selection of more than {limit} elements", structure=WHAT)
    parts = [_positions([axis[None] for axis in block], shape, limit) for block in blocks]
    return np.unique(np.concatenate(parts))


def _positions(axes: list[Runs], shape: tuple[int, ...], limit: int) -> npt.NDArray[np.int64]:
    if count(tuple(axes)) > limit:
        raise Unsupported(f"a selection of more than {limit} elements", structure=WHAT)
    positions = np.zeros(1, "i8")
    for runs, extent in zip(axes, shape, strict=True):
        indices = [np.arange(start, stop, dtype="i8") for start, stop in runs.tolist()]
        along = np.concatenate(indices) if indices else np.empty(0, "i8")
        positions = (positions[:, None] * extent + along).ravel()
    return positions
