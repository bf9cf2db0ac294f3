"""TIFF images in strips of which the last is shorter, as most writers make them.

Contract: a Zarr chunk is whole, so that the last strip of such an image is none. Strips without compression that follow
one another are put together to chunks that are whole; of others, the last strips are padded, encoded as the others are
and kept in the manifest. Where a codec does not give back what was encoded, the image is refused.
Source: TIFF 6.0, RowsPerStrip: "the last strip may have fewer rows".
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from io import StringIO
from math import prod
from typing import Any, TypeAlias

import numpy as np

from refmaker import limits
from refmaker.errors import Unsupported
from refmaker.formats.kerchunk_references import SPLIT, codecs_of, dtype_of, itemsize
from refmaker.manifest.manifest import ManifestArray
from refmaker.manifest.references import References
from refmaker.mapping.layout import split_rows
from refmaker.zarr.chunk_grid import grid_of

__all__ = ["encoded_chunk", "has_short_strips", "joined_strips", "references_of", "whole_strips"]

Shown: TypeAlias = Callable[[tuple[int, ...]], np.ndarray]
"""Returns the values of the chunk at a position, without what is padding."""


def has_short_strips(keyframe: Any) -> bool:
    """Return whether the last strip of a page has fewer rows than the others."""
    return not keyframe.is_tiled and bool(keyframe.rowsperstrip) and keyframe.imagelength % keyframe.rowsperstrip != 0


def references_of(series: Any, url: str) -> dict[str, Any]:
    """Have tifffile write references to all strips and tiles, shorter ones too.

    It refuses strips that do not divide the image, and looks at nothing but the number of rows for that.
    """
    text = StringIO()
    with series.aszarr() as store, _divided(series):
        store.write_fsspec(text, url=url.rsplit("/", 1)[0])
    refs: dict[str, Any] = json.loads(text.getvalue())
    return refs


@contextmanager
def _divided(series: Any) -> Iterator[None]:
    frames = {id(level.keyframe): level.keyframe for level in series.levels}.values()
    kept = [(frame, frame.rowsperstrip) for frame in frames if has_short_strips(frame)]
    for frame, _ in kept:
        frame.rowsperstrip = 1
    try:
        yield
    finally:
        for frame, rows in kept:
            frame.rowsperstrip = rows


def whole_strips(array: ManifestArray, level: Any, shown: Shown) -> tuple[ManifestArray, str]:
    """Return an array whose chunks are whole, and what to say of that ("" for nothing).

    Parameters
    ----------
    array
        With references to strips as they are.
    level
        The images, as tifffile has them.

    Raises
    ------
    Unsupported
        It cannot be done.
    """
    if not has_short_strips(level.keyframe) or "Y" not in level.axes:
        return array, ""
    axis = level.axes.index("Y")
    if not codecs_of(array) and (joined := joined_strips(array, axis)) is not None:
        return joined, ""
    return _padded(array, axis, shown)


def joined_strips(array: ManifestArray, axis: int) -> ManifestArray | None:
    """Put strips without compression together, where they follow one another in the file; None where they do not."""
    metadata, references = array.metadata, array.references
    shape, strips = metadata.shape, array.grid[axis]
    if len(references.cell) != prod(array.grid) or prod(array.grid[axis + 1 :]) != 1 or references.inline:
        return None
    offset, size = (column.reshape(-1, strips) for column in (references.offset, references.size))
    image = prod(shape[axis:]) * itemsize(array)
    if (offset[:, 1:] != offset[:, :-1] + size[:, :-1]).any() or (size.sum(axis=1) != np.uint64(image)).any():
        return None
    rows = split_rows(shape[axis:], itemsize(array), SPLIT)
    if rows[1:] != shape[axis + 1 :]:
        return None
    chunks = (*metadata.chunk_shape[:axis], *rows)
    parts = shape[axis] // rows[0]
    if parts * rows[0] != shape[axis]:
        return None
    part = np.uint64(image // parts)
    starts = (offset[:, :1] + np.arange(parts, dtype="u8") * part).reshape(-1)
    cell = np.arange(len(starts))
    target = np.broadcast_to(np.uint32(0), cell.shape)
    return replace(
        array,
        metadata=metadata.with_extent(shape, chunks),
        grid=grid_of(shape, chunks),
        references=References(cell, target, starts.astype("u8"), np.full(len(cell), part, "u8")),
    )


def _padded(array: ManifestArray, axis: int, shown: Shown) -> tuple[ManifestArray, str]:
    """Keep the last strip of every image in the manifest, padded."""
    references, chunks = array.references, array.metadata.chunk_shape
    dtype = dtype_of(array)
    positions = np.stack(np.unravel_index(references.cell, array.grid), axis=-1) if array.grid else np.empty((0, 0))
    last = positions[:, axis] == array.grid[axis] - 1
    if int(last.sum()) * prod(chunks) * dtype.itemsize > limits.INLINE * 4:
        raise Unsupported("the last strips are shorter than the others, and too large to be kept in the manifest")
    inline, total = dict(references.inline), 0
    for cell, position in zip(references.cell[last].tolist(), positions[last].tolist(), strict=True):
        values = np.zeros(chunks, dtype)
        part = shown(tuple(position))
        values[tuple(slice(0, extent) for extent in part.shape)] = part
        inline[cell] = encoded_chunk(codecs_of(array), values)
        total += len(inline[cell])
        if total > limits.INLINE:
            raise Unsupported("the last strips are shorter than the others, and too large to be kept in the manifest")
    kept = ~last
    columns = (references.cell[kept], references.target[kept], references.offset[kept], references.size[kept])
    note = f"the last strip of each image is shorter: kept in the manifest, padded ({total} bytes)"
    return replace(array, references=References(*columns, inline)), note


def encoded_chunk(configs: Sequence[Mapping[str, Any]], values: np.ndarray) -> bytes:
    """Encode a chunk as the others are; raise `Unsupported` where decoding does not give it back."""
    import numcodecs
    from imagecodecs.numcodecs import register_codecs

    register_codecs(verbose=False)
    codecs = [numcodecs.get_codec(dict(config)) for config in configs]
    reason = "the last strip is shorter than the others, and its codec"
    try:
        data: Any = values
        for codec in codecs:
            data = codec.encode(data)
        stored = data.tobytes() if isinstance(data, np.ndarray) else bytes(data)
        data = stored
        for codec in reversed(codecs):
            data = codec.decode(data)
    except Exception as error:  # codecs raise errors of many kinds
        cause = f"{type(error).__name__}: {error}".split("\n", 1)[0]
        raise Unsupported(f"{reason} cannot encode it anew: {cause}") from error
    if (data.tobytes() if isinstance(data, np.ndarray) else bytes(data)) != values.tobytes():
        raise Unsupported(f"{reason} does not give back what it encodes: it cannot be padded exactly")
    return stored
