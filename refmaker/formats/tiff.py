"""TIFF by way of `kerchunk.tiff.tiff_to_zarr`.

Contract: the first series of the file becomes the arrays `0` (full size) and, where there are reductions, `1`, `2`, …;
further series are refused by name. Strips of which the last is shorter become whole chunks (`refmaker.formats.strips`),
georeferencing is kept (`refmaker.formats.tags`). Of every array the first and the last stored chunk are decoded, and
compared with what tifffile decodes: an array of which that differs is refused. Known of kerchunk: `tiff_to_zarr` needs
a url with a slash, looks at one series, fails on the metadata of files that tifffile wrote, and gives every array a
fill value of 0, which xarray masks. Known of tifffile: it reads damaged files as far as it can, and says so in its log
only.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

import numpy as np

from refmaker.errors import FormatError, RefmakerError, Unsupported
from refmaker.formats.kerchunk_references import Found, codecs_of, dtype_of, manifest_of, settled, strict_value
from refmaker.formats.strips import has_short_strips, references_of, whole_strips
from refmaker.formats.tags import add_georeferencing, metadata_of
from refmaker.manifest.manifest import ManifestArray
from refmaker.manifest.references import References

__all__ = ["scan_tiff"]

PROOF: Final = 64 << 20
"""Bytes of a chunk, decoded, up to which it is decoded for comparison."""


def scan_tiff(url: str, storage_options: Mapping[str, Any], size: int) -> Found:
    """Scan a TIFF file; parameters as in `scanners.scan_here`."""
    import fsspec
    import tifffile

    found = Found()
    with (
        _Remarks() as remarks,
        fsspec.open(url, "rb", **storage_options) as file,
        tifffile.TiffFile(file, name=_name(url)) as tif,
    ):
        read = partial(_read_at, file)
        if not tif.series:
            raise FormatError("; ".join(["there are no images in it", *remarks.found]))
        for level in tif.series[0].levels:
            _check_pages(level, size)
        refs = _references(url, storage_options, tif, found)
        manifest = manifest_of(_named(refs), url)
        single = "0" in manifest.arrays and ".zarray" in refs
        add_georeferencing(manifest.arrays["0"].attributes if single else manifest.groups[""], tif)
        if manifest.groups.get(""):
            found.groups[""] = {k: v for k, v in manifest.groups[""].items() if k != "null"}
        for path, array in manifest.arrays.items():
            try:
                array, note = _whole(array, tif.series[0], int(path))
                kept = settled(array, size)
                _prove(kept, tif.series[0], int(path), read)
            except RefmakerError as error:
                found.refusals["/" + path] = error.message
                continue
            kept.attributes.pop("null", None)
            found.arrays[path] = kept
            if note:
                found.note(path, note)
            _notes(found, path, kept)
        for number, series in enumerate(tif.series[1:], 1):
            shape = "x".join(map(str, series.shape))
            found.refusals[f"/series{number}"] = f"a further image of {shape} {series.dtype}: kerchunk takes the first"
        if remarks.found:
            raise FormatError(f"tifffile finds the file damaged: {remarks.found[0]}")
    return found


def _read_at(file: Any, offset: int, size: int) -> bytes:
    file.seek(offset)
    data: bytes = file.read(size)
    return data


class _Remarks(logging.Handler):
    """What tifffile logs while it reads a damaged file as far as it can, instead of raising an error."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep what is said of structures; the rest is about metadata, such as those of cameras."""
        line = record.getMessage()
        if record.levelno >= logging.ERROR or "offset" in line or "corrupt" in line or "missing" in line:
            self.found.append(line.split("\n", 1)[0])

    def __enter__(self) -> _Remarks:
        logging.getLogger("tifffile").addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger("tifffile").removeHandler(self)


def _check_pages(level: Any, size: int) -> None:
    """Raise `FormatError` where tifffile takes tiles for never written because it does not find where they are.

    kerchunk asks for every tile that there should be, which a file can claim any number of.
    """
    if math.prod(level.keyframe.chunked) * len(level.pages) > size:
        raise FormatError("more tiles or strips than the file has room for", got=math.prod(level.keyframe.chunked))
    for page in level.pages:
        if page is not None and len(page.dataoffsets) < math.prod(page.keyframe.chunked):
            there, wanted = len(page.dataoffsets), math.prod(page.keyframe.chunked)
            raise FormatError(f"the file is damaged: a page lists {there} of its {wanted} tiles or strips")


def _name(url: str) -> str:
    return url.rsplit("/", 1)[1]


def _references(url: str, storage_options: Mapping[str, Any], tif: Any, found: Found) -> dict[str, Any]:
    """Have kerchunk scan the file; where it fails on the metadata, have tifffile do what kerchunk asks of it."""
    import kerchunk.tiff

    try:
        refs: dict[str, Any] = kerchunk.tiff.tiff_to_zarr(url, remote_options=dict(storage_options))
    except (AttributeError, TypeError, SyntaxError):
        return _references_here(url, tif, found)  # it reads metadata of any kind as XML, asks members for a protocol
    except ValueError as error:
        if any(has_short_strips(level.keyframe) for level in tif.series[0].levels):
            return _references_here(url, tif, found)
        raise Unsupported(f"kerchunk cannot express it: {error}") from error
    return refs


def _references_here(url: str, tif: Any, found: Found) -> dict[str, Any]:
    """Have tifffile do what kerchunk asks of it, and read the metadata one by one."""
    try:
        refs = references_of(tif.series[0], url)
    except ValueError as error:
        raise Unsupported(f"kerchunk cannot express it: {error}") from error
    attributes, lost = metadata_of(tif)
    refs[".zattrs"] = json.dumps(strict_value({**attributes, **json.loads(refs.get(".zattrs", "{}"))}))
    if lost:
        found.note("0", f"metadata of the file that cannot be read are left out: {', '.join(lost)}")
    return refs


def _whole(array: ManifestArray, series: Any, number: int) -> tuple[ManifestArray, str]:
    """Make whole chunks of strips of which the last is shorter."""
    level = series.levels[number]
    if not has_short_strips(level.keyframe):
        return array, ""
    with series.aszarr(level=number) as store:
        chunks = array.metadata.chunk_shape
        return whole_strips(array, level, lambda position: _by_tifffile(store, level.shape, position, chunks))


def _named(refs: Mapping[str, Any]) -> dict[str, Any]:
    """Return an array at the root, which xarray shows nothing of, the name that it has where there are several."""
    if ".zarray" not in refs:
        return dict(refs)
    return {".zgroup": '{"zarr_format": 2}', **{f"0/{key}": value for key, value in refs.items()}}


def _notes(found: Found, path: str, array: ManifestArray) -> None:
    needed = sorted({codec["id"] for codec in codecs_of(array) if codec["id"].startswith("imagecodecs_")})
    if needed:
        found.note(path, f"readers need imagecodecs ({', '.join(needed)})")
    absent = array.cells - len(array.references)
    if absent:
        fill = array.metadata.fill_value
        found.note(path, f"{absent} tiles were never written: they are {fill}, which xarray masks everywhere")


def _prove(array: ManifestArray, series: Any, level: int, read: Callable[[int, int], bytes]) -> None:
    """Decode the first and the last stored chunk as readers will, and compare them with what tifffile decodes.

    Raises
    ------
    Unsupported
        They differ, or cannot be decoded.
    """
    references = array.references
    chunks = array.metadata.chunk_shape
    dtype = dtype_of(array)
    if not codecs_of(array) or not len(references.cell) or np.prod(chunks, dtype="i8") * dtype.itemsize > PROOF:
        return
    with series.aszarr(level=level) as store:
        for row in sorted({0, len(references.cell) - 1}):
            got = _decoded(array, references, row, read, dtype, chunks)
            position = np.unravel_index(int(references.cell[row]), array.grid)
            expected = _by_tifffile(store, series.levels[level].shape, position, chunks)
            inside = tuple(slice(0, extent) for extent in expected.shape)
            if not np.array_equal(got[inside], expected, equal_nan=dtype.kind in "fc"):
                raise Unsupported("its chunks decode to other values than those that tifffile reads")


def _decoded(
    array: ManifestArray,
    references: References,
    row: int,
    read: Callable[[int, int], bytes],
    dtype: np.dtype[Any],
    chunks: tuple[int, ...],
) -> np.ndarray:
    import numcodecs
    from imagecodecs.numcodecs import register_codecs

    register_codecs(verbose=False)
    data: Any = read(int(references.offset[row]), int(references.size[row]))
    try:
        for config in reversed(codecs_of(array)):
            data = numcodecs.get_codec(config).decode(data)
        return np.frombuffer(np.ascontiguousarray(data) if isinstance(data, np.ndarray) else data, dtype).reshape(
            chunks
        )
    except Exception as error:  # codecs raise errors of many kinds
        raise Unsupported(f"its chunks cannot be decoded: {type(error).__name__}: {error}") from error


def _by_tifffile(store: Any, shape: tuple[int, ...], position: tuple[Any, ...], chunks: tuple[int, ...]) -> np.ndarray:
    """Return the part of a level that a chunk shows, as tifffile reads it by itself."""
    import zarr

    selection = tuple(
        slice(int(at) * chunk, min((int(at) + 1) * chunk, extent))
        for at, chunk, extent in zip(position, chunks, shape, strict=True)
    )
    return np.asarray(zarr.open_array(store, mode="r")[selection])
