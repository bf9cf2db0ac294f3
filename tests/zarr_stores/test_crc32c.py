"""CRC-32C against RFC 3720, B.4, and google-crc32c."""

from __future__ import annotations

import google_crc32c
import pytest

from refmaker.zarr_stores.crc32c import by_table, crc32c


@pytest.mark.parametrize(
    ("data", "expected"), [(bytes(32), 0x8A9136AA), (b"\xff" * 32, 0x62A8AB43), (bytes(range(32)), 0x46DD794E)]
)
def test_examples_of_the_rfc(data: bytes, expected: int) -> None:
    assert crc32c(data) == by_table(data) == expected


def test_both_ways_are_one() -> None:
    data = bytes(i * i % 251 for i in range(1000))
    assert by_table(data) == google_crc32c.value(data)
