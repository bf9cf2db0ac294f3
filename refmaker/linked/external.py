"""Raw data files as storage.

Contract: external data are one stream of bytes, segment after segment. Chunks are rows of it that lie in one file;
those that do not are assembled. As in libhdf5 (`H5D__efl_read`), what lies behind the end of a file reads as zeros,
and a file that is missing is an error.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from refmaker.errors import Unsupported
from refmaker.linked.files import Step
from refmaker.linked.grids import MAX_CELLS, largest_divisor
from refmaker.linked.virtual import ResolveContext, ResolvedStorage
from refmaker.model import Chunked, ChunkIndex, Contiguous

__all__ = ["Segment", "external_storage"]

# Chunks of less than this are not worth a reference: better a few that reach over the end of a segment.
SMALLEST = 1 << 12
CROSSING = 1 << 16


@dataclass(frozen=True, slots=True)
class Segment:
    """Bytes of a raw data file: an address of the space, and how many there are. Without an address they are zeros."""

    address: int | None
    size: int


def external_storage(
    shape: tuple[int, ...], item: int, fill: bytes, segments: Sequence[Segment], context: ResolveContext
) -> ResolvedStorage:
    """Find storage for external data.

    Parameters
    ----------
    segments
        Together as long as the dataset.

    Raises
    ------
    Unsupported
        More than the inline limit would have to be assembled.
    """
    segments = [s for s in segments if s.size]
    total = item * math.prod(shape)
    if total >= 1 << 62:
        raise Unsupported(f"a dataset of {total} bytes")
    if total == 0:
        return ResolvedStorage(Contiguous(None, 0), (), fill)
    if len(segments) == 1 and segments[0].address is not None:
        return ResolvedStorage(Contiguous(segments[0].address, total), (), fill)
    ends = np.cumsum([s.size for s in segments])
    chunks = _chunks(shape, item, ends[:-1].tolist(), context.subchunk_size)
    size = item * math.prod(chunks)
    if total // size > MAX_CELLS:
        raise Unsupported(f"raw data in more than {MAX_CELLS} chunks")
    start = np.arange(0, total, size, dtype="i8")
    first = np.searchsorted(ends, start, "right")
    last = np.searchsorted(ends, start + size, "left")
    address = np.array([-1 if s.address is None else s.address for s in segments], "i8")[first]
    offset = address + start - (ends - [s.size for s in segments])[first]
    zeros = (first == last) & (address < 0)
    crossing = np.flatnonzero(first != last)
    if len(crossing) * size > context.inline_limit:
        raise Unsupported(f"{len(crossing)} chunks of {size} bytes lie in more than one raw data file")
    stretches = []
    for at in crossing.tolist():
        own = segments[first[at] : last[at] + 1]
        stretches.append(_Stretch(int(start[at] - ends[first[at]]) + own[0].size, size, own))
    offset[crossing] = [context.space.keep(data) for data in _read(stretches, context)]
    there = np.ones(len(start), bool)
    if zeros.any():
        if fill.strip(b"\0"):
            _check_zeros(int(zeros.sum()) * size, context)
            offset[zeros] = context.space.keep(b"\0" * size)
        else:
            there = ~zeros
    n = int(there.sum())
    index = ChunkIndex(np.flatnonzero(there), offset[there].astype("u8"), np.full(n, size, "u8"), np.zeros(n, "u4"))
    return ResolvedStorage(Chunked(chunks, index), (), fill)


def _check_zeros(size: int, context: ResolveContext) -> None:
    if size > context.inline_limit:
        raise Unsupported(
            f"{size} bytes behind the ends of raw data files, which read as zeros: more than may be inlined"
        )


def _chunks(shape: tuple[int, ...], item: int, ends: Sequence[int], largest: int) -> tuple[int, ...]:
    """Choose chunks of whole rows, so that segments end where chunks end if that does not make them too small."""
    for axis in range(len(shape)):
        inner = item * math.prod(shape[axis + 1 :])
        if all(end % inner == 0 for end in ends):
            rows = largest_divisor(math.gcd(shape[axis], *(end // inner for end in ends)), max(largest // inner, 1))
            if rows * inner >= SMALLEST or rows == shape[axis] or not ends:
                return (1,) * axis + (rows,) + shape[axis + 1 :]
            break
    for axis in range(len(shape)):
        inner = item * math.prod(shape[axis + 1 :])
        if inner <= CROSSING or axis == len(shape) - 1:
            return (1,) * axis + (largest_divisor(shape[axis], max(CROSSING // inner, 1)),) + shape[axis + 1 :]
    return shape


@dataclass(frozen=True, slots=True)
class _Stretch:
    """`size` bytes of consecutive segments, from `start` in the first of them on."""

    start: int
    size: int
    segments: Sequence[Segment]


def _read(stretches: Sequence[_Stretch], context: ResolveContext) -> list[bytes]:
    """Read stretches of the stream, whatever files they are in."""
    made: list[bytes] = []

    def step() -> list[Step]:
        made[:] = [_joined(stretch, context) for stretch in stretches]
        return []

    if stretches:
        context.run([step])
    return made


def _joined(stretch: _Stretch, context: ResolveContext) -> bytes:
    parts, skip, left = [], stretch.start, stretch.size
    for segment in stretch.segments:
        n = min(segment.size - skip, left)
        parts.append(b"\0" * n if segment.address is None else context.space.read(segment.address + skip, n))
        skip, left = 0, left - n
    return b"".join(parts)
