"""Folders of webKnossos (`.wkw`): layers and magnifications as groups, blocks as references.

Contract: every folder with a `header.wkw` is a group with one array, `data`, of the axes channel, x, y, z; its blocks
are chunks. What is not stored is background: zeros. Every file is a target with its own version. Sizes are held to
those of the files before memory is taken. Source: webKnossos wrapper format, version 1 (wkw-rust, README).

    header.wkw, and the head of every z{Z}/y{Y}/x{X}.wkw:
    "WKW" 3 | version 1 | log2 of blocks in a file (high) and of voxels in a block (low), along an axis 1 |
    block type 1: 1 raw, 2 LZ4, 3 LZ4HC | voxel type 1 | bytes of a voxel 1 | address of the first block 8
    [LZ4: end of each block, u8 x blocks]    blocks in Morton order, x fastest; voxels within: channel fastest, then x
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from refmaker.errors import FormatError, RefmakerError, Unsupported
from refmaker.manifest.manifest import Manifest, ManifestArray, ObjectReport
from refmaker.manifest.references import References
from refmaker.redaction import strip_credentials
from refmaker.zarr.chunk_grid import check_extents, grid_of
from refmaker.zarr.codec_list import Codecs
from refmaker.zarr.keys import ancestors
from refmaker.zarr.metadata import make_metadata
from refmaker.zarr.zarr_dtype import ZarrDtype
from refmaker.zarr_stores.scan import StoreOptions, as_asked
from refmaker.zarr_stores.store import Range, Store, read_ranges

__all__ = ["HEADER", "NAME", "Header", "decode_header", "morton", "scan_wkw"]

HEADER = "header.wkw"
NAME = "data"
"""Name of the array of a magnification."""

_HEAD = struct.Struct("<3sBBBBBQ")
_FILE = re.compile(r"z(\d{1,9})/y(\d{1,9})/x(\d{1,9})\.wkw")
_VOXELS = ("u1", "<u2", "<u4", "<u8", "<f4", "<f8", "i1", "<i2", "<i4", "<i8")
_AXES = ("channel", "x", "y", "z")
_STRUCTURE = "wkw header"


@dataclass(frozen=True, slots=True)
class Header:
    """What a header says: blocks in a file and voxels in a block along an axis, whether there is LZ4, the voxels."""

    file_length: int
    block_length: int
    packed: bool
    dtype: np.dtype[Any]
    channels: int
    start: int

    @property
    def blocks(self) -> int:
        """Blocks of a file."""
        return int(self.file_length**3)

    @property
    def block_size(self) -> int:
        """Bytes of a block that is not compressed."""
        return int(self.block_length**3) * self.channels * self.dtype.itemsize


def decode_header(data: bytes) -> Header:
    """Decode the first 16 bytes of a file."""
    if len(data) < _HEAD.size:
        raise FormatError("too few bytes", structure=_STRUCTURE, expected=_HEAD.size, got=len(data))
    magic, version, lengths, block_type, voxel_type, voxel_size, start = _HEAD.unpack_from(data)
    if magic != b"WKW" or version != 1:
        raise FormatError("signature and version", structure=_STRUCTURE, expected=(b"WKW", 1), got=(magic, version))
    if not 1 <= block_type <= 3 or not 1 <= voxel_type <= len(_VOXELS):
        raise Unsupported(f"blocks of type {block_type} with voxels of type {voxel_type}")
    dtype = np.dtype(_VOXELS[voxel_type - 1])
    if not voxel_size or voxel_size % dtype.itemsize:
        raise FormatError("size of a voxel", structure=_STRUCTURE, expected=f"times {dtype.itemsize}", got=voxel_size)
    channels = voxel_size // dtype.itemsize
    return Header(1 << (lengths >> 4), 1 << (lengths & 15), block_type > 1, dtype, channels, start)


def morton(count: int) -> npt.NDArray[np.int64]:
    """Return x, y and z of blocks in Morton order, a row each.

    Examples
    --------
    >>> morton(4).tolist()
    [[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]]
    """
    code = np.arange(count, dtype="i8")
    found = np.zeros((count, 3), "i8")
    for bit in range(max(count - 1, 0).bit_length()):
        found[:, bit % 3] |= (code >> bit & 1) << bit // 3
    return found


def scan_wkw(store: Store, options: StoreOptions) -> Manifest:
    """Scan a folder with magnifications in it, whatever lies between them."""
    headers = sorted(key for key in store.entries if key.rpartition("/")[2] == HEADER)
    arrays: dict[str, ManifestArray] = {}
    groups: dict[str, dict[str, Any]] = {"": {}}
    reports = [ObjectReport("/", "group", "mapped")]
    for key in headers:
        folder = key.rpartition("/")[0]
        path = f"{folder}/{NAME}" if folder else NAME
        groups |= {above: {} for above in ancestors(path)}
        if not options.selection.takes(path):
            continue
        notes: list[str] = []
        try:
            arrays[path] = _array(store, folder, key, notes)
        except RefmakerError as error:
            if options.strict:
                raise
            reports.append(ObjectReport("/" + path, "dataset", "refused", str(error), notes=notes))
        else:
            packed = bool(arrays[path].metadata.codecs)
            reports.append(ObjectReport("/" + path, "dataset", "mapped", None, packed, notes))
    store.check_unchanged()
    return as_asked(_manifest(store, headers[0], groups, arrays, reports, options), options)


def _array(store: Store, folder: str, key: str, notes: list[str]) -> ManifestArray:
    (head,) = store.read([Range(key, 0, _HEAD.size)])
    header = decode_header(head)
    cut = len(folder) + 1 if folder else 0
    matches = [
        (name, match)
        for name in sorted(store.entries)
        if name.startswith(folder) and (match := _FILE.fullmatch(name, cut))
    ]
    files = [name for name, _ in matches]
    place = np.array([[int(text) for text in match.groups()[::-1]] for _, match in matches], "i8").reshape(-1, 3)
    along = header.file_length * header.block_length
    shape = (header.channels, *((int(stop) + 1) * along for stop in place.max(axis=0, initial=-1)))
    check_extents(shape)
    chunks = (header.channels, *(header.block_length,) * 3)
    grid = grid_of(shape, chunks)
    starts, stops = _blocks(store, files, header)
    position = (place[:, None, :] * header.file_length + morton(header.blocks if files else 0)[None]).reshape(-1, 3)
    cell: Any = np.ravel_multi_index(position.T, grid[1:]) if len(position) else np.empty(0, "i8")
    order = np.argsort(cell, kind="stable")
    code = np.array([store.entries[name].target for name in files], "u4")
    target = np.repeat(code, header.blocks if files else 0)
    references = References(cell[order], target[order], starts[order], (stops - starts)[order])
    complete = len(cell) == int(np.prod(grid))
    if not complete:
        notes.append("what is not stored is background, 0: xarray masks it in Zarr 2")
    codecs = Codecs(({"id": "refmaker_lz4_block", "size": header.block_size},) if header.packed else ())
    fill = None if complete else 0
    metadata, named = make_metadata(2, shape, chunks, ZarrDtype(header.dtype), codecs, fill, _AXES)
    return ManifestArray(metadata.replaced(order="F"), dict(named), grid, references)


def _blocks(store: Store, files: list[str], header: Header) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    """Return where the blocks of files begin and end, in Morton order; what a file cannot hold is an error."""
    index = 8 * header.blocks if header.packed else header.blocks * header.block_size
    for name in files:
        if store.entries[name].size < _HEAD.size + index:
            message = "the file is too short for its blocks"
            raise FormatError(message, path=name, expected=_HEAD.size + index, got=store.entries[name].size)
    heads = read_ranges(store, [Range(name, 0, _HEAD.size) for name in files])
    own = [decode_header(head) for head in heads]
    for name, one in zip(files, own, strict=True):
        alike = (one.file_length, one.block_length, one.packed, one.dtype, one.channels)
        if alike != (header.file_length, header.block_length, header.packed, header.dtype, header.channels):
            raise FormatError("another header than that of the folder", path=name, structure=_STRUCTURE)
    if not files:
        return np.empty(0, "u8"), np.empty(0, "u8")
    first = np.array([one.start for one in own], "u8")[:, None]
    if header.packed:
        tables = read_ranges(store, [Range(name, _HEAD.size, index) for name in files])
        stops = np.frombuffer(b"".join(tables), "<u8").reshape(len(files), header.blocks).astype("u8")
    else:
        stops = first + np.arange(1, header.blocks + 1, dtype="u8") * np.uint64(header.block_size)
    starts = np.concatenate([first, stops[:, :-1]], axis=1)
    sizes = np.array([store.entries[name].size for name in files], "u8")[:, None]
    wrong = (stops > sizes) | (starts >= stops)
    if wrong.any():
        name = files[int(np.argwhere(wrong)[0][0])]
        raise FormatError("a block that does not lie in its file", path=name, structure="wkw jump table")
    return starts.ravel(), stops.ravel()


def _manifest(
    store: Store,
    first: str,
    groups: dict[str, dict[str, Any]],
    arrays: dict[str, ManifestArray],
    reports: list[ObjectReport],
    options: StoreOptions,
) -> Manifest:
    """Put the manifest together, with the targets that it refers to."""
    from dataclasses import replace

    selection = options.selection
    if selection.prefix and selection.prefix not in groups:
        raise FormatError(f"no group {selection.group!r} in the folder", source=store.url)
    code = store.entries[first].target
    used = np.unique(np.concatenate([*(one.references.target for one in arrays.values()), [code]])).astype("i8")
    used = np.concatenate([[code], used[used != code]]).astype("i8")
    number = np.zeros(len(store.targets), "u4")
    number[used] = np.arange(len(used), dtype="u4")
    zarr_format: Literal[2] = 2
    return Manifest(
        zarr_format=zarr_format,
        groups={"": {}, **{selection.relative(path): one for path, one in groups.items() if selection.inside(path)}},
        arrays={
            selection.relative(path): replace(
                one, references=replace(one.references, target=number[one.references.target])
            )
            for path, one in arrays.items()
        },
        targets=tuple(store.targets[one] for one in used.tolist()),
        refusals={
            "/" + selection.relative(one.path.strip("/")): one.reason or ""
            for one in reports
            if one.status == "refused"
        },
        objects=reports,
        history=[f"scanned {strip_credentials(store.url)}"],
        sources={selection.relative(path): (0, "/" + path) for path in arrays if selection.prefix},
    )
