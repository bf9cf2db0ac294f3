"""What stores answer, read as far as it may go and no further."""

from __future__ import annotations

import asyncio

import pytest

from refmaker.errors import SourceError
from refmaker.stores.answers import as_bytes, bounded_body, content_range, error_code, refuse_compressed


@pytest.mark.parametrize(("header", "found"), [
    ("bytes 10-19/30", (10, 20, 30)), ("bytes 0-0/*", (0, 1, None)), (" Bytes  1-2/3 ", (1, 3, 3)),
    (None, None), ("", None), ("bytes */30", None), ("bytes 1-2", None), ("items 1-2/3", None),
    ("bytes -1-2/3", None), ("bytes 1-2/3, 4-5/6", None), ("bytes 1-" + "9" * 19 + "/3", None),
])  # fmt: skip
def test_content_range(header: str | None, found: tuple | None) -> None:
    assert content_range(header) == found


@pytest.mark.parametrize("size", [0, 1, 9, 10, 11, 5000])
def test_a_body_ends_somewhere(size: int) -> None:
    left = [b"x" * min(4, size - i) for i in range(0, size, 4)]
    told: list[int] = []

    async def read(most: int) -> bytes:
        part = left.pop(0) if left else b""
        assert len(part[:most]) <= most
        return part[:most]

    body = asyncio.run(bounded_body(read, 10, told.append))
    assert len(body) == min(size, 11)
    assert told == sorted(told)
    assert (told[-1] if told else 0) == len(body)


def test_other_codings_are_refused() -> None:
    for coding in ("", "identity"):
        refuse_compressed({"Content-Encoding": coding})
    refuse_compressed({})
    with pytest.raises(SourceError, match="compressed"):
        refuse_compressed({"Content-Encoding": "br"})


def test_a_number_is_not_so_many_zeros() -> None:
    assert as_bytes(bytearray(b"ab")) == b"ab"
    with pytest.raises(TypeError, match="int"):
        as_bytes(3)


def test_the_code_of_an_error_lies_behind_what_s3fs_makes_of_it() -> None:
    cause, error = Exception(), OSError()
    cause.response = {"Error": {"Code": "SlowDown"}}  # type: ignore[attr-defined]
    error.__cause__ = cause
    assert error_code(error) == error_code(cause) == "SlowDown"
    assert error_code(OSError()) is None
    circle = OSError()
    circle.__cause__ = circle
    assert error_code(circle) is None
