"""The configuration of the codec `refmaker.crop`, which takes the beginning of chunks that are stored larger.

Contract: pure; configurations may come from anywhere.

    {"name": "refmaker.crop", "configuration": {"encoded_chunk": [null, 4], "endian": "little"}}

`encoded_chunk` is the shape of which stored chunks are; at most one length is null, and follows from the bytes.
"""

from __future__ import annotations

from typing import Any

from refmaker import limits
from refmaker.errors import ManifestError

__all__ = ["CROP", "encoded_chunk"]

CROP = "refmaker.crop"

_LONGEST = 2**62


def encoded_chunk(codec: Any) -> tuple[int | None, ...]:
    """Return the shape of which stored chunks are.

    Parameters
    ----------
    codec
        The codec as the metadata have it.

    Raises
    ------
    ManifestError
        The configuration is not one of this codec.
    """
    configuration = codec.get("configuration") if isinstance(codec, dict) else None
    if not isinstance(configuration, dict) or not configuration.keys() <= {"encoded_chunk", "endian"}:
        raise _wrong("members", "encoded_chunk and endian", codec)
    if configuration.get("endian", "little") not in ("little", "big"):
        raise _wrong("endian", "'little' or 'big'", configuration["endian"])
    found = configuration.get("encoded_chunk")
    if not isinstance(found, list | tuple) or len(found) > limits.ZARR_RANK:
        raise _wrong("encoded_chunk", "a list of lengths", found)
    if any(one is not None and (type(one) is not int or not 1 <= one < _LONGEST) for one in found):
        raise _wrong("encoded_chunk", "lengths of at least 1, or null", found)
    if list(found).count(None) > 1:
        raise _wrong("encoded_chunk", "at most one null", found)
    return tuple(found)


def _wrong(what: str, expected: str, got: object) -> ManifestError:
    return ManifestError(what, structure=f"codec {CROP}", expected=expected, got=repr(got)[:80])
