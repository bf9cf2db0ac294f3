"""What stores answer: which range of which file, how many bytes, in which coding, with which error.

Contract: knows neither scans nor manifests. Answers are read as far as they may go and no further; whether they are
what was asked for is for the caller to say.

Sources: RFC 9110, 8.4 (Content-Encoding), 14.4 (Content-Range); Amazon S3, error responses.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from refmaker.errors import SourceError

__all__ = [
    "as_bytes",
    "bounded_body",
    "content_range",
    "error_code",
    "explanation",
    "http_body",
    "refuse_compressed",
]

_PIECE: Final = 1 << 20
"""Bytes of a body that are read at a time, where it may have no end."""

# Farther than 2**63 no file reaches.
_CONTENT_RANGE = re.compile(r"bytes +([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)", re.IGNORECASE)
_ENCODINGS = (None, "", "identity")
_EXPLANATION, _SAID = 4096, 300
_TAG = re.compile("<[^<>]{0,1000}>")
_CAUSES = 8


def content_range(header: str | None) -> tuple[int, int, int | None] | None:
    """Read `Content-Range: bytes first-last/size` (RFC 9110, 14.4) as start, stop, size; None if it is not that."""
    found = _CONTENT_RANGE.fullmatch((header or "").strip())
    if found is None:
        return None
    return int(found[1]), int(found[2]) + 1, None if found[3] == "*" else int(found[3])


def refuse_compressed(headers: Mapping[str, str]) -> None:
    """Raise `SourceError` for an answer in another coding: its bytes are not those of the file."""
    if headers.get("Content-Encoding") not in _ENCODINGS:
        raise SourceError("the server sent compressed data", got=headers["Content-Encoding"])


async def bounded_body(
    read: Callable[[int], Awaitable[bytes]], most: int, came: Callable[[int], None] | None = None
) -> bytes:
    """Read the body of an answer; of one that is longer than `most` bytes, one byte more. It may have no end.

    `came` is told how many bytes there are so far.
    """
    parts: list[bytes] = []
    left = most + 1
    while left > 0:
        part = await read(min(left, _PIECE))
        if not part:
            break
        parts.append(part)
        left -= len(part)
        if came is not None:
            came(most + 1 - left)
    return parts[0] if len(parts) == 1 else b"".join(parts)


async def http_body(response: Any, most: int, came: Callable[[int], None] | None = None) -> bytes:
    """Read the body of an answer of HTTP as `bounded_body` does; one whose length is told ends there."""
    size = response.content_length
    if came is None and size is not None and size <= most:
        body: bytes = await response.read()
        return body
    return await bounded_body(response.content.read, most, came)


async def explanation(response: Any) -> str:
    """Return the words in which a server explains an answer, as far as they are text."""
    kind = str(response.content_type)
    if not kind.startswith("text/") and kind != "application/octet-stream":
        return f"status {response.status}, {kind}"
    said = (await response.content.read(_EXPLANATION)).decode("utf-8", "replace")
    words = " ".join(_TAG.sub(" ", said).split())
    return repr(words[:_SAID]) if words.isprintable() and words else f"status {response.status}, {kind}"


def as_bytes(data: object) -> bytes:
    """Return what a filesystem gave as bytes. Of a number, `bytes` would make so many zeros."""
    if not isinstance(data, bytes | bytearray | memoryview):
        raise TypeError(f"the filesystem gave {type(data).__name__} for bytes")
    return bytes(data)


def error_code(error: BaseException) -> str | None:
    """Return the code of S3's error response that an error comes from."""
    cause: BaseException | None = error
    for _ in range(_CAUSES):
        if cause is None:
            return None
        response = getattr(cause, "response", None)
        if isinstance(response, Mapping):
            return str(response.get("Error", {}).get("Code"))
        cause = cause.__cause__
    return None
