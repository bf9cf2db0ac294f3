"""The sharding codec of an array: which chunks stand in a shard, and where its index is.

Contract: pure, over metadata that may come from anyone. `sharding_of` understands arrays whose shards hold their chunks
as they are; of others it says why their chunks have no place of their own. Source: Zarr v3, "Sharding codec" 1.0.

    index: chunks_per_shard x (offset u8, size u8), C order, 2**64-1 twice for a chunk that is not there [| crc32c u4]
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from refmaker.errors import ManifestError, Unsupported
from refmaker.zarr.array_metadata import ArrayMetadata, codec_name

__all__ = ["Sharding", "sharding_of"]

_NAME = "sharding_indexed"


@dataclass(frozen=True, slots=True)
class Sharding:
    """How the shards of an array are made.

    Attributes
    ----------
    inner
        Metadata of the same array with the chunks within shards as its chunks; these may be shards themselves.
    per_shard
        Chunks in a shard along each dimension.
    big_endian
        Byte order of the index.
    checksum
        A crc32c stands behind the index.
    at_end
        Whether the index stands at the end of the shard, or at its start.
    """

    inner: ArrayMetadata
    per_shard: tuple[int, ...]
    big_endian: bool
    checksum: bool
    at_end: bool

    @property
    def index_size(self) -> int:
        """Bytes of the index."""
        return 16 * math.prod(self.per_shard) + 4 * self.checksum


def sharding_of(metadata: ArrayMetadata, *, structure: str) -> Sharding | None:
    """Return how the chunks of an array are put into shards, None where they are not.

    Parameters
    ----------
    structure
        Named in errors.

    Raises
    ------
    ManifestError
        The configuration is malformed.
    Unsupported
        The chunks have no place of their own: codecs before or behind the shards, an index of no fixed size.

    Examples
    --------
    >>> sharding_of(ArrayMetadata.from_json({"zarr_format": 2}), structure=".zarray") is None
    True
    """
    codecs = metadata.document.get("codecs")
    if metadata.zarr_format != 3 or not isinstance(codecs, list) or _NAME not in metadata.codec_names:
        return None
    if len(codecs) != 1:
        raise Unsupported(f"codecs beside those of the shards: {', '.join(metadata.codec_names)}"[:200])
    settings = codecs[0].get("configuration") if isinstance(codecs[0], Mapping) else None
    if not isinstance(settings, Mapping):
        raise ManifestError("bad configuration of the sharding codec", structure=structure, got=str(codecs[0])[:80])
    inner = metadata.replaced(
        chunk_grid={"name": "regular", "configuration": {"chunk_shape": settings.get("chunk_shape")}},
        codecs=settings.get("codecs"),
    )
    inner.check()
    inner.layout(structure=structure)
    per_shard = _per_shard(metadata.chunk_shape, inner.chunk_shape, structure)
    location = settings.get("index_location", "end")
    if location not in ("start", "end"):
        raise ManifestError("bad index_location", structure=structure, expected="start or end", got=str(location)[:80])
    return Sharding(inner, per_shard, *_index_codecs(settings.get("index_codecs")), location == "end")


def _per_shard(shard: tuple[int, ...], chunk: tuple[int, ...], structure: str) -> tuple[int, ...]:
    if len(shard) != len(chunk) or any(c < 1 or s < 1 or s % c for s, c in zip(shard, chunk, strict=True)):
        message = "shards that are no whole number of chunks"
        raise ManifestError(message, structure=structure, expected=f"divisors of {shard}", got=chunk)
    return tuple(s // c for s, c in zip(shard, chunk, strict=True))


def _index_codecs(codecs: Any) -> tuple[bool, bool]:
    """Return whether the numbers of an index are big-endian, and whether there is a checksum behind it."""
    names = [codec_name(codec, "name") for codec in codecs] if isinstance(codecs, list) else []
    if names not in (["bytes"], ["bytes", "crc32c"]):
        raise Unsupported(f"the codecs of the index: {', '.join(names) or str(codecs)}"[:200])
    settings = codecs[0].get("configuration") if isinstance(codecs[0], Mapping) else None
    endian = settings.get("endian") if isinstance(settings, Mapping) else None
    if endian not in ("little", "big"):
        raise Unsupported("the codecs of the index: no byte order")
    return endian == "big", len(names) == 2
