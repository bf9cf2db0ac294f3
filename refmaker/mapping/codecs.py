"""HDF5 filter pipelines as numcodecs codecs.

Contract: `zarr_codecs` gives codecs that decode every chunk to what libhdf5 makes of it, or raises `Unsupported` naming
the filter. Byte compatibility of each was tested against libhdf5 and hdf5plugin:

- deflate (1): a zlib stream. shuffle (2): numcodecs refuses a remainder, which HDF5 copies, so the size of what is
  shuffled has to be known and divisible. fletcher32 (3): the same sums; as the last stage its 4 bytes are left out of
  the references, anywhere else it is a codec.
- bzip2 (307), Zstandard (32015): plain streams. Blosc (32001): a Blosc 1 buffer, which names its own parameters;
  numcodecs is built without snappy.
- BitGroom (32022) and Granular BitRound (32023) round what is written and change nothing when they decode: left out.

A pipeline runs in the same order in HDF5 and in Zarr. Whatever has no codec here can have libhdf5 behind a codec of
refmaker's own (`refmaker.mapping.decoding`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from refmaker.codecs.hdf5_filters import IDENTITIES
from refmaker.errors import Unsupported
from refmaker.model import Filter
from refmaker.zarr.codec_list import Codecs, Config

__all__ = ["zarr_codecs"]


DEFLATE, SHUFFLE, FLETCHER32, BZIP2, BLOSC, ZSTD = 1, 2, 3, 307, 32001, 32015
FLETCHER32_SIZE = 4
_BLOSC_NAMES = ("blosclz", "lz4", "lz4hc", "snappy", "zlib", "zstd")


@lru_cache(1024)
def zarr_codecs(filters: tuple[Filter, ...], size: int, keep_checksums: bool = False) -> Codecs:
    """Translate a filter pipeline.

    Parameters
    ----------
    filters
        In the order they are applied when writing.
    size
        Bytes of a chunk before the first filter.
    keep_checksums
        Have readers verify a checksum at the end of the pipeline, instead of leaving it out of the references.

    Raises
    ------
    Unsupported
        A filter has no byte-compatible codec here.
    """
    pipeline = [f for f in filters if not (f.id == SHUFFLE and f.client_data[:1] == (1,)) and f.id not in IDENTITIES]
    trim = 0
    while pipeline and pipeline[-1].id == FLETCHER32 and not keep_checksums:
        trim += FLETCHER32_SIZE
        pipeline.pop()
    known: int | None = size
    configs = []
    for found in pipeline:
        config, known = _CODECS.get(found.id, _unknown)(found, known)
        configs.append(config)
    return Codecs(tuple(configs), trim, tuple(pipeline))


# Each takes a filter and the size of its input where that is known, and gives a codec and the size of its output.


def _deflate(found: Filter, size: int | None) -> tuple[Config, int | None]:
    level = found.client_data[0] if found.client_data else 6
    return {"id": "zlib", "level": level if 0 <= level <= 9 else 6}, None


def _shuffle(found: Filter, size: int | None) -> tuple[Config, int | None]:
    if not found.client_data or found.client_data[0] == 0:
        raise Unsupported("shuffle filter without an element size")
    element = found.client_data[0]
    if size is None:
        raise Unsupported("shuffle filter behind a compressor: Zarr's codec does not take remainders")
    if size % element:
        raise Unsupported(f"shuffle filter by {element} bytes over {size} bytes, which leaves a remainder")
    return {"id": "shuffle", "elementsize": element}, size


def _fletcher32(found: Filter, size: int | None) -> tuple[Config, int | None]:
    return {"id": "fletcher32"}, None if size is None else size + FLETCHER32_SIZE


def _bzip2(found: Filter, size: int | None) -> tuple[Config, int | None]:
    level = found.client_data[0] if found.client_data else 9
    return {"id": "bz2", "level": level if 1 <= level <= 9 else 9}, None


def _zstd(found: Filter, size: int | None) -> tuple[Config, int | None]:
    level = found.client_data[0] if found.client_data else 3
    return {"id": "zstd", "level": level if 0 < level <= 22 else 3}, None


def _blosc(found: Filter, size: int | None) -> tuple[Config, int | None]:
    """Client data: filter revision, Blosc format, type size, chunk size, level, shuffle, compressor."""
    data = found.client_data + (0, 0, 0, 0, 5, 1, 0)[len(found.client_data) :]
    level, shuffle, compressor = data[4:7]
    if compressor >= len(_BLOSC_NAMES) or _BLOSC_NAMES[compressor] == "snappy":
        name = _BLOSC_NAMES[compressor] if compressor < len(_BLOSC_NAMES) else f"number {compressor}"
        raise Unsupported(f"Blosc filter (32001) with the compressor {name}, which numcodecs lacks")
    config = {
        "id": "blosc",
        "cname": _BLOSC_NAMES[compressor],
        "clevel": level if 0 <= level <= 9 else 5,
        "shuffle": shuffle if shuffle in (0, 1, 2) else 1,
        "blocksize": 0,
    }
    return config, None


def _unknown(found: Filter, size: int | None) -> tuple[Config, int | None]:
    name = _NAMES.get(found.id) or found.name or "unnamed"
    raise Unsupported(f"filter {found.id} ({name}) has no byte-compatible Zarr codec")


_CODECS: dict[int, Callable[[Filter, int | None], tuple[Config, int | None]]] = {
    DEFLATE: _deflate,
    SHUFFLE: _shuffle,
    FLETCHER32: _fletcher32,
    BZIP2: _bzip2,
    BLOSC: _blosc,
    ZSTD: _zstd,
}

# HDF5's registry of filters, where the name in the file may be missing or a sentence.
_NAMES = {
    4: "szip",
    5: "n-bit",
    6: "scale-offset",
    32000: "lzf",
    32004: "lz4",
    32008: "bitshuffle",
    32013: "zfp",
    32017: "sz",
    32018: "fcidecomp",
    32019: "jpeg",
    32024: "sz3",
    32026: "blosc2",
}
