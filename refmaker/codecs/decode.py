"""Decode the stored bytes of a chunk with libhdf5, as libhdf5 would read them from their file.

Contract: the decoded bytes are those that h5py would read, or an error is raised: `FormatError` for a chunk that does
not decode (a failing checksum too), `Unsupported` for a filter that is not there. h5py's own exceptions never leave, as
many of them would be taken for a missing chunk. Any number of threads may decode; h5py lets one into libhdf5 at a time.

Memory is bounded before it is taken: what decodes first and says how much it holds is held to that (`guards`), deflate
and bzip2 are undone here, piece by piece (`stages`), and a pipeline of which neither is known is decoded by a process
that may be lost (`child`).

An image of a file (`image`) is opened in memory and kept open, and every chunk is written into it as stored
(H5Dwrite_chunk) before it is read. Opening an image takes 100 µs, a write and a read 7 µs besides what the filters
take. h5py, and hdf5plugin where a filter asks for it, are imported by the first decode.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import count, zip_longest
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from refmaker.codecs.child import decode_apart
from refmaker.codecs.config import Plan, make_plan
from refmaker.codecs.guards import check_stored
from refmaker.codecs.hdf5_filters import most_bytes
from refmaker.codecs.image import DATASET_NAME, dataset_image
from refmaker.codecs.memory import memory_type
from refmaker.codecs.parameters import RequiredInput, required_input
from refmaker.codecs.plugins import FIRST_PLUGIN, require_filters
from refmaker.codecs.size_check import refused, register, size_check
from refmaker.codecs.stages import needs_child, split, undo
from refmaker.errors import FormatError
from refmaker.model import Filter
from refmaker.zarr.dtype_json import AnyDtype, DtypeJson, parse_dtype

__all__ = ["TOO_FEW", "ChunkDecoder", "decode_chunk", "decode_stored", "decoder_of"]

Buffer: TypeAlias = bytes | bytearray | memoryview

_WHAT = "HDF5 chunk"
_LZF = 32000
# Datatype message: version 1, class 5, no tag; the size follows.
_OPAQUE = b"\x15\0\0\0" + (1).to_bytes(4, "little")
TOO_FEW = "too few bytes"
_MAX_DECODERS = 16
_MAX_IDLE = 4
_MAX_KEPT = 1 << 20
"""Larger chunks take so long that opening an image does not count: nothing is kept of them."""
_INCREMENT = 1 << 16
_H5PY_ERRORS = (OSError, LookupError, ValueError, RuntimeError, TypeError, OverflowError)

_file_numbers = count()


@dataclass(slots=True)
class _Image:
    """An open file image: for one thread at a time."""

    dataset: Any  # h5py.h5d.DatasetID, which keeps the file open
    memory: Any  # h5py.h5t.TypeID

    def read(self, origin: tuple[int, ...], data: Buffer, out: npt.NDArray[np.uint8]) -> None:
        from h5py import h5s

        self.dataset.write_direct_chunk(origin, data)
        self.dataset.read(h5s.ALL, h5s.ALL, out, self.memory)


class ChunkDecoder:
    """Decodes chunks by a plan.

    Parameters
    ----------
    plan
        What `make_plan` has checked.
    apart
        Decode in another process where it is not known beforehand how much memory that will take.
    """

    def __init__(self, plan: Plan, *, apart: bool = True) -> None:
        self.plan = plan
        self._apart = apart
        self._filters, self._undone = split(plan.filters)
        self._extents = plan.chunk_shape or (1,)
        self._origin = (0,) * len(self._extents)
        self._keep = max(plan.stored_size, plan.decoded_size) <= _MAX_KEPT
        self._idle: deque[_Image] = deque()

    def decode(self, data: Buffer, out: npt.NDArray[np.uint8] | None = None) -> npt.NDArray[np.uint8]:
        """Decode one chunk.

        Parameters
        ----------
        data
            The bytes as stored, contiguous.
        out
            Where to put the decoded bytes: one-dimensional, contiguous, writable, of exactly the decoded size.

        Returns
        -------
        uint8[decoded size]
            `out`, or a new array.

        Raises
        ------
        FormatError
            The bytes do not decode to a chunk.
        Unsupported
            A filter is not available.
        """
        if not len(data):
            raise FormatError("no bytes", structure=_WHAT)
        size = self.plan.stored_size
        given = undo(memoryview(data), self._undone, size)
        if self._filters:
            check_stored(given, self._filters, most_bytes(size))
        elif len(given) < size:
            raise FormatError("too few bytes", structure=_WHAT, expected=size, got=len(given))
        if out is None:
            out = np.empty(self.plan.decoded_size, np.uint8)
        if self._apart and needs_child(self._filters, len(given)):
            require_filters(self._filters)
            decode_apart(self._inner, given, out)
            return out
        refused()
        try:
            image = self._take()
            image.read(self._origin, given, out)
        except _H5PY_ERRORS as error:
            raise self._failure(error) from error
        if self._keep and len(self._idle) < _MAX_IDLE:
            self._idle.append(image)
        return out

    @property
    def _inner(self) -> Plan:
        """The plan of what is left to libhdf5."""
        return replace(self.plan, filters=self._filters)

    def _take(self) -> _Image:
        try:
            return self._idle.pop()
        except IndexError:
            return self._open()

    def _open(self) -> _Image:
        from h5py import h5d, h5f, h5p

        plan = self.plan
        require_filters(self._filters)
        image = dataset_image(plan.datatype, self._extents, plan.element_size, self._checked_filters())
        access = h5p.create(h5p.FILE_ACCESS)
        access.set_fapl_core(_INCREMENT, False)
        access.set_file_image(image)
        # libhdf5 wants a name under which there is no file, and takes equal names for the same file
        file = h5f.open(b"/dev/null/refmaker-%d" % next(_file_numbers), h5f.ACC_RDWR, access)
        # without a chunk cache: no chunk is read twice
        caching = h5p.create(h5p.DATASET_ACCESS)
        caching.set_chunk_cache(1, 0, 1.0)
        dataset = h5d.open(file, DATASET_NAME, caching)
        return _Image(dataset, memory_type(dataset.get_type(), plan.dtype))

    def _checked_filters(self) -> list[Filter]:
        """Return the pipeline with checks of size where libhdf5 has none.

        `before` decodes before `one`. What a plugin gives is checked even if `one` does not mind how much it is: the
        Zstandard plugin gives error codes as sizes.
        """
        plan = self.plan
        number = register({f.id for f in self._filters})
        filters = [size_check(number, RequiredInput(plan.stored_size), most_bytes(plan.stored_size))]
        for one, before in zip_longest(self._filters, self._filters[1:]):
            filters.append(_with_room(one, plan.stored_size))
            required = required_input(one, plan.stored_size)
            if required is None and before is not None and before.id >= FIRST_PLUGIN:
                required = RequiredInput(0)
            if required is not None:
                filters.append(size_check(number, required, most_bytes(plan.stored_size)))
        return filters

    def _failure(self, error: Exception) -> FormatError:
        sizes = refused()
        if sizes is not None:
            return FormatError(TOO_FEW, structure=_WHAT, expected=sizes[1], got=sizes[0])
        return FormatError(f"libhdf5 does not decode it: {_first_line(error)}", structure=_WHAT)


def _with_room(one: Filter, size: int) -> Filter:
    """Return an LZF filter the size of the buffer that it is to try first: what a file says might be anything."""
    if one.id != _LZF or len(one.client_data) < 3:
        return one
    return replace(one, client_data=(*one.client_data[:2], min(most_bytes(size), 0xFFFFFFFF)))


def _first_line(error: Exception) -> str:
    return str(error.args[0] if error.args else error).split("\n", 1)[0]


@lru_cache(_MAX_DECODERS)
def decoder_of(plan: Plan) -> ChunkDecoder:
    """Return the decoder for a plan, the same one for equal plans while it is in use."""
    return ChunkDecoder(plan)


def decode_chunk(
    data: Buffer,
    datatype_message: bytes,
    chunk_shape: Sequence[int],
    filters: Sequence[Filter],
    filter_mask: int,
    dtype: AnyDtype | DtypeJson,
) -> bytes:
    """Decode one chunk of a file.

    Parameters
    ----------
    data
        The bytes as stored.
    datatype_message, chunk_shape, filters, dtype
        As in `refmaker.codecs.config.encode_config`.
    filter_mask
        Bit i set: filter i was skipped, which for decoding is the same as if it were not there.
    """
    given = dtype if isinstance(dtype, np.dtype) else parse_dtype(dtype)
    decoder = _masked(bytes(datatype_message), tuple(chunk_shape), tuple(filters), filter_mask, given)
    return decoder.decode(data).tobytes()


def decode_stored(data: Buffer, filters: Sequence[Filter], size: int) -> bytes:
    """Undo filters alone: give the `size` bytes that they were made of, whatever the datatype."""
    return decode_chunk(data, _OPAQUE, (size,), filters, 0, np.dtype("V1"))


@lru_cache(_MAX_DECODERS)
def _masked(
    datatype: bytes, chunk_shape: tuple[int, ...], filters: tuple[Filter, ...], mask: int, dtype: AnyDtype
) -> ChunkDecoder:
    kept = [f for i, f in enumerate(filters) if not mask >> i & 1]
    return decoder_of(make_plan(datatype, chunk_shape, kept, dtype))
