"""Which codecs a manifest may name.

Contract: pure. Zarr readers make any codec that a manifest names, of all that are installed, and give it bytes that the
manifest chooses. Those that run code (numcodecs' `pickle`) are refused wherever they stand: `check_codecs`. A manifest
from elsewhere is held to codecs that are known to make nothing but values of bytes: `unknown_codecs`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from refmaker.errors import ManifestError

__all__ = ["check_codecs", "unknown_codecs"]

_EXECUTES = re.compile("pickle|dill|marshal|joblib", re.IGNORECASE)
_OF_NUMCODECS = """zlib gzip bz2 lzma lz4 zstd blosc shuffle fletcher32 jenkins_lookup3 crc32 crc32c adler32 delta
    astype fixedscaleoffset quantize bitround packbits categorize base64 json2 msgpack2 vlen-utf8 vlen-bytes vlen-array
    pcodec zfpy"""
_OF_ZARR_3 = "bytes transpose sharding_indexed"
_OF_KERCHUNK = "deflate fill_hdf_strings grib FITSAscii FITSVarBintable record_member"
_OURS = """refmaker_hdf5 refmaker.hdf5 refmaker.crop refmaker_sequences refmaker_b2nd refmaker.b2nd
    refmaker_lz4_block"""
_KNOWN = frozenset(" ".join((_OF_NUMCODECS, _OF_ZARR_3, _OF_KERCHUNK, _OURS)).split())
_KNOWN_PREFIXES = ("imagecodecs_",)
_MEMBERS = ("compressor", "filters", "codecs", "storage_transformers", "object_codec")


def check_codecs(metadata: Mapping[str, Any], *, structure: str, source: str | None = None) -> None:
    """Refuse metadata of an array that name a codec which runs code.

    Raises
    ------
    ManifestError
        They do.
    """
    bad = next((name for name in _names(metadata) if _EXECUTES.search(name)), None)
    if bad is not None:
        message = "a codec that runs what is in the data: nothing is read with it"
        raise ManifestError(message, structure=structure, got=bad[:100], source=source)


def unknown_codecs(metadata: Mapping[str, Any]) -> list[str]:
    """Return the codecs of an array that a manifest from elsewhere may not name."""
    plain = (name.removeprefix("numcodecs.") for name in _names(metadata))
    return [name for name in plain if name not in _KNOWN and not name.startswith(_KNOWN_PREFIXES)]


def _names(metadata: Mapping[str, Any]) -> Iterator[str]:
    """Yield the names of all codecs, those within the configuration of others included."""
    pending: list[Any] = [metadata.get(member) for member in _MEMBERS]
    while pending:
        value = pending.pop()
        if isinstance(value, str):  # a codec of Zarr 3 may be its bare name
            yield value
        elif isinstance(value, list | tuple):
            pending += value
        elif isinstance(value, Mapping):
            yield from (name for name in (value.get("id"), value.get("name")) if isinstance(name, str))
            inner = value.get("configuration")
            settings = {**value, **inner} if isinstance(inner, Mapping) else value
            # `codecs` and `index_codecs` of a sharding codec; a codec that wraps another has it as an object.
            pending += [held for name, held in settings.items() if name.endswith("codecs") or _has_name(held)]


def _has_name(value: object) -> bool:
    return isinstance(value, Mapping) and ("id" in value or "name" in value)
