"""Decode the stored bytes of a chunk with libhdf5, as libhdf5 would read them from their file.

Contract: the decoded bytes are those that h5py would read, or an error is raised: `FormatError` for a chunk that does
not decode (a failing checksum too), `Unsupported` for a filter that is not there. h5py's own exceptions never leave, as
many of them would be taken for a missing chunk. Any number of threads may decode; h5py lets one into libhdf5 at a time.

An image of a file (`image`) is opened in memory and kept open, and every chunk is written into it as stored
(H5Dwrite_chunk) before it is read. Opening an image takes 100 µs, a write and a read 7 µs besides what the filters
take. h5py, and hdf5plugin where a filter asks for it, are imported by the first decode.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import count, zip_longest
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from refmaker.codecs.config import Plan, make_plan
from refmaker.codecs.guards import check_stored
from refmaker.codecs.image import DATASET_NAME, dataset_image
from refmaker.codecs.memory import memory_type
from refmaker.codecs.parameters import RequiredInput, required_input
from refmaker.codecs.plugins import FIRST_PLUGIN, require_filters
from refmaker.codecs.size_check import refused, register, size_check
from refmaker.errors import FormatError
from refmaker.model import Filter
from refmaker.zarr.dtype_json import AnyDtype, DtypeJson, parse_dtype

__all__ = ["ChunkDecoder", "decode_chunk", "decoder_of"]

Buffer: TypeAlias = bytes | bytearray | memoryview

_WHAT = "HDF5 chunk"
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
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
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
        check_stored(memoryview(data), self.plan.filters)
        if out is None:
            out = np.empty(self.plan.decoded_size, np.uint8)
        refused()
        try:
            image = self._take()
            image.read(self._origin, data, out)
        except _H5PY_ERRORS as error:
            raise self._failure(error) from error
        if self._keep and len(self._idle) < _MAX_IDLE:
            self._idle.append(image)
        return out

    def _take(self) -> _Image:
        try:
            return self._idle.pop()
        except IndexError:
            return self._open()

    def _open(self) -> _Image:
        from h5py import h5d, h5f, h5p

        plan = self.plan
        require_filters(plan.filters)
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
        number = register({f.id for f in plan.filters})
        filters = [size_check(number, RequiredInput(plan.stored_size))]
        for one, before in zip_longest(plan.filters, plan.filters[1:]):
            filters.append(one)
            required = required_input(one, plan.stored_size)
            if required is None and before is not None and before.id >= FIRST_PLUGIN:
                required = RequiredInput(0)
            if required is not None:
                filters.append(size_check(number, required))
        return filters

    def _failure(self, error: Exception) -> FormatError:
        sizes = refused()
        if sizes is not None:
            return FormatError("too few bytes", structure=_WHAT, expected=sizes[1], got=sizes[0])
        return FormatError(f"libhdf5 does not decode it: {_first_line(error)}", structure=_WHAT)


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


@lru_cache(_MAX_DECODERS)
def _masked(
    datatype: bytes, chunk_shape: tuple[int, ...], filters: tuple[Filter, ...], mask: int, dtype: AnyDtype
) -> ChunkDecoder:
    kept = [f for i, f in enumerate(filters) if not mask >> i & 1]
    return decoder_of(make_plan(datatype, chunk_shape, kept, dtype))
