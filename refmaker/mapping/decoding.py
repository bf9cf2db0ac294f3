"""Decoding of chunks for which no plain codec is enough: libhdf5 as the codec of an array, or while scanning.

Contract: `hdf5_codecs` gives the codec only where libhdf5 has every filter at hand and converts the datatype exactly,
else `Unsupported` says what is in the way: a reader that has the same plugins reads the chunks in place.
`Decoder.decode` gives the bytes of a chunk as Zarr has them after all codecs.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from refmaker.codecs.config import encode_config
from refmaker.codecs.decode import TOO_FEW
from refmaker.codecs.decode import decode_chunk as decode_with_libhdf5
from refmaker.codecs.exact import widened
from refmaker.codecs.hdf5_filters import IDENTITIES, OWN, undo_filters
from refmaker.codecs.pipeline import decode_chunk
from refmaker.codecs.plugins import require_filters
from refmaker.errors import FormatError, Unsupported
from refmaker.mapping.chunks import as_zarr
from refmaker.model import Dataset, FillValue, Filter
from refmaker.zarr.codec_list import Codecs
from refmaker.zarr.zarr_dtype import ZarrDtype

__all__ = ["CODEC_ID", "Decoder", "decodable", "fill_of", "hdf5_codecs"]

CODEC_ID = "refmaker_hdf5"


def decodable(filters: Iterable[Filter]) -> bool:
    """Return whether the scan can undo filters without libhdf5."""
    return all(f.id in OWN for f in filters)


def hdf5_codecs(
    dataset: Dataset, dtype: ZarrDtype, chunk_shape: tuple[int, ...], filters: tuple[Filter, ...]
) -> Codecs:
    """Return libhdf5 as the only codec of an array.

    Parameters
    ----------
    chunk_shape
        Extents of a chunk in the dataspace, without those of an array datatype.
    filters
        The pipeline of most chunks.

    Raises
    ------
    Unsupported
        libhdf5 lacks a filter, or does not convert the datatype exactly.
    """
    if not dataset.datatype_message:
        raise Unsupported("the file has no HDF5 datatype message for libhdf5 to decode by")
    if dtype.target is None:
        widened(dataset.datatype)
    filters = tuple(f for f in filters if f.id not in IDENTITIES)
    require_filters(filters)
    config = encode_config(dataset.datatype_message, chunk_shape, filters, dtype.element)
    return Codecs(({"id": CODEC_ID, **config},), 0, filters, need_refmaker=True)


@dataclass(frozen=True, slots=True)
class Decoder:
    """Decodes chunks of one dataset to the elements of a Zarr dtype."""

    dataset: Dataset
    dtype: ZarrDtype

    def stored_size(self, block: bytes, chunk_shape: tuple[int, ...], mask: int) -> int | None:
        """Return how many bytes a chunk holds, None for one that does not decode: reading it fails."""
        applied = _applied(self.dataset.filters, mask)
        size = self.dataset.datatype.size * math.prod(chunk_shape)
        try:
            if decodable(applied):
                return len(undo_filters(block, applied, 0, size))
            self.decode(block, chunk_shape, applied, 0)
        except FormatError as error:
            return error.got if error.message == TOO_FEW and isinstance(error.got, int) else None
        except Unsupported:  # nothing here decodes it
            return None
        return size

    def decode(
        self,
        block: bytes,
        chunk_shape: tuple[int, ...],
        filters: tuple[Filter, ...],
        mask: int,
        least: int | None = None,
    ) -> bytes:
        """Decode one chunk of the extents `chunk_shape` in the dataspace; `mask` names the filters it did without.

        `least` is how many bytes will do, of a chunk that reaches beyond its dataset.

        Raises
        ------
        FormatError
            The bytes do not decode.
        Unsupported
            A filter is not available.
        """
        applied = _applied(filters, mask)
        if self.dtype.target is None and decodable(applied):
            size = self.dataset.datatype.size * math.prod(chunk_shape)
            return as_zarr(decode_chunk(block, applied, 0, size, least), self.dtype)
        if least is not None and decodable(applied):
            size = self.dataset.datatype.size * math.prod(chunk_shape)
            block, applied = decode_chunk(block, applied, 0, size, least), ()
        require_filters(f for f in applied if f.id not in IDENTITIES)
        message = self.dataset.datatype_message
        if not message:
            raise Unsupported("the file has no HDF5 datatype message for libhdf5 to decode by")
        return decode_with_libhdf5(block, message, chunk_shape, applied, 0, self.dtype.element)


def _applied(filters: tuple[Filter, ...], mask: int) -> tuple[Filter, ...]:
    return tuple(f for position, f in enumerate(filters) if not mask >> position & 1)


def fill_of(dataset: Dataset, dtype: ZarrDtype) -> FillValue:
    """Return the fill value as the elements of a Zarr dtype have it; the padding of a compound stays."""
    fill = dataset.fill
    if not fill.value or dtype.text:
        return fill
    if dtype.target is not None:
        return FillValue(Decoder(dataset, dtype).decode(fill.value, (), (), 0), fill.write_time)
    if dtype.terminated and dtype.stored is None:
        return FillValue(as_zarr(fill.value, dtype), fill.write_time)
    return fill
