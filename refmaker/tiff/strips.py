"""TIFF images in strips of which the last is shorter, as most writers make them.

Contract: a Zarr chunk is whole, so that the last strip of such an image is none. Strips without compression that follow
one another are put together to chunks that are whole; of others, the last strips are padded, encoded as the others are
and kept in the manifest. Where a codec does not give back what was encoded, the image is refused.
Source: TIFF 6.0, RowsPerStrip: "the last strip may have fewer rows".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import prod
from typing import Any, Final, TypeAlias

import numpy as np

from refmaker import limits
from refmaker.errors import Unsupported
from refmaker.formats.kerchunk_references import codecs_of, dtype_of
from refmaker.formats.strips import encoded_chunk, joined_strips
from refmaker.manifest.manifest import ManifestArray
from refmaker.manifest.references import References
from refmaker.mapping.chunks import read_ranges

__all__ = ["decoded_strip", "whole_strips"]

Read: TypeAlias = Callable[[int, int], bytes]
_BOUNDED: Final = {
    "zlib": "zlib_decode",
    "lzma": "lzma_decode",
    "imagecodecs_lzw": "lzw_decode",
    "imagecodecs_packbits": "packbits_decode",
    "imagecodecs_zstd": "zstd_decode",
}
"""Codecs without loss -> function that writes no more than it is given room for."""


def whole_strips(array: ManifestArray, axis: int, read: Read) -> tuple[ManifestArray, str]:
    """Return an array whose chunks are whole, and what to say of that ("" for nothing).

    Parameters
    ----------
    array
        With references to strips as they are.
    axis
        The rows.

    Raises
    ------
    Unsupported
        It cannot be done.
    """
    if not codecs_of(array) and (joined := joined_strips(array, axis)) is not None:
        return joined, ""
    if array.metadata.shape[axis] % array.metadata.chunk_shape[axis] == 0:
        return array, ""
    return _padded(array, axis, read)


def _padded(array: ManifestArray, axis: int, read: Read) -> tuple[ManifestArray, str]:
    """Keep the last strip of every image in the manifest, padded."""
    references, chunks = array.references, array.metadata.chunk_shape
    dtype, configs = dtype_of(array), codecs_of(array)
    at = np.unravel_index(references.cell, array.grid)[axis]
    last = at == array.grid[axis] - 1
    if int(last.sum()) * prod(chunks) * dtype.itemsize > limits.INLINE * 4:
        raise Unsupported("the last strips are shorter than the others, and too large to be kept in the manifest")
    rows = array.metadata.shape[axis] % chunks[axis]
    short = (*chunks[:axis], rows, *chunks[axis + 1 :])
    blocks = read_ranges(read, references.offset[last].tolist(), references.size[last].tolist())
    inline, total = dict(references.inline), 0
    for cell, block in zip(references.cell[last].tolist(), blocks, strict=True):
        values = np.zeros(chunks, dtype)
        values[tuple(slice(0, extent) for extent in short)] = decoded_strip(configs, block, short, chunks, dtype)
        inline[cell] = encoded_chunk(configs, values)
        total += len(inline[cell])
        if total > limits.INLINE:
            raise Unsupported("the last strips are shorter than the others, and too large to be kept in the manifest")
    kept = ~last
    columns = (references.cell[kept], references.target[kept], references.offset[kept], references.size[kept])
    note = f"the last strip of each image is shorter: kept in the manifest, padded ({total} bytes)"
    return replace(array, references=References(*columns, inline)), note


def decoded_strip(
    configs: Sequence[Mapping[str, Any]],
    data: bytes,
    short: tuple[int, ...],
    chunks: tuple[int, ...],
    dtype: np.dtype[Any],
) -> np.ndarray:
    """Decode a strip of shape `short`, of codecs for chunks of shape `chunks`; what it takes is bounded by them."""
    *filters, name = [config["id"] for config in configs] or [""]
    room = prod(chunks) * dtype.itemsize
    size = prod(short) * dtype.itemsize
    plain = _plain(name, data, room)
    if len(plain) < size:
        raise Unsupported(f"the last strip decodes to {len(plain)} bytes instead of {size}: the file is damaged")
    values = np.frombuffer(plain[:size], dtype).reshape(short)
    if filters:
        import numcodecs
        from imagecodecs.numcodecs import register_codecs

        register_codecs(verbose=False)
        codec = numcodecs.get_codec({**configs[0], "shape": list(short)})
        values = np.asarray(codec.decode(values.tobytes())).view(dtype).reshape(short)
    return values


def _plain(name: str, data: bytes, room: int) -> bytes:
    """Undo compression, of at most `room` bytes."""
    if name == "":
        return data
    if name not in _BOUNDED:
        raise Unsupported(
            f"the last strip is shorter than the others, and its codec ({name}) does not give back what it encodes"
        )
    import imagecodecs

    decode = getattr(imagecodecs, _BOUNDED[name])
    try:
        return bytes(decode(data, out=room))
    except (RuntimeError, ValueError, TypeError, OverflowError) as error:
        cause = f"{type(error).__name__}: {error}".split("\n", 1)[0]
        raise Unsupported(f"the last strip does not decode: {cause}") from error
