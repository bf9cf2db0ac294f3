"""Chunks decoded where they are replayed: a pipeline of bytes-to-bytes codecs, backwards, every length checked.

Contract: `pipeline` knows the codecs that turn bytes to bytes and gives None for any other; `Pipeline.decode` gives
exactly the bytes of the chunk, or raises `FormatError`: of a checksum that fails too. What a stage may give is bounded
by the size of the chunk before memory is taken. Deflate is left to libdeflate or ISA-L where the package `deflate` or
`isal` is installed.
"""

from __future__ import annotations

import bz2
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeAlias, cast

import numpy as np
import numpy.typing as npt

from refmaker.codecs.config import plan_from_json
from refmaker.codecs.decode import decoder_of
from refmaker.errors import FormatError, RefmakerError

__all__ = ["Pipeline", "pipeline", "unpacked"]

Buffer: TypeAlias = bytes | memoryview | npt.NDArray[np.uint8]
Decode: TypeAlias = Callable[[Buffer, int], Buffer]

_CHECKSUM = 4


@dataclass(frozen=True, slots=True)
class Pipeline:
    """The codecs of an array.

    Attributes
    ----------
    stages
        In the order of decoding, each with the bytes that it gives.
    size
        Bytes of a decoded chunk.
    """

    stages: tuple[tuple[str, Decode, int], ...]
    size: int

    def decode(self, data: Buffer) -> Buffer:
        """Decode one chunk."""
        return self._sized(self._staged(data, self.stages))

    def prepare(self, data: Buffer) -> Buffer:
        """Decode one chunk up to the last stage, if `finish` does that for many at once."""
        return self._sized(self._staged(data, self.stages[:-1] if self._last is not None else self.stages))

    def finish(self, prepared: Sequence[Buffer], out: npt.NDArray[np.uint8]) -> None:
        """Put chunks that were prepared one behind the other into `out`, which has their size."""
        rows = np.frombuffer(prepared[0] if len(prepared) == 1 else b"".join(cast("Sequence[bytes]", prepared)), "u1")
        if self._last is None:
            out[...] = rows
        else:
            self._last.into(rows, out, len(prepared))

    @property
    def _last(self) -> _Unshuffle | None:
        last = self.stages[-1][1] if self.stages else None
        return last if isinstance(last, _Unshuffle) else None

    def _staged(self, data: Buffer, stages: Sequence[tuple[str, Decode, int]]) -> Buffer:
        for name, decode, size in stages:
            try:
                data = decode(data, size)
            except RefmakerError:
                raise
            except Exception as error:  # every codec raises errors of its own
                raise FormatError(f"the chunk does not decode: {error}", structure=f"codec {name}") from error
            if len(data) != size:
                raise FormatError("decoded size", structure=f"codec {name}", expected=size, got=len(data))
        return data

    def _sized(self, data: Buffer) -> Buffer:
        if len(data) != self.size:
            raise FormatError("size of a chunk", structure="Zarr chunk", expected=self.size, got=len(data))
        return data


def pipeline(configs: Sequence[Mapping[str, Any]], size: int) -> Pipeline | None:
    """Make the pipeline of an array.

    Parameters
    ----------
    configs
        As numcodecs has them, in the order of encoding.
    size
        Bytes of a chunk before the first.

    Returns
    -------
    pipeline
        None where a codec is none that turns bytes to bytes, is not installed, or where what it gives is not bounded.
    """
    stages: list[tuple[str, Decode, int]] = []
    known: int | None = size
    for config in configs:
        name = config.get("id")
        if known is None or not isinstance(name, str):
            return None
        if name == "shuffle":
            element = config.get("elementsize", 4)
            if type(element) is not int or element < 1 or known % element:
                return None
            stages.append((name, _Unshuffle(element), known))
        elif name == "fletcher32":
            stages.append((name, _fixed(dict(config), _CHECKSUM), known))
            known += _CHECKSUM
        else:
            decode = _compressor(name, config, known)
            if decode is None:
                return None
            stages.append((name, decode, known))
            known = None
    return Pipeline(tuple(reversed(stages)), size)


def _compressor(name: str, config: Mapping[str, Any], size: int) -> Decode | None:
    if name in ("zlib", "gzip"):
        return _inflate(name)
    if name == "bz2":
        return _stream(name, bz2.BZ2Decompressor)
    if name in _RECORDED:
        return _recorded(name)
    if name == "refmaker_hdf5":
        plan = plan_from_json({key: value for key, value in config.items() if key != "id"})
        if plan.decoded_size != size:
            return None
        return lambda data, size: decoder_of(plan).decode(bytes(data))
    return None


def unpacked(config: Mapping[str, Any], data: Buffer, most: int) -> Buffer | None:
    """Undo a compressor whose output nobody knows the size of.

    Returns
    -------
    bytes
        None for a codec that is no compressor known here.

    Raises
    ------
    FormatError
        There are more than `most` bytes, or they do not decode.
    """
    name = config.get("id")
    try:
        if name in ("zlib", "gzip", "bz2"):
            stream = bz2.BZ2Decompressor() if name == "bz2" else _zlib().decompressobj(31 if name == "gzip" else 15)
            out: bytes = stream.decompress(bytes(data), most + 1)
            if len(out) <= most and not stream.eof:
                raise FormatError("the stream has no end", structure=f"codec {name}")
            size: int | None = len(out)
        elif name in _RECORDED:
            size = _RECORDED[name](data)
            out = b""
            if size is not None and size <= most:
                out = bytes(_recorded(name)(data, size))
        else:
            return None
    except RefmakerError:
        raise
    except Exception as error:  # every codec raises errors of its own
        raise FormatError(f"the chunk does not decode: {error}", structure=f"codec {name}") from error
    if size is None or size > most:
        raise FormatError("decoded size", structure=f"codec {name}", expected=f"at most {most}", got=size)
    return out


def _inflate(name: str) -> Decode:
    window = 31 if name == "gzip" else 15
    by_stream = _stream(name, lambda: _zlib().decompressobj(window))
    library = _libdeflate()
    if library is None:
        return by_stream
    at_once = library.gzip_decompress if name == "gzip" else library.zlib_decompress

    def decode(data: Buffer, size: int) -> Buffer:
        # It takes memory for all that may come, and takes no size for any size.
        if 0 < size <= _INFLATION * len(data):
            out: bytes = at_once(data, size)
            return out
        return by_stream(data, size)

    return decode


_INFLATION = 1032
"""Bytes that a byte of deflate may become, at most (RFC 1951: 258 for the two bits of a length and a distance)."""


def _stream(name: str, start: Callable[[], Any]) -> Decode:
    """Make the decoder of a codec that gives its output bit by bit."""

    def decode(data: Buffer, size: int) -> Buffer:
        stream = start()
        out: bytes = stream.decompress(data, size + 1)
        if not stream.eof and len(out) <= size:
            # The end of the stream, with its checksum, may lie behind the last byte that there was room for.
            out += stream.decompress(getattr(stream, "unconsumed_tail", b""), 1)
        if not stream.eof:
            raise FormatError("the stream has no end", structure=f"codec {name}", expected=f"{size} bytes")
        return out

    return decode


@cache
def _libdeflate() -> Any:
    try:
        import deflate
    except ImportError:
        return None
    return deflate


@cache
def _zlib() -> Any:
    try:
        from isal import isal_zlib
    except ImportError:
        return zlib
    return isal_zlib


class _Unshuffle:
    """The decoder of the shuffle filter, which puts the first bytes of all elements first, then the second ones.

    numpy lets other threads work meanwhile, and writes where the bytes are wanted; numcodecs' decoder does neither.
    """

    def __init__(self, element: int) -> None:
        self.element = element

    def __call__(self, data: Buffer, size: int) -> Buffer:
        if len(data) != size:
            raise FormatError("size", structure="codec shuffle", expected=size, got=len(data))
        out = np.empty(size, "u1")
        self.into(np.frombuffer(data, "u1"), out, 1)
        return out

    def into(self, data: npt.NDArray[np.uint8], out: npt.NDArray[np.uint8], count: int) -> None:
        """Decode so many chunks, one behind the other, into `out`, which has the size of `data`."""
        planes = data.reshape(count, self.element, -1)
        elements = out.reshape(count, -1, self.element)
        if self.element > _PLANES:
            elements[...] = planes.transpose(0, 2, 1)
            return
        for start in range(0, elements.shape[1], _TOGETHER):
            part = slice(start, start + _TOGETHER)
            for i in range(self.element):
                elements[:, part, i] = planes[:, i, part]


_PLANES = 16
"""Bytes of an element, up to which plane after plane is faster than element after element."""

_TOGETHER = 1 << 14
"""Elements that are put together while the processor's cache holds them."""


def _fixed(config: dict[str, Any], surplus: int) -> Decode:
    """Make the decoder of a codec whose stored form is longer by `surplus` bytes."""
    import numcodecs

    codec = numcodecs.get_codec(config)

    def decode(data: Buffer, size: int) -> Buffer:
        # numcodecs itself reads or writes beyond the end of what is shorter.
        if len(data) != size + surplus:
            raise FormatError("size", structure=f"codec {config['id']}", expected=size + surplus, got=len(data))
        return np.asarray(codec.decode(data)).view("u1")

    return decode


def _recorded(name: str) -> Decode:
    """Make the decoder of a codec whose stored form says how much it holds, which numcodecs would make room for."""
    import numcodecs

    codec = numcodecs.get_codec({"id": name})

    def decode(data: Buffer, size: int) -> Buffer:
        holds = _RECORDED[name](data)
        if holds != size:
            raise FormatError("decoded size", structure=f"codec {name}", expected=size, got=holds)
        return np.frombuffer(codec.decode(data), "u1")

    return decode


def _zstd_size(data: Buffer) -> int | None:
    """Read the content size of a Zstandard frame (RFC 8878, 3.1.1.1), None where it has none."""
    head = bytes(data[:18])
    if len(head) < 6 or head[:4] != b"\x28\xb5\x2f\xfd":
        return None
    flags = head[4]
    single = flags >> 5 & 1
    at = 5 + (1 - single) + (0, 1, 2, 4)[flags & 3]
    width = (single, 2, 4, 8)[flags >> 6]
    field = head[at : at + width]
    if not width or len(field) != width:
        return None
    return int.from_bytes(field, "little") + (256 if width == 2 else 0)


def _blosc_size(data: Buffer) -> int | None:
    """Read the decoded size of a Blosc buffer, None for one that ends before it says: numcodecs would read on."""
    head = bytes(data[:16])
    if len(head) < 16 or int.from_bytes(head[12:], "little") > len(data):
        return None
    return int.from_bytes(head[4:8], "little")


_RECORDED: dict[str, Callable[[Buffer], int | None]] = {
    "zstd": _zstd_size,
    "lz4": lambda data: int.from_bytes(data[:4], "little"),  # numcodecs' own header
    "blosc": _blosc_size,
}
