"""Files of b2nd, Caterva and Blosc2 frames as manifests.

Contract: one array, `0`, whose references lead to the chunks in the file, decoded by the codec `refmaker_b2nd`. Chunks
of which the file only says what their elements are (zeros, NaN, never written) are missing where they are the fill
value, and that is no mask (Zarr 3); else they stand in the manifest, as the 32 bytes that Blosc2 has for them. Source:
C-Blosc2, README_B2ND_METALAYER.rst.

    metalayer "b2nd": [version, ndim, shape, chunkshape, blockshape, format of the dtype, dtype]
    metalayer "caterva": the first five
"""

from __future__ import annotations

import ast
import math
import struct
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from refmaker.errors import FormatError, Unsupported
from refmaker.formats.b2nd_frame import Frame, chunk_heads, chunk_index, read_frame
from refmaker.manifest.manifest import Manifest, ManifestArray, ObjectReport, Target
from refmaker.manifest.references import References
from refmaker.path_filter import PathFilter
from refmaker.window import Window
from refmaker.zarr.chunk_grid import check_extents, grid_of
from refmaker.zarr.codec_list import Codecs
from refmaker.zarr.dtype_json import dtype_of_text
from refmaker.zarr.metadata import make_metadata, masks_fill_value
from refmaker.zarr.zarr_dtype import ZarrDtype

__all__ = ["PATH", "scan_b2nd"]

PATH: Final = "0"
"""Path of the array of a file."""

_NOWHERE = np.uint64(1 << 63)
_ZERO, _NAN, _UNINIT = 1, 2, 4
"""Special values: bits 56 to 62 of an entry of the index."""
_STRUCTURE = "b2nd metalayer"
_PLACE = 64
"""Bytes that a chunk of one value takes in a manifest."""


@dataclass(frozen=True, slots=True)
class _Form:
    """Shapes and dtype of an array."""

    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    blocks: tuple[int, ...]
    dtype: np.dtype[Any]


def scan_b2nd(
    window: Window,
    target: Target,
    *,
    selection: PathFilter,
    zarr_format: Literal[2, 3],
    inline_limit: int,
    portable: bool,
    strict: bool,
) -> Manifest:
    """Scan a file. Raises `FormatError` where its header is damaged; the array may be refused by name."""
    frame = read_frame(window)
    reports = [ObjectReport("/", "group", "mapped")]
    arrays, refusals = {}, {}
    if selection.takes(PATH):
        notes: list[str] = []
        try:
            if portable:
                raise Unsupported("chunks of Blosc2 are decoded by refmaker's own codec")
            arrays[PATH] = _array(window, frame, zarr_format, inline_limit, notes)
        except Unsupported as error:
            if strict:
                raise
            refusals["/" + PATH] = error.message
            reports.append(ObjectReport("/" + PATH, "dataset", "refused", error.message))
        else:
            inlined = not len(arrays[PATH].references.cell) and bool(arrays[PATH].references.inline)
            status: Literal["mapped", "inlined"] = "inlined" if inlined else "mapped"
            reports.append(ObjectReport("/" + PATH, "dataset", status, None, True, notes))
    return Manifest(zarr_format, {"": {}}, arrays, (target,), refusals, reports, [f"scanned {target.url}"])


def _array(
    window: Window, frame: Frame, zarr_format: Literal[2, 3], inline_limit: int, notes: list[str]
) -> ManifestArray:
    form = _form(frame)
    check_extents(form.shape)
    grid = grid_of(form.shape, form.chunks)
    count = math.prod(grid)
    entries = chunk_index(window, frame, count)
    there = entries < _NOWHERE
    heads = chunk_heads(window, frame, entries[there])
    sizes = heads[:, 12:16].copy().view("<u4")[:, 0].astype("u8")
    room = np.uint64(frame.cbytes) - entries[there]
    if ((sizes < np.uint64(32)) | (sizes > room)).any():
        raise FormatError("a chunk reaches beyond the chunks", structure="b2frame", expected=f"<= {frame.cbytes} bytes")
    fill, inline = _special(entries, there, form, frame, zarr_format, inline_limit, notes)
    cell = np.flatnonzero(there).astype("i8")
    offset = entries[there] + np.uint64(frame.header_size)
    if frame.has_attributes:
        notes.append("the attributes of the file (vlmeta) are left out")
    references = References(cell, np.broadcast_to(np.uint32(0), (len(cell),)), offset, sizes, inline)
    itemsize = form.dtype.itemsize
    config = {"chunk_shape": list(form.chunks), "block_shape": list(form.blocks), "itemsize": itemsize}
    codecs = Codecs(({"id": "refmaker_b2nd", **config},), need_refmaker=True)
    names = [f"dim_{axis}" for axis in range(len(form.shape))]
    metadata, named = make_metadata(zarr_format, form.shape, form.chunks, ZarrDtype(form.dtype), codecs, fill, names)
    return ManifestArray(metadata, dict(named), grid, references)


def _special(
    entries: npt.NDArray[np.uint64],
    there: npt.NDArray[np.bool_],
    form: _Form,
    frame: Frame,
    zarr_format: Literal[2, 3],
    inline_limit: int,
    notes: list[str],
) -> tuple[Any, dict[int, bytes]]:
    """Return the fill value, and what stands in the manifest for chunks of one value."""
    kinds = ((entries >> np.uint64(56)) & np.uint64(127)).astype("u1")
    kinds[there] = 0
    unknown = set(np.unique(kinds[~there]).tolist()) - {_ZERO, _NAN, _UNINIT}
    if unknown:
        raise Unsupported(f"chunks of a special value of kind {min(unknown)}")
    plain = form.dtype.kind in "biuf"
    zeros = np.flatnonzero((kinds == _ZERO) | (kinds == _UNINIT))
    masks = masks_fill_value(zarr_format)
    wanted = masks or not plain
    absent = bool(len(zeros)) and (not wanted or len(zeros) * _PLACE > inline_limit)
    if absent and not plain:
        raise Unsupported("more chunks of zeros than the manifest may hold, of elements that have no fill value")
    if absent and masks:
        notes.append(f"xarray masks 0 in this array: {len(zeros)} chunks of zeros are missing")
    nans = np.flatnonzero(kinds == _NAN)
    if len(nans) * _PLACE > inline_limit:
        raise Unsupported("more chunks of NaN than the manifest may hold")
    inline = dict.fromkeys(nans.tolist(), _chunk_of(_NAN, form, frame))
    if not absent:
        inline |= dict.fromkeys(zeros.tolist(), _chunk_of(_ZERO, form, frame))
    if masks and not absent:
        return None, inline
    return (False if form.dtype.kind == "b" else 0 if plain else _nothing(form.dtype)), inline


def _nothing(dtype: np.dtype[Any]) -> Any:
    from refmaker.zarr.fill_values import encode_fill

    return encode_fill(np.zeros(1, dtype)[0], dtype)


def _chunk_of(special: int, form: _Form, frame: Frame) -> bytes:
    """Return a chunk of Blosc2 that holds one value: a header alone."""
    blocks = [-(-chunk // block) for chunk, block in zip(form.chunks, form.blocks, strict=True)]
    size = math.prod(blocks) * math.prod(form.blocks) * form.dtype.itemsize
    typesize = form.dtype.itemsize if form.dtype.itemsize < 256 else 1
    block = math.prod(form.blocks) * form.dtype.itemsize
    return struct.pack("<4Biii15xB", 5, 1, 5, typesize, size, min(block, size), 32, special << 4)


def _form(frame: Frame) -> _Form:
    """Read the metalayer; a frame without one is a list of elements."""
    for name in ("b2nd", "caterva"):
        if name in frame.metalayers:
            return _nd(frame.metalayers[name], frame, typed=name == "b2nd")
    size = frame.typesize
    if not size or frame.chunksize % size or frame.nbytes % size or not frame.chunksize:
        raise Unsupported("chunks of varying length, or of no whole number of elements")
    chunk = frame.chunksize // size
    dtype = np.dtype("u1" if size == 1 else f"V{size}")
    return _Form((frame.nbytes // size,), (chunk,), (chunk,), dtype)


def _nd(layer: Any, frame: Frame, *, typed: bool) -> _Form:
    try:
        _, rank, shape, chunks, blocks, *rest = layer
        shapes = [tuple(int(extent) for extent in one) for one in (shape, chunks, blocks)]
    except (TypeError, ValueError) as error:
        raise FormatError("not as it should be", structure=_STRUCTURE, got=str(layer)[:80]) from error
    if any(len(one) != rank for one in shapes) or rank > 16 or any(min(one, default=0) < 0 for one in shapes):
        raise FormatError("shapes of another rank", structure=_STRUCTURE, expected=rank, got=str(shapes)[:80])
    shape, chunks, blocks = shapes
    if any(c < 1 or b < 1 for c, b in zip(chunks, blocks, strict=True)):
        raise Unsupported("an array without elements, whose chunks have none either")
    dtype = _dtype(rest[0], rest[1]) if typed and len(rest) == 2 else np.dtype(f"V{frame.typesize}")
    if dtype.itemsize != frame.typesize:
        raise FormatError("size of an element", structure=_STRUCTURE, expected=frame.typesize, got=dtype.itemsize)
    return _Form(shape, chunks, blocks, dtype)


def _dtype(kind: Any, text: Any) -> np.dtype[Any]:
    """Return the dtype that numpy's text names; fields of a structured one are plain."""
    if kind != 0 or not isinstance(text, bytes) or len(text) > 1 << 16:
        raise Unsupported(f"a dtype of format {str(kind)[:20]}")
    name = text.decode("utf-8", "replace")
    try:
        if not name.startswith("["):
            found = dtype_of_text(name)
        else:
            found = np.dtype([(str(member), dtype_of_text(inner)) for member, inner in ast.literal_eval(name)])
    except (TypeError, ValueError, SyntaxError, RecursionError, MemoryError) as error:
        raise Unsupported(f"the dtype {name[:80]!r}") from error
    if found.hasobject or not found.itemsize:
        raise Unsupported(f"the dtype {name[:80]!r}")
    return found
